"""From a formula or a chemical system to known crystals with exchanged elements, the most probable first."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
import typing as t
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.chemistry.charges import SIMPLE_ANIONS, balances_commonly
from aiida_qagenai.chemistry.duplicates import KnownStructures
from aiida_qagenai.chemistry.elements import ATOMIC_NUMBERS, SYMBOLS
from aiida_qagenai.evaluation.validity import composition_is_valid
from aiida_qagenai.motifs.compositions import CompositionPrior, compositions_of_system
from aiida_qagenai.motifs.library import MotifLibrary
from aiida_qagenai.motifs.ranking import Ranking
from aiida_qagenai.motifs.retrieval import Candidates, find_candidates
from aiida_qagenai.motifs.symmetry import SymmetricCrystal, space_group_number
from aiida_qagenai.motifs.volumes import VolumeModel

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = (
    'Limits',
    'MotifModels',
    'Proposal',
    'exchanged',
    'has_common_states',
    'is_balanced',
    'kinds_of',
    'known_as',
    'most_alike',
    'propose',
    'propose_in_system',
)

PER_COMPOSITION = 20
"""Motifs of one composition that are looked at in a chemical system."""

LOOKED_AT = 6
"""Proposals that are compared with each other, per one that is wanted."""

PER_CLASS = 3
"""Motifs with the same space group, cell size and sites that are looked at."""


@dataclasses.dataclass(frozen=True)
class MotifModels:
    """What the retrieval of motifs needs: known crystals and the models that were fitted to them."""

    library: MotifLibrary
    ranking: Ranking
    volumes: VolumeModel
    prior: CompositionPrior

    @classmethod
    @functools.cache
    def default(cls) -> MotifModels:
        """Return what comes with the package."""
        return cls(MotifLibrary.default(), Ranking.default(), VolumeModel.default(), CompositionPrior.default())


class Limits(t.NamedTuple):
    """What proposals must not exceed.

    :param formula_units: in the primitive cell; any number if ``None``.
    :param min_atoms: in the primitive cell.
    :param max_atoms: in the primitive cell.
    :param space_group: 1–230; any if ``None``.
    :param excluded: reduced formulas whose crystals are not used.
    """

    formula_units: int | None = None
    min_atoms: int = 1
    max_atoms: int = 60
    space_group: int | None = None
    excluded: frozenset[str] = frozenset()


ANY = Limits()

METASTABLE = 0.05
"""Energy above the hull at which the probability of a known crystal has fallen to 1/e, eV/atom."""


class Proposal(t.NamedTuple):
    """A known crystal after the exchange of its elements, at the volume that the model expects.

    :param crystal: with the symmetry of the motif, exactly.
    :param motif: identifier of the known crystal.
    :param motif_formula: its reduced formula.
    :param space_group: 1–230.
    :param exchange: element of the motif → element in its place.
    :param probability: that the composition crystallises like the motif, for a known crystal of the composition by its
        energy above the hull; in a chemical system times the probability of the composition.
    """

    crystal: SymmetricCrystal
    motif: str
    motif_formula: str
    space_group: int
    exchange: dict[str, str]
    probability: float

    @property
    def structure(self) -> Structure:
        """Return the crystal as a pymatgen structure."""
        from pymatgen.core import Structure

        return Structure(self.crystal.cell, self.crystal.species, self.crystal.fractional)


def propose(
    models: MotifModels, composition: Mapping[str, int], *, count: int = 20, limits: Limits = ANY
) -> list[Proposal]:
    """Return at most ``count`` proposals for a composition, no two of them alike, the most probable first.

    :param composition: element → amount; only the ratio counts.
    :raises InvalidInputError: if an element has no tabulated properties.
    """
    numbers = {ATOMIC_NUMBERS[symbol]: amount for symbol, amount in composition.items()}
    candidates = _within(models.library, _candidates(models, numbers, limits, LOOKED_AT * count), limits)
    probabilities = _probabilities(models, candidates)
    order = np.argsort(-probabilities, kind='stable')
    proposals = (
        exchanged(models.library, models.volumes, candidates, int(index), float(probabilities[index]))
        for index in order
    )
    return _distinct(proposals, count)


def propose_in_system(
    models: MotifModels,
    elements: Sequence[str],
    *,
    count: int = 20,
    limits: Limits = ANY,
    amounts: tuple[int, ...] | None = None,
    per_composition: int | None = None,
    report: Callable[[int, int], object] = lambda done, total: None,
) -> list[Proposal]:
    """Return at most ``count`` proposals with all of ``elements``, no two of them alike, the most probable first.

    :param amounts: of the only anonymous formula that is wanted, ascending.
    :param per_composition: largest number of proposals of one composition; a tenth of ``count`` if ``None``.
    :param report: called with the number of compositions that were looked at, and of all.
    :raises InvalidInputError: on an unknown element.
    """
    most = per_composition or most_alike(count)
    rated = compositions_of_system(models.library, models.prior, elements, max_atoms=min(limits.max_atoms, 40))
    if amounts is not None:
        rated = [each for each in rated if tuple(sorted(each.amounts.values())) == amounts]
    rated = rated[: max(20, 2 * count)]
    found: list[tuple[float, int, Candidates, int]] = []
    for number, composition in enumerate(rated):
        candidates = _candidates(models, composition.amounts, limits, PER_COMPOSITION)
        candidates = _within(models.library, candidates, limits)
        for index, probability in enumerate(_probabilities(models, candidates)):
            found.append((float(probability) * composition.probability, number, candidates, index))
        report(number + 1, len(rated))
    found.sort(key=lambda item: (-item[0], item[1], item[3]))
    proposals = (
        exchanged(models.library, models.volumes, candidates, index, probability)
        for probability, _, candidates, index in found
    )
    return _distinct(proposals, count, most)


def kinds_of(structure: Structure, space_group: int | None) -> tuple[str, tuple[str, int | None]]:
    """Return what a crystal is an example of: its reduced formula, and its prototype."""
    content = structure.composition
    return content.reduced_formula, (content.anonymized_formula, space_group)


def is_balanced(structure: Structure) -> bool:
    """Return whether the charges of a composition can balance, by the rules of SMACT, or it is an alloy."""
    return composition_is_valid(_amounts(structure))


def has_common_states(structure: Structure) -> bool:
    """Return whether they balance in states that are not rare, or the crystal has no simple anion.

    The rules of SMACT admit YF2 and AlCl2 as well.
    """
    amounts = _amounts(structure)
    return SIMPLE_ANIONS.isdisjoint(amounts) or balances_commonly(amounts)


def _amounts(structure: Structure) -> dict[str, int]:
    return {element.symbol: round(amount) for element, amount in structure.composition.items()}


def most_alike(count: int) -> int:
    """Return how many of ``count`` proposals of a chemical system may have one composition."""
    return max(2, count // 10)


def known_as(library: MotifLibrary, structure: Structure) -> str | None:
    """Return the identifier of a crystal of the library that is the same (see ``KnownStructures``), or ``None``."""
    from pymatgen.core import Structure

    indices = np.flatnonzero(library.formulas == structure.composition.reduced_formula)
    crystals = [library.crystal(int(index)) for index in indices]
    found = KnownStructures(
        [Structure(each.cell, each.species, each.fractional) for each in crystals], distortions=False
    ).find(structure)
    return None if found is None else str(library.identifiers[indices[found]])


def exchanged(
    library: MotifLibrary, volumes: VolumeModel, candidates: Candidates, index: int, probability: float = math.nan
) -> Proposal:
    """Return one candidate with its elements exchanged and its volume scaled."""
    motif = int(candidates.motifs[index])
    crystal, exchange = library.crystal(motif), candidates.exchange(index)
    before = library.compositions[motif]
    scale = volumes.scale(before, {exchange[number]: amount for number, amount in before.items()})
    new = crystal._replace(
        cell=crystal.cell * scale ** (1 / 3), species=np.array([exchange[int(number)] for number in crystal.species])
    )
    return Proposal(
        crystal=new,
        motif=str(library.identifiers[motif]),
        motif_formula=str(library.formulas[motif]),
        space_group=space_group_number(library.unit(motif).hall_number),
        exchange={SYMBOLS[old - 1]: SYMBOLS[wanted - 1] for old, wanted in exchange.items()},
        probability=probability,
    )


def _probabilities(models: MotifModels, candidates: Candidates) -> NDArray[np.float64]:
    """Return the probability of each candidate; known crystals of the composition have one by their stability."""
    probabilities = models.ranking.probabilities(candidates)
    known = (candidates.exchanged == candidates.wanted[None]).all(1)
    energies = models.library.e_above_hull[candidates.motifs[known]].astype(np.float64)
    by_stability = np.exp(-np.maximum(energies, 0.0) / METASTABLE)
    probabilities[known] = np.where(np.isnan(energies), probabilities[known], by_stability)
    return probabilities


def _candidates(models: MotifModels, composition: Mapping[int, int], limits: Limits, limit: int) -> Candidates:
    return find_candidates(
        models.library,
        composition,
        formula_units=limits.formula_units,
        excluded=limits.excluded,
        per_class=PER_CLASS,
        limit=limit,
    )


def _within(library: MotifLibrary, candidates: Candidates, limits: Limits) -> Candidates:
    """Return the candidates that keep the limits."""
    kept: NDArray[np.bool_] = np.array(
        [_keeps(library, int(motif), limits) for motif in candidates.motifs], dtype=np.bool_
    )
    return dataclasses.replace(
        candidates,
        motifs=candidates.motifs[kept],
        exchanged=candidates.exchanged[kept],
        classes=candidates.classes[kept],
        features=candidates.features[kept],
    )


def _keeps(library: MotifLibrary, motif: int, limits: Limits) -> bool:
    num_atoms = sum(library.compositions[motif].values())
    group = space_group_number(library.unit(motif).hall_number) if limits.space_group else None
    return limits.min_atoms <= num_atoms <= limits.max_atoms and group == limits.space_group


def _distinct(proposals: Iterable[Proposal], count: int, per_composition: int | None = None) -> list[Proposal]:
    """Return the first ``count`` proposals that are not the same crystal as an earlier one.

    Of those that are the same, the most symmetric stands for all, with the probability of the first.
    """
    known = KnownStructures(distortions=False)
    numbers: Counter[str] = Counter()
    kept: list[Proposal] = []
    for each in itertools.islice(proposals, LOOKED_AT * count):
        if len(kept) == count and len(each.crystal.rotations) <= min(len(other.crystal.rotations) for other in kept):
            continue  # it could only take the place of a less symmetric one
        structure = each.structure
        formula = structure.composition.reduced_formula
        same = known.find(structure)
        if same is not None:
            if len(each.crystal.rotations) > len(kept[same].crystal.rotations):
                kept[same] = each._replace(probability=kept[same].probability)
        elif len(kept) < count and numbers[formula] != per_composition:
            known.add(structure)
            numbers[formula] += 1
            kept.append(each)
    return kept
