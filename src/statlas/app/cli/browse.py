"""list, find, show and cite: the catalogue alone, without any numerical library."""

from __future__ import annotations

import argparse
import json
import shutil
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from statlas.catalog import AREAS, Entry, bibtex, find, load_catalogue
from statlas.core.errors import InputError
from statlas.core.facts import recipe_facts
from statlas.core.ledger import Record, known_records


def list_command(options: argparse.Namespace) -> int:
    """``statlas list``."""
    area = _checked_area(options.area)
    entries = [
        entry
        for entry in load_catalogue().values()
        if area in (None, entry.area) and options.status in (None, entry.status)
    ]
    if options.json:
        _print_json([_listed(entry) for entry in entries])
        return 0
    for name, question in AREAS.items():
        of_area = [entry for entry in entries if entry.area == name]
        if of_area:
            print(f"\n{name}: {question}")
            _print_columns((entry.id, entry.status, entry.title) for entry in of_area)
    implemented = sum(entry.status == "implemented" for entry in entries)
    print(f"\n{len(entries)} papers, {implemented} implemented.")
    return 0


def find_command(options: argparse.Namespace) -> int:
    """``statlas find``."""
    catalogue = load_catalogue()
    area = _checked_area(options.area)
    hits = find(" ".join(options.text), catalogue=catalogue, limit=options.limit, area=area)
    if options.json:
        _print_json(
            [
                {"id": hit.id, "score": round(hit.score, 4), "title": catalogue.get(hit.id).title}
                for hit in hits
            ]
        )
        return 0
    if not hits:
        print("Nothing fits these words; try others, or see `statlas list`.")
    for hit in hits:
        entry = catalogue.get(hit.id)
        print(f"{entry.id}  ({entry.area}, {entry.status})")
        print(_wrapped(entry.answers, "    "))
    return 0


def show_command(options: argparse.Namespace) -> int:
    """``statlas show``."""
    entry = load_catalogue().get(options.paper)
    facts = recipe_facts(entry.id)
    records = known_records(entry.id)
    if options.json:
        shown = asdict(entry) | {"status": entry.status, "recipe": facts}
        _print_json(shown | {"claims": [asdict(record) for record in records]})
        return 0
    more = " et al." if entry.more_authors else ""
    print(f"{entry.id} · {entry.kind} · {entry.area} · {entry.status}")
    print(_wrapped(f"{entry.title}. {', '.join(entry.authors)}{more} ({entry.year}).", "  "))
    print(f"  https://arxiv.org/abs/{entry.arxiv}\n")
    for label, text in (
        ("Answers", entry.answers),
        ("Use when", entry.use_when),
        ("Avoid when", entry.avoid_when),
        ("Input", entry.input),
        ("Needs", ", ".join(f'pip install "statlas[{extra}]"' for extra in entry.needs)),
        ("Builds on", ", ".join(entry.builds_on)),
    ):
        if text:
            print(_wrapped(text, " " * 12, label.ljust(12)))
    if facts:
        _print_facts(entry.id, facts)
    _print_claims(records)
    return 0


def cite_command(options: argparse.Namespace) -> int:
    """``statlas cite``."""
    catalogue = load_catalogue()
    entries: dict[str, Entry] = {}
    for paper in options.papers:
        entry = catalogue.get(paper)
        entries |= {entry.id: entry} | {other: catalogue.get(other) for other in entry.builds_on}
    print("\n\n".join(bibtex(entry).strip() for entry in entries.values()))
    return 0


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "list": list_command,
    "find": find_command,
    "show": show_command,
    "cite": cite_command,
}


def _checked_area(area: str | None) -> str | None:
    if area is not None and area not in AREAS:
        raise InputError(f"there is no area {area!r}", remedy=f"areas: {', '.join(AREAS)}")
    return area


def _listed(entry: Entry) -> dict[str, Any]:
    claims = [
        {"claim": record.claim, "verdict": record.verdict} for record in known_records(entry.id)
    ]
    return {
        "id": entry.id,
        "title": entry.title,
        "area": entry.area,
        "kind": entry.kind,
        "status": entry.status,
        "claims": claims,
    }


def _print_facts(paper: str, facts: Mapping[str, Any]) -> None:
    print(f"\nRun          statlas run {paper} TABLE [options]    (or --example)")
    print("Columns")
    _print_columns((role["flag"], role["rule"], role["help"]) for role in facts["roles"])
    print("Options")
    _print_columns(
        (option["flag"], f"{option['type']}; default {option['default']}", option["help"])
        for option in facts["options"]
    )


def _print_claims(records: Sequence[Record]) -> None:
    if not records:
        return
    print("\nClaims, as measured")
    for record in records:
        low, high = record.interval
        print(
            _wrapped(f"{record.verdict.upper()}  {record.says} ({record.where}).", "      ", "  ")
        )
        print(
            _wrapped(
                f"measured {record.estimate:.4g} [{low:.4g}, {high:.4g}], expected "
                f"{record.expect}; broken twin ({record.twin}): {record.twin_verdict} at "
                f"{record.twin_estimate:.4g}; {record.replicates} replicates",
                "      ",
                "      ",
            )
        )


def _print_columns(rows: Iterable[Sequence[str]]) -> None:
    """Print rows with all but the last column aligned, cut to the width of the terminal."""
    listed = [tuple(row) for row in rows]
    if not listed:
        print("  none")
        return
    *widths, _ = (max(map(len, column)) for column in zip(*listed, strict=True))
    width = shutil.get_terminal_size((120, 24)).columns
    for row in listed:
        start = "  " + "  ".join(
            cell.ljust(size) for cell, size in zip(row[:-1], widths, strict=True)
        )
        print(
            textwrap.shorten(row[-1], max(width - len(start) - 2, 30), placeholder="…").join(
                (start + "  ", "")
            )
        )


def _wrapped(text: str, indent: str, first: str | None = None) -> str:
    width = min(shutil.get_terminal_size((100, 24)).columns, 100)
    return textwrap.fill(
        text, width, initial_indent=indent if first is None else first, subsequent_indent=indent
    )


def _print_json(plain: object) -> None:
    print(json.dumps(plain, indent=1, ensure_ascii=False))
