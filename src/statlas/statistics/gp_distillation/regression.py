"""Self-distilled Gaussian-process regression: all steps from one eigendecomposition."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.utils.validation import check_is_fitted, validate_data

FloatArray = NDArray[np.float64]


def combined_noise(noises: ArrayLike) -> float:
    """Noise variance of the one process that equals distribution-centric distillation.

    Examples
    --------
    >>> combined_noise([1.0, 0.5, 0.25])
    0.14285714285714285
    """
    return float(1 / np.sum(1 / np.asarray(noises, dtype=float)))


def distilled_coefficients(
    eigenvalues: ArrayLike, eigenvectors: ArrayLike, target: ArrayLike, noises: ArrayLike
) -> FloatArray:
    """Dual coefficients of every step of data-centric distillation.

    Step t is trained on the predictions of step t - 1, so its coefficients are
    V diag(prod_{s<t} d / (d + a_s) / (d + a_t)) V' y.

    Parameters
    ----------
    eigenvalues, eigenvectors
        Of the kernel matrix without noise, shapes (n,) and (n, n).
    target
        Shape (n,).
    noises
        Noise variance of each step, shape (n_steps,), all above 0.

    Returns
    -------
    ndarray
        Shape (n_steps, n); predictions are kernel(x, X) @ coefficients.

    Examples
    --------
    >>> distilled_coefficients([1.0], [[1.0]], [8.0], [1.0, 1.0, 1.0])
    array([[4.],
           [2.],
           [1.]])
    """
    d, v = np.asarray(eigenvalues, dtype=float), np.asarray(eigenvectors, dtype=float)
    a = np.asarray(noises, dtype=float)[:, None]
    shrink = np.cumprod(d / (d + a), axis=0)
    before = np.vstack([np.ones_like(d), shrink[:-1]])
    return np.asarray((before / (d + a) * (v.T @ np.asarray(target, dtype=float))) @ v.T)


class DistilledGPRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Gaussian-process regression distilled into itself.

    Parameters
    ----------
    kernel
        Kernel without noise; None is a constant times a radial basis function.
    steps
        Number of processes, the first included; 1 is ordinary regression.
    mode
        ``"data"``: each is trained on the predictions of the one before. ``"distribution"``: on its
        whole predictive distribution, which equals one process of noise 1 / sum(1 / a_s).
    noise
        Noise variance a of standardised targets; the start where it is optimised.
    noises
        Noise variance of each step, shape (steps,), or None for the first step's in all.
    optimize
        Whether kernel and noise are fitted, on the first step only.
    random_state
        For the optimiser's restarts, of which there are none by default.

    Attributes
    ----------
    kernel_, noises_
        As fitted; noises refer to standardised targets.
    coefficients_
        Dual coefficients of all steps, shape (steps, n_train).
    """

    def __init__(
        self,
        kernel: Any = None,
        *,
        steps: int = 2,
        mode: str = "data",
        noise: float = 0.1,
        noises: Any = None,
        optimize: bool = True,
        random_state: Any = None,
    ):
        self.kernel = kernel
        self.steps = steps
        self.mode = mode
        self.noise = noise
        self.noises = noises
        self.optimize = optimize
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Fit all steps.

        Raises
        ------
        ValueError
            If an option is out of range.
        """
        x, target = validate_data(self, X, y, y_numeric=True, dtype=np.float64)
        if self.steps < 1 or self.mode not in ("data", "distribution"):
            raise ValueError("steps must be at least 1 and mode 'data' or 'distribution'")
        self._mean = float(target.mean())
        self._scale = float(target.std()) or 1.0
        z = (target - self._mean) / self._scale
        start = (
            ConstantKernel(1.0) * RBF(np.sqrt(x.shape[1])) if self.kernel is None else self.kernel
        )
        noise = float(self.noise)
        if self.optimize:
            noisy = start + WhiteKernel(noise, (1e-6, 1e2))
            process = GaussianProcessRegressor(noisy, alpha=1e-10, random_state=self.random_state)
            process.fit(x, z)
            self.kernel_, noise = process.kernel_.k1, float(process.kernel_.k2.noise_level)
        else:
            self.kernel_ = start.clone_with_theta(start.theta)
        given = (
            np.full(self.steps, noise) if self.noises is None else np.asarray(self.noises, float)
        )
        if given.shape != (self.steps,) or np.any(given <= 0):
            raise ValueError(f"noises must be {self.steps} numbers above 0")
        self.noises_ = given
        self.X_train_ = x
        d, v = np.linalg.eigh(self.kernel_(x))
        self._d, self._v = np.maximum(d, 0.0), v
        if self.mode == "data":
            self.coefficients_ = distilled_coefficients(self._d, v, z, given)
        else:
            self.coefficients_ = (1 / (self._d + self._effective()[:, None]) * (v.T @ z)) @ v.T
        return self

    def _effective(self) -> FloatArray:
        """Noise with which each step's predictive variance is computed."""
        if self.mode == "data":
            return np.asarray(self.noises_, dtype=float)
        return np.asarray(1 / np.cumsum(1 / self.noises_))

    def staged(self, X: Any) -> tuple[FloatArray, FloatArray]:
        """Mean and standard deviation of the function after each step, shape (steps, n)."""
        check_is_fitted(self)
        x = validate_data(self, X, reset=False, dtype=np.float64)
        cross = self.kernel_(x, self.X_train_)
        means = self._mean + self._scale * (self.coefficients_ @ cross.T)
        squares = (cross @ self._v) ** 2
        prior = self.kernel_.diag(x)
        known = np.array([squares @ (1 / (self._d + a)) for a in self._effective()])
        return means, self._scale * np.sqrt(np.maximum(prior - known, 0.0))

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Mean after the last step, and with it the standard deviation of the function."""
        means, deviations = self.staged(X)
        return (means[-1], deviations[-1]) if return_std else means[-1]
