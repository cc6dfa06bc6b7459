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
    simplex that depends on the trial's number alone. So each trial is judged by the trade-off
    that was its turn, and any trade-off has its turn. A loss stands as it was told: the first few
    are drawn towards 0.5, since what is good is not known yet.

    An infeasible outcome is worse than every feasible one, by how much it breaks the limits.

    Source: Steuer and Choo 1983 (the loss); Knowles 2006, ParEGO (a weight a trial); Deb 2000
    (feasible before infeasible).
    """

    def __init__(self, objectives: Mapping[str, Direction]) -> None:
        self._signs = {name: -1.0 if d == "maximize" else 1.0 for name, d in objectives.items()}
        self._seen: list[list[float]] = []

    def loss(self, number: int, outcome: Outcome) -> float:
        """The loss of a trial, which counts among those seen from now on.

        Args:
            number: The trial's number.
            outcome: Finished or infeasible, not failed.
        """
        if not outcome.feasible:
            broken = sum(max(0.0, v) for v in outcome.violations.values())
            return INFEASIBLE + min(broken, 1e6)
        values = [sign * outcome.value(name) for name, sign in self._signs.items()]
        self._seen.append(values)
        trust = len(self._seen) / (len(self._seen) + 4)
        places = [
            0.5 + trust * (_place(v, column) - 0.5)
            for v, column in zip(values, zip(*self._seen, strict=True), strict=True)
        ]
        parts = [w * z for w, z in zip(weights(number, len(places)), places, strict=True)]
        return max(parts) + AUGMENTATION * sum(parts)


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


def _place(value: float, seen: tuple[float, ...]) -> float:
    """Where a value lies between the least (0) and the greatest (1) of those seen."""
    low, high = min(seen), max(seen)
    return (value - low) / (high - low) if high > low else 0.5
