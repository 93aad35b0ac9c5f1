"""Claims of the paper, on curves from its generative model and on weights of children.

Simulated curves follow the released generator's scheme: three mean processes around straight lines,
six training curves each, ten observations at times of their own on a grid of 41; new curves are
shown at their first six observations and judged on the last four.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist
from scipy.stats import multivariate_normal

from statlas.core import Above, Below, Oracle, Twin, Within, claim
from statlas.core.examples import example_path
from statlas.statistics.magmaclust.estimator import MagmaClust
from statlas.statistics.magmaclust.fitting import (
    Options,
    first_hyperparameters,
    log_share,
    variational_em,
)
from statlas.statistics.magmaclust.model import (
    FloatArray,
    Hyperparameters,
    IntArray,
    Labelled,
    Posterior,
    Tasks,
    infer_means,
    kernel,
    normalise,
    responsibilities,
)
from statlas.statistics.magmaclust.prediction import NormalMixture, single_task

_SHOWN = 6
_QUICKLY: dict[str, Any] = {"n_init": 1, "max_iter": 12}


@dataclass(frozen=True)
class Curves:
    """Curves with their true clusters: one row an observation, times rising within a task."""

    task: IntArray
    time: FloatArray
    value: FloatArray
    cluster: IntArray

    def part(self, tasks: IntArray) -> Curves:
        """Some of the tasks."""
        kept = np.isin(self.task, tasks)
        return Curves(self.task[kept], self.time[kept], self.value[kept], self.cluster)

    @property
    def X(self) -> FloatArray:  # noqa: N802 - as in scikit-learn
        """Task and time."""
        return np.column_stack([self.task, self.time])


def simulate(rng: np.random.Generator, per_cluster: int, clusters: int = 3, n: int = 10) -> Curves:
    """Curves from the model, with hyperparameters shared by all.

    Each cluster's mean process has a line as its own mean, intercept within 10 of 0 and slope
    within 2, log variance in (4, 5) and log squared length in (0, 1); tasks have log variance in
    (1, 2) and the same lengths, and noise a log variance in (0, 0.2).
    """
    grid = np.linspace(0, 10, 41)
    squared = cdist(grid[:, None], grid[:, None], "sqeuclidean")
    sizes, lengths = rng.uniform([4, 1], [5, 2]), rng.uniform(0, 1, 2) / 2
    roots = [
        np.linalg.cholesky(kernel(squared, size, length) + 1e-6 * np.eye(len(grid)))
        for size, length in zip(sizes, lengths, strict=True)
    ]
    noise = np.exp(rng.uniform(0, 0.2) / 2)
    cluster = np.repeat(np.arange(clusters), per_cluster)
    lines = rng.uniform(-10, 10, clusters)[:, None] + rng.uniform(-2, 2, clusters)[:, None] * grid
    means = lines + rng.normal(size=(clusters, len(grid))) @ roots[0].T
    values = means[cluster] + rng.normal(size=(len(cluster), len(grid))) @ roots[1].T
    places = np.array([np.sort(rng.choice(len(grid), n, replace=False)) for _ in cluster])
    seen = np.take_along_axis(values, places, axis=1) + noise * rng.normal(size=places.shape)
    return Curves(
        np.repeat(np.arange(len(cluster)), n), grid[places].ravel(), seen.ravel(), cluster
    )


# --- the bound ------------------------------------------------------------


def _without_trace(posterior: Posterior, shares: FloatArray) -> FloatArray:
    traces = np.empty((posterior.tasks.n_tasks, len(posterior.clusters)))
    for block, terms in zip(posterior.tasks.blocks, posterior.terms, strict=True):
        for k, cluster in enumerate(posterior.clusters):
            own = (terms.inverse * cluster.covariance[block.pairs]).sum(axis=(1, 2))
            traces[block.tasks, k] = own[block.unit]
    return normalise(posterior.fit_terms + 0.5 * traces + shares)


def _collect(curves: Curves) -> Tasks:
    scaled = (curves.value - curves.value.mean()) / curves.value.std()
    return Tasks.collect(curves.task, curves.time[:, None] / 10, scaled)


@claim(
    "magmaclust",
    says="every step of the variational algorithm raises the evidence lower bound",
    where="variational EM; the bound is computed in full after each step",
    expect=Oracle(1e-6),
    unit="largest fall of the bound in nats",
    subject=responsibilities,
    twin=Twin("labels updated without the trace correction", _without_trace),
    quick=4,
    full=30,
)
def bound_never_falls(rng: np.random.Generator, update: Any) -> float:
    """Largest fall from labels drawn at random, four curves a cluster."""
    tasks = _collect(simulate(rng, 4))
    tau = rng.dirichlet(np.ones(3), tasks.n_tasks)
    options = Options(max_iter=8, tol=1e-12)
    hyper = first_hyperparameters(tasks, 3, options)
    trace = variational_em(tasks, tau, hyper, options, update=update).trace
    return float(max(0.0, -np.diff(trace).min()))


def _bound(posterior: Posterior, tau: FloatArray) -> float:
    return posterior.bound(tau, log_share(tau.mean(axis=0)))


def _bound_without_trace(posterior: Posterior, tau: FloatArray) -> float:
    traces = sum(
        float((terms.inverse * posterior.clusters[0].covariance[block.pairs])[block.unit].sum())
        for block, terms in zip(posterior.tasks.blocks, posterior.terms, strict=True)
    )
    return _bound(posterior, tau) + 0.5 * traces


@claim(
    "magmaclust",
    says="with one cluster the bound is the log likelihood of Magma itself",
    where="special case K = 1",
    expect=Oracle(1e-5),
    unit="bound less the log density of all values under their joint covariance, nats",
    subject=_bound,
    twin=Twin("bound without the trace term", _bound_without_trace),
    quick=4,
    full=30,
)
def one_cluster_is_exact(rng: np.random.Generator, bound: Any) -> float:
    """Against one dense normal density, hyperparameters drawn at random."""
    curves = simulate(rng, 3)
    tasks = _collect(curves)
    hyper = Hyperparameters(
        rng.normal([0, -1.5], 0.3, (1, 2)), rng.normal([-1, -1, -3], 0.3, (1, 3))
    )
    tau = np.ones((tasks.n_tasks, 1))
    posterior = infer_means(Labelled.of(tasks, tau), hyper, 0.2)
    squared = cdist(curves.time[:, None] / 10, curves.time[:, None] / 10, "sqeuclidean")
    same = curves.task[:, None] == curves.task
    joint = kernel(squared, *hyper.mean[0]) + same * kernel(squared, *hyper.task[0, :2])
    joint += np.exp(hyper.task[0, 2]) * np.eye(len(joint))
    values = (curves.value - curves.value.mean()) / curves.value.std()
    exact = multivariate_normal(np.full(len(joint), 0.2), joint).logpdf(values)
    return float(bound(posterior, tau) - exact)


# --- prediction ------------------------------------------------------------


@dataclass(frozen=True)
class Trial:
    """Training curves, and new curves shown in part."""

    train: Curves
    new: tuple[tuple[FloatArray, FloatArray, FloatArray, FloatArray], ...]
    seed: int

    @classmethod
    def of(cls, curves: Curves, new: IntArray, shown: int | float, seed: int) -> Trial:
        """Hold out tasks; show so many observations, or those up to a time."""
        parts = []
        for task in new:
            own = np.flatnonzero(curves.task == task)
            cut = shown if isinstance(shown, int) else int((curves.time[own] <= shown).sum())
            first, rest = own[:cut], own[cut:]
            if len(first) > 1 and len(rest):
                parts.append((curves.time[first][:, None], curves.value[first],
                              curves.time[rest][:, None], curves.value[rest]))  # fmt: skip
        kept = np.setdiff1d(np.unique(curves.task), new)
        return cls(curves.part(kept), tuple(parts), seed)

    def fit(self, n_clusters: int) -> MagmaClust:
        """The mixture fitted to the training curves."""
        model = MagmaClust(n_clusters, random_state=self.seed, **_QUICKLY)
        return model.fit(self.train.X, self.train.value)

    def fit_by_chance(self, n_clusters: int) -> MagmaClust:
        """The same with clusters drawn at random and held."""
        rng = np.random.default_rng(self.seed)
        label = rng.permutation(np.arange(self.train.task.max() + 1) % n_clusters)
        order = np.unique(self.train.task)
        label[order[:n_clusters]] = np.arange(n_clusters)
        model = MagmaClust(random_state=self.seed, **_QUICKLY)
        return model.fit(self.train.X, self.train.value, label[self.train.task])

    def continued(self, model: MagmaClust) -> list[NormalMixture]:
        """What a model says of the hidden values."""
        return [model.continue_task(past, y, at) for past, y, at, _ in self.new]

    @cached_property
    def alone(self) -> list[NormalMixture]:
        """What a Gaussian process on each new curve alone says of them."""
        spread = float(np.ptp(self.train.time))
        return [single_task(past / spread, y, at / spread) for past, y, at, _ in self.new]

    def mean_square(self, found: list[NormalMixture]) -> float:
        """Mean squared error over all hidden values."""
        parts = zip(found, self.new, strict=True)
        errors = [one.mean() - truth for one, (_, _, _, truth) in parts]
        return float(np.mean(np.concatenate(errors) ** 2))

    def coverage(self, found: list[NormalMixture], level: float) -> float:
        """Share of hidden values inside their intervals."""
        inside = []
        for one, (_, _, _, truth) in zip(found, self.new, strict=True):
            low, high = one.interval(level)
            inside.append((low <= truth) & (truth <= high))
        return float(np.mean(np.concatenate(inside)))


@lru_cache(maxsize=2)
def _simulated_trial(seed: int, new_each: int = 2) -> Trial:
    rng = np.random.default_rng(seed)
    each = 6 + new_each
    curves = simulate(rng, each)
    new = np.concatenate([each * k + np.arange(new_each) for k in range(3)])
    return Trial.of(curves, new, _SHOWN, seed % 2**31)


@lru_cache(maxsize=1)
def _children() -> Curves:
    table = pd.read_csv(example_path("child_weights.csv"))
    task = pd.factorize(table["child"])[0].astype(np.int64)
    sex = pd.factorize(table["sex"])[0][np.unique(task, return_index=True)[1]]
    return Curves(task, table["age"].to_numpy(float), table["weight"].to_numpy(float), sex)


@lru_cache(maxsize=2)
def _children_trial(seed: int) -> Trial:
    """Forty-five children to learn from, fifteen others shown up to 18 months."""
    curves = _children()
    drawn = np.random.default_rng(seed).choice(curves.task.max() + 1, 60, replace=False)
    part = curves.part(drawn)
    relabelled = Curves(np.unique(part.task, return_inverse=True)[1], part.time, part.value,
                        curves.cluster[np.sort(drawn)])  # fmt: skip
    new = np.random.default_rng(seed + 1).permutation(60)[:15]
    return Trial.of(relabelled, new, 18.0, seed % 2**31)


@lru_cache(maxsize=8)
def _model(kind: str, seed: int, n_clusters: int) -> MagmaClust:
    trial = _simulated_trial(seed) if kind == "simulated" else _children_trial(seed)
    return trial.fit(n_clusters)


def _mixture(trial: Trial, model: MagmaClust) -> list[NormalMixture]:
    return trial.continued(model)


def _each_alone(trial: Trial, model: MagmaClust) -> list[NormalMixture]:
    return trial.alone


@claim(
    "magmaclust",
    says="new curves shown in part are continued with less than half the squared error of a "
    "Gaussian process on each curve alone",
    where="simulation study: prediction of partly observed new individuals",
    expect=Below(float(np.log(0.5))),
    unit="log of the ratio of mean squared errors, 6 new curves",
    subject=_mixture,
    twin=Twin("each curve alone", _each_alone),
    quick=8,
    full=60,
)
def beats_curves_alone(rng: np.random.Generator, predict: Any) -> float:
    """Log ratio for one set of curves, three clusters."""
    seed = int(rng.integers(2**40))
    trial, model = _simulated_trial(seed), _model("simulated", seed, 3)
    return float(np.log(trial.mean_square(predict(trial, model)) / trial.mean_square(trial.alone)))


@claim(
    "magmaclust",
    says="the 95 % intervals of the mixture hold about 95 % of the hidden values",
    where="simulation study: coverage of the credible intervals",
    expect=Within(0.90, 0.98),
    unit="share of hidden values inside, 30 new curves",
    subject=0.95,
    twin=Twin("intervals of one standard deviation", 0.6827),
    quick=8,
    full=80,
)
def intervals_cover(rng: np.random.Generator, level: float) -> float:
    """Share for one set of curves, three clusters."""
    seed = int(rng.integers(2**40))
    trial = _simulated_trial(seed, 10)
    return trial.coverage(trial.continued(trial.fit(3)), level)


def _found(trial: Trial, model: MagmaClust) -> MagmaClust:
    return model


def _by_chance(trial: Trial, model: MagmaClust) -> MagmaClust:
    return trial.fit_by_chance(model.n_clusters_)


@claim(
    "magmaclust",
    says="where curves come from three processes, three clusters predict better than one",
    where="simulation study: MagmaClust against Magma",
    expect=Below(float(np.log(0.9))),
    unit="log of the ratio of mean squared errors, 6 new curves",
    subject=_found,
    twin=Twin("clusters drawn at random", _by_chance),
    quick=8,
    full=60,
)
def clusters_help(rng: np.random.Generator, choose: Any) -> float:
    """Log ratio for one set of curves."""
    seed = int(rng.integers(2**40))
    trial, one = _simulated_trial(seed), _model("simulated", seed, 1)
    model = choose(trial, _model("simulated", seed, 3))
    ours, magma = (trial.mean_square(trial.continued(fit)) for fit in (model, one))
    return float(np.log(ours / magma))


@claim(
    "magmaclust",
    says="weights of children known up to 18 months are continued to six years with less than half "
    "the squared error of a Gaussian process on each child alone",
    where="application to weight follow-up of children; the table that the authors ship",
    expect=Below(float(np.log(0.5))),
    unit="log of the ratio of mean squared errors, 15 new children, 45 to learn from",
    subject=_mixture,
    twin=Twin("each child alone", _each_alone),
    quick=8,
    full=40,
)
def beats_children_alone(rng: np.random.Generator, predict: Any) -> float:
    """Log ratio for one draw of children, three clusters."""
    seed = int(rng.integers(2**40))
    trial, model = _children_trial(seed), _model("children", seed, 3)
    return float(np.log(trial.mean_square(predict(trial, model)) / trial.mean_square(trial.alone)))


@claim(
    "magmaclust",
    says="three clusters continue the weights of children with at least 5 % less squared error "
    "than one",
    where="application to weight follow-up of children: MagmaClust against Magma",
    expect=Below(float(np.log(0.95))),
    unit="log of the ratio of mean squared errors, 15 new children, 45 to learn from",
    subject=_found,
    twin=Twin("clusters drawn at random", _by_chance),
    quick=8,
    full=120,
)
def clusters_help_for_children(rng: np.random.Generator, choose: Any) -> float:
    """Log ratio for one draw of children."""
    seed = int(rng.integers(2**40))
    trial, one = _children_trial(seed), _model("children", seed, 1)
    model = choose(trial, _model("children", seed, 3))
    ours, magma = (trial.mean_square(trial.continued(fit)) for fit in (model, one))
    return float(np.log(ours / magma))


def _criterion(model: MagmaClust) -> int:
    return max(model.bic_, key=lambda k: model.bic_[k])


def _fit_alone(model: MagmaClust) -> int:
    fits = {k: float((fit.tau * fit.posterior.fit_terms).sum()) for k, fit in model.fits_.items()}
    return max(fits, key=lambda k: fits[k])


@lru_cache(maxsize=2)
def _ladder(seed: int) -> tuple[MagmaClust, int]:
    rng = np.random.default_rng(seed)
    clusters = int(rng.integers(1, 4))
    curves = simulate(rng, 18 // clusters, clusters)
    model = MagmaClust(max_clusters=4, random_state=seed % 2**31, **_QUICKLY)
    return model.fit(curves.X, curves.value), clusters


@claim(
    "magmaclust",
    says="the variational criterion finds the number of clusters, one to three, most of the time",
    where="simulation study: choice of the number of clusters",
    expect=Above(0.7),
    unit="share of 18 curves' tables with the true number chosen of 1 to 4",
    subject=_criterion,
    twin=Twin("expected fit, without divergence from the prior and penalty", _fit_alone),
    kind="proportion",
    quick=8,
    full=60,
)
def finds_the_number(rng: np.random.Generator, choose: Any) -> float:
    """1 where the number is right."""
    model, clusters = _ladder(int(rng.integers(2**40)))
    return float(choose(model) == clusters)
