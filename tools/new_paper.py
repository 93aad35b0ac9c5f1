"""Write the stubs of a planned paper: module, test and notes for its docs page.

The stubs hold to-dos; the contract suite counts them, so an unfinished paper cannot pass for done.
"""

from __future__ import annotations

import sys
from pathlib import Path

from statlas.catalog import Entry, load_catalogue

ROOT = Path(__file__).parents[1]

MODULE = '''"""{title}.

Answers      {answers}
Use when     {use_when}
Assumes      TODO
Notation     TODO: variable = symbol, equation, shape, unit
Departs      TODO: departures from the paper, and what was chosen where it is silent
Reference    {authors} ({year}), arXiv:{arxiv}.
"""

from __future__ import annotations

# TODO: the method (functions on arrays), the result, the recipe, the claims with their twins.
'''

TEST = '''"""Known answers of {id}."""

# TODO: a known answer with its origin: closed form, identity, printed number or peer.
'''


def write_stubs(entry: Entry) -> list[Path]:
    """Write the stubs; refuse to overwrite."""
    name = entry.id.replace("-", "_")
    authors = ", ".join(entry.authors) + (" et al." if entry.more_authors else "")
    facts = {
        "id": entry.id,
        "title": entry.title,
        "answers": entry.answers,
        "use_when": entry.use_when,
        "authors": authors,
        "year": entry.year,
        "arxiv": entry.arxiv,
    }
    stubs = {
        ROOT / "src/statlas" / entry.area / f"{name}.py": MODULE.format(**facts),
        ROOT / "tests" / entry.area / f"test_{name}.py": TEST.format(**facts),
        ROOT / "docs/papers" / f"{entry.id}.md": "TODO: what a reader should know\n",
    }
    for path in stubs:
        if path.exists():
            raise SystemExit(f"{path.relative_to(ROOT)} exists already")
    for path, text in stubs.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return list(stubs)


def main() -> None:
    """Write the stubs of the paper named on the command line."""
    if len(sys.argv) != 2:
        raise SystemExit("usage: make new-paper ID=...")
    for path in write_stubs(load_catalogue().get(sys.argv[1])):
        print(path.relative_to(ROOT))
    print("then add `implementation = ...` to the entry in papers.toml and run `make facts claims`")


if __name__ == "__main__":
    main()
