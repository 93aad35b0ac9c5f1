"""Write what follows from the catalogue: the facts `statlas show` prints, the README's list."""

from __future__ import annotations

import json
from pathlib import Path

from statlas.catalog import AREAS, load_catalogue
from statlas.core.facts import FACTS_FILE, describe_recipe
from statlas.core.files import write_whole
from statlas.core.registry import load_recipe

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- written by make facts: begin -->\n", "<!-- written by make facts: end -->\n"


def all_facts() -> dict[str, object]:
    """The facts of every implemented recipe, by paper."""
    return {
        entry.id: describe_recipe(load_recipe(entry.id))
        for entry in load_catalogue().values()
        if entry.status == "implemented"
    }


def what_runs() -> str:
    """What can be run today, by area, in Markdown."""
    by_area = load_catalogue().by_area()
    ids = {
        area: [f"`{entry.id}`" for entry in entries if entry.status == "implemented"]
        for area, entries in by_area.items()
    }
    total = sum(map(len, by_area.values()))
    lines = [
        f"{sum(map(len, ids.values()))} of {total} papers run today; the others are in the "
        "catalogue and show as *planned*.",
        "",
        "| Area | Question | Runs today |",
        "|---|---|---|",
    ]
    for area, question in AREAS.items():
        if ids[area]:
            share = f"{len(ids[area])} of {len(by_area[area])}: "
            lines.append(f"| {area} | {question} | {share}{', '.join(ids[area])} |")
    return "\n".join(lines) + "\n"


def readme_text() -> str:
    """The README with its list as the catalogue has it."""
    before, _, rest = README.read_text("utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{what_runs()}{END}{after}"


if __name__ == "__main__":
    text = json.dumps(all_facts(), indent=1, ensure_ascii=False)
    write_whole(FACTS_FILE, (text + "\n").encode())
    write_whole(README, readme_text().encode())
