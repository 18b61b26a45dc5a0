"""Tests for :mod:`aiida_qagenai.chemistry.duplicates`."""

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from aiida_qagenai.chemistry.duplicates import KnownStructures, find_duplicates
from aiida_qagenai.chemistry.prototypes import decorated_prototypes


@pytest.fixture(scope='module')
def polymorphs():
    return [seed.structure for seed in decorated_prototypes(['Li', 'H'])][:16]


def disguised(structure, rng, noise=0.02, scale=1.0):
    """Return the same crystal in another setting, a little displaced."""
    other = structure.make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 1]], in_place=False)
    other.translate_sites(range(len(other)), rng.random(3))
    other.perturb(noise)
    other.scale_lattice(other.volume * scale)
    return other


def test_disguised_copies_find_their_original(polymorphs):
    rng = np.random.default_rng(0)
    known = KnownStructures(polymorphs)
    for index, structure in enumerate(polymorphs):
        found = known.find(disguised(structure, rng, scale=1.1))
        assert found == index or StructureMatcher().fit(structure, polymorphs[found])


def test_the_prefilter_agrees_with_the_matcher_alone(polymorphs):
    rng = np.random.default_rng(1)
    structures = [*polymorphs, *(disguised(s, rng, noise=0.1) for s in polymorphs)]
    matcher = StructureMatcher()
    clusters = find_duplicates(structures)
    for index, structure in enumerate(structures):
        representative = structures[clusters.representatives[clusters.labels[index]]]
        assert matcher.fit(structure, representative)
        earlier = [structures[i] for i in clusters.representatives if i < index]
        if index in clusters.representatives:
            assert not any(matcher.fit(structure, other) for other in earlier)


def test_clusters_count_every_structure_once(polymorphs):
    rng = np.random.default_rng(2)
    clusters = find_duplicates([polymorphs[0], polymorphs[1], disguised(polymorphs[0], rng), polymorphs[1]])
    assert list(clusters.labels) == [0, 1, 0, 1]
    assert clusters.representatives == (0, 1)


def test_other_formulas_and_odd_structures_match_nothing(polymorphs):
    known = KnownStructures(polymorphs)
    sodium = polymorphs[0].copy()
    sodium.replace_species({'Li': 'Na'})
    flat = Structure(np.diag([4.0, 4.0, 0.0]), ['Li', 'H'], [[0, 0, 0], [0.5, 0.5, 0]])
    assert known.find(sodium) is None
    assert known.find(flat) is None
    assert len(find_duplicates([flat, flat])) == 2
    assert KnownStructures([Structure(Lattice.cubic(4), [{'Li': 0.5}], [[0, 0, 0]])]).find(polymorphs[0]) is None


def test_distortions_can_count_as_equal():
    """The tetragonal phase of a perovskite is the cubic one where distortions do not count."""
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    cubic = Structure(Lattice.cubic(4.0), ['Ba', 'Ti', 'O', 'O', 'O'], sites)
    tetragonal = Structure(Lattice.tetragonal(3.99, 4.03), ['Ba', 'Ti', 'O', 'O', 'O'], sites)
    tetragonal.translate_sites([1], [0, 0, 0.02])
    tetragonal.translate_sites([2, 3, 4], [0, 0, -0.025])
    assert KnownStructures([cubic]).find(tetragonal) is None
    assert KnownStructures([cubic], distortions=False).find(tetragonal) == 0
    assert len(find_duplicates([cubic, tetragonal])) == 2
    assert len(find_duplicates([cubic, tetragonal], distortions=False)) == 1
