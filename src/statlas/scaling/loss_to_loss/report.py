"""What is said of the relations: headline, table, values, warnings and what the figure needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from statlas.core import ConvergenceError, InputError, Notice, Status, Table, Value
from statlas.core.numerics.laws.uncertainty import percentile_interval
from statlas.scaling.loss_to_loss.answers import Answer, Target
from statlas.scaling.loss_to_loss.laws import FloatArray, relate, translate
from statlas.scaling.loss_to_loss.reading import Read
from statlas.scaling.loss_to_loss.relation import NAMES, Offsets
from statlas.scaling.loss_to_loss.trials import (
    EXTRAPOLATIONS,
    TRANSLATIONS,
    Extrapolated,
    Translated,
)

_NAMED = 4  # relations in the headline


def _ends(draws: FloatArray, level: float) -> tuple[float, float]:
    low, high = percentile_interval(draws, level)
    return float(low), float(high)


def status_of(answers: list[Answer], offsets: Offsets) -> tuple[Status, str]:
    """Whether the relations are determined."""
    unsure = [answer for answer in answers if answer.doubts]
    if not unsure:
        return Status.OK, ""
    names = ", ".join(answer.asked.second.name for answer in unsure[:_NAMED])
    remedy = (
        "take the offsets from laws (offsets='laws')"
        if offsets == "fitted"
        else "add pairs over a wider range of losses and larger runs; within the losses seen the "
        "relation still interpolates"
    )  # fmt: skip
    return Status.ASSUMPTION_DOUBTFUL, f"for {names}: {unsure[0].doubts[0]}; {remedy}"


def _short(name: str) -> str:
    return name if len(name) <= 30 else name[:29] + "…"


def headline_of(answers: list[Answer], read: Read, target: Target, level: float) -> str:
    """Forecasts with intervals, and the errors of the trials."""
    parts = []
    for answer in answers[:_NAMED]:
        low, high = _ends(answer.forecast_draws, level)
        parts.append(
            f"{answer.forecast:.3g} ({low:.3g} to {high:.3g}) as "
            f"{_short(answer.asked.second.short)}"
        )
    more = f" and {len(answers) - _NAMED} more" if len(answers) > _NAMED else ""
    one_first = len({answer.asked.first.name for answer in answers}) == 1
    first = f"{answers[0].at:.3g} as {_short(answers[0].asked.first.short)}"
    if target.first_loss is None:
        who = (
            f"A run of {target.size:.3g} parameters and {target.tokens:.3g} tokens "
            f"({target.times:.3g} times the dearest's compute){f', {first},' if one_first else ''}"
        )
    else:
        who = (
            f"A run with {first}"
            if one_first
            else f"A run with a first loss of {answers[0].at:.3g}"
        )
    text = f"{who} reaches a loss of {', '.join(parts)}{more} ({100 * level:g} % intervals)"
    errors = _mean_errors([answer.extrapolated for answer in answers], EXTRAPOLATIONS)
    if "loss to loss" in errors:
        text += (
            f"; from their first losses dearer runs held out are met within "
            f"{100 * errors['loss to loss']:.2g} %"
        )
        if "own law" in errors:
            text += f" (each set's own law: {100 * errors['own law']:.2g} %)"
    carried = _mean_errors([answer.translated for answer in answers], TRANSLATIONS)
    if "carried across" in carried and "law from few" in carried:
        text += (
            f"; by a few points a law carried across errs by {100 * carried['carried across']:.2g} "
            f"%, one fitted to them by {100 * carried['law from few']:.2g} %"
        )
    return text + "."


def _mean_errors(
    trials: Sequence[Extrapolated | Translated | None], methods: tuple[str, ...]
) -> dict[str, float]:
    """Mean error over relations of the methods that all of the trials have."""
    done = [trial for trial in trials if trial is not None]
    return {
        method: float(np.mean([trial.error(method) for trial in done]))
        for method in methods
        if done and all(method in trial.by_method for trial in done)
    }


def table_of(answers: list[Answer], level: float) -> pd.DataFrame:
    """A row a second loss."""
    rows = []
    for answer in answers:
        low, high = _ends(answer.forecast_draws, level)
        row: dict[str, Any] = {
            "first": answer.asked.first.name,
            "second": answer.asked.second.name,
            "first loss": answer.at,
            "forecast": answer.forecast,
            "low": float(low),
            "high": float(high),
        }
        ends = percentile_interval(answer.draws.relations, level)
        for place, name in enumerate(NAMES):
            row[name] = float(answer.relation.natural[place])
            row[f"{name}_low"], row[f"{name}_high"] = float(ends[0][place]), float(ends[1][place])
        row["pairs"] = answer.asked.pairs.n_pairs
        row["r_squared"] = answer.relation.r_squared
        for method in EXTRAPOLATIONS:
            trial = answer.extrapolated
            known = trial is not None and method in trial.by_method
            row[f"dearer runs, {method}"] = trial.error(method) if known and trial else np.nan
        for method in TRANSLATIONS:
            carried = answer.translated
            known = carried is not None and method in carried.by_method
            row[f"few points, {method}"] = carried.error(method) if known and carried else np.nan
        row["doubts"] = "; ".join(answer.doubts)
        rows.append(row)
    table = pd.DataFrame(rows)
    return table.drop(columns=[name for name in table if table[name].isna().all()])


def values_of(answers: list[Answer], level: float) -> Iterator[Value]:
    """Forecasts, parameters and errors with their intervals."""
    how = "trainings drawn anew, laws and relation fitted to each draw"
    for answer in answers:
        name = answer.asked.second.name
        low, high = _ends(answer.forecast_draws, level)
        yield Value(
            f"forecast, {name}", answer.forecast, low, high, level, unit="loss",
            method=f"{how}, for one run",
        )  # fmt: skip
        ends = percentile_interval(answer.draws.relations, level)
        for place, symbol in enumerate(NAMES):
            yield Value(
                f"{symbol}, {name}", answer.relation.natural[place], ends[0][place],
                ends[1][place], level, unit="loss" if symbol in ("E0", "E1") else "", method=how,
            )  # fmt: skip
        yield from _translated_values(answer, level, how)
        trials = (("dearer runs", answer.extrapolated), ("few points", answer.translated))
        for prefix, trial in trials:
            if trial is not None:
                for method in trial.by_method:
                    yield Value(
                        f"error on {prefix}, {method}, {name}", trial.error(method),
                        unit="mean relative error", why_no_interval="a plain mean over runs",
                    )  # fmt: skip


def _translated_values(answer: Answer, level: float, how: str) -> Iterator[Value]:
    """The second set's law as the first's carries over, where the form allows it."""
    law, drawn = answer.relation.first_law, answer.draws.first_laws
    if law is None or drawn is None or law.law.name != "shifted kaplan":
        return
    carried = translate(law.parameters, answer.relation.parameters)
    columns = {name: drawn[:, place] for place, name in enumerate(law.law.names)}
    relations = {name: answer.draws.relations[:, place] for place, name in enumerate(NAMES)}
    with np.errstate(over="ignore"):
        draws = translate(columns, relations)  # type: ignore[arg-type]
    for symbol, value in carried.items():
        if symbol != "E":
            low, high = _ends(np.asarray(draws[symbol]), level)
            yield Value(
                f"{symbol} of the law carried to {answer.asked.second.name}", value, low, high,
                level, method=how,
            )  # fmt: skip


def notices_of(
    answers: list[Answer],
    failures: list[tuple[str, InputError | ConvergenceError]],
    read: Read,
    target: Target,
    table: Table,
) -> Iterator[Notice]:
    """What the reader should know."""
    for name, error in failures:
        yield Notice("left-out", f"{name}: {error}")
    if np.isfinite(read.flops_ratio) and not 0.3 <= read.flops_ratio <= 3:
        yield Notice(
            "units",
            f"the compute column is {read.flops_ratio:.3g} times 6 x parameters x tokens (median)",
            "check the units: parameters_unit, tokens_unit, compute_unit",
        )
    if not read.sized:
        yield Notice(
            "no-sizes",
            "sizes and tokens are not known, so both irreducible losses are fitted and no law is "
            "carried across",
            "name parameters=COLUMN and tokens=COLUMN",
        )
    for answer in answers:
        name = answer.asked.second.name
        for doubt in answer.doubts:
            yield Notice("doubt", f"{name}: {doubt}", "see the intervals")
        excess = answer.asked.pairs.first.min() - answer.relation.parameters["E0"]
        if answer.at - answer.relation.parameters["E0"] < 0.5 * excess:
            yield Notice(
                "far",
                f"{name}: the first loss {answer.at:.4g} has less than half of the lowest excess "
                "seen over E0",
                "the forecast rests on the offsets; look at their intervals",
            )
    yield from _trial_notices(answers)


def _trial_notices(answers: list[Answer]) -> Iterator[Notice]:
    errors = _mean_errors([answer.extrapolated for answer in answers], EXTRAPOLATIONS)
    better = [name for name in errors if errors[name] < 0.9 * errors.get("loss to loss", 0.0)]
    if better:
        yield Notice(
            "extrapolation",
            f"on dearer runs held out {', '.join(better)} did better than the relation",
            "see the columns of errors on dearer runs",
        )
    through = errors.get("through the first law", 0.0)
    if through > max(3 * errors.get("loss to loss", 0.0), 0.02):
        yield Notice(
            "first-law",
            f"forecast from size and tokens alone, dearer runs held out are missed by "
            f"{100 * through:.2g} %, for the first set's law bends beyond its runs",
            "give the first loss measured at that size with first_loss; intervals do not hold this",
        )
    if errors and "own law" in errors:
        yield Notice(
            "what-is-given",
            "on dearer runs the relation is given the first loss measured at that size, the laws "
            "are not",
        )


# --- what the figure needs ------------------------------------------------------------------------


def details_of(answers: list[Answer], few: int, level: float) -> dict[str, Any]:
    """What the figure needs, and the trials in numbers."""
    curves = []
    for answer in answers[:8]:
        pairs = answer.asked.pairs
        grid = np.linspace(min(answer.at, float(pairs.first.min())), pairs.first.max(), 50)
        with np.errstate(invalid="ignore"):
            drawn = relate(answer.draws.relations[:, None, :], grid)
        low, high = np.nanquantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)
        ends = _ends(answer.forecast_draws, level)
        some = np.unique(np.linspace(0, pairs.n_pairs - 1, 200).astype(int))
        curves.append(
            {
                "name": answer.asked.second.name,
                "first": pairs.first[some].tolist(), "second": pairs.second[some].tolist(),
                "grid": grid.tolist(), "fitted": answer.relation.predict(grid).tolist(),
                "low": low.tolist(), "high": high.tolist(), "at": answer.at,
                "forecast": answer.forecast,
                "forecast_low": float(ends[0]), "forecast_high": float(ends[1]),
            }
        )  # fmt: skip
    return {
        "first": answers[0].asked.first.name
        if len({answer.asked.first.name for answer in answers}) == 1
        else "of each",
        "few": few,
        "curves": curves,
        "first_law": None if answers[0].relation.first_law is None
        else answers[0].relation.first_law.rows(),
        "translated": [
            {
                "second": answer.asked.second.name,
                "r_squared": {
                    method: answer.translated.r_squared(method)
                    for method in answer.translated.by_method
                },
                "points": answer.translated.few.n_pairs,
                "runs": answer.translated.rest.n_runs,
            }
            for answer in answers
            if answer.translated is not None
        ],
        "extrapolated": [
            {
                "second": answer.asked.second.name, "cut": answer.extrapolated.cut,
                "pairs": answer.extrapolated.pairs.n_pairs,
            }
            for answer in answers
            if answer.extrapolated is not None
        ],
    }  # fmt: skip
