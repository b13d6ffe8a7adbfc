"""A row of what is measured once per server (memory, pauses, tails), next to its target, and what is said of it."""

import operator
from dataclasses import dataclass, field

from . import cells

AT_MOST, AT_LEAST, TIMES_REDIS = "≤", "≥", "≤ redis ×"

PEERS = (cells.REDIS, cells.KEVY)


@dataclass(frozen=True)
class Target:
    """What was asked for: pantry's value at most or at least `limit`, or at most `limit` times redis's."""

    kind: str
    limit: float

    def __str__(self) -> str:
        return f"{self.kind} {self.limit:g}"


@dataclass(frozen=True)
class Row:
    """One value of each server. A server that is not in `values` was not measured: `notes` may say why."""

    group: str
    what: str
    unit: str
    values: dict[str, float]
    target: Target | None = None
    higher_is_better: bool = False
    compares: bool = True
    notes: list[str] = field(default_factory=list)

    @property
    def ratio(self) -> float | None:
        """Pantry's value over redis's."""
        mine, redis = self.values.get(cells.PANTRY), self.values.get(cells.REDIS)
        return mine / redis if mine is not None and redis else None


def verdict(row: Row) -> str:
    """Whether the target is met."""
    if row.target is None:
        return ""
    mine = row.values.get(cells.PANTRY)
    if mine is None or (row.target.kind == TIMES_REDIS and cells.REDIS not in row.values):
        return "not measured"
    limit = row.target.limit * (row.values[cells.REDIS] if row.target.kind == TIMES_REDIS else 1)
    is_met = mine >= limit if row.target.kind == AT_LEAST else mine <= limit
    return "yes" if is_met else "**no**"


def not_ahead_of(row: Row) -> list[str]:
    """The peers that pantry is not better than."""
    mine = row.values.get(cells.PANTRY)
    if mine is None or not row.compares:
        return []
    is_better = operator.gt if row.higher_is_better else operator.lt
    return [peer for peer in PEERS if peer in row.values and not is_better(mine, row.values[peer])]


def number(value: float | None) -> str:
    """Three digits that count, and no more."""
    if value is None:
        return "-"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"
