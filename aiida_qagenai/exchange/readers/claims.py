"""What a file says of a crystal beside its atoms, checked against them."""

from __future__ import annotations

import dataclasses
import functools
import math
import typing as t

from aiida_qagenai.chemistry.formula import parse_formula
from aiida_qagenai.common.errors import InvalidInputError

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

    from aiida_qagenai.exchange.readers.cif_blocks import Block

__all__ = ('Claims', 'claims_of_block', 'claims_of_fields')

DENSITY_TOLERANCE = 0.04
"""Largest relative difference of a density that was computed from the same cell."""

VOLUME_TOLERANCE = 0.01
"""Largest relative difference of the volume of the cell."""

_FORMULA_FIELDS = ('pretty_formula', 'formula_pretty', 'reduced_formula', 'chemical_formula_reduced', 'formula')


@dataclasses.dataclass(frozen=True)
class Claims:
    """What a file says.

    :param formula: element → amount, and ``text`` as it is written.
    :param units: formula units in the cell (Z).
    :param density: g/cm³, from the diffraction experiment's cell.
    :param volume: of the cell, Å³.
    :param num_sites: atoms in the cell.
    :param attached: hydrogen atoms that are said to be attached to the sites, but not located.
    """

    formula: dict[str, float] | None = None
    text: str = ''
    units: float | None = None
    density: float | None = None
    volume: float | None = None
    num_sites: int | None = None
    attached: float = 0.0

    @property
    def elements(self) -> frozenset[str]:
        """Return the elements in the formula."""
        return frozenset(self.formula or ())

    def contradictions(self, structure: Structure) -> list[str]:
        """Return what does not agree with the atoms of an ordered structure."""
        found = []
        if self.attached:
            found.append(f'{self.attached:g} H atoms are attached to its sites, but they are not located')
        found += self._of_formula(structure)
        if self.num_sites is not None and self.num_sites != len(structure):
            found.append(f'it names {self.num_sites} sites, but {len(structure)} atoms were read')
        if self.volume and abs(structure.volume - self.volume) > VOLUME_TOLERANCE * self.volume:
            found.append(f'its cell volume is {self.volume:g} Å³, but its cell has {structure.volume:.5g} Å³')
        if self.density and not found:
            density = float(structure.density)
            if abs(density - self.density) > DENSITY_TOLERANCE * self.density:
                found.append(f'its density is {self.density:g} g/cm³, but the atoms have {density:.4g} g/cm³')
        return found

    def _of_formula(self, structure: Structure) -> list[str]:
        """Return how the atoms differ from the formula."""
        if not self.formula:
            return []
        atoms = {str(symbol): float(n) for symbol, n in structure.composition.get_el_amt_dict().items()}
        cell = structure.composition.formula.replace(' ', '')
        missing = [f'{element}{amount:g}' for element, amount in self.formula.items() if element not in atoms]
        if missing:
            names = ', '.join(element for element in self.formula if element not in atoms)
            return [
                f'it lists {", ".join(missing)} in its formula `{self.text}`, but no {names} atom is located ({cell})'
            ]
        factor = min(
            atoms[element] / amount
            for element, amount in self.formula.items()
            if element != 'H' or len(self.formula) == 1
        )
        expected = {element: factor * amount for element, amount in self.formula.items()}
        for element in {**atoms, **expected}:
            amount = self.formula.get(element, 0.0)
            whole = abs(amount - round(amount)) < 1e-6
            slack = 0.3 * factor if whole else 0.02 * factor * amount + 0.05
            if abs(atoms.get(element, 0.0) - expected.get(element, 0.0)) > slack:
                return [f'its formula is `{self.text}`, but the atoms in its cell are {cell}']
        return self._of_units(factor, cell)

    def _of_units(self, factor: float, cell: str) -> list[str]:
        """Return how the number of formula units differs: of the formula, of its reduced form, or of molecules.

        Where the formula is the content of the cell, Z may count larger units, as that of pymatgen does: O2, Li2O2.
        """
        assert self.formula is not None
        whole = [round(amount) for amount in self.formula.values() if abs(amount - round(amount)) < 1e-6]
        divisor = functools.reduce(math.gcd, whole) if len(whole) == len(self.formula) else 1
        # pymatgen writes 0 for half of a molecule
        if not self.units or any(abs(n - self.units) < 0.02 * n for n in (factor, factor * divisor)):
            return []
        if abs(factor - 1) < 0.02 and divisor % self.units == 0:
            return []
        return [f'it has Z = {self.units:g} units of `{self.text}`, but the atoms in its cell are {cell}']


def claims_of_block(block: Block) -> Claims:
    """Return what a block of a CIF says.

    :raises InvalidInputError: if a number in it is not one.
    """
    text = block.first('_chemical_formula_sum', '_chemical_formula_moiety', '_chemical_formula_structural')
    attached = 0.0
    for value in block.values.get('_atom_site_attached_hydrogens', ()):
        if value.isdigit():
            attached += int(value)
    return Claims(
        formula=_formula(text),
        text=text,
        units=block.number('_cell_formula_units_z', '_cell_formula_units_z_'),
        density=block.number('_exptl_crystal_density_diffrn'),
        volume=block.number('_cell_volume'),
        attached=attached,
    )


def claims_of_fields(fields: t.Mapping[str, t.Any]) -> Claims:
    """Return what the columns of a table or the fields of an entry say of the composition."""
    composition = fields.get('composition')
    if isinstance(composition, dict) and composition:
        try:
            amounts = parse_formula({str(key): float(value) for key, value in composition.items()})
        except (InvalidInputError, TypeError, ValueError, OverflowError):
            return Claims()
        return Claims(amounts, ''.join(f'{element}{amount:g}' for element, amount in amounts.items()))
    text = next((fields[name] for name in _FORMULA_FIELDS if isinstance(fields.get(name), str) and fields[name]), '')
    return Claims(_formula(text), text)


def _formula(text: str) -> dict[str, float] | None:
    """Return the amounts in a formula, ``None`` where it is not one that can be read."""
    try:
        return parse_formula(text) if text else None
    except InvalidInputError:
        return None
