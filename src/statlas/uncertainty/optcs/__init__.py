"""A shortlist with at most a given share of duds, though the score was chosen on the same data.

Answers      Which candidates can be picked such that at most a given share of picks is duds, and
             may several models be tried on the same labelled rows?
Use when     there are labelled rows and candidates from one source, features or given scores, and
             a threshold of the outcome that says what is good. Avoid it where candidates come from
             elsewhere or later, and for an interval for each candidate.
Assumes      Labelled rows and candidates are exchangeable; every fit treats its rows alike. Nothing
             is assumed about models or outcomes. The bound is on the false discovery rate: the
             share of duds among the picks, 0 where there are none, averaged over labelled rows and
             candidates; it is no promise for the one table at hand, nor for one candidate.
Notation     n labelled rows, m candidates, q = fdr; V_i = V(x_i, y_i), score of a labelled row:
             -mu(x) for a dud and infinite for a good row (the clipped score, monotone in y);
             V_j = -mu(x_j) for a candidate; p_j = (1 + #{i: V_i <= V_j}) / (n + 1).
             Plain selection and OptCS-Full: Benjamini-Hochberg on p. In OptCS-Full mu is fitted on
             all n + m rows with y = 1{good} and 0 for candidates, each row predicted without
             itself; under the hypothesis "j is a dud" its 0 is right, so rows can change places.
             OptCS-MSel: R_j(k) = size of the Benjamini-Hochberg selection by score k from p_j = 0
             and p_l = (#{i: V_i <= V_l} + 1{V_j <= V_l}) / (n + 1), l != j; candidate j takes
             k = argmax R_j(k); e_j = 1{p_j <= s_j} / s_j with s_j = q R_j / m (`limit`); the e-BH
             procedure on e_j, or on e_j / u_j with u uniform, one for all ("shared", the paper's
             homogeneous pruning) or one each ("separate", heterogeneous).
             OptCS-Full-MSel: the same with the leave-one-out scores of several models.
Departs      The constructions were confirmed by the authors' code, the paper's text beyond its
             abstract was not at hand. A loop over candidates is replaced by one sort a score, with
             the same p-values, sizes and picks; only where the code's e-BH compares two roundings
             of one number (2 of 60 tables tried) does it pick nobody and this everybody. Ties
             count against the candidate in every p-value (the code's MSel counts only smaller
             scores, which is not valid with ties). A tie between scores goes to the first, where
             the code draws. Infinity stands for the code's 1000. Ridge and kernel ridge leave rows
             out by the smoother's diagonal, exactly; the forest predicts out of bag. For ridge
             this is the fitted value over 1 - s_ii on every row that counts (duds), so fitted
             values rank nearly alike. The code's oversampling of good rows and its e-values with a
             factor of 0.9 are left out. On the example (q = 0.2, 300 other draws of the
             candidates) the share of duds is 0.19 to 0.20 on average for each procedure, 0.21 for
             naive choice, with a spread of 0.08 to 0.09 from draw to draw; full data and a split
             find the same 53 % of the good ones there: ten features leave no need for all rows.
             Where candidates and labelled rows differ in a column (Kolmogorov-Smirnov, Bonferroni)
             the result says so.
Reference    Bai and Jin (2024), Optimized Conformal Selection, arXiv:2411.17983, and its code
             (github.com/Tian-Bai/OptCS); Jin and Candes (2023, J. Mach. Learn. Res. 24:244) for
             the plain selection.
"""

from __future__ import annotations

from statlas.uncertainty.optcs.claims import (
    chosen_score_controls_fdr,
    chosen_score_gains_power,
    fitted_and_chosen_controls_fdr,
    full_data_controls_fdr,
    full_data_gains_power,
)
from statlas.uncertainty.optcs.fitting import leave_one_out, unseen_predictions
from statlas.uncertainty.optcs.recipe import Shortlist, shortlist
from statlas.uncertainty.optcs.selection import (
    Selection,
    auxiliary_sizes,
    benjamini_hochberg,
    best_score_selection,
    clipped_scores,
    conformal_selection,
    p_values,
)

__all__ = [
    "Selection", "Shortlist", "auxiliary_sizes", "benjamini_hochberg", "best_score_selection",
    "chosen_score_controls_fdr", "chosen_score_gains_power", "clipped_scores",
    "conformal_selection", "fitted_and_chosen_controls_fdr", "full_data_controls_fdr",
    "full_data_gains_power", "leave_one_out", "p_values", "shortlist", "unseen_predictions",
]  # fmt: skip
