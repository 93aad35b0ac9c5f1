"""Claims, measured on recorded networks and on simulated families that follow the law.

Replicates on the recorded table draw families of it, so their intervals are about that table.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy.special import expit, logit

from statlas.core import Above, Below, Twin, claim
from statlas.core.examples import example_path
from statlas.scaling.sloth.fitting import fit_law, place_families
from statlas.scaling.sloth.forecast import Settings, held_out_coverage, hold_out_families
from statlas.scaling.sloth.law import Features, FloatArray, Links, ModelScores, SkillLaw

Generator = np.random.Generator
Forecast = Callable[[ModelScores, ModelScores], FloatArray]

# --- recorded families --------------------------------------------------------------------------

_CHANCE = np.array([0.1] * 8 + [0.001, 0.0])  # eight tests of one digit, three in a row, sure


@lru_cache(maxsize=1)
def _recorded() -> ModelScores:
    """240 networks of 20 families on ten tests."""
    table = pd.read_csv(example_path("skill_families.csv"))
    family = pd.factorize(table["family"])[0].astype(np.int64)
    size, images = (table[name].to_numpy(dtype=float) for name in ("parameters", "images"))
    scores = table.drop(columns=["model", "family", "parameters", "images"]).to_numpy(dtype=float)
    return ModelScores(size, images, family, int(family.max()) + 1, scores)


def _two_sizes_shown(rng: Generator) -> tuple[ModelScores, ModelScores]:
    """Sixteen recorded families: all sizes of 12, the two smallest of 4, whose others are asked."""
    data = _recorded()
    chosen = rng.permutation(data.n_families)[:16]
    data = data.rows(np.isin(data.family, chosen))
    asked = np.isin(data.family, chosen[:4])
    second = np.array([np.unique(data.size[data.family == one])[1] for one in data.family])
    later = asked & (data.size > second)
    return data.rows(~later), data.rows(later)


def skill_law_forecast(train: ModelScores, asked: ModelScores) -> FloatArray:
    """Sloth: two skills, trained links."""
    law = fit_law(train, _CHANCE, trained_link=True, n_starts=1)
    return law.predict(asked.size, asked.tokens, law.efficiency[asked.family])


def sigmoid_law_forecast(train: ModelScores, asked: ModelScores) -> FloatArray:
    """The same with sigmoid links, which take a tenth of the time."""
    law = fit_law(train, _CHANCE, n_starts=1)
    return law.predict(asked.size, asked.tokens, law.efficiency[asked.family])


def family_law_forecast(train: ModelScores, asked: ModelScores) -> FloatArray:
    """Each family's own sigmoid in log compute, by least squares on its logits."""
    guess = np.full_like(asked.scores, np.nan)
    for family in np.unique(asked.family):
        own, rows = train.rows(train.family == family), asked.family == family
        x = np.log(own.size * own.tokens)
        new = np.log(asked.size[rows] * asked.tokens[rows])
        for place, column in enumerate(own.scores.T):
            seen = np.isfinite(column)
            if seen.sum() >= 2:
                target = logit(np.clip(column[seen], 0.005, 0.995))
                slope, level = np.polyfit(x[seen], target, 1)
                guess[rows, place] = expit(level + slope * new)
    return guess


def shuffled_families_forecast(train: ModelScores, asked: ModelScores) -> FloatArray:
    """Sloth with the families of the models that are fitted shuffled."""
    rng = np.random.default_rng(len(train.size))
    return skill_law_forecast(replace(train, family=rng.permutation(train.family)), asked)


def separate_laws_forecast(train: ModelScores, asked: ModelScores) -> FloatArray:
    """A sigmoid law of each benchmark by itself, so that none learns from the others."""
    columns = []
    for place in range(train.scores.shape[1]):
        part = replace(train, scores=train.scores[:, [place]])
        law = fit_law(part, _CHANCE[[place]], n_skills=1, n_starts=1)
        columns.append(law.predict(asked.size, asked.tokens, law.efficiency[asked.family]))
    return np.hstack(columns)


def _log_error_ratio(asked: ModelScores, one: FloatArray, other: FloatArray) -> float:
    """Log of the ratio of mean absolute errors, on scores that both forecast."""
    off, rival = np.abs(one - asked.scores), np.abs(other - asked.scores)
    both = np.isfinite(off) & np.isfinite(rival)
    return float(np.log(off[both].mean() / rival[both].mean()))


@claim(
    "sloth",
    says="larger models of a family are forecast with lower error than by the family's own law",
    where="Section 4, larger models with two of the family in training; official results",
    unit="log of the mean absolute error over that of laws of each family by itself",
    expect=Below(-0.2),
    subject=skill_law_forecast,
    twin=Twin("families shuffled over the models of the fit", shuffled_families_forecast),
    quick=8,
    full=80,
)
def beats_family_laws(rng: Generator, forecast: Forecast) -> float:
    """Two of four sizes of four recorded families are shown, the other two forecast."""
    train, asked = _two_sizes_shown(rng)
    return _log_error_ratio(asked, forecast(train, asked), family_law_forecast(train, asked))


@claim(
    "sloth",
    says="skills that benchmarks share lower the error against a law for each benchmark by itself",
    where="Section 4, against laws of size and tokens for each benchmark",
    unit="log of the mean absolute error over that of a law for each benchmark",
    expect=Below(-0.02),
    subject=sigmoid_law_forecast,
    twin=Twin("laws for each benchmark by itself", separate_laws_forecast),
    quick=8,
    full=80,
)
def shared_skills_help(rng: Generator, forecast: Forecast) -> float:
    """Two of four sizes of four recorded families are shown, the other two forecast."""
    train, asked = _two_sizes_shown(rng)
    return _log_error_ratio(asked, forecast(train, asked), separate_laws_forecast(train, asked))


@claim(
    "sloth",
    says="a family's efficiency, placed by its smallest model, lowers the error on its larger ones",
    where="Section 3, efficiency by family",
    unit="log of the mean absolute error over that of the mean efficiency",
    expect=Below(-0.2),
    subject=True,
    twin=Twin("forecasts that ignore the small model", False),
    quick=8,
    full=160,
)
def family_efficiency_helps(rng: Generator, place: bool) -> float:
    """Fitted to 15 recorded families; the other five are placed by their smallest network."""
    data = _recorded()
    asked = np.isin(data.family, rng.choice(data.n_families, 5, replace=False))
    law = fit_law(data.rows(~asked), _CHANCE, trained_link=True, n_starts=1)
    held = data.rows(asked)
    order = np.lexsort((held.tokens, held.size, held.family))
    smallest = order[np.unique(held.family[order], return_index=True)[1]]
    larger = held.rows(np.setdiff1d(order, smallest))
    by_mean = law.predict(larger.size, larger.tokens, law.efficiency[data.family[~asked]].mean(0))
    placed = place_families(law, held.rows(smallest)) if place else law
    efficiency = placed.efficiency[larger.family]
    by_one = law.predict(larger.size, larger.tokens, efficiency) if place else by_mean
    return _log_error_ratio(larger, by_one, by_mean)


# --- simulated families -------------------------------------------------------------------------


def simulate(
    rng: Generator, n_families: int = 14, members: int = 4, missing: float = 0.2
) -> tuple[ModelScores, FloatArray]:
    """Scores of two-skill families on six benchmarks; also the scores without noise."""
    n, n_bench = n_families * members, 6
    family = np.repeat(np.arange(n_families), members)
    size = np.exp(rng.uniform(-1, 4, n))
    tokens = np.exp(rng.uniform(-1, 2.5, n_families)[family] + rng.normal(0, 0.3, n))
    slopes = np.abs(rng.normal([[0.4], [0.3], [0.03]], 0.05, (3, 2)))
    efficiency = rng.normal(0, 0.7, (n_families, 2))
    loadings = np.abs(rng.normal(0.6, 0.3, (2, n_bench)))
    law = SkillLaw(
        slopes, efficiency, loadings, rng.normal(-1.5, 0.5, n_bench), Features((1.5, 0.7)),
        Links.sigmoid(np.zeros(n_bench)),
    )  # fmt: skip
    truth = law.predict(size, tokens, efficiency[family])
    scores = np.clip(truth + rng.normal(0, 0.02, truth.shape), 0, 1)
    scores[rng.uniform(size=scores.shape) < missing] = np.nan
    return ModelScores(size, tokens, family, n_families, scores), truth


@claim(
    "sloth",
    says="missing scores in the fit cost less than leaving out the models that miss one",
    where="this module's; the official code leaves such models out",
    unit="log of the error over that of the fit to complete models",
    expect=Below(-0.1),
    subject=True,
    twin=Twin("the fit to complete models", False),
    quick=16,
    full=160,
)
def missing_scores_modelled(rng: Generator, keep: bool) -> float:
    """Errors against noise-free scores of all models."""
    data, truth = simulate(rng, n_families=20)
    complete = data.rows(np.asarray(np.isfinite(data.scores).all(axis=1)))

    def error(train: ModelScores) -> float:
        law = place_families(fit_law(train, np.zeros(6), n_starts=1), train)
        guess = law.predict(data.size, data.tokens, law.efficiency[data.family])
        return float(np.abs(guess - truth).mean())

    return float(np.log(error(data if keep else complete) / error(complete)))


@claim(
    "sloth",
    says="intervals for larger members of held-out families cover",
    where="this module's; the paper gives no intervals",
    unit="coverage at level 0.95",
    expect=Above(0.92),
    subject=0.95,
    twin=Twin("intervals of half that level", 0.475),
    quick=12,
    full=160,
)
def intervals_cover_families(rng: Generator, level: float) -> float:
    """Coverage of families whose own errors had no part in the margins."""
    data, _ = simulate(rng)
    settings = Settings(np.zeros(6), trained_link=False, n_starts=1)
    held = hold_out_families(data, settings, folds=5, rng=rng)
    return float(np.nanmean(held_out_coverage(held.errors["one member"], data, level)))
