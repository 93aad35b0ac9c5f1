"""Forecasts of a hard task from public benchmark scores, without training a model.

Answers: how a model, a larger model of a family, or a model of a family never seen will do on a
    downstream task, from a table of models and their benchmark scores.
Use when: a few dozen models or more were scored on several benchmarks and many of them on the
    task; families and training compute are known for forecasts from compute. Avoid when scores are
    contaminated, prompts differ between rows, or the task asks for what no benchmark measures.
Assumes: scores are linear in a few capabilities plus noise of one size; scores are missing for
    reasons that the scores that are there account for; the task's score is a sigmoid of a linear
    index of the capabilities; within a family that index is linear in log compute, and families
    are draws from one population.
Notation: capability = S, (n_models, n_components), standard deviations over models;
    scores = B, (n_models, n_benchmarks), from 0 to 1: B = mean + loadings S + noise;
    index = beta . S + alpha, in logits; score = floor + (1 - floor) sigmoid(index), where the
    paper writes h sigmoid(beta . S + alpha);
    family f: index = nu_f + theta_f log10(compute) + deviation of the model, where the paper writes
    S_f = theta_f log C + nu_f for each component; mean and between = mean line of families and
    covariance of their (nu, theta).
    Identified: loadings are orthogonal, sorted by length, each with a sum of at least 0; S has mean
    0 and covariance 1 over the models of the fit; noise lies outside both. The index, and so
    every forecast, does not depend on the rotation. Axes of similar size, a sigmoid of which
    only the foot was seen and slopes of families with one size are reported as not determined.
Departs: the paper's text was not at hand; its equations are known from a summary and the authors'
    code (github.com/ryoungj/ObsScaling), from which the sigmoid's form is: height 1 less a floor
    between 0 and 0.2, least squares. There gaps are filled by iterated PCA of standardised scores
    and PCA follows on the filled table; here probabilistic PCA is fitted by maximum likelihood (EM
    with parameter expansion) to the scores that are there, as they are, not standardised, and gaps
    add to the uncertainty. Without gaps its axes are those of PCA. Capabilities are
    posterior means, so a model with few scores is drawn to the average. The components' log-linear
    laws are fitted as one, that of the index, since forecasts need no more; families are
    fitted together (REML), where the authors' code fits each by itself and has no intervals.
    Intervals: bootstrap of all parts over families, deviation of a model and noise of the
    score, whose variance is a constant plus a part that is largest where the sigmoid is steep.
    The models to run first are chosen one by one, with an intercept; the authors search all sets
    of families under the same criterion. scipy fits the sigmoid: its parameters are few, and the
    floor has bounds. Compute that is not known is taken as 6 x parameters x tokens.
    On the recorded example families bend at the top of their range: see the claim `log_linear`.
Reference: Ruan, Maddison and Hashimoto (2024), Observational Scaling Laws and the Predictability of
    Language Model Performance, arXiv:2405.10938.
"""

from __future__ import annotations

from statlas.scaling.observational.claims import (
    chosen_models,
    extrapolates,
    few_components,
    log_linear,
    missing_scores,
    unseen_family,
)
from statlas.scaling.observational.components import Components, fit_components
from statlas.scaling.observational.families import FamilyLaw, fit_family_law, own_line_r2
from statlas.scaling.observational.forecast import (
    Fit,
    Forecast,
    HeldOut,
    Leaderboard,
    Settings,
    bootstrap_fits,
    fit_leaderboard,
    forecast_from_compute,
    forecast_from_scores,
    hold_out_strongest,
)
from statlas.scaling.observational.link import Link, fit_link
from statlas.scaling.observational.recipe import ObservationalForecast, forecast_downstream
from statlas.scaling.observational.selection import mean_variance, select_models

__all__ = [
    "Components", "FamilyLaw", "Fit", "Forecast", "HeldOut", "Leaderboard", "Link",
    "ObservationalForecast", "Settings", "bootstrap_fits", "fit_components", "fit_family_law",
    "fit_leaderboard", "fit_link", "forecast_downstream", "forecast_from_compute",
    "forecast_from_scores", "hold_out_strongest", "mean_variance", "own_line_r2", "select_models",
    "chosen_models", "extrapolates", "few_components", "log_linear", "missing_scores",
    "unseen_family",
]  # fmt: skip
