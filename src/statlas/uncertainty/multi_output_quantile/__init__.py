"""One region for several responses at once, of any shape, with finite-sample coverage.

Answers      What region holds all targets of a new row together with probability `level`, and how
             large is it beside a box of separate intervals or an ellipsoid?
Use when     there are two to about five dependent numeric targets, numeric features, and some
             hundred rows or more (a thousand to beat an ellipsoid by much); above all where targets
             lie along a curve or in several groups. Avoid it for one target (ordinary conformal
             intervals) and for long vectors.
Assumes      Rows are exchangeable; nothing else for coverage, which is on average over calibration
             rows and new rows, not for each kind of row (see `worst_slab_coverage`).
Notation     x, y: standardised features (n, p) and responses (n, d); z: latent response of r
             numbers, E(y; x) a draw from the encoder and D(z; x) the decoder of a conditional
             variational autoencoder (`ConditionalAutoencoder`); u: unit vectors, f(x, u) the
             tau-quantile of u'z given x (`DirectionalQuantiles`), tau = direction_level;
             R_Z(x) = {z: u'z >= f(x, u) for all u}, convex; R_Y(x) = {D(z; x): z in R_Z(x)}, given
             by a cloud S(x) of its points: y is in R_Y(x) if it is within `tolerance` of S(x), the
             distance within which 90 % of the cloud have a neighbour, or in a hole between.
             Score s(x, y): distance from S(x) for y outside R_Y(x), minus the distance from the
             nearest probe outside for y inside. radius Q = ceil((n + 1) level)-th smallest score
             of n calibration rows. Region {y: s(x, y) <= Q}: grown for Q > 0, shrunk for Q < 0.
             Areas are in the product of the targets' units, by uniform draws in a box around the
             region, with their binomial standard error.
Departs      Made after the authors' code (its losses, tau, tolerance, growth and shrinkage, box of
             latent points, synthetic data); the paper's text beyond its abstract was not at hand,
             so sections named by the claims are by subject. The code chooses between growing and
             shrinking by the coverage of the calibration rows and then takes one of two scores;
             here both are one signed score, so exact coverage needs no argument about the choice,
             and growing never drops points of the region as trained. Latent points are shifted
             Sobol points, probes of the outside another such set in a box around each region (the
             code: grids over the range of all responses). Probes in holes between points of the
             cloud count as inside, not outside (`PointRegion.inside`): with the code's rule
             (farther from the cloud than 90 % of its points from a neighbour) shrinking a unit disc
             by 0.2 left 10 % of its area in place of 64 %. Where no latent point is in R_Z(x), the
             one that lacks least is taken, so no region is empty. z is drawn anew at each step.
             Leaky rectifiers, two stages of learning rate, and kl_weight = 0.1 on standardised
             responses (the code's 0.01 has a normalisation that was not seen). tau is (1 - level) /
             2, the code's 0.05 at level 0.9; the code takes 0.02 to 0.07 by data set. Boxes:
             quantiles at Bonferroni levels, widened together as in the code. Ellipsoids, the worst
             slab and `predict` (image of the deepest latent point) are not the paper's. On the
             curved band the regions have about 0.6 of the area of plain directional regions and
             half of that of boxes, at equal coverage, after seconds of training. On bills of 333
             penguins no gain over boxes can be shown: that claim is kept as it came out. With one
             target and the identity as representation the region is the conformalised quantile
             interval, up to the spacing of the points.
Reference    Feldman, Bates and Romano (2023), Calibrated Multiple-Output Quantile Regression with
             Representation Learning, J. Mach. Learn. Res. 24, arXiv:2110.00816, and its code
             (github.com/shai128/mqr). Worst slab: Cauchois, Gupta and Duchi (2021), J. Mach. Learn.
             Res. 22:81.
"""

from __future__ import annotations

from statlas.uncertainty.multi_output_quantile.claims import (
    covers_at_level,
    covers_real_rows,
    shrinks_to_the_level,
    smaller_on_penguins,
    smaller_than_boxes_and_ellipsoids,
    smaller_than_convex,
)
from statlas.uncertainty.multi_output_quantile.data import curved_band
from statlas.uncertainty.multi_output_quantile.diagnostics import (
    SlabCoverage,
    cluster_rows,
    worst_slab_coverage,
)
from statlas.uncertainty.multi_output_quantile.estimators import (
    Areas,
    BoxRegressor,
    EllipsoidRegressor,
    MultiOutputQuantileRegressor,
    ellipsoid_volume,
)
from statlas.uncertainty.multi_output_quantile.networks import (
    ConditionalAutoencoder,
    DirectionalQuantiles,
    sphere_directions,
)
from statlas.uncertainty.multi_output_quantile.recipe import RegionReport, response_region
from statlas.uncertainty.multi_output_quantile.regions import PointRegion, unit_points

__all__ = [
    "Areas", "BoxRegressor", "ConditionalAutoencoder", "DirectionalQuantiles",
    "EllipsoidRegressor", "MultiOutputQuantileRegressor", "PointRegion", "RegionReport",
    "SlabCoverage", "cluster_rows", "covers_at_level", "covers_real_rows", "curved_band",
    "ellipsoid_volume", "response_region", "shrinks_to_the_level", "smaller_on_penguins",
    "smaller_than_boxes_and_ellipsoids", "smaller_than_convex", "sphere_directions",
    "unit_points", "worst_slab_coverage",
]  # fmt: skip
