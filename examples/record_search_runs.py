"""Record `search_runs.csv`: two random hyperparameter searches, every trial kept.

A small network and a support vector machine are searched with the same number of trials on one
split of the digits: eleven writers to learn from, the last three to validate on. Trials are
independent draws from fixed ranges, uniform on a logarithmic scale.
"""

import math
import time
import warnings
from collections.abc import Callable

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC

from recording import command_line, digits_by_writer, write_whole

TRIALS = 100
VALIDATION_WRITERS = ("w12", "w13", "w14")

Setting = dict[str, float | int]


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number whose logarithm is uniform, kept to the four digits that the table shows."""
    return float(f"{math.exp(rng.uniform(math.log(low), math.log(high))):.4g}")


def draw_mlp(rng: np.random.Generator) -> Setting:
    """Draw the setting of a network with one hidden layer."""
    return {
        "hidden_units": round(log_uniform(rng, 4, 128)),
        "learning_rate": log_uniform(rng, 1e-4, 1e-1),
        "weight_decay": log_uniform(rng, 1e-6, 1e1),
        "epochs": round(log_uniform(rng, 5, 50)),
    }


def build_mlp(setting: Setting, seed: int) -> ClassifierMixin:
    """Build the network of one trial."""
    return MLPClassifier(
        (int(setting["hidden_units"]),),
        learning_rate_init=setting["learning_rate"],
        alpha=setting["weight_decay"],
        max_iter=int(setting["epochs"]),
        random_state=seed,
    )


def draw_svm(rng: np.random.Generator) -> Setting:
    """Draw the setting of a support vector machine with a Gaussian kernel."""
    return {"C": log_uniform(rng, 1e-2, 1e4), "gamma": log_uniform(rng, 1e-5, 1e1)}


def build_svm(setting: Setting, seed: int) -> ClassifierMixin:
    """Build the machine of one trial; its training draws no random numbers."""
    return SVC(C=setting["C"], gamma=setting["gamma"])


SEARCHES: dict[str, tuple[Callable[..., Setting], Callable[..., ClassifierMixin]]] = {
    "mlp": (draw_mlp, build_mlp),
    "rbf-svm": (draw_svm, build_svm),
}


def record(seed: int) -> pd.DataFrame:
    """One row for each trial: validation accuracy, setting, seconds of training and scoring."""
    pixels, digit, writer = digits_by_writer()
    held_out = np.isin(writer, VALIDATION_WRITERS)
    rows = []
    # A stream of its own for each search: changing one search leaves the other as it was.
    streams = np.random.default_rng(seed).spawn(len(SEARCHES))
    for (name, (draw, build)), rng in zip(SEARCHES.items(), streams, strict=True):
        for trial in range(1, TRIALS + 1):
            setting = draw(rng)
            model = build(setting, seed=int(rng.integers(2**31)))
            start = time.perf_counter()
            model.fit(pixels[~held_out], digit[~held_out])
            accuracy = model.score(pixels[held_out], digit[held_out])
            seconds = time.perf_counter() - start
            rows.append(
                {"search": name, "trial": trial, "score": round(accuracy, 6)}
                | setting
                | {"seconds": round(seconds, 3)}
            )
    table = pd.DataFrame(rows)
    table.insert(len(table.columns) - 1, "seconds", table.pop("seconds"))
    return table.astype({"hidden_units": "Int64", "epochs": "Int64"})


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Spread of the scores of each search, and how many different scores there are."""
    scores = table.groupby("search")["score"]
    return scores.describe().assign(distinct=scores.nunique())


if __name__ == "__main__":
    arguments = command_line(__doc__)
    # Few epochs are part of the search, so a network that has not converged is no surprise.
    warnings.simplefilter("ignore", ConvergenceWarning)
    runs = record(arguments.seed)
    write_whole(runs, arguments.out / "search_runs.csv")
    print(summary(runs).round(4).to_string())
