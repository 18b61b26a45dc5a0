"""Symmetry operations that a block of a CIF names: listed, or by a Hall symbol, Hermann–Mauguin symbol or number."""

from __future__ import annotations

import contextlib
import functools
import re
import typing as t

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.errors import InvalidInputError, reported_as

if t.TYPE_CHECKING:
    import gemmi

    from aiida_qagenai.exchange.readers.cif_blocks import Block

__all__ = ('Operations', 'Symmetry', 'symmetry_of_block')

METRIC_TOLERANCE = 0.02
"""Largest relative change of the metric tensor by an operation."""

_LISTED = ('_space_group_symop_operation_xyz', '_symmetry_equiv_pos_as_xyz')
_SYMBOLS = (
    '_space_group_name_h-m_alt',
    '_symmetry_space_group_name_h-m',
    '_space_group_name_h-m_full',
    '_space_group_name_h-m_ref',
    '_space_group_name_h-m',
)
_NUMBERS = ('_space_group_it_number', '_symmetry_int_tables_number')
_HALL = ('_space_group_name_hall', '_symmetry_space_group_name_hall')

_EXTENSION = re.compile(
    r'[\s:(]*(?:(?<=[\s:(])origin\s*(?:choice|at)?\s*([12])|:\s*([12HhRr])|(RS|HR|H|R|S|Z)|(?<=\s)([hr]))\s*\)?\s*$'
)
_MEANING = {'S': '1', 'Z': '2', 'RS': 'R', 'HR': 'H'}
"""Extensions as the ICSD writes them: origin at the point of highest symmetry (S) or at the centre (Z)."""


class Operations(t.NamedTuple):
    """The operations of a space group in one setting.

    :param name: for messages.
    :param rotations: shape (n, 3, 3).
    :param translations: shape (n, 3).
    :param triplets: the operations as text, the same for those that differ by a lattice vector.
    """

    name: str
    rotations: NDArray[np.float64]
    translations: NDArray[np.float64]
    triplets: frozenset[str]

    def fits(self, matrix: NDArray[np.float64]) -> bool:
        """Return whether every operation leaves the lengths and angles of a cell as they are."""
        metric = matrix @ matrix.T
        moved = np.einsum('nji,jk,nkl->nil', self.rotations, metric, self.rotations)
        lengths = np.sqrt(np.diag(metric))
        return bool((np.abs(moved - metric) <= METRIC_TOLERANCE * np.outer(lengths, lengths)).all())


class Symmetry(t.NamedTuple):
    """What a block says of its symmetry.

    :param choices: settings that it may mean; several where it does not say which.
    :param others: less likely settings, for where none of the choices agrees with the rest of the block.
    :param contradiction: why the choices do not agree with each other, so that other evidence has to decide.
    :param warnings: what was assumed.
    """

    choices: list[Operations]
    others: list[Operations] = []  # noqa: RUF012 (never changed)
    contradiction: str = ''
    warnings: tuple[str, ...] = ()


def symmetry_of_block(block: Block, matrix: NDArray[np.float64]) -> Symmetry:
    """Return the operations that a block names.

    :param matrix: lattice vectors as rows, Å.
    :raises InvalidInputError: if it names none that can be, or they do not suit the cell.
    """
    symbol, hall = block.first(*_SYMBOLS), block.first(*_HALL)
    number = _number(block)
    listed = next((block.values[name] for name in _LISTED if any(block.values.get(name, ()))), [])
    if listed:
        return _listed(listed, symbol, number, matrix)
    if hall and (found := _from_hall(hall)) is not None:
        _require_fit([found], matrix)
        actual = _group_number(found)
        if number is not None and actual != number:
            message = f'its Hall symbol `{hall}` is of space group {actual}, but it names number {number}'
            raise InvalidInputError(message)
        return Symmetry([found])
    groups = _groups_of_symbol(symbol, matrix) if symbol else []
    if symbol and groups and number is not None and groups[0].number != number:
        message = f'its symbol `{symbol}` is of space group {groups[0].number}, but it names number {number}'
        raise InvalidInputError(message)
    if groups:
        choices = _require_fit([_operations(group) for group in groups], matrix)
        return Symmetry(choices, warnings=(f'`{symbol}` does not name its setting',) if len(choices) > 1 else ())
    if number is not None:
        standard, rest = _groups_of_number(number)
        fitting = _require_fit([_operations(group) for group in (*standard, *rest)], matrix)
        names = {_operations(group).name for group in standard}
        choices, others = ([item for item in fitting if (item.name in names) is first] for first in (True, False))
        unknown = f' (`{symbol}` is not known)' if symbol else ''
        return Symmetry(choices, others, warnings=(f'it names space group {number} without a setting{unknown}',))
    if symbol or hall:
        raise InvalidInputError(f'its space group `{symbol or hall}` is not known: add the operations')
    return Symmetry([_IDENTITY], warnings=('it names no symmetry: read as P 1, with all atoms listed',))


_IDENTITY = Operations('P 1', np.eye(3)[None], np.zeros((1, 3)), frozenset({'x,y,z'}))


def _number(block: Block) -> int | None:
    number = block.number(*_NUMBERS)
    if number is None or number == 0:
        return None
    if not (float(number).is_integer() and 1 <= number <= 230):
        raise InvalidInputError(f'its space group number {number:g} cannot be read: expected 1 to 230')
    return int(number)


def _require_fit(choices: list[Operations], matrix: NDArray[np.float64]) -> list[Operations]:
    """Return the settings that suit a cell."""
    fitting = [choice for choice in choices if choice.fits(matrix)]
    if not fitting:
        names = ' or '.join(choice.name for choice in choices)
        raise InvalidInputError(f'its cell does not have the symmetry of {names}')
    return fitting


def _listed(texts: list[str], symbol: str, number: int | None, matrix: NDArray[np.float64]) -> Symmetry:
    """Return the operations that are listed, with those of the symbol where the two are of different groups."""
    operations = _parse_listed(tuple(texts))
    claimed = _groups_of_symbol(symbol, matrix) if symbol else []
    numbers = {group.number for group in claimed} | ({number} if number is not None else set())
    if len(operations.rotations) == 1 and numbers <= {1}:
        return Symmetry([operations])
    problem = _group_problem(operations)
    if problem and not claimed:
        raise InvalidInputError(problem)
    if problem:
        choices = _require_fit([_operations(group) for group in claimed], matrix)
        return Symmetry(choices, warnings=(f'{problem}: read as `{symbol}`',))
    if not operations.fits(matrix):
        raise InvalidInputError(f'its cell does not have the symmetry of its {len(operations.rotations)} operations')
    actual = _group_number(operations)
    others = [choice for group in claimed if (choice := _operations(group)).fits(matrix)]
    if actual is not None and numbers and numbers != {actual}:
        name = f'`{symbol}`' if symbol else f'number {number}'
        reason = f'its operations are those of space group {actual}, but it names {name}'
        if not others and number is not None:
            groups = _groups_of_number(number)[0]
            others = [choice for group in groups if (choice := _operations(group)).fits(matrix)]
        return Symmetry([operations, *others], contradiction=reason)
    if (
        len(others) == 1
        and claimed[0].ext in '12HR'
        and _EXTENSION.search(symbol)
        and operations.triplets != others[0].triplets
    ):
        reason = f'its operations are not those of `{symbol}`'
        return Symmetry([operations, *others], contradiction=reason)
    return Symmetry([operations])


@functools.lru_cache(maxsize=512)
def _parse_listed(texts: tuple[str, ...]) -> Operations:
    """Return operations written as ``-x, y+1/2, z``."""
    import gemmi

    found: dict[str, t.Any] = {}
    for text in texts:
        plain = text.strip().strip('\'"').replace(' ', '')
        if not plain:
            continue
        with reported_as(f'the operation {text!r:.40} is not understood', RuntimeError, ValueError):
            operation = gemmi.Op(plain).wrap()
        found.setdefault(operation.triplet(), operation)
    if not found:
        return _IDENTITY
    return _arrays(f'its {len(found)} operations', list(found.values()))


def _arrays(name: str, operations: list[t.Any]) -> Operations:
    rotations = np.array([operation.rot for operation in operations], dtype=np.float64) / operations[0].DEN
    translations = np.array([operation.tran for operation in operations], dtype=np.float64) / operations[0].DEN
    return Operations(name, rotations, translations, frozenset(_triplets(operations)))


def _triplets(operations: t.Iterable[t.Any]) -> t.Iterator[str]:
    return (operation.wrap().triplet() for operation in operations)


def _group_problem(operations: Operations) -> str:
    """Return why operations are not a group, or nothing."""
    import gemmi

    number = len(operations.rotations)
    if np.abs(np.abs(np.linalg.det(operations.rotations)) - 1).max() > 1e-6:
        return 'one of its operations changes the volume'
    if number > 192:
        return f'it lists {number} operations: no group has more than 192'
    group = gemmi.GroupOps([gemmi.Op(text) for text in operations.triplets])
    with contextlib.suppress(RuntimeError):  # of operations that generate endlessly many
        group.add_missing_elements()
        if frozenset(_triplets(group)) == operations.triplets:
            return ''
    return f'its {number} operations are not a group: one is missing or wrong'


def _group_number(operations: Operations) -> int | None:
    """Return the number of the space group of operations, ``None`` where it cannot be found."""
    import spglib

    try:
        found = spglib.get_spacegroup_type_from_symmetry(
            np.rint(operations.rotations).astype(np.intc), operations.translations % 1.0
        )
    except Exception:  # spglib has errors of its own since 2.7
        return None
    return None if found is None else int(found.number)


def _from_hall(text: str) -> Operations | None:
    import gemmi

    try:
        return _arrays(f'`{text}`', list(gemmi.symops_from_hall(text.replace('_', ' '))))
    except (RuntimeError, ValueError):
        return None


@functools.lru_cache(maxsize=1024)
def _operations_of(xhm: str, hall: str) -> Operations:
    import gemmi

    return _arrays(f'`{xhm}`', list(gemmi.symops_from_hall(hall)))


def _operations(group: gemmi.SpaceGroup) -> Operations:
    return _operations_of(group.xhm(), group.hall)


def _groups_of_symbol(symbol: str, matrix: NDArray[np.float64]) -> list[gemmi.SpaceGroup]:
    """Return the settings that a Hermann–Mauguin symbol may mean; of several only those that suit the cell."""
    import gemmi

    extension = _EXTENSION.search(symbol)
    body, wanted = symbol, ''
    if extension is not None and extension.start() > 0:
        body = symbol[: extension.start()]
        wanted = next(part for part in extension.groups() if part).upper()
        wanted = _MEANING.get(wanted, wanted)
    body = re.sub(r'\((\d)\)', r'\1', body.replace('_', '').replace('=', ' ')).strip()
    body = re.sub(r'^p\s*(?=[-\d])', 'P ', body[:1].upper() + body[1:].lower())
    group = gemmi.find_spacegroup_by_name(f'{body}:{wanted}' if wanted else body)
    if wanted:
        return [] if group is None else [group]
    table = gemmi.spacegroup_table()
    groups = [] if group is None else [other for other in table if (other.number, other.hm) == (group.number, group.hm)]
    if group is None or (3 <= group.number <= 15 and not _operations(group).fits(matrix)):
        # a short symbol that means another unique axis than b
        lattice, axis = body[:1], body[1:].strip()
        others = (gemmi.find_spacegroup_by_name(f'{lattice} {axes}') for axes in (f'1 1 {axis}', f'{axis} 1 1'))
        groups = [other for other in others if other is not None and _operations(other).fits(matrix)] or groups
    return [other for other in groups if _operations(other).fits(matrix)] or groups


def _groups_of_number(number: int) -> tuple[list[gemmi.SpaceGroup], list[gemmi.SpaceGroup]]:
    """Return the settings that a number may mean: the standard ones, with both origins or axes, and other axes."""
    import gemmi

    table = [group for group in gemmi.spacegroup_table() if group.number == number]
    standard = next(group for group in table if group.is_reference_setting())
    groups = [group for group in table if group.hm == standard.hm]
    return groups, [group for group in table if 3 <= number <= 74 and group.hm != standard.hm]
