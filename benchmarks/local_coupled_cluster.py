"""Local CCSD(T) against canonical k-point CCSD(T) at the same basis, mesh and thresholds: its error and what it saves.

    python benchmarks/local_coupled_cluster.py [--python PYTHON] [--quick]

``--python`` is the interpreter with pyscf-forge (``make lno``: .venv-lno/bin/python); it runs both. Both jobs include
Hartree-Fock. LiH (a = 4.0834 Å) in gth-cc-dzvp at the usual thresholds and at those of `precise`; diamond in gth-szv,
for bonds that no atom has to itself.
"""

from __future__ import annotations

import argparse
import typing as t
from pathlib import Path

from figures import figure
from quantum_chemistry import Structure, lithium_hydride, run

COMMON: dict[str, t.Any] = {
    'fidelity': 'CCSD(T)',
    'pseudo': 'gth-hf-rev',
    'precision': 1e-8,
    'scf': {'conv_tol': 1e-9},
    'cc': {'conv_tol': 1e-8, 'conv_tol_normt': 1e-6},
    'max_memory_mb': 8000,
}
THRESHOLDS = {
    'usual': {'occupied_threshold': 1e-4, 'virtual_threshold': 1e-5},
    'precise': {'occupied_threshold': 1e-5, 'virtual_threshold': 1e-6},
}
REFERENCE_ERRORS = {
    'lih': ('earlier trial of the library, LiH on 2×2×2', 0.006),
    'diamond': ('chemical accuracy, 1 kcal/mol', 1.594),
}
"""mHa per cell."""


def diamond() -> Structure:
    """Return the primitive cell of diamond."""
    half = 3.567 / 2
    cell = [[0.0, half, half], [half, 0.0, half], [half, half, 0.0]]
    return cell, [('C', [0.0, 0.0, 0.0]), ('C', [half / 2] * 3)]


def compare(
    python: str, name: str, parameters: dict[str, t.Any], structure: Structure, levels: t.Iterable[str]
) -> None:
    """Print error and speed-up at each level of thresholds."""
    canonical = run(python, {**COMMON, **parameters}, structure)
    for level in levels:
        local = {'method': 'LNO-CCSD(T)', 'local': THRESHOLDS[level]}
        results = run(python, {**COMMON, **parameters, **local}, structure)
        end = '' if level == 'usual' else f'-{level}'
        error = 1e3 * abs(results['total_energy_hartree'] - canonical['total_energy_hartree'])
        figure(f'lno-error-{name}{end}', error, 'mHa', *REFERENCE_ERRORS[name])
        speedup = canonical['cpu_seconds'] / results['cpu_seconds']
        figure('lno-speedup' + ('' if name == 'lih' else f'-{name}') + end, speedup, 'x', 'canonical CCSD(T)', 1.0)
        size = sum(results['largest_fragment']) / (results['num_kpoints'] * results['num_basis_functions'])
        figure(f'lno-kept-{name}{end}', size, 'of the orbitals', 'all', 1.0)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual = Path('.venv-lno/bin/python')
    parser.add_argument('--python', default=str(usual.absolute()), help='interpreter with pyscf-forge')
    parser.add_argument('--quick', action='store_true', help='one minute: LiH on 2×2×1, the usual thresholds')
    arguments = parser.parse_args()
    hydride = {'basis': 'gth-cc-dzvp', 'kmesh': [2, 2, 1] if arguments.quick else [2, 2, 2]}
    levels = ['usual'] if arguments.quick else list(THRESHOLDS)
    compare(arguments.python, 'lih', hydride, lithium_hydride(4.0834), levels)
    if not arguments.quick:
        compare(arguments.python, 'diamond', {'basis': 'gth-szv', 'kmesh': [2, 2, 2]}, diamond(), levels)


if __name__ == '__main__':
    main()
