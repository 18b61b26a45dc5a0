"""What sampling promises."""

import itertools

import numpy as np
import pytest
import spglib
from pymatgen.core import Lattice, Structure
from untrained import write_untrained_generator

from aiida_qagenai.common.descriptors import FIELDS, NUM_DESCRIPTORS
from aiida_qagenai.exchange.checkpoint import read_checkpoint
from aiida_qagenai.exchange.structures import StructureBatch, load_arrays
from aiida_qagenai.ml.generator.network import SIZES
from aiida_qagenai.ml.generator.projection import closest_ratio
from aiida_qagenai.ml.generator.sampler import step_times

COMPOSITION = {'mode': 'composition', 'composition': {'Li': 2, 'H': 1}, 'count': 6}
SYSTEM = {'mode': 'chemical_system', 'elements': ['Li'], 'max_atoms': 3, 'min_atoms': 2, 'count': 6}
FREE = {'mode': 'free', 'max_atoms': 4, 'count': 8}


@pytest.fixture
def generate(models, tmp_path, command):
    """Return a function that samples and returns the results, the arrays and the structures."""
    for name in ('generator', 'descriptor'):
        (tmp_path / name).symlink_to(models / name)

    def run(**options):
        config = {
            'generator': 'generator',
            'descriptor': 'descriptor',
            'steps': 12,
            'requests': [COMPOSITION],
            **options,
        }
        status, results = command(tmp_path, 'generate', config)
        assert status == 0, results['error']
        arrays = load_arrays(tmp_path / 'candidates.npz')
        return results, arrays, StructureBatch.from_arrays(arrays)

    return run


def formulas(structures):
    """Return for each structure its sorted atomic numbers."""
    offsets = structures.offsets
    return [tuple(sorted(structures.species[a:b].tolist())) for a, b in itertools.pairwise(offsets)]


def test_every_sample_is_there_or_counted(generate):
    results, arrays, structures = generate(requests=[COMPOSITION, SYSTEM, FREE])
    assert results['num_requested'] == 20
    assert results['num_generated'] + sum(results['failed'].values()) == 20
    assert len(structures) == results['num_generated']
    assert arrays['request'].tolist() == [0] * 6 + [1] * 6 + [2] * 8
    assert arrays['target_descriptors'].shape == (20, NUM_DESCRIPTORS)


def test_no_cell_is_skewed(generate):
    """Grids and image searches grow with the vectors: no candidate keeps longer ones than its lattice needs."""
    _, _, structures = generate(requests=[COMPOSITION, FREE])
    for cell in structures.cells:
        niggli = Lattice(cell).get_niggli_reduced_lattice()
        assert np.linalg.norm(cell, axis=1).max() <= 1.01 * max(niggli.abc)


def test_a_composition_is_exact(generate):
    _, _, structures = generate()
    assert set(formulas(structures)) == {(1, 3, 3)}


def test_a_chemical_system_uses_nothing_else_and_keeps_the_bounds(generate):
    _, _, structures = generate(requests=[SYSTEM])
    assert set(formulas(structures)) <= {(3, 3), (3, 3, 3)}


def test_free_sampling_uses_the_trained_elements_and_sizes(generate):
    _, _, structures = generate(requests=[FREE])
    assert set(structures.species) <= {1, 3}
    assert structures.num_atoms.max() <= 4


def test_sizes_that_training_never_saw_are_drawn_with_a_warning(generate):
    request = {'mode': 'chemical_system', 'elements': ['Li', 'H'], 'min_atoms': 6, 'max_atoms': 7, 'count': 3}
    results, _, structures = generate(requests=[request])
    assert set(structures.num_atoms) <= {6, 7}
    assert any('6–7 atoms' in warning for warning in results['warnings'])


@pytest.mark.parametrize('scale', [0.7, 0.9])
def test_all_samples_keep_the_distances(generate, scale):
    _, arrays, structures = generate(requests=[COMPOSITION, FREE], min_distance_scale=scale)
    offsets = structures.offsets
    for index in range(len(structures)):
        atoms = slice(offsets[index], offsets[index + 1])
        ratio = closest_ratio(structures.cells[index], structures.species[atoms], structures.fractional[atoms])
        assert ratio >= scale
    assert arrays['projected'].dtype == bool


def test_samples_that_keep_the_distances_that_were_asked_for_are_not_moved(generate):
    """0.7 once became 0.8, and noisy structures were pushed: what needs no repair comes out as it was sampled."""
    _, free, structures = generate(min_distance_scale=0.0)
    _, repaired, _ = generate(min_distance_scale=0.7)
    moved = repaired['projected']
    ratios = np.array([closest_ratio(*crystal) for crystal in structures])
    np.testing.assert_array_equal(moved, ratios < 0.7)
    assert not moved.all()
    np.testing.assert_array_equal(repaired['cells'][~moved], free['cells'][~moved])


def test_without_a_target_q_is_that_of_the_composition(generate):
    _, arrays, _ = generate()
    assert np.isfinite(arrays['target_descriptors']).all()
    assert np.ptp(arrays['target_descriptors'], axis=0).max() < 1e-5


def test_a_target_is_recorded_and_changes_the_samples(generate):
    _, low, _ = generate(target={'band_gap': 0.5, 'chi0_q_min': 0.05})
    _, high, _ = generate(target={'band_gap': 8.0, 'chi0_q_min': 0.2})
    gap = FIELDS.index('band_gap')
    assert low['target_descriptors'][:, gap].tolist() == [0.5] * 6
    assert np.isnan(low['target_descriptors'][:, FIELDS.index('elf_0')]).all()
    assert np.abs(low['cells'] - high['cells']).max() > 1e-3


def test_zero_guidance_ignores_the_target(generate):
    _, low, _ = generate(target={'band_gap': 0.5}, guidance_scale=0.0)
    _, high, _ = generate(target={'band_gap': 8.0}, guidance_scale=0.0)
    np.testing.assert_array_equal(low['cells'], high['cells'])


def test_guidance_between_the_two_differs_from_both(generate):
    cells = [generate(target={'band_gap': 8.0}, guidance_scale=scale)[1]['cells'] for scale in (0.0, 0.5, 1.0, 2.0)]
    for first, second in itertools.pairwise(cells):
        assert np.abs(first - second).max() > 1e-4


def test_without_descriptor_and_target_samples_are_unconditional(generate):
    _, arrays, _ = generate(descriptor=None)
    assert np.isnan(arrays['target_descriptors']).all()


def test_another_seed_gives_other_samples(generate):
    assert np.abs(generate(seed=1)[1]['cells'] - generate(seed=2)[1]['cells']).max() > 1e-3


@pytest.fixture
def rutile(tmp_path):
    """Write rutile of Li and H, with an atom too close to its images, as ``starts.npz``."""
    sites = [[0, 0, 0], [0.305, 0.305, 0]]
    structure = Structure.from_spacegroup('P4_2/mnm', Lattice.tetragonal(4.6, 2.2), ['Li', 'H'], sites)
    StructureBatch.from_structures([structure], ['rutile']).save(tmp_path / 'starts.npz')


@pytest.mark.usefixtures('rutile')
@pytest.mark.parametrize('noise', [0.05, 0.4, 1.0])
def test_samples_of_a_structure_keep_its_space_group_and_the_distances(generate, noise):
    request = {'mode': 'structures', 'structures': 'starts.npz', 'noise': noise, 'count': 5}
    results, arrays, structures = generate(requests=[COMPOSITION, request], min_distance_scale=0.9)
    assert results['num_generated'] == 11
    assert arrays['start'].tolist() == [-1] * 6 + [0] * 5
    for index in range(6, 11):
        crystal = structures.select([index])
        assert sorted(crystal.species) == [1, 1, 1, 1, 3, 3]
        found = spglib.get_symmetry_dataset((crystal.cells[0], crystal.fractional, crystal.species), symprec=1e-3)
        assert found.number == 136
        assert closest_ratio(crystal.cells[0], crystal.species, crystal.fractional) >= 0.9


@pytest.mark.usefixtures('rutile')
def test_free_samples_of_a_structure_lose_its_space_group(generate):
    request = {'mode': 'structures', 'structures': 'starts.npz', 'symmetry': 'free'}
    _, _, structures = generate(requests=[request])
    found = spglib.get_symmetry_dataset((structures.cells[0], structures.fractional, structures.species), symprec=1e-3)
    assert found.number == 1


@pytest.mark.usefixtures('rutile')
def test_the_same_seed_gives_the_same_bytes(generate):
    request = {'mode': 'structures', 'structures': 'starts.npz', 'noise': 0.3, 'count': 4}
    first, again = (generate(requests=[request, FREE], seed=3)[1] for _ in range(2))
    for name, values in first.items():
        assert values.tobytes() == again[name].tobytes()


def test_motifs_are_drawn_by_their_probability_and_keep_their_symmetry(generate):
    request = {'mode': 'motifs', 'formula': 'LiH', 'exclude': ['LiH'], 'max_atoms': 4, 'novelty': 0.3, 'count': 6}
    _, arrays, structures = generate(requests=[request])
    assert arrays['motif'].shape == (6,) and all(arrays['motif']) and set(arrays['noise']) == {0.3}
    assert (arrays['start'] == -1).all() and (np.diff(arrays['probability']) <= 0).all()
    first = structures.select([0])
    found = spglib.get_symmetry_dataset((first.cells[0], first.fractional, first.species), symprec=1e-3)
    assert found.number == 225


def test_a_motif_without_noise_is_left_as_it_is(generate):
    request = {'mode': 'motifs', 'formula': 'LiH', 'space_group': 225, 'max_atoms': 2, 'refine': False, 'count': 1}
    _, arrays, structures = generate(requests=[request], min_distance_scale=1.5)
    assert arrays['relation'].tolist() == ['substitution'] and not arrays['projected'].any()
    assert abs(np.linalg.det(structures.cells[0])) == pytest.approx(4.08**3 / 4, rel=0.25)


def test_a_stoichiometry_without_motif_needs_the_novelty_of_noise(generate, command, models):
    request = {'mode': 'motifs', 'formula': 'Li7H13', 'novelty': 0.9, 'count': 2}
    config = {'generator': str(models / 'generator'), 'requests': [request]}
    status, results = command(models, 'generate', config)
    assert status == 1 and 'no known crystal can be changed into Li7H13' in results['error']['message']
    _, arrays, structures = generate(requests=[{**request, 'novelty': 1}])
    assert arrays['motif'].tolist() == ['', ''] and structures.num_atoms.tolist() == [20, 20]


@pytest.mark.parametrize(
    ('wanted', 'elements'), [({'formula': 'Li7H13'}, {1, 3}), ({'elements': ['Li', 'H'], 'space_group': 196}, {1, 3})]
)
def test_noise_takes_the_place_of_missing_motifs_where_that_is_allowed(generate, wanted, elements):
    """The warning names the request; no sample is lost, and a chemical system is obeyed."""
    request = {'mode': 'motifs', **wanted, 'novelty': 0.3, 'max_atoms': 20, 'count': 3, 'otherwise': 'noise'}
    results, arrays, structures = generate(requests=[COMPOSITION, request], relations=False)
    assert any('request 1: no known crystal' in warning for warning in results['warnings'])
    assert arrays['request'].tolist() == [0] * 6 + [1] * 3 and arrays['noise'][6:].tolist() == [1.0] * 3
    assert set(structures.select([6, 7, 8]).species) <= elements


def test_noise_fills_up_what_motifs_without_noise_leave(generate):
    """Without noise every motif is there once: a request for more of them is not cut short."""
    request = {'mode': 'motifs', 'formula': 'LiH', 'space_group': 225, 'max_atoms': 2, 'novelty': 0, 'count': 40}
    results, arrays, structures = generate(requests=[{**request, 'otherwise': 'noise'}], steps=4, relations=False)
    assert any('the other samples start from noise' in warning for warning in results['warnings'])
    from_motifs = [bool(motif) for motif in arrays['motif']]
    assert len(structures) == 40 and from_motifs[0] and from_motifs == sorted(from_motifs, reverse=True)
    assert arrays['noise'][from_motifs].max() == 0 and arrays['noise'][np.invert(from_motifs)].min() == 1


@pytest.fixture
def unconditioned(tmp_path):
    """Write a generator of four elements that was never trained with descriptors."""
    write_untrained_generator(tmp_path / 'unconditioned', ('H', 'Li', 'O', 'Na'))
    return 'unconditioned'


@pytest.mark.parametrize('options', [{}, {'target': {'band_gap': 8.0}}])
def test_a_generator_without_descriptors_is_not_conditioned(generate, unconditioned, options):
    """It says so, the record holds no target, and the descriptor model need not know its other elements."""
    results, arrays, _ = generate(generator=unconditioned, **options)
    assert any('trained without descriptors' in warning for warning in results['warnings'])
    assert np.isnan(arrays['target_descriptors']).all()
    _, plain, _ = generate(generator=unconditioned, descriptor=None)
    np.testing.assert_array_equal(arrays['cells'], plain['cells'])


def test_refinement_moves_a_motif_within_its_space_group_and_without_chance(generate):
    request = {'mode': 'motifs', 'formula': 'LiH', 'space_group': 225, 'max_atoms': 2, 'count': 1}
    plain, first, again = (
        generate(requests=[{**request, 'refine': refine}], seed=seed)[2]
        for refine, seed in ((False, 0), (True, 1), (True, 2))
    )
    assert abs(np.linalg.det(first.cells[0]) / np.linalg.det(plain.cells[0]) - 1) > 1e-5
    np.testing.assert_allclose(first.cells, again.cells, atol=1e-6)
    found = spglib.get_symmetry_dataset((first.cells[0], first.fractional, first.species), symprec=1e-3)
    assert found.number == 225


def test_fewer_motifs_than_were_asked_for_is_a_warning(generate):
    request = {'mode': 'motifs', 'formula': 'LiH', 'space_group': 225, 'max_atoms': 2, 'count': 99}
    results, arrays, _ = generate(requests=[request])
    assert any('of 99 motifs were found' in warning for warning in results['warnings'])
    assert results['num_requested'] == len(arrays['motif']) < 99


def test_the_noise_schedule_spaces_the_steps(generate):
    """The cosine schedule begins with longer steps and ends with shorter ones; both end at the clean structure."""
    linear, cosine = (step_times(0.8, 20, schedule) for schedule in ('linear', 'cosine'))
    assert linear[0] == 0.8 == pytest.approx(float(cosine[0])) and linear[-1] == cosine[-1] == 0
    steps = -cosine.diff()
    assert (steps.diff() < 0).all() and (-linear.diff()).numpy() == pytest.approx(0.04)
    assert steps[0] / 0.04 == pytest.approx(np.pi / 2, rel=0.01) and steps[-1] < 0.04 / 10
    cells = [generate(noise_schedule=schedule)[2].cells for schedule in ('linear', 'cosine', 'cosine')]
    assert np.abs(cells[0] - cells[1]).max() > 1e-3
    assert (cells[1] == cells[2]).all()


def test_the_number_of_layers_is_a_setting_that_a_checkpoint_keeps(generate, models, tmp_path, command):
    (tmp_path / 'dataset.npz').symlink_to(models / 'dataset.npz')
    training = {'role': 'generator', 'dataset': 'dataset.npz', 'steps': 2, 'batch_size': 8}
    for more in ({'output': 'one', 'num_layers': 1}, {'output': 'tuned', 'initial_checkpoint': 'one'}):
        status, results = command(tmp_path, 'train', {**training, **more})
        assert status == 0, results['error']
        losses = [results['metrics'][f'validation_loss_{name}'] for name in ('coordinates', 'lattice', 'types')]
        assert results['metrics']['validation_loss'] == pytest.approx(np.dot([1, 0.3, 0.1], losses))
    network = read_checkpoint(tmp_path / 'tuned', 'generator')[1].configuration['network']
    assert network == {**SIZES['tiny'], 'num_layers': 1}
    assert generate(generator='tuned')[0]['num_generated'] == 6
    status, results = command(tmp_path, 'train', {**training, 'initial_checkpoint': 'one', 'num_layers': 2})
    assert status == 1 and 'has 1 layers, `num_layers` asks for 2' in results['error']['message']
