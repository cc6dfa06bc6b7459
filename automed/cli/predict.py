"""The command that applies a model."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

commands = typer.Typer()


@commands.command(epilog="Example: automed predict tumour.onnx scan.nii.gz --out mask.nii.gz")
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
    pictures = {str(path): pixels.read(path) for path in paths}
    given = {name: picture.pixels for name, picture in pictures.items()}
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
    axes = next((spec.axes for spec in card.inputs if spec.kind == "image"), ())
    turned = [name for name, it in pictures.items() if it.axes != axes and (axes or it.spacing_mm)]
    if turned:
        own = f"the model's towards {', '.join(axes)}" if axes else "the model's are not known"
        print(
            f"automed: axes of {len(turned)} of {len(given)} images lead towards "
            f"{', '.join(pictures[turned[0]].axes)}, {own}: see that they agree",
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
