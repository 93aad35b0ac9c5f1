"""The paper's claims, on planted laws over shapes like the released ones, and on recorded runs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from statlas.core import Above, Below, Twin, claim
from statlas.core.examples import example_path
from statlas.core.numerics.laws import CHINCHILLA, Law, LawFit, Objective, fit_law
from statlas.core.numerics.laws.uncertainty import percentile_interval
from statlas.scaling.gemstones.accounting import (
    FloatArray,
    fit_shape_map,
    gemstone_flops_per_token,
    gemstone_parameters,
)
from statlas.scaling.gemstones.cells import Plan, allocate_size_law, run_multiverse, search_bounds
from statlas.scaling.gemstones.fits import draw_parameters
from statlas.scaling.gemstones.hull import hull_lines
from statlas.scaling.gemstones.law import WIDTH_DEPTH_SIZE
from statlas.scaling.gemstones.reading import SIX_N, Trainings
from statlas.scaling.gemstones.shape import best_shapes

# Widths and depths of the 22 released models, as their names state.
_SHAPES = np.array(
    [
        (256, 23), (256, 27), (256, 71), (256, 80), (384, 13), (384, 36), (512, 11), (512, 12),
        (512, 13), (512, 14), (512, 16), (768, 3), (768, 45), (1024, 28), (1280, 15), (1280, 36),
        (1536, 50), (1792, 7), (1792, 18), (2048, 27), (2560, 8), (3072, 12),
    ],
    dtype=float,
)  # fmt: skip
# Close to what the authors print for all checkpoints with a threshold of 1e-4.
_SHAPE_LAW = {
    "E": 1.535, "A_w": 2.95, "A_d": 0.80, "A_N": 441.5, "A_D": 35_300.0,
    "alpha_w": 0.220, "alpha_d": 0.476, "alpha_N": 0.364, "alpha_D": 0.494,
}  # fmt: skip
_SIZE_LAW = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}
_RUN_NOISE, _ROW_NOISE = 0.004, 0.001  # of log(loss): of a training, of a checkpoint
_TARGET = 1e22
_SQUARES = Objective("log")


def _noise(rng: np.random.Generator, run: NDArray[np.int64]) -> FloatArray:
    """Relative errors that the checkpoints of a training share, and small ones of their own."""
    shared = _RUN_NOISE * rng.standard_normal(int(run.max()) + 1)
    return np.asarray(np.exp(shared[run] + _ROW_NOISE * rng.standard_normal(len(run))))


# --- planted laws ---------------------------------------------------------------------------------

Shaped = Literal["apart", "locked"]


def _ratio_error(fit: LawFit, width: FloatArray, depth: FloatArray) -> float:
    """Logarithm of the best width over depth at the target, fitted less planted, in size."""
    size_of = fit_shape_map(width, depth, gemstone_parameters(width, depth))
    cost = fit_shape_map(width, depth, gemstone_flops_per_token(width, depth))
    planted = [_SHAPE_LAW[name] for name in WIDTH_DEPTH_SIZE.names]
    found = best_shapes(
        WIDTH_DEPTH_SIZE,
        np.array([fit.natural, planted]),
        size_of,
        np.repeat(cost.coefficients[None], 2, axis=0),
        np.full(2, _TARGET),
        search_bounds(_SHAPES[:, 0], _SHAPES[:, 1], _TARGET / 1e9),
    )
    ratio = np.log(found.width / found.depth)
    return abs(float(ratio[0] - ratio[1]))


@claim(
    "gemstones",
    says="runs whose width and depth vary apart give the best aspect ratio beyond them",
    where="the law in width, depth, parameters and tokens, on the released shapes",
    expect=Below(0.7),
    unit="size of log(best width / depth), fitted less planted, at ten times the largest budget",
    subject="apart",
    twin=Twin("as many models of one aspect ratio", "locked"),
    quick=8,
    full=120,
)
def best_ratio(rng: np.random.Generator, shaped: Shaped) -> float:
    """Error of the best ratio from 22 trainings with ten checkpoints each."""
    width, depth = _SHAPES.T
    if shaped == "locked":
        width = np.geomspace(width.min(), width.max(), len(width))
        depth = width / 64
    run = np.repeat(np.arange(len(width)), 10)
    inputs = {
        "width": width[run],
        "depth": depth[run],
        "N": gemstone_parameters(width, depth)[run],
        "D": np.tile(np.arange(1, 11) * 1e10, len(width)),
    }
    loss = WIDTH_DEPTH_SIZE(_SHAPE_LAW, inputs) * _noise(rng, run)
    fit = fit_law(WIDTH_DEPTH_SIZE, inputs, loss, _SQUARES, n_starts=40, rng=rng)
    return _ratio_error(fit, width, depth)


Exponent = Callable[[FloatArray, FloatArray, FloatArray, FloatArray], float]


def _hull_exponent(
    compute: FloatArray, loss: FloatArray, size: FloatArray, tokens: FloatArray
) -> float:
    return float(hull_lines(compute, loss, size, tokens)[1])


def _law_exponent(
    compute: FloatArray, loss: FloatArray, size: FloatArray, tokens: FloatArray
) -> float:
    fit = fit_law(CHINCHILLA, {"N": size, "D": tokens}, loss, _SQUARES, n_starts=24)
    found = allocate_size_law(fit.natural[None], size, compute / tokens, _TARGET)
    return float(found["exponent"][0])


@claim(
    "gemstones",
    says="leaving out early checkpoints raises the exponent that the hull of the runs gives",
    where="approach 1 against approach 3, the slopes of the two with and without checkpoints up "
    "to 120 billion tokens",
    expect=Above(0.1),
    unit="exponent of size from late checkpoints less that from all, a law in N and D planted",
    subject=_hull_exponent,
    twin=Twin("the law in N and D fitted to all points", _law_exponent),
    quick=10,
    full=200,
)
def late_checkpoints(rng: np.random.Generator, exponent: Exponent) -> float:
    """Shift of the exponent from 22 trainings with a checkpoint every 10 of 350 billion tokens."""
    width, depth = _SHAPES.T
    run = np.repeat(np.arange(len(width)), 35)
    size, tokens = gemstone_parameters(width, depth)[run], np.tile(np.arange(1, 36) * 1e10, 22)
    compute = gemstone_flops_per_token(width, depth)[run] * tokens
    loss = CHINCHILLA(_SIZE_LAW, {"N": size, "D": tokens}) * _noise(rng, run)
    late = tokens > 1.2e11
    whole = exponent(compute, loss, size, tokens)
    return exponent(compute[late], loss[late], size[late], tokens[late]) - whole


@claim(
    "gemstones",
    says="intervals that draw whole trainings cover the planted exponent about as they promise",
    where="not in the paper, which gives no intervals; what this module adds to approach 3",
    expect=Above(0.85),
    unit="share of simulated tables whose 95 % interval covers",
    subject="trainings",
    twin=Twin("checkpoints drawn as if each were a training", "checkpoints"),
    quick=20,
    full=800,
    kind="proportion",
)
def draws_cover(rng: np.random.Generator, drawn: str) -> float:
    """Whether the interval from one table of 22 trainings with ten checkpoints covers."""
    run = np.repeat(np.arange(len(_SHAPES)), 10)
    size = gemstone_parameters(*_SHAPES.T)[run]
    tokens = np.tile(1e11 / 2.0 ** np.arange(10), len(_SHAPES))
    loss = CHINCHILLA(_SIZE_LAW, {"N": size, "D": tokens}) * _noise(rng, run)
    fit = fit_law(CHINCHILLA, {"N": size, "D": tokens}, loss, _SQUARES, n_starts=16, rng=rng)
    groups = run if drawn == "trainings" else np.arange(len(run))
    n_groups = int(groups.max()) + 1
    counts = rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups), 100).astype(float)
    losses = np.repeat(loss[None], len(counts), axis=0)
    natural = draw_parameters(fit, counts[:, groups], losses, np.zeros((0, 5)), "few-steps")
    exponents = natural[1:, 4] / (natural[1:, 3] + natural[1:, 4])
    low, high = percentile_interval(exponents, 0.95)
    truth = _SIZE_LAW["beta"] / (_SIZE_LAW["alpha"] + _SIZE_LAW["beta"])
    return float(low <= truth <= high)


# --- recorded runs --------------------------------------------------------------------------------


@functools.cache
def _recorded() -> pd.DataFrame:
    table = pd.read_csv(example_path("corpus_runs.csv"))
    return table[table["recipe"] == "mix"].reset_index(drop=True)


def _redrawn(rng: np.random.Generator) -> Trainings:
    """The recorded trainings, three drawn with replacement from those of each shape."""
    table = _recorded()
    shape = table.groupby(["width", "depth"]).ngroup().to_numpy()
    seed = table["seed"].str[1:].astype(int).to_numpy() - 1
    counts = rng.multinomial(3, [1 / 3] * 3, shape.max() + 1)
    places = np.repeat(np.arange(len(table)), counts[shape, seed])
    chosen = table.iloc[places]
    columns = [chosen[name].to_numpy(dtype=float) for name in ("width", "depth", "tokens")]
    _, first, row = np.unique(
        np.column_stack(columns), axis=0, return_index=True, return_inverse=True
    )
    width, depth, tokens = (column[first] for column in columns)
    size = chosen["parameters"].to_numpy(dtype=float)[first]
    run = pd.factorize(chosen["run"])[0].astype(np.int64)
    return Trainings(
        parameters={"with last layer": size, "blocks only": size - 97 * width},
        cost={SIX_N: None},
        width=width,
        depth=depth,
        tokens=tokens,
        share=tokens / tokens.max(),
        losses=chosen["loss"].to_numpy(),
        run=run,
        row=row.ravel(),
        n_runs=int(run.max()) + 1,
        stages={},
        why_no_shape="",
        ratio=1.0,
    )


_CHOICES = Plan(
    approaches=("hull", "size-law"),
    losses=("squares-log",),
    checkpoints=("all", "early"),
    sizes=("all", "without-largest", "without-smallest"),
    split=0.35,
    held_out=0.25,
    margin=0.02,
    target=1e13,
)


def _exponents_of_choices(trainings: Trainings, rng: np.random.Generator) -> list[float]:
    found = run_multiverse(trainings, _CHOICES, 0, rng)
    return [float(c.outcomes["exponent"][0]) for c in found.cells if c.has("exponent")]


def _exponents_of_starts(trainings: Trainings, rng: np.random.Generator) -> list[float]:
    inputs, exponents = {"N": trainings.size, "D": trainings.tokens}, []
    for _ in range(5):
        fit = fit_law(
            CHINCHILLA, inputs, trainings.loss, _SQUARES, weights=trainings.repeats, n_starts=24,
            rng=rng,
        )  # fmt: skip
        exponents.append(
            fit.parameters["beta"] / (fit.parameters["alpha"] + fit.parameters["beta"])
        )
    return exponents


@claim(
    "gemstones",
    says="sensible choices of the analysis move the exponent of size on one set of runs",
    where="the figure of prescriptions from all analyses, and its table of slopes",
    expect=Above(0.05),
    unit="standard deviation of the exponent over analyses, recorded trainings drawn anew",
    subject=_exponents_of_choices,
    twin=Twin("one analysis, repeated from other random starts", _exponents_of_starts),
    quick=8,
    full=80,
)
def choices_move(rng: np.random.Generator, exponents: Callable[..., list[float]]) -> float:
    """Spread of the exponent over approach, checkpoints, sizes and counting."""
    return float(np.std(exponents(_redrawn(rng), rng)))


def _held_out_error(
    law: Law, inputs: dict[str, FloatArray], trainings: Trainings, out: NDArray[np.bool_]
) -> float:
    weights = np.where(out, 0.0, trainings.repeats)
    arrays = {name: inputs[name] for name in law.inputs}
    fit = fit_law(law, arrays, trainings.loss, _SQUARES, weights=weights, n_starts=40)
    return float(np.sqrt(np.mean(fit.residuals[out] ** 2)))


@claim(
    "gemstones",
    says="a law in width and depth predicts shapes left out better than one in size and tokens",
    where="why the law has terms of width and depth",
    expect=Above(0.0),
    unit="log of the held-out error of the law in N and D over that of the law in shape, recorded "
    "trainings drawn anew, a third of the shapes held out",
    subject="shapes",
    twin=Twin("widths and depths handed to other models of the table", "shuffled"),
    quick=8,
    full=150,
)
def shape_predicts(rng: np.random.Generator, shaped: str) -> float:
    """Gain of the law in shape on shapes that it was not fitted to."""
    trainings = _redrawn(rng)
    assert trainings.width is not None and trainings.depth is not None
    pairs = np.column_stack([trainings.width, trainings.depth])
    shapes, place = np.unique(pairs, axis=0, return_inverse=True)
    place = place.ravel()
    out = np.isin(place, rng.permutation(len(shapes))[: len(shapes) // 3])
    if shaped == "shuffled":
        shapes = shapes[rng.permutation(len(shapes))]
    inputs: dict[str, Any] = {
        "N": trainings.size,
        "D": trainings.tokens,
        "width": shapes[place, 0],
        "depth": shapes[place, 1],
    }
    plain = _held_out_error(CHINCHILLA, inputs, trainings, out)
    return float(np.log(plain / _held_out_error(WIDTH_DEPTH_SIZE, inputs, trainings, out)))
