"""Gaussian clusters of unequal spread and shape by semidefinite programming.

Answers      Which rows form clusters, where clusters differ in spread and shape, without a lucky
             start; how sure is each row's cluster, and how far from optimal can the answer be?
Use when     columns are numeric, clusters roughly Gaussian, K-means splits the wide ones and EM
             ends elsewhere at each start; tens to some thousands of rows. Avoid it where clusters
             are curved, where rows a cluster are few beside columns (or use covariance="diag"), and
             where K-means does already: it is far faster.
Assumes      Independent rows from Gaussians with a mean and a covariance each, of similar size:
             labels are parameters and no proportions are fitted. Distances in the table's units
             matter to the plain programme that starts, so columns are standardised by default.
Notation     x rows (n, p); G_k clusters; covariances S_k (K, p, p); one lifted membership a
             cluster, Z_k = 1_G 1_G' / |G| for a partition; A_k[i, j] = -|x_i - x_j|^2_k / 2 - log
             det S_k with |v|^2_k = v' S_k^-1 v. At the best means sum_k <A_k, Z_k> is twice the
             log-likelihood up to a constant, so that no centre is estimated.
             LA-SDP: maximise sum_k <A_k, Z_k> with Z_k psd and >= 0, tr Z_k = 1, sum_k Z_k 1 = 1.
             iLA-SDP: that, then S_k = X' (diag(Z_k 1) - Z_k) X / (1' Z_k 1), in turn: both steps
             raise one function. Labels are the k of the largest entry of Z_k 1.
             Plain (Peng and Wei): S_k = I, one Z of trace K; its labels are the first ones.
             Low rank: Z_k = U_k U_k', U_k >= 0 of 2 K columns, augmented Lagrangian.
             Dual: minimise sum_k l_k + 1' a with l_k I + (a 1' + 1 a') / 2 - A_k - B_k psd and B_k
             >= 0; any such point bounds every partition.
             Threshold of exact recovery: 4 s^2 (1 + sqrt(1 + K p / (n log n))) log n, s^2 the
             noise.
Departs      The paper's text was at hand only in its abstract, and no code of it was found. The
             lifted likelihood, the trace of 1 a cluster, the covariance step, the rounding and the
             start are derived here; with equal covariances the programme has the optimum of Peng
             and Wei's (tested), and Peng and Wei's costs and rounding are as in the authors' code
             for the low-rank form. That code takes projected gradients of fixed length with the
             trace by projection; here the trace is one more constraint, steps are spectral, and
             each cluster has factors of 2 K columns: of one column, which are assignment vectors,
             they are trapped (a claim). Covariances have a least eigenvalue, without which the
             likelihood has no maximum. The simulated mixtures of the claims are of this module. K
             by ICL, the bound at the fitted covariances and the row's probabilities (equal
             proportions) are added. The certificate in closed form is for the plain programme; for
             up to 400 rows some steps of the exact solver tighten its bound, and give one on the
             likelihood at the fitted covariances, though not over covariances. Nothing certifies
             these: iLA-SDP is a local ascent in them, as two starts may show. From one random start
             the low-rank solver at times ends some nats below the optimum, which shows in the mean
             of that claim; the recipe starts from the plain labels too, and `starts` adds others.
Reference    Zhuang, Chen and Yang (2023), Likelihood Adjusted Semidefinite Programs for Clustering
             Heterogeneous Data, arXiv:2209.15097. Peng and Wei (2007), SIAM J. Optim. 18, 186-205.
             Chen and Yang (2021), Cutoff for exact recovery of Gaussian mixture models,
             arXiv:2001.01194. Zhuang, Chen, Yang and Zhang (2024), arXiv:2305.18436, and its code.
             Sun, Toh and Yang (2015), SIAM J. Optim. 25, 882-915 (the exact solver).
"""

from __future__ import annotations

from statlas.statistics.ila_sdp.certificate import Certificate, bounded_kmeans, kmeans_certificate
from statlas.statistics.ila_sdp.claims import (
    certificate_proves_optimality,
    fewer_errors_than_em_from_the_same_start,
    fewer_errors_than_em_on_irises,
    fewer_errors_than_k_means,
    low_rank_reaches_the_optimum,
    recovers_above_the_threshold,
    recovers_with_known_covariances,
    recovery_threshold,
)
from statlas.statistics.ila_sdp.estimators import LikelihoodAdjustedSDP, SemidefiniteKMeans
from statlas.statistics.ila_sdp.likelihood import (
    integrated_criterion,
    likelihood_adjusted,
    likelihood_gap,
    membership_costs,
    misclustering,
    solve_kmeans,
)
from statlas.statistics.ila_sdp.recipe import Clustering, cluster_gaussians
from statlas.statistics.ila_sdp.relaxation import peng_wei_costs, solve_exact, solve_low_rank

__all__ = [
    "Certificate", "Clustering", "LikelihoodAdjustedSDP", "SemidefiniteKMeans", "bounded_kmeans",
    "certificate_proves_optimality", "cluster_gaussians",
    "fewer_errors_than_em_from_the_same_start", "fewer_errors_than_em_on_irises",
    "fewer_errors_than_k_means", "integrated_criterion", "kmeans_certificate",
    "likelihood_adjusted", "likelihood_gap", "low_rank_reaches_the_optimum", "membership_costs",
    "misclustering", "peng_wei_costs", "recovers_above_the_threshold",
    "recovers_with_known_covariances", "recovery_threshold", "solve_exact", "solve_kmeans",
    "solve_low_rank",
]  # fmt: skip
