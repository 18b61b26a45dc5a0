"""Errors that tell a user what to do."""

__all__ = ('CorruptFileError', 'InvalidInputError', 'QagenaiError')


class QagenaiError(Exception):
    """Base of all errors raised by this package."""


class InvalidInputError(QagenaiError, ValueError):
    """An input is wrong; the message names it, its value and what is allowed."""


class CorruptFileError(QagenaiError, ValueError):
    """A file is damaged, truncated, or does not match its recorded checksum."""
