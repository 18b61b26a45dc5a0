"""The benchmark of stable, unique and new crystals: which systems are unseen, what is hidden, and how it counts."""

import argparse
import importlib.util
import json
import sys
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from aiida_qagenai.chemistry.formula import parse_formula
from aiida_qagenai.evaluation.held_out import part_of
from aiida_qagenai.motifs.library import KnownCrystal, MotifLibrary
from aiida_qagenai.motifs.propose import MotifModels

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'benchmarks'))

import generation


def salt(names, edge):
    return Structure.from_spacegroup('Fm-3m', Lattice.cubic(edge), names, [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture(scope='module')
def systems():
    return generation.unseen_systems(MotifLibrary.default(), 4, 0)


def test_systems_are_of_held_out_formulas_and_known_to_the_hull(systems):
    library = MotifLibrary.default()
    assert systems == generation.unseen_systems(library, 6, 0)[:4] != generation.unseen_systems(library, 4, 1)
    for system in systems:
        formulas = [f for f in set(library.formulas.tolist()) if tuple(sorted(parse_formula(f))) == system]
        assert any(part_of(formula) == 'validation' for formula in formulas)
        assert len(system) in (2, 3)


def test_all_compounds_of_the_systems_are_hidden():
    crystals = [salt(['Na', 'Cl'], 5.6), salt(['K', 'Cl'], 6.3), salt(['K', 'Br'], 6.6)]
    names = ['NaCl', 'KCl', 'KBr']
    library = MotifLibrary.from_crystals([KnownCrystal(*pair) for pair in zip(names, crystals, strict=True)])
    assert generation.compounds(library, [('Cl', 'K', 'Na'), ('Br', 'Li')]) == {'NaCl', 'KCl'}


def test_other_arms_get_the_contents_that_the_package_chose():
    samples = [
        generation.Sample(('Mg', 'O'), salt(['Mg', 'O'], 4.2)),
        generation.Sample(('Mg', 'O'), salt(['Mg', 'O'], 5.2)),
        generation.Sample(('Mg', 'O'), None),
    ]
    found = generation.follow('retrieval', frozenset({'MgO'}), samples, seed=0)
    assert len(found) == 3 and {sample.system for sample in found} == {('Mg', 'O')}
    assert [None if s.structure is None else generation.cell(s.structure) for s in found] == [
        {'Mg': 1, 'O': 1},
        {'Mg': 1, 'O': 1},
        None,
    ]
    assert len(generation.generate(MotifModels.default(), [('Mg', 'O')], 2)) == 2


@pytest.mark.skipif(importlib.util.find_spec('chgnet') is None, reason='chgnet is not installed')
def test_crystals_are_judged_by_class_energy_and_copies(tmp_path, capsys):
    """MgO is known and stable, its copy and a failure do not count, CaO in the place of MgO is a substitution."""
    known = MotifLibrary.from_crystals([KnownCrystal('mp-1', salt(['Mg', 'O'], 4.21))])
    structures = [salt(['Mg', 'O'], 4.25), salt(['Mg', 'O'], 4.2), None, salt(['Ca', 'O'], 4.8)]
    samples = [generation.Sample(('X', 'O'), structure) for structure in structures]
    found = generation.judge(samples, known, tmp_path, steps=60)
    assert found.relations == ['replay', 'replay', None, 'substitution']
    assert found.converged == [True, False, False, True]
    assert found.distances[0] < 0.05 and found.distances[3] < 0.05
    assert found.clusters[1] is None and found.clusters[2] is None and found.clusters[0] != found.clusters[3]
    generation.report('random', samples, found, seconds=1.0)
    figures = {each['name']: each['value'] for each in map(json.loads, capsys.readouterr().out.splitlines())}
    assert figures['replay-random'] == 0.5 and figures['substitution-random'] == 0.25
    assert figures['sun-random'] + figures['msun-random'] == 0.25
    assert figures['sun-unseen-random'] + figures['msun-unseen-random'] == 0.5


def test_samples_with_noise_keep_contents_and_failures():
    samples = [
        generation.Sample(('Mg', 'O'), salt(['Mg', 'O'], 4.2)),
        generation.Sample(('Li', 'N'), None),
        generation.Sample(('Ca', 'O'), salt(['Ca', 'O'], 4.8)),
    ]
    found = generation.noised(samples, 1.0, 'keep', seed=0)
    assert [sample.system for sample in found] == [sample.system for sample in samples]
    assert found[1].structure is None
    for before, after in ((samples[0], found[0]), (samples[2], found[2])):
        assert after.structure.composition.reduced_formula == before.structure.composition.reduced_formula
        assert after.structure != before.structure
    assert generation.noised(samples, 1.0, 'keep', seed=0) == found
    assert generation.noised(samples[1:2], 1.0, 'free', seed=0) == samples[1:2]


def test_without_relaxation_there_are_validity_and_relations_alone(tmp_path, capsys):
    known = MotifLibrary.from_crystals([KnownCrystal('mp-1', salt(['Mg', 'O'], 4.21))])
    samples = [generation.Sample(('Mg', 'O'), structure) for structure in (salt(['Mg', 'O'], 4.25), None)]
    found = generation.judge(samples, known, tmp_path, steps=0)
    generation.report('generate', samples, found, seconds=1.0, relaxed=False)
    figures = {each['name']: each['value'] for each in map(json.loads, capsys.readouterr().out.splitlines())}
    assert figures['structural-validity'] == figures['replay'] == 0.5
    assert not any('sun' in name or name == 'relaxed' for name in figures)


@pytest.mark.parametrize('text', ['0', '1.5', 'nan', 'much'])
def test_a_level_of_noise_lies_between_0_and_1(text):
    with pytest.raises(argparse.ArgumentTypeError, match='above 0, up to 1'):
        generation.noise_level(text)
