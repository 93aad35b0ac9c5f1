"""A paper's facts, and the catalogue that holds them all."""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, ValuesView
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from statlas.catalog.index import Index

__all__ = ["AREAS", "EXTRAS", "KINDS", "Catalogue", "Entry", "UnknownPaper"]

AREAS: dict[str, str] = {
    "evaluation": "How good is a model, and how sure is that?",
    "scaling": "What would more compute, data or parameters give?",
    "uncertainty": "Which predictions can be trusted, and how far?",
    "ensembles": "How are several models or experts combined into one?",
    "weights": "What can be done with trained weights: prune, quantise, merge, grow, edit?",
    "curation": "Which training data to collect, keep, weight or generate?",
    "explanation": "Why does a model do what it does, and what has it learnt?",
    "provenance": "Where does a model or a text come from, and what is it related to?",
    "causality": "What causes what, and whom does a treatment help?",
    "inference": "How are parameters inferred when the likelihood is hard, private or too large?",
    "generation": "How is a complicated distribution learnt and sampled?",
    "forecasting": "What comes next in a time series?",
    "statistics": "How are regressions, clusters, survival times and densities fitted well?",
    "dynamics": "How does a system evolve in time, and what stands in for its simulator?",
    "transfer": "Does a model still work on other data, tasks and populations?",
    "language": "How is a language model built or adapted for a task on text or code?",
    "domains": "Which models serve medicine, chemistry, robots and other fields?",
}
"""The seventeen areas in their fixed order, each with its question."""

KINDS: tuple[str, ...] = (
    "method",
    "law",
    "model",
    "system",
    "theory",
    "study",
    "benchmark",
    "dataset",
    "survey",
)
"""What a paper can be."""

EXTRAS: tuple[str, ...] = ("nn", "jit", "lm", "web", "bayes", "logs")
"""Optional sets of dependencies that an entry may need."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """The facts about one paper.

    Parameters
    ----------
    number
        Position in the catalogue, from 1.
    id
        Short name, the one used everywhere: lower-case words joined by hyphens.
    area
        One of `AREAS`.
    kind
        One of `KINDS`.
    title, authors, more_authors, year, arxiv
        The reference. `authors` are last names; `more_authors` says that the list goes on.
    answers, use_when, avoid_when, input
        The question it answers, when it is right, when it is not, and what the user brings.
    needs
        Extras to install, a subset of `EXTRAS`.
    builds_on
        Ids of papers of the same area that it imports.
    search
        Words that people use for the need.
    implementation
        ``"module:object"``, or None while planned.
    """

    number: int
    id: str
    area: str
    kind: str
    title: str
    authors: tuple[str, ...]
    more_authors: bool
    year: int
    arxiv: str
    answers: str
    use_when: str
    avoid_when: str
    input: str
    needs: tuple[str, ...] = ()
    builds_on: tuple[str, ...] = ()
    search: tuple[str, ...] = ()
    implementation: str | None = None

    @property
    def status(self) -> Literal["implemented", "planned"]:
        """Whether there is something to run."""
        return "implemented" if self.implementation else "planned"


class UnknownPaper(LookupError):
    """No paper has this id.

    Parameters
    ----------
    id
        What was asked for.
    close
        Up to three ids that look like it.

    Examples
    --------
    >>> print(UnknownPaper("error-bar", ("error-bars",)))
    no paper has the id 'error-bar'; did you mean 'error-bars'?
    """

    def __init__(self, id: str, close: tuple[str, ...] = ()):
        self.id = id
        self.close = close
        super().__init__(id, close)

    def __str__(self) -> str:
        names = [repr(name) for name in self.close]
        if not names:
            return f"no paper has the id {self.id!r}"
        choice = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"
        return f"no paper has the id {self.id!r}; did you mean {choice}?"


class Catalogue:
    """All papers by id, in the order of their numbers.

    It reads like a mapping from id to `Entry`, except that `get` has no default: asking for a paper
    that does not exist is an error that names its neighbours.

    Parameters
    ----------
    entries
        The papers, in any order; ids and numbers must be unique.
    index
        Gives the search index when it is first needed. By default it is built from the entries.

    Raises
    ------
    ValueError
        Two entries share an id or a number.
    """

    def __init__(self, entries: Iterable[Entry], index: Callable[[], Index] | None = None):
        ordered = sorted(entries, key=lambda entry: entry.number)
        self._entries = {entry.id: entry for entry in ordered}
        if len(self._entries) < len(ordered):
            raise ValueError("two entries share an id")
        if len({entry.number for entry in ordered}) < len(ordered):
            raise ValueError("two entries share a number")
        self._make_index = index
        self._index: Index | None = None

    def __getitem__(self, id: str) -> Entry:
        try:
            return self._entries[id]
        except KeyError:
            pass
        import difflib  # only needed for the error, and not free to load

        close = difflib.get_close_matches(str(id).lower(), self._entries, n=3, cutoff=0.5)
        raise UnknownPaper(id, tuple(close))

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, id: object) -> bool:
        return id in self._entries

    def __repr__(self) -> str:
        return f"<Catalogue of {len(self)} papers>"

    def keys(self) -> KeysView[str]:
        """Return the ids, in the order of the numbers."""
        return self._entries.keys()

    def values(self) -> ValuesView[Entry]:
        """Return the entries, in the order of the numbers."""
        return self._entries.values()

    def items(self) -> ItemsView[str, Entry]:
        """Return pairs of id and entry, in the order of the numbers."""
        return self._entries.items()

    def get(self, id: str) -> Entry:
        """Return the paper with this id.

        Raises
        ------
        UnknownPaper
            There is none; the error names up to three close ids.
        """
        return self[id]

    def by_area(self) -> dict[str, tuple[Entry, ...]]:
        """Return the entries of each area, areas in the order of `AREAS`, none left out."""
        return {area: self.of_area(area) for area in AREAS}

    def of_area(self, area: str) -> tuple[Entry, ...]:
        """Return the entries of one area.

        Raises
        ------
        ValueError
            `area` is not one of `AREAS`.
        """
        if area not in AREAS:
            raise ValueError(f"unknown area {area!r}; the areas are {', '.join(AREAS)}")
        return tuple(entry for entry in self.values() if entry.area == area)

    @property
    def index(self) -> Index:
        """The search index, read or built on first use."""
        if self._index is None:
            if self._make_index is None:
                from statlas.catalog.index import build_index

                self._index = build_index(self.values())
            else:
                self._index = self._make_index()
        return self._index
