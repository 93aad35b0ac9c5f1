"""Papers as an Atom feed, for any reader of feeds."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from urllib.parse import quote

from lxml import etree

from statlas.app.digest.search import Paper

_NAMESPACE = "http://www.w3.org/2005/Atom"


def atom_feed(found: Sequence[Paper], name: str, site: str) -> bytes:
    """An Atom feed of papers (RFC 4287).

    Parameters
    ----------
    found
        The entries, in order.
    name
        The search, or ``trending``.
    site
        Address of the workbench.
    """
    root = etree.Element(f"{{{_NAMESPACE}}}feed", nsmap={None: _NAMESPACE})
    where = f"{site.rstrip('/')}/digest/atom?q={quote(name)}"
    _add(root, "title", f"statlas: {name}")
    _add(root, "id", where)
    _add(root, "link", rel="self", href=where)
    _add(root, "updated", _time(max((item.published for item in found), default="")))
    author = _add(root, "author")
    _add(author, "name", "statlas digest")
    for item in found:
        _add_entry(root, item, site)
    return bytes(etree.tostring(root, xml_declaration=True, encoding="utf-8", pretty_print=True))


def _add_entry(root: etree._Element, item: Paper, site: str) -> None:
    entry = _add(root, "entry")
    _add(entry, "title", item.title)
    name = item.url or f"{item.title} {item.published}"
    named = hashlib.sha256(name.encode()).hexdigest()[:32]
    _add(entry, "id", f"urn:statlas:paper:{named}")
    _add(entry, "link", rel="alternate", href=item.address(site))
    _add(entry, "published", _time(item.published))
    _add(entry, "updated", _time(item.published))
    for name in item.authors:
        _add(_add(entry, "author"), "name", name)
    for category in item.categories:
        _add(entry, "category", term=category)
    _add(entry, "summary", item.abstract)


def _add(
    parent: etree._Element, name: str, text: str | None = None, **attributes: str
) -> etree._Element:
    element = etree.SubElement(parent, f"{{{_NAMESPACE}}}{name}", attributes)
    element.text = text
    return element


def _time(day: str) -> str:
    return f"{day or '1970-01-01'}T00:00:00Z"
