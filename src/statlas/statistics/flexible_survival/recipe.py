"""The recipe: what covariates do to times until an event, and which hazard shape fits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from statlas.core import (
    Columns,
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
from statlas.core.progress import track
from statlas.statistics.flexible_survival.family import FloatArray
from statlas.statistics.flexible_survival.fitting import (
    FAMILIES,
    Design,
    Family,
    Fit,
    cure_fraction,
    fit_survival,
    likelihood_ratio,
    predict,
    quantile_time,
)
from statlas.statistics.flexible_survival.likelihood import Times
from statlas.statistics.flexible_survival.reading import (
    Covariates,
    design_of,
    kaplan_meier,
    read_covariates,
    read_times,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Model = Literal["aft", "ph", "both", "none"]

_CURVE, _GROUPS = 80, 4  # points of a curve, groups in the figure
_AVERAGED = 200  # rows over which a curve is averaged, about
_EVENTS_EACH = 10  # events a coefficient below which its interval is doubtful
_WORDS = {
    "phi": "time scale", "lambda": "hazard scale", "gamma": "power", "kappa": "shape",
}  # fmt: skip
_EFFECT = {
    "phi": "time ratio", "lambda": "hazard ratio", "gamma": "power ratio",
    "kappa": "ratio of kappa + 1",
}  # fmt: skip
_SECOND_SCALE = 0.01  # p-value below which a free lambda is pointed out
_ACTS = {
    "phi": "times", "lambda": "the hazard", "gamma": "the power of time", "kappa": "kappa + 1",
}  # fmt: skip
_DELTA = "delta method, observed information"


@dataclass(frozen=True, kw_only=True)
class SurvivalReport(Result):
    """A fitted survival model; `table` has a row a coefficient."""

    def draw(self, figure: Figure) -> None:
        """Kaplan-Meier beside the fitted survival of each group, and the hazards with bands."""
        figure.set_size_inches(10.0, 4.4)
        left, right = figure.subplots(1, 2)
        self._draw_survival(left)
        self._draw_hazard(right)

    def _time_label(self) -> str:
        unit = self.options.get("time_unit", "")
        return f"time ({unit})" if unit else "time"

    def _draw_survival(self, axes: Axes) -> None:
        from statlas.core.figures import PALETTE, plain_label

        for place, group in enumerate(self.details["groups"]):
            color = PALETTE[place]
            steps = [0.0, *group["km_time"]], [1.0, *group["km_survival"]]
            axes.step(*steps, where="post", color=color, linewidth=1, alpha=0.75)
            axes.plot(group["time"], group["survival"], color=color,
                      label=plain_label(f"{group['name']} ({group['rows']} rows)"))  # fmt: skip
            axes.fill_between(group["time"], group["survival_low"], group["survival_high"],
                              color=color, alpha=0.18, linewidth=0)  # fmt: skip
        level = 100 * self.options["level"]
        axes.set(ylim=(0, 1.02), xlim=(0, None), xlabel=self._time_label())
        axes.set_ylabel(f"share without the event ({level:g} % band)")
        axes.set_title("Fitted (smooth) and Kaplan-Meier (steps)")
        axes.legend(fontsize=8)

    def _draw_hazard(self, axes: Axes) -> None:
        from statlas.core.figures import PALETTE

        top = 0.0
        for place, group in enumerate(self.details["groups"]):
            shown = slice(2, None)  # next to 0 the hazard may be without bound
            moments, hazard = group["time"][shown], group["hazard"][shown]
            axes.plot(moments, hazard, color=PALETTE[place])
            axes.fill_between(moments, group["hazard_low"][shown], group["hazard_high"][shown],
                              color=PALETTE[place], alpha=0.18, linewidth=0)  # fmt: skip
            top = max(top, 2.0 * max(hazard))
        unit = self.options.get("time_unit", "")
        axes.set(xlim=(0, None), xlabel=self._time_label())
        axes.set_ylim(0, min(axes.get_ylim()[1], top))
        axes.set_ylabel(f"hazard (1 / {unit or 'time'}, {100 * self.options['level']:g} % band)")
        axes.set_title(f"Hazard, {self.options['family']}")


@recipe(
    "flexible-survival",
    example=Example(
        file="insulator_strings.csv",
        about="2,000 insulator strings of power lines: age at failure or when last seen, age when "
        "watching began, and three measures of air pollution.",
        origin="Every sixth row of `insulator_string` in the package relife 3.0.0 (RTE, "
        "Apache-2.0); recorded by examples/record_insulator_strings.py.",
    ),
)
def survival_model(
    times: Annotated[
        Table,
        Roles(
            time=Number(
                ge=0,
                help="time of the event, or until which it had not happened; with upper, the "
                "lower end of the interval",
                aliases=(
                    "duration",
                    "t",
                    "survival",
                    "survival_time",
                    "futime",
                    "age",
                    "lifetime",
                    "tenure",
                    "week",
                    "days",
                ),
            ),
            event=Number(
                ge=0,
                le=1,
                integer=True,
                help="1 where the event happened, 0 where censored",
                aliases=(
                    "status",
                    "observed",
                    "death",
                    "died",
                    "dead",
                    "failure",
                    "failed",
                    "cens",
                    "churn",
                    "churned",
                    "arrest",
                    "death_event",
                    "event_observed",
                ),
            ),
            entry=Number(
                ge=0,
                optional=True,
                help="time from which the row was watched (left truncation)",
                aliases=("start", "entry_time", "truncation", "enter", "left_truncation"),
            ),
            upper=Number(
                ge=0,
                optional=True,
                gaps=True,
                help="upper end of the interval in which the event happened; equal to time where "
                "exact",
                aliases=("time_upper", "upper_time", "stop", "right", "upper_bound"),
            ),
            covariates=Columns(optional=True, help="numbers or labels that may act on the times"),
            min_rows=10,
        ),
    ],
    *,
    model: Annotated[
        Model, Option(help="covariates scale time (aft), the hazard (ph), both, or none of these")
    ] = "aft",
    family: Annotated[Family, Option(help="the whole family (apgw) or a special case of it")] = (
        "apgw"
    ),
    power: Annotated[
        tuple[str, ...], Option(help="covariates that also act on the power gamma")
    ] = (),
    shape: Annotated[
        tuple[str, ...], Option(help="covariates that also act on the shape kappa")
    ] = (),
    group: Annotated[
        str | None, Option(help="covariate whose groups are drawn; the strongest by default")
    ] = None,
    at: Annotated[tuple[float, ...], Option(gt=0, help="times at which survival is wanted")] = (),
    time_unit: Annotated[str, Option(help="unit of time, for text and figure")] = "",
    compare: Annotated[bool, Option(help="also fit the special cases and compare them")] = True,
    level: Annotated[float, Option(gt=0, lt=1, help="confidence level of intervals")] = 0.95,
) -> SurvivalReport:
    """Fit censored times by the adapted power generalised Weibull and say what covariates do.

    Parameters
    ----------
    times
        One row a unit (patient, machine, customer): `time`, `event`, if need be `entry` and
        `upper`, and covariates.

    Returns
    -------
    SurvivalReport
        `table` has a row a coefficient; `details` holds the comparison of special cases, the
        predictions and the curves.

    Examples
    --------
    >>> result = survival_model.run_example(compare=False)
    >>> result.table["parameter"].tolist()[:2]
    ['phi (time scale)', 'phi (time scale)']
    """
    known = read_times(times)
    unused = model == "none" and not (power or shape or group)
    covariates = Covariates.none(times.n_rows) if unused else read_covariates(times)
    _check_names(group, covariates)
    design = design_of(model, power, shape, family, covariates)
    _check_size(known, design)
    fit = fit_survival(known, covariates.matrix, design)
    table = _coefficients(fit, covariates, level)
    main = group or _strongest(table, covariates)
    comparison = _compare(known, covariates, fit) if compare else pd.DataFrame()
    centre = covariates.matrix.mean(axis=0)
    values = _values(fit, table, centre, at, level, time_unit)
    status, advice = _status(fit)
    return SurvivalReport(
        headline=_headline(fit, table, values, comparison, main, level, time_unit, known),
        table=table,
        values=tuple(values),
        details={
            "comparison": comparison.to_dict("records"),
            "predictions": _predictions(fit, centre, at, level),
            "groups": _groups(known, covariates, fit, main, level),
            "log_likelihood": fit.log_likelihood, "aic": fit.aic, "bic": fit.bic,
            "events": fit.n_events, "main_covariate": main,
        },
        status=status,
        advice=advice,
        warnings=tuple(_notices(known, fit, values, at, comparison)),
    )  # fmt: skip


def _check_names(group: str | None, covariates: Covariates) -> None:
    if group is not None and group not in covariates.of:
        known = ", ".join(map(repr, dict.fromkeys(covariates.of))) or "none"
        raise OptionError(f"option 'group' names {group!r}; the covariates are {known}")


def _check_size(known: Times, design: Design) -> None:
    events, wanted = int(known.event.sum()), len(design.labels)
    if events < wanted + 1:
        raise InputError(
            f"{events} events for {wanted} coefficients; more events than coefficients are needed",
            remedy="name fewer covariates (covariates=COLUMN,...) or a special case "
            "(family=weibull)",
        )


# --- tables --------------------------------------------------------------------------------------


def _coefficients(fit: Fit, covariates: Covariates, level: float) -> pd.DataFrame:
    z = float(stats.norm.ppf((1 + level) / 2))
    errors = np.sqrt(np.diag(fit.covariance))
    rows = []
    for (parameter, column), estimate, error in zip(
        fit.design.labels, fit.coefficients, errors, strict=True
    ):
        row: dict[str, Any] = {"parameter": f"{parameter} ({_WORDS[parameter]})"}
        if column < 0:
            shift = fit.log_unit if parameter == "phi" else 0.0
            row |= {"covariate": "at the mean", "coefficient": estimate - shift,
                    "standard_error": error, "low": estimate - shift - z * error,
                    "high": estimate - shift + z * error, "p_value": np.nan,
                    "step": np.nan, "effect": "value of the parameter"}  # fmt: skip
            ends = np.exp([row["coefficient"], row["low"], row["high"]])
            ratio, low, high = ends - 1 if parameter == "kappa" else ends
        else:
            per = fit.spread[column]
            row |= {"covariate": covariates.names[column], "coefficient": estimate / per,
                    "standard_error": error / per, "low": (estimate - z * error) / per,
                    "high": (estimate + z * error) / per,
                    "p_value": float(2 * stats.norm.sf(abs(estimate / error))),
                    "step": covariates.steps[column],
                    "effect": f"{_EFFECT[parameter]} for the step"}  # fmt: skip
            sign = -1.0 if parameter == "phi" else 1.0  # a larger phi makes times shorter
            ends = np.exp(
                sign * row["step"] * np.array([row["coefficient"], row["low"], row["high"]])
            )
            ratio, (low, high) = ends[0], np.sort(ends[1:])
        rows.append(row | {"effect_size": ratio, "effect_low": low, "effect_high": high})
    return pd.DataFrame(rows)


def _strongest(table: pd.DataFrame, covariates: Covariates) -> str | None:
    """The column of the table with the smallest p-value on a scale."""
    rows = table[table["step"].notna()].sort_values("p_value", kind="stable")
    if not len(rows):
        return None
    return covariates.of[covariates.names.index(rows["covariate"].iloc[0])]


_LARGER: dict[Family, Family] = {"apgw": "apgw4", "burr": "apgw4", "gompertz": "apgw4"}


def _compare(known: Times, covariates: Covariates, fit: Fit) -> pd.DataFrame:
    """All special cases with the same covariates, and the test of each within the larger one."""
    fits: dict[Family, Fit] = {}
    families: list[Family] = list(FAMILIES)
    for family in track(families, "fitting special cases"):
        if family == fit.design.family:
            fits[family] = fit
            continue
        phi, lam, gamma, kappa = fit.design.columns
        _, fixed_gamma, fixed_nu = FAMILIES[family]
        columns = (
            phi,
            lam,
            gamma if fixed_gamma is None else (),
            kappa if fixed_nu is None else (),
        )
        design = replace(fit.design, columns=columns, family=family)
        if len(design.labels) < fit.n_events:
            fits[family] = fit_survival(known, covariates.matrix, design)
    rows = []
    for family, one in fits.items():
        larger: Family = _LARGER.get(family, "apgw")
        tested = family != "apgw4" and larger in fits
        gain, p = likelihood_ratio(one, fits[larger]) if tested else (np.nan, np.nan)
        rows.append(
            {"family": family, "parameters": one.n_parameters,
             "log_likelihood": one.log_likelihood, "aic": one.aic, "bic": one.bic,
             "within": larger if tested else "", "likelihood_ratio": gain, "p_value": p,
             "converged": one.converged, "at_limit": ", ".join(one.at_edge)}
        )  # fmt: skip
    return pd.DataFrame(rows).sort_values("aic", kind="stable").reset_index(drop=True)


def _predictions(
    fit: Fit, centre: FloatArray, at: tuple[float, ...], level: float
) -> list[dict[str, float]]:
    if not at:
        return []
    found = predict(fit, centre, np.array(at), level)
    return [
        {"time": float(t), **{name: float(part[i]) for name, part in found.items()}}
        for i, t in enumerate(at)
    ]


def _groups(
    known: Times, covariates: Covariates, fit: Fit, main: str | None, level: float
) -> list[dict[str, Any]]:
    """Kaplan-Meier and fitted mean curves of the groups of the main covariate."""
    parts = {"all rows": np.ones(len(known), dtype=bool)}
    if main is not None and main in covariates.factors:
        factor = covariates.factors[main]
        common = np.argsort(-np.bincount(factor.codes), kind="stable")[:_GROUPS]
        parts = {f"{main} = {factor.levels[c]}": factor.codes == c for c in sorted(common)}
    elif main is not None:
        column = covariates.matrix[:, covariates.columns_of(main)[0]]
        cut = float(np.median(column))
        cut = cut if (column > cut).any() else float(column.min())
        low = column <= cut
        parts = {f"{main} up to {cut:.4g}": low, f"{main} above {cut:.4g}": ~low}
    groups = []
    for name, rows in parts.items():
        own = known.rows(rows)
        end = float(np.nanmax(np.concatenate([own.time, own.upper])))
        moments = np.linspace(0, end, _CURVE + 1)[1:]
        some = covariates.matrix[rows][:: max(1, int(rows.sum()) // _AVERAGED)]
        curves = predict(fit, some if some.shape[1] else some[:1], moments, level)
        km_time, km = kaplan_meier(own) if own.event.any() else (np.zeros(0), np.zeros(0))
        groups.append(
            {"name": name, "rows": int(rows.sum()), "time": moments.tolist(),
             "km_time": km_time.tolist(), "km_survival": km.tolist(),
             **{key: part.tolist() for key, part in curves.items()}}
        )  # fmt: skip
    return groups


# --- what is said --------------------------------------------------------------------------------


def _values(
    fit: Fit,
    table: pd.DataFrame,
    centre: FloatArray,
    at: tuple[float, ...],
    level: float,
    unit: str,
) -> list[Value]:
    values = []
    for row in table.to_dict("records"):
        name = row["parameter"].split()[0]
        if np.isnan(row["step"]):
            label = f"{name} at the mean"
        else:
            label = f"{_EFFECT[name]} of {row['covariate']}"
            label += "" if row["step"] == 1 else f" for {row['step']:.3g} more"
        own = f"1 / {unit}" if unit and label == "phi at the mean" else ""
        ends = (row["effect_size"], row["effect_low"], row["effect_high"])
        values.append(_value(label, *ends, level, own))
    values.append(_value("median time", *quantile_time(fit, centre, level=level), level, unit))
    if _may_cure(fit):
        values.append(_value("share that never has the event", *cure_fraction(fit, centre, level),
                             level, "share"))  # fmt: skip
    for one in _predictions(fit, centre, at, level):
        values.append(_value(f"survival at {one['time']:g}", one["survival"], one["survival_low"],
                             one["survival_high"], level, "share"))  # fmt: skip
    return values


def _value(name: str, estimate: float, low: float, high: float, level: float, unit: str) -> Value:
    if not np.isfinite(estimate):
        return Value(
            name, None, unit=unit, why_no_interval="it is never reached in the fitted model"
        )
    if not (np.isfinite(low) and np.isfinite(high)):
        return Value(name, estimate, unit=unit, why_no_interval="the data do not determine it")
    return Value(name, estimate, low, high, level, unit, _DELTA)


def _may_cure(fit: Fit) -> bool:
    return FAMILIES[fit.design.family][2] is None


def _headline(
    fit: Fit, table: pd.DataFrame, values: list[Value], comparison: pd.DataFrame,
    main: str | None, level: float, unit: str, known: Times,
) -> str:  # fmt: skip
    parts = []
    percent = f"{100 * level:g} % interval "
    if main is not None:
        parts.append(_effect_text(table, main, percent))
        percent = ""
    median = next(v for v in values if v.name == "median time")
    if median.estimate is None:
        parts.append("half never have the event in the fitted model")
    else:
        beyond = " (beyond the last time seen)" if median.estimate > known.time.max() else ""
        unit_text = f" {unit}" if unit else ""
        parts.append(f"the median time at the covariates' mean is {median.estimate:.4g}{unit_text}"
                     f"{_between(median.low, median.high, percent)}{beyond}")  # fmt: skip
    parts.append(_shape_text(fit, values, comparison))
    text = "; ".join(filter(None, parts)) + "."
    return text[0].upper() + text[1:] if main is None else text


def _effect_text(table: pd.DataFrame, main: str, percent: str) -> str:
    """What the main covariate (its clearest label) does, on each parameter that it acts on."""
    rows = table[table["step"].notna() & table["covariate"].map(lambda c: _is_of(c, main))]
    first = rows.sort_values("p_value", kind="stable").iloc[0]
    acts = []
    for row in rows[rows["covariate"] == first["covariate"]].to_dict("records"):
        acts.append(f"{_ACTS[row['parameter'].split()[0]]} by {row['effect_size']:.3g}"
                    f"{_between(row['effect_low'], row['effect_high'], percent)}")  # fmt: skip
        percent = ""
    step = "" if first["step"] == 1 else f", {first['step']:.3g} (a standard deviation) more,"
    return f"{first['covariate'][:60]}{step} multiplies {' and '.join(acts)}"


def _is_of(covariate: str, main: str) -> bool:
    return covariate == main or covariate.startswith(f"{main} = ")


def _between(low: Any, high: Any, before: str) -> str:
    if low is None or high is None or not (np.isfinite(low) and np.isfinite(high)):
        return " (no interval)"
    return f" ({before}{low:.3g} to {high:.3g})"


def _shape_text(fit: Fit, values: list[Value], comparison: pd.DataFrame) -> str:
    text = []
    if _may_cure(fit):
        kappa = next(v for v in values if v.name == "kappa at the mean")
        text.append(f"kappa is {kappa.estimate:.3g}{_between(kappa.low, kappa.high, '')}")
    if len(comparison) and fit.design.family == "apgw":
        tests = comparison.set_index("family")["p_value"]
        plain = [f"{name} (p = {tests[name]:.2g})" for name in ("weibull", "log-logistic")]
        kept = [
            p for p, n in zip(plain, ("weibull", "log-logistic"), strict=True) if tests[n] > 0.05
        ]
        text.append(f"{' and '.join(kept)} fit{'s' * (len(kept) == 1)} as well" if kept
                    else f"{' and '.join(plain)} are ruled out")  # fmt: skip
    share = [v for v in values if v.name == "share that never has the event" and v.estimate]
    if share:
        ends = _between(share[0].low, share[0].high, "")
        text.append(f"{share[0].estimate:.3g}{ends} never have the event")
    return ", ".join(text)


def _status(fit: Fit) -> tuple[Status, str]:
    if not fit.converged:
        return Status.NOT_CONVERGED, (
            "the likelihood has no clear maximum; leave covariates out, let each act on one "
            "parameter only, or choose a special case (family=weibull)"
        )
    if fit.at_edge:
        return Status.ASSUMPTION_DOUBTFUL, (
            f"the estimate of {', '.join(fit.at_edge)} is at the edge of its range, taken as known "
            "in intervals; a special case at that limit (family=exponential-power for a large "
            "kappa) says the same with fewer parameters"
        )
    if fit.n_events < _EVENTS_EACH * fit.n_parameters:
        return Status.ASSUMPTION_DOUBTFUL, (
            f"{fit.n_events} events for {fit.n_parameters} coefficients; intervals rest on large "
            f"numbers ({_EVENTS_EACH} events a coefficient), so leave covariates out or fix the "
            "shape"
        )
    errors = np.sqrt(np.diag(fit.covariance))
    wide = [name for (name, column), e in zip(fit.design.labels, errors, strict=True)
            if column < 0 and e > 2]  # fmt: skip
    if wide:
        return Status.ASSUMPTION_DOUBTFUL, (
            f"the data hardly determine {', '.join(wide)} (near Weibull the two scales say the "
            "same); use family=apgw, which fixes lambda at the covariates' mean"
        )
    return Status.OK, ""


def _notices(
    known: Times, fit: Fit, values: list[Value], at: tuple[float, ...], comparison: pd.DataFrame
) -> list[Notice]:
    notices = []
    last = float(np.nanmax(np.concatenate([known.time, known.upper])))
    median = next(v for v in values if v.name == "median time")
    if max(at, default=0.0) > last or (median.estimate is not None and median.estimate > last):
        notices.append(
            Notice("extrapolated", f"a time asked for lies beyond the last one seen, {last:g}",
                   "it rests on the family alone; compare other families")
        )  # fmt: skip
    share = next((v for v in values if v.name == "share that never has the event"), None)
    if share is not None and (share.estimate or 0) > 0.01:
        notices.append(
            Notice("cure rests on the tail", "the share that never has the event is the limit of "
                   "the fitted curve beyond the data", "trust it only where Kaplan-Meier is flat")
        )  # fmt: skip
    if len(comparison) and fit.design.family == "apgw":
        p = comparison.set_index("family")["p_value"]["apgw"]
        if p < _SECOND_SCALE:
            notices.append(
                Notice("second scale", f"apgw4, with lambda free, fits better (p = {p:.2g})",
                       "run it with family=apgw4 and see whether the answer changes")
            )  # fmt: skip
    if known.interval.any():
        notices.append(
            Notice("intervals", f"{int(known.interval.sum())} events lie in intervals",
                   "the figure's Kaplan-Meier puts them at the middle; the fit does not")
        )  # fmt: skip
    return notices
