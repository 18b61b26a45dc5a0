"""The files under `examples/` do what the pages say: the script runs, the templates are accepted."""

from __future__ import annotations

import importlib.util

import pytest
from aiida import orm
from click.testing import CliRunner
from documentation import ROOT, blocks, words

EXAMPLES = ROOT / 'examples'


@pytest.fixture
def quickstart(tmp_path, monkeypatch):
    """Return the script as a module, in an empty folder and without arguments."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('sys.argv', ['quickstart.py'])
    path = EXAMPLES / 'quickstart.py'
    specification = importlib.util.spec_from_file_location('quickstart', path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_quickstart_shows_a_finished_campaign(quickstart, aiida_profile_clean, capsys):
    """The script reports a finished campaign with a table and its figures, and does not start another."""
    from fake_campaign import make_campaign

    campaign = make_campaign('quickstart').campaign
    assert quickstart.main() == 0
    assert f'campaign {campaign.pk} has finished' in capsys.readouterr().out
    drawn = {path.stem.removeprefix('report-') for path in quickstart.RESULTS.glob('*.png')}
    assert {'funnel', 'hull', 'parity', 'divergence', 'cost'} <= drawn
    labels = orm.QueryBuilder().append(orm.WorkChainNode, filters={'attributes.process_label': 'CampaignWorkChain'})
    assert labels.count() == 1


def test_quickstart_starts_a_campaign(quickstart, submitted, pyscf_code, python_code, foundation):
    """Without a campaign the script submits one of two cycles in Li–H."""
    from rich.console import Console

    python_code('qagenai-ml', 'qagenai.train')
    node = quickstart.obtain(again=False, console=Console())
    assert [process.node.pk for process in submitted] == [node.pk]
    assert sorted(node.inputs.elements) == ['H', 'Li'] and node.label == 'quickstart'
    assert node.inputs.parameters['stop']['max_cycles'] == 2


def test_cluster_templates(aiida_profile_clean, monkeypatch):
    """AiiDA accepts the templates of computer, connection and codes by the commands of the page on clusters."""
    from aiida.cmdline.commands.cmd_verdi import verdi

    monkeypatch.chdir(ROOT)
    lines = [line for block in blocks('console', pages=['docs/howto/cluster.md']) for line in block.commands()]
    commands = [words(line)[1:] for line in lines if 'examples/cluster' in line and line.startswith('verdi')]
    assert len(commands) == 4
    for arguments in commands:
        result = CliRunner().invoke(verdi, arguments, catch_exceptions=False)
        assert result.exit_code == 0, result.output
    assert orm.load_code('pyscf@cluster').default_calc_job_plugin == 'qagenai.pyscf_cell'
    assert orm.load_code('qagenai-ml@cluster').default_calc_job_plugin == 'qagenai.train'
    assert orm.load_computer('cluster').transport_type == 'core.ssh_async'


def test_random_crystals(tmp_path, monkeypatch):
    """The script of the page on other generators writes crystals of the composition, the same for the same seed."""
    from ase.io import read

    specification = importlib.util.spec_from_file_location('random_crystals', EXAMPLES / 'random_crystals.py')
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    texts = []
    for seed in (1, 1, 2):
        path = tmp_path / 'crystals.extxyz'
        options = ['--composition', '{"Ti": 1, "O": 2}', '--count', '2', '--seed', str(seed), '--output', str(path)]
        monkeypatch.setattr('sys.argv', ['random_crystals.py', *options])
        module.main()
        texts.append(path.read_text())
    assert texts[0] == texts[1] != texts[2]
    assert [atoms.get_chemical_formula(empirical=True) for atoms in read(path, index=':')] == ['O2Ti'] * 2
    with pytest.raises(RuntimeError, match='no space group fits'):
        monkeypatch.setattr(module, 'MAX_ATTEMPTS', 0)
        module.random_crystals({'Ti': 1}, 1, 1)


def test_every_example_is_used():
    """Each file under `examples/` is named by a test: by this module, or by the tests of `--options`."""
    templates = {f'cluster/{name}.yaml' for name in ('computer', 'connection', 'models', 'options', 'pyscf')}
    files = (path for path in EXAMPLES.rglob('*') if path.is_file() and '__pycache__' not in path.parts)
    assert {str(path.relative_to(EXAMPLES)) for path in files} == {'quickstart.py', 'random_crystals.py', *templates}
