"""Typed protocols of free energies, barriers and elastic tensors."""

from __future__ import annotations

import difflib
import typing as t
from pathlib import Path

import pydantic

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.model import StrictModel
from aiida_qagenai.thermodynamics.vibrations.settings import (
    BandSettings,
    ElasticitySettings,
    HopSettings,
    PhononSettings,
    Potential,
    RelaxSettings,
    TemperatureSettings,
    VolumeSettings,
)
from aiida_qagenai.workchains.protocols.loader import describe_protocols, merge_overrides, protocol_values

__all__ = (
    'AtomisticSettings',
    'BarrierSettings',
    'ElasticSettings',
    'FreeEnergySettings',
    'atomistic_protocols',
    'atomistic_settings',
    'parse_potential',
)

PROTOCOLS_FILE = Path(__file__).with_name('atomistic.yaml')


class AtomisticRun(StrictModel):
    """Where and how wide the jobs run."""

    device: t.Literal['cpu', 'cuda'] = 'cpu'
    dtype: t.Literal['float32', 'float64'] = 'float64'
    num_threads: int = pydantic.Field(1, ge=1, le=1024)
    max_concurrent: int = pydantic.Field(4, ge=1, description='Jobs that run at a time')


class AtomisticSettings(StrictModel):
    """What free energies, barriers and elastic tensors share."""

    potential: Potential
    description: str = ''
    max_e_above_hull: float = pydantic.Field(0.1, ge=0, description='Of the candidates of a campaign, eV/atom')
    relaxation: RelaxSettings = RelaxSettings()
    run: AtomisticRun = AtomisticRun()

    def parameters(self, *parts: str) -> dict[str, t.Any]:
        """Return the parameters of a job with the named parts of the settings."""
        settings = self.model_dump(mode='json', include={'potential', *parts})
        return {**settings, **self.run.model_dump(mode='json', exclude={'max_concurrent'})}


class FreeEnergySettings(AtomisticSettings):
    """Everything that decides a free energy."""

    phonons: PhononSettings = PhononSettings()
    volumes: VolumeSettings = VolumeSettings()
    temperatures: TemperatureSettings = TemperatureSettings()


class BarrierSettings(AtomisticSettings):
    """Everything that decides the barriers of a crystal; without hops the two ends are given."""

    hops: HopSettings | None = None
    band: BandSettings = BandSettings()


class ElasticSettings(AtomisticSettings):
    """Everything that decides elastic tensors."""

    elasticity: ElasticitySettings = ElasticitySettings()
    max_crystals: int = pydantic.Field(200, ge=1, description='Most crystals in one job')


S = t.TypeVar('S', bound=AtomisticSettings)


OPTIONS_OF: dict[str, tuple[str, ...]] = {
    'chgnet': ('model',),
    'sevennet': ('model', 'modality'),
    'validator': ('fidelity',),
    'emt': (),
}
"""Potential → what may stand behind colons."""


def atomistic_protocols() -> dict[str, str]:
    """Return the description of each protocol by its name."""
    return describe_protocols(PROTOCOLS_FILE)


def parse_potential(text: str | dict[str, t.Any]) -> dict[str, t.Any]:
    """Return the options of a potential given by name, or with options as ``chgnet:r2scan`` or ``sevennet:mf-0:PBE``.

    :raises InvalidInputError: if there is no such potential, or a part after a colon means nothing for it.
    """
    if isinstance(text, dict):
        return text
    name, *options = text.split(':')
    if name not in OPTIONS_OF:
        close = difflib.get_close_matches(name.lower(), OPTIONS_OF, 1)
        hint = f'did you mean `{close[0]}`?' if close else f'it is {", ".join(OPTIONS_OF)}'
        raise InvalidInputError(f'unknown potential `{name}`: {hint}')
    keys = OPTIONS_OF[name]
    if len(options) > len(keys):
        raise InvalidInputError(f'the potential `{name}` takes no option `{options[len(keys)]}`')
    return {'name': name, **dict(zip(keys, options, strict=False))}


def atomistic_settings(
    model: type[S], protocol: str, potential: str | dict[str, t.Any], overrides: dict[str, t.Any] | None = None
) -> S:
    """Return the settings of ``protocol`` for one kind of work chain with nested ``overrides`` applied.

    :raises InvalidInputError: for an unknown protocol, potential or key, or a value out of range.
    """
    chosen = protocol_values(PROTOCOLS_FILE, protocol, 'free energies, barriers and elastic tensors')
    # One file holds all kinds: the others' parts are left out, but never those that a user names.
    values = {name: value for name, value in chosen.items() if name in model.model_fields}
    overrides = dict(overrides or {})
    if 'hops' in values and 'species' not in overrides.get('hops', {}):
        del values['hops']
    merged = merge_overrides({**values, 'potential': parse_potential(potential)}, overrides)
    return model.parse(merged, 'invalid settings')
