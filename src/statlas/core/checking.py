"""The claims runner: replicates in parallel, verdicts with twins, resumable, into the ledger."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import joblib
import numpy as np

from statlas.core.claims import (
    DECISION_LEVEL,
    FALSE_ALARM_RATE,
    Budget,
    Claim,
    Estimate,
    Verdict,
    estimate,
)
from statlas.core.errors import InputError
from statlas.core.ledger import Ledger, Record
from statlas.core.recipes import library_versions
from statlas.core.rng import replicate_rng

# More batches than this cost more in bookkeeping than the finer progress is worth.
_BATCHES = 24
_BACKENDS = ("loky", "threading", "dask", "ray")

Progress = Callable[[str, int, int], None]


def check_claims(
    claims: Iterable[Claim],
    *,
    ledger: Ledger,
    budget: Budget = "quick",
    seed: int = 0,
    jobs: int = 1,
    backend: str = "loky",
    resume: bool = False,
    progress: Progress | None = None,
) -> list[Record]:
    """Measure claims and their twins, and write each record to the ledger as soon as it is known.

    Parameters
    ----------
    claims
        The claims to measure.
    ledger
        Where records and unfinished measurements are kept.
    budget
        ``"quick"`` (seconds a claim) or ``"full"`` (minutes).
    seed
        Seed of all replicates; the numbers depend on it alone, not on `jobs` or `backend`.
    jobs
        Number of worker processes.
    backend
        joblib backend: loky, threading, dask or ray.
    resume
        Keep what an interrupted run with the same seed, budget and code has already measured.
    progress
        Called with (claim name, replicates done, replicates in all).

    Returns
    -------
    list of Record
        In the order of the claims.
    """
    _check_backend(backend)
    records = []
    with joblib.Parallel(n_jobs=jobs, backend=backend, batch_size=1) as pool:
        for claim in claims:
            known = ledger.finished(claim, seed, budget) if resume else None
            record = known or _check_one(claim, ledger, budget, seed, pool, resume, progress)
            if known is None:
                ledger.write(record)
            records.append(record)
    return records


def _check_backend(backend: str) -> None:
    """Dask and ray register themselves with joblib when imported; say so when they are absent."""
    if backend not in _BACKENDS:
        raise InputError(f"backend must be one of {', '.join(_BACKENDS)}; got {backend!r}")
    try:
        if backend == "dask":
            import distributed  # type: ignore[import-not-found]  # noqa: F401
        elif backend == "ray":
            from ray.util.joblib import register_ray  # type: ignore[import-not-found]

            register_ray()
    except ImportError:
        raise InputError(
            f"the backend {backend!r} is not installed",
            remedy=f"run: pip install {'distributed' if backend == 'dask' else 'ray'}",
        ) from None


def _check_one(
    claim: Claim,
    ledger: Ledger,
    budget: Budget,
    seed: int,
    pool: joblib.Parallel,
    resume: bool,
    progress: Progress | None,
) -> Record:
    started = time.perf_counter()
    n_replicates = claim.replicates(budget)
    done = ledger.unfinished(claim, seed, budget) if resume else []
    for batch in _waves(len(done), n_replicates, max(1, pool.n_jobs)):
        parts = pool(joblib.delayed(measure_batch)(claim, seed, part) for part in batch)
        done += [pair for part in parts for pair in part]
        ledger.keep_unfinished(claim, seed, budget, done)
        if progress is not None:
            progress(f"{claim.paper}/{claim.name}", len(done), n_replicates)
    record = make_record(claim, done, seed, budget, time.perf_counter() - started)
    ledger.drop_unfinished(claim, seed, budget)
    return record


def _waves(start: int, stop: int, jobs: int) -> list[list[list[int]]]:
    """Replicate numbers in waves; each wave has a batch a job and is kept when it is done."""
    if start >= stop:
        return []
    size = max(1, -(-stop // (_BATCHES * jobs)))
    batches = [list(range(i, min(i + size, stop))) for i in range(start, stop, size)]
    return [batches[i : i + jobs] for i in range(0, len(batches), jobs)]


def measure_batch(claim: Claim, seed: int, replicates: Sequence[int]) -> list[tuple[float, float]]:
    """Measurements of subject and twin for the given replicate numbers, on the same streams."""
    name = f"{claim.paper}/{claim.name}"

    def measure(subject: Any, replicate: int) -> float:
        value = float(claim.measure(replicate_rng(seed, name, replicate), subject))
        if not np.isfinite(value):
            raise ArithmeticError(f"{name}: replicate {replicate} of seed {seed} gave {value}")
        return value

    return [(measure(claim.subject, i), measure(claim.twin.subject, i)) for i in replicates]


def make_record(
    claim: Claim,
    measurements: Sequence[tuple[float, float]],
    seed: int,
    budget: Budget,
    seconds: float,
) -> Record:
    """Verdicts of subject and twin from their measurements, as a ledger record."""
    ours = estimate([pair[0] for pair in measurements], claim.expect, claim.kind)
    twin = estimate([pair[1] for pair in measurements], claim.expect, claim.kind)
    return Record(
        paper=claim.paper,
        claim=claim.name,
        says=claim.says,
        where=claim.where,
        expect=str(claim.expect),
        unit=claim.unit,
        verdict=ours.verdict.value,
        estimate=ours.mean,
        interval=ours.interval,
        twin=claim.twin.name,
        twin_verdict=twin.verdict.value,
        twin_estimate=twin.mean,
        twin_interval=twin.interval,
        replicates=ours.replicates,
        level=DECISION_LEVEL,
        false_alarm_rate=FALSE_ALARM_RATE,
        seed=seed,
        budget=budget,
        seconds=seconds,
        fingerprint=claim.fingerprint(),
        versions=library_versions(),
        measured=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def passed(records: Iterable[Record]) -> bool:
    """Whether no claim fails and no twin holds."""
    return all(
        record.verdict != Verdict.FAILS and record.twin_verdict != Verdict.HOLDS
        for record in records
    )


def contradictions(records: Iterable[Record], shipped: Iterable[Record]) -> list[str]:
    """What differs from the verdicts that ship: one sentence each, none if all is as told.

    A claim that is shipped as failing is a finding, and it is news when it no longer fails. One
    that is shipped as undecided may be decided either way by other replicates, and fewer replicates
    than the shipped ones may leave a claim undecided: then its interval must still meet the
    shipped one.
    """
    told = {(record.paper, record.claim): record for record in shipped}
    found = []
    for record in records:
        name = f"{record.paper}/{record.claim}"
        before = told.get((record.paper, record.claim))
        if record.twin_verdict == Verdict.HOLDS:
            found.append(f"{name}: its broken twin holds")
        if before is None:
            found.append(f"{name}: no verdict ships with statlas; it is {record.verdict!r}")
        elif not _agrees(record, before):
            found.append(f"{name}: shipped as {before.verdict!r}, now {record.verdict!r}")
    return found


def _agrees(record: Record, before: Record) -> bool:
    if record.verdict == before.verdict or before.verdict == Verdict.UNDECIDED:
        return True
    (low, high), (shipped_low, shipped_high) = record.interval, before.interval
    coarser = record.replicates < before.replicates and record.verdict == Verdict.UNDECIDED
    return coarser and low <= shipped_high and shipped_low <= high


__all__ = [
    "Estimate", "check_claims", "contradictions", "make_record", "measure_batch", "passed",
]  # fmt: skip
