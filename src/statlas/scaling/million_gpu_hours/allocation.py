"""Size and tokens for a budget under each kind of law, with data and serving as limits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from statlas.core import OptionError
from statlas.core.numerics.laws import CHINCHILLA, compute_optimal, power_allocation
from statlas.scaling.million_gpu_hours.published import SizeLaw

FloatArray = NDArray[np.float64]

# Operations a parameter and token: forward and backward pass in training, forward in serving.
_TRAINING, _SERVING = 6.0, 2.0


@dataclass(frozen=True)
class Limits:
    """What else the plan must respect.

    Attributes
    ----------
    least_tokens
        Tokens that must be trained on, as for text of many languages.
    most_tokens
        Tokens that can be trained on, repetitions included.
    served_tokens
        Tokens that the same budget must serve with the trained model.
    """

    least_tokens: float = 0.0
    most_tokens: float = np.inf
    served_tokens: float = 0.0

    def kept(self, size: FloatArray, compute: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Size and tokens that spend the budget within the limits, nearest to a wanted size.

        With all tokens used the rest of the budget buys parameters, and the other way round.
        """
        served = _SERVING * self.served_tokens
        smallest = compute / (_TRAINING * self.most_tokens + served)
        within = np.maximum(size, smallest)
        if self.least_tokens > 0:
            within = np.minimum(within, compute / (_TRAINING * self.least_tokens + served))
        return within, (compute / within - served) / _TRAINING


@dataclass(frozen=True)
class Sizes:
    """Best sizes, tokens and losses, shape (n_draws,) each; loss NaN where the law has none."""

    size: FloatArray
    tokens: FloatArray
    loss: FloatArray


def allocate_loss_law(parameters: FloatArray, compute: FloatArray, limits: Limits) -> Sizes:
    """Best sizes under E + A N^-alpha + B D^-beta, each draw with its own budget.

    Without serving this is Hoffmann et al.'s Eq. (4); where it asks for more tokens than there
    are, all are used and the rest of the budget buys parameters, since the loss falls with both.
    With serving the budget also pays for 2 N operations a token served, and the best size is
    searched for; cf. Sardana et al. (2024), arXiv:2401.00448.

    Parameters
    ----------
    parameters
        Natural units, shape (n_draws, 5).
    compute
        Budgets, shape (n_draws,).
    limits
        Data and serving.

    Examples
    --------
    >>> best = allocate_loss_law(np.array([[1.69, 406.4, 410.7, 0.34, 0.28]]),
    ...                          np.array([5.76e23]), Limits())
    >>> print(f"{best.size[0]:.3g} {best.tokens[0]:.3g}")
    3.22e+10 2.98e+12
    """
    if limits.served_tokens > 0:
        wanted = _serving_too(parameters, compute, limits.served_tokens)
    else:
        unit, _, exponent = power_allocation(parameters, [_TRAINING])
        wanted = unit[:, 0] * (compute / _TRAINING) ** exponent
    size, tokens = limits.kept(wanted, compute)
    e, a, b, alpha, beta = parameters.T
    return Sizes(size, tokens, e + a * size**-alpha + b * tokens**-beta)


def _serving_too(parameters: FloatArray, compute: FloatArray, served: float) -> FloatArray:
    """Best sizes where the budget pays for 2 N operations for each token served as well."""
    found = [
        compute_optimal(
            CHINCHILLA, row[None], [budget], overhead=lambda size: _SERVING * size * served
        )
        for row, budget in zip(parameters, compute, strict=True)
    ]
    return np.array([best.size[0, 0] for best in found])


def allocate_size_law(
    law: SizeLaw, exponents: FloatArray, compute: FloatArray, limits: Limits
) -> Sizes:
    """Best sizes under a law of the size alone.

    Raises
    ------
    OptionError
        If the budget must serve as well: that needs a law of the loss.
    """
    if limits.served_tokens > 0:
        raise OptionError(
            f"the law {law.label!r} says nothing about the loss, so it cannot weigh serving; use "
            "chinchilla-corrected, chinchilla-printed or a table of runs"
        )
    size, tokens = limits.kept(law.size * (compute / law.at) ** exponents, compute)
    return Sizes(size, tokens, np.full_like(size, np.nan))
