"""The search engine on catalogues small enough to see through, and on the real one."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statlas.catalog import AREAS, Catalogue, Entry, find
from statlas.catalog.index import SYNONYMS, build_index, index_from_json, read_synonyms
from statlas.catalog.search import edit_distance

Make = Callable[..., Entry]


def small(
    make_entry: Make, *answers: str, synonyms: dict[str, list[tuple[str, float]]] | None = None
) -> Catalogue:
    """A catalogue with one paper for each answer, called p1, p2, ..."""
    entries = [
        make_entry(number=n, id=f"p{n}", answers=text) for n, text in enumerate(answers, start=1)
    ]
    return Catalogue(entries, index=lambda: build_index(entries, synonyms or {}))


def ids(text: str, catalogue: Catalogue, **options: object) -> list[str]:
    return [hit.id for hit in find(text, catalogue=catalogue, **options)]  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "  ", "the of and how", "?!", "xyzzy qwfp", "$_^ 漢字 \x00"])
def test_no_known_word_gives_nothing(catalogue: Catalogue, text: str) -> None:
    assert find(text, catalogue=catalogue) == []


def test_every_id_finds_its_paper_first(catalogue: Catalogue) -> None:
    for id in catalogue:
        assert ids(id, catalogue, limit=1) == [id]
        assert ids(f"  {id.upper().replace('-', ' ')} ", catalogue, limit=1) == [id]


def test_every_arxiv_number_finds_its_paper_first(catalogue: Catalogue) -> None:
    for entry in catalogue.values():
        assert ids(entry.arxiv, catalogue, limit=1) == [entry.id]
        assert ids(f"arXiv:{entry.arxiv}", catalogue, limit=1) == [entry.id]


def test_every_title_finds_its_paper_first(catalogue: Catalogue) -> None:
    for entry in catalogue.values():
        assert ids(entry.title, catalogue, limit=1) == [entry.id]


def test_authors_are_found_with_and_without_accents(catalogue: Catalogue) -> None:
    assert "phase-zoo" in ids("Schurholt", catalogue)
    assert ids("schurholt", catalogue) == ids("Schürholt", catalogue)


def test_rare_words_count_more(make_entry: Make) -> None:
    catalogue = small(make_entry, "common rare", "common", "common other", "common thing")
    assert ids("common rare", catalogue)[0] == "p1"
    hits = {hit.id: hit.score for hit in find("common rare", catalogue=catalogue)}
    assert hits["p1"] > 3 * hits["p2"]


def test_score_of_one_word_is_bm25(make_entry: Make) -> None:
    """Closed form: one word, once, in a field of mean length, in one of three papers."""
    catalogue = small(make_entry, "apple", "banana", "cherry")
    rarity = 1 + (3 - 1 + 0.5) / (1 + 0.5)
    expected = math.log(rarity) * 2.0 / (1.2 + 2.0)  # the weight of `answers` over itself and k1
    (hit,) = find("apple ", catalogue=catalogue)
    assert hit.id == "p1"
    assert hit.score == pytest.approx(expected, abs=1e-4)


def test_avoid_when_does_not_count(make_entry: Make) -> None:
    entries = [make_entry(avoid_when="Never for submarine hydraulics.")]
    assert find("submarine", catalogue=Catalogue(entries)) == []


@pytest.mark.parametrize("field", ["title", "answers", "use_when", "input"])
def test_every_text_counts(make_entry: Make, field: str) -> None:
    entries = [make_entry(), make_entry(number=2, id="second", **{field: "Submarine."})]
    assert ids("submarines", Catalogue(entries)) == ["second"]


def test_search_words_and_area_count(make_entry: Make) -> None:
    entries = [make_entry(), make_entry(number=2, id="second", area="causality", search=("yacht",))]
    assert ids("yachts", Catalogue(entries)) == ["second"]
    assert ids("causality", Catalogue(entries)) == ["second"]


def test_equal_scores_are_ordered_by_number(make_entry: Make) -> None:
    catalogue = small(make_entry, *["apple pie"] * 5)
    assert ids("apple", catalogue) == ["p1", "p2", "p3", "p4", "p5"]


def test_neighbouring_words_earn_a_bonus(make_entry: Make) -> None:
    apart = "risk of a score and the credit of a paper with model"
    catalogue = small(make_entry, apart, "credit risk of a score and the paper with model", "x y")
    assert ids("credit risk", catalogue)[0] == "p2"
    joined, parted = (hit.score for hit in find("credit risk", catalogue=catalogue))
    assert joined > 1.1 * parted


def test_phrases_do_not_span_fields(make_entry: Make) -> None:
    entries = [make_entry(search=("credit", "risk")), make_entry(number=2, id="second")]
    sequence = Catalogue(entries).index.sequences[0]
    credit, risk = sequence[-4], sequence[-2]
    assert sequence[-4:] == [credit, -1, risk, -1]


def test_covering_more_of_the_query_counts(make_entry: Make) -> None:
    catalogue = small(make_entry, "apple apple apple apple", "apple banana", "banana cherry", "x")
    assert ids("apple banana", catalogue)[0] == "p2"


SYNONYM_TABLE = """
[[same]]
words = ["error bar", "confidence interval"]
worth = 0.7

[[narrow]]
words = ["mmlu"]
to = ["benchmark"]
"""


@pytest.fixture
def synonyms(tmp_path: Path) -> dict[str, list[tuple[str, float]]]:
    file = tmp_path / "synonyms.toml"
    file.write_text(SYNONYM_TABLE)
    return read_synonyms(file)


def test_synonyms_find_less_than_the_word_itself(
    make_entry: Make, synonyms: dict[str, list[tuple[str, float]]]
) -> None:
    texts = ("A confidence interval.", "An error bar.", "Error of the bartender.", "A benchmark.")
    catalogue = small(make_entry, *texts, synonyms=synonyms)
    hits = find("error bars", catalogue=catalogue)
    assert [hit.id for hit in hits][:2] == ["p2", "p1"]
    assert 0.4 < hits[1].score / hits[0].score < 0.8
    assert ids("confidence intervals", catalogue)[:2] == ["p1", "p2"]


def test_narrow_words_lead_one_way(
    make_entry: Make, synonyms: dict[str, list[tuple[str, float]]]
) -> None:
    catalogue = small(make_entry, "A benchmark.", "MMLU.", synonyms=synonyms)
    assert ids("mmlu", catalogue) == ["p2", "p1"]
    assert ids("benchmark", catalogue) == ["p1"]


def test_the_table_of_synonyms_is_sound() -> None:
    table = read_synonyms(SYNONYMS)
    assert len(table) > 200
    for phrase, others in table.items():
        assert 1 <= len(phrase.split()) <= 4, phrase
        assert phrase not in {other for other, _ in others}
        assert all(other and 0 < worth <= 1 for other, worth in others)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("calibratoin", "calibration"), ("uncertanty", "uncertainty"), ("benchmrak", "benchmark")],
)
def test_misspelt_words_find_what_was_meant(catalogue: Catalogue, typed: str, meant: str) -> None:
    assert ids(f"{typed} ", catalogue, limit=5) == ids(f"{meant} ", catalogue, limit=5)


def test_misspelt_words_count_less(make_entry: Make) -> None:
    catalogue = small(make_entry, "calibration", "nothing")
    (right,) = find("calibration ", catalogue=catalogue)
    (one,) = find("calibrtion ", catalogue=catalogue)
    (two,) = find("calbrtion ", catalogue=catalogue)
    assert right.score > one.score > two.score > 0


def test_short_words_are_not_corrected(make_entry: Make) -> None:
    assert find("cax ", catalogue=small(make_entry, "cat")) == []


def test_the_word_being_typed_is_completed(make_entry: Make) -> None:
    catalogue = small(make_entry, "hallucination", "apple")
    assert ids("halluc", catalogue) == ["p1"]
    assert ids("halluc ", catalogue) == []  # finished, and too far from any known word
    assert ids("halluc apple", catalogue) == ["p2"]


def test_words_written_as_one_are_split(make_entry: Make) -> None:
    catalogue = small(make_entry, "time series", "time", "series")
    assert ids("timeseries ", catalogue)[0] == "p1"


@pytest.mark.parametrize("text", ["fine-tuning", "finetuning", "fine tuning"])
def test_hyphens_do_not_matter(make_entry: Make, text: str) -> None:
    assert ids(f"{text} ", small(make_entry, "After fine-tuning.", "none"))[0] == "p1"


def test_filters(catalogue: Catalogue) -> None:
    text = "how accurate is a model"
    everything = ids(text, catalogue, limit=222)
    for area in AREAS:
        expected = [id for id in everything if catalogue[id].area == area]
        assert ids(text, catalogue, limit=222, area=area) == expected
    laws = ids(text, catalogue, limit=222, kind="law", area="scaling")
    assert laws == [
        id for id in everything if (catalogue[id].kind, catalogue[id].area) == ("law", "scaling")
    ]
    assert laws


def test_limit(catalogue: Catalogue) -> None:
    assert len(find("model", catalogue=catalogue)) == 10
    assert ids("model", catalogue, limit=3) == ids("model", catalogue, limit=10)[:3]
    with pytest.raises(ValueError, match="limit must be at least 1, got 0"):
        find("model", catalogue=catalogue, limit=0)


def test_what_follows_the_sixtieth_word_is_not_read(make_entry: Make) -> None:
    catalogue = small(make_entry, "apple", "banana")
    assert ids("apple " * 59 + "banana", catalogue) == ["p1", "p2"]
    assert ids("apple " * 60 + "banana", catalogue) == ["p1"]


def test_unknown_filters_are_refused(catalogue: Catalogue) -> None:
    with pytest.raises(ValueError, match="unknown area 'cooking'; choose one of evaluation, "):
        find("x", catalogue=catalogue, area="cooking")
    with pytest.raises(ValueError, match="unknown kind 'novel'; choose one of method, "):
        find("x", catalogue=catalogue, kind="novel")


def test_an_empty_catalogue() -> None:
    assert find("model", catalogue=Catalogue([])) == []


def test_the_index_survives_json(catalogue: Catalogue) -> None:
    index = catalogue.index
    again = index_from_json(json.loads(json.dumps(index.to_json())))
    assert again == index


@given(st.text(max_size=60))
def test_any_text_is_a_query(catalogue: Catalogue, text: str) -> None:
    hits = find(text, catalogue=catalogue)
    assert all(hit.score > 0 for hit in hits)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert len({hit.id for hit in hits}) == len(hits) <= 10
    assert hits == find(text, catalogue=catalogue)


WORD_PAIRS = st.text("abcd", max_size=6)


@given(WORD_PAIRS, WORD_PAIRS)
def test_edit_distance_against_its_definition(first: str, second: str) -> None:
    expected = _distance(first, second)
    for most in range(4):
        assert edit_distance(first, second, most) == min(expected, most + 1)
    assert edit_distance(second, first, 9) == edit_distance(first, second, 9) == expected


def _distance(first: Sequence[str], second: Sequence[str]) -> int:
    """Optimal string alignment by its recursion, without a table."""
    if not first or not second:
        return len(first) + len(second)
    options = [
        _distance(first[:-1], second) + 1,
        _distance(first, second[:-1]) + 1,
        _distance(first[:-1], second[:-1]) + (first[-1] != second[-1]),
    ]
    if first[-2:] == second[-2:][::-1] and len(first) > 1 and first[-2:] != second[-2:]:
        options.append(_distance(first[:-2], second[:-2]) + 1)
    return min(options)
