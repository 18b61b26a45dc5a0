"""The structures of the graph, and what is known of them, as resources of OPTIMADE."""

from __future__ import annotations

import concurrent.futures
import datetime
import math
import typing as t
from collections import Counter
from functools import reduce

from aiida import orm

from aiida_qagenai.chemistry.formula import reduced_formula
from aiida_qagenai.common.fidelity import LADDER
from aiida_qagenai.data.assessment import AssessmentData
from aiida_qagenai.data.candidate import CandidateData
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.data.entry import EntryData
from aiida_qagenai.data.prediction import PredictionData
from aiida_qagenai.engine.profile import read_latest
from aiida_qagenai.queries.energies import structure_names
from aiida_qagenai.queries.outputs import nodes_of
from aiida_qagenai.queries.relaxations import relaxed_to
from aiida_qagenai.queries.tables import uuid_filter

__all__ = ('FIELDS', 'GraphResources')

_ENERGY = {'type': 'float', 'unit': 'eV'}

_PREDICTED = [
    *(
        field
        for level in LADDER
        for field in (
            {
                'name': f'predicted_formation_energy_per_atom_{level.label}',
                **_ENERGY,
                'description': f'Formation energy per atom at {level.value} that the validator predicts',
            },
            {
                'name': f'sigma_{level.label}',
                **_ENERGY,
                'description': f'Calibrated standard deviation of the predicted energy at {level.value}',
            },
        )
    ),
    {'name': 'divergence', **_ENERGY, 'description': 'Predicted abs(E(PBE) − E(top rung)) per atom'},
    {'name': 'divergence_sigma', **_ENERGY, 'description': 'Calibrated standard deviation of the divergence'},
    {'name': 'top_fidelity', 'type': 'string', 'description': 'Rung that the divergence refers to'},
    {
        'name': 'out_of_distribution',
        'type': 'boolean',
        'description': 'Whether it is unlike all that the validator was trained on',
    },
]
"""Of the latest prediction of a candidate."""

_ASSESSED = [
    {'name': 'e_above_hull', **_ENERGY, 'description': 'Distance to the predicted hull per atom'},
    {'name': 'hull_fidelity', 'type': 'string', 'description': 'Level of theory of that hull'},
    {'name': 'stability', 'type': 'string', 'description': 'Class of the distance'},
    {'name': 'passed_constraints', 'type': 'boolean', 'description': 'Whether no physical constraint failed'},
    {'name': 'known_as', 'type': 'string', 'description': 'Identifier of the known crystal that it equals'},
    {'name': 'score', 'type': 'float', 'description': 'Score of the selection, scaled to the pool'},
    {'name': 'selected', 'type': 'boolean', 'description': 'Whether it was chosen for the calculations'},
    {'name': 'audit', 'type': 'boolean', 'description': 'Whether it was drawn at random as a control'},
]
"""Of the latest assessment of a candidate."""

_PROPOSED = [
    {
        'name': 'cycle',
        'type': 'integer',
        'description': 'Cycle of its campaign that proposed it, 0 for the initial set',
    },
    {'name': 'origin', 'type': 'string', 'description': 'Source: the generator, a known crystal or a prototype'},
    {'name': 'motif', 'type': 'string', 'description': 'Identifier of the known crystal that it began as'},
    {
        'name': 'relation',
        'type': 'string',
        'description': 'To the known crystals: replay, substitution or novel framework',
    },
    {'name': 'relaxed_from', 'type': 'string', 'description': 'Identifier (uuid) of the unrelaxed candidate'},
]
"""Attributes of a candidate."""

FIELDS: list[dict[str, str]] = [
    {
        'name': 'kind',
        'type': 'string',
        'description': 'entry (of a database), candidate (of a campaign), relaxed (from one of them), or structure',
    },
    {
        'name': 'name',
        'type': 'string',
        'description': 'Identifier in the database or name within the campaign, also for structures relaxed from it',
    },
    {'name': 'database', 'type': 'string', 'description': 'Database it comes from'},
    {'name': 'database_version', 'type': 'string', 'description': 'Version of that database'},
    {'name': 'license', 'type': 'string', 'description': 'Licence of the data'},
    {'name': 'experimental', 'type': 'boolean', 'description': 'Whether the structure was measured'},
    {'name': 'space_group', 'type': 'integer', 'description': 'Space group at 0.1 Å'},
    {'name': 'protocol', 'type': 'string', 'description': 'Protocol of the energies'},
    {'name': 'scientific', 'type': 'boolean', 'description': 'Whether the energies may be used as results'},
    *(
        {'name': f'{name}_{level.label}', **kind, 'description': f'{description} at {level.value}{remark}'}
        for name, kind, description, remark in (
            ('formation_energy_per_atom', _ENERGY, 'Formation energy per atom', ''),
            ('total_energy', _ENERGY, 'Total energy of the cell', ''),
            ('level_tag', {'type': 'string'}, 'Level of theory of the energies', ': never compare different ones'),
        )
        for level in LADDER
    ),
    *_PROPOSED,
    *_PREDICTED,
    *_ASSESSED,
]
"""Fields served in addition to the standard, as ``_qagenai_<name>``."""


class GraphResources:
    """The structures of the loaded profile as resources of OPTIMADE, read in one thread of its own.

    They are entries, candidates, and every other crystal with an energy: relaxed structures and structures of users.
    """

    def __init__(self) -> None:
        # One thread, because a connection to SQLite belongs to the thread that made it.
        self._reader = concurrent.futures.ThreadPoolExecutor(1)
        self._seen: dict[type[orm.Data], tuple[int, int]] = {}

    def new(self) -> tuple[list[dict[str, t.Any]], bool]:
        """Return the structures that are new, or of which more is known, since the last call; and whether it is all."""
        return self._reader.submit(self._new).result()

    def _new(self) -> tuple[list[dict[str, t.Any]], bool]:
        read_latest()
        anew = not self._seen
        changed = self._changed()
        if changed is None:
            self._seen = {}
            anew, changed = True, self._changed()
        return _resources(changed or set()), anew

    def _changed(self) -> set[str] | None:
        """Return the structures that are new or of which more is known, or ``None`` if nodes were deleted meanwhile."""
        changed: set[str] = set()
        for cls, owner in (
            (EntryData, 'uuid'),
            (CandidateData, 'uuid'),
            (EnergyData, 'attributes.structure_uuid'),
            (PredictionData, 'attributes.candidate_uuid'),
            (AssessmentData, 'attributes.candidate_uuid'),
        ):
            last, count = self._seen.get(cls, (0, 0))
            rows = nodes_of(cls, ['id', owner], {'id': {'>': last}}).all()
            # Also where a long transaction ended, whose nodes have smaller pks.
            if nodes_of(cls, 'id').count() != count + len(rows):
                return None
            self._seen[cls] = max([last, *(pk for pk, _ in rows)]), count + len(rows)
            changed.update(name for _, name in rows)
        return changed


class _Structure(t.NamedTuple):
    """What is read of a structure."""

    pk: int
    uuid: str
    changed: datetime.datetime
    attributes: dict[str, t.Any]
    kind: str


def _resources(wanted: set[str]) -> list[dict[str, t.Any]]:
    """Return structures as resources in the order of their pks, so that pages keep their order when more are added."""
    found = [*_read(EntryData, wanted, 'entry'), *_read(CandidateData, wanted, 'candidate')]
    others = wanted - {structure.uuid for structure in found}
    crystals = [item for item in _read(orm.StructureData, others, 'structure') if _is_periodic(item.attributes)]
    origins = relaxed_to([item.uuid for item in crystals])
    found += [item._replace(kind='relaxed') if item.uuid in origins else item for item in crystals]
    uuids = [item.uuid for item in found]
    judged = [item.uuid for item in found if 'cycle' in item.attributes]
    parts = (_energies(uuids), _latest(PredictionData, _PREDICTED, judged), _latest(AssessmentData, _ASSESSED, judged))
    names = structure_names([*(item.uuid for item in found), *origins.values()])
    return [
        make_resource(item, names.get(origins.get(item.uuid, item.uuid)), _joined(item.uuid, parts))
        for item in sorted(found)
    ]


def _read(cls: type[orm.Data], wanted: set[str], kind: str) -> list[_Structure]:
    if not wanted:
        return []
    builder = nodes_of(cls, ['id', 'uuid', 'mtime', 'attributes'], uuid_filter('uuid', list(wanted)))
    rows = (
        _Structure(pk, uuid, changed, attributes, 'relaxed' if attributes.get('relaxed_from') else kind)
        for pk, uuid, changed, attributes in builder.iterall()
    )
    return [structure for structure in rows if structure.uuid in wanted]


def _is_periodic(attributes: dict[str, t.Any]) -> bool:
    return all(attributes[f'pbc{axis}'] for axis in (1, 2, 3))


def _joined(uuid: str, parts: t.Iterable[dict[str, dict[str, t.Any]]]) -> dict[str, t.Any]:
    return {name: value for part in parts for name, value in part.get(uuid, {}).items()}


def make_resource(structure: _Structure, name: str | None, known: dict[str, t.Any]) -> dict[str, t.Any]:
    """Return a structure as a resource of OPTIMADE, flat as its collections keep it.

    :param known: values of :data:`FIELDS`, of its energies, its prediction and its assessment.
    """
    attributes = structure.attributes
    symbols = [site['kind_name'] for site in attributes['sites']]
    kinds = {kind['name']: kind['symbols'][0] for kind in attributes['kinds']}
    counts = Counter(kinds[symbol] for symbol in symbols)
    elements = sorted(counts)
    divisor = reduce(math.gcd, counts.values())
    amounts = {element: counts[element] // divisor for element in elements}
    return {
        'id': structure.uuid,
        'type': 'structures',
        'immutable_id': structure.uuid,
        # Whole seconds, which is all that queries for a time can have.
        'last_modified': structure.changed.replace(microsecond=0),
        'elements': elements,
        'nelements': len(elements),
        'elements_ratios': [counts[element] / len(symbols) for element in elements],
        'chemical_formula_descriptive': reduced_formula(counts),
        'chemical_formula_reduced': _formula(amounts, elements),
        'chemical_formula_hill': _formula(counts, _hill_order(elements)),
        'chemical_formula_anonymous': _anonymous(sorted(amounts.values(), reverse=True)),
        'dimension_types': [1, 1, 1],
        'nperiodic_dimensions': 3,
        'lattice_vectors': attributes['cell'],
        'cartesian_site_positions': [site['position'] for site in attributes['sites']],
        'nsites': len(symbols),
        'species': [
            {'name': kind, 'chemical_symbols': [symbol], 'concentration': [1.0]} for kind, symbol in kinds.items()
        ],
        'species_at_sites': symbols,
        'structure_features': [],
        **{field['name']: None for field in FIELDS},
        'kind': structure.kind,
        'name': name,
        'database': attributes.get('database'),
        'database_version': attributes.get('version'),
        'license': (attributes.get('source') or {}).get('license'),
        'experimental': attributes.get('experimental'),
        'space_group': attributes.get('space_group_number') or None,
        **{field['name']: attributes.get(field['name']) for field in _PROPOSED},
        **known,
    }


def _formula(amounts: t.Mapping[str, int], order: list[str]) -> str:
    return ''.join(f'{name}{amounts[name] if amounts[name] > 1 else ""}' for name in order)


def _hill_order(names: list[str]) -> list[str]:
    """Return carbon first, then hydrogen, then the rest, where there is carbon."""
    return sorted(names, key=lambda name: ({'C': 0, 'H': 1}.get(name, 2) if 'C' in names else 2, name))


def _anonymous(amounts: list[int]) -> str:
    letters = [chr(65 + index % 26) + (chr(96 + index // 26) if index >= 26 else '') for index in range(len(amounts))]
    return ''.join(f'{letter}{amount if amount > 1 else ""}' for letter, amount in zip(letters, amounts, strict=True))


def _latest(cls: type[orm.Data], fields: list[dict[str, str]], uuids: list[str]) -> dict[str, dict[str, t.Any]]:
    """Return candidate → values of ``fields`` of its latest prediction or assessment, by time."""
    if not uuids:
        return {}
    names = [field['name'] for field in fields]
    attributes = [name.replace('predicted_formation_energy_per_atom', 'energy') for name in names]
    builder = orm.QueryBuilder().append(
        cls,
        filters=uuid_filter('attributes.candidate_uuid', uuids),
        project=['attributes.candidate_uuid', *(f'attributes.{name}' for name in attributes)],
        subclassing=False,
        tag='node',
    )
    builder.order_by({'node': 'ctime'})
    return {uuid: dict(zip(names, values, strict=True)) for uuid, *values in builder.iterall()}


def _energies(uuids: list[str]) -> dict[str, dict[str, t.Any]]:
    """Return structure → its converged energies, of one protocol: the scientific one with most fidelities."""
    names = ('structure_uuid', 'protocol', 'scientific', 'fidelity')
    values = ('formation_energy_per_atom', 'total_energy', 'level_tag')
    builder = orm.QueryBuilder().append(
        EnergyData,
        filters={'attributes.converged': True, **uuid_filter('attributes.structure_uuid', uuids)},
        project=[f'attributes.{name}' for name in (*names, *values)],
        subclassing=False,
        tag='energy',
    )
    builder.order_by({'energy': 'ctime'})
    labels = {level.value: level.label for level in LADDER}
    found: dict[str, dict[tuple[bool, str], dict[str, t.Any]]] = {}
    for structure, protocol, scientific, fidelity, *row in builder.iterall():
        fields = {f'{name}_{labels[fidelity]}': value for name, value in zip(values, row, strict=True)}
        found.setdefault(structure, {}).setdefault((bool(scientific), protocol), {}).update(fields)
    best = {}
    for structure, protocols in found.items():
        scientific, protocol = max(protocols, key=lambda key: (key[0], len(protocols[key]), key[1]))
        best[structure] = {**protocols[scientific, protocol], 'protocol': protocol, 'scientific': scientific}
    return best
