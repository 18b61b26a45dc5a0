"""Time to read the progress of a campaign in a large graph.

``python benchmarks/progress.py [--nodes N] [--quick]`` stores a cycle of a made-up campaign in a throw-away SQLite
profile (three nodes a candidate), energies that have finished before, and a second cycle that computes energies. It
then reads the progress as ``campaign follow`` does every two seconds. One JSON line per figure; ``--quick`` stores
3,000 nodes.
"""

from __future__ import annotations

import argparse
import statistics
import time
import typing as t
import warnings

from figures import figure
from provenance import temporary_profile
from provenance_scale import store_cycle

HISTORY, RUNNING = 500, 4
"""Energies that have finished, and that run."""

INTERVAL = 2.0
"""Seconds between two looks of ``campaign follow``."""


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--nodes', type=int, default=100_000, help='nodes of candidates, predictions and assessments')
    parser.add_argument('--quick', action='store_true', help='3,000 nodes and 50 energies, within a minute')
    arguments = parser.parse_args()
    warnings.simplefilter('ignore')
    n = 3000 if arguments.quick else arguments.nodes
    with temporary_profile():
        campaign = store_campaign(n // 3, 50 if arguments.quick else HISTORY)
        from aiida_qagenai.queries.progress import Watch

        start = time.process_time()
        watch = Watch(campaign, 'aiida-qagenai campaign continue PK')
        progress = watch.read()
        figure(f'progress-first-{n}-cpu', round(time.process_time() - start, 3), 's')
        assert len(progress.step.ladder.running) == RUNNING, 'the energies that run'
        assert progress.step.left is not None, 'the history'
        times, cpu_times = [], []
        for _ in range(5):
            start, cpu = time.perf_counter(), time.process_time()
            watch.read()
            times.append(time.perf_counter() - start)
            cpu_times.append(time.process_time() - cpu)
        figure(f'progress-read-{n}', round(statistics.median(times), 3), 's', 'interval', INTERVAL)
        figure(f'progress-read-{n}-cpu', round(statistics.median(cpu_times), 3), 's', 'interval', INTERVAL)


def store_campaign(num_candidates: int, num_energies: int) -> t.Any:
    """Store a campaign with a cycle that has ended and one that computes energies; return its node."""
    from aiida import orm

    computer = orm.Computer('machine', 'localhost', '', 'core.local', 'core.direct', '/tmp').store()
    code = orm.InstalledCode(label='python', computer=computer, filepath_executable='/usr/bin/python3').store()
    settings = {
        'energy': {'protocol': 'fast'},
        'generate': {'num_candidates': num_candidates},
        'stop': {'max_cycles': 4},
    }
    inputs = {'parameters': orm.Dict(settings), 'elements': orm.List(['Ba', 'O', 'Ti']), 'ml_code': code}
    campaign = process(None, '', 'CampaignWorkChain', 'waiting', inputs)
    shared = {name: inputs[name] for name in ('parameters', 'ml_code')}
    first = process(campaign, 'cycle001', 'CycleWorkChain', 'finished', shared)
    store_cycle(num_candidates, first, selected=10)
    labels = [f'c{index:05d}' for index in range(num_energies)]
    old = ladder(first, labels, code, 'finished')
    for label in labels:
        finished_energy(old, label)
    second = process(campaign, 'cycle002', 'CycleWorkChain', 'waiting', shared)
    labels = [f'd{index:05d}' for index in range(20)]
    running = ladder(second, labels, code, 'waiting')
    for label in labels[:RUNNING]:
        process(running, f'{label}pbe', 'EnergyWorkChain', 'waiting', {})
    return campaign


def process(caller: t.Any, link: str, name: str, state: str, inputs: dict[str, t.Any]) -> t.Any:
    """Return a stored work chain with its inputs and the call from ``caller``."""
    from aiida import orm
    from aiida.common.links import LinkType
    from aiida.engine import ProcessState

    node = orm.WorkChainNode()
    node.set_process_label(name)
    node.set_process_state(ProcessState(state))
    if state == 'finished':
        node.set_exit_status(0)
    if caller is not None:
        node.base.links.add_incoming(caller, LinkType.CALL_WORK, link)
    for label, value in inputs.items():
        node.base.links.add_incoming(value.store(), LinkType.INPUT_WORK, label)
    return node.store()


def ladder(caller: t.Any, labels: list[str], code: t.Any, state: str) -> t.Any:
    """Return a ladder of energies at PBE of structures of two atoms."""
    from aiida import orm

    structure = orm.StructureData(cell=[[3.0, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 3.0]])
    structure.append_atom(position=(0.0, 0.0, 0.0), symbols='Ba')
    structure.append_atom(position=(1.5, 1.5, 1.5), symbols='O')
    inputs = {
        'plan': orm.Dict({label: ['PBE'] for label in labels}),
        'settings': orm.Dict({'protocol': 'fast'}),
        'max_concurrent': orm.Int(RUNNING),
        'code': code,
        **{f'structures__{label}': structure for label in labels},
    }
    return process(caller, 'energies', 'LadderWorkChain', state, inputs)


def finished_energy(caller: t.Any, label: str) -> None:
    """Store an energy that has finished."""
    from aiida.common.links import LinkType

    from aiida_qagenai.data.energy import EnergyData

    node = process(caller, f'{label}pbe', 'EnergyWorkChain', 'finished', {})
    energy = EnergyData(
        fidelity='PBE',
        total_energy=-20.0,
        num_atoms=2,
        formula='BaO',
        chemical_system='Ba-O',
        converged=True,
        protocol='fast',
        level_tag='fast:made-up',
        scientific=False,
        structure_uuid=node.uuid,
    )
    energy.store().base.links.add_incoming(node, LinkType.RETURN, 'energy')


if __name__ == '__main__':
    main()
