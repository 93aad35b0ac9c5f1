"""A training plan from device hours: size, tokens, shape, time and energy, with uncertainty.

Answers      With this many device hours, how large a model should be trained, on how many tokens,
             in what shape; how long will it take, and what does it cost in operations, energy and
             money?
Use when     you write a grant, a request for a cluster or a training plan. Give your own
             utilisation, or a table of own runs whose losses give the law and whose hours give
             the utilisation. Avoid it for models that are mostly served, unless `served_tokens`
             says how much; for mixtures of experts, whose cost does not follow from their size;
             and far beyond the budgets of the runs behind a law.
Assumes      The law holds at the budget. A dense decoder; two operations a weight and token
             forward, four backward. The law's N x D is paid at 6 N D, a shape at its exact cost.
             Utilisation (MFU: operations of the model, recomputation not counted, over peak x
             time) is normal on the scale of logits and independent of size and shape.
Notation     C = devices x hours x 3600 x peak x utilisation x (1 - lost), in operations (FLOP); N
             parameters, D tokens; 1 PF-day = 8.64e19 FLOP. Laws of the loss: E + A N^-alpha + B
             D^-beta, best N = G (C / 6)^(beta / (alpha + beta)) with G^(alpha + beta) = alpha A /
             (beta B), Eq. (4) of Hoffmann et al.; laws of the size: N ~ C^a. Limits: D at least
             `tokens_least`, at most `tokens_available` x `epochs`; serving adds 2 N operations a
             token served to the same budget. Exact cost of a token: 3 times the forward products,
             attention over half a context and the vocabulary included
             (`core.numerics.transformer_costs`). Rule of depth (Levine et al.): log(width) =
             5.039 + 0.0555 depth. `chance`: the plan is for the budget that is reached with this
             chance. Memory: 18 bytes a parameter without activations.
Departs      The paper plans with single numbers; here utilisation and law are drawn together, all
             laws are shown side by side, and hours come with a chance. Its own law is known to us
             by one point only, 392e9 parameters on 165e9 tokens for 4,500 PF-days; its exponent
             here (`law="bloom"`) is Kaplan et al.'s 0.73, an assumption. The default utilisation,
             32 % (18 to 50 %), is the median and 95 % range of 6 N D over hours x peak in the 20
             published trainings of `published.TRAININGS` with reported hours, not the paper's
             100e12 of 312e12 operations a second. The default law is the re-analysis of Hoffmann
             et al.'s runs, with the covariance of a bootstrap of our refit; other published laws
             have no believable error and are taken as exact. A table's law is set against the
             noise between repeated runs, and doubted where it misses them by more than twice
             that, as in the example. Shapes are those nearest to the rule of depth whose size
             fits within 5 % and whose widths, heads and blocks divide as asked; the authors' last
             step, timing hundreds of them on the machine, is yours. Their shape (70 blocks of
             14,336) is shallower than the rule's 80 blocks of 13,312 for that reason. How
             confirmed: the text of the paper was not at hand beyond its abstract; the budget,
             392e9 and 165e9 and the final shape were taken from its authors' announcement and
             training notes, the 80 blocks and the PF-days are recalled; all agree with each other
             in this accounting to 2 % (1,161,261 hours are printed where 18 weeks x 384 are
             1,161,216). Shapes of 28 published models reproduce their stated sizes to 1 % (Gopher
             and Chinchilla, whose relative positions have weights of their own, to 8 %), BLOOM's
             to the last weight.
             Levine et al.'s constants reproduce their printed 95 blocks of 30,000 for 1e12
             parameters. Peaks are those of data sheets, for dense products.
Reference    Le Scao, Wang, Hesslow, Saulnier, Bekman, Bari et al. (2022), What Language Model to
             Train if You Have One Million GPU Hours?, arXiv:2210.15424. Laws: Kaplan et al.
             (2020), arXiv:2001.08361; Hoffmann et al. (2022), arXiv:2203.15556; Besiroglu et al.
             (2024), arXiv:2404.10102; Llama team (2024), arXiv:2407.21783. Shape: Levine et al.
             (2020), arXiv:2006.12467. Serving: Sardana et al. (2024), arXiv:2401.00448. Repeated
             text: Muennighoff et al. (2023), arXiv:2305.16264.
"""

from __future__ import annotations

from statlas.scaling.million_gpu_hours.allocation import (
    Limits,
    allocate_loss_law,
    allocate_size_law,
)
from statlas.scaling.million_gpu_hours.budget import (
    Utilisation,
    operations,
    utilisation_from_hours,
)
from statlas.scaling.million_gpu_hours.claims import (
    counted_operations,
    exact_operations,
    planned_hours,
    printed_plan,
    size_interval,
)
from statlas.scaling.million_gpu_hours.hardware import ACCELERATORS, peak_rate
from statlas.scaling.million_gpu_hours.plan import devices_for_state, make_plan
from statlas.scaling.million_gpu_hours.published import LAWS, TRAININGS, utilisation_of
from statlas.scaling.million_gpu_hours.recipe import TrainingPlan, plan_training
from statlas.scaling.million_gpu_hours.shapes import Architecture, choose_shapes, levine_depth

__all__ = [
    "ACCELERATORS", "LAWS", "TRAININGS", "Architecture", "Limits", "TrainingPlan", "Utilisation",
    "allocate_loss_law", "allocate_size_law", "choose_shapes", "devices_for_state", "levine_depth",
    "make_plan", "operations", "peak_rate", "plan_training", "utilisation_from_hours",
    "utilisation_of",
    "counted_operations", "exact_operations", "planned_hours", "printed_plan", "size_interval",
]  # fmt: skip
