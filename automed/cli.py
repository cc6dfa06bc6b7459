"""The command line; every command imports what it needs when it runs, so --help stays quick."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from automed.errors import AutomedError

app = typer.Typer(
    name="automed",
    help="Searches network architectures for medical images and exports a small, verified model.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    epilog="Start with: [bold]automed search --task lung-ct[/bold]",
)

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]

INTERRUPTED = 130
"""What typer makes of Ctrl-C where the search does not handle it, such as in reading the data."""


def main() -> int:
    """Run the command line; errors a user can mend are one line and exit code 2."""
    try:
        app(standalone_mode=True)
    except AutomedError as error:
        print(f"automed: {error}", file=sys.stderr)
        return 2
    except SystemExit as end:
        if end.code == INTERRUPTED:
            print("automed: interrupted", file=sys.stderr)
        raise
    return 0


@app.command(
    epilog="Example: automed search --task lung-ct --data my_patches.npz --trials 40 "
    "--max-latency 2ms"
)
def search(
    task: Annotated[str, typer.Option(help="Name of a task, or a task file.")] = "lung-ct",
    data: Annotated[
        str | None,
        typer.Option(
            help=".npz (images/labels or MedMNIST), folder of class folders, or .csv naming files; "
            "without it the task's embedded data."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Run folder; default runs/<task>-<time>."),
    ] = None,
    trials: Annotated[
        int | None,
        typer.Option(min=1, help="Full trainings; one that is stopped counts by its epochs."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of a full training.")] = None,
    hours: Annotated[
        float | None,
        typer.Option(min=0.0, help="Wall time after which nothing new is started."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of split, strategy and weights.")] = 0,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Trials at once; default one per core."),
    ] = None,
    strategy: Annotated[str, typer.Option(help="See `automed list strategies`.")] = "pareto",
    stopping: Annotated[
        str,
        typer.Option(help="Rule that stops trainings early; see `automed list stopping`."),
    ] = "none",
    target: Annotated[
        str,
        typer.Option(
            help="Where models must run, comma-separated, the one that latency is about first; see "
            "`automed list exporters`."
        ),
    ] = "onnx",
    family: Annotated[
        list[str] | None,
        typer.Option(help="Family that competes; repeat for several."),
    ] = None,
    objective: Annotated[
        list[str] | None,
        typer.Option(
            help="Objective: a score (auc, dice) or a cost (latency_ms, params, macs, "
            "size_bytes); repeat for several."
        ),
    ] = None,
    max_latency: Annotated[
        str | None,
        typer.Option(help="Slowest model allowed, for example 2ms or 500us."),
    ] = None,
    max_size: Annotated[
        str | None,
        typer.Option(help="Largest exported file allowed, for example 500kB or 2MB."),
    ] = None,
    max_params: Annotated[
        str | None,
        typer.Option(help="Most parameters allowed, for example 200k or 1.5M."),
    ] = None,
    max_macs: Annotated[
        str | None,
        typer.Option(help="Most multiply-accumulates for one sample, for example 20M."),
    ] = None,
    baselines: Annotated[
        str | None,
        typer.Option(help="Comma-separated baselines, 'all' or 'none'; default the task's own."),
    ] = None,
    keys: Annotated[
        str | None,
        typer.Option(help="Roles of arrays or columns: images=volumes,labels=texture,group=case."),
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(help="Raw values mapped to 0 and 1, for example=-1000,400."),
    ] = None,
    warm_start: Annotated[
        Path | None,
        typer.Option(help="Run folder, of another task maybe, whose front is tried first."),
    ] = None,
    latencies: Annotated[
        Path | None,
        typer.Option(help="Run folder whose timings are used again, for an exact repeat."),
    ] = None,
    ray: Annotated[bool, typer.Option("--ray", help="Run trials through Ray.")] = False,
    ray_address: Annotated[
        str | None,
        typer.Option(help="Ray cluster to join, for example auto or 10.0.0.1:6379."),
    ] = None,
    cpus: Annotated[float, typer.Option(min=0.0, help="CPU cores of a trial, with Ray.")] = 1.0,
    gpus: Annotated[
        float, typer.Option(min=0.0, help="GPUs of a trial, with Ray; 0.25 lets four share one.")
    ] = 0.0,
    examples: Annotated[
        bool,
        typer.Option(
            "--examples/--no-examples",
            help="Whether the report shows a few validation images; they are patient data.",
        ),
    ] = True,
) -> None:
    """Search a task and export the front of accuracy against latency."""
    from automed import quantities

    limits = {
        name: read(text)
        for name, read, text in (
            ("latency_ms", quantities.milliseconds, max_latency),
            ("size_bytes", quantities.size_bytes, max_size),
            ("params", quantities.count, max_params),
            ("macs", quantities.count, max_macs),
        )
        if text is not None
    }
    named = None if baselines is None else quantities.names(baselines)
    from automed import api

    with _screen() as screen:
        run = api.search(
            task,
            data,
            out=out,
            trials=trials,
            epochs=epochs,
            hours=hours,
            seed=seed,
            workers=workers,
            strategy=strategy,
            stopping=stopping,
            executor="ray" if ray or ray_address else "local",
            targets=quantities.names(target),
            families=family or (),
            objectives=objective or (),
            limits=limits,
            baselines=named,
            keys=quantities.pairs(keys),
            window=quantities.interval(window),
            warm_start=warm_start,
            latencies=latencies,
            address=ray_address,
            cpus=cpus,
            gpus=gpus,
            examples=examples,
            watch=screen,
        )
    _tell(run)


@app.command(epilog="Example: automed resume runs/lung-ct-20261122-101500")
def resume(run: RunFolder) -> None:
    """Go on with an interrupted search to the total it was started with."""
    from automed import api

    with _screen() as screen:
        finished = api.resume(run, watch=screen)
    _tell(finished)


@app.command(epilog="Example: automed report runs/lung-ct-20261122-101500")
def report(run: RunFolder) -> None:
    """Write report.html and the tables of a run anew, and print its front."""
    from automed import api

    opened = api.Run.open(run)
    opened.report()
    _tell(opened)


@app.command(epilog="Example: automed export runs/lung-ct-20261122-101500 nodule.onnx")
def export(
    run: RunFolder,
    path: Annotated[  # no Path, which would lose the slash
        str, typer.Argument(help="File to write, or folder; one that ends with / is made.")
    ],
    model: Annotated[
        str | None,
        typer.Option(help="A model of the front; default the chosen one."),
    ] = None,
) -> None:
    """Copy a verified model of a run's front to where you need it."""
    from automed import api

    print(api.Run.open(run).export(path, model))


@app.command(epilog="Example: automed predict tumour.onnx scan.nii.gz --out mask.nii.gz")
def predict(
    model: Annotated[Path, typer.Argument(help="An exported .onnx model.")],
    images: Annotated[
        list[Path] | None,
        typer.Argument(
            help="PNG, JPEG or NIfTI images, for registration fixed and moving in turn; none for a "
            "model of a table alone."
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Where the label map or the image made of one image goes: .nii, .nii.gz, .npy, "
            "or .png in 2D."
        ),
    ] = None,
    field: Annotated[
        Path | None,
        typer.Option(
            help="Where the displacements of a registration go: .npy, (axes, *size) in pixels."
        ),
    ] = None,
    table: Annotated[
        str | None,
        typer.Option(help="Clinical variables in the order of the data's columns: 61,1,0."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable.")] = False,
) -> None:
    """What a model says: numbers, a label map, objects, an image, a field; needs no PyTorch."""
    from automed import quantities
    from automed.data import image_files, pixels
    from automed.errors import DataError
    from automed.exporters.onnx_runtime import Model
    from automed.predict import predict
    from automed.report.text import significant

    if not model.is_file():
        raise DataError(f"no model at {model}; give an exported .onnx file")
    loaded = Model(model)
    card, paths, row = loaded.card(), images or [], quantities.numbers(table)
    each = max(1, sum(spec.kind == "image" for spec in card.inputs))
    if len(paths) > each and (out or field or table):
        one = "one image" if each == 1 else f"the {each} images of one sample"
        raise DataError(
            f"--out, --field and --table are of {one}; given {len(paths)}: one at a time"
        )
    given = {str(path): pixels.read(path).pixels for path in paths}
    samples = [paths[start : start + each] for start in range(0, len(paths), each)]
    told = {
        " + ".join(map(str, sample)) or "table": predict(
            loaded, [given[str(path)] for path in sample], row
        )
        for sample in samples or [[]]
    }
    maps = [a.image if a.labels is None else a.labels for a in told.values()]
    of_values = any(answer.image is not None for answer in told.values())
    has_map = any(one is not None for one in maps)
    for path in (out, field):
        if path is not None and any(path.exists() and path.samefile(p) for p in paths):
            raise DataError(f"{path.name} is an image that was given; name another file")
    in_order = of_values or card.target.kind == "value"
    in_units = has_map or card.target.kind == "value"
    if out is not None:
        if maps[0] is None:
            raise DataError(f"a model of {card.problem} gives no map; leave --out away")
        image_files.write(maps[0], out, like=paths[0])
    if field is not None:
        (answer,) = told.values()
        if answer.field is None:
            raise DataError(f"a model of {card.problem} gives no field; leave --field away")
        image_files.write(answer.field, field, like=paths[0])
    of_bytes = sum(array.dtype == "uint8" for array in given.values())
    if of_bytes and any(spec.units == "HU" for spec in card.inputs):
        print(
            f"automed: {of_bytes} of {len(given)} images are 8-bit, and the model takes HU: "
            "their 0 to 255 were read as HU; give NIfTI files in HU",
            file=sys.stderr,
        )
    if as_json:
        print(json.dumps({name: answer.plain() for name, answer in told.items()}, indent=1))
        return
    for name, answer in told.items():
        ranked = sorted(answer.values.items(), key=lambda pair: 0 if in_order else -pair[1])
        shown = (f"{k} {significant(v, 4) if in_units else f'{v:.3f}'}" for k, v in ranked)
        count = [] if answer.points is None else [f"found {len(answer.points)}"]
        print("  ".join([name, *shown, *count]))
        for found in answer.objects():
            centre = ", ".join(significant(x) for x in found["centre"])
            print(f"  centre {centre}  radius {found['radius']:.1f}  score {found['score']:.3f}")
    if has_map and out is None:
        what = "of the image it makes" if of_values else "shares of the image"
        if any(answer.field is not None for answer in told.values()):
            what = "of the field; --field field.npy writes it"
        print(f"{what}; --out mask.nii.gz (or .png, .npy) writes the map", file=sys.stderr)
    print(card.notice, file=sys.stderr)


KINDS = {
    "tasks": "task",
    "problems": "problem",
    "families": "family",
    "strategies": "strategy",
    "stopping": "stopping",
    "executors": "executor",
    "exporters": "exporter",
}


@app.command("list", epilog="Example: automed list families --json")
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


@app.command(epilog="Example: automed init my-task --problem segmentation --data patches.npz")
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


@app.command(epilog="Example: automed doctor")
def doctor() -> None:
    """Show what is installed, which devices are seen and where caches lie."""
    from automed import diagnosis

    for name, text in diagnosis.facts():
        print(f"{name:<14} {text}")


@contextmanager
def _screen() -> Iterator[Any]:
    from automed.screen import Screen

    with Screen() as screen:
        yield screen


def _tell(run: Any) -> None:
    from automed.screen import tell

    tell(run)
