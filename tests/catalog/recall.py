"""How well the search finds papers: the queries, their split and the measures."""

from __future__ import annotations

import hashlib
import math
import tomllib
from dataclasses import dataclass
from pathlib import Path

from statlas.catalog import Catalogue, find

QUERIES = Path(__file__).with_name("queries.toml")
HALVES = ("tune", "held_back")


@dataclass(frozen=True)
class Query:
    """What a user types and the ids that answer it."""

    text: str
    accepts: tuple[str, ...]

    @property
    def half(self) -> str:
        """Which half the query belongs to: the parity of the first byte of its SHA-256."""
        return HALVES[hashlib.sha256(self.text.encode("utf-8")).digest()[0] % 2]


@dataclass(frozen=True)
class Recall:
    """Ranks of the first accepted paper of each query; infinity when it is not among the first 50."""

    ranks: tuple[float, ...]

    def at(self, depth: int) -> float:
        """Share of the queries answered among the first `depth`."""
        return sum(rank <= depth for rank in self.ranks) / len(self.ranks)

    @property
    def mean_reciprocal_rank(self) -> float:
        """Mean of 1 / rank."""
        return sum(1 / rank for rank in self.ranks) / len(self.ranks)

    def __str__(self) -> str:
        n = len(self.ranks)
        low, high = wilson(round(self.at(5) * n), n)
        return (
            f"recall@5 {self.at(5):.3f} (95 % Wilson interval {low:.3f} to {high:.3f}), "
            f"recall@1 {self.at(1):.3f}, recall@10 {self.at(10):.3f}, "
            f"mean reciprocal rank {self.mean_reciprocal_rank:.3f}, {n} queries"
        )


def read_queries(half: str | None = None) -> list[Query]:
    """Return all queries, or one half of them."""
    rows = tomllib.loads(QUERIES.read_text(encoding="utf-8"))["query"]
    queries = [Query(row["text"], tuple(row["accepts"])) for row in rows]
    return [query for query in queries if half in (None, query.half)]


def rank(query: Query, catalogue: Catalogue) -> float:
    """Return the rank of the first accepted paper."""
    ids = [hit.id for hit in find(query.text, catalogue=catalogue, limit=50)]
    return min((ids.index(id) + 1 for id in query.accepts if id in ids), default=math.inf)


def measure(half: str, catalogue: Catalogue) -> Recall:
    """Return the ranks over one half."""
    return Recall(tuple(rank(query, catalogue) for query in read_queries(half)))


def wilson(successes: int, trials: int, z: float = 1.959964) -> tuple[float, float]:
    """Return the Wilson score interval of a proportion (Wilson 1927)."""
    share = successes / trials
    centre = share + z * z / (2 * trials)
    spread = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2))
    scale = 1 + z * z / trials
    return (centre - spread) / scale, (centre + spread) / scale
