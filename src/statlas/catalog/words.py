"""From text to index terms: folding, spelling variants, stop words, stems.

The same functions read the catalogue and the query, so that both meet in the same terms.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache

from statlas.catalog.stemmer import stem

__all__ = ["Word", "compounds", "fold", "surfaces", "term", "words"]

_TOKEN = re.compile(r"[^\W_]+(?:['’][^\W_]+)?(?:-[^\W_]+)*")

# British and American spellings fall together. The rewriting need not yield English ("noize"), only
# be the same for both sides.
_SPELLINGS = (
    (re.compile(r"is(e|ed|es|er|ers|ing|ation|ations|able)$"), r"iz\1"),
    (re.compile(r"ys(e|ed|es|er|ers|ing)$"), r"yz\1"),
    (re.compile(r"(av|i|ol|ab|hb)our"), r"\1or"),
    (re.compile(r"^cent(re|red|ring)$"), "center"),
    (re.compile(r"^programmes?$"), "program"),
    (re.compile(r"^catalogues?$"), "catalog"),
    (re.compile(r"^artefact"), "artifact"),
)

_STOP_TEXT = """
a about above after again all also am an and any are as at be because been before being below
between both but by came can cannot come could did do does doing don down during each either
else ever every few for from further get gets getting give given gives go goes got had has have
having he her here hers him his how i if in into is it its itself just know let like look made
make makes many may me might more most much must my need needs neither no nor not now of off
often on once one only or other others our ours out over own per please put rather really same
see she should show since so some someone something still such take than that the their theirs
them then there these they thing things this those through to too try under until up upon us use
used uses using very want wants was way we well were what whatever when where whether which
while who whom whose why will with within without would yet you your yours
"""
_STOP_WORDS = frozenset(_STOP_TEXT.split())


@dataclass(frozen=True)
class Word:
    """One word of a text: as written (folded) and as indexed."""

    surface: str
    term: str


def fold(text: str) -> str:
    """Return `text` in lower case, without accents and with plain apostrophes.

    Examples
    --------
    >>> fold("Schürholt’s Zoo")
    "schurholt's zoo"
    """
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFKD", text.lower().replace("’", "'"))
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


@lru_cache(maxsize=20_000)  # a server reads what anybody types
def term(surface: str) -> str:
    """Return the index term of one folded word.

    Examples
    --------
    >>> term("generalisation") == term("generalizing")
    True
    """
    surface = surface.removesuffix("'s")
    for pattern, replacement in _SPELLINGS:
        surface = pattern.sub(replacement, surface)
    return stem(surface)


def words(text: str) -> list[Word]:
    """Return the content words of `text` in order, without stop words.

    A hyphenated word gives its parts; `compounds` gives it as one.

    Examples
    --------
    >>> [word.term for word in words("How sure are my models' fine-tuned scores?")]
    ['sure', 'model', 'fine', 'tune', 'score']
    """
    return [Word(surface, term(surface)) for surface in surfaces(text)]


def surfaces(text: str) -> list[str]:
    """Return the content words of `text` as written (folded), without their stems.

    Examples
    --------
    >>> surfaces("How sure are my models?")
    ['sure', 'models']
    """
    return [
        part
        for token in _TOKEN.findall(fold(text))
        for part in token.split("-")
        if part not in _STOP_WORDS and (len(part) > 1 or part.isdigit())
    ]


def compounds(text: str) -> list[Word]:
    """Return the hyphenated words of `text`, each written as one word.

    They let "finetuning" find "fine-tuning".

    Examples
    --------
    >>> [word.surface for word in compounds("fine-tuning in-context models")]
    ['finetuning', 'incontext']
    """
    joined = (t.replace("-", "") for t in _TOKEN.findall(fold(text)) if "-" in t)
    return [Word(surface, term(surface)) for surface in joined]
