"""Record `step_grid.csv`: losses of small language models over learning rate and batch size.

Transformers of two blocks read the source code of Python's standard library, character by
character. For 3 widths and 3 lengths of training (cells of N and D) a grid of 7 learning rates and
5 or 6 batch sizes is trained to the end, with 2 seeds: a training of its own for each, since the
schedule ends where the training does. The set-up follows that of the Step Law at a small scale:
AdamW (0.9, 0.95, weight decay 0.1, gradients clipped at norm 1), a warm-up, then a cosine down to
one fixed learning rate for all. The loss is that on files that no model was trained on.

The 14 models of a cell and batch size are trained together, as one stack of matrices. Each finished
cell is kept in `step_grid.parts` and not trained again after an interruption; `--restart` forgets
them.

    python examples/record_step_grid.py --seed 0        # 10 minutes on one core
"""

import argparse
import itertools
import math
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from nano_transformers import Shape, finite, initial_weights, mean_losses
from record_nano_runs import read_text
from recording import HERE, write_whole

WIDTHS, BLOCKS, HEADS, CONTEXT = (6, 10, 16), 2, 2, 32
TOKENS_AND_BATCHES = {  # characters of a training, and sequences of a batch
    49_152: (1, 2, 4, 8, 16),
    147_456: (1, 2, 4, 8, 16, 32),
    442_368: (2, 4, 8, 16, 32, 64),
}
LEARNING_RATES = tuple(0.002 * 2.0**power for power in range(7))
LAST_LEARNING_RATE, WARMUP_SHARE = 1e-4, 0.05
BETAS, EPSILON, WEIGHT_DECAY, LARGEST_GRADIENT = (0.9, 0.95), 1e-8, 0.1, 1.0
SEEDS, HELD_OUT_SEQUENCES = 2, 256

Flat = torch.Tensor  # (models, weights), all weights of a model side by side


def learning_rate(peak: torch.Tensor, step: int, steps: int) -> torch.Tensor:
    """A linear warm-up, then half a cosine down to the last learning rate."""
    warm = max(1, round(WARMUP_SHARE * steps))
    if step <= warm:
        return peak * (step / warm)
    falling = 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))
    return LAST_LEARNING_RATE + (peak - LAST_LEARNING_RATE) * falling


def adamw_step(weights: Flat, moments: tuple[Flat, Flat], rate: torch.Tensor, step: int) -> None:
    """One step of AdamW with a learning rate for each model of the stack."""
    assert weights.grad is not None
    with torch.no_grad():
        norm = weights.grad.norm(dim=1, keepdim=True)
        gradient = weights.grad * torch.clamp(LARGEST_GRADIENT / norm, max=1.0)
        mean, square = moments
        mean.lerp_(gradient, 1 - BETAS[0])
        square.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        size = (square / (1 - BETAS[1] ** step)).sqrt_().add_(EPSILON)
        weights.mul_(1 - rate * WEIGHT_DECAY)
        weights.sub_(rate / (1 - BETAS[0] ** step) * mean / size)
        weights.grad = None


def train(
    width: int,
    tokens: int,
    sequences: int,
    text: NDArray[np.int64],
    test: torch.Tensor,
    seed: int,
) -> list[dict[str, object]]:
    """Train the stack of one cell and batch size; a row a model."""
    shape = Shape(width, BLOCKS, HEADS, CONTEXT)
    rates, members = zip(*itertools.product(LEARNING_RATES, range(SEEDS)), strict=True)
    named = initial_weights(shape, members, seed)
    forms = {name: weight.shape for name, weight in named.items()}
    parts = [weight.detach().reshape(len(members), -1) for weight in named.values()]
    weights = torch.cat(parts, dim=1).requires_grad_()
    sizes = [part.shape[1] for part in parts]

    def losses(symbols: torch.Tensor) -> torch.Tensor:
        pieces = weights.split(sizes, dim=1)
        by_name = {
            name: piece.reshape(form)
            for (name, form), piece in zip(forms.items(), pieces, strict=True)
        }
        return mean_losses(by_name, symbols, shape)

    steps = round(tokens / (sequences * CONTEXT))
    starts = [
        np.random.default_rng([seed, number, width, tokens, sequences]).integers(
            0, len(text) - CONTEXT - 1, (steps, sequences, 1)
        )
        for number in range(SEEDS)
    ]
    peak = torch.tensor(rates)[:, None]
    moments = (torch.zeros_like(weights), torch.zeros_like(weights))
    for step in range(1, steps + 1):
        drawn = np.stack([text[start[step - 1] + np.arange(CONTEXT + 1)] for start in starts])
        losses(torch.from_numpy(drawn[list(members)])).sum().backward()
        adamw_step(weights, moments, learning_rate(peak, step, steps), step)
    with torch.no_grad():
        found = losses(test.expand(len(members), -1, -1)).tolist()
    return [
        {
            "width": width,
            "parameters": shape.body_parameters,
            "tokens": steps * sequences * CONTEXT,
            "learning_rate": rate,
            "batch_size": sequences * CONTEXT,
            "seed": f"s{member + 1}",
            "loss": finite(loss),
        }
        for rate, member, loss in zip(rates, members, found, strict=True)
    ]


def record(seed: int, parts: Path) -> pd.DataFrame:
    """All cells; those already in `parts` are read."""
    text, held_out = read_text()
    places = np.linspace(0, len(held_out) - CONTEXT - 1, HELD_OUT_SEQUENCES).astype(int)
    test = torch.from_numpy(held_out[places[:, None] + np.arange(CONTEXT + 1)])
    parts.mkdir(parents=True, exist_ok=True)
    tables = []
    for width, (tokens, batches) in itertools.product(WIDTHS, TOKENS_AND_BATCHES.items()):
        part = parts / f"seed{seed}-width{width}-tokens{tokens}.csv"
        if not part.exists():
            started = time.perf_counter()
            rows = [
                row for batch in batches for row in train(width, tokens, batch, text, test, seed)
            ]
            write_whole(pd.DataFrame(rows), part)
            print(f"{width} {tokens}: {time.perf_counter() - started:.0f} s", flush=True)
        tables.append(pd.read_csv(part))
    return pd.concat(tables, ignore_index=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="seed of every random number")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the table")
    parser.add_argument("--restart", action="store_true", help="forget finished cells")
    arguments = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    kept = arguments.out / "step_grid.parts"
    if arguments.restart:
        shutil.rmtree(kept, ignore_errors=True)
    grid = record(arguments.seed, kept)
    write_whole(grid, arguments.out / "step_grid.csv")
    shutil.rmtree(kept)
    cells = grid.groupby(["parameters", "tokens"])
    print(grid.loc[cells["loss"].idxmin()].to_string(index=False))
