"""The recipe: small proportions in small domains, from a survey's units or a table of domains."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd
from scipy.special import ndtri

from statlas.core import (
    Category,
    Example,
    Features,
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
from statlas.statistics.composite_small_area.estimators import (
    Components,
    FloatArray,
    adaptive_delta,
    components,
    composite,
    composite_mse,
    optimal_weight,
    size_weight,
)
from statlas.statistics.composite_small_area.fay_herriot import fit_fay_herriot
from statlas.statistics.composite_small_area.reading import (
    Domains,
    read_domains,
    sampling_notices,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Composition = Literal["optimal", "adaptive-size", "size"]

_FEW_DOMAINS = 10  # with a sample, below which the synthetic estimate's bias is hardly known
_SHOWN = 40  # domains in the figure


@dataclass(frozen=True)
class DomainProportions(Result):
    """Proportions by domain: `table` has a row a domain, the highest estimate first."""

    def draw(self, figure: Figure) -> None:
        """Each domain's composition with its interval, beside what it was made of."""
        from statlas.core.figures import plain_label

        shown = self.table.head(_SHOWN).iloc[::-1]
        axis = figure.subplots()
        places = np.arange(len(shown))
        axis.hlines(places, 100 * shown["low"], 100 * shown["high"], color="C0")
        axis.plot(100 * shown["composite"], places, "o", color="C0", label="composition")
        axis.plot(100 * shown["direct"], places, "x", color="C1", label="direct")
        axis.plot(100 * shown["synthetic"], places, "|", color="C2", ms=9, label="synthetic")
        axis.plot(100 * shown["eblup"], places, ".", color="C3", ms=4, label="EBLUP")
        names = [
            f"{name} (n = {n:g})" for name, n in zip(shown["domain"], shown["sample"], strict=True)
        ]
        axis.set_yticks(places, [plain_label(name) for name in names])
        axis.set_xlabel(f"proportion, %, with {100 * self.options['level']:g} % interval")
        axis.legend(loc="lower right")
        figure.set_size_inches(7.2, 1.6 + 0.2 * len(shown))


@recipe(
    "composite-small-area",
    example=Example(
        file="domain_audit.csv",
        about="An audit of 300 of 1,797 digits that a random forest read: its error rate for each "
        "of 14 writers and two halves of the digits, about ten digits a domain. The error rate of "
        "a simple classifier is known for all.",
        origin="Sampled from digits_scores.csv, recorded with scikit-learn (BSD-3); see examples.",
        options={"outcome": "error", "covariates": "centroid_error"},
    ),
)
def small_domain_proportions(
    survey: Annotated[
        Table,
        Roles(
            domain=Category(
                help="domain (area) of the unit, or that the row describes",
                aliases=("area", "region", "municipality", "county", "district", "small_area"),
            ),
            outcome=Number(
                ge=0,
                le=1,
                help="0 or 1 a unit; the direct estimate where a row is a domain",
                aliases=("y", "case", "event", "direct", "estimate", "proportion", "unemployed"),
            ),
            weight=Number(
                optional=True,
                ge=0,
                help="inverse inclusion probability of the unit; 0 marks a domain without sample",
                aliases=("sampling_weight", "design_weight", "survey_weight", "pweight"),
            ),
            group=Category(
                optional=True,
                help="group of the unit, whose rate elsewhere helps to predict the domain",
                aliases=("stratum", "poststratum", "age_group"),
            ),
            size=Number(
                optional=True,
                gt=0,
                help="people in the domain's population, the same in all rows of the domain",
                aliases=("population", "population_size", "domain_size"),
            ),
            sample=Number(
                optional=True,
                ge=0,
                integer=True,
                help="units sampled in the domain; says that a row is a whole domain",
                aliases=("n", "sample_size", "respondents", "samp_size"),
            ),
            variance=Number(
                optional=True,
                ge=0,
                help="estimated variance of the direct estimate, where a row is a domain",
                aliases=("sampling_variance", "direct_variance"),
            ),
            covariates=Features(
                optional=True,
                help="domain means or totals known for the population, such as registered rates",
            ),
            min_rows=3,
        ),
    ],
    *,
    composition: Annotated[
        Composition,
        Option(help="weight of the direct part: least error, or by sample size (delta chosen)"),
    ] = "optimal",
    delta: Annotated[
        float,
        Option(gt=0, help="with 'size': share of the expected sample that stands alone"),
    ] = 1.0,
    direct: Annotated[
        Literal["hajek", "horvitz-thompson"],
        Option(help="divide by the sum of weights, or by the known size of the domain"),
    ] = "hajek",
    level: Annotated[float, Option(gt=0, lt=1, help="level of the intervals")] = 0.95,
) -> DomainProportions:
    """Estimate a small proportion in many small domains, each with its error.

    Parameters
    ----------
    survey
        One row a sampled unit, or one row a domain with direct estimate and sample size.

    Returns
    -------
    DomainProportions
        `table` has a row a domain: direct, synthetic and composite estimates with their estimated
        root mean squared errors, the weight of the direct part, and EBLUP for comparison.

    Raises
    ------
    InputError
        If there are too few domains, no case at all, or sizes that differ within a domain.

    Examples
    --------
    >>> rows = {"domain": ["a", "b", "c", "d"], "estimate": [0.0, 0.1, 0.2, 0.1],
    ...         "n": [5, 10, 10, 20]}
    >>> result = small_domain_proportions(rows)
    >>> bool(result.table["composite"].min() > 0)
    True
    """
    domains = read_domains(survey, direct == "horvitz-thompson")
    parts = components(domains.direct, domains.variance, domains.sample, domains.covariates)
    weight, chosen = _weights(parts, domains, composition, delta)
    table = _table(domains, parts, weight, composition == "optimal", level)
    status, advice = _status(parts)
    return DomainProportions(
        headline=_headline(table, parts, composition, level),
        table=table,
        values=_values(table, parts, chosen, level),
        details={"delta": chosen, "covariates": domains.covariate_names},
        status=status,
        advice=advice,
        warnings=tuple(_notices(domains, table)),
    )


def _weights(
    parts: Components, domains: Domains, composition: Composition, delta: float
) -> tuple[FloatArray, float | None]:
    if composition == "optimal":
        return optimal_weight(parts), None
    chosen = delta if composition == "size" else float(adaptive_delta(parts, domains.ratio))
    return np.where(parts.sample > 0, size_weight(domains.ratio, chosen), 0.0), chosen


def _table(
    domains: Domains, parts: Components, weight: FloatArray, optimal: bool, level: float
) -> pd.DataFrame:
    seen = domains.sample > 0
    estimate = np.clip(composite(parts, weight), 0.0, 1.0)
    error = np.sqrt(composite_mse(parts, weight, estimated=optimal))
    reach = ndtri((1 + level) / 2) * error
    model = fit_fay_herriot(parts.direct, parts.variance, domains.covariates)
    table = pd.DataFrame(
        {
            "domain": domains.names,
            "sample": domains.sample.astype(int),
            "composite": estimate,
            "low": np.maximum(estimate - reach, 0.0),
            "high": np.minimum(estimate + reach, 1.0),
            "error": error,
            "weight": weight,
            "direct": np.where(seen, parts.direct, np.nan),
            "direct_error": np.where(seen, np.sqrt(np.where(seen, parts.variance, 0)), np.nan),
            "synthetic": parts.synthetic,
            "synthetic_error": np.sqrt(parts.synthetic_mse),
            "eblup": model.estimate,
            "eblup_error": np.sqrt(model.mse),
        }
    )
    return table.sort_values("composite", ascending=False, kind="stable", ignore_index=True)


def _status(parts: Components) -> tuple[Status, str]:
    seen = int((parts.sample > 0).sum())
    if seen < _FEW_DOMAINS:
        return Status.ASSUMPTION_DOUBTFUL, (
            f"only {seen} domains have a sample: how far domains differ from the synthetic "
            "estimate is hardly known, so weights and errors are rough"
        )
    if not np.any(parts.bias > 0):
        return Status.ASSUMPTION_DOUBTFUL, (
            "these samples show no difference between domains beyond the covariates, so the "
            "composition gives the synthetic estimate all the weight; differences too small for "
            "such samples may be there, and intervals may be short"
        )
    return Status.OK, ""


def _headline(
    table: pd.DataFrame, parts: Components, composition: Composition, level: float
) -> str:
    top = table.iloc[0]
    ours, theirs = 100 * table["error"].median(), 100 * table["direct_error"].median()
    how = {
        "optimal": "least-error weights",
        "adaptive-size": "sample-size-dependent weights, delta chosen",
        "size": "sample-size-dependent weights",
    }[composition]
    return (
        f"Estimated proportions in {len(table)} domains run from "
        f"{100 * table['composite'].min():.3g} % to {100 * top['composite']:.3g} % "
        f"({top['domain']}; {100 * level:g} % interval {100 * top['low']:.3g} to "
        f"{100 * top['high']:.3g} %). With {how} the typical root mean squared error is estimated "
        f"at {ours:.2g} points, against {theirs:.2g} of direct estimates from a median of "
        f"{np.median(parts.sample):g} units a domain."
    )


def _values(
    table: pd.DataFrame, parts: Components, delta: float | None, level: float
) -> tuple[Value, ...]:
    is_error = "an estimate of an error; the table has it by domain"
    values = [
        Value("median error of the composition", 100 * table["error"].median(),
              unit="percentage points", why_no_interval=is_error),
        Value("median error of direct estimates", 100 * table["direct_error"].median(),
              unit="percentage points", why_no_interval=is_error),
        Value("design effect", float(parts.design_effect), why_no_interval="pooled over domains"),
        Value("median weight of the direct part", table["weight"].median(),
              why_no_interval="chosen, not estimated"),
    ]  # fmt: skip
    if delta is not None:
        values.append(Value("delta", delta, why_no_interval="chosen, not estimated"))
    rows: Any = table.head(_SHOWN).to_dict("records")
    for row in rows:
        values.append(
            Value(
                f"proportion in {row['domain']}", row["composite"], row["low"], row["high"],
                level, method="normal, from the estimated mean squared error",
            )
        )  # fmt: skip
    return tuple(values)


def _notices(domains: Domains, table: pd.DataFrame) -> Iterator[Notice]:
    yield from sampling_notices(domains)
    if domains.variance is None:
        yield Notice(
            "no-variance",
            "no variances were given: those of simple random sampling are used",
            "name a column of variances with variance=COLUMN for clustered or weighted samples",
        )
    gap = (table["eblup"] - table["composite"]).abs() > 2 * table["error"]
    if gap.any():
        yield Notice(
            "eblup-differs",
            f"EBLUP differs by more than twice the estimated error in {int(gap.sum())} domains, "
            f"first in {table['domain'][gap].iloc[0]}",
            "look at those domains' samples",
        )
