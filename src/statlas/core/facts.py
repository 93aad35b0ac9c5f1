"""What `statlas show` says of a recipe without importing it. Standard library only.

``recipes.json`` is written by ``make facts`` from the recipes' signatures; a test holds the two
equal.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from statlas.core.recipes import Recipe

FACTS_FILE = Path(__file__).with_name("recipes.json")


def recipe_facts(paper: str) -> dict[str, Any]:
    """Roles and options of a paper's recipe as text; empty for a planned paper."""
    if not FACTS_FILE.is_file():
        return {}
    facts: dict[str, Any] = json.loads(FACTS_FILE.read_text(encoding="utf-8")).get(paper, {})
    return facts


def describe_recipe(recipe: Recipe[Any]) -> dict[str, Any]:
    """The facts of one recipe, read from its signature."""
    from statlas.core.recipes import role_text

    roles = [
        {
            "name": name,
            "flag": "--" + name.replace("_", "-"),
            "rule": role_text(role),
            "optional": role.optional,
            "help": role.help,
        }
        for name, role in recipe.roles
    ]
    options = [
        {
            "name": spec.name,
            "flag": spec.flag,
            "type": spec.type_text(),
            "default": default_text(spec.default),
            "help": spec.rule.help,
        }
        for spec in recipe.options.values()
    ]
    return {
        "roles": roles,
        "options": options,
        "random": recipe.uses_rng,
        "example": {"about": recipe.example.about, "origin": recipe.example.origin},
    }


def default_text(default: object) -> str:
    """A default as a user would type it."""
    if isinstance(default, bool):
        return "true" if default else "false"
    if isinstance(default, tuple):
        return ",".join(map(str, default))
    return "none" if default is None else str(default)
