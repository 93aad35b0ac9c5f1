"""The recipe: which corpus is best, and how small the runs that say so may be."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd

from statlas.core import (
    Category,
    Columns,
    Example,
    InputError,
    Notice,
    Number,
    Option,
    Result,
    Roles,
    Status,
    Table,
    Value,
    recipe,
)
from statlas.core.runs import (
    BATCH_SIZE,
    COMPUTE,
    DEPTH,
    LEARNING_RATE,
    NAMED_SIZES,
    NAMED_TOKENS,
    PARAMETERS,
    RUN,
    TOKENS,
    WIDTH,
    ComputeUnit,
    ParametersUnit,
    TokensUnit,
)
from statlas.scaling.datadecide.answer import (
    Analysis,
    analyse,
    best_proxy,
    decision_rows,
    law_rows,
    mean_law_gain,
    name_of,
    pilot_scale,
    proxy_rows,
    recipe_rows,
)
from statlas.scaling.datadecide.decisions import rising_curve, surety_of_order
from statlas.scaling.datadecide.reading import (
    Runs,
    choose_metric,
    choose_target,
    choose_task,
    read_runs,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Shown = Literal["recipes", "decisions", "proxies", "laws"]

_FEW_RECIPES = 5


@dataclass(frozen=True, kw_only=True)
class CorpusChoice(Result):
    """Which recipe is best and how far small runs can be trusted; `table` as the option says."""

    @property
    def recipes(self) -> pd.DataFrame:
        """One row a recipe: value at the target, probability to be best, what small runs say."""
        return pd.DataFrame(self.details["recipes"])

    @property
    def decisions(self) -> pd.DataFrame:
        """One row a proxy and scale: decision accuracy, spread and noise."""
        return pd.DataFrame(self.details["decisions"])

    @property
    def proxies(self) -> pd.DataFrame:
        """One row a proxy: accuracy at small scales, gain over the deciding metric."""
        return pd.DataFrame(self.details["proxies"])

    @property
    def laws(self) -> pd.DataFrame:
        """One row a way of extrapolating and number of sizes."""
        return pd.DataFrame(self.details["laws"])

    def draw(self, figure: Figure) -> None:
        """Decision accuracy by compute; proxies at small scales; recipes at the target."""
        left, middle, right = figure.subplots(1, 3, width_ratios=[1.4, 1, 1])
        level = f"{100 * self.options['level']:g} % interval"
        self._draw_curves(left, level)
        self._draw_proxies(middle, level)
        self._draw_recipes(right, level)
        figure.set_size_inches(15, 5.2)

    def _draw_curves(self, axis: Axes, level: str) -> None:
        from statlas.core.figures import MARKERS, PALETTE, plain_label

        rows = self.decisions
        names = list(dict.fromkeys([self.details["metric"], self.details["best_proxy"]]))
        for number, name in enumerate(names):
            part = rows[rows["proxy"] == name]
            place = part["share"] * 1.03 ** (2 * number - 1)
            spread = [part["accuracy"] - part["low"], part["high"] - part["accuracy"]]
            axis.errorbar(
                place, part["accuracy"], [one.fillna(0).clip(lower=0) for one in spread],
                fmt="none", color=PALETTE[number], elinewidth=0.7, alpha=0.3,
            )  # fmt: skip
            axis.plot(
                place, part["accuracy"], MARKERS[number], color=PALETTE[number], alpha=0.7,
                markersize=4,
            )  # fmt: skip
            rising = part.sort_values("share")
            axis.step(
                rising["share"], self.details["rising"][name], where="post",
                color=PALETTE[number], label=f"{plain_label(name)}, rising fit",
            )  # fmt: skip
        laws = self.laws
        if len(laws):
            axis.plot(
                laws["share"], laws["accuracy"], "x", color="black", markersize=6,
                label="laws, all their runs",
            )  # fmt: skip
        axis.axhline(0.5, color="C7", linewidth=1, linestyle=":", label="guessing")
        axis.axhline(
            self.details["ceiling"], color="C7", linewidth=1, linestyle="--",
            label="target's own noise",
        )  # fmt: skip
        axis.set_xscale("log")
        axis.set_ylim(min(0.35, float(rows["accuracy"].min()) - 0.02), 1.02)
        axis.set_xlabel("compute of one run (share of the target's)")
        axis.set_ylabel(f"pairs of recipes ordered right, {level}")
        axis.legend(fontsize=8, loc="lower right")

    def _draw_proxies(self, axis: Axes, level: str) -> None:
        from statlas.core.figures import plain_label

        rows = self.proxies.sort_values("accuracy").tail(14)
        place = np.arange(len(rows))
        spread = [rows["accuracy"] - rows["low"], rows["high"] - rows["accuracy"]]
        deciding = (rows["proxy"] == self.details["metric"]).to_numpy()
        axis.errorbar(
            rows["accuracy"], place, xerr=[one.fillna(0).clip(lower=0) for one in spread], fmt="o",
            color="C0",
        )  # fmt: skip
        axis.plot(rows["accuracy"][deciding], place[deciding], "o", color="C1", markersize=8)
        axis.axvline(0.5, color="C7", linewidth=1, linestyle=":")
        axis.set_yticks(place, [plain_label(name) for name in rows["proxy"]], fontsize=8)
        axis.set_xlabel(
            f"right at up to {100 * self.options['small']:g} % of the compute, {level}\n"
            "(orange: the deciding metric)"
        )

    def _draw_recipes(self, axis: Axes, level: str) -> None:
        from statlas.core.figures import plain_label

        rows = self.recipes[self.recipes["target"].notna()].iloc[::-1]
        place = np.arange(len(rows))
        spread = [rows["target"] - rows["low"], rows["high"] - rows["target"]]
        axis.errorbar(
            rows["target"], place, xerr=[one.fillna(0).clip(lower=0) for one in spread], fmt="s",
            color="C2",
        )  # fmt: skip
        for at, chance in zip(place, rows["probability_best"], strict=True):
            if np.isfinite(chance):
                axis.annotate(
                    f"{chance:.2f}", (1.0, float(at)), xycoords=("axes fraction", "data"),
                    fontsize=8, va="center", ha="left", xytext=(3, 0),
                    textcoords="offset points",
                )  # fmt: skip
        axis.set_yticks(place, [plain_label(name) for name in rows["recipe"]], fontsize=8)
        axis.set_xlabel(
            f"{plain_label(self.details['metric'])} at the target, {level}\n"
            "(right: probability to be best)"
        )


@recipe(
    "datadecide",
    example=Example(
        file="corpus_runs.csv",
        about="Small transformers trained on eight mixtures of text, three seeds each, from 1,446 "
        "to 105,000 weights, with three multiple-choice tasks at seven checkpoints.",
        origin="Recorded with torch (BSD-3) on public texts; see examples.",
        options={"tasks": ("prose", "code", "words"), "metric": "accuracy"},
    ),
)
def choose_corpus(
    table_of_runs: Annotated[
        Table,
        Roles(
            recipe=Category(
                min_levels=2,
                help="training data of the run: corpus, mix, filter",
                aliases=(
                    "corpus",
                    "data",
                    "mix",
                    "mixture",
                    "group",
                    "dataset",
                    "data_recipe",
                    "data_mix",
                ),
            ),
            parameters=replace(
                PARAMETERS,
                optional=True,
                help="weights of the model; without it compute is needed",
                aliases=("N", "n_params", "num_params", "size", *NAMED_SIZES),
            ),
            size=Category(
                optional=True,
                help="size of the model named like 150M, in place of parameters",
                aliases=("params", "model_size", "model"),
            ),
            tokens=replace(TOKENS, aliases=(*TOKENS.aliases, *NAMED_TOKENS)),
            compute=COMPUTE,
            repeat=Category(
                optional=True,
                help="seed of the run; runs of one seed are compared with each other",
                aliases=("seed", "random_seed", "run_seed", "replicate"),
            ),
            task=Category(
                optional=True,
                help="task of the metrics in the row; or see the option tasks",
                aliases=("task_name", "benchmark", "eval"),
            ),
            run=RUN,
            width=WIDTH,
            depth=DEPTH,
            learning_rate=LEARNING_RATE,
            batch_size=BATCH_SIZE,
            step=Number(optional=True, help="optimiser step", aliases=("steps", "global_step")),
            metrics=Columns(help="measured columns; the others are left alone"),
            min_rows=4,
        ),
    ],
    *,
    metric: Annotated[
        str | None, Option(help="metric that decides at the target; none: accuracy")
    ] = None,
    focus: Annotated[
        str | None, Option(help="task that decides; none: the mean over tasks")
    ] = None,
    tasks: Annotated[
        tuple[str, ...], Option(help="tasks whose metrics are columns named TASK_METRIC")
    ] = (),
    lower: Annotated[
        tuple[str, ...], Option(help="further metrics of which less is better, besides losses")
    ] = (),
    target_compute: Annotated[
        float | None, Option(gt=0, unit="FLOP", help="compute of the target; none: the dearest")
    ] = None,
    small: Annotated[
        float, Option(gt=0, lt=1, help="share of the target's compute up to which a run is small")
    ] = 0.1,
    goal: Annotated[
        float, Option(gt=0.5, lt=1, help="share of pairs that should be ordered right")
    ] = 0.8,
    laws: Annotated[bool, Option(help="also extrapolate by the paper's eight ways")] = True,
    loss_metric: Annotated[
        str | None, Option(help="the task's loss that the laws are of; none: the first found")
    ] = None,
    draws: Annotated[int, Option(ge=50, le=20_000, help="resamples of recipes and seeds")] = 400,
    table: Annotated[
        Shown, Option(help="what the table shows: recipes, decisions by scale, proxies or laws")
    ] = "recipes",
    level: Annotated[float, Option(gt=0, lt=1, help="level of the intervals")] = 0.95,
    parameters_unit: ParametersUnit = 1.0,
    tokens_unit: TokensUnit = 1.0,
    compute_unit: ComputeUnit = 1.0,
    rng: np.random.Generator,
) -> CorpusChoice:
    """Choose training data from small runs, and say how often such a choice is right.

    Parameters
    ----------
    table_of_runs
        One row a run (or checkpoint of one), with its recipe, size, tokens or compute, seed and
        metrics; the dearest scale that most recipes share is the target.

    Returns
    -------
    CorpusChoice
        `recipes` has a row a recipe, `decisions` a row a proxy and scale, `proxies` a row a proxy,
        `laws` a row a way of extrapolating.

    Raises
    ------
    InputError
        Without two scales at which two recipes were run.
    OptionError
        For a metric or task that the table does not have.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> rows = [(f"r{r}", n, s, 0.3 + 0.02 * r + 0.01 * np.log10(n) + 0.003 * rng.normal())
    ...         for r in range(6) for n in (1e6, 1e7, 1e8) for s in range(3)]
    >>> runs = pd.DataFrame(rows, columns=["recipe", "parameters", "seed", "accuracy"])
    >>> runs["tokens"] = 20 * runs["parameters"]
    >>> result = choose_corpus(runs, rng=0)
    >>> result.table["recipe"].iloc[0]
    'r5'
    """
    runs = read_runs(table_of_runs, tasks, lower, (parameters_unit, tokens_unit, compute_unit))
    metric = choose_metric(runs, metric)
    key = (choose_task(runs, metric, focus), metric)
    target = choose_target(runs, key, target_compute)
    found = analyse(runs, key, target, draws, loss_metric, laws, rng)
    proxies = proxy_rows(found, small, goal, level)
    place = best_proxy(proxies, found)
    recipes = recipe_rows(found, place, small, level, rng)
    details: dict[str, Any] = {
        "recipes": recipes,
        "decisions": decision_rows(found, level),
        "proxies": proxies,
        "laws": law_rows(found, level),
        "metric": name_of(key),
        "best_proxy": name_of(found.proxies[place]),
        "rising": _rising(found, place),
        "ceiling": _ceiling(found),
        "target_compute": float(runs.compute[target]),
    }
    if not details[table]:
        raise InputError(
            "no law could be fitted: that needs three sizes below the target's",
            remedy="leave out the option 'table', or give runs of more sizes",
        )
    status, advice = _status(found)
    return CorpusChoice(
        headline=_headline(found, details, place, small, goal, level),
        table=pd.DataFrame(details[table]),
        values=tuple(_values(found, details, place, small, goal, level)),
        details=details,
        status=status,
        advice=advice,
        warnings=tuple(_notices(runs, found, details, place, small)),
    )


# --- steps -----------------------------------------------------------------------------------


def _ceiling(found: Analysis) -> float:
    """Share of pairs whose observed order at the target is the true one, as expected."""
    pairs = found.order[0] != 0
    sure = surety_of_order(found.noise.means[None], found.noise)[0]
    return float(np.mean(sure[pairs])) if pairs.any() else 0.5


def _rising(found: Analysis, place: int) -> dict[str, list[float]]:
    answer = {}
    for one in (0, place):
        curve = found.curves[[0], one]
        known = np.isfinite(curve[0])
        answer[name_of(found.proxies[one])] = rising_curve(curve)[0][known].tolist()
    return answer


# --- in words --------------------------------------------------------------------------------


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"


def _needed_text(row: dict[str, Any], goal: float) -> str:
    if not np.isfinite(row["share_needed"]):
        return f"no scale below the target reaches {_percent(goal)}"
    high = "never" if not np.isfinite(row["share_high"]) else _percent(row["share_high"])
    return (
        f"{_percent(goal)} takes {_percent(row['share_needed'])} of the target's compute "
        f"({_percent(row['share_low'])} to {high})"
    )


def _headline(
    found: Analysis,
    details: dict[str, Any],
    place: int,
    small: float,
    goal: float,
    level: float,
) -> str:
    first = details["recipes"][0]
    chance = first["probability_best"]
    sure = " (how surely is open: one seed)"
    if np.isfinite(chance):
        sure = f" with probability {chance:.2f}"
    rows = {row["proxy"]: row for row in details["proxies"]}
    best, own = rows[details["best_proxy"]], rows[details["metric"]]
    text = (
        f"At the target {first['recipe']!r} is best by {details['metric']}{sure}; single runs at "
        f"up to {_percent(small)} of its compute order two recipes right in "
        f"{_percent(best['accuracy'])} of pairs ({100 * level:g} % interval "
        f"{100 * best['low']:.0f} to {100 * best['high']:.0f}) by {details['best_proxy']}, "
        f"the best of {len(rows)} metrics,"
    )
    if place:
        text += f" and in {_percent(own['accuracy'])} by {details['metric']} itself"
    text = f"{text.rstrip(',')}; {_needed_text(best, goal)}"
    gain, low, high = mean_law_gain(found, level)
    if np.isfinite(gain):
        text += (
            f"; laws change that share by {100 * gain:+.0f} points ({100 * low:+.0f} to "
            f"{100 * high:+.0f}) against their largest size alone"
        )
    return text + "."


def _values(
    found: Analysis,
    details: dict[str, Any],
    place: int,
    small: float,
    goal: float,
    level: float,
) -> Iterator[Value]:
    how = "recipes and seeds drawn with replacement, moved to the estimate"
    rows = {row["proxy"]: row for row in details["proxies"]}
    best, own = rows[details["best_proxy"]], rows[details["metric"]]
    few = "too few draws decide a pair"
    for title, row in (("deciding metric", own), ("best proxy", best)):
        yield Value(
            f"decision accuracy, {title}", row["accuracy"], row["low"], row["high"], level,
            unit="share of pairs", method=how, why_no_interval=few,
        )  # fmt: skip
    yield Value(
        "gain of the best proxy", best["gain"], best["gain_low"], best["gain_high"], level,
        unit="share of pairs", method=f"{how}; the best of {len(rows)}, so too high by chance",
        why_no_interval="the deciding metric is the best",
    )  # fmt: skip
    reached = np.isfinite(best["share_needed"])
    yield Value(
        f"compute for {_percent(goal)} right", best["share_needed"] if reached else None,
        best["share_low"] if reached else None, best["share_high"] if reached else None, level,
        unit="share of the target's", method=f"{how.partition(',')[0]}, rising curve",
        why_no_interval="not reached below the target",
    )  # fmt: skip
    gain, low, high = mean_law_gain(found, level)
    if np.isfinite(gain):
        yield Value(
            "laws less their largest size", gain, low, high, level, unit="share of pairs",
            method=f"{how}; mean over {len(details['laws'])} fits", why_no_interval=few,
        )  # fmt: skip
    yield Value(
        "probability that the first is best", details["recipes"][0]["probability_best"],
        unit="probability", why_no_interval="a posterior probability itself",
    )  # fmt: skip
    yield Value(
        "order that the target's noise leaves", details["ceiling"], unit="share of pairs",
        why_no_interval="an expectation under the seeds' noise",
    )  # fmt: skip
    ratio = found.spread[:, 0, found.target] / found.seed_noise[:, 0, found.target]
    known = ratio[np.isfinite(ratio)]
    if len(known) > 20 and np.isfinite(ratio[0]):
        low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
        yield Value(
            "spread over noise at the target", float(ratio[0]), float(low), float(high), level,
            method="recipes drawn with replacement",
        )  # fmt: skip


def _status(found: Analysis) -> tuple[Status, str]:
    if len(found.runs.recipes) < 3:
        return Status.ASSUMPTION_DOUBTFUL, (
            "two recipes make one pair, which says little of how often small runs are right; "
            "give runs of more recipes"
        )
    if found.noise.between == 0:
        return Status.ASSUMPTION_DOUBTFUL, (
            "at the target the recipes differ by no more than seeds do, so there is nothing to "
            "decide; use more seeds, larger test sets or a continuous metric"
        )
    return Status.OK, ""


def _notices(
    runs: Runs, found: Analysis, details: dict[str, Any], place: int, small: float
) -> Iterator[Notice]:
    scale = pilot_scale(found, place, small)
    yield Notice(
        "scales",
        f"the target has {runs.parameters[found.target]:.3g} parameters and "
        f"{runs.tokens[found.target]:.3g} tokens; the columns about the pilot are of "
        f"{details['best_proxy']} at {runs.parameters[scale]:.3g} parameters and "
        f"{runs.tokens[scale]:.3g} tokens",
    )
    if runs.one_recipe:
        yield Notice(
            "one-recipe", f"{runs.one_recipe} rows are of a scale that only one recipe has"
        )
    if runs.repeats:
        yield Notice(
            "repeats",
            f"{runs.repeats} rows repeat a recipe, scale and seed; they were averaged",
            "name the column of seeds with repeat=COLUMN",
        )
    if runs.ignored:
        yield Notice(
            "columns-ignored", f"columns without different numbers: {', '.join(runs.ignored[:8])}"
        )
    if not np.isfinite(found.noise.within):
        yield Notice(
            "one-seed",
            "no recipe was run twice at the target, so its noise is unknown: pairs that differ by "
            "chance count like the others",
            "give at least two seeds at the target",
        )
    elif details["ceiling"] < 0.85:
        yield Notice(
            "noisy-target",
            f"at the target's noise about {100 * (1 - details['ceiling']):.0f} % of the pairs are "
            "observed in the wrong order; the column 'corrected' allows for it",
            "more seeds at the target would tell more",
        )
    if _FEW_RECIPES > len(runs.recipes) > 2:
        yield Notice(
            "few-recipes",
            f"{len(runs.recipes)} recipes make {len(runs.recipes) * (len(runs.recipes) - 1) // 2} "
            "pairs: the shares are coarse",
        )
    yield from _ladder_notices(runs, details)


def _ladder_notices(runs: Runs, details: dict[str, Any]) -> Iterator[Notice]:
    lacking = [row["recipe"] for row in details["recipes"] if not np.isfinite(row["target"])]
    if lacking:
        yield Notice(
            "without-target",
            f"{len(lacking)} recipe(s) have no run at the target ({', '.join(lacking[:5])}); their "
            "column 'predicted' rests on the pilot",
        )
    if not details["laws"]:
        yield Notice("no-laws", "no law was fitted: that needs three sizes below the target's")
