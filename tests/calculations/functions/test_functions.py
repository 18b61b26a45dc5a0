"""The calcfunctions of a campaign: initial set, training set, assessment, ledger."""

from __future__ import annotations

import dataclasses
import io
import tempfile
import typing as t
from pathlib import Path

import numpy as np
import pytest
from aiida import orm
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from aiida_qagenai.calculations.functions.assess import assess_candidates
from aiida_qagenai.calculations.functions.dataset import build_dataset, energy_label, split_energy_label
from aiida_qagenai.calculations.functions.ledger import open_ledger, remaining_budget, update_ledger
from aiida_qagenai.calculations.functions.seed import build_seed_set, plan_labels
from aiida_qagenai.chemistry.prototypes import seed_structures
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.common.level import LADDER_LEVELS, Level
from aiida_qagenai.data.candidate import CandidateData
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.data.prediction import PredictionData
from aiida_qagenai.exchange.checkpoint import sha256
from aiida_qagenai.exchange.dataset import LabelledBatch
from aiida_qagenai.exchange.structures import StructureBatch

TAGS = dict.fromkeys((level.value for level in LADDER), 'pipeline:toy')
SPLIT = {'fractions': [0.8, 0.1, 0.1, 0.0], 'seed': 0}


def rock_salt(a: float = 4.08) -> Structure:
    """Return the primitive cell of LiH."""
    lattice = Lattice(np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) * a / 2)
    return Structure(lattice, ['Li', 'H'], [[0, 0, 0], [0.5, 0.5, 0.5]])


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


class TestSeed:
    """The initial set."""

    def test_plan_is_nested(self):
        """A structure computed at a level is computed at all levels below."""
        seeds = seed_structures(['Li', 'H'], max_atoms=4, num_structures=24, seed=1)
        plan = plan_labels(seeds, {Fidelity.SCAN: 8, Fidelity.HSE06: 6, Fidelity.CCSD_T: 4})
        for levels in plan:
            assert levels == list(LADDER[: len(levels)])
        assert [sum(level in levels for levels in plan) for level in LADDER] == [24, 8, 6, 4]

    def test_only_neutral_structures_climb(self):
        """CCSD(T) does not apply to metals, so charge-neutral compositions come first."""
        seeds = seed_structures(['Li', 'H'], max_atoms=4, num_structures=24, seed=1)
        plan = plan_labels(seeds, {Fidelity.SCAN: 8})
        assert all(seed.neutral for seed, levels in zip(seeds, plan, strict=True) if len(levels) > 1)

    @pytest.mark.parametrize('source', ['library', 'prototypes'])
    def test_nodes_and_packed_set_agree(self, aiida_profile_clean, source):
        """The set packs the candidates in the order of their labels."""
        parameters = {
            'source': source,
            'num_structures': 6,
            'max_atoms': 2,
            'strain': 0.05,
            'displacement': 0.05,
            'seed': 2,
            'labels': {},
        }
        outputs = build_seed_set(orm.List(['Li', 'H']), orm.Dict(parameters))
        nodes = [outputs['candidates'][label] for label in sorted(outputs['candidates'])]
        batch = outputs['candidate_set'].structures()
        assert batch.identifiers.tolist() == [node.name for node in nodes]
        for node, structure in zip(nodes, batch.structures(), strict=True):
            assert node.formula == structure.composition.reduced_formula
        systems = {node.base.attributes.get('chemical_system') for node in nodes}
        assert systems == ({'H-Li', 'Li'} if source == 'library' else {'H-Li'})


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


@pytest.fixture
def pool(aiida_profile_clean, toy_labels):
    """Return the inputs of an assessment of five candidates: good, too dense, a duplicate, unstable, good."""
    known = DatasetData(toy_labels, level_tags=TAGS, formation_scheme='anchored')
    shapes = [rock_salt(4.5), rock_salt(2.0), rock_salt(4.5), rock_salt(5.0), rock_salt(4.75)]
    energies = [-0.5, -0.5, -0.5, 3.0, -0.4]
    candidates = {f'c{i:05d}': CandidateData(shape, cycle=1, index=i).store() for i, shape in enumerate(shapes)}
    predictions = {
        label: PredictionData(
            candidate_uuid=candidate.uuid,
            cycle=1,
            index=candidate.index,
            **{f'energy_{level.label}': value for level in LADDER},
            **{f'sigma_{level.label}': 0.02 for level in LADDER},
            divergence_signed=-0.1 - 0.1 * candidate.index,
            divergence_sigma=0.01,
            out_of_distribution=False,
            distance_to_training=1.0,
        ).store()
        for (label, candidate), value in zip(candidates.items(), energies, strict=True)
    }
    arrays = orm.ArrayData()
    arrays.set_array('features', np.arange(15.0).reshape(5, 3))
    arrays.set_array('competing_energies', np.full((len(toy_labels), 4), -0.6))
    names = [candidate.name for candidate in candidates.values()]
    parameters = {
        'screen': {'max_e_above_hull': 0.5, 'hull_fidelity': 'CCSD(T)'},
        'select': {
            'acquisition': 'hybrid',
            'divergence': 'absolute',
            'num_clusters': 3,
            'fraction': 0.1,
            'cap': 20,
            'audit_fraction': 0.0,
        },
        'remaining_budget': 10,
        'seed': 1,
    }
    return {
        'candidate_set': DatasetData(StructureBatch.from_structures(shapes, names)),
        'candidates': candidates,
        'predictions': predictions,
        'arrays': arrays,
        'competing': known,
        'parameters': orm.Dict(parameters),
    }


class TestAssess:
    """Screening, hull, score and choice."""

    def test_funnel(self, pool):
        """Every candidate says what stopped it, and the counts add up."""
        outputs = assess_candidates(**pool)
        verdicts = [outputs['assessments'][label].content for label in sorted(outputs['assessments'])]
        assert [verdict.stopped_by for verdict in verdicts] == [None, 'constraints', 'duplicate', 'unstable', None]
        representatives = [verdict.duplicate_of for verdict in verdicts]
        assert representatives == [None, None, '001-00000', None, None]
        assert outputs['selection']['funnel'] == {
            'generated': 5,
            'within constraints': 4,
            'new': 3,
            'stable': 2,
            'selected': 1,
        }

    def test_the_largest_divergence_is_chosen(self, pool):
        """One call is allowed, and the score prefers the candidate with the larger D."""
        outputs = assess_candidates(**pool)
        assert outputs['selection']['selected'] == ['c00004']
        assert outputs['assessments']['c00004'].content.rank == 1

    def test_distance_to_the_hull_counts_the_known_phases(self, pool):
        """The known LiH lies at −0.6 eV/atom, the candidate 0.1 above."""
        outputs = assess_candidates(**pool)
        assert outputs['assessments']['c00000'].content.e_above_hull == pytest.approx(0.1)

    def test_elements_lie_at_zero_whatever_is_predicted(self, pool, toy_labels):
        """Lithium and hydrogen of the training set, predicted at −5 eV/atom, do not hide the compounds."""
        groups = toy_labels.groups.copy()
        groups[:2] = 'Li', 'H2'
        labels = dataclasses.replace(toy_labels, groups=groups)
        pool['competing'] = DatasetData(labels, level_tags=TAGS, formation_scheme='anchored')
        energies = np.full((len(toy_labels), 4), -0.6)
        energies[:2] = -5.0
        pool['arrays'].set_array('competing_energies', energies)
        outputs = assess_candidates(**pool)
        assert outputs['assessments']['c00000'].content.e_above_hull == pytest.approx(0.1)

    def test_a_hull_of_too_few_phases_rejects_nothing(self, pool):
        """Six compositions are known in Li–Na–H: as unstable as it is predicted, a candidate has no distance."""
        places = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0, 0, 0.5]]
        shape = Structure(Lattice.tetragonal(3.3, 4.7), ['Na', 'Li', 'H', 'H'], places)
        candidate = CandidateData(shape, cycle=1, index=3).store()
        pool['candidates']['c00003'] = candidate
        content = pool['predictions']['c00003'].content.model_dump(exclude_none=True)
        pool['predictions']['c00003'] = PredictionData(**{**content, 'candidate_uuid': candidate.uuid}).store()
        shapes = pool['candidate_set'].structures().structures()
        shapes[3] = shape
        names = [item.name for item in pool['candidates'].values()]
        pool['candidate_set'] = DatasetData(StructureBatch.from_structures(shapes, names))
        parameters = pool['parameters'].get_dict()
        for min_references, distance in ((12, None), (0, 3.4)):
            parameters['screen']['min_references'] = min_references
            outputs = assess_candidates(**{**pool, 'parameters': orm.Dict(parameters)})
            verdict = outputs['assessments']['c00003'].content
            assert verdict.e_above_hull == (distance and pytest.approx(distance, abs=0.1))
            assert verdict.stopped_by == (None if distance is None else 'unstable')
            assert (verdict.hull_references, verdict.stability) == (6, 'unknown' if distance is None else 'unstable')

    def test_every_verdict_names_its_candidate(self, pool):
        """The uuid and the label point to the same candidate."""
        outputs = assess_candidates(**pool)
        for label, candidate in pool['candidates'].items():
            assert outputs['assessments'][label].content.candidate_uuid == candidate.uuid

    def test_a_candidate_without_a_prediction_is_kept_and_not_chosen(self, pool):
        """A number that is not finite leaves a verdict, not a gap."""
        content = pool['predictions']['c00004'].content.model_dump(exclude_none=True)
        unpredicted = {k: v for k, v in content.items() if not k.startswith(('energy', 'sigma', 'divergence'))}
        pool['predictions']['c00004'] = PredictionData(**unpredicted).store()
        outputs = assess_candidates(**pool)
        assert outputs['assessments']['c00004'].content.stopped_by == 'prediction'
        assert outputs['selection']['selected'] == ['c00000']

    def test_a_rung_that_the_validator_was_not_trained_on_stops_nobody(self, pool):
        """The hull is at the highest rung with predictions, and the unknown divergence ranks nothing: both are said."""
        for label, node in pool['predictions'].items():
            fields = node.content.model_dump(exclude_none=True)
            known = {k: v for k, v in fields.items() if 'ccsdt' not in k and not k.startswith('divergence')}
            pool['predictions'][label] = PredictionData(**known).store()
        energies = pool['arrays'].get_array('competing_energies')
        energies[:, Fidelity.CCSD_T.rank] = np.nan
        pool['arrays'] = orm.ArrayData()
        pool['arrays'].set_array('features', np.arange(15.0).reshape(5, 3))
        pool['arrays'].set_array('competing_energies', energies)
        outputs = assess_candidates(**pool)
        verdict = outputs['assessments']['c00000'].content
        assert (verdict.hull_fidelity, verdict.stopped_by) == ('HSE06', None)
        assert verdict.e_above_hull is not None
        assert outputs['selection']['funnel']['stable'] == 2
        assert len(outputs['selection']['selected']) == 1
        assert outputs['selection']['notes'] == [
            'no prediction at CCSD(T): the hull is at HSE06',
            'no divergence is predicted: it ranks nothing',
        ]

    @pytest.mark.parametrize(('option', 'chosen'), [('accept', 'c00004'), ('reject', 'c00000')])
    def test_what_the_validator_does_not_know_can_be_left_out(self, pool, option, chosen):
        """A large divergence far from the training set is a guess."""
        content = pool['predictions']['c00004'].content.model_dump(exclude_none=True)
        pool['predictions']['c00004'] = PredictionData(**{**content, 'out_of_distribution': True}).store()
        parameters = pool['parameters'].get_dict()
        parameters['screen']['out_of_distribution'] = option
        outputs = assess_candidates(**{**pool, 'parameters': orm.Dict(parameters)})
        assert outputs['selection']['selected'] == [chosen]
        stopped_by = outputs['assessments']['c00004'].content.stopped_by
        assert stopped_by == (None if option == 'accept' else 'out of distribution')
        assert outputs['selection']['funnel']['stable'] == (2 if option == 'accept' else 1)

    def test_a_spent_budget_selects_nothing(self, pool):
        """With nothing left, candidates are judged but not computed."""
        pool['parameters'] = orm.Dict({**pool['parameters'].get_dict(), 'remaining_budget': 0})
        assert assess_candidates(**pool)['selection']['selected'] == []


class TestLedger:
    """Counts and costs."""

    ENTRY: t.ClassVar = {'eligible': 3, 'budget': 10, 'core_hours': {'pyscf': 1.0, 'ml': 0.5}}

    @settings(max_examples=10, deadline=None)
    @given(st.lists(st.integers(0, 3), max_size=3))
    def test_what_is_spent_adds_up(self, aiida_profile, calls):
        """The remaining budget is the budget less all calls."""
        ledger = open_ledger(orm.Dict({'core_hours': {'pyscf': 2.0, 'ml': 0.0}}))
        for number, count in enumerate(calls, start=1):
            ledger = update_ledger(ledger, orm.Dict({**self.ENTRY, 'cycle': number, 'oracle_calls': count}))
        assert remaining_budget(ledger.get_dict(), 10) == 10 - sum(calls)
        assert ledger['core_hours'] == pytest.approx(2.0 + 1.5 * len(calls))

    def test_a_cycle_is_never_counted_twice(self, aiida_profile_clean):
        """The second entry of one cycle is refused."""
        entry = orm.Dict({**self.ENTRY, 'cycle': 1, 'oracle_calls': 1})
        ledger = update_ledger(open_ledger(orm.Dict({})), entry)
        with pytest.raises(InvalidInputError, match='counted twice'):
            update_ledger(ledger, entry)

    def test_the_budget_is_never_exceeded(self, aiida_profile_clean):
        """More calls than allowed are an error, not a rounding."""
        entry = orm.Dict({**self.ENTRY, 'cycle': 1, 'oracle_calls': 11})
        with pytest.raises(InvalidInputError, match='exceed the budget'):
            update_ledger(open_ledger(orm.Dict({})), entry)


def test_packed_file_of_a_set_is_reproducible(toy_labels):
    """The same content gives the same bytes, on which hashes rest."""
    first, second = io.BytesIO(DatasetData._pack(toy_labels)), io.BytesIO(DatasetData._pack(toy_labels))
    assert first.getvalue() == second.getvalue()
