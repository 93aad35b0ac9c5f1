"""Which inputs a deployed classifier will get wrong, and which score catches them best.

Answers      Which inputs should be rejected because this model gets them wrong, whatever the cause
             (unknown class, shifted input, own error), and which detector does it best? Is that the
             detector that is best at unknown classes?
Use when     a classifier is deployed where new classes and shifted inputs come in, and there are
             rows of each kind with logits (features, training rows) or scores. Avoid it to say
             whether an input is of a new class however the model treats it.
Assumes      Rows (or clusters) of each set are independent draws of what will come; the share of
             each set matters, as all sets are pooled (`shares` sets it). The threshold of
             `ModelSpecificDetector` accepts `tpr` of right answers where new rows are exchangeable
             with those held out, on average; under shift nothing is promised.
Notation     ID in-distribution, C-OOD covariate shift (known class, other source), S-OOD semantic
             shift (unknown class); + right, - wrong. MS-A = ID+ and C-OOD+ is to be accepted,
             MS-R = ID-, C-OOD- and S-OOD to be rejected (`model_specific`); by class, ID is to be
             accepted and S-OOD rejected, C-OOD left out (`class_based`). Score g(x), larger for
             more acceptable; threshold: the largest t with g >= t on `tpr` of ID+ (of ID by class).
             z logits (n, K), p softmax, h features (n, d), W and b the last layer. max_softmax
             max p; tempered_softmax the same at temperature 1000 (ODIN without its step); margin
             p_(1) - p_(2); entropy sum p log p; max_logit max z; energy log sum exp z; gradnorm
             |h|_1 |p - 1/K|_1, the l1 norm of the gradient in W; react energy after min(h, c);
             vim energy - alpha |residual of h|; mahalanobis -min_c (h - mu_c)' S^-1 (h - mu_c);
             knn minus the distance to the k-th training row, h scaled to length 1.
Departs      Of the paper's text its abstract and introduction were at hand, no code: the split into
             MS-A and MS-R is as there. That the threshold is fixed on ID+, and the claims about
             single sources, are from memory of the paper and not confirmed; AUROC over MS-A and
             MS-R, AUPR, intervals, Kendall's tau and the sure reversals are added here. Scores
             follow their own papers, and agree with pytorch-ood on the same features (see
             benchmarks/bench_unified_ood.py). W and b are found by least squares where features and
             logits are given; probabilities allow no score that needs the size of logits. ViM's
             dimension is half the features unless given, k is 10. Intervals: bootstrap of rows
             within sets, or of clusters; draws reuse one sort. Without clusters a row that is in
             several sets (tilted, plain) counts as several.
             On the example the rankings hardly differ (tau 0.85, 0.52 to 1.00): ReAct is first
             in both, though softmax and entropy are better at the model's own errors.
             Claims, on small networks and digits: all hold, some by little. Rankings by class and
             by right or wrong agree less than each with itself (Kendall's tau lower by 0.19), but
             choosing by right or wrong gains 0.01 in AUROC only. The model matters more: network
             and logistic regression lose 0.47 of tau. At own errors softmax beats the mean of the
             others by 0.08 (margin and entropy do as well); leaving these errors out lifts the
             AUROC by class by 0.03.
Reference    Averly and Chao (2023), Unified Out-Of-Distribution Detection: A Model-Specific
             Perspective, ICCV, arXiv:2304.06813. Scores: Hendrycks and Gimpel (2017), Liang, Li and
             Srikant (2018), Lee et al. (2018), Liu et al. (2020), Huang, Geng and Li (2021), Sun,
             Guo and Li (2021), Hendrycks et al. (2022), Sun et al. (2022), Wang et al. (2022).
"""

from __future__ import annotations

from statlas.uncertainty.unified_ood.claims import (
    choosing_by_right_or_wrong,
    errors_left_out,
    model_decides,
    ranking_changes,
    robust_models_accept_more,
    softmax_at_own_errors,
    source_decides,
)
from statlas.uncertainty.unified_ood.estimators import (
    InnerView,
    ModelSpecificDetector,
    inner_view,
)
from statlas.uncertainty.unified_ood.evaluation import (
    Cases,
    Measures,
    Protocol,
    against_source,
    class_based,
    kendall_tau,
    measure,
    model_specific,
    sure_reversals,
)
from statlas.uncertainty.unified_ood.network import NetworkClassifier
from statlas.uncertainty.unified_ood.recipe import DetectorRanking, rank_detectors
from statlas.uncertainty.unified_ood.scores import (
    DETECTORS,
    DetectorSet,
    DetectorSettings,
    Head,
    Outputs,
    fit_detectors,
    recover_head,
)

__all__ = [
    "DETECTORS", "Cases", "DetectorRanking", "DetectorSet", "DetectorSettings", "Head", "InnerView",
    "Measures", "ModelSpecificDetector", "NetworkClassifier", "Outputs", "Protocol",
    "against_source", "choosing_by_right_or_wrong", "class_based", "errors_left_out",
    "fit_detectors", "inner_view", "kendall_tau", "measure", "model_decides", "model_specific",
    "rank_detectors", "ranking_changes", "recover_head", "robust_models_accept_more",
    "softmax_at_own_errors", "source_decides", "sure_reversals",
]  # fmt: skip
