"""Citing a paper: BibTeX and plain text."""

from __future__ import annotations

import re

from statlas.catalog.entries import Entry

__all__ = ["bibtex", "citation_key", "text_citation"]

_MATHS = re.compile(r"(\$[^$]*\$)")
_SUBSCRIPT = re.compile(r"_(\d+)")
_QUOTED = re.compile(r'"([^"]*)"')
_SPECIAL = re.compile(r"([&%#_$])")


def citation_key(entry: Entry) -> str:
    """Return the BibTeX key: the id and the year.

    Examples
    --------
    >>> from statlas.catalog import load_catalogue
    >>> citation_key(load_catalogue().get("error-bars"))
    'error-bars-2024'
    """
    return f"{entry.id}-{entry.year}"


def bibtex(entry: Entry) -> str:
    """Return a BibTeX entry, in UTF-8, for the paper's preprint.

    Words of the title that hold a capital are put in braces, so that no style changes them; what is
    special to LaTeX is escaped; formulas pass as they are. The catalogue knows last names only.

    Examples
    --------
    >>> from statlas.catalog import load_catalogue
    >>> print(bibtex(load_catalogue().get("deep-sets")))
    @misc{deep-sets-2017,
      title         = {{Deep} {Sets}},
      author        = {Zaheer and Kottur and Ravanbakhsh and Poczos and Salakhutdinov and Smola},
      year          = {2017},
      eprint        = {1703.06114},
      archivePrefix = {arXiv},
      url           = {https://arxiv.org/abs/1703.06114},
    }
    """
    fields = {
        "title": _latex_title(entry.title),
        "author": _latex_authors(entry),
        "year": str(entry.year),
        "eprint": entry.arxiv,
        "archivePrefix": "arXiv",
        "url": f"https://arxiv.org/abs/{entry.arxiv}",
    }
    lines = [f"  {name:<13} = {{{value}}}," for name, value in fields.items()]
    return "\n".join([f"@misc{{{citation_key(entry)},", *lines, "}"])


def text_citation(entry: Entry) -> str:
    """Return the reference as one line of text.

    Examples
    --------
    >>> from statlas.catalog import load_catalogue
    >>> text_citation(load_catalogue().get("deep-sets"))[:64]
    'Zaheer, Kottur, Ravanbakhsh, Poczos, Salakhutdinov, and Smola (2'
    """
    stop = "" if entry.title.endswith(("?", "!", ".")) else "."
    return f"{_text_authors(entry)} ({entry.year}). {entry.title}{stop} arXiv:{entry.arxiv}."


def _text_authors(entry: Entry) -> str:
    names = list(entry.authors)
    if entry.more_authors:
        return ", ".join([*names, "et al."])
    if len(names) <= 2:
        return " and ".join(names)
    return f"{', '.join(names[:-1])}, and {names[-1]}"


def _latex_authors(entry: Entry) -> str:
    names = [_latex_name(name) for name in entry.authors]
    return " and ".join([*names, "others"] if entry.more_authors else names)


def _latex_name(name: str) -> str:
    """Keep a last name of several words together; a lower-case particle BibTeX handles itself."""
    escaped = _escape(name)
    return f"{{{escaped}}}" if " " in name and not name[0].islower() else escaped


def _latex_title(title: str) -> str:
    quoted = _QUOTED.sub(r"``\1''", title)
    return " ".join(_protect(_escape(word)) for word in quoted.split())


def _escape(text: str) -> str:
    """Escape what LaTeX would read as a command, outside of formulas."""
    parts = _MATHS.split(text)
    return "".join(part if _MATHS.fullmatch(part) else _escape_plain(part) for part in parts)


def _escape_plain(text: str) -> str:
    pieces = re.split(r"(_\d+)", text)
    return "".join(
        _SUBSCRIPT.sub(r"$_{\1}$", piece)
        if _SUBSCRIPT.fullmatch(piece)
        else _SPECIAL.sub(r"\\\1", piece)
        for piece in pieces
    )


def _protect(word: str) -> str:
    return f"{{{word}}}" if any(letter.isupper() for letter in word) else word
