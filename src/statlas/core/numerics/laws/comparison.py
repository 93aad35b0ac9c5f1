"""Which law describes the runs, and which one can be trusted beyond them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar
from scipy.special import ndtr

from statlas.core.errors import InputError
from statlas.core.numerics.laws.fitting import LawFit, fit_law
from statlas.core.numerics.laws.law import FloatArray, Inputs, Law
from statlas.core.numerics.laws.problem import Objective
from statlas.core.numerics.laws.uncertainty import BootstrapKind, Draws, bootstrap, refit


@dataclass(frozen=True)
class Information:
    """Information criteria of a fit; lower is better, and only differences on the same rows count.

    They rest on the density that the objective is the logarithm of, exp(-rho(r) / tau) / Z(tau),
    with tau at its most likely value: a normal one for least squares, and close to Laplace's for
    Huber's function with a small threshold.
    """

    log_likelihood: float
    n_parameters: int
    aic: float
    aicc: float
    bic: float


def information(fit: LawFit) -> Information:
    """AIC, its small-sample form AICc, and BIC of a fit.

    The spread tau counts as a parameter. For ``"log"`` residuals the density is that of the
    logarithm of the observations.
    """
    weights = fit.problem.weights
    used = weights > 0
    n = int(used.sum())
    residuals = fit.residuals[used] * np.sqrt(weights[used])
    total = float(np.sum(fit.problem.objective.rho(residuals)))
    width = 0.5 * float(np.sum(np.log(weights[used])))
    log_likelihood = width - _lowest_cost(total, n, fit.problem.objective.huber)
    k = fit.n_free + 1
    aic = 2 * k - 2 * log_likelihood
    small = 2 * k * (k + 1) / (n - k - 1) if n > k + 1 else np.inf
    return Information(
        log_likelihood, k, aic, float(aic + small), float(k * np.log(n) - 2 * log_likelihood)
    )


def _lowest_cost(total: float, n: int, huber: float | None) -> float:
    """Minus the log-likelihood of residuals with summed loss `total`, at the best tau."""
    total = max(total, 1e-300)
    if huber is None:
        return float(0.5 * n * (np.log(2 * np.pi * 2 * total / n) + 1))

    def cost(log_tau: float) -> float:
        tau = np.exp(log_tau)
        root = np.sqrt(tau)
        inner = np.sqrt(2 * np.pi) * root * (1 - 2 * ndtr(-huber / root))
        outer = 2 * tau / huber * np.exp(-0.5 * huber**2 / tau)
        return float(total / tau + n * np.log(inner + outer))

    centre = float(np.log(total / n))
    found = minimize_scalar(cost, bounds=(centre - 12, centre + 12), method="bounded")
    return float(found.fun)


@dataclass(frozen=True)
class LawScore:
    """How one law does on the same rows as the others.

    Attributes
    ----------
    fit
        Its fit on all rows.
    information
        Its criteria.
    held_out
        Root mean square of held-out residuals over folds; NaN where a fold could not be fitted.
    held_out_errors
        The held-out residual of each row, shape (n_rows,), for paired comparisons.
    """

    fit: LawFit
    information: Information
    held_out: float
    held_out_errors: FloatArray


def compare_laws(
    laws: Sequence[Law],
    inputs: Inputs,
    observed: ArrayLike,
    objective: Objective | None = None,
    *,
    folds: int | ArrayLike = 5,
    weights: ArrayLike | None = None,
    n_starts: int = 200,
    rng: int | np.random.Generator = 0,
) -> list[LawScore]:
    """Fit several laws to the same rows; criteria and held-out errors of each.

    Parameters
    ----------
    laws
        Laws whose inputs are all among `inputs`.
    inputs, observed, objective, weights, n_starts, rng
        As for `fit_law`.
    folds
        Number of random folds, or the fold of each row (whole sizes, or runs, held out together).

    Returns
    -------
    list of LawScore
        In the order of the laws.
    """
    generator = np.random.default_rng(rng)
    n_rows = len(np.asarray(observed))
    fold_of = _folds(folds, n_rows, generator)
    seed = int(generator.integers(2**32))
    row_weights = np.ones(n_rows) if weights is None else np.asarray(weights, dtype=float)
    scores = []
    for law in laws:
        fit = fit_law(
            law, inputs, observed, objective, weights=row_weights, n_starts=n_starts, rng=seed
        )
        errors = np.full(n_rows, np.nan)
        for fold in np.unique(fold_of):
            out = fold_of == fold
            kept = np.where(out, 0.0, row_weights)
            part = fit_law(
                law, inputs, observed, objective, weights=kept, n_starts=n_starts, rng=seed
            )
            errors[out] = part.residuals[out]
        scored = row_weights > 0
        held_out = float(np.sqrt(np.mean(errors[scored] ** 2)))
        scores.append(LawScore(fit, information(fit), held_out, errors))
    return scores


def _folds(folds: int | ArrayLike, n_rows: int, rng: np.random.Generator) -> NDArray[np.int64]:
    given = np.asarray(folds)
    if given.ndim == 0:
        if not 2 <= int(given) <= n_rows:
            raise InputError(f"between 2 and {n_rows} folds are needed; got {given}")
        return np.asarray(rng.permutation(n_rows) % int(given))
    if given.shape != (n_rows,):
        raise InputError(f"{n_rows} folds are needed, one a row")
    return np.asarray(np.unique(given, return_inverse=True)[1])


def held_out_residuals(fit: LawFit, fold: ArrayLike) -> FloatArray:
    """Residual of each row by a refit without its fold, all folds fitted together.

    Refits start from the optima of the fit, as those of a bootstrap do, so this is quick where a
    law has been fitted already; `compare_laws` starts each fold anew.

    Parameters
    ----------
    fit
        The fit on all rows.
    fold
        Number of each row's fold, shape (n_rows,); rows of fold -1 are fitted in every fold.

    Returns
    -------
    ndarray
        Fitted - observed on the objective's scale, shape (n_rows,); NaN for rows of fold -1.

    Raises
    ------
    InputError
        If a number a row is not given, or no row has a fold.

    Examples
    --------
    >>> from statlas.core.numerics.laws import POWER_LAW
    >>> x = np.geomspace(1, 100, 8)
    >>> fit = fit_law(POWER_LAW, {"x": x}, 3 * x**-0.5, Objective("log"))
    >>> float(np.abs(held_out_residuals(fit, np.arange(8) % 4)).max()) < 1e-6
    True
    """
    problem, folds = fit.problem, np.asarray(fold)
    if folds.shape != (problem.n_rows,) or not np.any(folds >= 0):
        raise InputError(f"{problem.n_rows} folds are needed, one a row, some of 0 or more")
    numbers = np.unique(folds[folds >= 0])
    kept = folds[None, :] != numbers[:, None]
    coordinates, _ = refit(replace(problem, weights=problem.weights * kept), fit, len(numbers))
    residuals = problem.residuals(coordinates)
    own = np.sum(np.where(kept, 0.0, residuals), axis=0)
    return np.asarray(np.where(kept.all(axis=0), np.nan, own))


@dataclass(frozen=True)
class Extrapolation:
    """A law fitted to the cheap runs and judged on the dear ones.

    Attributes
    ----------
    draws
        The fit below the cut with its bootstrap.
    above
        Which rows were predicted, shape (n_rows,).
    predicted, low, high
        Predictions for those rows, with intervals for one new run.
    errors
        log(predicted) - log(observed), or predicted - observed, of those rows.
    """

    draws: Draws
    above: NDArray[np.bool_]
    predicted: FloatArray
    low: FloatArray
    high: FloatArray
    errors: FloatArray
    observed: FloatArray

    @property
    def root_mean_square(self) -> float:
        """Root mean square of the errors."""
        return float(np.sqrt(np.mean(self.errors**2)))

    @property
    def bias(self) -> float:
        """Mean error: above 0 where the law promises more than came."""
        return float(np.mean(self.errors))

    @property
    def coverage(self) -> float:
        """Share of the rows above the cut that lie within their interval."""
        return float(np.mean((self.low <= self.observed) & (self.observed <= self.high)))


def extrapolation_check(
    law: Law,
    inputs: Inputs,
    observed: ArrayLike,
    compute: ArrayLike,
    *,
    cut: float,
    objective: Objective | None = None,
    level: float = 0.95,
    n_starts: int = 200,
    n_draws: int = 300,
    kind: BootstrapKind = "residual",
    rng: int | np.random.Generator = 0,
) -> Extrapolation:
    """Fit a law to the runs up to a compute cut and score it on those above.

    Parameters
    ----------
    law, inputs, observed, objective, n_starts
        As for `fit_law`.
    compute
        Cost of each run, shape (n_rows,).
    cut
        Runs that cost at most this are fitted.
    level, n_draws, kind
        Of the prediction intervals.
    rng
        Source of starts and samples.

    Raises
    ------
    InputError
        If no run lies above the cut, or too few below it.
    """
    generator = np.random.default_rng(rng)
    values, cost = np.asarray(observed, dtype=float), np.asarray(compute, dtype=float)
    above = cost > cut
    if not above.any():
        raise InputError(f"no run costs more than {cut:g}", remedy="choose a lower cut")
    arrays = {name: np.asarray(inputs[name], dtype=float) for name in law.inputs}
    below = {name: array[~above] for name, array in arrays.items()}
    beyond = {name: array[above] for name, array in arrays.items()}
    fit = fit_law(law, below, values[~above], objective, n_starts=n_starts, rng=generator)
    draws = bootstrap(fit, n_draws, kind=kind, rng=generator)
    predicted, low, high = draws.predict(beyond, level, new_run=True, rng=generator)
    if fit.problem.objective.residual == "log":
        errors = np.log(predicted) - np.log(values[above])
    else:
        errors = predicted - values[above]
    return Extrapolation(draws, above, predicted, low, high, errors, values[above])
