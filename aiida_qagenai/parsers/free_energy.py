"""Parser of :class:`~aiida_qagenai.calculations.atomistic.free_energy.FreeEnergyCalculation`."""

from __future__ import annotations

import hashlib
import json
import math
import typing as t
from collections import Counter

import numpy as np
from aiida.orm import ArrayData, StructureData
from numpy.typing import NDArray
from pymatgen.core import Composition

from aiida_qagenai.calculations.atomistic.free_energy import FreeEnergyCalculation
from aiida_qagenai.chemistry.formula import chemical_system
from aiida_qagenai.common.units import BOLTZMANN, EV_PER_A3_TO_GPA
from aiida_qagenai.data.finite_temperature import CURVES, FreeEnergyData
from aiida_qagenai.exchange.tasks import parse
from aiida_qagenai.parsers.base import AtomisticParser, make_structures

__all__ = ('FreeEnergyParser',)

ROOM = 300.0
"""Temperature of the single values, K."""

PHONON_ARRAYS = ('band_distances', 'band_frequencies', 'band_ticks', 'dos_frequencies', 'dos')
PREFIXES = ('point_', 'harmonic_')


class FreeEnergyParser(AtomisticParser):
    """Make the record of the free energy, the phonons and the relaxed structure from the packed curves."""

    def make_outputs(self, arrays: dict[str, NDArray[t.Any]], results: dict[str, t.Any]) -> None:
        """Make the three outputs."""
        structure = make_structures(arrays)[0]
        self.out('free_energy', make_free_energy(arrays, results, structure, self.node.inputs.parameters.get_dict()))
        phonons = ArrayData()
        for name, values in arrays.items():
            if name in PHONON_ARRAYS or name.startswith(PREFIXES):
                phonons.set_array(name, values)
        phonons.base.attributes.set('band_labels', [str(label) for label in arrays['band_labels']])
        self.out('phonons', phonons)
        self.out('relaxed', structure)


def make_free_energy(
    arrays: dict[str, NDArray[t.Any]],
    results: dict[str, t.Any],
    structure: StructureData,
    parameters: dict[str, t.Any],
) -> FreeEnergyData:
    """Return the record of a free energy."""
    static = results['static_energy_per_atom']
    curves: dict[str, list[float]] = {}
    scalars: dict[str, float | None] = {}
    if 'qha_temperatures' in arrays:
        curves = {name: arrays[f'qha_{name}'].tolist() for name in ('temperatures', *CURVES)}
        scalars = {
            'zero_point_energy': curves['gibbs'][0] - static,
            'gibbs_300k': at_room(curves, 'gibbs'),
            'expansion_300k': at_room(curves, 'expansion'),
            'heat_capacity_300k': at_room(curves, 'heat_capacity_p', 1 / BOLTZMANN),
            'bulk_modulus_300k': at_room(curves, 'bulk_modulus', EV_PER_A3_TO_GPA),
        }
    symbols = [structure.get_kind(site.kind_name).symbol for site in structure.sites]
    return FreeEnergyData(
        formula=Composition(Counter(symbols)).reduced_formula,
        chemical_system=chemical_system(structure.get_formula()),
        num_atoms=len(symbols),
        potential=results['potential'],
        level_tag=level_tag(results['potential'], parameters),
        static_energy_per_atom=static,
        dynamically_stable=results['dynamically_stable'],
        lowest_frequency=results['lowest_frequency'],
        imaginary_fraction=results['imaginary_fraction'],
        max_force=results['relaxation']['force'],
        max_stress=results['relaxation']['stress'],
        remarks=results['warnings'],
        **curves,
        **scalars,
    )


def at_room(curves: dict[str, list[float]], name: str, factor: float = 1.0) -> float | None:
    """Return a curve at 300 K, None where it ends below."""
    if curves['temperatures'][-1] < ROOM:
        return None
    value = factor * float(np.interp(ROOM, curves['temperatures'], curves[name]))
    return value if math.isfinite(value) else None


def level_tag(potential: str, parameters: dict[str, t.Any]) -> str:
    """Return the potential and a hash of the settings that move free energies: phases of one hull share it."""
    configuration = parse('free_energy', FreeEnergyCalculation.complete(parameters))
    deciding = configuration.model_dump(mode='json', include={'phonons', 'volumes', 'dtype'})
    digest = hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()[:8]
    return f'{potential}:{digest}'
