"""From the user's table to a design matrix, a response and blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from statlas.core import Category, Columns, InputError, Number, Roles, Table
from statlas.core.tables import Factor
from statlas.statistics.ecology_review.tools import FloatArray, IntArray
from statlas.statistics.ecology_review.validation import spatial_blocks

ROLES = Roles(
    response=Number(
        optional=True, varies=True, help="number to explain: a mass, a richness, a cover",
        aliases=("y", "biomass", "abundance", "richness", "target", "outcome"),
    ),
    label=Category(
        optional=True, min_levels=2, help="class to explain: a species, present or absent",
        aliases=("class", "presence", "occurrence", "habitat"),
    ),
    group=Category(
        optional=True, min_levels=2,
        help="block of rows that belong together: a site, an island, a transect, a nest",
        aliases=("site", "plot", "block", "transect", "island", "location", "individual"),
    ),
    x=Number(optional=True, help="coordinate of a site", aliases=("lon", "longitude", "easting")),
    y_coordinate=Number(
        optional=True, help="other coordinate of a site", aliases=("lat", "latitude", "northing")
    ),
    covariates=Columns(help="numbers and labels to explain by; by default all others"),
    min_rows=30,
)  # fmt: skip
"""Columns of an ecological table."""


@dataclass(frozen=True)
class Design:
    """A table as the tools take it.

    Attributes
    ----------
    X
        Numbers as they are, and a column of 0 and 1 for each level of a label.
    covariates
        Name of each covariate and its columns of X.
    numeric
        Covariates that are numbers, with their column.
    y, classes
        Response (numbers, or class numbers) and names of the classes; None where there is none.
    name
        Name of the response.
    blocks, what_blocks
        Block of each row and what blocks are made of; None where there are none.
    """

    X: FloatArray
    covariates: dict[str, list[int]]
    numeric: dict[str, int]
    y: NDArray[Any] | None
    classes: list[str]
    name: str
    blocks: IntArray | None
    what_blocks: str

    @property
    def labels(self) -> bool:
        """Whether classes are explained."""
        return bool(self.classes)


def read(table: Table, n_folds: int, rng: np.random.Generator) -> Design:
    """Lay out a checked table."""
    columns: list[FloatArray] = []
    places: dict[str, list[int]] = {}
    numeric: dict[str, int] = {}
    for name, values in table.mixed_columns("covariates").items():
        if isinstance(values, Factor):
            if not 2 <= values.n_levels <= max(20, table.n_rows // 10):
                continue  # constant, or a name of its own for each row
            own = [np.asarray(values.codes == level, float) for level in range(values.n_levels)]
        elif np.ptp(values) > 0:
            own = [np.asarray(values, float)]
            numeric[name] = len(columns)
        else:
            continue
        places[name] = list(range(len(columns), len(columns) + len(own)))
        columns += own
    if not columns:
        raise InputError("no covariate varies (or each row has a label of its own)",
                         remedy="give at least one covariate that varies")  # fmt: skip
    y, classes, name = _response(table)
    blocks, what = _blocks(table, n_folds, rng)
    return Design(np.column_stack(columns), places, numeric, y, classes, name, blocks, what)


def _response(table: Table) -> tuple[NDArray[Any] | None, list[str], str]:
    if table.has("response"):
        return table.number("response"), [], str(table.columns["response"])
    if table.has("label"):
        factor = table.factor("label")
        if np.bincount(factor.codes).min() < 2:
            raise InputError("a class has a single row", column=str(table.columns["label"]),
                             remedy="merge rare classes, or leave their rows out")  # fmt: skip
        return factor.codes, factor.levels, str(table.columns["label"])
    return None, [], ""


def _blocks(table: Table, n_folds: int, rng: np.random.Generator) -> tuple[IntArray | None, str]:
    if table.has("group"):
        return table.factor("group").codes, f"whole levels of {table.columns['group']}"
    if table.has("x") and table.has("y_coordinate"):
        sites = np.column_stack([table.number("x"), table.number("y_coordinate")])
        if len(np.unique(sites, axis=0)) > 1:
            return spatial_blocks(sites, 2 * n_folds, rng), "neighbouring sites"
    return None, ""
