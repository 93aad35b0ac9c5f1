"""Parametric survival fits against lifelines 0.30.3.

Same input, same model: Weibull and log-logistic accelerated failure times with late entry on the
shipped insulator strings, and with the covariates on the power too. Outputs are checked equal: our
log-likelihood at lifelines' coefficients is the one that lifelines reports, within 1e-6, and our
maximum is not below theirs. Where it is above by more, lifelines stopped before the maximum. Then
lung and GBSG2, which lifelines ships: the generalised gamma there against our whole family, with
what each says of its convergence (different families: their likelihoods need not agree).

lifelines needs pandas below 3, so it is no part of the `peers` extra: run this in an environment of
its own with `pip install lifelines==0.30.3` beside statlas.

Measured on two busy cores: lifelines' Weibull and log-logistic fits take 10 to 29 times as long;
its log-logistic fits stop 4e-5 to 6e-2 below the maximum. Its generalised gamma takes 25 times as
long or more. Given intercepts, not there by default, it converges on lung (-1147.05; apgw of as
many parameters -1147.02) and on raw GBSG2 (-2555.54; apgw -2560.89, apgw4 with one parameter more
-2554.76), and fails on GBSG2 with standardised covariates. Ours converges on all of these.

Floor: one evaluation of likelihood and gradient, printed beside each fit; a fit by Newton's method
with exact second derivatives would need some six of them.

    python benchmarks/bench_flexible_survival.py
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import lifelines
import numpy as np
import pandas as pd
from lifelines import datasets

from statlas.core.examples import example_path
from statlas.statistics.flexible_survival import (
    Design,
    Fit,
    Likelihood,
    Times,
    fit_survival,
    log_likelihood,
)

ROUNDS = 7
PEERS: dict[Any, Any] = {
    "weibull": lifelines.WeibullAFTFitter,
    "log-logistic": lifelines.LogLogisticAFTFitter,
}


def seconds(call: Callable[[], Any]) -> tuple[float, Any]:
    """Wall time of one call, and what it returned."""
    started = time.perf_counter()
    result = call()
    return time.perf_counter() - started, result


def theirs_by_ours(peer: Any, family: Any, times: Times, frame: pd.DataFrame) -> float:
    """Our log-likelihood at lifelines' coefficients."""
    scale, power = ("lambda_", "rho_") if family == "weibull" else ("alpha_", "beta_")

    def predictor(name: str) -> np.ndarray:
        of = peer.params_[name]
        total = np.full(len(frame), float(of.get("Intercept", 0.0)))
        for column in frame.columns:
            total += float(of.get(column, 0.0)) * frame[column].to_numpy()
        return total

    nu = float(np.log(2)) if family == "weibull" else 0.0
    return log_likelihood(times, -predictor(scale), 0.0, predictor(power), nu)


def compare(name: str, frame: pd.DataFrame, entry: bool, power: bool, family: Any) -> None:
    """Interleaved fits of one model."""
    columns = [c for c in frame.columns if c not in ("time", "event", "entry")]
    x = frame[columns].to_numpy(float)
    times = Times.of(
        frame["time"].to_numpy(float), frame["event"].to_numpy(),
        frame["entry"].to_numpy(float) if entry else None,
    )  # fmt: skip
    every = tuple(range(len(columns)))
    design = Design((every, (), every if power else (), ()), family)

    def peer() -> Any:
        return PEERS[family]().fit(
            frame, "time", "event", ancillary=power, entry_col="entry" if entry else None
        )

    spent: dict[str, list[float]] = {"peer": [], "ours": []}
    for _ in range(ROUNDS):
        taken, their = seconds(peer)
        spent["peer"].append(taken)
        taken, our = seconds(lambda: fit_survival(times, x, design))
        spent["ours"].append(taken)
    same = theirs_by_ours(their, family, times, frame[columns]) - their.log_likelihood_
    assert abs(same) < 1e-6, same
    gain = our.log_likelihood - their.log_likelihood_
    assert gain > -1e-6, gain
    floor = _evaluation(times, x, our)
    ratio = float(np.median(np.array(spent["peer"]) / np.array(spent["ours"])))
    print(
        f"{name}, {family}{', also on the power' if power else ''}: ours "
        f"{1e3 * np.median(spent['ours']):.1f} ms (one evaluation {1e3 * floor:.2f} ms), lifelines "
        f"takes {ratio:.1f} x as long; likelihood at its coefficients differs by {abs(same):.0e}, "
        f"our maximum is {gain:.1e} higher"
    )


def _evaluation(times: Times, x: np.ndarray, fit: Fit) -> float:
    likelihood, (at, _) = Likelihood(times), fit.predictors(x)
    return float(np.median([seconds(lambda: likelihood(at))[0] for _ in range(20)]))


def hard(name: str, frame: pd.DataFrame) -> None:
    """The generalised gamma of lifelines and our whole family, on the same rows."""
    columns = [c for c in frame.columns if c not in ("time", "event")]
    x = frame[columns].to_numpy(float)
    times = Times.of(frame["time"].to_numpy(float), frame["event"].to_numpy())
    every = tuple(range(len(columns)))
    for model, design in (
        ("time scale", Design((every, (), (), ()))),
        ("time scale and power", Design((every, (), every, ()))),
        ("hazard scale", Design(((), every, (), ()))),
        ("time scale, both intercepts", Design((every, (), (), ()), "apgw4")),
    ):
        taken, fit = seconds(lambda: fit_survival(times, x, design))  # noqa: B023
        print(
            f"{name}, apgw, {model}: {fit.log_likelihood:.4f} in {1e3 * taken:.0f} ms, "
            f"{'converged' if fit.converged else 'not converged'} {', '.join(fit.at_edge)}"
        )
    for scaled in (False, True):
        table = frame.copy()
        if scaled:
            table[columns] = (x - x.mean(axis=0)) / x.std(axis=0)
        taken, said = seconds(lambda: _generalised_gamma(table))  # noqa: B023
        print(f"{name}, lifelines' generalised gamma{', standardised' if scaled else ''}: "
              f"{said} in {1e3 * taken:.0f} ms")  # fmt: skip


def _generalised_gamma(table: pd.DataFrame) -> str:
    """Covariates on the location, intercepts on all three parameters (they are not default)."""
    columns = [c for c in table.columns if c not in ("time", "event")]
    plain = table.rename(columns={c: f"x{i}" for i, c in enumerate(columns)})
    location = " + ".join(f"x{i}" for i in range(len(columns)))
    model = lifelines.GeneralizedGammaRegressionFitter(penalizer=0.0)
    try:
        model.fit(
            plain, "time", "event", regressors={"mu_": location, "sigma_": "1", "lambda_": "1"}
        )
    except Exception as error:  # any failure to fit is the finding
        return f"{type(error).__name__}"
    return f"{model.log_likelihood_:.4f}"


def main() -> None:
    """Print one line a comparison."""
    warnings.simplefilter("ignore")
    strings = pd.read_csv(example_path("insulator_strings.csv"))
    lung = datasets.load_lung()[["time", "status", "age", "sex"]].dropna()
    lung = lung.rename(columns={"status": "event"})
    lung["event"] = (lung["event"] == lung["event"].max()).astype(int)
    gbsg2 = datasets.load_gbsg2().rename(columns={"cens": "event"})
    gbsg2 = pd.get_dummies(gbsg2, drop_first=True, dtype=float)
    for family in PEERS:
        for power in (False, True):
            compare("insulator strings", strings, True, power, family)
        compare("lung", lung, False, False, family)
        compare("GBSG2", gbsg2, False, False, family)
    hard("lung", lung)
    hard("GBSG2", gbsg2)


if __name__ == "__main__":
    main()
