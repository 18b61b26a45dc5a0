"""The energy of an element from that of a reference compound, and what formation energies say about it."""

from __future__ import annotations

import math
import typing as t

from aiida.engine import calcfunction
from aiida.orm import Dict

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.thermodynamics.references.compounds import Derivation, derive_energy, derive_errors

__all__ = ('derivation_of', 'derive_element', 'reference_fields')


@calcfunction
def derive_element(energy: EnergyData, derivation: Dict, **elements: EnergyData) -> EnergyData:
    """Return the energy of one atom of an element that makes a computed energy agree with an experimental one.

    :param energy: of a compound, of the element in its reference state, or of its isolated atom.
    :param derivation: see :class:`~aiida_qagenai.thermodynamics.references.compounds.Derivation`.
    :param elements: the other elements of the compound, derived before, by symbol.
    :raises InvalidInputError: if an element is missing or the energy is of another composition.
    """
    plan, content = derivation_of(derivation.get_dict()), energy.content
    num_atoms = sum(plan.composition.values())
    missing = sorted(set(plan.partners) - set(elements))
    if missing:
        raise InvalidInputError(f'no energy of {", ".join(missing)}, which {plan.reaction} needs')
    if content.num_atoms % num_atoms or content.chemical_system != '-'.join(sorted(plan.composition)):
        raise InvalidInputError(f'the energy is of {content.formula}, not of {plan.label}')
    partners = {symbol: elements[symbol].content for symbol in plan.partners}
    value = derive_energy(
        plan,
        energy.total_energy * num_atoms / content.num_atoms,
        {symbol: t.cast('float', other.energy_per_atom) for symbol, other in partners.items()},
    )
    reactions = {key: text for other in partners.values() for key, text in other.reference_reactions.items()}
    return EnergyData(
        fidelity=content.fidelity,
        total_energy=value,
        num_atoms=1,
        formula=plan.element,
        chemical_system=plan.element,
        converged=content.converged and all(other.converged for other in partners.values()),
        protocol=content.protocol,
        level_tag=content.level_tag,
        scientific=content.scientific,
        structure_uuid=content.structure_uuid,
        reference_reactions={**reactions, plan.element: plan.reaction},
        reference_errors=derive_errors(plan, {symbol: other.reference_errors for symbol, other in partners.items()}),
        warnings=content.warnings,
        warning_codes=content.warning_codes,
    )


def derivation_of(values: t.Mapping[str, t.Any]) -> Derivation:
    """Return a derivation from what a node holds."""
    return Derivation(**values)


def reference_fields(
    elements: t.Mapping[str, EnergyData], composition: t.Mapping[str, int], formation_energy: float
) -> dict[str, t.Any]:
    """Return the formation energy as fields of an ``EnergyData``, by what the energies of its elements derive from.

    :param elements: by symbol, at the level of the energy.
    :param formation_energy: against them, eV/atom.
    """
    contents = {symbol: elements[symbol].content for symbol in composition}
    reactions = {key: text for one in contents.values() for key, text in one.reference_reactions.items()}
    common = {'formation_energy_per_atom': formation_energy}
    if not reactions:
        return {**common, 'self_consistent': formation_energy, 'formation_scheme': 'self_consistent'}
    errors: dict[str, float] = {}
    for symbol, count in composition.items():
        for name, error in contents[symbol].reference_errors.items():
            errors[name] = errors.get(name, 0.0) - count * error / sum(composition.values())
    return {
        **common,
        'formation_scheme': 'reference_compounds',
        'reference_reactions': reactions,
        'reference_errors': errors,
        'reference_uncertainty': math.hypot(*errors.values()),
    }
