"""The paper's synthetic responses: a curved band whose width and place depend on the features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def curved_band(
    rng: np.random.Generator, n: int, n_features: int = 1, *, nonlinear: bool = True
) -> tuple[FloatArray, FloatArray]:
    """Features and two responses on a v- or w-shaped band (the paper's nonlinear synthetic data).

    X uniform on [0.8, 3.2]^p, b = the mean of X here (the paper draws random weights of sum 1);
    Z uniform on [-pi / b, pi / b], phi on [0, 2 pi], R on [-0.1, 0.1];
    Y_0 = Z + R cos phi, Y_1 = (1 - cos(b Z)) / 2 + R sin phi, plus sin(mean X) if nonlinear.
    """
    x = rng.uniform(0.8, 3.2, (n, n_features))
    slope = x.mean(axis=1)
    along = rng.uniform(-1, 1, n) * np.pi / slope
    angle, reach = rng.uniform(0, 2 * np.pi, n), rng.uniform(-0.1, 0.1, n)
    height = (1 - np.cos(slope * along)) / 2 + (np.sin(slope) if nonlinear else 0.0)
    y = np.column_stack([along + reach * np.cos(angle), height + reach * np.sin(angle)])
    return x, y
