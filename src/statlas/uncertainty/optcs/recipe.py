"""The recipe: a shortlist of candidates with a bound on the expected share of duds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd
from scipy.stats import ks_2samp

from statlas.core import (
    Category,
    Example,
    Features,
    InputError,
    Notice,
    Number,
    Option,
    OptionError,
    Result,
    Roles,
    SetAside,
    Status,
    Table,
    Value,
    recipe,
)
from statlas.core.numerics.proportions import wilson_interval
from statlas.core.rng import Rng
from statlas.uncertainty.optcs.fitting import (
    ModelName,
    split_predictions,
    unseen_predictions,
)
from statlas.uncertainty.optcs.selection import (
    BoolArray,
    FloatArray,
    Pruning,
    Selection,
    best_score_selection,
    clipped_scores,
    conformal_selection,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Procedure = Literal["full-best", "full", "best-score", "split"]

_FEWEST = 10  # labelled rows
_SHIFT = 1e-3  # p-value of a difference of labelled rows and candidates that is worth saying
_LARGEST_KERNEL = 4000  # rows; the kernel matrix is dense
_LEVEL = 0.95

_GUARANTEE = {
    "full-best": "in finite samples, the choice of model included",
    "full": "in finite samples, the fit included",
    "best-score": "in finite samples, the choice of score included",
    "split": "in finite samples",
}


# --- the result -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Shortlist(Result):
    """Who is shortlisted; `table` has a row a candidate, the most promising first."""

    def draw(self, figure: Figure) -> None:
        """p-values of the candidates with their limits, and the scores behind them."""
        left, right = figure.subplots(1, 2)
        figure.set_size_inches(9.6, 4.3)
        self._draw_p_values(left)
        self._draw_scores(right)

    def _draw_p_values(self, axes: Axes) -> None:
        table = self.table.sort_values("p_value", kind="stable")
        rank, picked = np.arange(1, len(table) + 1), table["selected"].to_numpy(bool)
        p = table["p_value"].to_numpy(float)
        axes.plot(rank, table["limit"], color="#666666", linewidth=1, label="limit")
        axes.plot(rank[~picked], p[~picked], "x", color="#999999", markersize=4, label="not picked")
        axes.plot(rank[picked], p[picked], "o", color="#0072B2", markersize=4, label="shortlisted")
        axes.set(xlabel="candidate, by p-value", ylabel="conformal p-value", yscale="log")
        axes.legend(fontsize=8)

    def _draw_scores(self, axes: Axes) -> None:
        from statlas.core.figures import plain_label

        shown = self.details["scores"]
        groups = [("labelled dud", "#999999"), ("labelled good", "#009E73")]
        groups += [("candidate", "#56B4E9"), ("shortlisted", "#0072B2")]
        every = np.concatenate([shown[name] for name, _ in groups])
        bins = np.linspace(every.min(), every.max() + 1e-12, 25).tolist()
        for name, colour in groups:
            axes.hist(
                shown[name], bins, histtype="step", color=colour, linewidth=1.6, label=name,
                weights=np.full(len(shown[name]), 1 / max(len(shown[name]), 1)),
            )  # fmt: skip
        axes.set_xlabel(f"score of {plain_label(shown['model'][:28])}")
        axes.set_ylabel("share of rows of the kind")
        axes.legend(fontsize=8)


# --- the recipe -----------------------------------------------------------------------------------


def _example() -> pd.DataFrame:
    """Diabetes patients, the outcome first; every third one is a candidate."""
    from sklearn.datasets import load_diabetes

    frame: pd.DataFrame = load_diabetes(as_frame=True, scaled=False).frame
    frame = frame.rename(columns={"target": "progression"})
    frame.insert(0, "progression", frame.pop("progression"))
    drawn = np.random.default_rng(0).permutation(len(frame)) % 3 == 0
    frame.insert(1, "candidate", drawn.astype(int))
    return frame


@recipe(
    "optcs",
    example=Example(
        loader=_example,
        about="442 diabetes patients; a third of them, drawn at random, play the candidates whose "
        "progression after a year is not known yet. Who will be above 150?",
        origin="scikit-learn's diabetes data (Efron, Hastie, Johnstone and Tibshirani, 2004).",
        options={"outcome": "progression", "threshold": 150.0, "fdr": 0.2},
    ),
)
def shortlist(
    rows: Annotated[
        Table,
        Roles(
            outcome=Number(
                gaps=True,
                help="what decides whether a row is good; empty for candidates",
                aliases=("y", "target", "label", "activity", "result", "response"),
            ),
            candidate=Number(
                ge=0,
                le=1,
                integer=True,
                optional=True,
                help="1 for candidates, 0 for labelled rows; an outcome of a candidate is used "
                "only to judge the shortlist afterwards",
                aliases=("is_candidate", "unlabelled", "unlabeled", "test", "is_test"),
            ),
            name=Category(
                optional=True,
                help="name of the row",
                aliases=("id", "identifier", "compound", "molecule", "applicant", "item"),
            ),
            features=Features(help="features to fit on, or scores to choose among"),
            min_rows=_FEWEST + 1,
        ),
    ],
    *,
    threshold: Annotated[
        float | None, Option(help="a row is good where its outcome is beyond this; must be given")
    ] = None,
    good: Annotated[
        Literal["above", "below"], Option(help="side of the threshold on which a row is good")
    ] = "above",
    fdr: Annotated[
        float, Option(gt=0, lt=1, help="largest expected share of duds among the picks")
    ] = 0.1,
    procedure: Annotated[
        Procedure,
        Option(
            help="full-best: fit the models on all rows and choose among them; full: fit the first "
            "model on all rows; best-score: the columns are scores (larger is better), choose one; "
            "split: fit on half of the labelled rows"
        ),
    ] = "full-best",
    models: Annotated[tuple[ModelName, ...], Option(help="models to fit, in order")] = (
        "ridge",
        "kernel",
        "forest",
    ),
    pruning: Annotated[
        Pruning,
        Option(help="draws that sharpen a choice among models: one for all, one each, or none"),
    ] = "shared",
    rng: Rng = None,
) -> Shortlist:
    """Shortlist candidates such that at most a given share of picks is expected to be duds.

    Parameters
    ----------
    rows
        Labelled rows and candidates with the same features, or the same given scores.

    Returns
    -------
    Shortlist
        `table` has a row a candidate.

    Examples
    --------
    >>> result = shortlist.run_example(models=("ridge",), procedure="full")
    >>> bool(result.table["selected"].sum() > 0)
    True
    """
    generator = np.random.default_rng(rng)
    read = _read(rows, threshold, good)
    names, predictions, used = _predictions(read, procedure, models, generator)
    labelled = clipped_scores(predictions[:, used], read.good[used])
    new = -predictions[:, read.candidate]
    if procedure in ("full-best", "best-score"):
        found = best_score_selection(labelled, new, fdr, pruning, generator)
    else:
        found = conformal_selection(labelled[0], new[0], fdr)
    table = _table(read, found, predictions[:, read.candidate], names)
    values = _values(read, found, fdr, procedure)
    status, advice, shifted = _status(read)
    return Shortlist(
        headline=_headline(read, found, values, fdr, procedure, threshold, good),
        table=table,
        values=values,
        details={"scores": _scores_shown(read, found, predictions, names), "shifted": shifted},
        status=status,
        advice=advice,
        warnings=tuple(_notices(read, found, int(used.sum()), fdr)),
        set_aside=read.set_aside,
    )


# --- reading --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Rows:
    """The usable rows."""

    features: FloatArray  # (n, n_features)
    columns: list[str]
    candidate: BoolArray  # (n,)
    good: BoolArray  # (n,), False where not known
    known: BoolArray  # (n,), whether the outcome is there, candidates included
    names: list[str]
    set_aside: tuple[SetAside, ...]


def _read(rows: Table, threshold: float | None, good: str) -> _Rows:
    if threshold is None:
        raise OptionError(
            "option 'threshold' must be given: the outcome beyond which a row counts as good"
        )
    outcome = rows.number("outcome")
    column = str(rows.columns["outcome"])
    known = np.isfinite(outcome)
    candidate = rows.number("candidate") == 1 if rows.has("candidate") else ~known
    keep = candidate | known
    lost = int((~keep).sum())
    aside = (SetAside(f"missing value in column {column!r} of a labelled row", lost),)
    features, columns = rows.features()
    if rows.has("name"):
        factor = rows.factor("name")
        names = [factor.levels[code] for code in factor.codes[keep]]
    else:
        names = [str(place + 1) for place in np.flatnonzero(keep)]
    with np.errstate(invalid="ignore"):
        beyond = outcome > threshold if good == "above" else outcome < threshold
    read = _Rows(
        features[keep], columns, candidate[keep], beyond[keep], known[keep], names,
        aside if lost else (),
    )  # fmt: skip
    _check(read, column, rows.has("candidate"))
    return read


def _check(read: _Rows, column: str, marked: bool) -> None:
    n_labelled = int((~read.candidate).sum())
    if not read.candidate.any():
        raise InputError(
            "every row has an outcome, so there is no candidate" if not marked
            else "no row is marked as a candidate",
            column=column,
            remedy="leave the outcome of candidates empty and pass missing='drop', or mark them "
            "in a column: candidate=COLUMN",
        )  # fmt: skip
    if n_labelled < _FEWEST:
        raise InputError(
            f"{n_labelled} labelled rows; a shortlist needs {_FEWEST}",
            column=column,
            remedy="give more rows with an outcome",
        )


def _predictions(
    read: _Rows, procedure: Procedure, models: tuple[ModelName, ...], rng: np.random.Generator
) -> tuple[list[str], FloatArray, BoolArray]:
    """Names of the scores, scores of all rows (n_scores, n), and the rows that calibrate."""
    labelled = ~read.candidate
    if procedure == "best-score":
        return read.columns, read.features.T, labelled
    if not models:
        raise OptionError("option 'models' is empty; name at least one of ridge, kernel, forest")
    if len(set(models)) < len(models):
        raise OptionError(f"option 'models' names a model twice: {', '.join(models)}")
    chosen = list(models if procedure == "full-best" else models[:1])
    if "kernel" in chosen and len(read.good) > _LARGEST_KERNEL:
        raise OptionError(
            f"option 'models' has 'kernel', which takes at most {_LARGEST_KERNEL} rows; there are "
            f"{len(read.good)}; leave it out"
        )
    target = (read.good & labelled).astype(float)
    if procedure == "split":
        fitting = np.zeros(len(target), dtype=bool)
        fitting[rng.permutation(np.flatnonzero(labelled))[: labelled.sum() // 2]] = True
        scores = split_predictions(chosen[0], read.features, target, fitting, rng)
        return list(chosen), scores[None], labelled & ~fitting
    scores = np.stack([unseen_predictions(m, read.features, target, rng) for m in chosen])
    return list(chosen), scores, labelled


# --- the answer -----------------------------------------------------------------------------------


def _table(read: _Rows, found: Selection, scores: FloatArray, names: list[str]) -> pd.DataFrame:
    picked = np.flatnonzero(read.candidate)
    own = np.take_along_axis(scores, found.chosen[None], axis=0)[0]
    columns: dict[str, Any] = {
        "candidate": [read.names[place] for place in picked],
        "selected": found.selected,
        "p_value": found.p_value,
        "limit": found.threshold,
        "score_of": [names[place] for place in found.chosen],
        "score": own,
    }
    if read.known[read.candidate].any():
        truth = np.where(read.good, "good", "dud")
        columns["outcome"] = np.where(read.known, truth, "not known")[read.candidate]
    table = pd.DataFrame(columns)
    order = np.lexsort((-own, found.p_value, ~found.selected))
    return table.iloc[order].reset_index(drop=True)


def _values(read: _Rows, found: Selection, fdr: float, procedure: Procedure) -> tuple[Value, ...]:
    labelled = ~read.candidate
    picks, n = int(found.selected.sum()), int(labelled.sum())
    n_good = int(read.good[labelled].sum())
    low, high = wilson_interval(n_good, n, _LEVEL)
    values = [
        Value("candidates shortlisted", picks, unit="rows", why_no_interval="a count"),
        Value(
            "bound on the expected share of duds", fdr, unit="share of picks",
            method=f"false discovery rate, {_GUARANTEE[procedure]}",
            why_no_interval="a guarantee on average over tables, not an estimate",
        ),
        Value(
            "good among labelled rows", n_good / n, float(low), float(high), _LEVEL,
            unit="share of rows", method="Wilson",
        ),
    ]  # fmt: skip
    judged = found.selected & read.known[read.candidate]
    if judged.any():
        duds = int((judged & ~read.good[read.candidate]).sum())
        low, high = wilson_interval(duds, int(judged.sum()), _LEVEL)
        values.append(
            Value(
                "duds among picks with known outcome", duds / int(judged.sum()), float(low),
                float(high), _LEVEL, unit="share of picks", method="Wilson",
            )
        )  # fmt: skip
    return tuple(values)


def _headline(
    read: _Rows, found: Selection, values: tuple[Value, ...], fdr: float, procedure: Procedure,
    threshold: float | None, good: str,
) -> str:  # fmt: skip
    picks, m = int(found.selected.sum()), len(found.selected)
    dud = f"outcome {'at most' if good == 'above' else 'at least'} {threshold:g}"
    base = values[2]
    start = f"{picks or 'None'} of {m} candidates {'is' if picks == 1 else 'are'} shortlisted"
    text = (
        f"{start}: over tables drawn like this one at most {100 * fdr:g} % of the picks are duds "
        f"({dud}) on average, {_GUARANTEE[procedure]}; of the labelled rows "
        f"{_percent(base)} are good"
    )
    if len(values) > 3:
        text += f"; of the picks whose outcome is known {_percent(values[3])} turned out duds"
    return text + "."


def _percent(value: Value) -> str:
    estimate, low, high = (100 * (part or 0.0) for part in (value.estimate, value.low, value.high))
    return f"{estimate:.0f} % ({100 * _LEVEL:g} % interval {low:.0f} to {high:.0f} %)"


def _scores_shown(
    read: _Rows, found: Selection, predictions: FloatArray, names: list[str]
) -> dict[str, Any]:
    """Scores by kind of row for the figure, of the score that most candidates prefer."""
    most = int(np.bincount(found.chosen).argmax())
    scores, labelled = predictions[most], ~read.candidate
    new = scores[read.candidate]
    return {
        "model": names[most],
        "labelled dud": scores[labelled & ~read.good],
        "labelled good": scores[labelled & read.good],
        "candidate": new,
        "shortlisted": new[found.selected],
    }


def _status(read: _Rows) -> tuple[Status, str, list[str]]:
    """Whether candidates and labelled rows look exchangeable, column by column (Bonferroni)."""
    n_columns = read.features.shape[1]
    p = np.array(
        [
            ks_2samp(column[read.candidate], column[~read.candidate], method="asymp").pvalue
            for column in read.features.T
        ]
    )
    shifted = [read.columns[place] for place in np.flatnonzero(p * n_columns < _SHIFT)]
    if not shifted:
        return Status.OK, "", []
    return (
        Status.ASSUMPTION_DOUBTFUL,
        f"candidates differ from labelled rows in {', '.join(map(repr, shifted[:3]))}"
        f"{' and more' if len(shifted) > 3 else ''}; the guarantee holds only where "
        "both come from one source, so label a random part of the candidates",
        shifted,
    )


def _notices(read: _Rows, found: Selection, n_used: int, fdr: float) -> Iterator[Notice]:
    m = len(found.selected)
    # One pick needs a p-value of at most fdr / m, and none is below 1 / (n + 1).
    together = int(np.ceil(m / (fdr * (n_used + 1)) - 1e-9))
    if together > 1:
        yield Notice(
            "coarse",
            f"with {n_used} labelled rows to compare with and {m} candidates no p-value is small "
            f"enough unless some {together} candidates look good together",
            "label more rows, or ask about fewer candidates",
        )
    n_good = int(read.good[~read.candidate].sum())
    n = int((~read.candidate).sum())
    if n_good in (0, n):
        kind = "dud" if n_good == 0 else "good"
        yield Notice(
            "one-kind",
            f"every labelled row is {kind}, so nothing can be learned about what makes a row good",
            "check the threshold and its side",
        )
    if not found.selected.any():
        yield Notice(
            "nobody",
            "no candidate can be told from duds well enough",
            "allow a larger fdr, label more rows, or bring better features",
        )
