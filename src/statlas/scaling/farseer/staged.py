"""The published procedure, Algorithm 2: differences along tokens first, then functions of size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from statlas.core import InputError
from statlas.scaling.farseer.law import Constants, FloatArray, bent, farseer_loss

Criterion = Literal["relative", "squares"]

# Two numbers of tokens make a difference when they are this factor apart or more; the paper's are
# at a factor of 1.41, and its code takes factors of 1.35 to 1.45.
LEAST_FACTOR = 1.35
_FEWEST_DIFFERENCES, _FEWEST_SIZES = 2, 3
# Exponents tried: from -0.5 to 0.5 to four digits, as in the paper's code, in three passes.
_GRID = np.arange(-50, 51) / 100
_FINER = (np.arange(-10, 11) / 1_000, np.arange(-10, 11) / 10_000)
_MOST_ROUNDS, _SMALL_CHANGE = 10, 1e-4


@dataclass(frozen=True)
class Differences:
    """Losses less those at more tokens of the same size, Eq. (6); the term of size drops out.

    Attributes
    ----------
    sizes
        The different sizes, shape (n_sizes,).
    size
        Place of each difference's size in `sizes`, shape (n_differences,).
    tokens, factor
        D, and lambda by which the later tokens are more.
    fall
        R = L(N, D) - L(N, lambda D).
    """

    sizes: FloatArray
    size: NDArray[np.int64]
    tokens: FloatArray
    factor: FloatArray
    fall: FloatArray


def loss_differences(
    parameters: FloatArray, tokens: FloatArray, loss: FloatArray, least: float = LEAST_FACTOR
) -> Differences:
    """Pair each run with the next one of its size whose tokens are `least` times as many or more.

    Parameters
    ----------
    parameters, tokens, loss
        One row for each size and number of tokens, shape (n_cells,).
    least
        Smallest factor between the tokens of a pair.
    """
    sizes, size = np.unique(parameters, return_inverse=True)
    order = np.lexsort([tokens, size])
    n, d, values = size[order], tokens[order], loss[order]
    # Sizes apart by more than any factor of tokens: one search finds the partners of all.
    span = np.log(d.max() / d.min()) + np.log(least) + 1.0
    key = n * span + np.log(d)
    later = np.searchsorted(key, key + np.log(least) - 1e-9)
    paired = later < len(key)
    paired[paired] = n[later[paired]] == n[paired]
    first, second = np.flatnonzero(paired), later[paired]
    return Differences(
        sizes, n[first], d[first], d[second] / d[first], values[first] - values[second]
    )


@dataclass(frozen=True)
class SizeExponents:
    """Stage 1: the power law of the differences of each size.

    Attributes
    ----------
    sizes, exponent, coefficient
        N, A_N and B_N, shape (n_sizes,), of the sizes that gave a positive exponent.
    used
        Differences behind each.
    left_out
        Sizes with too few positive differences, or an exponent at or below 0.
    n_not_positive
        Differences that were not above 0, which have no logarithm.
    """

    sizes: FloatArray
    exponent: FloatArray
    coefficient: FloatArray
    used: NDArray[np.int64]
    left_out: FloatArray
    n_not_positive: int


def size_exponents(differences: Differences) -> SizeExponents:
    """Eq. (7): log R = log(B (1 - lambda^-A)) - A log D by least squares, size by size.

    With one lambda this is the paper's regression. With several, log(1 - lambda^-A) is moved to
    the left and A found by repetition, for all sizes at once.
    """
    above = differences.fall > 0
    size = differences.size[above]
    log_data = np.log(differences.tokens[above])
    log_fall = np.log(differences.fall[above])
    log_factor = np.log(differences.factor[above])
    n_sizes = len(differences.sizes)
    counts = np.bincount(size, minlength=n_sizes)
    enough = counts >= _FEWEST_DIFFERENCES
    slope, intercept = np.zeros(n_sizes), np.zeros(n_sizes)
    for _ in range(60):
        # (1 - lambda^-A) / A, which stays positive and smooth as A passes 0.
        share = np.log(bent(-log_factor, slope[size])[0] * -1.0)
        new, intercept = _lines(size, log_data, log_fall - share, n_sizes)
        new = np.clip(-new, -5.0, 5.0)
        moved = np.max(np.abs(new - slope)[enough], initial=0.0)
        slope = new
        if moved < 1e-12:
            break
    kept = enough & (slope > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        coefficient = np.exp(intercept) / slope
    return SizeExponents(
        differences.sizes[kept],
        slope[kept],
        coefficient[kept],
        counts[kept],
        differences.sizes[~kept],
        int(np.sum(~above)),
    )


def _lines(
    group: NDArray[np.int64], x: FloatArray, y: FloatArray, n_groups: int
) -> tuple[FloatArray, FloatArray]:
    """Slope and intercept of the least-squares line of each group, shape (n_groups,) each."""
    counts = np.maximum(np.bincount(group, minlength=n_groups), 1)
    mean_x = np.bincount(group, x, n_groups) / counts
    mean_y = np.bincount(group, y, n_groups) / counts
    around = x - mean_x[group]
    spread = np.bincount(group, around**2, n_groups)
    shared = np.bincount(group, around * (y - mean_y[group]), n_groups)
    slope = shared / np.where(spread > 0, spread, np.inf)
    return slope, mean_y - slope * mean_x


@dataclass(frozen=True)
class BentLine:
    """log of a function of size as a N^bend + b: exponents tried, with the line for each.

    `values(u)` gives the lines at u = log(N / N0), shape (n_bends, n_sizes).
    """

    bends: FloatArray
    slope: FloatArray
    intercept: FloatArray

    def values(self, log_ratio: FloatArray) -> FloatArray:
        """The lines at some sizes."""
        curve = bent(log_ratio, self.bends[:, None])[0]
        return np.asarray(self.intercept[:, None] + self.slope[:, None] * curve)

    def take(self, place: int) -> BentLine:
        """One of them."""
        return BentLine(self.bends[[place]], self.slope[[place]], self.intercept[[place]])


def bent_lines(log_ratio: FloatArray, logs: FloatArray, bends: FloatArray) -> BentLine:
    """Least squares of `logs` on N^bend for each bend; log N stands for the bend 0."""
    curve = bent(log_ratio, bends[:, None])[0]
    around = curve - curve.mean(axis=1, keepdims=True)
    slope = (around @ (logs - logs.mean())) / np.maximum(np.sum(around**2, axis=1), 1e-300)
    return BentLine(bends, slope, logs.mean() - slope * curve.mean(axis=1))


Score = Callable[[BentLine], FloatArray]


def best_line(log_ratio: FloatArray, logs: FloatArray, score: Score) -> BentLine:
    """The bent line with the lowest score: a grid of exponents, then finer ones at the best."""
    lines = bent_lines(log_ratio, logs, _GRID)
    best = lines.take(int(np.argmin(score(lines))))
    for steps in _FINER:
        lines = bent_lines(log_ratio, logs, np.round(best.bends[0] + steps, 4))
        best = lines.take(int(np.argmin(score(lines))))
    return best


@dataclass(frozen=True)
class Staged:
    """The published procedure's result.

    Attributes
    ----------
    constants
        The nine constants.
    exponents
        Stage 1.
    floor_sizes, floor
        Stage 3: sizes and G(N), the mean over D of L less the data term.
    difference_error
        Mean relative error of the fitted differences.
    rounds
        Rounds of stage 2.
    constrained
        Whether the coefficient B could be kept falling with size to a limit, as the paper's code
        asks (beta < 0, a2 > 0).
    """

    constants: Constants
    exponents: SizeExponents
    floor_sizes: FloatArray
    floor: FloatArray
    difference_error: float
    rounds: int
    constrained: bool

    def loss(self, parameters: FloatArray, tokens: FloatArray) -> FloatArray:
        """The fitted law."""
        return farseer_loss(parameters, tokens, self.constants)


def fit_staged(
    parameters: FloatArray,
    tokens: FloatArray,
    loss: FloatArray,
    *,
    criterion: Criterion = "relative",
) -> Staged:
    """Algorithm 2 of the paper.

    Parameters
    ----------
    parameters, tokens, loss
        One row for each size and number of tokens, shape (n_cells,).
    criterion
        What stages 2 and 3 minimise: the mean relative error, as the released code does, or the
        sum of squares, as the text says.

    Raises
    ------
    InputError
        Where fewer than three sizes have enough falling losses for an exponent.
    """
    differences = loss_differences(parameters, tokens, loss)
    found = size_exponents(differences)
    if len(found.sizes) < _FEWEST_SIZES:
        raise InputError(
            f"only {len(found.sizes)} of {len(differences.sizes)} sizes have "
            f"{_FEWEST_DIFFERENCES} differences of loss along tokens that fall as a power law; "
            f"the staged procedure needs {_FEWEST_SIZES}",
            remedy="add sizes trained to three or more numbers of tokens",
        )
    centre = float(np.exp(np.mean(np.log(found.sizes))))
    kept = np.isin(differences.sizes, found.sizes)[differences.size] & (differences.fall > 0)
    stage = _Stage2(
        np.log(found.sizes / centre), np.log(found.exponent), np.log(found.coefficient),
        np.searchsorted(found.sizes, differences.sizes[differences.size[kept]]),
        np.log(differences.tokens[kept]), np.log(differences.factor[kept]),
        differences.fall[kept], criterion,
    )  # fmt: skip
    exponent, coefficient, rounds, constrained = stage.refine()
    known = np.isin(parameters, found.sizes)
    floor_sizes, floor = _floor(
        parameters[known], tokens[known], loss[known], centre, exponent, coefficient
    )
    if np.any(floor <= 0):
        raise InputError(
            "what is left of the loss after the data term is not above 0 for "
            f"{int(np.sum(floor <= 0))} of {len(floor)} sizes, so the staged procedure has no "
            "third stage",
            remedy="add runs with more tokens, which pin the data term down",
        )
    log_floor = np.log(floor)
    u = np.log(floor_sizes / centre)

    def error(lines: BentLine) -> FloatArray:
        off = lines.values(u) - log_floor
        if criterion == "relative":
            return np.asarray(np.mean(np.abs(np.expm1(off)), axis=1))
        return np.asarray(np.sum(off**2, axis=1))

    size_line = best_line(u, log_floor, error)
    return Staged(
        _constants(centre, exponent, coefficient, size_line),
        found,
        floor_sizes,
        floor,
        float(stage.relative_error(exponent, coefficient)[0]),
        rounds,
        constrained,
    )


def _floor(
    parameters: FloatArray,
    tokens: FloatArray,
    loss: FloatArray,
    centre: float,
    exponent: BentLine,
    coefficient: BentLine,
) -> tuple[FloatArray, FloatArray]:
    """Eq. (12): G(N), the mean over D of the loss less the data term, for each size."""
    u = np.log(parameters / centre)
    power = np.exp(exponent.values(u)[0])
    data_term = np.exp(coefficient.values(u)[0] - power * np.log(tokens))
    sizes, place = np.unique(parameters, return_inverse=True)
    return sizes, np.bincount(place, loss - data_term) / np.bincount(place)


@dataclass(frozen=True)
class _Stage2:
    """Stage 2: functions A(N) and B(N) through the points of stage 1."""

    log_ratio: FloatArray  # (n_sizes,), log(N / N0)
    log_exponent: FloatArray
    log_coefficient: FloatArray
    size: NDArray[np.int64]  # (n_differences,)
    log_data: FloatArray
    log_factor: FloatArray
    fall: FloatArray
    criterion: Criterion

    def refine(self) -> tuple[BentLine, BentLine, int, bool]:
        """Exponents of A and B in turn, until neither moves; lines A and B."""
        a = best_line(self.log_ratio, self.log_exponent, self._own_error(self.log_exponent))
        points = self._own_error(self.log_coefficient)
        b, constrained = self._best_coefficient(points)
        rounds, last = 0, np.inf
        while rounds < _MOST_ROUNDS:
            rounds += 1
            fixed_b = b

            def given_b(lines: BentLine, fixed: BentLine = fixed_b) -> FloatArray:
                return self.error(lines, fixed)

            a = best_line(self.log_ratio, self.log_exponent, given_b)
            fixed_a = a

            def given_a(lines: BentLine, fixed: BentLine = fixed_a) -> FloatArray:
                return self.error(fixed, lines)

            b, constrained = self._best_coefficient(given_a)
            reached = float(self.error(a, b)[0])
            if not reached < (1 - _SMALL_CHANGE) * last:
                break
            last = reached
        return a, b, rounds, constrained

    def _own_error(self, logs: FloatArray) -> Score:
        def error(lines: BentLine) -> FloatArray:
            off = lines.values(self.log_ratio) - logs
            if self.criterion == "relative":
                return np.asarray(np.mean(np.abs(np.expm1(np.minimum(off, 500))), axis=1))
            return np.asarray(np.sum(off**2, axis=1))

        return error

    def _best_coefficient(self, score: Score) -> tuple[BentLine, bool]:
        """B that falls with size to a limit (beta < 0, a2 > 0), where any exponent gives one."""

        def admissible(lines: BentLine) -> FloatArray:
            falls = (lines.bends < 0) & (lines.slope < 0)
            return np.where(falls, score(lines), np.inf)

        lines = bent_lines(self.log_ratio, self.log_coefficient, _GRID)
        if np.isfinite(admissible(lines)).any():
            return best_line(self.log_ratio, self.log_coefficient, admissible), True
        return best_line(self.log_ratio, self.log_coefficient, score), False

    def error(self, exponents: BentLine, coefficients: BentLine) -> FloatArray:
        """Error of the differences for lines of A and B, one of which may be many."""
        fitted = self._fitted(exponents, coefficients)
        if self.criterion == "relative":
            return np.asarray(np.mean(np.abs(fitted / self.fall - 1), axis=1))
        return np.asarray(np.sum((fitted - self.fall) ** 2, axis=1))

    def relative_error(self, exponents: BentLine, coefficients: BentLine) -> FloatArray:
        """Mean relative error of the differences."""
        fitted = self._fitted(exponents, coefficients)
        return np.asarray(np.mean(np.abs(fitted / self.fall - 1), axis=1))

    def _fitted(self, exponents: BentLine, coefficients: BentLine) -> FloatArray:
        with np.errstate(over="ignore", invalid="ignore"):
            power = np.exp(exponents.values(self.log_ratio))[:, self.size]
            log_b = coefficients.values(self.log_ratio)[:, self.size]
            fitted = np.exp(log_b - power * self.log_data) * -np.expm1(-power * self.log_factor)
        return np.asarray(np.where(np.isfinite(fitted), fitted, 1e300))


def _constants(
    centre: float, exponent: BentLine, coefficient: BentLine, size_line: BentLine
) -> Constants:
    """The paper's constants of the three lines."""
    triples = []
    for line in (exponent, coefficient, size_line):
        bend = float(line.bends[0])
        # The limit of a vanishing exponent is a power law; a tiny exponent is that within rounding.
        bend = bend if abs(bend) > 1e-9 else 1e-6
        slope, intercept = float(line.slope[0]), float(line.intercept[0])
        triples += [slope / (bend * centre**bend), intercept - slope / bend, bend]
    return Constants(*triples)
