"""The panels of the result's figure, drawn from plain numbers."""

from __future__ import annotations

from typing import Any

import numpy as np


def draw_losses(axis: Any, details: dict[str, Any]) -> None:
    """Loss over tokens for each size: runs, the joint fit, Chinchilla's, and what is beyond."""
    import matplotlib as mpl

    curves = details["curves"]
    shades = mpl.colormaps["viridis"](np.linspace(0.05, 0.85, max(len(curves), 2)))
    for shade, curve in zip(shades, curves, strict=False):
        axis.plot(curve["grid"], curve["fit"], color=shade, linewidth=1.3)
        if curve["chinchilla"]:
            axis.plot(curve["grid"], curve["chinchilla"], color=shade, linewidth=0.9, linestyle=":")
        if curve["low"]:
            axis.fill_between(curve["grid"], curve["low"], curve["high"], color=shade, alpha=0.15)
        axis.plot(curve["tokens"], curve["loss"], "o", color=shade, markersize=3.5)
        axis.annotate(
            f"{curve['size']:.2g}", (curve["grid"][-1], curve["fit"][-1]), xytext=(4, 0),
            textcoords="offset points", fontsize=8, color=shade, va="center",
        )  # fmt: skip
    axis.plot([], [], "-", color="0.3", label="Farseer")
    if any(curve["chinchilla"] for curve in curves):
        axis.plot([], [], ":", color="0.3", label="Chinchilla")
    axis.legend(loc="upper right")
    axis.set(xscale="log", yscale="log", xlabel="tokens", ylabel=details["loss_name"])
    axis.margins(x=0.12)
    axis.set_title("Loss of each size (parameters at the curve)")
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter("{x:.2g}")


def draw_exponents(axis: Any, details: dict[str, Any]) -> None:
    """The data exponent over size: differences of each size, the joint fit, Chinchilla's."""
    band = details["exponent"]
    axis.plot(band["sizes"], band["value"], color="C0", label="Farseer, joint")
    axis.fill_between(band["sizes"], band["low"], band["high"], color="C0", alpha=0.15)
    points = details["stage_one"]
    if points:
        axis.plot(
            points["sizes"], points["exponent"], "o", color="C1", label="differences of one size"
        )
    if details["chinchilla_exponent"] is not None:
        axis.axhline(details["chinchilla_exponent"], color="0.3", linestyle=":", label="Chinchilla")
    axis.set(xscale="log", xlabel="parameters", ylabel="data exponent A(N)")
    axis.set_ylim(bottom=0)
    axis.set_title("How fast more tokens pay off")
    axis.legend()


def draw_ratio(axis: Any, details: dict[str, Any], level: float) -> None:
    """Tokens per parameter of the best model over compute, by both laws."""
    for name, colour, dash in (("farseer", "C0", "-"), ("chinchilla", "0.3", ":")):
        line = details["optimum"].get(name)
        if not line:
            continue
        axis.plot(line["compute"], line["ratio"], dash, color=colour, label=name.capitalize())
        axis.fill_between(line["compute"], line["low"], line["high"], color=colour, alpha=0.15)
    axis.axvline(details["target"], color="0.4", linewidth=0.8, linestyle="--")
    axis.set(
        xscale="log", yscale="log", xlabel="compute (FLOP)", ylabel="best tokens per parameter"
    )
    axis.set_title(f"Best ratio, {100 * level:g} % intervals")
    axis.legend()
