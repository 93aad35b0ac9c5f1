"""The recipe: groups of curves, and how each of them continues."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd

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
    Status,
    Table,
    Value,
    recipe,
)
from statlas.core.figures import color_of, plain_label
from statlas.core.progress import tell
from statlas.core.rng import Rng, sklearn_seed
from statlas.statistics.magmaclust.estimator import MagmaClust
from statlas.statistics.magmaclust.model import FloatArray, IntArray
from statlas.statistics.magmaclust.prediction import NormalMixture, single_task

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_DRAWN = 150  # curves in the figure
_SHOWN = 3  # continuations in the figure
_PLACES = 60  # of a drawn curve
_RESAMPLES = 2_000
_FEW = 10  # tasks, below which groups are guesswork


@dataclass(frozen=True)
class CurveGroups(Result):
    """Cluster and continuation of every task."""

    def draw(self, figure: Figure) -> None:
        """Curves with their clusters' means, and some continuations."""
        left, right = figure.subplots(1, 2)
        self._draw_clusters(left)
        self._draw_continuations(right)
        for axes in (left, right):
            axes.set_xlabel(self.details["time_label"])
            axes.set_ylabel(self.details["value_label"])
        figure.set_size_inches(11.0, 4.4)

    def _draw_clusters(self, axes: Any) -> None:
        means, names = self.details["means"], self.details["cluster_names"]
        for curve in self.details["curves"]:
            axes.plot(curve["time"], curve["value"], color=color_of(curve["cluster"]),
                      linewidth=0.5, alpha=0.35)  # fmt: skip
        for k, name in enumerate(names):
            colour = color_of(k)
            axes.fill_between(means["time"], means["low"][k], means["high"][k], color=colour,
                              alpha=0.35, linewidth=0)  # fmt: skip
            axes.plot(means["time"], means["mean"][k], color=colour, linewidth=2.2,
                      label=plain_label(name))  # fmt: skip
        axes.set_title("curves, and mean process of each cluster")
        axes.legend(loc="best", fontsize=8)

    def _draw_continuations(self, axes: Any) -> None:
        level = self.options["level"]
        for number, one in enumerate(self.details["continuations"]):
            colour = color_of(number)
            axes.fill_between(one["time"], one["low"], one["high"], color=colour, alpha=0.2,
                              linewidth=0)  # fmt: skip
            axes.plot(one["time"], one["mean"], color=colour, label=plain_label(one["task"]))
            axes.plot(one["seen_time"], one["seen_value"], "o", color=colour)
            axes.plot(one["hidden_time"], one["hidden_value"], "o", color=colour, fillstyle="none")
        hidden = any(one["hidden_time"] for one in self.details["continuations"])
        what = "held-out curves, open points hidden" if hidden else "continuations"
        axes.set_title(f"{what}; {100 * level:g} % intervals")
        axes.legend(loc="best", fontsize=8)


@recipe(
    "magmaclust",
    example=Example(
        file="child_weights.csv",
        about="Weights of 342 children in Singapore at up to eleven ages from birth to six years.",
        origin="Data set `weight` of the R package MagmaClustR (MIT licence), a part of the GUSTO "
        "cohort; one of the tables of the paper.",
        options={
            "task": "child", "time": "age", "value": "weight", "group": "sex", "clusters": 3,
            "time_unit": "months", "value_unit": "kg",
        },
    ),
)  # fmt: skip
def cluster_curves(
    table: Annotated[
        Table,
        Roles(
            task=Category(
                min_levels=2,
                help="individual that a row belongs to",
                aliases=("individual", "id", "subject", "patient", "child", "curve", "series",
                         "unit"),
            ),
            time=Number(
                varies=True,
                help="when it was observed; times may differ between individuals",
                aliases=("t", "age", "input", "day", "days", "week", "month", "year", "x"),
            ),
            value=Number(
                varies=True,
                help="what was observed",
                aliases=("y", "output", "measurement", "score", "outcome", "response"),
            ),
            group=Category(
                optional=True,
                help="known group of the individual",
                aliases=("cluster", "class", "label"),
            ),
            min_rows=8,
        ),
    ],
    *,
    clusters: Annotated[
        int, Option(ge=0, le=20, help="number of clusters; 0 chooses by the variational BIC")
    ] = 0,
    max_clusters: Annotated[
        int, Option(ge=1, le=20, help="largest number tried where it is chosen")
    ] = 6,
    known: Annotated[
        Literal["compare", "use"],
        Option(help="groups in the table: compare the clusters with them, or use them as clusters"),
    ] = "compare",
    shared_clusters: Annotated[
        bool, Option(help="all mean processes have the same smoothness and size")
    ] = True,
    shared_tasks: Annotated[
        bool, Option(help="all individuals have the same smoothness, size and noise")
    ] = True,
    at: Annotated[
        tuple[float, ...] | None,
        Option(help="times at which everybody is predicted; none is the latest in the table"),
    ] = None,
    held_out: Annotated[
        float, Option(ge=0, le=0.5, help="share of individuals on which continuations are checked")
    ] = 0.2,
    seen: Annotated[
        float, Option(gt=0, lt=1, help="part of a held-out individual's rows that is shown")
    ] = 0.5,
    max_times: Annotated[
        int, Option(ge=10, le=2_000, help="different times above which they are rounded to a grid")
    ] = 200,
    level: Annotated[float, Option(gt=0, lt=1, help="level of all intervals")] = 0.95,
    time_unit: Annotated[str, Option(help="unit of the times, for labels")] = "",
    value_unit: Annotated[str, Option(help="unit of the values, for labels")] = "",
    rng: Rng = None,
) -> CurveGroups:  # fmt: skip
    """Group individuals' curves and say how each continues.

    Parameters
    ----------
    table
        One row an observation: individual, time, value.

    Returns
    -------
    CurveGroups
        `table` has a row an individual and time asked for.

    Raises
    ------
    InputError, OptionError
        If there are fewer individuals than clusters, groups differ within an individual, or groups
        are to be used and there are none.

    Examples
    --------
    >>> result = cluster_curves.run_example(held_out=0.0)
    >>> result.value("clusters").estimate
    3.0
    """
    assert isinstance(rng, np.random.Generator)
    curves = _Curves.read(table, max_times)
    if clusters > curves.n_tasks:
        raise OptionError(
            f"option 'clusters' is {clusters}, but there are only {curves.n_tasks} individuals"
        )
    labels = _labels(table, curves, known)
    model = MagmaClust(
        clusters or None, max_clusters=max_clusters, shared_clusters=shared_clusters,
        shared_tasks=shared_tasks, random_state=sklearn_seed(rng),
    )  # fmt: skip
    tell("fitting")
    model.fit(curves.X, curves.value, labels if known == "use" else None)
    order = np.argsort(-model.weights_, kind="stable")
    if known == "use":
        order = np.arange(model.n_clusters_)
    units = _Units(time_unit, value_unit, *map(str, (table.columns["time"],
                                                     table.columns["value"])))  # fmt: skip
    wanted = tuple(at) if at else (float(curves.time.max()),)
    found = _table(model, curves, wanted, order, level)
    names = _cluster_names(table, model, order, known)
    tell("checking on held-out individuals")
    check = _check(model, curves, labels if known == "use" else None, held_out, seen, level, rng)
    details = {
        **_drawn(model, curves, order, names, level),
        "continuations": check.shown if check else _shown(model, curves, level),
        "time_label": units.label("time"), "value_label": units.label("value"),
        "bound_path": model.bound_path_, "criterion": {str(k): v for k, v in model.bic_.items()},
    }  # fmt: skip
    status, advice = _status(model, curves, check, level)
    return CurveGroups(
        headline=_headline(model, curves, order, check, wanted, units, level),
        table=found,
        values=tuple(_values(model, order, check, units, labels, level)),
        details=details,
        status=status,
        advice=advice,
        warnings=tuple(_notices(model, curves, clusters, max_clusters, known, wanted)),
    )


@dataclass(frozen=True)
class _Units:
    """Units and column names, for labels."""

    time: str
    value: str
    time_name: str
    value_name: str

    def label(self, which: str) -> str:
        """Axis label of the times or the values."""
        name, unit = (getattr(self, f"{which}_name"), getattr(self, which))
        return plain_label(f"{name} ({unit})" if unit else name)

    @property
    def space(self) -> str:
        """The values' unit with a space before it."""
        return f" {self.value}" if self.value else ""


@dataclass(frozen=True)
class _Curves:
    """The table as numbers: task of each row, time (rounded where there are too many), value."""

    names: list[str]
    code: IntArray
    time: FloatArray
    value: FloatArray
    rounded: int

    @classmethod
    def read(cls, table: Table, max_times: int) -> _Curves:
        """Round times to a grid where there are more than `max_times` different ones."""
        task, time = table.factor("task"), table.number("time")
        n_times, rounded = len(np.unique(time)), 0
        if n_times > max_times:
            low, step = time.min(), np.ptp(time) / (max_times - 1)
            time, rounded = low + step * np.round((time - low) / step), n_times
        return cls(task.levels, task.codes, time, table.number("value"), rounded)

    @property
    def n_tasks(self) -> int:
        return len(self.names)

    @property
    def X(self) -> FloatArray:  # noqa: N802 - as in scikit-learn
        """Task and time."""
        return np.column_stack([self.code, self.time])

    def rows(self, task: int) -> IntArray:
        """Rows of one task by time."""
        own = np.flatnonzero(self.code == task)
        return own[np.argsort(self.time[own], kind="stable")]


def _labels(table: Table, curves: _Curves, known: str) -> IntArray | None:
    """Known group of each row."""
    if not table.has("group"):
        if known == "use":
            raise OptionError("option 'known' is 'use', but the table has no column for 'group'")
        return None
    codes = table.factor("group").codes
    first = np.full(curves.n_tasks, -1)
    first[curves.code[::-1]] = codes[::-1]
    differs = np.unique(curves.code[first[curves.code] != codes])
    if len(differs):
        raise InputError(
            f"{len(differs)} individuals have rows in more than one group (first: "
            f"{curves.names[differs[0]]!r})",
            column=str(table.columns["group"]),
            remedy="give each individual one group, or leave the column out",
        )
    return np.asarray(codes)


def _table(
    model: MagmaClust, curves: _Curves, wanted: tuple[float, ...], order: IntArray, level: float
) -> pd.DataFrame:
    """A row a task and time wanted."""
    n, times = curves.n_tasks, np.array(wanted)
    x = np.column_stack([np.repeat(np.arange(n), len(times)), np.tile(times, n)])
    mixture = model.predict_mixture(x)
    low, high = mixture.interval(level)
    tau = model.responsibilities_[:, order]
    last = np.full(n, -np.inf)
    np.maximum.at(last, curves.code, curves.time)
    each = {
        "task": np.array(curves.names, dtype=object),
        "rows": np.bincount(curves.code, minlength=n),
        "last_time": last,
        "cluster": tau.argmax(axis=1) + 1,
        "probability": tau.max(axis=1),
    }
    return pd.DataFrame(
        {name: np.repeat(column, len(times)) for name, column in each.items()}
        | {"time": x[:, 1], "estimate": mixture.mean(), "low": low, "high": high}
    )


def _cluster_names(table: Table, model: MagmaClust, order: IntArray, known: str) -> list[str]:
    shares = 100 * model.weights_[order]
    if known == "use":
        words = table.factor("group").levels
    else:
        words = [f"cluster {k + 1}" for k in range(len(order))]
    return [f"{word} ({share:.0f} %)" for word, share in zip(words, shares, strict=True)]


def _drawn(
    model: MagmaClust, curves: _Curves, order: IntArray, names: list[str], level: float
) -> dict[str, Any]:
    """Mean processes with intervals, and curves of some tasks."""
    from scipy.special import ndtri

    times = np.linspace(curves.time.min(), curves.time.max(), _PLACES)
    mean, deviation = (part[order] for part in model.mean_processes(times[:, None]))
    reach = float(ndtri((1 + level) / 2)) * deviation
    place = np.argsort(order)
    drawn = []
    for task in range(0, curves.n_tasks, 1 + curves.n_tasks // _MOST_DRAWN):
        own = curves.rows(task)
        cluster = int(place[model.responsibilities_[task].argmax()])
        drawn.append({"time": curves.time[own].tolist(), "value": curves.value[own].tolist(),
                      "cluster": cluster})  # fmt: skip
    means = {"time": times.tolist(), "mean": mean.tolist(), "low": (mean - reach).tolist(),
             "high": (mean + reach).tolist()}  # fmt: skip
    return {"means": means, "cluster_names": names, "curves": drawn}


def _shown(model: MagmaClust, curves: _Curves, level: float) -> list[dict[str, Any]]:
    """Continuations of the tasks that end first."""
    last = np.array([curves.time[curves.rows(task)[-1]] for task in range(curves.n_tasks)])
    times = np.linspace(curves.time.min(), curves.time.max(), _PLACES)
    shown = []
    for task in np.argsort(last, kind="stable")[:_SHOWN]:
        own = curves.rows(int(task))
        x = np.column_stack([np.full(_PLACES, task), times])
        shown.append(_one_shown(curves, int(task), own, own[:0], times,
                                model.predict_mixture(x), level))  # fmt: skip
    return shown


def _one_shown(
    curves: _Curves, task: int, seen: IntArray, hidden: IntArray, times: FloatArray,
    mixture: NormalMixture, level: float,
) -> dict[str, Any]:  # fmt: skip
    low, high = mixture.interval(level)
    return {
        "task": curves.names[task], "time": times.tolist(), "mean": mixture.mean().tolist(),
        "low": low.tolist(), "high": high.tolist(),
        "seen_time": curves.time[seen].tolist(), "seen_value": curves.value[seen].tolist(),
        "hidden_time": curves.time[hidden].tolist(), "hidden_value": curves.value[hidden].tolist(),
    }  # fmt: skip


# --- check on held-out individuals ------------------------------------------------------------


@dataclass(frozen=True)
class _Checked:
    """Squared errors and coverage by held-out task: sums over its hidden rows."""

    hidden: FloatArray
    squared: FloatArray
    alone: FloatArray
    inside: FloatArray
    shown: list[dict[str, Any]]
    bounds: dict[str, tuple[float, float, float]]


def _check(
    model: MagmaClust, curves: _Curves, labels: IntArray | None, share: float, seen: float,
    level: float, rng: np.random.Generator,
) -> _Checked | None:  # fmt: skip
    """Fit without some tasks, show the first part of each, and compare with the rest.

    None where nothing is held out, or too few tasks have the three rows that it takes.
    """
    parts = {task: _cut(curves.rows(task), seen) for task in range(curves.n_tasks)}
    usable = [task for task, (first, rest) in parts.items() if len(first) > 1 and len(rest)]
    count = min(round(share * curves.n_tasks), len(usable))
    if count < 2 or curves.n_tasks - count < 3:
        return None
    chosen = rng.choice(usable, count, replace=False)
    kept = ~np.isin(curves.code, chosen)
    fresh = model.refit(curves.X[kept], curves.value[kept],
                        None if labels is None else labels[kept])  # fmt: skip
    times = np.linspace(curves.time.min(), curves.time.max(), _PLACES)
    sums: list[list[float]] = []
    shown: list[dict[str, Any]] = []
    for task in chosen:
        first, rest = parts[int(task)]
        past, y = curves.time[first][:, None], curves.value[first]
        new = np.concatenate([curves.time[rest], times])[:, None]
        mixture = fresh.continue_task(past, y, new)
        low, high = mixture.interval(level)
        truth, n = curves.value[rest], len(rest)
        spread = float(np.ptp(curves.time))
        alone = single_task(past / spread, y, curves.time[rest][:, None] / spread)
        sums.append([n, ((mixture.mean()[:n] - truth) ** 2).sum(),
                     ((alone.mean() - truth) ** 2).sum(),
                     ((low[:n] <= truth) & (truth <= high[:n])).sum()])  # fmt: skip
        if len(shown) < _SHOWN:
            drawn = NormalMixture(mixture.weights, mixture.means[n:], mixture.variances[n:])
            shown.append(_one_shown(curves, int(task), first, rest, times, drawn, level))
    hidden, squared, other, inside = np.array(sums, dtype=float).T
    bounds = _resampled(hidden, squared, other, inside, level, rng)
    return _Checked(hidden, squared, other, inside, shown, bounds)


def _cut(rows: IntArray, seen: float) -> tuple[IntArray, IntArray]:
    """First and last rows of a task, at least one each where there are two."""
    n = int(np.clip(round(seen * len(rows)), 1, max(len(rows) - 1, 1)))
    return rows[:n], rows[n:]


def _resampled(
    hidden: FloatArray, squared: FloatArray, alone: FloatArray, inside: FloatArray, level: float,
    rng: np.random.Generator,
) -> dict[str, tuple[float, float, float]]:  # fmt: skip
    """Error, its ratio to that of tasks alone, and coverage; intervals by bootstrap over tasks."""
    draws = rng.multinomial(len(hidden), np.full(len(hidden), 1 / len(hidden)), _RESAMPLES)
    counts = np.vstack([np.ones(len(hidden)), draws])
    n, ours, theirs, covered = (counts @ part for part in (hidden, squared, alone, inside))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(theirs > 0, np.sqrt(ours / theirs), np.nan)
    found = {"error": np.sqrt(ours / n), "ratio": ratio, "coverage": covered / n}
    tails = 100 * np.array([0.5 - level / 2, 0.5 + level / 2])
    intervals = {}
    for name, drawn in found.items():
        low, high = (
            np.nanpercentile(drawn[1:], tails) if np.isfinite(drawn).any() else (np.nan,) * 2
        )
        intervals[name] = float(drawn[0]), float(low), float(high)
    return intervals


# --- words ------------------------------------------------------------


def _headline(
    model: MagmaClust, curves: _Curves, order: IntArray, check: _Checked | None,
    wanted: tuple[float, ...], units: _Units, level: float,
) -> str:  # fmt: skip
    k = model.n_clusters_
    shares = ", ".join(f"{100 * share:.0f} %" for share in model.weights_[order])
    sure = float(np.mean(model.responsibilities_.max(axis=1) > 0.9))
    groups = f"{k} clusters ({shares})" if k > 1 else "one cluster"
    text = f"{curves.n_tasks} curves form {groups}"
    if k > 1:
        text += f"; {100 * sure:.0f} % of them belong to theirs with probability above 0.9"
    if check is None:
        return f"{text}; continuations were not checked on held-out curves."
    error, ratio, coverage = (check.bounds[name] for name in ("error", "ratio", "coverage"))
    text += (
        f". On {len(check.hidden)} held-out curves, shown in part, the rest is predicted with a "
        f"root mean squared error of {error[0]:.3g}{units.space} ({100 * level:g} % interval "
        f"{error[1]:.3g} to {error[2]:.3g})"
    )
    if np.isfinite(ratio[0]):
        text += (
            f", {ratio[0]:.2g} times that of a Gaussian process on each curve alone "
            f"({ratio[1]:.2g} to {ratio[2]:.2g})"
        )
    return text + f"; {100 * coverage[0]:.0f} % of the hidden values lie inside their intervals."


def _values(
    model: MagmaClust, order: IntArray, check: _Checked | None, units: _Units,
    labels: IntArray | None, level: float,
) -> Iterator[Value]:  # fmt: skip
    single = "a fit of the hyperparameters by maximum likelihood"
    yield Value("clusters", float(model.n_clusters_),
                why_no_interval="given, or chosen by the variational criterion")  # fmt: skip
    for number, k in enumerate(order, 1):
        yield Value(f"share of cluster {number}", float(model.weights_[k]),
                    why_no_interval="the table says how sure each curve's label is")  # fmt: skip
    yield Value("evidence lower bound", model.lower_bound_, unit="nats", why_no_interval=single)
    yield Value("variational criterion", model.bic_[model.n_clusters_], unit="nats",
                why_no_interval=single)  # fmt: skip
    yield Value("noise deviation", float(np.median(model.noise_deviations_)), unit=units.value,
                why_no_interval=single)  # fmt: skip
    if check is not None:
        names = {
            "error": ("root mean squared error, held out", units.value),
            "ratio": ("error over that of each curve alone", ""),
            "coverage": ("coverage of intervals, held out", ""),
        }
        for key, (name, unit) in names.items():
            if not np.isfinite(check.bounds[key][0]):
                continue
            yield Value(name, *check.bounds[key], level, unit, "bootstrap over held-out curves")
    if labels is not None and model.n_clusters_ > 1:
        from sklearn.metrics import adjusted_rand_score

        first = np.array([rows[0] for rows in model.rows_])
        agreement = adjusted_rand_score(labels[first], model.responsibilities_.argmax(axis=1))
        yield Value("adjusted Rand index with the known groups", float(agreement),
                    why_no_interval="describes this table")  # fmt: skip


def _status(
    model: MagmaClust, curves: _Curves, check: _Checked | None, level: float
) -> tuple[Status, str]:
    if not model.converged_:
        return Status.NOT_CONVERGED, "the bound was still rising; ask for fewer clusters"
    if curves.n_tasks < _FEW:
        few = f"{curves.n_tasks} individuals are few to learn groups from; give more"
        return Status.ASSUMPTION_DOUBTFUL, few
    if check is not None and check.bounds["coverage"][2] < level - 0.02:
        return (
            Status.ASSUMPTION_DOUBTFUL,
            f"only {100 * check.bounds['coverage'][0]:.0f} % of held-out values lie inside their "
            f"{100 * level:g} % intervals; try logarithms of the values, more clusters, or "
            "hyperparameters of their own for each individual (shared_tasks false)",
        )
    return Status.OK, ""


def _notices(
    model: MagmaClust, curves: _Curves, clusters: int, max_clusters: int, known: str,
    wanted: tuple[float, ...],
) -> Iterator[Notice]:  # fmt: skip
    if curves.rounded:
        yield Notice("times-rounded", f"{curves.rounded} different times were rounded to a grid of "
                     f"{len(np.unique(curves.time))}", "raise max_times to keep more")  # fmt: skip
    if not clusters and known != "use" and model.n_clusters_ == max(model.bic_) > 1:
        yield Notice("largest-number", f"the criterion chose the largest number tried, "
                     f"{model.n_clusters_}; more may fit better still",
                     "raise max_clusters, or choose a number that can be told apart")  # fmt: skip
    beyond = max(wanted) - float(curves.time.max())
    if beyond > 0.0:
        yield Notice("beyond-the-table", f"times up to {beyond:.3g} later than any in the table "
                     "are predicted; there curves fall back to their clusters' prior mean",
                     "do not go far beyond")  # fmt: skip
    if float(np.mean(np.bincount(curves.code) < 2)) > 0.5:
        yield Notice("single-rows", "most individuals have one row, so their own deviation cannot "
                     "be told from noise", "give repeated observations")  # fmt: skip
