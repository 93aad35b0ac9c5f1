"""Farseer's law: as the paper writes it, and as it can be fitted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from statlas.core.numerics.laws import Law, Parameter
from statlas.core.numerics.laws.law import ByName

FloatArray = NDArray[np.float64]
Answer = tuple[FloatArray, Mapping[str, FloatArray]]
SizeTerm = Literal["stretched", "power"]

# Below this size of alpha x log(N / N0) its series is more exact than the closed form.
_SMALL = 1e-3


@dataclass(frozen=True)
class Constants:
    """The nine constants of Eq. (3), each a number or an array of one shape.

    L(N, D) = exp(a3 N^gamma + b3) + exp(a2 N^beta + b2) D^(-exp(a1 N^alpha + b1)), with N in
    parameters and D in tokens.
    """

    a1: float
    b1: float
    alpha: float
    a2: float
    b2: float
    beta: float
    a3: float
    b3: float
    gamma: float


# Eq. (15). N counts parameters without embedding and output layers; L is in bits a character of
# the authors' English validation set.
PUBLISHED = Constants(
    a1=-0.124, b1=0.424, alpha=0.123,
    a2=88.01, b2=-6.287, beta=-0.1,
    a3=-0.021, b3=-0.091, gamma=0.169,
)  # fmt: skip
# Half a unit of the last digit printed.
ROUNDING = Constants(
    a1=5e-4, b1=5e-4, alpha=5e-4, a2=5e-3, b2=5e-4, beta=5e-4, a3=5e-4, b3=5e-4, gamma=5e-4
)


def farseer_loss(
    parameters: ArrayLike, tokens: ArrayLike, constants: Constants = PUBLISHED
) -> FloatArray:
    """Loss by Eq. (3) of the paper.

    Parameters
    ----------
    parameters, tokens
        N (without embeddings, for the published constants) and D, plain numbers above 0.
    constants
        The nine constants; by default the published ones, which give bits a character.

    Returns
    -------
    ndarray
        Of the shape that `parameters`, `tokens` and the constants broadcast to.

    Examples
    --------
    >>> print(farseer_loss(6.37e9, 9.05e10).round(3))
    0.449
    """
    c, size = constants, np.asarray(parameters, dtype=float)
    with np.errstate(over="ignore"):
        fixed = np.exp(c.a3 * size**c.gamma + c.b3)
        exponent = np.exp(c.a1 * size**c.alpha + c.b1)
        log_data = c.a2 * size**c.beta + c.b2 - exponent * np.log(np.asarray(tokens, dtype=float))
        return np.asarray(fixed + np.exp(log_data))


def rounded_constants(n_draws: int, rng: np.random.Generator) -> Constants:
    """Constants that would be printed as the published ones are, shape (n_draws,) each."""
    shifts = rng.uniform(-1, 1, (9, n_draws))
    drawn = [
        value + half * shift
        for value, half, shift in zip(astuple(PUBLISHED), astuple(ROUNDING), shifts, strict=True)
    ]
    return Constants(*drawn)


# --- as it is fitted ------------------------------------------------------------------------------


def bent(log_ratio: FloatArray, bend: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(exp(bend u) - 1) / bend and its derivative by the bend; u itself where the bend is 0.

    a N^bend + b is a line in this function of u = log(N / N0): with slope t and value p at N0,
    a = t / (bend N0^bend) and b = p - t / bend. Slope and value stay finite as the bend vanishes
    and the stretched exponential exp(a N^bend + b) becomes the power law exp(p) (N / N0)^t.
    """
    scaled = np.asarray(bend * log_ratio)
    with np.errstate(all="ignore"):
        grown = np.expm1(scaled)
        value = grown / scaled
        change = (scaled + scaled * grown - grown) / scaled**2
    small = np.abs(scaled) < _SMALL
    if small.any():
        x = scaled[small]
        value[small] = 1 + x / 2 * (1 + x / 3 * (1 + x / 4))
        change[small] = 0.5 + x * (1 / 3 + x * (1 / 8 + x / 30))
    return log_ratio * value, log_ratio**2 * change


def farseer_law(
    size: float, data: float, level: float = 1.0, size_term: SizeTerm = "stretched"
) -> Law:
    """The law in parameters that runs around one size and number of tokens determine.

    Parameters
    ----------
    size, data
        N0 and D0, near the middle of the runs.
    level
        Size of the losses, for the ranges of starts.
    size_term
        ``"stretched"``: exp(a3 N^gamma + b3), Eq. (14); ``"power"``: E + K (N / N0)^-gamma, the
        other form that the paper tried (its Table 3). With the latter the form of Chinchilla is
        the special case of no tilts.

    Returns
    -------
    Law
        Parameters: ``A0``, the data exponent at N0, and ``tilt_A``, d log A / d log N there;
        ``T0``, the data term at (N0, D0), and ``tilt_T``, d log T / d log N there along D = D0
        (0 in Chinchilla's form); bends ``alpha`` of A and ``beta`` of B; and of the size term
        ``G0``, ``tilt_G``, ``gamma``, or ``E``, ``K``, ``gamma``.
    """
    log_size, log_data = float(np.log(size)), float(np.log(data))

    def data_term(p: ByName, x: ByName) -> Answer:
        u, tokens = x["log N"] - log_size, x["log D"]
        bent_a, change_a = bent(u, p["alpha"])
        bent_b, change_b = bent(u, p["beta"])
        exponent = p["A0"] * np.exp(p["tilt_A"] * bent_a)
        # Along D = D0 the slope of log T at N0 is tilt_B - A0 tilt_A log D0.
        tilt_b = p["tilt_T"] + p["A0"] * p["tilt_A"] * log_data
        term = p["T0"] * np.exp(tilt_b * bent_b - exponent * tokens + p["A0"] * log_data)
        return term, {
            "A0": term * (p["A0"] * log_data * (1 + p["tilt_A"] * bent_b) - exponent * tokens),
            "tilt_A": term * (p["A0"] * log_data * bent_b - exponent * tokens * bent_a),
            "alpha": -term * exponent * tokens * p["tilt_A"] * change_a,
            "T0": term,
            "tilt_T": term * bent_b,
            "beta": term * tilt_b * change_b,
        }

    def stretched(p: ByName, x: ByName) -> Answer:
        data_part, slopes = data_term(p, x)
        shape, change = bent(x["log N"] - log_size, p["gamma"])
        term = p["G0"] * np.exp(p["tilt_G"] * shape)
        return term + data_part, {
            **slopes, "G0": term, "tilt_G": term * shape, "gamma": term * p["tilt_G"] * change,
        }  # fmt: skip

    def power(p: ByName, x: ByName) -> Answer:
        data_part, slopes = data_term(p, x)
        u = x["log N"] - log_size
        term = p["K"] * np.exp(-p["gamma"] * u)
        return p["E"] + term + data_part, {
            **slopes, "E": p["E"], "K": term, "gamma": -u * term,
        }  # fmt: skip

    about = f"(N0 = {size:.3g}, D0 = {data:.3g})"
    if size_term == "stretched":
        return Law(
            "farseer",
            "exp(a3 N^gamma + b3) + exp(a2 N^beta + b2) D^-exp(a1 N^alpha + b1)",
            ("N", "D"),
            (
                Parameter("G0", (0.2 * level, level), log=True, unit="loss"),
                Parameter("tilt_G", (-0.3, 0.0), domain=(-5.0, 5.0)),
                Parameter("gamma", (-0.4, 0.4), domain=_BEND),
                *_data_parameters(level),
            ),
            stretched,
        )
    return Law(
        "farseer with a power law of size",
        f"E + K (N/N0)^-gamma + exp(a2 N^beta + b2) D^-exp(a1 N^alpha + b1) {about}",
        ("N", "D"),
        (
            Parameter("E", (0.1 * level, level), log=True, unit="loss"),
            Parameter("K", (0.02 * level, 0.5 * level), log=True, unit="loss"),
            Parameter("gamma", (0.1, 0.8), domain=(0.0, 5.0)),
            *_data_parameters(level),
        ),
        power,
        linear=("E", "K", "T0"),
    )


_BEND = (-1.0, 1.0)  # the paper's procedure tries exponents from -0.5 to 0.5


def _data_parameters(level: float) -> tuple[Parameter, ...]:
    return (
        Parameter("T0", (0.02 * level, 0.5 * level), log=True, unit="loss"),
        Parameter("tilt_T", (-0.2, 0.2), domain=(-5.0, 5.0)),
        Parameter("beta", (-0.4, 0.4), domain=_BEND),
        Parameter("A0", (0.1, 0.9), log=True),
        Parameter("tilt_A", (-0.2, 0.2), domain=(-5.0, 5.0)),
        Parameter("alpha", (-0.4, 0.4), domain=_BEND),
    )


@dataclass(frozen=True)
class Centre:
    """N0 and D0 of a `farseer_law`, and the way between its parameters and the paper's."""

    size: float
    data: float

    def constants(self, natural: ArrayLike) -> Constants:
        """The paper's constants, from parameters of the stretched law, shape (..., 9)."""
        p = dict(zip(_STRETCHED_NAMES, np.moveaxis(np.asarray(natural, dtype=float), -1, 0)))  # noqa: B905
        tilt_b = p["tilt_T"] + p["A0"] * p["tilt_A"] * np.log(self.data)
        log_b = np.log(p["T0"]) + p["A0"] * np.log(self.data)
        pairs = [
            self._unbend(tilt, value, bend)
            for tilt, value, bend in (
                (p["tilt_A"], np.log(p["A0"]), p["alpha"]),
                (tilt_b, log_b, p["beta"]),
                (p["tilt_G"], np.log(p["G0"]), p["gamma"]),
            )
        ]
        numbers: list[Any] = [number for triple in pairs for number in triple]
        return Constants(*numbers)

    def natural(self, constants: Constants) -> FloatArray:
        """Parameters of the stretched law that are the given constants, shape (..., 9)."""
        c = constants
        tilt_a, log_a = self._bend(c.a1, c.b1, c.alpha)
        tilt_b, log_b = self._bend(c.a2, c.b2, c.beta)
        tilt_g, log_g = self._bend(c.a3, c.b3, c.gamma)
        exponent = np.exp(log_a)
        parts = (
            np.exp(log_g), tilt_g, c.gamma,
            np.exp(log_b - exponent * np.log(self.data)),
            tilt_b - exponent * tilt_a * np.log(self.data), c.beta,
            exponent, tilt_a, c.alpha,
        )  # fmt: skip
        return np.stack(np.broadcast_arrays(*parts), axis=-1).astype(float)

    def _unbend(
        self, tilt: FloatArray, value: FloatArray, bend: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """a, b and the bend of a N^bend + b; infinite where the bend is 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return tilt / (bend * self.size**bend), value - tilt / bend, bend

    def _bend(self, a: float, b: float, bend: float) -> tuple[FloatArray, FloatArray]:
        """Slope and value at N0 of a N^bend + b."""
        power = np.asarray(self.size**bend)
        return np.asarray(a * bend * power), np.asarray(a * power + b)


_STRETCHED_NAMES = (
    "G0", "tilt_G", "gamma", "T0", "tilt_T", "beta", "A0", "tilt_A", "alpha"
)  # fmt: skip


def data_exponent(
    law: Law, natural: ArrayLike, centre: Centre, parameters: ArrayLike
) -> FloatArray:
    """A(N), Eq. (9): how fast the data term falls with tokens, for each set of parameters.

    Parameters
    ----------
    law
        From `farseer_law`, either size term.
    natural
        Shape (n_fits, 9).
    centre
        Of the law.
    parameters
        N, shape (n_sizes,).

    Returns
    -------
    ndarray
        Shape (n_fits, n_sizes).
    """
    rows = np.atleast_2d(np.asarray(natural, dtype=float))
    p = {name: rows[:, [place]] for place, name in enumerate(law.names)}
    u = np.log(np.atleast_1d(np.asarray(parameters, dtype=float)) / centre.size)
    return np.asarray(p["A0"] * np.exp(p["tilt_A"] * bent(u, p["alpha"])[0]))
