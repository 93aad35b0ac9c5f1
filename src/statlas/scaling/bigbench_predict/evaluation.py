"""How well each predictor does under each protocol, and missing cells with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from statlas.core.numerics.conformal import conformal_quantile
from statlas.core.progress import tell
from statlas.scaling.bigbench_predict.predictors import BASELINE, PREDICTORS, PredictorName
from statlas.scaling.bigbench_predict.records import FloatArray, IntArray, Records
from statlas.scaling.bigbench_predict.splits import (
    FAMILY_GROUP,
    FAMILY_TASK,
    FAMILY_TASK_SHOTS,
    MODEL_TASK,
    RANDOM,
    Protocol,
    groups_of,
    make_folds,
)


@dataclass(frozen=True)
class HeldOut:
    """Predictions of records by predictors that did not see their fold.

    Attributes
    ----------
    protocol
        What was held out together.
    fold
        Fold of each record, shape (n_records,).
    groups
        Held-out group of each record.
    predicted
        By predictor, shape (n_records,) each.
    """

    protocol: Protocol
    fold: IntArray
    groups: IntArray
    predicted: Mapping[PredictorName, FloatArray]


def hold_out(
    records: Records,
    protocols: Sequence[Protocol],
    names: Sequence[PredictorName],
    folds: int,
    rng: np.random.Generator,
) -> list[HeldOut]:
    """Predict every record from the other folds, under each protocol.

    Parameters
    ----------
    records
        Records with scores.
    protocols
        Ways of splitting.
    names
        Predictors.
    folds
        Number of folds, each held out once.
    rng
        Source of folds and of what the predictors draw.
    """
    answers = []
    steps = [(protocol, name) for protocol in protocols for name in names]
    for place, protocol in enumerate(protocols):
        groups = groups_of(records, protocol)
        fold = make_folds(groups, folds, rng)
        predicted: dict[PredictorName, FloatArray] = {}
        for number, name in enumerate(names):
            tell("predicting held-out scores", place * len(names) + number, len(steps))
            predicted[name] = np.empty(len(records))
            for one in range(int(fold.max()) + 1):
                out = fold == one
                predicted[name][out] = PREDICTORS[name](records.take(~out), records.take(out), rng)
        answers.append(HeldOut(protocol, fold, groups, predicted))
    return answers


# --- scores of predictions -----------------------------------------------------------------------


def r_squared(score: FloatArray, predicted: FloatArray) -> float:
    """1 - squared error / squared deviation from the mean of these scores; NaN if all are equal.

    Examples
    --------
    >>> r_squared(np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 1.0]))
    0.5
    """
    total = float(np.sum((score - score.mean()) ** 2))
    return 1.0 - float(np.sum((score - predicted) ** 2)) / total if total > 0 else np.nan


def rmse(score: FloatArray, predicted: FloatArray) -> float:
    """Root mean square error, in the unit of the scores."""
    return float(np.sqrt(np.mean((score - predicted) ** 2)))


def resampled_interval(values: FloatArray, level: float, shared: float) -> tuple[float, float]:
    """Interval on the mean over splits whose training parts overlap.

    The variance of the mean is (1 / J + test / train) times that between the J splits
    (Nadeau and Bengio 2003, Machine Learning 52:239, Equation 8), where 1 / J alone would treat
    the splits as independent.

    Parameters
    ----------
    values
        One number a split, shape (J,); NaN ones are left out.
    level
        Level of the interval.
    shared
        Records held out over records trained on.
    """
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return np.nan, np.nan
    error = float(known.std(ddof=1)) * np.sqrt(1 / len(known) + shared)
    half = float(stdtrit(len(known) - 1, (1 + level) / 2)) * error
    return float(known.mean()) - half, float(known.mean()) + half


def score_rows(records: Records, held_out: Sequence[HeldOut], level: float) -> list[dict[str, Any]]:
    """A row a protocol and predictor: R2, error and the gain over the baseline, with intervals."""
    rows = []
    for one in held_out:
        n_folds = int(one.fold.max()) + 1
        parts = [one.fold == number for number in range(n_folds)]
        baseline = one.predicted.get(BASELINE)
        for name, predicted in one.predicted.items():
            row: dict[str, Any] = {
                "protocol": one.protocol.name,
                "paper": one.protocol.paper,
                "held_out": one.protocol.says,
                "groups": int(one.groups.max()) + 1,
                "predictor": name,
            }
            measures = {"r2": r_squared, "rmse": rmse}
            for label, measure in measures.items():
                each = np.array([measure(records.score[part], predicted[part]) for part in parts])
                row[label] = float(np.nanmean(each)) if np.isfinite(each).any() else np.nan
                low, high = resampled_interval(each, level, 1 / max(n_folds - 1, 1))
                row |= {
                    f"{label}_low": low,
                    f"{label}_high": min(high, 1.0) if label == "r2" else high,
                }
            row["rmse_low"] = max(row["rmse_low"], 0.0)
            row["gain"] = np.nan
            if baseline is not None:
                squares = float(np.sum((records.score - baseline) ** 2))
                left = float(np.sum((records.score - predicted) ** 2))
                row["gain"] = 1 - left / squares if squares > 0 else np.nan
            rows.append(row)
    return rows


def best_predictor(records: Records, held_out: HeldOut) -> PredictorName:
    """The predictor with the smallest squared error over all folds of a protocol."""
    errors = {
        name: float(np.sum((records.score - predicted) ** 2))
        for name, predicted in held_out.predicted.items()
    }
    return min(errors, key=errors.__getitem__)


# --- missing cells -------------------------------------------------------------------------------


def situation(records: Records, cells: Records) -> list[Protocol]:
    """The protocol that holds out what is not known of each cell, by rising hardness.

    A cell is like a record under L1 where both its model was run on the task at other shots and
    its family at these shots; under L2.1 where the model never was; under L2.2 where the family
    never was at these shots; under L3 where its family never was on the task; under L4 where it
    never was on the group. Where a cell misses what L2.1 and L2.2 hold out, L3 stands in.
    """
    pair = _occurs(records, cells, ("model", "task"))
    at_shots = _occurs(records, cells, ("family", "task", "shots"))
    on_task = _occurs(records, cells, ("family", "task"))
    on_group = _occurs(records, cells, ("family", "group"))
    grouped = records.count("group") < records.count("task")
    answer = []
    for row in range(len(cells)):
        if not on_task[row]:
            answer.append(FAMILY_TASK if on_group[row] or not grouped else FAMILY_GROUP)
        elif pair[row] and at_shots[row]:
            answer.append(RANDOM)
        elif pair[row]:
            answer.append(FAMILY_TASK_SHOTS)
        else:
            answer.append(MODEL_TASK if at_shots[row] else FAMILY_TASK)
    return answer


def _occurs(records: Records, cells: Records, names: tuple[str, ...]) -> NDArray[np.bool_]:
    keys = []
    for table in (records, cells):
        key = np.zeros(len(table), dtype=np.int64)
        for name in names:
            key = key * records.count(name) + getattr(table, name)
        keys.append(key)
    return np.isin(keys[1], keys[0])


def predict_cells(
    records: Records,
    cells: Records,
    held_out: Sequence[HeldOut],
    level: float,
    limits: tuple[float, float] | None,
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    """Predicted scores of cells with split-conformal intervals from their own protocol.

    The half-width is the conformal quantile of the sizes of held-out residuals under the protocol
    that matches the cell (`situation`), or the next harder one that was measured; the predictor is
    the best of that protocol.

    Parameters
    ----------
    records, cells
        Records with scores, and cells to predict.
    held_out
        Held-out predictions of the records.
    level
        Level of the intervals.
    limits
        Lowest and highest possible score, where known.
    rng
        Source of what the predictors draw.
    """
    measured = {one.protocol.name: one for one in held_out}
    by_cell = [_measured(protocol, measured) for protocol in situation(records, cells)]
    fits: dict[PredictorName, FloatArray] = {}
    low, high = np.empty(len(cells)), np.empty(len(cells))
    centre, chosen = np.empty(len(cells)), [""] * len(cells)
    for one in held_out:
        at = np.array([found is one for found in by_cell], dtype=bool)
        if not at.any():
            continue
        name = best_predictor(records, one)
        if name not in fits:
            fits[name] = PREDICTORS[name](records, cells, rng)
        half = conformal_quantile(np.abs(records.score - one.predicted[name]), level)
        centre[at] = fits[name][at]
        low[at], high[at] = centre[at] - half, centre[at] + half
        for row in np.flatnonzero(at):
            chosen[row] = name
    if limits is not None:
        centre, low, high = (np.clip(values, *limits) for values in (centre, low, high))
    return list(_cell_rows(cells, by_cell, chosen, centre, low, high))


def _measured(protocol: Protocol, measured: Mapping[str, HeldOut]) -> HeldOut:
    """The protocol itself or, where it was not measured, the next harder one, else the hardest."""
    order = (RANDOM, MODEL_TASK, FAMILY_TASK_SHOTS, FAMILY_TASK, FAMILY_GROUP)
    for candidate in order[order.index(protocol) :]:
        if candidate.name in measured:
            return measured[candidate.name]
    return list(measured.values())[-1]


def _cell_rows(
    cells: Records,
    by_cell: Sequence[HeldOut],
    chosen: Sequence[str],
    centre: FloatArray,
    low: FloatArray,
    high: FloatArray,
) -> Iterator[dict[str, Any]]:
    names = cells.labels
    for row in range(len(cells)):
        yield {
            "family": names["family"][cells.family[row]],
            "model": names["model"][cells.model[row]],
            "task": names["task"][cells.task[row]],
            "shots": float(names["shots"][cells.shots[row]]),
            "predicted": float(centre[row]),
            "low": float(low[row]),
            "high": float(high[row]),
            "like": by_cell[row].protocol.name,
            "predictor": chosen[row],
        }
