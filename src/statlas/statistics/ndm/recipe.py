"""The recipe: hidden groups of a table of averages, their shares, and how they vary by row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from statlas.core import (
    Category,
    Example,
    Features,
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
from statlas.core.rng import Rng, sklearn_seed
from statlas.statistics.ndm.estimator import LocalFactors, NonparametricDeconvolution
from statlas.statistics.ndm.heldout import hidden_cell_errors
from statlas.statistics.ndm.likelihood import Family, FloatArray, link

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FEWEST = 20
_SHOWN = 12  # local deviations in the figure
_RESAMPLES = 400
_NAMES = {
    "local": "deconvolution",
    "global": "global factors only",
    "pca": "principal components",
    "nmf": "non-negative factors",
    "mean": "feature means",
}


@dataclass(frozen=True, kw_only=True)
class DeconvolutionReport(Result):
    """Factors, shares and local factors; `table` has a row a row of the input."""

    def draw(self, figure: Figure) -> None:
        """What each factor is like, with its local spread, and the largest local deviations."""
        from statlas.core.figures import color_of, plain_label

        left, right = figure.subplots(1, 2, width_ratios=[1, 1])
        measures = self.details["measures"]
        factors = self.details["factors"]
        places = np.arange(len(measures))[::-1]
        for number, factor in enumerate(factors):
            shift = 0.22 * (number - (len(factors) - 1) / 2) / max(len(factors) - 1, 1)
            color = color_of(number)
            left.hlines(places - 2 * shift, factor["low"], factor["high"], color=color, alpha=0.5)
            label = f"factor {factor['factor']} ({100 * factor['share']:.0f} %)"
            left.plot(factor["mean"], places - 2 * shift, "o", color=color, label=label)
        left.set_yticks(places, [plain_label(name) for name in measures])
        unit = self.options.get("unit") or "unit of the table"
        left.set_xlabel(f"global factor, local spread ({unit})")
        left.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, fontsize=8)
        shown = self.table.assign(size=self.table["ratio"].abs()).nlargest(_SHOWN, "size")
        rows = np.arange(len(shown))[::-1]
        colors = [color_of(int(number) - 1) for number in shown["local_factor"]]
        right.hlines(rows, shown["global_value"], shown["local_value"], color="#999999")
        right.scatter(shown["local_value"], rows, color=colors, zorder=3)
        right.plot(shown["global_value"], rows, "|", color="#444444", markersize=9)
        names = [
            plain_label(f"{name}: {measure}")
            for name, measure in zip(shown["row"], shown["local_measure"], strict=True)
        ]
        right.set_yticks(rows, names, fontsize=8)
        right.set_xlabel(f"local value (dot), global (bar) ({unit})")
        right.set_ylim(-0.7, len(shown) - 0.3)
        figure.set_size_inches(10.5, 1.8 + 0.33 * max(len(measures), len(shown)))


@recipe(
    "ndm",
    example=Example(
        file="precinct_votes.csv",
        about="How 120 precincts of Monterey County, California, voted in November 2016: shares "
        "of two candidates and of yes on seven propositions. Which cohorts were there?",
        origin="Precinct results collected by the Los Angeles Times, as shares in the paper's code "
        "(MIT licence); recorded by examples/record_precinct_votes.py.",
        options={"family": "beta", "unit": "share of votes", "n_factors": 3},
    ),
)
def deconvolve(
    averages: Annotated[
        Table,
        Roles(
            name=Category(
                optional=True,
                help="name of the row",
                aliases=("precinct", "district", "sample", "area", "region", "id", "row"),
            ),
            trials=Number(
                optional=True, gt=0,
                help="trials of the row (ballots, reads), for family=binomial",
                aliases=("ballots", "votes", "n_trials"),
            ),
            particles=Number(
                optional=True, gt=0,
                help="members that the row averages over: more members, less local variation",
                aliases=("cells", "members", "population"),
            ),
            measures=Features(minimum=2, help="measured averages, shares or counts"),
            min_rows=_FEWEST,
        ),
    ],
    *,
    family: Annotated[
        Family, Option(help="observation model: plain numbers, shares of trials, shares, counts")
    ] = "gaussian",
    n_factors: Annotated[int, Option(ge=1, le=50, help="number of factors to begin with")] = 4,
    learn_n_factors: Annotated[
        bool, Option(help="merge and split factors while the evidence bound rises")
    ] = True,
    alpha: Annotated[
        float, Option(gt=0, le=1000, help="concentration of rows' shares about the global ones")
    ] = 10.0,
    local_scale: Annotated[
        float,
        Option(gt=0, le=10, help="prior variance of local factors, in variances of the measure"),
    ] = 0.02,
    level: Annotated[float, Option(gt=0, lt=1, help="level of the intervals")] = 0.95,
    unit: Annotated[str, Option(help="unit of the measures, for labels")] = "",
    rng: Rng = None,
) -> DeconvolutionReport:  # fmt: skip
    """Find the hidden groups that rows average over, their shares, and how they vary locally.

    Parameters
    ----------
    averages
        One row an aggregate, one numeric column a measure.

    Returns
    -------
    DeconvolutionReport
        `table` has a row a row of the input: shares of the factors, and the local factor that lies
        furthest from its global one in posterior standard deviations.

    Raises
    ------
    InputError
        If values do not suit the family, a measure is constant, or trials are missing.

    Examples
    --------
    >>> result = deconvolve.run_example()
    >>> result.value("number of factors").unit
    'factors'
    """
    generator = np.random.default_rng(rng)
    x, measures = averages.features("measures")
    extra = _extra_columns(averages, family)
    x = _checked(x, measures, family, extra)
    settings: dict[str, Any] = {
        "family": family, "alpha": alpha, "local_scale": local_scale,
        "random_state": sklearn_seed(generator),
    }  # fmt: skip
    model = NonparametricDeconvolution(
        min(n_factors, len(x) // 5), learn_n_factors=learn_n_factors, **settings
    ).fit(x, **extra)
    local = model.local_factors(x, **extra)
    names = _row_names(averages)
    errors = hidden_cell_errors(x, extra, model.n_factors_, settings, generator)
    values = _values(model, errors, level, generator)
    table = _table(model, local, names, measures)
    status, advice = _status(model, values)
    return DeconvolutionReport(
        headline=_headline(model, values, table, level, unit),
        table=table,
        values=values,
        details={
            "measures": list(measures),
            "factors": _factors(model, level),
            "evidence_bound": model.bounds_.tolist(),
            "errors": {_NAMES[name]: float(np.sqrt(e.mean())) for name, e in errors.items()},
        },
        status=status,
        advice=advice,
        warnings=tuple(_notices(errors, values)),
    )


def _extra_columns(averages: Table, family: Family) -> dict[str, FloatArray]:
    extra = {}
    if averages.has("particles"):
        extra["particles"] = averages.number("particles")
    if averages.has("trials") and family == "binomial":
        extra["trials"] = averages.number("trials")
    if family == "binomial" and not averages.has("trials"):
        raise InputError(
            "family=binomial needs the trials of each row, and no column holds them",
            remedy="name it with trials=COLUMN, or take family=beta for shares without trials",
        )
    return extra


def _row_names(averages: Table) -> list[Any]:
    if not averages.has("name"):
        return list(range(1, averages.n_rows + 1))
    factor = averages.factor("name")
    return [factor.levels[code] for code in factor.codes]


def _checked(
    x: FloatArray, measures: list[str], family: Family, extra: dict[str, FloatArray]
) -> FloatArray:
    """Shares for the binomial family; values that suit the family."""
    if family == "binomial" and x.max() > 1:
        x = x / extra["trials"][:, None]
    flat = np.ptp(x, axis=0) <= 1e-12 * np.maximum(np.abs(x).max(axis=0), 1e-300)
    if flat.any():
        name = measures[int(flat.argmax())]
        raise InputError("the measure is the same in every row", column=name,
                         remedy="leave the column out")  # fmt: skip
    low, high = x.min(axis=0), x.max(axis=0)
    bad = np.zeros(len(low), dtype=bool)
    if family in ("binomial", "beta"):
        bad = (low < 0) | (high > 1)
    elif family == "poisson":
        bad = low < 0
    if bad.any():
        place = int(bad.argmax())
        raise InputError(
            f"values from {low[place]:.4g} to {high[place]:.4g} do not suit family={family}",
            column=measures[place],
            remedy="give shares in [0, 1] (beta), successes of trials (binomial), counts "
            "(poisson), or take family=gaussian",
        )
    return x


def _table(
    model: NonparametricDeconvolution, local: LocalFactors, names: list[Any], measures: list[str]
) -> pd.DataFrame:
    n = len(local.proportions)
    ratio = local.deviation / np.maximum(local.deviation_sd, 1e-300)
    flat = np.abs(ratio).reshape(n, -1).argmax(axis=1)
    factor, measure = np.divmod(flat, len(measures))
    rows = np.arange(n)
    theta = model.means_[factor, measure]
    deviation = local.deviation[rows, factor, measure]
    columns: dict[str, Any] = {"row": names}
    for k in range(model.n_factors_):
        columns[f"share_{k + 1}"] = local.proportions[:, k]
        columns[f"share_{k + 1}_sd"] = local.proportions_sd[:, k]
    columns |= {
        "local_factor": factor + 1,
        "local_measure": [measures[place] for place in measure],
        "global_value": link(theta, model.family),
        "local_value": link(theta + deviation, model.family),
        "deviation": deviation,
        "deviation_sd": local.deviation_sd[rows, factor, measure],
        "ratio": ratio[rows, factor, measure],
    }
    return pd.DataFrame(columns)


def _factors(model: NonparametricDeconvolution, level: float) -> list[dict[str, Any]]:
    """Each factor with the spread of its local versions in a row that is wholly of it."""
    reach = float(ndtri((1 + level) / 2))
    found = []
    for k in range(model.n_factors_):
        spread = np.sqrt(np.diag(model.covariances_[k]) / model.typical_particles_)
        mean = model.means_[k]
        found.append(
            {
                "factor": k + 1,
                "share": float(model.shares_[k]),
                "mean": link(mean, model.family).tolist(),
                "low": link(mean - reach * spread, model.family).tolist(),
                "high": link(mean + reach * spread, model.family).tolist(),
            }
        )
    return found


def _values(
    model: NonparametricDeconvolution, errors: dict[str, FloatArray], level: float,
    rng: np.random.Generator,
) -> tuple[Value, ...]:  # fmt: skip
    values = [
        Value("number of factors", model.n_factors_, unit="factors",
              why_no_interval="the number with the highest evidence bound found")
    ]  # fmt: skip
    for k, share in enumerate(model.shares_):
        low, high = model.share_interval(k, level)
        values.append(
            Value(f"share of factor {k + 1}", float(share), low, high, level,
                  unit="share of all members", method="posterior of global proportions")
        )  # fmt: skip
    for name in ("global", "pca", "nmf", "mean"):
        if name not in errors:
            continue
        ours, theirs = errors["local"], errors[name]
        draws = rng.integers(0, len(ours), (_RESAMPLES, len(ours)))
        ratios = np.sqrt(ours[draws].mean(axis=1) / np.maximum(theirs[draws].mean(axis=1), 1e-300))
        low, high = np.quantile(ratios, [(1 - level) / 2, (1 + level) / 2])
        values.append(
            Value(
                f"error over {_NAMES[name]}",
                float(np.sqrt(ours.mean() / max(theirs.mean(), 1e-300))),
                float(low), float(high), level,
                unit="root mean squared error of hidden cells, ratio", method="bootstrap of rows",
            )
        )  # fmt: skip
    values.append(
        Value("evidence bound", float(model.bounds_[-1]), unit="nats",
              why_no_interval="a deterministic lower bound of log p(table)")
    )  # fmt: skip
    return tuple(values)


def _status(model: NonparametricDeconvolution, values: tuple[Value, ...]) -> tuple[Status, str]:
    if not model.converged_:
        return Status.NOT_CONVERGED, (
            "the evidence bound was still rising when the sweeps ran out; shares may move, so "
            "begin with fewer factors or with a measured noise"
        )
    if model.n_factors_ == 1:
        return Status.ASSUMPTION_DOUBTFUL, (
            "one factor with local variation explains these rows best: they show no distinct "
            "groups, or too few rows for them"
        )
    worse = [v for v in values if v.name.startswith("error over") and (v.low or 0) > 1]
    if worse:
        return Status.ASSUMPTION_DOUBTFUL, (
            "hidden cells are predicted worse than by "
            f"{worse[0].name.removeprefix('error over ')}, so the rows are not well described as "
            "averages of these factors"
        )
    return Status.OK, ""


def _headline(
    model: NonparametricDeconvolution, values: tuple[Value, ...], table: pd.DataFrame, level: float,
    unit: str,
) -> str:  # fmt: skip
    top = table.iloc[int(np.argmax(table["ratio"].abs()))]
    first = values[1]
    count = f"{model.n_factors_} factors" if model.n_factors_ > 1 else "one factor"
    errors = next(v for v in values if v.name == f"error over {_NAMES['global']}")
    return (
        f"The rows are best described as averages over {count}; the largest holds "
        f"{100 * (first.estimate or 0):.0f} % of the members ({100 * level:g} % interval "
        f"{100 * (first.low or 0):.0f} to {100 * (first.high or 0):.0f} %). Factors vary from row "
        f"to row: the clearest case is {top['row']}, where factor {top['local_factor']} has "
        f"{top['local_measure']} at {top['local_value']:.3g} instead of {top['global_value']:.3g}"
        f"{' ' + unit if unit else ''}. Hidden cells of held-out rows are predicted with "
        f"{errors.estimate:.2f} of the error of global factors only ({errors.low:.2f} to "
        f"{errors.high:.2f})."
    )


def _notices(errors: dict[str, FloatArray], values: tuple[Value, ...]) -> Iterator[Notice]:
    if "nmf" not in errors:
        yield Notice(
            "no-nmf", "negative values: non-negative factors are left out of the comparison"
        )
    better = [v for v in values if v.name.startswith("error over") and (v.low or 0) > 1]
    for value in better:
        yield Notice(
            "peer-better",
            f"{value.name.removeprefix('error over ')} predict hidden cells better here "
            f"({value.estimate:.2f})",
            "use them where only prediction counts",
        )
