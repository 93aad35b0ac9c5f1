"""Randomness is an argument: resolved once, children by spawn, the seed used is reported."""

from __future__ import annotations

import zlib

import numpy as np

from statlas.core.errors import OptionError

Rng = int | np.random.Generator | None


def resolve_rng(rng: Rng) -> tuple[np.random.Generator, int | None]:
    """Turn a user's `rng` into a generator and the seed that reproduces it.

    Parameters
    ----------
    rng
        A seed (0 is a seed), a generator (used as it is), or None for a fresh seed.

    Returns
    -------
    generator, seed
        `seed` is None when the user passed a generator: its state is theirs to keep.

    Raises
    ------
    OptionError
        If `rng` is none of these or negative.

    Examples
    --------
    >>> resolve_rng(0)[1]
    0
    """
    if isinstance(rng, np.random.Generator):
        return rng, None
    if rng is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0])
        return np.random.default_rng(seed), seed
    if isinstance(rng, bool) or not isinstance(rng, int | np.integer) or rng < 0:
        raise OptionError(
            f"option 'rng' must be a whole number of at least 0, a numpy Generator or none; "
            f"got {rng!r}"
        )
    return np.random.default_rng(int(rng)), int(rng)


def replicate_rng(seed: int, name: str, replicate: int) -> np.random.Generator:
    """Generator of one replicate of a named experiment, the same whoever computes it, and when.

    The stream is the child ``(crc32(name), replicate)`` of the seed's sequence, so replicates are
    independent and can be computed in any order and in any process.
    """
    key = (zlib.crc32(name.encode()), replicate)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def sklearn_seed(rng: np.random.Generator) -> int:
    """An integer ``random_state`` for libraries that do not take generators."""
    return int(rng.integers(2**32 - 1))
