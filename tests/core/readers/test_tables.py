"""Tables from files: known cells, every kind of damage, and round trips."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import os
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as parquet
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from statlas.core.errors import InputError, MissingExtra
from statlas.core.readers import read_frame, streams, tables


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_frame(path)
    return str(caught.value)


# --- delimited text --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        ("t.csv", "m,s\na,1\nb,2\n", "csv"),
        ("t.csv", "m;s\na;1\nb;2\n", "csv"),
        ("t.csv", "m|s\na|1\nb|2", "csv"),
        ("t.tsv", "m\ts\na\t1\nb\t2\n", "tsv"),
        ("t.tsv", "m,s\na,1\nb,2\n", "csv"),  # content decides
        ("t.txt", "m\ts\r\na\t1\r\nb\t2\r\n", "tsv"),
        ("t", '"m","s"\n"a",1\n"b",2\n', "csv"),
        ("t.csv", "\n\nm,s\n\na,1\n\nb,2\n\n", "csv"),
        ("t.csv", "m,s\ra,1\rb,2\r", "csv"),
    ],
)
def test_delimiters_and_line_ends(write: Any, name: str, text: str, kind: str) -> None:
    frame = read_frame(write(name, text))
    assert frame.to_dict("list") == {"m": ["a", "b"], "s": [1, 2]}
    assert frame.attrs == {"source": name, "format": kind, "notes": []}


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode(),
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.encode("utf-16"),
        lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
        lambda text: text.encode("utf-32"),
        lambda text: gzip.compress(text.encode()),
        lambda text: gzip.compress(text.encode("utf-16")),
        lambda text: pa.compress(text.encode(), codec="zstd", asbytes=True),
    ],
)
def test_encodings_and_compression(write: Any, encode: Any) -> None:
    frame = read_frame(write("data.csv", encode("Mödel,score\nα,1\n漢,0.5\n")))
    assert frame.to_dict("list") == {"Mödel": ["α", "漢"], "score": [1.0, 0.5]}


def test_missing_cells_are_few_and_documented(write: Any) -> None:
    text = "g,x\nNone,1\nnull,NA\nN/A,\nNA,NaN\n,nan\n-,2.5\n"
    frame = read_frame(write("a.csv", text))
    assert frame["g"].tolist()[:3] == ["None", "null", "N/A"]
    assert frame["g"].isna().tolist() == [False, False, False, True, True, False]
    np.testing.assert_array_equal(frame["x"], [1, np.nan, np.nan, np.nan, np.nan, 2.5])


def test_nothing_is_coerced(write: Any) -> None:
    text = (
        "mixed,day,moment,percent,comma,code,truth\n"
        '1,2024-01-31,12:30:00,5%,"0,5",007,TRUE\n'
        'two,2024-02-01,13:00:00,6%,"0,6",010,false\n'
        '3,2024-02-02,14:00:00,7%,"0,7",1,True\n'
    )
    frame = read_frame(write("a.csv", text))
    assert frame["mixed"].tolist() == ["1", "two", "3"]
    assert frame["day"].tolist() == ["2024-01-31", "2024-02-01", "2024-02-02"]
    assert frame["moment"].tolist() == ["12:30:00", "13:00:00", "14:00:00"]
    assert frame["percent"].tolist() == ["5%", "6%", "7%"]
    assert frame["comma"].tolist() == ["0,5", "0,6", "0,7"]
    assert frame["code"].tolist() == [7, 10, 1]
    assert frame["truth"].dtype == bool


def test_a_date_column_that_starts_empty_stays_text(write: Any) -> None:
    rows = "\n".join([f"{i}," for i in range(40_000)] + ["1,2024-01-31"])
    frame = read_frame(write("a.csv", f"n,day\n{rows}\n"))
    assert frame["day"].iloc[-1] == "2024-01-31"
    assert frame["day"].isna().sum() == 40_000


def test_large_whole_numbers_are_never_rounded(write: Any) -> None:
    text = (
        "id,gap,exact,real\n"
        "12345678901234567891,9007199254740993,10000000000000000000000,1e300\n"
        "1,,2,0.5\n"
    )
    frame = read_frame(write("a.csv", text))
    assert frame["id"].tolist() == ["12345678901234567891", "1"]
    assert int(frame["gap"].iloc[0]) == 9007199254740993  # 2**53 + 1 is not a float64
    assert frame["gap"].isna().tolist() == [False, True]
    assert frame["exact"].tolist() == [1e22, 2.0]  # 1e22 is one
    assert frame["real"].tolist() == [1e300, 0.5]


def test_infinities_and_scientific_notation_are_numbers(write: Any) -> None:
    frame = read_frame(write("a.csv", "x\n1e5\n-inf\n+2\n Infinity \n"))
    assert frame["x"].tolist() == [1e5, -math.inf, 2.0, math.inf]


def test_line_ends_and_quotes_inside_cells(write: Any) -> None:
    text = '"a\nb",c\n"x\ny, ""z""\n\n",1\n5" disk,2\n'
    frame = read_frame(write("a.csv", text + '5" disk,3\n'))
    assert frame.to_dict("list") == {
        "a\nb": ['x\ny, "z"\n\n', '5" disk', '5" disk'],
        "c": [1, 2, 3],
    }


def test_line_ends_inside_cells_of_a_long_file(write: Any) -> None:
    rows = "".join(f'{place},"x\n{place},y\n"\n' for place in range(200_000))  # several blocks
    frame = read_frame(write("a.csv", "a,b\n" + rows))
    assert frame["a"].tolist() == list(range(200_000))
    assert (frame["b"] == [f"x\n{place},y\n" for place in range(200_000)]).all()


def test_a_lone_quote_inside_plain_text_is_text(write: Any) -> None:
    assert read_frame(write("a.csv", 'a,b\n5" disk,1\n'))["a"].tolist() == ['5" disk']


def test_a_row_longer_than_a_block(write: Any) -> None:
    long = "x" * 3_000_000
    frame = read_frame(write("a.csv", f"a,b\n{long},1\ny,2\n"))
    assert frame["a"].str.len().tolist() == [3_000_000, 1]


@pytest.mark.parametrize("text", ["a,b\n", "a,b", "a,b\r\n\r\n", "\n a,b"])
def test_header_only_is_a_frame_without_rows(write: Any, text: str) -> None:
    frame = read_frame(write("a.csv", text))
    assert [name.strip() for name in frame.columns] == ["a", "b"]
    assert len(frame) == 0


def test_a_header_longer_than_a_block(write: Any) -> None:
    names = [f"feature_{place:0200d}" for place in range(6_000)]  # 1.2 MB
    frame = read_frame(write("a.csv", "\n" * 200_000 + ",".join(names) + "\n" + "1," * 5_999 + "2"))
    assert list(frame.columns) == names
    assert frame.iloc[0, [0, -1]].tolist() == [1, 2]


def test_one_column_needs_no_delimiter(write: Any) -> None:
    assert read_frame(write("a.csv", "score\n1\n2\n"))["score"].tolist() == [1, 2]


@pytest.mark.parametrize("content", [b"", b" \n\t\n", gzip.compress(b"", mtime=0), b"\xef\xbb\xbf"])
def test_empty_file(write: Any, content: bytes) -> None:
    assert "a.csv is empty" in refusal(write("a.csv", content))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n3\n4,5\n", "1 row(s) of a.csv do not have 2 cells as its header has (line 3"),
        ("a,b\n1,2\n\n3,4,5\n1\n", "2 row(s) of a.csv do not have 2 cells"),
        ("a,b\n1,2\n\n3,4,5\n1\n", "(line 4 has 3)"),
        ('a,b\n"x\ny",2\n3\n', "(line 4 has 1)"),
        ('a,b\n1,2\n3,"x\n4,5\n', "a double quote that opens in line 3 of a.csv is not closed"),
        ('a,b\n"1"x,2\n3,"x\n4,5\n', "a double quote that opens in line 3 of a.csv"),
        ("a b\n1 2\n3 4\n", "set apart by spaces"),
        ('"', "a.csv has no header"),
        ("\x1c", "a.csv has no header"),
        ("a,b,a\n1,2,3\n", "column 'a': 2 columns have this name"),
        ("big,big\n1e300,1e300\n", "column 'big': 2 columns have this name"),
        ("a,b\n1,\0\n", "binary data"),
    ],
)
def test_damaged_text_names_the_place(write: Any, text: str, words: str) -> None:
    assert words in refusal(write("a.csv", text))


@pytest.mark.parametrize("rows_before", [0, 60_000])
def test_latin_1_names_the_byte(write: Any, rows_before: int) -> None:
    start = b"name,score\n" + b"a,1\n" * rows_before
    message = refusal(write("a.csv", start + "café,2\n".encode("latin-1")))
    assert f"byte 0xE9 at position {len(start) + 3} (line {rows_before + 2})" in message
    assert "iconv" in message


def test_latin_1_in_the_header(write: Any) -> None:
    assert "byte 0xE9 at position 3 (line 1)" in refusal(write("a.csv", b"caf\xe9,b\n1,2\n"))


def test_half_a_utf_16_character(write: Any) -> None:
    assert "UTF-16" in refusal(write("a.csv", "a,b\n1,2\n".encode("utf-16") + b"\x00"))


def test_row_numbers_of_pandas_and_r_are_left_out(write: Any) -> None:
    for first in (0, 1):
        frame = read_frame(write("a.csv", f",x\n{first},5\n{first + 1},7\n"))
        assert list(frame.columns) == ["x"]
        assert [note[0] for note in frame.attrs["notes"]] == ["row-numbers"]


def test_an_unnamed_column_of_data_is_kept(write: Any) -> None:
    frame = read_frame(write("a.csv", "x,\n5,9\n7,3\n"))
    assert frame.to_dict("list") == {"x": [5, 7], "column_2": [9, 3]}
    assert [note[0] for note in frame.attrs["notes"]] == ["unnamed-column"]


def test_a_header_of_numbers_is_told(write: Any) -> None:
    frame = read_frame(write("a.csv", "1,2.5\n3,4\n"))
    assert [note[0] for note in frame.attrs["notes"]] == ["header-of-numbers"]


def test_damaged_compression(write: Any) -> None:
    whole = gzip.compress(b"a,b\n" + os.urandom(4000).hex().encode())
    assert "cannot be decompressed" in refusal(write("a.csv.gz", whole[:-900]))
    whole = pa.compress(os.urandom(4000).hex().encode(), codec="zstd", asbytes=True)
    assert "cannot be decompressed" in refusal(write("b.csv.zst", whole[:90]))


def test_a_compressed_table_is_not_unfolded_without_end(
    write: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MAX_DECOMPRESSED", 10_000)
    path = write("a.csv.gz", gzip.compress(b"a,b\n" + b"1,2\n" * 10_000))
    assert "unfolds to more than 10,000 bytes" in refusal(path)


# --- JSON ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.jsonl", "a.ndjson", "a.json", "a.txt", "a.jsonl.gz"])
def test_json_lines(write: Any, name: str) -> None:
    text = '{"m": "a", "s": 1}\n\n{"s": null, "t": true, "m": "NA"}\r\n{"m": "2024-01-01"}\n'
    frame = read_frame(write(name, gzip.compress(text.encode()) if "gz" in name else text))
    assert list(frame.columns) == ["m", "s", "t"]
    assert frame["m"].tolist() == ["a", "NA", "2024-01-01"]  # only null is missing in JSON
    np.testing.assert_array_equal(frame["s"], [1, np.nan, np.nan])
    assert frame["t"].isna().tolist() == [True, False, True]
    assert frame.attrs["format"] == "jsonl"


def test_json_dates_stay_as_written(write: Any) -> None:
    text = '{"x": 1, "day": "2024-01-01"}\n{"day": "2024-01-02", "x": 2}\n'
    frame = read_frame(write("a.jsonl", text))
    assert frame.to_dict("list") == {"x": [1, 2], "day": ["2024-01-01", "2024-01-02"]}


def test_json_array(write: Any) -> None:
    frame = read_frame(write("a.json", '\n[{"m": "a", "s": 1}, {"m": "b", "s": 0.5}]'))
    assert frame.to_dict("list") == {"m": ["a", "b"], "s": [1.0, 0.5]}
    assert frame.attrs["format"] == "json"


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_mixed_json_columns_stay_mixed(write: Any, name: str) -> None:
    rows = [{"x": 1, "y": 2**53 + 1}, {"x": "two", "y": None}, {"x": True, "y": 3}]
    text = "\n".join(map(json.dumps, rows)) if name == "a.jsonl" else json.dumps(rows)
    frame = read_frame(write(name, text))
    assert frame["x"].tolist() == [1, "two", True]
    assert int(frame["y"].iloc[0]) == 2**53 + 1


def test_json_lines_beyond_int64_are_not_rounded(write: Any) -> None:
    frame = read_frame(write("a.jsonl", '{"x": 12345678901234567891}\n{"x": 1}\n'))
    assert [int(value) for value in frame["x"]] == [12345678901234567891, 1]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.jsonl", '{"a": 1}\n\n{"a": }\n', "line 3 of a.jsonl is not valid JSON"),
        ("a.json", '{"a": 1}\n{"a": 2\n', "line 2 of a.json is not valid JSON"),
        ("a.jsonl", '{"a": 1}\n[1]\n', "line 2 of a.jsonl must be an object; it is an array"),
        ("a.jsonl", '{"a": 1}\n{"a": {"b": 1}}\n', "column 'a': a cell must hold one value"),
        ("a.jsonl", '{"a": 1}\n{"a": {"b": 1}}\n', "an object in line 2"),
        ("a.json", '[{"a": [1]}]', "column 'a': a cell must hold one value; found an array"),
        ("a.json", '[{"a": 1}, 3]', "record 2 of a.json must be an object; it is a number"),
        ("a.json", '{"a": {"0": 1}}', "must hold an array of objects"),
        ("a.json", '[{"a": 1},\n {"a": 2]', "a.json is not valid JSON"),
        ("a.json", "[]", "holds no records"),
        ("a.json", "scores", "a.json is not valid JSON"),
        ("a.jsonl", "\n", "holds no records"),
        ("a.json", "[" * 100_000, "cannot be read as JSON"),
        ("a.json", "[" + "9" * 5000 + "]", "cannot be read as JSON"),
    ],
)
def test_damaged_json_names_the_place(write: Any, name: str, text: str, words: str) -> None:
    assert words in refusal(write(name, text))


def test_json_lines_in_latin_1(write: Any) -> None:
    message = refusal(write("a.jsonl", b'{"a": "x"}\n{"a": "caf\xe9"}\n'))
    assert "byte 0xE9 at position 21 (line 2)" in message


def test_json_lines_in_utf_16(write: Any) -> None:
    frame = read_frame(write("a.jsonl", '{"a": "é"}\n{"a": "b"}\n'.encode("utf-16")))
    assert frame["a"].tolist() == ["é", "b"]


def test_a_line_without_end_is_refused(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MAX_LINE", 1000)
    path = write("a.jsonl", '{"a": 1}\n{"a": ["' + "x" * 5000)
    assert "line 2 of a.jsonl has more than 1,000 characters" in refusal(path)


def test_both_json_parsers_agree(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    text = '{"a": 1, "b": "x", "d": "2024-01-01"}\n{"b": "\\u00e9", "a": null}\n{"c": 0.5}\n'
    path = write("a.jsonl", text)
    fast = read_frame(path)
    monkeypatch.setattr(tables, "_parse_json_lines", lambda path: None)
    pd.testing.assert_frame_equal(fast, read_frame(path))


# --- columnar files --------------------------------------------------------------------------


def test_a_parquet_index_with_a_name_is_a_column(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1, 2]}, index=pd.Index(["q1", "q2"], name="question"))
    frame.to_parquet(tmp_path / "a.parquet")
    back = read_frame(tmp_path / "a.parquet")
    assert back["question"].tolist() == ["q1", "q2"]
    assert back.attrs["format"] == "parquet"


def test_a_parquet_index_without_name_is_told(tmp_path: Path) -> None:
    pd.DataFrame({"x": [1, 2]}, index=[7, 3]).to_parquet(tmp_path / "a.parquet")
    back = read_frame(tmp_path / "a.parquet")
    assert list(back.columns) == ["x"]
    assert [note[0] for note in back.attrs["notes"]] == ["index-left-out"]


def test_arrow_types_become_plain_ones(tmp_path: Path) -> None:
    table = pa.table(
        {
            "decimal": pa.array([Decimal("1.50"), None], pa.decimal128(6, 2)),
            "empty": pa.nulls(2),
            "bytes": pa.array([b"a", b"b"], pa.binary()),
            "label": pa.array(["u", "v"]).dictionary_encode(),
            "day": pa.array([0, 1], pa.date32()),
            "big": pa.array([2**53 + 1, None], pa.int64()),
        }
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    frame = read_frame(tmp_path / "a.parquet")
    np.testing.assert_array_equal(frame["decimal"], [1.5, np.nan])
    assert frame["empty"].isna().all() and frame["empty"].dtype == float
    assert frame["bytes"].tolist() == ["a", "b"]
    assert frame["label"].tolist() == ["u", "v"]
    assert pd.api.types.is_datetime64_any_dtype(frame["day"])
    assert int(frame["big"].iloc[0]) == 2**53 + 1


@pytest.mark.parametrize("suffix", ["parquet", "feather"])
def test_nested_and_binary_columns_are_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    writer = parquet.write_table if suffix == "parquet" else feather.write_feather
    writer(pa.table({"x": [1], "tags": [["a"]]}), path)
    assert "column 'tags': a cell must hold one value" in refusal(path)
    writer(pa.table({"raw": [b"\xff\xfe"]}), path)
    assert "column 'raw': holds binary data" in refusal(path)


@pytest.mark.parametrize("suffix", ["parquet", "feather", "arrow"])
def test_truncated_columnar_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    frame = pd.DataFrame({"x": np.arange(1000.0)})
    frame.to_parquet(path) if suffix == "parquet" else frame.to_feather(path)
    path.write_bytes(path.read_bytes()[:-200])
    assert "is not a complete" in refusal(path)
    path.write_bytes(b"not columnar at all")
    assert "is not a complete" in refusal(path)


def test_content_decides_over_suffix(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    pd.DataFrame({"x": [1]}).to_parquet(path)
    assert read_frame(path).attrs["format"] == "parquet"


def test_an_arrow_stream(tmp_path: Path) -> None:
    table = pa.table({"x": [1, 2]})
    path = str(tmp_path / "a.arrow")
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    assert read_frame(tmp_path / "a.arrow")["x"].tolist() == [1, 2]


# --- not a table -----------------------------------------------------------------------------


def test_a_missing_file_suggests_close_names(write: Any, tmp_path: Path) -> None:
    write("scores.csv", "a\n1\n")
    assert "did you mean 'scores.csv'?" in refusal(tmp_path / "score.csv")
    assert "did you mean 'scores.csv'?" in refusal(tmp_path / "scores.parquet")
    assert "there is no folder" in refusal(tmp_path / "nowhere" / "a.csv")
    assert "download it first" in refusal(Path("https://example.org/a.csv"))


def test_a_folder_lists_its_tables(write: Any, tmp_path: Path) -> None:
    write("a.csv", "a\n1\n")
    message = refusal(tmp_path)
    assert "is a folder without evaluation logs" in message
    assert "a.csv" in message


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"PK\x03\x04rest", "a zip archive or an Excel workbook"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "an old Excel workbook"),
        (b"SQLite format 3\0", "an SQLite database"),
        (b"\x80\x04\x95", "a Python pickle"),
    ],
)
def test_other_kinds_are_named(write: Any, content: bytes, words: str) -> None:
    assert words in refusal(write("a.csv", content))


def test_something_that_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "not a regular file" in refusal(tmp_path / "pipe")


def test_metric_is_for_logs(write: Any) -> None:
    with pytest.raises(InputError, match="applies to evaluation logs"):
        read_frame(write("a.csv", "a\n1\n"), metric="acc")


def test_zstd_without_a_decoder(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("a.csv.zst", pa.compress(b"a\n1\n", codec="zstd", asbytes=True))
    monkeypatch.setattr(streams, "_arrow_knows", lambda codec: False)
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingExtra, match=r'pip install "statlas\[logs\]"'):
        read_frame(path)


# --- round trips -----------------------------------------------------------------------------

names = st.text("abcdefgh_ é漢", min_size=1, max_size=6).filter(lambda name: name.strip() == name)
cells = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8
).filter(lambda cell: cell not in tables.MISSING_TEXT)
floats = st.floats(allow_nan=False)
integers = st.integers(-(2**63), 2**63 - 1)


@st.composite
def frames(draw: Any, gaps: bool = True) -> pd.DataFrame:
    n_rows = draw(st.integers(1, 6))
    columns: dict[str, list[Any]] = {}
    for name in draw(st.lists(names, min_size=1, max_size=4, unique=True)):
        kind = draw(st.sampled_from(["int", "float", "bool", "text"]))
        cell = {"int": integers, "float": floats, "bool": st.booleans(), "text": cells}[kind]
        if gaps and kind in ("float", "text"):
            cell = cell | st.none()
        columns[name] = draw(st.lists(cell, min_size=n_rows, max_size=n_rows))
        if kind == "text":  # so that the column cannot be taken for one of numbers
            columns[name][0] = "x" + (columns[name][0] or "")
        if kind == "float":
            columns[name][0] = 0.5
    return pd.DataFrame(columns)


def assert_same(back: pd.DataFrame, frame: pd.DataFrame) -> None:
    assert list(back.columns) == list(frame.columns)
    for name in frame:
        absent = frame[name].isna()
        assert back[name].isna().tolist() == absent.tolist()
        assert back[name][~absent].tolist() == frame[name][~absent].tolist()
        if frame[name].dtype in (float, int, bool):
            assert back[name].dtype == frame[name].dtype


relaxed = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@relaxed
@given(frame=frames())
def test_csv_round_trip(tmp_path: Path, frame: pd.DataFrame) -> None:
    assume("\r" not in frame.to_csv(index=False))  # pandas does not quote a lone one
    frame.to_csv(tmp_path / "a.csv", index=False)
    assert_same(read_frame(tmp_path / "a.csv"), frame)


@relaxed
@given(frame=frames())
def test_tsv_gz_round_trip(tmp_path: Path, frame: pd.DataFrame) -> None:
    frame.to_csv(tmp_path / "a.tsv.gz", index=False, sep="\t", quoting=csv.QUOTE_NONNUMERIC)
    assert_same(read_frame(tmp_path / "a.tsv.gz"), frame)


@relaxed
@given(frame=frames())
def test_parquet_and_feather_round_trip(tmp_path: Path, frame: pd.DataFrame) -> None:
    frame.to_parquet(tmp_path / "a.parquet")
    assert_same(read_frame(tmp_path / "a.parquet"), frame)
    frame.to_feather(tmp_path / "a.feather")
    assert_same(read_frame(tmp_path / "a.feather"), frame)


@relaxed
@given(frame=frames())
def test_json_round_trip(tmp_path: Path, frame: pd.DataFrame) -> None:
    records = [
        {name: None if pd.isna(value) else value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]
    (tmp_path / "a.json").write_text(json.dumps(records), encoding="utf-8")
    assert_same(read_frame(tmp_path / "a.json"), frame)
    lines = "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
    (tmp_path / "a.jsonl").write_text(lines, encoding="utf-8")
    assert_same(read_frame(tmp_path / "a.jsonl"), frame)


@relaxed
@given(content=st.binary(max_size=300), suffix=st.sampled_from(["csv", "jsonl", "json", "eval"]))
def test_any_bytes_give_a_frame_or_a_clear_error(
    tmp_path: Path, content: bytes, suffix: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content)
    try:
        assert isinstance(read_frame(path), pd.DataFrame)
    except InputError as error:
        assert "a." in str(error) or error.column is not None


def test_zstd_stream_falls_back_to_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("zstandard")
    two_frames = pa.compress(b"ab", codec="zstd", asbytes=True) * 2
    monkeypatch.setattr(streams, "_arrow_knows", lambda codec: False)
    assert streams.zstd_stream(io.BytesIO(two_frames)).read() == b"abab"
