"""From the statistics an ecologist knows to machine learning, each tool run on an ecological table.

Answers      Which tool fits my question about species, traits or sites, what does it gain or lose
             against a GLM on my table, and how much of its error do folds at random hide?
Use when     you know regression and look for a starting point. Avoid it where the tool is settled,
             and for causal questions: the guide says how far an effect is confounded with the
             covariates at hand, and no more.
Assumes      rows (or groups, or clusters of neighbouring sites) independent of each other; new ones
             like those seen. Intervals over blocks need several: below 8 they are rough.
Notation     loss = squared error, or 1 for a wrong class; error = root of the mean loss, or share
             of wrong classes; gain = share of the GLM's mean loss that a tool saves, with a
             paired Student's interval over rows or blocks (cluster-robust); blocked = folds keep
             groups whole, or clusters of coordinates by k-means; settings are tuned by three folds
             within each training part, in blocks where there are any; importance = loss added by
             shuffling a covariate among rows held out, over the loss; accumulated local effect as
             Apley and Zhu (2020).
Departs      Of the review the abstract was at hand, so entries and points are those of its field
             and may be in other places there. Deep nets for images and sounds need their data and
             are left to the catalogue (`see_also`); the neural network here has one hidden layer.
             The boosted trees are histogram-based. A label of a single level, or with a level a
             row, is left out of the covariates. On the shipped penguins all tools have nearly the
             same error with folds at random (290 to 310 g of body mass) and nearly three times that
             on populations never seen, so which one is taken matters least. The support vector
             machine is left out above 5,000 rows, and the result says so. Random effects, joint
             species models and detection are not in the guide.
Reference    Pichler and Hartig (2022), Machine Learning and Deep Learning -- A review for
             Ecologists, arXiv:2204.05023. Penguins: Gorman, Williams and Fraser (2014, PLoS ONE
             9(3):e90081). Effects: Apley and Zhu (2020, J. R. Stat. Soc. B 82:1059-1086).
"""

from __future__ import annotations

from statlas.statistics.ecology_review.claims import (
    adjusted_slope,
    averaging_trees,
    blocks_tell_the_truth,
    choice_within_folds,
    no_free_lunch,
    shrinkage,
)
from statlas.statistics.ecology_review.recipe import EcologyGuide, choose_ecology_tool
from statlas.statistics.ecology_review.tools import TOOLS, Tool
from statlas.statistics.ecology_review.validation import (
    Fit,
    OutOfFold,
    accumulated_local_effects,
    block_folds,
    fit_tool,
    mean_interval,
    out_of_fold,
    permutation_losses,
    random_folds,
    spatial_blocks,
)

__all__ = [
    "TOOLS", "EcologyGuide", "Fit", "OutOfFold", "Tool", "accumulated_local_effects",
    "adjusted_slope", "averaging_trees", "block_folds", "blocks_tell_the_truth",
    "choice_within_folds", "choose_ecology_tool", "fit_tool", "mean_interval", "no_free_lunch",
    "out_of_fold", "permutation_losses", "random_folds", "shrinkage", "spatial_blocks",
]  # fmt: skip
