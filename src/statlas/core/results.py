"""One family of results: an answer with its uncertainty, and how it was reached.

A recipe returns a subclass of `Result` that adds only `draw`. Everything a result holds survives
JSON, and its figure can be drawn again from what was saved.
"""

from __future__ import annotations

import dataclasses
import importlib
import io
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from statlas.core.files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Status(StrEnum):
    """Whether the answer can be relied on."""

    OK = "ok"
    NOT_CONVERGED = "not converged"
    ASSUMPTION_DOUBTFUL = "assumption doubtful"
    NOT_COMPUTABLE = "not computable"


@dataclass(frozen=True)
class Notice:
    """A warning as a record: a stable code, what was seen, what to do about it."""

    code: str
    message: str
    advice: str = ""


@dataclass(frozen=True)
class SetAside:
    """Rows that were left out, and why."""

    reason: str
    rows: int


@dataclass(frozen=True)
class Value:
    """A named number with its unit and interval, or the reason why it has none.

    Parameters
    ----------
    name
        What the number is.
    estimate
        The number; NaN or None where it cannot be computed.
    low, high, level
        Interval and its nominal level in (0, 1).
    unit
        Unit of the number, ``""`` for a pure number.
    method
        How the interval was made.
    why_no_interval
        Required where there is no interval.
    """

    name: str
    estimate: float | None
    low: float | None = None
    high: float | None = None
    level: float | None = None
    unit: str = ""
    method: str = ""
    why_no_interval: str = ""

    def __post_init__(self) -> None:
        for name in ("estimate", "low", "high", "level"):
            number = getattr(self, name)
            if number is not None:
                number = float(number)
                object.__setattr__(self, name, None if math.isnan(number) else number)
        if self.low is None and self.high is None and not self.why_no_interval:
            raise ValueError(f"value {self.name!r} needs an interval or the reason why it has none")

    def __str__(self) -> str:
        number = "not computable" if self.estimate is None else f"{self.estimate:.4g}"
        interval = ""
        if self.low is not None or self.high is not None:
            ends = ["?" if end is None else f"{end:.4g}" for end in (self.low, self.high)]
            interval = f" [{ends[0]}, {ends[1]}]"
        return f"{self.name}: {number}{interval}{' ' + self.unit if self.unit else ''}"


@dataclass(frozen=True, kw_only=True)
class Result:
    """The answer of a recipe.

    Attributes
    ----------
    headline
        One sentence that answers the question with its uncertainty.
    table
        The answer in full.
    values
        Named numbers with unit and interval.
    details
        Diagnostics and what the figure needs beyond the table; JSON-able.
    status, advice
        Whether the answer can be relied on, and what to do where it cannot.
    warnings
        Records of what the reader should know.
    set_aside
        Rows left out and why.
    paper, options, seed, rows_read, rows_used, columns, source, seconds, versions
        How the result was made; filled in by the recipe machinery.
    """

    headline: str
    table: pd.DataFrame
    values: tuple[Value, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)
    status: Status = Status.OK
    advice: str = ""
    warnings: tuple[Notice, ...] = ()
    set_aside: tuple[SetAside, ...] = ()
    paper: str = ""
    options: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    rows_read: int | None = None
    rows_used: int | None = None
    columns: dict[str, Any] = field(default_factory=dict)
    source: str = ""
    seconds: float | None = None
    versions: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.status is not Status.OK and not self.advice:
            raise ValueError(f"a result with status {self.status.value!r} needs advice")
        if not self.table.columns.map(str).is_unique:
            raise ValueError("the columns of a result's table need different names")

    def draw(self, figure: Figure) -> None:
        """Draw the answer onto an empty matplotlib figure; each recipe's result says how."""
        raise TypeError(f"{type(self).__name__} has no figure")

    def plot(self) -> Figure:
        """The answer as a figure in the house style."""
        from statlas.core.figures import house_style, new_figure

        with house_style():
            figure = new_figure()
            self.draw(figure)
        return figure

    def value(self, name: str) -> Value:
        """The named value.

        Raises
        ------
        KeyError
            If there is none of that name; the message lists those there are.
        """
        for value in self.values:
            if value.name == name:
                return value
        raise KeyError(f"no value {name!r}; there are {[value.name for value in self.values]}")

    def __str__(self) -> str:
        lines = [self.headline]
        if self.status is not Status.OK:
            lines.append(f"status: {self.status.value}; {self.advice}")
        lines += ["", self.table.to_string(index=False, max_rows=40)]
        lines += [f"note ({w.code}): {w.message}; {w.advice}".rstrip("; ") for w in self.warnings]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from statlas.core.report import render_fragment

        return render_fragment(self)

    # --- saving -------------------------------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The result as plain JSON-able Python; not-a-number becomes None."""
        plain = {spec.name: getattr(self, spec.name) for spec in dataclasses.fields(self)}
        plain["status"] = self.status.value
        plain["values"] = [dataclasses.asdict(value) for value in self.values]
        plain["warnings"] = [dataclasses.asdict(notice) for notice in self.warnings]
        plain["set_aside"] = [dataclasses.asdict(item) for item in self.set_aside]
        plain["table"] = table_to_records(self.table)
        plain["table_schema"] = table_schema(self.table)
        plain["type"] = f"{type(self).__module__}:{type(self).__qualname__}"
        return {key: to_plain(value) for key, value in plain.items()}

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """The result as JSON text, written whole to `path` where one is given."""
        text = json.dumps(self.to_dict(), indent=1, allow_nan=False, ensure_ascii=False)
        if path is not None:
            write_whole(Path(path), text.encode())
        return text

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Rebuild what `to_dict` gave, as the recipe's own type.

        Raises
        ------
        ValueError
            If the record does not name a result type of statlas.
        """
        module, _, name = str(plain.get("type", "")).partition(":")
        if not module.startswith("statlas."):
            raise ValueError(f"not a saved statlas result: type is {plain.get('type')!r}")
        try:
            kind = getattr(importlib.import_module(module), name, None)
        except ModuleNotFoundError:
            kind = None
        if not (isinstance(kind, type) and issubclass(kind, cls)):
            raise ValueError(f"not a saved statlas result: type is {plain.get('type')!r}")
        known = {spec.name for spec in dataclasses.fields(kind)}
        parts = {key: value for key, value in plain.items() if key in known}
        parts["status"] = Status(parts["status"])
        parts["values"] = tuple(Value(**value) for value in parts["values"])
        parts["warnings"] = tuple(Notice(**notice) for notice in parts["warnings"])
        parts["set_aside"] = tuple(SetAside(**item) for item in parts["set_aside"])
        parts["table"] = table_from_records(parts["table"], plain["table_schema"])
        return kind(**parts)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Rebuild what `to_json` gave."""
        return cls.from_dict(json.loads(text))

    def to_html(self, path: str | os.PathLike[str] | None = None) -> str:
        """One self-contained HTML page, written whole to `path` where one is given."""
        from statlas.core.report import render_page

        page = render_page(self)
        if path is not None:
            write_whole(Path(path), page.encode())
        return page

    def save_figure(self, path: str | os.PathLike[str]) -> None:
        """Write the figure as PNG, SVG or PDF, by the suffix of `path`."""
        from statlas.core.figures import figure_bytes

        target = Path(path)
        write_whole(target, figure_bytes(self.plot(), target.suffix.lstrip(".").lower()))


def table_to_records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A frame as a list of rows, each a mapping of column to plain value."""
    names = [str(name) for name in table.columns]
    return [
        dict(zip(names, map(to_plain, row), strict=True)) for row in table.itertuples(index=False)
    ]


def table_schema(table: pd.DataFrame) -> dict[str, str]:
    """The kind of each column in order, which rebuilds the frame from its records."""
    return {str(name): _dtype_word(dtype) for name, dtype in table.dtypes.items()}


def table_from_records(records: list[Mapping[str, Any]], schema: Mapping[str, str]) -> pd.DataFrame:
    """Rebuild the frame that `table_to_records` and `table_schema` describe."""
    return pd.DataFrame(
        {
            name: pd.Series([record[name] for record in records], dtype=_DTYPES[word])
            for name, word in schema.items()
        },
        columns=list(schema),
    )


_DTYPES = {"int": "int64", "float": "float64", "bool": "bool", "text": "str", "object": "object"}


def _dtype_word(dtype: Any) -> str:
    if isinstance(dtype, pd.StringDtype):
        return "text"
    if not isinstance(dtype, np.dtype):  # pandas' own types may hold missing whole numbers
        return "object"
    return {"b": "bool", "i": "int", "u": "int", "f": "float"}.get(dtype.kind, "object")


def to_plain(value: Any) -> Any:
    """Plain Python for JSON: arrays to lists, not-a-number to None, infinities to text."""
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return to_plain(value.tolist())
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    if isinstance(value, np.generic):
        return to_plain(value.item())
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return value if math.isfinite(value) else ("inf" if value > 0 else "-inf")
    if value is None or value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, bool | int | str):
        return value
    raise TypeError(f"a result cannot hold {type(value).__name__}: {value!r}")


def table_to_csv(table: pd.DataFrame) -> str:
    """The table as CSV text."""
    buffer = io.StringIO()
    table.to_csv(buffer, index=False)
    return buffer.getvalue()
