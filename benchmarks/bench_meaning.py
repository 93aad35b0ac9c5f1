"""Does meaning help? Words alone, meaning alone and both, on held-back queries.

The queries are those of the catalogue that no synonym and no weight was chosen by; each names the
entries that answer it. The entries are searched alone, and among real texts of the same kind: the
documentation of what NumPy, SciPy, scikit-learn, pandas and torch export. As in the search's own
test an entry's abstract is its question, its use and its search words; without those, which were
written for being found, it is closer to what a feed brings.

Recall is the share of queries with a right paper among the first ten, MRR the mean of one over the
first right paper's rank (0 beyond ten). Differences are paired by query; the interval is the
bootstrap's percentile one, over queries.

The second part measures time and memory of the exact search on random vectors. Its floor is reading
the matrix once: 307 MB for 200,000 papers.

Threads of torch and BLAS wait for each other where others use the cores: on a busy machine set
OMP_NUM_THREADS=1 to time the search.

    python benchmarks/bench_meaning.py [--texts N] [--vectors N] [--folder F]
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import inspect
import pkgutil
import resource
import shutil
import tempfile
import time
import tomllib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from statlas.app.digest.database import Database
from statlas.app.digest.ingest import ingest
from statlas.app.digest.meaning import Embedded, embed, nearest, search_fused
from statlas.app.digest.queries import Query, parse_query
from statlas.app.digest.records import Record, make_record
from statlas.app.digest.search import search
from statlas.app.digest.tables import feed, paper, paper_vector
from statlas.catalog import load_catalogue
from statlas.models.sentences import model_name, sentence_model

QUERIES = Path(__file__).parents[1] / "tests" / "catalog" / "queries.toml"
LIBRARIES = ("numpy", "scipy", "sklearn", "pandas", "torch")
FIRST = 10
RESAMPLES = 10_000


# --- texts ---------------------------------------------------------------------------------------


def entries(with_search_words: bool) -> Iterator[Record]:
    """The catalogue's entries as papers."""
    for entry in load_catalogue().values():
        parts = [entry.answers, entry.use_when]
        if with_search_words:
            parts.append(". ".join(entry.search))
        yield make_record(title=entry.title, arxiv=entry.arxiv, abstract=" ".join(parts))


def documentation(n_texts: int) -> Iterator[Record]:
    """Docstrings of at least 40 words, one of each exported name, in an order without system."""
    found: dict[str, str] = {}
    for library in LIBRARIES:
        for module in _public_modules(library):
            for name in getattr(module, "__all__", ()):
                text = inspect.getdoc(vars(module).get(name)) or ""
                if len(text.split()) >= 40:
                    found.setdefault(text, f"{library}.{name}")
    listed = sorted(found.items(), key=lambda item: hashlib.sha256(item[0].encode()).digest())
    for n, (text, name) in enumerate(listed[:n_texts]):
        title, _, rest = text.partition("\n\n")
        yield make_record(
            title=f"{name}: {' '.join(title.split())}"[:300],
            abstract=rest[:5_000] or title,
            url=f"https://example.org/{name}/{n}",
        )


def _public_modules(library: str) -> Iterator[object]:
    package = importlib.import_module(library)
    yield package
    for info in pkgutil.iter_modules(package.__path__):
        if not info.name.startswith("_") and info.name not in ("conftest", "tests", "testing"):
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    yield importlib.import_module(f"{library}.{info.name}")
            except ImportError:
                continue  # a part that needs more than is installed


def write(database: Database, records: Iterator[Record]) -> None:
    """Write papers as a feed of their own."""
    with database.writing() as connection:
        values = {"source": f"benchmark {time.time_ns()}", "format": "none", "added": 0.0}
        id = connection.execute(feed.insert().values(values).returning(feed.c.id)).scalar_one()
    ingest(database, id, records)


def fill(database: Database, records: Iterator[Record]) -> None:
    """Write papers and their vectors."""
    write(database, records)
    made = embed(database, report=_show)
    print(f"\r{made.done:,} papers embedded, {made.per_second:.1f} a second" + " " * 20)


def _show(made: Embedded) -> None:
    print(f"\r{made.done:,} of {made.total:,}", end="", flush=True)


# --- quality -------------------------------------------------------------------------------------


def reciprocal_ranks(database: Database) -> dict[str, NDArray[np.float64]]:
    """One over the rank of the first right paper of each held-back query; 0 beyond ten."""
    catalogue = load_catalogue()
    listed = tomllib.loads(QUERIES.read_text("utf-8"))["query"]
    held = [q for q in listed if hashlib.sha256(q["text"].encode()).digest()[0] % 2]
    with database.reading() as connection:
        address = {row.id: row.url for row in connection.execute(paper.select())}
    ways: dict[str, Callable[[str], list[str]]] = {
        "words": lambda text: [hit.paper.url for hit in search(database, text, limit=FIRST)],
        "meaning": lambda text: [address[id] for id in nearest(database, text, Query(), FIRST)],
        "both": lambda text: [hit.paper.url for hit in search_fused(database, text, limit=FIRST)],
    }
    found: dict[str, list[float]] = {way: [] for way in ways}
    for query in held:
        right = {f"https://arxiv.org/abs/{catalogue[id].arxiv}" for id in query["accepts"]}
        for way, look in ways.items():
            ranks = [n for n, url in enumerate(look(query["text"]), start=1) if url in right]
            found[way].append(1 / ranks[0] if ranks else 0.0)
    return {way: np.array(ranks) for way, ranks in found.items()}


def compare(title: str, ranks: dict[str, NDArray[np.float64]], rng: np.random.Generator) -> None:
    """Print recall and MRR of each way, and the paired differences to words alone."""
    print(f"\n{title} ({len(ranks['words'])} queries)")
    print(f"{'':10} {'recall@10':>9}  {'less words':24} {'MRR':>6}  less words")
    drawn = rng.integers(len(ranks["words"]), size=(RESAMPLES, len(ranks["words"])))
    for way, values in ranks.items():
        line = f"{way:10}"
        for measure, width in ((lambda r: (r > 0).astype(float), 9), (lambda r: r, 6)):
            own, words = measure(values), measure(ranks["words"])
            difference = own - words
            low, high = np.quantile(difference[drawn].mean(1), [0.025, 0.975])
            told = "" if way == "words" else f"{difference.mean():+.3f} [{low:+.3f}, {high:+.3f}]"
            line += f" {own.mean():{width}.3f}  {told:24}"
        print(line)


# --- time and memory -----------------------------------------------------------------------------


def time_exact_search(n_vectors: int, rng: np.random.Generator) -> None:
    """Time of the first search, of others, and of one after a vector was added."""
    with tempfile.TemporaryDirectory() as folder, Database(Path(folder) / "d.sqlite") as database:
        _write_random(database, n_vectors, rng)
        asked = parse_query("")
        sentence_model().vectors(["warm up"])
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"\nexact search of {n_vectors:,} vectors, with reading the query")
        first = _seconds(lambda: nearest(database, "a first query", asked, 100))
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        print(f"first, with loading     {1_000 * first:8.0f} ms, {grown:,.0f} MiB more memory")
        for name, query in (
            ("others", asked),
            ("half of them pass", parse_query("after:2020")),
            ("one in a thousand", parse_query("category:rare")),
            ("with an excluded word", parse_query("-odd")),
        ):
            times = [
                _seconds(lambda q=query, n=n: nearest(database, f"query number {n}", q, 100))
                for n in range(20)
            ]
            print(f"{name:23} {1_000 * np.median(times):8.1f} ms")
        _touch(database, rng)
        again = _seconds(lambda: nearest(database, "after a change", asked, 100))
        print(f"after a change of one   {1_000 * again:8.1f} ms")


def _write_random(database: Database, n: int, rng: np.random.Generator) -> None:
    records = (
        make_record(
            title=f"Paper {k}" + (" odd" if k % 5 == 0 else ""),
            arxiv=f"{1000 + k // 100_000}.{k % 100_000:05d}",
            published="2015-01-01" if k % 2 else "2021-01-01",
            categories=("rare",) if k % 1_000 == 0 else ("cs.LG",),
        )
        for k in range(n)
    )
    write(database, records)
    name = model_name()
    with database.writing() as connection:
        for start in range(0, n, 10_000):
            drawn = rng.normal(size=(min(10_000, n - start), 384))
            drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
            connection.execute(
                paper_vector.insert(),
                [
                    {"paper": start + k + 1, "model": name, "digest": "", "written": start,
                     "vector": row.astype("<f2").tobytes()}
                    for k, row in enumerate(drawn)
                ],
            )  # fmt: skip


def _touch(database: Database, rng: np.random.Generator) -> None:
    vector = rng.normal(size=384).astype("<f2").tobytes()
    with database.writing() as connection:
        connection.execute(
            paper_vector.update().where(paper_vector.c.paper == 1).values(
                written=int(time.time() * 1e6), vector=vector)
        )  # fmt: skip


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def compare_all(folder: Path, n_texts: int, rng: np.random.Generator) -> None:
    """Compare on entries alone and among other texts, whose vectors stay in the folder."""
    others = folder / "others.sqlite"
    with Database(others) as database:
        fill(database, documentation(n_texts))
    for with_search_words in (True, False):
        kind = "entries" if with_search_words else "entries without search words"
        for where in ("alone", "among other texts"):
            path = folder / f"{kind} {where}.sqlite"
            path.unlink(missing_ok=True)
            if where != "alone":
                shutil.copy(others, path)
            with Database(path) as database:
                fill(database, entries(with_search_words))
                compare(f"{kind}, {where}", reciprocal_ranks(database), rng)


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--texts", type=int, default=3_000, metavar="N", help="other texts")
    parser.add_argument("--vectors", type=int, default=200_000, metavar="N")
    parser.add_argument("--folder", metavar="F", help="keeps the other texts' vectors")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    sentence_model()
    print(f"the model is loaded in {time.perf_counter() - start:.1f} s")
    with tempfile.TemporaryDirectory() as made:
        compare_all(Path(options.folder or made), options.texts, rng)
    time_exact_search(options.vectors, rng)


if __name__ == "__main__":
    main()
