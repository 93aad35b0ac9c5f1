"""The panels of the result's figure, drawn from plain numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

_DRAWN = 5  # curves in the first panel: more hide each other


def _numbers(values: Any) -> Any:
    """Numbers as saved results hold them: gaps are None."""
    return np.array([np.nan if value is None else float(value) for value in values])


def draw_curves(axis: Any, details: dict[str, Any]) -> None:
    """Measured errors, fitted laws with intervals, and where the power law begins and ends."""
    from statlas.core.figures import MARKERS, plain_label

    curves = details["curves"]
    some = np.unique(np.linspace(0, len(curves) - 1, min(_DRAWN, len(curves))).astype(int))
    for place, row in enumerate(some):
        curve, colour = curves[row], f"C{place}"
        axis.plot(
            curve["n"], curve["error"], MARKERS[place], color=colour, markersize=4,
            label=f"{plain_label(curve['name'][:24])}, n^-{curve['exponent']:.2f}",
        )  # fmt: skip
        axis.plot(curve["grid"], curve["fitted"], color=colour, linewidth=1.3)
        axis.fill_between(
            curve["grid"], curve["low"], curve["high"], color=colour, alpha=0.13, linewidth=0
        )
        for end, marker in (("begin", "|"), ("end", "_")):
            at = curve[end]
            if at is not None and curve["grid"][0] <= float(at) <= curve["grid"][-1]:
                level = np.interp(np.log(float(at)), np.log(curve["grid"]), curve["fitted"])
                axis.plot(float(at), level, marker, color="black", markersize=13, zorder=4)
    axis.plot([], [], "|", color="black", markersize=9, label="power law begins")
    axis.plot([], [], "_", color="black", markersize=9, label="floor takes over")
    axis.set(xscale="log", yscale="log", xlabel="training examples")
    axis.set_ylabel(plain_label(details["unit"]))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter("{x:.2g}")
    axis.tick_params(axis="y", which="minor", labelsize=8)
    shown = f"{len(some)} of {len(curves)} curves" if len(some) < len(curves) else "Curves"
    axis.set_title(f"{shown}, {100 * details['level']:g} % interval")
    axis.legend(fontsize=8, loc="lower left")


def draw_slopes(axis: Any, details: dict[str, Any]) -> None:
    """The exponent of every curve, and the shared one."""
    from statlas.core.figures import plain_label

    curves, shared = details["curves"], details["shared"]
    if shared is not None:
        axis.axvspan(*shared["interval"], color="C1", alpha=0.2, linewidth=0)
        axis.axvline(shared["exponent"], color="C1", linewidth=1.2, label="shared by all")
    for place, curve in enumerate(curves):
        axis.plot([curve["exponent_low"], curve["exponent_high"]], [place, place], color="C0")
        axis.plot(curve["exponent"], place, "o", color="C0")
    ends = _numbers([curve["exponent_high"] for curve in curves])
    usual = 1.5 * float(np.max([curve["exponent"] for curve in curves]))
    axis.set_xlim(-0.02, min(1.05 * float(ends.max()), max(usual, 0.2)))
    axis.set_yticks(
        range(len(curves)), [plain_label(curve["name"][:24]) for curve in curves], fontsize=9
    )
    axis.invert_yaxis()
    axis.set_xlabel(f"exponent, {100 * details['level']:g} % interval")
    axis.set_title("Steepness, the lowest error on top")
    axis.legend(loc="best", fontsize=8)


def draw_growth(axis: Any, growth: dict[str, Any]) -> None:
    """Best model size over examples with the law of growth."""
    from statlas.core.figures import plain_label

    size, spread = _numbers(growth["size"]), _numbers(growth["spread"])
    ends = np.vstack([size * (1 - np.exp(-1.96 * spread)), size * (np.exp(1.96 * spread) - 1)])
    axis.errorbar(
        growth["n"], size, yerr=np.nan_to_num(ends), fmt="o", color="black", elinewidth=1.0,
        label="best size",
    )  # fmt: skip
    axis.plot(growth["grid"], growth["fitted"], color="C0", label=f"n^{growth['exponent']:.2f}")
    axis.fill_between(
        growth["grid"], growth["low"], growth["high"], color="C0", alpha=0.15, linewidth=0
    )
    for tried in growth["sizes"]:
        axis.axhline(tried, color="0.85", linewidth=0.6, zorder=0)
    axis.set(xscale="log", yscale="log", xlabel="training examples", ylabel="best parameters")
    sizes = _numbers(growth["sizes"])
    axis.set_ylim(0.7 * sizes.min(), 1.4 * sizes.max())
    axis.set_title(plain_label(f"Growth, {growth['name'].split(', ')[-1]}"))
    axis.legend(fontsize=8, loc="upper left")
