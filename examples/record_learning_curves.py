"""Record `learning_curves.csv`: error against number of training examples, for many classifiers.

Nineteen real sets that ship with packages, with several tasks each (all classes, some classes,
part of the features, wrong labels), and a dozen kinds of classifier: from 2 training examples a
class, by steps of about the root of two, to as many as there are. Classes are balanced by leaving
rows out.
Every repeat draws its own training and test rows, so the errors of a curve are independent. A row
holds the mean over the repeats and its standard error.

Two tasks with wrong labels are also learnt by decision trees of eight sizes each, so that the size
that a number of examples asks for can be read off.

Beside scikit-learn it takes statsmodels 0.15, lifelines 0.30.3, aeon 1.6, scanpy 1.11.5 and
palmerpenguins 0.1.6, of which only the files are read (`pip install --no-deps` will do), h5py, and
Debian's package dataset-fashion-mnist. Each finished task is kept in `learning_curves.parts` and
not learnt again after an interruption; `--restart` forgets them.

    python examples/record_learning_curves.py --seed 0        # 14 minutes on one core
"""

import argparse
import gzip
import importlib.util
import shutil
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from recording import HERE, write_whole

PER_CLASS = (2, 3, 4, 5, 7, 10, 14, 20, 28, 40, 56, 80, 112, 160, 224, 320, 448, 640, 896, 1280)
MOST_EXAMPLES, MOST_TESTED, SHARE_TESTED = 4_500, 1_000, 0.3  # in all, in all, of a class
LEAVES = (4, 8, 16, 32, 64, 128, 256, 512)
WRONG = 0.15  # share of labels drawn anew in the noisy tasks

FloatArray = NDArray[np.float64]


# --- the data --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Task:
    """What is learnt: features (n_rows, n_features) and labels (n_rows,), classes balanced."""

    dataset: str
    name: str
    features: FloatArray
    labels: NDArray[np.int64]

    @property
    def rng(self) -> np.random.Generator:
        """For choices that make the task, the same in every recording."""
        return np.random.default_rng(zlib.crc32(f"{self.dataset} {self.name}".encode()))

    def classes(self, name: str, *kept: int) -> "Task":
        """Only some of the classes."""
        rows = np.isin(self.labels, kept)
        labels = np.searchsorted(np.sort(kept), self.labels[rows])
        return balanced(replace(self, name=name, features=self.features[rows], labels=labels))

    def merged(self, name: str, *first: int) -> "Task":
        """Some of the classes against the others."""
        return balanced(replace(self, name=name, labels=np.isin(self.labels, first).astype(int)))

    def half_the_features(self) -> "Task":
        """A random half of the features."""
        part = replace(self, name=f"{self.name}, half the features")
        n = self.features.shape[1]
        return replace(part, features=self.features[:, part.rng.permutation(n)[: (n + 1) // 2]])

    def noisy(self) -> "Task":
        """Some labels drawn anew."""
        part = replace(self, name=f"{self.name}, wrong labels")
        rng, n = part.rng, len(self.labels)
        drawn = rng.integers(0, self.labels.max() + 1, n)
        return balanced(replace(part, labels=np.where(rng.random(n) < WRONG, drawn, self.labels)))


def balanced(task: Task) -> Task:
    """As many rows of every class as the rarest has."""
    fewest = np.bincount(task.labels).min()
    rows = [
        task.rng.permutation(np.flatnonzero(task.labels == label))[:fewest]
        for label in range(task.labels.max() + 1)
    ]
    kept = np.sort(np.concatenate(rows))
    return replace(task, features=task.features[kept], labels=task.labels[kept])


def make(dataset: str, features: Any, labels: Any, name: str = "all") -> Task:
    """A balanced task of a table and its labels."""
    codes = np.unique(np.asarray(labels), return_inverse=True)[1]
    return balanced(Task(dataset, name, np.asarray(features, dtype=float), codes))


def folder_of(package: str) -> Path:
    """Where a package's files are, without importing it."""
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise SystemExit(f"install {package}")
    return Path(found.origin).parent


def scikit_learn() -> Iterator[Task]:
    """Sets that scikit-learn ships."""
    for name, load in {
        "iris": load_iris,
        "wine": load_wine,
        "breast-cancer": load_breast_cancer,
    }.items():
        yield make(name, *load(return_X_y=True))
    cancer = make("breast-cancer", *load_breast_cancer(return_X_y=True))
    yield cancer.half_the_features()
    yield cancer.noisy()
    digits = make("digits", *load_digits(return_X_y=True))
    yield from (digits, digits.half_the_features(), digits.noisy())
    yield digits.classes("3 or 8", 3, 8)
    yield digits.classes("five of them", 0, 2, 4, 6, 9)
    yield digits.merged("odd or even", 1, 3, 5, 7, 9)
    yield digits.merged("9 or another", 9)
    features, progression = load_diabetes(return_X_y=True)
    yield make("diabetes", features, progression > np.median(progression), "halves")
    thirds = np.digitize(progression, np.quantile(progression, [1 / 3, 2 / 3]))
    yield make("diabetes", features, thirds, "thirds")


def statsmodels_set(name: str, separator: str = ",") -> pd.DataFrame:
    """A table of statsmodels."""
    path = folder_of("statsmodels") / "datasets" / name / f"{name}.csv"
    return pd.read_csv(path, sep=separator, quotechar="'" if separator == "\t" else '"')


def statsmodels() -> Iterator[Task]:
    """Sets that statsmodels ships: a survey of voters, one of wives, and a trial of insurance."""
    voters = statsmodels_set("anes96", "\t").drop(columns="popul")
    task = make("voters", voters.drop(columns="vote"), voters["vote"])
    yield from (task, task.half_the_features())
    party = make("voters", voters.drop(columns="PID"), np.digitize(voters["PID"], [2, 5]), "party")
    yield party
    wives = statsmodels_set("fair")
    yield make("affairs", wives.drop(columns="affairs"), wives["affairs"] > 0)
    visits = statsmodels_set("randhie").dropna()
    features = visits.drop(columns="mdvis")
    yield make("doctor-visits", features, visits["mdvis"] > 0, "any")
    yield make(
        "doctor-visits", features, np.digitize(visits["mdvis"], [1, 4]), "none, some or many"
    )


def lifelines() -> Iterator[Task]:
    """Sets that lifelines ships: two trials and the world's governments."""
    folder = folder_of("lifelines") / "datasets"
    trial = pd.read_csv(folder / "ACTG175.csv")
    known = ["age", "wtkg", "karnof", "oprior", "preanti", "race", "gender", "str2", "strat",
             "symptom", "treat", "cd40", "cd80", "drugs", "homo"]  # fmt: skip
    later = trial["cd420"] > trial["cd420"].median()
    yield make("aids-trial", trial[known], later, "cell count")
    yield make("aids-trial", trial[[*known, "cd420", "cd820"]], trial["cens"], "progress")
    cancer = pd.read_csv(folder / "gbsg2.csv")
    numbers = pd.get_dummies(cancer, drop_first=True)
    yield make("breast-trial", numbers.drop(columns=["cens", "time"]), cancer["cens"])
    rule = pd.read_csv(folder / "dd.csv")
    numbers = pd.get_dummies(rule[["un_continent_name", "start_year", "duration"]])
    yield make("governments", numbers, rule["democracy"])


def penguins() -> Iterator[Task]:
    """Species and sex of penguins (palmerpenguins)."""
    birds = pd.read_csv(folder_of("palmerpenguins") / "data" / "penguins.csv").dropna()
    sizes = birds[["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]]
    yield make("penguins", sizes, birds["species"], "species")
    yield make("penguins", sizes, birds["sex"], "sex")


def read_series(name: str) -> tuple[list[FloatArray], list[str]]:
    """Series of aeon as (n_channels, length) each, and their labels."""
    series, labels = [], []
    for part in ("TRAIN", "TEST"):
        path = folder_of("aeon") / "datasets" / "data" / name / f"{name}_{part}.ts"
        rows = path.read_text(encoding="utf-8").split("@data", 1)[1].split("\n")
        for row in filter(None, map(str.strip, rows)):
            *channels, label = row.split(":")
            series.append(np.array([np.fromstring(c, sep=",") for c in channels]))
            labels.append(label)
    return series, labels


def in_blocks(series: list[FloatArray], blocks: int) -> FloatArray:
    """Means of a series' first channel over equal blocks."""
    return np.array([[part.mean() for part in np.array_split(row[0], blocks)] for row in series])


def aeon() -> Iterator[Task]:
    """Time series that aeon ships."""
    for name, file, blocks in (
        ("gun-point", "GunPoint", 30),
        ("power-demand", "ItalyPowerDemand", 24),
        ("arrow-heads", "ArrowHead", 60),
        ("leaves", "OSULeaf", 60),
    ):
        series, labels = read_series(file)
        yield make(name, in_blocks(series, blocks), labels)
        if name == "power-demand":
            yield make(name, in_blocks(series, blocks), labels).noisy()
    series, speakers = read_series("JapaneseVowels")
    summaries = [np.concatenate([row.mean(axis=1), row.std(axis=1)]) for row in series]
    vowels = make("speakers", summaries, speakers)
    yield from (vowels, vowels.half_the_features(), vowels.classes("three of them", 0, 3, 6))


def scanpy() -> Iterator[Task]:
    """Kinds of blood cells by the activity of 100 genes (scanpy)."""
    import h5py

    with h5py.File(folder_of("scanpy") / "datasets" / "10x_pbmc68k_reduced.h5ad") as file:
        genes, kind = file["X"][:], file["obs"][:]["bulk_labels"]
    genes = genes[:, np.argsort(genes.var(axis=0))[-100:]]
    kept = np.isin(kind, (0, 3, 5, 6, 9))
    yield make("blood-cells", genes[kept], kind[kept])


def fashion_mnist() -> Iterator[Task]:
    """Pictures of clothes, 14 x 14 points (Debian's dataset-fashion-mnist)."""
    folder = Path("/usr/share/datasets/fashion-mnist")
    raw = gzip.decompress((folder / "train-images-idx3-ubyte.gz").read_bytes())
    images = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4))
    raw = gzip.decompress((folder / "train-labels-idx1-ubyte.gz").read_bytes())
    labels = np.frombuffer(raw, np.uint8, offset=8)
    some = slice(0, 20_000)
    clothes = make("fashion", images.reshape(-1, 196)[some], labels[some])
    yield from (clothes, clothes.half_the_features())
    yield clothes.classes("shirt or T-shirt", 0, 6)
    yield clothes.classes("pullover, dress, coat or shirt", 2, 3, 4, 6)
    yield clothes.classes("sandal, sneaker or boot", 5, 7, 9)
    coarse = images[some].reshape(-1, 7, 2, 7, 2).mean(axis=(2, 4)).reshape(-1, 49)
    blurred = make("fashion", coarse, labels[some], "coarse")
    yield from (blurred, blurred.noisy())


SOURCES: tuple[Callable[[], Iterator[Task]], ...] = (
    scikit_learn, statsmodels, lifelines, penguins, aeon, scanpy, fashion_mnist,
)  # fmt: skip


# --- the classifiers -------------------------------------------------------------------------


@dataclass(frozen=True)
class Learner:
    """A kind of classifier; it is given `fewest` to `most` examples."""

    name: str
    family: str
    build: Callable[[int], Any]
    most: int = MOST_EXAMPLES
    fewest: int = 0
    parameters: int | None = None


def network(width: int, seed: int) -> MLPClassifier:
    """A network with one hidden layer."""
    return MLPClassifier((width,), solver="lbfgs", alpha=0.1, max_iter=100, random_state=seed)


LEARNERS = (
    Learner("logistic", "linear", lambda seed: LogisticRegression(max_iter=300)),
    Learner("lda", "linear",
            lambda seed: LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto")),
    Learner("linear-svm", "linear", lambda seed: LinearSVC(C=0.1, random_state=seed), 3_200),
    Learner("rbf-svm", "kernel", lambda seed: SVC(C=3.0)),
    Learner("knn-1", "neighbours", lambda seed: KNeighborsClassifier(1)),
    Learner("knn-5", "neighbours", lambda seed: KNeighborsClassifier(5), fewest=5),
    Learner("tree", "trees", lambda seed: DecisionTreeClassifier(random_state=seed)),
    Learner("forest", "trees",
            lambda seed: RandomForestClassifier(25, random_state=seed)),
    Learner("extra-trees", "trees",
            lambda seed: ExtraTreesClassifier(25, random_state=seed)),
    Learner("naive-bayes", "bayes", lambda seed: GaussianNB(var_smoothing=1e-3)),
    Learner("mlp-4", "networks", lambda seed: network(4, seed)),
    Learner("mlp-32", "networks", lambda seed: network(32, seed)),
)  # fmt: skip


def tree_of_size(leaves: int) -> Learner:
    """A decision tree with so many leaves: a feature and a threshold a split, a label a leaf."""

    def build(seed: int) -> DecisionTreeClassifier:
        return DecisionTreeClassifier(max_leaf_nodes=leaves, random_state=seed)

    name, parameters = f"tree-{leaves}", 3 * leaves - 2
    return Learner(name, "sized trees", build, fewest=leaves, parameters=parameters)


def learners_of(task: Task) -> tuple[Learner, ...]:
    """All classifiers, and trees of all sizes where labels are wrong and examples many."""
    if task.dataset in ("fashion", "digits") and task.name.endswith("wrong labels"):
        return (*LEARNERS, *map(tree_of_size, LEAVES))
    return LEARNERS


def repeats_at(per_class: int, parameters: int | None) -> int:
    """How often a number of examples is drawn: few examples vary most."""
    often = 8 if per_class <= 10 else 6 if per_class <= 40 else 4 if per_class <= 160 else 3
    return often if parameters is None else 2 * often


# --- learning --------------------------------------------------------------------------------


def error_of(task: Task, learner: Learner, per_class: int, tested: int, seed: list[int]) -> float:
    """Share of the test rows that a classifier gets wrong, on fresh training and test rows."""
    rng = np.random.default_rng(seed)
    train, test = [], []
    for label in range(task.labels.max() + 1):
        rows = rng.permutation(rows_of(task, label))
        train.append(rows[:per_class])
        test.append(rows[per_class : per_class + tested])
    fitted, asked = np.concatenate(train), np.concatenate(test)
    mean, scale = task.features[fitted].mean(axis=0), task.features[fitted].std(axis=0)
    scale[scale < 1e-9] = 1.0
    model = learner.build(int(rng.integers(2**31)))
    model.fit((task.features[fitted] - mean) / scale, task.labels[fitted])
    given = model.predict((task.features[asked] - mean) / scale)
    return float(np.mean(given != task.labels[asked]))


def rows_of(task: Task, label: int) -> NDArray[np.int64]:
    """Rows of a class."""
    return np.flatnonzero(task.labels == label)


def learn(task: Task, seed: int) -> pd.DataFrame:
    """Curves of all classifiers on one task."""
    n_classes, available = int(task.labels.max()) + 1, int(np.bincount(task.labels).min())
    tested = min(MOST_TESTED // n_classes, 200, round(SHARE_TESTED * available))
    rows = []
    for place, learner in enumerate(learners_of(task)):
        for per_class in PER_CLASS:
            n = per_class * n_classes
            if per_class > available - tested or n > learner.most:
                break
            if n < learner.fewest:
                continue
            repeats = repeats_at(per_class, learner.parameters)
            key = [seed, zlib.crc32(f"{task.dataset} {task.name}".encode()), place, per_class]
            errors = [error_of(task, learner, per_class, tested, [*key, r]) for r in range(repeats)]
            rows.append(
                {
                    "dataset": task.dataset,
                    "task": task.name,
                    "model": learner.name,
                    "family": learner.family,
                    "parameters": learner.parameters,
                    "classes": n_classes,
                    "n": n,
                    "n_per_class": per_class,
                    "repeats": repeats,
                    "tested": tested * n_classes,
                    "error": round(float(np.mean(errors)), 5),
                    "standard_error": round(float(np.std(errors, ddof=1) / repeats**0.5), 5),
                }
            )
    return pd.DataFrame(rows)


def record(seed: int, parts: Path) -> pd.DataFrame:
    """All tasks; those already in `parts` are read."""
    parts.mkdir(parents=True, exist_ok=True)
    tables = []
    for source in SOURCES:
        for task in source():
            part = parts / f"seed{seed}-{task.dataset}-{task.name}.csv".replace(" ", "_")
            if not part.exists():
                started = time.perf_counter()
                write_whole(learn(task, seed), part)
                took = time.perf_counter() - started
                print(
                    f"{task.dataset}, {task.name}: {task.features.shape} {took:.0f} s", flush=True
                )
            tables.append(pd.read_csv(part))
    table = pd.concat(tables, ignore_index=True)
    return table.astype({"parameters": "Int64"})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="seed of every random number")
    parser.add_argument("--out", type=Path, default=HERE, help="folder of the table")
    parser.add_argument("--restart", action="store_true", help="forget finished tasks")
    arguments = parser.parse_args()
    warnings.filterwarnings("ignore")  # fits that stop at their limit are part of the record
    kept = arguments.out / "learning_curves.parts"
    if arguments.restart:
        shutil.rmtree(kept, ignore_errors=True)
    curves = record(arguments.seed, kept)
    write_whole(curves, arguments.out / "learning_curves.csv")
    shutil.rmtree(kept)
    per_set = curves.groupby("dataset")[["task", "model", "n"]].agg({"task": "nunique", "n": "max"})
    print(per_set.to_string())
