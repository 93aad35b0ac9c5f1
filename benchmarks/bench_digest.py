"""The digest on 200,000 generated papers and the catalogue's own entries.

Bars: ingest above 5,000 records a second on SQLite, 95 % of searches within 50 ms, trending within
200 ms, mails for 1,000 readers composed within 30 s, the right paper among the first ten for 95 of
100 held-back queries. Where the machine is busy, the times of the processor are the ones to read.

The generated papers are hard for the search: the words of the catalogue are spread among invented
ones by Zipf's law, so that a technical word stands in some thousands of them, and 222 entries are
to be found among 200,000. The floor of ingest is FTS5 itself, about 15,000 such records a second
when it alone is fed; the rest goes to reading JSON, cleaning text and the other tables.

    python benchmarks/bench_digest.py [folder]
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from statlas.app.digest.compose import compose_digests
from statlas.app.digest.database import Database
from statlas.app.digest.readers import confirm, reader_of, save, subscribe
from statlas.app.digest.search import search
from statlas.app.digest.settings import MailSettings
from statlas.app.digest.sources import add_source
from statlas.app.digest.trending import DAY, trending
from statlas.catalog import load_catalogue
from statlas.catalog.words import words

N_PAPERS = 200_000
N_READERS = 1_000
CATEGORIES = ("cs.LG", "stat.ML", "cs.CL", "stat.ME", "math.ST", "cs.CV", "q-bio.QM", "econ.EM")
SYLLABLES = [
    "ba", "co", "di", "fe", "gra", "hu", "ki", "lo", "mi", "no",
    "pra", "que", "ri", "sta", "tu", "ve", "wo", "xi", "ya", "zo",
]  # fmt: skip
QUERIES = Path(__file__).parents[1] / "tests" / "catalog" / "queries.toml"


def vocabulary(rng: np.random.Generator) -> np.ndarray:
    """Words by falling frequency: stop words, then the catalogue's among invented ones."""
    counts: Counter[str] = Counter()
    for entry in load_catalogue().values():
        text = f"{entry.title} {entry.answers} {entry.use_when} {entry.avoid_when}"
        counts.update(re.findall(r"[a-z]{2,}", text.lower()))
    known = [word for word, _ in counts.most_common()]
    technical = [word for word in known if words(word)]
    invented = {"".join(rng.choice(SYLLABLES, 4)) for _ in range(60_000)}
    listed = [word for word in known if not words(word)][:150] + sorted(invented)
    rng.shuffle(technical)
    places = np.exp(rng.uniform(np.log(60), np.log(20_000), len(technical))).astype(int)
    for place, word in zip(np.sort(places)[::-1], technical, strict=True):
        listed.insert(int(place), word)
    return np.array(listed)


def records(rng: np.random.Generator) -> Iterator[dict[str, object]]:
    """Papers in the form of arXiv's snapshot."""
    listed = vocabulary(rng)
    share = 1 / (np.arange(len(listed)) + 2.7) ** 1.05
    cumulative = np.cumsum(share / share.sum())
    for n in range(N_PAPERS):
        title, abstract = (
            " ".join(listed[np.searchsorted(cumulative, rng.random(size))])
            for size in (rng.integers(6, 14), rng.integers(80, 200))
        )
        day = f"{2015 + n % 11}-{1 + (n // 7) % 12:02d}-{1 + n % 28:02d}"
        own = dict.fromkeys((CATEGORIES[n % 8], CATEGORIES[(n // 8) % 8]))
        yield {
            "id": f"{10 + n // 20_000:02d}{1 + (n // 1_700) % 12:02d}.{n % 100_000:05d}",
            "title": title,
            "abstract": abstract,
            "authors_parsed": [[str(listed[(n * 7 + j) % 40_000]), "A.", ""] for j in range(3)],
            "categories": " ".join(own),
            "versions": [{"created": f"{day}T00:00:00Z"}],
            "update_date": day,
        }


def entries() -> Iterator[dict[str, object]]:
    """The catalogue's entries."""
    for entry in load_catalogue().values():
        text = " ".join([entry.answers, entry.use_when, ". ".join(entry.search)])
        yield {"id": entry.arxiv, "title": entry.title, "abstract": text}


def write_lines(path: Path, items: Iterator[dict[str, object]]) -> Path:
    """Write JSON lines, unless they are there."""
    if not path.exists():
        with path.open("w", encoding="utf-8") as stream:
            stream.writelines(json.dumps(item) + "\n" for item in items)
    return path


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the clock and of the processor."""
    clock, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - clock, time.process_time() - processor


def tell(what: str, clock: float, processor: float, unit: str = "s") -> None:
    """Print one line."""
    print(f"{what:56} {clock:9.2f} {processor:9.2f} {unit}")


def known_items(database: Database) -> None:
    """Recall and times of the held-back queries."""
    catalogue = load_catalogue()
    listed = tomllib.loads(QUERIES.read_text("utf-8"))["query"]
    held = [q for q in listed if hashlib.sha256(q["text"].encode()).digest()[0] % 2]
    search(database, "warm up")
    times, right = [], 0
    for query in held:
        found: list[str] = []
        times.append(
            timed(
                lambda q=query, f=found: f.extend(h.paper.url for h in search(database, q["text"]))
            )
        )
        accepted = {f"https://arxiv.org/abs/{catalogue[id].arxiv}" for id in query["accepts"]}
        right += bool(accepted & set(found))
    clock, processor = 1_000 * np.quantile(np.array(times), 0.95, axis=0)
    tell("search, 95th percentile (bar 50 ms)", clock, processor, "ms")
    print(f"right paper among the first ten: {right} of {len(held)} (bar 95 of 100)")


def prepare_readers(database: Database, now: float, rng: np.random.Generator) -> None:
    """Readers with queries, and every tenth with a taste."""
    for n in range(N_READERS):
        person = subscribe(
            database, f"reader{n}@example.org", now=now - DAY,
            query=("", "calibration", "language model", "causal effect")[n % 4],
        )  # fmt: skip
        confirm(database, person, now)
        for paper in rng.integers(1, N_PAPERS, 10 if n % 10 == 0 else 1):
            save(database, reader_of(database, person.email), int(paper), now - DAY)


def main(folder: Path) -> None:
    """Measure everything."""
    rng = np.random.default_rng(0)
    big = write_lines(folder / "papers.jsonl", records(rng))
    small = write_lines(folder / "entries.jsonl", entries())
    path = folder / "digest.sqlite"
    for part in folder.glob("digest.sqlite*"):
        part.unlink()
    now = time.time()
    print(f"{'':56} {'clock':>9} {'processor':>9}")
    with Database(path) as database:
        clock, processor = timed(lambda: add_source(database, str(big)))
        tell("ingest (bar 5,000)", N_PAPERS / clock, N_PAPERS / processor, "records/s")
        clock, processor = timed(lambda: add_source(database, str(big)))
        tell("the same again", N_PAPERS / clock, N_PAPERS / processor, "records/s")
        add_source(database, str(small))
        known_items(database)
        prepare_readers(database, now, rng)
        tell(
            "trending, 7 days (bar 200 ms)",
            *(1_000 * t for t in timed(lambda: trending(database, now=now + 60))), "ms",
        )  # fmt: skip
        settings = MailSettings(
            "127.0.0.1", 25, "digest@example.org", "https://example.org", "none"
        )
        composed: list[int] = []
        work = lambda: composed.append(  # noqa: E731
            compose_digests(database, settings, now=now + 60, everyone=True)
        )
        tell(f"mails for {N_READERS:,} readers (bar 30 s)", *timed(work))
        print(f"composed: {composed[0]:,}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as made:
            main(Path(made))
