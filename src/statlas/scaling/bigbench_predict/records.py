"""Records of scores: who was scored, on what, with how many shots; from a user's table."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from statlas.core import InputError, Table
from statlas.core.runs import unit_in_name
from statlas.core.tables import Factor

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

# More cells than this are not listed one by one.
MOST_CELLS = 200_000


@dataclass(frozen=True)
class Records:
    """Scores with the features that predictors may use, one row a record.

    Attributes
    ----------
    family, model, group, task
        Codes, shape (n_records,); a model is a family at one size.
    numeric
        Standardised numbers of the record (logarithms of size, tokens and compute, of 1 + shots),
        shape (n_records, n_numbers).
    column
        Code of task and shots together, shape (n_records,): the columns of a table of models.
    shots
        Code of the number of shots, shape (n_records,).
    score
        Shape (n_records,); NaN where it is to be predicted.
    labels
        Names of the codes, by attribute.
    """

    family: IntArray
    model: IntArray
    group: IntArray
    task: IntArray
    shots: IntArray
    column: IntArray
    numeric: FloatArray
    score: FloatArray
    labels: dict[str, list[str]] = field(repr=False)
    n_columns: int = 0

    def __len__(self) -> int:
        return len(self.score)

    def take(self, rows: NDArray[np.bool_] | IntArray) -> Records:
        """Some of the records; codes keep their meaning."""
        return replace(
            self,
            **{
                name: getattr(self, name)[rows]
                for name in (
                    "family", "model", "group", "task", "shots", "column", "numeric", "score"
                )
            },
        )  # fmt: skip

    def count(self, name: str) -> int:
        """Number of levels of a code."""
        return self.n_columns if name == "column" else len(self.labels[name])

    @property
    def family_of_model(self) -> IntArray:
        """Family of each model, shape (n_models,)."""
        families = np.zeros(self.count("model"), dtype=np.int64)
        families[self.model] = self.family
        return families


def read_records(table: Table) -> tuple[Records, int]:
    """Records of a checked table, repeats averaged, and how many repeats there were.

    Raises
    ------
    InputError
        Where a model is in two families, a task in two groups, or nothing tells models apart.
    """
    task = table.factor("task")
    family = _family(table)
    numbers, names = _model_numbers(table)
    model, models = _models(table, family, numbers)
    group = table.factor("group") if table.has("group") else task
    _check_nested(task, group, "task", "group", table)
    _check_nested(Factor(model, models), family, "model", "family", table)
    shots_value = table.number("shots") if table.has("shots") else np.zeros(table.n_rows)
    levels, shots = np.unique(shots_value, return_inverse=True)
    if table.has("shots"):
        numbers, names = [*numbers, np.log1p(shots_value)], [*names, "log(1 + shots)"]
    column = task.codes * len(levels) + shots
    score = _score(table)
    records = Records(
        family.codes, model, group.codes, task.codes, shots.astype(np.int64), column,
        _standardised(numbers, family), score,
        {
            "family": family.levels, "model": models, "group": group.levels, "task": task.levels,
            "shots": [f"{level:g}" for level in levels], "numeric": names,
        },
        task.n_levels * len(levels),
    )  # fmt: skip
    return _average_repeats(records)


def _family(table: Table) -> Factor:
    if table.has("family"):
        return table.factor("family")
    if table.has("model"):
        return table.factor("model")
    raise InputError(
        "neither a column of model families nor one of models was found",
        remedy="name one with family=COLUMN or model=COLUMN",
    )


def _model_numbers(table: Table) -> tuple[list[FloatArray], list[str]]:
    """Logarithms of what is known of a model's size."""
    numbers, names = [], []
    for role in ("parameters", "tokens", "compute"):
        if table.has(role):
            unit = unit_in_name(str(table.columns[role]))
            values = np.log(table.number(role) * unit)
            if not np.isfinite(values).any():
                raise InputError(
                    "holds no number", column=str(table.columns[role]), remedy="leave it out"
                )
            numbers.append(values)
            names.append(f"log({role})")
    return numbers, names


def _models(table: Table, family: Factor, numbers: list[FloatArray]) -> tuple[IntArray, list[str]]:
    """Codes of models: the model column, or family and sizes together."""
    if table.has("model"):
        factor = table.factor("model")
        return factor.codes, factor.levels
    keys = np.column_stack([family.codes, *(np.nan_to_num(one, nan=-1.0) for one in numbers)])
    _, first, codes = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    names = []
    for row in first:
        size = table.number("parameters")[row] if table.has("parameters") else None
        own = family.levels[family.codes[row]]
        names.append(own if size is None or np.isnan(size) else f"{own} {size:g}")
    if len(set(names)) < len(names):  # told apart by tokens or compute
        names = [f"{name} #{place}" for place, name in enumerate(names, 1)]
    return codes.ravel().astype(np.int64), names


def _check_nested(inner: Factor, outer: Factor, one: str, other: str, table: Table) -> None:
    """Every level of `inner` lies in one level of `outer`."""
    of_inner = np.zeros(inner.n_levels, dtype=np.int64)
    of_inner[inner.codes] = outer.codes
    split = of_inner[inner.codes] != outer.codes
    if split.any():
        row = int(split.argmax())
        raise InputError(
            f"{one} {inner.levels[inner.codes[row]]!r} occurs with two labels",
            column=str(table.columns.get(other, table.columns.get(one, other))),
            remedy=f"make the {one} labels unique, or leave the column out",
        )


def _score(table: Table) -> FloatArray:
    score = table.number("score")
    known = score[np.isfinite(score)]
    if len(known) < 20:
        raise InputError(
            f"at least 20 scores are needed; found {len(known)}",
            column=str(table.columns["score"]),
            remedy="give more records",
        )
    if np.ptp(known) == 0:
        raise InputError(
            f"all {len(known)} scores are {known[0]:g}, and they must vary",
            column=str(table.columns["score"]),
            remedy="choose a column with different values",
        )
    return score


def _standardised(numbers: list[FloatArray], family: Factor) -> FloatArray:
    """Numbers with mean 0 and spread 1; absent ones take the mean of their family, or 0."""
    columns = []
    for values in numbers:
        known = np.isfinite(values)
        spread = float(values[known].std()) if known.any() else 0.0
        scaled = (values - values[known].mean()) / (spread if spread > 0 else 1.0)
        total = np.bincount(family.codes[known], scaled[known], family.n_levels)
        count = np.bincount(family.codes[known], minlength=family.n_levels)
        columns.append(np.where(known, scaled, (total / np.maximum(count, 1))[family.codes]))
    return np.column_stack(columns) if columns else np.zeros((len(family.codes), 0))


def _average_repeats(records: Records) -> tuple[Records, int]:
    """One record a model, task and shots; NaN scores do not count where there are others."""
    cell = records.model * records.count("column") + records.column
    cells, first, place = np.unique(cell, return_index=True, return_inverse=True)
    known = np.isfinite(records.score)
    totals = np.bincount(place[known], records.score[known], len(cells))
    counts = np.bincount(place[known], minlength=len(cells))
    with np.errstate(invalid="ignore"):
        mean = totals / counts
    repeats = int(np.maximum(counts - 1, 0).sum())
    return replace(records.take(first), score=mean), repeats


def missing_cells(records: Records) -> Records:
    """Combinations of a model, a task and shots, each of them in the records, without a score.

    A model counts at the numbers of shots at which it was run on some task, a task likewise.

    Raises
    ------
    InputError
        Where there are more than 200,000.
    """
    scored = records.take(np.isfinite(records.score))
    n_columns, n_shots = records.count("column"), records.count("shots")
    has = np.zeros((records.count("model"), n_columns), dtype=bool)
    has[scored.model, scored.column] = True
    row_of = np.full(has.shape, -1, dtype=np.int64)
    row_of[records.model, records.column] = np.arange(len(records))
    used = np.zeros((records.count("model"), n_shots), dtype=bool)
    used[records.model, records.shots] = True
    asked = np.zeros(n_columns, dtype=bool)
    asked[records.column] = True
    wanted = ~has & asked & used[:, np.arange(n_columns) % n_shots]
    model, column = np.nonzero(wanted)
    if len(model) > MOST_CELLS:
        raise InputError(
            f"{len(model)} combinations of model, task and shots are missing, more than can be "
            f"listed ({MOST_CELLS})",
            remedy="run it on fewer models or tasks",
        )
    # The features of a cell: those of its model's and its column's other records.
    of_model, of_column = (
        _any_row(records.model, records.count("model")),
        _any_row(records.column, n_columns),
    )
    numeric = records.numeric[of_model[model]].copy()
    if records.labels["numeric"][-1:] == ["log(1 + shots)"]:
        numeric[:, -1] = records.numeric[of_column[column], -1]
    return replace(
        records,
        family=records.family[of_model[model]],
        model=model,
        group=records.group[of_column[column]],
        task=records.task[of_column[column]],
        shots=records.shots[of_column[column]],
        column=column,
        numeric=numeric,
        score=np.full(len(model), np.nan),
    )


def _any_row(codes: IntArray, n_levels: int) -> IntArray:
    rows = np.zeros(n_levels, dtype=np.int64)
    rows[codes] = np.arange(len(codes))
    return rows
