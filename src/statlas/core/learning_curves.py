"""Tables of learning curves: error against number of training examples, read once for all.

Recipes about learning curves take these roles, so that one table serves them all:

    Roles(examples=EXAMPLES, error=ERROR, score=SCORE, model=MODEL, dataset=DATASET, min_rows=4)
    curves = read_learning_curves(table, perfect=1.0)

A curve is all rows that share the labels named (data set, task, model). Rows of one curve with the
same number of examples are repeats and are averaged. Logarithms are natural.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from statlas.core.errors import InputError
from statlas.core.examples import example_path
from statlas.core.results import Notice, SetAside
from statlas.core.roles import Category, Number
from statlas.core.tables import Factor, Table

FloatArray = NDArray[np.float64]

EXAMPLES = Number(
    gt=0,
    le=1e15,
    help="number of training examples",
    aliases=(
        "n", "n_examples", "n_train", "train_size", "training_size", "training_examples",
        "n_samples", "num_samples", "num_examples", "samples", "shots", "m",
    ),
)  # fmt: skip
ERROR = Number(
    ge=0,
    varies=True,
    optional=True,
    help="error or loss on new examples",
    aliases=(
        "error_rate", "test_error", "val_error", "validation_error", "generalization_error",
        "loss", "test_loss", "val_loss", "err",
    ),
)  # fmt: skip
SCORE = Number(
    varies=True,
    optional=True,
    help="score on new examples, in place of the error",
    aliases=("accuracy", "test_accuracy", "val_accuracy", "acc", "f1", "map"),
)
STANDARD_ERROR = Number(
    ge=0,
    optional=True,
    gaps=True,
    help="standard error of the error or score",
    aliases=("se", "stderr", "sem", "std_error", "error_se"),
)
MODEL = Category(
    optional=True,
    help="model or method that learns",
    aliases=("architecture", "method", "classifier", "learner", "algorithm", "arch"),
)
DATASET = Category(
    optional=True, help="data set that is learnt", aliases=("data_set", "data", "domain")
)
TASK = Category(optional=True, help="task on the data set", aliases=("subtask", "variant"))
CLASSES = Number(
    ge=2,
    integer=True,
    optional=True,
    help="number of classes",
    aliases=("n_classes", "num_classes"),
)
REPEAT = Category(
    optional=True,
    help="seed or fold; rows of one curve and size are averaged with or without it",
    aliases=("seed", "fold", "trial", "rep", "run"),
)

# Repeats that the pooled spread counts for where a size has few of its own.
_PRIOR_REPEATS = 4.0


@dataclass(frozen=True)
class LearningCurve:
    """One curve, by rising number of examples.

    Attributes
    ----------
    name
        Its labels in words.
    labels
        Level of each role that tells curves apart.
    n, error
        Number of examples and mean error, shape (n_sizes,) each.
    standard_error
        Of the mean error, NaN where unknown, shape (n_sizes,).
    repeats
        Rows behind each mean, shape (n_sizes,).
    classes
        Number of classes, NaN where not stated.
    """

    name: str
    labels: dict[str, str]
    n: FloatArray
    error: FloatArray
    standard_error: FloatArray
    repeats: FloatArray
    classes: float = np.nan

    def __len__(self) -> int:
        return len(self.n)

    @property
    def x(self) -> FloatArray:
        """Logarithm of the number of examples."""
        return np.log(self.n)

    @property
    def y(self) -> FloatArray:
        """Logarithm of the error."""
        return np.log(self.error)

    def between(self, low: float, high: float) -> LearningCurve:
        """The part with `low` to `high` examples, both included."""
        kept = (self.n >= low) & (self.n <= high)
        return LearningCurve(
            self.name, self.labels, self.n[kept], self.error[kept], self.standard_error[kept],
            self.repeats[kept], self.classes,
        )  # fmt: skip

    @property
    def spread(self) -> FloatArray:
        """Standard error of the log error, shape (n_sizes,); NaN where nothing is known of it.

        Spreads from few rows are drawn towards the curve's own mean, as if that rested on four
        repeats; a size without a spread of its own takes the mean.
        """
        relative = (self.standard_error / self.error) ** 2
        known = np.isfinite(relative)
        if not known.any():
            return np.full(len(self), np.nan)
        # Of one repeat, so that sizes with many and with few can share it.
        single = relative * self.repeats
        pooled = float(np.mean(single[known]))
        own = np.where(known, np.maximum(self.repeats - 1, 0), 0.0)
        mixed = (np.where(known, single, 0.0) * own + pooled * _PRIOR_REPEATS) / (
            own + _PRIOR_REPEATS
        )
        return np.asarray(np.sqrt(mixed / self.repeats))


@dataclass(frozen=True)
class LearningCurves:
    """All curves of a table, and what was done to its rows."""

    curves: list[LearningCurve]
    unit: str
    set_aside: tuple[SetAside, ...] = ()
    notices: tuple[Notice, ...] = ()

    def __iter__(self) -> Iterator[LearningCurve]:
        return iter(self.curves)

    def named(self, name: str) -> LearningCurve:
        """The curve of a name.

        Raises
        ------
        InputError
            If there is none of that name; the message lists some that there are.
        """
        for curve in self.curves:
            if curve.name == name:
                return curve
        some = ", ".join(repr(curve.name) for curve in self.curves[:6])
        more = f" and {len(self.curves) - 6} more" if len(self.curves) > 6 else ""
        raise InputError(f"no curve is named {name!r}; there are {some}{more}")


def read_learning_curves(
    table: Table, perfect: float = 1.0, by: tuple[str, ...] = ("dataset", "task", "model")
) -> LearningCurves:
    """Curves of a checked table with the role ``examples`` and ``error`` or ``score``.

    Parameters
    ----------
    table
        Rows of any number of curves.
    perfect
        Score of a perfect model: the error is `perfect` less the score.
    by
        Roles that tell curves apart, where the table has them: categories, or numbers such as
        ``parameters``, whose value becomes a label (an empty one where it is 0 or missing).

    Raises
    ------
    InputError
        Without an error or a score, for scores above `perfect`, and if no error is above 0.
    """
    error, unit, column = _errors(table, perfect)
    # A spread of one row counts as that of a mean over several, so its weight is not that of one.
    stated = _stated(table)
    factors = {name: _factor(table, name) for name in by if table.has(name)}
    levels = np.column_stack(
        [*(factor.codes for factor in factors.values()), np.zeros(table.n_rows, dtype=np.int64)]
    )
    _, first, of_row = np.unique(levels, axis=0, return_index=True, return_inverse=True)
    n = table.number("examples")
    classes = table.number("classes") if table.has("classes") else np.full(table.n_rows, np.nan)
    curves, zeros, averaged = [], 0, 0
    for code in np.argsort(first, kind="stable"):
        rows = np.flatnonzero(of_row.ravel() == code)
        labels = {name: factor.levels[factor.codes[rows[0]]] for name, factor in factors.items()}
        curve = _one_curve(labels, n[rows], error[rows], stated[rows], float(classes[rows[0]]))
        averaged += len(rows) - len(curve)
        usable = curve.error > 0
        zeros += int(curve.repeats[~usable].sum())
        if usable.any():
            curves.append(_only(curve, usable))
    if not curves:
        raise InputError(
            "every error is 0, and a curve of logarithms needs errors above 0",
            column=column,
            remedy="test on more examples, or give loss in place of error",
        )
    aside = (SetAside("an error of 0 has no logarithm", zeros),) if zeros else ()
    return LearningCurves(curves, unit, aside, tuple(_notices(zeros, averaged)))


def _factor(table: Table, name: str) -> Factor:
    """A category role, or a number role with a level for each value, empty for 0 and gaps."""
    if name in table.factors:
        return table.factor(name)
    values, codes = np.unique(table.number(name), return_inverse=True)
    return Factor(codes.ravel(), [f"{value:.15g}" if value > 0 else "" for value in values])


def _errors(table: Table, perfect: float) -> tuple[FloatArray, str, str]:
    """Errors, what they are called, and the column they come from."""
    if table.has("error"):
        return table.number("error"), str(table.columns["error"]), str(table.columns["error"])
    if not table.has("score"):
        raise InputError(
            "neither a column of errors nor one of scores was found",
            remedy="name one with error=COLUMN or score=COLUMN",
        )
    column = str(table.columns["score"])
    error = perfect - table.number("score")
    if (error < 0).any():
        raise InputError(
            f"{int((error < 0).sum())} of {len(error)} scores lie above that of a perfect model, "
            f"{perfect:g} (first: {table.number('score')[error < 0][0]:g})",
            column=column,
            remedy="give the score of a perfect model with perfect, such as 100 for per cent",
        )
    return error, f"{perfect:g} - {column}", column


def _stated(table: Table) -> FloatArray:
    if table.has("standard_error"):
        return table.number("standard_error")
    return np.full(table.n_rows, np.nan)


def _one_curve(
    labels: dict[str, str],
    n: FloatArray,
    error: FloatArray,
    stated: FloatArray,
    classes: float,
) -> LearningCurve:
    sizes, place = np.unique(n, return_inverse=True)
    repeats = np.bincount(place).astype(float)
    mean = np.bincount(place, error) / repeats
    squares = np.bincount(place, (error - mean[place]) ** 2)
    with np.errstate(invalid="ignore", divide="ignore"):
        own = np.sqrt(squares / (repeats - 1) / repeats)
    known = np.isfinite(stated)
    if known.any():
        counted = np.bincount(place, known)
        total = np.bincount(place, np.where(known, stated, 0.0) ** 2)
        with np.errstate(invalid="ignore", divide="ignore"):
            given = np.sqrt(total / counted / repeats)
        own = np.where(counted > 0, given, own)
    words = [
        f"{float(label):g} parameters" if role == "parameters" else label
        for role, label in labels.items()
        if label and role != "family"
    ]
    name = ", ".join(words) or "the curve"
    spread = np.where(np.isfinite(own), own, np.nan)
    return LearningCurve(name, labels, sizes, mean, spread, repeats, classes)


def _only(curve: LearningCurve, kept: NDArray[np.bool_]) -> LearningCurve:
    return LearningCurve(
        curve.name, curve.labels, curve.n[kept], curve.error[kept], curve.standard_error[kept],
        curve.repeats[kept], curve.classes,
    )  # fmt: skip


def _notices(zeros: int, averaged: int) -> Iterator[Notice]:
    if averaged:
        yield Notice(
            "repeats-averaged",
            f"{averaged} rows share curve and number of examples with another row and were "
            "averaged as repeats",
            "name the columns that tell curves apart (model, dataset, task) if they are not",
        )
    if zeros:
        yield Notice(
            "error-of-zero",
            f"{zeros} rows with a mean error of 0 were set aside: their logarithm does not exist, "
            "and without them the curve looks less steep than it is",
            "test on more examples, or give (errors + 0.5) / (tested + 1)",
        )


@functools.cache
def recorded_curves() -> tuple[LearningCurve, ...]:
    """The curves of ``learning_curves.csv``: many data sets, tasks and classifiers.

    Labels are ``dataset``, ``task``, ``model``, ``family`` and ``parameters`` (empty where size
    does not matter). Sizes with an error of 0 are left out.
    """
    table = pd.read_csv(example_path("learning_curves.csv"))
    table = table[table["error"] > 0]
    names = ("dataset", "task", "model")
    keys = table[list(names)].agg("|".join, axis=1).to_numpy()
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    columns = ("n", "error", "standard_error", "repeats", "classes", "parameters")
    values = table[list(columns)].to_numpy(dtype=float)
    labels = table[[*names, "family"]].to_numpy()
    curves = []
    for first, last in zip(starts, [*starts[1:], len(table)], strict=True):
        n, error, spread, repeats, classes, parameters = values[first:last].T
        own = dict(zip((*names, "family"), map(str, labels[first]), strict=True))
        own["parameters"] = f"{parameters[0]:.15g}" if parameters[0] > 0 else ""
        name = ", ".join(own[key] for key in names)
        curves.append(LearningCurve(name, own, n, error, spread, repeats, float(classes[0])))
    return tuple(curves)
