"""``statlas digest``: feeds in, search, trending, readers and mails out."""

from __future__ import annotations

import argparse
import getpass
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from statlas.app.cli.browse import _print_columns, _print_json, _wrapped
from statlas.core.errors import InputError, MissingExtra

if TYPE_CHECKING:
    from statlas.app.digest.database import Database
    from statlas.app.digest.ingest import Counts
    from statlas.app.digest.search import Paper
    from statlas.app.digest.sources import Outcome

_PACKAGES = ("sqlalchemy", "alembic", "lxml", "nh3", "itsdangerous", "filelock", "argon2")
Command = Callable[["Database", argparse.Namespace], int]


def digest_command(arguments: Sequence[str]) -> int:
    """Run one of the commands of the digest."""
    options = _parser().parse_args(arguments)
    for package in _PACKAGES:
        if find_spec(package) is None:
            raise MissingExtra(package, "digest")
    from sqlalchemy.exc import OperationalError

    from statlas.app.digest.database import Database, failure_of

    command: Command = options.run
    with Database(options.db) as database:
        try:
            return command(database, options)
        except OperationalError as error:
            raise failure_of(database, error) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="statlas digest",
        description="Your own feeds of papers: search, trending, and a mail a day.",
        epilog="`statlas digest COMMAND --help` says more.",
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(name: str, run: Command, text: str) -> argparse.ArgumentParser:
        part = commands.add_parser(
            name, help=text, description=text[0].upper() + text[1:] + ".", allow_abbrev=False
        )
        part.set_defaults(run=run)
        part.add_argument("--db", metavar="URL", help="a SQLite file or postgresql://...; your own")
        return part

    part = add("add", add_command, "read feeds: files, folders or addresses")
    part.add_argument("sources", metavar="FILE|URL|FOLDER", nargs="+")
    part.add_argument("--format", metavar="F", help="of the feed; default: told from its content")
    add("update", update_command, "read again all addresses whose time has come")
    part = add("feeds", feeds_command, "list feeds, and what could not be read of them")
    part.add_argument("--problems", metavar="N", type=int, default=5, help="shown of each feed")
    part = add("remove", remove_command, "read a feed no longer; its papers stay")
    part.add_argument("source", metavar="FILE|URL")
    part = add("search", search_command, "search the papers")
    part.add_argument(
        "text", metavar="TEXT", nargs="+", help='words, "phrases", author:, after: ...'
    )
    part.add_argument(
        "--meaning", action="store_true", help="by meaning as well as by words; see embed"
    )
    _add_listing(part)
    part = add("embed", embed_command, "make the vectors that a search by meaning needs")
    part.add_argument("--limit", type=int, metavar="N", help="most papers, the newest first")
    part = add("trending", trending_command, "what is trending, and why")
    part.add_argument("--days", type=int, default=7, metavar="N", help="the window, default 7")
    part.add_argument("--category", default="", metavar="C", help="such as cs.LG, or cs")
    _add_listing(part)
    part = add("show", show_command, "one paper, its history, and what is like it")
    part.add_argument("paper", metavar="PAPER", help="number, arXiv number, DOI or address")
    part.add_argument("--json", action="store_true", help="print JSON")
    _add_reader_commands(add)
    _add_mail_commands(add)
    return parser


def _add_listing(part: argparse.ArgumentParser) -> None:
    part.add_argument("--limit", type=int, default=10, metavar="N", help="most papers, default 10")
    part.add_argument("--json", action="store_true", help="print JSON")


def _add_reader_commands(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    part = add("subscribe", subscribe_command, "ask for a mail a day, to be confirmed by mail")
    part.add_argument("email", metavar="EMAIL")
    part.add_argument("--timezone", default="UTC", metavar="Z", help="such as Europe/Berlin")
    part.add_argument("--hour", type=int, default=7, metavar="H", help="0 to 23, default 7")
    part.add_argument("--query", default="", metavar="TEXT", help="what it is about")
    part.add_argument("--category", action="append", default=[], metavar="C", dest="categories")
    part.add_argument("--papers", type=int, default=10, metavar="N", help="most in a mail")
    part.add_argument(
        "--confirmed",
        action="store_true",
        help="without a mail that asks: only for an address that is yours",
    )
    part = add("unsubscribe", unsubscribe_command, "end someone's mails")
    part.add_argument("email", metavar="EMAIL")
    part.add_argument("--forget", action="store_true", help="delete all that is known of them")
    part = add("password", password_command, "give a reader a password, asked for or on input")
    part.add_argument("email", metavar="EMAIL")
    add("readers", readers_command, "list readers")
    part = add("save", save_command, "keep a paper for a reader, or put a tag on it")
    part.add_argument("email", metavar="EMAIL")
    part.add_argument("paper", metavar="PAPER")
    part.add_argument("--tag", default="", metavar="T")
    part.add_argument(
        "--remove", action="store_true", help="keep it no longer, or take the tag off"
    )
    part = add("for-you", for_you_command, "new papers by a reader's taste, and how good it is")
    part.add_argument("email", metavar="EMAIL")
    _add_listing(part)


def _add_mail_commands(add: Callable[[str, Command, str], argparse.ArgumentParser]) -> None:
    for name, run, text in (
        ("send", send_command, "compose and send the mails that are due"),
        ("serve", serve_command, "read feeds and send mails, each at its time, until stopped"),
    ):
        part = add(name, run, text)
        part.add_argument(
            "--smtp", metavar="URL", help="smtps://...; or STATLAS_SMTP, which others cannot see"
        )
        part.add_argument("--sender", metavar="ADDRESS", help="or STATLAS_SENDER")
        part.add_argument("--site", metavar="URL", help="of the workbench; or STATLAS_SITE")
        if name == "send":
            part.add_argument("--now", action="store_true", help="also where the hour has not come")
    add("outbox", outbox_command, "how many mails wait or went out, and what went wrong")
    part = add("atom", atom_command, "print a search or what is trending as an Atom feed")
    part.add_argument("text", metavar="TEXT", nargs="*", help="a search; none for trending")
    part.add_argument("--limit", type=int, default=50, metavar="N")
    part.add_argument("--site", metavar="URL", default="http://127.0.0.1:8080")


# --- feeds ---------------------------------------------------------------------------------------


def add_command(database: Database, options: argparse.Namespace) -> int:
    """``statlas digest add``."""
    from statlas.app.digest.feeds import READERS
    from statlas.app.digest.sources import add_source

    if options.format not in (None, *READERS):
        raise InputError(
            f"there is no format {options.format!r}", remedy=f"formats: {', '.join(READERS)}"
        )
    with _Meter() as meter:
        for source in options.sources:
            for outcome in add_source(database, source, format=options.format, report=meter.report):
                meter.end()
                _print_outcome(outcome)
    return 0


def update_command(database: Database, options: argparse.Namespace) -> int:
    """``statlas digest update``."""
    from statlas.app.digest.sources import update_all

    outcomes = update_all(database)
    for outcome in outcomes:
        _print_outcome(outcome)
    if not outcomes:
        print("There are no addresses among the feeds; `statlas digest add URL` makes one.")
    return 0


class _Meter:
    """Shows records and records a second on one line of the terminal."""

    def __enter__(self) -> _Meter:
        self._shown = False
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def report(self, source: str, counts: Counts) -> None:
        """Show how far a feed is."""
        if sys.stderr.isatty():
            line = f"{counts.read:,} records, {counts.per_second:,.0f} a second  {source}"
            print(f"\r{line[:78]:78}", end="", file=sys.stderr, flush=True)
            self._shown = True

    def end(self) -> None:
        """End the line."""
        if self._shown:
            print(file=sys.stderr)
            self._shown = False


def _print_outcome(outcome: Outcome) -> None:
    counts = outcome.counts
    print(f"{outcome.source}" + (f"  ({outcome.format})" if outcome.format else ""))
    if outcome.note:
        print(f"  {outcome.note}")
    if counts.read:
        print(
            f"  {counts.read:,} records in {counts.seconds:.1f} s ({counts.per_second:,.0f} a "
            f"second): {counts.new:,} new, {counts.revised:,} revised, "
            f"{counts.completed:,} completed, {counts.unchanged:,} as before, "
            f"{counts.problems:,} not readable"
        )
    if counts.problems:
        print("  `statlas digest feeds` lists what could not be read.")


def feeds_command(database: Database, options: argparse.Namespace) -> int:
    """``statlas digest feeds``."""
    from statlas.app.digest.sources import feeds_with_problems

    listed = feeds_with_problems(database, options.problems)
    for item in listed:
        failed = f"; last error: {item['last_error']}" if item["last_error"] else ""
        print(f"{item['source']}  ({item['format']}){failed}")
        for problem in item["problems"]:
            print(f"  {problem['place']}: {problem['message']}  {problem['excerpt'][:60]}")
    if not listed:
        print("There are no feeds yet; `statlas digest add FILE` reads one.")
    return 0


def remove_command(database: Database, options: argparse.Namespace) -> int:
    """``statlas digest remove``."""
    from statlas.app.digest.sources import remove_source

    print(f"Not read any more: {remove_source(database, options.source)}")
    return 0


# --- papers --------------------------------------------------------------------------------------


def search_command(database: Database, options: argparse.Namespace) -> int:
    """``statlas digest search``."""
    from statlas.app.digest.search import search

    if options.meaning:
        return _search_by_meaning(database, options)
    hits = search(database, " ".join(options.text), limit=_limit(options))
    if options.json:
        _print_json([_plain(hit.paper) | {"score": round(hit.score, 4)} for hit in hits])
        return 0
    if not hits:
        print("Nothing fits; try other words, or fewer conditions.")
    for hit in hits:
        _print_paper(hit.paper)
    return 0


def _search_by_meaning(database: Database, options: argparse.Namespace) -> int:
    from statlas.app.digest.meaning import coverage, search_fused

    hits = search_fused(database, " ".join(options.text), limit=_limit(options))
    if options.json:
        _print_json(
            [_plain(hit.paper) | {"score": round(hit.score, 4), "by": hit.by} for hit in hits]
        )
        return 0
    if not hits:
        print("Nothing fits; try fewer conditions.")
    for hit in hits:
        _print_paper(hit.paper, hit.why)
    covered = coverage(database)
    if covered.embedded < covered.papers:
        print(
            f"{covered.embedded:,} of {covered.papers:,} papers can be found by meaning; "
            "`statlas digest embed` makes the other vectors."
        )
    return 0


def embed_command(database: Database, options: argparse.Namespace) -> int:
    """``statlas digest embed``."""
    from statlas.app.digest.meaning import Embedded, coverage, embed

    if options.limit is not None and options.limit < 1:
        raise InputError(f"--limit must be at least 1; got {options.limit}")

    def report(made: Embedded) -> None:
        if sys.stderr.isatty():
            line = f"{made.done:,} of {made.total:,} papers, {made.per_second:,.1f} a second"
            print(f"\r{line:78}", end="\n" * (made.done == made.total), file=sys.stderr, flush=True)

    made = embed(database, limit=options.limit, report=report)
    if made.done:
        papers = "paper" if made.done == 1 else "papers"
        print(f"{made.done:,} {papers} in {made.seconds:.1f} s ({made.per_second:.1f} a second).")
    covered = coverage(database)
    if covered.embedded == covered.papers:
        print(f"All {covered.papers:,} papers have a vector.")
    else:
        print(f"{covered.embedded:,} of {covered.papers:,} papers have a vector.")
    return 0


def trending_command(database: Database, options: argparse.Namespace) -> int:
    """``statlas digest trending``."""
    from statlas.app.digest.trending import trending

    found = trending(database, days=options.days, category=options.category, limit=_limit(options))
    if options.json:
        _print_json(
            [
                _plain(item.paper)
                | {
                    "score": round(item.score, 4),
                    "readers": item.readers,
                    "parts": dict(item.parts),
                }
                for item in found
            ]
        )
        return 0
    if not found:
        print(f"No paper has votes, saves or rising counts in {options.days} days.")
    for item in found:
        _print_paper(item.paper, f"{item.score:.2f}: {item.why()}")
    return 0


def show_command(database: Database, options: argparse.Namespace) -> int:
    """``statlas digest show``."""
    from statlas.app.digest.papers import details, find_paper

    shown = details(database, find_paper(database, options.paper))
    if options.json:
        _print_json(shown)
        return 0
    paper = shown["paper"]
    print(_wrapped(paper["title"], "", ""))
    told = (paper["published"], " ".join(paper["categories"]), paper["url"])
    for line in (", ".join(paper["authors"]), "  ".join(filter(None, told))):
        if line:
            print(_wrapped(line, "  "))
    if paper["abstract"]:
        print("\n" + _wrapped(paper["abstract"], "  "))
    for version in shown["versions"]:
        print(f"\n  Until {version['until']}: {version['title']}")
    for label, items in (("Methods that run here", shown["methods"]), ("Like it", shown["like"])):
        if items:
            print(f"\n{label}")
            _print_columns((str(item["id"]), item["text"]) for item in items)
    return 0


def _limit(options: argparse.Namespace) -> int:
    if not 1 <= options.limit <= 1_000:
        raise InputError(f"--limit must be 1 to 1,000; got {options.limit}")
    return int(options.limit)


def _plain(paper: Paper) -> dict[str, Any]:
    return asdict(paper)


def _print_paper(paper: Paper, why: str = "") -> None:
    from statlas.app.digest.papers import nearest_methods

    print(_wrapped(f"{paper.id}  {paper.title}", "      ", ""))
    authors = ", ".join(paper.authors[:4]) + (", …" if len(paper.authors) > 4 else "")
    print(_wrapped("  ".join(p for p in (paper.published, authors, paper.url) if p), "      "))
    if why:
        print(_wrapped(why, "      "))
    methods = nearest_methods(paper)
    if methods:
        print(_wrapped("this asks what " + ", ".join(methods) + " answers", "      "))


# --- readers -------------------------------------------------------------------------------------


def subscribe_command(database: Database, options: argparse.Namespace) -> int:
    """``statlas digest subscribe``."""
    from statlas.app.digest.readers import confirm, subscribe

    person = subscribe(
        database,
        options.email,
        timezone=options.timezone,
        hour=options.hour,
        query=options.query,
        categories=options.categories,
        papers_a_mail=options.papers,
    )
    if options.confirmed:
        confirm(database, person)
        print(f"{person.email} gets a mail a day from {person.hour}:00 on ({person.timezone}).")
        return 0
    if person.state == "active":
        print(f"{person.email} gets the mail already; its wishes are changed in the workbench.")
        return 0
    print(f"{person.email} is asked to confirm by the next `statlas digest send`.")
    return 0


def unsubscribe_command(database: Database, options: argparse.Namespace) -> int:
    """``statlas digest unsubscribe``."""
    from statlas.app.digest.readers import forget, reader_of, stop

    person = reader_of(database, options.email)
    if options.forget:
        forget(database, person)
        print(f"Nothing is known of {person.email} any more.")
    else:
        stop(database, person)
        print(f"{person.email} gets no mails any more.")
    return 0


def password_command(database: Database, options: argparse.Namespace) -> int:
    """``statlas digest password``."""
    from statlas.app.digest.accounts import set_password
    from statlas.app.digest.readers import reader_of

    person = reader_of(database, options.email)
    set_password(database, person, _read_password())
    print(f"{person.email} can sign in with it, and is signed out everywhere.")
    return 0


def _read_password() -> str:
    """The password from the terminal, unseen, or the line of standard input."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("The same again: ") != password:
        raise InputError("the two passwords differ", remedy="write the same one twice")
    return password


def readers_command(database: Database, options: argparse.Namespace) -> int:
    """``statlas digest readers``."""
    from statlas.app.digest.readers import readers

    _print_columns(
        (
            person.email,
            person.state,
            f"{person.hour}:00 {person.timezone}",
            person.query or person.categories or "everything",
        )
        for person in readers(database)
    )
    return 0


def save_command(database: Database, options: argparse.Namespace) -> int:
    """``statlas digest save``."""
    from statlas.app.digest.papers import find_paper
    from statlas.app.digest.readers import reader_of, save, tag, unsave, untag

    person = reader_of(database, options.email)
    paper = find_paper(database, options.paper)
    if options.tag and options.remove:
        untag(database, person, paper.id, options.tag)
    elif options.tag:
        tag(database, person, paper.id, options.tag)
    elif options.remove:
        unsave(database, person, paper.id)
    else:
        save(database, person, paper.id)
    print(f"{'Removed' if options.remove else 'Kept'}: {paper.title}")
    return 0


def for_you_command(database: Database, options: argparse.Namespace) -> int:
    """``statlas digest for-you``."""
    from statlas.app.digest.for_you import FEWEST_KEPT, recommend
    from statlas.app.digest.readers import reader_of

    found, quality = recommend(database, reader_of(database, options.email), _limit(options))
    if options.json:
        measured = None if quality is None else asdict(quality)
        _print_json({"papers": [_plain(paper) for paper in found], "held_out": measured})
        return 0
    if quality is None:
        print(
            f"The newest papers: a taste needs {FEWEST_KEPT} kept papers (`statlas digest save`)."
        )
    else:
        print(_wrapped(f"The model {quality}.", "", ""))
    for paper in found:
        _print_paper(paper)
    return 0


# --- mails ---------------------------------------------------------------------------------------


def send_command(database: Database, options: argparse.Namespace) -> int:
    """``statlas digest send``."""
    from statlas.app.digest.service import send_round
    from statlas.app.digest.settings import mail_settings

    settings = mail_settings(vars(options))
    composed, sent = send_round(database, settings, everyone=options.now)
    print(
        f"{composed} mails composed; {sent.sent} sent, {sent.later} put back, "
        f"{sent.failed} failed, {sent.uncertain} uncertain"
    )
    for error in sent.errors[:20]:
        print(f"  {error}", file=sys.stderr)
    return 1 if sent.failed or sent.uncertain or sent.later else 0


def serve_command(database: Database, options: argparse.Namespace) -> int:
    """``statlas digest serve``."""
    from statlas.app.digest.service import serve
    from statlas.app.digest.settings import mail_settings

    serve(database, mail_settings(vars(options)), say=lambda line: print(line, flush=True))
    return 0


def outbox_command(database: Database, options: argparse.Namespace) -> int:
    """``statlas digest outbox``."""
    from statlas.app.digest.outbox import outbox_counts, troubled

    counts = outbox_counts(database)
    print(", ".join(f"{n} {state}" for state, n in sorted(counts.items())) or "It is empty.")
    _print_columns(
        (item["day"], item["kind"], item["state"], item["email"], item["error"])
        for item in troubled(database)
    )
    return 0


def atom_command(database: Database, options: argparse.Namespace) -> int:
    """``statlas digest atom``."""
    from statlas.app.digest.atom import atom_feed
    from statlas.app.digest.search import search
    from statlas.app.digest.trending import trending

    text = " ".join(options.text)
    if text:
        found = [hit.paper for hit in search(database, text, limit=_limit(options))]
    else:
        found = [item.paper for item in trending(database, limit=_limit(options))]
    sys.stdout.write(atom_feed(found, text or "trending", options.site).decode())
    return 0
