"""Ladders: both steps, their chain and what is said of it, against known answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import curve_fit, minimize

from statlas.core import InputError, OptionError, Status
from statlas.core.numerics.laws import CHINCHILLA, check_jacobian
from statlas.scaling.model_ladders import (
    ONE_STEP_POWER,
    ONE_STEP_SIGMOID,
    Ladder,
    Rules,
    accuracy_link,
    backtest,
    bits_per_byte,
    cell_means,
    doubts,
    fit_chain,
    fit_one_step,
    forecast,
    influence,
    ladder_forecast,
    loss_link,
    moving_average,
    sigmoid_law,
    split,
    task_columns,
    task_noise,
)

LAW = {"E": 0.55, "A": 45.0, "B": 100.0, "alpha": 0.24, "beta": 0.25}
LINK = {"a": -0.73, "L0": 0.72, "k": 5.5, "b": 0.97}
TARGET = (6.9e9, 1.4e12)
UNTESTED = {"rng": 0, "draws": 50, "held_out": 1e15}  # no dearer runs are forecast: quicker


def step_1(size, tokens):
    return CHINCHILLA(LAW, {"N": np.asarray(size), "D": np.asarray(tokens)})


def step_2(loss, link=LINK):
    return link["a"] / (1 + np.exp(-link["k"] * (loss - link["L0"]))) + link["b"]


def planted(noise=0.0, seed=0, checkpoints=5, seeds=1) -> pd.DataFrame:
    """Four sizes to four lengths each, with checkpoints on the way, as people have them."""
    rng = np.random.default_rng(seed)
    rows = []
    for size in 1.9e8 * 2.0 ** np.arange(4):
        for multiple in (20, 40, 100, 200):
            for repeat in range(seeds):
                off = noise * rng.standard_normal(2)
                for share in np.linspace(1 / checkpoints, 1, checkpoints):
                    tokens = size * multiple * share
                    loss = float(step_1([size], [tokens])[0])
                    loss *= np.exp(off[0] + 0.5 * noise * rng.standard_normal())
                    score = step_2(loss) + off[1] + noise * rng.standard_normal()
                    run = f"{size:.3g}-{multiple}-{repeat}"
                    rows.append((run, size, tokens, loss, score))
    return pd.DataFrame(rows, columns=["run", "N", "D", "bpb", "acc"])


def ladder_of(table: pd.DataFrame) -> Ladder:
    run = pd.factorize(table["run"])[0].astype(np.int64)
    columns = [table[name].to_numpy() for name in ("N", "D", "bpb", "acc")]
    final = np.append(run[1:] != run[:-1], True)
    return Ladder(*columns[:2], 6 * columns[0] * columns[1], *columns[2:], run, final)


# --- laws -----------------------------------------------------------------------------------------


def test_bits_per_byte_is_that_of_a_hand_count():
    # Eight bytes at probability 1/16 are 4 bits for 8 bytes.
    assert bits_per_byte(np.log(1 / 16), 8) == pytest.approx(0.5)
    with pytest.raises(InputError, match="at most 0"):
        bits_per_byte(0.1, 3)


def test_derivatives_are_those_of_differences():
    inputs = {"N": np.geomspace(1e3, 1e6, 9), "D": np.geomspace(1e7, 1e4, 9)}
    shared = {"A": 30.0, "B": 20.0, "alpha": 0.4, "beta": 0.3}
    assert (
        check_jacobian(ONE_STEP_SIGMOID, shared | {"a": -0.7, "b": 0.9, "E": -0.5}, inputs) < 1e-7
    )
    assert check_jacobian(ONE_STEP_POWER, shared | {"E": 0.9}, inputs) < 1e-7
    losses = np.linspace(0.5, 2, 9)
    assert check_jacobian(sigmoid_law(losses), LINK, {"L": losses}) < 1e-7


def test_noiseless_steps_are_found_again():
    chain = fit_chain(ladder_of(planted()), anchor=False)
    assert chain.loss.parameters == pytest.approx(LAW, rel=1e-4)
    assert chain.accuracy.fit.parameters == pytest.approx(LINK, rel=1e-4)
    loss, accuracy = chain.predict([TARGET[0]], [TARGET[1]])
    assert loss[0] == pytest.approx(step_1([TARGET[0]], [TARGET[1]])[0], rel=1e-6)
    assert accuracy[0] == pytest.approx(step_2(loss[0]), abs=1e-5)


def test_step_1_is_no_worse_than_the_descent_of_the_authors_code():
    """Peer: L-BFGS-B from the start that the code has, on the same objective."""
    ladder = ladder_of(planted(noise=0.01, seed=3)).finals
    fit = loss_link(ladder.size, ladder.tokens, ladder.loss)

    def objective(p):
        fitted = np.exp(p[0] - p[2] * np.log(ladder.size)) + p[4]
        fitted = fitted + np.exp(p[1] - p[3] * np.log(ladder.tokens))
        off = np.abs(np.log(fitted) - np.log(ladder.loss))
        return np.sum(np.where(off < 1e-3, off**2 / 2, 1e-3 * (off - 5e-4)))

    peer = minimize(
        objective, [3.0, 6.0, 0.1, 0.2, 1.0], method="L-BFGS-B", bounds=[(0, None)] * 5,
        options={"ftol": 0, "gtol": 1e-10, "maxiter": 10_000, "maxfun": 100_000},
    )  # fmt: skip
    p = fit.parameters
    ours = [np.log(p["A"]), np.log(p["B"]), p["alpha"], p["beta"], p["E"]]
    assert objective(ours) == pytest.approx(fit.value, rel=1e-9)
    assert objective(ours) <= peer.fun * (1 + 1e-6)


@pytest.mark.parametrize(("top", "least"), [(0.9, 0.1), (1.15, 0.62)])
def test_step_2_agrees_with_bounded_least_squares(top, least):
    """Peer: scipy's curve_fit with the bounds and the added point of the authors' code."""
    rng = np.random.default_rng(5)
    loss = np.linspace(least, 1.3, 60)
    score = step_2(loss, LINK | {"b": top, "a": -0.72}) + 0.004 * rng.standard_normal(60)
    link = accuracy_link(loss, score)

    def sigmoid(x, a, x0, k, b):
        return a / (1 + np.exp(-k * (x - x0))) + b

    peer, _ = curve_fit(
        sigmoid, np.append(loss, 0.0), np.append(score, 1.0), p0=[-0.75, 0.9, 3.0, 1.0],
        bounds=([-1, 0, 0, 0], [0, np.inf, np.inf, 1]), maxfev=100_000,
    )  # fmt: skip
    p = link.fit.parameters
    np.testing.assert_allclose([p["a"], p["L0"], p["k"], p["b"]], peer, rtol=2e-3)
    assert p["b"] <= 1.0
    assert (p["b"] == 1.0) == (top > 1)


def test_a_chance_level_holds_the_floor():
    ladder = ladder_of(planted(noise=0.003))
    link = accuracy_link(ladder.loss, ladder.accuracy, chance=0.25)
    assert link.predict([1e3])[0] == pytest.approx(0.25, abs=1e-9)
    assert link.predict([1e-9])[0] == pytest.approx(1.0, abs=0.05)


def test_the_unit_of_the_task_loss_does_not_matter():
    table = planted(noise=0.003)
    bits = fit_chain(ladder_of(table)).predict([TARGET[0]], [TARGET[1]])[1]
    nats = fit_chain(ladder_of(table.assign(bpb=table["bpb"] * np.log(2))))
    assert nats.predict([TARGET[0]], [TARGET[1]])[1] == pytest.approx(bits, abs=2e-4)


def test_one_step_laws_find_themselves_again():
    ladder = ladder_of(planted())
    finals = ladder.finals
    truth = {"E": 0.8, "A": 30.0, "B": 60.0, "alpha": 0.25, "beta": 0.22}
    exact = ONE_STEP_POWER(truth, {"N": finals.size, "D": finals.tokens})
    column = ladder.accuracy.copy()
    column[ladder.final] = exact
    moved = Ladder(
        ladder.size, ladder.tokens, ladder.compute, ladder.loss, column, ladder.run, ladder.final
    )
    assert fit_one_step(ONE_STEP_POWER, moved).parameters == pytest.approx(truth, rel=1e-3)


# --- draws ----------------------------------------------------------------------------------------


def test_draws_carry_both_steps_and_the_noise_of_a_run():
    chain = fit_chain(ladder_of(planted(noise=0.004, seed=1)))

    def width(draws):
        low, high = np.quantile(draws[:, 0], [0.025, 0.975])
        return high - low

    widths = {}
    for steps in ("both", "loss", "accuracy"):
        found = forecast(chain, *TARGET, n_draws=150, steps=steps)
        widths[steps] = width(found.accuracy_draws)
        assert width(found.run_accuracy_draws) > 0
    assert widths["both"] > max(widths["loss"], widths["accuracy"]) * 0.95
    both = forecast(chain, *TARGET, n_draws=150)
    low, high = np.quantile(both.accuracy_draws[:, 0], [0.0005, 0.9995])
    assert low < both.accuracy[0] < high
    assert width(both.run_accuracy_draws) > width(both.accuracy_draws)
    wild = forecast(chain, *TARGET, n_draws=150, resample="residuals")
    assert 0.3 < width(wild.accuracy_draws) / widths["both"] < 2


def test_without_noise_there_is_no_spread():
    chain = fit_chain(ladder_of(planted()), anchor=False)
    found = forecast(chain, *TARGET, n_draws=50, resample="residuals")
    assert np.ptp(found.run_accuracy_draws) < 1e-3


# --- held-out runs, influence, noise --------------------------------------------------------------


def test_runs_are_held_out_whole_where_their_ends_count():
    ladder = ladder_of(planted())
    kept, dear = split(ladder, 4.0)
    assert not set(ladder.run[kept]) & set(ladder.run[dear])
    assert ladder.compute[dear].min() > ladder.compute.max() / 4
    everything = Ladder(*[getattr(ladder, n) for n in list(Ladder.__dataclass_fields__)[:6]],
                        np.ones(ladder.n_rows, dtype=bool))  # fmt: skip
    kept, dear = split(everything, 4.0)
    np.testing.assert_array_equal(kept, ~dear)
    assert set(ladder.run[kept]) & set(ladder.run[dear])


def test_without_noise_the_two_steps_meet_held_out_runs_and_one_step_does_not():
    test = backtest(ladder_of(planted()), 4.0, Rules(anchor=False), n_draws=50)
    assert test.error("two steps") < 1e-4
    assert test.loss_error < 1e-5
    assert test.link_error < 1e-4
    assert test.error("one-step power law") > 10 * test.error("two steps")
    assert test.relative_error("two steps") < 1e-3


def test_repeats_of_a_cell_are_averaged():
    ladder = ladder_of(planted(noise=0.01, seeds=3)).finals
    cells = cell_means(ladder)
    assert cells.n_rows == 16
    mine = (ladder.size == cells.size[5]) & (ladder.tokens == cells.tokens[5])
    assert mine.sum() == 3
    assert cells.loss[5] == pytest.approx(ladder.loss[mine].mean())
    assert cells.accuracy[5] == pytest.approx(ladder.accuracy[mine].mean())


def test_influence_is_what_leaving_a_size_out_does():
    ladder = ladder_of(planted(noise=0.004, seed=2))
    chain = fit_chain(ladder)
    shifts = influence(chain, *TARGET, ladder.size)
    assert len(shifts) == 4
    size = ladder.size.max()
    without = fit_chain(ladder.where(ladder.size != size))
    expected = without.predict(*([x] for x in TARGET))[1] - chain.predict(*([x] for x in TARGET))[1]
    assert shifts[size] == pytest.approx(expected[0], abs=2e-3)


def test_noise_is_the_spread_within_cells():
    table = planted(noise=0.01, seeds=8, checkpoints=2)
    ladder = ladder_of(table)
    noise = task_noise(ladder, ladder)
    # Of a run sqrt(1 + 0.25) x 1 % in the loss; 112 degrees of freedom, five standard errors.
    assert noise.seed_loss / step_1([1.9e8], [1e10])[0] == pytest.approx(0.0112, rel=0.6)
    last = ladder.finals
    by_hand = pd.DataFrame({"n": last.size, "d": last.tokens, "a": last.accuracy})
    pooled = np.sqrt(by_hand.groupby(["n", "d"])["a"].var().mean())
    assert noise.seed_accuracy == pytest.approx(pooled)
    assert np.isnan(noise.checkpoint_accuracy)


def test_last_checkpoints_count_only_where_they_are_close():
    table = planted(noise=0.01, checkpoints=60)
    ladder = ladder_of(table)
    noise = task_noise(ladder, ladder)
    dearest = table[table["run"] == "1.52e+09-200-0"].tail(10)
    assert noise.checkpoint_accuracy == pytest.approx(
        dearest["acc"].std(ddof=0) / dearest["acc"].mean()
    )
    assert np.isnan(noise.seed_accuracy)


def test_doubts_name_what_is_wrong():
    ladder = ladder_of(planted(noise=0.002))
    assert doubts(fit_chain(ladder)) == ()
    rng = np.random.default_rng(0)

    def with_accuracy(column):
        return Ladder(ladder.size, ladder.tokens, ladder.compute, ladder.loss, column, ladder.run,
                      ladder.final)  # fmt: skip

    chance = with_accuracy(0.25 + 0.02 * rng.standard_normal(ladder.n_rows))
    rising = with_accuracy(1 - ladder.accuracy)
    assert "does not fall" in doubts(fit_chain(rising, anchor=False))[0]
    assert doubts(fit_chain(chance))


# --- the recipe -----------------------------------------------------------------------------------


def two_tasks(noise=0.003) -> pd.DataFrame:
    table = planted(noise=noise)
    other = planted(noise=noise, seed=9)
    table = table.rename(columns={"bpb": "arc_bpb", "acc": "arc_acc"})
    return table.assign(piqa_bpb=1.2 * other["bpb"], piqa_acc=other["acc"])


def test_wide_and_long_tables_give_the_same():
    wide = two_tasks()
    parts = [
        wide[["run", "N", "D"]].assign(
            task=name, task_loss=wide[f"{name}_bpb"], accuracy=wide[f"{name}_acc"]
        )
        for name in ("arc", "piqa")
    ]
    long = pd.concat(parts, ignore_index=True).sample(frac=1, random_state=0)
    one, two = ladder_forecast(wide, rng=0, draws=50), ladder_forecast(long, **UNTESTED)
    pd.testing.assert_frame_equal(
        one.table.set_index("task").sort_index()[["accuracy", "task_loss"]],
        two.table.set_index("task").sort_index()[["accuracy", "task_loss"]],
    )
    assert one.status is Status.OK
    size, tokens = one.options["target_parameters"], one.options["target_tokens"]
    assert size * tokens == pytest.approx(10 * 1.52e9 * 200 * 1.52e9)
    expected = step_2(step_1([size], [tokens])[0])
    assert one.table["accuracy"].tolist() == pytest.approx([expected] * 2, abs=0.03)
    assert (one.table["held-out error, two steps"] < 0.05).all()
    assert "no-test" in {notice.code for notice in two.warnings}


def test_units_and_percentages_are_the_users():
    table = two_tasks()
    plain = ladder_forecast(table, **UNTESTED, tasks=("arc",), target_parameters=7e9,
                            target_tokens=1e12)  # fmt: skip
    scaled = table.assign(N=table["N"] / 1e9, D=table["D"] / 1e12, arc_acc=100 * table["arc_acc"])
    same = ladder_forecast(
        scaled, **UNTESTED, tasks=("arc",), parameters_unit=1e9, tokens_unit=1e12,
        perfect=100.0, target_parameters=7e9, target_tokens=1e12,
    )  # fmt: skip
    np.testing.assert_allclose(same.table["accuracy"], 100 * plain.table["accuracy"], rtol=1e-4)
    np.testing.assert_allclose(same.table["low"], 100 * plain.table["low"], rtol=2e-2)


def test_checkpoints_feed_step_1_where_all_ends_are_alike():
    rows = []
    for size in (1e4, 3e4, 1e5, 3e5):
        for tokens in (1e6, 2e6, 4e6, 8e6):
            loss = float(CHINCHILLA({"E": 0.5, "A": 30, "B": 40, "alpha": 0.4, "beta": 0.3},
                                    {"N": [size], "D": [tokens]})[0])  # fmt: skip
            rows.append((f"{size:g}", size, tokens, loss, step_2(loss)))
    table = pd.DataFrame(rows, columns=["run", "params", "tokens", "task_loss", "accuracy"])
    result = ladder_forecast(table, **UNTESTED)
    assert any(notice.code == "all-checkpoints" for notice in result.warnings)
    assert len(result.details["finals"]["loss"]) == 16
    narrow = ladder_forecast(table, **UNTESTED, checkpoints="all", span=4.0)
    assert len(narrow.details["finals"]["loss"]) == 12
    assert len(narrow.details["pairs"]["loss"]) == 16
    with pytest.raises(InputError, match="step 1"):
        ladder_forecast(table, **UNTESTED, checkpoints="last")


def test_smoothing_and_skipping_are_those_of_the_code():
    np.testing.assert_allclose(moving_average(np.arange(6.0), 3), [0, 0.5, 1, 2, 3, 4])
    assert task_columns(["a_task_loss", "a_accuracy", "b_loss", "c_acc", "loss"]) == {
        "a": ("a_task_loss", "a_accuracy")
    }
    table = two_tasks()
    result = ladder_forecast(table, **UNTESTED, average=2, skip=0.3)
    # Of five checkpoints the first two are left out.
    ladder = len(result.details["pairs"]["loss"])
    assert ladder == 16 * 3


def test_recipes_are_kept_apart():
    table = pd.concat([two_tasks().assign(mix="one"), two_tasks(0.02).head(30).assign(mix="two")])
    result = ladder_forecast(table, **UNTESTED)
    assert result.set_aside[0].rows == 30
    assert "of one" in result.headline
    with pytest.raises(OptionError, match="no recipe 'three'"):
        ladder_forecast(table, focus="three")


@pytest.mark.parametrize(
    ("change", "options", "match"),
    [
        ({}, {"tasks": ("no",)}, "no task 'no'"),
        ({}, {"show": "no"}, "no task 'no' to show"),
        ({"arc_acc": 60.0}, {}, "perfect=100"),
        ({"arc_acc": np.nan}, {}, "unevaluated='skip'"),
        ({"arc_bpb": np.inf}, {}, "finite"),
        ({}, {"chance": 1.5}, "below perfect"),
    ],
)
def test_refusals_name_the_remedy(change, options, match):
    table = two_tasks()
    for column, value in change.items():
        table.loc[3, column] = value
    with pytest.raises((InputError, OptionError), match=match):
        ladder_forecast(table, **UNTESTED, **options)


def test_empty_cells_can_be_skipped_and_are_counted():
    table = two_tasks()
    table.loc[[3, 7], "arc_acc"] = np.nan
    result = ladder_forecast(table, **UNTESTED, unevaluated="skip")
    assert any("2 cells" in notice.message for notice in result.warnings)


def test_tables_without_task_columns_are_refused():
    table = planted().rename(columns={"bpb": "x", "acc": "y"})
    with pytest.raises(InputError, match="NAME_task_loss"):
        ladder_forecast(table)
    with pytest.raises(InputError, match="accuracy=COLUMN"):
        ladder_forecast(table, task_loss="x")
