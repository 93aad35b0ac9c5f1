"""The recipe: how many examples a target error asks for, from the first points of a curve."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd

from statlas.core import (
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
from statlas.scaling.piecewise_power_law.baselines import fit_power_law, power_law_examples
from statlas.scaling.piecewise_power_law.collection import Need, examples_at, find_need
from statlas.scaling.piecewise_power_law.figure import draw_curve, draw_needs
from statlas.scaling.piecewise_power_law.forest import (
    Forecast,
    Forest,
    forecast,
    pad,
    recorded_forest,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LEAST_POINTS = 3
# Examples a class at which recorded pilots end.
_PILOTS = (5.0, 160.0)
_DRAWN = 40  # points of the forecast that the figure shows


@dataclass(frozen=True)
class _Plan:
    """What is asked."""

    target: float | None
    pilot: float | None
    guess: float | None
    classes: int | None
    level: float
    tolerance: float


@dataclass(frozen=True)
class _Answer:
    """What was found for one curve."""

    curve: LearningCurve
    pilot: LearningCurve
    target: float
    found: Forecast
    need: Need
    by_power_law: float

    @property
    def later(self) -> LearningCurve:
        """Sizes beyond the pilot, which were not used."""
        return self.curve.between(np.nextafter(self.pilot.n[-1], np.inf), np.inf)


# --- from the table to forecasts ------------------------------------------------------------------


def _pilots(read: LearningCurves, plan: _Plan) -> tuple[list[LearningCurve], int]:
    """Curves with enough points in their pilot, and how many have not."""
    end = np.inf if plan.pilot is None else plan.pilot
    enough = [c for c in read if len(c.between(0, end)) >= _LEAST_POINTS]
    if not enough:
        raise InputError(
            f"no curve has {_LEAST_POINTS} training set sizes with an error above 0"
            + (f" up to pilot={plan.pilot:g}" if plan.pilot is not None else ""),
            remedy="train on parts of the examples that there are, such as a half and a quarter",
        )
    return enough, len(read.curves) - len(enough)


def _answers(
    curves: list[LearningCurve], plan: _Plan, forest: Forest, target: float | None
) -> list[_Answer]:
    end = np.inf if plan.pilot is None else plan.pilot
    pilots = [curve.between(0, end) for curve in curves]
    if plan.classes is not None:
        pilots = [replace(pilot, classes=float(plan.classes)) for pilot in pilots]
    guess = plan.guess
    highest = max(float(pilot.error.max()) for pilot in pilots)
    if guess is None and highest > 1:
        guess = highest  # a loss: the error of guessing is not known, and this is near it
    names = [pilot.labels.get("dataset", "") for pilot in pilots]
    found = forecast(forest, pad(pilots, guess), plan.level, without=names)
    answers = []
    for curve, pilot, one in zip(curves, pilots, found, strict=True):
        goal = 0.5 * float(pilot.error[-1]) if target is None else target
        need = find_need(one, goal, plan.tolerance)
        if pilot.error.min() <= goal:
            reached = float(pilot.n[pilot.error <= goal][0])
            need = Need(reached, reached, reached, need.horizon)
        answers.append(_Answer(curve, pilot, goal, one, need, power_law_examples(pilot, goal)))
    return answers


def _row(answer: _Answer, plan: _Plan) -> dict[str, Any]:
    pilot, tail, need = answer.pilot, answer.found.tail, answer.need
    row: dict[str, Any] = {
        **answer.curve.labels,
        "examples": float(pilot.n[-1]),
        "error": float(pilot.error[-1]),
        "target": answer.target,
        "examples_needed": need.examples,
        "low": need.low,
        "high": need.high,
        "collect_next": need.next_total,
        "horizon": need.horizon,
        "by_power_law": answer.by_power_law,
        "slope": float(tail.slope[0]),
        "final_slope": float(tail.final_slope[0]),
        "knot": float(np.exp(tail.start + tail.stretch)[0]),
    }
    if plan.pilot is not None:
        row |= _check(answer)
    return row


def _check(answer: _Answer) -> dict[str, float]:
    """What came of the forecast at the sizes beyond the pilot."""
    later = answer.later
    if len(later) == 0:
        return dict.fromkeys(("came_at", "error_of_law", "error_of_power_law", "covered"), np.nan)
    predicted = np.exp(answer.found.tail.log_error(later.x)[0])
    intercept, slope = fit_power_law(answer.pilot)
    straight = np.exp(intercept + slope * later.x)
    low, high = (
        np.interp(later.x, answer.found.x, e) for e in (answer.found.low, answer.found.high)
    )
    return {
        "came_at": examples_at(answer.curve, answer.target),
        "error_of_law": float(np.mean(np.abs(predicted - later.error))),
        "error_of_power_law": float(np.mean(np.abs(straight - later.error))),
        "covered": float(np.mean((low <= later.y) & (later.y <= high))),
    }


# --- the result -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ExamplesNeeded(Result):
    """Examples that a target asks for; `table` has a row a curve."""

    def draw(self, figure: Figure) -> None:
        """Draw the curve in focus with its forecast, and the needs of all curves."""
        several = len(self.details["needs"]) > 1
        axes = figure.subplots(1, 2 if several else 1, squeeze=False)[0]
        draw_curve(axes[0], self.details)
        if several:
            draw_needs(axes[1], self.details)
            figure.set_size_inches(11.5, max(4.4, 2.0 + 0.26 * len(self.details["needs"])))


def _example() -> pd.DataFrame:
    table = pd.read_csv(example_path("learning_curves.csv"))
    kept = table[(table["dataset"] == "fashion") & (table["task"] == "all")]
    kept = kept.drop(columns=["family", "parameters", "repeats", "tested", "n_per_class"])
    return kept.rename(columns={"n": "examples"}).reset_index(drop=True)


@recipe(
    "piecewise-power-law",
    example=Example(
        loader=_example,
        about="Error of 12 classifiers on ten kinds of clothes from 20 to 4,480 training pictures; "
        "only the sizes up to 200, twenty a class, are used, and the others check the forecast.",
        origin="Recorded with scikit-learn (BSD-3) on Fashion-MNIST (MIT).",
        options={"pilot": 200.0, "target": 0.2},
    ),
)
def examples_needed(
    curves: Annotated[
        Table,
        Roles(
            examples=EXAMPLES,
            error=ERROR,
            score=SCORE,
            model=MODEL,
            dataset=DATASET,
            task=TASK,
            classes=CLASSES,
            standard_error=STANDARD_ERROR,
            repeat=REPEAT,
            min_rows=_LEAST_POINTS,
        ),
    ],
    *,
    target: Annotated[
        float | None,
        Option(ge=0, help="error (or score) to reach; by default half of the pilot's last error"),
    ] = None,
    pilot: Annotated[
        float | None,
        Option(gt=0, help="largest number of examples to use; larger ones check the forecast"),
    ] = None,
    focus: Annotated[
        str | None, Option(help="curve of the headline; by default the one with the least need")
    ] = None,
    n_classes: Annotated[
        int | None, Option(ge=2, help="number of classes, where there is no column of them")
    ] = None,
    guess: Annotated[
        float | None, Option(gt=0, help="error of guessing; by default 1 - 1 / classes")
    ] = None,
    perfect: Annotated[float, Option(gt=0, help="score of a perfect model, such as 100")] = 1.0,
    tolerance: Annotated[
        float,
        Option(gt=0, help="half-width of the log error's interval at which the horizon ends"),
    ] = 0.3,
    level: Annotated[float, Option(gt=0, lt=1, help="level of the intervals")] = 0.8,
) -> ExamplesNeeded:
    """Tell how many training examples a target error asks for, with bounds, and what to do next.

    Parameters
    ----------
    curves
        One row a training: number of examples and error or score; a curve has 3 sizes or more.

    Returns
    -------
    ExamplesNeeded
        `table` has, a curve, the examples needed with their interval, the total to collect up to
        before measuring again, and what the plain power law would have asked for.
    """
    read = read_learning_curves(curves, perfect)
    score = not curves.has("error")
    goal = target
    if target is not None and score:
        goal = perfect - target
    if goal is not None and not goal > 0:
        raise InputError(
            f"a target of {target:g} is a perfect result, which no law of errors above 0 reaches",
            remedy="give a target short of it",
        )
    plan = _Plan(goal, pilot, guess, n_classes, level, tolerance)
    usable, short = _pilots(read, plan)
    answers = _answers(usable, plan, recorded_forest(0), goal)
    chosen = _choose(answers, focus, read)
    table = pd.DataFrame([_row(answer, plan) for answer in answers])
    status, advice = _status(chosen)
    aside = read.set_aside
    if short:
        few = [c for c in read if all(c is not one for one in usable)]
        rows = int(sum(curve.repeats.sum() for curve in few))
        aside = (*aside, SetAside(f"curve with fewer than {_LEAST_POINTS} pilot sizes", rows))
    return ExamplesNeeded(
        headline=_headline(chosen, plan, score, perfect),
        table=table,
        values=tuple(_values(chosen, plan)),
        details=_details(answers, chosen, plan, read.unit),
        status=status,
        advice=advice,
        warnings=(*read.notices, *_notices(answers, chosen, plan, curves)),
        set_aside=aside,
    )


def _choose(answers: list[_Answer], focus: str | None, read: LearningCurves) -> _Answer:
    if focus is not None:
        named = read.named(focus)
        found = [answer for answer in answers if answer.curve is named]
        if not found:
            raise InputError(
                f"the curve {focus!r} has fewer than {_LEAST_POINTS} sizes in its pilot",
                remedy="choose another focus, or a larger pilot",
            )
        return found[0]
    return min(answers, key=lambda answer: (answer.need.examples, float(answer.pilot.error[-1])))


def _count(value: float) -> str:
    """Examples as people write them."""
    if not np.isfinite(value):
        return "any number" if value > 0 else "none"
    if value >= 1e7:
        return f"{value:.2g}"
    return f"{float(f'{value:.3g}'):,.0f}"


def _range(low: float, high: float) -> str:
    top = f"to {_count(high)}" if np.isfinite(high) else "and no upper end"
    return f"{_count(low)} {top}" if np.isfinite(low) else "no end within reach"


def _headline(answer: _Answer, plan: _Plan, score: bool, perfect: float) -> str:
    need, pilot = answer.need, answer.pilot
    shown = perfect - answer.target if score else answer.target
    what = f"{'a score' if score else 'an error'} of {shown:.3g}"
    now = perfect - float(pilot.error[-1]) if score else float(pilot.error[-1])
    have = f"it has {_count(float(pilot.n[-1]))} at {now:.3g}"
    name = f"The curve {answer.curve.name[:60]!r}" if answer.curve.labels else "The curve"
    if answer.target >= pilot.error.min():
        return f"{name} has reached {what} with {_count(need.examples)} training examples."
    if np.isfinite(need.examples):
        text = (
            f"{name} needs about {_count(need.examples)} training examples for {what} "
            f"({100 * plan.level:g} % interval {_range(need.low, need.high)}; {have})"
        )
    else:
        text = f"{name} does not come to {what} by the law, whatever the examples ({have})"
    if need.next_total < need.examples:
        text += f"; collect up to {_count(need.next_total)} and measure again before going on"
    by = answer.by_power_law
    return text + (
        f"; a plain power law would ask for {_count(by)}." if np.isfinite(by) else
        "; the plain power law through the pilot does not fall."
    )  # fmt: skip


def _values(answer: _Answer, plan: _Plan) -> Iterator[Value]:
    need, each = answer.need, answer.found.each
    how = "errors of forecasts on recorded data sets left out"
    yield Value("examples needed", need.examples, need.low, need.high, plan.level, "examples", how)
    yield Value(
        "collect next, in all", need.next_total, unit="examples",
        why_no_interval="a decision: the need, or where the interval gets wider than the tolerance",
    )  # fmt: skip
    yield Value(
        "horizon", need.horizon, unit="examples",
        why_no_interval="where the interval's half-width reaches the tolerance",
    )  # fmt: skip
    trees = "spread of the trees"
    for name, drawn, value in (
        ("slope now", each.slope, answer.found.tail.slope[0]),
        ("final slope", each.final_slope, answer.found.tail.final_slope[0]),
        ("knot", np.exp(each.start + each.stretch),
         np.exp(answer.found.tail.start + answer.found.tail.stretch)[0]),
    ):  # fmt: skip
        low, high = map(float, percentile_interval(drawn, plan.level))
        unit = "examples" if name == "knot" else "log error per log example"
        yield Value(name, float(value), min(low, value), max(high, value), plan.level, unit, trees)
    yield Value(
        "examples by a plain power law", answer.by_power_law, unit="examples",
        why_no_interval="a line through the pilot, for comparison",
    )  # fmt: skip
    for ahead in (2.0, 10.0):
        x = answer.found.x[0] + np.log(ahead)
        middle, low, high = (
            float(np.exp(np.interp(x, answer.found.x, ends)))
            for ends in (answer.found.log_error, answer.found.low, answer.found.high)
        )
        yield Value(
            f"error at {ahead:g} times the examples", middle, low, high, plan.level, "", how
        )


def _status(answer: _Answer) -> tuple[Status, str]:
    need, reach = answer.need, answer.found.reach
    if not np.isfinite(need.examples):
        return (
            Status.ASSUMPTION_DOUBTFUL,
            "the law flattens above the target: label noise, features or model may set a floor; "
            "collect up to the horizon and measure again, or change the model",
        )
    if np.log(need.examples) > answer.found.x[0] + reach:
        return (
            Status.ASSUMPTION_DOUBTFUL,
            f"the need lies beyond {np.exp(reach):.0f} times the pilot, further than any recorded "
            "curve could check; collect up to the horizon and measure again",
        )
    return Status.OK, ""


def _notices(
    answers: list[_Answer], chosen: _Answer, plan: _Plan, table: Table
) -> Iterator[Notice]:
    if plan.classes is None and not table.has("classes"):
        yield Notice(
            "classes-unknown",
            "the number of classes is not known and was taken as 2",
            "give it with n_classes: examples a class and the error of guessing follow from it",
        )
    per_class = chosen.found.x[0] - np.log(
        plan.classes or (chosen.pilot.classes if np.isfinite(chosen.pilot.classes) else 2)
    )
    if not np.log(_PILOTS[0]) - 0.01 <= per_class <= np.log(_PILOTS[1]) + 0.01:
        yield Notice(
            "unlike-the-recorded",
            f"the pilot ends at {np.exp(per_class):.3g} examples a class; the regressor learnt "
            f"from pilots that end at {_PILOTS[0]:g} to {_PILOTS[1]:g}",
            "expect the interval to be too short",
        )
    known = sorted({a.pilot.labels.get("dataset", "") for a in answers})
    same = [name for name in known if name in recorded_forest(0).record.datasets]
    if same:
        yield Notice(
            "data-set-left-out",
            f"the regressor also learnt from {', '.join(map(repr, same[:4]))}; only trees that "
            "never saw the data set are used for its curves",
        )
    if len(chosen.pilot) < 4:
        yield Notice(
            "short-pilot",
            f"the pilot has {len(chosen.pilot)} sizes, which say little about the bend",
            "train on more parts of the examples that there are",
        )


def _details(answers: list[_Answer], chosen: _Answer, plan: _Plan, unit: str) -> dict[str, Any]:
    found, pilot, later = chosen.found, chosen.pilot, chosen.later
    furthest = max(
        float(np.log(min(chosen.need.examples, 1e12))) + 0.7,
        float(found.x[0]) + np.log(20.0),
        float(chosen.curve.x[-1]) + 0.3,
    )
    kept = np.flatnonzero(found.x <= furthest)
    some = kept[np.unique(np.linspace(0, len(kept) - 1, _DRAWN).astype(int))]
    intercept, slope = fit_power_law(pilot)
    return {
        "name": chosen.curve.name,
        "unit": unit,
        "level": plan.level,
        "target": chosen.target,
        "pilot": {"n": pilot.n, "error": pilot.error, "spread": pilot.spread},
        "later": {"n": later.n, "error": later.error},
        "forecast": {
            "n": np.exp(found.x[some]), "error": np.exp(found.log_error[some]),
            "low": np.exp(found.low[some]), "high": np.exp(found.high[some]),
            "power_law": np.exp(intercept + slope * found.x[some]),
        },
        "knot": float(np.exp(found.tail.start + found.tail.stretch)[0]),
        "horizon": chosen.need.horizon,
        "needs": [
            {
                "name": a.curve.name, "have": float(a.pilot.n[-1]), "needed": a.need.examples,
                "low": a.need.low, "high": a.need.high, "next": a.need.next_total,
                "power_law": a.by_power_law,
                "came_at": examples_at(a.curve, a.target) if len(a.later) else None,
            }
            for a in answers[:24]
        ],
    }  # fmt: skip
