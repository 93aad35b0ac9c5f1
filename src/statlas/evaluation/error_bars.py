"""Error bars for benchmark scores, and whether two models really differ.

Answers      How sure is each model's score, is the difference between two models real, and how
             many questions would show a difference of a given size?
Use when     there is a score per question and model, from some hundred questions up; questions may
             share a passage or a task (clusters), and may have been asked several times (repeats).
             Avoid it for totals without per-question scores; for a few dozen questions prefer
             `no-clt`, and for leaderboards of separate benchmarks model the benchmarks instead.
Assumes      questions (or clusters of them) are a random sample of those one cares about; repeats
             of a question are independent given the question.
Notation     scores[q, m] = s, mean over repeats of question q and model m, (n_questions, n_models)
             mean[m] = s-bar (Section 2); covariance of means: Sections 2.1 (independent), 2.2
             (clustered) and 4.2 (paired: Var A + Var B - 2 Cov(A, B))
             within[m] = E[sigma^2 / K], between[m] = Var(x) (Section 3: Var(s-bar) = Var(x) +
             E[sigma^2] / K); omega2 = Var(x_A - x_B), z = normal quantiles (Section 5: power)
Departs      The clustered variance is multiplied by G / (G - 1) for G clusters, the usual sandwich
             factor: it equals the paper's independent form exactly when every question is its own
             cluster, where the paper's clustered form (no factor on the cross terms) is too small
             for few clusters. `clusters="paper"` gives the paper's.
             Intervals: the paper multiplies by a normal quantile (`interval="normal"`). By default
             0/1 scores without clusters and repeats get Wilson's interval and paired differences
             Bonett and Price's, everything else Student's t with G - 1 degrees of freedom, because
             the normal ones under-cover in small samples.
             Power: the paper plans from omega^2 and sigma^2 of independent questions; with clusters
             the plan scales the clustered standard error of the pilot instead, keeping its cluster
             sizes. p-values of several pairs are adjusted by Holm's procedure; the paper is silent.
             Standard errors and Holm are checked against statsmodels, power by simulation.
Reference    Miller (2024), Adding Error Bars to Evals, arXiv:2411.00640, Sections 2 to 5.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, ndtr, ndtri, stdtr, stdtrit

from statlas.core import (
    Category,
    Example,
    InputError,
    Notice,
    Number,
    Option,
    Result,
    Roles,
    Status,
    Table,
    Twin,
    Value,
    Wide,
    Within,
    claim,
    recipe,
)
from statlas.core.numerics.clusters import covariance_of_means
from statlas.core.numerics.proportions import paired_difference_interval, wilson_interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]
IntervalKind = Literal["auto", "student", "normal"]
ClusterKind = Literal["corrected", "paper"]

# Below this many independent units the normal approximation is doubtful (see the paper no-clt).
_FEW_UNITS = 300

# --- the method, on arrays -------------------------------------------------------------------


def clustered_covariance(
    scores: ArrayLike, clusters: ArrayLike | None = None, kind: ClusterKind = "corrected"
) -> FloatArray:
    """Covariance of the models' mean scores over questions that may come in clusters.

    Parameters
    ----------
    scores
        Score of each question and model, shape (n_questions, n_models).
    clusters
        Cluster of each question as whole numbers from 0, shape (n_questions,).
    kind
        ``"corrected"`` multiplies by G / (G - 1); ``"paper"`` adds the cross terms of Section 2.2
        to the variance of independent questions.

    Returns
    -------
    ndarray
        Shape (n_models, n_models); the diagonal holds squared standard errors.

    Examples
    --------
    >>> clustered_covariance([[1.0], [1.0], [0.0], [0.0]], [0, 0, 1, 1])
    array([[0.25]])
    >>> clustered_covariance([[1.0], [1.0], [0.0], [0.0]], [0, 0, 1, 1], "paper").round(6)
    array([[0.145833]])
    """
    if kind == "corrected" or clusters is None:
        return covariance_of_means(scores, clusters)
    # Section 2.2: SE_CLT^2 + n^-2 sum over clusters of the cross products i != j.
    independent = covariance_of_means(scores)
    all_products = covariance_of_means(scores, clusters, few_clusters=False)
    own_products = covariance_of_means(scores, few_clusters=False)
    return independent + all_products - own_products


def variance_parts(scores: ArrayLike) -> tuple[FloatArray, FloatArray]:
    """Split the variance of question means into questions and answers (Section 3).

    Parameters
    ----------
    scores
        Repeated scores, shape (n_questions, n_repeats); NaN where a repeat is absent.

    Returns
    -------
    between, within
        Var(x) over questions (never below 0), and E[sigma^2], the mean variance of one answer.

    Raises
    ------
    ValueError
        If no question has two repeats: the parts cannot be told apart.

    Examples
    --------
    >>> between, within = variance_parts([[1, 1], [0, 0], [1, 0], [1, 1]])
    >>> print(between.round(4), within.round(4))
    0.1667 0.125
    """
    matrix = np.asarray(scores, dtype=float)
    repeats = np.isfinite(matrix).sum(axis=1)
    if not np.any(repeats >= 2):
        raise ValueError("telling questions from answers needs a question with two repeats")
    variances = np.nanvar(matrix[repeats >= 2], axis=1, ddof=1)
    within = variances.mean()
    between = np.nanmean(matrix, axis=1).var(ddof=1) - within * np.mean(1 / repeats)
    return np.maximum(between, 0.0), within


def required_questions(
    effect: ArrayLike,
    omega2: ArrayLike,
    within_a: ArrayLike = 0.0,
    within_b: ArrayLike = 0.0,
    repeats_a: ArrayLike = 1,
    repeats_b: ArrayLike = 1,
    alpha: float = 0.05,
    power: float = 0.8,
) -> FloatArray:
    """Questions needed to detect a difference of `effect` between two models (Section 5).

    Parameters
    ----------
    effect
        Difference of means to detect, not 0.
    omega2
        Variance over questions of the difference of conditional means, Var(x_A - x_B).
    within_a, within_b
        Mean variance of one answer of each model, E[sigma^2].
    repeats_a, repeats_b
        Answers per question, K.
    alpha, power
        Two-sided level of the test and the power wanted.

    Examples
    --------
    >>> print(required_questions(0.03, 1 / 9).round(0))
    969.0
    """
    z = ndtri(1 - alpha / 2) + ndtri(power)
    variance = (
        np.asarray(omega2)
        + np.asarray(within_a) / np.asarray(repeats_a)
        + np.asarray(within_b) / np.asarray(repeats_b)
    )
    return np.asarray(z**2 * variance / np.asarray(effect, dtype=float) ** 2)


def minimum_detectable_effect(
    standard_error: ArrayLike, alpha: float = 0.05, power: float = 0.8
) -> FloatArray:
    """Smallest true difference found with the given power, from its standard error (Section 5).

    Examples
    --------
    >>> print(minimum_detectable_effect(0.01).round(4))
    0.028
    """
    z = ndtri(1 - alpha / 2) + ndtri(power)
    return np.asarray(z * np.asarray(standard_error, dtype=float))


def holm(p_values: ArrayLike) -> FloatArray:
    """Adjust p-values for their number by Holm's step-down procedure.

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    array([0.03, 0.06, 0.06])
    """
    p = np.asarray(p_values, dtype=float)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


# --- from the table to arrays ----------------------------------------------------------------


@dataclass(frozen=True)
class _Scores:
    """Mean score of each question and model, and how often it was measured."""

    models: list[str]
    means: FloatArray  # (n_questions, n_models), NaN where the model did not answer
    repeats: FloatArray  # (n_questions, n_models)
    within: FloatArray  # (n_models,) mean variance of one answer, NaN without repeats
    clusters: NDArray[np.int64] | None  # (n_questions,)

    @cached_property
    def answered(self) -> NDArray[np.bool_]:
        """Which model answered which question, shape (n_questions, n_models)."""
        return np.isfinite(self.means)

    @cached_property
    def n_answered(self) -> NDArray[np.int64]:
        """Number of questions that each model answered, shape (n_models,)."""
        return np.asarray(self.answered.sum(axis=0))

    @cached_property
    def binary(self) -> bool:
        """Whether every score is a single answer of 0 or 1."""
        zero_or_one = (self.means == 0) | (self.means == 1)
        return bool(np.all(~self.answered | (zero_or_one & (self.repeats == 1))))


def _read_scores(table: Table) -> _Scores:
    model, question = table.factor("model"), table.factor("question")
    score = table.number("score")
    shape = (question.n_levels, model.n_levels)
    cell = question.codes * model.n_levels + model.codes
    repeats = np.bincount(cell, minlength=shape[0] * shape[1]).astype(float)
    totals = np.bincount(cell, score, minlength=len(repeats))
    if repeats.max() > 1 and not table.has("repeat"):
        _refuse_repeated(table, repeats, shape)
    if table.has("repeat"):
        _refuse_repeated_repeat(table, cell)
    with np.errstate(invalid="ignore"):
        means = totals / repeats
    residuals = score - means[cell]
    squares = np.bincount(cell, residuals**2, minlength=len(repeats))
    with np.errstate(invalid="ignore", divide="ignore"):
        variances = np.where(repeats >= 2, squares / (repeats - 1), np.nan).reshape(shape)
    counts = np.isfinite(variances).sum(axis=0)
    within = np.where(counts > 0, np.nansum(variances, axis=0) / np.maximum(counts, 1), np.nan)
    clusters = _question_clusters(table) if table.has("cluster") else None
    return _Scores(model.levels, means.reshape(shape), repeats.reshape(shape), within, clusters)


def _refuse_repeated(table: Table, repeats: FloatArray, shape: tuple[int, int]) -> None:
    question, model = divmod(int(repeats.argmax()), shape[1])
    raise InputError(
        f"question {table.factor('question').levels[question]!r} has {int(repeats.max())} rows of "
        f"model {table.factor('model').levels[model]!r}",
        column=str(table.columns["question"]),
        remedy="name the column that numbers the answers with repeat=COLUMN, or remove duplicates",
    )


def _refuse_repeated_repeat(table: Table, cell: NDArray[np.int64]) -> None:
    repeat = table.factor("repeat")
    seen = np.bincount(cell * repeat.n_levels + repeat.codes)
    if seen.max() > 1:
        raise InputError(
            "the same model, question and repeat occur in more than one row",
            column=str(table.columns["repeat"]),
            remedy="number the answers to a question differently, or remove duplicates",
        )


def _question_clusters(table: Table) -> NDArray[np.int64]:
    """Cluster of each question; a question in two clusters is an error."""
    question, cluster = table.factor("question"), table.factor("cluster")
    of_question = np.empty(question.n_levels, dtype=np.int64)
    of_question[question.codes] = cluster.codes
    split = of_question[question.codes] != cluster.codes
    if split.any():
        row = int(split.argmax())
        raise InputError(
            f"question {question.levels[question.codes[row]]!r} is in two clusters",
            column=str(table.columns["cluster"]),
            remedy="make the question labels unique, for example by putting the cluster in front",
        )
    return of_question


# --- one model, two models -------------------------------------------------------------------


def _model_rows(
    scores: _Scores, level: float, interval: IntervalKind, kind: ClusterKind
) -> list[dict[str, Any]]:
    rows = []
    for column, model in enumerate(scores.models):
        answered = scores.answered[:, column]
        values = scores.means[answered, column]
        clusters = _relabel(scores.clusters, answered)
        units = _n_units(values, clusters)
        mean, error, naive = float(values.mean()), np.nan, np.nan
        if units >= 2:
            error = float(np.sqrt(max(clustered_covariance(values, clusters, kind)[0, 0], 0.0)))
        if len(values) >= 2:
            naive = float(np.sqrt(covariance_of_means(values)[0, 0]))
        if interval == "auto" and scores.binary and clusters is None:
            low, high = map(float, wilson_interval(values.sum(), len(values), level))
        else:
            low, high = _symmetric_interval(mean, error, units, level, interval)
        rows.append(
            {
                "model": model,
                "mean": mean,
                "standard_error": error,
                "low": low,
                "high": high,
                "questions": len(values),
                "clusters": units,
                "naive_standard_error": naive,
                "design_effect": (error / naive) ** 2 if naive > 0 else np.nan,
                **_repeat_columns(scores, column, answered),
            }
        )
    return rows


def _repeat_columns(scores: _Scores, column: int, answered: NDArray[np.bool_]) -> dict[str, float]:
    """What repeats do for this model: the share of variance that more answers would remove."""
    within = float(scores.within[column])
    if np.isnan(within):
        return {}
    values, repeats = scores.means[answered, column], scores.repeats[answered, column]
    total = float(values.var(ddof=1)) if len(values) > 1 else np.nan
    from_answers = within * float(np.mean(1 / repeats))
    return {
        "answers_per_question": float(repeats.mean()),
        "between_variance": max(total - from_answers, 0.0),
        "within_variance": within,
        "share_removable": min(from_answers / total, 1.0) if total > 0 else np.nan,
    }


@dataclass(frozen=True)
class _Pair:
    """What two models have in common."""

    a: int
    b: int
    shared: NDArray[np.bool_]  # (n_questions,) answered by both
    means: FloatArray  # (2,)
    covariance: FloatArray | None  # (2, 2) of the means, None where it cannot be estimated
    spread: FloatArray | None  # (2, 2) covariance over questions
    units: int


def _pairs(scores: _Scores, kind: ClusterKind) -> Iterator[_Pair]:
    """Yield every pair, the better model first.

    Where all models answered everything one matrix product serves all pairs.
    """
    answered = scores.answered
    order = np.argsort(-np.nanmean(scores.means, axis=0), kind="stable")
    complete = bool(answered.all())
    if complete:
        everything = _joint_moments(scores.means, scores.clusters, kind)
    for a, b in combinations(order.tolist(), 2):
        shared = answered[:, a] & answered[:, b]
        if complete:
            means, covariance, spread, units = everything
            pick = np.ix_([a, b], [a, b])
            covariance = None if covariance is None else covariance[pick]
            spread = None if spread is None else spread[pick]
            yield _Pair(a, b, shared, means[[a, b]], covariance, spread, units)
        elif shared.any():
            values = scores.means[shared][:, [a, b]]
            moments = _joint_moments(values, _relabel(scores.clusters, shared), kind)
            yield _Pair(a, b, shared, *moments)
        else:
            yield _Pair(a, b, shared, np.full(2, np.nan), None, None, 0)


def _joint_moments(
    values: FloatArray, clusters: NDArray[np.int64] | None, kind: ClusterKind
) -> tuple[FloatArray, FloatArray | None, FloatArray | None, int]:
    """Means, covariance of the means, covariance over questions, independent units."""
    units = _n_units(values, clusters)
    covariance = clustered_covariance(values, clusters, kind) if units >= 2 else None
    spread = np.atleast_2d(np.cov(values, rowvar=False)) if len(values) >= 2 else None
    return values.mean(axis=0), covariance, spread, units


def _pair_row(
    scores: _Scores, pair: _Pair, level: float, interval: IntervalKind, power: float
) -> dict[str, Any]:
    """Paired comparison of two models on the questions both answered (Section 4.2)."""
    difference = float(pair.means[0] - pair.means[1])
    n_shared = int(pair.shared.sum())
    error = unpaired = correlation = np.nan
    if pair.covariance is not None:
        contrast = np.array([1.0, -1.0])
        error = float(np.sqrt(max(contrast @ pair.covariance @ contrast, 0.0)))
        unpaired = float(np.sqrt(max(np.trace(pair.covariance), 0.0)))
    if pair.spread is not None and np.all(np.diag(pair.spread) > 0):
        correlation = float(pair.spread[0, 1] / np.sqrt(np.prod(np.diag(pair.spread))))
    if interval == "auto" and scores.binary and scores.clusters is None and pair.units:
        first, second = (scores.means[pair.shared, model] for model in (pair.a, pair.b))
        only_a, only_b = int(np.sum(first > second)), int(np.sum(second > first))
        low, high = map(float, paired_difference_interval(only_a, only_b, pair.units, level))
        p_value = mcnemar_mid_p(only_a, only_b)
    else:
        low, high = _symmetric_interval(difference, error, pair.units, level, interval)
        p_value = _two_sided_p(difference, error, pair.units, interval)
    return {
        "model_a": scores.models[pair.a],
        "model_b": scores.models[pair.b],
        "mean_a": float(pair.means[0]),
        "mean_b": float(pair.means[1]),
        "difference": difference,
        "low": low,
        "high": high,
        "standard_error": error,
        "p_value": p_value,
        "correlation": correlation,
        "unpaired_standard_error": unpaired,
        "detectable": float(minimum_detectable_effect(error, 1 - level, power)),
        "shared_questions": n_shared,
        "only_a": int(scores.n_answered[pair.a]) - n_shared,
        "only_b": int(scores.n_answered[pair.b]) - n_shared,
    }


def mcnemar_mid_p(only_first: int, only_second: int) -> float:
    """Two-sided mid-p value of McNemar's test of two paired proportions.

    References
    ----------
    Fagerland, Lydersen and Laake (2013), BMC Med. Res. Methodol. 13:91.

    Examples
    --------
    >>> print(round(mcnemar_mid_p(1, 5), 4))
    0.125
    """
    n, smaller = only_first + only_second, min(only_first, only_second)
    if only_first == only_second:
        return 1.0
    below = bdtr(smaller, n, 0.5)
    exactly = below - (bdtr(smaller - 1, n, 0.5) if smaller else 0.0)
    return float(min(2 * below - exactly, 1.0))


def _relabel(
    clusters: NDArray[np.int64] | None, rows: NDArray[np.bool_]
) -> NDArray[np.int64] | None:
    """Cluster numbers from 0 without gaps on a subset of the questions."""
    if clusters is None or rows.all():
        return clusters
    return np.unique(clusters[rows], return_inverse=True)[1]


def _n_units(values: FloatArray, clusters: NDArray[np.int64] | None) -> int:
    """Number of independent units: clusters, or questions where there are none."""
    return len(values) if clusters is None else int(clusters.max()) + 1


def _quantile(units: int, level: float, interval: IntervalKind) -> float:
    tail = (1 + level) / 2
    return float(ndtri(tail) if interval == "normal" else stdtrit(units - 1, tail))


def _symmetric_interval(
    centre: float, error: float, units: int, level: float, interval: IntervalKind
) -> tuple[float, float]:
    if not np.isfinite(error):
        return np.nan, np.nan
    margin = _quantile(units, level, interval) * error
    return centre - margin, centre + margin


def _two_sided_p(difference: float, error: float, units: int, interval: IntervalKind) -> float:
    if not np.isfinite(error):
        return np.nan
    if error == 0:
        return 1.0 if difference == 0 else 0.0
    ratio = abs(difference) / error
    tail = ndtr(-ratio) if interval == "normal" else stdtr(units - 1, -ratio)
    return float(2 * tail)


# --- recipe ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ScoreComparison(Result):
    """Scores with error bars; `table` holds the pairs (or the model, if there is only one)."""

    @property
    def models(self) -> pd.DataFrame:
        """One row a model: mean, standard error, interval, design effect, variance parts."""
        return pd.DataFrame(self.details["models"])

    def draw(self, figure: Figure) -> None:
        """Left: each model's score. Right: the paired differences that matter most."""
        pairs = self.details["shown_pairs"]
        axes = figure.subplots(1, 2 if pairs else 1, squeeze=False)[0]
        models = sorted(self.details["models"], key=lambda row: row["mean"])
        _draw_intervals(axes[0], [row["model"] for row in models], models, "mean")
        axes[0].set_xlabel(f"mean score, {100 * self.options['level']:g} % interval")
        if pairs:
            names = [f"{row['model_a']} − {row['model_b']}" for row in pairs]
            _draw_intervals(axes[1], names, pairs, "difference")
            axes[1].axvline(0, color="black", linewidth=0.8)
            axes[1].set_xlabel("paired difference")
        figure.set_size_inches(10.5 if pairs else 7.2, 1.8 + 0.28 * max(len(models), len(pairs)))


def _draw_intervals(axis: Any, names: list[str], rows: list[dict[str, Any]], centre: str) -> None:
    from statlas.core.figures import plain_label

    places = range(len(rows))
    for place, row in zip(places, rows, strict=True):
        if row["low"] is not None and np.isfinite(row["low"]):
            axis.plot([row["low"], row["high"]], [place, place], color="C0")
    axis.plot([row[centre] for row in rows], places, "o", color="C1")
    short = [name if len(name) < 36 else name[:34] + "…" for name in names]
    axis.set_yticks(list(places), [plain_label(name) for name in short])


@recipe(
    "error-bars",
    example=Example(
        file="digits_scores.csv",
        about="Twelve classifiers on 1,797 handwritten digits, right or wrong; each digit's model "
        "was trained without its writer, and the 14 writers are the clusters.",
        origin="Recorded with scikit-learn (BSD-3) on the UCI digits it ships; see examples.",
        options={"cluster": "writer"},
    ),
)
def compare_scores(
    scores: Annotated[
        Table,
        Roles(
            model=Category(
                help="which model was scored", aliases=("model_name", "system", "classifier")
            ),
            question=Category(
                help="which question it answered",
                aliases=("question_id", "item", "item_id", "doc_id", "example", "sample_id", "id"),
            ),
            score=Number(
                help="score of the answer, 0/1 or a fraction",
                aliases=("acc", "correct", "accuracy", "is_correct", "exact_match", "value"),
            ),
            cluster=Category(
                optional=True,
                help="group of questions that are alike",
                aliases=("group", "passage", "topic", "subject"),
            ),
            repeat=Category(
                optional=True,
                help="number of the answer, where a question was asked several times",
                aliases=("epoch", "sample", "trial", "resample"),
            ),
            wide=Wide(rows="question", columns="model", values="score"),
            min_rows=2,
        ),
    ],
    *,
    level: Annotated[float, Option(gt=0, lt=1, help="confidence level of the intervals")] = 0.95,
    interval: Annotated[
        IntervalKind,
        Option(help="small-sample intervals where they apply, Student's, or the paper's normal"),
    ] = "auto",
    clusters: Annotated[
        ClusterKind, Option(help="clustered variance: corrected for few clusters, or the paper's")
    ] = "corrected",
    effect: Annotated[
        float | None,
        Option(gt=0, help="difference one wants to detect, for the number of questions needed"),
    ] = None,
    power: Annotated[
        float, Option(gt=0, lt=1, help="power at which differences are called detectable")
    ] = 0.8,
) -> ScoreComparison:
    """Compare models on the same questions: means, error bars, paired differences, power.

    Parameters
    ----------
    scores
        One row a model and question (long), or a row a question and a column a model (wide).

    Returns
    -------
    ScoreComparison
        `table` has a row a pair: difference, interval, standard error, p-value (also adjusted by
        Holm), correlation, the unpaired standard error for comparison, the smallest detectable
        difference, and the questions that only one model answered. `models` has a row a model.

    Examples
    --------
    >>> rows = {"model": ["a"] * 4 + ["b"] * 4, "question": [1, 2, 3, 4] * 2,
    ...         "score": [1, 1, 1, 0, 1, 0, 0, 0]}
    >>> float(compare_scores(rows).table["difference"].iloc[0])
    0.5
    """
    read = _read_scores(scores)
    models = sorted(
        _model_rows(read, level, interval, clusters), key=lambda row: row["mean"], reverse=True
    )
    pairs = [_pair_row(read, pair, level, interval, power) for pair in _pairs(read, clusters)]
    _adjust_for_number(pairs)
    if effect is not None:
        for row in pairs:
            ratio = row["detectable"] / effect
            row["questions_needed"] = float(np.ceil(row["shared_questions"] * ratio**2))
    status, advice = _status(models)
    best, *others = (row["model"] for row in models)
    top = _pair_of(pairs, best, others[0]) if others else None
    clustered = read.clusters is not None
    return ScoreComparison(
        headline=_headline(models, pairs, top, level, scores.columns.get("cluster")),
        table=pd.DataFrame(pairs or models),
        values=_values(models, pairs, level, interval, read.binary and not clustered),
        details={"models": models, "shown_pairs": _shown_pairs(pairs, best)},
        status=status,
        advice=advice,
        warnings=tuple(_notices(read, models, pairs, interval)),
    )


def _status(models: list[dict[str, Any]]) -> tuple[Status, str]:
    """Whether every model's interval can be computed, and has a width."""
    if any(np.isnan(row["standard_error"]) for row in models):
        need = "a standard error needs at least two independent questions (or clusters) a model"
        return Status.NOT_COMPUTABLE, need
    flat = [row["model"] for row in models if row["low"] == row["high"]]
    if flat:
        return Status.ASSUMPTION_DOUBTFUL, (
            f"all scores of {', '.join(flat[:3])} are equal, so a normal interval has no width; "
            "`statlas run no-clt` gives one for 0/1 scores"
        )
    return Status.OK, ""


def _adjust_for_number(pairs: list[dict[str, Any]]) -> None:
    """Add Holm-adjusted p-values over the pairs that have one."""
    known = [row for row in pairs if np.isfinite(row["p_value"])]
    adjusted = holm([row["p_value"] for row in known])
    for row in pairs:
        row["p_holm"] = np.nan
    for row, p_holm in zip(known, adjusted, strict=True):
        row["p_holm"] = float(p_holm)


def _pair_of(pairs: list[dict[str, Any]], first: str, second: str) -> dict[str, Any]:
    """The pair's row, turned so that `first` is model a."""
    for row in pairs:
        if (row["model_a"], row["model_b"]) == (first, second):
            return row
        if (row["model_a"], row["model_b"]) == (second, first):
            return _turned(row)
    raise KeyError((first, second))


def _turned(row: dict[str, Any]) -> dict[str, Any]:
    swap = {"model_a": "model_b", "mean_a": "mean_b", "only_a": "only_b"}
    swap |= {other: one for one, other in swap.items()}
    turned = {name: row[swap.get(name, name)] for name in row}
    return turned | {"difference": -row["difference"], "low": -row["high"], "high": -row["low"]}


def _shown_pairs(pairs: list[dict[str, Any]], best: str, most: int = 12) -> list[dict[str, Any]]:
    """The best model against the others, nearest first: what the figure shows."""
    turned = [
        row if row["model_a"] == best else _turned(row)
        for row in pairs
        if best in (row["model_a"], row["model_b"])
    ]
    known = [row for row in turned if np.isfinite(row["difference"])]
    known.sort(key=lambda row: -row["difference"])
    return known[-most:]


def _headline(
    models: list[dict[str, Any]],
    pairs: list[dict[str, Any]],
    top: dict[str, Any] | None,
    level: float,
    cluster: object,
) -> str:
    by = f", clustered by {cluster}" if cluster else ""
    if top is None:
        only = models[0]
        return (
            f"{only['model']} scores {only['mean']:.4g} "
            f"({100 * level:g} % interval {only['low']:.4g} to {only['high']:.4g}{by})."
        )
    if not np.isfinite(top["difference"]):
        return f"{top['model_a']} and {top['model_b']} share no question, so they are not compared."
    p_value = f"p = {top['p_value']:.2g}"
    if len(pairs) > 1:
        p_value += f", {top['p_holm']:.2g} adjusted for {len(pairs)} pairs"
    real = "is more than chance" if top["p_holm"] < 1 - level else "could be chance"
    text = (
        f"{top['model_a']} ({top['mean_a']:.4g}) against {top['model_b']} ({top['mean_b']:.4g}) on "
        f"{top['shared_questions']} shared questions: the difference of {top['difference']:.3g} "
        f"({100 * level:g} % interval {top['low']:.3g} to {top['high']:.3g}{by}, "
        f"{p_value}) {real}"
    )
    if len(pairs) == 1:
        return text + "."
    differ = sum(row["p_holm"] < 1 - level for row in pairs)
    return f"{text}; {differ} of {len(pairs)} pairs differ after the adjustment."


def _values(
    models: list[dict[str, Any]],
    pairs: list[dict[str, Any]],
    level: float,
    interval: IntervalKind,
    score_intervals: bool,
) -> tuple[Value, ...]:
    small = interval == "auto" and score_intervals
    usual = "normal" if interval == "normal" else "Student's t"
    means = "Wilson" if small else usual
    differences = "Bonett-Price" if small else usual
    none = "fewer than two independent questions"
    values = [
        Value(
            f"mean of {row['model']}",
            row["mean"],
            row["low"],
            row["high"],
            level,
            unit="score",
            method=means,
            why_no_interval=none,
        )
        for row in models
    ]
    values += [
        Value(
            f"{row['model_a']} minus {row['model_b']}",
            row["difference"],
            row["low"],
            row["high"],
            level,
            unit="score",
            method=differences,
            why_no_interval=none,
        )
        for row in (pairs if len(pairs) <= 20 else [])
    ]
    return tuple(values)


def _notices(
    scores: _Scores,
    models: list[dict[str, Any]],
    pairs: list[dict[str, Any]],
    interval: IntervalKind,
) -> Iterator[Notice]:
    units = min(row["clusters"] for row in models)
    small_sample_ones = interval == "auto" and scores.binary and scores.clusters is None
    if units < _FEW_UNITS and not small_sample_ones:
        what = "questions" if scores.clusters is None else "clusters"
        yield Notice(
            "few-units",
            f"only {units} independent {what}: intervals that rest on a normal mean may be short",
            "compare with `statlas run no-clt`, made for small benchmarks",
        )
    one_sided = sum(row["only_a"] + row["only_b"] for row in pairs)
    if one_sided:
        yield Notice(
            "not-shared",
            "some questions were answered by one model of a pair only and are left out of the "
            "difference; the table counts them",
            "score all models on the same questions",
        )
    if np.isfinite(scores.within).any():
        shares = [row.get("share_removable", 0.0) for row in models]
        most = 100 * np.nanmax([0.0, *shares])
        yield Notice(
            "repeats",
            f"asking ever more often would remove at most {most:.0f} % of the "
            "variance of a model's mean (column share_removable); the rest lies in the questions",
            "beyond that only more questions help",
        )


# --- claims ----------------------------------------------------------------------------------


def _clustered_sample(
    rng: np.random.Generator, n_clusters: int = 60
) -> tuple[FloatArray, NDArray[np.int64]]:
    """Scores with mean 0.5 in clusters of 2 to 20 questions that share a difficulty."""
    sizes = rng.integers(2, 21, n_clusters)
    clusters = np.repeat(np.arange(n_clusters), sizes)
    chance = rng.beta(1.5, 1.5, n_clusters)[clusters]
    return (rng.random(len(clusters)) < chance).astype(float), clusters


def _error_clustered(scores: FloatArray, clusters: NDArray[np.int64]) -> float:
    return float(np.sqrt(clustered_covariance(scores, clusters)[0, 0]))


def _error_naive(scores: FloatArray, clusters: NDArray[np.int64]) -> float:
    return float(np.sqrt(clustered_covariance(scores)[0, 0]))


@claim(
    "error-bars",
    says="95 % intervals from clustered standard errors cover at about their level when questions "
    "come in clusters of unequal size",
    where="Section 2.2",
    expect=Within(0.92, 0.97),
    unit="share of simulated evaluations whose interval covers the true mean",
    subject=_error_clustered,
    twin=Twin("standard errors that ignore the clusters", _error_naive),
    quick=2_000,
    full=40_000,
    kind="proportion",
)
def clustered_coverage(rng: np.random.Generator, standard_error: Any) -> float:
    """Whether one simulated evaluation's interval covers the true mean of 0.5."""
    scores, clusters = _clustered_sample(rng)
    return float(abs(scores.mean() - 0.5) <= 1.959964 * standard_error(scores, clusters))


def _difference_error_paired(scores: FloatArray) -> float:
    covariance = clustered_covariance(scores)
    return float(np.sqrt(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]))


def _difference_error_unpaired(scores: FloatArray) -> float:
    return float(np.sqrt(np.trace(clustered_covariance(scores))))


@claim(
    "error-bars",
    says="pairing shrinks the variance of a difference by twice the covariance of the two means: "
    "the paired standard error matches the spread of repeated experiments",
    where="Section 4.2",
    expect=Within(0.93, 1.07),
    unit="mean squared standard error over the variance of the simulated differences",
    subject=_difference_error_paired,
    twin=Twin("unpaired standard error", _difference_error_unpaired),
    quick=40,
    full=400,
)
def pairing_gain(rng: np.random.Generator, standard_error: Any) -> float:
    """Ratio of predicted to actual variance over 400 experiments of 200 shared questions."""
    difficulty = rng.beta(2, 1, (400, 200, 1))
    chance = np.clip(difficulty + np.array([0.05, 0.0]), 0, 1)
    scores = (rng.random((400, 200, 2)) < chance).astype(float)
    predicted = np.mean([standard_error(experiment) ** 2 for experiment in scores])
    differences = scores.mean(axis=1) @ np.array([1.0, -1.0])
    return float(predicted / differences.var(ddof=1))


def _questions_by_formula(omega2: float, within: float, repeats: int, effect: float) -> int:
    return int(np.ceil(required_questions(effect, omega2, within, within, repeats, repeats)))


def _questions_without_answer_noise(
    omega2: float, within: float, repeats: int, effect: float
) -> int:
    return int(np.ceil(required_questions(effect, omega2)))


@claim(
    "error-bars",
    says="the number of questions from the power formula gives a test with the power asked for",
    where="Section 5",
    expect=Within(0.78, 0.82),
    unit="share of simulated experiments that detect the difference",
    subject=_questions_by_formula,
    twin=Twin("formula without the variance of answers", _questions_without_answer_noise),
    quick=60,
    full=1_000,
)
def planned_power(rng: np.random.Generator, questions: Any) -> float:
    """Power over 250 experiments with the planned number of questions and two answers to each.

    Conditional means are x_A = x + 0.025 + e and x_B = x - 0.025 - e with x uniform on
    [0.25, 0.75] and e uniform on [-0.2, 0.2], so omega^2 = 4 Var(e); answers are Bernoulli draws.
    """
    effect, repeats = 0.05, 2
    omega2 = 4 * 0.4**2 / 12
    second_moment = 0.25 + 0.5**2 / 12 + 0.4**2 / 12 + 0.025**2
    within = 0.5 - second_moment
    n = questions(omega2, within, repeats, effect)
    x = rng.uniform(0.25, 0.75, (250, n))
    e = rng.uniform(-0.2, 0.2, (250, n)) + effect / 2
    answers_a = rng.binomial(repeats, x + e) / repeats
    answers_b = rng.binomial(repeats, x - e) / repeats
    differences = answers_a - answers_b
    z = differences.mean(axis=1) / (differences.std(axis=1, ddof=1) / np.sqrt(n))
    return float(np.mean(np.abs(z) > 1.959964))


def _variance_with_repeats(between: float, within: float, repeats: int) -> float:
    return between + within / repeats


def _variance_all_divided(between: float, within: float, repeats: int) -> float:
    return (between + within) / repeats


@claim(
    "error-bars",
    says="asking each question K times divides only the answers' part of the variance by K",
    where="Section 3.1",
    expect=Within(0.98, 1.02),
    unit="predicted over simulated variance of a question's mean, K = 4",
    subject=_variance_with_repeats,
    twin=Twin("the whole variance divided by K", _variance_all_divided),
    quick=60,
    full=600,
)
def repeats_gain(rng: np.random.Generator, variance: Any) -> float:
    """Predict the variance at K = 4 from a pilot with K = 2, over 20,000 questions each."""
    chance = rng.beta(2, 1, 20_000)
    pilot = (rng.random((20_000, 2)) < chance[:, None]).astype(float)
    between, within = variance_parts(pilot)
    fresh = rng.beta(2, 1, 20_000)
    return float(variance(between, within, 4) / (rng.binomial(4, fresh) / 4).var(ddof=1))
