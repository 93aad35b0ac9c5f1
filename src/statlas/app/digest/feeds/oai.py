"""OAI-PMH answers, in arXiv's own form or in Dublin Core, read as a stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

from lxml import etree

from statlas.app.digest.feeds.attempts import attempt
from statlas.app.digest.records import Item, Problem, Record, make_record
from statlas.core.errors import InputError

_OAI = "{http://www.openarchives.org/OAI/2.0/}"
_ARXIV = "{http://arxiv.org/OAI/arXiv/}"
_DC = "{http://purl.org/dc/elements/1.1/}"


def read(stream: BinaryIO) -> Iterator[Item]:
    """Read one record after the other; each is forgotten once it is read.

    Entities are not expanded, nothing outside the file is loaded, and a file that defines entities
    is refused.

    Raises
    ------
    InputError
        If it is no XML, or defines entities.
    """
    context = etree.iterparse(
        stream,
        events=("start", "end"),
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        recover=False,
    )
    number = 0
    try:
        for event, element in context:
            if event == "start":
                if element.getparent() is None:
                    refuse_entities(element)
                continue
            if element.tag == f"{_OAI}error" and element.get("code") != "noRecordsMatch":
                yield Problem("the answer", f"it says {element.get('code')}: {element.text}")
            if element.tag != f"{_OAI}record":
                continue
            number += 1
            if not _is_deleted(element):
                yield attempt(make, element, f"record {number:,}")
            _forget(element)
    except etree.XMLSyntaxError as error:
        if number == 0:
            raise InputError(f"the OAI-PMH feed is no XML: {error.msg}") from None
        yield Problem(f"after record {number:,}", f"the XML breaks off: {error.msg}")


def refuse_entities(root: Any) -> None:
    """Refuse a document that defines entities of its own.

    Raises
    ------
    InputError
        If it does.
    """
    definitions = root.getroottree().docinfo.internalDTD
    if definitions is not None and next(iter(definitions.iterentities()), None) is not None:
        raise InputError(
            "the feed defines XML entities, which no feed of papers needs",
            remedy="take it from its publisher again",
        )


def _is_deleted(element: Any) -> bool:
    header = element.find(f"{_OAI}header")
    return header is not None and header.get("status") == "deleted"


def _forget(element: Any) -> None:
    element.clear()
    while element.getprevious() is not None:
        del element.getparent()[0]


def make(element: Any) -> Record:
    """A record of one ``<record>``."""
    own = element.find(f".//{_ARXIV}arXiv")
    return _from_arxiv(own) if own is not None else _from_dublin_core(element)


def _from_arxiv(own: Any) -> Record:
    def value(name: str) -> str | None:
        found = own.findtext(f"{_ARXIV}{name}")
        return None if found is None else str(found)

    return make_record(
        title=value("title"),
        abstract=value("abstract"),
        authors=[
            " ".join(
                part
                for name in ("forenames", "keyname", "suffix")
                if (part := author.findtext(f"{_ARXIV}{name}"))
            )
            for author in own.iterfind(f"{_ARXIV}authors/{_ARXIV}author")
        ],
        categories=(value("categories") or "").split(),
        published=value("created"),
        updated=value("updated") or value("created"),
        arxiv=value("id"),
        doi=value("doi"),
        origin="arxiv",
    )


def _from_dublin_core(element: Any) -> Record:
    def values(name: str) -> list[str]:
        return [found.text or "" for found in element.iterfind(f".//{_DC}{name}")]

    def first(name: str) -> str | None:
        return next(iter(values(name)), None)

    identifiers = values("identifier")
    number = str(element.findtext(f"{_OAI}header/{_OAI}identifier") or "")
    return make_record(
        title=first("title"),
        abstract=first("description"),
        authors=values("creator"),
        categories=values("subject"),
        published=first("date"),
        updated=max(values("date"), default=""),
        url=next((text for text in identifiers if text.startswith("http")), ""),
        arxiv=number if "arxiv" in number.lower() else "",
        doi=next((text for text in identifiers if "10." in text), ""),
        origin="arxiv" if "arxiv" in number.lower() else "other",
    )
