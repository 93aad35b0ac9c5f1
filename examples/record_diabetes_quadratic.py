"""Record `diabetes_quadratic.csv`: 442 patients with ten measures, their squares and products.

The measures are those of scikit-learn's diabetes table (Efron, Hastie, Johnstone and Tibshirani,
2004), which also uses the 64 columns recorded here: ten measures, nine squares (sex takes two
values only) and 45 products. Measures are standardised first; numbers have four decimals.
"""

from itertools import combinations

import pandas as pd
from sklearn.datasets import load_diabetes

from recording import command_line, write_whole


def record() -> pd.DataFrame:
    """One row for each patient."""
    data = load_diabetes(as_frame=True, scaled=False)
    raw = data.data.rename(columns={f"s{i}": n for i, n in enumerate(
        ("total_chol", "ldl", "hdl", "chol_ratio", "log_trig", "glucose"), start=1)})  # fmt: skip
    z = (raw - raw.mean()) / raw.std(ddof=0)
    columns = {"progression": data.target.astype(int)}
    columns |= {name: z[name].round(4) for name in z}
    columns |= {f"{name}^2": (z[name] ** 2).round(4) for name in z if name != "sex"}
    columns |= {f"{a}*{b}": (z[a] * z[b]).round(4) for a, b in combinations(z, 2)}
    return pd.DataFrame(columns)


if __name__ == "__main__":
    arguments = command_line(__doc__)
    write_whole(record(), arguments.out / "diabetes_quadratic.csv")
