"""A calculation that is run again has the same energy, and is never taken from the cache."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.engine import run_get_node
from aiida.manage.caching import enable_caching

from aiida_qagenai.api.repetition import calculation_of, repeat_calculation
from aiida_qagenai.calculations.functions.energy import assemble_energy
from aiida_qagenai.calculations.pyscf.cell import PyscfCellCalculation
from aiida_qagenai.common.errors import InvalidInputError

LEVEL = {'protocol': 'pipeline', 'level_tag': 'pipeline:gth-szv:0', 'scientific': False}


@pytest.fixture
def hydrogen(pyscf_code):
    """Return a calculation of the molecule H2."""
    molecule = orm.StructureData(pbc=(False, False, False))
    for height in (0.0, 0.74):
        molecule.append_atom(position=(0.0, 0.0, height), symbols='H')
    parameters = {'fidelity': 'PBE', 'system': 'molecule', 'basis': 'gth-szv', 'pseudo': 'gth-pbe'}
    return run_get_node(PyscfCellCalculation, code=pyscf_code, structure=molecule, parameters=orm.Dict(parameters)).node


def test_the_same_energy_without_the_cache(hydrogen):
    with enable_caching():
        found = repeat_calculation(hydrogen)
    assert found.before == hydrogen.outputs.results['total_energy_hartree']
    assert abs(found.change) < 1e-9
    assert found.node.pk != hydrogen.pk and not found.node.base.caching.is_created_from_cache


def test_the_calculation_of_an_energy(hydrogen):
    energy = assemble_energy(hydrogen.outputs.results, hydrogen.inputs.structure, orm.Dict(LEVEL))
    assert calculation_of(energy).pk == hydrogen.pk


def test_what_has_no_calculation_is_refused(aiida_profile_clean):
    with pytest.raises(InvalidInputError, match='no calculation of PySCF with an energy'):
        calculation_of(orm.Int(1).store())


def test_a_computer_that_is_not_set_up_is_refused(hydrogen):
    elsewhere = orm.Computer('elsewhere', 'elsewhere.org', transport_type='core.local', scheduler_type='core.direct')
    code = orm.InstalledCode(label='pyscf', computer=elsewhere.store(), filepath_executable='/usr/bin/python3').store()
    with pytest.raises(InvalidInputError, match='`elsewhere` is not set up here: choose a code'):
        repeat_calculation(hydrogen, code)
