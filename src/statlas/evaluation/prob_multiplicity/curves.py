"""Shares of people whose probability can move by delta: over all models, and by one model alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.special import expit, logit

from statlas.evaluation.prob_multiplicity.ranges import FloatArray, LogisticFit, ViableRanges

# Rounding allowed when a probability is compared with its limit.
_EDGE = 1e-9


@dataclass(frozen=True)
class Bracket:
    """A count that is known to lie between two bounds.

    Attributes
    ----------
    low
        Count that a model within the loss limit attains.
    high
        Count that none can exceed.
    """

    low: int
    high: int


def ambiguity(
    ranges: ViableRanges, baseline: FloatArray, delta: float, *, bound: bool = False
) -> FloatArray:
    """Share of points whose probability some near-optimal model moves by at least delta.

    Parameters
    ----------
    ranges
        The viable ranges of the points.
    baseline
        Probability of each point under the baseline, (n_points,).
    delta
        Change of probability that counts as a conflict, in (0, 1).
    bound
        Judge by the dual bounds instead of the models found.

    Returns
    -------
    ndarray
        Shape (n_epsilons,).

    Examples
    --------
    >>> from statlas.evaluation.prob_multiplicity import fit_logistic, viable_ranges
    >>> fit = fit_logistic([[-1.0], [0.0], [0.0], [1.0]], [0, 1, 0, 1])
    >>> print(ambiguity(viable_ranges(fit, [0.01, 0.05]), fit.probability, 0.15))
    [0.  0.5]
    """
    ends = (ranges.low_bound, ranges.high_bound) if bound else (ranges.low, ranges.high)
    up, down = _reachable(*ends, baseline, delta)
    return np.asarray((up | down).mean(axis=1))


def _reachable(
    low: FloatArray, high: FloatArray, baseline: FloatArray, delta: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whose probability can rise, and whose can fall, by delta."""
    return expit(high) >= baseline + delta - _EDGE, expit(low) <= baseline - delta + _EDGE


def conflicts(fit: LogisticFit, models: FloatArray, delta: float) -> NDArray[np.int64]:
    """Training rows whose probability each model moves by delta, (n_models,)."""
    moved = np.abs(expit(models @ fit.design.T) - fit.probability) >= delta - _EDGE
    return np.asarray(moved.sum(axis=1))


def discrepancy(
    fit: LogisticFit,
    ranges: ViableRanges,
    level: int,
    delta: float,
    *,
    nodes: int = 0,
    rounds: int = 8,
) -> Bracket:
    """Most training rows that one near-optimal model alone moves by at least delta.

    From below: the models at the ends of the ranges. From above: `affordable_moves`, and where
    `nodes` allows, a mixed-integer program that chooses the model and the rows. The viable ranges
    give its constants their least values; the loss limit enters as the ranges themselves and as
    tangent planes, added where the last solution broke it. Every round's bound is valid and every
    model found is pulled inside the limit, so the two ends only close in.

    Parameters
    ----------
    fit, ranges
        The baseline, and the ranges of its training rows.
    level
        Which epsilon of the ranges.
    delta
        Change of probability that counts.
    nodes
        Limit of branch-and-bound nodes of one program; 0 solves none.
    rounds
        Most programs to solve.

    Examples
    --------
    >>> from statlas.evaluation.prob_multiplicity import fit_logistic, viable_ranges
    >>> fit = fit_logistic([[-1.0], [0.0], [0.0], [1.0]], [0, 1, 0, 1])
    >>> discrepancy(fit, viable_ranges(fit, [0.05]), 0, 0.15)
    Bracket(low=1, high=2)
    >>> discrepancy(fit, viable_ranges(fit, [0.05]), 0, 0.15, nodes=100)
    Bracket(low=1, high=1)
    """
    found = np.concatenate(list(ranges.models[level]))
    low = int(conflicts(fit, found, delta).max())
    high = affordable_moves(fit, ranges, level, delta)
    if not nodes or low >= high:
        return Bracket(low, max(low, high))
    program = _Program.of(fit, ranges, level, delta)
    for _ in range(rounds):
        if low >= high:
            break
        bound, weights = program.solve(nodes)
        high = min(high, bound)
        if weights is None:
            break
        low = max(low, int(conflicts(fit, program.inside(weights)[None], delta)[0]))
        if not program.cut(weights):
            break
    return Bracket(low, max(low, high))


def affordable_moves(fit: LogisticFit, ranges: ViableRanges, level: int, delta: float) -> int:
    """Bound on how many rows one model can move by delta: the cheapest moves that the slack pays.

    At the optimum the gradient is 0, so the extra loss of a model is the mean over rows of
    ``softplus(m + z) - softplus(m) - p z``, each at least 0, plus a penalty of at least 0; m and
    p are the baseline's log-odds and probability, z the change of log-odds.
    """
    baseline = fit.probability
    up, down = _reachable(ranges.low_bound[level], ranges.high_bound[level], baseline, delta)
    price = np.full(len(baseline), np.inf)
    for reachable, sign in ((up, 1), (down, -1)):
        start, moved = logit(baseline[reachable]), _moved(baseline[reachable], sign, delta)
        extra = np.logaddexp(0, moved) - np.logaddexp(0, start)
        extra -= baseline[reachable] * (moved - start)
        price[reachable] = np.minimum(price[reachable], extra / len(baseline))
    slack = fit.loss * ranges.epsilons[level] * (1 + 1e-9)
    return int(np.sum(np.cumsum(np.sort(price)) <= slack))


def _moved(baseline: FloatArray, sign: int, delta: float) -> FloatArray:
    """Log-odds of the probability that is just delta away."""
    edge = baseline + sign * (delta - _EDGE)
    return np.asarray(logit(np.clip(edge, 1e-15, 1 - 1e-15)))


class _Program:
    """The program: variables are the weights, then a switch for each move that is in reach."""

    def __init__(
        self,
        fit: LogisticFit,
        limit: float,
        matrix: FloatArray,
        low: FloatArray,
        n_reachable: int,
    ):
        self.fit, self.limit, self.n_reachable = fit, limit, n_reachable
        self.matrix, self.low = matrix, low

    @classmethod
    def of(cls, fit: LogisticFit, ranges: ViableRanges, level: int, delta: float) -> _Program:
        """Rows ``switched on implies moved``, and the ranges of all training rows."""
        low, high = ranges.low_bound[level], ranges.high_bound[level]
        up, down = _reachable(low, high, fit.probability, delta)
        design, size = fit.design, fit.design.shape[1]
        rise, fall = np.flatnonzero(up), np.flatnonzero(down)
        n_switches = len(rise) + len(fall)
        rising = _moved(fit.probability[rise], 1, delta) - low[rise]
        falling = high[fall] - _moved(fit.probability[fall], -1, delta)
        switched = np.concatenate([rising, falling])
        moves = np.zeros((n_switches, size + n_switches))
        moves[:, :size] = np.concatenate([design[rise], -design[fall]])
        moves[:, size:] = -np.diag(switched)
        both = np.zeros((2 * len(design), size + n_switches))
        both[:, :size] = np.concatenate([design, -design])
        matrix = np.concatenate([moves, both])
        least = np.concatenate([low[rise], -high[fall], low, -high])
        limit = fit.loss * (1 + ranges.epsilons[level])
        return cls(fit, limit, matrix, least, int((up | down).sum()))

    def solve(self, nodes: int) -> tuple[int, FloatArray | None]:
        """A valid upper bound on the count, and the weights found, if any."""
        size, n_variables = self.fit.design.shape[1], self.matrix.shape[1]
        switch = np.arange(n_variables) >= size
        answer = milp(
            -switch.astype(float),
            integrality=switch.astype(int),
            bounds=Bounds(np.where(switch, 0, -np.inf), np.where(switch, 1, np.inf)),
            constraints=LinearConstraint(self.matrix, self.low, np.inf),
            options={"node_limit": nodes, "mip_rel_gap": 0.0},
        )
        bound = getattr(answer, "mip_dual_bound", None)
        high = self.n_reachable if bound is None else int(np.floor(-bound + 1e-6))
        return high, None if answer.x is None else np.asarray(answer.x[:size])

    def inside(self, weights: FloatArray) -> FloatArray:
        """The last model within the limit on the way from the baseline to these weights."""
        start, step = self.fit.weights, weights - self.fit.weights
        if self.fit.losses(weights)[0] <= self.limit:
            return weights
        least, most = 0.0, 1.0
        for _ in range(60):
            middle = (least + most) / 2
            within = self.fit.losses(start + middle * step)[0] <= self.limit
            least, most = (middle, most) if within else (least, middle)
        return np.asarray(start + least * step)

    def cut(self, weights: FloatArray) -> bool:
        """Add the tangent plane of the loss that these weights break; False where they do not."""
        if self.fit.losses(weights)[0] <= self.limit * (1 + 1e-12):
            return False
        edge = self.inside(weights)
        fit = self.fit
        gradient = (expit(fit.design @ edge) - fit.outcome) @ fit.design / len(fit.outcome)
        gradient[1:] += fit.ridge * edge[1:]
        row = np.zeros((1, self.matrix.shape[1]))
        row[0, : len(gradient)] = -gradient
        self.matrix = np.concatenate([self.matrix, row])
        self.low = np.append(self.low, -gradient @ edge)
        return True
