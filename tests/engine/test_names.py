"""Labels of processes and of what they make, for people and graphical interfaces."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.engine import calcfunction, run_get_node
from aiida.manage.caching import enable_caching
from aiida.orm import Int, Str, StructureData
from batch_processes import make_candidates, make_prediction, rock_salt
from fake_campaign import make_assessment, make_checkpoint, make_energy, make_labels
from pymatgen.core import Lattice, Structure

from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.candidate import CandidateData, Lineage, Relaxation
from aiida_qagenai.engine.bulk import store_outputs
from aiida_qagenai.engine.names import MAX_LABEL, child_names, subject
from aiida_qagenai.engine.resumable import ResumableWorkChain


@calcfunction
def count(structure):
    """Return the number of sites."""
    return Int(len(structure.sites))


class Leaf(ResumableWorkChain):
    """A child that calls a function."""

    @classmethod
    def define(cls, spec):
        """Define one step."""
        super().define(spec)
        spec.input('structure', valid_type=StructureData, required=False)
        spec.input('fidelity', valid_type=Str, required=False)
        spec.outline(cls.call)

    def call(self):
        """Call a function where there is a structure."""
        if 'structure' in self.inputs:
            self.call_once('count', count, structure=self.inputs.structure)


class Root(ResumableWorkChain):
    """Submits a child by its class, one by a builder, and one that has a label."""

    @classmethod
    def define(cls, spec):
        """Define one step."""
        super().define(spec)
        spec.input('structure', valid_type=StructureData)
        spec.outline(cls.spawn, cls.finish)

    def spawn(self):
        """Submit all of them."""
        builder = Leaf.get_builder()
        builder.structure, builder.fidelity = self.inputs.structure, Str('PBE')
        named = Leaf.get_builder()
        named.metadata.label = 'mine'
        self.to_context(
            energy=self.submit_once('s000LiHpbe', builder),
            plain=self.submit_once('cycle001', Leaf),
            named=self.submit_once('third', named),
        )

    def finish(self):
        """Wait for them."""


@pytest.fixture
def crystal() -> StructureData:
    """Return LiH."""
    structure = Structure(Lattice.cubic(4.0), ['Li', 'H'], [[0, 0, 0], [0.5, 0.5, 0.5]])
    return StructureData(pymatgen=structure)


def test_every_process_of_a_work_chain_says_what_it_is_about(aiida_profile_clean, crystal):
    _, root = run_get_node(Root, structure=crystal, metadata={'label': 'lih'})
    children = {entry.link_label: entry.node for entry in root.base.links.get_outgoing().all()}
    assert {label: child.label for label, child in children.items()} == {
        's000LiHpbe': 'LiH PBE',
        'cycle001': 'lih · cycle001',
        'third': 'mine',
    }
    assert children['cycle001'].description == f'cycle001 of Root lih ({root.uuid[:8]})'
    assert all(child.is_finished_ok for child in children.values()), [child.exception for child in children.values()]
    (function,) = children['s000LiHpbe'].called
    assert function.label == 'LiH PBE · count' and function.process_label == 'count'
    _, alone = run_get_node(Leaf, structure=crystal, fidelity=Str('SCAN'))
    assert alone.label == 'LiH SCAN'


def test_what_comes_from_the_cache_is_called_by_its_own_caller(aiida_profile_clean, crystal):
    crystal.store()
    functions = []
    with enable_caching():
        for label in ('first', 'second'):
            _, leaf = run_get_node(Leaf, structure=crystal, metadata={'label': label})
            functions += leaf.called
    assert [node.label for node in functions] == ['first · count', 'second · count']
    assert functions[1].base.caching.get_cache_source() == functions[0].uuid


def test_the_formula_is_found_one_namespace_below_and_labels_have_an_end(crystal):
    assert subject({'pyscf': {'structure': crystal}}) == 'LiH'
    assert subject({'structure': 'LiH', 'cycle': Int(1)}) == ''
    parent = orm.WorkChainNode()
    parent.label = 'x' * 250
    assert len(child_names(parent, 'cycle001', {})['label']) == MAX_LABEL


def test_labels_are_no_part_of_a_hash(aiida_profile_clean):
    nodes = [CandidateData(rock_salt(1), cycle=1, index=2, label=label) for label in ('', 'other')]
    assert [node.label for node in nodes] == ['LiH 001-00002', 'other']
    assert len({node.store().base.caching.compute_hash() for node in nodes}) == 1


def test_data_say_what_they_are():
    lineage = Lineage('mp-22862', 'NaCl', 0.5, 0.0, 'substitution')
    relaxation = Relaxation('u', 'chgnet:0.3.0', False, 'not converged in 200 steps')
    candidate = CandidateData(
        rock_salt(0), cycle=2, index=7, origin='generator', lineage=lineage, relaxation=relaxation
    )
    assert candidate.label == 'LiH 002-00007'
    assert candidate.description == (
        'cycle 2, generator; substitution of NaCl (mp-22862); relaxed by chgnet:0.3.0, not converged'
    )
    assert make_prediction('u', 3, 1).label == '001-00003 D 0.030 eV/atom'
    assert make_assessment('u', 1, 2).label == '002-00001 E_hull 0.050 eV/atom, selected'
    assert make_energy('u', Fidelity.PBE, 'fast').label == 'LiH PBE fast'
    assert make_checkpoint('validator').label == 'validator validator-tiny'
    assert make_labels(3, 'fast').label.startswith('3 structures: 3 PBE')


def test_nodes_that_are_stored_in_bulk_have_them_too(aiida_profile_clean):
    process = orm.CalcFunctionNode().store()
    store_outputs(process, make_candidates(2))
    labels = orm.QueryBuilder().append(CandidateData, project='label').all(flat=True)
    assert sorted(labels) == ['LiH 001-00000', 'LiH 001-00001']
