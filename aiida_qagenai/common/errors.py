"""Errors that tell a user what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

__all__ = (
    'CorruptFileError',
    'DaemonError',
    'InvalidInputError',
    'NonFiniteError',
    'NotConvergedError',
    'QagenaiError',
    'reported_as',
)


class QagenaiError(Exception):
    """Base of all errors raised by this package."""


class InvalidInputError(QagenaiError, ValueError):
    """An input is wrong; the message names it, its value and what is allowed."""


class CorruptFileError(QagenaiError, ValueError):
    """A file is damaged, truncated, or does not match its recorded checksum."""


class DaemonError(QagenaiError, RuntimeError):
    """The daemon or its broker did not start, or does not answer."""


class NonFiniteError(QagenaiError, ArithmeticError):
    """A loss, weight or prediction became NaN or infinite."""


class NotConvergedError(QagenaiError, RuntimeError):
    """An iteration ended before its thresholds were reached; the message gives the numbers.

    :param what: `relaxation`, `band` or `equilibrium`: which iteration or fit it was.
    """

    def __init__(self, message: str, *, what: str) -> None:
        super().__init__(message)
        self.what = what


@contextlib.contextmanager
def reported_as(text: str, *errors: type[Exception], error: type[Exception] = InvalidInputError) -> Iterator[None]:
    """Raise ``error`` in place of ``errors``; those of this package pass, unless they are named.

    :param text: of the error; where it ends with a colon, the text of the original one follows.
    """
    ours = any(issubclass(kind, QagenaiError) for kind in errors)
    try:
        yield
    except errors as exception:
        if isinstance(exception, QagenaiError) and not ours:
            raise
        raise error(f'{text} {exception}' if text.endswith(':') else text) from exception
