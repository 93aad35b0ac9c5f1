"""Predicting scores from records: splits, predictors, intervals and the search for tasks."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from statlas.core import Category, InputError, Number, OptionError, Result, Roles
from statlas.core.numerics.conformal import conformal_quantile
from statlas.core.tables import build_table
from statlas.scaling.bigbench_predict import (
    PREDICTORS,
    PROTOCOLS,
    Grid,
    factorise,
    fit_additive,
    fit_columns,
    greedy,
    groups_of,
    hold_out,
    make_folds,
    missing_cells,
    nearest,
    nested_search,
    predict_cells,
    predict_scores,
    r_squared,
    read_records,
    recover,
    recover_many,
    rehearse,
    resampled_interval,
    situation,
)
from statlas.scaling.bigbench_predict.evaluation import best_predictor
from statlas.scaling.bigbench_predict.records import Records
from statlas.scaling.bigbench_predict.smallbench import (
    State,
    paired_gains,
    shrinkage,
    sizes_to_try,
    task_values,
)
from statlas.scaling.bigbench_predict.splits import (
    FAMILY_GROUP,
    FAMILY_TASK,
    FAMILY_TASK_SHOTS,
    MODEL_TASK,
    RANDOM,
    usable_protocols,
)

ROLES = Roles(
    family=Category(), parameters=Number(optional=True), shots=Number(optional=True),
    group=Category(optional=True), task=Category(), score=Number(gaps=True),
    model=Category(optional=True),
)  # fmt: skip


def planted(
    families: int = 6, sizes: int = 3, tasks: int = 10, noise: float = 0.01, seed: int = 0
) -> pd.DataFrame:
    """Scores from two capabilities of a family that grow with size, and tasks that need both."""
    rng = np.random.default_rng(seed)
    base, slope = rng.normal(size=(families, 2)), rng.uniform(0.2, 0.5, (families, 2))
    need, ease = rng.uniform(0, 1, (tasks, 2)), rng.normal(size=tasks)
    rows = []
    for f, s, t, shots in itertools.product(range(families), range(sizes), range(tasks), (0, 2)):
        capability = base[f] + slope[f] * s + 0.1 * np.log1p(shots)
        clean = 0.5 + 0.06 * (capability @ need[t] + ease[t])
        rows.append(
            {
                "family": f"f{f}", "parameters": 1e8 * 4.0**s, "shots": shots,
                "group": f"g{t // 3}", "task": f"t{t}",
                "score": clean + noise * rng.standard_normal(),
            }
        )  # fmt: skip
    return pd.DataFrame(rows)


def records_of(table: pd.DataFrame) -> Records:
    return read_records(build_table(table, ROLES))[0]


# --- records and splits ---------------------------------------------------------------------------


def test_groups_of_the_protocols_are_those_of_the_papers_scripts():
    table = planted()
    records = records_of(table)
    keys = {
        "L1": ["task", "family", "parameters", "shots"],
        "L2.1": ["task", "family", "parameters"],
        "L2.2": ["task", "family", "shots"],
        "L3": ["task", "family"],
        "L4": ["group", "family"],
        "": ["family"],
    }
    for protocol in PROTOCOLS[:-1]:
        expected = table.groupby(keys[protocol.paper]).ngroups
        assert groups_of(records, protocol).max() + 1 == expected


def test_folds_keep_groups_whole_and_are_of_equal_size():
    groups = np.repeat(np.arange(23), 4)
    fold = make_folds(groups, 5, np.random.default_rng(0))
    assert all(len(set(fold[groups == group])) == 1 for group in range(23))
    assert sorted(np.bincount(fold[::4])) == [4, 4, 5, 5, 5]


def test_protocols_that_fall_together_are_measured_once():
    table = planted()
    without_shots = table[table["shots"] == 0].drop(columns=["shots", "group"])
    names = [protocol.paper for protocol in usable_protocols(records_of(without_shots))]
    assert names == ["L1", "L3", "", ""]
    assert [p.paper for p in usable_protocols(records_of(table))][:5] == [
        "L1", "L2.1", "L2.2", "L3", "L4"
    ]  # fmt: skip


def test_repeats_are_averaged_and_gaps_do_not_count():
    table = planted()
    twice = pd.concat([table, table.iloc[[0]].assign(score=0.9)], ignore_index=True)
    twice = pd.concat([twice, table.iloc[[1]].assign(score=np.nan)], ignore_index=True)
    given = build_table(twice, ROLES, missing="drop")
    records, repeats = read_records(given)
    assert repeats == 1
    assert len(records) == len(table)
    first = records.take(
        (records.model == records.model[0]) & (records.column == records.column[0])
    )
    assert np.isfinite(first.score).all()
    assert np.isclose(records.score, (table["score"].iloc[0] + 0.9) / 2).any()


def test_missing_sizes_take_the_mean_of_the_family():
    table = planted()
    gone = (table["family"] == "f0") & (table["parameters"] == 4e8)
    holey = table.assign(parameters=table["parameters"].where(~gone))
    roles = Roles(**{**ROLES.by_name, "parameters": Number(gaps=True)})
    records, _ = read_records(build_table(holey, roles, missing="drop"))
    filled = records.numeric[records.family == 0, 0]
    ends = np.unique(filled.round(9))
    assert len(ends) == 3
    assert ends[1] == pytest.approx((ends[0] + ends[2]) / 2)


# --- predictors -----------------------------------------------------------------------------------

# Five models by six columns, and what scikit-surprise 1.1.5 (BaselineOnly; KNNBaseline with k 40,
# min_k 1, pearson_baseline with shrinkage 100, by user and by item) predicts for nine other cells.
ROWS = [0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4]
COLUMNS = [0, 3, 4, 0, 3, 4, 5, 0, 1, 2, 3, 0, 2, 3, 4, 5, 0, 1, 2, 4, 5]
SCORES = [
    0.5, 0.25, 0.01, 0.19, 0.69, 0.2, 0.37, 0.0, 0.83, 0.15, 0.27, 0.88, 0.51, 0.85, 0.64, 0.74,
    0.09, 0.54, 0.51, 0.87, 0.36,
]  # fmt: skip
ASKED = [(0, 1), (0, 2), (0, 5), (1, 1), (1, 2), (2, 4), (2, 5), (3, 1), (4, 3)]
PEER = {
    "baseline": [
        0.45979426, 0.4012123323, 0.4233716563, 0.4738273307, 0.415245403, 0.4130922494,
        0.4254759391, 0.5615650606, 0.4760236505,
    ],
    "model": [
        0.45979426, 0.4012123323, 0.3559669293, 0.8419287879, 0.1619287879, 0.7121967605,
        0.330365621, 0.5615650606, 0.3060693077,
    ],
    "task": [
        0.45979426, 0.2414818608, 0.4727848486, 0.4738273307, 0.2964477621, 0.1909392168,
        0.0927321235, 0.5615650606, 0.4136210339,
    ],
}  # fmt: skip


def five_by_six(rows: list[int], columns: list[int], score: list[float]) -> Records:
    zero = np.zeros(len(rows), dtype=np.int64)
    row, column = np.array(rows), np.array(columns)
    labels = {
        "family": list("abcde"), "model": list("abcde"), "group": list("uvwxyz"),
        "task": list("uvwxyz"), "shots": ["0"], "numeric": [],
    }  # fmt: skip
    return Records(
        row, row, column, column, zero, column, np.zeros((len(rows), 0)), np.array(score), labels, 6
    )


def test_baseline_and_neighbours_are_those_of_scikit_surprise():
    train = five_by_six(ROWS, COLUMNS, SCORES)
    new = five_by_six([u for u, _ in ASKED], [c for _, c in ASKED], [0.0] * len(ASKED))
    rng = np.random.default_rng(0)
    baseline = PREDICTORS["model + task"](train, new, rng)
    np.testing.assert_allclose(baseline, PEER["baseline"], atol=1e-9)
    np.testing.assert_allclose(nearest(train, new, "model"), PEER["model"], atol=1e-9)
    np.testing.assert_allclose(nearest(train, new, "task"), PEER["task"], atol=1e-9)


def test_additive_fit_without_shrinkage_is_least_squares():
    rows, columns = np.array(ROWS), np.array(COLUMNS)
    fit = fit_additive(rows, columns, np.array(SCORES), (5, 6), (1e-9, 1e-9))
    design = np.column_stack([np.eye(5)[rows], np.eye(6)[columns]])
    solved = design @ np.linalg.lstsq(design, np.array(SCORES), rcond=None)[0]
    np.testing.assert_allclose(fit.predict(rows, columns), solved, atol=1e-8)


def test_factors_recover_a_planted_product_to_its_noise():
    table = planted(families=10, tasks=14, noise=0.01)
    records = records_of(table)
    out = np.random.default_rng(1).random(len(records)) < 0.2
    predicted = factorise(records.take(~out), records.take(out), np.random.default_rng(0))
    error = np.sqrt(np.mean((predicted - records.score[out]) ** 2))
    # The noise alone leaves 0.010; the additive baseline leaves more than twice that.
    assert error < 0.0125
    baseline = PREDICTORS["model + task"](
        records.take(~out), records.take(out), np.random.default_rng(0)
    )
    assert np.sqrt(np.mean((baseline - records.score[out]) ** 2)) > 0.02


def test_factors_of_an_unseen_model_follow_its_side_features():
    records = records_of(planted(families=8, sizes=5, tasks=12, noise=0.005))
    biggest = records.numeric[:, 0] == records.numeric[:, 0].max()
    out = biggest & (records.family == 0)
    predicted = factorise(records.take(~out), records.take(out), np.random.default_rng(0))
    assert r_squared(records.score[out], predicted) > 0.8


@pytest.mark.parametrize("name", list(PREDICTORS))
def test_every_predictor_is_deterministic_and_blind_to_the_scores_it_predicts(name):
    records = records_of(planted())
    out = np.arange(len(records)) % 5 == 0
    train, new = records.take(~out), records.take(out)
    hidden = Records(**{**vars(new), "score": np.full(len(new), np.nan)})
    first = PREDICTORS[name](train, new, np.random.default_rng(3))
    second = PREDICTORS[name](train, hidden, np.random.default_rng(3))
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, second)
    other = PREDICTORS[name](train, new.take(np.arange(len(new))[::-1]), np.random.default_rng(3))
    np.testing.assert_allclose(other[::-1], first, atol=1e-6)


def test_boosting_takes_more_tasks_than_one_categorical_column_holds():
    rng = np.random.default_rng(0)
    ease = rng.uniform(0.2, 0.8, 600)
    rows = [(f"m{m}", f"t{t}", ease[t] + 0.02 * m) for m in range(15) for t in range(600)]
    table = pd.DataFrame(rows, columns=["family", "task", "score"])
    records = records_of(table)
    out = rng.random(len(records)) < 0.2
    predicted = PREDICTORS["boosting"](records.take(~out), records.take(out), rng)
    assert r_squared(records.score[out], predicted) > 0.5


# --- intervals ------------------------------------------------------------------------------------


def test_interval_of_resampled_splits_by_hand():
    # Nadeau and Bengio: variance (1/5 + 1/4) s^2, t with 4 degrees of freedom 2.776445.
    values = np.array([0.9, 0.92, 0.94, 0.96, 0.98])
    low, high = resampled_interval(values, 0.95, 0.25)
    half = 2.776445105 * np.std(values, ddof=1) * np.sqrt(0.45)
    assert (low, high) == pytest.approx((0.94 - half, 0.94 + half), abs=1e-9)


def test_situations_of_missing_cells():
    table = planted()
    gone = {
        RANDOM: (table["family"] == "f0") & (table["task"] == "t0") & (table["shots"] == 0)
        & (table["parameters"] == 1e8),
        MODEL_TASK: (table["family"] == "f1") & (table["task"] == "t1")
        & (table["parameters"] == 1e8),
        FAMILY_TASK_SHOTS: (table["family"] == "f2") & (table["task"] == "t2")
        & (table["shots"] == 0),
        FAMILY_TASK: (table["family"] == "f3") & (table["task"] == "t3"),
        FAMILY_GROUP: (table["family"] == "f4") & (table["group"] == "g2"),
    }  # fmt: skip
    everything = records_of(table[~np.logical_or.reduce(list(gone.values()))])
    cells = missing_cells(everything)
    found = situation(everything, cells)
    names = [cells.labels["family"][code] for code in cells.family]
    expected = dict(zip(("f0", "f1", "f2", "f3", "f4"), gone, strict=True))
    assert [expected[name] for name in names] == found
    assert len(cells) == sum(mask.sum() for mask in gone.values())


def test_cells_get_the_half_width_of_their_own_protocol():
    table = planted()
    pair = (table["family"] == "f3") & (table["task"] == "t3")
    single = table.index == 0
    records = records_of(table[~(pair | single)])
    cells = missing_cells(records)
    held_out = hold_out(records, [RANDOM, FAMILY_TASK], ("factors",), 5, np.random.default_rng(0))
    rows = predict_cells(records, cells, held_out, 0.9, None, np.random.default_rng(0))
    for one in held_out:
        half = conformal_quantile(np.abs(records.score - one.predicted["factors"]), 0.9)
        own = [row for row in rows if row["like"] == one.protocol.name]
        assert own
        assert all(row["high"] - row["predicted"] == pytest.approx(half) for row in own)
    limited = predict_cells(records, cells, held_out, 0.9, (0.5, 0.6), np.random.default_rng(0))
    assert all(0.5 <= row["low"] <= row["predicted"] <= row["high"] <= 0.6 for row in limited)


def test_random_split_intervals_cover_planted_scores():
    # 36 of 360 records at a time: 90 % intervals cover 0.9 +- 0.05 over 10 draws (5 standard
    # errors of independent cells: false alarm below 1e-5).
    records = records_of(planted(noise=0.02))
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(10):
        out = rng.permutation(len(records)) < len(records) // 10
        known, cells = records.take(~out), records.take(out)
        held_out = hold_out(known, [RANDOM], ("factors",), 5, rng)
        rows = predict_cells(known, cells, held_out, 0.9, None, rng)
        covered += [
            row["low"] <= s <= row["high"] for row, s in zip(rows, cells.score, strict=True)
        ]
    assert np.mean(covered) == pytest.approx(0.9, abs=5 * np.sqrt(0.09 / len(covered)))


def test_best_predictor_has_the_smallest_squared_error():
    records = records_of(planted())
    held_out = hold_out(records, [RANDOM], ("task mean", "factors"), 3, np.random.default_rng(0))[0]
    assert best_predictor(records, held_out) == "factors"


# --- tasks to keep --------------------------------------------------------------------------------


def random_grid(seed: int = 0, gaps: float = 0.1) -> Grid:
    rng = np.random.default_rng(seed)
    skill = rng.normal(size=(40, 2)).cumsum(axis=0) * 0.2
    scores = skill @ rng.normal(size=(2, 9)) + 0.1 * rng.normal(size=(40, 9))
    scores[rng.random(scores.shape) < gaps] = np.nan
    return Grid(scores, rng.normal(size=(40, 1)), np.repeat(np.arange(5), 8))


def test_candidates_are_exactly_what_seeing_each_task_gives():
    one = rehearse(random_grid())[2]
    state = State.begin(one.fit, one.scores)
    state.see(4)
    state.see(7)
    values = state.candidates()
    for task in range(9):
        if task in (4, 7):
            assert values[task] == -np.inf
        else:
            assert values[task] == pytest.approx(recover(one.fit, one.scores, [4, 7, task])[0])


def test_many_subsets_at_once_are_the_same_as_one_by_one():
    one = rehearse(random_grid())[0]
    subsets = np.array([[0, 3, 5], [8, 1, 2], [6, 7, 4]])
    together = recover_many(one.fit, one.scores, subsets)
    alone = [recover(one.fit, one.scores, subset) for subset in subsets]
    np.testing.assert_allclose(together, alone, atol=1e-12)


def test_seeing_tasks_is_the_conditional_mean_of_a_normal():
    """Without gaps, against the textbook formula with the inverse of the seen block."""
    grid = random_grid(gaps=0.0)
    train = Grid(grid.scores[8:], grid.features[8:], grid.family[8:])
    fit = fit_columns(train, grid.features[:8])
    seen = [1, 6, 3]
    state = State.begin(fit, grid.scores[:8])
    for task in seen:
        state.see(task)
    block = fit.covariance[np.ix_(seen, seen)] + np.diag(fit.noise[seen])
    rest = (grid.scores[:8] - fit.start)[:, seen]
    mean = fit.start + rest @ np.linalg.solve(block, fit.covariance[seen])
    left = [task for task in range(9) if task not in seen]
    np.testing.assert_allclose(
        state.residual[:, left], (grid.scores[:8] - mean)[:, left], atol=1e-10
    )


def test_greedy_starts_with_the_best_single_task_of_all():
    rehearsals = rehearse(random_grid(3))
    alone = [
        np.mean([recover(one.fit, one.scores, [task])[0] for one in rehearsals])
        for task in range(9)
    ]
    assert greedy(rehearsals, 1) == [int(np.argmax(alone))]


def test_a_task_that_says_nothing_is_chosen_last():
    """Six tasks share one skill, a seventh is noise of its own: it recovers nothing."""
    rng = np.random.default_rng(0)
    skill = rng.normal(size=(60, 1))
    scores = np.column_stack([skill + 0.2 * rng.normal(size=(60, 6)), 0.2 * rng.normal(size=60)])
    grid = Grid(scores, np.zeros((60, 1)), np.repeat(np.arange(6), 10))
    first = greedy(rehearse(grid), 1)[0]
    assert first != 6
    outer = rehearse(grid)
    noise = np.mean([recover(one.fit, one.scores, [6])[0] for one in outer])
    own = np.mean([recover(one.fit, one.scores, [first])[0] for one in outer])
    assert own > 0.7 > 0.3 > noise


def test_the_family_that_judges_takes_no_part_in_the_search():
    grid = random_grid(1)
    changed = np.where((grid.family == 2)[:, None], 3.0, 1.0) * grid.scores
    other = Grid(changed, grid.features, grid.family)
    assert greedy(rehearse(grid, 2), 4) == greedy(rehearse(other, 2), 4)


def test_nested_search_gains_on_planted_blocks():
    """Twelve tasks in three blocks of four that share a skill: a good set has one of each."""
    rng = np.random.default_rng(0)
    skills = rng.normal(size=(80, 3))
    scores = np.repeat(skills, 4, axis=1) + 0.3 * rng.normal(size=(80, 12))
    grid = Grid(scores, np.zeros((80, 1)), np.repeat(np.arange(8), 10))
    recovery = nested_search(grid, (3,), 50, rng)
    for search in ("greedy", "best of random", "clusters"):
        blocks = sorted(task // 4 for task in recovery.final[search, 3])
        assert blocks == [0, 1, 2]
        assert np.mean(paired_gains(recovery, search, 3)) > 0.1


def test_task_value_is_the_mean_quality_of_the_sets_with_it():
    subsets = np.array([[0, 1], [1, 2], [0, 2]])
    values = task_values(subsets, np.array([0.1, 0.5, 0.9]), 4)
    np.testing.assert_allclose(values, [0.5, 0.3, 0.7, 0.5])


def test_shrinkage_is_strong_for_noise_and_weak_for_structure():
    rng = np.random.default_rng(0)
    assert shrinkage(rng.normal(size=(30, 12))) > 0.6
    skill = rng.normal(size=(300, 1))
    assert shrinkage(skill + 0.3 * rng.normal(size=(300, 12))) < 0.05


def test_sizes_to_try():
    assert sizes_to_try(8, 36) == (2, 4, 8, 16)
    assert sizes_to_try(1, 4) == (1, 2)
    assert sizes_to_try(5, 6) == (1, 2, 5)


# --- the recipe -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def example() -> Result:
    return predict_scores.run_example()


def test_recorded_scores_get_harder_to_predict_as_more_is_held_out(example):
    r2 = [
        example.value(f"R2, {name}").estimate
        for name in ("single record", "family and task", "family and task group", "task")
    ]
    assert r2 == sorted(r2, reverse=True)
    assert r2[0] > 0.93


def test_the_chosen_tasks_of_the_example_also_serve_boosted_trees(example):
    """Another predictor, trained with a family's scores on the chosen tasks, not on random ones."""
    frame = pd.read_csv(predict_scores.example.load())
    records = records_of(frame.rename(columns={"size": "parameters"}))
    chosen = example.tasks.set_index(["search", "kept"]).loc[("greedy", 4), "tasks"].split(", ")
    rng = np.random.default_rng(0)
    labels = np.array(records.labels["task"])
    gains = []
    for family in range(0, 8, 2):
        quality = []
        for kept in (chosen, *(rng.permutation(labels)[:4] for _ in range(2))):
            out = (records.family == family) & ~np.isin(labels[records.task], kept)
            predicted = PREDICTORS["boosting"](records.take(~out), records.take(out), rng)
            quality.append(r_squared(records.score[out], predicted))
        gains.append(quality[0] - np.mean(quality[1:]))
    assert np.mean(gains) > 0


def test_wide_table_with_other_names_and_units(tmp_path):
    table = planted(families=5, tasks=8)
    table = table[table["shots"] == 0]
    wide = table.pivot(index=["family", "parameters"], columns="task", values="score").reset_index()
    wide["Model"] = [f"model-{row}" for row in range(len(wide))]
    wide["Model Size (B)"] = wide.pop("parameters") / 1e9
    wide = wide.rename(columns={"family": "Model Family"})
    wide.loc[3, "t2"] = np.nan
    path = tmp_path / "leaderboard.csv"
    wide.to_csv(path, index=False)
    result = predict_scores(path, missing="drop", rng=0)
    assert len(result.predictions) == 1
    assert result.predictions["model"].item() == "model-3"
    truth = table.sort_values(["family", "parameters"])["score"].to_numpy().reshape(-1, 8)[3, 2]
    row = result.predictions.iloc[0]
    assert row["low"] < truth < row["high"]
    with pytest.raises(InputError, match="t2"):
        predict_scores(path, rng=0)


def test_the_table_shown_can_be_chosen():
    table = planted()
    result = predict_scores(
        table.drop(index=3), predictors=("factors",), subsets=10, table="predictions", rng=0
    )
    assert list(result.table["task"]) == ["t1"]
    with pytest.raises(InputError, match="missing"):
        predict_scores(table, predictors=("factors",), subsets=10, table="predictions", rng=0)


def test_bad_tables_name_column_and_remedy():
    table = planted()
    with pytest.raises(InputError, match="20 scores"):
        predict_scores(table.assign(score=[0.5] * 12 + [np.nan] * 348), missing="drop")
    with pytest.raises(InputError, match=r"'score'.*vary"):
        predict_scores(table.assign(score=0.5))
    two = table.assign(model="one").assign(task=table["task"] + table["family"])
    with pytest.raises(InputError, match="model 'one'"):
        predict_scores(two)
    with pytest.raises(InputError, match="families nor"):
        predict_scores(table.drop(columns=["family"]))
    with pytest.raises(OptionError, match="'keep'"):
        predict_scores(table, keep=10)
    with pytest.raises(InputError, match="above 0"):
        predict_scores(table.assign(parameters=-1.0))


def test_without_families_there_is_no_search_but_an_answer():
    table = planted()
    table = table[table["family"].isin(["f0", "f1"])]
    result = predict_scores(table, predictors=("factors",), rng=0)
    assert any(notice.code == "no-search" for notice in result.warnings)
    assert result.tasks.empty
    result.plot()


def test_scores_in_different_units_are_told():
    table = planted()
    mixed = table.assign(score=table["score"].where(table["task"] != "t0", 1000 * table["score"]))
    result = predict_scores(mixed, predictors=("factors",), subsets=10, rng=0)
    assert any(notice.code == "different-units" for notice in result.warnings)
