"""Fixtures of the tests of energies."""

from __future__ import annotations

import pytest

from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.workchains.energy.energy import EnergyWorkChain
from aiida_qagenai.workchains.protocols.energy import energy_settings


@pytest.fixture
def build(pyscf_code):
    """Return a factory of builders at the pipeline level."""

    def create(structure, fidelity='PBE', protocol='pipeline', **arguments):
        return EnergyWorkChain.get_builder_from_protocol(pyscf_code, structure, fidelity, protocol, **arguments)

    return create


@pytest.fixture
def atom_energy():
    """Return a factory of energies of isolated atoms, with round numbers."""

    def create(element: str, fidelity: str = 'PBE', protocol: str = 'pipeline', **changes) -> EnergyData:
        settings = energy_settings(protocol)
        values = {
            'fidelity': fidelity,
            'total_energy': {'H': -13.0, 'Li': -200.0}.get(element),
            'num_atoms': 1,
            'formula': element,
            'chemical_system': element,
            'converged': True,
            'protocol': protocol,
            'level_tag': settings.tag(Fidelity.parse(fidelity), isolated=True),
            'scientific': settings.scientific,
            'structure_uuid': '0',
        }
        return EnergyData(**{**values, **changes})

    return create
