"""The example of the ladder: what it keeps of a crystal that has ended."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from aiida import orm
from aiida.common.links import LinkType
from pymatgen.core import Lattice, Structure

from aiida_qagenai.engine.archive import count_nodes

EXAMPLE = Path(__file__).resolve().parents[2] / 'examples' / 'ladder' / 'ladder.py'
SPEC = importlib.util.spec_from_file_location('ladder_example', EXAMPLE)
ladder = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(ladder)


def process(label: str, structure: Structure, status: int) -> None:
    """Store a work chain that has ended."""
    node = orm.WorkChainNode()
    node.label = label
    crystal = orm.StructureData(pymatgen=structure).store()
    node.base.links.add_incoming(crystal, LinkType.INPUT_WORK, 'structure')
    node.set_process_state('finished')
    node.set_exit_status(status)
    node.store()
    node.seal()


def test_an_archive_has_all_of_a_crystal_that_ended_well(aiida_profile_clean, tmp_path):
    structure = Structure(Lattice.cubic(3.0), ['Li'], [[0, 0, 0]])
    for name, status in (('good', 0), ('bad', 500)):
        process(f'ladder-{name}', structure, status)
    for name in ('good', 'bad', 'unknown'):
        ladder.archive(ladder.Task(f'ladder-{name}', structure), tmp_path / 'archives')
    assert [path.name for path in (tmp_path / 'archives').iterdir()] == ['good.aiida']
    assert count_nodes(tmp_path / 'archives' / 'good.aiida') == {'StructureData': 1, 'WorkChainNode': 1}
