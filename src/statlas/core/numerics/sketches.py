"""Random sketches: linear maps that shorten long columns and keep their geometry on average.

    S = make_sketch("srht", 500, 20_000, rng=0)      # a scipy LinearOperator, shape (500, 20_000)
    S @ X                                            # (20_000, p) -> (500, p): fewer rows
    (S @ X.T).T                                      # (n, 20_000) -> (n, 500): fewer columns
    S.T @ Z                                          # back again

Every sketch S of m rows and n columns is scaled so that E[S' S] is the identity. Haar and SRDCT
sketches have orthogonal rows besides, S S' = (n / m) I, and so has the SRHT where n is a power of
two; otherwise columns are padded for it and its rows are orthogonal only nearly. None but the Haar
sketch stores a matrix of m times n numbers.

======== ====================================================== =====================
kind     what it is                                             time for one column
======== ====================================================== =====================
gaussian independent normal entries of variance 1 / m           m n, made anew by blocks
haar     the first m rows of a random rotation                  m n, after m^2 n once
srht     random signs, Walsh-Hadamard transform, m of the rows  n log n
srdct    random signs, discrete cosine transform, m of the rows n log n
count    each column of X lands, with a sign, in one of m rows  n
======== ====================================================== =====================

References: Halko, Martinsson and Tropp (2011, SIAM Review 53:217) and Woodruff (2014, Foundations
and Trends in Theoretical Computer Science 10:1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse
from scipy.fft import dct, idct
from scipy.sparse.linalg import LinearOperator

from statlas.core.errors import InputError

FloatArray = NDArray[np.float64]
SketchKind = Literal["gaussian", "haar", "srht", "srdct", "count"]
Map = Callable[[FloatArray], FloatArray]

_BLOCK = 1024  # columns of a Gaussian sketch that exist at a time


def make_sketch(
    kind: SketchKind, n_rows: int, n_columns: int, rng: int | np.random.Generator = 0
) -> LinearOperator:
    """Draw a sketch of shape (n_rows, n_columns) as a linear operator.

    Parameters
    ----------
    kind
        One of the kinds above.
    n_rows
        Length after sketching, at least 1; at most the length before, but for ``gaussian`` and
        ``count``.
    n_columns
        Length before sketching, at least 1.
    rng
        Seed or generator; the drawn sketch stays the same however often it is applied.

    Raises
    ------
    InputError
        For an unknown kind or impossible lengths.

    Examples
    --------
    >>> S = make_sketch("srdct", 3, 4, rng=0)
    >>> print(np.round(S @ S.T @ np.eye(3), 6).diagonal())
    [1.333333 1.333333 1.333333]
    """
    if kind not in get_args(SketchKind):
        raise InputError(f"sketches are {', '.join(get_args(SketchKind))}; got {kind!r}")
    longest = n_columns if kind in ("haar", "srht", "srdct") else np.inf
    if n_columns < 1 or not 1 <= n_rows <= longest:
        raise InputError(
            f"a {kind} sketch of {n_rows} rows and {n_columns} columns cannot be",
            remedy="take between 1 row and as many as there are columns",
        )
    generator = np.random.default_rng(rng)
    if kind == "gaussian":
        return _gaussian(n_rows, n_columns, generator)
    if kind in ("srht", "srdct"):
        return _transformed(kind, n_rows, n_columns, generator)
    matrix = _haar if kind == "haar" else _count
    stored = matrix(n_rows, n_columns, generator)
    return _operator((n_rows, n_columns), lambda x: stored @ x, lambda z: stored.T @ z)


def walsh_hadamard(values: ArrayLike) -> FloatArray:
    """Orthonormal Walsh-Hadamard transform along the first axis, in n log2(n) additions.

    Parameters
    ----------
    values
        Shape (n, ...), with n a power of two; not written to.

    Returns
    -------
    ndarray
        H values / sqrt(n), with H of entries 1 and -1 in natural (Sylvester's) order.

    Raises
    ------
    InputError
        If n is not a power of two.

    Examples
    --------
    >>> print(walsh_hadamard([1.0, 0.0, 0.0, 0.0]))
    [0.5 0.5 0.5 0.5]
    """
    turned = np.array(values, dtype=float)
    n = len(turned)
    if n < 1 or n & (n - 1):
        raise InputError(f"the transform needs a power of two; got length {n}")
    tail = turned.shape[1:]
    spare = np.empty_like(turned)
    half = 1
    while half < n:
        pairs = turned.reshape(n // (2 * half), 2, half, *tail)
        out = spare.reshape(pairs.shape)
        np.add(pairs[:, 0], pairs[:, 1], out=out[:, 0])
        np.subtract(pairs[:, 0], pairs[:, 1], out=out[:, 1])
        turned, spare = spare, turned
        half *= 2
    return np.asarray(turned / np.sqrt(n))


def _operator(shape: tuple[int, int], forward: Map, backward: Map) -> LinearOperator:
    return LinearOperator(
        shape,
        matvec=lambda x: forward(x.reshape(-1, 1)).ravel(),
        rmatvec=lambda z: backward(z.reshape(-1, 1)).ravel(),
        matmat=forward,
        rmatmat=backward,
        dtype=np.float64,
    )


def _gaussian(n_rows: int, n_columns: int, rng: np.random.Generator) -> LinearOperator:
    """Entries are drawn again, from the same seeds, whenever the sketch is applied."""
    starts = range(0, n_columns, _BLOCK)
    seeds = np.random.SeedSequence(int(rng.integers(2**63))).spawn(len(starts))

    def block(number: int) -> tuple[slice, FloatArray]:
        columns = slice(starts[number], min(starts[number] + _BLOCK, n_columns))
        width = columns.stop - columns.start
        drawn = np.random.default_rng(seeds[number]).standard_normal((n_rows, width))
        return columns, drawn / np.sqrt(n_rows)

    def forward(x: FloatArray) -> FloatArray:
        total = np.zeros((n_rows, x.shape[1]))
        for number in range(len(starts)):
            columns, drawn = block(number)
            total += drawn @ x[columns]
        return total

    def backward(z: FloatArray) -> FloatArray:
        result = np.empty((n_columns, z.shape[1]))
        for number in range(len(starts)):
            columns, drawn = block(number)
            result[columns] = drawn.T @ z
        return result

    return _operator((n_rows, n_columns), forward, backward)


def _haar(n_rows: int, n_columns: int, rng: np.random.Generator) -> FloatArray:
    """Rows of a uniformly random rotation: QR with the signs of R's diagonal made positive."""
    q, r = np.linalg.qr(rng.standard_normal((n_columns, n_rows)))
    signs = np.where(np.diag(r) < 0, -1.0, 1.0)
    return np.asarray((q * signs).T * np.sqrt(n_columns / n_rows))


def _count(n_rows: int, n_columns: int, rng: np.random.Generator) -> Any:
    places = rng.integers(n_rows, size=n_columns)
    signs = rng.choice((-1.0, 1.0), n_columns)
    return sparse.csr_array((signs, (places, np.arange(n_columns))), shape=(n_rows, n_columns))


def _transformed(
    kind: str, n_rows: int, n_columns: int, rng: np.random.Generator
) -> LinearOperator:
    """Random signs, an orthonormal transform that spreads every entry, and a sample of rows."""
    length = n_columns if kind == "srdct" else 1 << (n_columns - 1).bit_length()
    signs = rng.choice((-1.0, 1.0), n_columns)[:, None]
    kept = rng.choice(length, n_rows, replace=False)
    scale = np.sqrt(length / n_rows)

    def forward(x: FloatArray) -> FloatArray:
        if kind == "srdct":
            spread = dct(signs * x, axis=0, norm="ortho")
        else:
            padded = np.zeros((length, x.shape[1]))
            padded[:n_columns] = signs * x
            spread = walsh_hadamard(padded)
        return np.asarray(scale * spread[kept])

    def backward(z: FloatArray) -> FloatArray:
        spread = np.zeros((length, z.shape[1]))
        spread[kept] = scale * z
        turned = idct(spread, axis=0, norm="ortho") if kind == "srdct" else walsh_hadamard(spread)
        return np.asarray(signs * turned[:n_columns])

    return _operator((n_rows, n_columns), forward, backward)
