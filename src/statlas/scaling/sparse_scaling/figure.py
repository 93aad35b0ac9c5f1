"""The panels of the result's figure, drawn from plain numbers."""

from __future__ import annotations

from typing import Any

import numpy as np


def draw_fit(axis: Any, points: list[dict[str, Any]]) -> None:
    """Observed losses over those of the one law, by architecture."""
    from statlas.core.figures import MARKERS, PALETTE, plain_label

    values = np.concatenate([[*group["fitted"], *group["observed"]] for group in points])
    ends = [values.min() / 1.01, values.max() * 1.01]
    axis.plot(ends, ends, color="0.5", linewidth=0.8)
    for place, group in enumerate(points):
        axis.plot(
            group["fitted"], group["observed"], MARKERS[place % len(MARKERS)],
            color=PALETTE[place % len(PALETTE)], markersize=3.5, alpha=0.8,
            label=plain_label(group["architecture"]),
        )  # fmt: skip
    axis.set(xscale="log", yscale="log", xlabel="loss by the one law", ylabel="loss observed")
    for which in (axis.xaxis, axis.yaxis):
        which.set_major_formatter("{x:g}")
        which.set_minor_formatter("{x:.2g}")
    axis.set_title("One law for all runs")
    axis.legend()


def draw_sparsity(axis: Any, details: dict[str, Any]) -> None:
    """Loss over sparsity at equal active and at equal stored parameters."""
    for name, colour, dash in (("active", "C0", "-"), ("stored", "C1", "--")):
        line = details["sparsity_lines"][name]
        label = f"same {'active' if name == 'active' else 'stored'} parameters"
        axis.plot(line["sparsity"], line["loss"], dash, color=colour, label=label)
        axis.fill_between(line["sparsity"], line["low"], line["high"], color=colour, alpha=0.15)
    axis.plot(
        details["target"]["sparsity"], details["target"]["loss"], "D", color="C0", markersize=6
    )
    axis.set(xlabel="sparsity S", ylabel="loss")
    axis.set_title(
        f"{details['target']['active']:.3g} parameters, {details['target']['tokens']:.3g} tokens"
    )
    axis.legend()


def draw_schemes(axis: Any, rows: list[dict[str, Any]]) -> None:
    """Errors of each way of describing the runs, fitted and held out."""
    for place, row in enumerate(rows):
        axis.plot(100 * row["fit_error"], place, "o", color="C0")
        if row["held_out_error"] is not None and np.isfinite(row["held_out_error"]):
            axis.plot(100 * row["held_out_error"], place, "s", color="C1")
    axis.plot([], [], "o", color="C0", label="fitted")
    axis.plot([], [], "s", color="C1", label="models held out")
    axis.set_yticks(
        range(len(rows)), [f"{row['scheme']} ({row['constants']})" for row in rows], fontsize=8
    )
    axis.invert_yaxis()
    axis.set(xscale="log", xlabel="error of the loss (%)")
    for format_ in (axis.xaxis.set_major_formatter, axis.xaxis.set_minor_formatter):
        format_("{x:.2g}")
    axis.set_title("Laws (constants) and their errors")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncol=2)
