"""The errors that statlas raises on purpose. They are few, so that callers can tell them apart."""

from __future__ import annotations


class StatlasError(Exception):
    """Base of every error that is meant for the user: shown without a traceback."""


class InputError(StatlasError, ValueError):
    """The table, file or option cannot be used as given.

    Parameters
    ----------
    message
        What was found and which rule it breaks, with counts or values.
    column
        Column (or option) at fault, when there is one.
    remedy
        What the user can do about it.

    Examples
    --------
    >>> print(InputError("3 of 10 values are missing", column="score", remedy="drop them"))
    column 'score': 3 of 10 values are missing; drop them
    """

    def __init__(self, message: str, *, column: str | None = None, remedy: str | None = None):
        self.message = message
        self.column = column
        self.remedy = remedy
        super().__init__(message)

    def __str__(self) -> str:
        where = f"column {self.column!r}: " if self.column is not None else ""
        remedy = f"; {self.remedy}" if self.remedy else ""
        return f"{where}{self.message}{remedy}"

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild_input_error, (self.message, self.column, self.remedy))


def _rebuild_input_error(message: str, column: str | None, remedy: str | None) -> InputError:
    """Unpickle an `InputError`: keyword-only arguments do not survive the default protocol."""
    return InputError(message, column=column, remedy=remedy)


class OptionError(InputError):
    """An option has the wrong type, is out of range or does not exist."""

    def __reduce__(self) -> tuple[object, ...]:
        return (OptionError, (self.message,))


class AssumptionError(StatlasError, ValueError):
    """The input is well formed, but the method's assumption cannot hold on it."""


class ConvergenceError(StatlasError, ArithmeticError):
    """An iteration stopped before reaching its tolerance and no useful answer is left."""


class MissingExtra(StatlasError, ImportError):
    """An optional dependency is needed and absent.

    Examples
    --------
    >>> print(MissingExtra("torch", extra="nn"))
    this needs the package 'torch', which is not installed; run: pip install "statlas[nn]"
    """

    def __init__(self, package: str, extra: str):
        self.package = package
        self.extra = extra
        super().__init__(
            f"this needs the package {package!r}, which is not installed; "
            f'run: pip install "statlas[{extra}]"'
        )

    def __reduce__(self) -> tuple[object, ...]:
        return (MissingExtra, (self.package, self.extra))
