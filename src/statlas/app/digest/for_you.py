"""A small ranking model for each reader: a linear model on the words of saved and tagged papers.

The papers that a reader kept are the positives, a sample of all others the negatives; features are
the TF-IDF of hashed words and pairs of words of title and abstract. The score that is shown is
honest: the area under the ROC curve of predictions on folds that were held out, with DeLong's
interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select

from statlas.app.digest.database import Database
from statlas.app.digest.readers import Reader
from statlas.app.digest.search import Paper, papers
from statlas.app.digest.tables import paper, saved, tagged

FEWEST_KEPT = 5  # papers that a model needs
_FOLDS = 5
_FEATURES = 2**18
_NEGATIVES = 400
_POSITIVES = 400  # the latest
_STRENGTH = 10.0  # inverse of the penalty


@dataclass(frozen=True)
class HeldOut:
    """How well a reader's model tells kept papers from others, on papers that it was not fitted to.

    Attributes
    ----------
    auc, low, high
        Area under the ROC curve with its 95 % interval (DeLong).
    kept, others
        How many papers of each kind it was measured on.
    """

    auc: float
    low: float
    high: float
    kept: int
    others: int

    def __str__(self) -> str:
        return (
            f"tells your {self.kept} kept papers from {self.others} others with AUC "
            f"{self.auc:.2f} (95 % interval {self.low:.2f} to {self.high:.2f}, held out)"
        )


class Features:
    """TF-IDF of papers, with the idf of a sample of the database.

    Parameters
    ----------
    background
        Papers that words are weighed by, and that negatives are drawn from.
    """

    def __init__(self, background: Sequence[Paper]):
        from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
        from sklearn.pipeline import make_pipeline

        self.background = list(background)
        self._pipeline = make_pipeline(
            HashingVectorizer(
                n_features=_FEATURES,
                alternate_sign=False,
                norm=None,
                ngram_range=(1, 2),
                stop_words="english",
            ),
            TfidfTransformer(sublinear_tf=True),
        )
        texts = [_text(item) for item in self.background] or ["nothing"]
        self.matrix = self._pipeline.fit_transform(texts)

    def of(self, items: Sequence[Paper]) -> Any:
        """The features of papers, a sparse matrix (n_papers, n_features)."""
        return self._pipeline.transform([_text(item) for item in items])


def _text(item: Paper) -> str:
    return f"{item.title} {item.title} {item.abstract} {' '.join(item.categories)}"


def background(database: Database, limit: int = 2_000) -> list[Paper]:
    """The papers that came last, as a background to tell tastes from."""
    with database.reading() as connection:
        statement = select(paper.c.id).order_by(paper.c.first_seen.desc(), paper.c.id.desc())
        return papers(connection, [row.id for row in connection.execute(statement.limit(limit))])


class Taste:
    """A fitted model of one reader.

    Parameters
    ----------
    features
        How papers are seen.
    kept
        The papers that the reader kept; at least `FEWEST_KEPT`.
    rng
        Draws the negatives and the folds.
    """

    def __init__(self, features: Features, kept: Sequence[Paper], rng: np.random.Generator):
        from scipy.sparse import vstack

        own = {item.id for item in kept}
        others = [i for i, item in enumerate(features.background) if item.id not in own]
        drawn = rng.permutation(len(others))[:_NEGATIVES]
        self._features = features
        self._x = vstack(
            [features.of(kept), features.matrix[np.array(others, dtype=int)[drawn]]], format="csr"
        )
        self._y = np.r_[np.ones(len(kept)), np.zeros(len(drawn))]
        self._rng = rng
        self._model = _fit(self._x, self._y)

    def scores(self, items: Sequence[Paper]) -> NDArray[np.float64]:
        """The log odds that the reader would keep each paper, (n_papers,)."""
        if not items:
            return np.zeros(0)
        return self.scores_of(self._features.of(items))

    def scores_of(self, matrix: Any) -> NDArray[np.float64]:
        """The log odds for rows of features."""
        return np.asarray(self._model.decision_function(matrix), dtype=np.float64)

    def held_out(self) -> HeldOut:
        """The area under the ROC curve on held-out folds, with its interval."""
        from sklearn.model_selection import StratifiedKFold

        predicted = np.empty(len(self._y))
        folds = StratifiedKFold(
            min(_FOLDS, int(self._y.sum())),
            shuffle=True,
            random_state=int(self._rng.integers(2**31)),
        )
        for train, test in folds.split(self._x, self._y):
            predicted[test] = _fit(self._x[train], self._y[train]).decision_function(self._x[test])
        return auc_with_interval(predicted[self._y == 1], predicted[self._y == 0])


def _fit(x: Any, y: NDArray[np.float64]) -> Any:
    from sklearn.linear_model import LogisticRegression

    # The solver draws a seed whether it needs one or not; 0 keeps it from the global generator.
    model = LogisticRegression(
        C=_STRENGTH, class_weight="balanced", solver="liblinear", random_state=0
    )
    return model.fit(x, y)


def auc_with_interval(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> HeldOut:
    """The area under the ROC curve and DeLong's 95 % interval, on the logit scale.

    Parameters
    ----------
    positive, negative
        Scores of the two kinds, (n,) and (m,), at least two each.

    Reference
    ---------
    E. DeLong, D. DeLong, D. Clarke-Pearson, Biometrics 44 (1988), 837-845.
    """
    from scipy.stats import rankdata

    n, m = len(positive), len(negative)
    ranks = rankdata(np.r_[positive, negative])
    of_positive = (ranks[:n] - rankdata(positive)) / m
    of_negative = 1 - (ranks[n:] - rankdata(negative)) / n
    auc = float(of_positive.mean())
    variance = of_positive.var(ddof=1) / n + of_negative.var(ddof=1) / m
    inside = min(max(auc, 0.5 / (n * m)), 1 - 0.5 / (n * m))
    logit = np.log(inside / (1 - inside))
    half = 1.959964 * np.sqrt(max(variance, 0.25 / (n * m) ** 2)) / (inside * (1 - inside))
    low, high = 1 / (1 + np.exp(-(logit - half))), 1 / (1 + np.exp(-(logit + half)))
    return HeldOut(auc, float(low), float(high), n, m)


def kept_ids(database: Database, reader_ids: Sequence[int]) -> dict[int, list[int]]:
    """The papers that each reader saved or tagged, the latest first, at most 400."""
    found: dict[int, dict[int, float]] = {id: {} for id in reader_ids}
    with database.reading() as connection:
        for table in (saved, tagged):
            rows = connection.execute(
                select(table.c.reader, table.c.paper, func.max(table.c.at))
                .where(table.c.reader.in_(list(reader_ids)))
                .group_by(table.c.reader, table.c.paper)
            )
            for reader, id, at in rows:
                found[reader][id] = max(at, found[reader].get(id, at))
    return {
        reader: sorted(ats, key=lambda id: (-ats[id], id))[:_POSITIVES]
        for reader, ats in found.items()
    }


def taste_of(
    database: Database, person: Reader, features: Features | None = None, seed: int = 0
) -> Taste | None:
    """The model of a reader, or None where too few papers are kept."""
    ids = kept_ids(database, [person.id])[person.id]
    if len(ids) < FEWEST_KEPT:
        return None
    with database.reading() as connection:
        own = papers(connection, ids)
    features = features or Features(background(database))
    if len(features.background) < len(own) + FEWEST_KEPT:
        return None
    return Taste(features, own, np.random.default_rng([seed, person.id]))


def recommend(
    database: Database, person: Reader, limit: int = 10
) -> tuple[list[Paper], HeldOut | None]:
    """The newest papers that the reader has not kept, by the reader's taste, and how good it is.

    Without a model the newest come first, and the score is None.
    """
    features = Features(background(database))
    own = set(kept_ids(database, [person.id])[person.id])
    taste = taste_of(database, person, features)
    new = [i for i, item in enumerate(features.background) if item.id not in own]
    if taste is None:
        return [features.background[i] for i in new[:limit]], None
    scores = taste.scores_of(features.matrix[np.array(new, dtype=int)])
    best = np.argsort(-scores, kind="stable")[:limit]
    return [features.background[new[i]] for i in best], taste.held_out()
