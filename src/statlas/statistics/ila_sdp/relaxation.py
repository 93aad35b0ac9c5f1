"""Semidefinite relaxations of clustering costs, solved by nonnegative low rank or by ADMM.

One form covers both programmes of the paper. With blocks m = 1..M and symmetric Z_m of n rows,

    maximise sum_m <A_m, Z_m>  subject to  Z_m psd, Z_m >= 0, tr Z_m = t_m, sum_m Z_m 1 = 1.

Peng and Wei's programme has one block with t = K, the likelihood-adjusted one K blocks with t = 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_factor, cho_solve, eigh

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

EXACT_LIMIT = 400  # rows that the exact solver should be given

_OUTER, _STEPS = 60, 600  # updates of multipliers, steps between them
_MEMORY, _LONGEST = 10, 1e3  # of the projected gradients
_STEADY = 0.1  # relative change of the value that counts as settled, over the tolerance
_BOUND_WORK, _BOUND_STEPS = 5e5, (20, 300)  # squared rows times steps, and their limits
# The first penalty, its growth, and how much a violation must fall to keep it.
_PENALTY, _GROWTH, _SHRINKS = 5.0, 2.0, 0.5


@dataclass(frozen=True)
class Costs:
    """The matrices A_m, kept as points so that products cost n times p.

    A_m[i, j] = -|y_i - y_j|^2 / 2 - offset_m with y the rows of `points[m]`.

    Attributes
    ----------
    points
        Shape (M, n, p).
    offsets
        Shape (M,).
    traces
        The t_m, shape (M,).
    """

    points: FloatArray
    offsets: FloatArray
    traces: FloatArray

    @property
    def n_rows(self) -> int:
        """Number of points to cluster."""
        return int(self.points.shape[1])

    def dense(self) -> FloatArray:
        """The matrices themselves, shape (M, n, n)."""
        y = self.points
        squares = (y**2).sum(axis=2)
        inner = y @ y.transpose(0, 2, 1)
        half = inner - (squares[:, :, None] + squares[:, None, :]) / 2
        return np.asarray(half - self.offsets[:, None, None])


@dataclass(frozen=True)
class Multipliers:
    """Of the rows' constraint (n,) and of the traces (M,), and the penalties at the end."""

    rows: FloatArray
    traces: FloatArray
    penalties: tuple[float, float]


@dataclass(frozen=True)
class Relaxed:
    """A solution of the relaxation.

    Attributes
    ----------
    factors
        U_m with Z_m = U_m U_m', shape (M, n, r).
    value
        sum_m <A_m, Z_m>.
    violation
        Largest violation of sum_m Z_m 1 = 1 and tr Z_m = t_m.
    converged
        Whether the violation and the change of the value are small.
    multipliers
        Of the constraints; None for a partition's own matrices.
    """

    factors: FloatArray
    value: float
    violation: float
    converged: bool
    multipliers: Multipliers | None = None

    @property
    def weights(self) -> FloatArray:
        """Z_m 1: how much of each row belongs to each block, shape (n, M)."""
        u = self.factors
        return np.asarray(np.einsum("mnr,mr->nm", u, u.sum(axis=1)))

    def matrix(self) -> FloatArray:
        """sum_m Z_m, shape (n, n)."""
        return np.asarray(np.einsum("mir,mjr->ij", self.factors, self.factors, optimize=True))


def peng_wei_costs(x: ArrayLike, n_clusters: int) -> Costs:
    """Costs of the K-means relaxation: minus half the squared distances, one block, trace K."""
    points = np.asarray(x, dtype=float)
    return Costs((points - points.mean(axis=0))[None], np.zeros(1), np.array([float(n_clusters)]))


def partition_factors(labels: ArrayLike, n_blocks: int, rank: int, n_clusters: int) -> FloatArray:
    """Factors of the integral solution of a partition: columns 1_G / sqrt(|G|).

    With one block all clusters share it, else each has its own.
    """
    codes = np.asarray(labels)
    u = np.zeros((n_blocks, len(codes), rank))
    for k in range(n_clusters):
        inside = codes == k
        block, column = (0, k) if n_blocks == 1 else (k, 0)
        u[block, inside, column] = 1 / np.sqrt(max(int(inside.sum()), 1))
    return u


# --- nonnegative low rank ------------------------------------------------------------------------


def solve_low_rank(
    costs: Costs,
    rank: int,
    *,
    start: ArrayLike | None = None,
    multipliers: Multipliers | None = None,
    tolerance: float = 1e-5,
    rng: np.random.Generator | None = None,
) -> Relaxed:
    """Solve with Z_m = U_m U_m', U_m >= 0 of `rank` columns, by an augmented Lagrangian.

    The nonconvex form of Zhuang, Chen, Yang and Zhang (2024): only U is stored, and a gradient
    costs n p r, so that thousands of rows run. Here the trace is a constraint beside the rows',
    and each subproblem is solved by spectral projected gradients. The optimum is that of the
    relaxation where the latter has a solution of this rank with a nonnegative factor, as an
    integral one has.

    Parameters
    ----------
    costs
        The programme.
    rank
        Columns of each U_m.
    start
        Factors to start from, shape (M, n, rank); random ones where None.
    multipliers
        Those of a programme with nearly the same costs, to start from.
    tolerance
        Largest violation of a constraint at which to stop.
    rng
        For the random start.
    """
    n = costs.n_rows
    shape = (len(costs.traces), n, rank)
    if start is None:
        generator = np.random.default_rng(0) if rng is None else rng
        v = np.abs(generator.normal(size=shape))
        v *= np.sqrt(n * costs.traces / (v**2).sum(axis=(1, 2)))[:, None, None]
    else:
        v = np.sqrt(n) * np.maximum(np.asarray(start, dtype=float), 0.0)
    problem = _Augmented(costs, shape)
    if multipliers is not None:
        problem.take(multipliers)
    worst, value, converged = np.inf, np.inf, False
    for _ in range(_OUTER):
        v = _projected_gradients(problem, v, tolerance)
        rows, traces = problem.violations(v)
        now = float(max(np.abs(rows).max(), np.abs(traces).max()))
        before, value = value, problem.value(v)
        steady = _STEADY * tolerance * (1 + abs(value))
        if now <= tolerance and abs(value - before) <= steady:
            converged = True
            break
        problem.update(rows, traces, grow=now > _SHRINKS * worst)
        worst = now
    total = problem.size * value - problem.common * n
    return Relaxed(v / np.sqrt(n), total, now, converged, problem.multipliers())


def _projected_gradients(problem: _Augmented, v: FloatArray, tolerance: float) -> FloatArray:
    """Spectral projected gradients of Birgin, Martinez and Raydan (2000) on V >= 0."""
    value, gradient = problem(v)
    recent = [value]
    length = 1 / max(float(np.abs(gradient).max()), 1e-12)
    for _ in range(_STEPS):
        way = np.maximum(v - length * gradient, 0.0) - v
        if float(np.abs(way).max()) <= tolerance * length:
            break
        slope = float(np.vdot(gradient, way))
        part, highest = 1.0, max(recent[-_MEMORY:])
        while True:
            tried = v + part * way
            new, new_gradient = problem(tried)
            if new <= highest + 1e-4 * part * slope or part < 1e-10:
                break
            quadratic = -0.5 * part**2 * slope / (new - value - part * slope)
            part = max(0.1 * part, min(0.5 * part, quadratic))
        moved, turned = tried - v, new_gradient - gradient
        bend = float(np.vdot(moved, turned))
        length = _LONGEST
        if bend > 0:
            length = float(np.clip(np.vdot(moved, moved) / bend, 1 / _LONGEST, _LONGEST))
        v, value, gradient = tried, new, new_gradient
        recent.append(value)
    return v


def _scale(costs: Costs) -> float:
    """Typical size of a row's cost."""
    spread = costs.points - costs.points.mean(axis=1, keepdims=True)
    return float((spread**2).sum(axis=2).mean()) or 1.0


class _Augmented:
    """Augmented Lagrangian and its gradient, in V = sqrt(n) U, so that entries are of order one."""

    def __init__(self, costs: Costs, shape: tuple[int, int, int]):
        self.n, self.scale = costs.n_rows, _scale(costs)
        self.size = self.n * self.scale
        self.traces = costs.traces
        self.across = np.ascontiguousarray(costs.points.transpose(0, 2, 1))
        # <A, Z> = |Y' U|^2 - (loads' U) (1' U)'; terms a (1' U) and 1 (a' U) come from rows too.
        # A common offset costs every feasible point the same, and is left out.
        self.common = float(costs.offsets.mean())
        offsets = costs.offsets[:, None] - self.common
        self.loads = ((costs.points**2).sum(axis=2) + offsets) / self.size
        self.design = np.concatenate(
            [costs.points * (-2 / self.size), np.ones((*shape[:2], 2))], axis=2
        )
        self.row_multipliers = np.zeros(self.n)
        self.trace_multipliers = np.zeros(len(costs.traces))
        self.row_penalty = self.trace_penalty = _PENALTY

    def take(self, known: Multipliers) -> None:
        """Start from the multipliers of a programme that was solved."""
        self.row_multipliers = known.rows / self.scale
        self.trace_multipliers = known.traces / self.size
        self.row_penalty, self.trace_penalty = known.penalties

    def multipliers(self) -> Multipliers:
        """In the unit of the costs."""
        return Multipliers(
            self.row_multipliers * self.scale, self.trace_multipliers * self.size,
            (self.row_penalty, self.trace_penalty),
        )  # fmt: skip

    def value(self, v: FloatArray) -> float:
        """The sum of <A, Z> over n times the scale."""
        inner, loaded, sums = self.across @ v, self.loads[:, None, :] @ v, v.sum(axis=1)
        return float((inner**2).sum() / self.size - (loaded[:, 0] * sums).sum()) / self.n

    def violations(self, v: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Of the rows and of the traces."""
        rows = (v @ v.sum(axis=1)[:, :, None]).sum(axis=(0, 2)) / self.n - 1
        return rows, (v * v).sum(axis=(1, 2)) / self.n - self.traces

    def update(self, rows: FloatArray, traces: FloatArray, grow: bool) -> None:
        """Take the violations into the multipliers, and raise the penalties if told to."""
        self.row_multipliers = self.row_multipliers + self.row_penalty * rows
        self.trace_multipliers = self.trace_multipliers + self.trace_penalty * traces
        if grow:
            self.row_penalty *= _GROWTH
            self.trace_penalty *= _GROWTH

    def __call__(self, v: FloatArray) -> tuple[float, FloatArray]:
        n = self.n
        sums = v.sum(axis=1)
        rows = (v @ sums[:, :, None]).sum(axis=(0, 2)) / n - 1
        traces = (v * v).sum(axis=(1, 2)) / n - self.traces
        pull_rows = self.row_multipliers + self.row_penalty * rows
        pull_traces = self.trace_multipliers + self.trace_penalty * traces
        inner = self.across @ v
        self.design[:, :, -2] = self.loads + pull_rows / n
        loaded = self.design[:, None, :, -2] @ v
        pulled = loaded[:, 0] - (pull_rows @ v) / n
        value = (
            (pulled * sums).sum()
            - (inner * inner).sum() / self.size
            + (self.row_multipliers + self.row_penalty / 2 * rows) @ rows
            + n * ((self.trace_multipliers + self.trace_penalty / 2 * traces) @ traces)
        )
        gradient = self.design @ np.concatenate([inner, sums[:, None, :], loaded], axis=1)
        gradient += (2 * pull_traces)[:, None, None] * v
        return float(value), gradient


# --- the exact solver, for small problems ---------------------------------------------------------


@dataclass(frozen=True)
class Exact:
    """A solution of the relaxation with a bound from the dual.

    Attributes
    ----------
    matrices
        Z_m, shape (M, n, n).
    value, bound
        sum_m <A_m, Z_m>, and a number that no feasible point exceeds, whatever the accuracy.
    violation
        Largest violation of a constraint.
    converged
        Whether the residuals are below the tolerance.
    """

    matrices: FloatArray
    value: float
    bound: float
    violation: float
    converged: bool

    @property
    def weights(self) -> FloatArray:
        """Z_m 1, shape (n, M)."""
        return np.asarray(self.matrices.sum(axis=2).T)


def solve_exact(
    costs: Costs,
    *,
    near: Relaxed | None = None,
    tolerance: float = 1e-6,
    max_steps: int = 5000,
) -> Exact:
    """Solve the relaxation by the convergent alternating direction method of its dual.

    The ADMM3c of Sun, Toh and Yang (2015), for at most some hundred rows: each step decomposes M
    matrices of n rows. Dual: minimise t' l + 1' a subject to S_m = l_m I + (a 1' + 1 a') / 2 - A_m
    - B_m psd, B_m >= 0. From a solution of low rank some dozen steps give a bound close to it.

    Parameters
    ----------
    costs
        The programme.
    near
        A solution to start from.
    tolerance
        Of the relative residuals.
    max_steps
        Most steps.
    """
    scale = _scale(costs)
    a = costs.dense() / scale
    n_blocks, n = len(a), costs.n_rows
    target = np.append(costs.traces, np.ones(n))
    solve = cho_factor(_gram(n_blocks, n))
    size_a, size_b = 1 + np.linalg.norm(a), 1 + np.linalg.norm(target)
    x = np.tile(np.eye(n) / n, (n_blocks, 1, 1)) * costs.traces[:, None, None]
    s, b = np.zeros_like(a), np.zeros_like(a)
    sigma, converged = 1.0, False
    if near is not None and near.multipliers is not None:
        x = near.factors @ near.factors.transpose(0, 2, 1)
        known = -np.append(near.multipliers.traces, near.multipliers.rows) / scale
        rest = -a - _spread(known, n_blocks)
        s = _positive(rest)
        sigma = float(np.clip(np.linalg.norm(x) / np.linalg.norm(s), 1e-3, 1e3))

    def multipliers(residual: FloatArray) -> FloatArray:
        """The y that minimises the Lagrangian; `residual` is S + B + A in the minimising form."""
        return np.asarray(cho_solve(solve, target / sigma - _measure(x / sigma + residual)))

    for step in range(max_steps):
        y = multipliers(s + b + a)
        b = np.maximum(-a - _spread(y, n_blocks) - s - x / sigma, 0.0)
        y = multipliers(s + b + a)
        rest = -a - _spread(y, n_blocks) - b - x / sigma
        s = _positive(rest)
        x = x + 1.618 * sigma * (_spread(y, n_blocks) + s + b + a)
        if step % 25 == 24:
            primal = np.linalg.norm(_measure(x) - target) / size_b
            primal = max(primal, np.linalg.norm(np.minimum(x, 0)) / (1 + np.linalg.norm(x)))
            dual = np.linalg.norm(_spread(y, n_blocks) + s + b + a) / size_a
            if max(primal, dual) < tolerance:
                converged = True
                break
            if step < max_steps // 2 and (primal > 5 * dual or dual > 5 * primal):
                sigma *= 1.4 if primal < dual else 1 / 1.4
    z = np.asarray((x + x.transpose(0, 2, 1)) / 2)
    violation = float(np.abs(_measure(z) - target).max())
    bound = dual_bound(costs, -scale * y[n_blocks:], scale * b)
    return Exact(z, float(scale * (a * z).sum()), bound, violation, converged)


def bound_near(costs: Costs, solution: Relaxed) -> float:
    """A bound by some steps of the exact solver from a low-rank solution, more of them if cheap."""
    steps = int(np.clip(_BOUND_WORK / costs.n_rows**2, *_BOUND_STEPS))
    return solve_exact(costs, near=solution, max_steps=steps).bound


def dual_bound(costs: Costs, alpha: ArrayLike, excess: ArrayLike) -> float:
    """Upper bound on the relaxation, and so on every partition, from any alpha and B >= 0.

    1' alpha + sum_m t_m times the largest eigenvalue of A_m + B_m - (alpha 1' + 1 alpha') / 2.
    """
    a, b = np.asarray(alpha, dtype=float), np.maximum(np.asarray(excess, dtype=float), 0.0)
    total, last = float(a.sum()), costs.n_rows - 1
    for dense, extra, trace in zip(costs.dense(), b, costs.traces, strict=True):
        inside = dense + (extra + extra.T) / 2 - (a[:, None] + a) / 2
        total += trace * float(eigh(inside, eigvals_only=True, subset_by_index=(last, last))[0])
    return total


def _measure(x: FloatArray) -> FloatArray:
    """Traces, and row sums over the blocks."""
    rows = (x.sum(axis=2) + x.sum(axis=1)).sum(axis=0) / 2
    return np.append(np.trace(x, axis1=1, axis2=2), rows)


def _spread(y: FloatArray, n_blocks: int) -> FloatArray:
    """Adjoint of `_measure`."""
    alpha = y[n_blocks:]
    return np.asarray(
        y[:n_blocks, None, None] * np.eye(len(alpha)) + (alpha[:, None] + alpha)[None] / 2
    )


def _gram(n_blocks: int, n: int) -> FloatArray:
    """`_measure` after its adjoint."""
    corner = n_blocks / 2 * (n * np.eye(n) + 1)
    side = np.ones((n_blocks, n))
    return np.block([[n * np.eye(n_blocks), side], [side.T, corner]])


def _positive(matrices: FloatArray) -> FloatArray:
    """Projections onto the positive semidefinite matrices."""
    values, vectors = np.linalg.eigh((matrices + matrices.transpose(0, 2, 1)) / 2)
    scaled: Any = vectors * np.maximum(values, 0.0)[:, None, :]
    return np.asarray(scaled @ vectors.transpose(0, 2, 1))
