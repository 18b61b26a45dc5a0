"""Geometric constraints that act while sampling."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.geometry import GeometryOptions
from aiida_qagenai.exchange.structures import StructureBatch, load_arrays
from aiida_qagenai.exchange.tasks import parse
from aiida_qagenai.ml.generator.ordering import best_of, judge_structures
from aiida_qagenai.ml.generator.steering import Steering

COMPOSITION = {'mode': 'composition', 'composition': {'Li': 2, 'H': 2}, 'count': 8}
SYSTEM = {'mode': 'chemical_system', 'elements': ['Li', 'H'], 'min_atoms': 2, 'max_atoms': 4, 'count': 4}
THREE = ('coordination(Li,H)=4', 'volume_per_atom=12±5%', 'min_distance(H,H)>=2.2')


@pytest.fixture
def generate(models, tmp_path, command):
    """Return a function that samples with geometric constraints and returns the results and the arrays."""
    (tmp_path / 'generator').symlink_to(models / 'generator')

    def run(constraints, requests=(COMPOSITION,), **options):
        geometry = None if constraints is None else {'constraints': constraints, **options}
        config = {'generator': 'generator', 'steps': 12, 'requests': requests, 'geometry': geometry, 'relations': False}
        status, results = command(tmp_path, 'generate', config)
        assert status == 0, results['error']
        return results, load_arrays(tmp_path / 'candidates.npz')

    return run


def test_guided_samples_satisfy_constraints_that_free_ones_do_not(generate):
    free, guided = (generate(THREE, guided=guided)[0]['geometry'] for guided in (False, True))
    assert free['num_structures'] == guided['num_structures'] == 8
    assert guided['num_satisfied_all'] >= max(2 * free['num_satisfied_all'], 4)
    assert next(iter(guided['num_satisfied'])) == 'coordination(Li,H)=4'


def test_values_losses_and_trajectories_stand_beside_the_structures(generate):
    results, arrays = generate(THREE[:2], requests=(COMPOSITION, SYSTEM))
    assert arrays['geometry_constraints'].tolist() == ['coordination(Li,H)=4', 'volume_per_atom=11.4..12.6']
    assert arrays['geometry_trajectories'].shape == (12, 12, 2)
    assert arrays['geometry_satisfied'].sum(0).tolist() == list(results['geometry']['num_satisfied'].values())
    volumes = np.abs(np.linalg.det(arrays['cells'])) / arrays['num_atoms']
    np.testing.assert_allclose(arrays['geometry_values'][:, 1], volumes)
    # losses fall on the way
    curves = arrays['geometry_trajectories'].sum(2).mean(0)
    assert curves[-1] < curves[0]


def test_constraints_that_only_judge_change_nothing(generate):
    _, judged = generate(['volume_per_atom=5..6'], guided=False)
    _, others = generate(None)
    np.testing.assert_array_equal(judged['cells'], others['cells'])
    np.testing.assert_array_equal(judged['fractional'], others['fractional'])
    assert not judged['geometry_satisfied'].all()


def test_repeated_steps_are_recorded(generate):
    _, arrays = generate(['volume_per_atom=12±5%'], recurrence=2)
    assert arrays['geometry_trajectories'].shape == (8, 12 + 2 * 6, 1)
    assert arrays['geometry_satisfied'].all()


def test_the_best_of_several_samples_is_kept(generate):
    one, _ = generate(['volume_per_atom=12±5%'], guided=False)
    several, arrays = generate(['volume_per_atom=12±5%'], guided=False, best_of=8)
    assert several['num_requested'] == several['num_generated'] == len(arrays['cells']) == 8
    assert several['geometry']['num_satisfied_all'] > one['geometry']['num_satisfied_all']


def test_samples_keep_the_space_group_of_their_start(generate, tmp_path):
    import spglib

    sites = [[0, 0, 0], [0.305, 0.305, 0]]
    rutile = Structure.from_spacegroup('P4_2/mnm', Lattice.tetragonal(4.6, 2.9), ['Li', 'H'], sites)
    StructureBatch.from_structures([rutile], ['rutile']).save(tmp_path / 'starts.npz')
    request = {'mode': 'structures', 'structures': 'starts.npz', 'noise': 0.4, 'count': 4}
    _, arrays = generate(['volume_per_atom=9±2%', 'octahedral(Li,H)<=12'], requests=(request,))
    for crystal in StructureBatch.from_arrays(arrays):
        cell, species, fractional = crystal
        assert spglib.get_symmetry_dataset((cell, fractional, species), symprec=1e-3).number == 136
    assert arrays['geometry_satisfied'][:, 0].all()


def test_an_absent_species_is_refused_before_anything_is_sampled():
    config = {'generator': 'g', 'requests': [COMPOSITION], 'geometry': {'constraints': ['coordination(Si,O)=6']}}
    with pytest.raises(InvalidInputError, match=r'`coordination\(Si,O\)=6` needs Si, O, but request 0 has only H, Li'):
        parse('generate', config)
    with pytest.raises(InvalidInputError, match='needs O, but the generator has only H, Si'):
        Steering(GeometryOptions.parse({'constraints': ['coordination(Si,O)=6']}), (1, 14))


def test_the_best_satisfies_most_and_then_misses_least():
    options = GeometryOptions.parse({'constraints': ['a=3±2%', 'volume_per_atom=27±6%']})
    cubes = [Structure(Lattice.cubic(a), ['Li'], [[0, 0, 0]]) for a in (4.0, 3.2, 3.0, 3.05, 2.0, 3.3)]
    verdicts = judge_structures(options, StructureBatch.from_structures(cubes))
    assert verdicts.satisfied.sum(1).tolist() == [0, 0, 2, 2, 0, 0]
    assert best_of([0, 0, 1, 1, 2, 2], verdicts, np.ones(2)) == [1, 2, 5]
