"""Options: every kind is checked, nothing is coerced."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from statlas.core.errors import OptionError
from statlas.core.options import Option, OptionSpec, check_options, spec_from_annotation

HELP = Option(help="h")


def spec(annotation: Any, default: Any, rule: Option = HELP) -> OptionSpec:
    return spec_from_annotation("x", Annotated[annotation, rule], default)


@pytest.mark.parametrize(
    ("annotation", "default", "good", "bad"),
    [
        (int, 1, [0, -5, 10**400, np.int64(3), np.uint8(7)], [1.0, "1", True, np.True_, None, 2j]),
        (float, 1.0, [0, 2.5, np.float32(0.5), np.int8(2)], ["1", True, np.nan, np.inf, None, 10**400]),  # noqa: E501
        (bool, True, [True, False, np.True_, np.False_], [0, 1, 1.0, "true", None]),
        (str, "a", ["", "b", np.str_("c")], [1, None, b"a", ["a"]]),
        (Literal["a", "b"], "a", ["a", "b"], ["c", "A", 1, None]),
        (Literal[1, 2], 1, [2, np.int64(1)], [3, True, 1.0, "1"]),
        (int | None, None, [None, 3], [1.5, "none", False]),
        (Literal["a"] | None, None, [None, "a"], ["b"]),
        (tuple[int, ...], (1,), [(), (1, 2), [3]], ["1", 1, (1.5,), (True,), {1}, None]),
        (tuple[float, ...] | None, None, [None, (1, 2.5)], ["1,2", (np.nan,)]),
    ],
)  # fmt: skip
def test_each_kind_admits_its_values_and_no_others(
    annotation: Any, default: Any, good: list[Any], bad: list[Any]
) -> None:
    option = spec(annotation, default)
    for value in good:
        checked = option.check(value)
        assert checked == (tuple(value) if isinstance(value, list) else value)
    for value in bad:
        with pytest.raises(OptionError, match=r"option 'x' must be .*; got"):
            option.check(value)


@pytest.mark.parametrize(
    ("annotation", "default", "value", "kind"),
    [
        (int, 1, np.int64(3), int),
        (float, 1.0, np.float32(0.5), float),
        (float, 1.0, 2, float),
        (bool, True, np.False_, bool),
        (str, "a", np.str_("b"), str),
    ],
)
def test_checked_values_are_plain_python(
    annotation: Any, default: Any, value: Any, kind: type
) -> None:
    assert type(spec(annotation, default).check(value)) is kind


@pytest.mark.parametrize(
    ("rule", "inside", "outside"),
    [
        (Option(ge=1, help="h"), [1, 2], [0, -1]),
        (Option(gt=1, help="h"), [2], [1, 0]),
        (Option(le=3, help="h"), [3, 2], [4]),
        (Option(lt=3, help="h"), [2], [3, 4]),
        (Option(gt=0, lt=2, help="h"), [1], [0, 2]),
    ],
)
def test_bounds(rule: Option, inside: list[int], outside: list[int]) -> None:
    one, many = spec(int, inside[0], rule), spec(tuple[int, ...], (), rule)
    for value in inside:
        assert one.check(value) == value
        assert many.check((value,)) == (value,)
    for value in outside:
        for refuse in (lambda v=value: one.check(v), lambda v=value: many.check((inside[0], v))):
            with pytest.raises(OptionError, match=rule.range_text()):
                refuse()


@pytest.mark.parametrize(
    ("annotation", "default", "text", "value"),
    [
        (int, 1, "12", 12),
        (int, 1, "-3", -3),
        (float, 1.0, "1e-3", 0.001),
        (float, 1.0, "2", 2.0),
        (bool, True, "no", False),
        (bool, False, " TRUE ", True),
        (str, "a", "none", "none"),
        (str | None, "a", "None", None),
        (Literal["a", "b"], "a", "b", "b"),
        (tuple[int, ...], (), "1, 2,3", (1, 2, 3)),
        (tuple[str, ...], (), "a,b", ("a", "b")),
    ],
)
def test_parse(annotation: Any, default: Any, text: str, value: Any) -> None:
    assert spec(annotation, default).parse(text) == value


@pytest.mark.parametrize(
    ("annotation", "default", "text"),
    [
        (int, 1, "1.5"),
        (int, 1, ""),
        (int, 1, "none"),
        (float, 1.0, "nan"),
        (float, 1.0, "1e999"),
        (float, 1.0, "0,5"),
        (bool, True, "2"),
        (Literal["a"], "a", "b"),
        (tuple[int, ...], (), "1,,2"),
    ],
)
def test_parse_refuses(annotation: Any, default: Any, text: str) -> None:
    with pytest.raises(OptionError, match="option 'x'"):
        spec(annotation, default).parse(text)


@given(st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False)))
def test_what_is_written_is_read_back(value: float) -> None:
    kind = int if isinstance(value, int) else float
    assert spec(kind, kind(0)).parse(repr(value)) == value


@given(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.binary(),
        st.lists(st.integers()), st.complex_numbers(),
    )
)  # fmt: skip
def test_any_value_passes_unchanged_or_raises_option_error(value: Any) -> None:
    for annotation, default in ((int, 1), (float, 1.0), (bool, True), (str, ""), (int | None, 1)):
        try:
            assert spec(annotation, default).check(value) == value
        except OptionError as error:
            assert "option 'x'" in str(error)


def test_unknown_options_get_suggestions() -> None:
    specs = {"max_budget": spec(int, 1), "level": spec(float, 0.5)}
    with pytest.raises(OptionError, match=r"no option 'max_budgt'; did you mean max_budget\?"):
        check_options(specs, {"max_budgt": 3})
    with pytest.raises(OptionError, match="known: max_budget, level"):
        check_options(specs, {"zzz": 3})
    assert check_options(specs, {"level": 1}) == {"max_budget": 1, "level": 1.0}


@pytest.mark.parametrize(
    "annotation",
    [list[int], dict, tuple[int, str], tuple[int], int | str, Literal[1, "a"], Any, bytes, complex],
)  # fmt: skip
def test_unsupported_annotations_are_refused_at_import(annotation: Any) -> None:
    with pytest.raises(TypeError, match="option 'x'"):
        spec(annotation, None)


def test_missing_help_and_bad_defaults_are_refused_at_import() -> None:
    with pytest.raises(TypeError, match="needs Option"):
        spec_from_annotation("x", int, 1)
    with pytest.raises(TypeError, match="needs Option"):
        spec(int, 1, Option(ge=0))
    with pytest.raises(OptionError):
        spec(int, 0, Option(ge=1, help="h"))
    with pytest.raises(OptionError):
        spec(int, None)


@pytest.mark.parametrize(
    ("annotation", "default", "rule", "text"),
    [
        (int, 1, Option(ge=1, unit="rows", help="h"), "a whole number at least 1 (rows)"),
        (float | None, None, HELP, "a number, or none"),
        (Literal["a", "b"], "a", HELP, "one of a, b"),
        (tuple[bool, ...], (), HELP, "a list, each true or false"),
    ],
)
def test_type_in_words(annotation: Any, default: Any, rule: Option, text: str) -> None:
    assert spec(annotation, default, rule).type_text() == text


def test_choices_keep_their_order_whatever_was_annotated_before():
    orders = [("a", "b"), ("b", "a")]
    for order in orders:
        annotation = Annotated[Literal[order], Option(help="the same words")]
        assert spec_from_annotation("x", annotation, "a").choices == order
