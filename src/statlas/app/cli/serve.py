"""``statlas serve``: the workbench in a browser."""

from __future__ import annotations

import argparse
import ipaddress
import secrets
import socket
import threading
import webbrowser
from importlib.util import find_spec

from statlas.core.errors import InputError, MissingExtra

_LEAST_TOKEN = 12


def serve_command(options: argparse.Namespace) -> int:
    """Listen until interrupted."""
    for package in ("starlette", "uvicorn"):
        if find_spec(package) is None:
            raise MissingExtra(package, "web")
    import uvicorn

    from statlas.app.web.application import create_app
    from statlas.app.web.settings import Settings, is_loopback
    from statlas.app.web.store import Store

    proxy = _proxy(options.proxy)
    token = _token(options.token, is_loopback(options.host) and not proxy)
    settings = Settings(
        host=options.host,
        port=options.port,
        token=token,
        workers=options.workers,
        memory=options.memory * 2**30,
        run_seconds=options.minutes * 60.0,
        digest=options.digest,
        proxy=proxy,
    )
    Store(settings.folder).prepare()  # what is wrong with it is better said here than at start-up
    listening = _listen(options.host, options.port)
    address = _address(options.host, listening.getsockname()[1], token)
    print(f"statlas is at {address}  (stop with Ctrl-C)", flush=True)
    if options.open:
        threading.Timer(0.5, webbrowser.open, (address,)).start()
    # The token is part of an address, and addresses must not be logged.
    # What a visitor says of its own address counts for nothing, unless a proxy is named.
    config = uvicorn.Config(
        create_app(settings),
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=bool(proxy),
        forwarded_allow_ips=proxy,
    )
    server = uvicorn.Server(config)
    server.run(sockets=[listening])
    return 0 if server.started else 1


def _proxy(given: str) -> str:
    """The addresses of proxies, each an IP address or a network, with commas between."""
    for part in filter(None, given.split(",")):
        try:
            ipaddress.ip_network(part.strip())
        except ValueError:
            raise InputError(
                f"--proxy {part.strip()!r:.60} is no IP address or network",
                remedy="give the address that the proxy connects from, such as 127.0.0.1",
            ) from None
    return given


def _token(given: str | None, local: bool) -> str:
    if given is None:
        return "" if local else secrets.token_urlsafe(24)
    if len(given) < _LEAST_TOKEN or not given.isascii() or not given.isprintable():
        raise InputError(
            f"--token must be at least {_LEAST_TOKEN} printable characters",
            remedy="leave it out and one is made",
        )
    return given


def _listen(host: str, port: int) -> socket.socket:
    if port > 65535:
        raise InputError(f"--port must be at most 65535; got {port}")
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(128)
    except OSError as error:
        raise InputError(
            f"cannot listen on {host} port {port}: {error.strerror or error}",
            remedy="choose another --port, or 0 for any that is free",
        ) from None
    return listening


def _address(host: str, port: int, token: str) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}/" + (f"?token={token}" if token else "")
