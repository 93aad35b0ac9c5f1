"""From a user's table to trainings in plain units, with every way of counting it allows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from statlas.core import InputError, SetAside, Table
from statlas.core.runs import read_run_sizes, unit_in_name
from statlas.scaling.gemstones.accounting import Counted, FloatArray, recount

_NAMES: dict[Counted, str] = {
    "body": "blocks only",
    "last-layer": "with last layer",
    "all": "all",
}
SIX_N, GIVEN, ATTENTION, HOURS = "6 N", "as given", "with attention", "device hours"
_FEWEST_SHAPES, _LOCKED = 5, 0.97
_SAME_COST = 0.02  # relative difference under which two ways of counting are one


@dataclass(frozen=True)
class Trainings:
    """Checkpoints of trainings: one row for all that agree in model, tokens and stage.

    Attributes
    ----------
    parameters
        N by way of counting; the first is what the table holds.
    cost
        Operations a token by way of counting, or None for 6 N, which follows from the parameters.
    width, depth
        None where the table has none, or they do not vary apart.
    tokens, share
        Tokens of each row, and their share of the training's own tokens.
    losses, run, row
        Loss of each single checkpoint, its training (0 to n_runs - 1) and its row.
    n_runs
        Trainings.
    stages
        Rows of each stage of the schedule, where the table has a column of it.
    why_no_shape
        Why there is no law in width and depth, or "".
    ratio
        Median of the column of compute over 6 x parameters x tokens; NaN without one.
    aside
        Rows of the table that were left out.
    """

    parameters: dict[str, FloatArray]
    cost: dict[str, FloatArray | None]
    width: FloatArray | None
    depth: FloatArray | None
    tokens: FloatArray
    share: FloatArray
    losses: FloatArray
    run: NDArray[np.int64]
    row: NDArray[np.int64]
    n_runs: int
    stages: dict[str, NDArray[np.bool_]]
    why_no_shape: str
    ratio: float
    aside: tuple[SetAside, ...] = ()

    @property
    def size(self) -> FloatArray:
        """Parameters as the table holds them."""
        return next(iter(self.parameters.values()))

    @cached_property
    def repeats(self) -> FloatArray:
        """Checkpoints averaged in each row."""
        return np.bincount(self.row).astype(float)

    @cached_property
    def loss(self) -> FloatArray:
        """Mean loss of each row."""
        return np.bincount(self.row, self.losses) / self.repeats

    def drawn(self, counts: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Weights and mean losses of the rows when trainings are drawn `counts` times.

        Returns
        -------
        weights, losses
            Shape (n_draws, n_rows) each; where no training of a row is drawn its weight is 0.
        """
        places = (np.arange(len(self.row)), self.row)
        members = sparse.csr_array((np.ones(len(self.row)), places))
        weights = counts[:, self.run] @ members
        sums = (counts[:, self.run] * self.losses) @ members
        return weights, np.where(weights > 0, sums / np.maximum(weights, 1), self.loss)

    def compute(self, flops: str, counting: str) -> FloatArray:
        """Operations of each row under a way of counting operations and parameters."""
        return self.cost_of(flops, counting) * self.tokens

    def cost_of(self, flops: str, counting: str) -> FloatArray:
        """Operations a token of each row."""
        cost = self.cost[flops]
        return 6 * self.parameters[counting] if cost is None else cost


def read_trainings(
    table: Table,
    units: tuple[float, float, float],
    counted: Counted,
    focus: str | None,
    constants: dict[str, float | None],
    least_tokens: float,
) -> Trainings:
    """Read a checked table.

    Parameters
    ----------
    table
        The table.
    units
        Of parameters, tokens and compute.
    counted
        Which parameters the table holds.
    focus
        Kind of training that is analysed.
    constants
        Vocabulary and context of all models, where the table has no column of them.
    least_tokens
        Rows with fewer are left out.

    Raises
    ------
    InputError
        Without tokens and compute, or with fewer than five trainings.
    """
    sizes = read_run_sizes(table, *named_units(table, units))
    keep = _focused(table, focus)
    early = keep & (sizes.tokens < least_tokens)
    aside = [
        SetAside("another kind of training than the focus", int(np.sum(~keep))),
        SetAside("fewer tokens than least_tokens", int(np.sum(early))),
    ]
    keep = keep & ~early
    if not keep.any():
        raise InputError(
            f"no row has {least_tokens:.3g} tokens or more", remedy="lower least_tokens"
        )
    known = {
        name: table.number(name)[keep]
        for name in ("width", "depth", "vocabulary", "context", "hours")
        if table.has(name)
    } | {name: np.full(int(keep.sum()), value) for name, value in constants.items() if value}
    known |= {"N": sizes.parameters[keep], "D": sizes.tokens[keep], "C": sizes.compute[keep]}
    run = _trainings(table, known, keep)
    n_runs = int(run.max()) + 1
    if n_runs < 5:
        raise InputError(
            f"there are {n_runs} trainings; a law and its uncertainty need at least 5",
            remedy="add trainings of other sizes, or name the column of trainings with run=COLUMN",
        )
    stage, stages = _stages(table, keep)
    key = [stage, *(known[name] for name in ("N", "D", "width", "depth") if name in known)]
    _, first, row = np.unique(np.column_stack(key), axis=0, return_index=True, return_inverse=True)
    row = row.ravel()
    longest = np.zeros(n_runs)
    np.maximum.at(longest, run, known["D"])
    share = np.zeros(len(first))
    np.maximum.at(share, row, known["D"] / longest[run])
    values = {name: column[first] for name, column in known.items()}
    if "hours" in known:
        values["hours"] = np.bincount(row, known["hours"]) / np.bincount(row)
    both = table.has("tokens") and table.has("compute")
    width, depth, why = _shape(values)
    return Trainings(
        parameters=_countings(values, counted, str(table.columns["parameters"])),
        cost=_costs(values, both, counted),
        width=width,
        depth=depth,
        tokens=values["D"],
        share=share,
        losses=table.number("loss")[keep],
        run=run,
        row=row,
        n_runs=n_runs,
        stages={level: stage[first] == place for place, level in enumerate(stages)},
        why_no_shape=why,
        ratio=sizes.flops_ratio if both else np.nan,
        aside=tuple(item for item in aside if item.rows),
    )


def named_units(table: Table, units: tuple[float, float, float]) -> tuple[float, float, float]:
    """Units as given, or, where left at 1, as the columns' names state them in brackets."""
    names = [str(table.columns.get(role, "")) for role in ("parameters", "tokens", "compute")]
    found = [
        unit_in_name(name) if unit == 1 else unit for name, unit in zip(names, units, strict=True)
    ]
    return found[0], found[1], found[2]


def _focused(table: Table, focus: str | None) -> NDArray[np.bool_]:
    """Rows of the kind of training that is asked for."""
    if not table.has("recipe"):
        if focus is not None:
            raise InputError(
                "a focus needs a column of kinds of training",
                column="recipe",
                remedy="name it with recipe=COLUMN",
            )
        return np.ones(table.n_rows, dtype=bool)
    factor = table.factor("recipe")
    if focus is None:
        if len(factor.levels) == 1:
            return np.ones(table.n_rows, dtype=bool)
        raise InputError(
            f"there are {len(factor.levels)} kinds of training, and one law is for one of them",
            column=str(table.columns["recipe"]),
            remedy=f"choose one with focus: {', '.join(factor.levels[:12])}",
        )
    if focus not in factor.levels:
        raise InputError(
            f"there is no kind of training {focus!r}",
            column=str(table.columns["recipe"]),
            remedy=f"choose one of {', '.join(factor.levels[:12])}",
        )
    return np.asarray(factor.codes == factor.levels.index(focus))


def _trainings(
    table: Table, known: dict[str, FloatArray], keep: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Number of each row's training: the column of runs, else each shape is one."""
    if table.has("run"):
        codes = table.factor("run").codes[keep]
        return np.unique(codes, return_inverse=True)[1].ravel()
    shape = [known[name] for name in ("N", "width", "depth") if name in known]
    return np.unique(np.column_stack(shape), axis=0, return_inverse=True)[1].ravel()


def _shape(values: dict[str, FloatArray]) -> tuple[FloatArray | None, FloatArray | None, str]:
    if not {"width", "depth"} <= set(values):
        return None, None, "the table has no columns of width and depth"
    width, depth = values["width"], values["depth"]
    shapes = np.log(np.unique(np.column_stack([width, depth]), axis=0))
    if len(shapes) < _FEWEST_SHAPES:
        return None, None, f"there are {len(shapes)} shapes, and a law in shape needs 5"
    if np.any(np.ptp(shapes, axis=0) < 1e-9):
        return None, None, "width or depth is the same in all trainings"
    correlation = float(np.corrcoef(shapes.T)[0, 1])
    if abs(correlation) > _LOCKED:
        return (
            None,
            None,
            (
                f"width and depth do not vary apart (correlation of their logarithms "
                f"{correlation:.3f}), so their exponents are not identified"
            ),
        )
    return width, depth, ""


def _countings(
    values: dict[str, FloatArray], counted: Counted, column: str
) -> dict[str, FloatArray]:
    parameters = values["N"]
    found = {_NAMES[counted]: parameters}
    if {"width", "vocabulary"} <= set(values):
        other: Counted = "last-layer" if counted == "body" else "body"
        recounted = recount(parameters, values["width"], values["vocabulary"], counted, other)
        if not np.all(recounted > 0):
            raise InputError(
                f"{int(np.sum(recounted <= 0))} rows have no parameters left without the "
                "vocabulary's: width times vocabulary exceeds them",
                column=column,
                remedy="say with 'counted' which weights the column holds",
            )
        found[_NAMES[other]] = recounted
    return found


def _costs(
    values: dict[str, FloatArray], stated: bool, counted: Counted
) -> dict[str, FloatArray | None]:
    parameters, given = values["N"], values["C"] / values["D"]
    costs: dict[str, FloatArray | None] = {SIX_N: None}
    if stated and np.max(np.abs(given / (6 * parameters) - 1)) > _SAME_COST:
        costs = {GIVEN: given, SIX_N: None}
    if {"width", "depth", "vocabulary", "context"} <= set(values):
        weights = recount(parameters, values["width"], values["vocabulary"], counted, "last-layer")
        cost = 6 * weights + 6 * values["context"] * values["width"] * values["depth"]
        if not stated or np.max(np.abs(given / cost - 1)) > _SAME_COST:
            costs[ATTENTION] = cost
    if "hours" in values:
        # An hour is worth what the median row computes in it, so that budgets stay comparable.
        hours = values["hours"] / values["D"]
        costs[HOURS] = hours * float(np.median(given / hours))
    return costs


def _stages(table: Table, keep: NDArray[np.bool_]) -> tuple[NDArray[np.int64], list[str]]:
    """Stage of each row, and the stages that there are."""
    if not table.has("stage"):
        return np.zeros(int(keep.sum()), dtype=np.int64), [""]
    factor = table.factor("stage")
    present, codes = np.unique(factor.codes[keep], return_inverse=True)
    return codes.ravel().astype(np.int64), [factor.levels[code] for code in present]
