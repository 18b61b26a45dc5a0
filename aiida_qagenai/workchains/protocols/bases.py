"""From the basis that a protocol asks for to the nodes of an installed family, or to what stands in for it."""

from __future__ import annotations

import dataclasses
import typing as t

from aiida_qagenai.calculations.pyscf.bases import tag_of
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.basis import BasisData, BasisFamily, find_family
from aiida_qagenai.workchains.protocols.energy import EnergySettings

__all__ = ('ResolvedBasis', 'cover_elements', 'resolve_basis')


@dataclasses.dataclass(frozen=True)
class ResolvedBasis:
    """Settings whose basis is one that a calculation can take.

    :param settings: those of the protocol, with the name and the sizes of the basis.
    :param bases: nodes by element, empty for a basis of PySCF.
    :param notes: what a result in this basis must say.
    :param cardinal: X of cc-pVXZ.
    """

    settings: EnergySettings
    bases: dict[str, BasisData]
    notes: tuple[str, ...]
    cardinal: int


CARDINALS = {'cc-pvdz': 2, 'cc-pvtz': 3, 'cc-pvqz': 4, 'cc-pv5z': 5, 'gth-szv': 1, 'gth-cc-dzvp': 2}
"""X of the bases of PySCF that protocols use."""


def resolve_basis(
    settings: EnergySettings, name: str, symbols: t.Collection[str], *, isolated: bool = False
) -> ResolvedBasis:
    """Return ``settings`` with the basis ``name`` for the elements ``symbols``.

    :param isolated: whether it is for an isolated atom, which needs diffuse functions.
    :raises InvalidInputError: if the family is not installed and nothing stands in for it, with the command to
        install it; or if an element is not covered.
    """
    if '/' not in name:
        return _own_basis(settings, name)
    family = find_family(name)
    if family is None:
        return _fallback(settings, name, symbols, isolated=isolated)
    return _from_family(settings, family, symbols)


def _own_basis(settings: EnergySettings, name: str) -> ResolvedBasis:
    values: dict[str, t.Any] = {'basis': name, 'coupled_cluster_basis': None}
    return ResolvedBasis(settings.model_copy(update=values), {}, (), CARDINALS.get(name, 0))


def _from_family(settings: EnergySettings, family: BasisFamily, symbols: t.Collection[str]) -> ResolvedBasis:
    known = family.bases
    missing = sorted(set(symbols) - set(known))
    if missing:
        message = f'family {family.label} has no basis for {", ".join(missing)}; it has {", ".join(known)}'
        raise InvalidInputError(message)
    bases = {symbol: known[symbol] for symbol in sorted(set(symbols))}
    values = {
        'basis': tag_of(family.label),
        'coupled_cluster_basis': None,
        'elements': {
            symbol: {key: node.base.attributes.get(name) for key, name in SIZES.items()}
            for symbol, node in bases.items()
        },
    }
    update = EnergySettings.model_validate({**settings.model_dump(mode='json'), **values})
    return ResolvedBasis(update, bases, (), next(iter(bases.values())).base.attributes.get('cardinal'))


SIZES = {'functions': 'num_functions', 'valence': 'valence'}


def _fallback(settings: EnergySettings, name: str, symbols: t.Collection[str], *, isolated: bool) -> ResolvedBasis:
    fallback, source = settings.fallback, name.split('/', maxsplit=1)[0]
    install = f'run `aiida-qagenai basis install {source}`'
    if fallback is None or name != settings.basis:
        message = f'the bases {name} are not installed: {install}'
        raise InvalidInputError(message)
    missing = sorted(set(symbols) - set(fallback.elements))
    if missing:
        message = (
            f'without the family {name} there is no basis for {", ".join(missing)}, only for '
            f'{", ".join(sorted(fallback.elements))}: {install}'
        )
        raise InvalidInputError(message)
    poor = sorted(set(symbols) & set(fallback.not_isolated)) if isolated else []
    if poor:
        message = f'{fallback.basis} of PySCF cannot describe the isolated atom of {", ".join(poor)}: {install}'
        raise InvalidInputError(message)
    note = f'basis {fallback.basis} of PySCF, because the family {name} is not installed'
    values = {'basis': fallback.basis, 'coupled_cluster_basis': None, 'elements': fallback.elements}
    return ResolvedBasis(settings.model_copy(update=values), {}, (note,), CARDINALS.get(fallback.basis, 0))


def cover_elements(settings: EnergySettings, symbols: t.Collection[str], *, isolated: bool = True) -> None:
    """Check that crystals of all elements can be computed.

    :param isolated: whether their isolated atoms have to be computed as well.
    :raises InvalidInputError: saying what is missing.
    """
    for name in {settings.basis, settings.coupled_cluster_basis or settings.basis}:
        resolved = resolve_basis(settings, name, symbols, isolated=isolated)
        covered = resolved.settings.elements
        missing = [symbol for symbol in symbols if symbol not in covered]
        if missing:
            message = f'there is no basis {name} for {", ".join(missing)}: it covers {", ".join(covered)}'
            raise InvalidInputError(message)
