"""From a user's table to one ladder a task, with every refusal."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

import numpy as np

from statlas.core import InputError, Notice, Number, OptionError, Roles, SetAside, Table
from statlas.core.runs import RunSizes, read_run_sizes
from statlas.core.tables import build_table
from statlas.scaling.model_ladders.chain import FEWEST_FINAL, BoolArray, IntArray, Ladder
from statlas.scaling.model_ladders.laws import FloatArray

Checkpoints = Literal["auto", "last", "all"]
Unevaluated = Literal["refuse", "skip"]

TASK_LOSS = Number(
    ge=0,
    optional=True,
    help="loss on the right answers, such as bits a byte",
    aliases=("bpb", "bits_per_byte", "task_bpb", "rc_bpb", "answer_loss", "bpb_loss"),
)
ACCURACY = Number(
    ge=0,
    optional=True,
    help="accuracy on the task",
    aliases=("acc", "task_accuracy", "rc_acc", "score"),
)
_LOSS_ENDS = ("task_loss", "bits_per_byte", "bpb", "loss")
_ACCURACY_ENDS = ("accuracy", "acc")


@dataclass(frozen=True)
class Plan:
    """Which checkpoints count, and how.

    Attributes
    ----------
    checkpoints
        Which feed step 1: the last of each training, all, or whichever the table calls for.
    average
        Checkpoints over which losses and accuracies are averaged, up to each one.
    skip
        Share of each training's first checkpoints that are left out.
    span
        Where all checkpoints feed step 1: those whose tokens are at least the training's end
        divided by this.
    perfect
        A perfect score in the unit of the column.
    """

    checkpoints: Checkpoints = "auto"
    average: int = 1
    skip: float = 0.0
    span: float = 10.0
    perfect: float = 1.0


@dataclass(frozen=True)
class Task:
    """One task's ladder, and its checkpoints before averaging."""

    name: str
    ladder: Ladder
    raw: Ladder


@dataclass(frozen=True)
class Read:
    """The ladders of a table."""

    tasks: list[Task]
    recipe: str
    set_aside: tuple[SetAside, ...]
    notices: tuple[Notice, ...]
    flops_ratio: float


def read_ladders(
    table: Table,
    units: tuple[float, float, float],
    plan: Plan,
    tasks: tuple[str, ...] | None,
    focus: str | None,
    unevaluated: Unevaluated,
) -> Read:
    """Read a checked table; `units` are those of parameters, tokens and compute.

    Raises
    ------
    InputError
        Without task losses and accuracies, or for too few rows of a task.
    OptionError
        For a task or a recipe that is not there.
    """
    sizes = read_run_sizes(table, *units)
    chosen, recipe, aside = _recipe_rows(table, focus)
    run = table.factor("run").codes if table.has("run") else np.arange(table.n_rows)
    columns = _columns_of_tasks(table, tasks, unevaluated)
    read: list[Task] = []
    notices: list[Notice] = []
    missed = 0
    for name, (loss, accuracy) in columns.items():
        there = chosen & np.isfinite(loss) & np.isfinite(accuracy)
        if there.sum() < FEWEST_FINAL:
            raise InputError(
                f"task {name!r} has {int(there.sum())} usable rows; a ladder needs {FEWEST_FINAL}",
                remedy="add runs, or leave the task out with tasks=...",
            )
        missed += int(np.sum(chosen & ~there & _evaluated(table, name)))
        raw = _raw_ladder(sizes, run, there, loss, accuracy / plan.perfect)
        ladder, everything = _ladder(raw, plan)
        if everything and not notices:
            notices.append(_all_notice(plan.span))
        read.append(Task(name, ladder, raw))
    if missed:
        notices.append(
            Notice("unevaluated", f"{missed} cells of tasks are empty, and those rows left out")
        )
    return Read(read, recipe, aside, tuple(notices), sizes.flops_ratio)


def _all_notice(span: float) -> Notice:
    return Notice(
        "all-checkpoints",
        f"checkpoints from 1/{span:g} of their training's end on feed step 1, because the ends do "
        "not have several token counts",
        "right where the learning rate does not decay; otherwise train each size to several "
        "lengths",
    )


def _evaluated(table: Table, name: str) -> BoolArray:
    """Rows that are about a task: its own in a long table, all in a wide one."""
    if not table.has("task"):
        return np.ones(table.n_rows, dtype=bool)
    factor = table.factor("task")
    return np.asarray(factor.codes == factor.levels.index(name))


def _recipe_rows(table: Table, focus: str | None) -> tuple[BoolArray, str, tuple[SetAside, ...]]:
    """Rows of the recipe in focus; by default the one with most rows."""
    if not table.has("recipe"):
        if focus is not None:
            raise OptionError(f"focus={focus!r} needs a column for the role 'recipe'")
        return np.ones(table.n_rows, dtype=bool), "", ()
    factor = table.factor("recipe")
    if focus is None:
        focus = factor.levels[int(np.bincount(factor.codes).argmax())]
    if focus not in factor.levels:
        raise OptionError(f"there is no recipe {focus!r}; there are {', '.join(factor.levels)}")
    chosen = np.asarray(factor.codes == factor.levels.index(focus))
    others = int(np.sum(~chosen))
    aside = (SetAside(f"another recipe than {focus!r}", others),) if others else ()
    return chosen, focus, aside


# --- columns --------------------------------------------------------------------------------------

Columns = dict[str, tuple[FloatArray, FloatArray]]


def _columns_of_tasks(
    table: Table, tasks: tuple[str, ...] | None, unevaluated: Unevaluated
) -> Columns:
    """Task loss and accuracy by task, NaN in the rows that are not about it."""
    found = [role for role in ("task_loss", "accuracy") if table.has(role)]
    if len(found) == 1:
        other = "accuracy" if found == ["task_loss"] else "task_loss"
        raise InputError(
            f"a column for the role {found[0]!r} was found and none for {other!r}",
            remedy=f"name it with {other}=COLUMN",
        )
    columns = _long(table) if found else _wide(table, tasks, unevaluated)
    for name in tasks or ():
        if name not in columns:
            raise OptionError(f"there is no task {name!r}; there are {', '.join(columns)}")
    return {name: pair for name, pair in columns.items() if not tasks or name in tasks}


def _long(table: Table) -> Columns:
    loss, accuracy = table.number("task_loss"), table.number("accuracy")
    if not table.has("task"):
        return {"the task": (loss, accuracy)}
    factor = table.factor("task")
    columns = {}
    for code, name in enumerate(factor.levels):
        mine = factor.codes == code
        columns[name] = (np.where(mine, loss, np.nan), np.where(mine, accuracy, np.nan))
    return columns


def _wide(table: Table, tasks: tuple[str, ...] | None, unevaluated: Unevaluated) -> Columns:
    """Columns NAME_task_loss and NAME_accuracy, each pair checked like those of roles."""
    pairs = task_columns([str(name) for name in table.frame.columns])
    if not pairs:
        raise InputError(
            "neither columns for the roles 'task_loss' and 'accuracy' were found, nor pairs such "
            "as NAME_task_loss and NAME_accuracy",
            remedy="name them with task_loss=COLUMN and accuracy=COLUMN",
        )
    roles = Roles(
        task_loss=Number(ge=0, gaps=unevaluated == "skip"),
        accuracy=Number(ge=0, gaps=unevaluated == "skip"),
    )
    columns = {}
    for name, (loss, accuracy) in pairs.items():
        if tasks and name not in tasks:
            columns[name] = (np.array([]), np.array([]))
            continue
        try:
            part = build_table(
                table.frame,
                roles,
                {"task_loss": loss, "accuracy": accuracy},
                missing="drop" if unevaluated == "skip" else "refuse",
            )
        except InputError as error:
            if "missing" in str(error):
                raise InputError(
                    "values are missing",
                    column=loss if table.frame[loss].isna().any() else accuracy,
                    remedy="fill them in, or leave those rows out of the task with "
                    "unevaluated='skip'",
                ) from None
            raise
        columns[name] = (part.number("task_loss"), part.number("accuracy"))
    return columns


def task_columns(names: list[str]) -> dict[str, tuple[str, str]]:
    """Columns of task loss and accuracy by task, where names are a task's and a metric's.

    Examples
    --------
    >>> task_columns(["arc_bpb", "arc_acc", "piqa_loss", "loss"])
    {'arc': ('arc_bpb', 'arc_acc')}
    """

    def by_task(ends: tuple[str, ...]) -> dict[str, str]:
        found: dict[str, str] = {}
        for end in ends:
            for name in names:
                match = re.fullmatch(rf"(.+?)[_\-. /]{end}", name, re.IGNORECASE)
                if match and match.group(1) not in found:
                    found[match.group(1)] = name
        return found

    losses, accuracies = by_task(_LOSS_ENDS), by_task(_ACCURACY_ENDS)
    tasks = sorted(losses.keys() & accuracies.keys(), key=lambda name: names.index(losses[name]))
    return {name: (losses[name], accuracies[name]) for name in tasks}


# --- checkpoints ----------------------------------------------------------------------------------


def _raw_ladder(
    sizes: RunSizes, run: IntArray, there: BoolArray, loss: FloatArray, accuracy: FloatArray
) -> Ladder:
    """All checkpoints by training and tokens, in that order."""
    if np.any(accuracy[there] > 1):
        raise InputError(
            f"accuracies must be at most a perfect score; found {accuracy[there].max():g} times it",
            remedy="say what a perfect score is, such as perfect=100",
        )
    if np.any(loss[there] <= 0):
        raise InputError("task losses must be above 0", remedy="remove those rows")
    order = np.flatnonzero(there)
    order = order[np.lexsort((sizes.tokens[order], run[order]))]
    codes = np.unique(run[order], return_inverse=True)[1].astype(np.int64)
    return Ladder(
        sizes.parameters[order],
        sizes.tokens[order],
        sizes.compute[order],
        loss[order],
        accuracy[order],
        codes,
        np.append(codes[1:] != codes[:-1], True),
    )


def _ladder(raw: Ladder, plan: Plan) -> tuple[Ladder, bool]:
    """The checkpoints that count, and whether all of them feed step 1 without being asked to."""
    kept, losses, accuracies = [], [], []
    for code in np.unique(raw.run):
        rows = np.flatnonzero(raw.run == code)
        rows = rows[min(int(np.ceil(plan.skip * len(rows))), len(rows) - 1) :]
        kept.append(rows)
        losses.append(moving_average(raw.loss[rows], plan.average))
        accuracies.append(moving_average(raw.accuracy[rows], plan.average))
    chosen = np.concatenate(kept)
    final = raw.final[chosen]
    everything = plan.checkpoints == "all"
    last = raw.where(raw.final)
    several = min(len(np.unique(last.size)), len(np.unique(last.tokens))) > 1
    called_for = not several and not final.all() and plan.checkpoints == "auto"
    if everything or called_for:
        ends = np.zeros(int(raw.run.max()) + 1)
        np.maximum.at(ends, raw.run, raw.tokens)
        final = raw.tokens[chosen] * plan.span >= ends[raw.run[chosen]] * (1 - 1e-9)
    ladder = Ladder(
        raw.size[chosen],
        raw.tokens[chosen],
        raw.compute[chosen],
        np.concatenate(losses),
        np.concatenate(accuracies),
        raw.run[chosen],
        final,
    )
    return ladder, called_for


def moving_average(values: FloatArray, width: int) -> FloatArray:
    """Mean of each value and the `width` - 1 before it; of fewer at the beginning.

    Examples
    --------
    >>> moving_average(np.array([1.0, 3.0, 5.0]), 2)
    array([1., 2., 4.])
    """
    sums = np.cumsum(values)
    sums[width:] = sums[width:] - sums[:-width]
    return np.asarray(sums / np.minimum(np.arange(1, len(values) + 1), width))
