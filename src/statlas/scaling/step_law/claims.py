"""The paper's claims, on planted valleys and on the recorded grids of small transformers."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from statlas.core import Above, Below, Twin, Within, claim
from statlas.core.examples import example_path
from statlas.core.numerics.laws.uncertainty import percentile_interval
from statlas.scaling.step_law.cells import Cell, Valley, find_valleys, make_cells
from statlas.scaling.step_law.fitting import Plan, costs, fit_law_of, held_out_advice
from statlas.scaling.step_law.published import step_law
from statlas.scaling.step_law.surrogate import FloatArray, plateau_widths

# --- planted valleys ------------------------------------------------------------------------------

_GAP = float(np.log(2))
_PLANTED_WINDOW = 0.04


def _planted_cells(rng: np.random.Generator) -> list[Cell]:
    """Nine cells under the published law, each a grid of 7 x 6 settings a factor of 2 apart.

    The valley is steeper towards high learning rates and tilted, as those of the released runs; the
    grid lies anywhere around the optimum, up to 1.5 gaps off.
    """
    cells = []
    for size in np.geomspace(1e8, 1e9, 3):
        for length in size * np.array([20.0, 60.0, 180.0]):
            best = np.log(step_law(size, length))
            rates, batches = (
                best[axis] + _GAP * (np.arange(n) - (n - 1) / 2 + rng.uniform(-1.5, 1.5))
                for axis, n in enumerate((7, 6))
            )
            settings = np.array([(rate, batch) for rate in rates for batch in batches])
            along, across = (settings - best).T
            tilted = 0.7 * (along - 0.5 * across)
            excess = 0.015 * (np.exp(tilted) - 1 - tilted) / 0.7**2 + 0.008 * across**2
            noise = 0.002 * rng.standard_normal(len(settings))
            cells.append(Cell(float(size), float(length), settings, 1 + excess + noise, np.nan))
    return cells


def _by_quadratic(cells: list[Cell], rng: np.random.Generator) -> FloatArray:
    valleys, _ = find_valleys(cells, _PLANTED_WINDOW, 2, rng)
    return np.array([valley.surrogate.best for valley in valleys])


def _by_best_run(cells: list[Cell], rng: np.random.Generator) -> FloatArray:
    return np.array([cell.log_settings[cell.log_loss.argmin()] for cell in cells])


@claim(
    "step-law",
    says="the optimum of each grid is recovered more closely than by the best of a grid without "
    "noise (0.289 gaps)",
    where="fitting procedure: optimal settings of each grid",
    expect=Below(1 / np.sqrt(12)),
    unit="root mean square error of the log settings, in gaps of the grid",
    subject=_by_quadratic,
    twin=Twin("the run with the lowest loss", _by_best_run),
    quick=20,
    full=300,
)
def planted_optima(rng: np.random.Generator, locate: Callable[..., FloatArray]) -> float:
    """Error over nine planted cells."""
    cells = _planted_cells(rng)
    truth = np.array([np.log(step_law(cell.parameters, cell.tokens)) for cell in cells])
    return float(np.sqrt(np.mean((locate(cells, rng) - truth) ** 2)) / _GAP)


def _whole(drawn: FloatArray) -> tuple[float, float]:
    low, high = percentile_interval(drawn, 0.95)
    return float(low), float(high)


def _a_tenth_as_wide(drawn: FloatArray) -> tuple[float, float]:
    low, high = _whole(drawn)
    middle, half = 0.5 * (low + high), 0.05 * (high - low)
    return middle - half, middle + half


@claim(
    "step-law",
    says="95 % intervals of the learning rate's exponent of parameters cover a planted law at "
    "least about as often as they promise",
    where="fitting procedure: resampling",
    expect=Above(0.9),
    unit="share of simulated grids whose interval covers",
    subject=_whole,
    twin=Twin("the middle tenth of the interval", _a_tenth_as_wide),
    quick=40,
    full=1_200,
    kind="proportion",
)
def planted_coverage(rng: np.random.Generator, interval: Callable[..., Any]) -> float:
    """Whether the interval from nine planted cells covers -0.713."""
    valleys, _ = find_valleys(_planted_cells(rng), _PLANTED_WINDOW, 100, rng)
    law = fit_law_of(valleys, 0, Plan(draws=200), rng)
    assert law is not None
    low, high = interval(law.power.exponent("parameters")[1])
    return float(low <= -0.713 <= high)


# --- recorded grids -------------------------------------------------------------------------------

_REDRAWN = "recorded runs drawn anew among their two seeds"


@functools.cache
def _recorded() -> tuple[pd.DataFrame, float]:
    """The recorded grid, and the window that suits it."""
    table = pd.read_csv(example_path("step_grid.csv"))
    _, window = find_valleys(_cells_of(table), None, 2, np.random.default_rng(0))
    return table, window


def _cells_of(table: pd.DataFrame) -> list[Cell]:
    names = ("parameters", "tokens", "learning_rate", "batch_size", "loss")
    return make_cells(*(table[name].to_numpy(dtype=float) for name in names))


def _redrawn(rng: np.random.Generator, shuffle: bool = False) -> list[Valley]:
    """Valleys of a grid whose runs are drawn anew; `shuffle` gives cells the sizes of others."""
    table, window = _recorded()
    # Runs of the same settings are neighbours in the table, one a seed.
    order = table.sort_values(["parameters", "tokens", "learning_rate", "batch_size", "seed"])
    pick = 2 * (np.arange(len(order)) // 2) + rng.integers(0, 2, len(order))
    cells = _cells_of(order.iloc[pick])
    if shuffle:
        places = rng.permutation(len(cells))
        cells = [
            replace(cell, parameters=cells[place].parameters, tokens=cells[place].tokens)
            for cell, place in zip(cells, places, strict=True)
        ]
    return find_valleys(cells, window, 60, rng)[0]


def _exponent(rng: np.random.Generator, axis: int, term: str, shuffle: bool) -> float:
    plan = Plan("both", draws=1)
    law = fit_law_of(_redrawn(rng, shuffle), axis, plan, rng)
    assert law is not None
    return law.power.exponent(term)[0]


@claim(
    "step-law",
    says="on recorded runs the best learning rate falls with the number of parameters",
    where="the law of the learning rate",
    expect=Below(0),
    unit=f"exponent of parameters, {_REDRAWN}",
    subject=False,
    twin=Twin("sizes and lengths shuffled between cells", True),
    quick=12,
    full=200,
)
def rate_falls_with_parameters(rng: np.random.Generator, shuffle: bool) -> float:
    """Exponent on one redrawn table."""
    return _exponent(rng, 0, "parameters", shuffle)


@claim(
    "step-law",
    says="on recorded runs the best learning rate rises with the number of tokens",
    where="the law of the learning rate",
    expect=Above(0),
    unit=f"exponent of tokens, {_REDRAWN}",
    subject=False,
    twin=Twin("sizes and lengths shuffled between cells", True),
    quick=12,
    full=200,
)
def rate_rises_with_tokens(rng: np.random.Generator, shuffle: bool) -> float:
    """Exponent on one redrawn table."""
    return _exponent(rng, 0, "tokens", shuffle)


@claim(
    "step-law",
    says="on recorded runs the best batch size rises with the number of tokens",
    where="the law of the batch size",
    expect=Above(0),
    unit=f"exponent of tokens, {_REDRAWN}",
    subject=False,
    twin=Twin("sizes and lengths shuffled between cells", True),
    quick=12,
    full=200,
)
def batch_rises_with_tokens(rng: np.random.Generator, shuffle: bool) -> float:
    """Exponent on one redrawn table."""
    return _exponent(rng, 1, "tokens", shuffle)


@claim(
    "step-law",
    says="on recorded runs the best batch size hardly depends on the number of parameters",
    where="the law of the batch size",
    expect=Within(-0.1, 0.1),
    unit=f"exponent of parameters, {_REDRAWN}",
    subject=1,
    twin=Twin("the learning rate in place of the batch size", 0),
    quick=12,
    full=200,
)
def batch_ignores_parameters(rng: np.random.Generator, axis: int) -> float:
    """Exponent on one redrawn table."""
    return _exponent(rng, axis, "parameters", False)


def _shuffled_losses(valleys: list[Valley], rng: np.random.Generator) -> list[Valley]:
    cells = [replace(v.cell, log_loss=rng.permutation(v.cell.log_loss)) for v in valleys]
    return find_valleys(cells, _recorded()[1], 2, rng)[0]


@claim(
    "step-law",
    says="on recorded runs the loss near its lowest point is convex in log learning rate and log "
    "batch size",
    where="convexity of the landscape",
    expect=Above(0.9),
    unit=f"share of cells whose quadratic curves upwards in every direction, {_REDRAWN}",
    subject=lambda valleys, rng: valleys,
    twin=Twin("losses shuffled between the settings of a cell", _shuffled_losses),
    quick=12,
    full=150,
)
def convex_valleys(rng: np.random.Generator, change: Callable[..., list[Valley]]) -> float:
    """Share on one redrawn table."""
    valleys = change(_redrawn(rng), rng)
    return float(np.mean([valley.surrogate.convex for valley in valleys]))


@claim(
    "step-law",
    says="there is a plateau: learning rates that span a factor of 2 and more come within 0.25 % "
    "of the best loss, on recorded runs",
    where="plateau of near-optimal settings",
    expect=Above(2),
    unit=f"median over cells of the plateau's width as a factor, {_REDRAWN}",
    subject=0.0025,
    twin=Twin("within 0.025 %", 0.00025),
    quick=12,
    full=150,
)
def plateau_width(rng: np.random.Generator, tolerance: float) -> float:
    """Width on one redrawn table."""
    shown = [valley for valley in _redrawn(rng) if valley.side[0] == 0]
    coefficients = np.array([valley.surrogate.coefficients for valley in shown])
    widths = plateau_widths(coefficients, float(np.log1p(tolerance)))[:, 0]
    return float(np.exp(np.median(widths)))


@claim(
    "step-law",
    says="on recorded runs the laws of the other cells choose better settings for a cell than "
    "one setting for all",
    where="accuracy of the laws on runs that were not fitted",
    expect=Above(0),
    unit=f"mean cost of one setting for all less that of the laws, % of the loss, {_REDRAWN}",
    subject=False,
    twin=Twin("sizes and lengths shuffled between cells", True),
    quick=12,
    full=150,
)
def better_than_one_setting(rng: np.random.Generator, shuffle: bool) -> float:
    """Difference on one redrawn table, over cells where both settings were tried."""
    valleys = _redrawn(rng, shuffle)
    law = costs(valleys, held_out_advice(valleys, Plan()))
    constant = costs(valleys, held_out_advice(valleys, Plan(), constant=True))
    return float(100 * np.nanmean(constant - law))
