"""Base of all settings, and what is said of wrong ones."""

from __future__ import annotations

import difflib
import typing as t

import pydantic

from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('StrictModel', 'validation_text')


class StrictModel(pydantic.BaseModel):
    """Immutable; an unknown key and a number that is not finite are errors, so that a misspelt key never passes."""

    model_config = pydantic.ConfigDict(extra='forbid', frozen=True, allow_inf_nan=False)

    @classmethod
    def parse(cls, values: t.Mapping[str, t.Any], what: str = '', section: str = '') -> t.Self:
        """Return validated settings.

        :param what: begins the text of the error: ``invalid settings of the campaign``.
        :param section: name of the section that the values are, which the text puts before their names.
        :raises InvalidInputError: naming every key that is unknown, missing or wrong.
        """
        try:
            return cls.model_validate(dict(values))
        except pydantic.ValidationError as exception:
            text = validation_text(exception, cls, section)
            raise InvalidInputError(f'{what}: {text}' if what else text) from exception

    def dump(self) -> dict[str, t.Any]:
        """Return the complete settings as plain JSON."""
        return self.model_dump(mode='json')


def validation_text(
    error: pydantic.ValidationError, model: type[pydantic.BaseModel] | None = None, section: str = ''
) -> str:
    """Return a one-line account of a pydantic ``error``: every field, what is wrong, and the value given.

    :param model: the model that was validated: an unknown key is answered with the nearest known one.
    """
    parts = []
    for item in error.errors(include_url=False):
        path = [str(part) for part in item['loc']]
        name = '.'.join([section, *path] if section else path) or 'content'
        if item['type'] == 'extra_forbidden':
            parts.append(f'unknown key `{name}`{_suggestion(path, model)}')
            continue
        message = item['msg'].removeprefix('Value error, ')
        if not path and not section and item['type'] == 'value_error':
            # about several keys, which the message names
            parts.append(message)
            continue
        given = '' if item['type'] == 'missing' else f' (got {item["input"]!r:.80})'
        parts.append(f'`{name}`: {message}{given}')
    return '; '.join(parts)


def _suggestion(path: t.Sequence[str], model: type[pydantic.BaseModel] | None) -> str:
    """Return which known key is nearest to the last one of ``path``, or all of them where none is near."""
    known = _keys_at(model, path[:-1]) if model is not None else []
    if not known:
        return ''
    near = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
    return f': did you mean `{near[0]}`?' if near else f': expected one of {", ".join(known)}'


def _keys_at(model: type[pydantic.BaseModel], path: t.Sequence[str]) -> list[str]:
    """Return the keys that a model has below ``path``, which may lead through unions and dictionaries of models."""
    candidates: list[t.Any] = [model]
    for part in path:
        following: list[t.Any] = []
        for candidate in candidates:
            field = candidate.model_fields.get(part)
            following += _models_in(field.annotation) if field is not None else [candidate]
        candidates = following
    return sorted({name for candidate in candidates for name in candidate.model_fields})


def _models_in(annotation: t.Any) -> list[type[pydantic.BaseModel]]:
    """Return the models in a type such as ``Model | None`` or ``dict[str, Model]``."""
    if isinstance(annotation, type) and issubclass(annotation, pydantic.BaseModel):
        return [annotation]
    return [model for part in t.get_args(annotation) for model in _models_in(part)]
