"""The recipe: intervals for every model and a comparison of every pair."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import special

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
    Value,
    Wide,
    recipe,
)
from statlas.core.numerics.clusters import covariance_of_means
from statlas.core.numerics.proportions import wilson_interval
from statlas.evaluation.no_clt.clustered import (
    ClusteredPosterior,
    clustered_clt_interval,
    clustered_comparison,
    clustered_posterior,
)
from statlas.evaluation.no_clt.comparison import (
    Comparison,
    independent_clt_interval,
    independent_comparison,
)
from statlas.evaluation.no_clt.intervals import (
    FloatArray,
    Prior,
    beta_interval,
    clt_interval,
    exact_interval,
)
from statlas.evaluation.no_clt.paired import CorrelationPrior, paired_comparison

if TYPE_CHECKING:
    from matplotlib.figure import Figure

IntervalKind = Literal["beta", "wilson", "exact", "clt"]
Design = Literal["paired", "independent"]

# "A few hundred": with fewer questions the normal interval is not to be trusted.
_FEW_QUESTIONS = 300
_FEW_CLUSTERS = 5
_COARSEST = 5.0  # effective quadrature nodes below which a posterior is not resolved
_MOST_VALUES = 20  # pairs listed as named values
_MOST_DRAWN = 30  # models in the figure


# --- from the table to arrays ----------------------------------------------------------------


@dataclass(frozen=True)
class _Answers:
    """Right (1) or wrong (0) for every question and model."""

    models: list[str]
    right: FloatArray  # (n_questions, n_models), NaN where the model did not answer
    clusters: NDArray[np.int64] | None  # (n_questions,)

    def of(self, model: int) -> FloatArray:
        """The model's own answers."""
        column = self.right[:, model]
        return column[np.isfinite(column)]

    def by_cluster(self, model: int) -> tuple[FloatArray, FloatArray]:
        """The model's right answers and answers in each cluster that it saw."""
        assert self.clusters is not None
        answered = np.isfinite(self.right[:, model])
        codes = self.clusters[answered]
        n = np.bincount(codes).astype(float)
        k = np.bincount(codes, self.right[answered, model]).astype(float)
        return k[n > 0], n[n > 0]


def _read_answers(table: Table) -> _Answers:
    model, question, score = table.factor("model"), table.factor("question"), table.number("score")
    _refuse_fractions(table, score)
    cell = question.codes * model.n_levels + model.codes
    shape = (question.n_levels, model.n_levels)
    repeats = np.bincount(cell, minlength=shape[0] * shape[1])
    if repeats.max() > 1:
        first, second = divmod(int(repeats.argmax()), model.n_levels)
        raise InputError(
            f"question {question.levels[first]!r} has {int(repeats.max())} rows of model "
            f"{model.levels[second]!r}",
            column=str(table.columns["question"]),
            remedy="remove the duplicates; for answers to the same question several times use "
            "`statlas run error-bars` with repeat=COLUMN",
        )
    right = np.full(shape, np.nan)
    right[question.codes, model.codes] = score
    return _Answers(model.levels, right, _clusters(table) if table.has("cluster") else None)


def _refuse_fractions(table: Table, score: FloatArray) -> None:
    other = ~np.isin(score, (0.0, 1.0))
    if other.any():
        first = int(other.argmax())
        raise InputError(
            f"scores must be 0 (wrong) or 1 (right); {int(other.sum())} of {len(score)} are not "
            f"(first: {score[first]:g} in usable row {first + 1})",
            column=str(table.columns["score"]),
            remedy="for fractional scores use `statlas run error-bars`",
        )


def _clusters(table: Table) -> NDArray[np.int64]:
    """Cluster of each question; a question in two clusters is an error."""
    question, cluster = table.factor("question"), table.factor("cluster")
    of_question = np.empty(question.n_levels, dtype=np.int64)
    of_question[question.codes] = cluster.codes
    split = of_question[question.codes] != cluster.codes
    if split.any():
        raise InputError(
            f"question {question.levels[question.codes[int(split.argmax())]]!r} is in two clusters",
            column=str(table.columns["cluster"]),
            remedy="make the question labels unique, for example by putting the cluster in front",
        )
    return of_question


# --- one model, two models -------------------------------------------------------------------


def _model_row(
    answers: _Answers,
    model: int,
    posterior: ClusteredPosterior | None,
    interval: IntervalKind,
    level: float,
    prior: Prior,
) -> dict[str, Any]:
    """Every interval of one model; `low` and `high` are those that were asked for."""
    n, k = len(answers.of(model)), int(answers.of(model).sum())
    bounds = {
        "beta": beta_interval(k, n, level, prior),
        "wilson": wilson_interval(k, n, level),
        "exact": exact_interval(k, n, level),
        "clt": clt_interval(k, n, level),
    }
    mean = (k + prior[0]) / (n + sum(prior))
    row: dict[str, Any] = {"model": answers.models[model], "right": k, "questions": n}
    if posterior is not None:
        by_cluster = answers.by_cluster(model)
        row["clusters"] = len(by_cluster[0])
        bounds["beta"] = posterior.interval(level)
        bounds["clt"] = clustered_clt_interval(*by_cluster, level)
        mean = float(posterior.mean[0])
    ends = {name: [float(np.ravel(end)[0]) for end in pair] for name, pair in bounds.items()}
    if row.get("clusters") == 1:
        ends["clt"] = [np.nan, np.nan]  # one cluster shows no spread between clusters
    row |= {"share": k / n, "estimate": mean if interval == "beta" else k / n}
    row |= {"low": ends[interval][0], "high": ends[interval][1]}
    for name, (low, high) in ends.items():
        row |= {f"{name}_low": low, f"{name}_high": high}
    return row


def _pair_rows(
    answers: _Answers,
    posteriors: list[ClusteredPosterior] | None,
    design: Design,
    interval: IntervalKind,
    level: float,
    prior: Prior,
    correlation: CorrelationPrior,
) -> tuple[list[dict[str, Any]], float]:
    """One row a pair of models, and the coarsest resolution of their posteriors (NaN: exact)."""
    pairs = list(combinations(range(len(answers.models)), 2))
    tables = np.array([_two_by_two(answers.right[:, [a, b]]) for a, b in pairs]).reshape(-1, 4)
    paired = np.full(len(pairs), design == "paired" and posteriors is None)
    paired &= tables.sum(axis=1) > 0
    together: Comparison | None = None
    if paired.any():
        # Pairs without shared questions are computed on an arbitrary table and not used.
        both, only_a, only_b, neither = np.where(paired[:, None], tables, 1.0).T
        together = paired_comparison(both, only_a, only_b, neither, level, prior, correlation)
    rows, resolutions = [], [np.nan]
    for i, (a, b) in enumerate(pairs):
        if paired[i] and together is not None:
            result, kind = together[i], "paired"
        elif posteriors is not None:
            result, kind = clustered_comparison(posteriors[a], posteriors[b], level), "clustered"
        else:
            k_a, n_a, k_b, n_b = _totals(answers, a, b)
            result, kind = independent_comparison(k_a, n_a, k_b, n_b, level, prior), "independent"
        rows.append(_pair_row(answers, (a, b), tables[i], result, kind, interval, level))
        resolutions.append(float(result.resolution))
    return rows, float(np.fmin.reduce(resolutions))


def _pair_row(
    answers: _Answers,
    pair: tuple[int, int],
    table: FloatArray,
    result: Comparison,
    kind: str,
    interval: IntervalKind,
    level: float,
) -> dict[str, Any]:
    a, b = pair
    observed, clt_low, clt_high = _clt_difference(answers, a, b, kind, level)
    difference, low, high = (
        float(x) for x in (result.difference, result.difference_low, result.difference_high)
    )
    if interval == "clt":
        difference, low, high = observed, clt_low, clt_high
    return {
        "model_a": answers.models[a],
        "model_b": answers.models[b],
        "difference": difference,
        "low": low,
        "high": high,
        "probability_a_better": float(result.probability),
        "odds_ratio": float(result.odds_ratio),
        "odds_ratio_low": float(result.odds_ratio_low),
        "odds_ratio_high": float(result.odds_ratio_high),
        "observed_difference": observed,
        "clt_low": clt_low,
        "clt_high": clt_high,
        "decided": bool(low > 0 or high < 0),
        "compared_as": kind,
        "shared_questions": int(table.sum()),
        **dict(zip(("both", "only_a", "only_b", "neither"), map(int, table), strict=True)),
    }


def _two_by_two(right: FloatArray) -> list[float]:
    """Counts of shared questions that both, only a, only b or neither got right."""
    a, b = right[np.isfinite(right).all(axis=1)].T
    return [np.sum(a * b), np.sum(a * (1 - b)), np.sum((1 - a) * b), np.sum((1 - a) * (1 - b))]


def _totals(answers: _Answers, a: int, b: int) -> tuple[float, int, float, int]:
    of_a, of_b = answers.of(a), answers.of(b)
    return float(of_a.sum()), len(of_a), float(of_b.sum()), len(of_b)


def _clt_difference(
    answers: _Answers, a: int, b: int, kind: str, level: float
) -> tuple[float, float, float]:
    """Observed difference and its normal interval: paired (and clustered) where models share."""
    shared = np.isfinite(answers.right[:, [a, b]]).all(axis=1)
    if kind == "independent" or not shared.any():
        k_a, n_a, k_b, n_b = _totals(answers, a, b)
        low, high = independent_clt_interval(k_a, n_a, k_b, n_b, level)
        return k_a / n_a - k_b / n_b, float(low), float(high)
    gaps = answers.right[shared, a] - answers.right[shared, b]
    clusters = None
    if answers.clusters is not None:
        clusters = np.unique(answers.clusters[shared], return_inverse=True)[1]
    units = len(gaps) if clusters is None else int(clusters.max()) + 1
    mean = float(gaps.mean())
    if units < 2:
        return mean, np.nan, np.nan
    variance = covariance_of_means(gaps, clusters, few_clusters=False)[0, 0]
    half = float(special.ndtri((1 + level) / 2) * np.sqrt(max(variance, 0.0)))
    return mean, mean - half, mean + half


# --- result ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class SmallSampleComparison(Result):
    """Small-sample intervals; `table` holds the pairs (or the model, if there is only one)."""

    @property
    def models(self) -> pd.DataFrame:
        """One row a model: counts, share, and the interval of every method."""
        return pd.DataFrame(self.details["models"])

    def draw(self, figure: Figure) -> None:
        """Left: each model's interval over the normal one. Right: the best against the others."""
        pairs = self.details["shown_pairs"]
        axes = figure.subplots(1, 2 if pairs else 1, squeeze=False)[0]
        models = sorted(self.details["models"], key=lambda row: row["share"])
        shown = models[-_MOST_DRAWN:]
        percent = f"{100 * self.options['level']:g} %"
        name = _INTERVAL_NAMES[self.options["interval"]]
        _draw_rows(axes[0], [row["model"] for row in shown], shown, "share", name)
        some = f" ({len(shown)} best of {len(models)} models)" if len(shown) < len(models) else ""
        axes[0].set_xlabel(f"share of questions right, {percent} intervals{some}")
        if pairs:
            names = [f"{row['model_a']} − {row['model_b']}" for row in pairs]
            kind = "clt" if self.options["interval"] == "clt" else "beta"
            _draw_rows(axes[1], names, pairs, "observed_difference", _INTERVAL_NAMES[kind])
            axes[1].axvline(0, color="black", linewidth=0.8)
            axes[1].set_xlabel(f"difference of shares, {percent} intervals")
        rows = max(len(shown), len(pairs))
        figure.set_size_inches(11.0 if pairs else 7.2, 2.0 + 0.34 * rows)
        axes[0].legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3)


_INTERVAL_NAMES = {"beta": "Bayes", "wilson": "Wilson", "exact": "Clopper-Pearson", "clt": "CLT"}


def _draw_rows(
    axis: Any, names: list[str], rows: list[dict[str, Any]], observed: str, label: str
) -> None:
    """Interval of each row, the normal interval beneath it in grey, the observed value as a dot."""
    places = np.arange(len(rows))
    for keys, offset, style in (
        (("low", "high"), 0.0, {"color": "C0", "label": label}),
        (("clt_low", "clt_high"), -0.22, {"color": "C7", "label": "CLT", "linewidth": 1.2}),
    ):
        if label == "CLT" and offset:
            continue
        ends = np.array([[row[key] for key in keys] for row in rows], dtype=float)
        for place, (low, high) in zip(places, ends, strict=True):
            axis.plot([low, high], [place + offset] * 2, marker="|", markersize=6, **style)
            style = {name: value for name, value in style.items() if name != "label"}
    axis.plot([row[observed] for row in rows], places, "o", color="C1", label="observed")
    axis.set_yticks(places, [name if len(name) < 36 else name[:34] + "…" for name in names])
    axis.set_ylim(-0.6, len(rows) - 0.4)


# --- recipe ----------------------------------------------------------------------------------


@recipe(
    "no-clt",
    example=Example(
        file="small_benchmark.csv",
        about="Six classifiers on forty wines that none was trained on: right or wrong for each.",
        origin="Recorded with scikit-learn on its wine data (UCI, CC BY 4.0).",
    ),
)
def small_sample_comparison(
    scores: Annotated[
        Table,
        Roles(
            model=Category(help="which model was scored", aliases=("model_name", "system")),
            question=Category(
                help="which question it answered",
                aliases=("question_id", "item", "item_id", "doc_id", "example", "sample_id", "id"),
            ),
            score=Number(
                ge=0,
                le=1,
                help="1 for a right answer, 0 for a wrong one",
                aliases=("acc", "correct", "accuracy", "is_correct", "exact_match", "value"),
            ),
            cluster=Category(
                optional=True,
                help="group of questions that are alike",
                aliases=("group", "passage", "topic", "subject", "writer", "task"),
            ),
            wide=Wide(rows="question", columns="model", values="score"),
        ),
    ],
    *,
    level: Annotated[
        float, Option(gt=0, lt=1, help="posterior probability or confidence level")
    ] = 0.95,
    interval: Annotated[
        IntervalKind,
        Option(help="interval of each model; differences are Bayesian unless this is clt"),
    ] = "beta",
    comparison: Annotated[
        Design, Option(help="whether pairs use that questions are shared, or ignore it")
    ] = "paired",
    correlation: Annotated[
        CorrelationPrior,
        Option(help="prior of the paired correlation: mostly positive, or uniform"),
    ] = "positive",
    prior_right: Annotated[
        float, Option(gt=0, le=1e4, help="first parameter of the Beta prior of a model's share")
    ] = 1.0,
    prior_wrong: Annotated[
        float, Option(gt=0, le=1e4, help="second parameter of the Beta prior of a model's share")
    ] = 1.0,
) -> SmallSampleComparison:
    """Compare models on few questions: intervals that hold there, and who is better how surely.

    Parameters
    ----------
    scores
        One row a model and question (long), or a row a question and a column a model (wide).

    Returns
    -------
    SmallSampleComparison
        `table` has a row a pair: posterior mean and interval of the difference, probability that
        a is better, odds ratio with interval, the normal interval for comparison, and the 2 x 2
        counts behind them. `models` has a row a model with the interval of every method.

    Examples
    --------
    >>> rows = {"question": range(12), "a": [1] * 12, "b": [1] * 9 + [0] * 3}
    >>> result = small_sample_comparison(rows)
    >>> print(result.table["probability_a_better"].round(2).iloc[0])
    0.97
    """
    answers = _read_answers(scores)
    prior = (prior_right, prior_wrong)
    posteriors = None
    if answers.clusters is not None:
        posteriors = [
            clustered_posterior(*answers.by_cluster(i), prior) for i in range(len(answers.models))
        ]
    models = [
        _model_row(answers, i, posteriors[i] if posteriors else None, interval, level, prior)
        for i in range(len(answers.models))
    ]
    pairs, resolution = _pair_rows(
        answers, posteriors, comparison, interval, level, prior, correlation
    )
    best = sorted(models, key=lambda row: -row["share"])[:2]
    names = [row["model"] for row in best]
    for posterior in posteriors or []:
        resolution = np.fmin(resolution, posterior.resolution[0])
    coarse = bool(resolution < _COARSEST)  # false for NaN: exact
    return SmallSampleComparison(
        headline=_headline(models, pairs, names, interval, level),
        table=pd.DataFrame(pairs or models),
        values=tuple(_values(models, pairs, interval, level, prior, answers.clusters is not None)),
        details={
            "models": models,
            "shown_pairs": _shown_pairs(pairs, names[0]),
            "resolution": float(resolution),
        },
        status=Status.NOT_CONVERGED if coarse else Status.OK,
        advice="a posterior is too narrow for the quadrature here; with so many questions use "
        "`statlas run error-bars`"
        if coarse
        else "",
        warnings=tuple(_notices(answers, models, pairs, interval, comparison)),
    )


def _turned(row: dict[str, Any]) -> dict[str, Any]:
    """The same pair with a and b exchanged."""
    swap = {"model_a": "model_b", "only_a": "only_b"}
    swap |= {other: one for one, other in swap.items()}
    turned = {name: row[swap.get(name, name)] for name in row}
    for low, high in (("low", "high"), ("clt_low", "clt_high")):
        turned |= {low: -row[high], high: -row[low]}
    for name in ("difference", "observed_difference"):
        turned[name] = -row[name]
    return turned | {
        "probability_a_better": 1 - row["probability_a_better"],
        "odds_ratio": 1 / row["odds_ratio"],
        "odds_ratio_low": 1 / row["odds_ratio_high"],
        "odds_ratio_high": 1 / row["odds_ratio_low"],
    }


def _with_first(pairs: list[dict[str, Any]], model: str) -> list[dict[str, Any]]:
    """The pairs of one model, turned so that it is model a."""
    return [
        row if row["model_a"] == model else _turned(row)
        for row in pairs
        if model in (row["model_a"], row["model_b"])
    ]


def _shown_pairs(pairs: list[dict[str, Any]], best: str, most: int = 12) -> list[dict[str, Any]]:
    """The best model against the others, nearest last: what the figure shows."""
    turned = _with_first(pairs, best)
    turned.sort(key=lambda row: -row["observed_difference"])
    return turned[-most:]


def _headline(
    models: list[dict[str, Any]],
    pairs: list[dict[str, Any]],
    best: list[str],
    interval: IntervalKind,
    level: float,
) -> str:
    counts = {row["model"]: f"{row['right']} of {row['questions']} right" for row in models}
    kind = f"{100 * level:g} % {_interval_words(interval)}"
    if len(models) == 1:
        only = models[0]
        return (
            f"{only['model']} has {counts[only['model']]}: a share of {only['share']:.3g} "
            f"({kind} {only['low']:.3g} to {only['high']:.3g})."
        )
    top = next(row for row in _with_first(pairs, best[0]) if row["model_b"] == best[1])
    kind = f"{100 * level:g} % {_interval_words('clt' if interval == 'clt' else 'beta')}"
    design = {
        "paired": f"on {top['shared_questions']} shared questions",
        "clustered": "with clustered questions",
        "independent": "taken as independent",
    }[top["compared_as"]]
    verdict = "so the difference is real" if top["decided"] else "so the difference could be luck"
    text = (
        f"{best[0]} ({counts[best[0]]}) against {best[1]} ({counts[best[1]]}), {design}: a "
        f"difference of {top['difference']:.2g} ({kind} {top['low']:.2g} to {top['high']:.2g}); "
        f"{best[0]} is better with probability {_probability(top['probability_a_better'])}, "
        f"{verdict}"
    )
    if len(pairs) == 1:
        return text + "."
    decided = sum(row["decided"] for row in pairs)
    return f"{text}; in {decided} of {len(pairs)} pairs the interval excludes 0."


def _interval_words(interval: IntervalKind) -> str:
    return "credible interval" if interval == "beta" else f"{_INTERVAL_NAMES[interval]} interval"


def _probability(value: float) -> str:
    """Two digits, and never a 0 or 1 that only rounding made."""
    if value > 0.995:
        return "above 0.99"
    return "below 0.01" if value < 0.005 else f"{value:.2f}"


def _values(
    models: list[dict[str, Any]],
    pairs: list[dict[str, Any]],
    interval: IntervalKind,
    level: float,
    prior: Prior,
    clustered: bool,
) -> Iterator[Value]:
    bayes = f"posterior mean, equal-tailed interval, Beta({prior[0]:g}, {prior[1]:g}) prior"
    if clustered:
        bayes += " of the mean over clusters"
    method = bayes if interval == "beta" else _INTERVAL_NAMES[interval]
    difference = "CLT" if interval == "clt" else bayes
    none = "one cluster shows no spread between clusters"
    for row in models:
        ends = (row["low"], row["high"], level)
        name = f"share of {row['model']}"
        yield Value(name, row["estimate"], *ends, "share", method, none)
    for row in pairs[:_MOST_VALUES] if len(pairs) <= _MOST_VALUES else []:
        a, b = row["model_a"], row["model_b"]
        ends = (row["low"], row["high"], level)
        yield Value(f"{a} minus {b}", row["difference"], *ends, "share", difference, none)
        yield Value(
            f"probability that {a} beats {b}",
            row["probability_a_better"],
            why_no_interval="it is itself a posterior probability",
        )


def _notices(
    answers: _Answers,
    models: list[dict[str, Any]],
    pairs: list[dict[str, Any]],
    interval: IntervalKind,
    comparison: Design,
) -> Iterator[Notice]:
    clustered = answers.clusters is not None
    unit = "clusters" if clustered else "questions"
    fewest = min(row[unit] for row in models)
    if interval == "clt" and fewest < _FEW_QUESTIONS:
        yield Notice(
            "clt-small-sample",
            f"a normal (CLT) interval was asked for with {fewest} {unit}; below a few hundred it "
            "is too short, most of all near 0 and 1",
            "use interval='beta', 'wilson' or 'exact'",
        )
    if clustered and interval in ("wilson", "exact"):
        yield Notice(
            "clusters-ignored",
            f"{_INTERVAL_NAMES[interval]}'s interval takes all questions as independent, so it is "
            "too short when answers within a cluster are alike",
            "use interval='beta', which models the clusters",
        )
    if clustered and fewest < _FEW_CLUSTERS:
        yield Notice(
            "few-clusters",
            f"there are {fewest} clusters: intervals are wide, and depend on the prior",
            "add questions from further clusters rather than from these",
        )
    if clustered and pairs and comparison == "paired":
        yield Notice(
            "pairing-unused",
            "with clusters, pairs are compared as if their questions were not shared; that is "
            "cautious where models find the same questions hard",
            "leave the clusters out to see how much pairing would add",
        )
    unshared = sum(row["shared_questions"] == 0 for row in pairs)
    if unshared and comparison == "paired":
        yield Notice(
            "nothing-shared",
            f"{unshared} pairs share no question and are compared as independent samples",
            "score all models on the same questions",
        )
    incomplete = int(np.isnan(answers.right).any(axis=1).sum())
    if pairs and incomplete and comparison == "paired" and not clustered:
        yield Notice(
            "not-shared",
            f"{incomplete} questions were not answered by every model; a pair is compared on "
            "those that both answered",
            "score all models on the same questions",
        )
