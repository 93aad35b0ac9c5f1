"""The guide as a recipe: look up each question's methods and run those that can run."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pandas as pd

from statlas.catalog import Entry, load_catalogue
from statlas.core import (
    AssumptionError,
    Example,
    InputError,
    MissingExtra,
    Notice,
    Option,
    Recipe,
    Result,
    Roles,
    Table,
    Value,
    recipe,
)
from statlas.core.registry import load_recipe
from statlas.core.tables import build_table
from statlas.evaluation.llm_overview.claims import annotated_texts, overconfident_answers
from statlas.evaluation.llm_overview.methods import (
    conformal_sets,
    green_list_test,
    green_pairs,
    rectified_mean,
)
from statlas.evaluation.llm_overview.questions import QUESTIONS, SELF, TOPICS, Question

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Topic = Literal[
    "all", "uncertainty", "calibration", "evaluation", "watermarking", "privacy", "fairness",
    "interpretability", "alignment", "training", "tools",
]  # fmt: skip

# Extras that mean training or running networks: minutes, not seconds.
_HEAVY_EXTRAS = frozenset({"nn", "lm"})

RAN, FITS, UNFIT, FAILED = "ran", "can run", "does not fit", "failed"
LEFT_OUT, PLANNED = "left out", "planned"


# --- the short methods' own examples -----------------------------------------------------------


def _show_watermark() -> str:
    rng = np.random.default_rng(0)
    plain = rng.integers(5_000, size=201)
    marked = marked_text(rng, 201, key=7)
    found, chance = green_list_test(marked, key=7), green_list_test(plain, key=7)
    return (
        f"200 tokens marked with the key: z = {found.z:.1f}, p = {found.p_value:.1g}; "
        f"unmarked: z = {chance.z:.1f}, p = {chance.p_value:.2f} (simulated)"
    )


def marked_text(
    rng: np.random.Generator, n_tokens: int, key: int, boost: float = 2.0
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Text of evenly likely tokens whose logits gain `boost` on the green list (share 0.5).

    In the long run a share exp(boost) / (1 + exp(boost)) of its tokens is green.
    """
    tokens = [int(rng.integers(5_000))]
    chance_of_green = np.exp(boost) / (1 + np.exp(boost))
    for _ in range(n_tokens - 1):
        wanted = rng.random() < chance_of_green
        candidates = np.flatnonzero(green_pairs(tokens[-1], np.arange(5_000), key) == wanted)
        tokens.append(int(rng.choice(candidates)))
    return np.array(tokens, dtype=np.int64)


def _show_conformal_sets() -> str:
    stated, right = overconfident_answers(np.random.default_rng(0), (2_200,))
    inside = conformal_sets(stated[:200], right[:200], stated[200:], level=0.9)
    covered = inside[np.arange(2_000), right[200:]].mean()
    return (
        f"sets of {inside.sum(axis=1).mean():.1f} of 4 answers hold the right one in "
        f"{100 * covered:.0f} % of 2,000 new questions, asked for 90 % (simulated)"
    )


def _show_rectified_mean() -> str:
    people, model = annotated_texts(np.random.default_rng(0), 1_000)
    mean = rectified_mean(people[:100], model[:100], model[100:])
    return (
        f"the model's labels say {model.mean():.2f}; corrected by 100 checked ones "
        f"{mean.estimate:.2f} [{mean.low:.2f}, {mean.high:.2f}], truth 0.30 (simulated)"
    )


_OWN: dict[str, tuple[str, Callable[[], str]]] = {
    "green_list_test": (
        "Exact test whether a text holds more tokens of a keyed green list than chance.",
        _show_watermark,
    ),
    "conformal_sets": (
        "Sets of answers with a coverage that holds for any model and sample size.",
        _show_conformal_sets,
    ),
    "rectified_mean": (
        "A mean from many labels of a model, corrected by a few of people.",
        _show_rectified_mean,
    ),
}


# --- one method --------------------------------------------------------------------------------


@dataclass
class _Tour:
    """What the guide knows while it goes from method to method; each is run once."""

    table: Table | None
    run: bool
    heavy: bool
    seconds: float
    started: float = field(default_factory=time.perf_counter)
    seen: dict[str, tuple[str, str]] = field(default_factory=dict)
    cut: int = 0

    def visit(self, name: str, look: Callable[[], tuple[str, str]]) -> tuple[str, str]:
        """State and text of a method, looked up the first time it is met."""
        if name not in self.seen:
            self.seen[name] = self._guarded(look)
        return self.seen[name]

    def _guarded(self, look: Callable[[], tuple[str, str]]) -> tuple[str, str]:
        if self.run and time.perf_counter() - self.started > self.seconds:
            self.cut += 1
            return LEFT_OUT, f"not started: the {self.seconds:g} s for all methods were spent"
        try:
            return look()
        except MissingExtra as error:
            return LEFT_OUT, str(error)
        # A guide must show a method that breaks on this table, not break with it.
        except Exception as error:
            return FAILED, f"{type(error).__name__}: {error}"

    def paper(self, entry: Entry) -> tuple[str, str]:
        """Run a paper's recipe on the table or on its example, or say why not."""
        if not entry.implementation:
            return PLANNED, ""
        if entry.kind == "survey":
            return LEFT_OUT, "a guide itself; open it on its own"
        if _HEAVY_EXTRAS & set(entry.needs) and not self.heavy:
            return LEFT_OUT, "trains or runs networks; ask for it with heavy=True"
        return self.visit(entry.id, lambda: self._paper(entry.id))

    def _paper(self, paper: str) -> tuple[str, str]:
        recipe_ = load_recipe(paper)
        if self.table is None:
            return (RAN, recipe_.run_example().headline) if self.run else (FITS, "")
        reason, columns = fits(recipe_, self.table.frame)
        if reason:
            return UNFIT, reason
        if not self.run:
            return FITS, columns
        seed = {"rng": 0} if recipe_.uses_rng else {}
        try:
            return RAN, recipe_(self.table.frame, **seed).headline
        except (InputError, AssumptionError) as error:
            return UNFIT, str(error)

    def own(self, name: str) -> tuple[str, str]:
        """Show one of the guide's short methods on simulated data."""
        if self.table is not None:
            return UNFIT, f"takes arrays: statlas.evaluation.llm_overview.{name}"
        if not self.run:
            return FITS, ""
        return self.visit(name, lambda: (RAN, _OWN[name][1]()))


def fits(recipe_: Recipe[Any], frame: pd.DataFrame) -> tuple[str, str]:
    """Whether a table's columns can play a recipe's roles.

    Returns
    -------
    reason, columns
        Why not (``""`` if they can), and which column plays which role.
    """
    if not recipe_.roles.names:
        return "takes no table", ""
    try:
        built = build_table(frame, recipe_.roles)
    except InputError as error:
        return str(error), ""
    if not built.columns:
        return "none of its columns has the name of a role", ""
    return "", ", ".join(f"{role}: {columns}" for role, columns in built.columns.items())


# --- the guide ---------------------------------------------------------------------------------


def _rows(tour: _Tour, topic: str) -> Iterator[dict[str, str]]:
    """One row a question and method, the guide's own methods first."""
    catalogue = load_catalogue()
    for question in QUESTIONS:
        if topic not in ("all", question.topic):
            continue
        if question.own:
            now, outcome = tour.own(question.own)
            command = f"statlas run {SELF} --topic {question.topic}"
            answers = f"{_OWN[question.own][0]} Function {question.own}."
            yield _row(question, SELF, "implemented", answers, command, now, outcome)
        for paper in question.papers:
            entry = catalogue[paper]
            now, outcome = tour.paper(entry)
            command = _command(entry, now, tour.table)
            answers = entry.answers.split("? ")[0].rstrip("?") + "?"
            yield _row(question, paper, entry.status, answers, command, now, outcome)


def _row(
    question: Question, paper: str, status: str, answers: str, command: str, now: str, outcome: str
) -> dict[str, str]:
    return {
        "topic": question.topic,
        "question": question.asks,
        "paper": paper,
        "status": status,
        "now": now,
        "outcome": outcome,
        "answers": answers,
        "watch_for": question.watch_for,
        "command": command,
    }


def _command(entry: Entry, now: str, table: Table | None) -> str:
    """The line that runs the method: on the user's file if it fits, else on its example."""
    if not entry.implementation:
        return f"statlas show {entry.id}"
    if table is None or now not in (RAN, FITS):
        return f"statlas run {entry.id} --example"
    source = shlex.quote(table.source) if "." in table.source else "TABLE"
    seed = " --seed 0" if load_recipe(entry.id).uses_rng else ""
    return f"statlas run {entry.id} {source}{seed}"


@dataclass(frozen=True, kw_only=True)
class Guide(Result):
    """Questions, the methods that answer them, and what those said; see `guide`."""

    def draw(self, figure: Figure) -> None:
        """Draw how many methods of each topic can be run and how many are planned."""
        from matplotlib.ticker import MaxNLocator

        from statlas.core.figures import PALETTE

        counts = pd.crosstab(self.table["topic"], self.table["status"])
        shown = [topic for topic in TOPICS if topic in counts.index]
        counts = counts.reindex(index=shown, columns=["implemented", "planned"], fill_value=0)
        axes = figure.subplots()
        labels = [TOPICS[topic] for topic in shown]
        left = np.zeros(len(shown))
        looks = (("implemented", PALETTE[0], "white"), ("planned", "#d9d9d9", "black"))
        for status, colour, ink in looks:
            widths = counts[status].to_numpy(dtype=float)
            bars = axes.barh(labels, widths, left=left, color=colour, label=status)
            numbers = [f"{width:.0f}" if width else "" for width in widths]
            axes.bar_label(bars, numbers, label_type="center", color=ink)
            left += widths
        axes.set_ylim(max(len(shown), 4) - 0.4, -0.6)  # first topic on top, bars never thick
        axes.grid(axis="y", visible=False)
        axes.set_xlim(0, left.max() + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("methods that answer a question of the topic (number)")
        figure.legend(loc="outside upper right", ncols=2)


@recipe(
    SELF,
    example=Example(
        file="small_benchmark.csv",
        about="40 questions about wines, a column for each of six classifiers, 1 for right",
        origin="scikit-learn's wine recognition data (public domain, UCI), recorded by "
        "examples/record_small_benchmark.py",
    ),
)
def guide(
    table: Annotated[Table | None, Roles()] = None,
    *,
    topic: Annotated[Topic, Option(help="part of the guide")] = "all",
    run: Annotated[
        bool, Option(help="run the methods: on the table where it fits, else on their examples")
    ] = True,
    heavy: Annotated[bool, Option(help="also run those that train or run networks")] = False,
    seconds: Annotated[
        float, Option(gt=0, help="start no further method after this time", unit="seconds")
    ] = 60.0,
) -> Guide:
    """Show what statistics asks of language models, and run the methods that answer.

    Without a table every implemented method of the topic runs on its own example. With one, the
    guide says for each whether the columns fit, and runs those that do.

    Parameters
    ----------
    table
        Any table; its columns are matched to each method's roles by name.

    Returns
    -------
    Guide
        `table` has a row a question and method: status (implemented, planned), what happened
        `now` (ran, can run, does not fit, failed, left out, planned), the method's headline or the
        reason, what it answers, what to watch for, and a command.

    Examples
    --------
    >>> guide(topic="watermarking", run=False).table["paper"].tolist()[:2]
    ['llm-overview', 'text-to-source']
    """
    tour = _Tour(table, run, heavy, seconds)
    rows = pd.DataFrame(list(_rows(tour, topic)), dtype=object)
    counts = _count(rows)
    return Guide(
        headline=_headline(counts, rows, table),
        table=rows,
        values=tuple(
            Value(name, count, why_no_interval="a count") for name, count in counts.items()
        ),
        warnings=tuple(_notices(rows, tour)),
    )


def _count(rows: pd.DataFrame) -> dict[str, int]:
    implemented, ran = rows["status"] == "implemented", rows["now"] == RAN
    key = ["paper", "answers"]  # the guide's own methods share an id and differ in what they answer
    return {
        "questions": int(rows["question"].nunique()),
        "questions answered by a method that runs here": int(
            rows.loc[implemented, "question"].nunique()
        ),
        "methods": len(rows.drop_duplicates(key)),
        "methods implemented": len(rows[implemented].drop_duplicates(key)),
        "methods run now": len(rows[ran].drop_duplicates(key)),
    }


def _headline(counts: dict[str, int], rows: pd.DataFrame, table: Table | None) -> str:
    questions, answered, _, implemented, ran = counts.values()
    text = (
        f"Of {questions} statistical questions about language models {answered} are answered by a "
        f"method that runs here ({implemented} methods)"
    )
    if table is None:
        return f"{text}; {ran} ran now on their examples."
    names = rows.loc[rows["now"] == RAN, "paper"].unique().tolist()
    fit = rows.loc[rows["now"].isin((RAN, FITS)), "paper"].nunique()
    which = f": {', '.join(names)}." if names else "."
    return f"{text}; this table fits {fit} of them, {ran} ran on it now{which}"


def _notices(rows: pd.DataFrame, tour: _Tour) -> Iterator[Notice]:
    failed = rows.loc[rows["now"] == FAILED, "paper"].unique().tolist()
    if failed:
        yield Notice(
            "failed",
            f"{len(failed)} methods raised an error: {', '.join(failed)}",
            "the column `outcome` has the message; run the method alone to choose its columns",
        )
    if tour.cut:
        yield Notice(
            "time-limit",
            f"{tour.cut} methods were not started because the time was spent",
            "raise `seconds`, or choose one topic",
        )
