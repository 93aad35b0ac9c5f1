"""The panels of the result's figure, drawn from plain numbers."""

from __future__ import annotations

from typing import Any

import numpy as np


def _number(value: Any) -> float:
    """A number as saved results hold it: infinities are text, gaps None."""
    return float("nan") if value is None else float(value)


def draw_curve(axis: Any, details: dict[str, Any]) -> None:
    """Measured points, the law with its interval, the plain power law, target and horizon."""
    from statlas.core.figures import plain_label

    ahead, pilot, later = details["forecast"], details["pilot"], details["later"]
    error = np.array(pilot["error"], dtype=float)
    spread = np.array([_number(value) for value in pilot["spread"]])
    axis.fill_between(ahead["n"], ahead["low"], ahead["high"], color="C0", alpha=0.15, linewidth=0)
    axis.plot(ahead["n"], ahead["error"], color="C0", label="piecewise power law")
    axis.plot(ahead["n"], ahead["power_law"], "--", color="C1", label="plain power law")
    half = error * (np.exp(1.96 * spread) - 1)
    axis.errorbar(
        pilot["n"], error, yerr=np.where(np.isfinite(half), half, 0.0), fmt="o", color="black",
        elinewidth=1.0, label="pilot",
    )  # fmt: skip
    if len(later["n"]):
        axis.plot(
            later["n"], later["error"], "o", color="black", markerfacecolor="white",
            label="measured later, not used",
        )  # fmt: skip
    axis.axhline(details["target"], color="0.3", linewidth=0.9, linestyle=":")
    axis.annotate(
        "target", (1.0, details["target"]), xycoords=("axes fraction", "data"), ha="right",
        va="bottom", fontsize=9, color="0.3",
    )  # fmt: skip
    axis.axvline(details["horizon"], color="C2", linewidth=1.0, linestyle="-.", label="horizon")
    low = min(details["target"], float(error.min()), *map(float, later["error"]))
    axis.set(xscale="log", yscale="log", ylim=(0.4 * low, 1.5 * float(error.max())))
    axis.set_xlabel("training examples")
    axis.set_ylabel(plain_label(details["unit"]))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter("{x:.2g}")
    axis.tick_params(axis="y", which="minor", labelsize=8)
    axis.set_title(f"{plain_label(details['name'][:40])}, {100 * details['level']:g} % interval")
    axis.legend(loc="lower left", fontsize=8)


def draw_needs(axis: Any, details: dict[str, Any]) -> None:
    """Examples that the target asks for, a row a curve."""
    from statlas.core.figures import plain_label

    needs = details["needs"]
    have = np.array([_number(row["have"]) for row in needs])
    finite = [
        _number(row[key]) for row in needs for key in ("needed", "low", "power_law")
        if np.isfinite(_number(row[key]))
    ]  # fmt: skip
    top = min(max([*finite, 10 * have.max()]) * 3, 1e4 * have.max())
    for place, row in enumerate(needs):
        needed, low, high = (_number(row[key]) for key in ("needed", "low", "high"))
        ends = [min(low, top), min(high, top)]
        axis.plot(ends, [place, place], color="C0", linewidth=1.4)
        if high > top:
            axis.plot(top, place, ">", color="C0", markersize=4)
        if needed <= top:
            axis.plot(needed, place, "o", color="C0")
        axis.plot(min(_number(row["next"]), top), place, "|", color="C2", markersize=11)
        axis.plot(min(_number(row["power_law"]), top), place, "x", color="C1", markersize=5)
        if np.isfinite(_number(row["came_at"])):
            axis.plot(
                _number(row["came_at"]), place, "o", color="black", markerfacecolor="white",
                markersize=7, zorder=3,
            )  # fmt: skip
    for marker, colour, label in (
        ("o", "C0", "piecewise power law"),
        ("|", "C2", "collect up to"),
        ("x", "C1", "plain power law"),
    ):  # fmt: skip
        axis.plot([], [], marker, color=colour, label=label)
    if any(np.isfinite(_number(row["came_at"])) for row in needs):
        axis.plot([], [], "o", color="black", markerfacecolor="white", label="where it came")
    names = [plain_label(row["name"].split(", ")[-1][:28]) for row in needs]
    if len(set(names)) < len(names):
        names = [plain_label(row["name"][-34:]) for row in needs]
    axis.set_yticks(range(len(needs)), names, fontsize=9)
    axis.invert_yaxis()
    axis.set(xscale="log", xlabel="training examples for the target")
    axis.set_title("Examples needed")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncol=4, fontsize=8)
