"""The three panels of the result's figure, drawn from plain numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

_METHODS = {
    "two steps": ("C0", "o"),
    "two steps by compute": ("C4", "v"),
    "one-step sigmoid": ("C1", "s"),
    "one-step power law": ("C3", "D"),
}


def _shades(sizes: list[float]) -> dict[float, Any]:
    import matplotlib as mpl

    logs = np.log(sizes)
    span = max(float(np.ptp(logs)), 1e-9)
    places = 0.05 + 0.8 * (logs - logs.min()) / span
    return dict(zip(sizes, mpl.colormaps["viridis"](places), strict=True))


def draw_loss_step(axis: Any, details: dict[str, Any]) -> None:
    """Step 1: task loss over tokens, a curve a size, and the run that is forecast."""
    from statlas.core.figures import plain_label

    finals, target = details["finals"], details["target"]
    shades = _shades(sorted(set(finals["size"])))
    axis.scatter(
        finals["tokens"], finals["loss"], c=[shades[size] for size in finals["size"]], s=12
    )
    for curve in details["curves"]:
        shade = shades.get(curve["size"], "C1")
        axis.plot(curve["tokens"], curve["loss"], color=shade, linewidth=1.2)
        axis.annotate(
            f"{curve['size']:.2g}", (curve["tokens"][-1], curve["loss"][-1]), xytext=(6, 0),
            textcoords="offset points", va="center", fontsize=8, color=shade,
        )  # fmt: skip
    axis.plot([target["tokens"]] * 2, [target["loss_low"], target["loss_high"]], color="C1")
    axis.plot(target["tokens"], target["loss"], "D", color="C1", label="forecast")
    axis.set(xscale="log", xlabel="tokens", ylabel=f"task loss, {plain_label(details['shown'])}")
    axis.margins(x=0.12)
    axis.set_title("Step 1: task loss (parameters at the curve)")


def draw_accuracy_step(axis: Any, details: dict[str, Any]) -> None:
    """Step 2: accuracy over task loss with the sigmoid and its band."""
    from statlas.core.figures import plain_label

    pairs, link, target = details["pairs"], details["link"], details["target"]
    shades = _shades(sorted(set(pairs["size"])))
    axis.scatter(pairs["loss"], pairs["accuracy"], c=[shades[size] for size in pairs["size"]], s=9)
    axis.fill_between(link["loss"], link["low"], link["high"], color="black", alpha=0.15)
    axis.plot(link["loss"], link["accuracy"], color="black", label="sigmoid")
    axis.plot([target["loss"]] * 2, [target["low"], target["high"]], color="C1")
    axis.plot([target["loss_low"], target["loss_high"]], [target["accuracy"]] * 2, color="C1")
    axis.plot(target["loss"], target["accuracy"], "D", color="C1", label="forecast")
    axis.set(
        xlabel=f"task loss, {plain_label(details['shown'])}",
        ylabel=f"accuracy ({details['perfect']:g} is perfect)",
    )
    axis.set_title("Step 2: accuracy")
    axis.legend()


def draw_tasks(axis: Any, table: pd.DataFrame, details: dict[str, Any]) -> None:
    """Forecasts of all tasks, and the errors of each method on held-out runs."""
    from statlas.core.figures import plain_label

    places = np.arange(len(table))
    axis.hlines(places - 0.15, table["low"], table["high"], color="C0")
    axis.plot(table["accuracy"], places - 0.15, "D", color="C0", label="forecast")
    styles = {
        method: style for method, style in _METHODS.items() if f"held-out error, {method}" in table
    }
    for method, (colour, marker) in styles.items():
        errors = table[f"held-out error, {method}"]
        axis.plot(
            errors, places + 0.2, marker, color=colour, markerfacecolor="none",
            label=f"held-out error, {method}",
        )  # fmt: skip
    axis.set_yticks(places, [plain_label(str(name)) for name in table["task"]])
    axis.set_ylim(len(table) - 0.4, -0.6)
    axis.set_xlim(left=0)
    axis.set_xlabel(
        f"accuracy, {100 * details['level']:g} % interval for one run; mean absolute error"
    )
    axis.set_title("Forecasts, and errors on dearer runs held out")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncol=2, fontsize=8)
