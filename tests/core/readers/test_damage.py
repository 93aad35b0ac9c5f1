"""Damaged files of every kind end in a frame or in an `InputError`, never in anything else."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from statlas.core.errors import InputError
from statlas.core.readers import read_frame

FIXTURES = Path(__file__).parent / "fixtures"
LOGS = {
    "eval": "inspect/capitals_alpha.eval",
    "deflated": "inspect/capitals_alpha_deflate.eval",
    "json": "inspect/capitals_alpha.json",
    "samples": "lm_eval/acme__alpha-7b/samples_tiny_free_*.jsonl",
    "results": "lm_eval/acme__alpha-7b/results_*.json",
}
ODD: list[Any] = [None, [], {}, "x", 5, True, [1], {"a": 1}, -1.5, 10**400]


def log(kind: str) -> Path:
    [path] = FIXTURES.glob(LOGS[kind])
    return path


def survives(path: Path) -> bool:
    """Read the file; True for a frame, False for a refusal, anything else fails the test."""
    try:
        return isinstance(read_frame(path), pd.DataFrame)
    except InputError as error:
        assert str(error)
        return False


def damaged(whole: bytes, rng: random.Random) -> bytes:
    content = bytearray(whole)
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(len(content))
        if rng.random() < 0.6:
            content[place] = rng.randrange(256)
        else:
            del content[place : place + rng.randrange(1, 20)]
    return bytes(content)


@pytest.mark.parametrize("kind", [*LOGS, "parquet", "feather", "csv"])
def test_flipped_and_lost_bytes(tmp_path: Path, kind: str) -> None:
    if kind in LOGS:
        whole, path = log(kind).read_bytes(), tmp_path / f"x{log(kind).suffix}"
    else:
        path = tmp_path / f"x.{kind}"
        frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y, z"]})
        {"parquet": frame.to_parquet, "feather": frame.to_feather, "csv": frame.to_csv}[kind](path)
        whole = path.read_bytes()
    rng = random.Random(1)
    outcomes = set()
    for _ in range(60):
        path.write_bytes(damaged(whole, rng))
        outcomes.add(survives(path))
    assert False in outcomes or kind == "csv"


def places(value: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in children:
        yield (*above, key)
        if isinstance(child, dict | list) and len(above) < 3:
            yield from places(child, (*above, key))


@pytest.mark.parametrize("kind", ["json", "samples", "results"])
def test_values_of_another_kind(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"x{log(kind).suffix}"
    document = json.loads(
        log(kind).read_text().splitlines()[0] if kind == "samples" else log(kind).read_text()
    )
    for place in places(document):
        if "configs" in place or "plan" in place:
            continue
        for odd in ODD[: 10 if len(place) < 3 else 4]:
            changed = copy.deepcopy(document)
            holder = changed
            for key in place[:-1]:
                holder = holder[key]
            holder[place[-1]] = odd
            path.write_text(json.dumps(changed) + "\n")
            survives(path)
