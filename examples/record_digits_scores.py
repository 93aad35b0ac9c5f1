"""Record `digits_scores.csv`: which digits twelve classifiers read correctly.

The questions are the 1797 handwritten digits of scikit-learn. Every answer is out of fold, and the
folds keep each writer whole: a model never saw the hand that it reads.
"""

import warnings

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, NearestCentroid
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from recording import command_line, digits_by_writer, write_whole

FOLDS = 7  # two of the fourteen writers are held out at a time


def classifiers(seed: int) -> dict[str, ClassifierMixin]:
    """Twelve models of usual settings, none of them tuned."""
    return {
        "decision-tree": DecisionTreeClassifier(max_depth=12, random_state=seed),
        "extra-trees": ExtraTreesClassifier(100, random_state=seed),
        "gradient-boosting": GradientBoostingClassifier(
            n_estimators=20, max_features="sqrt", random_state=seed
        ),
        "knn": KNeighborsClassifier(5),
        "lda": LinearDiscriminantAnalysis(),
        "linear-svm": LinearSVC(C=0.1, random_state=seed),
        "logistic": LogisticRegression(max_iter=1000),
        "mlp": MLPClassifier((32,), max_iter=60, random_state=seed),
        "naive-bayes": GaussianNB(var_smoothing=0.01),
        "nearest-centroid": NearestCentroid(),
        "random-forest": RandomForestClassifier(50, random_state=seed),
        "rbf-svm": SVC(C=10.0, gamma="scale"),
    }


def record(seed: int) -> pd.DataFrame:
    """One row for each model and digit; score is 1 where the model read the digit correctly."""
    pixels, digit, writer = digits_by_writer()
    blocks = []
    for name, model in classifiers(seed).items():
        guess = cross_val_predict(model, pixels, digit, groups=writer, cv=GroupKFold(FOLDS))
        blocks.append(
            pd.DataFrame(
                {
                    "model": name,
                    "question": np.arange(digit.size),
                    "score": (guess == digit).astype(int),
                    "writer": writer,
                    "digit": digit,
                }
            )
        )
    return pd.concat(blocks, ignore_index=True)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of each model with its standard error, once for digits and once for writers."""
    rows = {}
    for name, block in table.groupby("model"):
        score = block["score"].to_numpy(dtype=float)
        naive = score.std() / np.sqrt(score.size)
        clustered = clustered_error(score, block["writer"].to_numpy())
        rows[name] = {
            "accuracy": score.mean(),
            "naive_se": naive,
            "clustered_se": clustered,
            "ratio": clustered / naive,
        }
    return pd.DataFrame(rows).T.sort_values("accuracy")


def clustered_error(score: NDArray[np.float64], cluster: NDArray[np.str_]) -> float:
    """Standard error of a mean whose deviations add up within a cluster (no small-sample term)."""
    deviations = pd.Series(score - score.mean()).groupby(cluster).sum()
    return float(np.sqrt((deviations**2).sum()) / score.size)


if __name__ == "__main__":
    arguments = command_line(__doc__)
    warnings.simplefilter("ignore", ConvergenceWarning)  # the network is stopped early on purpose
    # Some corner pixels are blank in every image of a digit; nearest-centroid mentions it.
    warnings.filterwarnings("ignore", message="self.within_class_std_dev_ has at least 1 zero")
    scores = record(arguments.seed)
    write_whole(scores, arguments.out / "digits_scores.csv")
    print(summary(scores).round(4).to_string())
