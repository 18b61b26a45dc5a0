"""Jobs on potentials through the engine: the validator as a checkpoint, and energies of a better level in the hull."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.engine import run_get_node
from ase import Atoms
from ase.build import bulk

from aiida_qagenai.calculations.atomistic.relax import RelaxCalculation
from aiida_qagenai.calculations.functions.finite_temperature import build_gibbs_hull, make_hops
from aiida_qagenai.calculations.models.train import TrainCalculation
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.data.free_energy import CURVES, FreeEnergyData

TAGS = dict.fromkeys(('PBE', 'SCAN', 'HSE06', 'CCSD(T)'), 'pipeline:toy')
KELVIN = [0.0, 100.0, 200.0, 300.0]


def test_relaxation_on_a_validator(ml_code, toy_labels):
    """The checkpoint travels with the job; a loose threshold is reached, and the outputs say on which weights."""
    dataset = DatasetData(toy_labels, level_tags=TAGS, formation_scheme='anchored', scientific=False).store()
    parameters = orm.Dict({'role': 'validator', 'steps': 8, 'seed': 1, 'options': {'num_members': 2}})
    training = run_get_node(TrainCalculation, code=ml_code, dataset=dataset, parameters=parameters)[1]
    checkpoint = training.outputs.checkpoint
    structure = orm.StructureData(ase=bulk('LiH', 'rocksalt', a=4.08))
    settings = {'potential': {'name': 'validator'}, 'relaxation': {'max_stress': 10.0, 'max_force': 10.0}}
    inputs = {'code': ml_code, 'structure': structure, 'checkpoint': checkpoint}
    node = run_get_node(RelaxCalculation, **inputs, parameters=orm.Dict(settings))[1]
    assert node.is_finished_ok, node.exit_message
    assert node.outputs.relaxed.get_formula() == 'HLi'
    sha256 = checkpoint.base.attributes.get('sha256')
    assert node.outputs.results['potential'] == f'validator:PBE:{sha256[:12]}'

    with pytest.raises(ValueError, match='does not cover Na'):
        other = {**inputs, 'structure': orm.StructureData(ase=bulk('NaH', 'rocksalt', a=4.8))}
        run_get_node(RelaxCalculation, **other, parameters=orm.Dict(settings))
    with pytest.raises(ValueError, match='does not take a checkpoint'):
        run_get_node(RelaxCalculation, **inputs, parameters=orm.Dict({'potential': {'name': 'emt'}}))


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
