"""Phases of a hull from energies and data sets."""

import numpy as np
import pytest
from aiida import orm
from pymatgen.core import Lattice, Structure

from aiida_qagenai.calculations.functions.hull import place_on_hull
from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.data.phases import phases_from_dataset, phases_from_energies
from aiida_qagenai.exchange.dataset import LabelledBatch
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.thermodynamics.hull.convex_hull import distances_to_hull

TAGS = dict.fromkeys((level.value for level in LADDER), 'fast:toy')


def energy(formula, total, atoms, formation=None, **changes):
    """Return a computed energy."""
    fields = {
        'fidelity': Fidelity.PBE,
        'total_energy': total,
        'num_atoms': atoms,
        'formation_energy_per_atom': formation,
        'formation_scheme': None if formation is None else 'self_consistent',
        'formula': formula,
        'chemical_system': formula,
        'converged': True,
        'protocol': 'fast',
        'level_tag': 'fast:toy',
        'scientific': True,
        'structure_uuid': formula,
    }
    return EnergyData(**{**fields, **changes})


def dataset(rows, **changes):
    """Return a labelled set of (species, PBE energy)."""
    structures = [
        Structure(Lattice.cubic(6), species, np.linspace(0, 0.8, len(species))[:, None] * np.ones(3))
        for species, _ in rows
    ]
    energies = np.full((len(rows), 4), np.nan)
    energies[:, 0] = [value for _, value in rows]
    batch = LabelledBatch(
        structures=StructureBatch.from_structures(structures, [f's{index}' for index in range(len(rows))]),
        energies=energies,
        descriptors=np.full((len(rows), NUM_DESCRIPTORS), np.nan),
        groups=np.array([s.composition.reduced_formula for s in structures]),
        split=np.zeros(len(rows), dtype=np.int8),
    )
    return DatasetData(batch, **{'level_tags': TAGS, 'formation_scheme': 'self_consistent', **changes})


def test_total_energies_make_a_hull_with_their_elements(aiida_profile_clean):
    known = [energy('Li', -14.0, 2), energy('H2', -32.0, 2), energy('LiH', -24.0, 2)]
    phases = phases_from_energies(known)
    assert [phase.energy_per_atom for phase in phases] == [-7.0, -16.0, -12.0]
    result = distances_to_hull(phases_from_energies([energy('LiH', -23.9, 2, structure_uuid='new')]), phases)[0]
    assert result.e_above_hull == pytest.approx(0.05)


def test_formation_energies_come_first_and_never_meet_totals(aiida_profile_clean):
    formed = energy('LiH', -24.0, 2, -0.4)
    assert phases_from_energies([formed])[0].energy_per_atom == -0.4
    with pytest.raises(InvalidInputError, match='one kind of energy'):
        phases_from_energies([formed, energy('Li', -14.0, 2)])


def test_one_level_of_theory(aiida_profile_clean):
    scan = energy('LiH', -24.1, 2, fidelity=Fidelity.SCAN)
    other = energy('LiH', -24.1, 2, level_tag='fast:other')
    for second in (scan, other):
        with pytest.raises(InvalidInputError, match='one level of theory'):
            phases_from_energies([energy('LiH', -24.0, 2), second])
    assert len(phases_from_energies([energy('LiH', -24.0, 2), scan], fidelity=Fidelity.SCAN)) == 1


def test_what_did_not_converge_is_refused(aiida_profile_clean):
    with pytest.raises(InvalidInputError, match='did not converge'):
        phases_from_energies([energy('LiH', -24.0, 2, converged=False)])


def test_data_sets_make_a_hull(aiida_profile_clean):
    known = dataset([(['Li', 'H'], -0.4), (['Li', 'Li', 'O'], -2.0), (['Li', 'H'], np.nan)])
    assert [phase.identifier.split()[0] for phase in phases_from_dataset(known, Fidelity.PBE)] == ['s0', 's1']
    wanted = dataset([(['Li', 'H'], -0.35), (['Li', 'O'], -1.0)])
    outcome = place_on_hull(wanted, known, orm.Dict({'fidelity': 'PBE'})).get_dict()
    assert [record['identifier'] for record in outcome['results']] == ['s0', 's1']
    # the same structure does not compete with itself, its namesake in another set does
    assert outcome['results'][0]['missing'] == ['H-Li']
    assert outcome['results'][1]['e_above_hull'] == pytest.approx(0.5)
    assert outcome['stability'] == {'stable': 1, 'unstable': 1}
    with pytest.raises(InvalidInputError, match='no energies of SCAN'):
        phases_from_dataset(known, Fidelity.SCAN)
    with pytest.raises(InvalidInputError, match='unknown parameters'):
        place_on_hull(wanted, known, orm.Dict({'fidelty': 'PBE'}))


def test_sets_of_different_levels_are_refused(aiida_profile_clean):
    known = dataset([(['Li', 'H'], -0.4)])
    other = dataset([(['Li', 'H'], -0.4)], level_tags={**TAGS, 'PBE': 'fast:other'})
    with pytest.raises(InvalidInputError, match='one level'):
        place_on_hull(other, known, orm.Dict({'fidelity': 'PBE'}))
