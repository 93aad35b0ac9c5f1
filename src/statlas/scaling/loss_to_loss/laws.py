"""The law of one data set, the shifted power law between two, and what it carries across."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from statlas.core import InputError
from statlas.core.numerics.laws import (
    CHINCHILLA,
    SHIFTED_POWER_LAW,
    Law,
    LawFit,
    Objective,
    fit_law,
)
from statlas.core.numerics.laws.law import ByName, Parameter

FloatArray = NDArray[np.float64]
Answer = tuple[FloatArray, Mapping[str, FloatArray]]

HUBER = Objective("log", huber=1e-3)
SQUARES = Objective("linear")
FEWEST_FOR_LAW = 6


def _shifted_kaplan(p: ByName, x: ByName) -> Answer:
    # E + ((A / N)^(alpha / beta) + B / D)^beta from u = (alpha / beta) log(A / N), v = log(B / D).
    u = p["alpha"] / p["beta"] * (np.log(p["A"]) - x["log N"])
    v = np.log(p["B"]) - x["log D"]
    log_sum = np.logaddexp(u, v)
    share = np.exp(u - log_sum)  # of the size term in the sum
    term = np.exp(p["beta"] * log_sum)
    return p["E"] + term, {
        "E": p["E"],
        "A": term * p["alpha"] * share,
        "B": term * p["beta"] * (1 - share),
        "alpha": term * p["beta"] * share * u,
        "beta": term * p["beta"] * (log_sum - share * u),
    }


def shifted_kaplan(size: ArrayLike, tokens: ArrayLike) -> Law:
    """The law E + ((A / N)^(alpha / beta) + B / D)^beta, with starts around given sizes.

    Parameters
    ----------
    size, tokens
        Parameters and tokens of the runs to be fitted, above 0.
    """
    sizes, lengths = np.asarray(size, dtype=float), np.asarray(tokens, dtype=float)
    return Law(
        "shifted kaplan",
        "E + ((A / N)^(alpha / beta) + B / D)^beta",
        ("N", "D"),
        (
            Parameter("E", (0.2, 3.0), log=True),
            Parameter("A", (0.05 * sizes.min(), 50 * sizes.max()), log=True),
            Parameter("B", (0.05 * lengths.min(), 50 * lengths.max()), log=True),
            Parameter("alpha", (0.1, 1.0), log=True, domain=(1e-3, 10.0), scale=0.7),
            Parameter("beta", (0.1, 1.0), log=True, domain=(1e-3, 10.0), scale=0.7),
        ),
        _shifted_kaplan,
    )


def fit_loss_law(
    size: ArrayLike,
    tokens: ArrayLike,
    loss: ArrayLike,
    *,
    form: str = "kaplan",
    n_starts: int = 96,
    rng: int | np.random.Generator = 0,
) -> LawFit:
    """A data set's own law, by Huber's function (1e-3) of log residuals.

    Parameters
    ----------
    size, tokens, loss
        Of its runs, shape (n_runs,) each, above 0.
    form
        ``"kaplan"``: E + ((A / N)^(alpha / beta) + B / D)^beta; ``"chinchilla"``:
        E + A N^-alpha + B D^-beta.
    n_starts
        Number of starts.
    rng
        Source of the starts.

    Raises
    ------
    InputError
        For fewer than six runs.
    """
    sizes, lengths = np.asarray(size, dtype=float), np.asarray(tokens, dtype=float)
    if len(sizes) < FEWEST_FOR_LAW:
        raise InputError(
            f"a law has five parameters and needs {FEWEST_FOR_LAW} runs; found {len(sizes)}",
            remedy="add runs of the first data set, or fit its offset (offsets='fitted')",
        )
    law = shifted_kaplan(sizes, lengths) if form == "kaplan" else CHINCHILLA
    return fit_law(law, {"N": sizes, "D": lengths}, loss, HUBER, n_starts=n_starts, rng=rng)


# --- between losses -------------------------------------------------------------------------------


def relation_law(first: ArrayLike, second: ArrayLike) -> Law:
    """L1 = K (L0 - E0)^kappa + E1 with 0 <= E0 < min L0 and 0 <= E1 < min L1."""
    lowest = {"E0": float(np.min(first)), "E1": float(np.min(second))}
    parameters = []
    for parameter in SHIFTED_POWER_LAW.parameters:
        if parameter.name in lowest:
            top = lowest[parameter.name] * (1 - 1e-6)
            parameter = replace(parameter, start=(0.1 * top, 0.95 * top), domain=(1e-4 * top, top))
        parameters.append(parameter)
    return replace(SHIFTED_POWER_LAW, parameters=tuple(parameters))


def log_line(
    first: FloatArray, second: FloatArray, e0: FloatArray, e1: FloatArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """K and kappa by least squares of log(L1 - E1) on log(L0 - E0), for many offsets at once.

    Parameters
    ----------
    first, second
        Paired losses, shape (n_pairs,).
    e0, e1
        Offsets, shape (n_fits,).
    weights
        Weights, shape (n_fits, n_pairs); pairs with a loss at or below its offset get none.

    Returns
    -------
    K, kappa
        Shape (n_fits,) each; NaN with fewer than two usable pairs.
    """
    above = (first > e0[:, None]) & (second > e1[:, None])
    w = np.where(above, weights, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        x = np.where(above, np.log(np.maximum(first - e0[:, None], 1e-300)), 0.0)
        y = np.where(above, np.log(np.maximum(second - e1[:, None], 1e-300)), 0.0)
        total = w.sum(axis=1)
        mean_x, mean_y = (w * x).sum(axis=1) / total, (w * y).sum(axis=1) / total
        centred = x - mean_x[:, None]
        kappa = (w * centred * (y - mean_y[:, None])).sum(axis=1) / (w * centred**2).sum(axis=1)
        return np.exp(mean_y - kappa * mean_x), kappa


def relate(parameters: FloatArray, first: ArrayLike) -> FloatArray:
    """L1 = K (L0 - E0)^kappa + E1; E1 where L0 is below E0, as nothing is left of the power.

    Parameters
    ----------
    parameters
        K, kappa, E0, E1, shape (..., 4).
    first
        L0, broadcast against the leading axes of the parameters.
    """
    k, kappa, e0, e1 = np.moveaxis(np.asarray(parameters, dtype=float), -1, 0)
    excess = np.maximum(np.asarray(first, dtype=float) - e0, 0.0)
    return np.asarray(k * excess**kappa + e1)


def translate(law: Mapping[str, float], relation: Mapping[str, float]) -> dict[str, float]:
    """The second data set's law, from the first's and the shifted power law between them.

    With L0 - E0 = ((A / N)^(alpha / beta) + B / D)^beta exactly, K (L0 - E0)^kappa + E1 has the
    same form with E = E1, alpha and beta times kappa, A K^(1 / (kappa alpha)) and
    B K^(1 / (kappa beta)); the ratio alpha / beta, and with it how the best size grows with
    compute, stays.

    Examples
    --------
    >>> law = {"E": 2.0, "A": 1e8, "B": 1e9, "alpha": 0.4, "beta": 0.5}
    >>> new = translate(law, {"K": 0.25, "kappa": 2.0, "E0": 2.0, "E1": 1.0})
    >>> {name: float(f"{value:.4g}") for name, value in new.items()}
    {'E': 1.0, 'A': 17680000.0, 'B': 250000000.0, 'alpha': 0.8, 'beta': 1.0}
    """
    k, kappa = relation["K"], relation["kappa"]
    return {
        "E": relation["E1"],
        "A": law["A"] * k ** (1 / (kappa * law["alpha"])),
        "B": law["B"] * k ** (1 / (kappa * law["beta"])),
        "alpha": law["alpha"] * kappa,
        "beta": law["beta"] * kappa,
    }
