"""Record `shifted_digits.csv`: what a small network says of digits like and unlike those it knows.

A perceptron (torch) is trained on 0 to 7 as seven writers wrote them. It is shown other digits of
these writers, digits of seven other writers, the first ones tilted by 20 degrees to one side or the
other, the same with noise, and the digits 8 and 9, which it does not know. Numbers have three
decimals.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from recording import command_line, digits_by_writer, write_whole
from statlas.uncertainty import NetworkClassifier

KNOWN = 8  # digits below this one
TRAINING_WRITERS = 7
TILT = 20.0  # degrees
NOISE = 0.25  # of the range of grey values


def tilted(pixels: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Images turned by `TILT` degrees, each to a side at random."""
    images = pixels.reshape(-1, 8, 8)
    left, right = (
        ndimage.rotate(images, sign * TILT, axes=(2, 1), reshape=False, order=1) for sign in (-1, 1)
    )
    to_left = rng.random(len(images)) < 0.5
    return np.where(to_left[:, None, None], left, right).reshape(len(images), -1)


def record(seed: int) -> pd.DataFrame:
    """One row an image, with the network's logits and features."""
    rng = np.random.default_rng(seed)
    pixels, digit, writer = digits_by_writer()
    familiar = np.isin(writer, np.unique(writer)[:TRAINING_WRITERS])
    known = digit < KNOWN
    own = rng.permutation(np.flatnonzero(familiar & known))
    train, test = np.sort(own[: len(own) // 2]), np.sort(own[len(own) // 2 :])
    others, unseen = np.flatnonzero(~familiar & known), np.flatnonzero(~known)
    model = NetworkClassifier(hidden=(32, 16), standardise=False, random_state=seed)
    model.fit(pixels[train], digit[train])
    noisy = np.clip(pixels[test] + NOISE * rng.normal(size=pixels[test].shape), 0, 1)
    parts = [
        ("training", train, pixels[train]),
        ("in-distribution", test, pixels[test]),
        ("other writers", others, pixels[others]),
        ("tilted", test, tilted(pixels[test], rng)),
        ("noisy", test, noisy),
        ("unseen digits", unseen, pixels[unseen]),
    ]
    return pd.concat(
        [_rows(model, domain, digit[rows], writer[rows], x) for domain, rows, x in parts]
    )


def _rows(
    model: NetworkClassifier,
    domain: str,
    digit: NDArray[np.int64],
    writer: NDArray[np.str_],
    pixels: NDArray[np.float64],
) -> pd.DataFrame:
    logits, features = model.logits(pixels), model.embed(pixels)
    columns: dict[str, object] = {"domain": domain, "label": digit, "writer": writer}
    columns |= {f"logit_{c}": logits[:, k].round(3) for k, c in enumerate(model.classes_)}
    columns |= {f"feature_{k:02d}": column.round(3) for k, column in enumerate(features.T)}
    # ODIN's scores lie close to 1 / 8 at its temperature of 1000; the excess is kept.
    columns["score_odin"] = (1e6 * (model.odin_scores(pixels) - 1 / KNOWN)).round(1)
    return pd.DataFrame(columns)


if __name__ == "__main__":
    arguments = command_line(__doc__)
    table = record(arguments.seed)
    write_whole(table, arguments.out / "shifted_digits.csv")
    names = [f"logit_{c}" for c in range(KNOWN)]
    right = table[names].to_numpy().argmax(axis=1) == table["label"]
    print(right.groupby(table["domain"], sort=False).agg(["size", "mean"]).round(3))
