"""The files around the package agree: workflows, hooks, constraints, metadata and the check of a release."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
WORKFLOWS = sorted((ROOT / '.github' / 'workflows').glob('*.yml'))
YAML_FILES = [
    *sorted((ROOT / '.github').rglob('*.yml')),
    *(ROOT / name for name in ('.readthedocs.yaml', '.pre-commit-config.yaml', 'CITATION.cff')),
]


def pins(name: str) -> dict[str, str]:
    """Return the version of each package in a file of constraints."""
    lines = (ROOT / name).read_text().splitlines()
    return dict(line.split('==') for line in lines if line and not line.startswith('#'))


def commands(workflow: Path) -> list[str]:
    """Return the command lines that a workflow runs."""
    jobs = yaml.safe_load(workflow.read_text())['jobs'].values()
    return [line for job in jobs for step in job['steps'] for line in step.get('run', '').splitlines()]


@pytest.mark.parametrize('path', YAML_FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_yaml_loads(path):
    """Every YAML file is a mapping without an empty value at its top."""
    content = yaml.safe_load(path.read_text())
    # YAML 1.1 reads the key `on` of a workflow as a truth value; `pull_request:` below it may be empty.
    assert content and all(value is not None for value in content.values())


@pytest.mark.parametrize('workflow', WORKFLOWS, ids=lambda path: path.name)
def test_workflow_calls_what_exists(workflow):
    """The targets, scripts and files that a workflow names are in the repository."""
    targets = {*re.findall(r'^([a-z-]+):', (ROOT / 'Makefile').read_text(), re.MULTILINE)}
    called = [line for line in commands(workflow) if line]
    assert called
    for line in called:
        assert not (missing := {*re.findall(r'\bmake ([a-z-]+)', line)} - targets), f'no target {missing}'
        for path in re.findall(r'(?:^|\s)(\.ci/[\w.]+|tests/\w+|constraints[\w-]*\.txt)', line):
            assert (ROOT / path).exists(), f'{path} does not exist'


def test_workflow_permissions():
    """No workflow may write; only the job that publishes may ask for the identity that the package index trusts."""
    for workflow in WORKFLOWS:
        content = yaml.safe_load(workflow.read_text())
        assert content['permissions'] == {'contents': 'read'}
        extra = {name: job['permissions'] for name, job in content['jobs'].items() if 'permissions' in job}
        assert extra == ({'publish': {'id-token': 'write'}} if workflow.name == 'release.yml' else {})


def test_supported_pythons():
    """The workflow tests the Python versions of the classifiers, which are those that pip accepts."""
    classifiers = {line.rsplit(' ', 1)[-1] for line in PROJECT['classifiers'] if re.search(r':: 3\.\d+$', line)}
    matrix = yaml.safe_load((ROOT / '.github/workflows/ci.yml').read_text())['jobs']['dependencies']['strategy']
    accepted = Requirement(f'python{PROJECT["requires-python"]}').specifier
    assert classifiers == {entry['python'] for entry in matrix['matrix']['include']}
    assert classifiers == {f'3.{minor}' for minor in range(30) if accepted.contains(f'3.{minor}.1')}


def test_hooks_have_the_versions_of_the_constraints():
    """The formatter of the hooks is that of `make lint`."""
    repos = yaml.safe_load((ROOT / '.pre-commit-config.yaml').read_text())['repos']
    revisions = {repo['repo'].rsplit('/', 1)[-1]: repo['rev'] for repo in repos if repo['repo'] != 'local'}
    assert revisions['ruff-pre-commit'] == f'v{pins("constraints.txt")["ruff"]}'
    assert all(re.fullmatch(r'v?\d+\.\d+\.\d+', revision) for revision in revisions.values())


def test_lowest_constraints_are_the_lower_bounds():
    """`constraints-lowest.txt` pins each dependency at its lower bound in pyproject.toml."""
    lowest = pins('constraints-lowest.txt')
    extras = PROJECT['optional-dependencies']
    lines = [
        *PROJECT['dependencies'],
        *(line for name in ('ml', 'pyscf', 'phonons', 'optimade', 'mp', 'espresso') for line in extras[name]),
    ]
    for requirement in map(Requirement, lines):
        bound = next(Version(part.version) for part in requirement.specifier if part.operator in ('>=', '~='))
        if requirement.name == 'torch':
            continue
        version = Version(lowest[requirement.name])
        assert requirement.specifier.contains(version), requirement.name
        assert version.release[: len(bound.release)] == bound.release, f'{requirement.name}: {version} is not {bound}'


def test_container_installs_what_is_collected():
    """`make wheels` and `Containerfile` name the same extras, and a Python that pip accepts."""
    container, makefile = (ROOT / 'Containerfile').read_text(), (ROOT / 'Makefile').read_text()
    extras = re.search(r"'aiida-qagenai\[([\w,]+)\]'", container)[1]
    assert re.search(rf"pip wheel .*--wheel-dir \$\(WHEELS\) .*'\.\[{extras}\]'", makefile)
    assert set(extras.split(',')) <= set(PROJECT['optional-dependencies'])
    version = re.search(r'^FROM \S+/python:([\d.]+)', container, re.MULTILINE)[1]
    assert Requirement(f'python{PROJECT["requires-python"]}').specifier.contains(f'{version}.1')
    assert (ROOT / '.containerignore').read_text().splitlines() == ['*', '!wheels']


@pytest.fixture(scope='module')
def wheels():
    """Return the script that asks for which machines there are wheels, as a module."""
    loader = importlib.machinery.SourceFileLoader('wheels', str(ROOT / '.ci' / 'wheels'))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader('wheels', loader))
    loader.exec_module(module)
    return module


def test_packages_without_wheels_are_read_from_the_error_of_uv(wheels):
    error = (
        'error: No solution found when resolving dependencies\n  cause: Because geometric>=0.9.7.2 has no usable '
        'wheels and pyscf[geomopt]==2.3.0 depends on geometric>=0.9.7.2, we can conclude …\n\n'
        'hint: Wheels are required for `pycifrw` because building from source is disabled for all packages\n'
    )
    assert wheels.named(error) == ['geometric', 'pycifrw']


def test_wheels_are_asked_for_every_extra_and_for_the_advice_on_pyscf(wheels):
    assert {'ml', 'pyscf', 'chgnet'} <= set(wheels.extras()) and 'dev' not in wheels.extras()
    assert wheels.requirements(wheels.NEWER) == (['-'], 'pyscf>=2.8\nh5py\ndill\npint\naiida-shell\n')
    assert wheels.requirements('ml')[0][1:] == ['--extra', 'ml']


@pytest.fixture
def repository(tmp_path):
    """Return a copy of what a release is checked against, released as 0.1.0."""
    for name in ('.ci/check_release', 'aiida_qagenai/__init__.py', 'CITATION.cff'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    version = re.search(r"__version__ = '(.+)'", (ROOT / 'aiida_qagenai/__init__.py').read_text())[1]
    (tmp_path / 'CHANGELOG.md').write_text(f'# Changelog\n\n## Unreleased\n\n## {version} - 2026-12-01\n')
    return tmp_path, version


@pytest.mark.parametrize(
    ('tag', 'change', 'message'),
    [
        ('v{}', None, ''),
        ('v9.9.9', None, "aiida_qagenai.__version__ is '{}', the tag says '9.9.9'"),
        ('{}', None, "the tag is '{}', expected v{}"),
        ('v{}', ('CHANGELOG.md', '2026-12-01', 'not yet'), 'CHANGELOG.md has no heading "## {} - YYYY-MM-DD"'),
        ('v{}', ('CITATION.cff', '\nversion: ', '\nversion: 9'), "CITATION.cff says '9{}', the tag says '{}'"),
        ('v{}', ('aiida_qagenai/__init__.py', "__version__ = '", "__version__ = '9"), "__version__ is '9{}'"),
    ],
)
def test_check_release(repository, tag, change, message):
    """A tag is accepted if package, citation and changelog name its version; otherwise one line says which does not."""
    root, version = repository
    if change:
        file, old, new = change
        path = root / file
        path.write_text(path.read_text().replace(old, new))
    call = [str(root / '.ci' / 'check_release'), tag.replace('{}', version)]
    result = subprocess.run(call, capture_output=True, text=True, check=False)
    assert result.returncode == (1 if message else 0)
    assert message.replace('{}', version) in result.stderr
    assert 'Traceback' not in result.stderr
