"""Prior and posterior networks: one forward pass gives a prediction and its doubt in two parts.

Answers      Can a network report in one pass both its prediction and how much of its doubt comes
             from lack of evidence rather than from noise, and which variant should do it?
Use when     ensembles or sampling are too slow and doubt is needed to rank rows (hold back, send
             to a person, collect more like it). Avoid it where the size of epistemic uncertainty
             matters: no loss here recovers it (three claims measure that); an ensemble is safer.
Assumes      rows inside the distribution are independent and alike; outside rows are marked, never
             guessed. Prior networks assume that outside rows to come are like those trained on.
Notation     concentration = alpha (n, n_classes), its sum alpha_0 = evidence; p = alpha / alpha_0.
             Of labels, in nats: total = H[E p], aleatoric = E H[p], epistemic = the difference
             I[y, p]; of numbers the same with differential entropies of Student's predictive
             distribution and of the noise. Normal-inverse-gamma: location = gamma, evidence = nu,
             shape = alpha, scale = beta; E variance = beta / (alpha - 1), Var mean =
             beta / (nu (alpha - 1)). Families: see `TAXONOMY` and `statlas run evidential`;
             weight = lambda of the regulariser. Areas under the ROC curve: 0.5 is chance.
Departs      The survey's text was not at hand: families are from the papers that it cites as far as
             known, and from public code of posterior networks, natural posterior networks and
             deep evidential regression. Link to concentrations: exp for belief matching, prior
             networks and precision gap; one plus softplus (the paper takes ReLU, whose evidence
             can die) for evidential and information-robust networks. Defaults of `weight` are ours
             except 0.01 of deep evidential regression and 1e-5 of the posterior families; the
             target of prior networks is 1 + 10 at the label (100 on images in the paper; on small
             tables with overlapping classes 100 made one wrong label outweigh the rest and
             training stop at once); the outside weight of the precision
             gap is 1 / K - 1 / 2, which we could not confirm.
             Densities: mixtures of normals by default (the posterior network's code has them),
             or radial flows as in the papers. An early look on digits decided this: eight
             radial layers were three times slower, and a single flow gave strange digits more
             evidence than known ones (area 0.1, 0.6 after fitting the flow again). Batch
             normalisation before the density in both families. The natural classifier fits its
             density again after training, with the encoder fixed, as its code does; the regressor
             does not: its 90 % intervals then covered 51 % on the diabetes data. No warm-up.
             Without `family` the recipe takes belief matching for labels and deep evidential
             regression for numbers: both train in a fraction of the time of the densities.
             Not here: distillation, generated outside rows, several responses, graphs; the guide
             says why. Doubt of a plain network is one minus its largest probability.
             Findings, kept as measured: whether a posterior network finds unseen digits, unseen
             wine cultivars or turned digits better than the largest probability of a plain
             network changes from split to split (by 0.2 of area on wine and turned digits); the
             claims give the means. On small tables the encoder decides what looks familiar:
             strange rows that it maps onto a class get that class's evidence. Evidence of the
             losses of second order depends on the weight of the regulariser and not on the number
             of rows.
Reference    Ulmer, Hardmeier and Frellsen (2021), Prior and Posterior Networks: A Survey on
             Evidential Deep Learning Methods For Uncertainty Estimation, arXiv:2110.03051.
             Criticism: Bengs, Huellermeier and Waegeman (2022), arXiv:2203.06102; Meinert,
             Gawlikowski and Lavin (2022), arXiv:2205.10060.
"""

from __future__ import annotations

from statlas.uncertainty.evidential.claims import (
    accuracy_kept,
    epistemic_variance_stays,
    evidence_set_by_weight,
    evidence_without_end,
    rotated_digits,
    unseen_cultivar,
    unseen_digits,
)
from statlas.uncertainty.evidential.dirichlet import (
    aleatoric_uncertainty,
    differential_entropy,
    divergence,
    epistemic_uncertainty,
    expected_pairwise_divergence,
    mean_probabilities,
    total_uncertainty,
    vacuity,
)
from statlas.uncertainty.evidential.estimators import EvidentialClassifier, EvidentialRegressor
from statlas.uncertainty.evidential.inverse_gamma import NormalInverseGamma
from statlas.uncertainty.evidential.losses import CLASS_LOSSES, NUMBER_LOSSES
from statlas.uncertainty.evidential.recipe import (
    EvidentialReport,
    FamilyGuide,
    evidential_networks,
)
from statlas.uncertainty.evidential.scores import area_gain, area_interval
from statlas.uncertainty.evidential.taxonomy import BRANCHES, TAXONOMY, Approach

__all__ = [
    "BRANCHES", "CLASS_LOSSES", "NUMBER_LOSSES", "TAXONOMY", "Approach", "EvidentialClassifier",
    "EvidentialRegressor", "EvidentialReport", "FamilyGuide", "NormalInverseGamma",
    "accuracy_kept", "aleatoric_uncertainty", "area_gain", "area_interval", "differential_entropy",
    "divergence", "epistemic_uncertainty", "epistemic_variance_stays", "evidence_set_by_weight",
    "evidence_without_end", "evidential_networks", "expected_pairwise_divergence",
    "mean_probabilities", "rotated_digits", "total_uncertainty", "unseen_cultivar",
    "unseen_digits", "vacuity",
]  # fmt: skip
