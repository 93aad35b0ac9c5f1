"""The paper's claims on simulated tables whose exact test risk is known given the draw."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import norm

from statlas.core import Below, Twin, Within, claim
from statlas.core.numerics.sketches import SketchKind
from statlas.statistics.sketched_ensembles.ridge import (
    FloatArray,
    SketchedPath,
    draw_sketches,
    sketched_ridge,
)

Estimate = Callable[[SketchedPath], FloatArray]

_N, _P = 300, 400  # rows and features of the simulated tables


@dataclass(frozen=True)
class _Draw:
    """A table with correlated features, and what generated it."""

    X: FloatArray
    y: FloatArray
    beta: FloatArray
    variances: FloatArray
    noise: float

    def risk(self, path: SketchedPath) -> FloatArray:
        """Exact squared prediction risk of the fitted coefficients, given the draw."""
        miss = path.coefficients - self.beta[:, None]
        shift = path.intercepts  # features and target have mean 0
        return np.asarray(
            self.noise**2 + (self.variances[:, None] * miss**2).sum(axis=0) + shift**2
        )


def _table(rng: np.random.Generator, n: int = _N, p: int = _P, noise: float = 1.0) -> _Draw:
    """Normal features whose variances fall from 2 to 0.2, dense signal of variance about 2."""
    variances = 2 / (1 + 9 * np.linspace(0, 1, p))
    beta = rng.normal(size=p) * np.sqrt(2 / variances.sum())
    X = rng.normal(size=(n, p)) * np.sqrt(variances)
    return _Draw(X, X @ beta + noise * rng.normal(size=n), beta, variances, noise)


def _fit(
    drawn: _Draw, kind: SketchKind, size: int, k: int, penalties: list[float],
    rng: np.random.Generator,
) -> SketchedPath:  # fmt: skip
    sketches = draw_sketches(kind, size, drawn.X.shape[1], k, rng)
    return sketched_ridge(drawn.X, drawn.y, sketches, penalties)


# --- GCV -----------------------------------------------------------------------------------------


def _gcv(path: SketchedPath) -> FloatArray:
    return path.risk


def _training_error(path: SketchedPath) -> FloatArray:
    return np.asarray((path.residuals**2).mean(axis=0))


_UNCORRECTED = Twin("training error without correction", _training_error)


def _log_ratio(
    rng: np.random.Generator, estimate: Estimate, kind: SketchKind, penalty: float
) -> float:
    drawn = _table(rng)
    path = _fit(drawn, kind, 160, 3, [penalty], rng)
    return float(np.log(estimate(path)[0] / drawn.risk(path)[0]))


@claim(
    "sketched-ensembles",
    says="GCV tracks the test risk of an ensemble of cosine-transform sketches",
    where="consistency of GCV for squared risk",
    expect=Within(-0.05, 0.05),
    unit="log of GCV over the exact risk, 300 rows, 400 features, 3 sketches of 160",
    subject=_gcv,
    twin=_UNCORRECTED,
    quick=24,
    full=900,
)
def gcv_tracks_risk_srdct(rng: np.random.Generator, estimate: Estimate) -> float:
    """Log ratio on one table, penalty 0.05."""
    return _log_ratio(rng, estimate, "srdct", 0.05)


@claim(
    "sketched-ensembles",
    says="GCV tracks the test risk of an ensemble of count sketches",
    where="consistency of GCV for squared risk; experiments with CountSketch",
    expect=Within(-0.05, 0.05),
    unit="log of GCV over the exact risk, 300 rows, 400 features, 3 sketches of 160",
    subject=_gcv,
    twin=_UNCORRECTED,
    quick=24,
    full=900,
)
def gcv_tracks_risk_count(rng: np.random.Generator, estimate: Estimate) -> float:
    """Log ratio on one table, penalty 0.05."""
    return _log_ratio(rng, estimate, "count", 0.05)


@claim(
    "sketched-ensembles",
    says="GCV tracks the test risk of Gaussian sketches also nearly without a penalty",
    where="consistency of GCV for squared risk; ridgeless limit",
    expect=Within(-0.05, 0.05),
    unit="log of GCV over the exact risk, 300 rows, 400 features, 3 sketches of 160, penalty 1e-4",
    subject=_gcv,
    twin=_UNCORRECTED,
    quick=20,
    full=900,
)
def gcv_tracks_risk_ridgeless(rng: np.random.Generator, estimate: Estimate) -> float:
    """Log ratio on one table, penalty 1e-4."""
    return _log_ratio(rng, estimate, "gaussian", 1e-4)


# --- the ensemble trick --------------------------------------------------------------------------


def _trick(path: SketchedPath) -> FloatArray:
    return path.risk_of(np.inf)


@claim(
    "sketched-ensembles",
    says="two sketches tell the risk of very many by the ensemble trick",
    where="the ensemble trick: 2 R_2 - R_1 for R_infinity",
    expect=Within(-0.05, 0.05),
    unit="log of the estimate from 2 sketches (mean of 5 such pairs) over the exact risk of many",
    subject=_trick,
    twin=Twin("GCV of the two sketches, not extrapolated", _gcv),
    quick=16,
    full=400,
)
def two_sketches_tell_of_many(rng: np.random.Generator, estimate: Estimate) -> float:
    """Log ratio on one table of 200 rows and 250 features, sketches of 75."""
    drawn = _table(rng, 200, 250)
    pairs = [_fit(drawn, "srdct", 75, 2, [0.05], rng) for _ in range(5)]
    guess = np.mean([estimate(pair)[0] for pair in pairs])
    return float(np.log(guess / _risk_of_very_many(drawn, rng)))


def _risk_of_very_many(drawn: _Draw, rng: np.random.Generator) -> float:
    """Exact risk of 16 sketches of 75, less their share 1/16 of the variance of one."""
    halves = [_fit(drawn, "srdct", 75, 8, [0.05], rng) for _ in range(2)]
    first, second = halves
    both = replace(
        first,
        coefficients=(first.coefficients + second.coefficients) / 2,
        intercepts=(first.intercepts + second.intercepts) / 2,
    )
    apart = (drawn.risk(first)[0] + drawn.risk(second)[0]) / 2
    return float(2 * drawn.risk(both)[0] - apart)


def _plain_ridge(drawn: _Draw, penalties: FloatArray) -> FloatArray:
    """Exact risks of ridge without sketches (a full cosine transform is a rotation)."""
    rotation = draw_sketches("srdct", drawn.X.shape[1], drawn.X.shape[1], 1,
                             np.random.default_rng(0))  # fmt: skip
    return drawn.risk(sketched_ridge(drawn.X, drawn.y, rotation, penalties))


def _implicit(path: SketchedPath) -> FloatArray:
    return path.equivalent_penalties("srdct")


def _explicit(path: SketchedPath) -> FloatArray:
    return path.penalties


@claim(
    "sketched-ensembles",
    says="many sketches amount to plain ridge at the larger, implicit penalty mu",
    where="equivalence path of penalty and sketch size; risk decomposition",
    expect=Within(-0.02, 0.02),
    unit="log of the exact risk of very many sketches over that of plain ridge",
    subject=_implicit,
    twin=Twin("plain ridge at the explicit penalty lambda", _explicit),
    quick=20,
    full=250,
)
def many_sketches_are_ridge(rng: np.random.Generator, penalty_of: Estimate) -> float:
    """Log ratio on one table of 200 rows and 250 features, sketches of 75."""
    drawn = _table(rng, 200, 250)
    path = _fit(drawn, "srdct", 75, 8, [0.05], rng)
    ridge = _plain_ridge(drawn, penalty_of(path))[0]
    return float(np.log(_risk_of_very_many(drawn, rng) / ridge))


# --- tuning --------------------------------------------------------------------------------------


def _chosen_size(drawn: _Draw, k: int, rng: np.random.Generator) -> float:
    """Exact risk of the ensemble whose size GCV chose, with next to no penalty."""
    paths = [_fit(drawn, "srdct", size, k, [1e-6], rng) for size in (15, 30, 45, 60, 75, 90)]
    best = min(paths, key=lambda path: float(path.risk[0]))
    return float(drawn.risk(best)[0])


@claim(
    "sketched-ensembles",
    says="tuning only the sketch size of a large ensemble by GCV does as well as the best penalty "
    "of plain ridge",
    where="optimisation over sketch size in infinite ensembles",
    expect=Below(0.05),
    unit="log of the exact risk over that of ridge at its best penalty (oracle), 30 sketches",
    subject=30,
    twin=Twin("a single sketch", 1),
    quick=8,
    full=80,
)
def size_alone_can_be_tuned(rng: np.random.Generator, k: int) -> float:
    """Log ratio on one table of 150 rows and 120 features."""
    drawn = _table(rng, 150, 120)
    oracle = _plain_ridge(drawn, np.geomspace(1e-3, 10, 25)).min()
    return float(np.log(_chosen_size(drawn, k, rng) / oracle))


# --- intervals and other risks -------------------------------------------------------------------


def _corrected(path: SketchedPath) -> FloatArray:
    return path.corrected[:, 0]


def _raw(path: SketchedPath) -> FloatArray:
    return path.residuals[:, 0]


@claim(
    "sketched-ensembles",
    says="prediction intervals from GCV-corrected residuals cover as they promise",
    where="prediction intervals from the corrected residuals",
    expect=Within(0.88, 0.92),
    unit="exact coverage of 90 % intervals given the training table",
    subject=_corrected,
    twin=Twin("quantiles of the residuals as they are", _raw),
    quick=24,
    full=900,
)
def intervals_cover(rng: np.random.Generator, residuals: Estimate) -> float:
    """Coverage on one table: errors on new rows are normal with the exact risk as variance."""
    drawn = _table(rng)
    path = _fit(drawn, "srdct", 160, 3, [0.05], rng)
    low, high = np.quantile(residuals(path), [0.05, 0.95])
    shift, spread = path.intercepts[0], np.sqrt(drawn.risk(path)[0] - path.intercepts[0] ** 2)
    return float(norm.cdf((high + shift) / spread) - norm.cdf((low + shift) / spread))


def _absolute_gcv(path: SketchedPath, y: FloatArray) -> float:
    return float(path.functional(y, lambda truth, guess: np.abs(truth - guess))[0])


def _root_of_training(path: SketchedPath, y: FloatArray) -> float:
    return float(np.abs(path.residuals[:, 0]).mean())


@claim(
    "sketched-ensembles",
    says="the correction also gives other risks, such as the mean absolute error",
    where="GCV for general risk functionals",
    expect=Within(-0.03, 0.03),
    unit="log of the estimate over the exact mean absolute error",
    subject=_absolute_gcv,
    twin=Twin("mean absolute residual without correction", _root_of_training),
    quick=16,
    full=900,
)
def other_risks_are_tracked(
    rng: np.random.Generator, estimate: Callable[[SketchedPath, FloatArray], float]
) -> float:
    """Log ratio on one table; the error of a normal is sqrt(2 risk / pi)."""
    drawn = _table(rng)
    path = _fit(drawn, "haar", 160, 3, [0.05], rng)
    return float(np.log(estimate(path, drawn.y) / np.sqrt(2 * drawn.risk(path)[0] / np.pi)))
