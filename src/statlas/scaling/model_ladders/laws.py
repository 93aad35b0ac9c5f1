"""The laws of both steps and of the one-step fits they are compared with."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from statlas.core import InputError
from statlas.core.numerics.laws import Law
from statlas.core.numerics.laws.law import ByName, Parameter

FloatArray = NDArray[np.float64]
Answer = tuple[FloatArray, Mapping[str, FloatArray]]

_EXPONENT = (0.0, 5.0)


def bits_per_byte(log_likelihood: ArrayLike, n_bytes: ArrayLike) -> FloatArray:
    """Task loss of right answers: their negative log-likelihood in bits for each byte of text.

    Parameters
    ----------
    log_likelihood
        Natural logarithm of the probability of each right answer given its question, at most 0.
    n_bytes
        Length of each right answer in bytes of UTF-8, above 0.

    Returns
    -------
    numpy.ndarray
        In bits a byte; the loss of a task is the mean over its questions.

    Raises
    ------
    InputError
        For a log-likelihood above 0, or a length of 0.

    Examples
    --------
    >>> bits_per_byte(-8 * np.log(2), 4)
    array(2.)
    """
    logs, lengths = np.asarray(log_likelihood, dtype=float), np.asarray(n_bytes, dtype=float)
    if not (np.all(logs <= 0) and np.all(lengths > 0)):
        raise InputError("log-likelihoods must be at most 0 and lengths above 0")
    return np.asarray(-logs / (np.log(2) * lengths))


# --- step 2 ---------------------------------------------------------------------------------------


def _sigmoid(p: ByName, x: ByName) -> Answer:
    # a / (1 + exp(-k (L - L0))) + b: falls from about b to a + b, since a is below 0.
    scaled = p["k"] * (x["L"] - p["L0"])
    share = expit(scaled)
    bend = p["a"] * share * (1 - share)
    return p["a"] * share + p["b"], {
        "a": share,
        "L0": -bend * p["k"] * p["L0"],
        "k": bend * scaled,
        "b": np.ones_like(share),
    }


def sigmoid_law(losses: ArrayLike) -> Law:
    """Step 2: accuracy = a / (1 + exp(-k (L - L0))) + b over task loss L, starts set by the losses.

    The domain of b has no top here; `accuracy_link` holds it there where it comes out above.

    Parameters
    ----------
    losses
        Task losses of the rows to be fitted, at least 0 and not all alike.
    """
    values = np.asarray(losses, dtype=float)
    low, high = (float(end) for end in np.quantile(values[values > 0], [0.02, 0.98]))
    width = max(high - low, 1e-3 * high)
    return Law(
        "sigmoid",
        "a / (1 + exp(-k (L - L0))) + b",
        ("L",),
        (
            Parameter("a", (-1.0, -0.1), domain=(-1.0, 0.0), scale=0.3),
            Parameter("L0", (max(low - 0.5 * width, 0.2 * low), high), log=True, scale=0.7),
            Parameter("k", (0.7 / width, 20 / width), log=True, scale=1.2),
            Parameter("b", (0.3, 1.0), domain=(0.0, 10.0), scale=0.3),
        ),
        _sigmoid,
        linear=("a", "b"),
        positive_inputs=False,
    )


# --- one step -------------------------------------------------------------------------------------


def _terms(p: ByName, x: ByName) -> tuple[FloatArray, FloatArray]:
    by_size = p["A"] * np.exp(-p["alpha"] * x["log N"])
    by_data = p["B"] * np.exp(-p["beta"] * x["log D"])
    return by_size, by_data


def _one_sigmoid(p: ByName, x: ByName) -> Answer:
    by_size, by_data = _terms(p, x)
    share = expit(p["E"] + by_size + by_data)
    bend = p["a"] * share * (1 - share)
    return p["a"] * share + p["b"], {
        "a": share,
        "b": np.ones_like(share),
        "E": bend,
        "A": bend * by_size,
        "B": bend * by_data,
        "alpha": -bend * by_size * x["log N"],
        "beta": -bend * by_data * x["log D"],
    }


def _one_power(p: ByName, x: ByName) -> Answer:
    by_size, by_data = _terms(p, x)
    return p["E"] - by_size - by_data, {
        "E": p["E"],
        "A": -by_size,
        "B": -by_data,
        "alpha": by_size * x["log N"],
        "beta": by_data * x["log D"],
    }


_SIZE_AND_DATA = (
    Parameter("A", (0.3, 1e6), log=True),
    Parameter("B", (0.3, 1e6), log=True),
    Parameter("alpha", (0.05, 1.2), domain=_EXPONENT),
    Parameter("beta", (0.05, 1.2), domain=_EXPONENT),
)

ONE_STEP_SIGMOID = Law(
    "one-step sigmoid",
    "a / (1 + exp(-(A N^-alpha + B D^-beta + E))) + b",
    ("N", "D"),
    (
        Parameter("a", (-1.0, -0.2), domain=(-1.0, 0.0)),
        Parameter("b", (0.5, 1.0), domain=(0.0, 1.0)),
        Parameter("E", (-4.0, 1.0), scale=2.0),
        *_SIZE_AND_DATA,
    ),
    _one_sigmoid,
    linear=("a", "b"),
)

ONE_STEP_POWER = Law(
    "one-step power law",
    "E - A N^-alpha - B D^-beta",
    ("N", "D"),
    (Parameter("E", (0.3, 1.5), log=True), *_SIZE_AND_DATA),
    _one_power,
    linear=("E", "A", "B"),
)
