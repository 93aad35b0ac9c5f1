"""Deep sets: closed forms of pooling and layers, invariance, scikit-learn's rules, the recipe."""

from __future__ import annotations

import itertools
import pickle
import subprocess
import sys
import warnings
from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import check_estimator

from statlas.core import InputError, Result
from statlas.core.claims import Claim
from statlas.inference import deep_sets
from statlas.inference.deep_sets import (
    DeepSetClassifier,
    DeepSetRegressor,
    EquivariantLayer,
    MemberNetwork,
    PaddedRegressor,
    SetExpander,
    SetNetwork,
    SetOutlierDetector,
    pack_sets,
    pool,
    predict_sets,
    summary_statistics,
)
from statlas.inference.deep_sets.networks import Scaler, log_softmax_in_sets
from statlas.inference.deep_sets.sets import set_targets
from statlas.models.training import torch_generator

pytestmark = pytest.mark.extras
torch = pytest.importorskip("torch")

SMALL = {"width": 8, "embedding": 8, "epochs": 8, "random_state": 0}


def _generator(seed: int = 0) -> torch.Generator:
    return torch_generator(np.random.default_rng(seed))


def _ragged(n_sets: int, seed: int = 0, n_features: int = 2) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(n, n_features)) for n in rng.integers(1, 7, n_sets)]


def _flat(sets: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate(sets), np.repeat(np.arange(len(sets)), [len(s) for s in sets])


# --- packing -----------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.integers(0, 2**32 - 1))
def test_packing_rows_in_any_order_gives_the_sets(labels: list[int], seed: int) -> None:
    members = np.random.default_rng(seed).normal(size=(len(labels), 2))
    packed = pack_sets(members, labels)
    in_order = list(dict.fromkeys(labels))
    for number, label in enumerate(in_order):
        rows = packed.member_rows([number])
        assert np.array_equal(packed.members[rows], members[np.array(labels) == label])
    assert np.array_equal(packed.members, members[packed.rows])
    moved = packed.shuffled(np.random.default_rng(seed))
    assert np.array_equal(np.sort(moved.rows), np.arange(len(labels)))
    assert np.array_equal(moved.sizes, packed.sizes)
    assert np.array_equal(moved.members, members[moved.rows])


def test_summary_statistics_are_those_of_pandas() -> None:
    members, owner = _flat(_ragged(20))
    groups = pd.DataFrame(members).groupby(owner)
    parts = [groups.size(), groups.mean(), groups.std(ddof=0), groups.min(), groups.max()]
    expected = np.hstack([np.asarray(part).reshape(20, -1) for part in parts])
    assert np.allclose(summary_statistics(pack_sets(members, owner)), expected)


@pytest.mark.parametrize(
    ("X", "sets", "message"),
    [
        ([np.zeros((2, 2)), np.zeros((2, 3))], None, "set 1 has 3 features"),
        ([np.zeros((2, 2)), np.zeros((0, 2))], None, "set 1 has no members"),
        (np.zeros((3, 2)), [0, 1], "labels 2 rows"),
        ([np.zeros((2, 2))], [0, 0], "not with a list"),
        (np.zeros(3), None, "matrices of shape"),
        ([[[np.nan]]], None, "finite"),
    ],
)
def test_sets_that_cannot_be_read(X: object, sets: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        pack_sets(X, sets)


def test_targets_that_differ_within_a_set_are_refused() -> None:
    packed = pack_sets(np.zeros((4, 1)), [0, 0, 1, 1])
    assert np.array_equal(set_targets([1, 1, 2, 2], packed), [1, 2])
    with pytest.raises(InputError, match="set 1 have different targets"):
        set_targets([1, 1, 2, 3], packed)


# --- networks: closed forms --------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["sum", "mean", "max"])
def test_pooling_is_that_of_each_set(pooling: str) -> None:
    sets = _ragged(15)
    members, owner = _flat(sets)
    packed = pack_sets(members, owner)
    pooled = pool(torch.from_numpy(packed.members), torch.from_numpy(packed.sizes), pooling)
    expected = [getattr(np, pooling)(s, axis=0) for s in sets]
    assert np.allclose(pooled.numpy(), expected)


def _identity_network(pooling: str) -> SetNetwork:
    """phi and rho linear; phi the identity, rho 3 z - 1."""
    network = SetNetwork(
        1, 1, width=1, embedding=1, phi_layers=0, rho_layers=0, pooling=pooling, scale=1.0,
        generator=_generator(),
    )  # fmt: skip
    with torch.no_grad():
        network.phi[0].weight.fill_(1.0), network.phi[0].bias.fill_(0.0)
        network.rho[0].weight.fill_(3.0), network.rho[0].bias.fill_(-1.0)
    return network


def test_sum_of_identities_is_the_closed_form() -> None:
    members = torch.tensor([[1.0], [2.0], [4.0]], dtype=torch.float64)
    out = _identity_network("sum")(members, torch.tensor([2, 1]))
    assert out.flatten().tolist() == [3 * 3 - 1, 3 * 4 - 1]


def test_layer_is_the_dense_matrix_of_lemma_3() -> None:
    layer = EquivariantLayer(1, 1, "sum", _generator())
    x = torch.randn(5, 1, dtype=torch.float64, generator=_generator(1))
    own, shared = float(layer.own.weight.detach()), float(layer.pooled.weight.detach())
    theta = own * torch.eye(5, dtype=torch.float64) + shared
    expected = theta @ x + layer.own.bias.detach()
    assert torch.allclose(layer(x, torch.tensor([5])), expected, atol=1e-14)


def test_only_matrices_of_lemma_3_commute_with_all_permutations() -> None:
    """Averaging any matrix over all 24 permutations leaves lambda I + gamma 11^T."""
    theta = np.random.default_rng(0).normal(size=(4, 4))
    permutations = [np.eye(4)[list(p)] for p in itertools.permutations(range(4))]
    projected = np.mean([p.T @ theta @ p for p in permutations], axis=0)
    off = projected[0, 1]
    assert np.allclose(projected, (projected[0, 0] - off) * np.eye(4) + off)
    assert not all(np.allclose(p @ theta, theta @ p) for p in permutations)


def test_max_layer_is_equation_4() -> None:
    layer = EquivariantLayer(2, 3, "max", _generator())
    x = np.random.default_rng(2).normal(size=(4, 2))
    own, shared = layer.own.weight.detach().numpy(), layer.pooled.weight.detach().numpy()
    expected = x @ own.T + layer.own.bias.detach().numpy() + x.max(axis=0) @ shared.T
    out = layer(torch.from_numpy(x), torch.tensor([4])).detach().numpy()
    assert np.allclose(out, expected)


@pytest.mark.parametrize("pooling", ["sum", "mean", "max"])
def test_all_permutations_of_a_small_set_agree(pooling: str) -> None:
    network = SetNetwork(
        2, 1, width=6, embedding=5, phi_layers=2, rho_layers=1, pooling=pooling, scale=2.0,
        generator=_generator(),
    )  # fmt: skip
    scorer = MemberNetwork(2, width=6, n_layers=3, pooling=pooling, generator=_generator())
    x = torch.randn(4, 2, dtype=torch.float64, generator=_generator(3))
    size = torch.tensor([4])
    for order in itertools.permutations(range(4)):
        rows = torch.tensor(order)
        assert torch.allclose(network(x[rows], size), network(x, size), atol=1e-13)
        assert torch.allclose(scorer(x[rows], size), scorer(x, size)[rows], atol=1e-13)


@pytest.mark.parametrize("pooling", ["sum", "mean", "max"])
def test_gradients_match_finite_differences(pooling: str) -> None:
    network = SetNetwork(
        2, 1, width=4, embedding=3, phi_layers=1, rho_layers=1, pooling=pooling, scale=1.0,
        generator=_generator(),
    )  # fmt: skip
    scorer = MemberNetwork(2, width=4, n_layers=2, pooling=pooling, generator=_generator())
    x = torch.randn(5, 2, dtype=torch.float64, generator=_generator(4), requires_grad=True)
    sizes = torch.tensor([2, 3])
    assert torch.autograd.gradcheck(lambda z: network(z, sizes), x)
    assert torch.autograd.gradcheck(lambda z: log_softmax_in_sets(scorer(z, sizes), sizes), x)


def test_softmax_in_sets_is_torchs_on_each_set() -> None:
    scores = torch.tensor([800.0, -3.0, 1.0, 2.0, 900.0], dtype=torch.float64)
    out = log_softmax_in_sets(scores, torch.tensor([3, 2]))
    parts = [torch.log_softmax(part, 0) for part in (scores[:3], scores[3:])]
    assert torch.allclose(out, torch.cat(parts))


def test_constant_feature_is_centred_only() -> None:
    scaled = Scaler.of(np.array([[1.0, 5.0], [3.0, 5.0]]))(np.array([[2.0, 6.0]]))
    assert scaled.tolist() == [[0.0, 1.0]]


# --- estimators --------------------------------------------------------------------------------


@pytest.fixture
def kept_numpy_state() -> Iterator[None]:
    """scikit-learn's own checks seed numpy's global generator."""
    state = np.random.get_state()  # noqa: NPY002
    yield
    np.random.set_state(state)  # noqa: NPY002


@pytest.mark.usefixtures("kept_numpy_state")
@pytest.mark.parametrize("kind", [DeepSetRegressor, DeepSetClassifier])
def test_rules_of_scikit_learn_hold(kind: type) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(
            kind(width=8, embedding=8, epochs=30, random_state=0), on_fail=None
        )
    failed = [r["check_name"] for r in results if r["status"] not in ("passed", "skipped")]
    assert len(results) > 40
    assert failed == []


@pytest.fixture(scope="module")
def sizes_task() -> tuple[list[np.ndarray], np.ndarray]:
    sets = _ragged(120)
    return sets, np.array([float(len(s)) for s in sets])


def test_sum_pooling_learns_the_size_and_mean_pooling_cannot(sizes_task: tuple) -> None:
    """A mean cannot tell a set from the same set twice; a sum can."""
    sets, sizes = sizes_task
    twice = [np.concatenate([s, s]) for s in sets]
    settings_ = {"phi_layers": 0, "rho_layers": 0, "learning_rate": 0.02, "batch_size": 8}
    summed = DeepSetRegressor(random_state=0, **settings_).fit(sets, sizes)
    averaged = DeepSetRegressor(random_state=0, pooling="mean", **settings_).fit(sets, sizes)
    assert np.abs(summed.predict(twice) - 2 * sizes).mean() < 0.1
    assert np.allclose(averaged.predict(twice), averaged.predict(sets))


def test_list_matrix_and_any_row_order_are_the_same_input(sizes_task: tuple) -> None:
    sets, sizes = sizes_task
    members, owner = _flat(sets)
    by_list = DeepSetRegressor(**SMALL).fit(sets, sizes)
    by_rows = DeepSetRegressor(**SMALL).fit(members, sizes[owner], sets=owner)
    assert np.array_equal(by_list.predict(sets), by_rows.predict(members, sets=owner))
    order = np.random.default_rng(0).permutation(len(members))
    first_seen = list(dict.fromkeys(owner[order]))
    shuffled = by_list.predict(members[order], sets=owner[order])
    assert np.allclose(shuffled, by_list.predict(sets)[first_seen], atol=1e-12)


def test_same_seed_twice_and_predicting_changes_nothing(sizes_task: tuple) -> None:
    sets, sizes = sizes_task
    before = [s.copy() for s in sets]
    states = torch.get_rng_state(), torch.get_num_threads()
    model = DeepSetRegressor(**SMALL).fit(sets, sizes)
    first, state = model.predict(sets), pickle.dumps(model.get_params())
    assert np.array_equal(model.predict(sets), first)
    assert np.array_equal(model.fit(sets, sizes).predict(sets), first)
    assert np.array_equal(pickle.loads(pickle.dumps(model)).predict(sets), first)
    assert pickle.dumps(model.get_params()) == state
    assert all(np.array_equal(a, b) for a, b in zip(before, sets, strict=True))
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == torch.get_num_threads()
    other = DeepSetRegressor(**{**SMALL, "random_state": 1}).fit(sets, sizes)
    assert not np.allclose(other.predict(sets), first)


def test_an_answer_does_not_depend_on_the_other_sets(sizes_task: tuple) -> None:
    sets, sizes = sizes_task
    model = DeepSetRegressor(**SMALL).fit(sets, sizes)
    alone = np.concatenate([model.predict([s]) for s in sets[:10]])
    assert np.allclose(alone, model.predict(sets)[:10], atol=1e-12)


def test_padded_baseline_depends_on_the_order(sizes_task: tuple) -> None:
    sets, sizes = sizes_task
    turned = [s[::-1] for s in sets]
    ours = DeepSetRegressor(**SMALL).fit(sets, sizes)
    padded = PaddedRegressor(**SMALL).fit(sets, sizes)
    assert np.allclose(ours.predict(turned), ours.predict(sets), atol=1e-12)
    assert np.abs(padded.predict(turned) - padded.predict(sets)).max() > 0.01


def test_works_in_pipelines_grid_searches_and_clones() -> None:
    sets = _ragged(60)
    labels = np.array(["few" if len(s) < 4 else "many" for s in sets])
    pipeline = make_pipeline("passthrough", DeepSetClassifier(**{**SMALL, "epochs": 60}))
    grid = GridSearchCV(pipeline, {"deepsetclassifier__pooling": ["sum", "mean"]}, cv=3)
    grid.fit(sets, labels)
    assert grid.best_params_["deepsetclassifier__pooling"] == "sum"
    assert set(grid.predict(sets)) <= {"few", "many"}
    assert clone(pipeline).get_params()["deepsetclassifier__width"] == 8


@pytest.mark.parametrize(
    "wrong",
    [{"pooling": "median"}, {"width": 0}, {"validation_fraction": 1.0}, {"learning_rate": -1.0}],
)
def test_parameters_out_of_range_are_refused(wrong: dict) -> None:
    with pytest.raises(InputError):
        DeepSetRegressor(**wrong).fit(_ragged(10), np.arange(10.0))


def _farthest_task(n_sets: int, seed: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(seed)
    sets, marks = [], []
    for size in rng.integers(3, 8, n_sets):
        odd = np.zeros(size, dtype=int)
        odd[rng.integers(size)] = 1
        centre, other = rng.normal(scale=4, size=(2, 2))
        sets.append(np.where(odd[:, None] == 1, other, centre) + rng.normal(size=(size, 2)) / 4)
        marks.append(odd)
    return sets, marks


def test_outlier_detector_finds_odd_members_of_sets_of_any_size() -> None:
    train, test = _farthest_task(300, 0), _farthest_task(200, 1)
    model = SetOutlierDetector(width=24, epochs=60, random_state=0).fit(*train)
    chance = np.mean([1 / len(s) for s in test[0]])
    assert chance < 0.25
    assert model.score(*test) > 0.9
    members, owner = _flat(test[0])
    probabilities = model.predict_proba(members, sets=owner)
    assert np.allclose(np.bincount(owner, probabilities), 1)
    order = np.random.default_rng(0).permutation(len(members))
    moved = model.predict_proba(members[order], sets=owner[order])
    assert np.allclose(moved, probabilities[order], atol=1e-12)


def test_outlier_detector_needs_one_mark_a_set() -> None:
    sets, marks = _farthest_task(10, 0)
    with pytest.raises(InputError, match="set 3 has 0 odd members"):
        SetOutlierDetector(**SMALL).fit(sets, [*marks[:3], marks[3] * 0, *marks[4:]])
    with pytest.raises(InputError, match="1 for the odd member"):
        SetOutlierDetector(**SMALL).fit(sets, [2 * m for m in marks])


def test_expander_ranks_members_of_the_group_first() -> None:
    """Groups on rays from the origin: members share a direction, not a place."""
    rng = np.random.default_rng(0)

    def group(angle: float, n: int) -> np.ndarray:
        ray = np.array([np.cos(angle), np.sin(angle)])
        return rng.uniform(1, 3, (n, 1)) * ray + rng.normal(scale=0.05, size=(n, 2))

    groups = [group(a, 8) for a in rng.uniform(0, 2 * np.pi, 80)]
    model = SetExpander(width=32, epochs=60, random_state=0).fit(groups)
    right = []
    for angle in np.linspace(0.2, 6, 20):
        candidates = np.concatenate(
            [group(angle, 1), *[group(angle + d, 1) for d in (1.5, 3, 4.5)]]
        )
        query = group(angle, 4)
        scores = model.score_candidates(query, candidates)
        assert np.allclose(model.score_candidates(query[::-1], candidates), scores, atol=1e-12)
        right.append(scores.argmax() == 0)
    assert np.mean(right) > 0.8  # chance is 0.25


def test_expander_needs_pairs() -> None:
    with pytest.raises(InputError, match="at least two sets"):
        SetExpander(**SMALL).fit([np.zeros((1, 2)), np.zeros((3, 2))])


# --- recipe ------------------------------------------------------------------------------------


def _table(n_sets: int = 40, seed: int = 0) -> pd.DataFrame:
    members, owner = _flat(_ragged(n_sets, seed))
    frame = pd.DataFrame(members, columns=["a", "b"])
    totals = np.bincount(owner, members[:, 0])
    return frame.assign(group=[f"g{o}" for o in owner], target=totals[owner])


FAST = {"folds": 2, "epochs": 10, "width": 8, "rng": 0}


def test_recipe_on_numbers_scores_every_method_out_of_fold() -> None:
    result = predict_sets(_table(), **FAST)
    predictions = result.predictions
    errors = (predictions["deep sets"] - predictions["true"]).abs()
    assert result.table["mean_absolute_error"][0] == pytest.approx(errors.mean())
    constant = result.table.set_index("method").loc["constant", "mean_absolute_error"]
    assert result.value("gain over constant").estimate == pytest.approx(constant - errors.mean())
    assert result.table["change_by_shuffling"][0] < 1e-10
    assert result.table["change_by_shuffling"][1] > 1e-3
    assert set(predictions["set"]) == set(_table()["group"])
    again = Result.from_json(result.to_json())
    assert again.to_json() == result.to_json()
    assert again.plot().get_axes()[1].get_xlabel() == "true target"


def test_recipe_on_labels_and_any_order_of_rows() -> None:
    table = _table(60).rename(columns={"target": "kind"})
    table["kind"] = np.where(table["kind"] > 0, "up", "down")
    first = predict_sets(table, label="kind", **FAST)
    accuracy = (first.predictions["deep sets"] == first.predictions["true"]).mean()
    assert first.table["accuracy"][0] == pytest.approx(accuracy)
    assert first.details["labels"] == ["down", "up"]
    assert first.table.equals(predict_sets(table, label="kind", **FAST).table)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"group": "one"}, {}, "column 'group': at least 10 sets"),
        ({"target": 1.0}, {}, "column 'target': all 40 sets have the target 1"),
        ({"target": np.nan}, {}, "column 'target'.*missing"),
        ({}, {"target": "absent"}, "column 'absent'"),
        ({"label": "x"}, {}, "both was found"),
        ({}, {"target": "a"}, "column 'a': has different values within set 'g"),
        ({"c": "text"}, {}, "column 'c'.*a feature must hold numbers"),
    ],
)
def test_recipe_refuses_what_it_cannot_answer(change: dict, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        predict_sets(_table().assign(**change), **options, **FAST)


def test_recipe_refuses_rare_labels_and_missing_targets() -> None:
    table = _table().drop(columns="target")
    with pytest.raises(InputError, match="neither was found"):
        predict_sets(table, **FAST)
    rare = table.assign(label=np.where(table["group"] == "g3", "odd", "usual"))
    with pytest.raises(InputError, match="label 'odd' has 1 set"):
        predict_sets(rare, **FAST)
    with pytest.raises(InputError, match="at least two labels"):
        predict_sets(table.assign(label="x"), **FAST)


def test_notices_for_few_and_single_sets() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"set": np.arange(30), "x": rng.normal(size=30), "target": rng.random(30)})
    codes = {notice.code for notice in predict_sets(table, **FAST).warnings}
    assert {"few-sets", "single-members", "shared-training-sets", "no-signal"} <= codes


# --- claims and imports ------------------------------------------------------------------------


def test_claims_are_reproducible_and_twins_differ() -> None:
    for claim in (deep_sets.invariance, deep_sets.equivariance):
        assert isinstance(claim, Claim)
        first = claim.measure(np.random.default_rng(1), claim.subject)
        assert first == claim.measure(np.random.default_rng(1), claim.subject)
        assert first < 1e-10
        assert claim.measure(np.random.default_rng(1), claim.twin.subject) > 1e-3


BLOCK_TORCH = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "torch":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Absent())
"""


def test_module_imports_without_torch_and_says_what_to_install() -> None:
    code = (
        f"{BLOCK_TORCH}"
        "from statlas.inference.deep_sets import DeepSetRegressor, predict_sets\n"
        "from statlas.core import MissingExtra\n"
        "for run in (lambda: DeepSetRegressor().fit([[[1.0]], [[2.0]]], [1.0, 2.0]),\n"
        "            lambda: predict_sets({'set': list(range(20)), 'x': list(range(20)),\n"
        "                                  'target': list(range(20))}, rng=0)):\n"
        "    try: run()\n"
        "    except MissingExtra as error: print(error.extra)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["nn", "nn"]
