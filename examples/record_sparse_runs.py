"""Record `sparse_runs.csv`: losses of small dense, pruned and mixture-of-experts language models.

Transformers of two blocks read the source code of Python's standard library, character by
character, as in `record_nano_runs.py`, at 5 widths with 3 seeds. Each width is trained

* dense;
* pruned by magnitude to sparsity 0.5, 0.75 and 0.9: between steps 50 and 150 every matrix of the
  blocks and the last layer loses its smallest weights, along the usual cubic schedule, and the
  training goes on with those that are left;
* with 2, 4 and 8 experts in place of each feed-forward layer, one of which reads a character (the
  likeliest by a softmax router, whose probability scales what it says; 0.01 of the balancing loss
  of Fedus et al. 2022 is added in training).

The loss on files that no model was trained on is noted after 25,600, 51,200, ..., 409,600
characters. The learning rate is constant after a warm-up, so an early row is what a training
planned to end there would have given. Each finished part is kept in `sparse_runs.parts`.

    python examples/record_sparse_runs.py --seed 0
"""

import argparse
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch.nn import functional

from nano_transformers import SYMBOLS, Weights, adam_step, finite, normalised
from record_nano_runs import CONTEXT, HEADS, read_text
from recording import HERE, write_whole

WIDTHS = (6, 8, 12, 16, 24)
LEARNING_RATES = {6: 0.016, 8: 0.016, 12: 0.016, 16: 0.0063, 24: 0.0063}  # best in nano_runs
SPARSITIES = (0.0, 0.5, 0.75, 0.9)
EXPERTS = (2, 4, 8)
BLOCKS, SEQUENCES, SEEDS = 2, 2, 3
STEPS = (200, 400, 800, 1600, 3200)
PRUNING_STEPS, RENEW = (50, 150), 10
WARMUP_STEPS, BALANCE = 50, 0.01
HELD_OUT_SEQUENCES = 128


@dataclass(frozen=True)
class Model:
    """One of the trainings that are stacked: same width, same number of experts."""

    sparsity: float
    seed: int


@dataclass(frozen=True)
class Stack:
    """What is trained together."""

    width: int
    experts: int  # 1 without a router
    models: tuple[Model, ...]

    @property
    def total(self) -> int:
        """Weights of the blocks and the last layer, pruned ones too."""
        return self.counted(self.experts)

    def counted(self, experts: int) -> int:
        """Weights when so many experts are counted."""
        router = self.width * self.experts if self.experts > 1 else 0
        block = (4 + 8 * experts) * self.width**2 + router
        return BLOCKS * block + self.width * SYMBOLS

    def active(self, model: Model) -> int:
        """Weights that a character is multiplied by."""
        if self.experts > 1:
            return self.counted(1)
        return sum(kept(size, model.sparsity) for size in matrix_sizes(self.width))


def matrix_sizes(width: int) -> list[int]:
    """Entries of each matrix of a dense model that can be pruned."""
    block = [3 * width**2, width**2, 4 * width**2, 4 * width**2]
    return block * BLOCKS + [width * SYMBOLS]


def kept(size: int, sparsity: float) -> int:
    """Weights of a matrix that are left."""
    return max(1, round(size * (1 - sparsity)))


def stacks(width: int) -> list[Stack]:
    """The stacks of one width."""
    dense = tuple(Model(sparsity, seed) for sparsity in SPARSITIES for seed in range(SEEDS))
    routed = tuple(Model(0.0, seed) for seed in range(SEEDS))
    return [Stack(width, 1, dense), *(Stack(width, experts, routed) for experts in EXPERTS)]


# --- the models ------------------------------------------------------------------------------


def initial_weights(stack: Stack, seed: int) -> Weights:
    """Normal weights, of spread 1 / sqrt(inputs); the same for trainings that share a seed."""
    width, experts = stack.width, stack.experts
    shapes: dict[str, tuple[int, ...]] = {
        "embedding": (SYMBOLS, width),
        "position": (CONTEXT, width),
    }
    for block in range(BLOCKS):
        shapes[f"qkv{block}"] = (width, 3 * width)
        shapes[f"out{block}"] = (width, width)
        shapes[f"up{block}"] = (experts, width, 4 * width)
        shapes[f"down{block}"] = (experts, 4 * width, width)
        if experts > 1:
            shapes[f"router{block}"] = (width, experts)
    shapes["last"] = (width, SYMBOLS)
    weights = {}
    for name, shape in shapes.items():
        spread = 0.5 if name in ("embedding", "position") else shape[-2] ** -0.5
        drawn = []
        for model in stack.models:
            key = [seed, model.seed, width, list(shapes).index(name), experts]
            drawn.append(spread * np.random.default_rng(key).standard_normal(shape))
        weights[name] = torch.tensor(np.array(drawn), dtype=torch.float32, requires_grad=True)
    return weights


def pruned_so_far(sparsity: float, step: int) -> float:
    """The sparsity that the schedule has reached."""
    first, last = PRUNING_STEPS
    left = 1 - min(max((step - first) / (last - first), 0.0), 1.0)
    return sparsity * (1 - left**3)


def magnitude_masks(weights: Weights, masks: Weights, stack: Stack, step: int) -> Weights:
    """1 for the largest weights of each matrix among those that are left, 0 for the others."""
    renewed = {}
    for name, weight in weights.items():
        if name in ("embedding", "position"):
            continue
        sizes = (weight.detach() * masks.get(name, 1.0)).abs().flatten(1)
        ranks = sizes.argsort(dim=1, descending=True).argsort(dim=1)
        limits = [
            kept(sizes.shape[1], pruned_so_far(model.sparsity, step)) for model in stack.models
        ]
        renewed[name] = (ranks < torch.tensor(limits)[:, None]).float().view_as(weight)
    return renewed


def pruned(weights: Weights, masks: Weights) -> Weights:
    """The weights that are left."""
    return {
        name: weight * masks[name] if name in masks else weight for name, weight in weights.items()
    }


def feed_forward(
    weights: Weights, block: int, states: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the experts add to the states (models, characters, width), and the balancing loss."""
    up, down = weights[f"up{block}"], weights[f"down{block}"]
    models, experts = up.shape[:2]
    if experts == 1:
        return torch.relu(states @ up[:, 0]) @ down[:, 0], torch.zeros(models)
    shares = torch.softmax(states @ weights[f"router{block}"], dim=-1)
    best = shares.argmax(dim=-1)
    chosen = functional.one_hot(best, experts).to(shares)
    balance = experts * (chosen.mean(dim=1) * shares.mean(dim=1)).sum(dim=-1)
    gates = (chosen * shares).transpose(1, 2)[..., None]  # models, experts, characters, 1
    said = torch.relu(states[:, None] @ up) @ down
    return (gates * said).sum(dim=1), balance


def mean_losses(weights: Weights, symbols: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Nats a character of each model, and its balancing loss; symbols as in record_nano_runs."""
    models, sequences = symbols.shape[:2]
    width = weights["last"].shape[1]
    stacked = torch.arange(models)[:, None, None]
    states = weights["embedding"][stacked, symbols[:, :, :-1]] + weights["position"][:, None]
    states = states.reshape(models, sequences * CONTEXT, width)
    balance = torch.zeros(models)
    for block in range(BLOCKS):
        queries, keys, values = (
            part.reshape(models * sequences, CONTEXT, HEADS, width // HEADS).transpose(1, 2)
            for part in (normalised(states) @ weights[f"qkv{block}"]).chunk(3, dim=-1)
        )
        mixed = functional.scaled_dot_product_attention(queries, keys, values, is_causal=True)
        mixed = mixed.transpose(1, 2).reshape(models, sequences * CONTEXT, width)
        states = states + mixed @ weights[f"out{block}"]
        said, unevenness = feed_forward(weights, block, normalised(states))
        states, balance = states + said, balance + unevenness
    logits = normalised(states) @ weights["last"]
    losses = functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]), symbols[:, :, 1:].reshape(-1), reduction="none"
    )
    return losses.reshape(models, -1).mean(dim=1), balance


# --- training --------------------------------------------------------------------------------


def sequences_of_step(
    text: NDArray[np.int64], models: tuple[Model, ...], seed: int, step: int
) -> torch.Tensor:
    """The sequences of one step: the same for trainings that share a seed."""
    by_seed = []
    for number in range(SEEDS):
        rng = np.random.default_rng([seed, number, step])
        starts = rng.integers(0, len(text) - CONTEXT - 1, SEQUENCES)
        by_seed.append(text[starts[:, None] + np.arange(CONTEXT + 1)])
    return torch.from_numpy(np.array([by_seed[model.seed] for model in models]))


def train(
    stack: Stack, text: NDArray[np.int64], held_out: NDArray[np.int64], seed: int
) -> pd.DataFrame:
    """Train a stack with Adam; a row a model and checkpoint."""
    weights = initial_weights(stack, seed)
    moments = {name: (torch.zeros_like(w), torch.zeros_like(w)) for name, w in weights.items()}
    rate = LEARNING_RATES[stack.width]
    starts = np.linspace(0, len(held_out) - CONTEXT - 1, HELD_OUT_SEQUENCES).astype(int)
    test = torch.from_numpy(held_out[starts[:, None] + np.arange(CONTEXT + 1)])
    prunes = any(model.sparsity for model in stack.models)
    masks: Weights = {}
    rows: list[dict[str, object]] = []
    for step in range(1, max(STEPS) + 1):
        if prunes and PRUNING_STEPS[0] <= step <= PRUNING_STEPS[1] and step % RENEW == 0:
            masks = magnitude_masks(weights, masks, stack, step)
        batch = sequences_of_step(text, stack.models, seed, step)
        losses, balance = mean_losses(pruned(weights, masks), batch)
        (losses + BALANCE * balance).sum().backward()
        rates = torch.full((len(stack.models),), rate * min(1.0, step / WARMUP_STEPS))
        step_of_any_shape(weights, moments, rates, step)
        if step in STEPS:
            with torch.no_grad():
                held = test.expand(len(stack.models), -1, -1)
                scores = mean_losses(pruned(weights, masks), held)[0].tolist()
            tokens = step * SEQUENCES * CONTEXT
            rows += [
                row_of(stack, model, tokens, loss)
                for model, loss in zip(stack.models, scores, strict=True)
            ]
    return pd.DataFrame(rows)


def step_of_any_shape(
    weights: Weights,
    moments: dict[str, tuple[torch.Tensor, torch.Tensor]],
    rates: torch.Tensor,
    step: int,
) -> None:
    """`adam_step` for stacks of matrices and of experts."""
    flat, gradients = {}, {}
    for name, weight in weights.items():
        flat[name] = weight.detach().view(len(rates), -1, weight.shape[-1])
        gradients[name] = weight.grad.view_as(flat[name])
        flat[name].grad = gradients[name]
        weight.grad = None
    shaped = {
        name: tuple(moment.view_as(flat[name]) for moment in moments[name]) for name in weights
    }
    adam_step(flat, shaped, rates, step)


def row_of(stack: Stack, model: Model, tokens: int, loss: float) -> dict[str, object]:
    """One row of the table."""
    if stack.experts > 1:
        architecture, detail = "mixture", f"e{stack.experts}"
    elif model.sparsity:
        architecture, detail = "pruned", f"p{100 * model.sparsity:.0f}"
    else:
        architecture, detail = "dense", "d"
    active = stack.active(model)
    return {
        "run": f"w{stack.width:02d}-{detail}-s{model.seed + 1}",
        "architecture": architecture,
        "width": stack.width,
        "experts": stack.experts,
        "total_parameters": stack.total,
        "active_parameters": active,
        "sparsity": round(1 - active / stack.total, 5),
        "tokens": tokens,
        "compute": 6 * active * tokens,
        "learning_rate": LEARNING_RATES[stack.width],
        "seed": f"s{model.seed + 1}",
        "loss": finite(loss),
    }


def record(seed: int, parts: Path) -> pd.DataFrame:
    """All stacks; those already in `parts` are read."""
    text, held_out = read_text()
    parts.mkdir(parents=True, exist_ok=True)
    tables = []
    for stack in (stack for width in WIDTHS for stack in stacks(width)):
        part = parts / f"seed{seed}-width{stack.width}-experts{stack.experts}.csv"
        if not part.exists():
            started = time.perf_counter()
            write_whole(train(stack, text, held_out, seed), part)
            print(f"{part.stem}: {time.perf_counter() - started:.0f} s", flush=True)
        tables.append(pd.read_csv(part))
    return pd.concat(tables, ignore_index=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="seed of every random number")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the table")
    arguments = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    kept_parts = arguments.out / "sparse_runs.parts"
    runs = record(arguments.seed, kept_parts)
    write_whole(runs, arguments.out / "sparse_runs.csv")
    shutil.rmtree(kept_parts)
    print(runs.groupby(["architecture", "active_parameters"])["loss"].min().round(4).to_string())
