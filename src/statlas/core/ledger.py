"""The ledger: what was measured of each claim, one JSON file a paper. Standard library only.

statlas ships a ledger with the verdicts measured at release; a user's own checks go to a ledger in
their data folder, which is shown in its place where it has a record.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from statlas.core.errors import InputError
from statlas.core.files import write_whole

if TYPE_CHECKING:
    from statlas.core.claims import Claim


@dataclass(frozen=True)
class Record:
    """One measured claim and its twin."""

    paper: str
    claim: str
    says: str
    where: str
    expect: str
    unit: str
    verdict: str
    estimate: float
    interval: tuple[float, float]
    twin: str
    twin_verdict: str
    twin_estimate: float
    twin_interval: tuple[float, float]
    replicates: int
    level: float
    false_alarm_rate: float
    seed: int
    budget: str
    seconds: float
    fingerprint: str
    versions: Mapping[str, str]
    measured: str


def record_from_dict(plain: Mapping[str, Any]) -> Record:
    """Rebuild a record from JSON."""
    pairs = {name: tuple(plain[name]) for name in ("interval", "twin_interval")}
    return Record(**{**plain, **pairs})


def data_folder() -> Path:
    """The user's data folder, ``STATLAS_DATA`` where that is set."""
    if chosen := os.environ.get("STATLAS_DATA"):
        return Path(chosen)
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "statlas"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "statlas"


def shipped_ledger() -> Ledger:
    """The ledger that comes with statlas."""
    return Ledger(Path(__file__).parents[1] / "ledger")


def user_ledger() -> Ledger:
    """The user's own ledger."""
    return Ledger(data_folder() / "ledger")


def known_records(paper: str) -> list[Record]:
    """Records of a paper: the user's where there is one, else the shipped ones."""
    by_claim = {record.claim: record for record in shipped_ledger().read(paper)}
    for record in user_ledger().read(paper):
        by_claim[record.claim] = record
    return list(by_claim.values())


class Ledger:
    """Records of claims in a folder.

    Parameters
    ----------
    folder
        Made when first written to.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def read(self, paper: str) -> list[Record]:
        """All records of a paper, in the order in which its claims were first written."""
        path = self._path(paper)
        if not path.is_file():
            return []
        try:
            plain = json.loads(path.read_text(encoding="utf-8"))
            return [record_from_dict(record) for record in plain["records"]]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"the ledger file {path} cannot be read: {error}",
                remedy="delete it and run the check again",
            ) from None

    def write(self, record: Record) -> None:
        """Put a record in the place of the claim's earlier one."""
        records = {known.claim: known for known in self.read(record.paper)}
        records[record.claim] = record
        self._write_json(
            self._path(record.paper), {"records": [asdict(known) for known in records.values()]}
        )

    def finished(self, claim: Claim, seed: int, budget: str) -> Record | None:
        """The claim's record, if it was measured with this seed, budget and code."""
        for record in self.read(claim.paper):
            key = (record.claim, record.seed, record.budget, record.fingerprint)
            if key == (claim.name, seed, budget, claim.fingerprint()):
                return record
        return None

    # --- measurements of an interrupted run ----------------------------------------------------

    def unfinished(self, claim: Claim, seed: int, budget: str) -> list[tuple[float, float]]:
        """Measurements that an interrupted run left."""
        path = self._unfinished_path(claim, seed, budget)
        try:
            plain = json.loads(path.read_text(encoding="utf-8"))
            return [(float(ours), float(twin)) for ours, twin in plain]
        except (OSError, ValueError, TypeError):
            return []

    def keep_unfinished(
        self, claim: Claim, seed: int, budget: str, done: Sequence[tuple[float, float]]
    ) -> None:
        """Keep the measurements made so far."""
        self._write_json(self._unfinished_path(claim, seed, budget), list(done))

    def drop_unfinished(self, claim: Claim, seed: int, budget: str) -> None:
        """Forget the measurements of a run that is now recorded."""
        self._unfinished_path(claim, seed, budget).unlink(missing_ok=True)

    def _path(self, paper: str) -> Path:
        return self.folder / f"{paper}.json"

    def _unfinished_path(self, claim: Claim, seed: int, budget: str) -> Path:
        name = f"{claim.paper}.{claim.name}.{seed}.{budget}.{claim.fingerprint()}.json"
        return self.folder / "unfinished" / name

    def _write_json(self, path: Path, plain: object) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"cannot make the folder {path.parent}: {error.strerror}",
                remedy="choose a folder you can write to",
            ) from None
        text = json.dumps(plain, indent=1, ensure_ascii=False, allow_nan=False)
        write_whole(path, (text + "\n").encode())
