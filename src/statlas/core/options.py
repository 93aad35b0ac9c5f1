"""Options of a recipe: typed once in its signature, checked, never coerced.

`Option` is what a recipe's author writes inside ``Annotated``; `OptionSpec` is what the rest of
statlas reads: command-line flags, web forms, docs and generated bad values all come from it.
"""

from __future__ import annotations

import math
import numbers
import types
import typing
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Literal

from statlas.core.errors import OptionError

Scalar = int | float | bool | str


# Compared by identity: `typing` caches equal annotations, and takes a Literal for equal to another
# one that has its choices in another order.
@dataclass(frozen=True, eq=False)
class Option:
    """Range, unit and help of one option.

    Parameters
    ----------
    help
        One line for the reader of ``--help``.
    ge, gt, le, lt
        Inclusive and exclusive bounds of a number (or of each number of a sequence).
    unit
        Unit of a number, for example ``"seconds"``.
    """

    help: str = ""
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    lt: float | None = None
    unit: str = ""

    def range_text(self) -> str:
        """The bounds in words, ``""`` where there are none.

        >>> Option(gt=0, lt=1).range_text()
        'above 0 and below 1'
        """
        bounds = (
            ("at least", self.ge),
            ("above", self.gt),
            ("at most", self.le),
            ("below", self.lt),
        )
        return " and ".join(f"{word} {bound:g}" for word, bound in bounds if bound is not None)

    def admits(self, value: float) -> bool:
        """Whether a number is inside the bounds."""
        return (
            (self.ge is None or value >= self.ge)
            and (self.gt is None or value > self.gt)
            and (self.le is None or value <= self.le)
            and (self.lt is None or value < self.lt)
        )


@dataclass(frozen=True)
class OptionSpec:
    """One option as read from a recipe's signature."""

    name: str
    kind: type[int] | type[float] | type[bool] | type[str]
    default: Any
    rule: Option
    choices: tuple[Scalar, ...] = ()
    nullable: bool = False
    many: bool = False

    @property
    def flag(self) -> str:
        """The command-line flag, for example ``--max-budget``."""
        return "--" + self.name.replace("_", "-")

    def type_text(self) -> str:
        """The admitted values in words, for messages and help."""
        if self.choices:
            words = "one of " + ", ".join(map(str, self.choices))
        else:
            name = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
            words = name[self.kind]
        if self.many:
            words = f"a list, each {words}"
        if bounds := self.rule.range_text():
            words += f" {bounds}"
        if self.rule.unit:
            words += f" ({self.rule.unit})"
        return words + (", or none" if self.nullable else "")

    def check(self, value: object) -> Any:
        """Return the value unchanged (numbers as plain Python) or raise `OptionError`."""
        if value is None:
            if self.nullable:
                return None
            raise self._error(value)
        if self.many:
            if isinstance(value, str) or not isinstance(value, list | tuple):
                raise self._error(value)
            return tuple(self._check_one(item) for item in value)
        return self._check_one(value)

    def _check_one(self, value: object) -> Scalar:
        plain = _as_plain(value, self.kind)
        if plain is None or (self.choices and plain not in self.choices):
            raise self._error(value)
        if isinstance(plain, int | float) and not isinstance(plain, bool):
            # A whole number is finite however large, and may not fit a float.
            if isinstance(plain, float) and not math.isfinite(plain):
                raise self._error(value)
            if not self.rule.admits(plain):
                raise self._error(value)
        return plain

    def parse(self, text: str) -> Any:
        """Read the option from command-line or form text and check it."""
        if self.nullable and text.strip().lower() == "none":
            return None
        if self.many:
            return self.check(tuple(self._parse_one(part.strip()) for part in text.split(",")))
        return self.check(self._parse_one(text))

    def _parse_one(self, text: str) -> object:
        words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        try:
            if self.kind is bool:
                return words[text.strip().lower()]
            if self.kind in (int, float):
                return self.kind(text)
        except (ValueError, KeyError):
            raise self._error(text) from None
        return text

    def _error(self, value: object) -> OptionError:
        return OptionError(f"option {self.name!r} must be {self.type_text()}; got {value!r}")


def _as_plain(value: object, kind: type) -> Scalar | None:
    """A Python scalar of `kind`, or None where the value is of another type."""
    if isinstance(value, bool) or type(value).__name__ == "bool":  # numpy's bool_ included
        return bool(value) if kind is bool else None
    if kind is int and isinstance(value, numbers.Integral):
        return int(value)
    if kind is float and isinstance(value, numbers.Real):
        try:
            return float(value)
        except OverflowError:
            return None
    if kind is str and isinstance(value, str):
        return str(value)
    return None


def spec_from_annotation(name: str, annotation: object, default: object) -> OptionSpec:
    """Read one option of a recipe; an annotation that cannot be checked is refused at import.

    Parameters
    ----------
    name
        The parameter's name.
    annotation
        ``Annotated[T, Option(...)]`` with T one of int, float, bool, str, a ``Literal`` of them,
        ``tuple[T, ...]``, or any of these ``| None``.
    default
        The parameter's default; it is checked as a user's value would be.
    """
    rule = Option()
    if typing.get_origin(annotation) is typing.Annotated:
        annotation, *extras = typing.get_args(annotation)
        rules = [extra for extra in extras if isinstance(extra, Option)]
        rule = rules[0] if rules else rule
    annotation, nullable = _without_none(annotation)
    many = typing.get_origin(annotation) is tuple
    if many:
        item, *rest = typing.get_args(annotation)
        if rest != [Ellipsis]:
            raise TypeError(f"option {name!r}: only tuple[T, ...] is supported, not {annotation}")
        annotation = item
    choices: tuple[Scalar, ...] = ()
    if typing.get_origin(annotation) is Literal:
        choices = typing.get_args(annotation)
        kinds = {type(choice) for choice in choices}
        annotation = kinds.pop() if len(kinds) == 1 else None
    if annotation not in (int, float, bool, str):
        raise TypeError(f"option {name!r}: statlas has no check for the type {annotation!r}")
    if not rule.help:
        raise TypeError(f"option {name!r} needs Option(help=...)")
    spec = OptionSpec(name, typing.cast(Any, annotation), default, rule, choices, nullable, many)
    spec.check(default)
    return spec


def _without_none(annotation: object) -> tuple[Any, bool]:
    """Split ``T | None`` into T and whether None is admitted."""
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        members = [part for part in typing.get_args(annotation) if part is not type(None)]
        if len(members) == 1:
            return members[0], True
    return annotation, False


def check_options(specs: dict[str, OptionSpec], given: dict[str, object]) -> dict[str, Any]:
    """Check the given options against their specs and fill in the defaults.

    Raises
    ------
    OptionError
        For an unknown name (close names are suggested) or a value outside its type or range.
    """
    for name in given:
        if name not in specs:
            raise unknown_option(name, list(specs))
    return {name: spec.check(given.get(name, spec.default)) for name, spec in specs.items()}


def unknown_option(name: str, known: list[str]) -> OptionError:
    """The error for an option that does not exist, with the nearest ones that do."""
    close = get_close_matches(name, known, n=3, cutoff=0.5)
    hint = f"did you mean {', '.join(close)}?" if close else f"known: {', '.join(known)}"
    return OptionError(f"there is no option {name!r}; {hint}")
