"""Tables of class probabilities: a column a class, and the true class."""

from __future__ import annotations

import os.path
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from statlas.core.errors import InputError
from statlas.core.tables import Table

# Probabilities written with two decimals may add up to this much more or less than 1.
ROUNDING = 0.02


@dataclass(frozen=True)
class ClassProbabilities:
    """What a classifier said of each row, and what the row is.

    Attributes
    ----------
    probabilities
        Shape (n_rows, n_classes), each row adding up to about 1.
    label
        Place of the true class among `classes`, shape (n_rows,).
    classes
        Names of the classes, in the order of the columns.
    """

    probabilities: NDArray[np.float64]
    label: NDArray[np.int64]
    classes: list[str]


def read_class_probabilities(
    table: Table, label: str = "label", columns: str = "probabilities"
) -> ClassProbabilities:
    """Match the columns of probabilities to the labels.

    A column belongs to the class that it is named after, with or without a beginning that all
    columns share (``p_cat``, ``p_dog``).

    Parameters
    ----------
    table
        With a `Category` role for the true class and a `Features` role for the probabilities.
    label, columns
        Names of these roles.

    Raises
    ------
    InputError
        For fewer than two columns, numbers outside 0 to 1, rows that do not add up to 1, or a label
        without a column.
    """
    values, names = table.features(columns)
    if len(names) < 2:
        raise InputError(
            f"class probabilities need a column a class; found {len(names)}: {', '.join(names)}",
            remedy=f"name the columns with {columns}=..., or give confidence and correctness",
        )
    for column, name in zip(values.T, names, strict=True):
        bad = (column < 0) | (column > 1)
        if bad.any():
            raise InputError(
                f"{int(bad.sum())} values are no probabilities, such as {column[bad][0]:g}",
                column=name,
                remedy=f"name the columns of probabilities with {columns}=...",
            )
    off = np.abs(values.sum(axis=1) - 1) > ROUNDING
    if off.any():
        total = values[off][0].sum()
        raise InputError(
            f"the probabilities of {int(off.sum())} rows do not add up to 1, but to {total:g} in "
            f"row {int(np.argmax(off)) + 1} ({', '.join(names[:3])}{', ...' * (len(names) > 3)})",
            remedy=f"name the columns of one model with {columns}=...",
        )
    classes, codes = _match(names, table.factor(label).levels, str(table.columns[label]))
    return ClassProbabilities(values, codes[table.factor(label).codes], classes)


def _match(
    names: list[str], labels: list[str], label_column: str
) -> tuple[list[str], NDArray[np.int64]]:
    """Class of each column, and the column's place of each label."""
    shared = os.path.commonprefix(names)  # noqa: RUF071 - characters are what is meant
    shortened = [name.removeprefix(shared) for name in names]
    for classes in (names, shortened):
        if set(labels) <= set(classes):
            return list(classes), np.array([classes.index(level) for level in labels])
    missing = sorted(set(labels) - set(names) - set(shortened))
    raise InputError(
        f"no column of probabilities is named after the class {missing[0]!r}; the columns are "
        f"{', '.join(names[:6])}{', ...' * (len(names) > 6)}",
        column=label_column,
        remedy="name each column after its class, such as p_cat for the class cat",
    )
