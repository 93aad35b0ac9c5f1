"""All about one task: both steps, the forecast, the test on dearer runs, noise and doubts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr

from statlas.core import InputError
from statlas.core.numerics.laws.uncertainty import percentile_interval
from statlas.scaling.model_ladders.backtest import (
    Backtest,
    Noise,
    Rules,
    backtest,
    influence,
    task_noise,
)
from statlas.scaling.model_ladders.chain import Chain, Forecast, Resample, forecast
from statlas.scaling.model_ladders.laws import FloatArray
from statlas.scaling.model_ladders.reading import Read, Task

_BEYOND = 10.0  # the default target's compute, in that of the dearest run
_ABOVE_NOISE = 4.0  # spreads of the noise that the fitted accuracies must span
_LOWEST_CORRELATION = -0.3  # of task loss and accuracy, for a link between them


@dataclass(frozen=True)
class Answer:
    """All about one task."""

    task: Task
    chain: Chain
    at: Forecast
    test: Backtest | None
    noise: Noise
    by_size: dict[float, float]
    by_tokens: dict[float, float]
    doubts: tuple[str, ...]

    def interval(self, level: float) -> tuple[float, float]:
        """Interval of one run's accuracy at the target."""
        return ends(self.at.run_accuracy_draws[:, 0], level)

    def loss_interval(self, level: float) -> tuple[float, float]:
        """Interval of one run's task loss at the target."""
        return ends(self.at.run_loss_draws[:, 0], level)


def ends(draws: FloatArray, level: float) -> tuple[float, float]:
    """Equal-tailed interval of draws of one number."""
    low, high = percentile_interval(draws, level)
    return float(low), float(high)


Target = tuple[float, float, float]  # parameters, tokens, compute in that of the dearest run


def target_of(read: Read, parameters: float | None, tokens: float | None) -> Target:
    """The run to forecast; by default ten times the dearest one's compute."""
    ladder = read.tasks[0].ladder
    dearest = int(np.argmax(ladder.compute))
    size, length = float(ladder.size[dearest]), float(ladder.tokens[dearest])
    wanted = size * np.sqrt(_BEYOND) if parameters is None else parameters
    most = length * np.sqrt(_BEYOND) if tokens is None else tokens
    return float(wanted), float(most), float(wanted * most / (size * length))


def answer_task(
    task: Task,
    rules: Rules,
    target: Target,
    held_out: float,
    draws: int,
    resample: Resample,
    rng: np.random.Generator,
) -> Answer:
    """Fit, forecast and test one task."""
    chain = rules.fit(task.ladder)
    at = forecast(chain, target[0], target[1], n_draws=draws, resample=resample, rng=rng)
    try:
        test = backtest(
            task.ladder, held_out, rules, n_draws=min(draws, 40), resample=resample,
            rng=rng,
        )  # fmt: skip
    except InputError:
        test = None
    return Answer(
        task,
        chain,
        at,
        test,
        task_noise(task.ladder, task.raw),
        influence(chain, target[0], target[1], task.ladder.size),
        influence(chain, target[0], target[1], task.ladder.tokens),
        doubts(chain),
    )


def doubts(chain: Chain) -> tuple[str, ...]:
    """Why step 2 of a task is not to be relied on; empty where nothing speaks against it."""
    ladder, link = chain.ladder, chain.accuracy.fit
    a, rank = link.parameters["a"], 0.0
    if np.ptp(ladder.accuracy) > 0:
        rank = float(spearmanr(ladder.loss, ladder.accuracy).statistic)
    if not rank < _LOWEST_CORRELATION or a > -1e-3:
        return ("accuracy does not fall as the task loss rises",)
    found = []
    fitted = chain.accuracy.predict(ladder.loss)
    noise = float(np.std(ladder.accuracy - fitted))
    if float(np.ptp(fitted)) < _ABOVE_NOISE * noise:
        found.append(
            f"the runs hardly leave chance: fitted accuracies span {np.ptp(fitted):.3f}, and their "
            f"noise is {noise:.3f}"
        )
    opened = [name for name in link.identification().undetermined if name in ("L0", "k", "a")]
    if opened:
        found.append(f"the data do not determine {', '.join(opened)} of the sigmoid")
    return tuple(found)
