"""Do improvements shift a learning curve or change its slope: joint fits, tests, equivalence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import fdtrc

from statlas.core.learning_curves import LearningCurve
from statlas.core.numerics.laws import LawFit, fit_law, information
from statlas.core.numerics.laws.uncertainty import percentile_interval
from statlas.scaling.predictable_scaling.law import FORMS, FloatArray, Form, joint_law
from statlas.scaling.predictable_scaling.regions import (
    OBJECTIVE,
    Candidate,
    Regions,
    weights_of,
)

Sharing = Literal["slope", "level"]


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


def test_shared(
    curves: list[LearningCurve], candidates: list[list[Candidate]], sharing: Sharing = "slope"
) -> SlopeTest:
    """Fit curves with a shared slope (or, for comparison, a shared level) and with their own.

    Parameters
    ----------
    curves
        At least two.
    candidates
        Their fits by themselves, from `compare_forms`.
    sharing
        What is shared: the exponent, or the level at the smallest size of them all.
    """
    form = common_form(candidates)
    fits = [next(c.fit for c in own if c.form is form) for own in candidates]
    # Examples are counted in units of the smallest size, where the level is compared.
    unit = min(float(curve.n[0]) for curve in curves)
    amplitude = "B" if form.guess else "A"
    name = "alpha" if sharing == "slope" else amplitude
    law = joint_law(form.law, len(curves), (name,))
    x = np.concatenate([curve.n for curve in curves]) / unit
    error = np.concatenate([curve.error for curve in curves])
    number = np.repeat(np.arange(len(curves)), [len(curve) for curve in curves])
    # The weights of each curve are relative to its own residuals, so that curves are comparable.
    scale = [_noise(fit) for fit in fits]
    weights = np.concatenate(
        [weights_of(curve) / noise for curve, noise in zip(curves, scale, strict=True)]
    )
    held = _held(fits, amplitude, sharing)
    shared = fit_law(
        law, {"x": x, "curve": number.astype(float)}, error, OBJECTIVE, weights=weights,
        n_starts=0, starts=_starts(fits, law.names, name, unit), fixed=held, rng=0,
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


def _held(fits: list[LawFit], amplitude: str, sharing: Sharing) -> dict[str, float]:
    """Best guesses that were given stay so in the joint fit."""
    held = {}
    for k, fit in enumerate(fits):
        if amplitude == "B" and not fit.free[fit.law.position("B")]:
            name = "B" if sharing == "level" else f"B_{k}"
            held[name] = fit.parameters["B"]
    return held


def _starts(
    fits: list[LawFit], names: tuple[str, ...], shared: str, unit: float
) -> list[list[float]]:
    """Starts of the joint fit: the curves' own fits, with a mean, a low and a high shared value."""
    own = []
    for fit in fits:
        values = dict(fit.parameters)
        if "m0" in values:
            values["m0"] /= unit
        if "A" in values:
            values["A"] *= unit ** -values["alpha"]
        own.append(values)
    level = np.array([values[shared] for values in own])
    starts = []
    for value in np.quantile(level, [0.5, 0.1, 0.9]):
        row = []
        for name in names:
            base, _, k = name.rpartition("_")
            row.append(float(value) if name == shared else max(own[int(k)][base], 1e-12))
        starts.append(row)
    return starts


def _criterion(value: float, n: int, n_free: int) -> float:
    return n * np.log(max(2 * value, 1e-300) / n) + n_free * np.log(n)


def _aicc(value: float, n: int, n_free: int) -> float:
    k = n_free + 1
    return n * np.log(max(2 * value, 1e-300) / n) + 2 * k + 2 * k * (k + 1) / max(n - k - 1, 1)


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
        shift, shift_draws = _shift(base, other, size)
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


def _shift(base: Regions, other: Regions, size: int) -> tuple[float, FloatArray]:
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
