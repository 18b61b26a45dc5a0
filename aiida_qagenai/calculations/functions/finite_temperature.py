"""Place phases on hulls of Gibbs energies, and find the hops of a crystal."""

from __future__ import annotations

import typing as t

import numpy as np
from aiida.engine import calcfunction
from aiida.orm import Dict, StructureData

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.data.finite_temperature import FreeEnergyData, GibbsHullData
from aiida_qagenai.thermodynamics.hull.convex_hull import HullResult
from aiida_qagenai.thermodynamics.hull.gibbs import GibbsCurve, gibbs_hull
from aiida_qagenai.thermodynamics.vibrations.hops import find_hops
from aiida_qagenai.thermodynamics.vibrations.settings import HopSettings

__all__ = ('CANDIDATE', 'COMPETING', 'ENERGY', 'build_gibbs_hull', 'make_hops')

CANDIDATE, COMPETING, ENERGY = 'candidate', 'competing', 'energy'
"""Prefixes of the labels of the inputs of :func:`build_gibbs_hull`."""

ROOM = 300.0


@calcfunction
def build_gibbs_hull(**nodes: t.Any) -> dict[str, GibbsHullData]:
    """Return the place of every candidate on the hull of Gibbs energies, by the candidate's label.

    :param nodes: ``candidate<label>`` and ``competing<label>``, free energies with curves; optionally
        ``energy<label>`` for every one of them: its energy at a better level of theory, which replaces the static
        energy of the potential.
    :raises InvalidInputError: if potentials or levels are mixed, or energies are given for some phases only.
    """
    energies = _labelled(nodes, ENERGY)
    candidates = [_curve(label, node, energies) for label, node in _labelled(nodes, CANDIDATE).items()]
    competing = [_curve(label, node, energies) for label, node in _labelled(nodes, COMPETING).items()]
    levels = {node.base.attributes.get('level_tag') for name, node in nodes.items() if not name.startswith(ENERGY)}
    if len(levels) > 1:
        raise InvalidInputError(f'free energies of different levels do not make a hull: {", ".join(sorted(levels))}')
    temperatures, results = gibbs_hull(candidates, competing)
    systems = {label: node.content.chemical_system for label, node in _labelled(nodes, CANDIDATE).items()}
    return {
        curve.identifier: _hull_node(temperatures, results[curve.identifier], curve, systems[curve.identifier])
        for curve in candidates
    }


def _labelled(nodes: dict[str, t.Any], prefix: str) -> dict[str, t.Any]:
    """Return the nodes of one kind by their label."""
    return {name.removeprefix(prefix): node for name, node in nodes.items() if name.startswith(prefix)}


def _curve(label: str, node: FreeEnergyData, energies: dict[str, EnergyData]) -> GibbsCurve:
    """Return the curve of one phase."""
    content = node.content
    if not content.temperatures:
        raise InvalidInputError(f'`{label}` has no free energy: {"; ".join(content.remarks)}')
    curve = GibbsCurve(
        formula=content.formula,
        identifier=label,
        level=content.level_tag,
        temperatures=np.array(content.temperatures),
        gibbs=np.array(content.gibbs),
        static=content.static_energy_per_atom,
    )
    if not energies:
        return curve
    if label not in energies:
        message = f'energies are given for {", ".join(sorted(energies))}, not for `{label}`: give all phases or none'
        raise InvalidInputError(message)
    energy = energies[label].content
    if energy.formula != content.formula:
        raise InvalidInputError(f'the energy of `{label}` is of {energy.formula}, its free energy of {content.formula}')
    formation = all(node.formation_energy_per_atom is not None for node in energies.values())
    kind = f'formation energies, {energy.formation_scheme}' if formation else 'total energies'
    value = energy.formation_energy_per_atom if formation else energy.energy_per_atom
    # The k-mesh of two cells of one protocol is one level; the tag holds its rule, not its numbers.
    return curve.with_static(float(value), f'{energy.fidelity.value} {energy.level_tag} ({kind})')


def _hull_node(
    temperatures: t.Any, results: t.Sequence[HullResult], curve: GibbsCurve, chemical_system: str
) -> GibbsHullData:
    distances = [result.e_above_hull for result in results]
    room = [distance for kelvin, distance in zip(temperatures, distances, strict=True) if abs(kelvin - ROOM) < 1e-6]
    return GibbsHullData(
        formula=curve.formula,
        chemical_system=chemical_system,
        level_tag=curve.level,
        temperatures=[float(kelvin) for kelvin in temperatures],
        e_above_hull=distances,
        decomposition_energy=[result.decomposition_energy for result in results],
        decomposition=[result.decomposition for result in results],
        stability=[result.stability for result in results],
        complete=results[0].complete,
        missing=list(results[0].missing),
        e_above_hull_0k=distances[0],
        e_above_hull_300k=room[0] if room else None,
        stable_at=[
            float(kelvin) for kelvin, result in zip(temperatures, results, strict=True) if result.stability == 'stable'
        ],
    )


@calcfunction
def make_hops(structure: StructureData, settings: Dict) -> dict[str, t.Any]:
    """Return the two ends of every different hop: ``hop00.initial``, ``hop00.final``, …, and ``hops``, their geometry.

    :param settings: see :class:`~aiida_qagenai.thermodynamics.vibrations.settings.HopSettings`.
    :raises InvalidInputError: if there is no such hop, or the supercell is too large.
    """
    hops = find_hops(structure.get_ase(), HopSettings(**settings.get_dict()))
    outputs: dict[str, t.Any] = {}
    geometry: dict[str, t.Any] = {}
    for index, hop in enumerate(hops):
        label = f'hop{index:02d}'
        outputs[label] = {
            'initial': StructureData(ase=hop.initial, label=f'{label} start'),
            'final': StructureData(ase=hop.final, label=f'{label} end'),
        }
        geometry[label] = {'length': hop.length, 'multiplicity': hop.multiplicity, 'num_atoms': len(hop.initial)}
    return {**outputs, 'hops': Dict(geometry)}
