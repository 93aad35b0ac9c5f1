"""The paper's claims, measured on simulated tables."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import spearmanr

from statlas.core import Above, Below, Oracle, Twin, claim
from statlas.evaluation.prob_multiplicity.curves import ambiguity
from statlas.evaluation.prob_multiplicity.ranges import (
    FloatArray,
    LogisticFit,
    ViableRanges,
    fit_logistic,
    viable_ranges,
)

Ends = tuple[FloatArray, FloatArray]
RangeRule = Callable[[LogisticFit, float, FloatArray], Ends]


def _simulated_fit(
    rng: np.random.Generator, n_rows: int = 120, n_features: int = 4
) -> tuple[FloatArray, LogisticFit]:
    """Features with correlated, heavy-tailed rows, and a fit to outcomes drawn from a model."""
    mixing = np.eye(n_features) + 0.4 * rng.standard_normal((n_features, n_features))
    features = rng.standard_t(5, (n_rows, n_features)) @ mixing
    chance = expit(features @ rng.normal(0, 0.8, n_features) + rng.normal(0, 0.5))
    outcome = (rng.random(n_rows) < chance).astype(float)
    outcome[:2] = (0, 1)
    return features, fit_logistic(features, outcome)


def _exact_ranges(fit: LogisticFit, epsilon: float, points: FloatArray) -> Ends:
    ranges = viable_ranges(fit, [epsilon], points)
    return ranges.low[0], ranges.high[0]


def _quadratic_ranges(fit: LogisticFit, epsilon: float, points: FloatArray) -> Ends:
    """Ranges over the ellipsoid that the curvature at the optimum describes."""
    rows = np.column_stack([np.ones(len(points)), points])
    hessian = fit.hessians(fit.probability[None])[0]
    squares = np.einsum("ij,ij->i", rows, np.linalg.solve(hessian, rows.T).T)
    reach = np.sqrt(2 * epsilon * fit.loss * squares)
    return rows @ fit.weights - reach, rows @ fit.weights + reach


def boundary_models(
    rng: np.random.Generator, fit: LogisticFit, epsilon: float, n_models: int
) -> FloatArray:
    """Models of loss just within (1 + epsilon) of the least, in random directions.

    Directions are drawn in the metric of the curvature, so that none dominates; along each the
    model is the last within the limit, by bisection.
    """
    root = np.linalg.cholesky(fit.hessians(fit.probability[None])[0])
    steps = np.linalg.solve(root.T, rng.standard_normal((len(root), n_models))).T
    limit = fit.loss * (1 + epsilon)
    least, most = np.zeros(n_models), np.full(n_models, 1.0)
    while np.any(inside := fit.losses(fit.weights + most[:, None] * steps) <= limit):
        most[inside] *= 2
    for _ in range(40):
        middle = (least + most) / 2
        within = fit.losses(fit.weights + middle[:, None] * steps) <= limit
        least, most = np.where(within, middle, least), np.where(within, most, middle)
    return np.asarray(fit.weights + least[:, None] * steps)


@claim(
    "prob-multiplicity",
    says="a viable range holds the predictions of every near-optimal model",
    where="Definition 2, viable prediction range",
    expect=Oracle(1e-6),
    unit="log-odds by which the worst of 300 near-optimal models leaves a range",
    subject=_exact_ranges,
    twin=Twin("ranges from the curvature at the optimum", _quadratic_ranges),
    quick=8,
    full=200,
)
def ranges_hold_all_models(rng: np.random.Generator, rule: RangeRule) -> float:
    """Models are random directions followed to the loss limit of 5 % extra loss."""
    features, fit = _simulated_fit(rng)
    low, high = rule(fit, 0.05, features)
    log_odds = boundary_models(rng, fit, 0.05, 300) @ fit.design.T
    return float(max(np.max(log_odds - high), np.max(low - log_odds), 0.0))


def _refit_ranges(fit: LogisticFit, epsilon: float, points: FloatArray) -> Ends:
    """Ranges over refits to resampled rows that happen to lie within the loss limit."""
    rng = np.random.default_rng(len(points))
    n_rows = len(fit.outcome)
    models = [fit.weights]
    for _ in range(60):
        rows = rng.integers(n_rows, size=n_rows)
        if 0 < fit.outcome[rows].mean() < 1:
            refit = fit_logistic(fit.design[rows, 1:], fit.outcome[rows], 1 / (fit.ridge * n_rows))
            models.append(refit.weights)
    near = np.array(models)
    near = near[fit.losses(near) <= fit.loss * (1 + epsilon)]
    log_odds = near @ np.column_stack([np.ones(len(points)), points]).T
    return log_odds.min(axis=0), log_odds.max(axis=0)


def solver_end(fit: LogisticFit, epsilon: float, point: FloatArray, sign: int) -> float:
    """One end of one range by a general constrained solver, in log-odds."""
    row = np.concatenate([[1.0], point])

    def slack(weights: FloatArray) -> float:
        return float(fit.loss * (1 + epsilon) - fit.losses(weights)[0])

    def slope(weights: FloatArray) -> FloatArray:
        gradient = (expit(fit.design @ weights) - fit.outcome) @ fit.design / len(fit.outcome)
        gradient[1:] += fit.ridge * weights[1:]
        return np.asarray(-gradient)

    answer = minimize(
        lambda weights: -sign * (row @ weights),
        fit.weights,
        jac=lambda weights: -sign * row,
        constraints=[{"type": "ineq", "fun": slack, "jac": slope}],
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 500},
    )
    return float(row @ answer.x)


@claim(
    "prob-multiplicity",
    says="the ends of a viable range are those a constrained convex solver finds for each person",
    where="Section on methodology, convex empirical risk minimisation",
    expect=Oracle(1e-4),
    unit="largest difference of an end in probability, five people",
    subject=_exact_ranges,
    twin=Twin("ends over 60 refits to resampled rows within the limit", _refit_ranges),
    quick=6,
    full=100,
)
def ends_equal_a_solver(rng: np.random.Generator, rule: RangeRule) -> float:
    """Both ends of five people at 2 % extra loss against SLSQP."""
    features, fit = _simulated_fit(rng)
    points = features[:5]
    low, high = rule(fit, 0.02, points)
    ours = np.array([low, high])
    theirs = np.array([[solver_end(fit, 0.02, x, sign) for x in points] for sign in (-1, 1)])
    return float(np.abs(expit(ours) - expit(theirs)).max())


@claim(
    "prob-multiplicity",
    says="refitting to resampled rows and keeping the near-optimal fits understates how far "
    "probabilities can move",
    where="Experiments, comparison with ad hoc model sets",
    expect=Below(0.9),
    unit="mean width of ranges over the mean exact width",
    subject=_refit_ranges,
    twin=Twin("the models at the ends of the exact ranges", _exact_ranges),
    quick=8,
    full=120,
)
def refits_understate(rng: np.random.Generator, rule: RangeRule) -> float:
    """Ratio of mean widths in probability at 2 % extra loss."""
    features, fit = _simulated_fit(rng)
    widths = [
        np.mean(expit(high) - expit(low))
        for low, high in (rule(fit, 0.02, features), _exact_ranges(fit, 0.02, features))
    ]
    return float(widths[0] / widths[1])


def _log_odds_width(fit: LogisticFit, features: FloatArray) -> FloatArray:
    low, high = _exact_ranges(fit, 0.02, features)
    return high - low


def _label_uncertainty(fit: LogisticFit, features: FloatArray) -> FloatArray:
    return fit.probability * (1 - fit.probability)


@claim(
    "prob-multiplicity",
    says="outliers are the least settled: log-odds ranges widen with distance from the middle",
    where="Section on data set characteristics, outliers",
    expect=Above(0.3),
    unit="rank correlation with Mahalanobis distance",
    subject=_log_odds_width,
    twin=Twin("the spread p (1 - p) of the outcome under the baseline", _label_uncertainty),
    quick=20,
    full=400,
)
def outliers_are_unsettled(
    rng: np.random.Generator, measure: Callable[[LogisticFit, FloatArray], FloatArray]
) -> float:
    """Rank correlation over 120 rows of four heavy-tailed features."""
    features, fit = _simulated_fit(rng)
    centred = features - features.mean(axis=0)
    inverse = np.linalg.inv(centred.T @ centred)
    distance = np.einsum("ij,jk,ik->i", centred, inverse, centred)
    return float(spearmanr(measure(fit, features), distance).statistic)


def _ambiguity(fit: LogisticFit, ranges: ViableRanges) -> float:
    return float(ambiguity(ranges, fit.probability, 0.1)[0])


def _mean_log_odds_width(fit: LogisticFit, ranges: ViableRanges) -> float:
    return float(np.mean(ranges.high - ranges.low))


@claim(
    "prob-multiplicity",
    says="the less separable the classes, the more probabilities some near-optimal model moves",
    where="Section on data set characteristics, separability",
    expect=Above(0),
    unit="share of people moved by 0.1, overlapping less well separated classes",
    subject=_ambiguity,
    twin=Twin("mean width of the ranges in log-odds", _mean_log_odds_width),
    quick=12,
    full=200,
)
def overlap_unsettles(
    rng: np.random.Generator, severity: Callable[[LogisticFit, ViableRanges], float]
) -> float:
    """Two Gaussian classes of 75 rows, one or four deviations apart, at 1 % extra loss."""
    outcome = np.repeat([0.0, 1.0], 75)
    noise = rng.standard_normal((150, 2))
    found = []
    for apart in (1.0, 4.0):
        fit = fit_logistic(noise + apart * np.outer(outcome, [1.0, 0.0]), outcome)
        found.append(severity(fit, viable_ranges(fit, [0.01])))
    return found[0] - found[1]
