"""The recipe: a law in width and depth, and how its advice moves with the analysis."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from statlas.core import (
    AssumptionError,
    Category,
    Example,
    Notice,
    Number,
    Option,
    OptionError,
    Result,
    Roles,
    Status,
    Table,
    Value,
    recipe,
)
from statlas.core.numerics.laws import LawFit
from statlas.core.numerics.laws.misfit import lack_of_fit
from statlas.core.rng import Rng
from statlas.core.runs import (
    COMPUTE,
    CONTEXT,
    DEPTH,
    LOSS,
    PARAMETERS,
    RUN,
    TOKENS,
    VOCABULARY,
    WIDTH,
    ComputeUnit,
    ParametersUnit,
    TokensUnit,
)
from statlas.scaling.gemstones.accounting import Counted, FloatArray
from statlas.scaling.gemstones.cells import (
    FACTOR_WORDS,
    LAWS,
    Approach,
    Cell,
    Checkpoints,
    LossFit,
    Multiverse,
    Plan,
    Sizes,
    hull_points,
    run_multiverse,
    shape_maps,
)
from statlas.scaling.gemstones.figure import draw_curve, draw_lines, draw_shapes, draw_shares
from statlas.scaling.gemstones.fits import Drawing
from statlas.scaling.gemstones.reading import Trainings, read_trainings
from statlas.scaling.gemstones.shares import Shares
from statlas.scaling.gemstones.summary import (
    Design,
    Shift,
    cell_table,
    choose_baseline,
    interval_of,
    make_design,
    sampling_spread,
    share_interval,
    shares_of,
    shifts_of,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Outcome = Literal["tokens_per_parameter", "exponent", "size", "tokens", "width", "depth"]

_LABELS = {
    "tokens_per_parameter": ("tokens per parameter at the target", "tokens"),
    "exponent": ("exponent of size", ""),
    "size": ("best size at the target", "parameters"),
    "tokens": ("best number of tokens at the target", "tokens"),
    "width": ("best width at the target", ""),
    "depth": ("best depth at the target", "blocks"),
}
_MIDDLE = 0.8  # share of the analyses that the range in the headline holds
_POOR_FIT = 2.0  # misfit of a law, in units of the noise
_POOR_MAP = 0.05  # relative error of parameters from width and depth


# --- the result -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class PrescriptionMultiverse(Result):
    """What every sensible analysis prescribes; `table` has a row an analysis."""

    def draw(self, figure: Figure) -> None:
        """Draw best sizes, the ordered analyses, the shares of the choices, and best shapes."""
        details, level = self.details, self.options["level"]
        panels: list[Callable[[Any], None]] = [
            lambda axis: draw_lines(axis, details),
            lambda axis: draw_curve(axis, details, level),
        ]
        if details["shares"]:
            panels.append(lambda axis: draw_shares(axis, details["shares"], level))
        if details["shapes"] is not None and any(c["width"] for c in details["cells"]):
            panels.append(lambda axis: draw_shapes(axis, details))
        rows = 1 if len(panels) < 4 else 2
        figure.set_size_inches(5.4 * -(-len(panels) // rows), 4.4 * rows)
        axes = figure.subplots(rows, -(-len(panels) // rows), squeeze=False).ravel()
        for axis, panel in zip(axes, panels, strict=True):
            panel(axis)


@recipe(
    "gemstones",
    example=Example(
        file="corpus_runs.csv",
        about="Small transformers of 6 to 64 channels and 1 to 8 blocks trained on an even mix of "
        "prose, code, mails and German messages, three times each; losses at 7 checkpoints.",
        origin="Recorded with torch (BSD-3) on texts of the public domain and free licences; see "
        "examples.",
        options={
            "focus": "mix",
            "vocabulary_size": 97,
            "context_length": 64,
            "draws": 30,
        },
    ),
)
def width_depth_multiverse(
    runs: Annotated[
        Table,
        Roles(
            parameters=PARAMETERS,
            loss=LOSS,
            tokens=TOKENS,
            compute=COMPUTE,
            width=WIDTH,
            depth=DEPTH,
            vocabulary=VOCABULARY,
            context=CONTEXT,
            run=RUN,
            stage=Category(
                optional=True,
                help="stage of the schedule, such as constant or cooled down",
                aliases=("phase", "schedule_stage", "cooldown"),
            ),
            hours=Number(
                gt=0,
                optional=True,
                help="device hours up to the checkpoint",
                aliases=("gpu_hours", "device_hours", "GPU_hours"),
            ),
            recipe=Category(
                optional=True,
                help="kind of training, such as the data; one is analysed",
                aliases=("data_recipe", "dataset", "corpus"),
            ),
            min_rows=8,
        ),
    ],
    *,
    target: Annotated[
        float | None,
        Option(gt=0, help="budget to plan for; ten times the largest by default", unit="FLOP"),
    ] = None,
    outcome: Annotated[
        Outcome, Option(help="what the shares of variance and the headline are about")
    ] = "tokens_per_parameter",
    focus: Annotated[
        str | None, Option(help="kind of training to analyse, where there are several")
    ] = None,
    approaches: Annotated[
        tuple[Approach, ...],
        Option(
            help="lines through the hull of compute and loss; the law in N and D; the law in "
            "width, depth, N and D"
        ),
    ] = ("hull", "size-law", "shape-law"),
    losses: Annotated[
        tuple[LossFit, ...],
        Option(
            help="Huber's function of log residuals with a threshold, squares of log residuals, "
            "or squares; the first is the baseline's"
        ),
    ] = ("huber-1e-4", "huber-1e-3", "squares-log"),
    checkpoints: Annotated[
        tuple[Checkpoints, ...],
        Option(
            help="rows analysed: all, the early or late part of each training, its last, those "
            "near the hull, or each stage by itself"
        ),
    ] = ("all", "early", "late", "final", "stages"),
    sizes: Annotated[
        tuple[Sizes, ...], Option(help="sizes analysed: all, or without the largest or smallest")
    ] = ("all", "without-largest", "without-smallest"),
    least_tokens: Annotated[
        float,
        Option(ge=0, help="checkpoints with fewer are left out, as in a warm-up", unit="tokens"),
    ] = 0.0,
    split: Annotated[
        float, Option(gt=0, lt=1, help="share of a training's tokens that counts as early")
    ] = 0.35,
    held_out: Annotated[
        float, Option(gt=0, lt=0.7, help="share of the distinct sizes that is held out")
    ] = 0.25,
    margin: Annotated[
        float, Option(gt=0, lt=1, help="how far above the hull, relatively, counts as near it")
    ] = 0.02,
    counted: Annotated[
        Counted,
        Option(
            help="weights that the column of parameters counts: blocks and last layer, blocks "
            "alone (body), or all with an input embedding"
        ),
    ] = "last-layer",
    vocabulary_size: Annotated[
        int | None, Option(ge=1, help="symbols of the last layer, without a column of them")
    ] = None,
    context_length: Annotated[
        int | None, Option(ge=1, help="tokens a sequence, without a column of them")
    ] = None,
    level: Annotated[float, Option(gt=0, lt=1, help="confidence level of the intervals")] = 0.95,
    drawing: Annotated[
        Drawing, Option(help="draws of the laws: a few steps from the fit, or refits to the end")
    ] = "few-steps",
    draws: Annotated[int, Option(ge=20, le=10_000, help="bootstrap draws of trainings")] = 200,
    parameters_unit: ParametersUnit = 1.0,
    tokens_unit: TokensUnit = 1.0,
    compute_unit: ComputeUnit = 1.0,
    rng: Rng = None,
) -> PrescriptionMultiverse:
    """Fit laws in width and depth, and see how the advice moves with each choice of the analysis.

    Parameters
    ----------
    runs
        One row a checkpoint, at least five trainings.

    Returns
    -------
    PrescriptionMultiverse
        `table` has a row an analysis: its choices, exponent, best size, tokens and shape.

    Raises
    ------
    AssumptionError
        If no analysis gives a prescription.
    """
    generator = np.random.default_rng(rng)
    trainings = read_trainings(
        runs,
        (parameters_unit, tokens_unit, compute_unit),
        counted,
        focus,
        {"vocabulary": vocabulary_size, "context": context_length},
        least_tokens,
    )
    chosen = _approaches(approaches, trainings)
    compute = trainings.compute(next(iter(trainings.cost)), next(iter(trainings.parameters)))
    goal = 10 * float(compute.max()) if target is None else target
    plan = Plan(chosen, losses, checkpoints, sizes, split, held_out, margin, goal, drawing)
    found = run_multiverse(trainings, plan, draws, generator)
    baseline = choose_baseline(found.cells, plan)
    if baseline is None:
        raise AssumptionError(_no_answer(found.cells))
    wanted: str = outcome if baseline.has(outcome) else "tokens_per_parameter"
    if wanted != outcome:
        raise OptionError(
            f"outcome {outcome!r} needs the law in width and depth, which these runs do not give"
        )
    design = make_design(found.cells, plan, outcome, baseline)
    shares = shares_of(design) if len(design.factors) else None
    report = _Report(trainings, plan, found, baseline, design, shares, outcome, level, compute)
    status, advice = report.status()
    return PrescriptionMultiverse(
        headline=report.headline(),
        table=cell_table(found, level),
        values=tuple(report.values()),
        details=report.details(),
        status=status,
        advice=advice,
        warnings=tuple(report.notices()),
        set_aside=trainings.aside,
        options={"target": goal},
    )


def _approaches(wanted: tuple[Approach, ...], trainings: Trainings) -> tuple[Approach, ...]:
    if trainings.width is not None:
        return wanted
    kept: tuple[Approach, ...] = tuple(a for a in wanted if a != "shape-law")
    if not kept:
        raise AssumptionError(f"there is no law in width and depth: {trainings.why_no_shape}")
    return kept


def _no_answer(cells: list[Cell]) -> str:
    reasons = Counter(cell.why_not for cell in cells).most_common(3)
    said = "; ".join(f"{reason} ({count})" for reason, count in reasons)
    return f"none of {len(cells)} analyses gives a prescription: {said}"


@dataclass(frozen=True)
class _Report:
    """Everything that is said about one multiverse."""

    trainings: Trainings
    plan: Plan
    found: Multiverse
    baseline: Cell
    design: Design
    shares: Shares | None
    outcome: str
    level: float
    compute: FloatArray

    @property
    def answered(self) -> list[Cell]:
        """Analyses that have the outcome."""
        return [cell for cell in self.found.cells if cell.has(self.outcome)]

    @property
    def range(self) -> tuple[float, float, float]:
        """Median, and ends of the middle of the analyses."""
        tail = (1 - _MIDDLE) / 2
        values = np.array([cell.outcomes[self.outcome][0] for cell in self.answered])
        low, median, high = np.quantile(values, [tail, 0.5, 1 - tail])
        return float(median), float(low), float(high)

    @property
    def spreads(self) -> tuple[float, float]:
        """Standard deviation over analyses, and that of sampling, of the (log) outcome."""
        over = float(np.std(self.design.values[0]))
        return over, sampling_spread(self.design)

    def ranked(self) -> list[tuple[str, int]]:
        """The factors by their total share, with their place."""
        if self.shares is None or not self.shares.variance[0] > 0:
            return []
        order = np.argsort(-self.shares.total[0], kind="stable")
        return [(self.design.factors[place], int(place)) for place in order]

    def headline(self) -> str:
        label, _ = _LABELS[self.outcome]
        value, low, high = interval_of(self.baseline.outcomes[self.outcome], self.level)
        _, least, most = self.range
        text = (
            f"Over {len(self.answered)} analyses of the same runs the {label} "
            f"({self.plan.target:.3g} FLOP) goes from {least:.3g} to {most:.3g} (middle "
            f"{100 * _MIDDLE:g} %); the baseline says {value:.3g} ({100 * self.level:g} % interval "
            f"{low:.3g} to {high:.3g})"
        )
        over, sampling = self.spreads
        if self.outcome == "exponent":
            text += f"; choices spread it by {over:.2g}, sampling by {sampling:.2g}"
        else:
            text += (
                f"; choices spread it by a factor of {np.exp(over):.3g}, drawing the trainings "
                f"anew by {np.exp(sampling):.3g}"
            )
        ranked = self.ranked()
        if ranked:
            name, place = ranked[0]
            assert self.shares is not None
            share, start, end = share_interval(self.shares.total[:, place], self.level)
            text += (
                f"; {FACTOR_WORDS[name]} moves it most ({100 * share:.0f} % of the variance, "
                f"{100 * start:.0f} to {100 * end:.0f} %)"
            )
        if self.baseline.has("width"):
            width, thin, wide = interval_of(self.baseline.outcomes["width"], self.level)
            depth, flat, deep = interval_of(self.baseline.outcomes["depth"], self.level)
            text += (
                f"; the law in shape asks for a width of {width:.3g} ({thin:.3g} to {wide:.3g}) "
                f"and a depth of {depth:.3g} ({flat:.3g} to {deep:.3g})"
            )
        return text + "."

    def values(self) -> Iterator[Value]:
        how = f"bootstrap of whole trainings, {self.plan.drawing}"
        for outcome, (label, unit) in _LABELS.items():
            if self.baseline.has(outcome):
                yield Value(
                    f"{label}, baseline",
                    *interval_of(self.baseline.outcomes[outcome], self.level),
                    self.level, unit=unit, method=how, why_no_interval="too few draws have it",
                )  # fmt: skip
        if self.baseline.has("width"):
            ratio = self.baseline.outcomes["width"] / self.baseline.outcomes["depth"]
            yield Value(
                "width over depth at the target, baseline", *interval_of(ratio, self.level),
                self.level, method=how, why_no_interval="too few draws have it",
            )  # fmt: skip
        median, low, high = self.range
        label, unit = _LABELS[self.outcome]
        yield Value(
            f"{label}, over analyses", median, low, high, _MIDDLE, unit=unit,
            method="median and middle of the analyses, each counting once",
        )  # fmt: skip
        over, sampling = self.spreads
        yield Value(
            "spread by choices over spread by sampling", over / sampling if sampling else np.nan,
            why_no_interval="a ratio of standard deviations of the outcome, logarithms but for "
            "exponents",
        )  # fmt: skip
        yield from self._share_values(how)
        for shift in shifts_of(self.design):
            drawn = shift.draws if self.outcome == "exponent" else np.exp(shift.draws)
            what = "shift" if self.outcome == "exponent" else "factor"
            yield Value(
                f"{what} of the outcome, {FACTOR_WORDS[shift.factor]}: {shift.level} instead of "
                f"{shift.reference}",
                *interval_of(drawn, self.level), self.level, method=f"{how}, the same draws in "
                "all analyses", why_no_interval="no pair of analyses, or too few draws",
            )  # fmt: skip
        yield Value(
            "analyses with a prescription", len(self.answered), unit="analyses",
            why_no_interval=f"a count, of {len(self.found.cells)}",
        )  # fmt: skip
        for approach, times in self.misfits():
            if np.isfinite(times):
                yield Value(
                    f"misfit of the {approach} over the noise", times,
                    why_no_interval="a ratio of root mean squares over all rows",
                )  # fmt: skip
        yield from self._law_values()

    def _share_values(self, how: str) -> Iterator[Value]:
        ranked = self.ranked()
        for name, place in ranked:
            assert self.shares is not None
            for kind, drawn in (("in all", self.shares.total), ("alone", self.shares.alone)):
                yield Value(
                    f"variance share {kind}, {FACTOR_WORDS[name]}",
                    *share_interval(drawn[:, place], self.level), self.level,
                    method=f"over analyses; {how}", why_no_interval="too few draws have it",
                )  # fmt: skip
        if ranked:
            assert self.shares is not None
            first = self.shares.total[1:].argmax(axis=1) == ranked[0][1]
            yield Value(
                "share of draws in which the same choice moves it most", float(first.mean()),
                why_no_interval=f"the choice is {FACTOR_WORDS[ranked[0][0]]}",
            )  # fmt: skip

    def _law_values(self) -> Iterator[Value]:
        approach = self.baseline.choices["approach"]
        if approach not in self.found.fits:
            return
        for row in self.found.fits[approach].rows():
            yield Value(
                f"{row['parameter']} ({approach})", row["estimate"], row["low"], row["high"], 0.95,
                unit="loss" if row["parameter"] == "E" else "",
                method="asymptotic, rows taken as independent, all rows",
            )  # fmt: skip

    def status(self) -> tuple[Status, str]:
        approach = self.baseline.choices["approach"]
        fit = self.found.fits.get(approach)
        if fit is not None and not fit.converged:
            return Status.NOT_CONVERGED, "the baseline's fit did not converge; remove runs far off"
        doubts = [] if fit is None else list(self._doubts(approach, fit))
        if doubts:
            return Status.ASSUMPTION_DOUBTFUL, "; ".join(doubts)
        if self.baseline.at_edge:
            return Status.ASSUMPTION_DOUBTFUL, (
                "the baseline's best shape lies at an end of the shapes searched (one block, or "
                "four times beyond the ratios tried), so the law has no best shape within; add "
                "such shapes"
            )
        if len(self.answered) < 0.5 * len(self.found.cells):
            return Status.ASSUMPTION_DOUBTFUL, (
                f"only {len(self.answered)} of {len(self.found.cells)} analyses give a "
                "prescription (see the table's notes); the others ask more of the runs than they "
                "hold"
            )
        return Status.OK, ""

    def _doubts(self, approach: str, fit: LawFit) -> Iterator[str]:
        """What speaks against the baseline's law, each with what to do."""
        seen = fit.identification()
        if open_ := list(dict.fromkeys([*seen.undetermined, *seen.at_edge])):
            yield (
                f"the runs do not determine {', '.join(open_)} of the law {LAWS[approach].text}: "
                "judge it by its prescriptions and their intervals, or add shapes that differ "
                "more and longer trainings"
            )
        times = dict(self.misfits())[approach]
        if times > _POOR_FIT:
            yield (
                f"it misses the mean losses by {times:.2g} times their noise, so its form does not "
                "hold over all these checkpoints: set early ones aside with least_tokens, or rely "
                "on the hull within the budgets tried"
            )

    def notices(self) -> Iterator[Notice]:
        if np.isfinite(self.trainings.ratio) and not 0.5 <= self.trainings.ratio <= 2:
            yield Notice(
                "units",
                f"the column of compute is {self.trainings.ratio:.3g} times 6 x parameters x "
                "tokens (median)",
                "check the units: parameters_unit, tokens_unit, compute_unit",
            )
        if self.trainings.why_no_shape and "shape-law" not in self.plan.approaches:
            yield Notice(
                "no-shape", f"no law in width and depth: {self.trainings.why_no_shape}",
                "train shapes in which width and depth vary apart",
            )  # fmt: skip
        reasons = Counter(cell.why_not for cell in self.found.cells if cell.why_not)
        for reason, count in reasons.most_common(4):
            what = "analysis has" if count == 1 else "analyses have"
            yield Notice("analyses-left-out", f"{count} {what} no prescription: {reason}")
        _, _, last = hull_points(self.trainings)
        if "hull" in self.plan.approaches and last.mean() > 0.5 and self._several_checkpoints:
            yield Notice(
                "hull-ends",
                f"{int(last.sum())} of {len(last)} points of the hull are the last checkpoints of "
                "their trainings: longer trainings of smaller models might lie below it, so the "
                "hull's sizes are pushed up by the lengths that were tried",
                "train small models longer, or rely on the laws",
            )
        if self.plan.target > 30 * self.compute.max():
            yield Notice(
                "extrapolation",
                f"the target is {self.plan.target / self.compute.max():.3g} times the largest "
                "budget in the table",
                "intervals do not say whether the laws hold so far out",
            )
        for approach, times in self.misfits():
            if times > _POOR_FIT:
                yield Notice(
                    "poor-fit",
                    f"the law {LAWS[approach].text} misses the mean losses by {times:.2g} times "
                    "their noise between repeated trainings (root mean squares)",
                    "its form does not hold over all these checkpoints, so its advice, beyond them "
                    "above all, is doubtful",
                )
        approach = self.baseline.choices["approach"]
        if approach in self.found.fits:
            seen = self.found.fits[approach].identification()
            for sentence in seen.sentences(LAWS[approach])[:4]:
                yield Notice("identification", sentence, "judge the law by its prescriptions")
        if self.trainings.width is not None and "shape-law" in self.plan.approaches:
            size_of, _ = shape_maps(self.trainings, next(iter(self.trainings.parameters)))
            if size_of.worst > _POOR_MAP:
                yield Notice(
                    "shape-map",
                    f"parameters follow from width and depth only to {100 * size_of.worst:.0f} %",
                    "shapes may differ in more than width and depth; best shapes are rougher",
                )

    def misfits(self) -> Iterator[tuple[str, float]]:
        """How far each law lies from the losses, in units of their noise between repeats."""
        rows = self.trainings.row
        for approach, fit in self.found.fits.items():
            prepared = {name: fit.problem.prepared[name] for name in fit.law.inputs}
            fitted = np.log(fit.predict(prepared))[rows]
            yield approach, lack_of_fit(fitted - np.log(self.trainings.losses), rows)

    @property
    def _several_checkpoints(self) -> bool:
        return bool(np.mean(self.trainings.share >= 1) < 0.5)

    def details(self) -> dict[str, Any]:
        best: dict[str, float] | None = None
        if self.baseline.has("width"):
            best = {}
            for name in ("width", "depth"):
                value, low, high = interval_of(self.baseline.outcomes[name], self.level)
                best |= {name: value, f"{name}_low": low, f"{name}_high": high}
        shapes = None
        if self.trainings.width is not None and self.trainings.depth is not None:
            tried = np.unique(np.column_stack([self.trainings.width, self.trainings.depth]), axis=0)
            shapes = tried.T.tolist()
        return {
            "target": self.plan.target,
            "compute_range": [float(self.compute.min()), float(self.compute.max())],
            "hull": [part.tolist() for part in hull_points(self.trainings)[:2]],
            "outcome": self.outcome,
            "outcome_label": _LABELS[self.outcome][0],
            "log": self.outcome != "exponent",
            "baseline": {
                **self.baseline.choices,
                "size": float(self.baseline.outcomes["size"][0]),
                "exponent": float(self.baseline.outcomes["exponent"][0]),
            },
            "cells": [self._cell(cell) for cell in self.answered],
            "shares": [self._share(name, place) for name, place in self.ranked()],
            "shifts": [self._shift(shift) for shift in shifts_of(self.design)],
            "shapes": shapes,
            "best_shape": best,
        }

    def _cell(self, cell: Cell) -> dict[str, Any]:
        value, low, high = interval_of(cell.outcomes[self.outcome], self.level)
        at_data = {
            name: float(cell.outcomes[name][0]) if cell.has(name) else None
            for name in ("size", "exponent", "width", "depth")
        }
        return {
            **cell.choices, **at_data, "outcome": value, "low": low, "high": high,
            "baseline": cell is self.baseline,
        }  # fmt: skip

    def _share(self, name: str, place: int) -> dict[str, Any]:
        assert self.shares is not None
        total, low, high = share_interval(self.shares.total[:, place], self.level)
        return {
            "factor": name,
            "words": FACTOR_WORDS[name],
            "total": total,
            "low": low,
            "high": high,
            "alone": float(self.shares.alone[0, place]),
        }

    def _shift(self, shift: Shift) -> dict[str, Any]:
        value, low, high = interval_of(shift.draws, self.level)
        return {
            "factor": shift.factor, "level": shift.level, "reference": shift.reference,
            "shift": value, "low": low, "high": high,
        }  # fmt: skip
