"""Energies and cost of the PySCF scripts against reference values, converged settings and the library's own loops.

    python benchmarks/quantum_chemistry.py [--quick] [--python PYTHON]

Needs PySCF in the interpreter that runs the scripts (``--python``), no AiiDA profile. CPU seconds include the start of
the process. Reference values: independent calculations of LiH (a = 4.0834 Å) in gth-cc-dzvp, Γ-centred 2×2×2.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import typing as t
from pathlib import Path

from aiida_qagenai.calculations.pyscf_parameters import PyscfCellParameters
from aiida_qagenai.calculations.pyscf_script import write_script
from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.common.units import HARTREE_TO_EV
from aiida_qagenai.workchains.protocols.energy import energy_settings

REFERENCE = {'PBE': -8.057228, 'SCAN': -8.082868, 'HSE06': -8.074028}
REFERENCE_CC = {'hartree_fock': -8.033820, 'ccsd_correlation': -0.033132, 'triples': -0.000412}
TARGET_SECONDS = {Fidelity.PBE: 4, Fidelity.SCAN: 4, Fidelity.HSE06: 4, Fidelity.CCSD_T: 12}
"""What the quickstart can afford for a cell of two atoms."""

Structure = tuple[list[list[float]], list[tuple[str, list[float]]]]


def lithium_hydride(lattice: float, kind: str = 'rock salt') -> Structure:
    """Return the primitive cell of a polymorph of LiH."""
    half = lattice / 2
    fraction = {'rock salt': 0.5, 'zinc blende': 0.25}[kind]
    cell = [[0.0, half, half], [half, 0.0, half], [half, half, 0.0]]
    return cell, [('Li', [0.0, 0.0, 0.0]), ('H', [fraction * lattice] * 3)]


def four_atoms() -> Structure:
    """Return a distorted Li2H2 without symmetry."""
    cell = [[3.2, 0.0, 0.0], [0.0, 3.0, 0.0], [0.0, 0.0, 5.2]]
    return cell, [('Li', [0, 0, 0]), ('H', [1.7, 1.5, 0.2]), ('Li', [1.6, 1.4, 2.6]), ('H', [0.1, 0.1, 2.5])]


def run(python: str, parameters: dict[str, t.Any], structure: Structure) -> dict[str, t.Any]:
    """Run one calculation and return its results."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / 'script.py'
        script.write_text(write_script(PyscfCellParameters.parse(parameters), *structure), encoding='utf-8')
        subprocess.run([python, script.name], cwd=folder, check=True, capture_output=True)
        results: dict[str, t.Any] = json.loads((Path(folder) / 'results.json').read_text(encoding='utf-8'))
    return results


def figure(name: str, value: float, unit: str, reference: str, reference_value: float) -> None:
    """Print one figure as a line of JSON."""
    record = {'name': name, 'value': value, 'unit': unit, 'reference': reference}
    print(json.dumps({**record, 'reference_value': reference_value, 'ratio': value / reference_value}), flush=True)


def cost_of_the_pipeline(python: str, fidelities: t.Sequence[Fidelity]) -> None:
    """Print the CPU time of each level for two and four atoms against what the quickstart can afford."""
    settings = energy_settings('pipeline')
    for label, structure, factor in (('2', lithium_hydride(4.08), 1), ('4', four_atoms(), 2)):
        for fidelity in fidelities:
            results = run(python, settings.crystal_parameters(fidelity, structure[0]), structure)
            name = f'cpu-pipeline-{fidelity.label}-{label}-atoms'
            figure(name, results['cpu_seconds'], 's', 'affordable in the quickstart', factor * TARGET_SECONDS[fidelity])


def errors_of_the_pipeline(python: str) -> None:
    """Print what each saving of the pipeline costs in energy, against the basis limit of nothing else: PBE of LiH."""
    structure = lithium_hydride(4.08)
    usual = energy_settings('pipeline').crystal_parameters(Fidelity.PBE, structure[0])
    better = {
        'grid': {'grid_mesh': [45, 45, 45]},
        'lattice-sums': {'precision': 1e-8},
        'k-mesh': {'kmesh': [4, 4, 4], 'kmesh_shift': [0, 0, 0]},
        'auxiliary-basis': {'auxiliary_beta': 1.5},
    }
    energy = run(python, usual, structure)['total_energy_hartree']
    centred = run(python, {**usual, 'kmesh_shift': [0, 0, 0]}, structure)['total_energy_hartree']
    for name, changes in better.items():
        converged = run(python, {**usual, **changes}, structure)['total_energy_hartree']
        # Against chemical accuracy, 1 kcal/mol per atom.
        error = 1e3 * abs(energy - converged) / 2 * HARTREE_TO_EV
        figure(f'error-pipeline-{name}', error, 'meV/atom', 'chemical accuracy', 43.4)
        if name == 'k-mesh':
            error = 1e3 * abs(centred - converged) / 2 * HARTREE_TO_EV
            figure('error-gamma-centred-k-mesh', error, 'meV/atom', 'chemical accuracy', 43.4)


def reference_values(python: str) -> None:
    """Print LiH in gth-cc-dzvp on the Γ-centred 2×2×2 mesh against reference values."""
    structure = lithium_hydride(4.0834)
    common: dict[str, t.Any] = {'basis': 'gth-cc-dzvp', 'kmesh': [2, 2, 2], 'scf': {'conv_tol': 1e-8}}
    for name, reference in REFERENCE.items():
        parameters = {**common, 'fidelity': name, 'pseudo': 'gth-pbe', 'grid_mesh': [31, 31, 31]}
        energy = run(python, parameters, structure)['total_energy_hartree']
        figure(f'energy-lih-{name.lower()}', energy, 'Ha', 'reference calculation', reference)
    parameters = {**common, 'fidelity': 'CCSD(T)', 'pseudo': 'gth-hf-rev', 'max_memory_mb': 8000}
    results = run(python, parameters, structure)
    for name, reference in REFERENCE_CC.items():
        value = results['components'][name] / HARTREE_TO_EV
        figure(f'energy-lih-{name}', value, 'Ha', 'reference calculation', reference)
    figure('cpu-ccsdt-dzvp', results['cpu_seconds'], 's', 'canonical k-CCSD(T) at double zeta, 2-3 minutes', 150)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--quick', action='store_true', help='one minute: the cost of PBE and CCSD(T) only')
    parser.add_argument('--python', default=sys.executable, help='interpreter with the PySCF to measure')
    arguments = parser.parse_args()
    cost_of_the_pipeline(arguments.python, [Fidelity.PBE, Fidelity.CCSD_T] if arguments.quick else LADDER)
    if not arguments.quick:
        errors_of_the_pipeline(arguments.python)
        reference_values(arguments.python)


if __name__ == '__main__':
    main()
