"""How far the relation can be trusted: dearer runs held out, and a law carried across by few."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from statlas.core import ConvergenceError, InputError
from statlas.core.numerics.laws import SATURATING_POWER_LAW, fit_law
from statlas.scaling.loss_to_loss.laws import HUBER, FloatArray
from statlas.scaling.loss_to_loss.pairs import Pairs, Runs, spread_out
from statlas.scaling.loss_to_loss.relation import (
    Laws,
    Offsets,
    fit_relation,
    predict_across,
    r_squared,
)

EXTRAPOLATIONS = (
    "loss to loss", "through the first law", "own law", "law of compute", "straight line",
)  # fmt: skip
TRANSLATIONS = ("carried across", "law from few", "law from all")
_FEWEST_BELOW, _FEWEST_ABOVE = 6, 2


def relative_error(predicted: FloatArray, observed: FloatArray) -> float:
    """Mean of |predicted - observed| / observed."""
    return float(np.mean(np.abs(predicted / observed - 1)))


@dataclass(frozen=True)
class Extrapolated:
    """Dearer pairs predicted from cheaper ones.

    Attributes
    ----------
    cut
        Compute up to which pairs were fitted.
    pairs
        The pairs above it.
    by_method
        Their second loss by each of `EXTRAPOLATIONS` that could be fitted. The relation and the
        straight line are given the first loss that was measured at that size; the laws are not,
        and neither is the relation where it goes through the first set's law.
    """

    cut: float
    pairs: Pairs
    by_method: dict[str, FloatArray]

    def error(self, method: str) -> float:
        """Mean relative error."""
        return relative_error(self.by_method[method], self.pairs.second)


def extrapolate(
    pairs: Pairs,
    first: Runs | None,
    second: Runs | None,
    factor: float,
    offsets: Offsets,
    laws: Laws,
) -> Extrapolated | None:
    """Predict the pairs that cost more than the dearest one's compute / `factor` from the others.

    `laws` fits the laws. None where fewer than six pairs lie below or fewer than two above.
    """
    cut = float(pairs.compute.max()) / factor
    low = pairs.compute <= cut * (1 + 1e-9)
    if low.sum() < _FEWEST_BELOW or (~low).sum() < _FEWEST_ABOVE:
        return None
    below, above = pairs.where(low), pairs.where(~low)
    one, other = (laws.of(None if runs is None else _up_to(runs, cut)) for runs in (first, second))
    by_method: dict[str, FloatArray] = {}
    try:
        relation = fit_relation(below, offsets, first_law=one, second_law=other)
        by_method["loss to loss"] = relation.predict(above.first)
    except (InputError, ConvergenceError):
        return None
    if one is not None:
        carried = predict_across(relation, above.size, above.tokens)
        by_method["through the first law"] = carried
    if other is not None:
        by_method["own law"] = other.predict({"N": above.second_size, "D": above.second_tokens})
    if second is not None:
        cheap = _up_to(second, cut)
        plain = fit_law(
            SATURATING_POWER_LAW, {"x": cheap.compute}, cheap.loss, HUBER, n_starts=96, rng=0
        )
        by_method["law of compute"] = plain.predict({"x": above.compute})
    by_method["straight line"] = straight_line(below, above.first)
    return Extrapolated(cut, above, by_method)


def straight_line(pairs: Pairs, first: FloatArray) -> FloatArray:
    """The second loss by a straight line over the first, for comparison."""
    slope, level = np.polyfit(pairs.first, pairs.second, 1)
    return np.asarray(level + slope * first)


def _up_to(runs: Runs, cut: float) -> Runs:
    return runs.where(runs.compute <= cut * (1 + 1e-9))


@dataclass(frozen=True)
class Translated:
    """A second data set's runs predicted by a law that few of them helped to make.

    Attributes
    ----------
    few
        The pairs that were used.
    rest
        The second set's runs that were not.
    by_method
        Their loss by each of `TRANSLATIONS`; ``"law from all"`` has seen them.
    """

    few: Pairs
    rest: Runs
    by_method: dict[str, FloatArray]

    def error(self, method: str) -> float:
        """Mean relative error."""
        return relative_error(self.by_method[method], self.rest.loss)

    def r_squared(self, method: str) -> float:
        """Share of the variance accounted for."""
        return r_squared(self.by_method[method], self.rest.loss)


def carry_across(
    pairs: Pairs,
    first: Runs,
    second: Runs,
    few: int,
    laws: Laws,
    methods: tuple[str, ...] = TRANSLATIONS,
) -> Translated | None:
    """Carry the first set's law to the second by a few pairs, and try it on the second's others.

    The relation takes E0 from the first set's law and fits E1, as the paper does with few pairs.
    `laws` fits the laws; of `methods` those that are named are tried besides the carried one. None
    where the second set has fewer runs than twice the pairs asked for.
    """
    if second.n_runs < 2 * few or pairs.n_pairs < few:
        return None
    law = laws.of(first)
    if law is None:
        return None
    chosen = pairs.where(spread_out(pairs, few))
    used = np.isin(second.size + 1j * second.tokens, chosen.second_size + 1j * chosen.second_tokens)
    rest = second.where(~used)
    if chosen.n_pairs < 4 or rest.n_runs < few:
        return None
    targets = {"N": rest.size, "D": rest.tokens}
    try:
        relation = fit_relation(chosen, "first-law", first_law=law)
    except (InputError, ConvergenceError):
        return None
    by_method = {"carried across": predict_across(relation, rest.size, rest.tokens)}
    few_runs = Runs(
        chosen.second_size, chosen.second_tokens, chosen.compute, chosen.second, chosen.unit,
        np.zeros(chosen.n_pairs, dtype=np.int64),
    )  # fmt: skip
    for name, runs in (("law from few", few_runs), ("law from all", second)):
        fit = laws.of(runs) if name in methods else None
        if fit is not None:
            by_method[name] = fit.predict(targets)
    return Translated(chosen, rest, by_method)
