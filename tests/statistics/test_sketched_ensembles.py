"""Sketched ridge ensembles: identities, peers, known risks, bad input."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.sparse.linalg import aslinearoperator
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

from statlas.core.errors import InputError, OptionError
from statlas.statistics.sketched_ensembles import (
    SketchedRidgeEnsembleGCV,
    draw_sketches,
    sketched_ridge,
    tune_sketched_ridge,
)

KINDS = ("srdct", "srht", "haar", "gaussian", "count")
LAMBDAS = np.array([0.01, 0.1, 1.0])


def table(n: int = 120, p: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) + 3.0
    return X, X @ rng.normal(size=p) / np.sqrt(p) + rng.normal(size=n) - 7.0


@pytest.mark.parametrize("n", [30, 120])
@pytest.mark.parametrize("kind", KINDS)
def test_members_are_scikit_learns_ridge_on_the_sketched_features(kind: str, n: int) -> None:
    """Peer: Ridge(alpha = n lambda) on X S, averaged, with more rows than q and with fewer."""
    X, y = table(n, 64)
    sketches = draw_sketches(kind, 40, 64, 3, np.random.default_rng(1))  # type: ignore[arg-type]
    path = sketched_ridge(X, y, sketches, LAMBDAS)
    for place, penalty in enumerate(LAMBDAS):
        errors, guesses, degrees = [], [], []
        for sketch in sketches:
            Z = (sketch @ X.T).T
            guess = Ridge(alpha=n * penalty).fit(Z, y).predict(Z)
            guesses.append(guess)
            errors.append(np.mean((y - guess) ** 2))
            values = np.linalg.svd(Z - Z.mean(axis=0), compute_uv=False) ** 2 / n
            degrees.append(1 + (values / (values + penalty)).sum())
        np.testing.assert_allclose(
            path.residuals[:, place], y - np.mean(guesses, axis=0), atol=1e-8
        )
        np.testing.assert_allclose(path.member_errors[place], np.mean(errors), rtol=1e-8)
        np.testing.assert_allclose(path.degrees[place], np.mean(degrees), rtol=1e-8)
        expected = np.mean((y - np.mean(guesses, axis=0)) ** 2) / (1 - np.mean(degrees) / n) ** 2
        np.testing.assert_allclose(path.risk[place], expected, rtol=1e-8)
    np.testing.assert_allclose(
        X @ path.coefficients + path.intercepts, y[:, None] - path.residuals, atol=1e-8
    )


def test_a_full_rotation_is_plain_ridge() -> None:
    """Identity: q = p orthogonal rows change nothing, and mu is lambda."""
    X, y = table()
    path = sketched_ridge(X, y, draw_sketches("haar", 40, 40, 2, np.random.default_rng(0)), LAMBDAS)
    for place, penalty in enumerate(LAMBDAS):
        ridge = Ridge(alpha=len(y) * penalty).fit(X, y)
        np.testing.assert_allclose(path.coefficients[:, place], ridge.coef_, atol=1e-9)
        assert path.intercepts[place] == pytest.approx(ridge.intercept_, abs=1e-8)
    np.testing.assert_allclose(path.equivalent_penalties("haar"), LAMBDAS)
    np.testing.assert_allclose(path.risk_of(np.inf), path.risk)


def test_small_blocks_give_the_same_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    X, y = table(700, 40)
    sketches = draw_sketches("srdct", 20, 40, 2, np.random.default_rng(0))
    whole = sketched_ridge(X, y, sketches, LAMBDAS)
    monkeypatch.setattr("statlas.statistics.sketched_ensembles.ridge._CELLS", 1)
    parts = sketched_ridge(X, y, sketches, LAMBDAS)
    np.testing.assert_allclose(parts.coefficients, whole.coefficients, atol=1e-12)
    np.testing.assert_allclose(parts.risk, whole.risk, rtol=1e-12)


def test_trick_of_two_sketches_is_twice_two_less_one() -> None:
    """Enumeration: with one divisor, R_inf = 2 R_2 - R_1 and R_K at K = 1, 2 is what was seen."""
    X, y = table()
    sketches = draw_sketches("gaussian", 15, 40, 2, np.random.default_rng(3))
    path = sketched_ridge(X, y, sketches, [0.1])
    single = path.member_errors / path.left**2
    np.testing.assert_allclose(path.risk_of(np.inf), 2 * path.risk - single)
    np.testing.assert_allclose(path.risk_of(2), path.risk)
    np.testing.assert_allclose(path.risk_of(1), single)
    with pytest.raises(ValueError, match="two sketches"):
        sketched_ridge(X, y, sketches[:1], [0.1]).risk_of(np.inf)


def test_numbers_of_the_authors_code() -> None:
    """github.com/dlej/sketched-ridge in closed form: |y - X b|^2 / n / (1 - tr / n)^2.

    It has no intercept. On a centred table their fit is ours, but for the intercept's degree.
    """
    X, y = table()
    X, y = X - X.mean(axis=0), y - y.mean()
    n, p = X.shape
    S = np.random.default_rng(5).normal(size=(15, p)) / np.sqrt(15)
    path = sketched_ridge(X, y, [aslinearoperator(S)], [0.1])
    Z = X @ S.T
    hat = Z @ np.linalg.solve(Z.T @ Z + 0.1 * n * np.eye(15), Z.T)
    theirs = np.sum((y - hat @ y) ** 2) / n / (1 - np.trace(hat) / n) ** 2
    ours = path.risk[0] * (path.left[0] / (path.left[0] + 1 / n)) ** 2
    assert ours == pytest.approx(theirs, rel=1e-12)
    evs = np.linalg.eigvalsh(Z.T @ Z / n)
    w = -15 / p * np.mean(evs / (evs + 0.1))  # ortho_equiv_mu of the notebooks
    mu = 0.1 * (15 / p) * (1 + w) / (15 / p + w)
    assert path.equivalent_penalties("haar")[0] == pytest.approx(mu, rel=1e-12)


@pytest.mark.parametrize("kind", ["gaussian", "srdct", "srht"])
def test_many_sketches_are_ridge_at_the_implicit_penalty(kind: str) -> None:
    """Coefficients of 200 sketches lie near ridge at mu; ridge at lambda is far (closed form)."""
    X, y = table(400, 100)
    sketches = draw_sketches(kind, 50, 100, 200, np.random.default_rng(0))  # type: ignore[arg-type]
    path = sketched_ridge(X, y, sketches, [0.3])
    mu = path.equivalent_penalties(kind)[0]  # type: ignore[arg-type]
    near, far = (
        np.linalg.norm(path.coefficients[:, 0] - Ridge(alpha=400 * v).fit(X, y).coef_)
        for v in (mu, 0.3)
    )
    assert near < 0.3 * far


def test_squared_functional_is_the_risk_and_absolute_is_known() -> None:
    X, y = table()
    sketches = draw_sketches("srdct", 20, 40, 2, np.random.default_rng(0))
    path = sketched_ridge(X, y, sketches, LAMBDAS)
    np.testing.assert_allclose(path.functional(y, lambda a, b: (a - b) ** 2), path.risk)
    np.testing.assert_allclose(
        path.functional(y, lambda a, b: np.maximum(b - a, 0)),
        np.maximum(-path.corrected, 0).mean(axis=0),
    )


def test_gcv_is_near_the_error_on_new_rows() -> None:
    """Planted truth, fixed seed: 20,000 new rows; the training error is less than half of it."""
    rng = np.random.default_rng(2)
    beta = rng.normal(size=300) / np.sqrt(300)
    X, new = rng.normal(size=(1000, 300)), rng.normal(size=(20_000, 300))
    y = X @ beta + rng.normal(size=1000)
    path = sketched_ridge(X, y, draw_sketches("count", 200, 300, 3, rng), [0.02])
    truth = new @ beta + rng.normal(size=len(new))
    error = np.mean((truth - new @ path.coefficients[:, 0] - path.intercepts[0]) ** 2)
    assert path.risk[0] == pytest.approx(error, rel=0.15)
    assert np.mean(path.residuals**2) < 0.75 * error


def test_estimator_passes_the_checks_and_works_in_a_search() -> None:
    state = np.random.get_state()  # noqa: NPY002 - the checks draw from the global generator
    try:
        check_estimator(SketchedRidgeEnsembleGCV(n_sketches=2, sizes=(0.5, 1.0), lambdas=(0.01,)))
    finally:
        np.random.set_state(state)  # noqa: NPY002
    X, y = table(200)
    model = make_pipeline(StandardScaler(), SketchedRidgeEnsembleGCV(random_state=0))
    grid = {"sketchedridgeensemblegcv__kind": ["srdct", "count"]}
    search = GridSearchCV(model, grid, cv=2).fit(X, y)
    assert search.best_score_ > 0.2


def test_estimator_gives_intervals_and_the_same_fit_for_a_seed() -> None:
    X, y = table(500)
    first, second = (SketchedRidgeEnsembleGCV(random_state=4).fit(X, y) for _ in range(2))
    np.testing.assert_array_equal(first.coef_, second.coef_)
    intervals = first.predict_interval(X, 0.8)
    assert np.all(intervals[:, 0] < first.predict(X))
    assert np.all(first.predict(X) < intervals[:, 1])
    assert 0.8 <= np.mean((intervals[:, 0] <= y) & (y <= intervals[:, 1])) < 0.95
    assert first.risk_ == min(path.risk.min() for path in first.paths_)
    assert first.risk_infinite_ <= first.risk_
    with pytest.raises(ValueError, match="level"):
        first.predict_interval(X, 1.0)


@pytest.mark.parametrize(
    ("change", "text"), [({"sizes": (0.0,)}, "shares"), ({"n_sketches": 0}, "at least 1")]
)
def test_estimator_refuses_bad_parameters(change: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        SketchedRidgeEnsembleGCV(**change).fit(*table())  # type: ignore[arg-type]


def test_method_refuses_bad_penalties_and_sketches() -> None:
    X, y = table()
    sketches = draw_sketches("srdct", 20, 40, 1, np.random.default_rng(0))
    with pytest.raises(InputError, match="above 0"):
        sketched_ridge(X, y, sketches, [0.0])
    with pytest.raises(InputError, match="as many columns"):
        sketched_ridge(X[:, :30], y, sketches, [1.0])


def frame(n: int = 200, p: int = 30) -> pd.DataFrame:
    X, y = table(n, p)
    return pd.DataFrame(X, columns=[f"gene {j}" for j in range(p)]).assign(response=100 * y)


def test_recipe_finds_its_columns_and_does_not_mind_units() -> None:
    """Features in other units and a shifted target leave the answer as it is."""
    data = frame()
    one = tune_sketched_ridge(data, rng=0)
    other = data.copy()
    other.loc[:, "gene 0":"gene 9"] *= 1e6
    two = tune_sketched_ridge(other.assign(response=data["response"] + 1e4), rng=0)
    assert one.columns["target"] == "response"
    for name in ("root mean squared error", "sketch size", "held-out coverage"):
        assert two.value(name).estimate == pytest.approx(one.value(name).estimate, rel=1e-6)
    value = one.value("root mean squared error")
    assert value.low < value.estimate < value.high  # type: ignore[operator]


def test_recipe_says_what_is_doubtful() -> None:
    few = tune_sketched_ridge(frame(60, 5), rng=0)
    assert "plain ridge" in few.advice
    edge = tune_sketched_ridge(frame(), lambdas=(5.0, 50.0), held_out=0.0, n_sketches=1, rng=0)
    assert "penalty at the edge" in [notice.code for notice in edge.warnings]
    assert edge.table["held_out_rmse"].isna().all()
    assert edge.plot().get_axes()


def test_recipe_refuses_what_it_cannot_read() -> None:
    data = frame()
    flat = data.copy()
    flat.loc[:, flat.columns.str.startswith("gene")] = 2.0
    with pytest.raises(InputError, match="constant"):
        tune_sketched_ridge(flat, rng=0)
    with pytest.raises(InputError, match="column 'response'"):
        tune_sketched_ridge(data.assign(response=1.0), rng=0)
    with pytest.raises(OptionError, match="sizes"):
        tune_sketched_ridge(data, sizes=(1.5,), rng=0)
