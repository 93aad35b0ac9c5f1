"""Training a Gaussian process again on its own predictions, once or many times.

Answers      What does self-distillation do to a Gaussian process, step by step: to its held-out
             error, its log score and the coverage of its intervals; and does it help on this table?
Use when     there is a numeric target, or one of two values, and numeric features, up to some two
             thousand rows. Avoid it to look for new information or for a smaller process: the
             effect equals a change of regularisation.
Assumes      Independent rows, one noise variance, a stationary kernel on standardised features
             (constant times radial basis function unless another is given to the estimators).
Notation     K = V diag(d) V' kernel matrix, y target, a_t noise variance of step t
             data-centric regression: predictions V diag(prod_{s<=t} d / (d + a_s)) V' y after step
             t; coefficients, shape (steps, n): V diag(prod_{s<t} d / (d + a_s) / (d + a_t)) V' y
             distribution-centric regression: one process of noise 1 / sum(1 / a_s)
             data-centric classification: Laplace's approximation, y the probabilities of the step
             before, log density y f - A(f), A(f) = log((e^f - 1) / f) (continuous Bernoulli),
             A' = expit(f) - (1 / f - 1 / sinh f), 1/12 the curvature at 0
             distribution-centric classification: likelihood to the power t ("distribution", as if
             each point were there t times), or kernel times t ("scaled", the approximation)
Departs      The paper's text was not at hand; definitions are those of the authors' code. There the
             efficient mode of data-centric regression decomposes K + a I and then treats its
             eigenvalues as those of K, so its first step has noise 2 a and it differs from the same
             code's naive mode; here all steps equal naive refitting. The variance of step t is that
             of a process with noise a_t, as in naive refitting; the code's efficient mode takes
             a_1, the same where all noises are. The code says its efficient mode optimises on the
             first step only, and that is what is done here.
             Classification: the code approximates the mean probability by five error functions,
             here by quadrature with 40 nodes (they differ by about 1e-4); its exact form on
             distributions is not implemented, here it is. The kernel times t has the same mode as t
             copies of every point, so the same decisions, but t times the variance, so
             probabilities nearer to one half. The kernel is fitted on the first step by
             scikit-learn. New values are predicted with the first step's noise on top of the
             function's variance. Intervals of changes are Student's over held-out rows, as if rows
             of one part did not share a training set.
Reference    Borup and Andersen (2023), Self-Distillation for Gaussian Process Regression and
             Classification, arXiv:2304.02641, and its code
             (github.com/Kennethborup/gaussian_process_self_distillation). Laplace's approximation:
             Rasmussen and Williams (2006), Algorithms 3.1 and 3.2.
"""

from __future__ import annotations

from statlas.statistics.gp_distillation.claims import (
    harmonic_noise,
    one_decomposition,
    regularises,
    scaled_kernel_mode,
)
from statlas.statistics.gp_distillation.classification import (
    DistilledGPClassifier,
    continuous_bernoulli,
    laplace_mode,
)
from statlas.statistics.gp_distillation.recipe import DistillationReport, distil_process
from statlas.statistics.gp_distillation.regression import (
    DistilledGPRegressor,
    combined_noise,
    distilled_coefficients,
)

__all__ = [
    "DistillationReport", "DistilledGPClassifier", "DistilledGPRegressor", "combined_noise",
    "continuous_bernoulli", "distil_process", "distilled_coefficients", "harmonic_noise",
    "laplace_mode", "one_decomposition", "regularises", "scaled_kernel_mode",
]  # fmt: skip
