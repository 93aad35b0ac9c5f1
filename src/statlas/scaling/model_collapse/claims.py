"""The paper's claims, measured on simulated chains or, for exponents, on the formulas."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from statlas.core import Below, Twin, Within, claim
from statlas.scaling.model_collapse.simulation import simulate_chain
from statlas.scaling.model_collapse.theory import (
    Chain,
    Design,
    adaptive_ridge_exponent,
    expected_test_error,
    isotropic_chain_error,
    power_law_coefficients,
    power_law_spectrum,
)

ExponentRule = Callable[[float, float, float], float]


def _one_generation_fewer(n_features: int, generations: int, **setting: float) -> float:
    return isotropic_chain_error(n_features, generations - 1, **setting)  # type: ignore[arg-type]


@claim(
    "model-collapse",
    says="for least squares on isotropic features n generators add n sigma_0^2 d / (T_0 - d - 1)",
    where="Section 4, generators with more rows than features",
    unit="simulated mean error over the formula, less 1",
    expect=Within(-0.03, 0.03),
    subject=isotropic_chain_error,
    twin=Twin("the formula with n - 1 generators", _one_generation_fewer),
    quick=100,
    full=1000,
)
def isotropic_formula(rng: np.random.Generator, formula: Callable[..., float]) -> float:
    """Mean error of 200 chains of four generators against the exact formula."""
    d, generations = 8, 4
    chain = Chain(
        spectrum=np.ones(d), coefficients=np.ones(d), noise_var=0.5, n_train=60,
        generations=generations, n_generator=40, generator_noise_var=1.0,
    )  # fmt: skip
    simulated = simulate_chain(rng, chain, replicates=200)[0, :, -1].mean()
    exact = formula(
        d, generations, signal=d, noise_var=0.5, n_train=60, n_generator=40, generator_noise_var=1.0
    )
    return float(simulated / exact - 1)


def _power_law_chain(generator_noise_var: float) -> Chain:
    return Chain(
        spectrum=power_law_spectrum(80, 1.3), coefficients=power_law_coefficients(80, 1.3, 0.6),
        noise_var=0.2, n_train=100, generations=3, n_generator=160,
        generator_noise_var=generator_noise_var,
    )  # fmt: skip


@claim(
    "model-collapse",
    says="the formula for ridge and a power-law spectrum gives the error of simulated chains",
    where="Section 4, ridge and general covariance",
    unit="simulated mean error over the formula, less 1",
    expect=Within(-0.05, 0.05),
    subject=0.3,
    twin=Twin("the formula without the generators' label noise", 0.0),
    quick=90,
    full=900,
)
def power_law_formula(rng: np.random.Generator, generator_noise_var: float) -> float:
    """Mean error of 20 chains of three generators against the deterministic equivalent."""
    ridge = 0.02
    simulated = simulate_chain(rng, _power_law_chain(0.3), ridge, replicates=20)[0, :, -1].mean()
    expected = expected_test_error(_power_law_chain(generator_noise_var), ridge).total[-1]
    return float(simulated / expected - 1)


@claim(
    "model-collapse",
    says="the extra test error grows linearly in the number of generations",
    where="Section 4, generators with more rows than features",
    unit="exponent of the growth from 3 to 12 generations",
    expect=Within(0.95, 1.05),
    subject=40,
    twin=Twin("generators with fewer rows (10) than features (20)", 10),
    quick=40,
    full=400,
)
def error_grows_linearly(rng: np.random.Generator, n_generator: int) -> float:
    """Slope of log extra error against log generations, from means of 100 chains."""
    d = 20
    chain = Chain(
        spectrum=np.ones(d), coefficients=np.full(d, d**-0.5), noise_var=0.1, n_train=80,
        generations=12, n_generator=n_generator, generator_noise_var=0.3,
    )  # fmt: skip
    errors = simulate_chain(rng, chain, replicates=100)[0].mean(axis=0)
    return float(np.log((errors[12] - errors[0]) / (errors[3] - errors[0])) / np.log(4))


@claim(
    "model-collapse",
    says="with fewer rows than features the signal is lost exponentially fast, even without noise",
    where="Section 4, generators with fewer rows than features",
    unit="error less its limit 1 - (T / d)^(n + 1)",
    expect=Within(-0.02, 0.02),
    subject="fresh",
    twin=Twin("one design for all generations, on which the loss does not compound", "same"),
    quick=40,
    full=400,
)
def signal_loss_compounds(rng: np.random.Generator, design: Design) -> float:
    """Mean error of 50 noiseless chains that halve the signal at every fit."""
    d, generations = 40, 3
    chain = Chain(
        spectrum=np.ones(d), coefficients=np.full(d, d**-0.5), noise_var=0.0, n_train=d // 2,
        generations=generations, design=design,
    )  # fmt: skip
    simulated = simulate_chain(rng, chain, replicates=50)[0, :, -1].mean()
    return float(simulated - (1 - 0.5 ** (generations + 1)))


def _exponent_on_true_labels(capacity: float, source: float, generator_exponent: float) -> float:
    return adaptive_ridge_exponent(capacity, source)


_CLASSICAL = Twin("the ridge exponent that is best on true labels", _exponent_on_true_labels)


def _power_law_setting(n_train: float, capacity: float, source: float, exponent: float) -> Chain:
    """One generator with T^c rows and half as many features."""
    n_generator = round(n_train**exponent)
    return Chain(
        spectrum=power_law_spectrum(n_generator // 2, capacity),
        coefficients=power_law_coefficients(n_generator // 2, capacity, source),
        noise_var=0.5, n_train=round(n_train), generations=1, n_generator=n_generator,
    )  # fmt: skip


@claim(
    "model-collapse",
    says="with the adapted ridge exponent c beta / (2 beta r + 1) the error decays like "
    "T^-(2 beta r c / (2 beta r + 1)), the best that T_0 = T^c generator rows allow",
    where="Section 5",
    unit="decay exponent of the expected error less the predicted one",
    expect=Within(-0.03, 0.03),
    subject=adaptive_ridge_exponent,
    twin=_CLASSICAL,
    quick=30,
    full=300,
)
def adaptive_exponent(rng: np.random.Generator, ridge_exponent: ExponentRule) -> float:
    """Slope of the expected error between 10^5 and 10^7 rows, for a random power law."""
    capacity, source = rng.uniform(1.3, 2.0), rng.uniform(0.3, 0.6)
    rows = rng.uniform(0.6, 0.75)
    power = ridge_exponent(capacity, source, rows)
    errors = [
        expected_test_error(_power_law_setting(n, capacity, source, rows), n**-power).total[-1]
        for n in (1e5, 1e7)
    ]
    predicted = 2 * source * adaptive_ridge_exponent(capacity, source, rows)
    return float(np.log(errors[0] / errors[1]) / np.log(100) - predicted)


@claim(
    "model-collapse",
    says="the adapted ridge lowers the error of chains, against the ridge for true labels",
    where="Sections 5 and 6",
    unit="log of the ratio of errors",
    expect=Below(-0.05),
    subject=adaptive_ridge_exponent,
    twin=_CLASSICAL,
    quick=16,
    full=160,
)
def adapted_ridge_mitigates(rng: np.random.Generator, ridge_exponent: ExponentRule) -> float:
    """Mean errors of 4 chains of 3,000 rows under both ridges, on the same draws."""
    n_train, capacity, source, rows = 3000, 1.5, 0.4, 0.65
    chain = _power_law_setting(n_train, capacity, source, rows)
    powers = [
        ridge_exponent(capacity, source, rows),
        adaptive_ridge_exponent(capacity, source),
    ]
    rules = [[float(n_train) ** -power] * 2 for power in powers]
    adapted, classical = simulate_chain(rng, chain, rules, replicates=4)[:, :, -1].mean(axis=1)
    return float(np.log(adapted / classical))
