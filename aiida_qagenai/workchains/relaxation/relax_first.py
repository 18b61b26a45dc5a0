"""Ports and checks of what relaxes structures before their energies are computed."""

from __future__ import annotations

import typing as t

from aiida.engine import ProcessSpec
from aiida.orm import AbstractCode, Dict
from aiida_pseudo.data.pseudo import UpfData

from aiida_qagenai.workchains.protocols.relaxation import RelaxationSettings
from aiida_qagenai.workchains.relaxation.engines import ENGINES, find_code_problem

__all__ = ('RELAX_PORTS', 'complete_relaxation', 'define_relax_inputs', 'relax_inputs', 'relax_problem')

RELAX_PORTS = ('relax_code', 'relax_options', 'relax_pseudos')
"""Names of the inputs that say where and with which pseudopotentials structures are relaxed."""


def define_relax_inputs(spec: ProcessSpec) -> None:
    """Add the code, the scheduler options and the pseudopotentials of relaxations."""
    spec.input(
        'relax_code',
        valid_type=AbstractCode,
        required=False,
        help='Code that relaxes structures; by default the code that computes energies.',
    )
    spec.input('relax_options', valid_type=Dict, required=False, help='Scheduler options of the relaxations.')
    spec.input_namespace(
        'relax_pseudos',
        valid_type=UpfData,
        dynamic=True,
        required=False,
        help='Pseudopotentials by element, for relaxations by pw.x.',
    )


def complete_relaxation(
    settings: RelaxationSettings | None, symbols: t.Collection[str]
) -> tuple[RelaxationSettings | None, dict[str, t.Any]]:
    """Return settings that name what is installed, and the inputs ``bases`` or ``relax_pseudos`` that hold it.

    :raises InvalidInputError: if a basis or a pseudopotential is missing.
    """
    if settings is None:
        return None, {}
    complete, given = ENGINES[settings.engine].complete(settings, symbols)
    return complete, {{'families': 'bases', 'pseudos': 'relax_pseudos'}[name]: nodes for name, nodes in given.items()}


def relax_problem(settings: RelaxationSettings | None, inputs: t.Mapping[str, t.Any]) -> str | None:
    """Return what is missing or wrong with the code and the options, given whether and how structures are relaxed."""
    if settings is None:
        unused = [name for name in RELAX_PORTS if inputs.get(name)]
        return f'`{unused[0]}` is given, but `relax` is not: nothing would be relaxed' if unused else None
    return settings.missing_package() or find_code_problem(settings.engine, inputs.get('relax_code'))


def relax_inputs(settings: RelaxationSettings | None, inputs: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """Return the inputs of a ladder that make it relax first, none where it should not."""
    if settings is None:
        return {}
    places = {name: inputs[name] for name in RELAX_PORTS if name in inputs}
    return {'relax': Dict(settings.dump()), **places}
