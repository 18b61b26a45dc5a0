"""Installed packages against the metadata of this package, with metadata that a test puts on the path."""

from __future__ import annotations

import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from aiida_qagenai.cli.setup.packages import EXTRAS, check_extra, check_packages, check_python
from aiida_qagenai.cli.setup.rows import State

ROOT = Path(__file__).parents[3]


@pytest.fixture
def pretend(tmp_path, monkeypatch):
    """Return a function that puts the metadata of a package before that of the installed one."""

    def create(name: str, number: str, *lines: str) -> None:
        folder = tmp_path / f'{name.replace("-", "_")}-{number}.dist-info'
        folder.mkdir()
        text = f'Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n'
        (folder / 'METADATA').write_text(text + ''.join(f'{line}\n' for line in lines))
        monkeypatch.syspath_prepend(tmp_path)

    return create


def test_what_is_installed_here_is_as_required():
    rows = {row.name: row for row in check_packages()}
    assert {row.state for row in rows.values()} == {State.OK}
    assert rows['aiida-core'].found.startswith(version('aiida-core'))
    assert check_python().state is State.OK


def test_old_version_is_a_problem_with_the_command_that_replaces_it(pretend):
    pretend('aiida-core', '2.8.0')
    row = next(row for row in check_packages() if row.name == 'aiida-core')
    assert row.state is State.PROBLEM
    assert row.found == '2.8.0; needed ~=2.9.4'
    assert row.advice.endswith("-m pip install 'aiida-core~=2.9.4'")


def test_package_without_a_row_of_its_own_gets_one_when_it_is_wrong(pretend):
    pretend('seekpath', '1.0')
    rows = {row.name: row for row in check_packages()}
    assert rows['seekpath'].state is State.PROBLEM


def test_another_python_is_a_problem():
    row = check_python((3, 9, 1))
    assert row.state is State.PROBLEM and '3.9.1' in row.found


def test_extra_that_is_not_installed_says_what_it_enables(pretend):
    own = ('Provides-Extra: ml', "Requires-Dist: no-such-package>=1; extra == 'ml'", 'Requires-Dist: numpy')
    pretend('aiida-qagenai', '9.9', *own)
    row = check_extra('ml', 'models')
    assert row.state is State.NOTE
    assert row.found == 'no-such-package not installed; needed for models'
    assert row.advice == "pip install 'aiida-qagenai[ml]'"


def test_pyscf_is_missed_where_the_extra_does_not_ask_for_it(pretend, tmp_path):
    """On Windows the extra holds h5py only."""
    pretend('aiida-qagenai', '9.9', 'Provides-Extra: pyscf', "Requires-Dist: h5py; extra == 'pyscf'")
    pretend('pyscf', '0')
    assert check_extra('pyscf', 'energies').state is State.OK
    (tmp_path / 'pyscf-0.dist-info' / 'METADATA').write_text('')
    assert check_extra('pyscf', 'energies').found == 'pyscf not installed; needed for energies'


def test_extra_in_an_untested_version_is_a_note(pretend):
    """A newer PySCF works, although aiida-pyscf does not ask for it."""
    pretend('pyscf', '2.14.0')
    row = check_extra('pyscf', 'energies')
    assert row.state is State.NOTE and 'pyscf 2.14.0; tested with pyscf<2.4,>=2.3' in row.found


def test_build_of_torch_counts_as_its_version(pretend):
    pretend('torch', '2.13.0+cu130')
    row = check_extra('ml', 'models')
    assert row.state is State.OK and 'torch 2.13.0+cu130' in row.found


def test_metadata_that_a_full_disk_left_behind_is_that_of_no_package(pretend, tmp_path):
    pretend('vesin', '0.1')
    (tmp_path / 'vesin-0.1.dist-info' / 'METADATA').write_text('')
    assert check_extra('ml', 'models').found.startswith('vesin not installed')


def test_every_extra_for_users_has_a_row():
    extras = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']['optional-dependencies']
    assert set(EXTRAS) == set(extras) - {'dev', 'docs', 'tests'}
