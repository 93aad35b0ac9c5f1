"""Tables from files: CSV, TSV, Parquet, Feather and Arrow, JSON lines, JSON records.

What a cell becomes
    A column of numbers is a number column, one of true/false is boolean, everything else is text,
    exactly as written; one odd cell keeps its whole column text, so that a later check can name
    it. Dates in text files stay text. In delimited text the cells ``NA``, ``NaN``, ``nan`` and the
    empty cell are missing, and nothing else is: ``None``, ``null`` and ``N/A`` are labels like
    any other. In JSON only ``null`` and an absent key are missing. ``007`` in a column of whole
    numbers is the number 7. Whole numbers that float64 cannot hold are never rounded: alone they
    are integers or text, beside missing values nullable integers.

Memory
    Delimited text: the file and the table. JSON lines: the table, and one line.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.feather as pa_feather
import pyarrow.json as pa_json
import pyarrow.parquet as pa_parquet

from statlas.core.errors import InputError
from statlas.core.readers.streams import (
    DECOMPRESSION_ERRORS,
    Note,
    encoding_of,
    first_bytes,
    json_lines,
    label_frame,
    open_binary,
    parse_json,
    utf8_bytes,
    wrong_encoding,
)

MISSING_TEXT = ("", "NA", "NaN", "nan")
"""Cells of delimited text that are read as missing."""

_DELIMITERS = (",", ";", "\t", "|")
_EXACT = 2**53  # float64 holds every whole number up to here
_SNIFFED = 2**17  # bytes by which the layout and date columns are recognised
_INDEX_LEVEL = re.compile(r"__index_level_\d+__")


# --- delimited text --------------------------------------------------------------------------


def read_delimited(path: Path) -> pd.DataFrame:
    """Read CSV or TSV text, also compressed; the delimiter is ``,`` ``;`` tab or ``|``.

    Raises
    ------
    InputError
        If the file is empty, binary or badly encoded (byte position), a row has too many or too
        few cells (line number), or two columns have the same name.
    """
    data = utf8_bytes(path)
    if data.isspace() or not data:
        raise InputError(f"{path.name} is empty", remedy="give a file with a header and rows")
    if b"\0" in data:
        raise InputError(
            f"{path.name} holds binary data, not text", remedy="save the table as CSV or Parquet"
        )
    header, rows_start, delimiter = _read_header(path, data)
    notes: list[Note] = []
    if header and all(_is_number(name) for name in header):
        notes.append(
            (
                "header-of-numbers",
                f"every column name of {path.name} is a number: {', '.join(header[:6])}",
                "if the first line is data, put a line of column names above it",
            )
        )
    names = [name or f"column_{place}" for place, name in enumerate(header, start=1)]
    refuse_repeated_names(names)
    text = _DelimitedText(path, data, rows_start, names, delimiter)
    frame = to_frame(_with_exact_cells(text, text.parse(as_text=text.dates())))
    frame, more = _without_row_numbers(
        frame, [n for n, h in zip(names, header, strict=True) if not h]
    )
    return label_frame(frame, path, "tsv" if delimiter == "\t" else "csv", notes + more)


def _read_header(path: Path, data: bytes) -> tuple[list[str], int, str]:
    """Column names, the byte at which the rows start, and the delimiter."""
    text = _start_of_text(path, data)
    first = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = _find_delimiter(path, first)
    if delimiter is None:
        _refuse_spaces(path, text)
        delimiter = ","
    stream = io.StringIO(text, newline="")
    try:
        for header in csv.reader(stream, delimiter=delimiter):
            if len(header) > 1 or "".join(header).strip():
                return header, len(text[: stream.tell()].encode()), delimiter
    except csv.Error as error:
        raise InputError(f"the header of {path.name} cannot be read: {error}") from None
    raise InputError(f"{path.name} has no header", remedy="put a line of column names on top")


def _start_of_text(path: Path, data: bytes) -> str:
    """Enough decoded text to hold the header, however long it is."""
    filled = re.search(rb"\S", data)
    end = data.find(b"\n", filled.start() if filled else 0) + 1
    size = max(_SNIFFED, end) if end else len(data)
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        return decoder.decode(data[:size], final=size >= len(data))
    except UnicodeDecodeError:
        raise wrong_encoding(path, data) or InputError(f"{path.name} cannot be decoded") from None


def _find_delimiter(path: Path, line: str) -> str | None:
    """The most frequent delimiter outside quotes; a tab first in a file that is named so."""
    bare = re.sub(r'"[^"]*"', "", line)
    if "\t" in bare and {".tsv", ".tab"} & {suffix.lower() for suffix in path.suffixes}:
        return "\t"
    best = max(_DELIMITERS, key=bare.count)
    return best if best in bare else None


def _refuse_spaces(path: Path, start: str) -> None:
    """One column is fine, but not one that is many columns set apart by spaces."""
    lines = [line.split() for line in islice(filter(str.strip, start.splitlines()), 5)]
    width = len(lines[0]) if lines else 0
    if width > 1 and len(lines) > 1 and all(len(words) == width for words in lines):
        raise InputError(
            f"no delimiter was found in {path.name}; its columns seem to be set apart by spaces",
            remedy="separate them by commas, semicolons or tabs",
        )


class _DelimitedText:
    """A delimited file in memory, which pyarrow parses and Python's reader diagnoses."""

    def __init__(self, path: Path, data: bytes, start: int, names: list[str], delimiter: str):
        self.path, self.data, self.rows = path, data, memoryview(data)[start:]
        self.names, self.delimiter = names, delimiter
        # Line ends inside cells are possible only where there are quotes; they cost parallelism.
        self.quoted = b'"' in data

    def parse(self, as_text: Iterable[str] = (), only: Iterable[str] = ()) -> Any:
        """Parse the rows into an Arrow table: columns to keep as text, columns to read (all)."""
        as_text, only = list(as_text), list(only)
        if self.quoted and self.data.count(b'"') % 2:
            self._refuse_open_quote()
        try:
            return self._parse(self.rows, as_text, only, block_size=2**20)
        except pa.ArrowInvalid as error:
            if "Empty CSV" in str(error):
                return pa.table({name: pa.nulls(0) for name in only or self.names})
            if "straddling" not in str(error):
                raise self._diagnosis(error) from None
        try:  # one row is longer than a block
            return self._parse(self.rows, as_text, only, min(len(self.rows) + 1, 2**31 - 1))
        except pa.ArrowInvalid as error:
            raise self._diagnosis(error) from None

    def dates(self) -> list[str]:
        """Columns that pyarrow takes for dates or times, by the first rows."""
        start = bytes(self.rows[:_SNIFFED])
        start = start[: start.rfind(b"\n") + 1]
        try:
            return _temporal(self._parse(start, [], [], block_size=_SNIFFED + 1))
        except pa.ArrowInvalid:
            return []

    def _parse(
        self, rows: bytes | memoryview, as_text: list[str], only: list[str], block_size: int
    ) -> Any:
        return pa_csv.read_csv(
            pa.BufferReader(rows),
            read_options=pa_csv.ReadOptions(column_names=self.names, block_size=block_size),
            parse_options=pa_csv.ParseOptions(
                delimiter=self.delimiter, newlines_in_values=self.quoted
            ),
            convert_options=pa_csv.ConvertOptions(
                null_values=list(MISSING_TEXT),
                strings_can_be_null=True,
                true_values=["true", "True", "TRUE"],
                false_values=["false", "False", "FALSE"],
                include_columns=only,
                column_types=dict.fromkeys(as_text, pa.string()),
            ),
        )

    def _diagnosis(self, error: Exception) -> InputError:
        """Say where the file is wrong; slow, and only for files that are."""
        if (wrong := wrong_encoding(self.path, self.data)) is not None:
            return wrong
        width = len(self.names)
        count, first = 0, ""
        text = io.StringIO(self.data.decode("utf-8"), newline="")
        rows = csv.reader(text, delimiter=self.delimiter)
        line = 1
        try:
            for row in rows:
                if row and len(row) != width:
                    count += 1
                    first = first or f"line {line} has {len(row)}"
                line = rows.line_num + 1
        except csv.Error as problem:
            return InputError(f"line {line} of {self.path.name} cannot be read: {problem}")
        if not count:
            return InputError(f"{self.path.name} cannot be read: {error}")
        return InputError(
            f"{count} row(s) of {self.path.name} do not have {width} cells as its header has "
            f"({first})",
            remedy="complete those rows, and put cells that contain the delimiter "
            f"({self.delimiter!r}) in double quotes",
        )

    def _refuse_open_quote(self) -> None:
        """An odd number of quotes is an unclosed one, unless it stands inside plain text.

        A row put below the last one tells: behind an unclosed quote it does not come out alone.
        """
        text = self.data.decode("utf-8", errors="replace") + "\nend"
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=self.delimiter)
        start, end, last = 1, 0, [""]
        for row in rows:
            start, end, last = end + 1, rows.line_num, row
        if last != ["end"]:
            raise InputError(
                f"a double quote that opens in line {start} of {self.path.name} is not closed",
                remedy="close it, or write a quote inside a quoted cell twice",
            )


def _with_exact_cells(text: _DelimitedText, table: Any) -> Any:
    """Read columns again as text where the inferred type would alter what is written."""
    if any(pa.types.is_binary(kind) for kind in table.schema.types):
        raise wrong_encoding(text.path, text.data) or InputError(
            f"{text.path.name} is not valid UTF-8"
        )
    dates = _temporal(table)
    large = [
        name
        for name, column in zip(table.column_names, table.columns, strict=True)
        if pa.types.is_floating(column.type) and _reaches(column, _EXACT)
    ]
    if not dates and not large:
        return table
    again = [*dates, *large]
    written = text.parse(as_text=again, only=again)
    for name in (*dates, *(name for name in large if _would_round(written[name]))):
        table = table.set_column(table.column_names.index(name), name, written[name])
    return table


def _temporal(table: Any) -> list[str]:
    return [field.name for field in table.schema if pa.types.is_temporal(field.type)]


def _reaches(column: Any, limit: int) -> bool:
    bounds = pc.min_max(column).as_py()
    return any(value is not None and abs(value) >= limit for value in bounds.values())


def _would_round(column: Any) -> bool:
    """Whether float64 would alter a whole number in this text column."""
    digits = pc.match_substring_regex(column, r"^\s*[+-]?\d{16,}\s*$")
    return any(int(cell) != int(float(cell)) for cell in column.filter(digits).to_pylist())


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def refuse_repeated_names(names: Iterable[str]) -> None:
    """Raise if two columns have the same name."""
    for name, count in Counter(names).items():
        if count > 1:
            raise InputError(
                f"{count} columns have this name", column=name, remedy="give each its own name"
            )


def _without_row_numbers(
    frame: pd.DataFrame, unnamed: list[str]
) -> tuple[pd.DataFrame, list[Note]]:
    """Drop an unnamed column that counts the rows; say how other unnamed columns are called."""
    notes: list[Note] = []
    for name in unnamed:
        column = frame[name]
        counts = len(frame) > 0 and pd.api.types.is_integer_dtype(column.dtype)
        if counts and (np.diff(column) == 1).all() and column.iloc[0] in (0, 1):
            frame = frame.drop(columns=name)
            notes.append(
                (
                    "row-numbers",
                    "an unnamed column that only numbers the rows was left out",
                    "give it a name if it is data",
                )
            )
        else:
            notes.append(
                ("unnamed-column", f"a column without name is called {name!r}", "name the column")
            )
    return frame, notes


# --- columnar files --------------------------------------------------------------------------


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a Parquet file; an index that pandas saved under a name comes back as a column.

    Raises
    ------
    InputError
        If the file is damaged or a column holds lists or mappings.
    """
    return _read_columnar(path, "parquet", pa_parquet.read_table)


def read_arrow(path: Path) -> pd.DataFrame:
    """Read a Feather file or an Arrow file or stream.

    Raises
    ------
    InputError
        If the file is damaged or a column holds lists or mappings.
    """
    return _read_columnar(path, "arrow", _arrow_table)


def _arrow_table(path: Path) -> Any:
    with path.open("rb") as stream:
        magic = stream.read(6)
    if magic.startswith((b"ARROW1", b"FEA1")):
        return pa_feather.read_table(path)
    with pa.OSFile(str(path)) as source:
        return pa.ipc.open_stream(source).read_all()


def _read_columnar(path: Path, kind: str, read: Any) -> pd.DataFrame:
    try:
        table = read(path).replace_schema_metadata(None)
        table.validate(full=True)  # damaged offsets would be followed out of memory
        unnamed = [name for name in table.column_names if _INDEX_LEVEL.fullmatch(name)]
    except (pa.ArrowException, OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{path.name} is not a complete {kind.capitalize()} file: {reason}",
            remedy="write or copy it again; it may have been cut short",
        ) from None
    notes: list[Note] = []
    if unnamed:
        table = table.drop_columns(unnamed)
        notes.append(
            ("index-left-out", "an unnamed pandas index was left out", "name it if it is data")
        )
    return label_frame(to_frame(table), path, kind, notes)


def to_frame(table: Any) -> pd.DataFrame:
    """Turn an Arrow table into a frame without loss: exact whole numbers, no nested cells."""
    refuse_repeated_names(table.column_names)
    exact: dict[str, Any] = {}
    for place, field in enumerate(table.schema):
        column = table.column(place)
        kind = field.type
        if pa.types.is_nested(kind):
            raise _nested(field.name, f"values of type {kind}")
        if pa.types.is_null(kind) or pa.types.is_decimal(kind):
            table = table.set_column(place, field.name, column.cast(pa.float64()))
        elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
            table = table.set_column(place, field.name, _binary_as_text(field.name, column))
        elif pa.types.is_integer(kind) and column.null_count and _reaches(column, _EXACT):
            nullable = pd.Int64Dtype() if pa.types.is_signed_integer(kind) else pd.UInt64Dtype()
            exact[field.name] = column.to_pandas(types_mapper={kind: nullable}.get)
    frame: pd.DataFrame = table.to_pandas(ignore_metadata=True, date_as_object=False)
    for name, values in exact.items():
        frame[name] = values
    return frame


def _binary_as_text(name: str, column: Any) -> Any:
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        raise InputError("holds binary data", column=name, remedy="leave the column out") from None


def _nested(column: str, what: str) -> InputError:
    return InputError(
        f"a cell must hold one value; found {what}",
        column=column,
        remedy="write its parts as columns of their own, or leave the column out",
    )


# --- JSON ------------------------------------------------------------------------------------


def read_json_lines(path: Path) -> pd.DataFrame:
    """Read a file with one JSON object a line.

    Raises
    ------
    InputError
        Naming the line that is not a JSON object, or the column with a nested cell.
    """
    table = _parse_json_lines(path)
    if table is not None:
        frame = to_frame(table)
    else:
        frame = frame_of_records(json_lines(path), path, "line")
    return label_frame(frame, path, "jsonl")


def _parse_json_lines(path: Path) -> Any:
    """Arrow's parser, many times faster; None for what it refuses or would alter.

    Python's parser then reads it exactly, or says what is wrong and where.
    """
    if not encoding_of(first_bytes(path, 4)).startswith("utf-8"):
        return None
    try:
        table = _arrow_json(path, {})
        if dates := _temporal(table):  # they stay as written
            names = table.column_names
            table = _arrow_json(path, dict.fromkeys(dates, pa.string())).select(names)
        table.validate(full=True)
    except (*DECOMPRESSION_ERRORS, UnicodeDecodeError):
        return None
    rounded = any(
        pa.types.is_floating(column.type) and _reaches(column, _EXACT) for column in table.columns
    )
    return table if table.num_columns and not rounded else None


def _arrow_json(path: Path, types: dict[str, Any]) -> Any:
    options = pa_json.ParseOptions(
        explicit_schema=pa.schema(types.items()), unexpected_field_behavior="infer"
    )
    with open_binary(path) as stream:
        return pa_json.read_json(stream, parse_options=options)


def read_json(path: Path, document: object) -> pd.DataFrame:
    """Make a table of a JSON document that is an array of objects.

    Raises
    ------
    InputError
        If the document is something else, or naming the record or column at fault.
    """
    if not isinstance(document, list):
        raise InputError(
            f"{path.name} must hold an array of objects, one a row; it holds "
            f"{_json_kind(document)}",
            remedy='write it as records, for example with pandas: to_json(orient="records")',
        )
    return label_frame(frame_of_records(enumerate(document, 1), path, "record"), path, "json")


def load_json(path: Path) -> Any:
    """Parse a whole JSON document.

    Raises
    ------
    InputError
        If the file is empty, not UTF-8 (or marked UTF-16 or UTF-32), or not JSON.
    """
    data = utf8_bytes(path)
    if (wrong := wrong_encoding(path, data)) is not None:
        raise wrong
    if data.isspace() or not data:
        raise InputError(f"{path.name} is empty", remedy="give a file with records")
    return parse_json(data, path.name)


def frame_of_records(records: Iterable[tuple[int, object]], path: Path, place: str) -> pd.DataFrame:
    """Build a frame of objects; an absent key is a missing cell.

    Parameters
    ----------
    records
        Number of the place where each record stands, and its value.
    path
        File they come from.
    place
        What is numbered: ``"line"`` or ``"record"``.

    Raises
    ------
    InputError
        If a record is not an object, a cell is nested, or there is no record.
    """
    columns: dict[str, list[Any]] = {}
    n_rows = 0
    for number, record in records:
        if not isinstance(record, dict):
            raise InputError(
                f"{place} {number} of {path.name} must be an object; it is {_json_kind(record)}"
            )
        for name, value in record.items():
            if isinstance(value, dict | list):
                where = f"{place} {number} of {path.name}"
                raise _nested(name, f"{_json_kind(value)} in {where}")
            cells = columns.setdefault(name, [])
            if len(cells) < n_rows:
                cells.extend([None] * (n_rows - len(cells)))
            cells.append(value)
        n_rows += 1
    if not n_rows:
        raise InputError(f"{path.name} holds no records", remedy="give at least one")
    for cells in columns.values():
        cells.extend([None] * (n_rows - len(cells)))
    return _frame_of_cells(columns, n_rows)


def _frame_of_cells(columns: Mapping[str, list[Any]], n_rows: int) -> pd.DataFrame:
    return pd.DataFrame(
        {name: _series(cells) for name, cells in columns.items()}, index=range(n_rows)
    )


def _series(cells: list[Any]) -> pd.Series[Any]:
    """Infer a column's type; whole numbers beside missing cells stay exact."""
    series = pd.Series(cells)
    if series.dtype == object and series.isna().all():
        return series.astype(float)
    if series.dtype == float and any(type(cell) is int and abs(cell) > _EXACT for cell in cells):
        kept: pd.Series[Any] = pd.Series(cells, dtype=object)
        if not any(isinstance(cell, float) for cell in cells):
            kept = kept.astype("Int64")
        return kept
    return series


def _json_kind(value: object) -> str:
    kinds = {dict: "an object", list: "an array", str: "text", bool: "true or false"}
    return kinds.get(type(value), "null" if value is None else "a number")
