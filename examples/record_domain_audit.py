"""Draw an audit of a classifier's errors, few in each domain, from the recorded digits.

The population is the 1,797 digits of `digits_scores.csv`; the outcome is whether the random forest
read a digit wrongly. Domains are the 14 writers by two halves of the digits. Of the digits 0 to 4
110 are drawn, of 5 to 9 190. Known for all: the domain's size, and the error rate of the nearest
centroid, a cheap classifier. The true rates follow from `digits_scores.csv`.
"""

import numpy as np
import pandas as pd

from recording import HERE, command_line, write_whole

DRAWN = {"0-4": 110, "5-9": 190}


def population() -> pd.DataFrame:
    """One row a digit: domain, half, error of the forest, size and covariate of the domain."""
    scores = pd.read_csv(HERE / "digits_scores.csv")
    wide = scores.pivot_table(
        index=["question", "writer", "digit"], columns="model", values="score"
    )
    table = wide.reset_index()
    table["half"] = np.where(table["digit"] <= 4, "0-4", "5-9")
    table["domain"] = table["writer"] + " " + table["half"]
    table["error"] = (1 - table["random-forest"]).astype(int)
    by_domain = table.groupby("domain")
    table["size"] = by_domain["error"].transform("size")
    table["centroid_error"] = (1 - by_domain["nearest-centroid"].transform("mean")).round(4)
    return table


def draw(seed: int) -> pd.DataFrame:
    """The audit: a simple random sample of each half, with inverse inclusion probabilities."""
    rng = np.random.default_rng(seed)
    parts = []
    for half, table in population().groupby("half"):
        rows = rng.choice(len(table), DRAWN[str(half)], replace=False)
        parts.append(table.iloc[np.sort(rows)].assign(weight=round(len(table) / len(rows), 4)))
    columns = ["domain", "error", "weight", "size", "centroid_error"]
    return pd.concat(parts)[columns].reset_index(drop=True)


if __name__ == "__main__":
    options = command_line("Draw an audit of a classifier's errors from the recorded digits.")
    write_whole(draw(options.seed), options.out / "domain_audit.csv")
