"""From a user's table to one row for each size and number of tokens."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from statlas.core import InputError, OptionError, SetAside, Table
from statlas.core.runs import read_run_sizes
from statlas.scaling.farseer.joint import Cells

_ONE_LINE = 0.995
FEWEST_CELLS = 14  # nine parameters, and five rows to judge them by


@dataclass(frozen=True)
class Read:
    """The rows to fit, and what was done on the way.

    Attributes
    ----------
    cells
        The rows.
    setting
        The level of the column `setting` that they are of, "" without one.
    set_aside
        Runs left out.
    flops_ratio
        Median of compute / (6 N D) where a column states compute, else NaN.
    """

    cells: Cells
    setting: str
    set_aside: tuple[SetAside, ...]
    flops_ratio: float


def read_cells(table: Table, units: tuple[float, float, float], focus: str | None) -> Read:
    """Average repeats, keep the best tuning of each size and number of tokens.

    Parameters
    ----------
    table
        A checked table.
    units
        Parameters, tokens and FLOP in one unit of their columns.
    focus
        Setting to look at; by default the one with the lowest loss at the largest compute.

    Raises
    ------
    InputError
        With too few combinations of size and tokens, or too few sizes or numbers of tokens.
    """
    sizes = read_run_sizes(table, *units)
    loss = table.number("loss")
    kept, setting = _of_setting(table, loss, sizes.compute, focus)
    n, d, c, losses = (x[kept] for x in (sizes.parameters, sizes.tokens, sizes.compute, loss))
    tunings = _tunings(table)[kept]
    cells, dropped = _best_of_each(n, d, c, losses, tunings)
    aside = []
    if not kept.all():
        aside.append(SetAside(f"of a setting other than {setting}", int(np.sum(~kept))))
    if dropped:
        aside.append(SetAside("of a tuning that is not the best for its size and tokens", dropped))
    n_sizes, n_tokens = len(np.unique(cells.parameters)), len(np.unique(cells.tokens))
    if len(cells) < FEWEST_CELLS or min(n_sizes, n_tokens) < 3:
        raise InputError(
            f"there are {len(cells)} combinations of size and tokens ({n_sizes} sizes, {n_tokens} "
            f"numbers of tokens); nine constants need {FEWEST_CELLS}, and 3 of each",
            remedy="add sizes, or trainings of other lengths",
        )
    along = np.corrcoef(np.log(cells.parameters), np.log(cells.tokens))[0, 1]
    if abs(along) > _ONE_LINE:
        raise InputError(
            f"sizes and tokens vary along one line (correlation of their logarithms {along:.4f}), "
            "so what each of them does cannot be told apart",
            remedy="add trainings of one size to several lengths, at three sizes or more",
        )
    both = table.has("tokens") and table.has("compute")
    return Read(cells, setting, tuple(aside), sizes.flops_ratio if both else float("nan"))


def _of_setting(
    table: Table, loss: NDArray[np.float64], compute: NDArray[np.float64], focus: str | None
) -> tuple[NDArray[np.bool_], str]:
    """Rows of the setting to look at, and its name."""
    if not table.has("setting"):
        if focus is not None:
            raise OptionError(f"there is no column of settings in which to find focus={focus!r}")
        return np.ones(len(loss), dtype=bool), ""
    factor = table.factor("setting")
    if focus is None:
        dear = compute >= 0.5 * compute.max()
        lowest = int(factor.codes[dear][np.argmin(loss[dear])])
    elif focus in factor.levels:
        lowest = factor.levels.index(focus)
    else:
        raise OptionError(
            f"there is no setting {focus!r} to focus on; there are {', '.join(factor.levels)}"
        )
    return factor.codes == lowest, factor.levels[lowest]


def _tunings(table: Table) -> NDArray[np.int64]:
    """Number of each row's combination of learning rate and batch size."""
    names = [name for name in ("learning_rate", "batch_size") if table.has(name)]
    if not names:
        return np.zeros(table.n_rows, dtype=np.int64)
    columns = np.column_stack([table.number(name) for name in names])
    return np.unique(columns, axis=0, return_inverse=True)[1].ravel().astype(np.int64)


def _best_of_each(
    n: NDArray[np.float64],
    d: NDArray[np.float64],
    c: NDArray[np.float64],
    loss: NDArray[np.float64],
    tuning: NDArray[np.int64],
) -> tuple[Cells, int]:
    """Geometric means of repeats, then the lowest over tunings; and the runs that leaves out."""
    key = np.column_stack([n, d, tuning])
    keys, first, cell = np.unique(key, axis=0, return_index=True, return_inverse=True)
    cell = cell.ravel()
    repeats = np.bincount(cell)
    means = np.bincount(cell, np.log(loss)) / repeats
    order = np.lexsort([means, keys[:, 1], keys[:, 0]])
    place = keys[order][:, :2]
    best = order[np.r_[True, np.any(np.diff(place, axis=0) != 0, axis=1)]]
    cells = Cells(
        keys[best, 0], keys[best, 1], c[first[best]], np.exp(means[best]),
        repeats[best].astype(float),
    )  # fmt: skip
    return cells, int(repeats.sum() - repeats[best].sum())
