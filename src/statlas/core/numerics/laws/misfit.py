"""Whether a law misses repeated runs by more than they differ among themselves."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from statlas.core.errors import InputError

_FEWEST_SPARE = 5


def lack_of_fit(residuals: ArrayLike, groups: ArrayLike) -> float:
    """Misfit of a law in units of the noise between repeats: about 1 for the right law.

    It is the root of the F ratio of the classical test for lack of fit, without the (small)
    correction for fitted parameters: the mean over groups of n_g x (mean residual)^2, over the
    pooled variance within groups.

    Parameters
    ----------
    residuals
        Of single runs, shape (n_runs,), such as log(fitted) - log(observed).
    groups
        What runs are repeats of, shape (n_runs,): equal values for equal inputs of the law.

    Returns
    -------
    float
        NaN where fewer than 5 runs are to spare, or repeats do not differ at all.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> groups = np.repeat(np.arange(200), 3)
    >>> noise = rng.standard_normal(600)
    >>> round(lack_of_fit(noise, groups), 1), round(lack_of_fit(noise + 2, groups), 1)
    (0.9, 3.5)
    """
    values, codes = np.asarray(residuals, dtype=float), np.asarray(groups)
    if values.ndim != 1 or codes.shape != values.shape:
        raise InputError("residuals and groups are needed, one a run")
    place = np.unique(codes, return_inverse=True)[1].ravel()
    counts = np.bincount(place)
    means = np.bincount(place, values) / counts
    spare = len(values) - len(counts)
    if spare < _FEWEST_SPARE:
        return float("nan")
    noise = float(np.sum((values - means[place]) ** 2)) / spare
    if noise <= 1e-24 * max(float(np.mean(values**2)), 1e-300):  # copies of runs, not repeats
        return float("nan")
    return float(np.sqrt(np.mean(counts * means**2) / noise))
