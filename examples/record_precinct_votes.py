"""Record `precinct_votes.csv`: how 120 precincts of Monterey County voted on 8 November 2016.

Shares come from the files `cal-precinct-prop-data.hdf5` and `cal-precinct-metadata.hdf5` in the
code of the paper of `ndm` (github.com/ajbc/ndm, MIT licence), whose authors took them from the
precinct results that the Los Angeles Times collected. Of the county's 195 precincts those with
votes on both sides of every question are kept and 120 are drawn. Needs h5py and the folder of the
two files.

    python record_precinct_votes.py FOLDER
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from recording import HERE, write_whole

COLUMNS = {
    "clinton": 0,
    "trump": 1,
    "tobacco_tax": 13,
    "parole": 15,
    "adult_film_condoms": 21,
    "end_death_penalty": 25,
    "ammunition_checks": 27,
    "marijuana": 29,
    "ban_bags": 35,
}


def record(folder: Path) -> pd.DataFrame:
    """One row a precinct."""
    import h5py

    with h5py.File(folder / "cal-precinct-prop-data.hdf5") as file:
        shares = file["observations"][:]
    with h5py.File(folder / "cal-precinct-metadata.hdf5") as file:
        labels = np.array([label.decode() for label in file["precint-labels"][:]])
    chosen = shares[:, list(COLUMNS.values())]
    usable = np.char.startswith(labels, "053-") & ((chosen > 0) & (chosen < 1)).all(axis=1)
    drawn = np.sort(np.random.default_rng(0).choice(np.flatnonzero(usable), 120, replace=False))
    table = pd.DataFrame(chosen[drawn], columns=list(COLUMNS)).round(4)
    table.insert(0, "precinct", labels[drawn])
    return table


if __name__ == "__main__":
    write_whole(record(Path(sys.argv[1])), HERE / "precinct_votes.csv")
