"""From a user's table to the relations that are asked for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from statlas.core import Category, InputError, Number, OptionError, SetAside, Table
from statlas.core.numerics.laws.allocation import FLOPS_PER_PARAMETER_AND_TOKEN
from statlas.core.runs import LOSS, PARAMETERS, read_run_sizes
from statlas.scaling.loss_to_loss.pairs import (
    BoolArray,
    IntArray,
    PairBy,
    Pairs,
    Runs,
    pair_runs,
    same_runs,
)

Kind = Literal["auto", "train-to-train", "train-to-test", "test-to-test", "across"]

FIRST_LOSS = replace(
    LOSS,
    help="loss of the run on text like its own (L0)",
    aliases=("L", "L0", "train_loss", "first_loss", "loss_0", "val_loss", "final_loss"),
)
SECOND_LOSS = Number(
    gt=0,
    optional=True,
    varies=True,
    help="another loss of the same run (L1), such as on a test set",
    aliases=("L1", "test_loss", "second_loss", "loss_1", "other_loss", "eval_loss"),
)
DATASET = Category(
    optional=True,
    help="what the run was trained on",
    aliases=("recipe", "data_set", "corpus", "training_data", "train_data", "mix", "trained_on"),
)
SEED = Category(
    optional=True,
    help="seed or repeat; runs are paired with runs of the same one",
    aliases=("seed", "init", "replicate"),
)
OPTIONAL_PARAMETERS = replace(PARAMETERS, optional=True)


@dataclass(frozen=True)
class Series:
    """One loss of the runs of one data set.

    Attributes
    ----------
    name
        Words for it.
    short
        The same without the column, where data sets tell series apart.
    runs
        Its runs.
    """

    name: str
    short: str
    runs: Runs


@dataclass(frozen=True)
class Asked:
    """One relation: first loss to second loss."""

    first: Series
    second: Series
    pairs: Pairs


@dataclass(frozen=True)
class Read:
    """All relations of a table.

    Attributes
    ----------
    kind
        What they relate.
    asked
        One for each second loss.
    failures
        Second losses that could not be paired, and why.
    sized
        Whether sizes and tokens are known, so that laws can be fitted.
    set_aside
        Rows that no relation uses.
    """

    kind: str
    asked: list[Asked]
    failures: list[tuple[str, InputError]]
    sized: bool
    set_aside: tuple[SetAside, ...]
    flops_ratio: float


def read_relations(
    table: Table,
    kind: Kind,
    source: str | None,
    targets: tuple[str, ...] | None,
    pair_by: PairBy,
    units: tuple[float, float, float],
) -> Read:
    """Read a checked table; `units` are those of parameters, tokens and compute.

    Raises
    ------
    InputError, OptionError
        For columns, data sets or partners that are asked for and not there.
    """
    size, tokens, compute, ratio = _sizes(table, units)
    sized = bool(np.all(np.isfinite(size)))
    chosen = _kind(table, kind)
    if chosen != "train-to-test" and not sized and not np.all(np.isfinite(compute)):
        raise InputError(
            "runs of two data sets are paired by size and tokens or by compute, and there are "
            "neither",
            remedy="name parameters=COLUMN with tokens=COLUMN or compute=COLUMN, or give pairs as "
            "two columns, loss=COLUMN and second=COLUMN",
        )
    if chosen != "train-to-test" and not sized:
        pair_by = "compute"
    seed = table.factor("repeat").codes if table.has("repeat") else np.zeros(table.n_rows, np.int64)
    unit = _units(table, size, tokens, compute, seed)
    codes, names = np.zeros(table.n_rows, np.int64), ["the runs"]
    if table.has("dataset"):
        codes, names = table.factor("dataset").codes, table.factor("dataset").levels
    columns = {"train": table.number("loss")}
    if table.has("second"):
        columns["test"] = table.number("second")

    def series(code: int, which: str) -> Series:
        rows = np.flatnonzero(codes == code)
        runs = Runs(size[rows], tokens[rows], compute[rows], columns[which][rows], unit[rows],
                    seed[rows])  # fmt: skip
        if len(columns) == 1:
            return Series(names[code], names[code], runs)
        column = str(table.columns["loss" if which == "train" else "second"])
        if not table.has("dataset"):
            return Series(column, column, runs)
        return Series(f"{column} of {names[code]}", names[code], runs)

    first, others = _chosen_sets(codes, names, chosen, source, targets)
    asked, failures = [], []
    for code in others:
        of_first = "test" if chosen == "test-to-test" else "train"
        one = series(code if chosen == "train-to-test" else first, of_first)
        other = series(code, "train" if chosen == "train-to-train" else "test")
        try:
            if chosen == "train-to-test":
                pairs = same_runs(one.runs, other.runs.loss)
            else:
                pairs = pair_runs(one.runs, other.runs, pair_by)
        except InputError as error:
            failures.append((names[code], error))
            continue
        asked.append(Asked(one, other, pairs))
    if not asked:
        name, why = failures[0]
        raise InputError(f"{names[first]!r} and {name!r}: {why}")
    used = np.isin(codes, [*others, *([] if chosen == "train-to-test" else [first])])
    aside = (SetAside("of a data set that is not asked for", int(np.sum(~used))),)
    return Read(chosen, asked, failures, sized, aside if not used.all() else (), ratio)


def _sizes(
    table: Table, units: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Parameters, tokens and compute, NaN where the table does not tell."""
    unknown = np.full(table.n_rows, np.nan)
    stated = table.has("tokens") or table.has("compute")
    if table.has("parameters") and stated:
        sizes = read_run_sizes(table, *units)
        both = table.has("tokens") and table.has("compute")
        return sizes.parameters, sizes.tokens, sizes.compute, sizes.flops_ratio if both else np.nan
    if table.has("compute"):
        compute = table.number("compute") * units[2]
        if table.has("tokens"):
            tokens = table.number("tokens") * units[1]
            return compute / FLOPS_PER_PARAMETER_AND_TOKEN / tokens, tokens, compute, np.nan
        return unknown, unknown, compute, np.nan
    return unknown, unknown, unknown, np.nan


def _kind(table: Table, kind: Kind) -> str:
    several = table.has("dataset") and table.factor("dataset").n_levels > 1
    if kind == "auto":
        if not several and not table.has("second"):
            raise InputError(
                "a relation needs runs of two data sets or two losses of each run",
                remedy="name the column of data sets with dataset=COLUMN, or the other loss with "
                "second=COLUMN",
            )
        return "train-to-test" if table.has("second") else "train-to-train"
    if kind != "train-to-train" and not table.has("second"):
        raise InputError(
            f"the relation {kind!r} needs a second loss of each run",
            remedy="name it with second=COLUMN",
        )
    if kind != "train-to-test" and not several:
        raise InputError(
            f"the relation {kind!r} needs runs of two data sets",
            remedy="name the column of data sets with dataset=COLUMN",
        )
    return kind


def _chosen_sets(
    codes: IntArray,
    names: list[str],
    kind: str,
    source: str | None,
    targets: tuple[str, ...] | None,
) -> tuple[int, list[int]]:
    """Code of the first data set (by default the one with most runs), and those of the others."""
    for name in (*((source,) if source is not None else ()), *(targets or ())):
        if name not in names:
            shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
            raise OptionError(f"there is no data set {name!r}; there are {shown}")
    first = int(np.bincount(codes).argmax()) if source is None else names.index(source)
    if kind == "train-to-test":
        wanted = targets or ((source,) if source is not None else tuple(names))
        return first, [names.index(name) for name in wanted]
    wanted = targets or tuple(name for name in names if name != names[first])
    if names[first] in wanted:
        raise OptionError(f"{names[first]!r} is both source and target")
    return first, [names.index(name) for name in wanted]


def _units(
    table: Table, size: np.ndarray, tokens: np.ndarray, compute: np.ndarray, seed: IntArray
) -> IntArray:
    """Code of the training, shared by trainings of equal size and seed on other data.

    Checkpoints of one training (a column of runs) share a code; without one each row is its own.
    """
    if not np.all(np.isfinite(size)):
        keys = compute if np.all(np.isfinite(compute)) else np.arange(table.n_rows)
        return np.unique(keys, return_inverse=True)[1].astype(np.int64)
    columns = [size, seed.astype(float)]
    if not table.has("run"):
        columns.append(tokens)
    found = np.unique(np.column_stack(columns), axis=0, return_inverse=True)[1]
    return found.ravel().astype(np.int64)


def known_sizes(runs: Runs) -> BoolArray:
    """Whether each run's size and tokens are known."""
    return np.isfinite(runs.size) & np.isfinite(runs.tokens)
