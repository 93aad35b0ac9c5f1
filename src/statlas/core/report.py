"""Reports: a result as one self-contained HTML page that reads well on a phone and on paper."""

from __future__ import annotations

import datetime
import math
from functools import cache
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup

from statlas.catalog import Entry, UnknownPaper, bibtex, load_catalogue
from statlas.core.figures import figure_bytes
from statlas.core.results import Result

# Longer tables are cut in the page (never in JSON or CSV), and the page says so.
_MAX_ROWS = 500


def render_page(result: Result) -> str:
    """The full report page of a result."""
    return _template("report.html").render(**_context(result), now=_now())


def render_fragment(result: Result) -> str:
    """Headline, notes and table, as a notebook shows a result."""
    return _template("fragment.html").render(**_context(result, with_figure=False))


def _context(result: Result, with_figure: bool = True) -> dict[str, Any]:
    entry = _entry(result.paper)
    table = result.table.head(_MAX_ROWS)
    return {
        "result": result,
        "entry": entry,
        "bibtex": bibtex(entry) if entry else "",
        "figure": figure_svg(result) if with_figure else "",
        "columns": [
            (str(name), pd.api.types.is_numeric_dtype(table[name].dtype)) for name in table.columns
        ],
        "rows": [[format_cell(cell) for cell in row] for row in table.itertuples(index=False)],
        "rows_left_out": len(result.table) - len(table),
    }


def figure_svg(result: Result) -> Markup:
    """The result's figure as inline SVG."""
    svg = figure_bytes(result.plot(), "svg").decode()
    return Markup(svg[svg.index("<svg") :])


def format_cell(cell: object) -> str:
    """A table cell as text: four significant digits, thin words for what is missing."""
    if cell is None or cell is pd.NA or (isinstance(cell, float) and math.isnan(cell)):
        return "–"
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float):
        return f"{cell:.4g}"
    return str(cell)


def _entry(paper: str) -> Entry | None:
    try:
        return load_catalogue().get(paper)
    except UnknownPaper:
        return None


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")


@cache
def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("statlas.core"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
