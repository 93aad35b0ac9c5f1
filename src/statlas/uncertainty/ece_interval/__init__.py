"""How miscalibrated predicted probabilities are, with an interval that also holds near zero.

Answers      How far are predicted probabilities from the frequencies that they promise, and could
             they be perfectly calibrated after all?
Use when     there are stated probabilities and what came true: `confidence` and `correct`, or a
             column a class and the label. Avoid it to repair probabilities, for fewer than some
             hundred rows (the interval rests on large numbers), and for many probabilities a row:
             from four on no number of bins is both fine and full enough for a Lipschitz curve.
Assumes      Rows are independent, from one distribution. The calibration curve E[Y | Z = z] is
             Hölder smooth (`smoothness` s, 1 by default), so that small bins do not hide errors.
Notation     predicted = Z, the k largest probabilities of a row, largest first, shape (n, k), or
             all classes (`top=None`); outcome = Y, which of them came true; u = Y - Z; bins
             B_1..B_m with n_b rows, m = suggested_bins.
             ECE^2 = E |E[Y | Z] - Z|^2, the l2 calibration error is its root (a probability);
             squared = T = (1/n) sum_b 1/(n_b - 1) sum_{i != j in b} u_i . u_j, bins of one row left
             out: the bins' plain estimate sum_b (n_b/n) |mean u|^2 without its bias;
             spread = sigma_1 / sqrt(n), sigma_1^2 = sum_b (n_b/n) (4 m_b' M_b m_b - 3 |m_b|^4) -
             (sum_b (n_b/n) |m_b|^2)^2, with m_b the mean and M_b the mean square of u in the bin;
             null_spread: standard deviation of T given Z for a calibrated model, of order
             sqrt(m) / n, smaller than sigma_1 / sqrt(n) would be.
             Interval on ECE^2 with T+ = max(T, 0) and s = spread: up to T+ + z(a/2) s, from
             T+ - z(a/2) s where T+ >= 2 z(a/2) s, from T+ / 2 where T+ >= 2 z(a) s, else from
             max(T+ - z(a) s, 0); 0 is put in where T < z(a) null_spread.
Departs      T, sigma_1 and the interval are those of the authors' code, whose numbers come out on
             its bins (equal cells, `bin_kind="width"`). It takes the null spread from an integral
             over uniform predictions; here it is computed exactly for the predictions at hand, as
             the outcomes of a calibrated model are independent given them. Bins of equal mass are
             the default; equal predictions stay together. The paper's text was not at hand, so the
             number of bins is derived here (see `suggested_bins`) and checked by simulation. Where
             calibration cannot be ruled out the interval begins at 0; where it can, 0 itself is
             excluded. sigma_1 comes from the bins' means, whose noise makes it too wide by up to
             a third near zero: intervals there cover more often than they promise. Predictions
             that take 20 values or fewer are judged value by value.
Reference    Sun, Chaudhari, Barnett and Dobriban (2024), A Confidence Interval for the l2 Expected
             Calibration Error, arXiv:2408.08998, and its code (github.com/sylydya/CI-ECE).
"""

from __future__ import annotations

from statlas.uncertainty.ece_interval.bins import assign_bins, suggested_bins
from statlas.uncertainty.ece_interval.claims import (
    bootstrap_of_a_calibrated_model,
    covers_far_from_zero,
    covers_near_zero,
    covers_the_top_two,
    false_alarms,
    shorter_than_the_bootstrap,
)
from statlas.uncertainty.ece_interval.estimation import (
    error_interval,
    estimate_calibration_error,
    simulated_p_value,
    squared_interval,
    top_probabilities,
)
from statlas.uncertainty.ece_interval.recipe import CalibrationReport, calibration_error

__all__ = [
    "CalibrationReport", "assign_bins", "bootstrap_of_a_calibrated_model", "calibration_error",
    "covers_far_from_zero", "covers_near_zero", "covers_the_top_two", "error_interval",
    "estimate_calibration_error", "false_alarms", "shorter_than_the_bootstrap", "simulated_p_value",
    "squared_interval", "suggested_bins", "top_probabilities",
]  # fmt: skip
