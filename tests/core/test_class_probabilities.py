"""Columns of class probabilities and the labels they belong to."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from statlas.core import Category, Features, InputError, Roles
from statlas.core.class_probabilities import ClassProbabilities, read_class_probabilities
from statlas.core.tables import build_table

ROLES = Roles(label=Category(), probabilities=Features())


def read(**columns: list[object]) -> ClassProbabilities:
    return read_class_probabilities(build_table(pd.DataFrame(columns), ROLES, {}))


@pytest.mark.parametrize("prefix", ["", "p_", "prob "])
def test_columns_are_matched_by_name_and_not_by_place(prefix):
    columns = {f"{prefix}dog": [0.2, 0.9], f"{prefix}cat": [0.8, 0.1]}
    found = read(label=["cat", "dog"], **columns)
    assert found.classes == ["dog", "cat"]
    np.testing.assert_array_equal(found.label, [1, 0])
    np.testing.assert_array_equal(found.probabilities[:, 0], [0.2, 0.9])


def test_classes_that_begin_alike_are_found():
    found = read(label=["cow", "cat"], cow=[0.6, 0.3], cat=[0.4, 0.7])
    np.testing.assert_array_equal(found.label, [0, 1])


def test_numbers_can_be_classes_and_a_class_may_be_absent():
    found = read(label=[2, 0], p_0=[0.1, 0.8], p_1=[0.2, 0.1], p_2=[0.7, 0.1])
    np.testing.assert_array_equal(found.label, [2, 0])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"p_a": [0.5, 1.2], "p_b": [0.5, -0.2]}, "1 values are no probabilities, such as 1.2"),
        ({"p_a": [0.5, 0.5], "p_b": [0.5, 0.2]}, "1 rows do not add up to 1, but to 0.7 in row 2"),
        ({"p_a": [0.5, 0.5], "p_c": [0.5, 0.5]}, "no column of probabilities is named .* 'b'"),
        ({"p_a": [1.0, 1.0]}, "need a column a class; found 1: p_a"),
    ],
)
def test_what_is_wrong_is_named(columns, message):
    with pytest.raises(InputError, match=message):
        read(label=["a", "b"], **columns)
