"""A scikit-learn estimator: tasks in the first column, inputs in the others."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.utils.validation import check_is_fitted, check_random_state, validate_data

from statlas.statistics.magmaclust.fitting import (
    Fitted,
    Options,
    first_hyperparameters,
    fit_candidates,
    fit_clusters,
    fit_one,
    variational_bic,
    variational_em,
)
from statlas.statistics.magmaclust.model import FloatArray, Hyperparameters, IntArray, Tasks
from statlas.statistics.magmaclust.prediction import (
    Continuation,
    MeanProcesses,
    NormalMixture,
    continue_new,
    continue_seen,
)

Start = tuple[FloatArray, Hyperparameters]


class MagmaClust(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A mixture of multi-task Gaussian processes for many individuals' series.

    The first column of `X` tells the task (equal numbers are one task), the others are its inputs,
    such as a time; several inputs share one length scale after each is brought to range 1.

    Parameters
    ----------
    n_clusters
        Number of clusters; 1 is the model called Magma, and None chooses by the variational
        Bayesian information criterion.
    max_clusters
        Largest number that is tried where it is chosen.
    shared_clusters, shared_tasks
        Whether all mean processes, and all tasks, have the same hyperparameters.
    prior_mean
        Constant prior mean of the mean processes in units of `y`; None estimates one each.
    max_iter, tol
        Most iterations, and the gain of the bound per observation that ends them.
    n_init
        Partitions to start from.
    random_state
        For these partitions.

    Attributes
    ----------
    n_clusters_, fits_
        Number of clusters fitted, and the fit of each number tried.
    tasks_
        The tasks' numbers, shape (n_tasks,).
    rows_
        Rows of `X` of each task.
    responsibilities_
        Probability of each cluster for each task, shape (n_tasks, n_clusters_).
    weights_
        Mixing proportions, shape (n_clusters_,).
    lower_bound_
        Evidence lower bound of `y`.
    bound_path_
        The bound after every half step of the algorithm.
    bic_
        Variational criterion of each number of clusters tried, larger is better.
    mean_length_scales_, mean_deviations_
        Length scale (inputs of range 1) and standard deviation of the mean processes.
    task_length_scales_, task_deviations_, noise_deviations_
        The same of the tasks around them, and of the noise; one entry where shared.
    n_iter_, converged_
        Half steps of the algorithm, and whether the gain fell below the tolerance.

    Examples
    --------
    >>> time = np.tile(np.linspace(0, 1, 8), 6)
    >>> task = np.repeat(np.arange(6), 8)
    >>> y = np.where(task < 3, time, -time) + 0.01 * np.sin(task + 9 * time)
    >>> model = MagmaClust(n_clusters=2, random_state=0).fit(np.column_stack([task, time]), y)
    >>> groups = model.responsibilities_.argmax(axis=1)
    >>> bool((groups[:3] == groups[0]).all() and (groups[3:] != groups[0]).all())
    True
    >>> bool(model.continue_task([[0.5]], [0.5], [[1.0]]).mean()[0] > 0.9)
    True
    """

    def __init__(
        self,
        n_clusters: int | None = None,
        *,
        max_clusters: int = 6,
        shared_clusters: bool = True,
        shared_tasks: bool = True,
        prior_mean: float | None = None,
        max_iter: int = 60,
        tol: float = 1e-5,
        n_init: int = 3,
        random_state: Any = None,
    ):
        self.n_clusters = n_clusters
        self.max_clusters = max_clusters
        self.shared_clusters = shared_clusters
        self.shared_tasks = shared_tasks
        self.prior_mean = prior_mean
        self.max_iter = max_iter
        self.tol = tol
        self.n_init = n_init
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = True
        return tags

    def fit(self, X: Any, y: Any, labels: Any = None) -> Self:
        """Fit the mixture.

        Parameters
        ----------
        X
            Task and inputs, shape (n_samples, 1 + n_inputs).
        y
            Values, shape (n_samples,).
        labels
            Known cluster of each row from 0, equal within a task: clusters are then not sought.

        Raises
        ------
        ValueError
            If an option is out of range, or labels differ within a task.
        """
        return self._fit(X, y, labels, None)

    def _fit(self, X: Any, y: Any, labels: Any, start: Start | None) -> Self:
        x, values = validate_data(
            self, X, y, y_numeric=True, dtype=np.float64, ensure_min_features=2,
            ensure_min_samples=2,
        )  # fmt: skip
        self._check()
        self.tasks_, first, code = np.unique(x[:, 0], return_index=True, return_inverse=True)
        inputs, spread = x[:, 1:], np.ptp(x[:, 1:], axis=0)
        self._lowest, self._range = inputs.min(axis=0), np.where(spread > 0, spread, 1.0)
        self._offset, self._scale = float(values.mean()), float(values.std()) or 1.0
        self._inputs, self._values = self._unit(inputs), (values - self._offset) / self._scale
        self.rows_ = np.split(np.argsort(code, kind="stable"), np.cumsum(np.bincount(code))[:-1])
        tasks = Tasks.collect(code, self._inputs, self._values, not self.shared_tasks)
        fits = self._fits(tasks, _of_tasks(labels, first, code), start)
        shift = tasks.n_values * float(np.log(self._scale))
        self.bic_ = {k: variational_bic(fit, self._options()) - shift for k, fit in fits.items()}
        self.fits_ = fits
        self.n_clusters_ = max(self.bic_, key=lambda k: self.bic_[k])
        self._keep(fits[self.n_clusters_], shift)
        return self

    def refit(self, X: Any, y: Any, labels: Any = None) -> MagmaClust:
        """A copy with the same number of clusters, fitted to some of the tasks only.

        It starts from these tasks' responsibilities, so it takes a fraction of the time.
        """
        check_is_fitted(self)
        copy: MagmaClust = clone(self).set_params(n_clusters=self.n_clusters_)
        kept = np.searchsorted(self.tasks_, np.unique(np.asarray(X)[:, 0]))
        start = self.responsibilities_[kept], self.fit_.posterior.hyper.of(kept)
        return copy._fit(X, y, labels, start)

    def _check(self) -> None:
        numbers = (self.max_clusters, self.max_iter, self.n_init, self.n_clusters or 1)
        if min(numbers) < 1 or self.tol <= 0 or self.n_clusters == 0:
            raise ValueError(
                "n_clusters, max_clusters, max_iter and n_init must be at least 1, tol above 0"
            )

    def _options(self) -> Options:
        prior = None if self.prior_mean is None else (self.prior_mean - self._offset) / self._scale
        return Options(
            self.shared_clusters, self.shared_tasks, prior, self.max_iter, self.tol,
            starts=self.n_init,
        )  # fmt: skip

    def _unit(self, inputs: FloatArray) -> FloatArray:
        return np.asarray((inputs - self._lowest) / self._range)

    def _fits(self, tasks: Tasks, known: IntArray | None, start: Start | None) -> dict[int, Fitted]:
        """Fit of each number of clusters that was asked for."""
        options = self._options()
        if known is not None:
            tau = np.eye(int(known.max()) + 1)[known]
            hyper = first_hyperparameters(tasks, tau.shape[1], options)
            return {tau.shape[1]: variational_em(tasks, tau, hyper, options, fixed=True)}
        if start is not None:
            tau, hyper = start
            return {tau.shape[1]: variational_em(tasks, tau, hyper, options)}
        rng = np.random.default_rng(check_random_state(self.random_state).randint(2**31 - 1))
        if self.n_clusters is not None:
            k = min(self.n_clusters, tasks.n_tasks)
            return {k: fit_clusters(tasks, k, options, fit_one(tasks, options), rng)}
        return fit_candidates(tasks, range(1, min(self.max_clusters, tasks.n_tasks) + 1), options,
                              rng)  # fmt: skip

    def _keep(self, fit: Fitted, shift: float) -> None:
        self.fit_ = fit
        self.responsibilities_, self.weights_ = fit.tau, fit.share
        self.lower_bound_ = fit.bound - shift
        self.bound_path_ = fit.trace - shift
        self.n_iter_ = len(fit.trace)
        self.converged_ = fit.converged
        hyper = fit.posterior.hyper
        self.mean_deviations_ = self._scale * np.exp(hyper.mean[:, 0] / 2)
        self.mean_length_scales_ = np.exp(hyper.mean[:, 1])
        self.task_deviations_ = self._scale * np.exp(hyper.task[:, 0] / 2)
        self.task_length_scales_ = np.exp(hyper.task[:, 1])
        self.noise_deviations_ = self._scale * np.exp(hyper.task[:, 2] / 2)

    def predict(self, X: Any, return_std: bool = False) -> Any:
        """Mean of the curves at rows of task and inputs, and its standard deviation.

        Tasks that were not in the training set get the mixture over all clusters; see
        `continue_task` for those of which something was observed.
        """
        mixture = self.predict_mixture(X, noisy=False)
        return (mixture.mean(), mixture.std()) if return_std else mixture.mean()

    def predict_interval(self, X: Any, level: float = 0.95) -> tuple[FloatArray, FloatArray]:
        """Ends of the central intervals of new values, noise included."""
        return self.predict_mixture(X).interval(level)

    def predict_mixture(self, X: Any, noisy: bool = True) -> NormalMixture:
        """Distribution of new values, or of the curves, at rows of task and inputs."""
        check_is_fitted(self)
        x = validate_data(self, X, reset=False, dtype=np.float64)
        shape = len(x), self.n_clusters_
        weights, means, variances = np.empty(shape), np.empty(shape), np.empty(shape)
        for task in np.unique(x[:, 0]):
            rows = np.flatnonzero(x[:, 0] == task)
            inputs = self._unit(x[rows, 1:])
            number = int(np.searchsorted(self.tasks_, task))
            if number < len(self.tasks_) and self.tasks_[number] == task:
                found = self._seen(number, inputs, noisy)
            else:
                found = continue_new(self.fit_, inputs[:0], [], inputs, noisy)
            weights[rows], means[rows] = found.tau, found.mixture.means
            variances[rows] = found.mixture.variances
        return NormalMixture(weights, means, variances).scaled(self._offset, self._scale)

    def _seen(self, number: int, inputs: FloatArray, noisy: bool) -> Continuation:
        own = self.rows_[number]
        points = np.vstack([self._inputs[own], inputs])
        n = len(own)
        return continue_seen(
            self.fit_, number, MeanProcesses.at(self.fit_, points), np.arange(n),
            np.arange(n, len(points)), self._values[own], noisy,
        )  # fmt: skip

    def continue_task(
        self, seen: ArrayLike, y: ArrayLike, new: ArrayLike, noisy: bool = True
    ) -> NormalMixture:
        """Distribution of a new task's values (or its curve) at new inputs.

        Parameters
        ----------
        seen, y
            Inputs (n_seen, n_inputs) and values (n_seen,) of the task so far.
        new
            Inputs where it is wanted, shape (n_new, n_inputs).
        """
        found = self._continue(seen, y, new, noisy)
        return found.mixture.scaled(self._offset, self._scale)

    def predict_proba_task(self, seen: ArrayLike, y: ArrayLike) -> FloatArray:
        """Probability of each cluster for a new task."""
        return self._continue(seen, y, seen, False).tau

    def _continue(self, seen: ArrayLike, y: ArrayLike, new: ArrayLike, noisy: bool) -> Continuation:
        check_is_fitted(self)
        values = (np.asarray(y, dtype=float) - self._offset) / self._scale
        observed, wanted = (self._unit(np.asarray(part, dtype=float)) for part in (seen, new))
        return continue_new(self.fit_, observed, values, wanted, noisy)

    def mean_processes(self, inputs: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Posterior mean and deviation of each cluster's mean process, (n_clusters, n_points)."""
        check_is_fitted(self)
        means = MeanProcesses.at(self.fit_, self._unit(np.asarray(inputs, dtype=float)))
        return self._offset + self._scale * means.mean, self._scale * means.deviations()


def _of_tasks(labels: Any, first: IntArray, code: IntArray) -> IntArray | None:
    """Labels of rows as labels of tasks."""
    if labels is None:
        return None
    own = np.asarray(labels, dtype=np.int64)
    if own.shape != code.shape or np.any(own != own[first][code]):
        raise ValueError("labels must be one for each row, and equal within a task")
    return own[first]
