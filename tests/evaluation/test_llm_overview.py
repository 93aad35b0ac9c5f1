"""The guide: every id exists, methods run or say why not, and the short methods' known answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from statlas.catalog import load_catalogue
from statlas.core import AssumptionError, InputError, MissingExtra, Number, Result, Roles
from statlas.core.checking import make_record, measure_batch
from statlas.evaluation.llm_overview import (
    QUESTIONS,
    TOPICS,
    claims,
    conformal_sets,
    green_list_test,
    green_pairs,
    guide,
    rectified_mean,
    tour,
)

IMPLEMENTED = {entry.id for entry in load_catalogue().values() if entry.implementation}


# --- the list of questions ---------------------------------------------------------------------


def test_every_paper_named_is_in_the_catalogue():
    named = {paper for question in QUESTIONS for paper in question.papers}
    assert named <= set(load_catalogue())
    assert tour.SELF not in named


def test_questions_cover_the_topics_in_their_order_without_repeats():
    topics = [question.topic for question in QUESTIONS]
    assert list(dict.fromkeys(topics)) == list(TOPICS)
    assert topics == sorted(topics, key=list(TOPICS).index)
    assert len({question.asks for question in QUESTIONS}) == len(QUESTIONS)
    assert all(question.papers or question.own for question in QUESTIONS)
    assert {question.own for question in QUESTIONS} - {""} == set(tour._OWN)
    assert guide.options["topic"].choices == ("all", *TOPICS)


# --- the guide ---------------------------------------------------------------------------------


def scores() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {"question": [f"q{i}" for i in range(60)]}
        | {name: rng.integers(2, size=60) for name in ("a", "b", "c")}
    )


def test_without_a_table_or_running_it_lists_every_question():
    result = guide(run=False)
    assert result.table["question"].nunique() == len(QUESTIONS)
    assert result.value("questions").estimate == len(QUESTIONS)
    assert result.value("methods run now").estimate == 0
    assert set(result.table["now"]) <= {tour.FITS, tour.LEFT_OUT, tour.PLANNED}
    status = result.table.set_index("paper")["status"].drop(tour.SELF)
    assert all((status[paper] == "implemented") == (paper in IMPLEMENTED) for paper in status.index)


def test_one_topic_runs_its_own_short_method():
    result = guide(topic="watermarking")
    own = result.table.iloc[0]
    assert set(result.table["topic"]) == {"watermarking"}
    assert (own["paper"], own["now"], own["status"]) == (tour.SELF, tour.RAN, "implemented")
    assert own["outcome"].startswith("200 tokens marked with the key: z = ")


def test_methods_that_fit_run_on_the_users_table():
    rows = guide(scores(), topic="evaluation").table.set_index("paper")
    assert rows.loc["error-bars", "now"] == tour.RAN
    assert "shared questions" in rows.loc["error-bars", "outcome"]
    assert rows.loc["error-bars", "command"] == "statlas run error-bars TABLE"


def test_a_table_that_fits_nothing_is_told_why():
    result = guide(pd.DataFrame({"name": ["x", "y"]}), topic="evaluation")
    rows = result.table.set_index("paper")
    assert rows.loc["error-bars", "now"] == tour.UNFIT
    assert "column" in rows.loc["error-bars", "outcome"]
    assert result.value("methods run now").estimate == 0
    assert "this table fits 0 of them" in result.headline


@pytest.mark.parametrize("table", [pd.DataFrame(), pd.DataFrame({"a": []}), 3])
def test_a_bad_table_is_refused(table):
    with pytest.raises(InputError):
        guide(table, run=False)


def test_the_users_table_is_not_changed():
    table = scores()
    before = table.copy()
    guide(table, topic="evaluation")
    pd.testing.assert_frame_equal(table, before)


@pytest.mark.parametrize(
    ("headline", "now"),
    [("Fine.", tour.RAN), (AssumptionError("too even"), tour.UNFIT), (KeyError("a"), tour.FAILED)],
)
def test_a_method_that_refuses_what_its_roles_cannot_see_does_not_fit(monkeypatch, headline, now):
    monkeypatch.setattr(tour, "load_recipe", lambda paper: _Method(headline))
    row = guide(scores(), topic="evaluation").table.set_index("paper").loc["error-bars"]
    assert row["now"] == now
    assert row["command"].endswith("TABLE --seed 0" if now == tour.RAN else "--example")


class _Method:
    """Stands in for a recipe."""

    def __init__(self, headline: str | Exception):
        self.headline, self.roles, self.uses_rng = headline, Roles(a=Number()), True

    def __call__(self, table, *, rng):
        assert rng == 0
        return self.run_example()

    def run_example(self):
        if isinstance(self.headline, Exception):
            raise self.headline
        return Result(headline=self.headline, table=pd.DataFrame())


@pytest.mark.parametrize(
    ("headline", "now", "said"),
    [
        ("It is so.", tour.RAN, "It is so."),
        (ZeroDivisionError("no rows left"), tour.FAILED, "ZeroDivisionError: no rows left"),
        (MissingExtra("torch", "nn"), tour.LEFT_OUT, 'run: pip install "statlas[nn]"'),
    ],
)
def test_what_a_method_does_becomes_a_row(monkeypatch, headline, now, said):
    monkeypatch.setattr(tour, "load_recipe", lambda paper: _Method(headline))
    result = guide(topic="evaluation")
    row = result.table.set_index("paper").loc["error-bars"]
    assert row["now"] == now
    assert row["outcome"].endswith(said)
    assert ("failed" in [notice.code for notice in result.warnings]) == (now == tour.FAILED)


def test_no_method_is_started_when_the_time_is_spent():
    result = guide(topic="watermarking", seconds=1e-9)
    assert tour.RAN not in set(result.table["now"])
    assert [notice.code for notice in result.warnings] == ["time-limit"]


def test_surveys_and_heavy_methods_are_not_started(monkeypatch):
    def refuse(paper):
        raise AssertionError(f"{paper} was loaded")

    monkeypatch.setattr(tour, "load_recipe", refuse)
    light = tour._Tour(None, run=True, heavy=False, seconds=60)
    catalogue = load_catalogue()
    survey, network = catalogue["editing"], catalogue["muscle"]
    assert (survey.kind, network.needs) == ("survey", ("nn",))
    survey, network = (replace(entry, implementation="x:y") for entry in (survey, network))
    assert light.paper(survey)[0] == light.paper(network)[0] == tour.LEFT_OUT
    heavy = tour._Tour(None, run=True, heavy=True, seconds=60)
    assert heavy.paper(survey)[0] == tour.LEFT_OUT
    assert heavy.paper(network)[1] == "AssertionError: muscle was loaded"


def test_the_result_survives_json_and_draws():
    result = guide(run=False)
    again = Result.from_json(result.to_json())
    assert type(again) is tour.Guide
    pd.testing.assert_frame_equal(again.table, result.table)
    axes = again.plot().axes[0]
    assert len(axes.get_yticks()) == len(TOPICS)
    assert sum(bar.get_width() for bar in axes.patches) == len(result.table)


# --- the short methods -------------------------------------------------------------------------


def test_green_pairs_are_a_fair_coin_of_the_share_and_depend_on_the_key():
    before, after = np.meshgrid(np.arange(300), np.arange(300))
    first = green_pairs(before, after, 1, share=0.25)
    other = green_pairs(before, after, 2, share=0.25)
    # Binomial standard deviation of the mean of 90,000 tosses: 0.00144.
    assert abs(first.mean() - 0.25) < 5 * 0.00144
    assert abs((first & other).mean() - 0.25**2) < 5 * np.sqrt(0.0625 * 0.9375 / 90_000)
    assert abs((first & first.T).mean() - 0.25**2) < 0.01


def test_green_list_test_is_the_binomial_tail():
    tokens = np.arange(51)
    green = int(green_pairs(tokens[:-1], tokens[1:], 5, 0.3).sum())
    found = green_list_test(tokens, 5, 0.3)
    assert (found.green, found.pairs) == (green, 50)
    assert found.z == pytest.approx((green - 15) / np.sqrt(50 * 0.3 * 0.7))
    assert found.p_value == pytest.approx(
        stats.binomtest(green, 50, 0.3, alternative="greater").pvalue
    )


def test_marked_text_has_the_green_share_of_its_boost_and_is_found():
    text = tour.marked_text(np.random.default_rng(0), 401, key=9, boost=2.0)
    share = green_pairs(text[:-1], text[1:], 9).mean()
    # exp(2) / (1 + exp(2)) = 0.8808; standard deviation over 400 tokens 0.0162.
    assert abs(share - 0.8808) < 4 * 0.0162
    assert green_list_test(text, 9).p_value < 1e-20
    assert green_list_test(text, 10).p_value > 1e-4


@pytest.mark.parametrize("text", [[3], [], [[1, 2]], [1.5, 2.5], [-1, 2]])
def test_green_list_test_refuses_what_is_no_text(text):
    with pytest.raises(InputError):
        green_list_test(text, 1)


def test_conformal_sets_with_too_few_checked_answers_hold_everything():
    assert conformal_sets([[0.9, 0.1]] * 8, [0] * 8, [[0.999, 0.001]], level=0.9).all()


def test_conformal_sets_refuse_shapes_that_disagree():
    with pytest.raises(InputError):
        conformal_sets([[0.9, 0.1]], [0, 1], [[0.5, 0.5]])
    with pytest.raises(InputError):
        conformal_sets([[0.9, 0.1]], [0], [[0.5, 0.3, 0.2]])


def test_rectified_mean_by_hand():
    mean = rectified_mean([1, 0, 0, 1], [1, 1, 0, 1], [1, 1, 1, 0])
    # Differences 0, -1, 0, 0 and labels 1, 1, 1, 0 both have variance 1/4; t(0.975, 3) = 3.1824.
    assert mean.estimate == 0.5
    assert mean.high - mean.estimate == pytest.approx(3.182446 * np.sqrt(0.125), rel=1e-6)


def test_rectified_mean_with_a_constant_model_is_the_classical_interval():
    people = np.array([0.0, 1, 1, 0, 1, 1, 1])
    mean = rectified_mean(people, np.zeros(7), np.zeros(50))
    expected = stats.t.interval(0.95, 6, people.mean(), stats.sem(people))
    assert (mean.low, mean.high) == pytest.approx(expected)


@pytest.mark.parametrize(
    "labels", [([1], [1], [1, 0]), ([1, 0], [1], [1, 0]), ([1, 0], [1, np.nan], [1, 0])]
)
def test_rectified_mean_refuses_bad_labels(labels):
    with pytest.raises(InputError):
        rectified_mean(*labels)


@pytest.mark.parametrize(
    "claim", [claims.watermark_false_alarms, claims.conformal_coverage, claims.rectified_coverage]
)
def test_claims_hold_and_their_twins_do_not(claim):
    record = make_record(claim, measure_batch(claim, 0, range(claim.quick)), 0, "quick", 0.0)
    assert record.verdict == "holds", record
    assert record.twin_verdict == "fails", record
