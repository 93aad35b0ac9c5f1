"""Claims of the paper: closed forms of distillation, and what it does to a bad noise setting."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF

from statlas.core import Below, Oracle, Twin, claim
from statlas.statistics.gp_distillation.classification import laplace_mode
from statlas.statistics.gp_distillation.regression import (
    DistilledGPRegressor,
    FloatArray,
    combined_noise,
    distilled_coefficients,
)


def _problem(rng: np.random.Generator, n: int = 40) -> tuple[FloatArray, FloatArray]:
    x = rng.uniform(-2, 2, (n, 1))
    return x, np.sin(2 * x[:, 0]) + rng.normal(0, 0.3, n)


def _noise_added_to_the_eigenvalues(
    d: FloatArray, v: FloatArray, y: FloatArray, noises: FloatArray
) -> FloatArray:
    return distilled_coefficients(d + noises[0], v, y, noises)


@claim(
    "gp-distillation",
    says="all steps of distillation on point predictions follow from one eigendecomposition: they "
    "equal refitting a process on the predictions of the one before",
    where="data-centric regression; closed form",
    expect=Oracle(1e-6),
    unit="largest difference of predictions over six steps",
    subject=distilled_coefficients,
    twin=Twin(
        "eigenvalues of the kernel plus noise, as in the released code's efficient mode",
        _noise_added_to_the_eigenvalues,
    ),
    quick=3,
    full=30,
)
def one_decomposition(rng: np.random.Generator, coefficients: Any) -> float:
    """Against six fits of scikit-learn's process, with a noise of its own each."""
    x, y = _problem(rng)
    noises = rng.uniform(0.05, 1.0, 6)
    d, v = np.linalg.eigh(RBF(0.7)(x))
    ours = coefficients(np.maximum(d, 0), v, y, noises) @ RBF(0.7)(x)
    target, largest = y, 0.0
    for step, noise in enumerate(noises):
        process = GaussianProcessRegressor(RBF(0.7), alpha=noise, optimizer=None).fit(x, target)
        target = process.predict(x)
        largest = max(largest, float(np.abs(ours[step] - target).max()))
    return largest


def _arithmetic_mean(noises: FloatArray) -> float:
    return float(np.mean(noises))


@claim(
    "gp-distillation",
    says="distillation on the whole predictive distribution equals one process whose noise is the "
    "inverse of the summed inverse noises",
    where="distribution-centric regression",
    expect=Oracle(1e-8),
    unit="largest difference of posterior means and covariances after four updates",
    subject=combined_noise,
    twin=Twin("mean of the noises", _arithmetic_mean),
    quick=3,
    full=30,
)
def harmonic_noise(rng: np.random.Generator, combine: Any) -> float:
    """Against updating the posterior with the same targets once for each step."""
    x, y = _problem(rng, 25)
    noises = rng.uniform(0.2, 1.0, 4)
    kernel = RBF(0.7)(x)
    mean, covariance = np.zeros(len(y)), kernel
    for noise in noises:
        gain = np.linalg.solve(covariance + noise * np.eye(len(y)), covariance).T
        mean, covariance = mean + gain @ (y - mean), covariance - gain @ covariance
    gain = np.linalg.solve(kernel + combine(noises) * np.eye(len(y)), kernel).T
    means = np.abs(gain @ y - mean).max()
    return float(max(means, np.abs(kernel - gain @ kernel - covariance).max()))


@claim(
    "gp-distillation",
    says="distillation on point predictions regularises: where the noise was set far too small, "
    "later steps predict better",
    where="data-centric regression; regularising effect",
    expect=Below(1.0),
    unit="mean squared error at step 8 over that at step 1, noise a thirtieth of the true one",
    subject="data",
    twin=Twin("distillation on distributions, which lowers the noise further", "distribution"),
    quick=40,
    full=600,
)
def regularises(rng: np.random.Generator, mode: Any) -> float:
    """Ratio of errors of the function on fresh points."""
    x, y = _problem(rng, 60)
    new = rng.uniform(-2, 2, (200, 1))
    noise = 0.3**2 / 30 / float(y.var())
    model = DistilledGPRegressor(RBF(0.7), steps=8, mode=mode, noise=noise, optimize=False)
    means, _ = model.fit(x, y).staged(new)
    errors = ((means - np.sin(2 * new[:, 0])) ** 2).mean(axis=1)
    return float(errors[-1] / errors[0])


def _times(step: int) -> float:
    return float(step)


def _divided(step: int) -> float:
    return 1.0 / step


@claim(
    "gp-distillation",
    says="for classification on distributions, a kernel times the number of steps has the same "
    "mode as that many copies of every point, so it decides the same",
    where="distribution-centric classification",
    expect=Oracle(1e-5),
    unit="largest difference of the modes",
    subject=_times,
    twin=Twin("kernel divided by the number of steps", _divided),
    quick=3,
    full=30,
)
def scaled_kernel_mode(rng: np.random.Generator, factor: Any) -> float:
    """Mode under the scaled kernel against that with the likelihood to the power 3."""
    x, y = _problem(rng)
    labels = (y > 0).astype(float)
    kernel = 4 * RBF(0.7)(x)
    copies = laplace_mode(kernel, labels, power=3.0)
    return float(np.abs(laplace_mode(factor(3) * kernel, labels).mode - copies.mode).max())
