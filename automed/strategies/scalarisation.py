"""Several objectives as one, for the libraries that know only one."""

from collections.abc import Mapping
from itertools import pairwise

from automed.task import Direction
from automed.trial import Outcome

AUGMENTATION = 0.05
"""Weight of the sum beside the maximum: of two points with one maximum the dominated one loses."""
INFEASIBLE = 2.0
"""Loss from which infeasible outcomes count; no feasible one reaches it."""
_BASES = (2, 3, 5, 7, 11)


class Scalarisation:
    """An augmented Chebyshev loss to minimise, whose weights sweep the front trial by trial.

    loss = max_m w_m z_m + 0.05 sum_m w_m z_m, where z_m in [0, 1] is objective m between the best
    (0) and the worst (1) seen so far, and w is a point of a low-discrepancy sequence on the weight
    simplex that depends on a trial's number alone: each trial is asked for a trade-off of its own,
    and any trade-off has its turn. An infeasible outcome is worse than every feasible one, by how
    much it breaks the limits.

    Source: Steuer and Choo 1983 (the loss); Knowles 2006, ParEGO (a weight a trial, and all that
    is known judged by it); Deb 2000 (feasible before infeasible).
    """

    def __init__(self, objectives: Mapping[str, Direction]) -> None:
        self._signs = {name: -1.0 if d == "maximize" else 1.0 for name, d in objectives.items()}
        self._seen: dict[int, list[float]] = {}
        self._broken: dict[int, float] = {}

    def see(self, number: int, outcome: Outcome) -> None:
        """Keep the outcome of a trial, finished or infeasible, not failed."""
        if outcome.feasible:
            self._seen[number] = [s * outcome.value(name) for name, s in self._signs.items()]
        else:
            broken = sum(max(0.0, v) for v in outcome.violations.values())
            self._broken[number] = INFEASIBLE + min(broken, 1e6)

    def losses(self, number: int) -> dict[int, float]:
        """The loss of every trial kept, as judged for the trade-off of a trial's number."""
        weight = weights(number, len(self._signs))
        spans = [(min(column), max(column)) for column in zip(*self._seen.values(), strict=True)]
        judged = dict(self._broken)
        for trial, values in self._seen.items():
            places = [
                (v - low) / (high - low) if high > low else 0.5
                for v, (low, high) in zip(values, spans, strict=True)
            ]
            parts = [w * z for w, z in zip(weight, places, strict=True)]
            judged[trial] = max(parts) + AUGMENTATION * sum(parts)
        return judged


def weights(number: int, num_objectives: int) -> list[float]:
    """The weights of a trial: positive, with sum 1, evenly spread over the numbers.

    The gaps between sorted uniform numbers are uniform on the simplex; the numbers are Halton's.
    """
    cuts = [_radical_inverse(number + 1, _BASES[m]) for m in range(num_objectives - 1)]
    edges = [0.0, *sorted(cuts), 1.0]
    return [high - low for low, high in pairwise(edges)]


def _radical_inverse(number: int, base: int) -> float:
    value, place = 0.0, 1.0
    while number:
        number, digit = divmod(number, base)
        place /= base
        value += digit * place
    return value
