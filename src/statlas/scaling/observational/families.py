"""The log-linear law between compute and capability, family by family, with what families share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize

from statlas.scaling.observational.components import FloatArray

IntArray = NDArray[np.int64]

_STEP = 1e-7  # of the forward differences, in units of the fit's coordinates


@dataclass(frozen=True)
class FamilyLaw:
    """index = intercept_f + slope_f * log10(compute / centre) + deviation of the model.

    Attributes
    ----------
    mean
        Mean intercept and slope over families, (2,).
    mean_covariance
        Covariance of that mean, (2, 2).
    between
        Covariance of intercept and slope between families, (2, 2).
    deviation
        Standard deviation of models around their family's line.
    centre
        log10 of compute at which the intercept stands.
    coefficients, covariances
        Of each family given its models: (n_families, 2) and (n_families, 2, 2).
    converged
        Whether the fit met its tolerance.
    """

    mean: FloatArray
    mean_covariance: FloatArray
    between: FloatArray
    deviation: float
    centre: float
    coefficients: FloatArray
    covariances: FloatArray
    converged: bool

    def at(self, compute: ArrayLike) -> FloatArray:
        """Rows (1, log10 compute - centre) by which lines are read off, (n, 2)."""
        log = np.log10(np.asarray(compute, dtype=float))
        return np.column_stack([np.ones(log.size), log - self.centre])


@dataclass(frozen=True)
class _Rows:
    """The models sorted by family, with the products that the likelihood sums over each family."""

    products: FloatArray  # (6, n_models): 1, x, x^2, y, x y, y^2, x the centred log compute
    known_var: FloatArray  # (n_models,)
    present: IntArray  # families that have models
    first: IntArray  # row of each one's first model
    n_families: int

    @classmethod
    def of(
        cls, x: FloatArray, y: FloatArray, known_var: FloatArray, family: IntArray, n: int
    ) -> _Rows:
        order = np.argsort(family, kind="stable")
        x, y = x[order], y[order]
        present, first = np.unique(family[order], return_index=True)
        products = np.stack([np.ones(len(x)), x, x**2, y, x * y, y**2])
        return cls(products, known_var[order], present, first, n)


@dataclass(frozen=True)
class _Sums:
    """What the likelihood needs of each family, for each of several deviations of models."""

    gram: FloatArray  # (n_points, n_families, 2, 2), X' D^-1 X
    right: FloatArray  # (n_points, n_families, 2), X' D^-1 y
    square: FloatArray  # (n_points, n_families), y' D^-1 y
    log_det: FloatArray  # (n_points, n_families), log |D|

    def at(self, places: list[int]) -> _Sums:
        return _Sums(
            self.gram[places], self.right[places], self.square[places], self.log_det[places]
        )


def _sums(rows: _Rows, variances: FloatArray) -> _Sums:
    """Sums for each variance of models around their line, (n_points,)."""
    d = variances[:, None] + rows.known_var
    terms = np.concatenate([rows.products / d[:, None], np.log(d)[:, None]], axis=1)
    total = np.zeros((len(d), 7, rows.n_families))
    total[:, :, rows.present] = np.add.reduceat(terms, rows.first, axis=2)
    ones, x, xx, y, xy, yy, log_det = np.moveaxis(total, 1, 0)
    gram = np.stack([ones, x, x, xx], axis=-1).reshape(*ones.shape, 2, 2)
    return _Sums(gram, np.stack([y, xy], axis=-1), yy, log_det)


def _shrink(sums: _Sums, between: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(I + between gram)^-1 between, and log |I + between gram|, of each point and family."""
    inner = np.eye(2) + between[:, None] @ sums.gram
    det = inner[..., 0, 0] * inner[..., 1, 1] - inner[..., 0, 1] * inner[..., 1, 0]
    adjugate = np.empty_like(inner)
    adjugate[..., 0, 0], adjugate[..., 1, 1] = inner[..., 1, 1], inner[..., 0, 0]
    adjugate[..., 0, 1], adjugate[..., 1, 0] = -inner[..., 0, 1], -inner[..., 1, 0]
    shrink: FloatArray = adjugate @ between[:, None] / det[..., None, None]
    log_det: FloatArray = np.log(det)
    return shrink, log_det


def _mean_and_criterion(
    sums: _Sums, between: FloatArray, counts: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Generalised least squares of the mean line, its covariance, and the REML criterion.

    Of each point: `between` has shape (n_points, 2, 2).
    """
    shrink, log_det = _shrink(sums, between)
    weighed = sums.gram @ shrink
    gram = np.tensordot(counts, sums.gram - weighed @ sums.gram, (0, 1))
    shrunk = np.einsum("pfab,pfb->pfa", shrink, sums.right)
    right = counts @ (sums.right - np.einsum("pfab,pfb->pfa", sums.gram, shrunk))
    square = (sums.square - np.sum(sums.right * shrunk, axis=-1)) @ counts
    covariance = np.asarray(np.linalg.inv(gram), dtype=float)
    mean = np.einsum("pab,pb->pa", covariance, right)
    logs = (log_det + sums.log_det) @ counts + np.linalg.slogdet(gram)[1]
    criterion: FloatArray = 0.5 * (logs + square - np.sum(right * mean, axis=1))
    return mean, covariance, criterion


def fit_family_law(
    index: ArrayLike,
    compute: ArrayLike,
    family: IntArray,
    *,
    known_var: ArrayLike = 0.0,
    counts: ArrayLike | None = None,
    start: FamilyLaw | None = None,
) -> FamilyLaw:
    """Fit one line a family with intercepts and slopes that vary between families (REML).

    Families lend each other what their own models do not tell: one with a single size has the
    slope of the others, one with many sizes its own.

    Parameters
    ----------
    index
        Capability of each model, (n_models,).
    compute
        Training compute of each model, above 0.
    family
        Family of each model as whole numbers from 0.
    known_var
        Variance with which each index is known.
    counts
        How often each family counts, (n_families,), such as in a bootstrap sample; families
        without models get the mean line.
    start
        A fit to start from.

    Raises
    ------
    ValueError
        If all models have the same compute, so that there is no slope.

    Examples
    --------
    >>> law = fit_family_law([1.0, 2.0, 2.0, 3.1, 0.0, 0.9], [10, 100] * 3,
    ...                      np.array([0, 0, 1, 1, 2, 2]))
    >>> print(law.mean.round(2), law.coefficients.shape)
    [1.5 1. ] (3, 2)
    """
    y, log = np.asarray(index, dtype=float), np.log10(np.asarray(compute, dtype=float))
    weight = np.ones(int(family.max()) + 1) if counts is None else np.asarray(counts, dtype=float)
    n = len(weight)
    extra = np.broadcast_to(np.asarray(known_var, dtype=float), y.shape)
    centre = float(np.mean(log)) if start is None else start.centre
    line = np.column_stack([np.ones(len(y)), log - centre])
    used = weight[family] > 0
    if np.ptp(log[used]) == 0:
        raise ValueError("models of different compute are needed")
    plain = np.linalg.lstsq(line[used], y[used], rcond=None)[0]
    scale = float(np.std(y[used] - line[used] @ plain)) or 1e-6
    steep = scale / float(np.std(log[used]))
    # The fit is in units of the plain line's residuals, so that one start suits all tables.
    unit = np.array([scale, steep])

    rows = _Rows.of(line[:, 1], y, extra, family, n)

    def between_of(points: FloatArray) -> FloatArray:
        root = np.zeros((len(points), 2, 2))
        root[:, 0, 0], root[:, 1, 1] = np.exp(points[:, 0]), np.exp(points[:, 2])
        root[:, 1, 0] = points[:, 1]
        root *= unit[:, None]
        between: FloatArray = root @ root.transpose(0, 2, 1)
        return between

    def criterion(point: FloatArray) -> tuple[float, FloatArray]:
        """The value and its forward differences, all points in one batch."""
        points = point + np.vstack([np.zeros(4), _STEP * np.eye(4)])
        # Only the last coordinate changes the deviation, so two sets of sums serve all points.
        sums = _sums(rows, (scale * np.exp(points[[0, 4], 3])) ** 2).at([0, 0, 0, 0, 1])
        values = _mean_and_criterion(sums, between_of(points), weight)[2]
        return float(values[0]), (values[1:] - values[0]) / _STEP

    first = np.array([-0.5, 0.0, -1.0, -0.7])
    if start is not None:
        root = np.linalg.cholesky(start.between + np.diag(1e-8 * unit**2)) / unit[:, None]
        spread = max(start.deviation / scale, 1e-3)
        first = np.array([np.log(root[0, 0]), root[1, 0], np.log(root[1, 1]), np.log(spread)])
    bounds = [(-7.0, 4.0), (-20.0, 20.0), (-7.0, 4.0), (-7.0, 3.0)]
    found = minimize(
        criterion, np.clip(first, -6.9, 2.9), method="L-BFGS-B", bounds=bounds, jac=True,
        options={"ftol": 1e-9 if start is None else 1e-6, "maxiter": 300},
    )  # fmt: skip
    deviation = scale * float(np.exp(found.x[3]))
    between = between_of(found.x[None])
    sums = _sums(rows, np.array([deviation**2]))
    means, mean_covariances, _ = _mean_and_criterion(sums, between, weight)
    mean, shrink = means[0], _shrink(sums, between)[0][0]
    own = sums.right[0] - sums.gram[0] @ mean
    coefficients = mean + np.einsum("fab,fb->fa", shrink, own)
    return FamilyLaw(
        mean, mean_covariances[0], between[0], deviation, centre, coefficients, shrink,
        bool(found.success),
    )  # fmt: skip


def own_line_r2(index: FloatArray, compute: FloatArray, family: IntArray) -> FloatArray:
    """Share of variance that a family's own line of log compute explains, NaN below 3 sizes.

    Examples
    --------
    >>> own_line_r2(np.array([0.0, 1.0, 2.0]), np.array([1.0, 10.0, 100.0]), np.zeros(3, dtype=int))
    array([1.])
    """
    log, n = np.log10(compute), int(family.max()) + 1
    shares = np.full(n, np.nan)
    for place in range(n):
        rows = family == place
        if len(np.unique(log[rows])) >= 3 and np.ptp(index[rows]) > 0:
            shares[place] = np.corrcoef(log[rows], index[rows])[0, 1] ** 2
    return shares
