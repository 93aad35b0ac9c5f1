"""A paper as a feed tells of it, with the text made harmless and the names made one."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from html import unescape
from urllib.parse import unquote, urlsplit

import nh3

from statlas.catalog.words import fold

LONGEST_TITLE = 2_000
LONGEST_ABSTRACT = 100_000
MOST_AUTHORS = 5_000
LONGEST_NAME = 500
LONGEST_KEY = 1_000
MOST_CATEGORIES = 100

# Year and month, and the archives of before 2007: other numbers look much the same.
_ARXIV = re.compile(
    r"((?<![\d.])\d\d(?:0[1-9]|1[0-2])\.\d{4,5}|(?<![\w.-])(?:acc-phys|adap-org|alg-geom|ao-sci"
    r"|astro-ph|atom-ph|bayes-an|chao-dyn|chem-ph|cmp-lg|comp-gas|cond-mat|cs|dg-ga|funct-an|gr-qc"
    r"|hep-ex|hep-lat|hep-ph|hep-th|math|math-ph|mtrl-th|nlin|nucl-ex|nucl-th|patt-sol|physics"
    r"|plasm-ph|q-alg|q-bio|quant-ph|solv-int|stat|supr-con)(?:\.[A-Z]{2})?/\d{7})(?:v\d+)?(?!\d)"
)
_DOI = re.compile(r"10\.\d{4,9}/\S+", re.IGNORECASE)
# Tags and entities, and not just a less-than sign of a formula.
_MARKUP = re.compile(
    r"</?(?:p|br|b|i|em|strong|a|sup|sub|span|div|img|script|style|iframe|svg|math|jats:\w+|h\d|ul|ol|"
    r"li|code|pre|tt|font|table|object|embed|form|input|link|meta|html|body|video|audio|details)\b"
    r"|<!|<\?|&(?:#\d+|#[xX][0-9a-fA-F]+|[a-zA-Z]{2,8});",
    re.IGNORECASE,
)
_INVISIBLE = ("Cc", "Cf", "Cs", "Co", "Cn")
_DOI_OF_ARXIV = "10.48550/arxiv."
_WORD = re.compile(r"[^\W_]+")
_LIKE_OF_DOI = 0.5
_LIKE_OF_ADDRESS = 0.75


class BadRecord(ValueError):
    """A record that cannot be kept; the message says why."""


@dataclass(frozen=True, slots=True)
class Record:
    """One paper of one feed.

    Attributes
    ----------
    title, abstract
        Plain text, without markup or control characters.
    keys
        What may name the paper, the best first: ``arxiv:2004.13705``, ``doi:10.1000/x``,
        ``url:...``, ``entry:`` and a hash of DOI or address with the title (others may have the
        same address), ``work:`` and a hash of title, first author and year.
    origin
        Who speaks: ``arxiv``, ``hub`` or ``other``. What arXiv says of a paper outweighs the rest.
    authors, categories
        In the order given.
    published, updated
        ISO dates, empty where unknown.
    url
        Where to read it: http or https, or empty where only title, author and year are known.
    signals
        Counts that the feed has of it, such as ``("votes", 12.0)``.
    """

    title: str
    keys: tuple[str, ...]
    origin: str = "other"
    abstract: str = ""
    authors: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    published: str = ""
    updated: str = ""
    url: str = ""
    signals: tuple[tuple[str, float], ...] = ()

    @property
    def digest(self) -> str:
        """A hash of what a reader would see; equal hashes mean that nothing changed."""
        seen = (self.title, self.abstract, *self.authors, "", *self.categories, self.published)
        return hashlib.blake2b("\x1f".join(seen).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Problem:
    """A record that could not be read or kept.

    Attributes
    ----------
    place
        Where it stands in the feed, such as ``line 12``.
    message, excerpt
        Why, and how it begins.
    """

    place: str
    message: str
    excerpt: str = ""


Item = Record | Problem


def make_record(
    *,
    title: object,
    abstract: object = "",
    authors: Iterable[object] = (),
    categories: Iterable[object] = (),
    published: object = "",
    updated: object = "",
    url: object = "",
    arxiv: object = "",
    doi: object = "",
    origin: str = "other",
    signals: Iterable[tuple[str, object]] = (),
) -> Record:
    """Check and clean what a feed says of a paper.

    Raises
    ------
    BadRecord
        If there is no title or nothing that names the paper, or a field is longer than any paper's.
    """
    clean_title = plain_text(title)
    if not clean_title:
        raise BadRecord("it has no title")
    _check_length("title", clean_title, LONGEST_TITLE)
    clean_abstract = plain_text(abstract)
    _check_length("abstract", clean_abstract, LONGEST_ABSTRACT)
    names = tuple(name for author in authors if (name := plain_text(author)))
    if len(names) > MOST_AUTHORS:
        raise BadRecord(f"it has {len(names):,} authors; at most {MOST_AUTHORS:,} are kept")
    for name in names:
        _check_length("author", name, LONGEST_NAME)
    link = web_address(url)
    found = doi_of(doi) or _doi_of_address(link)
    number = arxiv_number(arxiv) or arxiv_number(link if "arxiv.org" in link else "")
    number = number or arxiv_number(found.removeprefix(_DOI_OF_ARXIV))
    day = iso_date(published)
    keys = _keys(clean_title, names, day, (("arxiv", number), ("doi", found), ("url", link)))
    if not keys:
        raise BadRecord(
            "it has no arXiv number, DOI or web address that would name it, nor author and year"
        )
    for key in keys:
        _check_length(key.partition(":")[0], key, LONGEST_KEY)
    return Record(
        title=clean_title,
        keys=keys,
        origin=origin,
        abstract=clean_abstract,
        authors=names,
        categories=_categories(categories),
        published=day,
        updated=iso_date(updated),
        url=link
        or (f"https://arxiv.org/abs/{number}" if number else "")
        or (f"https://doi.org/{found}" if found else ""),
        signals=tuple((name, _count(name, value)) for name, value in signals),
    )


def _keys(
    title: str, authors: Sequence[str], day: str, named: Iterable[tuple[str, str]]
) -> tuple[str, ...]:
    keys = [f"{kind}:{name}" for kind, name in named if name]
    letters = _letters(title)
    if keys and not keys[0].startswith("arxiv:"):
        keys.append(f"entry:{_hashed(f'{letters} {keys[0]}')}")
    if authors and day:
        keys.append(f"work:{_hashed(letters + _letters(authors[0].split()[-1]) + day[:4])}")
    return tuple(keys)


def _letters(text: str) -> str:
    return "".join(_WORD.findall(fold(text)))


def _hashed(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _check_length(name: str, text: str, longest: int) -> None:
    if len(text) > longest:
        raise BadRecord(f"its {name} has {len(text):,} characters; at most {longest:,} are kept")


def _count(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e12:
        raise BadRecord(f"its {name} must be a number of at least 0; got {value!r:.50}")
    return float(value)


def _categories(given: Iterable[object]) -> tuple[str, ...]:
    names = dict.fromkeys("-".join(name.split()) for item in given if (name := plain_text(item)))
    if len(names) > MOST_CATEGORIES:
        raise BadRecord(f"it has {len(names):,} categories; at most {MOST_CATEGORIES} are kept")
    for name in names:
        _check_length("category", name, LONGEST_NAME)
    return tuple(names)


def plain_text(value: object) -> str:
    r"""Text on one line: markup and its content of scripts gone, control characters gone.

    Examples
    --------
    >>> plain_text("A <b>bold</b> claim<script>alert(1)</script>:\n p &lt; 0.05")
    'A bold claim: p < 0.05'
    >>> plain_text("if a < b then $x<y$")
    'if a < b then $x<y$'
    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadRecord(f"text was expected where there is {value!r:.50}")
    text = value if value.isascii() else unicodedata.normalize("NFC", value)
    if ("<" in text or "&" in text) and _MARKUP.search(text):
        text = unescape(nh3.clean(text, tags=set()))
    if text.isascii() and text.isprintable() and "  " not in text:
        return text.strip()
    if not text.isprintable():
        text = "".join(
            " " if c in "\t\n\r\x0b\x0c" else c
            for c in text
            if c in "\t\n\r\x0b\x0c" or unicodedata.category(c) not in _INVISIBLE
        )
    return " ".join(text.split())


def web_address(value: object) -> str:
    """An http or https address, or nothing where the value is none.

    Examples
    --------
    >>> web_address("javascript:alert(1)"), web_address(" http://ArXiv.org/abs/2004.13705v2 ")
    ('', 'https://arxiv.org/abs/2004.13705')
    """
    if not isinstance(value, str):
        return ""
    text = value.strip()
    if not text.isprintable() or any(c in text for c in ' "<>\\^`{|}'):
        return ""
    try:
        parts = urlsplit(text)
        host = (parts.hostname or "").lower()
    except ValueError:
        return ""
    if parts.scheme.lower() not in ("http", "https") or not host or parts.username is not None:
        return ""
    if host.removeprefix("www.").removeprefix("export.") == "arxiv.org" and (
        number := arxiv_number(parts.path)
    ):
        return f"https://arxiv.org/abs/{number}"
    return text


def arxiv_number(value: object) -> str:
    """The arXiv number in a text, without its version, or nothing.

    Examples
    --------
    >>> arxiv_number("oai:arXiv.org:2004.13705v2"), arxiv_number("hep-th/9901001")
    ('2004.13705', 'hep-th/9901001')
    """
    found = _ARXIV.search(value) if isinstance(value, str) else None
    return found.group(1) if found else ""


def doi_of(value: object) -> str:
    """The DOI in a text, in lower case, or nothing."""
    found = _DOI.search(value) if isinstance(value, str) else None
    return found.group(0).rstrip(".,;)").lower() if found else ""


def _doi_of_address(link: str) -> str:
    """The DOI that an address of doi.org has."""
    _, is_doi, path = link.partition("doi.org/")
    return doi_of(unquote(re.split("[?#]", path)[0])) if is_doi else ""


def may_be_one(key: str, title: str, authors: str, other_title: str, other_authors: str) -> bool:
    """Whether two records that share a key may be of one paper.

    An arXiv number is. A DOI is often given to all chapters of a book, so that title or authors
    must have something in common. An address is often a journal's or a person's, so that most words
    of the shorter title must be in the other, and other numbers (of volumes, of years) must not.

    Parameters
    ----------
    key
        What they share.
    title, authors, other_title, other_authors
        Of both; authors one a line.

    Examples
    --------
    >>> may_be_one("url:https://x.org", "Turkey", "Zanotti", "Medicaid", "Mitchell")
    False
    >>> may_be_one("url:https://x.org", "PCGRL", "Khalifa", "PCGRL: Levels by Learning", "Khalifa")
    True
    """
    if title == other_title or not key.startswith(("doi:", "url:")):
        return True
    mine, theirs = set(_WORD.findall(fold(title))), set(_WORD.findall(fold(other_title)))
    share = len(mine & theirs) / max(1, min(len(mine), len(theirs)))
    if key.startswith("doi:"):
        return share >= _LIKE_OF_DOI or not _families(authors).isdisjoint(_families(other_authors))
    numbers = [
        {word for word in some if not word.isalpha()} for some in (mine - theirs, theirs - mine)
    ]
    return share >= _LIKE_OF_ADDRESS and not all(numbers)


def _families(authors: str) -> set[str]:
    return {fold(name.split()[-1]) for name in authors.split("\n") if name}


_DATE_FORMS = (
    "%a, %d %b %Y %H:%M:%S %Z",
    "%d %b %Y",
    "%b %d, %Y",
    "%Y/%m/%d",
    "%Y/%m",
    "%d.%m.%Y",
    "%Y-%m",
)


def iso_date(value: object) -> str:
    """The date in a text as ``YYYY-MM-DD``, or nothing where it is none or before 1500.

    Examples
    --------
    >>> iso_date("2020-04-28T17:59:00Z"), iso_date("Mon, 2 Apr 2007 19:18:42 GMT"), iso_date("2019")
    ('2020-04-28', '2007-04-02', '2019-01-01')
    """
    if isinstance(value, datetime):
        return (
            value.astimezone(UTC).date().isoformat() if value.tzinfo else value.date().isoformat()
        )
    if isinstance(value, date):
        return value.isoformat()
    if not isinstance(value, str) or not (text := value.strip()):
        return ""
    if len(text) >= 10 and _is_iso(text[:10]):
        return text[:10]
    if re.fullmatch(r"(1[5-9]|20)\d\d", text):
        return f"{text}-01-01"
    for form in _DATE_FORMS:
        try:
            return datetime.strptime(text, form).date().isoformat()
        except ValueError:
            continue
    return ""


def _is_iso(text: str) -> bool:
    try:
        return date.fromisoformat(text).year >= 1500
    except ValueError:
        return False
