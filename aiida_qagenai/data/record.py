"""Base of the nodes whose content is a typed set of attributes."""

from __future__ import annotations

import typing as t

import pydantic
from aiida.common.exceptions import ValidationError
from aiida.orm import Data

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.model import validation_text
from aiida_qagenai.data.labels import labelled

__all__ = ('RecordData', 'require_lengths')

NODE_ARGUMENTS = frozenset({'backend', 'user', 'computer', 'extras', 'label', 'description', 'source'})


def require_lengths(model: pydantic.BaseModel, names: t.Iterable[str], expected: int) -> None:
    """Check that every list has a value for each temperature.

    :raises ValueError: naming the first that differs.
    """
    for name in names:
        if len(getattr(model, name)) != expected:
            raise ValueError(f'{name} has {len(getattr(model, name))} values for {expected} temperatures')


class RecordData(Data):
    """A node that is its ``AttributesModel``: validated when constructed and again when stored, then immutable.

    Subclasses declare a nested ``AttributesModel``; its fields are the keyword arguments of the constructor and the
    attributes that queries filter on. Floats must be finite: what is unknown is ``None``.
    """

    class AttributesModel(Data.AttributesModel):
        """No fields: subclasses add theirs."""

        model_config = pydantic.ConfigDict(extra='forbid', allow_inf_nan=False, validate_default=True)

    def __init__(self, **kwargs: t.Any) -> None:
        """Construct the node from the fields of ``AttributesModel`` and the common arguments of nodes.

        :raises InvalidInputError: naming each field that is missing, unknown or invalid.
        """
        node_arguments = {name: kwargs.pop(name) for name in NODE_ARGUMENTS & kwargs.keys()}
        content = self._check(kwargs)
        super().__init__(**labelled(node_arguments, self._title(content)))
        self.base.attributes.set_many(content)

    @staticmethod
    def _title(content: dict[str, t.Any]) -> str:
        """Return the label of a node that is given none: what it is about, in few words."""
        return str(content.get('formula', ''))

    @classmethod
    def _check(cls, values: dict[str, t.Any]) -> dict[str, t.Any]:
        try:
            model = cls.AttributesModel(**values)
        except pydantic.ValidationError as exception:
            raise InvalidInputError(f'invalid {cls.__name__}: {validation_text(exception)}') from exception
        content: dict[str, t.Any] = model.model_dump(mode='json', exclude={'source'} if model.source is None else None)
        return content

    @property
    def content(self) -> t.Any:
        """Return the attributes as an instance of ``AttributesModel``: ``node.content.total_energy``."""
        return self.AttributesModel(**self.base.attributes.all)

    def _validate(self) -> bool:
        super()._validate()
        try:
            self._check(dict(self.base.attributes.all))
        except InvalidInputError as exception:
            raise ValidationError(str(exception)) from exception
        return True
