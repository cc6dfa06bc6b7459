"""What a search comes to, in words."""

import pytest

from automed.conclude import _reason
from automed.report.results import Interval, Model


def model(name, auc, latency_ms):
    return Model(
        name=name,
        origin="search",
        trial=0,
        family="vgg",
        validation={"auc": Interval(auc, auc, auc)},
        sealed={},
        costs={"latency_ms": latency_ms},
    )


@pytest.mark.parametrize(
    ("latency_ms", "price"),
    [(3.0, "for 3.0 times the latency."), (1.04, "at about the same latency.")],
)
def test_the_reason_says_what_more_latency_would_buy(latency_ms, price):
    models = (model("quick", 0.9, 1.0), model("best", 0.908, latency_ms))
    told = _reason(models, "quick", ["quick", "middle", "best"], "auc", better=1.0)
    assert told.startswith(
        "quick, the knee among the 3 models not significantly worse than the best: "
        "validation AUC 0.900 at 1.000 ms;"
    )
    assert told.endswith(f"the most accurate, best, has 0.908 {price}")


@pytest.mark.parametrize(
    ("others", "contenders", "why"),
    [
        ([], ["best"], "the only one"),
        (["quick"], ["best"], "all faster ones are significantly worse"),
        (["quick"], ["quick", "best"], "no clear knee among those that come close"),
    ],
)
def test_the_reason_for_the_most_accurate_model(others, contenders, why):
    models = (*(model(name, 0.8, 0.5) for name in others), model("best", 0.9, 1.0))
    told = _reason(models, "best", contenders, "auc", better=1.0)
    assert told.startswith(f"best, the most accurate model of the front ({why}): validation AUC")
