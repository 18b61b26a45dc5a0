"""Many crystals relaxed in one job against one after the other.

The crystals are distorted cells of compounds. For the potential `alloys` they are alloys of Cu, Ag and Au, and an
ensemble of five members of the size `base` is trained on those by ASE's effective-medium theory. Both sides use the
same model, thresholds and symmetry: `relax_many` moves all crystals together, ASE's BFGS with `FrechetCellFilter` and
`FixSymmetry` moves one after the other. Seconds are those of the processor, so that other work on the machine changes
little.

ASE would take hours for 1,000 crystals: it relaxes a random sample of those that are relaxed together, and its
throughput is that of the sample, which the figures say. `--count 1000 --sample 30` is what is published:

    python benchmarks/validator.py --only relaxation --count 1000 --sample 30
"""

from __future__ import annotations

import argparse
import tempfile
import time
import typing as t
import warnings
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.calculators.emt import EMT
from figures import figure

from aiida_qagenai.cli.ml_tasks import run_ml_task
from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS
from aiida_qagenai.common.fidelity import LADDER
from aiida_qagenai.exchange.checkpoint import VALIDATOR_FOUNDATION
from aiida_qagenai.exchange.dataset import LabelledBatch
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.exchange.tasks import parse
from aiida_qagenai.ml.potentials import Potential, make_potential
from aiida_qagenai.ml.relaxations import relax_together
from aiida_qagenai.ml.runtime import setup
from aiida_qagenai.thermodynamics.vibrations.relaxation import relax_within
from aiida_qagenai.thermodynamics.vibrations.settings import RelaxSettings

SETTINGS = RelaxSettings(max_force=0.05, max_stress=0.003, max_steps=300)
ALLOYS = {'Cu': 3.61, 'Ag': 4.09, 'Au': 4.08}
COMPOUNDS = (('MgO', 'rocksalt', 4.25), ('Si', 'diamond', 5.47), ('NaCl', 'rocksalt', 5.6), ('GaAs', 'zincblende', 5.7))


def run(arguments: argparse.Namespace) -> None:
    """Print the figures."""
    warnings.simplefilter('ignore')
    count = arguments.count or (30 if arguments.quick else 1000)
    sample = arguments.sample or (3 if arguments.quick else 30)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings: dict[str, t.Any] = {'potential': {'name': arguments.potential}}
        of_alloys = arguments.potential == 'alloys'
        if of_alloys:
            settings = {'potential': {'name': 'validator'}}
            settings['checkpoint'] = train(folder, steps=60 if arguments.quick else 600)
        elif arguments.potential == 'validator':
            settings['checkpoint'] = arguments.validator or VALIDATOR_FOUNDATION
        config = parse('relax_many', {**settings, 'structures': 'none'})
        potential = make_potential(config, setup(config))
        crystals = [distorted(alloy(seed) if of_alloys else compound(seed), seed) for seed in range(count)]
        compare(potential, crystals, sample, config.batch_atoms)


def train(folder: Path, steps: int) -> Path:
    """Return the folder of an ensemble trained on alloys."""
    count = 200
    crystals = [distorted(alloy(seed), seed, 0.04, 0.1) for seed in range(count)]
    structures = StructureBatch.from_atoms(crystals)
    energies = np.full((count, len(LADDER)), np.nan)
    forces = np.full((len(structures.species), len(LADDER), 3), np.nan)
    stresses = np.full((count, len(LADDER), 3, 3), np.nan)
    for index, atoms in enumerate(crystals):
        atoms.calc = EMT()
        energies[index, 0] = atoms.get_potential_energy() / len(atoms)
        forces[structures.owner == index, 0] = atoms.get_forces()
        stresses[index, 0] = atoms.get_stress(voigt=False)
    LabelledBatch(
        structures,
        energies,
        descriptors=np.full((count, NUM_DESCRIPTORS), np.nan),
        groups=np.array([atoms.get_chemical_formula() for atoms in crystals]),
        split=np.zeros(count, dtype=np.int8),
        forces=forces,
        stresses=stresses,
    ).save(folder / 'dataset.npz')
    config = {'role': 'validator', 'size': 'base', 'dataset': 'dataset.npz', 'output': 'validator', 'steps': steps}
    run_ml_task('train', config, folder, 'training')
    return folder / 'validator'


def alloy(seed: int) -> Atoms:
    """Return a cell of 4 to 16 atoms of a face-centred alloy."""
    random = np.random.default_rng(seed)
    atoms = bulk('Cu', cubic=True) * (1, 1 + seed % 2, 1 + seed // 2 % 2)
    symbols = random.choice(list(ALLOYS), len(atoms))
    atoms.set_chemical_symbols(symbols)
    atoms.set_cell(atoms.cell.array * np.mean([ALLOYS[symbol] for symbol in symbols]) / 3.61, scale_atoms=True)
    return atoms


def compound(seed: int) -> Atoms:
    """Return a conventional cell of 8 atoms of a compound or of silicon."""
    name, structure, edge = COMPOUNDS[seed % len(COMPOUNDS)]
    return bulk(name, structure, a=edge, cubic=True)


def distorted(atoms: Atoms, seed: int, strain: float = 0.03, displacement: float = 0.08) -> Atoms:
    """Return a crystal in a strained cell with its atoms off their sites."""
    random = np.random.default_rng(1000 + seed)
    atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain * random.standard_normal((3, 3))), scale_atoms=True)
    atoms.positions += displacement * random.standard_normal(atoms.positions.shape)
    return atoms


def compare(potential: Potential, crystals: list[Atoms], sample: int, batch_atoms: int) -> None:
    """Print the throughput together and one by one, the evaluations of both, and how far their energies are apart.

    :param sample: number of crystals that ASE relaxes, drawn at random.
    """
    batch = StructureBatch.from_atoms(crystals)
    potential.evaluate(batch.select([0]))  # what is compiled at the first call is in neither time
    start = time.process_time()
    together = dict(relax_together(batch, potential, SETTINGS, batch_atoms))
    seconds = time.process_time() - start
    chosen = np.random.default_rng(0).choice(len(crystals), min(sample, len(crystals)), replace=False).tolist()
    calculator, found, times = potential.calculator(), {}, []
    for index in chosen:
        start = time.process_time()
        found[index] = relax_within(crystals[index], calculator, SETTINGS)
        times.append(time.process_time() - start)
    one, spread = float(np.mean(times)), float(np.std(times) / np.sqrt(len(times)))
    name = f'ASE one by one, {potential.tag.split(":")[0]}, {len(chosen)} random ones of {len(crystals)}'
    figure('relax-batch-vs-ase', len(crystals) / seconds, 'crystals/s', name, 1 / one)
    figure('relax-seconds', seconds, f's for {len(crystals)} crystals', f'{name}, extrapolated', one * len(crystals))
    figure('relax-sample-error', spread / one, 'standard error of the time of ASE, relative', None, None)
    converged = sum(outcome['converged'] for outcome in together.values()) / len(together)
    of_ase = sum(each.is_within(SETTINGS) for each in found.values()) / len(found)
    figure('relax-converged', converged, 'share of the crystals', 'ASE', of_ase)
    both = [index for index in found if found[index].is_within(SETTINGS) and together[index]['converged']]
    steps = float(np.mean([together[index]['steps'] + 1 for index in both]))
    figure('relax-evaluations', steps, 'per crystal', 'ASE', float(np.mean([found[index].steps + 1 for index in both])))
    apart = [together[index]['energy_per_atom'] - found[index].energy / len(crystals[index]) for index in both]
    figure('relax-energy-difference', 1000 * float(np.abs(apart).max()), 'meV/atom, largest', 'ASE', None)
