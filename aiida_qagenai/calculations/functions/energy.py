"""From the results of a calculation to the energy that the rest of the package works with."""

from __future__ import annotations

import typing as t
from collections import Counter

from aiida.engine import calcfunction
from aiida.orm import Dict, StructureData
from pymatgen.core import Composition

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.thermodynamics.atomization import anchored_formation_energy

__all__ = ('assemble_energy', 'check_references')


@calcfunction
def assemble_energy(results: Dict, structure: StructureData, level: Dict, **references: EnergyData) -> EnergyData:
    """Return the energy of ``structure``; with ``references`` also its formation energy in the anchored scheme.

    :param results: of a :class:`~aiida_qagenai.calculations.pyscf_cell.PyscfCellCalculation`.
    :param level: protocol, level tag and whether the level is scientific.
    :param references: isolated atoms at the same level, by element symbol.
    :raises InvalidInputError: if a reference is of another level or element.
    """
    values, label = results.get_dict(), level.get_dict()
    composition = Counter(structure.get_kind(site.kind_name).symbol for site in structure.sites)
    formation = None
    if references:
        check_references(references, composition, Fidelity(values['fidelity']), label['level_tag'])
        atoms = {symbol: references[symbol].total_energy for symbol in composition}
        formation = anchored_formation_energy(values['total_energy'], composition, atoms)
    warnings = list(values['warnings'])
    if not label['scientific']:
        warnings.append('not scientific')
    return EnergyData(
        fidelity=values['fidelity'],
        total_energy=values['total_energy'],
        num_atoms=len(structure.sites),
        # Reduced to the molecule for elements that are diatomic gases, which an isolated atom is not.
        formula=Composition(composition).reduced_formula if any(structure.pbc) else structure.get_formula(),
        chemical_system='-'.join(sorted(composition)),
        converged=values['scf_converged'] and values.get('cc_converged', True),
        protocol=label['protocol'],
        level_tag=label['level_tag'],
        scientific=label['scientific'],
        structure_uuid=structure.uuid,
        formation_energy_per_atom=formation,
        formation_scheme=None if formation is None else 'anchored',
        band_gap=values.get('band_gap'),
        t1_diagnostic=values.get('t1_diagnostic'),
        core_hours=values['core_hours'],
        wall_seconds=values['wall_seconds'],
        warnings=warnings,
        components=values['components'],
    )


# A clone would name the structure of another run, see ``EnergyData.structure_uuid``.
assemble_energy.is_valid_cache = lambda node: False


def check_references(
    references: t.Mapping[str, EnergyData], composition: t.Iterable[str], fidelity: Fidelity, level_tag: str
) -> None:
    """Check that there is an isolated atom of each element, at the fidelity and level of the energy.

    :raises InvalidInputError: naming the first that is missing or different.
    """
    for symbol in sorted(set(composition)):
        if symbol not in references:
            message = f'no reference for {symbol}: there are {", ".join(sorted(references))}'
            raise InvalidInputError(message)
        content = references[symbol].content
        if content.num_atoms != 1 or content.chemical_system != symbol:
            message = f'reference `{symbol}` is {content.formula}, not an isolated {symbol} atom'
            raise InvalidInputError(message)
        if content.fidelity is not fidelity:
            message = f'reference `{symbol}` is of {content.fidelity}, the energy of {fidelity}'
            raise InvalidInputError(message)
        if _same_level(content.level_tag) != _same_level(level_tag):
            message = f'reference `{symbol}` has the level tag `{content.level_tag}`, the energy `{level_tag}`'
            raise InvalidInputError(message)


def _same_level(tag: str) -> list[str]:
    """Return what an atom and a crystal of one level share: all of the tag but the k-mesh."""
    parts = tag.split(':')
    return [*parts[:3], *parts[4:]]
