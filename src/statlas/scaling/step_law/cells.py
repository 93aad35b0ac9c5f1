"""From a table of runs to cells of one size and length, each with its optimum and plateau."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from statlas.core import InputError
from statlas.scaling.step_law.laws import Optima
from statlas.scaling.step_law.surrogate import (
    FEWEST_LEVELS,
    FloatArray,
    Surrogate,
    choose_window,
    curvature,
    fit_surrogate,
    n_coefficients,
    plateau_widths,
)

AXES = ("learning rate", "batch size")

_SAME_LENGTH = 0.02  # lengths closer than this in the logarithm are one: batches do not divide all
_SHARED_FREEDOM = 10.0  # degrees of freedom with which the cells' common noise enters each
_FEWEST_INSIDE = 0.75  # share of draws that must lie inside for an optimum to count as shown
_ONE_SIDED = 0.9  # share of the other draws that must lie on one side for a bound


@dataclass(frozen=True)
class Cell:
    """The runs of one size and length.

    Attributes
    ----------
    parameters, tokens
        N and the median D.
    log_settings
        Logarithms of learning rate and, where it varies, batch size in tokens, (n_runs, n_axes).
    log_loss
        Shape (n_runs,).
    batch
        The one batch size in tokens where it does not vary; NaN where there is none or it varies.
    why_not
        Why the cell shows no optimum; empty where it may.
    """

    parameters: float
    tokens: float
    log_settings: FloatArray
    log_loss: FloatArray
    batch: float
    why_not: str = ""

    @property
    def n_axes(self) -> int:
        """Settings that vary."""
        return int(self.log_settings.shape[1])

    @property
    def log_sizes(self) -> FloatArray:
        """log(N) and log(D)."""
        return np.log([self.parameters, self.tokens])


@dataclass(frozen=True)
class Valley:
    """A cell with its surrogate, and that refitted to fresh noise.

    Attributes
    ----------
    cell, surrogate
        The runs, and the quadratic near their optimum.
    draws
        Coefficients of refits, (n_draws, n_coefficients).
    optima
        Log settings of their optima, (n_draws, n_axes).
    side
        By axis: 0 where the optimum lies inside; 1 and -1 where above or below all that was tried;
        2 where the loss is too flat to tell. Shape (n_axes,).
    noise
        Standard deviation of log(loss) that the draws have.
    """

    cell: Cell
    surrogate: Surrogate
    draws: FloatArray
    optima: FloatArray
    side: NDArray[np.int64]
    noise: float

    @cached_property
    def sides(self) -> NDArray[np.int64]:
        """`side`, and the side to which one setting moves on where the other lies beyond."""
        sides = self.side.copy()
        if len(sides) == 2:
            matrix = curvature(self.surrogate.coefficients)
            for axis in (0, 1):
                other = int(self.side[1 - axis])
                if sides[axis] == 0 and abs(other) == 1 and matrix[axis, axis] > 0:
                    sides[axis] = int(np.sign(-other * matrix[0, 1]))
        return sides

    @property
    def spread(self) -> FloatArray:
        """Standard error of each log setting from the noise of the losses."""
        return np.asarray(self.optima.std(axis=0))

    @property
    def floor(self) -> FloatArray:
        """Error of each log setting that the grid alone leaves, (n_axes,).

        The best of settings a gap apart is off by a uniform error: gap / sqrt(12). The quadratic
        does better on an even valley; on a lopsided one it is off by about as much.
        """
        return np.asarray(self.surrogate.gaps / np.sqrt(12))

    @property
    def error(self) -> FloatArray:
        """Standard error of each log setting: of the noise, and at least that of the grid."""
        return np.maximum(self.spread, self.floor)

    def cost(self, log_settings: FloatArray) -> float:
        """Excess of log(loss) of settings over the optimum; NaN beyond what was tried.

        From the quadratic where that is below its window, else interpolated between the runs.
        """
        point = np.asarray(log_settings, dtype=float)[: self.cell.n_axes]
        found = self.surrogate
        tried = (point >= found.low - 1e-9) & (point <= found.high + 1e-9)  # False for NaN
        if not tried.all():
            return float("nan")
        excess = float(found.log_loss(point[None])[0]) - found.best_log_loss
        if excess < found.window:
            return max(excess, 0.0)
        return _interpolate(self.cell, point) - found.best_log_loss

    def widths(self, rise: float) -> tuple[FloatArray, FloatArray]:
        """Log widths of the plateau in each setting moved alone, (n_axes,), and their draws."""
        centre = plateau_widths(self.surrogate.coefficients[None], rise)[0]
        return centre, plateau_widths(self.draws, rise)


def _interpolate(cell: Cell, point: FloatArray) -> float:
    """Log(loss) between runs: piecewise linear; that of the nearest run outside their hull."""
    points, places = np.unique(np.round(cell.log_settings, 9), axis=0, return_inverse=True)
    count = np.bincount(places.ravel())
    height = np.bincount(places.ravel(), cell.log_loss) / count
    if cell.n_axes == 1:
        return float(np.interp(point[0], points[:, 0], height))
    from scipy.interpolate import LinearNDInterpolator

    inner = float(LinearNDInterpolator(points, height)(point[None])[0])
    if np.isfinite(inner):
        return inner
    return float(height[np.argmin(np.sum((points - point) ** 2, axis=1))])


def make_cells(
    parameters: FloatArray,
    tokens: FloatArray,
    learning_rate: FloatArray,
    batch: FloatArray | None,
    loss: FloatArray,
) -> list[Cell]:
    """Split runs by size and length; arrays have shape (n_runs,), batch sizes are in tokens."""
    cells = []
    for size in np.unique(parameters):
        rows = np.flatnonzero(parameters == size)
        order = rows[np.argsort(tokens[rows], kind="stable")]
        steps = np.diff(np.log(tokens[order])) > _SAME_LENGTH
        for part in np.split(order, np.flatnonzero(steps) + 1):
            cells.append(
                _make_cell(
                    float(size),
                    float(np.median(tokens[part])),
                    learning_rate[part],
                    None if batch is None else batch[part],
                    loss[part],
                )
            )
    return cells


def _make_cell(
    size: float, tokens: float, rate: FloatArray, batch: FloatArray | None, loss: FloatArray
) -> Cell:
    columns, fixed = [np.log(rate)], np.nan
    if batch is not None:
        if np.ptp(batch) > 0:
            columns.append(np.log(batch))
        else:
            fixed = float(batch[0])
    settings = np.column_stack(columns)
    levels = [len(np.unique(np.round(column, 9))) for column in columns]
    why = ""
    for axis, count in zip(AXES, levels, strict=False):
        if count < FEWEST_LEVELS:
            why = f"{count} values of the {axis}, at least {FEWEST_LEVELS} are needed"
    least = n_coefficients(len(columns)) + 1
    if not why and len(loss) < least:
        why = f"{len(loss)} runs, at least {least} are needed"
    return Cell(size, tokens, settings, np.log(loss), fixed, why)


def find_valleys(
    cells: Sequence[Cell], window: float | None, n_draws: int, rng: np.random.Generator
) -> tuple[list[Valley], float]:
    """The optimum of each cell that shows one, and the window that was used.

    Parameters
    ----------
    cells
        Cells without a reason against them.
    window
        Excess of log(loss) up to which runs count; chosen by `choose_window` without one.
    n_draws, rng
        Refits to fresh noise, and its source. The noise of a cell is mixed from its own and the
        common one of all, since few runs lie in its window.

    Raises
    ------
    InputError
        Where there is no cell.
    """
    if not cells:
        raise InputError(
            "no group of runs of one size and length shows where the loss is lowest",
            remedy=f"give at least {FEWEST_LEVELS} learning rates (and batch sizes, where they "
            f"vary) and {n_coefficients(2) + 1} runs for each pair of parameters and tokens",
        )
    size = window
    if size is None:
        size = choose_window([(cell.log_settings, cell.log_loss) for cell in cells])
    found = [fit_surrogate(cell.log_settings, cell.log_loss, size) for cell in cells]
    known = [fit for fit in found if np.isfinite(fit.noise) and np.isfinite(fit.window)]
    total = sum(fit.freedom for fit in known)
    common = sum(fit.freedom * fit.noise**2 for fit in known) / total if total else 0.0
    shared = min(_SHARED_FREEDOM, total) if len(known) > 1 else 0.0
    valleys = []
    for cell, fit in zip(cells, found, strict=True):
        own = fit.freedom if np.isfinite(fit.noise) else 0.0
        freedom = max(own + shared, 1.0)
        squares = (own * fit.noise**2 if own else 0.0) + shared * common
        noise = float(np.sqrt(squares / freedom))
        draws = fit.draw(n_draws, noise, freedom, rng)
        optima = fit.optima(draws)
        valleys.append(Valley(cell, fit, draws, optima, _sides(fit, optima), noise))
    return valleys, size


def _sides(fit: Surrogate, optima: FloatArray) -> NDArray[np.int64]:
    """Whether each setting's optimum lies inside, beyond one end, or cannot be told."""
    slack = 1e-9 + 1e-6 * fit.gaps
    above = np.mean(optima >= fit.high - slack, axis=0)
    below = np.mean(optima <= fit.low + slack, axis=0)
    side = np.zeros(len(fit.low), dtype=np.int64)
    for axis in range(len(side)):
        outside = above[axis] + below[axis]
        at_end = not fit.low[axis] + slack[axis] < fit.best[axis] < fit.high[axis] - slack[axis]
        if at_end or outside > 1 - _FEWEST_INSIDE:
            larger = max(above[axis], below[axis])
            beyond = 1 if above[axis] >= below[axis] else -1
            side[axis] = beyond if larger > _ONE_SIDED * outside else 2
    return side


def optima_of(valleys: Sequence[Valley], axis: int) -> tuple[Optima, FloatArray]:
    """What each cell says of one setting's optimum, and log(N), log(D), (n_cells, 2).

    Where the other setting's optimum lies beyond what was tried, this one's was found at the end of
    it, and moves on with the valley's tilt: a bound on that side.
    """
    used = [v for v in valleys if v.cell.n_axes > axis and v.sides[axis] != 2]
    side = np.array([v.sides[axis] for v in used], dtype=np.int64)
    low, high, best = (
        np.array([float(getattr(v.surrogate, name)[axis]) for v in used])
        for name in ("low", "high", "best")
    )
    own = np.array([v.side[axis] for v in used], dtype=np.int64)
    low = np.where((side < 0) & (own == 0), best, low)
    high = np.where((side > 0) & (own == 0), best, high)
    value = np.where(side > 0, high, np.where(side < 0, low, best))
    # What lies beyond is only bounded; the bound's error is that of the grid.
    grid, noise = (np.array([getattr(v, name)[axis] for v in used]) for name in ("floor", "spread"))
    spread = np.where(side == 0, noise, grid)
    sizes = np.array([v.cell.log_sizes for v in used]).reshape(-1, 2)
    return Optima(value, spread, side, low, high), sizes


def near_best_runs(
    cells: Sequence[Cell], tolerance: float
) -> tuple[FloatArray, FloatArray, NDArray[np.int64]]:
    """The authors' sample: runs within a share of the lowest loss of their cell.

    Returns
    -------
    log_sizes, log_settings, cell
        log(N), log(D), (n, 2); log settings, (n, 2), NaN where a batch size is not known; and the
        number of the cell, (n,).
    """
    sizes, settings, numbers = [], [], []
    for number, cell in enumerate(cells):
        near = cell.log_loss < cell.log_loss.min() + np.log1p(tolerance)
        rows = np.full((int(near.sum()), 2), np.log(cell.batch))
        rows[:, : cell.n_axes] = cell.log_settings[near]
        sizes.append(np.repeat(cell.log_sizes[None], len(rows), axis=0))
        settings.append(rows)
        numbers.append(np.full(len(rows), number))
    return np.concatenate(sizes), np.concatenate(settings), np.concatenate(numbers)
