"""Initial magnetic moments of the sites of a crystal: given, of its file, or from oxidation states by Hund's rule.

A self-consistent field finds a magnetic solution only from a start that has moments. These are starts, spin only and
positive: which sites are antiparallel is the matter of :mod:`aiida_qagenai.chemistry.orderings`.
"""

from __future__ import annotations

import dataclasses
import math
import typing as t
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from aiida_qagenai.chemistry.charges import assign_charges
from aiida_qagenai.chemistry.geometry import fragments, neighbors, validate_structure
from aiida_qagenai.chemistry.open_shells import MAGNETIC_METALS
from aiida_qagenai.chemistry.oxidation_states import oxidation_states
from aiida_qagenai.chemistry.radii import COVALENT_RADII
from aiida_qagenai.common.errors import InvalidInputError

if t.TYPE_CHECKING:
    from pymatgen.core import Element, Structure

__all__ = (
    'LARGEST_MOMENT',
    'METAL_MOMENTS',
    'SPIN_STATES',
    'InitialMoments',
    'initial_moments',
    'ion_moment',
    'moments_of_structure',
)

SPIN_STATES = ('high', 'low')
"""High spin fills a d shell by Hund's rule; low spin fills t2g of an octahedron before eg."""

LARGEST_MOMENT = 10.0
"""Largest moment of a site that is accepted, μB: an f shell has at most 7 unpaired electrons."""

METAL_MOMENTS = {'Cr': 2.0, 'Mn': 3.0, 'Fe': 3.0, 'Co': 2.0, 'Ni': 1.0}
"""Starts for metals and alloys, μB, somewhat above the moments of the elements (Fe 2.2, Co 1.7, Ni 0.6): one that is
too large decays to the solution, one that is too small may vanish."""

_HIGH = (0, 1, 2, 3, 4, 5, 4, 3, 2, 1, 0)
_LOW = (0, 1, 2, 3, 2, 1, 0, 1, 2, 1, 0)
_F_SHELL = (0, 1, 2, 3, 4, 5, 6, 7, 6, 5, 4, 3, 2, 1, 0)

_CONTACT = 1.2
"""Nonmetals closer than this many sums of their covalent radii belong to one molecule or molecular ion."""

_TRIPLETS = frozenset({('O', 'O'), ('S', 'S')})
"""Diatomic molecules whose ground state has two unpaired electrons."""


@dataclasses.dataclass(frozen=True)
class InitialMoments:
    """A start for the moments of all sites.

    :param values: moment of each site, μB, in the order of the sites; zero where there is none.
    :param sources: where each comes from, in words.
    """

    values: tuple[float, ...]
    sources: tuple[str, ...]

    @property
    def magnetic(self) -> tuple[int, ...]:
        """Return the sites that have a moment."""
        return tuple(index for index, value in enumerate(self.values) if value != 0)

    @property
    def is_ordering(self) -> bool:
        """Return whether the signs say more than that all are parallel."""
        return min(self.values) < 0 < max(self.values)

    @property
    def summary(self) -> list[str]:
        """Return where the moments of the magnetic sites come from, each text once."""
        return list(dict.fromkeys(self.sources[index] for index in self.magnetic))


def initial_moments(
    structure: Structure,
    given: Mapping[str, float] | Sequence[float] | None = None,
    *,
    spin_state: str = 'high',
) -> InitialMoments:
    """Return a moment for each site of ``structure``.

    Moments come from, in this order: ``given``; the site property ``magmom`` or the spins of the species; the d or f
    electrons that the oxidation states leave; in metals and alloys, a table of the magnetic elements; and in molecules
    and molecular ions of nonmetals, the odd electron of each (O2− in KO2, NO), or the two of O2.

    :param given: a moment per site, or per element for all its sites, μB; elements that are not named follow the rules.
    :param spin_state: ``high`` or ``low``, of 3d ions; 4d and 5d ions have low spin.
    :raises InvalidInputError: for moments that do not fit the structure or are not collinear, an unknown spin state, or
        an odd number of electrons per cell of which no rule says where the unpaired one is.
    """
    validate_structure(structure)
    if spin_state not in SPIN_STATES:
        raise InvalidInputError(f'unknown spin state `{spin_state}`: choose from {", ".join(SPIN_STATES)}')
    if given is not None and not isinstance(given, Mapping):
        return _checked(given, structure, 'given')
    own = moments_of_structure(structure)
    start = _checked(own, structure, 'magmom of the structure') if own is not None else _by_rule(structure, spin_state)
    if not given:
        if own is None and not start.magnetic:
            _require_even(structure)
        return start
    return _with_elements(structure, start, given)


def moments_of_structure(structure: Structure) -> list[float] | None:
    """Return the moments that a structure carries, μB: ``magmom`` of its sites, or the spins of its species.

    :raises InvalidInputError: if they are not collinear.
    """
    if 'magmom' in structure.site_properties:
        return _collinear(structure.site_properties['magmom'])
    spins = [getattr(site.specie, 'spin', None) for site in structure]
    return [float(spin or 0.0) for spin in spins] if any(spins) else None


def ion_moment(symbol: str, state: float, *, spin_state: str = 'high') -> float:
    """Return the number of unpaired d or f electrons of an ion: its spin-only moment, μB.

    A mean state, as iron in Fe3O4 has, gets what lies between those of its neighbours.

    :param state: oxidation state; zero and negative ones have no moment.
    :param spin_state: ``high`` or ``low``, of 3d ions; 4d and 5d ions have low spin.
    """
    from pymatgen.core import Element

    element = Element(symbol)
    if state <= 0:
        return 0.0
    if element.is_lanthanoid or element.is_actinoid:
        return _between(element.Z - (54 if element.is_lanthanoid else 86) - state, _F_SHELL)
    if not element.is_transition_metal:
        return 0.0
    # A shell that is full keeps its electrons: zinc has d10 in all states.
    return _between(element.group - state, _HIGH if element.row == 4 and spin_state == 'high' else _LOW)


def _between(electrons: float, shell: tuple[int, ...]) -> float:
    return float(np.interp(electrons, range(len(shell)), shell))


def _collinear(moments: Sequence[t.Any]) -> list[float]:
    """Return scalar moments, or the components of vectors along their common axis."""
    from pymatgen.electronic_structure.core import Magmom

    values = [0.0 if value is None else value for value in moments]
    if all(np.ndim(getattr(value, 'moment', value)) == 0 for value in values):
        return [float(value) for value in values]
    vectors = np.array([Magmom(value).global_moment for value in values])
    lengths = np.linalg.norm(vectors, axis=1)
    longest = vectors[lengths.argmax()]
    axis = longest / max(float(np.linalg.norm(longest)), 1e-12)
    # The sign of an axis means nothing: of both, the one in the direction of the first component that is not zero.
    axis = axis * (-1 if next((x for x in axis if abs(x) > 1e-6), 1.0) < 0 else 1)
    along = vectors @ axis
    if np.abs(np.abs(along) - lengths).max() > 0.05 * max(float(lengths.max()), 1e-12):
        message = 'the moments of the structure are not collinear: give collinear ones, one number per site'
        raise InvalidInputError(message)
    return [float(value) for value in along]


def _checked(values: Sequence[float], structure: Structure, source: str) -> InitialMoments:
    if len(values) != len(structure):
        message = (
            f'{len(values)} moments for the {len(structure)} atoms of {structure.formula}: give one per atom, in the '
            'order of the atoms, or one per element'
        )
        raise InvalidInputError(message)
    for value in values:
        _check_size(value)
    return InitialMoments(tuple(float(value) for value in values), (source,) * len(structure))


def _check_size(value: float) -> None:
    if not math.isfinite(value) or abs(value) > LARGEST_MOMENT:
        raise InvalidInputError(f'a moment of {value} μB: expected a number between −10 and 10')


def _with_elements(structure: Structure, start: InitialMoments, given: Mapping[str, float]) -> InitialMoments:
    """Return ``start`` with the moments of some elements replaced."""
    symbols = [site.specie.symbol for site in structure]
    for symbol, value in given.items():
        if symbol not in symbols:
            raise InvalidInputError(f'a moment is given for {symbol}, which {structure.formula} does not contain')
        _check_size(value)
    values = tuple(float(given.get(symbol, value)) for symbol, value in zip(symbols, start.values, strict=True))
    sources = zip(symbols, start.sources, strict=True)
    return InitialMoments(values, tuple('given' if symbol in given else source for symbol, source in sources))


def _by_rule(structure: Structure, spin_state: str) -> InitialMoments:
    symbols = [site.specie.symbol for site in structure]
    states = _states(structure)
    if states is None:
        metals = MAGNETIC_METALS.intersection(symbols)
        if metals:
            values = [METAL_MOMENTS.get(symbol, 0.0) for symbol in symbols]
            return InitialMoments(tuple(values), tuple(f'{symbol} in a metal' for symbol in symbols))
    else:
        ions = [ion_moment(*pair, spin_state=spin_state) for pair in zip(symbols, states, strict=True)]
        if any(ions):
            return InitialMoments(tuple(ions), tuple(map(_ion_text, symbols, states, ions, [spin_state] * len(ions))))
    radicals = _radicals(structure)
    words = ('an unpaired electron of a molecule' if value else 'no unpaired electron' for value in radicals)
    return InitialMoments(tuple(radicals), tuple(words))


def _ion_text(symbol: str, state: float, moment: float, spin_state: str) -> str:
    ion = f'{symbol}{abs(state):.3g}{"+" if state > 0 else "−"}'
    return f'{ion} in {spin_state} spin' if moment else f'{ion} has no moment'


def _states(structure: Structure) -> list[float] | None:
    """Return the oxidation state of each site: of the species, of bonds between anions, or of the composition."""
    from aiida_qagenai.chemistry.crystal import Crystal

    own = [getattr(site.specie, 'oxi_state', None) for site in structure]
    if all(state is not None for state in own):
        return [float(t.cast('float', state)) for state in own]
    symbols = [site.specie.symbol for site in structure]
    bonding = Crystal(structure).bonding
    if not isinstance(bonding, str):
        return [float(charge) for charge in bonding.charges]
    assignment = assign_charges(Counter(symbols))
    return None if assignment is None else [assignment.states[symbol] for symbol in symbols]


def _radicals(structure: Structure) -> list[float]:
    """Return the unpaired electrons of molecules and molecular ions of nonmetals, shared by the atoms of each.

    Charges are those that metals of one oxidation state only leave, if all molecules are alike; else none are found.
    """
    elements = [getattr(site.specie, 'element', site.specie) for site in structure]
    moments = [0.0] * len(elements)
    nonmetals = [index for index, element in enumerate(elements) if not element.is_metal]
    charge = _cation_charge([element for element in elements if element.is_metal])
    if not nonmetals or charge is None:
        return moments
    radii = np.array([COVALENT_RADII[element.Z] for element in elements])
    pairs = neighbors(structure, 2 * _CONTACT * float(radii[nonmetals].max()))
    member = np.isin(np.arange(len(elements)), nonmetals)
    near = pairs.distance < _CONTACT * (radii[pairs.first] + radii[pairs.second])
    molecules = fragments(nonmetals, pairs.where(near & member[pairs.first] & member[pairs.second]))
    formulas = {tuple(sorted(elements[index].symbol for index in molecule.atoms)) for molecule in molecules}
    if len(formulas) > 1 or any(molecule.dimension for molecule in molecules) or charge % len(molecules):
        return moments
    own = charge // len(molecules)
    for molecule in molecules:
        electrons = sum(elements[index].Z for index in molecule.atoms) + own
        formula = tuple(sorted(elements[index].symbol for index in molecule.atoms))
        unpaired = 2 if formula in _TRIPLETS and own == 0 else electrons % 2
        for index in molecule.atoms:
            moments[index] = unpaired / len(molecule.atoms)
    return moments


def _cation_charge(metals: list[Element]) -> int | None:
    """Return the charge of metals that have one positive oxidation state only, or None."""
    total = 0
    for metal in metals:
        positive = [state for state in oxidation_states(metal.symbol) if state > 0]
        if len(positive) != 1:
            return None
        total += positive[0]
    return total


def _require_even(structure: Structure) -> None:
    """Refuse an odd number of electrons where no atom has a moment, but in a metal.

    :raises InvalidInputError: if there is an odd one.
    """
    from pymatgen.core import Element

    electrons = sum(structure.atomic_numbers)
    if electrons % 2 and not all(Element(site.specie.symbol).is_metal for site in structure):
        message = (
            f'{structure.formula} has an odd number of electrons per cell, and no rule says which atom has the '
            'unpaired one: give initial moments, one per atom or one per element'
        )
        raise InvalidInputError(message)
