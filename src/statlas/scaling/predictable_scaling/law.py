"""The learning curve with three regions as a law, and laws of several curves that share a slope."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from statlas.core.numerics.laws import POWER_LAW, SATURATING_POWER_LAW, Law, Parameter
from statlas.core.numerics.laws.law import ByName

FloatArray = NDArray[np.float64]

# How sudden the end of the small-data region is: within a factor of 2 of it, half of the bend.
SHARPNESS = 4.0


def _reducible(p: ByName, x: ByName) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Share of the best guess's excess that is left, its log over -alpha, and where it falls."""
    u = SHARPNESS * (x["log x"] - np.log(p["m0"]))
    fall = np.logaddexp(0.0, u) / SHARPNESS
    return np.exp(-p["alpha"] * fall), fall, np.exp(-np.logaddexp(0.0, -u))


def _guessing(p: ByName, x: ByName) -> tuple[FloatArray, Mapping[str, FloatArray]]:
    left, fall, falling = _reducible(p, x)
    value = p["B"] * left
    return value, {
        "B": value,
        "m0": value * p["alpha"] * falling,
        "alpha": -fall * value,
    }


def _three_regions(p: ByName, x: ByName) -> tuple[FloatArray, Mapping[str, FloatArray]]:
    left, fall, falling = _reducible(p, x)
    excess = (p["B"] - p["E"]) * left
    return p["E"] + excess, {
        "B": p["B"] * left,
        "E": p["E"] * (1 - left),
        "m0": excess * p["alpha"] * falling,
        "alpha": -fall * excess,
    }


_GUESS = Parameter("B", (0.1, 10.0), log=True)
_FLOOR = Parameter("E", (1e-3, 1.0), log=True)
_SMALL = Parameter("m0", (1.0, 1e5), log=True, unit="examples")
_ALPHA = Parameter("alpha", (0.05, 1.5), domain=(0.0, 5.0))

GUESSING_POWER_LAW = Law(
    "guess, then power law",
    "B (1 + (x / m0)^4)^(-alpha / 4)",
    ("x",),
    (_GUESS, _SMALL, _ALPHA),
    _guessing,
    linear=("B",),
)

THREE_REGIONS = Law(
    "three regions",
    "E + (B - E) (1 + (x / m0)^4)^(-alpha / 4)",
    ("x",),
    (_GUESS, _FLOOR, _SMALL, _ALPHA),
    _three_regions,
    linear=("B", "E"),
)


@dataclass(frozen=True)
class Form:
    """A law of learning curves and which of the outer regions it has."""

    law: Law
    guess: bool
    floor: bool


FORMS = (
    Form(POWER_LAW, guess=False, floor=False),
    Form(SATURATING_POWER_LAW, guess=False, floor=True),
    Form(GUESSING_POWER_LAW, guess=True, floor=False),
    Form(THREE_REGIONS, guess=True, floor=True),
)


def ends_of_power_region(
    form: Form, parameters: FloatArray
) -> tuple[FloatArray | None, FloatArray | None]:
    """Examples at which the power law begins and at which the floor takes over, for each fit.

    The beginning is where the power law meets the best guess; the end is where what more examples
    can remove equals what they cannot.

    Parameters
    ----------
    form
        The law.
    parameters
        Natural units, shape (n_fits, n_parameters).

    Examples
    --------
    >>> begin, end = ends_of_power_region(FORMS[3], np.array([[0.9, 0.1, 20.0, 0.5]]))
    >>> print(begin, end)
    [20.] [1280.]
    """
    p = {name: parameters[:, place] for place, name in enumerate(form.law.names)}
    begin = p["m0"] if form.guess else None
    if not form.floor:
        return begin, None
    with np.errstate(divide="ignore", over="ignore"):
        if form.guess:
            ratio = np.maximum(p["B"] - p["E"], 0.0) / p["E"]
            return begin, p["m0"] * ratio ** (1 / p["alpha"])
        return None, (p["A"] / p["E"]) ** (1 / p["alpha"])


def joint_law(law: Law, n_curves: int, shared: tuple[str, ...]) -> Law:
    """One law for several curves, some of whose parameters they share.

    Its inputs are ``x`` and ``curve``, the number of each row's curve from 0. A parameter that is
    not shared is there once a curve, as ``name_0``, ``name_1``, ...
    """
    parameters = []
    for parameter in law.parameters:
        names = [parameter.name]
        if parameter.name not in shared:
            names = [f"{parameter.name}_{k}" for k in range(n_curves)]
        parameters += [
            Parameter(
                name, parameter.start, parameter.log, parameter.domain, parameter.scale,
                parameter.unit,
            )
            for name in names
        ]  # fmt: skip

    def formula(p: ByName, x: ByName) -> tuple[FloatArray, Mapping[str, FloatArray]]:
        curve = x["curve"].astype(np.int64)
        own = {
            name: p[name]
            if name in shared
            else np.concatenate([p[f"{name}_{k}"] for k in range(n_curves)], axis=1)[:, curve]
            for name in law.names
        }
        value, slopes = law.formula(own, {"x": x["x"], "log x": x["log x"]})
        derivatives = {}
        for name in law.names:
            if name in shared:
                derivatives[name] = slopes[name]
                continue
            for k in range(n_curves):
                derivatives[f"{name}_{k}"] = np.where(curve == k, slopes[name], 0.0)
        return value, derivatives

    return Law(
        f"{law.name}, {n_curves} curves", law.text, ("x", "curve"), tuple(parameters), formula,
        positive_inputs=False,
    )  # fmt: skip
