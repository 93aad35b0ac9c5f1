"""The panels of the result's figure, drawn from plain numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

STYLE = {
    "hull": ("C0", "hull of compute and loss"),
    "size-law": ("C1", "law in N and D"),
    "shape-law": ("C2", "law in width, depth, N and D"),
}


def draw_lines(axis: Any, details: dict[str, Any]) -> None:
    """Best size over compute by every analysis, the baseline on top."""
    low, high = details["compute_range"]
    target = details["target"]
    ends = np.array([low, target])
    for approach, (colour, label) in STYLE.items():
        cells = [cell for cell in details["cells"] if cell["approach"] == approach]
        for number, cell in enumerate(cells):
            sizes = cell["size"] * (ends / target) ** cell["exponent"]
            axis.plot(
                ends, sizes, color=colour, alpha=0.35, linewidth=0.9,
                label=f"{label} ({len(cells)})" if number == 0 else None,
            )  # fmt: skip
    base = details["baseline"]
    axis.plot(
        ends, base["size"] * (ends / target) ** base["exponent"], color="black", label="baseline"
    )
    axis.plot(*details["hull"], "x", color="black", markersize=5, label="runs on the hull")
    axis.axvline(high, color="0.4", linewidth=0.8, linestyle=":")
    axis.annotate(
        "largest run", (high, 0.02), xycoords=("data", "axes fraction"), rotation=90, fontsize=8,
        ha="right", va="bottom", color="0.4",
    )  # fmt: skip
    axis.set(xscale="log", yscale="log", xlabel="compute (FLOP)", ylabel="best size (parameters)")
    axis.set_ylim(bottom=max(axis.get_ylim()[0], min(details["hull"][1]) / 10))
    axis.set_title("Best size under every analysis")
    axis.legend(fontsize=8)


def draw_curve(axis: Any, details: dict[str, Any], level: float) -> None:
    """The analyses in order of their outcome, each with its sampling interval."""
    cells = sorted(details["cells"], key=lambda cell: float(cell["outcome"]))
    for place, cell in enumerate(cells):
        colour = STYLE[cell["approach"]][0]
        if cell["low"] is not None and cell["high"] is not None:
            axis.plot([place] * 2, [cell["low"], cell["high"]], color=colour, alpha=0.35, lw=0.9)
        axis.plot(place, cell["outcome"], "o", color=colour, markersize=2.5)
        if cell["baseline"]:
            axis.plot(place, cell["outcome"], "D", color="black", markersize=6, zorder=5)
    if details["log"]:
        axis.set_yscale("log")
        values = np.array([cell["outcome"] for cell in cells], dtype=float)
        room = 30.0  # intervals may reach to 0
        axis.set_ylim(
            max(axis.get_ylim()[0], values.min() / room),
            min(axis.get_ylim()[1], values.max() * room),
        )
    axis.set_xlabel(f"analyses in order; bars: {100 * level:g} % interval of each")
    axis.set_ylabel(details["outcome_label"])
    axis.set_title(f"{len(cells)} analyses of the same runs")


def draw_shares(axis: Any, rows: list[dict[str, Any]], level: float) -> None:
    """Variance shares of the choices, alone and with interactions."""
    for place, row in enumerate(rows):
        axis.barh(place, row["total"], height=0.6, color="C4", label=None if place else "in all")
        axis.barh(place, row["alone"], height=0.6, color="C0", label=None if place else "by itself")
        if row["low"] is not None and row["high"] is not None:
            axis.plot([row["low"], row["high"]], [place, place], color="black", linewidth=1.4)
    axis.set_yticks(range(len(rows)), [row["words"] for row in rows])
    axis.invert_yaxis()
    axis.set_xlim(left=0)
    axis.set_xlabel(f"share of the variance over analyses; bar: {100 * level:g} % interval")
    axis.set_title("Which choice moves it")
    axis.legend(fontsize=8, loc="lower right")


def draw_shapes(axis: Any, details: dict[str, Any]) -> None:
    """Shapes tried, and the best shape at the target under every analysis that has one."""
    from matplotlib.ticker import FixedLocator, NullFormatter

    axis.plot(*details["shapes"], "x", color="0.45", markersize=5, label="shapes tried")
    cells = [cell for cell in details["cells"] if cell["width"] is not None]
    axis.plot(
        [cell["width"] for cell in cells], [cell["depth"] for cell in cells], "o",
        color=STYLE["shape-law"][0], alpha=0.5, markersize=4,
        label="best at the target, every analysis",
    )  # fmt: skip
    best = details["best_shape"]
    if best is not None:
        axis.plot([best["width_low"], best["width_high"]], [best["depth"]] * 2, color="black")
        axis.plot([best["width"]] * 2, [best["depth_low"], best["depth_high"]], color="black")
        axis.plot(best["width"], best["depth"], "D", color="black", markersize=6, label="baseline")
    axis.set(xscale="log", yscale="log", xlabel="width", ylabel="depth (blocks)")
    for side, tried in zip((axis.xaxis, axis.yaxis), details["shapes"], strict=True):
        if max(tried) < 30 * min(tried):  # too few powers of ten to read the scale from
            side.set_major_locator(FixedLocator(_thinned(tried)))
            side.set_major_formatter("{x:g}")
            side.set_minor_formatter(NullFormatter())
    axis.set_title("Best shape at the budget planned for")
    axis.legend(fontsize=8)


def _thinned(values: list[float]) -> list[float]:
    """Distinct values that are at least a factor of 1.3 apart."""
    kept: list[float] = []
    for value in sorted(set(values)):
        if not kept or value >= 1.3 * kept[-1]:
            kept.append(value)
    return kept
