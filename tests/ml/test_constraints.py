"""The differentiable twins agree with the constraints, and descending on them mends structures."""

import itertools

import numpy as np
import pytest
import torch
from bonded_crystals import crystals
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from aiida_qagenai.chemistry import constraints as numpy_constraints
from aiida_qagenai.chemistry.composition import is_charge_neutral
from aiida_qagenai.chemistry.crystal import Crystal
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.ml.penalties import (
    PENALTIES,
    CrystalBatch,
    MinimumDistancePenalty,
    SoftCrystals,
    VolumePenalty,
    charge_penalty,
    descend,
    neutral_types,
    total_penalty,
)

CONSTRAINTS = {each.name: each for each in (*numpy_constraints.default_constraints(), numpy_constraints.Density())}

STRICTER = {
    'volume_per_atom': {'minimum': 8.0},
    'density': {'minimum': 8.0},
    'coordination': {'tolerance': 0},
    'anion_saturation': {'threshold': 1e-6},
}
"""Options that make everything a violation."""


def prototypes():
    """Return known crystals: rock salt, fluorite, perovskite, zinc blende, a metal, an element."""
    cubic = Structure.from_spacegroup
    third = [[0, 0, 0], [0.5, 0.5, 0.5]]
    return [
        cubic('Fm-3m', Lattice.cubic(4.26), ['Mg', 'O'], third).get_primitive_structure(),
        cubic('Fm-3m', Lattice.cubic(5.50), ['Ca', 'F'], [[0, 0, 0], [0.25, 0.25, 0.25]]).get_primitive_structure(),
        cubic('Pm-3m', Lattice.cubic(3.945), ['Sr', 'Ti', 'O'], [*third, [0.5, 0.5, 0]]),
        cubic('F-43m', Lattice.cubic(5.45), ['Zn', 'S'], [[0, 0, 0], [0.25, 0.25, 0.25]]).get_primitive_structure(),
        Structure(Lattice.cubic(2.9), ['Ni', 'Al'], third),
        Structure(Lattice.cubic(3.2), ['Si'], [[0, 0, 0]]),
    ]


def distorted(structure, rng, noise=0.3):
    """Return a strained copy with displaced atoms."""
    strain = np.eye(3) + 0.08 * rng.standard_normal((3, 3))
    moved = structure.cart_coords + noise * rng.standard_normal((len(structure), 3))
    return Structure(
        structure.lattice.matrix @ strain, structure.species, moved @ np.linalg.inv(structure.lattice.matrix)
    )


def unlike(structure):
    """Return whether neither anions nor metals are bonded to their like, where the twins promise the same value."""
    bonding = Crystal(structure).bonding
    return isinstance(bonding, str) or (bonding.monatomic and not bonding.metal_bonded.any())


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 100_000), noise=st.sampled_from([0.0, 0.1, 0.3]))
def test_twins_have_the_values_and_verdicts_of_the_constraints(seed, noise):
    rng = np.random.default_rng(seed)
    structures = [s for s in (distorted(p, rng, noise) for p in prototypes()) if unlike(s)]
    crystals = SoftCrystals(CrystalBatch.from_structures(structures))
    for name, twin in PENALTIES.items():
        verdict = twin()(crystals)
        for row, structure in enumerate(structures):
            expected = CONSTRAINTS[name].check(Crystal(structure), 'final')
            value, penalty = verdict.value[row].item(), verdict.penalty[row].item()
            if expected.verdict == 'not_applicable':
                assert np.isnan(value), (name, structure.formula)
                assert penalty == 0
            else:
                assert value == pytest.approx(expected.value, abs=1e-7), (name, structure.formula)
            # a soft count may miss where the step between two coordination numbers lies
            if name != 'coordination':
                assert (penalty > 0) == (expected.verdict == 'fail'), (name, structure.formula)


def test_soft_coordination_numbers_become_whole_ones():
    rng = np.random.default_rng(4)
    structures = [distorted(p, rng) for p in prototypes()[:4]]
    crystals = SoftCrystals(CrystalBatch.from_structures(structures))
    penalty = PENALTIES['coordination'](tolerance=0, width=1e-6)(crystals).penalty
    for row, structure in enumerate(structures):
        expected = numpy_constraints.Coordination(0).check(Crystal(structure), 'final')
        assert (penalty[row] > 0.5).item() == (expected.verdict == 'fail')


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 100_000))
def test_pairs_count_every_image_in_skewed_cells(seed):
    rng = np.random.default_rng(seed)
    cell = rng.uniform(2, 5) * (np.eye(3) + 0.4 * rng.standard_normal((3, 3)))
    # Thinner than 0.5 Å, and more images are needed than are searched.
    assume(abs(np.linalg.det(cell)) > 8 and np.linalg.norm(np.linalg.inv(cell), axis=0).max() < 2)
    structure = Structure(Lattice(cell), ['Li', 'O', 'Cs'], 3 * rng.random((3, 3)))
    pairs = CrystalBatch.from_structures([structure]).pairs(5.0)
    expected = structure.get_neighbor_list(5.0)[3]
    assert len(pairs.distance) == len(expected)
    np.testing.assert_allclose(np.sort(pairs.distance), np.sort(expected), atol=1e-9)


@pytest.mark.parametrize('name', sorted(PENALTIES))
def test_gradients_are_those_of_the_penalty(name):
    rng = np.random.default_rng(11)
    bonded = Structure(Lattice.cubic(4.5), ['Ca', 'F', 'F'], [[0, 0, 0], [0.5, 0.5, 0.5], [0.52, 0.5, 0.78]])
    batch = CrystalBatch.from_structures([bonded, *(distorted(p, rng, 1.0) for p in prototypes()[:4])])
    twin = PENALTIES[name](**STRICTER.get(name, {}))

    def penalty(cells, fractional):
        return twin(SoftCrystals(CrystalBatch(cells, fractional, batch.numbers))).penalty

    cells, fractional = batch.cells.clone().requires_grad_(), batch.fractional.clone().requires_grad_()
    total = penalty(cells, fractional).sum()
    assert total > 0
    gradients = torch.autograd.grad(total, (cells, fractional), allow_unused=True)
    directions = [torch.randn_like(variable) for variable in (cells, fractional)]
    slope = sum((g * d).sum() for g, d in zip(gradients, directions, strict=True) if g is not None)
    step = 1e-6
    with torch.no_grad():
        ends = [penalty(cells + s * directions[0], fractional + s * directions[1]).sum() for s in (step, -step)]
    assert slope.item() == pytest.approx(((ends[0] - ends[1]) / (2 * step)).item(), rel=1e-3, abs=1e-4)


def test_padding_changes_nothing():
    structures = [prototypes()[0], distorted(prototypes()[2], np.random.default_rng(1))]
    twins = [twin() for twin in PENALTIES.values()]
    together = total_penalty(SoftCrystals(CrystalBatch.from_structures(structures)), twins)
    apart = [total_penalty(SoftCrystals(CrystalBatch.from_structures([s])), twins)[0] for s in structures]
    torch.testing.assert_close(together, torch.stack(apart))


def test_descent_takes_each_structure_to_zero_and_keeps_the_good_ones():
    rng = np.random.default_rng(3)
    good = prototypes()[0]
    bad = [distorted(p, rng, 0.6) for p in prototypes()[:4]]
    batch = CrystalBatch.from_structures([good, *bad])
    twins = [MinimumDistancePenalty(), VolumePenalty()]
    result = descend(batch, twins, steps=60)
    assert (result.before[1:] > 0).any()
    assert result.after.max() == 0
    torch.testing.assert_close(result.batch.cells[0], batch.cells[0])
    torch.testing.assert_close(result.batch.fractional[0], batch.fractional[0])


def test_descent_on_all_penalties_never_ends_higher():
    rng = np.random.default_rng(5)
    batch = CrystalBatch.from_structures([distorted(p, rng, 0.4) for p in prototypes()])
    result = descend(batch, [twin() for twin in PENALTIES.values()], steps=20)
    assert (result.after <= result.before).all()
    assert result.after.sum() < 0.2 * result.before.sum()
    assert torch.isfinite(result.batch.cells).all()


ELEMENTS = ('Li', 'Mg', 'Ti', 'O', 'Cl')


def compositions(num_atoms):
    """Return the amounts of all compositions of ``num_atoms`` atoms of ``ELEMENTS``."""
    ranges = itertools.product(range(num_atoms + 1), repeat=len(ELEMENTS))
    return np.array([amounts for amounts in ranges if sum(amounts) == num_atoms])


@pytest.mark.parametrize('mixed', [False, True])
def test_the_charge_penalty_vanishes_where_a_composition_is_neutral(mixed):
    amounts = compositions(5)
    penalty = charge_penalty(torch.as_tensor(amounts, dtype=torch.float64), ELEMENTS, mixed_valence=mixed)
    for row, counts in enumerate(amounts):
        composition = {symbol: int(n) for symbol, n in zip(ELEMENTS, counts, strict=True) if n}
        applies = len(composition) > 1 and {'O', 'Cl'} & set(composition)
        neutral = not applies or is_charge_neutral(composition, mixed_valence=mixed)
        if neutral or 'Ti' not in composition:
            assert (penalty[row] == 0).item() == neutral, composition


def test_the_charge_penalty_has_a_gradient():
    amounts = torch.tensor([[1.0, 0.0, 0.0, 1.2, 0.0]], dtype=torch.float64, requires_grad=True)
    charge_penalty(amounts, ELEMENTS).sum().backward()
    assert amounts.grad[0, 0] < 0 < amounts.grad[0, 3]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 100_000), num_atoms=st.integers(1, 4), compounds=st.booleans())
def test_projected_types_are_the_most_likely_neutral_ones(seed, num_atoms, compounds):
    scores = np.random.default_rng(seed).normal(size=(num_atoms, 3))
    symbols = ('Li', 'Ti', 'O')
    found = neutral_types(scores, symbols, compounds_first=compounds)
    best = [-np.inf, -np.inf]
    for types in itertools.product(range(3), repeat=num_atoms):
        composition = {symbols[k]: types.count(k) for k in set(types)}
        applies = 'O' in composition and len(composition) > 1
        if not applies or is_charge_neutral(composition, mixed_valence=True):
            score = scores[np.arange(num_atoms), list(types)].sum()
            best[applies] = max(best[applies], score)
    expected = best[1] if compounds and np.isfinite(best[1]) else max(best)
    assert scores[np.arange(num_atoms), found].sum() == pytest.approx(expected)


def test_forbidden_elements_are_never_chosen():
    scores = np.array([[0.0, -np.inf, -np.inf], [-np.inf, -np.inf, 0.0]])
    assert neutral_types(scores, ('Li', 'Mg', 'O'), source='pymatgen_icsd') is None
    scores[0, 1] = -3.0
    assert neutral_types(scores, ('Li', 'Mg', 'O'), source='pymatgen_icsd').tolist() == [1, 2]


def test_too_many_choices_are_refused():
    many = ('Mn', 'Fe', 'Co', 'Ni', 'Cr', 'V', 'Mo', 'W', 'S', 'Cl', 'N', 'P')
    with pytest.raises(InvalidInputError, match='fewer elements'):
        neutral_types(np.zeros((20, len(many))), many)
    with pytest.raises(InvalidInputError, match='fewer elements'):
        charge_penalty(torch.ones(1, len(many)), many, mixed_valence=False)


@pytest.mark.parametrize(
    'name', ['N2', 'H2', 'CH4', 'KCN', 'KN3', 'KO2', 'Pb3O4', 'Fe3O4', 'KOH', 'CsICl2', 'Ag2F', 'Cs3O']
)
def test_twins_know_multiple_bonds_mixed_valence_and_protons(name):
    structure = crystals()[name]
    soft = SoftCrystals(CrystalBatch.from_structures([structure]))
    for twin, make in PENALTIES.items():
        expected = CONSTRAINTS[twin].check(Crystal(structure), 'final')
        value, penalty = (float(x[0]) for x in make()(soft))
        if expected.verdict == 'not_applicable':
            assert np.isnan(value), twin
            assert penalty == 0
        else:
            assert value == pytest.approx(expected.value, abs=1e-7), twin
