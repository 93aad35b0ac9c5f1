"""The same record twice changes nothing; a revised one keeps its history; nothing is lost."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from statlas.app.digest.database import Database
from statlas.app.digest.ingest import ingest
from statlas.app.digest.papers import find_paper, versions
from statlas.app.digest.records import Problem, arxiv_number, make_record
from statlas.app.digest.search import search
from statlas.app.digest.tables import feed, paper_category, signal
from statlas.app.digest.tables import paper as paper_table
from statlas.app.digest.tables import problem as problem_table


def n_papers(database: Database) -> int:
    with database.reading() as connection:
        return connection.execute(select(func.count()).select_from(paper_table)).scalar_one()


def test_the_same_records_twice_change_nothing(database, add, paper) -> None:
    records = [paper(n, abstract=f"about {n}", categories=("cs.LG",)) for n in range(20)]
    assert add(*records).new == 20
    again = add(*records, *records)
    assert (again.new, again.revised, again.unchanged) == (0, 0, 40)
    assert n_papers(database) == 20


def test_records_of_one_paper_meet_by_any_of_their_names(database, add, paper) -> None:
    add(paper(1, "First", doi="10.1000/ABC"))
    counts = add(paper(1, "First", doi="10.1000/abc", url="https://example.org/first"))
    assert counts.unchanged == 1
    for name in ("2401.00001", "10.1000/abc", "https://example.org/first", "arXiv:2401.00001v3"):
        assert find_paper(database, name).title == "First"


def test_a_revision_keeps_what_was(database, add, paper) -> None:
    add(paper(1, "Old title", updated="2024-01-01", abstract="about whales"), now=1.6e9)
    counts = add(paper(1, "New title", updated="2024-02-01", abstract="about dolphins"), now=1.7e9)
    assert counts.revised == 1
    found = find_paper(database, "2401.00001")
    assert found.title == "New title"
    (before,) = versions(database, found.id)
    assert before["title"] == "Old title"
    assert before["until"] == "2023-11-14"
    assert [hit.paper.id for hit in search(database, "dolphins")] == [found.id]
    assert search(database, "whales") == []


def test_an_old_file_after_a_new_one_changes_nothing(database, add, paper) -> None:
    old, new = paper(1, "Old", updated="2024-01-01"), paper(1, "New", updated="2024-02-01")
    add(old), add(new)
    assert add(old).unchanged == 1
    assert find_paper(database, "2401.00001").title == "New"


def test_an_undated_record_that_was_seen_before_changes_nothing(database, add, paper) -> None:
    old, new = paper(1, "Old"), paper(1, "New")
    add(old), add(new)
    assert add(old).unchanged == 1
    assert find_paper(database, "2401.00001").title == "New"


def test_a_hub_completes_but_does_not_replace(database, add, paper) -> None:
    add(paper(1, "Theirs", origin="arxiv", abstract=""))
    counts = add(paper(1, "Hub's", origin="hub", abstract="a summary"))
    assert counts.completed == 1
    found = find_paper(database, "2401.00001")
    assert (found.title, found.abstract) == ("Theirs", "a summary")
    assert add(paper(1, "Theirs", origin="arxiv", abstract="the abstract")).revised == 1
    assert find_paper(database, "2401.00001").abstract == "the abstract"


def test_a_feed_that_knows_less_takes_nothing_away(database, add, paper) -> None:
    add(paper(1, abstract="known", categories=("stat.ME",)))
    assert add(paper(1)).unchanged == 1
    assert find_paper(database, "2401.00001").abstract == "known"


def test_many_revisions_in_one_batch(database, add, paper) -> None:
    counts = add(*(paper(1, f"Version {n}") for n in range(5)))
    assert (counts.new, counts.revised) == (1, 4)
    found = find_paper(database, "2401.00001")
    assert found.title == "Version 4"
    assert [v["title"] for v in versions(database, found.id)] == [
        "Version 3", "Version 2", "Version 1", "Version 0",
    ]  # fmt: skip


def test_categories_follow_a_revision(database, add, paper) -> None:
    add(paper(1, "A", categories=("cs.LG", "stat.ML")))
    add(paper(1, "B", categories=("cs.CL",)))
    with database.reading() as connection:
        found = connection.execute(select(paper_category.c.category)).scalars().all()
    assert found == ["cs.CL"]


def test_counts_are_kept_by_day_and_only_where_they_rise(database, add, paper) -> None:
    day = 86_400.0
    for at, votes in ((0, 5), (0.01, 7), (1, 7), (2, 6), (3, 9)):
        add(paper(1, signals=(("votes", votes),)), now=1.7e9 + at * day)
    with database.reading() as connection:
        rows = connection.execute(select(signal.c.amount).order_by(signal.c.day)).scalars().all()
    assert rows == [7.0, 9.0]


def test_problems_are_counted_and_listed_once(database, add, paper) -> None:
    problem = Problem("line 3", "it has no title", "{")
    counts = add(paper(1), problem, problem, Problem("line 9", "it is no JSON"))
    assert (counts.read, counts.new, counts.problems) == (4, 1, 3)
    with database.reading() as connection:
        places = connection.execute(select(problem_table.c.place)).scalars().all()
    assert sorted(places) == ["line 3", "line 9"]


def test_an_interrupted_feed_goes_on_where_it_stopped(
    database, paper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("statlas.app.digest.ingest.BATCH", 10)
    with database.writing() as connection:
        values = {"source": "s", "format": "f", "added": 0.0}
        id = connection.execute(feed.insert().values(values).returning(feed.c.id)).scalar_one()

    def breaks_off():
        yield from (paper(n) for n in range(25))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ingest(database, id, breaks_off())
    with database.reading() as connection:
        position = connection.execute(select(feed.c.position)).scalar_one()
    assert position == n_papers(database) == 20
    counts = ingest(database, id, (paper(n) for n in range(40)), skip=position)
    assert (counts.read, counts.new) == (20, 20)
    assert n_papers(database) == 40


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.lists(st.tuples(st.integers(0, 5), TEXT, TEXT), max_size=12))
def test_any_order_of_any_texts_leaves_one_paper_a_number(database, add, paper, data: Any) -> None:
    records = [paper(n, f"t {title}", abstract=text) for n, title, text in data]
    add(*records)
    assert add(*reversed(records)).new == 0
    for record in records:
        assert find_paper(database, record.keys[0]).title


# --- which records are of one paper --------------------------------------------------------------


def entry(title: str, author: str = "", year: str = "", **names: str):
    return make_record(title=title, authors=[author] if author else [], published=year, **names)


HOME = "https://cs.example.edu/publications"


def test_papers_that_share_a_home_page_stay_apart(database, add) -> None:
    records = [
        entry("Turkey", "Jim Zanotti", "2022", url=HOME),
        entry("Medicaid", "Alison Mitchell", "2022", url=HOME),
        entry("Soar-RL Manual", url=HOME),
        entry("Soar-EpMem Manual", url=HOME),
        entry("Proceedings of the 2009 Conference on Games", url=HOME),
        entry("Proceedings of the 2011 Conference on Games", url=HOME),
    ]
    assert add(*records).new == len(records)
    again = add(*reversed(records), *records)
    assert (again.new, again.revised, again.unchanged) == (0, 0, 2 * len(records))
    assert n_papers(database) == len(records)


def test_a_page_whose_title_changes_a_little_is_revised(database, add) -> None:
    add(entry("A pots about confidence intervals", url=HOME))
    assert add(entry("A post about confidence intervals", url=HOME)).revised == 1
    assert add(entry("A post about confidence intervals: what they say", url=HOME)).revised == 1


def test_a_page_that_changes_step_by_step_is_known_by_each_of_its_titles(database, add) -> None:
    steps = [
        "one two three four",
        "two three four five",
        "three four five six",
        "four five six seven",
    ]
    records = [entry(title, url=HOME) for title in steps]
    assert add(*records).new == 1
    assert add(*records).new == 0


def test_chapters_with_the_number_of_their_book_stay_apart(database, add) -> None:
    book = entry("The Oxford Handbook of Institutions", "Roderick Rhodes", "2008", doi="10.1093/ox")
    chapter = entry("Thinking", "Hugh Heclo", "2008", doi="10.1093/ox", url=HOME)
    translated = entry("Das Oxforder Buch", "R. Rhodes", "2008", doi="10.1093/ox")
    assert add(book, chapter).new == 2
    assert add(chapter, book).unchanged == 2
    assert add(translated).revised == 1


def test_an_entry_without_number_meets_the_one_that_has_it(database, add) -> None:
    bare = entry("On Cores", "Kurt Gödel", "1931")
    numbered = entry("On cores.", "K. Godel", "1931", doi="10.1000/cores")
    assert add(bare).new == 1
    counts = add(numbered)
    assert (counts.new, counts.revised) == (0, 1)
    assert find_paper(database, "10.1000/cores").url == "https://doi.org/10.1000/cores"
    assert add(bare, numbered).new == 0
    same = entry("On Cores", "Kurt Gödel", "1931", doi="10.1000/other")
    assert add(same).new == 1, "an editorial has the title, author and year of the next one"
    assert add(same, numbered, bare).new == 0


def test_a_number_alone_completes_a_paper(database, add) -> None:
    add(entry("On Cores", "Kurt Gödel", "1931"))
    counts = add(entry("On Cores", "Kurt Gödel", "1931", doi="10.1000/cores"))
    assert (counts.completed, counts.revised) == (1, 0)
    assert find_paper(database, "10.1000/cores").title == "On Cores"
    assert add(entry("On Cores", "Kurt Gödel", "1931", doi="10.1000/cores")).unchanged == 1


@pytest.mark.parametrize(
    "names",
    [
        {"doi": "10.48550/arXiv.2411.00640"},
        {"url": "https://doi.org/10.48550/arXiv.2411.00640"},
        {"url": "http://dx.doi.org/10.1000/BARS?utm_source=x#top"},
        {"url": "https://arxiv.org/pdf/2411.00640v2.pdf"},
        {"doi": "https://doi.org/10.1000/bars."},
        {"arxiv": "arXiv:2411.00640v3 [stat.AP]"},
    ],
)
def test_names_are_read_in_all_their_forms(database, add, names) -> None:
    add(entry("Adding Error Bars", arxiv="2411.00640", doi="10.1000/bars"))
    assert add(entry("Adding Error Bars", **names)).new == 0


@pytest.mark.parametrize(
    "text",
    ["2020.12345", "citation/1234567", "issue 12.3456.78", "12411.00640", "10.1000/2413.00640"],
)
def test_other_numbers_are_not_arxivs(text: str) -> None:
    assert arxiv_number(text) == ""
