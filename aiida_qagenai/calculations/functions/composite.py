"""Make a composite CCSD(T) energy from its calculations, and correct the basis set of other energies."""

from __future__ import annotations

import typing as t

from aiida.engine import calcfunction
from aiida.orm import Dict, StructureData

from aiida_qagenai.calculations.functions.energy import make_energy
from aiida_qagenai.calculations.pyscf.results import EnergyResults
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.thermodynamics.references.extrapolation import (
    Limit,
    basis_set_correction,
    combine_errors,
    correlation_limit,
    hartree_fock_limit,
    mesh_limit,
    separable_limit,
)

__all__ = ('JOB_PREFIX', 'apply_basis_correction', 'assemble_composite', 'evaluate_composite')

JOB_PREFIX = 'job'
"""Prefix of the label of a calculation in the name of an input."""


@calcfunction
def assemble_composite(structure: StructureData, level: Dict, plan: Dict, **inputs: t.Any) -> EnergyData:
    """Return the composite CCSD(T) energy of ``structure``, with formation energies where references are given.

    :param level: protocol, level tag and whether the level is scientific.
    :param plan: a :class:`~aiida_qagenai.workchains.protocols.composite.CompositePlan`.
    :param inputs: results of the calculations (``job`` and the label), isolated atoms and reference states as in
        :func:`~aiida_qagenai.calculations.functions.energy.assemble_energy`.
    :raises InvalidInputError: if a reference is of another level or element.
    """
    label, content = level.get_dict(), plan.get_dict()
    results = {
        name.removeprefix(JOB_PREFIX): EnergyResults.parse(node.get_dict())
        for name, node in inputs.items()
        if name.startswith(JOB_PREFIX)
    }
    references = {name: node for name, node in inputs.items() if not name.startswith(JOB_PREFIX)}
    parts = evaluate_composite(content, results)
    small = results[content['coupled_cluster']]
    extrapolated = combine_errors(*(part.error for part in parts.values()))
    return make_energy(
        structure,
        label,
        list(results.values()),
        references,
        fidelity=Fidelity.CCSD_T,
        total_energy=sum(part.value for part in parts.values()),
        warnings=sorted({text for values in results.values() for text in values.warnings} | set(label['notes'])),
        uncertainty=combine_errors(extrapolated, content['residual_error'] * len(structure.sites)),
        band_gap=small.band_gap,
        t1_diagnostic=small.t1_diagnostic,
        components={
            **{name: part.value for name, part in parts.items()},
            **{f'{name}_error': part.error for name, part in parts.items()},
        },
    )


# A clone would name the structure of another run, see ``EnergyData.structure_uuid``.
assemble_composite.is_valid_cache = lambda node: False


def evaluate_composite(plan: dict[str, t.Any], results: t.Mapping[str, EnergyResults]) -> dict[str, Limit]:
    """Return the parts of the energy (eV) that add up to the total, each with its error.

    :param plan: a :class:`~aiida_qagenai.workchains.protocols.composite.CompositePlan` as a dictionary.
    :param results: of the calculations by label.
    """
    small = results[plan['coupled_cluster']].components
    correlation = small['ccsd_correlation'] + small['triples']
    parts = {'hartree_fock': _component(plan['hartree_fock'], results, 'hartree_fock', hartree_fock_limit)}
    if plan['mp2'] is None:
        parts['ccsdt_correlation'] = Limit(correlation, 0.0)
    else:
        parts['mp2_correlation'] = _component(plan['mp2'], results, 'mp2_correlation', correlation_limit)
        parts['ccsdt_minus_mp2'] = Limit(correlation - small['mp2_correlation'], 0.0)
    if plan.get('core'):
        frozen, full = (results[label].components['mp2_correlation'] for label in plan['core'])
        parts['core_correlation'] = Limit(full - frozen, 0.0)
    return parts


def _component(
    part: dict[str, t.Any],
    results: t.Mapping[str, EnergyResults],
    name: str,
    basis_limit: t.Callable[[t.Sequence[float], t.Sequence[int]], Limit],
) -> Limit:
    """Return the limit of one component in mesh and basis."""

    def energy(point: dict[str, t.Any]) -> float:
        return results[point['job']].components[name]

    corner = part['corner']
    # Plans of before have no step in the basis on a mesh of its own.
    small = part.get('small') or corner
    meshes = [point for point in (corner, part['mesh']) if point]
    bases = [point for point in (small, part['basis']) if point]
    return separable_limit(
        mesh_limit([energy(point) for point in meshes], [point['num_kpoints'] for point in meshes]),
        basis_limit([energy(point) for point in bases], [point['cardinal'] for point in bases]),
        energy(small),
    )


@calcfunction
def apply_basis_correction(energy: EnergyData, mp2_small: Dict, mp2_large: Dict, cardinals: Dict) -> EnergyData:
    """Return ``energy`` plus E_MP2(CBS) − E_MP2(its basis), for use among results of better bases.

    The level tag says so: a corrected energy never meets an uncorrected one. Formation energies are left out, since the
    references need the correction as well.

    :param mp2_small: results of MP2 in the basis of ``energy``.
    :param mp2_large: results of MP2 in a larger basis, on the same mesh.
    :param cardinals: X of both as ``small`` and ``large``.
    :raises InvalidInputError: if the calculations do not belong together.
    """
    small, large = (EnergyResults.parse(node.get_dict()) for node in (mp2_small, mp2_large))
    content = energy.base.attributes.all
    if content['fidelity'] != Fidelity.CCSD_T.value:
        message = f'the basis-set correction is for CCSD(T) energies, this energy is of {content["fidelity"]}'
        raise InvalidInputError(message)
    for name in ('num_electrons', 'cc_kmesh', 'cc_kmesh_shift', 'num_frozen_core', 'pseudo'):
        first, second = getattr(small, name), getattr(large, name)
        if first != second:
            raise InvalidInputError(f'`{name}` of the two MP2 calculations differs: {first} and {second}')
    numbers = [cardinals['small'], cardinals['large']]
    correction = basis_set_correction([one.components['mp2_correlation'] for one in (small, large)], numbers)
    fields = {name for name in content if name.startswith(('formation', 'anchored', 'self_consistent', 'reference_'))}
    parts = content['level_tag'].split(':')
    parts[1] += f'+mp2cbs{numbers[0]}{numbers[1]}'
    return EnergyData(
        **{
            **{name: value for name, value in content.items() if name not in fields | {'energy_per_atom', 'source'}},
            'total_energy': content['total_energy'] + correction.value,
            'uncertainty': combine_errors(content.get('uncertainty') or 0.0, correction.error),
            'level_tag': ':'.join(parts),
            'components': {**content['components'], 'basis_set_correction': correction.value},
            'core_hours': content['core_hours'] + small.core_hours + large.core_hours,
        }
    )


# As above.
apply_basis_correction.is_valid_cache = lambda node: False
