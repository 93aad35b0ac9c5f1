"""Learning curves in three regions, their steepness, and how models must grow with data.

Answers      How does error fall as examples are added, where does the power law begin and where
             does a floor take over? Is a better model steeper, or only lower? How large a model
             does a number of examples ask for?
Use when     there is error at six or more training set sizes over a factor of ten or more, for one
             model or several. Avoid it where models were not tuned at each size (the slope is then
             one of the tuning), and for the value of a floor that the curve does not come near.
Assumes      Errors carry independent relative noise; each curve falls as one power law between its
             ends. Slopes are compared with one form for all curves of a task.
Notation     m (here n, in laws x) training examples, error e(m), E irreducible error, B error of
             the best guess, alpha = -beta_g the exponent (steepness), all in natural logarithms.
             Power-law region: e(m) = A m^-alpha + E, which is the paper's e(m) ~ alpha m^beta_g +
             gamma. Three regions: e(m) = E + (B - E) (1 + (m / m0)^4)^(-alpha / 4), whose
             asymptotes meet at m0, where the power law begins; the floor takes over where
             (B - E) (m / m0)^-alpha = E. Growth of the best model size: s(m) = scale m^beta.
             Weight of a form: exp(-BIC / 2), over the sum of all forms.
Departs      The paper sketches the three regions and fits the middle one by eye; the smooth law of
             all three, the choice by BIC, the ends with intervals and the weights are ours. An
             exponent's interval draws from all forms by their weight, so that not knowing which
             regions there are is part of it. The end of the small-data region is within a factor
             of 2 of m0, by the fourth power, which is fixed: data seldom determine it.
             Slopes: the paper compares exponents of separate fits by eye. Here a joint fit with one
             exponent stands against separate ones (F test, BIC, AICc), every curve weighted by its
             own scatter, and each model against a baseline (difference with interval;
             "same slope" if the interval at 2 level - 1 lies within `margin`, two one-sided tests).
             Model size: the paper takes the smallest size that fits a shard best from a grid;
             here the vertex of a parabola in log size near the lowest error, only if it lies inside
             the sizes tried, with the errors' noise. A family's learning curve is that of its best
             size, as in the paper, and a bit low by chance.
             The form e(m) ~ alpha m^beta_g + gamma and beta_g between -0.35 and -0.07 were
             confirmed in a published summary of the paper and its authors' announcement, the
             claims in its abstract; its tables of exponents were not at hand.
             The paper's models are deep networks tuned at every size. The recorded curves are of
             small classifiers, not tuned, and on them improvements do more than shift: the better
             of two models of a task is steeper by 0.074 on average where better means at the
             largest size (0.054 by mean log error, 0.005 at the smallest: part of it is selection),
             and one slope for two models has the lower BIC in 55 % of pairs only, which leaves the
             claim undecided. The best size of decision trees grows as the examples to the power of
             0.3 to 0.4.
Reference    Hestness, Narang, Ardalani, Diamos, Jun, Kianinejad, Patwary, Yang and Zhou (2017),
             Deep Learning Scaling is Predictable, Empirically, arXiv:1712.00409.
"""

from __future__ import annotations

from statlas.scaling.predictable_scaling.claims import (
    better_is_not_steeper,
    exponent_coverage,
    improvements_only_shift,
    models_grow_sublinearly,
    planted_exponent,
    shift_is_not_rejected,
)
from statlas.scaling.predictable_scaling.growth import best_sizes, fit_growth
from statlas.scaling.predictable_scaling.law import (
    FORMS,
    GUESSING_POWER_LAW,
    THREE_REGIONS,
    ends_of_power_region,
    joint_law,
)
from statlas.scaling.predictable_scaling.recipe import ScalingOfCurves, learning_curve_regions
from statlas.scaling.predictable_scaling.regions import compare_forms, find_regions, region_of
from statlas.scaling.predictable_scaling.steepness import compare_with_baseline, test_shared

__all__ = [
    "FORMS", "GUESSING_POWER_LAW", "THREE_REGIONS", "ScalingOfCurves", "best_sizes",
    "compare_forms", "compare_with_baseline", "ends_of_power_region", "find_regions",
    "fit_growth", "joint_law", "learning_curve_regions", "region_of", "test_shared",
    "better_is_not_steeper", "exponent_coverage", "improvements_only_shift",
    "models_grow_sublinearly", "planted_exponent", "shift_is_not_rejected",
]  # fmt: skip
