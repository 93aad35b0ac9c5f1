"""The recipe: regions of learning curves, their steepness compared, and the growth of models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd

from statlas.core import (
    Category,
    Example,
    InputError,
    Notice,
    Option,
    Result,
    Roles,
    SetAside,
    Status,
    Table,
    Value,
    recipe,
)
from statlas.core.examples import example_path
from statlas.core.learning_curves import (
    CLASSES,
    DATASET,
    ERROR,
    EXAMPLES,
    MODEL,
    REPEAT,
    SCORE,
    STANDARD_ERROR,
    TASK,
    LearningCurve,
    LearningCurves,
    read_learning_curves,
)
from statlas.core.numerics.laws.uncertainty import percentile_interval
from statlas.core.progress import track
from statlas.core.rng import Rng
from statlas.core.runs import PARAMETERS
from statlas.scaling.predictable_scaling.figure import draw_curves, draw_growth, draw_slopes
from statlas.scaling.predictable_scaling.growth import BestSizes, Growth, best_sizes, fit_growth
from statlas.scaling.predictable_scaling.law import FORMS, FloatArray
from statlas.scaling.predictable_scaling.regions import Regions, find_regions
from statlas.scaling.predictable_scaling.steepness import (
    Improvement,
    SlopeTest,
    compare_with_baseline,
    lowest_error_last,
    test_shared,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LawName = Literal[
    "auto", "power law", "saturating power law", "guess, then power law", "three regions"
]
_FEWEST_SIZES = 4  # of a curve, and of a family whose growth is asked for
_SHOWN = 16
# Weight of the forms with a region at which it counts as seen.
_SEEN = 0.95
# Residuals over measured spread at which a curve is said not to follow its law.
_CROOKED = 1.7


@dataclass(frozen=True)
class _Group:
    """Curves of one task, comparable with each other."""

    name: str
    regions: list[Regions]
    baseline: int
    test: SlopeTest | None
    improvements: list[Improvement]


@dataclass(frozen=True)
class _Family:
    """Models that differ in size only."""

    name: str
    curves: list[LearningCurve]
    sizes: FloatArray
    best: BestSizes
    growth: Growth | None


# --- from the table to curves ---------------------------------------------------------------------


def _task_of(curve: LearningCurve) -> str:
    return ", ".join(curve.labels[role] for role in ("dataset", "task") if role in curve.labels)


def _split_families(
    read: LearningCurves, rng: np.random.Generator
) -> tuple[list[LearningCurve], list[_Family]]:
    """Curves of models, the sizes of a family put together, and the families."""
    sized: dict[tuple[str, str], list[LearningCurve]] = {}
    plain = []
    for curve in read:
        if not curve.labels.get("parameters"):
            plain.append(curve)
            continue
        kin = curve.labels.get("family") or curve.labels.get("model", "models")
        sized.setdefault((_task_of(curve), kin), []).append(curve)
    families = []
    for (task, kin), curves in sized.items():
        sizes = np.array([float(curve.labels["parameters"]) for curve in curves])
        if len(np.unique(sizes)) < _FEWEST_SIZES:
            plain += curves
            continue
        best = best_sizes(curves, sizes, rng)
        name = ", ".join(part for part in (task, kin) if part)
        families.append(_Family(name, curves, sizes, best, fit_growth(best, rng)))
        plain.append(_envelope(curves, kin, name))
    return plain, families


def _envelope(curves: list[LearningCurve], kin: str, name: str) -> LearningCurve:
    """The best size at every number of examples, as one curve."""
    at: dict[float, tuple[float, float, float]] = {}
    for curve in curves:
        for place, n in enumerate(curve.n):
            point = (curve.error[place], curve.standard_error[place], curve.repeats[place])
            at[float(n)] = min(at.get(float(n), point), point, key=lambda one: one[0])
    n = np.array(sorted(at))
    error, spread, repeats = np.array([at[float(value)] for value in n]).T
    labels: dict[str, str] = {
        role: label for role, label in curves[0].labels.items() if role in ("dataset", "task")
    }
    labels["model"] = f"{kin} (best size)"
    return LearningCurve(
        f"{name} (best size)", labels, n, error, spread, repeats, curves[0].classes
    )


def _groups(
    curves: list[LearningCurve], plan: _Plan, rng: np.random.Generator
) -> tuple[list[_Group], list[LearningCurve]]:
    """Regions of all curves by task, with slopes compared; and the curves that are too short."""
    by_task: dict[str, list[LearningCurve]] = {}
    short = [curve for curve in curves if len(curve) < _FEWEST_SIZES]
    for curve in curves:
        if len(curve) >= _FEWEST_SIZES:
            by_task.setdefault(_task_of(curve), []).append(curve)
    if not by_task:
        raise InputError(
            f"no curve has {_FEWEST_SIZES} training set sizes with an error above 0",
            remedy="measure more training set sizes, or name the columns that tell curves apart",
        )
    groups = []
    for task, own in track(list(by_task.items()), "fitting curves"):
        regions = [
            find_regions(curve, rng, guess=plan.guess_of(curve), law=plan.law, n_draws=plan.draws)
            for curve in own
        ]
        groups.append(_compare(task, regions, plan))
    return groups, short


@dataclass(frozen=True)
class _Plan:
    """What is asked."""

    guess: float | None
    by_classes: bool
    law: str | None
    baseline: str | None
    margin: float
    level: float
    draws: int

    def guess_of(self, curve: LearningCurve) -> float | None:
        """Error of the best guess, where it is known."""
        if self.guess is not None or not self.by_classes or not np.isfinite(curve.classes):
            return self.guess
        return 1 - 1 / curve.classes


def _compare(task: str, regions: list[Regions], plan: _Plan) -> _Group:
    curves = [found.curve for found in regions]
    if len(curves) < 2:
        return _Group(task, regions, 0, None, [])
    baseline = lowest_error_last(curves)[0]
    if plan.baseline is not None:
        named = [
            place for place, curve in enumerate(curves)
            if plan.baseline in (curve.name, curve.labels.get("model"))
        ]  # fmt: skip
        baseline = named[0] if named else baseline
    test = test_shared(curves, [found.candidates for found in regions])
    improvements = compare_with_baseline(regions, baseline, plan.margin, plan.level)
    return _Group(task, regions, baseline, test, improvements)


# --- the table ------------------------------------------------------------------------------------


def _row(found: Regions, level: float) -> dict[str, Any]:
    curve, law = found.curve, found.chosen.form.law
    low, high = map(float, percentile_interval(found.exponents, level))
    row: dict[str, Any] = {
        **{role: label for role, label in curve.labels.items() if role != "family"},
        "sizes": len(curve),
        "from": float(curve.n[0]),
        "to": float(curve.n[-1]),
        "law": law.name,
        "exponent": found.exponent,
        "low": min(low, found.exponent),
        "high": max(high, found.exponent),
        "weight_guess": found.chance_of("guess"),
        "weight_floor": found.chance_of("floor"),
    }
    for name, end in zip(("power_begins", "floor_begins"), found.ends(), strict=True):
        value, least, most = np.nan, np.nan, np.nan
        if end is not None:
            value = end[0]
            least, most = map(float, percentile_interval(end[1], level))
        row |= {name: value, f"{name}_low": least, f"{name}_high": most}
    parameters = found.chosen.fit.parameters
    row["floor"] = parameters.get("E", np.nan)
    row["floor_low"], row["floor_high"] = np.nan, np.nan
    if "E" in parameters:
        row["floor_low"], row["floor_high"] = found.draws.interval("E", level)
    row["unexplained"] = float(np.sqrt(np.mean(found.chosen.fit.residuals**2)))
    return row


# --- the result -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ScalingOfCurves(Result):
    """Regions and steepness of learning curves; `table` has a row a curve."""

    def draw(self, figure: Figure) -> None:
        """Draw the curves of the task in focus, their slopes, and the growth of models."""
        details = self.details
        n_panels = 1 + (len(details["curves"]) > 1) + bool(details["growth"])
        axes = figure.subplots(1, n_panels, squeeze=False)[0]
        draw_curves(axes[0], details)
        if len(details["curves"]) > 1:
            draw_slopes(axes[1], details)
        if details["growth"]:
            draw_growth(axes[-1], details["growth"][0])
        height = max(4.4, 2.2 + 0.24 * len(details["curves"]))
        figure.set_size_inches((7.2, 11.0, 14.5)[n_panels - 1], height)


_EXAMPLE_MODELS = ("logistic", "naive-bayes", "knn-5", "rbf-svm", "forest", "mlp-32")


def _example() -> pd.DataFrame:
    table = pd.read_csv(example_path("learning_curves.csv"))
    rows = (table["dataset"] == "fashion") & (table["task"] == "coarse, wrong labels")
    rows &= table["model"].isin(_EXAMPLE_MODELS) | (table["family"] == "sized trees")
    kept = table[rows].drop(columns=["n_per_class", "tested", "repeats"])
    kept = kept.fillna({"parameters": 0}).rename(columns={"n": "examples"})
    return kept.reset_index(drop=True)


@recipe(
    "predictable-scaling",
    example=Example(
        loader=_example,
        about="Error of six classifiers and of decision trees of eight sizes on ten kinds of "
        "clothes, 15 % of the labels drawn at random, from 20 to 4,480 training pictures.",
        origin="Recorded with scikit-learn (BSD-3) on Fashion-MNIST (MIT).",
    ),
)
def learning_curve_regions(
    curves: Annotated[
        Table,
        Roles(
            examples=EXAMPLES,
            error=ERROR,
            score=SCORE,
            model=MODEL,
            dataset=DATASET,
            task=TASK,
            family=Category(
                optional=True,
                help="models that differ in size only",
                aliases=("model_family", "series"),
            ),
            parameters=replace(
                PARAMETERS,
                gt=None,
                ge=0,
                optional=True,
                gaps=True,
                help="weights of the model, 0 where they are not known or do not matter",
                aliases=tuple(name for name in PARAMETERS.aliases if name != "size"),
            ),
            classes=CLASSES,
            standard_error=STANDARD_ERROR,
            repeat=REPEAT,
            min_rows=_FEWEST_SIZES,
        ),
    ],
    *,
    focus: Annotated[
        str | None,
        Option(help="data set and task of the headline, as 'set, task'; by default the first"),
    ] = None,
    baseline: Annotated[
        str | None,
        Option(help="model that others are compared with; by default the one with most error"),
    ] = None,
    law: Annotated[
        LawName, Option(help="form of every curve; by default the one with the lowest BIC")
    ] = "auto",
    guess: Annotated[
        float | None, Option(gt=0, help="error of the best guess without data; else fitted")
    ] = None,
    guess_by_classes: Annotated[
        bool, Option(help="hold the best guess at 1 - 1 / classes where there are classes")
    ] = False,
    margin: Annotated[
        float, Option(gt=0, help="difference of exponents that counts as the same slope")
    ] = 0.1,
    perfect: Annotated[float, Option(gt=0, help="score of a perfect model, such as 100")] = 1.0,
    target: Annotated[
        float | None, Option(gt=0, help="error whose number of examples is asked for")
    ] = None,
    level: Annotated[float, Option(gt=0.5, lt=1, help="level of the intervals")] = 0.95,
    draws: Annotated[int, Option(ge=40, le=5000, help="bootstrap samples a curve")] = 200,
    rng: Rng = None,
) -> ScalingOfCurves:
    """Find the regions of learning curves, and whether better models are steeper or only lower.

    Parameters
    ----------
    curves
        One row a training: number of examples, error or score, and what tells curves apart.

    Returns
    -------
    ScalingOfCurves
        `table` has, a curve, the exponent with its interval, where the power law begins and the
        floor takes over, and how much speaks for either region.
    """
    generator = np.random.default_rng(rng)
    by = ("dataset", "task", "family", "model", "parameters")
    read = read_learning_curves(curves, perfect, by)
    plan = _Plan(
        guess, guess_by_classes, None if law == "auto" else law, baseline, margin, level, draws
    )
    plain, families = _split_families(read, generator)
    _check_baseline(plain, baseline)
    groups, short = _groups(plain, plan, generator)
    chosen = _choose(groups, focus)
    family = next((f for f in families if f.growth and f.name.startswith(chosen.name)), None)
    table = pd.DataFrame([_row(found, level) for group in groups for found in group.regions])
    aside = read.set_aside
    if short:
        rows = int(sum(curve.repeats.sum() for curve in short))
        aside = (*aside, SetAside(f"curve with fewer than {_FEWEST_SIZES} sizes", rows))
    status, advice = _status(chosen)
    return ScalingOfCurves(
        headline=_headline(groups, chosen, family, plan),
        table=table,
        values=tuple(_values(chosen, families, plan, target)),
        details=_details(groups, chosen, families, plan, read.unit),
        status=status,
        advice=advice,
        warnings=(*read.notices, *_notices(chosen, families)),
        set_aside=aside,
    )


def _check_baseline(curves: list[LearningCurve], baseline: str | None) -> None:
    names = {curve.labels.get("model", "") for curve in curves} | {curve.name for curve in curves}
    if baseline is not None and baseline not in names:
        some = ", ".join(repr(name) for name in sorted(names - {""})[:6])
        raise InputError(f"no model is named {baseline!r}; there are {some}")


def _choose(groups: list[_Group], focus: str | None) -> _Group:
    if focus is None:
        return next((group for group in groups if group.test is not None), groups[0])
    for group in groups:
        if focus in (group.name, group.name.split(", ")[0]):
            return group
    some = ", ".join(repr(group.name) for group in groups[:6])
    raise InputError(f"no data set and task is named {focus!r}; there are {some}")


# --- words ----------------------------------------------------------------------------------------


def _headline(groups: list[_Group], chosen: _Group, family: _Family | None, plan: _Plan) -> str:
    percent = f"{100 * plan.level:g} % interval"
    where = f"On {chosen.name[:60]}: " if chosen.name else ""
    if chosen.test is None:
        found = chosen.regions[0]
        low, high = map(float, percentile_interval(found.exponents, plan.level))
        text = (
            f"{where}the error falls as n^-{found.exponent:.3f} ({percent} {low:.3f} to {high:.3f})"
            f" in the power-law region; {_regions_in_words(found)}"
        )
    else:
        text = where + _comparison_in_words(chosen, chosen.test, plan, percent)
    if len(groups) > 1:
        tests = [group.test for group in groups if group.test is not None]
        sharing = sum(test.bic_gain > 0 for test in tests)
        if tests:
            text += f"; in {sharing} of {len(tests)} tasks a shared slope has the better BIC"
    if family is not None and family.growth is not None:
        growth = family.growth
        low, high = map(float, percentile_interval(growth.exponents, plan.level))
        text += (
            f"; the best size of {family.name.split(', ')[-1]} grows as n^{growth.exponent:.2f} "
            f"({low:.2f} to {high:.2f})"
        )
    return text[0].upper() + text[1:] + "."


def _regions_in_words(found: Regions) -> str:
    begin, end = found.ends()
    parts = []
    if begin is not None:
        parts.append(f"it begins at about {begin[0]:.3g} examples")
    if end is not None:
        floor = found.chosen.fit.parameters["E"]
        parts.append(f"a floor of {floor:.3g} takes over at about {end[0]:.3g}")
    if not parts:
        return "neither a small-data region nor a floor shows"
    return " and ".join(parts)


def _comparison_in_words(chosen: _Group, test: SlopeTest, plan: _Plan, percent: str) -> str:
    low, high = test.exponent_interval(plan.level)
    exponents = [found.exponent for found in chosen.regions]
    better = "shared slope" if test.bic_gain > 0 else "slope of each"
    rejected = "is rejected" if test.p_value < 1 - plan.level else "is not rejected"
    counts = {v: sum(i.verdict == v for i in chosen.improvements)
              for v in ("same slope", "other slope", "undecided")}  # fmt: skip
    return (
        f"one slope for all {len(chosen.regions)} models {rejected} (p = {test.p_value:.2g}; "
        f"a {better} has the lower BIC by {abs(test.bic_gain):.3g}); alone they fall as n^-"
        f"{min(exponents):.2f} to n^-{max(exponents):.2f}, together as n^-{test.exponent:.3f} "
        f"({percent} {low:.3f} to {high:.3f}); against "
        f"{chosen.regions[chosen.baseline].curve.labels.get('model', 'the baseline')}, "
        f"{counts['same slope']} have the same slope within {plan.margin:g}, "
        f"{counts['other slope']} another, {counts['undecided']} are undecided"
    )


def _values(
    chosen: _Group, families: list[_Family], plan: _Plan, target: float | None
) -> Iterator[Value]:
    how = "bootstrap of residuals over forms by their weight"
    level = plan.level
    for found in chosen.regions[:_SHOWN]:
        name = found.curve.labels.get("model", found.curve.name)
        low, high = map(float, percentile_interval(found.exponents, level))
        yield Value(f"exponent, {name}", found.exponent, low, high, level, "", how)
    if chosen.test is not None:
        low, high = chosen.test.exponent_interval(level)
        yield Value(
            "shared exponent", chosen.test.exponent, low, high, level, "", "asymptotic, joint fit"
        )
        why = "a test of the joint fit against separate ones"
        yield Value("p-value of one slope", chosen.test.p_value, why_no_interval=why)
        yield Value("BIC gained by one slope", chosen.test.bic_gain, why_no_interval=why)
        yield Value("AICc gained by one slope", chosen.test.aicc_gain, why_no_interval=why)
    best = min(chosen.regions, key=lambda found: float(found.curve.error[-1]))
    name = best.curve.labels.get("model", best.curve.name)
    for what, end in zip(("power law begins", "floor takes over"), best.ends(), strict=True):
        if end is not None:
            low, high = map(float, percentile_interval(end[1], level))
            yield Value(f"{what}, {name}", end[0], low, high, level, "examples", "bootstrap")
    if "E" in best.chosen.fit.parameters:
        low, high = best.draws.interval("E", level)
        floor = best.chosen.fit.parameters["E"]
        yield Value(f"floor, {name}", floor, low, high, level, "error", "bootstrap")
    if target is not None:
        yield _examples_value(best, name, target, level)
    for family in families:
        if family.growth is not None:
            low, high = map(float, percentile_interval(family.growth.exponents, level))
            yield Value(
                f"growth of the best size, {family.name}", family.growth.exponent, low, high,
                level, "", "bootstrap",
            )  # fmt: skip


def _examples_value(best: Regions, name: str, target: float, level: float) -> Value:
    """Examples at which the best curve comes to the target; infinite below its floor."""
    grid = np.geomspace(best.curve.n[0], 1e6 * best.curve.n[-1], 2000)

    def crossing(values: FloatArray) -> FloatArray:
        below = values <= target
        at = below.argmax(axis=1)
        return np.where(below.any(axis=1), grid[at], np.inf)

    drawn = crossing(best.draws.law.values(best.draws.values, {"x": grid}))
    at_fit = float(crossing(best.chosen.fit.predict({"x": grid})[None])[0])
    low, high = np.sort(drawn)[
        [int((1 - level) / 2 * len(drawn)), int((1 + level) / 2 * (len(drawn) - 1))]
    ]
    return Value(
        f"examples for an error of {target:g}, {name}", at_fit, float(low), float(high), level,
        "examples", "bootstrap",
    )  # fmt: skip


def _status(chosen: _Group) -> tuple[Status, str]:
    narrow = [found for found in chosen.regions if found.curve.n[-1] < 10 * found.curve.n[0]]
    if narrow:
        return (
            Status.ASSUMPTION_DOUBTFUL,
            f"{len(narrow)} of {len(chosen.regions)} curves span less than a factor of ten in "
            "examples, too little to tell a power law from its ends; measure further",
        )
    rising = [found for found in chosen.regions if found.exponent < 0.01]
    if len(rising) == len(chosen.regions):
        return (
            Status.ASSUMPTION_DOUBTFUL,
            "no curve falls over these sizes, so that there is no power law to speak of",
        )
    return Status.OK, ""


def _notices(chosen: _Group, families: list[_Family]) -> Iterator[Notice]:
    for region, word in (("guess", "a small-data"), ("floor", "an irreducible")):
        open_ = [
            found.curve.labels.get("model", found.curve.name) for found in chosen.regions
            if 1 - _SEEN < found.chance_of(region) < _SEEN
        ]  # fmt: skip
        if open_:
            yield Notice(
                f"{region}-undecided",
                f"whether there is {word} region is open for {len(open_)} of "
                f"{len(chosen.regions)} curves (such as {', '.join(open_[:3])}): their intervals "
                "of the exponent allow for both",
                "fewer examples would settle the small-data region, more the floor",
            )
    crooked = [name for name, ratio in _misfits(chosen) if ratio > _CROOKED]
    if crooked:
        yield Notice(
            "not-the-law",
            f"{len(crooked)} of {len(chosen.regions)} curves stray from their law by more than "
            f"{_CROOKED:g} times the measured spread (such as {', '.join(crooked[:3])}): their "
            "intervals are too short",
            "look at the figure: a bump or a step is no power law with ends",
        )
    loose = []
    for found in chosen.regions:
        loose += [
            f"{found.curve.labels.get('model', found.curve.name)}: {sentence}"
            for sentence in found.chosen.fit.identification().sentences(found.chosen.form.law)
            if "not determine" in sentence or "edge" in sentence
        ]
    if loose:
        yield Notice(
            "identification",
            f"{len(loose)} of {len(chosen.regions)} laws leave something open, such as {loose[0]}",
            "judge the law by its predictions within the sizes measured",
        )
    for family in families:
        if family.growth is None:
            yield Notice(
                "sizes-not-bracketed",
                f"the best size of {family.name} lies between the sizes tried at fewer than three "
                "numbers of examples, so no law of growth was fitted",
                "try smaller or larger models",
            )


def _misfits(chosen: _Group) -> Iterator[tuple[str, float]]:
    """How far curves with a known spread stray from their law, in units of the spread."""
    for found in chosen.regions:
        spread = found.curve.spread
        if np.isfinite(spread).all() and (spread > 0).all():
            fit = found.chosen.fit
            room = max(len(spread) - fit.n_free, 1)
            ratio = float(np.sqrt(np.sum((fit.residuals / spread) ** 2) / room))
            yield found.curve.labels.get("model", found.curve.name), ratio


# --- details --------------------------------------------------------------------------------------


def _details(
    groups: list[_Group], chosen: _Group, families: list[_Family], plan: _Plan, unit: str
) -> dict[str, Any]:
    order = np.argsort([found.curve.error[-1] for found in chosen.regions])[:_SHOWN]
    return {
        "task": chosen.name,
        "unit": unit,
        "level": plan.level,
        "margin": plan.margin,
        "curves": [_curve_details(chosen.regions[place], plan.level) for place in order],
        "shared": None if chosen.test is None else {
            "exponent": chosen.test.exponent,
            "interval": chosen.test.exponent_interval(plan.level),
            "p_value": chosen.test.p_value, "bic_gain": chosen.test.bic_gain,
            "aicc_gain": chosen.test.aicc_gain, "law": chosen.test.form.law.name,
        },
        "baseline": chosen.regions[chosen.baseline].curve.name,
        "improvements": [vars(one) for one in chosen.improvements],
        "tasks": [
            {"task": group.name, "models": len(group.regions),
             "p_value": group.test.p_value if group.test else None,
             "bic_gain": group.test.bic_gain if group.test else None,
             "exponent": group.test.exponent if group.test else None}
            for group in groups
        ],
        "growth": [_growth_details(f, plan.level) for f in families if f.growth is not None],
    }  # fmt: skip


def _curve_details(found: Regions, level: float) -> dict[str, Any]:
    curve = found.curve
    grid = np.geomspace(curve.n[0], 3 * curve.n[-1], 40)
    _, low, high = found.draws.predict({"x": grid}, level)
    begin, end = found.ends()
    exponent = sorted([*map(float, percentile_interval(found.exponents, level)), found.exponent])
    return {
        "name": curve.labels.get("model", curve.name),
        "n": curve.n, "error": curve.error, "spread": curve.spread,
        "grid": grid, "fitted": found.chosen.fit.predict({"x": grid}), "low": low, "high": high,
        "begin": None if begin is None else begin[0], "end": None if end is None else end[0],
        "exponent": found.exponent, "exponent_low": exponent[0], "exponent_high": exponent[-1],
        "weights": {form.law.name: weight for form, weight in _weights(found)},
    }  # fmt: skip


def _weights(found: Regions) -> Iterator[tuple[Any, float]]:
    for form in FORMS:
        yield form, next((c.weight for c in found.candidates if c.form is form), float("nan"))


def _growth_details(family: _Family, level: float) -> dict[str, Any]:
    growth = family.growth
    assert growth is not None
    best = family.best
    grid = np.geomspace(best.n[0], best.n[-1], 20)
    fitted, low, high = growth.draws.predict({"x": 1 / grid}, level)
    return {
        "name": family.name, "exponent": growth.exponent,
        "interval": list(map(float, percentile_interval(growth.exponents, level))),
        "n": best.n, "size": best.size, "spread": best.spread,
        "grid": grid, "fitted": fitted, "low": low, "high": high,
        "sizes": np.unique(family.sizes),
    }  # fmt: skip
