"""The recipe: intervals for every model and a comparison of every pair."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd

from statlas.core import (
    Category,
    Example,
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
from statlas.evaluation.no_clt.answers import Answers, read_answers
from statlas.evaluation.no_clt.clustered import clustered_posterior
from statlas.evaluation.no_clt.paired import CorrelationPrior
from statlas.evaluation.no_clt.rows import (
    Design,
    IntervalKind,
    Row,
    Settings,
    model_row,
    pair_rows,
    pairs_of,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# "A few hundred": with fewer questions the normal interval is not to be trusted.
_FEW_QUESTIONS = 300
_FEW_CLUSTERS = 5
_COARSEST = 3.0  # effective quadrature nodes below which a posterior is not resolved
_MANY_PAIRS = 10
_MOST_VALUES = 20  # pairs listed as named values
_MOST_DRAWN = 30  # models in the figure


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


def _draw_rows(axis: Any, names: list[str], rows: list[Row], observed: str, label: str) -> None:
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
        float, Option(ge=0.5, le=1000, help="first parameter of the Beta prior of a model's share")
    ] = 1.0,
    prior_wrong: Annotated[
        float, Option(ge=0.5, le=1000, help="second parameter of the Beta prior of a model's share")
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
    answers = read_answers(scores)
    settings = Settings(level, interval, comparison, correlation, (prior_right, prior_wrong))
    everyone = range(len(answers.models))
    posteriors = None
    if answers.clusters is not None:
        posteriors = [clustered_posterior(*answers.by_cluster(i), settings.prior) for i in everyone]
    models = [
        model_row(answers, i, posteriors[i] if posteriors else None, settings) for i in everyone
    ]
    pairs, resolution = pair_rows(answers, models, posteriors, settings)
    for posterior in posteriors or []:
        resolution = float(np.fmin(resolution, posterior.resolution[0]))
    best = [row["model"] for row in sorted(models, key=lambda row: -row["share"])[:2]]
    status, advice = _status(models, pairs, resolution)
    return SmallSampleComparison(
        headline=_headline(models, pairs, best, settings),
        table=pd.DataFrame(pairs or models),
        values=tuple(_values(models, pairs, settings, answers.clusters is not None)),
        details={
            "models": models,
            "shown_pairs": _shown_pairs(pairs, best[0]),
            "resolution": resolution,
        },
        status=status,
        advice=advice,
        warnings=tuple(_notices(answers, models, pairs, settings)),
    )


def _status(models: list[Row], pairs: list[Row], resolution: float) -> tuple[Status, str]:
    """Whether every interval exists and every posterior was resolved, and advice where not."""
    if any(np.isnan(row["low"]) for row in (*models, *pairs)):
        return Status.NOT_COMPUTABLE, "with a single cluster or question use interval='beta'"
    if resolution < _COARSEST:  # false for NaN: exact
        return Status.NOT_CONVERGED, (
            "a posterior is too narrow for the quadrature; with so many questions use "
            "`statlas run error-bars`"
        )
    return Status.OK, ""


def _shown_pairs(pairs: list[Row], best: str, most: int = 12) -> list[Row]:
    """The best model against the others, nearest last: what the figure shows."""
    turned = pairs_of(pairs, best)
    turned.sort(key=lambda row: -row["observed_difference"])
    return turned[-most:]


def _headline(models: list[Row], pairs: list[Row], best: list[str], settings: Settings) -> str:
    counts = {row["model"]: f"{row['right']} of {row['questions']} right" for row in models}
    if len(models) == 1:
        only = models[0]
        interval = _interval_text(only, settings.interval, settings.level, 3)
        return (
            f"{only['model']} has {counts[only['model']]}: a share of {only['share']:.3g} "
            f"({interval})."
        )
    top = next(row for row in pairs_of(pairs, best[0]) if row["model_b"] == best[1])
    kind: IntervalKind = "clt" if settings.interval == "clt" else "beta"
    shared = top["shared_questions"]
    design = {
        "paired": f"on {shared} shared question{'s' if shared > 1 else ''}",
        "clustered": "with clustered questions",
        "independent": "taken as independent",
    }[top["compared_as"]]
    verdict = "is real" if top["decided"] else "could be luck"
    probability = _probability(top["probability_a_better"])
    conclusion = f"{best[0]} is better with probability {probability}, so the difference {verdict}"
    if kind == "clt":
        bayes = f"the posterior probability that {best[0]} is better is {probability}"
        conclusion = f"by that interval it {verdict}; {bayes}"
    text = (
        f"{best[0]} ({counts[best[0]]}) against {best[1]} ({counts[best[1]]}), {design}: a "
        f"difference of {_short(top['difference'])} "
        f"({_interval_text(top, kind, settings.level, 2)}); {conclusion}"
    )
    if len(pairs) == 1:
        return text + "."
    decided = sum(row["decided"] for row in pairs)
    return f"{text}; in {decided} of {len(pairs)} pairs the interval excludes 0."


def _interval_text(row: Row, interval: IntervalKind, level: float, digits: int) -> str:
    words = f"{100 * level:g} % {_interval_words(interval)}"
    if np.isnan(row["low"]):
        return f"no {words}"
    return f"{words} {_short(row['low'], digits)} to {_short(row['high'], digits)}"


def _short(value: float, digits: int = 2) -> str:
    """Few digits; what is 0 but for rounding errors is shown as 0."""
    return f"{round(value, 6) + 0.0:.{digits}g}"


def _interval_words(interval: IntervalKind) -> str:
    return "credible interval" if interval == "beta" else f"{_INTERVAL_NAMES[interval]} interval"


def _probability(value: float) -> str:
    """Two digits, and never a 0 or 1 that only rounding made."""
    if value > 0.995:
        return "above 0.99"
    return "below 0.01" if value < 0.005 else f"{value:.2f}"


def _values(
    models: list[Row], pairs: list[Row], settings: Settings, clustered: bool
) -> Iterator[Value]:
    interval, level, prior = settings.interval, settings.level, settings.prior
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
    answers: Answers, models: list[Row], pairs: list[Row], settings: Settings
) -> Iterator[Notice]:
    interval, as_pairs = settings.interval, settings.design == "paired"
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
    if clustered and pairs and as_pairs:
        yield Notice(
            "pairing-unused",
            "with clusters, pairs are compared as if their questions were not shared; that is "
            "cautious where models find the same questions hard",
            "leave the clusters out to see how much pairing would add",
        )
    if len(pairs) >= _MANY_PAIRS:
        by_chance = (1 - settings.level) * len(pairs)
        yield Notice(
            "many-pairs",
            f"each interval stands on its own; were all models equal, about {by_chance:.2g} of "
            f"{len(pairs)} would exclude 0 by chance",
            "name the pair of interest beforehand, or raise the level",
        )
    unshared = sum(row["shared_questions"] == 0 for row in pairs)
    if unshared and as_pairs:
        yield Notice(
            "nothing-shared",
            f"{unshared} pairs share no question and are compared as independent samples",
            "score all models on the same questions",
        )
    incomplete = int(np.isnan(answers.right).any(axis=1).sum())
    if pairs and incomplete and as_pairs and not clustered:
        yield Notice(
            "not-shared",
            f"{incomplete} questions were not answered by every model; a pair is compared on "
            "those that both answered",
            "score all models on the same questions",
        )
