"""What the engine itself costs a trial, and how that grows with the length of a study.

    python studies/benchmarks/overhead.py [--trials 1000] [--only trials,growth,study]
        [--sizes 100,1000,10000] [--strategies random,optuna:tpe,optuna:nsga2] [--out overhead.csv]

Nothing is trained. `trials`: stub trials with an outcome as a real one looks (a learning curve, a
checkpoint of 300 kB) through the real loop, record and executors, one worker; seconds from the
first told trial to the last, beside plain Ray Tune in the same Ray, which reports the same facts
but keeps no checkpoint. Starting actors anew is so slow that it gets a tenth of the trials.
`growth`: asking, recording and telling one more trial after so many, and replaying those into loop
and strategy. `study`: opening and reporting a study. The records of the last two are SYNTHETIC:
random architectures with made-up scores and latencies, and untrained weights for the finalists.
CPU is the driver's own.
"""

import argparse
import logging
import os
import random
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from automed import loop, registry
from automed.evaluate import Job, architecture, network_of, source
from automed.executors import Ask, Evaluate, Executor, Resources, Tell
from automed.family import architecture_key
from automed.record import Record
from automed.run import RESULTS_FILE, Run
from automed.space import Choice, Space
from automed.strategies import Strategy
from automed.trial import Outcome, Trial

TASK = registry.task("lung-ct")
SPACE: Space = registry.space(TASK.families, TASK.problem, 2)
EPOCHS = 12
MORE = 20
"""Full trainings by which a study is lengthened to time a trial."""


def main() -> None:
    """Measure what was asked for, print the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--only", default="trials,growth,study")
    parser.add_argument("--executors", default="local,ray")
    parser.add_argument("--sizes", default="100,1000,10000")
    parser.add_argument("--strategies", default="random,optuna:tpe,optuna:nsga2")
    parser.add_argument("--out", type=Path, default=Path("overhead.csv"))
    given = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="automed-overhead-") as scratch:
        folder, only = Path(scratch), given.only.split(",")
        if "trials" in only:
            rows += trials(folder, given.trials, given.executors.split(","))
        for size in map(int, given.sizes.split(",")):
            if "growth" in only or "study" in only:
                synthetic(folder / str(size), size)
            if "growth" in only:
                rows += growth(folder / str(size), size, given.strategies.split(","))
            if "study" in only:
                rows += study(folder / str(size), size)
    table = pd.DataFrame(rows)
    table.to_csv(given.out, index=False)
    print(table.round(4).to_string(index=False, na_rep=""))


@dataclass(frozen=True)
class Stub:
    """An Evaluate that answers at once, as a trained trial looks.

    Attributes:
        seed: Of the made-up figures.
        checkpoint_bytes: Size of the checkpoint.
    """

    seed: int = 0
    checkpoint_bytes: int = 300_000

    def warm(self, worker: int) -> None:
        """Nothing to load."""

    def __call__(self, trial: Trial) -> Outcome:
        """One trial in twenty has failed, one in five breaks a limit, the others were trained."""
        rng = random.Random(f"{self.seed}/{trial.number}")
        if rng.random() < 0.05:
            return Outcome(failure="RuntimeError: made up", seconds={"lower": 0.2})
        latency_ms = rng.lognormvariate(0, 0.6)
        macs = 2e7 if rng.random() < 0.8 else 5e7
        lowered = Outcome(
            costs={
                "latency_ms": latency_ms,
                "latency_p95_ms": 1.1 * latency_ms,
                "latency_relative": latency_ms / 0.7,
                "size_bytes": 1e6 * latency_ms,
                "params": 2.5e5 * latency_ms,
                "macs": macs,
            },
            violations={"macs": macs / 3e7 - 1},
            graph=f"{trial.number:064x}",
            seconds={"lower": 0.2},
        )
        if not lowered.feasible:
            return lowered
        final = 0.93 + 0.02 * rng.random() - 0.05 / (1 + latency_ms)
        curve = tuple(
            {"epoch": e, "loss": 0.7 / e, "auc": final - 0.3 / e**2, "accuracy": final - 0.4 / e**2}
            for e in range(1, EPOCHS + 1)
        )
        return replace(
            lowered,
            scores={"auc": curve[-1]["auc"], "accuracy": curve[-1]["accuracy"]},
            epochs=EPOCHS,
            finished=True,
            curve=curve,
            device="none: made up",
            seconds={"lower": 0.2, "train": 20.0},
            checkpoint=bytes(self.checkpoint_bytes),
        )


@dataclass
class Clock:
    """A Watch that notes the time, and the driver's own, when a trial has been told."""

    marks: list[tuple[float, float]] = field(default_factory=list)

    def started(self, trial: Trial) -> None:
        """Not of interest."""

    def ended(self, trial: Trial, outcome: Outcome) -> None:
        """Its outcome is in the record, and was told."""
        self.mark()

    def mark(self) -> None:
        """Note it."""
        self.marks.append((time.perf_counter(), time.process_time()))

    @property
    def each_ms(self) -> tuple[float, float]:
        """Milliseconds a trial from the first mark to the last: of the wall, of the driver."""
        (wall, cpu), (last_wall, last_cpu) = self.marks[0], self.marks[-1]
        per = 1000 / (len(self.marks) - 1)
        return per * (last_wall - wall), per * (last_cpu - cpu)


@dataclass
class Inline:
    """An Executor in this process, so that nothing but ask, record and tell is timed."""

    clock: Clock
    seconds: float = 0.0

    def run(self, ask: Ask, evaluate: Evaluate, tell: Tell) -> None:
        """See `Executor.run`."""
        self.clock.mark()
        while (trial := ask()) is not None:
            begun = time.perf_counter()
            outcome = evaluate(trial)
            self.seconds += time.perf_counter() - begun
            tell(trial, outcome)


def searched(
    record: Record, strategy: Strategy, executor: Executor, clock: Clock, number: int
) -> None:
    """Lengthen a record to a number of stub trials through the loop of a real search."""
    loop.run(
        strategy=strategy,
        executor=executor,
        evaluate=Stub(),
        record=record,
        space=SPACE,
        key=lambda t: architecture_key(t.family, architecture(t).config()),
        budget=loop.Budget(trials=number, epochs=EPOCHS),
        watch=clock,
    )


def strategy_of(name: str, first: int = 0) -> Strategy:
    """A strategy over the space of the task."""
    made: Strategy = registry.part("strategy", name).make(
        name.partition(":")[2],
        SPACE,
        TASK.objectives,
        rungs=TASK.budget.rungs,
        seed=first,
        first=first,
    )
    return made


def row(part: str, case: str, number: int, what: str, wall: float, cpu: float) -> dict[str, Any]:
    """A line of the table; times in seconds."""
    return {
        "part": part,
        "case": case,
        "trials": number,
        "what": what,
        "wall s": wall,
        "driver's CPU s": cpu,
    }


def trials(folder: Path, number: int, executors: Iterable[str]) -> list[dict[str, Any]]:
    """Overhead a trial of every executor, and of plain Ray Tune where Ray is among them."""
    cases: dict[str, tuple[int, Callable[[Clock, int], None]]] = {}
    for name in executors:
        executor = registry.part("executor", name).make(Resources(workers=1))
        cases[f"automed, {name}"] = number, through(executor, folder / name)
    if "ray" in executors:
        cases["plain Ray Tune, reuse_actors"] = number, plain_tune(folder, reuse=True)
        cases["plain Ray Tune, new actors"] = max(2, number // 10), plain_tune(folder, reuse=False)
        start_ray()
    rows = []
    for case, (length, run) in cases.items():
        run(clock := Clock(), length)
        wall, cpu = clock.each_ms
        rows.append(row("trials", case, length, "a trial", wall / 1000, cpu / 1000))
    reference = next((r["wall s"] for r in rows if "reuse_actors" in r["case"]), None)
    return [
        r | ({"of Tune's with reuse_actors": r["wall s"] / reference} if reference else {})
        for r in rows
    ]


def through(executor: Executor, folder: Path) -> Callable[[Clock, int], None]:
    """The engine: loop, record and executor."""

    def run(clock: Clock, number: int) -> None:
        record = Record.create(folder, "overhead", TASK.objectives, {})
        searched(record, strategy_of("random"), executor, clock, number)

    return run


def start_ray() -> None:
    """One Ray for all, with room for one trial at a time."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    import ray

    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)


def plain_tune(folder: Path, *, reuse: bool) -> Callable[[Clock, int], None]:
    """Ray Tune as its manual shows it: random search, a class API, its own loggers."""

    def run(clock: Clock, number: int) -> None:
        from ray import tune

        class Marking(tune.Callback):  # type: ignore[misc]
            def on_trial_complete(self, *args: Any, **kwargs: Any) -> None:
                clock.mark()

        class Answering(tune.Trainable):  # type: ignore[misc]
            def setup(self, config: dict[str, Any]) -> None: ...
            def reset_config(self, new_config: dict[str, Any]) -> bool:
                return True

            def step(self) -> dict[str, Any]:
                trial = Trial(int(self.config["number"]), "", {}, EPOCHS)
                return {**Stub()(trial).facts(), "done": True}

            def save_checkpoint(self, checkpoint_dir: str) -> None: ...
            def load_checkpoint(self, checkpoint: Any) -> None: ...

        options = {
            name: p.options if isinstance(p, Choice) else p.ends for name, p in SPACE.items()
        }
        tune.Tuner(
            tune.with_resources(Answering, {"cpu": 1}),
            param_space={name: tune.choice(some) for name, some in options.items()}
            | {"number": tune.randint(0, 10**6)},
            tune_config=tune.TuneConfig(num_samples=number, reuse_actors=reuse),
            run_config=tune.RunConfig(
                storage_path=str(folder / f"tune-{reuse}"), verbose=0, callbacks=[Marking()]
            ),
        ).fit()

    return run


def synthetic(folder: Path, number: int) -> None:
    """A record of so many made-up trials, without checkpoints."""
    record = Record.create(folder, "synthetic", TASK.objectives, {})
    strategy = strategy_of("random")
    evaluate = Stub(checkpoint_bytes=0)
    for _ in range(number):
        trial = strategy.ask()
        assert trial is not None
        trial = replace(trial, name=f"{trial.family}-{trial.number:03d}")
        record.write(trial, replace(evaluate(trial), checkpoint=None), SPACE)


def growth(folder: Path, number: int, strategies: Iterable[str]) -> list[dict[str, Any]]:
    """Replaying a record into loop and strategy, and one more trial after it."""
    rows: list[dict[str, Any]] = []
    for name in strategies:
        copy = folder.with_name(f"{folder.name}-{name.replace(':', '-')}")
        shutil.copytree(folder, copy)
        clock = Clock()
        clock.mark()
        executor = Inline(clock)
        searched(Record.open(copy), strategy_of(name, first=number), executor, clock, number + MORE)
        (wall, cpu), (replayed, replayed_cpu), *told = clock.marks
        end, end_cpu = told[-1]
        rows.append(
            row("growth", name, number, "open and resume", replayed - wall, replayed_cpu - cpu)
        )
        took = end - replayed - executor.seconds, end_cpu - replayed_cpu
        each = [seconds / len(told) for seconds in took]
        rows.append(row("growth", name, number, "ask, record and tell", *each))
    return rows


def study(folder: Path, number: int) -> list[dict[str, Any]]:
    """Opening a record, and what `automed` writes when a search has ended."""
    from automed.conclude import conclude
    from automed.data import open_parts
    from automed.training.recipes import saved

    rows: list[dict[str, Any]] = []
    wall, cpu = time.perf_counter(), time.process_time()
    record = Record.open(folder)
    assert len(list(record.rows())) == number
    opened = time.perf_counter() - wall, time.process_time() - cpu
    rows.append(row("study", "synthetic", number, "open", *opened))
    job = Job(task=TASK.changed(baselines=()), data="phantom:lung-ct?patients=30")
    parts = open_parts(source(job))
    steps: list[tuple[float, float, str]] = []

    def step(text: str) -> None:
        steps.append((time.perf_counter(), time.process_time(), text))

    step("begin")
    results = conclude(
        job,
        parts,
        record.rows(),
        record.baselines(),
        lambda t: saved({"kept": network_of(t, parts.train.sample, 0).state_dict()}),
        folder,
        max_drop=None,
        complete=True,
        examples=True,
        facts=[],
        step=step,
    )
    results.save(folder / RESULTS_FILE)
    Run.open(folder).report()
    step("end")
    exporting = next(s for s in steps if s[2].startswith("exporting"))
    judging = next(s for s in steps if s[2].startswith("opening"))
    exported = judging[0] - exporting[0], judging[1] - exporting[1]
    wall, cpu = steps[-1][0] - steps[0][0], steps[-1][1] - steps[0][1]
    told = wall - exported[0], cpu - exported[1]
    rows.append(row("study", "synthetic", number, "report", *told))
    rows.append(row("study", "synthetic", number, "export and time finalists", *exported))
    return rows


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
