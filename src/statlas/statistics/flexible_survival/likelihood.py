"""Log-likelihood of right, left and interval censored, left truncated times, and its gradient."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from statlas.statistics.flexible_survival.family import FloatArray, baseline

IntArray = NDArray[np.int64]
PARAMETERS = ("phi", "lambda", "gamma", "kappa")
_BEYOND = 1e250
_WEIBULL = float(np.log(2.0))  # log(kappa + 1) at kappa = 1


@dataclass(frozen=True)
class Times:
    """What is known of each time.

    Attributes
    ----------
    time
        Time of the event, of censoring, or the lower end of the interval, (n,), at least 0.
    event
        Whether the event is known to have happened, (n,).
    entry
        Time from which the row was watched, (n,), 0 where from the start.
    upper
        Upper end of the interval in which the event happened, (n,); NaN where the time is exact.
    """

    time: FloatArray
    event: NDArray[np.bool_]
    entry: FloatArray
    upper: FloatArray

    @classmethod
    def of(
        cls,
        time: FloatArray,
        event: FloatArray | NDArray[np.bool_],
        entry: FloatArray | None = None,
        upper: FloatArray | None = None,
    ) -> Times:
        """Complete the optional columns."""
        t = np.asarray(time, dtype=float)
        return cls(
            t,
            np.asarray(event).astype(bool),
            np.zeros_like(t) if entry is None else np.asarray(entry, dtype=float),
            np.full_like(t, np.nan) if upper is None else np.asarray(upper, dtype=float),
        )

    def __len__(self) -> int:
        return len(self.time)

    def rows(self, chosen: NDArray[np.bool_]) -> Times:
        """The chosen rows only."""
        return Times(self.time[chosen], self.event[chosen], self.entry[chosen], self.upper[chosen])

    @cached_property
    def interval(self) -> NDArray[np.bool_]:
        """Rows whose event lies in an interval."""
        return self.event & (np.nan_to_num(self.upper, nan=-1.0) > self.time)

    @cached_property
    def exact(self) -> NDArray[np.bool_]:
        """Rows whose event time is known."""
        return self.event & ~self.interval


class Predictors(NamedTuple):
    """log phi, log lambda, log gamma and log(kappa + 1) of each row, shapes (n,)."""

    tau: FloatArray
    beta: FloatArray
    alpha: FloatArray
    nu: FloatArray

    def take(self, rows: IntArray) -> Predictors:
        """The predictors of some rows."""
        return Predictors(*(part[rows] for part in self))


class Hazard(NamedTuple):
    """Cumulative hazard and log hazard with gradients by the four predictors, (4, n)."""

    cumulative: FloatArray
    log_hazard: FloatArray
    cumulative_by: FloatArray
    log_hazard_by: FloatArray


def hazard_at(log_time: FloatArray, at: Predictors) -> Hazard:
    """Hazard functions at times above 0 and their derivatives by tau, beta, alpha and nu."""
    gamma, lam, omega = np.exp(at.alpha), np.exp(at.beta), np.exp(-at.nu)
    log_z = gamma * (log_time + at.tau)
    base = baseline(log_z, omega)
    cumulative = lam * base.cumulative
    by_z = lam * base.by_log_z
    cumulative_by = np.stack([by_z * gamma, cumulative, by_z * log_z, -lam * base.by_omega * omega])
    # log h = beta + alpha + log z - log t + log h0(z)
    log_hazard = at.beta + at.alpha + log_z - log_time + base.log_hazard
    slope = 1 + base.log_hazard_by_log_z
    ones = np.ones_like(log_z)
    log_hazard_by = np.stack(
        [slope * gamma, ones, 1 + slope * log_z, -base.log_hazard_by_omega * omega]
    )
    return Hazard(cumulative, log_hazard, cumulative_by, log_hazard_by)


class Likelihood:
    """Log-likelihood of the rows and its gradient by their four predictors.

    Exact event: log h(t) - H(t); censored: -H(t); event in (L, U]: log(S(L) - S(U)); a row watched
    from its entry only adds H(entry).
    """

    def __init__(self, times: Times) -> None:
        self.n = len(times)
        self._rows: list[IntArray] = [
            np.flatnonzero(times.time > 0),
            np.flatnonzero(times.interval),
            np.flatnonzero(times.entry > 0),
        ]
        columns = (times.time, times.upper, times.entry)
        self._row = np.concatenate(self._rows)
        self._log_time = np.log(
            np.concatenate([c[r] for c, r in zip(columns, self._rows, strict=True)])
        )
        # A row's H enters with minus where watched to, plus where watched from.
        first, between, last = map(len, self._rows)
        self._sign = np.concatenate([-np.ones(first), np.zeros(between), np.ones(last)])
        self._exact = np.flatnonzero(times.exact[self._rows[0]])
        self._upper = first + np.arange(between)
        place = np.full(self.n, -1)
        place[self._rows[0]] = np.arange(first)
        self._lower = place[self._rows[1]]  # -1 where the interval begins at 0

    def __call__(self, at: Predictors) -> tuple[float, FloatArray]:
        """Log-likelihood and its derivatives by the rows' predictors, (4, n)."""
        with np.errstate(over="ignore", invalid="ignore"):
            hazard = hazard_at(self._log_time, at.take(self._row))
            total = float(self._sign @ hazard.cumulative)
            if hazard.cumulative.max(initial=0.0) > _BEYOND:
                total = -np.inf  # H was cut, and differences of cut values say nothing
            by_point = self._sign * hazard.cumulative_by
            total += float(hazard.log_hazard[self._exact].sum())
            by_point[:, self._exact] += hazard.log_hazard_by[:, self._exact]
            if len(self._upper):
                total += self._intervals(hazard, by_point)
        if np.array_equal(self._row, np.arange(self.n)):
            return total, by_point
        summed = [np.bincount(self._row, part, self.n) for part in by_point]
        return total, np.array(summed, dtype=float)

    def _intervals(self, hazard: Hazard, by_point: FloatArray) -> float:
        """Add log(1 - exp(-(H(U) - H(L)))), the chance of the event within the interval."""
        low = np.where(self._lower >= 0, hazard.cumulative[self._lower], 0.0)
        step = np.maximum(hazard.cumulative[self._upper] - low, 1e-300)
        weight = 1 / np.expm1(np.minimum(step, 700.0))
        by_point[:, self._upper] += weight * hazard.cumulative_by[:, self._upper]
        known = self._lower >= 0
        by_point[:, self._lower[known]] -= (
            weight[known] * hazard.cumulative_by[:, self._lower[known]]
        )
        return float(np.log(-np.expm1(-step)).sum())


def log_likelihood(
    times: Times,
    tau: FloatArray | float,
    beta: FloatArray | float = 0.0,
    alpha: FloatArray | float = 0.0,
    nu: FloatArray | float = _WEIBULL,
) -> float:
    """Log-likelihood at given log phi, log lambda, log gamma and log(kappa + 1).

    Parameters
    ----------
    times
        The times, n rows.
    tau, beta, alpha, nu
        Predictors, a number or shape (n,); ``nu=numpy.inf`` is the limit kappa = infinity.

    Examples
    --------
    >>> times = Times.of(np.array([1.0, 2.0]), np.array([1, 0]))
    >>> log_likelihood(times, 0.0)  # exponential of rate 1: -1 for the event, -2 for the other
    -3.0
    """
    shape = (len(times),)
    parts = (np.broadcast_to(np.asarray(v, dtype=float), shape) for v in (tau, beta, alpha, nu))
    return Likelihood(times)(Predictors(*parts))[0]
