"""A small set of tasks from which a new family's other scores are best recovered ("small-bench").

A row is a model at one number of shots, a column a task. From the rows of other families come the
mean and the covariance of the columns; a new row's unseen scores are their conditional mean given
those seen. Size and shots of a row, which are known before anything is run, are seen from the
start. Conditioning on one more task is a rank-one step, so every candidate for the next task is
tried exactly at the cost of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from statlas.core.progress import tell
from statlas.core.rng import sklearn_seed
from statlas.scaling.bigbench_predict.factors import fit_additive
from statlas.scaling.bigbench_predict.records import FloatArray, IntArray, Records

BoolArray = NDArray[np.bool_]
Search = Literal["greedy", "best of random", "clusters", "clusters of valuable tasks"]
SEARCHES: tuple[Search, ...] = (
    "greedy", "best of random", "clusters", "clusters of valuable tasks",
)  # fmt: skip
RANDOM_SUBSET = "random"

_LOWEST_QUARTER = 0.25
_MOST_LOADINGS = 8


@dataclass(frozen=True)
class Grid:
    """Scores of rows (models at one number of shots) by tasks.

    Attributes
    ----------
    scores
        Shape (n_rows, n_tasks), NaN where absent.
    features
        Standardised numbers of the row, shape (n_rows, n_features).
    family
        Family (or set of families) of each row, shape (n_rows,).
    """

    scores: FloatArray
    features: FloatArray
    family: IntArray

    @property
    def n_tasks(self) -> int:
        """Number of tasks."""
        return int(self.scores.shape[1])

    @property
    def families(self) -> IntArray:
        """The families."""
        return np.unique(self.family)


def make_grid(records: Records, most: int, rng: np.random.Generator) -> Grid:
    """Arrange records; rows are models at one number of shots.

    Families beyond `most` are joined at random into that many sets, which are then held out
    together.
    """
    key = records.model * records.count("shots") + records.shots
    rows, first, place = np.unique(key, return_index=True, return_inverse=True)
    scores = np.full((len(rows), records.count("task")), np.nan)
    scores[place, records.task] = records.score
    used = np.unique(records.family)
    dealt = np.zeros(records.count("family"), dtype=np.int64)
    dealt[used] = rng.permutation(len(used)) % min(most, len(used))
    return Grid(scores, records.numeric[first], dealt[records.family[first]])


# --- recovery ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fit:
    """Mean and covariance of columns from training rows, after conditioning on the features.

    Attributes
    ----------
    start
        Prediction of each row to be recovered, before any task is seen, (n_rows, n_tasks).
    covariance
        What the features leave of the tasks' covariance, (n_tasks, n_tasks).
    noise
        The part of each task's variance that is its own, (n_tasks,).
    """

    start: FloatArray
    covariance: FloatArray
    noise: FloatArray


def fit_columns(train: Grid, features: FloatArray) -> Fit:
    """Fit the columns on training rows, for rows with the given features."""
    filled = _filled(train.scores)
    mean = filled.mean(axis=0)
    design = np.column_stack([np.ones(len(filled)), train.features])
    gram = design.T @ design + 1e-6 * np.eye(design.shape[1])
    slopes = np.linalg.solve(gram, design.T @ (filled - mean))
    rest = filled - mean - design @ slopes
    covariance = rest.T @ rest / max(len(rest) - design.shape[1], 1)
    share = shrinkage(rest)
    variance = np.diag(covariance).copy()
    shrunk = (1 - share) * covariance + share * np.diag(variance)
    start = mean + np.column_stack([np.ones(len(features)), features]) @ slopes
    return Fit(start, shrunk - np.diag(share * variance), np.maximum(share * variance, 1e-9))


def _filled(scores: FloatArray) -> FloatArray:
    """Absent scores replaced by the sum of row and column effects."""
    rows, columns = np.nonzero(np.isfinite(scores))
    effects = fit_additive(rows, columns, scores[rows, columns], scores.shape, (0.1, 0.1))
    everything = effects.mean + effects.rows[:, None] + effects.columns
    return np.where(np.isfinite(scores), scores, everything)


def shrinkage(rest: FloatArray) -> float:
    """How far covariances should move towards 0 (Schaefer and Strimmer 2005), in [0.02, 1].

    The sum of the variances of the correlations over the sum of their squares.
    """
    n = len(rest)
    spread = rest.std(axis=0)
    scaled = (rest - rest.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    correlation = scaled.T @ scaled / n
    squares = (scaled**2).T @ scaled**2 / n
    variance = (squares - correlation**2) / max(n - 1, 1)
    off = ~np.eye(len(correlation), dtype=bool)
    total = float(np.sum(correlation[off] ** 2))
    share = float(np.sum(variance[off])) / total if total > 0 else 1.0
    return float(np.clip(share, 0.02, 1.0))


@dataclass
class State:
    """Residuals of the rows to recover and the covariance left, for one set of seen tasks.

    `residual` has shape (n_rows, n_tasks), 0 where the score is absent; `known` tells these apart.
    """

    residual: FloatArray
    known: FloatArray
    scores: FloatArray
    covariance: FloatArray
    noise: FloatArray
    seen: BoolArray

    @classmethod
    def begin(cls, fit: Fit, scores: FloatArray) -> State:
        """Before any task is seen."""
        known = np.isfinite(scores)
        filled = np.where(known, scores, 0.0)
        residual = np.where(known, scores - fit.start, 0.0)
        return cls(
            residual, known.astype(float), filled, fit.covariance.copy(), fit.noise,
            np.zeros(scores.shape[1], dtype=bool),
        )  # fmt: skip

    def see(self, task: int) -> None:
        """Condition on one more task; a row without its score learns nothing from it."""
        column = self.covariance[:, task]
        gain = column / (column[task] + self.noise[task])
        self.residual = (self.residual - np.outer(self.residual[:, task], gain)) * self.known
        self.covariance = self.covariance - np.outer(gain, column)
        self.seen[task] = True

    def candidates(self) -> FloatArray:
        """R2 on the other tasks if each task were seen next, (n_tasks,); -inf for those seen."""
        variance = np.diag(self.covariance) + self.noise
        gain = self.covariance / variance  # column j: gains of all tasks if j were seen
        left = ~self.seen
        squares = self.residual**2
        products = self.residual.T @ self.residual
        per_task = squares.sum(axis=0)
        # The sum over rows and tasks t of (e_t - e_j g_tj)^2, tasks seen and j itself left out.
        second = np.einsum("rt,rj->tj", self.known, squares)
        change = -2 * products * gain + second * gain**2
        change[self.seen] = 0.0
        np.fill_diagonal(change, 0.0)
        error = per_task[left].sum() - per_task + change.sum(axis=0)
        total = self._total_without_each(left)
        with np.errstate(invalid="ignore", divide="ignore"):
            value = 1 - error / total
        value[self.seen | ~(total > 0)] = -np.inf
        return np.asarray(value)

    def _total_without_each(self, left: BoolArray) -> FloatArray:
        """Squared deviation from their mean of the scores of the other tasks, for each task."""
        count, total = self.known.sum(axis=0), self.scores.sum(axis=0)
        square = (self.scores**2).sum(axis=0)
        n = count[left].sum() - count
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(square[left].sum() - square - (total[left].sum() - total) ** 2 / n)

    def quality(self) -> tuple[float, float]:
        """R2 and root mean square error on the tasks not seen."""
        left = ~self.seen
        known = self.known[:, left] > 0
        values = self.scores[:, left][known]
        if len(values) < 2 or np.ptp(values) == 0:
            return np.nan, np.nan
        error = float(np.sum(self.residual[:, left] ** 2))
        total = float(np.sum((values - values.mean()) ** 2))
        return 1 - error / total, float(np.sqrt(error / len(values)))


def recover(fit: Fit, scores: FloatArray, tasks: Sequence[int]) -> tuple[float, float]:
    """R2 and error on the other tasks when these are seen, in this order."""
    state = State.begin(fit, scores)
    for task in tasks:
        state.see(int(task))
    return state.quality()


def recover_many(fit: Fit, scores: FloatArray, subsets: IntArray) -> FloatArray:
    """R2 and error of many subsets at once, shape (n_subsets, 2).

    The same steps as `recover`, done only for the columns that are seen; what they say of all
    tasks is added up at the end.
    """
    start = State.begin(fit, scores)
    at, size = np.arange(len(subsets)), subsets.shape[1]
    columns = fit.covariance.T[subsets]  # (n_subsets, size, n_tasks): columns of the seen tasks
    residual = start.residual.T[subsets]  # (n_subsets, size, n_rows)
    known = start.known.T[subsets]
    gains = np.empty_like(columns)
    for step in range(size):
        task = subsets[:, step]
        variance = columns[at, step, task] + fit.noise[task]
        gains[:, step] = columns[:, step] / variance[:, None]
        later = slice(step + 1, size)
        shared = gains[at[:, None], step, subsets[:, later]]
        columns[:, later] -= shared[:, :, None] * columns[:, [step]]
        residual[:, later] -= shared[:, :, None] * residual[:, [step]]
        residual[:, later] *= known[:, later]
    rest = (start.residual - residual.transpose(0, 2, 1) @ gains) * start.known
    left = np.ones((len(subsets), scores.shape[1]))
    left[at[:, None], subsets] = 0.0
    error = np.einsum("srt,srt,st->s", rest, rest, left)
    count = left @ start.known.sum(axis=0)
    square = left @ (start.scores**2).sum(axis=0)
    total = square - (left @ start.scores.sum(axis=0)) ** 2 / count
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.column_stack([1 - error / total, np.sqrt(error / count)])


# --- search --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rehearsal:
    """A family to recover and the fit on others: the search maximises the mean R2 of several."""

    fit: Fit
    scores: FloatArray


def rehearse(grid: Grid, without: int | None = None) -> list[Rehearsal]:
    """Each family in turn recovered from the others, with one family kept out of everything."""
    answer = []
    for family in grid.families:
        if family == without:
            continue
        own = grid.family == family
        train = ~own if without is None else ~own & (grid.family != without)
        part = Grid(grid.scores[train], grid.features[train], grid.family[train])
        answer.append(Rehearsal(fit_columns(part, grid.features[own]), grid.scores[own]))
    return answer


def greedy(rehearsals: Sequence[Rehearsal], size: int) -> list[int]:
    """Add the task that raises the mean R2 most, again and again."""
    states = [State.begin(one.fit, one.scores) for one in rehearsals]
    chosen: list[int] = []
    for _ in range(size):
        values = np.mean([state.candidates() for state in states], axis=0)
        chosen.append(int(np.argmax(values)))
        for state in states:
            state.see(chosen[-1])
    return chosen


def random_subsets(n_tasks: int, size: int, n: int, rng: np.random.Generator) -> IntArray:
    """Subsets drawn without replacement, shape (n, size)."""
    return np.argsort(rng.random((n, n_tasks)), axis=1)[:, :size]


def mean_quality(rehearsals: Sequence[Rehearsal], subsets: IntArray) -> FloatArray:
    """Mean R2 over the rehearsals, shape (n_subsets,)."""
    each = [recover_many(one.fit, one.scores, subsets)[:, 0] for one in rehearsals]
    return np.asarray(np.mean(each, axis=0))


def task_values(subsets: IntArray, quality: FloatArray, n_tasks: int) -> FloatArray:
    """Mean quality of the random subsets that a task is in; their overall mean if in none."""
    total, count = np.zeros(n_tasks), np.zeros(n_tasks)
    np.add.at(total, subsets, quality[:, None])
    np.add.at(count, subsets, 1)
    return np.where(count > 0, total / np.maximum(count, 1), quality.mean())


def loadings(grid: Grid) -> FloatArray:
    """Embedding of tasks: leading axes of their correlation over rows, shape (n_tasks, n_axes)."""
    filled = _filled(grid.scores)
    spread = filled.std(axis=0)
    scaled = (filled - filled.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    values, vectors = np.linalg.eigh(scaled.T @ scaled / len(scaled))
    order = np.argsort(values)[::-1][:_MOST_LOADINGS]
    return np.asarray(vectors[:, order] * np.sqrt(np.maximum(values[order], 0)))


def central_tasks(
    embedding: FloatArray, pool: IntArray, size: int, rng: np.random.Generator
) -> list[int]:
    """The task of the pool nearest to each centre of `size` clusters."""
    from sklearn.cluster import KMeans

    points = embedding[pool]
    fit = KMeans(size, n_init=3, random_state=sklearn_seed(rng)).fit(points)
    chosen: list[int] = []
    for centre in fit.cluster_centers_:
        away = ((points - centre) ** 2).sum(axis=1)
        away[[place for place, task in enumerate(pool) if int(task) in chosen]] = np.inf
        chosen.append(int(pool[int(np.argmin(away))]))
    return chosen


def search_all(
    grid: Grid,
    rehearsals: Sequence[Rehearsal],
    sizes: Sequence[int],
    trials: int,
    rng: np.random.Generator,
) -> dict[tuple[Search, int], list[int]]:
    """The subset that each way of searching finds at each size."""
    found: dict[tuple[Search, int], list[int]] = {}
    order = greedy(rehearsals, max(sizes))
    embedding = loadings(grid)
    everything = np.arange(grid.n_tasks)
    for size in sizes:
        found["greedy", size] = order[:size]
        subsets = random_subsets(grid.n_tasks, size, trials, rng)
        quality = mean_quality(rehearsals, subsets)
        found["best of random", size] = subsets[int(np.argmax(quality))].tolist()
        value = task_values(subsets, quality, grid.n_tasks)
        pool = np.flatnonzero(value >= np.quantile(value, _LOWEST_QUARTER))
        pool = pool if len(pool) >= size else everything
        found["clusters", size] = central_tasks(embedding, everything, size, rng)
        found["clusters of valuable tasks", size] = central_tasks(embedding, pool, size, rng)
    return found


@dataclass(frozen=True)
class Recovery:
    """Quality of subsets on families that took no part in choosing them.

    Attributes
    ----------
    sizes
        Number of tasks in a subset.
    quality
        By way of searching and size: R2 and error on each family, shape (n_families, 2).
    chance
        By size: R2 and error of random subsets, shape (n_families, n_subsets, 2).
    final
        By way of searching and size: the subset found on all families.
    """

    sizes: tuple[int, ...]
    quality: dict[tuple[Search, int], FloatArray]
    chance: dict[int, FloatArray]
    final: dict[tuple[Search, int], list[int]]


def nested_search(
    grid: Grid, sizes: Sequence[int], trials: int, rng: np.random.Generator
) -> Recovery:
    """Choose subsets without a family, recover that family from them; each family in turn.

    Parameters
    ----------
    grid
        Scores of at least three families.
    sizes
        Numbers of tasks, each below the number of tasks.
    trials
        Random subsets tried by the search, and as many new ones to compare with.
    rng
        Source of subsets and of the clusters' starts.
    """
    outer = rehearse(grid)
    quality: dict[tuple[Search, int], list[tuple[float, float]]] = {}
    chance: dict[int, list[FloatArray]] = {size: [] for size in sizes}
    for place, (family, test) in enumerate(zip(grid.families, outer, strict=True)):
        tell("searching tasks to keep", place, len(outer) + 1)
        rest = grid.family != family
        part = Grid(grid.scores[rest], grid.features[rest], grid.family[rest])
        found = search_all(part, rehearse(grid, int(family)), sizes, trials, rng)
        for key, subset in found.items():
            quality.setdefault(key, []).append(recover(test.fit, test.scores, subset))
        for size in sizes:
            subsets = random_subsets(grid.n_tasks, size, trials, rng)
            chance[size].append(recover_many(test.fit, test.scores, subsets))
    tell("searching tasks to keep", len(outer), len(outer) + 1)
    return Recovery(
        tuple(sizes),
        {key: np.array(values) for key, values in quality.items()},
        {size: np.array(values) for size, values in chance.items()},
        search_all(grid, outer, sizes, trials, rng),
    )


def paired_gains(recovery: Recovery, search: Search, size: int) -> FloatArray:
    """R2 of the chosen subset less the mean of random ones, a family each."""
    own, others = recovery.quality[search, size][:, 0], recovery.chance[size][:, :, 0]
    return np.asarray(own - np.nanmean(others, axis=1))


def sizes_to_try(keep: int, n_tasks: int) -> tuple[int, ...]:
    """A quarter, half, one and two times what is to be kept, where there are as many tasks."""
    wished: Iterator[int] = (keep // 4, keep // 2, keep, 2 * keep)  # type: ignore[assignment]
    return tuple(sorted({size for size in wished if 1 <= size < n_tasks} | {keep}))
