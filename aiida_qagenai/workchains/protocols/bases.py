"""A protocol of energies as the inputs of a process hold it: complete settings, and the bases themselves."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from aiida_qagenai.calculations.pyscf.bases import tag_of
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.basis import BasisData, find_family
from aiida_qagenai.workchains.protocols.beyond_argon import is_beyond_argon, missing_basis, settings_beyond_argon
from aiida_qagenai.workchains.protocols.energy import EnergySettings, energy_settings
from aiida_qagenai.workchains.protocols.loader import DEFAULT_PROTOCOL

__all__ = ('EnergyProtocol', 'ResolvedBasis', 'key_of', 'unversioned')

CARDINALS = {
    **{'cc-pvdz': 2, 'cc-pvtz': 3, 'cc-pvqz': 4, 'cc-pv5z': 5},
    **{'gth-szv': 1, 'gth-cc-dzvp': 2, 'gth-szv-molopt-sr': 1, 'gth-dzvp-molopt-sr': 2},
}
"""X of the bases of PySCF that protocols use."""

SIZES = {'functions': 'num_functions', 'valence': 'valence'}


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


@dataclasses.dataclass(frozen=True)
class EnergyProtocol:
    """Complete settings and the nodes of all bases that they name: nothing is read again when a process runs.

    :param settings: names of families in them are exact, as in `ccgto/1/cc-pvdz`; one without a version was not
        installed when the protocol was resolved.
    :param families: nodes by key of the family, see :func:`key_of`, and element.
    """

    settings: EnergySettings
    families: t.Mapping[str, t.Mapping[str, BasisData]]
    has_atoms: t.ClassVar[bool] = True
    """Whether isolated atoms can be computed, to which anchored formation energies refer."""

    @classmethod
    def resolve(
        cls,
        protocol: str | EnergyProtocol = DEFAULT_PROTOCOL,
        overrides: t.Mapping[str, t.Any] | None = None,
        symbols: t.Collection[str] = (),
    ) -> EnergyProtocol:
        """Return the protocol of a name with ``overrides`` applied; one that is resolved already stays as it is.

        :param symbols: elements whose bases are taken from the families.
        :raises InvalidInputError: for an unknown protocol or key, a value out of range, or overrides of a protocol that
            is resolved already.
        """
        if isinstance(protocol, EnergyProtocol):
            if overrides:
                raise InvalidInputError('this protocol is resolved already: give the overrides when it is resolved')
            return protocol
        return cls.of_settings(energy_settings(protocol, overrides), symbols)

    @classmethod
    def of_settings(cls, settings: EnergySettings, symbols: t.Collection[str]) -> EnergyProtocol:
        """Return ``settings`` with the latest installed version of each family that they name, and its bases.

        The elements decide the basis: a system with one beyond argon that the basis of the protocol lacks has another,
        see :func:`~aiida_qagenai.workchains.protocols.beyond_argon.settings_beyond_argon`.
        """
        other = settings.beyond_argon
        if other is not None and (settings.basis == other.basis or is_beyond_argon(symbols, _covered(settings))):
            settings = settings_beyond_argon(settings)
        names, families = {}, {}
        for name in sorted(settings.basis_names):
            family = find_family(name) if '/' in name else None
            if family is not None:
                names[name] = family.label
                known = family.bases
                families[key_of(family.label)] = {symbol: known[symbol] for symbol in sorted({*symbols} & known.keys())}
        fallback = settings.fallback
        if '/' in settings.basis and settings.basis not in names and fallback is not None:
            names[settings.basis] = fallback.basis
            settings = _with_fallback(settings)
        return cls(settings.with_basis_names(names), families)

    def basis(self, name: str, symbols: t.Collection[str], *, isolated: bool = False) -> ResolvedBasis:
        """Return the settings with the basis ``name`` for the elements ``symbols``.

        :param isolated: whether it is for an isolated atom, which needs diffuse functions.
        :raises InvalidInputError: if the family is not installed and nothing stands in for it, with the command to
            install it; or if an element is not covered.
        """
        if '/' in name:
            return self._from_family(name, symbols)
        values: dict[str, t.Any] = {'basis': name, 'coupled_cluster_basis': None}
        settings, fallback = self.settings, self.settings.fallback
        notes: tuple[str, ...] = ()
        if fallback is not None and fallback.replaces is not None and name == fallback.basis:
            notes = _check_fallback(settings, symbols, isolated=isolated)
        return ResolvedBasis(settings.model_copy(update=values), {}, notes, CARDINALS.get(name, 0))

    def _from_family(self, name: str, symbols: t.Collection[str]) -> ResolvedBasis:
        """Return the settings with the bases of a family."""
        known = self.families.get(key_of(name))
        if known is None:
            source = name.split('/', maxsplit=1)[0]
            raise InvalidInputError(f'the bases {name} are not installed: run `aiida-qagenai basis install {source}`')
        missing = sorted(set(symbols) - set(known))
        if missing:
            message = f'family {name} has no basis for {", ".join(missing)}: see `aiida-qagenai basis show {name}`'
            raise InvalidInputError(message)
        bases = {symbol: known[symbol] for symbol in sorted(set(symbols))}
        sizes = {
            symbol: {key: node.base.attributes.get(attribute) for key, attribute in SIZES.items()}
            for symbol, node in bases.items()
        }
        values = {'basis': tag_of(name), 'coupled_cluster_basis': None, 'basis_sizes': sizes}
        settings = EnergySettings.model_validate({**self.settings.dump(), **values})
        return ResolvedBasis(settings, bases, (), next(iter(bases.values())).base.attributes.get('cardinal'))

    def requested_name(self, name: str) -> str:
        """Return how the protocol itself calls a basis: without the version, and the family where one stands in."""
        fallback = self.settings.fallback
        if fallback is not None and fallback.replaces is not None and name == fallback.basis:
            return fallback.replaces
        return unversioned(name)

    def covered(self, fidelity: Fidelity, symbols: t.Collection[str]) -> set[str]:
        """Return those of the elements whose crystals have a basis at a level of theory."""
        found: set[str] = set()
        if fidelity in self.settings.unavailable:
            return found
        for symbol in symbols:
            if fidelity in self.settings.unavailable and is_beyond_argon([symbol], ()):
                continue
            try:
                sizes = self.basis(self.settings.basis_of(fidelity), [symbol]).settings.basis_sizes
            except InvalidInputError:
                continue
            found |= {symbol} & sizes.keys()
        return found

    def cover(self, symbols: t.Collection[str], *, isolated: bool = True) -> None:
        """Check that crystals of all elements can be computed.

        :param isolated: whether their isolated atoms have to be computed as well.
        :raises InvalidInputError: saying what is missing.
        """
        settings = self.settings
        names = {settings.basis, settings.basis_of(settings.top_rung)}
        for name in sorted(names):
            covered = self.basis(name, symbols, isolated=isolated).settings.basis_sizes
            if (missing := missing_basis(symbols, covered, settings.protocol)) is not None:
                raise InvalidInputError(missing)


def _covered(settings: EnergySettings) -> t.Collection[str]:
    """Return the elements that the basis of the settings has, of a family as it is installed."""
    family = find_family(settings.basis) if '/' in settings.basis else None
    return settings.basis_sizes if family is None else family.bases


def key_of(label: str) -> str:
    """Return the name of a family, or of its tag, that a link label may have: `ccgto_1_cc_pvdz`."""
    return re.sub(r'\W', '_', label)


def unversioned(name: str) -> str:
    """Return the name of a family without its version: `ccgto/cc-pvdz` for `ccgto/1/cc-pvdz`."""
    parts = name.split('/')
    return f'{parts[0]}/{parts[-1]}' if len(parts) == 3 else name


def _with_fallback(settings: EnergySettings) -> EnergySettings:
    """Return settings in which the basis that stands in for the family has taken its place."""
    assert settings.fallback is not None
    fallback = settings.fallback.model_copy(update={'replaces': settings.basis})
    return settings.model_copy(update={'fallback': fallback, 'basis_sizes': fallback.basis_sizes})


def _check_fallback(settings: EnergySettings, symbols: t.Collection[str], *, isolated: bool) -> tuple[str, ...]:
    """Return what results in the basis that stands in must say.

    :raises InvalidInputError: if it does not cover an element.
    """
    fallback = settings.fallback
    assert fallback is not None and fallback.replaces is not None
    install = f'run `aiida-qagenai basis install {fallback.replaces.split("/", maxsplit=1)[0]}`'
    missing = sorted(set(symbols) - set(fallback.basis_sizes))
    if missing:
        message = (
            f'without the family {fallback.replaces} there is no basis for {", ".join(missing)}, only for '
            f'{", ".join(sorted(fallback.basis_sizes))}: {install}'
        )
        raise InvalidInputError(message)
    poor = sorted(set(symbols) & set(fallback.not_isolated)) if isolated else []
    if poor:
        message = f'{fallback.basis} of PySCF cannot describe the isolated atom of {", ".join(poor)}: {install}'
        raise InvalidInputError(message)
    return (f'basis {fallback.basis} of PySCF, because the family {fallback.replaces} is not installed',)
