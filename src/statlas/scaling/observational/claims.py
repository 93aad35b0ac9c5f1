"""What the paper states, measured on recorded networks and on simulated leaderboards.

Replicates on the recorded table resample its families, so their intervals are about that table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pandas as pd

from statlas.core import Above, Below, Twin, Within, claim
from statlas.core.examples import example_path
from statlas.scaling.observational.components import FloatArray, fit_components
from statlas.scaling.observational.families import FamilyLaw, own_line_r2
from statlas.scaling.observational.forecast import (
    Fit,
    Leaderboard,
    Settings,
    bootstrap_fits,
    fit_leaderboard,
    forecast_from_compute,
    hold_out_strongest,
)
from statlas.scaling.observational.link import fit_link
from statlas.scaling.observational.selection import select_models

Generator = np.random.Generator
Shuffle = Callable[[Generator, FloatArray], FloatArray]


@lru_cache(maxsize=1)
def _recorded() -> Leaderboard:
    """72 networks of 12 families, eight tests and the target."""
    table = pd.read_csv(example_path("family_ladders.csv"))
    family = pd.factorize(table["family"])[0].astype(np.int64)
    scores = table.iloc[:, 3:-1].to_numpy(dtype=float)
    compute = table["compute"].to_numpy(dtype=float)
    target = table["six_in_a_row"].to_numpy(dtype=float)
    return Leaderboard(scores, target, family, compute, int(family.max()) + 1)


def _some_families(rng: Generator, board: Leaderboard, n: int) -> Leaderboard:
    """The models of `n` families drawn without replacement, renumbered."""
    rows = np.isin(board.family, rng.choice(board.n_families, n, replace=False))
    chosen = board.only(rows)
    return replace(chosen, family=np.unique(chosen.family, return_inverse=True)[1], n_families=n)


def _as_it_is(rng: Generator, scores: FloatArray) -> FloatArray:
    return scores


def _each_shuffled(rng: Generator, scores: FloatArray) -> FloatArray:
    return np.column_stack([rng.permutation(column) for column in scores.T])


def _rows_shuffled(rng: Generator, scores: FloatArray) -> FloatArray:
    return scores[rng.permutation(len(scores))]


@claim(
    "observational",
    says="three components carry nearly all variance of a table of benchmark scores",
    where="Section 3.2",
    expect=Above(0.95),
    unit="share of variance of three components of eight",
    subject=_as_it_is,
    twin=Twin("every benchmark shuffled over models by itself", _each_shuffled),
    quick=20,
    full=200,
)
def few_components(rng: Generator, arrange: Shuffle) -> float:
    """Share in nine of the recorded families."""
    board = _some_families(rng, _recorded(), 9)
    return float(fit_components(arrange(rng, board.scores), 3).shares.sum())


def _from_components(scores: FloatArray) -> FloatArray:
    fit = fit_components(scores, 2)
    return fit.mean + fit.capabilities(scores)[0] @ fit.loadings.T


def _column_means(scores: FloatArray) -> FloatArray:
    means: FloatArray = np.broadcast_to(np.nanmean(scores, axis=0), scores.shape)
    return means


@claim(
    "observational",
    says="missing benchmark scores can be told from the others through the components",
    where="Section 3.2, imputation",
    expect=Below(-1.0),
    unit="log of the error on hidden scores over that of the benchmark's mean",
    subject=_from_components,
    twin=Twin("the benchmark's mean", _column_means),
    quick=20,
    full=200,
)
def missing_scores(rng: Generator, complete: Callable[[FloatArray], FloatArray]) -> float:
    """One in five of the recorded scores is hidden."""
    scores = _recorded().scores
    hidden = np.isfinite(scores) & (rng.random(scores.shape) < 0.2)
    shown = np.where(hidden, np.nan, scores)
    errors = [np.mean((fill(shown) - scores)[hidden] ** 2) for fill in (complete, _column_means)]
    return float(0.5 * np.log(errors[0] / errors[1]))


def _log_compute(compute: FloatArray) -> FloatArray:
    return compute


def _compute_itself(compute: FloatArray) -> FloatArray:
    return np.asarray(10.0 ** (compute / compute.max()))  # its log10 is compute, up to the unit


@claim(
    "observational",
    says="within a family the first component is linear in the logarithm of compute",
    where="Section 3.3",
    expect=Above(0.9),
    unit="median R2 of the families' own lines",
    subject=_log_compute,
    twin=Twin("lines in compute itself", _compute_itself),
    quick=100,
    full=400,
)
def log_linear(rng: Generator, scale: Callable[[FloatArray], FloatArray]) -> float:
    """Median over nine of the recorded families."""
    board = _some_families(rng, _recorded(), 9)
    first = fit_components(board.scores, 3).capabilities(board.scores)[0][:, 0]
    return float(np.median(own_line_r2(first, scale(board.compute), board.family)))


@claim(
    "observational",
    says="a sigmoid of the components extrapolates to stronger models better than one of compute",
    where="Section 4",
    expect=Below(-0.2),
    unit="log of the error on models of the most compute over that of compute alone",
    subject=_as_it_is,
    twin=Twin("benchmark scores shuffled over models", _rows_shuffled),
    quick=24,
    full=240,
)
def extrapolates(rng: Generator, arrange: Shuffle) -> float:
    """A quarter of the models of nine recorded families, those of most compute, is forecast."""
    board = _some_families(rng, _recorded(), 9)
    board = replace(board, scores=arrange(rng, board.scores))
    check = hold_out_strongest(board, Settings(3), 0.25, 1, rng)
    assert check is not None
    truth = board.target[check.rows]
    errors = [np.mean((score - truth) ** 2) for score in (check.forecast.score, check.by_compute)]
    return float(0.5 * np.log(errors[0] / errors[1]))


def _v_optimal(rng: Generator, capability: FloatArray, n: int) -> list[int]:
    return select_models(capability, n)


def _random(rng: Generator, capability: FloatArray, n: int) -> list[int]:
    return list(rng.choice(len(capability), n, replace=False))


@claim(
    "observational",
    says="a law fitted to few models chosen by V-optimality forecasts the others better than one "
    "fitted to as many at random",
    where="Section 5",
    expect=Below(-0.05),
    unit="log of the error on all models over the mean of ten random choices",
    subject=_v_optimal,
    twin=Twin("a random choice", _random),
    quick=40,
    full=800,
)
def chosen_models(
    rng: Generator, select: Callable[[Generator, FloatArray, int], list[int]]
) -> float:
    """Ten of the models of nine recorded families have the target."""
    board = _some_families(rng, _recorded(), 9)
    capability = fit_components(board.scores, 3).capabilities(board.scores)[0]

    def log_error(rows: list[int]) -> float:
        link = fit_link(capability[rows], board.target[rows], floor=0.0)
        off = link.score(link.index(capability)) - board.target
        return 0.5 * float(np.log(np.mean(off**2)))

    rivals = [log_error(_random(rng, capability, 10)) for _ in range(10)]
    return log_error(select(rng, capability, 10)) - float(np.mean(rivals))


def _simulated(rng: Generator, n_families: int, sizes: int) -> tuple[Leaderboard, FloatArray]:
    """A leaderboard from the law itself, and the index of each model."""
    family = np.repeat(np.arange(n_families), sizes)
    log = rng.uniform(0, 3, family.size)
    lines = np.array([-1.5, 1.0]) + rng.normal(size=(n_families, 2)) * [0.5, 0.15]
    strength = lines[family, 0] + lines[family, 1] * log + 0.15 * rng.normal(size=family.size)
    other = rng.normal(size=family.size)
    loadings = rng.uniform(0.5, 1.5, (8, 1)) * [[0.1, 0.03]]
    loadings[::2, 1] *= -1
    scores = 0.4 + np.column_stack([strength, other]) @ loadings.T
    scores += 0.02 * rng.normal(size=scores.shape)
    scores[rng.random(scores.shape) < 0.15] = np.nan
    target = 1 / (1 + np.exp(-2 * strength)) + 0.03 * rng.normal(size=family.size)
    return Leaderboard(scores, np.clip(target, 0, 1), family, 10**log, n_families), strength


def _same(law: FamilyLaw) -> FamilyLaw:
    return law


def _one_line(law: FamilyLaw) -> FamilyLaw:
    return replace(law, between=np.zeros((2, 2)))


@claim(
    "observational",
    says="families differ in how they turn compute into capability; with that variation the 95 % "
    "interval of an unseen family's model covers its score",
    where="Section 3.1, capabilities by family; the interval is this module's",
    expect=Within(0.9, 0.99),
    unit="coverage of the 95 % interval on models of unseen families",
    subject=_same,
    twin=Twin("one line for all families", _one_line),
    quick=12,
    full=160,
)
def unseen_family(rng: Generator, change: Callable[[FamilyLaw], FamilyLaw]) -> float:
    """Share of 300 models of 300 new families inside; 25 families of 4 sizes are fitted."""
    board, _ = _simulated(rng, 325, 4)
    training = replace(board.only(board.family < 25), n_families=25)
    settings = Settings(2, floor=0.0)
    fit = fit_leaderboard(training, settings)
    fits = bootstrap_fits(training, settings, fit, 20, rng)
    changed = [
        Fit(one.components, one.link, change(one.law)) for one in fits if one.law is not None
    ]
    new = np.flatnonzero(board.family >= 25)[::4]
    unseen = np.full(len(new), -1)
    forecast = forecast_from_compute(fit, changed, board.compute[new], unseen, rng)
    low, high = forecast.interval(0.95)
    return float(np.mean((board.target[new] >= low) & (board.target[new] <= high)))
