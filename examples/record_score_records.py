"""Record `score_records.csv`: what 32 classifiers score on 36 tasks from a few examples a class.

A record is like one of a leaderboard of language models: a family of models, its size, how many
labelled examples a class it was shown ("shots"), a task, and the score. Eight families (networks,
forests, trees, boosted stumps, neighbours, random features, principal components, naive Bayes)
come in four sizes: hidden units, trees, leaves, rounds, neighbours, features and components. The 36
tasks belong to seven groups made from scikit-learn's digits (plain, of two kinds, and damaged),
wine, breast cancer, iris and diabetes sets and from the facts of `mail_labels.csv`. A score is the
share of right answers on held-out items, the mean of three draws of the shots; all models get the
same draws. Some combinations are left out as if they had not been run: one in sixteen at random,
and as many again by leaving out a model's runs of a task, a family's runs of a task at one number
of shots, and all of a family's runs of a task.

    python examples/record_score_records.py --seed 0        # 1.5 minutes on one core
"""

import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn import datasets
from sklearn.base import ClassifierMixin
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import AdaBoostClassifier, RandomForestClassifier
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import RidgeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from recording import HERE, command_line, digits_by_writer, write_whole

SHOTS = (2, 4, 8, 16)
DRAWS = 3
LEFT_OUT = 1 / 16  # of single combinations
LEFT_OUT_TOGETHER = 1 / 48  # of each kind of group of them
MOST_ASKED = 400
FewShots = Callable[[int, int], ClassifierMixin]  # (size, seed) -> classifier


@dataclass(frozen=True)
class Task:
    """Items to learn from and items to be asked about."""

    group: str
    name: str
    known: NDArray[np.float64]
    known_label: NDArray[np.int64]
    asked: NDArray[np.float64]
    asked_label: NDArray[np.int64]


# --- tasks -----------------------------------------------------------------------------------


def all_tasks(rng: np.random.Generator) -> list[Task]:
    """The 36 tasks; items known and asked are the same for tasks of one data set."""
    return [*digit_tasks(rng), *wine_tasks(rng), *cancer_tasks(rng), *other_tasks(rng)]


def digit_tasks(rng: np.random.Generator) -> Iterator[Task]:
    """Digits of seven writers to learn from, of the seven others to be asked about."""
    pixels, digit, writer = digits_by_writer()
    known = writer <= "w07"
    square = pixels.reshape(-1, 8, 8)

    def task(group: str, name: str, images: NDArray, label: NDArray, used: NDArray) -> Task:
        flat = images.reshape(len(images), -1)
        asked = np.flatnonzero(~known & used)
        asked = np.sort(rng.choice(asked, min(MOST_ASKED, asked.size), replace=False))
        learn = np.flatnonzero(known & used)
        label = np.unique(label, return_inverse=True)[1]
        return Task(group, name, flat[learn], label[learn], flat[asked], label[asked])

    everyone = np.ones(digit.size, dtype=bool)
    yield task("digits", "which-of-ten", square, digit, everyone)
    yield task("digits", "odd-or-even", square, digit % 2, everyone)
    yield task("digits", "below-five", square, digit < 5, everyone)
    yield task("digits", "has-a-loop", square, np.isin(digit, (0, 6, 8, 9)), everyone)
    for first, second in ((3, 8), (4, 9), (1, 7), (5, 9), (0, 6)):
        used = np.isin(digit, (first, second))
        yield task("digit-pairs", f"{first}-or-{second}", square, digit, used)
    damaged = {
        "noisy": square + rng.normal(0, 0.5, square.shape),
        "upper-half": square[:, :4],
        "left-half": square[:, :, :4],
        "coarse": square.reshape(-1, 4, 2, 4, 2).mean(axis=(2, 4)),
        "black-and-white": (square > 0.5).astype(float),
        "speckled": np.where(rng.random(square.shape) < 0.2, 1.0 - square, square),
        "column-sums": square.sum(axis=1),
    }
    for name, images in damaged.items():
        yield task("damaged-digits", f"ten-{name}", images, digit, everyone)


def halved(rng: np.random.Generator, group: str, items: NDArray, label: NDArray) -> Callable:
    """Split a data set once; returns a maker of tasks on some of its columns or classes."""
    known = np.zeros(len(items), dtype=bool)
    known[rng.permutation(len(items))[: len(items) // 2]] = True

    def task(name: str, columns: object, label: NDArray = label, used: object = None) -> Task:
        wanted = np.ones(len(items), dtype=bool) if used is None else np.asarray(used)
        codes = np.unique(label[wanted], return_inverse=True)[1]
        kept, at = items[wanted][:, columns], known[wanted]
        return Task(group, name, kept[at], codes[at], kept[~at], codes[~at])

    return task


def wine_tasks(rng: np.random.Generator) -> Iterator[Task]:
    """Wines: three cultivars from thirteen measurements or some of them."""
    items, label = datasets.load_wine(return_X_y=True)
    task = halved(rng, "wine", items, label)
    yield task("cultivar", slice(None))
    yield task("by-acids", [1, 2, 3])
    yield task("by-colour", [9, 10])
    yield task("by-alcohol", [0])
    yield task("second-or-not", slice(None), label == 1)


def cancer_tasks(rng: np.random.Generator) -> Iterator[Task]:
    """Tumours: benign or not, from thirty measurements or some of them."""
    items, label = datasets.load_breast_cancer(return_X_y=True)
    task = halved(rng, "cancer", items, label)
    yield task("benign", slice(None))
    yield task("by-means", slice(0, 10))
    yield task("by-errors", slice(10, 20))
    yield task("by-texture", [1, 21])
    yield task("by-symmetry", [8, 18, 28])


def other_tasks(rng: np.random.Generator) -> Iterator[Task]:
    """Irises, diabetes patients and mails."""
    items, label = datasets.load_iris(return_X_y=True)
    task = halved(rng, "iris", items, label)
    yield task("species", slice(None))
    yield task("by-sepals", [0, 1])
    yield task("versicolor-or-virginica", slice(None), label, label > 0)
    items, progress = datasets.load_diabetes(return_X_y=True)
    task = halved(rng, "diabetes", items, progress > np.median(progress))
    yield task("above-median", slice(None))
    yield task("above-median-by-blood", slice(4, 10))
    yield task("top-quarter", slice(None), progress > np.quantile(progress, 0.75))
    mails = pd.read_csv(HERE / "mail_labels.csv")
    facts = mails.loc[:, "weekend":"odd_length"].to_numpy(dtype=float)
    task = halved(rng, "mails", facts, mails["human"].to_numpy())
    yield task("spam", slice(None))
    yield task("spam-by-form", slice(8, 16))
    yield task("html", np.arange(facts.shape[1]) != 10, facts[:, 10])
    yield task("long", np.arange(facts.shape[1]) != 8, facts[:, 8])


# --- models ----------------------------------------------------------------------------------


def networks(units: int, seed: int) -> ClassifierMixin:
    """One hidden layer."""
    return MLPClassifier(
        (units,), learning_rate_init=0.03, max_iter=60, alpha=0.01, random_state=seed
    )


def forests(trees: int, seed: int) -> ClassifierMixin:
    """Random forests."""
    return RandomForestClassifier(trees, random_state=seed)


def trees(leaves: int, seed: int) -> ClassifierMixin:
    """Single trees."""
    return DecisionTreeClassifier(max_leaf_nodes=leaves, random_state=seed)


def boosted(rounds: int, seed: int) -> ClassifierMixin:
    """Boosted trees of depth two."""
    return AdaBoostClassifier(
        DecisionTreeClassifier(max_depth=2), n_estimators=rounds, random_state=seed
    )


def neighbours(number: int, seed: int) -> ClassifierMixin:
    """Nearest neighbours, nearer ones with more weight."""
    return KNeighborsClassifier(number, weights="distance")


def random_features(features: int, seed: int) -> ClassifierMixin:
    """Ridge on random Fourier features."""
    return make_pipeline(
        RBFSampler(gamma="scale", n_components=features, random_state=seed), RidgeClassifier(1.0)
    )


def components(number: int, seed: int) -> ClassifierMixin:
    """Linear discriminants on principal components, with a covariance shrunk towards its mean."""
    return make_pipeline(PCA(number), LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3))


def bayes(number: int, seed: int) -> ClassifierMixin:
    """Naive Bayes on principal components."""
    return make_pipeline(PCA(number), GaussianNB(var_smoothing=1e-2))


FAMILIES: dict[str, tuple[FewShots, tuple[int, ...]]] = {
    "networks": (networks, (2, 6, 18, 54)),
    "forests": (forests, (1, 4, 16, 64)),
    "trees": (trees, (2, 4, 8, 16)),
    "boosted": (boosted, (1, 4, 12, 36)),
    "neighbours": (neighbours, (1, 2, 4, 8)),
    "random-features": (random_features, (4, 16, 64, 256)),
    "components": (components, (1, 2, 4, 8)),
    "bayes": (bayes, (1, 2, 4, 8)),
}


# --- records ---------------------------------------------------------------------------------


def draw_shots(label: NDArray, shots: int, rng: np.random.Generator) -> NDArray:
    """Rows of `shots` examples a class."""
    rows = [np.flatnonzero(label == code) for code in np.unique(label)]
    return np.concatenate([rng.choice(one, shots, replace=False) for one in rows])


def score(model: FewShots, size: int, task: Task, rows: NDArray, seed: int) -> float:
    """Share of right answers after learning from some rows."""
    items = task.known[rows]
    scaler = StandardScaler().fit(items)
    most = min(len(rows) - 1, items.shape[1])
    if model in (components, bayes):
        size = min(size, most)
    elif model is neighbours:
        size = min(size, len(rows))
    fitted = model(size, seed).fit(scaler.transform(items), task.known_label[rows])
    return float(np.mean(fitted.predict(scaler.transform(task.asked)) == task.asked_label))


def not_run(rng: np.random.Generator) -> NDArray[np.bool_]:
    """Which families, sizes and shots of one task are left out, by their places."""
    families, sizes, shots = len(FAMILIES), 4, len(SHOTS)
    gaps = rng.random((families, sizes, shots)) < LEFT_OUT
    for shape in ((families, sizes, 1), (families, 1, shots), (families, 1, 1)):
        gaps |= rng.random(shape) < LEFT_OUT_TOGETHER
    return gaps


def record(seed: int) -> pd.DataFrame:
    """One row a family, size, shots and task."""
    rng = np.random.default_rng(seed)
    rows = []
    for task in all_tasks(rng):
        gaps = not_run(rng)
        for third, shots in enumerate(SHOTS):
            key = zlib.crc32(f"{task.group} {task.name} {shots}".encode())
            own = np.random.default_rng([seed, key])
            draws = [draw_shots(task.known_label, shots, own) for _ in range(DRAWS)]
            for first, (family, (model, sizes)) in enumerate(FAMILIES.items()):
                for second, size in enumerate(sizes):
                    seeds = own.integers(2**31, size=DRAWS)
                    if gaps[first, second, third]:
                        continue
                    scores = [
                        score(model, size, task, draw, int(one))
                        for draw, one in zip(draws, seeds, strict=True)
                    ]
                    rows.append(
                        {
                            "family": family,
                            "size": size,
                            "shots": shots,
                            "group": task.group,
                            "task": f"{task.group}:{task.name}",
                            "score": round(float(np.mean(scores)), 4),
                        }
                    )
    return pd.DataFrame(rows).sort_values(
        ["group", "task", "family", "size", "shots"], ignore_index=True
    )


if __name__ == "__main__":
    arguments = command_line(__doc__)
    warnings.simplefilter("ignore")  # networks are stopped early on purpose
    records = record(arguments.seed)
    write_whole(records, arguments.out / "score_records.csv")
    print(records.pivot_table(index="family", columns="shots", values="score").round(3))
    print(records.groupby("task")["score"].agg(["mean", "std", "count"]).round(3).to_string())
