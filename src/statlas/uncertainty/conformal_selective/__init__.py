"""Regression that may abstain: keep the predictions whose conformal interval is short."""

from __future__ import annotations

from statlas.uncertainty.conformal_selective.claims import (
    all_rows_coverage,
    biased_model_errors,
    biased_model_width,
    high_shares_error,
    kept_rows_coverage,
    real_sets_area,
    share_kept,
)
from statlas.uncertainty.conformal_selective.protocol import (
    coverage_risk_curve,
    distance_to_ideal,
    normalised_area,
)
from statlas.uncertainty.conformal_selective.recipe import (
    SelectiveReport,
    distance_score,
    ensemble_score,
    selective_regression,
    variance_score,
)
from statlas.uncertainty.conformal_selective.regressor import (
    ConformalSelectiveRegressor,
    QuantileForest,
)
from statlas.uncertainty.conformal_selective.selection import KeepRule, keep_rule

__all__ = [
    "ConformalSelectiveRegressor", "KeepRule", "QuantileForest", "SelectiveReport",
    "all_rows_coverage", "biased_model_errors", "biased_model_width", "coverage_risk_curve",
    "distance_score", "distance_to_ideal", "ensemble_score", "high_shares_error", "keep_rule",
    "kept_rows_coverage", "normalised_area", "real_sets_area", "selective_regression",
    "share_kept", "variance_score",
]  # fmt: skip
