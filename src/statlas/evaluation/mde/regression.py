"""Accuracy as a straight line in a score, its error on sets held out, and intervals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Line:
    """A fitted line; accuracies it predicts are clipped to [0, 1]."""

    slope: float
    intercept: float

    def __call__(self, score: ArrayLike) -> FloatArray:
        """Accuracy predicted from scores of any shape."""
        return np.clip(self.intercept + self.slope * np.asarray(score, dtype=float), 0.0, 1.0)


def fit_line(score: ArrayLike, accuracy: ArrayLike) -> Line:
    """Least-squares line; flat at the mean accuracy where the score does not vary.

    Examples
    --------
    >>> fit_line([0.0, 1.0, 2.0], [0.5, 0.7, 0.9]).slope.round(12)
    np.float64(0.2)
    """
    x, y = np.asarray(score, dtype=float), np.asarray(accuracy, dtype=float)
    centred = x - x.mean()
    square = float(centred @ centred)
    # A spread that rounding alone could make carries no slope.
    flat = square <= len(x) * (1e-12 * max(1.0, float(np.abs(x).max()))) ** 2
    slope = 0.0 if flat else centred @ y / square
    return Line(slope, float(y.mean() - slope * x.mean()))


def held_out_lines(score: ArrayLike, accuracy: ArrayLike, family: ArrayLike) -> list[Line]:
    """The line without each family of sets in turn.

    Parameters
    ----------
    score, accuracy
        Of each labelled set, shape (n_sets,).
    family
        Family of each set as whole numbers from 0, shape (n_sets,).

    Returns
    -------
    list of Line
        One a family.

    Raises
    ------
    ValueError
        With fewer than two families nothing is left to fit on.
    """
    x, y, groups = np.asarray(score), np.asarray(accuracy), np.asarray(family)
    if len(np.unique(groups)) < 2:
        raise ValueError("holding out a family needs at least two of them")
    n_families = int(groups.max()) + 1
    return [fit_line(x[groups != group], y[groups != group]) for group in range(n_families)]


def held_out_predictions(score: ArrayLike, accuracy: ArrayLike, family: ArrayLike) -> FloatArray:
    """Predict each set from the sets of the other families, shape (n_sets,).

    Examples
    --------
    >>> held_out_predictions([0.0, 1.0, 2.0, 3.0], [0.2, 0.4, 0.6, 0.8], [0, 1, 2, 3]).round(6)
    array([0.2, 0.4, 0.6, 0.8])
    """
    lines = held_out_lines(score, accuracy, family)
    pairs = zip(np.asarray(score), np.asarray(family), strict=True)
    return np.array([float(lines[group](x)) for x, group in pairs])


def held_out_interval(
    new: float, score: ArrayLike, accuracy: ArrayLike, family: ArrayLike, level: float = 0.9
) -> tuple[float, float]:
    """Prediction interval from the errors on held-out families (CV+ of Barber et al. 2021).

    Parameters
    ----------
    new
        Score of the set without labels.
    score, accuracy, family
        As in `held_out_lines`.
    level
        Nominal level in (0, 1).

    Returns
    -------
    low, high
        Within [0, 1]; an end is 0 or 1 where there are too few sets for the level.

    Notes
    -----
    Each labelled set votes with the line that has not seen its family, plus and minus that line's
    error on it; the ends are order statistics of the votes. Nominal if the new set is
    exchangeable with the labelled ones.

    References
    ----------
    Barber et al. (2021), Predictive Inference with the Jackknife+, arXiv:1905.02928.
    """
    y, groups = np.asarray(accuracy, dtype=float), np.asarray(family)
    lines = held_out_lines(score, y, groups)
    errors = np.abs(held_out_predictions(score, y, groups) - y)
    votes = np.array([float(lines[group](new)) for group in groups])
    rank = int(np.ceil(level * (len(y) + 1)))
    if rank > len(y):
        return 0.0, 1.0
    low, high = np.sort(errors - votes)[rank - 1], np.sort(votes + errors)[rank - 1]
    return float(np.clip(-low, 0.0, 1.0)), float(np.clip(high, 0.0, 1.0))


def regression_interval(
    new: float, score: ArrayLike, accuracy: ArrayLike, level: float = 0.9
) -> tuple[float, float]:
    """Student's prediction interval of a straight-line regression, clipped to [0, 1].

    Parameters as in `held_out_interval`; families are ignored and errors taken as independent and
    equally large.

    Raises
    ------
    ValueError
        With fewer than three sets.
    """
    x, y = np.asarray(score, dtype=float), np.asarray(accuracy, dtype=float)
    if len(x) < 3:
        raise ValueError("a prediction interval of a line needs at least three sets")
    slope, intercept = (line := fit_line(x, y)).slope, line.intercept
    residual = y - intercept - slope * x
    scale = np.sqrt(residual @ residual / (len(x) - 2))
    square = float(((x - x.mean()) ** 2).sum())
    distance = 0.0 if slope == 0 else (new - x.mean()) ** 2 / square
    margin = stdtrit(len(x) - 2, (1 + level) / 2) * scale * np.sqrt(1 + 1 / len(x) + distance)
    centre = intercept + slope * new
    return float(np.clip(centre - margin, 0, 1)), float(np.clip(centre + margin, 0, 1))
