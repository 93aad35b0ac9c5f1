"""Many individuals' curves, grouped and continued, by a mixture of multi-task Gaussian processes.

Answers      Which groups are there among many individuals' series, observed at different times, and
             how will one individual's series continue?
Use when     many short, noisy series share a few typical courses. Avoid it for one long series, or
             a handful of individuals.
Assumes      Individuals are independent; each follows the mean process of one cluster plus a
             smooth deviation of its own plus normal noise of one size (for all, or for each). Times
             of observation say nothing about the values. Groups that differ in size or noise only
             are better seen after a transformation, such as logarithms.
Notation     y_i(t) = mu_k(t) + f_i(t) + e_i(t) where Z_i = k, k = 1..K, P(Z_i = k) = pi_k
             mu_k ~ GP(m_k, C_k), f_i ~ GP(0, xi_i), e_i ~ N(0, sigma_i^2 I); kernels
             v^2 exp(-(t - t')^2 / (2 l^2)); Psi_i = xi_i + sigma_i^2 I at the times of i
             hyperparameters shared or not: H00, Hk0, H0i, Hki by `shared_clusters`, `shared_tasks`
             tau_ik in proportion to pi_k N(y_i; m^_k, Psi_i) exp(-tr(Psi_i^-1 C^_k) / 2), shape
             (n_tasks, n_clusters); C^_k = (C_k^-1 + sum_i tau_ik Psi_i^-1)^-1 on the pooled times,
             m^_k = C^_k (C_k^-1 m_k + sum_i tau_ik Psi_i^-1 y_i), shape (n_grid,)
             new task: Gamma_k = C^_k + Psi, tau_k in proportion to pi_k N(y; m^_k, Gamma_k); the
             rest of it given Z = k is normal by conditioning under Gamma_k; a mixture over k
             variational criterion: bound - (number of hyperparameters) log(n_tasks) / 2
Departs      The paper's text was not at hand; model and steps are those of its abstract and of the
             authors' released code, with which posteriors, bound and predictions were compared
             (equal to nine digits where they overlap). The code's bound leaves out the constants
             of the entropy of q(mu), (1 + log 2 pi) / 2 for each time and cluster: its criterion
             speaks for fewer clusters than that of the full bound, which is used here. The step in
             the hyperparameters raises the bound with q(mu) at its optimum for them (collapsed),
             not held: the gradient is the same at its start, it can only end higher, and with
             smooth kernels it does not creep. m_k is the constant that maximises the bound
             (generalised least squares); the code takes the plain mean of m^_k, with which its
             bound may fall. Covariances are factored to numerical rank instead of inverted with
             jitter; probabilities are not rounded. For a new task with shared hyperparameters the
             code uses the trace term of training, here its likelihood under Gamma_k, as C^_k holds
             nothing of it. A task of the training set is continued by its own deviation given its
             values, averaged over q(mu): the code conditions on its values a second time. The
             code's intervals are those of a normal distribution or maps of densities, here
             quantiles of the mixture. First labels come from k-means of the curves as one cluster
             smooths them (the code: k-means of least, mean and largest value), and the tasks'
             variance starts at its share within these groups. The criterion counts
             hyperparameters, prior means where estimated included; the code counts the different
             numbers among them. Rows of one task at equal times are allowed. The periodic and
             other kernels of the code and its multi-output models are left out. `max_times`, the
             check on held-out individuals and its bootstrap are ours; in that check the fit
             without the held-out starts from the responsibilities of the fit with them.
             On the weights of children the gain of three clusters over one is small, and the
             criterion keeps rising to the largest number tried: clusters there stand for weights
             that spread ever more with age.
Reference    Leroy, Latouche, Guedj and Gey (2023), Cluster-Specific Predictions with Multi-Task
             Gaussian Processes, J. Mach. Learn. Res. 24(5), arXiv:2011.07866, and its code
             (github.com/ArthurLeroy/MagmaClustR). One cluster: the same authors (2022), MAGMA:
             inference and prediction using multi-task Gaussian processes with common mean.
"""

from __future__ import annotations

from statlas.statistics.magmaclust.claims import (
    beats_children_alone,
    beats_curves_alone,
    bound_never_falls,
    clusters_help,
    clusters_help_for_children,
    finds_the_number,
    intervals_cover,
    one_cluster_is_exact,
)
from statlas.statistics.magmaclust.estimator import MagmaClust
from statlas.statistics.magmaclust.prediction import NormalMixture
from statlas.statistics.magmaclust.recipe import CurveGroups, cluster_curves

__all__ = [
    "CurveGroups", "MagmaClust", "NormalMixture", "beats_children_alone", "beats_curves_alone",
    "bound_never_falls", "cluster_curves", "clusters_help", "clusters_help_for_children",
    "finds_the_number", "intervals_cover", "one_cluster_is_exact",
]  # fmt: skip
