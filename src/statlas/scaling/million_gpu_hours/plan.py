"""The plan: budget, sizes under every law, shapes, hours, memory, energy and money."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from statlas.core.numerics.transformer_costs import Recomputation
from statlas.scaling.million_gpu_hours.allocation import (
    Limits,
    Sizes,
    allocate_loss_law,
    allocate_size_law,
)
from statlas.scaling.million_gpu_hours.budget import Utilisation, operations
from statlas.scaling.million_gpu_hours.published import LAWS, LossLaw
from statlas.scaling.million_gpu_hours.reading import TableLaw
from statlas.scaling.million_gpu_hours.shapes import (
    Architecture,
    Candidate,
    DepthRule,
    choose_shapes,
)

FloatArray = NDArray[np.float64]

TABLE = "table"
_BYTES_OF_STATE = 18.0  # a parameter: 16-bit weights, 32-bit gradient, weights and two moments
_LOOSE_EXPONENT = 1e-3
AT_HOME = (1e18, 1e27)  # budgets at which published laws were fitted or are discussed


@dataclass(frozen=True)
class Hardware:
    """Devices and their hours.

    Attributes
    ----------
    label
        What a device is called.
    devices, hours
        Devices, and hours of each.
    peak
        Operations a second at the peak.
    memory, watts
        Of a device, 1e9 bytes and W; None where not known.
    """

    label: str
    devices: int
    hours: float
    peak: float
    memory: float | None
    watts: float | None


@dataclass(frozen=True)
class Request:
    """What is asked for.

    Attributes
    ----------
    hardware, utilisation, lost
        The budget.
    chance
        Chance that the hours suffice for what is planned.
    law
        Law of the plan: one of `LAWS`, or ``"table"``.
    limits, architecture
        What else must hold.
    rule, aspect, n_shapes
        How shapes are chosen, and how many.
    recomputation
        What is computed a second time.
    """

    hardware: Hardware
    utilisation: Utilisation
    lost: float
    chance: float
    law: str
    limits: Limits
    architecture: Architecture
    rule: DepthRule
    aspect: float
    n_shapes: int
    recomputation: Recomputation


@dataclass(frozen=True)
class LawPlan:
    """What one law asks for: at the budget planned for (first), and at each draw."""

    name: str
    label: str
    source: str
    counts: str
    sizes: Sizes
    law_uncertain: bool


@dataclass(frozen=True)
class ShapePlan:
    """A shape, and what the budget does with it.

    Attributes
    ----------
    shape
        The shape.
    tokens
        Tokens that the budget planned for pays for, attention and vocabulary counted.
    flops
        Operations of that training.
    hours
        Hours of all devices for training and what is served, at the middle utilisation (first)
        and at each draw.
    """

    shape: Candidate
    tokens: float
    flops: float
    hours: FloatArray


@dataclass(frozen=True)
class Plan:
    """The whole plan.

    Attributes
    ----------
    compute
        Operations: the budget planned for (first), and draws.
    laws
        The plan's law first, then all others that can answer.
    shapes
        Best first.
    refusals
        Laws that cannot answer, and why.
    """

    compute: FloatArray
    laws: list[LawPlan]
    shapes: list[ShapePlan]
    refusals: list[str] = field(default_factory=list)

    @property
    def main(self) -> LawPlan:
        """Under the plan's law."""
        return self.laws[0]

    @property
    def best(self) -> ShapePlan:
        """The first shape."""
        return self.shapes[0]


def make_plan(
    request: Request, table: TableLaw | None, n_draws: int, rng: np.random.Generator
) -> Plan:
    """Budget, sizes and shapes with their draws.

    Parameters
    ----------
    request
        What is asked for.
    table
        The law of a table of runs, if there is one.
    n_draws
        Draws of utilisation and law together.
    rng
        Source of the draws.
    """
    hardware = request.hardware
    drawn_share = request.utilisation.draw(n_draws, rng)
    drawn = np.asarray(
        operations(hardware.devices, hardware.hours, hardware.peak, drawn_share, request.lost)
    )
    middle = float(
        operations(
            hardware.devices, hardware.hours, hardware.peak, request.utilisation.middle,
            request.lost,
        )
    )  # fmt: skip
    planned = middle if request.chance == 0.5 else float(np.quantile(drawn, 1 - request.chance))
    compute = np.concatenate([[planned], drawn])
    laws, refusals = [], []
    names = [request.law]
    if AT_HOME[0] <= planned <= AT_HOME[1]:
        names += [name for name in LAWS if name != request.law]
    else:
        refusals.append(
            f"the published laws are compared between {AT_HOME[0]:g} and {AT_HOME[1]:g} FLOP only"
        )
    for name in names:
        if name != request.law and request.limits.served_tokens > 0 and not _has_loss(name):
            refusals.append(f"{LAWS[name].label}: no law of the loss, so serving cannot be weighed")
            continue
        laws.append(_under(name, table, compute, request.limits, rng))
    main = laws[0]
    candidates = choose_shapes(
        float(main.sizes.size[0]), main.counts, request.architecture, request.rule, request.aspect,
        request.recomputation, request.n_shapes,
    )  # fmt: skip
    serving = 2 * main.sizes.size[0] * request.limits.served_tokens
    shapes = [
        _with_hours(shape, planned, float(serving), request, drawn_share) for shape in candidates
    ]
    return Plan(compute, laws, shapes, refusals)


def _has_loss(name: str) -> bool:
    return name == TABLE or isinstance(LAWS[name], LossLaw)


def _under(
    name: str,
    table: TableLaw | None,
    compute: FloatArray,
    limits: Limits,
    rng: np.random.Generator,
) -> LawPlan:
    n_draws = len(compute) - 1
    if name == TABLE:
        assert table is not None
        drawn = table.draws.values
        falls = np.minimum(table.draws["alpha"], table.draws["beta"]) > _LOOSE_EXPONENT
        drawn = drawn[falls] if falls.any() else table.fit.natural[None]
        picked = drawn[rng.integers(0, len(drawn), n_draws)]
        parameters = np.vstack([table.fit.natural, picked])
        sizes = allocate_loss_law(parameters, compute, limits)
        return LawPlan(name, "law of the table", table.how, "all", sizes, True)
    law = LAWS[name]
    if isinstance(law, LossLaw):
        parameters = np.vstack([law.parameters, law.draw(n_draws, rng)])
        sizes = allocate_loss_law(parameters, compute, limits)
        return LawPlan(name, law.label, law.source, law.counts, sizes, law.covariance is not None)
    exponents = np.concatenate([[law.exponent], law.draw(n_draws, rng)])
    sizes = allocate_size_law(law, exponents, compute, limits)
    return LawPlan(name, law.label, law.source, law.counts, sizes, law.exponent_error > 0)


def _with_hours(
    shape: Candidate, budget: float, serving: float, request: Request, drawn_share: FloatArray
) -> ShapePlan:
    tokens = min((budget - serving) / shape.flops_per_token, request.limits.most_tokens)
    flops = tokens * shape.flops_per_token
    hardware = request.hardware
    shares = np.concatenate([[request.utilisation.middle], drawn_share])
    an_hour = operations(hardware.devices, 1.0, hardware.peak, shares, request.lost)
    return ShapePlan(shape, tokens, flops, np.asarray((flops + serving) / an_hour))


def devices_for_state(parameters: float, memory: float | None) -> float:
    """Fewest devices whose memory holds weights, gradients and Adam's moments.

    18 bytes a parameter, as the authors' training notes count: 2 for the 16-bit weights, 4 each
    for gradient, 32-bit weights and two moments. Activations come on top.

    Examples
    --------
    >>> devices_for_state(176.247e9, 80)
    40.0
    """
    if memory is None:
        return float("nan")
    return float(np.ceil(_BYTES_OF_STATE * parameters / (memory * 1e9)))
