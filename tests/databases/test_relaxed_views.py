"""Training sets of structures that were relaxed first: their energies belong to the relaxed geometry."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.common.links import LinkType
from click.testing import CliRunner
from pymatgen.core import Lattice, Structure

from aiida_qagenai.cli import main
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.data.entry import EntryData
from aiida_qagenai.databases.merge.process import select_databases
from aiida_qagenai.databases.sources.importer import import_files
from aiida_qagenai.databases.views import Selection, make_view, select, view_outputs
from aiida_qagenai.queries.relaxations import PROCESS_TYPE


def test_the_relaxed_structure_is_in_the_set(aiida_profile_clean, write_csv, rows, settings):
    import_files([write_csv(rows(2))], [settings(license='CC-BY-NC-4.0')])
    entry = orm.QueryBuilder().append(EntryData, filters={'attributes.identifier': 'mp-0'}).first(flat=True)
    crystal = Structure(Lattice.cubic(2.4), ['Li', 'H'], [[0, 0, 0], [0.5, 0.5, 0.5]])
    relaxed = orm.StructureData(pymatgen=crystal).store()
    relaxation = orm.WorkChainNode()
    relaxation.process_type = PROCESS_TYPE
    relaxation.base.links.add_incoming(entry, LinkType.INPUT_WORK, 'structure')
    relaxation.store()
    relaxed.base.links.add_incoming(relaxation, LinkType.RETURN, 'relaxed')
    energy = EnergyData(
        fidelity='PBE',
        total_energy=-20.0,
        num_atoms=2,
        formation_energy_per_atom=-0.45,
        formation_scheme='mp:elements',
        formula='LiH',
        chemical_system='H-Li',
        converged=True,
        protocol='mp',
        level_tag='mp:PBE',
        scientific=True,
        structure_uuid=relaxed.uuid,
    ).store()
    selection = select(databases=select_databases(['mp/1']))
    assert len(selection.structures) == 3 and relaxed.uuid in selection.structures
    process, _ = make_view(selection)
    dataset = view_outputs(process)[0]
    assert dataset.base.attributes.get('license') == 'CC-BY-NC-4.0'
    only = make_view(Selection([relaxed.uuid], [energy.uuid]))[0]
    assert view_outputs(only)[0].base.attributes.get('license') == 'CC-BY-NC-4.0'
    batch = dataset.labels()
    index = batch.structures.identifiers.tolist().index(relaxed.uuid)
    assert batch.structures.structure(index) == relaxed.get_pymatgen()
    assert batch.energies[index, 0] == -0.45
    assert set(batch.groups.tolist()) == {'LiH'}
    assert len(set(batch.split.tolist())) == 1
    linked = process.base.links.get_incoming(link_type=LinkType.INPUT_CALC).all_nodes()
    assert relaxed.uuid in {node.uuid for node in linked}


def test_splits_that_stay_empty_are_named(aiida_profile_clean, write_csv, rows, settings):
    import_files([write_csv(rows(2))], [settings()])
    result = CliRunner().invoke(main, ['dataset', 'build', '--database', 'mp/1'])
    assert 'nothing is left for validation, calibration, test' in result.output


def test_nothing_named(aiida_profile_clean):
    with pytest.raises(InvalidInputError, match='--database, --merge or --campaign'):
        select()
