"""Parsers of the jobs that move atoms on a potential."""

from __future__ import annotations

import hashlib
import json
import math
import typing as t
from collections import Counter
from pathlib import Path

import numpy as np
from aiida.orm import ArrayData, StructureData, TrajectoryData
from ase.data import chemical_symbols
from numpy.typing import NDArray
from pymatgen.core import Composition

from aiida_qagenai.calculations.atomistic.free_energy import FreeEnergyCalculation
from aiida_qagenai.common.errors import InvalidInputError, QagenaiError
from aiida_qagenai.data.barrier import BarrierData
from aiida_qagenai.data.free_energy import CURVES, FreeEnergyData
from aiida_qagenai.exchange.structures import load_arrays
from aiida_qagenai.exchange.tasks import parse
from aiida_qagenai.parsers.ml_base import MlParser, ParsingError

__all__ = ('BarrierParser', 'FreeEnergyParser', 'RelaxParser')

BOLTZMANN = 8.617333262e-5
"""eV/K"""
EV_PER_A3_TO_GPA = 160.2176634
ROOM = 300.0
PHONON_ARRAYS = ('band_distances', 'band_frequencies', 'band_ticks', 'dos_frequencies', 'dos')
PREFIXES = ('point_', 'harmonic_')


class AtomisticParser(MlParser):
    """Reads the packed results and hands them on."""

    def parse_outputs(self, folder: Path, results: dict[str, t.Any]) -> None:
        """Make the outputs from the packed results."""
        path = self.require(folder / self.node.process_class.FILENAME_OUTPUT)
        try:
            self.make_outputs(load_arrays(path), results)
        except (QagenaiError, KeyError, IndexError, ValueError) as exception:
            raise ParsingError('ERROR_OUTPUT_FILE_CORRUPT', f'{type(exception).__name__} {exception}') from exception

    def make_outputs(self, arrays: dict[str, NDArray[t.Any]], results: dict[str, t.Any]) -> None:
        """Make the outputs of one task."""
        raise NotImplementedError


class RelaxParser(AtomisticParser):
    """Packed crystal → structure."""

    def make_outputs(self, arrays: dict[str, NDArray[t.Any]], results: dict[str, t.Any]) -> None:
        """Make the relaxed structure."""
        self.out('relaxed', make_structures(arrays)[0])


class FreeEnergyParser(AtomisticParser):
    """Packed curves → record of the free energy, phonons, relaxed structure."""

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


class BarrierParser(AtomisticParser):
    """Packed path → record of the barrier and trajectory."""

    def make_outputs(self, arrays: dict[str, NDArray[t.Any]], results: dict[str, t.Any]) -> None:
        """Make the two outputs."""
        images = make_structures(arrays)
        energies, distances = arrays['energies'].tolist(), arrays['distances'].tolist()
        barrier = BarrierData(
            formula=images[0].get_formula('hill'),
            chemical_system=chemical_system(images[0]),
            num_atoms=len(images[0].sites),
            potential=results['potential'],
            barrier_forward=max(energies) - energies[0],
            barrier_reverse=max(energies) - energies[-1],
            reaction_energy=energies[-1] - energies[0],
            path_length=distances[-1],
            saddle=energies.index(max(energies)),
            max_force=results['max_force'],
            steps=results['steps'],
            single_barrier=not results['intermediate_minima'],
            energies=energies,
            distances=distances,
        )
        self.out('barrier', barrier)
        self.out('path', TrajectoryData(images))


def make_structures(arrays: dict[str, NDArray[t.Any]]) -> list[StructureData]:
    """Return the packed images as structures."""
    symbols = [chemical_symbols[int(number)] for number in arrays['species']]
    structures = []
    for cell, positions in zip(arrays['cells'], arrays['positions'], strict=True):
        if not (np.isfinite(cell).all() and np.isfinite(positions).all()):
            message = 'a structure has coordinates that are not finite'
            raise InvalidInputError(message)
        structure = StructureData(cell=cell.tolist(), pbc=(True, True, True))
        for symbol, position in zip(symbols, positions, strict=True):
            structure.append_atom(symbols=symbol, position=position.tolist())
        structures.append(structure)
    return structures


def chemical_system(structure: StructureData) -> str:
    """Return the sorted elements joined by dashes."""
    return '-'.join(sorted({kind.symbol for kind in structure.kinds}))


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
        chemical_system=chemical_system(structure),
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
