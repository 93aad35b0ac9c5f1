"""Every relation that is asked for: fitted, drawn, forecast and tried."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from statlas.core import AssumptionError, ConvergenceError, InputError, OptionError
from statlas.core.numerics.laws.uncertainty import percentile_interval
from statlas.core.progress import track
from statlas.scaling.loss_to_loss.laws import FloatArray, relate
from statlas.scaling.loss_to_loss.reading import Asked, Read
from statlas.scaling.loss_to_loss.relation import (
    Draws,
    Form,
    Laws,
    Offsets,
    Relation,
    draw_relations,
    draw_units,
    fit_relation,
    predict_across,
    redraw_law,
)
from statlas.scaling.loss_to_loss.trials import Extrapolated, Translated, carry_across, extrapolate

OffsetsChoice = Literal["auto", "laws", "first-law", "fitted"]

_BEYOND = 10.0  # the default target's compute, in that of the dearest run
_LOOSE = 0.6  # width of kappa's interval from which it counts as not determined
_NOTHING = 0.01  # of the lowest loss, below which an irreducible loss counts as 0
_WEAK = 0.8  # R squared below which the two losses do not go together


@dataclass(frozen=True)
class Target:
    """The training that is forecast: size and tokens, or a first loss."""

    size: float
    tokens: float
    first_loss: float | None
    times: float  # its compute in that of the dearest run, NaN with a first loss


@dataclass(frozen=True)
class Answer:
    """All about one relation."""

    asked: Asked
    relation: Relation
    draws: Draws
    at: float
    forecast: float
    forecast_draws: FloatArray
    extrapolated: Extrapolated | None
    translated: Translated | None
    doubts: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What is done with each relation; see the options of the recipe."""

    offsets: Offsets
    form: Form
    held_out: float
    few: int
    draws: int
    target: Target


def offsets_of(read: Read, offsets: OffsetsChoice) -> Offsets:
    """Where the offsets come from."""
    if offsets == "auto":
        return "first-law" if read.sized else "fitted"
    if offsets != "fitted" and not read.sized:
        raise OptionError(
            f"offsets={offsets!r} needs sizes and tokens to fit a law; name parameters=COLUMN and "
            "tokens=COLUMN or compute=COLUMN"
        )
    return offsets


def target_of(
    read: Read, first_loss: float | None, size: float | None, tokens: float | None
) -> Target:
    """The training that is forecast; by default ten times the dearest one's compute."""
    if not read.sized:
        if size is not None or tokens is not None:
            raise OptionError(
                "a target of given size needs the sizes and tokens of the runs; give first_loss"
            )
        lowest = min(float(asked.pairs.first.min()) for asked in read.asked)
        return Target(np.nan, np.nan, lowest if first_loss is None else first_loss, np.nan)
    if first_loss is not None:
        if size is not None or tokens is not None:
            raise OptionError("give first_loss or a target's size and tokens, not both")
        return Target(np.nan, np.nan, first_loss, np.nan)
    one = read.asked[0].first.runs
    dearest = int(np.argmax(one.size * one.tokens))
    reached = float(one.size[dearest]), float(one.tokens[dearest])
    wanted = (
        reached[0] * np.sqrt(_BEYOND) if size is None else size,
        reached[1] * np.sqrt(_BEYOND) if tokens is None else tokens,
    )
    return Target(*wanted, None, wanted[0] * wanted[1] / (reached[0] * reached[1]))


def answer_all(
    read: Read, plan: Plan, rng: np.random.Generator
) -> tuple[list[Answer], list[tuple[str, InputError | ConvergenceError]]]:
    """Every relation that can be fitted; the first laws and their draws are made once."""
    codes = np.concatenate([asked.pairs.unit for asked in read.asked]
                           + [asked.first.runs.unit for asked in read.asked]
                           + [asked.second.runs.unit for asked in read.asked])  # fmt: skip
    counts = draw_units(codes, plan.draws, rng)
    laws = Laws(plan.form)
    redrawn: dict[int, FloatArray] = {}
    answers, failures = [], []
    for asked in track(read.asked, "fitting relations"):
        fit = laws.of(asked.first.runs) if read.sized else None
        if fit is not None and id(fit) not in redrawn:
            redrawn[id(fit)] = redraw_law(fit, counts[:, asked.first.runs.unit])
        try:
            answers.append(_answer(asked, laws, redrawn.get(id(fit)), counts, read, plan, rng))
        except (InputError, ConvergenceError) as error:
            failures.append((asked.second.name, error))
    if not answers:
        raise AssumptionError(f"{failures[0][0]}: {failures[0][1]}")
    return answers, failures


def _answer(
    asked: Asked,
    laws: Laws,
    first_draws: FloatArray | None,
    counts: FloatArray,
    read: Read,
    plan: Plan,
    rng: np.random.Generator,
) -> Answer:
    one, other = (asked.first.runs, asked.second.runs) if read.sized else (None, None)
    second_law, second_draws = None, None
    if plan.offsets == "laws":
        second_law = laws.of(other)
        if second_law is not None:
            second_draws = redraw_law(second_law, counts[:, asked.second.runs.unit])
    relation = fit_relation(
        asked.pairs, plan.offsets, first_law=laws.of(one), second_law=second_law
    )
    draws = draw_relations(relation, counts, first_draws, second_draws)
    at, forecast, drawn = _forecast(relation, draws, plan.target, rng)
    extrapolated, translated = None, None
    if np.all(np.isfinite(asked.pairs.compute)):
        extrapolated = extrapolate(asked.pairs, one, other, plan.held_out, plan.offsets, laws)
    if one is not None and other is not None and read.kind != "train-to-test":
        translated = carry_across(asked.pairs, one, other, plan.few, laws)
    return Answer(
        asked=asked,
        relation=relation,
        draws=draws,
        at=at,
        forecast=forecast,
        forecast_draws=drawn,
        extrapolated=extrapolated,
        translated=translated,
        doubts=_doubts(relation, draws),
    )


def _forecast(
    relation: Relation, draws: Draws, target: Target, rng: np.random.Generator
) -> tuple[float, float, FloatArray]:
    """First loss of the target, the second there, and draws of it for one run."""
    pairs, law = relation.pairs, relation.first_law
    if target.first_loss is not None:
        at = target.first_loss
        forecast = float(relation.predict([at])[0])
        drawn = relate(draws.relations, at)
        fitted = relation.predict(pairs.first)
    else:
        if law is None:
            raise InputError("the first data set's law could not be fitted")
        where = [target.size], [target.tokens]
        at = float(law.predict({"N": where[0], "D": where[1]})[0])
        forecast = float(predict_across(relation, *where)[0])
        drawn = predict_across(relation, *where, draws)[:, 0]
        fitted = predict_across(relation, pairs.size, pairs.tokens)
    if at <= relation.parameters["E0"]:
        raise InputError(
            f"the first loss {at:.4g} lies at or below the irreducible one "
            f"({relation.parameters['E0']:.4g})",
            remedy="ask for a higher one",
        )
    noise = np.log(pairs.second / fitted)
    noise = noise[np.isfinite(noise)]
    drawn = drawn[np.isfinite(drawn)]
    return at, forecast, drawn * np.exp(rng.choice(noise - noise.mean(), len(drawn)))


def _doubts(relation: Relation, draws: Draws) -> tuple[str, ...]:
    found = []
    if not relation.r_squared >= _WEAK:
        found.append(f"the relation accounts for {100 * relation.r_squared:.0f} % of the variance")
    low, high = percentile_interval(draws.relations[:, 1], 0.95)
    if high - low > _LOOSE:
        found.append(f"the pairs do not determine kappa ({low:.2f} to {high:.2f})")
    if relation.below:
        found.append(f"{relation.below} pairs lie at or below an irreducible loss")
    if relation.fit is not None and "E0" in relation.fit.identification().undetermined:
        found.append("the pairs do not determine E0")
    gone = [
        name
        for name, lowest in (
            ("E0", relation.pairs.first.min()),
            ("E1", relation.pairs.second.min()),
        )
        if relation.parameters[name] < _NOTHING * lowest
    ]
    if gone:
        found.append(f"{' and '.join(gone)} came out as 0, so no irreducible loss is in sight")
    return tuple(found)
