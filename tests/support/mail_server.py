"""A real SMTP server on loopback that keeps what it was given, and misbehaves when told."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller


class Mailbox:
    """Handler of aiosmtpd: takes mails, unless it is told to refuse."""

    def __init__(self) -> None:
        self.received: list[EmailMessage] = []
        self.refuse: dict[str, str] = {}  # address -> answer to RCPT
        self.answers: list[str] = []  # answers to DATA, used up one by one

    async def handle_RCPT(  # noqa: N802 - the name that the library calls
        self, server: Any, session: Any, envelope: Any, address: str, options: list[str]
    ) -> str:
        if address in self.refuse:
            return self.refuse[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.answers and (answer := self.answers.pop(0)) != "take":
            return answer
        message = message_from_bytes(envelope.content, policy=default)
        assert isinstance(message, EmailMessage)
        self.received.append(message)
        return "250 taken"

    def by_address(self) -> Counter[str]:
        """How many mails each address got."""
        return Counter(str(message["To"]) for message in self.received)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def mail_server() -> Iterator[tuple[Mailbox, int]]:
    """A server on a free port of loopback."""
    mailbox = Mailbox()
    port = _free_port()
    controller = Controller(mailbox, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield mailbox, port
    finally:
        controller.stop()


SENDER = """
import os, signal, sys
from statlas.app.digest.database import Database
from statlas.app.digest.outbox import send_waiting
from statlas.app.digest.settings import MailSettings

address, port, step_to_die, nth = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
seen = 0

def step(name):
    global seen
    seen += name == step_to_die
    if name == step_to_die and seen == nth:
        os.kill(os.getpid(), signal.SIGKILL)

settings = MailSettings("127.0.0.1", port, "digest@example.org", "http://127.0.0.1:1", "none")
with Database(address) as database:
    print("ready", flush=True)
    send_waiting(database, settings, step=step)
"""


def sender_script(folder: Path) -> Path:
    """A program that sends what waits, and kills itself at a step."""
    path = folder / "sender.py"
    path.write_text(SENDER)
    return path
