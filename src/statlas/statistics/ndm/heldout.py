"""How well hidden cells of new rows are predicted, by this model and by its peers."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.optimize import nnls

from statlas.core.rng import sklearn_seed
from statlas.statistics.ndm.estimator import NonparametricDeconvolution
from statlas.statistics.ndm.likelihood import FloatArray

_HIDDEN = 1 / 3  # of a held-out row's measures
_TEST = 1 / 4  # of the rows
_SWEEPS = 15


def hidden_cell_errors(
    x: FloatArray, extra: dict[str, FloatArray], n_factors: int, settings: dict[str, Any],
    rng: np.random.Generator,
) -> dict[str, FloatArray]:  # fmt: skip
    """Mean squared error of each held-out row's hidden cells, in variances of the measure.

    Every method is fitted on the same rows with the same number of factors, sees the same cells
    of the other rows and predicts the rest. Keys: local, global, pca, nmf (if x >= 0), mean.
    """
    order = rng.permutation(len(x))
    n_test = max(int(_TEST * len(x)), 2)
    test, train = order[:n_test], order[n_test:]
    hidden = hidden_cells(n_test, x.shape[1], rng)
    known = np.where(hidden, np.nan, x[test])
    mean, spread = x[train].mean(axis=0), np.maximum(x[train].std(axis=0), 1e-12)
    found = {"mean": np.broadcast_to(mean, known.shape)}
    for name, local in (("local", True), ("global", False)):
        model = NonparametricDeconvolution(
            n_factors, learn_n_factors=False, local=local, max_iter=_SWEEPS, **settings
        )
        model.fit(x[train], **{key: value[train] for key, value in extra.items()})
        found[name] = model.predict_missing(
            known, **{key: value[test] for key, value in extra.items()}
        )
    found["pca"] = pca_fill(x[train], known, n_factors)
    if x.min() >= 0:
        found["nmf"] = nmf_fill(x[train], known, n_factors, sklearn_seed(rng))
    errors = {}
    for name, guess in found.items():
        squares = np.where(hidden, ((guess - x[test]) / spread) ** 2, 0.0)
        errors[name] = squares.sum(axis=1) / hidden.sum(axis=1)
    return errors


def hidden_cells(n_rows: int, n_columns: int, rng: np.random.Generator) -> Any:
    """A mask that hides the same number of cells in each row."""
    count = max(int(_HIDDEN * n_columns), 1)
    places = np.argsort(rng.random((n_rows, n_columns)), axis=1)[:, :count]
    hidden = np.zeros((n_rows, n_columns), dtype=bool)
    np.put_along_axis(hidden, places, True, axis=1)
    return hidden


def pca_fill(train: FloatArray, known: FloatArray, n_factors: int) -> FloatArray:
    """Conditional mean of unseen cells under probabilistic principal components."""
    from sklearn.decomposition import PCA

    scale = np.maximum(train.std(axis=0), 1e-12)
    rank = max(min(n_factors, train.shape[1] - 1, len(train) - 1), 1)
    pca = PCA(rank).fit(train / scale)
    covariance = pca.get_covariance()
    filled = known / scale
    for row in filled:
        seen = ~np.isnan(row)
        inner = covariance[np.ix_(seen, seen)] + 1e-10 * np.eye(int(seen.sum()))
        answer = np.linalg.solve(inner, row[seen] - pca.mean_[seen])
        row[~seen] = pca.mean_[~seen] + covariance[np.ix_(~seen, seen)] @ answer
    return np.asarray(filled * scale)


def nmf_fill(train: FloatArray, known: FloatArray, n_factors: int, seed: int) -> FloatArray:
    """Non-negative weights fitted to the seen cells, times the components."""
    import warnings

    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        nmf = NMF(n_factors, random_state=seed, max_iter=400).fit(train)
    filled = known.copy()
    for row in filled:
        seen = ~np.isnan(row)
        weights, _ = nnls(nmf.components_[:, seen].T, row[seen])
        row[~seen] = weights @ nmf.components_[:, ~seen]
    return np.asarray(filled)
