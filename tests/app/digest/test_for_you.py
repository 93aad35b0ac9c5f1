"""The ranking of a reader: what is like the kept papers comes first, and its score is honest."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from statlas.app.digest.for_you import auc_with_interval, recommend, taste_of
from statlas.app.digest.readers import kept, reader_of, save, subscribe, tag, tags, untag
from statlas.core.errors import InputError

SEA = ("whale song sea", "deep sea whale", "the song of whales", "sea birds and whales")
LAW = ("tax law court", "courts of law", "the law of taxes", "taxes and courts")


@pytest.fixture
def person(database):
    return subscribe(database, "ada@example.org")


def fill(add, paper, n: int = 40) -> None:
    rng = np.random.default_rng(0)
    add(
        *(
            paper(k, f"On {'whales' if k % 2 else 'taxes'} {k}",
                  abstract=" ".join(rng.choice(SEA if k % 2 else LAW, 3)))
            for k in range(1, n + 1)
        )
    )  # fmt: skip


def test_what_is_alike_comes_first(database, add, paper, person) -> None:
    fill(add, paper)
    for id in range(1, 20, 2):
        save(database, person, id)
    found, quality = recommend(database, person, 10)
    assert all("whales" in item.title for item in found)
    assert quality is not None
    assert quality.auc > 0.9
    assert quality.kept == 10
    assert "held out" in str(quality)


def test_a_taste_that_is_none_is_told_as_such(database, add, paper, person) -> None:
    """Kept by a coin: the interval has 0.5 inside, but for 5 % of such coins; this one is fixed."""
    fill(add, paper, 200)
    for id in np.random.default_rng(1).permutation(200)[:60]:
        save(database, person, int(id) + 1)
    _, quality = recommend(database, person)
    assert quality is not None
    assert quality.low < 0.5 < quality.high


def test_few_kept_papers_make_no_model(database, add, paper, person) -> None:
    fill(add, paper)
    save(database, person, 1)
    found, quality = recommend(database, person, 5)
    assert quality is None
    assert len(found) == 5
    assert taste_of(database, person) is None


def test_the_same_reader_gets_the_same_order(database, add, paper, person) -> None:
    fill(add, paper)
    for id in range(1, 16, 2):
        save(database, person, id)
    assert recommend(database, person) == recommend(database, person)


@pytest.mark.parametrize("n", [(3, 5), (40, 60)])
def test_area_equals_scikit_learn_and_its_interval_has_room(n: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    positive, negative = rng.normal(1, 1, n[0]).round(1), rng.normal(0, 1, n[1]).round(1)
    found = auc_with_interval(positive, negative)
    truth = np.r_[np.ones(n[0]), np.zeros(n[1])]
    assert found.auc == pytest.approx(roc_auc_score(truth, np.r_[positive, negative]))
    assert 0 <= found.low < found.auc < found.high <= 1


def test_a_perfect_separation_has_an_interval_too() -> None:
    found = auc_with_interval(np.arange(5.0) + 10, np.arange(5.0))
    assert found.auc == 1.0
    assert 0.4 < found.low < 1.0


def test_the_intervals_cover() -> None:
    """Nominal 95 %; of 2,000 draws fewer than 92.5 % cover with probability below 1e-5."""
    from scipy.stats import norm

    rng = np.random.default_rng(2)
    truth = norm.cdf(1 / np.sqrt(2))
    covered = 0
    for _ in range(2_000):
        found = auc_with_interval(rng.normal(1, 1, 20), rng.normal(0, 1, 100))
        covered += found.low < truth < found.high
    assert covered > 0.925 * 2_000


def test_tags_and_kept_papers(database, add, paper, person) -> None:
    fill(add, paper, 4)
    save(database, person, 2, now=1.0)
    save(database, person, 1, now=2.0)
    tag(database, person, 3, "to  read")
    assert [item.id for item in kept(database, person)] == [1, 2]
    assert [item.id for item in kept(database, person, "to read")] == [3]
    assert tags(database, person) == {"to read": 1}
    untag(database, person, 3, "to read")
    assert tags(database, person) == {}
    for bad in ("", "<b>", "x" * 51, "a;b"):
        with pytest.raises(InputError, match="tag"):
            tag(database, person, 1, bad)
    with pytest.raises(InputError, match="no reader"):
        reader_of(database, "bo@example.org")
