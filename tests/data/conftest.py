"""Valid content of every node type."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Structure


@pytest.fixture
def rock_salt():
    """Return LiH in the rock salt structure."""
    return Structure([[0, 2, 2], [2, 0, 2], [2, 2, 0]], ['Li', 'H'], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture
def energy_content():
    """Return the fields of an ``EnergyData``."""
    return {
        'fidelity': 'CCSD(T)',
        'total_energy': -21.5,
        'num_atoms': 2,
        'formation_energy_per_atom': -0.4,
        'formation_scheme': 'anchored',
        'formula': 'LiH',
        'chemical_system': 'H-Li',
        'converged': True,
        'protocol': 'fast',
        'level_tag': 'fast:gth-dzvp',
        'scientific': True,
        'structure_uuid': 'a' * 32,
        't1_diagnostic': 0.01,
        'components': {'correlation': -0.5},
    }


@pytest.fixture
def prediction_content():
    """Return the fields of a ``PredictionData``."""
    names = ('pbe', 'scan', 'hse06', 'ccsdt')
    return {
        'candidate_uuid': 'a' * 32,
        'cycle': 1,
        'index': 2,
        **{f'energy_{name}': -0.5 for name in names},
        **{f'sigma_{name}': 0.02 for name in names},
        'divergence_signed': -0.06,
        'divergence_sigma': 0.03,
        'out_of_distribution': False,
        'distance_to_training': 0.5,
    }


@pytest.fixture
def assessment_content():
    """Return the fields of an ``AssessmentData``."""
    return {
        'candidate_uuid': 'a' * 32,
        'cycle': 1,
        'index': 2,
        'constraints': {'minimum_distance': {'value': 1.9, 'verdict': 'pass'}},
        'passed_constraints': True,
        'duplicate': False,
        'e_above_hull': 0.0,
        'decomposition': {'LiH': 1.0},
        'eligible': True,
        'rank': 1,
        'selected': True,
        'audit': False,
    }


@pytest.fixture
def checkpoint_folder(tmp_path):
    """Return the folder of a validator checkpoint whose metrics need all digits of a float."""
    from safetensors.numpy import save_file

    from aiida_qagenai.exchange.checkpoint import WEIGHTS_NAME, write_info

    save_file({'w': np.linspace(0, 1, 7)}, tmp_path / WEIGHTS_NAME)
    write_info(
        tmp_path,
        role='validator',
        architecture='toy-tiny',
        configuration={'n': 7},
        num_parameters=7,
        elements=('H', 'Li'),
        fidelities=('PBE',),
        metrics={'mae': 0.1 + 0.2, 'loss': 1 / 3},
        dataset_sha256='0' * 64,
        versions={'torch': '2'},
    )
    return tmp_path


@pytest.fixture
def labelled(rock_salt):
    """Return a packed training set of one structure."""
    from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS
    from aiida_qagenai.exchange.dataset import LabelledBatch
    from aiida_qagenai.exchange.structures import StructureBatch

    return LabelledBatch(
        StructureBatch.from_structures([rock_salt], ['000-00000']),
        energies=np.array([[-0.5, np.nan, np.nan, -0.45]]),
        descriptors=np.full((1, NUM_DESCRIPTORS), np.nan),
        groups=np.array(['LiH']),
        split=np.zeros(1, dtype=np.int8),
    )


@pytest.fixture
def records(energy_content, prediction_content, assessment_content):
    """Return the fields of the three records."""
    return {'energy': energy_content, 'prediction': prediction_content, 'assessment': assessment_content}


@pytest.fixture
def make(rock_salt, records, checkpoint_folder, labelled):
    """Return a function that makes an unstored node of each type; ``other`` changes its content."""
    from aiida_qagenai.data.assessment import AssessmentData
    from aiida_qagenai.data.candidate import CandidateData
    from aiida_qagenai.data.checkpoint import CheckpointData
    from aiida_qagenai.data.dataset import DatasetData
    from aiida_qagenai.data.energy import EnergyData
    from aiida_qagenai.data.entry import EntryData
    from aiida_qagenai.data.prediction import PredictionData
    from aiida_qagenai.data.trial import TrialData

    tags = {'PBE': 'fast:gth-dzvp', 'CCSD(T)': 'fast:gth-dzvp'}

    def create(kind: str, other: bool = False):
        match kind:
            case 'candidate':
                return CandidateData(rock_salt, cycle=1, index=int(other), origin='generator')
            case 'entry':
                return EntryData(
                    cell=rock_salt.lattice.matrix,
                    symbols=[site.specie.symbol for site in rock_salt],
                    positions=rock_salt.cart_coords,
                    database='mp',
                    version='1',
                    identifier=f'mp-{int(other)}',
                    license='CC-BY-4.0',
                    sha256='0' * 64,
                    space_group_number=225,
                    properties={'band_gap': 3.0},
                )
            case 'energy' | 'prediction' | 'assessment':
                cls, change = {
                    'energy': (EnergyData, {'total_energy': -21.5 - other}),
                    'prediction': (PredictionData, {'energy_scan': -0.5 - other}),
                    'assessment': (AssessmentData, {'audit': other}),
                }[kind]
                return cls(**{**records[kind], **change})
            case 'checkpoint':
                if other:
                    change_seed(checkpoint_folder)
                return CheckpointData(checkpoint_folder)
            case 'dataset':
                scheme = 'self_consistent' if other else 'anchored'
                return DatasetData(labelled, level_tags=tags, formation_scheme=scheme)
            case 'trial':
                return TrialData(
                    study='0' * 64,
                    number=int(other),
                    objective='valid_novel',
                    direction='maximize',
                    hyperparameters={'sampling': {'steps': 20, 'novelty': 1 / 3}},
                    state='complete',
                    value=0.25,
                )
        raise ValueError(kind)

    return create


def change_seed(folder) -> None:
    """Change the description of a checkpoint."""
    import json

    from aiida_qagenai.exchange.checkpoint import CONFIG_NAME

    content = json.loads((folder / CONFIG_NAME).read_text())
    (folder / CONFIG_NAME).write_text(json.dumps({**content, 'seed': 5}))
