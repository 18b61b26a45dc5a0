"""The space of neutral compositions, counted and sampled without enumeration (paper sections 3.1.1 and 3.1.3).

A *species composition* says how many atoms of each element a cell has and which oxidation state they share. Dynamic
programming over the elements counts them exactly: the table holds, for every number of elements, atoms and net charge,
how many choices lead there. Walking back through the tables draws from them uniformly. A composition with several
neutral assignments is drawn several times as often; keeping a draw with the inverse of that number makes the draws
uniform over compositions, and turns the exact count of species compositions into an unbiased one of compositions.
"""

from __future__ import annotations

import functools
import json
import math
import typing as t
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.chemistry.composition import count_assignments, mixed_elements, reachable_charges
from aiida_qagenai.chemistry.elements import require_elements
from aiida_qagenai.chemistry.oxidation_states import DEFAULT_SOURCE, electronegativity, oxidation_states
from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('ALLOWED_ELEMENTS', 'EXCLUDED_ELEMENTS', 'CompositionSpace', 'Estimate', 'unconstrained_count')

_LISTS = json.loads((Path(__file__).parent / 'allowed_elements.json').read_text(encoding='utf8'))

ALLOWED_ELEMENTS: tuple[str, ...] = tuple(_LISTS['allowed'])
"""The 63 elements of the search space."""

EXCLUDED_ELEMENTS: dict[str, str] = dict(_LISTS['excluded'])
"""Every other element → why it is left out."""

LARGEST_DRAW = 50_000
"""Species compositions drawn at once."""

_PHASES = 3  # no anion yet; first anion among elements of the same electronegativity; anion before
_LARGEST_INTEGER = 2**62


class Estimate(t.NamedTuple):
    """A number known from samples, with its standard error."""

    value: float
    standard_error: float


class _Option(t.NamedTuple):
    """One element in one amount and total charge."""

    atoms: int
    charge: int

    @property
    def state(self) -> float:
        """Return the oxidation state, the mean one where atoms differ."""
        return self.charge // self.atoms if self.charge % self.atoms == 0 else self.charge / self.atoms


class CompositionSpace:
    """All neutral compositions of up to ``max_atoms`` atoms of up to ``max_elements`` of the given elements.

    :param elements: the elements to choose from.
    :param max_atoms: largest number of atoms per cell.
    :param min_elements: smallest number of different elements, at least 2.
    :param max_elements: largest number of different elements.
    :param mixed_valence: elements whose atoms may differ in state; ``True`` for the default ones. A species composition
        then says their total charge, in however many ways the atoms share it.
    :param source: the list of oxidation states.
    :param electronegativity_order: whether no cation may be more electronegative than an anion.
    :raises InvalidInputError: on unknown elements, an empty range, or a space too large for 64-bit counts.
    """

    def __init__(
        self,
        elements: Sequence[str] = ALLOWED_ELEMENTS,
        *,
        max_atoms: int = 20,
        min_elements: int = 2,
        max_elements: int = 4,
        mixed_valence: bool | Collection[str] = False,
        source: str = DEFAULT_SOURCE,
        electronegativity_order: bool = True,
    ) -> None:
        symbols = require_elements(elements)
        if not 2 <= min_elements <= max_elements <= max_atoms:
            message = (
                'a composition space needs 2 <= min_elements <= max_elements <= max_atoms, '
                f'not {min_elements}, {max_elements} and {max_atoms}'
            )
            raise InvalidInputError(message)
        self.max_atoms = max_atoms
        self.min_elements = min_elements
        self.max_elements = min(max_elements, len(symbols))
        self.mixed = mixed_elements(mixed_valence)
        self.source = source
        self.electronegativity_order = electronegativity_order
        known = [symbol for symbol in symbols if not electronegativity_order or electronegativity(symbol) is not None]
        self.elements = tuple(sorted(known, key=lambda symbol: electronegativity(symbol) or 0.0))
        self._require_countable()
        largest = max((abs(q) for symbol in self.elements for q in oxidation_states(symbol, source)), default=0)
        self._zero = largest * max_atoms
        self._tables = list(self._build())

    def count(self, num_atoms: int | None = None) -> int:
        """Return the exact number of neutral species compositions, of all sizes or with ``num_atoms`` atoms.

        :raises InvalidInputError: if the size is out of range.
        """
        return int(self._final(num_atoms).sum())

    def sample_species(
        self, number: int, *, num_atoms: int | None = None, seed: int = 0
    ) -> list[dict[str, tuple[int, float]]]:
        """Return ``number`` draws, uniform over species compositions: element → (atoms, oxidation state).

        The state of a mixed-valent element is the mean of its atoms.

        :raises InvalidInputError: if there is nothing to draw from.
        """
        rng = np.random.default_rng(seed)
        final = self._final(num_atoms)
        total = int(final.sum())
        if total == 0 or number < 0:
            raise InvalidInputError(f'cannot draw {number} compositions: there are {total}')
        flat = np.cumsum(final.ravel())
        chosen = np.searchsorted(flat, rng.integers(0, total, number), side='right')
        where = np.unravel_index(chosen, final.shape)
        states = np.stack([where[0], where[1], where[2], np.full(number, self._zero)], axis=1)
        drawn: list[dict[str, tuple[int, float]]] = [{} for _ in range(number)]
        for position in range(len(self.elements) - 1, -1, -1):
            self._step_back(position, states, drawn, rng)
        return drawn

    def sample(self, number: int, *, num_atoms: int | None = None, seed: int = 0) -> list[dict[str, int]]:
        """Return ``number`` draws, uniform over compositions whatever their number of assignments.

        :raises InvalidInputError: if there is nothing to draw from.
        """
        rng = np.random.default_rng([seed, 1])
        found: list[dict[str, int]] = []
        turn = drawn = 0
        while len(found) < number:
            # as many at once as the share kept so far asks for: a walk through the tables costs little more for many
            kept = max(len(found), 1) / max(drawn, 2)
            wanted = min(max(64, math.ceil(1.2 * (number - len(found)) / kept)), LARGEST_DRAW)
            draws = self.sample_species(wanted, num_atoms=num_atoms, seed=seed + 7919 * turn)
            turn, drawn = turn + 1, drawn + wanted
            for species in draws:
                composition = {symbol: amount for symbol, (amount, _) in species.items()}
                if rng.random() * self._multiplicity(composition) < 1.0:
                    found.append(composition)
        return found[:number]

    def estimate_compositions(self, num_samples: int = 2000, *, seed: int = 0) -> Estimate:
        """Return the number of different neutral compositions, estimated without bias.

        The exact count of species compositions times the mean of 1 / (assignments per composition) over uniform draws.
        """
        draws = self.sample_species(num_samples, seed=seed)
        inverse = np.array(
            [1.0 / self._multiplicity({symbol: amount for symbol, (amount, _) in draw.items()}) for draw in draws]
        )
        total = self.count()
        return Estimate(total * float(inverse.mean()), total * float(inverse.std(ddof=1)) / math.sqrt(num_samples))

    def _multiplicity(self, composition: dict[str, int]) -> int:
        return count_assignments(
            composition,
            mixed_valence=self.mixed,
            source=self.source,
            electronegativity_order=self.electronegativity_order,
        )

    def _options(self, position: int) -> list[_Option]:
        symbol = self.elements[position]
        signs = (1, -1) if self.electronegativity_order else (0,)
        return [
            _Option(n, charge)
            for n in range(1, self.max_atoms + 1)
            for sign in signs
            for charge in reachable_charges(symbol, n, sign, symbol in self.mixed, self.source)
        ]

    def _build(self) -> Iterator[NDArray[np.int64]]:
        """Yield the table after each element: ways by phase, number of elements, atoms and charge."""
        shape = (_PHASES, self.max_elements + 1, self.max_atoms + 1, 2 * self._zero + 1)
        table = np.zeros(shape, dtype=np.int64)
        table[0, 0, 0, self._zero] = 1
        yield table
        for position in range(len(self.elements)):
            table = self._carried(table, position)
            grown = table.copy()
            for option in self._options(position):
                for before, after in self._moves(option.charge):
                    grown[after] += self._shifted(table[before], option)
            table = grown
            yield table

    def _carried(self, table: NDArray[np.int64], position: int) -> NDArray[np.int64]:
        """Return ``table`` with anions of lower electronegativity than the element at ``position`` marked as such."""
        if not self.electronegativity_order or position == 0:
            return table
        if electronegativity(self.elements[position]) == electronegativity(self.elements[position - 1]):
            return table
        carried: NDArray[np.int64] = table.copy()
        carried[2] += carried[1]
        carried[1] = 0
        return carried

    def _moves(self, charge: int) -> tuple[tuple[int, int], ...]:
        """Return the (phase before, phase after) that a charge allows: cations never follow lesser anions."""
        if not self.electronegativity_order:
            return ((0, 0),)
        return ((0, 0), (1, 1)) if charge > 0 else ((0, 1), (1, 1), (2, 2))

    def _shifted(self, table: NDArray[np.int64], option: _Option) -> NDArray[np.int64]:
        """Return the ways of ``table`` after adding one element in the given state and amount."""
        result: NDArray[np.int64] = np.zeros_like(table)
        width = table.shape[2]
        low, high = max(0, option.charge), width + min(0, option.charge)
        result[1:, option.atoms :, low:high] = table[
            :-1, : table.shape[1] - option.atoms, low - option.charge : high - option.charge
        ]
        return result

    def _final(self, num_atoms: int | None) -> NDArray[np.int64]:
        """Return the neutral part of the last table, shape (phases, elements + 1, atoms + 1)."""
        if num_atoms is not None and not 2 <= num_atoms <= self.max_atoms:
            raise InvalidInputError(f'num_atoms must lie in 2–{self.max_atoms}, not {num_atoms}')
        final: NDArray[np.int64] = self._tables[-1][:, :, :, self._zero].copy()
        final[:, : self.min_elements] = 0
        if num_atoms is not None:
            keep = np.arange(self.max_atoms + 1) == num_atoms
            final[:, :, ~keep] = 0
        return final

    def _step_back(
        self,
        position: int,
        states: NDArray[np.int64],
        drawn: list[dict[str, tuple[int, float]]],
        rng: np.random.Generator,
    ) -> None:
        """Decide for every draw whether and how the element at ``position`` is part of it, and move to before it."""
        before = self._carried(self._tables[position], position)
        options = self._options(position)
        origins = [(p, option) for option in options for p, _ in self._moves(option.charge)]
        targets = [a for option in options for _, a in self._moves(option.charge)]
        phase, kinds, atoms, charge = states.T
        weights = np.zeros((len(origins) + 1, len(states)), dtype=np.int64)
        weights[0] = before[phase, kinds, atoms, charge]
        for row, ((origin, option), target) in enumerate(zip(origins, targets, strict=True), start=1):
            left, rest = charge - option.charge, atoms - option.atoms
            valid = (phase == target) & (kinds >= 1) & (rest >= 0) & (left >= 0) & (left < before.shape[3])
            weights[row, valid] = before[origin, kinds[valid] - 1, rest[valid], left[valid]]
        cumulative = np.cumsum(weights, axis=0)
        threshold = rng.integers(0, cumulative[-1])
        chosen = (cumulative <= threshold).sum(axis=0)
        for index in np.flatnonzero(chosen):
            origin, option = origins[int(chosen[index]) - 1]
            drawn[int(index)][self.elements[position]] = (option.atoms, option.state)
            states[index] = (origin, kinds[index] - 1, atoms[index] - option.atoms, charge[index] - option.charge)
        self._undo_carry(position, states, rng)

    def _undo_carry(self, position: int, states: NDArray[np.int64], rng: np.random.Generator) -> None:
        """Split the draws whose last anion has lower electronegativity into those just before it and those earlier."""
        table = self._tables[position]
        if self._carried(table, position) is table:
            return
        merged = np.flatnonzero(states[:, 0] == 2)
        _, kinds, atoms, charge = states[merged].T
        first, second = table[1, kinds, atoms, charge], table[2, kinds, atoms, charge]
        states[merged, 0] = np.where(rng.integers(0, first + second) < first, 1, 2)

    def _require_countable(self) -> None:
        # the largest number of charges of one element is that of the most atoms
        charges = (sum(o.atoms == self.max_atoms for o in self._options(i)) for i in range(len(self.elements)))
        largest = max(charges, default=0)
        bound = sum(
            math.comb(len(self.elements), k) * largest**k * math.comb(self.max_atoms, k)
            for k in range(1, self.max_elements + 1)
        )
        if bound > _LARGEST_INTEGER:
            message = f'up to {bound:.1e} species compositions do not fit 64 bits: ask for fewer elements or atoms'
            raise InvalidInputError(message)


@functools.cache
def unconstrained_count(num_elements: int, max_atoms: int, max_elements: int, *, primitive: bool = False) -> int:
    """Return the number of compositions without any charge rule, Σ_k C(E, k) S(k) (paper Eq 15).

    :param num_elements: E.
    :param max_atoms: largest number of atoms; S(k) = C(max_atoms, k) cells with exactly k elements.
    :param max_elements: largest k.
    :param primitive: count each ratio once, not each cell.
    """
    return sum(
        math.comb(num_elements, k) * (_ratios(max_atoms, k) if primitive else math.comb(max_atoms, k))
        for k in range(1, max_elements + 1)
    )


def _ratios(max_atoms: int, parts: int) -> int:
    """Return the number of k-tuples of positive integers without common divisor whose sum is at most ``max_atoms``."""
    # every tuple is a multiple of one without common divisor: Möbius inversion of C(max_atoms, k)
    return sum(_moebius(d) * math.comb(max_atoms // d, parts) for d in range(1, max_atoms + 1))


def _moebius(number: int) -> int:
    sign, rest = 1, number
    for prime in range(2, number + 1):
        if rest % prime == 0:
            rest //= prime
            if rest % prime == 0:
                return 0
            sign = -sign
    return sign
