"""Answers from sets: any number of members, in any order.

Answers      What number or label belongs to a whole set of rows, which member of a set does not
             belong, and what would extend it; and what is respecting the set worth on these data?
Use when     a case is a collection without order and of varying size, and there are some hundred
             cases. Avoid it where order carries meaning, where relations between pairs of members
             decide (pooling once is a narrow door), and with a few dozen sets, where summary
             statistics and a linear model usually win; the recipe shows both.
Assumes      sets are independent of each other; a set's answer does not depend on the order of its
             members; new sets are like those trained on (sums carry over to other sizes only as
             far as the last network does).
Notation     members = x_m, the rows of all sets one after the other, (n_members, n_features)
             sizes = M of each set, (n_sets,); phi, rho = the networks of Theorem 2,
             f(X) = rho(sum phi(x)); own, pooled = lambda and gamma of Lemma 3,
             Theta = lambda I + gamma 1 1^T, and of Eq. (4), lambda x + gamma maxpool(x) 1, as
             matrices between features; scores = s(x | X), log of the softmax over members
             (Section 4.3) or fit of a candidate (Section 4.2); targets and errors in the unit of
             the target column, probabilities without unit.
Departs      Sets are never padded: members of all sets lie in one matrix and are pooled by segment.
             Sums are divided by the mean size of the training sets, a constant that only sets the
             scale at which rho starts. Mean pooling is offered as in the official code; it does
             not see the size of a set. The layer of Eq. (4) is also offered with sums and means;
             sums are the default of the outlier detector, where the paper takes maxima: on the
             small numeric problem of the tests maxima found half the odd members, sums nearly all.
             The paper is silent on most of the training: here ELU between layers, Adam with
             decoupled weight decay on standardised features and targets, gradients clipped at
             norm 5, and the parameters of the epoch with the lowest loss on a fifth of the sets
             are kept. Everything is float64 on one CPU thread, so that answers do not depend on
             the machine's cores; shuffling moves them by rounding errors only.
             Set expansion: the margin between members and others is 1 for all pairs, and queries
             are random subsets of the training sets.
             The recipe's baselines (padded rows, summary statistics with a linear model, a
             constant) and its intervals over sets are not the paper's. Its claim on population
             statistics is measured against padded rows, not against the paper's kernel baseline;
             that on sums of digits against mean pooling, not recurrent networks.
             Known answers: closed forms of pooled identities, the dense matrix of Lemma 3,
             enumeration of permutations, finite differences.
Reference    Zaheer et al. (2017), Deep Sets, NeurIPS, arXiv:1703.06114, Sections 2 to 4.
"""

from __future__ import annotations

from statlas.inference.deep_sets.claims import (
    equivariance,
    invariance,
    longer_sums,
    odd_member,
    population_statistic,
)
from statlas.inference.deep_sets.estimators import (
    DeepSetClassifier,
    DeepSetRegressor,
    PaddedClassifier,
    PaddedRegressor,
    SetExpander,
    SetOutlierDetector,
)
from statlas.inference.deep_sets.networks import EquivariantLayer, MemberNetwork, SetNetwork, pool
from statlas.inference.deep_sets.prediction import SetPrediction, predict_sets
from statlas.inference.deep_sets.sets import PackedSets, pack_sets, summary_statistics

__all__ = [
    "DeepSetClassifier",
    "DeepSetRegressor",
    "EquivariantLayer",
    "MemberNetwork",
    "PackedSets",
    "PaddedClassifier",
    "PaddedRegressor",
    "SetExpander",
    "SetNetwork",
    "SetOutlierDetector",
    "SetPrediction",
    "equivariance",
    "invariance",
    "longer_sums",
    "odd_member",
    "pack_sets",
    "pool",
    "population_statistic",
    "predict_sets",
    "summary_statistics",
]
