"""The deconvolution model as a scikit-learn transformer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta as beta_law
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from statlas.core.rng import sklearn_seed
from statlas.statistics.ndm.fitting import Settings, fit_model, infer_rows
from statlas.statistics.ndm.likelihood import Family, FloatArray, Observations, link
from statlas.statistics.ndm.model import Prior, moments

_MEAN_SPREAD = 4.0  # prior variance of global means, in variances of the feature
_SHORTEST = 1e-12


@dataclass(frozen=True)
class LocalFactors:
    """What each row has of its own.

    Attributes
    ----------
    proportions, proportions_sd
        Share of each factor in the row and its posterior standard deviation, (n_rows, K).
    deviation, deviation_sd
        Local minus global factor features, and their posterior standard deviation at the row's
        proportions, on the scale of theta, (n_rows, K, n_features).
    expected
        Expected observation g(sum of pi_k x_k), (n_rows, n_features).
    bound
        Lower bound of the row's log predictive density given the fitted factors, (n_rows,).
    """

    proportions: FloatArray
    proportions_sd: FloatArray
    deviation: FloatArray
    deviation_sd: FloatArray
    expected: FloatArray
    bound: FloatArray


class NonparametricDeconvolution(
    ClassNamePrefixFeaturesOutMixin,  # type: ignore[misc]
    TransformerMixin,  # type: ignore[misc]
    BaseEstimator,  # type: ignore[misc]
):
    """Rows as averages over hidden factors, whose features vary from row to row.

    Parameters
    ----------
    n_factors
        Number of factors, or the number to begin with where it is learnt.
    learn_n_factors
        Whether factors are merged and split while that raises the evidence bound.
    family
        Observation model: "gaussian" (identity), "binomial" (logit; shares of `trials`), "beta"
        (logit; shares) or "poisson" (soft-plus; counts).
    local
        Whether factors vary from row to row; False is the decomposition with global factors only.
    alpha
        Concentration of a row's proportions about the global ones; None learns it.
    alpha0
        Concentration of the global proportions: larger expects more factors.
    noise
        Gaussian noise variance as a share of each feature's variance; not used elsewhere.
    precision
        Precision phi of a beta share: its variance is p (1 - p) / (phi + 1).
    local_scale
        Prior variance of a local factor that is the whole row, as a share of each feature's
        variance (on the scale of theta).
    local_rows
        Number of rows that this prior counts for. The larger, the more is put down to further
        factors instead of to the covariance of local variation.
    max_iter, tol
        Most sweeps, and the rise of the evidence bound a row (nats) that ends them.
    random_state
        Seed of the starts and splits.

    Attributes
    ----------
    means_, covariances_
        Global factor means (K, n_features), on the scale of theta, and covariances of one particle.
    shares_
        Global proportions, falling, (K,).
    n_factors_
        Number of factors.
    bounds_
        Evidence bound after each sweep, in nats.
    converged_
        Whether the sweeps ended by `tol`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> shares = rng.dirichlet([0.5, 0.5], 60)
    >>> table = shares @ np.array([[0.0, 4.0, 1.0], [3.0, 0.0, 1.0]])
    >>> table += 0.1 * rng.normal(size=(60, 3))
    >>> model = NonparametricDeconvolution(2, learn_n_factors=False, random_state=0)
    >>> model.fit_transform(table).shape
    (60, 2)
    """

    def __init__(
        self,
        n_factors: int = 5,
        *,
        learn_n_factors: bool = True,
        family: Family = "gaussian",
        local: bool = True,
        alpha: float | None = 10.0,
        alpha0: float = 1.0,
        noise: float = 0.01,
        precision: float = 200.0,
        local_scale: float = 0.02,
        local_rows: float = 100.0,
        max_iter: int = 100,
        tol: float = 5e-3,
        random_state: Any = None,
    ) -> None:
        self.n_factors = n_factors
        self.learn_n_factors = learn_n_factors
        self.family = family
        self.local = local
        self.alpha = alpha
        self.alpha0 = alpha0
        self.noise = noise
        self.precision = precision
        self.local_scale = local_scale
        self.local_rows = local_rows
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        return tags

    @property
    def _n_features_out(self) -> int:
        return self.n_factors_

    def fit(
        self, X: ArrayLike, y: Any = None, *, trials: ArrayLike | None = None,
        particles: ArrayLike | None = None,
    ) -> Self:  # fmt: skip
        """Fit the factors; NaN marks a value that was not observed.

        Parameters
        ----------
        X
            Rows of observed averages (shares for binomial and beta, counts for Poisson).
        trials
            Trials of each row, or of each cell, for binomial shares.
        particles
            Number of particles P_n that a row averages over; 1 if left out. Only ratios count.
        """
        x = validate_data(self, X, dtype=np.float64, ensure_all_finite="allow-nan",
                          ensure_min_samples=2)  # fmt: skip
        self._check_range(x)
        start = Observations(x, self.family, self._raw_size(x, trials)).start()
        with np.errstate(invalid="ignore"):
            centre = _column(np.nanmean, start)
            variance = _column(np.nanvar, start)
        variance = np.maximum(variance, _SHORTEST * (1 + centre**2))
        self.feature_variances_ = variance
        counts = _row_counts(particles, len(x))
        self.typical_particles_ = float(counts.mean())
        n_features = x.shape[1]
        self._prior_ = Prior(
            alpha0=self.alpha0,
            centre=centre,
            spread=_MEAN_SPREAD * variance,
            scale=self.local_scale * variance * self.typical_particles_ * self.local_rows,
            freedom=n_features + 1.0 + self.local_rows,
            local=self.local,
        )
        learn_noise = self.family == "gaussian" and not self.local
        settings = Settings(
            int(self.n_factors), self.learn_n_factors, self.alpha, self.max_iter, self.tol,
            learn_noise,
        )  # fmt: skip
        self.noise_ = self.noise * variance
        observations = Observations(x, self.family, self._size(x, trials))
        rng = np.random.default_rng(_seed(self.random_state))
        fit = fit_model(observations, counts, self._prior_, settings, rng)
        self._shared_ = fit.shared
        if learn_noise:
            self.noise_ = fit.observations.size[0].copy()
        self.n_factors_ = fit.shared.n_factors
        self.means_ = fit.shared.mean
        self.covariances_ = fit.shared.covariance
        self.shares_ = fit.shared.share
        self.alpha_ = fit.shared.alpha
        self.bounds_ = np.array(fit.trace)
        self.converged_ = fit.converged
        self.n_iter_ = len(fit.trace)
        return self

    def local_factors(
        self, X: ArrayLike, *, trials: ArrayLike | None = None, particles: ArrayLike | None = None
    ) -> LocalFactors:
        """Proportions and local factors of each row, given the fitted global factors."""
        check_is_fitted(self)
        x = validate_data(self, X, reset=False, dtype=np.float64, ensure_all_finite="allow-nan")
        self._check_range(x)
        counts = _row_counts(particles, len(x))
        observations = Observations(x, self.family, self._size(x, trials))
        shared, prior = self._shared_, self._prior_
        rows, bound = infer_rows(observations, shared, counts, prior)
        at = moments(rows, shared, counts, prior)
        variance = at.m * (1 - at.m) / (at.s + 1)
        deviation_variance = np.zeros_like(rows.deviation)
        if self.local:
            for k, covariance in enumerate(shared.covariance):
                weight = np.maximum(counts * at.m[:, k], _SHORTEST)
                free = np.diag(covariance) / weight[:, None]
                seen = (covariance @ at.pull) / counts[:, None, None] ** 2
                known = np.einsum("nij,ji->ni", seen, covariance)
                deviation_variance[:, k] = np.maximum(free - known, 0.0)
        return LocalFactors(
            at.m,
            np.sqrt(variance),
            rows.deviation,
            np.sqrt(deviation_variance),
            link(at.fitted, self.family),
            bound,
        )

    def share_interval(self, factor: int, level: float = 0.95) -> tuple[float, float]:
        """Interval of a factor's global proportion under q(beta)."""
        check_is_fitted(self)
        own = float(self._shared_.beta[factor])
        rest = float(self._shared_.beta.sum()) - own
        if self.n_factors_ == 1:
            return 1.0, 1.0
        tails = (1 - level) / 2, (1 + level) / 2
        low, high = beta_law.ppf(tails, own, rest)
        return float(low), float(high)

    def transform(
        self, X: ArrayLike, *, trials: ArrayLike | None = None, particles: ArrayLike | None = None
    ) -> FloatArray:
        """Share of each factor in each row, (n_rows, K)."""
        return self.local_factors(X, trials=trials, particles=particles).proportions

    def predict_missing(
        self, X: ArrayLike, *, trials: ArrayLike | None = None, particles: ArrayLike | None = None
    ) -> FloatArray:
        """Expected value of every cell; of cells that are NaN from the row's other cells."""
        return self.local_factors(X, trials=trials, particles=particles).expected

    def score(
        self, X: ArrayLike, y: Any = None, *, trials: ArrayLike | None = None,
        particles: ArrayLike | None = None,
    ) -> float:  # fmt: skip
        """Mean lower bound of the log predictive density of a row, in nats."""
        return float(self.local_factors(X, trials=trials, particles=particles).bound.mean())

    def _raw_size(self, x: FloatArray, trials: ArrayLike | None) -> FloatArray:
        if self.family == "binomial":
            if trials is None:
                raise ValueError("binomial shares need the number of trials of each row")
            given = np.asarray(trials, dtype=float)
            given = given[:, None] if given.ndim == 1 else given
            return np.broadcast_to(given, x.shape)
        return np.full(x.shape, self.precision if self.family == "beta" else 1.0)

    def _size(self, x: FloatArray, trials: ArrayLike | None) -> FloatArray:
        if self.family == "gaussian":
            return np.broadcast_to(self.noise_, x.shape)
        return self._raw_size(x, trials)

    def _check_range(self, x: FloatArray) -> None:
        if np.isnan(x).all(axis=1).any():
            raise ValueError("a row has no observed value")
        low, high = np.nanmin(x), np.nanmax(x)
        if self.family in ("binomial", "beta") and (low < 0 or high > 1):
            raise ValueError(f"shares lie in [0, 1], and X runs from {low:.4g} to {high:.4g}")
        if self.family == "poisson" and low < 0:
            raise ValueError(f"counts are not negative, and X has {low:.4g}")


def _column(summary: Any, values: FloatArray) -> FloatArray:
    observed = ~np.isnan(values).all(axis=0)
    found = np.zeros(values.shape[1])
    found[observed] = summary(values[:, observed], axis=0)
    return found


def _row_counts(particles: ArrayLike | None, n: int) -> FloatArray:
    if particles is None:
        return np.ones(n)
    counts = np.asarray(particles, dtype=float).reshape(n)
    if not (counts > 0).all():
        raise ValueError("every row needs a positive number of particles")
    return counts


def _seed(random_state: Any) -> int:
    if isinstance(random_state, np.random.Generator):
        return sklearn_seed(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))
