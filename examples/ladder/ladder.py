#!/usr/bin/env verdi run
"""Crystals of H to Ar on four rungs: PBE, SCAN, HSE06 and composite CCSD(T).

    verdi run examples/ladder/ladder.py [--only NAME ...] [--dry-run]

`crystals.yaml` lists the crystals, `settings.yaml` the changes to the protocol `moderate`. Each crystal and each
further volume of it is a process of its own, computed one after the other; what has finished is not computed again, so
that the script can be stopped and started at any time. `--export FILE` writes what is there as JSON.

It needs the bases of `aiida-qagenai basis install`, about a core hour and up to 16 GB for a crystal.
"""

from __future__ import annotations

import argparse
import json
import sys
import typing as t
from pathlib import Path

import yaml
from aiida.orm import QueryBuilder, StructureData, WorkChainNode, load_code
from pymatgen.core import Lattice, Structure

from aiida_qagenai.cli.groups import launch
from aiida_qagenai.cli.progress import follow
from aiida_qagenai.cli.setup import PYSCF_CODE
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import LADDER
from aiida_qagenai.engine.daemon import restart_processes
from aiida_qagenai.engine.resumable import nested_outputs
from aiida_qagenai.workchains.energy.ladder import LadderWorkChain

# `verdi run` gives a script its name without the folder.
HERE = Path(__file__ if Path(__file__).is_absolute() else sys.argv[0]).parent
PROTOCOL = 'moderate'
GROUPS = {'rock salt': 'Fm-3m', 'zinc blende': 'F-43m', 'caesium chloride': 'Pm-3m'}
SECOND = {'rock salt': [0.5, 0.5, 0.5], 'zinc blende': [0.25, 0.25, 0.25], 'caesium chloride': [0.5, 0.5, 0.5]}


class Task(t.NamedTuple):
    """One crystal at one volume."""

    label: str
    structure: Structure
    grid_spacing: float | None


def tasks(crystals: dict[str, dict[str, t.Any]]) -> list[Task]:
    """Return the crystals at their lattice constants, then those at further volumes."""
    found = [
        Task(f'ladder-{name}', crystal(content), content.get('grid_spacing')) for name, content in crystals.items()
    ]
    for name, content in crystals.items():
        for volume in content.get('volumes', ()):
            structure = crystal(content)
            structure.scale_lattice(structure.volume * volume)
            found.append(Task(f'ladder-{name}-{volume}', structure, content.get('grid_spacing')))
    return found


def crystal(content: dict[str, t.Any]) -> Structure:
    """Return the primitive cell of an entry of `crystals.yaml`."""
    first, *rest = content['elements']
    sites, kind = [[0, 0, 0], SECOND[content['kind']]], content['kind']
    group = 'Fd-3m' if not rest else GROUPS[kind]
    species, sites = ([first], sites[:1]) if not rest else ([first, *rest], sites)
    return Structure.from_spacegroup(group, Lattice.cubic(content['lattice']), species, sites).get_primitive_structure()


def settings_of(task: Task) -> dict[str, t.Any]:
    """Return the changes to the protocol for one crystal."""
    changes: dict[str, t.Any] = yaml.safe_load((HERE / 'settings.yaml').read_text(encoding='utf-8'))
    return {**changes, **({'grid_spacing': task.grid_spacing} if task.grid_spacing else {})}


def last_process(label: str) -> WorkChainNode | None:
    """Return the last process with a label."""
    query = QueryBuilder().append(WorkChainNode, filters={'label': label}, tag='process')
    return query.order_by({'process': {'id': 'desc'}}).first(flat=True)


def compute(task: Task) -> WorkChainNode:
    """Compute a crystal, go on with it, or return the process that has."""
    node = last_process(task.label)
    again = 'verdi run examples/ladder/ladder.py'
    if node is not None and not node.is_terminated:
        restart_processes(node)
        follow(node, None, again)
        return node
    if node is not None and node.is_finished_ok:
        return node
    builder = LadderWorkChain.get_builder_from_protocol(
        load_code(f'{PYSCF_CODE}@localhost'),
        {'crystal': StructureData(pymatgen=task.structure)},
        {'crystal': list(LADDER)},
        PROTOCOL,
        overrides=settings_of(task),
        # Two do not fit into 24 GB.
        max_concurrent=1,
    )
    return launch(builder, 'energy', label=task.label, watch=True, describe=None)


def export(path: Path, chosen: list[Task]) -> int:
    """Write the energies of the crystals that have some, and return how many crystals that are."""
    rows = {}
    for task in chosen:
        node = last_process(task.label)
        energies = {} if node is None else nested_outputs(node).get('energies', {})
        if energies:
            rows[task.label] = {
                'structure': task.structure.as_dict(),
                'energies': {energy.fidelity.value: energy.base.attributes.all for energy in energies.values()},
            }
    path.write_text(json.dumps(rows, indent=1, sort_keys=True) + '\n', encoding='utf-8')
    return len(rows)


def main() -> int:
    """Read the arguments and compute."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--only', nargs='+', metavar='NAME', help='crystals of crystals.yaml, with their volumes')
    parser.add_argument('--dry-run', action='store_true', help='list what would be computed')
    parser.add_argument('--export', type=Path, metavar='FILE', help='write what is there, and compute nothing')
    arguments = parser.parse_args()
    crystals = yaml.safe_load((HERE / 'crystals.yaml').read_text(encoding='utf-8'))
    unknown = [name for name in arguments.only or () if name not in crystals]
    if unknown:
        parser.error(f'crystals.yaml has no {", ".join(unknown)}')
    chosen = tasks({name: crystals[name] for name in arguments.only or crystals})
    if arguments.export:
        print(f'{export(arguments.export, chosen)} of {len(chosen)} crystals have energies: {arguments.export}')
        return 0
    failed = []
    for number, task in enumerate(chosen, start=1):
        node = last_process(task.label)
        state = 'not computed' if node is None else node.process_state.value
        print(f'{number}/{len(chosen)} {task.label}: {state}', flush=True)
        if not arguments.dry_run:
            try:
                node = compute(task)
            except InvalidInputError as refusal:
                print(f'{task.label} is left out: {refusal}')
                continue
            if not node.is_terminated:
                return 1
            failed += [task.label] * (not node.is_finished_ok)
    if failed:
        print(f'not complete: {", ".join(failed)}')
    return int(bool(failed))


if __name__ == '__main__':
    raise SystemExit(main())
