"""What the engine takes for one calculation beyond computing it, against the smallest calculation of AiiDA itself.

``python benchmarks/engine.py [--quick]`` makes the embedded profile of ``aiida-qagenai setup`` in a temporary folder,
starts its daemon, and prints one JSON line per figure: seconds from the creation of a process to its end without what
its job computed, median of several in turn. The reference is AiiDA's ``ArithmeticAddCalculation``, which computes
nothing.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
import typing as t
import warnings

from figures import figure


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true', help='three of each instead of ten')
    arguments = parser.parse_args()
    warnings.simplefilter('ignore')
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        prepare(folder)
        try:
            compare(3 if arguments.quick else 10)
        finally:
            from aiida_qagenai.engine.daemon import stop_daemon

            stop_daemon()


def prepare(folder: str) -> None:
    """Make a profile in a folder, load it, and start its daemon."""
    os.environ['AIIDA_PATH'] = folder
    from aiida.manage.configuration import get_config, reset_config
    from aiida.manage.configuration.settings import AiiDAConfigDir

    from aiida_qagenai.cli.setup import setup
    from aiida_qagenai.engine.daemon import ensure_daemon

    # What was imported before may have looked for the folder already: the user's own is not touched.
    AiiDAConfigDir.set()
    reset_config()
    setup.main(['--profile', 'engine'], standalone_mode=False)
    get_config().set_option('caching.enabled_for', [], scope='engine')  # each is computed
    get_config().store()
    ensure_daemon()


def compare(repeats: int) -> None:
    """Run the calculations in turn, after one of each that loads the modules, and print the figures."""
    seconds: dict[str, list[float]] = {'plain': [], 'job': [], 'energy': []}
    for _ in range(repeats + 1):
        seconds['plain'].append(life(finished(addition())))
        energy = finished(energy_of_hydrogen())
        (job,) = (child for child in energy.called_descendants if child.process_label == 'PyscfCellCalculation')
        computed = job.outputs.results.get_dict()['wall_seconds']
        seconds['job'].append(life(job) - computed)
        seconds['energy'].append(life(energy) - computed)
    plain, job, energy = (statistics.median(values[1:]) for values in seconds.values())
    for name, value in (('engine-job', job), ('engine-energy', energy)):
        figure(
            name,
            round(value, 2),
            's beyond compute',
            'ArithmeticAddCalculation of AiiDA',
            round(plain, 2),
            ratio=round(value / plain, 2),
        )


def addition() -> t.Any:
    """Return the builder of AiiDA's sum of two numbers."""
    from aiida.orm import InstalledCode, Int, load_computer

    computer = load_computer('localhost')
    code = InstalledCode(
        computer=computer, filepath_executable='/bin/bash', default_calc_job_plugin='core.arithmetic.add'
    )
    builder = code.get_builder()
    builder.x, builder.y = Int(1), Int(2)
    return builder


def energy_of_hydrogen() -> t.Any:
    """Return the builder of the energy of a hydrogen atom."""
    from aiida.orm import StructureData, load_code

    from aiida_qagenai.cli.setup import PYSCF_CODE
    from aiida_qagenai.workchains.energy.energy import EnergyWorkChain

    atom = StructureData(pbc=(False, False, False))
    atom.append_atom(position=(0.0, 0.0, 0.0), symbols='H')
    return EnergyWorkChain.get_builder_from_protocol(load_code(f'{PYSCF_CODE}@localhost'), atom, 'PBE', 'pipeline')


def finished(builder: t.Any) -> t.Any:
    """Submit to the daemon and return the node at its end.

    :raises SystemExit: if it fails.
    """
    from aiida.engine import submit

    node = submit(builder)
    while not node.is_sealed:
        time.sleep(0.1)
    if not node.is_finished_ok:
        raise SystemExit(f'{node.process_label} failed: {node.exit_message}')
    return node


def life(node: t.Any) -> float:
    """Return how long a process took, s."""
    return float((node.mtime - node.ctime).total_seconds())


if __name__ == '__main__':
    main()
