"""What the recording scripts share: the writers of the digits, command line, whole files.

scikit-learn ships the test part of the UCI handwritten digits (optdigits): 1797 images, without
the writer of each. The writer can be recovered. Everyone filled the same preprinted form of 130
boxes, and the data set keeps the order of the boxes, so the sequence of labels repeats from form
to form, with a few boxes missing. Laying the labels over copies of the form shows where each
form begins. `README.md` says how certain the result is.
"""

import argparse
import os
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.datasets import load_digits

HERE = Path(__file__).resolve().parent
BOXES_PER_FORM = 130  # the lag at which the sequence of labels agrees with itself most often


def command_line(description: str) -> argparse.Namespace:
    """Read `--seed` (default 0) and `--out` (default: beside this file)."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--seed", type=int, default=0, help="seed of every random number")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the table")
    return parser.parse_args()


def write_whole(table: pd.DataFrame, path: Path) -> None:
    """Write a CSV file whole or not at all: to a temporary name first, then renamed."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name, suffix=".part")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            table.to_csv(file, index=False, lineterminator="\n")
        temporary.chmod(0o644)  # mkstemp makes files that only the owner can read
        temporary.replace(path)
    except BaseException:
        temporary.unlink()
        raise


def digits_by_writer() -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.str_]]:
    """Load the digits with the writer of each.

    Returns
    -------
    pixels : (1797, 64), grey values from 0 to 1
    digit : (1797,), the label, 0 to 9
    writer : (1797,), "w01" to "w14", in the order of the data set
    """
    pixels, digit = load_digits(return_X_y=True)
    earliest, latest = earliest_and_latest_form(digit, find_form(digit))
    if not np.array_equal(earliest, latest):
        raise RuntimeError("the labels do not say where every form begins")
    writer = np.array([f"w{form + 1:02d}" for form in earliest])
    return pixels / 16.0, digit, writer


def find_form(digit: NDArray[np.int64]) -> NDArray[np.int64]:
    """Find the labels of the 130 boxes: the commonest window that starts like the data set."""
    opening = tuple(digit[:30])  # 0 to 9, three times over: it occurs nowhere else in a form
    starts = range(digit.size - BOXES_PER_FORM + 1)
    windows = (tuple(digit[start : start + BOXES_PER_FORM]) for start in starts)
    counts = Counter(window for window in windows if window[:30] == opening)
    return np.array(counts.most_common(1)[0][0])


def earliest_and_latest_form(
    digit: NDArray[np.int64], form: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lay the labels over copies of the form, in order, with as few disagreements as possible.

    Every label takes one box and boxes may stay empty. Where several layouts are equally good,
    the earliest and the latest possible form of a label differ; where they agree it is certain.

    Returns
    -------
    earliest, latest : (n_labels,), number of the form, counted from 0
    """
    n_forms = -(-digit.size // form.size)  # the fewest that have a box for each label
    boxes = np.tile(form, n_forms)
    latest = boxes_taken(digit, boxes)
    # The same task read backwards prefers the late boxes of the reversed order: the early ones.
    earliest = boxes.size - 1 - boxes_taken(digit[::-1], boxes[::-1])[::-1]
    return earliest // form.size, latest // form.size


def boxes_taken(digit: NDArray[np.int64], boxes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give each label its box in the best layout; among equals, the latest box.

    Dynamic programming: fewest[i, j] is the smallest number of disagreements when the first i
    labels lie in the first j boxes.
    """
    fewest = np.full((digit.size + 1, boxes.size + 1), np.inf)
    fewest[0] = 0.0
    for i, label in enumerate(digit, start=1):
        placed = fewest[i - 1, :-1] + (boxes != label)  # label i lies in box j ...
        fewest[i, 1:] = np.minimum.accumulate(placed)  # ... or in an earlier one

    taken = np.empty(digit.size, dtype=np.int64)
    j = boxes.size
    for i in range(digit.size, 0, -1):
        while fewest[i - 1, j - 1] + (boxes[j - 1] != digit[i - 1]) > fewest[i, j]:
            j -= 1  # box j stays empty
        j -= 1
        taken[i - 1] = j
    return taken
