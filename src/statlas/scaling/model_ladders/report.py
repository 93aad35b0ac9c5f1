"""What is said of the answers: headline, table, values, warnings and what the figure needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import bdtr

from statlas.core import InputError, Notice, Status, Table, Value
from statlas.core.numerics.laws import CHINCHILLA
from statlas.core.numerics.laws.uncertainty import percentile_interval
from statlas.scaling.model_ladders.answers import Answer, Target, ends
from statlas.scaling.model_ladders.backtest import METHODS, Backtest
from statlas.scaling.model_ladders.reading import Read

_NAMED = 4  # tasks in the headline
_MISSES, _RARE = 0.01, 0.01  # of task losses, and of chance, from which the laws are doubted


def status_of(answers: list[Answer]) -> tuple[Status, str]:
    """Whether the sigmoids are pinned down and dearer runs are met."""
    unsure = [answer for answer in answers if answer.doubts]
    if unsure:
        names = ", ".join(answer.task.name for answer in unsure[:_NAMED])
        return Status.ASSUMPTION_DOUBTFUL, (
            f"the sigmoid is not pinned down for {names}: {unsure[0].doubts[0]}; add larger runs "
            "that leave chance, or give the chance level with chance=..."
        )
    tests = [answer.test for answer in answers if answer.test is not None]
    off = float(np.mean([test.loss_error for test in tests])) if tests else 0.0
    if tests and off > _MISSES and _too_few_covered(tests):
        coverage = float(np.mean([test.coverage for test in tests]))
        return Status.ASSUMPTION_DOUBTFUL, (
            f"intervals from the cheaper runs hold {100 * coverage:.0f} % of the held-out runs, "
            f"whose task losses step 1 misses by {100 * off:.2g} %: the laws bend beyond the "
            "ladder, so take the forecasts as rough and their intervals as too short; train the "
            "sizes for longer, or feed later checkpoints to step 1 (span, skip)"
        )
    return Status.OK, ""


def _too_few_covered(tests: list[Backtest]) -> bool:
    """Whether fewer held-out runs lie in their 95 % intervals than chance allows (1 in 100).

    Tasks share the runs, so they count once.
    """
    n = tests[0].n_runs
    covered = round(float(np.mean([test.coverage for test in tests])) * n)
    return bool(bdtr(covered, n, 0.95) < _RARE)


def _best_one_step(test: Backtest) -> tuple[str, float] | None:
    found = [(test.error(name), name) for name in METHODS[2:] if name in test.by_method]
    return (min(found)[1], min(found)[0]) if found else None


def headline_of(
    answers: list[Answer], target: Target, level: float, perfect: float, recipe_name: str
) -> str:
    """Forecasts with intervals, and the held-out errors."""
    parts = []
    for answer in answers[:_NAMED]:
        low, high = answer.interval(level)
        score = f"{perfect * answer.at.accuracy[0]:.3g}"
        parts.append(
            f"{_short(answer.task.name)} {'not determined' if answer.doubts else score} "
            f"({perfect * low:.3g} to {perfect * high:.3g})"
        )
    more = f" and {len(answers) - _NAMED} more" if len(answers) > _NAMED else ""
    text = (
        f"A run of {target[0]:.3g} parameters and {target[1]:.3g} tokens"
        f"{f' of {_short(recipe_name)}' if recipe_name else ''} ({target[2]:.3g} times the "
        f"compute of the dearest) is forecast to score, with {100 * level:g} % intervals for one "
        f"run: {', '.join(parts)}{more}"
    )
    tested = [answer.test for answer in answers if answer.test is not None]
    if tested:
        two = float(np.mean([test.error("two steps") for test in tested]))
        text += f"; on held-out dearer runs the mean error is {perfect * two:.2g} by two steps"
        ones = [_best_one_step(test) for test in tested]
        if all(one is not None for one in ones):
            best = float(np.mean([one[1] for one in ones if one is not None]))
            text += f" and {perfect * best:.2g} by the better one-step fit"
    return text + "."


def _short(name: str) -> str:
    return name if len(name) <= 30 else name[:29] + "…"


def table_of(answers: list[Answer], level: float, perfect: float) -> pd.DataFrame:
    """A row a task."""
    rows = []
    for answer in answers:
        low, high = answer.interval(level)
        loss_low, loss_high = answer.loss_interval(level)
        row: dict[str, Any] = {
            "task": answer.task.name,
            "accuracy": perfect * float(answer.at.accuracy[0]),
            "low": perfect * float(low),
            "high": perfect * float(high),
            "task_loss": float(answer.at.loss[0]),
            "loss_low": float(loss_low),
            "loss_high": float(loss_high),
        }
        test = answer.test
        if test is not None:
            for method in test.by_method:
                row[f"held-out error, {method}"] = perfect * test.error(method)
            row["relative error, two steps"] = test.relative_error(METHODS[0])
            row["relative error, task loss"] = test.loss_error
            row["held-out error, step 2 alone"] = perfect * test.link_error
            row["covered by 95 %"] = test.coverage
        row["seed noise"] = perfect * answer.noise.seed_accuracy
        row["seed noise, task loss"] = answer.noise.seed_loss
        row["relative spread of last checkpoints"] = answer.noise.checkpoint_accuracy
        row["doubts"] = "; ".join(answer.doubts)
        rows.append(row)
    table = pd.DataFrame(rows)
    return table.drop(columns=[name for name in table if table[name].isna().all()])


def values_of(answers: list[Answer], level: float, perfect: float) -> Iterator[Value]:
    """Forecasts, parameters and held-out errors with their intervals."""
    how = "trainings drawn anew through both steps"
    for answer in answers:
        name, at = answer.task.name, answer.at
        low, high = answer.interval(level)
        yield Value(
            f"accuracy, {name}", perfect * at.accuracy[0], perfect * low, perfect * high, level,
            method=f"{how}, for one run",
        )  # fmt: skip
        low, high = answer.loss_interval(level)
        yield Value(f"task loss, {name}", at.loss[0], low, high, level, unit="loss",
                    method=f"{how}, for one run")  # fmt: skip
        both = (
            (answer.chain.loss, at.loss_parameters),
            (answer.chain.accuracy.fit, at.accuracy_parameters),
        )
        for fit, drawn in both:
            for place, (symbol, value) in enumerate(fit.parameters.items()):
                low, high = ends(drawn[:, place], level)
                scale = perfect if symbol in ("a", "b") else 1.0
                yield Value(
                    f"{symbol}, {name}", scale * value, scale * low, scale * high, level, method=how
                )
        if answer.test is not None:
            for method in METHODS:
                if method in answer.test.by_method:
                    yield Value(
                        f"held-out error, {method}, {name}",
                        perfect * answer.test.error(method),
                        why_no_interval=f"a plain mean over {len(answer.test.size)} sizes and "
                        "lengths",
                    )
        if answer.by_size:
            size, shift = max(answer.by_size.items(), key=lambda item: abs(item[1]))
            yield Value(
                f"largest shift without one size, {name}", perfect * shift,
                why_no_interval=f"what leaving out the runs of {size:.4g} parameters does",
            )  # fmt: skip


def notices_of(
    read: Read,
    answers: list[Answer],
    left_out: list[tuple[str, InputError]],
    target: Target,
    table: Table,
) -> Iterator[Notice]:
    """What the reader should know."""
    yield from read.notices
    for name, error in left_out:
        yield Notice("task-left-out", f"{name}: {error}")
    ratio = read.flops_ratio
    if table.has("compute") and table.has("tokens") and not 0.3 <= ratio <= 3:
        yield Notice(
            "units",
            f"the compute column is {ratio:.3g} times 6 x parameters x tokens (median)",
            "check the units: parameters_unit, tokens_unit, compute_unit",
        )
    if target[2] > 100:
        yield Notice(
            "far-target",
            f"the target costs {target[2]:.3g} times the dearest run; the paper's ladder went to "
            "about 100 times",
            "train larger runs before relying on it",
        )
    for answer in answers:
        yield from _task_notices(answer)
    yield from _test_notices([answer.test for answer in answers if answer.test is not None])


def _task_notices(answer: Answer) -> Iterator[Notice]:
    name, chain = answer.task.name, answer.chain
    for doubt in answer.doubts:
        yield Notice("sigmoid", f"{name}: {doubt}", "add runs that leave chance, or give chance")
    opened = chain.loss.identification().undetermined
    if opened:
        yield Notice(
            "step-1",
            f"{name}: the runs do not determine {', '.join(opened)} of step 1",
            "judge it by its forecasts, not by its parameters",
        )
    losses = chain.ladder.loss
    reached = float(losses.min()) - 0.5 * float(np.ptp(losses))
    if answer.at.loss[0] < reached:
        yield Notice(
            "far-loss",
            f"{name}: the forecast task loss {answer.at.loss[0]:.3g} lies far below those seen "
            f"(lowest {losses.min():.3g})",
            "step 2 is used beyond what it was fitted to",
        )
    averaged = not np.array_equal(chain.ladder.loss, answer.task.raw.loss)
    if not averaged and np.median(np.unique(chain.ladder.run, return_counts=True)[1]) >= 20:
        yield Notice(
            "checkpoint-noise",
            f"{name}: trainings have many checkpoints and none are averaged",
            "the paper's code averages 5 and skips the first tenth: average=5, skip=0.1",
        )


def _test_notices(tests: list[Backtest]) -> Iterator[Notice]:
    if not tests:
        yield Notice(
            "no-test",
            "too few runs to hold dearer ones out, so the forecast is untested",
            "add runs, or hold out fewer with held_out=2",
        )
        return
    worse = [
        test for test in tests
        if (one := _best_one_step(test)) is not None and one[1] < test.error("two steps")
    ]  # fmt: skip
    if 2 * len(worse) > len(tests):
        yield Notice(
            "one-step",
            f"on {len(worse)} of {len(tests)} tasks the better one-step fit has the smaller "
            "held-out error",
            "see the columns of held-out errors",
        )


# --- what the figure needs ------------------------------------------------------------------------


def details_of(
    shown: Answer,
    answers: list[Answer],
    target: Target,
    level: float,
    perfect: float,
    rng: np.random.Generator,
) -> dict[str, Any]:
    """What the figure needs, held-out runs and influence."""
    ladder, chain = shown.task.ladder, shown.chain
    last = ladder.finals
    grid = np.geomspace(last.tokens.min(), max(target[1], last.tokens.max()), 40)
    sizes = np.unique(last.size)
    sizes = sizes[np.unique(np.linspace(0, len(sizes) - 1, 6).round().astype(int))]
    least = min(float(shown.at.loss[0]), float(ladder.loss.min()))
    losses = np.linspace(least, ladder.loss.max(), 60)
    law = chain.accuracy.fit.law
    band = percentile_interval(law.values(shown.at.accuracy_parameters, {"L": losses}), level)
    some = np.sort(rng.permutation(ladder.n_rows)[:600])
    low, high = shown.interval(level)
    loss_low, loss_high = shown.loss_interval(level)
    return {
        "shown": shown.task.name,
        "level": level,
        "perfect": perfect,
        "target": {
            "parameters": target[0], "tokens": target[1], "loss": float(shown.at.loss[0]),
            "loss_low": float(loss_low), "loss_high": float(loss_high),
            "accuracy": perfect * float(shown.at.accuracy[0]),
            "low": perfect * float(low), "high": perfect * float(high),
        },
        "finals": {"tokens": last.tokens.tolist(), "size": last.size.tolist(),
                   "loss": last.loss.tolist()},
        "curves": [
            {"size": float(size), "tokens": grid.tolist(),
             "loss": chain.loss.predict({"N": np.full_like(grid, size), "D": grid}).tolist()}
            for size in (*sizes, target[0])
        ],
        "pairs": {"loss": ladder.loss[some].tolist(),
                  "accuracy": (perfect * ladder.accuracy[some]).tolist(),
                  "size": ladder.size[some].tolist()},
        "link": {"loss": losses.tolist(),
                 "accuracy": (perfect * chain.accuracy.predict(losses)).tolist(),
                 "low": (perfect * band[0]).tolist(), "high": (perfect * band[1]).tolist()},
        "held_out": [
            {"task": answer.task.name, "parameters": answer.test.size.tolist(),
             "tokens": answer.test.tokens.tolist(), "loss": answer.test.loss.tolist(),
             "loss_forecast": answer.test.loss_forecast.tolist(),
             "accuracy": (perfect * answer.test.accuracy).tolist(),
             "accuracy_given_loss": (perfect * answer.test.accuracy_given_loss).tolist()}
            | {method: (perfect * values).tolist()
               for method, values in answer.test.by_method.items()}
            for answer in answers if answer.test is not None
        ],
        "influence": [
            {"task": answer.task.name, "left_out": what, "value": value, "shift": perfect * shift}
            for answer in answers
            for what, found in (("parameters", answer.by_size), ("tokens", answer.by_tokens))
            for value, shift in found.items()
        ],
        "laws": {"step 1": CHINCHILLA.text, "step 2": law.text},
    }  # fmt: skip
