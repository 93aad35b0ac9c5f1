"""Width, depth and heads for a size: the rules of the literature under divisibility."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from statlas.core import OptionError
from statlas.core.numerics.transformer_costs import Decoder, Recomputation, training_cost

DepthRule = Literal["levine", "aspect"]

# Levine et al. (2020), arXiv:2006.12467: log(width) = a + b depth at the depth from which on more
# blocks gain no more than more width. Their shallowest networks have 6 blocks.
LEVINE_A, LEVINE_B, _SHALLOWEST = 5.039, 0.0555, 6
# Kaplan et al. (2020), arXiv:2001.08361, Figure 5: between widths over depths of about 33 (48
# blocks of 1600) and 715 (6 blocks of 4288) the loss differs by 3 %.
ASPECT_RANGE = (33.0, 715.0)
# Relative difference of parameters within which a shape fits a size, and the price of more.
_CLOSE, _PRICE_OF_SIZE = 0.05, 10.0


@dataclass(frozen=True)
class Architecture:
    """What all candidate shapes share.

    Attributes
    ----------
    vocabulary, context
        Symbols and tokens a sequence.
    head_width
        Width of a head.
    width_multiple
        What widths are multiples of, besides heads.
    tensor_parallel, pipeline
        What the heads and the blocks must be divisible by.
    feed_forward
        Hidden width of feed-forward layers over the width.
    gated, tied
        As for `Decoder`.
    key_value_share
        Key and value heads over query heads.
    """

    vocabulary: int
    context: int
    head_width: int = 128
    width_multiple: int = 128
    tensor_parallel: int = 1
    pipeline: int = 1
    feed_forward: float = 4.0
    gated: bool = False
    tied: bool = True
    key_value_share: float = 1.0

    @property
    def step(self) -> int:
        """Widths are multiples of this: whole heads for every part of a split model."""
        return int(np.lcm(self.head_width * self.tensor_parallel, self.width_multiple))

    def decoder(self, width: float, depth: float) -> Decoder:
        """The shape of given width and depth."""
        hidden = self.feed_forward * width
        return Decoder(
            width, depth, self.vocabulary, self.context, key_value_share=self.key_value_share,
            feed_forward=hidden, gated=self.gated, tied=self.tied,
        )  # fmt: skip


@dataclass(frozen=True)
class Candidate:
    """One shape.

    Attributes
    ----------
    width, depth, heads
        The shape.
    parameters, body
        All parameters, and those of the blocks.
    flops_per_token
        Training cost of a token without recomputation, attention and vocabulary counted.
    recomputed
        The same with what is recomputed.
    depth_by_rule
        Blocks that the rule asks for at this width.
    in_range
        Whether width over depth lies in the range in which shape hardly matters.
    """

    width: int
    depth: int
    heads: int
    parameters: float
    body: float
    flops_per_token: float
    recomputed: float
    depth_by_rule: float
    in_range: bool


def levine_depth(width: float) -> float:
    """Blocks from which on depth gains no more than width, at a width.

    Below the width at which the rule asks for 6 blocks, the fewest that were tried, the aspect
    ratio of that point is kept.

    Examples
    --------
    >>> round(levine_depth(30_000))
    95
    """
    narrowest = float(np.exp(LEVINE_A + LEVINE_B * _SHALLOWEST))
    if width < narrowest:
        return width / narrowest * _SHALLOWEST
    return float((np.log(width) - LEVINE_A) / LEVINE_B)


def depth_by(rule: DepthRule, aspect: float, width: float) -> float:
    """Blocks that a rule asks for at a width."""
    return levine_depth(width) if rule == "levine" else width / aspect


def choose_shapes(
    size: float,
    counts: str,
    architecture: Architecture,
    rule: DepthRule,
    aspect: float,
    recomputation: Recomputation,
    how_many: int,
) -> list[Candidate]:
    """Shapes with nearly the wanted size, the one nearest to the rule's depth first.

    For every admissible depth the width whose size is nearest is taken. Shapes are put in the
    order of log(depth / the rule's), with 0.1 for every 1 % beyond 5 % that the size is off; of
    each width only the first is kept.

    Parameters
    ----------
    size
        Parameters wanted.
    counts
        Whether `size` counts all parameters or those of the blocks (``"body"``).
    architecture
        What shapes share, and what must divide what.
    rule, aspect
        Rule of the depth: Levine et al.'s, or a given width over depth.
    recomputation
        For the cost.
    how_many
        Shapes returned.

    Raises
    ------
    OptionError
        If no shape of the wanted size exists under these rules.
    """
    found = list(_candidates(size, counts, architecture, rule, aspect, recomputation))
    if not found:
        raise OptionError(
            f"no shape of about {size:.3g} parameters has a width that is a multiple of "
            f"{architecture.step} and a depth that is a multiple of {architecture.pipeline}; "
            "lower head_width, width_multiple, tensor_parallel or pipeline_parallel, or the "
            "vocabulary"
        )

    def order(candidate: Candidate) -> float:
        counted = candidate.parameters if counts == "all" else candidate.body
        off = abs(float(np.log(counted / size)))
        away = abs(float(np.log(candidate.depth / candidate.depth_by_rule)))
        return away + _PRICE_OF_SIZE * max(off - _CLOSE, 0.0)

    best: dict[int, Candidate] = {}
    for candidate in sorted(found, key=order):
        best.setdefault(candidate.width, candidate)
    return list(best.values())[:how_many]


def _candidates(
    size: float,
    counts: str,
    architecture: Architecture,
    rule: DepthRule,
    aspect: float,
    recomputation: Recomputation,
) -> Iterator[Candidate]:
    """For every depth the width with the nearest size; each width and depth once."""
    deepest = max(4 * depth_by(rule, aspect, _width_at(size, 1.0, architecture)), 64)
    for depth in range(architecture.pipeline, int(deepest) + 1, architecture.pipeline):
        ideal = _width_for(size, counts, depth, architecture)
        steps = max(1, round(ideal / architecture.step))
        width = steps * architecture.step
        decoder = architecture.decoder(width, depth)
        parameters, body = float(decoder.parameters), float(decoder.blocks)
        counted = parameters if counts == "all" else body
        if not 0.5 <= counted / size <= 2:
            continue
        low, high = ASPECT_RANGE
        yield Candidate(
            width=width,
            depth=depth,
            heads=width // architecture.head_width,
            parameters=parameters,
            body=body,
            flops_per_token=float(training_cost(decoder)),
            recomputed=float(training_cost(decoder, recomputation=recomputation)),
            depth_by_rule=depth_by(rule, aspect, width),
            in_range=low <= width / depth <= high,
        )


def _width_for(size: float, counts: str, depth: int, architecture: Architecture) -> float:
    """Width, not rounded, with which so many blocks have the size: a quadratic equation."""
    block = float(architecture.decoder(1.0, 1.0).block_matrices)
    layers = {"all": (1 if architecture.tied else 2) * architecture.vocabulary, "body": 0}[counts]
    linear, square = layers + 2.0 * depth, block * depth
    return float((-linear + np.sqrt(linear**2 + 4 * square * size)) / (2 * square))


def _width_at(size: float, depth: float, architecture: Architecture) -> float:
    block = float(architecture.decoder(1.0, 1.0).block_matrices)
    return float(np.sqrt(size / (block * depth)))
