"""Computed candidates on the hull of each level."""

from __future__ import annotations

import numpy as np
import pytest
from aiida.orm import Dict

from aiida_qagenai.calculations.functions.hits import find_hits
from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.exchange.dataset import LabelledBatch
from aiida_qagenai.exchange.structures import StructureBatch

OPTIONS = {'hit_threshold': 0.1, 'divergence_threshold': 0.08, 'top': 'CCSD(T)', 'doubtful': ['t1', 'd1']}
TAGS = {'PBE': 'test:pbe', 'CCSD(T)': 'test:cc'}


def energy(formula: str, fidelity: str, value: float, **fields) -> EnergyData:
    """Return a stored formation energy; each structure has a uuid of its own by formula."""
    content = {
        'fidelity': fidelity,
        'total_energy': None,
        'num_atoms': 2,
        'formation_energy_per_atom': value,
        'formation_scheme': 'anchored',
        'formula': formula,
        'chemical_system': 'H-Li',
        'converged': True,
        'protocol': 'test',
        'level_tag': TAGS[fidelity],
        'scientific': True,
        'structure_uuid': f'{formula}-uuid',
        **fields,
    }
    return EnergyData(**content).store()


@pytest.fixture
def known(aiida_profile_clean, make_structure):
    """Return a training set: LiH at −0.5 eV/atom at PBE and −0.4 at CCSD(T), and Li at −1, which must not matter."""
    cell = [[4.0, 0, 0], [0, 4.0, 0], [0, 0, 4.0]]
    nodes = [make_structure(['Li', 'H'], [(0, 0, 0), (2, 2, 2)], cell), make_structure(['Li'], [(0, 0, 0)], cell)]

    def create(doubtful: bool = False) -> DatasetData:
        marks = np.zeros((2, 4), dtype=np.bool_)
        marks[0] = doubtful
        batch = LabelledBatch(
            StructureBatch.from_structures([node.get_pymatgen() for node in nodes], ['000-00000', '000-00001']),
            energies=np.array([[-0.5, np.nan, np.nan, -0.4], [-1.0, np.nan, np.nan, np.nan]]),
            descriptors=np.full((2, NUM_DESCRIPTORS), np.nan),
            groups=np.array(['LiH', 'Li']),
            split=np.zeros(2, dtype=np.int8),
            doubtful=marks,
        )
        return DatasetData(batch, level_tags=TAGS, formation_scheme='anchored')

    return create


def test_each_level_has_its_own_hull(known):
    """LiH at −0.45: 0.05 above the known one at PBE, but on the hull at CCSD(T), which decides."""
    energies = {'c00000pbe': energy('LiH', 'PBE', -0.45), 'c00000ccsdt': energy('LiH', 'CCSD(T)', -0.55)}
    found = find_hits(known(), Dict({**OPTIONS, 'hit_threshold': 0.01}), energies=energies)
    pbe, top = found['levels']['PBE'], found['levels']['CCSD(T)']
    assert pbe['results']['c00000']['e_above_hull'] == pytest.approx(0.05)
    assert top['results']['c00000']['decomposition_energy'] == pytest.approx(-0.15)
    assert (pbe['hits'], top['hits'], found['hits']) == ([], ['c00000'], ['c00000'])
    assert (pbe['competing'], pbe['complete'], pbe['level_tag']) == (2, True, 'test:pbe')
    assert found['divergence'] == {'c00000': pytest.approx(0.1)}
    assert found['divergence_hits'] == ['c00000']


def test_a_candidate_without_the_top_rung_counts_on_its_last_level(known):
    """A metal has no CCSD(T) energy: PBE decides."""
    energies = {'c00000pbe': energy('LiH', 'PBE', -0.45), 'c00001pbe': energy('Li3H', 'PBE', 0.5)}
    found = find_hits(known(), Dict(OPTIONS), energies=energies)
    assert found['hits'] == ['c00000']
    assert found['divergence'] == {}


def test_candidates_compete_with_each_other(known):
    """LiH2 is 1/3 below the tie line of the elements and LiH, and lifts another LiH2 above the hull."""
    energies = {'c00000pbe': energy('LiH2', 'PBE', -0.9), 'c00001pbe': energy('LiH2', 'PBE', -0.6, structure_uuid='x')}
    results = find_hits(known(), Dict(OPTIONS), energies=energies)['levels']['PBE']['results']
    assert results['c00000']['stability'] == 'stable'
    assert results['c00001']['e_above_hull'] == pytest.approx(0.3)


def test_doubtful_energies_are_neither_placed_nor_competitors(known):
    """Without the doubtful LiH of the training set the candidate competes with the elements, and the hull says so."""
    energies = {'c00000pbe': energy('LiH', 'PBE', -0.1), 'c00001pbe': energy('LiH', 'PBE', -9.0, converged=False)}
    found = find_hits(known(doubtful=True), Dict(OPTIONS), energies=energies)
    level = found['levels']['PBE']
    assert found['doubtful'] == ['c00001pbe']
    assert list(level['results']) == ['c00000']
    assert level['results']['c00000']['decomposition_energy'] == pytest.approx(-0.1)
    assert (level['complete'], level['missing']) == (False, ['H-Li'])


def test_energies_of_another_level_are_refused(known):
    """Two level tags never meet in one hull."""
    with pytest.raises(InvalidInputError, match='level of theory'):
        find_hits(known(), Dict(OPTIONS), energies={'c00000pbe': energy('LiH', 'PBE', -0.45, level_tag='test:other')})


def test_the_hits_lead_to_their_energies(known):
    """Every energy that was placed, and the training set, are inputs of the function that counted."""
    node = energy('LiH', 'PBE', -0.45)
    _, process = find_hits.run_get_node(known(), Dict(OPTIONS), energies={'c00000pbe': node})
    assert process.inputs.energies.c00000pbe.uuid == node.uuid
    assert process.inputs.competing.counts['PBE'] == 2
