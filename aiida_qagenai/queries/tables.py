"""What all searches share: filters, and tables from queries."""

from __future__ import annotations

import typing as t

import pandas as pd
from aiida import orm
from aiida.common.exceptions import NotExistent

from aiida_qagenai.common.errors import InvalidInputError, reported_as
from aiida_qagenai.queries.campaigns import NOT_SCIENTIFIC, among
from aiida_qagenai.queries.outputs import created_by

__all__ = ('attributes', 'created', 'frame', 'load', 'note', 'parse_formula', 'parse_system', 'uuid_filter')

BOOLEAN_FIELDS = frozenset(
    {
        'audit',
        'converged',
        'duplicate',
        'eligible',
        'f_electrons',
        'magnetic',
        'out_of_distribution',
        'passed_constraints',
        'relaxation_converged',
        'scientific',
        'selected',
    }
)
"""SQLite gives these as 0 and 1."""

MAX_IN_FILTER = 20_000
"""Above this number of uuids, fetching the column and joining here beats a filter in the database."""


def created(
    cls: type[orm.Data],
    fields: t.Sequence[str],
    filters: dict[str, t.Any],
    columns: dict[str, str],
    processes: t.Collection[int] | None = None,
) -> pd.DataFrame:
    """Return nodes of one class.

    :param fields: attributes.
    :param columns: column of the database → its name in the table.
    :param processes: only nodes that one of these created; all by default, those without a creator too.
    """
    project = [*(f'attributes.{field}' for field in fields), *columns]
    if processes is None:
        builder = orm.QueryBuilder().append(cls, filters=filters, project=project, subclassing=False)
    else:
        builder = created_by(processes, cls, project, filters=filters)
    return frame(builder, [*fields, *columns.values()])


def frame(builder: orm.QueryBuilder, columns: list[str]) -> pd.DataFrame:
    """Return the result of a query as a table."""
    table = pd.DataFrame(builder.all(), columns=columns)
    types = {name: 'boolean' for name in columns if name in BOOLEAN_FIELDS}
    return table.astype({**types, 'rank': 'Int64'} if 'rank' in columns else types)


def load(identifier: int | str, cls: type[t.Any], wanted: str) -> t.Any:
    """Return a node by its pk or uuid.

    :param wanted: why it has to be of this class, for the message.
    :raises InvalidInputError: if there is no such node, or it is of another class.
    """
    with reported_as(f'no node `{identifier}` in this profile', NotExistent, ValueError):
        node = orm.load_node(identifier)
    if not isinstance(node, cls):
        raise InvalidInputError(f'node {identifier} is a {type(node).__name__}: {wanted}')
    return node


def note(scientific: pd.Series[t.Any]) -> pd.Series[t.Any]:
    """Return the label of each row."""
    return scientific.map({False: NOT_SCIENTIFIC, True: ''}).fillna('').astype(object)


def uuid_filter(key: str, known: list[str] | None) -> dict[str, t.Any]:
    """Return a filter for the ``known`` uuids, or none where there are too many."""
    return {} if known is None or len(known) > MAX_IN_FILTER else among(key, known)


def attributes(**values: t.Any) -> dict[str, t.Any]:
    """Return filters for the attributes that are given."""
    return {f'attributes.{name}': value for name, value in values.items() if value is not None}


def parse_system(text: str | None) -> str | None:
    """Return a chemical system with its elements in order.

    :raises InvalidInputError: for an unknown element.
    """
    if text is None:
        return None
    from pymatgen.core import Element

    symbols = [symbol.strip() for symbol in text.split('-')]
    unknown = [symbol for symbol in symbols if not Element.is_valid_symbol(symbol)]
    if unknown:
        message = f'`{text}` is not a chemical system: unknown element {", ".join(unknown)}; write it like Li-H'
        raise InvalidInputError(message)
    return '-'.join(sorted(set(symbols)))


def parse_formula(text: str | None) -> str | None:
    """Return a reduced formula.

    :raises InvalidInputError: if it is none.
    """
    if text is None:
        return None
    from pymatgen.core import Composition, Element

    try:
        composition = Composition(text)
        valid = all(isinstance(element, Element) for element in composition)
    except (ValueError, KeyError):
        valid = False
    if not valid:
        raise InvalidInputError(f'`{text}` is not a chemical formula: write it like Li2O')
    return str(composition.reduced_formula)
