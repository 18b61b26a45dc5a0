"""Tests for :mod:`aiida_qagenai.motifs.propose` and :mod:`aiida_qagenai.motifs.compositions`, with what is shipped."""

from __future__ import annotations

import itertools
import json

import pytest
import spglib
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Composition, Lattice, Structure

from aiida_qagenai.chemistry.elements import SYMBOLS
from aiida_qagenai.motifs.compositions import compositions_of_system, rate_compositions
from aiida_qagenai.motifs.library import DEFAULT_LIBRARY
from aiida_qagenai.motifs.propose import Limits, MotifModels, known_as, propose, propose_in_system


@pytest.fixture(scope='module')
def models():
    return MotifModels.default()


def number_of(structure):
    cell = (structure.lattice.matrix, structure.frac_coords, structure.atomic_numbers)
    return spglib.get_symmetry_dataset(cell, symprec=1e-4).number


def test_lithium_hydride_is_rock_salt_without_knowing_it(models):
    """The crystal that the generator of a campaign does not find."""
    limits = Limits(excluded=frozenset({'LiH'}))
    [first, *_] = propose(models, {'Li': 1, 'H': 1}, count=5, limits=limits)
    rock_salt = Structure.from_spacegroup('Fm-3m', Lattice.cubic(4.08), ['Li', 'H'], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert first.space_group == 225
    assert StructureMatcher().fit(first.structure, rock_salt)
    assert first.structure.volume / 2 == pytest.approx(rock_salt.volume / 8, rel=0.25)


def test_proposals_have_the_symmetry_of_their_motifs_and_differ(models):
    found = propose(models, {'Sr': 1, 'Ti': 1, 'O': 3}, count=8)
    assert [number_of(each.structure) for each in found] == [each.space_group for each in found]
    assert all(each.structure.composition.reduced_formula == 'SrTiO3' for each in found)
    probabilities = [each.probability for each in found]
    assert probabilities == sorted(probabilities, reverse=True) and probabilities[-1] > 0 and probabilities[0] <= 1
    pairs = itertools.combinations([each.structure for each in found], 2)
    assert not any(StructureMatcher().fit(*pair) for pair in pairs if len(pair[0]) == len(pair[1]))


def test_the_same_request_gives_the_same_crystals(models):
    first, second = (propose(models, {'Mg': 1, 'O': 1}, count=3) for _ in range(2))
    assert [each.structure.as_dict() for each in first] == [each.structure.as_dict() for each in second]


def test_a_known_ground_state_comes_first(models):
    [first, second, *_] = propose(models, {'Na': 1, 'Cl': 1}, count=4)
    assert (first.space_group, first.motif_formula) == (225, 'NaCl')
    assert first.probability > second.probability


def test_limits_are_kept(models):
    limits = Limits(formula_units=2, min_atoms=4, max_atoms=6, space_group=136, excluded=frozenset({'TiO2'}))
    found = propose(models, {'Ti': 1, 'O': 2}, count=5, limits=limits)
    assert found and {each.space_group for each in found} == {136}
    assert {len(each.structure) for each in found} == {6}
    assert 'TiO2' not in {each.motif_formula for each in found}
    assert propose(models, {'Ti': 1, 'O': 2}, limits=Limits(max_atoms=2)) == []


def test_a_chemical_system_is_obeyed(models):
    done = []
    found = propose_in_system(models, ['Li', 'Mg', 'N'], count=12, report=lambda *counts: done.append(counts))
    assert len(found) == 12
    assert {each.structure.chemical_system for each in found} == {'Li-Mg-N'}
    assert (
        max(len(list(group)) for _, group in itertools.groupby(sorted(each.structure.formula for each in found))) <= 2
    )
    assert done and done[-1][0] == done[-1][1]
    only = propose_in_system(models, ['Li', 'Mg', 'N'], count=3, amounts=(1, 1, 1))
    assert {each.structure.composition.anonymized_formula for each in only} == {'ABC'}


def test_known_compositions_are_probable_even_where_they_are_left_out(models):
    """Of all that one could write in Na, Si and O, the silicates that exist come in front."""
    symbols = ['Na', 'Si', 'O']
    known = {f for f in models.library.formulas.tolist() if set(Composition(f).as_dict()) == set(symbols)}
    without = models.library.without(known)
    rated = compositions_of_system(without, models.prior, symbols)
    names = [Composition({SYMBOLS[z - 1]: n for z, n in each.amounts.items()}).reduced_formula for each in rated]
    places = sorted(names.index(formula) for formula in known if formula in names)
    assert len(places) >= 3 and places[0] < 10 and places[len(places) // 2] < len(names) / 6


def test_leaving_out_means_that_no_composition_knows_of_itself(library):
    compositions, _ = rate_compositions(library, ['Na', 'Cl'], leave_out=True)
    assert {11: 1, 17: 1} in compositions
    _, [[distance, *_], *_] = rate_compositions(library, ['Na', 'Cl'])
    assert distance == 0
    _, [[distance, *_], *_] = rate_compositions(library, ['Na', 'Cl'], leave_out=True)
    assert distance > 0


def test_known_crystals_are_recognised(library):
    rock_salt = Structure.from_spacegroup('Fm-3m', Lattice.cubic(5.7), ['Na', 'Cl'], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert known_as(library, rock_salt) == 'NaCl'
    assert (
        known_as(library, Structure.from_spacegroup('Pm-3m', Lattice.cubic(3.5), ['Na', 'Cl'], [[0] * 3, [0.5] * 3]))
        is None
    )


def test_the_card_describes_the_files_that_are_shipped():
    import hashlib

    card = json.loads((DEFAULT_LIBRARY.parent / 'card.json').read_text())
    for name, digest in card['sha256'].items():
        assert hashlib.sha256((DEFAULT_LIBRARY.parent / name).read_bytes()).hexdigest() == digest, name
    assert card['license'] == 'CC BY 4.0' and card['num_crystals'] == len(MotifModels.default().library)
