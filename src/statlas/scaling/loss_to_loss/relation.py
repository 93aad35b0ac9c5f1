"""A shifted power law between two losses: its offsets, its draws, what it carries across."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from statlas.core import ConvergenceError, InputError
from statlas.core.numerics.laws import LawFit, fit_law
from statlas.core.numerics.laws.minimise import minimise
from statlas.scaling.loss_to_loss.laws import (
    SQUARES,
    FloatArray,
    fit_loss_law,
    log_line,
    relate,
    relation_law,
)
from statlas.scaling.loss_to_loss.pairs import IntArray, Pairs, Runs

Offsets = Literal["laws", "first-law", "fitted"]
Form = Literal["kaplan", "chinchilla"]
NAMES = ("K", "kappa", "E0", "E1")
_FEWEST = {"laws": 3, "first-law": 4, "fitted": 5}


@dataclass(frozen=True)
class Relation:
    """L1 = K (L0 - E0)^kappa + E1.

    Attributes
    ----------
    pairs
        The pairs it is fitted to.
    offsets
        Where E0 and E1 come from.
    natural
        K, kappa, E0, E1.
    fit
        The engine's fit where an offset is fitted; None where K and kappa follow in closed form.
    first_law, second_law
        Laws of the first loss and of the second, where there are any.
    below
        Pairs with a loss at or below its offset, which the closed form leaves out.
    """

    pairs: Pairs
    offsets: Offsets
    natural: FloatArray
    fit: LawFit | None
    first_law: LawFit | None
    second_law: LawFit | None
    below: int

    @property
    def parameters(self) -> dict[str, float]:
        """K, kappa, E0 and E1 by name."""
        return dict(zip(NAMES, self.natural.tolist(), strict=True))

    def predict(self, first: ArrayLike) -> FloatArray:
        """L1 at L0; E1 below E0."""
        return relate(self.natural, first)

    @property
    def r_squared(self) -> float:
        """Share of the second loss's variance over the pairs that the relation accounts for."""
        return r_squared(self.predict(self.pairs.first), self.pairs.second)


def r_squared(predicted: FloatArray, observed: FloatArray) -> float:
    """1 - squares of errors / squares about the mean; NaN for observations that are all alike."""
    if np.ptp(observed) == 0:
        return np.nan
    about_mean = np.sum((observed - observed.mean()) ** 2)
    return float(1 - np.sum((predicted - observed) ** 2) / about_mean)


def fit_relation(
    pairs: Pairs,
    offsets: Offsets = "first-law",
    *,
    first_law: LawFit | None = None,
    second_law: LawFit | None = None,
) -> Relation:
    """Fit K, kappa and the offsets that do not come from a law.

    Parameters
    ----------
    pairs
        Paired losses.
    offsets
        ``"laws"``: E0 and E1 are the irreducible losses of the two laws; K and kappa then follow
        from a straight line through log(L1 - E1) over log(L0 - E0). ``"first-law"``: E0 is the
        first law's, E1 is fitted with K and kappa by least squares of L1; what is done with few
        pairs. ``"fitted"``: all four by least squares of L1.
    first_law, second_law
        Laws that `offsets` asks for.

    Raises
    ------
    InputError
        For too few pairs, or a law that is asked for and not given.
    ConvergenceError
        If nothing could be fitted.
    """
    if pairs.n_pairs < _FEWEST[offsets] or np.ptp(pairs.first) == 0:
        raise InputError(
            f"offsets={offsets!r} needs {_FEWEST[offsets]} pairs of different losses; found "
            f"{len(np.unique(pairs.first))}",
            remedy="add runs of the second data set",
        )
    if offsets != "fitted" and first_law is None:
        raise InputError("the first data set's law is needed for its offset")
    if offsets == "laws":
        if first_law is None or second_law is None:
            raise InputError("both data sets' laws are needed for their offsets")
        e0, e1 = first_law.parameters["E"], second_law.parameters["E"]
        k, kappa = log_line(
            pairs.first, pairs.second, np.array([e0]), np.array([e1]), np.ones((1, pairs.n_pairs))
        )
        below = int(np.sum((pairs.first <= e0) | (pairs.second <= e1)))
        natural = np.array([k[0], kappa[0], e0, e1])
        if not np.all(np.isfinite(natural)):
            raise ConvergenceError("fewer than two pairs lie above both irreducible losses")
        return Relation(pairs, offsets, natural, None, first_law, second_law, below)
    law = relation_law(pairs.first, pairs.second)
    fixed: dict[str, float] = {}
    top = float(np.exp(law.box[1, law.position("E0")]))
    tried = top * np.linspace(0.02, 0.98, 25)
    if offsets == "first-law" and first_law is not None:
        fixed["E0"] = min(first_law.parameters["E"], top)
        tried = np.array([fixed["E0"]])
    fit = fit_law(
        law, {"x": pairs.first}, pairs.second, SQUARES,
        n_starts=0, starts=_starts(pairs, tried, law.box[1, law.position("E1")]), fixed=fixed,
    )  # fmt: skip
    return Relation(pairs, offsets, fit.natural, fit, first_law, second_law, 0)


def _starts(pairs: Pairs, e0: FloatArray, log_top: float) -> FloatArray:
    """The best few of a grid of E0 and kappa, K and E1 by least squares at each.

    With one E0 the grid is narrowed around the best kappa, so that the start is all but the end.
    """
    kappa, best = np.geomspace(0.1, 5.0, 40), np.empty((0, 4))
    for _ in range(7 if len(e0) == 1 else 1):
        offset, power = (grid.ravel() for grid in np.meshgrid(e0, kappa))
        found, errors = _solve_linear(pairs, offset, power, np.exp(log_top))
        best = found[np.argsort(errors, kind="stable")[:2]]
        centre = int(np.argmin(errors)) // len(e0)
        kappa = np.linspace(kappa[max(centre - 1, 0)], kappa[min(centre + 1, len(kappa) - 1)], 15)
    return best[:1] if len(e0) == 1 else best


def _solve_linear(
    pairs: Pairs, e0: FloatArray, kappa: FloatArray, top: float
) -> tuple[FloatArray, FloatArray]:
    """K > 0 and E1 in (0, top) by least squares, with the squares left, at each E0 and kappa."""
    power = (pairs.first - e0[:, None]) ** kappa[:, None]
    centred = power - power.mean(axis=1, keepdims=True)
    second = pairs.second - pairs.second.mean()
    k = np.maximum(centred @ second / np.einsum("fr,fr->f", centred, centred), 1e-9)
    e1 = np.clip(pairs.second.mean() - k * power.mean(axis=1), 1.001e-4 * top, top)
    squares = np.einsum("fr,fr->f", power, power)
    k = np.maximum(np.einsum("fr,fr->f", power, pairs.second - e1[:, None]) / squares, 1e-9)
    errors = np.sum((k[:, None] * power + e1[:, None] - pairs.second) ** 2, axis=1)
    return np.column_stack([k, kappa, e0, e1]), errors


# --- draws ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Draws:
    """Relations and first laws refitted to redrawn trainings.

    Attributes
    ----------
    relations
        K, kappa, E0, E1, shape (n_draws, 4).
    first_laws
        Parameters of the first law, (n_draws, 5); None without one.
    n_failed
        Draws that could not be fitted and are left out.
    """

    relations: FloatArray
    first_laws: FloatArray | None
    n_failed: int


def draw_units(units: IntArray, n_draws: int, rng: int | np.random.Generator = 0) -> FloatArray:
    """How often each training is in each sample with replacement, (n_draws, largest code + 1)."""
    levels = np.unique(units)
    counts = np.zeros((n_draws, int(levels.max()) + 1))
    shares = np.full(len(levels), 1 / len(levels))
    counts[:, levels] = np.random.default_rng(rng).multinomial(len(levels), shares, n_draws)
    return counts


def redraw_law(fit: LawFit, weights: FloatArray) -> FloatArray:
    """Parameters of a law refitted with each row of weights, NaN where that gave nothing."""
    samples = replace(fit.problem, weights=fit.problem.weights * weights)
    starts = np.repeat(fit.coordinates[None], len(weights), axis=0)
    minimum = minimise(samples, starts, fit.free, scouting=4, tolerance=1e-9)
    natural = fit.law.to_natural(minimum.coordinates)
    natural[~np.isfinite(minimum.value)] = np.nan
    return natural


def draw_relations(
    relation: Relation,
    counts: FloatArray,
    first_laws: FloatArray | None = None,
    second_laws: FloatArray | None = None,
) -> Draws:
    """Fit a relation anew to each draw of trainings.

    Trainings of equal size and seed on both data sets share a code and are drawn together, so
    pairs stay pairs, and the errors of the offsets reach K, kappa and the predictions.

    Parameters
    ----------
    relation
        The relation on the data.
    counts
        From `draw_units`.
    first_laws, second_laws
        Parameters of the laws in the same draws, from `redraw_law`; offsets that come from a law
        without draws stay as they are.

    Raises
    ------
    ConvergenceError
        If fewer than half of the draws could be fitted.
    """
    n_draws = len(counts)
    relations = _redrawn(relation, counts[:, relation.pairs.unit], (first_laws, second_laws))
    fine = np.isfinite(relations).all(axis=1)
    if first_laws is not None:
        fine &= np.isfinite(first_laws).all(axis=1)
    if fine.sum() < max(2, n_draws // 2):
        raise ConvergenceError(f"only {int(fine.sum())} of {n_draws} redrawn pairs could be fitted")
    kept = None if first_laws is None else first_laws[fine]
    return Draws(relations[fine], kept, int(n_draws - fine.sum()))


def _redrawn(
    relation: Relation, weights: FloatArray, laws: tuple[FloatArray | None, FloatArray | None]
) -> FloatArray:
    pairs, n_draws = relation.pairs, len(weights)
    places = {}
    for name, fit, drawn in (
        ("E0", relation.first_law, laws[0]),
        ("E1", relation.second_law, laws[1]),
    ):
        if fit is not None and drawn is not None:
            places[name] = drawn[:, fit.law.position("E")]
    if relation.offsets == "laws":
        e0 = places.get("E0", np.full(n_draws, relation.parameters["E0"]))
        e1 = places.get("E1", np.full(n_draws, relation.parameters["E1"]))
        k, kappa = log_line(pairs.first, pairs.second, e0, e1, weights)
        return np.column_stack([k, kappa, e0, e1])
    fit = relation.fit
    assert fit is not None
    law, samples = fit.law, replace(fit.problem, weights=weights)
    starts = np.repeat(fit.coordinates[None], n_draws, axis=0)
    if relation.offsets == "first-law" and "E0" in places:
        column = law.position("E0")
        starts[:, column] = np.clip(np.log(places["E0"]), *law.box[:, column])
    minimum = minimise(samples, starts, fit.free, scouting=8, tolerance=1e-9)
    natural = law.to_natural(minimum.coordinates)
    natural[~np.isfinite(minimum.value)] = np.nan
    used = np.sum(weights > 0, axis=1)
    natural[used < fit.n_free] = np.nan
    return natural


# --- carried across -------------------------------------------------------------------------------


def predict_across(
    relation: Relation, size: ArrayLike, tokens: ArrayLike, draws: Draws | None = None
) -> FloatArray:
    """The second loss of runs of given size and tokens, through the first data set's law.

    Shape (n_targets,), or (n_draws, n_targets) with draws.
    """
    law = relation.first_law
    if law is None:
        raise InputError("the first data set has no law to carry across")
    inputs = {"N": size, "D": tokens}
    if draws is None or draws.first_laws is None:
        return relation.predict(law.predict(inputs))
    return relate(draws.relations[:, None, :], law.law.values(draws.first_laws, inputs))


class Laws:
    """Laws of data sets, each fitted once however often it is asked for.

    Parameters
    ----------
    form
        Form of the laws; see `fit_loss_law`.
    n_starts
        Number of starts of a fit.
    """

    def __init__(self, form: Form = "kaplan", n_starts: int = 96):
        self.form, self.n_starts = form, n_starts
        self._known: dict[bytes, LawFit | None] = {}

    def of(self, runs: Runs | None) -> LawFit | None:
        """The law of a data set, None without sizes or where it cannot be fitted."""
        if runs is None:
            return None
        columns = np.array([runs.size, runs.tokens, runs.loss])
        key = columns.tobytes()
        if key not in self._known:
            try:
                self._known[key] = fit_loss_law(*columns, form=self.form, n_starts=self.n_starts)
            except (InputError, ConvergenceError):
                self._known[key] = None
        return self._known[key]
