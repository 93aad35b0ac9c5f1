"""Local minimisers that advance many fits together, each with its own step and its own pace.

First Levenberg and Marquardt's method, which is safe far from the optimum, on the curvature from
above that Huber's function has; then BFGS with a bisecting line search (weak Wolfe conditions,
after Lewis and Overton 2013, Math. Program. 141:135), which also settles in the creases that
Huber's function has where its threshold is far below the residuals. Fits that are done drop out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from statlas.core.numerics.laws.law import FloatArray
from statlas.core.numerics.laws.problem import Problem

BoolArray = NDArray[np.bool_]

_DECREASE, _CURVATURE = 1e-4, 0.9  # of the weak Wolfe conditions
_TRIALS = 30  # points on a line before it is given up
_LEAST_DAMPING = 1e-12  # with less, a singular matrix could not be solved


@dataclass(frozen=True)
class Minimum:
    """Where each fit ended.

    Attributes
    ----------
    coordinates, value
        Fitting coordinates (n_fits, n_parameters) and objective (n_fits,).
    converged
        Whether the reduction still promised by the local model is negligible, or no point along
        the search directions is lower in double precision.
    """

    coordinates: FloatArray
    value: FloatArray
    converged: BoolArray


def minimise(
    problem: Problem,
    starts: FloatArray,
    free: BoolArray | None = None,
    *,
    scouting: int = 6,
    iterations: int = 200,
    tolerance: float = 1e-12,
) -> Minimum:
    """Minimise the objective from each start.

    Parameters
    ----------
    problem
        What to minimise; with a sample a fit, `starts` has a row for each.
    starts
        Fitting coordinates, shape (n_fits, n_parameters).
    free
        Which coordinates may move, broadcast to the shape of `starts`; all by default.
    scouting, iterations
        Most steps of Levenberg-Marquardt, then of BFGS.
    tolerance
        Stop where the promised reduction is below this share of the objective.
    """
    free = np.broadcast_to(True if free is None else free, starts.shape)
    scouted = levenberg_marquardt(problem, starts, free, scouting)
    polished = bfgs(problem, scouted, free, iterations, tolerance)
    # A second round from a fresh matrix, for lines that were given up with the first one.
    return bfgs(problem, polished.coordinates, free, iterations, tolerance)


def levenberg_marquardt(
    problem: Problem, starts: FloatArray, free: BoolArray, steps: int
) -> FloatArray:
    """A few damped Gauss-Newton steps; returns the coordinates reached."""
    box, here = problem.law.box, starts.copy()
    projects = problem.objective.residual == "linear" and problem.law.linear and free.all()
    point = problem.evaluate(here, matrix=True)
    value, gradient, matrix = point.value.copy(), point.gradient.copy(), point.matrix
    assert matrix is not None
    damping = np.full(len(here), 1e-3)
    for _ in range(steps):
        move = -solve_damped(matrix, gradient, free, damping)
        trial = np.clip(here + move, *box)
        if projects:
            trial = problem.project(trial)
        point = problem.evaluate(trial, matrix=True)
        assert point.matrix is not None
        better = point.value < value
        here[better], value[better] = trial[better], point.value[better]
        gradient[better], matrix[better] = point.gradient[better], point.matrix[better]
        damping = np.where(better, np.maximum(0.1 * damping, _LEAST_DAMPING), 10 * damping)
    return here


def solve_damped(
    matrix: FloatArray, gradient: FloatArray, free: BoolArray, damping: FloatArray
) -> FloatArray:
    """Solve (matrix + damping x its diagonal) step = gradient over the free coordinates."""
    masked, diagonal = _masked(matrix, free)
    places = range(matrix.shape[1])
    masked[:, places, places] = diagonal * (1 + damping[:, None])
    right = np.where(free, gradient, 0.0)
    return np.asarray(np.linalg.solve(masked, right[:, :, None])[:, :, 0])


def _masked(matrix: FloatArray, free: BoolArray) -> tuple[FloatArray, FloatArray]:
    """The matrix with identity rows for what is held, and its diagonal kept off 0."""
    masked = np.where(free[:, :, None] & free[:, None, :], matrix, 0.0)
    diagonal = np.einsum("fii->fi", masked).copy()
    floor = 1e-12 * np.maximum(diagonal.max(axis=1, keepdims=True), 1e-280)
    diagonal = np.where(free, np.maximum(diagonal, floor), 1.0)
    places = range(matrix.shape[1])
    masked[:, places, places] = diagonal
    return masked, diagonal


@dataclass
class _Search:
    """The state of the fits that are still moving; the first axis of every array is the fit."""

    place: NDArray[np.int64]  # number of the fit
    here: FloatArray
    value: FloatArray
    gradient: FloatArray
    inverse: FloatArray  # approximate inverse of the Hessian
    direction: FloatArray
    slope: FloatArray  # derivative of the objective along the direction
    step: FloatArray
    lower: FloatArray  # longest step known to be too short
    upper: FloatArray  # shortest step known to be too long
    trials: NDArray[np.int64]
    free: BoolArray

    def keep(self, chosen: BoolArray) -> _Search:
        return _Search(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))


def bfgs(
    problem: Problem, starts: FloatArray, free: BoolArray, iterations: int, tolerance: float
) -> Minimum:
    """BFGS from each start, its first matrix the curvature from above."""
    n_fits = len(starts)
    answer, best = starts.copy(), np.full(n_fits, np.inf)
    converged = np.zeros(n_fits, dtype=bool)
    search = _begin(problem, starts, free)
    best[:] = search.value
    _aim(search, np.ones(n_fits, dtype=bool), problem.law.box)
    current = problem
    for _ in range(iterations):
        promised = -0.5 * search.slope
        done = ~(promised > tolerance * np.maximum(search.value, 1e-300))
        given_up = search.trials >= _TRIALS
        leaving = done | given_up | ~np.isfinite(search.value)
        if leaving.any():
            gone = search.place[leaving]
            converged[gone] = np.isfinite(search.value[leaving])
            search = search.keep(~leaving)
            current = problem.of_fits(search.place)
            if len(search.place) == 0:
                break
        moved = _try_points(current, search)
        answer[search.place[moved]] = search.here[moved]
        best[search.place[moved]] = search.value[moved]
        _aim(search, moved, problem.law.box)
    return Minimum(answer, best, converged)


def _begin(problem: Problem, starts: FloatArray, free: BoolArray) -> _Search:
    point = problem.evaluate(starts, matrix=True)
    assert point.matrix is not None
    masked, _ = _masked(point.matrix, free)
    ridge = 1e-10 * np.einsum("fii->fi", masked)
    places = range(starts.shape[1])
    masked[:, places, places] += ridge
    zeros = np.zeros(len(starts))
    return _Search(
        place=np.arange(len(starts)), here=starts.copy(), value=point.value.copy(),
        gradient=point.gradient.copy(), inverse=np.asarray(np.linalg.inv(masked), dtype=float),
        direction=np.zeros_like(starts), slope=zeros.copy(), step=zeros + 1.0, lower=zeros.copy(),
        upper=zeros + np.inf, trials=np.zeros(len(starts), dtype=np.int64), free=free.copy(),
    )  # fmt: skip


def _aim(search: _Search, which: BoolArray, box: FloatArray) -> None:
    """New directions for some fits, with nothing that would leave the box."""
    here, gradient = search.here[which], search.gradient[which]
    outwards = ((here <= box[0]) & (gradient > 0)) | ((here >= box[1]) & (gradient < 0))
    moving = search.free[which] & ~outwards
    pull = np.where(moving, gradient, 0.0)
    direction = np.where(moving, -np.einsum("fij,fj->fi", search.inverse[which], pull), 0.0)
    slope = np.einsum("fi,fi->f", direction, pull)
    uphill = ~(slope < 0)
    direction[uphill] = 0.0
    search.direction[which], search.slope[which] = direction, np.where(uphill, 0.0, slope)
    search.step[which], search.lower[which], search.upper[which] = 1.0, 0.0, np.inf
    search.trials[which] = 0


def _try_points(problem: Problem, search: _Search) -> BoolArray:
    """One point on each fit's line: moves there, or narrows the steps to try."""
    box = problem.law.box
    trial = np.clip(search.here + search.step[:, None] * search.direction, *box)
    point = problem.evaluate(trial)
    along = np.einsum("fi,fi->f", point.gradient, search.direction)
    too_long = ~(point.value <= search.value + _DECREASE * search.step * search.slope)
    too_short = ~too_long & (along < _CURVATURE * search.slope)
    search.trials += 1
    last_call = search.trials >= _TRIALS
    accepted = ~too_long & (~too_short | last_call) & (point.value < search.value)
    search.upper = np.where(too_long, search.step, search.upper)
    search.lower = np.where(too_short, search.step, search.lower)
    middle = 0.5 * (search.lower + np.where(np.isfinite(search.upper), search.upper, 0.0))
    search.step = np.where(np.isfinite(search.upper), middle, 2 * search.lower)
    stuck = ~accepted & ~too_long & ~too_short  # no lower in double precision
    search.trials[stuck] = _TRIALS
    moves = trial[accepted] - search.here[accepted]
    changes = point.gradient[accepted] - search.gradient[accepted]
    search.inverse[accepted] = _updated(search.inverse[accepted], moves, changes)
    search.here[accepted], search.value[accepted] = trial[accepted], point.value[accepted]
    search.gradient[accepted] = point.gradient[accepted]
    moved: BoolArray = accepted
    return moved


def _updated(inverse: FloatArray, moves: FloatArray, changes: FloatArray) -> FloatArray:
    """The BFGS update of the inverse Hessian, left out where the curvature is not positive."""
    curvature = np.einsum("fi,fi->f", moves, changes)
    size = np.linalg.norm(moves, axis=1) * np.linalg.norm(changes, axis=1)
    usable = curvature > 1e-12 * size
    rate = np.where(usable, 1 / np.where(usable, curvature, 1.0), 0.0)
    mapped = np.einsum("fij,fj->fi", inverse, changes)
    stretch = rate * (1 + rate * np.einsum("fi,fi->f", changes, mapped))
    cross = moves[:, :, None] * mapped[:, None, :]
    return np.asarray(
        inverse
        + stretch[:, None, None] * moves[:, :, None] * moves[:, None, :]
        - rate[:, None, None] * (cross + cross.transpose(0, 2, 1))
    )
