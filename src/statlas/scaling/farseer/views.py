"""What the fits say about the user's question: exponents, predictions, best sizes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from statlas.core.numerics.laws import Draws, Law, LawFit
from statlas.core.numerics.laws.allocation import FLOPS_PER_PARAMETER_AND_TOKEN
from statlas.core.numerics.laws.uncertainty import percentile_interval
from statlas.scaling.farseer.joint import Beyond, Fits, HeldOut
from statlas.scaling.farseer.law import FloatArray

Ends = tuple[float | None, float | None, float | None]  # estimate, low, high; None where none
_POINTS = 241  # sizes tried at each budget
_REACH = 30.0  # ratios of tokens to parameters searched: this factor beyond those of the runs
_ENOUGH = 0.8  # share of draws that must have a best size for an interval


@dataclass(frozen=True)
class Optimum:
    """Compute-optimal sizes over budgets by one law; NaN where the law has none.

    Attributes
    ----------
    compute
        Budgets, shape (n_budgets,).
    size, loss
        By the fit, shape (n_budgets,).
    drawn
        Sizes by its draws, shape (n_draws, n_budgets).
    """

    compute: FloatArray
    size: FloatArray
    loss: FloatArray
    drawn: FloatArray

    @property
    def tokens(self) -> FloatArray:
        """Tokens that the budgets leave, shape (n_budgets,)."""
        return np.asarray(self.compute / FLOPS_PER_PARAMETER_AND_TOKEN / self.size)

    def sizes(self, place: int, level: float) -> Ends:
        """Best size at one budget."""
        return _ends(self.size[place], self.drawn[:, place], level)

    def ratios(self, place: int, level: float) -> Ends:
        """Tokens per parameter at one budget."""
        tokens = self.compute[place] / FLOPS_PER_PARAMETER_AND_TOKEN
        return _ends(tokens / self.size[place] ** 2, tokens / self.drawn[:, place] ** 2, level)

    def growth(self, level: float) -> Ends:
        """Exponent of tokens per parameter in compute, over the budgets that have a best size."""
        found = np.flatnonzero(np.isfinite(self.size))
        if len(found) < 2:
            return None, None, None
        first, last = found[0], found[-1]
        span = np.log(self.compute[last] / self.compute[first])
        slope = 1 - 2 * np.log(self.size[last] / self.size[first]) / span
        drawn = 1 - 2 * np.log(self.drawn[:, last] / self.drawn[:, first]) / span
        return _ends(float(slope), drawn, level)

    @property
    def share(self) -> FloatArray:
        """Share of the draws with a best size, shape (n_budgets,)."""
        return np.asarray(np.mean(np.isfinite(self.drawn), axis=0))


def _ends(estimate: float, drawn: FloatArray, level: float) -> Ends:
    """Estimate and percentile interval; no interval where too many draws have no value."""
    if not np.isfinite(estimate):
        return None, None, None
    finite = drawn[np.isfinite(drawn)]
    if len(finite) < _ENOUGH * len(drawn):
        return float(estimate), None, None
    low, high = percentile_interval(finite, level)
    return float(estimate), float(low), float(high)


def ratio_range(parameters: FloatArray, tokens: FloatArray) -> tuple[float, float]:
    """Tokens per parameter within which a best size is looked for."""
    ratio = tokens / parameters
    return float(ratio.min()) / _REACH, float(ratio.max()) * _REACH


def optimum(
    law: Law,
    natural: FloatArray,
    drawn: FloatArray,
    compute: FloatArray,
    ratios: tuple[float, float],
) -> Optimum:
    """Best size and tokens at each budget, with C = 6 N D.

    A best size is a minimum of the loss between the ratios given, not at an end: where A(N) falls
    with size, the law gives ever lower losses to huge models that have read next to nothing, far
    from any run, so its lowest loss at a budget says nothing.

    Parameters
    ----------
    law
        A law of N and D.
    natural, drawn
        Its parameters by the fit, shape (n_parameters,), and by draws, (n_draws, n_parameters).
    compute
        Budgets in floating-point operations, shape (n_budgets,).
    ratios
        Least and most tokens per parameter searched.
    """
    everything = np.vstack([natural[None], drawn])
    sizes = np.full((len(everything), len(compute)), np.nan)
    losses = np.full(len(compute), np.nan)
    log_ratio = np.linspace(float(np.log(ratios[1])), float(np.log(ratios[0])), _POINTS)
    for place, budget in enumerate(compute):
        tokens = budget / FLOPS_PER_PARAMETER_AND_TOKEN
        log_size = 0.5 * (np.log(tokens) - log_ratio)
        grid = np.exp(log_size)
        with np.errstate(all="ignore"):
            loss = law.values(everything, {"N": grid, "D": tokens / grid})
        sizes[:, place] = np.exp(_interior_minimum(log_size, np.log(loss)))
        if np.isfinite(sizes[0, place]):
            at = {"N": sizes[0, [place]], "D": tokens / sizes[0, [place]]}
            losses[place] = law.values(natural[None], at)[0, 0]
    return Optimum(compute, sizes[0], losses, sizes[1:])


def _interior_minimum(x: FloatArray, values: FloatArray) -> FloatArray:
    """Where each row has its lowest minimum off the ends, by a parabola; NaN where none."""
    values = np.where(np.isfinite(values), values, np.inf)
    lower = (values[:, 1:-1] < values[:, :-2]) & (values[:, 1:-1] <= values[:, 2:])
    inner = np.where(lower, values[:, 1:-1], np.inf)
    at = inner.argmin(axis=1) + 1
    rows = np.arange(len(values))
    with np.errstate(invalid="ignore"):
        left, middle, right = (values[rows, at + step] for step in (-1, 0, 1))
        bend = left - 2 * middle + right
        shift = 0.5 * (left - right) / np.where(bend > 0, bend, np.inf)
    found = x[at] + shift * (x[1] - x[0])
    return np.where(lower.any(axis=1), found, np.nan)


def exponent_ends(
    fits: Fits, draws: Draws, parameters: FloatArray, level: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """A(N) with its interval, shape (n_sizes,) each."""
    low, high = percentile_interval(fits.exponent(draws.values, parameters), level)
    return fits.exponent(fits.joint.natural, parameters)[0], low, high


def exponent_ratio(fits: Fits, draws: Draws, level: float) -> tuple[float, float, float]:
    """A at the largest size over A at the smallest: 1 in Chinchilla's form."""
    ends = np.array([fits.cells.parameters.min(), fits.cells.parameters.max()])
    own = fits.exponent(fits.joint.natural, ends)[0]
    drawn = fits.exponent(draws.values, ends)
    low, high = percentile_interval(drawn[:, 1] / drawn[:, 0], level)
    return float(own[1] / own[0]), float(low), float(high)


def rises_with_size(fit: LawFit, parameters: FloatArray, tokens: FloatArray) -> bool:
    """Whether the law says at any of the points that a slightly larger model is worse."""
    here = fit.predict({"N": parameters, "D": tokens})
    larger = fit.predict({"N": parameters * 1.01, "D": tokens})
    return bool(np.any(larger > here * (1 + 1e-9)))


def law_table(fits: Fits, held: HeldOut, beyond: Beyond | None) -> pd.DataFrame:
    """A row a law: fit, criteria, errors on rows that were not fitted."""
    rows = []
    for name in fits.names:
        logs = np.log(fits.predict(name, fits.cells.inputs)) - np.log(fits.cells.loss)
        criteria = fits.information(name)
        row = {
            "law": name,
            "constants": criteria.n_parameters - 1,
            "fit_error": float(np.sqrt(np.mean(logs**2))),
            "largest_error": float(np.max(np.abs(logs))),
            "aicc": criteria.aicc,
            "bic": criteria.bic,
            "held_out_error": held.root_mean_square(name),
        }
        if beyond is not None:
            row |= {
                "error_beyond": beyond.held_out.root_mean_square(name),
                "bias_beyond": beyond.held_out.bias(name),
                "coverage_beyond": beyond.coverage.get(name, np.nan),
            }
        rows.append(row)
    return pd.DataFrame(rows)


def ratio_line(found: Optimum, level: float) -> dict[str, list[float]]:
    """Best tokens per parameter over the budgets that have one, with intervals, for the figure."""
    columns: dict[str, list[float]] = {"compute": [], "ratio": [], "low": [], "high": []}
    for place, budget in enumerate(found.compute):
        value, low, high = found.ratios(place, level)
        if value is not None:
            # Without an interval the band closes on the line.
            numbers = (float(budget), value, low or value, high or value)
            for name, number in zip(columns, numbers, strict=True):
                columns[name].append(number)
    return columns


def words(ends: Ends) -> str:
    """An estimate with its interval, in words."""
    estimate, low, high = ends
    if low is None or high is None:
        return f"{estimate:.3g}"
    return f"{estimate:.3g} ({low:.2g} to {high:.2g})"
