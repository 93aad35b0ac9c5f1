"""The recipe: the calibration error of one or several models, with intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd

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
    Status,
    Table,
    Value,
    recipe,
)
from statlas.core.class_probabilities import read_class_probabilities
from statlas.core.numerics.proportions import wilson_interval
from statlas.core.rng import Rng
from statlas.uncertainty.ece_interval.bins import BinKind, assign_bins, is_fine_enough
from statlas.uncertainty.ece_interval.estimation import (
    ErrorInterval,
    FloatArray,
    IntArray,
    error_interval,
    squared_interval,
    top_probabilities,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_POINTS, _CURVES, _SHOWN = 12, 4, 12  # points of a reliability curve, curves, models in the figure
_FEWEST, _FEW = 20, 200  # rows of a model
_DISTINCT = 20  # different predictions below which they are taken one by one
_METHOD = "normal, adapted to zero; Sun et al."


# --- the result ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class CalibrationReport(Result):
    """Calibration errors; `table` has a row a model."""

    def draw(self, figure: Figure) -> None:
        """Reliability curves, and the error of each model with its interval."""
        left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.15))
        rows = min(len(self.table), _SHOWN)
        figure.set_size_inches(10.0, max(4.3, 2.0 + 0.3 * rows))
        self._draw_curves(left)
        self._draw_errors(right)

    def _draw_curves(self, axes: Axes) -> None:
        from statlas.core.figures import MARKERS, plain_label

        axes.plot([0, 1], [0, 1], color="#666666", linewidth=1, label="perfect")
        for place, curve in enumerate(self.details["curves"]):
            low, mean, high = (np.array(curve[name]) for name in ("low", "outcome", "high"))
            axes.errorbar(
                curve["predicted"], mean, yerr=[mean - low, high - mean], markersize=4,
                fmt=MARKERS[place % len(MARKERS)], elinewidth=1, label=plain_label(curve["name"]),
            )  # fmt: skip
        axes.set(xlim=(0, 1.02), ylim=(0, 1.02), aspect="equal")
        axes.set_xlabel("predicted probability")
        axes.set_ylabel(f"share that came true ({100 * self.options['level']:g} % interval)")
        axes.legend(fontsize=8)

    def _draw_errors(self, axes: Axes) -> None:
        from statlas.core.figures import plain_label

        shown = self.table.head(_SHOWN)
        place = np.arange(len(shown))
        axes.hlines(place, shown["low"], shown["high"], linewidth=2.2)
        axes.plot(shown["error"], place, "o", label="without bias")
        axes.plot(shown["plug_in"], place, "x", color="#999999", label="plain bins")
        axes.axvline(0, color="#666666", linewidth=1)
        axes.set_yticks(place, [plain_label(name[-28:]) for name in shown["model"]])
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.set_xlabel(f"l2 calibration error ({100 * self.options['level']:g} % interval)")
        axes.legend(fontsize=8)


@recipe(
    "ece-interval",
    example=Example(
        file="active_pool.csv",
        about="1,281 handwritten digits of ten writers with the class probabilities of a logistic "
        "regression that was fitted on four other writers.",
        origin="scikit-learn's digits (UCI optdigits); recorded by examples/record_active_pool.py.",
        options={"probabilities": tuple(f"model_{digit}" for digit in range(10))},
    ),
)
def calibration_error(
    predictions: Annotated[
        Table,
        Roles(
            label=Category(
                optional=True, help="true class", aliases=("true_label", "class", "target")
            ),
            confidence=Number(
                ge=0,
                le=1,
                optional=True,
                help="probability that the prediction is right, or that the event happens",
                aliases=("probability", "prob", "p", "p_hat", "forecast", "y_prob", "y_score"),
            ),
            correct=Number(
                ge=0,
                le=1,
                integer=True,
                optional=True,
                help="1 where the prediction was right, or the event happened, else 0",
                aliases=("outcome", "y", "y_true", "hit", "is_correct", "score", "event"),
            ),
            model=Category(
                optional=True,
                help="model or group; each is judged by itself",
                aliases=("group", "classifier", "forecaster", "method"),
            ),
            probabilities=Features(
                optional=True, help="a column a class, named after it (p_cat, p_dog)"
            ),
            min_rows=_FEWEST,
        ),
    ],
    *,
    top: Annotated[
        int | None,
        Option(ge=1, le=20, help="judge the so many largest probabilities; none for all classes"),
    ] = 1,
    level: Annotated[float, Option(gt=0, lt=1, help="confidence level of intervals and test")] = (
        0.95
    ),
    bins: Annotated[
        int | None, Option(ge=1, help="number of bins; chosen from the number of rows by default")
    ] = None,
    bin_kind: Annotated[
        BinKind, Option(help="bins of equal mass (quantiles) or of equal width")
    ] = "mass",
    smoothness: Annotated[
        float, Option(gt=0, le=4, help="smoothness of the calibration curve: 1 for Lipschitz")
    ] = 1.0,
    test_draws: Annotated[
        int,
        Option(ge=0, le=100_000, help="draws of an exact test of calibration; 0: normal test"),
    ] = 0,
    rng: Rng = None,
) -> CalibrationReport:
    """Measure how miscalibrated predicted probabilities are, and whether they might not be at all.

    Parameters
    ----------
    predictions
        One row a prediction: `confidence` and `correct`, or `label` and a column a class.

    Returns
    -------
    CalibrationReport
        `table` has a row a model.

    Examples
    --------
    >>> result = calibration_error.run_example(top=2)
    >>> result.values[0].unit
    'probability'
    """
    generator = np.random.default_rng(rng)
    z, y, space = _points(predictions, top)
    models = predictions.factor("model") if predictions.has("model") else None
    names = [""] if models is None else models.levels
    codes = np.zeros(len(z), dtype=np.int64) if models is None else models.codes
    _check_groups(np.bincount(codes, minlength=len(names)), names, predictions)
    found = []
    for place in range(len(names)):
        rows = codes == place
        found.append(
            error_interval(
                z[rows], y[rows], level, n_bins=_own_bins(z[rows], bins), kind=bin_kind,
                smoothness=smoothness, dimensions=space, draws=test_draws, rng=generator,
            )
        )  # fmt: skip
    table = _table(names, found, level)
    order = np.argsort(table["error"].to_numpy(), kind="stable")
    table = table.iloc[order].reset_index(drop=True)
    curves = [
        curve for place in order for curve in _curves(names[place], z, y, codes == place, level)
    ]
    status, advice = _status(found)
    return CalibrationReport(
        headline=_headline(table, top, level, z.shape[1]),
        table=table,
        values=tuple(_values(table, level)),
        details={"curves": curves[:_CURVES]},
        status=status,
        advice=advice,
        warnings=tuple(_notices(z, space, smoothness, bins)),
    )


# --- reading -------------------------------------------------------------------------------------


def _points(table: Table, top: int | None) -> tuple[FloatArray, FloatArray, int]:
    """Predictions and outcomes, shape (n, k), and the dimension in which to bin them."""
    if table.has("confidence") and table.has("correct"):
        if top != 1:
            raise OptionError(
                f"option 'top' is {top}, but the table has one confidence a row; give a column a "
                "class and the label, or leave 'top' at 1"
            )
        return table.number("confidence")[:, None], table.number("correct")[:, None], 1
    if not (table.has("label") and table.has("probabilities")):
        raise InputError(
            "neither confidence with correct, nor label with a column a class was found",
            remedy="name them: confidence=COLUMN correct=COLUMN, or label=COLUMN "
            "probabilities=COLUMN,COLUMN",
        )
    read = read_class_probabilities(table)
    n_classes = len(read.classes)
    if top is not None and top > n_classes:
        raise OptionError(f"option 'top' is {top}, and there are {n_classes} classes")
    z, y = top_probabilities(read.probabilities, read.label, top)
    return z, y, min(z.shape[1], n_classes - 1)


def _check_groups(sizes: IntArray, names: list[str], table: Table) -> None:
    small = np.flatnonzero(sizes < _FEWEST)
    if len(small):
        raise InputError(
            f"{names[small[0]]!r} has {int(sizes[small[0]])} rows; a calibration error needs "
            f"{_FEWEST}",
            column=str(table.columns["model"]),
            remedy="leave such models out, or judge all rows together without that column",
        )


def _own_bins(z: FloatArray, bins: int | None) -> int | None:
    """As many bins as there are predictions, where these are few."""
    if bins is None and z.shape[1] == 1 and (distinct := len(np.unique(z))) <= _DISTINCT:
        return max(len(z), distinct)  # quantiles keep equal predictions together
    return bins


# --- what is said --------------------------------------------------------------------------------


def _table(names: list[str], found: list[ErrorInterval], level: float) -> pd.DataFrame:
    rows = []
    for name, one in zip(names, found, strict=True):
        low, high = squared_interval(one.estimate, level)
        rows.append(
            {
                "model": name or "all rows",
                "error": one.estimate.error,
                "low": one.low,
                "high": one.high,
                "p_value": one.p_value,
                "calibrated": "cannot be ruled out" if one.calibrated else "ruled out",
                "squared_error": one.estimate.squared,
                "squared_low": 0.0 if one.calibrated else low,
                "squared_high": high,
                "plug_in": float(np.sqrt(one.estimate.plug_in)),
                "rows": one.estimate.n_rows,
                "bins": one.estimate.n_bins,
            }
        )
    return pd.DataFrame(rows)


def _curves(
    name: str, z: FloatArray, y: FloatArray, rows: FloatArray, level: float
) -> list[dict[str, Any]]:
    """Reliability curves of a model: one for each of the probabilities that are judged."""
    curves = []
    for rank in range(z.shape[1]):
        predicted, outcome = z[rows, rank], y[rows, rank]
        codes = assign_bins(predicted[:, None], _POINTS)
        counts = np.bincount(codes)
        right = np.bincount(codes, outcome)
        low, high = wilson_interval(right, counts, level)
        part = "" if z.shape[1] == 1 else f"probability {rank + 1}"
        curves.append(
            {
                "name": ", ".join(filter(None, (name, part))) or "all rows",
                "predicted": (np.bincount(codes, predicted) / counts).tolist(),
                "outcome": (right / counts).tolist(),
                "low": np.asarray(low).tolist(),
                "high": np.asarray(high).tolist(),
            }
        )
    return curves


def _values(table: pd.DataFrame, level: float) -> list[Value]:
    values = []
    for row in table.to_dict("records"):
        of = f" of {row['model']}" if len(table) > 1 else ""
        values.append(
            Value(f"l2 calibration error{of}", row["error"], row["low"], row["high"], level,
                  "probability", _METHOD)
        )  # fmt: skip
        values.append(
            Value(f"p-value of perfect calibration{of}", row["p_value"],
                  why_no_interval="a p-value is a statistic, not an estimate")
        )  # fmt: skip
    return values


def _headline(table: pd.DataFrame, top: int | None, level: float, k: int) -> str:
    what = "one stated probability" if k == 1 else f"{k} probabilities a row"
    if top is None:
        what = "all classes"
    first, last = table.iloc[0], table.iloc[-1]
    who = "" if len(table) == 1 else f" of {first['model']}, the lowest of {len(table)},"
    text = (
        f"The l2 calibration error{who} over {what} is {first['error']:.3g} "
        f"({100 * level:g} % interval {first['low']:.3g} to {first['high']:.3g}); perfect "
        f"calibration is {'' if first['calibrated'] == 'ruled out' else 'not '}ruled out "
        f"(p = {first['p_value']:.2g})"
    )
    if len(table) > 1:
        text += (
            f"; the highest is that of {last['model']}, {last['error']:.3g} "
            f"({last['low']:.3g} to {last['high']:.3g})"
        )
    return text + "."


def _status(found: list[ErrorInterval]) -> tuple[Status, str]:
    if any(one.estimate.n_bins < 2 and one.estimate.n_rows >= _FEWEST for one in found):
        return Status.ASSUMPTION_DOUBTFUL, (
            "all predictions of a model are equal, so only the mean can be judged; give "
            "predictions that differ"
        )
    fewest = min(one.estimate.n_rows for one in found)
    if fewest < _FEW:
        return Status.ASSUMPTION_DOUBTFUL, (
            f"the interval rests on large numbers, and a model has {fewest} rows; give at least "
            f"{_FEW}, or read it as rough (the test is exact with test_draws above 0)"
        )
    return Status.OK, ""


def _notices(z: FloatArray, space: int, smoothness: float, bins: int | None) -> list[Notice]:
    notices = []
    if not is_fine_enough(space, smoothness):
        notices.append(
            Notice(
                "coarse bins",
                f"in {space} dimensions no number of bins is fine enough and full enough for a "
                f"curve of smoothness {smoothness:g}: errors within bins may be missed",
                "judge fewer probabilities with top, or state a higher smoothness",
            )
        )
    if bins is not None and bins > len(z) // 2:
        notices.append(
            Notice(
                "empty bins",
                f"{bins} bins over {len(z)} rows leave many with one row, which says nothing",
                "use fewer bins",
            )
        )
    return notices
