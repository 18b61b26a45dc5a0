"""Which samples belong to which reference: by identifier, by the index of a request, by name, or by formula."""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Mapping, Sequence

from aiida_qagenai.common.errors import InvalidInputError

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('IDENTIFIER_FIELDS', 'REQUEST_FIELD', 'Assignment', 'assign_samples')

IDENTIFIER_FIELDS = ('reference', 'material_id', 'identifier', 'mat_id', 'entry_id', 'id')
"""Columns of the samples that may name their reference; the first that does counts."""

REQUEST_FIELD = 'request'
"""Column with the index of the reference, from 0."""


@dataclasses.dataclass(frozen=True)
class Assignment:
    """The samples of each reference.

    :param indices: name of a reference → indices of its samples, in the order of the file.
    :param rule: how they were found, in words.
    :param left: number of samples that belong to no reference.
    """

    indices: dict[str, list[int]]
    rule: str
    left: int


def assign_samples(
    names: Sequence[str],
    structures: Sequence[Structure | None],
    fields: Sequence[Mapping[str, t.Any]],
    references: Mapping[str, Structure],
) -> Assignment:
    """Return which samples belong to which reference.

    The first rule that holds for any sample counts for all: a column that names a reference, the column ``request``,
    the name of the sample (such as that of its file), the reduced formula. By formula a sample belongs to every
    reference that has it.

    :param names: of the samples.
    :param structures: of the samples, ``None`` where one cannot be read.
    :param fields: columns of the samples.
    :raises InvalidInputError: if a request is not the index of a reference.
    """
    for rule, texts in (
        ('identifier', [[str(values.get(key, '')) for key in IDENTIFIER_FIELDS] for values in fields]),
        (f'column `{REQUEST_FIELD}`', [_requested(values.get(REQUEST_FIELD), list(references)) for values in fields]),
        ('name', [[name] for name in names]),
    ):
        found = [[text for text in candidates if text in references][:1] for candidates in texts]
        if any(found):
            return _assignment(found, references, rule)
    by_formula: dict[str, list[str]] = {}
    for name, structure in references.items():
        by_formula.setdefault(structure.composition.reduced_formula, []).append(name)
    found = [
        [] if structure is None else by_formula.get(structure.composition.reduced_formula, [])
        for structure in structures
    ]
    return _assignment(found, references, 'reduced formula')


def _requested(value: t.Any, order: Sequence[str]) -> list[str]:
    """Return the name of the reference with an index."""
    if value in (None, ''):
        return []
    text = str(value)
    if not (text.isdecimal() and int(text) < len(order)):
        message = f'`{REQUEST_FIELD}` is {value!r}, expected the index of a reference from 0 to {len(order) - 1}'
        raise InvalidInputError(message)
    return [order[int(text)]]


def _assignment(found: Sequence[Sequence[str]], references: Mapping[str, Structure], rule: str) -> Assignment:
    indices: dict[str, list[int]] = {name: [] for name in references}
    for index, owners in enumerate(found):
        for owner in owners:
            indices[owner].append(index)
    return Assignment(indices, rule, sum(not owners for owners in found))
