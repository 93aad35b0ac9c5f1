"""The recipe: which predictions of a table to keep, and what the error on the kept ones is."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning

from statlas.core import (
    ConvergenceError,
    Example,
    Features,
    InputError,
    Notice,
    Number,
    Option,
    Result,
    Roles,
    Status,
    Table,
    Value,
    recipe,
)
from statlas.core.numerics.proportions import wilson_interval
from statlas.core.rng import Rng, sklearn_seed
from statlas.uncertainty.conformal_selective.protocol import (
    coverage_risk_curve,
    distance_to_ideal,
    normalised_area,
)
from statlas.uncertainty.conformal_selective.regressor import (
    ConformalSelectiveRegressor,
    WidthName,
)
from statlas.uncertainty.conformal_selective.selection import BoolArray, FloatArray, IntArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ModelName = Literal["forest", "linear", "boosting"]

_TREES, _LEAF, _NEIGHBOURS = 50, 5, 10
_FOLDS, _FEWEST = 4, 40
_RESAMPLES, _POINTS, _LEVEL = 250, 80, 0.95
_SHOWN = 0.005  # difference of areas that shows in two digits
_STATED = (0.8, 0.85, 0.9, 0.95)  # shares at which the paper compares rules

_NAMES = ("conformal", "variance", "ensemble", "distance")
_TITLES = {
    "conformal": "width of conformal intervals",
    "variance": "variance of nearest outcomes",
    "ensemble": "spread of trees",
    "distance": "distance to nearest rows",
}
_COLOURS = {
    "conformal": "#0072B2", "variance": "#D55E00", "ensemble": "#009E73", "distance": "#CC79A7",
}  # fmt: skip


# --- the other rules of rejection -----------------------------------------------------------------


def nearest_rows(fitted: FloatArray, new: FloatArray, most: int) -> tuple[FloatArray, Any]:
    """Distances and places of the nearest fitted rows, on standardised features."""
    from sklearn.neighbors import NearestNeighbors

    centre, spread = fitted.mean(axis=0), fitted.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    index = NearestNeighbors(n_neighbors=min(most, len(fitted))).fit((fitted - centre) / spread)
    distance, place = index.kneighbors((new - centre) / spread)
    return np.asarray(distance), place


def variance_score(x: FloatArray, y: FloatArray, new: FloatArray) -> FloatArray:
    """Conditional variance by nearest neighbours: that of the outcomes of the nearest ten rows."""
    return np.asarray(y[nearest_rows(x, new, _NEIGHBOURS)[1]].var(axis=1))


def ensemble_score(forest: Any, new: FloatArray) -> FloatArray:
    """Variance of the predictions of a fitted forest's trees."""
    rows = new.astype(np.float32)
    return np.asarray(np.var([tree.predict(rows) for tree in forest.estimators_], axis=0))


def distance_score(x: FloatArray, y: FloatArray, new: FloatArray) -> FloatArray:
    """Mean distance to the nearest ten rows."""
    return np.asarray(nearest_rows(x, new, _NEIGHBOURS)[0].mean(axis=1))


# --- the result -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class SelectiveReport(Result):
    """Which predictions to keep; `table` has a row a row of the input, `details` the curves."""

    def draw(self, figure: Figure) -> None:
        """Coverage-risk curves, and predictions with what became of them."""
        left, right = figure.subplots(1, 2)
        figure.set_size_inches(9.6, 5.2)
        unit = f"(unit of {self.details['target']})"
        for name in _NAMES:
            left.plot(
                self.details["shares"], self.details["curves"][name], color=_COLOURS[name],
                label=_TITLES[name], linewidth=2.4 if name == "conformal" else 1.3,
            )  # fmt: skip
        low, high = self.details["band"]
        left.fill_between(
            self.details["shares"], low, high, color=_COLOURS["conformal"], alpha=0.15, linewidth=0,
            label="95 % interval for the first",
        )  # fmt: skip
        left.axhline(self.details["risk"], color="#666666", linewidth=1, label="at random")
        left.axvline(
            self.options["keep"], color="#666666", linewidth=1, linestyle=":", label="share asked"
        )
        left.set(xlabel="share of rows answered", ylabel=f"root mean squared error {unit}")
        left.set_ylim(bottom=0)
        left.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2)
        kept = self.table["kept"].to_numpy(bool)
        for mask, colour, marker, name in (
            (~kept, "#999999", "x", "declined"),
            (kept, "#0072B2", "o", "kept"),
        ):
            right.plot(
                self.table["predicted"][mask], self.table["actual"][mask], marker, color=colour,
                markersize=3.5, linestyle="", label=name,
            )  # fmt: skip
        ends = [float(self.table["predicted"].min()), float(self.table["predicted"].max())]
        right.plot(ends, ends, color="#666666", linewidth=1, label="predicted = actual")
        right.set(xlabel=f"predicted {unit}", ylabel=f"actual {unit}")
        right.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=3)


def _example() -> pd.DataFrame:
    from sklearn.datasets import load_diabetes

    frame: pd.DataFrame = load_diabetes(as_frame=True, scaled=False).frame
    return frame


@recipe(
    "conformal-selective",
    example=Example(
        loader=_example,
        about="442 diabetes patients with ten measurements; the target is the progression after a "
        "year. For whom can it be predicted?",
        origin="scikit-learn's diabetes data (Efron, Hastie, Johnstone and Tibshirani, 2004).",
    ),
)
def selective_regression(
    rows: Annotated[
        Table,
        Roles(
            target=Number(
                varies=True, help="what is predicted", aliases=("y", "outcome", "response", "value")
            ),
            features=Features(help="what it is predicted from"),
            min_rows=_FEWEST,
        ),
    ],
    *,
    keep: Annotated[float, Option(gt=0, lt=1, help="share of rows to answer at least")] = 0.7,
    level: Annotated[
        float, Option(gt=0, lt=1, help="coverage of the intervals of kept predictions")
    ] = 0.9,
    model: Annotated[
        ModelName, Option(help="the regressor, and the kind of its quantile regressors")
    ] = "forest",
    width: Annotated[
        WidthName,
        Option(help="width from two quantile regressions, or from a model of the model's errors"),
    ] = "quantiles",
    rng: Rng = None,
) -> SelectiveReport:
    """Predict every row by models that have not seen it, and say which predictions to keep.

    Parameters
    ----------
    rows
        One row a case: a numeric target and numeric features.

    Returns
    -------
    SelectiveReport
        `table` has a row a row of the input, in its order.

    Examples
    --------
    >>> result = selective_regression.run_example()
    >>> result.value("share kept").unit
    'share of rows'
    """
    generator = np.random.default_rng(rng)
    x, columns = rows.features()
    y = rows.number("target")
    if np.ptp(x, axis=0).max() == 0:
        raise InputError(
            "all features are constant, so no row is harder than another",
            column=str(columns[0]),
            remedy="give features that vary",
        )
    centre, scale = (float(part[0]) for part in _scale(y[:, None]))
    middle, spread = _scale(x)
    table, scores = _rotated(
        (x - middle) / spread, (y - centre) / scale, keep, level, model, width, generator
    )
    errors = (table["actual"] - table["predicted"]).to_numpy(float) ** 2
    areas = _areas(errors, scores, generator)
    curves = {name: coverage_risk_curve(errors, scores[name]) for name in _NAMES}
    shown = np.unique(np.linspace(len(y) // 20, len(y) - 1, _POINTS).astype(int))
    ends = ["predicted", "low", "high"]
    table = table.assign(actual=y, **(table[ends] * scale + centre))
    return SelectiveReport(
        headline=_headline(table, scale * np.sqrt(errors), areas, keep, level),
        table=table.assign(rejection_score=scale * scores["conformal"]),
        values=tuple(_values(table, areas)),
        details={
            "target": str(rows.columns["target"]),
            "shares": (shown + 1) / len(y),
            "curves": {name: scale * np.sqrt(curve[shown]) for name, curve in curves.items()},
            "band": scale * _band(errors, scores["conformal"], shown, generator),
            "risk": float(scale * np.sqrt(errors.mean())),
            "protocol": _protocol(curves, keep),
        },
        status=Status.OK,
        warnings=tuple(_notices(table, areas)),
    )


def _scale(columns: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Means and spreads by column: models fit numbers of ordinary size, whatever their unit."""
    largest = np.abs(columns).max(axis=0)
    largest = np.where(largest > 0, largest, 1.0)
    parts = columns / largest
    spread = np.where(np.ptp(columns, axis=0) > 0, parts.std(axis=0), 1.0)
    return parts.mean(axis=0) * largest, spread * largest


# --- fits -----------------------------------------------------------------------------------------


def _regressor(
    model: ModelName, width: WidthName, keep: float, level: float, seed: int
) -> ConformalSelectiveRegressor:
    """The regressor with quantile regressors of its kind."""
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import QuantileRegressor, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    tails = ((1 - level) / 2, (1 + level) / 2)
    mean, quantiles = None, (None, None)
    if model == "linear":
        mean = make_pipeline(StandardScaler(), Ridge(alpha=1.0))
        quantiles = tuple(
            make_pipeline(StandardScaler(), QuantileRegressor(quantile=tail, alpha=0))
            for tail in tails
        )
    elif model == "boosting":
        mean = HistGradientBoostingRegressor(max_iter=_TREES, random_state=seed)
        quantiles = tuple(
            HistGradientBoostingRegressor(
                loss="quantile", quantile=tail, max_iter=_TREES, random_state=seed
            )
            for tail in tails
        )
    return ConformalSelectiveRegressor(
        mean, width, *quantiles, keep=keep, level=level, folds=3, random_state=seed
    )


def _converged(
    model: ConformalSelectiveRegressor, x: FloatArray, y: FloatArray
) -> ConformalSelectiveRegressor:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            return model.fit(x, y)
        except ConvergenceWarning as problem:
            raise ConvergenceError(
                "the linear quantile regression found no solution; use model='forest'"
            ) from problem


def _rotated(
    x: FloatArray, y: FloatArray, keep: float, level: float, model: ModelName, width: WidthName,
    rng: np.random.Generator,
) -> tuple[pd.DataFrame, dict[str, FloatArray]]:  # fmt: skip
    """Every row predicted once, by models fitted and calibrated on other folds."""
    from sklearn.ensemble import RandomForestRegressor

    fold = rng.permutation(len(y)) % _FOLDS
    columns = {name: np.empty(len(y)) for name in ("predicted", "low", "high")}
    scores = {name: np.empty(len(y)) for name in _NAMES}
    kept = np.zeros(len(y), dtype=bool)
    for here in range(_FOLDS):
        new, rest, seed = fold == here, fold != here, sklearn_seed(rng)
        fit = _converged(_regressor(model, width, keep, level, seed), x[rest], y[rest])
        columns["predicted"][new] = fit.predict(x[new])
        columns["low"][new], columns["high"][new] = fit.predict_interval(x[new]).T
        scores["conformal"][new] = fit.rejection_score(x[new])
        kept[new] = fit.rule_.kept(scores["conformal"][new])
        if model == "forest":  # the model's own trees
            forest = fit.estimator_
        else:
            forest = RandomForestRegressor(_TREES, min_samples_leaf=_LEAF, random_state=seed)
            forest.fit(x[rest], y[rest])
        scores["variance"][new] = variance_score(x[rest], y[rest], x[new])
        scores["ensemble"][new] = ensemble_score(forest, x[new])
        scores["distance"][new] = distance_score(x[rest], y[rest], x[new])
    table = pd.DataFrame({"row": np.arange(1, len(y) + 1), "actual": y, **columns, "kept": kept})
    table["covered"] = (table["low"] <= y) & (y <= table["high"])
    return table, scores


# --- the answer -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Areas:
    """Normalised areas, and their values over resampled rows with the fits kept."""

    estimate: dict[str, float]
    resampled: dict[str, FloatArray]

    def interval(self, name: str) -> tuple[float, float]:
        return _middle(self.resampled[name])

    def excess(self, name: str) -> tuple[float, float]:
        """Interval of our area minus that of a baseline."""
        return _middle(self.resampled["conformal"] - self.resampled[name])


def _middle(draws: FloatArray) -> tuple[float, float]:
    draws = draws[np.isfinite(draws)]
    if not len(draws):
        return float("nan"), float("nan")
    low, high = np.quantile(draws, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return float(low), float(high)


def _areas(errors: FloatArray, scores: dict[str, FloatArray], rng: np.random.Generator) -> _Areas:
    n = len(errors)
    draws = rng.integers(0, n, (_RESAMPLES, n))
    return _Areas(
        {name: normalised_area(errors, scores[name]) for name in _NAMES},
        {
            name: np.array([normalised_area(errors[d], scores[name][d]) for d in draws])
            for name in _NAMES
        },
    )


def _band(
    errors: FloatArray, scores: FloatArray, shown: IntArray, rng: np.random.Generator
) -> FloatArray:
    """Interval of the root mean squared error at each share, rows resampled; shape (2, n_shown)."""
    draws = rng.integers(0, len(errors), (_RESAMPLES, len(errors)))
    curves = [coverage_risk_curve(errors[draw], scores[draw])[shown] for draw in draws]
    bounds = np.quantile(np.sqrt(curves), [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2], axis=0)
    return np.asarray(bounds)


def _protocol(curves: dict[str, FloatArray], keep: float) -> dict[str, Any]:
    """Distance to the ideal point at the paper's shares and the one asked, by rule."""
    shares = sorted({*_STATED, keep})
    n = len(curves["conformal"])
    places = np.ceil(np.array(shares) * n - 1e-9).astype(int) - 1
    distance = distance_to_ideal([curves[name][places] for name in _NAMES], shares)
    best = [_NAMES[place] for place in distance.argmin(axis=0)]
    return {"shares": shares, "distance": dict(zip(_NAMES, distance, strict=True)), "best": best}


def _values(table: pd.DataFrame, areas: _Areas) -> Iterator[Value]:
    kept, covered = table["kept"].to_numpy(bool), table["covered"].to_numpy(bool)
    yield _share("share kept", kept, "share of rows")
    if kept.any() and not _unbounded(table):
        yield _share("coverage of kept", covered[kept], "share of kept rows")
    for name in _NAMES:
        title, area = f"normalised area, {_TITLES[name]}", areas.estimate[name]
        if np.isnan(area):
            yield Value(title, None, why_no_interval="all errors are equal")
        else:
            yield Value(
                title, area, *areas.interval(name), _LEVEL, method="bootstrap of rows, fits kept",
                unit="0: by true error, 1: at random",
            )  # fmt: skip


def _share(name: str, found: BoolArray, unit: str) -> Value:
    low, high = wilson_interval(int(found.sum()), len(found), _LEVEL)
    return Value(
        name, float(found.mean()), float(low), float(high), _LEVEL, unit=unit, method="Wilson"
    )


def _unbounded(table: pd.DataFrame) -> bool:
    """Whether some kept row has an interval without end."""
    return bool(np.isinf(table.loc[table["kept"], "high"].to_numpy(float)).any())


def _headline(
    table: pd.DataFrame, misses: FloatArray, areas: _Areas, keep: float, level: float
) -> str:
    kept = table["kept"].to_numpy(bool)
    if not kept.any():
        return f"No prediction is kept of {len(kept)} (asked: {100 * keep:g} % at least)."
    risk, whole = (float(np.linalg.norm(m) / np.sqrt(len(m))) for m in (misses[kept], misses))
    if kept.all():
        text = (
            f"All {len(kept)} predictions are kept (asked: {100 * keep:g} % at least), with a root "
            f"mean squared error of {whole:.4g}"
        )
    else:
        text = (
            f"Keeping the {int(kept.sum())} of {len(kept)} predictions with the shortest intervals "
            f"(asked: {100 * keep:g} % at least) takes the root mean squared error from "
            f"{whole:.4g} to {risk:.4g}"
        )
    if _unbounded(table):
        text += f"; there are too few rows for intervals of {100 * level:g} %"
    else:
        covered = _share("", table["covered"].to_numpy(bool)[kept], "")
        share, low, high = (100 * (v or 0) for v in (covered.estimate, covered.low, covered.high))
        text += (
            f"; {share:.0f} % of the kept intervals cover ({100 * _LEVEL:g} % interval {low:.0f} "
            f"to {high:.0f} %, promised {100 * level:g} %)"
        )
    area = areas.estimate["conformal"]
    if np.isfinite(area):
        low, high = areas.interval("conformal")
        text += (
            f"; over all shares its normalised area is {area:.2f} ({low:.2f} to {high:.2f}; "
            "1 is rejection at random, 0 by the true error)"
        )
    return text + "."


def _notices(table: pd.DataFrame, areas: _Areas) -> Iterator[Notice]:
    if table["kept"].all():
        yield Notice(
            "none-declined",
            "no row is declined: too many intervals have the same width, or almost all rows were "
            "asked for",
            "ask for fewer rows, or try another model or width",
        )
    if areas.interval("conformal")[1] >= 1:
        yield Notice(
            "like-chance",
            "rejection by interval width is not shown to do better than rejection at random",
            "give more rows or better features, try the other width, or answer every case",
        )
    for name in _NAMES[1:]:
        low, high = areas.excess(name)
        if low >= _SHOWN:
            yield Notice(
                "baseline-better",
                f"rejection by {_TITLES[name]} has the smaller normalised area here (by {low:.2f} "
                f"to {high:.2f})",
                "reject by it, or try another model or width",
            )
    if _unbounded(table):
        yield Notice(
            "no-interval",
            "too few calibration rows are kept for an interval of this level",
            "keep more, lower the level, or give more rows",
        )
