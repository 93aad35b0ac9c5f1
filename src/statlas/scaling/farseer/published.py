"""The published law as a calculator: what its rounded constants say, and how exactly."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from statlas.core import Notice, Value
from statlas.core.numerics.laws.uncertainty import percentile_interval
from statlas.scaling.farseer.law import (
    PUBLISHED,
    Centre,
    Constants,
    FloatArray,
    farseer_law,
    farseer_loss,
    rounded_constants,
)
from statlas.scaling.farseer.views import Ends, Optimum, optimum, ratio_line, words

_HOW = "constants that round to the published ones"
_UNIT = "bits a character"
_SMALLEST, _LARGEST = 2.0e8, 6.4e9  # sizes that the constants were fitted to, without embeddings
_CHECKED = 2.51e10  # the largest that they were checked on
_CENTRE = Centre(1e9, 2e10)
_RATIOS = (0.3 / 30, 2600 * 30.0)  # the authors' runs have 0.3 to 2,600 tokens a parameter
_TARGET, _FROM = 1e22, 1e19  # floating-point operations


def published_surface(
    level: float,
    target: float | None,
    point: tuple[float, float] | None,
    n_draws: int,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """Parts of the result from the published constants alone.

    Parameters
    ----------
    level
        Of the intervals, which hold the rounding of the constants and nothing else.
    target
        Budget in floating-point operations; 1e22 by default.
    point
        Parameters (without embeddings) and tokens of a model to predict.
    n_draws, rng
        Constants drawn among those that would be printed alike.
    """
    goal = _TARGET if target is None else target
    drawn = rounded_constants(n_draws, rng)
    over = _optimum(drawn, np.append(np.geomspace(min(_FROM, goal / 10), goal, 13)[:-1], goal))
    size, ratio = over.sizes(-1, level), over.ratios(-1, level)
    asked = point or (size[0] or _LARGEST, goal / 6 / (size[0] or _LARGEST))
    loss = _interval(farseer_loss(*asked), farseer_loss(*asked, drawn), level)
    headline = (
        f"By the published constants a model of {asked[0]:.3g} parameters without embeddings and "
        f"{asked[1]:.3g} tokens reaches {loss[0]:.3f} bits a character on the authors' English "
        f"text ({loss[1]:.3f} to {loss[2]:.3f} in {100 * level:g} % of the constants that would be "
        f"printed alike); {_best_words(goal, size, ratio, over.growth(level))}."
    )
    values = [_value("loss of the run asked for", loss, level, _UNIT)]
    values += [
        _value("best size at target", size, level, "parameters"),
        _value("best tokens per parameter at target", ratio, level, "tokens"),
        _value("growth of tokens per parameter with compute", over.growth(level), level,
               "exponent"),
    ]  # fmt: skip
    values += [
        Value(name, number, why_no_interval="as printed")
        for name, number in asdict(PUBLISHED).items()
    ]
    return {
        "headline": headline,
        "table": _table(over, level),
        "values": tuple(values),
        "details": _details(drawn, over, level, goal),
        "warnings": tuple(_notices(asked)),
        "options": {"target": goal},
    }


def _value(name: str, ends: Ends, level: float, unit: str) -> Value:
    return Value(
        name, *ends, level, unit=unit, method=_HOW,
        why_no_interval="the law, or a fifth of its roundings, has no best size there",
    )  # fmt: skip


def _best_words(goal: float, size: Ends, ratio: Ends, growth: Ends) -> str:
    if size[0] is None:
        return f"at {goal:.3g} FLOP they have no best size"
    text = f"at {goal:.3g} FLOP the best model has {words(size)} parameters"
    text += f" with {words(ratio)} tokens each"
    if growth[0] is None:
        return text
    return (
        f"{text}, a ratio that goes as compute^{words(growth)} from {min(_FROM, goal / 10):.3g} on"
    )


def _optimum(drawn: Constants, budgets: FloatArray) -> Optimum:
    law = farseer_law(_CENTRE.size, _CENTRE.data)
    natural = (_CENTRE.natural(PUBLISHED), _CENTRE.natural(drawn))
    return optimum(law, *natural, budgets, _RATIOS)


def _interval(value: FloatArray, drawn: FloatArray, level: float) -> tuple[float, float, float]:
    low, high = percentile_interval(drawn, level)
    return float(value), float(low), float(high)


def _table(over: Optimum, level: float) -> pd.DataFrame:
    """Best size, tokens and loss at each budget; empty cells where there is no best size."""
    rows = []
    for place, budget in enumerate(over.compute):
        size, ratio = over.sizes(place, level), over.ratios(place, level)
        rows.append(
            {
                "compute": budget,
                "parameters": size[0], "parameters_low": size[1], "parameters_high": size[2],
                "tokens": over.tokens[place],
                "tokens_per_parameter": ratio[0], "ratio_low": ratio[1], "ratio_high": ratio[2],
                "loss": over.loss[place],
                "share_of_roundings": float(over.share[place]),
            }
        )  # fmt: skip
    return pd.DataFrame(rows).astype(float)


def _details(drawn: Constants, over: Optimum, level: float, goal: float) -> dict[str, Any]:
    tokens = np.geomspace(1e9, 1e12, 40)
    curves = []
    for size in np.geomspace(_SMALLEST, _CHECKED, 5):
        columns = np.array([farseer_loss(size, d, drawn) for d in tokens])
        low, high = percentile_interval(columns.T, level)
        curves.append(
            {
                "size": float(size), "tokens": [], "loss": [], "grid": tokens.tolist(),
                "fit": farseer_loss(size, tokens).tolist(), "low": low.tolist(),
                "high": high.tolist(), "chinchilla": [],
            }
        )  # fmt: skip
    sizes = np.geomspace(_SMALLEST, _CHECKED, 40)
    exponents = np.array([np.exp(drawn.a1 * size**drawn.alpha + drawn.b1) for size in sizes])
    low, high = percentile_interval(exponents.T, level)
    return {
        "curves": curves,
        "exponent": {
            "sizes": sizes.tolist(),
            "value": np.exp(PUBLISHED.a1 * sizes**PUBLISHED.alpha + PUBLISHED.b1).tolist(),
            "low": low.tolist(), "high": high.tolist(),
        },
        "stage_one": {},
        "chinchilla_exponent": None,
        "optimum": {"farseer": ratio_line(over, level)},
        "target": goal,
        "loss_name": "loss (bits a character)",
    }  # fmt: skip


def _notices(asked: tuple[float, float]) -> list[Notice]:
    notices = [
        Notice(
            "rounding",
            "intervals hold only the rounding of the printed constants; they say nothing of the "
            "law's own error, which the authors put at 0.5 % up to 25 billion parameters",
        )
    ]
    if not _SMALLEST * 0.99 <= asked[0] <= _CHECKED:
        notices.append(
            Notice(
                "far-off",
                f"{asked[0]:.3g} parameters lie outside the 0.2 to 6.4 billion that were fitted "
                "and the 25 billion that were checked",
                "treat the loss as a guess",
            )
        )
    return notices
