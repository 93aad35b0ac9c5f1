"""Record `penguins.csv`: measured penguins of three species on three islands.

The rows are those of `penguins.csv` in the package palmerpenguins 0.1.6 (data CC0; K. Gorman and
Palmer Station LTER) whose sex is known: 333 of 344. `population`, the penguins of a species on an
island, is added. The package is read as files (`pip install --no-deps palmerpenguins==0.1.6`).
"""

from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from recording import command_line, write_whole


def record() -> pd.DataFrame:
    """Complete rows, columns as in the package."""
    spec = find_spec("palmerpenguins")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("palmerpenguins is absent: pip install --no-deps palmerpenguins==0.1.6")
    folder = Path(spec.submodule_search_locations[0])
    table = pd.read_csv(folder / "data" / "penguins.csv").dropna()
    table.insert(0, "population", table["species"] + " of " + table["island"])
    return table.astype({"flipper_length_mm": int, "body_mass_g": int})


if __name__ == "__main__":
    arguments = command_line(__doc__)
    write_whole(record(), arguments.out / "penguins.csv")
