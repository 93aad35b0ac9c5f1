"""Weights and floating-point operations of decoder-only transformers, part by part.

One multiplication and one addition count as two operations. Products of matrices are counted;
element-wise work (norms, activations, positions) is not, softmax excepted where asked for. The
backward pass costs twice the forward pass; recomputation of activations comes on top.

How confirmed: by hand for small shapes, against the weight counts that published models state
(tests/core/test_transformer_costs.py), and against Table A4 of Hoffmann et al. (2022,
arXiv:2203.15556), whose six ratios of exact operations to 6 N come out to the printed digits when
the two products with the vocabulary are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from statlas.core.errors import InputError

FloatArray = NDArray[np.float64]
Recomputation = Literal["none", "selective", "full"]

BACKWARD_OVER_FORWARD = 2.0  # products with the inputs' and with the weights' gradients


@dataclass(frozen=True)
class Decoder:
    """Shape of a decoder-only transformer; numbers or arrays that broadcast.

    Parameters
    ----------
    width, depth
        Width of the residual stream and number of blocks.
    vocabulary, context
        Symbols of the last layer, and tokens a sequence.
    attention_width
        Heads x width of a head; the width of the model by default.
    key_value_share
        Key and value heads over query heads: 1 for plain attention, less where heads share them.
    feed_forward
        Hidden width of the feed-forward layers; 4 x width by default.
    gated
        Whether feed-forward layers have a third matrix, as SwiGLU and GEGLU do.
    tied
        Whether the last layer uses the input embedding's weights.
    biases
        Whether matrices have biases and norms have two vectors, as in GPT; else norms have one.
    positions
        Learned vectors of positions: 0 for none.
    """

    width: ArrayLike
    depth: ArrayLike
    vocabulary: ArrayLike
    context: ArrayLike
    attention_width: ArrayLike | None = None
    key_value_share: ArrayLike = 1.0
    feed_forward: ArrayLike | None = None
    gated: bool = False
    tied: bool = True
    biases: bool = False
    positions: ArrayLike = 0.0

    def __post_init__(self) -> None:
        for name in ("width", "depth", "vocabulary", "context"):
            if not np.all(np.asarray(getattr(self, name), dtype=float) > 0):
                raise InputError("shapes of transformers must be above 0", column=name)

    @property
    def _sizes(self) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Width, attention width, width of keys and values together, feed-forward width."""
        width = np.asarray(self.width, dtype=float)
        attention = width if self.attention_width is None else _array(self.attention_width)
        feed_forward = 4 * width if self.feed_forward is None else _array(self.feed_forward)
        return width, attention, 2 * _array(self.key_value_share) * attention, feed_forward

    @property
    def block_matrices(self) -> FloatArray:
        """Weights of the matrices of one block: attention and feed-forward."""
        width, attention, shared, hidden = self._sizes
        return width * (2 * attention + shared) + (3 if self.gated else 2) * width * hidden

    @property
    def blocks(self) -> FloatArray:
        """Weights of all blocks, with norms and biases."""
        width, attention, shared, hidden = self._sizes
        small = 2 * width
        if self.biases:
            small = 4 * width + (attention + shared) + width + hidden * (2 if self.gated else 1)
            small = small + width
        return _array(self.depth) * (self.block_matrices + small)

    @property
    def last_layer(self) -> FloatArray:
        """Weights of the last layer, which each token is multiplied by."""
        return _array(self.vocabulary) * _array(self.width)

    @property
    def embedding(self) -> FloatArray:
        """Weights that are only looked up: the untied input embedding, and positions."""
        width = _array(self.width)
        own = 0.0 if self.tied else 1.0
        return own * _array(self.vocabulary) * width + _array(self.positions) * width

    @property
    def parameters(self) -> FloatArray:
        """All weights.

        >>> gpt3 = Decoder(12288, 96, 50257, 2048, biases=True, positions=2048)
        >>> print(f"{gpt3.parameters:.4g}")
        1.746e+11
        """
        final_norm = (2 if self.biases else 1) * _array(self.width)
        return self.blocks + self.last_layer + self.embedding + final_norm


@dataclass(frozen=True)
class ForwardCost:
    """Operations of a forward pass, a token.

    Attributes
    ----------
    projections
        Queries, keys, values and the output of attention.
    scores
        Products of queries with keys and of scores with values.
    feed_forward
        The feed-forward matrices.
    last_layer
        The product with the vocabulary.
    """

    projections: FloatArray
    scores: FloatArray
    feed_forward: FloatArray
    last_layer: FloatArray

    @property
    def blocks(self) -> FloatArray:
        """All but the last layer."""
        return self.projections + self.scores + self.feed_forward

    @property
    def total(self) -> FloatArray:
        """The whole forward pass."""
        return self.blocks + self.last_layer


def forward_cost(decoder: Decoder, *, causal: bool = True) -> ForwardCost:
    """Operations of a forward pass, a token, averaged over a full context.

    Parameters
    ----------
    decoder
        The shape.
    causal
        Whether only the half of the scores that a token may look at is counted, as a kernel for
        causal attention computes; False counts all, as Hoffmann et al. (2022) do.

    Examples
    --------
    >>> cost = forward_cost(Decoder(64, 2, 1000, 128))
    >>> print(cost.projections, cost.scores, cost.feed_forward, cost.last_layer)
    65536.0 32768.0 131072.0 128000.0
    """
    width, attention, shared, hidden = decoder._sizes
    depth = _array(decoder.depth)
    looked_at = _array(decoder.context) * (0.5 if causal else 1.0)
    return ForwardCost(
        projections=depth * 2 * width * (2 * attention + shared),
        scores=depth * 2 * 2 * looked_at * attention,
        feed_forward=depth * 2 * (3 if decoder.gated else 2) * width * hidden,
        last_layer=2 * decoder.last_layer,
    )


def training_cost(
    decoder: Decoder, *, recomputation: Recomputation = "none", causal: bool = True
) -> FloatArray:
    """Operations of training, a token: forward and backward pass, and what is recomputed.

    Parameters
    ----------
    decoder
        The shape.
    recomputation
        ``"full"``: blocks run forward a second time in the backward pass; ``"selective"``: only
        the scores of attention do; ``"none"``: all activations are kept. The last two are what
        the hardware does; utilisation of a *model* (MFU) is counted without recomputation.
    causal
        As for `forward_cost`.

    Examples
    --------
    >>> shape = Decoder(64, 2, 1000, 128)
    >>> print(training_cost(shape), training_cost(shape, recomputation="full"))
    1072128.0 1301504.0
    """
    cost = forward_cost(decoder, causal=causal)
    again: FloatArray = np.zeros_like(cost.total)
    if recomputation == "full":
        again = cost.blocks
    elif recomputation == "selective":
        again = cost.scores
    elif recomputation != "none":
        raise InputError(
            f"recomputation must be none, selective or full; got {recomputation!r}",
        )
    return (1 + BACKWARD_OVER_FORWARD) * cost.total + again


def _array(value: ArrayLike) -> FloatArray:
    return np.asarray(value, dtype=float)
