"""The paper's claims, on planted laws and on the recorded runs of small transformers.

Recorded: an ordered pair of recipes and one of three seeds are drawn. The last four of seven
lengths count, for the warm-up takes more than a tenth of the others.
"""

from __future__ import annotations

import functools
from dataclasses import replace

import numpy as np
import pandas as pd

from statlas.core import Above, Below, Twin, claim
from statlas.core.examples import example_path
from statlas.core.numerics.laws.uncertainty import percentile_interval
from statlas.scaling.loss_to_loss.laws import FloatArray, fit_loss_law, relate, shifted_kaplan
from statlas.scaling.loss_to_loss.pairs import Pairs, Runs, pair_runs, same_runs
from statlas.scaling.loss_to_loss.relation import (
    Laws,
    draw_relations,
    draw_units,
    fit_relation,
    predict_across,
    r_squared,
    redraw_law,
)
from statlas.scaling.loss_to_loss.trials import (
    Extrapolated,
    carry_across,
    extrapolate,
    relative_error,
)

# The published law of a web corpus, and a relation of the size of those between its test losses.
_LAW = {"E": 1.967, "A": 6.68e7, "B": 8.9e8, "alpha": 0.413, "beta": 0.456}
_RELATION = np.array([1.2, 0.75, 1.967, 1.4])

# --- planted laws ---------------------------------------------------------------------------------


def _planted(rng: np.random.Generator) -> tuple[Runs, Runs]:
    """Runs of five sizes and six lengths on two data sets, with relative noise of 0.5 %."""
    grids = np.meshgrid(3e7 * 2.2 ** np.arange(5), 4e8 * 2.5 ** np.arange(6))
    size, tokens = (grid.ravel() for grid in grids)
    first = shifted_kaplan(size, tokens)(_LAW, {"N": size, "D": tokens})
    unit = np.arange(len(size))
    runs = [
        Runs(size, tokens, 6 * size * tokens, loss * np.exp(0.005 * rng.standard_normal(30)), unit,
             0 * unit)
        for loss in (first, relate(_RELATION, first))
    ]  # fmt: skip
    return runs[0], runs[1]


@claim(
    "loss-to-loss",
    says="intervals of a loss carried across cover it at ten times the compute about as often as "
    "they promise",
    where="extrapolation; the intervals are this module's",
    expect=Above(0.88),
    unit="share of simulated pairs of data sets whose 95 % interval covers",
    subject="shifted",
    twin=Twin("a straight line without offsets", "line"),
    quick=12,
    full=400,
    kind="proportion",
)
def carried_coverage(rng: np.random.Generator, kind: str) -> float:
    """Whether the interval from one pair of data sets covers."""
    one, other = _planted(rng)
    dearest = int(np.argmax(one.compute))
    at = one.size[[dearest]] * np.sqrt(10), one.tokens[[dearest]] * np.sqrt(10)
    form = shifted_kaplan(one.size, one.tokens)
    truth = relate(_RELATION, form(_LAW, {"N": at[0], "D": at[1]}))[0]
    law = fit_loss_law(one.size, one.tokens, one.loss)
    pairs = pair_runs(one, other)
    counts = draw_units(pairs.unit, 80, rng)
    laws = redraw_law(law, counts[:, one.unit])
    if kind == "line":
        drawn = _drawn_lines(pairs, counts, law.law.values(laws, {"N": at[0], "D": at[1]})[:, 0])
    else:
        relation = fit_relation(pairs, "first-law", first_law=law)
        draws = draw_relations(relation, counts, laws)
        drawn = predict_across(relation, *at, draws)[:, 0]
    low, high = percentile_interval(drawn, 0.95)
    return float(low <= truth <= high)


def _drawn_lines(pairs: Pairs, counts: FloatArray, first: FloatArray) -> FloatArray:
    """A straight line's second loss at a first loss a draw."""
    lines = [np.polyfit(pairs.first, pairs.second, 1, w=np.sqrt(w[pairs.unit])) for w in counts]
    return np.array([np.polyval(line, x) for line, x in zip(lines, first, strict=True)])


# --- recorded runs --------------------------------------------------------------------------------

RECIPES = ("prose", "code", "words", "foreign", "mix", "mix-code", "repeated", "synthetic")


@functools.cache
def _recorded() -> pd.DataFrame:
    table = pd.read_csv(example_path("corpus_runs.csv"))
    kept: pd.DataFrame = table[
        (table["depth"] == 2) & (10 * table["tokens"] > table["tokens"].max())
    ]
    return kept


def _runs(recipe: str, seed: int, column: str = "loss") -> Runs:
    table = _recorded()
    table = table[(table["recipe"] == recipe) & (table["seed"] == f"s{seed}")]
    size, tokens, compute, loss = (
        table[name].to_numpy(dtype=float) for name in ("parameters", "tokens", "compute", column)
    )
    unit = np.unique(size, return_inverse=True)[1].astype(np.int64)
    return Runs(size, tokens, compute, loss, unit, np.full(len(table), seed))


Sets = tuple[str, str, int]  # first recipe, second recipe, seed


def _drawn_sets(rng: np.random.Generator) -> Sets:
    first, second = rng.permutation(len(RECIPES))[:2]
    return RECIPES[first], RECIPES[second], int(rng.integers(1, 4))


@functools.cache
def _extrapolated(sets: Sets) -> Extrapolated:
    one, other = (_runs(recipe, sets[2]) for recipe in sets[:2])
    trial = extrapolate(pair_runs(one, other), one, other, 20.0, "first-law", Laws())
    assert trial is not None
    return trial


def _wrongly_paired(pairs: Pairs) -> Pairs:
    """The smallest size paired with the largest, and so on."""
    sizes = np.unique(pairs.size)
    turned = sizes[::-1][np.searchsorted(sizes, pairs.size)]
    keys = zip(pairs.size, pairs.tokens, strict=True)
    known = dict(zip(keys, pairs.first, strict=True))
    first = np.array([known[key] for key in zip(turned, pairs.tokens, strict=True)])
    return replace(pairs, first=first)


@claim(
    "loss-to-loss",
    says="with eight points on the second data set, a law carried across predicts its other runs "
    "better than a law fitted to the eight",
    where="translating a scaling law with few points",
    expect=Above(0.0),
    unit="mean relative error of the law from few, less that of the law carried across",
    subject=False,
    twin=Twin("small models paired with large ones", True),
    quick=8,
    full=100,
)
def few_points(rng: np.random.Generator, wrongly: bool) -> float:
    """Difference of errors for one drawn pair of recipes."""
    *recipes, seed = _drawn_sets(rng)
    one, other = (_runs(str(recipe), int(seed)) for recipe in recipes)
    pairs = pair_runs(one, other)
    pairs = _wrongly_paired(pairs) if wrongly else pairs
    trial = carry_across(pairs, one, other, 8, Laws(), ("carried across", "law from few"))
    assert trial is not None
    return trial.error("law from few") - trial.error("carried across")


@claim(
    "loss-to-loss",
    says="a relation between two training losses extrapolates to twenty times the compute",
    where="abstract: predictions extrapolate well even at 20 times the compute",
    expect=Below(0.03),
    unit="mean relative error of the second loss at up to 20 times the compute fitted",
    subject="loss to loss",
    twin=Twin("the first loss taken for the second", "identity"),
    quick=8,
    full=100,
)
def twenty_times(rng: np.random.Generator, method: str) -> float:
    """Error for one drawn pair of recipes."""
    trial = _extrapolated(_drawn_sets(rng))
    if method == "identity":
        return relative_error(trial.pairs.first, trial.pairs.second)
    return trial.error(method)


@claim(
    "loss-to-loss",
    says="given the first set's loss at twenty times the compute, the relation predicts the "
    "second's better than its own law does",
    where="abstract: more accurate than extrapolating single-dataset scaling laws",
    expect=Above(0.0),
    unit="mean relative error of the second set's own law less that of the relation",
    subject="loss to loss",
    twin=Twin("a law of the second set's compute alone", "law of compute"),
    quick=8,
    full=100,
)
def against_own_law(rng: np.random.Generator, method: str) -> float:
    """Difference of errors for one drawn pair of recipes."""
    trial = _extrapolated(_drawn_sets(rng))
    return trial.error("own law") - trial.error(method)


@claim(
    "loss-to-loss",
    says="train loss and loss on other text of one run follow a shifted power law",
    where="train-to-test: for a single model, any downstream distribution",
    expect=Above(0.9),
    unit="R squared over the runs of one recipe and seed",
    subject=False,
    twin=Twin("small models paired with large ones", True),
    quick=8,
    full=100,
)
def train_to_test(rng: np.random.Generator, wrongly: bool) -> float:
    """R squared for a drawn recipe and corpus."""
    recipe = RECIPES[rng.integers(len(RECIPES))]
    corpora = [name for name in RECIPES[:4] if name != recipe]
    column = f"loss_{corpora[rng.integers(len(corpora))]}"
    seed = int(rng.integers(1, 4))
    runs = _runs(recipe, seed)
    pairs = same_runs(runs, _runs(recipe, seed, column).loss)
    if wrongly:
        pairs = _wrongly_paired(pairs)
    law = Laws().of(runs)
    relation = fit_relation(pairs, "first-law", first_law=law)
    return r_squared(relation.predict(pairs.first), pairs.second)
