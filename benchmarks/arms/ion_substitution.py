"""Data-mined ionic substitution: known crystals in the order of pymatgen's probabilities.

The probabilities are those of G. Hautier et al., Inorg. Chem. 50, 656 (2011), conditional on the known crystal, as in
pymatgen's ``Substitutor``; the volume is its data-mined one (``DLSVolumePredictor``). The published table is of ions:
where the charges of a crystal are unknown, as in alloys, the probability of an element is summed over its ions.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import typing as t
from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np
from pymatgen.core import Lattice, Species, Structure
from pymatgen.core.structure_prediction.substitution_probability import SubstitutionProbability
from pymatgen.core.structure_prediction.volume_predictor import DLSVolumePredictor

from aiida_qagenai.chemistry.charges import assign_charges
from aiida_qagenai.chemistry.duplicates import KnownStructures
from aiida_qagenai.chemistry.elements import ATOMIC_NUMBERS, SYMBOLS
from aiida_qagenai.motifs.library import MotifLibrary
from arms import Arm, filled_up

UNKNOWN_E_ABOVE_HULL = 0.02
"""Taken for crystals whose energy above the hull is not known, eV/atom."""

LOOKED_AT = 6
"""Substitutions that are compared with each other, per one that is wanted."""


def build(excluded: frozenset[str]) -> Arm:
    """Return the arm on the library of the package."""
    return IonSubstitution(MotifLibrary.default(), excluded)


class Substitution(t.NamedTuple):
    """A known crystal and what takes the place of its elements.

    :param motif: position in the library.
    :param exchange: atomic number of the known crystal → wanted one.
    :param log_probability: of the exchange.
    """

    motif: int
    exchange: dict[int, int]
    log_probability: float


@dataclasses.dataclass(frozen=True)
class IonSubstitution:
    """Substitutions in the order of their probability; nothing is drawn."""

    library: MotifLibrary
    excluded: frozenset[str]

    def __call__(self, composition: Mapping[str, int], count: int, seed: int) -> list[Structure | None]:
        """Return the most probable substitutions, no two alike."""
        return filled_up(distinct(self.library, substitutions(self.library, composition, self.excluded), count), count)


def substitutions(
    library: MotifLibrary, composition: Mapping[str, int], excluded: frozenset[str]
) -> list[Substitution]:
    """Return all substitutions that give a primitive cell of this content, the most probable first.

    Those of one probability, as all polymorphs of one compound have, follow in the order of stability.
    """
    divisor = math.gcd(*composition.values())
    family = library.families.get(tuple(sorted(amount // divisor for amount in composition.values())))
    if family is None:
        return []
    kept = (family.formula_units == divisor) & ~np.isin(library.formulas[family.motifs], list(excluded))
    orders = [
        order
        for order in itertools.permutations(ATOMIC_NUMBERS[symbol] for symbol in composition)
        if all(composition[SYMBOLS[z - 1]] == divisor * n for z, n in zip(order, family.amounts, strict=True))
    ]
    found = []
    for motif, elements in zip(family.motifs[kept].tolist(), family.elements[kept].tolist(), strict=True):
        for order in orders:
            logarithm = log_probability(family.amounts, tuple(elements), order)
            found.append(Substitution(motif, dict(zip(elements, order, strict=True)), logarithm))
    hull = np.nan_to_num(library.e_above_hull, nan=UNKNOWN_E_ABOVE_HULL)
    return sorted(found, key=lambda each: (-each.log_probability, float(hull[each.motif]), each.motif))


def distinct(library: MotifLibrary, ordered: Iterable[Substitution], count: int) -> list[Structure]:
    """Return the crystals of the first ``count`` substitutions that are not the same as an earlier one."""
    known = KnownStructures(distortions=False)
    kept: list[Structure] = []
    for each in itertools.islice(ordered, LOOKED_AT * count):
        crystal = substituted(library, each)
        if known.find(crystal) is None:
            known.add(crystal)
            kept.append(crystal)
            if len(kept) == count:
                break
    return kept


def substituted(library: MotifLibrary, substitution: Substitution) -> Structure:
    """Return the crystal of a substitution with the volume that pymatgen expects."""
    crystal = library.crystal(substitution.motif)
    species = [SYMBOLS[substitution.exchange[int(number)] - 1] for number in crystal.species]
    structure = Structure(Lattice(crystal.cell), species, crystal.fractional)
    try:
        return DLSVolumePredictor().get_predicted_structure(structure)
    except ValueError:  # it finds no neighbours with a radius: the volume of the known crystal stays
        return structure


@functools.lru_cache(maxsize=500_000)
def log_probability(amounts: tuple[int, ...], known: tuple[int, ...], wanted: tuple[int, ...]) -> float:
    """Return the logarithm of the probability that ``wanted`` takes the place of ``known``, element by element."""
    before, after = _charges(known, amounts), _charges(wanted, amounts)
    if before is None or after is None:
        return sum(_log_of_elements(old, new) for old, new in zip(known, wanted, strict=True))
    return sum(_log_of_ions(old, new) for old, new in zip(before, after, strict=True))


@functools.lru_cache(maxsize=100_000)
def _charges(elements: tuple[int, ...], amounts: tuple[int, ...]) -> tuple[str, ...] | None:
    """Return the ions of a composition, or ``None`` if no whole charges balance."""
    symbols = [SYMBOLS[number - 1] for number in elements]
    found = assign_charges(dict(zip(symbols, amounts, strict=True)))
    if found is None or any(state != round(state) or not state for state in found.states.values()):
        return None
    return tuple(str(Species(symbol, round(found.states[symbol]))) for symbol in symbols)


@functools.cache
def _model() -> SubstitutionProbability:
    return SubstitutionProbability()


@functools.cache
def _log_of_ions(known: str, wanted: str) -> float:
    model = _model()
    if model.get_px(known) == 0:  # an ion without data: as improbable as what was never observed
        return model.alpha
    return math.log(model.cond_prob(wanted, known))


@functools.cache
def _log_of_elements(known: int, wanted: int) -> float:
    """Return the logarithm of the probability of an element, given another, summed over the ions of both."""
    model, ions = _model(), _ions()
    before, after = ions[SYMBOLS[known - 1]], ions[SYMBOLS[wanted - 1]]
    total = sum(model.get_px(ion) for ion in before)
    if not before or not after:
        return model.alpha
    return math.log(sum(math.exp(model.get_lambda(old, new)) for old in before for new in after) / total)


@functools.cache
def _ions() -> Mapping[str, list[Species]]:
    """Return the ions of each element that pymatgen has data of."""
    found = defaultdict(list)
    for ion in sorted(_model().species):
        found[ion.symbol].append(ion)
    return found
