"""The claims runner and the ledger: reproducible, resumable, never half written."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from statlas.core import ledger as ledger_module
from statlas.core.checking import (
    _waves,
    check_claims,
    contradictions,
    make_record,
    measure_batch,
    passed,
)
from statlas.core.claims import Above, Claim, Oracle, Twin, claim
from statlas.core.errors import InputError
from statlas.core.ledger import Ledger, Record, data_folder, known_records
from statlas.core.rng import replicate_rng
from statlas.evaluation.error_bars import clustered_coverage, repeats_gain

COUNTED: list[int] = []


def correct(x: float) -> float:
    return x


def wrong(x: float) -> float:
    return -x


@claim(
    "error-bars",
    says="normal draws with mean one have a mean above a half",
    where="Section 0",
    expect=Above(0.5),
    unit="units",
    subject=correct,
    twin=Twin("the sign turned", wrong),
    quick=50,
    full=100,
)
def shifted_mean(rng: np.random.Generator, subject: Any) -> float:
    COUNTED.append(1)
    return float(subject(rng.normal(1, 0.5)))


def fields(record: Record) -> dict[str, Any]:
    """A record without what differs from run to run."""
    return {k: v for k, v in asdict(record).items() if k not in ("seconds", "measured")}


def with_subject(one: Claim, **changes: Any) -> Claim:
    return replace(one, **changes)


# --- the runner ------------------------------------------------------------------------------


def test_a_right_method_holds_and_its_twin_fails(tmp_path: Path) -> None:
    (record,) = check_claims([shifted_mean], ledger=Ledger(tmp_path))
    assert (record.verdict, record.twin_verdict) == ("holds", "fails")
    assert record.replicates == 50
    assert record.interval[0] < 1 < record.interval[1]
    assert record.twin_estimate == -record.estimate
    assert passed([record])


def test_a_wrong_method_fails(tmp_path: Path) -> None:
    broken = with_subject(shifted_mean, subject=wrong)
    (record,) = check_claims([broken], ledger=Ledger(tmp_path))
    assert record.verdict == "fails"
    assert not passed([record])


def test_a_check_whose_twin_holds_does_not_pass(tmp_path: Path) -> None:
    lax = with_subject(shifted_mean, twin=Twin("no variant at all", correct))
    (record,) = check_claims([lax], ledger=Ledger(tmp_path))
    assert (record.verdict, record.twin_verdict) == ("holds", "holds")
    assert not passed([record])


@pytest.mark.parametrize(
    ("shipped", "now", "news"),
    [
        ("holds", "holds", False),
        ("fails", "fails", False),
        ("undecided", "fails", False),
        ("undecided", "holds", False),
        ("holds", "undecided", True),
        ("holds", "fails", True),
        ("fails", "holds", True),
        ("fails", "undecided", True),
    ],
)
def test_a_changed_verdict_is_news(tmp_path: Path, shipped: str, now: str, news: bool) -> None:
    (record,) = check_claims([shifted_mean], ledger=Ledger(tmp_path))
    told, found = replace(record, verdict=shipped), replace(record, verdict=now)
    assert bool(contradictions([found], [told])) is news
    assert contradictions([found], [])
    twin = replace(found, verdict=shipped, twin_verdict="holds")
    assert "twin" in contradictions([twin], [told])[0]


@pytest.mark.parametrize(
    ("replicates", "interval", "news"),
    [
        (10, (0.5, 2.0), False),  # fewer than ship, and the intervals meet
        (10, (-2.0, -0.5), True),  # somewhere else altogether
        (5_000, (0.5, 2.0), True),  # more than ship should not leave it open
    ],
)
def test_fewer_replicates_may_leave_a_claim_open(
    tmp_path: Path, replicates: int, interval: tuple[float, float], news: bool
) -> None:
    (record,) = check_claims([shifted_mean], ledger=Ledger(tmp_path))
    told = replace(record, verdict="holds", interval=(0.9, 1.1), replicates=1_000)
    found = replace(told, verdict="undecided", interval=interval, replicates=replicates)
    assert bool(contradictions([found], [told])) is news


def test_replicates_are_the_documented_streams() -> None:
    pairs = measure_batch(shifted_mean, 3, [0, 7])
    draw = replicate_rng(3, "error-bars/shifted-mean", 7).normal(1, 0.5)
    assert pairs[1] == (draw, -draw)


def test_a_measurement_that_is_no_number_names_its_replicate(tmp_path: Path) -> None:
    broken = with_subject(shifted_mean, subject=lambda x: float("nan"))
    with pytest.raises(ArithmeticError, match="shifted-mean: replicate 0 of seed 0 gave nan"):
        check_claims([broken], ledger=Ledger(tmp_path))


def test_the_numbers_depend_on_the_seed_and_not_on_the_jobs(tmp_path: Path) -> None:
    real = [with_subject(repeats_gain, quick=8), with_subject(clustered_coverage, quick=40)]
    one, again, two, other = (
        check_claims(real, ledger=Ledger(tmp_path / name), jobs=jobs, seed=seed)
        for name, jobs, seed in (("a", 1, 0), ("b", 1, 0), ("c", 2, 0), ("d", 1, 1))
    )
    assert [fields(r) for r in one] == [fields(r) for r in again] == [fields(r) for r in two]
    assert [r.estimate for r in one] != [r.estimate for r in other]


@pytest.mark.parametrize(
    ("start", "stop", "jobs"), [(0, 100, 1), (0, 7, 2), (33, 100, 2), (5, 5, 1)]
)
def test_waves_cover_every_replicate_once_and_in_order(start: int, stop: int, jobs: int) -> None:
    waves = _waves(start, stop, jobs)
    assert [i for wave in waves for batch in wave for i in batch] == list(range(start, stop))
    assert all(len(wave) <= jobs for wave in waves)


def test_an_interrupted_run_resumes_without_measuring_twice(tmp_path: Path) -> None:
    (whole,) = check_claims([shifted_mean], ledger=Ledger(tmp_path / "whole"))
    ledger = Ledger(tmp_path / "cut")

    def interrupt(name: str, done: int, total: int) -> None:
        assert (name, total) == ("error-bars/shifted-mean", 50)
        if done >= 20:
            raise KeyboardInterrupt

    COUNTED.clear()
    with pytest.raises(KeyboardInterrupt):
        check_claims([shifted_mean], ledger=ledger, progress=interrupt)
    kept = len(ledger.unfinished(shifted_mean, 0, "quick"))
    assert 20 <= kept < 50
    assert ledger.read("error-bars") == []
    (resumed,) = check_claims([shifted_mean], ledger=ledger, resume=True)
    assert fields(resumed) == fields(whole)
    assert len(COUNTED) == 2 * 50  # subject and twin, each replicate once over both runs
    assert list((tmp_path / "cut" / "unfinished").iterdir()) == []
    check_claims([shifted_mean], ledger=ledger, resume=True)
    assert len(COUNTED) == 2 * 50  # finished: nothing is measured again
    check_claims([shifted_mean], ledger=ledger)
    assert len(COUNTED) == 4 * 50  # without resume everything is


def test_another_seed_or_budget_or_code_is_not_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(tmp_path)
    ledger.keep_unfinished(shifted_mean, 0, "quick", [(1.0, 2.0)])
    assert ledger.unfinished(shifted_mean, 0, "quick") == [(1.0, 2.0)]
    assert ledger.unfinished(shifted_mean, 1, "quick") == []
    assert ledger.unfinished(shifted_mean, 0, "full") == []
    monkeypatch.setattr(Claim, "fingerprint", lambda self: "other")
    assert ledger.unfinished(shifted_mean, 0, "quick") == []


@pytest.mark.parametrize("content", ["", "{", "{}", "[[1]]", "[1]", '[["a", 1]]', "null"])
def test_damaged_measurements_are_measured_again(tmp_path: Path, content: str) -> None:
    ledger = Ledger(tmp_path)
    ledger.keep_unfinished(shifted_mean, 0, "quick", [(1.0, 2.0)])
    (file,) = (tmp_path / "unfinished").iterdir()
    file.write_text(content)
    assert ledger.unfinished(shifted_mean, 0, "quick") == []


@pytest.mark.parametrize(
    ("backend", "message"), [("mpi", "backend must be one of"), ("ray", "not installed")]
)
def test_backends_that_do_not_exist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str, message: str
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=message):
        check_claims([], ledger=Ledger(tmp_path), backend=backend)


# --- the ledger ------------------------------------------------------------------------------

RECORD = make_record(shifted_mean, [(1.0, -1.0), (1.1, -1.1), (0.1 + 0.8, -0.9)], 0, "quick", 0.5)


def test_records_survive_exactly_and_replace_their_predecessor(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "new" / "folder")
    other = replace(RECORD, claim="other")
    for record in (RECORD, other, replace(RECORD, estimate=2.0)):
        ledger.write(record)
    assert ledger.read("error-bars") == [replace(RECORD, estimate=2.0), other]
    assert ledger.read("no-clt") == []


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"records": [1]}', '{"records": [{}]}'])
def test_a_damaged_ledger_is_an_input_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "error-bars.json").write_text(content)
    with pytest.raises(InputError, match=r"cannot be read.*delete it"):
        Ledger(tmp_path).read("error-bars")


def test_a_record_with_a_field_too_many_is_an_input_error(tmp_path: Path) -> None:
    plain = {"records": [asdict(RECORD) | {"new": 1}]}
    (tmp_path / "error-bars.json").write_text(json.dumps(plain))
    with pytest.raises(InputError, match="cannot be read"):
        Ledger(tmp_path).read("error-bars")


def test_a_ledger_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot make the folder"):
        Ledger(tmp_path / "file" / "ledger").write(RECORD)


def test_the_users_records_are_shown_in_place_of_the_shipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_module, "shipped_ledger", lambda: Ledger(tmp_path / "shipped"))
    monkeypatch.setenv("STATLAS_DATA", str(tmp_path))
    other = replace(RECORD, claim="other")
    for record in (RECORD, other):
        ledger_module.shipped_ledger().write(record)
    assert known_records("error-bars") == [RECORD, other]
    mine = replace(RECORD, verdict="fails", seed=1)
    ledger_module.user_ledger().write(mine)
    assert known_records("error-bars") == [mine, other]


def test_the_data_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATLAS_DATA", "/chosen")
    assert data_folder() == Path("/chosen")
    monkeypatch.delenv("STATLAS_DATA")
    monkeypatch.setenv("XDG_DATA_HOME", "/xdg")
    assert data_folder() == Path("/xdg/statlas")


def test_finished_needs_the_same_seed_budget_and_code(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.write(RECORD)
    assert ledger.finished(shifted_mean, 0, "quick") == RECORD
    assert ledger.finished(shifted_mean, 1, "quick") is None
    assert ledger.finished(shifted_mean, 0, "full") is None
    ledger.write(replace(RECORD, fingerprint="other"))
    assert ledger.finished(shifted_mean, 0, "quick") is None


def test_oracle_claims_run(tmp_path: Path) -> None:
    exact = with_subject(shifted_mean, expect=Oracle(10), twin=Twin("ten times", lambda x: 100 + x))
    (record,) = check_claims([exact], ledger=Ledger(tmp_path))
    assert (record.verdict, record.twin_verdict) == ("holds", "fails")
