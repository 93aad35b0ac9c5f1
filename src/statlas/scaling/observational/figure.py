"""The panels of the result's figure, drawn from plain numbers."""

from __future__ import annotations

from typing import Any

import numpy as np


def draw_link(axis: Any, details: dict[str, Any], target: str, level: float) -> None:
    """Downstream score over the capability that it asks for, and the fitted sigmoid."""
    from statlas.core.figures import plain_label

    curve = details["link_curve"]
    axis.fill_between(
        curve["index"], curve["low"], curve["high"], color="C0", alpha=0.15, linewidth=0,
        label=f"{100 * level:g} % interval of a score",
    )  # fmt: skip
    axis.plot(curve["index"], curve["score"], color="C0", label="fitted sigmoid")
    models = [row for row in details["models"] if row["target"] is not None]
    axis.plot(
        [row["index"] for row in models], [row["target"] for row in models], "o", color="black",
        markersize=3.5, alpha=0.7, label="models",
    )  # fmt: skip
    axis.set(xlabel="capability index (logits)", ylabel=plain_label(target), ylim=(-0.03, 1.03))
    axis.set_title("Downstream score from benchmarks")
    axis.legend(loc="upper left")


def draw_lines(axis: Any, details: dict[str, Any]) -> None:
    """Capability over compute with the line of each family."""
    import matplotlib as mpl

    lines = details["lines"]
    shades = mpl.colormaps["viridis"](np.linspace(0, 0.9, max(len(lines), 2)))
    for shade, line in zip(shades, lines, strict=False):
        axis.plot(line["compute"], line["index"], color=shade, linewidth=1.0, alpha=0.8)
        rows = [row for row in details["models"] if row["family"] == line["family"]]
        rows = [row for row in rows if row["compute"] is not None]
        axis.plot(
            [row["compute"] for row in rows], [row["index"] for row in rows], "o", color=shade,
            markersize=3.5,
        )  # fmt: skip
    axis.set(xscale="log", xlabel="training compute (FLOP)", ylabel="capability index (logits)")
    axis.set_title("Compute, a line each family")


def draw_forecasts(axis: Any, rows: list[dict[str, Any]], target: str, level: float) -> None:
    """Forecast scores with their intervals."""
    from statlas.core.figures import plain_label

    colours = {"new family": "C1", "seen family": "C0", "benchmark scores": "C2", "fitted": "0.4"}
    for place, row in enumerate(rows):
        colour = colours[row["kind"]]
        axis.plot([row["low"], row["high"]], [place, place], color=colour, linewidth=1.4)
        axis.plot(
            [row["expected_low"], row["expected_high"]], [place, place], color=colour,
            linewidth=4, alpha=0.4, solid_capstyle="butt",
        )  # fmt: skip
        axis.plot(row["score"], place, "o", color=colour, markersize=5)
    axis.set_yticks(range(len(rows)), [plain_label(row["label"]) for row in rows], fontsize=8)
    axis.invert_yaxis()
    axis.set(xlim=(-0.03, 1.03))
    axis.set_xlabel(
        f"{plain_label(target)}, {100 * level:g} % interval\n(wide bar: expected score)"
    )
    axis.set_title("Forecasts")
