"""The paper's claims: plans agree with the accounting of published trainings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from statlas.core import Above, Oracle, Twin, Within, claim
from statlas.core.numerics.laws import CHINCHILLA, Objective, bootstrap, fit_law
from statlas.core.numerics.laws.uncertainty import percentile_interval
from statlas.core.numerics.transformer_costs import training_cost
from statlas.scaling.million_gpu_hours.allocation import (
    Limits,
    allocate_loss_law,
    allocate_size_law,
)
from statlas.scaling.million_gpu_hours.budget import Utilisation, operations
from statlas.scaling.million_gpu_hours.hardware import peak_rate
from statlas.scaling.million_gpu_hours.published import LAWS, PF_DAY, TRAININGS, SizeLaw, Training
from statlas.scaling.million_gpu_hours.shapes import levine_depth

_STATED = [training for training in TRAININGS if training.flops is not None]
_TIMED = [training for training in TRAININGS if training.device_hours is not None]

# --- accounting -----------------------------------------------------------------------------------


def _pick(rng: np.random.Generator, trainings: list[Training]) -> Training:
    return trainings[int(rng.integers(len(trainings)))]


@claim(
    "million-gpu-hours",
    says="six operations a parameter and token come to the operations that trainings state",
    where="C = 6 N D, as for the paper's scaling laws",
    expect=Within(-0.05, 0.05),
    unit="log of counted over stated operations, a published training drawn at random",
    subject=6.0,
    twin=Twin("the backward pass forgotten", 2.0),
    quick=40,
    full=4_000,
)
def counted_operations(rng: np.random.Generator, factor: float) -> float:
    """One of eleven trainings with stated operations."""
    training = _pick(rng, _STATED)
    assert training.flops is not None
    return float(np.log(factor * training.parameters * training.tokens / training.flops))


@claim(
    "million-gpu-hours",
    says="attention and vocabulary add little to six operations a parameter where models are large",
    where="why C = 6 N D is enough for the plan",
    expect=Within(-0.1, 0.1),
    unit="log of exact over 6 N operations a token, a published model drawn at random",
    subject=(6e9, np.inf),
    twin=Twin("small models whose N counts an input embedding of its own", (0, 5e8)),
    quick=40,
    full=4_000,
)
def exact_operations(rng: np.random.Generator, sizes: tuple[float, float]) -> float:
    """One of the published models in a range of sizes."""
    fitting = [
        training
        for training in TRAININGS
        if sizes[0] <= training.parameters <= sizes[1]
        and (sizes[0] > 0 or training.name.startswith("Pythia"))
    ]
    shape = _pick(rng, fitting).shape
    return float(np.log(training_cost(shape) / (6 * shape.parameters)))


@claim(
    "million-gpu-hours",
    says="device hours planned at 32 % of the peak, the median of published trainings, are within "
    "a factor of two of those reported",
    where="planning by hours, peak and utilisation",
    expect=Above(0.8),
    unit="share of 20 published trainings with reported hours, drawn at random",
    subject=6.0,
    twin=Twin("the backward pass forgotten", 2.0),
    quick=40,
    full=4_000,
    kind="proportion",
)
def planned_hours(rng: np.random.Generator, factor: float) -> float:
    """Whether one training's reported hours are met."""
    training = _pick(rng, _TIMED)
    peak = peak_rate(training.accelerator, "bf16", None)
    hours = factor * training.parameters * training.tokens / (peak * 0.32 * 3600)
    assert training.device_hours is not None
    return float(abs(np.log2(hours / training.device_hours)) <= 1)


# --- the paper's own plan -------------------------------------------------------------------------


def _bloom_plan(factor: float) -> list[tuple[float, float]]:
    """Numbers of the paper's plan: computed, printed."""
    law = LAWS["bloom"]
    assert isinstance(law, SizeLaw)
    hours, planned = 1_161_261.0, 4_500 * PF_DAY
    budget = operations(1, hours, peak_rate("a100-80gb", "bf16", None), 100 / 312) / PF_DAY
    exponent, compute = np.array([law.exponent]), np.array([planned * 6 / factor])
    free = allocate_size_law(law, exponent, np.array([planned]), Limits())
    long = allocate_size_law(law, exponent, compute, Limits(least_tokens=366e9))
    return [
        (float(budget), 4_838.0),  # PF-days from the hours
        (float(free.tokens[0]) * 6 / factor, 165e9),  # tokens of the largest model
        (float(long.size[0]), 176.247e9),  # parameters for the tokens trained on
        (levine_depth(13_312.0), 80.0),  # blocks that the rule of depth gives at 175e9
        (planned / PF_DAY / 3_640.0, 1.23),  # times GPT-3's 3,640 PF-days
    ]


@claim(
    "million-gpu-hours",
    says="the budget gives the printed PF-days, the law's tokens, the model's size and its depth",
    where="compute allocation and model shape: 4,838 and 4,500 PF-days, 392e9 parameters on 165e9 "
    "tokens, 176e9 parameters, 80 blocks",
    expect=Oracle(0.02),
    unit="relative difference from a printed number drawn at random",
    subject=6.0,
    twin=Twin("the backward pass forgotten", 2.0),
    quick=40,
    full=400,
)
def printed_plan(rng: np.random.Generator, factor: float) -> float:
    """One number of the plan."""
    computed, printed = _bloom_plan(factor)[int(rng.integers(5))]
    return computed / printed - 1


# --- uncertainty ----------------------------------------------------------------------------------

_LAW = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}
_USE = Utilisation(0.40, 0.30, 0.50)

SizeInterval = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _law_and_use(parameters: np.ndarray, compute: np.ndarray) -> np.ndarray:
    return allocate_loss_law(parameters, compute, Limits()).size


def _use_alone(parameters: np.ndarray, compute: np.ndarray) -> np.ndarray:
    middle = np.median(parameters, axis=0)
    return allocate_loss_law(np.repeat(middle[None], len(compute), axis=0), compute, Limits()).size


@claim(
    "million-gpu-hours",
    says="intervals that carry the law's and the utilisation's uncertainty hold the best size",
    where="not in the paper, which plans with single numbers; what this module adds",
    expect=Above(0.85),
    unit="share of simulated tables and budgets whose 95 % interval holds the planted best size",
    subject=_law_and_use,
    twin=Twin("the fitted law taken as exact", _use_alone),
    quick=40,
    full=1_000,
    kind="proportion",
)
def size_interval(rng: np.random.Generator, best: SizeInterval) -> float:
    """Whether the interval from one table of 40 runs and one budget 300 times larger holds."""
    compute = rng.choice(1e18 * 3.0 ** np.arange(6), 40)
    size = np.sqrt(compute / 120) * np.exp(rng.uniform(-1.5, 1.5, 40))
    inputs = {"N": size, "D": compute / 6 / size}
    loss = CHINCHILLA(_LAW, inputs) * np.exp(0.004 * rng.standard_normal(40))
    fit = fit_law(CHINCHILLA, inputs, loss, Objective("log"), n_starts=16, rng=rng)
    drawn = bootstrap(fit, 60, kind="runs", rng=rng).values
    peak = 1e23 / (1_000 * 3600 * _USE.middle)
    budgets = np.asarray(operations(1, 1_000, peak, _USE.draw(len(drawn), rng)))
    true_budget = np.asarray(operations(1, 1_000, peak, _USE.draw(1, rng)))
    truth = allocate_loss_law(np.array([list(_LAW.values())]), true_budget, Limits()).size[0]
    low, high = percentile_interval(best(drawn, budgets), 0.95)
    return float(low <= truth <= high)
