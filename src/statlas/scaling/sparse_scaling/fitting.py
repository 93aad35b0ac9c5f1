"""Fits of one law to all architectures, of laws to each, and the tests between them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from statlas.core import InputError
from statlas.core.numerics.laws import (
    Draws,
    Information,
    Law,
    LawFit,
    Objective,
    bootstrap,
    fit_law,
    held_out_residuals,
)
from statlas.core.numerics.laws import information as criteria
from statlas.core.progress import track
from statlas.scaling.sparse_scaling.laws import (
    DENSE_ACTIVE,
    DENSE_STORED,
    EXPERTS,
    GENERALIZED,
    LAWS,
    MIXTURE,
    PRUNING,
    FloatArray,
    generalized_start,
    inputs_of,
)

SQUARES = Objective("log")
SPECIFIC = (DENSE_ACTIVE, DENSE_STORED, PRUNING, EXPERTS, MIXTURE)
_STARTS = 40
_SPARE = 3  # rows beyond a law's parameters that it needs to be tried
_FEWEST_GROUPS = 12  # for drawing whole configurations; with fewer, residuals are drawn


@dataclass(frozen=True)
class Cells:
    """Runs averaged over repeats: a row for each architecture, size, sparsity and tokens.

    Attributes
    ----------
    architecture
        Number of the architecture, shape (n_cells,).
    active, stored, sparsity, tokens, loss
        N, all parameters, S, D and L.
    repeats
        Runs behind each row.
    configuration
        Number of the model: rows that differ in tokens alone share it.
    noise
        Standard deviation of log(loss) between repeats; NaN without repeats.
    noise_freedom
        Degrees of freedom behind it.
    """

    architecture: NDArray[np.int64]
    active: FloatArray
    stored: FloatArray
    sparsity: FloatArray
    tokens: FloatArray
    loss: FloatArray
    repeats: FloatArray
    configuration: NDArray[np.int64]
    noise: float
    noise_freedom: int

    def __len__(self) -> int:
        return len(self.loss)

    @property
    def inputs(self) -> dict[str, FloatArray]:
        """As laws take them."""
        return inputs_of(self.active, self.tokens, self.sparsity)

    def take(self, rows: NDArray[np.bool_]) -> Cells:
        """Some of the rows."""
        return Cells(
            self.architecture[rows], self.active[rows], self.stored[rows], self.sparsity[rows],
            self.tokens[rows], self.loss[rows], self.repeats[rows], self.configuration[rows],
            self.noise, self.noise_freedom,
        )  # fmt: skip


def fit(law: Law, cells: Cells, rng: np.random.Generator, *, dense: LawFit | None = None) -> LawFit:
    """Least squares of log(loss), rows weighted by their repeats.

    Parameters
    ----------
    law
        One of ``LAWS``.
    cells
        The rows.
    rng
        Source of starts.
    dense
        A fit of a dense law in all parameters, which the generalized law contains and starts from.
    """
    starts = None
    if law is GENERALIZED and dense is not None:
        starts = [generalized_start(dense.parameters, stored=dense.law is DENSE_STORED)]
    return fit_law(
        law, cells.inputs, cells.loss, SQUARES, weights=cells.repeats, n_starts=_STARTS,
        starts=starts, rng=rng,
    )  # fmt: skip


def fit_laws(
    cells: Cells, rng: np.random.Generator, laws: tuple[Law, ...] = LAWS
) -> dict[str, LawFit]:
    """Fits of the laws that the rows are enough for, by name."""
    found: dict[str, LawFit] = {}
    for law in laws:
        if len(cells) >= len(law.names) + _SPARE:
            found[law.name] = fit(law, cells, rng, dense=found.get(DENSE_STORED.name))
    return found


@dataclass(frozen=True)
class Scheme:
    """A way of describing all architectures: one law for all, or a law for each.

    Attributes
    ----------
    name
        In words.
    fits
        Fit by architecture's number; -1 for one law for all.
    """

    name: str
    fits: dict[int, LawFit]

    @property
    def n_parameters(self) -> int:
        """Parameters of all laws together, those that the rows cannot tell counted too."""
        return sum(fit_.n_free for fit_ in self.fits.values())

    def log_losses(self, cells: Cells) -> FloatArray:
        """Log of the fitted losses, shape (n_cells,); NaN for an architecture without a law."""
        fitted = np.full(len(cells), np.nan)
        for number, fit_ in self.fits.items():
            rows = np.ones(len(cells), bool) if number < 0 else cells.architecture == number
            if rows.any():
                fitted[rows] = np.log(fit_.predict(cells.take(rows).inputs))
        return fitted

    def squares(self, cells: Cells) -> float:
        """Weighted sum of squared errors of log(loss)."""
        errors = self.log_losses(cells) - np.log(cells.loss)
        return float(np.sum(cells.repeats * errors**2))


def criteria_of(scheme: Scheme, cells: Cells) -> Information:
    """AICc and BIC with one error variance for all rows."""
    if -1 in scheme.fits:
        return criteria(scheme.fits[-1])
    n, k = len(cells), scheme.n_parameters + 1
    total = scheme.squares(cells)
    log_likelihood = float(
        0.5 * np.sum(np.log(cells.repeats)) - 0.5 * n * (np.log(2 * np.pi * total / n) + 1)
    )
    aic = 2 * k - 2 * log_likelihood
    small = 2 * k * (k + 1) / (n - k - 1) if n > k + 1 else np.inf
    bic = float(k * np.log(n) - 2 * log_likelihood)
    return Information(log_likelihood, k, aic, float(aic + small), bic)


@dataclass(frozen=True)
class Comparison:
    """An F test of a law against a wider one that contains it.

    Attributes
    ----------
    question
        What is tested, in words.
    statistic, extra, freedom, p_value
        F, its degrees of freedom and the chance of a larger one under the narrower law.
    """

    question: str
    statistic: float
    extra: int
    freedom: int
    p_value: float


def f_test(
    question: str, narrow: float, wide: float, extra: int, freedom: int
) -> Comparison | None:
    """F test from sums of squares; None without degrees of freedom.

    Parameters
    ----------
    question
        What is tested, in words.
    narrow, wide
        Sums of squared errors.
    extra
        Parameters that the wider law has more.
    freedom
        Rows less the wider law's parameters.
    """
    if extra <= 0 or freedom <= 0 or wide <= 0:
        return None
    statistic = max(narrow - wide, 0.0) / extra / (wide / freedom)
    return Comparison(
        question, float(statistic), extra, freedom, float(stats.f.sf(statistic, extra, freedom))
    )


@dataclass(frozen=True)
class Fits:
    """Everything that is fitted.

    Attributes
    ----------
    pooled
        One law for all architectures, by the law's name.
    own
        The generalized law for each architecture by itself: the dense law where S = 0 always.
    specific
        For each architecture the law of its kind with the lowest BIC.
    """

    cells: Cells
    pooled: dict[str, LawFit]
    own: Scheme
    specific: Scheme

    @property
    def generalized(self) -> LawFit:
        """The generalized law on all rows."""
        return self.pooled[GENERALIZED.name]

    @property
    def schemes(self) -> list[Scheme]:
        """All ways of describing the rows."""
        one = [Scheme(f"one law: {name}", {-1: fit_}) for name, fit_ in self.pooled.items()]
        return [*one, self.own, self.specific]


def fit_everything(cells: Cells, rng: np.random.Generator) -> Fits:
    """Fit every law to all rows, and to each architecture by itself.

    Raises
    ------
    InputError
        If the rows are too few for the generalized law.
    """
    pooled = fit_laws(cells, rng)
    if GENERALIZED.name not in pooled:
        raise InputError(
            f"{len(cells)} combinations of architecture, size, sparsity and tokens cannot carry "
            f"the {len(GENERALIZED.names)} constants of the generalized law",
            remedy="add runs",
        )
    own, specific = {}, {}
    for number in range(int(cells.architecture.max()) + 1):
        part = cells.take(cells.architecture == number)
        always_dense = not np.any(part.sparsity > 0)
        laws = (DENSE_ACTIVE,) if always_dense else (*SPECIFIC, GENERALIZED)
        fits = fit_laws(part, rng, laws)
        alone = fits.get(DENSE_ACTIVE.name if always_dense else GENERALIZED.name)
        if alone is not None:
            own[number] = alone
        kinds = [fits[law.name] for law in SPECIFIC if law.name in fits]
        if kinds:
            specific[number] = min(kinds, key=lambda fit_: criteria(fit_).bic)
    return Fits(
        cells,
        pooled,
        Scheme("the generalized law for each architecture", own),
        Scheme("the law of its kind for each architecture", specific),
    )


def nested_tests(fits: Fits) -> list[Comparison]:
    """F tests along the nested laws; those that cannot be made are left out."""
    cells, n = fits.cells, len(fits.cells)
    squares = {name: 2 * fit_.value for name, fit_ in fits.pooled.items()}
    general, k = squares[GENERALIZED.name], len(GENERALIZED.names)
    found = [
        f_test("sparsity matters beyond the number of all parameters (gamma = c = 0)",
               squares[DENSE_STORED.name], general, 2, n - k),
    ]  # fmt: skip
    if EXPERTS.name in squares:
        found.append(
            f_test("sparsity matters beyond the number of active parameters (experts' law)",
                   squares[DENSE_ACTIVE.name], squares[EXPERTS.name], 4, n - 9)
        )  # fmt: skip
    if len(fits.own.fits) == int(cells.architecture.max()) + 1 and len(fits.own.fits) > 1:
        wide = fits.own.n_parameters
        found.append(
            f_test("the architectures' constants differ", general, fits.own.squares(cells),
                   wide - k, n - wide)
        )  # fmt: skip
    if cells.noise_freedom > 0 and np.isfinite(cells.noise):
        freedom = n - k
        statistic = general / freedom / cells.noise**2
        found.append(
            Comparison(
                "the generalized law misses more than the noise of repeats", float(statistic),
                freedom, cells.noise_freedom,
                float(stats.f.sf(statistic, freedom, cells.noise_freedom)),
            )
        )  # fmt: skip
    return [test for test in found if test is not None]


def held_out_errors(
    fits: Fits, rng: np.random.Generator, n_folds: int = 5
) -> dict[str, FloatArray]:
    """Errors of log(loss) of each scheme on models that it was not fitted to.

    Whole models are held out, with all their numbers of tokens. The laws of the specific scheme
    stay those chosen on all rows, and refits start from the optima on all rows.

    Returns
    -------
    dict
        By the scheme's name, shape (n_cells,); NaN where a law could not be fitted.
    """
    cells = fits.cells
    models = np.unique(cells.configuration)
    folds = rng.permutation(len(models)) % min(n_folds, len(models))
    fold = folds[np.searchsorted(models, cells.configuration)]
    errors = {}
    for scheme in track(fits.schemes, "holding models out"):
        errors[scheme.name] = np.full(len(cells), np.nan)
        for number, fit_ in scheme.fits.items():
            rows = np.ones(len(cells), bool) if number < 0 else cells.architecture == number
            errors[scheme.name][rows] = held_out_residuals(fit_, fold[rows])
    return errors


def draws_of(fits: Fits, n_draws: int, rng: np.random.Generator) -> Draws:
    """Bootstrap of the generalized law, whole models drawn together where there are enough."""
    cells = fits.cells
    if len(np.unique(cells.configuration)) >= _FEWEST_GROUPS:
        return bootstrap(
            fits.generalized, n_draws, kind="runs", groups=cells.configuration, rng=rng
        )
    return bootstrap(fits.generalized, n_draws, kind="residual", rng=rng)
