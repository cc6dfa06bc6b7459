"""Commands that run exported models on devices."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from automed.devices import Measured

commands = typer.Typer()
Json = Annotated[bool, typer.Option("--json", help="Machine-readable.")]


@commands.command("devices", epilog="Example: automed devices ssh:pi@raspberrypi.local")
def list_devices(
    device: Annotated[
        list[str] | None,
        typer.Argument(help="Devices to ask; default every kind, and those that are seen."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show which devices models can be timed on, and what they have."""
    from automed import devices, registry

    kinds, named = {}, device or []
    if not device:
        for kind in registry.names("device"):
            maker: devices.Maker = registry.part("device", kind)
            named += [_name(kind, address) for address in maker.found()]
            kinds[_name(kind, maker.ADDRESS)] = registry.summary("device", kind)
    known = {name: dict(devices.device(name).describe()) for name in named}
    if as_json:
        print(json.dumps({"devices": known, "kinds": kinds}, indent=1))
        return
    rows = {name: "\n".join(facts.values()) for name, facts in known.items()}
    rows |= {name: text for name, text in kinds.items() if name not in known}
    table = _table()
    for heading in ("device", "what it is"):
        table.add_column(heading, overflow="fold")
    for name, text in rows.items():
        table.add_row(name, text, style="" if name in known else "dim")
    _print(table)


@commands.command(epilog="Example: automed bench nodule.onnx --device ssh:pi@raspberrypi.local")
def bench(
    model: Annotated[list[Path], typer.Argument(help="Exported models.")],
    device: Annotated[str, typer.Option(help="See `automed devices`.")] = "host",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the runtime.")] = 1,
    repeats: Annotated[int, typer.Option(min=1, help="Timed inferences of each model.")] = 75,
    as_json: Json = False,
) -> None:
    """Time models on a device, in turns, at batch 1."""
    from dataclasses import asdict

    from automed import devices

    names = [path.name for path in model]
    unique = names if len({*names}) == len(names) else map(str, model)
    models = dict(zip(unique, map(devices.Artefact.read, model), strict=True))
    yardstick = devices.reference(next(iter(models.values())).suffix)
    told = devices.device(device).measure(models, yardstick, threads=threads, repeats=repeats)
    if as_json:
        print(json.dumps({name: asdict(known) for name, known in told.items()}, indent=1))
        return
    _print(_timings(told))


@commands.command(
    epilog="Example: automed profile ssh:pi@raspberrypi.local --task lung-ct --out board.json"
)
def profile(
    device: Annotated[str, typer.Argument(help="See `automed devices`.")],
    out: Annotated[Path, typer.Option(help="The file, a device from then on: predicted:FILE.")],
    task: Annotated[str, typer.Option(help="Whose architectures; see `automed list tasks`.")],
    architectures: Annotated[int, typer.Option(min=10, help="How many are timed.")] = 240,
    seed: Annotated[int, typer.Option(help="Of the architectures.")] = 0,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads of the runtime.")] = 1,
    repeats: Annotated[int, typer.Option(min=1, help="Timed inferences, twice for each.")] = 75,
) -> None:
    """Time random architectures, so that latencies on a device can be predicted without it."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from automed import devices
    from automed.profile import profile

    columns = ("{task.description}", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, transient=True) as progress:
        bars = {step: progress.add_task(step, total=None) for step in ("lowering", "timing")}
        profile(
            device,
            task,
            out,
            architectures=architectures,
            seed=seed,
            threads=threads,
            repeats=repeats,
            watch=lambda step, n, total: progress.update(bars[step], completed=n, total=total),
        )
    print(f"{out}: {devices.device(f'predicted:{out}').describe()['accuracy']}")
    print(f"Predict with: automed bench model.onnx --device predicted:{out}")


def _name(kind: str, address: str) -> str:
    return f"{kind}:{address}" if address else kind


def _timings(told: "Mapping[str, Measured]") -> "Table":
    """One row a model, at most 100 columns."""
    from automed.report.text import NOTHING, significant, size

    some = next(iter(told.values()))
    table = _table()
    table.title, table.title_justify = f"{some.device}, {some.os}", "left"
    counted = f"{some.threads} thread{'s' if some.threads > 1 else ''}, batch 1"
    if some.error is None:
        counted += f"; {some.repeats} timed inferences each, after {some.warm_up} more"
    else:
        counted += "; predicted, \u00b1 what held 90 % of held-out architectures"
    table.caption = f"ms of one inference, {counted}; x: times the reference model's p50"
    table.caption_justify = "left"
    table.add_column("model", overflow="fold")
    for heading in ("p50 ms", "p90 ms", "p99 ms", "x", "memory", "size"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("runtime", overflow="fold")
    for name, known in told.items():
        spread = "" if known.error is None else f" \u00b1 {known.error:.0%}"
        times = (known.p90_ms, known.p99_ms, known.relative)
        table.add_row(
            name,
            significant(known.p50_ms) + spread,
            *(NOTHING if value is None else significant(value) for value in times),
            size(known.peak_memory_bytes),
            size(known.size_bytes),
            known.runtime,
        )
    return table


def _table() -> "Table":
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    return Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0))


def _print(table: Any) -> None:
    from rich.console import Console

    Console(highlight=False, markup=False).print(table)
