#!/usr/bin/env verdi run
"""Crystals of H to Ar on four rungs: PBE, SCAN, HSE06 and composite CCSD(T).

    verdi run examples/ladder/ladder.py [--only NAME ...] [--results FILE] [--archives FOLDER] [--dry-run]

`crystals.yaml` lists the crystals, `settings.yaml` the changes to the protocol `moderate`. Each crystal and each
further volume of it is a process of its own, computed one after the other; what has finished is not computed again, so
that the script can be stopped and started at any time. `--results FILE` adds every crystal to a JSON file as it ends,
with its energies, what failed, and the calculations (hash of the script, energy, cost), and leaves out what the file
has with the same structure and settings: another machine, with a profile of its own, goes on with the rest.
`python recipes/ladder_data.py --results FILE` makes the data of the package of it. `--archives FOLDER` writes the
provenance of each crystal that ends to an archive there, which `verdi archive import` reads.

It needs the bases of `aiida-qagenai basis install`, about a core hour and up to 12 GB for a crystal.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import typing as t
from pathlib import Path

import yaml
from aiida.orm import Log, QueryBuilder, StructureData, WorkChainNode, load_code, load_node
from pymatgen.core import Lattice, Structure

from aiida_qagenai.calculations.pyscf.cell import PyscfCellCalculation
from aiida_qagenai.cli.groups import launch
from aiida_qagenai.cli.progress import follow
from aiida_qagenai.cli.setup import PYSCF_CODE
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import LADDER
from aiida_qagenai.engine.archive import write_archive
from aiida_qagenai.engine.daemon import restart_processes
from aiida_qagenai.engine.resumable import nested_outputs
from aiida_qagenai.queries.costs import costs
from aiida_qagenai.workchains.energy.ladder import LadderWorkChain

# `verdi run` gives a script its name without the folder.
HERE = Path(__file__ if Path(__file__).is_absolute() else sys.argv[0]).parent
PROTOCOL = 'moderate'
GROUPS = {'rock salt': 'Fm-3m', 'zinc blende': 'F-43m', 'caesium chloride': 'Pm-3m'}
SECOND = {'rock salt': [0.5, 0.5, 0.5], 'zinc blende': [0.25, 0.25, 0.25], 'caesium chloride': [0.5, 0.5, 0.5]}


Results = dict[str, dict[str, t.Any]]


class Task(t.NamedTuple):
    """One crystal at one volume."""

    label: str
    structure: Structure


def tasks(crystals: dict[str, dict[str, t.Any]]) -> list[Task]:
    """Return the crystals at their lattice constants, then those at further volumes."""
    found = [Task(f'ladder-{name}', crystal(content)) for name, content in crystals.items()]
    for name, content in crystals.items():
        for volume in content.get('volumes', ()):
            structure = crystal(content)
            structure.scale_lattice(structure.volume * volume)
            found.append(Task(f'ladder-{name}-{volume}', structure))
    return found


def crystal(content: dict[str, t.Any]) -> Structure:
    """Return the primitive cell of an entry of `crystals.yaml`."""
    first, *rest = content['elements']
    sites, kind = [[0, 0, 0], SECOND[content['kind']]], content['kind']
    group = 'Fd-3m' if not rest else GROUPS[kind]
    species, sites = ([first], sites[:1]) if not rest else ([first, *rest], sites)
    return Structure.from_spacegroup(group, Lattice.cubic(content['lattice']), species, sites).get_primitive_structure()


def settings() -> dict[str, t.Any]:
    """Return the changes to the protocol."""
    changes: dict[str, t.Any] = yaml.safe_load((HERE / 'settings.yaml').read_text(encoding='utf-8'))
    return changes


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
        overrides=settings(),
        # Two do not fit into 24 GB, and one core is used.
        max_concurrent=1,
    )
    return launch(builder, 'energy', label=task.label, watch=True, describe=None)


def fingerprint(task: Task) -> str:
    """Return a hash of what is computed: structure, protocol and changes to it."""
    content = [task.structure.as_dict(), PROTOCOL, settings()]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read(path: Path | None) -> Results:
    """Return the results that a file has; none without a file."""
    return json.loads(path.read_text(encoding='utf-8')) if path and path.exists() else {}


def failures(node: WorkChainNode) -> list[str]:
    """Return what the process says of levels that were refused or failed, each with the reason."""
    messages = (log.message.split(']: ', 1)[-1] for log in Log.collection.get_logs_for(node))
    return [message for message in messages if ' was refused: ' in message or ' failed: ' in message]


def calculations(node: WorkChainNode) -> list[dict[str, t.Any]]:
    """Return the calculations under a process: their place, the hash of their script, energy (Ha), and cost."""
    rows = []
    for row in costs(node.pk).itertuples():
        job = load_node(row.pk)
        script = job.base.repository.get_object_content(PyscfCellCalculation.FILENAME_SCRIPT, mode='rb')
        results = job.outputs.results.get_dict() if 'results' in job.outputs else {}
        values = {name: results.get(name) for name in ('total_energy_hartree', 'cpu_seconds', 'memory_mb', 'versions')}
        origin = {'path': row.path, 'what': row.what, 'script_sha256': hashlib.sha256(script).hexdigest()}
        rows.append({**origin, **values, 'exit_status': job.exit_status, 'cached': bool(row.cached)})
    return rows


def add(results: Results, task: Task, path: Path) -> None:
    """Add what a crystal has, if it has ended with an energy, to the results, and write the file."""
    node = last_process(task.label)
    energies = nested_outputs(node).get('energies', {}) if node is not None and node.is_finished_ok else {}
    if not energies:
        return
    results[task.label] = {
        'fingerprint': fingerprint(task),
        'structure': task.structure.as_dict(),
        'energies': {energy.fidelity.value: energy.base.attributes.all for energy in energies.values()},
        'failures': failures(node),
        'calculations': calculations(node),
    }
    with tempfile.NamedTemporaryFile('w', dir=path.parent, delete=False, encoding='utf-8') as handle:
        handle.write(json.dumps(results, indent=1, sort_keys=True) + '\n')
    Path(handle.name).replace(path)


def archive(task: Task, folder: Path) -> None:
    """Write all that belongs to a crystal to an archive of its name, if it has ended and is not there yet."""
    node, path = last_process(task.label), folder / f'{task.label.removeprefix("ladder-")}.aiida'
    if node is None or not node.is_finished_ok or path.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix('.partial')
    write_archive([node], partial)
    partial.replace(path)


def main() -> int:
    """Read the arguments and compute."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--only', nargs='+', metavar='NAME', help='crystals of crystals.yaml, with their volumes')
    parser.add_argument('--results', type=Path, metavar='FILE', help='add energies to a file; compute what it lacks')
    parser.add_argument('--archives', type=Path, metavar='FOLDER', help='write an archive of each crystal')
    parser.add_argument('--dry-run', action='store_true', help='list what would be computed')
    arguments = parser.parse_args()
    crystals = yaml.safe_load((HERE / 'crystals.yaml').read_text(encoding='utf-8'))
    unknown = [name for name in arguments.only or () if name not in crystals]
    if unknown:
        parser.error(f'crystals.yaml has no {", ".join(unknown)}')
    names = arguments.only or [name for name, content in crystals.items() if 'refused' not in content]
    chosen, results = tasks({name: crystals[name] for name in names}), read(arguments.results)
    failed = []
    for number, task in enumerate(chosen, start=1):
        known = results.get(task.label, {}).get('fingerprint') == fingerprint(task)
        node = last_process(task.label)
        state = 'in the results' if known else 'not computed' if node is None else node.process_state.value
        print(f'{number}/{len(chosen)} {task.label}: {state}', flush=True)
        if not known and not arguments.dry_run:
            try:
                node = compute(task)
            except InvalidInputError as refusal:
                print(f'{task.label} is left out: {refusal}')
                continue
            if not node.is_terminated:
                return 1
            failed += [task.label] * (not node.is_finished_ok)
        if arguments.results and not known:
            add(results, task, arguments.results)
        if arguments.archives and not arguments.dry_run:
            archive(task, arguments.archives)
    if failed:
        print(f'not complete: {", ".join(failed)}')
    return int(bool(failed))


if __name__ == '__main__':
    raise SystemExit(main())
