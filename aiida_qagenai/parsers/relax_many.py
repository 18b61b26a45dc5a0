"""Parser of :class:`~aiida_qagenai.calculations.atomistic.relax_many.RelaxManyCalculation`."""

from __future__ import annotations

import dataclasses
import typing as t
from collections import Counter

import numpy as np
from aiida import orm
from numpy.typing import NDArray

from aiida_qagenai.data.candidate import CandidateData, Lineage, Relaxation, parse_candidate_name
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.engine.batch import register_outputs
from aiida_qagenai.engine.bulk import linked_uuids, store_outputs
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.parsers.base import AtomisticParser, ParsingError

__all__ = ('RelaxManyParser',)

KEPT = ('origin', 'space_group_number', 'fingerprint', *Lineage._fields)
"""Attributes of an unrelaxed candidate that the relaxed one takes over, or that one that is not relaxed keeps."""


class RelaxManyParser(AtomisticParser):
    """Make a relaxed candidate of every member, whatever became of it, and the set that packs them."""

    def make_outputs(self, arrays: dict[str, NDArray[t.Any]], results: dict[str, t.Any]) -> None:
        """Make the relaxed candidates and known phases."""
        inputs = self.node.inputs
        before = inputs.candidate_set.structures()
        left_out = inputs.screening.get_dict() if 'screening' in inputs else {}
        rows = np.flatnonzero([name not in left_out for name in before.identifiers.tolist()])
        relaxed = StructureBatch.from_arrays(arrays)
        phases = inputs.competing.structures() if 'competing' in inputs else StructureBatch.empty()
        self._check_order([*before.identifiers[rows].tolist(), *phases.identifiers.tolist()], relaxed, results)
        count = len(rows)
        after = replace_rows(before, rows, relaxed.select(np.arange(count)))
        outcomes = dict(zip(rows.tolist(), results['relaxations'][:count], strict=True))
        changes = np.abs(np.linalg.det(after.cells)) / np.abs(np.linalg.det(before.cells)) - 1
        relaxations = [
            {
                'relaxation_potential': results['potential'],
                **describe(outcomes.get(row), float(changes[row]), left_out.get(str(before.identifiers[row]), '')),
            }
            for row in range(len(before))
        ]
        self.out('candidate_set', DatasetData(after))
        if len(phases):
            self.out('competing', DatasetData(relaxed.select(np.arange(count, len(relaxed)))))
        self._store(after, relaxations)
        reasons = Counter(each['relaxation_reason'] for each in relaxations)
        if not any(each['relaxation_converged'] for each in relaxations):
            raise ParsingError('WARNING_NOTHING_RELAXED', reasons.most_common(1)[0][0])

    @staticmethod
    def _check_order(names: list[str], relaxed: StructureBatch, results: dict[str, t.Any]) -> None:
        """Check that structures and outcomes are those of the inputs, in their order."""
        told = [outcome['identifier'] for outcome in results['relaxations']]
        if not names == relaxed.identifiers.tolist() == told:
            raise ParsingError('ERROR_OUTPUT_FILE_CORRUPT', 'the relaxed crystals are not in the order of the inputs')

    def _store(self, after: StructureBatch, relaxations: list[dict[str, t.Any]]) -> None:
        """Store the relaxed candidates, each beside the unrelaxed one that it came from."""
        members = linked_uuids(self.node, namespace='members')
        known = attributes_of(list(members.values()))
        nodes = {}
        for (label, uuid), structure, name, relaxation in zip(
            members.items(), after.structures(), after.identifiers.tolist(), relaxations, strict=True
        ):
            cycle, index = parse_candidate_name(name)
            kept = known[uuid]
            lineage = {field: kept[field] for field in Lineage._fields}
            moved = relaxation['relaxation_steps'] is not None
            nodes[f'candidates__{label}'] = CandidateData(
                structure,
                cycle=cycle,
                index=index,
                origin=kept['origin'],
                label=kept['label'],
                lineage=None if lineage['motif'] is None else Lineage(**lineage),
                relaxation=Relaxation(relaxed_from=uuid, **relaxation),
                analysis=None if moved else (kept['space_group_number'], kept['fingerprint']),
            )
        register_outputs(self, store_outputs(self.node, nodes))


def replace_rows(batch: StructureBatch, rows: NDArray[np.int64], moved: StructureBatch) -> StructureBatch:
    """Return ``batch`` with the structures at ``rows`` as they are in ``moved``."""
    cells, fractional = batch.cells.copy(), batch.fractional.copy()
    cells[rows] = moved.cells
    fractional[batch.atoms_of(rows)] = moved.fractional
    return dataclasses.replace(batch, cells=cells, fractional=fractional)


def describe(outcome: dict[str, t.Any] | None, volume_change: float, left_out: str) -> dict[str, t.Any]:
    """Return the fields of a ``Relaxation`` that say how it ended.

    :param outcome: of the task, None for a candidate that it was not given, for the reason ``left_out``.
    """
    if outcome is None or outcome['steps'] is None:
        reason = left_out if outcome is None else outcome['reason']
        return {'relaxation_converged': False, 'relaxation_reason': reason, 'relaxation_steps': None}
    return {
        'relaxation_converged': outcome['converged'],
        'relaxation_reason': outcome['reason'],
        **{f'relaxation_{name}': outcome[name] for name in ('steps', 'energy_per_atom', 'force', 'stress')},
        'relaxation_volume_change': volume_change,
    }


def attributes_of(uuids: list[str]) -> dict[str, dict[str, t.Any]]:
    """Return uuid → label and the attributes in ``KEPT`` of candidates, by one query."""
    builder = orm.QueryBuilder()
    columns = ['uuid', 'label', *(f'attributes.{name}' for name in KEPT)]
    builder.append(CandidateData, filters={'uuid': {'in': uuids}}, project=columns, subclassing=False)
    return {uuid: dict(zip(('label', *KEPT), values, strict=True)) for uuid, *values in builder.all()}
