"""The three panels of the result's figure, drawn from plain numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

_STYLES = {
    "loss to loss": ("C0", "o"),
    "through the first law": ("C4", "P"),
    "own law": ("C1", "s"),
    "law of compute": ("C3", "D"),
    "straight line": ("C7", "v"),
    "carried across": ("C0", "o"),
    "law from few": ("C1", "s"),
    "law from all": ("C2", "^"),
}


def draw_pairs(axis: Any, details: dict[str, Any]) -> None:
    """Second loss over first loss, with the fitted relation and the forecast of each."""
    from statlas.core.figures import MARKERS, plain_label

    for place, curve in enumerate(details["curves"]):
        colour = f"C{place % 8}"
        axis.plot(
            curve["first"], curve["second"], MARKERS[place % len(MARKERS)], color=colour,
            markersize=3, alpha=0.45,
        )  # fmt: skip
        axis.plot(curve["grid"], curve["fitted"], color=colour, label=plain_label(curve["name"]))
        axis.fill_between(curve["grid"], curve["low"], curve["high"], color=colour, alpha=0.15)
        axis.plot([curve["at"]] * 2, [curve["forecast_low"], curve["forecast_high"]], color=colour)
        axis.plot(
            curve["at"], curve["forecast"], "*", color=colour, markersize=11,
            markeredgecolor="black", markeredgewidth=0.5,
        )  # fmt: skip
    axis.set(
        xlabel=plain_label(f"first loss: {details['first']}"), ylabel="second loss, same training"
    )
    axis.set_title("Pairs, relation and forecast (star)")
    axis.legend(fontsize=8)


def draw_errors(axis: Any, table: pd.DataFrame, prefix: str, title: str) -> None:
    """Mean relative error of each way of predicting, a row a relation."""
    from matplotlib.ticker import LogLocator, NullFormatter

    from statlas.core.figures import plain_label

    places = np.arange(len(table))
    for name, (colour, marker) in _STYLES.items():
        column = f"{prefix}, {name}"
        if column in table:
            axis.plot(
                100 * table[column], places, marker, color=colour, markerfacecolor="none",
                markeredgewidth=1.6, label=name,
            )  # fmt: skip
    axis.set_yticks(places, [plain_label(str(name)) for name in table["second"]])
    axis.set_ylim(len(table) - 0.5, -0.5)
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xlabel("mean relative error of the second loss (%)")
    axis.set_title(title)
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncol=2, fontsize=8)
