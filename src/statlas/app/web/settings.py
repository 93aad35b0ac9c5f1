"""Where the workbench listens, what it admits and where it keeps its data."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from statlas.core.ledger import data_folder

MEGABYTE = 2**20


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be set.

    Attributes
    ----------
    host, port
        Where to listen.
    token
        What a visitor must know; empty for none, which only a loopback host may have.
    folder
        Where uploads and runs are kept.
    max_upload, max_body
        Largest uploaded file and largest other request, in bytes.
    max_rows, max_columns
        Largest table, in rows and columns.
    max_uploads
        Most uploaded files that are kept at once.
    workers, max_queue
        Runs at the same time, and most that wait.
    run_seconds, check_seconds
        Time limits of a run, and of a preview or check, in seconds of the clock.
    memory
        Largest memory of one process, in bytes.
    digest
        Address of the digest's database; empty for the user's own.
    proxy
        Address of the proxy in front, whose word on visitors' addresses counts; empty for none.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    token: str = field(default="", repr=False)
    folder: Path = field(default_factory=lambda: data_folder() / "workbench")
    max_upload: int = 256 * MEGABYTE
    max_body: int = MEGABYTE
    max_rows: int = 5_000_000
    max_columns: int = 20_000
    max_uploads: int = 500
    workers: int = 2
    max_queue: int = 100
    run_seconds: float = 3600.0
    check_seconds: float = 60.0
    memory: int = 6 * 1024 * MEGABYTE
    digest: str = field(default="", repr=False)
    proxy: str = ""

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the host, and nobody through a proxy."""
        return is_loopback(self.host) and not self.proxy


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine and nothing else.

    Examples
    --------
    >>> [is_loopback(host) for host in ("localhost", "127.0.0.1", "::1", "0.0.0.0", "example.org")]
    [True, True, True, False, False]
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
