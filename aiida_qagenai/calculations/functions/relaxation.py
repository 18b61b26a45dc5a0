"""Summarise a relaxation in the same terms for every engine, and compute phonons at Γ from forces."""

from __future__ import annotations

import typing as t

import numpy as np
from aiida.engine import calcfunction
from aiida.orm import ArrayData, Dict, StructureData, TrajectoryData

from aiida_qagenai.calculations.functions.energy import count_atoms
from aiida_qagenai.calculations.pyscf.results import ForceResults
from aiida_qagenai.chemistry.open_shells import is_magnetic
from aiida_qagenai.common.units import EV_PER_A3_TO_GPA
from aiida_qagenai.data.sites import move_atoms
from aiida_qagenai.thermodynamics.vibrations.phonons import gamma_displacements, gamma_frequencies

__all__ = ('DISPLACED', 'displace_atoms', 'gamma_phonons', 'summarize_relaxation')

SMALLEST_MOMENT = 0.1
"""Integral of the absolute spin density below which a cell has no local moments, μB."""

DISPLACED = 'displaced'
"""Prefix of the number in the names of displaced structures and of their forces."""


@calcfunction
def summarize_relaxation(
    initial: StructureData, relaxed: StructureData, results: Dict, settings: Dict, **kwargs: t.Any
) -> dict[str, t.Any]:
    """Return the outcome of a relaxation: ``results`` (Dict) and ``forces`` (ArrayData).

    :param results: ``results`` of PySCF, or ``output_parameters`` of pw.x.
    :param settings: see :class:`~aiida_qagenai.workchains.protocols.relaxation.RelaxationSettings`.
    :param kwargs: ``trajectory`` of pw.x, and ``level_tag`` of PySCF, which the forces carry as an attribute
        (both optional).
    """
    values, options = results.get_dict(), settings.get_dict()
    read = _read_espresso if options['engine'] == 'espresso' else _read_pyscf
    outcome, forces, stress = read(values, kwargs.get('trajectory'))
    change = relaxed.get_cell_volume() / initial.get_cell_volume() - 1
    warnings, codes = list(outcome.pop('warnings')), list(outcome.pop('warning_codes'))
    if is_magnetic(count_atoms(initial)) and not outcome['absolute_moment'] > SMALLEST_MOMENT:
        warnings.append('a crystal with local moments was relaxed without them')
        codes.append(723)
    if abs(change) > options['max_volume_change']:
        warnings.append(f'the volume changed by {100 * change:+.0f} %: another phase, or a poor start')
        codes.append(721)
    if not options['scientific']:
        warnings.append('not scientific')
        codes.append(700)
    arrays = ArrayData()
    arrays.set_array('forces', forces)
    if stress is not None:
        arrays.set_array('stress', stress)
    if 'level_tag' in kwargs:
        arrays.base.attributes.set('level_tag', kwargs['level_tag'].value)
    content = {
        'engine': options['engine'],
        'units': {'energy': 'eV', 'force': 'eV/Å', 'stress': 'eV/Å3', 'pressure': 'GPa'},
        **outcome,
        'max_force': float(np.linalg.norm(forces, axis=1).max()),
        'pressure': None if stress is None else -float(np.trace(stress)) / 3 * EV_PER_A3_TO_GPA,
        'volume_change': change,
        'initial_uuid': initial.uuid,
        'relaxed_uuid': relaxed.uuid,
        'warnings': warnings,
        'warning_codes': sorted(set(codes)),
    }
    return {'results': Dict(content), 'forces': arrays}


# A clone would name the structures of another run.
summarize_relaxation.is_valid_cache = lambda node: False


def _read_pyscf(values: dict[str, t.Any], _: None) -> tuple[dict[str, t.Any], t.Any, t.Any]:
    """Return the figures, the forces (eV/Å) and, where PySCF has it, the stress (1/V) dE/dε (eV/Å3)."""
    results = ForceResults.parse(values)
    outcome = {
        'total_energy': results.total_energy,
        'ionic_steps': len(results.relaxation.energies),
        'program': f'PySCF {results.versions["pyscf"]}',
        'absolute_moment': 0.0,
        'warnings': results.warnings,
        'warning_codes': results.warning_codes,
    }
    return outcome, np.array(results.forces), None if results.stress is None else np.array(results.stress)


def _read_espresso(values: dict[str, t.Any], trajectory: TrajectoryData) -> tuple[dict[str, t.Any], t.Any, t.Any]:
    """Return the same for pw.x, whose stress is in GPa and has the opposite sign."""
    outcome = {
        'total_energy': values['energy'],
        'ionic_steps': len(trajectory.get_array('forces')),
        'program': f'{values.get("creator_name", "pwscf")} {values.get("creator_version", "")}'.strip(),
        'absolute_moment': float(values.get('absolute_magnetization', 0.0)),
        'warnings': [],
        'warning_codes': [],
    }
    if round(values['number_of_electrons']) % 2 and not values.get('lsda'):
        outcome['warnings'] = ['odd number of electrons per cell, computed without spin polarisation']
        outcome['warning_codes'] = [707]
    stress = None
    if 'stress' in trajectory.get_arraynames():
        stress = -trajectory.get_array('stress')[-1] / EV_PER_A3_TO_GPA
    return outcome, trajectory.get_array('forces')[-1], stress


@calcfunction
def displace_atoms(structure: StructureData, settings: Dict) -> dict[str, StructureData]:
    """Return the structures whose forces give the phonons at Γ, by name.

    :param settings: see :class:`~aiida_qagenai.workchains.protocols.relaxation.GammaPhononSettings`.
    """
    moved = gamma_displacements(structure.get_ase(), settings['displacement'])
    return {
        f'{DISPLACED}{index:03d}': move_atoms(structure, structure.cell, positions.tolist(), f'displaced {index}')
        for index, positions in enumerate(moved)
    }


@calcfunction
def gamma_phonons(structure: StructureData, settings: Dict, **forces: t.Any) -> Dict:
    """Return the frequencies at Γ (THz, imaginary ones negative), the three acoustic ones removed.

    :param forces: by the name of the displaced structure, ``results`` of PySCF or ``output_trajectory`` of pw.x.
    """
    values = [
        np.array(ForceResults.parse(node.get_dict()).forces) if isinstance(node, Dict) else node.get_array('forces')[-1]
        for _, node in sorted(forces.items())
    ]
    frequencies = gamma_frequencies(structure.get_ase(), settings['displacement'], values)
    lowest = min(frequencies, default=0.0)
    imaginary = lowest < -settings['imaginary_tolerance']
    text = f'the lowest frequency at Γ is {lowest:.2f} THz: a saddle point, not a minimum'
    return Dict(
        {
            'frequencies_gamma': frequencies,
            'min_frequency_gamma': lowest,
            'units': {'frequency': 'THz'},
            'warnings': [text] if imaginary else [],
            'warning_codes': [722] if imaginary else [],
        }
    )
