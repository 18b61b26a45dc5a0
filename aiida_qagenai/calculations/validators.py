"""Checks that raise an error with a text, as the validators of ports, which return that text."""

from __future__ import annotations

import typing as t

from aiida.orm import Dict

from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('problem_of', 'validator')


def problem_of(check: t.Callable[..., t.Any], *arguments: t.Any) -> str | None:
    """Return the text of the error that ``check`` raises, or None if it raises none."""
    try:
        check(*arguments)
    except InvalidInputError as exception:
        return str(exception)
    return None


def validator(check: t.Callable[[t.Any], t.Any]) -> t.Callable[[t.Any, t.Any], str | None]:
    """Return the validator of an optional port by what ``check`` says of the plain value of its node."""

    def validate(node: t.Any, _: t.Any) -> str | None:
        if node is None:
            return None
        return problem_of(check, node.get_dict() if isinstance(node, Dict) else node.value)

    return validate
