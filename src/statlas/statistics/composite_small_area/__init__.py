"""Small proportions in small domains, by composing direct and synthetic estimates.

Answers      How large is a small percentage (unemployed, wrong, ill) in each of many domains where
             the survey reached only a handful of units, and how sure is that?
Use when     there are at least ten domains with a sample, better thirty, and covariates known for
             every domain; some domains may have no case or no sample at all. Avoid it where every
             domain has hundreds of units (the direct estimate suffices), or where a model of the
             units is trusted.
Assumes      Domains' samples are nearly independent given the population. The covariates are known
             without error. The synthetic estimate's squared bias is on average in proportion to
             P (1 - P). Variances of direct estimates share one design effect.
Notation     direct = p_i (Hajek: sum w y / sum w; Horvitz-Thompson: sum w y / N_i), (n_domains,)
             variance = psi_i = D P_i (1 - P_i) / n_i, P_i synthetic, D pooled design effect; raw
             variances: sum w (w - 1) e^2 / N_i^2, e = y - p_i (Hajek, times n / (n - 1)) or y
             synthetic = P_i = x_i' B, B weighted by 1 / psi_i; shared = s_i = x_i' (X' W X)^-1 x_i
             bias = b P_i (1 - P_i), from E (p_i - P_i)^2 = psi_i - s_i + bias_i
             composition: w_i p_i + (1 - w_i) P_i, mean squared error
             w^2 psi + (1 - w)^2 (bias + s) + 2 w (1 - w) s
             optimal: w_i = bias / (bias + psi - s); by sample size: w_i = min(1, r_i / delta),
             r_i = n_i / E n_i; adaptive: the delta of least summed estimated mean squared error
             between = sigma_v^2, weight = gamma_i = sigma_v^2 / (sigma_v^2 + psi_i) (Fay-Herriot)
Departs      Of the paper's text only the abstract and the opening were at hand. From them: direct
             estimates are combined with regression-synthetic ones of domain-level covariates; the
             combination for small proportions is an alternative to EBLUP of the Fay-Herriot model;
             and the parameter of a sample-size-dependent composition, one for all domains, is
             chosen adaptively. The sample-size rule is Drew, Singh and Choudhry's (1982); with
             known sizes E n_i is in proportion to them, and with unequal weights r_i is estimated
             over known size; without sizes E n_i is the mean sample size. Chosen here, not taken
             from the paper: the smoothing with one design effect, the bias in proportion to
             P (1 - P) and its estimate by moments, the covariance of the two parts (exact
             for a weighted regression), the second-order term 2 g3 for the estimated weight (by
             analogy with Prasad and Rao 1990), the criterion for delta, and normal intervals from
             the estimated mean squared error, cut at 0 and 1. Without them a domain without a
             case would have variance 0 and stand for itself.
             Fay-Herriot is fitted by restricted likelihood, with the mean squared error g1 + g2 +
             2 g3; on the milk expenditures of 43 areas sigma_v^2 comes out as 0.01855033, as in
             samplics (the R package sae is quoted with 0.01855022). A group column adds one
             covariate, the rate expected from the groups' rates; its own error is not counted.
             Estimated errors came out some 20 % above the true mean squared errors in the
             simulations of the claims, since the bias cannot be estimated below 0.
Reference    Ciginas (2022), Design-based composite estimation of small proportions in small
             domains, arXiv:2202.13085. Sample-size rule: Drew, Singh and Choudhry (1982). Model:
             Fay and Herriot (1979); its error: Prasad and Rao (1990), Datta and Lahiri (2000);
             all in Rao and Molina (2015), Small Area Estimation.
"""

from __future__ import annotations

from statlas.statistics.composite_small_area.claims import (
    adapting_delta,
    competitive_with_eblup,
    mse_estimate,
    restricted_likelihood,
    robust_to_raw_variances,
    zero_counts,
)
from statlas.statistics.composite_small_area.estimators import (
    Components,
    adaptive_delta,
    components,
    composite,
    composite_mse,
    direct_estimates,
    optimal_weight,
    size_weight,
)
from statlas.statistics.composite_small_area.fay_herriot import FayHerriot, fit_fay_herriot
from statlas.statistics.composite_small_area.recipe import (
    DomainProportions,
    small_domain_proportions,
)

__all__ = [
    "Components", "DomainProportions", "FayHerriot", "adapting_delta", "adaptive_delta",
    "competitive_with_eblup", "components", "composite", "composite_mse", "direct_estimates",
    "fit_fay_herriot", "mse_estimate", "optimal_weight", "restricted_likelihood",
    "robust_to_raw_variances", "size_weight", "small_domain_proportions", "zero_counts",
]  # fmt: skip
