"""The paper's claims, on planted ladders and on the recorded runs of small transformers.

Recorded: of nine pairs of a recipe of natural text and a task whose text it holds, three are drawn.
The last four of seven lengths feed step 1 and all but the first step 2, near the paper's lengths (a
factor of 10) and skipped tenth. The runs within a factor of four of the dearest one's compute are
forecast from the others; errors are mean absolute errors of the accuracy, in shares of 1.
"""

from __future__ import annotations

import functools

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from statlas.core import Above, Below, Twin, claim
from statlas.core.examples import example_path
from statlas.core.numerics.laws import CHINCHILLA
from statlas.core.numerics.laws.uncertainty import percentile_interval
from statlas.scaling.model_ladders.backtest import Rules, cell_means, predict_by, task_noise
from statlas.scaling.model_ladders.chain import Ladder, fit_chain, forecast
from statlas.scaling.model_ladders.laws import FloatArray

# Near the laws of a knowledge benchmark on the released ladder.
_STEP_1 = {"E": 0.55, "A": 45.0, "B": 100.0, "alpha": 0.24, "beta": 0.25}
_STEP_2 = {"a": -0.73, "L0": 0.72, "k": 5.5, "b": 0.97}
_TARGET = np.array([1.32e10]), np.array([5e12])  # about 60 times the cost of the whole ladder
_STARTS = 48

# --- planted ladders ------------------------------------------------------------------------------


def _accuracy(loss: FloatArray) -> FloatArray:
    scaled = _STEP_2["k"] * (loss - _STEP_2["L0"])
    return np.asarray(_STEP_2["a"] / (1 + np.exp(-scaled)) + _STEP_2["b"])


def _planted(rng: np.random.Generator) -> Ladder:
    """Four sizes to four lengths, five checkpoints each, with noise by run and by checkpoint."""
    grids = np.meshgrid(1.9e8 * 2.0 ** np.arange(4), 20.0 * np.array([1, 2, 5, 10]))
    size, multiple = (grid.ravel() for grid in grids)
    share = np.linspace(0.2, 1, 5)
    sizes = np.repeat(size, 5)
    tokens = (size * multiple)[:, None] * share
    run = np.repeat(np.arange(16), 5)
    loss = CHINCHILLA(_STEP_1, {"N": sizes, "D": tokens.ravel()})
    by_run = rng.standard_normal((2, 16))[:, run]
    by_row = rng.standard_normal((2, 80))
    loss = loss * np.exp(0.004 * by_run[0] + 0.002 * by_row[0])
    accuracy = _accuracy(loss) + 0.004 * by_run[1] + 0.008 * by_row[1]
    final = np.tile(share == 1, 16)
    return Ladder(sizes, tokens.ravel(), 6 * sizes * tokens.ravel(), loss, accuracy, run, final)


@claim(
    "model-ladders",
    says="intervals that carry the errors of both steps cover the accuracy that a larger run is "
    "expected to reach about as often as they promise",
    where="chained prediction; the intervals are this module's",
    expect=Above(0.88),
    unit="share of simulated ladders of 16 runs whose 95 % interval covers",
    subject="both",
    twin=Twin("the errors of step 2 alone", "accuracy"),
    quick=8,
    full=400,
    kind="proportion",
)
def chained_coverage(rng: np.random.Generator, steps: str) -> float:
    """Whether the interval of one ladder covers."""
    truth = _accuracy(CHINCHILLA(_STEP_1, {"N": _TARGET[0], "D": _TARGET[1]}))[0]
    chain = fit_chain(_planted(rng), n_starts=_STARTS)
    found = forecast(chain, *_TARGET, n_draws=80, steps=steps, rng=rng)  # type: ignore[arg-type]
    low, high = percentile_interval(found.accuracy_draws[:, 0], 0.95)
    return float(low <= truth <= high)


@claim(
    "model-ladders",
    says="a ladder that costs a small share of the target forecasts its accuracy within two points",
    where="abstract: within 2 points on four tasks, with 1 % of the compute",
    expect=Below(0.02),
    unit="absolute error of the expected accuracy, the target 60 times the cost of the ladder",
    subject="two steps",
    twin=Twin("a power law of the accuracy, in one step", "one-step power law"),
    quick=8,
    full=150,
)
def planted_error(rng: np.random.Generator, method: str) -> float:
    """Error of one ladder's forecast."""
    truth = _accuracy(CHINCHILLA(_STEP_1, {"N": _TARGET[0], "D": _TARGET[1]}))[0]
    chain = fit_chain(_planted(rng), n_starts=_STARTS)
    compute = 6 * _TARGET[0] * _TARGET[1]
    return float(abs(predict_by(method, chain, *_TARGET, compute, _STARTS)[0] - truth))


# --- recorded runs --------------------------------------------------------------------------------

TASKS = ("prose", "code", "words")
CASES = tuple((task, task) for task in TASKS) + tuple(
    (recipe, task) for recipe in ("mix", "mix-code") for task in TASKS
)
Case = tuple[str, str]
FEWER = "two steps, fewer rungs"


@functools.cache
def _recorded() -> pd.DataFrame:
    return pd.read_csv(example_path("corpus_runs.csv"))


@functools.cache
def _case(case: Case) -> Ladder:
    """The ladder of a recipe and task; checkpoints are ends: the learning rate is constant."""
    recipe, task = case
    table = _recorded()
    table = table[(table["recipe"] == recipe) & (table["tokens"] > table["tokens"].min())]
    names = ("parameters", "tokens", "compute", f"{task}_task_loss", f"{task}_accuracy")
    size, tokens, compute, loss, accuracy = (table[name].to_numpy(dtype=float) for name in names)
    run = pd.factorize(table["run"])[0].astype(np.int64)
    return Ladder(size, tokens, compute, loss, accuracy, run, 10 * tokens > tokens.max())


@functools.cache
def _error(case: Case, method: str) -> float:
    """Mean absolute error on the dearer runs, fitted to the others or to the cheaper of these."""
    ladder = _case(case)
    cut = float(ladder.compute.max()) / 4
    above = cell_means(ladder.where(ladder.final & (ladder.compute > cut)))
    below = ladder.where(ladder.compute <= (cut / 4 if method == FEWER else cut))
    chain = Rules().fit(below, _STARTS)
    method = "two steps" if method == FEWER else method
    predicted = predict_by(method, chain, above.size, above.tokens, above.compute, _STARTS)
    return float(np.mean(np.abs(predicted - above.accuracy)))


def _mean_difference(rng: np.random.Generator, worse: str, better: str) -> float:
    """Error of one method less that of another, over three drawn cases."""
    cases = [CASES[place] for place in rng.integers(len(CASES), size=3)]
    return float(np.mean([_error(case, worse) - _error(case, better) for case in cases]))


_RECORDED = "difference of mean absolute errors on held-out recorded runs"


@claim(
    "model-ladders",
    says="on recorded runs two steps forecast dearer runs better than the one-step sigmoid",
    where="alternative design choices: predicting accuracy in a single step",
    expect=Above(0.001),
    unit=_RECORDED,
    subject="two steps",
    twin=Twin("the one-step power law in the place of the two steps", "one-step power law"),
    quick=8,
    full=400,
)
def against_one_step_sigmoid(rng: np.random.Generator, method: str) -> float:
    """Error of the one-step sigmoid less that of a method."""
    return _mean_difference(rng, "one-step sigmoid", method)


@claim(
    "model-ladders",
    says="on recorded runs two steps forecast dearer runs better than a power law of the accuracy",
    where="step 1 fitted to the accuracy itself",
    expect=Above(0.001),
    unit=_RECORDED,
    subject="two steps",
    twin=Twin("the power law itself", "one-step power law"),
    quick=8,
    full=400,
)
def against_one_step_power(rng: np.random.Generator, method: str) -> float:
    """Error of the one-step power law less that of a method."""
    return _mean_difference(rng, "one-step power law", method)


@claim(
    "model-ladders",
    says="on recorded runs a ladder without its dearest rungs forecasts worse",
    where="compute of the ladder against prediction error",
    expect=Above(0.001),
    unit=_RECORDED,
    subject=FEWER,
    twin=Twin("all rungs kept", "two steps"),
    quick=8,
    full=400,
)
def fewer_rungs(rng: np.random.Generator, method: str) -> float:
    """Error without the rungs of the last factor of four less the error with them."""
    return _mean_difference(rng, method, "two steps")


@claim(
    "model-ladders",
    says="on recorded runs tasks whose scores are noisier are forecast worse",
    where="variance analysis: noise of a task and its prediction error",
    expect=Above(0.0),
    unit="rank correlation of relative seed noise and relative error over six recipes and tasks",
    subject=False,
    twin=Twin("the noise of another recipe and task", True),
    quick=8,
    full=400,
)
def noise_and_error(rng: np.random.Generator, shuffled: bool) -> float:
    """Correlation over six drawn cases."""
    noise, errors = [], []
    for place in rng.permutation(len(CASES))[:6]:
        ladder = _case(CASES[place])
        level = ladder.accuracy.mean()
        noise.append(task_noise(ladder, ladder).seed_accuracy / level)
        errors.append(_error(CASES[place], "two steps") / level)
    if shuffled:
        noise = list(rng.permutation(noise))
    return float(np.corrcoef(rankdata(noise), rankdata(errors))[0, 1])
