"""Reference compounds: what the energies of the elements are derived from in systems with an element beyond argon.

There, isolated atoms and pure elements err most: atoms have open d shells and spin-orbit splittings, metals need what
an oxide does not. In a reaction between compounds of the same anion most of that cancels. An element gets the energy
that makes the level of theory reproduce the experimental formation enthalpy of one compound of it, and all compounds of
a system share these energies, so that a hull is on one scale.
"""

from __future__ import annotations

import dataclasses
import json
import math
import typing as t
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Composition, Element

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.thermodynamics.references.atomization import GROUND_STATE_SPIN, atomization_energy
from aiida_qagenai.thermodynamics.references.atomization import atomization_uncertainty as atom_uncertainty
from aiida_qagenai.thermodynamics.references.reference_states import BOX, reference_state

__all__ = (
    'VIBRATIONS',
    'Derivation',
    'ReferenceCompound',
    'derive_energy',
    'derive_errors',
    'is_hydride',
    'needs_compounds',
    'plan_derivations',
    'reference_compound',
    'structure_of',
)

ARGON = 18

VIBRATIONS = 0.02
"""Standard error, eV/atom, of a formation enthalpy of a crystal at 298 K taken for the energy without vibrations.

Zero-point and thermal energies of a compound and its elements cancel to that; of MgO 0.014 eV/atom are left.
"""

_TABLE: dict[str, t.Any] = json.loads(Path(__file__).with_name('reference_compounds.json').read_text(encoding='utf8'))


@dataclasses.dataclass(frozen=True)
class ReferenceCompound:
    """A compound with its experimental energy and its structure.

    :param formula: as in ``MnO``; its atoms are counted in ``composition``.
    :param enthalpy: of formation, eV per formula unit; of molecules the energy without vibrations.
    :param uncertainty: standard error of it.
    :param cell: lattice vectors as rows (Å), None for a molecule.
    :param sites: element and Cartesian position (Å) of each atom.
    """

    formula: str
    enthalpy: float
    uncertainty: float
    cell: NDArray[np.float64] | None
    sites: tuple[tuple[str, tuple[float, float, float]], ...]

    @property
    def composition(self) -> dict[str, int]:
        """Return the atoms per formula unit by element."""
        return {element.symbol: int(amount) for element, amount in Composition(self.formula).items()}


@dataclasses.dataclass(frozen=True)
class Derivation:
    """How the energy of one element follows from a computed energy, an experimental one and other elements.

    E(element) = [E(reference) − H − Σ m_j E(j)] / n with n atoms of the element and m_j of the elements j derived
    before it in the reference, H being its experimental energy of formation.

    :param label: name of the computed energy: ``MnO`` for a compound, ``Mn`` for the element in its reference state,
        ``Mnatom`` for the isolated atom.
    :param kind: ``compound``, ``element`` or ``atom``.
    :param composition: atoms in the reference.
    :param uncertainty: standard error of ``enthalpy``, eV.
    """

    element: str
    label: str
    kind: t.Literal['compound', 'element', 'atom']
    composition: dict[str, int]
    enthalpy: float
    uncertainty: float
    vibrations: float

    @property
    def partners(self) -> dict[str, int]:
        """Return the other elements of the reference, which have to be derived before."""
        return {symbol: count for symbol, count in self.composition.items() if symbol != self.element}

    @property
    def reaction(self) -> str:
        """Return the reaction in one line: ``Mn = MnO - O``, ``O = H2O - 2 H``, ``Li = (Li2O - O) / 2``."""
        count = self.composition[self.element]
        if self.kind != 'compound':
            return f'{self.element} = {self.element} ({"reference state" if self.kind == "element" else "atom"})'
        amounts = (f'{amount} {symbol}' if amount > 1 else symbol for symbol, amount in self.partners.items())
        right = ' - '.join([self.label, *amounts])
        return f'{self.element} = {right}' if count == 1 else f'{self.element} = ({right}) / {count}'


def needs_compounds(symbols: t.Collection[str]) -> bool:
    """Return whether formation energies of a system are against reference compounds: an element is beyond argon."""
    return any(Element(symbol).Z > ARGON for symbol in symbols)


def is_hydride(composition: t.Mapping[str, int]) -> bool:
    """Return whether a molecule is one of the hydrides of the table, all of which have closed shells."""
    return any(dict(composition) == Composition(entry['formula']).as_dict() for entry in _TABLE['hydrides'].values())


def reference_compound(element: str, anion: str | None = None) -> ReferenceCompound | None:
    """Return the compound of an element with an anion, or the hydride of an anion, None if the table has none."""
    entry = _TABLE['hydrides'].get(element) if anion is None else _TABLE['compounds'].get(element, {}).get(anion)
    if entry is None:
        return None
    return ReferenceCompound(
        formula=entry['formula'],
        enthalpy=entry['enthalpy'],
        uncertainty=entry['uncertainty'],
        cell=np.array(entry['cell']) if 'cell' in entry else None,
        sites=tuple((symbol, tuple(place)) for symbol, *place in entry['sites']),
    )


def plan_derivations(symbols: t.Collection[str], max_atoms: int = 10) -> list[Derivation]:
    """Return how the energy of each element of a system is derived, in an order in which that is possible.

    The rule, element by element: an anion that has a hydride in the table is derived from it and H2, both without
    unpaired electrons; any other element from the compound with the most electronegative element of the system that
    the table has; otherwise from its reference state; otherwise from a compound with an anion of no other use here,
    which is derived as well; otherwise from its isolated atom, if that is one up to argon.

    :param max_atoms: atoms in the largest primitive cell of a compound that every level of theory admits.
    :raises InvalidInputError: naming the first element that none of it covers, and why.
    """
    order = sorted(set(symbols), key=lambda symbol: -Element(symbol).X)
    found: dict[str, Derivation] = {}

    def add_anion(symbol: str) -> None:
        found.setdefault('H', Derivation('H', 'H', 'element', {'H': 1}, 0.0, 0.0, 0.0))
        compound = reference_compound(symbol)
        assert compound is not None
        found[symbol] = _from_compound(symbol, compound, 0.0)

    for symbol in order:
        if symbol in _TABLE['hydrides']:
            add_anion(symbol)
    for symbol in order:
        if symbol in found:
            continue
        plan = _from_system(symbol, [other for other in order if other in found], max_atoms) or _from_itself(symbol)
        if plan is None:
            plan = _from_system(symbol, list(_TABLE['hydrides']), max_atoms)
            for anion in plan.partners if plan is not None else ():
                add_anion(anion)
        found[symbol] = plan or _from_atom(symbol, order)
    return list(found.values())


def _from_system(symbol: str, partners: t.Sequence[str], max_atoms: int) -> Derivation | None:
    """Return the derivation of an element from a compound with the first of the partners that the table has."""
    found = (reference_compound(symbol, partner) for partner in partners)
    compound = next((compound for compound in found if compound is not None and len(compound.sites) <= max_atoms), None)
    return None if compound is None else _from_compound(symbol, compound, VIBRATIONS)


def _from_itself(symbol: str) -> Derivation | None:
    """Return the derivation of an element from its reference state."""
    known = reference_state(symbol) is not None
    return Derivation(symbol, symbol, 'element', {symbol: 1}, 0.0, 0.0, 0.0) if known else None


def _from_atom(symbol: str, order: t.Sequence[str]) -> Derivation:
    """Return the derivation of an element from its isolated atom.

    :raises InvalidInputError: for one beyond argon.
    """
    if symbol in GROUND_STATE_SPIN and Element(symbol).Z <= ARGON:
        energy, error = atomization_energy(symbol), atom_uncertainty(symbol)
        return Derivation(symbol, f'{symbol}atom', 'atom', {symbol: 1}, energy, error, 0.0)
    partners = ', '.join(other for other in order if other != symbol) or 'another element'
    message = (
        f'there is nothing to refer the energy of {symbol} to: no compound with {partners} of known formation enthalpy '
        'and structure in the table, and no reference state that is small enough'
    )
    raise InvalidInputError(message)


def _from_compound(symbol: str, compound: ReferenceCompound, vibrations: float) -> Derivation:
    composition = compound.composition
    num_atoms = sum(composition.values())
    return Derivation(
        symbol,
        compound.formula,
        'compound',
        composition,
        compound.enthalpy,
        compound.uncertainty,
        vibrations * num_atoms,
    )


def derive_energy(derivation: Derivation, energy: float, elements: t.Mapping[str, float]) -> float:
    """Return the energy of an element, eV/atom.

    :param energy: computed, of ``composition``, eV.
    :param elements: energies of the partners, eV/atom.
    """
    others = sum(count * elements[symbol] for symbol, count in derivation.partners.items())
    return (energy - derivation.enthalpy - others) / derivation.composition[derivation.element]


def derive_errors(derivation: Derivation, elements: t.Mapping[str, t.Mapping[str, float]]) -> dict[str, float]:
    """Return what each experimental energy contributes to the error of an element, eV/atom, with its sign.

    :param elements: the same of the partners. Contributions of one experimental energy add up before they are squared.
    """
    count = derivation.composition[derivation.element]
    errors: dict[str, float] = {}
    for symbol, amount in derivation.partners.items():
        for name, error in elements[symbol].items():
            errors[name] = errors.get(name, 0.0) - amount * error / count
    own = math.hypot(derivation.uncertainty, derivation.vibrations)
    if own:
        errors[derivation.label] = errors.get(derivation.label, 0.0) - own / count
    return errors


def structure_of(derivation: Derivation) -> tuple[NDArray[np.float64], bool, list[tuple[str, list[float]]]]:
    """Return cell (Å), whether it is periodic, and sites of what has to be computed."""
    if derivation.kind == 'element':
        state = reference_state(derivation.element)
        assert state is not None
        return state.cell, state.is_crystal, [(derivation.element, place.tolist()) for place in state.positions]
    if derivation.kind == 'atom':
        return BOX * np.eye(3), False, [(derivation.element, [BOX / 2] * 3)]
    own = derivation.element
    entries = [_TABLE['hydrides'].get(own), *_TABLE['compounds'].get(own, {}).values()]
    entry = next(item for item in entries if item is not None and item['formula'] == derivation.label)
    cell = np.array(entry['cell']) if 'cell' in entry else BOX * np.eye(3)
    shift = 0.0 if 'cell' in entry else BOX / 2
    return cell, 'cell' in entry, [(symbol, [x + shift for x in place]) for symbol, *place in entry['sites']]
