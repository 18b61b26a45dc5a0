"""Fixtures of the tests of the parsers."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiida import orm
from aiida.common.links import LinkType


@pytest.fixture
def make_node(localhost):
    """Return a factory of calculations that have ended: stored, not sealed, with their inputs and retrieved files."""

    def create(plugin: str, inputs: dict[str, orm.Data], files: list[Path]) -> orm.CalcJobNode:
        node = orm.CalcJobNode(computer=localhost, process_type=f'aiida.calculations:{plugin}')
        node.set_option('resources', {'num_machines': 1, 'num_mpiprocs_per_machine': 1})
        node.set_option('scheduler_stderr', '_scheduler-stderr.txt')
        node.set_option('output_filename', 'aiida.out')
        for label, value in inputs.items():
            node.base.links.add_incoming(value.store(), link_type=LinkType.INPUT_CALC, link_label=label)
        node.store()
        retrieved = orm.FolderData()
        for path in files:
            retrieved.base.repository.put_object_from_file(path, path.name)
        retrieved.base.links.add_incoming(node, link_type=LinkType.CREATE, link_label='retrieved')
        retrieved.store()
        return node

    return create
