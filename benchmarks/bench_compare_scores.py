"""Clustered pairwise comparison of 20 models on 50,000 questions, against statsmodels.

Same numbers: statsmodels' OLS of the paired differences on a constant with cluster-robust errors
(its default small-sample factor is G / (G - 1) here) must agree to 1e-9 for every pair measured.
Floor: the long table has four columns of one million rows; grouping text labels reads each once
(about 0.1 s for three label columns), the clustered Gram matrix is 20 x 20 over 1,000 cluster sums.
Peak memory is that of this process while `compare_scores` runs, measured by tracemalloc.
"""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pandas as pd
import statsmodels.api as sm

from statlas.evaluation import compare_scores

N_MODELS, N_QUESTIONS, N_CLUSTERS, ROUNDS = 20, 50_000, 1_000, 5
PEER_PAIRS = 5


def long_table(seed: int = 0) -> pd.DataFrame:
    """One million rows: model, question, cluster (text) and a 0/1 score."""
    rng = np.random.default_rng(seed)
    cluster = rng.integers(0, N_CLUSTERS, N_QUESTIONS)
    chance = np.clip(0.6 + 0.15 * rng.standard_normal(N_CLUSTERS)[cluster], 0.02, 0.98)
    skill = np.linspace(-0.1, 0.1, N_MODELS)
    score = rng.random((N_MODELS, N_QUESTIONS)) < np.clip(chance + skill[:, None], 0, 1)
    question = np.array([f"question-{i}" for i in range(N_QUESTIONS)])
    passage = np.array([f"passage-{i}" for i in cluster])
    return pd.DataFrame(
        {
            "model": np.repeat([f"model-{i:02d}" for i in range(N_MODELS)], N_QUESTIONS),
            "question": np.tile(question, N_MODELS),
            "cluster": np.tile(passage, N_MODELS),
            "score": score.ravel().astype(float),
        }
    )


def statsmodels_error(wide: pd.DataFrame, clusters: np.ndarray, a: str, b: str) -> float:
    """Cluster-robust standard error of the mean paired difference."""
    difference = (wide[a] - wide[b]).to_numpy()
    fit = sm.OLS(difference, np.ones(len(difference))).fit(
        cov_type="cluster", cov_kwds={"groups": clusters}
    )
    return float(fit.bse[0])


def main() -> None:
    """Time both in turn, check the numbers, print the table."""
    table = long_table()
    tracemalloc.start()
    result = compare_scores(table)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    wide = table.pivot(index="question", columns="model", values="score")
    clusters = table.drop_duplicates("question").set_index("question")["cluster"]
    codes = pd.factorize(clusters.loc[wide.index])[0]
    ours, theirs, worst = [], [], 0.0
    pairs = result.table.sample(PEER_PAIRS, random_state=0)
    for _ in range(ROUNDS):
        start = time.perf_counter()
        compare_scores(table)
        ours.append(time.perf_counter() - start)
        start = time.perf_counter()
        errors = [statsmodels_error(wide, codes, r.model_a, r.model_b) for r in pairs.itertuples()]
        theirs.append((time.perf_counter() - start) * len(result.table) / PEER_PAIRS)
        worst = max(worst, float(np.abs(pairs["standard_error"] - errors).max()))
    mine, peer = float(np.median(ours)), float(np.median(theirs))
    print(f"rows {len(table):,}; pairs {len(result.table)}; largest difference {worst:.1e}")
    print(f"compare_scores, from the long table      median {mine:.2f} s, peak {peak / 1e6:.0f} MB")
    print(f"statsmodels, from a ready wide table     median {peer:.2f} s for as many pairs")
    print(f"ratio of medians {peer / mine:.1f}")
    assert worst < 1e-9
    assert mine < 1.0, "the bar is one second"
    assert peak < 1e9, "the bar is one gigabyte"


if __name__ == "__main__":
    main()
