"""Commands that tell what there is, and start a task."""

import json
from pathlib import Path
from typing import Annotated

import typer

commands = typer.Typer()
KINDS = {
    "tasks": "task",
    "problems": "problem",
    "families": "family",
    "strategies": "strategy",
    "stopping": "stopping",
    "executors": "executor",
    "exporters": "exporter",
}


@commands.command("list", epilog="Example: automed list families --json")
def list_parts(
    what: Annotated[
        str | None,
        typer.Argument(
            help="tasks, problems, families, strategies, stopping, executors or exporters."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """List what can be named: one name first on each line."""
    from automed import registry
    from automed.errors import UnknownNameError

    if what is not None and what not in KINDS:
        raise UnknownNameError("list", what, KINDS)
    wanted = KINDS if what is None else {what: KINDS[what]}
    known = {
        title: {name: registry.summary(kind, name) for name in registry.names(kind)}
        for title, kind in wanted.items()
    }
    if as_json:
        print(json.dumps(known if what is None else known[what], indent=1))
        return
    for title, rows in known.items():
        if what is None:
            print(f"{title}:")
        width = max(map(len, rows))
        for name, text in rows.items():
            print(f"{'  ' if what is None else ''}{name:<{width}}  {text}".rstrip())


@commands.command(epilog="Example: automed init my-task --problem segmentation --data patches.npz")
def init(
    name: Annotated[str, typer.Argument(help="Name of the task; the file is NAME.yaml.")],
    data: Annotated[str, typer.Option(help="Your data, as `automed search` takes it.")],
    problem: Annotated[str, typer.Option(help="See `automed list problems`.")] = "classification",
    keys: Annotated[
        str | None,
        typer.Option(help="Roles of arrays or columns, as `automed search` takes them."),
    ] = None,
) -> None:
    """Write a task file for your own data, with comments, that can be searched as it is."""
    from automed import draft, quantities

    path = Path(name if name.endswith((".yaml", ".yml")) else f"{name}.yaml")
    pairs = quantities.pairs(keys)
    task = draft.write(path, problem, data, pairs)
    told = f" --keys {keys}" if pairs else ""
    print(f"{path}: {task.problem}, scored by {task.score}, families {', '.join(task.families)}")
    print(f"Change it as you like, then: automed search --task {path}{told}")


@commands.command(epilog="Example: automed doctor")
def doctor() -> None:
    """Show what is installed, which devices are seen and where caches lie."""
    from automed import diagnosis

    for name, text in diagnosis.facts():
        print(f"{name:<14} {text}")
