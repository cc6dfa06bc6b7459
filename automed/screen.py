"""What people see in the terminal while a search runs, and the table when it has ended."""

import shlex
import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from automed.front import front
from automed.report.text import (
    compare,
    cost_text,
    count,
    gain,
    interval_text,
    metric_label,
    milliseconds,
    score_text,
    size,
)
from automed.trial import BASELINE, Outcome, Trial

if TYPE_CHECKING:
    from automed.data.splits import Parts
    from automed.plan import Plan
    from automed.report.results import File, Results
    from automed.run import Run

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class Screen:
    """A live view in a terminal, one line an event elsewhere."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._live = Live(console=self._console, transient=True, redirect_stderr=False)
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[eta]}"),
            auto_refresh=False,
        )
        self._bar = self._progress.add_task("search", total=None, eta="")
        self._step = "reading the data"
        self._running: dict[str, tuple[str, float]] = {}
        self._before = self._spent = 0.0
        self._values: list[list[float]] = []
        self._counts = {"complete": 0, "infeasible": 0, "failed": 0}
        self._seconds = 0.0
        self._best = ""
        self._plan: Plan | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        self._show()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def opened(self, plan: "Plan", parts: "Parts", folder: Path, spent: float) -> None:
        """The data is read and the search is about to begin."""
        self._plan, budget = plan, plan.task.budget
        lines = [Text(plan.task.title, "bold"), Text(parts.train.description)]
        if parts.train.simulated:
            lines.append(Text(parts.train.simulated, "yellow"))
        facts = [f"{label}: {text}" for label, text in parts.facts]
        facts.append(
            f"{budget.trials} trials of at most {budget.epochs} epochs, "
            f"{budget.at_random:.0%} at random, {plan.strategy}, "
            f"{plan.num_workers} workers ({plan.executor}), seed {plan.seed}"
        )
        if plan.stopping != "none":
            facts.append(f"stopped early by: {plan.stopping}")
        for name, bound in plan.task.limits.items():
            whose = "" if name in plan.own_limits else " (the task's default)"
            facts.append(f"limit: {name} at most {cost_text(name, bound)}{whose}")
        facts.append(f"run folder: {folder}")
        text = Text("\n").join([*lines, *map(Text, facts)])  # no markup: names may hold brackets
        self._console.print(Panel(text, expand=False, border_style="dim"))
        self._before = self._spent = spent
        self._progress.update(self._bar, total=budget.trials, completed=spent)
        self._step = "starting workers"
        self._show()

    def started(self, trial: Trial) -> None:
        """A trial goes to a worker."""
        self._step = ""
        label = trial.name
        if trial.origin == BASELINE:
            assert self._plan is not None
            task = self._plan.task
            total = sum(name in task.networks for name in task.baselines)
            label = f"training baseline {trial.name} ({trial.number + 1}/{total})"
            if not self._console.is_terminal:
                self._console.print(label, highlight=False, markup=False)
        self._running[trial.name] = label, time.monotonic()
        self._show()

    def ended(self, trial: Trial, outcome: Outcome) -> None:
        """Its outcome is in the record."""
        _, begun = self._running.pop(trial.name, ("", time.monotonic()))
        assert self._plan is not None
        task = self._plan.task
        if trial.origin != BASELINE:
            self._seconds += time.monotonic() - begun
            self._spent += outcome.trainings(task.budget.epochs)
            if trial.previous is not None:
                self._spent -= trial.previous.trainings(task.budget.epochs)
            self._progress.update(self._bar, completed=self._spent)
            if outcome.state in self._counts:
                self._counts[outcome.state] += 1
            if outcome.state == "complete":
                self._values.append([outcome.value(name) for name in task.objectives])
                seen = [row[list(task.objectives).index(task.score)] for row in self._values]
                best = min(seen) if task.objectives[task.score] == "minimize" else max(seen)
                self._best = f"best {metric_label(task.score, inline=True)} {score_text(best)}"
        if not self._console.is_terminal:
            self._console.print(self._line(trial, outcome), highlight=False, markup=False)
        self._show()

    def step(self, text: str) -> None:
        """Something else is being done, and no trial runs."""
        self._running.clear()
        self._step = text
        if not self._console.is_terminal:
            self._console.print(text, highlight=False, markup=False)
        self._show()

    def _show(self) -> None:
        self._progress.update(self._bar, eta=self._eta())
        self._live.update(self, refresh=self._live.is_started)

    def __rich__(self) -> Group:
        turning = _FRAMES[int(time.monotonic() * 10) % len(_FRAMES)]
        if self._plan is None:
            return Group(Text(f"{turning} {self._step}"))
        size = (
            len(front(self._values, list(self._plan.task.objectives.values())))
            if self._values
            else 0
        )
        facts = [self._best] if self._best else []
        facts += [f"front {size}"]
        facts += [f"{n} {state}" for state, n in self._counts.items() if state != "complete"]
        rows: list[Progress | Text] = [self._progress, Text("  ".join(facts))]
        now = time.monotonic()
        for label, begun in list(self._running.values()):  # rich draws from a thread of its own
            rows.append(Text(f"{turning} {label}  {now - begun:.0f} s", "dim"))
        if self._step:
            rows.append(Text(f"{turning} {self._step}"))
        return Group(*rows)

    def _eta(self) -> str:
        """By what a training has taken so far; those of an interrupted run are not timed anew."""
        if self._plan is None or self._spent <= self._before:
            return ""
        left = self._plan.task.budget.trials - self._spent
        pace = self._seconds / (self._spent - self._before) / self._plan.num_workers
        minutes, seconds = divmod(left * pace, 60)
        return f"about {minutes:.0f} min {seconds:02.0f} s left" if left > 0.05 else "done"

    def _line(self, trial: Trial, outcome: Outcome) -> str:
        assert self._plan is not None
        parts = [f"{trial.name:<16} {outcome.state:<10}"]
        score = self._plan.task.score
        if score in outcome.scores:
            parts.append(f"{metric_label(score, inline=True)} {score_text(outcome.scores[score])}")
        if "latency_ms" in outcome.costs:
            parts.append(f"{outcome.costs['latency_ms']:.3f} ms")
        if outcome.failure:
            parts.append(outcome.failure)
        eta = self._eta()
        done = f"{round(self._spent, 1):g}/{self._plan.task.budget.trials}"
        return "  ".join([*parts, f"[{done}{', ' + eta if eta else ''}]"])


def tell(run: "Run", console: Console | None = None) -> None:
    """The front, the baselines, which model to take and where everything lies."""
    console = console or Console()
    results = run.results
    label = metric_label(results.score, inline=True)
    if results.simulated:
        console.print(Text(results.simulated, "yellow"))
    console.print(_table(results, label))
    if not results.complete:
        console.print(
            "[yellow]Interrupted: the test part stays sealed; go on with[/yellow] "
            f"automed resume {escape(str(run.folder))}",
            soft_wrap=True,
        )
    for baseline in results.baselines if results.chosen else ():
        pace, more = compare(results, run.best, baseline)
        console.print(f"  against {baseline.name}: {pace}, {more}", markup=False, highlight=False)
    if verdict := gain(results):
        console.print(Text(verdict))
    console.print(Text(f"Take {results.reason}", style="bold"))
    for file in run.best.files if results.chosen else ():
        console.print(Text(f"  {_file(file)}"), soft_wrap=True)
    console.print(
        f"Everything is in {run.folder}: report.html, pareto.csv, models/",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    if results.chosen:
        suffix = str(run.best.artefact).partition(run.best.name)[2]
        command = f"automed export {shlex.quote(str(run.folder))} {results.task}{suffix}"
        console.print(
            f"Copy the model with: {command}", markup=False, highlight=False, soft_wrap=True
        )


def _file(file: "File") -> str:
    """A file of the chosen model in a line."""
    what = f"{file.target} {file.precision}"
    if file.rejected:
        return f"{what}: not kept; {file.rejected}"
    facts = [milliseconds(file.costs["latency_ms"]), size(file.costs["size_bytes"])]
    facts += [file.how] if file.how else []
    return f"{what}: {', '.join(facts)}"


def _table(results: "Results", label: str) -> Table:
    """Fits 80 columns."""
    sealed = any(m.sealed for m in results.models)
    headings = ["", "model", f"val {label}", *([f"test {label} [95 %]"] if sealed else [])]
    headings += ["ms", "size", "params"]
    table = Table(
        title="The front, fastest first, and the baselines",
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for heading in headings:
        left = heading in ("", "model")
        table.add_column(heading, no_wrap=True, justify="left" if left else "right")
    for m in results.models:
        chosen = m.name == results.chosen
        scores = [score_text(m.validation[results.score].value)]
        scores += [interval_text(m.sealed.get(results.score))] if sealed else []
        costs = [f"{m.costs['latency_ms']:.3f}"]
        costs += [size(m.costs["size_bytes"]), count(m.costs.get("params"))]
        style = "bold green" if chosen else ("dim" if m.origin != "search" else "")
        table.add_row("*" if chosen else "", m.name, *scores, *costs, style=style)
        if m is results.front[-1]:
            table.add_section()
    return table
