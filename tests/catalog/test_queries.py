"""How well the search finds papers that people need, on queries it was not tuned on.

Weights and synonyms were chosen on the half `tune` only. The half `held_back` is measured, never
looked at: do not print its failures, and do not add words for them.
"""

from __future__ import annotations

import hashlib
import math
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from statlas.catalog import AREAS, Catalogue, find

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
    """Rank of the first accepted paper for each query; infinity beyond the first 50."""

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


def test_queries_are_well_formed(catalogue: Catalogue) -> None:
    queries = read_queries()
    assert len(queries) >= 170
    assert len({query.text for query in queries}) == len(queries)
    wanted = [catalogue.get(id) for query in queries for id in query.accepts]
    assert len({entry.id for entry in wanted}) >= 150
    assert {entry.area for entry in wanted} == set(AREAS)
    assert all(1 <= len(query.accepts) <= 3 for query in queries)


def test_the_halves_are_fixed() -> None:
    """The split depends on the texts alone, so a changed text shows here."""
    sizes = {half: len(read_queries(half)) for half in HALVES}
    assert sizes == {"tune": 112, "held_back": 133}


def test_wilson_interval() -> None:
    """Closed form at 0 of n: 0 to z^2 / (n + z^2); symmetric under exchange of the outcomes."""
    low, high = wilson(0, 10, z=2.0)
    assert low == pytest.approx(0.0, abs=1e-12)
    assert high == pytest.approx(4 / 14)
    assert wilson(10, 10, z=2.0)[0] == pytest.approx(10 / 14)


@pytest.mark.parametrize("half", HALVES)
def test_recall(half: str, catalogue: Catalogue, record_property: Callable[..., None]) -> None:
    measured = measure(half, catalogue)
    print(f"{half}: {measured}")
    record_property(f"recall_{half}", str(measured))
    assert measured.at(5) >= 0.90, str(measured)


def test_recall_survives_a_typing_slip(catalogue: Catalogue) -> None:
    """The middle letter of the longest word is left out in each query."""
    slipped = [Query(_slip(query.text), query.accepts) for query in read_queries("held_back")]
    measured = Recall(tuple(rank(query, catalogue) for query in slipped))
    print(f"held_back with slips: {measured}")
    assert measured.at(5) >= 0.85, str(measured)


def test_without_the_texts_recall_is_lost(catalogue: Catalogue) -> None:
    """The measure can fail: with the titles alone it does."""
    bare = [replace(e, answers=".", use_when=".", input=".", search=()) for e in catalogue.values()]
    assert measure("held_back", Catalogue(bare)).at(5) < 0.80


def _slip(text: str) -> str:
    longest = max(re.findall(r"[a-z]+", text), key=len)
    middle = len(longest) // 2
    return text.replace(longest, longest[:middle] + longest[middle + 1 :], 1)
