"""What can be trusted: held-out larger runs, other ways of forecasting them, noise, influence."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from statlas.core import ConvergenceError, InputError
from statlas.core.numerics.laws import (
    CHINCHILLA,
    SATURATING_POWER_LAW,
    Law,
    LawFit,
    Objective,
    fit_law,
)
from statlas.core.numerics.laws.uncertainty import percentile_interval
from statlas.scaling.model_ladders.chain import (
    HUBER,
    BoolArray,
    Chain,
    IntArray,
    Ladder,
    Resample,
    fit_chain,
    forecast,
    refit,
)
from statlas.scaling.model_ladders.laws import ONE_STEP_POWER, ONE_STEP_SIGMOID, FloatArray

METHODS = ("two steps", "two steps by compute", "one-step sigmoid", "one-step power law")
_LAST = 10  # checkpoints whose spread the paper reports
_NEAR = 0.7  # tokens of the first of them, as a share of the last's; else they show a trend


@dataclass(frozen=True)
class Rules:
    """How step 2 is fitted, the same wherever it is.

    Attributes
    ----------
    perfect, anchor, chance
        See `accuracy_link`.
    """

    perfect: float = 1.0
    anchor: bool = True
    chance: float | None = None

    def fit(self, ladder: Ladder, n_starts: int = 96) -> Chain:
        """Both steps of a ladder."""
        return fit_chain(
            ladder,
            perfect=self.perfect,
            anchor=self.anchor,
            chance=self.chance,
            n_starts=n_starts,
        )


# --- one step, and other first steps --------------------------------------------------------------


def fit_one_step(
    law: Law, ladder: Ladder, n_starts: int = 96, starts: ArrayLike | None = None
) -> LawFit:
    """Accuracy straight from size and tokens, by Huber's function (1e-3) as the paper's code does.

    Residuals are logarithmic, or plain ones where an accuracy is 0.
    """
    last = ladder.finals
    objective = HUBER if np.all(last.accuracy > 0) else Objective("linear", huber=1e-3)
    inputs = {"N": last.size, "D": last.tokens}
    return fit_law(law, inputs, last.accuracy, objective, n_starts=n_starts, starts=starts, rng=0)


def one_step_starts(chain: Chain) -> FloatArray:
    """Where the one-step sigmoid starts: at the two steps written as one, and as the code does."""
    first, second = chain.loss.parameters, chain.accuracy.fit.parameters
    k = second["k"]
    as_one = {
        "a": second["a"], "b": second["b"], "E": k * (first["E"] - second["L0"]),
        "A": k * first["A"], "B": k * first["B"], "alpha": first["alpha"], "beta": first["beta"],
    }  # fmt: skip
    code = {
        "a": -0.75,
        "b": 1.0,
        "E": 0.0,
        "A": np.exp(3),
        "B": np.exp(5),
        "alpha": 0.2,
        "beta": 0.3,
    }
    return np.array([[start[name] for name in ONE_STEP_SIGMOID.names] for start in (as_one, code)])


def predict_by(
    method: str,
    chain: Chain,
    size: ArrayLike,
    tokens: ArrayLike,
    compute: ArrayLike,
    n_starts: int = 96,
) -> FloatArray:
    """Accuracy of runs as one of `METHODS` forecasts it from a ladder, shape (n_targets,).

    Parameters
    ----------
    method
        ``"two steps"``; ``"two steps by compute"``: step 1 is A / C^alpha + E;
        ``"one-step sigmoid"``: a / (1 + exp(-(A N^-alpha + B D^-beta + E))) + b;
        ``"one-step power law"``: E - A N^-alpha - B D^-beta.
    chain
        Both steps, fitted to the runs to learn from.
    size, tokens, compute
        Of the runs to forecast, shape (n_targets,) each.
    n_starts
        Number of starts of a fit.
    """
    targets, last = {"N": size, "D": tokens}, chain.ladder.finals
    if method == "one-step sigmoid":
        starts = one_step_starts(chain)
        return fit_one_step(ONE_STEP_SIGMOID, chain.ladder, n_starts, starts).predict(targets)
    if method == "one-step power law":
        return fit_one_step(ONE_STEP_POWER, chain.ladder, n_starts).predict(targets)
    if method == "two steps by compute":
        by_compute = fit_law(
            SATURATING_POWER_LAW, {"x": last.compute}, last.loss, HUBER, n_starts=n_starts, rng=0
        )
        return chain.accuracy.predict(by_compute.predict({"x": compute}))
    return chain.predict(size, tokens)[1]


# --- held-out larger runs -------------------------------------------------------------------------


@dataclass(frozen=True)
class Backtest:
    """The dearer runs, forecast from the cheaper ones.

    Attributes
    ----------
    below
        The ladder that was fitted.
    size, tokens, compute
        Of the runs held out, repeats of one size and length averaged, shape (n_targets,).
    loss, accuracy
        Measured.
    by_method
        Accuracy forecast by each method that could be fitted.
    loss_forecast
        Task loss by step 1.
    accuracy_given_loss
        Accuracy by step 2 from the measured task loss: the error of the second step alone.
    coverage, n_runs
        Share of single held-out runs within the interval for one run, and how many there are.
    """

    below: Ladder
    size: FloatArray
    tokens: FloatArray
    compute: FloatArray
    loss: FloatArray
    accuracy: FloatArray
    by_method: dict[str, FloatArray]
    loss_forecast: FloatArray
    accuracy_given_loss: FloatArray
    coverage: float
    n_runs: int

    def error(self, method: str) -> float:
        """Mean absolute error of the accuracy."""
        return float(np.mean(np.abs(self.by_method[method] - self.accuracy)))

    def relative_error(self, method: str) -> float:
        """Mean of |forecast - measured| / measured."""
        off = np.abs(self.by_method[method] - self.accuracy)
        return float(np.mean(off / np.maximum(self.accuracy, 1e-12)))

    @property
    def loss_error(self) -> float:
        """Mean relative error of the task loss: of the first step alone."""
        return float(np.mean(np.abs(self.loss_forecast / self.loss - 1)))

    @property
    def link_error(self) -> float:
        """Mean absolute error of the accuracy from the measured task loss."""
        return float(np.mean(np.abs(self.accuracy_given_loss - self.accuracy)))


def split(ladder: Ladder, factor: float) -> tuple[BoolArray, BoolArray]:
    """Rows that cost less than the dearest by more than `factor`, and final rows that do not.

    A training of which one row is final is held out whole; where several of its checkpoints are
    final, each row is held out or kept by its own compute.
    """
    cut = float(ladder.compute[ladder.final].max()) / factor
    dear = ladder.final & (ladder.compute > cut * (1 + 1e-9))
    if ladder.final.sum() > len(np.unique(ladder.run[ladder.final])):
        return ladder.compute <= cut * (1 + 1e-9), dear
    return ~np.isin(ladder.run, ladder.run[dear]), dear


def cell_means(ladder: Ladder) -> Ladder:
    """Rows of the same size and tokens as one row with their mean loss and accuracy."""
    keys = np.column_stack([ladder.size, ladder.tokens])
    first, cell, count = np.unique(
        keys, axis=0, return_index=True, return_inverse=True, return_counts=True
    )[1:]
    chosen = {name: getattr(ladder, name)[first] for name in Ladder.__dataclass_fields__}
    for name in ("loss", "accuracy"):
        chosen[name] = np.bincount(cell.ravel(), getattr(ladder, name)) / count
    return Ladder(**chosen)


def backtest(
    ladder: Ladder,
    factor: float,
    rules: Rules,
    *,
    level: float = 0.95,
    n_draws: int = 100,
    resample: Resample = "runs",
    methods: tuple[str, ...] = METHODS,
    n_starts: int = 96,
    rng: int | np.random.Generator = 0,
) -> Backtest:
    """Forecast the runs within `factor` of the dearest one's compute from those below.

    Parameters
    ----------
    ladder
        All runs.
    factor
        Runs that cost more than the dearest one's compute divided by this are held out.
    rules
        Of step 2.
    level, n_draws, resample
        Of the intervals whose coverage is counted.
    methods
        What to forecast with.
    n_starts
        Number of starts of each fit.
    rng
        Source of draws.

    Raises
    ------
    InputError
        If too few runs are left to fit.
    """
    kept, dear = split(ladder, factor)
    below = ladder.where(kept)
    if not below.final.any():
        raise InputError("no run is left to fit", remedy="hold out fewer runs")
    above = ladder.where(dear)
    chain = rules.fit(below, n_starts)
    cells = cell_means(above)
    by_method = {}
    for method in methods:
        try:
            by_method[method] = predict_by(
                method, chain, cells.size, cells.tokens, cells.compute, n_starts
            )
        except (InputError, ConvergenceError):
            continue
    drawn = forecast(chain, above.size, above.tokens, n_draws=n_draws, resample=resample, rng=rng)
    low, high = percentile_interval(drawn.run_accuracy_draws, level)
    return Backtest(
        below=below,
        size=cells.size,
        tokens=cells.tokens,
        compute=cells.compute,
        loss=cells.loss,
        accuracy=cells.accuracy,
        by_method=by_method,
        loss_forecast=chain.loss.predict({"N": cells.size, "D": cells.tokens}),
        accuracy_given_loss=chain.accuracy.predict(cells.loss),
        coverage=float(np.mean((low <= above.accuracy) & (above.accuracy <= high))),
        n_runs=above.n_rows,
    )


# --- which rungs matter ---------------------------------------------------------------------------


def influence(chain: Chain, size: float, tokens: float, by: FloatArray) -> dict[float, float]:
    """Shift of a forecast when all runs that share a value of `by` are left out of both steps.

    Parameters
    ----------
    chain
        Both steps fitted to all runs.
    size, tokens
        The run that is forecast.
    by
        A value a row of the ladder, such as its size, shape (n_rows,).

    Returns
    -------
    dict
        Accuracy without them less accuracy with them, by value; values without which a step could
        not be fitted are left out.
    """
    ladder = chain.ladder
    values = []
    for value in np.unique(by):
        rest = ladder.finals.where(by[ladder.final] != value)
        enough = rest.n_rows > len(CHINCHILLA.names) and len(np.unique(rest.size)) > 1
        if enough and len(np.unique(rest.tokens)) > 1:
            values.append(float(value))
    if not values:
        return {}
    kept = np.array([by != value for value in values], dtype=float)
    first, second = chain.loss.problem, chain.accuracy.problem
    pairs = kept
    if chain.accuracy.anchored:
        pairs = np.column_stack([kept, np.ones(len(kept))])
    coordinates = refit(
        replace(first, weights=first.weights * kept[:, ladder.final]), chain.loss, len(kept)
    )
    natural, fine = chain.accuracy.refit(replace(second, weights=second.weights * pairs), len(kept))
    losses = CHINCHILLA.values(CHINCHILLA.to_natural(coordinates), {"N": [size], "D": [tokens]})
    law, whole = chain.accuracy.fit.law, float(chain.predict([size], [tokens])[1][0])
    shifts = {}
    for value, row, loss, usable in zip(values, natural, losses[:, 0], fine, strict=True):
        moved = float(law.values(row[None], {"L": [loss]})[0, 0]) - whole
        if usable and np.isfinite(moved):
            shifts[value] = moved
    return shifts


# --- noise ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Noise:
    """How noisy a task is; NaN where the runs do not tell.

    Attributes
    ----------
    seed_loss, seed_accuracy
        Standard deviation between trainings of one size and length, pooled.
    checkpoint_loss, checkpoint_accuracy
        Standard deviation over the last checkpoints of the dearest run, over their mean.
    """

    seed_loss: float
    seed_accuracy: float
    checkpoint_loss: float
    checkpoint_accuracy: float


def task_noise(ladder: Ladder, raw: Ladder) -> Noise:
    """Spread between seeds, and over the last ten checkpoints (`raw`, not averaged)."""
    last = ladder.finals
    cell = np.unique(np.column_stack([last.size, last.tokens]), axis=0, return_inverse=True)[1]
    dearest = raw.where(raw.run == raw.run[int(np.argmax(raw.compute))])
    order = np.argsort(dearest.tokens)[-_LAST:]
    tail = dearest.where(np.isin(np.arange(dearest.n_rows), order))
    dense = tail.n_rows >= 5 and tail.tokens.min() > _NEAR * tail.tokens.max()
    return Noise(
        _pooled(last.loss, cell.ravel().astype(np.int64)),
        _pooled(last.accuracy, cell.ravel().astype(np.int64)),
        float(tail.loss.std() / tail.loss.mean()) if dense else np.nan,
        float(tail.accuracy.std() / max(tail.accuracy.mean(), 1e-12)) if dense else np.nan,
    )


def _pooled(values: FloatArray, codes: IntArray) -> float:
    """Standard deviation within cells, NaN without repeats."""
    count = np.bincount(codes)
    room = int(np.sum(count - 1))
    if room == 0:
        return np.nan
    mean = np.bincount(codes, values) / np.maximum(count, 1)
    return float(np.sqrt(np.sum((values - mean[codes]) ** 2) / room))
