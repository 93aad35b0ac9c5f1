"""The recipe: a training plan from a budget of device hours."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd

from statlas.core import (
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
from statlas.core.numerics.laws import CHINCHILLA
from statlas.core.numerics.laws.uncertainty import percentile_interval
from statlas.core.numerics.transformer_costs import Recomputation
from statlas.core.progress import tell
from statlas.core.rng import Rng
from statlas.core.runs import (
    COMPUTE,
    LOSS,
    PARAMETERS,
    RUN,
    TOKENS,
    ComputeUnit,
    ParametersUnit,
    TokensUnit,
)
from statlas.scaling.million_gpu_hours.allocation import Limits
from statlas.scaling.million_gpu_hours.budget import Utilisation, utilisation_from_hours
from statlas.scaling.million_gpu_hours.figure import draw_hours, draw_shapes, draw_sizes
from statlas.scaling.million_gpu_hours.hardware import (
    ACCELERATORS,
    AcceleratorName,
    Precision,
    peak_rate,
)
from statlas.scaling.million_gpu_hours.plan import (
    AT_HOME,
    TABLE,
    FloatArray,
    Hardware,
    LawPlan,
    Plan,
    Request,
    ShapePlan,
    devices_for_state,
    make_plan,
)
from statlas.scaling.million_gpu_hours.published import PF_DAY, TRAININGS, LawName
from statlas.scaling.million_gpu_hours.reading import TableLaw, fit_table_law, read_runs
from statlas.scaling.million_gpu_hours.shapes import (
    ASPECT_RANGE,
    Architecture,
    DepthRule,
    depth_by,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LawChoice = Literal[
    "table", "chinchilla-corrected", "chinchilla-printed", "chinchilla-envelope", "llama-3",
    "kaplan", "bloom",
]  # fmt: skip
assert set(LawName.__args__) < set(LawChoice.__args__)  # type: ignore[attr-defined]

# Median and middle 95 % of 6 N D over hours x peak in the 20 published trainings with hours.
_PUBLISHED_USE = Utilisation(0.32, 0.18, 0.50)
_POOR_FIT = 2.0  # misfit of the table's law, in units of the noise
_FAR, _TOO_FAR = 30.0, 1000.0  # budget over the largest run of the table


# --- the result -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class TrainingPlan(Result):
    """A training plan; `table` has a row a candidate shape, the recommended one first."""

    def draw(self, figure: Figure) -> None:
        """Draw sizes under every law, the hours of the plan, and shapes."""
        level = self.options["level"]
        axes = figure.subplots(1, 3)
        draw_sizes(axes[0], self.details, level)
        draw_hours(axes[1], self.details, level)
        draw_shapes(axes[2], self.details)
        figure.set_size_inches(15.0, 4.8)


@recipe(
    "million-gpu-hours",
    example=Example(
        file="corpus_runs.csv",
        about="Small transformers of 6 to 64 channels trained on mixtures of text; the plan is for "
        "half an hour of one processor core.",
        origin="Recorded with torch (BSD-3) on texts of the public domain and free licences; see "
        "examples.",
        options={
            "focus": "mix",
            "accelerator": "custom",
            "peak_tflops": 0.05,
            "devices": 1,
            "hours": 0.5,
            "vocabulary_size": 97,
            "context_length": 64,
            "head_width": 8,
            "width_multiple": 8,
        },
    ),
)
def plan_training(
    runs: Annotated[
        Table | None,
        Roles(
            parameters=PARAMETERS,
            loss=LOSS,
            tokens=TOKENS,
            compute=COMPUTE,
            run=RUN,
            device_hours=Number(
                gt=0,
                optional=True,
                help="hours summed over devices; gives the utilisation",
                aliases=("gpu_hours", "accelerator_hours"),
            ),
            recipe=Category(
                optional=True,
                help="kind of training, such as the data; one is read",
                aliases=("data_recipe", "dataset", "corpus"),
            ),
            min_rows=8,
        ),
    ] = None,
    *,
    accelerator: Annotated[
        AcceleratorName, Option(help="device, whose stated peak is used; or custom")
    ] = "a100-80gb",
    precision: Annotated[Precision, Option(help="number format of the products")] = "bf16",
    devices: Annotated[int, Option(ge=1, help="number of devices")] = 384,
    hours: Annotated[float, Option(gt=0, help="hours of each device", unit="hours")] = 2604.0,
    peak_tflops: Annotated[
        float | None,
        Option(gt=0, help="peak of one device in 1e12 operations a second; stated by default"),
    ] = None,
    utilisation: Annotated[
        float | None,
        Option(gt=0, lt=1, help="share of the peak that counts towards the model (MFU)"),
    ] = None,
    utilisation_low: Annotated[
        float | None, Option(gt=0, lt=1, help="lower end of its 95 % range")
    ] = None,
    utilisation_high: Annotated[
        float | None, Option(gt=0, lt=1, help="upper end of its 95 % range")
    ] = None,
    lost: Annotated[
        float,
        Option(ge=0, lt=1, help="share of the hours lost to failures and ramp-up; the paper: 0.07"),
    ] = 0.0,
    chance: Annotated[
        float, Option(gt=0, lt=1, help="chance that the hours suffice for what is planned")
    ] = 0.5,
    law: Annotated[
        LawChoice | None,
        Option(help="law of the plan; by default the table's, or Chinchilla's re-analysis"),
    ] = None,
    tokens_available: Annotated[
        float | None, Option(gt=0, help="tokens of text there are", unit="tokens")
    ] = None,
    tokens_least: Annotated[
        float | None,
        Option(gt=0, help="tokens to train on at least, as for many languages", unit="tokens"),
    ] = None,
    epochs: Annotated[
        float, Option(gt=0, help="how often the text may be passed, where it is limited")
    ] = 4.0,
    served_tokens: Annotated[
        float, Option(ge=0, help="tokens the same budget must serve afterwards", unit="tokens")
    ] = 0.0,
    vocabulary_size: Annotated[int, Option(ge=1, help="symbols of the last layer")] = 50_304,
    context_length: Annotated[int, Option(ge=1, help="tokens a sequence")] = 2048,
    head_width: Annotated[int, Option(ge=1, help="width of an attention head")] = 128,
    width_multiple: Annotated[int, Option(ge=1, help="what the width must be divisible by")] = 128,
    tensor_parallel: Annotated[
        int, Option(ge=1, help="devices that share a block; heads are divisible by it")
    ] = 1,
    pipeline_parallel: Annotated[
        int, Option(ge=1, help="stages of the pipeline; blocks are divisible by it")
    ] = 1,
    feed_forward: Annotated[
        float, Option(gt=0, help="hidden width of feed-forward layers over the width")
    ] = 4.0,
    gated: Annotated[bool, Option(help="whether feed-forward layers have a third matrix")] = False,
    tied: Annotated[bool, Option(help="whether input and last layer share weights")] = True,
    key_value_share: Annotated[
        float, Option(gt=0, le=1, help="key and value heads over query heads")
    ] = 1.0,
    recomputation: Annotated[
        Recomputation, Option(help="what is computed a second time to save memory")
    ] = "none",
    depth_rule: Annotated[
        DepthRule, Option(help="depth by Levine et al.'s rule, or by a fixed width over depth")
    ] = "levine",
    aspect: Annotated[
        float, Option(gt=0, help="width over depth, for depth_rule='aspect'")
    ] = 128.0,
    shapes: Annotated[int, Option(ge=1, le=50, help="candidate shapes listed")] = 6,
    watts: Annotated[
        float | None, Option(gt=0, help="power of one device; stated by default", unit="W")
    ] = None,
    power_overhead: Annotated[
        float, Option(ge=1, help="power of the whole installation over that of the devices")
    ] = 1.1,
    price: Annotated[
        float | None, Option(gt=0, help="price of a device hour, in any currency")
    ] = None,
    focus: Annotated[
        str | None, Option(help="kind of training to read, where the table has several")
    ] = None,
    repeats: Annotated[
        Literal["mean", "best"],
        Option(help="rows of one size and number of tokens: all, or the one with the lowest loss"),
    ] = "mean",
    parameters_unit: ParametersUnit = 1.0,
    tokens_unit: TokensUnit = 1.0,
    compute_unit: ComputeUnit = 1.0,
    level: Annotated[float, Option(gt=0, lt=1, help="confidence level of the intervals")] = 0.95,
    draws: Annotated[int, Option(ge=50, le=20_000, help="draws of utilisation and law")] = 400,
    rng: Rng = None,
) -> TrainingPlan:
    """Plan a training from device hours: size, tokens, shape, hours, memory, energy and money.

    Parameters
    ----------
    runs
        Optional: own runs whose law is used, and whose hours give the utilisation.

    Returns
    -------
    TrainingPlan
        `table` has a row a candidate shape, the recommended one first.

    Raises
    ------
    OptionError
        For devices without the wanted format, or shapes that cannot be divided as asked.
    """
    generator = np.random.default_rng(rng)
    peak = peak_rate(accelerator, precision, peak_tflops)
    known = ACCELERATORS.get(accelerator)
    hardware = Hardware(
        known.label if known is not None else "custom device", devices, hours, peak,
        known.memory if known is not None else None,
        watts if watts is not None or known is None else known.watts,
    )  # fmt: skip
    read = None
    table_law: TableLaw | None = None
    if runs is not None:
        units = (parameters_unit, tokens_unit, compute_unit)
        read = read_runs(runs, units, focus, repeats)
        tell("fitting the table's law")
        if law in (None, TABLE):
            table_law = fit_table_law(read, draws, generator)
    chosen: str = law or (TABLE if table_law is not None else "chinchilla-corrected")
    if chosen == TABLE and table_law is None:
        raise OptionError("law 'table' needs a table of runs")
    use, from_where = _utilisation(
        (utilisation_low, utilisation, utilisation_high),
        None if read is None or read.hours is None
        else utilisation_from_hours(read.compute, read.hours, peak),
    )  # fmt: skip
    most = np.inf if tokens_available is None else tokens_available * epochs
    least = 0.0 if tokens_least is None else tokens_least
    if least > most:
        raise OptionError(
            f"option 'tokens_least' asks for {least:.3g} tokens, and {most:.3g} may be trained on"
        )
    request = Request(
        hardware, use, lost, chance, chosen, Limits(least, most, served_tokens),
        Architecture(
            vocabulary_size, context_length, head_width, width_multiple, tensor_parallel,
            pipeline_parallel, feed_forward, gated, tied, key_value_share,
        ),
        depth_rule, aspect, shapes, recomputation,
    )  # fmt: skip
    tell("planning")
    plan = make_plan(request, table_law, draws, generator)
    report = _Report(request, plan, table_law, level, from_where, power_overhead, price)
    status, advice = report.status()
    return TrainingPlan(
        headline=report.headline(),
        table=report.table(),
        values=tuple(report.values()),
        details=report.details(),
        status=status,
        advice=advice,
        warnings=tuple(report.notices()),
        set_aside=() if read is None else read.aside,
        options={"law": chosen},
    )


def _utilisation(
    given: tuple[float | None, float | None, float | None], measured: Utilisation | None
) -> tuple[Utilisation, str]:
    """Utilisation and where it comes from: given, the table's hours, or published trainings."""
    low, middle, high = given
    if middle is None and low is None and high is None:
        if measured is not None:
            return measured, "the hours of the table's runs"
        return _PUBLISHED_USE, "20 published trainings: give your own"
    base = measured if measured is not None else _PUBLISHED_USE
    if middle is None:
        ends = (low if low is not None else base.low, high if high is not None else base.high)
        middle = 0.5 * (ends[0] + ends[1])
    odds = middle / (1 - middle)
    if low is None:  # the published spread, a factor of 1.5 in the odds to either side
        low = odds / 1.5 / (1 + odds / 1.5)
    if high is None:
        high = 1.5 * odds / (1 + 1.5 * odds)
    return Utilisation(middle, low, high), "given"


@dataclass(frozen=True)
class _Report:
    """Everything that is said about one plan."""

    request: Request
    plan: Plan
    table_law: TableLaw | None
    level: float
    use_from: str
    power_overhead: float
    price: float | None

    def _interval(self, values: FloatArray) -> tuple[float, float, float]:
        low, high = percentile_interval(values[1:], self.level)
        return float(values[0]), float(low), float(high)

    def _scaled(self, values: FloatArray, factor: float) -> tuple[float, float, float]:
        value, low, high = self._interval(values)
        return value * factor, low * factor, high * factor

    @property
    def device_hours(self) -> float:
        """Hours of the budget summed over devices."""
        return self.request.hardware.devices * self.request.hardware.hours

    @property
    def chance(self) -> float:
        """Share of draws in which the plan is done within the hours."""
        return float(np.mean(self.plan.best.hours[1:] <= self.request.hardware.hours * (1 + 1e-9)))

    def headline(self) -> str:
        hardware, use, main = self.request.hardware, self.request.utilisation, self.plan.main
        compute, least, most = self._interval(self.plan.compute)
        size, small, large = self._interval(main.sizes.size)
        tokens, few, many = self._interval(main.sizes.tokens)
        shape = self.plan.best.shape
        taken, short, long = self._interval(self.plan.best.hours)
        others = [float(law.sizes.size[0]) for law in self.plan.laws]
        text = (
            f"{self.device_hours:,.7g} device hours ({hardware.label}) at {100 * use.middle:.3g} % "
            f"of the peak ({100 * use.low:.3g} to {100 * use.high:.3g} %) are {compute:.3g} FLOP "
            f"({least:.3g} to {most:.3g}); {main.label} then asks for {size:.3g} parameters "
            f"({small:.3g} to {large:.3g}) and {tokens:.3g} tokens ({few:.3g} to {many:.3g}), such "
            f"as a depth of {shape.depth} and a width of {shape.width:,} ({shape.heads} heads) on "
            f"{self.plan.best.tokens:.3g} tokens, which takes {taken:,.4g} hours ({short:,.4g} to "
            f"{long:,.4g})"
        )
        if len(others) > 1:
            text += f"; laws differ from {min(others):.3g} to {max(others):.3g} parameters"
        return text + "."

    def table(self) -> pd.DataFrame:
        rows = [self._row(place + 1, planned) for place, planned in enumerate(self.plan.shapes)]
        table = pd.DataFrame(rows)
        return table.drop(columns="loss") if table["loss"].isna().all() else table

    def _row(self, rank: int, planned: ShapePlan) -> dict[str, Any]:
        shape = planned.shape
        hours, low, high = self._interval(planned.hours)
        counted = shape.parameters if self.plan.main.counts == "all" else shape.body
        return {
            "rank": rank,
            "depth": shape.depth,
            "width": shape.width,
            "heads": shape.heads,
            "width_over_depth": shape.width / shape.depth,
            "depth_by_rule": shape.depth_by_rule,
            "parameters": shape.parameters,
            "without_vocabulary": shape.body,
            "tokens": planned.tokens,
            "tokens_per_parameter": planned.tokens / counted,
            "flops": planned.flops,
            "over_6n": shape.flops_per_token / (6 * shape.parameters) - 1,
            "recomputed_share": shape.recomputed / shape.flops_per_token - 1,
            "loss": self._loss(counted, planned.tokens),
            "hours": hours,
            "hours_low": low,
            "hours_high": high,
            "devices_for_state": devices_for_state(shape.parameters, self.request.hardware.memory),
        }

    def _loss(self, size: float, tokens: float) -> float:
        """Loss that the plan's law gives the shape."""
        from statlas.scaling.million_gpu_hours.published import LAWS, LossLaw

        main = self.plan.main
        at = {"N": np.array([size]), "D": np.array([tokens])}
        if main.name == TABLE:
            assert self.table_law is not None
            return float(self.table_law.fit.predict(at)[0])
        law = LAWS[main.name]
        if isinstance(law, LossLaw):
            return float(CHINCHILLA.values([law.parameters], at)[0, 0])
        return float("nan")

    def values(self) -> Iterator[Value]:
        hardware, use, level = self.request.hardware, self.request.utilisation, self.level
        how = "draws of utilisation and law together"
        yield Value(
            "utilisation of the peak", use.middle, use.low, use.high, 0.95,
            method=f"from {self.use_from}",
        )  # fmt: skip
        compute = self._interval(self.plan.compute)
        by_use = "draws of utilisation"
        yield Value("budget", *compute, level, unit="FLOP", method=by_use)
        yield Value(
            "budget in PF-days", *self._scaled(self.plan.compute, 1 / PF_DAY), level,
            unit="PF-days", method=by_use,
        )  # fmt: skip
        yield Value(
            "device hours given", self.device_hours, unit="hours", why_no_interval="given",
        )  # fmt: skip
        for law in self.plan.laws:
            yield from self._law_values(law, how)
        if self.table_law is not None and np.isfinite(self.table_law.misfit):
            yield Value(
                "misfit of the table's law over the noise", self.table_law.misfit,
                why_no_interval="a ratio of root mean squares over all rows",
            )  # fmt: skip
        best = self.plan.best
        yield Value(
            "hours of the plan", *self._interval(best.hours), level, unit="hours", method=by_use
        )
        hours = self._scaled(best.hours, hardware.devices)
        yield Value("device hours of the plan", *hours, level, unit="hours", method=by_use)
        yield Value(
            "chance that the hours suffice", self.chance,
            why_no_interval="a share of the draws of utilisation",
        )  # fmt: skip
        shape = best.shape
        for name, number, unit in (
            ("depth", shape.depth, "blocks"),
            ("width", shape.width, ""),
            ("heads", shape.heads, "heads"),
            ("parameters of the shape", shape.parameters, "parameters"),
            ("tokens of the plan", best.tokens, "tokens"),
            ("FLOP of the plan", best.flops, "FLOP"),
            ("training cost over 6 N", shape.flops_per_token / 6 / shape.parameters, ""),
            (
                "utilisation of the hardware with recomputation",
                use.middle * shape.recomputed / shape.flops_per_token, "",
            ),
            (
                "devices to hold weights and optimiser",
                devices_for_state(shape.parameters, hardware.memory), "devices",
            ),
        ):  # fmt: skip
            yield Value(name, number, unit=unit, why_no_interval="follows from the shape chosen")
        if hardware.watts is not None:
            power = hardware.watts * self.power_overhead / 1e6 * hardware.devices
            energy = self._scaled(best.hours, power)
            yield Value(
                "energy", *energy, level, unit="MWh",
                method=f"{hardware.watts:g} W a device x {self.power_overhead:g}, {by_use}",
            )  # fmt: skip
        if self.price is not None:
            cost = self._scaled(best.hours, self.price * hardware.devices)
            yield Value("price", *cost, level, unit="currency of the price", method=by_use)

    def _law_values(self, law: LawPlan, how: str) -> Iterator[Value]:
        note = how if law.law_uncertain else "draws of utilisation; the law is taken as exact"
        for name, values, unit in (
            ("best size", law.sizes.size, "parameters"),
            ("best number of tokens", law.sizes.tokens, "tokens"),
            ("tokens per parameter", law.sizes.tokens / law.sizes.size, "tokens"),
            ("loss", law.sizes.loss, "loss"),
        ):
            if np.isfinite(values[0]):
                yield Value(
                    f"{name}, {law.label}", *self._interval(values), self.level, unit=unit,
                    method=note,
                )  # fmt: skip

    def status(self) -> tuple[Status, str]:
        if self.table_law is None:
            return Status.OK, ""
        if not self.table_law.fit.converged:
            return Status.NOT_CONVERGED, "the table's law did not converge; remove runs far off"
        if doubts := list(self._doubts(self.table_law)):
            return Status.ASSUMPTION_DOUBTFUL, "; ".join(doubts)
        return Status.OK, ""

    def _doubts(self, law: TableLaw) -> Iterator[str]:
        """What speaks against the table's law, each with what to do."""
        if open_ := law.fit.identification().undetermined:
            yield (
                f"the table's runs do not determine {', '.join(open_)} of the law "
                f"{CHINCHILLA.text}: the plan's intervals show what is left; add runs, or compare "
                "with a published law"
            )
        if law.misfit > _POOR_FIT:
            yield (
                f"the law misses the table's losses by {law.misfit:.2g} times their noise between "
                "repeated runs, so its form does not hold over all of them and its plan is "
                "doubtful: keep to runs nearer to the best sizes and beyond the warm-up"
            )
        if self._beyond > _TOO_FAR:
            yield (
                f"the budget is {self._beyond:.3g} times that of the table's largest run: nothing "
                "in the table shows that its law holds there; plan an intermediate step first"
            )

    @property
    def _beyond(self) -> float:
        """The budget over the largest run of the table."""
        assert self.table_law is not None
        return float(self.plan.compute[0] / self.table_law.compute.max())

    def notices(self) -> Iterator[Notice]:
        request, best = self.request, self.plan.best
        if self.use_from.startswith("20 published"):
            yield Notice(
                "utilisation",
                f"the utilisation ({100 * request.utilisation.low:.3g} to "
                f"{100 * request.utilisation.high:.3g} %) is that of published trainings on "
                "hundreds of devices",
                "measure your own in a short run and give it as utilisation",
            )
        if self.table_law is not None and self._beyond > _FAR:
            yield Notice(
                "extrapolation",
                f"the budget is {self._beyond:.3g} times that of the table's largest run",
                "intervals do not say whether the law holds so far out",
            )
        if self.table_law is not None:
            for sentence in self.table_law.fit.identification().sentences(CHINCHILLA)[:3]:
                yield Notice("identification", sentence, "judge the law by the plan's intervals")
        elif not AT_HOME[0] <= self.plan.compute[0] <= AT_HOME[1]:
            yield Notice(
                "extrapolation",
                f"published laws were fitted to trainings of about 1e18 to 1e22 FLOP; the budget "
                f"is {self.plan.compute[0]:.3g}",
                "fit a law to runs of your own",
            )
        if self.plan.main.sizes.tokens[0] >= request.limits.most_tokens * (1 - 1e-6):
            yield Notice(
                "data-limit",
                f"the law asks for more than the {request.limits.most_tokens:.3g} tokens that may "
                "be trained on; all are used, and the rest of the budget buys parameters",
                "look for more text, or spend less",
            )
        if self.plan.main.sizes.tokens[0] <= request.limits.least_tokens * (1 + 1e-6):
            yield Notice(
                "data-floor",
                f"the law asks for fewer than the {request.limits.least_tokens:.3g} tokens to be "
                "trained on at least, so the model is smaller than it would have it",
            )
        if not best.shape.in_range:
            low, high = ASPECT_RANGE
            yield Notice(
                "aspect",
                f"width over depth is {best.shape.width / best.shape.depth:.3g}, outside the "
                f"{low:g} to {high:g} in which shape was found to matter little",
                "compare the other shapes, or set depth_rule='aspect'",
            )
        counted = best.shape.parameters if self.plan.main.counts == "all" else best.shape.body
        off = counted / float(self.plan.main.sizes.size[0]) - 1
        if abs(off) > 0.05:
            yield Notice(
                "size",
                f"the nearest shape has {100 * off:+.0f} % of the parameters asked for",
                "lower head_width or width_multiple",
            )
        state = devices_for_state(best.shape.parameters, request.hardware.memory)
        if state > request.hardware.devices:
            yield Notice(
                "memory",
                f"weights, gradients and optimiser fill {state:.0f} devices, and there are "
                f"{request.hardware.devices}",
                "plan a smaller model, more devices, or keep the optimiser elsewhere",
            )
        for refusal in self.plan.refusals:
            yield Notice("laws-left-out", refusal)

    def details(self) -> dict[str, Any]:
        best, request = self.plan.best, self.request
        planned, low, high = self._interval(self.plan.compute)
        _, short, long = self._interval(best.hours)
        published = [
            {"name": t.name, "width": float(np.asarray(t.shape.width)),
             "depth": float(np.asarray(t.shape.depth))}
            for t in TRAININGS
        ]  # fmt: skip
        widths = np.geomspace(4, 1e6, 120)
        rule = [depth_by(request.rule, request.aspect, float(width)) for width in widths]
        label = (
            "depth by Levine et al." if request.rule == "levine"
            else f"width / depth = {request.aspect:g}"
        )  # fmt: skip
        quantiles = np.linspace(0.005, 0.995, 100)
        return {
            "budget": {"planned": planned, "low": low, "high": high},
            "laws": [self._law(law) for law in self.plan.laws],
            "hours": np.quantile(best.hours[1:], quantiles).tolist(),
            "hours_interval": [short, long],
            "hours_available": request.hardware.hours,
            "shapes": [{"width": s.shape.width, "depth": s.shape.depth} for s in self.plan.shapes],
            "published": published,
            "rule": [widths.tolist(), rule],
            "rule_label": label,
            "aspect_range": list(ASPECT_RANGE),
            "source": self.plan.main.source,
        }

    def _law(self, law: LawPlan) -> dict[str, Any]:
        size, small, large = self._interval(law.sizes.size)
        tokens, few, many = self._interval(law.sizes.tokens)
        return {
            "name": law.name, "label": law.label, "source": law.source, "size": size,
            "size_low": small, "size_high": large, "tokens": tokens, "tokens_low": few,
            "tokens_high": many,
        }  # fmt: skip
