"""Protocols and settings of a campaign."""

from __future__ import annotations

import pytest

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.workchains.protocols.campaign import available_protocols, campaign_settings, parse_settings


@pytest.mark.parametrize('protocol', available_protocols())
def test_every_protocol_is_valid_and_described(protocol):
    """What ships can be loaded."""
    assert campaign_settings(protocol).description


def test_overrides_reach_nested_keys():
    """One nested value changes, its neighbours stay."""
    settings = campaign_settings('machinery', {'generate': {'num_candidates': 7}})
    assert settings.generate.num_candidates == 7
    assert settings.generate.max_atoms == campaign_settings('machinery').generate.max_atoms


@pytest.mark.parametrize(
    ('overrides', 'name'),
    [
        ({'budget': -1}, 'budget'),
        ({'bugdet': 1}, 'bugdet'),
        ({'generate': {'num_candidate': 5}}, 'generate.num_candidate'),
        ({'generate': {'motif_fraction': 1.5}}, 'generate.motif_fraction'),
        ({'generate': {'novelty': [0.2, 2]}}, 'generate.novelty'),
        ({'generate': {'novelty': [0.2, 0.2]}}, 'one or more different levels'),
        ({'generate': {'symmetry': 'P1'}}, 'generate.symmetry'),
        ({'seed_set': {'source': 'mp'}}, 'seed_set.source'),
        ({'learn': {'generator': {'start': 'scratch'}}}, 'learn.generator.start'),
        ({'learn': {'descriptor': {'start': 'foundation'}}}, 'learn.descriptor.start'),
        ({'learn': {'generator': {'start': 'foundation', 'num_layers': 4}}}, 'a checkpoint keeps its layers'),
        ({'generate': {'noise_schedule': 'sine'}}, 'generate.noise_schedule'),
        ({'select': {'acquisition': 'best'}}, 'select'),
        ({'seed_set': {'labels': {'PBE': 3}}}, 'seed_set.labels'),
        ({'seed_set': {'labels': {'SCAN': 2, 'HSE06': 5}}}, 'seed_set.labels'),
        ({'run': {'device': 'tpu'}}, 'run.device'),
        ({'learn': {'doubtful': ['t2']}}, 'unknown flag `t2`'),
        ({'generate': {'target': {'elf_hgh': 0.1}}}, 'did you mean `elf_high`'),
        ({'generate': {'target': {'chi0_q_min': -1.0}}}, 'is positive'),
        ({'energy': {'top': 'B3LYP'}}, 'energy.top'),
        ({'budget_core_hours': 0}, 'budget_core_hours'),
        ({'learn': {'validator': {'options': {'num_member': 3}}}}, 'num_member'),
        ({'relax': {'engine': 'vasp'}}, 'relax.engine'),
        ({'relax': {'protocol': 'fast'}}, 'relax.engine'),
        ({'relax': {'engine': 'pyscf', 'protocol': 'fats'}}, 'unknown protocol `fats` of relaxations'),
        ({'relax': {'engine': 'pyscf', 'max_farce': 0.1}}, r'`relax.max_farce`: did you mean `max_force`\?'),
        ({'energy': {'scf': {'max_cycl': 9}}}, r'`energy.scf.max_cycl`: did you mean `max_cycle`\?'),
        ({'energy': {'protocol': 'fats'}}, r'unknown protocol `fats` of energies: did you mean `fast`\?'),
    ],
)
def test_bad_settings_are_refused_by_name(overrides, name):
    """The message says which key is wrong."""
    with pytest.raises(InvalidInputError, match=name):
        campaign_settings('machinery', overrides)


def test_nothing_is_relaxed_unless_asked_for():
    """Off in every protocol; on, it takes the protocol of relaxations that its name says."""
    assert all(campaign_settings(protocol).relax is None for protocol in available_protocols())
    relax = campaign_settings('machinery', {'relax': {'engine': 'espresso', 'protocol': 'moderate'}}).relax
    assert relax.moves_cell and relax.max_force == 0.005 and relax.pyscf is None


def test_unknown_protocol_lists_the_known_ones():
    """A misspelt protocol is answered with the list."""
    with pytest.raises(InvalidInputError, match=r'quickstart, machinery, correlated, fast, moderate, precise'):
        campaign_settings('fats')


def test_seeds_of_stages_differ():
    """No two stages of a campaign share a seed."""
    settings = campaign_settings('machinery')
    seeds = [settings.cycle_seed(cycle, stage) for cycle in range(50) for stage in range(30)]
    assert len(set(seeds)) == len(seeds)


def test_protocols_start_from_what_is_known():
    """All take the shipped generator, real bases the shipped validator; settings of older campaigns mean the same."""
    for protocol in available_protocols():
        settings = campaign_settings(protocol)
        assert settings.learn.generator.start == 'foundation'
        if protocol != 'quickstart':
            assert settings.seed_set.source == 'library'
            assert settings.generate.motif_fraction == 0.5 and settings.generate.novelties == (0.3,)
        # In a minimal basis energies are far from those of the shipped levels.
        assert (settings.learn.validator.start == 'foundation') == (settings.energy.protocol != 'pipeline')
    stored = campaign_settings('machinery').dump()
    for section, name in (('seed_set', 'source'), ('generate', 'motif_fraction')):
        del stored[section][name]
    del stored['learn']['generator']['start']
    older = parse_settings(stored)
    assert (older.seed_set.source, older.generate.motif_fraction) == ('prototypes', 0.0)
    assert older.learn.generator.start == 'nothing'


def test_levels_of_noise_survive_the_graph():
    """A list stays a list of different levels."""
    settings = campaign_settings('machinery', {'generate': {'novelty': [0.2, 0.7]}})
    assert parse_settings(settings.dump()).generate.novelties == (0.2, 0.7)


def test_quickstart_counts():
    """Its energies are scientific, all levels on one mesh, and it uses no known compound of its system."""
    settings = campaign_settings('quickstart')
    meshes = {settings.energy.meshes[level.value].tag for level in LADDER[:3]}
    assert settings.energy.scientific and settings.energy.top is Fidelity.HSE06 and meshes == {'1.75+mv'}
    assert settings.seed_set.source == 'prototypes' and settings.energy.coulomb == 'grid'
    assert settings.generate.exclude_system and settings.screen.relax.potential.name == 'chgnet'
