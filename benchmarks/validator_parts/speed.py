"""Energy and forces of crystals of 8 to 20 atoms, one at a time on one thread: the shipped validator beside its peers.

A figure is the median over the crystals of the shortest of several evaluations, lists of neighbours included. A member
is the ensemble with one member left. The peers are CHGNet 0.3.0 and SevenNet-0, where they are installed.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
import typing as t

import numpy as np
from figures import figure
from pymatgen.core import Lattice, Structure

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.exchange.checkpoint import VALIDATOR_FOUNDATION
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.exchange.tasks import RuntimeConfig
from aiida_qagenai.ml.potentials import Potential, chunks, make_potential
from aiida_qagenai.ml.potentials.validator import Validator
from aiida_qagenai.ml.runtime import Runtime, setup

LIMITS = {'member-ms': 20.0, 'ensemble-ms': 60.0}
"""What the figures should not exceed."""


def crystals() -> list[StructureBatch]:
    """Return crystals of 8 to 20 atoms, each alone."""
    salt = [[0, 0, 0], [0.5, 0.5, 0.5]]
    found = [
        Structure.from_spacegroup('Fm-3m', Lattice.cubic(5.64), ['Na', 'Cl'], salt),
        Structure.from_spacegroup('Fm-3m', Lattice.cubic(4.21), ['Mg', 'O'], salt),
        Structure.from_spacegroup('Fd-3m', Lattice.cubic(5.43), ['Si'], [[0, 0, 0]]),
        Structure.from_spacegroup('Fm-3m', Lattice.cubic(5.46), ['Ca', 'F'], [[0, 0, 0], [0.25, 0.25, 0.25]]),
        Structure.from_spacegroup('Fm-3m', Lattice.cubic(3.61), ['Cu'], [[0, 0, 0]]) * (2, 2, 1),
        Structure.from_spacegroup(
            'Pm-3m', Lattice.cubic(3.91), ['Sr', 'Ti', 'O'], [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
        )
        * (2, 2, 1),
    ]
    return [StructureBatch.from_structures([structure]) for structure in found]


def milliseconds(potential: Potential, structures: list[StructureBatch], repetitions: int) -> float:
    """Return the time of one evaluation."""
    found = []
    for structure in structures:
        potential.evaluate(structure)
        times = []
        for _ in range(repetitions):
            begin = time.perf_counter()
            potential.evaluate(structure)
            times.append(time.perf_counter() - begin)
        found.append(1e3 * min(times))
    return float(np.median(found))


def peers(runtime: Runtime) -> t.Iterator[tuple[str, Potential]]:
    """Yield the foundation potentials that are installed here."""
    from aiida_qagenai.exchange.atomistic import LabelConfig

    for name, settings in (('CHGNet 0.3.0', {'name': 'chgnet'}), ('SevenNet-0', {'name': 'sevennet', 'model': '0'})):
        config = LabelConfig.model_validate({'potential': settings, 'structures': 'none.npz'})
        try:
            yield name, make_potential(config, runtime)
        except InvalidInputError as exception:
            print(f'{name} is left out: {exception}')


def run(arguments: argparse.Namespace) -> None:
    """Print the figures."""
    repetitions = 5 if arguments.quick else 30
    folder = arguments.validator or VALIDATOR_FOUNDATION
    runtime = setup(RuntimeConfig(num_threads=1))
    structures = crystals()
    ensemble = Validator.load(folder, Fidelity.PBE, runtime)
    number = len(ensemble.ensemble.members)
    alone = Validator.load(folder, Fidelity.PBE, runtime)
    alone.ensemble = dataclasses.replace(alone.ensemble, members=alone.ensemble.members[:1])
    found = {
        'member-ms': milliseconds(alone, structures, repetitions),
        'ensemble-ms': milliseconds(ensemble, structures, repetitions),
    }
    for name, value in found.items():
        figure(name, value, 'ms', 'limit', LIMITS[name])
    for peer, potential in peers(runtime):
        value = milliseconds(potential, structures, repetitions)
        for name, ours in found.items():
            figure(f'{name}-vs-peer', ours, 'ms', peer, value)
    figure('members', number, '1')
    many = StructureBatch.concatenate(structures * 10)
    begin = time.perf_counter()
    for indices in chunks(many, 256):
        ensemble.evaluate(many.select(indices))
    figure(
        'ensemble-batched-ms',
        1e3 * (time.perf_counter() - begin) / len(many),
        'ms',
        'one at a time',
        found['ensemble-ms'],
    )
