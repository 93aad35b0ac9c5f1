"""The panels of the result's figure, drawn from plain numbers."""

from __future__ import annotations

from typing import Any

import numpy as np


def draw_sizes(axis: Any, details: dict[str, Any], level: float) -> None:
    """Size and tokens under every law, on the lines of equal budget."""
    from statlas.core.figures import MARKERS, PALETTE

    budget = details["budget"]
    laws = details["laws"]
    sizes = [law["size"] for law in laws]
    ends = [end for law in laws for end in (law["size_low"], law["size_high"]) if end]
    grid = np.geomspace(min(sizes + ends) / 2, max(sizes + ends) * 2, 60)
    axis.fill_between(
        grid, budget["low"] / 6 / grid, budget["high"] / 6 / grid, color="0.85",
        label=f"budget, {100 * level:g} % interval",
    )  # fmt: skip
    axis.plot(grid, budget["planned"] / 6 / grid, color="0.5", linewidth=1.2, label="as planned")
    for place, law in enumerate(laws):
        colour, marker = PALETTE[place % len(PALETTE)], MARKERS[place % len(MARKERS)]
        if law["size_low"] is not None:
            axis.plot(
                [law["size_low"], law["size_high"]], [law["tokens"]] * 2, color=colour, lw=1.2
            )
            axis.plot(
                [law["size"]] * 2, [law["tokens_low"], law["tokens_high"]], color=colour, lw=1.2
            )
        axis.plot(
            law["size"], law["tokens"], marker, color=colour, markersize=9 if place == 0 else 6,
            label=law["label"] + (" (plan)" if place == 0 else ""),
        )  # fmt: skip
    axis.set(xscale="log", yscale="log", xlabel="parameters", ylabel="tokens")
    axis.set_title("Best size and tokens under every law")
    axis.legend(fontsize=7.5)


def draw_hours(axis: Any, details: dict[str, Any], level: float) -> None:
    """Share of draws in which the plan is done within so many hours."""
    hours = np.sort(np.array(details["hours"], dtype=float))
    shares = (np.arange(len(hours)) + 0.5) / len(hours)
    axis.plot(hours, shares)
    low, high = details["hours_interval"]
    axis.axvspan(low, high, color="C0", alpha=0.12, label=f"{100 * level:g} % interval")
    axis.axvline(details["hours_available"], color="black", linewidth=1.2, label="hours given")
    axis.set_xlim(left=0, right=min(hours.max(), 2.2 * max(high, details["hours_available"])))
    axis.set_ylim(0, 1)
    axis.set(xlabel="hours of all devices", ylabel="chance that the plan is done")
    axis.set_title("How long the plan takes")
    axis.legend(fontsize=8, loc="lower right")


def draw_shapes(axis: Any, details: dict[str, Any]) -> None:
    """Candidate shapes beside published ones, with the rules of depth."""
    published = details["published"]
    axis.plot(
        [row["width"] for row in published], [row["depth"] for row in published], "x", color="0.5",
        markersize=5, label="published models",
    )  # fmt: skip
    shapes = details["shapes"]
    widths = [row["width"] for row in published] + [row["width"] for row in shapes]
    grid = np.geomspace(min(widths) / 1.5, max(widths) * 1.5, 80)
    low, high = details["aspect_range"]
    axis.fill_between(
        grid, grid / high, grid / low, color="C2", alpha=0.10,
        label="width / depth 33 to 715 (Kaplan et al.)",
    )  # fmt: skip
    axis.plot(grid, np.interp(grid, *details["rule"]), color="C1", label=details["rule_label"])
    for row in shapes[:0:-1]:
        axis.plot(row["width"], row["depth"], "o", color="C0", markersize=4.5)
    axis.plot(
        shapes[0]["width"], shapes[0]["depth"], "D", color="C0", markersize=8, label="the plan"
    )
    axis.set(xscale="log", yscale="log", xlabel="width", ylabel="depth (blocks)")
    depths = [row["depth"] for row in published] + [row["depth"] for row in shapes]
    axis.set_ylim(max(0.7, min(depths) / 2), max(depths) * 2.5)
    axis.set_title("Shape")
    axis.legend(fontsize=7.5, loc="upper left")
