"""The functions that notebooks call, on objects of pymatgen and ASE."""

from __future__ import annotations

import subprocess
import sys

import pytest
from ase.build import bulk
from pymatgen.core import Lattice, Structure

import aiida_qagenai.api as qagenai
from aiida_qagenai.common.errors import InvalidInputError


def test_importing_it_loads_neither_numpy_nor_torch_nor_aiida():
    code = 'import sys, aiida_qagenai.api as a; print(sorted({"numpy", "torch", "aiida"} & set(sys.modules)))'
    found = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == '[]'


def test_every_name_is_there_and_no_other():
    assert all(callable(getattr(qagenai, name)) for name in qagenai.__all__)
    with pytest.raises(AttributeError, match='predicted'):
        _ = qagenai.predicted


def test_screening_takes_atoms_of_ase_and_reports_disorder():
    disordered = Structure(Lattice.cubic(4), [{'Fe': 0.5, 'Ni': 0.5}], [[0, 0, 0]])
    good, squeezed, odd = qagenai.screen([bulk('MgO', 'rocksalt', a=4.21), bulk('MgO', 'rocksalt', a=2.0), disordered])
    assert good.passed and not squeezed.passed and 'minimum_distance' in squeezed.failed
    assert not odd.passed


def test_generating_from_motifs_of_ase():
    found = qagenai.generate('KBr', 3, motifs=bulk('NaCl', 'rocksalt', a=5.6), only_motifs=True, refine=False)
    assert [each.structure.composition.reduced_formula for each in found] == ['KBr']
    assert found[0].motif_formula == 'NaCl' and len(qagenai.as_atoms(found[0])) == 2
    with pytest.raises(InvalidInputError, match='only motifs of your own are wanted, but none are given'):
        qagenai.generate('KBr', only_motifs=True, refine=False)


def test_the_hull_takes_energies_of_its_own_level_alone():
    magnesia = bulk('MgO', 'rocksalt', a=4.21)
    found = qagenai.place_on_hull([magnesia, magnesia], [-3.0, -2.5], min_references=0)
    assert found[1].e_above_hull - found[0].e_above_hull == pytest.approx(0.5)
    with pytest.raises(InvalidInputError, match='structures alone have no energies'):
        qagenai.place_on_hull(magnesia)
    with pytest.raises(InvalidInputError, match='1 energies for 2 structures'):
        qagenai.place_on_hull([magnesia, magnesia], [-3.0])
    relaxed = qagenai.Relaxed('Cu', qagenai.as_structure(bulk('Cu')), True, -3.7, 'EMT', 0.0, 0.0, 3, '')
    with pytest.raises(InvalidInputError, match=r'of the level EMT.*levels never meet in one hull'):
        qagenai.place_on_hull([relaxed])


def test_evaluating_atoms_of_ase():
    magnesia = bulk('MgO', 'rocksalt', a=4.21)
    table = qagenai.evaluate([magnesia, magnesia], known=bulk('NaCl', 'rocksalt', a=5.6), e_above_hull=[0.0, None])
    values = dict(zip(table['name'], table['value'], strict=True))
    assert (values['structure-validity'], values['uniqueness'], values['replay'], values['substitution']) == (
        1,
        0.5,
        0,
        1,
    )
    assert values['sun'] == 0.5
    with pytest.raises(InvalidInputError, match='1 distances for 2 structures'):
        qagenai.evaluate([magnesia, magnesia], known=magnesia, e_above_hull=[0.0])


@pytest.mark.slow
def test_relaxing_keeps_order_and_moments_and_costs_the_others_nothing():
    copper = bulk('Cu', a=3.9)
    copper.set_initial_magnetic_moments([0.5])
    found = qagenai.relax([copper, bulk('MgO', 'rocksalt', a=4.2)], 'emt')
    assert found[0].converged and found[0].structure.site_properties['magmom'] == [0.5]
    assert found[0].structure.volume < qagenai.as_structure(copper).volume
    assert not found[1].converged and found[1].energy_per_atom is None and 'Mg' in found[1].reason


@pytest.mark.slow
def test_elastic_tensors_are_of_the_structures_in_their_order():
    silver, salt = qagenai.elastic([bulk('Ag'), bulk('NaCl', 'rocksalt', a=5.6)], 'emt')
    assert silver.tensor.shape == (6, 6) and silver.mechanically_stable and 90 < silver.bulk_modulus_vrh < 110
    assert salt.tensor is None and 'Na' in salt.reason and salt.bulk_modulus_vrh is None


def test_predicting_and_relaxing_on_the_validator_and_placing_on_the_hull():
    table = qagenai.predict([bulk('MgO', 'rocksalt', a=4.25)])
    assert table['formula'].tolist() == ['MgO'] and -3.4 < table['energy_pbe'][0] < -2.6 and table['sigma_pbe'][0] > 0
    assert table['gap_pbe'][0] == pytest.approx(4.4, abs=1) and table['metallic'].tolist() == [False]
    relaxed = qagenai.relax(bulk('MgO', 'rocksalt', a=4.3))
    (stability,) = qagenai.place_on_hull(relaxed, min_references=0)
    assert relaxed[0].converged and relaxed[0].level == 'MP2020 PBE'
    assert stability.e_above_hull is not None and stability.e_above_hull < 0.2


def test_gaps_of_compositions():
    table = qagenai.predict_gaps(['NaCl', 'CuZn'])
    assert table['formula'].tolist() == ['NaCl', 'CuZn'] and table['metallic'].tolist() == [False, True]
    with pytest.raises(InvalidInputError, match='`Xyz` is not the formula of a phase: `Xy` is not an element'):
        qagenai.predict_gaps('Xyz')
