"""From the user's table to scores of models, with every refusal and what was filled in."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from statlas.core import AssumptionError, InputError, Notice, OptionError, Table
from statlas.core.numerics.laws.allocation import FLOPS_PER_PARAMETER_AND_TOKEN
from statlas.core.runs import unit_in_name
from statlas.scaling.sloth.law import FloatArray, ModelScores

FEWEST_FAMILIES = 5


@dataclass(frozen=True)
class Named:
    """Scores as shares of a perfect one, with the names of families and benchmarks.

    Attributes
    ----------
    data
        The models; tokens NaN where neither the table nor its compute tells them.
    families, benchmarks
        Names in the order of the numbers in `data`.
    notices
        What was filled in.
    """

    data: ModelScores
    families: list[str]
    benchmarks: list[str]
    notices: tuple[Notice, ...]


def read_scores(table: Table, perfect: float) -> Named:
    """A row a model, a column a benchmark; each model has one family, size and token count."""
    model, family, benchmark = (table.factor(n) for n in ("model", "family", "benchmark"))
    cell = model.codes * benchmark.n_levels + benchmark.codes
    repeated = np.bincount(cell)
    if repeated.max() > 1:
        row, column = divmod(int(repeated.argmax()), benchmark.n_levels)
        raise InputError(
            f"model {model.levels[row]!r} has {int(repeated.max())} scores on "
            f"{benchmark.levels[column]!r}",
            column=str(table.columns["model"]),
            remedy="give each model a name of its own, or average its scores",
        )
    scores = np.full((model.n_levels, benchmark.n_levels), np.nan)
    scores[model.codes, benchmark.codes] = table.number("score") / perfect
    _refuse_outside(scores, benchmark.levels, perfect, str(table.columns["score"]))
    families = _of_models(table, "family", family.codes.astype(float)).astype(np.int64)
    size = _of_models(table, "parameters", table.number("parameters"))
    tokens, notices = _tokens(table, size, families)
    data = ModelScores(size, tokens, families, family.n_levels, scores)
    if np.ptp(size) == 0:
        raise AssumptionError("all models have the same size, so there is no law of size")
    return Named(data, family.levels, benchmark.levels, notices)


def _refuse_outside(scores: FloatArray, names: list[str], perfect: float, column: str) -> None:
    outside = (scores < 0) | (scores > 1)
    for place in np.flatnonzero(outside.any(axis=0)):
        value = scores[outside[:, place], place][0] * perfect
        raise InputError(
            f"scores of {names[place]!r} must lie between 0 and {perfect:g}; found {value:g}",
            column=column,
            remedy="say what a perfect score is (perfect=100), or list the columns that are "
            "scores: score=COLUMN,COLUMN",
        )


def _of_models(table: Table, role: str, values: FloatArray) -> FloatArray:
    """The one value that each model's rows share."""
    model = table.factor("model")
    of_model = np.empty(model.n_levels)
    of_model[model.codes] = values
    shared = of_model[model.codes]
    differs = (shared != values) & ~(np.isnan(shared) & np.isnan(values))
    if differs.any():
        raise InputError(
            f"model {model.levels[model.codes[int(differs.argmax())]]!r} has different values in "
            "different rows",
            column=str(table.columns[role]),
            remedy="give each model one value, or each variant its own model name",
        )
    return of_model


# --- tokens that are not known ------------------------------------------------------------------


def _tokens(
    table: Table, size: FloatArray, family: np.ndarray
) -> tuple[FloatArray, tuple[Notice, ...]]:
    """Tokens of each model, from its compute or its family where the table does not tell them."""
    stated = table.has("tokens")
    tokens = np.full(len(size), np.nan)
    if stated:
        tokens = _of_models(table, "tokens", table.number("tokens"))
    notices = []
    from_compute = np.isnan(tokens)
    if table.has("compute") and from_compute.any():
        tokens = np.where(from_compute, _from_compute(table, size), tokens)
        from_compute &= np.isfinite(tokens)
        if from_compute.any():
            notices.append(
                Notice("tokens-from-compute", f"tokens of {from_compute.sum()} of {len(size)} "
                       "models are taken as compute / (6 parameters)",
                       "name a column of tokens with tokens=COLUMN")
            )  # fmt: skip
    filled = _from_family(tokens, family)
    from_family = np.isnan(tokens) & np.isfinite(filled)
    if from_family.any():
        notices.append(
            Notice("tokens-from-family", f"tokens of {from_family.sum()} of {len(size)} models are "
                   "taken as the geometric mean of their family's", "fill them in if they differ")
        )  # fmt: skip
    unknown = np.isnan(filled)
    if unknown.any():
        notices.append(_unknown_tokens(unknown, family, stated))
    return filled, tuple(notices)


def _from_compute(table: Table, size: FloatArray) -> FloatArray:
    """C / (6 N), in units of the column of tokens, or plain where there is none."""
    compute = _of_models(table, "compute", table.number("compute"))
    compute = compute * unit_in_name(str(table.columns["compute"]))
    per_token = FLOPS_PER_PARAMETER_AND_TOKEN * unit_in_name(str(table.columns["parameters"]))
    unit = unit_in_name(str(table.columns["tokens"])) if table.has("tokens") else 1.0
    tokens: FloatArray = np.where(compute > 0, compute, np.nan) / (per_token * size * unit)
    return tokens


def _from_family(tokens: FloatArray, family: np.ndarray) -> FloatArray:
    known = np.isfinite(tokens)
    n = int(family.max()) + 1
    count = np.bincount(family, known, n)
    total = np.bincount(family, np.log(np.where(known, tokens, 1.0)), n)
    mean = np.where(count > 0, np.exp(total / np.maximum(count, 1)), np.nan)
    filled: FloatArray = np.where(known, tokens, mean[family])
    return filled


def _unknown_tokens(unknown: np.ndarray, family: np.ndarray, stated: bool) -> Notice:
    if unknown.all():
        return Notice(
            "no-tokens", "tokens are not known, so the law has log size as its only feature",
            "name a column of tokens or compute with tokens=COLUMN or compute=COLUMN",
        )  # fmt: skip
    n = len(np.unique(family[unknown]))
    return Notice(
        "unknown-tokens",
        f"tokens of {int(unknown.sum())} models of {n} {'family' if n == 1 else 'families'} are "
        "not known; each such family counts as trained on one amount at all sizes, whose effect "
        "is in its efficiency, and its size slope is that at the mean tokens of the others",
        "fill them in where they are known",
    )


# --- is there enough? ---------------------------------------------------------------------------


def check_enough(named: Named, skills: int) -> None:
    """Refuse tables on which the law or its intervals cannot be made."""
    data = named.data
    if skills > len(named.benchmarks):
        raise OptionError(
            f"option 'skills' is {skills}, and the table has {len(named.benchmarks)} benchmark(s); "
            "use at most as many skills"
        )
    several = int((np.bincount(data.family) > 1).sum())
    if len(named.families) < FEWEST_FAMILIES or several < 3:
        raise AssumptionError(
            f"intervals need at least {FEWEST_FAMILIES} families, 3 of them with two or more "
            f"models; found {len(named.families)} and {several}; give more families"
        )
    for name, column in zip(named.benchmarks, data.scores.T, strict=True):
        there = column[np.isfinite(column)]
        if len(there) < 3 or np.ptp(there) == 0:
            raise AssumptionError(
                f"benchmark {name!r} has fewer than 3 scores or only equal ones; leave it out by "
                "listing the others: score=COLUMN,COLUMN"
            )


def rates_of(named: Named, common: float, given: tuple[str, ...] | None) -> FloatArray:
    """Guess rate of each benchmark from one for all and a list of NAME=RATE."""
    rates = dict.fromkeys(named.benchmarks, common)
    for item in given or ():
        name, equals, text = item.rpartition("=")
        if name not in rates:
            close = get_close_matches(name, named.benchmarks, n=3)
            raise OptionError(
                f"option 'guess_rates': there is no benchmark {name!r}"
                f"{'; did you mean ' + ' or '.join(map(repr, close)) + '?' if close else ''}"
                f"{'' if equals else '; write BENCHMARK=RATE'}"
            )
        try:
            rates[name] = float(text)
        except ValueError:
            rates[name] = np.nan
        if not 0 <= rates[name] < 1:
            raise OptionError(
                f"option 'guess_rates': the rate of {name!r} must be at least 0 and below 1; "
                f"got {text!r}"
            )
    return np.array([rates[name] for name in named.benchmarks])


def find_family(named: Named, wanted: str | None, unseen: str) -> list[str]:
    """The families to forecast: the one that is wanted, or all and an unseen one."""
    if wanted is None:
        return [*named.families, unseen]
    if wanted not in (*named.families, unseen):
        close = get_close_matches(wanted, named.families, n=3)
        raise OptionError(
            f"option 'target_family': there is no family {wanted!r}; "
            f"use {' or '.join(map(repr, [*close, unseen]))}"
        )
    return [wanted]
