"""The composition root: one process's part of a search, from a plan to a run."""

import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Protocol

from automed import __version__, files, loop, registry
from automed.earlier import known_latencies
from automed.errors import BudgetError, RunError, UnreachableError
from automed.executors import Resources, num_cores
from automed.failure import no_room
from automed.family import architecture_key
from automed.plan import Plan
from automed.refusals import (
    require_families,
    require_objectives,
    require_one_rule,
    require_places,
    require_within,
)
from automed.run import RESULTS_FILE, Run
from automed.strategies import Recalling
from automed.strategies.staged import Staged
from automed.strategies.yardstick import Yardstick, numbers_at_random
from automed.trial import BASELINE, Outcome, Trial

if TYPE_CHECKING:
    from automed.data.splits import Parts
    from automed.evaluate import Job
    from automed.record import Record


FEW = 15
"""Trainings up to which every start has a whole one."""


class Watch(loop.Watch, Protocol):
    """Who looks on."""

    def opened(self, plan: "Plan", parts: "Parts", folder: Path, spent: float) -> None:
        """The data is read, `spent` trainings are in the record, the search is about to begin."""

    def step(self, text: str) -> None:
        """Something else is being done."""


class Silent:
    """Nobody looks on: a Watch that says nothing."""

    def opened(self, plan: "Plan", parts: "Parts", folder: Path, spent: float) -> None:
        """The data is read and the search is about to begin."""

    def started(self, trial: Trial) -> None:
        """A trial goes to a worker."""

    def ended(self, trial: Trial, outcome: Outcome) -> None:
        """Its outcome is in the record."""

    def step(self, text: str) -> None:
        """Something else is being done."""


class Session:
    """One process's part of a search."""

    def __init__(self, plan: Plan, watch: Watch) -> None:
        self._plan, self._watch = plan, watch
        task = plan.task  # first what is quick to refuse, last what imports PyTorch
        self._maker = registry.part("strategy", plan.strategy)
        rules = registry.part("stopping", plan.stopping)
        self._rule = rules.make(
            plan.stopping.partition(":")[2], task.objectives, rungs=task.budget.rungs
        )
        own: bool = getattr(self._maker, "OWN_RUNGS", False)
        require_one_rule(plan, own=own, rungs=self._rule.rungs)
        self._pauses = own or bool(self._rule.rungs)
        self._executors = registry.part("executor", plan.executor)
        require_objectives(task)
        require_families(task)
        require_places(plan)
        self._job = self._make_job()
        self._parts = self._open_data()
        registry.require_serving(task, self._parts.train.sample)
        registry.require_answering(task)
        self._space = registry.space(task.families, task.problem, self._parts.train.sample.dims)
        require_within(self._space, [*plan.starts, *(point for point, _ in plan.earlier)])

    def start(self, folder: Path, *, probe: bool) -> Run:
        """A new search in a new folder; a probe asks first whether anything meets the limits."""
        from automed.record import Record

        if probe:
            self._probe_limits()
        record = Record.create(
            folder,
            self._plan.task.name,
            self._plan.task.objectives,
            {"plan": self._plan.settings(), "data": self._parts.digest()},
        )
        return self._run(folder, record)

    def go_on(self, folder: Path, record: "Record") -> Run:
        """An interrupted search."""
        self._require_same_data(record)
        return self._run(folder, record)

    def ported(self, record: "Record", name: str, target: str) -> bytes:
        """A model of a search as a verified file for a target that the search was not for."""
        from automed.artefacts import ported
        from automed.conclude import metadata
        from automed.finalists import trained_network
        from automed.lowering import deployed

        self._require_same_data(record)
        trial = next(t for t, _ in record.rows() if t.name == name)
        sample, told = self._parts.train.sample, metadata(self._job, self._parts)
        network = trained_network(self._job, sample, trial, record.checkpoint(trial))
        model = deployed(network, self._plan.task, sample)
        return ported(name, model, target, self._parts.val, told).content

    def _require_same_data(self, record: "Record") -> None:
        if record.settings["data"] != self._parts.digest():
            raise RunError(
                "the images or labels are not those the search began with; "
                "put the data back or start a new search"
            )

    def _run(self, folder: Path, record: "Record") -> Run:
        try:
            with files.alone(folder):
                return self._searched(folder, record)
        except BlockingIOError as error:
            raise RunError(
                f"{folder} is in use by a search that is running; let it end, or end it first"
            ) from error
        except UnreachableError as error:
            raise RunError(f"{error}; see to it, then `automed resume {folder}`") from error
        except (OSError, sqlite3.OperationalError) as error:
            if not no_room(error):
                raise
            why = getattr(error, "strerror", None) or error
            raise RunError(
                f"cannot write to {folder}: {why}; make room, then `automed resume {folder}`"
            ) from error

    def _searched(self, folder: Path, record: "Record") -> Run:
        from automed.evaluate import Evaluate, architecture

        plan, task, begun = self._plan, self._plan.task, time.monotonic()
        spent = sum(o.trainings(task.budget.epochs) for _, o in record.rows())
        self._watch.opened(plan, self._parts, folder, spent)
        starts = self._starts()
        blind = self._numbers_at_random()
        sampler = self._maker.make(
            plan.strategy.partition(":")[2],
            self._space,
            task.objectives,
            rungs=task.budget.rungs,
            seed=plan.seed,
            first=len(starts) + len(blind),
        )
        if plan.earlier and isinstance(sampler, Recalling):
            sampler.recall(plan.earlier)
        if self._rule.rungs:
            sampler = Staged(sampler, self._rule, epochs=task.budget.epochs)
        resources = Resources(
            workers=plan.num_workers, cpus=plan.cpus, gpus=plan.gpus, address=plan.address
        )
        with _acknowledged(self._watch):
            complete = loop.run(
                strategy=Yardstick(
                    sampler, self._space, task.budget, numbers=blind, seed=plan.seed
                ),
                executor=self._executors.make(resources),
                evaluate=Evaluate(self._job),
                record=record,
                space=self._space,
                key=lambda t: architecture_key(t.family, architecture(t).config()),
                budget=loop.Budget(
                    trials=task.budget.trials, epochs=task.budget.epochs, hours=plan.hours
                ),
                baselines=self._baselines(),
                starts=starts,
                watch=self._watch,
            )
        if complete:
            record.close()
        return self._conclude(folder, record, complete, time.monotonic() - begun)

    def _conclude(self, folder: Path, record: "Record", complete: bool, seconds: float) -> Run:
        from automed.conclude import conclude, tidy

        results = conclude(
            self._job,
            self._parts,
            record.rows(),
            record.baselines(),
            record.checkpoint,
            folder,
            blind=self._numbers_at_random(),
            complete=complete,
            examples=self._plan.examples,
            max_drop=self._plan.max_drop,
            facts=self._facts(seconds),
            step=self._watch.step,
        )
        self._watch.step("writing the report")
        results.save(folder / RESULTS_FILE)
        tidy(folder, results)
        run = Run(folder, results)
        run.report()
        return run

    def _open_data(self) -> "Parts":
        from automed import data
        from automed.evaluate import source

        return data.open_parts(source(self._job))

    def _make_job(self) -> "Job":
        from automed.evaluate import Job

        plan = self._plan
        return Job(
            task=plan.task,
            data=plan.data,
            keys=plan.keys,
            window=plan.window,
            seed=plan.seed,
            targets=plan.targets,
            devices=plan.devices,
            threads=max(1, num_cores() // plan.num_workers) if plan.executor == "local" else 1,
            latencies={} if plan.latencies is None else known_latencies(plan.latencies),
        )

    def _baselines(self) -> list[Trial]:
        task = self._plan.task
        trials = []
        for number, name in enumerate(n for n in task.baselines if n in task.networks):
            network = task.networks[name]
            point = {k: v for k, v in network.items() if k != "family"}
            family = str(network["family"])
            trials.append(Trial(number, family, point, task.budget.epochs, BASELINE, name))
        return trials

    def _starts(self) -> list[Trial]:
        """The default of every family, which a person would try first, and an earlier front.

        Where trainings can be paused they are given a first look, and go on if they promise most;
        with FEW trainings in all a search might then end with none complete.
        """
        task = self._plan.task
        own = {
            name: {k: v for k, v in registry.family(name)().config().items() if k in self._space}
            for name in task.families
        }
        every = {k: v for config in own.values() for k, v in config.items()}
        points = [{**every, **own[name], "family": name} for name in task.families]
        is_first_look = self._pauses and task.budget.trials > FEW
        epochs = task.budget.rungs[0] if is_first_look else task.budget.epochs
        return [
            Trial(number, str(point["family"]), point, epochs)
            for number, point in enumerate([*points, *self._plan.starts])
        ]

    def _numbers_at_random(self) -> range:
        """Of the random points, after those of the starts."""
        starts = len(self._plan.task.families) + len(self._plan.starts)
        return numbers_at_random(self._plan.task.budget, starts)

    def _probe_limits(self) -> None:
        """Refuse limits that not even the smallest network of any family meets.

        Raises:
            BudgetError: None does.
        """
        from automed.conclude import nothing_fits
        from automed.evaluate import Evaluate

        task, seen = self._plan.task, []
        evaluate = Evaluate(self._job)
        for name in task.families:
            self._watch.step(f"timing the smallest {name} against the limits")
            point = {"family": name, **registry.family(name).corner(0).config()}
            outcome = evaluate(Trial(0, name, point, 0))
            if outcome.failure is None and outcome.feasible:
                return
            if task.limits.keys() <= outcome.costs.keys():
                seen.append(outcome.costs)
        if seen:
            raise BudgetError(nothing_fits(task.limits, seen))

    def _facts(self, seconds: float) -> list[tuple[str, str]]:
        import optuna
        import torch

        from automed.measure import latency
        from automed.timing import runtime
        from automed.training.tensors import device_name

        plan, minutes = self._plan, seconds / 60
        return [
            ("automed", __version__),
            ("libraries", f"torch {torch.__version__}, optuna {optuna.__version__}"),
            ("processor", latency.processor()),
            ("targets", "; ".join(f"{target} in {runtime(target)}" for target in plan.targets)),
            ("training", f"{device_name()}, workers: {plan.num_workers}, {plan.executor}"),
            (
                "strategy",
                f"{plan.strategy}, {plan.task.budget.trials} trials of at most "
                f"{plan.task.budget.epochs} epochs, {plan.task.budget.at_random:.0%} of them "
                f"at random, stopping rule: {plan.stopping}",
            ),
            ("seed", str(plan.seed)),
            ("search time", f"{minutes:.1f} min"),
        ]


@contextmanager
def _acknowledged(watch: Watch) -> Iterator[None]:
    """Answer Ctrl-C when it comes: workers, above all those of a cluster, take seconds to go."""
    usual = signal.getsignal(signal.SIGINT)
    is_main = threading.current_thread() is threading.main_thread()
    if usual is not signal.default_int_handler or not is_main:
        yield
        return

    def answer(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, usual)
        # it came while a line was being written, or what writes lines was being imported
        with suppress(RuntimeError, ImportError):
            watch.step("interrupted: stopping the workers, then exporting what is trained")
        signal.default_int_handler(number, frame)

    signal.signal(signal.SIGINT, answer)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
