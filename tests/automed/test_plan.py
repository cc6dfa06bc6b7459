"""One search as plain values."""

import json

import pytest

from automed import registry
from automed.errors import RunError
from automed.plan import Plan

PLAN = Plan(
    task=registry.task("lung-ct"),
    data="phantom:lung-ct",
    window=(-1000.0, 400.0),
    targets=("onnx", "openvino"),
    devices=("host", "ssh:pi@board"),
    starts=({"family": "vgg", "width": 8},),
    earlier=(({"family": "vgg", "width": 8}, 0.25),),
    max_drop=None,
)


def test_a_plan_survives_json():
    assert Plan.from_settings(json.loads(json.dumps(PLAN.settings()))) == PLAN


@pytest.mark.parametrize("change", [{"targets": None}, {"exporter": "onnx"}, {"task": {}}])
def test_a_plan_of_another_version_is_one_line(change):
    settings = {**PLAN.settings(), **change}
    with pytest.raises(RunError, match="another version of automed"):
        Plan.from_settings({k: v for k, v in settings.items() if v is not None or k != "targets"})
