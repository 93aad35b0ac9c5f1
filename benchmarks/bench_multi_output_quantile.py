"""Signed distances from a region of points against distances from every point of it.

Peer: the step as in github.com/shai128/mqr (`get_min_distance`), which takes distances from all
points of the region, in torch and in blocks, for the tolerance, for the grid of probes and for the
responses; written anew in the same order of work. Both get the same cloud, probes and responses;
tolerance and distances are checked equal. The floor is to read cloud, probes and responses once:
some tens of microseconds, of which a search tree stays away by building itself and looking up.

    python benchmarks/bench_multi_output_quantile.py

Medians on two busy cores, 300 responses, two targets, 2026-11: all
pairs 276, 1925 and 41,400 ms, tree 73, 276 and 610 ms (4, 7 and 68 times) for clouds of 1,024,
4,096 and 16,384 points; the machine was loaded eightfold, the ratios less so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from statlas.uncertainty.multi_output_quantile import PointRegion, unit_points

FloatArray = NDArray[np.float64]
ROUNDS, RESPONSES, PROBES = 5, 300, 4_096


def nearest(y: torch.Tensor, points: torch.Tensor, *, skip_self: bool = False) -> torch.Tensor:
    """Distance of each y from its nearest point, block by block."""
    found = []
    for block in y.split(1_000):
        distance = torch.cdist(block, points, compute_mode="donot_use_mm_for_euclid_dist")
        if skip_self:
            distance[distance == 0] = np.inf
        found.append(distance.min(dim=1).values)
    return torch.cat(found)


def pairwise(cloud: FloatArray, probes: FloatArray, y: FloatArray) -> tuple[float, FloatArray]:
    """Tolerance, and distances of probes and responses from the cloud, by all pairs."""
    points = torch.from_numpy(cloud)
    tolerance = float(torch.quantile(nearest(points, points, skip_self=True), 0.9))
    return tolerance, nearest(torch.from_numpy(np.concatenate([probes, y])), points).numpy()


def by_tree(cloud: FloatArray, probes: FloatArray, y: FloatArray) -> tuple[float, FloatArray]:
    """The same by the region's search tree."""
    region = PointRegion(cloud, probes)
    return region.tolerance, region.distance(np.concatenate([probes, y]))


def seconds(call: Callable[[], object]) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def main() -> None:
    """Time both at three sizes of the cloud."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    for n_points in (1_024, 4_096, 16_384):
        u = unit_points(n_points, 2, rng)
        cloud = np.column_stack([6 * u[:, 0] - 3, np.cos(3 * u[:, 0]) + 0.2 * u[:, 1]])
        probes, y = rng.uniform(-4, 4, (PROBES, 2)), rng.uniform(-4, 4, (RESPONSES, 2))
        (slow_tolerance, slow), (fast_tolerance, fast) = (
            step(cloud, probes, y) for step in (pairwise, by_tree)
        )
        assert np.isclose(slow_tolerance, fast_tolerance, rtol=1e-9)
        assert np.allclose(slow, fast, rtol=1e-9, atol=1e-12)
        times = np.array(
            [
                [seconds(partial(step, cloud, probes, y)) for step in (pairwise, by_tree)]
                for _ in range(ROUNDS)
            ]
        )
        peer, ours = np.median(times, axis=0)
        print(
            f"{n_points} points: all pairs {1e3 * peer:.1f} ms, tree {1e3 * ours:.1f} ms, "
            f"ratio {peer / ours:.1f}"
        )


if __name__ == "__main__":
    main()
