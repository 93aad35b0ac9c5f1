"""Do improvements shift a learning curve or change its slope: joint fits, tests, equivalence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import fdtrc

from statlas.core.learning_curves import LearningCurve
from statlas.core.numerics.laws import LawFit, fit_law
from statlas.core.numerics.laws.uncertainty import percentile_interval
from statlas.scaling.predictable_scaling.law import FORMS, FloatArray, Form, joint_law
from statlas.scaling.predictable_scaling.regions import (
    OBJECTIVE,
    Candidate,
    Regions,
    weights_of,
)


@dataclass(frozen=True)
class SlopeTest:
    """Curves that share a slope against curves with a slope each.

    Attributes
    ----------
    form
        The form of all curves.
    shared, separate_value, n_separate
        The joint fit; objective and free parameters of the fits by themselves.
    statistic, p_value
        F statistic of the shared slope and its p-value.
    bic_gain, aicc_gain
        Criterion of separate slopes less that of a shared one: above 0 speaks for sharing.
    """

    form: Form
    shared: LawFit
    separate_value: float
    n_separate: int
    statistic: float
    p_value: float
    bic_gain: float
    aicc_gain: float

    @property
    def exponent(self) -> float:
        """The shared exponent."""
        return self.shared.parameters["alpha"]

    def exponent_interval(self, level: float) -> tuple[float, float]:
        """Asymptotic interval of the shared exponent."""
        from scipy.special import stdtrit

        place = self.shared.law.position("alpha")
        error = float(np.sqrt(self.shared.covariance[place, place]))
        room = max(self.shared.problem.n_rows - self.shared.n_free, 1)
        half = float(stdtrit(room, (1 + level) / 2)) * error
        return self.exponent - half, self.exponent + half


def common_form(sets: list[list[Candidate]]) -> Form:
    """The form with the lowest sum of BIC among those that every curve could be fitted with."""
    shared = [
        form for form in FORMS
        if all(any(c.form is form for c in candidates) for candidates in sets)
    ]  # fmt: skip

    def total(form: Form) -> float:
        return sum(c.bic for candidates in sets for c in candidates if c.form is form)

    return min(shared, key=total)


def test_shared(curves: list[LearningCurve], candidates: list[list[Candidate]]) -> SlopeTest:
    """Fit curves with one slope and with slopes of their own.

    Parameters
    ----------
    curves
        At least two.
    candidates
        Their fits by themselves, from `compare_forms`.
    """
    form = common_form(candidates)
    fits = [next(c.fit for c in own if c.form is form) for own in candidates]
    law = joint_law(form.law, len(curves), ("alpha",))
    x = np.concatenate([curve.n for curve in curves])
    error = np.concatenate([curve.error for curve in curves])
    number = np.repeat(np.arange(len(curves)), [len(curve) for curve in curves])
    # The weights of each curve are relative to its own residuals, so that curves are comparable.
    scale = [_noise(fit) for fit in fits]
    weights = np.concatenate(
        [weights_of(curve) / noise for curve, noise in zip(curves, scale, strict=True)]
    )
    shared = fit_law(
        law, {"x": x, "curve": number.astype(float)}, error, OBJECTIVE, weights=weights,
        n_starts=0, starts=_starts(fits, law.names), fixed=_held(fits), rng=0,
    )  # fmt: skip
    separate = sum(fit.value / noise for fit, noise in zip(fits, scale, strict=True))
    n_separate = sum(fit.n_free for fit in fits)
    n, fewer = len(x), n_separate - shared.n_free
    room = max(n - n_separate, 1)
    statistic = max((shared.value - separate) / max(fewer, 1) / (separate / room), 0.0)
    bic = _criterion(separate, n, n_separate) - _criterion(shared.value, n, shared.n_free)
    aicc = _aicc(separate, n, n_separate) - _aicc(shared.value, n, shared.n_free)
    return SlopeTest(
        form, shared, separate, n_separate, statistic, float(fdtrc(max(fewer, 1), room, statistic)),
        bic, aicc,
    )  # fmt: skip


test_shared.__test__ = False  # type: ignore[attr-defined]


def _noise(fit: LawFit) -> float:
    """Variance of a curve's weighted residuals."""
    return max(2 * fit.value / max(fit.problem.n_rows - fit.n_free, 1), 1e-8)


def _held(fits: list[LawFit]) -> dict[str, float]:
    """Best guesses that were given stay so in the joint fit."""
    return {
        f"B_{k}": fit.parameters["B"]
        for k, fit in enumerate(fits)
        if "B" in fit.law.names and not fit.free[fit.law.position("B")]
    }


def _starts(fits: list[LawFit], names: tuple[str, ...]) -> list[list[float]]:
    """Starts of the joint fit: for each exponent the best that every curve can do by itself."""
    own = [fit.parameters["alpha"] for fit in fits]
    values = np.quantile(own, [0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0])
    values = np.unique(np.concatenate([values, [0.2, 0.35, 0.5, 0.7, 1.0]]))
    best = [_best_at(fit, values) for fit in fits]
    starts = []
    for place, value in enumerate(values):
        row = []
        for name in names:
            base, _, k = name.rpartition("_")
            shared = name == "alpha"
            column = 0 if shared else fits[0].law.position(base)
            row.append(float(value if shared else best[int(k)][place, column]))
        starts.append(row)
    return starts


_BEGINNINGS = np.array([0.1, 0.2, 0.35, 0.6, 1.0, 1.7, 3.0, 6.0])


def _best_at(fit: LawFit, values: FloatArray) -> FloatArray:
    """A curve's parameters for each exponent, (n_values, n_parameters), by a coarse search."""
    law, place = fit.law, fit.law.position("alpha")
    factors = _BEGINNINGS if "m0" in law.names else np.ones(1)
    tried = np.tile(fit.natural, (len(values) * len(factors), 1))
    tried[:, place] = np.maximum(np.repeat(values, len(factors)), 1e-12)
    if "m0" in law.names:
        tried[:, law.position("m0")] *= np.tile(factors, len(values))
    with np.errstate(all="ignore"):  # steep exponents make terms of 0, which the cost rules out
        coordinates = fit.problem.project(law.to_coordinates(tried))
    coordinates[:, ~fit.free] = fit.coordinates[~fit.free]
    cost = fit.problem.evaluate(coordinates).value.reshape(len(values), len(factors))
    chosen = np.arange(len(values)) * len(factors) + cost.argmin(axis=1)
    return law.to_natural(coordinates[chosen])


def _criterion(value: float, n: int, n_free: int) -> float:
    return float(n * np.log(max(2 * value, 1e-300) / n) + n_free * np.log(n))


def _aicc(value: float, n: int, n_free: int) -> float:
    k = n_free + 1
    penalty = 2 * k + 2 * k * (k + 1) / max(n - k - 1, 1)
    return float(n * np.log(max(2 * value, 1e-300) / n) + penalty)


# --- pairs ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Improvement:
    """A model against the baseline.

    Attributes
    ----------
    better, baseline
        The curves.
    shift, shift_low, shift_high
        Mean log error of the baseline less that of the other, over common sizes: above 0 where
        the other is better.
    steeper, steeper_low, steeper_high
        Exponent of the other less that of the baseline.
    verdict
        ``same slope`` (the interval lies within the margin), ``other slope`` (it leaves out 0),
        ``undecided``.
    """

    better: str
    baseline: str
    shift: float
    shift_low: float
    shift_high: float
    steeper: float
    steeper_low: float
    steeper_high: float
    verdict: str


def compare_with_baseline(
    regions: list[Regions], baseline: int, margin: float, level: float
) -> list[Improvement]:
    """Shift and change of slope of every curve against one of them, smallest shift first."""
    base = regions[baseline]
    found = []
    for place, other in enumerate(regions):
        if place == baseline:
            continue
        size = min(len(base.exponents), len(other.exponents))
        steeper = other.exponents[:size] - base.exponents[:size]
        low, high = map(float, percentile_interval(steeper, level))
        shift, shift_draws = _shift(base, other)
        shift_low, shift_high = map(float, percentile_interval(shift_draws, level))
        # Equivalence: two one-sided tests at (1 - level) are the interval at 2 level - 1.
        inner = percentile_interval(steeper, max(2 * level - 1, 0.5))
        same = -margin < inner[0] and inner[1] < margin
        different = low > 0 or high < 0
        verdict = "same slope" if same else "other slope" if different else "undecided"
        found.append(
            Improvement(
                other.curve.name, base.curve.name, shift, shift_low, shift_high,
                other.exponent - base.exponent, low, high, verdict,
            )
        )  # fmt: skip
    return found


def _shift(base: Regions, other: Regions) -> tuple[float, FloatArray]:
    """Mean difference of log errors over the sizes both have, and its draws."""
    size = min(len(base.draws.values), len(other.draws.values))
    low = max(base.curve.n[0], other.curve.n[0])
    high = max(min(base.curve.n[-1], other.curve.n[-1]), low)
    grid = {"x": np.geomspace(low, high, 9)}

    def mean_log(regions: Regions) -> tuple[float, FloatArray]:
        at_fit = float(np.log(regions.chosen.fit.predict(grid)).mean())
        drawn = regions.draws.law.values(regions.draws.values[:size], grid)
        return at_fit, np.log(drawn).mean(axis=1)

    (level, levels), (own, owns) = mean_log(base), mean_log(other)
    return level - own, levels - owns


def lowest_error_last(curves: list[LearningCurve]) -> list[int]:
    """Order of curves by error at the largest size that they share, the worst first."""
    common = min(float(curve.n[-1]) for curve in curves)
    at = [float(np.interp(np.log(common), curve.x, curve.y)) for curve in curves]
    return [int(place) for place in np.argsort(at)[::-1]]
