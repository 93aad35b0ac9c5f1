"""The paper's claims: what is nested, what the shape selects, how many scales, crossing, cure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from statlas.core import Above, Below, Oracle, Twin, claim
from statlas.statistics.flexible_survival.family import FloatArray, survival_quantile
from statlas.statistics.flexible_survival.fitting import (
    Design,
    cure_fraction,
    fit_survival,
    likelihood_ratio,
    predict,
    quantile_time,
)
from statlas.statistics.flexible_survival.likelihood import Predictors, Times, log_likelihood
from statlas.statistics.flexible_survival.reading import kaplan_meier

_ROWS, _ALPHA = 300, 0.05
Interval = Callable[[Times, FloatArray], tuple[float, float]]


def simulate(rng: np.random.Generator, at: Predictors) -> FloatArray:
    """Times of rows with the given predictors, infinite where the event never happens."""
    depth = rng.exponential(size=len(at.tau))
    return np.exp(survival_quantile(depth, at.tau, at.beta, at.alpha, np.exp(-at.nu)))


def _sample(
    rng: np.random.Generator,
    kappa: float,
    scale: float = 0.0,
    power: float = 0.0,
    gamma: float = 1.5,
    follow_up: tuple[float, float] = (0.5, 6.0),
    n: int = _ROWS,
) -> tuple[Times, FloatArray]:
    """A covariate of 0 and 1 on phi and gamma; censoring uniform over `follow_up`."""
    x = (np.arange(n) % 2).astype(float)
    zeros = np.zeros(n)
    at = Predictors(scale * x, zeros, np.log(gamma) + power * x, zeros + np.log1p(kappa))
    time, end = simulate(rng, at), rng.uniform(*follow_up, n)
    return Times.of(np.minimum(time, end), time <= end), x[:, None]


# --- what is nested ------------------------------------------------------------------------------


def _closed_form(case: str, times: Times, phi: float, lam: float, gamma: float) -> float:
    """Log-likelihood of a textbook distribution, from its own hazard."""
    t, z = times.time, (phi * times.time) ** gamma
    entry = (phi * times.entry) ** gamma
    if case == "weibull":
        h, rise = gamma * phi * (phi * t) ** (gamma - 1), z - entry
    elif case == "gompertz":  # gamma is 1
        h, rise = lam * phi * np.exp(phi * t), lam * (np.exp(z) - np.exp(entry))
    else:  # log-logistic (lam is 1) and Burr XII
        h = lam * gamma * phi * (phi * t) ** (gamma - 1) / (1 + z)
        rise = lam * (np.log1p(z) - np.log1p(entry))
    return float(np.log(h[times.event]).sum() - rise.sum())


def _adapted(times: Times, phi: float, lam: float, gamma: float, nu: float) -> float:
    return log_likelihood(times, np.log(phi), np.log(lam), np.log(gamma), nu)


def _not_adapted(times: Times, phi: float, lam: float, gamma: float, nu: float) -> float:
    """H0 = (1 + z)^kappa - 1, the power generalised Weibull before its adaptation."""
    kappa = min(np.expm1(nu), 50.0)
    z, entry = (phi * times.time) ** gamma, (phi * times.entry) ** gamma
    h = lam * abs(kappa) * (1 + z) ** (kappa - 1) * gamma * z / times.time
    rise = lam * abs((1 + z) ** kappa - (1 + entry) ** kappa)
    return float(np.log(h[times.event] + 1e-300).sum() - rise.sum())


@claim(
    "flexible-survival",
    says="Weibull, log-logistic, Burr and Gompertz are exact special cases",
    where="the adapted power generalised Weibull and its special cases",
    expect=Oracle(1e-9),
    unit="largest difference of log-likelihoods over their size, 60 rows, censored, truncated",
    subject=_adapted,
    twin=Twin("the power generalised Weibull without its adaptation", _not_adapted),
    quick=100,
    full=5_000,
)
def nests_special_cases(rng: np.random.Generator, likelihood: Callable[..., float]) -> float:
    """Against each distribution's own formula at random parameters."""
    time = rng.exponential(size=60) + 0.01
    entry = np.where(rng.uniform(size=60) < 0.4, time * rng.uniform(size=60), 0.0)
    times = Times.of(time, rng.uniform(size=60) < 0.6, entry)
    phi, lam, gamma = np.exp(0.5 * rng.standard_normal(3))
    cases: dict[str, tuple[float, float, float]] = {
        "weibull": (1.0, gamma, np.log(2.0)),
        "log-logistic": (1.0, gamma, 0.0),
        "burr": (lam, gamma, 0.0),
        "gompertz": (lam, 1.0, np.inf),
    }
    apart = []
    for case, (s, g, nu) in cases.items():
        true = _closed_form(case, times, phi, s, g)
        # Gompertz's own terms reach 1e9 here, so differences are counted in units of the value.
        apart.append((likelihood(times, phi, s, g, nu) - true) / max(1.0, abs(true)))
    return float(max(apart, key=abs))


# --- what the shape selects ----------------------------------------------------------------------


def _late_hazard(times: Times, x: FloatArray, family: Any) -> tuple[float, float]:
    fit = fit_survival(times, x, Design(((0,), (), (), ()), family))
    found = predict(fit, [0.0], [3.0])
    return float(found["hazard_low"][0]), float(found["hazard_high"][0])


@claim(
    "flexible-survival",
    says="the shape kappa selects the baseline: a hazard that rises and falls is found",
    where="abstract; the shape that does not depend on covariates",
    expect=Above(0.90),
    unit="share of 95 % intervals that cover the late hazard of a log-logistic, 300 rows",
    subject=partial(_late_hazard, family="apgw"),
    twin=Twin("a Weibull model", partial(_late_hazard, family="weibull")),
    quick=40,
    full=700,
    kind="proportion",
)
def selects_the_baseline(rng: np.random.Generator, interval: Interval) -> float:
    """Hazard at three times the median, gamma = 2.5: gamma z / (t (1 + z))."""
    times, x = _sample(rng, kappa=0.0, scale=0.5, gamma=2.5)
    z = 3.0**2.5
    low, high = interval(times, x)
    return float(low <= 2.5 * z / (3.0 * (1 + z)) <= high)


# --- how many scales -----------------------------------------------------------------------------


def _gains(times: Times, x: FloatArray, where: int) -> bool:
    """Whether the covariate on a second parameter, beside phi, is significant at 5 %."""
    small = Design(((0,), (), (), ()))
    lam, gamma = ((0,) if where == place else () for place in (1, 2))
    large = Design(((0,), lam, gamma, ()))
    return (
        likelihood_ratio(fit_survival(times, x, small), fit_survival(times, x, large))[1] < _ALPHA
    )


@claim(
    "flexible-survival",
    says="covariates through one of the two scales suffice: a second scale is rarely called for",
    where="abstract; simulations on the need of both AFT and PH parameters",
    expect=Below(0.10),
    unit="share of samples with a significant hazard ratio beside the time ratio, 300 rows",
    subject=0.0,
    twin=Twin("survival curves that cross", 0.8),
    quick=24,
    full=700,
    kind="proportion",
)
def one_scale_suffices(rng: np.random.Generator, power: float) -> float:
    """Whether the second scale is significant in times whose scale alone depends on x."""
    return float(_gains(*_sample(rng, kappa=0.4, scale=0.5, power=power), where=1))


@claim(
    "flexible-survival",
    says="covariates on the power find effects that are neither of time scale nor of hazard",
    where="abstract; the power shape parameter",
    expect=Above(0.90),
    unit="share of samples in which the power's covariate is significant, 300 rows",
    subject=0.6,
    twin=Twin("a covariate that scales time only", 0.0),
    quick=24,
    full=300,
    kind="proportion",
)
def power_finds_crossing(rng: np.random.Generator, power: float) -> float:
    """Whether the power's covariate is significant where powers are 1.5 and 2.7."""
    return float(_gains(*_sample(rng, kappa=0.4, power=power), where=2))


# --- cure, censoring and truncation --------------------------------------------------------------


def _by_the_limit(times: Times, x: FloatArray) -> tuple[float, float]:
    return cure_fraction(fit_survival(times), np.zeros((1, 0)))[1:]


def _by_the_last_survivors(times: Times, x: FloatArray) -> tuple[float, float]:
    """Kaplan and Meier's last value, with a binomial error."""
    share = float(kaplan_meier(times)[1][-1])
    error = 1.96 * np.sqrt(share * (1 - share) / len(times))
    return share - error, share + error


@claim(
    "flexible-survival",
    says="for kappa below 0 the family is a cure model, whose share of survivors is estimated",
    where="abstract; defective distributions",
    expect=Above(0.90),
    unit="share of 95 % intervals that cover a share of 0.22, 300 rows",
    subject=_by_the_limit,
    twin=Twin("survival at the end of follow-up in its place", _by_the_last_survivors),
    quick=40,
    full=700,
    kind="proportion",
)
def covers_the_cured_share(rng: np.random.Generator, interval: Interval) -> float:
    """With kappa = -0.4 the limit of H is (kappa + 1) / -kappa = 1.5."""
    low, high = interval(*_sample(rng, kappa=-0.4, gamma=1.2, follow_up=(5.0, 12.0)))
    return float(low <= np.exp(-1.5) <= high)


def _median(times: Times, x: FloatArray) -> tuple[float, float]:
    return quantile_time(fit_survival(times), np.zeros((1, 0)))[1:]


def _median_without_entry(times: Times, x: FloatArray) -> tuple[float, float]:
    return _median(replace(times, entry=np.zeros(len(times))), x)


@claim(
    "flexible-survival",
    says="maximum likelihood allows for censoring and for late entry",
    where="estimation; late entry is an extension here",
    expect=Above(0.90),
    unit="share of 95 % intervals that cover the median, about 300 rows",
    subject=_median,
    twin=Twin("late entry ignored", _median_without_entry),
    quick=40,
    full=700,
    kind="proportion",
)
def covers_the_median_after_late_entry(rng: np.random.Generator, interval: Interval) -> float:
    """Units that had the event before their entry are never seen; the rest are censored late."""
    drawn, _ = _sample(rng, kappa=0.4, n=2 * _ROWS, follow_up=(50.0, 60.0))
    entry = rng.uniform(0, 1.5, len(drawn)) * (rng.uniform(size=len(drawn)) < 0.7)
    seen = np.flatnonzero(drawn.time > entry)[:_ROWS]
    time, start = drawn.time[seen], entry[seen]
    end = start + rng.uniform(0.3, 4.0, len(seen))
    times = Times.of(np.minimum(time, end), time <= end, start)
    true = float(np.exp(survival_quantile(np.log(2), 0.0, 0.0, np.log(1.5), 1 / 1.4)))
    low, high = interval(times, np.zeros((len(times), 0)))
    return float(low <= true <= high)
