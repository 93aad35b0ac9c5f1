"""Files of users as data frames: tables in the usual formats, and evaluation logs as they are."""

from __future__ import annotations

import re
import zipfile
from difflib import get_close_matches
from pathlib import Path

import pandas as pd

from statlas.core.errors import InputError
from statlas.core.readers.inspect_log import (
    is_inspect_archive,
    is_inspect_document,
    is_inspect_path,
    read_inspect_log,
)
from statlas.core.readers.lm_eval import (
    is_results,
    is_results_path,
    is_sample,
    is_samples_path,
    read_lm_eval,
)
from statlas.core.readers.streams import (
    encoding_of,
    files_under,
    first_bytes,
    holds_json_lines,
    json_lines,
)
from statlas.core.readers.tables import (
    load_json,
    read_arrow,
    read_delimited,
    read_json,
    read_json_lines,
    read_parquet,
)

__all__ = ["read_frame", "read_inspect_log", "read_lm_eval"]

_TABLES = (".csv", ".tsv", ".parquet", ".feather", ".arrow", ".jsonl", ".ndjson", ".json")
_ARROW = (".feather", ".arrow", ".arrows", ".ipc")
_JSON_LINES = (".jsonl", ".ndjson")
_SUPPORTED = "CSV, TSV, Parquet, Feather, Arrow, JSON lines, JSON records, lm-eval and Inspect logs"
_OTHER_KINDS = {
    b"\xd0\xcf\x11\xe0": "an old Excel workbook",
    b"\x89HDF": "an HDF5 file",
    b"SQLite format 3": "an SQLite database",
    b"%PDF": "a PDF",
    b"\xfd7zXZ": "an xz file",
    b"\x80\x04\x95": "a Python pickle",
    b"\x80\x05\x95": "a Python pickle",
}


def read_frame(path: str | Path, *, metric: str | None = None) -> pd.DataFrame:
    r"""Read a table or an evaluation log, told apart by content first and by suffix second.

    Parameters
    ----------
    path
        CSV or TSV (delimiter ``,`` ``;`` tab ``|``), JSON lines, a JSON array of records (each
        also compressed with gzip or zstd), Parquet, Feather or Arrow; a samples or results file of
        lm-evaluation-harness; an Inspect log; or a folder of logs.
    metric
        For logs: which of the scores to read; see `read_lm_eval` and `read_inspect_log`.

    Returns
    -------
    pandas.DataFrame
        With ``attrs["source"]`` (file name), ``attrs["format"]`` and ``attrs["notes"]``, a list
        of (code, message, advice) about what was chosen or left out on the way. What a cell
        becomes is told in `statlas.core.readers.tables`. A header without rows gives no rows.

    Raises
    ------
    InputError
        If the file is missing, empty, damaged, or of a kind that is not read; the message names
        the line, column or byte at fault.
    MissingExtra
        If a file is compressed with zstd and no decompressor for it is installed.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "scores.csv")
    ...     _ = path.write_text("model,score\na,1\nb,0\n")
    ...     frame = read_frame(path)
    >>> frame["score"].tolist(), frame.attrs["format"]
    ([1, 0], 'csv')
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _read_folder(path, metric)
        _require_file(path)
        return _read_file(path, metric)
    except PermissionError:
        raise InputError(f"{path} may not be read", remedy="check its permissions") from None


def _read_folder(folder: Path, metric: str | None) -> pd.DataFrame:
    files = files_under(folder)
    if any(map(is_samples_path, files)) or any(map(is_results_path, files)):
        return read_lm_eval(folder, metric=metric)
    if any(map(is_inspect_path, files)):
        return read_inspect_log(folder, metric=metric)
    tables = [file for file in files if _suffix(file) in _TABLES]
    found = ", ".join(str(file.relative_to(folder)) for file in tables[:5])
    raise InputError(
        f"{folder} is a folder without evaluation logs",
        remedy=f"give one of its files: {found}" if found else "give a file",
    )


def _read_file(path: Path, metric: str | None) -> pd.DataFrame:
    start = first_bytes(path, 4096)
    if not start:
        raise InputError(f"{path.name} is empty", remedy="give a file with a header and rows")
    if path.suffix == ".eval" or start.startswith(b"PK\x03\x04"):
        return _read_archive(path, metric)
    for magic, kind in _OTHER_KINDS.items():
        if start.startswith(magic):
            raise InputError(
                f"{path.name} is {kind}, which is not read", remedy=f"use one of: {_SUPPORTED}"
            )
    form = _json_form(path, start)
    if form == "lines":
        return _read_json_lines(path, metric)
    if form == "document":
        return _read_json_document(path, metric)
    _refuse_metric(path, metric)
    if start.startswith(b"PAR1") or _suffix(path) == ".parquet":
        return read_parquet(path)
    if start.startswith((b"ARROW1", b"FEA1")) or _suffix(path) in _ARROW:
        return read_arrow(path)
    return read_delimited(path)


def _read_archive(path: Path, metric: str | None) -> pd.DataFrame:
    if path.suffix != ".eval":
        try:
            with zipfile.ZipFile(path) as archive:
                is_log = is_inspect_archive(archive.namelist())
        except zipfile.BadZipFile:
            is_log = False
        if not is_log:
            raise InputError(
                f"{path.name} is a zip archive or an Excel workbook, which is not read",
                remedy="save the table inside as CSV",
            )
    return read_inspect_log(path, metric=metric)


def _json_form(path: Path, start: bytes) -> str | None:
    """Whether a file looks like JSON lines or one JSON document; None for other text."""
    suffix = _suffix(path)
    if suffix in (".csv", ".tsv", ".tab"):
        return None
    text = start.decode(encoding_of(start), errors="ignore").lstrip("\ufeff \t\r\n")
    if text.startswith("[") or (suffix == ".json" and not text.startswith("{")):
        return "document"
    if suffix in _JSON_LINES:
        return "lines"
    if not text.startswith("{"):
        return None
    return "lines" if not is_inspect_path(path) and holds_json_lines(path) else "document"


def _read_json_lines(path: Path, metric: str | None) -> pd.DataFrame:
    _, first = next(json_lines(path), (0, None))
    if is_sample(first):
        return read_lm_eval(path, metric=metric)
    _refuse_metric(path, metric)
    return read_json_lines(path)


def _read_json_document(path: Path, metric: str | None) -> pd.DataFrame:
    if is_inspect_path(path):
        return read_inspect_log(path, metric=metric)
    document = load_json(path)
    if is_inspect_document(document):
        return read_inspect_log(path, metric=metric)
    if is_results(document) or (isinstance(document, list) and document and is_sample(document[0])):
        return read_lm_eval(path, metric=metric)
    _refuse_metric(path, metric)
    return read_json(path, document)


def _refuse_metric(path: Path, metric: str | None) -> None:
    if metric is not None:
        raise InputError(
            f"applies to evaluation logs, and {path.name} is a table",
            column="metric",
            remedy="name the column that holds the score instead",
        )


def _suffix(path: Path) -> str:
    """The suffix below that of a compression, in lower case."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in (".gz", ".zst"):
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _require_file(path: Path) -> None:
    if path.is_file():
        return
    if path.exists():
        raise InputError(f"{path} is not a regular file", remedy="save its content to a file")
    if re.match(r"\w{2,}:/", str(path)):
        raise InputError(f"{path} is an address, not a file", remedy="download it first")
    raise InputError(f"there is no file {path}", remedy=_suggestion(path))


def _suggestion(path: Path) -> str:
    """Files with nearly this name, or the folder that is missing."""
    folder = path.parent
    if not folder.is_dir():
        return f"there is no folder {folder} either; check the path"
    names = [entry.name for entry in folder.iterdir()]
    close = get_close_matches(path.name, names, n=3, cutoff=0.6)
    close += [name for name in names if Path(name).stem == path.stem and name not in close]
    return f"did you mean {' or '.join(map(repr, close[:3]))}?" if close else "check the path"
