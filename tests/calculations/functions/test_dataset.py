"""Training sets built from computed energies."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
from aiida import orm
from hypothesis import given
from hypothesis import strategies as st
from rock_salt import rock_salt

from aiida_qagenai.calculations.functions.dataset import (
    build_dataset,
    energy_label,
    known_descriptors,
    split_energy_label,
)
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.common.level import LADDER_LEVELS, Level
from aiida_qagenai.data.candidate import CandidateData
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.exchange.checkpoint import sha256
from aiida_qagenai.exchange.dataset import LabelledBatch

TAGS = dict.fromkeys((level.value for level in LADDER), 'pipeline:toy')
SPLIT = {'fractions': [0.8, 0.1, 0.1, 0.0], 'seed': 0}


def energy(fidelity: Fidelity, value: float, **changes) -> EnergyData:
    """Return an energy of LiH with formation energy ``value``."""
    fields = {
        'fidelity': fidelity,
        'total_energy': -20.0,
        'num_atoms': 2,
        'formation_energy_per_atom': value,
        'formation_scheme': 'anchored',
        'formula': 'LiH',
        'chemical_system': 'H-Li',
        'converged': True,
        'protocol': 'pipeline',
        'level_tag': 'pipeline:toy',
        'scientific': False,
        'structure_uuid': 'any',
    }
    return EnergyData(**{**fields, **changes})


@given(st.integers(0, 99999), st.sampled_from(LADDER))
def test_energy_labels_can_be_split_again(index, fidelity):
    """The two directions agree for every label and level."""
    assert split_energy_label(energy_label(f'c{index:05d}', fidelity)) == (f'c{index:05d}', fidelity)


class TestDataset:
    """The training set."""

    def build(self, previous=None, index=0, **energies):
        """Build a set from one structure and energies by level label."""
        candidate = CandidateData(rock_salt(4.0 + 0.1 * index), cycle=1, index=index).store()
        label = f'c{index:05d}'
        named = {f'{label}{name}': node.store() for name, node in energies.items()}
        inputs = {} if previous is None else {'previous': previous}
        return build_dataset(orm.Dict(SPLIT), structures={label: candidate}, energies=named, **inputs)

    def test_energies_land_in_their_columns(self, aiida_profile_clean):
        """Row by structure, column by level of theory under its tag, NaN where nothing was computed."""
        first = self.build(pbe=energy(Fidelity.PBE, -0.4), ccsdt=energy(Fidelity.CCSD_T, -0.6))
        dataset = self.build(previous=first, index=1, scan=energy(Fidelity.SCAN, -0.5))
        assert first.labels().levels == tuple(Level('pipeline:toy', rung) for rung in (Fidelity.PBE, Fidelity.CCSD_T))
        assert first.labels().energies[0] == pytest.approx([-0.4, -0.6])
        assert [level.rung for level in dataset.labels().levels] == [Fidelity.PBE, Fidelity.SCAN, Fidelity.CCSD_T]
        assert dataset.labels().energies[0] == pytest.approx([-0.4, np.nan, -0.6], nan_ok=True)
        assert dataset.labels().energies[1] == pytest.approx([np.nan, -0.5, np.nan], nan_ok=True)
        dataset = first
        assert dataset.counts == {'PBE': 1, 'SCAN': 0, 'HSE06': 0, 'CCSD(T)': 1}
        assert dataset.base.attributes.get('scientific') is False

    def test_a_relaxed_structure_takes_the_place_of_its_candidate(self, aiida_profile_clean):
        """The set holds the geometry that was computed, under the name of the candidate."""
        candidate = CandidateData(rock_salt(), cycle=1, index=0).store()
        relaxed = orm.StructureData(pymatgen=rock_salt(4.0)).store()
        dataset = build_dataset(
            orm.Dict(SPLIT),
            structures={'c00000': candidate},
            relaxed={'c00000': relaxed},
            energies={'c00000pbe': energy(Fidelity.PBE, -0.4).store()},
        )
        structures = dataset.labels().structures
        assert structures.identifiers.tolist() == ['001-00000']
        assert structures.structures()[0].volume == pytest.approx(16.0)
        assert relaxed.uuid in {node.uuid for node in dataset.creator.base.links.get_incoming().all_nodes()}

    @pytest.mark.parametrize(('tag', 'taken'), [('pipeline:toy', True), ('pipeline:other', False), (None, False)])
    def test_forces_of_the_relaxation_are_labels_of_the_same_level(self, aiida_profile_clean, tag, taken):
        """Forces on the relaxed structure are those of the PBE energy only if their level is the same."""
        candidate = CandidateData(rock_salt(), cycle=1, index=0).store()
        relaxed = orm.StructureData(pymatgen=rock_salt(4.0)).store()
        arrays = orm.ArrayData()
        arrays.set_array('forces', np.array([[0.1, 0.2, 0.3], [-0.1, -0.2, -0.3]]))
        arrays.set_array('stress', np.diag([0.01, 0.02, 0.03]))
        if tag is not None:
            arrays.base.attributes.set('level_tag', tag)
        dataset = build_dataset(
            orm.Dict(SPLIT),
            structures={'c00000': candidate},
            relaxed={'c00000': relaxed},
            forces={'c00000': arrays.store()},
            energies={'c00000pbe': energy(Fidelity.PBE, -0.4).store(), 'c00000scan': energy(Fidelity.SCAN, -1).store()},
        )
        labels = dataset.labels()
        assert dataset.base.attributes.get('force_counts')['PBE'] == int(taken)
        assert dataset.base.attributes.get('force_counts')['SCAN'] == 0
        if taken:
            np.testing.assert_allclose(labels.forces[:, 0], [[0.1, 0.2, 0.3], [-0.1, -0.2, -0.3]])
            np.testing.assert_allclose(labels.stresses[0, 0], np.diag([0.01, 0.02, 0.03]))

    def test_forces_of_an_energy_are_its_labels(self, aiida_profile_clean):
        """An energy that was computed with forces brings them along; a second set keeps those of the first."""
        forces = [[0.0, 0.0, 0.4], [0.0, 0.0, -0.4]]
        first = self.build(pbe=energy(Fidelity.PBE, -0.4, forces=forces, stress=np.eye(3).tolist()))
        second = self.build(previous=first, index=1, pbe=energy(Fidelity.PBE, -0.5)).labels()
        np.testing.assert_allclose(second.forces[:2, 0], forces)
        np.testing.assert_allclose(second.stresses[0, 0], np.eye(3))
        assert np.isnan(second.forces[2:]).all()
        assert second.force_counts['PBE'] == 1

    def test_forces_on_another_number_of_atoms_are_refused(self):
        """The forces of another cell never become labels."""
        with pytest.raises(InvalidInputError, match='forces on 1 atoms of 2'):
            energy(Fidelity.PBE, -0.4, forces=[[0.0, 0.0, 0.0]])

    def test_a_set_of_an_earlier_release_has_its_tags_in_the_attributes(self, toy_labels):
        """Its file holds the whole ladder without tags: it is read as a set of today, so that it can be extended."""
        old = DatasetData(toy_labels, level_tags=TAGS, formation_scheme='anchored')
        with tempfile.TemporaryDirectory() as folder:
            toy_labels.save(f'{folder}/old.npz')
            content = Path(f'{folder}/old.npz').read_bytes()
        assert LabelledBatch.load(io.BytesIO(content)).levels == LADDER_LEVELS
        old.base.repository.put_object_from_filelike(io.BytesIO(content), old.FILENAME)
        old.base.attributes.set('content_hash', sha256(content))
        assert {level.tag for level in old.labels().levels} == {'pipeline:toy'}
        assert old.labels().counts == toy_labels.counts

    def test_extends_the_previous_set(self, aiida_profile_clean):
        """The new rows follow the old ones."""
        first = self.build(pbe=energy(Fidelity.PBE, -0.4))
        second = self.build(previous=first, index=1, pbe=energy(Fidelity.PBE, -0.5))
        assert second.labels().energies[:, 0].tolist() == [-0.4, -0.5]
        assert second.labels().structures.identifiers.tolist() == ['001-00000', '001-00001']

    def test_levels_of_different_technique_never_mix(self, aiida_profile_clean):
        """Another basis or mesh is refused."""
        first = self.build(pbe=energy(Fidelity.PBE, -0.4))
        other = energy(Fidelity.PBE, -0.5, level_tag='fast:dz', protocol='fast')
        with pytest.raises(InvalidInputError, match='never mix'):
            self.build(previous=first, index=1, pbe=other)

    def test_energies_that_cannot_be_trusted_are_marked(self, aiida_profile_clean):
        """Those of iterations that did not converge, and of CCSD(T) where one determinant is no good reference."""
        bad = energy(Fidelity.CCSD_T, -0.6, t1_diagnostic=0.08)
        batch = self.build(pbe=energy(Fidelity.PBE, -0.4, converged=False), ccsdt=bad).labels()
        assert batch.doubtful.tolist() == [[True, True]]
        good = energy(Fidelity.CCSD_T, -0.6, t1_diagnostic=0.04)
        batch = self.build(index=1, pbe=energy(Fidelity.PBE, -0.4), ccsdt=good).labels()
        assert batch.doubtful.tolist() == [[False, False]]

    def test_the_same_structure_is_not_counted_twice(self, aiida_profile_clean):
        """A candidate that is in the set already is refused."""
        first = self.build(pbe=energy(Fidelity.PBE, -0.4))
        with pytest.raises(InvalidInputError, match='already in the training set'):
            self.build(previous=first, pbe=energy(Fidelity.PBE, -0.5))

    def test_energy_without_formation_energy_is_refused(self, aiida_profile_clean):
        """Totals of different levels are not comparable."""
        bare = energy(Fidelity.PBE, None, formation_scheme=None)
        with pytest.raises(InvalidInputError, match='has no formation energy'):
            self.build(pbe=bare)


def test_packed_file_of_a_set_is_reproducible(toy_labels):
    """The same content gives the same bytes, on which hashes rest."""
    first, second = io.BytesIO(DatasetData._pack(toy_labels)), io.BytesIO(DatasetData._pack(toy_labels))
    assert first.getvalue() == second.getvalue()


@pytest.mark.parametrize(
    ('polarized', 'gap', 'expected'), [(True, 3.5, {'band_gap': 3.5}), (True, None, {}), (False, 3.5, {})]
)
def test_the_gap_of_a_spin_polarised_crystal_is_its_descriptor(aiida_profile, polarized, gap, expected):
    """Others have descriptors of their own, which come first."""
    energy = EnergyData(
        fidelity='PBE',
        total_energy=-5.0,
        num_atoms=2,
        formula='NiO',
        chemical_system='Ni-O',
        converged=True,
        protocol='pipeline',
        level_tag='pipeline:a',
        scientific=False,
        structure_uuid='a' * 32,
        spin_polarized=polarized,
        band_gap=gap,
    )
    assert known_descriptors('c00001', {'c00001pbe': energy}, {}) == expected
    own = orm.Dict({'band_gap': 1.0})
    assert known_descriptors('c00001', {'c00001pbe': energy}, {'c00001': own}) == {'band_gap': 1.0}
