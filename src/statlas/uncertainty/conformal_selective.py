"""Regression that may abstain: keep the predictions whose conformal interval is short.

Answers      Which numeric predictions should be kept, on which should the model abstain, and how
             much smaller is the error on the kept ones?
Use when     some cases may be declined (sent to a person) and rows can be set aside. Avoid it where
             every case must be answered, or where new rows come from elsewhere.
Assumes      Rows are exchangeable. Nothing is assumed about models or errors. Two promises, both on
             average over calibration rows and one new row: the row is kept with probability `keep`
             or more; given that it is kept, its interval covers with probability `level` or more.
             Neither is a promise for one kind of rows, and none is about the mean error.
Notation     mu: the regressor; difficulty s(x) > 0: a second model of |y - mu(x)|, fitted on errors
             of mu on rows it has not seen (model-specific: it sees bias as well as noise);
             ratio r_i = |y_i - mu(x_i)| / s(x_i) of a calibration row; interval mu(x) +- q s(x)
             with q a conformal quantile of r; its width 2 q s(x) is the rejection score.
             Of n calibration rows K = ceil(keep (n + 1)); a row is kept if its score is at most the
             K-th smallest; q is taken from the K - 1 calibration rows of smallest score: with the
             new row they are the K smallest of n + 1 exchangeable ones, so the promise holds on
             the event "kept", in finite samples.
             Coverage-risk curve: mean squared error of the share c of rows with smallest score,
             against c; its area is the mean over c = 1/n, ..., 1. Normalised area: 0 for rejection
             by the true error (the best there is), 1 for rejection at random.
Departs      The paper's text beyond its abstract and its code were not at hand: rejection by the
             width of conformal intervals with a model-specific error model, and variance and
             distance baselines, are as the abstract says; the normalisation of the area is chosen
             here. The promise on kept rows is added: the paper's is over all rows. Baselines:
             variance of the outcome among nearest rows, spread of the trees of a forest, mean
             distance to the nearest rows. The recipe rotates four folds: each row is predicted by
             models fitted on two, calibrated on a third.
Reference    Sokol, Moniz and Chawla (2024), Conformalized Selective Regression, arXiv:2402.16300.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.utils.validation import check_is_fitted, validate_data

from statlas.core import (
    Below,
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
    Twin,
    Value,
    Within,
    claim,
    recipe,
)
from statlas.core.numerics.conformal import conformal_quantile
from statlas.core.numerics.proportions import wilson_interval
from statlas.core.rng import Rng, sklearn_seed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
ModelName = Literal["forest", "ridge", "boosting"]

_TREES, _NEIGHBOURS, _FOLDS, _FEWEST = 100, 10, 4, 40
_RESAMPLES = 1000
_ROUNDING = 1e-9

# --- the method, on arrays ------------------------------------------------------------------------


def selective_quantile(ratios: ArrayLike, scores: ArrayLike, keep: float, level: float) -> tuple[
    float, float
]:  # fmt: skip
    """Largest score to keep, and the quantile of ratios that covers kept rows.

    Parameters
    ----------
    ratios
        |y - mu| / s of calibration rows, shape (n,).
    scores
        Rejection scores of the same rows, shape (n,).
    keep, level
        Share of rows to keep at least, coverage among the kept; in (0, 1].

    Returns
    -------
    limit, quantile
        A new row is kept where its score is at most `limit` (infinite: always).

    Examples
    --------
    >>> selective_quantile([1.0, 2.0, 3.0, 9.0], [0.1, 0.2, 0.3, 0.4], 0.8, 0.6)
    (0.4, 3.0)
    """
    r, s = np.asarray(ratios, dtype=float), np.asarray(scores, dtype=float)
    rank = int(np.ceil(keep * (len(s) + 1) - _ROUNDING))
    order = np.argsort(s, kind="stable")
    limit = float(s[order[rank - 1]]) if rank <= len(s) else np.inf
    return limit, conformal_quantile(r[order[: rank - 1]], level)


def coverage_risk_curve(errors: ArrayLike, scores: ArrayLike) -> FloatArray:
    """Mean of `errors` over the 1, 2, ..., n rows of smallest score; ties share their mean error.

    Examples
    --------
    >>> coverage_risk_curve([4.0, 1.0, 1.0], [3, 1, 2])
    array([1., 1., 2.])
    """
    e, s = np.asarray(errors, dtype=float), np.asarray(scores, dtype=float)
    _, group = np.unique(s, return_inverse=True)
    mean = np.bincount(group, e) / np.bincount(group)
    shared = mean[group][np.argsort(s, kind="stable")]
    return np.asarray(np.cumsum(shared) / np.arange(1, len(e) + 1))


def normalised_area(errors: ArrayLike, scores: ArrayLike) -> float:
    """Area under the coverage-risk curve: 0 for rejection by true error, 1 for random rejection.

    Above 1 it is worse than random; NaN where all errors are equal.

    Examples
    --------
    >>> normalised_area([4.0, 1.0, 0.0], [3, 2, 1]), normalised_area([4.0, 1.0, 0.0], [1, 1, 1])
    (0.0, 1.0)
    """
    e = np.asarray(errors, dtype=float)
    best, random = coverage_risk_curve(e, e).mean(), e.mean()
    if random <= best * (1 + 1e-12):
        return float("nan")
    return float((coverage_risk_curve(e, scores).mean() - best) / (random - best))


class ConformalSelectiveRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A regressor that also says which of its predictions to keep.

    Parameters
    ----------
    estimator
        Any regressor; a random forest by default.
    residual_estimator
        Model of the absolute errors; a random forest by default.
    keep
        Share of rows to keep at least, in (0, 1].
    level
        Coverage of the intervals of kept rows, in (0, 1).
    calibration
        Share of rows set aside to calibrate, in (0, 1).
    folds
        Folds that give the errors on which the residual model is fitted.
    random_state
        Seed of the split and of the default models.

    Examples
    --------
    >>> x = np.linspace(0, 1, 200)[:, None]
    >>> fit = ConformalSelectiveRegressor(random_state=0).fit(x, x[:, 0])
    >>> fit.predict_interval(x[:3]).shape, fit.kept(x).dtype
    ((3, 2), dtype('bool'))
    """

    def __init__(
        self,
        estimator: Any = None,
        residual_estimator: Any = None,
        keep: float = 0.8,
        level: float = 0.9,
        calibration: float = 1 / 3,
        folds: int = 5,
        random_state: int | None = None,
    ) -> None:
        self.estimator = estimator
        self.residual_estimator = residual_estimator
        self.keep = keep
        self.level = level
        self.calibration = calibration
        self.folds = folds
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Fit both models on one part of the rows and calibrate on the other."""
        x, target = validate_data(self, X, y, y_numeric=True, dtype=np.float64)
        if len(target) < 4:
            raise ValueError(f"at least 4 samples are needed; found n_samples={len(target)}")
        rng = np.random.default_rng(self.random_state)
        order = rng.permutation(len(target))
        n_calibration = min(max(int(self.calibration * len(target)), 1), len(target) - 2)
        held, own = order[:n_calibration], order[n_calibration:]
        seed = sklearn_seed(rng)
        self.estimator_ = _model(self.estimator, seed)
        errors = np.abs(
            target[own] - _unseen(self.estimator_, x[own], target[own], self.folds, seed)
        )
        self.estimator_.fit(x[own], target[own])
        self.residual_estimator_ = _model(self.residual_estimator, seed).fit(x[own], errors)
        # A floor keeps the ratio finite where the error model says that there is no error.
        self.floor_ = max(0.05 * float(errors.mean()), 1e-12)
        ratios = np.abs(target[held] - self.predict(x[held])) / self.difficulty(x[held])
        self.limit_, self.quantile_ = selective_quantile(
            ratios, self.difficulty(x[held]), self.keep, self.level
        )
        return self

    def predict(self, X: ArrayLike) -> FloatArray:
        """Predictions of all rows, kept or not."""
        check_is_fitted(self)
        x = validate_data(self, X, reset=False, dtype=np.float64)
        return np.asarray(self.estimator_.predict(x), dtype=float)

    def difficulty(self, X: ArrayLike) -> FloatArray:
        """Expected absolute error s(x), in units of y; the rejection score up to a factor."""
        check_is_fitted(self, "residual_estimator_")
        x = validate_data(self, X, reset=False, dtype=np.float64)
        return np.asarray(np.maximum(self.residual_estimator_.predict(x), self.floor_))

    def kept(self, X: ArrayLike) -> BoolArray:
        """Whether each prediction is kept."""
        return np.asarray(self.difficulty(X) <= self.limit_)

    def predict_interval(self, X: ArrayLike) -> FloatArray:
        """Intervals, shape (n, 2); the promise holds for kept rows."""
        middle, half = self.predict(X), self.quantile_ * self.difficulty(X)
        return np.column_stack([middle - half, middle + half])


def _model(given: Any, seed: int) -> Any:
    if given is not None:
        return clone(given)
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(_TREES, min_samples_leaf=3, random_state=seed)


def _unseen(model: Any, x: FloatArray, y: FloatArray, folds: int, seed: int) -> FloatArray:
    splits = KFold(min(folds, len(y)), shuffle=True, random_state=seed)
    return np.asarray(cross_val_predict(clone(model), x, y, cv=splits))


# --- the other rules of rejection -----------------------------------------------------------------


def nearest_rows(fitted: FloatArray, new: FloatArray, most: int) -> tuple[FloatArray, Any]:
    """Distances and places of the nearest fitted rows, on standardised features."""
    from sklearn.neighbors import NearestNeighbors

    centre, spread = fitted.mean(axis=0), fitted.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    index = NearestNeighbors(n_neighbors=min(most, len(fitted))).fit((fitted - centre) / spread)
    distance, place = index.kneighbors((new - centre) / spread)
    return np.asarray(distance), place


def baseline_scores(
    x: FloatArray, y: FloatArray, new: FloatArray, seed: int
) -> dict[str, FloatArray]:
    """Rejection scores of `new` that know no errors of the model, each of shape (n_new,)."""
    from sklearn.ensemble import RandomForestRegressor

    distance, place = nearest_rows(x, new, _NEIGHBOURS)
    forest = RandomForestRegressor(_TREES, min_samples_leaf=3, random_state=seed).fit(x, y)
    trees = np.stack([tree.predict(new.astype(np.float32)) for tree in forest.estimators_])
    return {
        "variance": y[place].var(axis=1),
        "ensemble": trees.var(axis=0),
        "distance": distance.mean(axis=1),
    }


# --- the result -----------------------------------------------------------------------------------

_NAMES = ("conformal", "variance", "ensemble", "distance")
_TITLES = {
    "conformal": "interval width (conformal)",
    "variance": "variance of nearest outcomes",
    "ensemble": "spread of trees",
    "distance": "distance to nearest rows",
}


@dataclass(frozen=True, kw_only=True)
class SelectiveReport(Result):
    """Which predictions to keep; `table` has a row a row of the input, `details` the curves."""

    def draw(self, figure: Figure) -> None:
        """Coverage-risk curves, and predictions with what became of them."""
        left, right = figure.subplots(1, 2)
        figure.set_size_inches(9.6, 4.3)
        for name in _NAMES:
            curve = self.details["curves"][name]
            style = {"linewidth": 2.4 if name == "conformal" else 1.3}
            left.plot(self.details["shares"], curve, label=_TITLES[name], **style)
        left.axhline(self.details["risk"], color="#666666", linewidth=1, label="random")
        left.axvline(self.options["keep"], color="#999999", linewidth=1, linestyle=":")
        left.set(xlabel="share of rows answered", ylabel="root mean squared error (unit of target)")
        left.set_ylim(bottom=0)
        left.legend(fontsize=8)
        kept = self.table["kept"].to_numpy(bool)
        for mask, colour, marker, name in (
            (~kept, "#999999", "x", "declined"),
            (kept, "#0072B2", "o", "kept"),
        ):
            right.plot(
                self.table["predicted"][mask], self.table["actual"][mask], marker, color=colour,
                markersize=3.5, label=name,
            )  # fmt: skip
        ends = [float(self.table["predicted"].min()), float(self.table["predicted"].max())]
        right.plot(ends, ends, color="#666666", linewidth=1)
        right.set(xlabel="predicted (unit of target)", ylabel="actual (unit of target)")
        right.legend(fontsize=8)


def _example() -> pd.DataFrame:
    from sklearn.datasets import load_diabetes

    frame: pd.DataFrame = load_diabetes(as_frame=True, scaled=False).frame
    return frame


def _regressor(name: str, seed: int) -> Any:
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.linear_model import Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if name == "ridge":
        return make_pipeline(StandardScaler(), Ridge(alpha=1.0))
    if name == "boosting":
        return HistGradientBoostingRegressor(max_iter=60, random_state=seed)
    return _model(None, seed)


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
    model: Annotated[ModelName, Option(help="the regressor")] = "ridge",
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
    x, _ = rows.features()
    y = rows.number("target")
    if np.ptp(x, axis=0).max() == 0:
        raise InputError(
            "all features are constant, so no row is harder than another",
            column=str(rows.features()[1][0]),
            remedy="give features that vary",
        )
    table, scores = _rotated(x, y, keep, level, model, generator)
    errors = (table["actual"] - table["predicted"]).to_numpy(float) ** 2
    areas = {name: normalised_area(errors, scores[name]) for name in _NAMES}
    gains = _gains(errors, scores, generator)
    values = _values(table, errors, areas, gains, level)
    shares = np.arange(1, len(y) + 1) / len(y)
    shown = np.unique(np.linspace(len(y) // 20, len(y) - 1, 80).astype(int))
    status, advice = Status.OK, ""
    if gains["random"][1] > 0:
        status = Status.ASSUMPTION_DOUBTFUL
        advice = "the width of intervals does no better than chance here; answer every case"
    return SelectiveReport(
        headline=_headline(values, errors, table, keep, level),
        table=table,
        values=values,
        details={
            "shares": shares[shown],
            "curves": {
                name: np.sqrt(coverage_risk_curve(errors, scores[name])[shown]) for name in _NAMES
            },
            "risk": float(np.sqrt(errors.mean())),
            "areas": areas,
        },
        status=status,
        advice=advice,
        warnings=tuple(_notices(table, gains)),
    )


def _rotated(
    x: FloatArray, y: FloatArray, keep: float, level: float, model: str, rng: np.random.Generator
) -> tuple[pd.DataFrame, dict[str, FloatArray]]:
    """Every row predicted once, by models fitted and calibrated on other folds."""
    fold = rng.permutation(len(y)) % _FOLDS
    columns = {name: np.empty(len(y)) for name in ("predicted", "low", "high", "expected_error")}
    kept = np.zeros(len(y), dtype=bool)
    scores = {name: np.empty(len(y)) for name in _NAMES}
    for here in range(_FOLDS):
        new, rest, seed = fold == here, fold != here, sklearn_seed(rng)
        fit = ConformalSelectiveRegressor(
            _regressor(model, seed), keep=keep, level=level, random_state=seed
        ).fit(x[rest], y[rest])
        interval = fit.predict_interval(x[new])
        columns["predicted"][new] = fit.predict(x[new])
        columns["low"][new], columns["high"][new] = interval.T
        columns["expected_error"][new] = scores["conformal"][new] = fit.difficulty(x[new])
        kept[new] = fit.kept(x[new])
        for name, found in baseline_scores(x[rest], y[rest], x[new], seed).items():
            scores[name][new] = found
    table = pd.DataFrame({"row": np.arange(1, len(y) + 1), "actual": y, **columns, "kept": kept})
    table["covered"] = (table["low"] <= y) & (y <= table["high"])
    return table, scores


def _gains(
    errors: FloatArray, scores: dict[str, FloatArray], rng: np.random.Generator
) -> dict[str, tuple[float, float]]:
    """Interval of our area minus each baseline's over resampled rows; as shares of the random."""
    draws = rng.integers(0, len(errors), (_RESAMPLES // 4, len(errors)))
    areas = {name: [] for name in _NAMES}  # type: dict[str, list[float]]
    for draw in draws:
        random = max(errors[draw].mean(), 1e-300)
        for name in _NAMES:
            areas[name].append(
                coverage_risk_curve(errors[draw], scores[name][draw]).mean() / random
            )
    ours = np.array(areas["conformal"])
    found = {"random": ours - 1} | {name: ours - np.array(areas[name]) for name in _NAMES[1:]}
    return {
        name: (float(np.quantile(difference, 0.025)), float(np.quantile(difference, 0.975)))
        for name, difference in found.items()
    }


def _values(
    table: pd.DataFrame, errors: FloatArray, areas: dict[str, float],
    gains: dict[str, tuple[float, float]], level: float,
) -> tuple[Value, ...]:  # fmt: skip
    kept, covered = table["kept"].to_numpy(bool), table["covered"].to_numpy(bool)
    n, n_kept = len(kept), int(kept.sum())
    values = [_share("share kept", n_kept, n, "share of rows")]
    if n_kept:
        values.append(_share("coverage of kept", int((kept & covered).sum()), n_kept, "share kept"))
    own = coverage_risk_curve(errors, table["expected_error"].to_numpy(float)).mean()
    random = max(errors.mean(), 1e-300)
    values.append(
        Value(
            "area over random", own / random, 1 + gains["random"][0], 1 + gains["random"][1], 0.95,
            unit="mean squared error / that of random rejection", method="bootstrap of rows",
        )
    )  # fmt: skip
    for name in _NAMES:
        values.append(
            Value(
                f"normalised area, {_TITLES[name]}", areas[name],
                why_no_interval="intervals are given for differences",
            )
        )  # fmt: skip
    return tuple(values)


def _share(name: str, count: int, total: int, unit: str) -> Value:
    low, high = wilson_interval(count, total, 0.95)
    return Value(name, count / total, float(low), float(high), 0.95, unit=unit, method="Wilson")


def _headline(
    values: tuple[Value, ...], errors: FloatArray, table: pd.DataFrame, keep: float, level: float
) -> str:
    kept = table["kept"].to_numpy(bool)
    if not kept.any():
        return f"No prediction is kept of {len(kept)}."
    risk, whole = float(np.sqrt(errors[kept].mean())), float(np.sqrt(errors.mean()))
    covered, area = values[1], values[2]
    return (
        f"Keeping the {int(kept.sum())} of {len(kept)} predictions with the shortest intervals "
        f"(asked: {100 * keep:g} % at least) takes the root mean squared error from {whole:.4g} to "
        f"{risk:.4g}; {100 * (covered.estimate or 0):.0f} % of the kept intervals cover (95 % "
        f"interval {100 * (covered.low or 0):.0f} to {100 * (covered.high or 0):.0f} %, promised "
        f"{100 * level:g} %); over all shares the mean squared error is {area.estimate:.2f} of "
        f"that of random rejection ({area.low:.2f} to {area.high:.2f})."
    )


def _notices(table: pd.DataFrame, gains: dict[str, tuple[float, float]]) -> Iterator[Notice]:
    for name in _NAMES[1:]:
        low, high = gains[name]
        if low > 0:
            yield Notice(
                "baseline-better",
                f"rejection by {_TITLES[name]} has the smaller area here (by {low:.2f} to "
                f"{high:.2f} of the random one)",
                "reject by it, or try another model",
            )
    if np.isinf(table["high"].to_numpy(float)).any():
        yield Notice(
            "no-interval",
            "too few calibration rows are kept for an interval of this level",
            "keep more, lower the level, or give more rows",
        )


# --- claims ---------------------------------------------------------------------------------------

_TRAIN, _HELD, _NEW = 150, 99, 300


def _simulated(rng: np.random.Generator, n: int) -> tuple[FloatArray, FloatArray]:
    """Noise that grows with the first feature, so that some rows are hard."""
    x = rng.uniform(-1, 1, (n, 3))
    return x, x[:, 1] + np.exp(1.5 * x[:, 0]) * rng.normal(size=n)


Interval = Callable[[ConformalSelectiveRegressor, FloatArray, FloatArray], tuple[float, float]]


def _on_kept(
    fit: ConformalSelectiveRegressor, ratios: FloatArray, scores: FloatArray
) -> tuple[float, float]:
    return selective_quantile(ratios, scores, 0.5, 0.9)


def _worst_kept(
    fit: ConformalSelectiveRegressor, ratios: FloatArray, scores: FloatArray
) -> tuple[float, float]:
    """Equal widths for all rows, calibrated on all."""
    limit = selective_quantile(ratios, scores, 0.5, 0.9)[0]
    # Dividing by the score where it is used turns the ratio's interval into one of equal width.
    return limit, -conformal_quantile(ratios * scores, 0.9)


@claim(
    "conformal-selective",
    says="kept predictions hold the stated coverage of 0.9 in finite samples",
    where="Abstract, and the selection-conditional form of this module",
    expect=Within(0.89, 0.93),
    unit="coverage of kept rows, mean over tables (exact: 45/50 to 46/50)",
    subject=_on_kept,
    twin=Twin("one width for all rows, calibrated on all", _worst_kept),
    quick=60,
    full=600,
)
def kept_coverage(rng: np.random.Generator, calibrate: Interval) -> float:
    """Share of kept new rows whose interval covers, ridge regression for both models."""
    from sklearn.linear_model import Ridge

    x, y = _simulated(rng, _TRAIN + _HELD + _NEW)
    fit = ConformalSelectiveRegressor(Ridge(), Ridge(), random_state=0, folds=3)
    fit.fit(x[:_TRAIN], y[:_TRAIN])
    score, error = fit.difficulty(x), np.abs(y - fit.predict(x))
    held, new = slice(_TRAIN, _TRAIN + _HELD), slice(_TRAIN + _HELD, None)
    limit, quantile = calibrate(fit, (error / score)[held], score[held])
    half = quantile * score[new] if quantile >= 0 else np.full(_NEW, -quantile)
    kept = score[new] <= limit
    return float((error[new] <= half)[kept].mean())


def _width(fit: ConformalSelectiveRegressor, x: FloatArray, y: FloatArray, new: FloatArray) -> Any:
    return fit.difficulty(new)


def _far(fit: ConformalSelectiveRegressor, x: FloatArray, y: FloatArray, new: FloatArray) -> Any:
    return nearest_rows(x, new, _NEIGHBOURS)[0].mean(axis=1)


def _area_gain(x: FloatArray, y: FloatArray, rng: np.random.Generator, score: Any) -> float:
    """Normalised area of a score minus that of the variance of nearest outcomes."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.linear_model import Ridge

    seed, half = sklearn_seed(rng), len(y) * 2 // 3
    errors_of = RandomForestRegressor(30, min_samples_leaf=5, random_state=seed)
    fit = ConformalSelectiveRegressor(Ridge(), errors_of, calibration=0.05, random_state=seed)
    fit.fit(x[:half], y[:half])
    errors = (y[half:] - fit.predict(x[half:])) ** 2
    variance = y[nearest_rows(x[:half], x[half:], _NEIGHBOURS)[1]].var(axis=1)
    ours = score(fit, x[:half], y[:half], x[half:])
    return normalised_area(errors, ours) - normalised_area(errors, variance)


@claim(
    "conformal-selective",
    says="where the model is biased, its own errors tell better what to decline than the "
    "conditional variance: the area under the coverage-risk curve is smaller",
    where="Abstract",
    expect=Below(0),
    unit="normalised area minus that of variance of nearest outcomes",
    subject=_width,
    twin=Twin("distance to the nearest rows", _far),
    quick=20,
    full=200,
)
def biased_model_area(rng: np.random.Generator, score: Any) -> float:
    """A straight line fitted to a hinge: large errors where the outcome varies little."""
    x = rng.uniform(-1, 1, (600, 2))
    y = np.maximum(x[:, 0], 0) * 4 + 0.3 * rng.normal(size=600)
    return _area_gain(x, y, rng, score)


@claim(
    "conformal-selective",
    says="on a real regression set the area under the coverage-risk curve is smaller than that of "
    "rejection by conditional variance",
    where="Abstract",
    expect=Below(0),
    unit="normalised area minus that of variance of nearest outcomes (diabetes, random splits)",
    subject=_width,
    twin=Twin("distance to the nearest rows", _far),
    quick=20,
    full=200,
)
def real_set_area(rng: np.random.Generator, score: Any) -> float:
    """Two thirds of the diabetes patients fit, the others are judged."""
    frame = _example().sample(frac=1, random_state=sklearn_seed(rng))
    x = frame.drop(columns="target").to_numpy(float)
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    return _area_gain(x, frame["target"].to_numpy(float), rng, score)
