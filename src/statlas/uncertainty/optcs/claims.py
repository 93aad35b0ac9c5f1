"""The paper's claims: false discovery rate and power over simulated tables.

Two of the three tables for the false discovery rate hold little or nothing to be found: there every
pick is a dud, and the rate is how often anyone is picked.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from statlas.core import Above, Below, Twin, claim
from statlas.uncertainty.optcs.fitting import leave_one_out, ridge_smoother
from statlas.uncertainty.optcs.selection import (
    Selection,
    benjamini_hochberg,
    best_score_selection,
    clipped_scores,
    conformal_selection,
    naive_best_selection,
    p_values,
)

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

_SETS, _LABELLED, _CANDIDATES = 100, 100, 50
_LEVEL = 0.2


def _false_discoveries(selected: BoolArray, good: BoolArray) -> float:
    """Mean share of duds among the picks, 0 where there is none."""
    return float(((selected & ~good).sum(-1) / np.maximum(selected.sum(-1), 1)).mean())


def _power(selected: BoolArray, good: BoolArray) -> float:
    """Mean share of the good candidates that is picked."""
    return float(((selected & good).sum(-1) / np.maximum(good.sum(-1), 1)).mean())


# --- given scores ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Scored:
    """Sets with several given scores; a quarter of rows is good."""

    labelled: FloatArray  # predictions (n_sets, n_scores, n)
    good: BoolArray  # (n_sets, n)
    candidates: FloatArray  # (n_sets, n_scores, n_candidates)
    truth: BoolArray  # (n_sets, n_candidates)


def _scored(rng: np.random.Generator, correlations: FloatArray) -> _Scored:
    rows = _LABELLED + _CANDIDATES
    outcome = rng.normal(size=(_SETS, 1, rows))
    noise = rng.normal(size=(_SETS, len(correlations), rows))
    weight = correlations[:, None]
    predictions = weight * outcome + np.sqrt(1 - weight**2) * noise
    good = outcome[:, 0] > 0.6745
    return _Scored(
        predictions[..., :_LABELLED], good[:, :_LABELLED],
        predictions[..., _LABELLED:], good[:, _LABELLED:],
    )  # fmt: skip


Chooser = Callable[[_Scored, np.random.Generator], BoolArray]


def _optimised(sets: _Scored, rng: np.random.Generator) -> BoolArray:
    labelled = clipped_scores(sets.labelled, sets.good[:, None])
    return best_score_selection(labelled, -sets.candidates, _LEVEL, "shared", rng).selected


def _naive(sets: _Scored, rng: np.random.Generator) -> BoolArray:
    labelled = clipped_scores(sets.labelled, sets.good[:, None])
    return naive_best_selection(labelled, -sets.candidates, _LEVEL).selected


def _with_score(sets: _Scored, score: NDArray[np.int64], rows: slice) -> BoolArray:
    """Plain conformal selection with the chosen score of each set and some labelled rows."""
    index = score[:, None, None]
    labelled = np.take_along_axis(sets.labelled[..., rows], index, axis=1)[:, 0]
    new = np.take_along_axis(sets.candidates, index, axis=1)[:, 0]
    return conformal_selection(clipped_scores(labelled, sets.good[:, rows]), -new, _LEVEL).selected


def _held_out_choice(sets: _Scored, rng: np.random.Generator) -> BoolArray:
    """Half of the labelled rows choose the score (a trial selection), the others calibrate."""
    quarter, half = _LABELLED // 4, _LABELLED // 2
    trial = clipped_scores(sets.labelled[..., :quarter], sets.good[:, None, :quarter])
    picks = benjamini_hochberg(p_values(trial, -sets.labelled[..., quarter:half]), _LEVEL)
    return _with_score(sets, np.argmax(picks.sum(-1), axis=-1), slice(half, None))


def _random_score(sets: _Scored, rng: np.random.Generator) -> BoolArray:
    score = rng.integers(0, sets.labelled.shape[1], len(sets.labelled))
    return _with_score(sets, score, slice(None))


_NAIVE = Twin("Benjamini-Hochberg with the score that picks most on the same table", _naive)


@claim(
    "optcs",
    says="choosing among twenty given scores by the auxiliary selections keeps the false discovery "
    "rate under its nominal level of 0.2",
    where="Section 4 (OptCS-MSel) and Section 5.1",
    expect=Below(_LEVEL),
    unit="share of duds among the picks, mean over tables (nineteen scores are noise)",
    subject=_optimised,
    twin=_NAIVE,
    quick=20,
    full=300,
)
def chosen_score_controls_fdr(rng: np.random.Generator, choose: Chooser) -> float:
    """False discovery rate over a hundred tables of 100 labelled rows and 50 candidates."""
    sets = _scored(rng, np.r_[0.3, np.zeros(19)])
    return _false_discoveries(choose(sets, rng), sets.truth)


@claim(
    "optcs",
    says="choosing the score on all labelled rows finds more of the good candidates than holding "
    "half of these rows out for the choice",
    where="Section 5.1",
    expect=Above(0),
    unit="share of good candidates found, minus that with held-out choice",
    subject=_optimised,
    twin=Twin("a score drawn at random, all rows for calibration", _random_score),
    quick=20,
    full=300,
)
def chosen_score_gains_power(rng: np.random.Generator, choose: Chooser) -> float:
    """Gain of power over a hundred tables; correlations of scores and outcome from 0 to 0.9."""
    sets = _scored(rng, np.linspace(0, 0.9, 20))
    held_out = _held_out_choice(sets, rng)
    return _power(choose(sets, rng), sets.truth) - _power(held_out, sets.truth)


# --- fitted scores --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Featured:
    """Sets with features, of which the first five carry the outcome; 30 % of rows are good."""

    features: FloatArray  # (n_sets, rows, n_features), labelled rows first
    good: BoolArray  # (n_sets, rows)

    @property
    def known(self) -> FloatArray:
        """1 for labelled good rows, 0 for labelled duds and all candidates."""
        labelled = np.arange(self.good.shape[1]) < _LABELLED
        return (self.good & labelled).astype(float)

    @property
    def truth(self) -> BoolArray:
        """Which candidates are good."""
        return self.good[:, _LABELLED:]


def _featured(rng: np.random.Generator, n_features: int) -> _Featured:
    x = rng.normal(size=(_SETS, _LABELLED + _CANDIDATES, n_features))
    signal = x[..., :5].sum(axis=-1) / np.sqrt(5)
    y = signal + 0.5 * rng.normal(size=signal.shape)
    return _Featured(x, y > 0.5244 * np.sqrt(1.25))


Fitter = Callable[[_Featured, np.random.Generator], BoolArray]


def _select(predictions: FloatArray, sets: _Featured) -> Selection:
    labelled = clipped_scores(predictions[:, :_LABELLED], sets.good[:, :_LABELLED])
    return conformal_selection(labelled, -predictions[:, _LABELLED:], _LEVEL)


def _full(sets: _Featured, rng: np.random.Generator) -> BoolArray:
    return _select(leave_one_out(ridge_smoother(sets.features), sets.known), sets).selected


def _ridge(sets: _Featured, fitting: slice) -> FloatArray:
    """Predictions of all rows by ridge regression on some of the labelled ones."""
    x, y = sets.features[:, fitting], sets.good[:, fitting].astype(float)
    centre = x.mean(axis=1, keepdims=True)
    x = x - centre
    gram = np.swapaxes(x, 1, 2) @ x + np.eye(x.shape[-1])
    weights = np.linalg.solve(gram, np.swapaxes(x, 1, 2) @ y[..., None])
    return np.asarray(((sets.features - centre) @ weights)[..., 0])


def _reused(sets: _Featured, rng: np.random.Generator) -> BoolArray:
    return _select(_ridge(sets, slice(_LABELLED)), sets).selected


def _split(sets: _Featured, rng: np.random.Generator, fitting: int = _LABELLED // 2) -> BoolArray:
    predictions = _ridge(sets, slice(fitting))
    labelled = clipped_scores(predictions[:, fitting:_LABELLED], sets.good[:, fitting:_LABELLED])
    return conformal_selection(labelled, -predictions[:, _LABELLED:], _LEVEL).selected


def _small_split(sets: _Featured, rng: np.random.Generator) -> BoolArray:
    return _split(sets, rng, _LABELLED // 5)


@claim(
    "optcs",
    says="leave-one-out scores from one fit of all rows, candidates counted as duds, keep the "
    "false discovery rate under its nominal level of 0.2",
    where="Section 4 (OptCS-Full) and Section 5.2",
    expect=Below(_LEVEL),
    unit="share of duds among the picks, mean over tables",
    subject=_full,
    twin=Twin("fit on the labelled rows, then calibrate on the same rows", _reused),
    quick=20,
    full=300,
)
def full_data_controls_fdr(rng: np.random.Generator, select: Fitter) -> float:
    """False discovery rate over a hundred tables of 40 features."""
    sets = _featured(rng, 40)
    return _false_discoveries(select(sets, rng), sets.truth)


@claim(
    "optcs",
    says="fitting on all rows finds more of the good candidates than fitting on half of the "
    "labelled rows and calibrating on the other half",
    where="Section 5.2",
    expect=Above(0),
    unit="share of good candidates found, minus that of the split",
    subject=_full,
    twin=Twin("a split that fits on a fifth of the labelled rows", _small_split),
    quick=20,
    full=300,
)
def full_data_gains_power(rng: np.random.Generator, select: Fitter) -> float:
    """Gain of power over a hundred tables of 40 features."""
    sets = _featured(rng, 40)
    return _power(select(sets, rng), sets.truth) - _power(_split(sets, rng), sets.truth)


def _block_scores(sets: _Featured) -> tuple[FloatArray, FloatArray]:
    """Leave-one-out scores of ridge regressions on blocks of five features each."""
    blocks = np.split(sets.features, sets.features.shape[-1] // 5, axis=-1)
    fits = [leave_one_out(ridge_smoother(block), sets.known) for block in blocks]
    predictions = np.stack(fits, axis=1)
    labelled = clipped_scores(predictions[..., :_LABELLED], sets.good[:, None, :_LABELLED])
    return labelled, -predictions[..., _LABELLED:]


def _full_chosen(sets: _Featured, rng: np.random.Generator) -> BoolArray:
    return best_score_selection(*_block_scores(sets), _LEVEL, "shared", rng).selected


def _full_naive(sets: _Featured, rng: np.random.Generator) -> BoolArray:
    return naive_best_selection(*_block_scores(sets), _LEVEL).selected


@claim(
    "optcs",
    says="fitting several models on all rows and choosing among them on the same rows keeps the "
    "false discovery rate under its nominal level of 0.2",
    where="Section 4 (OptCS-Full-MSel) and Section 5.3",
    expect=Below(_LEVEL),
    unit="share of duds among the picks, mean over tables (no feature matters)",
    subject=_full_chosen,
    twin=Twin("Benjamini-Hochberg with the model that picks most", _full_naive),
    quick=20,
    full=300,
)
def fitted_and_chosen_controls_fdr(rng: np.random.Generator, select: Fitter) -> float:
    """False discovery rate over a hundred tables; outcomes have nothing to do with features."""
    sets = _featured(rng, 40)
    sets = _Featured(rng.permuted(sets.features, axis=1), sets.good)
    return _false_discoveries(select(sets, rng), sets.truth)
