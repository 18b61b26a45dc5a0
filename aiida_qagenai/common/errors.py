"""Errors that tell a user what to do."""

__all__ = ('CorruptFileError', 'InvalidInputError', 'NonFiniteError', 'NotConvergedError', 'QagenaiError')


class QagenaiError(Exception):
    """Base of all errors raised by this package."""


class InvalidInputError(QagenaiError, ValueError):
    """An input is wrong; the message names it, its value and what is allowed."""


class CorruptFileError(QagenaiError, ValueError):
    """A file is damaged, truncated, or does not match its recorded checksum."""


class NonFiniteError(QagenaiError, ArithmeticError):
    """A loss, weight or prediction became NaN or infinite."""


class NotConvergedError(QagenaiError, RuntimeError):
    """An iteration ended before its thresholds were reached; the message gives the numbers.

    :param what: `relaxation`, `band` or `equilibrium`: which iteration or fit it was.
    """

    def __init__(self, message: str, *, what: str) -> None:
        super().__init__(message)
        self.what = what
