"""Both steps fitted, chained and drawn again together: what a larger run will score."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit

from statlas.core import InputError
from statlas.core.numerics.laws import CHINCHILLA, Law, LawFit, Objective, fit_law
from statlas.core.numerics.laws.minimise import minimise
from statlas.core.numerics.laws.problem import Problem
from statlas.scaling.model_ladders.laws import FloatArray, sigmoid_law

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Resample = Literal["residuals", "runs"]

HUBER = Objective("log", huber=1e-3)
SQUARES = Objective("linear")
FEWEST_FINAL, FEWEST_PAIRS = 6, 6
_STARTS_ACCURACY = 4


@dataclass(frozen=True)
class Ladder:
    """The checkpoints of one task's runs, shape (n_rows,) each.

    Attributes
    ----------
    size, tokens, compute
        Parameters, tokens and floating-point operations.
    loss, accuracy
        Task loss and accuracy; every row feeds step 2.
    run
        Code of the training that a row belongs to, from 0.
    final
        Whether a row also feeds step 1.
    """

    size: FloatArray
    tokens: FloatArray
    compute: FloatArray
    loss: FloatArray
    accuracy: FloatArray
    run: IntArray
    final: BoolArray

    @property
    def n_rows(self) -> int:
        """Number of checkpoints."""
        return len(self.loss)

    def where(self, chosen: BoolArray) -> Ladder:
        """Some of the rows; codes of trainings are unchanged."""
        return Ladder(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))

    @cached_property
    def finals(self) -> Ladder:
        """The rows of step 1."""
        return self.where(self.final)


def refit(samples: Problem, fit: LawFit, n_samples: int) -> FloatArray:
    """Coordinates of each sample's optimum, from that of the data; what the two steps draw with.

    Other optima of the data's fit lie along a flat valley here, and starting there too gives the
    same to 2e-6 of the objective.
    """
    starts = np.repeat(fit.coordinates[None], n_samples, axis=0)
    return minimise(samples, starts, fit.free, scouting=4, tolerance=1e-9).coordinates


# --- step 1 ---------------------------------------------------------------------------------------


def loss_link(size: ArrayLike, tokens: ArrayLike, loss: ArrayLike, n_starts: int = 96) -> LawFit:
    """Step 1: A / N^alpha + B / D^beta + E, by Huber's function (1e-3) of log residuals.

    Parameters
    ----------
    size, tokens, loss
        Parameters, tokens and task loss of final checkpoints, shape (n_rows,) each, above 0.
    n_starts
        Number of starts of the fit.

    Raises
    ------
    InputError
        For fewer than six rows, or a single size or token count.
    """
    sizes, lengths = np.asarray(size, dtype=float), np.asarray(tokens, dtype=float)
    if len(sizes) < FEWEST_FINAL:
        raise InputError(
            f"step 1 has five parameters and needs {FEWEST_FINAL} runs; found {len(sizes)}",
            remedy="train more sizes and lengths, or feed all checkpoints to step 1",
        )
    if min(len(np.unique(sizes)), len(np.unique(lengths))) < 2:
        raise InputError(
            f"step 1 needs several sizes and token counts; found {len(np.unique(sizes))} "
            f"size(s) and {len(np.unique(lengths))} token count(s)",
            remedy="add runs of other sizes and lengths, or feed all checkpoints to step 1",
        )
    return fit_law(CHINCHILLA, {"N": sizes, "D": lengths}, loss, HUBER, n_starts=n_starts, rng=0)


# --- step 2 ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AccuracyLink:
    """Step 2, with its top held where the data would put it above a perfect score.

    Attributes
    ----------
    free
        The fit with b free, unless the chance level is given.
    perfect
        Highest accuracy.
    anchored
        Whether the last row is the point of no loss and a perfect score.
    """

    free: LawFit
    perfect: float
    anchored: bool

    @cached_property
    def capped(self) -> LawFit:
        """The fit with b held at the perfect score."""
        law, problem = self.free.law, self.free.problem
        if not self.free.free[law.position("b")]:
            return self.free
        return _fit_sigmoid(law, problem.prepared["L"], problem.observed, {"b": self.perfect})

    @cached_property
    def fit(self) -> LawFit:
        """The one that counts."""
        return self.capped if self.free.parameters["b"] > self.perfect else self.free

    @property
    def problem(self) -> Problem:
        """Law, rows and objective."""
        return self.free.problem

    def predict(self, loss: ArrayLike) -> FloatArray:
        """Accuracy at task losses, shape (n,)."""
        return self.fit.predict({"L": np.asarray(loss, dtype=float)})

    @cached_property
    def residuals(self) -> FloatArray:
        """Measured less fitted accuracy of the checkpoints, without the anchor."""
        residuals = -self.fit.residuals
        return residuals[:-1] if self.anchored else residuals

    def refit(self, samples: Problem, n_samples: int) -> tuple[FloatArray, BoolArray]:
        """Parameters (natural units) of each sample, and whether they are usable.

        Refits with b above the perfect score are done again with b held there, and those with b
        held that would rather have it lower with b free. Refits that crept along a flat valley to
        the last step allowed are kept.
        """
        law, place = self.free.law, self.free.law.position("b")
        first, second = (
            (self.fit, self.free) if self.fit is not self.free else (self.free, self.capped)
        )
        coordinates = refit(samples, first, n_samples)
        if first is self.free:
            wrong = coordinates[:, place] > self.perfect
        else:  # held at the top; free where the squares fall as b falls
            wrong = samples.evaluate(coordinates).gradient[:, place] > 0
        if wrong.any() and second is not first:
            places = np.flatnonzero(wrong)
            again = refit(samples.of_fits(places), second, len(places))
            inside = again[:, place] <= self.perfect
            coordinates[places[inside]] = again[inside]
        return law.to_natural(coordinates), np.isfinite(samples.evaluate(coordinates).value)


def accuracy_link(
    loss: ArrayLike,
    accuracy: ArrayLike,
    *,
    perfect: float = 1.0,
    anchor: bool = True,
    chance: float | None = None,
) -> AccuracyLink:
    """Step 2: a / (1 + exp(-k (L - L0))) + b, by least squares, a in [-1, 0], b at most `perfect`.

    Parameters
    ----------
    loss, accuracy
        Of checkpoints, shape (n_rows,) each.
    perfect
        Highest accuracy.
    anchor
        Whether a row of no loss and a perfect score is added, as in the paper.
    chance
        Accuracy of guessing; where given, the sigmoid falls from `perfect` to it.

    Raises
    ------
    InputError
        For fewer than six rows, or losses that are all alike.
    """
    losses, scores = np.asarray(loss, dtype=float), np.asarray(accuracy, dtype=float)
    if len(losses) < FEWEST_PAIRS or np.ptp(losses) == 0:
        raise InputError(
            f"step 2 needs {FEWEST_PAIRS} checkpoints with different task losses; found "
            f"{len(np.unique(losses))}",
            remedy="add checkpoints or runs",
        )
    law = sigmoid_law(losses)
    if anchor:
        losses, scores = np.append(losses, 0.0), np.append(scores, perfect)
    held = {} if chance is None else {"a": chance - perfect, "b": perfect}
    return AccuracyLink(_fit_sigmoid(law, losses, scores, held), perfect, anchor)


def _fit_sigmoid(
    law: Law, losses: FloatArray, scores: FloatArray, held: Mapping[str, float]
) -> LawFit:
    """Least squares from the best few of a grid of L0 and k, a and b solved for at each."""
    ranges = {parameter.name: parameter.start for parameter in law.parameters}
    middle, slope = (
        grid.ravel()
        for grid in np.meshgrid(np.geomspace(*ranges["L0"], 16), np.geomspace(*ranges["k"], 14))
    )
    share = expit(slope[:, None] * (losses - middle[:, None]))
    centred = share - share.mean(axis=1, keepdims=True)
    a = centred @ (scores - scores.mean()) / np.maximum(np.sum(centred**2, axis=1), 1e-300)
    if "b" in held:
        a = share @ (scores - held["b"]) / np.maximum(np.sum(share**2, axis=1), 1e-300)
    a = np.clip(a, -1.0, -1e-6)
    b = np.maximum(scores.mean() - a * share.mean(axis=1), 1e-6)
    if "b" in held:
        b = np.full_like(b, held["b"])
    errors = np.sum((a[:, None] * share + b[:, None] - scores) ** 2, axis=1)
    best = np.argsort(errors, kind="stable")[:_STARTS_ACCURACY]
    starts = np.column_stack([a, middle, slope, b])[best]
    return fit_law(law, {"L": losses}, scores, SQUARES, n_starts=0, starts=starts, fixed=held)


# --- chained --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Chain:
    """Both steps of one task."""

    ladder: Ladder
    loss: LawFit
    accuracy: AccuracyLink

    def predict(self, size: ArrayLike, tokens: ArrayLike) -> tuple[FloatArray, FloatArray]:
        """Task loss and accuracy of runs, shape (n,) each."""
        loss = self.loss.predict({"N": size, "D": tokens})
        return loss, self.accuracy.predict(loss)


@dataclass(frozen=True)
class Forecast:
    """What runs will score.

    Attributes
    ----------
    loss, accuracy
        Forecasts, shape (n_targets,).
    loss_draws, accuracy_draws
        Of the law, shape (n_draws, n_targets): what many such runs average to.
    run_loss_draws, run_accuracy_draws
        Of one new run each, with its noise.
    loss_parameters, accuracy_parameters
        Parameters of both steps in each draw, in the order of their laws.
    n_failed
        Draws of which a step could not be fitted, which are left out.
    """

    loss: FloatArray
    accuracy: FloatArray
    loss_draws: FloatArray
    accuracy_draws: FloatArray
    run_loss_draws: FloatArray
    run_accuracy_draws: FloatArray
    loss_parameters: FloatArray
    accuracy_parameters: FloatArray
    n_failed: int


def fit_chain(
    ladder: Ladder,
    *,
    perfect: float = 1.0,
    anchor: bool = True,
    chance: float | None = None,
    n_starts: int = 96,
) -> Chain:
    """Fit both steps; see `loss_link` and `accuracy_link`."""
    last = ladder.finals
    return Chain(
        ladder,
        loss_link(last.size, last.tokens, last.loss, n_starts),
        accuracy_link(ladder.loss, ladder.accuracy, perfect=perfect, anchor=anchor, chance=chance),
    )


def forecast(
    chain: Chain,
    size: ArrayLike,
    tokens: ArrayLike,
    *,
    n_draws: int = 300,
    resample: Resample = "runs",
    steps: Literal["both", "loss", "accuracy"] = "both",
    rng: int | np.random.Generator = 0,
) -> Forecast:
    """Forecast runs, with draws that carry the errors of both steps.

    Trainings are drawn, not rows: both steps of a draw see the same trainings, so that a training
    that is off in its loss and in its accuracy is off in both.

    Parameters
    ----------
    chain
        Both steps.
    size, tokens
        Parameters and tokens of the runs, shape (n_targets,).
    n_draws
        Number of draws.
    resample
        ``"runs"``: whole trainings are drawn with replacement; ``"residuals"``: the sizes and
        lengths of the ladder stay, and all residuals of a training are multiplied by one random
        weight of mean 0 and variance 1 (a wild bootstrap by training, with a weight of its own in
        each step). Draws of the first are spread by sqrt(n / (n - p)) about the forecast, with n
        trainings and p parameters of a step; residuals of the second are scaled so.
    steps
        Step whose errors are drawn; the other stays as fitted. For comparison only.
    rng
        Source of the draws.

    Raises
    ------
    InputError
        If fewer than half of the draws could be fitted.
    """
    generator = np.random.default_rng(rng)
    targets = {
        "N": np.atleast_1d(np.asarray(size, dtype=float)),
        "D": np.atleast_1d(np.asarray(tokens, dtype=float)),
    }
    first, second = _samples(chain, n_draws, resample, generator)
    natural_loss, fine = _repeated(chain.loss, n_draws), np.ones(n_draws, dtype=bool)
    natural_accuracy = _repeated(chain.accuracy.fit, n_draws)
    if steps != "accuracy":
        coordinates = refit(first, chain.loss, n_draws)
        natural_loss = CHINCHILLA.to_natural(coordinates)
        fine = np.isfinite(first.evaluate(coordinates).value)
    if steps != "loss":
        natural_accuracy, also_fine = chain.accuracy.refit(second, n_draws)
        fine = fine & also_fine
    if fine.sum() < max(2, n_draws // 2):
        raise InputError(
            f"only {int(fine.sum())} of {n_draws} redrawn ladders could be fitted",
            remedy="use resample='residuals', or add runs",
        )
    first_spread, second_spread = _spreads(chain) if resample == "runs" else (1.0, 1.0)
    loss, accuracy = chain.predict(targets["N"], targets["D"])
    drawn = CHINCHILLA.values(natural_loss[fine], targets)
    losses = loss * (drawn / loss) ** first_spread
    noise_loss, noise_accuracy = _run_noise(chain, losses.shape, generator)
    run_losses = losses * np.exp(noise_loss)

    def scores(at: FloatArray) -> FloatArray:
        law = chain.accuracy.fit.law
        fitted = chain.accuracy.predict(at.ravel()).reshape(at.shape)
        redrawn = _each(law.formula, natural_accuracy[fine], law.names, at)
        return fitted + second_spread * (redrawn - fitted)

    return Forecast(
        loss=loss,
        accuracy=accuracy,
        loss_draws=losses,
        accuracy_draws=scores(losses),
        run_loss_draws=run_losses,
        run_accuracy_draws=np.clip(scores(run_losses) + noise_accuracy, 0, chain.accuracy.perfect),
        loss_parameters=natural_loss[fine],
        accuracy_parameters=natural_accuracy[fine],
        n_failed=int(n_draws - fine.sum()),
    )


def _spreads(chain: Chain) -> tuple[float, float]:
    """What makes good that trainings drawn with replacement spread too little when they are few.

    Of n trainings and p parameters the variance falls short by about (n - p) / n.
    """
    n_runs = len(np.unique(chain.ladder.run))
    return _correction(n_runs, chain.loss.n_free), _correction(n_runs, chain.accuracy.fit.n_free)


def _repeated(fit: LawFit, n_draws: int) -> FloatArray:
    return np.repeat(fit.natural[None], n_draws, axis=0)


def _each(
    formula: Callable[..., tuple[FloatArray, object]],
    natural: FloatArray,
    names: tuple[str, ...],
    losses: FloatArray,
) -> FloatArray:
    """Step 2 where each draw has losses of its own, (n_draws, n_targets)."""
    parameters = {name: natural[:, [place]] for place, name in enumerate(names)}
    return np.asarray(formula(parameters, {"L": losses})[0])


def _samples(
    chain: Chain, n_draws: int, resample: Resample, rng: np.random.Generator
) -> tuple[Problem, Problem]:
    """The problems of both steps with a redrawn ladder a draw."""
    run, first, second = chain.ladder.run, chain.loss.problem, chain.accuracy.problem
    final, n_runs = chain.ladder.final, int(run.max()) + 1
    if resample == "runs":
        present = np.unique(run)
        counts = np.zeros((n_draws, n_runs))
        shares = np.full(len(present), 1 / len(present))
        counts[:, present] = rng.multinomial(len(present), shares, n_draws)
        return (
            replace(first, weights=first.weights * counts[:, run[final]]),
            replace(second, weights=second.weights * _with_anchor(chain, counts[:, run], 1.0)),
        )
    fit, link = chain.loss, chain.accuracy.fit
    noise = fit.residuals * _correction(len(fit.residuals), fit.n_free)
    signs = _wild_weights((n_draws, n_runs), rng)[:, run[final]]
    observed = first.observed + fit.residuals - noise * signs
    pulls = link.residuals * _correction(len(np.unique(run)), link.n_free)
    signs = _with_anchor(chain, _wild_weights((n_draws, n_runs), rng)[:, run], 0.0)
    scores = second.observed + link.residuals - pulls * signs
    return replace(first, observed=observed), replace(second, observed=scores)


def _with_anchor(chain: Chain, columns: FloatArray, value: float) -> FloatArray:
    """A further column for the anchor of step 2, where there is one."""
    if not chain.accuracy.anchored:
        return columns
    return np.column_stack([columns, np.full(len(columns), value)])


def _correction(n_units: int, n_parameters: int) -> float:
    """Factor that returns to residuals what the fitted parameters took, at most 2."""
    return float(np.sqrt(n_units / max(n_units - n_parameters, n_units / 4)))


def _wild_weights(shape: tuple[int, int], rng: np.random.Generator) -> FloatArray:
    """Webb's six-point weights: mean 0, variance 1, symmetric; more values than signs alone."""
    points = np.sqrt(np.array([0.5, 1.0, 1.5]))
    return rng.choice(np.concatenate([-points, points]), shape)


def _run_noise(
    chain: Chain, shape: tuple[int, ...], rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Residuals of one run in both steps, drawn together from the rows of step 1."""
    last = chain.ladder.finals
    by_loss = -chain.loss.residuals * _correction(last.n_rows, chain.loss.n_free)
    by_accuracy = last.accuracy - chain.accuracy.predict(last.loss)
    rows = rng.integers(len(by_loss), size=shape)
    return by_loss[rows], by_accuracy[rows]
