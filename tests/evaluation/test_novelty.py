"""Tests for :mod:`aiida_qagenai.evaluation.novelty`."""

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from aiida_qagenai.chemistry.prototypes import decorated_prototypes
from aiida_qagenai.evaluation.novelty import RelationToKnown, anonymous_structures


def spinel(rare='Mg', frequent='Al', anion='O', edge=8.1):
    sites = [[0.125, 0.125, 0.125], [0.5, 0.5, 0.5], [0.262, 0.262, 0.262]]
    return Structure.from_spacegroup('Fd-3m', Lattice.cubic(edge), [rare, frequent, anion], sites)


def rock_salt(first='Na', second='Cl', edge=5.6):
    return Structure.from_spacegroup(225, Lattice.cubic(edge), [first, second], [[0, 0, 0], [0.5, 0.5, 0.5]])


def zinc_blende(first='Zn', second='S', edge=5.4):
    return Structure.from_spacegroup(216, Lattice.cubic(edge), [first, second], [[0, 0, 0], [0.25, 0.25, 0.25]])


@pytest.fixture(scope='module')
def relation():
    return RelationToKnown([rock_salt(), zinc_blende(), spinel()])


@pytest.mark.parametrize(
    ('structure', 'expected'),
    [
        (rock_salt(), 'replay'),
        (rock_salt(edge=6.0), 'replay'),  # another volume
        (rock_salt('Mg', 'O', edge=4.2), 'substitution'),
        (rock_salt('Cl', 'Na'), 'replay'),  # the same crystal from its other atom
        (zinc_blende('Na', 'Cl'), 'substitution'),  # known formula, known framework, not together
        (spinel('Zn', 'Fe', 'S', edge=10.0), 'substitution'),
        (Structure(Lattice.cubic(4.1), ['Cs', 'Cl'], [[0, 0, 0], [0.5, 0.5, 0.5]]), 'novel framework'),
        (Structure(Lattice.cubic(3.4), ['Na', 'Cl'], [[0, 0, 0], [0.5, 0.5, 0.5]]), 'novel framework'),
        (Structure(Lattice.cubic(3.4), [{'Na': 0.5, 'K': 0.5}], [[0, 0, 0]]), None),
    ],
)
def test_classes(relation, structure, expected):
    assert relation.classify(structure) == expected


def test_elements_of_one_amount_are_tried_in_all_orders():
    """Three elements once each: half-Heusler crystals differ by which element is in the middle, not by its number."""
    sites = [[0, 0, 0], [0.25, 0.25, 0.25], [0.5, 0.5, 0.5]]

    def half_heusler(*elements):
        return Structure.from_spacegroup(216, Lattice.cubic(6.0), elements, sites)

    relation = RelationToKnown([half_heusler('Zr', 'Ni', 'Sn')])
    for elements in (('Ti', 'Ni', 'Sn'), ('Ni', 'Zr', 'Sb'), ('Sn', 'Zr', 'Co'), ('Li', 'Mg', 'N'), ('N', 'Li', 'Mg')):
        assert relation.classify(half_heusler(*elements)) == 'substitution'


def test_displaced_and_repeated_crystals_keep_their_class(relation):
    for structure, expected in ((rock_salt(), 'replay'), (spinel('Zn', 'Fe', 'S', edge=10.0), 'substitution')):
        other = structure.make_supercell([[1, 1, 0], [0, 1, 0], [0, 0, 1]], in_place=False)
        other.translate_sites(range(len(other)), [0.1, 0.2, 0.3])
        rng = np.random.default_rng(0)
        other = Structure(
            other.lattice, other.species, other.frac_coords + 0.0005 * rng.standard_normal((len(other), 3))
        )
        assert relation.classify(other) == expected


def test_nothing_known_makes_everything_new():
    assert len(RelationToKnown([])) == 0
    assert RelationToKnown([]).classify(rock_salt()) == 'novel framework'


def test_names_follow_the_amounts():
    """MgAl2O4: magnesium is the rarest. NaCl: both orders."""
    (named,) = anonymous_structures(spinel())
    assert named.composition.as_dict() == {'H': 8, 'Li': 16, 'Be': 32}
    orders = [structure.species[0].symbol for structure in anonymous_structures(rock_salt())]
    assert orders == ['H', 'Li']


def test_frameworks_are_those_of_pymatgen():
    """For twelve prototypes against every third of another chemistry, as the matcher's own anonymous fit finds them."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    known = [seed.structure for seed in decorated_prototypes(['Li', 'H'])][:36:3]
    matcher = StructureMatcher()
    relation = RelationToKnown(known)
    samples = [seed.structure for seed in decorated_prototypes(['Na', 'Cl'])][:12]
    expected = [any(matcher.fit_anonymous(sample, other) for other in known) for sample in samples]
    assert 0 < sum(expected) < 12
    assert [relation.classify(sample) == 'substitution' for sample in samples] == expected
