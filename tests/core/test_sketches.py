"""Sketches: linear maps equal to their matrices, orthogonal where they say so, unbiased."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from scipy.linalg import hadamard
from scipy.sparse.linalg import LinearOperator

from statlas.core import InputError
from statlas.core.numerics.sketches import SketchKind, make_sketch, walsh_hadamard

KINDS = get_args(SketchKind)


def matrix_of(sketch: LinearOperator) -> np.ndarray:
    return sketch @ np.eye(sketch.shape[1])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (3, 5), (7, 64), (30, 2500)])
def test_sketch_is_one_linear_map_with_its_transpose(kind, rows, columns):
    rng = np.random.default_rng(0)
    sketch = make_sketch(kind, rows, columns, rng=1)
    matrix = matrix_of(sketch)
    x, z = rng.standard_normal((columns, 3)), rng.standard_normal((rows, 2))
    np.testing.assert_allclose(sketch @ x, matrix @ x, atol=1e-10)
    np.testing.assert_allclose(sketch @ x[:, 0], matrix @ x[:, 0], atol=1e-10)
    np.testing.assert_allclose(sketch.T @ z, matrix.T @ z, atol=1e-10)


@pytest.mark.parametrize("kind", ["haar", "srht", "srdct"])
def test_rows_are_orthogonal(kind):
    rows, columns = 20, 64  # a power of two, so that the SRHT is not padded
    matrix = matrix_of(make_sketch(kind, rows, columns, rng=2))
    np.testing.assert_allclose(matrix @ matrix.T, columns / rows * np.eye(rows), atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_mean_of_sts_is_the_identity(kind):
    """An entry of the mean has a standard deviation of at most 0.013; the bound is nine of them."""
    rng = np.random.default_rng(3)
    matrices = [matrix_of(make_sketch(kind, 6, 12, rng=rng)) for _ in range(2000)]
    mean = np.mean([matrix.T @ matrix for matrix in matrices], axis=0)
    np.testing.assert_allclose(mean, np.eye(12), atol=0.12)


def test_count_sketch_puts_each_column_in_one_row():
    matrix = matrix_of(make_sketch("count", 5, 40, rng=4))
    assert np.all(np.count_nonzero(matrix, axis=0) == 1)
    assert set(np.abs(matrix[matrix != 0])) == {1.0}


def test_gaussian_entries_have_their_variance():
    """10,000 entries: the mean square has a relative standard error of 0.014, the bound is 5."""
    matrix = matrix_of(make_sketch("gaussian", 50, 200, rng=5))
    assert np.mean(matrix**2) * 50 == pytest.approx(1, abs=0.07)


@pytest.mark.parametrize("n", [1, 2, 8, 64])
def test_walsh_hadamard_equals_scipys_matrix(n):
    x = np.random.default_rng(6).standard_normal((n, 3))
    before = x.copy()
    np.testing.assert_allclose(walsh_hadamard(x), hadamard(n) @ x / np.sqrt(n), atol=1e-12)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("kind", KINDS)
def test_same_seed_same_sketch(kind):
    first, again = (matrix_of(make_sketch(kind, 4, 9, rng=7)) for _ in range(2))
    other = matrix_of(make_sketch(kind, 4, 9, rng=8))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_impossible_sketches_are_refused():
    with pytest.raises(InputError, match="sketches are gaussian"):
        make_sketch("sparse", 2, 3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="5 rows and 3 columns"):
        make_sketch("srdct", 5, 3)
    with pytest.raises(InputError, match="power of two"):
        walsh_hadamard(np.zeros(3))
