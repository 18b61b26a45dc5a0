"""Figures that a search for hyperparameters improves."""

from __future__ import annotations

import pytest
from pymatgen.core import Lattice, Structure

from aiida_qagenai.evaluation.objectives import cell_contents, matched, valid_and_novel
from aiida_qagenai.evaluation.validity import structure_is_valid


def rock_salt(a: str, b: str, length: float) -> Structure:
    """Return the primitive cell of a rock salt."""
    fcc = Lattice([[0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]).matrix * length
    return Structure(fcc, [a, b], [[0, 0, 0], [0.5, 0.5, 0.5]])


def caesium_chloride(a: str, b: str, length: float) -> Structure:
    """Return a primitive cubic crystal of two atoms."""
    return Structure(Lattice.cubic(length), [a, b], [[0, 0, 0], [0.5, 0.5, 0.5]])


# The atoms are apart, but every ion has one neighbour: what an untrained generator makes.
STRETCHED = Structure(Lattice.cubic(4.5), ['Cs', 'Cl'], [[0, 0, 0], [0.62, 0, 0]])


def test_known_repeated_and_invalid_samples_do_not_count():
    """A failed sample counts like an invalid one."""
    known = [rock_salt('Cs', 'Cl', 6.9)]
    assert structure_is_valid(STRETCHED)
    new, again = caesium_chloride('Cs', 'Cl', 4.12), caesium_chloride('Cs', 'Cl', 4.2)
    found = valid_and_novel([rock_salt('Cs', 'Cl', 7.0), STRETCHED, new, again], known, requested=5)
    assert found == {'value': 0.2, 'requested': 5, 'generated': 4, 'valid': 3, 'novel': 2, 'unique': 1}
    assert valid_and_novel([], known, requested=3)['value'] == 0


def test_each_held_out_crystal_is_matched_on_its_own():
    """Polymorphs share the samples of their formula; samples of other formulas match nothing."""
    references = [rock_salt('Na', 'Cl', 5.6), caesium_chloride('Na', 'Cl', 3.5), rock_salt('Mg', 'O', 4.2)]
    samples = [rock_salt('Na', 'Cl', 5.5), caesium_chloride('Mg', 'O', 2.6), rock_salt('K', 'Br', 6.6)]
    found = matched(samples, references, requested=6)
    assert (found['value'], found['matched'], found['references']) == (pytest.approx(1 / 3), 1, 3)
    assert found['rmse'] == pytest.approx(0, abs=1e-6)
    everything = matched([*samples, references[1], references[2]], references, requested=6)
    assert everything['value'] == 1
    assert matched([], references, requested=6)['value'] == 0


def test_formulas_are_chosen_by_hash_and_have_their_smallest_cell():
    """Neither the order nor the names of the crystals decide."""
    small = rock_salt('Li', 'H', 4.1)
    crystals = [small * (2, 1, 1), rock_salt('Mg', 'O', 4.2), small, rock_salt('Na', 'Cl', 5.6)]
    everything = cell_contents(crystals, ['Li', 'H', 'Mg', 'O', 'Na', 'Cl'], 10)
    assert everything['LiH'] == {'H': 1, 'Li': 1} and set(everything) == {'LiH', 'MgO', 'NaCl'}
    assert list(cell_contents(crystals[::-1], ['Li', 'H', 'Mg', 'O', 'Na', 'Cl'], 2)) == list(everything)[:2]
    assert set(cell_contents(crystals, ['Mg', 'O'], 10)) == {'MgO'}
