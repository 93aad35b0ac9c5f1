"""Which learning rate and batch size to train with, for a given size and number of tokens.

Answers      What are the best peak learning rate and batch size for N parameters and D tokens, how
             wide is the range of settings that are nearly as good, and how far can the rule be
             trusted?
Use when     a run is planned and published constants are a start (no table needed), or there are
             grids of finished runs over the learning rate, and best over the batch size too, for
             several pairs of N and D. Avoid it for checkpoints of longer schedules, where the
             optimiser, schedule or initialisation changes between cells, and for grids whose lowest
             loss always lies at an end.
Assumes      Near its lowest point log(loss) is a convex quadratic in the logarithms of settings;
             the best settings are power laws in N and D, off by independent errors.
Notation     N = parameters without embeddings and last layer, D = tokens; a cell is the runs of one
             N and D (D within 2 %). u = (log learning rate, log batch size in tokens), (n_axes,);
             log(loss) = c + b'u + u'Hu / 2 in the cell, lowest at u* = -H^-1 b;
             log lr* = log c_1 + alpha log N + beta log D, log batch* = log c_2 + gamma log D: the
             paper's law, published as lr = 1.79 N^-0.713 D^0.307 and batch = 0.58 D^0.571 tokens.
             Plateau: settings with a loss within `tolerance` % of the lowest; its width in one
             setting alone is exp(2 sqrt(2 log(1 + tolerance) / H_ii)), a factor from end to end.
             Cost of advice = loss there over the lowest of the cell, less 1. Learning rates are
             peak values; N, D and batches in plain numbers; logarithms are natural.
Departs      The authors pool all runs within 0.25 % of the lowest loss of their cell, take least
             squares of log settings on log sizes, and average 1,000 resamplings of runs. That is
             given beside (values "near-best runs"). Runs of one cell err together, though, and a
             few lucky ones decide, so here each optimum is located first: a quadratic by weighted
             least squares, with weights that fall to 0 at an excess loss of `window`, the same for
             all cells; its error from refits to fresh noise; then weighted least squares over the
             cells with a scatter between them. A lopsided valley shifts all optima of one grid
             alike, by up to about the error of taking the best of a grid (gap / sqrt 12): that
             floor enters the interval of each cell and the constant of the law, not its exponents.
             On planted valleys the exponents' error is a third of the pooled procedure's. An
             optimum at an end of the grid is a bound (Tobin's regression) and never a value; a cell
             whose batch size is bounded bounds its learning rate too, on the side to which the
             valley tilts. Exponents that cells leave open are borrowed from the published law, and
             said so.
             How confirmed: the laws' constants and form are those of the authors' repository, whose
             file of 1,000 refits has means exp(0.586) = 1.80, -0.713, 0.307, exp(-0.544) = 0.58 and
             0.571; the threshold of 0.25 % and the least squares are in its code. On the 17 dense
             cells of its data (1,911 runs) that procedure gives exponents -0.77 and 0.20 of the
             learning rate and 0.61 of the batch size; this module gives
             -0.77 (-0.87 to -0.65), 0.21 (0.16 to 0.27) and 0.58 (0.47 to 0.68). The published
             exponent of D for the learning rate is thus not that of the released grid: its fit must
             rest on runs beyond it. Allowed to, the batch size there falls with N (exponent -0.27,
             -0.36 to -0.18);
             the paper has none. The published law costs 0.03 % in those cells, as little as laws
             fitted to the other cells, and DeepSeek's 0.8 %, in line with what the paper says of
             its own (0.09 % on held-out runs). DeepSeek's and Porian's rules are as public
             calculators agree on; Kaplan's batch size is 2e8 loss^(-1/0.21) as in that paper.
             Microsoft's rule (Bjorck et al. 2024) is left out: its constant's units could not be
             confirmed. The paper's text was at hand in its opening only, so claims name its
             statements and not its sections.
             On the recorded grids the signs, the convexity, the plateau and the worth of the laws
             for unseen cells are as the paper says; that the batch size hardly depends on the
             number of parameters is not: its exponent is near -0.17, as negative as on the released
             data. Larger models learn from fewer tokens at a time there; the claim is kept.
Reference    Li, Zheng, Wang, Zhang, Wang et al. (2025), Predictable Scale: Part I, Step Law,
             arXiv:2503.04715, and its code and data (github.com/step-law/steplaw). Scatter: Paule
             and Mandel (1982), J. Res. Natl. Bur. Stand. 87:377.
"""

from __future__ import annotations

from statlas.scaling.step_law.cells import Cell, Valley, find_valleys, make_cells
from statlas.scaling.step_law.claims import (
    batch_ignores_parameters,
    batch_rises_with_tokens,
    better_than_one_setting,
    convex_valleys,
    planted_coverage,
    planted_optima,
    plateau_width,
    rate_falls_with_parameters,
    rate_rises_with_tokens,
)
from statlas.scaling.step_law.laws import Optima, PowerLaw, fit_power_law
from statlas.scaling.step_law.published import RULES, step_law, step_law_intervals
from statlas.scaling.step_law.recipe import StepLaw, best_hyperparameters
from statlas.scaling.step_law.surrogate import Surrogate, fit_surrogate, plateau_widths

__all__ = [
    "Cell", "Optima", "PowerLaw", "RULES", "StepLaw", "Surrogate", "Valley", "best_hyperparameters",
    "find_valleys", "fit_power_law", "fit_surrogate", "make_cells", "plateau_widths", "step_law",
    "step_law_intervals",
    "batch_ignores_parameters", "batch_rises_with_tokens", "better_than_one_setting",
    "convex_valleys", "planted_coverage", "planted_optima", "plateau_width",
    "rate_falls_with_parameters", "rate_rises_with_tokens",
]  # fmt: skip
