"""Entries and the catalogue that holds them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from statlas.catalog import AREAS, Catalogue, Entry, UnknownPaper

AREA_ORDER = (
    "evaluation scaling uncertainty ensembles weights curation explanation provenance causality "
    "inference generation forecasting statistics dynamics transfer language domains"
)


def test_areas_have_a_fixed_order_and_a_question_each() -> None:
    assert list(AREAS) == AREA_ORDER.split()
    assert all(question.endswith("?") for question in AREAS.values())


def test_status_follows_the_implementation(make_entry: Callable[..., Entry]) -> None:
    assert make_entry().status == "planned"
    assert make_entry(implementation="statlas.evaluation.first:run").status == "implemented"


def test_entries_are_frozen(make_entry: Callable[..., Entry]) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        make_entry().year = 1900  # type: ignore[misc]


def test_catalogue_is_in_the_order_of_the_numbers(make_entry: Callable[..., Entry]) -> None:
    entries = [make_entry(number=n, id=f"p{n}") for n in (3, 1, 2)]
    catalogue = Catalogue(entries)
    assert list(catalogue) == list(catalogue.keys()) == ["p1", "p2", "p3"]
    assert [entry.number for entry in catalogue.values()] == [1, 2, 3]
    assert dict(catalogue.items())["p2"] is entries[2]
    assert len(catalogue) == 3
    assert "p1" in catalogue
    assert "p4" not in catalogue


@pytest.mark.parametrize(("field", "value"), [("id", "first"), ("number", 1)])
def test_twins_are_refused(make_entry: Callable[..., Entry], field: str, value: object) -> None:
    other = make_entry(**{"number": 2, "id": "second", field: value})
    with pytest.raises(ValueError, match=f"share an? {field}"):
        Catalogue([make_entry(), other])


def test_by_area_lists_every_area(make_entry: Callable[..., Entry]) -> None:
    catalogue = Catalogue([make_entry(), make_entry(number=2, id="second", area="scaling")])
    by_area = catalogue.by_area()
    assert list(by_area) == list(AREAS)
    assert [entry.id for entry in by_area["scaling"]] == ["second"]
    assert by_area["domains"] == ()
    with pytest.raises(ValueError, match="unknown area 'cooking'; the areas are evaluation,"):
        catalogue.of_area("cooking")


def test_unknown_paper_names_close_ids(make_entry: Callable[..., Entry]) -> None:
    names = ("error-bars", "error-bar-two", "errors-bare", "error-barn", "tarp")
    catalogue = Catalogue(make_entry(number=n, id=id) for n, id in enumerate(names, start=1))
    with pytest.raises(UnknownPaper) as caught:
        catalogue.get("Error-Bar")
    assert caught.value.id == "Error-Bar"
    assert len(caught.value.close) == 3
    assert "error-bars" in caught.value.close
    assert "tarp" not in str(caught.value)
    assert isinstance(caught.value, LookupError)


def test_unknown_paper_without_neighbours(make_entry: Callable[..., Entry]) -> None:
    with pytest.raises(UnknownPaper, match=r"^no paper has the id 'xyzzy'$"):
        Catalogue([make_entry()])["xyzzy"]
