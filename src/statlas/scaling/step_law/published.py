"""Published rules for the learning rate and the batch size, as calculators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

FloatArray = NDArray[np.float64]

# Means and covariance of the 1000 refits that the authors released: constant and exponents of N and
# D of log(learning rate), then constant and exponent of D of log(batch size in tokens).
_REFITS_MEAN = np.array([0.58630779, -0.71292229, 0.30749095, -0.54354217, 0.57094436])
_REFITS_COVARIANCE = (
    np.array(
        [
            [3.89062e-1, -1.355894e-2, -5.132532e-3],
            [0, 8.914857e-4, -1.743318e-4],
            [0, 0, 3.663118e-4],
        ]
    ),
    np.array([[1.911796e-1, -8.151572e-3], [0, 3.485179e-4]]),
)


class Advice(NamedTuple):
    """What a rule says for one training: peak learning rate, and batch size in tokens.

    NaN where the rule has none.
    """

    learning_rate: float
    batch_size: float


@dataclass(frozen=True)
class Rule:
    """A published rule.

    Attributes
    ----------
    name, formula, source
        Short name, the formula as text, and where it is from.
    advise
        From parameters, tokens and loss (NaN where unknown) to the settings.
    """

    name: str
    formula: str
    source: str
    advise: Callable[[float, float, float], Advice]


def _step(n: float, d: float, _: float) -> Advice:
    return Advice(1.79 * n**-0.713 * d**0.307, 0.58 * d**0.571)


def _deepseek(n: float, d: float, _: float) -> Advice:
    compute = 6 * n * d
    return Advice(0.3118 * compute**-0.125, 0.292 * compute**0.3271)


def _porian(n: float, _: float, __: float) -> Advice:
    return Advice(3.7 * n**-0.36, 0.7576 * n**0.703)


def _kaplan(n: float, _: float, loss: float) -> Advice:
    rate = 0.003239 - 0.0001395 * float(np.log(n))
    return Advice(rate if rate > 0 else np.nan, 2e8 * loss ** (-1 / 0.21))


RULES = (
    Rule(
        "Step Law",
        "lr = 1.79 N^-0.713 D^0.307, batch = 0.58 D^0.571 tokens",
        "Li et al. 2025, arXiv:2503.04715",
        _step,
    ),
    Rule(
        "DeepSeek",
        "lr = 0.3118 C^-0.125, batch = 0.292 C^0.3271 tokens, C = 6 N D",
        "Bi et al. 2024, arXiv:2401.02954",
        _deepseek,
    ),
    Rule(
        "Porian",
        "lr = 3.7 N^-0.36, batch = 0.7576 N^0.703 tokens",
        "Porian et al. 2024, arXiv:2406.19146",
        _porian,
    ),
    Rule(
        "Kaplan",
        "lr = 0.003239 - 0.0001395 ln N, batch = 2e8 loss^-4.76 tokens",
        "Kaplan et al. 2020, arXiv:2001.08361",
        _kaplan,
    ),
)


def step_law(parameters: float, tokens: float) -> Advice:
    """The published Step Law.

    Parameters
    ----------
    parameters
        Weights without embeddings and last layer.
    tokens
        Tokens trained on.

    Examples
    --------
    >>> advice = step_law(1e9, 1e11)
    >>> print(f"{advice.learning_rate:.2e} {advice.batch_size:.3g}")
    1.63e-03 1.11e+06
    """
    return _step(parameters, tokens, np.nan)


def step_law_intervals(
    parameters: float, tokens: float, level: float = 0.95
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Intervals of the published law's learning rate and batch size.

    They come from the spread of the authors' refits, drawn run by run: they say how well their runs
    fix their law, not how far a new training may lie from it.
    """
    quantile = float(ndtri((1 + level) / 2))
    logs = np.log([parameters, tokens])
    rows = (np.array([1.0, *logs]), np.array([1.0, logs[1]]))
    ends = []
    for row, mean, upper in zip(
        rows, (_REFITS_MEAN[:3], _REFITS_MEAN[3:]), _REFITS_COVARIANCE, strict=True
    ):
        covariance = upper + upper.T - np.diag(np.diag(upper))
        centre, half = float(row @ mean), quantile * float(np.sqrt(row @ covariance @ row))
        ends.append((float(np.exp(centre - half)), float(np.exp(centre + half))))
    return ends[0], ends[1]
