"""Tests of `aiida-qagenai evaluate`."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

FACES = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])


def pair(*symbols, edge=4.0, shift=0.5):
    return Structure(Lattice.cubic(edge), symbols, [[0, 0, 0], [shift, shift, shift]])


ROCK_SALT = Structure(Lattice.cubic(5.6), ['Na'] * 4 + ['Cl'] * 4, [*FACES, *(FACES + 0.5)])
SALT, OXIDE, CHLORIDE = pair('Na', 'Cl'), pair('Mg', 'O'), pair('Cs', 'Cl')


@pytest.fixture
def table(tmp_path):
    """Return a factory of CSV files from rows of columns and a structure."""

    def create(name, *rows):
        path = tmp_path / name
        with path.open('w', newline='') as handle:
            writer = csv.DictWriter(handle, [*rows[0][0], 'cif'])
            writer.writeheader()
            for columns, structure in rows:
                writer.writerow(
                    {**columns, 'cif': structure if isinstance(structure, str) else structure.to(fmt='cif')}
                )
        return path

    return create


@pytest.fixture
def figures(run):
    """Return a function that runs the command and returns its JSON, with the figures by name."""

    def evaluate(*arguments):
        found = json.loads(run('evaluate', *arguments, '--json').stdout)
        return {figure['name']: figure for figure in found['figures']}, found

    return evaluate


def test_samples_by_identifier(table, figures):
    """The first sample of salt is another structure, the second the right one; the oxide has none."""
    reference = table('known.csv', ({'material_id': 'mp-1'}, SALT), ({'material_id': 'mp-2'}, OXIDE))
    samples = table('samples.csv', ({'material_id': 'mp-1'}, ROCK_SALT), ({'material_id': 'mp-1'}, SALT))
    found, answer = figures(samples, '--reference', reference, '--count', 1, '--count', 2)
    assert found['match-rate-1']['value'] == 0 and found['match-rate-2']['value'] == 0.5
    assert (found['match-rate-2']['numerator'], found['match-rate-2']['denominator']) == (1, 2)
    assert found['crmse-2']['value'] == pytest.approx(0.25, abs=1e-6)
    assert found['rmse-1']['value'] is None and found['rmse-1']['interval'] is None
    assert answer['settings']['assigned_by'] == 'identifier'
    assert '1 of 2 references have no sample and count as not matched.' in answer['notes']
    assert 'Novelty, S.U.N. and MSUN need `--known`.' in answer['notes']


def test_samples_by_request_and_by_formula(table, figures):
    reference = table('known.csv', ({'material_id': 'mp-1'}, SALT), ({'material_id': 'mp-2'}, OXIDE))
    samples = table('samples.csv', ({'request': 1}, OXIDE), ({'request': 0}, SALT))
    found, answer = figures(samples, '--reference', reference, '--no-metre')
    assert found['match-rate-1']['value'] == 1 and 'metre-1' not in found
    assert answer['settings']['assigned_by'] == 'column `request`'
    samples = table('others.csv', ({'x': 1}, OXIDE), ({'x': 2}, CHLORIDE))
    found, answer = figures(samples, '--reference', reference)
    assert found['match-rate-20']['value'] == 0.5
    assert answer['settings']['assigned_by'] == 'reduced formula'
    assert '1 of 2 samples belong to no reference.' in answer['notes']
    assert '1 of 2 references have fewer than 20 samples.' in answer['notes']


def test_samples_that_cannot_be_read_are_invalid(table, run):
    """One with atoms at one place and one that is no CIF, beside a good one."""
    samples = table(
        'samples.csv', ({'name': 'a'}, SALT), ({'name': 'b'}, pair('Na', 'Cl', shift=0.0)), ({'name': 'c'}, '?')
    )
    result = run('evaluate', samples, '--json')
    answer = json.loads(result.stdout)
    assert answer['figures'][0]['name'] == 'structure-validity'
    assert (answer['figures'][0]['numerator'], answer['figures'][0]['denominator']) == (1, 3)
    assert '2 of 3 samples cannot be read and count as invalid.' in answer['notes']
    assert 'samples.csv, c: ' in result.stderr


def test_novelty_and_stability_from_columns(table, figures):
    known = table('known.csv', ({'material_id': 'mp-1'}, SALT))
    samples = table(
        'samples.csv',
        ({'name': 'a', 'e_above_hull': 0.0}, SALT),
        ({'name': 'b', 'e_above_hull': 0.0}, OXIDE),
        ({'name': 'c', 'e_above_hull': 0.04}, CHLORIDE),
        ({'name': 'd', 'e_above_hull': ''}, pair('K', 'Cl')),
    )
    found, answer = figures(samples, '--known', known, '--relaxer', 'CHGNet 0.3.0', '--hull', 'MP 2020')
    assert [found[name]['value'] for name in ('novelty', 'replay', 'substitution', 'sun', 'msun')] == [
        0.75,
        0.25,
        0.75,
        0.25,
        0.25,
    ]
    assert 'hull: MP 2020; relaxer: CHGNet 0.3.0' in found['msun']['definition']
    assert answer['settings']['relaxer'] == 'CHGNet 0.3.0'


def test_stability_from_energies_and_phases(table, figures, tmp_path):
    """MgO at −2.9 eV/atom is 0.1 above the phase at −3.0; CsCl at −2.1 is below everything."""
    phases = tmp_path / 'phases.csv'
    phases.write_text('formula,formation_energy_per_atom\nMgO,-3.0\nCsCl,-2.0\n')
    known = table('known.csv', ({'material_id': 'mp-1'}, SALT))
    samples = table(
        'samples.csv',
        ({'name': 'b', 'formation_energy_per_atom': -2.9}, OXIDE),
        ({'name': 'c', 'formation_energy_per_atom': -2.1}, CHLORIDE),
    )
    found, answer = figures(samples, '--known', known, '--phases', phases)
    assert found['sun']['numerator'] == 1 and found['msun']['numerator'] == 1
    assert answer['settings']['hull'] == str(phases) and answer['settings']['relaxer'] == 'not stated'


def test_stability_on_the_hull_of_the_package(table, figures, run):
    """Both energies are far below the stable phases of these binary systems."""
    known = table('known.csv', ({'material_id': 'mp-1'}, SALT))
    rows = [
        ({'name': 'b', 'formation_energy_per_atom': -9.0, 'level': 'MP2020'}, OXIDE),
        ({'name': 'c', 'formation_energy_per_atom': -9.0, 'level': 'MP2020'}, CHLORIDE),
    ]
    found, answer = figures(table('samples.csv', *rows), '--known', known)
    assert found['sun']['numerator'] == 2
    assert 'MP2020' in answer['settings']['hull'] and 'not stated' not in answer['settings']['hull']
    rows[0][0]['level'] = 'r2SCAN'
    result = run('evaluate', table('samples.csv', *rows), '--known', known, status=1)
    assert "'r2SCAN'" in result.output and '--phases' in result.output


def test_an_abstaining_hull_is_said(table, figures):
    known = table('known.csv', ({'material_id': 'mp-1'}, SALT))
    alloy = pair('Na', 'Mg')
    samples = table('samples.csv', ({'name': 'b', 'formation_energy_per_atom': -9.0}, alloy))
    _, answer = figures(samples, '--known', known)
    assert any('no hull: nothing is known in Mg-Na' in note for note in answer['notes'])
    found, _ = figures(samples, '--known', known, '--min-references', 0)
    assert found['sun']['numerator'] == 1


def test_missing_energies_are_said(table, run):
    known = table('known.csv', ({'material_id': 'mp-1'}, SALT))
    samples = table('samples.csv', ({'name': 'b'}, OXIDE))
    assert 'S.U.N. and MSUN need a column `e_above_hull`' in run('evaluate', samples, '--known', known).stdout


def test_the_table_has_counts_and_definitions(table, run, tmp_path):
    samples = table('samples.csv', ({'name': 'b'}, OXIDE), ({'name': 'c'}, CHLORIDE))
    per_structure = tmp_path / 'per.csv'
    output = run('evaluate', samples, '--reference', samples, '--per-structure', per_structure).stdout
    line = next(line for line in output.splitlines() if line.startswith(' match-rate-1 '))
    assert '1.000' in line and '2 / 2' in line and 'stol 0.5, angle_tol 10, ltol 0.3' in line
    rows = [*csv.DictReader(per_structure.open())]
    assert [(row['name'], row['reference'], row['structure_valid']) for row in rows] == [
        ('b', 'b', 'True'),
        ('c', 'c', 'True'),
    ]
    header, *lines = run('evaluate', samples, '--format', 'csv').stdout.splitlines()
    assert header == 'name,value,numerator,denominator,definition,unit,low,high'
    assert len(lines) == 5


@pytest.mark.parametrize(
    ('rows', 'arguments', 'text'),
    [
        ([({'request': 7}, SALT)], ('--reference', 'SELF'), 'expected the index of a reference from 0 to 0'),
        ([({'name': 'a'}, SALT), ({'name': 'a'}, SALT)], ('--reference', 'SELF'), 'two references are called `a`'),
        ([({'name': 'a'}, SALT)], ('--per-structure', '/no/such/folder/x.csv'), 'cannot be written'),
        ([({'name': 'a', 'e_above_hull': 'low'}, SALT)], ('--known', 'SELF'), 'e_above_hull'),
    ],
)
def test_errors_are_one_line(table, run, rows, arguments, text):
    samples = table('samples.csv', *rows)
    arguments = [samples if argument == 'SELF' else argument for argument in arguments]
    result = run('evaluate', samples, *arguments, status=1)
    assert text in result.output and len(result.stderr.strip().splitlines()) == 1


def test_phases_without_energies_of_the_samples_are_an_error(table, run, tmp_path):
    phases = tmp_path / 'phases.csv'
    phases.write_text('formula,formation_energy_per_atom\nMgO,-3.0\n')
    samples = table('samples.csv', ({'name': 'b'}, OXIDE))
    result = run('evaluate', samples, '--known', samples, '--phases', phases, status=1)
    assert 'has `formation_energy_per_atom`, which the samples lack' in result.output
