"""Potential energy surfaces behind one interface: the validator, CHGNet, SevenNet, EMT, any ASE calculator."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pydantic
import torch

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.model import validation_text
from aiida_qagenai.exchange.atomistic import AtomisticConfig
from aiida_qagenai.exchange.checkpoint import VALIDATOR_FOUNDATION
from aiida_qagenai.ml.potentials.base import Evaluation, Potential, PotentialCalculator, chunks
from aiida_qagenai.ml.runtime import Runtime
from aiida_qagenai.thermodynamics.vibrations.settings import PACKAGES

__all__ = ('Evaluation', 'Potential', 'PotentialCalculator', 'calculator', 'chunks', 'make_potential', 'used_libraries')


def used_libraries(name: str) -> tuple[str, ...]:
    """Return the packages of others that compute a potential: their versions go into the record of a task."""
    return (PACKAGES[name],) if name in PACKAGES else ()


def make_potential(config: AtomisticConfig, runtime: Runtime) -> Potential:
    """Return the potential that a configuration asks for.

    :raises InvalidInputError: if the package of the potential is not installed here.
    """
    settings = config.potential
    if settings.name == 'emt':
        from aiida_qagenai.ml.potentials.ase_calculator import effective_medium

        return effective_medium()
    if settings.name == 'chgnet':
        from aiida_qagenai.ml.potentials.chgnet import Chgnet

        return Chgnet(settings, runtime.device)
    if settings.name == 'sevennet':
        from aiida_qagenai.ml.potentials.sevennet import SevenNet

        return SevenNet(settings, runtime.device)
    from aiida_qagenai.ml.potentials.validator import Validator

    assert config.checkpoint is not None
    return Validator.load(config.checkpoint, settings.fidelity, runtime)


def calculator(
    name: str = 'validator', *, checkpoint: str | Path | None = None, device: str = 'cpu', **settings: t.Any
) -> PotentialCalculator:
    """Return a potential as an ASE calculator, in double precision.

    ``calculator()`` is the shipped validator on the rung of PBE, ``calculator(fidelity='SCAN')`` on that of SCAN,
    ``calculator('sevennet', model='mf-0', modality='PBE')`` a potential of others.

    :param name: ``validator``, ``chgnet``, ``sevennet`` or ``emt``.
    :param checkpoint: folder of a validator, by default the one that comes with the package.
    :param settings: of the potential, see :mod:`aiida_qagenai.thermodynamics.vibrations.settings`.
    :raises InvalidInputError: for unknown settings, or if the package of the potential is not installed here.
    """
    if name == 'validator':
        checkpoint = checkpoint or VALIDATOR_FOUNDATION
    try:
        config = AtomisticConfig.model_validate(
            {'potential': {'name': name, **settings}, 'checkpoint': checkpoint, 'device': device}
        )
    except pydantic.ValidationError as exception:
        raise InvalidInputError(f'invalid potential: {validation_text(exception, AtomisticConfig)}') from exception
    return make_potential(config, Runtime(torch.device(device), torch.float64, 0)).calculator()
