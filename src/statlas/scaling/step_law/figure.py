"""The figure's data, and its panels drawn from plain numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtri

from statlas.scaling.step_law.answer import Findings
from statlas.scaling.step_law.cells import AXES, Valley
from statlas.scaling.step_law.surrogate import curvature

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_LABELS = ("learning rate", "batch size (tokens)")
_KEYS = ("learning_rate", "batch_size")
_POINTS = 60


# --- the data -------------------------------------------------------------------------------------


def details_of(found: Findings) -> dict[str, Any]:
    """What the figure needs, and diagnostics."""
    return {
        "cells": [_cell_of(found, valley) for valley in found.valleys],
        "lines": [_lines_of(found, axis) for axis in range(2)],
        "valley": _valley_of(found),
        "target": found.target.as_dict(),
        "tolerance": found.tolerance,
        "level": found.level,
        "other_windows": found.other_windows,
        "rule_costs": {name: list(cost) for name, cost in found.rules.items()},
        "near_best": found.near_best,
    }


def _cell_of(found: Findings, valley: Valley) -> dict[str, Any]:
    reach = float(ndtri((1 + found.level) / 2)) * valley.error
    best = valley.surrogate.best
    return {
        "parameters": valley.cell.parameters,
        "tokens": valley.cell.tokens,
        "best": np.exp(best),
        "low": np.exp(best - reach),
        "high": np.exp(best + reach),
        "side": valley.sides,
        "noise": valley.noise,
        "weight": float(valley.surrogate.weights.sum()),
        "convex": valley.surrogate.convex,
    }


def _lines_of(found: Findings, axis: int) -> list[dict[str, Any]]:
    """The law over tokens for the sizes of the cells, with its interval."""
    law = found.laws[axis]
    if law is None:
        return []
    tokens = [v.cell.tokens for v in found.valleys]
    grid = np.geomspace(min(tokens), max(tokens), _POINTS)
    sizes = sorted({v.cell.parameters for v in found.valleys})
    by_size = "parameters" in law.power.terms or law.power.borrowed.get("parameters", 0.0) != 0
    lines = []
    for size in sizes if by_size else sizes[:1]:
        rows = np.column_stack([np.full(_POINTS, np.log(size)), np.log(grid)])
        centre, drawn = law.power.predict(rows)
        low, high = np.quantile(drawn, [(1 - found.level) / 2, (1 + found.level) / 2], axis=0)
        lines.append(
            {
                "parameters": size if by_size else None,
                "tokens": grid,
                "setting": np.exp(centre),
                "low": np.exp(low),
                "high": np.exp(high),
            }
        )
    return lines


def _valley_of(found: Findings) -> dict[str, Any]:
    """One cell to look at: with both settings and an optimum inside, and the most runs near it."""

    def merit(valley: Valley) -> tuple[int, int, float]:
        inside = int(np.sum(valley.sides == 0))
        return valley.cell.n_axes, inside, float(valley.surrogate.weights.sum())

    valley = max(found.valleys, key=merit)
    cell, fit = valley.cell, valley.surrogate
    law_point = [
        np.nan if law is None else float(np.exp(law.power.predict(cell.log_sizes[None])[0][0]))
        for law in found.laws
    ]
    view: dict[str, Any] = {
        "parameters": cell.parameters,
        "tokens": cell.tokens,
        "settings": np.exp(cell.log_settings),
        "excess": 100 * np.expm1(cell.log_loss - fit.best_log_loss),
        "weights": fit.weights,
        "best": np.exp(fit.best),
        "law": law_point,
    }
    rise = float(np.log1p(found.tolerance))
    if cell.n_axes == 1:
        at = np.linspace(fit.low, fit.high, _POINTS)
        view["curve"] = [np.exp(at[:, 0]), 100 * np.expm1(fit.log_loss(at) - fit.best_log_loss)]
    elif fit.convex and np.all(valley.side == 0):
        values, vectors = np.linalg.eigh(curvature(fit.coefficients))
        angle = np.linspace(0, 2 * np.pi, 121)
        circle = np.stack([np.cos(angle), np.sin(angle)]) * np.sqrt(2 * rise / values)[:, None]
        view["ellipse"] = np.exp(fit.best + (vectors @ circle).T)
    return view


# --- the panels -----------------------------------------------------------------------------------


def draw_fitted(figure: Figure, details: dict[str, Any]) -> None:
    """Best settings over tokens with the laws, and one valley."""
    has_batch = any(len(cell["best"]) > 1 for cell in details["cells"])
    axes = figure.subplots(1, 3 if has_batch else 2)
    figure.set_size_inches(14.5 if has_batch else 9.8, 4.6)
    sizes = sorted({cell["parameters"] for cell in details["cells"]})
    for axis in range(2 if has_batch else 1):
        _draw_law(axes[axis], details, axis, sizes)
    _draw_valley(axes[-1], details)


def _shades(sizes: list[float]) -> dict[float, Any]:
    import matplotlib as mpl

    places = np.linspace(0.0, 0.85, max(len(sizes), 2))
    return dict(zip(sizes, mpl.colormaps["viridis"](places), strict=False))


def _draw_law(panel: Any, details: dict[str, Any], axis: int, sizes: list[float]) -> None:
    from statlas.core.figures import MARKERS

    shades = _shades(sizes)
    markers = {size: MARKERS[place % len(MARKERS)] for place, size in enumerate(sizes)}
    for line in details["lines"][axis]:
        shade = "0.3" if line["parameters"] is None else shades[line["parameters"]]
        panel.plot(line["tokens"], line["setting"], color=shade, linewidth=1.4)
        if np.all(np.isfinite(np.asarray(line["low"], dtype=float))):
            panel.fill_between(
                line["tokens"], line["low"], line["high"], color=shade, alpha=0.10, linewidth=0
            )
    for cell in details["cells"]:
        if len(cell["best"]) <= axis or cell["side"][axis] == 2:
            continue
        shade, side = shades[cell["parameters"]], cell["side"][axis]
        low, best, high = cell["low"][axis], cell["best"][axis], cell["high"][axis]
        if side == 0:
            panel.plot([cell["tokens"]] * 2, [low, high], color=shade, linewidth=1.2)
        panel.plot(
            cell["tokens"], best, marker=markers[cell["parameters"]] if side == 0 else
            ("$\\uparrow$" if side > 0 else "$\\downarrow$"), color=shade,
            markersize=6 if side == 0 else 11, linestyle="none",
        )  # fmt: skip
    for size in sizes:
        panel.plot([], [], markers[size] + "-", color=shades[size], label=f"{size:.3g} parameters")
    if any(abs(cell["side"][axis]) == 1 for cell in details["cells"] if len(cell["side"]) > axis):
        panel.plot([], [], marker="$\\uparrow$", color="0.3", linestyle="none", label="bound only")
    panel.set(xscale="log", yscale="log", xlabel="tokens", ylabel=_LABELS[axis])
    _few_ticks(panel)
    panel.set_title(f"Best {AXES[axis]}, {100 * details['level']:g} % intervals")
    if axis == 0:
        panel.legend(fontsize=8)


def _few_ticks(panel: Any) -> None:
    """Ticks at 1, 2 and 5 in every decade, written short."""
    from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullFormatter

    for axis, form in (
        (panel.xaxis, EngFormatter(sep="")),
        (panel.yaxis, FuncFormatter(lambda value, _: f"{value:.3g}")),
    ):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(form)
        axis.set_minor_formatter(NullFormatter())


def _draw_valley(panel: Any, details: dict[str, Any]) -> None:
    view = details["valley"]
    settings = np.asarray(view["settings"], dtype=float)
    excess = np.asarray(view["excess"], dtype=float)
    title = f"{view['parameters']:.3g} parameters, {view['tokens']:.3g} tokens"
    if settings.shape[1] == 1:
        panel.plot(settings[:, 0], excess, "o", color="C0", label="run")
        panel.plot(*view["curve"], color="C1", label="quadratic near the optimum")
        panel.axvline(view["law"][0], color="C2", linestyle="--", label="the law")
        panel.axhline(100 * details["tolerance"], color="0.4", linestyle=":", label="plateau")
        top = float(np.quantile(excess, 0.8))
        panel.set(
            xscale="log", xlabel=_LABELS[0], ylabel="excess loss (%)", ylim=(-0.05 * top, top)
        )
        panel.set_title(title)
        panel.legend(fontsize=8)
        return
    shown = np.clip(excess, 0.05, 20)
    order = np.argsort(-shown)
    dots = panel.scatter(
        settings[order, 0], settings[order, 1], c=shown[order], cmap="viridis_r", norm="log",
        s=34, linewidths=0,
    )  # fmt: skip
    bar = panel.figure.colorbar(dots, ax=panel, label="excess loss (%)", format="%g")
    bar.ax.set_label("<colorbar>")
    if "ellipse" in view:
        outline = np.asarray(view["ellipse"], dtype=float)
        panel.plot(*outline.T, color="C1", label=f"within {100 * details['tolerance']:g} %")
    panel.plot(*view["best"], "P", color="C1", markersize=9, label="best")
    if view["law"][0] is not None and view["law"][1] is not None:
        panel.plot(*view["law"], "X", color="C3", markersize=9, label="the laws")
    panel.set(xscale="log", yscale="log", xlabel=_LABELS[0], ylabel=_LABELS[1])
    panel.set_title(title)
    panel.legend(fontsize=8, loc="upper left", frameon=True, framealpha=0.85)


def draw_published(figure: Figure, details: dict[str, Any]) -> None:
    """What published rules advise, side by side."""
    from statlas.core.figures import MARKERS

    panel = figure.subplots()
    for place, row in enumerate(details["rules"]):
        rate, batch = row["learning_rate"], row["batch_size"]
        if rate is None or batch is None or not np.isfinite([rate, batch]).all():
            continue
        colour = f"C{place}"
        panel.plot(rate, batch, MARKERS[place], color=colour, markersize=8, label=row["rule"])
        if row["learning_rate_low"] is not None and np.isfinite(row["learning_rate_low"]):
            ends = [row["learning_rate_low"], row["learning_rate_high"]]
            panel.plot(ends, [batch, batch], color=colour)
            panel.plot([rate, rate], [row["batch_size_low"], row["batch_size_high"]], color=colour)
    target = details["target"]
    panel.set(xscale="log", yscale="log", xlabel=_LABELS[0], ylabel=_LABELS[1])
    panel.set_title(
        f"Published advice for {target['parameters']:.3g} parameters, {target['tokens']:.3g} tokens"
    )
    panel.legend()
