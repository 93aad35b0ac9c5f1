"""Allocation with serving costs and a limit on data, against closed forms and a dense search."""

from __future__ import annotations

import numpy as np
import pytest

from statlas.core.numerics.laws import CHINCHILLA, compute_optimal, power_allocation

LAW = [1.8172, 482.01, 2085.43, 0.3478, 0.3658]


def test_without_limits_it_is_the_closed_form() -> None:
    best = compute_optimal(CHINCHILLA, [LAW], [1e21, 1e24], overhead=lambda size: 0 * size)
    size, data, _ = power_allocation([LAW], [1e21, 1e24])
    np.testing.assert_allclose(best.size, size, rtol=1e-5)
    np.testing.assert_allclose(best.data, data, rtol=1e-5)


def test_scarce_data_are_all_used_and_the_rest_buys_size() -> None:
    free = compute_optimal(CHINCHILLA, [LAW], [1e24])
    limit = float(free.data[0, 0]) / 5
    best = compute_optimal(CHINCHILLA, [LAW], [1e24], most_data=limit)
    assert best.data[0, 0] == pytest.approx(limit, rel=1e-6)
    assert best.size[0, 0] == pytest.approx(1e24 / 6 / limit, rel=1e-3)
    assert best.loss[0, 0] > free.loss[0, 0]
    plenty = compute_optimal(CHINCHILLA, [LAW], [1e24], most_data=1e18)
    np.testing.assert_allclose(plenty.size, free.size, rtol=1e-6)


def test_serving_makes_the_best_model_smaller_and_longer_trained() -> None:
    served = 2e12
    best = compute_optimal(CHINCHILLA, [LAW], [1e24], overhead=lambda size: 2 * size * served)
    free = compute_optimal(CHINCHILLA, [LAW], [1e24])
    assert best.size[0, 0] < free.size[0, 0]
    spent = 6 * best.size * best.data + 2 * best.size * served
    assert spent[0, 0] == pytest.approx(1e24, rel=1e-9)
    # A dense search over sizes finds the same.
    size = np.geomspace(1e9, 2e11, 200_001)
    data = (1e24 - 2 * size * served) / (6 * size)
    size, data = size[data > 0], data[data > 0]
    loss = CHINCHILLA.values([LAW], {"N": size, "D": data})[0]
    assert best.size[0, 0] == pytest.approx(size[loss.argmin()], rel=1e-3)
    assert best.loss[0, 0] == pytest.approx(loss.min(), rel=1e-9)
