"""Rows of the recipe's tables: one for every model, one for every pair."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
from scipy import special

from statlas.core.numerics.clusters import covariance_of_means
from statlas.core.numerics.proportions import wilson_interval
from statlas.evaluation.no_clt.answers import Answers
from statlas.evaluation.no_clt.clustered import (
    ClusteredPosterior,
    clustered_clt_interval,
    clustered_comparison,
)
from statlas.evaluation.no_clt.comparison import Comparison, independent_comparison
from statlas.evaluation.no_clt.intervals import (
    FloatArray,
    Prior,
    beta_interval,
    clt_interval,
    exact_interval,
)
from statlas.evaluation.no_clt.paired import CorrelationPrior, paired_comparison

IntervalKind = Literal["beta", "wilson", "exact", "clt"]
Design = Literal["paired", "independent"]
Posteriors = list[ClusteredPosterior] | None
Row = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """The recipe's options."""

    level: float
    interval: IntervalKind
    design: Design
    correlation: CorrelationPrior
    prior: Prior


def model_row(
    answers: Answers, model: int, posterior: ClusteredPosterior | None, settings: Settings
) -> Row:
    """Every interval of one model; `low` and `high` are those that were asked for."""
    level, prior, interval = settings.level, settings.prior, settings.interval
    n, k = len(answers.of(model)), int(answers.of(model).sum())
    bounds = {
        "beta": beta_interval(k, n, level, prior),
        "wilson": wilson_interval(k, n, level),
        "exact": exact_interval(k, n, level),
        "clt": clt_interval(k, n, level),
    }
    mean = (k + prior[0]) / (n + sum(prior))
    row: Row = {"model": answers.models[model], "right": k, "questions": n}
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


def pair_rows(
    answers: Answers, models: list[Row], posteriors: Posteriors, settings: Settings
) -> tuple[list[Row], float]:
    """One row a pair of models, and the coarsest resolution of their posteriors (NaN: exact)."""
    pairs = list(combinations(range(len(models)), 2))
    tables = np.array([_two_by_two(answers.right[:, [a, b]]) for a, b in pairs]).reshape(-1, 4)
    rows, resolutions = [], [np.nan]
    comparisons = _compare(models, pairs, tables, posteriors, settings)
    for pair, table, (kind, result) in zip(pairs, tables, comparisons, strict=True):
        observed = _clt_difference(answers, models, pair, kind, settings)
        row: Row = {"model_a": models[pair[0]]["model"], "model_b": models[pair[1]]["model"]}
        row |= _result_columns(result, observed, settings.interval)
        row |= {"compared_as": kind, "shared_questions": int(table.sum())}
        row |= dict(zip(("both", "only_a", "only_b", "neither"), map(int, table), strict=True))
        rows.append(row)
        resolutions.append(float(result.resolution))
    return rows, float(np.fmin.reduce(resolutions))


def _compare(
    models: list[Row],
    pairs: list[tuple[int, int]],
    tables: FloatArray,
    posteriors: Posteriors,
    settings: Settings,
) -> Iterator[tuple[str, Comparison]]:
    """How each pair is compared, and the result."""
    shared = (tables.sum(axis=1) > 0) & (settings.design == "paired")
    if posteriors is None and shared.any():
        both, only_a, only_b, neither = tables[shared].T
        together = paired_comparison(
            both, only_a, only_b, neither, settings.level, settings.prior, settings.correlation
        )
    place = np.cumsum(shared) - 1
    for i, (a, b) in enumerate(pairs):
        if posteriors is not None:
            yield "clustered", clustered_comparison(posteriors[a], posteriors[b], settings.level)
        elif shared[i]:
            yield "paired", together[place[i]]
        else:
            k_a, n_a, k_b, n_b = (
                models[model][name] for model in (a, b) for name in ("right", "questions")
            )
            yield (
                "independent",
                independent_comparison(k_a, n_a, k_b, n_b, settings.level, settings.prior),
            )


def _result_columns(
    result: Comparison, observed: tuple[float, float, float], interval: IntervalKind
) -> Row:
    """The posterior beside the observed difference and its normal interval."""
    shown = (result.difference, result.difference_low, result.difference_high)
    difference, low, high = observed if interval == "clt" else map(float, shown)
    return {
        "difference": difference,
        "low": low,
        "high": high,
        "probability_a_better": float(result.probability),
        "odds_ratio": float(result.odds_ratio),
        "odds_ratio_low": float(result.odds_ratio_low),
        "odds_ratio_high": float(result.odds_ratio_high),
        "decided": bool(low > 0 or high < 0),
        "observed_difference": observed[0],
        "clt_low": observed[1],
        "clt_high": observed[2],
    }


def _two_by_two(right: FloatArray) -> list[float]:
    """Counts of shared questions that both, only a, only b or neither got right."""
    a, b = right[np.isfinite(right).all(axis=1)].T
    return [np.sum(a * b), np.sum(a * (1 - b)), np.sum((1 - a) * b), np.sum((1 - a) * (1 - b))]


def _clt_difference(
    answers: Answers, models: list[Row], pair: tuple[int, int], kind: str, settings: Settings
) -> tuple[float, float, float]:
    """Observed difference and its normal interval, paired where questions are shared."""
    shared = np.isfinite(answers.right[:, list(pair)]).all(axis=1)
    if kind == "independent" or settings.design == "independent" or not shared.any():
        a, b = (models[m] for m in pair)
        half = np.hypot(*((row["clt_high"] - row["clt_low"]) / 2 for row in (a, b)))
        mean = a["share"] - b["share"]
        return mean, mean - float(half), mean + float(half)
    gaps = answers.right[shared, pair[0]] - answers.right[shared, pair[1]]
    clusters = None
    if answers.clusters is not None:
        clusters = np.unique(answers.clusters[shared], return_inverse=True)[1]
    units = len(gaps) if clusters is None else int(clusters.max()) + 1
    mean = float(gaps.mean())
    if units < 2:
        return mean, np.nan, np.nan
    variance = covariance_of_means(gaps, clusters, few_clusters=False)[0, 0]
    half = special.ndtri((1 + settings.level) / 2) * np.sqrt(max(variance, 0.0))
    return mean, mean - float(half), mean + float(half)


def turned(row: Row) -> Row:
    """The same pair with a and b exchanged."""
    swap = {"model_a": "model_b", "only_a": "only_b"}
    swap |= {other: one for one, other in swap.items()}
    other_way = {name: row[swap.get(name, name)] for name in row}
    for low, high in (("low", "high"), ("clt_low", "clt_high")):
        other_way |= {low: -row[high], high: -row[low]}
    for name in ("difference", "observed_difference"):
        other_way[name] = -row[name]
    return other_way | {
        "probability_a_better": 1 - row["probability_a_better"],
        "odds_ratio": 1 / row["odds_ratio"],
        "odds_ratio_low": 1 / row["odds_ratio_high"],
        "odds_ratio_high": 1 / row["odds_ratio_low"],
    }


def pairs_of(pairs: list[Row], model: str) -> list[Row]:
    """The pairs of one model, turned so that it is model a."""
    return [
        row if row["model_a"] == model else turned(row)
        for row in pairs
        if model in (row["model_a"], row["model_b"])
    ]
