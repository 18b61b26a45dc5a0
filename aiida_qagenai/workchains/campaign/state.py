"""The state of a campaign: what a cycle takes, changes and hands on, and what a continuation starts from."""

from __future__ import annotations

import typing as t

from aiida.engine import ProcessSpec
from aiida.orm import Dict

from aiida_qagenai.calculations.models.generate import checkpoint_validator
from aiida_qagenai.calculations.models.train import ROLES, validate_dataset
from aiida_qagenai.data.checkpoint import CheckpointData
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.data.energy import EnergyData

__all__ = ('REFERENCES', 'define_state_inputs', 'define_state_outputs', 'reference_outputs')

REFERENCES = {
    'atomic_references': (
        'Energies of the isolated atoms by fidelity and element, which anchored formation energies refer to.'
    ),
    'elemental_references': (
        'Energies of the elements by fidelity and element, which self-consistent formation energies refer to.'
    ),
}
"""Parts of the state that hold energies by fidelity and element → what they are."""

HELP = {
    'dataset': 'All energies so far.',
    'ledger': 'Counts and costs so far, by cycle.',
    'checkpoints': 'The current models.',
    **REFERENCES,
}


def define_state_inputs(spec: ProcessSpec, *, required: bool = True) -> None:
    """Add the ports of the state to the inputs, in the namespace ``state``."""
    spec.input_namespace('state', required=required, populate_defaults=False, help='State of the campaign.')
    spec.input('state.dataset', valid_type=DatasetData, validator=validate_dataset, help=HELP['dataset'])
    spec.input('state.ledger', valid_type=Dict, help=HELP['ledger'])
    for role in ROLES:
        spec.input(
            f'state.checkpoints.{role}',
            valid_type=CheckpointData,
            validator=checkpoint_validator(role),
            help=f'The {role} model.',
        )
    for name in REFERENCES:
        spec.input_namespace(f'state.{name}', dynamic=True, valid_type=EnergyData, required=False, help=HELP[name])


def define_state_outputs(spec: ProcessSpec) -> None:
    """Add the ports of the state to the outputs, in the namespace ``state``."""
    spec.output('state.dataset', valid_type=DatasetData, required=False, help=HELP['dataset'])
    spec.output('state.ledger', valid_type=Dict, required=False, help=HELP['ledger'])
    for role in ROLES:
        spec.output(f'state.checkpoints.{role}', valid_type=CheckpointData, required=False, help=f'The {role} model.')
    for name in REFERENCES:
        spec.output_namespace(f'state.{name}', dynamic=True, valid_type=EnergyData, required=False, help=HELP[name])


def reference_outputs(state: t.Mapping[str, t.Any], prefix: str = 'state.') -> t.Iterator[tuple[str, EnergyData]]:
    """Return the name of the output, which begins with ``prefix``, and the energy of every reference in ``state``."""
    for name in REFERENCES:
        for fidelity, energies in state.get(name, {}).items():
            for element, energy in energies.items():
                yield f'{prefix}{name}.{fidelity}.{element}', energy
