"""From the user's table to right and wrong answers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from statlas.core import InputError, Table
from statlas.evaluation.no_clt.intervals import FloatArray


@dataclass(frozen=True)
class Answers:
    """Right (1) or wrong (0) for every question and model."""

    models: list[str]
    right: FloatArray  # (n_questions, n_models), NaN where the model did not answer
    clusters: NDArray[np.int64] | None  # (n_questions,)

    def of(self, model: int) -> FloatArray:
        """The model's own answers."""
        column = self.right[:, model]
        return column[np.isfinite(column)]

    def by_cluster(self, model: int) -> tuple[FloatArray, FloatArray]:
        """The model's right answers and answers in each cluster that it saw."""
        assert self.clusters is not None
        answered = np.isfinite(self.right[:, model])
        codes = self.clusters[answered]
        n = np.bincount(codes).astype(float)
        k = np.bincount(codes, self.right[answered, model]).astype(float)
        return k[n > 0], n[n > 0]


def read_answers(table: Table) -> Answers:
    """Answers by question and model; fractions, duplicates and split clusters are errors.

    Raises
    ------
    InputError
        With the column, what was found and what to do.
    """
    model, question, score = table.factor("model"), table.factor("question"), table.number("score")
    _refuse_fractions(table, score)
    cell = question.codes * model.n_levels + model.codes
    shape = (question.n_levels, model.n_levels)
    repeats = np.bincount(cell, minlength=shape[0] * shape[1])
    if repeats.max() > 1:
        first, second = divmod(int(repeats.argmax()), model.n_levels)
        raise InputError(
            f"question {question.levels[first]!r} has {int(repeats.max())} rows of model "
            f"{model.levels[second]!r}",
            column=str(table.columns["question"]),
            remedy="remove the duplicates; for answers to the same question several times use "
            "`statlas run error-bars` with repeat=COLUMN",
        )
    right = np.full(shape, np.nan)
    right[question.codes, model.codes] = score
    return Answers(model.levels, right, _clusters(table) if table.has("cluster") else None)


def _refuse_fractions(table: Table, score: FloatArray) -> None:
    other = ~np.isin(score, (0.0, 1.0))
    if other.any():
        first = int(other.argmax())
        raise InputError(
            f"scores must be 0 (wrong) or 1 (right); {int(other.sum())} of {len(score)} are not "
            f"(first: {score[first]:g} in usable row {first + 1})",
            column=str(table.columns["score"]),
            remedy="for fractional scores use `statlas run error-bars`",
        )


def _clusters(table: Table) -> NDArray[np.int64]:
    """Cluster of each question; a question in two clusters is an error."""
    question, cluster = table.factor("question"), table.factor("cluster")
    of_question = np.empty(question.n_levels, dtype=np.int64)
    of_question[question.codes] = cluster.codes
    split = of_question[question.codes] != cluster.codes
    if split.any():
        raise InputError(
            f"question {question.levels[question.codes[int(split.argmax())]]!r} is in two clusters",
            column=str(table.columns["cluster"]),
            remedy="make the question labels unique, for example by putting the cluster in front",
        )
    return of_question
