"""Randomness is an argument."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from statlas.core.errors import OptionError
from statlas.core.rng import replicate_rng, resolve_rng, sklearn_seed


@pytest.mark.parametrize("seed", [0, 7, np.int64(7), 2**70])
def test_a_seed_gives_numpys_stream(seed: Any) -> None:
    generator, used = resolve_rng(seed)
    assert used == seed
    assert type(used) is int
    assert generator.random() == np.random.default_rng(int(seed)).random()


def test_none_gives_a_fresh_seed_that_reproduces() -> None:
    generator, seed = resolve_rng(None)
    other, other_seed = resolve_rng(None)
    assert seed != other_seed
    assert resolve_rng(seed)[0].random() == generator.random() != other.random()


def test_a_generator_is_used_as_it_is() -> None:
    mine = np.random.default_rng(1)
    assert resolve_rng(mine) == (mine, None)


@pytest.mark.parametrize("bad", [-1, 1.0, True, "0", np.random.RandomState(0)])
def test_anything_else_is_refused(bad: Any) -> None:
    with pytest.raises(OptionError, match="rng"):
        resolve_rng(bad)


def test_replicates_have_streams_of_their_own() -> None:
    keys = [(seed, name, i) for seed in (0, 1) for name in ("a", "b") for i in range(50)]
    draws = {replicate_rng(*key).random() for key in keys}
    assert len(draws) == len(keys)
    assert replicate_rng(0, "a", 3).random() == replicate_rng(0, "a", 3).random()


def test_sklearn_seed_is_in_range() -> None:
    rng = np.random.default_rng(0)
    assert all(0 <= sklearn_seed(rng) < 2**32 for _ in range(100))
