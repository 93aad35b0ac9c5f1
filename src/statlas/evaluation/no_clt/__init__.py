"""Small benchmarks: intervals and comparisons that do not lean on the central limit theorem.

Answers      How sure is a model's score on thirty or a hundred questions, and is the difference
             between two models real or luck?
Use when     answers are right or wrong and there are fewer than a few hundred questions: one model
             or several, on the same questions or not, questions alone or in clusters; F-scores
             from a small confusion matrix. Avoid it for fractional scores (`error-bars`), and with
             thousands of independent questions, where plain standard errors agree and are simpler.
Assumes      questions are independent draws from those one cares about, or come in clusters that
             are; within a cluster answers are independent given the cluster's own success
             probability. The prior matters when there are very few questions: credible intervals
             cover at their level on average over it, but over true scores of 0.95 to 1 alone and
             30 questions those of the uniform prior cover 0.92, Wilson's 0.95, the normal 0.49.
Notation     successes = k, trials = n; level = 1 - alpha; prior = (a, b) of theta ~ Beta(a, b),
             posterior Beta(a + k, b + n - k) (Section 3.1)
             clusters (3.2): theta_t ~ Beta(d theta, d (1 - theta)), d ~ Gamma(1, 1); successes and
             trials have shape (n_data_sets, n_clusters)
             two models (3.3): difference = theta_A - theta_B, odds_ratio = theta_A (1 - theta_B) /
             ((1 - theta_A) theta_B), probability = P(theta_A > theta_B | data)
             paired (3.4): both, only_a, only_b, neither = S, T, U, V; theta = Phi(mu); rho is the
             correlation of the latent normals, (rho + 1) / 2 ~ Beta(4, 2)
             F-scores (3.5): (TP, FP, FN, TN) probabilities ~ Dirichlet(1, 1, 1, 1)
Departs      Nothing is sampled. The paper draws from prior or posterior and resamples; here the
             clustered and paired posteriors are integrated on grids, independent comparisons by
             quadrature of Beta densities, and F1 quantiles are exact, since TP / (TP + FP + FN) has
             a Beta posterior and F1 increases with it. Bounds are right to 3e-4 of an interval's
             width. Weighted prior draws, as in the authors' library, are worth 2 to 5 % of their
             number at 30 questions and 0.1 % at 300.
             Bivariate normal probabilities are right to 4e-6, where that library approximates them
             to 1e-3.
             The paper's own text was not at hand; settings and priors are those of its two public
             code repositories. The paired experiments there take rho as uniform, the library as
             mostly positive; the latter is the default, `correlation="uniform"` the former. All
             intervals are equal-tailed as there; `beta_interval` offers highest density too.
             Neither compares models on clustered questions: here two hierarchical posteriors are
             taken as independent, which ignores the pairing rather than the clusters.
             Clopper and Pearson's mid-p variant is added.
Reference    Bowyer, Aitchison and Ivanova (2025), Position: Don't Use the CLT in LLM Evals With
             Fewer Than a Few Hundred Datapoints, arXiv:2503.01747, Section 3.
"""

from __future__ import annotations

from statlas.core.numerics.proportions import wilson_interval
from statlas.evaluation.no_clt.claims import (
    bayes_covers,
    clt_fails_near_one,
    clusters_matter,
    f_score_covers,
    hierarchy_covers,
    odds_ratio_covers,
    paired_covers,
    paired_covers_strong_models,
    wilson_covers,
)
from statlas.evaluation.no_clt.clustered import (
    ClusteredPosterior,
    clustered_clt_interval,
    clustered_comparison,
    clustered_interval,
    clustered_posterior,
)
from statlas.evaluation.no_clt.comparison import (
    Comparison,
    independent_clt_interval,
    independent_comparison,
    paired_clt_interval,
)
from statlas.evaluation.no_clt.f_scores import (
    f1_clt_interval,
    f_score_interval,
    f_score_quantile,
    precision_interval,
)
from statlas.evaluation.no_clt.intervals import (
    JEFFREYS,
    UNIFORM,
    beta_interval,
    clt_interval,
    exact_interval,
    mid_p_interval,
)
from statlas.evaluation.no_clt.paired import paired_comparison
from statlas.evaluation.no_clt.recipe import SmallSampleComparison, small_sample_comparison

__all__ = [
    "JEFFREYS", "UNIFORM", "ClusteredPosterior", "Comparison", "SmallSampleComparison",
    "beta_interval", "clt_interval", "clustered_clt_interval", "clustered_comparison",
    "clustered_interval", "clustered_posterior", "exact_interval", "f1_clt_interval",
    "f_score_interval", "f_score_quantile", "independent_clt_interval", "independent_comparison",
    "mid_p_interval", "paired_clt_interval", "paired_comparison", "precision_interval",
    "small_sample_comparison", "wilson_interval",
    "bayes_covers", "clt_fails_near_one", "clusters_matter", "f_score_covers", "hierarchy_covers",
    "odds_ratio_covers", "paired_covers", "paired_covers_strong_models", "wilson_covers",
]  # fmt: skip
