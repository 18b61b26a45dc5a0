"""Algorithm 3: one material out of the entries that several databases have of it.

Plain Python on arrays; the process around it is :mod:`aiida_qagenai.databases.merge.process`. The result depends on
the set of entries only, not on their order: every choice is the first in a total order.

Where it is finer than the paper: a cluster is not just a space group but also which elements sit on how many sites of
each orbit, because two structures of one formula may share a space group and nothing else; and the lattice is compared
by the three shortest vectors of the primitive cell and its volume, which do not depend on the choice of axes.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import typing as t
from collections import Counter, defaultdict

import numpy as np
import pydantic

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.databases.merge.analysis import Analysis
from aiida_qagenai.databases.merge.rules import MergeRules, Rule

__all__ = ('Conflict', 'Discarded', 'Material', 'Member', 'MergeEntry', 'explain_material', 'merge')


@dataclasses.dataclass(frozen=True)
class MergeEntry:
    """What the merge needs to know of an entry.

    :param formula: reduced.
    :param energies: level tag → formation energy, or total energy per atom where there is none, eV/atom.
    """

    database: str
    version: str
    identifier: str
    uuid: str
    formula: str
    analysis: Analysis
    experimental: bool | None = None
    energies: dict[str, float] = dataclasses.field(default_factory=dict)
    properties: dict[str, t.Any] = dataclasses.field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str]:
        """Return what tells entries apart."""
        return (self.database, self.identifier, self.version)

    @property
    def name(self) -> str:
        """Return the name in the conflicts of a material."""
        return f'{self.database}:{self.identifier}'


class Member(pydantic.BaseModel):
    """An entry that a material was merged from."""

    database: str
    version: str
    identifier: str
    uuid: str
    experimental: bool | None
    operations: int
    lengths: tuple[float, float, float, float]
    energies: dict[str, float]


class Discarded(Member):
    """An entry of the same formula and symmetry whose lattice is another one.

    :param deviation: largest relative difference from the representative.
    """

    deviation: float


class Conflict(pydantic.BaseModel):
    """A property on which the members do not agree.

    :param values: ``database:identifier`` → value.
    :param winner: ``database:identifier`` of the value that counts.
    :param rule: what decided.
    """

    property: str
    values: dict[str, t.Any]
    winner: str
    value: t.Any
    rule: str


class Material(pydantic.BaseModel):
    """Entries that are one material.

    :param identifier: databases and eight digits of a hash of formula and symmetry: ``MP-OQMD-1f0c22d9``.
    :param decided_by: what made the representative the first of the members.
    """

    identifier: str
    formula: str
    space_group_number: int
    orbits: str
    representative: Member
    decided_by: str
    members: list[Member]
    discarded: list[Discarded]
    properties: dict[str, t.Any]
    conflicts: list[Conflict]
    flags: list[str]


def merge(entries: t.Iterable[MergeEntry], rules: MergeRules) -> list[Material]:
    """Return the materials, sorted by identifier.

    :raises InvalidInputError: if two entries have one key, or two materials one identifier.
    """
    clusters: dict[tuple[str, int, str, str], list[MergeEntry]] = defaultdict(list)
    seen: set[tuple[str, str, str]] = set()
    for entry in entries:
        if entry.key in seen:
            raise InvalidInputError(f'entry {entry.identifier} of {entry.database} {entry.version} is given twice')
        seen.add(entry.key)
        # without a symmetry nothing can be the same
        alone = '' if entry.analysis.number else '/'.join(entry.key)
        clusters[entry.formula, entry.analysis.number, entry.analysis.orbits, alone].append(entry)
    materials: dict[str, Material] = {}
    for cluster in clusters.values():
        remaining, first = cluster, True
        while remaining:
            material, others = _merge_cluster(remaining, rules, first)
            if material.identifier in materials:
                raise InvalidInputError(f'two materials would be called {material.identifier}')
            materials[material.identifier] = material
            remaining = others if rules.on_lattice_mismatch == 'separate' else []
            first = False
    return [materials[name] for name in sorted(materials)]


def _merge_cluster(cluster: list[MergeEntry], rules: MergeRules, first: bool) -> tuple[Material, list[MergeEntry]]:
    """Return the material of the representative of a cluster, and the entries whose lattice is another one."""
    ranked, decided_by = _rank(cluster, rules)
    best = ranked[0]
    deviations = {entry.key: _deviation(entry, best) for entry in ranked}
    members = [entry for entry in ranked if deviations[entry.key] <= rules.lattice_tolerance]
    others = [entry for entry in ranked if deviations[entry.key] > rules.lattice_tolerance]
    properties, conflicts = _properties(members, rules)
    discarded = others if rules.on_lattice_mismatch == 'discard' else []
    material = Material(
        identifier=_identifier(members, first),
        formula=best.formula,
        space_group_number=best.analysis.number,
        orbits=best.analysis.orbits,
        representative=_member(best),
        decided_by=decided_by,
        members=[_member(entry) for entry in sorted(members, key=lambda entry: entry.key)],
        discarded=[
            Discarded(**_member(entry).model_dump(), deviation=deviations[entry.key])
            for entry in sorted(discarded, key=lambda entry: entry.key)
        ],
        properties=properties,
        conflicts=conflicts,
        flags=_flags(members, others, conflicts, rules),
    )
    return material, others


def _rank(cluster: list[MergeEntry], rules: MergeRules) -> tuple[list[MergeEntry], str]:
    """Return the entries of a cluster, best first, and the criterion that set the first apart from the second.

    Energies of two levels of theory are never compared: those of the level that most of the cluster has count, and
    entries without it come behind.
    """
    levels = Counter(level for entry in cluster for level in entry.energies)
    level = min(levels, key=lambda name: (-levels[name], _priority(name.split(':')[0], rules), name), default='')
    names = ['experimental', 'highest symmetry', f'lowest energy at {level}', *_criteria(rules)]

    def order(entry: MergeEntry) -> tuple[t.Any, ...]:
        return (
            entry.experimental is not True,
            -entry.analysis.operations,
            # a difference in the last digits, as storing in another order may cause, is none
            round(entry.energies.get(level, np.inf), 6),
            *_precedence(entry, rules),
        )

    ranked = sorted(cluster, key=order)
    return ranked, 'the only entry' if len(ranked) == 1 else _first_difference(names, *map(order, ranked[:2]))


def _criteria(rules: MergeRules) -> list[str]:
    """Return the names of what :func:`_precedence` sorts by."""
    return [*(rule.name for rule in rules.rules), 'order of the databases', 'order of the alphabet']


def _precedence(entry: MergeEntry, rules: MergeRules) -> tuple[t.Any, ...]:
    return (*(_rule_order(rule, entry) for rule in rules.rules), _priority(entry.database, rules), entry.key)


def _first_difference(names: list[str], ours: tuple[t.Any, ...], theirs: tuple[t.Any, ...]) -> str:
    return next(name for name, one, other in zip(names, ours, theirs, strict=True) if one != other)


def _priority(database: str, rules: MergeRules) -> tuple[int, str]:
    """Return the place of a database; version names behind a dash do not matter: ``mp-20`` is ``mp``."""
    base = _base(database, rules.databases)
    return (rules.databases.index(base) if base in rules.databases else len(rules.databases), database)


def _rule_order(rule: Rule, entry: MergeEntry) -> tuple[t.Any, ...]:
    """Return what a rule sorts by, best first; entries of which it does not speak, or without the field, come last."""
    if rule.databases is not None and _base(entry.database, rule.databases) not in rule.databases:
        return (1, 0, '')
    if rule.order == 'most':
        return (0, -len(entry.properties), '')
    properties = {'experimental': entry.experimental, **entry.properties}
    value = next((found for field in rule.fields if (found := _look_up(properties, field)) is not None), None)
    if rule.order == 'true':
        return (0 if value else 1, 0, '')
    if value is None:
        return (1, 0, '')
    if isinstance(value, int | float):
        return (0, -value if rule.order == 'highest' else value, '')
    # dates as texts: reversed by their characters
    text = str(value)
    return (0, 0, tuple(-ord(letter) for letter in text) if rule.order == 'highest' else tuple(map(ord, text)))


def _base(database: str, known: list[str]) -> str:
    return database if database in known else database.partition('-')[0]


def _look_up(properties: t.Mapping[str, t.Any], path: str) -> t.Any:
    """Return a property, following dots into objects."""
    value: t.Any = properties
    for name in path.split('.'):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _deviation(entry: MergeEntry, reference: MergeEntry) -> float:
    ours, theirs = np.array(entry.analysis.lengths), np.array(reference.analysis.lengths)
    return float(np.abs(ours / theirs - 1).max())


def _properties(members: list[MergeEntry], rules: MergeRules) -> tuple[dict[str, t.Any], list[Conflict]]:
    """Return the merged properties and those on which the members do not agree."""
    order = sorted(members, key=lambda entry: _precedence(entry, rules))
    properties, conflicts = {}, []
    for name in sorted({name for entry in members for name in entry.properties}):
        having = [entry for entry in order if name in entry.properties]
        best = having[0]
        value = properties[name] = best.properties[name]
        others = [entry for entry in having if not _agree(entry.properties[name], value, rules.property_tolerance)]
        if others:
            rule = _first_difference(_criteria(rules), _precedence(best, rules), _precedence(others[0], rules))
            values = {entry.name: entry.properties[name] for entry in having}
            conflicts.append(Conflict(property=name, values=values, winner=best.name, value=value, rule=rule))
    return properties, conflicts


def _agree(first: t.Any, second: t.Any, tolerance: float) -> bool:
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in (first, second)):
        return bool(abs(first - second) <= tolerance * max(abs(first), abs(second)) + 1e-9)
    return bool(first == second)


def _flags(
    members: list[MergeEntry], others: list[MergeEntry], conflicts: list[Conflict], rules: MergeRules
) -> list[str]:
    """Return what a reader should know of a material."""
    flags = []
    if len({entry.database for entry in members}) == 1:
        flags.append('one_database')
    if others:
        flags.append('lattice_mismatch')
    if conflicts:
        flags.append('property_conflict')
    levels: dict[str, list[float]] = defaultdict(list)
    for entry in members:
        for level, energy in entry.energies.items():
            levels[level].append(energy)
    if any(max(values) - min(values) > rules.energy_tolerance for values in levels.values()):
        flags.append('energy_spread')
    if not levels:
        flags.append('no_energy')
    if len({entry.analysis.operations for entry in members}) > 1:
        flags.append('symmetry_depends_on_tolerance')
    if not members[0].analysis.number:
        flags.append('no_symmetry_found')
    return flags


def _identifier(members: list[MergeEntry], first: bool) -> str:
    """Return the identifier: ``MP-OQMD-1f0c22d9``, the same whatever else is merged in from these databases.

    Beyond the first material of a cluster, and where no symmetry was found, the representative tells them apart.
    """
    best = members[0]
    content: list[t.Any] = [best.formula, best.analysis.number, best.analysis.orbits]
    if not first or not best.analysis.number:
        content.extend(best.key)
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:8]
    return '-'.join([*(name.upper() for name in sorted({entry.database for entry in members})), digest])


def _member(entry: MergeEntry) -> Member:
    content = {**vars(entry), **vars(entry.analysis), 'energies': dict(sorted(entry.energies.items()))}
    return Member(**{name: content[name] for name in Member.model_fields})


def explain_material(material: Material) -> list[str]:
    """Return in sentences what a material was merged from, and why."""
    best = material.representative
    lines = [
        f'{material.identifier}: {material.formula}, space group {material.space_group_number or "not found"}, '
        f'orbits {material.orbits}',
        f'{len(material.members)} entries have this formula, this symmetry and this lattice:',
    ]
    for member in material.members:
        energies = ', '.join(f'{energy:.4f} eV/atom ({level})' for level, energy in member.energies.items())
        lengths = ', '.join(f'{length:.3f}' for length in member.lengths[:3])
        mark = '*' if member.uuid == best.uuid else ' '
        kind = {True: ', measured', False: ', computed', None: ''}[member.experimental]
        lines.append(
            f' {mark} {member.database} {member.identifier}{kind}: {member.operations} operations, {lengths} Å'
            + (f', {energies}' if energies else '')
        )
    lines.append(f'{best.database} {best.identifier} (*) represents them by: {material.decided_by}')
    lines += [
        f'{item.database} {item.identifier} was left out: its lattice differs by {100 * item.deviation:.1f} %'
        for item in material.discarded
    ]
    for conflict in material.conflicts:
        values = ', '.join(f'{name} {value}' for name, value in conflict.values.items())
        lines.append(f'`{conflict.property}` is {conflict.value} ({conflict.winner}), by: {conflict.rule}; {values}')
    lines.append(f'flags: {", ".join(material.flags) or "none"}')
    return lines
