"""From a user's table to runs in plain units, with every way of counting that its columns allow."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from statlas.core import InputError, Table
from statlas.core.runs import read_run_sizes
from statlas.scaling.kaplan_chinchilla.accounting import (
    Counted,
    Counting,
    Shape,
    flops_per_token,
    with_last_layer,
)
from statlas.scaling.kaplan_chinchilla.estimates import (
    Cells,
    Optimiser,
    average_repeats,
    choose_optimiser,
)
from statlas.scaling.kaplan_chinchilla.isoflop import FloatArray


@dataclass(frozen=True)
class RunTable:
    """The user's runs in plain units."""

    parameters: FloatArray
    tokens: FloatArray
    loss: FloatArray
    cost: dict[str, FloatArray]  # of a token, by way of counting
    tuning: NDArray[np.int64]
    tunings: list[str]
    setting: NDArray[np.int64]
    settings: list[str]
    ratio: float  # of the compute column to 6 x parameters x tokens, NaN without one

    def cells(self, counting: str, setting: int, optimiser: Optimiser) -> tuple[Cells, str]:
        """Averaged runs of one view, and the common setting of the optimiser in words."""
        rows = self.setting == setting
        size = self.cost[counting][rows] / 6
        model = np.unique(size, return_inverse=True)[1].astype(np.int64)
        cells = average_repeats(size, model, self.tokens[rows], self.loss[rows], self.tuning[rows])
        cells = replace(cells, first=np.flatnonzero(rows)[cells.first])
        cells, common = choose_optimiser(cells, optimiser)
        return cells, "" if common is None else self.tunings[common]


def read_runs(table: Table, units: tuple[float, float, float], counted: Counted) -> RunTable:
    """Read a checked table; `units` are those of parameters, tokens and compute.

    Raises
    ------
    InputError
        Without tokens and compute, or where shapes take more weights than there are.
    """
    sizes = read_run_sizes(table, *units)
    parameters, tokens = sizes.parameters, sizes.tokens
    given = sizes.compute / tokens
    both = table.has("tokens") and table.has("compute")
    ratio = sizes.flops_ratio if both else np.nan
    tuning, tunings = _tunings(table)
    setting, settings = np.zeros(table.n_rows, dtype=np.int64), [""]
    if table.has("setting"):
        setting, settings = table.factor("setting").codes, table.factor("setting").levels
    cost = {"given": _settled(given, parameters), **_counted_costs(table, parameters, counted)}
    return RunTable(
        parameters, tokens, table.number("loss"), cost, tuning, tunings, setting, settings, ratio
    )


def _settled(cost: FloatArray, parameters: FloatArray) -> FloatArray:
    """Costs of a token, the same for all runs of one model where they differ by rounding only."""
    settled = cost.copy()
    for value in np.unique(parameters):
        rows = parameters == value
        if np.ptp(cost[rows]) < 1e-3 * cost[rows].mean():
            settled[rows] = np.median(cost[rows])
    return settled


def _tunings(table: Table) -> tuple[NDArray[np.int64], list[str]]:
    """Code of each run's optimiser setting, and the settings in words."""
    names = [name for name in ("learning_rate", "batch_size") if table.has(name)]
    if not names:
        return np.zeros(table.n_rows, dtype=np.int64), [""]
    columns = np.column_stack([table.number(name) for name in names])
    values, codes = np.unique(columns, axis=0, return_inverse=True)
    words = [
        ", ".join(f"{name.replace('_', ' ')} {value:g}" for name, value in zip(names, row))  # noqa: B905
        for row in values
    ]
    return codes.ravel().astype(np.int64), words


def _counted_costs(table: Table, parameters: FloatArray, counted: Counted) -> dict[str, FloatArray]:
    """Cost of a token by each way of counting that the columns allow."""
    if not (table.has("width") and table.has("vocabulary")):
        return {}
    blank = np.zeros(table.n_rows)
    shape = Shape(
        *(
            table.number(name) if table.has(name) else blank
            for name in ("width", "depth", "vocabulary", "context")
        )
    )
    effective = with_last_layer(parameters, counted, shape)
    ways: list[Counting] = ["last-layer", "body"]
    if table.has("depth") and table.has("context"):
        ways.append("attention")
    costs = {way: flops_per_token(effective, way, shape) for way in ways}
    for way, cost in costs.items():
        if not np.all(cost > 0):
            raise InputError(
                f"{int(np.sum(cost <= 0))} runs have no weights left when counted as {way!r}: "
                "width times vocabulary exceeds the parameters",
                column=str(table.columns["parameters"]),
                remedy="say with 'counted' which weights the column holds",
            )
    return {str(way): cost for way, cost in costs.items()}
