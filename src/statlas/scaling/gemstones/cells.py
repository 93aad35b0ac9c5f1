"""The multiverse: every combination of choices, each with its prescription and its draws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from statlas.core.numerics.laws import CHINCHILLA, Law, LawFit, Objective, power_allocation
from statlas.core.numerics.laws.fitting import make_problem
from statlas.core.progress import track
from statlas.scaling.gemstones.accounting import FloatArray, ShapeMap, fit_power, fit_shape_map
from statlas.scaling.gemstones.fits import (
    Drawing,
    draw_parameters,
    first_fit,
    fit_subsets,
    seeds_of,
)
from statlas.scaling.gemstones.hull import hull_lines, lower_hull, near_hull
from statlas.scaling.gemstones.law import WIDTH_DEPTH_SIZE
from statlas.scaling.gemstones.reading import Trainings
from statlas.scaling.gemstones.shape import Bounds, best_shapes

Approach = Literal["hull", "size-law", "shape-law"]
LossFit = Literal["huber-1e-3", "huber-1e-4", "huber-1e-5", "squares-log", "squares"]
Checkpoints = Literal["all", "early", "late", "final", "near-hull", "stages"]
Sizes = Literal["all", "without-largest", "without-smallest"]

OBJECTIVES: dict[LossFit, Objective] = {
    "huber-1e-3": Objective("log", huber=1e-3),  # Hoffmann et al. (2022)
    "huber-1e-4": Objective("log", huber=1e-4),  # this paper
    "huber-1e-5": Objective("log", huber=1e-5),
    "squares-log": Objective("log"),
    "squares": Objective("linear"),
}
LAWS: dict[str, Law] = {"size-law": CHINCHILLA, "shape-law": WIDTH_DEPTH_SIZE}
FACTORS = ("approach", "loss_fit", "checkpoints", "sizes", "parameters", "flops")
OUTCOMES = ("exponent", "size", "tokens", "tokens_per_parameter", "width", "depth")
FACTOR_WORDS = {
    "approach": "the approach",
    "loss_fit": "the fitting loss",
    "checkpoints": "the choice of checkpoints",
    "sizes": "the choice of sizes",
    "parameters": "the count of parameters",
    "flops": "the count of operations",
}

_FLAT = 1e-3  # exponent at which loss no longer falls
_EXPONENT_STEP = 10.0  # in compute, over which the growth of the best size is measured
_REACH = 4.0  # how far beyond the shapes tried the search for the best one goes
_WORDS = {"N": "sizes", "D": "tokens", "width": "widths", "depth": "depths"}
ANY = "any"


@dataclass(frozen=True)
class Plan:
    """Which multiverse, and how each cell is computed.

    Attributes
    ----------
    approaches, losses, checkpoints, sizes
        Levels of the choices.
    split
        Share of a training's tokens at which early checkpoints end and late ones begin.
    held_out
        Share of the distinct sizes that is held out.
    margin
        How far above the hull, relatively, a loss may lie to count as near.
    target
        Budget planned for.
    drawing
        How draws of the laws' parameters are made, see `draw_parameters`.
    """

    approaches: tuple[Approach, ...]
    losses: tuple[LossFit, ...]
    checkpoints: tuple[Checkpoints, ...]
    sizes: tuple[Sizes, ...]
    split: float
    held_out: float
    margin: float
    target: float
    drawing: Drawing = "few-steps"


@dataclass(frozen=True)
class Cell:
    """One analysis.

    Attributes
    ----------
    choices
        Level of each factor.
    outcomes
        Each of `OUTCOMES` at the data (first) and at each draw, shape (1 + n_draws,); NaN where
        the approach has none, or a draw failed.
    rows
        Checkpoints used.
    why_not
        Why the analysis gives no prescription, or "".
    at_edge
        Whether the best shape lies at an end of what was searched.
    """

    choices: dict[str, str]
    outcomes: dict[str, FloatArray]
    rows: int
    why_not: str = ""
    at_edge: bool = False

    def has(self, outcome: str) -> bool:
        """Whether there is an estimate of the outcome."""
        return not self.why_not and bool(np.isfinite(self.outcomes[outcome][0]))


@dataclass
class Multiverse:
    """All analyses of one table, and the fits of its laws.

    Attributes
    ----------
    cells
        In the order of the choices; analyses by the hull stand once, for every fitting loss.
    fits
        By approach: the fit of its law in the first analysis that has one.
    weights, losses
        Of each draw and row, from `Trainings.drawn`.
    """

    cells: list[Cell] = field(default_factory=list)
    fits: dict[str, LawFit] = field(default_factory=dict)
    weights: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))
    losses: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))


def run_multiverse(
    trainings: Trainings, plan: Plan, n_draws: int, rng: np.random.Generator
) -> Multiverse:
    """Compute every analysis, with the same draws of trainings for all.

    Parameters
    ----------
    trainings
        The table.
    plan
        The choices.
    n_draws
        Bootstrap samples; whole trainings are drawn with replacement, the same in each analysis,
        so that differences between analyses can be compared with their noise.
    rng
        Source of the samples and of the fits' starts.
    """
    n_runs = trainings.n_runs
    counts = rng.multinomial(n_runs, np.full(n_runs, 1 / n_runs), n_draws).astype(float)
    weights, losses = trainings.drawn(counts)
    found = Multiverse(weights=weights, losses=losses)
    subsets = list(_subsets(trainings, plan))
    ways = [(way, counting) for way in plan.approaches for counting in trainings.parameters]
    for approach, counting in track(ways, "analysing the runs"):
        if approach == "hull":
            for subset in subsets:
                found.cells += _by_hull(trainings, plan, subset, counting, found)
        else:
            found.cells += _by_law(trainings, plan, subsets, approach, counting, found, rng)
    return found


# --- subsets of the rows --------------------------------------------------------------------------


def _subsets(trainings: Trainings, plan: Plan) -> Iterator[_Subset]:
    """Rows of each choice of checkpoints and of sizes, without subsets that came before."""
    seen: set[bytes] = set()
    for checkpoints, chosen in _checkpoints(trainings, plan):
        for sizes in plan.sizes:
            rows = chosen & _sizes(trainings.size, sizes, plan.held_out)
            if rows.tobytes() not in seen and rows.any():
                seen.add(rows.tobytes())
                yield _Subset(rows, {"checkpoints": checkpoints, "sizes": sizes})


def _checkpoints(trainings: Trainings, plan: Plan) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    share = trainings.share
    everything = np.ones(len(share), dtype=bool)
    for level in plan.checkpoints:
        if level == "stages":
            if len(trainings.stages) > 1:
                yield from trainings.stages.items()
        elif level == "near-hull":
            counting, flops = next(iter(trainings.parameters)), next(iter(trainings.cost))
            resource = trainings.compute(flops, counting)
            yield level, near_hull(resource, trainings.loss, plan.margin)
        else:
            yield (
                level,
                {
                    "all": everything,
                    "early": share <= plan.split * (1 + 1e-9),
                    "late": share > plan.split * (1 + 1e-9),
                    "final": share >= 1,
                }[level],
            )


def _sizes(size: FloatArray, level: str, held_out: float) -> NDArray[np.bool_]:
    if level == "all":
        return np.ones(len(size), dtype=bool)
    distinct = np.unique(size)
    n_out = min(max(1, round(held_out * len(distinct))), len(distinct) - 1)
    if level == "without-largest":
        return np.asarray(size < distinct[-n_out])
    return np.asarray(size > distinct[n_out - 1])


# --- the approaches -------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Subset:
    """Some rows of the table, and what they are called."""

    rows: NDArray[np.bool_]
    where: dict[str, str]

    def cell(self, why_not: str = "", *, at_edge: bool = False, **given: Any) -> Cell:
        outcomes = given.pop("outcomes", {})
        empty = np.array([np.nan])
        choices = given | self.where
        return Cell(
            {name: str(choices[name]) for name in FACTORS},
            {name: outcomes.get(name, empty) for name in OUTCOMES},
            int(self.rows.sum()),
            why_not,
            at_edge,
        )


# Approach 1: lines through the points of the hull, as plot_line_of_best_fit() fits them.
def _by_hull(
    trainings: Trainings, plan: Plan, subset: _Subset, counting: str, multiverse: Multiverse
) -> Iterator[Cell]:
    rows = subset.rows
    size, tokens = trainings.parameters[counting][rows], trainings.tokens[rows]
    # With equally many tokens everywhere compute follows from size, and so would its "best".
    short = _hardly_varies("D", tokens)
    there, losses = multiverse.weights[:, rows] > 0, multiverse.losses[:, rows]
    for flops in trainings.cost:
        resource = trainings.compute(flops, counting)[rows]
        lines = [hull_lines(resource, trainings.loss[rows], size, tokens)]
        for kept, loss in zip(there, losses, strict=True):
            lines.append(hull_lines(resource[kept], loss[kept], size[kept], tokens[kept]))
        found = np.array(lines)
        at = np.log(plan.target)
        outcomes = _outcomes(
            found[:, 1],
            np.exp(found[:, 0] + found[:, 1] * at),
            np.exp(found[:, 2] + found[:, 3] * at),
        )
        thin = not np.isfinite(found[0, 1])
        why = short or ("the hull has fewer than 3 points or one size" if thin else "")
        yield subset.cell(
            why, approach="hull", loss_fit=ANY, parameters=counting, flops=flops,
            outcomes=outcomes,
        )  # fmt: skip


# Approach 3: a law fitted to all points of each subset.
def _by_law(
    trainings: Trainings,
    plan: Plan,
    subsets: list[_Subset],
    approach: Approach,
    counting: str,
    found: Multiverse,
    rng: np.random.Generator,
) -> Iterator[Cell]:
    law = LAWS[approach]
    inputs = _inputs(law, trainings, counting)
    reasons = [_unfit(law, inputs, subset.rows) for subset in subsets]
    fitting = [subset for subset, why in zip(subsets, reasons, strict=True) if not why]
    seeds: FloatArray | None = None
    for loss_fit in plan.losses:
        labels: dict[str, Any] = {
            "approach": approach,
            "loss_fit": loss_fit,
            "parameters": counting,
        }
        fits: list[LawFit] = []
        if fitting:
            if seeds is None:
                whole = first_fit(
                    law, inputs, trainings.loss, trainings.repeats, OBJECTIVES[loss_fit], rng
                )
                found.fits.setdefault(approach, whole)
                seeds = seeds_of(whole)
            problem = make_problem(
                law, inputs, trainings.loss, OBJECTIVES[loss_fit], trainings.repeats
            )
            fits = fit_subsets(problem, [subset.rows for subset in fitting], seeds)
        fitted = iter(fits)
        for subset, unfit in zip(subsets, reasons, strict=True):
            fit = None if unfit else next(fitted)
            why = unfit if fit is None else _unclear(fit)
            if fit is None or why:
                yield from (subset.cell(why, flops=flops, **labels) for flops in trainings.cost)
                continue
            assert seeds is not None
            natural = draw_parameters(fit, found.weights, found.losses, seeds, plan.drawing)
            if np.mean(~np.isfinite(natural[:, 0])) > 0.5:
                why = "more than half of the refits failed"
                yield from (subset.cell(why, flops=flops, **labels) for flops in trainings.cost)
                continue
            prescribe = _by_size if approach == "size-law" else _by_shape
            for flops, outcomes, at_edge in prescribe(
                trainings, plan, subset.rows, counting, natural
            ):
                yield subset.cell(at_edge=at_edge, flops=flops, outcomes=outcomes, **labels)


def _inputs(law: Law, trainings: Trainings, counting: str) -> dict[str, FloatArray]:
    known = {"N": trainings.parameters[counting], "D": trainings.tokens}
    if trainings.width is not None and trainings.depth is not None:
        known |= {"width": trainings.width, "depth": trainings.depth}
    return {name: known[name] for name in law.inputs}


def _unfit(law: Law, inputs: dict[str, FloatArray], rows: NDArray[np.bool_]) -> str:
    """Why the law cannot be fitted to these rows, or ""."""
    columns = np.column_stack([values[rows] for values in inputs.values()])
    distinct = len(np.unique(columns, axis=0))
    if distinct < len(law.names) + 2:
        return f"{distinct} distinct points for {len(law.names)} parameters"
    reasons = (_hardly_varies(name, values[rows]) for name, values in inputs.items())
    return next((reason for reason in reasons if reason), "")


def _hardly_varies(name: str, values: FloatArray) -> str:
    few = len(np.unique(values)) < 3 or np.ptp(np.log(values)) < np.log(1.5)
    return f"{_WORDS[name]} hardly vary" if few else ""


def _unclear(fit: LawFit) -> str:
    """Why a fit gives no prescription, or ""."""
    named, law = fit.parameters, fit.law
    # In the law of shapes, terms may stand in for each other; the tokens must do something.
    needed = {"alpha": "size", "beta": "tokens"} if law is CHINCHILLA else {"alpha_D": "tokens"}
    flat = [word for name, word in needed.items() if named[name] <= _FLAT]
    if flat:
        return f"loss does not fall with the {' and the '.join(flat)}"
    if law is not CHINCHILLA and named["alpha_N"] <= _FLAT and named["alpha_w"] <= _FLAT:
        return "loss falls with neither size nor width"
    loose = [name for name in needed if name in fit.identification().undetermined]
    return f"the runs do not determine {', '.join(loose)}" if loose else ""


def _by_size(
    trainings: Trainings,
    plan: Plan,
    rows: NDArray[np.bool_],
    counting: str,
    natural: FloatArray,
) -> Iterator[tuple[str, dict[str, FloatArray], bool]]:
    size = trainings.parameters[counting][rows]
    for flops in trainings.cost:
        cost = trainings.cost_of(flops, counting)[rows]
        yield flops, allocate_size_law(natural, size, cost, plan.target), False


def _by_shape(
    trainings: Trainings,
    plan: Plan,
    rows: NDArray[np.bool_],
    counting: str,
    natural: FloatArray,
) -> Iterator[tuple[str, dict[str, FloatArray], bool]]:
    """Outcomes under each way of counting operations, searched for together."""
    assert trainings.width is not None and trainings.depth is not None
    size_of, costs = shape_maps(trainings, counting)
    step = np.sqrt(_EXPONENT_STEP)
    budgets = plan.target * np.array([1, 1 / step, step])
    failed = np.asarray(~np.isfinite(natural).all(axis=1))
    safe = np.where(failed[:, None], natural[0], natural)
    shape = (len(costs), len(budgets), len(natural))
    coefficients = np.array([cost.coefficients for cost in costs.values()])
    found = best_shapes(
        LAWS["shape-law"],
        np.tile(safe, (shape[0] * shape[1], 1)),
        size_of,
        np.repeat(coefficients, shape[1] * shape[2], axis=0),
        np.tile(np.repeat(budgets, shape[2]), shape[0]),
        search_bounds(trainings.width, trainings.depth, budgets.max() / trainings.tokens.min()),
    )
    parts = {
        name: np.where(failed, np.nan, getattr(found, name).reshape(shape))
        for name in ("width", "depth", "size", "tokens")
    }
    inside = found.inside.reshape(shape)[:, 0, 0]
    for way, flops in enumerate(costs):
        growth = np.log(parts["size"][way, 2] / parts["size"][way, 1]) / np.log(_EXPONENT_STEP)
        outcomes = _outcomes(growth, parts["size"][way, 0], parts["tokens"][way, 0])
        outcomes |= {name: parts[name][way, 0] for name in ("width", "depth")}
        yield flops, outcomes, not bool(inside[way])


def _outcomes(exponent: FloatArray, size: FloatArray, tokens: FloatArray) -> dict[str, FloatArray]:
    return {
        "exponent": exponent,
        "size": size,
        "tokens": tokens,
        "tokens_per_parameter": tokens / size,
    }


def allocate_size_law(
    natural: FloatArray, size: FloatArray, cost: FloatArray, target: float
) -> dict[str, FloatArray]:
    """Best size and tokens under E + A N^-alpha + B D^-beta and a cost of a token ~ N^m.

    With cost = k N^m the size M = k N^m / 6 turns the problem into the usual one: A N^-alpha is
    A (6 M / k)^(-alpha / m), and C = 6 M D.

    Parameters
    ----------
    natural
        E, A, B, alpha, beta, shape (n_fits, 5).
    size, cost
        N and operations a token of the runs, shape (n_rows,).
    target
        The budget.
    """
    factor, power = fit_power(size, cost)
    e, a, b, alpha, beta = natural.T
    with np.errstate(all="ignore"):
        inner = np.column_stack([e, a * (factor / 6) ** (alpha / power), b, alpha / power, beta])
        effective, tokens, growth = power_allocation(inner, [target])
        best = (6 * effective[:, 0] / factor) ** (1 / power)
    fine = (alpha > _FLAT) & (beta > _FLAT)
    return _outcomes(
        np.where(fine, growth / power, np.nan),
        np.where(fine, best, np.nan),
        np.where(fine, tokens[:, 0], np.nan),
    )


def shape_maps(trainings: Trainings, counting: str) -> tuple[ShapeMap, dict[str, ShapeMap]]:
    """Parameters and operations a token as functions of width and depth, from the shapes."""
    assert trainings.width is not None and trainings.depth is not None
    shapes = np.column_stack([trainings.width, trainings.depth])
    _, first = np.unique(shapes, axis=0, return_index=True)
    width, depth = trainings.width[first], trainings.depth[first]
    size_of = fit_shape_map(width, depth, trainings.parameters[counting][first])
    costs = {}
    for flops, cost in trainings.cost.items():
        if cost is None:
            costs[flops] = ShapeMap(6 * size_of.coefficients, size_of.worst)
        else:
            costs[flops] = fit_shape_map(width, depth, cost[first])
    return size_of, costs


def search_bounds(width: FloatArray, depth: FloatArray, most_cost: float) -> Bounds:
    """Ratios up to four times beyond those tried, widths up to what the budget can pay for."""
    ratio = width / depth
    widest = (most_cost * float(ratio.max()) * _REACH / 6) ** (1 / 3)  # one w^3 / ratio block
    return Bounds(
        (np.log(width.min() / _REACH), np.log(max(width.max() * _REACH, widest))),
        (np.log(ratio.min() / _REACH), np.log(ratio.max() * _REACH)),
    )


def hull_points(trainings: Trainings) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    """Compute and size of the points of the hull over all rows, and which end a training."""
    counting, flops = next(iter(trainings.parameters)), next(iter(trainings.cost))
    resource = trainings.compute(flops, counting)
    rows = lower_hull(resource, trainings.loss)
    return resource[rows], trainings.size[rows], trainings.share[rows] >= 1
