"""Browsing the catalogue loads nothing heavy."""

from __future__ import annotations

import json
import subprocess
import sys

HEAVY = (
    "numpy", "scipy", "pandas", "sklearn", "matplotlib", "torch", "pydantic", "rich", "numba",
    "narwhals", "pyarrow", "joblib", "jinja2", "starlette",
)  # fmt: skip
PROGRAM = """
import json, sys
from statlas.catalog import bibtex, find, load_catalogue
catalogue = load_catalogue()
hit = find("is the difference between two models real", catalogue=catalogue)[0]
bibtex(catalogue.get(hit.id))
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def loaded() -> set[str]:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True, timeout=60
    )
    return set(json.loads(run.stdout))


def test_finding_and_citing_load_the_standard_library_only() -> None:
    cold, warm = loaded(), loaded()
    assert not (cold | warm) & set(HEAVY)
    # A .pth file of the environment may load something of its own before the program starts.
    start = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    before = {name.partition(".")[0] for name in start.stdout.split()}
    assert warm - before - set(sys.stdlib_module_names) == {"statlas"}
    assert "tomllib" not in warm
