"""What a search comes to: its final front, the model to take, and the sealed part opened once."""

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from automed import __version__, files, registry
from automed.data.dataset import Dataset
from automed.data.splits import Parts
from automed.errors import BudgetError, ExportError, RunError
from automed.evaluate import Job, architecture
from automed.exporters import NOTICE
from automed.finalists import Finalist, exported, final_front, near_front, timed
from automed.front import knee
from automed.judge import Judge
from automed.problems import Problem, sign
from automed.report import examples as pictures
from automed.report.results import Drawn, Example, Model, Results
from automed.report.text import metric_label, score_text
from automed.trial import BASELINE, SEARCH, Outcome, Trial

ARTEFACTS = "models"

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
    finalists, failures = exported(
        job,
        parts.train,
        parts.val,
        [*near, *unsearched],
        lambda trial: weights(renamed.get(trial.name, trial)),
        metadata(job, parts),
        step,
    )
    if not any(f.origin == SEARCH for f in finalists):
        raise ExportError(f"no model of the front could be verified: {failures[0]}")
    step("timing the front and the baselines together")
    latencies, reference_ms = timed(job, finalists)
    judge = Judge(problem, task.score, job.seed, parts.val, finalists)
    medians = {name: known.median_ms for name, known in latencies.items()}
    searched = final_front(finalists, judge.scores, medians, task.objectives, task.score)
    kept = [*searched, *(f for f in finalists if f.origin != SEARCH)]
    equals = judge.not_worse(searched)
    chosen = equals[
        knee([better * judge.scores[f.name] for f in equals], [medians[f.name] for f in equals])
    ]
    if complete:
        step("opening the sealed test part, once")
        judge.open(parts.sealed, kept)
    suffix = registry.part("exporter", job.exporter).SUFFIX
    artefacts = {f.name: f"{ARTEFACTS}/{f.name}{suffix}" for f in searched}
    (folder / ARTEFACTS).mkdir(exist_ok=True)
    for f in searched:
        files.replace(folder / artefacts[f.name], f.artefact)
    models = tuple(judge.model(f, latencies[f.name], artefacts.get(f.name)) for f in kept)
    return Results(
        task=task.name,
        title=task.title,
        simulated=parts.train.simulated or None,
        score=task.score,
        objectives=dict(task.objectives),
        limits=dict(task.limits),
        models=models,
        trials=tuple(_told(t, o, medians, reference_ms, complete) for t, o in trials),
        chosen=chosen.name,
        contenders=tuple(f.name for f in equals),
        reason=_reason(models, chosen.name, [f.name for f in equals], task.score, better),
        data=(("data", parts.train.description), *parts.facts, *_notes(parts.train)),
        run=(*facts, *(("not exported", text) for text in failures)),
        complete=complete,
        comparisons=judge.comparisons(models),
        resampled_by=judge.resampled_by,
        metrics=dict(problem.metrics),
        errors=tuple(sorted(problem.errors)),
        units=dict(problem.units),
        examples=_examples(problem, parts.val, chosen) if examples else (),
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


def _reason(
    models: tuple[Model, ...], chosen: str, contenders: list[str], score: str, better: float
) -> str:
    """What the choice gives, and what the most accurate model would add."""
    searched = [m for m in models if m.origin == SEARCH]
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
    medians: Mapping[str, float],
    reference_ms: float,
    complete: bool,
) -> dict[str, Any]:
    """A trial for the report; its latency is that of the final session, measured or scaled.

    A trial that was not timed again is scaled by the reference artefact, which both sessions
    timed.
    """
    facts = outcome.facts()
    costs = facts["costs"]
    if "latency_ms" in costs:
        costs["latency_while_searching_ms"] = costs["latency_ms"]
        scaled = costs["latency_relative"] * reference_ms
        costs["latency_ms"] = medians.get(trial.name, scaled)
    return {
        "number": trial.number,
        "name": trial.name,
        "origin": trial.origin,
        "family": trial.family,
        "config": architecture(trial).config(),
        "state": "stopped" if complete and outcome.state == "paused" else outcome.state,
        **facts,
    }


def _nothing_trained(trials: list[tuple[Trial, Outcome]], limits: Mapping[str, float]) -> str:
    failed = [o.failure for _, o in trials if o.failure]
    if failed and len(failed) == len(trials):
        return f"all {len(trials)} trials failed; the first: {failed[0]}"
    if trials and limits:
        return nothing_fits(limits, [o.costs for _, o in trials if o.costs])
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
