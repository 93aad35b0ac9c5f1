"""Results: honest about uncertainty, exact in JSON, safe in HTML."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from statlas.core.errors import InputError
from statlas.core.figures import figure_bytes, house_style, new_figure, plain_label
from statlas.core.files import write_whole
from statlas.core.report import format_cell
from statlas.core.results import Notice, Result, SetAside, Status, Value
from statlas.evaluation.error_bars import compare_scores

TABLE = pd.DataFrame(
    {
        "whole": [1, -2],
        "number": [np.nan, np.inf],
        "flag": [True, False],
        "text": ["é", None],
        "mixed": ["x", 1],
    }
)
FULL = Result(
    headline="h",
    table=TABLE,
    values=(
        Value("v", 0.1 + 0.2, 0.0, float("inf"), 0.95, unit="s", method="m"),
        Value("w", None, why_no_interval="a count"),
    ),
    details={"list": [1, 2.5, None], "nested": {"a": "b"}},
    status=Status.ASSUMPTION_DOUBTFUL,
    advice="look twice",
    warnings=(Notice("code", "message", "advice"),),
    set_aside=(SetAside("missing", 3),),
    paper="error-bars",
    options={"level": 0.95, "none": None},
    seed=0,
    rows_read=5,
    rows_used=2,
    columns={"score": "acc"},
    source="a.csv",
    seconds=0.1,
    versions={"numpy": "2"},
)


@pytest.fixture(scope="module")
def comparison() -> Any:
    rng = np.random.default_rng(0)
    return compare_scores({"a": rng.integers(0, 2, 40), "b": rng.integers(0, 2, 40)})


def test_a_value_needs_an_interval_or_a_reason() -> None:
    with pytest.raises(ValueError, match="'n' needs an interval or the reason"):
        Value("n", 3)
    with pytest.raises(ValueError, match="'n' needs"):
        Value("n", 3, np.nan, np.nan)
    assert str(Value("n", 3, why_no_interval="a count")) == "n: 3"
    assert str(Value("n", 3, 2, None, unit="s")) == "n: 3 [2, ?] s"
    assert Value("n", np.float64("nan"), why_no_interval="x").estimate is None


def test_a_doubtful_status_needs_advice() -> None:
    for status in Status:
        if status is Status.OK:
            Result(headline="h", table=TABLE)
        else:
            with pytest.raises(ValueError, match="needs advice"):
                Result(headline="h", table=TABLE, status=status)


def test_columns_of_one_name_would_be_lost_and_are_refused() -> None:
    with pytest.raises(ValueError, match="different names"):
        Result(headline="h", table=pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_values_are_found_by_name() -> None:
    assert FULL.value("v").unit == "s"
    with pytest.raises(KeyError, match="there are"):
        FULL.value("zz")


# --- JSON ------------------------------------------------------------------------------------


def same(one: Result, other: Result) -> None:
    pd.testing.assert_frame_equal(one.table, other.table)
    empty = pd.DataFrame()
    assert replace(one, table=empty).to_dict() == replace(other, table=empty).to_dict()
    assert type(one) is type(other)
    for name in ("values", "warnings", "set_aside", "status", "details", "options", "seed"):
        assert getattr(one, name) == getattr(other, name)


@pytest.mark.parametrize(
    "table", [TABLE, TABLE.head(0), pd.DataFrame({"a": pd.Series([], dtype=int)})]
)
def test_json_round_trip_is_exact(table: pd.DataFrame) -> None:
    result = replace(FULL, table=table)
    text = result.to_json()
    same(result, Result.from_json(text))
    assert Result.from_json(text).to_json() == text
    json.loads(text, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))


def test_an_empty_table_without_columns_survives() -> None:
    assert Result.from_json(Result(headline="h", table=pd.DataFrame()).to_json()).table.empty


@given(st.lists(st.floats(), max_size=5), st.lists(st.text(), min_size=1, max_size=3))
def test_any_number_and_text_survives(numbers: list[float], words: list[str]) -> None:
    result = Result(headline=words[0], table=pd.DataFrame({"x": pd.Series(numbers, dtype=float)}))
    same(result, Result.from_json(result.to_json()))


def test_missing_whole_numbers_survive_as_values() -> None:
    table = pd.DataFrame({"n": pd.array([1, None], dtype="Int64")})
    again = Result.from_json(Result(headline="h", table=table).to_json()).table
    assert again["n"].tolist() == [1, None]


@pytest.mark.parametrize("odd", [object(), {1, 2}, 1j, pd.Timestamp("2024-01-01"), b"x"])
def test_what_json_cannot_hold_is_refused(odd: Any) -> None:
    with pytest.raises(TypeError, match="a result cannot hold"):
        Result(headline="h", table=TABLE, details={"x": odd}).to_json()


@pytest.mark.parametrize(
    "kind",
    ["", "os:system", "statlas.core.results:Value", "statlas.core.results:nothing",
     "statlas.nowhere:Result", "statlas.core.results:Path", "statlasevil:Result", None],
)  # fmt: skip
def test_foreign_types_are_refused(kind: Any) -> None:
    with pytest.raises(ValueError, match="not a saved statlas result"):
        Result.from_dict(FULL.to_dict() | {"type": kind})


def test_a_result_is_not_read_as_another_recipes_type(comparison: Any) -> None:
    with pytest.raises(ValueError, match="not a saved statlas result"):
        type(comparison).from_dict(FULL.to_dict())
    same(comparison, Result.from_json(comparison.to_json()))


# --- HTML ------------------------------------------------------------------------------------

HOSTILE = "<script>alert(1)</script><img src=x onerror='alert(2)'>\"&"


def test_hostile_text_is_shown_as_text() -> None:
    data = pd.DataFrame({HOSTILE: [1, 0, 1], "b": [0, 1, 1], "q": [HOSTILE, "r", "s"]})
    result = compare_scores(data, question="q")
    table = pd.DataFrame({HOSTILE: [HOSTILE]})
    result = replace(
        result,
        headline=HOSTILE,
        table=table,
        source=HOSTILE,
        paper=HOSTILE,
        options={**result.options, HOSTILE: HOSTILE},
        columns={"question": HOSTILE},
        warnings=(Notice("c", HOSTILE, HOSTILE),),
        set_aside=(SetAside(HOSTILE, 1),),
        status=Status.ASSUMPTION_DOUBTFUL,
        advice=HOSTILE,
    )
    for page in (result.to_html(), result._repr_html_()):
        assert "<script" not in page.lower()
        assert "<img" not in page.lower()
        assert HOSTILE in unescape(page)


def test_a_page_asks_for_nothing_from_outside(comparison: Any) -> None:
    page = comparison.to_html()
    assert "<svg" in page
    for pattern in (r"""(?:src|href)\s*=\s*["'](?!#)""", r"""url\((?!["']?#)""", "@import"):
        assert not re.search(pattern, page), pattern
    assert "<script" not in page
    assert "@article" in page or "@misc" in page


def test_long_tables_are_cut_in_the_page_and_it_says_so(comparison: Any) -> None:
    page = replace(comparison, table=pd.DataFrame({"a": range(600)})).to_html()
    assert "100 further rows" in page


@pytest.mark.parametrize(
    ("cell", "text"),
    [(None, "–"), (np.nan, "–"), (pd.NA, "–"), (True, "yes"), (1 / 3, "0.3333"), (7, "7")],
)
def test_cells(cell: Any, text: str) -> None:
    assert format_cell(cell) == text


# --- figures ---------------------------------------------------------------------------------


def test_the_figure_of_a_saved_result_is_the_same(comparison: Any) -> None:
    again = Result.from_json(comparison.to_json())
    for kind in ("svg", "png"):
        assert figure_bytes(again.plot(), kind) == figure_bytes(comparison.plot(), kind)


def test_figures_are_written_by_suffix(comparison: Any, tmp_path: Path) -> None:
    for name, start in (("a.png", b"\x89PNG"), ("a.PDF", b"%PDF"), ("a.svg", b"<?xml")):
        comparison.save_figure(tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(start)
    with pytest.raises(InputError, match="svg, png or pdf; got 'gif'"):
        comparison.save_figure(tmp_path / "a.gif")
    assert not (tmp_path / "a.gif").exists()


def test_a_result_without_figure_says_so() -> None:
    with pytest.raises(TypeError, match="has no figure"):
        FULL.plot()


def test_labels_with_dollar_signs_are_drawn_as_they_are() -> None:
    with house_style():
        figure = new_figure()
        figure.subplots().set_title(plain_label(r"cost $\frac$ per run"))
    assert r"cost $\frac$ per run" in figure_bytes(figure, "svg").decode()


# --- files -----------------------------------------------------------------------------------


def test_files_are_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "f.txt"
    write_whole(path, b"old")
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"
    assert [file.name for file in tmp_path.iterdir()] == ["f.txt"]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    path = tmp_path / "f.txt"
    path.write_bytes(b"old")

    def fail(_: int) -> None:
        raise error

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises((InputError, KeyboardInterrupt)) as raised:
        write_whole(path, b"new")
    assert isinstance(raised.value, KeyboardInterrupt) or "No space" in str(raised.value)
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["f.txt"]


def test_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "none" / "f", tmp_path / "file" / "f", tmp_path):
        with pytest.raises(InputError, match="cannot write"):
            write_whole(path, b"x")
    with pytest.raises(InputError, match="cannot write"):
        FULL.to_json(tmp_path / "none" / "f.json")
