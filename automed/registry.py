"""Finds parts by name, ours and third parties'; nothing is imported before it is asked for."""

import ast
import importlib
from functools import cache
from importlib.metadata import entry_points
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

from automed.errors import SpaceError, StrategyError, TaskError, UnknownNameError
from automed.family import Family
from automed.sample import SampleSpec
from automed.space import Joint, joint
from automed.task import Task

# One row per library, target, problem, recipe or data format; a third party adds rows through an
# entry point in the group "automed.<kind>": name = module, for a task the package of <name>.yaml.
ROWS: dict[str, dict[str, str]] = {
    "strategy": {
        "pareto": "automed.strategies.pareto",
        "controller": "automed.strategies.controller",
        "random": "automed.strategies.random_search",
        "nni": "automed.strategies.nni_tuners",
        "optuna": "automed.strategies.optuna_samplers",
    },
    "stopping": {
        "none": "automed.strategies.stopping.none",
        "halving": "automed.strategies.stopping.halving",
        "nni": "automed.strategies.stopping.nni_assessors",
    },
    "executor": {
        "local": "automed.executors.local",
        "ray": "automed.executors.ray_actors",
    },
    "exporter": {
        "executorch": "automed.exporters.executorch_file",
        "monai-bundle": "automed.exporters.monai_bundle",
        "onnx": "automed.exporters.onnx_file",
        "openvino": "automed.exporters.openvino_file",
        "ort": "automed.exporters.ort_format",
        "torch-export": "automed.exporters.torch_export",
    },
    "quantizer": {
        "executorch": "automed.exporters.executorch_int8",
        "onnx": "automed.exporters.onnx_int8",
        "openvino": "automed.exporters.openvino_int8",
    },
    "device": {
        "host": "automed.devices.host",
        "ssh": "automed.devices.ssh",
        "adb": "automed.devices.adb",
        "predicted": "automed.devices.predicted",
    },
    "problem": {
        "classification": "automed.problems.classification",
        "multilabel": "automed.problems.multilabel",
        "regression": "automed.problems.regression",
        "segmentation": "automed.problems.segmentation",
        "detection": "automed.problems.detection",
        "reconstruction": "automed.problems.reconstruction",
        "anomaly": "automed.problems.anomaly",
        "registration": "automed.problems.registration",
    },
    "recipe": {
        "adversarial": "automed.training.recipes.adversarial",
        "gradient": "automed.training.recipes.gradient",
        "closed-form": "automed.training.recipes.closed_form",
        "layerwise": "automed.training.recipes.layerwise",
        "pretrained": "automed.training.recipes.pretrained",
        "synthesis": "automed.training.recipes.synthesis",
    },
    "format": {
        "phantom": "automed.data.phantom",
        "phantom-slices": "automed.data.slices",
        "demo": "automed.data.demo",
        "npz": "automed.data.npz",
        "table": "automed.data.table",
        "image-pairs": "automed.data.image_pairs",
        "folder": "automed.data.image_folder",  # any folder: it is asked last
    },
}
KINDS = ("task", "family", *ROWS)
LIBRARIES = ("strategy", "stopping")
"""Kinds of which one module may offer several, as library:algorithm."""
ADDRESSED = ("device",)
"""Kinds whose modules serve any address behind the name, as ssh:user@board; they read it."""
_FAMILIES = "automed.search_spaces"
_TASKS = "automed.studies"


@cache
def places(kind: str) -> dict[str, str]:
    """Every known name of a kind, with the module (or task file) behind it.

    Formats come in the order in which a source is offered to them, others in that of their names.
    """
    found: dict[str, str] = {}
    if kind == "family":
        folder = files(_FAMILIES)
        stems = (Path(f.name).stem for f in folder.iterdir() if f.name.endswith(".py"))
        found = {s.replace("_", "-"): f"{_FAMILIES}.{s}" for s in stems if not s.startswith("_")}
    elif kind == "task":
        found = {
            Path(f.name).stem: str(f) for f in files(_TASKS).iterdir() if f.name.endswith(".yaml")
        }
    else:
        found = dict(ROWS[kind])
    theirs = {e.name: e.value for e in entry_points(group=f"automed.{kind}")}
    every = theirs | found  # nobody replaces a part of ours unseen
    return every if kind == "format" else dict(sorted(every.items()))


def names(kind: str) -> list[str]:
    """Every name of a kind; those of a library as library:algorithm."""
    if kind not in LIBRARIES:
        return list(places(kind))
    every = []
    for library, place in places(kind).items():
        algorithms = getattr(importlib.import_module(place), "ALGORITHMS", None)
        every += [library] if algorithms is None else [f"{library}:{a}" for a in algorithms]
    return every


def part(kind: str, name: str) -> ModuleType:
    """The module behind a name; for library:algorithm the library's, for name:address the name's.

    Raises:
        UnknownNameError: Nothing answers to that name.
        StrategyError: It is known, and known not to work here.
    """
    stem, _, rest = name.partition(":") if kind in LIBRARIES + ADDRESSED else (name, "", "")
    if kind in LIBRARIES and rest and stem in places(kind):
        refused = getattr(importlib.import_module(places(kind)[stem]), "REFUSED", {})
        if rest in refused:
            raise StrategyError(f"{kind} {name} cannot be used: {refused[rest]}")
    if kind in LIBRARIES and name not in names(kind):
        raise UnknownNameError(kind, name, names(kind))
    if stem not in places(kind):
        raise UnknownNameError(kind, name, places(kind))
    return importlib.import_module(places(kind)[stem])


def summary(kind: str, name: str) -> str:
    """One line on what a name stands for, read without importing it."""
    if kind == "task":
        return task(name).title
    library, _, algorithm = name.partition(":")
    place = places(kind)[library]
    if algorithm:
        return str(importlib.import_module(place).ALGORITHMS[algorithm].summary)
    spec = find_spec(place)
    if spec is None or spec.origin is None:
        return ""
    docstring = ast.get_docstring(ast.parse(Path(spec.origin).read_text())) or ""
    return docstring.splitlines()[0] if docstring else ""


def family(name: str) -> type[Family]:
    """The family in search_spaces/<name with _ for ->.py.

    Raises:
        UnknownNameError: No such file.
    """
    found: type[Family] = part("family", name).FAMILY
    return found


def task(name: str) -> Task:
    """The task in studies/<name>.yaml, or in the YAML file that name is the path of.

    Raises:
        UnknownNameError: No such task.
        TaskError: The file does not describe a task.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        if not path.is_file():
            raise TaskError(f"no task file {name}; give a .yaml file or one of {names('task')}")
        return Task.read(path)
    if name not in places("task"):
        raise UnknownNameError("task", name, places("task"))
    place = places("task")[name]
    return Task.read(Path(place if place.endswith(".yaml") else f"{files(place)}/{name}.yaml"))


def require_serving(task: Task, sample: SampleSpec) -> None:
    """Refuse families that cannot be built for these samples, before anything is searched.

    Raises:
        SpaceError: One of the task's families cannot.
    """
    for name in task.families:
        if reason := family(name).refusal(sample):
            able = [
                n
                for n in names("family")
                if task.problem in family(n).problems and not family(n).refusal(sample)
            ]
            raise SpaceError(
                f"family {name} cannot serve these samples: {reason}; "
                f"these can: {', '.join(able) or 'none'}"
            )


def require_answering(task: Task) -> None:
    """Refuse baselines that cannot answer the task's problem, before anything is searched.

    Raises:
        TaskError: One of the task's baselines cannot.
    """
    classical = part("problem", task.problem).PROBLEM.classical
    able = [
        *classical,
        *(n for n, net in task.networks.items() if task.problem in family(net["family"]).problems),
    ]
    for name in task.baselines:
        if name not in able:
            raise TaskError(
                f"baseline {name} is not for {task.problem}; these are: {', '.join(able)}"
            )


def space(families: tuple[str, ...], problem: str, dims: int | None = None) -> Joint:
    """The joint space of some families, see `Family.space`.

    Raises:
        UnknownNameError: No such family.
        SpaceError: A family cannot answer this problem, or two contradict each other.
    """
    for name in families:
        if problem not in family(name).problems:
            able = [n for n in names("family") if problem in family(n).problems]
            reason = family(name).unfit.get(problem)
            raise SpaceError(
                f"family {name} is not for {problem}{f': {reason}' if reason else ''}; "
                f"these are: {', '.join(able)}"
            )
    return joint({name: family(name).space(dims) for name in families})
