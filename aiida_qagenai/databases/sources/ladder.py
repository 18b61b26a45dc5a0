"""The ladder that comes with the package as nodes: crystals and energies, one version of a database."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing as t
from pathlib import Path

from aiida import orm
from aiida.engine import calcfunction
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.data.entry import EntryData
from aiida_qagenai.databases.groups import find_database, open_database
from aiida_qagenai.databases.sources.settings import ImportSettings, make_settings
from aiida_qagenai.engine.rows import fill_group
from aiida_qagenai.thermodynamics.ladder.records import DATA, Ladder, LadderCrystal, load_ladder

__all__ = ('DATABASE', 'Installed', 'install_ladder', 'store_ladder')

DATABASE = 'ladder'


@dataclasses.dataclass(frozen=True)
class Installed:
    """What was installed.

    :param label: database and version.
    :param repeated: whether it was there before.
    """

    label: str
    entries: int
    energies: int
    pk: int
    repeated: bool


@calcfunction
def store_ladder(file: orm.SinglefileData, settings: orm.Dict) -> dict[str, t.Any]:
    """Return the crystals of a ladder as ``entries`` and their energies as ``energies``, by label.

    :param file: the data of the package.
    :param settings: fields of :class:`~aiida_qagenai.databases.sources.settings.ImportSettings`.
    """
    origin = ImportSettings(**settings.get_dict())
    ladder = Ladder.from_dict(json.loads(file.get_content()))
    entries: dict[str, EntryData] = {}
    energies: dict[str, EnergyData] = {}
    for index, (name, crystal) in enumerate(ladder.crystals.items()):
        label = f'e{index:03d}'
        entries[label] = make_entry(name, crystal, origin)
        for level, values in crystal.energies.items():
            energies[f'{label}{level.label}'] = make_energy(level, values, entries[label])
    return {'entries': entries, 'energies': energies}


# The energies name their structures, and all belong to one version of a database: nothing may come from the cache.
store_ladder.is_valid_cache = lambda node: False


def make_entry(name: str, crystal: LadderCrystal, origin: ImportSettings) -> EntryData:
    """Return a crystal as a node, with what belongs to no energy among its properties."""
    structure = Structure(Lattice(crystal.cell), crystal.symbols, crystal.positions, coords_are_cartesian=True)
    names = {'kind', 'compound_class', 'lattice', 'of', 'volume', 'cohesive', 'failures', 'calculations'}
    return EntryData(
        cell=crystal.cell,
        symbols=crystal.symbols,
        positions=crystal.positions,
        identifier=name,
        space_group_number=SpacegroupAnalyzer(structure).get_space_group_number(),
        experimental=False,
        sha256=hashlib.sha256(json.dumps(crystal.dump(), sort_keys=True).encode()).hexdigest(),
        properties=crystal.model_dump(mode='json', include=names),
        **origin.model_dump(include={'database', 'version', 'license', 'url'}),
    )


def make_energy(level: Fidelity, values: dict[str, t.Any], entry: EntryData) -> EnergyData:
    """Return an energy as a node."""
    return EnergyData(**{**values, 'fidelity': level}, structure_uuid=entry.uuid, source=entry.source)


def install_ladder(path: Path = DATA) -> Installed:
    """Store the ladder of a file, by default that of the package, as a version of the database ``ladder``.

    The version is the beginning of its checksum: data that have grown are another version. Installing the same again
    adds nothing.

    :raises CorruptFileError: if the file is not what its card says.
    """
    ladder, card = load_ladder(path), json.loads(path.with_name('card.json').read_text(encoding='utf-8'))
    digest = card['sha256'][path.name]
    settings = make_settings(database=DATABASE, version=digest[:8], license=card['license'], format='json')
    counts = len(ladder.crystals), sum(len(crystal.energies) for crystal in ladder.crystals.values())
    group = find_database(DATABASE, settings.version)
    known = None if group is None else group.base.extras.get('files').get(digest)
    if known is not None:
        return Installed(f'{DATABASE}/{settings.version}', *counts, int(orm.load_node(known).pk or 0), repeated=True)
    group = open_database(settings)
    node = orm.SinglefileData(path.absolute(), filename=path.name)
    outputs, process = store_ladder.run_get_node(node, orm.Dict(settings.model_dump(mode='json')))
    stored = [node for nodes in (outputs.get('entries', {}), outputs.get('energies', {})) for node in nodes.values()]
    fill_group(group, [node.pk for node in stored])
    group.base.extras.set_many({'files': {digest: process.uuid}, 'complete': True})
    return Installed(f'{DATABASE}/{settings.version}', *counts, process.pk, repeated=False)
