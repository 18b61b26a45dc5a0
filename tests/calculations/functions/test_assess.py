"""Screening, ranking and choice of the candidates of a cycle."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from aiida import orm
from pymatgen.core import Lattice, Structure
from rock_salt import rock_salt

from aiida_qagenai.calculations.functions.assess import assess_candidates
from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.data.candidate import CandidateData
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.data.prediction import PredictionData
from aiida_qagenai.exchange.structures import StructureBatch

TAGS = dict.fromkeys((level.value for level in LADDER), 'pipeline:toy')


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

    def test_the_rank_at_low_fidelity_is_by_distance_to_the_hull(self, pool):
        """A formation energy that is lower counts less than a place nearer to the hull."""
        parameters = pool['parameters'].get_dict()
        parameters['select']['acquisition'] = 'low_fidelity_rank'
        outputs = assess_candidates(**{**pool, 'parameters': orm.Dict(parameters)})
        verdicts = {label: item.content for label, item in outputs['assessments'].items()}
        assert verdicts['c00000'].rank == 1 and verdicts['c00004'].rank == 2
        scaling = outputs['selection']['scaling']['low_fidelity']
        # −0.5 and −0.4 eV/atom are 0.1 and 0.2 above the −0.6 of what competes.
        assert scaling['lower'] == pytest.approx(-0.2) and -0.2 < scaling['upper'] <= -0.1

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

    @pytest.mark.parametrize(('max_atoms', 'chosen'), [(1, []), (2, ['c00004'])])
    def test_larger_cells_are_judged_but_not_computed(self, pool, max_atoms, chosen):
        """Two atoms are more than one."""
        parameters = pool['parameters'].get_dict()
        parameters['select']['max_atoms'] = max_atoms
        outputs = assess_candidates(**{**pool, 'parameters': orm.Dict(parameters)})
        assert outputs['selection']['selected'] == chosen and outputs['selection']['funnel']['stable'] == 2

    def test_a_spent_budget_selects_nothing(self, pool):
        """With nothing left, candidates are judged but not computed."""
        pool['parameters'] = orm.Dict({**pool['parameters'].get_dict(), 'remaining_budget': 0})
        assert assess_candidates(**pool)['selection']['selected'] == []


@pytest.mark.parametrize(('top', 'ranked_by'), [('HSE06', 'HSE06'), (None, 'CCSD(T)')])
def test_hull_and_sigma_are_those_of_the_top_rung(pool, top, ranked_by):
    """No hull is above it, and its σ ranks the candidates."""
    parameters = pool['parameters'].get_dict()
    parameters['select']['acquisition'] = 'uncertainty'
    pool['parameters'] = orm.Dict({**parameters, **({'top': top} if top else {})})
    outputs = assess_candidates(**pool)
    assert outputs['assessments']['c00000'].base.attributes.get('hull_fidelity') == ranked_by
    notes = outputs['selection']['notes']
    assert bool([note for note in notes if 'calibrated' in note]) is (top is not None)
