"""Bases of an installed family as inputs of a calculation: what fits together, and how the script gets their text."""

from __future__ import annotations

import typing as t

from aiida_qagenai.calculations.pyscf.parameters import PyscfCellParameters

if t.TYPE_CHECKING:
    from aiida_qagenai.data.basis import BasisData

__all__ = ('COUNTERPOISE', 'bases_problem', 'insert_bases', 'tag_of')


COUNTERPOISE = '+cp'
"""In a level tag after the basis: isolated atoms have functions of their neighbours, so many shells of them."""


def tag_of(label: str) -> str:
    """Return the name of a family as parameters and level tags have it: `ccgto-1-cc-pvdz` for `ccgto/1/cc-pvdz`."""
    return label.replace('/', '-')


def bases_problem(
    parameters: PyscfCellParameters, bases: t.Mapping[str, BasisData], symbols: t.Iterable[str]
) -> str | None:
    """Return what is wrong with the bases of a calculation, or None."""
    for symbol in sorted(symbols):
        if symbol not in bases:
            return f'`bases` has no entry for {symbol}'
    for symbol, node in bases.items():
        if node.element != symbol:
            return f'`bases.{symbol}` is a basis of {node.element}'
        if parameters.basis != tag_of(node.name):
            return f'`bases.{symbol}` is of the family {node.name}, the parameter `basis` is {parameters.basis!r:.80}'
        if parameters.auxiliary_basis == parameters.basis and node.auxiliary is None:
            return f'the family {node.name} has no fitting set for {symbol}'
    return None


def insert_bases(parameters: PyscfCellParameters, bases: t.Mapping[str, BasisData]) -> PyscfCellParameters:
    """Return parameters with the name of the family replaced by the texts of the bases.

    :raises CorruptFileError: if a text does not match its checksum.
    """
    values = parameters.dump()
    values['basis'] = {symbol: {'format': 'nwchem', 'text': node.text} for symbol, node in sorted(bases.items())}
    if parameters.auxiliary_basis == parameters.basis:
        values['auxiliary_basis'] = {
            symbol: {'format': 'nwchem', 'text': node.auxiliary} for symbol, node in sorted(bases.items())
        }
    return PyscfCellParameters.parse(values)
