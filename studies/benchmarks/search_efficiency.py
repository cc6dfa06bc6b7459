"""How much training a strategy needs: recorded architectures, replayed through the real loop.

    python studies/benchmarks/search_efficiency.py NAS_TABLES [--only pareto,Optuna] [--cost 100]
    python studies/benchmarks/search_efficiency.py --table FILE --genes COLUMN --high COLUMN \
        --latency COLUMN [--low COLUMN --low-cost 0.06]

NAS_TABLES holds nb201_c10_c100.parquet and nb_macro.parquet, which automed does not ship. A table
has a row for each architecture: its genes, one character each, its accuracy in percent after a full
training and, maybe, after a short one, and what it costs to run.

Cost is counted in full trainings. A short training costs its share and a full one costs 1 even if
it follows a short one; an architecture that was asked for before is paid for again where a library
is called directly. Only what was trained in full enters the hypervolume, which both objectives are
minimised for: error and latency, up to the median error of the table and 1.1 times the slowest
latency of its true front, divided by the hypervolume of that front. automed's strategies run
through its loop, from a record in memory; the libraries' own samplers are called directly.
"""

import argparse
import random
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from numpy.typing import NDArray
from recorded import (
    OBJECTIVES,
    BudgetSpentError,
    Genes,
    Meter,
    Source,
    Table,
)

from automed import loop, registry
from automed.executors import Ask, Evaluate, Tell
from automed.space import Space
from automed.strategies.staged import Staged
from automed.trial import Outcome, Trial

MARKS = (25, 50, 100, 200, 500)
FULL = 1000
"""What a full training is called in epochs; a short one is its share of them."""
SHARED = (
    ("c10_raspi4", "nb201_c10_c100", "cifar10_val200", "lat_raspi4", "cifar10_val12"),
    ("c100_pixel3", "nb201_c10_c100", "cifar100_val200", "lat_pixel3", "cifar100_val12"),
    ("macro_flops", "nb_macro", "acc", "flops", None),
)


@dataclass
class Replay:
    """An Evaluate that looks trials up, and the executor, record and watch around it."""

    meter: Meter
    workers: int
    flying: list[Trial] = field(default_factory=list)

    def __call__(self, trial: Trial) -> Outcome:
        """Costs alone, or with the error after a short or a full training."""
        genes = genes_of(trial)
        latency = self.meter.latency(genes)
        if trial.epochs == 0:
            return Outcome(costs={"latency_ms": latency})
        is_full = trial.epochs == FULL
        error = self.meter.full(genes)[0] if is_full else self.meter.short(genes)
        return Outcome(
            scores={"error": error},
            costs={"latency_ms": latency},
            epochs=trial.epochs,
            finished=is_full,
            curve=({"error": error},),
        )

    def warm(self, worker: int) -> None:
        """Nothing to load."""

    def run(self, ask: Ask, evaluate: Evaluate, tell: Tell) -> None:
        """Several in flight; the one that was asked first ends first."""
        while True:
            while len(self.flying) < self.workers and (trial := ask()) is not None:
                self.flying.append(trial)
            if not self.flying:
                return
            ended = self.flying.pop(0)
            try:
                outcome = evaluate(ended)
            except BudgetSpentError:
                return
            tell(ended, outcome)

    def write(self, trial: Trial, outcome: Outcome, space: Space) -> None:
        """The meter keeps what counts."""

    def rows(self) -> Iterator[tuple[Trial, Outcome]]:
        """Nothing was known before."""
        return iter(())

    baselines = rows

    def checkpoint(self, trial: Trial) -> bytes:
        """A table needs none."""
        return b""

    def started(self, trial: Trial) -> None:
        """Nobody looks on."""

    def ended(self, trial: Trial, outcome: Outcome) -> None:
        """Nobody looks on."""


def genes_of(trial: Trial) -> Genes:
    """The genes a trial's point stands for."""
    return tuple(str(trial.point[f"gene.{i}"]) for i in range(len(trial.point) - 1))


def through_the_loop(
    strategy: str, meter: Meter, seed: int, *, rule: str = "none", low: bool = False, workers: int
) -> None:
    """One of automed's strategies, from its first ask to the last of the budget."""
    table = meter.table
    rungs = (round(table.low_cost * FULL), FULL) if low else (FULL,)
    made = registry.part("strategy", strategy).make(
        strategy.partition(":")[2], table.space, OBJECTIVES, rungs=rungs, seed=seed, first=0
    )
    if rule != "none":
        stopping = registry.part("stopping", rule).make("", OBJECTIVES, rungs=rungs)
        made = Staged(made, stopping, epochs=FULL)
    replay = Replay(meter, workers)
    loop.run(
        strategy=made,
        executor=replay,
        evaluate=replay,
        record=replay,
        space=table.space,
        key=lambda trial: "".join(genes_of(trial)),
        budget=loop.Budget(trials=int(meter.cost) + 1, epochs=FULL),
        watch=replay,
    )


def optuna_sampler(name: str, meter: Meter, seed: int, **arguments: object) -> None:
    """A sampler of Optuna, called directly."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        directions=["minimize"] * 2, sampler=getattr(optuna.samplers, name)(seed=seed, **arguments)
    )

    def objective(trial: optuna.Trial) -> tuple[float, float]:
        letters = enumerate(meter.table.letters)
        return meter.full(tuple(trial.suggest_categorical(str(i), x) for i, x in letters))

    study.optimize(objective, n_trials=None, catch=())


def nni_tuner(module: str, name: str, meter: Meter, seed: int, **arguments: object) -> None:
    """A tuner of NNI, called directly: each trial's loss by a trade-off drawn for it.

    The loss is the augmented Chebyshev one over ranges seen so far; NNI knows one objective.
    """
    import importlib

    import nni

    nni.silence_stdout()
    random.seed(seed)
    np.random.seed(seed)
    made = getattr(importlib.import_module(f"nni.algorithms.hpo.{module}"), name)
    tuner = made(optimize_mode="minimize", **arguments)
    tuner.update_search_space(
        {str(i): {"_type": "choice", "_value": x} for i, x in enumerate(meter.table.letters)}
    )
    draws, seen = np.random.default_rng(seed), list[tuple[float, float]]()
    for number in range(10**6):
        config = tuner.generate_parameters(number)
        seen.append(meter.full(tuple(config[str(i)] for i in range(len(config)))))
        values = np.array(seen)
        low, high = values.min(axis=0), values.max(axis=0)
        scaled = (values[-1] - low) / np.where(high > low, high - low, 1.0)
        weighed = np.array([w := draws.random(), 1 - w]) * scaled
        tuner.receive_trial_result(number, config, float(weighed.max() + 0.05 * weighed.sum()))


def pymoo_nsga2(meter: Meter, seed: int, *, population: int) -> None:
    """NSGA-II of pymoo on whole numbers, as its documentation sets it up."""
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.problem import ElementwiseProblem
    from pymoo.operators.crossover.sbx import SBX
    from pymoo.operators.mutation.pm import PM
    from pymoo.operators.repair.rounding import RoundingRepair
    from pymoo.operators.sampling.rnd import IntegerRandomSampling
    from pymoo.optimize import minimize

    letters = meter.table.letters

    class Lookup(ElementwiseProblem):  # type: ignore[misc]
        def _evaluate(self, x: NDArray[np.int64], out: dict[str, object]) -> None:
            out["F"] = meter.full(tuple(letters[i][int(v)] for i, v in enumerate(x)))

    problem = Lookup(
        n_var=len(letters), n_obj=2, xl=0, xu=np.array([len(x) - 1 for x in letters]), vtype=int
    )
    algorithm = NSGA2(
        pop_size=population,
        sampling=IntegerRandomSampling(),
        crossover=SBX(prob=1.0, eta=3.0, vtype=float, repair=RoundingRepair()),
        mutation=PM(prob=1.0, eta=3.0, vtype=float, repair=RoundingRepair()),
        eliminate_duplicates=True,
    )
    minimize(problem, algorithm, ("n_gen", 10**6), seed=seed)


@dataclass(frozen=True)
class Method:
    """A way to search.

    Attributes:
        search: Spends a meter; ends by itself or by `BudgetSpentError`.
        low: It makes use of short trainings, so that a table without is not for it.
        costs_time: Asking takes so long that it is not followed beyond a cost of 100.
    """

    search: Callable[[Meter, int, int], None]
    low: bool = False
    costs_time: bool = False


def _ours(strategy: str, **how: object) -> Callable[[Meter, int, int], None]:
    def search(meter: Meter, seed: int, workers: int) -> None:
        through_the_loop(strategy, meter, seed, workers=workers, **how)  # type: ignore[arg-type]

    return search


def _theirs(call: Callable[..., None]) -> Callable[[Meter, int, int], None]:
    return lambda meter, seed, workers: call(meter=meter, seed=seed)


METHODS = {
    "pareto": Method(_ours("pareto", low=True), low=True, costs_time=True),
    "pareto, full trainings only": Method(_ours("pareto"), costs_time=True),
    "random": Method(_ours("random")),
    "controller": Method(_ours("controller")),
    "optuna:tpe + halving": Method(
        _ours("optuna:tpe", rule="halving", low=True), low=True, costs_time=True
    ),
    "Optuna TPE multivariate": Method(
        _theirs(partial(optuna_sampler, "TPESampler", multivariate=True)), costs_time=True
    ),
    "Optuna NSGA-II": Method(_theirs(partial(optuna_sampler, "NSGAIISampler"))),
    "Optuna NSGA-II, population 20": Method(
        _theirs(partial(optuna_sampler, "NSGAIISampler", population_size=20))
    ),
    "NNI evolution": Method(
        _theirs(partial(nni_tuner, "evolution_tuner", "EvolutionTuner", population_size=32))
    ),
    "NNI TPE": Method(_theirs(partial(nni_tuner, "tpe_tuner", "TpeTuner")), costs_time=True),
    "pymoo NSGA-II, population 20": Method(_theirs(partial(pymoo_nsga2, population=20))),
}


def one(source: Source, name: str, seed: int, cost: float, workers: int) -> dict[str, object]:
    """One search: hypervolumes at every mark, and what it took."""
    warnings.simplefilter("ignore")
    method, table = METHODS[name], Table(source)
    meter = Meter(table, min(cost, 100) if method.costs_time else cost)
    started = time.process_time()
    with suppress(BudgetSpentError):
        method.search(meter, seed, workers)
    return {
        "problem": source.name,
        "method": name,
        "seed": seed,
        **{f"at {m}": meter.at(m) for m in MARKS if m <= meter.cost},
        "lowered": len(meter.lowered),
        "trained": len(meter.trained),
        "cpu s": time.process_time() - started,
    }


def summary(rows: Iterable[dict[str, object]]) -> pd.DataFrame:
    """Mean and standard deviation over the seeds."""
    frame = pd.DataFrame(rows)
    marks = [f"at {m}" for m in MARKS if f"at {m}" in frame]
    groups = frame.groupby(["problem", "method"], sort=False)
    told = groups[marks].agg(_spread)
    told["seeds"] = groups.size()
    for name in ("lowered", "trained", "cpu s"):
        told[name] = groups[name].mean().round(1)
    return told.reset_index()


def _spread(values: "pd.Series[float]") -> str:
    return f"{values.mean():.3f}±{values.std(ddof=0):.3f}" if values.notna().all() else ""


def figure(rows: Iterable[dict[str, object]]) -> go.Figure:
    """Mean hypervolume by cost, a panel a problem, a line a method."""
    import plotly.express as px

    frame = pd.DataFrame(rows)
    marks = [f"at {m}" for m in MARKS if f"at {m}" in frame]
    means = frame.groupby(["problem", "method"], sort=False)[marks].mean().reset_index()
    points = means.melt(["problem", "method"], var_name="cost", value_name="hypervolume").dropna()
    points["cost"] = points["cost"].str.removeprefix("at ").astype(int)
    drawn = px.line(
        points, x="cost", y="hypervolume", color="method", facet_col="problem", markers=True,
        log_x=True, template="simple_white", width=1300, height=520,
        labels={"cost": "full trainings", "hypervolume": "share of the true front's hypervolume"},
    )  # fmt: skip
    drawn.for_each_annotation(lambda a: a.update(text=a.text.partition("=")[2]))
    return drawn.update_xaxes(tickvals=MARKS)


def sources(given: argparse.Namespace) -> list[Source]:
    """The tables to search."""
    if given.table is None:
        every = (
            Source(
                name=name,
                file=given.tables / f"{file}.parquet",
                genes="arch",
                high=high,
                latency=latency,
                low=low,
                low_cost=0.06 if low else 0.0,
            )
            for name, file, high, latency, low in SHARED
        )
        return [s for s in every if not given.problems or s.name in given.problems]
    table = Source(
        name=given.table.stem,
        file=given.table,
        genes=given.genes,
        high=given.high,
        latency=given.latency,
        low=given.low,
        low_cost=given.low_cost,
    )
    return [table]


def main() -> None:
    """Search what is asked for and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tables", type=Path, nargs="?")
    parser.add_argument("--problems", type=lambda text: text.split(","))
    for name in ("genes", "high", "latency", "low"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--table", type=Path)
    parser.add_argument("--low-cost", type=float, default=0.06)
    parser.add_argument("--only", type=lambda text: text.split(","), default=[""])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--cost", type=float, default=500)
    parser.add_argument("--workers", type=int, default=1, help="trials in flight at once")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("search_efficiency.csv"))
    given = parser.parse_args()
    if given.table is None and given.tables is None:
        parser.error("name the folder of the tables, or one table with --table")
    if given.table and not (given.genes and given.high and given.latency):
        parser.error("--table needs --genes, --high and --latency, names of its columns")
    jobs = [
        (source, name, seed, given.cost, given.workers)
        for source in sources(given)
        for name, method in METHODS.items()
        if any(name.startswith(only) for only in given.only)
        if source.low or not method.low
        for seed in range(given.seeds)
    ]
    rows: list[dict[str, object]] = []
    with ProcessPoolExecutor(given.processes, mp_context=get_context("spawn")) as pool:
        for row in pool.map(one, *zip(*jobs, strict=True)):
            rows.append(row)
            pd.DataFrame(rows).to_csv(given.out, index=False)
            if row["seed"] == given.seeds - 1:
                print(summary(rows).tail(1).to_string(index=False), flush=True)
    figure(rows).write_html(given.out.with_suffix(".html"), include_plotlyjs=True)
    print(summary(rows).to_string(index=False))


if __name__ == "__main__":
    main()
