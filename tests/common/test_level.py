"""Levels of theory and the tree in which they inherit from each other."""

import pytest

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.common.level import LADDER_LEVELS, Level, LevelTree

EMPTY = LevelTree((), ())
TEACHER = [Level('teacher r2SCAN', Fidelity.SCAN), Level('teacher PBE', Fidelity.PBE)]
CAMPAIGN = [Level('fast:pbe', Fidelity.PBE), Level('fast:hse', Fidelity.HSE06), Level('fast:scan', Fidelity.SCAN)]


def test_the_ladder_is_a_chain():
    assert EMPTY.grown(LADDER_LEVELS) == LevelTree()
    assert LevelTree().parents == (-1, 0, 1, 2)
    assert LevelTree().rungs == LADDER


def test_the_lowest_new_level_inherits_from_its_rung_and_the_others_from_the_one_below():
    shipped = EMPTY.grown(TEACHER)
    assert [level.tag for level in shipped.levels] == ['teacher PBE', 'teacher r2SCAN']
    assert shipped.parents == (-1, 0)
    tuned = shipped.grown(CAMPAIGN)
    pairs = list(zip(tuned.levels, tuned.parents, strict=True))
    parents = {level.tag: tuned.levels[parent].tag for level, parent in pairs[1:]}
    assert parents == {
        'teacher r2SCAN': 'teacher PBE',
        'fast:pbe': 'teacher PBE',
        'fast:scan': 'fast:pbe',
        'fast:hse': 'fast:scan',
    }
    assert tuned.grown(CAMPAIGN) == tuned
    assert tuned.ancestors(4) == [0, 2, 3]


def test_the_last_level_speaks_for_its_rung():
    tuned = EMPTY.grown(TEACHER).grown(CAMPAIGN)
    assert tuned.levels[tuned.on_rung(Fidelity.PBE)].tag == 'fast:pbe'
    assert tuned.on_rung(Fidelity.CCSD_T) is None
    assert tuned.rungs == (Fidelity.PBE, Fidelity.SCAN, Fidelity.HSE06)


def test_a_parent_can_be_chosen():
    levels = [Level('corrected PBE', Fidelity.PBE), *TEACHER]
    tree = EMPTY.grown(levels, {'teacher r2SCAN': 'corrected PBE'})
    assert tree.levels[tree.parents[2]].tag == 'corrected PBE'
    with pytest.raises(InvalidInputError, match='`nothing`, the parent of the level'):
        EMPTY.grown(levels, {'teacher r2SCAN': 'nothing'})


def test_trees_survive_the_description():
    tree = EMPTY.grown(TEACHER).grown(CAMPAIGN)
    assert LevelTree.parse(tree.describe()) == tree


@pytest.mark.parametrize('parents', [(0, 0), (-1, 1), (-1,), (-1, -1)])
def test_what_is_not_a_tree_is_refused(parents):
    with pytest.raises(InvalidInputError, match='not those of a tree'):
        LevelTree(tuple(TEACHER), parents)


def test_a_level_occurs_once():
    with pytest.raises(InvalidInputError, match='occurs twice'):
        LevelTree((TEACHER[0], TEACHER[0]), (-1, 0))
