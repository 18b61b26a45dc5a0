"""The state of a campaign: what a cycle takes, changes and hands on, and what a continuation starts from."""

from __future__ import annotations

from aiida.engine import ProcessSpec
from aiida.orm import Dict

from aiida_qagenai.calculations.generate import checkpoint_validator
from aiida_qagenai.calculations.train import ROLES, validate_dataset
from aiida_qagenai.data.checkpoint import CheckpointData
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.data.energy import EnergyData

__all__ = ('STATE', 'define_state_inputs', 'define_state_outputs')

STATE = ('dataset', 'ledger', 'checkpoints', 'references')
"""Names of the parts of the state."""

HELP = {
    'dataset': 'All energies so far.',
    'ledger': 'Counts and costs so far, by cycle.',
    'checkpoints': 'The current models.',
    'references': 'Energies of the isolated atoms by fidelity and element, which formation energies refer to.',
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
    spec.input_namespace('state.references', dynamic=True, valid_type=EnergyData, help=HELP['references'])


def define_state_outputs(spec: ProcessSpec) -> None:
    """Add the ports of the state to the outputs, in the namespace ``state``."""
    spec.output('state.dataset', valid_type=DatasetData, required=False, help=HELP['dataset'])
    spec.output('state.ledger', valid_type=Dict, required=False, help=HELP['ledger'])
    for role in ROLES:
        spec.output(f'state.checkpoints.{role}', valid_type=CheckpointData, required=False, help=f'The {role} model.')
    spec.output_namespace('state.references', dynamic=True, valid_type=EnergyData, help=HELP['references'])
