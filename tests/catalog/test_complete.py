"""The catalogue holds all 222 papers."""

from __future__ import annotations

from statlas.catalog import KINDS, Catalogue

PAPERS_OF_AREA = {
    "evaluation": 23,
    "scaling": 25,
    "uncertainty": 6,
    "ensembles": 14,
    "weights": 13,
    "curation": 11,
    "explanation": 12,
    "provenance": 10,
    "causality": 11,
    "inference": 13,
    "generation": 14,
    "forecasting": 7,
    "statistics": 10,
    "dynamics": 11,
    "transfer": 13,
    "language": 19,
    "domains": 10,
}
PAPERS_OF_KIND = {
    "method": 137,
    "law": 11,
    "model": 6,
    "system": 1,
    "theory": 15,
    "study": 31,
    "benchmark": 7,
    "dataset": 4,
    "survey": 10,
}


def test_numbers_are_complete(catalogue: Catalogue) -> None:
    assert [entry.number for entry in catalogue.values()] == list(range(1, 223))


def test_every_area_has_its_papers(catalogue: Catalogue) -> None:
    counts = {area: len(entries) for area, entries in catalogue.by_area().items()}
    assert counts == PAPERS_OF_AREA


def test_every_kind_has_its_papers(catalogue: Catalogue) -> None:
    kinds = [entry.kind for entry in catalogue.values()]
    assert {kind: kinds.count(kind) for kind in KINDS} == PAPERS_OF_KIND


def test_no_paper_is_listed_twice(catalogue: Catalogue) -> None:
    for name in ("arxiv", "title"):
        assert len({getattr(entry, name) for entry in catalogue.values()}) == len(catalogue)


def test_arxiv_number_and_year_agree(catalogue: Catalogue) -> None:
    """The year is that of the first version, up to a paper posted at the turn of the year."""
    for entry in catalogue.values():
        posted = 2000 + int(entry.arxiv[:2])
        assert abs(entry.year - posted) <= 1, (entry.id, entry.year, posted)


def test_every_paper_says_what_it_is_for(catalogue: Catalogue) -> None:
    for entry in catalogue.values():
        for name in ("answers", "use_when", "avoid_when"):
            assert 20 <= len(getattr(entry, name)) <= 600, (entry.id, name)
        assert len(entry.search) >= 5, entry.id
