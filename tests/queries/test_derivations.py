"""Energies are derived again: one that its function would not give today is found."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.common.links import LinkType

from aiida_qagenai.calculations.functions.counterpoise import average_atoms
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.queries.derivations import wrong_energies
from aiida_qagenai.queries.integrity import check_integrity

PATH = 'aiida_qagenai.calculations.functions.counterpoise.average_atoms'


@pytest.fixture
def atoms(aiida_profile_clean):
    """Return two energies of a hydrogen atom, with the functions of two neighbourhoods."""
    cell = orm.StructureData(pbc=(False, False, False))
    cell.append_atom(position=(0.0, 0.0, 0.0), symbols='H')
    return {f'site{index}': make_energy(cell, -13.5 - 0.1 * index) for index in range(2)}


def make_energy(structure: orm.StructureData, total: float) -> EnergyData:
    """Return an energy of an atom."""
    structure = structure if structure.is_stored else structure.store()
    return EnergyData(
        fidelity='PBE', level_tag='fast:gth-dzvp:0', protocol='fast', scientific=True, converged=True, formula='H',
        chemical_system='H', num_atoms=1, structure_uuid=structure.uuid, total_energy=total, energy_per_atom=total,
    ).store()  # fmt: skip


def made_by(path: str, inputs: dict[str, orm.Data], output: EnergyData) -> EnergyData:
    """Store an energy as the output of a function that was never called."""
    process = orm.CalcFunctionNode(process_type=path)
    for label, node in inputs.items():
        process.base.links.add_incoming(node, LinkType.INPUT_CALC, label)
    process.store()
    output.base.links.add_incoming(process, LinkType.CREATE, 'result')
    return output.store()


def test_what_a_function_made_is_derived(atoms):
    average_atoms(orm.Dict({'site0': 1, 'site1': 3}), **atoms)
    assert wrong_energies() == (1, [])
    assert check_integrity(hashes=False, energies=True).checked['energies'] == 1


def test_an_energy_that_was_changed_is_found(atoms):
    counts = orm.Dict({'site0': 1, 'site1': 3})
    right = average_atoms(counts, **atoms)
    wrong = right.clone()
    wrong.base.attributes.set_many(dict.fromkeys(('total_energy', 'energy_per_atom'), right.total_energy + 1e-6))
    made_by(PATH, {'counts': counts.store(), **atoms}, wrong)
    count, faults = wrong_energies()
    assert count == 2
    assert [pk for pk, _ in faults] == [wrong.pk]
    assert 'total_energy -13.574999 is now -13.575' in faults[0][1]


@pytest.mark.parametrize(
    ('path', 'message'),
    [
        ('aiida_qagenai.calculations.functions.forgotten.make', 'this release has no `aiida_qagenai'),
        ('aiida_qagenai.calculations.functions.counterpoise.forgotten', 'this release has no `aiida_qagenai'),
        (PATH, 'of this release fails: '),
    ],
)
def test_what_cannot_be_derived_is_said(atoms, path, message):
    inputs = {'counts': orm.Dict({}).store()} if path == PATH else atoms
    output = made_by(path, inputs, atoms['site0'].clone())
    ((pk, text),) = wrong_energies()[1]
    assert pk == output.pk and message in text


def test_functions_of_other_packages_are_never_called(atoms):
    made_by('os.path.join', atoms, atoms['site0'].clone())
    assert wrong_energies() == (0, [])
