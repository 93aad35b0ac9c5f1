"""Record `small_benchmark.csv`: six models on forty questions, one column a model.

A question is a wine of scikit-learn's wine data, held out from training: which of three cultivars
is it? Forty questions are as few as small evaluations of language models have. The models were
chosen to span scores from about 0.8 to 1, so the table is an example, not a comparison.
"""

import pandas as pd
from sklearn.base import ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_wine
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from recording import command_line, write_whole

QUESTIONS = 40


def classifiers(seed: int) -> dict[str, ClassifierMixin]:
    """Six models, from few splits or measurements to a linear discriminant that uses all."""
    two = make_column_transformer((StandardScaler(), ["alcohol", "flavanoids"]))
    return {
        "shallow-tree": DecisionTreeClassifier(max_depth=3, random_state=seed),
        "two-measurements": make_pipeline(two, LogisticRegression()),
        "deep-tree": DecisionTreeClassifier(random_state=seed),
        "knn": make_pipeline(StandardScaler(), KNeighborsClassifier(5)),
        "naive-bayes": GaussianNB(),
        "lda": LinearDiscriminantAnalysis(),
    }


def record(seed: int) -> pd.DataFrame:
    """One row for each question, one column for each model; 1 where the answer is right."""
    wines, cultivar = load_wine(return_X_y=True, as_frame=True)
    train, test = train_test_split(
        wines.index, test_size=QUESTIONS, stratify=cultivar, random_state=seed
    )
    test = test.sort_values()
    table = pd.DataFrame({"question": [f"wine-{row:03d}" for row in test]})
    for name, model in classifiers(seed).items():
        model.fit(wines.loc[train], cultivar.loc[train])
        answers = model.predict(wines.loc[test])
        table[name] = (answers == cultivar.loc[test]).to_numpy(dtype=int)
    return table


if __name__ == "__main__":
    arguments = command_line(__doc__)
    scores = record(arguments.seed)
    write_whole(scores, arguments.out / "small_benchmark.csv")
    print(scores.drop(columns="question").agg(["sum", "mean"]).round(4).to_string())
