"""The arms of the benchmarks: one form, what was asked for, the same for the same seed."""

import math
import sys
from pathlib import Path

import pytest
from pymatgen.core import Structure

from aiida_qagenai.motifs.library import MotifLibrary

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'benchmarks'))

import arms
from arms import vae
from arms.ion_substitution import log_probability, substitutions

CONTENT = {'Ti': 2, 'O': 4}


SLOW = ('gnome_like',)  # fits its filter first
NAMES = [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in arms.NAMES if name != 'random']


@pytest.mark.parametrize('name', NAMES)
def test_an_arm_gives_crystals_of_the_content(name, monkeypatch):
    monkeypatch.setattr(vae, 'STEPS_PER_LEVEL', 5)  # of `cdvae`, for a short test
    arm = arms.build(name, {'TiO2'})
    crystals = arm(CONTENT, 4, seed=1)
    assert len(crystals) == 4
    made = [crystal for crystal in crystals if crystal is not None]
    assert made
    assert all(crystal.composition.as_dict() == CONTENT for crystal in made)
    assert arm(CONTENT, 4, seed=1) == crystals


def test_random_crystals_follow_the_seed():
    pytest.importorskip('pyxtal')
    arm = arms.build('random')
    first, again, other = (arm({'Na': 1, 'Cl': 1}, 2, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    assert all(crystal.composition.as_dict() == {'Na': 1, 'Cl': 1} for crystal in first)


def test_an_unknown_arm_is_refused():
    with pytest.raises(ValueError, match='expected one of random'):
        arms.build('cleverest')


def test_failures_fill_up():
    crystal = Structure([[3, 0, 0], [0, 3, 0], [0, 0, 3]], ['Po'], [[0, 0, 0]])
    assert arms.filled_up([crystal], 3) == [crystal, None, None]
    assert arms.filled_up([crystal] * 3, 2) == [crystal] * 2


def test_no_substitution_uses_an_excluded_formula():
    library = MotifLibrary.default()
    every = substitutions(library, CONTENT, frozenset())
    excluded = frozenset({'RuO2', 'SnO2'})
    assert excluded <= {library.formulas[each.motif] for each in every}
    found = substitutions(library, CONTENT, excluded)
    assert 0 < len(found) < len(every)
    assert not excluded & {library.formulas[each.motif] for each in found}
    logarithms = [each.log_probability for each in found]
    assert logarithms == sorted(logarithms, reverse=True)
    assert all(set(each.exchange.values()) == {22, 8} for each in found)


def test_the_probability_of_an_exchange_is_that_of_pymatgen():
    from pymatgen.core.structure_prediction.substitution_probability import SubstitutionProbability

    model = SubstitutionProbability()
    expected = model.cond_prob_list(['Na+', 'Cl-'], ['K+', 'Br-'])
    assert log_probability((1, 1), (19, 35), (11, 17)) == pytest.approx(math.log(expected))
    alike, unlike = log_probability((1, 1), (28, 13), (27, 13)), log_probability((1, 1), (28, 13), (55, 13))
    assert alike > unlike
