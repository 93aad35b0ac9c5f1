"""Record `skill_families.csv`: scores of 240 networks of 20 families on ten tests of digits.

A family is one way of training: which pixels a network sees, its activation, its learning rate, how
many of its labels are wrong, and what is done to its training images (noise, shifts, turns, fading,
blots). Within a family networks differ in size, four widths, and in the images shown, three
checkpoints of each training. Eight tests ask for digits that are changed in one way each, two for
clean digits in a harder way: three in a row all right, and the right digit with a probability
above 0.7. One in eight scores is left out at random, as public tables have gaps. The images that
train are those of seven writers, those of the tests by the seven others.

    python examples/record_skill_families.py --seed 0        # a minute on one core
"""

import itertools
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.random import Generator
from numpy.typing import NDArray
from scipy.ndimage import rotate
from sklearn.neural_network import MLPClassifier

from record_family_ladders import tests_of
from recording import command_line, digits_by_writer, write_whole

FAMILIES, WIDTHS, CHECKPOINTS = 20, 4, 3
IN_A_ROW, ROWS_OF_DIGITS = 3, 2000
SURE = 0.7
LEFT_OUT = 1 / 8
BATCH = 16
Images = NDArray[np.float64]


@dataclass(frozen=True)
class Recipe:
    """What the networks of one family share."""

    activation: str
    learning_rate: float
    seen: NDArray[np.int64]  # pixels
    wrong: float  # share of wrong labels
    noise: float  # added to the training images
    shifted: float  # share of the training images that are moved by a pixel
    turned: float  # share that are turned by up to 25 degrees
    faded: float  # share that are faded, down to 0.3 of their grey
    blotted: float  # share of the pixels that are inverted


def draw_recipe(rng: Generator) -> Recipe:
    """Draw a family; most families do a few things to their images."""
    return Recipe(
        activation=str(rng.choice(["relu", "tanh", "logistic"])),
        learning_rate=float(10 ** rng.uniform(-2.8, -2.1)),
        seen=np.sort(rng.choice(64, int(rng.integers(36, 65)), replace=False)),
        wrong=float(rng.choice([0.0, 0.0, 0.1, 0.2])),
        noise=float(rng.choice([0.0, 0.1, 0.25])),
        shifted=float(rng.choice([0.0, 0.0, 0.5])),
        turned=float(rng.choice([0.0, 0.0, 0.5])),
        faded=float(rng.choice([0.0, 0.0, 0.5])),
        blotted=float(rng.choice([0.0, 0.0, 0.06])),
    )


def spoilt(recipe: Recipe, images: Images, rng: Generator) -> Images:
    """Training images as the family shows them, (n, 64)."""
    square = images.reshape(-1, 8, 8).copy()
    for one in range(len(square)):
        if rng.random() < recipe.shifted:
            square[one] = np.roll(square[one], rng.integers(-1, 2, 2), axis=(0, 1))
        if rng.random() < recipe.turned:
            square[one] = rotate(square[one], rng.uniform(-25, 25), reshape=False, order=1)
        if rng.random() < recipe.faded:
            square[one] *= rng.uniform(0.3, 1.0)
    square = np.where(rng.random(square.shape) < recipe.blotted, 1.0 - square, square)
    return (square + rng.normal(0, recipe.noise, square.shape)).reshape(-1, 64)


def score(
    network: MLPClassifier, tests: dict[str, Images], digit: NDArray[np.int64], rows: NDArray
) -> dict[str, float]:
    """Share of right answers on each test."""
    right = {name: network.predict(images) == digit for name, images in tests.items()}
    sure = network.predict_proba(tests["clean"])[np.arange(digit.size), digit] > SURE
    scores = {name: float(hits.mean()) for name, hits in right.items()}
    return scores | {
        "three_in_a_row": float(right["clean"][rows].all(axis=1).mean()),
        "sure": float(sure.mean()),
    }


def record(seed: int) -> pd.DataFrame:
    """One row a checkpoint: family, parameters, images shown, scores."""
    rng = np.random.default_rng(seed)
    pixels, digit, writer = digits_by_writer()
    known = writer <= "w07"
    asked, labels = digit[~known], digit[known]
    tests = tests_of(pixels[~known], rng)
    in_a_row = rng.integers(asked.size, size=(ROWS_OF_DIGITS, IN_A_ROW))
    table = []
    for family in range(1, FAMILIES + 1):
        recipe = draw_recipe(rng)
        visible = {name: images[:, recipe.seen] for name, images in tests.items()}
        most = rng.uniform(8000, 20000)
        for place, units in enumerate(np.geomspace(6, 96, WIDTHS) * rng.uniform(0.8, 1.25)):
            width = round(units)
            network = MLPClassifier(
                (width,), activation=recipe.activation, random_state=int(rng.integers(2**31)),
                learning_rate_init=recipe.learning_rate, batch_size=BATCH,
            )  # fmt: skip
            steps = (np.geomspace(most / 8, most, CHECKPOINTS) / BATCH).astype(int)
            for step in range(1, steps[-1] + 1):
                chosen = rng.integers(labels.size, size=BATCH)
                label = labels[chosen].copy()
                wrong = rng.random(BATCH) < recipe.wrong
                label[wrong] = rng.integers(0, 10, wrong.sum())
                batch = spoilt(recipe, pixels[known][chosen], rng)[:, recipe.seen]
                network.partial_fit(batch, label, classes=np.arange(10))
                if step in steps:
                    letter = "abc"[int(np.flatnonzero(steps == step)[0])]
                    found = score(network, visible, asked, in_a_row)
                    table.append(
                        {
                            "model": f"net-{family:02d}-{place + 1}{letter}",
                            "family": f"family-{family:02d}",
                            "parameters": width * (recipe.seen.size + 1) + 10 * (width + 1),
                            "images": step * BATCH,
                            **{name: round(value, 4) for name, value in found.items()},
                        }
                    )
    frame = pd.DataFrame(table)
    for row, name in itertools.product(range(len(frame)), frame.columns[4:]):
        if rng.random() < LEFT_OUT:
            frame.loc[row, name] = np.nan
    return frame


if __name__ == "__main__":
    arguments = command_line(__doc__)
    warnings.simplefilter("ignore")
    scores = record(arguments.seed)
    write_whole(scores, arguments.out / "skill_families.csv")
    print(scores.describe().round(3).to_string())
