"""The regions of one learning curve: best guess, power law, irreducible, with uncertainty."""

from __future__ import annotations

import itertools
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from statlas.core.errors import ConvergenceError, InputError
from statlas.core.learning_curves import LearningCurve
from statlas.core.numerics.laws import Draws, LawFit, Objective, bootstrap, fit_law, information
from statlas.scaling.predictable_scaling.law import (
    FORMS,
    FloatArray,
    Form,
    ends_of_power_region,
)

OBJECTIVE = Objective("log")
_STARTS = 6
# Spare rows that a form needs beyond its parameters, so that its residuals say something.
_SPARE = 2
# Forms with less weight than this have no part in the interval of the exponent.
_LEAST_WEIGHT = 0.03


def weights_of(curve: LearningCurve) -> FloatArray:
    """Inverse variances of the log errors over their mean; equal where no spread is known."""
    spread = curve.spread
    if not np.isfinite(spread).all():
        return np.ones(len(curve))
    # Errors of the law itself come on top of those of measurement, so no row counts for all.
    precision = 1 / (spread**2 + np.median(spread) ** 2 + 1e-6)
    return np.asarray(precision / precision.mean())


@dataclass(frozen=True)
class Candidate:
    """One form fitted to a curve, and how much the data speak for it."""

    form: Form
    fit: LawFit
    bic: float
    weight: float = np.nan


@dataclass(frozen=True)
class Regions:
    """What a curve shows.

    Attributes
    ----------
    curve
        The data.
    candidates
        The forms that could be fitted, with weights that add up to 1.
    chosen
        The form with the lowest criterion, or the one asked for.
    draws
        Its bootstrap.
    exponents
        The exponent in samples of all forms, each by its weight: an interval from them allows for
        not knowing which regions there are. Shape (n_draws,).
    """

    curve: LearningCurve
    candidates: list[Candidate]
    chosen: Candidate
    draws: Draws
    exponents: FloatArray

    @property
    def exponent(self) -> float:
        """Steepness: the error falls as n to the power of minus this."""
        return self.chosen.fit.parameters["alpha"]

    def chance_of(self, region: str) -> float:
        """Weight of the forms that have the region ``guess`` or ``floor``."""
        return float(sum(c.weight for c in self.candidates if getattr(c.form, region)))

    def ends(self) -> tuple[tuple[float, FloatArray] | None, tuple[float, FloatArray] | None]:
        """Where the power-law region begins and ends, with draws; None where it has no end."""
        form = self.chosen.form
        at_fit = ends_of_power_region(form, self.chosen.fit.natural[None])
        at_draws = ends_of_power_region(form, self.draws.values)
        pairs = []
        for value, drawn in zip(at_fit, at_draws, strict=True):
            pairs.append(None if value is None or drawn is None else (float(value[0]), drawn))
        return pairs[0], pairs[1]


def fit_form(
    curve: LearningCurve, form: Form, guess: float | None, rng: np.random.Generator
) -> LawFit:
    """One form fitted to a curve by weighted least squares of logarithms."""
    held = {"B": guess} if form.guess and guess is not None else None
    largest, smallest = float(curve.error.max()), float(curve.error.min())
    starts = []
    # Sizes may be a handful of rows or billions of tokens, so starts are taken from the curve.
    for share, alpha in itertools.product((0.15, 0.4, 0.7), (0.1, 0.3, 0.6, 1.0)):
        begin = float(np.exp(curve.x[0] + share * (curve.x[-1] - curve.x[0])))
        level = float(np.exp(np.interp(np.log(begin), curve.x, curve.y)))
        values = {"B": largest, "E": 0.5 * smallest, "m0": begin, "alpha": alpha}
        values["A"] = level * begin**alpha
        starts.append([values[name] for name in form.law.names])
    return fit_law(
        form.law, {"x": curve.n}, curve.error, OBJECTIVE, weights=weights_of(curve),
        n_starts=_STARTS, starts=starts, fixed=held, rng=rng,
    )  # fmt: skip


def compare_forms(
    curve: LearningCurve, guess: float | None, rng: np.random.Generator
) -> list[Candidate]:
    """All forms that a curve has rows enough for, weighted by exp(-BIC / 2).

    Raises
    ------
    InputError
        With fewer than four sizes.
    """
    candidates = []
    for form in FORMS:
        n_free = len(form.law.names) - (form.guess and guess is not None)
        if len(curve) < n_free + _SPARE:
            continue
        fit = fit_form(curve, form, guess, rng)
        candidates.append(Candidate(form, fit, information(fit).bic))
    if not candidates:
        raise InputError(
            f"{curve.name} has {len(curve)} sizes with an error above 0, and at least "
            f"{2 + _SPARE} are needed",
            remedy="measure more training set sizes",
        )
    lowest = min(candidate.bic for candidate in candidates)
    raw = np.exp([-0.5 * (candidate.bic - lowest) for candidate in candidates])
    return [
        Candidate(c.form, c.fit, c.bic, float(w))
        for c, w in zip(candidates, raw / raw.sum(), strict=True)
    ]


def find_regions(
    curve: LearningCurve,
    rng: np.random.Generator,
    *,
    guess: float | None = None,
    law: str | None = None,
    n_draws: int = 200,
) -> Regions:
    """Fit every form to a curve, choose one, and bootstrap it.

    Parameters
    ----------
    curve
        Error against number of examples.
    rng
        Source of starts and samples.
    guess
        Error of the best guess without data, where it is known.
    law
        Name of the form to use; by default the one with the lowest BIC.
    n_draws
        Bootstrap samples of the residuals.
    """
    candidates = compare_forms(curve, guess, rng)
    named = [c for c in candidates if c.form.law.name == law]
    if law is not None and not named:
        raise InputError(
            f"{curve.name} has {len(curve)} sizes, too few for the law {law!r}",
            remedy="measure more training set sizes, or leave the choice of the law open",
        )
    ordered = named or sorted(candidates, key=lambda candidate: candidate.bic)
    chosen, draws = _first_that_resamples(curve, ordered, n_draws, rng)
    exponents = _widened(chosen, draws)
    if not named:
        exponents = _averaged(candidates, chosen, draws, n_draws, rng)
    return Regions(curve, candidates, chosen, draws, exponents)


def _first_that_resamples(
    curve: LearningCurve, ordered: list[Candidate], n_draws: int, rng: np.random.Generator
) -> tuple[Candidate, Draws]:
    """The best form whose refits converge: what the data leave open has no interval."""
    for candidate in ordered:
        with suppress(ConvergenceError):
            return candidate, bootstrap(candidate.fit, n_draws, kind="residual", rng=rng)
    raise ConvergenceError(
        f"refits of {curve.name} do not converge under any law; measure more training set sizes, "
        "or choose a law with fewer regions"
    )


def _widened(candidate: Candidate, draws: Draws) -> FloatArray:
    """Exponents of samples, spread as Student's t is beside the normal: residuals are few."""
    fit = candidate.fit
    room = max(fit.problem.n_rows - fit.n_free, 1)
    factor = float(stdtrit(room, 0.975)) / 1.959964
    centre = fit.parameters["alpha"]
    return np.maximum(centre + factor * (draws["alpha"] - centre), 0.0)


def _averaged(
    candidates: list[Candidate],
    chosen: Candidate,
    draws: Draws,
    n_draws: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Exponents from samples of every form, as many as its weight says, in random order."""
    parts = []
    for candidate in candidates:
        share = round(n_draws * candidate.weight)
        if candidate is chosen:
            parts.append(_widened(chosen, draws)[: max(share, 2)])
        elif candidate.weight >= _LEAST_WEIGHT:
            with suppress(ConvergenceError):
                own = bootstrap(candidate.fit, max(share, 2), kind="residual", rng=rng)
                parts.append(_widened(candidate, own))
    return rng.permutation(np.concatenate(parts))


def region_of(n: FloatArray, begin: float | None, end: float | None) -> list[str]:
    """Region of each number of examples."""
    return [
        "small data" if begin is not None and value < begin
        else "irreducible" if end is not None and value > end
        else "power law"
        for value in n
    ]  # fmt: skip
