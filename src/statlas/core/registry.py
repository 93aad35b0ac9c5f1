"""From a catalogue id to running code: modules are imported only when a paper is used."""

from __future__ import annotations

import importlib
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from statlas.catalog import Entry, load_catalogue
from statlas.core.claims import Claim
from statlas.core.errors import InputError, MissingExtra
from statlas.core.recipes import Recipe

# The package whose absence shows that an extra is not installed.
_PROBES = {
    "nn": "torch",
    "jit": "numba",
    "lm": "transformers",
    "web": "starlette",
    "bayes": "arviz_base",
    "logs": "zstandard",
}


def load_recipe(paper: str) -> Recipe[Any]:
    """The recipe of a paper.

    Raises
    ------
    UnknownPaper
        If the catalogue has no such id.
    InputError
        If the paper is planned and not implemented yet.
    MissingExtra
        If it needs an extra that is not installed.
    """
    module, name = _implementation(load_catalogue().get(paper))
    recipe = getattr(module, name)
    if not isinstance(recipe, Recipe) or recipe.paper != paper:
        raise TypeError(f"the catalogue's implementation of {paper!r} is not its recipe")
    return recipe


def load_claims(paper: str) -> list[Claim]:
    """The claims of a paper in the order in which its module states them."""
    module, _ = _implementation(load_catalogue().get(paper))
    return [
        value
        for value in vars(module).values()
        if isinstance(value, Claim) and value.paper == paper
    ]


def _implementation(entry: Entry) -> tuple[ModuleType, str]:
    if not entry.implementation:
        raise InputError(
            f"{entry.id} is planned and cannot be run yet",
            remedy="see `statlas list --status implemented` for those that can",
        )
    for extra in entry.needs:
        if find_spec(_PROBES[extra]) is None:
            raise MissingExtra(_PROBES[extra], extra)
    module, _, name = entry.implementation.partition(":")
    return importlib.import_module(module), name
