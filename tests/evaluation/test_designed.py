"""What crystals of an inverse design are said to have before and after they are computed, and what is a hit."""

import pytest
from ase.build import bulk
from pymatgen.io.ase import AseAtomsAdaptor

from aiida_qagenai.common.properties import QUANTITIES
from aiida_qagenai.evaluation.designed import judge_problem, mean_error, place_problem, verdicts
from aiida_qagenai.evaluation.quantities import anticipated, obtained
from aiida_qagenai.selection.design import design_target

CHGNET, SEVENNET = {'name': 'chgnet', 'model': '0.3.0'}, {'name': 'sevennet', 'model': '0'}
SALT = AseAtomsAdaptor.get_structure(bulk('NaCl', 'rocksalt', 5.64))
SAID = {'bulk_modulus': 24.0, 'shear_modulus': 14.4, 'formation_energy': -1.8}
COMPUTED = {
    'potential': 'chgnet:0.3.0:0.4.2',
    'energy_per_atom': -3.6,
    'volume_per_atom': SALT.volume / 2,
    'bulk_modulus_vrh': 24.0,
    'shear_modulus_vrh': 14.4,
    'young_modulus': 36.0,
    'poisson_ratio': 0.25,
    'universal_anisotropy': 0.02,
    'mechanically_stable': True,
}
EXPECTED = {
    'bulk_modulus': 24.0,
    'shear_modulus': 14.4,
    'young_modulus': 36.0,
    'pugh_ratio': 0.6,
    'poisson_ratio': 0.25,
    'density': 2.16,
    'volume_per_atom': 22.43,
}


@pytest.mark.parametrize('name', [*EXPECTED, 'formation_energy', 'e_above_hull', 'universal_anisotropy'])
def test_every_quantity_is_predicted_or_said_not_to_be(name):
    """Young's modulus and the ratios follow from the two moduli, energies from the validator."""
    (value,) = anticipated(name, [SALT], [SAID])
    if name in EXPECTED:
        assert value == pytest.approx(EXPECTED[name], rel=2e-3)
    elif name == 'universal_anisotropy':
        assert value is None
    else:
        assert value == SAID['formation_energy'] if name == 'formation_energy' else 0 < value < 1


@pytest.mark.parametrize('name', QUANTITIES)
def test_every_quantity_is_computed(name):
    (verdict,) = verdicts(design_target(f'{name}=0.1..50'), [{'Na': 1, 'Cl': 1}], [COMPUTED], 0.1)
    if name in EXPECTED:
        assert verdict.value == pytest.approx(EXPECTED[name], rel=2e-3)
    else:
        assert verdict.value is not None
    assert obtained(name, {}, {'Na': 1, 'Cl': 1}, None) is None


def test_a_function_says_what_it_says():
    target, salt = design_target('mine:vacancy=0.5..1.5'), [{'Na': 1, 'Cl': 1}]
    (verdict,) = verdicts(target, salt, [COMPUTED | {'functions': {'mine:vacancy': 1.2}}], 0.1)
    assert verdict.value == 1.2 and verdict.within and verdict.hit
    assert anticipated(target.name, [SALT], [SAID]) == [None]
    assert verdicts(target, salt, [COMPUTED], 0.1)[0].value is None


def test_a_potential_without_a_place_on_the_hull_leaves_hits_open():
    target, salt = design_target('bulk_modulus=24'), [{'Na': 1, 'Cl': 1}]
    (near,) = verdicts(target, salt, [COMPUTED], 0.1)
    assert near.hit and near.hull.startswith('complete, ')
    (far,) = verdicts(target, salt, [COMPUTED | {'energy_per_atom': -2.0}], 0.1)
    assert far.hit is False and far.within
    (open_,) = verdicts(target, salt, [COMPUTED | {'potential': 'sevennet:0:0.13.0'}], 0.1)
    assert open_.hit is None and open_.e_above_hull is None and open_.within and 'no place' in open_.hull


def test_errors_are_means_over_the_known():
    target = design_target('bulk_modulus=100')
    assert mean_error(target, [(110.0, 100.0), (80.0, 100.0), (None, 100.0)]) == pytest.approx(0.15)
    assert mean_error(target, []) is None


def test_who_can_compute_and_judge():
    modulus, energy = design_target('bulk_modulus=100'), design_target('formation_energy=-1')
    assert judge_problem(modulus, SEVENNET, CHGNET) is None and place_problem(energy, 'chgnet:0.3.0') is None
    assert 'the same potential' in judge_problem(modulus, CHGNET, CHGNET)
    assert 'heads stand on it' in judge_problem(modulus, {'name': 'validator'}, CHGNET)
    assert 'cannot be judged' in judge_problem(energy, SEVENNET, CHGNET)
    assert 'take chgnet' in place_problem(energy, 'sevennet:0') and place_problem(modulus, 'emt') is None
