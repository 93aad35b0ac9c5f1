"""Roles: what a recipe needs from the columns of a table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from statlas.core.options import Option


@dataclass(frozen=True, kw_only=True)
class Role:
    """What all roles share.

    Parameters
    ----------
    help
        What the column holds, in one line.
    optional
        Whether the recipe works without it.
    aliases
        Further column names by which the role is recognised (case and ``_``/``-``/space ignored).
    """

    help: str = ""
    optional: bool = False
    aliases: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """The role's type in a word, as messages and docs show it."""
        return type(self).__name__.lower()


@dataclass(frozen=True, kw_only=True)
class Number(Role):
    """A column of finite numbers (booleans count as 0 and 1), read as float64.

    Parameters
    ----------
    ge, gt, le, lt
        Bounds on every value.
    integer
        Whether fractions are refused.
    varies
        Whether a constant column is refused.
    gaps
        Whether ``missing="drop"`` keeps the rows that miss this value, as NaN, because the method
        handles them and says how many there were.
    """

    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    integer: bool = False
    varies: bool = False
    gaps: bool = False

    @property
    def bounds(self) -> Option:
        """The bounds as an `Option`, which knows how to check and to say them."""
        return Option(ge=self.ge, gt=self.gt, le=self.le, lt=self.lt)


@dataclass(frozen=True, kw_only=True)
class Category(Role):
    """A column of labels: text, whole numbers or booleans.

    Parameters
    ----------
    min_levels
        Smallest number of different labels.
    """

    min_levels: int = 1


@dataclass(frozen=True, kw_only=True)
class Columns(Role):
    """All columns that no other role took, or those listed by the user: numbers or labels.

    Columns of numbers are read as `Number`, columns of text and booleans as `Category`.

    Parameters
    ----------
    minimum
        Smallest number of columns.
    """

    minimum: int = 1


@dataclass(frozen=True, kw_only=True)
class Features(Columns):
    """All columns that no other role took, or those listed by the user; each must be numeric."""


@dataclass(frozen=True)
class Wide:
    """How a wide table maps onto the roles: a row per `rows`, a column per level of `columns`.

    A table is taken as wide when it has neither a `columns` nor a `values` column; every column
    that no other role took then becomes a level of `columns`, its cells the `values`.
    """

    rows: str
    columns: str
    values: str


@dataclass(frozen=True, init=False)
class Roles:
    """The named column roles of one table.

    Parameters
    ----------
    min_rows
        Smallest number of usable rows.
    wide
        How a wide table is read, where that makes sense.
    **roles
        Role by name; the name is also the first column name looked for.
    """

    by_name: dict[str, Role]
    min_rows: int
    wide: Wide | None = field(default=None)

    def __init__(self, *, min_rows: int = 1, wide: Wide | None = None, **roles: Role):
        object.__setattr__(self, "by_name", roles)
        object.__setattr__(self, "min_rows", min_rows)
        object.__setattr__(self, "wide", wide)

    def __iter__(self) -> Iterator[tuple[str, Role]]:
        return iter(self.by_name.items())

    def __contains__(self, name: str) -> bool:
        return name in self.by_name

    def __getitem__(self, name: str) -> Role:
        return self.by_name[name]

    @property
    def names(self) -> tuple[str, ...]:
        """The role names in the order given."""
        return tuple(self.by_name)
