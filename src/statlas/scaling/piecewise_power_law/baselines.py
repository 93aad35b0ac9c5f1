"""Other forms of learning curves, fitted to the pilot alone, for comparison."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from statlas.core.errors import ConvergenceError, InputError
from statlas.core.learning_curves import LearningCurve
from statlas.core.numerics.laws import (
    POWER_LAW,
    SATURATING_POWER_LAW,
    Law,
    Objective,
    Parameter,
    fit_law,
)
from statlas.core.numerics.laws.law import ByName
from statlas.scaling.piecewise_power_law.law import FloatArray

_STARTS = 24


def _arctan(p: ByName, x: ByName) -> tuple[FloatArray, Mapping[str, FloatArray]]:
    # score = 2/pi arctan(pi/2 rate n + shift) + top, and error = 1 - score; e is 1 - top.
    inner = 0.5 * np.pi * p["rate"] * x["n"] + p["shift"]
    slope = -2 / np.pi / (1 + inner**2)
    value = p["e"] - 2 / np.pi * np.arctan(inner)
    return value, {
        "e": np.ones_like(value),
        "rate": slope * 0.5 * np.pi * p["rate"] * x["n"],
        "shift": slope,
    }


def _logarithmic(p: ByName, x: ByName) -> tuple[FloatArray, Mapping[str, FloatArray]]:
    moved = x["n"] + p["shift"]
    return p["e"] - p["rate"] * np.log(moved), {
        "e": np.ones_like(moved),
        "rate": -p["rate"] * np.log(moved),
        "shift": -p["rate"] * p["shift"] / moved,
    }


def _algebraic_root(p: ByName, x: ByName) -> tuple[FloatArray, Mapping[str, FloatArray]]:
    # score = u / (1 + u^b)^(1/b) + top with u = rate n.
    log_u = np.log(p["rate"]) + x["log n"]
    fall = np.logaddexp(0.0, -p["b"] * log_u)
    root = np.exp(-fall / p["b"])
    share = np.exp(-np.logaddexp(0.0, p["b"] * log_u))
    value = p["e"] - root
    return value, {
        "e": np.ones_like(value),
        "rate": -root * share,
        # d/d log b of log root = fall / b + share log u
        "b": -root * (fall / p["b"] + share * log_u),
    }


ARCTAN = Law(
    "arctan",
    "e - 2/pi arctan(pi/2 rate n + shift)",
    ("n",),
    (
        Parameter("e", (0.5, 1.5)),
        Parameter("rate", (1e-5, 0.1), log=True),
        Parameter("shift", (-1.0, 3.0), scale=3.0),
    ),
    _arctan,
)
LOGARITHMIC = Law(
    "logarithmic",
    "e - rate log(n + shift)",
    ("n",),
    (
        Parameter("e", (0.3, 2.0)),
        Parameter("rate", (1e-3, 0.5), log=True),
        Parameter("shift", (0.1, 300.0), log=True),
    ),
    _logarithmic,
    linear=("e", "rate"),
)
ALGEBRAIC_ROOT = Law(
    "algebraic root",
    "e - rate n / (1 + (rate n)^b)^(1/b)",
    ("n",),
    (
        Parameter("e", (0.3, 1.5)),
        Parameter("rate", (1e-5, 0.1), log=True),
        Parameter("b", (0.2, 4.0), log=True),
    ),
    _algebraic_root,
)

# Name, law and residual of the forms that the piecewise power law is compared with.
BASELINES: dict[str, tuple[Law, Objective]] = {
    "power law": (POWER_LAW, Objective("log")),
    "power law with floor": (SATURATING_POWER_LAW, Objective("log")),
    "arctan": (ARCTAN, Objective("linear")),
    "logarithmic": (LOGARITHMIC, Objective("linear")),
    "algebraic root": (ALGEBRAIC_ROOT, Objective("linear")),
}


def fit_power_law(pilot: LearningCurve) -> tuple[float, float]:
    """Intercept and slope of the least squares line of log error over log n."""
    x, y = pilot.x, pilot.y
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum())
    return float(y.mean() - slope * x.mean()), slope


def predict_with(
    name: str, pilot: LearningCurve, n: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Error that a form fitted to the pilot predicts at `n` examples; NaN where it has no fit.

    Forms that may fall below 0 are cut off at 1e-4.
    """
    if name == "power law":
        intercept, slope = fit_power_law(pilot)
        return np.asarray(np.exp(intercept + slope * np.log(n)))
    law, objective = BASELINES[name]
    inputs = {law.inputs[0]: pilot.n}
    try:
        fit = fit_law(law, inputs, pilot.error, objective, n_starts=_STARTS, rng=rng)
    except (ConvergenceError, InputError):
        return np.full(len(n), np.nan)
    return np.asarray(np.maximum(fit.predict({law.inputs[0]: n}), 1e-4))


def power_law_examples(pilot: LearningCurve, target: float) -> float:
    """Examples that the plain power law asks for; infinite where it does not fall."""
    intercept, slope = fit_power_law(pilot)
    if pilot.error.min() <= target:
        return float(pilot.n[pilot.error <= target][0])
    if slope > -1e-3:
        return float("inf")
    with np.errstate(over="ignore"):
        return float(np.exp((np.log(target) - intercept) / slope))
