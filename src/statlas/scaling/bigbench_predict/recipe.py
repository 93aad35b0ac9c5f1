"""The recipe: how predictable scores are, missing ones predicted, and a few tasks to keep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from statlas.core import (
    Category,
    Example,
    InputError,
    Notice,
    Number,
    Option,
    OptionError,
    Result,
    Roles,
    SetAside,
    Status,
    Table,
    Value,
    Wide,
    recipe,
)
from statlas.core.runs import COMPUTE, NAMED_SIZES, NAMED_TOKENS, PARAMETERS, TOKENS
from statlas.scaling.bigbench_predict.evaluation import (
    hold_out,
    predict_cells,
    score_rows,
)
from statlas.scaling.bigbench_predict.predictors import PredictorName
from statlas.scaling.bigbench_predict.records import (
    FloatArray,
    Records,
    missing_cells,
    read_records,
)
from statlas.scaling.bigbench_predict.smallbench import (
    Recovery,
    Search,
    make_grid,
    nested_search,
    paired_gains,
    sizes_to_try,
)
from statlas.scaling.bigbench_predict.splits import (
    FAMILY,
    FAMILY_GROUP,
    RANDOM,
    TASK,
    usable_protocols,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Shown = Literal["accuracy", "predictions", "tasks"]

_QUICK: tuple[PredictorName, ...] = (
    "task mean", "model + task", "nearest models", "nearest tasks", "factors", "boosting",
)  # fmt: skip
# Families beyond this are held out in sets while tasks are searched.
_MOST_FAMILIES = 8
_DEFAULT_KEEP = 10
_CHANCE = "random tasks"


@dataclass(frozen=True, kw_only=True)
class PredictableScores(Result):
    """How far scores can be predicted; `table` has what the option `table` asks for."""

    @property
    def accuracy(self) -> pd.DataFrame:
        """One row a protocol and predictor: R2 and error with intervals."""
        return pd.DataFrame(self.details["accuracy"])

    @property
    def predictions(self) -> pd.DataFrame:
        """One row a missing combination: predicted score with its interval."""
        return pd.DataFrame(self.details["predictions"])

    @property
    def tasks(self) -> pd.DataFrame:
        """One row a way of searching and size: the tasks kept and how well they recover."""
        return pd.DataFrame(self.details["tasks"])

    def draw(self, figure: Figure) -> None:
        """R2 by protocol and predictor; R2 on a new family by the number of tasks kept."""
        tasks = self.tasks
        if tasks.empty:
            self._draw_accuracy(figure.subplots())
            figure.set_size_inches(9.5, 4.6)
            return
        left, right = figure.subplots(1, 2, width_ratios=[1.45, 1])
        self._draw_accuracy(left)
        self._draw_tasks(right, tasks)
        figure.set_size_inches(13.5, 5.2)

    def _draw_accuracy(self, axis: Axes) -> None:
        from statlas.core.figures import MARKERS, PALETTE

        rows = self.accuracy
        protocols = list(dict.fromkeys(rows["protocol"]))
        predictors = list(dict.fromkeys(rows["predictor"]))
        width = 0.75 / max(len(predictors), 1)
        for number, name in enumerate(predictors):
            part = rows[rows["predictor"] == name].set_index("protocol").loc[protocols]
            place = np.arange(len(protocols)) + width * (number - (len(predictors) - 1) / 2)
            low, high = (part[end].fillna(part["r2"]) for end in ("r2_low", "r2_high"))
            axis.errorbar(
                place,
                part["r2"],
                [(part["r2"] - low).clip(lower=0), (high - part["r2"]).clip(lower=0)],
                fmt=MARKERS[number % len(MARKERS)],
                color=PALETTE[number % len(PALETTE)],
                elinewidth=1,
                label=name,
            )
        labels = [
            f"{name}\n({paper})" if paper else name
            for name, paper in rows.drop_duplicates("protocol")[["protocol", "paper"]].to_numpy()
        ]
        axis.set_xticks(
            range(len(protocols)), [label.replace(" and ", "\nand ") for label in labels]
        )
        axis.set_ylim(min(0.0, max(-0.5, float(rows["r2"].min()) - 0.05)), 1.02)
        axis.set_xlabel("what is held out together (label in the paper)")
        axis.set_ylabel(f"R2 of held-out scores, {100 * self.options['level']:g} % interval")
        axis.tick_params(axis="x", labelsize=8)
        axis.legend(fontsize=9, ncols=2, loc="lower left")

    def _draw_tasks(self, axis: Axes, tasks: pd.DataFrame) -> None:
        from statlas.core.figures import MARKERS, PALETTE

        chance = tasks[tasks["search"] == _CHANCE]
        axis.fill_between(
            chance["kept"], chance["r2_low"], chance["r2_high"], color="C7", alpha=0.3, linewidth=0,
            label="random tasks: mean and middle 90 %",
        )  # fmt: skip
        axis.plot(chance["kept"], chance["r2"], color="C7")
        searches = [name for name in dict.fromkeys(tasks["search"]) if name != _CHANCE]
        for number, name in enumerate(searches):
            part = tasks[tasks["search"] == name]
            place = part["kept"] * 1.04 ** (number - (len(searches) - 1) / 2)
            spread = [part["r2"] - part["r2_low"], part["r2_high"] - part["r2"]]
            axis.errorbar(
                place, part["r2"], [one.fillna(0).clip(lower=0) for one in spread],
                marker=MARKERS[number], color=PALETTE[number], linewidth=1.3, elinewidth=1,
                label=name,
            )  # fmt: skip
        axis.set_xscale("log")
        axis.set_xticks(chance["kept"], [str(kept) for kept in chance["kept"]])
        axis.minorticks_off()
        axis.set_ylim(max(-0.5, float(tasks["r2_low"].min()) - 0.03), 1.02)
        axis.set_xlabel("tasks kept")
        axis.set_ylabel(
            f"R2 of the other tasks of a new family, {100 * self.options['level']:g} % interval"
        )
        axis.legend(fontsize=9, loc="lower right")


@recipe(
    "bigbench-predict",
    example=Example(
        file="score_records.csv",
        about="Accuracy of 32 classifiers of eight families on 36 tasks, shown 2 to 16 examples a "
        "class; some combinations were not run.",
        origin="Recorded with scikit-learn (BSD-3) on data it ships; see examples.",
        options={"parameters": "size", "folds": 3},
    ),
)
def predict_scores(
    scores: Annotated[
        Table,
        Roles(
            task=Category(
                help="what was asked",
                aliases=("subtask", "benchmark", "dataset", "task_name", "eval"),
                min_levels=3,
            ),
            score=Number(
                gaps=True,
                help="score of the model on the task; absent ones are predicted",
                aliases=("normalized_score", "accuracy", "acc", "value", "performance", "metric"),
            ),
            model=Category(
                optional=True,
                help="name of the model; without it a model is a family at one size",
                aliases=("model_name", "name"),
            ),
            family=Category(
                optional=True,
                help="models of one kind in several sizes; without it every model stands alone",
                aliases=("model_family", "series", "base"),
            ),
            parameters=replace(
                PARAMETERS,
                optional=True,
                gaps=True,
                help="weights of the model, or another measure of its size",
                aliases=(*PARAMETERS.aliases, "total_params", *NAMED_SIZES),
            ),
            tokens=replace(TOKENS, gaps=True, aliases=(*TOKENS.aliases, *NAMED_TOKENS)),
            compute=replace(COMPUTE, gaps=True, aliases=(*COMPUTE.aliases, "FLOPs (1E21)")),
            shots=Number(
                ge=0,
                optional=True,
                help="examples shown before the question",
                aliases=("n_shot", "num_shots", "number_of_shots", "n_shots", "k_shot"),
            ),
            group=Category(
                optional=True,
                help="task that this one is a part of; parts are held out together under L4",
                aliases=("task_group", "task_family", "suite", "parent_task"),
            ),
            wide=Wide(rows="model", columns="task", values="score"),
            min_rows=20,
        ),
    ],
    *,
    keep: Annotated[
        int | None,
        Option(ge=1, help="tasks to keep; none: a quarter of them, at most 10"),
    ] = None,
    search: Annotated[Search, Option(help="how the tasks to keep are searched")] = "greedy",
    predictors: Annotated[
        tuple[PredictorName, ...],
        Option(help="what predicts scores; forest and network take ten times as long"),
    ] = _QUICK,
    folds: Annotated[int, Option(ge=2, le=50, help="parts, each held out once")] = 5,
    subsets: Annotated[
        int, Option(ge=10, le=10_000, help="random sets of tasks to try and to compare with")
    ] = 100,
    table: Annotated[
        Shown, Option(help="what the table shows: accuracy, predicted cells, or tasks to keep")
    ] = "accuracy",
    level: Annotated[float, Option(gt=0, lt=1, help="level of the intervals")] = 0.95,
    rng: np.random.Generator,
) -> PredictableScores:
    """Say how far scores that were never measured can be predicted, and which tasks to keep.

    Scores that are absent (rows with an empty score, or combinations of a model, a task and shots
    that have no row) are predicted with intervals.

    Parameters
    ----------
    scores
        One row a score (long), or one row a model and a column a task (wide).

    Returns
    -------
    PredictableScores
        `accuracy` has a row a protocol and predictor, `predictions` a row a missing combination,
        `tasks` a row a way of searching and size.

    Raises
    ------
    InputError
        For fewer than 20 scores, or a model in two families.
    OptionError
        If more tasks are to be kept than leave one to recover.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> skill, ease = rng.normal(size=12), rng.normal(size=9)
    >>> rows = {f"task {t}": 0.5 + 0.1 * (skill + ease[t]) + 0.01 * rng.normal(size=12)
    ...         for t in range(9)}
    >>> rows |= {"model": [f"m{i}" for i in range(12)], "family": list("aaabbbcccddd")}
    >>> result = predict_scores(rows, predictors=("model + task", "factors"), rng=0)
    >>> bool(result.value("R2, single record").estimate > 0.9)
    True
    """
    everything, repeats = read_records(scores)
    records = everything.take(np.isfinite(everything.score))
    cells = missing_cells(everything)
    keep = _check_keep(keep, everything.count("task"))
    names = tuple(dict.fromkeys(predictors))
    if not names:
        raise OptionError("option 'predictors' needs at least one predictor; got none")
    protocols = usable_protocols(records)
    held_out = hold_out(records, protocols, names, folds, rng)
    accuracy = score_rows(records, held_out, level)
    limits = (0.0, 1.0) if _between_0_and_1(records.score) else None
    predicted = predict_cells(records, cells, held_out, level, limits, rng)
    recovery = _search(records, keep, subsets, rng)
    kept = [] if recovery is None else _task_rows(records, recovery, level)
    shown = {"accuracy": accuracy, "predictions": predicted, "tasks": kept}[table]
    if not shown:
        raise InputError(
            "no combination of model, task and shots is missing" if table == "predictions" else
            "searching tasks to keep needs three families of models",
            remedy="leave out the option 'table'",
        )  # fmt: skip
    status, advice = _status(accuracy)
    absent = int(np.sum(~np.isfinite(scores.number("score"))))
    return PredictableScores(
        headline=_headline(accuracy, predicted, records, recovery, search, keep, level),
        table=pd.DataFrame(shown),
        values=tuple(_values(accuracy, predicted, recovery, search, keep, level)),
        details={"accuracy": accuracy, "predictions": predicted, "tasks": kept},
        status=status,
        advice=advice,
        warnings=(
            *_gap_notices(scores),
            *_notices(records, accuracy, predicted, repeats, recovery),
        ),
        set_aside=(SetAside("missing score, to be predicted", absent),) if absent else (),
    )


# --- steps -----------------------------------------------------------------------------------


def _check_keep(keep: int | None, n_tasks: int) -> int:
    if keep is None:
        return max(1, min(_DEFAULT_KEEP, n_tasks // 4))
    if keep >= n_tasks:
        raise OptionError(f"option 'keep' must be below the number of tasks, {n_tasks}; got {keep}")
    return keep


def _between_0_and_1(score: FloatArray) -> bool:
    return bool(score.min() >= 0 and score.max() <= 1)


def _search(records: Records, keep: int, subsets: int, rng: np.random.Generator) -> Recovery | None:
    """The nested search, where there are three families and something to leave out."""
    if len(np.unique(records.family)) < 3:
        return None
    grid = make_grid(records, _MOST_FAMILIES, rng)
    return nested_search(grid, sizes_to_try(keep, grid.n_tasks), subsets, rng)


def _mean_interval(values: FloatArray, level: float) -> tuple[float, float, float]:
    """Mean and Student's interval over families."""
    known = values[np.isfinite(values)]
    if len(known) < 2:
        return (float(known.mean()) if len(known) else np.nan), np.nan, np.nan
    half = float(stdtrit(len(known) - 1, (1 + level) / 2) * known.std(ddof=1) / len(known) ** 0.5)
    mean = float(known.mean())
    return mean, mean - half, mean + half


def _task_rows(records: Records, recovery: Recovery, level: float) -> list[dict[str, Any]]:
    rows = []
    for (name, size), quality in recovery.quality.items():
        r2, low, high = _mean_interval(quality[:, 0], level)
        gain, gain_low, gain_high = _mean_interval(paired_gains(recovery, name, size), level)
        tasks = [records.labels["task"][task] for task in recovery.final[name, size]]
        rows.append(
            {
                "search": str(name), "kept": size, "r2": r2, "r2_low": low,
                "r2_high": min(high, 1.0), "rmse": float(np.nanmean(quality[:, 1])),
                "gain_over_random": gain, "gain_low": gain_low, "gain_high": gain_high,
                "tasks": ", ".join(tasks),
            }
        )  # fmt: skip
    for size, drawn in recovery.chance.items():
        low, high = np.nanquantile(np.nanmean(drawn[:, :, 0], axis=0), [0.05, 0.95])
        rows.append(
            {
                "search": _CHANCE, "kept": size, "r2": float(np.nanmean(drawn[:, :, 0])),
                "r2_low": float(low), "r2_high": float(high),
                "rmse": float(np.nanmean(drawn[:, :, 1])), "gain_over_random": np.nan,
                "gain_low": np.nan, "gain_high": np.nan, "tasks": "",
            }
        )  # fmt: skip
    return rows


# --- in words --------------------------------------------------------------------------------


def _best(accuracy: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The row of the most accurate predictor of each protocol."""
    best: dict[str, dict[str, Any]] = {}
    for row in accuracy:
        name = row["protocol"]
        if name not in best or row["rmse"] < best[name]["rmse"]:
            best[name] = row
    return best


def _percent(level: float) -> str:
    return f"{100 * level:g} % interval"


def _headline(
    accuracy: Sequence[dict[str, Any]],
    predicted: Sequence[dict[str, Any]],
    records: Records,
    recovery: Recovery | None,
    search: Search,
    keep: int,
    level: float,
) -> str:
    best = _best(accuracy)
    first = best[RANDOM.name]
    text = (
        f"A score left out at random is predicted with R2 {first['r2']:.2f} ({_percent(level)} "
        f"{first['r2_low']:.2f} to {first['r2_high']:.2f}; error {first['rmse']:.3g}, "
        f"{first['predictor']})"
    )
    within = [
        row for name, row in best.items() if name not in (RANDOM.name, FAMILY.name, TASK.name)
    ]
    if within:
        worst = min(within, key=lambda row: float(row["r2"]))
        text += (
            f"; for {worst['held_out']} R2 is {worst['r2']:.2f} ({worst['r2_low']:.2f} to "
            f"{worst['r2_high']:.2f})"
        )
    if predicted:
        half = np.median([0.5 * (row["high"] - row["low"]) for row in predicted])
        text += f"; {len(predicted)} missing scores are predicted, typically to within {half:.2g}"
    if recovery is not None:
        r2, _, _ = _mean_interval(recovery.quality[search, keep][:, 0], level)
        gain, low, high = _mean_interval(paired_gains(recovery, search, keep), level)
        text += (
            f"; {keep} of {records.count('task')} tasks recover the others of a new family with R2 "
            f"{r2:.2f}, {gain:+.3f} ({low:+.3f} to {high:+.3f}) against as many random tasks"
        )
    return text + "."


def _values(
    accuracy: Sequence[dict[str, Any]],
    predicted: Sequence[dict[str, Any]],
    recovery: Recovery | None,
    search: Search,
    keep: int,
    level: float,
) -> Iterator[Value]:
    how = "Student over folds, widened for overlapping training parts"
    for name, row in _best(accuracy).items():
        for label, title, unit in (("r2", "R2", ""), ("rmse", "error", "score")):
            yield Value(
                f"{title}, {name}", row[label], row[f"{label}_low"], row[f"{label}_high"], level,
                unit=unit, method=f"{how}; {row['predictor']}",
                why_no_interval="too few folds have different scores",
            )  # fmt: skip
    yield Value(
        "missing scores predicted", len(predicted), unit="scores", why_no_interval="a count"
    )
    if recovery is None:
        return
    r2, low, high = _mean_interval(recovery.quality[search, keep][:, 0], level)
    how = "Student over families that took no part in the search"
    yield Value("R2 of the tasks not kept", r2, low, high, level, method=how)
    gain, low, high = _mean_interval(paired_gains(recovery, search, keep), level)
    yield Value("gain in R2 over random tasks", gain, low, high, level, method=how)
    yield Value("tasks kept", keep, unit="tasks", why_no_interval="chosen")


def _status(accuracy: Sequence[dict[str, Any]]) -> tuple[Status, str]:
    first = _best(accuracy)[RANDOM.name]
    if not first["r2"] > 0:
        return Status.ASSUMPTION_DOUBTFUL, (
            "no predictor does better than the mean of all scores, so records say nothing of "
            "others; see whether scores of different units share the column"
        )
    if np.isfinite(first["r2_low"]) and first["r2_low"] < 0:
        return Status.ASSUMPTION_DOUBTFUL, (
            "the interval of R2 reaches below 0: too few records to tell; give more of them"
        )
    return Status.OK, ""


def _gap_notices(scores: Table) -> Iterator[Notice]:
    for role in ("parameters", "tokens", "compute"):
        if scores.has(role):
            absent = int(np.sum(np.isnan(scores.number(role))))
            if absent:
                yield Notice(
                    "filled",
                    f"{absent} rows have no {role}; the mean of the logarithm over the family's "
                    "other rows, or over all rows, stands in",
                )


def _notices(
    records: Records,
    accuracy: Sequence[dict[str, Any]],
    predicted: Sequence[dict[str, Any]],
    repeats: int,
    recovery: Recovery | None,
) -> Iterator[Notice]:
    if repeats:
        yield Notice(
            "repeats", f"{repeats} rows repeat a model, task and shots; their scores were averaged"
        )
    best = _best(accuracy)
    hardest = [best[name] for name in (FAMILY.name, TASK.name) if name in best]
    for row in hardest:
        if row["r2"] < 0.5 * best[RANDOM.name]["r2"]:
            yield Notice(
                "beyond-the-records",
                f"for {row['held_out']} R2 falls to {row['r2']:.2f}",
                "run at least a few of the kept tasks, or a few known models, before relying on it",
            )
    if best[RANDOM.name]["gain"] < 0.05:
        yield Notice(
            "no-better-than-additive",
            "the sum of a model's and a task's mean predicts about as well as anything else",
            "R2 is high because tasks differ, not because models are told apart on them",
        )
    ranges = _task_ranges(records)
    if ranges.max() > 20 * np.median(ranges) and not _between_0_and_1(records.score):
        yield Notice(
            "different-units",
            f"the scores of one task span {ranges.max():.3g}, those of a usual one "
            f"{np.median(ranges):.3g}",
            "bring scores to one scale, such as 0 to 1; R2 is about the largest numbers now",
        )
    beyond = sum(row["like"] == FAMILY_GROUP.name for row in predicted)
    if beyond:
        yield Notice(
            "far-cells", f"{beyond} missing scores are of families never run on the task's group"
        )
    if recovery is None:
        yield Notice(
            "no-search",
            "no tasks to keep were searched: that needs records of three families",
            "name the column of families, or of models, with family=COLUMN",
        )


def _task_ranges(records: Records) -> FloatArray:
    low = np.full(records.count("task"), np.inf)
    high = np.full(records.count("task"), -np.inf)
    np.minimum.at(low, records.task, records.score)
    np.maximum.at(high, records.task, records.score)
    return np.asarray(np.where(high >= low, high - low, 0.0))
