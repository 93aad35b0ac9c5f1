"""The adapted power generalised Weibull: closed forms, identities, differences, lifelines."""

from __future__ import annotations

import mpmath
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from statlas.core import InputError, OptionError, Status
from statlas.core.examples import example_path
from statlas.statistics.flexible_survival import (
    FAMILIES,
    Design,
    Likelihood,
    Predictors,
    Times,
    baseline,
    cumulative_hazard,
    cure_fraction,
    fit_survival,
    hazard_at,
    kaplan_meier,
    likelihood_ratio,
    log_likelihood,
    predict,
    quantile_time,
    simulate,
    survival_model,
    survival_quantile,
)

WEIBULL = float(np.log(2.0))
AFT = Design(((0, 1, 2), (), (), ()))


@pytest.fixture(scope="module")
def strings() -> pd.DataFrame:
    return pd.read_csv(example_path("insulator_strings.csv"))


def times_of(frame: pd.DataFrame) -> Times:
    return Times.of(*(frame[c].to_numpy(float) for c in ("time", "event", "entry")))


def some_times(rng: np.random.Generator, n: int = 60) -> Times:
    """Exact, right, left and interval censored rows, some of them watched late."""
    time = rng.exponential(size=n) + 0.01
    event = rng.uniform(size=n) < 0.7
    upper = np.where(rng.uniform(size=n) < 0.4, time * (1 + rng.uniform(size=n)), np.nan)
    entry = np.where(rng.uniform(size=n) < 0.4, time * rng.uniform(size=n), 0.0)
    left = event & (upper > 0) & (entry == 0) & (rng.uniform(size=n) < 0.5)
    return Times.of(np.where(left, 0.0, time), event, entry, upper)


# --- the family ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kappa", [-0.9, -0.3, -1e-9, 1e-12, 1e-5, 0.5, 1.0, 2.0, 40.0, 1e7])
@pytest.mark.parametrize("z", [1e-8, 0.01, 1.0, 7.0])
def test_baseline_and_derivatives_by_the_defining_formula_in_fifty_digits(kappa, z):
    """((kappa + 1) / kappa) ((1 + z / (kappa + 1))^kappa - 1), and its derivatives by mpmath."""
    with mpmath.workdps(60):
        # The float nearest 1 / (kappa + 1) is what is passed on.
        omega = mpmath.mpf(float(1 / (kappa + 1)))

        def h0(log_z, w):
            k = 1 / w - 1
            if k == 0:
                return mpmath.log(1 + mpmath.exp(log_z))
            return (k + 1) / k * ((1 + mpmath.exp(log_z) / (k + 1)) ** k - 1)

        log_z = mpmath.mpf(float(np.log(z)))
        true = h0(log_z, omega)
        by_z = mpmath.diff(lambda v: h0(v, omega), log_z)
        by_w = mpmath.diff(lambda v: h0(log_z, v), omega, h=mpmath.mpf(10) ** -20)
    found = baseline([np.log(z)], float(omega))
    assert found.cumulative[0] == pytest.approx(float(true), rel=1e-12)
    assert found.by_log_z[0] == pytest.approx(float(by_z), rel=1e-11)
    assert found.by_omega[0] == pytest.approx(float(by_w), rel=1e-9, abs=1e-25)


def test_special_cases_of_the_cumulative_hazard():
    t = np.linspace(0, 3, 40)
    z = (0.7 * t) ** 1.6
    cases = {1.0: z, 0.0: np.log1p(z), np.inf: np.expm1(z), 2.0: 1.5 * ((1 + z / 3) ** 2 - 1)}
    for kappa, true in cases.items():
        assert cumulative_hazard(t, 0.7, 1.3, 1.6, kappa) == pytest.approx(1.3 * true, rel=1e-13)


def closed_form(law, times: Times) -> float:
    ends = np.where(times.event, law.logpdf(times.time), law.logsf(times.time))
    return float(ends.sum() - law.logsf(times.entry).sum())


@pytest.mark.parametrize("seed", range(5))
def test_log_likelihood_is_that_of_scipys_distributions(seed):
    """Weibull, log-logistic, Burr XII and Gompertz of scipy.stats, censored and truncated."""
    rng = np.random.default_rng(seed)
    time = rng.uniform(0.01, 3, 50)
    entry = np.where(rng.uniform(size=50) < 0.5, time * rng.uniform(size=50), 0.0)
    times = Times.of(time, rng.uniform(size=50) < 0.6, entry)
    phi, lam, gamma = np.exp(0.4 * rng.standard_normal(3))
    tau, beta, alpha = np.log([phi, lam, gamma])
    cases = [
        (stats.weibull_min(gamma, scale=1 / phi), (tau, 0.0, alpha, WEIBULL)),
        (stats.fisk(gamma, scale=1 / phi), (tau, 0.0, alpha, 0.0)),
        (stats.burr12(gamma, lam, scale=1 / phi), (tau, beta, alpha, 0.0)),
        (stats.gompertz(lam, scale=1 / phi), (tau, beta, 0.0, np.inf)),
        (stats.expon(scale=1 / phi), (tau, 0.0, 0.0, WEIBULL)),
    ]
    for law, parameters in cases:
        assert log_likelihood(times, *parameters) == pytest.approx(
            closed_form(law, times), rel=1e-13, abs=1e-9
        )


@settings(max_examples=60, deadline=None)
@given(
    nu=st.floats(-2.5, 5), tau=st.floats(-2, 2), beta=st.floats(-2, 2), alpha=st.floats(-1, 1),
    depth=st.floats(1e-6, 5),
)  # fmt: skip
def test_quantile_inverts_the_cumulative_hazard(nu, tau, beta, alpha, depth):
    log_time = float(survival_quantile(depth, tau, beta, alpha, np.exp(-nu)))
    if not np.isfinite(log_time):
        assert depth >= np.exp(beta) / np.expm1(-nu) * (1 - 1e-12)
        return
    parts = Predictors(*(np.array([v]) for v in (tau, beta, alpha, nu)))
    cumulative = hazard_at(np.array([log_time]), parts).cumulative[0]
    # Near the limit of a cured share a tiny change of depth is a large one of time.
    assert cumulative == pytest.approx(depth, rel=1e-6)


def test_far_out_the_log_likelihood_keeps_falling():
    """Beyond the largest float of z: Burr's log h + log S tends to -(1 + gamma lambda) log t."""
    for log_phi in (400.0, 800.0):
        value = log_likelihood(Times.of([1.0], [1]), log_phi, np.log(0.5), np.log(2.0), 0.0)
        assert value == pytest.approx(-log_phi, rel=1e-10)  # gamma lambda = 1 and t = 1


def test_a_hazard_beyond_the_largest_float_is_no_likelihood():
    """Where H(t) and H(entry) are both out of range their difference must not count as 0."""
    times = Times.of([2.0], [1], entry=[1.9])
    assert log_likelihood(times, 5.0, 0.0, 2.0, np.inf) == -np.inf


def test_bad_parameters_are_refused():
    for bad in ({"phi": 0.0}, {"gamma": -1.0}, {"kappa": -1.0}, {"lam": np.nan}):
        with pytest.raises(ValueError, match="above"):
            cumulative_hazard(1.0, **bad)


# --- the likelihood ------------------------------------------------------------------------------


@pytest.mark.parametrize("nu", [-1.0, -1e-9, 0.0, 1e-8, WEIBULL, 2.0])
def test_gradient_is_that_of_differences(nu):
    rng = np.random.default_rng(3)
    likelihood = Likelihood(some_times(rng))
    parts = [0.3 * rng.standard_normal(60) for _ in range(3)] + [np.full(60, nu)]
    gradient = likelihood(Predictors(*parts))[1]
    direction = rng.standard_normal((4, 60))
    for chosen in range(4):
        d = direction * (np.arange(4) == chosen)[:, None]
        ends = [likelihood(Predictors(*(parts + s * 1e-5 * d)))[0] for s in (1, -1)]
        slope = (ends[0] - ends[1]) / 2e-5
        assert float((gradient * d).sum()) == pytest.approx(slope, rel=1e-6, abs=1e-6)


def test_an_interval_is_the_exact_difference_of_survival():
    at = (0.2, -0.1, 0.3, 0.4)
    survive = [np.exp(-cumulative_hazard(t, *np.exp(at[:3]), np.expm1(0.4))) for t in (0.7, 1.9)]
    found = log_likelihood(Times.of([0.7], [1], upper=[1.9]), *at)
    assert found == pytest.approx(np.log(survive[0] - survive[1]), abs=1e-13)
    left = log_likelihood(Times.of([0.0], [1], upper=[0.7]), *at)
    assert left == pytest.approx(np.log1p(-survive[0]), abs=1e-13)


def test_a_narrow_interval_tends_to_the_density():
    at, width = (0.2, -0.1, 0.3, 0.4), 1e-6
    exact = log_likelihood(Times.of([1.0 + width / 2], [1]), *at)
    narrow = log_likelihood(Times.of([1.0], [1], upper=[1.0 + width]), *at)
    assert narrow - np.log(width) == pytest.approx(exact, abs=1e-8)
    assert log_likelihood(Times.of([1.0], [1], upper=[1.0]), *at) == pytest.approx(
        log_likelihood(Times.of([1.0], [1]), *at)
    )


def test_late_entry_conditions_on_survival_to_it():
    """A life cut at any time into two watched parts has the likelihood of the whole life."""
    at = (0.2, -0.1, 0.3, -0.4)
    parts = Times.of([0.8, 2.0], [0, 1], entry=[0.0, 0.8])
    assert log_likelihood(parts, *at) == pytest.approx(log_likelihood(Times.of([2.0], [1]), *at))


def test_exponential_with_late_entry_has_its_closed_form():
    times = Times.of([2.0, 3.0, 5.0], [1, 0, 1], entry=[1.0, 0.0, 2.0])
    fit = fit_survival(times, design=Design(family="exponential"))
    assert fit.log_likelihood == pytest.approx(2 * np.log(2 / 7) - 2, abs=1e-10)
    assert fit.covariance[0, 0] == pytest.approx(1 / 2, rel=1e-6)  # 1 / events


# --- against lifelines 0.30.3 on the shipped table ----------------------------------------------


@pytest.mark.parametrize(
    ("family", "value", "scale", "power"),
    [
        ("weibull", -1985.6078925635345, 114.79763216151044, 1.5874908367820584),
        ("log-logistic", -1983.7010601716306, 92.8626101395486, 1.8452217327180112),
        ("exponential", -2017.4882914663378, 146.4394532714401, 1.0),
    ],
)
def test_univariate_fits_are_those_of_lifelines(strings, family, value, scale, power):
    """`WeibullFitter`, `LogLogisticFitter` and `ExponentialFitter` with late entry."""
    fit = fit_survival(times_of(strings), design=Design(family=family))
    at = fit.predictors(np.zeros((1, 0)))[0]
    assert fit.log_likelihood == pytest.approx(value, abs=1e-6)
    assert np.exp(-at.tau[0]) == pytest.approx(scale, rel=1e-4)
    assert np.exp(at.alpha[0]) == pytest.approx(power, rel=1e-4)


@pytest.mark.parametrize(
    ("family", "value", "slopes", "errors"),
    [
        ("weibull", -1879.3283748967276, (-2.171852, 1.788215, -1.759326),
         (0.130325, 0.425310, 0.504522)),
        ("log-logistic", -1880.0673356010614, (-2.221022, 1.980642, -1.985818),
         (0.134846, 0.445245, 0.535813)),
    ],
)  # fmt: skip
def test_accelerated_fits_are_those_of_lifelines(strings, family, value, slopes, errors):
    """`WeibullAFTFitter` and `LogLogisticAFTFitter`: their coefficients are minus ours.

    Their log-logistic fit stops 3e-4 below the maximum, so ours may only be higher there; the
    likelihood at their coefficients is compared in the next test.
    """
    x = strings[["pHCl", "pH2SO4", "HNO3"]].to_numpy()
    fit = fit_survival(times_of(strings), x, Design(AFT.columns, family))
    assert value - 1e-6 <= fit.log_likelihood <= value + 4e-4
    assert -fit.coefficients[1:4] / fit.spread == pytest.approx(slopes, abs=0.03)
    found = np.sqrt(np.diag(fit.covariance))[1:4] / fit.spread
    assert found == pytest.approx(errors, rel=0.01)


def test_weibull_time_and_hazard_models_are_one(strings):
    """log hazard ratio = gamma x (coefficient on log phi)."""
    x = strings[["pHCl", "pH2SO4", "HNO3"]].to_numpy()
    time = fit_survival(times_of(strings), x, Design(AFT.columns, "weibull"))
    hazard = fit_survival(times_of(strings), x, Design(((), (0, 1, 2), (), ()), "weibull"))
    assert time.log_likelihood == pytest.approx(hazard.log_likelihood, abs=1e-8)
    gamma = np.exp(time.coefficients[4])
    assert hazard.coefficients[1:4] == pytest.approx(gamma * time.coefficients[1:4], rel=1e-6)


@pytest.mark.parametrize(
    ("family", "value", "scale", "power"),
    [
        ("weibull", -251.82669106803883, 71.21264421574804, 2.1663734199399913),
        ("log-logistic", -251.7706312456632, 66.74800621887877, 2.245867063420306),
    ],
)
def test_interval_censored_fits_are_those_of_lifelines(strings, family, value, scale, power):
    """`fit_interval_censoring` with inspections every five years, rows watched from 0."""
    rows = strings[strings["entry"] == 0]
    event = rows["event"].to_numpy() == 1
    begin = np.floor(rows["time"].to_numpy() / 5) * 5
    time = np.where(event, begin, rows["time"])
    times = Times.of(time, event, upper=np.where(event, begin + 5, np.nan))
    fit = fit_survival(times, design=Design(family=family))
    at = fit.predictors(np.zeros((1, 0)))[0]
    assert fit.log_likelihood == pytest.approx(value, abs=1e-6)
    assert np.exp([-at.tau[0], at.alpha[0]]) == pytest.approx([scale, power], rel=1e-3)


# --- fitting -------------------------------------------------------------------------------------


def test_larger_families_fit_no_worse_and_tests_count_parameters(strings):
    x = strings[["pHCl"]].to_numpy()
    fits = {
        family: fit_survival(times_of(strings), x, Design(((0,), (), (), ()), family))
        for family in FAMILIES
    }
    assert all(fit.converged for fit in fits.values())
    for small in ("weibull", "exponential", "log-logistic", "exponential-power"):
        assert fits["apgw"].log_likelihood >= fits[small].log_likelihood - 1e-7
    for small in ("apgw", "burr", "gompertz"):
        assert fits["apgw4"].log_likelihood >= fits[small].log_likelihood - 1e-7
    gain, p = likelihood_ratio(fits["exponential"], fits["apgw"])
    assert p == pytest.approx(stats.chi2.sf(gain, 2))
    assert gain > 0


def test_unit_of_time_and_coding_of_covariates_do_not_matter(strings):
    times, x = times_of(strings), strings[["pHCl", "HNO3"]].to_numpy()
    design = Design(((), (0, 1), (0,), ()))
    one = fit_survival(times, x, design)
    other = fit_survival(Times.of(times.time * 365.25, times.event, times.entry * 365.25),
                         3 - 10 * x, design)  # fmt: skip
    events = int(times.event.sum())
    assert other.log_likelihood + events * np.log(365.25) == pytest.approx(
        one.log_likelihood, abs=1e-6
    )
    here = predict(one, x[:2], [20.0, 60.0])
    there = predict(other, 3 - 10 * x[:2], [20.0 * 365.25, 60.0 * 365.25])
    for name in ("survival", "survival_low", "survival_high"):
        assert there[name] == pytest.approx(here[name], rel=1e-5)
    assert there["hazard_high"] * 365.25 == pytest.approx(here["hazard_high"], rel=1e-5)


def test_all_starts_and_orders_of_rows_give_one_maximum(strings):
    x = strings[["pHCl", "pH2SO4", "HNO3"]].to_numpy()
    order = np.random.default_rng(0).permutation(len(x))
    one = fit_survival(times_of(strings), x, AFT)
    other = fit_survival(times_of(strings.iloc[order]), x[order], AFT)
    assert other.log_likelihood == pytest.approx(one.log_likelihood, abs=1e-8)
    assert other.coefficients == pytest.approx(one.coefficients, abs=1e-6)


def test_planted_parameters_are_recovered():
    """Covariates on all four parameters, 20,000 rows.

    False-alarm rate: each of 8 estimates is asked to be within 4.5 standard errors: 5e-5 in all.
    """
    rng = np.random.default_rng(11)
    n = 20_000
    x = np.column_stack([rng.standard_normal(n), rng.integers(0, 2, n)])
    at = Predictors(
        0.5 + 0.4 * x[:, 0] - 0.6 * x[:, 1], 0.3 * x[:, 0], 0.4 + 0.2 * x[:, 1],
        -0.3 + 0.15 * x[:, 0],
    )  # fmt: skip
    time, end = simulate(rng, at), rng.uniform(0.5, 8, n)
    design = Design(((0, 1), (0,), (1,), (0,)))
    fit = fit_survival(Times.of(np.minimum(time, end), time <= end), x, design)
    means = x.mean(axis=0)
    true = np.array([0.5 + 0.4 * means[0] - 0.6 * means[1], 0.4, -0.6, 0.3,
                     0.4 + 0.2 * means[1], 0.2, -0.3 + 0.15 * means[0], 0.15])  # fmt: skip
    found, error = fit.coefficients.copy(), np.sqrt(np.diag(fit.covariance))
    found[0] -= fit.log_unit
    for place, (_, column) in enumerate(design.labels):
        if column >= 0:
            found[place] /= fit.spread[column]
            error[place] /= fit.spread[column]
    # lambda is 1 at the mean of its covariate, which moves beta by 0.3 x a mean of about 0.
    true[0] += 0.3 * means[0] / np.exp(0.5)
    assert fit.converged
    assert np.abs((found - true) / error).max() < 4.5
    assert error.max() < 0.2


def test_band_is_the_change_of_the_curve_with_the_coefficients(strings):
    """The delta method by differences of the curve itself."""
    from dataclasses import replace

    x = strings[["pHCl", "pH2SO4", "HNO3"]].to_numpy()
    fit = fit_survival(times_of(strings), x, AFT)
    moments, rows = np.array([30.0, 90.0]), x[:3]
    found = predict(fit, rows, moments)
    for name, transform in (("survival", lambda s: np.log(-np.log(s))), ("hazard", np.log)):
        slopes = []
        for unit in np.eye(fit.n_parameters):
            ends = [
                transform(predict(replace(fit, coefficients=fit.coefficients + s * 1e-5 * unit),
                                  rows, moments)[name]) for s in (1, -1)
            ]  # fmt: skip
            slopes.append((ends[0] - ends[1]) / 2e-5)
        gradient = np.array(slopes)
        error = np.sqrt(np.einsum("pi,pq,qi->i", gradient, fit.covariance, gradient))
        width = np.abs(transform(found[f"{name}_high"]) - transform(found[f"{name}_low"]))
        assert width == pytest.approx(2 * 1.959964 * error, rel=1e-4)


def test_median_and_its_interval(strings):
    fit = fit_survival(times_of(strings), design=Design(family="log-logistic"))
    median, low, high = quantile_time(fit, np.zeros((1, 0)))
    assert median == pytest.approx(92.8626101395486, rel=1e-4)  # lifelines
    error = np.sqrt(fit.covariance[0, 0])  # the median is 1 / phi there
    assert np.log([low, high]) - np.log(median) == pytest.approx(
        [-1.959964 * error, 1.959964 * error], rel=1e-5
    )


def test_cured_share_is_the_limit_of_survival():
    rng = np.random.default_rng(5)
    zeros = np.zeros(4000)
    time = simulate(rng, Predictors(zeros, zeros, zeros + 0.2, zeros + np.log(0.5)))
    end = rng.uniform(20, 60, 4000)
    fit = fit_survival(Times.of(np.minimum(time, end), time <= end))
    share, low, high = cure_fraction(fit, np.zeros((1, 0)))
    far = predict(fit, np.zeros((1, 0)), [1e12])["survival"][0]
    assert share == pytest.approx(far, rel=1e-3)
    # kappa = -1/2: H tends to 1. An interval of 99.99 % misses by chance once in 10,000.
    wide = cure_fraction(fit, np.zeros((1, 0)), 0.9999)
    assert wide[1] < np.exp(-1) < wide[2]
    assert low < share < high
    none = fit_survival(Times.of(rng.weibull(2, 500), np.ones(500)))
    assert cure_fraction(none, np.zeros((1, 0)))[0] == 0


def test_kaplan_meier_is_that_of_a_count_by_hand():
    """Six units, two watched late; ties: events before censoring."""
    times = Times.of([2.0, 3.0, 3.0, 5.0, 6.0, 7.0], [1, 1, 0, 1, 0, 1], [0, 0, 0, 2.5, 0, 4])
    moments, survival = kaplan_meier(times)
    # At risk: 4 at 2 (two not yet), 4 at 3, 3 at 5 (one entered at 4), 1 at 7.
    assert moments.tolist() == [2, 3, 5, 7]
    assert survival == pytest.approx(np.cumprod([3 / 4, 3 / 4, 2 / 3, 0]))


def test_no_event_and_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="no event"):
        fit_survival(Times.of([1.0, 2.0], [0, 0]))
    with pytest.raises(ValueError, match="rows of covariates"):
        fit_survival(Times.of([1.0, 2.0], [1, 0]), np.zeros((3, 1)))


# --- the recipe ----------------------------------------------------------------------------------


def users_table(n: int = 240, seed: int = 2) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    plan = rng.choice(["basic", "plus", "gold"], n)
    age = rng.uniform(20, 70, n)
    tau = -3 + 0.8 * (plan == "basic") + 0.01 * (age - 45)
    time = simulate(rng, Predictors(tau, np.zeros(n), np.full(n, 0.3), np.full(n, 0.3)))
    end = rng.uniform(5, 60, n)
    return pd.DataFrame({"tenure": np.minimum(time, end), "churned": time <= end, "plan": plan,
                         "customer age": age})  # fmt: skip


def test_a_users_table_with_labels_and_other_names():
    result = survival_model(users_table(), time_unit="months", at=(12.0,), power=("plan",))
    names = result.table["covariate"].tolist()
    assert sum(name.startswith("plan = ") for name in names) == 4
    assert "survival at 12" in [value.name for value in result.values]
    assert result.details["main_covariate"] in ("plan", "customer age")
    assert "months" in result.headline


def test_sign_of_a_covariate():
    """Basic customers leave sooner: times are multiplied by exp(-0.8), hazards by more than 1."""
    table = users_table(1500).assign(basic=lambda t: (t["plan"] == "basic").astype(int))
    columns = ("basic",)
    time = survival_model(table, covariates=columns, compare=False)
    ratio = time.value("time ratio of basic")
    assert 0.35 < ratio.estimate < 0.58
    assert ratio.low < ratio.estimate < ratio.high < 1
    hazard = survival_model(table, covariates=columns, model="ph", compare=False)
    assert hazard.value("hazard ratio of basic").low > 1


@pytest.mark.parametrize(
    ("change", "column", "text"),
    [
        ({"event": 0}, "event", "no row has the event"),
        ({"time": 0.0, "entry": 0.0, "event": 1}, "time", "event at time 0"),
        ({"entry": 1e3}, "entry", "enter at or after"),
        ({"upper": 0.01, "event": 1}, "upper", "below the time"),
        ({"pHCl": 1.0}, "pHCl", "has one value"),
        ({"HNO3": lambda t: 2 * t["pHCl"] + 1}, "HNO3", "sum of multiples"),
        ({"id": lambda t: t.index.map(lambda i: f"row {i}")}, "id", "different labels"),
    ],
)
def test_bad_tables_name_the_column(strings, change, column, text):
    with pytest.raises(InputError, match=text) as caught:
        survival_model(strings.assign(**change))
    assert f"column '{column}'" in str(caught.value)


def test_without_covariates_other_columns_do_not_matter(strings):
    """The example without covariates; lifelines' Weibull median is 91.130746."""
    table = strings.assign(id=[f"row {i}" for i in range(len(strings))])
    result = survival_model(table, model="none", family="weibull", compare=False)
    assert result.value("median time").estimate == pytest.approx(91.13074599998373, rel=1e-5)
    assert len(result.table) == 2
    assert result.details["groups"][0]["name"] == "all rows"


def test_a_second_scale_that_is_called_for_is_pointed_out():
    """Gompertz times have no place in the family with one scale (kappa infinite, lambda 0.02)."""
    rng = np.random.default_rng(4)
    zeros = np.zeros(800)
    time = simulate(rng, Predictors(zeros, zeros + np.log(0.02), zeros, zeros + np.inf))
    table = {"time": time, "event": np.ones(800)}
    result = survival_model(table)
    assert "second scale" in [notice.code for notice in result.warnings]
    best = result.details["comparison"][0]["family"]
    assert best in ("gompertz", "apgw4")


def test_headline_names_every_parameter_of_the_main_covariate(strings):
    result = survival_model(strings, model="both", power=("pHCl",), group="pHCl", compare=False)
    for part in ("multiplies times by", "the hazard by", "the power of time by"):
        assert part in result.headline
    assert len(result.headline) < 700


def test_bad_options(strings):
    for options in ({"power": ("no",)}, {"group": "no"},
                    {"family": "weibull", "shape": ("pHCl",)},
                    {"family": "exponential", "power": ("pHCl",)}):  # fmt: skip
        with pytest.raises(OptionError, match="option"):
            survival_model(strings, **options)


def test_interval_column_with_gaps(strings):
    event = strings["event"] == 1
    begin = np.floor(strings["time"] / 5) * 5
    kept = np.where(event, np.maximum(begin, strings["entry"]), strings["time"])
    table = strings.assign(time=kept, upper=(begin + 5).where(event))
    result = survival_model(table, missing="drop", compare=False)
    exact = survival_model(strings, compare=False)
    name = next(v.name for v in exact.values if v.name.startswith("time ratio of pHCl"))
    assert result.value(name).estimate == pytest.approx(exact.value(name).estimate, rel=0.01)
    assert result.rows_used == len(strings)
    assert [n.code for n in result.warnings] == ["intervals"]


def test_few_events_are_doubtful(strings):
    few = strings.sort_values("event", ascending=False, kind="stable")
    few = pd.concat([few.head(12), few.tail(60)])
    assert survival_model(few, compare=False).status != Status.OK
    with pytest.raises(InputError, match="more events than coefficients"):
        survival_model(few.iloc[8:], compare=False)
