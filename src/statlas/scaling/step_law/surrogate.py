"""The optimum of one cell: a local quadratic through log(loss) over the logarithms of settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from statlas.core import InputError

FloatArray = NDArray[np.float64]

# Windows tried, in log(loss).
WINDOWS = tuple(0.005 * 2 ** (half / 2) for half in range(16))
FEWEST_LEVELS = 3
_ROWS_A_COEFFICIENT, _NOISES_A_WINDOW = 2.0, 6.0
_ROUNDS, _SETTLED = 40, 1e-4


def n_coefficients(n_axes: int) -> int:
    """Coefficients of a quadratic in `n_axes` variables.

    >>> n_coefficients(1), n_coefficients(2)
    (3, 6)
    """
    return 1 + n_axes + n_axes * (n_axes + 1) // 2


def quadratic_terms(offsets: FloatArray) -> FloatArray:
    """Terms of c + b'u + u'Hu / 2, shape (n, n_axes) -> (n, n_coefficients).

    The order is 1, u_1, (u_2), u_1^2 / 2, (u_1 u_2, u_2^2 / 2).
    """
    u = offsets.T
    squares = [0.5 * u[0] ** 2]
    if len(u) == 2:
        squares += [u[0] * u[1], 0.5 * u[1] ** 2]
    return np.column_stack([np.ones(len(offsets)), *u, *squares])


def curvature(coefficients: FloatArray) -> FloatArray:
    """Matrix H of each quadratic, shape (..., n_coefficients) -> (..., n_axes, n_axes)."""
    if coefficients.shape[-1] == 3:
        return coefficients[..., 2:, None]
    h = coefficients[..., [3, 4, 4, 5]]
    return h.reshape(*h.shape[:-1], 2, 2)


def minimise_in_box(coefficients: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """Lowest point of each quadratic within a box.

    Parameters
    ----------
    coefficients
        Of `quadratic_terms`, shape (n, n_coefficients).
    low, high
        Corners of the box, shape (n_axes,).

    Returns
    -------
    ndarray
        Shape (n, n_axes); on the boundary where the quadratic falls towards it.
    """
    if len(low) == 1:
        along = _minimise_on_line(coefficients[:, 1], coefficients[:, 2], low[0], high[0])
        return along[:, None]
    _, b1, b2, h11, h12, h22 = coefficients.T
    candidates = []
    determinant = h11 * h22 - h12**2
    with np.errstate(divide="ignore", invalid="ignore"):
        inner = np.stack(
            [(h12 * b2 - h22 * b1) / determinant, (h12 * b1 - h11 * b2) / determinant], axis=1
        )
    convex = (h11 > 0) & (determinant > 0) & np.all((inner >= low) & (inner <= high), axis=1)
    candidates.append(np.where(convex[:, None], inner, low))
    for edge in (low[0], high[0]):
        along = _minimise_on_line(b2 + h12 * edge, h22, low[1], high[1])
        candidates.append(np.column_stack([np.full_like(along, edge), along]))
    for edge in (low[1], high[1]):
        along = _minimise_on_line(b1 + h12 * edge, h11, low[0], high[0])
        candidates.append(np.column_stack([along, np.full_like(along, edge)]))
    points = np.stack(candidates)  # (5, n, 2)
    heights = np.stack(
        [np.sum(quadratic_terms(point) * coefficients, axis=1) for point in candidates]
    )
    return np.asarray(points[heights.argmin(axis=0), np.arange(len(coefficients))])


def _minimise_on_line(slope: FloatArray, bend: FloatArray, low: float, high: float) -> FloatArray:
    """Lowest point of slope u + bend u^2 / 2 between two ends."""
    with np.errstate(all="ignore"):
        inner = np.clip(np.where(bend > 0, -slope / bend, low), low, high)
    ends = np.where(slope * (high - low) + 0.5 * bend * (high**2 - low**2) < 0, high, low)
    return np.asarray(np.where(bend > 0, inner, ends))


@dataclass(frozen=True)
class Surrogate:
    """A quadratic near the optimum of one cell.

    Attributes
    ----------
    centre
        Point in log settings from which offsets count, shape (n_axes,).
    coefficients
        Of log(loss), in the order of `quadratic_terms`.
    unit_covariance
        Covariance of the coefficients for noise of standard deviation 1 in log(loss).
    weights
        Weight of each run, 0 outside the window, shape (n_runs,).
    window
        Excess of log(loss) at which weights reach 0; infinite where all runs count alike.
    noise, freedom
        Standard deviation of log(loss) about the quadratic, and its degrees of freedom.
    low, high
        Ends of the settings tried, shape (n_axes,).
    gaps
        Distance of neighbouring settings in the logarithm, shape (n_axes,).
    """

    centre: FloatArray
    coefficients: FloatArray
    unit_covariance: FloatArray
    weights: FloatArray
    window: float
    noise: float
    freedom: float
    low: FloatArray
    high: FloatArray
    gaps: FloatArray

    @cached_property
    def best(self) -> FloatArray:
        """Log settings with the lowest loss among those between the ends, shape (n_axes,)."""
        return np.asarray(self.optima(self.coefficients[None])[0])

    @cached_property
    def best_log_loss(self) -> float:
        """Log(loss) of the quadratic at `best`."""
        return float(self.log_loss(self.best[None])[0])

    @property
    def convex(self) -> bool:
        """Whether the quadratic curves upwards in every direction."""
        return bool(np.all(np.linalg.eigvalsh(curvature(self.coefficients)) > 0))

    def log_loss(self, settings: FloatArray) -> FloatArray:
        """The quadratic at log settings, shape (n, n_axes) -> (n,)."""
        return np.asarray(quadratic_terms(settings - self.centre) @ self.coefficients)

    def optima(self, coefficients: FloatArray) -> FloatArray:
        """Best log settings of other quadratics about the same centre, such as draws."""
        low, high = self.low - self.centre, self.high - self.centre
        return minimise_in_box(coefficients, low, high) + self.centre

    def draw(self, n: int, noise: float, freedom: float, rng: np.random.Generator) -> FloatArray:
        """Coefficients refitted to losses with fresh noise, shape (n, n_coefficients).

        `noise` is itself estimated, with `freedom` degrees of freedom, and drawn with it.
        """
        root = np.linalg.cholesky(
            self.unit_covariance + 1e-15 * np.trace(self.unit_covariance) * np.eye(len(self._order))
        )
        scale = np.sqrt(freedom / rng.chisquare(freedom, n)) if np.isfinite(freedom) else 1.0
        steps = rng.standard_normal((n, len(self._order))) @ root.T
        return np.asarray(self.coefficients + noise * np.asarray(scale).reshape(-1, 1) * steps)

    @property
    def _order(self) -> range:
        return range(len(self.coefficients))


def fit_surrogate(log_settings: ArrayLike, log_loss: ArrayLike, window: float) -> Surrogate:
    """Fit a quadratic to the runs near the optimum.

    A run's weight falls as (1 - (excess / window)^2)^2, where the excess is that of its own loss or
    of the quadratic there, whichever is larger, over the quadratic's lowest value; weights and
    quadratic depend on each other and are found in turns. Runs that diverged count for nothing.

    Parameters
    ----------
    log_settings
        Logarithms of the learning rate, or of learning rate and batch size, (n_runs, n_axes).
    log_loss
        Logarithm of each run's loss, shape (n_runs,).
    window
        Excess of log(loss) up to which runs count. Where too few do, all count alike.

    Raises
    ------
    InputError
        Where a setting has fewer than three values, or there are too few runs.

    Examples
    --------
    >>> lr = np.log(np.geomspace(1e-4, 1e-2, 9))
    >>> found = fit_surrogate(lr[:, None], 1 + 0.02 * (lr - np.log(2e-3)) ** 2, window=0.05)
    >>> print(f"{np.exp(found.best[0]):.3g}")
    0.002
    """
    points = np.asarray(log_settings, dtype=float)
    heights = np.asarray(log_loss, dtype=float)
    n_axes = points.shape[1]
    levels = [np.unique(np.round(column, 9)) for column in points.T]
    if min(map(len, levels)) < FEWEST_LEVELS or len(points) < n_coefficients(n_axes):
        raise InputError(
            f"{len(points)} runs on {' x '.join(str(len(level)) for level in levels)} settings "
            "cannot show where the loss is lowest",
            remedy=f"give at least {FEWEST_LEVELS} values of each setting and "
            f"{n_coefficients(n_axes)} runs",
        )
    gaps = np.array([_gap(level, len(points)) for level in levels])
    found = _fit_in_window(points, heights, gaps, window)
    return found if found is not None else _fit_weighted(points, heights, gaps, np.inf)[0]


def choose_window(cells: Sequence[tuple[FloatArray, FloatArray]]) -> float:
    """One window for all cells: the smallest of `WINDOWS` that is wide enough in each.

    Wide enough: runs with a weight of two a coefficient, on three values of each setting, and six
    times the noise. One window for all, because a lopsided valley shifts the lowest point of its
    quadratic by an amount that grows with the window; with windows of their own, cells would be
    shifted differently and the law's exponents with them. Where no window will do, that in which
    most cells are wide enough.

    Parameters
    ----------
    cells
        Log settings (n_runs, n_axes) and log losses (n_runs,) of each cell.
    """
    most, best = -1, WINDOWS[-1]
    for window in WINDOWS:
        fits = [fit_surrogate(points, heights, window) for points, heights in cells]
        pairs = zip(fits, cells, strict=True)
        enough = sum(_wide_enough(found, points) for found, (points, _) in pairs)
        if enough > most:
            most, best = enough, window
        if enough == len(cells):
            break
    return best


def _gap(levels: FloatArray, n_runs: int) -> float:
    """Distance of neighbouring values; of a grid as fine where settings were drawn at random."""
    if len(levels) <= max(FEWEST_LEVELS, n_runs / 2):
        return float(np.median(np.diff(levels)))
    return float(np.ptp(levels) / max(np.sqrt(n_runs) - 1, 1.0))


def _fit_in_window(
    points: FloatArray, heights: FloatArray, gaps: FloatArray, window: float
) -> Surrogate | None:
    """Weights and quadratic in turns until they agree; None where too few runs carry weight."""
    lowest = float(heights.min())
    weights = _weights(heights - lowest, window)
    for _ in range(_ROUNDS):
        if np.count_nonzero(weights > 1e-3) <= n_coefficients(points.shape[1]):
            return None
        found, fitted = _fit_weighted(points, heights, gaps, window, weights)
        excess = np.maximum(fitted, heights) - _lowest(found)
        fresh = 0.5 * (weights + _weights(excess, window))  # half a step keeps it from swinging
        if np.max(np.abs(fresh - weights)) < _SETTLED:
            break
        weights = fresh
    return found


def _lowest(found: Surrogate) -> float:
    """`Surrogate.best_log_loss`, faster where the optimum lies inside."""
    c = found.coefficients.tolist()
    if len(c) == 6:
        determinant = c[3] * c[5] - c[4] ** 2
        if c[3] > 0 and determinant > 0:
            x = (c[4] * c[2] - c[5] * c[1]) / determinant
            y = (c[4] * c[1] - c[3] * c[2]) / determinant
            low, high = (found.low - found.centre).tolist(), (found.high - found.centre).tolist()
            if low[0] <= x <= high[0] and low[1] <= y <= high[1]:
                return float(c[0] + 0.5 * (c[1] * x + c[2] * y))
    return found.best_log_loss


def _weights(excess: FloatArray, window: float) -> FloatArray:
    """1 at no excess, 0 from the window on."""
    return np.asarray((1 - np.clip(excess / window, 0, 1) ** 2) ** 2)


def _fit_weighted(
    points: FloatArray,
    heights: FloatArray,
    gaps: FloatArray,
    window: float,
    weights: FloatArray | None = None,
) -> tuple[Surrogate, FloatArray]:
    """Weighted least squares, and the fitted log(loss) of each run."""
    weights = np.ones(len(points)) if weights is None else weights
    centre = weights @ points / weights.sum()
    terms = quadratic_terms(points - centre)
    scale = np.sqrt(weights @ terms**2 / weights.sum())  # brings the terms to one size
    scale = np.where(scale > 0, scale, 1.0)
    weighted = (terms / scale).T * weights
    gram = weighted @ (terms / scale)
    ridge = 1e-12 * np.trace(gram) * np.eye(len(gram))  # where settings do not fix all terms
    hat = np.linalg.solve(gram + ridge, weighted) / scale[:, None]
    coefficients = hat @ heights
    fitted = terms @ coefficients
    unit = hat @ hat.T
    # Degrees of freedom of a weighted fit: the trace of the residuals' quadratic form.
    residuals = heights - fitted
    leverage = np.einsum("ij,ji->i", terms, hat)
    freedom = float(weights.sum() - weights @ leverage)
    noise = float(np.sqrt(weights @ residuals**2 / freedom)) if freedom > 0.5 else np.nan
    found = Surrogate(
        centre=centre,
        coefficients=coefficients,
        unit_covariance=unit,
        weights=weights,
        window=window,
        noise=noise,
        freedom=max(freedom, 0.0),
        low=points.min(axis=0),
        high=points.max(axis=0),
        gaps=gaps,
    )
    return found, fitted


def _wide_enough(found: Surrogate, points: FloatArray) -> bool:
    """Whether a window holds what the default asks for."""
    counted = found.weights > 0.05
    levels = min(len(np.unique(np.round(column, 9))) for column in points[counted].T)
    return bool(
        found.weights.sum() >= _ROWS_A_COEFFICIENT * len(found.coefficients)
        and levels >= FEWEST_LEVELS
        and np.isfinite(found.window)
        and np.isfinite(found.noise)
        and found.window >= _NOISES_A_WINDOW * found.noise
    )


def plateau_widths(coefficients: FloatArray, rise: float) -> FloatArray:
    """Width of the region within `rise` of the lowest log(loss), one setting moved alone.

    Parameters
    ----------
    coefficients
        Shape (n, n_coefficients).
    rise
        Rise of log(loss).

    Returns
    -------
    ndarray
        Difference of the logarithms of the two ends, shape (n, n_axes); infinite where the
        quadratic does not rise.
    """
    bends = np.diagonal(curvature(coefficients), axis1=-2, axis2=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(bends > 0, 2 * np.sqrt(2 * rise / bends), np.inf)
