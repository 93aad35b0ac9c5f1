"""The cheapest way to a low loss: model size and data for a compute budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from statlas.core.errors import InputError
from statlas.core.numerics.laws.law import FloatArray, Law

FLOPS_PER_PARAMETER_AND_TOKEN = 6.0
_GRID, _ZOOMS = 161, 12


@dataclass(frozen=True)
class Allocation:
    """Compute-optimal sizes, shape (n_fits, n_budgets) each.

    Attributes
    ----------
    size, data, loss
        Parameters, tokens and the law's loss there.
    inside
        Whether the optimum lies within the sizes searched; where not, the end is given.
    """

    size: FloatArray
    data: FloatArray
    loss: FloatArray
    inside: FloatArray


def compute_optimal(
    law: Law,
    parameters: ArrayLike,
    compute: ArrayLike,
    *,
    flops_per_token: Callable[[FloatArray], FloatArray] | None = None,
    overhead: Callable[[FloatArray], FloatArray] | None = None,
    most_data: float = np.inf,
    sizes: tuple[float, float] | None = None,
) -> Allocation:
    """Size and data with the least loss for each budget, for each set of parameters.

    Parameters
    ----------
    law
        A law with inputs ``N`` and ``D``.
    parameters
        Natural units, shape (n_fits, n_parameters), such as bootstrap draws.
    compute
        Budgets in floating-point operations, shape (n_budgets,).
    flops_per_token
        Cost of a token for a model of size N; 6 N by default.
    overhead
        Operations that a model of size N takes from the budget besides training, such as those
        of serving it; none by default.
    most_data
        Tokens that there are; what they leave of the budget is not spent.
    sizes
        Sizes to search; by default 1 parameter to the size at which a single token costs it all.

    Examples
    --------
    >>> from statlas.core.numerics.laws import CHINCHILLA
    >>> best = compute_optimal(CHINCHILLA, [[1.69, 406.4, 410.7, 0.34, 0.28]], [5.76e23])
    >>> print(f"{best.size[0, 0]:.3g} {best.data[0, 0]:.3g}")
    3.22e+10 2.98e+12
    """
    if set(law.inputs) != {"N", "D"}:
        raise InputError(f"an allocation needs a law of N and D; {law.name!r} takes {law.inputs}")
    natural = np.atleast_2d(np.asarray(parameters, dtype=float))
    budgets = np.atleast_1d(np.asarray(compute, dtype=float))
    if not np.all(budgets > 0):
        raise InputError("compute budgets must be above 0")
    cost = flops_per_token or (lambda size: FLOPS_PER_PARAMETER_AND_TOKEN * size)

    def affordable(size: FloatArray, budget: FloatArray) -> FloatArray:
        left = budget if overhead is None else budget - overhead(size)
        return np.minimum(left / cost(size), most_data)

    n_fits, n_budgets = len(natural), len(budgets)
    low, high = sizes if sizes is not None else (1.0, float(budgets.max()) / 6)
    lower = np.full((n_fits, n_budgets), np.log(low))
    upper = np.full((n_fits, n_budgets), np.log(high))
    first = lower[0, 0], upper[0, 0]
    shares = np.linspace(0, 1, _GRID)
    repeated = np.repeat(natural, n_budgets, axis=0)
    spent = np.tile(budgets, n_fits)[:, None]
    for zoom in range(_ZOOMS):
        grid = (
            lower[..., None] + shares[: _GRID if zoom == 0 else None] * (upper - lower)[..., None]
        )
        flat = grid.reshape(n_fits * n_budgets, -1)
        losses = _losses(law, repeated, flat, affordable(np.exp(flat), spent))
        at = losses.argmin(axis=1)
        rows = np.arange(len(flat))
        lower = flat[rows, np.maximum(at - 1, 0)].reshape(n_fits, n_budgets)
        upper = flat[rows, np.minimum(at + 1, flat.shape[1] - 1)].reshape(n_fits, n_budgets)
        best = flat[rows, at].reshape(n_fits, n_budgets)
        shares = np.linspace(0, 1, 9)
    size = np.exp(best)
    data = affordable(size, budgets)
    loss = losses.min(axis=1).reshape(n_fits, n_budgets)
    inside = (best > first[0] + 1e-6) & (best < first[1] - 1e-6)
    return Allocation(size, data, loss, inside)


def _losses(law: Law, natural: FloatArray, log_size: FloatArray, data: FloatArray) -> FloatArray:
    """The law where each fit has inputs of its own, shape (n_fits, n_points)."""
    parameters = {name: natural[:, [place]] for place, name in enumerate(law.names)}
    with np.errstate(all="ignore"):  # a size that leaves nothing for data has no loss
        inputs = {"N": np.exp(log_size), "log N": log_size, "D": data, "log D": np.log(data)}
        value, _ = law.formula(parameters, inputs)
    return np.where(np.isfinite(value) & (data > 0), value, np.inf)


def power_allocation(
    parameters: ArrayLike, compute: ArrayLike, flops: float = FLOPS_PER_PARAMETER_AND_TOKEN
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Closed form of the optimum of E + A N^-alpha + B D^-beta under C = flops x N x D.

    Parameters
    ----------
    parameters
        E, A, B, alpha, beta in natural units, shape (n_fits, 5), the order of ``CHINCHILLA``.
    compute
        Budgets, shape (n_budgets,).
    flops
        Floating-point operations a parameter and token.

    Returns
    -------
    size, data, exponent
        (n_fits, n_budgets) twice, and the exponent beta / (alpha + beta) of the size, (n_fits,).

    Examples
    --------
    >>> size, data, exponent = power_allocation([[1.69, 406.4, 410.7, 0.34, 0.28]], [5.76e23])
    >>> print(f"{size[0, 0]:.3g} {data[0, 0]:.3g} {exponent[0]:.3f}")
    3.22e+10 2.98e+12 0.452
    """
    natural = np.atleast_2d(np.asarray(parameters, dtype=float))
    _, a, b, alpha, beta = natural.T
    budgets = np.atleast_1d(np.asarray(compute, dtype=float))
    with np.errstate(all="ignore"):  # exponents of 0 have no optimum: it is 0, infinite or NaN
        exponent = beta / (alpha + beta)
        factor = (alpha * a / (beta * b)) ** (1 / (alpha + beta))
        size = factor[:, None] * (budgets / flops) ** exponent[:, None]
        return size, budgets / flops / size, exponent
