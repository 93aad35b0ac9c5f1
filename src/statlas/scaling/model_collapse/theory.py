"""Expected test error of ridge fits on labels of earlier fits; notation as in the package."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import optimize

from statlas.core import InputError

FloatArray = NDArray[np.float64]
Design = Literal["fresh", "same"]


# --- spectra and degrees of freedom ---------------------------------------------------------------


def power_law_spectrum(n_features: int, capacity: float) -> FloatArray:
    """Eigenvalues ``j ** -capacity`` for j = 1 to `n_features`, shape (n_features,)."""
    return np.arange(1, n_features + 1, dtype=float) ** -capacity


def power_law_coefficients(n_features: int, capacity: float, source: float) -> FloatArray:
    """Coefficients at the edge of the source condition of exponent `source`.

    Their squares are ``j ** -(1 + capacity * (2 * source - 1))``, so that
    ``sum(spectrum ** (1 - 2 * s) * coefficients ** 2)`` stays finite for every s below `source`.
    """
    return np.arange(1, n_features + 1, dtype=float) ** (-(1 + capacity * (2 * source - 1)) / 2)


def degrees_of_freedom(spectrum: ArrayLike, kappa: float, order: int) -> float:
    """``sum((spectrum / (spectrum + kappa)) ** order)``.

    Examples
    --------
    >>> degrees_of_freedom([1.0, 1.0], kappa=1.0, order=2)
    0.5
    """
    values = _positive_spectrum(spectrum)
    return float(np.sum((values / (values + kappa)) ** order))


def solve_kappa(spectrum: ArrayLike, n_samples: int, ridge: float) -> float:
    """The ridge that acts on the population: the root of ``kappa - ridge = kappa df_1 / n``.

    Parameters
    ----------
    spectrum
        Eigenvalues of the feature covariance, all above 0, shape (n_features,).
    n_samples
        Rows of the fit, at least 1.
    ridge
        Ridge of the fit, at least 0.

    Returns
    -------
    float
        At least `ridge`; 0 for a ridgeless fit with at least as many rows as features.

    Raises
    ------
    InputError
        If an eigenvalue is not above 0, `n_samples` is below 1 or `ridge` below 0.

    Examples
    --------
    >>> round(solve_kappa([1.0] * 30, n_samples=10, ridge=0.0), 6)  # 30 / (1 + kappa) = 10
    2.0
    """
    values = _positive_spectrum(spectrum)
    if n_samples < 1 or not ridge >= 0:
        raise InputError(f"a fit needs n_samples >= 1 and ridge >= 0; got {n_samples}, {ridge}")
    if ridge == 0 and n_samples >= len(values):
        return 0.0

    def imbalance(log_kappa: float) -> float:
        kappa = np.exp(log_kappa)
        return float(1 - ridge / kappa - np.sum(values / (values + kappa)) / n_samples)

    # The imbalance rises with kappa. kappa is at least the ridge and at most
    # ridge + trace / n; without ridge, at least what makes df_1 of the smallest eigenvalue n.
    upper = ridge + values.sum() / n_samples
    lower = ridge if ridge > 0 else values.min() * (len(values) / n_samples - 1)
    ends = np.log([lower * (1 - 1e-9), upper * (1 + 1e-9)])
    return float(np.exp(optimize.brentq(imbalance, *ends, xtol=1e-13, rtol=1e-14)))


def _positive_spectrum(spectrum: ArrayLike) -> FloatArray:
    values = np.asarray(spectrum, dtype=float)
    if values.ndim != 1 or len(values) == 0 or not np.all(values > 0):
        raise InputError("the spectrum must be a list of numbers above 0")
    return values


# --- the chain and its expected error -------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Chain:
    """True coefficients, then generators, then a last fit.

    Attributes
    ----------
    spectrum, coefficients
        Eigenvalues of the feature covariance (above 0), and the true coefficients in the basis of
        its eigenvectors, each of shape (n_features,).
    noise_var
        Variance of the label noise of the last fit: one for all generations, or one for each of
        0 to `generations`.
    n_train
        Rows of the last fit.
    generations
        Largest number of generators, at least 0.
    n_generator, generator_ridge
        Rows of each generator (by default `n_train`) and its ridge.
    generator_noise_var
        Variance of the label noise of each generator, one for all or shape (generations,); by
        default that of the last fit which would have learned from the same labels.
    design
        ``"fresh"``: every fit has rows of its own. ``"same"``: all fits share one design; needs
        ridgeless generators with as many rows as the last fit.

    Raises
    ------
    InputError
        For a spectrum with a value of 0 or below, shapes that do not match, negative variances or
        counts, or a shared design that is not ridgeless.
    """

    spectrum: ArrayLike
    coefficients: ArrayLike
    noise_var: ArrayLike
    n_train: int
    generations: int = 0
    n_generator: int | None = None
    generator_noise_var: ArrayLike | None = None
    generator_ridge: float = 0.0
    design: Design = "fresh"

    def __post_init__(self) -> None:
        if self.true.shape != self.eigenvalues.shape or self.generations < 0:
            raise InputError("coefficients must match the spectrum, generations be at least 0")
        if len(self.generator_noises) != self.generations:  # reading them checks them
            raise InputError("each generator needs one variance of label noise")
        alike = self.generator_rows == self.n_train and self.generator_ridge == 0
        if self.design == "same" and not alike:
            raise InputError(
                "one design for all fits needs ridgeless generators and n_generator = n_train",
                remedy="use design='fresh'",
            )

    @functools.cached_property
    def eigenvalues(self) -> FloatArray:
        """The spectrum as a checked array."""
        return _positive_spectrum(self.spectrum)

    @functools.cached_property
    def true(self) -> FloatArray:
        """The coefficients as an array."""
        return np.asarray(self.coefficients, dtype=float)

    @property
    def generator_rows(self) -> int:
        """Rows of each generator."""
        return self.n_train if self.n_generator is None else self.n_generator

    @functools.cached_property
    def noises(self) -> FloatArray:
        """Label noise variance of the last fit of each generation, shape (generations + 1,)."""
        return _variances(self.noise_var, self.generations + 1)

    @functools.cached_property
    def generator_noises(self) -> FloatArray:
        """Label noise variance of each generator, shape (generations,)."""
        if self.generator_noise_var is None:
            return self.noises[:-1]
        return _variances(self.generator_noise_var, self.generations)

    @functools.cached_property
    def moments(self) -> _Moments:
        """Mean and mean square of the coefficients that label each last fit."""
        true, steps = self.true, self.generations + 1
        moments = _Moments(
            np.tile(true, (steps, 1)),
            np.tile(true**2, (steps, 1)),
            np.zeros((steps, len(true))),
            np.zeros(steps),
        )
        if self.design == "same":
            moments.shared_var[1:] = np.cumsum(self.generator_noises)
        elif self.generations:
            fit = _fit(self.eigenvalues, self.generator_rows, self.generator_ridge)
            for step, noise_var in enumerate(self.generator_noises):
                moments.mean[step + 1] = fit.shrink * moments.mean[step]
                moments.signal[step + 1] = fit.mean_square(moments.signal[step], 0.0)
                moments.noise[step + 1] = fit.mean_square(moments.noise[step], noise_var)
        return moments


def _variances(values: ArrayLike, count: int) -> FloatArray:
    variances = np.asarray(values, dtype=float)
    if variances.shape not in ((), (count,)) or not np.all(variances >= 0):
        raise InputError(f"label noise needs one variance of at least 0, or {count}")
    return np.broadcast_to(variances, (count,)).copy()


@dataclass(frozen=True)
class _Moments:
    mean: FloatArray  # E w, (generations + 1, n_features)
    signal: FloatArray  # E w^2 without the generators' label noise
    noise: FloatArray  # E w^2 that this noise adds
    shared_var: FloatArray  # label noise handed on by a shared design, (generations + 1,)


@dataclass(frozen=True)
class _Fit:
    """What one fit does to the coefficients that made its labels; map (1) of the module."""

    shrink: FloatArray  # a
    spread: FloatArray  # g
    kappa: float
    room: float  # T - df_2

    def mean_square(self, before: FloatArray, noise_var: float) -> FloatArray:
        leak = self.kappa**2 * float(np.sum(self.spread * before)) if self.kappa else 0.0
        disturbance = leak + noise_var
        kept = self.shrink**2 * before
        if disturbance == 0:
            return kept
        return kept + self.spread * (disturbance / self.room if self.room > 0 else np.inf)


def _fit(spectrum: FloatArray, n_samples: int, ridge: float) -> _Fit:
    kappa = solve_kappa(spectrum, n_samples, ridge)
    shrink = spectrum / (spectrum + kappa)
    room = n_samples - float(np.sum(shrink**2))
    if kappa == 0:
        room = n_samples - len(spectrum) - 1.0  # exact mean of the inverse Wishart matrix
    return _Fit(shrink, shrink / (spectrum + kappa), kappa, room)


@dataclass(frozen=True)
class ErrorParts:
    """Expected test error by generation and its parts, each of shape (generations + 1,).

    Attributes
    ----------
    bias, variance
        The two parts of an ordinary ridge fit on true labels.
    signal_loss
        What is added because the generators shrink the coefficients.
    generator_noise
        What is added because each generator learns the noise of its labels.
    """

    bias: FloatArray
    variance: FloatArray
    signal_loss: FloatArray
    generator_noise: FloatArray

    @property
    def total(self) -> FloatArray:
        """The sum of the parts."""
        return self.bias + self.variance + self.signal_loss + self.generator_noise


def expected_test_error(chain: Chain, ridge: ArrayLike = 0.0) -> ErrorParts:
    """Expected test error after 0 to ``chain.generations`` generations of fits on fits.

    Parameters
    ----------
    chain
        The setting.
    ridge
        Ridge of the last fit, at least 0: one for all generations, or shape (generations + 1,).

    Examples
    --------
    Ordinary least squares: each generation adds sigma^2 d / (T - d - 1) = 10 / 39.

    >>> chain = Chain(spectrum=np.ones(10), coefficients=np.ones(10), noise_var=1.0, n_train=50,
    ...               generations=2)
    >>> np.round(expected_test_error(chain).total * 39, 6).tolist()
    [10.0, 20.0, 30.0]
    """
    ridges = np.broadcast_to(np.asarray(ridge, dtype=float), (chain.generations + 1,))
    fits = {ridge: _fit(chain.eigenvalues, chain.n_train, ridge) for ridge in set(ridges.tolist())}
    parts = [_parts(chain, fits[ridge], n) for n, ridge in enumerate(ridges.tolist())]
    return ErrorParts(*np.array(parts).T)


def _parts(chain: Chain, fit: _Fit, generation: int) -> tuple[float, float, float, float]:
    true, moments = chain.true, chain.moments

    def signal_error(mean: FloatArray, mean_square: FloatArray) -> float:
        after = fit.mean_square(mean_square, 0.0)
        return float(np.sum(chain.eigenvalues * (after - 2 * fit.shrink * mean * true + true**2)))

    def noise_error(before: FloatArray, noise_var: float) -> float:
        return float(np.sum(chain.eigenvalues * fit.mean_square(before, noise_var)))

    bias = signal_error(true, true**2)
    variance = noise_error(np.zeros_like(true), float(chain.noises[generation]))
    signal_loss = signal_error(moments.mean[generation], moments.signal[generation]) - bias
    shared_var = float(moments.shared_var[generation])
    return bias, variance, signal_loss, noise_error(moments.noise[generation], shared_var)


def optimal_ridge(chain: Chain) -> FloatArray:
    """Ridge of the last fit with the least expected test error, for each generation.

    The search runs over kappa, of which the ridge is an explicit function.

    Returns
    -------
    array of shape (generations + 1,)
        0 where no ridge is best; a very large number where the null fit is best.

    Examples
    --------
    On true labels and isotropic features it is d sigma^2 / (T |w|^2).

    >>> chain = Chain(spectrum=np.ones(10), coefficients=np.ones(10), noise_var=2.0, n_train=50)
    >>> round(float(optimal_ridge(chain)[0]), 6)
    0.04
    """
    spectrum = chain.eigenvalues
    least = solve_kappa(spectrum, chain.n_train, 0.0)
    start = max(least * (1 + 1e-9), 1e-9 * spectrum.min())
    grid = np.log(np.geomspace(start, max(1e6 * spectrum.max(), 1e3 * start), 240))
    errors = _errors_by_kappa(chain, np.exp(grid[None, :]))
    best = errors.argmin(axis=1)
    ridgeless = errors[:, 0] - errors.min(axis=1) <= 1e-13 * errors[:, -1]  # no gain but rounding
    centre, step = grid[best], grid[1] - grid[0]
    while step > 1e-8:  # zoom in on the least error of every generation at once
        near = np.clip(centre[:, None] + step * np.linspace(-1, 1, 9), grid[0], grid[-1])
        errors = _errors_by_kappa(chain, np.exp(near))
        centre = np.take_along_axis(near, errors.argmin(axis=1)[:, None], axis=1)[:, 0]
        step /= 4
    kappa = np.exp(centre)
    freedom = np.array([degrees_of_freedom(spectrum, value, 1) for value in kappa])
    return np.where(ridgeless, 0.0, kappa * (1 - freedom / chain.n_train))


def _errors_by_kappa(chain: Chain, kappa: FloatArray) -> FloatArray:
    """Test error of each generation's last fit for its row of `kappa`: map (1), vectorised.

    `kappa` has shape (generations + 1, n_values), or (1, n_values) for all generations alike.
    """
    spectrum, true, moments = chain.eigenvalues, chain.true, chain.moments
    before = (moments.signal + moments.noise)[:, :, None]
    noise_var = (chain.noises + moments.shared_var)[:, None]
    shrink = spectrum / (spectrum + kappa[:, :, None])
    df2 = np.sum(shrink**2, axis=2)
    leak = kappa**2 * ((shrink / (spectrum + kappa[:, :, None])) @ before)[:, :, 0]
    scaled = (leak + noise_var) / np.maximum(chain.n_train - df2, 1e-300)
    kept = (shrink**2 @ (spectrum[:, None] * before))[:, :, 0]
    cross = (shrink @ (spectrum * moments.mean * true)[:, :, None])[:, :, 0]
    errors: FloatArray = kept - 2 * cross + np.sum(spectrum * true**2) + df2 * scaled
    return errors


def isotropic_chain_error(
    n_features: int,
    generations: int,
    *,
    signal: float,
    noise_var: float,
    n_train: int,
    n_generator: int,
    generator_noise_var: float,
) -> float:
    """Exact test error of ridgeless fits on standard Gaussian features, fresh rows for each fit.

    A fit with fewer rows than features keeps the share rows / features of any squared length on
    average, and adds noise sigma^2 d / (T - d - 1), or sigma^2 T / (d - T - 1) with fewer rows.

    Parameters
    ----------
    n_features, n_train, n_generator
        Features, and rows of the last fit and of each generator; the error is infinite where
        rows and features differ by less than 2.
    generations
        Number of generators, at least 0.
    signal
        Squared length of the true coefficients.
    noise_var, generator_noise_var
        Variance of the label noise of the last fit and of each generator.

    Examples
    --------
    >>> isotropic_chain_error(10, 3, signal=1.0, noise_var=0.0, n_train=50, n_generator=5,
    ...                       generator_noise_var=0.0)  # 1 - (1 / 2) ** 3
    0.875
    """

    def added(n_rows: int, variance: float) -> float:
        gap = abs(n_rows - n_features) - 1
        if variance == 0:
            return 0.0
        return variance * min(n_rows, n_features) / gap if gap > 0 else np.inf

    kept = min(1.0, n_generator / n_features)
    last_kept = min(1.0, n_train / n_features)
    generator_noise = added(n_generator, generator_noise_var) if generations else 0.0
    grown = generator_noise * sum(kept**n for n in range(generations))
    learned = kept**generations * signal + grown
    missed = signal - 2 * last_kept * kept**generations * signal
    return missed + last_kept * learned + added(n_train, noise_var)


# --- exponents under power laws -------------------------------------------------------------------


def adaptive_ridge_exponent(
    capacity: float, source: float, generator_exponent: float = 1.0
) -> float:
    """Exponent l of the ridge T^-l with the fastest decay of the error (Section 5).

    It is c beta / (2 beta r + 1), with r capped at 1 and c = `generator_exponent` in
    T_0 = T^c capped at 1: the ridge that T_0 rows would call for. With the default it is the
    exponent for true labels.

    Examples
    --------
    >>> adaptive_ridge_exponent(capacity=1.5, source=0.5)
    0.6
    >>> adaptive_ridge_exponent(capacity=1.5, source=0.5, generator_exponent=0.5)
    0.3
    """
    return min(generator_exponent, 1.0) * capacity / (2 * capacity * min(source, 1.0) + 1)


def error_exponent(
    ridge_exponent: float, capacity: float, source: float, generator_exponent: float | None = None
) -> float:
    """Exponent e of the error T^-e of a fit with ridge T^-l, for noisy labels.

    The smaller of 2 r l (bias) and min(1, c) - l / beta (noise); c = 1 without generators.

    Parameters
    ----------
    ridge_exponent
        l, from 0 to `capacity`.
    capacity, source
        beta and r of the power laws.
    generator_exponent
        c in T_0 = T^c, with n_features a fixed share of T_0 and c > l / beta; None for true labels.

    Examples
    --------
    >>> error_exponent(0.6, capacity=1.5, source=0.5)
    0.6
    """
    rows = 1.0 if generator_exponent is None else min(generator_exponent, 1.0)
    return float(min(2 * min(source, 1.0) * ridge_exponent, rows - ridge_exponent / capacity))
