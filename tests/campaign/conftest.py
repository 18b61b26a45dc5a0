"""A real campaign, killed in the middle of its second cycle and taken up again; its archive feeds the tests."""

from __future__ import annotations

from pathlib import Path

import pytest

SETTINGS = {
    'budget': 20,
    'self_consistent': True,
    'seed_set.num_structures': 8,
    'seed_set.max_atoms': 2,
    'seed_set.labels': '{SCAN: 3, HSE06: 3, CCSD(T): 2}',
    'generate.num_candidates': 16,
    'generate.max_atoms': 2,
    'generate.motif_fraction': 0.5,
    'generate.novelty': '[0.2, 0.5]',
    'generate.neutral_fraction': 0.75,
    'generate.steps': 20,
    'screen.max_e_above_hull': 50,
    'select.num_clusters': 3,
    'learn.descriptor.initial_steps': 40,
    'learn.validator.initial_steps': 40,
    'learn.validator.tune_steps': 20,
    'learn.generator_every': 2,
    'learn.generator.tune_steps': 20,
    'learn.descriptor.tune_steps': 20,
}


MIDDLE_OF_CYCLE_2 = """
query = orm.QueryBuilder()
query.append(orm.WorkChainNode, filters={'attributes.process_label': 'CycleWorkChain'}, tag='cycle', project='id')
query.append(orm.WorkChainNode, with_incoming='cycle', filters={'attributes.process_label': 'LadderWorkChain'}, tag='l')
query.append(orm.WorkChainNode, with_incoming='l', filters={'attributes.process_state': 'finished'}, project='id')
print(json.dumps(len({row[0] for row in query.all()}) == 2))
"""


@pytest.fixture(scope='session')
def campaign_archive(new_machine, foundation_folder) -> tuple[Path, str]:
    """Return the archive of a campaign that was killed in its second cycle and continued, and what was printed."""
    machine = new_machine('campaign')
    options = [part for name, value in SETTINGS.items() for part in ('--set', f'{name}={value}')]
    generator = machine.run('aiida-qagenai', 'model', 'import', str(foundation_folder)).split()[1]
    arguments = ['--protocol', 'machinery', '--label', 'tested', '--initial-generator', generator, '--no-follow']
    arguments += options
    pk = machine.run('aiida-qagenai', 'campaign', 'run', 'Li', 'H', *arguments).split()[1]
    machine.wait_for(MIDDLE_OF_CYCLE_2)
    machine.crash()
    printed = machine.run('aiida-qagenai', 'campaign', 'continue', pk)
    archive = machine.folder / 'campaign.aiida'
    machine.run('aiida-qagenai', 'export', pk, str(archive))
    return archive, printed
