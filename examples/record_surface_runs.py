"""Record `surface_runs.csv`: losses of small language models over a grid of sizes and tokens.

Transformers of two blocks read the source code of Python's standard library, character by
character, as in `record_nano_runs.py`: 6 widths with 3 seeds, to 6 lengths of training a factor
of 2 apart. The learning rate is constant after a warm-up. For each length a copy is taken at four
fifths of it, and the learning rate of the copy falls in a line to 0 over the last fifth; so every
loss is that of a training that was planned to end there, and the trainings of one width and seed
share their beginning. The loss is that on files that no model was trained on.

The models of one width are trained together. Each finished width is kept in
`surface_runs.parts` and not trained again after an interruption.

    python examples/record_surface_runs.py --seed 0
"""

import argparse
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from nano_transformers import Shape, Weights, adam_step, finite, initial_weights, mean_losses
from record_nano_runs import read_text
from recording import HERE, write_whole

WIDTHS, BLOCKS, HEADS, CONTEXT = (4, 6, 8, 12, 16, 24), 2, 2, 64
SEQUENCES, SEEDS, HELD_OUT_SEQUENCES = 4, 3, 256
LENGTHS = tuple(200 * 2**power for power in range(6))  # steps
LEARNING_RATE, WARMUP_STEPS, DECAY_SHARE = 0.01, 50, 0.2
Moments = dict[str, tuple[torch.Tensor, torch.Tensor]]


def symbols_of(text: NDArray[np.int64], seed: int, step: int) -> torch.Tensor:
    """The sequences of one step for each seed, (SEEDS, SEQUENCES, CONTEXT + 1)."""
    drawn = []
    for number in range(SEEDS):
        rng = np.random.default_rng([seed, number, step])
        starts = rng.integers(0, len(text) - CONTEXT - 1, SEQUENCES)
        drawn.append(text[starts[:, None] + np.arange(CONTEXT + 1)])
    return torch.from_numpy(np.array(drawn))


def copied(weights: Weights, moments: Moments) -> tuple[Weights, Moments]:
    """Weights and moments to go on from by another way."""
    return (
        {name: weight.detach().clone().requires_grad_() for name, weight in weights.items()},
        {name: (mean.clone(), square.clone()) for name, (mean, square) in moments.items()},
    )


def train_width(
    width: int, text: NDArray[np.int64], held_out: NDArray[np.int64], seed: int
) -> pd.DataFrame:
    """Train the models of one width; a row a length and seed."""
    shape = Shape(width, BLOCKS, HEADS, CONTEXT)
    weights = initial_weights(shape, range(SEEDS), seed)
    moments: Moments = {
        name: (torch.zeros_like(w), torch.zeros_like(w)) for name, w in weights.items()
    }
    starts = np.linspace(0, len(held_out) - CONTEXT - 1, HELD_OUT_SEQUENCES).astype(int)
    test = torch.from_numpy(held_out[starts[:, None] + np.arange(CONTEXT + 1)])

    def one_step(weights: Weights, moments: Moments, step: int, share: float) -> None:
        mean_losses(weights, symbols_of(text, seed, step), shape).sum().backward()
        adam_step(weights, moments, torch.full((SEEDS,), LEARNING_RATE * share), step)

    rows: list[dict[str, object]] = []
    reached = 0
    for length in LENGTHS:
        decay = round(DECAY_SHARE * length)
        for step in range(reached + 1, length - decay + 1):
            one_step(weights, moments, step, min(1.0, step / WARMUP_STEPS))
        reached = length - decay
        branch = copied(weights, moments)
        for step in range(reached + 1, length + 1):
            one_step(*branch, step, (length + 1 - step) / (decay + 1))
        with torch.no_grad():
            scores = mean_losses(branch[0], test.expand(SEEDS, -1, -1), shape).tolist()
        tokens = length * SEQUENCES * CONTEXT
        rows += [row_of(shape, number, tokens, loss) for number, loss in enumerate(scores)]
    return pd.DataFrame(rows)


def row_of(shape: Shape, number: int, tokens: int, loss: float) -> dict[str, object]:
    """One row of the table."""
    return {
        "run": f"w{shape.width:02d}-s{number + 1}",
        "width": shape.width,
        "depth": shape.depth,
        "parameters": shape.parameters,
        "tokens": tokens,
        "compute": 6 * shape.parameters * tokens,
        "seed": f"s{number + 1}",
        "loss": finite(loss),
    }


def record(seed: int, parts: Path) -> pd.DataFrame:
    """All widths; those already in `parts` are read."""
    text, held_out = read_text()
    parts.mkdir(parents=True, exist_ok=True)
    tables = []
    for width in WIDTHS:
        part = parts / f"seed{seed}-width{width}.csv"
        if not part.exists():
            started = time.perf_counter()
            write_whole(train_width(width, text, held_out, seed), part)
            print(f"width {width}: {time.perf_counter() - started:.0f} s", flush=True)
        tables.append(pd.read_csv(part))
    return pd.concat(tables, ignore_index=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="seed of every random number")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the table")
    arguments = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    kept = arguments.out / "surface_runs.parts"
    runs = record(arguments.seed, kept)
    write_whole(runs, arguments.out / "surface_runs.csv")
    shutil.rmtree(kept)
    print(runs.pivot_table(index="parameters", columns="tokens", values="loss").round(4))
