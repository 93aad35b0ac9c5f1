"""The panels of the figure, drawn from plain numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_all(figure: Figure, details: dict[str, Any]) -> None:
    """Losses over effective tokens, the worth of each text, and held-out errors."""
    count = len(details["labels"])
    axes = figure.subplots(1, 3)
    figure.set_size_inches(15.0, max(4.6, 1.6 + 0.3 * count))
    order = np.argsort(-np.asarray(details["worth"][0], dtype=float), kind="stable")
    _draw_losses(axes[0], details, order)
    _draw_worth(axes[1], details, order)
    _draw_errors(axes[2], details, order)


def _styles(count: int) -> list[tuple[Any, str]]:
    """A colour and marker for each text, in order of worth."""
    import matplotlib as mpl

    from statlas.core.figures import MARKERS

    shades = mpl.colormaps["viridis"](np.linspace(0.0, 0.9, max(count, 2)))
    return [(shades[place], MARKERS[place % len(MARKERS)]) for place in range(count)]


def _draw_losses(panel: Any, details: dict[str, Any], order: Any) -> None:
    points = details["points"]
    text = np.asarray(points["text"])
    styles = _styles(len(order))
    for place, number in enumerate(order):
        rows = text == number
        shade, marker = styles[place]
        panel.plot(
            np.asarray(points["effective"])[rows], np.asarray(points["loss"])[rows], marker,
            color=shade, markersize=3.5, linestyle="none",
        )  # fmt: skip
    for line in details["lines"]:
        panel.plot(line["effective"], line["loss"], color="0.35", linewidth=1.0)
        panel.annotate(
            f"{line['parameters']:.3g}", (line["effective"][-1], line["loss"][-1]),
            xytext=(3, 0), textcoords="offset points", fontsize=8, color="0.35", va="center",
        )  # fmt: skip
    panel.set(
        xscale="log", xlabel=f"effective tokens (tokens of {_short(details['reference'])})",
        ylabel="loss",
    )  # fmt: skip
    panel.margins(x=0.12)
    panel.set_title("Losses and law, parameters at the curve")


def _short(label: str, most: int = 28) -> str:
    from statlas.core.figures import plain_label

    return plain_label(label if len(label) <= most else label[: most - 1] + "…")


def _draw_worth(panel: Any, details: dict[str, Any], order: Any) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    worth, low, high = (np.asarray(part, dtype=float)[order] for part in details["worth"])
    own = [np.asarray(part, dtype=float)[order] for part in details["own_worth"]]
    places = np.arange(len(order))
    smallest = 0.3 * float(np.nanmin([worth.min(), own[0].min()]))
    largest = 3.0 * float(np.nanmax([worth.max(), own[0].max()]))
    for ends, shift, colour in (((low, high), -0.15, "C0"), ((own[1], own[2]), 0.15, "C1")):
        left, right = (np.clip(end, smallest, largest) for end in ends)
        panel.hlines(places + shift, left, right, color=colour, linewidth=1.4)
    panel.plot(worth, places - 0.15, "o", color="C0", label="by its measures")
    panel.plot(own[0], places + 0.15, "s", color="C1", label="by its own runs")
    panel.axvline(1, color="black", linewidth=0.8)
    panel.set_yticks(places, [_short(details["labels"][number]) for number in order])
    for label, (shade, _) in zip(panel.get_yticklabels(), _styles(len(order)), strict=True):
        label.set_color(shade)
    panel.invert_yaxis()
    panel.set(xscale="log", xlabel=f"worth of a token, {100 * details['level']:g} % interval")
    panel.set_xlim(smallest, largest)
    panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.xaxis.set_major_formatter("{x:.3g}")
    panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_title(f"A token of {_short(details['reference'], 18)} is 1")
    panel.legend(loc="best", fontsize=8)


def _draw_errors(panel: Any, details: dict[str, Any], order: Any) -> None:
    without, with_term = (np.asarray(part, dtype=float)[order] for part in details["errors"])
    places = np.arange(len(order))
    panel.hlines(places, without, with_term, color="0.6", linewidth=1.2)
    panel.plot(without, places, "o", color="C3", markerfacecolor="white", label="without measures")
    panel.plot(with_term, places, "o", color="C0", label="with measures")
    panel.set_yticks(places, [_short(details["labels"][number]) for number in order])
    panel.invert_yaxis()
    panel.set_xlim(left=0)
    panel.set_xlabel("error of the loss of a text left out (%)")
    panel.set_title("Prediction of unseen texts")
    panel.legend(loc="best", fontsize=8)
