"""Forecasts with intervals from families that were held out, and a jackknife over families."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from statlas.core.progress import track
from statlas.scaling.sloth.axes import SkillAxes, aligned_axes
from statlas.scaling.sloth.fitting import HUBER, SHRINKAGE, TOLERANCE, fit_law, place_families
from statlas.scaling.sloth.law import FloatArray, ModelScores, SkillLaw

Kind = Literal["one member", "all smaller", "none"]
KINDS: tuple[Kind, ...] = ("one member", "all smaller", "none")

# Folds start at a law of the other half of the families, where a half has at least so many.
_FEWEST_OF_A_HALF = 6
_FOLD_TOLERANCE = 1e-4


@dataclass(frozen=True)
class Settings:
    """How laws are fitted; see `fit_law`."""

    floor: FloatArray
    n_skills: int = 2
    trained_link: bool = True
    huber: float = HUBER
    shrinkage: float = SHRINKAGE
    n_starts: int = 2

    def fit(
        self,
        data: ModelScores,
        rng: np.random.Generator,
        *,
        start: SkillLaw | None = None,
        tolerance: float = TOLERANCE,
    ) -> SkillLaw:
        """Fit the law to data; with a start, the other starts are made for the sigmoid only."""
        n_starts = self.n_starts if start is None else int(not self.trained_link)
        return fit_law(
            data, self.floor, n_skills=self.n_skills, trained_link=self.trained_link,
            huber=self.huber, shrinkage=self.shrinkage, n_starts=n_starts, start=start, rng=rng,
            tolerance=tolerance,
        )  # fmt: skip

    def place(self, law: SkillLaw, data: ModelScores) -> SkillLaw:
        """Efficiencies from data, with the rest of the law held."""
        return place_families(law, data, huber=self.huber, shrinkage=self.shrinkage)


def mean_efficiency(law: SkillLaw, data: ModelScores) -> FloatArray:
    """Mean over the families of `data`, of those with known tokens where there are any."""
    known = np.isfinite(data.tokens)
    rows = known if known.any() else np.ones(len(known), dtype=bool)
    mean: FloatArray = law.efficiency[np.unique(data.family[rows])].mean(axis=0)
    return mean


@dataclass(frozen=True)
class HeldOut:
    """Errors of forecasts for families that the shared parameters were fitted without.

    Attributes
    ----------
    errors
        Predicted less observed score, NaN where there is none, shape (n_models, n_benchmarks), of
        forecasts from the family's smallest member (``"one member"``, of all others), from all
        members below the family's largest size (``"all smaller"``, of those of that size), and from
        nothing of the family (``"none"``).
    laws
        The laws, one a fold, with the efficiencies of all families.
    """

    errors: dict[Kind, FloatArray]
    laws: tuple[SkillLaw, ...]


def hold_out_families(
    data: ModelScores, settings: Settings, *, folds: int = 20, rng: np.random.Generator
) -> HeldOut:
    """Forecast every family from laws fitted to the others.

    Each fold of families is left out of a fit. So that no fit knows what it must forecast, a fold
    starts at a law that was fitted, from cold, to the half of the families that the fold is not in:
    a start from the fit to all families would keep what trained links learnt of the fold.
    """
    folds = min(folds, data.n_families)
    fold_of = rng.permutation(np.arange(data.n_families) % folds)[data.family]
    starts = _starts_of_halves(data, settings, fold_of % 2, rng)
    used = _members_used(data)
    errors = {kind: np.full_like(data.scores, np.nan) for kind in KINDS}
    laws = []
    for fold in track(range(folds), "holding out families"):
        out = fold_of == fold
        own = data.rows(out)
        law = settings.fit(
            data.rows(~out), rng, start=starts[1 - fold % 2], tolerance=_FOLD_TOLERANCE
        )
        mean = mean_efficiency(law, data.rows(~out))
        errors["none"][out] = law.predict(own.size, own.tokens, mean) - own.scores
        for kind, seen in used.items():
            placed = settings.place(law, own.rows(seen[out]))
            can = np.isin(own.family, own.family[seen[out]]) & ~seen[out]
            guess = placed.predict(own.size, own.tokens, placed.efficiency[own.family])
            errors[kind][out] = np.where(can[:, None], guess - own.scores, np.nan)
        whole = settings.place(law, own).efficiency
        is_out = np.zeros(data.n_families, dtype=bool)
        is_out[own.family] = True
        laws.append(replace(law, efficiency=np.where(is_out[:, None], whole, law.efficiency)))
    return HeldOut(errors, tuple(laws))


def _starts_of_halves(
    data: ModelScores, settings: Settings, half: NDArray[np.int64], rng: np.random.Generator
) -> list[SkillLaw | None]:
    """A law of each half of the families; none where a half is too small to be of use."""
    starts: list[SkillLaw | None] = []
    for side in (0, 1):
        rows = half == side
        enough = len(np.unique(data.family[rows])) >= _FEWEST_OF_A_HALF
        fitted = settings.fit(data.rows(rows), rng, tolerance=_FOLD_TOLERANCE) if enough else None
        # Without tokens the other half may still know them; its features would not fit.
        starts.append(fitted if fitted is not None and _same_features(fitted, data) else None)
    return starts


def _same_features(law: SkillLaw, data: ModelScores) -> bool:
    return law.features.with_tokens == type(law.features).of(data).with_tokens


def _members_used(data: ModelScores) -> dict[Kind, NDArray[np.bool_]]:
    """Which models place their family: its smallest scored one, or all below its largest size."""
    scored = np.isfinite(data.scores).any(axis=1)
    order = np.lexsort((data.tokens, data.size, ~scored, data.family))
    family = data.family[order]
    smallest = np.zeros(len(family), dtype=bool)
    smallest[order] = np.arange(len(family)) == np.searchsorted(family, family)
    largest = np.zeros(data.n_families)
    np.maximum.at(largest, data.family[scored], data.size[scored])
    return {
        "one member": smallest & scored, "all smaller": data.size < largest[data.family],
    }  # fmt: skip


# --- from errors to intervals ------------------------------------------------------------------


def family_squares(errors: FloatArray, data: ModelScores) -> FloatArray:
    """Mean squared error by family and benchmark, NaN where there is none."""
    seen = np.isfinite(errors)
    total = np.zeros((data.n_families, errors.shape[1]))
    count = np.zeros_like(total)
    np.add.at(total, data.family, np.where(seen, errors, 0.0) ** 2)
    np.add.at(count, data.family, seen)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def margins(squares: FloatArray, level: float, *, without_own: bool = False) -> FloatArray:
    """Half-widths of intervals from held-out errors, every family counting the same.

    A benchmark's scale is the root mean over families of their mean squared errors; one with errors
    of fewer than three families takes the scale of all benchmarks. Student's distribution with
    one degree of freedom fewer than families gives the quantile.

    Parameters
    ----------
    squares
        Mean squared errors by family, shape (n_families, n_benchmarks), NaN where there are none.
    level
        Level of the intervals.
    without_own
        Leave each family out of its own margins.

    Returns
    -------
    ndarray
        Shape (n_benchmarks,), or (n_families, n_benchmarks) with `without_own`.
    """
    has = np.isfinite(squares)
    filled = np.where(has, squares, 0.0)
    total, count = filled.sum(axis=0), has.sum(axis=0).astype(float)
    families, pooled, cells = (
        np.asarray(number, dtype=float)
        for number in (has.any(axis=1).sum(), filled.sum(), has.sum())
    )
    if without_own:
        total, count = total - filled, count - has
        families = families - has.any(axis=1, keepdims=True)
        pooled = pooled - filled.sum(axis=1, keepdims=True)
        cells = cells - has.sum(axis=1, keepdims=True)
    few = count < 3
    mean = np.where(few, pooled / np.maximum(cells, 1.0), total / np.maximum(count, 1.0))
    n = np.where(few, families, count)
    quantile = stats.t.ppf((1 + level) / 2, np.maximum(n - 1, 1))
    half: FloatArray = quantile * np.sqrt(mean * (1 + 1 / np.maximum(n, 1)))
    return half


def held_out_coverage(errors: FloatArray, data: ModelScores, level: float) -> FloatArray:
    """Share of each family's errors inside margins made from the other families, NaN where none."""
    margin = margins(family_squares(errors, data), level, without_own=True)
    seen = np.isfinite(errors)
    inside = seen & (np.abs(np.where(seen, errors, 0.0)) <= margin[data.family])
    count = np.bincount(data.family, seen.sum(axis=1), data.n_families)
    share = np.bincount(data.family, inside.sum(axis=1), data.n_families) / np.maximum(count, 1)
    return np.where(count > 0, share, np.nan)


def family_means(errors: FloatArray, data: ModelScores) -> FloatArray:
    """Mean absolute error of each family, NaN where there is none."""
    seen = np.isfinite(errors)
    size = np.abs(np.where(seen, errors, 0.0)).sum(axis=1)
    count = np.bincount(data.family, seen.sum(axis=1), data.n_families)
    total = np.bincount(data.family, size, data.n_families)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def mean_with_interval(values: FloatArray, level: float) -> tuple[float, float, float]:
    """Mean over families and Student's interval; NaN values do not count."""
    values = values[np.isfinite(values)]
    mean = float(values.mean())
    half = stats.t.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return mean, float(mean - half), float(mean + half)


def jackknife_axes(
    held_out: HeldOut, data: ModelScores, reference: SkillAxes, level: float
) -> dict[str, FloatArray]:
    """Half-widths of intervals on loadings and slopes: grouped jackknife over families."""
    axes = [aligned_axes(law, data, reference) for law in held_out.laws]
    n_groups = len(axes)
    quantile = stats.t.ppf((1 + level) / 2, n_groups - 1)

    def half_width(name: str) -> FloatArray:
        values = np.array([getattr(one, name) for one in axes])
        spread: FloatArray = quantile * np.sqrt((n_groups - 1) * values.var(axis=0))
        return spread

    return {name: half_width(name) for name in ("loadings", "slopes")}
