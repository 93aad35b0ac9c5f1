"""The recipe: cross-fitted predictions with their doubt in parts, or the guide to the families."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats
from sklearn.model_selection import KFold, StratifiedKFold

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
    Table,
    Value,
    recipe,
)
from statlas.core.numerics.proportions import wilson_interval
from statlas.core.progress import track
from statlas.core.rng import Rng, sklearn_seed
from statlas.models.training import require_torch
from statlas.uncertainty.evidential.dirichlet import mean_probabilities
from statlas.uncertainty.evidential.estimators import (
    EvidentialClassifier,
    EvidentialRegressor,
    class_uncertainty,
    number_uncertainty,
)
from statlas.uncertainty.evidential.inverse_gamma import NormalInverseGamma
from statlas.uncertainty.evidential.losses import CLASS_LOSSES, NUMBER_LOSSES, ClassFamily
from statlas.uncertainty.evidential.scores import area_gain, area_interval
from statlas.uncertainty.evidential.taxonomy import BRANCHES, TAXONOMY

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

_FEWEST = 30
_BINS = 8
_LEVELS = np.linspace(0.1, 0.9, 9)


# --- the results ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class EvidentialReport(Result):
    """Predictions with aleatoric and epistemic parts; `table` has a row a row of the input."""

    @property
    def comparison(self) -> pd.DataFrame:
        """A row a family: how right, how calibrated, how well doubt finds strange rows."""
        return pd.DataFrame(self.details["comparison"])

    def draw(self, figure: Figure) -> None:
        """Left: calibration. Right: doubt of rows predicted well, predicted badly, and strange."""
        figure.set_size_inches(9.8, 4.3)
        left, right = figure.subplots(1, 2)
        self._draw_calibration(left)
        self._draw_doubt(right)

    def _draw_calibration(self, axes: Axes) -> None:
        curve = self.details["calibration"]
        x, y = np.array(curve["stated"]), np.array(curve["observed"])
        spread = np.abs(np.array([curve["low"], curve["high"]]) - y)
        axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, label="calibrated")
        axes.errorbar(x, y, spread, fmt="o-", color="#0072B2", capsize=2, label="observed")
        axes.set(xlabel=curve["x_name"], ylabel=curve["y_name"])
        low = min(float(np.min(x)), float(np.min(curve["low"])))
        axes.set_xlim(max(low - 0.05, 0), 1.02)
        axes.set_ylim(max(low - 0.05, 0), 1.02)
        axes.legend(loc="upper left", fontsize=8)

    def _draw_doubt(self, axes: Axes) -> None:
        name = self.details["doubt"]
        doubt = self.table[name].to_numpy(float)
        kind = self.table["kind"].to_numpy(str)
        positive = doubt[np.isfinite(doubt) & (doubt > 0)]
        if name == "epistemic" and len(positive):
            floor = float(positive.min())
            edges = np.geomspace(floor * 0.99, max(float(positive.max()), floor * 1.1) * 1.01, 25)
            axes.set_xscale("log")
            doubt = np.maximum(doubt, floor)
        else:
            edges = np.linspace(doubt.min() - 1e-9, doubt.max() + 1e-9, 25)
        colours = {"outside": "#D55E00"}
        for place, label in enumerate(dict.fromkeys(self.details["kinds"])):
            rows = doubt[kind == label]
            if len(rows):
                axes.hist(
                    rows, edges.tolist(), weights=np.full(len(rows), 1 / len(rows)),
                    histtype="step", linewidth=1.6, label=f"{label} ({len(rows)} rows)",
                    color=colours.get(label, ("#0072B2", "#E69F00")[place % 2]),
                )  # fmt: skip
        axes.set(xlabel=f"{name} uncertainty (nats)", ylabel="share of rows of the kind")
        axes.legend(fontsize=8)


@dataclass(frozen=True, kw_only=True)
class FamilyGuide(Result):
    """The survey's taxonomy; `table` has a row an approach, with the command that runs it."""

    def draw(self, figure: Figure) -> None:
        """Number of approaches of each branch that run here and that do not."""
        from statlas.core.figures import PALETTE

        axes = figure.subplots()
        runs = self.table["family"] != ""
        left = np.zeros(len(BRANCHES))
        for label, colour, mask in (
            ("runs here", PALETTE[0], runs),
            ("not here", "#d9d9d9", ~runs),
        ):
            counts = self.table[mask].groupby("branch").size()
            widths = counts.reindex(list(BRANCHES), fill_value=0).to_numpy(float)
            axes.barh(list(BRANCHES.values()), widths, left=left, color=colour, label=label)
            left += widths
        axes.invert_yaxis()
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("approaches of the survey's taxonomy (number)")
        figure.legend(loc="outside upper right", ncols=2)


# --- the recipe -----------------------------------------------------------------------------------


def _example() -> pd.DataFrame:
    """Digits 0 to 4 to learn from, and some of 7 and 9 that no training ever sees."""
    from sklearn.datasets import load_digits

    images, digits = load_digits(return_X_y=True)
    known, strange = np.flatnonzero(digits < 5)[:260], np.flatnonzero(np.isin(digits, (7, 9)))[:60]
    rows = np.sort(np.concatenate([known, strange]))
    moving = images[rows].std(axis=0) > 0
    columns = [f"pixel {place // 8 + 1}.{place % 8 + 1}" for place in np.flatnonzero(moving)]
    frame = pd.DataFrame(images[rows][:, moving], columns=columns)
    frame.insert(0, "digit", [f"digit {digit}" for digit in digits[rows]])
    frame.insert(1, "outside", (digits[rows] >= 5).astype(int))
    return frame


@recipe(
    "evidential",
    example=Example(
        loader=_example,
        about="260 handwritten digits from 0 to 4, and 60 of 7 and 9 that play what the network "
        "never saw. Does it know that it does not know them?",
        origin="scikit-learn's digits (Alpaydin and Kaynak, UCI, CC BY 4.0).",
        options={"label": "digit", "folds": 3, "epochs": 25},
    ),
)
def evidential_networks(
    rows: Annotated[
        Table | None,
        Roles(
            label=Category(
                optional=True, help="class to predict", aliases=("class", "category", "species")
            ),
            target=Number(
                optional=True,
                help="number to predict, in place of a label",
                aliases=("y", "outcome", "response", "value"),
            ),
            outside=Number(
                ge=0,
                le=1,
                integer=True,
                optional=True,
                help="1 for rows from outside the distribution; their label or target is not used",
                aliases=("ood", "is_ood", "out_of_distribution", "novel"),
            ),
            features=Features(help="features to predict from"),
            min_rows=_FEWEST,
        ),
    ] = None,
    *,
    family: Annotated[
        ClassFamily | None,
        Option(
            help="how the network is trained; none is belief-matching for labels, evidential for "
            "numbers; the prior networks and the precision gap need outside rows; numbers take "
            "natural-posterior, evidential or plain"
        ),
    ] = None,
    compare: Annotated[
        tuple[ClassFamily, ...], Option(help="families to train beside it on the same folds")
    ] = ("plain",),
    weight: Annotated[
        float | None,
        Option(ge=0, help="weight of the family's regulariser; none takes the family's default"),
    ] = None,
    folds: Annotated[int, Option(ge=2, le=20, help="folds of the cross-fitting")] = 5,
    hidden: Annotated[int, Option(ge=2, le=1024, help="units of each of two hidden layers")] = 64,
    epochs: Annotated[
        int, Option(ge=1, help="largest number of passes; training stops early by itself")
    ] = 100,
    level: Annotated[float, Option(gt=0, lt=1, help="confidence level of the intervals")] = 0.95,
    rng: Rng = None,
) -> Result:
    """Predict each row by a network that did not see it, with its doubt in two parts.

    Without a table it is a guide: the survey's taxonomy, with the command that runs each approach.

    Parameters
    ----------
    rows
        Features and a label or a number to predict.

    Returns
    -------
    EvidentialReport or FamilyGuide
        `table` has a row a row of the input, in its order; or a row an approach.

    Examples
    --------
    >>> guide = evidential_networks()
    >>> sorted(guide.table.loc[guide.table["task"] == "number", "family"].unique())
    ['', 'evidential', 'natural-posterior']
    """
    if rows is None:
        return _guide()
    require_torch()
    generator = np.random.default_rng(rng)
    problem = _read(rows, folds)
    if family is None:
        family = "belief-matching" if problem.classifies else "evidential"
    families = tuple(dict.fromkeys((family, *compare)))
    _check_family(problem, family, folds)
    chosen = [name for name in families if problem.admits(name) or name == family]
    task = _Classes(problem) if problem.classifies else _Numbers(problem)
    settings = {"hidden": hidden, "epochs": epochs}
    fits = _cross_fit(problem, task, chosen, family, weight, folds, settings, generator)
    comparison = [_compared(problem, task, name, fits[name], level) for name in chosen]
    doubt = "total" if family == "plain" else "epistemic"
    kinds = [*task.kinds, "outside"]
    values = tuple(_values(problem, task, comparison, fits, family, level))
    return EvidentialReport(
        headline=_headline(problem, task, family, values, level),
        table=task.table(fits[family], family),
        values=values,
        details={
            "comparison": comparison,
            "calibration": task.calibration(fits[family], level),
            "doubt": doubt,
            "kinds": kinds,
            "guide": _guide_rows(),
        },
        options={"family": family},
        warnings=tuple(_notices(problem, values, family, fits)),
    )


# --- reading --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Problem:
    """The usable rows."""

    features: FloatArray  # (n, n_features)
    outside: BoolArray  # (n,)
    labels: list[str]  # names of the classes; empty for numbers
    codes: IntArray  # (n,) class of each row, -1 outside; empty for numbers
    target: FloatArray  # (n,), empty for labels
    column: str

    @property
    def classifies(self) -> bool:
        return bool(self.labels)

    def admits(self, family: str) -> bool:
        """Whether a family can be trained on these rows."""
        if not self.classifies:
            return family in NUMBER_LOSSES
        return CLASS_LOSSES[family].outside is None or bool(self.outside.any())  # type: ignore[index]


def _read(rows: Table, folds: int) -> _Problem:
    if rows.has("label") == rows.has("target"):
        both = "both a label and a target were" if rows.has("label") else "no label or target was"
        raise InputError(
            f"{both} found among the columns, and one is needed",
            column=str(rows.columns["target"]) if rows.has("label") else None,
            remedy="name one with label=COLUMN (classes) or target=COLUMN (numbers)",
        )
    features, names = rows.features()
    outside = rows.number("outside") == 1 if rows.has("outside") else np.zeros(len(features), bool)
    if outside.all() or np.ptp(features[~outside], axis=0).max() == 0:
        raise InputError(
            "no feature varies among the rows that are not marked as outside",
            column=names[0],
            remedy="give features that vary",
        )
    if rows.has("target"):
        target, column = rows.number("target"), str(rows.columns["target"])
        if np.ptp(target[~outside]) == 0:
            raise InputError("all values are equal", column=column, remedy="give numbers that vary")
        if (~outside).sum() < 2 * folds:
            raise InputError(
                f"{int((~outside).sum())} rows are not marked as outside, too few for {folds} folds"
            )
        return _Problem(features, outside, [], np.array([], int), target, column)
    factor, column = rows.factor("label"), str(rows.columns["label"])
    # In the order of names, so that labels of outside rows cannot change it.
    levels = np.array(factor.levels)
    labels, found = np.unique(levels[factor.codes[~outside]], return_inverse=True)
    used = labels.tolist()
    if len(used) < 2:
        raise InputError(
            f"at least 2 classes are needed among rows not marked as outside; found {len(used)}",
            column=column,
            remedy="give rows of another class",
        )
    codes = np.full(len(features), -1)
    codes[~outside] = found
    sizes = np.bincount(codes[~outside])
    if sizes.min() < folds:
        name = used[int(sizes.argmin())]
        raise InputError(
            f"the class {name!r} has {sizes.min()} rows, too few for {folds} folds",
            column=column,
            remedy="lower folds, or leave the class out",
        )
    return _Problem(features, outside, used, codes, np.array([]), column)


def _check_family(problem: _Problem, family: ClassFamily, folds: int) -> None:
    if not problem.classifies and family not in NUMBER_LOSSES:
        raise OptionError(
            f"option 'family' must be one of {', '.join(NUMBER_LOSSES)} for a number; got "
            f"{family!r}"
        )
    wanting = problem.classifies and CLASS_LOSSES[family].outside is not None
    if wanting and problem.outside.sum() < 2 * folds:
        raise InputError(
            f"the family {family!r} trains on outside rows, and {int(problem.outside.sum())} rows "
            "are marked as outside",
            remedy=f"mark at least {2 * folds} with outside=COLUMN, or choose another family",
        )


# --- the two tasks --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Fit:
    """Out-of-fold answers of one family: concentrations (n, n_classes) or parameters (n, 4)."""

    answers: FloatArray
    fold: IntArray
    unfinished: int = 0


class _Classes:
    """What is asked of labels."""

    kinds = ("right", "wrong")
    unit = "share of rows"

    def __init__(self, problem: _Problem):
        self.problem = problem
        self.width = len(problem.labels)

    def model(self, family: Any, **settings: Any) -> Any:
        return EvidentialClassifier(family, **settings)

    def fit(self, model: Any, train: IntArray, strange: IntArray) -> None:
        p = self.problem
        given = {}
        if CLASS_LOSSES[model.family].outside is not None:
            given["outside"] = p.features[strange]
        model.fit(p.features[train], p.codes[train], **given)

    def answer(self, model: Any, features: FloatArray) -> FloatArray:
        return np.asarray(model.concentration(features))

    def parts(self, answers: FloatArray) -> dict[str, FloatArray]:
        parts = class_uncertainty(answers)
        return parts | {"ignorance": 1 - mean_probabilities(answers).max(axis=1)}

    def good(self, fit: _Fit) -> BoolArray:
        """Whether each row is predicted right."""
        return np.asarray(fit.answers.argmax(axis=1) == self.problem.codes)

    def scores(self, fit: _Fit, level: float) -> dict[str, Any]:
        inside = ~self.problem.outside
        good, p = self.good(fit)[inside], mean_probabilities(fit.answers[inside])
        low, high = wilson_interval(good.sum(), len(good), level)
        true = p[np.arange(len(p)), self.problem.codes[inside]]
        gap = p.max(axis=1) - good
        gap_low, gap_high = _student(gap, level)
        return {
            "accuracy": float(good.mean()),
            "accuracy_low": float(low),
            "accuracy_high": float(high),
            "log_loss": float(-np.log(true).mean()),
            "confidence_minus_accuracy": float(gap.mean()),
            "gap_low": gap_low,
            "gap_high": gap_high,
        }

    def values(self, scores: dict[str, Any], level: float) -> Iterator[Value]:
        yield Value(
            "accuracy", scores["accuracy"], scores["accuracy_low"], scores["accuracy_high"], level,
            unit="share of rows", method="Wilson",
        )  # fmt: skip
        yield Value(
            "confidence minus accuracy", scores["confidence_minus_accuracy"], scores["gap_low"],
            scores["gap_high"], level, unit="probability", method="Student's t over rows",
        )  # fmt: skip

    def said(self, values: dict[str, Value]) -> str:
        accuracy, gap = values["accuracy"], values["confidence minus accuracy"]
        points = 100 * _number(gap)
        return (
            f"labels {100 * _number(accuracy):.1f} % of {int((~self.problem.outside).sum())} rows "
            f"right ({_range(accuracy, 100, '.1f')} %), with a confidence {abs(points):.1f} points "
            f"{'above' if points > 0 else 'below'} that ({_range(gap, 100, '+.1f')})"
        )

    def errors_found(self, fit: _Fit, level: float) -> Iterator[Value]:
        """How well the doubt of a row says that its label will be wrong."""
        ignorance = self.parts(fit.answers)["ignorance"]
        good, inside = self.good(fit), ~self.problem.outside
        area = _area(ignorance[inside & ~good], ignorance[inside & good], level)
        if area is not None:
            yield Value(
                "detection of errors by largest probability", *area, level,
                unit="area under the ROC curve", method="DeLong, logit scale",
            )  # fmt: skip

    def table(self, fit: _Fit, family: str) -> pd.DataFrame:
        p = self.problem
        kind = np.where(p.outside, "outside", np.where(self.good(fit), "right", "wrong"))
        true = [p.labels[code] if code >= 0 else "" for code in p.codes]
        best = fit.answers.argmax(axis=1)
        columns: dict[str, Any] = {
            "row": np.arange(1, len(kind) + 1),
            "kind": kind,
            "actual": true,
            "predicted": [p.labels[code] for code in best],
            "confidence": mean_probabilities(fit.answers).max(axis=1),
        }
        return pd.DataFrame(columns | _shown_parts(class_uncertainty(fit.answers), family, fit))

    def calibration(self, fit: _Fit, level: float) -> dict[str, Any]:
        """Accuracy in bins of equal size by confidence."""
        inside = ~self.problem.outside
        stated = mean_probabilities(fit.answers[inside]).max(axis=1)
        good = self.good(fit)[inside]
        bins = np.array_split(np.argsort(stated, kind="stable"), min(_BINS, len(stated) // 4))
        right = np.array([good[rows].sum() for rows in bins])
        sizes = np.array([len(rows) for rows in bins])
        low, high = wilson_interval(right, sizes, level)
        return {
            "stated": [float(stated[rows].mean()) for rows in bins],
            "observed": (right / sizes).tolist(),
            "low": low.tolist(),
            "high": high.tolist(),
            "x_name": "stated confidence (bins of equally many rows)",
            "y_name": "share of rows labelled right",
        }


class _Numbers:
    """What is asked of numbers."""

    kinds = ("inside the interval", "missed by the interval")
    unit = ""
    width = 4

    def __init__(self, problem: _Problem):
        self.problem = problem
        self.unit = problem.column

    def model(self, family: Any, **settings: Any) -> Any:
        return EvidentialRegressor(family, **settings)

    def fit(self, model: Any, train: IntArray, strange: IntArray) -> None:
        model.fit(self.problem.features[train], self.problem.target[train])

    def answer(self, model: Any, features: FloatArray) -> FloatArray:
        found = model.distribution(features)
        return np.column_stack([found.location, found.evidence, found.shape, found.scale])

    def parts(self, answers: FloatArray) -> dict[str, FloatArray]:
        parts = number_uncertainty(NormalInverseGamma.of(*answers.T))
        return parts | {"ignorance": parts["total"]}

    def covered(self, fit: _Fit, level: float) -> BoolArray:
        low, high = NormalInverseGamma.of(*fit.answers.T).interval(level)
        return np.asarray((low <= self.problem.target) & (self.problem.target <= high))

    def good(self, fit: _Fit) -> BoolArray:
        """Whether the interval of level 0.9 covers."""
        return self.covered(fit, 0.9)

    def scores(self, fit: _Fit, level: float) -> dict[str, Any]:
        inside = ~self.problem.outside
        y = self.problem.target[inside]
        error = np.abs(fit.answers[inside, 0] - y)
        covered = self.good(fit)[inside]
        low, high = wilson_interval(covered.sum(), len(covered), level)
        error_low, error_high = _student(error, level)
        found = NormalInverseGamma.of(*fit.answers[inside].T)
        return {
            "mean_absolute_error": float(error.mean()),
            "error_low": error_low,
            "error_high": error_high,
            "log_loss": float(-found.log_density(y).mean()),
            "coverage": float(covered.mean()),
            "coverage_low": float(low),
            "coverage_high": float(high),
        }

    def values(self, scores: dict[str, Any], level: float) -> Iterator[Value]:
        yield Value(
            "mean absolute error", scores["mean_absolute_error"], scores["error_low"],
            scores["error_high"], level, unit=self.unit, method="Student's t over rows",
        )  # fmt: skip
        yield Value(
            "coverage of 90 % intervals", scores["coverage"], scores["coverage_low"],
            scores["coverage_high"], level, unit="share of rows", method="Wilson",
        )  # fmt: skip

    def said(self, values: dict[str, Value]) -> str:
        error, cover = values["mean absolute error"], values["coverage of 90 % intervals"]
        return (
            f"misses {self.unit!r} by {_number(error):.4g} on average over "
            f"{int((~self.problem.outside).sum())} rows ({_range(error, 1, '.4g')}); its 90 % "
            f"intervals cover {100 * _number(cover):.0f} % ({_range(cover, 100, '.0f')} %)"
        )

    def errors_found(self, fit: _Fit, level: float) -> Iterator[Value]:
        """Whether rows of larger doubt have larger errors."""
        inside = ~self.problem.outside
        error = np.abs(fit.answers[inside, 0] - self.problem.target[inside])
        rank = float(stats.spearmanr(self.parts(fit.answers)["total"][inside], error)[0])
        # Fisher's transformation with Bonett and Wright's standard error for ranks.
        half = stats.norm.ppf((1 + level) / 2) * np.sqrt((1 + rank**2 / 2) / (len(error) - 3))
        middle = np.arctanh(np.clip(rank, -1 + 1e-9, 1 - 1e-9))
        yield Value(
            "rank correlation of total uncertainty and error", rank,
            float(np.tanh(middle - half)), float(np.tanh(middle + half)), level,
            method="Spearman, Fisher's transformation",
        )  # fmt: skip

    def table(self, fit: _Fit, family: str) -> pd.DataFrame:
        p = self.problem
        found = NormalInverseGamma.of(*fit.answers.T)
        low, high = found.interval(0.9)
        kind = np.where(p.outside, "outside", np.where(self.good(fit), *self.kinds))
        columns: dict[str, Any] = {
            "row": np.arange(1, len(kind) + 1),
            "kind": kind,
            "actual": np.where(p.outside, np.nan, p.target),
            "predicted": found.location,
            "low_90": low,
            "high_90": high,
            "aleatoric_deviation": np.sqrt(_finite(found.aleatoric_variance)),
            "epistemic_deviation": np.sqrt(_finite(found.epistemic_variance)),
        }
        if family == "plain":
            columns["epistemic_deviation"] = np.nan
        return pd.DataFrame(columns | _shown_parts(number_uncertainty(found), family, fit))

    def calibration(self, fit: _Fit, level: float) -> dict[str, Any]:
        """Observed coverage of central intervals of nine levels."""
        inside = ~self.problem.outside
        n = int(inside.sum())
        hits = np.array([self.covered(fit, float(at))[inside].sum() for at in _LEVELS])
        low, high = wilson_interval(hits, n, level)
        return {
            "stated": _LEVELS.tolist(),
            "observed": (hits / n).tolist(),
            "low": low.tolist(),
            "high": high.tolist(),
            "x_name": "nominal level of the interval",
            "y_name": "share of rows covered",
        }


_Task = _Classes | _Numbers


def _finite(values: FloatArray) -> FloatArray:
    """Infinite variances as NaN: a table cannot hold them."""
    return np.where(np.isfinite(values), values, np.nan)


def _shown_parts(parts: dict[str, FloatArray], family: str, fit: _Fit) -> dict[str, Any]:
    """Columns of the doubt; a plain network has no epistemic part."""
    shown: dict[str, Any] = dict(parts)
    if family == "plain":
        shown["epistemic"] = shown["evidence"] = np.full(len(fit.fold), np.nan)
        shown["aleatoric"] = shown["total"]
    return shown | {"fold": fit.fold + 1}


def _student(values: FloatArray, level: float) -> tuple[float, float]:
    half = stats.t.ppf((1 + level) / 2, len(values) - 1) * stats.sem(values)
    return float(values.mean() - half), float(values.mean() + half)


def _number(value: Value) -> float:
    return float(value.estimate or 0.0)


def _range(value: Value, factor: float, form: str) -> str:
    low, high = factor * (value.low or 0.0), factor * (value.high or 0.0)
    return f"{low:{form}} to {high:{form}}"


# --- cross-fitting --------------------------------------------------------------------------------


def _cross_fit(
    problem: _Problem,
    task: _Task,
    families: list[ClassFamily],
    main: ClassFamily,
    weight: float | None,
    folds: int,
    settings: dict[str, Any],
    rng: np.random.Generator,
) -> dict[str, _Fit]:
    """Answers to every row of networks that saw neither it nor, outside, its fold."""
    n = len(problem.features)
    fold = _fold_of_each_row(problem, folds, rng)
    seed = sklearn_seed(rng)
    fits = {name: _Fit(np.empty((n, task.width)), fold) for name in families}
    unfinished = dict.fromkeys(families, 0)
    steps = [(name, number) for name in families for number in range(folds)]
    for name, number in track(steps, "training"):
        asked = fold == number
        train = np.flatnonzero(~asked & ~problem.outside)
        strange = np.flatnonzero(~asked & problem.outside)
        own = weight if name == main else None
        model = task.model(name, weight=own, random_state=(seed + number) % 2**32, **settings)
        task.fit(model, train, strange)
        fits[name].answers[asked] = task.answer(model, problem.features[asked])
        history = model.history_
        unfinished[name] += not history.stopped_early and history.best_epoch > 0.95 * len(
            history.train_losses
        )
    return {name: _Fit(fit.answers, fold, unfinished[name]) for name, fit in fits.items()}


def _fold_of_each_row(problem: _Problem, folds: int, rng: np.random.Generator) -> IntArray:
    fold = np.zeros(len(problem.features), dtype=np.int64)
    inside, outside = np.flatnonzero(~problem.outside), np.flatnonzero(problem.outside)
    kind: Callable[..., Any] = StratifiedKFold if problem.classifies else KFold
    splitter = kind(folds, shuffle=True, random_state=sklearn_seed(rng))
    strata = problem.codes[inside] if problem.classifies else None
    for number, (_, part) in enumerate(splitter.split(inside[:, None], strata)):
        fold[inside[part]] = number
    fold[outside] = rng.permutation(np.arange(len(outside)) % folds)
    return fold


# --- comparing ------------------------------------------------------------------------------------


def _doubt(task: _Task, family: str, fit: _Fit) -> FloatArray:
    """The score by which a family finds strange rows: epistemic; ignorance of a plain network."""
    parts = task.parts(fit.answers)
    return parts["ignorance"] if family == "plain" else parts["epistemic"]


def _compared(
    problem: _Problem, task: _Task, family: str, fit: _Fit, level: float
) -> dict[str, Any]:
    row: dict[str, Any] = {"family": family} | task.scores(fit, level)
    doubt, outside = _doubt(task, family, fit), problem.outside
    ignorance = task.parts(fit.answers)["ignorance"]
    row["outside_area"] = _area(doubt[outside], doubt[~outside], level)
    row["outside_area_by_total"] = _area(ignorance[outside], ignorance[~outside], level)
    return row


def _area(
    strange: FloatArray, familiar: FloatArray, level: float
) -> tuple[float, float, float] | None:
    if not len(strange) or not len(familiar):
        return None
    return area_interval(strange, familiar, level)


def _values(
    problem: _Problem,
    task: _Task,
    comparison: list[dict[str, Any]],
    fits: dict[str, _Fit],
    family: str,
    level: float,
) -> Iterator[Value]:
    ours = comparison[0]
    yield from task.values(ours, level)
    yield from task.errors_found(fits[family], level)
    inside = ~problem.outside
    parts = task.parts(fits[family].answers)
    if family != "plain":
        low, high = _student(parts["epistemic"][inside], level)
        yield Value(
            "mean epistemic uncertainty", float(parts["epistemic"][inside].mean()), low, high,
            level, unit="nats", method="Student's t over rows",
        )  # fmt: skip
    if not problem.outside.any():
        return
    score = "largest probability" if family == "plain" else "epistemic uncertainty"
    area, low, high = ours["outside_area"]
    yield Value(
        f"detection of outside rows by {score}", area, low, high, level,
        unit="area under the ROC curve", method="DeLong, logit scale",
    )  # fmt: skip
    doubt = _doubt(task, family, fits[family])
    for other in comparison[1:]:
        theirs = _doubt(task, other["family"], fits[other["family"]])
        gain = area_gain(
            (doubt[problem.outside], doubt[inside]), (theirs[problem.outside], theirs[inside]),
            level,
        )  # fmt: skip
        yield Value(
            f"gain in detection over {other['family']}",
            *gain,
            level,
            unit="area under the ROC curve",
            method="DeLong, paired over rows",
        )


def _headline(
    problem: _Problem,
    task: _Task,
    family: str,
    values: tuple[Value, ...],
    level: float,
) -> str:
    named = {value.name: value for value in values}
    text = f"Asked about rows it did not train on, the {family} network {task.said(named)}"
    detection = next((v for v in values if v.name.startswith("detection of outside")), None)
    if detection is not None:
        text += (
            f"; {detection.name.partition(' by ')[2]} ranks an outside row above another with "
            f"probability {_number(detection):.3f} ({_range(detection, 1, '.3f')})"
        )
        gain = named.get("gain in detection over plain")
        if gain is not None:
            text += (
                f", {_number(gain):+.3f} ({_range(gain, 1, '+.3f')}) beside the doubt of a plain "
                "network"
            )
    return f"{text} ({100 * level:g} % intervals)."


def _notices(
    problem: _Problem,
    values: tuple[Value, ...],
    family: ClassFamily,
    fits: dict[str, _Fit],
) -> Iterator[Notice]:
    named = {value.name: value for value in values}
    yield Notice(
        "guide",
        "this is one of several families of the survey",
        "`statlas run evidential` lists them; try --family or --compare",
    )
    if family != "plain":
        yield Notice(
            "epistemic-scale",
            "epistemic uncertainty of one network orders rows; its size is set by the training "
            "loss and need not shrink as rows are added",
            "use it to rank, and an ensemble where its size matters",
        )
    if problem.classifies and CLASS_LOSSES[family].outside is not None:
        yield Notice(
            "trained-on-outside",
            "the family trained on outside rows of other folds, so detection is of rows like those",
            "mark rows of several origins, or judge on outside rows of a new origin",
        )
    gap = named.get("confidence minus accuracy")
    cover = named.get("coverage of 90 % intervals")
    gap_off = gap is not None and gap.low is not None and gap.high is not None
    if gap_off and (gap.low > 0 or gap.high < 0):  # type: ignore[union-attr, operator]
        word = "above" if _number(gap) > 0 else "below"  # type: ignore[arg-type]
        yield Notice(
            "miscalibrated",
            f"stated confidence is {word} accuracy",
            "recalibrate on rows set aside, or change `weight`",
        )
    if cover is not None and not (cover.low or 0) <= 0.9 <= (cover.high or 0):
        yield Notice(
            "miscalibrated",
            f"intervals of 90 % cover {100 * _number(cover):.0f} %",
            "calibrate them on rows set aside, as conformal methods do",
        )
    detection = next((v for v in values if v.name.startswith("detection of outside")), None)
    if detection is not None and (detection.high or 1) < 0.5:
        yield Notice(
            "strange-looks-familiar",
            "outside rows get more evidence than the others: the encoder maps them onto a class",
            "compare families, or train a prior network on outside rows",
        )
    if 2 * fits[family].unfinished > int(fits[family].fold.max()) + 1:
        yield Notice(
            "still-improving",
            "in most folds the validation loss was still falling when the epochs ran out",
            "raise epochs",
        )


# --- the guide ------------------------------------------------------------------------------------


def _guide_rows() -> list[dict[str, str]]:
    rows = []
    for item in TAXONOMY:
        outside = " --outside COLUMN" if item.branch == "prior, outside rows" else ""
        command = f"statlas run evidential TABLE --{'label' if item.task == 'label' else 'target'} "
        command += f"COLUMN{outside} --family {shlex.quote(item.family)}"
        rows.append(
            {
                "branch": item.branch,
                "approach": item.name,
                "task": item.task,
                "family": item.family,
                "learns": item.learns,
                "watch_for": item.watch_for,
                "source": item.source,
                "command": command if item.family else "",
            }
        )
    return rows


def _guide() -> FamilyGuide:
    table = pd.DataFrame(_guide_rows())
    runs = int((table["family"] != "").sum())
    return FamilyGuide(
        headline=f"Of {len(table)} approaches of the survey's taxonomy {runs} run here on a table "
        "of features and a label or a number; the column `command` says how.",
        table=table,
        values=(
            Value("approaches", len(table), why_no_interval="a count"),
            Value("approaches that run here", runs, why_no_interval="a count"),
        ),
    )
