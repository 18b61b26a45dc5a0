"""Configuration files of the commands that move atoms on a potential, validated before torch is imported."""

from __future__ import annotations

import typing as t
from pathlib import Path

import pydantic

from aiida_qagenai.exchange.geometry import GeometricConstraint
from aiida_qagenai.exchange.masks import SiteMask
from aiida_qagenai.exchange.requests import Count
from aiida_qagenai.exchange.runtime import RuntimeConfig
from aiida_qagenai.thermodynamics.vibrations.settings import (
    BandSettings,
    ElasticitySettings,
    PhononSettings,
    Potential,
    RelaxSettings,
    TemperatureSettings,
    VolumeSettings,
)

__all__ = (
    'AtomisticConfig',
    'BarrierConfig',
    'ElasticConfig',
    'FreeEnergyConfig',
    'LabelConfig',
    'RelaxConfig',
    'RelaxManyConfig',
)


class AtomisticConfig(RuntimeConfig):
    """What every command takes that moves atoms on a potential.

    :param checkpoint: folder of the validator, only for the potential ``validator``.
    """

    dtype: t.Literal['float32', 'float64'] = 'float64'
    potential: Potential
    checkpoint: Path | None = None

    @pydantic.model_validator(mode='after')
    def _check_checkpoint(self) -> AtomisticConfig:
        if (self.potential.name == 'validator') != (self.checkpoint is not None):
            message = f'the potential `{self.potential.name}` and the checkpoint {self.checkpoint} do not go together'
            raise ValueError(message)
        return self


class LabelConfig(AtomisticConfig):
    """Energies, forces and stresses of many structures by one potential, on one level of theory.

    :param structures: packed structures.
    :param output: labels in the order of the structures, see :func:`~aiida_qagenai.ml.labelling.label`.
    :param shards: folder of the finished shards; a run that was cut goes on from them.
    :param shard_size: structures per shard.
    :param batch_atoms: most atoms evaluated at once; a larger structure is evaluated alone.
    """

    dtype: t.Literal['float32', 'float64'] = 'float32'
    structures: Path
    output: Path = Path('labels.npz')
    shards: Path = Path('shards')
    shard_size: Count = 512
    batch_atoms: Count = 256


class RelaxConfig(AtomisticConfig):
    """Relaxation of one crystal, cell and atoms.

    :param structure: packed structures, exactly one.
    """

    structure: Path
    output: Path = Path('relaxed.npz')
    relaxation: RelaxSettings = RelaxSettings()


class RelaxManyConfig(AtomisticConfig):
    """Relaxation of many crystals at the same time: one that fails is reported and leaves the others alone.

    :param dtype: the thresholds are far above the rounding of single precision.
    :param journal: what has ended; a run that was cut goes on from it.
    :param batch_atoms: most atoms evaluated at once; a larger crystal is relaxed alone.
    :param constraints: geometric constraints by which crystals are judged before and after.
    :param mask: held atoms, the first of every crystal, of which is judged whether they stay where they are.
    """

    dtype: t.Literal['float32', 'float64'] = 'float32'
    structures: Path
    output: Path = Path('relaxed.npz')
    journal: Path = Path('relaxed.jsonl')
    constraints: tuple[GeometricConstraint, ...] = ()
    mask: SiteMask | None = None
    batch_atoms: Count = 256
    relaxation: RelaxSettings = RelaxSettings(max_force=0.05, max_stress=0.003, max_steps=200)


class ElasticConfig(AtomisticConfig):
    """Elastic tensors of many crystals: one that fails is reported and leaves the others alone.

    :param journal: what has ended; a run that was cut goes on from it.
    :param batch_atoms: most atoms evaluated at once; a larger crystal is evaluated alone.
    :param relaxation: of the unstrained crystals.
    """

    structures: Path
    output: Path = Path('elastic.npz')
    journal: Path = Path('elastic.jsonl')
    batch_atoms: Count = 256
    relaxation: RelaxSettings = RelaxSettings()
    elasticity: ElasticitySettings = ElasticitySettings()


class FreeEnergyConfig(AtomisticConfig):
    """Quasi-harmonic free energy of one crystal.

    :param structure: packed structures, exactly one.
    """

    structure: Path
    output: Path = Path('free_energy.npz')
    relaxation: RelaxSettings = RelaxSettings()
    phonons: PhononSettings = PhononSettings()
    volumes: VolumeSettings = VolumeSettings()
    temperatures: TemperatureSettings = TemperatureSettings()


class BarrierConfig(AtomisticConfig):
    """Minimum-energy path between two minima.

    :param structures: packed structures, exactly two: the initial and the final one.
    """

    structures: Path
    output: Path = Path('barrier.npz')
    band: BandSettings = BandSettings()
