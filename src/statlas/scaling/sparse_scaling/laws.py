"""The generalized law and the laws of single architectures, in active parameters and sparsity.

All take N, the active parameters (those that a token is multiplied by), D, the tokens, and
``kept`` = 1 - S, the share of the stored parameters that is active; N / kept are all parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from statlas.core.numerics.laws import Law, Parameter
from statlas.core.numerics.laws.law import ByName

FloatArray = NDArray[np.float64]
Answer = tuple[FloatArray, Mapping[str, FloatArray]]
INPUTS = ("N", "D", "kept")


@dataclass(frozen=True)
class Constants:
    """Coefficients of Eq. (7): e (1-S)^gamma + (a (1-S)^alpha + c S) N^-alpha + b D^-beta."""

    e: float
    a: float
    b: float
    c: float
    alpha: float
    beta: float
    gamma: float


# The paper's Tables VII to IX; losses are in nats a token, N in active parameters, D in tokens.
PUBLISHED = {
    "dense": Constants(1.69, 406.4, 410.7, 0.0, 0.34, 0.28, 0.01),
    "pruned": Constants(0.15, 86.03, 7.90, 29.26, 0.28, 0.08, 2.00),
    "mixture": Constants(0.57, 8.26, 6324.82, 3.57, 0.08, 0.40, 1.19),
}


def generalized_loss(
    active: ArrayLike, tokens: ArrayLike, sparsity: ArrayLike, constants: Constants
) -> FloatArray:
    """Loss by Eq. (7) of the paper.

    Parameters
    ----------
    active, tokens
        Active parameters and training tokens, plain numbers above 0.
    sparsity
        Share of the parameters that is not active, at least 0 and below 1.
    constants
        Such as ``PUBLISHED["mixture"]``.

    Examples
    --------
    >>> print(generalized_loss(37e9, 14.8e12, 0.945, PUBLISHED["mixture"]).round(3))
    1.469
    """
    k, n = constants, np.asarray(active, dtype=float)
    left = 1 - np.asarray(sparsity, dtype=float)
    size = (k.a * left**k.alpha + k.c * (1 - left)) * n**-k.alpha
    return np.asarray(k.e * left**k.gamma + size + k.b * np.asarray(tokens, dtype=float) ** -k.beta)


def _data(p: ByName, x: ByName) -> tuple[FloatArray, dict[str, FloatArray]]:
    term = p["b"] * np.exp(-p["beta"] * x["log D"])
    return term, {"b": term, "beta": -x["log D"] * term}


def _generalized(p: ByName, x: ByName) -> Answer:
    log_n, log_kept = x["log N"], x["log kept"]
    floor = p["e"] * np.exp(p["gamma"] * log_kept)
    stored = p["a"] * np.exp(p["alpha"] * (log_kept - log_n))  # a / (all parameters)^alpha
    active = p["a"] * np.exp(-p["alpha"] * log_n)
    idle = (1 - x["kept"]) * active
    data, slopes = _data(p, x)
    return floor + stored + p["penalty"] * idle + data, {
        **slopes,
        "e": floor,
        "gamma": log_kept * floor,
        "a": stored + p["penalty"] * idle,
        "penalty": idle,
        "alpha": (log_kept - log_n) * stored - p["penalty"] * log_n * idle,
    }


def _dense(p: ByName, log_size: FloatArray, x: ByName) -> Answer:
    by_size = p["a"] * np.exp(-p["alpha"] * log_size)
    data, slopes = _data(p, x)
    return p["e"] + by_size + data, {
        **slopes, "e": p["e"], "a": by_size, "alpha": -log_size * by_size,
    }  # fmt: skip


def _active(p: ByName, x: ByName) -> Answer:
    return _dense(p, x["log N"], x)


def _stored(p: ByName, x: ByName) -> Answer:
    return _dense(p, x["log N"] - x["log kept"], x)


def _pruning(p: ByName, x: ByName) -> Answer:
    power = np.exp(-p["alpha"] * x["log N"])
    falls = p["a_S"] * np.exp(p["b_S"] * x["log kept"]) * power
    stays = p["c_S"] * power
    data, slopes = _data(p, x)
    return p["e"] + falls + stays + data, {
        **slopes,
        "e": p["e"],
        "a_S": falls,
        "b_S": x["log kept"] * falls,
        "c_S": stays,
        "alpha": -x["log N"] * (falls + stays),
    }


def _experts(p: ByName, x: ByName) -> Answer:
    log_experts = -x["log kept"]
    by_size = p["a"] * np.exp(
        p["delta"] * log_experts - (p["alpha"] + p["gamma"] * log_experts) * x["log N"]
    )
    by_data = p["b"] * np.exp(
        p["omega"] * log_experts - (p["beta"] + p["zeta"] * log_experts) * x["log D"]
    )
    return p["e"] + by_size + by_data, {
        "e": p["e"],
        "a": by_size,
        "delta": log_experts * by_size,
        "alpha": -x["log N"] * by_size,
        "gamma": -log_experts * x["log N"] * by_size,
        "b": by_data,
        "omega": log_experts * by_data,
        "beta": -x["log D"] * by_data,
        "zeta": -log_experts * x["log D"] * by_data,
    }


def _mixture(p: ByName, x: ByName) -> Answer:
    log_kept, log_all = x["log kept"], x["log N"] - x["log kept"]
    by_size = p["a"] * np.exp(-p["alpha"] * log_all)
    by_sparsity = p["c"] * np.exp(-p["lambda"] * log_kept)
    by_both = p["d"] * np.exp(-p["delta"] * log_kept - p["gamma"] * log_all)
    data, slopes = _data(p, x)
    return p["e"] + by_size + by_sparsity + by_both + data, {
        **slopes,
        "e": p["e"],
        "a": by_size,
        "alpha": -log_all * by_size,
        "c": by_sparsity,
        "lambda": -log_kept * by_sparsity,
        "d": by_both,
        "delta": -log_kept * by_both,
        "gamma": -log_all * by_both,
    }


_EXPONENT = {"start": (0.05, 1.2), "domain": (0.0, 5.0)}
_E = Parameter("e", (0.3, 3.0), log=True, unit="loss")
_A = Parameter("a", (1.0, 1e8), log=True)
_B = Parameter("b", (1.0, 1e8), log=True)
_ALPHA = Parameter("alpha", **_EXPONENT)  # type: ignore[arg-type]
_BETA = Parameter("beta", **_EXPONENT)  # type: ignore[arg-type]


def _shift(name: str, low: float, high: float) -> Parameter:
    return Parameter(name, (low, high), domain=(-10.0, 10.0))


GENERALIZED = Law(
    "generalized",
    "e (1-S)^gamma + (a (1-S)^alpha + c S) N^-alpha + b D^-beta, c = penalty x a",
    INPUTS,
    (_E, _A, _B, _shift("penalty", -0.5, 2.0), _ALPHA, _BETA, _shift("gamma", -0.5, 1.0)),
    _generalized,
    linear=("e", "a", "b"),
)
DENSE_ACTIVE = Law(
    "dense, active parameters",
    "e + a N^-alpha + b D^-beta",
    INPUTS,
    (_E, _A, _B, _ALPHA, _BETA),
    _active,
    linear=("e", "a", "b"),
)
DENSE_STORED = Law(
    "dense, all parameters",
    "e + a (N / (1-S))^-alpha + b D^-beta",
    INPUTS,
    (_E, _A, _B, _ALPHA, _BETA),
    _stored,
    linear=("e", "a", "b"),
)
PRUNING = Law(
    "pruning",
    "e + (a_S (1-S)^b_S + c_S) N^-alpha + b D^-beta",
    INPUTS,
    (
        _E,
        Parameter("a_S", (1.0, 1e8), log=True),
        _shift("b_S", -0.5, 2.0),
        Parameter("c_S", (1.0, 1e8), log=True),
        _B, _ALPHA, _BETA,
    ),
    _pruning,
    linear=("e", "a_S", "c_S", "b"),
)  # fmt: skip
EXPERTS = Law(
    "experts",
    "e + a E^delta N^-(alpha + gamma log E) + b E^omega D^-(beta + zeta log E), E = 1 / (1-S)",
    INPUTS,
    (
        _E, _A, _B, _shift("delta", -0.5, 0.5), _ALPHA, _shift("gamma", -0.05, 0.05),
        _shift("omega", -0.5, 0.5), _BETA, _shift("zeta", -0.05, 0.05),
    ),
    _experts,
    linear=("e", "a", "b"),
)  # fmt: skip
MIXTURE = Law(
    "mixture",
    "e + a N_all^-alpha + b D^-beta + c (1-S)^-lambda + d (1-S)^-delta N_all^-gamma",
    INPUTS,
    (
        _E, _A, _B, Parameter("c", (0.01, 3.0), log=True), Parameter("d", (0.1, 1e6), log=True),
        _ALPHA, _BETA, _shift("lambda", -1.0, 0.5), _shift("delta", -0.5, 0.5),
        Parameter("gamma", **_EXPONENT),  # type: ignore[arg-type]
    ),
    _mixture,
    linear=("e", "a", "b", "c", "d"),
)  # fmt: skip

LAWS = (DENSE_ACTIVE, DENSE_STORED, GENERALIZED, PRUNING, EXPERTS, MIXTURE)
BY_NAME = {law.name: law for law in LAWS}


def inputs_of(active: ArrayLike, tokens: ArrayLike, sparsity: ArrayLike) -> dict[str, FloatArray]:
    """Inputs of the laws from active parameters, tokens and sparsity."""
    n, d, s = np.broadcast_arrays(
        *(np.atleast_1d(np.asarray(x, dtype=float)) for x in (active, tokens, sparsity))
    )
    return {"N": n.copy(), "D": d.copy(), "kept": 1 - s}


def generalized_start(constants: Mapping[str, float], *, stored: bool) -> FloatArray:
    """A dense fit as a start of the generalized law, shape (7,).

    In all parameters it is the special case of no penalty and gamma = 0. In active parameters it
    is not a special case: at every sparsity above 0 the law differs from it.
    """
    own = {**constants, "penalty": 0.0 if stored else 1.0, "gamma": 0.0}
    return np.array([own[name] for name in GENERALIZED.names])
