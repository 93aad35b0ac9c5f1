"""Continuous metrics of multiple-choice questions that can stand in for accuracy."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

FloatArray = NDArray[np.float64]

# Words in a metric's name that say lower is better.
_LOWER = ("loss", "perplexity", "ppl", "bits_per", "bpb", "error", "nll", "brier", "entropy")
PRIMARY = ("primary_metric", "accuracy", "acc", "acc_per_char", "acc_raw", "score")


def proxy_metrics(
    log_likelihood: ArrayLike, correct: ArrayLike, lengths: ArrayLike | None = None
) -> dict[str, float]:
    """Accuracy and the continuous metrics of one model on one task.

    Parameters
    ----------
    log_likelihood
        Summed log-probability of each answer, nats, shape (n_questions, n_options).
    correct
        Place of the right answer, whole numbers, shape (n_questions,).
    lengths
        Length of each answer, such as in characters; with it the metrics are taken of
        log-probabilities per unit of length (the paper's ``_per_char`` and ``_per_token``).

    Returns
    -------
    dict
        Means over questions: ``accuracy``; ``correct_prob``, the probability of the right answer;
        ``margin``, that less the largest of the wrong ones; ``total_prob``, the sum over answers;
        ``norm_correct_prob``, the right one's share of that sum; ``task_loss``, minus the mean log
        of the right one.

    Raises
    ------
    ValueError
        For shapes that do not fit, or a place that is not an answer.

    Examples
    --------
    >>> found = proxy_metrics(np.log([[0.2, 0.1], [0.1, 0.3]]), [0, 0])
    >>> {name: round(value, 4) for name, value in found.items() if name != "task_loss"}
    {'accuracy': 0.5, 'correct_prob': 0.15, 'margin': -0.05, 'total_prob': 0.35, \
'norm_correct_prob': 0.4583}
    """
    logs = np.asarray(log_likelihood, dtype=float)
    place = np.asarray(correct)
    if logs.ndim != 2 or place.shape != logs.shape[:1] or logs.shape[1] < 2:
        raise ValueError(
            "log_likelihood needs shape (n_questions, n_options), and correct (n_questions,)"
        )
    if place.min() < 0 or place.max() >= logs.shape[1]:
        raise ValueError("a right answer is not among the answers")
    if lengths is not None:
        logs = logs / np.asarray(lengths, dtype=float)
    rows = np.arange(len(logs))
    right = logs[rows, place]
    wrong = logs.copy()
    wrong[rows, place] = -np.inf
    total = logsumexp(logs, axis=1)
    return {
        "accuracy": float(np.mean(logs.argmax(axis=1) == place)),
        "correct_prob": float(np.mean(np.exp(right))),
        "margin": float(np.mean(np.exp(right) - np.exp(wrong.max(axis=1)))),
        "total_prob": float(np.mean(np.exp(total))),
        "norm_correct_prob": float(np.mean(np.exp(right - total))),
        "task_loss": float(-np.mean(right)),
    }


def lower_is_better(metric: str) -> bool:
    """Whether a metric's name says that less of it is better.

    Examples
    --------
    >>> lower_is_better("task_loss"), lower_is_better("correct_prob")
    (True, False)
    """
    name = metric.lower().replace(" ", "_").replace("-", "_")
    return any(word in name for word in _LOWER)
