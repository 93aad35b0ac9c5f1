"""The adapted power generalised Weibull: cumulative hazard, hazard, limits and derivatives.

With omega = 1 / (kappa + 1) the family's shape runs from 0 (kappa = infinity) through 1/2 (Weibull)
and 1 (log-logistic) to infinity (kappa = -1), and nothing is divided by zero on the way:
H0(z) = E(1 - omega, g(z, omega)), g = log(1 + omega z) / omega and E(a, g) = (exp(a g) - 1) / a.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

_SMALL = 0.02  # below it quotients of small numbers are summed as series
_LARGEST = 690.0  # exponents are cut here: exp(690) is near the largest float
_FAR = 300.0  # log z beyond which z is cut, so that its square fits a float


def _with_series(x: FloatArray, direct: FloatArray, coefficients: list[float]) -> FloatArray:
    """Put the series in where |x| is small."""
    small = np.flatnonzero(np.abs(x) < _SMALL)
    if len(small):
        near = x[small]
        total = np.full_like(near, coefficients[-1])
        for coefficient in coefficients[-2::-1]:
            total = total * near + coefficient
        direct[small] = total
    return direct


# (u / (1 + u) - log(1 + u)) / u^2 and (x exp(x) - exp(x) + 1) / x^2 near 0.
_LOG_SERIES = [(-1.0) ** (k + 1) * (k + 1) / (k + 2) for k in range(9)]
_EXP_SERIES = [
    (n - 1) / d for n, d in zip(range(2, 10), np.cumprod(np.arange(1.0, 10))[1:], strict=True)
]


def _log_slope(u: FloatArray, log_u: FloatArray) -> FloatArray:
    return _with_series(u, (u / (1 + u) - log_u) / (u * u), _LOG_SERIES)


def _exp_slope(x: FloatArray, exp_x: FloatArray) -> FloatArray:
    return _with_series(x, (x * exp_x - exp_x + 1) / (x * x), _EXP_SERIES)


@dataclass(frozen=True)
class Baseline:
    """The baseline at z = (phi t)^gamma, with derivatives by log z and by omega; each (n,)."""

    cumulative: FloatArray
    log_hazard: FloatArray  # of z, log h0(z)
    by_log_z: FloatArray
    by_omega: FloatArray
    log_hazard_by_log_z: FloatArray
    log_hazard_by_omega: FloatArray


def baseline(log_z: ArrayLike, omega: ArrayLike) -> Baseline:
    """Baseline cumulative hazard H0 and log h0 with first derivatives.

    Parameters
    ----------
    log_z
        Logarithm of (phi t)^gamma, shape (n,).
    omega
        1 / (kappa + 1) at least 0, a number or shape (n,); 0 is the limit kappa = infinity.

    Examples
    --------
    >>> baseline([0.0], 0.5).cumulative  # Weibull: H0(z) = z
    array([1.])
    >>> baseline([0.0], 1.0).cumulative.round(6)  # log-logistic: H0(z) = log(1 + z)
    array([0.693147])
    """
    shape = np.broadcast_shapes(np.shape(log_z), np.shape(omega))
    exponent = np.broadcast_to(np.asarray(log_z, dtype=float), shape).ravel()
    w = np.broadcast_to(np.asarray(omega, dtype=float), shape).ravel()
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        values = _baseline(exponent, w)
    return Baseline(*(value.reshape(shape) for value in values))


def _baseline(log_z: FloatArray, w: FloatArray) -> tuple[FloatArray, ...]:
    z = np.exp(np.minimum(log_z, _FAR))
    u = w * z
    # Far out the logarithm grows on where z itself would not fit a float.
    log_u = np.log1p(u) + np.maximum(log_z - _FAR, 0.0)
    g = np.where(u < 1e-300, z, log_u / w)
    g_by_omega = z * z * _log_slope(u, log_u)
    a = 1 - w
    x = np.minimum(a * g, _LARGEST)
    exp_x = np.exp(x)
    cumulative = np.where(np.abs(x) < 1e-300, g, np.expm1(x) / a)
    by_omega = exp_x * g_by_omega - g * g * _exp_slope(x, exp_x)
    slope = z / (1 + u)  # of g by log z
    power = 1 - 2 * w
    return (
        cumulative,
        power * g,
        exp_x * slope,
        by_omega,
        power * slope,
        -2 * g + power * g_by_omega,
    )


def cumulative_hazard(
    time: ArrayLike,
    phi: ArrayLike = 1.0,
    lam: ArrayLike = 1.0,
    gamma: ArrayLike = 1.0,
    kappa: ArrayLike = 1.0,
) -> FloatArray:
    """Cumulative hazard lambda H0((phi t)^gamma; kappa).

    Parameters
    ----------
    time
        Times at least 0, shape (n,).
    phi, lam, gamma
        Time scale (1 / time), hazard scale and power, above 0.
    kappa
        Shape above -1; ``numpy.inf`` gives the limit exp(z) - 1.

    Raises
    ------
    ValueError
        If a parameter is outside its range.

    Examples
    --------
    >>> print(cumulative_hazard([1.0, 2.0], kappa=np.inf).round(4))  # exp(t) - 1
    [1.7183 6.3891]
    """
    t, f, s, p, k = np.broadcast_arrays(
        *(np.asarray(v, dtype=float) for v in (time, phi, lam, gamma, kappa))
    )
    if not (np.all(t >= 0) and np.all(f > 0) and np.all(s > 0) and np.all(p > 0)):
        raise ValueError("times must be at least 0, and phi, lam and gamma above 0")
    if not np.all(k > -1):
        raise ValueError("kappa must be above -1")
    with np.errstate(divide="ignore"):
        log_z = p * (np.log(t) + np.log(f))
    return np.asarray(s * baseline(log_z, 1 / (k + 1)).cumulative)


def survival_quantile(
    cumulative: ArrayLike, tau: ArrayLike, beta: ArrayLike, alpha: ArrayLike, omega: ArrayLike
) -> FloatArray:
    """Logarithm of the time at which the cumulative hazard is `cumulative`; infinite if never.

    The inverse of E is log(1 + a H) / a and that of g is (exp(omega g) - 1) / omega.

    Examples
    --------
    >>> survival_quantile(1.0, 0.0, 0.0, 0.0, 0.5)  # Weibull of scale 1
    array(0.)
    """
    h, t, b, p, w = np.broadcast_arrays(
        *(np.asarray(v, dtype=float) for v in (cumulative, tau, beta, alpha, omega))
    )
    h, a = h * np.exp(-b), 1 - w
    with np.errstate(divide="ignore", invalid="ignore"):
        g = np.where(np.abs(a * h) < 1e-300, h, np.log1p(a * h) / np.where(a == 0, 1.0, a))
        z = np.where(w * g < 1e-300, g, np.expm1(w * g) / np.where(w == 0, 1.0, w))
        log_time = np.log(z) * np.exp(-p) - t
    return np.asarray(np.where(1 + a * h <= 0, np.inf, log_time))
