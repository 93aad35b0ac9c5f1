"""Measure how certain the recovered writers of the digits are. Prints; writes no table.

Three questions: do the labels fit fourteen copies of one form, are two forms ever by the same hand,
and to whom do the nine images belong that follow the one form without its first box?
"""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.svm import SVC

from recording import boxes_taken, digits_by_writer, find_form

HAND = SVC(C=10.0, gamma=0.3)  # tells two hands apart, given the image and which digit it shows
FOLDS = StratifiedKFold(5, shuffle=True, random_state=0)


def disagreements(digit: NDArray[np.int64], form: NDArray[np.int64]) -> NDArray[np.int64]:
    """Labels that differ from their box when laid over as many forms as are needed."""
    boxes = np.tile(form, -(-digit.size // form.size))
    return np.flatnonzero(boxes[boxes_taken(digit, boxes)] != digit)


def separation(features: NDArray[np.float64], is_second: NDArray[np.bool_]) -> float:
    """Cross-validated area under the ROC curve: 0.5 for one hand, 1 for two clear ones."""
    return float(cross_val_score(HAND, features, is_second, cv=FOLDS, scoring="roc_auc").mean())


def main() -> None:
    """Print the three answers."""
    pixels, digit, writer = digits_by_writer()
    form = find_form(digit)
    writers, sizes = np.unique(writer, return_counts=True)
    print("images of each writer:", dict(zip(writers.tolist(), sizes.tolist(), strict=True)))
    print("empty boxes:", writers.size * form.size - digit.size)
    print("labels that differ from their box:", disagreements(digit, form))
    shuffled = np.random.default_rng(0).permutation(digit)
    print("the same for shuffled labels:", disagreements(shuffled, form).size, "labels")

    features = np.column_stack([pixels, 2 * np.eye(10)[digit]])
    between = {}
    for first, second in combinations(writers, 2):
        pair = np.isin(writer, [first, second])
        between[f"{first}-{second}"] = separation(features[pair], writer[pair] == second)
    within = {}
    for name in writers:
        rows = np.flatnonzero(writer == name)
        within[str(name)] = separation(features[rows], np.arange(rows.size) >= rows.size // 2)
    closest = sorted(between, key=between.__getitem__)[:3]
    print("closest pairs:", {pair: round(between[pair], 3) for pair in closest})
    low, high = min(within.values()), max(within.values())
    print(f"first against second half of one form: {low:.2f} to {high:.2f}")

    start = int(np.flatnonzero(writer == "w08")[0])
    nine = np.arange(start, start + 9)
    others = np.setdiff1d(np.flatnonzero(np.isin(writer, ["w07", "w08"])), nine)
    hands = HAND.fit(features[others], writer[others]).predict(features[nine])
    print(f"images {start} to {start + 8} look like:", hands.tolist())


if __name__ == "__main__":
    main()
