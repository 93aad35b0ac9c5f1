"""Known answers of conformal selection after a choice of score; each says where it comes from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge

from statlas.core.errors import InputError, OptionError
from statlas.core.numerics.conformal import conformal_p_values
from statlas.core.results import Status
from statlas.uncertainty.optcs import shortlist
from statlas.uncertainty.optcs.fitting import (
    forest_out_of_bag,
    kernel_smoother,
    leave_one_out,
    ridge_smoother,
    standardised,
    unseen_predictions,
)
from statlas.uncertainty.optcs.selection import (
    auxiliary_sizes,
    benjamini_hochberg,
    best_score_selection,
    clipped_scores,
    conformal_selection,
    naive_best_selection,
    p_values,
)

FloatArray = NDArray[np.float64]


def _plain_bh(p: FloatArray, q: float) -> int:
    """Size of Benjamini and Hochberg's selection, from its definition."""
    m, size = len(p), 0
    for rank, value in enumerate(sorted(p), start=1):
        if value * m <= q * rank + 1e-9:
            size = rank
    return size


def _sizes_by_definition(labelled: FloatArray, new: FloatArray, q: float) -> list[int]:
    n, m = len(labelled), len(new)
    sizes = []
    for j in range(m):
        p = [
            0.0 if other == j
            else (np.sum(labelled <= new[other]) + (new[j] <= new[other])) / (n + 1)
            for other in range(m)
        ]  # fmt: skip
        sizes.append(_plain_bh(np.array(p), q))
    return sizes


# --- the selection -------------------------------------------------------------------------------


def test_p_values_are_those_of_split_conformal_prediction_with_scores_turned_round() -> None:
    rng = np.random.default_rng(0)
    labelled, new = rng.integers(0, 9, 40).astype(float), rng.integers(0, 9, 15).astype(float)
    np.testing.assert_allclose(p_values(labelled, new), conformal_p_values(-labelled, -new))


def test_a_good_row_never_counts_against_a_candidate() -> None:
    scores = clipped_scores([0.9, 0.9, 0.1], [True, False, False])
    # Of three labelled rows only the dud with 0.9 looks as good as the candidate.
    assert p_values(scores, [-0.5])[0] == pytest.approx(2 / 4)


def test_benjamini_hochberg_on_the_numbers_of_its_paper() -> None:
    # Benjamini and Hochberg (1995), Section 3.2: 15 p-values, four rejections at 0.05.
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240,
         0.4262, 0.5719, 0.6528, 0.7590, 1.0]  # fmt: skip
    assert benjamini_hochberg(p, 0.05).tolist() == [True] * 4 + [False] * 11


def test_auxiliary_sizes_are_those_of_the_definition() -> None:
    rng = np.random.default_rng(1)
    for trial in range(120):
        n, m, q = rng.integers(1, 30), rng.integers(1, 20), rng.uniform(0.05, 0.6)
        labelled, new = rng.normal(size=n), rng.normal(size=m) - 1
        if trial % 2:  # ties
            labelled, new = np.round(2 * labelled), np.round(2 * new)
        labelled[rng.random(n) < 0.4] = np.inf
        assert auxiliary_sizes(labelled, new, q).tolist() == _sizes_by_definition(labelled, new, q)


def test_auxiliary_sizes_do_not_change_when_a_dud_and_a_candidate_swap() -> None:
    # The symmetry on which the guarantee rests.
    rng = np.random.default_rng(2)
    for _ in range(50):
        labelled, new = rng.normal(size=20), rng.normal(size=12) - 1
        size = auxiliary_sizes(labelled, new, 0.4)[3]
        labelled[7], new[3] = new[3], labelled[7]
        assert auxiliary_sizes(labelled, new, 0.4)[3] == size


def test_e_values_select_as_their_definition_says() -> None:
    rng = np.random.default_rng(3)
    some = 0
    for _ in range(40):
        strength = rng.uniform(0, 0.9, (4, 1))
        outcome = rng.normal(size=100)
        scores = strength * outcome + np.sqrt(1 - strength**2) * rng.normal(size=(4, 100))
        good = outcome > 0.5
        labelled, new, q = clipped_scores(scores[:, :70], good[:70]), -scores[:, 70:], 0.3
        found = best_score_selection(labelled, new, q)
        sizes = np.array([_sizes_by_definition(labelled[k], new[k], q) for k in range(4)])
        best = sizes.argmax(axis=0)
        p = np.array([p_values(labelled[best[j]], new[best[j]])[j] for j in range(30)])
        level = q * sizes.max(axis=0) / 30
        e = np.where(p <= level + 1e-12, 1 / level, 0.0)
        count = max([k for k in range(1, 31) if np.sum(e >= 30 / (q * k) - 1e-9) >= k], default=0)
        expected = (e >= 30 / (q * count) - 1e-9) if count else np.zeros(30, dtype=bool)
        assert found.selected.tolist() == expected.tolist()
        assert found.chosen.tolist() == best.tolist()
        np.testing.assert_allclose(found.p_value, p)
        some += bool(count)
    assert some > 10


def test_many_sets_at_once_give_what_each_gives_alone() -> None:
    rng = np.random.default_rng(4)
    labelled, new = rng.normal(size=(7, 3, 25)), rng.normal(size=(7, 3, 11)) - 1
    together = best_score_selection(labelled, new, 0.4)
    naive = naive_best_selection(labelled, new, 0.4)
    for place in range(7):
        alone = best_score_selection(labelled[place], new[place], 0.4)
        assert alone.selected.tolist() == together.selected[place].tolist()
        most = max(benjamini_hochberg(p_values(labelled[place], new[place]), 0.4).sum(axis=-1))
        assert naive.selected[place].sum() == most


def test_draws_never_lose_a_pick_and_need_a_generator() -> None:
    rng = np.random.default_rng(5)
    labelled, new = rng.normal(size=(200, 3, 25)), rng.normal(size=(200, 3, 11)) - 1
    plain = best_score_selection(labelled, new, 0.4).selected
    for pruning in ("shared", "separate"):
        drawn = best_score_selection(labelled, new, 0.4, pruning, rng).selected
        assert np.all(drawn >= plain)
        assert drawn.sum() > plain.sum()
    with pytest.raises(ValueError, match="generator"):
        best_score_selection(labelled, new, 0.4, "shared")


def test_false_discovery_rate_of_one_score_without_information_is_its_level() -> None:
    """Candidates are all duds as the labelled rows are: FDR = P(any pick) <= q; false alarms 1e-5.

    With n + 1 = 100 and 20 candidates at q = 0.2 the bound is attained for Benjamini-Hochberg, so
    the share must lie within 4.4 standard errors on either side: a p-value off by one would show.
    """
    rng, sets = np.random.default_rng(6), 20_000
    labelled, new = rng.normal(size=(sets, 99)), rng.normal(size=(sets, 20))
    rate = conformal_selection(labelled, new, 0.2).selected.any(axis=-1).mean()
    assert abs(rate - 0.2) < 4.4 * np.sqrt(0.2 * 0.8 / sets)


# --- fits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["ridge", "kernel"])
def test_leave_one_out_equals_refitting(model: str) -> None:
    rng = np.random.default_rng(7)
    x = standardised(rng.normal(size=(30, 4)) * [1, 10, 3, 2])
    y = (rng.random(30) < 0.4).astype(np.float64)
    ours = leave_one_out(ridge_smoother(x) if model == "ridge" else kernel_smoother(x), y)

    def kernel(a: FloatArray, b: FloatArray) -> FloatArray:
        square = ((a[:, None] - b[None]) ** 2).sum(axis=-1)
        return np.asarray(100 + np.exp(-square / 4))

    for row in range(30):
        rest = np.arange(30) != row
        if model == "ridge":
            fit = Ridge(alpha=1.0).fit(x[rest], y[rest]).predict(x[[row]])[0]
        else:
            peer = KernelRidge(alpha=1.0, kernel="precomputed")
            peer.fit(kernel(x[rest], x[rest]), y[rest])
            fit = peer.predict(kernel(x[[row]], x[rest]))[0]
        assert ours[row] == pytest.approx(fit, abs=1e-9)


@pytest.mark.parametrize("model", ["ridge", "kernel"])
def test_swapping_two_rows_swaps_their_predictions_only(model: str) -> None:
    rng = np.random.default_rng(8)
    x, y = rng.normal(size=(40, 3)), (rng.random(40) < 0.5) * 1.0
    order = np.arange(40)
    order[[3, 30]] = 30, 3
    first = unseen_predictions(model, x, y, rng)  # type: ignore[arg-type]
    second = unseen_predictions(model, x[order], y[order], rng)  # type: ignore[arg-type]
    np.testing.assert_allclose(first[order], second, atol=1e-10)


def test_the_forest_has_not_seen_the_row() -> None:
    # Outcomes are noise: a fit that had seen them would be correlated with them. The correlation of
    # 400 pairs is below 0.2 but for a chance of about 3e-5; trees that saw them reach 0.7.
    rng = np.random.default_rng(9)
    x, y = rng.normal(size=(400, 5)), (rng.random(400) < 0.5) * 1.0
    assert abs(np.corrcoef(forest_out_of_bag(x, y, rng), y)[0, 1]) < 0.2


# --- the recipe ----------------------------------------------------------------------------------


def _user_table() -> pd.DataFrame:
    rng = np.random.default_rng(10)
    features = rng.normal(size=(300, 3))
    activity = features[:, 0] * 20 + 100 + 5 * rng.normal(size=300)
    frame = pd.DataFrame(features, columns=["logP", "mass", "rings"])
    frame["compound"] = [f"mol-{place}" for place in range(300)]
    frame["activity"] = np.where(np.arange(300) < 200, activity, np.nan)
    frame.attrs["truth"] = activity
    return frame


@pytest.mark.parametrize("procedure", ["full-best", "full", "split", "best-score"])
def test_picks_of_a_clear_table_are_good(procedure: str) -> None:
    frame = _user_table()
    result = shortlist(
        frame, threshold=110.0, fdr=0.2, procedure=procedure, models=("ridge", "kernel"),
        missing="drop", rng=0,
    )  # fmt: skip
    truth = dict(zip(frame["compound"], frame.attrs["truth"] > 110, strict=True))
    picked = result.table.loc[result.table["selected"], "candidate"]
    assert len(result.table) == 100
    assert len(picked) > 15
    assert np.mean([truth[name] for name in picked]) > 0.6
    assert result.status is Status.OK
    assert result.rows_used == 300


def test_the_other_side_of_the_threshold_is_the_mirror_image() -> None:
    frame = _user_table()
    mirrored = frame.assign(activity=-frame["activity"])
    given = {"procedure": "full", "models": ("ridge",), "missing": "drop", "fdr": 0.2, "rng": 0}
    above = shortlist(frame, threshold=110.0, **given).table
    below = shortlist(mirrored, threshold=-110.0, good="below", **given).table
    pd.testing.assert_frame_equal(above, below)


def test_outcomes_of_marked_candidates_are_not_used() -> None:
    frame = _user_table().assign(candidate=lambda f: (np.arange(len(f)) >= 200) * 1)
    known = frame.assign(activity=frame.attrs["truth"])
    given = {"threshold": 110.0, "fdr": 0.2, "missing": "drop", "rng": 0, "models": ("kernel",)}
    first, second = shortlist(frame, **given), shortlist(known, **given)
    columns = ["candidate", "selected", "p_value", "limit", "score"]
    pd.testing.assert_frame_equal(first.table[columns], second.table[columns])
    assert second.value("duds among picks with known outcome").estimate is not None


def test_a_labelled_row_without_outcome_is_set_aside() -> None:
    frame = _user_table().assign(candidate=lambda f: (np.arange(len(f)) >= 210) * 1)
    result = shortlist(frame, threshold=110.0, missing="drop", rng=0, models=("ridge",))
    assert result.rows_used == 290
    assert result.set_aside[0].rows == 10


def test_candidates_from_elsewhere_are_noticed() -> None:
    frame = _user_table()
    frame.loc[200:, "mass"] += 2
    result = shortlist(frame, threshold=110.0, missing="drop", rng=0, models=("ridge",))
    assert result.status is Status.ASSUMPTION_DOUBTFUL
    assert "'mass'" in result.advice


def test_a_table_in_which_nothing_can_be_found_says_so() -> None:
    frame = _user_table().assign(logP=1.0, rings=2.0)
    result = shortlist(frame, threshold=110.0, missing="drop", rng=0, fdr=0.05, models=("ridge",))
    assert result.headline.startswith("None of 100")
    assert "nobody" in [notice.code for notice in result.warnings]
    result.to_html()
    every = shortlist(frame, threshold=1e6, missing="drop", rng=0, models=("ridge",))
    assert not every.table["selected"].any()
    assert "one-kind" in [notice.code for notice in every.warnings]


def test_what_cannot_be_done_is_refused_with_a_remedy() -> None:
    frame = _user_table()
    with pytest.raises(OptionError, match="'threshold' must be given"):
        shortlist(frame, missing="drop")
    with pytest.raises(InputError, match="missing='drop'"):
        shortlist(frame, threshold=110.0)
    with pytest.raises(InputError, match="no candidate"):
        shortlist(frame.dropna(), threshold=110.0)
    with pytest.raises(InputError, match="5 labelled rows"):
        shortlist(frame.iloc[195:], threshold=110.0, missing="drop")
    with pytest.raises(OptionError, match="twice"):
        shortlist(frame, threshold=110.0, missing="drop", models=("ridge", "ridge"))
    with pytest.raises(OptionError, match="'models' is empty"):
        shortlist(frame, threshold=110.0, missing="drop", models=())
