"""Energies of an oracle: a potential, or a table."""

from __future__ import annotations

import gzip

import numpy as np
import pytest
from aiida.engine import run_get_node
from aiida.orm import Dict, SinglefileData
from ase.build import bulk
from ase.calculators.emt import EMT

from aiida_qagenai.calculations.functions.oracle import table_problem
from aiida_qagenai.data.candidate import CandidateData
from aiida_qagenai.queries.costs import core_hours
from aiida_qagenai.workchains.energy.oracle import OracleWorkChain

CUBE = 3.8 * np.eye(3)
TABLE = 'formula,gga,best\nCuAu,-0.05,-0.08\nCu2Au2,-0.06,\nCu3Au,-0.04,-0.05\n'
COLUMNS = {'kind': 'table', 'levels': {'PBE': 'gga', 'SCAN': 'best'}}


@pytest.fixture
def structures(aiida_profile_clean, make_structure):
    """Return CuAu in a cell of two atoms, and Al."""
    cell = CUBE.tolist()
    return {
        'c00000': make_structure(['Cu', 'Au'], [(0, 0, 0), (1.9, 1.9, 1.9)], cell).store(),
        'c00001': make_structure(['Al'], [(0, 0, 0)], cell).store(),
    }


def emt(atoms) -> float:
    """Return the energy of ASE, eV/atom."""
    atoms.calc = EMT()
    return atoms.get_potential_energy() / len(atoms)


def test_a_potential_gives_energies_forces_and_costs(structures, ml_code):
    """Formation energies refer to the elements by the same potential, which has its own job, paid by the energies."""
    plan = Dict({'c00000': ['PBE', 'SCAN'], 'c00001': ['PBE']})
    settings = Dict({'kind': 'potential', 'levels': {'PBE': 'emt'}})
    outputs, node = run_get_node(OracleWorkChain, code=ml_code, structures=structures, plan=plan, settings=settings)
    assert node.is_finished_ok, node.exit_message
    energies = {name: energy.content for name, energy in outputs['energies'].items()}
    # SCAN is not among the levels of this oracle
    assert sorted(energies) == ['c00000pbe', 'c00001pbe']
    compound = energies['c00000pbe']
    references = [emt(bulk('Cu', 'fcc', a=3.6032)), emt(bulk('Au', 'fcc', a=4.0646))]
    total = emt(structures['c00000'].get_ase())
    assert compound.total_energy == pytest.approx(2 * total, abs=1e-4)
    assert compound.formation_energy_per_atom == pytest.approx(total - np.mean(references), abs=0.01)
    assert (compound.level_tag, compound.formation_scheme) == ('potential:emt', 'self_consistent')
    assert compound.structure_uuid == structures['c00000'].uuid
    assert np.shape(compound.forces) == (2, 3) and np.shape(compound.stress) == (3, 3)
    assert not compound.scientific
    hours = core_hours(node.pk)
    assert hours['potential'] > 0 and hours['ml'] == hours['pyscf'] == 0
    assert sum(each.core_hours for each in energies.values()) == pytest.approx(hours['potential'])


def test_nothing_labelled_is_an_error(ml_code, make_structure):
    """EMT does not know lithium."""
    structure = make_structure(['Li'], [(0, 0, 0)], CUBE.tolist()).store()
    settings = Dict({'kind': 'potential', 'levels': {'PBE': 'emt'}})
    inputs = {'code': ml_code, 'structures': {'c00000': structure}, 'settings': settings}
    node = run_get_node(OracleWorkChain, **inputs, plan=Dict({'c00000': ['PBE']}))[1]
    assert node.exit_status == 500


@pytest.fixture
def table(aiida_profile_clean, tmp_path):
    """Return a factory of tables, compressed or not."""

    def create(text: str = TABLE, name: str = 'table.csv') -> SinglefileData:
        content = text.encode()
        (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith('.gz') else content)
        return SinglefileData(tmp_path / name).store()

    return create


@pytest.mark.parametrize('name', ['table.csv', 'table.csv.gz'])
def test_a_table_gives_the_lowest_energy_of_a_formula(table, structures, name):
    """CuAu is there twice, as two multiples; an empty cell and a missing formula are no energies."""
    plan = Dict({'c00000': ['PBE', 'SCAN'], 'c00001': ['PBE']})
    inputs = {'table': table(name=name), 'structures': structures, 'plan': plan, 'settings': Dict(COLUMNS)}
    outputs, node = run_get_node(OracleWorkChain, **inputs)
    assert node.is_finished_ok, node.exit_message
    energies = {name: energy.content for name, energy in outputs['energies'].items()}
    assert {key: each.formation_energy_per_atom for key, each in energies.items()} == {
        'c00000pbe': -0.06,
        'c00000scan': -0.08,
    }
    tags = {each.level_tag.rpartition(':')[2] for each in energies.values()}
    assert tags == {'gga', 'best'}
    assert core_hours(node.pk)['potential'] == 0


def test_a_table_by_fingerprint(table, structures):
    """A structure has the energy of its own row, whatever other polymorphs have."""
    candidate = CandidateData(structures['c00000'].get_pymatgen(), cycle=1, index=0, origin='test').store()
    mark = candidate.base.attributes.get('fingerprint')
    settings = Dict({**COLUMNS, 'key': 'fingerprint'})
    inputs = {'structures': {'c00000': candidate}, 'plan': Dict({'c00000': ['PBE']}), 'settings': settings}
    outputs, _ = run_get_node(
        OracleWorkChain, table=table(f'fingerprint,gga,best\n{mark},1.5,2\nother,-9,-9\n'), **inputs
    )
    assert outputs['energies']['c00000pbe'].formation_energy_per_atom == 1.5


@pytest.mark.parametrize(
    ('text', 'problem'),
    [
        ('formula,gga\nCuAu,1\n', 'has no column `best`'),
        ('formula,gga,best\nCuAu,x,1\n', 'not a number'),
        ('formula,gga,best\nQq,1,1\n', 'Qq'),
        ('', 'cannot be read'),
    ],
)
def test_wrong_tables_are_refused(table, text, problem):
    assert problem in table_problem(table(text), {**COLUMNS, 'key': 'formula'})


def test_a_table_that_is_missing_is_refused(structures):
    with pytest.raises(ValueError, match='needs `table`'):
        run_get_node(OracleWorkChain, structures=structures, plan=Dict({}), settings=Dict(COLUMNS))
