"""Transformer costs: hand counts, weights that published models state, a printed table."""

from __future__ import annotations

import numpy as np
import pytest

from statlas.core import InputError
from statlas.core.numerics.transformer_costs import Decoder, forward_cost, training_cost


def test_weights_of_published_models() -> None:
    # GPT-3 (arXiv:2005.14165, Table D.1): 174,600 million, learned positions, tied.
    gpt3 = Decoder(12288, 96, 50257, 2048, biases=True, positions=2048)
    assert gpt3.parameters == pytest.approx(174.6e9, rel=1e-3)
    # BLOOM (arXiv:2211.05100, Table 3): 176,247 million; 250,880 padded symbols, a norm after the
    # embedding (2 x width). The count is exact: blocks, embedding, two norms.
    bloom = Decoder(14336, 70, 250_880, 2048, biases=True)
    assert bloom.blocks == 70 * 2_466_437_120  # printed in the authors' training notes
    assert bloom.parameters + 2 * 14336 == 176_247_271_424
    # LLaMA (arXiv:2302.13971): 6.7, 13.0, 32.5 and 65.2 thousand million; untied, gated, 8/3 width.
    for width, depth, hidden, stated in (
        (4096, 32, 11008, 6.7e9),
        (5120, 40, 13824, 13.0e9),
        (6656, 60, 17920, 32.5e9),
        (8192, 80, 22016, 65.2e9),
    ):
        shape = Decoder(width, depth, 32_000, 2048, feed_forward=hidden, gated=True, tied=False)
        assert shape.parameters == pytest.approx(stated, rel=8e-3)
    # Llama 3 405B (arXiv:2407.21783, Table 3): 8 of 128 heads hold keys and values.
    llama3 = Decoder(
        16384, 126, 128_256, 8192, key_value_share=8 / 128, feed_forward=53_248, gated=True,
        tied=False,
    )  # fmt: skip
    assert llama3.parameters == pytest.approx(405e9, rel=3e-3)


def test_weights_of_a_tiny_shape_are_those_counted_by_hand() -> None:
    shape = Decoder(4, 2, 10, 8, attention_width=6, key_value_share=0.5, feed_forward=5, tied=False)
    # attention: 4x6 queries, two 4x3 for keys and values, 6x4 output; feed-forward 4x5 and 5x4.
    assert shape.block_matrices == 24 + 24 + 24 + 40
    assert shape.blocks == 2 * (112 + 8)
    assert shape.embedding == shape.last_layer == 40
    assert shape.parameters == 240 + 80 + 4


def test_products_cost_two_operations_a_weight() -> None:
    shape = Decoder([64, 96], [2, 3], 1000, 128, gated=True, key_value_share=0.5, feed_forward=200)
    cost = forward_cost(shape)
    matrices = np.array([2, 3]) * shape.block_matrices + shape.last_layer
    np.testing.assert_allclose(cost.total - cost.scores, 2 * matrices)
    # Two products, two operations each, over half of 128 positions, in each block.
    np.testing.assert_allclose(cost.scores, 4 * 64 * np.array([2 * 64, 3 * 96]))
    np.testing.assert_allclose(forward_cost(shape, causal=False).scores, 2 * cost.scores)


def test_training_is_three_forward_passes_and_what_is_recomputed() -> None:
    shape = Decoder(64, 2, 1000, 128)
    cost = forward_cost(shape)
    assert training_cost(shape) == 3 * cost.total
    assert training_cost(shape, recomputation="full") == 4 * cost.blocks + 3 * cost.last_layer
    assert training_cost(shape, recomputation="selective") == 3 * cost.total + cost.scores
    with pytest.raises(InputError, match="recomputation"):
        training_cost(shape, recomputation="half")  # type: ignore[arg-type]


def test_six_printed_ratios_of_exact_operations_to_6n() -> None:
    # Hoffmann et al. (2022), Table A4: width, feed-forward, heads, head width, depth, ratio. The
    # weights have a fifth d x d matrix a block for relative positions, and a vocabulary of 32,000.
    printed = (
        (640, 2560, 10, 64, 10, 1.03),
        (1024, 4096, 16, 64, 20, 1.10),
        (1280, 5120, 10, 128, 24, 1.08),
        (1792, 7168, 14, 128, 26, 1.04),
        (2048, 8192, 16, 128, 28, 1.03),
        (3584, 14336, 28, 128, 40, 0.99),
    )
    for width, hidden, heads, head, depth, ratio in printed:
        shape = Decoder(width, depth, 32_000, 2048, feed_forward=hidden)
        weights = depth * (shape.block_matrices + width**2) + shape.last_layer
        softmax = depth * 3 * heads * 2048
        assert width == heads * head
        cost = 3 * (forward_cost(shape, causal=False).blocks + softmax)
        assert cost / (6 * weights) == pytest.approx(ratio, abs=0.0051)


def test_shapes_must_be_positive() -> None:
    with pytest.raises(InputError, match="width"):
        Decoder(0, 2, 10, 8)
