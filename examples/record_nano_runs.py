"""Record `nano_runs.csv`: losses of 240 small language models over size, tokens and settings.

Transformers of two blocks read the source code of Python's standard library, character by
character: 8 widths x 5 learning rates x 2 warm-ups x 3 seeds. The loss on files that no model was
trained on is noted when the training has cost 4.7e8, 9.4e8, ..., 6e10 floating-point operations
(6 x parameters x characters), so one training gives several rows. The learning rate is constant
after the warm-up, so an early row is what a training planned to end there would have given.

The 30 models of one width are trained together, as one stack of matrices. Each finished width is
kept in `nano_runs.parts` and not trained again after an interruption; `--restart` forgets them.

    python examples/record_nano_runs.py --seed 0        # 14 minutes on one core
"""

import argparse
import itertools
import os
import shutil
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from nano_transformers import (
    SYMBOLS,
    Shape,
    checkpoints,
    encoded,
    finite,
    initial_weights,
    mean_losses,
)
from recording import HERE, write_whole

WIDTHS = (4, 6, 8, 12, 16, 24, 32, 48)
BLOCKS, HEADS, CONTEXT, SEQUENCES = 2, 2, 64, 2
LEARNING_RATES = (0.0025, 0.0063, 0.016, 0.04, 0.1)
LONG_WARMUP = 40_960  # characters, for every size; the short one has as many as parameters
SEEDS = 3
BUDGETS = 6e10 / 2.0 ** np.arange(7, -1, -1)  # floating-point operations
MOST_CHARACTERS_A_PARAMETER, FEWEST_STEPS = 500, 12
HELD_OUT_EVERY, HELD_OUT_SEQUENCES = 12, 128


# --- the text --------------------------------------------------------------------------------


def read_text() -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Characters to train on and held-out ones; every twelfth file is held out."""
    parts: tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]] = ([], [])
    for place, path in enumerate(sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))):
        held_out = place % HELD_OUT_EVERY == 0
        parts[held_out].append(encoded(path.read_text(encoding="utf-8")))
    return np.concatenate(parts[0]), np.concatenate(parts[1])


# --- the settings ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """What one of the stacked trainings does."""

    learning_rate: float
    warmup: str
    warmup_tokens: int
    seed: int


def shape_of(width: int) -> Shape:
    """Shape of the transformers of one width."""
    return Shape(width, BLOCKS, HEADS, CONTEXT)


def settings_of(shape: Shape) -> list[Setting]:
    """Every combination of learning rate, warm-up and seed."""
    warmups = {"long": LONG_WARMUP, "short": shape.parameters}
    return [
        Setting(rate, name, tokens, seed)
        for rate, (name, tokens), seed in itertools.product(
            LEARNING_RATES, warmups.items(), range(SEEDS)
        )
    ]


# --- training --------------------------------------------------------------------------------


def batches(text: NDArray[np.int64], settings: list[Setting], seed: int) -> Iterator[torch.Tensor]:
    """The sequences of each step: the same for trainings that share a seed."""
    for step in itertools.count(1):
        by_seed = []
        for number in range(SEEDS):
            rng = np.random.default_rng([seed, number, step])
            starts = rng.integers(0, len(text) - CONTEXT - 1, SEQUENCES)
            by_seed.append(text[starts[:, None] + np.arange(CONTEXT + 1)])
        yield torch.from_numpy(np.array([by_seed[setting.seed] for setting in settings]))


def train_width(
    width: int, text: NDArray[np.int64], held_out: NDArray[np.int64], seed: int
) -> pd.DataFrame:
    """Train the 30 models of one width with Adam; a row a model and budget."""
    shape = shape_of(width)
    settings = settings_of(shape)
    weights = initial_weights(shape, [setting.seed for setting in settings], seed)
    peaks = torch.tensor([setting.learning_rate for setting in settings])
    warmups = torch.tensor([float(setting.warmup_tokens) for setting in settings])
    per_step = SEQUENCES * CONTEXT

    def rates(step: int) -> torch.Tensor:
        return peaks * torch.clamp(step * per_step / warmups, max=1.0)

    starts = np.linspace(0, len(held_out) - CONTEXT - 1, HELD_OUT_SEQUENCES).astype(int)
    test = torch.from_numpy(held_out[starts[:, None] + np.arange(CONTEXT + 1)])
    rows: list[dict[str, object]] = []
    trained = batches(text, settings, seed)
    for step in checkpoints(weights, shape, trained, rates, stops_of(shape)):
        with torch.no_grad():
            scores = mean_losses(weights, test.expand(len(settings), -1, -1), shape).tolist()
        for setting, loss in zip(settings, scores, strict=True):
            rows.append(row_of(shape, setting, step * per_step, loss))
    return pd.DataFrame(rows)


def stops_of(shape: Shape) -> list[int]:
    """Steps at which a budget is spent, of those that this shape can use."""
    characters = BUDGETS / (6 * shape.parameters)
    steps = characters / (SEQUENCES * CONTEXT)
    used = characters <= MOST_CHARACTERS_A_PARAMETER * shape.parameters
    return [round(step) for step in steps[used & (steps >= FEWEST_STEPS)]]


def row_of(shape: Shape, setting: Setting, tokens: int, loss: float) -> dict[str, object]:
    """One row of the table."""
    rate, member = setting.learning_rate, f"s{setting.seed + 1}"
    return {
        "run": f"w{shape.width:02d}-{rate:g}-{setting.warmup}-{member}",
        "width": shape.width,
        "depth": shape.depth,
        "vocabulary": SYMBOLS,
        "context": shape.context,
        "parameters": shape.parameters,
        "tokens": tokens,
        "compute": 6 * shape.parameters * tokens,
        "learning_rate": rate,
        "warmup": setting.warmup,
        "warmup_tokens": setting.warmup_tokens,
        "seed": member,
        "loss": finite(loss),
    }


def record(seed: int, parts: Path) -> pd.DataFrame:
    """All widths; those already in `parts` are read."""
    text, held_out = read_text()
    print(f"{len(text):,} characters to train on, {len(held_out):,} held out")
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
    parser.add_argument("--restart", action="store_true", help="forget finished widths")
    arguments = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    kept = arguments.out / "nano_runs.parts"
    if arguments.restart:
        shutil.rmtree(kept, ignore_errors=True)
    runs = record(arguments.seed, kept)
    write_whole(runs, arguments.out / "nano_runs.csv")
    shutil.rmtree(kept)
    print(runs.groupby(["compute", "width"])["loss"].min().round(4).to_string())
