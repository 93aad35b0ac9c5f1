"""The paper's baselines that extrapolate: eight ways of fitting a law to each recipe.

C is compute, N parameters, D tokens, L the task's loss, the answer Y the metric that decides.

    2-parameter                    L = A C^-alpha, then Y = a / (1 + exp(-k (L - L0))) + b
    3-parameter                    L = A C^-alpha + E, then the same
    ... with helper points         the second step also sees (L, Y) = (0, 1)
    ... later half                 the second step sees the later half of each run's checkpoints
    5-parameter                    L = A N^-alpha + B D^-beta + E, then the same
    3-parameter, single step       Y = a / (1 + exp(-(A C^-alpha - L0))) + b
    5-parameter, single step       Y = a / (1 + exp(-(A N^-alpha + B D^-beta - L0))) + b

Where Y is a loss itself there is no second step, and the three forms of L are left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from statlas.core.errors import StatlasError
from statlas.core.numerics.laws import (
    CHINCHILLA,
    POWER_LAW,
    SATURATING_POWER_LAW,
    Law,
    LawFit,
    Objective,
    Parameter,
    fit_law,
)
from statlas.core.numerics.laws.law import ByName
from statlas.core.numerics.laws.minimise import minimise
from statlas.core.numerics.laws.problem import Problem
from statlas.scaling.datadecide.decisions import known_mean

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

_SCOUTING, _STEPS = 8, 20  # more damped steps than 8 can meet a singular matrix
_MOST_CELLS = 60_000  # fits x points of one block of the second step
_FEWEST_SIZES = 3
_SKIPPED, _LATER = 0.1, 0.5  # share of a run's first checkpoints that the second step leaves out


# --- laws ----------------------------------------------------------------------------------------


def _logistic(height: FloatArray) -> FloatArray:
    return np.asarray(0.5 * (1 + np.tanh(0.5 * height)))


def _link(p: ByName, x: ByName) -> tuple[FloatArray, Mapping[str, FloatArray]]:
    share = _logistic(p["k"] * (x["L"] - p["L0"]))
    slope = p["a"] * share * (1 - share)
    return p["a"] * share + p["b"], {
        "a": share,
        "b": np.ones_like(share),
        "k": slope * p["k"] * (x["L"] - p["L0"]),
        "L0": -slope * p["k"] * p["L0"],
    }


def _by_compute(p: ByName, x: ByName) -> tuple[FloatArray, Mapping[str, FloatArray]]:
    term = p["A"] * np.exp(-p["alpha"] * x["log C"])
    share = _logistic(term - p["L0"])
    slope = p["a"] * share * (1 - share)
    return p["a"] * share + p["b"], {
        "A": slope * term,
        "alpha": -x["log C"] * slope * term,
        "L0": -slope,
        "a": share,
        "b": np.ones_like(share),
    }


def _by_size_and_tokens(p: ByName, x: ByName) -> tuple[FloatArray, Mapping[str, FloatArray]]:
    size = p["A"] * np.exp(-p["alpha"] * x["log N"])
    data = p["B"] * np.exp(-p["beta"] * x["log D"])
    share = _logistic(size + data - p["L0"])
    slope = p["a"] * share * (1 - share)
    return p["a"] * share + p["b"], {
        "A": slope * size,
        "B": slope * data,
        "alpha": -x["log N"] * slope * size,
        "beta": -x["log D"] * slope * data,
        "L0": -slope,
        "a": share,
        "b": np.ones_like(share),
    }


# Y falls from b at no loss to b + a at a large one.
_FALL = Parameter("a", (-0.8, -0.1), domain=(-1.0, 0.0))
_TOP = Parameter("b", (0.5, 1.0), domain=(0.0, 1.0))
_EXPONENT = {"start": (0.05, 0.8), "domain": (0.0, 5.0)}

LINK = Law(
    "link",
    "a / (1 + exp(-k (L - L0))) + b",
    ("L",),
    (
        _FALL,
        _TOP,
        Parameter("k", (0.5, 20.0), log=True),
        Parameter("L0", (0.3, 5.0), log=True),
    ),
    _link,
    linear=("a", "b"),
    positive_inputs=False,
)

SINGLE_BY_COMPUTE = Law(
    "single step by compute",
    "a / (1 + exp(-(A C^-alpha - L0))) + b",
    ("C",),
    (
        Parameter("A", (1.0, 1e6), log=True),
        Parameter("alpha", **_EXPONENT),  # type: ignore[arg-type]
        Parameter("L0", (-3.0, 5.0), domain=(-50.0, 50.0)),
        _FALL,
        _TOP,
    ),
    _by_compute,
    linear=("a", "b"),
)

SINGLE_BY_SIZE_AND_TOKENS = Law(
    "single step by size and tokens",
    "a / (1 + exp(-(A N^-alpha + B D^-beta - L0))) + b",
    ("N", "D"),
    (
        Parameter("A", (1.0, 1e6), log=True),
        Parameter("B", (1.0, 1e6), log=True),
        Parameter("alpha", **_EXPONENT),  # type: ignore[arg-type]
        Parameter("beta", **_EXPONENT),  # type: ignore[arg-type]
        Parameter("L0", (-3.0, 5.0), domain=(-50.0, 50.0)),
        _FALL,
        _TOP,
    ),
    _by_size_and_tokens,
    linear=("a", "b"),
)


@dataclass(frozen=True)
class Variant:
    """One way of extrapolating.

    Attributes
    ----------
    name
        As in the paper's tables.
    first
        The law of the first (or only) step.
    second
        Whether a second step leads from the loss to the answer.
    helper
        Whether that step sees the point of no loss and a right answer each time.
    skipped
        Share of a run's first checkpoints that it does not see.
    """

    name: str
    first: Law
    second: bool
    helper: bool = False
    skipped: float = _SKIPPED


VARIANTS = (
    Variant("2-parameter", POWER_LAW, True),
    Variant("3-parameter", SATURATING_POWER_LAW, True),
    Variant("3-parameter, helper points", SATURATING_POWER_LAW, True, helper=True),
    Variant("3-parameter, later half", SATURATING_POWER_LAW, True, skipped=_LATER),
    Variant(
        "3-parameter, helper points, later half", SATURATING_POWER_LAW, True, helper=True,
        skipped=_LATER,
    ),
    Variant("5-parameter", CHINCHILLA, True),
    Variant("3-parameter, single step", SINGLE_BY_COMPUTE, False),
    Variant("5-parameter, single step", SINGLE_BY_SIZE_AND_TOKENS, False),
)  # fmt: skip
OF_A_LOSS = (
    Variant("2-parameter", POWER_LAW, False),
    Variant("3-parameter", SATURATING_POWER_LAW, False),
    Variant("5-parameter", CHINCHILLA, False),
)


# --- the runs of one task -------------------------------------------------------------------------


@dataclass(frozen=True)
class Ladder:
    """Small runs of all recipes and the scale they are extrapolated to.

    Attributes
    ----------
    compute, parameters, tokens
        Of the scales, shape (n_scales,).
    size
        Code of the size of each scale, by rising parameters.
    loss, answer
        Shape (n_scales, n_recipes, n_seeds); the loss lower is better, None without one; the answer
        as measured (a loss is not negated).
    target
        The scale to extrapolate to.
    answer_is_loss
        Whether the answer is a loss.
    """

    compute: FloatArray
    parameters: FloatArray
    tokens: FloatArray
    size: IntArray
    loss: FloatArray | None
    answer: FloatArray
    target: int
    answer_is_loss: bool

    def cuts(self) -> list[IntArray]:
        """The smallest three sizes, four, ... below the target's; the scales of each."""
        below = self.size < self.size[self.target]
        usable = below & np.isfinite(self.answer).any(axis=(1, 2))
        sizes = np.unique(self.size[usable])
        return [
            np.flatnonzero(usable & (self.size <= sizes[last]))
            for last in range(_FEWEST_SIZES - 1, len(sizes))
        ]

    def last_checkpoints(self, scales: IntArray) -> IntArray:
        """The dearest scale of each size."""
        return np.array(
            [scales[self.size[scales] == size][-1] for size in np.unique(self.size[scales])]
        )

    def late_checkpoints(self, scales: IntArray, skipped: float) -> IntArray:
        """Scales without the first share of each size's checkpoints."""
        kept = []
        for size in np.unique(self.size[scales]):
            own = scales[self.size[scales] == size]
            kept.append(own[int(np.ceil(skipped * len(own) - 1e-9)) :])
        return np.concatenate(kept)


@dataclass(frozen=True)
class Extrapolated:
    """What one way of extrapolating says of the target.

    Attributes
    ----------
    variant
        Its name.
    sizes
        Number of sizes fitted.
    compute
        Compute of one run of each of them, to the end.
    largest
        The dearest scale fitted.
    predicted
        Answer at the target, shape (n_recipes, n_seeds); NaN where there was no fit.
    """

    variant: str
    sizes: int
    compute: float
    largest: int
    predicted: FloatArray


def extrapolate_all(ladder: Ladder) -> Iterator[Extrapolated]:
    """Every variant that the runs allow, at every cut."""
    if ladder.answer_is_loss:
        variants: Sequence[Variant] = OF_A_LOSS
    elif ladder.loss is None:
        variants = [variant for variant in VARIANTS if not variant.second]
    else:
        variants = VARIANTS
    for scales in ladder.cuts():
        last = ladder.last_checkpoints(scales)
        losses: dict[str, FloatArray | None] = {}
        for variant in variants:
            predicted = _extrapolate(ladder, scales, variant, losses)
            if predicted is not None:
                yield Extrapolated(
                    variant.name, len(last), float(ladder.compute[last].sum()),
                    int(last[np.argmax(ladder.compute[last])]), predicted,
                )  # fmt: skip


def _extrapolate(
    ladder: Ladder,
    scales: IntArray,
    variant: Variant,
    losses: dict[str, FloatArray | None],
) -> FloatArray | None:
    """Predicted answers; None where the runs do not determine the law."""
    if not variant.second:
        return _first_step(ladder, scales, variant.first, ladder.answer)
    assert ladder.loss is not None
    name = variant.first.name
    if name not in losses:
        losses[name] = _first_step(ladder, scales, variant.first, ladder.loss)
    loss = losses[name]
    if loss is None:
        return None
    late = ladder.late_checkpoints(scales, variant.skipped)
    return _second_step(ladder, late, loss, variant.helper)


def _first_step(
    ladder: Ladder, scales: IntArray, law: Law, values: FloatArray
) -> FloatArray | None:
    """Fit a law of scale to each recipe and seed, and predict at the target.

    Laws of compute see the last checkpoint of each size, as in the paper; laws of size and tokens,
    and those with as many parameters as sizes, see all checkpoints.
    """
    own = ladder.last_checkpoints(scales)
    by_compute = "C" in law.inputs or "x" in law.inputs
    if not by_compute or len(own) < len(law.names):
        if by_compute and law.name != SINGLE_BY_COMPUTE.name:
            return None
        own = scales
    inputs = _inputs(law, ladder, own)
    flat = values[own].reshape(len(own), -1)
    middle = known_mean(flat, axis=1)
    try:
        starts = _scale_starts(law, inputs, middle)
        fit = fit_law(law, inputs, middle, Objective("log"), n_starts=0, starts=starts)
    except StatlasError:
        return None
    known = np.isfinite(flat)
    observed = np.log(np.where(known, flat, middle[:, None])).T
    # The asymptotes of a single step are those of the mean over recipes: a recipe's few points do
    # not determine them.
    free = np.array([name not in ("a", "b") for name in law.names])
    samples = replace(
        fit.problem,
        observed=observed,
        weights=known.T.astype(float),
        objective=Objective("log", huber=1e-3),
    )
    return _predict_each(
        samples, replace(fit, free=free), _inputs(law, ladder, np.array([ladder.target])),
        known.sum(axis=0) >= min(free.sum(), len(own)), values.shape[1:],
    )  # fmt: skip


def _scale_starts(law: Law, inputs: Mapping[str, FloatArray], values: FloatArray) -> FloatArray:
    """Two starts at which the law has the values' size and falls gently or steeply."""
    middle = {name: float(np.mean(np.log(column))) for name, column in inputs.items()}
    own = middle.get("x", middle.get("C", middle.get("N", 0.0)))
    level, least = float(np.exp(np.mean(np.log(values)))), float(values.min())
    rows = []
    for exponent, share in ((0.1, 0.3), (0.4, 0.8)):
        rest = max(level - share * least, 1e-3 * level)
        at = {
            "alpha": exponent, "beta": exponent, "a": -0.5, "b": 0.9, "L0": 1.0,
            "E": share * least,
        }  # fmt: skip
        if "L0" in law.names:
            rest = 2.0
        elif "E" not in law.names:
            rest = level
        parts = 2 if "B" in law.names else 1
        at["A"] = rest / parts * np.exp(exponent * own)
        at["B"] = rest / parts * np.exp(exponent * middle.get("D", 0.0))
        rows.append([at[name] for name in law.names])
    return np.array(rows)


def _link_starts(loss: FloatArray) -> FloatArray:
    """A gentle and a steep fall around the middle of the losses."""
    spread = float(loss.std()) or 1.0
    centre = max(float(np.median(loss)), 1e-3)
    rows = [
        {"a": -0.5, "b": 0.9, "k": pace / spread, "L0": at}
        for pace, at in ((0.7, centre), (3.0, centre), (0.7, 0.7 * centre))
    ]
    return np.array([[row[name] for name in LINK.names] for row in rows])


def _inputs(law: Law, ladder: Ladder, scales: IntArray) -> dict[str, FloatArray]:
    columns = {
        "C": ladder.compute, "x": ladder.compute, "N": ladder.parameters, "D": ladder.tokens
    }  # fmt: skip
    return {name: columns[name][scales] for name in law.inputs}


def _second_step(
    ladder: Ladder, scales: IntArray, loss: FloatArray, helper: bool
) -> FloatArray | None:
    """Fit the link from loss to answer to each recipe and seed's checkpoints, and apply it."""
    assert ladder.loss is not None
    n_recipes, n_seeds = loss.shape
    points = len(scales) * n_seeds
    # Every fit of a block sees all the block's points, those of others with weight 0.
    block = max(1, int(np.sqrt(_MOST_CELLS / max(points * n_seeds, 1))))
    answer = np.full(loss.shape, np.nan)
    fitted = False
    for start in range(0, n_recipes, block):
        part = slice(start, min(start + block, n_recipes))
        found = _link_block(
            ladder.loss[scales, part], ladder.answer[scales, part], loss[part], helper
        )
        if found is not None:
            answer[part], fitted = found, True
    return answer if fitted else None


def _link_block(x: FloatArray, y: FloatArray, loss: FloatArray, helper: bool) -> FloatArray | None:
    """The link of some recipes: x and y of shape (n_scales, n_recipes, n_seeds)."""
    n_runs, n_scales = x[0].size, len(x)
    run = np.tile(np.arange(n_runs), n_scales)
    x, y = x.ravel(), y.ravel()
    known = np.isfinite(x) & np.isfinite(y)
    run, x, y = run[known], x[known], y[known]
    own = run == np.arange(n_runs)[:, None]  # (n_runs, n_points): whose point it is
    if helper:
        x, y = np.append(x, 0.0), np.append(y, 1.0)
        own = np.column_stack([own, np.ones(n_runs, dtype=bool)])
    try:
        fit = fit_law(LINK, {"L": x}, y, Objective("linear"), n_starts=0, starts=_link_starts(x))
    except StatlasError:
        return None
    samples = replace(fit.problem, weights=own.astype(float))
    parameters = LINK.to_natural(_fit_each(samples, fit, n_runs))
    flat = loss.ravel()
    usable = np.isfinite(flat) & (own.sum(axis=1) > len(LINK.names))
    at = np.where(np.isfinite(flat), flat, 1.0)
    values = np.diag(LINK.values(parameters, {"L": at}))
    return np.where(usable, values, np.nan).reshape(loss.shape)


def _predict_each(
    samples: Problem,
    fit: LawFit,
    inputs: Mapping[str, FloatArray],
    enough: BoolArray,
    shape: tuple[int, ...],
) -> FloatArray:
    coordinates = _fit_each(samples, fit, len(enough))
    values = fit.law.values(fit.law.to_natural(coordinates), inputs)[:, 0]
    return np.where(enough & np.isfinite(values), values, np.nan).reshape(shape)


def _fit_each(samples: Problem, fit: LawFit, n_samples: int) -> FloatArray:
    """Coordinates for each sample, from the fit of them all.

    Few steps do: where points are few E may go on falling towards 0, which moves no prediction.
    """
    starts = np.repeat(fit.coordinates[None], n_samples, axis=0)
    return minimise(
        samples, starts, fit.free, scouting=_SCOUTING, iterations=_STEPS, tolerance=1e-6
    ).coordinates
