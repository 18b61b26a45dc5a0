"""Jobs that run a generator of others: a real one, and scripts that write what programs may write."""

from __future__ import annotations

import io
import json
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from aiida import orm
from aiida.engine import run_get_node
from aiida.manage.caching import enable_caching
from generators import pyxtal_inputs, script
from pymatgen.core import Lattice, Structure

from aiida_qagenai.calculations.models.external import ExternalGenerateCalculation, ExternalGenerateParameters
from aiida_qagenai.calculations.models.predict import PredictCalculation
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.engine.endings import was_lost

SALT = Structure.from_spacegroup(225, Lattice.cubic(4.08), ['Li', 'H'], [[0, 0, 0], [0.5, 0.5, 0.5]])
MINIMAL = {'program': 'test', 'outputs': ['out/*.cif']}


@pytest.fixture
def python(python_code):
    """Return the code that runs a script with this interpreter."""
    return python_code('python', 'qagenai.external_generate')


@pytest.fixture
def run(python):
    """Return a function that runs a script and returns its calculation."""

    def create(text: str, *, files=None, seed: int = 3, **parameters):
        inputs = {'code': python, 'seed': orm.Int(seed), 'cycle': orm.Int(1)}
        inputs['files'] = {'program': script(text), **(files or {})}
        values = {**MINIMAL, 'arguments': ['program.py'], **parameters}
        return run_get_node(ExternalGenerateCalculation, **inputs, parameters=orm.Dict(values))[1]

    return create


def write_cif(path: str, text: str | None = None) -> str:
    """Return the lines of a script that write one file."""
    content = SALT.to(fmt='cif') if text is None else text
    return (
        f'import pathlib\npathlib.Path({path!r}).parent.mkdir(exist_ok=True)\nopen({path!r}, "w").write({content!r})\n'
    )


@pytest.mark.slow
def test_pyxtal_proposes_candidates(python):
    """Random crystals of a real program become candidates with its name and version, and are packed in their order."""
    node = run_get_node(ExternalGenerateCalculation, **pyxtal_inputs(python))[1]
    assert node.is_finished_ok, node.exit_message
    candidates = node.outputs.candidates
    assert sorted(candidates) == [f'c{index:05d}' for index in range(6)]
    first = candidates['c00000']
    assert (first.formula, first.cycle, first.index) == ('LiH', 2, 0)
    assert first.base.attributes.get('origin') == f'PyXtal {version("pyxtal")}'
    assert first.label == 'crystals.extxyz, line 1, index 0'
    assert node.outputs.candidate_set.structures().identifiers.tolist()[-1] == '002-00005'
    assert len({node.base.attributes.get('space_group_number') for node in candidates.values()}) > 1
    results = node.outputs.results.get_dict()
    assert results['version'] == version('pyxtal') and results['seeded'] is True
    assert (results['num_structures'], results['num_problems'], results['num_files']) == (6, 0, 1)


@pytest.mark.slow
def test_seed_decides_the_candidates(python):
    """The same seed gives the same crystals, another one gives others, and a repetition comes from the cache."""
    first, other = (
        run_get_node(ExternalGenerateCalculation, **pyxtal_inputs(python, seed=seed, count=3))[1] for seed in (1, 2)
    )
    with enable_caching():
        cached = run_get_node(ExternalGenerateCalculation, **pyxtal_inputs(python, seed=1, count=3))[1]
    again = run_get_node(ExternalGenerateCalculation, **pyxtal_inputs(python, seed=1, count=3))[1]
    hashes = [node.outputs.candidate_set.base.attributes.get('content_hash') for node in (first, other, again)]
    assert hashes[0] == hashes[2] != hashes[1]
    assert cached.base.caching.get_cache_source() == first.uuid
    assert [node.label for node in cached.outputs.candidates.values()] == [
        node.label for node in first.outputs.candidates.values()
    ]


@pytest.mark.slow
def test_predictions_take_external_candidates(python, ml_code, toy_labels):
    """A validator predicts what another program proposed, each prediction linked to its candidate by its label."""
    from aiida_qagenai.calculations.models.train import TrainCalculation

    tags = dict.fromkeys(('PBE', 'SCAN', 'HSE06', 'CCSD(T)'), 'pipeline:toy')
    known = DatasetData(toy_labels, level_tags=tags, formation_scheme='anchored', scientific=False).store()
    settings = orm.Dict({'role': 'validator', 'steps': 8, 'seed': 1})
    validator = run_get_node(TrainCalculation, code=ml_code, dataset=known, parameters=settings)[1].outputs.checkpoint
    generation = run_get_node(ExternalGenerateCalculation, **pyxtal_inputs(python))[1]
    prediction = run_get_node(
        PredictCalculation,
        code=ml_code,
        validator=validator,
        candidate_set=generation.outputs.candidate_set,
        competing=known,
        parameters=orm.Dict({'seed': 1}),
    )[1]
    assert prediction.is_finished_ok, prediction.exit_message
    for label, candidate in generation.outputs.candidates.items():
        assert prediction.outputs.predictions[label].content.candidate_uuid == candidate.uuid


def test_arguments_are_never_read_by_a_shell(run):
    """What a shell would expand, and the seed, arrive as they are written."""
    arguments = ['program.py', '$HOME', '`id`', "it's; touch hacked", '*.py', 'seed={seed}', '']
    text = 'import json, sys\njson.dump(sys.argv, open("arguments.txt", "w"))\n' + write_cif('out/a.cif')
    node = run(text, arguments=arguments)
    assert node.is_finished_ok, node.exit_message
    written = Path(node.get_remote_workdir(), 'arguments.txt').read_text()
    assert json.loads(written) == [*arguments[:5], 'seed=3', '']
    assert 'hacked' not in node.outputs.remote_folder.listdir()


def test_files_and_configurations_reach_the_program(run):
    """Files, folders, and configurations with the seed as a number or within a text lie beside the program."""
    folder = orm.FolderData()
    folder.base.repository.put_object_from_filelike(io.BytesIO(SALT.to(fmt='cif').encode()), 'known/salt.cif')
    config = {
        'run.json': {'seed': '{seed}', 'nested': [{'name': 'run-{seed}', 'steps': 5}]},
        'run.yaml': {'seed': '{seed}'},
        'INPUT.txt': 'seed {seed}',
    }
    text = (
        'import pathlib, shutil\npathlib.Path("out").mkdir()\n'
        'shutil.copy("library/known/salt.cif", "out/a.cif")\n'
        'for name in ("run.json", "run.yaml", "INPUT.txt"): print(pathlib.Path(name).read_text().strip() + "\\n---")\n'
    )
    node = run(text, files={'library': folder}, config=config)
    assert node.is_finished_ok, node.exit_message
    written = node.outputs.retrieved.get_object_content('aiida.out').split('---\n')
    assert json.loads(written[0]) == {'seed': 3, 'nested': [{'name': 'run-3', 'steps': 5}]}
    assert yaml.safe_load(written[1]) == {'seed': 3}
    assert written[2] == 'seed 3\n'


def test_bad_structures_are_counted_with_their_reasons(run):
    """What can be used becomes candidates in primitive cells; everything else is listed."""
    text = write_cif('out/a.cif') + write_cif('out/b.cif', 'nonsense') + write_cif('out/c.cif', '')
    node = run(text, elements=['Li', 'H'], max_atoms=4)
    assert node.is_finished_ok, node.exit_message
    assert [len(candidate.sites) for candidate in node.outputs.candidates.values()] == [2]
    results = node.outputs.results.get_dict()
    assert (results['num_structures'], results['num_problems'], results['num_files']) == (1, 2, 3)
    assert [problem.split(':')[0] for problem in results['problems']] == ['out/b.cif', 'out/c.cif']
    assert results['seeded'] is False and results['version'] is None


def test_program_that_fails(run):
    """The exit code repeats the last error of the program, which is why there are no outputs."""
    node = run('raise SystemExit("no GPU found")')
    assert node.exit_status == 310
    assert node.exit_message == 'The program wrote none of the outputs out/*.cif: no GPU found'


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'outputs': []}, '`outputs`'),
        ({'outputs': ['out/*']}, 'does not tell the format'),
        ({'outputs': ['/etc/*.cif']}, 'not a relative path'),
        ({'outputs': ['../*.cif']}, 'not a relative path'),
        ({'config': {'a/b.json': {}}}, 'not the name of a file'),
        ({'config': {'a.toml': {}}}, 'neither .json nor .yaml'),
        ({'elements': ['Xx']}, 'unknown element Xx'),
        ({'version': '1', 'version_arguments': ['-V']}, 'give either'),
        ({'argument': ['x']}, 'did you mean `arguments`'),
        ({'program': ''}, '`program`'),
    ],
)
def test_wrong_parameters(changes, message):
    """What cannot work is refused before anything runs."""
    with pytest.raises(InvalidInputError, match=message):
        ExternalGenerateParameters.parse({**MINIMAL, **changes})


@pytest.mark.parametrize(
    ('files', 'parameters', 'message'),
    [
        ({'a': 'seed.cif'}, {'outputs': ['*.cif']}, r'the output `\*.cif` matches the input file `seed.cif`'),
        ({'a': 'x.py', 'b': 'x.py'}, {}, 'two files of the job are called `x.py`'),
        ({'a': 'run.json'}, {'config': {'run.json': {}}}, 'two files of the job are called `run.json`'),
        ({'a': 'aiida.out'}, {}, 'two files of the job are called `aiida.out`'),
    ],
)
def test_files_that_collide(python, files, parameters, message):
    """An input file is neither overwritten nor taken for an output."""
    nodes = {label: script('', name) for label, name in files.items()}
    inputs = {'code': python, 'seed': orm.Int(1), 'cycle': orm.Int(1), 'files': nodes}
    with pytest.raises(ValueError, match=message):
        run_get_node(ExternalGenerateCalculation, **inputs, parameters=orm.Dict({**MINIMAL, **parameters}))


@pytest.mark.parametrize(('status', 'lost'), [(140, True), (310, False), (510, False)])
def test_what_a_campaign_runs_again(localhost, status, lost):
    """A job whose computer broke down is submitted again; a program that fails would only fail again."""
    node = orm.CalcJobNode(computer=localhost, process_type='aiida.calculations:qagenai.external_generate')
    node.set_exit_status(status)
    assert was_lost(node) is lost


@pytest.mark.parametrize('seed', [-1, 2**31])
def test_seed_out_of_range(python, seed):
    """A seed that a program could not take is refused."""
    with pytest.raises(ValueError, match='the seed must be between'):
        run_get_node(ExternalGenerateCalculation, **pyxtal_inputs(python, seed=seed))
