"""Seed structures: known prototypes decorated with chosen elements, strained and perturbed.

The prototypes are the AFLOW library as it ships with pymatgen (M. J. Mehl et al., Comput. Mater. Sci. 136, S1, 2017).
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import typing as t
from pathlib import Path

import numpy as np
from monty.serialization import loadfn

from aiida_qagenai.chemistry.composition import neutral_assignments
from aiida_qagenai.chemistry.elements import ATOMIC_NUMBERS, SYMBOLS, require_elements
from aiida_qagenai.chemistry.geometry import Neighbors, neighbors
from aiida_qagenai.chemistry.oxidation_states import DEFAULT_SOURCE
from aiida_qagenai.chemistry.radii import COVALENT_RADII
from aiida_qagenai.chemistry.species import plain_structure
from aiida_qagenai.chemistry.symmetry import fingerprint, space_group
from aiida_qagenai.common.errors import InvalidInputError

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('SeedStructure', 'decorated_prototypes', 'is_neutral', 'seed_structures')

MINIMUM_RATIO = 0.8
"""Smallest distance kept, in sums of covalent radii (the validation threshold of the paper, section 3.2.1)."""

HYDRIDE_RADIUS = 1.21
"""Radius of H⁻, Å: mean of what the lattice constants of rock-salt LiH (4.08 Å) and NaH (4.88 Å) leave after Shannon's
crystal radii of Li⁺ (0.90 Å) and Na⁺ (1.16 Å). Shannon tabulates none."""

METALLIC_STRETCH = 1.12
"""Contacts between neutral atoms, in sums of covalent radii (2.98 Å for Li–Li; bcc lithium has 3.04)."""

CLOSEST_RATIO = 0.88
"""Contacts that the volume of an ideal structure never undercuts, in sums of covalent radii: 10 % above the limit."""

MINIMUM_ATOMIC_RADIUS = 0.8
"""Smallest radius of a neutral atom in a compound, Å: hydrogen's covalent one would leave it no volume."""

MAX_ATTEMPTS = 20


@dataclasses.dataclass(frozen=True)
class SeedStructure:
    """One structure to start from.

    :param structure: pymatgen structure, primitive cell.
    :param prototype: label, such as ``AB_cF8_225_a_b (Halite, Rock Salt)``, or a known crystal.
    :param variant: ``ideal``, ``strained`` or ``perturbed``.
    :param neutral: whether listed oxidation states can make the composition neutral, the first guess at an insulator.
    """

    structure: Structure
    prototype: str
    variant: t.Literal['ideal', 'strained', 'perturbed']
    neutral: bool


def seed_structures(
    elements: t.Sequence[str],
    *,
    max_atoms: int = 4,
    num_structures: int = 36,
    strain: float = 0.08,
    displacement: float = 0.1,
    neutral_fraction: float = 0.75,
    ideal_fraction: float = 0.5,
    source: str = DEFAULT_SOURCE,
    seed: int = 0,
    ideal: t.Sequence[SeedStructure] | None = None,
) -> list[SeedStructure]:
    """Return ``num_structures`` distinct structures of the chemical system, charge-neutral ones first.

    Within the neutral and within the other structures, ideal ones come first, then strained and perturbed copies in
    turn; smaller and more symmetric prototypes come first. Same arguments, same structures.

    :param max_atoms: largest primitive cell.
    :param strain: largest component of the symmetric strain put on strained and perturbed structures.
    :param displacement: standard deviation of the displacements of perturbed structures along each axis, Å.
    :param neutral_fraction: smallest share of neutral compositions, where the system has any.
    :param ideal_fraction: largest share of undistorted structures.
    :param source: list of oxidation states that decides what is neutral.
    :param ideal: undistorted structures in the order of their importance; decorated prototypes by default.
    :return: ``num_structures`` structures or fewer if the system has no ideal one at all; no distorted one closer than
        ``MINIMUM_RATIO`` of the sums of covalent radii, none a duplicate by fingerprint.
    :raises InvalidInputError: on an unknown element or a number out of range.
    """
    checks = {
        'max_atoms must be at least 1': max_atoms >= 1,
        'num_structures must be at least 1': num_structures >= 1,
        'strain must lie in 0–0.3': 0 <= strain <= 0.3,
        'displacement must lie in 0–1 Å': 0 <= displacement <= 1,
        'neutral_fraction must lie in 0–1': 0 <= neutral_fraction <= 1,
        'ideal_fraction must lie in 0–1': 0 <= ideal_fraction <= 1,
    }
    for message, satisfied in checks.items():
        if not satisfied:
            raise InvalidInputError(message)
    if ideal is None:
        ideal = decorated_prototypes(elements, max_atoms=max_atoms, source=source)
    rng = np.random.default_rng(seed)
    fill = functools.partial(_fill, ideal_fraction=ideal_fraction, strain=strain, displacement=displacement, rng=rng)
    neutral = fill([item for item in ideal if item.neutral], num_structures)
    reserved = round(num_structures * neutral_fraction) if neutral else 0
    others = fill([item for item in ideal if not item.neutral], num_structures - reserved)
    if others and neutral:
        neutral = fill([item for item in ideal if item.neutral], num_structures - len(others))
    return neutral + others


def decorated_prototypes(
    elements: t.Sequence[str], *, max_atoms: int = 4, source: str = DEFAULT_SOURCE
) -> list[SeedStructure]:
    """Return every distinct decoration of the prototypes with all of ``elements``, at a sensible volume.

    Neutral compositions come first, then smaller and more symmetric cells.

    :raises InvalidInputError: on an unknown element.
    """
    symbols = require_elements(elements)
    found: list[SeedStructure] = []
    seen: set[str] = set()
    for label, prototype in _prototypes(max_atoms):
        kinds = sorted({site.specie.symbol for site in prototype})
        for choice in itertools.product(symbols, repeat=len(kinds)):
            if set(choice) != set(symbols):
                continue
            mapping = dict(zip(kinds, choice, strict=True))
            structure = _decorate(prototype, mapping, source)
            key = fingerprint(structure)
            if key not in seen:
                seen.add(key)
                found.append(SeedStructure(structure, label, 'ideal', is_neutral(structure, source)))
    return sorted(found, key=lambda item: not item.neutral)


@functools.lru_cache(maxsize=8)
def _prototypes(max_atoms: int) -> list[tuple[str, Structure]]:
    """Return (label, primitive cell) of the library, smaller and more symmetric cells first."""
    from pymatgen import analysis
    from pymatgen.core import Structure

    # The file behind pymatgen's AFLOW_PROTOTYPE_LIBRARY, which takes seconds to load for the citations in it.
    (path,) = (file for folder in analysis.__path__ for file in Path(folder).rglob('aflow_prototypes.json*'))
    rows = []
    for entry in loadfn(path, cls=None):
        sites, tags = entry['snl']['sites'], entry['tags']
        # centring divides a cell by at most four
        if len(sites) > 4 * max_atoms:
            continue
        primitive = Structure.from_dict(entry['snl']).get_primitive_structure()
        if len(primitive) <= max_atoms:
            primitive = plain_structure(primitive)
            name = tags['mineral'] or tags['strukturbericht']
            label = f'{tags["aflow"]} ({name})' if name and name != 'None' else tags['aflow']
            rows.append((len(primitive), -(space_group(primitive).number or 0), label, primitive))
    return [(label, structure) for _, _, label, structure in sorted(rows, key=lambda row: row[:3])]


def _decorate(prototype: Structure, mapping: t.Mapping[str, str], source: str) -> Structure:
    """Return ``prototype`` with its elements replaced and its volume set by radii."""
    from pymatgen.core import Lattice, Structure

    species = [mapping[site.specie.symbol] for site in prototype]
    structure = Structure(prototype.lattice, species, prototype.frac_coords)
    pairs = neighbors(structure, 2.2 * (structure.volume / len(structure)) ** (1 / 3))
    radii = np.array([COVALENT_RADII[number] for number in structure.atomic_numbers])
    closest = CLOSEST_RATIO * (radii[pairs.first] + radii[pairs.second])
    ratio = float((closest / pairs.distance).max())
    assignment = _assignment(structure, source)
    if assignment is None:
        # as in a close packing of spheres, which fill their cubes 4√2 r³
        spheres = np.maximum(METALLIC_STRETCH * radii, MINIMUM_ATOMIC_RADIUS)
        ratio = max(ratio, (4 * 2**0.5 * float((spheres**3).sum()) / structure.volume) ** (1 / 3))
    else:
        ratio = max(ratio, _ionic_ratio(structure, assignment, pairs))
    return Structure(Lattice(prototype.lattice.matrix * ratio), species, prototype.frac_coords)


def _ionic_ratio(structure: Structure, assignment: t.Mapping[str, int], pairs: Neighbors) -> float:
    """Return the factor of the lattice that brings the closest cation and anion into contact.

    Six-coordinate radii are corrected for other coordination numbers as by Pauling, with a Born exponent of 9.
    """
    symbols = [SYMBOLS[number - 1] for number in structure.atomic_numbers]
    charges = np.array([assignment[symbol] for symbol in symbols])
    radii = np.array([_ionic_radius(symbol, assignment[symbol]) for symbol in symbols])
    opposite = charges[pairs.first] * charges[pairs.second] < 0
    if not opposite.any():
        return 0.0
    ratios = (radii[pairs.first] + radii[pairs.second])[opposite] / pairs.distance[opposite]
    touching = pairs.first[opposite][ratios > ratios.max() / 1.15]
    coordination = int(np.bincount(touching).max())
    return float(ratios.max() * (coordination / 6) ** (1 / 8))


@functools.cache
def _ionic_radius(symbol: str, charge: int) -> float:
    """Return the six-coordinate radius of an ion, Å, or the closest one that is tabulated."""
    from pymatgen.core import Element

    if (symbol, charge) == ('H', -1):
        return HYDRIDE_RADIUS
    same_sign = {q: r for q, r in Element(symbol).ionic_radii.items() if q * charge > 0}
    if same_sign:
        return float(same_sign[min(same_sign, key=lambda q: abs(q - charge))])
    return COVALENT_RADII[ATOMIC_NUMBERS[symbol]]


def is_neutral(structure: Structure, source: str = DEFAULT_SOURCE) -> bool:
    """Return whether listed oxidation states can make a compound neutral, in the order of electronegativities."""
    return _assignment(structure, source) is not None


def _assignment(structure: Structure, source: str) -> dict[str, int] | None:
    """Return the neutral oxidation states of least magnitude in electronegativity order, or ``None``."""
    composition = {str(element): int(amount) for element, amount in structure.composition.items()}
    choices = neutral_assignments(composition, source=source, electronegativity_order=True)
    return min(choices, key=lambda choice: (sum(map(abs, choice.values())), str(choice))) if choices else None


def _fill(
    ideal: list[SeedStructure],
    number: int,
    *,
    ideal_fraction: float,
    strain: float,
    displacement: float,
    rng: np.random.Generator,
) -> list[SeedStructure]:
    """Return ``number`` structures: the ideal ones up to their share, then distorted copies of all in turn."""
    if not ideal or number <= 0:
        return []
    chosen = ideal[: max(1, round(number * ideal_fraction))]
    seen = {fingerprint(item.structure) for item in chosen}
    for turn in range(MAX_ATTEMPTS * number):
        if len(chosen) == number:
            break
        item = ideal[turn % len(ideal)]
        # alternate along the list and again from one pass over the list to the next
        variant: t.Literal['strained', 'perturbed'] = 'perturbed' if (turn + turn // len(ideal)) % 2 else 'strained'
        structure = _distort(item.structure, strain, displacement if variant == 'perturbed' else 0.0, rng)
        if structure is None or (key := fingerprint(structure)) in seen:
            continue
        seen.add(key)
        chosen.append(dataclasses.replace(item, structure=structure, variant=variant))
    return chosen


def _distort(structure: Structure, strain: float, displacement: float, rng: np.random.Generator) -> Structure | None:
    """Return a strained copy with displaced atoms that keeps the minimum distances, or ``None`` after many attempts."""
    from pymatgen.core import Lattice, Structure

    for _ in range(MAX_ATTEMPTS):
        drawn = rng.uniform(-strain, strain, size=(3, 3))
        matrix = structure.lattice.matrix @ (np.eye(3) + (drawn + drawn.T) / 2)
        shifts = rng.normal(0.0, displacement, size=(len(structure), 3)) if displacement else 0.0
        coordinates = structure.frac_coords @ matrix + shifts
        candidate = Structure(Lattice(matrix), structure.species, coordinates, coords_are_cartesian=True)
        if _keeps_distance(candidate):
            return candidate
    return None


def _keeps_distance(structure: Structure) -> bool:
    radii = np.array([COVALENT_RADII[number] for number in structure.atomic_numbers])
    first, second, _, distance = neighbors(structure, 2 * MINIMUM_RATIO * float(radii.max()))
    return bool((distance >= MINIMUM_RATIO * (radii[first] + radii[second])).all())
