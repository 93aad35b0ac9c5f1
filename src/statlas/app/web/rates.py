"""How often one visitor may try: passwords, subscriptions, links to a new password.

Counts are kept in memory for a moving window, since one process serves. A visitor is known by the
address that the connection comes from; of IPv6 by its first 64 bits, which one household has to
itself.
"""

from __future__ import annotations

import ipaddress
import math
import time
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from limits import RateLimitItem
    from limits.strategies import MovingWindowRateLimiter

Attempt = Literal["sign in", "guess", "subscribe", "reset"]

# A guess is counted for the mail address it is for, whoever makes it; the others for the visitor.
LIMITS: dict[Attempt, str] = {
    "sign in": "10/minute; 100/hour",
    "guess": "10/15 minutes",
    "subscribe": "20/hour",
    "reset": "10/hour",
}


class Rates:
    """Counts what visitors try."""

    def __init__(self) -> None:
        self._lock = Lock()

    @cached_property
    def _window(self) -> MovingWindowRateLimiter:
        from limits.storage import MemoryStorage
        from limits.strategies import MovingWindowRateLimiter

        return MovingWindowRateLimiter(MemoryStorage())

    def _limits(self, attempt: Attempt) -> list[RateLimitItem]:
        from limits import parse_many

        return parse_many(LIMITS[attempt])

    def wait(self, attempt: Attempt, who: str) -> int:
        """Count an attempt; the seconds to wait where it is one too many, and else 0."""
        limits = self._limits(attempt)
        with self._lock:
            full = [limit for limit in limits if not self._window.test(limit, attempt, who)]
            if not full:
                for limit in limits:
                    self._window.hit(limit, attempt, who)
                return 0
            resets = [self._window.get_window_stats(limit, attempt, who)[0] for limit in full]
        return max(1, math.ceil(max(resets) - time.time()))

    def forgive(self, attempt: Attempt, who: str) -> None:
        """Count from nothing again."""
        with self._lock:
            for limit in self._limits(attempt):
                self._window.clear(limit, attempt, who)


def visitor_key(host: str) -> str:
    """What a visitor is known by.

    Examples
    --------
    >>> [visitor_key(host) for host in ("192.0.2.7", "::ffff:192.0.2.7", "2001:db8::1", "proxy")]
    ['192.0.2.7', '192.0.2.7', '2001:db8::/64', 'proxy']
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ipaddress.ip_network((address.packed[:8] + bytes(8), 64)))
    return str(address)


def in_words(seconds: int) -> str:
    """How long to wait.

    Examples
    --------
    >>> in_words(1), in_words(59), in_words(61), in_words(7200)
    ('a minute', 'a minute', '2 minutes', '120 minutes')
    """
    minutes = math.ceil(seconds / 60)
    return "a minute" if minutes == 1 else f"{minutes} minutes"
