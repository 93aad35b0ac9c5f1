"""From runs to the rows of the answer: decisions, proxies, laws and recipes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit

from statlas.core import OptionError
from statlas.core.progress import tell
from statlas.scaling.datadecide.decisions import (
    FloatArray,
    IntArray,
    Noise,
    Resamples,
    accuracy,
    centred_interval,
    compute_needed,
    corrected_accuracy,
    forecast_from,
    known_mean,
    measure_noise,
    order_of,
    probability_best,
    resampled_means,
    run_signs,
    spread_and_noise,
)
from statlas.scaling.datadecide.extrapolation import Extrapolated, Ladder, extrapolate_all
from statlas.scaling.datadecide.proxies import lower_is_better
from statlas.scaling.datadecide.reading import Key, Runs, proxies_of

_POSTERIOR_DRAWS = 4_000


@dataclass(frozen=True)
class Analysis:
    """Everything that was measured about one decision.

    Attributes
    ----------
    runs, key, target
        The runs, the task and metric that decide, and the scale at which they do.
    proxies
        Task and metric of each series, the deciding one first.
    resamples
        Weights of pairs and seeds at each draw.
    order
        Order at the target, shape (n_draws, n_pairs).
    noise
        Of the target.
    curves
        Decision accuracy, shape (n_draws, n_proxies, n_scales); NaN at the target and at dearer
        scales.
    spread, seed_noise
        Shape (n_draws, n_proxies, n_scales).
    laws
        What each way of extrapolating says.
    """

    runs: Runs
    key: Key
    target: int
    proxies: list[Key]
    resamples: Resamples
    order: FloatArray
    noise: Noise
    curves: FloatArray
    spread: FloatArray
    seed_noise: FloatArray
    laws: list[Extrapolated]

    @property
    def share(self) -> FloatArray:
        """Compute of each scale as a share of the target's."""
        return np.asarray(self.runs.compute / self.runs.compute[self.target])

    def small(self, share: float) -> IntArray:
        """Scales of at most this share of the target's compute, else the cheapest."""
        found = np.flatnonzero(self.share <= share + 1e-12)
        return found if len(found) else np.array([0], dtype=np.int64)

    def at_small(self, place: int, share: float) -> FloatArray:
        """Mean accuracy of a proxy over the small scales, shape (n_draws,)."""
        return known_mean(self.curves[:, place, self.small(share)], axis=1)


def analyse(
    runs: Runs,
    key: Key,
    target: int,
    draws: int,
    loss_metric: str | None,
    with_laws: bool,
    rng: np.random.Generator,
) -> Analysis:
    """Measure decisions of every proxy at every scale below the target, and of the laws."""
    proxies = [key, *(other for other in proxies_of(runs, key[0]) if other != key)]
    values = runs.series[key][target]
    noise = measure_noise(values)
    resamples = Resamples.draw(len(runs.recipes), len(runs.seeds), draws, rng)
    order = order_of(resampled_means(values, draws, rng))
    below = np.flatnonzero(runs.compute < runs.compute[target])
    shape = (draws + 1, len(proxies), runs.n_scales)
    curves = np.full(shape, np.nan)
    spread, seed_noise = np.full(shape, np.nan), np.full(shape, np.nan)
    for place, proxy in enumerate(proxies):
        tell("judging small runs", place, len(proxies))
        series = runs.series[proxy]
        curves[:, place, below] = accuracy(run_signs(series[below]), resamples, order)
        spread[:, place], seed_noise[:, place] = spread_and_noise(series, resamples)
    tell("fitting laws", 0, 1)
    ladder = _ladder(runs, key, target, loss_metric)
    laws = list(extrapolate_all(ladder)) if with_laws else []
    return Analysis(
        runs, key, target, proxies, resamples, order, noise, curves, spread, seed_noise,
        laws,
    )  # fmt: skip


def _ladder(runs: Runs, key: Key, target: int, loss_metric: str | None) -> Ladder:
    """The runs as laws need them: losses and answers as they were measured."""
    task, metric = key
    of_a_loss = lower_is_better(metric)
    losses = [
        name for of_task, name in runs.series
        if of_task == task and lower_is_better(name) and name != metric
    ]  # fmt: skip
    if loss_metric is not None:
        if (task, loss_metric) not in runs.series:
            raise OptionError(
                f"option 'loss_metric' must be a metric of {task or 'the table'!r}; "
                f"got {loss_metric!r}"
            )
        losses = [loss_metric]
    # Without tasks it is open which of several losses belongs to the answer, unless it is named.
    loss = None
    if losses and not of_a_loss and (task or len(losses) == 1):
        loss = -runs.series[task, losses[0]]
    answer = runs.series[key] * (-1.0 if of_a_loss else 1.0)
    return Ladder(
        runs.compute, runs.parameters, runs.tokens, runs.size, loss, answer, target, of_a_loss
    )


# --- rows -----------------------------------------------------------------------------------------


def name_of(key: Key) -> str:
    """A series in words."""
    return f"{key[1]} ({key[0]})" if key[0] else key[1]


def decision_rows(found: Analysis, level: float) -> list[dict[str, Any]]:
    """A row a proxy and scale below the target."""
    rows = []
    runs = found.runs
    for place, proxy in enumerate(found.proxies):
        for scale in np.flatnonzero(np.isfinite(found.curves[0, place])):
            value, low, high = centred_interval(found.curves[:, place, scale], level)
            ratio = found.spread[:, place, scale] / found.seed_noise[:, place, scale]
            with np.errstate(invalid="ignore", divide="ignore"):
                ratio = np.where(found.seed_noise[:, place, scale] > 0, ratio, np.nan)
            rows.append(
                {
                    "proxy": name_of(proxy), "parameters": float(runs.parameters[scale]),
                    "tokens": float(runs.tokens[scale]), "compute": float(runs.compute[scale]),
                    "share": float(found.share[scale]), "accuracy": value,
                    "low": max(low, 0.0), "high": min(high, 1.0),
                    "corrected": float(corrected_accuracy(value, found.noise.reliability)),
                    "spread": float(found.spread[0, place, scale]),
                    "noise": float(found.seed_noise[0, place, scale]),
                    "spread_over_noise": float(ratio[0]),
                }
            )  # fmt: skip
    return rows


def proxy_rows(found: Analysis, small: float, goal: float, level: float) -> list[dict[str, Any]]:
    """A row a proxy: accuracy over the small scales, gain over the deciding metric, compute."""
    rows = []
    reference = found.at_small(0, small)
    below = np.flatnonzero(found.runs.compute < found.runs.compute[found.target])
    scales = found.small(small)
    for place, proxy in enumerate(found.proxies):
        own = found.at_small(place, small)
        if not np.isfinite(own[0]):
            continue
        value, low, high = centred_interval(own, level)
        gain, gain_low, gain_high = centred_interval(own - reference, level)
        needed = compute_needed(found.curves[:, place, below], found.share[below], goal)
        least, most = np.quantile(needed, [(1 - level) / 2, (1 + level) / 2], method="nearest")
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = found.spread[0, place, scales] / found.seed_noise[0, place, scales]
        rows.append(
            {
                "proxy": name_of(proxy), "accuracy": value, "low": max(low, 0.0),
                "high": min(high, 1.0),
                "corrected": float(
                    known_mean(
                        corrected_accuracy(
                            found.curves[0, place, scales], found.noise.reliability
                        )
                    )
                ),
                "gain": gain if place else 0.0, "gain_low": gain_low if place else np.nan,
                "gain_high": gain_high if place else np.nan,
                "share_needed": float(needed[0]), "share_low": float(least),
                "share_high": float(most), "spread_over_noise": float(known_mean(ratio)),
            }
        )  # fmt: skip
    return rows


def law_draws(found: Analysis, law: Extrapolated) -> tuple[FloatArray, FloatArray]:
    """Decision accuracy of a law and of its largest size alone, shape (n_draws,) each."""
    sign = -1.0 if lower_is_better(found.key[1]) else 1.0
    own = accuracy(run_signs(sign * law.predicted[None]), found.resamples, found.order)[:, 0]
    return own, found.curves[:, 0, law.largest]


def law_rows(found: Analysis, level: float) -> list[dict[str, Any]]:
    """A row a way of extrapolating and number of sizes."""
    rows = []
    observed = found.noise.means * (-1.0 if lower_is_better(found.key[1]) else 1.0)
    for law in found.laws:
        own, single = law_draws(found, law)
        if not np.isfinite(own[0]):
            continue
        value, low, high = centred_interval(own, level)
        gain, gain_low, gain_high = centred_interval(own - single, level)
        error = float(known_mean(np.abs(law.predicted - observed[:, None])))
        rows.append(
            {
                "law": law.variant, "sizes": law.sizes,
                "share": law.compute / float(found.runs.compute[found.target]),
                "accuracy": value, "low": max(low, 0.0), "high": min(high, 1.0),
                "single_scale": float(single[0]),
                "single_share": float(found.share[law.largest]), "gain": gain,
                "gain_low": gain_low, "gain_high": gain_high, "error": error,
            }
        )  # fmt: skip
    return rows


def mean_law_gain(found: Analysis, level: float) -> tuple[float, float, float]:
    """Mean over laws and cuts of their accuracy less that of their largest size alone."""
    gains = [own - single for own, single in (law_draws(found, law) for law in found.laws)]
    gains = [gain for gain in gains if np.isfinite(gain[0])]
    if not gains:
        return np.nan, np.nan, np.nan
    return centred_interval(np.mean(gains, axis=0), level)


def pilot_scale(found: Analysis, place: int, small: float) -> int:
    """The dearest small scale at which a proxy has most recipes."""
    scales = found.small(small)
    counts = np.isfinite(found.runs.series[found.proxies[place]][scales]).any(axis=2).sum(axis=1)
    return int(scales[counts == counts.max()][-1])


def recipe_rows(
    found: Analysis, place: int, small: float, level: float, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """A row a recipe, the best first: target, probability to be best, and what small runs say."""
    sign = -1.0 if lower_is_better(found.key[1]) else 1.0
    best = probability_best(found.noise, _POSTERIOR_DRAWS, rng)
    pilot_key = found.proxies[place]
    pilot = found.runs.series[pilot_key][pilot_scale(found, place, small)]
    pilot_sign = -1.0 if lower_is_better(pilot_key[1]) else 1.0
    small_mean = measure_noise(pilot).means
    forecast = forecast_from(small_mean, found.noise.means, _POSTERIOR_DRAWS, rng)
    ranks = _ranks(small_mean)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.sqrt(found.noise.within / found.noise.counts)
    half = stdtrit(max(found.noise.freedom, 1), (1 + level) / 2) * error
    rows = []
    for place_, recipe in enumerate(found.runs.recipes):
        centre = float(found.noise.means[place_])
        ends = sorted([sign * (centre - half[place_]), sign * (centre + half[place_])])
        known = bool(np.isfinite(centre))
        rows.append(
            {
                "recipe": recipe, "target": sign * centre, "low": float(ends[0]),
                "high": float(ends[1]), "runs": int(found.noise.counts[place_]),
                "probability_best": float(best[place_]) if known else np.nan,
                "pilot": pilot_sign * float(small_mean[place_]), "pilot_rank": ranks[place_],
                "predicted": np.nan if forecast is None
                else sign * float(forecast.predicted[place_]),
                "predicted_error": np.nan if forecast is None else float(forecast.error[place_]),
                "probability_best_from_pilot": np.nan if forecast is None
                else float(forecast.best[place_]),
            }
        )  # fmt: skip
    return sorted(rows, key=lambda row: _sort_key(row, sign))


def _sort_key(row: dict[str, Any], sign: float) -> tuple[bool, float]:
    value = row["target"] if np.isfinite(row["target"]) else row["predicted"]
    return not np.isfinite(row["target"]), -sign * float(value) if np.isfinite(value) else 0.0


def _ranks(means: FloatArray) -> list[float]:
    """1 for the best; NaN without a value."""
    known = np.isfinite(means)
    ranks = np.full(len(means), np.nan)
    ranks[known] = [1 + float(np.sum(means[known] > mean)) for mean in means[known]]
    return ranks.tolist()


def best_proxy(rows: Sequence[dict[str, Any]], found: Analysis) -> int:
    """Place of the proxy with the highest accuracy at small scales."""
    names = [name_of(proxy) for proxy in found.proxies]
    return names.index(max(rows, key=lambda row: float(row["accuracy"]))["proxy"])
