"""Width, depth, size and tokens in one law, and how far its advice hangs on the analysis.

Reference    arXiv:2502.06857.
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
