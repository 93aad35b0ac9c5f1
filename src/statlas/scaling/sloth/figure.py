"""The panels of the result's figure, drawn from plain numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


def draw_forecasts(
    axes: Any, chosen: pd.DataFrame, perfect: float, level: float, column: str
) -> None:
    """Forecast scores of one family with their intervals; `column` names and scales the size."""
    from statlas.core.figures import plain_label

    place = np.arange(len(chosen))
    axes.hlines(place, chosen["low"], chosen["high"], color="C0")
    axes.plot(chosen["prediction"], place, "o", color="C0")
    axes.set_yticks(place, [plain_label(name) for name in chosen["benchmark"]], fontsize=8)
    axes.invert_yaxis()
    axes.set(xlim=(-0.02 * perfect, 1.02 * perfect))
    axes.set_xlabel(f"forecast score, {100 * level:g} % interval")
    first = chosen.iloc[0]
    axes.set_title(
        f"{plain_label(first['family'])}, {plain_label(column)} {first['parameters']:.4g}"
    )


def draw_held_out(
    axes: Any, pairs: list[dict[str, Any]], perfect: float, half: float, level: float
) -> None:
    """Forecasts of held-out larger models against their scores, with the mean margin."""
    ends = np.array([0.0, perfect])
    axes.fill_between(
        ends, ends - half, ends + half, color="0.85", linewidth=0,
        label=f"{100 * level:g} % margin, mean of benchmarks",
    )  # fmt: skip
    axes.plot(ends, ends, color="0.5", linewidth=0.8)
    axes.plot(
        [pair["score"] for pair in pairs], [pair["forecast"] for pair in pairs], "o", color="C0",
        markersize=2.5, alpha=0.5,
    )  # fmt: skip
    axes.set(xlim=(-0.02 * perfect, 1.02 * perfect), ylim=(-0.02 * perfect, 1.02 * perfect))
    axes.set(xlabel="score", ylabel="forecast from the smallest member")
    axes.set_title("Families held out")
    axes.legend(fontsize=8, loc="upper left")


def draw_loadings(axes: Any, details: dict[str, Any]) -> None:
    """Loadings of the skills with their intervals."""
    from statlas.core.figures import plain_label

    loadings, margin = np.array(details["loadings"]), np.array(details["loadings_margin"])
    place = np.arange(loadings.shape[1])
    for number, (row, half) in enumerate(zip(loadings, margin, strict=True)):
        shift = 0.25 * (number - (len(loadings) - 1) / 2)
        axes.errorbar(
            row, place + shift, xerr=half, fmt="os^Dv"[number % 5], color=f"C{number % 6}",
            elinewidth=1, markersize=4, label=f"skill {number + 1}",
        )  # fmt: skip
    axes.axvline(0, color="0.6", linewidth=0.8)
    axes.set_yticks(place, [plain_label(name) for name in details["benchmarks"]], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("loading (link scale per s.d. of skill)")
    axes.set_title("What the skills are")
    axes.legend(fontsize=8)
