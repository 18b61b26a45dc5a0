"""Relaxation of a set of candidates through the engine: every candidate comes back, linked to the one it came from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from aiida import orm
from aiida.engine import calcfunction, run_get_node
from aiida.manage.caching import enable_caching
from pymatgen.core import Lattice, Structure

from aiida_qagenai.calculations.atomistic.relax_many import RelaxManyCalculation
from aiida_qagenai.data.candidate import CandidateData, Lineage
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.queries.integrity import check_integrity

LINEAGE = Lineage('mp-30', 'Cu', 0.5, 0.1, 'replay')


def fcc(symbol: str, edge: float) -> Structure:
    return Structure(Lattice(np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]) * edge / 2), [symbol], [[0, 0, 0]])


CRYSTALS = (
    fcc('Cu', 3.7),
    Structure(Lattice.cubic(3.0), ['Cu', 'Cu'], [[0, 0, 0], [0.001, 0, 0]]),  # overlapping atoms
    fcc('Na', 4.0),  # unknown to EMT
    fcc('Ag', 4.2),
)


@calcfunction
def propose(n):
    """Create the candidates and the set that packs them, as a generation does."""
    crystals = CRYSTALS[: n.value]
    nodes = {
        f'c{index:05d}': CandidateData(
            crystal, cycle=2, index=index, origin='toy', lineage=LINEAGE, label=f'toy {index}'
        )
        for index, crystal in enumerate(crystals)
    }
    batch = StructureBatch.from_structures(crystals, [node.name for node in nodes.values()])
    return {'candidates': nodes, 'candidate_set': DatasetData(batch)}


def inputs(code, proposed, **others):
    """Return the inputs of a relaxation by EMT."""
    parameters = orm.Dict({'potential': {'name': 'emt'}, 'relaxation': {'max_force': 0.01, 'max_stress': 1e-4}})
    return {'code': code, 'candidate_set': proposed['candidate_set'], 'parameters': parameters, **others}


def test_every_candidate_comes_back(ml_code):
    """Two relax, two cannot and go on as they were; each leads to the unrelaxed one by link, label and attribute."""
    proposed = propose(orm.Int(4))
    node = run_get_node(RelaxManyCalculation, **inputs(ml_code, proposed))[1]
    assert node.is_finished_ok, node.exit_message
    relaxed = [node.outputs.candidates[f'c{index:05d}'] for index in range(4)]
    assert [each.base.attributes.get('relaxation_converged') for each in relaxed] == [True, False, False, True]
    for index, each in enumerate(relaxed):
        before = proposed['candidates'][f'c{index:05d}']
        content = each.base.attributes.all
        assert content['relaxed_from'] == before.uuid == node.inputs.members[f'c{index:05d}'].uuid
        assert (each.name, each.label, content['origin']) == (before.name, before.label, 'toy')
        assert Lineage(*(content[name] for name in Lineage._fields)) == LINEAGE
        assert content['relaxation_potential'] == 'emt'
        if content['relaxation_converged']:
            assert content['relaxation_force'] <= 0.01 and content['relaxation_stress'] <= 1e-4
            assert content['relaxation_steps'] > 0 and content['relaxation_reason'] == ''
            assert each.get_cell_volume() == pytest.approx(
                before.get_cell_volume() * (1 + content['relaxation_volume_change'])
            )
            assert abs(content['relaxation_volume_change']) > 0.01
        else:
            assert each.cell == before.cell and [s.position for s in each.sites] == [s.position for s in before.sites]
            assert content['relaxation_reason'] and content['relaxation_energy_per_atom'] is None
            assert content['fingerprint'] == before.base.attributes.get('fingerprint')
    batch = node.outputs.candidate_set.structures()
    assert batch.identifiers.tolist() == [each.name for each in relaxed]
    for each, structure in zip(relaxed, batch.structures(), strict=True):
        np.testing.assert_allclose(structure.lattice.matrix, each.cell)
    assert node.outputs.results['num_converged'] == 2
    report = check_integrity()
    assert not report.faults and report.checked['candidates'] == 4


def test_candidates_may_be_left_out_and_known_phases_come_along(ml_code):
    """What the screening names is passed on with the reason; a known phase is relaxed in the same job."""
    proposed = propose(orm.Int(2))
    known = DatasetData(StructureBatch.from_structures([fcc('Au', 4.2)], ['mp-81']))
    screening = orm.Dict({'002-00001': 'not relaxed: too short a distance'})
    node = run_get_node(RelaxManyCalculation, **inputs(ml_code, proposed, competing=known, screening=screening))[1]
    assert node.is_finished_ok, node.exit_message
    assert [each['identifier'] for each in node.outputs.results['relaxations']] == ['002-00000', 'mp-81']
    left_out = node.outputs.candidates['c00001']
    assert left_out.base.attributes.get('relaxation_reason') == 'not relaxed: too short a distance'
    assert left_out.cell == proposed['candidates']['c00001'].cell
    phase = node.outputs.competing.structures()
    assert phase.identifiers.tolist() == ['mp-81']
    assert np.linalg.det(phase.cells[0]) < np.linalg.det(known.structures().cells[0]) - 0.3


@pytest.mark.slow
def test_a_job_that_was_cut_goes_on_from_its_journal(ml_code):
    """An outcome in the journal that no relaxation gives shows that it was read and not computed again."""
    proposed = propose(orm.Int(4))
    node = run_get_node(RelaxManyCalculation, **inputs(ml_code, proposed))[1]
    journal = Path(node.outputs.remote_folder.get_remote_path()) / RelaxManyCalculation.FILENAME_JOURNAL
    lines = [json.loads(line) for line in journal.read_text().splitlines() if line]
    copper = next(line for line in lines if line['converged'])
    journal.write_text(json.dumps({**copper, 'steps': 77}) + '\n{"key": "cut')
    again = run_get_node(
        RelaxManyCalculation,
        **inputs(ml_code, proposed, parent_folder=node.outputs.remote_folder, metadata={'disable_cache': True}),
    )[1]
    assert again.is_finished_ok, again.exit_message
    steps = [each['steps'] for each in again.outputs.results['relaxations']]
    assert 77 in steps and steps.count(77) == 1 and again.outputs.results['num_converged'] == 2


@pytest.mark.slow
def test_a_folder_without_a_journal_is_a_fresh_start(ml_code):
    proposed = propose(orm.Int(1))
    node = run_get_node(RelaxManyCalculation, **inputs(ml_code, proposed))[1]
    (Path(node.outputs.remote_folder.get_remote_path()) / RelaxManyCalculation.FILENAME_JOURNAL).unlink()
    again = run_get_node(RelaxManyCalculation, **inputs(ml_code, proposed, parent_folder=node.outputs.remote_folder))[1]
    assert again.is_finished_ok, again.exit_message


def test_a_cached_relaxation_names_the_candidates_of_its_own_set(ml_code):
    """Equal candidates of another run: the clones lead to those, not to the ones of the cached run."""
    first = run_get_node(RelaxManyCalculation, **inputs(ml_code, propose(orm.Int(2))))[1]
    proposed = propose(orm.Int(2))
    with enable_caching():
        second = run_get_node(RelaxManyCalculation, **inputs(ml_code, proposed))[1]
    assert second.base.caching.get_cache_source() == first.uuid
    for label, candidate in proposed['candidates'].items():
        relaxed = second.outputs.candidates[label]
        assert relaxed.base.attributes.get('relaxed_from') == candidate.uuid
        assert relaxed.base.caching.compute_hash() == first.outputs.candidates[label].base.caching.compute_hash()
    assert not check_integrity().faults


def test_nothing_relaxed_is_a_warning_and_nothing_is_lost(ml_code, monkeypatch):
    monkeypatch.setattr(f'{__name__}.CRYSTALS', (fcc('Na', 4.0),))
    node = run_get_node(RelaxManyCalculation, **inputs(ml_code, propose(orm.Int(1))))[1]
    assert node.exit_status == 730 and 'Na' in node.exit_message
    assert node.outputs.candidates['c00000'].get_formula() == 'Na'


def test_wrong_inputs_are_refused(ml_code):
    proposed = propose(orm.Int(2))
    validator = {'parameters': orm.Dict({'potential': {'name': 'validator'}})}
    with pytest.raises(ValueError, match='needs a checkpoint'):
        run_get_node(RelaxManyCalculation, **{**inputs(ml_code, proposed), **validator})
    with pytest.raises(ValueError, match='names `9`, which is not in'):
        run_get_node(RelaxManyCalculation, **inputs(ml_code, proposed, screening=orm.Dict({'9': 'x'})))
    everything = orm.Dict({'002-00000': 'x', '002-00001': 'x'})
    with pytest.raises(ValueError, match='leaves no candidate'):
        run_get_node(RelaxManyCalculation, **inputs(ml_code, proposed, screening=everything))
