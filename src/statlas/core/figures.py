"""One house style: readable in print and by the colour-blind, axes named, intervals drawn."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import matplotlib as mpl
from cycler import cycler
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from statlas.core.errors import InputError

# Okabe and Ito's palette, distinguishable under the common colour-vision deficiencies.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#999999")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<")

# The keys are a Literal in matplotlib's stubs, which differs between its versions.
_STYLE: dict[Any, Any] = {
    "figure.figsize": (7.2, 4.2),
    "figure.dpi": 110,
    "savefig.dpi": 160,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e2e2e2",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "statlas",
    "axes.prop_cycle": cycler(color=PALETTE),
}


def color_of(number: int) -> str:
    """The colour with this number, from 0 on; after the last comes the first again."""
    return PALETTE[number % len(PALETTE)]


def plain_label(text: str) -> str:
    r"""Text of the user's for a figure, in which a pair of dollar signs would start a formula.

    >>> plain_label("a$b$")
    'a\\$b\\$'
    """
    return text.replace("$", r"\$")


FigureFormat = Literal["svg", "png", "pdf"]


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in the house style; matplotlib's global settings are left as they were."""
    with mpl.rc_context(_STYLE):
        yield


def new_figure() -> Figure:
    """An empty figure that belongs to no global state."""
    figure = Figure()
    FigureCanvasAgg(figure)
    return figure


def figure_bytes(figure: Figure, kind: str) -> bytes:
    """The figure as a file's content, the same bytes for the same figure.

    Raises
    ------
    InputError
        If `kind` is not svg, png or pdf.
    """
    if kind not in ("svg", "png", "pdf"):
        raise InputError(
            f"figures are written as svg, png or pdf; got {kind!r}",
            remedy="end the file name with .svg, .png or .pdf",
        )
    buffer = io.BytesIO()
    metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {}}[kind]
    with house_style():
        figure.savefig(buffer, format=kind, metadata=metadata)
    return buffer.getvalue()
