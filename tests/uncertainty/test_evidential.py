"""Evidential networks: closed forms against sampling and torch, flows, estimators, the recipe."""

from __future__ import annotations

import math
import pickle
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from statlas.core import InputError, OptionError, Result
from statlas.models.training import torch_generator
from statlas.uncertainty.evidential import (
    CLASS_LOSSES,
    NUMBER_LOSSES,
    TAXONOMY,
    EvidentialClassifier,
    EvidentialRegressor,
    NormalInverseGamma,
    area_gain,
    area_interval,
    dirichlet,
    evidential_networks,
)
from statlas.uncertainty.evidential import losses as loss
from statlas.uncertainty.evidential.networks import Mixtures, NaturalInverseGamma, RadialFlows

pytestmark = pytest.mark.extras
torch = pytest.importorskip("torch")

SMALL: dict[str, Any] = {"hidden": 8, "epochs": 4, "latent": 2, "parts": 2, "random_state": 0}
ALPHA = np.array([[0.4, 2.0, 7.5], [1.0, 1.0, 1.0], [30.0, 4.0, 0.9]])
concentrations = st.lists(st.floats(0.05, 200), min_size=2, max_size=6).map(np.array)


def _generator(seed: int = 0) -> Any:
    return torch_generator(np.random.default_rng(seed))


# --- Dirichlet ------------------------------------------------------------------------------------


def test_parts_of_doubt_agree_with_sampling() -> None:
    """4 standard errors on 3 means: false alarm rate below 2e-4; the seed is fixed."""
    rng = np.random.default_rng(0)
    for alpha in ALPHA:
        p = rng.dirichlet(alpha, 200_000)
        entropy = stats.entropy(p, axis=1)
        error = 4 * entropy.std() / math.sqrt(len(p))
        assert abs(dirichlet.aleatoric_uncertainty(alpha) - entropy.mean()) < error
        other = rng.dirichlet(alpha, 200_000)
        gap = (p * np.log(np.maximum(p, 1e-300) / np.maximum(other, 1e-300))).sum(axis=1)
        if alpha.min() >= 1:  # below 1 the gap has no fourth moment to speak of
            error = 4 * gap.std() / math.sqrt(len(p))
            assert abs(dirichlet.expected_pairwise_divergence(alpha) - gap.mean()) < error


def test_differential_entropy_and_divergence_are_those_of_scipy_and_torch() -> None:
    for alpha in ALPHA:
        expected = stats.dirichlet(alpha).entropy()
        assert dirichlet.differential_entropy(alpha) == pytest.approx(expected, abs=1e-12)
    first, second = torch.from_numpy(ALPHA), torch.from_numpy(ALPHA[::-1].copy())
    kind = torch.distributions.Dirichlet
    expected = torch.distributions.kl_divergence(kind(first), kind(second)).numpy()
    np.testing.assert_allclose(dirichlet.divergence(ALPHA, ALPHA[::-1]), expected, rtol=1e-12)
    np.testing.assert_allclose(loss.dirichlet_divergence(first, second), expected, rtol=1e-12)
    np.testing.assert_allclose(loss.dirichlet_entropy(first), kind(first).entropy(), rtol=1e-12)


def test_two_classes_are_a_beta_variable() -> None:
    a, b = 2.5, 0.7
    entropy, _ = integrate.quad(
        lambda p: stats.beta(a, b).pdf(p) * stats.entropy([p, 1 - p]), 0, 1, epsabs=1e-10
    )
    assert dirichlet.aleatoric_uncertainty([a, b]) == pytest.approx(entropy, abs=1e-7)


@given(concentrations, st.randoms())
@settings(max_examples=60, deadline=None)
def test_parts_add_up_and_do_not_depend_on_the_order_of_classes(alpha: Any, shuffler: Any) -> None:
    total, aleatoric = dirichlet.total_uncertainty(alpha), dirichlet.aleatoric_uncertainty(alpha)
    epistemic = dirichlet.epistemic_uncertainty(alpha)
    assert total == pytest.approx(aleatoric + epistemic, abs=1e-9)
    assert 0 <= epistemic <= dirichlet.expected_pairwise_divergence(alpha) + 1e-12
    shuffled = list(alpha)
    shuffler.shuffle(shuffled)
    assert dirichlet.epistemic_uncertainty(shuffled) == pytest.approx(float(epistemic), abs=1e-9)
    assert dirichlet.divergence(alpha, alpha + 1) >= -1e-12


# --- normal-inverse-gamma -------------------------------------------------------------------------

NIG = NormalInverseGamma.of([0.3, -1.0], [2.0, 0.4], [2.5, 4.0], [1.5, 6.0])


def test_inverse_gamma_moments_and_predictive_agree_with_sampling() -> None:
    """4 standard errors on 6 means: false alarm rate below 4e-4; the seed is fixed."""
    rng = np.random.default_rng(1)
    for row in range(2):
        fit = NormalInverseGamma(*(np.array(v[row]) for v in vars(NIG).values()))
        variance = stats.invgamma(fit.shape, scale=fit.scale).rvs(400_000, random_state=rng)
        mean = rng.normal(fit.location, np.sqrt(variance / fit.evidence))
        y = rng.normal(mean, np.sqrt(variance))
        log_noise = 0.5 * np.log(2 * np.pi * np.e * variance)
        for sample, value in (
            (log_noise, fit.aleatoric_uncertainty()),
            (-fit.log_density(y), fit.total_uncertainty()),
            (stats.norm(mean, np.sqrt(variance)).logpdf(0.5), fit.expected_log_likelihood(0.5)),
        ):
            assert abs(value - sample.mean()) < 4 * sample.std() / math.sqrt(len(y))
        np.testing.assert_allclose(fit.aleatoric_variance, variance.mean(), rtol=0.05)
        np.testing.assert_allclose(fit.epistemic_variance, mean.var(), rtol=0.05)
        log_joint = stats.invgamma(fit.shape, scale=fit.scale).logpdf(variance)
        log_joint += stats.norm(fit.location, np.sqrt(variance / fit.evidence)).logpdf(mean)
        error = 4 * log_joint.std() / math.sqrt(len(y))
        assert abs(fit.differential_entropy() + log_joint.mean()) < error


def test_predictive_distribution_is_student() -> None:
    peer = stats.t(2 * NIG.shape, NIG.location, NIG.predictive_scale)
    np.testing.assert_allclose(NIG.log_density(0.7), peer.logpdf(0.7), rtol=1e-12)
    np.testing.assert_allclose(NIG.total_uncertainty(), peer.entropy(), rtol=1e-9)
    np.testing.assert_allclose(NIG.interval(0.8), peer.interval(0.8), rtol=1e-10)
    both = NIG.aleatoric_variance + NIG.epistemic_variance
    np.testing.assert_allclose(both, peer.var(), rtol=1e-12)
    parameters = torch.from_numpy(np.column_stack(list(vars(NIG).values())))
    got = loss.student_loss(parameters, torch.full((2,), 0.7).double())
    np.testing.assert_allclose(got, -peer.logpdf(0.7), rtol=1e-6)


def test_divergence_is_zero_to_itself_and_agrees_with_sampling() -> None:
    np.testing.assert_allclose(NIG.divergence(NIG), 0, atol=1e-12)
    first = NormalInverseGamma.of(0.0, 2.0, 3.0, 2.0)
    other = NormalInverseGamma.of(0.5, 1.0, 2.0, 3.0)
    rng = np.random.default_rng(2)
    variance = stats.invgamma(3.0, scale=2.0).rvs(300_000, random_state=rng)
    mean = rng.normal(0.0, np.sqrt(variance / 2.0))

    def log_density(fit: NormalInverseGamma) -> np.ndarray:
        spread = np.sqrt(variance / fit.evidence)
        noise = stats.invgamma(fit.shape, scale=fit.scale).logpdf(variance)
        return np.asarray(noise + stats.norm(fit.location, spread).logpdf(mean))

    gap = log_density(first) - log_density(other)
    assert abs(first.divergence(other) - gap.mean()) < 4 * gap.std() / math.sqrt(len(gap))


def test_likelihood_of_evidential_regression_cannot_tell_evidence() -> None:
    """Meinert et al.: along beta (1 + nu) / nu = constant the Student likelihood is the same."""
    nu = torch.logspace(-3, 6, 10).double()
    scale = 1.7 * nu / (1 + nu)
    fixed = torch.full_like(nu, 0.2), torch.full_like(nu, 2.5)
    parameters = torch.stack([fixed[0], nu, fixed[1], scale], dim=-1)
    losses = loss.student_loss(parameters, torch.ones(10).double())
    assert float(losses.max() - losses.min()) < 1e-10
    # Natural posterior networks take the expected log likelihood, which does tell.
    natural = loss.NUMBER_LOSSES["natural-posterior"][0](parameters, torch.ones(10).double(), 0.0)
    assert float(natural.max() - natural.min()) > 0.1


# --- losses ---------------------------------------------------------------------------------------


def test_risks_are_expectations_under_the_dirichlet() -> None:
    """4 standard errors on 6 means: false alarm rate below 4e-4; the seed is fixed."""
    rng = np.random.default_rng(3)
    alpha, onehot = torch.from_numpy(ALPHA), torch.eye(3).double()[[0, 1, 0]]
    for row in range(3):
        p = rng.dirichlet(ALPHA[row], 200_000)
        label = int(onehot[row].argmax())
        target = np.eye(3)[label]
        for sample, value in (
            (((target - p) ** 2).sum(axis=1), loss.squared_risk(alpha, onehot)[row]),
            (-np.log(p[:, label] + 1e-300), loss.cross_entropy_risk(alpha, onehot)[row]),
            ((np.abs(target - p) ** 4).sum(axis=1), loss.power_risk(alpha, onehot)[row] ** 4),
        ):
            assert abs(float(value) - sample.mean()) < 4 * sample.std() / math.sqrt(len(p)) + 1e-12
    plain = -np.log(ALPHA[[0, 1, 2], [0, 1, 0]] / ALPHA.sum(axis=1))
    np.testing.assert_allclose(loss.marginal_likelihood(alpha, onehot), plain, rtol=1e-12)


def test_belief_matching_is_minimal_at_the_posterior() -> None:
    """With weight 1 / n its mean over n labels is the variational bound, tight at 1 + counts."""
    counts = np.array([5.0, 2.0, 9.0])
    onehot = torch.from_numpy(np.repeat(np.eye(3), counts.astype(int), axis=0))
    best = torch.from_numpy(1 + counts).requires_grad_()
    row = CLASS_LOSSES["belief-matching"].row
    total = row(best.expand(16, 3), onehot, 1 / 16).mean()
    total.backward()
    assert float(best.grad.abs().max()) < 1e-12


def test_natural_regression_is_bayes_rule() -> None:
    """Pseudo-observations of mean m and variance v, prior 0 and 100 worth one observation."""
    network = NaturalInverseGamma((2, 4, 2), 2, "mixture", 2, _generator())
    network.modules.eval()
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(5, 2)))
    with torch.no_grad():
        evidence, outputs = (part.numpy() for part in network.read(x))
        found = network(x).numpy()
    mean, variance = outputs[:, 0], np.exp(-outputs[:, 1])
    location = evidence * mean / (1 + evidence)
    second = (evidence * (mean**2 + variance) + 100) / (1 + evidence)
    np.testing.assert_allclose(found[:, 0], location, rtol=1e-10)
    np.testing.assert_allclose(found[:, 1], 1 + evidence, rtol=1e-10)
    scale = 0.5 * (1 + evidence) * (second - location**2)
    np.testing.assert_allclose(found[:, 3], scale, rtol=1e-8)


# --- densities ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [RadialFlows, Mixtures])
def test_densities_integrate_to_one(kind: Any) -> None:
    density = kind(3, 2, 4, _generator(4))
    with torch.no_grad():
        for parameter in density.modules:
            parameter *= 1.5
        axis = torch.linspace(-16, 16, 321).double()
        grid = torch.cartesian_prod(axis, axis)
        mass = density.log_density(grid).exp().sum(0) * (axis[1] - axis[0]) ** 2
    np.testing.assert_allclose(mass, 1, atol=2e-3)


def test_log_jacobian_of_a_flow_is_that_of_automatic_differentiation() -> None:
    flow = RadialFlows(1, 3, 1, _generator(5))
    a = torch.nn.functional.softplus(flow.raw_a[0, 0])
    b = torch.nn.functional.softplus(flow.raw_b[0, 0]) - a

    def move(z: Any) -> Any:
        offset = z - flow.centre[0, 0]
        return z + b / (a + offset.norm()) * offset

    z = torch.tensor([0.4, -1.0, 2.0]).double()
    log_jacobian = torch.autograd.functional.jacobian(move, z).slogdet()[1]
    base = torch.distributions.Normal(0.0, 1.0).log_prob(move(z)).sum()
    got = flow.log_density(z[None])[0, 0]
    assert got.item() == pytest.approx((base + log_jacobian).item(), abs=1e-7)


# --- areas ----------------------------------------------------------------------------------------


def test_area_is_that_of_scikit_learn_and_delong() -> None:
    rng = np.random.default_rng(6)
    high, low = rng.integers(0, 6, 30).astype(float) + 1, rng.integers(0, 6, 50).astype(float)
    marks = np.r_[np.ones(30), np.zeros(50)]
    area, below, above = area_interval(high, low)
    assert area == pytest.approx(roc_auc_score(marks, np.r_[high, low]), abs=1e-12)
    assert below < area < above
    pairs = (high[:, None] > low) + 0.5 * (high[:, None] == low)
    variance = pairs.mean(1).var(ddof=1) / 30 + pairs.mean(0).var(ddof=1) / 50
    half = 1.959964 * math.sqrt(variance) / (area * (1 - area))
    assert math.log(above / (1 - above)) - math.log(area / (1 - area)) == pytest.approx(half, 1e-5)
    assert area_gain((high, low), (high, low)) == (0.0, 0.0, 0.0)
    perfect = area_interval([2.0, 3.0, 4.0], [0.0, 1.0])
    assert perfect[0] == 1.0
    assert perfect[1] < 0.9
    assert perfect[2] == 1.0


# --- estimators -----------------------------------------------------------------------------------


def _blobs(n: int = 60, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % 3
    return rng.normal(size=(n, 2)) + 3 * np.eye(3)[codes][:, :2], codes


@pytest.mark.parametrize("density", ["mixture", "radial"])
@pytest.mark.parametrize("family", list(CLASS_LOSSES))
def test_every_family_of_classifiers_trains(family: Any, density: Any) -> None:
    if density == "radial" and CLASS_LOSSES[family].link != "density":
        return
    x, y = _blobs()
    given = {"outside": x + 9} if CLASS_LOSSES[family].outside else {}
    model = EvidentialClassifier(family, density=density, **SMALL).fit(x, y, **given)
    parts = model.uncertainty(x)
    assert all(np.isfinite(part).all() for part in parts.values())
    np.testing.assert_allclose(model.predict_proba(x).sum(axis=1), 1)
    np.testing.assert_allclose(parts["total"], parts["aleatoric"] + parts["epistemic"], atol=1e-9)


def test_outside_rows_are_asked_for_and_refused() -> None:
    x, y = _blobs()
    with pytest.raises(InputError, match="trains on rows from outside"):
        EvidentialClassifier("prior-reverse", **SMALL).fit(x, y)
    with pytest.raises(InputError, match="does not train on rows from outside"):
        EvidentialClassifier("posterior", **SMALL).fit(x, y, outside=x)


def test_prior_network_is_sure_inside_and_unsure_outside() -> None:
    x, y = _blobs(150)
    outside = np.random.default_rng(1).uniform(-12, 12, (200, 2))
    outside = outside[np.abs(outside).max(axis=1) > 7]
    model = EvidentialClassifier("prior-reverse", epochs=60, hidden=32, random_state=0)
    evidence = model.fit(x, y, outside=outside).uncertainty(np.r_[x[:3], [[10, 10], [-10, 9]]])
    assert evidence["evidence"][:3].min() > 3 * evidence["evidence"][3:].max()


@pytest.mark.parametrize("family", list(NUMBER_LOSSES))
def test_every_family_of_regressors_trains(family: Any) -> None:
    x, _ = _blobs()
    y = 100 + 10 * x[:, 0]
    model = EvidentialRegressor(family, **(SMALL | {"epochs": 60, "learning_rate": 0.03})).fit(x, y)
    assert model.score(x, y) > 0.3  # the smallest networks, a few dozen steps
    interval = model.predict_interval(x, 0.8)
    assert (interval[:, 0] < model.predict(x)).all()
    assert all(np.isfinite(part).all() for part in model.uncertainty(x).values())


@pytest.mark.parametrize("kind", [EvidentialClassifier, EvidentialRegressor])
def test_in_pipeline_grid_search_and_pickle(kind: Any) -> None:
    x, y = _blobs()
    pipe = make_pipeline(StandardScaler(), kind(**SMALL))
    name = kind.__name__.lower()
    search = GridSearchCV(pipe, {f"{name}__family": ["evidential", "plain"]}, cv=2).fit(x, y)
    again = pickle.loads(pickle.dumps(search.best_estimator_))
    np.testing.assert_array_equal(again.predict(x), search.predict(x))


@pytest.mark.slow
@pytest.mark.parametrize("kind", [EvidentialClassifier, EvidentialRegressor])
@pytest.mark.parametrize("family", ["natural-posterior", "evidential"])
def test_scikit_learn_checks(kind: Any, family: Any) -> None:
    state = np.random.get_state()  # noqa: NPY002 - the checks draw from it
    model = kind(family, hidden=32, epochs=50, parts=3, learning_rate=0.02, random_state=0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check_estimator(model, on_skip=None)
    finally:
        np.random.set_state(state)  # noqa: NPY002


def test_a_rows_answer_does_not_depend_on_the_others_and_fits_repeat() -> None:
    x, y = _blobs()
    model = EvidentialClassifier(**SMALL).fit(x, y)
    together = model.concentration(x)
    np.testing.assert_allclose(model.concentration(x[:1]), together[:1], rtol=1e-9)
    np.testing.assert_array_equal(model.fit(x, y).concentration(x), together)


# --- recipe ---------------------------------------------------------------------------------------


def _table(n: int = 90) -> pd.DataFrame:
    x, y = _blobs(n)
    frame = pd.DataFrame(x, columns=["height", "weight"])
    frame["kind"] = np.array(["ant", "bee", "cow"])[y]
    frame["strange"] = (np.arange(n) % 9 == 0).astype(int)
    frame.loc[frame["strange"] == 1, ["height", "weight"]] += 8
    return frame


FAST: dict[str, Any] = {"folds": 2, "hidden": 8, "epochs": 15, "rng": 0}


@pytest.mark.parametrize("family", [None, "prior-reverse", "posterior"])
def test_recipe_on_labels_of_other_names(family: Any) -> None:
    result = evidential_networks(
        _table(), label="kind", outside="strange", family=family, compare=("plain",), **FAST
    )
    assert len(result.table) == 90
    assert (result.table["kind"] == "outside").sum() == 10
    inside = result.table[result.table["kind"] != "outside"]
    accuracy = (inside["actual"] == inside["predicted"]).mean()
    assert result.value("accuracy").estimate == pytest.approx(accuracy)
    assert result.value("gain in detection over plain").low is not None
    assert result.options["family"] == (family or "belief-matching")
    assert Result.from_json(result.to_json()).to_json() == result.to_json()


def test_recipe_on_numbers() -> None:
    frame = _table().drop(columns="kind")
    frame["yield"] = 5 * frame["height"] + 2
    result = evidential_networks(frame, target="yield", outside="strange", **FAST)
    inside = result.table[result.table["kind"] != "outside"]
    covered = (inside["low_90"] <= inside["actual"]) & (inside["actual"] <= inside["high_90"])
    assert result.value("coverage of 90 % intervals").estimate == pytest.approx(covered.mean())
    assert result.plot().get_axes()[0].get_xlabel() == "nominal level of the interval"
    natural = evidential_networks(
        frame, target="yield", outside="strange", family="natural-posterior", **FAST
    )
    assert Result.from_json(natural.to_json()).to_json() == natural.to_json()


def test_labels_of_outside_rows_are_not_used() -> None:
    frame = _table()
    other = frame.assign(kind=frame["kind"].where(frame["strange"] == 0, "dragon"))
    first, second = (
        evidential_networks(f, label="kind", outside="strange", **FAST) for f in (frame, other)
    )
    pd.testing.assert_frame_equal(first.table, second.table)


def test_bad_tables_are_refused() -> None:
    frame = _table()
    with pytest.raises(InputError, match="no label or target"):
        evidential_networks(frame.drop(columns="kind"), **FAST)
    with pytest.raises(InputError, match="both a label and a target"):
        evidential_networks(frame, label="kind", target="height", **FAST)
    with pytest.raises(InputError, match="trains on outside rows"):
        evidential_networks(
            frame.drop(columns="strange"), label="kind", family="prior-forward", **FAST
        )
    with pytest.raises(OptionError, match="'family'"):
        evidential_networks(frame.drop(columns="kind"), target="height", family="posterior", **FAST)
    with pytest.raises(InputError, match="'cow' has 1 rows"):
        few = frame[(frame["kind"] != "cow") | (frame.index == 2)]
        evidential_networks(few, label="kind", outside="strange", **FAST)


def test_guide_names_every_family_that_runs() -> None:
    guide = evidential_networks()
    shown = set(guide.table.loc[guide.table["task"] == "label", "family"]) - {""}
    assert shown == set(CLASS_LOSSES) - {"plain"}
    assert {item.family for item in TAXONOMY if item.task == "number"} - {""} == set(
        NUMBER_LOSSES
    ) - {"plain"}
    assert guide.table.loc[guide.table["family"] != "", "command"].str.startswith("statlas").all()
    assert guide.plot().get_axes()
