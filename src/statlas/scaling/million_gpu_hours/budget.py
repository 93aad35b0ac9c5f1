"""From devices, hours and utilisation to operations, with the uncertainty of utilisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from statlas.core import OptionError

FloatArray = NDArray[np.float64]

_NORMAL_95 = 1.959964


@dataclass(frozen=True)
class Utilisation:
    """Share of the peak that a training gets out of the devices: its middle and 95 % range.

    Drawn from a normal distribution of its logit, whose standard deviation is a fourth of the
    range's (in logits), with the middle as its median.
    """

    middle: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.middle <= self.high < 1:
            raise OptionError(
                f"option 'utilisation' must lie between its ends and all between 0 and 1; got "
                f"{self.low:g}, {self.middle:g}, {self.high:g}"
            )

    def draw(self, n_draws: int, rng: np.random.Generator) -> FloatArray:
        """Draws, shape (n_draws,)."""
        spread = (logit(self.high) - logit(self.low)) / (2 * _NORMAL_95)
        return np.asarray(expit(logit(self.middle) + spread * rng.standard_normal(n_draws)))


def operations(
    devices: float, hours: float, peak: float, utilisation: float | FloatArray, lost: float = 0.0
) -> float | FloatArray:
    """Operations that a budget pays for.

    Parameters
    ----------
    devices, hours
        Devices, and hours of each.
    peak
        Operations a second of one device at its peak.
    utilisation
        Share of the peak that counts towards the model.
    lost
        Share of the hours lost to failures, restarts and ramp-up.

    Examples
    --------
    The paper's budget: 1,161,261 hours at 100e12 operations a second are 4,838 PF-days.

    >>> round(operations(1, 1_161_261, 312e12, 100 / 312) / 8.64e19)
    4839
    """
    return devices * hours * 3600 * peak * utilisation * (1 - lost)


def utilisation_from_hours(
    compute: FloatArray, device_hours: FloatArray, peak: float
) -> Utilisation:
    """Utilisation of earlier trainings: median, and the middle 95 % on the scale of logits.

    Raises
    ------
    OptionError
        If the hours are too few for the peak, so that utilisation comes out at 1 or above.
    """
    shares = compute / (device_hours * 3600 * peak)
    if not np.all((shares > 0) & (shares < 1)):
        raise OptionError(
            f"{int(np.sum(shares >= 1))} trainings of the table come out above the device's peak "
            f"(utilisation up to {float(shares.max()):.3g}); check accelerator, precision, "
            "peak_tflops and the unit of the hours"
        )
    logits = logit(shares)
    middle = float(np.median(logits))
    spread = float(np.std(logits, ddof=1)) if len(shares) > 1 else 0.0
    low, high = middle - _NORMAL_95 * spread, middle + _NORMAL_95 * spread
    return Utilisation(float(expit(middle)), float(expit(low)), float(expit(high)))
