"""Width, depth, size and tokens in one law, and how far its advice hangs on the analysis.

Answers      Should the network be made wider or deeper as it grows, how large should it be and
             how long trained at a budget, and would another sensible analysis of the same runs
             say something else?
Use when     there are checkpoints of at least five trainings (`parameters`, `tokens`, `loss`),
             for the law in shape with `width` and `depth` that vary apart. The multiverse shows
             how much an answer hangs on the analysis, not which analysis is right. Avoid it where
             all trainings have the same number of tokens, or where each shape had another
             learning rate than its best.
Assumes      One kind of data and architecture; an early checkpoint stands for a training that
             ends there (a constant learning rate, or name the `stage`). Laws: loss = E + A
             N^-alpha + B D^-beta, or loss = E + A_w width^-alpha_w + A_d depth^-alpha_d + A_N
             N^-alpha_N + A_D D^-alpha_D. Trainings are independent; their checkpoints are not.
Notation     N parameters, D tokens, C operations (FLOP). An analysis is one level of each choice:
             approach (lines through the hull of log C and log loss; the law in N and D; the law
             in shape), fitting loss, checkpoints (all; the first `split` of each training; the
             rest; the last; near the hull; each stage), sizes held out, what N counts, what C
             counts ("6 N"; as given; 6 x weights with attention, 6 context x width x depth;
             device hours, at the median row's operations an hour). Exponent: d log N / d log C at
             the target. With cost of a token k N^m the best size of the law in N and D is closed
             form in M = k N^m / 6. Best shape: continuous width and depth with the least loss at
             C = D x cost(width, depth), cost and N as c0 d w^2 + c1 d w + c2 w + c3 fitted to the
             table's shapes. Shares of variance of the (log) outcome over analyses: alone Var E[y
             | choice] / Var y, in all E Var[y | other choices] / Var y.
Departs      The paper lists prescriptions; the shares, the shifts of each level and all intervals
             are ours. Draws take whole trainings with replacement, the same in every analysis;
             parameters move by a few Gauss-Newton steps from the fit (`drawing="refit"` minimises
             to the end; for squares the same, for Huber's function correlated 0.95 with it in the
             law of sizes, and as little as 0.2 to 0.4 in the law of shapes where the data leave it
             open).
             Repeated trainings of one shape are averaged, weighted by their number. The hull has
             no fitting loss and stands once for each in the shares. Early and late are shares of
             each training's own tokens (the paper: up to 100 and above 120 of 350 thousand
             million). Analyses whose tokens hardly vary, whose law does not fall with size or
             tokens, or whose exponents the runs leave open, are set aside and counted. Where
             trainings are repeated, a law's misfit is set against their noise. How confirmed,
             against the authors' code and released tables (not kept here): parameters of all 22
             models exactly; approach 1's lines of all ten printed fits to 1e-10; the objective at
             every printed optimum of approach 3 to the printed digits. The engine's fits are at
             least as good as all 42 printed ones and better by more than 0.05 % of the objective
             in 12: there the authors' search stopped short, which moves the exponent by up to
             0.18 (512 wide only), 0.09 (their Chinchilla subset) and 0.04 (cooled down, 0.661 for
             0.699), so some of the printed spread is the optimiser's. Their count of operations
             halves the product of queries and keys for causality but not that of scores and
             values; "without embeddings" takes away one layer of vocabulary x width in approach 3
             and two in approach 1; here it is always blocks alone. The text of the paper was not
             at hand beyond its abstract: places of claims are those of figures and tables in the
             authors' code.
Reference    McLeish, Kirchenbauer, Miller, Singh, Bhatele, Goldblum et al. (2025), Gemstones: A
             Model Suite for Multi-Faceted Scaling Laws, arXiv:2502.06857, and its code
             (github.com/mcleish7/gemstone-scaling-laws). Parametric form: Hoffmann et al. (2022),
             arXiv:2203.15556. Shares: Saltelli et al. (2010), Comput. Phys. Commun. 181:259.
"""

from __future__ import annotations

from statlas.scaling.gemstones.accounting import (
    fit_shape_map,
    gemstone_flops_per_token,
    gemstone_parameters,
    recount,
)
from statlas.scaling.gemstones.cells import Plan, allocate_size_law, run_multiverse
from statlas.scaling.gemstones.claims import (
    best_ratio,
    choices_move,
    draws_cover,
    late_checkpoints,
    shape_predicts,
)
from statlas.scaling.gemstones.hull import hull_lines, lower_hull, near_hull
from statlas.scaling.gemstones.law import WIDTH_DEPTH, WIDTH_DEPTH_SIZE
from statlas.scaling.gemstones.recipe import PrescriptionMultiverse, width_depth_multiverse
from statlas.scaling.gemstones.shape import best_shapes
from statlas.scaling.gemstones.shares import variance_shares

__all__ = [
    "WIDTH_DEPTH", "WIDTH_DEPTH_SIZE", "Plan", "PrescriptionMultiverse", "allocate_size_law",
    "best_shapes", "fit_shape_map", "gemstone_flops_per_token", "gemstone_parameters",
    "hull_lines", "lower_hull", "near_hull", "recount", "run_multiverse", "variance_shares",
    "width_depth_multiverse",
    "best_ratio", "choices_move", "draws_cover", "late_checkpoints", "shape_predicts",
]  # fmt: skip
