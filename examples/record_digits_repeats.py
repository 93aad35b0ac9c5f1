"""Record `digits_repeats.csv`: the same questions put five times to models that vary.

Two classifiers whose training draws random numbers, a small network and a forest of five trees,
are trained with five seeds each and read the same 400 digits. Every answer is out of fold, and the
folds keep each writer whole.
"""

import warnings

import numpy as np
import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.neural_network import MLPClassifier

from recording import command_line, digits_by_writer, write_whole

FOLDS = 7  # two of the fourteen writers are held out at a time
QUESTIONS = 400
REPEATS = 5


def classifiers(seed: int) -> dict[str, ClassifierMixin]:
    """Two models that learn something else with each seed."""
    return {
        "small-forest": RandomForestClassifier(5, random_state=seed),
        "small-mlp": MLPClassifier((12,), learning_rate_init=0.01, max_iter=40, random_state=seed),
    }


def record(seed: int) -> pd.DataFrame:
    """One row for each model, repeat and question; score is 1 where the answer is right."""
    pixels, digit, writer = digits_by_writer()
    rng = np.random.default_rng(seed)
    question = np.sort(rng.choice(digit.size, QUESTIONS, replace=False))
    blocks = []
    for repeat, training_seed in enumerate(rng.integers(2**31, size=REPEATS), start=1):
        for name, model in classifiers(int(training_seed)).items():
            guess = cross_val_predict(model, pixels, digit, groups=writer, cv=GroupKFold(FOLDS))
            blocks.append(
                pd.DataFrame(
                    {
                        "model": name,
                        "question": question,
                        "writer": writer[question],
                        "repeat": repeat,
                        "score": (guess == digit)[question].astype(int),
                    }
                )
            )
    table = pd.concat(blocks, ignore_index=True)
    return table.sort_values(["model", "question", "repeat"], ignore_index=True)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of each repeat, and the part of a score's variance that lies within a question."""
    accuracy = table.pivot_table(index="model", columns="repeat", values="score")
    of_question = table.groupby(["model", "question"])["score"]
    within = of_question.var(ddof=1).groupby("model").mean()
    total = table.groupby("model")["score"].var(ddof=0)
    return accuracy.assign(mean=accuracy.mean(axis=1), share_within=within / total)


if __name__ == "__main__":
    arguments = command_line(__doc__)
    warnings.simplefilter("ignore", ConvergenceWarning)  # the network is stopped early on purpose
    scores = record(arguments.seed)
    write_whole(scores, arguments.out / "digits_repeats.csv")
    print(summary(scores).round(4).to_string())
