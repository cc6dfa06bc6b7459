"""Commands that search and tell what was found."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

commands = typer.Typer()
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder.")]


@commands.command(
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
    device: Annotated[
        str,
        typer.Option(
            help="Where models are timed, comma-separated, the one that latency is about first; "
            "see `automed devices`."
        ),
    ] = "host",
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
    int8: Annotated[
        bool,
        typer.Option("--int8/--no-int8", help="Whether models of the front are tried in int8."),
    ] = True,
    max_drop: Annotated[
        float,
        typer.Option(min=0.0, help="By how much int8 may lower the validation score."),
    ] = 0.01,
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
            devices=quantities.names(device),
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
            max_drop=max_drop if int8 else None,
            examples=examples,
            watch=screen,
        )
    _tell(run)


@commands.command(epilog="Example: automed resume runs/lung-ct-20261122-101500")
def resume(run: RunFolder) -> None:
    """Go on with an interrupted search to the total it was started with."""
    from automed import api

    with _screen() as screen:
        finished = api.resume(run, watch=screen)
    _tell(finished)


@commands.command(epilog="Example: automed report runs/lung-ct-20261122-101500")
def report(run: RunFolder) -> None:
    """Write report.html and the tables of a run anew, and print its front."""
    from automed import api

    opened = api.Run.open(run)
    opened.report()
    _tell(opened)


@commands.command(epilog="Example: automed export runs/lung-ct-20261122-101500 nodule.onnx")
def export(
    run: RunFolder,
    path: Annotated[  # no Path, which would lose the slash
        str, typer.Argument(help="File to write, or folder; one that ends with / is made.")
    ],
    model: Annotated[
        str | None,
        typer.Option(help="A model of the front; default the chosen one."),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            help="See `automed list exporters`; one that the search was not for is made and "
            "verified on the search's data. Default its first."
        ),
    ] = None,
    precision: Annotated[str, typer.Option(help="fp32 or int8.")] = "fp32",
) -> None:
    """Copy a verified model of a run's front to where you need it."""
    from automed import api

    print(api.export(run, path, model, target=target, precision=precision))


@commands.command(epilog="Example: automed bundle runs/lung-ct-20261122-101500 nodule.zip")
def bundle(
    run: RunFolder,
    path: Annotated[
        str, typer.Argument(help="Zip to write, or folder; one that ends with / is made.")
    ] = ".",
    pick: Annotated[
        str, typer.Option(help="knee for the chosen model, or the name of one of the front.")
    ] = "knee",
) -> None:
    """Pack a model for an app: files, input spec, test vectors, reference code, model card."""
    from automed import api
    from automed.bundle import write

    print(write(api.Run.open(run), path, pick))


@contextmanager
def _screen() -> Iterator[Any]:
    from automed.screen import Screen

    with Screen() as screen:
        yield screen


def _tell(run: Any) -> None:
    from automed.screen import tell

    tell(run)
