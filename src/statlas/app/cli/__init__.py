"""The command line: find, show, run, check, cite, serve and digest.

Each command imports what it needs when it runs, so that browsing the catalogue loads no numerical
library and answers at once.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence

import statlas

COMMANDS = {
    "list": "list the papers, by area or status",
    "find": "find papers by what you need, in your own words",
    "show": "what a paper answers, when to use it, its input, options and claims",
    "run": "run a paper's method on your data",
    "check": "measure a paper's claims here, with error bars",
    "cite": "print BibTeX",
    "serve": "find, run and check in a browser, on this machine",
    "digest": "your own feeds of papers: search, trending, and a mail a day",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code.

    0 is success, 1 a claim that fails or a result that is not computable, 2 bad input or usage.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal may lack a character that we print
            stream.reconfigure(errors="replace")
    debug = "--debug" in arguments
    arguments = [word for word in arguments if word != "--debug"]
    try:
        code = _dispatch(arguments)
        sys.stdout.flush()  # here, so that a reader that has gone is noticed here
        return code
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 2
    except KeyboardInterrupt:
        return _say("interrupted", 130)
    except BrokenPipeError:
        # The reader of our output has gone (`statlas list | head`); that is not an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if debug:
            raise
        return _explain(error)


def _dispatch(arguments: list[str]) -> int:
    if arguments and arguments[0] == "run":
        from statlas.app.cli.run import run_command

        return run_command(arguments[1:])
    if arguments and arguments[0] == "digest":
        from statlas.app.cli.digest import digest_command

        return digest_command(arguments[1:])
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 0
    if options.command == "check":
        from statlas.app.cli.check import check_command

        return check_command(options)
    if options.command == "serve":
        from statlas.app.cli.serve import serve_command

        return serve_command(options)
    from statlas.app.cli import browse

    return browse.COMMANDS[options.command](options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="statlas",
        description="A statistical atlas: find a method by what you need, run it on your own data, "
        "and check the claims of its paper.",
        epilog="`statlas COMMAND --help` says more. --debug with any command shows the traceback "
        "of an error.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"statlas {statlas.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    parts = {
        name: commands.add_parser(name, help=text, description=text.capitalize() + ".")
        for name, text in COMMANDS.items()
    }
    _add_list(parts["list"])
    _add_find(parts["find"])
    parts["show"].add_argument("paper", metavar="ID")
    parts["show"].add_argument("--json", action="store_true", help="print JSON")
    parts["cite"].add_argument("papers", metavar="ID", nargs="+")
    _add_check(parts["check"])
    _add_serve(parts["serve"])
    return parser


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--area", metavar="A", help="only this area")
    parser.add_argument("--status", choices=("implemented", "planned"), help="only this status")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_find(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("text", metavar="TEXT", nargs="+", help="what you need, in your own words")
    parser.add_argument("--area", metavar="A", help="only this area")
    parser.add_argument("--limit", metavar="N", type=_positive, default=10, help="most answers")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("papers", metavar="ID", nargs="*")
    parser.add_argument("--area", metavar="A", help="all implemented papers of an area")
    parser.add_argument("--all", action="store_true", help="all implemented papers")
    parser.add_argument(
        "--budget", choices=("quick", "full"), default="quick", help="seconds or minutes a claim"
    )
    parser.add_argument("--seed", type=_whole, default=0, metavar="S", help="default 0")
    parser.add_argument("--jobs", type=_positive, default=1, metavar="N", help="worker processes")
    parser.add_argument("--backend", default="loky", help="loky, threading, dask or ray")
    parser.add_argument(
        "--resume", action="store_true", help="keep what an interrupted run has already measured"
    )
    parser.add_argument(
        "--known",
        action="store_true",
        help="exit with 1 where a verdict is not the one that ships, not where a claim fails",
    )
    parser.add_argument("--ledger", metavar="FOLDER", help="where records go; default: your own")
    parser.add_argument("--json", action="store_true", help="print JSON")


def _add_serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--host", default="127.0.0.1", help="default: this machine alone")
    parser.add_argument("--port", type=_whole, default=8080, metavar="N", help="default 8080")
    parser.add_argument("--open", action="store_true", help="open it in your browser")
    parser.add_argument(
        "--token", metavar="T", help="what visitors must know; made up where the host is not local"
    )
    parser.add_argument(
        "--workers", type=_positive, default=2, metavar="N", help="runs at a time, default 2"
    )
    parser.add_argument(
        "--memory", type=_positive, default=6, metavar="GIB", help="most a run may use, default 6"
    )
    parser.add_argument("--digest", default="", metavar="URL", help="database of the digest")
    parser.add_argument(
        "--proxy",
        default="",
        metavar="IP",
        help="a proxy in front, which says who visits and whether by https",
    )
    parser.add_argument(
        "--minutes", type=_positive, default=60, metavar="N", help="most a run may take, default 60"
    )


def _positive(text: str) -> int:
    number = _whole(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1; got {text}")
    return number


def _whole(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 0; got {text!r}")
    return int(text)


def _explain(error: Exception) -> int:
    """Say what went wrong in one line, and choose the exit code."""
    from statlas.catalog import UnknownPaper
    from statlas.core.errors import ConvergenceError, StatlasError

    if isinstance(error, ConvergenceError):
        return _say(str(error), 1)
    if isinstance(error, StatlasError | UnknownPaper):
        return _say(str(error), 2)
    return _say(
        f"this is a fault in statlas, not in your input: {type(error).__name__}: {error} "
        "(run again with --debug for the traceback)",
        1,
    )


def _say(message: str, code: int) -> int:
    print(f"statlas: {message}", file=sys.stderr)
    return code
