"""How mails leave: the server, the sender, and the address that links in mails lead to."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parseaddr
from typing import Literal
from urllib.parse import unquote, urlsplit

from statlas.app.digest.records import web_address
from statlas.core.errors import InputError

Security = Literal["starttls", "tls", "none"]
_SCHEMES: dict[str, tuple[Security, int]] = {
    "smtps": ("tls", 465),
    "smtp": ("starttls", 587),
    "smtp+plain": ("none", 25),
}


@dataclass(frozen=True)
class MailSettings:
    """The mail server and what mails say of their sender.

    Attributes
    ----------
    host, port, security, user, password
        Of the SMTP server.
    sender
        The ``From`` address, with a name or without.
    site
        Address of the workbench, which links in mails lead to.
    timeout
        Seconds that each answer of the server may take.
    """

    host: str
    port: int
    sender: str
    site: str
    security: Security = "starttls"
    user: str = ""
    password: str = field(default="", repr=False)
    timeout: float = 60.0


def mail_settings(given: Mapping[str, str | None] | None = None) -> MailSettings:
    """Settings from options and, where they are silent, from the environment.

    ``STATLAS_SMTP`` is ``smtps://USER:PASSWORD@HOST:PORT`` (TLS from the start), ``smtp://...``
    (STARTTLS, refused where the server has none) or ``smtp+plain://...`` (no TLS, for a server on
    the same machine); ``STATLAS_SENDER`` the sender's address; ``STATLAS_SITE`` the address of the
    workbench.

    Raises
    ------
    InputError
        If one is missing or none.
    """
    values = {
        name: (given or {}).get(name) or os.environ.get(f"STATLAS_{name.upper()}", "")
        for name in ("smtp", "sender", "site")
    }
    for name, value in values.items():
        if not value:
            raise InputError(
                f"mails need --{name} or STATLAS_{name.upper()}",
                remedy="for example smtps://USER:PASSWORD@mail.example.org, digest@example.org and "
                "https://papers.example.org",
            )
    site = web_address(values["site"]).rstrip("/")
    if not site:
        raise InputError(
            f"--site {values['site']!r:.100} is no http or https address",
            remedy="give the address under which readers reach the workbench",
        )
    name, address = parseaddr(values["sender"])
    if "@" not in address or not values["sender"].isprintable():
        raise InputError(
            f"--sender {values['sender']!r:.100} is no mail address", remedy="write Name <a@b.org>"
        )
    return _with_server(values["smtp"], values["sender"], site)


def _with_server(address: str, sender: str, site: str) -> MailSettings:
    try:
        parts = urlsplit(address)
        security, usual_port = _SCHEMES[parts.scheme]
        port = parts.port or usual_port
    except (KeyError, ValueError):
        parts = urlsplit("")
        security, port = "none", 0
    if not parts.hostname:
        raise InputError(
            "the mail server is not given as an address",
            remedy="write smtps://, smtp:// or smtp+plain:// and USER:PASSWORD@HOST:PORT",
        )
    return MailSettings(
        host=parts.hostname,
        port=port,
        sender=sender,
        site=site,
        security=security,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )
