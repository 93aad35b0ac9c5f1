"""From a table of runs to values by scale, recipe and seed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from statlas.core import Factor, InputError, OptionError, Table
from statlas.core.numerics.laws.allocation import FLOPS_PER_PARAMETER_AND_TOKEN
from statlas.core.runs import read_run_sizes, unit_in_name
from statlas.scaling.datadecide.proxies import PRIMARY, lower_is_better

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Key = tuple[str, str]  # task ("" for none), metric

ALL_TASKS = "all tasks"
_SUFFIX = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
# Sizes and tokens that differ by less are one scale.
_SAME = 0.02


@dataclass(frozen=True)
class Runs:
    """Metrics of runs at every scale, recipe and seed.

    Attributes
    ----------
    recipes, seeds
        Names.
    parameters, tokens, compute
        Of each scale (a size at a number of tokens), shape (n_scales,), by rising compute.
    size
        Code of the size of each scale, by rising parameters.
    series
        By task and metric: values, higher is better (losses are negated), NaN where absent, shape
        (n_scales, n_recipes, n_seeds).
    one_recipe, repeats, ignored
        Rows at a scale that only one recipe has, rows that repeat a run, columns of text.
    """

    recipes: list[str]
    seeds: list[str]
    parameters: FloatArray
    tokens: FloatArray
    compute: FloatArray
    size: IntArray
    series: dict[Key, FloatArray] = field(repr=False)
    one_recipe: int = 0
    repeats: int = 0
    ignored: tuple[str, ...] = ()

    @property
    def n_scales(self) -> int:
        """Number of scales."""
        return len(self.compute)

    def tasks_with(self, metric: str) -> list[str]:
        """Tasks that have the metric, the mean over tasks last where there are several."""
        return [task for task, name in self.series if name == metric]

    def recipes_at(self, key: Key) -> IntArray:
        """Number of recipes with a value at each scale, shape (n_scales,)."""
        return np.asarray(np.isfinite(self.series[key]).any(axis=2).sum(axis=1))


def read_runs(
    table: Table, tasks: Sequence[str], lower: Sequence[str], units: tuple[float, float, float]
) -> Runs:
    """Read a checked table.

    Parameters
    ----------
    table
        With the roles of the recipe.
    tasks
        Beginnings of the names of columns that hold a task's metrics, as in ``TASK_METRIC``.
    lower
        Further metrics of which less is better.
    units
        Of the columns of parameters, tokens and compute; 1 for what a column's name states.

    Raises
    ------
    InputError
        For fewer than two scales with two recipes, or no column of metrics.
    """
    compute, parameters, tokens = _sizes(table, units)
    recipe = table.factor("recipe")
    one_run = Factor(np.zeros(table.n_rows, dtype=np.int64), [""])
    seed = table.factor("repeat") if table.has("repeat") else one_run
    task = table.factor("task") if table.has("task") else one_run
    size, scale = _levels(parameters), _scales(parameters, tokens)
    columns, ignored = _metric_columns(table)
    shared = _shared_scales(scale, recipe.codes)
    keep = np.isin(scale, shared)
    if len(shared) < 2:
        raise InputError(
            f"{len(shared)} scale(s) (size and tokens) have runs of two recipes; two are needed",
            remedy="give runs of several recipes at a small and at a large size; sizes and tokens "
            "count as the same within 2 %",
        )
    place = np.searchsorted(shared, scale[keep])
    cost = np.array([np.median(compute[keep][place == one]) for one in range(len(shared))])
    order = np.argsort(cost, kind="stable")
    place = np.argsort(order)[place]
    shape = (len(shared), recipe.n_levels, seed.n_levels)
    cell = (place * shape[1] + recipe.codes[keep]) * shape[2] + seed.codes[keep]
    series: dict[Key, FloatArray] = {}
    repeats = 0
    for code, label in enumerate(task.levels):
        rows = task.codes[keep] == code
        repeats += int(rows.sum()) - len(np.unique(cell[rows]))
        for name, values in columns.items():
            of_task, metric = (label, name) if table.has("task") else _split(name, tasks)
            sign = -1.0 if lower_is_better(metric) or metric in lower else 1.0
            series[of_task, metric] = _arrange(sign * values[keep][rows], cell[rows], shape)
    first = [int(np.flatnonzero(keep)[np.flatnonzero(place == one)[0]]) for one in range(shape[0])]
    return Runs(
        recipe.levels, seed.levels, parameters[first], tokens[first], np.sort(cost), size[first],
        _with_means(series), int(np.sum(~keep)), repeats, ignored,
    )  # fmt: skip


def _sizes(
    table: Table, units: tuple[float, float, float]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Compute, parameters and tokens; without parameters the scale is the compute."""
    roles = ("parameters", "tokens", "compute")
    units = tuple(
        unit_in_name(str(table.columns[role])) if unit == 1 and table.has(role) else unit
        for role, unit in zip(roles, units, strict=True)
    )  # type: ignore[assignment]
    if table.has("parameters"):
        sizes = read_run_sizes(table, *units)
        return sizes.compute, sizes.parameters, sizes.tokens
    if table.has("size") and (table.has("tokens") or table.has("compute")):
        parameters = _named_sizes(table)
        per_token = FLOPS_PER_PARAMETER_AND_TOKEN * parameters
        if not table.has("tokens"):
            compute = table.number("compute") * units[2]
            return compute, parameters, compute / per_token
        tokens = table.number("tokens") * units[1]
        stated = table.has("compute")
        compute = table.number("compute") * units[2] if stated else per_token * tokens
        return compute, parameters, tokens
    if not table.has("compute"):
        raise InputError(
            "neither a column of compute was found, nor parameters or sizes with tokens",
            remedy="name compute=COLUMN, or parameters=COLUMN and tokens=COLUMN",
        )
    compute = table.number("compute") * units[2]
    return compute, compute, np.ones_like(compute)


def _named_sizes(table: Table) -> FloatArray:
    """Parameters of sizes named like 150M or 1.3B."""
    size = table.factor("size")
    values = []
    for label in size.levels:
        found = re.fullmatch(r"([0-9.]+(?:e[0-9]+)?)\s*([kmbt]?)", label.strip().lower())
        if found is None or float(found[1]) <= 0:
            raise InputError(
                f"the size {label!r} is no number of parameters such as 150M",
                column=str(table.columns["size"]),
                remedy="give numbers with parameters=COLUMN, or leave the column out",
            )
        values.append(float(found[1]) * _SUFFIX[found[2]])
    return np.asarray(np.array(values)[size.codes])


def _levels(values: FloatArray) -> IntArray:
    """Codes of values by rising size; neighbours within 2 % share one."""
    unique, place = np.unique(values, return_inverse=True)
    steps = np.concatenate([[0], np.cumsum(np.diff(np.log(unique)) > _SAME)])
    return np.asarray(steps[place], dtype=np.int64)


def _scales(parameters: FloatArray, tokens: FloatArray) -> IntArray:
    by_tokens = _levels(tokens)
    return np.asarray(_levels(parameters) * (int(by_tokens.max()) + 1) + by_tokens)


def _shared_scales(scale: IntArray, recipe: IntArray) -> IntArray:
    """Scales with runs of at least two recipes."""
    pairs = np.unique(np.column_stack([scale, recipe]), axis=0)
    found, count = np.unique(pairs[:, 0], return_counts=True)
    return np.asarray(found[count >= 2])


def _metric_columns(table: Table) -> tuple[dict[str, FloatArray], tuple[str, ...]]:
    """Numeric columns that vary, and the names of those left alone."""
    columns: dict[str, FloatArray] = {}
    ignored = []
    for name, values in table.mixed_columns("metrics").items():
        if isinstance(values, Factor) or np.ptp(values) == 0:
            ignored.append(name)
        else:
            columns[name] = values
    if not columns:
        raise InputError(
            "no column of metrics holds different numbers",
            remedy="name the measured columns with metrics=COLUMN,COLUMN",
        )
    return columns, tuple(ignored)


def _split(name: str, tasks: Sequence[str]) -> Key:
    """Task and metric of a column named TASK_METRIC; no task for others."""
    for task in sorted(tasks, key=len, reverse=True):
        rest = name[len(task) :]
        if name.startswith(task) and rest[:1] in ("_", "-", "/", ".", ":", " ") and len(rest) > 1:
            return task, rest[1:].strip()
    return "", name


def _arrange(values: FloatArray, cell: IntArray, shape: tuple[int, ...]) -> FloatArray:
    """Values by scale, recipe and seed, repeats averaged."""
    size = int(np.prod(shape))
    count = np.bincount(cell, minlength=size)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(cell, values, size) / count
    return np.asarray(mean.reshape(shape))


def _with_means(series: dict[Key, FloatArray]) -> dict[Key, FloatArray]:
    """The mean over tasks of every metric that all tasks have, added at the end."""
    tasks = [task for task in dict.fromkeys(task for task, _ in series) if task]
    answer = dict(series)
    if len(tasks) > 1:
        metrics = dict.fromkeys(metric for task, metric in series if task)
        for metric in metrics:
            if all((task, metric) in series for task in tasks):
                each = [series[task, metric] for task in tasks]
                answer[ALL_TASKS, metric] = np.mean(each, axis=0)
    return answer


# --- what decides ---------------------------------------------------------------------------------


def choose_metric(runs: Runs, metric: str | None) -> str:
    """The metric that decides at the target.

    Raises
    ------
    OptionError
        For a metric that no column holds, or where none is named and none is usual.
    """
    names = list(dict.fromkeys(name for _, name in runs.series))
    if metric is not None:
        for column in runs.ignored:
            if column.endswith(metric) and metric not in names:
                raise InputError(
                    "holds text or a single value, and must hold different numbers",
                    column=column,
                    remedy="correct those cells, or choose another metric",
                )
        if metric not in names:
            raise OptionError(
                f"option 'metric' must be one of {', '.join(names[:12])}; got {metric!r}"
            )
        return metric
    for usual in PRIMARY:
        if usual in names:
            return usual
    if len(names) == 1:
        return names[0]
    raise OptionError(
        f"option 'metric' must name the metric that decides: one of {', '.join(names[:12])}; "
        "got None"
    )


def choose_task(runs: Runs, metric: str, task: str | None) -> str:
    """The task that decides: the mean over tasks where there are several."""
    tasks = runs.tasks_with(metric)
    if task is None:
        return ALL_TASKS if ALL_TASKS in tasks else tasks[-1]
    if task not in tasks:
        raise OptionError(f"option 'focus' must be one of {', '.join(tasks)}; got {task!r}")
    return task


def choose_target(runs: Runs, key: Key, compute: float | None) -> int:
    """The scale whose order counts: the dearest with the most recipes, or the nearest to `compute`.

    Raises
    ------
    InputError
        If no cheaper scale is left.
    """
    recipes = runs.recipes_at(key)
    usable = np.flatnonzero(recipes >= 2)
    if len(usable) < 2:
        raise InputError(
            f"{len(usable)} scale(s) have the metric {key[1]!r} for two recipes; two are needed",
            remedy="give runs at a smaller and at a larger scale",
        )
    if compute is not None:
        target = int(usable[np.argmin(np.abs(np.log(runs.compute[usable] / compute)))])
    else:
        # A scale with nearly all recipes beats a slightly dearer one with few.
        most = usable[recipes[usable] >= 0.5 * recipes[usable].max()]
        target = int(most[np.argmax(runs.compute[most])])
    if not np.any(runs.compute[usable] < runs.compute[target]):
        raise InputError(
            "no cheaper scale than the target has two recipes",
            remedy="give runs at smaller sizes, or a dearer target_compute",
        )
    return target


def proxies_of(runs: Runs, task: str) -> Iterator[Key]:
    """Series that can stand in for a task's metric: its own metrics, and those of no task."""
    for of_task, metric in runs.series:
        if of_task in (task, ""):
            yield of_task, metric
