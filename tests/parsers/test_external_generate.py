"""Parsing what generators of others wrote: each way to fail has its exit code and its reason."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.plugins import ParserFactory
from pymatgen.core import Lattice, Structure

SALT = Structure.from_spacegroup(225, Lattice.cubic(4.08), ['Li', 'H'], [[0, 0, 0], [0.5, 0.5, 0.5]])
CIF = SALT.to(fmt='cif')


@pytest.fixture
def parse(make_node, tmp_path):
    """Return a function that parses files of a program, and returns the exit code and the outputs."""

    def create(files: dict[str, str], exit_status: int | None = None, **parameters):
        paths = [tmp_path / name for name in files]
        for path, text in zip(paths, files.values(), strict=True):
            path.write_text(text)
        values = orm.Dict({'program': 'test', 'outputs': ['*.cif'], **parameters})
        node = make_node('qagenai.external_generate', {'parameters': values, 'cycle': orm.Int(1)}, paths)
        if exit_status is not None:
            node.set_exit_status(exit_status)
            node.set_exit_message('out of walltime')
        parser = ParserFactory('qagenai.external_generate')(node)
        code = parser.parse()
        return code, {label.removeprefix('candidates.'): output for label, output in parser.outputs.items()}

    return create


def test_primitive_cells(parse):
    """Crystals are reduced to their primitive cells unless they should stay as they are."""
    assert len(parse({'a.cif': CIF})[1]['c00000'].sites) == 2
    assert len(parse({'a.cif': CIF}, primitive=False)[1]['c00000'].sites) == 8


def test_order_and_labels(parse):
    """Candidates are in the order of the paths, which are their labels."""
    other = SALT.copy()
    other.replace_species({'Li': 'Na'})
    code, outputs = parse({'b.cif': CIF, 'a.cif': other.to(fmt='cif')}, version='2.0')
    assert code is None
    candidates = [outputs['c00000'], outputs['c00001']]
    found = [(node.label, node.formula, node.base.attributes.get('origin')) for node in candidates]
    assert found == [('a.cif', 'NaH', 'test 2.0'), ('b.cif', 'LiH', 'test 2.0')]


@pytest.mark.parametrize(
    ('files', 'parameters', 'status', 'message'),
    [
        ({}, {}, 310, 'The program wrote none of the outputs *.cif'),
        ({'aiida.err': 'a\nno GPU\n'}, {}, 310, 'The program wrote none of the outputs *.cif: no GPU'),
        (
            {'a.cif': 'x'},
            {},
            510,
            '0 of 1, expected 1 or more; a.cif: it cannot be read as CIF: it has no `data_` block',
        ),
        ({'a.cif': CIF}, {'elements': ['Na', 'H']}, 510, 'a.cif: the structure has Li: only Na, H may occur'),
        ({'a.cif': CIF}, {'max_atoms': 7, 'primitive': False}, 510, 'the structure has 8 atoms: at most 7 may be in a'),
        ({'a.cif': CIF}, {'min_structures': 2}, 511, 'Too few crystals can be used: 1 of 1, expected 2 or more'),
        ({'a.cif': CIF}, {'version_arguments': ['-V']}, 312, 'did not print its version when run with -V'),
        ({'a.cif': CIF, 'aiida.version': ' \n'}, {'version_arguments': ['-V']}, 312, 'when run with -V'),
        ({'a.extxyz': '3\n'}, {}, 311, 'Nothing can be read in a.extxyz, line 1, index 0: the file ends after 0 of 3'),
        ({'a.json': '{', 'b.json': ''}, {}, 311, ' (and 1 other files)'),
    ],
)
def test_failures(parse, files, parameters, status, message):
    """The message names the file, or the last error of the program."""
    code, outputs = parse(files, **parameters)
    assert code.status == status
    assert message in code.message
    assert outputs['results']['num_files'] == len([name for name in files if not name.startswith('aiida.')])


def test_unreadable_file_beside_readable_ones(parse):
    """The job fails, because nobody knows what the file held; what could be read are its outputs all the same."""
    code, outputs = parse({'a.cif': CIF, 'b.json': '{'})
    assert code.status == 311
    assert outputs['c00000'].formula == 'LiH' and len(outputs['candidate_set']) == 1
    assert outputs['results']['num_unreadable_files'] == 1


def test_job_that_the_scheduler_ended(parse):
    """A job out of walltime has failed, although its first crystals can be read and are outputs."""
    code, outputs = parse({'a.cif': CIF}, exit_status=120)
    assert (code.status, code.message) == (120, 'out of walltime')
    assert outputs['c00000'].formula == 'LiH' and len(outputs['candidate_set']) == 1
