"""From the optima of the cells to power laws, with cells that only bound their optimum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import log_ndtr

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Resample = Literal["noise", "cells"]

SIZES = ("parameters", "tokens")

_EM_STEPS = 60
_TOGETHER = 0.02  # ratio of the spreads across and along below which two sizes are one


@dataclass(frozen=True)
class Optima:
    """One setting's optimum in each cell, in logarithms, shape (n_cells,) each.

    Attributes
    ----------
    value
        Log of the best setting; the end of what was tried where it lies beyond.
    spread
        Standard error of `value`.
    side
        0 where the optimum lies inside; 1 and -1 where it lies above or below all that was tried.
    low, high
        Ends of what was tried.
    """

    value: FloatArray
    spread: FloatArray
    side: IntArray
    low: FloatArray
    high: FloatArray

    @property
    def inside(self) -> NDArray[np.bool_]:
        """Which cells show their optimum."""
        return np.asarray(self.side == 0)

    def only(self, cells: NDArray[np.bool_]) -> Optima:
        """Some of the cells."""
        return Optima(
            self.value[cells],
            self.spread[cells],
            self.side[cells],
            self.low[cells],
            self.high[cells],
        )

    def less(self, known: FloatArray) -> Optima:
        """The optima with a known part of their logarithm taken off."""
        return replace(self, value=self.value - known, low=self.low - known, high=self.high - known)


@dataclass(frozen=True)
class PowerLaw:
    """log(setting) = coefficients @ (1, log N, log D), exponents fitted, borrowed or absent.

    Attributes
    ----------
    terms
        Names of the sizes it depends on: ``"parameters"``, ``"tokens"``, both or none.
    coefficients
        Constant (at the centre) and exponents, shape (1 + n_terms,).
    centre
        Mean logarithms of the sizes, shape (n_terms,).
    draws
        The coefficients refitted to resampled optima, shape (n_draws, 1 + n_terms).
    scatter
        Standard deviation of optima about the law beyond their own errors.
    freedom
        Cells that show their optimum, less coefficients.
    borrowed
        Exponents taken from elsewhere, by size.
    """

    terms: tuple[str, ...]
    coefficients: FloatArray
    centre: FloatArray
    draws: FloatArray
    scatter: float
    freedom: int
    borrowed: Mapping[str, float]

    def exponent(self, term: str) -> tuple[float, FloatArray]:
        """Exponent of a size and its draws."""
        place = 1 + self.terms.index(term)
        return float(self.coefficients[place]), self.draws[:, place]

    @property
    def constant(self) -> tuple[float, FloatArray]:
        """Factor in front of the powers, in the setting's unit, and its draws."""
        logs = [c[..., 0] - c[..., 1:] @ self.centre for c in (self.coefficients, self.draws)]
        return float(np.exp(logs[0])), np.asarray(np.exp(logs[1]))

    def predict(self, log_sizes: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Log of the setting at log(N), log(D), (n, 2): (n,) and draws (n_draws, n)."""
        rows = law_rows(self.terms, log_sizes, self.centre)
        known = _known_part(self.borrowed, log_sizes)
        return rows @ self.coefficients + known, self.draws @ rows.T + known


def _known_part(borrowed: Mapping[str, float], log_sizes: FloatArray) -> FloatArray:
    return np.asarray(log_sizes @ [borrowed.get(name, 0.0) for name in SIZES])


def law_rows(terms: tuple[str, ...], log_sizes: FloatArray, centre: FloatArray) -> FloatArray:
    """Design matrix: a one, and the centred logarithms of the sizes, (n, 1 + n_terms)."""
    columns = [SIZES.index(term) for term in terms]
    return np.column_stack([np.ones(len(log_sizes)), log_sizes[:, columns] - centre])


def separable_terms(wanted: tuple[str, ...], log_sizes: FloatArray) -> tuple[tuple[str, ...], str]:
    """The exponents that the cells determine, and why others are left out.

    Parameters
    ----------
    wanted
        Sizes that the law depends on.
    log_sizes
        log(N) and log(D) of the cells that show their optimum, (n_cells, 2).

    Examples
    --------
    >>> separable_terms(("parameters", "tokens"), np.log([[1, 1], [1, 2], [1, 4]]))
    (('tokens',), 'all cells with an optimum inside have the same parameters')
    """
    if len(log_sizes) < 2:
        return (), "only one cell with an optimum inside"
    spread = np.ptp(log_sizes, axis=0)
    kept = tuple(term for term in wanted if spread[SIZES.index(term)] > 1e-6)
    absent = [term for term in wanted if term not in kept]
    same = "all cells with an optimum inside have the same "
    why = same + " and ".join(absent) if absent else ""
    if len(kept) == 2:
        scaled = (log_sizes - log_sizes.mean(axis=0)) / spread
        singular = np.linalg.svd(scaled, compute_uv=False)
        if singular[-1] < _TOGETHER * singular[0]:
            return ("tokens",), "parameters and tokens grow together over the cells"
    if len(log_sizes) < len(kept) + 2:
        few = f"{len(log_sizes)} cells with an optimum inside are too few for the exponents"
        return kept[len(kept) - max(len(log_sizes) - 2, 0) :], few
    return kept, why


def fit_power_law(
    terms: tuple[str, ...],
    log_sizes: FloatArray,
    optima: Optima,
    *,
    borrowed: Mapping[str, float] | None = None,
    n_draws: int = 400,
    resample: Resample = "noise",
    rng: np.random.Generator,
) -> PowerLaw:
    """Weighted least squares of the cells' optima, with cells whose optimum is only bounded.

    The weight of a cell is 1 / (spread^2 + scatter^2); the scatter of optima about the law beyond
    their errors follows from the requirement that the weighted squares sum to their degrees of
    freedom (Paule and Mandel, 1982). A cell whose optimum lies beyond what was tried enters by the
    probability of just that, as in Tobin's regression.

    Parameters
    ----------
    terms
        Sizes that the law depends on.
    log_sizes
        log(N) and log(D) of the cells, (n_cells, 2).
    optima
        Their optima, with at least one more cell inside than terms.
    borrowed
        Exponents of other sizes, held at these values.
    n_draws, resample, rng
        Number of draws; ``"noise"``: fresh optima about the law with their own errors and the
        scatter, bounded again where they fall beyond what was tried, and widened to Student's for
        the scatter being estimated; ``"cells"``: cells drawn with replacement.
    """
    known = _known_part(borrowed or {}, log_sizes)
    optima = optima.less(known)
    coefficients, centre, scatter = fit_coefficients(terms, log_sizes, optima)
    rows = law_rows(terms, log_sizes, centre)
    freedom = int(optima.inside.sum()) - rows.shape[1]
    total = np.hypot(optima.spread, scatter)
    if resample == "cells" and freedom > 0:
        draws = _redraw_cells(rows, optima, scatter, n_draws, rng)
    else:
        widened = np.sqrt(freedom / rng.chisquare(freedom, (n_draws, 1))) if freedom > 0 else 1.0
        noise = rng.standard_normal((n_draws, len(total))) * total * widened
        fresh = rows @ coefficients + noise
        side = np.where(fresh > optima.high, 1, np.where(fresh < optima.low, -1, 0))
        bounded = np.clip(fresh, optima.low, optima.high)
        draws = _solve(rows, replace(optima, value=bounded, side=side), scatter, None)
    return PowerLaw(terms, coefficients, centre, draws, scatter, freedom, borrowed or {})


def fit_coefficients(
    terms: tuple[str, ...], log_sizes: FloatArray, optima: Optima
) -> tuple[FloatArray, FloatArray, float]:
    """Coefficients, centre and scatter of `fit_power_law`, without draws."""
    centre = np.mean(log_sizes, axis=0)[[SIZES.index(t) for t in terms]]
    rows = law_rows(terms, log_sizes, centre)
    inside = optima.inside
    freedom = int(inside.sum()) - rows.shape[1]
    scatter = _scatter(rows[inside], optima.only(inside), freedom)
    return _solve(rows, optima, scatter, None)[0], centre, scatter


def _scatter(rows: FloatArray, optima: Optima, freedom: int) -> float:
    """Paule and Mandel's estimate of the scatter beyond the cells' own errors."""
    if freedom < 1:
        return 0.0

    def surplus(variance: float) -> float:
        weights = 1 / (optima.spread**2 + variance)
        rooted = np.sqrt(weights)
        solved = np.linalg.lstsq(rows * rooted[:, None], optima.value * rooted, rcond=None)[0]
        return float(weights @ (optima.value - rows @ solved) ** 2) - freedom

    if surplus(0.0) <= 0:
        return 0.0
    upper = max(float(np.var(optima.value)), 1e-12) * 10
    while surplus(upper) > 0:
        upper *= 10
    return float(np.sqrt(brentq(surplus, 0.0, upper, xtol=1e-14)))


def _solve(
    rows: FloatArray, optima: Optima, scatter: float, counts: FloatArray | None
) -> FloatArray:
    """Coefficients, shape (n_sets, n_coefficients), by expectation and maximisation.

    Values and sides may have a leading axis of sets, as may counts, which multiply the weights.
    """
    sides = np.atleast_2d(optima.side)
    values = np.atleast_2d(optima.value)
    total = np.hypot(optima.spread, scatter)
    weights = 1 / total**2 if counts is None else counts / total**2
    weights = np.broadcast_to(weights, (max(len(values), len(np.atleast_2d(weights))), len(rows)))
    values = np.broadcast_to(values, weights.shape)
    sides = np.broadcast_to(sides, weights.shape)
    gram = np.einsum("sc,ci,cj->sij", weights, rows, rows)
    gram += 1e-12 * np.einsum("sii->s", gram)[:, None, None] * np.eye(rows.shape[1])
    expected = values.copy()
    for _ in range(_EM_STEPS if np.any(sides) else 1):
        moment = np.einsum("sc,sc,ci->si", weights, expected, rows)
        solved = np.linalg.solve(gram, moment[:, :, None])[:, :, 0]
        fitted = solved @ rows.T
        beyond = sides * (values - fitted) / total  # standardised distance to the end, outwards
        with np.errstate(all="ignore"):
            hazard = np.exp(-0.5 * beyond**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(-beyond))
        expected = np.where(sides == 0, values, fitted + sides * total * hazard)
    return np.asarray(solved)


def _redraw_cells(
    rows: FloatArray, optima: Optima, scatter: float, n_draws: int, rng: np.random.Generator
) -> FloatArray:
    """Refits to cells drawn with replacement; draws that leave an exponent open are drawn again."""
    n_cells = len(rows)
    kept: list[FloatArray] = []
    for _ in range(20):
        counts = rng.multinomial(n_cells, np.full(n_cells, 1 / n_cells), n_draws).astype(float)
        seen = counts * optima.inside
        gram = np.einsum("sc,ci,cj->sij", np.minimum(seen, 1), rows, rows)
        singular = np.linalg.svd(gram, compute_uv=False)
        fine = (singular[:, -1] > 1e-4 * singular[:, 0]) & (
            np.count_nonzero(seen, axis=1) > rows.shape[1]
        )
        kept.append(counts[fine])
        if sum(map(len, kept)) >= n_draws:
            break
    chosen = np.concatenate(kept)[:n_draws]
    if len(chosen) == 0:
        return np.full((n_draws, rows.shape[1]), np.nan)
    return _solve(rows, optima, scatter, chosen)
