"""Whether an int8 model takes the place of the one in fp32: only if it is faster and as good."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from automed.errors import ExportError
from automed.exporters import Attempt


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """An int8 model beside the same model in fp32.

    Attributes:
        worse: By how much its score is worse on the validation part, in the score's own unit;
            below 0 where it is better.
        interval: The 95 % interval of that, paired.
        latency_ms: Its median latency.
        fp32_ms: That of the model in fp32, timed in turns with it.
    """

    worse: float
    interval: tuple[float, float]
    latency_ms: float
    fp32_ms: float


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
    """

    refused: tuple[str, ...]

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
        attempts: From the boldest to the gentlest.
        judge: Runs one on the validation part and times it; an artefact that does not run is an
            ExportError, and not taken.
        score: What the score is called in a sentence.
        max_drop: By how much the score may be worse.
    """
    refused: list[str] = []
    for attempt in attempts:
        try:
            verdict = judge(attempt)
        except ExportError as error:
            refused.append(f"{attempt.how}: {error}")
            continue
        why = _why_not(verdict, score, max_drop)
        if not why:
            return Kept(attempt=attempt, verdict=verdict, refused=tuple(refused))
        refused.append(f"{attempt.how}: {why}")
    return Rejected(refused=tuple(refused))


def _why_not(verdict: Verdict, score: str, max_drop: float) -> str:
    if not verdict.latency_ms < verdict.fp32_ms:
        return f"slower: {verdict.latency_ms:.3g} ms against {verdict.fp32_ms:.3g} ms"
    if not verdict.worse <= max_drop:  # nor one that is undefined
        return f"{score} {verdict.worse:.2g} worse, allowed is {max_drop:g}"
    return ""
