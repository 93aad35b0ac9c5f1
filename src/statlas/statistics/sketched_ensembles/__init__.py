"""Ridge on random sketches of the features, averaged, and tuned without k-fold refits.

Answers      Which penalty and sketch size suit a wide or long table, what error will new rows have,
             and in which interval will a new target lie, all from a single fit a setting?
Use when     there are some hundred rows and features or many more, and refitting ridge for k folds
             or decomposing all features is slow. Avoid it for small tables, where plain ridge with
             exact leave-one-out is cheap, and for dependent rows (time series, repeats).
Assumes      Rows are independent draws of one distribution; n, p and q are large and comparable;
             sketches are independent of the table and free of its covariance (proved for Gaussian
             and Haar ones, seen in experiments for CountSketch and the SRDCT). Nothing is
             assumed about the truth: the model may be wrong.
Notation     X = features (n, p), y = target (n,), S_k = transposed sketches (p, q), E[S S'] = I;
             share = alpha = q / p; penalty = lambda of |y - X S b|^2 / n + lambda |b|^2, in
             variances of a feature; coefficients = beta = (1 / K) sum_k S_k b_k;
             L_k = X S_k (S_k' X'X S_k / n + lambda I)^-1 S_k' X' / n, the smoother;
             degrees = 1 + mean_k tr L_k; left = 1 - degrees / n; corrected = (y - X beta) / left;
             risk = mean of corrected^2 (GCV); functional = mean of t(y, y - corrected);
             risk_of(K): R_K = R_inf + D / K, for two sketches R_inf = 2 R_2 - R_1 (the trick);
             equivalent penalty mu = lambda S(-d / p), d = mean tr L_k, with the S-transform of
             S S': 1 / (1 - d / q) if Gaussian, (1 - d / p) / (1 - d / q) if orthogonal;
             prediction interval: prediction plus quantiles of `corrected`.
Departs      Features and target are centred, and the intercept counts as one degree of freedom;
             the paper has no intercept. Penalties are above 0 (the paper allows 0 and some below).
             The trick averages cross products over all pairs of the ensemble, with one divisor.
             The count sketch puts a column in one place; the authors stack about 10 log p such
             sketches; no mu is given for it. In the recipe features are standardised, and errors
             have Student intervals over squared corrected residuals, which ignore that the
             setting was chosen on the same rows; the paper gives no interval for the risk.
             GCV, coefficients and S-transform were confirmed against the authors' code (same
             sketches: equal to 1e-15; the trick, whose divisors differ, to 3e-5); the text of the
             theorems was not at hand, so places name topics and not numbers.
             That size alone can be tuned is undecided for 30 sketches without a penalty (risk 5 %
             above ridge's best): the statement is about infinitely many.
Reference    Patil and LeJeune (2023), Asymptotically free sketched ridge ensembles: Risks,
             cross-validation, and tuning, arXiv:2310.04357; github.com/dlej/sketched-ridge.
"""

from __future__ import annotations

from statlas.statistics.sketched_ensembles.claims import (
    gcv_tracks_risk_count,
    gcv_tracks_risk_ridgeless,
    gcv_tracks_risk_srdct,
    intervals_cover,
    many_sketches_are_ridge,
    other_risks_are_tracked,
    size_alone_can_be_tuned,
    two_sketches_tell_of_many,
)
from statlas.statistics.sketched_ensembles.recipe import SketchedRidgeReport, tune_sketched_ridge
from statlas.statistics.sketched_ensembles.ridge import (
    SketchedPath,
    SketchedRidgeEnsembleGCV,
    default_penalties,
    draw_sketches,
    sketched_ridge,
)

__all__ = [
    "SketchedPath", "SketchedRidgeEnsembleGCV", "SketchedRidgeReport", "default_penalties",
    "draw_sketches", "gcv_tracks_risk_count", "gcv_tracks_risk_ridgeless", "gcv_tracks_risk_srdct",
    "intervals_cover", "many_sketches_are_ridge", "other_risks_are_tracked",
    "size_alone_can_be_tuned", "sketched_ridge", "tune_sketched_ridge", "two_sketches_tell_of_many",
]  # fmt: skip
