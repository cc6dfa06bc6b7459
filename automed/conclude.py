"""What a search comes to: its final front, the model to take, and the sealed part opened once."""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from automed import __version__, files, registry
from automed.artefacts import FULL
from automed.data.dataset import Dataset
from automed.data.splits import Parts
from automed.errors import BudgetError, ExportError, RunError
from automed.evaluate import Job, architecture
from automed.exporters import NOTICE
from automed.finalists import (
    Finalist,
    exported,
    final_front,
    near_front,
    timed,
)
from automed.front import knee
from automed.judge import Judge
from automed.problems import Problem, sign
from automed.quantised import in_int8
from automed.report import examples as pictures
from automed.report.results import Drawn, Example, File, Model, Results
from automed.report.text import cost_label, cost_text, metric_label, score_text
from automed.task import at_place
from automed.timing import Timings
from automed.trial import BASELINE, SEARCH, Outcome, Trial

ARTEFACTS = "models"
_LATENCIES = ("latency_ms", "latency_p95_ms", "latency_relative")

Facts = Iterable[tuple[str, str]]
Step = Callable[[str], None]


def conclude(
    job: Job,
    parts: Parts,
    trials: Iterable[tuple[Trial, Outcome]],
    baselines: Iterable[tuple[Trial, Outcome]],
    weights: Callable[[Trial], bytes],
    folder: Path,
    *,
    blind: Collection[int] = (),
    complete: bool,
    examples: bool,
    max_drop: float | None,
    facts: Facts,
    step: Step,
) -> Results:
    """Everything a reader gets, from the record of a search; artefacts land in the run folder.

    The sealed part is opened only after a complete search, when the model has been chosen.

    Args:
        job: What the search was about.
        parts: Its data.
        trials: Trials and outcomes of the search.
        baselines: The same of unsearched networks.
        weights: Gives a trial's checkpoint.
        folder: The run folder.
        blind: Numbers of the trials that were drawn at random, to hold the others against.
        complete: Whether the search spent its budget.
        examples: Whether the results hold pictures of validation samples.
        max_drop: By how much an int8 file's validation score may be worse; None for no int8.
        facts: (label, text) on the run, for the report.
        step: Told what is being done.

    Raises:
        BudgetError: No trial was trained to its end.
        RunError: The search was interrupted before one was.
        ExportError: No model of the front could be exported and verified.
    """
    trials, task = list(trials), job.task
    near = near_front(trials, task.objectives)
    if not near and not complete:
        raise RunError(
            "interrupted before any trial was trained to its end; "
            f"go on with `automed resume {folder}`"
        )
    if not near:
        raise BudgetError(_nothing_trained(trials, task.limits))
    problem: Problem = registry.part("problem", task.problem).PROBLEM
    better = sign(problem, task.score)
    unsearched = [(t, o) for t, o in baselines if o.state == "complete"]
    renamed: dict[str, Trial] = {}
    drawn = [(t, o) for t, o in trials if t.number in blind and o.state == "complete"]
    if drawn:
        best, outcome = max(drawn, key=lambda pair: better * pair[1].value(task.score))
        name, point = f"best-of-{len(drawn)}-random", architecture(best).config()
        unsearched.append((replace(best, point=point, origin=BASELINE, name=name), outcome))
        renamed[name] = best
    told = metadata(job, parts)
    finalists, failures = exported(
        job,
        parts.train,
        parts.val,
        [*near, *unsearched],
        lambda trial: weights(renamed.get(trial.name, trial)),
        told,
        step,
    )
    if not any(f.origin == SEARCH for f in finalists):
        raise ExportError(f"no model of the front could be verified: {failures[0]}")
    step("timing the front and the baselines together")
    timings = timed(job, finalists)
    judge = Judge(problem, task.score, job.seed, parts.val, finalists)
    costs = {f.name: _costs(job, f, timings) for f in finalists}
    medians = {name: known["latency_ms"] for name, known in costs.items()}
    values = {name: {**costs[name], task.score: judge.scores[name]} for name in costs}
    searched = final_front(finalists, values, task.objectives)
    over = {f.name: said for f in searched if (said := _over(task.limits, costs[f.name]))}
    allowed = [f for f in searched if f.name not in over] or list(searched)
    equals = judge.not_worse(allowed)
    chosen = equals[
        knee([better * judge.scores[f.name] for f in equals], [medians[f.name] for f in equals])
    ]
    rejected: dict[str, tuple[File, ...]] = {}
    if max_drop is not None:
        by_name = {trial.name: trial for trial, _ in near}
        for place, f in enumerate(searched):
            step(f"quantising {f.name}")
            trial = by_name[f.name]
            searched[place], rejected[f.name] = in_int8(
                job, parts, f, trial, weights(trial), judge, told, max_drop
            )
        chosen = next(f for f in searched if f.name == chosen.name)
    kept = [*searched, *(f for f in finalists if f.origin != SEARCH)]
    if complete:
        step("opening the sealed test part, once")
        judge.open(parts.sealed, kept)
    models = tuple(
        judge.model(
            f,
            costs[f.name],
            (*_files(f, judge, costs[f.name], folder), *rejected.get(f.name, ())),
        )
        for f in kept
    )
    return Results(
        task=task.name,
        title=task.title,
        simulated=parts.train.simulated or None,
        score=task.score,
        objectives=dict(task.objectives),
        limits=dict(task.limits),
        models=models,
        trials=tuple(_told(t, o, timings, complete) for t, o in trials),
        chosen=chosen.name,
        contenders=tuple(f.name for f in equals),
        reason=_reason(
            [m for m in models if m.name in {f.name for f in allowed}],
            chosen.name,
            [f.name for f in equals],
            task.score,
            better,
        ),
        data=(("data", parts.train.description), *parts.facts, *_notes(parts.train)),
        run=(
            *facts,
            *(("not exported", text) for text in failures),
            *(("over a limit at the end", f"{name}: {said}") for name, said in over.items()),
        ),
        complete=complete,
        comparisons=judge.comparisons(models),
        resampled_by=judge.resampled_by,
        metrics=dict(problem.metrics),
        errors=tuple(sorted(problem.errors)),
        units=dict(problem.units),
        examples=_examples(problem, parts.val, chosen) if examples else (),
        timed_on=job.places[0].text,
        metadata=told,
        drawn=_drawn(problem, parts.val, [chosen, *(f for f in kept if f.origin != SEARCH)]),
    )


def metadata(job: Job, parts: Parts) -> dict[str, str]:
    """What an artefact says of itself; no path, no patient."""
    sample = parts.val.sample
    return {
        "automed": __version__,
        "task": job.task.name,
        "problem": job.task.problem,
        "target": json.dumps(asdict(sample.target)),
        "inputs": json.dumps([{**asdict(spec), "dtype": "float32"} for spec in sample.inputs]),
        "outputs": json.dumps(registry.part("problem", job.task.problem).PROBLEM.outputs),
        "training_data": parts.train.digest(),
        "simulated": json.dumps(bool(parts.train.simulated)),
        "notice": NOTICE,
    }


def _examples(problem: Problem, val: Dataset, chosen: Finalist) -> tuple[Example, ...]:
    shown = problem.shown(chosen.validation, val.truth, val.sample.target)
    return pictures.draw(val, shown)


def _drawn(problem: Problem, val: Dataset, models: Iterable[Finalist]) -> Drawn:
    """The problem's figure, rounded to what can be seen; of clouds, the first model's alone."""
    traces = {}
    for f in models if problem.plot.joined else list(models)[:1]:
        xs, ys = problem.drawn(f.validation, val.truth)
        traces[f.name] = (
            tuple(float(f"{x:.4g}") for x in xs),
            tuple(float(f"{y:.4g}") for y in ys),
        )
    return Drawn(**asdict(problem.plot), traces=traces)


def _over(limits: Mapping[str, float], costs: Mapping[str, float]) -> str:
    """What of a file breaks a limit now that it is whole and timed again; empty for nothing."""
    return ", ".join(
        f"{cost_label(name)} {cost_text(name, costs[name])} of at most {cost_text(name, bound)}"
        for name, bound in limits.items()
        if costs.get(name, 0.0) > bound
    )


def _reason(
    searched: list[Model], chosen: str, contenders: list[str], score: str, better: float
) -> str:
    """What the choice gives, and what the most accurate of what was searched would add."""
    it = next(m for m in searched if m.name == chosen)
    best = max(searched, key=lambda m: better * m.validation[score].value)
    value, latency_ms = it.validation[score].value, it.costs["latency_ms"]
    gives = (
        f"validation {metric_label(score, inline=True)} {score_text(value)} at {latency_ms:.3f} ms"
    )
    if best is it:
        alone = "all faster ones are significantly worse" if len(searched) > 1 else "the only one"
        why = alone if len(contenders) == 1 else "no clear knee among those that come close"
        return f"{it.name}, the most accurate model of the front ({why}): {gives}."
    factor = best.costs["latency_ms"] / latency_ms
    price = f"for {factor:.1f} times the latency"
    if f"{factor:.1f}" == "1.0":
        price = "at about the same latency"
    return (
        f"{it.name}, the knee among the {len(contenders)} models not significantly worse than the "
        f"best: {gives}; the most accurate, {best.name}, has "
        f"{score_text(best.validation[score].value)} {price}."
    )


def _told(
    trial: Trial,
    outcome: Outcome,
    timings: Mapping[str, Timings],
    complete: bool,
) -> dict[str, Any]:
    """A trial for the report; its latency is that of the final session, measured or scaled.

    A trial that was not timed again is scaled by the reference artefact, which both sessions
    timed.
    """
    facts = outcome.facts()
    costs = facts["costs"]
    for label, session in timings.items():
        latency, relative = at_place("latency_ms", label), at_place("latency_relative", label)
        if latency not in costs:
            continue
        before = costs[at_place("latency_while_searching_ms", label)] = costs[latency]
        if again := session.costs.get(trial.name):
            costs |= {at_place(n, label): again[n] for n in _LATENCIES if n in again}
        elif session.reference_ms is not None:
            costs[latency] = costs[relative] * session.reference_ms
            if (p95 := at_place("latency_p95_ms", label)) in costs:
                costs[p95] *= costs[latency] / before
    return {
        "number": trial.number,
        "name": trial.name,
        "origin": trial.origin,
        "family": trial.family,
        "config": architecture(trial).config(),
        "state": "stopped" if complete and outcome.state == "paused" else outcome.state,
        **facts,
    }


def _costs(job: Job, f: Finalist, timings: Mapping[str, Timings]) -> dict[str, float]:
    """Everything a finalist costs; of places but the first with their label."""
    costs = dict(f.costs)
    for place in job.places:
        if (file := f.at(place)) is not None:
            told = {**timings[place.label].costs[f.name], "size_bytes": float(len(file.content))}
            costs |= {at_place(name, place.label): value for name, value in told.items()}
    return costs


def tidy(folder: Path, results: Results) -> None:
    """Take away the files of models that an earlier conclusion kept and this one does not."""
    kept = {file.path for model in results.models for file in model.files}
    suffixes = tuple(
        registry.part("exporter", name).SUFFIX
        for name in {file.target for model in results.models for file in model.files}
    )
    for path in (folder / ARTEFACTS).iterdir():
        if path.name.endswith(suffixes) and f"{ARTEFACTS}/{path.name}" not in kept:
            path.unlink()


def _files(f: Finalist, judge: Judge, costs: Mapping[str, float], folder: Path) -> tuple[File, ...]:
    """What of a model lies in the run folder once this has written it; of baselines nothing."""
    if f.origin != SEARCH:
        return ()
    (folder / ARTEFACTS).mkdir(exist_ok=True)
    told = []
    for file in f.files:
        precision = "" if file.precision == FULL else f".{file.precision}"
        suffix = registry.part("exporter", file.target).SUFFIX
        path = f"{ARTEFACTS}/{f.name}{precision}{suffix}"
        files.replace(folder / path, file.content)
        label = "" if file.target == f.files[0].target else file.target
        names = {n: at_place(n, label) for n in _LATENCIES}
        own = {n: costs[name] * file.pace for n, name in names.items() if name in costs}
        if file.precision != FULL:
            own["speedup"] = 1 / file.pace
        told.append(judge.file(f, file, path, {"size_bytes": len(file.content), **own}))
    return tuple(told)


def _nothing_trained(trials: list[tuple[Trial, Outcome]], limits: Mapping[str, float]) -> str:
    failed = [o.failure for _, o in trials if o.failure]
    if failed and len(failed) == len(trials):
        return f"all {len(trials)} trials failed; the first: {failed[0]}"
    refused = [o.refusals for _, o in trials if o.refusals]
    if refused and len(refused) == len(trials):
        target, why = next(iter(refused[0].items()))
        return f"none of {len(trials)} architectures runs on {target}; the first: {why}"
    if trials and limits:
        return nothing_fits(limits, [o.costs for _, o in trials if limits.keys() <= o.costs.keys()])
    return "no trial was trained to its end; give more --trials or --hours"


def nothing_fits(limits: Mapping[str, float], seen: list[Mapping[str, float]]) -> str:
    """What to say when every candidate breaks a limit: the least that was seen of each."""
    said = [
        f"{name} <= {bound:g}, least seen {min(c[name] for c in seen):.4g}"
        for name, bound in limits.items()
    ]
    return f"no candidate meets the limits ({'; '.join(said)}); raise the limit"


def _notes(data: Dataset) -> Facts:
    return (("note", note) for note in data.notes)
