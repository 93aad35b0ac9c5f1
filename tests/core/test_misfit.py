"""Lack of fit against the classical F ratio and on planted misfits."""

from __future__ import annotations

import numpy as np
import pytest

from statlas.core import InputError
from statlas.core.numerics.laws.misfit import lack_of_fit


def test_square_is_the_classical_f_ratio() -> None:
    rng = np.random.default_rng(0)
    groups = rng.permutation(np.repeat(np.arange(12), [1, 2, 3, 4] * 3))
    residuals = rng.standard_normal(len(groups)) + 0.3 * groups
    between = sum(
        np.sum(groups == g) * np.mean(residuals[groups == g]) ** 2 for g in range(12)
    ) / 12  # fmt: skip
    within = sum(
        np.sum((residuals[groups == g] - np.mean(residuals[groups == g])) ** 2) for g in range(12)
    ) / (len(groups) - 12)  # fmt: skip
    assert lack_of_fit(residuals, groups) == pytest.approx(np.sqrt(between / within))
    assert lack_of_fit(7 * residuals, groups) == pytest.approx(np.sqrt(between / within))


def test_without_repeats_nothing_can_be_said() -> None:
    assert np.isnan(lack_of_fit(np.ones(9), np.arange(9)))
    assert np.isnan(lack_of_fit(np.ones(9), np.zeros(9)))
    with pytest.raises(InputError, match="one a run"):
        lack_of_fit(np.ones(3), np.ones(4))
