"""What is trending: a stated score, explained for each paper.

The score of a paper is a sum of three parts, over a window of days:

* **votes**: each reader who saved or tagged it counts with ``2^(-age / half_life)``, divided by the
  square root of how many papers that reader marked in the window. A reader who marks everything
  says little of each, and none can count twice for one paper. The part is ``log2(1 + sum)``.
* **counts** that feeds report (votes, comments, stars, citations, code links): for each kind the
  rise within the window, as ``log2(1 + rise)`` over the 90th percentile of such rises among the
  papers that have one, at most 2, times the weight of the kind. Percentiles make kinds comparable,
  and the cap keeps one count from outweighing all else. The first count of a paper is a rise from
  0 where the paper is not older than the window and 30 days; else nothing is known of a rise.
* **novelty**: how little the words of its title were seen in the weeks before the window, against
  the window itself: the mean log ratio of their frequencies, between 0 and 1. It counts only for a
  paper that has one of the other two parts.

Parts and weights stand in `Explained`, so that a reader sees why a paper is where it is.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from sqlalchemy import Connection, func, select, union_all

from statlas.app.digest.database import Database, in_parts
from statlas.app.digest.search import Paper, category_condition, papers
from statlas.app.digest.tables import paper, saved, signal, tagged
from statlas.catalog.words import surfaces
from statlas.core.errors import InputError

DAY = 86_400.0
VOTES_WEIGHT = 2.0
NOVELTY_WEIGHT = 0.5
KIND_WEIGHTS = {"votes": 1.0, "comments": 0.3, "stars": 0.5, "code": 0.3, "citations": 0.7}
_OTHER_KIND = 0.3
_MOST = 2.0
_LEAST_TOLD = 0.005  # parts that add less are not named
_BACKGROUND_DAYS = 60  # before the window
_TITLES = 3_000  # read for novelty, the newest of the window and of the weeks before
_YOUNG_DAYS = 30  # before the window: a first count of such a paper is a rise


@dataclass(frozen=True, slots=True)
class Explained:
    """A trending paper and where its score comes from.

    Attributes
    ----------
    score
        The weighted sum of the parts.
    readers
        How many readers saved or tagged it in the window.
    rises
        By how much each count rose in the window.
    parts
        What ``votes``, ``novelty`` and each kind of count add to the score.
    """

    paper: Paper
    score: float
    readers: int
    rises: Mapping[str, float]
    parts: Mapping[str, float]

    def why(self) -> str:
        """The reasons in words, the largest part first."""
        said = {
            "votes by readers": (
                f"saved by {self.readers} reader{'s' * (self.readers != 1)}" if self.readers else ""
            ),
            "novelty": "new words in its title",
        } | {f"{kind} of feeds": f"{rise:,.0f} more {kind}" for kind, rise in self.rises.items()}
        ordered = sorted(self.parts, key=lambda name: -self.parts[name])
        return ", ".join(
            f"{said[name]} (+{self.parts[name]:.2f})"
            for name in ordered
            if said.get(name) and self.parts[name] >= _LEAST_TOLD
        )


def trending(
    database: Database,
    *,
    days: int = 7,
    category: str = "",
    limit: int = 10,
    now: float | None = None,
) -> list[Explained]:
    """The papers with the highest score, the best first.

    Parameters
    ----------
    database
        Where to look.
    days
        The window, 1 to 365; the half-life of a reader's vote is half of it.
    category
        Only papers of this category; ``cs`` stands for all of ``cs.*``.
    limit
        How many.
    now
        The end of the window, in seconds since 1970.

    Raises
    ------
    InputError
        If `days` is out of range.
    """
    if not 1 <= days <= 365:
        raise InputError(f"the window must be 1 to 365 days; got {days}")
    end = datetime.now(UTC).timestamp() if now is None else now
    with database.reading() as connection:
        sums, readers = _votes(connection, end, days)
        rises = _rises(connection, end, days)
        ids = set(sums) | set(rises)
        if category and ids:
            ids = _of_category(connection, ids, category)
        parts = _parts(ids, sums, rises)
        leading = sorted(ids, key=lambda id: (-sum(parts[id].values()), -id))[: 5 * limit + 50]
        novelty = _novelty(connection, leading, end, days) if leading else {}
        for id in leading:
            parts[id]["novelty"] = NOVELTY_WEIGHT * novelty[id]
        best = sorted(leading, key=lambda id: (-sum(parts[id].values()), -id))[:limit]
        found = {item.id: item for item in papers(connection, best)}
    return [
        Explained(
            found[id], sum(parts[id].values()), readers.get(id, 0), rises.get(id, {}), parts[id]
        )
        for id in best
    ]


def _votes(
    connection: Connection, end: float, days: int
) -> tuple[dict[int, float], dict[int, int]]:
    """The decayed votes of each paper, and how many readers gave them."""
    start = end - days * DAY
    marks = union_all(
        *(
            select(t.c.reader, t.c.paper, t.c.at).where(t.c.at > start, t.c.at <= end)
            for t in (saved, tagged)
        )
    ).subquery()
    rows = connection.execute(
        select(marks.c.reader, marks.c.paper, func.max(marks.c.at)).group_by(
            marks.c.reader, marks.c.paper
        )
    ).all()
    marked = Counter(reader for reader, _, _ in rows)
    sums: dict[int, float] = defaultdict(float)
    for reader, id, at in rows:
        sums[id] += 2.0 ** (-(end - at) / (0.5 * days * DAY)) / math.sqrt(marked[reader])
    return dict(sums), Counter(id for _, id, _ in rows)


def _rises(connection: Connection, end: float, days: int) -> dict[int, dict[str, float]]:
    """By how much each count of each paper rose in the window; a first count is a rise from 0."""
    last, first = _day(end), _day(end - days * DAY)
    seen = (
        select(signal.c.paper, signal.c.kind, func.max(signal.c.amount).label("amount"))
        .where(signal.c.day > first, signal.c.day <= last)
        .group_by(signal.c.paper, signal.c.kind)
        .subquery()
    )
    before = (
        select(func.max(signal.c.amount))
        .where(signal.c.paper == seen.c.paper, signal.c.kind == seen.c.kind, signal.c.day <= first)
        .scalar_subquery()
    )
    young = _day(end - (days + _YOUNG_DAYS) * DAY)
    rises: dict[int, dict[str, float]] = defaultdict(dict)
    for id, kind, amount, earlier, published in connection.execute(
        select(seen.c.paper, seen.c.kind, seen.c.amount, before, paper.c.published).join(
            paper, paper.c.id == seen.c.paper
        )
    ):
        if earlier is None and "" < published < young:
            continue
        if amount > (earlier or 0.0):
            rises[id][kind] = amount - (earlier or 0.0)
    return dict(rises)


def _day(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).date().isoformat()


def _of_category(connection: Connection, ids: set[int], category: str) -> set[int]:
    kept: set[int] = set()
    is_of_category = category_condition(connection, (category,))
    for some in in_parts(sorted(ids)):
        statement = select(paper.c.id).where(paper.c.id.in_(some), is_of_category)
        kept.update(row.id for row in connection.execute(statement))
    return kept


def _parts(
    ids: Iterable[int], sums: Mapping[int, float], rises: Mapping[int, Mapping[str, float]]
) -> dict[int, dict[str, float]]:
    by_kind: dict[str, list[float]] = defaultdict(list)
    for of_paper in rises.values():
        for kind, rise in of_paper.items():
            by_kind[kind].append(math.log2(1 + rise))
    usual = {kind: max(float(np.quantile(logs, 0.9)), 1.0) for kind, logs in by_kind.items()}
    parts: dict[int, dict[str, float]] = {}
    for id in ids:
        own = {"votes by readers": VOTES_WEIGHT * math.log2(1 + sums.get(id, 0.0))}
        for kind, rise in rises.get(id, {}).items():
            relative = min(math.log2(1 + rise) / usual[kind], _MOST)
            own[f"{kind} of feeds"] = KIND_WEIGHTS.get(kind, _OTHER_KIND) * relative
        parts[id] = own
    return parts


def _novelty(connection: Connection, ids: list[int], end: float, days: int) -> dict[int, float]:
    """How new the words of each title are, 0 to 1."""
    start = end - days * DAY
    recent = _titles(connection, start, end)
    earlier = _titles(connection, start - _BACKGROUND_DAYS * DAY, start)
    own = {item.id: item.title for item in papers(connection, ids)}
    now_counts, past_counts = _shares(recent), _shares(earlier)
    n_now, n_past = max(len(recent), 1), max(len(earlier), 1)
    results = {}
    for id in ids:
        ratios = [
            math.log2(
                ((now_counts[word] + 0.5) / (n_now + 1))
                / ((past_counts[word] + 0.5) / (n_past + 1))
            )
            for word in set(surfaces(own[id]))
        ]
        mean = sum(ratios) / len(ratios) if ratios and earlier else 0.0
        results[id] = min(max(mean / 3.0, 0.0), 1.0)
    return results


def _titles(connection: Connection, start: float, end: float) -> list[str]:
    rows = connection.execute(
        select(paper.c.title)
        .where(paper.c.first_seen > start, paper.c.first_seen <= end)
        .order_by(paper.c.first_seen.desc())
        .limit(_TITLES)
    )
    return [row.title for row in rows]


def _shares(titles: Iterable[str]) -> Counter[str]:
    """In how many titles each word stands."""
    return Counter(word for title in titles for word in set(surfaces(title)))
