"""Learning curves from tables: what tells them apart, repeats, spreads and what is set aside."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from statlas.core import InputError, Roles
from statlas.core.learning_curves import (
    CLASSES,
    DATASET,
    ERROR,
    EXAMPLES,
    MODEL,
    REPEAT,
    SCORE,
    STANDARD_ERROR,
    LearningCurves,
    read_learning_curves,
    recorded_curves,
)
from statlas.core.roles import Number
from statlas.core.tables import build_table

ROLES = Roles(
    examples=EXAMPLES, error=ERROR, score=SCORE, model=MODEL, dataset=DATASET, classes=CLASSES,
    standard_error=STANDARD_ERROR, repeat=REPEAT,
    parameters=Number(ge=0, optional=True, gaps=True),
)  # fmt: skip


def curves_of(columns: dict[str, list[object]], **options: object) -> LearningCurves:
    return read_learning_curves(build_table(pd.DataFrame(columns), ROLES, {}), **options)  # type: ignore[arg-type]


def test_rows_of_one_size_are_averaged_with_their_standard_error():
    # Mean and standard error of 0.2, 0.4: 0.3 and sqrt(0.02 / 2) = 0.1.
    read = curves_of({"n": [10, 10, 20], "error": [0.2, 0.4, 0.1], "seed": [1, 2, 1]})
    (curve,) = read.curves
    np.testing.assert_allclose(curve.n, [10, 20])
    np.testing.assert_allclose(curve.error, [0.3, 0.1])
    np.testing.assert_allclose(curve.standard_error, [0.1, np.nan])
    assert [notice.code for notice in read.notices] == ["repeats-averaged"]


def test_curves_are_told_apart_and_sorted_by_size():
    read = curves_of(
        {"model": ["a", "b", "a", "b"], "n_train": [20, 5, 10, 10], "loss": [1.0, 4, 2, 3]}
    )
    assert [curve.name for curve in read] == ["a", "b"]
    np.testing.assert_allclose(read.named("a").n, [10, 20])
    np.testing.assert_allclose(read.named("a").error, [2, 1])
    assert read.unit == "loss"
    with pytest.raises(InputError, match="no curve is named 'c'; there are 'a', 'b'"):
        read.named("c")


def test_scores_become_errors_by_the_perfect_score():
    read = curves_of({"n": [1, 2], "accuracy": [60.0, 90.0]}, perfect=100.0)
    np.testing.assert_allclose(read.curves[0].error, [40, 10])
    with pytest.raises(InputError, match=r"2 of 2 scores lie above.*column|column 'accuracy'"):
        curves_of({"n": [1, 2], "accuracy": [60.0, 90.0]})


def test_errors_of_zero_are_set_aside_and_counted():
    read = curves_of({"n": [1, 2, 2], "error": [0.5, 0.0, 0.0]})
    assert [(item.reason, item.rows) for item in read.set_aside] == [
        ("an error of 0 has no logarithm", 2)
    ]
    with pytest.raises(InputError, match="all 2 values are 0, and it must vary"):
        curves_of({"n": [1, 2], "error": [0.0, 0.0]})


def test_neither_error_nor_score_is_refused():
    with pytest.raises(InputError, match="neither a column of errors nor one of scores"):
        curves_of({"n": [1, 2], "height": [1.0, 2.0]})


def test_spread_of_one_known_size_serves_the_others():
    # One standard error of 10 % from 4 repeats: 20 % of a single one, so 0.2 / sqrt(2) of two.
    read = curves_of({"n": [1, 2], "error": [0.5, 0.25], "se": [0.05, 0.025]})
    np.testing.assert_allclose(read.curves[0].spread, [0.1, 0.1])
    alone = curves_of({"n": [1, 2, 4], "error": [0.5, 0.4, 0.3]})
    assert np.isnan(alone.curves[0].spread).all()


def test_numbers_can_tell_curves_apart():
    read = read_learning_curves(
        build_table(
            pd.DataFrame({"n": [1, 1, 1], "error": [1.0, 2, 3], "parameters": [8, 64, 0]}),
            ROLES,
            {},
        ),
        by=("model", "parameters"),
    )
    assert {curve.labels["parameters"]: curve.error[0] for curve in read} == {
        "8": 1.0, "64": 2.0, "": 3.0
    }  # fmt: skip


def test_part_of_a_curve():
    (curve,) = curves_of({"n": [1, 2, 4, 8], "error": [4.0, 3, 2, 1]}).curves
    np.testing.assert_allclose(curve.between(2, 4).error, [3, 2])


def test_recorded_curves_are_many_and_fall():
    curves = recorded_curves()
    assert len(curves) > 300
    assert len({curve.labels["dataset"] for curve in curves}) >= 15
    assert all((np.diff(curve.n) > 0).all() and (curve.error > 0).all() for curve in curves)
    falls = [curve.error[-1] < curve.error[0] for curve in curves if len(curve) > 4]
    assert np.mean(falls) > 0.9
    assert len({curve.name for curve in curves}) == len(curves)
