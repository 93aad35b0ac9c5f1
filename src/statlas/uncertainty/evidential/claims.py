"""Statements of the survey, measured: detection on real shifts, and what evidence depends on.

Every replicate draws classes, rows and starting weights anew. The networks are small and train for
200 steps, whatever the number of rows, so that a replicate takes about half a second.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import digamma

from statlas.core import Above, Twin, Within, claim
from statlas.core.rng import sklearn_seed
from statlas.models.training import require_torch
from statlas.uncertainty.evidential import dirichlet
from statlas.uncertainty.evidential.estimators import EvidentialClassifier, EvidentialRegressor
from statlas.uncertainty.evidential.inverse_gamma import NormalInverseGamma
from statlas.uncertainty.evidential.losses import CLASS_LOSSES, ClassFamily
from statlas.uncertainty.evidential.scores import placements

FloatArray = NDArray[np.float64]
Doubt = Callable[[FloatArray], FloatArray]
# From labelled rows and rows from outside to a score of doubt.
Trainer = Callable[[np.random.Generator, FloatArray, NDArray[Any], FloatArray], Doubt]


def _settings(rng: np.random.Generator, n_rows: int) -> dict[str, Any]:
    """A small network, four batches an epoch."""
    return {
        "hidden": 32,
        "epochs": 50,
        "batch_size": -(-n_rows // 4),
        "learning_rate": 0.01,
        "validation_fraction": 0.0,
        "random_state": sklearn_seed(rng),
    }


# --- detection ------------------------------------------------------------------------------------


def _epistemic(
    rng: np.random.Generator, x: FloatArray, y: NDArray[Any], outside: FloatArray,
    family: ClassFamily,
) -> Doubt:  # fmt: skip
    """Epistemic uncertainty of a family, from one forward pass."""
    model = EvidentialClassifier(family, **_settings(rng, len(x)))
    given = {"outside": outside} if CLASS_LOSSES[family].outside else {}
    model.fit(x, y, **given)
    return lambda new: model.uncertainty(new)["epistemic"]


def _largest_probability(
    rng: np.random.Generator, x: FloatArray, y: NDArray[Any], outside: FloatArray
) -> Doubt:
    """Minus the largest probability of a plain softmax network."""
    model = EvidentialClassifier("plain", **_settings(rng, len(x))).fit(x, y)
    return lambda new: -model.predict_proba(new).max(axis=1)


_AGAIN = Twin("the largest probability of a plain network trained again", _largest_probability)


def _area(doubt: Doubt, strange: FloatArray, familiar: FloatArray) -> float:
    return float(placements(doubt(strange), doubt(familiar))[0].mean())


def _gain(
    rng: np.random.Generator, train: Trainer, x: FloatArray, y: NDArray[Any], outside: FloatArray,
    strange: FloatArray, familiar: FloatArray,
) -> float:  # fmt: skip
    """Area under the ROC curve of a trainer's doubt minus that of a plain network."""
    plain = _largest_probability(rng, x, y, outside)
    ours = train(rng, x, y, outside)
    return _area(ours, strange, familiar) - _area(plain, strange, familiar)


@cache
def _data(name: str) -> tuple[FloatArray, NDArray[Any]]:
    from sklearn import datasets

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    return np.asarray(x, dtype=float), y


@claim(
    "evidential",
    says="one forward pass of a posterior network, whose evidence is a density, finds digits of "
    "classes it never saw better than the largest probability of a softmax network does",
    where="the part on posterior networks; digits of five classes against the other five",
    expect=Above(0),
    unit="area under the ROC curve, minus that of a plain network",
    subject=partial(_epistemic, family="posterior"),
    twin=_AGAIN,
    quick=8,
    full=40,
)
def unseen_digits(rng: np.random.Generator, train: Trainer) -> float:
    """Train on 200 digits of five classes drawn at random."""
    x, y = _data("digits")
    known = np.isin(y, rng.permutation(10)[:5])
    rows = rng.permutation(np.flatnonzero(known))
    learn, test = rows[:200], rows[200:]
    return _gain(rng, train, x[learn], y[learn], x[:0], x[~known], x[test])


@claim(
    "evidential",
    says="one forward pass of a posterior network finds wines of a cultivar it never saw better "
    "than the largest probability of a softmax network does",
    where="the part on posterior networks; wine, two cultivars against the third",
    expect=Above(0),
    unit="area under the ROC curve, minus that of a plain network",
    subject=partial(_epistemic, family="posterior"),
    twin=_AGAIN,
    quick=8,
    full=40,
)
def unseen_cultivar(rng: np.random.Generator, train: Trainer) -> float:
    """Train on 80 wines of two cultivars drawn at random."""
    x, y = _data("wine")
    known = y != rng.integers(3)
    rows = rng.permutation(np.flatnonzero(known))
    learn, test = rows[:80], rows[80:]
    return _gain(rng, train, x[learn], y[learn], x[:0], x[~known], x[test])


@claim(
    "evidential",
    says="a prior network that trained on some strange rows finds strange rows of another kind "
    "better than the largest probability of a softmax network does",
    where="the part on prior networks; reverse divergence, outside rows are digits of other "
    "classes, judged on known digits turned by 90 degrees",
    expect=Above(0),
    unit="area under the ROC curve, minus that of a plain network",
    subject=partial(_epistemic, family="prior-reverse"),
    twin=_AGAIN,
    quick=8,
    full=40,
)
def rotated_digits(rng: np.random.Generator, train: Trainer) -> float:
    """Train on 200 digits of five classes, with 200 of the others as outside rows."""
    x, y = _data("digits")
    known = np.isin(y, rng.permutation(10)[:5])
    rows = rng.permutation(np.flatnonzero(known))
    learn, test = rows[:200], rows[200:]
    outside = x[rng.permutation(np.flatnonzero(~known))[:200]]
    turned = np.rot90(x[test].reshape(-1, 8, 8), axes=(1, 2)).reshape(-1, 64)
    return _gain(rng, train, x[learn], y[learn], outside, turned, x[test])


# --- what it costs --------------------------------------------------------------------------------


@claim(
    "evidential",
    says="an evidential network labels as well as a softmax network, within one point of accuracy",
    where="the part on prior networks; squared-error risk, breast cancer",
    expect=Above(-0.01),
    unit="accuracy minus that of a plain network on 200 training rows",
    subject=200,
    twin=Twin("the evidential network trained on 20 rows", 20),
    quick=8,
    full=40,
)
def accuracy_kept(rng: np.random.Generator, n_rows: int) -> float:
    """Random splits of the breast cancer data."""
    x, y = _data("breast_cancer")
    rows = rng.permutation(len(y))
    learn, test = rows[:200], rows[200:]

    def accuracy(family: ClassFamily, used: NDArray[Any]) -> float:
        model = EvidentialClassifier(family, **_settings(rng, len(used)))
        return float(model.fit(x[used], y[used]).score(x[test], y[test]))

    return accuracy("evidential", learn[:n_rows]) - accuracy("plain", learn)


# --- what evidence depends on ---------------------------------------------------------------------


@claim(
    "evidential",
    says="without a regulariser the expected cross-entropy falls for ever as evidence grows: its "
    "minimiser has infinite evidence, whatever the label frequencies",
    where="the part on criticism, after Bengs, Huellermeier and Waegeman (2022)",
    expect=Above(0.99),
    unit="share of random label frequencies for which the loss falls at each of 24 steps",
    kind="proportion",
    subject=0.0,
    twin=Twin("a flat prior of weight 0.01", 0.01),
    quick=1000,
    full=4000,
)
def evidence_without_end(rng: np.random.Generator, weight: float) -> float:
    """Expected loss at concentrations proportional to frequencies, total evidence 1 to 10^6."""
    torch = require_torch()
    n_classes = int(rng.integers(2, 6))
    shares = torch.from_numpy(rng.dirichlet(np.full(n_classes, 2.0)))
    alpha = torch.logspace(0, 6, 25, dtype=torch.float64)[:, None] * shares
    row = CLASS_LOSSES["belief-matching"].row
    losses = torch.stack([row(alpha, one, weight) for one in torch.eye(n_classes).double()])
    return float(bool(((shares @ losses).diff() < 0).all()))


def _regularised_evidence(counts: FloatArray, weight: float) -> float:
    """Total concentration that minimises the regularised expected cross-entropy of the counts."""
    shares = counts / counts.sum()
    flat = np.ones(len(counts))

    def loss(log_alpha: FloatArray) -> float:
        alpha = np.exp(log_alpha)
        risk = dirichlet.divergence(alpha, flat) * weight
        return float(risk + shares @ _expected_surprise(alpha))

    best = minimize(loss, np.log(1 + 10 * shares), method="BFGS")
    return float(np.exp(best.x).sum())


def _expected_surprise(alpha: FloatArray) -> FloatArray:
    return np.asarray(digamma(alpha.sum()) - digamma(alpha))


def _bayes_evidence(counts: FloatArray) -> float:
    return float(len(counts) + counts.sum())


@claim(
    "evidential",
    says="with a regulariser the weight sets the evidence: sixteen times as many rows leave it as "
    "it was",
    where="the part on criticism, after Bengs, Huellermeier and Waegeman (2022)",
    expect=Within(-0.1, 0.1),
    unit="log10 of evidence from 3,200 labels over that from 200",
    subject=partial(_regularised_evidence, weight=0.01),
    twin=Twin("Bayes' rule with the same flat prior", _bayes_evidence),
    quick=20,
    full=400,
)
def evidence_set_by_weight(rng: np.random.Generator, evidence: Callable[..., float]) -> float:
    """Labels of three classes without features; the minimiser is found, not trained for."""
    shares = rng.dirichlet(np.full(3, 5.0))
    few, many = (rng.multinomial(n, shares).astype(float) + 0.5 for n in (200, 3_200))
    return float(np.log10(evidence(many) / evidence(few)))


def _trained_epistemic(rng: np.random.Generator, x: FloatArray, y: FloatArray) -> float:
    """Epistemic variance at the centre from a network trained by deep evidential regression."""
    model = EvidentialRegressor("evidential", **_settings(rng, len(x))).fit(x, y)
    return float(np.mean(model.distribution(np.zeros((1, 1))).epistemic_variance))


def _bayes_epistemic(rng: np.random.Generator, x: FloatArray, y: FloatArray) -> float:
    """Posterior variance of a constant mean, prior worth one observation."""
    n = len(y)
    shrunk = y.mean() * n / (n + 1)
    squares = 1 + ((y - y.mean()) ** 2).sum() + n / (n + 1) * y.mean() ** 2
    found = NormalInverseGamma.of(shrunk, n + 1, 1 + n / 2, squares / 2)
    return float(found.epistemic_variance)


@claim(
    "evidential",
    says="the epistemic variance of deep evidential regression does not shrink as rows are added: "
    "ten times as many leave more than half of it, where a posterior variance keeps a tenth",
    where="the part on criticism, after Meinert, Gawlikowski and Lavin (2022)",
    expect=Above(-0.301),
    unit="log10 of epistemic variance with 400 rows over that with 40",
    subject=_trained_epistemic,
    twin=Twin("Bayes' rule for a constant mean and variance", _bayes_epistemic),
    quick=8,
    full=40,
)
def epistemic_variance_stays(rng: np.random.Generator, epistemic: Callable[..., float]) -> float:
    """Noise of variance 1 around a constant, one feature that does not matter."""
    x, y = rng.normal(size=(400, 1)), rng.normal(size=400)
    few = epistemic(rng, x[:40], y[:40])
    return float(np.log10(epistemic(rng, x, y) / few))
