"""Whether an int8 model takes the place of the one in fp32: only if it is faster and as good."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from automed.errors import DeviceError, ExportError
from automed.exporters import Attempt

LEAST_GAIN = 1.05
"""How many times as fast as fp32 an int8 model must be: less is noise."""
PATIENCE = 2
"""Attempts in a row that are not, after which no gentler one is made: it would be slower still."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """An int8 model beside the same model in fp32.

    Attributes:
        worse: By how much its score is worse on the validation part, in the score's own unit;
            below 0 where it is better.
        latency_ms: Its median latency.
        fp32_ms: That of the model in fp32, timed in turns with it.
    """

    worse: float
    latency_ms: float
    fp32_ms: float

    @property
    def quick(self) -> bool:
        """It is faster than fp32, by more than noise."""
        return self.latency_ms * LEAST_GAIN < self.fp32_ms


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The int8 model to take.

    Attributes:
        attempt: The model.
        verdict: How it does.
        refused: Why those before it were not taken, one line each.
    """

    attempt: Attempt
    verdict: Verdict
    refused: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """No int8 model is worth taking.

    Attributes:
        refused: Why, one line an attempt.
        quick: Whether one was fast enough, and lost too much of its score.
    """

    refused: tuple[str, ...]
    quick: bool

    def and_then(self, later: "Rejected") -> "Rejected":
        """This, and what was tried after it."""
        return Rejected(refused=self.refused + later.refused, quick=self.quick or later.quick)

    @property
    def reason(self) -> str:
        """All of it in one line."""
        return "; ".join(self.refused) or "int8: no layer gains by it"


def accept(
    attempts: Iterable[Attempt],
    *,
    judge: Callable[[Attempt], Verdict],
    score: str,
    max_drop: float,
) -> Kept | Rejected:
    """The first attempt that is faster than fp32 and whose score is not much worse.

    Attempts after that one are not asked for.

    Args:
        attempts: From the boldest to the gentlest; an ExportError ends them.
        judge: Runs one on the validation part and times it; an artefact that does not run is an
            ExportError, and not taken.
        score: What the score is called in a sentence.
        max_drop: By how much the score may be worse.
    """
    refused: list[str] = []
    any_quick, slow = False, 0
    coming = iter(attempts)
    while True:
        try:
            attempt = next(coming, None)
        except ExportError as error:  # the target has no int8 for this model
            refused.append(f"int8: {error}")
            break
        if attempt is None:
            break
        try:
            verdict = judge(attempt)
        except (ExportError, DeviceError) as error:
            refused.append(f"{attempt.how}: {error}")
            continue
        why = _why_not(verdict, score, max_drop)
        if not why:
            return Kept(attempt=attempt, verdict=verdict, refused=tuple(refused))
        refused.append(f"{attempt.how}: {why}")
        any_quick, slow = any_quick or verdict.quick, 0 if verdict.quick else slow + 1
        if slow == PATIENCE:
            break
    return Rejected(refused=tuple(refused), quick=any_quick)


def _why_not(verdict: Verdict, score: str, max_drop: float) -> str:
    if not verdict.quick:
        return f"not faster: {verdict.latency_ms:.3g} ms against {verdict.fp32_ms:.3g} ms"
    if not verdict.worse <= max_drop:  # nor one that is undefined
        return f"{score} {verdict.worse:.2g} worse, allowed is {max_drop:g}"
    return ""
