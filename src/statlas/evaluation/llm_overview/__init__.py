"""A map from the statistical questions about language models to the methods that answer them.

Answers      Where do language models need statistics, which method here answers each question, and
             which of them can be run on my table?
Use when     you are new to language models, or have a table and wonder what could be asked of it.
             Avoid it when you know your question: `statlas find` is shorter. The guide lists and
             runs methods; what their answers are worth stands on their own pages.
Assumes      nothing of the table. Each method it starts makes its own assumptions; the column
             `watch_for` names the one that fails most often.
Notation     n = labels or answers checked by people, rest = those that only the model labelled
             `green_list_test`: share = gamma, green = number of distinct green pairs, pairs = T,
             z = (green - gamma T) / sqrt(T gamma (1 - gamma))
             `conformal_sets`: score = 1 - probability of the right answer, cut = its k-th smallest
             value with k = ceil((n + 1) level)
             `rectified_mean`: mean of the model's labels over the rest + mean of (checked - model)
             over the n checked ones; variance = s^2_rest / N + s^2_difference / n
Departs      The survey tells of far more work than the catalogue holds: the guide covers the
             questions that some paper here, or one of three short methods of its own, answers.
             Reading lists and descriptions of architectures are left out.
             The watermark test colours each pair (token, next token) by an independent keyed hash
             where the usual scheme splits the vocabulary in two fixed parts: the number of green
             ones among distinct pairs of unmarked text is then binomial for a random key, and the
             p-value is exact. It counts a repeated pair once.
             The rectified mean's interval uses Student's t with n - 1 degrees of freedom instead
             of a normal quantile, as the checked part dominates its variance when n is small.
             Methods run in the order of the questions, each once, with seed 0, none after
             `seconds` have passed; surveys are listed and never started, so guides cannot call
             each other in circles. A method that raises is a row of the answer, not an error.
Reference    Ji, Yuan, Getzen, Cho, Jordan, Mei et al. (2025), An Overview of Large Language Models
             for Statisticians, arXiv:2502.17814. Green lists: Kirchenbauer et al. (2023),
             arXiv:2301.10226. Rectified means: Angelopoulos et al. (2023), arXiv:2301.09633.
"""

from __future__ import annotations

from statlas.evaluation.llm_overview.claims import (
    conformal_coverage,
    rectified_coverage,
    watermark_false_alarms,
)
from statlas.evaluation.llm_overview.methods import (
    MeanInterval,
    WatermarkTest,
    conformal_sets,
    green_list_test,
    green_pairs,
    rectified_mean,
)
from statlas.evaluation.llm_overview.questions import QUESTIONS, TOPICS, Question
from statlas.evaluation.llm_overview.tour import Guide, guide

__all__ = [
    "QUESTIONS", "TOPICS", "Guide", "MeanInterval", "Question", "WatermarkTest",
    "conformal_coverage", "conformal_sets", "green_list_test", "green_pairs", "guide",
    "rectified_coverage", "rectified_mean", "watermark_false_alarms",
]  # fmt: skip
