"""Training plans: budgets, laws, limits, shapes and the recipe, against known answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from statlas.core import AssumptionError, InputError, OptionError, Result, Status
from statlas.core.numerics.laws import CHINCHILLA
from statlas.core.numerics.transformer_costs import training_cost
from statlas.scaling.million_gpu_hours import (
    ACCELERATORS,
    LAWS,
    TRAININGS,
    Architecture,
    Limits,
    Utilisation,
    allocate_loss_law,
    allocate_size_law,
    choose_shapes,
    devices_for_state,
    levine_depth,
    operations,
    peak_rate,
    plan_training,
    utilisation_from_hours,
    utilisation_of,
)

PF_DAY = 8.64e19
LAW = {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658}
ROW = np.array([list(LAW.values())])


def table_of_runs(noise: float = 0.002, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    compute = np.repeat(1e18 * 3.0 ** np.arange(6), 8)
    size = np.sqrt(compute / 120) * np.tile(np.geomspace(0.3, 3.3, 8), 6)
    exact = CHINCHILLA(LAW, {"N": size, "D": compute / 6 / size})
    loss = exact * np.exp(noise * rng.standard_normal(len(size)))
    return pd.DataFrame({"n_params": size, "n_tokens": compute / 6 / size, "val_loss": loss})


# --- budgets --------------------------------------------------------------------------------------


def test_budget_of_the_paper_and_of_bloom_as_trained() -> None:
    # 18 weeks of 384 devices; 100e12 operations a second; 4,838 PF-days are printed.
    budget = operations(384, 18 * 7 * 24, peak_rate("a100-80gb", "bf16", None), 100 / 312)
    assert budget / PF_DAY == pytest.approx(4838.4, abs=0.1)
    assert operations(384, 3024, 312e12, 100 / 312, lost=0.07) == pytest.approx(0.93 * budget)
    # 4,500 PF-days are printed as 23 % more than GPT-3, whose paper prints 3,640 PF-days.
    gpt3 = next(training for training in TRAININGS if training.name == "GPT-3 175B")
    assert 6 * gpt3.parameters * gpt3.tokens / PF_DAY == pytest.approx(3640, rel=2e-3)


def test_utilisation_of_published_trainings() -> None:
    share = {
        t.name: utilisation_of(t, peak_rate(t.accelerator, "bf16", None))
        for t in TRAININGS
        if t.device_hours is not None
    }
    # 6 x 13e9 x 1e12 over 135,168 hours x 312e12 by hand; the largest of all.
    assert share["LLaMA 13B"] == pytest.approx(78e21 / (135_168 * 3600 * 312e12))
    assert max(share, key=share.get) == "LLaMA 13B"
    # The default of the recipe is their median and middle 95 %.
    low, middle, high = np.quantile(list(share.values()), [0.025, 0.5, 0.975])
    assert (round(low, 2), round(middle, 2), round(high, 2)) == (0.18, 0.32, 0.5)


def test_draws_of_utilisation_have_the_stated_range() -> None:
    use = Utilisation(0.4, 0.3, 0.5)
    drawn = use.draw(200_000, np.random.default_rng(0))
    # Logit(0.4) is 0.02 nearer to logit(0.5) than to logit(0.3): quantiles to within 0.01.
    np.testing.assert_allclose(np.quantile(drawn, [0.025, 0.5, 0.975]), [0.3, 0.4, 0.5], atol=0.01)
    with pytest.raises(OptionError, match="utilisation"):
        Utilisation(0.4, 0.45, 0.5)


def test_utilisation_from_hours_is_that_of_the_runs() -> None:
    hours = np.array([10.0, 20.0, 40.0])
    peak = 1e12
    compute = np.array([0.3, 0.4, 0.5]) * hours * 3600 * peak
    use = utilisation_from_hours(compute, hours, peak)
    assert use.middle == pytest.approx(0.4)
    assert use.low < 0.3
    assert use.high > 0.5
    with pytest.raises(OptionError, match="above the device's peak"):
        utilisation_from_hours(compute * 4, hours, peak)


def test_peaks_are_those_of_dense_products() -> None:
    assert peak_rate("h100-sxm", "bf16", None) == pytest.approx(989.4e12)
    assert peak_rate("h100-sxm", "fp8", None) == pytest.approx(2 * 989.4e12, rel=1e-3)
    assert peak_rate("custom", "bf16", 0.05) == 5e10
    with pytest.raises(OptionError, match="peak_tflops"):
        peak_rate("custom", "bf16", None)
    with pytest.raises(OptionError, match=r"v100.*fp16"):
        peak_rate("v100", "bf16", None)
    assert all(value > 0 for known in ACCELERATORS.values() for value in known.peaks.values())


# --- published trainings and laws -----------------------------------------------------------------


def test_shapes_of_published_models_have_their_stated_sizes() -> None:
    for training in TRAININGS:
        relative = training.name in ("Gopher", "Chinchilla")  # positions with weights of their own
        tolerance = 0.08 if relative else 0.01
        assert float(training.shape.parameters) == pytest.approx(
            training.parameters, rel=tolerance
        ), training.name


def test_stated_operations_are_6nd() -> None:
    for training in TRAININGS:
        if training.flops is not None and training.name != "Gopher":
            counted = 6 * training.parameters * training.tokens
            assert counted == pytest.approx(training.flops, rel=0.025), training.name


def test_printed_points_of_the_laws() -> None:
    one = np.array([1.0])
    # The paper: 392e9 parameters, 165e9 tokens for 4,500 PF-days.
    best = allocate_size_law(LAWS["bloom"], 0.73 * one, 4500 * PF_DAY * one, Limits())
    assert best.size[0] == pytest.approx(392e9)
    assert best.tokens[0] == pytest.approx(165e9, rel=0.005)
    # Llama 3: 402e9 parameters on 16.55e12 tokens at 3.8e25 operations.
    best = allocate_size_law(LAWS["llama-3"], (1 - 0.537) * one, 3.8e25 * one, Limits())
    assert best.size[0] == pytest.approx(402e9, rel=0.05)
    # Hoffmann et al., Table 3 (envelope): 10e9 parameters at 1.23e22, 1e12 at 1.27e26.
    for compute, size in ((1.23e22, 10e9), (1.27e26, 1e12)):
        best = allocate_size_law(LAWS["chinchilla-envelope"], 0.5 * one, compute * one, Limits())
        assert best.size[0] == pytest.approx(size, rel=0.03)
    # Kaplan et al., Table 6: 1.3e9 parameters for one PF-day.
    best = allocate_size_law(LAWS["kaplan"], 0.73 * one, PF_DAY * one, Limits())
    assert best.size[0] == pytest.approx(1.3e9)
    # Besiroglu et al.: about 20 tokens a parameter at Chinchilla's budget, exponent 0.513 (0.02).
    law = LAWS["chinchilla-corrected"]
    drawn = law.draw(4000, np.random.default_rng(0))
    exponent = drawn[:, 4] / (drawn[:, 3] + drawn[:, 4])
    assert exponent.mean() == pytest.approx(0.513, abs=0.003)
    assert exponent.std() == pytest.approx(0.02, abs=0.003)
    best = allocate_loss_law(np.array([law.parameters]), np.array([5.76e23]), Limits())
    assert 15 < best.tokens[0] / best.size[0] < 25


# --- limits ---------------------------------------------------------------------------------------


def test_limits_on_data_spend_the_whole_budget() -> None:
    compute = np.array([1e23])
    free = allocate_loss_law(ROW, compute, Limits())
    for limits in (Limits(most_tokens=1e11), Limits(least_tokens=1e13)):
        kept = allocate_loss_law(ROW, compute, limits)
        assert 6 * kept.size[0] * kept.tokens[0] == pytest.approx(1e23)
        assert kept.loss[0] > free.loss[0]
    few = allocate_loss_law(ROW, compute, Limits(most_tokens=1e11))
    assert few.tokens[0] == pytest.approx(1e11)
    many = allocate_loss_law(ROW, compute, Limits(least_tokens=1e13))
    assert many.tokens[0] == pytest.approx(1e13)
    loose = allocate_loss_law(ROW, compute, Limits(least_tokens=1e9, most_tokens=1e15))
    assert loose.size[0] == pytest.approx(free.size[0])


def test_serving_takes_two_operations_a_parameter_and_token() -> None:
    compute = np.array([1e23, 1e23])
    limits = Limits(served_tokens=1e12)
    best = allocate_loss_law(np.repeat(ROW, 2, axis=0), compute, limits)
    np.testing.assert_allclose(6 * best.size * best.tokens + 2 * best.size * 1e12, 1e23)
    assert best.size[0] < allocate_loss_law(ROW, compute[:1], Limits()).size[0]
    # At the optimum of a dense search.
    size = np.geomspace(1e9, 1e11, 100_001)
    tokens = (1e23 / size - 2e12) / 6
    keep = tokens > 0
    loss = CHINCHILLA.values(ROW, {"N": size[keep], "D": tokens[keep]})[0]
    assert best.size[0] == pytest.approx(size[keep][loss.argmin()], rel=2e-3)
    # And with tokens that are scarce besides.
    scarce = allocate_loss_law(ROW, compute[:1], Limits(most_tokens=1e11, served_tokens=1e12))
    assert scarce.tokens[0] == pytest.approx(1e11)
    assert scarce.size[0] == pytest.approx(1e23 / (6e11 + 2e12))
    with pytest.raises(OptionError, match="serving"):
        allocate_size_law(LAWS["kaplan"], np.array([0.73]), compute[:1], limits)


# --- shapes ---------------------------------------------------------------------------------------


def test_depth_rule_gives_the_printed_shapes() -> None:
    # Levine et al.: 1e12 parameters want a width of 30,000 and 95 blocks; 175e9 want 80 blocks.
    assert levine_depth(30_000) == pytest.approx(95, abs=0.5)
    large = Architecture(50_257, 2048)
    best = choose_shapes(1e12, "all", large, "levine", 128, "none", 1)[0]
    assert best.width == pytest.approx(30_000, rel=0.02)
    assert best.depth == pytest.approx(95, abs=1)
    gpt3 = choose_shapes(175e9, "all", large, "levine", 128, "none", 1)[0]
    assert gpt3.depth == 80
    fixed = choose_shapes(175e9, "all", large, "aspect", 128, "none", 1)[0]
    assert (fixed.width, fixed.depth) == (12_288, 96)  # GPT-3's own ratio gives its own shape


def test_shapes_divide_as_asked_and_are_counted_exactly() -> None:
    architecture = Architecture(
        32_000, 4096, head_width=96, width_multiple=64, tensor_parallel=4, pipeline=6, gated=True,
        tied=False, feed_forward=8 / 3, key_value_share=0.25,
    )  # fmt: skip
    for shape in choose_shapes(7e9, "all", architecture, "levine", 128, "full", 5):
        assert shape.width % 64 == 0
        assert shape.width == shape.heads * 96
        assert shape.heads % 4 == 0
        assert shape.depth % 6 == 0
        decoder = architecture.decoder(shape.width, shape.depth)
        assert shape.parameters == float(decoder.parameters)
        assert shape.flops_per_token == float(training_cost(decoder))
        assert 1.3 < shape.recomputed / shape.flops_per_token < 4 / 3
    body = choose_shapes(7e9, "body", Architecture(250_000, 2048), "levine", 128, "none", 1)[0]
    assert body.body == pytest.approx(7e9, rel=0.05)
    assert body.parameters == body.body + 250_000 * body.width + body.width
    with pytest.raises(OptionError, match="width_multiple"):
        choose_shapes(1e5, "all", Architecture(97, 64), "levine", 128, "none", 1)


def test_state_of_bloom_needs_forty_devices() -> None:
    # The authors' notes: a full checkpoint of 2.3e12 bytes is 13 of the 18 bytes a parameter.
    assert devices_for_state(176.247e9, 80) == 40
    assert np.isnan(devices_for_state(1e9, None))


# --- the recipe -----------------------------------------------------------------------------------


def test_the_papers_plan_comes_out() -> None:
    given = {"hours": 3024.0, "utilisation": 100 / 312, "lost": 0.07, "vocabulary_size": 250_880}
    free = plan_training(law="bloom", **given, rng=0)
    assert free.value("budget in PF-days").estimate == pytest.approx(4500, rel=2e-3)
    assert free.value("best size, BLOOM's laws").estimate == pytest.approx(392e9, rel=2e-3)
    held = plan_training(law="bloom", tokens_least=366e9, **given, rng=0)
    assert held.value("best size, BLOOM's laws").estimate == pytest.approx(176.2e9, rel=0.01)
    assert held.value("depth").estimate == 80
    assert any(notice.code == "data-floor" for notice in held.warnings)
    # 433 MWh were measured for 1,082,990 device hours (Luccioni et al., arXiv:2211.02001).
    energy = held.value("energy").estimate / held.value("device hours of the plan").estimate
    assert energy == pytest.approx(433 / 1_082_990, rel=0.11)


def test_chance_and_hours_belong_together() -> None:
    sure = plan_training(chance=0.9, draws=4000, rng=1)
    even = plan_training(draws=4000, rng=1)
    assert sure.value("budget").estimate < even.value("budget").estimate
    # A binomial share of 4,000 draws lies within 0.024 with probability 0.999.
    assert sure.value("chance that the hours suffice").estimate == pytest.approx(0.9, abs=0.024)
    assert even.value("chance that the hours suffice").estimate == pytest.approx(0.5, abs=0.03)
    hours = even.value("hours of the plan")
    assert hours.estimate == pytest.approx(2604)
    assert hours.low < hours.estimate < hours.high


def test_halving_the_peak_doubles_the_hours_of_the_same_plan() -> None:
    plan = plan_training(rng=0)
    slow = plan_training(peak_tflops=156.0, hours=5208.0, rng=0)
    assert slow.value("budget").estimate == pytest.approx(plan.value("budget").estimate)
    assert slow.value("hours of the plan").estimate == pytest.approx(5208)


def test_a_table_of_runs_gives_the_law_and_its_hours_the_utilisation() -> None:
    frame = table_of_runs()
    compute = 6 * frame["n_params"] * frame["n_tokens"]
    frame["gpu_hours"] = compute / (312e12 * 0.45 * 3600)
    found = plan_training(frame, devices=8, hours=200.0, rng=0)
    assert found.options["law"] == "table"
    assert found.value("utilisation of the peak").estimate == pytest.approx(0.45)
    budget = 8 * 200 * 3600 * 312e12 * 0.45
    assert found.value("budget").estimate == pytest.approx(budget)
    truth = allocate_loss_law(ROW, np.array([budget]), Limits()).size[0]
    best = found.value("best size, law of the table")
    assert best.low < truth < best.high
    assert best.estimate == pytest.approx(truth, rel=0.35)
    other = plan_training(frame, law="chinchilla-corrected", devices=8, hours=200.0, rng=0)
    assert other.value("best size, Chinchilla, re-analysed").estimate > 0


def test_far_extrapolation_and_scarce_memory_are_said() -> None:
    frame = table_of_runs()
    far = plan_training(frame, devices=4096, hours=3000.0, rng=0)
    assert far.status is Status.ASSUMPTION_DOUBTFUL
    assert "times that of the table's largest run" in far.advice
    small = plan_training(devices=2, hours=500_000.0, rng=0)
    assert any(notice.code == "memory" for notice in small.warnings)


def test_a_law_that_misses_repeated_runs_is_doubted() -> None:
    frame = pd.concat([table_of_runs(seed=seed) for seed in (0, 1)], ignore_index=True)
    right = plan_training(frame, devices=8, hours=100.0, rng=0)
    # 48 pairs: the F ratio of the right law lies under 2^2 but with a probability of 1e-5.
    assert 0.5 < right.value("misfit of the table's law over the noise").estimate < 2
    bent = frame.assign(val_loss=frame.val_loss * (1 + 0.05 * (frame.n_params > 1e9)))
    wrong = plan_training(bent, devices=8, hours=100.0, rng=0)
    assert wrong.status is Status.ASSUMPTION_DOUBTFUL
    assert "times their noise" in wrong.advice


def test_bad_tables_and_options_are_refused() -> None:
    frame = table_of_runs()
    with pytest.raises(InputError, match="distinct pairs"):
        plan_training(pd.concat([frame.iloc[:5], frame.iloc[:5]]), rng=0)
    with pytest.raises(OptionError, match="needs a table"):
        plan_training(law="table", rng=0)
    with pytest.raises(OptionError, match="tokens_least"):
        plan_training(tokens_least=1e12, tokens_available=1e10, rng=0)
    with pytest.raises(InputError, match="recipe"):
        plan_training(frame, focus="mix", rng=0)
    rising = frame.assign(val_loss=2 + 0.01 * np.log(frame["n_params"] * frame["n_tokens"]))
    with pytest.raises(AssumptionError, match="no best size"):
        plan_training(rising, rng=0)


def test_the_best_of_repeated_rows_is_taken_where_asked() -> None:
    frame = table_of_runs(noise=0.0)
    worse = frame.assign(val_loss=1.1 * frame["val_loss"])
    both = pd.concat([worse, frame], ignore_index=True)
    best = plan_training(both, repeats="best", devices=8, hours=100.0, rng=0)
    alone = plan_training(frame, devices=8, hours=100.0, rng=0)
    name = "best size, law of the table"
    assert best.value(name).estimate == pytest.approx(alone.value(name).estimate, rel=1e-3)


def test_result_survives_json_and_draws() -> None:
    found = plan_training(price=2.0, recomputation="full", gated=True, tied=False, rng=0)
    again = Result.from_json(found.to_json())
    assert again.headline == found.headline
    assert len(again.plot().get_axes()) == 3
    hours = found.value("device hours of the plan").estimate
    assert found.value("price").estimate == pytest.approx(2 * hours)
    assert (
        found.value("utilisation of the hardware with recomputation").estimate
        > found.value("utilisation of the peak").estimate
    )
    pd.testing.assert_frame_equal(found.table, plan_training(
        price=2.0, recomputation="full", gated=True, tied=False, rng=0).table)  # fmt: skip
