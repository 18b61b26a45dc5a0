"""What a single point by pw.x needs before it runs and leaves when it has ended."""

from __future__ import annotations

import typing as t

import numpy as np
from aiida.engine import calcfunction
from aiida.orm import ArrayData, BandsData, Dict, StructureData

from aiida_qagenai.calculations.espresso.parameters import PwParameters, manifold_of, split_by_moment
from aiida_qagenai.calculations.espresso.results import normalise_results

__all__ = ('collect_results', 'prepare_structure', 'site_moments_of')


@calcfunction
def prepare_structure(structure: StructureData, parameters: Dict) -> StructureData:
    """Return the structure as pw.x has to be given it: a kind per element and initial moment, and a molecule in a box.

    :param parameters: see :class:`~aiida_qagenai.calculations.espresso.parameters.PwParameters`.
    """
    given = PwParameters.parse(parameters.get_dict())
    symbols = [structure.get_kind(site.kind_name).symbol for site in structure.sites]
    cell, positions = np.array(structure.cell), np.array([site.position for site in structure.sites])
    if given.box is not None:
        cell = given.box * np.eye(3)
        positions = positions - positions.mean(axis=0) + given.box / 2
    prepared = StructureData(cell=cell.tolist(), pbc=(True, True, True))
    kinds = split_by_moment(symbols, given.moments)
    for symbol, kind, position in zip(symbols, kinds, positions, strict=True):
        prepared.append_atom(symbols=symbol, name=kind, position=position.tolist())
    if given.hubbard_card and set(symbols) & set(given.hubbard):
        return _with_hubbard(prepared, given)
    return prepared


def _with_hubbard(structure: StructureData, parameters: PwParameters) -> StructureData:
    """Return the structure with U, which aiida-quantumespresso writes as a card."""
    from aiida_quantumespresso.common.hubbard import Hubbard
    from aiida_quantumespresso.data.hubbard_structure import HubbardStructureData

    empty = Hubbard(parameters=[], projectors=parameters.hubbard_projectors)
    hubbard = HubbardStructureData.from_structure(structure, empty)
    for kind in structure.kinds:
        if kind.symbol in parameters.hubbard:
            shell, value = manifold_of(kind.symbol), parameters.hubbard[kind.symbol].U
            hubbard.initialize_onsites_hubbard(kind.name, shell, value, 'Ueff', use_kinds=True)
    return t.cast('StructureData', hubbard)


@calcfunction
def collect_results(
    parameters: Dict,
    cost: Dict,
    output_parameters: Dict,
    output_trajectory: ArrayData | None = None,
    output_band: BandsData | None = None,
) -> Dict:
    """Return the results of a single point in the words of the results of a PySCF job.

    :param parameters: what pw.x was asked for.
    :param cost: ``core_hours`` and ``wall_seconds`` of all attempts, and the ``factor`` of the moments of the last.
    :param output_parameters: output of aiida-quantumespresso, as the other two.
    """
    output = output_parameters.get_dict()
    bands = occupations = moments = None
    if output_band is not None:
        bands, occupations = (np.array(values) for values in output_band.get_bands(also_occupations=True))
    if output_trajectory is not None:
        names, moments = output_trajectory.get_arraynames(), site_moments_of(output_trajectory)
        for name in ('total_magnetization', 'absolute_magnetization'):
            if name in names:
                output.setdefault(name, float(output_trajectory.get_array(name)[-1]))
    spent = cost.get_dict()
    given = PwParameters.parse(parameters.get_dict()).with_larger_moments(spent.pop('factor', 1.0))
    values = {'bands': bands, 'occupations': occupations, 'site_moments': moments, 'cost': spent}
    return Dict(normalise_results(given, output, **values))


def site_moments_of(trajectory: ArrayData) -> list[float] | None:
    """Return the moments in spheres around the sites at the end, μB, or None if there are none."""
    if 'atomic_magnetic_moments' not in trajectory.get_arraynames():
        return None
    return t.cast('list[float]', np.ravel(trajectory.get_array('atomic_magnetic_moments')[-1]).tolist())
