"""From a user's table to one row for each architecture, size, sparsity and number of tokens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from statlas.core import InputError, Notice, SetAside, Table
from statlas.core.numerics.laws.allocation import FLOPS_PER_PARAMETER_AND_TOKEN
from statlas.scaling.sparse_scaling.fitting import Cells
from statlas.scaling.sparse_scaling.laws import GENERALIZED, FloatArray

FEWEST_CELLS = len(GENERALIZED.names) + 5
_AGREE = 0.01  # sparsities closer than this are the same


@dataclass(frozen=True)
class Read:
    """The rows to fit, and what was done on the way."""

    cells: Cells
    architectures: list[str]
    set_aside: tuple[SetAside, ...]
    notices: tuple[Notice, ...]


def read_cells(table: Table, units: tuple[float, float, float]) -> Read:
    """Read sizes and sparsity, average repeats, keep the best tuning of each model and tokens.

    Parameters
    ----------
    table
        A checked table.
    units
        Parameters, tokens and FLOP in one unit of their columns.

    Raises
    ------
    InputError
        Without two of active parameters, all parameters and sparsity, without tokens and compute,
        or with too few rows.
    """
    active, sparsity, notices = _sizes(table, units[0])
    tokens = _tokens(table, active, units)
    codes, names = _architectures(table, sparsity)
    tuning = _tunings(table)
    key = np.column_stack([codes, active, sparsity, tokens, tuning])
    keys, cell = np.unique(key, axis=0, return_inverse=True)
    cell = cell.ravel()
    logs, repeats = np.log(table.number("loss")), np.bincount(cell)
    means = np.bincount(cell, logs) / repeats
    squares = np.bincount(cell, (logs - means[cell]) ** 2)
    order = np.lexsort([means, *keys[:, 3::-1].T])
    place = keys[order][:, :4]
    best = order[np.r_[True, np.any(np.diff(place, axis=0) != 0, axis=1)]]
    freedom = int(np.sum(repeats[best] - 1))
    noise = float(np.sqrt(np.sum(squares[best]) / freedom)) if freedom else float("nan")
    model = np.unique(keys[best][:, :3], axis=0, return_inverse=True)[1].ravel()
    kept = keys[best]
    cells = Cells(
        kept[:, 0].astype(np.int64), kept[:, 1], kept[:, 1] / (1 - kept[:, 2]), kept[:, 2],
        kept[:, 3], np.exp(means[best]), repeats[best].astype(float), model.astype(np.int64),
        noise, freedom,
    )  # fmt: skip
    _check_enough(cells)
    dropped = int(repeats.sum() - repeats[best].sum())
    aside = (SetAside("of a tuning that is not the best for its model and tokens", dropped),)
    return Read(cells, names, aside if dropped else (), notices)


def _sizes(table: Table, unit: float) -> tuple[FloatArray, FloatArray, tuple[Notice, ...]]:
    """Active parameters and sparsity from two of three columns."""
    given = [name for name in ("active_parameters", "total_parameters", "sparsity")
             if table.has(name)]  # fmt: skip
    if len(given) < 2:
        raise InputError(
            f"of active parameters, all parameters and sparsity the table has "
            f"{', '.join(given).replace('_', ' ') or 'none'}, and two are needed",
            remedy="name them with active_parameters=, total_parameters= or sparsity=COLUMN; a "
            "dense model has a sparsity of 0",
        )
    if "total_parameters" not in given:
        return table.number("active_parameters") * unit, table.number("sparsity"), ()
    total = table.number("total_parameters") * unit
    if "active_parameters" not in given:
        sparsity = table.number("sparsity")
        return total * (1 - sparsity), sparsity, ()
    active = table.number("active_parameters") * unit
    more = active > total * (1 + 1e-9)
    if more.any():
        raise InputError(
            f"{int(more.sum())} rows have more active parameters than parameters in all",
            column=str(table.columns["active_parameters"]),
            remedy="give the stored parameters as total_parameters",
        )
    sparsity = np.maximum(1 - active / total, 0.0)
    sparsity[sparsity < 1e-9] = 0.0
    if "sparsity" not in given:
        return active, sparsity, ()
    off = np.abs(sparsity - table.number("sparsity")) > _AGREE
    if not off.any():
        return active, sparsity, ()
    notice = Notice(
        "sparsity",
        f"in {int(off.sum())} rows the column of sparsity differs from 1 - active / all parameters "
        f"by up to {np.abs(sparsity - table.number('sparsity')).max():.2g}; the counts are used",
        "leave out the column of all parameters to use the sparsity given, such as the share of "
        "experts that rest",
    )
    return active, sparsity, (notice,)


def _tokens(table: Table, active: FloatArray, units: tuple[float, float, float]) -> FloatArray:
    if table.has("tokens"):
        return table.number("tokens") * units[1]
    if table.has("compute"):
        compute = table.number("compute") * units[2]
        return np.asarray(compute / FLOPS_PER_PARAMETER_AND_TOKEN / active)
    raise InputError(
        "neither a column of tokens nor one of compute was found",
        remedy="name one with tokens=COLUMN or compute=COLUMN",
    )


def _architectures(table: Table, sparsity: FloatArray) -> tuple[NDArray[np.int64], list[str]]:
    if table.has("architecture"):
        factor = table.factor("architecture")
        return factor.codes, factor.levels
    codes = (sparsity > 0).astype(np.int64)
    if codes.min() == codes.max():
        return np.zeros_like(codes), ["sparse" if codes[0] else "dense"]
    return codes, ["dense", "sparse"]


def _tunings(table: Table) -> NDArray[np.int64]:
    """Number of each row's combination of learning rate and batch size."""
    names = [name for name in ("learning_rate", "batch_size") if table.has(name)]
    if not names:
        return np.zeros(table.n_rows, dtype=np.int64)
    columns = np.column_stack([table.number(name) for name in names])
    return np.unique(columns, axis=0, return_inverse=True)[1].ravel().astype(np.int64)


def _check_enough(cells: Cells) -> None:
    levels = {
        "numbers of active parameters": len(np.unique(cells.active)),
        "numbers of tokens": len(np.unique(cells.tokens)),
        "sparsities": len(np.unique(cells.sparsity)),
    }
    few = [f"{count} {name}" for name, count in levels.items() if count < 3]
    if len(cells) < FEWEST_CELLS or few:
        raise InputError(
            f"there are {len(cells)} combinations of model and tokens"
            + (f", with {' and '.join(few)}" if few else "")
            + f"; the law needs {FEWEST_CELLS}, and 3 of each of its inputs",
            remedy="add sizes, lengths of training or sparsities",
        )
