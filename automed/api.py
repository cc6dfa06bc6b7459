"""What Python users call: search and resume, and the run they give."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from automed import registry
from automed.artefacts import FULL
from automed.earlier import learnt_from
from automed.errors import UnknownNameError
from automed.plan import DEFAULT_DEVICES, DEFAULT_MAX_DROP, DEFAULT_STRATEGY, DEFAULT_TARGETS, Plan
from automed.run import RESULTS_FILE, Run
from automed.session import Session, Silent, Watch
from automed.task import COSTS, Direction, Task, is_cost

__all__ = ["Run", "export", "resume", "search"]


def search(
    task: str | Path = "lung-ct",
    data: str | Path | None = None,
    *,
    out: str | Path | None = None,
    trials: int | None = None,
    epochs: int | None = None,
    hours: float | None = None,
    seed: int = 0,
    workers: int | None = None,
    strategy: str = DEFAULT_STRATEGY,
    stopping: str = "none",
    executor: str = "local",
    targets: Iterable[str] = DEFAULT_TARGETS,
    devices: Iterable[str] = DEFAULT_DEVICES,
    families: Iterable[str] = (),
    objectives: Iterable[str] = (),
    limits: Mapping[str, float] | None = None,
    baselines: Iterable[str] | None = None,
    keys: Mapping[str, str] | None = None,
    window: tuple[float, float] | None = None,
    warm_start: str | Path | None = None,
    latencies: str | Path | None = None,
    address: str | None = None,
    cpus: float = 1.0,
    gpus: float = 0.0,
    max_drop: float | None = DEFAULT_MAX_DROP,
    examples: bool = True,
    watch: Watch | None = None,
) -> Run:
    """Search a task for the front of accuracy against latency, and export what lies on it.

    Args:
        task: Name of a task, or path of a task file.
        data: Your images: .npz, folder of class folders, or .csv; None for the embedded data.
        out: Run folder; by default runs/<task>-<time>.
        trials: Full trainings, one that is stopped counting by its epochs; None for the task's
            own number.
        epochs: Epochs of a full training; None for the task's own number.
        hours: Wall time after which nothing new is started.
        seed: Of split, strategy and weights.
        workers: Trials at once; None for one per core.
        strategy: For example "optuna:tpe"; see `automed list strategies`.
        stopping: Rule that stops trainings early; see `automed list stopping`.
        executor: "local" or "ray".
        targets: Where models must run, see `automed list exporters`; an architecture that does not
            run on each is never trained. Latency is that of the first.
        devices: Where models are timed, see `automed devices`; that of one after the first, as of
            another target, is an objective by its name: "latency_ms@ssh:board"; of a board that is
            its host's first name, without account and domain.
        families: Families that compete; empty for the task's own.
        objectives: Names of a score and of costs; empty for the task's own.
        limits: Cost to its upper bound, for example {"latency_ms": 2.0}.
        baselines: Unsearched networks and classical methods to compare with; None for the task's.
        keys: Which arrays or columns of the data play which role.
        window: Raw values mapped to 0 and 1.
        warm_start: A run folder, of another task maybe, whose front is tried first; `pareto` learns
            from its scores, too.
        latencies: A run folder whose timings are used again instead of measuring.
        address: Ray cluster to join.
        cpus: Cores a trial takes on a cluster.
        gpus: GPUs a trial takes on a cluster; fractions share one.
        max_drop: By how much the validation score of an int8 file may be worse than that in fp32
            for it to be kept; None makes none.
        examples: Whether results and report show pictures of a few validation samples.
        watch: Told what happens.

    Returns:
        The run, with `.front`, `.best`, `.export()` and `.report()`.

    Raises:
        AutomedError: Something given cannot be used; the message says what would do.
    """
    from automed.record import require_free

    chosen = registry.task(str(task))
    changes: dict[str, Any] = {
        "budget": chosen.budget.model_dump()
        | {k: v for k, v in (("trials", trials), ("epochs", epochs)) if v is not None},
        "limits": chosen.limits | dict(limits or {}),
    }
    if names := tuple(dict.fromkeys(families)):
        changes["families"] = names
    if wanted := tuple(objectives):
        changes["objectives"] = _directions(chosen, wanted)
    if baselines is not None:
        problem = registry.part("problem", chosen.problem).PROBLEM
        every = (*problem.classical, *chosen.networks)
        asked = tuple(baselines)
        changes["baselines"] = every if asked == ("all",) else asked
    starts, earlier = ((), ()) if warm_start is None else learnt_from(Path(warm_start))
    plan = Plan(
        task=chosen.changed(**changes),
        data=_absolute(data) if data is not None else chosen.data,
        keys=keys or {},
        window=window,
        strategy=strategy,
        stopping=stopping,
        executor=executor,
        targets=tuple(dict.fromkeys(targets)),
        devices=tuple(dict.fromkeys(devices)),
        seed=seed,
        workers=workers,
        cpus=cpus,
        gpus=gpus,
        address=address,
        hours=hours,
        starts=starts,
        earlier=earlier,
        latencies=None if latencies is None else _absolute(latencies),
        own_limits=tuple(limits or ()),
        max_drop=max_drop,
        examples=examples,
    )
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = Path(out) if out is not None else Path("runs") / f"{chosen.name}-{stamp}"
    require_free(folder)
    return Session(plan, watch or Silent()).start(folder, probe=bool(limits))


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
    return Session(plan, watch or Silent()).go_on(Path(folder), record)


def export(
    run: str | Path,
    path: str | Path,
    model: str | None = None,
    *,
    target: str | None = None,
    precision: str = FULL,
) -> Path:
    """Copy a verified file of a model; for a target the search was not for, make it first.

    Args:
        run: A run folder.
        path: A file; or a folder, which is made if it ends with a slash and is not there.
        model: Name of a model of the front; None for the chosen one.
        target: See `automed list exporters`; None for the first of the search.
        precision: "fp32" or "int8".

    Raises:
        AutomedError: There is no such model or file, it cannot be made, or not be written.
    """
    from automed.record import Record

    opened = Run.open(run)
    wanted = opened.best if model is None else opened.named(model)
    made = {file.target for file in wanted.files}
    if target is None or target in made or precision != FULL:
        return opened.export(path, wanted.name, target=target, precision=precision)
    suffix = registry.part("exporter", target).SUFFIX
    record = Record.open(Path(run))
    searched = Plan.from_settings(record.settings["plan"])
    task = searched.task.changed(  # what other places cost has no say in one more file
        objectives={n: how for n, how in searched.task.objectives.items() if "@" not in n},
        limits={n: bound for n, bound in searched.task.limits.items() if "@" not in n},
    )
    plan = replace(searched, task=task, targets=(target,), devices=DEFAULT_DEVICES)
    content = Session(plan, Silent()).ported(record, wanted.name, target)
    return opened.written(path, f"{wanted.name}{suffix}", content)


def _directions(task: Task, names: Iterable[str]) -> dict[str, Direction]:
    problem = registry.part("problem", task.problem).PROBLEM
    for name in names:
        if not is_cost(name) and name not in problem.metrics:
            raise UnknownNameError("objective", name, [*problem.metrics, *COSTS])
    return {
        name: "minimize" if is_cost(name) or name in problem.errors else "maximize"
        for name in names
    }


def _absolute(source: str | Path) -> str:
    """A path as any process can open it; what is no path, such as a phantom, stays as it is."""
    path = Path(source)
    return str(path.resolve()) if path.exists() else str(source)
