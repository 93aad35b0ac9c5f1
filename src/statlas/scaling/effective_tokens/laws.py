"""Scaling laws in which the tokens of some texts count for more than those of others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from statlas.core.numerics.laws import (
    CHINCHILLA,
    KAPLAN,
    Law,
    LawFit,
    Objective,
    Parameter,
    fit_law,
)
from statlas.core.numerics.laws.law import ByName

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_WORTH_START, _WORTH_BOX = (-1.0, 1.0), (-12.0, 12.0)  # of log(worth), and a coefficient's
_OBJECTIVE = Objective("log", huber=0.02)  # what lies 2 % off the law pulls no harder


def _worth_parameter(name: str) -> Parameter:
    return Parameter(name, _WORTH_START, domain=_WORTH_BOX, scale=2.0)


@dataclass(frozen=True)
class Form:
    """A law of N and D whose tokens can be weighted.

    Attributes
    ----------
    law
        The law itself.
    text
        Its formula with D Q in place of D, Q to be filled in.
    slope
        Derivative of the law's value by log(D), from its parameters and their derivatives.
    """

    law: Law
    text: str
    slope: Callable[[ByName, Mapping[str, FloatArray]], FloatArray]


FORMS = {
    "chinchilla": Form(
        CHINCHILLA, "E + A N^-alpha + B ({})^-beta", lambda p, by: -p["beta"] * by["B"]
    ),
    "kaplan": Form(
        KAPLAN,
        "((N_c / N)^(alpha_N / alpha_D) + D_c / ({}))^alpha_D",
        lambda p, by: -by["D_c"],
    ),
}
FormName = Literal["chinchilla", "kaplan"]


def _weighted(
    form: Form, p: ByName, x: ByName, log_worth: FloatArray | float, by: Mapping[str, FloatArray]
) -> tuple[FloatArray, Mapping[str, FloatArray]]:
    """The form at D Q and its derivatives; `by` are those of log(Q)."""
    # log_N and log_D are inputs of their own, as measures may be 0 or below.
    shifted = {"log N": x["log_N"], "log D": x["log_D"] + log_worth}
    value, derivatives = form.law.formula(p, shifted)
    slope = form.slope(p, derivatives)
    return value, {**derivatives, **{name: part * slope for name, part in by.items()}}


def quality_law(measures: Sequence[str], form: FormName = "chinchilla") -> Law:
    """A law of N and D Q with log Q a weighted sum of measures of the text.

    Parameters
    ----------
    measures
        Names of the measures; inputs of these names hold each run's value, centred at the reference
        text and in its standard deviations. The coefficient of ``name`` is ``c_name``.
    form
        The law in which D Q takes the place of D.
    """
    names, base = tuple(measures), FORMS[form]

    def formula(p: ByName, x: ByName) -> tuple[FloatArray, Mapping[str, FloatArray]]:
        log_worth: FloatArray | float = 0.0
        for name in names:
            log_worth = log_worth + p[f"c_{name}"] * x[name]
        return _weighted(base, p, x, log_worth, {f"c_{name}": x[name] for name in names})

    terms = " + ".join(f"c_{name} {name}" for name in names)
    return Law(
        "effective tokens",
        base.text.format(f"D exp({terms})"),
        ("log_N", "log_D", *names),
        (*base.law.parameters, *(_worth_parameter(f"c_{name}") for name in names)),
        formula,
        linear=base.law.linear,
        positive_inputs=False,
    )


def free_worth_law(n_texts: int, form: FormName = "chinchilla") -> Law:
    """A law of N and D Q with a worth Q of each text's own; that of text 0 is 1.

    Parameters
    ----------
    n_texts
        Number of texts; the input ``text`` holds each run's, and ``log_worth_k`` is log(Q) of text
        k = 1, 2, ...
    form
        The law in which D Q takes the place of D.
    """
    names, base = [f"log_worth_{text}" for text in range(1, n_texts)], FORMS[form]

    def formula(p: ByName, x: ByName) -> tuple[FloatArray, Mapping[str, FloatArray]]:
        member = {name: (x["text"] == place) * 1.0 for place, name in enumerate(names, start=1)}
        log_worth: FloatArray | float = 0.0
        for name in names:
            log_worth = log_worth + p[name] * member[name]
        return _weighted(base, p, x, log_worth, member)

    return Law(
        "worth of each text",
        base.text.format("D Q_text"),
        ("log_N", "log_D", "text"),
        (*base.law.parameters, *map(_worth_parameter, names)),
        formula,
        linear=base.law.linear,
        positive_inputs=False,
    )


@dataclass(frozen=True)
class Runs:
    """Runs of several texts, averaged over repeats.

    Attributes
    ----------
    parameters, tokens, loss, weight
        N, D, loss, and number of runs averaged, shape (n_rows,).
    text
        Number of each row's text, shape (n_rows,).
    measures
        Measures of the texts as given, shape (n_texts, n_measures).
    names
        Names of the measures.
    reference
        Text whose tokens count one each.
    """

    parameters: FloatArray
    tokens: FloatArray
    loss: FloatArray
    weight: FloatArray
    text: IntArray
    measures: FloatArray
    names: tuple[str, ...]
    reference: int

    @property
    def n_texts(self) -> int:
        """Number of texts."""
        return len(self.measures)

    @cached_property
    def scales(self) -> FloatArray:
        """Standard deviation of each measure over the texts, 1 where it does not vary."""
        spread = (
            self.measures.std(axis=0, ddof=1) if self.n_texts > 1 else np.zeros(len(self.names))
        )
        return np.where(spread > 0, spread, 1.0)

    @cached_property
    def scores(self) -> FloatArray:
        """Measures less the reference's, in standard deviations, (n_texts, n_measures)."""
        return np.asarray((self.measures - self.measures[self.reference]) / self.scales)

    @cached_property
    def inputs(self) -> dict[str, FloatArray]:
        """Inputs of the laws."""
        places = np.argsort(np.argsort(np.arange(self.n_texts) != self.reference, kind="stable"))
        scores = {name: self.scores[self.text, k] for k, name in enumerate(self.names)}
        return {
            "N": self.parameters,
            "D": self.tokens,
            "log_N": np.log(self.parameters),
            "log_D": np.log(self.tokens),
            "text": places[self.text].astype(float),  # the reference is number 0
            **scores,
        }


def average_repeats(
    parameters: ArrayLike,
    tokens: ArrayLike,
    loss: ArrayLike,
    text: IntArray,
    measures: FloatArray,
    names: tuple[str, ...],
    reference: int,
) -> Runs:
    """Geometric mean loss of runs with the same size, tokens and text.

    Parameters
    ----------
    parameters, tokens, loss, text
        Shape (n_runs,).
    measures, names, reference
        As in `Runs`.
    """
    keys = np.column_stack([parameters, tokens, text])
    unique, places = np.unique(keys, axis=0, return_inverse=True)
    count = np.bincount(places.ravel())
    mean = np.bincount(places.ravel(), np.log(np.asarray(loss, dtype=float))) / count
    return Runs(
        unique[:, 0],
        unique[:, 1],
        np.exp(mean),
        count.astype(float),
        unique[:, 2].astype(np.int64),
        measures,
        names,
        reference,
    )


def fit_runs(
    law: Law,
    runs: Runs,
    *,
    left_out: int | None = None,
    near: LawFit | None = None,
    n_starts: int = 60,
    rng: int | np.random.Generator = 0,
) -> LawFit:
    """Fit a law to runs by Huber's function (threshold 0.02) of log residuals.

    Parameters
    ----------
    law
        The law of a form, or one of `quality_law` and `free_worth_law`.
    runs
        The runs.
    left_out
        Text whose runs do not count.
    near
        An earlier fit to start from; its parameters that the law shares are taken over.
    n_starts, rng
        Other starts, and their source.
    """
    weights = runs.weight if left_out is None else np.where(runs.text == left_out, 0, runs.weight)
    starts = None
    if near is not None:
        known = near.parameters
        starts = [[known.get(name, 0.0) for name in law.names]]
    return fit_law(
        law, runs.inputs, runs.loss, _OBJECTIVE, weights=weights, starts=starts,
        n_starts=n_starts, rng=rng,
    )  # fmt: skip


def held_out_errors(
    law: Law,
    runs: Runs,
    whole: LawFit,
    *,
    n_starts: int = 6,
    rng: int | np.random.Generator = 0,
) -> FloatArray:
    """Root mean square of log(predicted) - log(observed) of each text, fitted without it.

    Parameters
    ----------
    law, runs
        As for `fit_runs`.
    whole
        The law's fit to all runs, from which each fit starts.
    n_starts, rng
        Further starts, and their source.

    Returns
    -------
    ndarray
        Shape (n_texts,).
    """
    generator = np.random.default_rng(rng)
    errors = np.empty(runs.n_texts)
    for text in range(runs.n_texts):
        fit = fit_runs(law, runs, left_out=text, near=whole, n_starts=n_starts, rng=generator)
        out = runs.text == text
        errors[text] = np.sqrt(np.average(fit.residuals[out] ** 2, weights=runs.weight[out]))
    return errors


def log_worth(coefficients: FloatArray, scores: FloatArray) -> FloatArray:
    """log(Q) of texts, (..., n_measures) and (n_texts, n_measures) -> (..., n_texts)."""
    return np.asarray(coefficients @ scores.T)


def explained_share(
    worth: FloatArray, scores: FloatArray, n_permutations: int, rng: np.random.Generator
) -> tuple[float, float]:
    """How much of the texts' own worth the measures explain, and how often chance does as well.

    Parameters
    ----------
    worth
        log(Q) of each text, fitted freely, (n_texts,).
    scores
        Measures, (n_texts, n_measures).
    n_permutations
        How often the measures are dealt to the texts anew.
    rng
        Source of the permutations.

    Returns
    -------
    share, p_value
        R^2 of least squares, and the share of permutations with at least that (counting this one).
    """

    def r_squared(values: FloatArray) -> FloatArray:
        centred = values - values.mean(axis=-1, keepdims=True)
        basis = np.linalg.qr(scores - scores.mean(axis=0))[0]
        explained = np.sum((centred @ basis) ** 2, axis=-1)
        return np.asarray(explained / np.maximum(np.sum(centred**2, axis=-1), 1e-300))

    actual = float(r_squared(worth))
    dealt = rng.permuted(np.repeat(worth[None], n_permutations, axis=0), axis=1)
    as_good = int(np.sum(r_squared(dealt) >= actual - 1e-12))
    return actual, (as_good + 1) / (n_permutations + 1)
