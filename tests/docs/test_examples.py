"""The files under `examples/` do what the pages say: the script runs, the templates are accepted."""

from __future__ import annotations

import hashlib
import importlib.util
import json

import pytest
import yaml
from aiida import orm
from aiida.common.links import LinkType
from aiida.tools.archive.implementations.sqlite_zip.main import ArchiveFormatSqlZip
from click.testing import CliRunner
from documentation import ROOT, blocks, words
from fake_campaign import make_energy
from pymatgen.core import Element, Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.engine.archive import count_nodes
from aiida_qagenai.thermodynamics.ladder.records import load_ladder

EXAMPLES = ROOT / 'examples'
ARCHIVES = EXAMPLES / 'ladder' / 'archives'


def load(name: str):
    """Return a script as a module."""
    path = EXAMPLES / name
    specification = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture
def quickstart(tmp_path, monkeypatch):
    """Return the script as a module, in an empty folder and without arguments."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('sys.argv', ['quickstart.py'])
    return load('quickstart.py')


def test_quickstart_shows_a_finished_campaign(quickstart, aiida_profile_clean, capsys):
    """The script reports a finished campaign with tables, its answer and its figures, and does not start another."""
    from fake_campaign import make_campaign

    campaign = make_campaign('quickstart').campaign
    assert quickstart.main() == 0
    output = capsys.readouterr().out
    assert f'campaign {campaign.pk} has finished' in output
    assert 'of the predicted hull' in output and 'PBE mis-ranks' in output
    drawn = {path.stem.removeprefix('report-') for path in quickstart.RESULTS.glob('*.png')}
    assert {'funnel', 'hull', 'parity', 'divergence', 'cost'} <= drawn
    labels = orm.QueryBuilder().append(orm.WorkChainNode, filters={'attributes.process_label': 'CampaignWorkChain'})
    assert labels.count() == 1


@pytest.mark.usefixtures('pyscf_code')
@pytest.mark.parametrize('name', ['machinery', 'oxide'])
def test_quickstart_starts_a_campaign(name, quickstart, submitted, python_code):
    """Without a campaign the script submits one of two cycles; that of the oxide uses no known compound and counts."""
    from rich.console import Console

    from aiida_qagenai.data.basis import install_families
    from aiida_qagenai.exchange.basis import find_source

    install_families(find_source('ccgto'))
    python_code('qagenai-ml', 'qagenai.train')
    question = quickstart.QUESTIONS[name]
    node = quickstart.obtain(question, again=False, console=Console())
    assert [process.node.pk for process in submitted] == [node.pk]
    assert sorted(node.inputs.elements) == sorted(question.elements) and node.label == question.label
    settings = node.inputs.parameters.get_dict()
    assert settings['stop']['max_cycles'] == 2
    assert settings['generate']['exclude_system'] == settings['energy']['scientific'] == (name == 'oxide')


def test_quickstart_lists_its_questions(quickstart, monkeypatch, capsys):
    """Each question has a line, the one of `make campaign` first."""
    monkeypatch.setattr('sys.argv', ['quickstart.py', '--question', 'list'])
    assert quickstart.main() == 0
    assert [line.partition(':')[0] for line in capsys.readouterr().out.splitlines()] == list(quickstart.QUESTIONS)


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

    module, texts = load('random_crystals.py'), []
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


@pytest.fixture(scope='module')
def ladder():
    """Return the script of the ladder."""
    return load('ladder/ladder.py')


@pytest.fixture(scope='module')
def crystals():
    """Return the list of crystals of the ladder."""
    return yaml.safe_load((EXAMPLES / 'ladder' / 'crystals.yaml').read_text())


def test_ladder_has_enough_crystals(crystals):
    """At least 24, six with two polymorphs, eight at three volumes, of one or two elements up to argon."""
    crystals = {name: content for name, content in crystals.items() if 'refused' not in content}
    assert len(crystals) >= 24
    pairs = [content for content in crystals.values() if 'of' in content]
    assert len(pairs) >= 6 and all(crystals[content['of']]['elements'] == content['elements'] for content in pairs)
    assert sum(len(content.get('volumes', ())) == 2 for content in crystals.values()) >= 8
    assert all(Element(symbol).Z <= 18 for content in crystals.values() for symbol in content['elements'])


def test_crystals_of_the_ladder_are_what_their_names_say(ladder, crystals):
    """Two atoms in the space group of their structure; further volumes are scaled ones."""
    groups = {'rock salt': 225, 'zinc blende': 216, 'caesium chloride': 221}
    for name, content in crystals.items():
        structure = ladder.crystal(content)
        number = SpacegroupAnalyzer(structure).get_space_group_number()
        assert len(structure) == 2 and number == (groups[content['kind']] if len(content['elements']) == 2 else 227), (
            name
        )
    one, *others = ladder.tasks({'LiH': crystals['LiH']})
    assert [task.structure.volume / one.structure.volume for task in others] == pytest.approx([0.94, 1.06])


def finished_ladder(label: str) -> orm.WorkChainNode:
    """Return a process of the ladder that has ended well, with an energy of every level."""
    node = orm.WorkChainNode(process_type='aiida.workflows:qagenai.ladder', label=label)
    node.set_process_state('finished')
    node.set_exit_status(0)
    node.store()
    for level in LADDER:
        energy = make_energy('0', level, 'moderate').store()
        energy.base.links.add_incoming(node, LinkType.RETURN, f'energies__crystal_{level.name}')
    node.seal()
    return node


def test_ladder_goes_on_where_it_was(ladder, aiida_profile_clean):
    """A crystal that has finished is not computed again."""
    from aiida.cmdline.commands.cmd_verdi import verdi

    node = finished_ladder('ladder-LiH')
    result = CliRunner().invoke(verdi, ['run', str(EXAMPLES / 'ladder' / 'ladder.py'), '--only', 'LiH', '--dry-run'])
    assert result.exit_code == 0, result.output
    assert '1/3 ladder-LiH: finished\n2/3 ladder-LiH-0.94: not computed' in result.output
    assert ladder.compute(ladder.Task('ladder-LiH', None)).pk == node.pk


def test_what_is_refused_is_computed_by_its_name_alone(ladder, aiida_profile_clean, monkeypatch, capsys):
    monkeypatch.setattr('sys.argv', ['ladder.py', '--dry-run'])
    assert ladder.main() == 0
    output = capsys.readouterr().out
    assert 'ladder-SiC-0.94' in output and 'ladder-SiC-rock-salt' not in output
    monkeypatch.setattr('sys.argv', ['ladder.py', '--dry-run', '--only', 'SiC-rock-salt'])
    assert ladder.main() == 0
    assert '1/1 ladder-SiC-rock-salt: not computed' in capsys.readouterr().out


def test_another_profile_goes_on_with_the_results(ladder, aiida_profile_clean, monkeypatch, capsys, tmp_path):
    """What a file has, with the same settings, is not computed again; with others it is."""
    path = tmp_path / 'ladder.json'
    monkeypatch.setattr('sys.argv', ['ladder.py', '--only', 'LiH', '--results', str(path), '--dry-run'])
    finished_ladder('ladder-LiH')
    assert ladder.main() == 0
    assert '1/3 ladder-LiH: finished' in capsys.readouterr().out
    (row,) = json.loads(path.read_text()).values()
    assert set(row['energies']) == {level.value for level in LADDER}
    aiida_profile_clean.reset_storage()
    assert ladder.main() == 0
    assert '1/3 ladder-LiH: in the results\n2/3 ladder-LiH-0.94: not computed' in capsys.readouterr().out
    monkeypatch.setattr(ladder, 'PROTOCOL', 'fast')
    assert ladder.main() == 0
    assert '1/3 ladder-LiH: not computed' in capsys.readouterr().out
    assert list(json.loads(path.read_text())) == ['ladder-LiH']


def test_results_have_what_was_calculated_and_what_failed(ladder, aiida_profile_clean, tmp_path):
    """The hash of each script, its energy and cost, and the reports of the process about failures."""
    node = finished_ladder('ladder-LiH')
    caller = orm.WorkChainNode(process_type='aiida.workflows:qagenai.ladder', label='ladder-BN').store()
    job = orm.CalcJobNode(process_type='aiida.calculations:qagenai.pyscf_cell')
    job.base.links.add_incoming(caller, LinkType.CALL_CALC, 'crystalpbe')
    job.base.repository.put_object_from_bytes(b'print(1)', 'script.py')
    job.store()
    content = {'total_energy_hartree': -8.0, 'cpu_seconds': 7.0, 'memory_mb': 500.0, 'fidelity': 'PBE'}
    results = orm.Dict(content).store()
    results.base.links.add_incoming(job, LinkType.CREATE, 'results')
    (row,) = ladder.calculations(caller)
    assert row['script_sha256'] == hashlib.sha256(b'print(1)').hexdigest() and row['path'] == 'crystalpbe'
    assert (row['what'], row['total_energy_hartree'], row['cached']) == ('PBE', -8.0, False)
    caller.logger.log(23, '[5|LadderWorkChain|note_ended]: crystalhse06 failed: no memory')
    caller.logger.log(23, '[5|LadderWorkChain|note_collected]: 1 succeeded, 1 failed, 0 refused')
    assert ladder.failures(caller) == ['crystalhse06 failed: no memory'] and ladder.calculations(node) == []


def test_an_archive_has_all_of_a_crystal_that_ended_well(ladder, aiida_profile_clean, tmp_path):
    """What failed, and what was not computed, has none."""
    structure = Structure(Lattice.cubic(3.0), ['Li'], [[0, 0, 0]])
    for name, status in (('good', 0), ('bad', 500)):
        node = orm.WorkChainNode(label=f'ladder-{name}')
        crystal = orm.StructureData(pymatgen=structure).store()
        node.base.links.add_incoming(crystal, LinkType.INPUT_WORK, 'structure')
        node.set_process_state('finished')
        node.set_exit_status(status)
        node.store().seal()
    for name in ('good', 'bad', 'unknown'):
        ladder.archive(ladder.Task(f'ladder-{name}', structure), tmp_path / 'archives')
    assert [path.name for path in (tmp_path / 'archives').iterdir()] == ['good.aiida']
    assert count_nodes(tmp_path / 'archives' / 'good.aiida') == {'StructureData': 1, 'WorkChainNode': 1}


@pytest.mark.parametrize('path', sorted(ARCHIVES.iterdir()), ids=lambda path: path.stem)
def test_an_archive_has_the_energies_of_the_data(path):
    """Every energy of the crystal in the package is one of its archive."""
    with ArchiveFormatSqlZip().open(path, mode='r') as reader:
        query = reader.querybuilder().append(EnergyData, project='attributes')
        found = {(each['fidelity'], each['total_energy']) for (each,) in query.all() if 'total_energy' in each}
    energies = load_ladder().crystals[path.stem].energies
    assert {(level.value, values['total_energy']) for level, values in energies.items()} <= found


def test_settings_of_the_ladder_are_accepted(ladder, crystals, aiida_profile_clean):
    """The composite has the meshes of the settings, and every level is planned for every crystal."""
    from aiida_qagenai.data.basis import install_families
    from aiida_qagenai.exchange.basis import find_source
    from aiida_qagenai.workchains.protocols.bases import EnergyProtocol
    from aiida_qagenai.workchains.protocols.composite import plan_composite

    install_families(find_source('ccgto'))
    symbols = {symbol for content in crystals.values() for symbol in content['elements']}
    protocol = EnergyProtocol.resolve(ladder.PROTOCOL, ladder.settings(), symbols)
    assert protocol.settings.coulomb == 'grid' and protocol.settings.meshes[Fidelity.HSE06].fixed == (3, 3, 3)
    structure = orm.StructureData(pymatgen=ladder.crystal(crystals['MgO']))
    plan, _, _ = plan_composite(protocol, structure)
    methods = {label: job.parameters['method'] for label, job in plan.jobs.items()}
    assert methods == {
        'k2x2x2_ccgto_1_cc_pvdz': 'CCSD(T)',
        'k2x2x2_ccgto_1_cc_pvtz': 'MP2',
        'k3x3x3_ccgto_1_cc_pvdz': 'MP2',
        'k4x4x4_ccgto_1_cc_pvdz': 'HF',
    }


def test_every_example_is_used():
    """Each file under `examples/` is named by a test: by this module, or by the tests of `--options`."""
    templates = {f'cluster/{name}.yaml' for name in ('computer', 'connection', 'models', 'options', 'pyscf')}
    files = (path for path in EXAMPLES.rglob('*') if path.is_file() and '__pycache__' not in path.parts)
    files = (path for path in files if path.parent != ARCHIVES)
    assert {str(path.relative_to(EXAMPLES)) for path in files} == {
        'quickstart.py',
        'random_crystals.py',
        'tour.ipynb',
        *(f'ladder/{name}' for name in ('crystals.yaml', 'ladder.py', 'settings.yaml')),
        *templates,
    }
