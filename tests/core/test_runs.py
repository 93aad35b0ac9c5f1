"""Tables of training runs: which of N, D and C follows from which, and in whose units."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from statlas.core import InputError, Roles
from statlas.core.runs import COMPUTE, LOSS, PARAMETERS, TOKENS, RunSizes, read_run_sizes
from statlas.core.tables import build_table

ROLES = Roles(parameters=PARAMETERS, tokens=TOKENS, compute=COMPUTE, loss=LOSS)


def sizes_of(columns: dict[str, list[float]], *units: float) -> RunSizes:
    frame = pd.DataFrame(columns | {"loss": [3.0, 2.5]})
    return read_run_sizes(build_table(frame, ROLES, {}), *units)


def test_tokens_follow_from_compute():
    sizes = sizes_of({"N": [1e6, 2e6], "FLOPs": [6e15, 2.4e16]})
    np.testing.assert_allclose(sizes.tokens, [1e9, 2e9])
    assert sizes.stated_compute


def test_compute_follows_from_tokens():
    sizes = sizes_of({"params": [1e6, 2e6], "tokens_seen": [1e9, 2e9]})
    np.testing.assert_allclose(sizes.compute, [6e15, 2.4e16])
    assert not sizes.stated_compute
    assert sizes.flops_ratio == 1


def test_stated_compute_is_kept_and_compared_with_six_n_d():
    sizes = sizes_of({"N": [1e6, 2e6], "D": [1e9, 2e9], "C": [9e15, 3.6e16]})
    np.testing.assert_allclose(sizes.compute, [9e15, 3.6e16])
    assert sizes.flops_ratio == pytest.approx(1.5)


def test_units_are_those_of_the_columns():
    sizes = sizes_of({"N": [7.0, 70.0], "D": [1.0, 2.0]}, 1e9, 1e12)
    np.testing.assert_allclose(sizes.parameters, [7e9, 7e10])
    np.testing.assert_allclose(sizes.tokens, [1e12, 2e12])
    np.testing.assert_allclose(sizes.compute, [4.2e22, 8.4e23])


def test_one_of_tokens_and_compute_is_needed():
    with pytest.raises(InputError, match="neither a column of tokens nor one of compute") as error:
        sizes_of({"N": [1e6, 2e6]})
    assert "tokens=COLUMN" in str(error.value)
