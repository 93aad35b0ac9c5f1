"""From a user's table, and texts where there are some, to runs with measures of their text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from statlas.core import InputError, Table
from statlas.core.numerics.laws import CHINCHILLA
from statlas.core.readers import read_frame
from statlas.core.runs import RunSizes
from statlas.scaling.effective_tokens.laws import FloatArray, IntArray, Runs, average_repeats
from statlas.scaling.effective_tokens.texts import NgramTeacher, measure_texts

DiversityFrom = Literal["auto", "diversity", "compression_ratio", "distinct_ngrams", "none"]
SyntheticityFrom = Literal["auto", "syntheticity", "teacher_perplexity", "teacher_loss", "none"]

_FEWEST_LENGTHS = 3

# How a column becomes a measure; the paper's are inverses, so that more is more.
_DIVERSITY: dict[str, Callable[[FloatArray], FloatArray]] = {
    "diversity": lambda column: column,
    "compression_ratio": lambda column: 1 / column,
    "distinct_ngrams": lambda column: column,
}
_SYNTHETICITY: dict[str, Callable[[FloatArray], FloatArray]] = {
    "syntheticity": lambda column: column,
    "teacher_perplexity": lambda column: 1 / column,
    "teacher_loss": lambda column: np.exp(-column),
}
WORDS = {
    "diversity": "as given",
    "compression_ratio": "1 / compression ratio",
    "distinct_ngrams": "share of distinct n-grams",
    "syntheticity": "as given",
    "teacher_perplexity": "1 / teacher perplexity",
    "teacher_loss": "exp(-teacher loss)",
}


@dataclass(frozen=True)
class Texts:
    """The texts of a table of runs.

    Attributes
    ----------
    labels
        Name of each text.
    runs
        The runs with measures.
    n_runs
        Runs of each text before repeats were averaged, (n_texts,).
    sources
        Column or measurement behind each measure.
    constant
        Measures that do not vary and are left out.
    """

    labels: list[str]
    runs: Runs
    n_runs: IntArray
    sources: dict[str, str]
    constant: list[str]


def read_texts(
    table: Table,
    sizes: RunSizes,
    choices: tuple[DiversityFrom, SyntheticityFrom],
    reference: str | None,
    paths: tuple[str | None, str | None],
) -> Texts:
    """Group runs by text, and take its measures from columns or from the texts themselves.

    Parameters
    ----------
    table, sizes
        The checked table, and its sizes in plain numbers.
    choices
        Which column gives the diversity and the syntheticity.
    reference
        Text whose tokens count one each; that with the most runs by default.
    paths
        Texts to measure (a folder of NAME.txt, or a table of recipe and text), and the file that
        the teacher reads.

    Raises
    ------
    InputError
        Without a measure, where a measure differs within a text, or where names do not match.
    """
    columns = _measured(table, paths) if paths[0] is not None else _given(table)
    measures, sources = {}, {}
    for kind, ways, choice in (
        ("diversity", _DIVERSITY, choices[0]),
        ("syntheticity", _SYNTHETICITY, choices[1]),
    ):
        column = _choose(kind, list(ways), choice, columns)
        if column is not None:
            measures[kind] = ways[column](columns[column])
            sources[kind] = column
    if not measures:
        raise InputError(
            "there is no measure of the texts' quality",
            remedy="give a column compression_ratio, distinct_ngrams, teacher_loss or "
            "teacher_perplexity, or the texts themselves (option texts)",
        )
    codes, labels = _labels(table, measures)
    by_text = _by_text(table, codes, labels, measures)
    varying = [name for name in measures if np.ptp(by_text[name]) > 0]
    if not varying:
        raise InputError(
            f"all {len(labels)} texts have the same {' and '.join(measures)}",
            column=str(table.columns.get(next(iter(sources.values())), "")) or None,
            remedy="give runs on texts that differ",
        )
    least = len(varying) + 2
    if len(labels) < least:
        raise InputError(
            f"{len(labels)} texts cannot show what {len(varying)} measure(s) are worth",
            column=_column_of_texts(table),
            remedy=f"give runs on at least {least} texts, or fewer measures",
        )
    counts = np.bincount(codes)
    runs = average_repeats(
        sizes.parameters,
        sizes.tokens,
        table.number("loss"),
        codes,
        np.column_stack([by_text[name] for name in varying]),
        tuple(varying),
        _reference(labels, counts, reference),
    )
    _check_enough(table, runs)
    return Texts(labels, runs, counts, sources, [name for name in measures if name not in varying])


def _check_enough(table: Table, runs: Runs) -> None:
    """Whether sizes and lengths suffice for a law, also without any one text."""
    lengths = len(np.unique(runs.tokens))
    if lengths < _FEWEST_LENGTHS:
        raise InputError(
            f"{lengths} different numbers of tokens cannot show what a token is worth",
            column=str(table.columns.get("tokens", table.columns.get("compute"))),
            remedy=f"give runs of at least {_FEWEST_LENGTHS} lengths",
        )
    needed = len(CHINCHILLA.names) + runs.n_texts - 1
    if len(runs.loss) < needed:
        raise InputError(
            f"{len(runs.loss)} combinations of text, parameters and tokens cannot determine a law "
            f"and the worth of {runs.n_texts} texts",
            remedy=f"give at least {needed}, of several sizes and lengths",
        )


def _column_of_texts(table: Table) -> str | None:
    return str(table.columns["recipe"]) if table.has("recipe") else None


def _given(table: Table) -> dict[str, FloatArray]:
    names = (*_DIVERSITY, *_SYNTHETICITY)
    return {name: table.number(name) for name in names if table.has(name)}


def _choose(kind: str, ways: list[str], choice: str, columns: dict[str, FloatArray]) -> str | None:
    if choice == "none":
        return None
    if choice == "auto":
        return next((way for way in ways if way in columns), None)
    if choice not in columns:
        known = ", ".join(way for way in ways if way in columns) or "none"
        raise InputError(
            f"{kind}_from={choice!r} needs a column of that role; there are {known}",
            remedy=f"name it with {choice}=COLUMN",
        )
    return choice


def _labels(table: Table, measures: dict[str, FloatArray]) -> tuple[IntArray, list[str]]:
    """Code of each run's text: its name, or without names its measures."""
    if table.has("recipe"):
        factor = table.factor("recipe")
        return factor.codes, factor.levels
    rows, codes = np.unique(np.column_stack(list(measures.values())), axis=0, return_inverse=True)
    labels = [", ".join(f"{name} {x:.3g}" for name, x in zip(measures, row)) for row in rows]  # noqa: B905
    if len(set(labels)) < len(labels):
        labels = [f"text {number + 1}" for number in range(len(rows))]
    return codes.ravel().astype(np.int64), labels


def _by_text(
    table: Table, codes: IntArray, labels: list[str], measures: dict[str, FloatArray]
) -> dict[str, FloatArray]:
    """One value of each measure a text."""
    found = {}
    for name, values in measures.items():
        low = np.full(len(labels), np.inf)
        high = np.full(len(labels), -np.inf)
        np.minimum.at(low, codes, values)
        np.maximum.at(high, codes, values)
        differs = np.flatnonzero(high - low > 1e-9 * np.abs(high))
        if len(differs):
            raise InputError(
                f"the {name} of text {labels[differs[0]]!r} differs between its runs "
                f"({low[differs[0]]:.4g} to {high[differs[0]]:.4g})",
                column=_column_of_texts(table),
                remedy="a measure belongs to a text: give each text its own name",
            )
        found[name] = low
    return found


def _reference(labels: list[str], counts: IntArray, wanted: str | None) -> int:
    if wanted is None:
        return int(counts.argmax())
    if wanted not in labels:
        raise InputError(
            f"there is no text {wanted!r} to refer to; there are {', '.join(labels[:12])}",
            remedy="name one of them",
        )
    return labels.index(wanted)


# --- texts themselves -----------------------------------------------------------------------------


def _measured(table: Table, paths: tuple[str | None, str | None]) -> dict[str, FloatArray]:
    """Measures of the texts of each run, as columns of the table."""
    if not table.has("recipe"):
        raise InputError(
            "texts are matched to runs by name, and there is no column of recipes",
            remedy="name it with recipe=COLUMN",
        )
    texts = load_texts(str(paths[0]))
    factor = table.factor("recipe")
    absent = [name for name in factor.levels if name not in texts]
    if absent:
        raise InputError(
            f"{len(absent)} of {len(factor.levels)} recipes have no text, such as {absent[0]!r}",
            column=_column_of_texts(table),
            remedy=f"the texts are named {', '.join(list(texts)[:8])}",
        )
    teacher = None
    if paths[1] is not None:
        teacher = NgramTeacher().fit(_read_text(Path(paths[1])))
    measures = measure_texts({name: texts[name] for name in factor.levels}, teacher)
    names = [name for name in measures.columns if name in (*_DIVERSITY, *_SYNTHETICITY)]
    return {name: measures[name].to_numpy(dtype=float)[factor.codes] for name in names}


def load_texts(path: str) -> dict[str, str]:
    """Texts by name, from a folder of files or from a table with columns recipe and text.

    Parameters
    ----------
    path
        A folder, whose files ``NAME.txt`` hold one text each; or a table of any format that
        recipes read, with columns ``recipe`` and ``text``, whose rows of one recipe are joined.

    Raises
    ------
    InputError
        Where there is no such file, no text in it, or a column is absent.
    """
    place = Path(path)
    if place.is_dir():
        files = sorted(place.glob("*.txt"))
        if not files:
            raise InputError(f"the folder {path!r} holds no .txt file")
        return {file.stem: _read_text(file) for file in files}
    frame: pd.DataFrame = read_frame(place)
    for column in ("recipe", "text"):
        if column not in frame.columns:
            raise InputError(
                f"the table of texts {place.name!r} has no such column",
                column=column,
                remedy=f"it has {', '.join(map(str, frame.columns[:8]))}",
            )
    joined = frame.astype({"text": str}).groupby(frame["recipe"].astype(str))["text"].agg("\n".join)
    return {str(name): str(text) for name, text in joined.items()}


def _read_text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"the text {str(file)!r} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(
            f"the text {str(file)!r} is not in UTF-8", remedy="save it in that encoding"
        ) from None
