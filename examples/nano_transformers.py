"""What the scripts that train small language models share: the model, Adam, the training loop.

Transformers of one shape read characters. All trainings of one shape run together, as one stack
of matrices, because a model of this size alone would leave the processor waiting.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

ALPHABET = "\n" + "".join(map(chr, range(32, 127)))
SYMBOLS = len(ALPHABET) + 1  # symbol 0 stands for every other character

Weights = dict[str, torch.Tensor]


def encoded(text: str) -> NDArray[np.int64]:
    """Numbers of the characters: 1 to 96, and 0 for what the alphabet lacks."""
    code = {character: number for number, character in enumerate(ALPHABET, start=1)}
    return np.array([code.get(character, 0) for character in text], dtype=np.int64)


@dataclass(frozen=True)
class Shape:
    """Size of a transformer; `branch` multiplies what each block adds to the states."""

    width: int
    depth: int
    heads: int
    context: int
    branch: float = 1.0

    @property
    def head_parameters(self) -> int:
        """Weights of the last layer."""
        return self.width * SYMBOLS

    @property
    def body_parameters(self) -> int:
        """Weights of the blocks, without embeddings."""
        return 12 * self.width**2 * self.depth

    @property
    def parameters(self) -> int:
        """Weights of the blocks and the last layer."""
        return self.body_parameters + self.head_parameters


def initial_weights(shape: Shape, members: Sequence[int], seed: int) -> Weights:
    """Normal weights, of spread 1 / sqrt(inputs); the same for trainings that share a member seed.

    Parameters
    ----------
    shape
        Shape of the transformers.
    members
        (models,) seed of each stacked training.
    seed
        Seed of the whole recording.
    """
    width = shape.width
    sizes = {"embedding": (SYMBOLS, width), "position": (shape.context, width)}
    for block in range(shape.depth):
        sizes[f"qkv{block}"] = (width, 3 * width)
        sizes[f"out{block}"] = (width, width)
        sizes[f"up{block}"] = (width, 4 * width)
        sizes[f"down{block}"] = (4 * width, width)
    sizes["last"] = (width, SYMBOLS)
    weights = {}
    for place, (name, size) in enumerate(sizes.items()):
        spread = 0.5 if name in ("embedding", "position") else size[0] ** -0.5
        drawn = []
        for member in members:
            rng = np.random.default_rng([seed, member, width, place])
            drawn.append(spread * rng.standard_normal(size))
        weights[name] = torch.tensor(np.array(drawn), dtype=torch.float32, requires_grad=True)
    return weights


def normalised(states: torch.Tensor) -> torch.Tensor:
    """States divided by their root mean square."""
    return states * torch.rsqrt(states.square().mean(dim=-1, keepdim=True) + 1e-6)


def last_states(
    weights: Weights,
    symbols: torch.Tensor,
    shape: Shape,
    places: torch.Tensor | None = None,
    sees: torch.Tensor | None = None,
) -> torch.Tensor:
    """States before the last layer, (models, sequences * length, width).

    Parameters
    ----------
    weights
        Of the stack.
    symbols
        (models, sequences, length).
    shape
        Shape of the transformers.
    places
        (length,) place of each symbol in the context; by default 0, 1, 2, ...
    sees
        (length, length) which symbol (row) sees which; by default each sees the earlier ones.
    """
    models, sequences, length = symbols.shape
    width = shape.width
    stacked = torch.arange(models)[:, None, None]
    position = weights["position"][:, :length] if places is None else weights["position"][:, places]
    states = weights["embedding"][stacked, symbols] + position[:, None]
    states = states.reshape(models, sequences * length, width)
    for block in range(shape.depth):
        queries, keys, values = (
            part.reshape(models * sequences, length, shape.heads, width // shape.heads).transpose(
                1, 2
            )
            for part in (normalised(states) @ weights[f"qkv{block}"]).chunk(3, dim=-1)
        )
        mixed = torch.nn.functional.scaled_dot_product_attention(
            queries, keys, values, attn_mask=sees, is_causal=sees is None
        )
        mixed = mixed.transpose(1, 2).reshape(models, sequences * length, width)
        states = states + shape.branch * (mixed @ weights[f"out{block}"])
        hidden = torch.relu(normalised(states) @ weights[f"up{block}"])
        states = states + shape.branch * (hidden @ weights[f"down{block}"])
    return normalised(states)


def mean_losses(weights: Weights, symbols: torch.Tensor, shape: Shape) -> torch.Tensor:
    """Nats a character of each model; symbols are (models, sequences, context + 1)."""
    logits = last_states(weights, symbols[:, :, :-1], shape) @ weights["last"]
    losses = torch.nn.functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), symbols[:, :, 1:].reshape(-1), reduction="none"
    )
    return losses.reshape(len(symbols), -1).mean(dim=1)


def adam_step(
    weights: Weights,
    moments: dict[str, tuple[torch.Tensor, torch.Tensor]],
    rates: torch.Tensor,
    step: int,
    betas: tuple[float, float] = (0.9, 0.98),
) -> None:
    """One step of Adam with a learning rate for each model of the stack."""
    corrections = [1 - beta**step for beta in betas]
    with torch.no_grad():
        for name, weight in weights.items():
            mean, square = moments[name]
            mean.lerp_(weight.grad, 1 - betas[0])
            square.mul_(betas[1]).addcmul_(weight.grad, weight.grad, value=1 - betas[1])
            size = (square / corrections[1]).sqrt_().add_(1e-9)
            weight -= rates[:, None, None] / corrections[0] * mean / size
            weight.grad = None


def checkpoints(
    weights: Weights,
    shape: Shape,
    batches: Iterable[torch.Tensor],
    rates: Callable[[int], torch.Tensor],
    stops: Iterable[int],
) -> Iterator[int]:
    """Train in place and pause after each of the steps in `stops`, which it yields.

    Parameters
    ----------
    weights
        Of the stack; changed.
    shape
        Shape of the transformers.
    batches
        For each step the symbols, (models, sequences, context + 1).
    rates
        Learning rate of each model at a step, (models,); steps count from 1.
    stops
        Steps to pause after; the training ends with the last.
    """
    moments = {name: (torch.zeros_like(w), torch.zeros_like(w)) for name, w in weights.items()}
    pauses = set(stops)
    for step, symbols in enumerate(itertools.islice(batches, max(pauses)), start=1):
        mean_losses(weights, symbols, shape).sum().backward()
        adam_step(weights, moments, rates(step), step)
        if step in pauses:
            yield step


def finite(loss: float) -> float:
    """The loss with five decimals; infinite where the training broke down."""
    return round(loss, 5) if math.isfinite(loss) else math.inf
