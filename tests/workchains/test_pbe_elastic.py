"""Elastic tensors at PBE through the engine."""

from __future__ import annotations

import pytest
from aiida.engine import run_get_node
from ase.build import bulk
from pw_runs import needs_espresso

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.workchains.pbe_elastic import PbeElasticWorkChain

SILICON = {'espresso': {'pseudo_family': 'local', 'ecutwfc': 16, 'ecutrho': 64, 'kpoints_distance': 0.5}}


@pytest.mark.slow
@needs_espresso
def test_silicon_by_pw_has_its_bulk_modulus(pw_code, family, run):
    """PBE: K of 83 to 89 GPa; a low cutoff and few k-points are allowed 15 %."""
    family('Si.pbe-rrkj.UPF')
    overrides = {**SILICON, 'max_pressure': 0.5, 'elasticity': {'strains': [0.01]}}
    builder = PbeElasticWorkChain.get_builder_from_protocol(pw_code, bulk('Si'), 'pipeline', overrides=overrides)
    outputs, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    about = outputs['elastic']['crystal'].base.attributes
    assert about.get('bulk_modulus_vrh') == pytest.approx(86, rel=0.15)
    assert about.get('mechanically_stable') and about.get('num_strains') == 3
    assert about.get('potential').startswith('PBE, pwscf')
    assert 'Si' in run('elastic', 'show', str(node.pk)).stdout


@needs_espresso
@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'freedom': 'atoms'}, 'needs a relaxed cell'),
        ({'elasticity': {'strains': [0.2]}}, r'elasticity\.strains'),
        ({'elasticity': {'strain': [0.01]}}, 'unknown key `elasticity.strain`'),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_computed(pw_code, family, changes, words):
    family('Si.pbe-rrkj.UPF')
    with pytest.raises(InvalidInputError, match=words):
        PbeElasticWorkChain.get_builder_from_protocol(pw_code, bulk('Si'), 'pipeline', overrides={**SILICON, **changes})
