"""The guide for ecologists: identities, peers, folds that keep blocks whole, other tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold, cross_val_predict

from statlas.catalog import load_catalogue
from statlas.core.errors import InputError
from statlas.core.examples import example_path
from statlas.core.results import Status
from statlas.statistics.ecology_review import (
    TOOLS,
    accumulated_local_effects,
    block_folds,
    choose_ecology_tool,
    fit_tool,
    mean_interval,
    out_of_fold,
    permutation_losses,
    random_folds,
    spatial_blocks,
)

TOOL = {tool.key: tool for tool in TOOLS}


def linear(n: int = 90, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3)) * [1.0, 10.0, 0.1] + 5
    return X, 50 + X @ [2.0, -0.3, 0.0] + rng.normal(size=n)


def test_every_link_is_in_the_catalogue() -> None:
    known = set(load_catalogue())
    assert {paper for tool in TOOLS for paper in tool.papers} <= known


def test_glm_out_of_fold_is_scikit_learns() -> None:
    """Peer: cross_val_predict on the same folds; scaling changes nothing."""
    X, y = linear()
    splits = list(KFold(4).split(X))
    run = out_of_fold(TOOL["glm"], X, y, splits, False)
    theirs = cross_val_predict(LinearRegression(), X, y, cv=KFold(4))
    np.testing.assert_allclose(run.losses, (y - theirs) ** 2, rtol=1e-8)


def test_baseline_predicts_the_training_mean_or_the_most_frequent_class() -> None:
    X, y = linear()
    assert fit_tool(TOOL["baseline"], X, y, False).predict(X[:2]) == pytest.approx(y.mean())
    labels = np.array([0] * 50 + [1] * 40)
    np.testing.assert_array_equal(fit_tool(TOOL["baseline"], X, labels, True).predict(X), 0)


@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.key)
@pytest.mark.parametrize("labels", [False, True])
def test_every_tool_fits_tunes_and_repeats_itself(tool: object, labels: bool) -> None:
    X, y = linear(60)
    target = (y > np.median(y)).astype(np.int64) if labels else y
    one, two = (fit_tool(tool, X, target, labels, tuning="all", seed=1) for _ in range(2))  # type: ignore[arg-type]
    np.testing.assert_array_equal(one.predict(X), two.predict(X))
    if one.settings:
        assert one.settings != "defaults"


def test_blocks_stay_whole_and_tuning_keeps_them_too() -> None:
    blocks = np.repeat(np.arange(7), 5)
    for train, test in block_folds(blocks, 4):
        assert not set(blocks[train]) & set(blocks[test])
    assert len(block_folds(blocks, 40)) == 7


def test_spatial_blocks_are_neighbours() -> None:
    rng = np.random.default_rng(0)
    sites = np.repeat([[0.0, 0.0], [100.0, 0.0], [0.0, 100.0]], 20, axis=0) + rng.normal(
        size=(60, 2)
    )
    found = spatial_blocks(sites, 3, rng)
    assert all(len(set(found[i : i + 20])) == 1 for i in (0, 20, 40))


def test_interval_on_a_mean_in_closed_form() -> None:
    """Student's for rows; for equal blocks Student's on the block means."""
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 9.0])
    mean, low, high = mean_interval(values, None, 0.95)
    half = 2.570582 * values.std(ddof=1) / np.sqrt(6)
    assert (mean, low, high) == pytest.approx((4.0, 4.0 - half, 4.0 + half), rel=1e-5)
    blocks = np.array([0, 0, 1, 1, 2, 2])
    means = values.reshape(3, 2).mean(axis=1)
    half = 4.302653 * means.std(ddof=1) / np.sqrt(3)
    assert mean_interval(values, blocks, 0.95)[1] == pytest.approx(4.0 - half, rel=1e-5)


def test_importance_of_a_linear_model_in_closed_form() -> None:
    """Shuffling x adds 2 b^2 var(x) to the squared error on average, and nothing where b = 0."""
    X, y = linear(3_000)
    splits = random_folds(y, False, 3, np.random.default_rng(0))
    run = out_of_fold(TOOL["glm"], X, y, splits, False)
    change = permutation_losses(
        run, X, y, splits, [[0], [1], [2]], False, np.random.default_rng(1), 5
    ).mean(axis=1)
    np.testing.assert_allclose(change[:2], [2 * 4.0, 2 * 0.09 * 100], rtol=0.1)
    assert abs(change[2]) < 0.02


def test_accumulated_effect_of_an_additive_model_is_its_term() -> None:
    """Closed form: f = x^2 + 3 z has the effect x^2 - mean, whatever the correlation of x and z."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, 4_000)
    X = np.column_stack([x, x + 0.01 * rng.normal(size=4_000)])
    edges, effect = accumulated_local_effects(lambda v: v[:, 0] ** 2 + 3 * v[:, 1], X, 0, 40)
    np.testing.assert_allclose(effect, edges**2 - 1 / 3, atol=0.01)


def test_a_part_with_one_class_is_predicted_as_that_class() -> None:
    X, _ = linear(40)
    y = np.repeat([0, 1], 20)
    run = out_of_fold(TOOL["glm"], X, y, block_folds(y, 2), True)
    np.testing.assert_array_equal(run.losses, 1.0)


# --- recipe --------------------------------------------------------------------------------------


def test_without_a_table_the_penguins_are_read() -> None:
    guide = choose_ecology_tool(topic="statistical", folds=3, rng=0)
    assert "body_mass_g" in guide.headline
    assert guide.value("error in blocks over error at random").estimate > 1.5  # type: ignore[operator]
    assert guide.table["blocked_error"].notna().all()


def test_classes_of_another_table() -> None:
    """Iris with other column names: all tools but the baseline are nearly right."""
    data = load_iris()
    table = pd.DataFrame(data.data, columns=["α", "b", "c", "d"])
    table["habitat"] = np.array(["setosa", "versicolor", "virginica"])[data.target]
    guide = choose_ecology_tool(table, topic="distance", folds=3, rng=0)
    rows = guide.table.set_index("entry")
    assert rows.loc["no covariates", "random_error"] == pytest.approx(2 / 3, abs=0.02)
    assert rows.loc["k nearest neighbours", "random_error"] < 0.08
    assert {notice.code for notice in guide.warnings} >= {"rows-independent"}


def test_coordinates_make_blocks_and_hidden_neighbours_are_found_out() -> None:
    """A smooth field of place alone, with covariates that only tell the place: random folds lie."""
    rng = np.random.default_rng(0)
    place = rng.uniform(size=(200, 2))
    field = np.sin(7 * place[:, 0]) + np.cos(7 * place[:, 1])
    table = pd.DataFrame(place + 0.01 * rng.normal(size=place.shape), columns=["a", "b"])
    table = table.assign(lon=place[:, 0], lat=place[:, 1], richness=field)
    guide = choose_ecology_tool(table, x="lon", y_coordinate="lat", topic="distance", rng=0)
    row = guide.table.set_index("entry").loc["k nearest neighbours"]
    assert row["blocked_error"] > 1.5 * row["random_error"]


def test_noise_is_called_noise() -> None:
    rng = np.random.default_rng(1)
    table = pd.DataFrame(rng.normal(size=(80, 4)), columns=["y", "a", "b", "c"])
    guide = choose_ecology_tool(table, topic="statistical", tune="none", rng=0)
    assert guide.status is Status.ASSUMPTION_DOUBTFUL


def test_unsupervised_entries_need_no_response() -> None:
    frame = pd.read_csv(example_path("penguins.csv"))[["bill_length_mm", "body_mass_g", "species"]]
    guide = choose_ecology_tool(frame, rng=0)
    assert guide.table["family"].unique().tolist() == ["unsupervised"]
    with pytest.raises(InputError, match="needs a response"):
        choose_ecology_tool(frame, topic="trees")


def test_too_rare_a_class_is_refused() -> None:
    table = pd.DataFrame({"a": np.arange(40.0), "class": ["x"] * 39 + ["y"]})
    with pytest.raises(InputError, match="single row"):
        choose_ecology_tool(table)
