"""Write what `statlas show` says of the recipes, from their signatures."""

from __future__ import annotations

import json

from statlas.catalog import load_catalogue
from statlas.core.facts import FACTS_FILE, describe_recipe
from statlas.core.files import write_whole
from statlas.core.registry import load_recipe


def all_facts() -> dict[str, object]:
    """The facts of every implemented recipe, by paper."""
    return {
        entry.id: describe_recipe(load_recipe(entry.id))
        for entry in load_catalogue().values()
        if entry.status == "implemented"
    }


if __name__ == "__main__":
    text = json.dumps(all_facts(), indent=1, ensure_ascii=False)
    write_whole(FACTS_FILE, (text + "\n").encode())
