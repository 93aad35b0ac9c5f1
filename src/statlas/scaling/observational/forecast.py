"""The three parts put together: fit, bootstrap over families, forecasts with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from statlas.core.progress import track
from statlas.scaling.observational.components import Components, FloatArray, fit_components
from statlas.scaling.observational.families import FamilyLaw, IntArray, fit_family_law
from statlas.scaling.observational.link import Link, fit_link


@dataclass(frozen=True)
class Leaderboard:
    """What is known of the models.

    Attributes
    ----------
    scores
        Benchmark scores from 0 to 1, (n_models, n_benchmarks), NaN where missing.
    target
        Downstream score from 0 to 1, (n_models,), NaN where unknown.
    family
        Family of each model as whole numbers from 0.
    compute
        Training compute, NaN where unknown.
    n_families
        Number of families.
    """

    scores: FloatArray
    target: FloatArray
    family: IntArray
    compute: FloatArray
    n_families: int

    @property
    def scored(self) -> NDArray[np.bool_]:
        """Models with a benchmark score."""
        return np.asarray(np.isfinite(self.scores).any(axis=1))

    def only(self, rows: NDArray[np.bool_]) -> Leaderboard:
        """The leaderboard of some of the models; families keep their numbers."""
        return replace(
            self, scores=self.scores[rows], target=self.target[rows], family=self.family[rows],
            compute=self.compute[rows],
        )  # fmt: skip


@dataclass(frozen=True)
class Fit:
    """Components, link and family law of one leaderboard, or of one bootstrap sample of it."""

    components: Components
    link: Link
    law: FamilyLaw | None


@dataclass(frozen=True)
class Settings:
    """How a leaderboard is fitted."""

    n_components: int
    floor: float | None = None
    highest_floor: float = 0.2


def fit_leaderboard(
    board: Leaderboard,
    settings: Settings,
    *,
    counts: FloatArray | None = None,
    start: Fit | None = None,
) -> Fit:
    """Fit components, then the link on models with a target, then the family law of its index.

    Parameters
    ----------
    counts
        How often each family counts, (n_families,), in a bootstrap sample.
    start
        A fit to start from.
    """
    weights = None if counts is None else counts[board.family]
    components = fit_components(
        board.scores, settings.n_components, weights=weights,
        start=None if start is None else start.components,
        tolerance=1e-9 if start is None else 1e-7,
    )  # fmt: skip
    capability, covariance = components.capabilities(board.scores)
    known = np.isfinite(board.target) & board.scored
    link = fit_link(
        capability[known], board.target[known], floor=settings.floor,
        highest_floor=settings.highest_floor, weights=None if weights is None else weights[known],
        start=None if start is None else start.link,
    )  # fmt: skip
    rows = np.isfinite(board.compute) & board.scored
    if not _has_slope(board.compute[rows], None if weights is None else weights[rows]):
        return Fit(components, link, None)
    law = fit_family_law(
        link.index(capability[rows]), board.compute[rows], board.family[rows],
        known_var=_index_var(link, covariance[rows]),
        counts=np.ones(board.n_families) if counts is None else counts,
        start=None if start is None else start.law,
    )  # fmt: skip
    return Fit(components, link, law)


def _has_slope(compute: FloatArray, weights: FloatArray | None) -> bool:
    used = compute if weights is None else compute[weights > 0]
    return len(np.unique(used)) >= 3


def _index_var(link: Link, covariance: FloatArray) -> FloatArray:
    """Variance with which missing scores and noise leave the index known."""
    return np.asarray(np.einsum("a,iab,b->i", link.coefficients, covariance, link.coefficients))


def bootstrap_fits(
    board: Leaderboard, settings: Settings, fit: Fit, n_draws: int, rng: np.random.Generator
) -> list[Fit]:
    """Refit everything on families drawn with replacement.

    Samples on which a benchmark has no score, or the link too few models, are drawn again.
    """
    fits: list[Fit] = []
    known = np.isfinite(board.target) & board.scored
    for _ in track(range(n_draws), "bootstrap"):
        for _attempt in range(20):
            counts = np.bincount(
                rng.integers(board.n_families, size=board.n_families), minlength=board.n_families
            ).astype(float)
            weights = counts[board.family]
            enough = np.sum(known & (weights > 0)) > settings.n_components + 3
            covered = (np.isfinite(board.scores) & (weights > 0)[:, None]).any(axis=0).all()
            slope = fit.law is None or _has_slope(
                board.compute, np.where(np.isfinite(board.compute), weights, 0.0)
            )
            if enough and covered and slope:
                fits.append(fit_leaderboard(board, settings, counts=counts, start=fit))
                break
    return fits


# --- forecasts ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Forecast:
    """Forecast scores of some models.

    Attributes
    ----------
    score
        By the fit, (n,).
    draws
        Scores that such models may get, (n_draws, n): uncertainty of the fit, deviation of the
        model from its family's law (where the forecast is from compute) and noise of the score.
    expected
        Of these, only the uncertainty of the fit and of the family's line, (n_draws, n).
    """

    score: FloatArray
    draws: FloatArray
    expected: FloatArray

    def interval(self, level: float) -> tuple[FloatArray, FloatArray]:
        """Central interval in which the score of such a model lies."""
        return _central(self.draws, level)

    def expected_interval(self, level: float) -> tuple[FloatArray, FloatArray]:
        """Central interval of the expected score."""
        return _central(self.expected, level)


def _central(draws: FloatArray, level: float) -> tuple[FloatArray, FloatArray]:
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


_PER_FIT = 10  # draws of noise for each bootstrap fit


def forecast_from_scores(
    fit: Fit, fits: Sequence[Fit], scores: FloatArray, rng: np.random.Generator
) -> Forecast:
    """Forecast the target of models whose benchmark scores are known, (n, n_benchmarks)."""
    score = fit.link.score(fit.link.index(fit.components.capabilities(scores)[0]))
    draws, expected = [], []
    for one in fits:
        capability, covariance = one.components.capabilities(scores)
        index = one.link.index(capability)
        spread = np.sqrt(_index_var(one.link, covariance))
        drawn = index + spread * rng.normal(size=(_PER_FIT, len(scores)))
        expected.append(np.broadcast_to(one.link.score(index), drawn.shape))
        draws.append(_with_noise(one.link, drawn, rng))
    return Forecast(score, np.concatenate(draws), np.concatenate(expected))


def forecast_from_compute(
    fit: Fit,
    fits: Sequence[Fit],
    compute: FloatArray,
    family: IntArray,
    rng: np.random.Generator,
) -> Forecast:
    """Forecast the target of models not yet trained, from their compute and family.

    Parameters
    ----------
    compute, family
        Of each model, (n,); family -1 is one that was never seen, whose line is drawn from those
        of the families that were.
    """
    assert fit.law is not None
    unseen = family < 0
    score = fit.link.score(_line(fit.law, compute, _coefficients(fit.law, family)))
    draws, expected = [], []
    for one in fits:
        assert one.law is not None
        law = one.law
        middle = _coefficients(law, family)
        covariance = np.where(unseen[:, None, None], law.between, law.covariances[family])
        root = _root(covariance)
        normals = rng.normal(size=(_PER_FIT, len(compute), 2))
        lines = middle + np.einsum("nab,dnb->dna", root, normals)
        index = _line(law, compute, lines)
        expected.append(one.link.score(index))
        model = law.deviation * rng.normal(size=index.shape)
        draws.append(_with_noise(one.link, index + model, rng))
    return Forecast(score, np.concatenate(draws), np.concatenate(expected))


def _coefficients(law: FamilyLaw, family: IntArray) -> FloatArray:
    return np.where((family < 0)[:, None], law.mean, law.coefficients[family])


def _line(law: FamilyLaw, compute: FloatArray, coefficients: FloatArray) -> FloatArray:
    return np.asarray(np.sum(law.at(compute) * coefficients, axis=-1))


def _root(covariance: FloatArray) -> FloatArray:
    """A square root of symmetric matrices that may be singular."""
    values, vectors = np.linalg.eigh(0.5 * (covariance + np.swapaxes(covariance, -1, -2)))
    return np.asarray(vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :])


def _with_noise(link: Link, index: FloatArray, rng: np.random.Generator) -> FloatArray:
    expected = link.score(index)
    noisy = expected + link.noise_at(expected) * rng.normal(size=index.shape)
    return np.asarray(np.clip(noisy, 0.0, 1.0))


# --- does it extrapolate? -------------------------------------------------------------------------


@dataclass(frozen=True)
class HeldOut:
    """Forecasts of the strongest models by a fit to the others.

    Attributes
    ----------
    rows
        The models that were held out, as row numbers.
    forecast
        From their benchmark scores.
    from_family
        From their compute and family, without their scores.
    by_compute
        From their compute by one sigmoid for all families, the rival.
    """

    rows: IntArray
    forecast: Forecast
    from_family: Forecast | None
    by_compute: FloatArray


def hold_out_strongest(
    board: Leaderboard, settings: Settings, share: float, n_draws: int, rng: np.random.Generator
) -> HeldOut | None:
    """Fit on models of less compute and forecast the rest; None where too few are on a side."""
    usable = np.isfinite(board.compute) & np.isfinite(board.target) & board.scored
    if usable.sum() < 12:
        return None
    cut = float(np.quantile(board.compute[usable], 1 - share))
    above = usable & (board.compute > cut)
    below = np.isfinite(board.compute) & (board.compute <= cut)
    training = board.only(below)
    n_fitted = int((usable & below).sum())
    if above.sum() < 3 or n_fitted < settings.n_components + 5:
        return None
    if not np.isfinite(training.scores).any(axis=0).all():
        return None
    fit = fit_leaderboard(training, settings)
    fits = bootstrap_fits(training, settings, fit, n_draws, rng)
    forecast = forecast_from_scores(fit, fits, board.scores[above], rng)
    seen = np.isin(board.family, training.family[training.scored])
    from_family = None
    if fit.law is not None and all(one.law is not None for one in fits):
        family = np.where(seen, board.family, -1)[above]
        from_family = forecast_from_compute(fit, fits, board.compute[above], family, rng)
    log = np.log10(board.compute)
    scaled = ((log - log[usable & below].mean()) / (log[usable & below].std() or 1.0))[:, None]
    rival = fit_link(
        scaled[usable & below], board.target[usable & below], floor=settings.floor,
        highest_floor=settings.highest_floor,
    )  # fmt: skip
    return HeldOut(
        np.flatnonzero(above), forecast, from_family, rival.score(rival.index(scaled[above]))
    )
