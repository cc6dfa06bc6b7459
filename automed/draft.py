"""A task file for someone's own data: valid as it is, and commented, to be changed by hand."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from automed import data, files, registry
from automed.errors import DataError, SpaceError, TaskError
from automed.sample import InputSpec, SampleSpec
from automed.task import COSTS, Task

EPOCHS, SMALL = 20, 500
"""Epochs of a full training; with fewer samples than SMALL they are doubled."""
PLAIN = ("resnet", "unet", "dnn")
"""Families people compare with: the first that serves is the unsearched network."""
VOXELS = 8192
"""Places of an image above which batches are smaller: a volume of 16 x 24 x 24 has more."""
TEMPLATE = """\
# A task of automed: the data, what counts as good and which families compete.
# Search it with: automed search --task {file}{keys}
title: {title}
problem: {problem}
data: {data}  # a path, or phantom:... ; --data takes another
{window}families: {families}  # all that can be built for these samples
objectives: {objectives}  # the first score decides
# limits: {{latency_ms: 2.0, size_bytes: 2.0e+6}}  # of {costs}; never trained above
budget: {{trials: 20, epochs: {epochs}}}  # at_random: 0.1 of the trials is drawn blindly
training:
  batch: {batch}
  learning_rate: 0.003
  weight_decay: 0.01
  augment: {augment}

# Unsearched networks to compare with; any family, free of its search ranges.
networks:
  plain: {network}
baselines: {baselines}
"""


def write(path: Path, problem: str, source: str, keys: Mapping[str, str]) -> Task:
    """Read the data, and write a task that can be searched on it.

    Args:
        path: The .yaml file to write.
        problem: Name of the problem.
        source: The data, as `--data` takes it.
        keys: Which arrays or columns of the source play which role.

    Raises:
        TaskError: The file is there already, or is no .yaml.
        UnknownNameError: No such problem.
        DataError: The data cannot be used as it is.
        SpaceError: No family answers this problem on these samples.
    """
    if path.suffix not in (".yaml", ".yml"):
        raise TaskError(f"a task is a .yaml file; given {path.name}")
    if path.exists():
        raise TaskError(f"{path.name} is there already; name another file or remove it")
    target = registry.part("problem", problem).PROBLEM.target
    read = data.read(source, keys, target)
    text = _text(path, problem, source, keys, read.sample, len(read))
    try:
        files.replace(path, text)
    except OSError as error:
        raise DataError(f"cannot write {path.name}: {error.strerror}") from error
    return registry.task(str(path))


def _text(
    path: Path,
    problem: str,
    source: str,
    keys: Mapping[str, str],
    sample: SampleSpec,
    num_samples: int,
) -> str:
    known = registry.part("problem", problem).PROBLEM
    families = [
        name
        for name in registry.names("family")
        if problem in registry.family(name).problems and not registry.family(name).refusal(sample)
    ]
    if not families:
        raise SpaceError(f"no family answers {problem} on these samples; see automed list families")
    score = next(iter(known.metrics))
    plain = next((name for name in PLAIN if name in families), families[0])
    return TEMPLATE.format(
        file=path.name,
        keys=" --keys " + ",".join(f"{k}={v}" for k, v in keys.items()) if keys else "",
        title=json.dumps(f"{path.stem}: {problem}"),
        problem=problem,
        data=json.dumps(source),
        window=_window(sample.image),
        families=_flow(families),
        objectives=_flow(
            {score: "minimize" if score in known.errors else "maximize", "latency_ms": "minimize"}
        ),
        costs=", ".join(COSTS),
        epochs=EPOCHS * (2 if num_samples < SMALL else 1),
        batch=_batch(sample.image, num_samples),
        augment=_augment(sample),
        network=_flow({"family": plain, **registry.family(plain)().config()}),
        baselines=_flow([*known.classical, "plain"]),
    )


def _window(image: InputSpec) -> str:
    if image.units != "HU":
        return ""
    low, high = image.window
    return f"window: [{low:g}, {high:g}]  # HU mapped to 0 and 1\n"


def _batch(image: InputSpec, num_samples: int) -> int:
    usual = 32 if math.prod(image.size) <= VOXELS else 8
    return max(2, min(usual, num_samples // 8))


def _augment(sample: SampleSpec) -> str:
    if sample.image.kind != "image":
        return "[]"
    if sample.dims == 1:
        return "[intensity]  # a signal read backwards would be another"
    return "[flip, rotate90, intensity]  # leave out what your images cannot show"


def _flow(value: Any) -> str:
    """YAML on one line."""
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000)
    return text.strip()
