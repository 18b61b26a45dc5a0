"""The smallest real thing at every level through the work chains, for ``quantum_chemistry.py --only levels``."""

from __future__ import annotations

import tempfile
import typing as t
from pathlib import Path

from figures import figure
from provenance import temporary_profile

if t.TYPE_CHECKING:
    from aiida.orm import InstalledCode

    from aiida_qagenai.data.energy import EnergyData

PROTOCOLS = ('fast', 'moderate', 'precise', 'all_electron')
EXPECTED = {'fast': 0.2, 'moderate': 0.05, 'precise': 0.03, 'all_electron': 0.05}
"""What the documentation says of each protocol, eV/atom."""


def levels(python: str, bases: Path, elements: t.Sequence[str] = ('H', 'N')) -> None:
    """Print by how much molecules of the elements differ from experiment, and what they cost.

    The anchored formation energy of an element in its reference state is zero but for the error of the level: the
    computed binding energy of the molecule against the experimental one.
    """
    with temporary_profile(), tempfile.TemporaryDirectory() as folder:
        code = local_code(python, folder)
        install(bases)
        for protocol in PROTOCOLS:
            for element in elements:
                atom = compute(code, protocol, element, None)
                molecule = compute(code, protocol, element, atom)
                content = molecule.content
                name = f'{protocol}-{content.formula.lower()}'
                error = abs(content.anchored)
                figure(f'error-{name}', error, 'eV/atom', 'expected of the level', EXPECTED[protocol])
                core_seconds = 3600 * (content.core_hours + atom.content.core_hours)
                figure(f'cost-{name}', core_seconds, 's', 'core seconds, a minute', 60.0)
                figure(f'memory-{name}', max(content.memory_mb, atom.content.memory_mb), 'MB', 'MB, a gigabyte', 1000.0)


def local_code(python: str, folder: str) -> InstalledCode:
    """Return the code that runs PySCF scripts on this machine."""
    from aiida.orm import Computer, InstalledCode

    computer = Computer('localhost', 'localhost', '', 'core.local', 'core.direct', folder).store()
    computer.configure(safe_interval=0, use_login_shell=False)
    computer.set_minimum_job_poll_interval(0)
    return InstalledCode(
        computer=computer,
        filepath_executable=python,
        label='pyscf',
        default_calc_job_plugin='qagenai.pyscf_cell',
        prepend_text='export OMP_NUM_THREADS=1',
    ).store()


def install(bases: Path) -> None:
    """Install the family ccgto from a copy."""
    from aiida_qagenai.data.basis import install_families
    from aiida_qagenai.exchange.basis import find_source

    install_families(find_source('ccgto'), bases)


def compute(code: InstalledCode, protocol: str, element: str, atom: EnergyData | None) -> EnergyData:
    """Return the energy of the isolated atom, or with it that of the molecule of the element.

    :raises SystemExit: if the work chain fails.
    """
    from aiida.engine import run_get_node

    from aiida_qagenai.common.fidelity import Fidelity
    from aiida_qagenai.workchains.energy.composite import builder_of_level
    from aiida_qagenai.workchains.energy.references import isolated_atom, reference_structure
    from aiida_qagenai.workchains.protocols.bases import EnergyProtocol

    structure = isolated_atom(element) if atom is None else reference_structure(element)
    references = None if atom is None else {element: atom}
    complete = EnergyProtocol.resolve(protocol, symbols=[kind.symbol for kind in structure.kinds])
    outputs, node = run_get_node(
        builder_of_level(code, structure, Fidelity.CCSD_T, complete, atomic_references=references)
    )
    if not node.is_finished_ok:
        raise SystemExit(f'{element} at {protocol}: {node.exit_message}')
    return outputs['energy']
