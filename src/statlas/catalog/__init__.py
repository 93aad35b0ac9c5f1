"""The catalogue: every paper's facts, loaded, searched and cited. Standard library only."""

from __future__ import annotations

from statlas.catalog.citation import bibtex, text_citation
from statlas.catalog.entries import AREAS, EXTRAS, KINDS, Catalogue, Entry, UnknownPaper
from statlas.catalog.load import load_catalogue
from statlas.catalog.search import Hit, find

__all__ = [
    "AREAS",
    "EXTRAS",
    "KINDS",
    "Catalogue",
    "Entry",
    "Hit",
    "UnknownPaper",
    "bibtex",
    "find",
    "load_catalogue",
    "text_citation",
]
