"""Record `insulator_strings.csv`: ages of insulator strings of power lines, with air pollution.

The rows are those of `insulator_string` in the package relife 3.0.0 (RTE, Apache-2.0), every sixth
of 12,000 from the first on. The package is read as files (`pip install --no-deps relife==3.0.0`).
"""

from importlib.util import find_spec
from pathlib import Path

import pandas as pd

from recording import command_line, write_whole


def record() -> pd.DataFrame:
    """Every sixth row, columns as in the package."""
    spec = find_spec("relife")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("relife is absent: pip install --no-deps relife==3.0.0")
    folder = Path(spec.submodule_search_locations[0])
    table = pd.read_csv(folder / "datasets" / "csv" / "insulator_string.csv")
    return table.iloc[::6].astype({"event": int})


if __name__ == "__main__":
    arguments = command_line(__doc__)
    write_whole(record(), arguments.out / "insulator_strings.csv")
