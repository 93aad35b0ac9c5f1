"""The highest peaks of a kernel density in many dimensions, found after a random projection.

Answers      Where is a table of many numeric columns densest, which rows belong to which peak, and
             how much higher could a peak be that the search missed?
Use when     there are tens to thousands of columns (embeddings, spectra, images) and a smooth
             kernel of the distance is apt. Avoid it in one or two dimensions, where a grid does,
             and where rows have no common scale. Basins are those of the sketch: set `dimensions`
             to the number of columns where they matter more than time.
Assumes      a bandwidth that makes neighbours count; nothing of where rows come from. The interval
             of a height holds for independent rows and the place of the mode as if fixed.
Notation     n rows p_i, d columns, h = bandwidth, z = |x - p|^2 / h^2, kappa(z) kernel, kappa(0) =
             1; height f(x) = mean of kappa(z_i); density = f / (h^d integral of kappa(|u|^2));
             g(z) = -z kappa' / kappa (`elasticity`), which does not decrease for these kernels;
             Pi (m, d) Gaussian sketch; y place in the sketch, a_i = |y - Pi p_i|^2 / h^2, f_m(y)
             height there.
             Size (`sketch_size`). A mode has f >= 1 / n, so rows with kappa(z) < tau / n, tau =
             epsilon / 8, add at most tau f; let kappa(r) = tau / n. If squared distances of the
             mode to the rows grow by at most 1 + s, f_m(Pi x*) >= (1 - tau) kappa((1 + s) r) /
             kappa(r) f(x*). If those between rows shrink by at most 1 - t, Kirszbraun's theorem
             gives each y a place x with z_i <= a_i / (1 - t); for convex kappa the mean shift
             x' = sum w_i p_i, w_i ~ -kappa'(a_i), then has f(x') >= f_m(y) (1 - t / (1 - t) g(r)
             (1 + tau)), as it minimises the sum of w_i z_i. Each factor is set to sqrt(1 -
             epsilon). chi-square tails: m >= 2 ln(2 n / delta) / (s - ln(1 + s)) and
             2 ln(n (n - 1) / delta) / (-t - ln(1 - t)). As g(r) grows like ln(n / epsilon) or
             slower, m = O(ln^3(n / epsilon) / epsilon^2) for Gaussian, logistic and sigmoid.
             Loss (`lifting_loss`). For convex kappa, exactly: f(x') >= f_m(y) - C / 2 sum_ij w_i
             w_j (|p_i - p_j|^2 - |Pi p_i - Pi p_j|^2) / h^2, C = mean of -kappa'(a_i): what counts
             is the mean, not the worst, distortion of the pairs that carry the mode.
             Bound (`density_bound`): largest height from pairwise distances, see there.
Departs      Of the paper the abstract was at hand, no code. Kernels, reduction, Kirszbraun's
             theorem and mean shift as ways back, and climbing afterwards are the paper's; theorem
             and constants above are derived here, with the rate that Lee et al. (2021) have for
             the Gaussian. `lifting_loss` and the bound are additions. The forms of logistic (1 /
             cosh^2(s / 2)), sigmoid (1 / cosh s) and generalised Gaussian (exp(-s^power), s =
             sqrt z) are the usual ones. Exact search of the sketch takes quasi-polynomial time;
             here mean shift climbs from every row, as practice does, so that the theorem covers the
             lifting and the bound has to speak for the search. The theorem's m, millions at n =
             1,797 and epsilon = 0.1, exceeds d in practice: 4 ln n is taken instead. Finding the
             mode exactly is not on offer: for box kernels it is NP-hard (the paper), so for any
             method; for these kernels that is open.
             The Kirszbraun place is a minimum of largest ratios, found by smoothed descent.
             Steps are lengthened (up to 4 mean shifts) while the height grows. With a cusp (power
             below 2) a row that no step beats is a mode. In the example the best lifted modes have
             99 % of the best height, and 71 % of any height is proved. Climbing from
             all lifted modes, not the highest alone, took 0.3 to 0.45 of the exhaustive work in
             the case of the claim on cost. The claim on climbing after 10 of 64 dimensions is
             undecided: in most draws nothing is lost, in a few the highest mode has merged with
             another in the sketch and a lower one is found. That is what more sketches are for.
Reference    Luo, Musco and Widdershoven (2023), Dimensionality Reduction for General KDE Mode
             Finding, arXiv:2305.18755. Lee, Li, Musco, Phillips and Tai (2021), Finding an
             Approximate Mode of a Kernel Density Estimate, arXiv:1912.07673.
"""

from __future__ import annotations

from statlas.statistics.kde_modes.certificate import density_bound
from statlas.statistics.kde_modes.claims import (
    fraction_of_the_cost,
    lifting_by_kirszbraun,
    lifting_by_mean_shift,
    refinement,
    theorem_size,
    upper_bound,
    value_near_exhaustive,
)
from statlas.statistics.kde_modes.estimator import SketchedModeFinder
from statlas.statistics.kde_modes.kernels import Kernel, SketchSize, sketch_size
from statlas.statistics.kde_modes.recipe import ModeReport, density_modes
from statlas.statistics.kde_modes.search import (
    Climb,
    kirszbraun_place,
    lift,
    lifting_loss,
    log_heights,
    mean_shift,
)

__all__ = [
    "Climb", "Kernel", "ModeReport", "SketchSize", "SketchedModeFinder", "density_bound",
    "density_modes", "fraction_of_the_cost", "kirszbraun_place", "lift", "lifting_by_kirszbraun",
    "lifting_by_mean_shift", "lifting_loss", "log_heights", "mean_shift", "refinement",
    "sketch_size", "theorem_size", "upper_bound", "value_near_exhaustive",
]  # fmt: skip
