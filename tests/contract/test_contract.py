"""The contract, asked of every implemented paper; the list comes from the catalogue alone."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from statlas.catalog import Entry, load_catalogue
from statlas.core.claims import Verdict
from statlas.core.errors import InputError, OptionError, StatlasError
from statlas.core.facts import describe_recipe, recipe_facts
from statlas.core.ledger import shipped_ledger
from statlas.core.recipes import Recipe
from statlas.core.registry import load_claims, load_recipe
from statlas.core.results import Result, Status
from statlas.core.roles import Category, Features, Number
from statlas.core.tables import load_frame

ROOT = Path(__file__).parents[2]
ENTRIES = [entry for entry in load_catalogue().values() if entry.status == "implemented"]
# Seconds within which an example must run on two busy cores.
EXAMPLE_BUDGET = 120.0


def _parameter(entry: Entry) -> Any:
    # One process takes all tests of a paper, so that they share one run of its example.
    marks = [pytest.mark.xdist_group(entry.id), *([pytest.mark.extras] if entry.needs else [])]
    return pytest.param(entry, id=entry.id, marks=marks)


PAPERS = [_parameter(entry) for entry in ENTRIES]
every_paper = pytest.mark.parametrize("entry", PAPERS)


@cache
def example_result(paper: str) -> Result:
    return load_recipe(paper).run_example()


def example_frame(recipe: Recipe[Any]) -> pd.DataFrame:
    return load_frame(recipe.example.load())[0].copy()


def modules_of(entry: Entry) -> list[Path]:
    """The files of a paper: its module, or all files of its package."""
    module = importlib.import_module(entry.implementation.partition(":")[0])
    file = Path(inspect.getsourcefile(module) or "")
    return sorted(file.parent.glob("*.py")) if file.name == "__init__.py" else [file]


# --- catalogue and module ----------------------------------------------------------------------


@every_paper
def test_implementation_is_the_recipe_of_its_area(entry: Entry) -> None:
    recipe = load_recipe(entry.id)
    assert recipe.paper == entry.id
    assert entry.implementation.startswith(f"statlas.{entry.area}.")
    area = importlib.import_module(f"statlas.{entry.area}")
    assert getattr(area, entry.implementation.partition(":")[2]) is recipe


@every_paper
def test_docstring_has_the_sections_in_order(entry: Entry) -> None:
    module = importlib.import_module(entry.implementation.partition(":")[0])
    labels = ("Answers", "Use when", "Assumes", "Notation", "Departs", "Reference")
    places = [re.search(rf"^{label}\b", module.__doc__ or "", re.MULTILINE) for label in labels]
    assert all(places), [label for label, place in zip(labels, places, strict=True) if not place]
    starts = [place.start() for place in places if place]
    assert starts == sorted(starts)
    assert entry.arxiv in (module.__doc__ or "")


@every_paper
def test_no_work_is_left_open(entry: Entry) -> None:
    files = [*modules_of(entry), *ROOT.glob(f"docs/papers/{entry.id}.md")]
    assert not [file for file in files if "TODO" in file.read_text("utf-8")]


@every_paper
def test_heavy_libraries_are_imported_inside_functions_only(entry: Entry) -> None:
    for file in modules_of(entry):
        for node in ast.parse(file.read_text("utf-8")).body:
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            heavy = {"torch", "transformers", "numba", "matplotlib"}
            assert not [name for name in names if name.split(".")[0] in heavy], file


@every_paper
def test_papers_import_each_other_only_where_declared(entry: Entry) -> None:
    own = entry.implementation.partition(":")[0]
    allowed = {own} | {
        load_catalogue().get(other).implementation.partition(":")[0] for other in entry.builds_on
    }
    for file in modules_of(entry):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                inside = node.module.startswith(f"statlas.{entry.area}")
                assert not inside or any(node.module.startswith(name) for name in allowed), file


@every_paper
def test_there_is_a_test_of_known_answers(entry: Entry) -> None:
    name = entry.implementation.partition(":")[0].rpartition(".")[2]
    file = ROOT / "tests" / entry.area / f"test_{name}.py"
    assert file.is_file()
    assert re.search(r"\bassert", file.read_text("utf-8"))


@every_paper
def test_facts_shown_without_import_are_current(entry: Entry) -> None:
    assert recipe_facts(entry.id) == describe_recipe(load_recipe(entry.id)), "run `make facts`"


def test_no_extra_is_missing_here_without_a_reason() -> None:
    """Where torch is installed nothing is skipped; the base job deselects `extras` instead."""
    assert find_spec("numpy") is not None
    needed = {extra for entry in ENTRIES for extra in entry.needs}
    assert needed <= {"nn", "jit", "lm", "web", "bayes", "logs"}


# --- results -----------------------------------------------------------------------------------


@every_paper
def test_example_runs_within_its_budget(entry: Entry) -> None:
    result = example_result(entry.id)
    assert result.paper == entry.id
    assert result.headline.endswith((".", "?"))
    assert len(result.headline) < 700
    assert len(result.table) > 0
    assert result.status in (Status.OK, Status.ASSUMPTION_DOUBTFUL), result.advice
    assert result.values, "a result needs named values"
    assert result.seconds is not None
    assert result.seconds < EXAMPLE_BUDGET


@every_paper
def test_result_survives_json(entry: Entry) -> None:
    result = example_result(entry.id)
    text = result.to_json()
    again = Result.from_json(text)
    assert type(again) is type(result)
    assert again.to_json() == text
    assert json.loads(text)["headline"] == result.headline


@every_paper
def test_figure_and_page_can_be_made_from_the_saved_result(entry: Entry) -> None:
    again = Result.from_json(example_result(entry.id).to_json())
    figure = again.plot()
    axes = figure.get_axes()
    assert axes
    for axis in axes:
        is_legend_or_bar = not axis.has_data() or axis.get_label() == "<colorbar>"
        assert is_legend_or_bar or axis.get_xlabel() or axis.get_ylabel(), "axes need names"
    page = again.to_html()
    assert again.paper in page
    assert "<svg" in page
    assert not re.search(r"""(?:src|href)\s*=\s*["']?https?:""", page)
    assert "nan" not in again.headline.lower().split()


@every_paper
def test_same_seed_same_answer(entry: Entry) -> None:
    again = load_recipe(entry.id).run_example()
    assert _answer(again) == _answer(example_result(entry.id))


def _answer(result: Result) -> dict[str, Any]:
    """What must be the same in two runs with the same seed."""
    answer = result.to_dict()
    return {key: value for key, value in answer.items() if key != "seconds"}


# --- bad input ---------------------------------------------------------------------------------


def _bad_tables(recipe: Recipe[Any]) -> dict[str, tuple[pd.DataFrame, dict[str, Any]]]:
    """Each kind of bad table that applies to the recipe's roles, made from its example."""
    frame, options = example_frame(recipe), dict(recipe.example.options)
    kinds: dict[str, tuple[pd.DataFrame, dict[str, Any]]] = {
        "no rows": (frame.iloc[:0], options),
        "one row": (frame.iloc[:1], options),
        "constant": (frame.assign(**{c: frame[c].iloc[0] for c in frame.columns}), options),
        "non-ASCII names": (
            frame.rename(columns={c: f"{c} é 数" for c in frame.columns}),
            {
                name: f"{value} é 数" if value in frame.columns else value
                for name, value in options.items()
                if isinstance(value, str | int | float | bool | tuple)
            },
        ),
    }
    number = _number_column(recipe, frame)
    if number is not None:
        numbers = frame[number].astype(float)
        # An example with gaps of its own says missing="drop"; here each test says what it wants.
        unsaid = {name: value for name, value in options.items() if name != "missing"}
        kinds["missing"] = (frame.assign(**{number: numbers.where(frame.index != 1)}), unsaid)
        kinds["infinite"] = (
            frame.assign(**{number: numbers.where(frame.index != 1, np.inf)}),
            options,
        )
        kinds["wrong type"] = (
            frame.assign(**{number: frame[number].astype(object).where(frame.index != 1, "many")}),
            options,
        )
    for role, rule in recipe.roles:
        if isinstance(rule, Number | Category | Features):
            kinds["unknown column"] = (frame, options | {role: "no such column"})
            break
    return kinds


def _number_column(recipe: Recipe[Any], frame: pd.DataFrame) -> str | None:
    """A column that the recipe reads as numbers on its example."""
    named = {recipe.example.options.get(role) for role, _ in recipe.roles} | set(recipe.roles.names)
    preferred = [c for c in frame.columns if c in named and frame[c].dtype.kind in "if"]
    numeric = [c for c in frame.columns if frame[c].dtype.kind in "if"]
    wanted = [role for role, rule in recipe.roles if isinstance(rule, Number) and not rule.optional]
    first = [c for c in preferred if c in wanted]
    return (first or preferred or numeric or [None])[0] if recipe.roles.names else None


BAD_KINDS = (
    "no rows",
    "one row",
    "constant",
    "missing",
    "infinite",
    "wrong type",
    "unknown column",
    "non-ASCII names",
)
MUST_REFUSE = {"no rows", "missing", "infinite", "wrong type", "unknown column"}


@pytest.mark.parametrize("kind", BAD_KINDS)
@every_paper
def test_bad_table_gets_a_clear_error_or_a_finite_answer(entry: Entry, kind: str) -> None:
    recipe = load_recipe(entry.id)
    tables = _bad_tables(recipe)
    if kind not in tables:
        assert not recipe.roles.names, "only a recipe without column roles is spared a bad table"
        return
    frame, options = tables[kind]
    before = frame.copy(deep=True)
    given = {"rng": 0} if recipe.uses_rng else {}
    try:
        result = recipe(frame, **options, **given)
    except StatlasError as error:
        pd.testing.assert_frame_equal(frame, before)
        assert len(str(error)) > 20
        if kind in ("missing", "infinite", "wrong type", "unknown column"):
            assert isinstance(error, InputError)
            assert "column '" in str(error), "the message names the column"
        return
    pd.testing.assert_frame_equal(frame, before)  # the input is not written to
    assert kind not in MUST_REFUSE or not recipe.roles.names, "it must be refused"
    result.to_json()
    result.to_html()


@every_paper
def test_missing_rows_can_be_dropped_and_are_counted(entry: Entry) -> None:
    recipe = load_recipe(entry.id)
    tables = _bad_tables(recipe)
    if "missing" not in tables:
        assert not recipe.roles.names
        return
    frame, options = tables["missing"]
    given = {"rng": 0} if recipe.uses_rng else {}
    try:
        result = recipe(frame, missing="drop", **options, **given)
    except InputError as error:
        pytest.fail(f"a table with one dropped row is still usable: {error}")
    assert any("missing" in item.reason for item in result.set_aside)
    assert result.rows_used is not None
    assert result.rows_read is not None
    assert result.rows_used < result.rows_read


@every_paper
def test_every_option_refuses_bad_values(entry: Entry) -> None:
    recipe = load_recipe(entry.id)
    frame = example_frame(recipe)
    for spec in recipe.options.values():
        bad: list[Any] = [object(), [["x"]]]
        if spec.kind in (int, float):
            bad += ["text", float("nan"), True]
            bad += [spec.rule.ge - 1] if spec.rule.ge is not None else []
            bad += [spec.rule.gt] if spec.rule.gt is not None else []
            bad += [spec.rule.le + 1] if spec.rule.le is not None else []
            bad += [spec.rule.lt] if spec.rule.lt is not None else []
        if spec.choices:
            bad += ["no such choice"]
        for value in bad:
            with pytest.raises(OptionError, match=re.escape(repr(spec.name))):
                recipe(frame, **{spec.name: value})
    with pytest.raises(OptionError, match="no option"):
        recipe(frame, no_such_option=1)


# --- claims and docs ---------------------------------------------------------------------------


@every_paper
def test_claims_have_twins_and_shipped_verdicts(entry: Entry) -> None:
    claims = load_claims(entry.id)
    assert claims, "a paper needs a claim"
    records = {record.claim: record for record in shipped_ledger().read(entry.id)}
    assert set(records) == {claim.name for claim in claims}, "run `make claims`"
    for claim in claims:
        record = records[claim.name]
        assert record.twin_verdict != Verdict.HOLDS, f"{claim.name}: the twin holds"
        assert record.says == claim.says
        assert record.expect == str(claim.expect)


@every_paper
def test_docs_page_builds(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "tools"))
    docs = importlib.import_module("build_docs")
    monkeypatch.setattr(
        docs, "load_recipe", lambda paper: _Ready(example_result(paper)), raising=True
    )
    page = docs.paper_page(entry, docs.environment())
    assert entry.title.split(":")[0].replace("'", "&#39;")[:20] in page
    assert "Claims, as measured" in page
    assert "<svg" in page


class _Ready:
    """Stands in for a recipe whose example has run already."""

    def __init__(self, result: Result):
        self.run_example = lambda: result


@pytest.mark.slow
@every_paper
def test_module_imports_without_its_extras(entry: Entry) -> None:
    """Torch and its like are blocked; importing the paper's module must still work."""
    module = entry.implementation.partition(":")[0]
    code = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('torch', 'transformers', 'numba', 'zstandard'):\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Block())\n"
        f"import {module}\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
