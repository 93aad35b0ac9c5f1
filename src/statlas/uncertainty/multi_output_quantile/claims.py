"""The paper's claims: coverage in finite samples, and area on its curved band and on penguins.

Networks for the band are trained once, on 1,500 rows; every replicate calibrates and judges them on
new rows, so its spread is that of calibration and test. On penguins every replicate trains anew.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from statlas.core import Below, Twin, Within, claim
from statlas.core.examples import example_path
from statlas.core.numerics.conformal import conformal_quantile
from statlas.core.rng import sklearn_seed
from statlas.uncertainty.multi_output_quantile.data import curved_band
from statlas.uncertainty.multi_output_quantile.estimators import (
    BoxRegressor,
    EllipsoidRegressor,
    MultiOutputQuantileRegressor,
)

FloatArray = NDArray[np.float64]

_LEVEL, _TRAIN, _POOL, _CALIBRATION, _SPLITS, _JUDGED = 0.9, 1_500, 90, 59, 300, 20
_SEED = 0


# --- networks, trained once ----------------------------------------------------------------------


def _train_on_band(model: Any) -> Any:
    """A model of the curved band; its radius is set anew by each replicate."""
    x, y = curved_band(np.random.default_rng(_SEED), _TRAIN)
    return model.set_params(calibration=0.1, random_state=_SEED).fit(x, y)


@cache
def _learned() -> MultiOutputQuantileRegressor:
    model: MultiOutputQuantileRegressor = _train_on_band(
        MultiOutputQuantileRegressor(epochs=60, n_points=1_024)
    )
    return model


@cache
def _untrained() -> MultiOutputQuantileRegressor:
    model: MultiOutputQuantileRegressor = _train_on_band(
        MultiOutputQuantileRegressor(epochs=1, n_points=512, learning_rate=1e-4)
    )
    return model


@cache
def _directional() -> MultiOutputQuantileRegressor:
    model: MultiOutputQuantileRegressor = _train_on_band(
        MultiOutputQuantileRegressor(epochs=40, n_points=512, representation="identity")
    )
    return model


@cache
def _box() -> BoxRegressor:
    model: BoxRegressor = _train_on_band(BoxRegressor(epochs=60))
    return model


@cache
def _ellipsoid() -> EllipsoidRegressor:
    model: EllipsoidRegressor = _train_on_band(EllipsoidRegressor(epochs=60))
    return model


# --- coverage ------------------------------------------------------------------------------------

Trained = Callable[[], Any]
Radius = Callable[[FloatArray], float]


def _mean_coverage(scores: FloatArray, radius: Radius, rng: np.random.Generator) -> float:
    """Coverage of the rows that do not calibrate, over many draws of those that do."""
    shares = []
    for _ in range(_SPLITS):
        order = rng.permutation(len(scores))
        held, new = scores[order[:_CALIBRATION]], scores[order[_CALIBRATION:]]
        shares.append(float((new <= radius(held)).mean()))
    return float(np.mean(shares))


def _calibrated(held: FloatArray) -> float:
    return conformal_quantile(held, _LEVEL)


def _as_trained(held: FloatArray) -> float:
    return 0.0


def _only_growing(held: FloatArray) -> float:
    return max(conformal_quantile(held, _LEVEL), 0.0)


@claim(
    "multi-output-quantile",
    says="with 59 rows that calibrate, regions grown or shrunk by distance hold a new response as "
    "often as they promise: 54 of 60",
    where="Section 4 (calibration); coverage theorem",
    expect=Within(0.89, 0.91),
    unit="share of new rows covered at level 0.9, curved band",
    subject=(_learned, _calibrated),
    twin=Twin(
        "directional quantile regions as trained, without calibration", (_directional, _as_trained)
    ),
    quick=8,
    full=60,
)
def covers_at_level(rng: np.random.Generator, kind: tuple[Trained, Radius]) -> float:
    """Three hundred splits of 90 new rows."""
    trained, radius = kind
    x, y = curved_band(rng, _POOL)
    return _mean_coverage(trained().conformity(x, y), radius, rng)


def _moved_outwards() -> MultiOutputQuantileRegressor:
    """The trained model with half-spaces that hold too much."""
    model = copy.copy(_learned())
    model.along_ = model.along_ + 2.0
    return model


@claim(
    "multi-output-quantile",
    says="a region that holds too much is shrunk to the level, as one that holds too little grows",
    where="Section 4 (calibration), shrinking",
    expect=Within(0.89, 0.91),
    unit="share of new rows covered at level 0.9, half-spaces moved outwards by 2",
    subject=_calibrated,
    twin=Twin("growing only", _only_growing),
    quick=8,
    full=60,
)
def shrinks_to_the_level(rng: np.random.Generator, radius: Radius) -> float:
    """Three hundred splits of 90 new rows."""
    x, y = curved_band(rng, _POOL)
    return _mean_coverage(_moved_outwards().conformity(x, y), radius, rng)


@cache
def _penguins() -> tuple[FloatArray, FloatArray]:
    """Flipper length and body mass; length and depth of the bill."""
    birds = pd.read_csv(example_path("penguins.csv"))
    x = birds[["flipper_length_mm", "body_mass_g"]].to_numpy(float)
    return x, birds[["bill_length_mm", "bill_depth_mm"]].to_numpy(float)


def _on_new_rows(model: Any, own: Any, other: Any, rng: np.random.Generator) -> float:
    x, y = _penguins()
    return _mean_coverage(model.conformity(x[other], y[other]), _calibrated, rng)


def _on_trained_rows(model: Any, own: Any, other: Any, rng: np.random.Generator) -> float:
    x, y = _penguins()
    radius = conformal_quantile(model.conformity(x[own], y[own]), _LEVEL)
    return float((model.conformity(x[other], y[other]) <= radius).mean())


@claim(
    "multi-output-quantile",
    says="on real rows, too, regions hold a new response as often as they promise",
    where="Section 5, real data (here: bills of 333 penguins)",
    expect=Within(0.89, 0.91),
    unit="share of unseen penguins covered at level 0.9, trained on 60",
    subject=_on_new_rows,
    twin=Twin("calibrated on the rows that trained", _on_trained_rows),
    quick=8,
    full=60,
)
def covers_real_rows(rng: np.random.Generator, judge: Callable[..., float]) -> float:
    """Train on 60 rows, split 90 others three hundred times."""
    x, y = _penguins()
    order = rng.permutation(len(x))
    own, other = order[:60], order[60 : 60 + _POOL]
    model = MultiOutputQuantileRegressor(
        epochs=60, width=32, calibration=0.05, n_points=256, n_directions=32,
        random_state=sklearn_seed(rng),
    ).fit(x[own], y[own])  # fmt: skip
    return judge(model, own, other, rng)


# --- area ----------------------------------------------------------------------------------------


def _log_area(
    trained: Trained, calibration: tuple[FloatArray, FloatArray], x: FloatArray,
    rng: np.random.Generator,
) -> float:  # fmt: skip
    model = trained().calibrate(*calibration)
    return float(np.log(model.area(x, n_draws=500, rng=rng).mean))


def _gain(subject: Trained, others: tuple[Trained, ...], rng: np.random.Generator) -> float:
    """Log of the mean area over the smallest of the others', calibrated on the same new rows."""
    calibration, (x, _) = curved_band(rng, 99), curved_band(rng, _JUDGED)
    smallest = min(_log_area(other, calibration, x, rng) for other in others)
    return _log_area(subject, calibration, x, rng) - smallest


_UNTRAINED = Twin("the representation hardly trained", _untrained)


@claim(
    "multi-output-quantile",
    says="on a curved band the regions are smaller than boxes of separate intervals and than "
    "ellipsoids, at the same coverage",
    where="Section 5, synthetic data (boxes: the paper's naive method; ellipsoids are ours)",
    expect=Below(0.0),
    unit="log of the mean area over that of the smaller of the two",
    subject=_learned,
    twin=_UNTRAINED,
    quick=8,
    full=30,
)
def smaller_than_boxes_and_ellipsoids(rng: np.random.Generator, trained: Trained) -> float:
    """Both calibrated on 99 new rows."""
    return _gain(trained, (_box, _ellipsoid), rng)


@claim(
    "multi-output-quantile",
    says="on a curved band the regions are smaller than the convex ones of directional quantile "
    "regression on the responses themselves, calibrated alike",
    where="Section 5, synthetic data",
    expect=Below(0.0),
    unit="log of the mean area over that of plain directional quantile regression",
    subject=_learned,
    twin=_UNTRAINED,
    quick=8,
    full=30,
)
def smaller_than_convex(rng: np.random.Generator, trained: Trained) -> float:
    """Both calibrated on 99 new rows."""
    return _gain(trained, (_directional,), rng)


@claim(
    "multi-output-quantile",
    says="on real rows the regions are smaller than boxes of separate intervals",
    where="Section 5, real data (there of thousands of rows; here bills of 333 penguins)",
    expect=Below(0.0),
    unit="log of the mean area over that of boxes, 250 penguins to learn from",
    subject="autoencoder",
    twin=Twin("the representation hardly trained", "untrained"),
    quick=8,
    full=30,
)
def smaller_on_penguins(rng: np.random.Generator, kind: str) -> float:
    """Split at random, train both anew on the same rows."""
    x, y = _penguins()
    order, seed = rng.permutation(len(x)), sklearn_seed(rng)
    own, other = order[:250], order[250:290]
    trained = kind == "autoencoder"
    model = MultiOutputQuantileRegressor(
        epochs=80 if trained else 1, learning_rate=1e-2 if trained else 1e-4, width=32,
        n_points=512, random_state=seed,
    ).fit(x[own], y[own])  # fmt: skip
    box = BoxRegressor(epochs=80, width=32, random_state=seed).fit(x[own], y[own])
    area = model.area(x[other], n_draws=500, rng=rng).mean
    return float(np.log(area / box.area(x[other]).mean))
