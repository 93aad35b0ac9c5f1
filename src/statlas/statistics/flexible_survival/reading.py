"""From the user's table to times and a matrix of covariates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from statlas.core import Factor, InputError, OptionError, Table
from statlas.statistics.flexible_survival.family import FloatArray
from statlas.statistics.flexible_survival.fitting import FAMILIES, Design, Family
from statlas.statistics.flexible_survival.likelihood import Times

_MOST_LEVELS = 12


@dataclass(frozen=True)
class Covariates:
    """The matrix of covariates and what its columns mean.

    Attributes
    ----------
    matrix
        Numbers as they are, labels as 0/1 against the commonest label, (n, k).
    names, of
        Name of each matrix column, and of the table's column that it comes from.
    steps
        Change to which an effect refers: a standard deviation for numbers, 1 for labels.
    factors
        The label columns, by name.
    """

    matrix: FloatArray
    names: list[str]
    of: list[str]
    steps: FloatArray
    factors: dict[str, Factor]

    @classmethod
    def none(cls, n_rows: int) -> Covariates:
        """No covariate at all."""
        return cls(np.zeros((n_rows, 0)), [], [], np.zeros(0), {})

    def columns_of(self, name: str) -> list[int]:
        """Matrix columns that come from a column of the table."""
        return [place for place, own in enumerate(self.of) if own == name]


def read_times(table: Table) -> Times:
    """Times, checked against each other."""
    time, event = table.number("time"), table.number("event").astype(bool)
    entry = table.number("entry") if table.has("entry") else np.zeros_like(time)
    upper = table.number("upper") if table.has("upper") else np.full_like(time, np.nan)
    times = Times(time, event, entry, upper)
    late = entry > time if times.interval.any() else entry >= time
    late &= entry > 0
    zero = times.exact & (time == 0)
    below = event & (upper < time)
    same = not times.interval.any() and len(np.unique(time[times.exact])) == 1
    rules = (
        ("event", not event.any(), "no row has the event (1)",
         "without events no hazard can be estimated; check which value means the event"),
        ("entry", late.any(), f"{int(late.sum())} rows enter at or after their time",
         "entry is the time since which a row was watched, before its event or its end"),
        ("time", zero.any(), f"{int(zero.sum())} rows have the event at time 0",
         "give the end of the interval in which it happened with upper=COLUMN, or a time above 0"),
        ("upper", below.any(), f"{int(below.sum())} upper ends lie below the time",
         "upper is the end of the interval that begins at time"),
        ("time", same and times.exact.sum() > 1, "all events are at one time",
         "a shape needs events at different times"),
    )  # fmt: skip
    for role, broken, found, remedy in rules:
        if broken:
            raise InputError(found, column=str(table.columns[role]), remedy=remedy)
    return times


def read_covariates(table: Table) -> Covariates:
    """Covariates as numbers; constant and collinear ones are refused."""
    parts: list[FloatArray] = []
    names: list[str] = []
    of: list[str] = []
    steps: list[float] = []
    factors: dict[str, Factor] = {}
    columns = table.mixed_columns("covariates") if table.has("covariates") else {}
    for name, column in columns.items():
        if isinstance(column, Factor):
            factors[name] = column
            for level in _other_levels(name, column):
                parts.append((column.codes == level).astype(float))
                names.append(f"{name} = {column.levels[level]}")
                of.append(name)
                steps.append(1.0)
            continue
        if np.ptp(column) == 0:
            raise InputError(
                f"has one value, {column[0]:g}", column=name,
                remedy="leave it out of the covariates",
            )  # fmt: skip
        parts.append(column)
        names.append(name)
        of.append(name)
        two = len(np.unique(column)) == 2
        steps.append(float(np.ptp(column)) if two else float(column.std()))
    matrix = np.column_stack(parts) if parts else np.zeros((table.n_rows, 0))
    _refuse_collinear(matrix, names)
    return Covariates(matrix, names, of, np.array(steps), factors)


def _other_levels(name: str, column: Factor) -> list[int]:
    if column.n_levels < 2 or column.n_levels > _MOST_LEVELS:
        raise InputError(
            f"has {column.n_levels} different labels; a covariate of labels needs 2 to "
            f"{_MOST_LEVELS}", column=name,
            remedy="name the covariates (covariates=COLUMN,COLUMN) without it, or merge labels",
        )  # fmt: skip
    common = int(np.bincount(column.codes).argmax())
    return [level for level in range(column.n_levels) if level != common]


def _refuse_collinear(matrix: FloatArray, names: list[str]) -> None:
    """Name the first column that the ones before it determine."""
    scaled = (matrix - matrix.mean(axis=0)) / np.maximum(matrix.std(axis=0), 1e-300)
    if matrix.shape[1] < 2 or np.linalg.matrix_rank(scaled, tol=1e-8 * len(scaled)) == len(names):
        return
    for count in range(2, len(names) + 1):
        if np.linalg.matrix_rank(scaled[:, :count], tol=1e-8 * len(scaled)) < count:
            raise InputError(
                "is a sum of multiples of the covariates before it", column=names[count - 1],
                remedy="leave it or one of the others out",
            )  # fmt: skip


def design_of(
    model: str, power: Sequence[str], shape: Sequence[str], family: Family, covariates: Covariates
) -> Design:
    """Which covariates act on which parameter."""
    everything = tuple(range(len(covariates.names)))
    fixed_gamma, fixed_nu = FAMILIES[family][1:]
    for option, wanted, fixed in (("power", power, fixed_gamma), ("shape", shape, fixed_nu)):
        if wanted and fixed is not None:
            raise OptionError(
                f"option {option!r} names covariates, but the family {family!r} fixes that "
                "parameter; use apgw"
            )
    return Design(
        (
            everything if model in ("aft", "both") else (),
            everything if model in ("ph", "both") else (),
            _chosen("power", power, covariates),
            _chosen("shape", shape, covariates),
        ),
        family,
    )


def _chosen(option: str, wanted: Sequence[str], covariates: Covariates) -> tuple[int, ...]:
    places: list[int] = []
    for name in wanted:
        if name not in covariates.of:
            known = ", ".join(map(repr, dict.fromkeys(covariates.of))) or "none"
            raise OptionError(f"option {option!r} names {name!r}; the covariates are {known}")
        places += covariates.columns_of(name)
    return tuple(dict.fromkeys(places))


def kaplan_meier(times: Times) -> tuple[FloatArray, FloatArray]:
    """Kaplan and Meier's survival with left truncation, (m,) times and survival just after them.

    Events in an interval are put at its middle, which the figure says.

    Examples
    --------
    >>> kaplan_meier(Times.of(np.array([1.0, 2.0, 3.0]), np.array([1, 0, 1])))
    (array([1., 3.]), array([0.66666667, 0.        ]))
    """
    end = np.where(times.interval, (times.time + np.nan_to_num(times.upper)) / 2, times.time)
    moments, events = np.unique(end[times.event], return_counts=True)
    at_risk = (
        np.searchsorted(np.sort(times.entry), moments, "left")
        - np.searchsorted(np.sort(end), moments, "left")
    )  # fmt: skip
    # Rows watched from the start are at risk at their first instant too.
    return moments, np.cumprod(1 - events / np.maximum(at_risk, events))
