"""Searches for hyperparameters from the command line."""

from __future__ import annotations

import json

import pytest

from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.workchains.protocols.campaign import campaign_settings

SMALL = (
    *('--set', 'num_trials=1', '--set', 'objective=loss'),
    *('--set', 'training.steps=2', '--set', 'training.batch_size=8'),
)


@pytest.fixture
def dataset(aiida_profile_clean, toy_labels):
    """Return a stored training set."""
    tags = dict.fromkeys(('PBE', 'SCAN', 'HSE06', 'CCSD(T)'), 'pipeline:toy')
    return DatasetData(toy_labels, level_tags=tags, formation_scheme='anchored', scientific=False).store()


@pytest.mark.slow
def test_a_search_is_run_shown_continued_and_written(new_machine, toy_labels, tmp_path):
    """The second search begins with the trials of the first; its hyperparameters fit a campaign."""
    machine = new_machine('hyperparameters')
    toy_labels.save(tmp_path / 'dataset.npz')
    pk = machine.query(
        'from aiida_qagenai.data.dataset import DatasetData\n'
        'from aiida_qagenai.exchange.dataset import LabelledBatch\n'
        f'labels = LabelledBatch.load({str(tmp_path / "dataset.npz")!r})\n'
        'tags = dict.fromkeys(("PBE", "SCAN", "HSE06", "CCSD(T)"), "pipeline:toy")\n'
        'node = DatasetData(labels, level_tags=tags, formation_scheme="anchored", scientific=False).store()\n'
        'print(json.dumps(node.pk))'
    )
    printed = machine.run('aiida-qagenai', 'hyperparameters', 'run', str(pk), *SMALL)
    assert '1 of 1 trials, 0 failed, best loss' in printed and 'exit status 0' in printed
    first = printed.split('hyperparameters show ')[1].split()[0]
    printed = machine.run('aiida-qagenai', 'hyperparameters', 'continue', first, '--set', 'num_trials=2')
    second = printed.split('hyperparameters show ')[1].split()[0]
    rows = json.loads(machine.run('aiida-qagenai', 'hyperparameters', 'show', second, '--format', 'json'))
    assert [row['trial'] for row in rows] == ['trial000', 'trial001'] and rows[0]['state'] == 'complete'
    file = tmp_path / 'best.json'
    printed = machine.run('aiida-qagenai', 'hyperparameters', 'show', second, '--write', str(file))
    assert '2 of 2 trials; the best, trial00' in printed and '--set learn.generator.num_layers=' in printed
    best = json.loads(file.read_text())
    settings = campaign_settings('machinery', best['campaign'])
    assert settings.learn.generator.num_layers == best['training']['num_layers']


@pytest.mark.parametrize(
    ('arguments', 'text'),
    [
        (['999999'], 'no dataset `999999`'),
        (['{dataset}', '--code', 'nothing@localhost'], 'no code `nothing@localhost`'),
        (['{dataset}', '--protocol', 'fats'], 'unknown protocol `fats` of searches for hyperparameters'),
        (['{dataset}', '--set', 'num_trails=3'], 'unknown key `num_trails`: did you mean `num_trials`'),
        (['{dataset}', '--set', 'space.training.num_layers=4'], '`space.training.num_layers` is 4: give a list'),
        (['{dataset}', '--set', 'training=null'], 'nothing is trained and no `generator` is given'),
    ],
)
def test_what_cannot_be_searched_is_one_line(ml_code, dataset, run, arguments, text):
    """Nothing is started."""
    from aiida.orm import ProcessNode, QueryBuilder

    given = ['--code', str(ml_code.pk)] if '--code' not in arguments else []
    result = run('hyperparameters', 'run', *(part.format(dataset=dataset.pk) for part in arguments), *given, status=1)
    assert text in result.output and result.output.count('\n') == 1
    assert QueryBuilder().append(ProcessNode).count() == 0


def test_the_protocols_are_listed(run):
    printed = run('hyperparameters', 'protocols').output
    assert [line.split()[0] for line in printed.splitlines()] == ['fast', 'moderate', 'precise']
