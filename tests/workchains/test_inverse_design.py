"""Rounds of inverse design through the engine: every stage is a node, and the heads descend from the tensors."""

from __future__ import annotations

import pytest
from aiida.common.links import LinkType
from aiida.engine import run_get_node
from aiida.engine.utils import instantiate_process
from aiida.manage import get_manager
from aiida.orm import StructureData, WorkChainNode
from ase.build import bulk

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.checkpoint import CheckpointData
from aiida_qagenai.exchange.checkpoint import FOUNDATION
from aiida_qagenai.queries.designs import proposals_of
from aiida_qagenai.workchains.inverse_design import InverseDesignWorkChain
from aiida_qagenai.workchains.recomputation import Recomputation


@pytest.fixture
def build(python_code):
    code = python_code('ml', 'qagenai.generate')
    generator = CheckpointData(FOUNDATION).store()

    def create(energies=None, **overrides):
        settings = {'per_system': 4, 'per_round': 2, 'max_atoms': 4, 'novelty': 0.3, **overrides}
        systems = (('Cu', 'Au'), ('Al', 'Ni'))
        return InverseDesignWorkChain.get_builder_from_protocol(
            code,
            'bulk_modulus=150',
            systems,
            generator,
            potential='emt',
            protocol='fast',
            overrides=settings,
            dft=energies,
        )

    return create


@pytest.mark.slow
def test_rounds_of_inverse_design(build, run, tmp_path, pyscf_code):
    """On EMT: tensors of new crystals, a summary, and retrained heads; a round with nothing new ends it in time.

    CHGNet judges. All cells are too large for DFT, which is a warning.
    """
    pytest.importorskip('chgnet')
    node = run_get_node(
        build(Recomputation(pyscf_code, protocol='pipeline'), rounds=2, judge={'name': 'chgnet'}, dft={'max_atoms': 1})
    )[1]
    codes = InverseDesignWorkChain.exit_codes
    expected = {codes.WARNING_NOT_RECOMPUTED.status, codes.WARNING_NOTHING_NEW.status}
    assert node.exit_status in expected and 'energies' not in node.outputs, node.exit_message
    labels = sorted(node.outputs.elastic)
    assert {label[:2] for label in labels} <= {'r0', 'r1'} and 'r0n000' in labels and len(labels) <= 4
    assert set(node.outputs.relaxed) <= set(labels)
    first = node.outputs.rounds.r0.get_dict()
    assert set(first['computed']) == {label for label in labels if label.startswith('r0')}
    assert first['stable'] >= len(first['within']) and first['hits'] is None
    judged = node.outputs.judgements.r0.get_dict()
    assert set(judged['computed']) <= set(first['computed']) and judged['hits'] is None
    assert all(each.base.attributes.get('potential').startswith('chgnet') for each in node.outputs.judged.values())
    called = {link.link_label for link in node.base.links.get_outgoing(link_type=LinkType.CALL_CALC)}
    assert {
        'choice0',
        'choice1',
        'generation0',
        'generation1',
        'prediction1',
        'summary0',
        'retraining0',
        'judgement0',
    } <= called
    assert node.outputs.checkpoint.role == 'property'
    run('design', 'show', str(node.pk), '--plot', str(tmp_path / 'map.svg'))
    assert (tmp_path / 'map.svg').exists()
    proposals = proposals_of(node)
    assert proposals.chosen.sum() == len(labels) and proposals.latent.shape[0] == len(proposals.round) > len(labels)
    assert proposals.within.sum() == sum(len(each['within']) for each in node.outputs.rounds.values())


def test_wrong_settings_are_refused(build):
    with pytest.raises(InvalidInputError, match='no potential computes band gaps'):
        build(target='band_gap=1')
    with pytest.raises(InvalidInputError, match='on which emt has no place: take chgnet'):
        build(target='formation_energy=-1')
    with pytest.raises(InvalidInputError, match='emt cannot judge: the rounds use the same potential'):
        build(judge={'name': 'emt'})
    with pytest.raises(InvalidInputError, match='rounds'):
        build(rounds=0)


def test_energies_by_dft_are_asked_for_once(build, pyscf_code, monkeypatch):
    """The child is in the context as itself: in a list nothing would find it, and the run would ask without end."""
    process = instantiate_process(get_manager().get_runner(), build(Recomputation(pyscf_code, protocol='pipeline')))
    child = WorkChainNode().store()
    monkeypatch.setattr(process, 'found', lambda: {'r0n000': StructureData(ase=bulk('Al')).store()})
    monkeypatch.setattr(process, 'submit_once', lambda *_, **__: child)
    monkeypatch.setattr(process, 'latest_attempt', lambda label: (child, label))
    assert process.should_recompute()
    process.ctx.update(process.recompute())
    assert not process.should_recompute()
