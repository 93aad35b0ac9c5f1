"""How far scores that were never measured can be predicted, and a few tasks that stand for many.

Answers      How would a model score on a task that it was never run on, judging from past records
             of other models and tasks, how far is such a guess to be trusted, and which few tasks
             should be run so that the others can be inferred?
Use when     there are some hundred records or more: task, model (family and size), shots and score;
             cells may be missing. Avoid it for causes, and for families or tasks wholly unlike the
             records: the last protocols of the table show what is left then.
Assumes      Scores are on one scale. Held-out groups are like those to be predicted: a score is as
             hard as its protocol only if what was not run was not left out because of its score.
Notation     score[u, c] of row u (a model: a family at one size) and column c (a task at a number
             of shots). Protocols by what is held out together: L1 single records; L2.1 (task,
             family, size); L2.2 (task, family, shots); L3 (task, family); L4 (group of tasks,
             family). R2 = 1 - squared error / squared deviation from the mean of the held-out
             scores of a fold; table: mean over folds. gain = 1 - squared error / that of
             "model + task".
             "model + task": mu + b_u + b_c, ridge 15 and 10, ten sweeps. "nearest": that plus
             the mean deviation of the 40 most similar rows (or columns), similarity the shrunk
             correlation of deviations. "factors": mu + b_u + b_c + p_u . q_c.
             Kept tasks S: other scores are the conditional mean given those of S (and of size and
             shots) under the mean and covariance of the other families' rows.
Departs      The text of the paper was not at hand; protocols, predictors and searches follow the
             authors' code (its splits are L1, L2.1, L2.2, L3 and L4; there is no L2.3).
             Predictors have fixed settings where the paper tunes each by 200 random trials on a
             development part. The two baselines agree with scikit-surprise 1.1.5, which the paper
             uses, to rounding. "factors" replaces its SVD by stochastic gradients: priors linear
             in family, sizes, task and shots and variational Bayes, which on the example leaves a
             third of the squared error (R2 0.95 against 0.85). XGBoost is replaced by
             scikit-learn's boosted trees, on categories and on what the baseline leaves. Numbers
             are logarithms of size, tokens, compute and 1 + shots only.
             Whole families and whole tasks are held out as well. Intervals are added: of R2, over
             folds with Nadeau and Bengio's correction for overlapping training parts; of a missing
             score, the conformal quantile of held-out residuals under the protocol that matches
             what is not known of it. Groups, not records, are exchangeable there, so that coverage
             is approximate; the claim measures it.
             The search tries sets of tasks with the conditional mean above and not with a network,
             so that greedy search is exact and takes milliseconds. Nested as in the paper: the
             family that judges a set took no part in choosing it; the search maximises the mean R2
             over the other families in turn (the paper's greedy search used one fixed family).
             Clusters are of the tasks' leading axes of correlation, not of a network's first layer.
             A task's value is the mean R2 of the random sets with it; the lowest quarter is left
             out before clustering. The paper's own such sets of 42 hold 99 different tasks, more
             than the top quarter of its 313, which the name of its files might also mean.
             As in the paper R2 is over the tasks not kept, so keeping hard tasks counts as a gain.
Reference    Ye, Fu, Ren and Jia (2023), How Predictable Are Large Language Model Capabilities? A
             Case Study on BIG-bench, arXiv:2305.14947, and its code
             (github.com/INK-USC/predicting-big-bench).
"""

from __future__ import annotations

from statlas.scaling.bigbench_predict.claims import (
    chosen_tasks,
    diverse_tasks,
    harder_split,
    interval_coverage,
    random_split,
)
from statlas.scaling.bigbench_predict.evaluation import (
    HeldOut,
    hold_out,
    predict_cells,
    r_squared,
    resampled_interval,
    situation,
)
from statlas.scaling.bigbench_predict.factors import (
    additive_of,
    factorise,
    fit_additive,
    nearest,
)
from statlas.scaling.bigbench_predict.predictors import PREDICTORS
from statlas.scaling.bigbench_predict.recipe import PredictableScores, predict_scores
from statlas.scaling.bigbench_predict.records import Records, missing_cells, read_records
from statlas.scaling.bigbench_predict.smallbench import (
    Grid,
    fit_columns,
    greedy,
    make_grid,
    nested_search,
    recover,
    recover_many,
    rehearse,
)
from statlas.scaling.bigbench_predict.splits import PROTOCOLS, Protocol, groups_of, make_folds

__all__ = [
    "PREDICTORS", "PROTOCOLS", "Grid", "HeldOut", "PredictableScores", "Protocol", "Records",
    "additive_of", "factorise", "fit_additive", "fit_columns", "greedy", "groups_of", "hold_out",
    "make_folds", "make_grid", "missing_cells", "nearest", "nested_search", "predict_cells",
    "predict_scores", "r_squared", "read_records", "recover", "recover_many", "rehearse",
    "resampled_interval", "situation",
    "chosen_tasks", "diverse_tasks", "harder_split", "interval_coverage", "random_split",
]  # fmt: skip
