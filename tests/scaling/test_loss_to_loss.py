"""Relations between losses: pairs, offsets, carried laws and the recipe, on known answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from statlas.core import InputError, OptionError, StatlasError, Status
from statlas.core.numerics.laws import KAPLAN, check_jacobian
from statlas.scaling.loss_to_loss import (
    Laws,
    Pairs,
    Runs,
    best_by_compute,
    carry_across,
    draw_relations,
    draw_units,
    extrapolate,
    fit_loss_law,
    fit_relation,
    log_line,
    loss_relations,
    pair_runs,
    predict_across,
    r_squared,
    redraw_law,
    relate,
    same_runs,
    shifted_kaplan,
    spread_out,
    straight_line,
    translate,
)

FIRST = {"E": 1.9, "A": 6e7, "B": 8e8, "alpha": 0.41, "beta": 0.46}
RELATION = {"K": 0.62, "kappa": 1.12, "E0": 1.9, "E1": 0.9}
FORM = shifted_kaplan([1e8], [1e9])


def grid(sizes=5, lengths=6):
    size, tokens = np.meshgrid(3e7 * 2.2 ** np.arange(sizes), 4e8 * 2.5 ** np.arange(lengths))
    return size.ravel(), tokens.ravel()


def first_loss(size, tokens):
    return FORM(FIRST, {"N": size, "D": tokens})


def second_loss(size, tokens):
    return (
        RELATION["K"] * (first_loss(size, tokens) - RELATION["E0"]) ** RELATION["kappa"]
        + (RELATION["E1"])
    )


def runs_of(loss, noise=0.0, seed=0, sizes=5, lengths=6) -> Runs:
    size, tokens = grid(sizes, lengths)
    off = np.exp(noise * np.random.default_rng(seed).standard_normal(len(size)))
    unit = np.arange(len(size))
    return Runs(size, tokens, 6 * size * tokens, loss(size, tokens) * off, unit, 0 * unit)


def table(noise=0.002, **columns) -> pd.DataFrame:
    parts = []
    for place, (name, loss) in enumerate((("web", first_loss), ("code", second_loss))):
        runs = runs_of(loss, noise, place)
        parts.append(
            pd.DataFrame({"corpus": name, "N": runs.size, "D": runs.tokens, "loss": runs.loss})
        )
    return pd.concat(parts, ignore_index=True).assign(**columns)


# --- laws -----------------------------------------------------------------------------------------


def test_derivatives_are_those_of_differences():
    size, tokens = grid()
    assert check_jacobian(FORM, FIRST, {"N": size, "D": tokens}) < 1e-7


def test_without_an_irreducible_loss_the_law_is_kaplans():
    size, tokens = grid()
    ours = FORM(FIRST | {"E": 1e-12}, {"N": size, "D": tokens})
    kaplan = {"N_c": FIRST["A"], "D_c": FIRST["B"], "alpha_N": FIRST["alpha"],
              "alpha_D": FIRST["beta"]}  # fmt: skip
    np.testing.assert_allclose(ours, KAPLAN(kaplan, {"N": size, "D": tokens}), rtol=1e-9)


def test_a_law_finds_itself_again():
    size, tokens = grid()
    fit = fit_loss_law(size, tokens, first_loss(size, tokens))
    assert fit.parameters == pytest.approx(FIRST, rel=1e-4)


def test_the_carried_law_is_the_relation_applied_to_the_law():
    size, tokens = grid()
    carried = translate(FIRST, RELATION)
    np.testing.assert_allclose(
        FORM(carried, {"N": size, "D": tokens}), second_loss(size, tokens), rtol=1e-12
    )
    assert carried["alpha"] / carried["beta"] == pytest.approx(FIRST["alpha"] / FIRST["beta"])
    back = {"K": RELATION["K"] ** (-1 / RELATION["kappa"]), "kappa": 1 / RELATION["kappa"],
            "E0": RELATION["E1"], "E1": RELATION["E0"]}  # fmt: skip
    assert translate(carried, back) == pytest.approx(FIRST)


def test_k_and_kappa_are_a_line_in_logarithms():
    rng = np.random.default_rng(0)
    first, second = 2 + rng.random(20), 1 + rng.random(20)
    e0, e1 = np.array([1.5, 0.2]), np.array([0.5, 0.9])
    k, kappa = log_line(first, second, e0, e1, np.ones((2, 20)))
    for place in range(2):
        slope, level = np.polyfit(np.log(first - e0[place]), np.log(second - e1[place]), 1)
        assert kappa[place] == pytest.approx(slope)
        assert k[place] == pytest.approx(np.exp(level))
    # A pair below its offset is left out.
    k, kappa = log_line(np.append(first, 1.0), np.append(second, 2.0), e0[:1], e1[:1],
                        np.ones((1, 21)))  # fmt: skip
    assert kappa[0] == pytest.approx(np.polyfit(np.log(first - 1.5), np.log(second - 0.5), 1)[0])


def test_below_the_offset_nothing_is_left_of_the_power():
    natural = np.array([1.0, 0.5, 2.0, 1.0])
    assert relate(natural, [1.9])[0] == 1.0
    assert relate(natural, [2.25])[0] == pytest.approx(1.5)


# --- pairs ----------------------------------------------------------------------------------------


def test_pairs_are_runs_of_equal_size_tokens_and_seed():
    one = Runs(*(np.array(c, dtype=float) for c in ([1, 1, 1, 2], [5, 5, 6, 5], [1, 1, 1, 2],
               [3.0, 3.2, 2.9, 2.5])), np.arange(4), np.array([0, 1, 0, 0]))  # fmt: skip
    other = Runs(*(np.array(c, dtype=float) for c in ([2, 1, 1], [5, 5, 5], [2, 1, 1],
                 [1.5, 2.2, 2.0])), np.arange(3), np.array([0, 1, 0]))  # fmt: skip
    pairs = pair_runs(one, other)
    found = sorted(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))
    assert found == [(2.5, 1.5), (3.0, 2.0), (3.2, 2.2)]
    same_seed = Runs(*(getattr(other, n) for n in list(Runs.__dataclass_fields__)[:5]), np.zeros(3))
    averaged = pair_runs(one.where(one.seed == 0), same_seed)
    found = sorted(zip(averaged.first.tolist(), averaged.second.tolist(), strict=True))
    assert found == [(2.5, 1.5), (3.0, pytest.approx(2.1))]


def test_pairs_by_compute_are_the_best_of_each():
    one = Runs(*(np.array(c, dtype=float) for c in ([1, 2, 4, 1], [4, 2, 1, 1], [24, 24.001, 24, 6],
               [3.0, 2.8, 3.1, 4.0])), np.arange(4), np.zeros(4, int))  # fmt: skip
    assert best_by_compute(one).loss.tolist() == [4.0, 2.8]
    other = Runs(*(np.array(c, dtype=float) for c in ([3, 5], [1, 1], [24, 6], [2.0, 2.5])),
                 np.arange(2), np.zeros(2, int))  # fmt: skip
    pairs = pair_runs(one, other, "compute")
    assert sorted(zip(pairs.first, pairs.second, strict=True)) == [(2.8, 2.0), (4.0, 2.5)]


def test_no_partner_is_refused():
    one = runs_of(first_loss)
    other = one.where(np.arange(3))
    moved = Runs(
        other.size * 2.01, *(getattr(other, n) for n in list(Runs.__dataclass_fields__)[1:])
    )
    with pytest.raises(InputError, match="0 run"):
        pair_runs(one, moved)


def test_the_few_pairs_are_spread_over_compute_and_cheap_for_their_loss():
    pairs = pair_runs(runs_of(first_loss), runs_of(second_loss))
    chosen = spread_out(pairs, 6)
    logs = np.sort(np.log(pairs.compute[chosen]))
    assert len(chosen) == 6
    assert np.ptp(logs) > 0.7 * np.ptp(np.log(pairs.compute))
    # None of the others costs as little and is as good.
    for place in chosen:
        rival = (pairs.compute < pairs.compute[place]) & (pairs.first < pairs.first[place])
        assert rival.sum() <= 3


# --- relations ------------------------------------------------------------------------------------


@pytest.mark.parametrize("offsets", ["laws", "first-law", "fitted"])
def test_a_relation_without_noise_is_found_again(offsets):
    one, other = runs_of(first_loss), runs_of(second_loss)
    laws = Laws()
    relation = fit_relation(
        pair_runs(one, other), offsets, first_law=laws.of(one), second_law=laws.of(other)
    )
    assert relation.parameters == pytest.approx(RELATION, rel=2e-2)
    assert relation.r_squared > 1 - 1e-6
    at = first_loss([1e9], [1e12])
    np.testing.assert_allclose(relation.predict(at), second_loss([1e9], [1e12]), rtol=1e-3)
    across = predict_across(relation, [1e9], [1e12])
    np.testing.assert_allclose(across, second_loss([1e9], [1e12]), rtol=2e-3)


def test_the_other_direction_is_the_inverse():
    one, other = runs_of(first_loss), runs_of(second_loss)
    laws = Laws()
    back = fit_relation(pair_runs(other, one), "laws", first_law=laws.of(other),
                        second_law=laws.of(one))  # fmt: skip
    assert back.parameters["kappa"] == pytest.approx(1 / RELATION["kappa"], rel=1e-3)
    assert back.parameters["K"] == pytest.approx(
        RELATION["K"] ** (-1 / RELATION["kappa"]), rel=1e-3
    )


def test_the_irreducible_loss_stays_between_nothing_and_the_lowest():
    one, other = runs_of(first_loss, 0.01, 1), runs_of(second_loss, 0.01, 2)
    relation = fit_relation(pair_runs(one, other), "first-law", first_law=Laws().of(one))
    assert 0 < relation.parameters["E1"] < other.loss.min()
    assert relation.parameters["E0"] == pytest.approx(relation.first_law.parameters["E"])


def test_too_few_pairs_are_refused():
    pairs = pair_runs(runs_of(first_loss), runs_of(second_loss)).where(np.arange(3))
    with pytest.raises(InputError, match="needs 5 pairs"):
        fit_relation(pairs, "fitted")
    with pytest.raises(InputError, match="law is needed"):
        fit_relation(pair_runs(runs_of(first_loss), runs_of(second_loss)), "first-law")


def test_draws_spread_with_the_noise_and_hold_the_truth():
    widths = []
    for noise in (0.002, 0.008):
        one, other = runs_of(first_loss, noise, 3), runs_of(second_loss, noise, 4)
        law = Laws().of(one)
        pairs = pair_runs(one, other)
        relation = fit_relation(pairs, "first-law", first_law=law)
        counts = draw_units(pairs.unit, 150, 0)
        assert counts.sum(axis=1).tolist() == [30] * 150
        draws = draw_relations(relation, counts, redraw_law(law, counts[:, one.unit]))
        loss = predict_across(relation, [1e9], [4e10], draws)[:, 0]
        low, high = np.quantile(loss, [0.0005, 0.9995])
        # Wide of the truth with probability about 1e-3 at worst.
        assert low < second_loss([1e9], [4e10])[0] < high
        widths.append(np.ptp(np.quantile(loss, [0.025, 0.975])))
    assert 2 < widths[1] / widths[0] < 8


def test_r_squared_is_the_share_of_the_variance():
    assert r_squared(np.array([1.0, 2.0]), np.array([1.0, 2.0])) == 1
    assert r_squared(np.array([1.5, 1.5]), np.array([1.0, 2.0])) == 0


# --- trials ---------------------------------------------------------------------------------------


def test_dearer_runs_without_noise_are_met_and_a_line_misses_them():
    one, other = runs_of(first_loss), runs_of(second_loss)
    trial = extrapolate(pair_runs(one, other), one, other, 20.0, "laws", Laws())
    assert trial.pairs.compute.min() > one.compute.max() / 20
    assert trial.error("loss to loss") < 1e-4
    assert trial.error("own law") < 1e-4
    assert trial.error("straight line") > 10 * trial.error("loss to loss")
    assert extrapolate(pair_runs(one, other), one, other, 1e9, "laws", Laws()) is None


def test_a_law_is_carried_across_by_few_pairs():
    one, other = runs_of(first_loss, 0.003, 5), runs_of(second_loss, 0.003, 6)
    trial = carry_across(pair_runs(one, other), one, other, 6, Laws())
    assert trial.few.n_pairs == 6
    assert trial.rest.n_runs == 24
    assert trial.error("carried across") < 0.012
    assert trial.error("law from all") < trial.error("law from few")
    assert trial.r_squared("carried across") > 0.98
    assert carry_across(pair_runs(one, other), one, other, 20, Laws()) is None


def test_a_straight_line_is_that_of_least_squares():
    pairs = same_runs(runs_of(first_loss), 2 * runs_of(first_loss).loss - 1)
    np.testing.assert_allclose(straight_line(pairs, np.array([3.0, 4.0])), [5.0, 7.0])


# --- the recipe -----------------------------------------------------------------------------------


def test_train_to_train():
    result = loss_relations(table(), source="web", rng=0, draws=100)
    row = result.table.iloc[0]
    size, tokens = grid()
    target = size.max() * np.sqrt(10), tokens.max() * np.sqrt(10)
    expected = second_loss([target[0]], [target[1]])[0]
    assert row["low"] < expected < row["high"]
    assert row["forecast"] == pytest.approx(expected, rel=0.01)
    assert row["kappa"] == pytest.approx(RELATION["kappa"], abs=0.1)
    assert result.status is Status.OK
    carried = result.value("alpha of the law carried to code")
    assert carried.estimate == pytest.approx(FIRST["alpha"] * RELATION["kappa"], rel=0.1)
    assert row["dearer runs, loss to loss"] < 0.01


def test_train_to_test_needs_no_partner():
    runs = table()
    mine = runs[runs["corpus"] == "web"]
    both = mine.assign(test_loss=second_loss(mine["N"].to_numpy(), mine["D"].to_numpy()))
    result = loss_relations(both, first_loss=2.5, rng=0, draws=100)
    expected = RELATION["K"] * (2.5 - RELATION["E0"]) ** RELATION["kappa"] + RELATION["E1"]
    assert result.table["forecast"][0] == pytest.approx(expected, rel=0.005)


def test_test_to_test_and_across():
    runs = table()
    shifted = runs.assign(held=runs["loss"] * 1.1 + 0.2)
    for relation, first in (("test-to-test", "held of web"), ("across", "loss of web")):
        result = loss_relations(
            shifted, second="held", relation=relation, source="web", rng=0, draws=50
        )
        assert result.table["first"][0] == first
        assert result.table["second"][0] == "held of code"


def test_two_columns_are_enough():
    pairs = pair_runs(runs_of(first_loss), runs_of(second_loss))
    columns = pd.DataFrame({"L0": pairs.first, "L1": pairs.second})
    result = loss_relations(columns, rng=0, draws=50)
    assert result.options["offsets"] == "fitted"
    assert result.table["r_squared"][0] > 0.9999
    with pytest.raises(OptionError, match="needs sizes and tokens"):
        loss_relations(columns, offsets="laws")


def test_units_do_not_matter():
    plain = loss_relations(table(), source="web", rng=0, draws=50)
    scaled = table()
    scaled["N"] /= 1e6
    scaled["D"] /= 1e9
    same = loss_relations(
        scaled, source="web", rng=0, draws=50, parameters_unit=1e6, tokens_unit=1e9
    )
    assert same.table["kappa"][0] == pytest.approx(plain.table["kappa"][0], rel=1e-3)


def test_pairs_by_compute_are_fewer():
    runs = table()
    budgets = 2.0 ** np.round(np.log2(6 * runs["N"] * runs["D"]))
    result = loss_relations(
        runs.assign(C=budgets), source="web", pair_by="compute", rng=0, draws=50
    )
    assert result.table["pairs"][0] == budgets.nunique() < 30
    assert result.table["forecast"][0] == pytest.approx(
        loss_relations(table(), source="web", rng=0, draws=50).table["forecast"][0], rel=0.05
    )


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"source": "no"}, "no data set 'no'"),
        ({"source": "web", "targets": ("web",)}, "both source and target"),
        ({"relation": "test-to-test"}, "second=COLUMN"),
        ({"first_loss": 2.0, "target_tokens": 1e9}, "not both"),
        ({"first_loss": 0.5, "source": "web"}, "irreducible"),
    ],
)
def test_refusals_name_the_remedy(options, match):
    with pytest.raises(StatlasError, match=match):
        loss_relations(table(), rng=0, draws=50, **options)


def test_losses_that_do_not_go_together_are_doubted():
    rng = np.random.default_rng(0)
    one = runs_of(first_loss)
    columns = pd.DataFrame({"L0": one.loss, "L1": 2 + rng.random(30)})
    result = loss_relations(columns, rng=0, draws=50)
    assert result.status is Status.ASSUMPTION_DOUBTFUL
    assert "variance" in result.advice or "determine" in result.advice


def test_same_runs_keeps_order():
    runs = runs_of(first_loss)
    pairs = same_runs(runs, runs.loss + 1)
    assert isinstance(pairs, Pairs)
    np.testing.assert_allclose(pairs.second - pairs.first, 1)
