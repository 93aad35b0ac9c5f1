"""The generalized law of dense and sparse models: identities, planted runs, tests, the recipe."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from statlas.core import InputError, Result, Status
from statlas.core.examples import example_path
from statlas.core.numerics.laws import CHINCHILLA, Objective, check_jacobian, fit_law
from statlas.core.tables import build_table
from statlas.scaling.sparse_scaling import (
    DENSE_ACTIVE,
    DENSE_STORED,
    EXPERTS,
    GENERALIZED,
    MIXTURE,
    PRUNING,
    PUBLISHED,
    Constants,
    generalized_loss,
    inputs_of,
    sparsity_law,
)
from statlas.scaling.sparse_scaling.fitting import f_test
from statlas.scaling.sparse_scaling.laws import generalized_start
from statlas.scaling.sparse_scaling.reading import read_cells

TRUE = {"e": 1.4, "a": 25.0, "b": 60.0, "penalty": 0.4, "alpha": 0.3, "beta": 0.35, "gamma": 0.1}
SHARED = {"e": 1.5, "a": 20.0, "b": 50.0, "alpha": 0.3, "beta": 0.35}
LAWS = (DENSE_ACTIVE, DENSE_STORED, GENERALIZED, PRUNING, EXPERTS, MIXTURE)


def planted(noise: float = 0.002, seed: int = 0, *, shift: float = 0.0) -> pd.DataFrame:
    """Dense, pruned and mixture runs under one law; `shift` moves the mixtures' losses."""
    rng = np.random.default_rng(seed)
    rows = []
    for kind, levels in {
        "dense": (0.0,), "pruned": (0.5, 0.75, 0.9), "mixture": (0.4, 0.6, 0.8)
    }.items():  # fmt: skip
        for sparsity in levels:
            for active in (2e3, 5e3, 1.2e4, 3e4):
                for tokens in (3e4, 1e5, 3e5, 1e6):
                    rows.append((kind, active, active / (1 - sparsity), tokens))
    table = pd.DataFrame(rows, columns=["architecture", "Na", "N", "D"])
    sparsity = 1 - table["Na"] / table["N"]
    loss = GENERALIZED(TRUE, inputs_of(table["Na"], table["D"], sparsity))
    loss = loss * np.where(table["architecture"] == "mixture", np.exp(shift), 1.0)
    return table.assign(loss=loss * np.exp(noise * rng.standard_normal(len(table))))


@pytest.fixture(scope="module")
def result() -> Result:
    return sparsity_law(planted(), rng=0, draws=100)


# --- the laws -------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)
def test_derivatives_agree_with_differences(law):
    rng = np.random.default_rng(0)
    sparsity = np.r_[0.0, rng.uniform(0, 0.95, 11)]
    inputs = inputs_of(10 ** rng.uniform(3, 5, 12), 10 ** rng.uniform(3, 6, 12), sparsity)
    values = {p.name: 1.3 if p.log else 0.2 for p in law.parameters}
    assert check_jacobian(law, values, inputs) < 1e-7


@pytest.mark.parametrize("law", [GENERALIZED, EXPERTS, DENSE_ACTIVE, DENSE_STORED])
def test_dense_models_follow_the_dense_law_exactly(law):
    rest = {p.name: 0.7 for p in law.parameters if p.name not in SHARED}
    n, d = np.geomspace(1e3, 1e12, 10), np.geomspace(1e13, 1e5, 10)
    expected = CHINCHILLA(
        {"E": 1.5, "A": 20.0, "B": 50.0, "alpha": 0.3, "beta": 0.35}, {"N": n, "D": d}
    )
    np.testing.assert_allclose(law({**SHARED, **rest}, inputs_of(n, d, 0.0)), expected, rtol=1e-13)


def test_without_penalty_it_is_the_dense_law_of_all_parameters():
    inputs = inputs_of(np.geomspace(1e3, 1e9, 7), 1e8, np.linspace(0, 0.98, 7))
    start = generalized_start(SHARED, stored=True)
    np.testing.assert_allclose(
        GENERALIZED.values(start, inputs)[0], DENSE_STORED(SHARED, inputs), rtol=1e-13
    )


def test_formula_is_equation_7():
    # By hand: N = 1e4, D = 1e6, S = 0.75.
    c = Constants(1.0, 8.0, 100.0, 2.0, 0.5, 0.5, 2.0)
    expected = 1.0 * 0.25**2 + (8.0 * 0.25**0.5 + 2.0 * 0.75) / 100.0 + 100.0 / 1000.0
    assert generalized_loss(1e4, 1e6, 0.75, c) == pytest.approx(expected, rel=1e-12)
    law = GENERALIZED(
        {"e": 1.0, "a": 8.0, "b": 100.0, "penalty": 0.25, "alpha": 0.5, "beta": 0.5, "gamma": 2.0},
        inputs_of(1e4, 1e6, 0.75),
    )
    assert law[0] == pytest.approx(expected, rel=1e-12)


def test_published_dense_constants_are_hoffmanns():
    loss = generalized_loss(70e9, 1.4e12, 0.0, PUBLISHED["dense"])
    plain = CHINCHILLA(
        {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28}, {"N": 70e9, "D": 1.4e12}
    )
    assert loss == pytest.approx(plain[0], rel=1e-12)


def test_n_counts_active_parameters():
    # Abnar et al.'s coefficients, whose N counts all parameters. The paper's Table IX is near
    # their surface where N / (1-S) goes in there, and not where the same N does.
    abnar = {
        "e": 0.94, "a": 16612.50, "b": 5455.67, "c": 0.4598, "d": 17.26, "alpha": 0.5962,
        "beta": 0.3954, "lambda": -0.1666, "delta": 0.1603, "gamma": 0.1595,
    }  # fmt: skip
    n, s = (x.ravel() for x in np.meshgrid([1e9, 1e10, 1e11], [0.0, 0.5, 0.9, 0.98]))
    own = generalized_loss(n, 1e11, s, PUBLISHED["mixture"])
    active = MIXTURE(abnar, inputs_of(n, 1e11, s))
    everything = MIXTURE(abnar, inputs_of(n * (1 - s), 1e11, s))
    assert np.abs(own / active - 1).max() < 0.13
    assert np.abs(own / everything - 1).max() > 0.2
    assert np.abs(own / active - 1).mean() < 0.5 * np.abs(own / everything - 1).mean()


# --- fits and tests -------------------------------------------------------------------------------


def test_exact_losses_give_the_constants_back():
    table = planted(0.0)
    inputs = inputs_of(table["Na"], table["D"], 1 - table["Na"] / table["N"])
    found = fit_law(GENERALIZED, inputs, table["loss"], Objective("log"), n_starts=40, rng=0)
    for name, value in TRUE.items():
        assert found.parameters[name] == pytest.approx(value, rel=1e-5)


def test_f_test_is_the_textbooks():
    # A line against a constant: F of the slope is t squared.
    x = np.arange(8.0)
    y = np.array([1.0, 3.0, 2.0, 5.0, 4.0, 6.0, 5.0, 8.0])
    from scipy import stats

    line = stats.linregress(x, y)
    rest = np.sum((y - line.intercept - line.slope * x) ** 2)
    found = f_test("slope", float(np.sum((y - y.mean()) ** 2)), float(rest), 1, 6)
    assert found is not None
    assert found.statistic == pytest.approx((line.slope / line.stderr) ** 2)
    assert found.p_value == pytest.approx(line.pvalue)
    assert f_test("none", 1.0, 1.0, 0, 5) is None


def test_planted_constants_lie_in_their_intervals(result):
    # Seven intervals at 95 %: fewer than five hits has a chance below 0.5 %.
    hits = [result.value(name).low < value < result.value(name).high
            for name, value in TRUE.items()]  # fmt: skip
    assert sum(hits) >= 5
    gain = result.value("sparse less dense loss at equal active parameters")
    own = GENERALIZED(TRUE, inputs_of(3e4, 1e6, [0.0, result.options["target_sparsity"]]))
    assert gain.low < own[1] - own[0] < gain.high


def test_equivalent_dense_model_has_the_same_loss():
    result = sparsity_law(planted(0.0), rng=0, draws=50, target_sparsity=0.5, target_active=1e4)
    ratio = result.value("size of the dense model of equal loss over active parameters").estimate
    sparse = GENERALIZED(TRUE, inputs_of(1e4, 1e6, 0.5))
    dense = GENERALIZED(TRUE, inputs_of(1e4 * ratio, 1e6, 0.0))
    assert dense[0] == pytest.approx(sparse[0], rel=1e-6)


def test_best_size_is_where_the_loss_is_least():
    result = sparsity_law(planted(0.0), rng=0, draws=50)
    cost = 6 * result.options["target_active"] * result.options["target_tokens"]
    grid = np.geomspace(1e2, 1e7, 20_001)
    for kind, sparsity in (("dense", 0.0), ("at the sparsity", result.options["target_sparsity"])):
        loss = GENERALIZED(TRUE, inputs_of(grid, cost / 6 / grid, sparsity))
        found = result.value(f"best active parameters at the model's cost, {kind}").estimate
        assert found == pytest.approx(grid[np.argmin(loss)], rel=2e-3)


def test_one_law_is_preferred_where_one_law_made_the_runs(result):
    rows = result.table.set_index("scheme")
    one = rows.loc["one law: generalized"]
    assert one["bic"] == rows["bic"].min()
    assert one["held_out_error"] == pytest.approx(rows["held_out_error"].min(), rel=0.1)
    assert one["fit_error"] == pytest.approx(0.002, rel=0.2)
    differ = result.value("p-value: the architectures' constants differ").estimate
    assert differ > 1e-3
    stored = "p-value: sparsity matters beyond the number of all parameters (gamma = c = 0)"
    assert result.value(stored).estimate < 1e-6
    assert result.status is Status.OK


def test_architectures_that_differ_are_noticed():
    result = sparsity_law(planted(shift=0.03), rng=0, draws=50)
    assert result.value("p-value: the architectures' constants differ").estimate < 1e-6
    rows = result.table.set_index("scheme")["bic"]
    assert rows["the generalized law for each architecture"] < rows["one law: generalized"]
    assert result.status is Status.ASSUMPTION_DOUBTFUL


def test_lack_of_fit_is_measured_against_repeats():
    one = planted(0.002, seed=1)
    table = pd.concat([one, planted(0.002, seed=2), planted(0.002, seed=3)])
    cells = read_cells(build_table(table, sparsity_law.roles), (1.0, 1.0, 1.0)).cells
    assert len(cells) == len(one)
    assert cells.repeats.tolist() == [3.0] * len(one)
    assert cells.noise_freedom == 2 * len(one)
    assert cells.noise == pytest.approx(0.002, rel=0.2)


# --- reading --------------------------------------------------------------------------------------


def test_two_of_three_columns_are_enough():
    table = planted()
    sparsity = 1 - table["Na"] / table["N"]
    ways = (
        table,
        table.drop(columns="N").assign(sparsity=sparsity),
        table.drop(columns="Na").assign(S=sparsity),
    )
    found = [
        read_cells(build_table(way, sparsity_law.roles), (1.0, 1.0, 1.0)).cells for way in ways
    ]
    for other in found[1:]:
        np.testing.assert_allclose(other.active, found[0].active, rtol=1e-9)
        np.testing.assert_allclose(other.sparsity, found[0].sparsity, atol=1e-9)
        np.testing.assert_allclose(other.loss, found[0].loss, rtol=1e-12)


def test_without_architecture_the_sparsity_tells_dense_from_sparse():
    read = read_cells(
        build_table(planted().drop(columns="architecture"), sparsity_law.roles), (1.0, 1.0, 1.0)
    )
    assert read.architectures == ["dense", "sparse"]
    assert np.all((read.cells.architecture == 0) == (read.cells.sparsity == 0))


def test_units_and_compute_are_read():
    table = planted()
    other = pd.DataFrame(
        {"kilo": table["Na"] / 1e3, "stored": table["N"] / 1e3, "loss": table["loss"],
         "flop": 6 * table["Na"] * table["D"] / 1e9}
    )  # fmt: skip
    roles = {"active_parameters": "kilo", "total_parameters": "stored", "compute": "flop"}
    built = build_table(other, sparsity_law.roles, roles)
    cells = read_cells(built, (1e3, 1.0, 1e9)).cells
    np.testing.assert_allclose(np.unique(cells.active), [2e3, 5e3, 1.2e4, 3e4])
    np.testing.assert_allclose(np.unique(cells.tokens.round(3)), [3e4, 1e5, 3e5, 1e6])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop(columns="N"), "two are needed"),
        (lambda t: t.drop(columns="D"), "neither a column of tokens"),
        (lambda t: t.assign(Na=2 * t["N"]), "more active parameters than parameters in all"),
        (lambda t: t[t["architecture"] == "dense"], "sparsities"),
    ],
)
def test_tables_that_cannot_do_are_refused(change, words):
    with pytest.raises(InputError, match=words):
        sparsity_law(change(planted()), rng=0)


def test_a_sparsity_that_disagrees_is_noticed():
    table = planted().assign(sparsity=0.3)
    read = read_cells(build_table(table, sparsity_law.roles), (1.0, 1.0, 1.0))
    assert [notice.code for notice in read.notices] == ["sparsity"]
    assert 0.3 not in np.unique(read.cells.sparsity)


def test_a_target_beyond_the_runs_is_noticed():
    result = sparsity_law(planted(), rng=0, draws=50, target_active=1e9, target_sparsity=0.99)
    assert [n.code for n in result.warnings].count("extrapolation") == 2


def test_recorded_runs_have_all_three_architectures():
    table = pd.read_csv(example_path("sparse_runs.csv"))
    assert set(table["architecture"]) == {"dense", "mixture", "pruned"}
    dense = table["architecture"] == "dense"
    assert np.all(table.loc[dense, "sparsity"] == 0)
    stored = 1 - table["active_parameters"] / table["total_parameters"]
    np.testing.assert_allclose(table["sparsity"], stored, atol=1e-5)
