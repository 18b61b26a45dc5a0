"""Hops and barriers on ASE's effective-medium theory, against the symmetric saddle point found on another way."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.optimize import BFGS

from aiida_qagenai.common.errors import InvalidInputError, NotConvergedError
from aiida_qagenai.thermodynamics.vibrations.barriers import find_barrier
from aiida_qagenai.thermodynamics.vibrations.hops import find_hops
from aiida_qagenai.thermodynamics.vibrations.relaxation import relax
from aiida_qagenai.thermodynamics.vibrations.settings import BandSettings, HopSettings

BAND = BandSettings(num_images=3, max_force=0.02)


def hops(atoms: Atoms, species: str, max_length: float, **options):
    """Return the hops in a small supercell."""
    return find_hops(atoms, HopSettings(species=species, max_length=max_length, **{'min_supercell': 7.0, **options}))


@pytest.fixture(scope='module')
def hop():
    """Return the hop of a vacancy in relaxed Al."""
    return hops(relax(bulk('Al', cubic=True), EMT()).atoms, 'Al', 3.0)[0]


@pytest.fixture(scope='module')
def path(hop):
    """Return its minimum-energy path."""
    return find_barrier(hop.initial, hop.final, EMT(), BAND)


def test_barrier_of_a_vacancy_in_aluminium(hop, path):
    """By symmetry the saddle is half-way: put the atom there, relax, and compare. Experiments give 0.6 eV."""
    energies = []
    mover = int(np.argmax(np.linalg.norm(hop.final.positions - hop.initial.positions, axis=1)))
    for share in (0.0, 0.5):
        atoms = hop.initial.copy()
        atoms.positions[mover] += share * (hop.final.positions[mover] - hop.initial.positions[mover])
        atoms.calc = EMT()
        BFGS(atoms, logfile=None).run(fmax=0.003, steps=200)
        energies.append(atoms.get_potential_energy())
    direct = energies[1] - energies[0]
    assert path.forward == pytest.approx(direct, abs=3e-3)
    assert 0.3 < path.forward < 0.7


def test_the_path_is_symmetric_and_converged(path):
    assert path.forward == pytest.approx(path.reverse, abs=2e-3)
    assert path.saddle == 2
    assert path.energies[1] == pytest.approx(path.energies[3], abs=2e-3)
    assert path.max_force <= BAND.max_force
    assert path.intermediate_minima == ()
    assert (np.diff(path.distances) > 0).all()
    assert len(path.images) == 5


def test_a_band_that_does_not_converge_is_an_error_with_its_numbers(hop):
    with pytest.raises(NotConvergedError, match=r'force of .* eV/Å .* after \d+ steps; its barrier so far') as raised:
        find_barrier(hop.initial, hop.final, EMT(), BandSettings(num_images=1, max_force=0.05, max_steps=6))
    assert raised.value.what == 'band'


def test_ends_that_do_not_belong_together_are_refused(hop):
    other = hop.final.copy()
    other.symbols[0] = 'Cu'
    with pytest.raises(InvalidInputError, match='same atoms'):
        find_barrier(hop.initial, other, EMT())
    other = hop.final.copy()
    other.set_cell(other.cell.array * 1.01)
    with pytest.raises(InvalidInputError, match='same cell'):
        find_barrier(hop.initial, other, EMT())
    with pytest.raises(InvalidInputError, match='same structure'):
        find_barrier(hop.initial, hop.initial, EMT())


def test_ends_that_relax_to_one_minimum_are_refused(hop):
    """A displaced atom falls back to its site."""
    near = hop.initial.copy()
    near.positions[5] += [0.25, 0, 0]
    with pytest.raises(InvalidInputError, match='relax to the same minimum'):
        find_barrier(hop.initial, near, EMT(), BAND)


def test_hops_of_face_centred_cubic():
    """Twelve equivalent nearest and six next-nearest hops; one atom is missing, one has moved to its place."""
    found = hops(bulk('Cu', cubic=True), 'Cu', 3.7)
    assert [hop.multiplicity for hop in found] == [12, 6]
    assert [hop.length for hop in found] == pytest.approx([3.61 / 2**0.5, 3.61])
    first = found[0]
    assert len(first.initial) == 4 * 8 - 1
    moved = first.final.positions - first.initial.positions
    assert np.count_nonzero(np.linalg.norm(moved, axis=1) > 1e-9) == 1
    assert np.linalg.norm(moved, axis=1).max() == pytest.approx(first.length)


def test_hops_do_not_depend_on_the_cell():
    """A primitive cell and a doubled one have the same different hops."""
    for atoms in (bulk('Cu'), bulk('Cu').repeat((2, 1, 1))):
        assert [hop.multiplicity for hop in hops(atoms, 'Cu', 3.7)] == [12, 6]


def test_hops_of_hexagonal_close_packing():
    """With c/a off its ideal value, hops in the basal plane and out of it differ: six of each."""
    found = hops(bulk('Mg', 'hcp', a=3.2, c=5.3), 'Mg', 3.4)
    assert sorted(hop.multiplicity for hop in found) == [6, 6]


def test_hops_of_one_sublattice():
    """In rock salt Na hops on its own face-centred lattice; the vacancy and the mover are Na."""
    (found,) = hops(bulk('NaCl', 'rocksalt', a=5.64), 'Na', 4.1)
    assert found.multiplicity == 12
    assert found.initial.get_chemical_symbols().count('Cl') == found.initial.get_chemical_symbols().count('Na') + 1


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'species': 'Li'}, 'contains no Li'),
        ({'max_length': 1.0}, 'within max_length 1'),
        ({'max_atoms': 10}, 'more than max_atoms 10'),
    ],
)
def test_hops_that_cannot_be_are_refused(options, message):
    with pytest.raises(InvalidInputError, match=message):
        hops(bulk('Cu'), **{'species': 'Cu', 'max_length': 3.0, **options})
