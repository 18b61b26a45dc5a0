"""Validation of ordered crystals through the engine, and what is refused before anything runs."""

from __future__ import annotations

import pytest
from aiida.engine import run_get_node
from pymatgen.core import Lattice, Structure

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.masks import SiteMask
from aiida_qagenai.queries.integrity import check_integrity
from aiida_qagenai.workchains.recomputation import Recomputation
from aiida_qagenai.workchains.validation import ValidationWorkChain

ROCK_SALT_SITES = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0.5, 0.5], [0, 0, 0.5]]
SIX = 'coordination(Mg,O)=6'


def rock_salt(edge: float) -> Structure:
    crystal = Structure.from_spacegroup('Fm-3m', Lattice.cubic(edge), ['Mg', 'O'], [[0, 0, 0], [0.5] * 3])
    return crystal.get_primitive_structure()


def zinc_blende() -> Structure:
    crystal = Structure.from_spacegroup('F-43m', Lattice.cubic(4.7), ['Mg', 'O'], [[0, 0, 0], [0.25] * 3])
    return crystal.get_primitive_structure()


def lithium_hydride(edge: float, group: str, place: float) -> Structure:
    crystal = Structure.from_spacegroup(group, Lattice.cubic(edge), ['Li', 'H'], [[0, 0, 0], [place] * 3])
    return crystal.get_primitive_structure()


def dense() -> Structure:
    return Structure(Lattice.cubic(1.9), ['Mg', 'O'], [[0, 0, 0], [0.5] * 3])


@pytest.mark.slow
def test_from_ordered_crystals_to_a_front(ml_code, run, tmp_path):
    """Six-fold stays, its copy is found, four-fold stays four-fold, and atoms that are too close are left out."""
    shaken = rock_salt(4.28)
    shaken.perturb(0.02)
    structures = [rock_salt(4.25), shaken, zinc_blende(), dense()]
    builder = ValidationWorkChain.get_builder_from_protocol(ml_code, structures, [SIX])
    _, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    content = node.outputs.verdicts.get_dict()
    first, second, third, fourth = content['verdicts']
    kept, copy = (second, first) if first['duplicate_of'] else (first, second)
    assert copy['duplicate_of'] == kept['name']
    assert (kept['satisfied'], kept['complete'], kept['on_front']) == (True, True, True)
    assert third['satisfied'] is False and third['e_above_hull'] > 0.05 and third['e_above_hull_error'] == 0.025
    assert 'minimum distance' in fourth['reason'] and fourth['e_above_hull'] is None
    assert content['summary']['distinct'] == 2 and 'DFT of 541 known crystals' in content['potential_error']
    assert not check_integrity().faults
    output = run('validation', 'show', str(node.pk), '--plot', str(tmp_path / 'front.svg')).output
    assert f'± {third["e_above_hull_error"]:.3f}' in output and 'nothing here was computed by DFT' in output
    assert 'aiida-qagenai energy run' in output and (tmp_path / 'front.svg').exists()


@pytest.mark.slow
def test_the_front_is_computed_by_dft(ml_code, pyscf_code, run):
    """PySCF computes the one on the front, and its isolated atoms; the other lies behind it."""
    dft = Recomputation(pyscf_code, protocol='pipeline')
    structures = [lithium_hydride(4.0, 'Fm-3m', 0.5), lithium_hydride(4.6, 'F-43m', 0.25)]
    builder = ValidationWorkChain.get_builder_from_protocol(ml_code, structures, ['min_distance(Li,H)>=1.5'], dft=dft)
    _, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    (name,) = node.outputs.energies
    row = next(row for row, each in enumerate(node.outputs.verdicts['verdicts']) if each['on_front'])
    assert name == f'c{row:05d}pbe' and node.outputs.energies[name].base.attributes.get('fidelity') == 'PBE'
    energy = node.outputs.energies[name].base.attributes.get('formation_energy_per_atom')
    (ladder,) = (child for child in node.called if child.process_label == 'LadderWorkChain')
    assert energy is not None and ladder.inputs.structures[name.removesuffix('pbe')].base.attributes.get('index') == row
    output = run('validation', 'show', str(node.pk)).output
    assert 'DFT: formation energies of 1, eV/atom; those of the potential differ by' in output
    assert 'to compute the front by DFT' not in output


def test_energies_are_computed_only_where_a_code_is_given(ml_code, pyscf_code):
    """Its settings are inputs, complete; without them there is no stage of DFT."""
    order = ['min_distance>=1']
    plain = ValidationWorkChain.get_builder_from_protocol(ml_code, [rock_salt(4.2)], order)
    assert 'code' not in plain.dft
    dft = Recomputation(pyscf_code, overrides={'scf': {'max_cycle': 41}})
    builder = ValidationWorkChain.get_builder_from_protocol(ml_code, [rock_salt(4.2)], order, dft=dft)
    assert builder.dft.code.label == 'pyscf' and builder.dft.settings['scf']['max_cycle'] == 41


@pytest.mark.slow
def test_a_mask_is_judged_by_how_far_its_atoms_move(ml_code, run):
    """Magnesium stays on its square net; the cell of the other crystal is strained, and relaxes into its shape."""
    crystal = Structure(Lattice.tetragonal(2.98, 4.21), ['Mg', 'O', 'Mg', 'O'], ROCK_SALT_SITES)
    strained = Structure(Lattice.orthorhombic(2.6, 3.4, 4.21), crystal.species, ROCK_SALT_SITES)
    mask = SiteMask.of_text('square(Mg)=2.98')
    builder = ValidationWorkChain.get_builder_from_protocol(ml_code, [crystal, strained], mask=mask)
    _, node = run_get_node(builder)
    assert node.is_finished_ok, node.exit_message
    first, second = node.outputs.verdicts['verdicts']
    assert first['satisfied_before'] and first['satisfied'] and first['values'][0] < 0.1
    assert not second['satisfied_before'] and second['loss_before'] > second['loss']
    assert 'constraints: 1 Mg held' in run('validation', 'show', str(node.pk)).output


def test_nothing_sound_ends_before_the_relaxation(ml_code, run):
    _, node = run_get_node(ValidationWorkChain.get_builder_from_protocol(ml_code, [dense()], [SIX]))
    assert node.exit_status == 510 and '1.900' in node.exit_message
    assert (
        'has no verdicts: No crystal has proper distances' in run('validation', 'show', str(node.pk), status=1).output
    )


@pytest.mark.parametrize(
    ('constraints', 'options', 'message'),
    [
        (['coordination(Mg,O)=six'], {}, '^constraint `coordination'),
        (['coordination(Si,O)=6'], {}, 'needs Si, but the set of crystals has only Mg, O'),
        ([], {}, 'one constraint or more'),
        ([], {'mask': SiteMask.of_text('kagome(Mg)')}, 'crystal 1, MgO, does not begin with these atoms'),
        ([SIX], {'potential': 'sevennet'}, 'have no place on the hull of the package'),
        ([SIX], {'overrides': {'limits': 0.2}}, 'limits'),
    ],
)
def test_what_cannot_be_validated_is_refused(ml_code, constraints, options, message):
    with pytest.raises(InvalidInputError, match=message):
        ValidationWorkChain.get_builder_from_protocol(ml_code, [rock_salt(4.2)], constraints, **options)
