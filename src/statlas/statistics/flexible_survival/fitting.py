"""Maximum likelihood: covariates on any of the four parameters, families, starts, covariance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import optimize, stats

from statlas.statistics.flexible_survival.family import FloatArray, survival_quantile
from statlas.statistics.flexible_survival.likelihood import (
    PARAMETERS,
    IntArray,
    Likelihood,
    Predictors,
    Times,
    hazard_at,
)

Family = Literal[
    "apgw", "apgw4", "weibull", "exponential", "log-logistic", "burr", "gompertz",
    "exponential-power",
]  # fmt: skip

# Fixed log lambda, log gamma and log(kappa + 1) of each family; None where estimated.
FAMILIES: dict[Family, tuple[float | None, float | None, float | None]] = {
    "apgw": (0.0, None, None),
    "apgw4": (None, None, None),
    "weibull": (0.0, None, float(np.log(2.0))),
    "exponential": (0.0, 0.0, float(np.log(2.0))),
    "log-logistic": (0.0, None, 0.0),
    "burr": (None, None, 0.0),
    "gompertz": (None, 0.0, np.inf),
    "exponential-power": (0.0, None, np.inf),
}
# Intercepts are searched within these; an estimate on an edge is the limit beyond it.
_BOUNDS = {"phi": (-25.0, 25.0), "lambda": (-12.0, 12.0), "gamma": (-4.0, 4.0), "kappa": (-4, 6.0)}
_SLOPE = 12.0  # largest effect of a standard deviation of a covariate, on the log scale
_STARTS = (float(np.log(2.0)), -0.5, 1.5)  # log(kappa + 1)


@dataclass(frozen=True)
class Design:
    """Which columns act on which parameter.

    Attributes
    ----------
    columns
        For each of phi, lambda, gamma and kappa the indices of the covariates that act on it.
    family
        Which intercepts are estimated and which are fixed.
    """

    columns: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]] = (
        (), (), (), (),
    )  # fmt: skip
    family: Family = "apgw"

    @property
    def fixed(self) -> tuple[float | None, ...]:
        """Fixed intercepts of phi, lambda, gamma and kappa, None where estimated."""
        return (None, *FAMILIES[self.family])

    @property
    def labels(self) -> list[tuple[str, int]]:
        """Parameter and covariate (-1 for the intercept) of each coefficient."""
        found = []
        for name, fixed, columns in zip(PARAMETERS, self.fixed, self.columns, strict=True):
            found += [(name, -1)] if fixed is None else []
            found += [(name, column) for column in columns]
        return found

    def matrices(self, covariates: FloatArray) -> tuple[list[FloatArray], list[float]]:
        """Design matrix and fixed intercept of each parameter."""
        ones = np.ones((len(covariates), 1))
        matrices, offsets = [], []
        for fixed, columns in zip(self.fixed, self.columns, strict=True):
            own = covariates[:, list(columns)]
            matrices.append(np.hstack([ones, own]) if fixed is None else own)
            offsets.append(0.0 if fixed is None else fixed)
        return matrices, offsets


@dataclass(frozen=True)
class Fit:
    """A fitted model, in terms of standardised covariates and of time over `unit`.

    Attributes
    ----------
    design
        Which columns act where.
    centre, spread
        Mean and standard deviation by which each covariate was standardised, (n_covariates,).
    log_unit
        Logarithm of the time unit of the fit.
    coefficients, covariance
        Estimates, (p,), and their covariance by the observed information, (p, p).
    log_likelihood
        In the user's time unit.
    converged
        Whether the gradient vanishes and the information is positive.
    at_edge
        Labels of intercepts on the edge of their range: the limit beyond it fits as well.
    """

    design: Design
    centre: FloatArray
    spread: FloatArray
    log_unit: float
    coefficients: FloatArray
    covariance: FloatArray = field(repr=False)
    log_likelihood: float
    n_rows: int
    n_events: int
    converged: bool
    at_edge: tuple[str, ...]

    @property
    def n_parameters(self) -> int:
        """Number of estimated coefficients."""
        return len(self.coefficients)

    @property
    def aic(self) -> float:
        """Akaike's criterion."""
        return 2 * self.n_parameters - 2 * self.log_likelihood

    @property
    def bic(self) -> float:
        """Bayes' criterion, with the number of rows."""
        return float(np.log(self.n_rows)) * self.n_parameters - 2 * self.log_likelihood

    def predictors(self, covariates: ArrayLike) -> tuple[Predictors, list[FloatArray]]:
        """The four predictors (log phi in the user's unit) and the matrices they come from."""
        x = (np.atleast_2d(np.asarray(covariates, dtype=float)) - self.centre) / self.spread
        matrices, offsets = self.design.matrices(x)
        parts = _predict(matrices, offsets, self.coefficients)
        return parts._replace(tau=parts.tau - self.log_unit), matrices


def _predict(
    matrices: list[FloatArray], offsets: list[float], coefficients: FloatArray
) -> Predictors:
    ends = np.cumsum([m.shape[1] for m in matrices])[:-1]
    parts = np.split(coefficients, ends)
    return Predictors(*(o + m @ c for m, o, c in zip(matrices, offsets, parts, strict=True)))


class _Problem:
    """Negative mean log-likelihood of the coefficients, in standardised terms."""

    def __init__(self, times: Times, covariates: FloatArray, design: Design) -> None:
        self.likelihood = Likelihood(times)
        self.matrices, self.offsets = design.matrices(covariates)
        self.n = len(times)
        self.bounds = [
            _BOUNDS[name] if column < 0 else (-_SLOPE, _SLOPE) for name, column in design.labels
        ]

    def __call__(self, coefficients: FloatArray) -> tuple[float, FloatArray]:
        total, by_row = self.likelihood(_predict(self.matrices, self.offsets, coefficients))
        if not (np.isfinite(total) and total > -1e200):
            return 1e10, np.zeros_like(coefficients)
        gradient = np.concatenate([part @ m for part, m in zip(by_row, self.matrices, strict=True)])
        return -total / self.n, -gradient / self.n

    def information(self, coefficients: FloatArray) -> FloatArray:
        """Second derivatives by central differences of the gradient, (p, p)."""
        step, rows = 1e-4, []
        for unit in np.eye(len(coefficients)):
            ahead, behind = self(coefficients + step * unit)[1], self(coefficients - step * unit)[1]
            rows.append((ahead - behind) / (2 * step))
        matrix = np.array(rows)
        return (matrix + matrix.T) / 2


def _newton(problem: _Problem, place: FloatArray, free: IntArray) -> tuple[FloatArray, FloatArray]:
    """Damped Newton steps on the free coefficients; the place and its information.

    Directions of negative curvature are followed downhill, as far as their size says.
    """
    information = problem.information(place)
    low, high = np.array(problem.bounds).T
    for _ in range(30):
        value, gradient = problem(place)
        if np.abs(gradient[free]).max(initial=0.0) < 1e-10:
            break
        curvature, axes = np.linalg.eigh(information[np.ix_(free, free)])
        size = np.maximum(np.abs(curvature), 1e-9 * np.abs(curvature).max())
        step = np.zeros_like(place)
        step[free] = axes @ ((axes.T @ gradient[free]) / size)
        step *= min(1.0, 2.0 / float(np.abs(step).max()))
        for shrink in (1.0, 0.5, 0.1, 0.01):
            trial = np.clip(place - shrink * step, low, high)
            if problem(trial)[0] <= value:
                break
        else:
            break
        moved, place = float(np.abs(trial - place).max()), trial
        if moved > 1e-6:
            information = problem.information(place)
    return place, information


def _minimise(problem: _Problem, start: FloatArray, gain: float = 1e-9) -> tuple[FloatArray, float]:
    """Climb until the gain is small; Newton's steps do the rest."""
    found = optimize.minimize(
        problem, start, jac=True, method="L-BFGS-B", bounds=problem.bounds,
        options={"maxiter": 500, "ftol": gain, "gtol": 1e-5, "maxcor": 20},
    )  # fmt: skip
    return found.x, float(found.fun)


def _log_rate(times: Times) -> float:
    """Logarithm of events per time: the exponential's estimate, middles for intervals."""
    end = np.where(times.interval, (times.time + np.nan_to_num(times.upper)) / 2, times.time)
    return float(np.log(max(times.event.sum(), 0.5) / max((end - times.entry).sum(), 1e-300)))


def fit_survival(
    times: Times, covariates: ArrayLike | None = None, design: Design | None = None
) -> Fit:
    """Fit by maximum likelihood from several starts.

    Parameters
    ----------
    times
        What is known of each time, n rows with at least one event.
    covariates
        Numbers, shape (n, k); standardised here, so intercepts are at their mean.
    design
        Which covariates act on which parameter, and the family.

    Raises
    ------
    ValueError
        If there is no event, or shapes do not match.

    Examples
    --------
    >>> times = Times.of(np.array([1.0, 2.0, 3.0, 5.0]), np.array([1, 1, 1, 0]))
    >>> fit = fit_survival(times, design=Design(family="exponential"))
    >>> print(np.exp(fit.predictors(np.zeros((1, 0)))[0].tau).round(4))  # 3 events in 11
    [0.2727]
    """
    design = design or Design()
    x = np.zeros((len(times), 0)) if covariates is None else np.asarray(covariates, dtype=float)
    if x.shape[0] != len(times):
        raise ValueError(f"{x.shape[0]} rows of covariates for {len(times)} times")
    if not times.event.any():
        raise ValueError("no event was seen; a hazard cannot be estimated")
    centre, spread = x.mean(axis=0), x.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    log_unit = -_log_rate(times)
    scaled = _in_unit(times, np.exp(log_unit))
    problem = _Problem(scaled, (x - centre) / spread, design)
    place, information = _best_of_starts(problem, design)
    low, high = np.array(problem.bounds).T
    edge = (place <= low + 1e-6) | (place >= high - 1e-6)
    free = np.flatnonzero(~edge)
    value, gradient = problem(place)
    own = information[np.ix_(free, free)] * len(times)
    positive = len(free) > 0 and np.linalg.eigvalsh(own)[0] > 1e-9 * np.abs(own).max()
    covariance = np.full((len(place), len(place)), np.nan)
    if positive:
        covariance[np.ix_(free, free)] = np.linalg.inv(own)
    return Fit(
        design, centre, spread, log_unit, place, covariance,
        -value * len(times) - times.exact.sum() * log_unit, len(times), int(times.event.sum()),
        bool(positive and np.abs(gradient[free]).max() < 1e-5),
        tuple(_edge_name(design.labels[i]) for i in np.flatnonzero(edge)),
    )  # fmt: skip


def _edge_name(label: tuple[str, int]) -> str:
    return label[0] if label[1] < 0 else f"a covariate on {label[0]}"


def _in_unit(times: Times, unit: float) -> Times:
    return Times(times.time / unit, times.event, times.entry / unit, times.upper / unit)


def _best_of_starts(problem: _Problem, design: Design) -> tuple[FloatArray, FloatArray]:
    """Climb from each start's shape; polish the best by Newton's steps."""
    labels = design.labels
    start = np.zeros(len(labels))
    shapes: Sequence[float] = _STARTS
    if ("kappa", -1) not in labels:
        shapes = (float(np.log(2.0)),)
    if design.family == "gompertz":  # phi is the ageing rate there: begin almost constant
        start[labels.index(("phi", -1))], start[labels.index(("lambda", -1))] = -2.0, 2.0
    best, place = np.inf, start
    for shape in shapes:
        begin = place.copy() if np.isfinite(best) else start
        if ("kappa", -1) in labels:
            begin[labels.index(("kappa", -1))] = shape
        found, value = _minimise(problem, begin)
        if value < best - 1e-12:
            best, place = value, found
    return _polish(problem, place)


def _polish(problem: _Problem, place: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Newton's steps inside the bounds; climb again where they end away from a maximum."""
    low, high = np.array(problem.bounds).T
    for attempt in range(3):
        inside = np.flatnonzero((place > low + 1e-6) & (place < high - 1e-6))
        place, information = _newton(problem, place, inside)
        gradient = problem(place)[1]
        pulled = np.clip(place - gradient, low, high) - place
        if np.abs(pulled).max() < 1e-5 or attempt == 2:
            break
        place, _ = _minimise(problem, np.clip(place, low + 0.05, high - 0.05), 1e-13)
    return place, information


# --- what the fit says ---------------------------------------------------------------------------


def _chain(matrices: list[FloatArray], by: FloatArray) -> FloatArray:
    """Gradients by the coefficients, (n, p), of functions of the four predictors, by (4, n)."""
    return np.hstack([m * part[:, None] for m, part in zip(matrices, by, strict=True)])


def _spread(fit: Fit, gradient: FloatArray) -> FloatArray:
    """Standard error by the delta method; coefficients on an edge are taken as known."""
    known = np.nan_to_num(fit.covariance)
    return np.asarray(np.sqrt(np.maximum(((gradient @ known) * gradient).sum(axis=1), 0.0)))


def predict(
    fit: Fit, covariates: ArrayLike, time: ArrayLike, level: float = 0.95
) -> dict[str, FloatArray]:
    """Survival and hazard with pointwise intervals by the delta method.

    Parameters
    ----------
    fit
        A fitted model.
    covariates
        One row of covariates, (k,), or several, (n, k): then the survival of their mixture, the
        mean of their survivals, and its hazard.
    time
        Times above 0, shape (m,).
    level
        Confidence level.

    Returns
    -------
    dict
        ``survival``, ``survival_low``, ``survival_high`` (log cumulative hazard transformed) and
        ``hazard``, ``hazard_low``, ``hazard_high`` (log transformed), each (m,).
    """
    moments = np.asarray(time, dtype=float)
    rows = np.atleast_2d(np.asarray(covariates, dtype=float))
    at, matrices = fit.predictors(np.repeat(rows, len(moments), axis=0))
    shape = (len(rows), len(moments), -1)
    found = hazard_at(np.log(np.tile(moments, len(rows))), at)
    cumulative_by = _chain(matrices, found.cumulative_by).reshape(shape)
    log_hazard_by = _chain(matrices, found.log_hazard_by).reshape(shape)
    survival = np.exp(-found.cumulative).reshape(shape[:2])
    density = survival * np.exp(found.log_hazard).reshape(shape[:2])
    total, flow = survival.mean(axis=0), density.mean(axis=0)
    total_by = -(survival[..., None] * cumulative_by).mean(axis=0)
    flow_by = (density[..., None] * (log_hazard_by - cumulative_by)).mean(axis=0)
    z = stats.norm.ppf((1 + level) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.clip(total, 1e-300, 1 - 1e-16)[:, None]
        log_error = z * _spread(fit, total_by / (share * np.log(share)))
        hazard = flow / total
        hazard_error = z * _spread(fit, flow_by / flow[:, None] - total_by / total[:, None])
    depth = -np.log(share[:, 0])
    return {
        "survival": total,
        "survival_low": np.exp(-depth * np.exp(log_error)),
        "survival_high": np.exp(-depth * np.exp(-log_error)),
        "hazard": hazard,
        "hazard_low": hazard * np.exp(-hazard_error),
        "hazard_high": hazard * np.exp(hazard_error),
    }


def quantile_time(
    fit: Fit, covariates: ArrayLike, share: float = 0.5, level: float = 0.95
) -> tuple[float, float, float]:
    """Time by which `share` had the event, with interval; infinite if it is never reached.

    The interval comes from d log t / d theta = -(dH / d theta) / (t h(t)).
    """
    at, matrices = fit.predictors(np.atleast_2d(np.asarray(covariates, dtype=float)))
    log_time = survival_quantile(-np.log1p(-share), at.tau, at.beta, at.alpha, np.exp(-at.nu))
    if not np.all(np.isfinite(log_time)):
        return np.inf, np.nan, np.inf
    hazard = hazard_at(log_time, at)
    slope = np.exp(hazard.log_hazard + log_time)
    error = stats.norm.ppf((1 + level) / 2) * _spread(
        fit, _chain(matrices, -hazard.cumulative_by / slope)
    )
    centre, width = float(log_time[0]), float(error[0])
    return float(np.exp(centre)), float(np.exp(centre - width)), float(np.exp(centre + width))


def cure_fraction(
    fit: Fit, covariates: ArrayLike, level: float = 0.95
) -> tuple[float, float, float]:
    """Share that never has the event, exp(-lambda (kappa + 1) / -kappa) for kappa < 0, else 0.

    The interval is made on log(-log) scale; its lower end is 0 where the interval of kappa reaches
    0. Where the estimate is 0 the upper end is the share at the lower end of kappa's interval.
    """
    at, matrices = fit.predictors(np.atleast_2d(np.asarray(covariates, dtype=float)))
    nu, beta = float(at.nu[0]), float(at.beta[0])
    z = float(stats.norm.ppf((1 + level) / 2))
    by_nu = np.zeros((4, 1))
    by_nu[3] = 1.0
    error = z * float(_spread(fit, _chain(matrices, by_nu))[0])

    def share(value: float) -> float:
        return float(np.exp(-np.exp(beta) / np.expm1(-value))) if value < 0 else 0.0

    if nu >= 0:
        return 0.0, 0.0, share(nu - error)
    omega = np.exp(-nu)
    by = np.array([[0.0], [1.0], [0.0], [omega / (omega - 1)]])
    width = z * float(_spread(fit, _chain(matrices, by))[0])
    total = np.exp(beta) / (omega - 1)  # the limit of the cumulative hazard
    low, high = np.exp(-total * np.exp(width)), np.exp(-total * np.exp(-width))
    return share(nu), float(low) if nu + error < 0 else 0.0, float(high)


def likelihood_ratio(small: Fit, large: Fit) -> tuple[float, float]:
    """Twice the gain in log-likelihood of the larger nested model, and its chi-squared p-value."""
    gain = max(2 * (large.log_likelihood - small.log_likelihood), 0.0)
    freedom = large.n_parameters - small.n_parameters
    return gain, float(stats.chi2.sf(gain, freedom)) if freedom > 0 else np.nan
