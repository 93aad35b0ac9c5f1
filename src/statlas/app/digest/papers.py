"""One paper: its history, what is like it, and the methods here that answer what it asks."""

from __future__ import annotations

import json
import time
from collections import Counter
from functools import cache, lru_cache
from typing import Any

from sqlalchemy import Connection, select

from statlas.app.digest.database import Database
from statlas.app.digest.queries import Query
from statlas.app.digest.records import arxiv_number, doi_of, web_address
from statlas.app.digest.search import Paper, papers, search
from statlas.app.digest.tables import paper_key, paper_version
from statlas.catalog import find, load_catalogue
from statlas.catalog.entries import Catalogue
from statlas.catalog.words import words
from statlas.core.errors import InputError

_TELLING_WORDS = 18
_MOST_METHODS = 2
_LEAST_SHARE = 0.45  # of the score that a method's own question earns


def find_paper(database: Database, name: str) -> Paper:
    """The paper with this number, arXiv number, DOI or web address.

    Raises
    ------
    InputError
        If there is none.
    """
    with database.reading() as connection:
        id = _id_of(connection, name.strip())
        found = papers(connection, [id]) if id is not None else []
    if not found:
        raise InputError(
            f"there is no paper {name!r:.100}",
            remedy="give the number that `statlas digest search` prints, an arXiv number or a DOI",
        )
    return found[0]


def _id_of(connection: Connection, name: str) -> int | None:
    if name.isascii() and name.isdigit() and len(name) < 18:
        return int(name)
    keys = [
        f"{kind}:{key}"
        for kind, key in (
            ("arxiv", arxiv_number(name)),
            ("doi", doi_of(name)),
            ("url", web_address(name)),
        )
        if key
    ]
    row = connection.execute(select(paper_key.c.paper).where(paper_key.c.key.in_(keys))).first()
    return None if row is None else int(row.paper)


def more_like(database: Database, item: Paper, limit: int = 5) -> list[Paper]:
    """Papers that share the telling words of a paper, the nearest first."""
    text = telling_words(item)
    hits = search(database, Query(words=text), limit=limit + 1) if text else []
    return [hit.paper for hit in hits if hit.paper.id != item.id][:limit]


def telling_words(item: Paper) -> str:
    """The words of the title, and those that the abstract repeats."""
    title = [word.surface for word in words(item.title)]
    repeated = Counter(word.surface for word in words(item.abstract))
    often = [word for word, n in repeated.most_common(_TELLING_WORDS) if n > 1]
    return " ".join(list(dict.fromkeys(title + often))[:_TELLING_WORDS])


@cache
def _catalogue() -> Catalogue:
    return load_catalogue()


def nearest_methods(item: Paper) -> list[str]:
    """Ids of the methods that run here and answer what the paper asks, at most two.

    A paper of the catalogue itself is its own method. Else a method is named where the paper's
    title and repeated words earn a good part of what the method's own question would.
    """
    return list(_nearest(item.title, telling_words(item), arxiv_number(item.url)))


@lru_cache(maxsize=2_000)
def _nearest(title: str, telling: str, arxiv: str) -> tuple[str, ...]:
    catalogue = _catalogue()
    own = [
        entry.id
        for entry in catalogue.values()
        if arxiv and entry.arxiv == arxiv and entry.status == "implemented"
    ]
    if own:
        return tuple(own)
    near = []
    for hit in find(telling, catalogue=catalogue, limit=5):
        entry = catalogue[hit.id]
        if entry.status == "implemented" and hit.score >= _LEAST_SHARE * _own_score(hit.id):
            near.append(hit.id)
    return tuple(near[:_MOST_METHODS])


@cache
def _own_score(id: str) -> float:
    """What a method's own question earns."""
    hits = find(_catalogue()[id].answers, catalogue=_catalogue(), limit=len(_catalogue()))
    return next((hit.score for hit in hits if hit.id == id), float("inf"))


def details(database: Database, item: Paper) -> dict[str, Any]:
    """All that is known of a paper, as plain data."""
    catalogue = _catalogue()
    return {
        "paper": {
            "id": item.id,
            "title": item.title,
            "authors": list(item.authors),
            "published": item.published,
            "categories": list(item.categories),
            "url": item.url,
            "abstract": item.abstract,
        },
        "versions": versions(database, item.id),
        "methods": [{"id": id, "text": catalogue[id].answers} for id in nearest_methods(item)],
        "like": [{"id": other.id, "text": other.title} for other in more_like(database, item)],
    }


def versions(database: Database, id: int) -> list[dict[str, str]]:
    """What a paper was before, the latest first."""
    statement = select(paper_version).where(paper_version.c.paper == id)
    with database.reading() as connection:
        rows = connection.execute(statement.order_by(paper_version.c.version.desc())).mappings()
        return [
            json.loads(row["content"])
            | {"until": time.strftime("%Y-%m-%d", time.gmtime(row["until"]))}
            for row in rows
        ]
