"""What a person types into the search box, taken apart.

Words are ranked and need not all be there; `"a phrase"`, `title:word`, `author:name`,
`category:cs.LG`, `after:2024-01-31` and `before:2024-06` must hold, and `-word` must not. A field
takes a phrase in quotes as well: `title:"two words"`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from statlas.app.digest.records import iso_date
from statlas.core.errors import InputError

_TOKEN = re.compile(
    r"""(?P<minus>-)?(?:(?P<field>[a-zA-Z]+):)?(?:"(?P<phrase>[^"]*)"?|(?P<word>[^\s"]+))"""
)
_FIELDS = {
    "title": "title",
    "abstract": "abstract",
    "author": "authors",
    "authors": "authors",
    "category": "category",
    "cat": "category",
    "after": "after",
    "since": "after",
    "before": "before",
    "until": "before",
}
LONGEST = 1_000
_MOST_TERMS = 40


@dataclass(frozen=True)
class Term:
    """A word or phrase of a field; of any where `field` is empty."""

    text: str
    field: str = ""


@dataclass(frozen=True)
class Query:
    """A query taken apart.

    Attributes
    ----------
    words
        Free text, to be ranked by.
    required, excluded
        Terms that must be there, and that must not.
    categories
        At least one of them must be the paper's; ``cs`` stands for all of ``cs.*``.
    after, before
        ISO dates: first and last day on which the paper was published; empty for none.
    """

    words: str = ""
    required: tuple[Term, ...] = ()
    excluded: tuple[Term, ...] = ()
    categories: tuple[str, ...] = ()
    after: str = ""
    before: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether it asks for nothing at all."""
        return self == Query()


@dataclass
class _Parts:
    words: list[str] = field(default_factory=list)
    required: list[Term] = field(default_factory=list)
    excluded: list[Term] = field(default_factory=list)
    categories: list[str] = field(default_factory=list)
    after: str = ""
    before: str = ""


def parse_query(text: str) -> Query:
    """Take a query apart.

    Raises
    ------
    InputError
        If it is longer than 1,000 characters, or a date is none.

    Examples
    --------
    >>> parse_query('small benchmark "error bars" author:Miller -vision after:2024')
    ... # doctest: +NORMALIZE_WHITESPACE
    Query(words='small benchmark',
          required=(Term(text='error bars', field=''), Term(text='Miller', field='authors')),
          excluded=(Term(text='vision', field=''),), categories=(), after='2024-01-01', before='')
    """
    if len(text) > LONGEST:
        raise InputError(
            f"the query has {len(text):,} characters; at most {LONGEST:,} are read",
            remedy="ask in fewer words",
        )
    parts = _Parts()
    for match in list(_TOKEN.finditer(text.replace("\x00", " ")))[:_MOST_TERMS]:
        _take(match, parts)
    return Query(
        " ".join(parts.words),
        tuple(parts.required),
        tuple(parts.excluded),
        tuple(parts.categories),
        parts.after,
        parts.before,
    )


def _take(match: re.Match[str], parts: _Parts) -> None:
    phrase, word = match["phrase"], match["word"]
    content = (phrase if phrase is not None else word).strip()
    name = _FIELDS.get((match["field"] or "").lower(), "")
    if match["field"] and not name:  # a colon of the text, as in "NLP: a survey" or an address
        content, phrase = f"{match['field']} {content}", None
    if not any(letter.isalnum() for letter in content):
        return
    if name in ("after", "before"):
        setattr(parts, name, _date(name, content))
    elif match["minus"]:
        parts.excluded.append(Term(content, name))
    elif name == "category":
        parts.categories.append(content)
    elif name or phrase is not None:
        parts.required.append(Term(content, name))
    else:
        parts.words.append(content)


_LAST_DAYS = {4: "-12-31", 7: "-31"}


def _date(name: str, content: str) -> str:
    day = iso_date(content)
    if not day:
        raise InputError(
            f"{name}:{content} is no date",
            remedy=f"write {name}:2024, {name}:2024-06 or {name}:2024-06-30",
        )
    # As text: the last day of a month sorts before "-31" or is it.
    return (
        content + _LAST_DAYS[len(content)] if name == "before" and len(content) in (4, 7) else day
    )
