"""Potential energy surfaces behind one interface: the validator, CHGNet, SevenNet, EMT, any ASE calculator."""

from __future__ import annotations

from aiida_qagenai.exchange.tasks import AtomisticConfig
from aiida_qagenai.ml.potentials.base import Evaluation, Potential, PotentialCalculator, chunks
from aiida_qagenai.ml.runtime import Runtime

__all__ = ('Evaluation', 'Potential', 'PotentialCalculator', 'chunks', 'make_potential', 'used_libraries')


def used_libraries(name: str) -> tuple[str, ...]:
    """Return the packages of others that compute a potential: their versions go into the record of a task."""
    return {'chgnet': ('chgnet',), 'sevennet': ('sevenn',)}.get(name, ())


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
