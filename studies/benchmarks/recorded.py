"""Recorded architectures, and what asking for them would have cost."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from automed.front import front, hypervolume
from automed.space import Choice, Joint, Space, joint
from automed.task import Direction

OBJECTIVES: dict[str, Direction] = {"error": "minimize", "latency_ms": "minimize"}
BOTH = tuple(OBJECTIVES.values())
Genes = tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where a table lies and what its columns are called."""

    name: str
    file: Path
    genes: str
    high: str
    latency: str
    low: str | None = None
    low_cost: float = 0.0


class Table:
    """Every architecture of a search space with what is known of it."""

    def __init__(self, source: Source) -> None:
        if source.file.suffix == ".csv":
            rows = pd.read_csv(source.file, dtype={source.genes: str})
        else:
            rows = pd.read_parquet(source.file)
        self.genes = [tuple(g) for g in rows[source.genes]]
        self.place = {genes: i for i, genes in enumerate(self.genes)}
        self.high: NDArray[np.float64] = 100 - rows[source.high].to_numpy(float)
        self.latency = rows[source.latency].to_numpy(float)
        self.low = None if source.low is None else 100 - rows[source.low].to_numpy(float)
        self.low_cost = source.low_cost
        self.letters = [sorted(set(column)) for column in zip(*self.genes, strict=True)]

    @cached_property
    def space(self) -> Joint:
        """A parameter for each gene."""
        cell: Space = {f"gene.{i}": Choice(tuple(x)) for i, x in enumerate(self.letters)}
        return joint({"cell": cell})

    @cached_property
    def reference(self) -> tuple[float, float]:
        """The corner of the hypervolume."""
        return float(np.median(self.high)), 1.1 * float(self.latency[self._front].max())

    @cached_property
    def whole(self) -> float:
        """The hypervolume of the true front."""
        return self._under(self._front)

    def share(self, rows: Sequence[int]) -> float:
        """The normalised hypervolume of some architectures."""
        return self._under(rows) / self.whole

    def _under(self, rows: Sequence[int]) -> float:
        values = np.column_stack([self.high[list(rows)], self.latency[list(rows)]])
        return hypervolume(values, BOTH, self.reference)

    @cached_property
    def _front(self) -> list[int]:
        order = np.lexsort((self.high, self.latency))
        best = np.minimum.accumulate(self.high[order])
        near = order[np.r_[True, best[1:] < best[:-1]]]
        values = np.column_stack([self.high[near], self.latency[near]])
        return [int(near[i]) for i in front(values, BOTH)]


class BudgetSpentError(Exception):
    """There is nothing left to train with."""


@dataclass
class Meter:
    """Answers from a table and counts what the answers would have cost."""

    table: Table
    cost: float
    spent: float = 0.0
    lowered: set[Genes] = field(default_factory=set)
    trained: list[tuple[float, int]] = field(default_factory=list)

    def full(self, genes: Genes) -> tuple[float, float]:
        """Error in percent and latency after a full training."""
        row = self._paid(genes, 1.0)
        self.trained.append((self.spent, row))
        return float(self.table.high[row]), float(self.table.latency[row])

    def short(self, genes: Genes) -> float:
        """Error in percent after a short training."""
        assert self.table.low is not None
        return float(self.table.low[self._paid(genes, self.table.low_cost)])

    def latency(self, genes: Genes) -> float:
        """What is known before any training."""
        self.lowered.add(genes)
        return float(self.table.latency[self.table.place[genes]])

    def at(self, mark: float) -> float:
        """The normalised hypervolume when so much was spent."""
        return self.table.share([row for spent, row in self.trained if spent <= mark + 1e-9])

    def _paid(self, genes: Genes, cost: float) -> int:
        if self.spent + cost > self.cost + 1e-9:
            raise BudgetSpentError
        self.spent += cost
        return self.table.place[genes]
