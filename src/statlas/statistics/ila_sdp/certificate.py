"""Proof that a partition has the lowest K-means cost of all, from the dual of the relaxation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar
from scipy.sparse.linalg import LinearOperator, eigsh

from statlas.statistics.ila_sdp.relaxation import (
    EXACT_LIMIT,
    Exact,
    FloatArray,
    IntArray,
    Relaxed,
    bound_near,
    peng_wei_costs,
)

_TRIED = 25  # values of the multiplier of the trace
_CLOSE = 1e-6  # gap below which the exact solver's bound proves optimality
_DENSE = 400  # rows up to which eigenvalues are computed by a dense method


@dataclass(frozen=True)
class Certificate:
    """What the dual says about the K-means cost of a partition.

    Attributes
    ----------
    cost
        Sum of squared distances to the clusters' means.
    lower_bound
        No partition into so many clusters has a lower cost; equals `cost` where certified.
    gap
        (cost - lower_bound) / cost: by at most this share the cost can be lowered.
    margin
        The dual's smallest eigenvalue away from the clusters over the multiplier of the trace,
        NaN where a row is nearer to another mean (then no such dual exists).
    certified
        Whether the partition is proved optimal.
    """

    cost: float
    lower_bound: float
    gap: float
    margin: float
    certified: bool

    def tightened(self, lower_bound: float) -> Certificate:
        """With another valid lower bound, if that is better."""
        if self.certified or lower_bound <= self.lower_bound:
            return self
        gap = max((self.cost - lower_bound) / self.cost, 0.0)
        return replace(self, lower_bound=lower_bound, gap=gap, certified=gap < _CLOSE)


def kmeans_certificate(x: ArrayLike, labels: ArrayLike) -> Certificate:
    """Dual certificate of Chen and Yang (2021) for the partition, or the bound it leaves.

    With S = l I + (a 1' + 1 a') / 2 - X X' - B, complementary slackness fixes a given l, and

        r_kj(i) = (n_j / 2) (|x_i - m_j|^2 - |x_i - m_k|^2) - l (n_k + n_j) / (2 n_k), i in G_k,

    the row sums of B between clusters k and j, so B_kj = r_kj r_jk' / (1' r_kj). The partition is
    optimal if some l makes all r nonnegative and S psd. Away from the clusters' indicators S
    lives in the span of the centred clusters' columns, so that K p dimensions decide, whatever n.
    Where no l will do, negative r are set to zero and the bound of that dual is given.

    Parameters
    ----------
    x
        Shape (n, p).
    labels
        Cluster of each row, from 0, none empty, shape (n,).
    """
    points = np.asarray(x, dtype=float)
    points = points - points.mean(axis=0)
    dual = _Dual(points, np.asarray(labels, dtype=np.int64))
    cost = float((dual.centred**2).sum())
    if len(dual.sizes) == 1:
        return Certificate(cost, cost, 0.0, 1.0, True)
    margin = np.nan
    if dual.largest > 0:

        def gap(level: float) -> float:
            return float(dual.top(level) / level - 1)

        grid = dual.largest * np.linspace(1 / _TRIED, 1, _TRIED)
        best = int(np.argmin([gap(level) for level in grid]))
        ends = (grid[max(best - 1, 0)], grid[min(best + 1, _TRIED - 1)])
        found: Any = minimize_scalar(gap, bounds=ends, method="bounded")
        margin = -min(float(found.fun), gap(float(grid[best])))
        if margin >= 0:
            return Certificate(cost, cost, 0.0, margin, True)
    lower = max(dual.cost_bound(), 0.0)
    gap_left = (cost - lower) / cost if cost > 0 else 0.0
    return Certificate(cost, lower, gap_left, margin, False)


def bounded_kmeans(
    x: ArrayLike, labels: ArrayLike, solution: Relaxed | Exact | None
) -> Certificate:
    """The certificate, with the better bound of the relaxation's own dual where rows are few.

    A bound holds however far the dual was solved; from a low-rank solution it takes some dozen
    steps of the exact solver, for at most 400 rows.
    """
    found = kmeans_certificate(x, labels)
    points = np.asarray(x, dtype=float)
    if found.certified or solution is None or len(points) > EXACT_LIMIT:
        return found
    if isinstance(solution, Relaxed):
        bound = bound_near(peng_wei_costs(points, int(np.max(labels)) + 1), solution)
    else:
        bound = solution.bound
    # <A, Z> with squared distances is minus the cost.
    return found.tightened(-bound)


class _Dual:
    """The dual variables as functions of l, the multiplier of the trace."""

    def __init__(self, x: FloatArray, labels: IntArray):
        self.x, self.labels = x, labels
        self.sizes = np.bincount(labels).astype(float)
        k = len(self.sizes)
        self.means = np.stack([x[labels == j].mean(axis=0) for j in range(k)])
        self.centred = x - self.means[labels]
        squares = ((x[:, None, :] - self.means) ** 2).sum(axis=2)
        self.nearer = squares - squares[np.arange(len(x)), labels][:, None]  # (n, K)
        own, other = self.sizes[labels][:, None], self.sizes
        weights = own * other / (own + other)
        reach = np.where(np.arange(k) == labels[:, None], np.inf, weights * self.nearer)
        self.largest = float(reach.min())
        self.roots = [
            np.asarray(np.linalg.qr(self.centred[labels == j], mode="r")) for j in range(k)
        ]

    def top(self, level: float) -> float:
        """Largest eigenvalue of X X' + B orthogonally to the clusters, r not clipped."""
        k = len(self.sizes)
        blocks: list[list[FloatArray]] = []
        for i in range(k):
            row = []
            for j in range(k):
                inner = np.eye(self.x.shape[1])
                if i != j:
                    step = self.means[i] - self.means[j]
                    n_i, n_j = self.sizes[i], self.sizes[j]
                    total = n_i * n_j / 2 * (step @ step) - level * (n_i + n_j) / 2
                    # B's sums are nonnegative up to `largest`, so the total is above 0 there.
                    inner = inner - n_i * n_j / max(total, 1e-300) * np.outer(step, step)
                row.append(self.roots[i] @ inner @ self.roots[j].T)
            blocks.append(row)
        return float(np.linalg.eigvalsh(np.block(blocks))[-1])

    def cost_bound(self) -> float:
        """Best lower bound on the cost over l, negative sums clipped."""
        scale = float((self.centred**2).sum() / len(self.sizes)) or 1.0
        found: Any = minimize_scalar(
            lambda log_level: -self._bound(scale * np.exp(log_level)),
            bounds=(-4.0, 3.0), method="bounded", options={"maxiter": _TRIED},
        )  # fmt: skip
        return -float(found.fun)

    def _bound(self, level: float) -> float:
        """Lower bound on the cost by weak duality: |X|^2 - K l' - 1' a, l' the least to do."""
        x, labels, sizes = self.x, self.labels, self.sizes
        k, n = len(sizes), len(x)
        own_mean = self.means[labels]
        alpha = (
            2 * (x * own_mean).sum(axis=1) - level / sizes[labels] - (own_mean**2).sum(axis=1)
        )  # fmt: skip
        own, other = sizes[labels][:, None], sizes
        sums = other / 2 * self.nearer - level * (own + other) / (2 * own)
        sums = np.maximum(sums, 0.0)
        sums[np.arange(n), labels] = 0.0
        # Row sums of B between clusters, (own, other).
        totals = np.stack([np.bincount(labels, sums[:, j], k) for j in range(k)], axis=1)
        pairs = np.sqrt(totals * totals.T)
        heights = np.divide(1.0, pairs, out=np.zeros_like(pairs), where=pairs > 0)
        onto = (labels[:, None] == np.arange(k)).astype(float)

        def times(v: FloatArray) -> FloatArray:
            v = np.ravel(v)
            # (B v)_i = sum_j r_kj(i) / T_kj sum_{i' in G_j} r_jk(i') v_i', k the cluster of i.
            inner = onto.T @ (sums * v[:, None])  # (j, k)
            spread = (sums * (heights * inner.T)[labels]).sum(axis=1)
            return np.asarray(x @ (x.T @ v) + spread - (alpha * v.sum() + alpha @ v) / 2)

        if n <= _DENSE:
            top = float(np.linalg.eigvalsh(np.column_stack([times(e) for e in np.eye(n)]))[-1])
        else:
            operator = LinearOperator((n, n), matvec=times, dtype=float)
            start = np.ones(n) + np.arange(n) / n
            value = eigsh(operator, 1, which="LA", v0=start, tol=1e-7, return_eigenvectors=False)
            top = float(value[0]) * (1 + 1e-6)
        return float((x**2).sum() - k * top - alpha.sum())
