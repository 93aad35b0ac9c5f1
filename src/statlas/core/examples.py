"""The small real tables on which recipes show themselves."""

from __future__ import annotations

from pathlib import Path

import statlas
from statlas.core.errors import InputError


def example_folder() -> Path:
    """The examples: beside the package when installed, at the root of a working copy."""
    package = Path(statlas.__file__).parent
    installed = package / "examples"
    return installed if installed.is_dir() else package.parents[1] / "examples"


def example_path(name: str) -> Path:
    """Path of an example table.

    Raises
    ------
    InputError
        If there is none of that name; the message lists those there are.
    """
    path = example_folder() / name
    if not path.is_file():
        known = sorted(p.name for p in example_folder().glob("*.csv"))
        raise InputError(f"there is no example {name!r}; there are {', '.join(known)}")
    return path
