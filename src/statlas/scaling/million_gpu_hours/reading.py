"""From a user's table of runs to a law and, where it has hours, to their utilisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from statlas.core import AssumptionError, ConvergenceError, InputError, SetAside, Table
from statlas.core.numerics.laws import CHINCHILLA, Draws, LawFit, Objective, bootstrap, fit_law
from statlas.core.numerics.laws.misfit import lack_of_fit
from statlas.core.runs import read_run_sizes, unit_in_name

FloatArray = NDArray[np.float64]

_FEWEST = 8
_FEWEST_GROUPS = 8  # for drawing trainings whole; with fewer, residuals are drawn
_FLAT = 1e-3  # exponent at which loss no longer falls
_VANISHED = 1e-5  # of the loss, at which the smallest run's term of size or tokens is none


@dataclass(frozen=True)
class TableLaw:
    """The law of a user's runs.

    Attributes
    ----------
    fit, draws
        E + A N^-alpha + B D^-beta by Huber's function of log residuals (threshold 1e-3), and its
        bootstrap.
    compute
        Operations of the runs, shape (n_runs,).
    misfit
        How far the law lies from the losses, in units of their noise between repeats; NaN without
        repeats.
    how
        How the draws were made.
    """

    fit: LawFit
    draws: Draws
    compute: FloatArray
    misfit: float
    how: str


@dataclass(frozen=True)
class RunsRead:
    """What a table says: runs with losses, and hours where it has them."""

    parameters: FloatArray
    tokens: FloatArray
    compute: FloatArray
    loss: FloatArray
    run: NDArray[np.int64]
    hours: FloatArray | None
    aside: tuple[SetAside, ...]


def read_runs(
    table: Table, units: tuple[float, float, float], focus: str | None, repeats: str
) -> RunsRead:
    """Read a checked table.

    Parameters
    ----------
    table
        The table.
    units
        Of parameters, tokens and compute.
    focus
        Kind of training that is read.
    repeats
        ``"mean"`` keeps all rows; ``"best"`` of the rows with equal size and tokens the one with
        the lowest loss.

    Raises
    ------
    InputError
        Without tokens and compute, or for a focus that does not exist.
    """
    sizes = read_run_sizes(table, *_named_units(table, units))
    keep = _focused(table, focus)
    aside = [SetAside("another kind of training than the focus", int(np.sum(~keep)))]
    loss = table.number("loss")
    if repeats == "best":
        pairs = np.column_stack([sizes.parameters, sizes.tokens])
        place = np.unique(pairs, axis=0, return_inverse=True)[1].ravel()
        order = np.lexsort([np.where(keep, loss, np.inf), place])
        first = np.r_[True, np.diff(place[order]) > 0]
        best = np.zeros(len(loss), dtype=bool)
        best[order[first]] = True
        aside.append(SetAside("not the best of equal size and tokens", int(np.sum(keep & ~best))))
        keep = keep & best
    if table.has("run"):
        run = np.unique(table.factor("run").codes[keep], return_inverse=True)[1].ravel()
    else:
        run = np.unique(sizes.parameters[keep], return_inverse=True)[1].ravel()
    return RunsRead(
        sizes.parameters[keep],
        sizes.tokens[keep],
        sizes.compute[keep],
        loss[keep],
        run,
        table.number("device_hours")[keep] if table.has("device_hours") else None,
        tuple(item for item in aside if item.rows),
    )


def _named_units(table: Table, units: tuple[float, float, float]) -> tuple[float, float, float]:
    """Units as given, or, where left at 1, as the columns' names state them in brackets."""
    names = [str(table.columns.get(role, "")) for role in ("parameters", "tokens", "compute")]
    found = [
        unit_in_name(name) if unit == 1 else unit for name, unit in zip(names, units, strict=True)
    ]
    return found[0], found[1], found[2]


def _focused(table: Table, focus: str | None) -> NDArray[np.bool_]:
    if not table.has("recipe"):
        if focus is None:
            return np.ones(table.n_rows, dtype=bool)
        raise InputError(
            "a focus needs a column of kinds of training",
            column="recipe",
            remedy="name it with recipe=COLUMN",
        )
    factor = table.factor("recipe")
    if focus is None and len(factor.levels) == 1:
        return np.ones(table.n_rows, dtype=bool)
    if focus not in factor.levels:
        found = "no kind was chosen" if focus is None else f"there is no kind {focus!r}"
        raise InputError(
            f"one law is for one kind of training, and {found}",
            column=str(table.columns["recipe"]),
            remedy=f"choose one with focus: {', '.join(factor.levels[:12])}",
        )
    return np.asarray(factor.codes == factor.levels.index(focus))


def fit_table_law(runs: RunsRead, n_draws: int, rng: np.random.Generator) -> TableLaw:
    """Fit the law to a table's runs, with bootstrap draws of whole trainings.

    Raises
    ------
    InputError
        With fewer than 8 distinct pairs of size and tokens, or fewer than 3 of either.
    AssumptionError
        If under the fit loss does not fall with both size and tokens: there is no best size.
    """
    pairs = np.unique(np.column_stack([runs.parameters, runs.tokens]), axis=0)
    few = [name for name, column in zip(("parameters", "tokens"), pairs.T, strict=True)
           if len(np.unique(column)) < 3]  # fmt: skip
    if len(pairs) < _FEWEST or few:
        what = f"{len(pairs)} distinct pairs of size and tokens"
        raise InputError(
            f"a law of size and tokens needs at least {_FEWEST} distinct pairs of them, with 3 "
            f"sizes and 3 numbers of tokens; there are {what}",
            remedy="add runs, or plan under a published law with law='chinchilla-corrected'",
        )
    inputs = {"N": runs.parameters, "D": runs.tokens}
    fit = fit_law(
        CHINCHILLA, inputs, runs.loss, Objective("log", huber=1e-3), n_starts=100, rng=rng
    )
    named = fit.parameters
    by_size = named["A"] * float(runs.parameters.min()) ** -named["alpha"]
    by_data = named["B"] * float(runs.tokens.min()) ** -named["beta"]
    vanished = min(by_size, by_data) < _VANISHED * float(runs.loss.min())
    if vanished or min(named["alpha"], named["beta"]) <= _FLAT:
        raise AssumptionError(
            "under the law fitted to the table loss does not fall with both size and tokens, so "
            "there is no best size; plan under a published law, or add runs that vary both"
        )
    whole = int(runs.run.max()) + 1 >= _FEWEST_GROUPS
    try:
        if whole:
            draws = bootstrap(fit, n_draws, kind="runs", groups=runs.run, rng=rng)
        else:
            draws = bootstrap(fit, n_draws, kind="residual", rng=rng)
    except ConvergenceError as error:
        raise AssumptionError(
            f"the table's runs determine no law: {error}; add runs, or plan under a published law"
        ) from None
    how = "bootstrap of whole trainings" if whole else "bootstrap of residuals"
    place = np.unique(
        np.column_stack([runs.parameters, runs.tokens]), axis=0, return_inverse=True
    )[1].ravel()  # fmt: skip
    return TableLaw(fit, draws, runs.compute, lack_of_fit(fit.residuals, place), how)
