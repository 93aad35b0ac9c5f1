"""Covariance of means when observations come in clusters."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def cluster_totals(
    values: NDArray[np.float64], clusters: NDArray[np.int64], n_clusters: int
) -> NDArray[np.float64]:
    """Sum the rows of `values` within clusters.

    Parameters
    ----------
    values
        Shape (n, m).
    clusters
        Cluster number of each row in [0, n_clusters), shape (n,).
    n_clusters
        Number of clusters.

    Returns
    -------
    ndarray
        Shape (n_clusters, m).
    """
    columns = [np.bincount(clusters, column, n_clusters) for column in values.T]
    return np.stack(columns, axis=1)


def covariance_of_means(
    values: ArrayLike, clusters: ArrayLike | None = None, *, few_clusters: bool = True
) -> NDArray[np.float64]:
    r"""Estimate the covariance matrix of column means, robust to clustering of the rows.

    With residuals :math:`r_i` and :math:`G` clusters it is
    :math:`f n^{-2} \sum_g (\sum_{i \in g} r_i)(\sum_{i \in g} r_i)^T`, where
    :math:`f = G / (G - 1)` with `few_clusters` and 1 without. Without clusters every row is its
    own cluster, and the diagonal is the sample variance over n.

    Parameters
    ----------
    values
        Shape (n, m), or (n,) for one column.
    clusters
        Cluster of each row as whole numbers from 0, shape (n,).
    few_clusters
        Whether to inflate for the number of clusters, as sandwich estimators in econometrics do.

    Returns
    -------
    ndarray
        Shape (m, m).

    Raises
    ------
    ValueError
        If there are fewer than two clusters.

    Examples
    --------
    >>> covariance_of_means([1.0, 2.0, 3.0, 4.0])
    array([[0.41666667]])
    >>> covariance_of_means([1.0, 2.0, 3.0, 4.0], [0, 0, 1, 1])
    array([[1.]])
    """
    matrix = np.asarray(values, dtype=float)
    matrix = matrix[:, None] if matrix.ndim == 1 else matrix
    residuals = matrix - matrix.mean(axis=0)
    n_clusters = len(matrix)
    if clusters is not None:
        codes = np.asarray(clusters, dtype=np.int64)
        n_clusters = int(codes.max()) + 1
        residuals = cluster_totals(residuals, codes, n_clusters)
    if n_clusters < 2:
        raise ValueError("the spread between clusters needs at least two of them")
    factor = n_clusters / (n_clusters - 1) if few_clusters else 1.0
    covariance: NDArray[np.float64] = factor * (residuals.T @ residuals) / len(matrix) ** 2
    return covariance
