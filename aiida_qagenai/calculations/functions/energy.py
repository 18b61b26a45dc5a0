"""Make the record of an energy from the results of its calculation, with formation energies."""

from __future__ import annotations

import typing as t
from collections import Counter

from aiida.engine import calcfunction
from aiida.orm import Dict, StructureData
from pymatgen.core import Composition

from aiida_qagenai.calculations.functions.counterpoise import surroundings_of
from aiida_qagenai.calculations.functions.references import reference_fields
from aiida_qagenai.calculations.pyscf.bases import COUNTERPOISE
from aiida_qagenai.calculations.pyscf.results import EnergyResults, ForceResults, PyscfResults
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.thermodynamics.references.atomization import (
    anchored_formation_energy,
    anchored_uncertainty,
    corrected_atoms,
)
from aiida_qagenai.thermodynamics.references.reference_states import self_consistent_formation_energy

__all__ = ('ELEMENT_PREFIX', 'assemble_energy', 'check_elements', 'check_references', 'make_energy')

ELEMENT_PREFIX = 'element'
"""Prefix of the symbol in the name of an input: the element in its reference state, not the isolated atom."""

MAGNETIC_FIELDS = (
    'spin_polarized',
    'magnetic_ordering',
    'total_moment',
    'absolute_moment',
    'site_moments',
    'initial_moments',
    'spin_squared',
    'band_gap_up',
    'band_gap_down',
)
"""What a spin-polarised crystal has beside its energy, in the results and in the ``EnergyData``."""


@calcfunction
def assemble_energy(results: Dict, structure: StructureData, level: Dict, **references: EnergyData) -> EnergyData:
    """Return the energy of ``structure``, and its formation energies where references are given.

    :param results: results of a :class:`~aiida_qagenai.calculations.pyscf.cell.PyscfCellCalculation`.
    :param level: protocol, level tag and whether the level is scientific.
    :param references: isolated atoms at the same level by element symbol (``Li``), and reference states of the elements
        at the same level (``elementLi``).
    :raises InvalidInputError: if a reference is of another level or element.
    """
    content, label = results.get_dict(), level.get_dict()
    values = (ForceResults if 'forces' in content else EnergyResults).parse(content)
    return make_energy(
        structure,
        label,
        [values],
        references,
        fidelity=values.fidelity,
        total_energy=values.total_energy,
        warnings=[*values.warnings, *label.get('notes', [])],
        band_gap=values.band_gap,
        method='CCSD' if values.spin_polarized and values.method == 'CCSD' else None,
        t1_diagnostic=values.t1_diagnostic,
        d1_diagnostic=values.d1_diagnostic,
        components=values.components,
        **magnetic_fields(values),
        **(derivative_fields(values) if isinstance(values, ForceResults) else {}),
    )


# A clone would name the structure of another run, see ``EnergyData.structure_uuid``.
assemble_energy.is_valid_cache = lambda node: False


def make_energy(
    structure: StructureData,
    level: t.Mapping[str, t.Any],
    results: t.Sequence[EnergyResults],
    references: t.Mapping[str, EnergyData],
    *,
    fidelity: Fidelity,
    total_energy: float,
    warnings: t.Sequence[str],
    **fields: t.Any,
) -> EnergyData:
    """Return the record of an energy, with the formation energies, convergence and cost that follow from its inputs.

    :param level: protocol, level tag and whether the level is scientific.
    :param results: of all calculations that the energy was made from.
    :param total_energy: eV per cell or molecule.
    :param fields: of :class:`~aiida_qagenai.data.energy.EnergyData`.
    :raises InvalidInputError: if a reference is of another level or element.
    """
    composition, tag = count_atoms(structure), level['level_tag']
    codes = {code for one in results for code in one.warning_codes}
    if not level['scientific']:
        warnings = [*warnings, 'not scientific']
        codes.add(700)
    surroundings = surroundings_of(structure)
    return EnergyData(
        fidelity=fidelity,
        total_energy=total_energy,
        num_atoms=len(structure.sites),
        # Reduced to the molecule for elements that are diatomic gases, which an isolated atom is not.
        formula=Composition(composition).reduced_formula if any(structure.pbc) else structure.get_formula(),
        chemical_system='-'.join(sorted(composition)),
        converged=all(one.converged for one in results),
        protocol=level['protocol'],
        level_tag=tag,
        scientific=level['scientific'],
        structure_uuid=structure.uuid,
        **formation_fields(total_energy, composition, fidelity, tag, references, surroundings=surroundings),
        **cost_fields(results),
        warnings=list(warnings),
        warning_codes=sorted(codes),
        **fields,
    )


def magnetic_fields(results: EnergyResults) -> dict[str, t.Any]:
    """Return moments and gaps of each spin as fields of an ``EnergyData``, none without spin polarisation."""
    return {name: getattr(results, name) for name in MAGNETIC_FIELDS} if results.spin_polarized else {}


def derivative_fields(results: ForceResults) -> dict[str, t.Any]:
    """Return forces and stress as fields of an ``EnergyData``, none if the atoms were moved: they are of its end."""
    if len(results.relaxation.energies) > 1:
        return {}
    return {'forces': results.forces, 'stress': results.stress}


def cost_fields(results: t.Sequence[PyscfResults]) -> dict[str, t.Any]:
    """Return what the calculations cost together, as fields of an ``EnergyData``.

    Hours and seconds add up, also those of the amplitudes that a calculation continued from; the memory is the largest.
    """
    jobs = [job for one in results for job in (one, one.earlier)]
    return {
        'core_hours': sum(job.core_hours for job in jobs),
        'wall_seconds': sum(job.wall_seconds for job in jobs),
        'memory_mb': max((job.memory_mb for job in jobs if job.memory_mb), default=None),
    }


def count_atoms(structure: StructureData) -> Counter[str]:
    """Return the number of atoms per cell or molecule by element symbol."""
    return Counter(structure.get_kind(site.kind_name).symbol for site in structure.sites)


def formation_fields(
    total_energy: float,
    composition: t.Mapping[str, int],
    fidelity: Fidelity,
    level_tag: str,
    references: t.Mapping[str, EnergyData],
    *,
    surroundings: str = 'isolated',
) -> dict[str, t.Any]:
    """Return the formation energies, eV/atom, that the references allow, as fields of an ``EnergyData``.

    The anchored one is that of hulls and training sets, where both are there: it compares across the ladder.

    :param references: isolated atoms by symbol, reference states by symbol with ``ELEMENT_PREFIX``.
    :param surroundings: of the atoms where the level asks for the counterpoise correction.
    :raises InvalidInputError: if a reference is of another level or element.
    """
    atoms = {key: node for key, node in references.items() if not key.startswith(ELEMENT_PREFIX)}
    elements = {
        key.removeprefix(ELEMENT_PREFIX): node for key, node in references.items() if key.startswith(ELEMENT_PREFIX)
    }
    fields: dict[str, t.Any] = {}
    if elements:
        check_elements(elements, composition, fidelity, level_tag)
        per_atom = {symbol: elements[symbol].content.energy_per_atom for symbol in composition}
        value = self_consistent_formation_energy(total_energy, composition, per_atom)
        fields.update(reference_fields(elements, composition, value))
    if atoms:
        check_references(atoms, composition, fidelity, level_tag, surroundings=surroundings)
        computed = {symbol: atoms[symbol].total_energy for symbol in composition}
        separated = corrected_atoms(computed, pseudo_of(level_tag), fidelity)
        value = anchored_formation_energy(total_energy, composition, separated)
        fields.update(
            anchored=value,
            anchored_spin_correction=value - anchored_formation_energy(total_energy, composition, computed),
            anchored_uncertainty=anchored_uncertainty(composition),
            formation_energy_per_atom=value,
            formation_scheme='anchored',
        )
    return fields


def check_elements(
    elements: t.Mapping[str, EnergyData], composition: t.Iterable[str], fidelity: Fidelity, level_tag: str
) -> None:
    """Check that each element is there in its reference state, at the fidelity and level of the energy.

    :raises InvalidInputError: naming the first that is missing or different.
    """
    for symbol in sorted(set(composition)):
        if symbol not in elements:
            raise InvalidInputError(f'no reference state for {symbol}: there are {", ".join(sorted(elements))}')
        content = elements[symbol].content
        if content.chemical_system != symbol:
            raise InvalidInputError(f'reference state `{symbol}` is {content.formula}')
        _check_level(f'reference state `{symbol}`', content, fidelity, level_tag)


def check_references(
    references: t.Mapping[str, EnergyData],
    composition: t.Iterable[str],
    fidelity: Fidelity,
    level_tag: str,
    *,
    surroundings: str = 'isolated',
) -> None:
    """Check that there is an isolated atom of each element, at the fidelity and level of the energy.

    :param surroundings: what lends the atoms basis functions where the level asks for the counterpoise correction.
    :raises InvalidInputError: naming the first that is missing or different.
    """
    for symbol in sorted(set(composition)):
        if symbol not in references:
            raise InvalidInputError(f'no reference for {symbol}: there are {", ".join(sorted(references))}')
        content = references[symbol].content
        if content.num_atoms != 1 or content.chemical_system != symbol:
            raise InvalidInputError(f'reference `{symbol}` is {content.formula}, not an isolated {symbol} atom')
        own = content.level_tag.split(':')[3:4]
        if own != [surroundings] and (COUNTERPOISE in level_tag or own[:1] != ['isolated']):
            message = (
                f'reference `{symbol}` is an atom `{"".join(own)}`, not `{surroundings}`: the counterpoise correction '
                'belongs to one crystal, see the CounterpoiseWorkChain'
            )
            raise InvalidInputError(message)
        _check_level(f'reference `{symbol}`', content, fidelity, level_tag)


def _check_level(name: str, content: t.Any, fidelity: Fidelity, level_tag: str) -> None:
    if content.fidelity is not fidelity:
        raise InvalidInputError(f'{name} is of {content.fidelity}, the energy of {fidelity}')
    if _same_level(content.level_tag) != _same_level(level_tag):
        raise InvalidInputError(f'{name} has the level tag `{content.level_tag}`, the energy `{level_tag}`')


def pseudo_of(level_tag: str) -> str | None:
    """Return the pseudopotential that a level tag names, None for all electrons or a tag of another source."""
    parts = level_tag.split(':')
    return parts[2] if len(parts) > 2 else None


def _same_level(tag: str) -> list[str]:
    """Return what an atom and a crystal of one level share: all of the tag but the k-mesh."""
    parts = tag.split(':')
    return [*parts[:3], *parts[4:]]
