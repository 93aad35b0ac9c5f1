"""The regressor that gives the law's parameters, learnt over many recorded learning curves.

Each tree sees some of the data sets (drawn with replacement) and one pilot of every curve of them,
so that the trees that never saw a data set predict its curves without leakage: leave-one-data-set-
out for the price of one forest.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from statlas.core.errors import InputError
from statlas.core.learning_curves import LearningCurve, recorded_curves
from statlas.scaling.piecewise_power_law.law import FloatArray, Tail, fit_whole_curves

N_TREES = 160
_LEAST_POINTS = 3
_LATE = 0.7  # distance in log n over which the weight of a pilot's points falls by e
_PILOT_STARTS, _PILOT_ENDS = (2, 5), (5, 7, 10, 14, 20, 28, 40, 56, 80, 112, 160)
# A pilot teaches something only if its curve goes on to this many times its last size.
_LEAST_REACH = 2.0
# Edges of the distances in log n over which errors of prediction are pooled.
_DISTANCES = np.array([0.0, 0.35, 0.7, 1.05, 1.4, 2.1, 2.8, np.inf])
# Usual sizes of the four answers, by which the trees weigh them: fixed, so that no data set that is
# left out has a say in them.
_SCALES = np.array([0.15, 0.25, 0.25, 1.3])
# Trees that must not have seen a data set for its forecasts to count among the errors.
_LEAST_TREES, _LEAST_DATASETS = 8, 3
# Error in log units that no spread of the trees is taken below.
_LEAST_SPREAD = 0.05


@dataclass(frozen=True)
class Padded:
    """Curves of different lengths side by side, shape (n_curves, n_points) each.

    Attributes
    ----------
    x, y
        log n and log error; anything where `weight` is 0.
    weight
        Inverse variance of the log error relative to the curve's mean, 0 where there is no point.
    log_classes, log_guess
        Logarithm of the number of classes and of the error of guessing, shape (n_curves,).
    """

    x: FloatArray
    y: FloatArray
    weight: FloatArray
    log_classes: FloatArray
    log_guess: FloatArray

    def rows(self, rows: NDArray[np.int64]) -> Padded:
        """Some of the curves."""
        return Padded(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def pad(curves: list[LearningCurve], guess: float | None = None) -> Padded:
    """Curves side by side; without `guess` the error of guessing follows from the classes."""
    longest = max(map(len, curves))
    x, y, weight = (np.zeros((len(curves), longest)) for _ in range(3))
    classes = np.array([curve.classes if np.isfinite(curve.classes) else 2.0 for curve in curves])
    for row, curve in enumerate(curves):
        x[row, : len(curve)], y[row, : len(curve)] = curve.x, curve.y
        spread = curve.spread
        if np.isfinite(spread).all():
            # No point counts for more than ten times the median one.
            precision = 1 / (spread**2 + 1e-4)
            weight[row, : len(curve)] = np.minimum(precision / np.median(precision), 10.0)
        else:
            weight[row, : len(curve)] = 1.0
    chance = 1 - 1 / classes if guess is None else np.full(len(curves), guess)
    return Padded(x, y, weight, np.log(classes), np.log(chance))


# --- what is seen of a pilot ------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """What the forest sees of pilots, and the point that its answers are relative to.

    Attributes
    ----------
    features
        Shape (n_pilots, n_features).
    start, level
        log n of each pilot's last size, and its log error there by a line through its late points.
    slope
        Slope of the line through all of a pilot's points.
    """

    features: FloatArray
    start: FloatArray
    level: FloatArray
    slope: FloatArray

    def rows(self, rows: NDArray[np.int64]) -> Seen:
        """Some of the pilots."""
        return Seen(*(getattr(self, name)[rows] for name in self.__dataclass_fields__))


def _line(
    x: FloatArray, y: FloatArray, weight: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Weighted least squares line of each row: mean of x, mean of y, slope."""
    total = weight.sum(axis=1)
    mean_x, mean_y = (weight * x).sum(axis=1) / total, (weight * y).sum(axis=1) / total
    away = (x - mean_x[:, None]) * weight
    slope = (away * y).sum(axis=1) / np.maximum(
        (away * x).sum(axis=1) - away.sum(axis=1) * mean_x, 1e-9
    )
    return mean_x, mean_y, slope


def look_at(pilots: Padded) -> Seen:
    """Features of pilots, all of them in logarithms and free of the unit of the error."""
    x, y, weight = pilots.x, pilots.y, pilots.weight
    there = weight > 0
    first = np.where(there, x, np.inf).min(axis=1)
    last = np.where(there, x, -np.inf).max(axis=1)
    mean_x, mean_y, slope = _line(x, y, weight)
    late = weight * np.exp((x - last[:, None]) / _LATE)
    early = weight * np.exp((first[:, None] - x) / _LATE)
    late_x, late_y, late_slope = _line(x, y, np.where(there, late, 0.0))
    early_x, early_y, early_slope = _line(x, y, np.where(there, early, 0.0))
    level = late_y + late_slope * (last - late_x)
    begin = early_y + early_slope * (first - early_x)
    left = np.where(there, y - mean_y[:, None] - slope[:, None] * (x - mean_x[:, None]), 0.0)
    count = there.sum(axis=1)
    rough = np.sqrt((left**2).sum(axis=1) / np.maximum(count - 2, 1))
    features = np.column_stack(
        [
            last - pilots.log_classes, last - first, count, slope, late_slope, early_slope,
            late_slope - early_slope, level - pilots.log_guess, begin - pilots.log_guess, level,
            pilots.log_classes, np.log(rough + 0.01),
        ]
    )  # fmt: skip
    return Seen(features, last, level, slope)


# --- the recorded curves ----------------------------------------------------------------------


@dataclass(frozen=True)
class Record:
    """Recorded curves of many data sets, to learn from."""

    curves: list[LearningCurve]
    datasets: list[str]
    dataset: NDArray[np.int64]


@functools.cache
def recorded() -> Record:
    """The recorded curves, but for models of one family that differ in size only."""
    return record_of([curve for curve in recorded_curves() if not curve.labels["parameters"]])


def record_of(curves: list[LearningCurve]) -> Record:
    """Curves with the data set of each; a curve without one is its own."""
    names = [curve.labels.get("dataset", curve.name) for curve in curves]
    datasets = sorted(set(names))
    return Record(curves, datasets, np.array([datasets.index(name) for name in names]))


@dataclass(frozen=True)
class Lessons:
    """Pilots cut out of the recorded curves, with the law that their whole curve follows.

    Attributes
    ----------
    seen, answers
        Features, and the four parameters relative to the pilot, shape (n_pilots, 4): log error at
        its end less the pilot's own estimate, slope there and final slope less the pilot's own
        slope, log distance of the knot.
    curve
        Number of the recorded curve of each pilot.
    """

    seen: Seen
    answers: FloatArray
    curve: NDArray[np.int64]


def cut_pilots(record: Record, rng: np.random.Generator) -> Lessons:
    """Pilots of every recorded curve, as measured and as noisy as single trainings are."""
    whole = pad(record.curves)
    fits = fit_whole_curves(whole.x, whole.y, whole.weight)
    there = whole.weight > 0
    per_class = np.exp(whole.x - whole.log_classes[:, None])
    reach = np.where(there, per_class, 0.0).max(axis=1)
    # From what one row is to what one training is: rows are means over several.
    more = np.zeros_like(whole.x)
    for row, curve in enumerate(record.curves):
        spread = np.nan_to_num(curve.spread)
        more[row, : len(curve)] = spread * np.sqrt(np.maximum(curve.repeats - 1, 0.0))
    parts: list[tuple[Padded, NDArray[np.int64]]] = []
    for start in _PILOT_STARTS:
        for end in _PILOT_ENDS:
            inside = there & (per_class > start - 0.5) & (per_class < end + 0.5)
            enough = (inside.sum(axis=1) >= _LEAST_POINTS) & (reach >= _LEAST_REACH * end)
            rows = np.flatnonzero(enough)
            # 1, and about the noise of three trainings, of one.
            for share in (0.0, 0.58, 1.0):
                noise = share * more * rng.standard_normal(more.shape)
                pilots = Padded(
                    whole.x, whole.y + noise, np.where(inside, 1.0 if share else whole.weight, 0.0),
                    whole.log_classes, whole.log_guess,
                )  # fmt: skip
                parts.append((pilots.rows(rows), rows))
    pilots = Padded(
        *(np.concatenate([getattr(part, name) for part, _ in parts])
          for name in Padded.__dataclass_fields__)
    )  # fmt: skip
    of_curve = np.concatenate([rows for _, rows in parts])
    seen = look_at(pilots)
    chosen = type(fits)(*(getattr(fits, name)[of_curve] for name in fits.__dataclass_fields__))
    tail = chosen.tail(seen.start)
    answers = np.column_stack(
        [
            tail.level - seen.level, tail.slope - seen.slope, tail.final_slope - seen.slope,
            tail.stretch,
        ]
    )  # fmt: skip
    return Lessons(seen, answers, of_curve)


# --- the forest -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trees:
    """Regression trees as arrays, walked through all together; (n_nodes,) each, leaves last.

    Attributes
    ----------
    roots
        First node of each tree, shape (n_trees,).
    feature, threshold, left, right
        Of each node; the feature of a leaf is -1, and its children are itself.
    value
        Answer of each node, shape (n_nodes, 4).
    """

    roots: NDArray[np.int64]
    feature: NDArray[np.int64]
    threshold: FloatArray
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    value: FloatArray

    def predict(self, features: FloatArray) -> FloatArray:
        """Answers of every tree, shape (n_trees, n_rows, 4)."""
        # Trees compare single precision, as they were grown.
        rounded = features.astype(np.float32).astype(float)
        rows = np.arange(len(rounded))
        node = np.repeat(self.roots[:, None], len(rounded), axis=1)
        while True:
            asked = self.feature[node]
            if (asked < 0).all():
                return np.asarray(self.value[node])
            lower = rounded[rows, np.maximum(asked, 0)] <= self.threshold[node]
            node = np.where(lower, self.left[node], self.right[node])


def _as_arrays(fitted: list[Any]) -> Trees:
    """scikit-learn's trees, one after the other."""
    parts = [tree.tree_ for tree in fitted]
    roots = np.cumsum([0, *(part.node_count for part in parts)])[:-1]
    leaf = np.concatenate([part.children_left < 0 for part in parts])
    own = np.arange(len(leaf))
    left, right = (
        np.where(leaf, own, np.concatenate(
            [getattr(part, side) + root for part, root in zip(parts, roots, strict=True)]
        ))
        for side in ("children_left", "children_right")
    )  # fmt: skip
    feature = np.where(leaf, -1, np.concatenate([part.feature for part in parts]))
    threshold = np.concatenate([part.threshold for part in parts])
    value = np.concatenate([part.value[:, :, 0] for part in parts]) * _SCALES
    return Trees(roots, feature, threshold, left, right, value)


@dataclass(frozen=True)
class Forest:
    """Trees that give the law's parameters, and how far off they were on data sets left out.

    Attributes
    ----------
    record
        What was learnt from.
    trees
        The trees; their answers are the parameters as in `Lessons`.
    left_out
        Whether a tree never saw a data set, shape (n_trees, n_datasets).
    errors
        Standardised errors on left-out data sets, with distance in log n and data set, each of
        shape (n_errors,): what the intervals are made from.
    """

    record: Record
    trees: Trees
    left_out: NDArray[np.bool_]
    errors: FloatArray
    distance: FloatArray
    of_dataset: NDArray[np.int64]


def grow(record: Record, rng: np.random.Generator, n_trees: int = N_TREES) -> Forest:
    """Learn from recorded curves."""
    from sklearn.tree import DecisionTreeRegressor

    lessons = cut_pilots(record, rng)
    n_datasets, n_curves = len(record.datasets), len(record.curves)
    of_curve = [np.flatnonzero(lessons.curve == curve) for curve in range(n_curves)]
    of_curve = [rows for rows in of_curve if len(rows)]
    dataset = np.array([record.dataset[lessons.curve[rows[0]]] for rows in of_curve])
    starts = np.cumsum([0, *map(len, of_curve)])
    flat, lengths = np.concatenate(of_curve), np.diff(starts)
    trees, left_out = [], np.ones((n_trees, n_datasets), dtype=bool)
    for place in range(n_trees):
        drawn = rng.integers(0, n_datasets, n_datasets)
        left_out[place, drawn] = False
        picked = np.flatnonzero(~left_out[place][dataset])
        rows = flat[starts[picked] + (rng.random(len(picked)) * lengths[picked]).astype(int)]
        tree = DecisionTreeRegressor(
            min_samples_leaf=5, max_features=0.5, random_state=int(rng.integers(2**31))
        )
        trees.append(tree.fit(lessons.seen.features[rows], lessons.answers[rows] / _SCALES))
    blank = np.zeros(0)
    arrays = _as_arrays(trees)
    forest = Forest(record, arrays, left_out, blank, blank, np.zeros(0, dtype=np.int64))
    return _calibrated(forest, lessons, rng)


def _calibrated(forest: Forest, lessons: Lessons, rng: np.random.Generator) -> Forest:
    """The forest with its errors on data sets that the trees used never saw."""
    record = forest.record
    rows = rng.permutation(len(lessons.curve))[: 3 * len(record.curves)]
    dataset = record.dataset[lessons.curve[rows]]
    seen = lessons.seen.rows(rows)
    answers = forest.trees.predict(seen.features)
    used = forest.left_out[:, dataset]
    whole = pad(record.curves)
    x, y = whole.x[lessons.curve[rows]], whole.y[lessons.curve[rows]]
    later = (whole.weight[lessons.curve[rows]] > 0) & (x > seen.start[:, None] + 1e-9)
    guess = _predict(seen, answers, used, x)
    enough = used.sum(axis=0) >= min(_LEAST_TREES, len(forest.trees.roots) // 5)
    later &= enough[:, None]
    errors = (y - guess.log_error) / guess.spread
    distance = x - seen.start[:, None]
    of = np.broadcast_to(dataset[:, None], x.shape)
    return Forest(record, forest.trees, forest.left_out, errors[later], distance[later], of[later])


@dataclass(frozen=True)
class Guess:
    """Predicted curves.

    Attributes
    ----------
    tail
        The law of each pilot, its parameters means over the trees.
    log_error, spread
        Prediction, and spread of the trees around it, shape (n_pilots, n_points).
    """

    tail: Tail
    log_error: FloatArray
    spread: FloatArray


def _tail(seen: Seen, answers: FloatArray) -> Tail:
    """Laws of parameters (n_pilots, 4)."""
    shift, slope, final, stretch = np.moveaxis(answers, -1, 0)
    return Tail(
        seen.start,
        seen.level + shift,
        np.minimum(seen.slope + slope, 0.0),
        np.minimum(seen.slope + final, 0.0),
        np.maximum(stretch, 0.0),
    )


def _predict(seen: Seen, answers: FloatArray, used: NDArray[np.bool_], x: FloatArray) -> Guess:
    """Law and spread at log n `x`, shape (n_pilots, n_points), by the trees `used`."""
    n_trees, n_pilots = used.shape
    share = used / np.maximum(used.sum(axis=0), 1)
    tail = _tail(seen, np.einsum("tp,tpk->pk", share, answers))
    repeated = seen.rows(np.tile(np.arange(n_pilots), n_trees))
    each = _tail(repeated, answers.reshape(-1, 4)).log_error(np.tile(x, (n_trees, 1)))
    each = each.reshape(n_trees, n_pilots, -1)
    log_error = tail.log_error(x)
    variance = np.einsum("tp,tpx->px", share, (each - log_error) ** 2)
    return Guess(tail, log_error, np.sqrt(variance + _LEAST_SPREAD**2))


@dataclass(frozen=True)
class Forecast:
    """Forecast of one curve on a grid of sizes.

    Attributes
    ----------
    tail
        The law, with one curve.
    each
        The law by each tree that was used.
    x, log_error, low, high
        log n, forecast and the ends of its interval, shape (n_points,) each.
    reach
        Largest log distance from the pilot over which the intervals were checked.
    """

    tail: Tail
    each: Tail
    x: FloatArray
    log_error: FloatArray
    low: FloatArray
    high: FloatArray
    reach: float


def forecast(
    forest: Forest,
    pilots: Padded,
    level: float,
    *,
    without: list[str] | None = None,
    farthest: float = np.log(1e6),
    n_points: int = 160,
) -> list[Forecast]:
    """Forecasts with intervals, from each pilot's last size to `farthest` beyond it in log n.

    Parameters
    ----------
    forest
        What was learnt.
    pilots
        The first points of curves.
    level
        Level of the intervals, at each size.
    without
        Data set of each pilot: trees that saw it, and errors on it, are not used.
    """
    seen = look_at(pilots)
    known = {name: place for place, name in enumerate(forest.record.datasets)}
    names = [""] * len(seen.start) if without is None else without
    places = np.array([known.get(name, -1) for name in names])
    used = np.where(places >= 0, forest.left_out[:, np.maximum(places, 0)], True)
    grid = np.concatenate([[0.0], np.geomspace(0.02, farthest, n_points - 1)])
    x = seen.start[:, None] + grid
    answers = forest.trees.predict(seen.features)
    guess = _predict(seen, answers, used, x)
    results = []
    factors = {place: _factors(forest, grid, level, place) for place in set(places.tolist())}
    for row, place in enumerate(places):
        low_factor, high_factor, reach = factors[int(place)]
        centre, spread = guess.log_error[row], guess.spread[row]
        tail = Tail(*(getattr(guess.tail, name)[[row]] for name in Tail.__dataclass_fields__))
        trees = answers[used[:, row], row]
        own = seen.rows(np.full(len(trees), row))
        # An error does not rise with examples, so neither end of the interval does.
        low = np.minimum.accumulate(centre + low_factor * spread)
        high = np.minimum.accumulate(centre + high_factor * spread)
        results.append(Forecast(tail, _tail(own, trees), x[row], centre, low, high, reach))
    return results


def _factors(
    forest: Forest, grid: FloatArray, level: float, without: int
) -> tuple[FloatArray, FloatArray, float]:
    """Quantiles of standardised errors over the distance, every data set counting the same."""
    kept = forest.of_dataset != without
    errors, distance, of = forest.errors[kept], forest.distance[kept], forest.of_dataset[kept]
    centres, lows, highs = [], [], []
    for near, far in itertools.pairwise(_DISTANCES):
        rows = (distance > near) & (distance <= far)
        if len(np.unique(of[rows])) < _LEAST_DATASETS:
            continue
        counts = np.bincount(of[rows])
        weight = 1 / counts[of[rows]]
        order = np.argsort(errors[rows])
        total = np.cumsum(weight[order]) - 0.5 * weight[order]
        ends = np.interp(
            [(1 - level) / 2, (1 + level) / 2], total / weight.sum(), errors[rows][order]
        )
        centres.append(float(np.median(distance[rows])))
        lows.append(float(ends[0]))
        highs.append(float(ends[1]))
    if not centres:
        raise InputError(
            f"intervals need forecasts of at least {_LEAST_DATASETS} data sets left out",
            remedy="learn from curves of more data sets, or with more trees",
        )
    low, high = np.interp(grid, centres, lows), np.interp(grid, centres, highs)
    # Beyond the distances that were checked, intervals widen as the distance does.
    reach = float(np.quantile(distance, 0.99))
    wider = np.maximum(grid / reach, 1.0)
    return np.minimum(low, -0.1) * wider, np.maximum(high, 0.1) * wider, reach


@functools.cache
def recorded_forest(seed: int = 0, n_trees: int = N_TREES) -> Forest:
    """The forest that learnt from the recorded curves; a seed gives the same one every time."""
    return grow(recorded(), np.random.default_rng(seed), n_trees)
