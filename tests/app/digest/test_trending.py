"""The score of trending papers: its parts by hand, and one noisy voter changes little."""

from __future__ import annotations

import math

import pytest

from statlas.app.digest.readers import confirm, save, subscribe, tag
from statlas.app.digest.trending import DAY, trending
from statlas.core.errors import InputError

NOW = 1_700_000_000.0


@pytest.fixture
def people(database):
    made = []
    for n in range(6):
        person = subscribe(database, f"reader{n}@example.org", now=NOW)
        confirm(database, person)
        made.append(person)
    return made


def numbers(found) -> list[int]:
    return [int(item.paper.url.rpartition(".")[2]) for item in found]


def test_votes_decay_and_are_shared_among_a_readers_marks(database, add, paper, people) -> None:
    add(*(paper(n, "Same title") for n in range(1, 6)), now=NOW - 100 * DAY)
    save(database, people[0], 1, now=NOW)
    for id in (2, 3, 4, 5):
        save(database, people[1], id, now=NOW - 3.5 * DAY)
    found = {item.paper.id: item for item in trending(database, days=7, now=NOW)}
    assert found[1].parts["votes by readers"] == pytest.approx(2.0 * math.log2(2))
    # Half a vote after half a window, over the square root of four marks.
    assert found[2].parts["votes by readers"] == pytest.approx(2.0 * math.log2(1 + 0.5 / 2))


def test_saving_and_tagging_is_one_vote(database, add, paper, people) -> None:
    add(paper(1), now=NOW - DAY)
    save(database, people[0], 1, now=NOW)
    before = trending(database, now=NOW)[0]
    for name in ("a", "b", "c"):
        tag(database, people[0], 1, name, now=NOW)
    after = trending(database, now=NOW)[0]
    assert (after.score, after.readers) == (before.score, 1)


def test_one_noisy_voter_does_not_decide(database, add, paper, people) -> None:
    add(*(paper(n, "Same title") for n in range(1, 60)), now=NOW - 100 * DAY)
    for person in people[:3]:
        save(database, person, 1, now=NOW)
    for id in range(2, 60):
        save(database, people[3], id, now=NOW)
    found = trending(database, now=NOW, limit=60)
    assert found[0].paper.id == 1
    assert found[1].score < 0.2 * found[0].score


def test_counts_rise_within_the_window_only(database, add, paper) -> None:
    fresh = {"published": "2023-11-10"}
    add(paper(1, signals=(("votes", 100),)), now=NOW - 30 * DAY)
    add(paper(2, signals=(("votes", 10),), **fresh), now=NOW - 2 * DAY)
    add(paper(1, signals=(("votes", 101),)), now=NOW - DAY)
    add(paper(3, signals=(("votes", 5_000),), published="2019-01-01"), now=NOW - DAY)
    found = trending(database, days=7, now=NOW)
    assert numbers(found) == [2, 1]
    assert found[0].rises == {"votes": 10.0}
    assert "10 more votes" in found[0].why()
    assert numbers(trending(database, days=60, now=NOW))[0] == 1


def test_one_huge_count_is_capped(database, add, paper) -> None:
    fresh = {"published": "2023-11-10"}
    records = [paper(n, signals=(("votes", 10),), **fresh) for n in range(1, 40)]
    add(*records, paper(50, signals=(("votes", 10**9),), **fresh), now=NOW - DAY)
    found = trending(database, now=NOW)
    assert numbers(found)[0] == 50
    assert found[0].parts["votes of feeds"] <= 2 * found[1].parts["votes of feeds"] + 1e-9


def test_new_words_count_beside_votes(database, add, paper, people) -> None:
    add(*(paper(n, "Old words again") for n in range(100, 160)), now=NOW - 20 * DAY)
    add(paper(1, "Quasiconformal dreams"), paper(2, "Old words again"), now=NOW - DAY)
    for id in (61, 62):
        save(database, people[id - 61], id, now=NOW)
    first, second = trending(database, now=NOW)
    assert first.paper.title == "Quasiconformal dreams"
    assert first.parts["novelty"] > second.parts["novelty"] >= 0


def test_categories_and_an_empty_window(database, add, paper, people) -> None:
    add(paper(1, categories=("cs.LG",)), paper(2, categories=("stat.ME",)), now=NOW)
    assert trending(database, now=NOW) == []
    for id in (1, 2):
        save(database, people[0], id, now=NOW)
    assert numbers(trending(database, category="cs", now=NOW)) == [1]
    assert numbers(trending(database, category="stat.ME", now=NOW)) == [2]
    assert trending(database, category="math", now=NOW) == []
    with pytest.raises(InputError, match="1 to 365"):
        trending(database, days=0)
