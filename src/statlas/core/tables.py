"""One door for user tables: roles, types, ranges and missing values checked before any maths."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from statlas.core.errors import InputError
from statlas.core.readers import read_frame
from statlas.core.results import Notice, SetAside
from statlas.core.roles import Category, Columns, Features, Number, Role, Roles

MissingPolicy = Literal["refuse", "drop"]
Layout = Literal["auto", "long", "wide"]
RoleColumns = Mapping[str, "str | Sequence[str]"]

# Beyond this, neighbouring whole numbers are one float.
_LARGEST_EXACT = 2.0**53


@dataclass(frozen=True)
class Factor:
    """A categorical column.

    Attributes
    ----------
    codes
        Level index of each row, int64, shape (n_rows,).
    levels
        The labels as text, in order of first appearance.
    """

    codes: NDArray[np.int64]
    levels: list[str]

    @property
    def n_levels(self) -> int:
        """Number of different labels."""
        return len(self.levels)


MixedColumns = dict[str, NDArray[np.float64] | Factor]


@dataclass(frozen=True)
class Table:
    """A user's table after every check: columns by role, and what was set aside on the way.

    Attributes
    ----------
    n_rows
        Usable rows.
    n_read
        Rows read before any was set aside.
    columns
        The user's column name (or names) of each role.
    set_aside
        Rows left out and why.
    notices
        What the reader or the layout has to say.
    source
        File name, or the kind of object that was given.
    """

    n_rows: int
    n_read: int
    columns: dict[str, str | list[str]]
    set_aside: tuple[SetAside, ...] = ()
    notices: tuple[Notice, ...] = ()
    source: str = ""
    numbers: dict[str, NDArray[np.float64]] = field(default_factory=dict, repr=False)
    factors: dict[str, Factor] = field(default_factory=dict, repr=False)
    matrices: dict[str, NDArray[np.float64]] = field(default_factory=dict, repr=False)
    mixed: dict[str, MixedColumns] = field(default_factory=dict, repr=False)
    frame: pd.DataFrame = field(default_factory=pd.DataFrame, repr=False)

    def has(self, role: str) -> bool:
        """Whether an optional role was given."""
        return role in self.columns

    def number(self, role: str) -> NDArray[np.float64]:
        """Values of a number role, shape (n_rows,)."""
        return self.numbers[role]

    def factor(self, role: str) -> Factor:
        """Codes and levels of a category role."""
        return self.factors[role]

    def features(self, role: str = "features") -> tuple[NDArray[np.float64], list[str]]:
        """The feature matrix, shape (n_rows, n_features), and the feature names."""
        names = self.columns[role]
        return self.matrices[role], [names] if isinstance(names, str) else list(names)

    def mixed_columns(self, role: str) -> MixedColumns:
        """Columns of a role of numbers and labels, by name: values (n_rows,) or a `Factor`."""
        return self.mixed[role]


def build_table(
    data: object,
    roles: Roles,
    columns: RoleColumns | None = None,
    *,
    missing: MissingPolicy = "refuse",
    layout: Layout = "auto",
) -> Table:
    """Check a user's table against roles.

    Parameters
    ----------
    data
        Path of a file or log, a data frame of any kind that narwhals knows, or a mapping of
        column name to values.
    roles
        What the recipe needs.
    columns
        Column name chosen by the user for a role, overriding the match by name. For roles that can
        be read wide, several columns for the values are the columns of a wide table that count.
    missing
        ``"refuse"`` raises on a missing value, ``"drop"`` sets its row aside and counts it, or
        leaves it NaN where the role has gaps that the method fills.
    layout
        For roles that can be read wide: force one reading instead of recognising it.

    Raises
    ------
    InputError
        Naming the column, the rule broken, the count and the remedy.
    """
    frame, source, notices = load_frame(data)
    _check_column_names(frame)
    if len(frame) == 0:
        raise InputError("the table has no rows", remedy="give a table with at least one row")
    chosen = _chosen_columns(frame, roles, columns or {})
    if roles.wide and _reads_wide(frame, roles, chosen, layout):
        frame, chosen, notice = _melt(frame, roles, chosen, missing)
        notices = (*notices, notice)
    matched = _match_roles(frame, roles, chosen)
    keep, set_aside = _apply_missing_policy(frame, matched, missing, _with_gaps(roles))
    used = frame if keep is None else frame.loc[keep]
    _check_size(len(used), roles.min_rows, set_aside)
    numbers, factors, matrices, mixed = _read_columns(used, roles, matched)
    shown = {role: names[0] if len(names) == 1 else names for role, names in matched.items()}
    for role, names in matched.items():
        if isinstance(roles[role], Columns):
            shown[role] = names
    return Table(
        n_rows=len(used),
        n_read=len(frame),
        columns=shown,
        set_aside=set_aside,
        notices=notices,
        source=source,
        numbers=numbers,
        factors=factors,
        matrices=matrices,
        mixed=mixed,
        frame=used,
    )


def load_frame(data: object) -> tuple[pd.DataFrame, str, tuple[Notice, ...]]:
    """Bring any supported input into a pandas frame, with its source and the reader's notices."""
    if isinstance(data, str | os.PathLike):
        frame = read_frame(Path(data))
        notes = frame.attrs.get("notes", ())
        return frame, Path(data).name, tuple(Notice(*note) for note in notes)
    if isinstance(data, pd.DataFrame):
        return data, "DataFrame", ()
    if isinstance(data, Mapping):
        return _frame_from_mapping(data), "mapping", ()
    try:
        native: Any = nw.from_native(data)
    except TypeError:
        raise InputError(
            f"a table is needed; got {type(data).__name__}",
            remedy="give a file path, a data frame, or a mapping of column name to values",
        ) from None
    if isinstance(native, nw.LazyFrame):
        native = native.collect()
    return native.to_pandas(), type(data).__name__, ()


def _frame_from_mapping(data: Mapping[Any, Any]) -> pd.DataFrame:
    try:
        return pd.DataFrame(dict(data))
    except (TypeError, ValueError) as error:
        raise InputError(f"the columns do not form a table: {error}") from None


def _check_column_names(frame: pd.DataFrame) -> None:
    for name in frame.columns:
        if not isinstance(name, str):
            raise InputError(
                f"column names must be text; got {name!r}", remedy="name the columns first"
            )
    repeated = frame.columns[frame.columns.duplicated()]
    if len(repeated):
        raise InputError("two columns have this name", column=str(repeated[0]))


# --- which column plays which role -----------------------------------------------------------


def _chosen_columns(frame: pd.DataFrame, roles: Roles, given: RoleColumns) -> dict[str, list[str]]:
    """The columns that the user named, each checked to exist and to be used once."""
    chosen: dict[str, list[str]] = {}
    owner: dict[str, str] = {}
    for role, names in given.items():
        listed = _listed_names(names, frame, takes_several(roles, role))
        for name in listed:
            if name not in frame.columns:
                raise _unknown_column(name, frame, role)
            if name in owner:
                raise InputError(
                    f"is used for both {owner[name]!r} and {role!r}",
                    column=name,
                    remedy="give each role its own column",
                )
            owner[name] = role
        chosen[role] = listed
    return chosen


def takes_several(roles: Roles, role: str) -> bool:
    """Whether a role may be given several columns: also the values of a table that may be wide."""
    is_value = roles.wide is not None and role == roles.wide.values
    return is_value or isinstance(roles[role], Columns)


def _listed_names(names: str | Sequence[str], frame: pd.DataFrame, several: bool) -> list[str]:
    if not isinstance(names, str):
        return list(names)
    if several and names not in frame.columns:
        return [part.strip() for part in names.split(",")]
    return [names]


def _unknown_column(name: str, frame: pd.DataFrame, role: str) -> InputError:
    close = get_close_matches(name, list(frame.columns), n=3, cutoff=0.5)
    return InputError(
        f"there is no such column for the role {role!r}; {_column_list(frame)}",
        column=name,
        remedy=f"did you mean {' or '.join(map(repr, close))}?" if close else None,
    )


def _naming_remedy(role: str) -> str:
    return f"name it with {role}=COLUMN (command line: --{role.replace('_', '-')} COLUMN)"


def _column_list(frame: pd.DataFrame) -> str:
    names = [repr(name) for name in frame.columns[:12]]
    more = f" and {frame.shape[1] - 12} more" if frame.shape[1] > 12 else ""
    return f"the table has {', '.join(names)}{more}"


def _normalised(name: str) -> str:
    return name.strip().lower().replace("_", "").replace("-", "").replace(" ", "")


def _find_by_name(frame: pd.DataFrame, role: str, rule: Role, taken: set[str]) -> str | None:
    """The first free column whose name is the role's or one of its aliases, exact names first."""
    free = {_normalised(name): name for name in reversed(frame.columns) if name not in taken}
    for candidate in (role, *rule.aliases):
        if candidate in frame.columns and candidate not in taken:
            return candidate
        if _normalised(candidate) in free:
            return free[_normalised(candidate)]
    return None


def _match_roles(
    frame: pd.DataFrame, roles: Roles, chosen: dict[str, list[str]]
) -> dict[str, list[str]]:
    """Columns of every role that is present; a missing required role is an error."""
    matched = dict(chosen)
    taken = {name for names in chosen.values() for name in names}
    for role, rule in roles:
        if role in matched or isinstance(rule, Columns):
            continue
        name = _find_by_name(frame, role, rule, taken)
        if name is not None:
            matched[role] = [name]
            taken.add(name)
        elif not rule.optional:
            raise InputError(
                f"no column was found for the role {role!r}"
                f"{f' ({rule.help})' if rule.help else ''}; {_column_list(frame)}",
                remedy=_naming_remedy(role),
            )
    for role, rule in roles:
        if isinstance(rule, Columns) and role not in matched:
            others = [name for name in frame.columns if name not in taken]
            if not others and rule.optional:
                continue
            matched[role] = others
        if isinstance(rule, Features):
            _check_features(frame, role, rule, matched[role])
        elif isinstance(rule, Columns) and len(matched[role]) < rule.minimum:
            raise InputError(
                f"at least {rule.minimum} column(s) are needed for the role {role!r}"
                f"{f' ({rule.help})' if rule.help else ''}; found {len(matched[role])}",
                remedy="add columns beside those of the other roles",
            )
    return {role: matched[role] for role in roles.names if role in matched}


def propose_columns(frame: pd.DataFrame, roles: Roles) -> dict[str, list[str]]:
    """The columns that would play each role if the user named none, for a form to start from.

    Beyond the match by name of `build_table`, a required role that no name fits is given the first
    free column of its type. Roles for which there is no proposal are left out, and so are all
    of them for a table that reads as wide.

    Examples
    --------
    >>> frame = pd.DataFrame({"who": ["a", "b"], "points": [1.0, 0.5]})
    >>> propose_columns(frame, Roles(model=Category(), score=Number()))
    {'model': ['who'], 'score': ['points']}
    """
    if roles.wide and _reads_wide(frame, roles, {}, "auto") and _can_be_wide(frame, roles):
        return {}
    single = [(role, rule) for role, rule in roles if not isinstance(rule, Columns)]
    proposed: dict[str, list[str]] = {}
    taken: set[str] = set()
    for role, rule in single:
        if (name := _find_by_name(frame, role, rule, taken)) is not None:
            proposed[role] = [name]
            taken.add(name)
    for role, rule in single:
        free = [name for name in frame.columns if name not in taken]
        if role in proposed or rule.optional:
            continue
        wanted = isinstance(rule, Number)
        if (name := next((n for n in free if _is_numeric(frame[n]) == wanted), None)) is not None:
            proposed[role] = [name]
            taken.add(name)
    for role, rule in roles:
        if isinstance(rule, Columns):
            free = [name for name in frame.columns if name not in taken]
            numeric = [name for name in free if _is_numeric(frame[name])]
            proposed[role] = numeric if isinstance(rule, Features) else free
    return {role: proposed[role] for role in roles.names if proposed.get(role)}


def _can_be_wide(frame: pd.DataFrame, roles: Roles) -> bool:
    """Whether all columns but those that another role claims by name hold numbers."""
    names = (_find_by_name(frame, role, rule, set()) for role, rule in roles)
    claimed = {name for name in names if name is not None}
    return all(_is_numeric(frame[name]) for name in frame.columns if name not in claimed)


def _check_features(frame: pd.DataFrame, role: str, rule: Features, names: list[str]) -> None:
    numeric = [name for name in names if _is_numeric(frame[name])]
    textual = [name for name in names if name not in numeric]
    if textual:
        raise InputError(
            f"holds {_kind_of(frame[textual[0]])}, and a feature must hold numbers",
            column=textual[0],
            remedy=f"remove the column, or list the features: {role}={','.join(numeric) or '...'}",
        )
    if len(numeric) < rule.minimum:
        raise InputError(
            f"at least {rule.minimum} numeric feature column(s) are needed; found {len(numeric)}",
            remedy="add numeric columns beside those of the other roles",
        )


# --- wide tables -----------------------------------------------------------------------------


def _reads_wide(
    frame: pd.DataFrame, roles: Roles, chosen: dict[str, list[str]], layout: Layout
) -> bool:
    """A table is wide when no column plays the part of the levels or of the values."""
    assert roles.wide is not None
    several = chosen.get(roles.wide.values, [])[1:]
    if several and layout == "long":
        raise InputError(
            f"is a second column for the role {roles.wide.values!r}; a long table has one",
            column=several[0],
            remedy="leave out layout='long', or name one column",
        )
    if layout != "auto" or several:
        return layout != "long"
    names = (roles.wide.columns, roles.wide.values)
    return not any(
        role in chosen or _find_by_name(frame, role, roles[role], set()) for role in names
    )


def _melt(
    frame: pd.DataFrame,
    roles: Roles,
    chosen: dict[str, list[str]],
    missing: MissingPolicy,
) -> tuple[pd.DataFrame, dict[str, list[str]], Notice]:
    """Turn a wide table into the long one the roles describe."""
    wide = roles.wide
    assert wide is not None
    listed = chosen.get(wide.values, [])
    if len(listed) > 1:
        chosen = {role: names for role, names in chosen.items() if role != wide.values}
    for role in (wide.columns, wide.values):
        if role in chosen:
            raise InputError(
                f"is named as the {role!r} of a long table, but the table is read as wide",
                column=chosen[role][0],
                remedy=f"leave out layout='wide', or the column for {role!r}",
            )
    kept = dict(chosen)
    taken = {name for names in chosen.values() for name in names}
    for role, rule in roles:
        if role in (wide.columns, wide.values) or role in kept:
            continue
        if (name := _find_by_name(frame, role, rule, taken)) is not None:
            kept[role] = [name]
            taken.add(name)
    levels = listed if len(listed) > 1 else [name for name in frame.columns if name not in taken]
    for name in levels:
        if not _is_numeric(frame[name]):
            raise InputError(
                f"the table was read as wide (a column per {wide.columns}), but this one holds "
                f"{_kind_of(frame[name])}",
                column=name,
                remedy=f"for a long table name the columns, for example {wide.values}=COLUMN "
                f"and {wide.columns}=COLUMN; for a wide one remove this column, or list those "
                f"that count: {wide.values}=COLUMN,COLUMN",
            )
    if not levels:
        raise InputError(
            f"no column holds a {wide.values}; {_column_list(frame)}",
            remedy=_naming_remedy(wide.values),
        )
    _check_wide_values(frame, levels, roles[wide.values], missing)
    own = {role: names[0] for role, names in kept.items()}
    # Columns keep the user's names; those made here take the role's, where that is free.
    for role in (wide.rows, wide.columns, wide.values):
        own.setdefault(role, role if role not in taken else f"{role} (wide)")
    n_levels, n_rows = len(levels), len(frame)
    long = {own[role]: np.tile(frame[own[role]].to_numpy(), n_levels) for role in kept}
    if wide.rows not in kept:
        long[own[wide.rows]] = np.tile(np.arange(1, n_rows + 1), n_levels)
    long[own[wide.columns]] = np.repeat(np.array(levels, dtype=object), n_rows)
    long[own[wide.values]] = np.concatenate(
        [frame[name].to_numpy(dtype=float, na_value=np.nan) for name in levels]
    )
    return (
        pd.DataFrame(long),
        {role: [name] for role, name in own.items()},
        Notice(
            "wide-table",
            f"the table was read as wide: {len(levels)} columns, each a {wide.columns}",
            "pass layout='long' if that is not what it is",
        ),
    )


def _check_wide_values(
    frame: pd.DataFrame, levels: list[str], rule: Role, missing: MissingPolicy
) -> None:
    """Refuse bad cells while they still have the user's column name and row."""
    if missing == "refuse":
        _apply_missing_policy(frame, {"levels": levels}, missing)
    if isinstance(rule, Number):
        for name in levels:
            _read_numbers(frame[name].dropna(), replace(rule, varies=False))


# --- values ----------------------------------------------------------------------------------


def _is_numeric(column: pd.Series[Any]) -> bool:
    dtype = column.dtype
    return bool(
        (pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype))
        and not pd.api.types.is_complex_dtype(dtype)
    )


def _kind_of(column: pd.Series[Any]) -> str:
    """What a column holds, with the first odd cell and its row, for messages."""
    if pd.api.types.is_datetime64_any_dtype(column.dtype):
        return "dates"
    for row, cell in enumerate(column, start=1):
        if isinstance(cell, str) and not _reads_as_number(cell):
            return f"text such as {cell[:40]!r} (row {row})"
        if not isinstance(cell, str | int | float | np.number) and cell is not None:
            return f"a {type(cell).__name__} (row {row})"
    if any(isinstance(cell, str) for cell in column):
        return f"numbers stored as text such as {str(column.iloc[0])[:40]!r}"
    return f"values of type {column.dtype}"


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _with_gaps(roles: Roles) -> set[str]:
    """Roles whose missing values the method fills itself, where the user lets it."""
    return {role for role, rule in roles if isinstance(rule, Number) and rule.gaps}


def _apply_missing_policy(
    frame: pd.DataFrame,
    matched: dict[str, list[str]],
    policy: MissingPolicy,
    with_gaps: Collection[str] = (),
) -> tuple[NDArray[np.bool_] | None, tuple[SetAside, ...]]:
    """Rows to keep (None for all), and the rows set aside per column with a missing value."""
    keep: NDArray[np.bool_] | None = None
    aside: list[SetAside] = []
    for role, names in matched.items():
        for name in names:
            absent = frame[name].isna().to_numpy()
            count = int(absent.sum())
            if count == 0:
                continue
            if policy == "refuse":
                raise InputError(
                    f"{count} of {len(frame)} values are missing (first in row "
                    f"{int(absent.argmax()) + 1})",
                    column=name,
                    remedy="fill them in, or leave them to the method with missing='drop'"
                    if role in with_gaps
                    else "fill them in, or set those rows aside with missing='drop'",
                )
            if role in with_gaps:
                continue
            keep = np.ones(len(frame), dtype=bool) if keep is None else keep
            newly = int((absent & keep).sum())
            keep &= ~absent
            if newly:
                aside.append(SetAside(f"missing value in column {name!r}", newly))
    return keep, tuple(aside)


def _check_size(n_rows: int, min_rows: int, set_aside: tuple[SetAside, ...]) -> None:
    if n_rows < min_rows:
        gone = sum(item.rows for item in set_aside)
        left = f" ({gone} were set aside)" if gone else ""
        raise InputError(
            f"at least {min_rows} usable rows are needed; found {n_rows}{left}",
            remedy="give more rows",
        )


def _read_columns(
    frame: pd.DataFrame, roles: Roles, matched: dict[str, list[str]]
) -> tuple[
    dict[str, NDArray[np.float64]],
    dict[str, Factor],
    dict[str, NDArray[np.float64]],
    dict[str, MixedColumns],
]:
    numbers: dict[str, NDArray[np.float64]] = {}
    factors: dict[str, Factor] = {}
    matrices: dict[str, NDArray[np.float64]] = {}
    mixed: dict[str, MixedColumns] = {}
    for role, names in matched.items():
        rule = roles[role]
        if isinstance(rule, Number):
            numbers[role] = _read_numbers(frame[names[0]], rule)
        elif isinstance(rule, Category):
            factors[role] = _read_factor(frame[names[0]], rule)
        elif isinstance(rule, Features):
            columns = [_read_numbers(frame[name], Number()) for name in names]
            matrices[role] = np.column_stack(columns)
        elif isinstance(rule, Columns):
            mixed[role] = {name: _read_number_or_factor(frame[name]) for name in names}
    return numbers, factors, matrices, mixed


def _read_number_or_factor(column: pd.Series[Any]) -> NDArray[np.float64] | Factor:
    """Numbers where the column's type is numeric; labels where it holds text or booleans."""
    if pd.api.types.is_bool_dtype(column.dtype) or not _is_numeric(column):
        _refuse_mixtures(column)
        return _read_factor(column, Category())
    return _read_numbers(column, Number())


def _refuse_mixtures(column: pd.Series[Any]) -> None:
    """Neither dates nor complex numbers are labels, nor is a number among words."""
    words = sum(isinstance(cell, str) for cell in column)
    flags = sum(isinstance(cell, bool | np.bool_) for cell in column)
    if 0 < words < len(column) or (words == 0 and flags < len(column)):
        if isinstance(column.dtype, pd.CategoricalDtype):
            return
        raise InputError(
            f"must hold numbers or labels, and holds {_kind_of(column)}"
            + (f" in {words} of {len(column)} rows, the others no text" if words else ""),
            column=str(column.name),
            remedy="make the whole column numbers or the whole column text, or leave it out",
        )


def _read_numbers(column: pd.Series[Any], rule: Number) -> NDArray[np.float64]:
    name = str(column.name)
    if not _is_numeric(column):
        raise InputError(
            f"must hold numbers; found {_kind_of(column)}",
            column=name,
            remedy="convert it to numbers, or choose another column",
        )
    # A copy: a view would let a recipe write to the user's frame.
    values = column.to_numpy(dtype=np.float64, copy=True)
    good = np.isfinite(values) | (np.isnan(values) & rule.gaps)
    _refuse_where(~good, values, name, "finite")
    if rule.integer:
        _refuse_where(np.abs(values - np.round(values)) > 0, values, name, "whole numbers")
    bounds = rule.bounds
    if bounds.range_text():
        bad = np.zeros(len(values), dtype=bool)
        for limit, broken in (
            (bounds.ge, np.less),
            (bounds.gt, np.less_equal),
            (bounds.le, np.greater),
            (bounds.lt, np.greater_equal),
        ):
            if limit is not None:
                bad |= broken(values, limit)
        _refuse_where(bad, values, name, bounds.range_text())
    if rule.varies and len(values) > 1 and np.ptp(values) == 0:
        raise InputError(
            f"all {len(values)} values are {values[0]:g}, and it must vary",
            column=name,
            remedy="choose a column with different values",
        )
    return values


def _refuse_where(bad: NDArray[np.bool_], values: NDArray[Any], name: str, rule: str) -> None:
    count = int(bad.sum())
    if count:
        first = int(bad.argmax())
        raise InputError(
            f"values must be {rule}; {count} of {len(values)} are not "
            f"(first: {values[first]:g} in usable row {first + 1})",
            column=name,
            remedy="correct or remove those rows",
        )


def _read_factor(column: pd.Series[Any], rule: Category) -> Factor:
    name = str(column.name)
    if pd.api.types.is_float_dtype(column.dtype):
        values = column.to_numpy(dtype=np.float64)
        _refuse_where(~np.isfinite(values), values, name, "finite")
        _refuse_where(values != np.round(values), values, name, "labels or whole numbers")
        too_large = np.abs(values) > _LARGEST_EXACT
        _refuse_where(too_large, values, name, "labels or whole numbers of at most 2**53")
        column = pd.Series(values.astype(np.int64), name=column.name)
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.cat.remove_unused_categories()
    try:
        codes, levels = pd.factorize(column)
    except TypeError:
        raise InputError(
            "holds lists or mappings, and must hold labels",
            column=name,
            remedy="choose a column of text or whole numbers",
        ) from None
    if len(levels) < rule.min_levels:
        raise InputError(
            f"at least {rule.min_levels} different labels are needed; found {len(levels)}"
            + (f" ({levels[0]!r})" if len(levels) == 1 else ""),
            column=name,
            remedy="add rows with other labels, or choose another column",
        )
    labels = [str(level) for level in levels.tolist()]
    if len(set(labels)) < len(labels):
        raise InputError(
            "holds labels that differ in type only, such as 1 and '1'",
            column=name,
            remedy="convert the column to text",
        )
    return Factor(codes.astype(np.int64, copy=False), labels)
