"""Fixtures of the tests of campaigns."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_qagenai.calculations.functions.ledger import open_ledger
from aiida_qagenai.calculations.models.train import ROLES, TrainCalculation
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.workchains.protocols.energy import energy_settings


@pytest.fixture
def state(aiida_profile_clean, ml_code, toy_labels):
    """Return what a cycle starts from: a training set with PBE only, models and atoms with made-up energies."""
    energies = toy_labels.energies.copy()
    energies[:, 1:] = np.nan
    settings = energy_settings('pipeline')
    level = settings.tag(Fidelity.PBE)
    labels = dataclasses.replace(toy_labels, energies=energies)
    dataset = DatasetData(labels, level_tags={'PBE': level}, formation_scheme='anchored', scientific=False).store()

    def train(role: str) -> orm.Data:
        parameters = orm.Dict({'role': role, 'steps': 60, 'seed': 1, 'batch_size': 16})
        node = run_get_node(TrainCalculation, code=ml_code, dataset=dataset, parameters=parameters)[1]
        assert node.is_finished_ok, node.exit_message
        return node.outputs.checkpoint

    def atom(symbol: str, total_energy: float) -> EnergyData:
        return EnergyData(
            fidelity='PBE',
            total_energy=total_energy,
            num_atoms=1,
            formula=symbol,
            chemical_system=symbol,
            converged=True,
            protocol='pipeline',
            level_tag=settings.tag(Fidelity.PBE, isolated=True),
            scientific=False,
            structure_uuid='a' * 32,
        )

    return {
        'dataset': dataset,
        'ledger': open_ledger(orm.Dict({'core_hours': {}})),
        'checkpoints': {role: train(role) for role in ROLES},
        'atomic_references': {'pbe': {'H': atom('H', -13.0), 'Li': atom('Li', -200.0)}},
    }
