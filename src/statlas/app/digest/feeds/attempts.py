"""Making a record of what a feed says, or a problem where that cannot be done."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from statlas.app.digest.records import BadRecord, Item, Problem, Record

Raw = TypeVar("Raw")


def attempt(make: Callable[[Raw], Record], raw: Raw, place: str) -> Item:
    """The record that `make` makes of `raw`; a problem where it is of another shape."""
    try:
        return make(raw)
    except BadRecord as error:
        return Problem(place, str(error), _excerpt(raw))
    except RecursionError:
        return Problem(place, "its parts are nested too deeply", _excerpt(raw))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        return Problem(place, f"it has another shape than expected: {error!r:.200}", _excerpt(raw))


def _excerpt(raw: object) -> str:
    text = str(getattr(raw, "raw", raw))  # an entry of BibTeX as it was written
    return " ".join("".join(c if c.isprintable() else " " for c in text[:400]).split())[:200]
