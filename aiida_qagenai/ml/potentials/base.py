"""The one interface of everything that evaluates crystals, and its view as an ASE calculator.

Shapes: n structures, N atoms in all. Energies in eV per cell, forces in eV/Å, stresses in eV/Å3. The stress is
(1/V) dE/dε, as in ASE: it is negative where the crystal expands if it may.
"""

from __future__ import annotations

import typing as t
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
from ase.calculators.calculator import Calculator, all_changes
from ase.stress import full_3x3_to_voigt_6_stress
from numpy.typing import NDArray

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.ml.elements import element_symbols
from aiida_qagenai.ml.graph import Pairs, neighbour_list

if t.TYPE_CHECKING:
    from ase import Atoms

__all__ = ('Evaluation', 'Potential', 'PotentialCalculator', 'chunks')


class Evaluation(t.NamedTuple):
    """What a potential says about structures.

    :param energies: shape (n,), eV per cell.
    :param forces: shape (N, 3), eV/Å.
    :param stresses: shape (n, 3, 3), eV/Å3.
    :param sigmas: standard deviation of the energies where the potential is an ensemble, shape (n,), eV per cell.
    """

    energies: NDArray[np.float64]
    forces: NDArray[np.float64]
    stresses: NDArray[np.float64]
    sigmas: NDArray[np.float64] | None = None


class Potential(ABC):
    """A potential energy surface of periodic crystals.

    :param tag: what marks energies of this potential, its version included: two tags never meet in one hull.
    :param level: level of theory of the energies, which goes with every label made by this potential.
    :param sha256: checksum of the file of the weights; None for a potential without weights.
    :param cutoff: distance beyond which an atom sees nothing, Å; None if that is not known.
    :param elements: atomic numbers that the potential knows; None if that is not known.
    """

    def __init__(
        self, *, tag: str, level: str, sha256: str | None, cutoff: float | None, elements: frozenset[int] | None
    ) -> None:
        self.tag = tag
        self.level = level
        self.sha256 = sha256
        self.cutoff = cutoff
        self.elements = elements

    def evaluate(self, structures: StructureBatch) -> Evaluation:
        """Return energies, forces and stresses of ``structures``, all in one batch.

        :raises InvalidInputError: for the first structure that the potential cannot describe: it contains an unknown
            element, or an atom without a neighbour within the cutoff.
        """
        pairs, problems = self._inspect(structures)
        for problem in problems:
            if problem:
                raise InvalidInputError(problem)
        return self._evaluate(structures, pairs)

    def evaluate_each(self, structures: StructureBatch) -> tuple[Evaluation, list[str]]:
        """Return the same, NaN for structures that fail, and for each structure the reason, empty if it did not.

        :raises MemoryError: if the batch does not fit in the memory.
        """
        found = _nothing(structures)
        pairs, problems = self._inspect(structures)
        good = [index for index, problem in enumerate(problems) if not problem]
        if good:
            try:
                self._fill(found, structures, pairs, good)
            except MemoryError:
                raise
            except Exception:  # one crystal that a library cannot take must not cost the others: each by itself
                for index in good:
                    try:
                        self._fill(found, structures, pairs, [index])
                    except Exception as exception:
                        problems[index] = ' '.join(str(exception).split()) or type(exception).__name__
        finite = _finite(found, structures)
        for index in good:
            if not finite[index] and not problems[index]:
                problems[index] = 'the potential gives numbers that are not finite'
        bad = ~finite
        found.energies[bad], found.stresses[bad], found.forces[bad[structures.owner]] = np.nan, np.nan, np.nan
        return found, problems

    def calculator(self) -> PotentialCalculator:
        """Return the potential as an ASE calculator."""
        return PotentialCalculator(self)

    @abstractmethod
    def _evaluate(self, structures: StructureBatch, pairs: Sequence[Pairs]) -> Evaluation:
        """Evaluate structures of known elements without isolated atoms.

        :param pairs: neighbours of each structure within the cutoff, as :func:`neighbour_list` gives them; empty for a
            potential whose cutoff is not known.
        """

    def _fill(
        self, found: Evaluation, structures: StructureBatch, pairs: Sequence[Pairs], indices: Sequence[int]
    ) -> None:
        """Evaluate the structures at ``indices`` and write the results into ``found``."""
        chosen = structures.select(list(indices))
        part = self._evaluate(chosen, [pairs[index] for index in indices] if pairs else [])
        found.energies[indices], found.stresses[indices] = part.energies, part.stresses
        found.forces[np.isin(structures.owner, indices)] = part.forces

    def _inspect(self, structures: StructureBatch) -> tuple[list[Pairs], list[str]]:
        """Return the neighbours of each structure, and why the potential cannot describe it, empty if it can."""
        pairs: list[Pairs] = []
        problems = []
        nothing = np.zeros(0, dtype=np.int64)
        for cell, species, fractional in structures:
            problem, found = self._unknown(species), (nothing, nothing, np.zeros((0, 3), dtype=np.int64))
            if self.cutoff is not None and not problem:
                try:
                    found = neighbour_list(cell, fractional @ cell, self.cutoff)
                    problem = self._isolated(species, found)
                except MemoryError:
                    raise
                except Exception as exception:  # a cell that the list cannot take is the problem of one structure
                    problem = ' '.join(str(exception).split()) or type(exception).__name__
            pairs.append(found)
            problems.append(problem)
        return pairs, problems

    def _unknown(self, species: NDArray[np.int64]) -> str:
        """Return why the elements of a structure are a problem, empty if they are not."""
        unknown = set() if self.elements is None else set(species.tolist()) - self.elements
        if not unknown:
            return ''
        return f'the potential {self.tag} was not trained on {", ".join(element_symbols(sorted(unknown)))}'

    def _isolated(self, species: NDArray[np.int64], pairs: Pairs) -> str:
        """Return which atom has no neighbour, which may be an image of itself, empty if all have one."""
        isolated = np.setdiff1d(np.arange(len(species)), pairs[0])
        if not len(isolated):
            return ''
        first = int(isolated[0])
        others = f' ({len(isolated)} atoms of {len(species)} have none)' if len(isolated) > 1 else ''
        return (
            f'atom {first} ({element_symbols([species[first]])[0]}) of {_formula(species)} has no neighbour within '
            f'{self.cutoff:.3g} Å, the cutoff of the potential {self.tag}{others}: the potential cannot describe it; '
            'use a denser structure'
        )


class PotentialCalculator(Calculator):
    """A potential for what needs an ASE calculator: phonons, minimum-energy paths, single relaxations.

    :raises InvalidInputError: when it meets a structure that the potential cannot describe.
    """

    implemented_properties: t.ClassVar[list[str]] = ['energy', 'free_energy', 'forces', 'stress', 'energy_sigma']

    def __init__(self, potential: Potential) -> None:
        super().__init__()
        self.potential = potential

    def calculate(
        self,
        atoms: Atoms | None = None,
        properties: t.Sequence[str] = ('energy',),
        system_changes: t.Sequence[str] = all_changes,
    ) -> None:
        """Compute all properties of ``atoms``: energy (eV), forces (eV/Å), stress (eV/Å3), σ of an ensemble (eV)."""
        super().calculate(atoms, properties, system_changes)
        if not self.atoms.pbc.all():
            message = f'{self.atoms.get_chemical_formula()} is not periodic in all directions: put it into a cell'
            raise InvalidInputError(message)
        found = self.potential.evaluate(StructureBatch.from_atoms([self.atoms]))
        energy = float(found.energies[0])
        stress = full_3x3_to_voigt_6_stress(found.stresses[0])
        self.results = {'energy': energy, 'free_energy': energy, 'forces': found.forces, 'stress': stress}
        if found.sigmas is not None:
            self.results['energy_sigma'] = float(found.sigmas[0])


def chunks(structures: StructureBatch, max_atoms: int) -> Iterator[NDArray[np.int64]]:
    """Yield the indices of consecutive structures, together at most ``max_atoms`` atoms, but at least one structure."""
    start = atoms = 0
    for index, count in enumerate(structures.num_atoms.tolist()):
        if index > start and atoms + count > max_atoms:
            yield np.arange(start, index)
            start, atoms = index, 0
        atoms += count
    if start < len(structures):
        yield np.arange(start, len(structures))


def _nothing(structures: StructureBatch) -> Evaluation:
    """Return an evaluation in which everything is NaN."""
    n = len(structures)
    return Evaluation(np.full(n, np.nan), np.full((len(structures.species), 3), np.nan), np.full((n, 3, 3), np.nan))


def _finite(found: Evaluation, structures: StructureBatch) -> NDArray[np.bool_]:
    """Return which structures have finite energies, forces and stresses, shape (n,)."""
    atoms = np.isfinite(found.forces).all(axis=1)
    broken = np.bincount(structures.owner[~atoms], minlength=len(structures)) > 0
    finite: NDArray[np.bool_] = np.isfinite(found.energies) & np.isfinite(found.stresses).all(axis=(1, 2)) & ~broken
    return finite


def _formula(species: NDArray[np.int64]) -> str:
    from ase.formula import Formula

    return str(Formula.from_list(list(element_symbols(species))).format('hill'))
