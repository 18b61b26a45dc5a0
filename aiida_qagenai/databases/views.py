"""Training sets as views of the graph: which structures, which energies, in which split."""

from __future__ import annotations

import hashlib
import json
import typing as t

import numpy as np
from aiida import orm
from aiida.engine import calcfunction
from numpy.typing import NDArray

from aiida_qagenai.chemistry.classes import material_class
from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.common.level import Level
from aiida_qagenai.data.candidate import CandidateData
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.data.energy import EnergyData, is_doubtful
from aiida_qagenai.data.entry import EntryData
from aiida_qagenai.databases.groups import DatabaseGroup
from aiida_qagenai.databases.merge.process import load_merge
from aiida_qagenai.engine.batch import bulk_inputs
from aiida_qagenai.exchange.dataset import SPLITS, LabelledBatch, check_fractions, stratified_splits
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.queries.campaigns import among, find_campaign
from aiida_qagenai.queries.outputs import created_by, find_finished, nodes_of, outputs_of
from aiida_qagenai.queries.relaxations import relaxed_from, relaxed_to

__all__ = ('FRACTIONS', 'Selection', 'build_view', 'make_view', 'select')

FRACTIONS = (0.8, 0.05, 0.05, 0.1)
"""Shares of train, validation, calibration and test: 80/10/10 of which half the validation is kept for calibration."""


OUR_LICENSE = 'CC-BY-4.0'
"""Licence of what a campaign computed itself."""


class Selection(t.NamedTuple):
    """What a training set is made of, as uuids."""

    structures: list[str]
    energies: list[str]


@bulk_inputs('structures', 'energies')
@calcfunction
def build_view(parameters: orm.Dict, **kwargs: t.Any) -> dict[str, orm.Data]:
    """Pack the structures with energies and distribute them over the splits.

    :param parameters: ``fractions`` of the splits, their ``seed``, ``licenses`` of the relaxed structures, and
        ``level_tags``, which may be several on one rung: of these the last one speaks for it.
    :param kwargs: the namespaces ``structures`` (EntryData, CandidateData, or StructureData relaxed from one) and
        ``energies`` (EnergyData of these).
    :returns: the ``dataset`` and ``report``: counts by class, fidelity and split, and the SHA-256 of the splits.
    :raises InvalidInputError: if energies of two level tags meet at one fidelity that are not both among
        ``level_tags``, or two formation schemes, or an energy has no formation energy or belongs to no given structure.
    """
    options = parameters.get_dict()
    energies = [node.base.attributes.all for node in kwargs['energies'].values()]
    nodes = {node.uuid: node for node in kwargs['structures'].values()}
    levels, scheme = check_levels(energies, options.get('level_tags', ()))
    matrix, composition = _rows(energies, nodes, levels)
    names = {uuid: structure_name(nodes[uuid]) for uuid in matrix}
    order = sorted(matrix, key=names.__getitem__)
    structures = [nodes[uuid] for uuid in order]
    groups = np.array([composition[uuid][0] for uuid in order], dtype=np.str_)
    classes = np.array([material_class(composition[uuid][1].split('-')) for uuid in order])
    split = stratified_splits(groups, classes, fractions=tuple(options['fractions']), seed=options['seed'])
    batch = LabelledBatch(
        structures=pack(structures, [names[uuid] for uuid in order]),
        energies=np.array([matrix[uuid] for uuid in order]),
        levels=levels,
        descriptors=np.full((len(order), NUM_DESCRIPTORS), np.nan),
        groups=groups,
        split=split,
        doubtful=_doubts(energies, order, levels),
    )
    own = [node for node in structures if isinstance(node, EntryData | CandidateData)]
    licenses = {str((node.source or {}).get('license') or OUR_LICENSE) for node in own} | {*options.get('licenses', ())}
    dataset = DatasetData(
        batch,
        level_tags={level.rung.value: level.tag for level in levels},
        formation_scheme=scheme,
        scientific=all(energy['scientific'] for energy in energies),
        license=' AND '.join(sorted(licenses)) or OUR_LICENSE,
    )
    identity = json.dumps([[names[uuid], int(index)] for uuid, index in zip(order, split, strict=True)])
    report = {
        **_counts(batch, classes),
        'split_sha256': hashlib.sha256(identity.encode()).hexdigest(),
        'inputs_sha256': digest(options, Selection(list(nodes), [e.uuid for e in kwargs['energies'].values()])),
    }
    return {'dataset': dataset, 'report': orm.Dict(report)}


def _rows(
    energies: list[dict[str, t.Any]], nodes: t.Collection[str], levels: tuple[Level, ...]
) -> tuple[dict[str, list[float]], dict[str, tuple[str, str]]]:
    """Return the formation energies by level, and the formula and chemical system, of every structure."""
    matrix: dict[str, list[float]] = {}
    composition: dict[str, tuple[str, str]] = {}
    for energy in energies:
        owner = energy['structure_uuid']
        if owner not in nodes:
            raise InvalidInputError(f'an energy of {energy["formula"]} belongs to no structure of the set')
        composition[owner] = energy['formula'], energy['chemical_system']
        row = matrix.setdefault(owner, [np.nan] * len(levels))
        place = levels.index(level_of(energy))
        if np.isfinite(row[place]) and abs(row[place] - energy['formation_energy_per_atom']) > 1e-3:
            message = f'two energies of {energy["formula"]} at {energy["level_tag"]} differ by more than 1 meV/atom'
            raise InvalidInputError(message)
        row[place] = energy['formation_energy_per_atom']
    return matrix, composition


def _doubts(energies: list[dict[str, t.Any]], order: list[str], levels: tuple[Level, ...]) -> NDArray[np.bool_]:
    """Return which energies should not teach a model, shape (n, L)."""
    rows = {uuid: row for row, uuid in enumerate(order)}
    doubtful = np.zeros((len(order), len(levels)), dtype=np.bool_)
    for energy in energies:
        doubtful[rows[energy['structure_uuid']], levels.index(level_of(energy))] |= is_doubtful(energy)
    return doubtful


def _counts(batch: LabelledBatch, classes: NDArray[t.Any]) -> dict[str, t.Any]:
    """Return how many structures each split, class and fidelity has, and how many formulas there are."""

    def by_split(members: NDArray[np.bool_]) -> dict[str, int]:
        return {name: int((members & (batch.split == index)).sum()) for index, name in enumerate(SPLITS)}

    known = np.isfinite(batch.energies)
    return {
        'splits': by_split(np.full(len(batch), True)),
        'classes': {str(name): by_split(classes == name) for name in sorted(set(classes.tolist()))},
        'fidelities': {
            rung.value: by_split(np.any(known[:, [level.rung is rung for level in batch.levels]], axis=1))
            for rung in LADDER
        },
        'groups': len(set(batch.groups.tolist())),
    }


def level_of(energy: t.Mapping[str, t.Any]) -> Level:
    """Return the level of theory of an energy with these attributes."""
    return Level(energy['level_tag'], Fidelity(energy['fidelity']))


def check_levels(
    energies: list[dict[str, t.Any]], chosen: t.Sequence[str] = ()
) -> tuple[tuple[Level, ...], str | None]:
    """Return the levels of theory, lowest rung first, and the formation scheme.

    :param chosen: tags that may share a rung; the later speaks for it.
    :raises InvalidInputError: if what must be equal differs, or there is nothing.
    """
    levels: dict[Level, None] = {}
    schemes: dict[str, None] = {}
    for energy in energies:
        if energy['formation_energy_per_atom'] is None:
            message = f'an energy of {energy["formula"]} at {energy["level_tag"]} has no formation energy'
            raise InvalidInputError(message)
        levels.setdefault(level_of(energy))
        schemes.setdefault(energy['formation_scheme'])
    if not levels:
        raise InvalidInputError('none of the structures has an energy')
    for rung in LADDER:
        tags = [level.tag for level in levels if level.rung is rung]
        if len(tags) > 1 and not set(tags) <= set(chosen):
            message = (
                f'energies at {rung.value} are of two levels of theory, `{tags[0]}` and `{tags[1]}`: never mix them; '
                f'choose one with --level-tag, or name both to keep them apart, of which the last speaks for the rung'
            )
            raise InvalidInputError(message)
    if len(schemes) > 1:
        first, second = list(schemes)[:2]
        raise InvalidInputError(f'formation energies of two schemes, `{first}` and `{second}`: never mix them')
    order = {tag: index for index, tag in enumerate(chosen)}
    ordered = sorted(levels, key=lambda level: (level.rung.rank, order.get(level.tag, -1)))
    return tuple(ordered), next(iter(schemes))


def pack(nodes: list[t.Any], names: list[str]) -> StructureBatch:
    """Return structures as packed arrays, straight from the attributes."""
    from aiida_qagenai.chemistry.elements import ATOMIC_NUMBERS

    cells = np.array([node.base.attributes.get('cell') for node in nodes], dtype=np.float64).reshape(-1, 3, 3)
    species: list[int] = []
    fractional = []
    sizes = []
    for node, cell in zip(nodes, cells, strict=True):
        symbols = {kind['name']: kind['symbols'][0] for kind in node.base.attributes.get('kinds')}
        sites = node.base.attributes.get('sites')
        sizes.append(len(sites))
        species.extend(ATOMIC_NUMBERS[symbols[site['kind_name']]] for site in sites)
        fractional.append(np.linalg.solve(cell.T, np.array([site['position'] for site in sites]).T).T)
    return StructureBatch(
        num_atoms=np.array(sizes, dtype=np.int64),
        cells=cells,
        species=np.array(species, dtype=np.int64),
        fractional=np.concatenate(fractional) if fractional else np.zeros((0, 3)),
        identifiers=np.array(names, dtype=np.str_),
    )


def structure_name(node: t.Any) -> str:
    """Return the name of a structure within a set: of the campaign; database, version and identifier; or the uuid."""
    if isinstance(node, CandidateData):
        return node.name
    if not isinstance(node, EntryData):
        return str(node.uuid)
    return '/'.join(str(node.base.attributes.get(name)) for name in ('database', 'version', 'identifier'))


def select(
    *,
    databases: t.Sequence[DatabaseGroup] = (),
    merge: orm.ProcessNode | None = None,
    campaign: int | str | None = None,
    level_tags: t.Sequence[str] = (),
    fidelities: t.Sequence[Fidelity] = (),
) -> Selection:
    """Return the structures and energies of databases, of the materials of a merge, or of a campaign.

    What they were relaxed to at PBE counts as a structure of its own, with the energies at its geometry.

    :param merge: only the representatives of its materials.
    :param level_tags: only energies with one of these.
    :param fidelities: only energies of these.
    :raises InvalidInputError: if nothing is named, or there is none.
    """
    structures: list[str] = []
    for group in databases:
        builder = orm.QueryBuilder().append(DatabaseGroup, filters={'id': group.pk}, tag='group')
        structures += builder.append(EntryData, with_group='group', project='uuid', subclassing=False).all(flat=True)
    if merge is not None:
        structures += [material.representative.uuid for material in load_merge(merge)[0]]
    if campaign is not None:
        calculations = [process.pk for process in find_campaign(campaign).called() if process.is_calculation]
        structures += created_by(calculations, CandidateData, 'uuid').all(flat=True)
    if not structures:
        raise InvalidInputError('no structures: name them with --database, --merge or --campaign')
    wanted = set(structures)
    wanted |= {relaxed for relaxed, initial in relaxed_from(structures).items() if initial in wanted}
    filters: dict[str, t.Any] = {'attributes.converged': True}
    if level_tags:
        filters['attributes.level_tag'] = {'in': list(level_tags)}
    if fidelities:
        filters['attributes.fidelity'] = {'in': [level.value for level in fidelities]}
    names = ['uuid', 'attributes.structure_uuid', 'attributes.formation_energy_per_atom']
    builder = nodes_of(EnergyData, names, filters)
    found = [(uuid, owner) for uuid, owner, energy in builder.iterall() if owner in wanted and energy is not None]
    if not found:
        raise InvalidInputError(f'none of the {len(wanted)} structures has one of the requested formation energies')
    return Selection(sorted({owner for _, owner in found}), sorted(uuid for uuid, _ in found))


def make_view(
    selection: Selection,
    *,
    fractions: tuple[float, ...] = FRACTIONS,
    seed: int = 0,
    level_tags: t.Sequence[str] = (),
) -> tuple[orm.ProcessNode, bool]:
    """Build the training set of a selection and return the process, and whether it is one that ran before.

    :param level_tags: those that may share a rung, as levels of their own; the later speaks for it.
    :raises InvalidInputError: for wrong fractions, or energies that must not meet.
    """
    check_fractions(fractions)
    options: dict[str, t.Any] = {'fractions': list(fractions), 'seed': seed}
    licenses = _licenses_before_relaxation(selection.structures)
    if licenses:
        options['licenses'] = licenses
    if len(level_tags) > 1:
        options['level_tags'] = list(level_tags)
    done = find_finished('build_view', digest(options, selection))
    if done is not None:
        return done, True
    structures, energies = (_load(uuids) for uuids in selection)
    check_levels([node.base.attributes.all for node in energies], level_tags)
    _, process = build_view.run_get_node(
        orm.Dict(options),
        structures={f's{index:07d}': node for index, node in enumerate(structures)},
        energies={f'e{index:07d}': node for index, node in enumerate(energies)},
    )
    return process, False


def _licenses_before_relaxation(structures: list[str]) -> list[str]:
    """Return the licences of the entries that structures were relaxed from; those themselves hold none."""
    wanted = set(structures)
    origins = {initial for relaxed, initial in relaxed_to(structures).items() if relaxed in wanted}
    builder = nodes_of(EntryData, 'attributes.source.license', among('uuid', sorted(origins)))
    return sorted(set(builder.all(flat=True)) - {None, ''})


def view_outputs(process: orm.ProcessNode) -> tuple[DatasetData, dict[str, t.Any]]:
    """Return the training set and the report of a process."""
    outputs = outputs_of(process.pk)
    return outputs['dataset'], outputs['report'].get_dict()


def digest(options: dict[str, t.Any], selection: Selection) -> str:
    """Return the SHA-256 of what a training set depends on."""
    content = [options, sorted(selection.structures), sorted(selection.energies)]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def class_counts(report: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    """Return one row per class with the number of structures in each split."""
    return [{'class': name, **counts, 'all': sum(counts.values())} for name, counts in report['classes'].items()]


def _load(uuids: list[str]) -> list[t.Any]:
    nodes: dict[str, t.Any] = {}
    for start in range(0, len(uuids), 5000):
        builder = orm.QueryBuilder().append(
            orm.Data, filters={'uuid': {'in': uuids[start : start + 5000]}}, project='*'
        )
        nodes.update({node.uuid: node for (node,) in builder.iterall()})
    return [nodes[uuid] for uuid in uuids]
