"""Atoms that are held while others are sampled."""

import numpy as np
import pytest
import torch
from pymatgen.core import Lattice

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.masks import SiteMask
from aiida_qagenai.exchange.structures import StructureBatch, load_arrays
from aiida_qagenai.exchange.tasks import parse
from aiida_qagenai.ml.generator.lattice import LatticeCode, log_coordinates
from aiida_qagenai.ml.generator.masking import Hold, displacement, hold_atoms
from aiida_qagenai.ml.generator.projection import Held, closest_ratio, project
from aiida_qagenai.ml.generator.requests import Wanted

KAGOME = {'mode': 'composition', 'composition': {'H': 2, 'Li': 3}, 'count': 4}
SYSTEM = {'mode': 'chemical_system', 'elements': ['Li', 'H'], 'min_atoms': 1, 'max_atoms': 5, 'count': 4}
SITES = [[0.5, 0, 0], [0, 0.5, 0], [0.5, 0.5, 0]]


@pytest.fixture
def generate(tmp_path, command):
    """Return a function that samples with a mask and returns the crystals."""

    def run(mask, requests=(KAGOME,), **options):
        config = {'steps': 12, 'requests': requests, 'mask': mask, 'relations': False, **options}
        status, results = command(tmp_path, 'generate', config)
        assert status == 0, results['error']
        return list(StructureBatch.load(tmp_path / 'candidates.npz'))

    return run


@pytest.mark.parametrize('requests', [(KAGOME,), (SYSTEM,)])
def test_samples_have_the_held_atoms_first_in_a_hexagonal_cell(generate, requests):
    crystals = generate('kagome(Li)', requests=requests)
    assert len(crystals) == 4
    for cell, species, fractional in crystals:
        assert species[:3].tolist() == [3, 3, 3]
        np.testing.assert_allclose(fractional[:3], SITES, atol=1e-6)
        metric = cell @ cell.T
        a = metric[0, 0]
        np.testing.assert_allclose(metric, [[a, -a / 2, 0], [-a / 2, a, 0], [0, 0, metric[2, 2]]], atol=1e-4 * a)
        assert closest_ratio(cell, species, fractional) > 0.78
    assert len({round(cell[2, 2], 3) for cell, _, _ in crystals}) > 1


def test_a_distance_keeps_the_plane_and_leaves_the_third_length_free(generate):
    crystals = generate('kagome(Li)=2.6')
    heights = [cell[2, 2] for cell, _, _ in crystals]
    for cell, _, _ in crystals:
        np.testing.assert_allclose(cell[0], [5.2, 0, 0], atol=1e-4)
    assert len({round(height, 3) for height in heights}) > 1


def test_a_fixed_cell_and_a_free_one_are_what_they_say(generate):
    cell = [[4.0, 0, 0], [0, 4.5, 0], [0.5, 0, 5]]
    mask = {'cell': cell, 'species': ['H', 'H'], 'fractional': [[0, 0, 0], [0.5, 0.5, 0.5]]}
    for lattice, same in (('fixed', True), ('free', False)):
        for found, species, fractional in generate({**mask, 'lattice': lattice}):
            assert np.allclose(found @ found.T, np.array(cell) @ np.transpose(cell), atol=1e-3) is same
            np.testing.assert_allclose(fractional[:2], mask['fractional'], atol=1e-6)
            assert species[:2].tolist() == [1, 1]


def test_constraints_pull_on_the_others_alone(generate, tmp_path):
    crystals = generate('kagome(Li)', geometry={'constraints': ['min_distance(Li,H)>=1.9'], 'best_of': 2})
    arrays = load_arrays(tmp_path / 'candidates.npz')
    assert len(crystals) == 4 and arrays['geometry_satisfied'].sum() >= 2
    for cell, _, fractional in crystals:
        np.testing.assert_allclose(fractional[:3], SITES, atol=1e-6)
        assert cell[0] @ cell[1] / (cell[0] @ cell[0]) == pytest.approx(-0.5, abs=1e-4)


def test_the_predicted_clean_structure_is_moved_onto_the_motif():
    mask = SiteMask.of_text('kagome(Li)=3')
    hold, code = Hold(mask, 5, np.random.default_rng(0)), LatticeCode()
    x = torch.rand(5, 6, 3)
    motif = torch.stack([torch.as_tensor(SITES @ np.linalg.inv(setting)) for setting in hold.settings])
    # a network that knows the motif, but not where it is in the cell
    truth = torch.cat([motif + 0.2, torch.rand(5, 3, 3)], 1).float()
    present = torch.ones(5, 6, dtype=torch.bool)
    present[0, -1] = False
    clean = code.encode(log_coordinates(7 * torch.eye(3).expand(5, 3, 3)), present.sum(1))
    kept, shift = hold.overwrite(code, clean, truth - x, x, present)
    offset = (x + shift)[1:] - truth[1:] + 0.2
    torch.testing.assert_close(offset, offset.round(), atol=1e-5, rtol=0)
    assert shift[0, -1].eq(0).all()
    for metric, setting in zip(code.decode(kept, present.sum(1)).numpy(), hold.settings, strict=True):
        inverse = np.linalg.inv(setting)
        given = inverse @ metric @ inverse.T
        np.testing.assert_allclose(given[:2, :2], [[36, -18], [-18, 36]], rtol=1e-4)


def test_either_order_of_free_lengths_is_sampled():
    hold = Hold(SiteMask.of_text('kagome(Li)'), 40, np.random.default_rng(0))
    longest = [bool(setting[2, 2]) for setting in hold.settings]
    assert 5 < sum(longest) < 35


def test_projection_moves_the_others_and_grows_only_what_is_free():
    rng = np.random.default_rng(0)
    cell, species = np.diag([4.0, 4.0, 2.0]), np.array([11, 17])
    places = np.array([[0, 0, 0], [0.5, 0.5, 0.3]])
    found = project(cell, species, places, 0.8, rng, held=Held(1, 'plane'))
    assert found is not None and found.moved
    np.testing.assert_allclose(found.cell[:2], cell[:2])
    assert found.cell[2, 2] > 2 and found.fractional[0].tolist() == [0, 0, 0]
    assert project(cell, species, places, 0.8, rng, held=Held(1, 'fixed')) is None


@pytest.mark.parametrize(
    ('request_', 'extra', 'expected'),
    [
        ({**KAGOME, 'composition': {'Li': 2, 'H': 3}}, {}, 'the mask holds 3 Li, but request 0 has 2 in its cell'),
        ({**SYSTEM, 'elements': ['H']}, {}, 'the mask holds Li, which request 0 does not have'),
        ({**SYSTEM, 'max_atoms': 2}, {}, 'the mask holds 3 atoms, but request 0 has at most 2'),
        ({'mode': 'motifs', 'formula': 'LiH', 'count': 1}, {}, 'with a mask, sampling starts from noise'),
        (KAGOME, {'constraints': {}}, 'that `constraints` would move'),
        (KAGOME, {'mask': 'kagom(Li)'}, 'did you mean `kagome`'),
    ],
)
def test_what_cannot_be_held_is_refused_before_anything_is_sampled(request_, extra, expected):
    with pytest.raises(InvalidInputError, match=expected):
        parse('generate', {'generator': 'g', 'requests': [request_], 'mask': 'kagome(Li)', **extra})


def test_an_element_that_the_generator_does_not_know_is_named():
    with pytest.raises(InvalidInputError, match='generator was not trained on Ni'):
        hold_atoms([Wanted(0, 5, None, (0, 1))], SiteMask.of_text('kagome(Ni)'), (1, 3))


def test_how_far_held_atoms_are_from_their_motif():
    """Neither a shift of the crystal nor what the mask leaves free counts; a strain and a displaced atom do."""
    mask = SiteMask.of_text('kagome(Fe)')
    cell = Lattice.hexagonal(5.3, 4.4).matrix
    fractional = np.array([*mask.fractional, [0, 0, 0.5]])
    assert displacement(mask, cell, fractional + 0.1) < 1e-6
    assert displacement(mask, Lattice.hexagonal(4.0, 9.0).matrix, fractional) < 1e-6
    moved = fractional.copy()
    moved[0, 2] += 0.3 / 4.4
    assert displacement(mask, cell, moved) == pytest.approx(0.2, abs=1e-3)
    strained = displacement(mask, cell @ np.diag([1.1, 1.0, 1.0]), fractional)
    assert 0.05 < strained < 0.2
