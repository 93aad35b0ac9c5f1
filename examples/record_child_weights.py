"""Record `child_weights.csv`: weights of children at up to eleven ages.

The rows are those of the data set `weight` in the R package MagmaClustR 1.2.1 (MIT licence), with
children numbered anew. Write them out first, in R: write.csv(MagmaClustR::weight, "weight.csv").
"""

from pathlib import Path

import pandas as pd

from recording import command_line, write_whole


def record(written: Path) -> pd.DataFrame:
    """All rows, with short names and new numbers of the children."""
    if not written.is_file():
        raise SystemExit('weight.csv is absent; in R: write.csv(MagmaClustR::weight, "weight.csv")')
    table = pd.read_csv(written)
    children = [f"child-{number + 1:03d}" for number in pd.factorize(table["ID"])[0]]
    return pd.DataFrame(
        {
            "child": children,
            "sex": table["sex"].str.lower(),
            "age": table["Input"].astype(int),
            "weight": table["Output"],
        }
    )


if __name__ == "__main__":
    arguments = command_line(__doc__)
    write_whole(record(Path("weight.csv")), arguments.out / "child_weights.csv")
