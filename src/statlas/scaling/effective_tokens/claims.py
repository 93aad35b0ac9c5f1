"""The paper's claims, on planted laws and on recorded runs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from statlas.core import Above, Twin, Within, claim
from statlas.core.examples import example_path
from statlas.core.numerics.laws import CHINCHILLA, bootstrap
from statlas.core.numerics.laws.uncertainty import percentile_interval
from statlas.scaling.effective_tokens.laws import (
    FloatArray,
    IntArray,
    Runs,
    average_repeats,
    fit_runs,
    held_out_errors,
    quality_law,
)

_NAMES = ("diversity", "syntheticity")

# --- planted laws ---------------------------------------------------------------------------------

_SIZES_LAW = {"E": 1.7, "A": 400.0, "B": 1800.0, "alpha": 0.34, "beta": 0.36}
_PLANTED = np.array([0.5, -0.8])  # log(worth) a standard deviation of either measure


def _planted_runs(rng: np.random.Generator, n_texts: int, scatter: float) -> Runs:
    """Runs of 3 sizes and 5 lengths on each text; texts' worth scatters about its measures."""
    measures = rng.standard_normal((n_texts, 2))
    measures = (measures - measures[0]) / measures.std(axis=0, ddof=1)
    sizes, lengths = np.geomspace(2.5e7, 1.5e9, 3), np.geomspace(1e9, 6e10, 5)
    size = np.repeat(sizes, 5 * n_texts)
    length = np.tile(np.repeat(lengths, n_texts), 3)
    text = np.tile(np.arange(n_texts, dtype=np.int64), 15)
    log_worth = measures @ _PLANTED + scatter * rng.standard_normal(n_texts)
    worth = np.exp(log_worth - log_worth[0])
    loss = CHINCHILLA(_SIZES_LAW, {"N": size, "D": length * worth[text]})
    loss = loss * np.exp(0.003 * rng.standard_normal(len(loss)))
    return average_repeats(size, length, loss, text, measures, _NAMES, 0)


def _as_measured(measures: FloatArray, rng: np.random.Generator) -> FloatArray:
    return measures


def _shuffled(measures: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Measures dealt to other texts, none to its own."""
    order = rng.permutation(len(measures))
    moved = np.empty_like(order)
    moved[order] = np.roll(order, 1)
    return measures[moved]


def _with_measures(runs: Runs, measures: FloatArray) -> Runs:
    return Runs(
        runs.parameters,
        runs.tokens,
        runs.loss,
        runs.weight,
        runs.text,
        measures,
        runs.names,
        runs.reference,
    )


@claim(
    "effective-tokens",
    says="the constants of diversity and syntheticity are recovered from runs of twelve texts",
    where="estimation of the constants",
    expect=Within(0.9, 1.1),
    unit="mean of estimated over planted coefficients, losses with 0.3 % noise",
    subject=_as_measured,
    twin=Twin("measures dealt to other texts", _shuffled),
    quick=12,
    full=200,
)
def planted_constants(rng: np.random.Generator, measured: Callable[..., FloatArray]) -> float:
    """Mean ratio of both coefficients from one table."""
    runs = _planted_runs(rng, 12, 0.0)
    given = measured(runs.measures, rng)
    fit = fit_runs(quality_law(_NAMES), _with_measures(runs, given), n_starts=24, rng=rng)
    scales = _with_measures(runs, given).scales
    found = np.array([fit.parameters[f"c_{name}"] for name in _NAMES]) / scales
    return float(np.mean(found / _PLANTED))


def _by_text(runs: Runs) -> IntArray | None:
    return runs.text


def _by_row(runs: Runs) -> IntArray | None:
    return None


@claim(
    "effective-tokens",
    says="95 % intervals of the coefficient of syntheticity cover it where the worth of texts "
    "scatters about their measures",
    where="estimation of the constants (the paper gives no intervals)",
    expect=Above(0.85),
    unit="share of simulated tables of 16 texts whose interval covers",
    subject=_by_text,
    twin=Twin("rows drawn as if all were texts of their own", _by_row),
    quick=8,
    full=300,
    kind="proportion",
)
def planted_coverage(rng: np.random.Generator, groups: Callable[[Runs], IntArray | None]) -> float:
    """Whether the interval from one table covers."""
    runs = _planted_runs(rng, 16, 0.3)
    fit = fit_runs(quality_law(_NAMES), runs, n_starts=24, rng=rng)
    draws = bootstrap(fit, 100, kind="runs", groups=groups(runs), rng=rng)
    scale = runs.scales[1]
    low, high = percentile_interval(draws["c_syntheticity"] / scale, 0.95)
    return float(low <= _PLANTED[1] <= high)


# --- recorded runs --------------------------------------------------------------------------------

_REDRAWN = "recorded runs drawn anew among their three seeds"


@functools.cache
def _recorded(name: str) -> pd.DataFrame:
    """A table of runs with a row a run, its loss, and the measures of its text.

    Every second of seven lengths is enough, and of the corpora three widths of six; it is quicker.
    """
    if name == "quality":
        runs = pd.read_csv(example_path("quality_runs.csv"))
    else:
        runs = pd.read_csv(example_path("corpus_runs.csv"))
        runs = runs[(runs["depth"] == 2) & runs["width"].isin([6, 16, 40])]
        shared = ["loss_prose", "loss_code", "loss_words", "loss_foreign"]
        runs = runs.assign(loss=runs[shared].mean(axis=1))
        runs = runs.merge(pd.read_csv(example_path("corpus_texts.csv")), on="recipe")
    return runs[runs["tokens"].isin(np.sort(runs["tokens"].unique())[::2])]


def _redrawn(name: str, rng: np.random.Generator) -> Runs:
    """Runs of a recorded table with the seeds of each size and text drawn with replacement."""
    table = _recorded(name)
    trained = table.groupby(["recipe", "parameters"]).ngroup().to_numpy()
    seed = table["seed"].str[1:].astype(int).to_numpy() - 1
    counts = rng.multinomial(3, [1 / 3] * 3, trained.max() + 1)
    table = table.iloc[np.repeat(np.arange(len(table)), counts[trained, seed])]
    labels, codes = np.unique(table["recipe"].to_numpy(dtype=str), return_inverse=True)
    first = table.drop_duplicates("recipe").set_index("recipe").loc[labels]
    measures = np.column_stack([1 / first["compression_ratio"], np.exp(-first["teacher_loss"])])
    return average_repeats(
        table["parameters"], table["tokens"], table["loss"], codes, measures, _NAMES, 0
    )


def _gain(runs: Runs, rng: np.random.Generator) -> float:
    """Fall of the root mean square error of texts left out, in % of the loss."""
    errors = []
    for law in (CHINCHILLA, quality_law(_NAMES)):
        whole = fit_runs(law, runs, n_starts=8, rng=rng)
        each = held_out_errors(law, runs, whole, n_starts=0, rng=rng)
        errors.append(float(np.sqrt(np.mean(each**2))))
    return 100 * (errors[0] - errors[1])


def _recorded_gain(
    name: str, rng: np.random.Generator, measured: Callable[..., FloatArray]
) -> float:
    runs = _redrawn(name, rng)
    return _gain(_with_measures(runs, measured(runs.measures, rng)), rng)


@claim(
    "effective-tokens",
    says="the quality term predicts the losses of a text that was left out better than tokens "
    "alone: variants of one corpus",
    where="fit of the law with effective training tokens",
    expect=Above(0),
    unit=f"fall of the held-out error, % of the loss, {_REDRAWN}",
    subject=_as_measured,
    twin=Twin("measures dealt to other texts", _shuffled),
    quick=8,
    full=60,
)
def gain_on_variants(rng: np.random.Generator, measured: Callable[..., Any]) -> float:
    """Gain on one redrawn table of texts that differ in quality."""
    return _recorded_gain("quality", rng, measured)


@claim(
    "effective-tokens",
    says="the quality term predicts the losses of a text that was left out better than tokens "
    "alone: corpora of different subjects and blends of them",
    where="fit of the law with effective training tokens",
    expect=Above(0),
    unit=f"fall of the held-out error, % of the loss, {_REDRAWN}",
    subject=_as_measured,
    twin=Twin("measures dealt to other texts", _shuffled),
    quick=8,
    full=60,
)
def gain_on_subjects(rng: np.random.Generator, measured: Callable[..., Any]) -> float:
    """Gain on one redrawn table of texts that differ in subject above all."""
    return _recorded_gain("subjects", rng, measured)


@claim(
    "effective-tokens",
    says="tokens of a more diverse text are worth more: variants of one corpus",
    where="sign of the constant of diversity",
    expect=Above(0),
    unit=f"log(worth) a standard deviation of diversity, {_REDRAWN}",
    subject=_as_measured,
    twin=Twin("measures dealt to other texts", _shuffled),
    quick=8,
    full=100,
)
def diversity_is_worth_more(rng: np.random.Generator, measured: Callable[..., Any]) -> float:
    """Coefficient on one redrawn table."""
    runs = _redrawn("quality", rng)
    runs = _with_measures(runs, measured(runs.measures, rng))
    return fit_runs(quality_law(_NAMES), runs, n_starts=24, rng=rng).parameters["c_diversity"]
