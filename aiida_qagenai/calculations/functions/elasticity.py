"""Strained cells of a relaxed crystal, and the elastic tensor from their stresses."""

from __future__ import annotations

import dataclasses

import numpy as np
from aiida.engine import calcfunction
from aiida.orm import ArrayData, Dict, StructureData

from aiida_qagenai.chemistry.formula import chemical_system
from aiida_qagenai.data.elastic import ElasticData
from aiida_qagenai.data.sites import move_atoms
from aiida_qagenai.thermodynamics.elasticity import StrainedCells, elasticity

__all__ = ('STRAINED', 'fit_elastic_tensor', 'strain_cell')

STRAINED = 'strained'
"""Prefix of the number in the names of strained crystals and of their forces."""


@calcfunction
def strain_cell(structure: StructureData, settings: Dict) -> dict[str, StructureData]:
    """Return the strained crystals by name, none of which is the image of another.

    :param settings: ``strains``, the amplitudes; each component is strained by ± each of them.
    """
    fractional, found = _fractional(structure), _strained(structure, settings)
    return {
        f'{STRAINED}{index:02d}': move_atoms(
            structure, cell.tolist(), (fractional @ cell).tolist(), f'strained {index}'
        )
        for index, cell in enumerate(found.cells)
    }


@calcfunction
def fit_elastic_tensor(
    initial: StructureData,
    relaxed: StructureData,
    settings: Dict,
    relaxation: Dict,
    unstrained: ArrayData,
    **forces: ArrayData,
) -> ElasticData:
    """Return the elastic tensor of a crystal.

    :param settings: as of :func:`strain_cell`.
    :param relaxation: what :func:`~aiida_qagenai.calculations.functions.relaxation.summarize_relaxation` says of it.
    :param unstrained: its forces and stress (eV/Å3).
    :param forces: those of the strained crystals by their names, with relaxed atoms.
    """
    cells = _strained(relaxed, settings)
    stress = unstrained.get_array('stress')
    tensor, asymmetry = cells.tensor(np.array([forces[name].get_array('stress') for name in sorted(forces)]), stress)
    crystal = relaxed.get_pymatgen()
    found = dataclasses.asdict(elasticity(tensor, crystal, asymmetry))
    tensors = {name: found.pop(name) for name in ('tensor', 'tensor_ieee')}
    number, about = len(relaxed.sites), relaxation.get_dict()
    return ElasticData(
        structure_uuid=initial.uuid,
        formula=crystal.composition.reduced_formula,
        chemical_system=chemical_system(relaxed.get_composition()),
        num_atoms=number,
        potential=f'PBE, {about["program"]}',
        has_tensor=True,
        energy_per_atom=about['total_energy'] / number,
        volume_per_atom=relaxed.get_cell_volume() / number,
        max_force=about['max_force'],
        max_stress=float(np.abs(stress).max()),
        num_strains=len(cells.cells),
        **found,
        **{name: values.tolist() for name, values in tensors.items() if values is not None},
    )


def _fractional(structure: StructureData) -> np.ndarray:
    return np.array([site.position for site in structure.sites]) @ np.linalg.inv(np.array(structure.cell))


def _strained(structure: StructureData, settings: Dict) -> StrainedCells:
    numbers = np.array(structure.get_ase().numbers)
    return StrainedCells(np.array(structure.cell), numbers, _fractional(structure), settings['strains'])
