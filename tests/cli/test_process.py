"""A calculation is repeated from the command line, by its own number or by that of an energy."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.engine import run_get_node

from aiida_qagenai.calculations.pyscf.cell import PyscfCellCalculation


@pytest.fixture
def helium(pyscf_code):
    """Return a calculation of a helium atom."""
    atom = orm.StructureData(pbc=(False, False, False))
    atom.append_atom(position=(0.0, 0.0, 0.0), symbols='He')
    parameters = {'fidelity': 'PBE', 'system': 'molecule', 'basis': 'gth-szv', 'pseudo': 'gth-pbe'}
    inputs = {'code': pyscf_code, 'structure': atom, 'parameters': orm.Dict(parameters)}
    return run_get_node(PyscfCellCalculation, **inputs).node


def test_repeat_prints_both_energies(helium, run):
    energy = helium.outputs.results['total_energy_hartree']
    printed = run('process', 'repeat', str(helium.pk)).stdout.splitlines()
    assert printed[0] == f'before: {energy:.9f} Ha (pk {helium.pk})'
    assert printed[1].startswith(f'again:  {energy:.9f} Ha (pk ')
    assert abs(float(printed[2].split()[1])) < 1e-9
