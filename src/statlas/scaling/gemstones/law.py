"""The laws in width and depth: a power of each of the shape's sizes and of the tokens."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from statlas.core.numerics.laws import Law, Parameter
from statlas.core.numerics.laws.law import ByName, FloatArray

_COEFFICIENT = {"start": (1e-1, 1e8), "log": True}
_EXPONENT = {"start": (0.05, 1.5), "domain": (0.0, 5.0)}
_TERMS = {"width": "w", "depth": "d", "N": "N", "D": "D"}


def _sum_of_powers(inputs: tuple[str, ...]) -> Law:
    """E + the sum over inputs of A_i x_i^-alpha_i: log_pred() in the authors' depth_width.py."""

    def formula(p: ByName, x: ByName) -> tuple[FloatArray, Mapping[str, FloatArray]]:
        derivatives = {"E": p["E"]}
        value = p["E"]
        for name in inputs:
            letter = _TERMS[name]
            term = p[f"A_{letter}"] * np.exp(-p[f"alpha_{letter}"] * x[f"log {name}"])
            derivatives[f"A_{letter}"] = term
            derivatives[f"alpha_{letter}"] = -x[f"log {name}"] * term
            value = value + term
        return value, derivatives

    letters = [_TERMS[name] for name in inputs]
    coefficients = tuple(Parameter(f"A_{letter}", **_COEFFICIENT) for letter in letters)  # type: ignore[arg-type]
    exponents = tuple(Parameter(f"alpha_{letter}", **_EXPONENT) for letter in letters)  # type: ignore[arg-type]
    return Law(
        name=" ".join(["powers of", ", ".join(inputs)]),
        text=" + ".join(["E", *(f"A_{x} {_SYMBOL[x]}^-alpha_{x}" for x in letters)]),
        inputs=inputs,
        parameters=(Parameter("E", (0.3, 3.0), log=True), *coefficients, *exponents),
        formula=formula,
        linear=("E", *(f"A_{letter}" for letter in letters)),
    )


_SYMBOL = {"w": "width", "d": "depth", "N": "N", "D": "D"}

# The paper's law, and the form without parameters that its appendix compares with it.
WIDTH_DEPTH_SIZE = _sum_of_powers(("width", "depth", "N", "D"))
WIDTH_DEPTH = _sum_of_powers(("width", "depth", "D"))
