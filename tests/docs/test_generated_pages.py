"""The pages of the reference that are made from the code say what the code does."""

from __future__ import annotations

import ast
import importlib.util
import pkgutil
import re
from importlib.metadata import entry_points

import pytest
from documentation import PAGES, ROOT

from aiida_qagenai.calculations.pyscf.cell import PyscfCellCalculation
from aiida_qagenai.workchains.energy.base import PyscfCellBaseWorkChain


@pytest.fixture(scope='module')
def generated():
    """Return the extension of Sphinx that writes the pages."""
    path = ROOT / 'docs' / '_ext' / 'generated_pages.py'
    specification = importlib.util.spec_from_file_location('generated_pages', path)
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_every_process_has_a_page(generated):
    """Each work chain and CalcJob with an entry point is among the processes, also where two share a name."""
    points = [*entry_points(group='aiida.workflows'), *entry_points(group='aiida.calculations')]
    names = sorted(point.name for point in points if point.name.startswith('qagenai.'))
    assert sorted(generated.processes().values()) == names
    assert len({process.__name__ for process in generated.processes()}) == len(names)


def test_handlers_are_those_of_the_work_chain(generated):
    """Every handler has a row with its exit statuses, and every exit code that one acts on names it."""
    found = generated.processes()
    page = generated.process_page(PyscfCellBaseWorkChain, 'qagenai.pyscf_cell.base', found)
    rows = dict(re.findall(r'^\| `(\w+)` \| \d+ \| ([\d, any]+) \|', page, re.MULTILINE))
    assert {*rows} == {handler.__name__ for handler in PyscfCellBaseWorkChain.get_process_handlers()}
    codes = PyscfCellCalculation.exit_codes
    assert rows['handle_scf_not_converged'] == str(codes.ERROR_ELECTRONIC_CONVERGENCE_NOT_REACHED.status)
    assert rows['handle_unrecoverable_failure'] == 'any'
    job = generated.process_page(PyscfCellCalculation, 'qagenai.pyscf_cell', found)
    for handler, statuses in rows.items():
        for status in re.findall(r'\d+', statuses):
            line = next((line for line in job.splitlines() if line.startswith(f'| {status} |')), None)
            assert line is None or f'`{handler}`' in line, f'{status} does not name {handler}'
    for label, code in PyscfCellCalculation.spec().exit_codes.items():
        assert f'| {code.status} | `{label}` |' in job


def test_every_module_is_described_once(generated):
    """The pages of a room name each of its modules, except those that another page of the reference describes."""
    documented = '\n'.join(path.read_text() for path in (ROOT / 'docs' / 'reference').glob('*.md'))
    page = generated.api_page('data', documented)
    modules = set(re.findall(r'automodule:: (\S+)', page))
    assert 'aiida_qagenai.data.phases' in modules
    assert 'aiida_qagenai.data.energy' not in modules
    files = {path.stem for path in (ROOT / 'aiida_qagenai' / 'data').glob('*.py')} - {'__init__'}
    described = {name.rsplit('.', 1)[1] for name in modules}
    assert all(name in described or f'aiida_qagenai.data.{name}.' in documented for name in files)


@pytest.mark.parametrize('page', PAGES)
def test_roles_name_what_the_reference_describes(page, generated):
    """A module, class or function that a page refers to lies in a room of the reference, and exists."""
    for name in re.findall(r'\{py:\w+\}`~?([\w.]+)`', (ROOT / page).read_text(encoding='utf8')):
        assert name.startswith(tuple(f'aiida_qagenai.{room}' for room in generated.ROOMS)), f'{page}: {name}'
        assert pkgutil.resolve_name(name)


def docstrings():
    """Yield where each docstring is, and its text without what is written as code."""
    for path in (ROOT / 'aiida_qagenai').rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text(encoding='utf8'))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                yield f'{path}: {node}', re.sub(r'``.*?``|:math:`.*?`', '', ast.get_docstring(node) or '', flags=re.S)


def test_docstrings_have_no_substitutions():
    """Bars around a text are a substitution for Sphinx: absolute values are written as code."""
    for where, plain in docstrings():
        assert not re.search(r'(?<![\w|\\])\|[^\s|][^|]*(?<![\s|\\])\|(?![\w|])', plain), where
        assert not re.search(r'(?<![\w|\\])\|<', plain), where


def test_emphasis_in_docstrings_has_an_end():
    """A star before a word begins one for Sphinx: further arguments are written as code."""
    for where, plain in docstrings():
        assert not re.search(r'(?<![\w*`])\*\w(?![^\n]*\w\*)', plain), where
