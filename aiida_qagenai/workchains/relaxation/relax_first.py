"""Ports and checks of what relaxes structures before their energies are computed."""

from __future__ import annotations

import typing as t

from aiida.engine import ProcessSpec
from aiida.orm import AbstractCode, Dict

from aiida_qagenai.workchains.protocols.relaxation import RelaxFirst
from aiida_qagenai.workchains.relaxation.engines import find_code_problem

__all__ = ('RELAX_PORTS', 'define_relax_inputs', 'relax_inputs', 'relax_problem')

RELAX_PORTS = ('relax_code', 'relax_options')
"""Names of the inputs that say where structures are relaxed; how is a setting of its own."""


def define_relax_inputs(spec: ProcessSpec) -> None:
    """Add the code and the scheduler options of relaxations."""
    spec.input(
        'relax_code', valid_type=AbstractCode, required=False, help='Code that relaxes; by default that of energies.'
    )
    spec.input('relax_options', valid_type=Dict, required=False, help='Scheduler options of the relaxations.')


def relax_problem(settings: RelaxFirst | None, inputs: t.Mapping[str, t.Any]) -> str | None:
    """Return what is missing or wrong with the code and the options, given whether and how structures are relaxed."""
    if settings is None:
        unused = [name for name in RELAX_PORTS if inputs.get(name) is not None]
        return f'`{unused[0]}` is given, but `relax` is not: nothing would be relaxed' if unused else None
    return settings.settings().missing_package() or find_code_problem(settings.engine, inputs.get('relax_code'))


def relax_inputs(settings: RelaxFirst | None, inputs: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the inputs of a ladder that make it relax first, none where it should not."""
    if settings is None:
        return {}
    places = {name: inputs[name] for name in RELAX_PORTS if name in inputs}
    return {'relax': Dict(settings.model_dump(mode='json')), **places}
