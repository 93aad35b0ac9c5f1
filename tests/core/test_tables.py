"""Tables: each kind of bad table gets a clear error, each good one the right answer."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from statlas.core.errors import InputError
from statlas.core.results import SetAside
from statlas.core.roles import Category, Features, Number, Roles, Wide
from statlas.core.tables import build_table

SCORE = Roles(score=Number(help="the score", aliases=("acc",)))
GROUPED = Roles(score=Number(), group=Category(optional=True, aliases=("cluster",)))
LABELS = Roles(label=Category())
LONG_OR_WIDE = Roles(
    model=Category(),
    question=Category(aliases=("item",)),
    score=Number(ge=0),
    topic=Category(optional=True),
    wide=Wide(rows="question", columns="model", values="score"),
)


def numbers(data: Any, roles: Roles = SCORE, **choices: Any) -> list[float]:
    return build_table(data, roles, **choices).number("score").tolist()


# --- bad tables ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "roles", "message"),
    [
        ({}, SCORE, "no rows"),
        (pd.DataFrame(), SCORE, "no rows"),
        ({"score": []}, SCORE, "no rows"),
        ({"score": [1.0]}, Roles(score=Number(), min_rows=2), "at least 2 usable rows.*found 1"),
        ({"score": [2, 2, 2]}, Roles(score=Number(varies=True)), "'score': all 3 values are 2"),
        ({"score": [1, None, np.nan]}, SCORE, r"'score': 2 of 3 .* missing \(first in row 2\)"),
        ({"score": [1, 2, np.inf, -np.inf]}, SCORE, "finite; 2 of 4 .*inf in usable row 3"),
        ({"score": [1, "2", "x"]}, SCORE, r"'score': must hold numbers; .*'x' \(row 3\)"),
        ({"score": ["1", "2"]}, SCORE, "numbers stored as text such as '1'"),
        ({"score": [1 + 2j]}, SCORE, "must hold numbers"),
        ({"score": [datetime.datetime(2024, 1, 1)]}, SCORE, "found dates"),
        ({"score": [pd.Timedelta(1)]}, SCORE, "must hold numbers"),
        ({"score": [[1], [2]]}, SCORE, r"a list \(row 1\)"),
        ({"score": [-1, 0]}, Roles(score=Number(ge=0)), "at least 0; 1 of 2 .*-1 in usable row 1"),
        ({"score": [0, 1]}, Roles(score=Number(gt=0)), "above 0; 1 of 2"),
        ({"score": [0, 3]}, Roles(score=Number(le=2)), "at most 2; 1 of 2"),
        ({"score": [0, 2]}, Roles(score=Number(lt=2)), "below 2; 1 of 2"),
        ({"score": [1, 1.5]}, Roles(score=Number(integer=True)), "whole numbers; 1 of 2"),
        ({"scroe": [1]}, SCORE, "no column was found for the role 'score' .the score.*'scroe'"),
        ({"label": [1.5]}, LABELS, "labels or whole numbers"),
        ({"label": [1e300]}, LABELS, r"at most 2\*\*53"),
        ({"label": [[1]]}, LABELS, "lists or mappings"),
        ({"label": [1, "1"]}, LABELS, "differ in type only"),
        ({"label": ["a", "a"]}, Roles(label=Category(min_levels=2)), "at least 2 .*found 1 .'a'"),
        ({"a": [1], "b": [1, 2]}, SCORE, "do not form a table"),
        ({"a": {1, 2}}, SCORE, "do not form a table"),
        ({1: [1]}, SCORE, "column names must be text; got 1"),
        (pd.DataFrame([[1, 2]], columns=["score", "score"]), SCORE, "'score': two columns"),
        (pd.Series([1]), SCORE, "a table is needed; got Series"),
        (np.ones((2, 2)), SCORE, "a table is needed; got ndarray"),
        (3, SCORE, "a table is needed; got int"),
    ],
)
def test_bad_tables_are_refused(data: Any, roles: Roles, message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_table(data, roles)


def test_a_file_with_a_header_only_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.csv"
    path.write_text("score,group\n")
    with pytest.raises(InputError, match="row"):
        build_table(path, SCORE)


def test_unknown_columns_get_suggestions_and_a_list() -> None:
    with pytest.raises(
        InputError, match=r"'acuracy'.*has 'accuracy', 'n'; did you mean 'accuracy'"
    ):
        build_table({"accuracy": [1], "n": [2]}, SCORE, {"score": "acuracy"})
    many = {f"c{i}": [1] for i in range(20)}
    with pytest.raises(InputError, match="and 8 more"):
        build_table(many, SCORE)


def test_the_remedy_names_the_flag_as_the_command_line_spells_it() -> None:
    with pytest.raises(InputError, match="--run-number COLUMN"):
        build_table({"a": [1]}, Roles(run_number=Number()))


def test_one_column_cannot_play_two_roles() -> None:
    with pytest.raises(InputError, match="'a': is used for both 'score' and 'group'"):
        build_table({"a": [1]}, GROUPED, {"score": "a", "group": "a"})


def test_missing_values_are_dropped_and_counted_once() -> None:
    data = {"score": [1, None, 3, None], "group": ["a", None, None, "b"], "other": [None] * 4}
    table = build_table(data, GROUPED, missing="drop")
    assert (table.n_read, table.n_rows) == (4, 1)
    assert table.set_aside == (
        SetAside("missing value in column 'score'", 2),
        SetAside("missing value in column 'group'", 1),
    )
    assert table.number("score").tolist() == [1]
    assert table.factor("group").levels == ["a"]
    with pytest.raises(InputError, match=r"found 0 \(2 were set aside\)"):
        build_table({"score": [None, np.nan]}, SCORE, missing="drop")


# --- good tables -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "convert",
    [
        dict,
        pd.DataFrame,
        pl.DataFrame,
        pl.LazyFrame,
        pa.table,
        lambda d: pd.DataFrame(d, index=[5, 5, 5]),
        lambda d: pd.DataFrame(d).convert_dtypes(),
        lambda d: pd.DataFrame(d).convert_dtypes(dtype_backend="pyarrow"),
    ],
    ids=["dict", "pandas", "polars", "lazy", "arrow", "index", "nullable", "pyarrow-backed"],
)
def test_every_kind_of_frame_reads_alike(convert: Any) -> None:
    data = convert({"score": [1.5, 2.5, -1.0], "group": ["b", "a", "b"]})
    table = build_table(data, GROUPED)
    assert table.number("score").tolist() == [1.5, 2.5, -1.0]
    assert table.number("score").dtype == np.float64
    assert table.factor("group").codes.tolist() == [0, 1, 0]
    assert table.factor("group").codes.dtype == np.int64
    assert table.factor("group").levels == ["b", "a"]
    assert table.factor("group").n_levels == 2


@pytest.mark.parametrize(
    "convert", [pl.DataFrame, pa.table, lambda d: pd.DataFrame(d, dtype="Int64")]
)
def test_missing_values_of_every_kind_of_frame_are_seen(convert: Any) -> None:
    data = convert({"score": [1, None, 3]})
    with pytest.raises(InputError, match=r"1 of 3 values are missing .first in row 2"):
        build_table(data, SCORE)
    assert numbers(data, missing="drop") == [1, 3]


def test_a_file_reads_as_its_frame(tmp_path: Path) -> None:
    frame = pd.DataFrame({"score": [0.5, 1.0], "größe": [1, 2]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    table = build_table(str(tmp_path / "t.csv"), SCORE)
    assert table.source == "t.csv"
    assert table.number("score").tolist() == [0.5, 1.0]
    assert numbers(tmp_path / "t.csv", SCORE, columns={"score": "größe"}) == [1, 2]


@pytest.mark.parametrize(
    "kind", [bool, "boolean", np.int8, np.uint64, np.float32, "Int64", "Float64"]
)
def test_numbers_of_every_type(kind: Any) -> None:
    assert numbers(pd.DataFrame({"score": pd.Series([0, 1, 1], dtype=kind)})) == [0, 1, 1]


@pytest.mark.parametrize(
    ("values", "levels", "codes"),
    [
        ([3, 1, 3], ["3", "1"], [0, 1, 0]),
        ([3.0, 1.0, 3.0], ["3", "1"], [0, 1, 0]),
        ([True, False, True], ["True", "False"], [0, 1, 0]),
        (pd.Categorical(["x", "y", "x"], ["z", "y", "x"]), ["x", "y"], [0, 1, 0]),
        (["ä", "日本", "ä"], ["ä", "日本"], [0, 1, 0]),
    ],
)
def test_categories_of_every_type(values: Any, levels: list[str], codes: list[int]) -> None:
    factor = build_table({"label": values}, LABELS).factor("label")
    assert (factor.levels, factor.codes.tolist()) == (levels, codes)


def test_categories_stored_as_floats_because_one_is_missing() -> None:
    table = build_table({"label": [2, None, 1]}, LABELS, missing="drop")
    assert table.factor("label").levels == ["2", "1"]


@pytest.mark.parametrize("name", ["score", "SCORE", " Score ", "acc", "ACC"])
def test_roles_are_recognised_by_name_and_alias(name: str) -> None:
    table = build_table({"x": [0], name: [1]}, SCORE)
    assert table.columns == {"score": name}


def test_exact_names_win_over_similar_ones_and_names_over_aliases() -> None:
    assert numbers({"Score": [1], "score": [2], "acc": [3]}) == [2]
    assert numbers({"acc": [3], "Score": [1]}) == [1]
    assert numbers({"acc": [3], "score": [1]}, columns={"score": "acc"}) == [3]


def test_optional_roles_may_be_absent_and_aliases_are_not_used_twice() -> None:
    assert not build_table({"score": [1]}, GROUPED).has("group")
    both = Roles(a=Number(aliases=("x",)), b=Number(optional=True, aliases=("x",)))
    table = build_table({"x": [1]}, both)
    assert table.columns == {"a": "x"}


def test_the_input_is_neither_written_to_nor_handed_out() -> None:
    frame = pd.DataFrame({"score": [1.0, np.nan, 3.0], "x": [1.0, 2.0, 3.0]})
    before = frame.copy(deep=True)
    for roles in (Roles(score=Number()), Roles(score=Number(), features=Features())):
        table = build_table(frame, roles, missing="drop")
        table.number("score")[:] = 7
        for matrix in table.matrices.values():
            matrix[:] = 7
    table = build_table(frame, Roles(x=Number()))
    table.number("x")[:] = 7
    pd.testing.assert_frame_equal(frame, before)
    mine = {"score": np.array([1.0, 2.0])}
    build_table(mine, SCORE).number("score")[:] = 7
    assert mine["score"].tolist() == [1, 2]


# --- features --------------------------------------------------------------------------------

FEATURES = Roles(target=Number(), features=Features(minimum=2))


def test_features_are_the_other_columns_or_those_listed() -> None:
    data = {"a": [1, 2], "target": [0, 1], "b": [True, False], "c": [0.5, 0.25]}
    X, names = build_table(data, FEATURES).features()
    assert names == ["a", "b", "c"]
    assert X.tolist() == [[1, 1, 0.5], [2, 0, 0.25]]
    for listed in (["c", "a"], "c, a"):
        X, names = build_table(data, FEATURES, {"features": listed}).features()
        assert names == ["c", "a"]
        assert X.tolist() == [[0.5, 1], [0.25, 2]]
    one = Roles(features=Features())
    assert build_table({"a": [1]}, one).features()[1] == ["a"]


def test_bad_features_are_refused() -> None:
    with pytest.raises(InputError, match=r"'b': holds text such as 'u' \(row 1\).*features=a,c"):
        build_table({"a": [1], "target": [0], "b": ["u"], "c": [2]}, FEATURES)
    with pytest.raises(InputError, match=r"at least 2 numeric .*found 1"):
        build_table({"a": [1], "target": [0]}, FEATURES)
    with pytest.raises(InputError, match="'a': 1 of 2 values are missing"):
        build_table({"a": [1, None], "target": [0, 1], "b": [1, 2]}, FEATURES)
    with pytest.raises(InputError, match=r"'zz'.*no such column"):
        build_table({"a": [1], "target": [0]}, FEATURES, {"features": "a,zz"})


def test_optional_features_may_be_absent() -> None:
    table = build_table({"target": [1]}, Roles(target=Number(), z=Features(optional=True)))
    assert not table.has("z")


# --- wide and long ---------------------------------------------------------------------------

LONG = {"model": ["m", "m", "k", "k"], "question": [1, 2, 1, 2], "score": [1, 0, 0.5, 0]}
WIDE = {"question": [1, 2], "m": [1, 0], "k": [0.5, 0]}


def cells(data: Any, **choices: Any) -> dict[tuple[str, str], float]:
    table = build_table(data, LONG_OR_WIDE, **choices)
    model, question = table.factor("model"), table.factor("question")
    pairs = zip(model.codes, question.codes, strict=True)
    names = [(model.levels[m], question.levels[q]) for m, q in pairs]
    return dict(zip(names, table.number("score").tolist(), strict=True))


def test_wide_and_long_hold_the_same_cells() -> None:
    assert cells(LONG) == cells(WIDE) == cells(WIDE, layout="wide") == cells(LONG, layout="long")


def test_wide_rows_are_numbered_where_they_have_no_name() -> None:
    assert cells({"m": [1, 0]}) == {("m", "1"): 1, ("m", "2"): 0}


def test_a_wide_table_says_so_and_keeps_the_names_of_its_columns() -> None:
    data = {"item": [1, 2], "subject": ["x", "y"], "m": [1, 0], "k": [True, False]}
    table = build_table(data, LONG_OR_WIDE, {"topic": "subject"})
    assert [notice.code for notice in table.notices] == ["wide-table"]
    assert table.columns == {
        "model": "model", "question": "item", "score": "score", "topic": "subject"
    }  # fmt: skip
    assert table.factor("topic").levels == ["x", "y"]
    assert build_table(LONG, LONG_OR_WIDE).notices == ()


def test_layout_forces_a_reading() -> None:
    with pytest.raises(InputError, match="no column was found for the role 'model'"):
        build_table(WIDE, LONG_OR_WIDE, layout="long")
    # Two models that happen to be called `score` and `model` cannot be told from a long table.
    odd = {"question": [1, 2], "score": [1, 0], "model": [0.5, 0]}
    assert cells(odd, layout="wide")[("score", "1")] == 1
    with pytest.raises(InputError, match="'m': is named as the 'score' of a long table"):
        build_table(WIDE, LONG_OR_WIDE, {"score": "m"}, layout="wide")


def test_naming_a_score_column_makes_a_table_long() -> None:
    with pytest.raises(InputError, match="role 'model'"):
        build_table(WIDE, LONG_OR_WIDE, {"score": "m"})


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([1, None], "'k': 1 of 2 values are missing .first in row 2"),
        ([1, np.inf], "'k': values must be finite; .* row 2"),
        ([1, -2], "'k': values must be at least 0; .* row 2"),
        (["u", "v"], "'k': the table was read as wide .* text such as 'u'"),
    ],
)
def test_errors_in_a_wide_table_name_the_users_column(column: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build_table(WIDE | {"k": column}, LONG_OR_WIDE)


def test_listed_columns_are_those_of_a_wide_table_that_count() -> None:
    data = WIDE | {"date": ["u", "v"], "rank": [7, 8]}
    levels = [name for name in WIDE if name != "question"]
    for listed in (levels, ",".join(levels)):
        assert cells(data, columns={"score": listed}) == cells(WIDE)
    with pytest.raises(InputError, match="a second column for the role 'score'"):
        build_table(data, LONG_OR_WIDE, {"score": levels}, layout="long")
    with pytest.raises(InputError, match="list those that count: score=COLUMN"):
        build_table(data, LONG_OR_WIDE)
    with pytest.raises(InputError, match="'no': there is no such column"):
        build_table(data, LONG_OR_WIDE, {"score": [levels[0], "no"]})


def test_gaps_that_the_method_fills_are_kept() -> None:
    roles = Roles(size=Number(gt=0), tokens=Number(gt=0, gaps=True, integer=True))
    data = {"size": [1.0, 2.0, None], "tokens": [None, 3.0, 4.0]}
    with pytest.raises(InputError, match=r"'tokens': 1 of 3 values .*leave them to the method"):
        build_table(data | {"size": [1, 2, 3]}, roles)
    table = build_table(data, roles, missing="drop")
    np.testing.assert_array_equal(table.number("tokens"), [np.nan, 3.0])
    assert [(item.rows, "'size'" in item.reason) for item in table.set_aside] == [(1, True)]
    for wrong, rule in ((np.inf, "finite"), (-1.0, "above 0"), (2.5, "whole")):
        with pytest.raises(InputError, match=f"'tokens': values must be {rule}"):
            build_table(data | {"tokens": [None, wrong, 4.0]}, roles, missing="drop")


def test_missing_cells_of_a_wide_table_are_dropped_one_by_one() -> None:
    for kind in ("float64", "Float64"):
        frame = pd.DataFrame(WIDE | {"k": pd.Series([None, 0], dtype=kind)})
        table = build_table(frame, LONG_OR_WIDE, missing="drop")
        assert (table.n_read, table.n_rows) == (4, 3)


def test_a_wide_table_without_levels_is_refused() -> None:
    with pytest.raises(InputError, match=r"no column holds a score.*--score COLUMN"):
        build_table({"question": [1]}, LONG_OR_WIDE)


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
cell = st.floats(allow_nan=False, allow_infinity=False, width=32)


@given(st.dictionaries(names, st.lists(cell, min_size=3, max_size=3), min_size=1, max_size=4))
def test_any_column_name_works(data: dict[str, list[float]]) -> None:
    chosen = list(data)[-1]
    table = build_table(data, Roles(y=Number()), {"y": chosen})
    assert table.number("y").tolist() == data[chosen]
    assert table.columns == {"y": chosen}
