"""Fits of one law to many subsets of the runs at once, and their draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from statlas.core.numerics.laws import Law, LawFit, Objective, fit_law
from statlas.core.numerics.laws.minimise import levenberg_marquardt, minimise, solve_damped
from statlas.core.numerics.laws.problem import Problem
from statlas.core.numerics.laws.uncertainty import refit
from statlas.scaling.gemstones.accounting import FloatArray

Drawing = Literal["few-steps", "refit"]

_STARTS = 60
_SEEDS = 3  # optima of all rows from which each subset starts
_SCOUTING, _ITERATIONS, _TOLERANCE = 12, 120, 1e-9
_DAMPING = 1e-6  # of the first step of a draw, relative to the curvature
_STEPS, _ROUNDS_OF_HUBER = 8, 2  # of a draw; Huber's function is followed more slowly


def first_fit(
    law: Law,
    inputs: dict[str, FloatArray],
    loss: FloatArray,
    weights: FloatArray,
    objective: Objective,
    rng: np.random.Generator,
) -> LawFit:
    """The law fitted to all rows from many starts."""
    return fit_law(law, inputs, loss, objective, weights=weights, n_starts=_STARTS, rng=rng)


def seeds_of(fit: LawFit) -> FloatArray:
    """The best optimum of a fit and others that are nearly as good, fitting coordinates."""
    order = np.argsort(fit.optima_values, kind="stable")
    scales = np.array([parameter.natural_scale for parameter in fit.law.parameters])
    chosen = [fit.coordinates]
    for place in order:
        if len(chosen) == _SEEDS or fit.optima_values[place] > 1.5 * fit.value:
            break
        distances = [np.max(np.abs(fit.optima[place] - other) / scales) for other in chosen]
        if min(distances) > 0.2:
            chosen.append(fit.optima[place])
    return np.array(chosen)


def fit_subsets(
    problem: Problem, subsets: Sequence[NDArray[np.bool_]], seeds: FloatArray
) -> list[LawFit]:
    """The law fitted to each subset of the rows, all together, from the optima of all rows.

    Parameters
    ----------
    problem
        Law, rows and objective.
    subsets
        Rows of each fit, shape (n_rows,) each.
    seeds
        Fitting coordinates to start from, shape (n_seeds, n_parameters).
    """
    n_seeds, n_subsets = len(seeds), len(subsets)
    weights = problem.weights * np.array(subsets, dtype=float)
    samples = replace(problem, weights=np.repeat(weights, n_seeds, axis=0))
    starts = np.tile(seeds, (n_subsets, 1))
    found = minimise(
        samples, starts, scouting=_SCOUTING, iterations=_ITERATIONS, tolerance=_TOLERANCE
    )
    values = found.value.reshape(n_subsets, n_seeds)
    best = values.argmin(axis=1)
    rows = np.arange(n_subsets) * n_seeds + best
    return [
        LawFit(
            problem=replace(problem, weights=weights[place]),
            coordinates=found.coordinates[row],
            value=float(found.value[row]),
            free=np.ones(starts.shape[1], dtype=bool),
            converged=bool(found.converged[row]),
            n_starts=n_seeds,
            n_refined=n_seeds,
            n_at_best=1,
            optima=found.coordinates[place * n_seeds : (place + 1) * n_seeds],
            optima_values=values[place],
        )
        for place, row in enumerate(rows)
    ]


def draw_parameters(
    fit: LawFit, weights: FloatArray, losses: FloatArray, seeds: FloatArray, drawing: Drawing
) -> FloatArray:
    """Parameters at the data (first) and under each resampling of the trainings.

    ``"few-steps"`` takes one Gauss-Newton step from the fit with the sample's own gradient and
    curvature (where Huber's threshold is narrow the curvature is smoothed over the middle of the
    residuals, as in `LawFit.covariance`), then a few damped steps on the sample's objective, from
    there and from other optima, and keeps the best. ``"refit"`` minimises to the end, which takes
    several times as long.

    Parameters
    ----------
    fit
        The fit.
    weights, losses
        Of each sample and row, shape (n_draws, n_rows).
    seeds
        Other optima to start from, fitting coordinates, shape (n_seeds, n_parameters).
    drawing
        How.

    Returns
    -------
    ndarray
        Natural units, shape (1 + n_draws, n_parameters); NaN where a refit failed.
    """
    if len(weights) == 0:
        return fit.natural[None]
    used = fit.problem.weights > 0
    observed = np.log(losses) if fit.problem.objective.residual == "log" else losses
    samples = Problem(
        fit.law,
        {name: values[used] for name, values in fit.problem.prepared.items()},
        observed[:, used],
        weights[:, used],
        fit.problem.objective,
    )
    if drawing == "refit":
        coordinates, fine = refit(samples, fit, len(weights))
        natural = fit.law.to_natural(coordinates)
        natural[~fine] = np.nan
        return np.vstack([fit.natural, natural])
    free = np.broadcast_to(fit.free, (len(weights), len(fit.free)))
    begins = [_one_step(fit, samples, used, free)]
    begins += [np.repeat(seed[None], len(weights), axis=0) for seed in seeds]
    rounds = 1 if fit.problem.objective.huber is None else _ROUNDS_OF_HUBER
    best, lowest = begins[0], np.full(len(weights), np.inf)
    for begin in begins:
        here = begin
        for _ in range(rounds):  # each begins with fresh damping, which else falls to nothing
            here = levenberg_marquardt(samples, here, free, _STEPS)
        value = samples.evaluate(here).value
        best = np.where((value < lowest)[:, None], here, best)
        lowest = np.minimum(value, lowest)
    return np.vstack([fit.natural, fit.law.to_natural(best)])


def _one_step(
    fit: LawFit, samples: Problem, used: NDArray[np.bool_], free: NDArray[np.bool_]
) -> FloatArray:
    """Coordinates after one Gauss-Newton step on each sample."""
    here = fit.coordinates[None]
    jacobian = samples.jacobian(here)[0]
    residuals = samples.residuals(here)  # of each sample's own losses
    own = samples.objective.psi(fit.residuals[used]) * fit.problem.weights[used]
    # The optimum's own gradient, which is 0 but for rounding and creases, is taken off.
    gradient = (samples.objective.psi(residuals) * samples.weights - own) @ jacobian.T
    n_parameters = len(jacobian)
    products = (jacobian[:, None] * jacobian[None]).reshape(n_parameters**2, -1)
    curvature = fit.loss_moments[1] * (samples.weights @ products.T)
    matrix = curvature.reshape(-1, n_parameters, n_parameters)
    step = solve_damped(matrix, gradient, free, np.full(len(gradient), _DAMPING))
    moved: FloatArray = np.clip(fit.coordinates - step, *fit.law.box)
    return moved
