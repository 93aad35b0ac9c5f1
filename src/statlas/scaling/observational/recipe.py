"""The recipe: forecasts of a downstream score from benchmark scores, compute and family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from statlas.core import (
    AssumptionError,
    Category,
    Example,
    Number,
    Option,
    OptionError,
    Result,
    Roles,
    Table,
    Value,
    Wide,
    recipe,
)
from statlas.core.numerics.proportions import wilson_interval
from statlas.core.rng import Rng
from statlas.core.runs import COMPUTE, NAMED_SIZES, NAMED_TOKENS, PARAMETERS, TOKENS
from statlas.scaling.observational.components import FloatArray
from statlas.scaling.observational.families import own_line_r2
from statlas.scaling.observational.figure import draw_forecasts, draw_lines, draw_link
from statlas.scaling.observational.forecast import (
    Fit,
    Forecast,
    HeldOut,
    Leaderboard,
    Settings,
    bootstrap_fits,
    fit_leaderboard,
    forecast_from_compute,
    forecast_from_scores,
    hold_out_strongest,
)
from statlas.scaling.observational.identification import find_notices, find_status
from statlas.scaling.observational.reading import Named, Units, check_enough, read_leaderboard
from statlas.scaling.observational.selection import mean_variance, select_models

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHOWN = 16  # forecasts in the figure


# --- forecasts as a table -------------------------------------------------------------------------


def _rows(
    forecast: Forecast, level: float, perfect: float, extra: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    low, high = forecast.interval(level)
    expected_low, expected_high = forecast.expected_interval(level)
    columns = (forecast.score, low, high, expected_low, expected_high)
    names = ("score", "low", "high", "expected_low", "expected_high")
    return [
        {**row, **{n: float(c[place]) * perfect for n, c in zip(names, columns, strict=True)}}
        for place, row in enumerate(extra)
    ]


def _forecast_table(
    named: Named,
    fit: Fit,
    fits: list[Fit],
    goals: tuple[float, float | None],
    shown: tuple[float, float],
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Rows of forecasts: a new family, each seen family, models without a downstream score."""
    board, (level, perfect) = named.board, shown
    rows: list[dict[str, Any]] = []
    if fit.law is not None:
        family, compute, about = _goals(named, *goals)
        forecast = forecast_from_compute(fit, fits, compute, family, rng)
        rows += _rows(forecast, level, perfect, about)
    asked = board.scored & ~np.isfinite(board.target)
    kind = "benchmark scores"
    if not rows and not asked.any():
        asked, kind = board.scored, "fitted"
    if asked.any():
        forecast = forecast_from_scores(fit, fits, board.scores[asked], rng)
        about = [
            {"kind": kind, "name": named.models[place], "compute": board.compute[place],
             "decades_beyond": np.nan, "sizes": np.nan}
            for place in np.flatnonzero(asked)
        ]  # fmt: skip
        rows += _rows(forecast, level, perfect, about)
    order = ["kind", "name", "compute", "score", "low", "high", "expected_low", "expected_high"]
    return pd.DataFrame(rows)[[*order, "decades_beyond", "sizes"]]


def _goals(
    named: Named, times: float, at_compute: float | None
) -> tuple[Any, FloatArray, list[dict[str, Any]]]:
    """Family (-1: new), compute and description of each forecast from compute."""
    board = named.board
    known = np.isfinite(board.compute) & board.scored
    largest_of_all = float(board.compute[known].max())
    family, compute, about = [], [], []
    own = [board.compute[known & (board.family == place)] for place in range(board.n_families)]
    if named.has_family and sum(len(values) > 0 for values in own) >= 3:
        family.append(-1)
        compute.append(times * largest_of_all if at_compute is None else at_compute)
        beyond = float(np.log10(compute[-1] / largest_of_all))
        about.append({"kind": "new family", "name": "any", "decades_beyond": beyond, "sizes": 0})
    for place, values in enumerate(own):
        if len(values) == 0 or not named.has_family:
            continue
        goal = times * float(values.max()) if at_compute is None else at_compute
        family.append(place)
        compute.append(goal)
        about.append(
            {"kind": "seen family", "name": named.families[place],
             "decades_beyond": float(np.log10(goal / values.max())),
             "sizes": len(np.unique(values))}
        )  # fmt: skip
    if not about:
        family, compute = [-1], [times * largest_of_all if at_compute is None else at_compute]
        beyond = float(np.log10(compute[0] / largest_of_all))
        about = [{"kind": "new family", "name": "any", "decades_beyond": beyond, "sizes": 0}]
    for row, goal in zip(about, compute, strict=True):
        row["compute"] = goal
    return np.array(family), np.array(compute), about


# --- the result -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ObservationalForecast(Result):
    """Forecasts of a downstream score; `table` has a row a family, or a model without a score."""

    def draw(self, figure: Figure) -> None:
        """Draw the sigmoid, the families' lines (with compute) and the forecasts."""
        details = self.details
        axes = figure.subplots(1, 3 if details["lines"] else 2)
        draw_link(axes[0], details, details["target"], self.options["level"])
        if details["lines"]:
            draw_lines(axes[1], details)
        rows = [
            {**row, **{k: row[k] / details["perfect"] for k in _SCORES}}
            for row in self.table.head(_SHOWN).to_dict("records")
        ]
        for row in rows:
            row["label"] = "a new family" if row["kind"] == "new family" else row["name"][-24:]
        draw_forecasts(axes[-1], rows, details["target"], self.options["level"])
        if len(self.table) > _SHOWN:
            axes[-1].set_title(f"The first {_SHOWN} of {len(self.table)} forecasts")
        figure.set_size_inches(13.5 if details["lines"] else 9.5, max(4.2, 1.6 + 0.24 * len(rows)))


_SCORES = ("score", "low", "high", "expected_low", "expected_high")


@recipe(
    "observational",
    example=Example(
        file="family_ladders.csv",
        about="72 networks of 12 families (ways of training) at 6 sizes of training compute: "
        "scores on eight tests of handwritten digits, some left out, and on six digits in a row.",
        origin="Recorded with scikit-learn (BSD-3) on its digits (UCI optdigits, CC BY 4.0).",
        options={"target": "six_in_a_row", "missing": "drop"},
    ),
)
def forecast_downstream(
    models: Annotated[
        Table,
        Roles(
            model=Category(help="name of the model", aliases=("model_name", "models", "name")),
            benchmark=Category(help="name of the test", aliases=("task", "metric", "dataset")),
            score=Number(help="its score", aliases=("accuracy", "value", "acc", "result")),
            family=Category(
                optional=True,
                help="models trained alike in all but compute",
                aliases=("model_family", "series"),
            ),
            compute=Number(
                ge=0,
                le=1e60,
                optional=True,
                gaps=True,
                help="training compute, 0 or empty where it is not known",
                aliases=(*COMPUTE.aliases, "training_compute", "FLOPs (1E21)"),
            ),
            parameters=Number(
                gt=0,
                le=1e30,
                optional=True,
                gaps=True,
                help="weights of the model; with tokens, compute where that is not known",
                aliases=(*PARAMETERS.aliases, *NAMED_SIZES),
            ),
            tokens=Number(
                gt=0,
                le=1e30,
                optional=True,
                gaps=True,
                help="tokens trained on",
                aliases=(*TOKENS.aliases, *NAMED_TOKENS),
            ),
            wide=Wide(rows="model", columns="benchmark", values="score"),
        ),
    ],
    *,
    target: Annotated[
        str | None, Option(help="benchmark to forecast; by default the last one of the table")
    ] = None,
    benchmarks: Annotated[
        tuple[str, ...] | None,
        Option(help="benchmarks that make the components; by default all but the target"),
    ] = None,
    components: Annotated[
        int | None,
        Option(ge=1, le=20, help="capability components; by default 3, or one below benchmarks"),
    ] = None,
    floor: Annotated[
        float | None,
        Option(ge=0, lt=1, help="share of the perfect score by chance; fitted by default"),
    ] = None,
    highest_floor: Annotated[
        float, Option(gt=0, lt=1, help="largest share that a fitted floor may have")
    ] = 0.2,
    times: Annotated[
        float, Option(gt=0, help="forecast at so many times a family's largest compute")
    ] = 10.0,
    at_compute: Annotated[
        float | None,
        Option(gt=0, help="forecast at this compute for all families instead", unit="FLOP"),
    ] = None,
    compute_unit: Annotated[
        float | None,
        Option(gt=0, help="FLOP in one unit of the column of compute; else as its name says"),
    ] = None,
    parameters_unit: Annotated[
        float | None,
        Option(gt=0, help="parameters in one unit of their column, such as 1e9; else as named"),
    ] = None,
    tokens_unit: Annotated[
        float | None,
        Option(gt=0, help="tokens in one unit of their column, such as 1e12; else as named"),
    ] = None,
    perfect: Annotated[float, Option(gt=0, help="score of a perfect model, such as 100")] = 1.0,
    held_out: Annotated[
        float, Option(gt=0, le=0.5, help="share of models, by compute, that the check holds out")
    ] = 0.25,
    choose: Annotated[
        int, Option(ge=1, le=500, help="models to name as the best to run a new task on first")
    ] = 8,
    level: Annotated[float, Option(gt=0, lt=1, help="level of the intervals")] = 0.95,
    draws: Annotated[int, Option(ge=40, le=5000, help="bootstrap samples of families")] = 200,
    rng: Rng = None,
) -> ObservationalForecast:
    """Forecast a downstream score from benchmark scores, and from compute and family.

    Parameters
    ----------
    models
        One row a model with a column a benchmark, or one row a score. Missing scores are left to
        the model of the components with ``missing="drop"``, which drops single scores, not models.

    Returns
    -------
    ObservationalForecast
        `table` has forecasts for a new family, for each family and for models without the score.
    """
    generator = np.random.default_rng(rng)
    units = Units(compute_unit, parameters_unit, tokens_unit)
    named = read_leaderboard(models, target, benchmarks, perfect, units)
    board = named.board
    most = min(len(named.benchmarks) - 1, 20)
    n_components = min(3, most) if components is None else components
    if n_components > most:
        raise OptionError(
            f"option 'components' must be at most {most}, one below the number of benchmarks; "
            f"got {n_components}"
        )
    check_enough(named, n_components)
    settings = Settings(n_components, floor, highest_floor)
    fit = fit_leaderboard(board, settings)
    fits = bootstrap_fits(board, settings, fit, draws, generator)
    if len(fits) < draws // 2:
        raise AssumptionError(
            "most bootstrap samples of families lack the scores to be fitted; the table has too "
            f"few families ({board.n_families}) or too few scores in them"
        )
    fits = fits if fit.law is None else [one for one in fits if one.law is not None]
    check = hold_out_strongest(board, settings, held_out, max(40, draws // 4), generator)
    goals, shown = (times, at_compute), (level, perfect)
    table = _forecast_table(named, fit, fits, goals, shown, generator)
    values = _values(named, fit, fits, check, table, level, perfect, generator)
    status, advice = find_status(named, fit, fits, check, level)
    return ObservationalForecast(
        headline=_headline(named, table, values, level),
        table=table,
        values=tuple(values),
        details=_details(named, fit, fits, check, choose, perfect, level),
        status=status,
        advice=advice,
        warnings=tuple(find_notices(named, fit, fits, check, table, level)),
        options={"target": named.target, "components": n_components},
    )


# --- values ---------------------------------------------------------------------------------------


def _values(
    named: Named,
    fit: Fit,
    fits: list[Fit],
    check: HeldOut | None,
    table: pd.DataFrame,
    level: float,
    perfect: float,
    rng: np.random.Generator,
) -> list[Value]:
    how = "bootstrap over families"
    values = []

    def add(name: str, estimate: float, drawn: FloatArray, unit: str = "") -> None:
        low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
        values.append(Value(name, estimate, low, high, level, unit, how))

    for place, share in enumerate(fit.components.shares):
        drawn = np.array([one.components.shares[place] for one in fits])
        add(f"variance share of component {place + 1}", float(share), drawn)
    floors = np.array([one.link.floor for one in (fit, *fits)]).round(9) * perfect  # no 1e-20
    add("floor", float(floors[0]), floors[1:])
    if fit.law is not None:
        slopes = np.array([one.law.mean[1] for one in fits if one.law is not None])
        add("mean slope of families", float(fit.law.mean[1]), slopes, "logits per decade")
        values += _r2_value(named, fit, level, rng)
    first = table.iloc[0]
    values.append(
        Value(
            f"{named.target} of {_who(first)}", first["score"], first["low"], first["high"], level,
            "", f"{how}, deviation of models and noise",
        )
    )  # fmt: skip
    if check is None:
        why = "the check needs compute and scores of at least 12 models"
        values.append(
            Value("held-out error over that of compute alone", np.nan, why_no_interval=why)
        )
        return values
    return values + _check_values(named, check, level, perfect, rng)


def _r2_value(named: Named, fit: Fit, level: float, rng: np.random.Generator) -> list[Value]:
    board = named.board
    rows = np.isfinite(board.compute) & board.scored
    index = fit.link.index(fit.components.capabilities(board.scores[rows])[0])
    shares = own_line_r2(index, board.compute[rows], board.family[rows])
    shares = shares[np.isfinite(shares)]
    if len(shares) < 3:
        return []
    medians = np.median(rng.choice(shares, (1000, len(shares))), axis=1)
    low, high = np.quantile(medians, [(1 - level) / 2, (1 + level) / 2])
    name = "median R2 of a family's own line"
    method = f"bootstrap over {len(shares)} families of 3 sizes or more"
    return [Value(name, float(np.median(shares)), low, high, level, "", method)]


def _check_values(
    named: Named, check: HeldOut, level: float, perfect: float, rng: np.random.Generator
) -> list[Value]:
    truth = named.board.target[check.rows]
    family = np.unique(named.board.family[check.rows], return_inverse=True)[1]
    n = int(family.max()) + 1
    counts = rng.multinomial(n, np.full(n, 1 / n), 2000)[:, family].astype(float)
    forecasts = {"benchmark scores": check.forecast.score, "compute alone": check.by_compute}
    if check.from_family is not None:
        forecasts["family and compute"] = check.from_family.score
    how = f"bootstrap over the {n} families held out"
    errors, values = {}, []
    for name, score in forecasts.items():
        squares = (score - truth) ** 2
        drawn = np.sqrt(counts @ squares / counts.sum(axis=1))
        errors[name] = (float(np.sqrt(squares.mean())), drawn)
        low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2]) * perfect
        values.append(
            Value(f"held-out error from {name}", errors[name][0] * perfect, low, high, level,
                  "root mean square", how)
        )  # fmt: skip
    own, rival = errors["benchmark scores"], errors["compute alone"]
    ratio = own[1] / np.maximum(rival[1], 1e-12)
    low, high = np.quantile(ratio, [(1 - level) / 2, (1 + level) / 2])
    values.append(
        Value("held-out error over that of compute alone", own[0] / max(rival[0], 1e-12), low,
              high, level, "", how)
    )  # fmt: skip
    below, above = check.forecast.interval(level)
    inside = int(np.sum((truth >= below) & (truth <= above)))
    low, high = map(float, wilson_interval(inside, len(truth), level))
    values.append(
        Value("held-out scores inside their interval", inside / len(truth), low, high, level, "",
              f"Wilson, {len(truth)} models as if independent")
    )  # fmt: skip
    return values


def _who(row: Any) -> str:
    if row["kind"] == "new family":
        return f"a new family at {row['compute']:.3g} FLOP"
    if row["kind"] == "seen family":
        return f"{row['name']} at {row['compute']:.3g} FLOP"
    return f"{row['name']} from its benchmark scores"


def _headline(named: Named, table: pd.DataFrame, values: list[Value], level: float) -> str:
    first = table.iloc[0]
    text = (
        f"{named.target} of {_who(first)} is forecast as {first['score']:.3g} "
        f"({100 * level:g} % interval {first['low']:.3g} to {first['high']:.3g})"
    )
    seen = table[table["kind"] == "seen family"]
    if first["kind"] == "new family" and len(seen):
        best = seen.iloc[int(seen["score"].argmax())]
        text += (
            f", of {_who(best)} as {best['score']:.3g} ({best['low']:.3g} to {best['high']:.3g})"
        )
    by_name = {value.name: value for value in values}
    ratio = by_name["held-out error over that of compute alone"]
    if ratio.estimate is not None:
        text += (
            f"; models of the most compute, held out, are forecast from benchmark scores with "
            f"{ratio.estimate:.2g} times ({ratio.low:.2g} to {ratio.high:.2g}) the error of a "
            "sigmoid in compute alone"
        )
    return text + "."


# --- details --------------------------------------------------------------------------------------


def _details(
    named: Named,
    fit: Fit,
    fits: list[Fit],
    check: HeldOut | None,
    choose: int,
    perfect: float,
    level: float,
) -> dict[str, Any]:
    board = named.board
    capability, covariance = fit.components.capabilities(board.scores)
    index = fit.link.index(capability)
    grid = np.linspace(index.min(), index.max(), 60)
    chosen = select_models(capability[board.scored], choose)
    return {
        "target": named.target,
        "perfect": perfect,
        "benchmarks": named.benchmarks,
        "loadings": fit.components.loadings,
        "mean": fit.components.mean,
        "noise": np.sqrt(fit.components.noise_var),
        "link": {
            "intercept": fit.link.intercept, "coefficients": fit.link.coefficients,
            "floor": fit.link.floor, "noise": fit.link.noise, "noise_parts": fit.link.noise_parts,
        },
        "link_curve": _link_curve(fit, fits, grid, index, board, level),
        "models": [
            {
                "model": name, "family": named.families[board.family[place]],
                "compute": board.compute[place], "index": index[place],
                "target": board.target[place], "capability": capability[place],
                "capability_error": np.sqrt(np.diag(covariance[place])),
            }
            for place, name in enumerate(named.models)
        ],
        "lines": _lines(named, fit),
        "between_families": None if fit.law is None else fit.law.between,
        "deviation_of_models": None if fit.law is None else fit.law.deviation,
        "run_first": [named.models[place] for place in np.flatnonzero(board.scored)[chosen]],
        "run_first_variance": mean_variance(capability[board.scored], chosen),
        "held_out": [] if check is None else [
            {
                "model": named.models[row], "score": board.target[row],
                "forecast": check.forecast.score[place], "by_compute": check.by_compute[place],
            }
            for place, row in enumerate(check.rows)
        ],
    }  # fmt: skip


def _link_curve(
    fit: Fit,
    fits: list[Fit],
    grid: FloatArray,
    index: FloatArray,
    board: Leaderboard,
    level: float,
) -> dict[str, FloatArray]:
    """The sigmoid with the interval of scores around it."""
    curves = []
    for one in fits:
        own = one.link.index(one.components.capabilities(board.scores)[0])
        slope, shift = np.polyfit(index, own, 1)  # the sample's index in units of the fit's
        curves.append(one.link.score(shift + slope * grid))
    spread = np.std(curves, axis=0)
    score = fit.link.score(grid)
    half = ndtri((1 + level) / 2) * np.hypot(spread, fit.link.noise_at(score))
    return {
        "index": grid, "score": score, "low": np.clip(score - half, 0, 1),
        "high": np.clip(score + half, 0, 1),
    }  # fmt: skip


def _lines(named: Named, fit: Fit) -> list[dict[str, Any]]:
    board, law = named.board, fit.law
    lines: list[dict[str, Any]] = []
    if law is None:
        return []
    for place, name in enumerate(named.families):
        own = board.compute[(board.family == place) & board.scored & np.isfinite(board.compute)]
        if len(own) and len(lines) < 40:
            ends = np.array([own.min(), own.max()])
            lines.append(
                {"family": name, "compute": ends, "index": law.at(ends) @ law.coefficients[place]}
            )
    return lines
