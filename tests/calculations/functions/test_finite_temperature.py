"""Hulls of Gibbs energies, with energies of a better level, and the hops of a crystal."""

from __future__ import annotations

import pytest
from aiida import orm
from ase import Atoms
from ase.build import bulk

from aiida_qagenai.calculations.functions.finite_temperature import build_gibbs_hull, make_hops
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.data.finite_temperature import CURVES, FreeEnergyData

KELVIN = [0.0, 100.0, 200.0, 300.0]


def free_energy(formula: str, energy: float, entropy: float, level: str = 'emt:0') -> FreeEnergyData:
    """Return G = E − S T."""
    curves = {name: [energy - entropy * kelvin for kelvin in KELVIN] for name in CURVES}
    return FreeEnergyData(
        formula=formula,
        chemical_system='-'.join(sorted({'Cu': ['Cu'], 'Au': ['Au']}.get(formula, ['Cu', 'Au']))),
        num_atoms=1,
        potential='emt',
        level_tag=level,
        static_energy_per_atom=energy,
        dynamically_stable=True,
        lowest_frequency=0.0,
        imaginary_fraction=0.0,
        max_force=0.0,
        max_stress=0.0,
        temperatures=KELVIN,
        **curves,
    )


def energy(formula: str, formation: float, level: str = 'fast:gth') -> EnergyData:
    """Return an energy at PBE."""
    return EnergyData(
        fidelity='PBE',
        total_energy=-10.0,
        num_atoms=1,
        formation_energy_per_atom=formation,
        formation_scheme='anchored',
        formula=formula,
        chemical_system=formula,
        converged=True,
        protocol='fast',
        level_tag=level,
        scientific=True,
        structure_uuid='0',
    )


@pytest.fixture
def phases(aiida_profile_clean):
    """Return a candidate 0.03 eV/atom above its elements that gains 1e-4 eV/(K atom)."""
    return {
        'candidatex': free_energy('CuAu', 0.03, 2e-4),
        'competinga': free_energy('Cu', 0.0, 1e-4),
        'competingb': free_energy('Au', 0.0, 1e-4),
    }


def test_hull_of_gibbs_energies(phases):
    hull = build_gibbs_hull(**phases)['x'].content
    assert hull.decomposition_energy == pytest.approx([0.03, 0.02, 0.01, 0.0], abs=1e-12)
    assert hull.chemical_system == 'Au-Cu'
    assert hull.e_above_hull_0k == pytest.approx(0.03)
    assert hull.level_tag == 'emt:0'


def test_energies_of_a_better_level_replace_those_of_the_potential(phases):
    """Vibrations are those of the potential, and the tag names both."""
    energies = {'energyx': energy('CuAu', -0.2), 'energya': energy('Cu', 0.0), 'energyb': energy('Au', 0.0)}
    hull = build_gibbs_hull(**phases, **energies)['x'].content
    assert hull.decomposition_energy == pytest.approx([-0.2, -0.21, -0.22, -0.23], abs=1e-12)
    assert hull.level_tag == 'PBE fast:gth (formation energies, anchored) + vibrations by emt:0'
    assert hull.stable_at == KELVIN


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'competingb': ('Au', 'chgnet')}, 'different levels'),
        ({'energyx': ('CuAu', 'fast:gth')}, 'give all phases or none'),
        (
            {'energyx': ('CuAu', 'fast:gth'), 'energya': ('Cu', 'fast:gth'), 'energyb': ('Au', 'fast:other')},
            'level of theory',
        ),
        (
            {'energyx': ('CuAu', 'fast:gth'), 'energya': ('Au', 'fast:gth'), 'energyb': ('Au', 'fast:gth')},
            'the energy of `a` is of Au',
        ),
    ],
)
def test_what_makes_no_hull_is_refused(phases, changes, message):
    changes = {
        name: energy(formula, 0.0, level) if name.startswith('energy') else free_energy(formula, 0.0, 0.0, level)
        for name, (formula, level) in changes.items()
    }
    with pytest.raises(InvalidInputError, match=message):
        build_gibbs_hull(**{**phases, **changes})


def test_hops_are_nodes(aiida_profile_clean):
    """Both ends of each hop, and its geometry."""
    crystal = orm.StructureData(ase=bulk('Cu', cubic=True))
    settings = orm.Dict({'species': 'Cu', 'max_length': 3.7, 'min_supercell': 5.0})
    outputs = make_hops(crystal, settings)
    assert outputs['hops'].get_dict()['hop01']['multiplicity'] == 6
    atoms: Atoms = outputs['hop00']['initial'].get_ase()
    assert len(atoms) == outputs['hops'].get_dict()['hop00']['num_atoms'] == 31
