"""Expected best of n trials, without bias.

Answers      How good would the best of n random trials be, how sure is that, and does one search
             still win when both get the same number of trials?
Use when     trials are independent draws of one search (random search, seeds) and every one of
             them was kept. Avoid it for adaptive searches (Bayesian optimisation, tuning by hand):
             their later trials depend on the earlier ones. Budgets above the number of trials are
             refused, because nothing observed speaks about them.
Assumes      scores of a search are exchangeable; different searches are independent.
Notation     scores = V_1 .. V_B, order statistics x_(1) <= .. <= x_(B), (n_trials,); n_trials = B;
             budget = n; order_weights = C(i-1, n-1) / C(B, n), the share of the size-n subsets
             whose largest member is x_(i) (the unbiased estimator); plug-in weights =
             (i/B)^n - ((i-1)/B)^n (the maximum of n draws with replacement, biased low)
Departs      Ties need no special case: equal scores share the sum of their weights, whatever their
             order. Weights come from the recurrence w_(i-1) = w_i (i-n)/(i-1) from w_B = n/B;
             log-gamma would lose nine digits at a million trials.
             Interval: the paper shows that percentile bootstraps of the plug-in cover too rarely
             and offers none. Here: jackknife standard error of the unbiased estimator, and
             Student's t with B/n - 1 degrees of freedom, for B trials hold about B/n independent
             budgets. Of normal, t with B - 1, Satterthwaite, percentile, BCa and bootstrap-t it was
             the only one without resampling that kept its level. Simulated on beta, (truncated)
             normal and U-shaped scores, 95 % intervals cover 0.94 to 0.98 for B = 20 to 200 and
             n <= B/5 (on exponential scores 0.91 to 0.95), and up to 0.99 at n = B/3. Above n = B/3
             none is given: the answer hangs on the few best trials, and every interval tried covers
             too rarely or is too wide to say anything.
             The best is the smallest score with `better="lower"`. Searches are compared by the
             difference of their curves, its interval by Welch's rule; intervals hold for each
             budget alone, not for a whole curve.
             Checked by enumerating subsets and against the authors' code on their scores.
Reference    Tang et al. (2020), Showing Your Work Doesn't Always Work, arXiv:2004.13705; the
             plug-in is that of Dodge et al. (2019), arXiv:1909.03004.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.special import ndtr, ndtri

from statlas.core import (
    Above,
    Below,
    Category,
    Example,
    InputError,
    Notice,
    Number,
    Option,
    Oracle,
    Result,
    Roles,
    Status,
    Table,
    Twin,
    Value,
    Within,
    claim,
    recipe,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Better = Literal["higher", "lower"]
# Weights of the n_kept best scores, best first: (n_trials, n_kept, budget) -> (n_kept,).
TopWeights = Callable[[int, int, int], FloatArray]

# An interval needs this many disjoint budgets among the trials (see Departs).
_FEWEST_BUDGETS = 3
# Budget of the headline: a fifth of the trials, where intervals are still informative.
_HEADLINE_SHARE = 5
_LONGEST_CURVE = 200

# --- the method, on arrays -------------------------------------------------------------------


def order_weights(n_trials: int, budget: int) -> FloatArray:
    """Weight of each order statistic in the unbiased expected maximum.

    Parameters
    ----------
    n_trials
        Number of trials, B.
    budget
        Number of trials whose best is wanted, n in 1 to B.

    Returns
    -------
    ndarray
        Shape (n_trials,), for scores in ascending order; sums to 1.

    Examples
    --------
    >>> print(order_weights(4, 2).round(4))
    [0.     0.1667 0.3333 0.5   ]
    """
    _checked_budgets(budget, n_trials)
    return _unbiased_weights(n_trials, n_trials, budget)[::-1]


def expected_best(scores: ArrayLike, budgets: ArrayLike, better: Better = "higher") -> FloatArray:
    """Unbiased expected best of n trials: the mean best over all subsets of n scores.

    Parameters
    ----------
    scores
        Score of each trial, shape (n_trials,).
    budgets
        Numbers of trials n, whole numbers from 1 to n_trials, shape (n_budgets,) or ().
    better
        Whether the best is the largest or the smallest score.

    Returns
    -------
    ndarray
        Shape (n_budgets,).

    Raises
    ------
    ValueError
        If a budget is not a whole number from 1 to n_trials.

    Notes
    -----
    Time O(n_trials) for a budget, less for a large one: only about 45 n_trials / n of the best
    scores have a weight that a double can see. Memory O(n_trials), whatever the budgets.

    Examples
    --------
    >>> print(expected_best([0.1, 0.4, 0.7], [1, 2, 3]).round(3))
    [0.4 0.6 0.7]
    """
    return _weighted_best(scores, budgets, better, _unbiased_weights)


def plug_in_best(scores: ArrayLike, budgets: ArrayLike, better: Better = "higher") -> FloatArray:
    """Plug-in expected best of n trials, drawn with replacement: pessimistic, for comparison.

    Parameters and result as in `expected_best`.

    Examples
    --------
    >>> print(plug_in_best([0.1, 0.4, 0.7], [1, 2, 3]).round(3))
    [0.4   0.533 0.6  ]
    """
    return _weighted_best(scores, budgets, better, _plug_in_weights)


def standard_error(scores: ArrayLike, budgets: ArrayLike, better: Better = "higher") -> FloatArray:
    """Jackknife standard error of `expected_best`; NaN where the budget takes every trial.

    Leaving out x_(i) instead of x_(i+1) raises the estimate by v_i (x_(i+1) - x_(i)), where v are
    the weights for one trial less, so all leave-one-out estimates are one cumulative sum.

    Parameters and shapes as in `expected_best`.

    Examples
    --------
    >>> print(standard_error([0.1, 0.4, 0.7], [1, 2, 3]).round(4))
    [0.1732 0.2       nan]
    """
    best_first, flat = _prepared(scores, budgets, better)
    n_trials, gaps = len(best_first), -np.diff(best_first)
    errors = np.full(len(flat), np.nan)
    for place in np.flatnonzero(flat < n_trials):
        n_kept = _n_kept(n_trials - 1, flat[place])
        weights = _unbiased_weights(n_trials - 1, n_kept, flat[place])
        gains = np.cumsum(weights * gaps[:n_kept])
        # The best trial gains 0; the trials beyond the last kept one gain what that one does.
        n_tail = n_trials - 1 - n_kept
        mean = (gains.sum() + n_tail * gains[-1]) / n_trials
        squares = mean**2 + ((gains - mean) ** 2).sum() + n_tail * (gains[-1] - mean) ** 2
        errors[place] = np.sqrt((n_trials - 1) / n_trials * squares)
    return errors.reshape(np.shape(budgets))


def best_interval(
    scores: ArrayLike, budgets: ArrayLike, level: float = 0.95, better: Better = "higher"
) -> tuple[FloatArray, FloatArray]:
    """Confidence interval of the expected best at each budget alone.

    Parameters
    ----------
    scores, budgets, better
        As in `expected_best`.
    level
        Confidence level in (0, 1).

    Returns
    -------
    low, high
        Shape (n_budgets,); NaN above a third of the trials, and where no trial that matters
        differs from the others.

    Examples
    --------
    >>> low, high = best_interval(np.arange(50) / 50, [1, 10, 40])
    >>> print(low.round(3), high.round(3))
    [0.407 0.825   nan] [0.573 0.989   nan]
    """
    centre = expected_best(scores, budgets, better)
    error, freedom = _error_and_freedom(scores, budgets, better)
    margin = stats.t.ppf((1 + level) / 2, freedom) * error
    return centre - margin, centre + margin


def difference_interval(
    first: ArrayLike,
    second: ArrayLike,
    budgets: ArrayLike,
    level: float = 0.95,
    better: Better = "higher",
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Difference of two searches' expected bests, first minus second, with its interval.

    Parameters
    ----------
    first, second
        Scores of two independent searches, shapes (n_first,) and (n_second,).
    budgets, level, better
        As in `best_interval`; budgets up to the smaller number of trials.

    Returns
    -------
    difference, low, high
        Shape (n_budgets,); bounds are NaN where either search has no interval.

    Examples
    --------
    >>> a, b = np.arange(50) / 50, np.arange(40) / 80
    >>> difference, low, high = difference_interval(a, b, 5)
    >>> print(difference.round(3), low.round(3), high.round(3))
    0.415 0.325 0.505
    """
    difference = expected_best(first, budgets, better) - expected_best(second, budgets, better)
    error_a, freedom_a = _error_and_freedom(first, budgets, better)
    error_b, freedom_b = _error_and_freedom(second, budgets, better)
    square_a, square_b = error_a**2, error_b**2
    error = np.sqrt(square_a + square_b)
    freedom = (square_a + square_b) ** 2 / (square_a**2 / freedom_a + square_b**2 / freedom_b)
    margin = stats.t.ppf((1 + level) / 2, freedom) * error
    return difference, difference - margin, difference + margin


def _error_and_freedom(
    scores: ArrayLike, budgets: ArrayLike, better: Better
) -> tuple[FloatArray, FloatArray]:
    """Standard error and degrees of freedom, NaN where there is no interval."""
    error = standard_error(scores, budgets, better)
    disjoint = np.size(scores) / np.asarray(budgets, dtype=float)
    usable = (disjoint >= _FEWEST_BUDGETS) & (error > 0)
    return np.where(usable, error, np.nan), np.where(usable, disjoint - 1, np.nan)


def _unbiased_weights(n_trials: int, n_kept: int, budget: int) -> FloatArray:
    """Weights C(i-1, n-1) / C(B, n) of the n_kept best scores, best first."""
    ranks = n_trials - np.arange(1.0, n_kept)
    weights = np.empty(n_kept)
    weights[0] = budget / n_trials
    # Below rank n the exact weight is 0, which the clipped factors keep.
    np.maximum((ranks - (budget - 1)) / ranks, 0.0, out=weights[1:])
    np.cumprod(weights, out=weights)
    # Their sum is 1; dividing takes the rounding of the recurrence off (2e-12 at a million trials).
    weights /= weights.sum()
    return weights


def _plug_in_weights(n_trials: int, n_kept: int, budget: int) -> FloatArray:
    """Weights (i/B)^n - ((i-1)/B)^n of the n_kept best scores, best first."""
    share_below = 1 - np.arange(n_kept + 1) / n_trials
    return -np.diff(share_below**budget)


def _n_kept(n_trials: int, budget: int) -> int:
    """How many of the best scores have a weight that matters.

    The best of n lies below the k best of B with probability at most exp(-k n / B), for either set
    of weights: past k = 45 B / n that is below 3e-20 and no double sees it.
    """
    return min(n_trials, 45 * n_trials // int(budget) + 1)


def _weighted_best(
    scores: ArrayLike, budgets: ArrayLike, better: Better, weights: TopWeights
) -> FloatArray:
    best_first, flat = _prepared(scores, budgets, better)
    n_trials, best = len(best_first), np.empty(len(flat))
    for place, budget in enumerate(flat):
        n_kept = _n_kept(n_trials, budget)
        best[place] = best_first[:n_kept] @ weights(n_trials, n_kept, budget)
    # Adding 0 turns -0 into 0.
    return (best if better == "higher" else -best).reshape(np.shape(budgets)) + 0.0


def _prepared(scores: ArrayLike, budgets: ArrayLike, better: Better) -> tuple[FloatArray, IntArray]:
    """Scores as larger-is-better in descending order, and the checked budgets, both flat."""
    values = np.asarray(scores, dtype=float)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError("scores must be a non-empty one-dimensional array of finite numbers")
    ascending = np.sort(values if better == "higher" else -values)
    return np.ascontiguousarray(ascending[::-1]), _checked_budgets(budgets, len(values))


def _checked_budgets(budgets: ArrayLike, n_trials: int) -> IntArray:
    flat = np.asarray(budgets).reshape(-1)
    if not np.all((flat >= 1) & (flat <= n_trials) & (flat == np.floor(flat))):
        raise ValueError(
            f"budgets must be whole numbers from 1 to {n_trials}, the trials there are"
        )
    return flat.astype(np.int64)


# --- recipe ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class BudgetCurve(Result):
    """Expected best score against the number of trials, a row a search and budget."""

    @property
    def differences(self) -> pd.DataFrame:
        """The leading search minus each other one, at every budget, with interval."""
        return pd.DataFrame(self.details["differences"])

    def draw(self, figure: Figure) -> None:
        """Curves with their intervals; the plug-in dashed; right, differences to the leader."""
        pairs = list(self.differences.groupby("other", sort=False)) if len(self.differences) else []
        axes = figure.subplots(1, 2 if pairs else 1, squeeze=False)[0]
        for colour, (search, rows) in enumerate(self.table.groupby("search", sort=False)):
            shade = f"C{colour % 8}"
            _draw_band(axes[0], rows, "expected_best", shade, str(search))
            axes[0].plot(rows["budget"], rows["plug_in"], "--", color=shade, linewidth=1)
        axes[0].plot([], [], "--", color="grey", linewidth=1, label="plug-in")
        axes[0].set_ylabel(f"expected best {self.details['score_name']}")
        for other, rows in pairs:
            position = self.details["searches"].index(other)
            label = f"{self.details['leader']} − {other}"
            _draw_band(axes[-1], rows, "difference", f"C{position % 8}", label)
        if pairs:
            axes[-1].axhline(0, color="black", linewidth=0.8)
            axes[-1].set_ylabel(f"difference in expected best {self.details['score_name']}")
        for axis in axes:
            axis.set_xscale("log")
            axis.xaxis.set_major_formatter("{x:g}")
            axis.set_xlabel(f"trials (band: {100 * self.options['level']:g} % interval)")
            axis.legend()
        figure.set_size_inches(10.5 if pairs else 7.2, 4.2)


def _draw_band(axis: Any, rows: pd.DataFrame, centre: str, colour: str, label: str) -> None:
    low, high = rows["low"].astype(float), rows["high"].astype(float)
    axis.fill_between(rows["budget"], low, high, color=colour, alpha=0.2, linewidth=0)
    marker = "o" if len(rows) == 1 else None
    axis.plot(rows["budget"], rows[centre], color=colour, marker=marker, label=label)


@recipe(
    "show-your-work",
    example=Example(
        file="search_runs.csv",
        about="Two random hyperparameter searches on handwritten digits, 100 trials each: a small "
        "network and a support vector machine.",
        origin="Recorded with scikit-learn on its digits data (UCI, CC BY 4.0).",
    ),
)
def budget_curve(
    trials: Annotated[
        Table,
        Roles(
            score=Number(
                help="validation score of the trial",
                aliases=(
                    "acc",
                    "accuracy",
                    "f1",
                    "value",
                    "val_score",
                    "mean_test_score",
                    "metric",
                ),
            ),
            search=Category(
                optional=True,
                help="which search the trial belongs to",
                aliases=("model", "model_name", "name", "algorithm", "method"),
            ),
        ),
    ],
    *,
    max_budget: Annotated[
        int | None,
        Option(
            ge=1,
            help="largest number of trials to report; none: as many as the smallest search has, "
            f"at most {_LONGEST_CURVE}",
        ),
    ] = None,
    better: Annotated[Better, Option(help="whether higher or lower scores are better")] = "higher",
    level: Annotated[float, Option(gt=0, lt=1, help="confidence level of the intervals")] = 0.95,
) -> BudgetCurve:
    """Expected best score of n trials for every n, of each search, and their differences.

    Parameters
    ----------
    trials
        One row a trial: its score and, to compare several, its search.

    Returns
    -------
    BudgetCurve
        `table` has a row a search and budget: the unbiased expected best, its interval (absent
        above a third of the trials), and the biased plug-in for comparison. `differences` compares
        the leading search with each other one at every budget.

    Examples
    --------
    >>> curve = budget_curve({"score": [0.1, 0.4, 0.7]})
    >>> curve.table["expected_best"].round(3).tolist()
    [0.4, 0.6, 0.7]
    """
    searches = _scores_by_search(trials)
    smallest = min(len(scores) for scores in searches.values())
    if max_budget is None:
        max_budget = min(smallest, _LONGEST_CURVE)
    _refuse_beyond_trials(trials, searches, max_budget)
    budgets = np.arange(1, max_budget + 1)
    table = pd.concat(
        [_curve_rows(name, scores, budgets, level, better) for name, scores in searches.items()],
        ignore_index=True,
    )
    shown = min(max_budget, max(1, smallest // _HEADLINE_SHARE))
    ranking = _ranked(table, shown, better)
    others = {name: searches[name] for name in ranking[1:]}
    differences = [
        row
        for name, scores in others.items()
        for row in _difference_rows(name, searches[ranking[0]], scores, budgets, level, better)
    ]
    score_name = str(trials.columns["score"])
    at_shown = table[table["budget"] == shown]
    computable = bool(at_shown["low"].notna().all())
    return BudgetCurve(
        headline=_headline(at_shown.set_index("search"), ranking, differences, shown, level),
        table=table,
        values=tuple(_values(table, differences, ranking, shown, level, score_name)),
        details={
            "differences": differences,
            "leader": ranking[0],
            "searches": list(searches),
            "trials": {name: len(scores) for name, scores in searches.items()},
            "headline_budget": shown,
            "score_name": score_name,
        },
        status=Status.OK if computable else Status.NOT_COMPUTABLE,
        advice=""
        if computable
        else "an interval needs at least three trials of every search, with different scores",
        warnings=tuple(_notices(searches, differences, max_budget, better, score_name)),
    )


def _scores_by_search(trials: Table) -> dict[str, FloatArray]:
    scores = trials.number("score")
    if not trials.has("search"):
        return {"all trials": scores}
    search = trials.factor("search")
    return {name: scores[search.codes == code] for code, name in enumerate(search.levels)}


def _refuse_beyond_trials(trials: Table, searches: dict[str, FloatArray], max_budget: int) -> None:
    short = min(searches, key=lambda name: len(searches[name]))
    if max_budget > len(searches[short]):
        raise InputError(
            f"max_budget is {max_budget}, but {short!r} has {len(searches[short])} trials; the "
            "expected best of more trials than were run cannot be estimated without bias",
            column=str(trials.columns.get("search", trials.columns["score"])),
            remedy=f"choose max_budget of at most {len(searches[short])}, or run more trials",
        )


def _curve_rows(
    name: str, scores: FloatArray, budgets: IntArray, level: float, better: Better
) -> pd.DataFrame:
    low, high = best_interval(scores, budgets, level, better)
    return pd.DataFrame(
        {
            "search": name,
            "budget": budgets,
            "expected_best": expected_best(scores, budgets, better),
            "low": low,
            "high": high,
            "plug_in": plug_in_best(scores, budgets, better),
        }
    )


def _ranked(table: pd.DataFrame, budget: int, better: Better) -> list[str]:
    """Searches from best to worst at a budget."""
    rows = table[table["budget"] == budget]
    ordered = rows.sort_values("expected_best", ascending=better == "lower", kind="stable")
    return [str(name) for name in ordered["search"]]


def _difference_rows(
    other: str,
    leading: FloatArray,
    scores: FloatArray,
    budgets: IntArray,
    level: float,
    better: Better,
) -> list[dict[str, Any]]:
    columns = difference_interval(leading, scores, budgets, level, better)
    return [
        {
            "other": other,
            "budget": int(n),
            "difference": float(d),
            "low": float(a),
            "high": float(b),
        }
        for n, d, a, b in zip(budgets, *columns, strict=True)
    ]


def _flips(rows: list[dict[str, Any]]) -> list[int]:
    """Budgets at which the sign of the difference changes from the last one that was not 0."""
    signs = [(row["budget"], np.sign(row["difference"])) for row in rows if row["difference"] != 0]
    return [after[0] for before, after in pairwise(signs) if before[1] != after[1]]


def _of_other(differences: list[dict[str, Any]], other: str) -> list[dict[str, Any]]:
    return [row for row in differences if row["other"] == other]


def _headline(
    rows: pd.DataFrame,
    ranking: list[str],
    differences: list[dict[str, Any]],
    budget: int,
    level: float,
) -> str:
    def said(name: str) -> str:
        row = rows.loc[name]
        interval = f" [{row['low']:.4g}, {row['high']:.4g}]" if np.isfinite(row["low"]) else ""
        return f"{row['expected_best']:.4g}{interval} from {name}"

    many = f"{budget} trial{'s' if budget > 1 else ''}"
    text = f"With {many}, expect {' and '.join(said(name) for name in ranking[:2])}"
    text += f" ({100 * level:g} % intervals)" if rows["low"].notna().any() else ""
    if len(ranking) == 1:
        return text + "."
    pair = _of_other(differences, ranking[1])
    at = pair[budget - 1]
    if not np.isfinite(at["low"]):
        told = "whether they differ cannot be told"
    elif at["low"] <= 0 <= at["high"]:
        told = f"the difference of {at['difference']:.3g} could be chance"
    else:
        told = (
            f"the difference of {at['difference']:.3g} [{at['low']:.3g}, {at['high']:.3g}] is real"
        )
    flips = _flips(pair)
    if len(flips) == 1:
        told += f"; with fewer than {flips[0]} trials {ranking[1]} leads"
    elif flips:
        told += f"; the estimated ranking changes {len(flips)} times, first at {flips[0]} trials"
    return f"{text}; {told}."


def _values(
    table: pd.DataFrame,
    differences: list[dict[str, Any]],
    ranking: list[str],
    shown: int,
    level: float,
    unit: str,
) -> Iterator[Value]:
    """Each search at one trial, at the headline's budget and at the largest; differences."""
    why = "more than a third of the trials, too few trials, or no spread among the scores"
    method = "jackknife, Student's t with B/n - 1 degrees of freedom"
    for budget in sorted({1, shown, int(table["budget"].max())}):
        for curve in table[table["budget"] == budget].to_dict("records"):
            name = f"expected best of {budget}, {curve['search']}"
            bounds = (curve["low"], curve["high"], level)
            yield Value(name, curve["expected_best"], *bounds, unit, method, why_no_interval=why)
    for row in differences:
        if row["budget"] == shown:
            name = f"{ranking[0]} minus {row['other']} at {shown}"
            bounds = (row["low"], row["high"], level)
            yield Value(name, row["difference"], *bounds, unit, method, why_no_interval=why)


def _notices(
    searches: dict[str, FloatArray],
    differences: list[dict[str, Any]],
    max_budget: int,
    better: Better,
    score_name: str,
) -> Iterator[Notice]:
    smallest = min(len(scores) for scores in searches.values())
    last = smallest // _FEWEST_BUDGETS
    if max_budget > last > 0:
        yield Notice(
            "no-interval",
            f"above {last} trials (a third of the smallest search) the estimate hangs on the few "
            "best trials and no interval is reliable",
            f"for an interval at n trials run at least {_FEWEST_BUDGETS} n of each search, better "
            f"{_HEADLINE_SHARE} n",
        )
    for name, scores in searches.items():
        if len(scores) > 1 and np.ptp(scores) == 0:
            yield Notice(
                "constant", f"all scores of {name} are equal", "check that they were recorded"
            )
        elif len(scores) >= 10 and stats.spearmanr(np.arange(len(scores)), scores).pvalue < 1e-4:
            yield Notice(
                "trend",
                f"the scores of {name} rise or fall along the rows",
                "harmless if the table was sorted; if rows are in order of time the search "
                "adapted, and its trials are not independent draws",
            )
    words = ("loss", "error", "perplexity", "rmse", "mse", "mae")
    if better == "higher" and any(word in score_name.lower() for word in words):
        yield Notice(
            "direction",
            f"{score_name!r} sounds like lower is better, but the highest is taken as best",
            "use better=lower (--better lower) if so",
        )
    for other in dict.fromkeys(row["other"] for row in differences):
        flips = _flips(_of_other(differences, other))
        if flips:
            yield Notice(
                "flip",
                f"the leading search and {other} change places at {flips[0]} trials"
                + (f" (and {len(flips) - 1} more times)" if len(flips) > 1 else ""),
                "see `differences` for where the interval excludes 0",
            )


# --- claims ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class CutNormal:
    """Normal scores cut off at 0 and at a ceiling, as in the paper's simulations."""

    mean: float
    deviation: float
    ceiling: float

    @property
    def _limits(self) -> tuple[float, float]:
        """Normal probabilities of the two ends."""
        low, high = ndtr((np.array([0.0, self.ceiling]) - self.mean) / self.deviation)
        return float(low), float(high)

    def draw(self, rng: np.random.Generator, size: int | tuple[int, ...]) -> FloatArray:
        """Draw independent scores."""
        scores = self.mean + self.deviation * ndtri(rng.uniform(*self._limits, size))
        return np.asarray(scores)

    def expected_max(self, budget: int) -> float:
        """Exact E[max] of `budget` draws: the ceiling minus the integral of F^n."""
        nodes, weights = np.polynomial.legendre.leggauss(200)
        low, high = self._limits
        scores = self.ceiling / 2 * (nodes + 1)
        below = (ndtr((scores - self.mean) / self.deviation) - low) / (high - low)
        return float(self.ceiling - self.ceiling / 2 * weights @ below**budget)


_NARROW = CutNormal(0.5, 0.1, 0.6)
_WIDE = CutNormal(0.25, 0.2, 0.75)
_WIDE_BEST = {budget: _WIDE.expected_max(budget) for budget in (10, 15)}


def _mean_error(rng: np.random.Generator, estimate: Any, n_trials: int, budget: int) -> float:
    """Mean error over 200 simulated searches."""
    searches = _NARROW.draw(rng, (200, n_trials))
    errors = [estimate(scores, budget) for scores in searches]
    return float(np.mean(errors) - _NARROW.expected_max(budget))


@claim(
    "show-your-work",
    says="the plug-in expected maximum is biased low",
    where="the theorem on its bias",
    expect=Below(0),
    unit="mean error of the score, 50 trials, budget 25",
    subject=plug_in_best,
    twin=Twin("the unbiased estimator", expected_best),
    quick=20,
    full=400,
)
def plug_in_bias(rng: np.random.Generator, estimate: Any) -> float:
    """Mean error over 200 searches."""
    return _mean_error(rng, estimate, 50, 25)


@claim(
    "show-your-work",
    says="averaging the best over all subsets of n trials is unbiased",
    where="the unbiased estimator",
    expect=Within(-0.0005, 0.0005),
    unit="mean error of the score, 50 trials, budget 25",
    subject=expected_best,
    twin=Twin("the plug-in", plug_in_best),
    quick=150,
    full=1_000,
)
def no_bias(rng: np.random.Generator, estimate: Any) -> float:
    """Mean error over 200 searches."""
    return _mean_error(rng, estimate, 50, 25)


@claim(
    "show-your-work",
    says="the plug-in more often falls below the best of n fresh trials than above it",
    where="the experiment that counts negative errors",
    expect=Above(0.6),
    unit="share of errors that are negative, 30 trials, budget 28",
    subject=plug_in_best,
    twin=Twin("the unbiased estimator", expected_best),
    quick=30,
    full=400,
)
def negative_errors(rng: np.random.Generator, estimate: Any) -> float:
    """Share over 200 searches, each with fresh trials to compare with."""
    searches, fresh = _NARROW.draw(rng, (200, 30)), _NARROW.draw(rng, (200, 28))
    return float(np.mean([estimate(s, 28) for s in searches] < fresh.max(axis=1)))


def _bootstrap_interval(
    rng: np.random.Generator, scores: FloatArray, budget: int, n_resamples: int = 500
) -> tuple[float, float]:
    """Percentile bootstrap of the plug-in at 95 %."""
    n_trials = len(scores)
    resamples = -np.sort(-rng.choice(scores, (n_resamples, n_trials)), axis=1)
    estimates = resamples @ _plug_in_weights(n_trials, n_trials, budget)
    low, high = np.quantile(estimates, (0.025, 0.975))
    return float(low), float(high)


def _interval(
    rng: np.random.Generator, scores: FloatArray, budget: int
) -> tuple[FloatArray, FloatArray]:
    return best_interval(scores, budget)


def _covers(rng: np.random.Generator, interval: Any, budget: int) -> float:
    low, high = interval(rng, _WIDE.draw(rng, 50), budget)
    return float(low <= _WIDE_BEST[budget] <= high)


@claim(
    "show-your-work",
    says="percentile bootstrap intervals of the plug-in cover far too rarely",
    where="the experiment on bootstrap intervals",
    expect=Below(0.9),
    unit="share of 95 % intervals that cover, 50 trials, budget 15",
    subject=_bootstrap_interval,
    twin=Twin("jackknife interval of the unbiased estimator", _interval),
    quick=800,
    full=10_000,
    kind="proportion",
)
def bootstrap_under_covers(rng: np.random.Generator, interval: Any) -> float:
    """Whether one search's interval covers."""
    return _covers(rng, interval, 15)


@claim(
    "show-your-work",
    says="the interval that takes the bootstrap's place keeps its level of 95 % (our addition)",
    where="not in the paper, which leaves better intervals open",
    expect=Above(0.94),
    unit="share of 95 % intervals that cover, 50 trials, budget 10",
    subject=_interval,
    twin=Twin("percentile bootstrap of the plug-in", _bootstrap_interval),
    quick=2_500,
    full=20_000,
    kind="proportion",
)
def interval_covers(rng: np.random.Generator, interval: Any) -> float:
    """Whether one search's interval covers."""
    return _covers(rng, interval, 10)


@claim(
    "show-your-work",
    says="the order-statistic weights give exactly the mean best over all subsets, ties included",
    where="the unbiased estimator",
    expect=Oracle(1e-12),
    unit="deviation from enumerating the subsets",
    subject=expected_best,
    twin=Twin("the plug-in", plug_in_best),
    quick=100,
    full=2_000,
)
def exact_by_enumeration(rng: np.random.Generator, estimate: Any) -> float:
    """Deviation for 2 to 10 trials with tied scores and a random budget."""
    scores = rng.integers(0, 5, rng.integers(2, 11)) / 4
    budget = int(rng.integers(1, len(scores) + 1))
    subsets = combinations(scores.tolist(), budget)
    return float(estimate(scores, budget) - np.mean([max(subset) for subset in subsets]))
