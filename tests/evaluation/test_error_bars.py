"""Known answers of error-bars: enumeration, identities, printed formulas, statsmodels' numbers."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from statlas.core.errors import InputError
from statlas.core.results import Status
from statlas.evaluation.error_bars import (
    clustered_covariance,
    compare_scores,
    holm,
    mcnemar_mid_p,
    minimum_detectable_effect,
    required_questions,
    variance_parts,
)


def clustered_by_the_formula(scores: np.ndarray, clusters: np.ndarray) -> float:
    """Section 2.2 as a double loop: SE_CLT^2 + n^-2 sum of cross products within clusters."""
    n, residuals = len(scores), scores - scores.mean()
    cross = sum(
        residuals[i] * residuals[j]
        for i, j in itertools.permutations(range(n), 2)
        if clusters[i] == clusters[j]
    )
    return float(scores.var(ddof=1) / n + cross / n**2)


def test_paper_variance_equals_the_double_sum() -> None:
    rng = np.random.default_rng(1)
    clusters = np.repeat(np.arange(5), [1, 2, 7, 3, 4])
    scores = rng.random(17)
    ours = clustered_covariance(scores, clusters, "paper")[0, 0]
    assert ours == pytest.approx(clustered_by_the_formula(scores, clusters), rel=1e-12)


@given(st.lists(st.floats(-10, 10), min_size=3, max_size=30))
def test_singleton_clusters_reduce_to_the_independent_formula(scores: list[float]) -> None:
    n = len(scores)
    expected = np.var(scores, ddof=1) / n
    for kind in ("corrected", "paper"):
        clustered = clustered_covariance(scores, np.arange(n), kind)[0, 0]
        assert clustered == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_equals_statsmodels_cluster_robust_ols() -> None:
    # statsmodels 0.15.0: OLS(scores, ones(7)).fit(cov_type="cluster", cov_kwds={"groups": groups})
    # gives bse = 0.10432145240107801.
    scores = np.array([0.2, 0.9, 0.4, 0.7, 0.1, 1.0, 0.5])
    groups = np.array([0, 0, 1, 1, 1, 2, 2])
    error = np.sqrt(clustered_covariance(scores, groups)[0, 0])
    assert error == pytest.approx(0.10432145240107801, rel=1e-12)


def test_paired_variance_is_that_of_the_differences() -> None:
    rng = np.random.default_rng(2)
    scores, clusters = rng.random((40, 2)), rng.integers(0, 9, 40)
    clusters = np.unique(clusters, return_inverse=True)[1]
    joint = clustered_covariance(scores, clusters)
    contrast = joint[0, 0] + joint[1, 1] - 2 * joint[0, 1]
    direct = clustered_covariance(scores[:, 0] - scores[:, 1], clusters)[0, 0]
    assert contrast == pytest.approx(direct, rel=1e-12)


def test_required_questions_is_the_printed_formula() -> None:
    # Section 5: (z_{0.975} + z_{0.8})^2 (omega^2 + sA/KA + sB/KB) / delta^2 with z sum 2.80158...
    expected = (1.959963985 + 0.841621234) ** 2 * (1 / 9 + 0.2 / 4 + 0.1 / 2) / 0.03**2
    assert required_questions(0.03, 1 / 9, 0.2, 0.1, 4, 2) == pytest.approx(expected, rel=1e-8)


def test_detectable_effect_inverts_required_questions() -> None:
    omega2, effect = 0.17, 0.025
    n = required_questions(effect, omega2)
    assert minimum_detectable_effect(np.sqrt(omega2 / n)) == pytest.approx(effect, rel=1e-12)


def test_variance_parts_against_the_bernoulli_truth() -> None:
    # p is 0.2 or 0.8 with equal chance: Var(p) = 0.09, E[p(1-p)] = 0.16. With 200,000 questions
    # the standard errors are about 3e-4 and 2e-4: bounds at more than five of them.
    rng = np.random.default_rng(3)
    chance = rng.choice([0.2, 0.8], 200_000)
    between, within = variance_parts(rng.random((200_000, 3)) < chance[:, None])
    assert between == pytest.approx(0.09, abs=2e-3)
    assert within == pytest.approx(0.16, abs=1.5e-3)


def test_variance_parts_need_repeats() -> None:
    with pytest.raises(ValueError, match="two repeats"):
        variance_parts([[1.0], [0.0]])


def test_holm_on_a_textbook_case() -> None:
    # Holm by hand for p = .01, .02, .03, .04: 4*.01, 3*.02, then 2*.03 and .04 raised to .06.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])


@given(st.integers(0, 15), st.integers(0, 15))
def test_mcnemar_mid_p_by_enumeration(b: int, c: int) -> None:
    n = b + c
    chances = stats.binom.pmf(np.arange(n + 1), n, 0.5)
    tail = chances[: min(b, c)].sum() + 0.5 * chances[min(b, c)]
    expected = 1.0 if b == c else min(2 * tail, 1.0)
    assert mcnemar_mid_p(b, c) == pytest.approx(expected, abs=1e-12)


# --- the recipe --------------------------------------------------------------------------------


def long_table(wide: dict[str, list[float]]) -> pd.DataFrame:
    frame = pd.DataFrame(wide).rename_axis("question").reset_index()
    return frame.melt(id_vars="question", var_name="model", value_name="score")


WIDE: dict[str, list[float]] = {
    "a": [1, 1, 1, 1, 0, 1, 0, 1, 1, 1],
    "b": [1, 0, 1, 0, 0, 1, 0, 0, 1, 1],
}


def test_long_and_wide_tables_agree() -> None:
    long, wide = compare_scores(long_table(WIDE)), compare_scores(pd.DataFrame(WIDE))
    pd.testing.assert_frame_equal(long.table, wide.table)
    assert any(notice.code == "wide-table" for notice in wide.warnings)


def test_the_better_model_comes_first_and_numbers_are_right() -> None:
    row = compare_scores(long_table(WIDE), interval="normal").table.iloc[0]
    differences = np.subtract(WIDE["a"], WIDE["b"])
    error = differences.std(ddof=1) / np.sqrt(10)
    assert row["model_a"] == "a"
    assert row["difference"] == pytest.approx(0.3)
    assert row["standard_error"] == pytest.approx(error)
    assert row["high"] - row["low"] == pytest.approx(2 * 1.959964 * error, rel=1e-6)
    assert row["correlation"] == pytest.approx(np.corrcoef(WIDE["a"], WIDE["b"])[0, 1])
    unpaired = np.sqrt((np.var(WIDE["a"], ddof=1) + np.var(WIDE["b"], ddof=1)) / 10)
    assert row["unpaired_standard_error"] == pytest.approx(unpaired)


def test_small_sample_intervals_are_used_where_they_apply() -> None:
    result = compare_scores({"always": [1.0] * 12, "never": [0.0] * 12})
    models = result.models.set_index("model")
    # Wilson at 12 of 12: low = n / (n + z^2); a Wald interval would have no width.
    assert models.loc["always", "low"] == pytest.approx(12 / (12 + 1.959964**2), rel=1e-6)
    assert models.loc["always", "high"] == 1.0


def test_questions_that_one_model_skipped_are_reported_not_used() -> None:
    frame = long_table(WIDE)
    frame = frame[~((frame["model"] == "b") & (frame["question"] == 0))]
    result = compare_scores(frame)
    row = result.table.iloc[0]
    assert (row["shared_questions"], row["only_a"], row["only_b"]) == (9, 1, 0)
    assert row["mean_a"] == pytest.approx(np.mean(WIDE["a"][1:]))
    assert "not-shared" in [notice.code for notice in result.warnings]


def test_incomplete_tables_equal_the_pair_alone() -> None:
    rng = np.random.default_rng(5)
    frame = long_table({name: list(rng.random(60)) for name in "abc"})
    frame["cluster"] = frame["question"] // 4
    frame = frame[~((frame["model"] == "c") & (frame["question"] < 7))]
    everything = compare_scores(frame).table.set_index(["model_a", "model_b"])
    for pair in (("a", "b"), ("a", "c"), ("b", "c")):
        alone = compare_scores(frame[frame["model"].isin(pair)]).table.iloc[0]
        together = everything.loc[(alone["model_a"], alone["model_b"])]
        for name in ("difference", "standard_error", "low", "high", "correlation"):
            assert together[name] == pytest.approx(alone[name], rel=1e-12)


def test_models_without_a_shared_question_are_not_compared() -> None:
    frame = pd.DataFrame(
        {"model": list("aaabbb"), "question": [1, 2, 3, 4, 5, 6], "score": [1, 0, 1, 1, 1, 0]}
    )
    result = compare_scores(frame)
    assert "share no question" in result.headline
    assert result.table["shared_questions"].iloc[0] == 0
    result.to_json()
    result.to_html()


def test_repeats_split_the_variance() -> None:
    rng = np.random.default_rng(6)
    chance = rng.beta(2, 2, 300)
    rows = [
        {"model": "m", "question": q, "repeat": k, "score": float(rng.random() < chance[q])}
        for q in range(300)
        for k in range(4)
    ]
    result = compare_scores(pd.DataFrame(rows))
    model = result.models.iloc[0]
    means = pd.DataFrame(rows).groupby("question")["score"].mean()
    assert model["standard_error"] == pytest.approx(means.std(ddof=1) / np.sqrt(300))
    total = model["between_variance"] + model["within_variance"] / 4
    assert total == pytest.approx(means.var(ddof=1), rel=1e-9)


def test_duplicates_without_a_repeat_column_are_refused() -> None:
    frame = pd.concat([long_table(WIDE)] * 2)
    with pytest.raises(InputError, match=r"column 'question'.*2 rows.*repeat=COLUMN"):
        compare_scores(frame)


def test_a_question_in_two_clusters_is_refused() -> None:
    frame = long_table(WIDE).assign(cluster=["x"] * 10 + ["y"] * 10)
    with pytest.raises(InputError, match=r"column 'cluster'.*two clusters"):
        compare_scores(frame)


def test_one_cluster_is_not_computable() -> None:
    result = compare_scores(long_table(WIDE).assign(cluster="only"))
    assert result.status is Status.NOT_COMPUTABLE
    assert "two independent" in result.advice


def test_an_interval_without_width_is_not_passed_off_as_certainty() -> None:
    result = compare_scores({"m": [1.0] * 6, "cluster": list("aabbcc")})
    assert result.status is Status.ASSUMPTION_DOUBTFUL
    assert "no width" in result.advice


def test_effect_gives_the_questions_needed() -> None:
    table = compare_scores(long_table(WIDE), effect=0.1).table
    row = table.iloc[0]
    expected = np.ceil(10 * (row["detectable"] / 0.1) ** 2)
    assert row["questions_needed"] == expected


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_order_of_rows_does_not_matter(seed: int) -> None:
    frame = long_table(WIDE).assign(cluster=lambda t: t["question"] // 2)
    shuffled = frame.sample(frac=1, random_state=seed)
    first, second = compare_scores(frame).table, compare_scores(shuffled).table
    numbers = first.select_dtypes("number").columns
    np.testing.assert_allclose(first[numbers], second[numbers], rtol=1e-9)


def test_coverage_at_small_n_is_near_nominal_where_the_normal_one_is_not() -> None:
    """Exact coverage by enumeration over the binomial at n = 30, p = 0.97 (no sampling error)."""
    n, chance = 30, 0.97
    weights = stats.binom.pmf(np.arange(n + 1), n, chance)

    def coverage(interval: str) -> float:
        covered = []
        for right in range(n + 1):
            model = compare_scores(
                {"m": [1.0] * right + [0.0] * (n - right)}, interval=interval
            ).models.iloc[0]
            covered.append(model["low"] <= chance <= model["high"])
        return float(weights @ covered)

    assert coverage("auto") == pytest.approx(0.938, abs=0.005)
    assert coverage("normal") == pytest.approx(0.595, abs=0.005)
