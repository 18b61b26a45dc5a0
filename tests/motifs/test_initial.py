"""Ideal structures of an initial set."""

from __future__ import annotations

import numpy as np
import pytest

from aiida_qagenai.chemistry.prototypes import seed_structures
from aiida_qagenai.chemistry.symmetry import fingerprint
from aiida_qagenai.motifs.initial import known_structures


@pytest.fixture(scope='module')
def oxides():
    """Return what is known of Li–Mn–O in cells of four atoms."""
    return known_structures(['Li', 'Mn', 'O'], max_atoms=4, count=20)


def systems(seeds):
    """Return the chemical system of each."""
    return [seed.structure.composition.chemical_system for seed in seeds]


def test_the_most_probable_of_every_subsystem_comes_first(oxides):
    """Larger systems first; then the others follow, and no cell is too large."""
    assert systems(oxides)[:7] == ['Li-Mn-O', 'Li-Mn', 'Li-O', 'Mn-O', 'Li', 'Mn', 'O']
    assert len(oxides) > 20 and {'Li-O', 'Mn-O'} <= set(systems(oxides)[7:])
    assert max(len(seed.structure) for seed in oxides) <= 4
    assert {seed.variant for seed in oxides} == {'ideal'}


def test_the_known_crystal_of_a_compound_is_the_first_of_its_system(oxides):
    """Antifluorite Li2O is in the library; only compounds can be neutral."""
    oxide = oxides[2]
    assert (oxide.structure.composition.reduced_formula, len(oxide.structure)) == ('Li2O', 3)
    assert oxide.prototype.endswith('(Li2O)') and oxide.neutral
    assert oxide.structure.get_space_group_info()[1] == 225
    assert not any(seed.neutral for seed in oxides if len(seed.structure.composition) == 1)


def test_prototypes_stand_in_for_what_the_library_lacks():
    """A library of one ternary crystal knows nothing of Li, H and their compounds."""
    found = known_structures(['Li', 'H'], max_atoms=2, count=5, models=empty_models())
    assert 'H-Li' in systems(found) and all('_' in seed.prototype for seed in found)


def empty_models():
    """Return the models with a library that holds one crystal of three elements."""
    import dataclasses

    from aiida_qagenai.motifs.propose import MotifModels

    models = MotifModels.default()
    kept = np.zeros(len(models.library), dtype=bool)
    kept[next(i for i, amounts in enumerate(models.library.compositions) if len(amounts) == 3)] = True
    return dataclasses.replace(models, library=models.library.select(kept))


def test_strained_and_perturbed_copies_fill_the_set(oxides):
    """Same seed, same structures; all are different, and most are neutral."""
    first, again = (
        seed_structures(['Li', 'Mn', 'O'], max_atoms=4, num_structures=40, ideal=oxides, seed=3) for _ in range(2)
    )
    assert len(first) == 40 and {seed.variant for seed in first} == {'ideal', 'strained', 'perturbed'}
    assert sum(seed.neutral for seed in first) >= 30
    assert len({fingerprint(seed.structure) for seed in first}) == 40
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.structure.lattice.matrix, other.structure.lattice.matrix)
        np.testing.assert_array_equal(one.structure.frac_coords, other.structure.frac_coords)
