"""Recipes: the signature is the single source of checks, and the result says how it was made."""

from __future__ import annotations

import inspect
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import pytest

from statlas.core.errors import InputError, OptionError
from statlas.core.facts import describe_recipe
from statlas.core.options import Option
from statlas.core.recipes import Example, Recipe, recipe, role_text
from statlas.core.results import Notice, Result, SetAside
from statlas.core.roles import Category, Features, Number, Roles, Wide
from statlas.core.tables import Table

EXAMPLE = Example(
    about="a", origin="o", loader=lambda: pd.DataFrame({"y": [1.0, 2.0]}), options={"score": "y"}
)
Input = Annotated[Table, Roles(score=Number(help="scores"), group=Category(optional=True))]


@recipe("error-bars", example=EXAMPLE)
def noisy_mean(
    table: Input,
    *,
    times: Annotated[int, Option(ge=1, help="draws")] = 2,
    kind: Annotated[Literal["a", "b"], Option(help="kind")] = "a",
    rng: np.random.Generator,
) -> Result:
    """Mean plus noise."""
    draws = rng.random(times).tolist()
    return Result(
        headline=kind,
        table=pd.DataFrame({"draw": draws}),
        details={"mean": float(table.number("score").mean())},
        warnings=(Notice("own", "own"),),
        set_aside=(SetAside("ties", 1),),
    )


@recipe("error-bars", example=EXAMPLE)
def plain(table: Input) -> Result:
    return Result(headline="h", table=pd.DataFrame({"n": [table.n_rows]}))


@recipe("error-bars", example=EXAMPLE)
def without_table(table: Annotated[Table, Roles(score=Number())] = None) -> Result:  # type: ignore[assignment]
    return Result(headline="none" if table is None else "some", table=pd.DataFrame())


DATA = {"score": [1.0, 2.0, None, 4.0]}


def test_the_public_signature_lists_roles_options_and_rng() -> None:
    parameters = inspect.signature(noisy_mean).parameters
    assert list(parameters) == ["table", "score", "group", "times", "kind", "missing", "rng"]
    assert parameters["table"].kind is inspect.Parameter.POSITIONAL_ONLY
    assert parameters["times"].default == 2
    assert "rng" not in inspect.signature(plain).parameters
    assert inspect.signature(without_table).parameters["table"].default is None
    assert noisy_mean.__doc__ == "Mean plus noise."
    assert "noisy_mean" in repr(noisy_mean)


def test_the_result_says_how_it_was_made() -> None:
    result = noisy_mean(DATA, missing="drop", times=3, rng=0)
    assert result.paper == "error-bars"
    assert result.options == {"times": 3, "kind": "a", "missing": "drop"}
    assert result.seed == 0
    assert (result.rows_read, result.rows_used) == (4, 2)
    assert [item.rows for item in result.set_aside] == [1, 1]
    assert result.columns == {"score": "score"}
    assert result.source == "mapping"
    assert [notice.code for notice in result.warnings] == ["own"]
    assert result.seconds is not None
    assert result.seconds >= 0
    assert {"statlas", "numpy", "pandas", "scipy", "scikit-learn"} <= set(result.versions)
    assert result.details["mean"] == pytest.approx(7 / 3)


def test_seeds() -> None:
    data = {"score": [1.0]}
    zero, again, one = (noisy_mean(data, rng=seed) for seed in (0, 0, 1))
    assert zero.table.equals(again.table)
    assert not zero.table.equals(one.table)
    assert zero.table["draw"].tolist() == np.random.default_rng(0).random(2).tolist()
    fresh = noisy_mean(data)
    assert noisy_mean(data, rng=fresh.seed).table.equals(fresh.table)
    generator = np.random.default_rng(0)
    passed = noisy_mean(data, rng=generator)
    assert passed.seed is None
    assert passed.table.equals(zero.table)
    assert not noisy_mean(data, rng=generator).table.equals(zero.table)


def test_a_recipe_without_randomness_refuses_rng() -> None:
    with pytest.raises(OptionError, match="draws no random numbers"):
        plain(DATA, rng=0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tmes": 3}, "no option 'tmes'; did you mean times"),
        ({"times": 0}, "at least 1; got 0"),
        ({"times": "3"}, "whole number"),
        ({"kind": "c"}, "one of a, b"),
        ({"missing": "ignore"}, "one of refuse, drop"),
        ({"layout": "wide"}, "no option 'layout'"),
        ({"score": 3}, "the role 'score' takes a column name; got 3"),
        ({"score": ["a", "b"]}, "takes a column name"),
        ({"rng": -1}, "rng"),
    ],
)
def test_bad_arguments(given: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        noisy_mean({"score": [1.0]}, **given)


def test_inputs() -> None:
    with pytest.raises(InputError, match="error-bars needs a table"):
        plain()
    assert without_table().headline == "none"
    assert without_table({"score": [1]}).headline == "some"
    assert plain({"x": [1]}, score="x", group=None).columns == {"score": "x"}


def test_examples() -> None:
    result = noisy_mean.run_example()
    assert (result.seed, result.columns) == (0, {"score": "y"})
    assert noisy_mean.run_example(rng=5, times=1).seed == 5
    assert plain.run_example().seed is None
    for wrong in ({}, {"file": "a.csv", "loader": dict}):
        with pytest.raises(TypeError, match="either a file or a loader"):
            Example(about="a", origin="o", **wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"no example 'zz.csv'; there are .*digits_scores.csv"):
        Example(about="a", origin="o", file="zz.csv").load()


OptionA = Annotated[int, Option(help="h")]


def no_roles(table: Table) -> Result: ...
def positional(table: Input, n: OptionA = 1) -> Result: ...
def no_default(table: Input, *, n: OptionA) -> Result: ...
def no_help(table: Input, *, n: int = 1) -> Result: ...
def bad_type(table: Input, *, n: Annotated[list[int], Option(help="h")] = []) -> Result: ...  # noqa: B006
def role_and_option(table: Input, *, score: OptionA = 1) -> Result: ...
def shared_name(table: Input, *, missing: OptionA = 1) -> Result: ...
def flag_name(table: Input, *, report: OptionA = 1) -> Result: ...
def role_flag(table: Annotated[Table, Roles(csv=Number())]) -> Result: ...
def rng_and_seed(table: Input, *, seed: OptionA = 1, rng: np.random.Generator) -> Result: ...


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (no_roles, "must be Annotated"),
        (positional, "keyword-only"),
        (no_default, "needs a default"),
        (no_help, "needs Option"),
        (bad_type, "no check for the type"),
        (role_and_option, "score"),
        (shared_name, "missing"),
        (flag_name, "report"),
        (role_flag, "csv"),
        (rng_and_seed, "seed"),
    ],
)
def test_a_signature_that_cannot_be_checked_is_refused_at_import(
    function: Any, message: str
) -> None:
    with pytest.raises(TypeError, match=message):
        recipe("error-bars", example=EXAMPLE)(function)


def test_facts_and_role_texts() -> None:
    facts = describe_recipe(noisy_mean)
    assert facts["random"]
    assert [role["flag"] for role in facts["roles"]] == ["--score", "--group"]
    assert facts["options"][0] == {
        "name": "times",
        "flag": "--times",
        "type": "a whole number at least 1",
        "default": "2",
        "help": "draws",
    }
    assert (
        role_text(Number(ge=0, integer=True, optional=True)) == "whole numbers at least 0, optional"
    )
    assert role_text(Category()) == "category"
    assert "numbers" in role_text(Features())


WideInput = Annotated[
    Table, Roles(m=Category(), q=Category(), v=Number(), wide=Wide("q", "m", "v"))
]


def wide_body(table: WideInput) -> Result: ...


def test_wide_roles_add_the_layout_option() -> None:
    assert set(Recipe("error-bars", wide_body, EXAMPLE).options) == {"missing", "layout"}
