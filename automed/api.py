"""The composition root: puts a task, data, strategy, executor and record together into a run."""

import dataclasses
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import automed
from automed import loop, registry
from automed.errors import BudgetError, RunError, UnknownNameError
from automed.executors import Resources
from automed.family import architecture_key
from automed.task import CLASSICAL, COSTS, Direction, Task
from automed.trial import BASELINE, Outcome, Trial

if TYPE_CHECKING:
    import pandas as pd

    from automed.data.splits import Parts
    from automed.evaluate import Job
    from automed.record import Record
    from automed.report.results import Model, Results

RESULTS_FILE = "results.json"
REPORT_FILE = "report.html"
FRONT_FILE = "pareto.csv"
TRIALS_FILE = "trials.csv"
CARD_FILE = "model-card.md"
DEFAULT_STRATEGY = "optuna:tpe"


class Watch(loop.Watch, Protocol):
    """Who looks on."""

    def opened(self, plan: "Plan", parts: "Parts", folder: Path, known: int) -> None:
        """The data is read, `known` trials are in the record and the search is about to begin."""

    def step(self, text: str) -> None:
        """Something else is being done."""


class Silent:
    """Nobody looks on: a Watch that says nothing."""

    def opened(self, plan: "Plan", parts: "Parts", folder: Path, known: int) -> None:
        """The data is read and the search is about to begin."""

    def started(self, trial: Trial) -> None:
        """A trial goes to a worker."""

    def ended(self, trial: Trial, outcome: Outcome) -> None:
        """Its outcome is in the record."""

    def step(self, text: str) -> None:
        """Something else is being done."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One search, as plain values: what the record keeps and a resumed search needs.

    Attributes:
        task: The task with the user's changes.
        data: Source of the images.
        keys: Which arrays or columns of the source play which role.
        window: Raw values mapped to 0 and 1, if the user gave them.
        strategy: Name of the strategy.
        executor: Name of the executor.
        exporter: Name of the target.
        seed: Of split, strategy and weights.
        workers: Trials at once; None for one per core or GPU.
        cpus: Cores a trial takes on a cluster.
        gpus: GPUs a trial takes on a cluster.
        address: Of a Ray cluster to join.
        hours: Wall time to search, or None.
        latencies: Run folder whose timings are used again, or None.
    """

    task: Task
    data: str
    keys: Mapping[str, str] = field(default_factory=dict)
    window: tuple[float, float] | None = None
    strategy: str = DEFAULT_STRATEGY
    executor: str = "local"
    exporter: str = "onnx"
    seed: int = 0
    workers: int | None = None
    cpus: float = 1.0
    gpus: float = 0.0
    address: str | None = None
    hours: float | None = None
    latencies: str | None = None

    def settings(self) -> dict[str, Any]:
        """Plain JSON values; `from_settings` is the inverse."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return values | {"task": self.task.model_dump(), "keys": dict(self.keys)}

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> "Plan":
        """The plan behind a record."""
        window = settings["window"]
        return cls(
            **dict(settings)
            | {
                "task": Task.model_validate(settings["task"]),
                "window": None if window is None else (window[0], window[1]),
            }
        )

    @property
    def num_workers(self) -> int:
        """Trials at once."""
        return self.workers or max(1, os.cpu_count() or 1)


@dataclass(frozen=True)
class Run:
    """A finished or interrupted search in its folder."""

    folder: Path
    results: "Results"

    @property
    def front(self) -> "pd.DataFrame":
        """The models of the front, from fastest to most accurate."""
        table = self.results.table()
        return table[table["origin"] == "search"].reset_index(drop=True)

    @property
    def best(self) -> "Model":
        """The chosen model."""
        return next(m for m in self.results.models if m.name == self.results.chosen)

    def export(self, path: str | Path, model: str | None = None) -> Path:
        """Copy the artefact of a model of the front, by default the chosen one.

        Raises:
            UnknownNameError: No such model on the front.
            RunError: The path cannot be written.
        """
        known = {m.name: m for m in self.results.front}
        if (name := model or self.best.name) not in known:
            raise UnknownNameError("model of the front", name, known)
        source = self.folder / str(known[name].artefact)
        target = Path(path)
        try:
            if target.is_dir():
                target = target / source.name
            _replace(target, source.read_bytes())
        except OSError as error:
            raise RunError(f"cannot write {target}: {error.strerror}") from error
        return target

    def report(self) -> Path:
        """Write report.html, the tables and the model card anew from results.json."""
        from automed.report import card, page

        _replace(self.folder / FRONT_FILE, self.results.table().to_csv(index=False).encode())
        _replace(self.folder / TRIALS_FILE, self.results.trial_table().to_csv(index=False).encode())
        if self.results.chosen is not None:
            card.write(self.results, self.results.chosen, self.folder / CARD_FILE)
        page.write(self.results, self.folder / REPORT_FILE)
        return self.folder / REPORT_FILE

    @classmethod
    def open(cls, folder: str | Path) -> "Run":
        """The run in a folder.

        Raises:
            RunError: The folder holds no results.
        """
        from automed.report.results import Results

        path = Path(folder) / RESULTS_FILE
        if not path.is_file():
            unfinished = (Path(folder) / "study.db").is_file()
            cure = (
                f"finish it with `automed resume {folder}`" if unfinished else "name a run folder"
            )
            raise RunError(f"{folder} holds no {RESULTS_FILE}; {cure}")
        try:
            return cls(Path(folder), Results.load(path))
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(
                f"{path} is not what a search writes; name a run folder, or delete that file "
                f"and go on with `automed resume {folder}`"
            ) from error


def search(
    task: str = "lung-ct",
    data: str | Path | None = None,
    *,
    out: str | Path | None = None,
    trials: int | None = None,
    epochs: int | None = None,
    hours: float | None = None,
    seed: int = 0,
    workers: int | None = None,
    strategy: str = DEFAULT_STRATEGY,
    executor: str = "local",
    families: Iterable[str] = (),
    objectives: Iterable[str] = (),
    limits: Mapping[str, float] | None = None,
    baselines: Iterable[str] | None = None,
    keys: Mapping[str, str] | None = None,
    window: tuple[float, float] | None = None,
    latencies: str | Path | None = None,
    address: str | None = None,
    cpus: float = 1.0,
    gpus: float = 0.0,
    watch: Watch | None = None,
) -> Run:
    """Search a task for the front of accuracy against latency, and export what lies on it.

    Args:
        task: Name of a task, or path of a task file.
        data: Your images: .npz, folder of class folders, or .csv; None for the embedded data.
        out: Run folder; by default runs/<task>-<time>.
        trials: Architectures to try; None for the task's own number.
        epochs: Epochs of a full training; None for the task's own number.
        hours: Wall time after which nothing new is started.
        seed: Of split, strategy and weights.
        workers: Trials at once; None for one per core.
        strategy: For example "optuna:tpe"; see `automed list strategies`.
        executor: "local" or "ray".
        families: Families that compete; empty for the task's own.
        objectives: Names of a score and of costs; empty for the task's own.
        limits: Cost to its upper bound, for example {"latency_ms": 2.0}.
        baselines: Unsearched networks and classical methods to compare with; None for the task's.
        keys: Which arrays or columns of the data play which role.
        window: Raw values mapped to 0 and 1.
        latencies: A run folder whose timings are used again instead of measuring.
        address: Ray cluster to join.
        cpus: Cores a trial takes on a cluster.
        gpus: GPUs a trial takes on a cluster; fractions share one.
        watch: Told what happens.

    Returns:
        The run, with `.front`, `.best`, `.export()` and `.report()`.

    Raises:
        AutomedError: Something given cannot be used; the message says what would do.
    """
    chosen = registry.task(task)
    changes: dict[str, Any] = {
        "budget": chosen.budget.model_dump()
        | {k: v for k, v in (("trials", trials), ("epochs", epochs)) if v is not None},
        "limits": chosen.limits | dict(limits or {}),
    }
    if names := tuple(families):
        changes["families"] = names
    if wanted := tuple(objectives):
        changes["objectives"] = _directions(chosen, wanted)
    if baselines is not None:
        every = (*CLASSICAL, *chosen.networks)
        asked = tuple(baselines)
        changes["baselines"] = every if asked == ("all",) else asked
    plan = Plan(
        task=chosen.changed(**changes),
        data=_absolute(data) if data is not None else chosen.data,
        keys=keys or {},
        window=window,
        strategy=strategy,
        executor=executor,
        seed=seed,
        workers=workers,
        cpus=cpus,
        gpus=gpus,
        address=address,
        hours=hours,
        latencies=None if latencies is None else _absolute(latencies),
    )
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = Path(out) if out is not None else Path("runs") / f"{chosen.name}-{stamp}"
    return _Session(plan, watch or Silent()).start(folder, probe=bool(limits))


def resume(folder: str | Path, *, watch: Watch | None = None) -> Run:
    """Go on with an interrupted search to the total it was started with, and conclude it.

    Raises:
        RunError: The folder is no run, or its data has changed.
    """
    from automed.record import Record

    record = Record.open(Path(folder))
    if (Path(folder) / RESULTS_FILE).is_file() and (done := Run.open(folder)).results.complete:
        return done
    plan = Plan.from_settings(record.settings["plan"])
    return _Session(plan, watch or Silent()).go_on(Path(folder), record)


class _Session:
    """One process's part of a search."""

    def __init__(self, plan: Plan, watch: Watch) -> None:
        self._plan, self._watch = plan, watch
        task = plan.task  # first what is quick to refuse, last what imports PyTorch
        self._maker = registry.part("strategy", plan.strategy)
        self._executors = registry.part("executor", plan.executor)
        registry.part("exporter", plan.exporter)
        metrics = registry.part("problem", task.problem).PROBLEM.metrics
        if task.score not in metrics:
            raise UnknownNameError("metric", task.score, metrics)
        self._parts = self._open_data()
        self._space = registry.space(task.families, task.problem)
        self._job = self._make_job()

    def start(self, folder: Path, *, probe: bool) -> Run:
        """A new search in a new folder; a probe asks first whether anything meets the limits."""
        from automed.record import Record

        if probe:
            self._probe_limits()
        record = Record.create(
            folder,
            self._plan.task.name,
            self._plan.task.objectives,
            {"plan": self._plan.settings(), "data": self._data_digest()},
        )
        return self._run(folder, record)

    def go_on(self, folder: Path, record: "Record") -> Run:
        """An interrupted search."""
        if record.settings["data"] != self._data_digest():
            raise RunError(
                "the images or labels are not those the search began with; "
                "put the data back or start a new search"
            )
        return self._run(folder, record)

    def _run(self, folder: Path, record: "Record") -> Run:
        from automed.evaluate import Evaluate, architecture

        plan, task, begun = self._plan, self._plan.task, time.monotonic()
        known = sum(1 for _ in record.rows())
        self._watch.opened(plan, self._parts, folder, known)
        starts = self._starts()
        strategy = self._maker.make(
            plan.strategy.partition(":")[2],
            self._space,
            task.objectives,
            epochs=task.budget.epochs,
            seed=plan.seed + 1000 * known,  # a resumed search must not draw the same again
            first=len(starts),
        )
        resources = Resources(
            workers=plan.num_workers, cpus=plan.cpus, gpus=plan.gpus, address=plan.address
        )
        complete = loop.run(
            strategy=strategy,
            executor=self._executors.make(resources),
            evaluate=Evaluate(self._job),
            record=record,
            space=self._space,
            key=lambda t: architecture_key(t.family, architecture(t).config()),
            budget=loop.Budget(trials=task.budget.trials, hours=plan.hours),
            baselines=self._baselines(),
            starts=starts,
            watch=self._watch,
        )
        if complete:
            record.close()
        return self._conclude(folder, record, complete, time.monotonic() - begun)

    def _conclude(self, folder: Path, record: "Record", complete: bool, seconds: float) -> Run:
        from automed.conclude import conclude

        results = conclude(
            self._job,
            self._parts,
            record.rows(),
            record.baselines(),
            record.checkpoint,
            folder,
            complete=complete,
            facts=self._facts(seconds),
            step=self._watch.step,
        )
        self._watch.step("writing the report")
        results.save(folder / RESULTS_FILE)
        run = Run(folder, results)
        run.report()
        return run

    def _open_data(self) -> "Parts":
        from automed import data

        plan = self._plan
        return data.open_parts(
            plan.data, plan.keys, seed=plan.seed, window=plan.window, hu_window=plan.task.window
        )

    def _make_job(self) -> "Job":
        from automed.evaluate import Job

        plan = self._plan
        cores = os.cpu_count() or 1
        return Job(
            task=plan.task,
            data=plan.data,
            keys=plan.keys,
            window=plan.window,
            seed=plan.seed,
            exporter=plan.exporter,
            threads=max(1, cores // plan.num_workers) if plan.executor == "local" else 1,
            latencies={} if plan.latencies is None else known_latencies(plan.latencies),
        )

    def _data_digest(self) -> str:
        return f"{self._parts.train.digest()}-{self._parts.val.digest()}"

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
        """The default of every family: what a person would try first, a search should know."""
        task = self._plan.task
        own = {name: registry.family(name)().config() for name in task.families}
        every = {k: v for config in own.values() for k, v in config.items()}
        return [
            Trial(number, name, {**every, **own[name], "family": name}, task.budget.epochs)
            for number, name in enumerate(task.families)
        ]

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
            if outcome.costs:
                seen.append(outcome.costs)
        if seen:
            raise BudgetError(nothing_fits(task.limits, seen))

    def _facts(self, seconds: float) -> list[tuple[str, str]]:
        import optuna
        import torch

        from automed.exporters.onnx_runtime import RUNTIME
        from automed.measure import latency
        from automed.training.tensors import device_name

        plan, minutes = self._plan, seconds / 60
        return [
            ("automed", automed.__version__),
            ("libraries", f"torch {torch.__version__}, optuna {optuna.__version__}"),
            ("latency", f"host CPU: {latency.processor()}, {RUNTIME}, batch 1"),
            ("training", f"{device_name()}, {plan.num_workers} workers, {plan.executor}"),
            (
                "strategy",
                f"{plan.strategy}, {plan.task.budget.trials} trials of at most "
                f"{plan.task.budget.epochs} epochs",
            ),
            ("seed", str(plan.seed)),
            ("search time", f"{minutes:.1f} min"),
        ]


def known_latencies(folder: str | Path) -> dict[str, dict[str, float]]:
    """Timings of an earlier run by `evaluate.memo_key`, for this machine and runtime only.

    Raises:
        RunError: The folder is no run.
    """
    from automed.evaluate import memo_key
    from automed.record import Record

    record = Record.open(Path(folder))
    return {
        memo_key(outcome.graph, "onnx"): {
            name: value for name, value in outcome.costs.items() if name.startswith("latency")
        }
        for rows in (record.baselines(), record.rows())  # a strategy was told of trials only
        for _, outcome in rows
        if outcome.costs
    }


def _directions(task: Task, names: Iterable[str]) -> dict[str, Direction]:
    metrics = registry.part("problem", task.problem).PROBLEM.metrics
    for name in names:
        if name not in COSTS and name not in metrics:
            raise UnknownNameError("objective", name, [*metrics, *COSTS])
    return {name: "minimize" if name in COSTS else "maximize" for name in names}


def _absolute(source: str | Path) -> str:
    """A path as any process can open it; what is no path, such as a phantom, stays as it is."""
    path = Path(source)
    return str(path.resolve()) if path.exists() else str(source)


def _replace(path: Path, content: bytes) -> None:
    """Write through a temporary neighbour, so that no half-written file is left."""
    scratch = path.with_name(path.name + ".tmp")
    scratch.write_bytes(content)
    scratch.replace(path)
