"""Record `quality_runs.csv`: small language models on good, repetitive and machine-made text.

Transformers of two blocks read variants of one corpus, the source code of Python's standard
library, character by character: all of it, ever smaller parts over and over, text sampled from
n-gram models of it of falling order, and blends. All are tested on the same files, which no text
here was made from. 11 texts x 3 widths x 3 seeds; the loss is noted at 7 lengths of training, at a
constant learning rate, so that an early row is what a training planned to end there would have
given. Beside each loss stand the measures of the text that `statlas.scaling.effective_tokens`
takes; their teacher has read other files than the texts and the tests.

The 33 models of one width are trained together, as one stack of matrices. Each finished width is
kept in `quality_runs.parts` and not trained again after an interruption; `--restart` forgets them.

    python examples/record_quality_runs.py --seed 0        # 6 minutes on one core
"""

import argparse
import itertools
import os
import shutil
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from nano_transformers import Shape, checkpoints, encoded, finite, initial_weights, mean_losses
from recording import HERE, write_whole
from statlas.scaling.effective_tokens import NgramTeacher, measure_texts

WIDTHS, BLOCKS, HEADS, CONTEXT, SEQUENCES = (8, 16, 32), 2, 2, 64, 2
SEEDS, STEPS, CHECKPOINTS, WARMUP_STEPS = 3, 4096, 7, 50
RATE_TIMES_WIDTH = 0.15  # learning rate = this / width, as for corpus_runs.csv
HELD_OUT_SEQUENCES = 256
SAMPLED_CHARACTERS, BLEND = 2_000_000, 4096  # of synthetic text, and of a piece of a blend


def read_parts() -> dict[str, str]:
    """The corpus in three: of twelve files one is for tests and two are for the teacher."""
    parts: dict[str, list[str]] = {"train": [], "test": [], "teacher": []}
    for place, path in enumerate(sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))):
        role = {0: "test", 3: "teacher", 9: "teacher"}.get(place % 12, "train")
        parts[role].append(path.read_text(encoding="utf-8"))
    return {role: "".join(texts) for role, texts in parts.items()}


def blended(one: str, other: str) -> str:
    """Pieces of two texts in turn, the shorter text over and over."""
    length = max(len(one), len(other)) // BLEND * BLEND
    long = [(text * (-(-length // len(text))))[:length] for text in (one, other)]
    starts = range(0, length, BLEND)
    return "".join(text[start : start + BLEND] for start in starts for text in long)


def texts_of(corpus: str, seed: int) -> dict[str, str]:
    """The eleven texts."""
    middle = len(corpus) // 2
    parts = {f"repeated-{size // 1024}k": corpus[middle:][:size] for size in (2**18, 2**16, 2**14)}
    sampled = {}
    for order in (5, 3, 2, 1):
        made = (
            NgramTeacher(order)
            .fit(corpus)
            .sample(SAMPLED_CHARACTERS, np.random.default_rng([seed, order]))
        )
        sampled[f"synthetic-{order}"] = made.decode("latin-1")
    return {
        "whole": corpus,
        **parts,
        **sampled,
        "half-synthetic-3": blended(corpus, sampled["synthetic-3"]),
        "half-synthetic-1": blended(corpus, sampled["synthetic-1"]),
        "half-repeated-16k": blended(corpus, parts["repeated-16k"]),
    }


def batches(texts: list[NDArray[np.int64]], seed: int) -> Iterator[torch.Tensor]:
    """The sequences of each step: the same places in the text for texts that share a seed."""
    for step in itertools.count():
        draws = [
            np.random.default_rng([seed, member, step]).random(SEQUENCES) for member in range(SEEDS)
        ]
        yield torch.from_numpy(
            np.array(
                [
                    text[
                        (draw * (len(text) - CONTEXT)).astype(int)[:, None] + np.arange(CONTEXT + 1)
                    ]
                    for text in texts
                    for draw in draws
                ]
            )
        )


def train_width(width: int, texts: dict[str, str], test: torch.Tensor, seed: int) -> pd.DataFrame:
    """Train the 33 models of one width; a row a model and checkpoint."""
    members = [(name, number) for name in texts for number in range(SEEDS)]
    shape = Shape(width, BLOCKS, HEADS, CONTEXT)
    weights = initial_weights(shape, [number for _, number in members], seed)
    peaks = torch.full((len(members),), RATE_TIMES_WIDTH / width)
    read = [encoded(text) for text in texts.values()]
    rows = []
    for step in checkpoints(
        weights,
        shape,
        batches(read, seed),
        lambda step: peaks * min(step / WARMUP_STEPS, 1.0),
        [STEPS >> halving for halving in range(CHECKPOINTS)],
    ):
        with torch.no_grad():
            losses = mean_losses(weights, test.expand(len(members), -1, -1), shape).tolist()
        for (name, number), loss in zip(members, losses, strict=True):
            rows.append(
                {
                    "run": f"{name}-w{width:02d}-s{number + 1}",
                    "recipe": name,
                    "width": width,
                    "parameters": shape.parameters,
                    "tokens": step * SEQUENCES * CONTEXT,
                    "seed": f"s{number + 1}",
                    "loss": finite(loss),
                }
            )
    return pd.DataFrame(rows)


def record(seed: int, parts: Path) -> pd.DataFrame:
    """All widths; those already in `parts` are read."""
    corpus = read_parts()
    texts = texts_of(corpus["train"], seed)
    measures = measure_texts(texts, NgramTeacher(5).fit(corpus["teacher"]), rng=seed).round(4)
    print(measures.to_string(index=False), flush=True)
    held_out = encoded(corpus["test"])
    places = np.linspace(0, len(held_out) - CONTEXT - 1, HELD_OUT_SEQUENCES).astype(int)
    test = torch.from_numpy(held_out[places[:, None] + np.arange(CONTEXT + 1)])
    parts.mkdir(parents=True, exist_ok=True)
    tables = []
    for width in WIDTHS:
        part = parts / f"seed{seed}-width{width}.csv"
        if not part.exists():
            started = time.perf_counter()
            write_whole(train_width(width, texts, test, seed), part)
            print(f"width {width}: {time.perf_counter() - started:.0f} s", flush=True)
        tables.append(pd.read_csv(part))
    whole = pd.concat(tables, ignore_index=True)
    return whole.merge(measures.drop(columns="characters"), on="recipe", how="left")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="seed of every random number")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the table")
    parser.add_argument("--restart", action="store_true", help="forget finished widths")
    arguments = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    kept = arguments.out / "quality_runs.parts"
    if arguments.restart:
        shutil.rmtree(kept, ignore_errors=True)
    runs = record(arguments.seed, kept)
    write_whole(runs, arguments.out / "quality_runs.csv")
    shutil.rmtree(kept)
    last = runs[runs["tokens"] == runs["tokens"].max()]
    print(last.pivot_table(index="recipe", columns="width", values="loss").round(4).to_string())
