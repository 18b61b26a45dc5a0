"""The commands ``relax``, ``free_energy`` and ``barrier``: a crystal, or the two ends of a path, on a potential."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.atomistic import BarrierConfig, FreeEnergyConfig, RelaxConfig
from aiida_qagenai.exchange.structures import FORMAT_VERSION, StructureBatch, save_arrays
from aiida_qagenai.ml.potentials import make_potential, used_libraries
from aiida_qagenai.ml.progress import Progress, Record
from aiida_qagenai.ml.runtime import Runtime, installed_versions
from aiida_qagenai.thermodynamics.vibrations.barriers import find_barrier
from aiida_qagenai.thermodynamics.vibrations.quasi_harmonic import FreeEnergy
from aiida_qagenai.thermodynamics.vibrations.quasi_harmonic import free_energy as find_free_energy
from aiida_qagenai.thermodynamics.vibrations.relaxation import Relaxed
from aiida_qagenai.thermodynamics.vibrations.relaxation import relax as relax_crystal

if t.TYPE_CHECKING:
    from ase import Atoms

__all__ = ('barrier', 'free_energy', 'relax')


def relax(config: RelaxConfig, runtime: Runtime, record: Record) -> None:
    """Relax cell and atoms and write the crystal packed.

    :raises NotConvergedError: with the numbers reached.
    """
    (atoms,) = read_atoms(config.structure, count=1)
    with record.stage('load'):
        potential = make_potential(config, runtime)
    progress = Progress(config.relaxation.max_steps)

    def report(label: str, figures: Mapping[str, float]) -> None:
        record.log(relaxation_force=figures['force'], relaxation_stress=figures['stress'])
        progress.advance(label, figures)

    with record.stage('relaxation'):
        found = relax_crystal(atoms, potential.calculator(), config.relaxation, report=report)
    _finish(config, record, pack_atoms([found.atoms]), potential=potential.tag, **_end(found))


def free_energy(config: FreeEnergyConfig, runtime: Runtime, record: Record) -> None:
    """Compute the quasi-harmonic free energy and write it packed: see ``pack_free_energy``.

    :raises NotConvergedError: with the numbers reached.
    """
    (atoms,) = read_atoms(config.structure, count=1)
    with record.stage('load'):
        potential = make_potential(config, runtime)
    progress = Progress(config.volumes.count + 1)

    def report(label: str, figures: Mapping[str, float]) -> None:
        if label == 'relax':
            record.log(relaxation_force=figures['force'], relaxation_stress=figures['stress'])
        else:
            progress.advance(label, figures)

    with record.stage('free_energy'):
        found = find_free_energy(
            atoms,
            potential.calculator(),
            relaxation=config.relaxation,
            phonons=config.phonons,
            volumes=config.volumes,
            temperatures=config.temperatures,
            report=report,
        )
    for remark in found.remarks:
        record.warn(remark)
    harmonic = found.harmonic
    _finish(
        config,
        record,
        pack_free_energy(found),
        potential=potential.tag,
        **_end(found.relaxed),
        lowest_frequency=harmonic.lowest,
        imaginary_fraction=harmonic.imaginary_fraction,
        left_out_fraction=harmonic.left_out_fraction,
        dynamically_stable=found.dynamically_stable,
        num_displacements=harmonic.num_displacements,
        supercell_atoms=harmonic.supercell_atoms,
        num_volumes=len(found.points),
    )


def barrier(config: BarrierConfig, runtime: Runtime, record: Record) -> None:
    """Compute the minimum-energy path and write it packed: its images, ``energies`` (n,), eV, ``distances`` (n,), Å.

    :raises NotConvergedError: with the numbers reached.
    """
    initial, final = read_atoms(config.structures, count=2)
    with record.stage('load'):
        potential = make_potential(config, runtime)
    progress = Progress(config.band.max_steps)

    def report(label: str, figures: Mapping[str, float]) -> None:
        if label == 'relax':
            record.log(relaxation_force=figures['force'])
        else:
            record.log(band_force=figures['force'], band_barrier=figures['barrier'])
            progress.advance(label, figures)

    with record.stage('barrier'):
        path = find_barrier(initial, final, potential.calculator(), config.band, report=report)
    if path.intermediate_minima:
        record.warn(f'images {list(path.intermediate_minima)} are minima between the ends: compute each step by itself')
    _finish(
        config,
        record,
        {**pack_atoms(path.images), 'energies': path.energies, 'distances': path.distances},
        potential=potential.tag,
        barrier_forward=path.forward,
        barrier_reverse=path.reverse,
        max_force=path.max_force,
        steps=path.steps,
        saddle=path.saddle,
        intermediate_minima=list(path.intermediate_minima),
    )


def _end(found: Relaxed) -> dict[str, t.Any]:
    return {
        'relaxation': {'force': found.max_force, 'stress': found.max_stress, 'steps': found.steps},
        'static_energy_per_atom': found.energy / len(found.atoms),
    }


def _finish(
    config: RelaxConfig | FreeEnergyConfig | BarrierConfig, record: Record, arrays: dict[str, t.Any], **counts: t.Any
) -> None:
    """Write the arrays, and put the figures and what the physics comes from into the record."""
    save_arrays(config.output, {'format_version': np.array(FORMAT_VERSION), **arrays})
    libraries = ('ase', 'phonopy', 'spglib', *used_libraries(config.potential.name))
    record.counts.update(counts, library_versions=installed_versions(*libraries))


def read_atoms(path: Path, *, count: int) -> list[Atoms]:
    """Return the packed structures as ASE objects.

    :raises InvalidInputError: if there are not ``count`` of them.
    """
    batch = StructureBatch.load(path)
    if len(batch) != count:
        raise InvalidInputError(f'`{path}` holds {len(batch)} structures, expected {count}')
    return batch.atoms()


def pack_atoms(images: Sequence[Atoms]) -> dict[str, NDArray[t.Any]]:
    """Return images of one crystal as arrays: ``cells`` (n, 3, 3), ``species`` (m,), ``positions`` (n, m, 3), Å."""
    return {
        'cells': np.stack([image.cell.array for image in images]),
        'species': np.asarray(images[0].numbers, dtype=np.int64),
        'positions': np.stack([image.positions for image in images]),
    }


def pack_free_energy(found: FreeEnergy) -> dict[str, NDArray[t.Any]]:
    """Return all results as named arrays; energies in eV/atom, volumes in Å3/atom, frequencies in THz.

    ``temperatures`` and ``harmonic_*`` at the relaxed volume; ``point_*`` for each volume; ``band_*`` and ``dos_*``;
    and ``qha_*`` where there is a quasi-harmonic free energy.
    """
    bands = found.harmonic.bands
    assert bands is not None
    arrays: dict[str, t.Any] = {
        **pack_atoms([found.relaxed.atoms]),
        'temperatures': found.temperatures,
        'harmonic_free_energy': found.harmonic.free_energy,
        'harmonic_entropy': found.harmonic.entropy,
        'harmonic_heat_capacity': found.harmonic.heat_capacity,
        'band_distances': bands.distances,
        'band_frequencies': bands.frequencies,
        'band_ticks': bands.ticks,
        'band_labels': np.array(bands.labels),
        'dos_frequencies': bands.dos_frequencies,
        'dos': bands.dos,
        'point_volumes': np.array([point.volume for point in found.points]),
        'point_energies': np.array([point.energy for point in found.points]),
        'point_lowest': np.array([point.phonons.lowest for point in found.points]),
        'point_imaginary': np.array([point.phonons.imaginary_fraction for point in found.points]),
        'point_free_energies': np.array([point.phonons.free_energy for point in found.points]),
    }
    if found.quasi_harmonic is not None:
        arrays.update({f'qha_{name}': value for name, value in vars(found.quasi_harmonic).items()})
    return arrays
