"""Recipes: a paper's method as one typed function of a table and options.

The signature is the single source of validation, command-line flags, web forms, docs and the bad
values that the tests generate.
"""

from __future__ import annotations

import dataclasses
import inspect
import time
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Generic, TypeVar

import numpy as np
import pandas as pd

import statlas
from statlas.core.errors import InputError, OptionError
from statlas.core.examples import example_path
from statlas.core.options import (
    Option,
    OptionSpec,
    check_options,
    spec_from_annotation,
    unknown_option,
)
from statlas.core.progress import tell
from statlas.core.results import Result, SetAside
from statlas.core.rng import resolve_rng
from statlas.core.roles import Columns, Features, Number, Role, Roles
from statlas.core.tables import Table, build_table, takes_several

R = TypeVar("R", bound=Result)

_MISSING = OptionSpec(
    "missing",
    str,
    "refuse",
    Option(help="what to do with rows that miss a value: refuse the table, or drop and count them"),
    choices=("refuse", "drop"),
)
# Flags of `statlas run` that every recipe has; an option or role of that name would hide them.
_OTHER_FLAGS = ("example", "json", "report", "figure", "csv", "help", "debug")

_LAYOUT = OptionSpec(
    "layout",
    str,
    "auto",
    Option(
        help="how the table is laid out: long (a row an observation) or wide (a column a level)"
    ),
    choices=("auto", "long", "wide"),
)


@dataclass(frozen=True)
class Example:
    """The input on which a recipe shows itself.

    Parameters
    ----------
    about
        What the table holds, in one sentence.
    origin
        Where the data come from, and under which licence.
    file
        A file of the ``examples`` folder.
    loader
        A function that returns the table, for data that ship inside an installed package.
    options
        Column roles and options to use with it.
    """

    about: str
    origin: str
    file: str = ""
    loader: Callable[[], pd.DataFrame] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if bool(self.file) == (self.loader is not None):
            raise TypeError("an Example needs either a file or a loader")

    def load(self) -> object:
        """The example input: a path, or a frame."""
        return self.loader() if self.loader is not None else example_path(self.file)


class Recipe(Generic[R]):
    """A callable recipe and everything that can be read from its signature.

    Attributes
    ----------
    paper
        Catalogue id.
    roles
        Column roles of the input.
    options
        Option specs by name, without those of the column roles.
    needs_table
        Whether the input is required.
    uses_rng
        Whether the recipe draws random numbers.
    example
        Its example input.
    """

    def __init__(self, paper: str, function: Callable[..., R], example: Example):
        self.paper = paper
        self.example = example
        self._function = function
        self.__name__ = function.__name__
        self.__qualname__ = function.__qualname__
        self.__module__ = function.__module__
        self.__doc__ = function.__doc__
        self.__wrapped__ = function
        signature = inspect.signature(function)
        hints = typing.get_type_hints(function, include_extras=True)
        table, *others = signature.parameters.values()
        self.roles, self.needs_table = _read_input(hints[table.name], table)
        self.uses_rng = any(parameter.name == "rng" for parameter in others)
        self.options = {
            parameter.name: _read_option(parameter, hints[parameter.name])
            for parameter in others
            if parameter.name != "rng"
        }
        self.shared_options = {"missing": _MISSING} if len(self.roles.names) else {}
        if self.roles.wide:
            self.shared_options["layout"] = _LAYOUT
        reserved = {*_OTHER_FLAGS, *self.shared_options} | ({"seed"} if self.uses_rng else set())
        own = {*self.options, *self.roles.names}
        if clash := {*self.options} & {*self.roles.names} | own & {*reserved, "rng"}:
            raise TypeError(f"recipe {paper!r}: the names {sorted(clash)} are taken or used twice")
        self._own_options = dict(self.options)
        self.options = {**self.options, **self.shared_options}
        self.__signature__ = self._public_signature(table)

    def __repr__(self) -> str:
        return f"<recipe {self.paper!r}: {self.__module__}.{self.__name__}>"

    def __call__(self, data: object = None, /, *, rng: Any = None, **given: Any) -> R:
        """Run the recipe on a table, a path or nothing where its input is optional.

        Parameters
        ----------
        data
            Path, data frame of any kind, or mapping of column name to values.
        rng
            Seed or generator, for recipes that draw random numbers.
        **given
            Column roles (``role="column name"``) and options.

        Raises
        ------
        InputError, OptionError, AssumptionError, ConvergenceError, MissingExtra
            Each with what was found and what would do.
        """
        started = time.perf_counter()
        columns, options = self.split_arguments(given)
        arguments: dict[str, Any] = {name: options[name] for name in self._own_options}
        seed = None
        if self.uses_rng:
            arguments["rng"], seed = resolve_rng(rng)
        elif rng is not None:
            raise OptionError(f"{self.paper} draws no random numbers, so it takes no 'rng'")
        tell("reading the table")
        table = self._build_table(data, columns, options)
        tell("computing")
        result = self._function(table, **arguments)
        return self._complete(result, table, options, seed, time.perf_counter() - started)

    def check_input(self, data: object = None, /, **given: Any) -> Table | None:
        """Check columns, options and table as a run would, and return the table."""
        columns, options = self.split_arguments(given)
        return self._build_table(data, columns, options)

    def run_example(self, **given: Any) -> R:
        """Run on the example input; options given here replace the example's."""
        if "rng" not in given and self.uses_rng:
            given["rng"] = 0
        return self(self.example.load(), **{**self.example.options, **given})

    def split_arguments(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Separate column roles from options, and check the options."""
        columns = {n: v for n, v in given.items() if n in self.roles and v is not None}
        rest = {name: value for name, value in given.items() if name not in self.roles}
        for name in rest:
            if name not in self.options:
                raise unknown_option(name, [*self.options, *self.roles.names])
        for role, names in columns.items():
            _check_column_argument(role, names, takes_several(self.roles, role))
        return columns, check_options(self.options, rest)

    def _build_table(
        self, data: object, columns: dict[str, Any], options: Mapping[str, Any]
    ) -> Table | None:
        if data is None:
            if self.needs_table:
                raise InputError(
                    f"{self.paper} needs a table",
                    remedy="give a file path, a data frame or a mapping of columns",
                )
            return None
        return build_table(
            data,
            self.roles,
            columns,
            missing=options.get("missing", "refuse"),
            layout=options.get("layout", "auto"),
        )

    def _complete(
        self, result: R, table: Table | None, options: dict[str, Any], seed: int | None, took: float
    ) -> R:
        """Add to the answer how it was reached."""
        provenance: dict[str, Any] = {
            "paper": self.paper,
            "options": {**options, **result.options},
            "seed": seed,
            "seconds": took,
            "versions": library_versions(),
        }
        if table is not None:
            aside: tuple[SetAside, ...] = (*table.set_aside, *result.set_aside)
            provenance |= {
                "rows_read": table.n_read,
                "rows_used": table.n_read - sum(item.rows for item in aside),
                "set_aside": aside,
                "columns": dict(table.columns),
                "source": table.source,
                "warnings": (*table.notices, *result.warnings),
            }
        return dataclasses.replace(result, **provenance)

    def _public_signature(self, table: inspect.Parameter) -> inspect.Signature:
        """The signature a caller sees: the input, then roles, options and rng by keyword."""
        keyword = inspect.Parameter.KEYWORD_ONLY
        parameters = [
            inspect.Parameter(
                table.name,
                inspect.Parameter.POSITIONAL_ONLY,
                default=inspect.Parameter.empty if self.needs_table else None,
            )
        ]
        parameters += [
            inspect.Parameter(name, keyword, default=None, annotation=str | None)
            for name in self.roles.names
        ]
        parameters += [
            inspect.Parameter(spec.name, keyword, default=spec.default, annotation=spec.kind)
            for spec in self.options.values()
        ]
        if self.uses_rng:
            parameters.append(inspect.Parameter("rng", keyword, default=None))
        return inspect.Signature(parameters)


def recipe(paper: str, *, example: Example) -> Callable[[Callable[..., R]], Recipe[R]]:
    """Make a recipe of a typed function: table first, keyword-only options, optional ``rng``.

    Parameters
    ----------
    paper
        Catalogue id.
    example
        The input on which ``statlas run ID --example`` shows it.

    Raises
    ------
    TypeError
        At import, if the signature cannot be checked (an unsupported type, an option without
        help, a clash of names).
    """

    def decorate(function: Callable[..., R]) -> Recipe[R]:
        return Recipe(paper, function, example)

    return decorate


def _read_input(annotation: Any, parameter: inspect.Parameter) -> tuple[Roles, bool]:
    """Roles of the first parameter, and whether the table is required."""
    required = parameter.default is inspect.Parameter.empty
    if typing.get_origin(annotation) is typing.Annotated:
        for extra in typing.get_args(annotation)[1:]:
            if isinstance(extra, Roles):
                return extra, required
    raise TypeError(f"the input {parameter.name!r} must be Annotated[Table, Roles(...)]")


def _read_option(parameter: inspect.Parameter, annotation: Any) -> OptionSpec:
    if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
        raise TypeError(f"option {parameter.name!r} must be keyword-only")
    if parameter.default is inspect.Parameter.empty:
        raise TypeError(f"option {parameter.name!r} needs a default")
    return spec_from_annotation(parameter.name, annotation, parameter.default)


def _check_column_argument(role: str, names: object, several: bool) -> None:
    if isinstance(names, str):
        return
    listed = isinstance(names, Sequence) and all(isinstance(name, str) for name in names)
    if not (several and listed):
        wanted = "column names" if several else "a column name"
        raise OptionError(f"the role {role!r} takes {wanted}; got {names!r}")


def library_versions() -> dict[str, str]:
    """Versions of what computes, for the record of a run."""
    versions = {"statlas": statlas.__version__, "numpy": np.__version__, "pandas": pd.__version__}
    for package in ("scipy", "scikit-learn", "torch"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def role_text(role: Role) -> str:
    """A role's rule in words, for help and docs."""
    if isinstance(role, Features):
        return "all other columns, or those listed; numbers"
    if isinstance(role, Columns):
        return "all other columns, or those listed; numbers or labels"
    words = "whole numbers" if isinstance(role, Number) and role.integer else role.kind
    if isinstance(role, Number) and role.bounds.range_text():
        words += f" {role.bounds.range_text()}"
    return words + (", optional" if role.optional else "")
