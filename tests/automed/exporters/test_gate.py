"""The gate: the first int8 model that is faster and as good, or why there is none."""

import math
from collections.abc import Iterator

import pytest

from automed.errors import ExportError
from automed.exporters import Attempt
from automed.exporters.gate import Kept, Rejected, Verdict, accept

PER_TENSOR, PER_CHANNEL, GENTLE = (
    Attempt(how=how, artefact=how.encode())
    for how in ("int8 per tensor", "int8 per channel", "int8 per channel, 1 of 4 layers in fp32")
)


def verdict(*, worse: float = 0.0, latency_ms: float = 0.2) -> Verdict:
    return Verdict(worse=worse, latency_ms=latency_ms, fp32_ms=0.25)


def decided(verdicts: dict[Attempt, Verdict]) -> Kept | Rejected:
    return accept(verdicts, judge=verdicts.__getitem__, score="AUC", max_drop=0.01)


def test_the_first_that_is_faster_and_good_enough_is_kept() -> None:
    given = decided(
        {
            PER_TENSOR: verdict(worse=0.012),
            PER_CHANNEL: verdict(worse=0.01),
            GENTLE: verdict(worse=-0.1),
        }
    )
    assert isinstance(given, Kept)
    assert given.attempt == PER_CHANNEL
    assert given.verdict == verdict(worse=0.01)
    assert given.refused == ("int8 per tensor: AUC 0.012 worse, allowed is 0.01",)


def test_when_nothing_helps_every_reason_is_told() -> None:
    given = decided(
        {
            PER_TENSOR: verdict(worse=0.5),
            PER_CHANNEL: verdict(worse=math.nan),
            GENTLE: verdict(latency_ms=0.31),
        }
    )
    assert given == Rejected(
        refused=(
            "int8 per tensor: AUC 0.5 worse, allowed is 0.01",
            "int8 per channel: AUC nan worse, allowed is 0.01",
            "int8 per channel, 1 of 4 layers in fp32: not faster: 0.31 ms against 0.25 ms",
        ),
        quick=True,
    )
    assert given.reason == "; ".join(given.refused)


def test_as_fast_is_not_faster() -> None:
    assert isinstance(decided({PER_TENSOR: verdict(latency_ms=0.25)}), Rejected)
    assert isinstance(decided({PER_TENSOR: verdict(latency_ms=0.24)}), Rejected), "noise"


def test_nothing_gentler_is_made_once_two_in_a_row_are_slow() -> None:
    slow = verdict(latency_ms=0.3)
    given = decided({PER_TENSOR: slow, PER_CHANNEL: slow, GENTLE: verdict()})
    assert isinstance(given, Rejected)
    assert (len(given.refused), given.quick) == (2, False)
    more = given.and_then(decided({GENTLE: verdict(worse=1.0)}))
    assert isinstance(more, Rejected)
    assert (len(more.refused), more.quick) == (3, True)


def test_a_better_score_does_not_excuse_a_slower_model() -> None:
    assert isinstance(decided({PER_TENSOR: verdict(worse=-0.2, latency_ms=0.26)}), Rejected)


def test_an_artefact_that_does_not_run_is_passed_over() -> None:
    def judge(attempt: Attempt) -> Verdict:
        if attempt == PER_TENSOR:
            raise ExportError("model is no ONNX model that onnxruntime can load")
        return verdict()

    given = accept([PER_TENSOR, PER_CHANNEL], judge=judge, score="AUC", max_drop=0.01)
    assert isinstance(given, Kept)
    assert given.attempt == PER_CHANNEL
    assert given.refused == ("int8 per tensor: model is no ONNX model that onnxruntime can load",)


def test_a_bug_is_not_taken_for_a_refusal() -> None:
    def judge(attempt: Attempt) -> Verdict:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        accept([PER_TENSOR], judge=judge, score="AUC", max_drop=0.01)


def test_gentler_attempts_are_not_made_when_a_bold_one_will_do() -> None:
    made = []

    def attempts() -> Iterator[Attempt]:
        for attempt in (PER_TENSOR, PER_CHANNEL, GENTLE):
            made.append(attempt)
            yield attempt

    accept(attempts(), judge=lambda attempt: verdict(), score="AUC", max_drop=0.01)
    assert made == [PER_TENSOR]


def test_a_target_without_int8_for_a_model_is_a_reason() -> None:
    def attempts() -> Iterator[Attempt]:
        yield PER_TENSOR
        raise ExportError("no kernel for convolutions of volumes")

    given = accept(attempts(), judge=lambda a: verdict(worse=1), score="AUC", max_drop=0.01)
    assert isinstance(given, Rejected)
    assert given.refused[1] == "int8: no kernel for convolutions of volumes"


def test_no_attempt_at_all_is_a_reason_too() -> None:
    given = decided({})
    assert given == Rejected(refused=(), quick=False)
    assert given.reason == "int8: no layer gains by it"
