"""The recipe: forecasts for other sizes of each family, and the skills behind the scores."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd

from statlas.core import (
    Category,
    Example,
    Notice,
    Number,
    Option,
    Result,
    Roles,
    Table,
    Value,
    Wide,
    recipe,
)
from statlas.core.rng import Rng
from statlas.core.runs import COMPUTE, NAMED_SIZES, NAMED_TOKENS, PARAMETERS, TOKENS
from statlas.scaling.sloth.axes import Rotation, skill_axes
from statlas.scaling.sloth.figure import draw_forecasts, draw_held_out, draw_loadings
from statlas.scaling.sloth.fitting import SHRINKAGE
from statlas.scaling.sloth.forecast import (
    HeldOut,
    Kind,
    Settings,
    family_means,
    family_squares,
    held_out_coverage,
    hold_out_families,
    jackknife_axes,
    margins,
    mean_efficiency,
    mean_with_interval,
)
from statlas.scaling.sloth.identification import find_doubts
from statlas.scaling.sloth.law import FloatArray, SkillLaw
from statlas.scaling.sloth.reading import (
    Named,
    check_enough,
    find_family,
    rates_of,
    read_scores,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_UNSEEN = "new family"
_SHOWN_PAIRS = 1500  # held-out scores in the figure


@dataclass(frozen=True, kw_only=True)
class SkillForecast(Result):
    """Forecast scores by family and benchmark, with intervals from held-out families."""

    def draw(self, figure: Figure) -> None:
        """Draw one family's forecasts, held-out forecasts against scores, and the loadings."""
        left, middle, right = figure.subplots(1, 3)
        details = self.details
        chosen = self.table[self.table["family"] == details["shown"]]
        figure.set_size_inches(13.5, max(4.2, 1.6 + 0.26 * len(chosen)))
        perfect, level = details["perfect"], self.options["level"]
        draw_forecasts(left, chosen, perfect, level, str(self.columns["parameters"]))
        draw_held_out(middle, details["held_out"], perfect, details["mean_margin"], level)
        draw_loadings(right, details)


@dataclass(frozen=True)
class _Goal:
    """What to forecast; None for what the family or the table tells."""

    times: float
    parameters: float | None
    tokens: float | None


@recipe(
    "sloth",
    example=Example(
        file="skill_families.csv",
        about="240 networks of 20 families (ways of training) at 4 sizes and 3 amounts of images: "
        "scores on ten tests of handwritten digits, one in eight left out.",
        origin="Recorded with scikit-learn (BSD-3) on its digits (UCI optdigits, CC BY 4.0).",
        options={"tokens": "images", "missing": "drop"},
    ),
)
def forecast_scores(
    scores: Annotated[
        Table,
        Roles(
            model=Category(help="name of the model", aliases=("model_name", "models", "name")),
            benchmark=Category(help="name of the test", aliases=("task", "metric", "dataset")),
            score=Number(help="its score", aliases=("accuracy", "value", "acc", "result")),
            family=Category(
                help="models trained alike in all but size and tokens",
                aliases=("model_family", "series"),
            ),
            parameters=replace(PARAMETERS, aliases=(*PARAMETERS.aliases, *NAMED_SIZES)),
            tokens=replace(
                TOKENS,
                gaps=True,
                help="tokens trained on, in any one unit, empty where not known",
                aliases=(*TOKENS.aliases, *NAMED_TOKENS),
            ),
            compute=replace(
                COMPUTE,
                gaps=True,
                help="training compute, for models whose tokens are not known",
                aliases=(*COMPUTE.aliases, "training_compute", "FLOPs (1E21)"),
            ),
            min_rows=10,
            wide=Wide(rows="model", columns="benchmark", values="score"),
        ),
    ],
    *,
    skills: Annotated[int, Option(ge=1, le=6, help="number of latent skills")] = 2,
    link: Annotated[
        Literal["trained", "sigmoid"],
        Option(help="each benchmark's own monotone link, floor included, or a fixed sigmoid"),
    ] = "trained",
    guess_rate: Annotated[
        float, Option(ge=0, lt=1, help="share of a perfect score by chance, on all benchmarks")
    ] = 0.0,
    guess_rates: Annotated[
        tuple[str, ...] | None,
        Option(help="that of single benchmarks, such as MMLU=0.25,Winogrande=0.5"),
    ] = None,
    perfect: Annotated[float, Option(gt=0, help="score of a perfect model, such as 100")] = 1.0,
    rotation: Annotated[Rotation, Option(help="how the axes of the skills are fixed")] = "geomin",
    target_family: Annotated[
        str | None, Option(help="family to forecast, or 'new family'; by default all and a new one")
    ] = None,
    times: Annotated[
        float, Option(gt=0, help="forecast at so many times a family's largest size")
    ] = 2.0,
    at_parameters: Annotated[
        float | None, Option(gt=0, help="forecast at this size instead, in the column's unit")
    ] = None,
    at_tokens: Annotated[
        float | None,
        Option(gt=0, help="tokens to forecast at, in the column's unit; else the family's most"),
    ] = None,
    folds: Annotated[int, Option(ge=5, le=200, help="groups of families held out in turn")] = 20,
    shrinkage: Annotated[
        float, Option(gt=0, le=1, help="pull of family efficiencies towards their common value")
    ] = SHRINKAGE,
    level: Annotated[float, Option(gt=0, lt=1, help="level of the intervals")] = 0.95,
    rng: Rng = None,
) -> SkillForecast:
    """Scores of other sizes of each family, and of a family that was never seen.

    Parameters
    ----------
    scores
        One row a model with a column a benchmark, or one row a score. Missing scores and tokens
        are left to the model with ``missing="drop"``, which drops single scores, not models.

    Returns
    -------
    SkillForecast
        `table` has a row for each family and benchmark; its intervals come from families that were
        held out: for a family with one model from forecasts of all others by their smallest, for
        one with more from forecasts of the largest by all smaller ones, for a new family from
        forecasts by the mean efficiency.

    Examples
    --------
    >>> result = forecast_scores.run_example(target_family="family-03", folds=5, link="sigmoid")
    >>> sorted(result.table.benchmark)[:2]
    ['blurred', 'clean']
    """
    generator = np.random.default_rng(rng)
    named = read_scores(scores, perfect)
    check_enough(named, skills)
    wanted = find_family(named, target_family, _UNSEEN)
    floor = rates_of(named, guess_rate, guess_rates)
    settings = Settings(floor, skills, link == "trained", shrinkage=shrinkage)
    law = settings.fit(named.data, generator)
    held = hold_out_families(named.data, settings, folds=folds, rng=generator)
    axes = skill_axes(law, named.data, rotation)
    half_axes = jackknife_axes(held, named.data, axes, level)
    half = _margins(named, held, level)
    goal = _Goal(times, at_parameters, at_tokens)
    table = _forecasts(named, law, wanted, goal, half, perfect)
    values = _values(named, held, level, perfect)
    doubts, notices = find_doubts(named, law, values, axes, half_axes)
    shown = wanted[0] if target_family else _of_largest(named)
    return SkillForecast(
        headline=_headline(values, level, table if target_family else None),
        table=table,
        values=tuple(values.values()),
        details={
            "shown": shown,
            "perfect": perfect,
            "benchmarks": named.benchmarks,
            "loadings": axes.loadings,
            "loadings_margin": half_axes["loadings"],
            "slopes": axes.slopes,
            "slopes_margin": half_axes["slopes"],
            "features": list(law.features.names),
            "skill_correlation": axes.correlation,
            "floor": law.links.floor * perfect,
            "held_out": _pairs(named, held.errors["one member"], perfect, generator),
            "mean_margin": float(half["one member"].mean()) * perfect,
        },
        status=doubts.status,
        advice=doubts.advice,
        warnings=(*named.notices, *notices, *_beyond(named, table)),
    )


# --- forecasts ----------------------------------------------------------------------------------


def _margins(named: Named, held: HeldOut, level: float) -> dict[Kind, FloatArray]:
    """Half-widths by what is known of a family; too few errors of one kind take the wider kind."""
    squares = {kind: family_squares(errors, named.data) for kind, errors in held.errors.items()}
    half = {kind: margins(values, level) for kind, values in squares.items()}
    if np.isfinite(squares["all smaller"]).any(axis=1).sum() < 3:
        half["all smaller"] = half["one member"]
    return half


def _forecasts(
    named: Named,
    law: SkillLaw,
    wanted: list[str],
    goal: _Goal,
    half: dict[Kind, FloatArray],
    perfect: float,
) -> pd.DataFrame:
    """A row for each family that is wanted and each benchmark."""
    data = named.data
    place = {name: code for code, name in enumerate(named.families)}
    code = np.array([place.get(name, -1) for name in wanted])
    known = code >= 0
    most = _largest(data.size, data.family, len(place))
    size = np.where(known, goal.times * most[code], float(np.median(data.size)))
    tokens = np.where(
        known, _largest(data.tokens, data.family, len(place))[code], _median(data.tokens)
    )
    if goal.parameters is not None:
        size = np.full(len(code), goal.parameters)
    if goal.tokens is not None:
        tokens = np.where(known & np.isnan(tokens), np.nan, goal.tokens)
    efficiency = np.where(known[:, None], law.efficiency[code], mean_efficiency(law, data))
    guess = law.predict(size, tokens, efficiency)
    sizes = np.array([len(np.unique(data.size[data.family == one])) for one in code])
    kind = np.where(~known, "none", np.where(sizes > 1, "all smaller", "one member"))
    width = np.stack([half[one] for one in kind])
    n_bench = len(named.benchmarks)
    return pd.DataFrame(
        {
            "family": np.repeat(np.array(wanted, dtype=object), n_bench),
            "benchmark": np.tile(np.array(named.benchmarks, dtype=object), len(wanted)),
            "parameters": np.repeat(size, n_bench),
            "tokens": np.repeat(tokens, n_bench),
            "prediction": perfect * guess.ravel(),
            "low": perfect * np.maximum(guess - width, 0.0).ravel(),
            "high": perfect * np.minimum(guess + width, 1.0).ravel(),
            "sizes": np.repeat(np.where(known, sizes, 0), n_bench),
        }
    )


def _largest(values: FloatArray, family: np.ndarray, n: int) -> FloatArray:
    """Largest known value of each family, NaN where none is known."""
    most = np.full(n, np.nan)
    np.fmax.at(most, family, values)
    return most


def _median(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else np.nan


def _of_largest(named: Named) -> str:
    return str(named.families[named.data.family[int(np.argmax(named.data.size))]])


# --- values -------------------------------------------------------------------------------------

_WHAT: dict[Kind, str] = {
    "one member": "from the smallest member",
    "all smaller": "of the largest from all smaller",
    "none": "of a new family",
}


def _values(named: Named, held: HeldOut, level: float, perfect: float) -> dict[str, Value]:
    """Mean absolute error and coverage of held-out forecasts, of each kind."""
    values = {}
    for kind, what in _WHAT.items():
        errors = held.errors[kind]
        parts = (
            ("error", family_means(errors, named.data) * perfect, "score"),
            ("coverage", held_out_coverage(errors, named.data, level), "share"),
        )
        for name, numbers, unit in parts:
            n = int(np.isfinite(numbers).sum())
            title = f"held-out {name} {what}"
            if n < 3:
                why = "fewer than three families have members of several sizes"
                values[f"{name} {kind}"] = Value(title, np.nan, why_no_interval=why, unit=unit)
                continue
            mean, low, high = mean_with_interval(numbers, level)
            if unit == "share":
                low, high = max(low, 0.0), min(high, 1.0)
            values[f"{name} {kind}"] = Value(
                title, mean, max(low, 0.0), high, level, unit, f"Student's over {n} families"
            )
    return values


def _headline(values: dict[str, Value], level: float, one: pd.DataFrame | None) -> str:
    """Errors of each kind, after the first forecasts where a single family is asked for."""

    def said(kind: Kind) -> str:
        value = values[f"error {kind}"]
        return f"{value.estimate:.3g} ({value.low:.3g} to {value.high:.3g})"

    start = "" if one is None else _first_forecasts(one, level)
    text = start + (
        f"Larger models of a family are forecast from its smallest one with a mean absolute error "
        f"of {said('one member')}, of a new family with {said('none')}"
    )
    if values["error all smaller"].estimate is not None:
        text += f", the largest size of a family from all smaller ones with {said('all smaller')}"
    cover = values["coverage one member"].estimate
    if cover is not None:
        text += (
            f"; intervals of {100 * level:g} % cover {100 * cover:.0f} % of the scores of larger "
            "models of families that were held out"
        )
    return text + "."


def _first_forecasts(table: pd.DataFrame, level: float) -> str:
    first = table.iloc[0]
    scores = ", ".join(
        f"{row.benchmark} {row.prediction:.3g} ({row.low:.3g} to {row.high:.3g})"
        for row in table.head(3).itertuples()
    )
    more = f" and {len(table) - 3} more in the table" if len(table) > 3 else ""
    return (
        f"{first['family']} at size {first['parameters']:.4g} is forecast at {scores}{more} "
        f"({100 * level:g} % intervals). "
    )


def _pairs(
    named: Named, errors: FloatArray, perfect: float, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Held-out scores and their forecasts, a random sample of them where there are many."""
    rows, columns = np.nonzero(np.isfinite(errors))
    if len(rows) > _SHOWN_PAIRS:
        chosen = np.sort(rng.choice(len(rows), _SHOWN_PAIRS, replace=False))
        rows, columns = rows[chosen], columns[chosen]
    scores = named.data.scores[rows, columns]
    forecasts = scores + errors[rows, columns]
    return [
        {"family": named.families[family], "benchmark": named.benchmarks[column],
         "score": round(perfect * score, 6), "forecast": round(perfect * forecast, 6)}
        for family, column, score, forecast in zip(
            named.data.family[rows], columns, scores.tolist(), forecasts.tolist(), strict=True
        )
    ]  # fmt: skip


def _beyond(named: Named, table: pd.DataFrame) -> tuple[Notice, ...]:
    """A warning where forecasts lie beyond every size or amount of the table."""
    data = named.data
    most = np.fmax.reduce(data.tokens)
    beyond = (table["parameters"] > data.size.max()) | (table["tokens"] > most)
    if not beyond.any():
        return ()
    n = table["family"][beyond].nunique()
    return (
        Notice(
            "extrapolation",
            f"{n} {'forecast lies' if n == 1 else 'forecasts lie'} beyond every size or amount of "
            "training of the table",
            "their intervals come from held-out models inside it and may be too narrow",
        ),
    )
