"""One trial of a search for hyperparameters."""

from __future__ import annotations

import typing as t

import pydantic
from aiida.orm.pydantic import OrmMetadataField

from aiida_qagenai.data.record import RecordData
from aiida_qagenai.selection.hyperparameters import flat

__all__ = ('TrialData',)


class TrialData(RecordData):
    """Hyperparameters that were tried, and the figure that they reached or the reason why there is none."""

    class AttributesModel(RecordData.AttributesModel):
        """A study is built from these alone: nothing about it is kept elsewhere."""

        study: str = OrmMetadataField(
            description='SHA-256 of all that decides a figure beside the hyperparameters: data, settings and models'
        )
        number: int = OrmMetadataField(ge=0, description='Number of the trial in its study, from 0')
        objective: str = OrmMetadataField(description='Name of the figure')
        direction: t.Literal['maximize', 'minimize'] = OrmMetadataField(description='Whether a larger value is better')
        hyperparameters: dict[str, t.Any] = OrmMetadataField(
            description='Values in the sections `training` and `sampling`'
        )
        state: t.Literal['complete', 'failed'] = OrmMetadataField(description='Whether there is a value')
        value: float | None = OrmMetadataField(None, description='The figure on the validation split')
        figures: dict[str, float] = OrmMetadataField(default_factory=dict, description='What the figure is made of')
        reason: str | None = OrmMetadataField(None, description='Why there is no value')

        @pydantic.model_validator(mode='after')
        def _check(self) -> t.Any:
            """Check that there is a value or a reason."""
            if (self.state == 'complete') != (self.value is not None) or (self.state == 'failed') != bool(self.reason):
                raise ValueError('a complete trial has a `value`, a failed one a `reason`')
            return self

    @staticmethod
    def _title(content: dict[str, t.Any]) -> str:
        value = 'failed' if content['value'] is None else f'{content["value"]:.4g}'
        return f'trial {content["number"]}: {content["objective"]} {value}'

    @property
    def point(self) -> dict[str, t.Any]:
        """Return the hyperparameters by dotted name, such as ``sampling.steps``."""
        return flat(self.base.attributes.get('hyperparameters'))

    @property
    def number(self) -> int:
        """Return the number of the trial in its study."""
        return int(self.base.attributes.get('number'))

    @property
    def value(self) -> float | None:
        """Return the figure; ``None`` if the trial failed."""
        return t.cast('float | None', self.base.attributes.get('value'))
