"""Who may be chosen, and that the sealed part is opened once, for pairs."""

from dataclasses import replace

import numpy as np
import pytest

from automed.artefacts import Artefact
from automed.data.dataset import Dataset
from automed.data.splits import Sealed
from automed.finalists import Finalist
from automed.judge import Judge
from automed.problems.classification import PROBLEM
from automed.sample import InputSpec, SampleSpec, TargetSpec
from automed.trial import BASELINE, SEARCH

NUM = 200
RNG = np.random.default_rng(7)
LABELS = np.arange(NUM) % 2


class Told:
    """A runner whose answers are known beforehand."""

    def __init__(self, answers):
        self.answers = answers

    def __call__(self, *raw):
        return self.answers[raw[0][:, 0, 0, 0].astype(int)]


def part():
    sample = SampleSpec(
        inputs=(InputSpec(size=(2, 2)),), targets=(TargetSpec(classes=("no", "yes")),)
    )
    images = np.broadcast_to(np.arange(NUM)[:, None, None, None], (NUM, 1, 2, 2)).astype(np.float32)
    return Dataset(sample=sample, inputs={"image": images}, targets={"label": LABELS})


def finalist(name, wrong, origin=SEARCH):
    """One whose answers are turned round for some of the samples, at random."""
    sure = LABELS + RNG.normal(0, 0.1, NUM)
    turned = RNG.permutation(NUM) < wrong * NUM
    yes = np.clip(np.where(turned, 1 - sure, sure), -1, 2)
    answers = np.stack([1 - yes, yes], axis=1).astype(np.float32)
    return Finalist(
        name=name,
        origin=origin,
        trial=0,
        family="vgg",
        config={},
        files=(
            Artefact(
                target="onnx",
                content=b"",
                runner=Told(answers),
                validation=answers,
                max_difference=0.0,
            ),
        ),
        costs={},
    )


@pytest.mark.parametrize(
    ("groups", "word"),
    [(None, "sample"), (np.zeros(NUM, int), "sample"), (np.arange(NUM) // 4, "patient")],
)
def test_it_says_what_the_intervals_draw(finalists, groups, word):
    val = replace(part(), groups=groups)
    assert Judge(PROBLEM, "auc", 0, val, finalists).resampled_by == word


@pytest.fixture
def finalists():
    return [finalist("poor", 0.45), finalist("good", 0.06), finalist("best", 0.05)]


def test_only_what_is_significantly_worse_is_left_out(finalists):
    judge = Judge(PROBLEM, "auc", 0, part(), finalists)
    assert judge.scores["best"] > 0.9 > judge.scores["poor"]
    assert [f.name for f in judge.not_worse(finalists)] == ["good", "best"]


def test_of_an_error_less_is_better(finalists):
    class Turned(type(PROBLEM)):
        errors = frozenset({"auc"})

    judge = Judge(Turned(), "auc", 0, part(), finalists)
    assert [f.name for f in judge.not_worse(finalists)] == ["poor"]


def test_a_model_alone_is_not_worse_than_itself(finalists):
    judge = Judge(PROBLEM, "auc", 0, part(), finalists)
    assert judge.not_worse(finalists[:1]) == finalists[:1]


def test_sealed_scores_come_with_the_opening(finalists):
    base = finalist("plain", 0.2, BASELINE)
    judge = Judge(PROBLEM, "auc", 0, part(), [*finalists, base])
    known = {"latency_ms": 1.0}
    assert judge.comparisons((judge.model(base, known),)) == ()
    assert not judge.model(base, known).sealed
    judge.open(Sealed(part()), [*finalists, base])
    models = tuple(judge.model(f, known) for f in [*finalists, base])
    pairs = judge.comparisons(models)
    assert [(c.model, c.baseline) for c in pairs] == [(f.name, "plain") for f in finalists]
    for c in pairs:
        sealed = {m.name: m.sealed["auc"] for m in models}
        assert c.difference.value == pytest.approx(sealed[c.model].value - sealed["plain"].value)
        assert c.difference.low < c.difference.value < c.difference.high


def test_what_is_undefined_on_the_sealed_part_is_not_told(finalists):
    class Undefined(type(PROBLEM)):
        def scores(self, answers, truth, weights=None):
            every = super().scores(answers, truth, weights)
            return {name: np.full_like(values, np.nan) for name, values in every.items()}

    base = finalist("plain", 0.2, BASELINE)
    judge = Judge(PROBLEM, "auc", 0, part(), [*finalists, base])
    judge._problem = Undefined()
    judge.open(Sealed(part()), [*finalists, base])
    models = tuple(judge.model(f, {"latency_ms": 1.0}) for f in [*finalists, base])
    assert all(not m.sealed and m.validation for m in models)
    assert judge.comparisons(models) == ()
