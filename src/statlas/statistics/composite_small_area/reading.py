"""From a table of units or of domains to what the estimators need."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from statlas.core import InputError, Notice, Table
from statlas.statistics.composite_small_area.estimators import direct_estimates

FloatArray = NDArray[np.float64]

_ENDLESS = 1e9  # weight of a unit where nothing says how large the population is


@dataclass(frozen=True)
class Domains:
    """Domains as read; arrays have shape (n_domains,), covariates one more dimension."""

    names: list[str]
    direct: FloatArray
    variance: FloatArray | None
    sample: FloatArray
    ratio: FloatArray  # achieved over expected sample size
    sizes: FloatArray | None
    covariates: FloatArray  # with a column of ones
    covariate_names: list[str]
    notices: tuple[Notice, ...]


def read_domains(table: Table, horvitz_thompson: bool) -> Domains:
    """Read a table with a row a unit, or with a row a domain where it has sample sizes.

    Raises
    ------
    InputError
        If the table is neither, or too few domains have a sample.
    """
    notices: list[Notice] = []
    if table.has("sample"):
        domains = _from_domains(table, horvitz_thompson)
    else:
        domains = _from_units(table, horvitz_thompson, notices)
    _check_enough(domains, table)
    return domains


def _from_domains(table: Table, horvitz_thompson: bool) -> Domains:
    factor = table.factor("domain")
    if factor.n_levels < table.n_rows:
        first = int(np.argmax(np.bincount(factor.codes) > 1))
        raise InputError(
            f"domain {factor.levels[first]!r} has more than one row, but column "
            f"{table.columns['sample']!r} says that each row is a whole domain",
            column=str(table.columns["domain"]),
            remedy="give one row a domain, or leave out the column of sample sizes",
        )
    if horvitz_thompson:
        raise InputError(
            "Horvitz-Thompson estimates are made from units, and this table has a row a domain",
            column=str(table.columns["sample"]),
            remedy="leave direct at 'hajek': the estimates are taken as they are",
        )
    order = np.argsort(factor.codes)
    sample = table.number("sample")[order]
    variance = table.number("variance")[order] if table.has("variance") else None
    sizes = table.number("size")[order] if table.has("size") else None
    expected = np.ones_like(sample) if sizes is None else sizes
    x, names = table.features("covariates") if table.has("covariates") else (None, [])
    columns = np.empty((len(sample), 0)) if x is None else x[order]
    return Domains(
        list(factor.levels),
        table.number("outcome")[order],
        variance,
        sample,
        _relative(sample, expected),
        sizes,
        _with_ones(columns, names),
        names,
        (),
    )


def _from_units(table: Table, horvitz_thompson: bool, notices: list[Notice]) -> Domains:
    factor, outcome = table.factor("domain"), table.number("outcome")
    if not np.isin(outcome, (0.0, 1.0)).all():
        raise InputError(
            "the column holds other numbers than 0 and 1, and no column of sample sizes says that "
            "a row is a domain",
            column=str(table.columns["outcome"]),
            remedy="give 0 or 1 a unit, or name the sample sizes with sample=COLUMN",
        )
    codes, n_domains = factor.codes, factor.n_levels
    sizes = _one_a_domain(table, "size", codes, n_domains) if table.has("size") else None
    raw = table.number("weight") if table.has("weight") else np.ones(table.n_rows)
    in_sample = raw > 0
    if not in_sample.any():
        raise InputError(
            "every weight is 0, which marks a domain that has no sample",
            column=str(table.columns["weight"]),
            remedy="give inverse inclusion probabilities",
        )
    weight = _scaled_weights(raw[in_sample], sizes, notices)
    if horvitz_thompson and sizes is None:
        raise InputError(
            "Horvitz-Thompson estimates divide by the size of each domain, and there is no column "
            f"of sizes; the table has {list(map(str, table.columns.values()))}",
            remedy="name one with size=COLUMN, or take direct='hajek'",
        )
    direct, variance = direct_estimates(
        outcome[in_sample],
        weight,
        codes[in_sample],
        n_domains,
        sizes if horvitz_thompson else None,
    )
    sample = np.bincount(codes[in_sample], minlength=n_domains).astype(float)
    reached = np.bincount(codes[in_sample], weight, minlength=n_domains).astype(float)
    expected = np.ones(n_domains) if sizes is None else sizes
    x, names = _unit_covariates(table, codes, n_domains, notices)
    if table.has("group"):
        x = np.column_stack([x, _expected_from_groups(table, in_sample, weight)])
        names = [*names, f"rate expected from {table.columns['group']}"]
    ratio = _relative(sample if sizes is None else reached, expected)
    return Domains(
        list(factor.levels), direct, variance, sample, ratio, sizes, _with_ones(x, names), names,
        tuple(notices),
    )  # fmt: skip


def _relative(achieved: FloatArray, expected: FloatArray) -> FloatArray:
    """n_d / E n_d, where E n_d is in proportion to `expected`."""
    return np.asarray(achieved / achieved.sum() * expected.sum() / expected)


def _scaled_weights(
    weight: FloatArray, sizes: FloatArray | None, notices: list[Notice]
) -> FloatArray:
    """Weights as inverse inclusion probabilities, where those given are only relative."""
    if weight.min() >= 1 and weight.mean() > 1.01:
        return weight
    if np.ptp(weight) > 0:
        notices.append(
            Notice(
                "relative-weights",
                f"weights from {weight.min():.3g} to {weight.max():.3g} are not inverse inclusion "
                "probabilities (at least 1), so only their ratios are used",
                "give weights that sum to the population for its finite size to count",
            )
        )
    target = _ENDLESS * len(weight) if sizes is None else float(sizes.sum())
    return np.asarray(np.maximum(weight * (target / weight.sum()), 1.0))


def _one_a_domain(table: Table, role: str, codes: NDArray[np.int64], n_domains: int) -> FloatArray:
    values = table.number(role)
    of_domain = np.empty(n_domains)
    of_domain[codes] = values
    other = values != of_domain[codes]
    if other.any():
        name = table.factor("domain").levels[codes[int(other.argmax())]]
        raise InputError(
            f"domain {name!r} has more than one value",
            column=str(table.columns[role]),
            remedy="repeat the domain's one value in all of its rows",
        )
    return of_domain


def _unit_covariates(
    table: Table, codes: NDArray[np.int64], n_domains: int, notices: list[Notice]
) -> tuple[FloatArray, list[str]]:
    """Mean of each covariate over a domain's rows; it should be the same in all of them."""
    if not table.has("covariates"):
        return np.empty((n_domains, 0)), []
    x, names = table.features("covariates")
    count = np.bincount(codes, minlength=n_domains)
    means = np.column_stack([np.bincount(codes, v, minlength=n_domains) / count for v in x.T])
    spread = np.abs(x - means[codes]).max(axis=0) > 1e-9 * np.maximum(np.abs(x).max(axis=0), 1e-300)
    varying = [name for name, varies in zip(names, spread, strict=True) if varies]
    if varying:
        notices.append(
            Notice(
                "covariate-varies",
                f"{', '.join(varying[:3])} differ within a domain; their sample means are used, "
                "whose own error is not counted",
                "give known domain means or totals, repeated in every row of the domain",
            )
        )
    return means, names


def _expected_from_groups(
    table: Table, in_sample: NDArray[np.bool_], weight: FloatArray
) -> FloatArray:
    """Rate of each domain were its groups like those groups elsewhere (synthetic by group)."""
    group, domain = table.factor("group"), table.factor("domain")
    g, d = group.codes[in_sample], domain.codes[in_sample]
    outcome = table.number("outcome")[in_sample]
    totals = np.bincount(g, weight, minlength=group.n_levels)
    cases = np.bincount(g, weight * outcome, minlength=group.n_levels)
    rate = cases / np.maximum(totals, 1e-300)
    reached = np.bincount(d, weight, minlength=domain.n_levels)
    expected = np.bincount(d, weight * rate[g], minlength=domain.n_levels)
    overall = cases.sum() / totals.sum()
    return np.where(reached > 0, expected / np.maximum(reached, 1e-300), overall)


def _with_ones(x: FloatArray, names: list[str]) -> FloatArray:
    """Standardised covariates behind a column of ones."""
    if x.shape[1] == 0:
        return np.ones((len(x), 1))
    deviation = x.std(axis=0)
    flat = deviation <= 1e-12 * np.maximum(np.abs(x).max(axis=0), 1e-300)
    if flat.any():
        name = names[int(flat.argmax())]
        raise InputError(
            f"the covariate is the same ({x[0, int(flat.argmax())]:.4g}) in every domain",
            column=name,
            remedy="leave the column out",
        )
    return np.column_stack([np.ones(len(x)), (x - x.mean(axis=0)) / deviation])


def _check_enough(domains: Domains, table: Table) -> None:
    seen = domains.sample > 0
    n_coefficients = domains.covariates.shape[1]
    if seen.sum() < n_coefficients + 2:
        raise InputError(
            f"{int(seen.sum())} domains have a sample; {n_coefficients} coefficients of the "
            f"synthetic estimate need at least {n_coefficients + 2}",
            column=str(table.columns["domain"]),
            remedy="use fewer covariates, or more domains",
        )
    if np.linalg.matrix_rank(domains.covariates[seen]) < n_coefficients:
        raise InputError(
            f"the covariates {', '.join(domains.covariate_names)} determine one another",
            column=domains.covariate_names[-1],
            remedy="leave one of them out",
        )
    share = domains.direct[seen]
    if np.all(share <= 0) or np.all(share >= 1):
        raise InputError(
            f"every outcome is {share[0]:g}",
            column=str(table.columns["outcome"]),
            remedy="small-domain proportions need both cases and non-cases; "
            "`statlas run no-clt` gives an interval for a proportion of 0 or 1",
        )


def sampling_notices(domains: Domains) -> Iterator[Notice]:
    """What the reader should know of the samples."""
    yield from domains.notices
    empty = int((domains.sample == 0).sum())
    if empty:
        yield Notice(
            "no-sample",
            f"{empty} domains have no sample and get the synthetic estimate alone",
            "their error rests on the domains that have one",
        )
    none = int(((domains.direct == 0) & (domains.sample > 0)).sum())
    if none:
        yield Notice(
            "zero-count",
            f"{none} domains have no case in their sample; their variance is the smoothed one",
        )
