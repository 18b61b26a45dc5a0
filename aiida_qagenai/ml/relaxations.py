"""The command ``relax_many``: crystals on a potential, one after the other."""

from __future__ import annotations

import hashlib
import json
import typing as t
from pathlib import Path

import numpy as np

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.structures import StructureBatch, save_arrays
from aiida_qagenai.exchange.tasks import RelaxManyConfig
from aiida_qagenai.ml.potentials import make_potential, used_libraries
from aiida_qagenai.ml.progress import Progress, Record
from aiida_qagenai.ml.runtime import Runtime, installed_versions
from aiida_qagenai.thermodynamics.vibrations.relaxation import relax_within

if t.TYPE_CHECKING:
    from ase import Atoms

__all__ = ('relax_many',)

Outcome = dict[str, t.Any]


def relax_many(config: RelaxManyConfig, runtime: Runtime, record: Record) -> None:
    """Relax cell and atoms of every crystal, write them packed, and a list of outcomes as ``relaxations``.

    An outcome has ``identifier``, ``converged``, ``energy_per_atom`` (eV), ``force`` (eV/Å), ``stress`` (eV/Å3),
    ``steps`` and ``reason``: why it did not converge, or has no energy. The crystal of one without an energy is the one
    that was given.

    :raises InvalidInputError: if there are no structures, or the potential is not installed.
    """
    batch = StructureBatch.load(config.structures)
    if not len(batch):
        raise InvalidInputError(f'`{config.structures}` holds no structures to relax')
    with record.stage('load'):
        potential = make_potential(config, runtime)
        calculator, tag = potential.calculator(), potential.tag
    done = _read_journal(config.journal)
    progress = Progress(len(batch))
    outcomes, converged = [], 0
    with record.stage('relaxation'), config.journal.open('a', encoding='utf8') as journal:
        if done:
            journal.write('\n')  # the last line of a run that was cut may have no end
        for index in range(len(batch)):
            crystal = batch.select([index])
            key = _key(crystal, config, tag)
            if key not in done:
                done[key] = _relaxed(crystal, calculator, config)
                journal.write(json.dumps({'key': key, **done[key]}) + '\n')
                journal.flush()
            outcomes.append(done[key])
            converged += done[key]['converged']
            progress.advance('relax', {'converged': converged})
    relaxed = StructureBatch(
        num_atoms=batch.num_atoms,
        cells=np.array([outcome['cell'] for outcome in outcomes]),
        species=batch.species,
        fractional=np.concatenate([outcome['fractional'] for outcome in outcomes]),
        identifiers=batch.identifiers,
    )
    save_arrays(config.output, relaxed.to_arrays())
    libraries = ('ase', 'spglib', *used_libraries(config.potential.name))
    record.counts.update(
        potential=tag,
        library_versions=installed_versions(*libraries),
        num_converged=converged,
        relaxations=[
            {'identifier': str(name), **{key: outcome[key] for key in outcome if key not in ('cell', 'fractional')}}
            for name, outcome in zip(batch.identifiers, outcomes, strict=True)
        ],
    )


def _key(crystal: StructureBatch, config: RelaxManyConfig, tag: str) -> str:
    """Return what tells a crystal and how it is relaxed from all others."""
    settings = json.dumps([tag, config.relaxation.dump(), config.dtype, config.device], sort_keys=True)
    arrays = (crystal.cells, crystal.species, crystal.fractional)
    return hashlib.sha256(settings.encode() + b''.join(array.tobytes() for array in arrays)).hexdigest()


def _read_journal(path: Path) -> dict[str, Outcome]:
    """Return the outcomes of an earlier run; a line that was cut is left out."""
    found: dict[str, Outcome] = {}
    for line in path.read_text(encoding='utf8').splitlines() if path.exists() else ():
        try:
            outcome = json.loads(line)
        except json.JSONDecodeError:
            continue
        found[outcome.pop('key')] = outcome
    return found


def _relaxed(crystal: StructureBatch, calculator: t.Any, config: RelaxManyConfig) -> Outcome:
    """Return the outcome of one crystal, whatever happens to it."""
    settings = config.relaxation
    atoms = _atoms(crystal)
    try:
        found = relax_within(atoms, calculator, settings)
        outcome = {
            'converged': found.is_within(settings),
            'energy_per_atom': found.energy / len(atoms),
            'force': found.max_force,
            'stress': found.max_stress,
            'steps': found.steps,
            'reason': '' if found.is_within(settings) else f'not converged in {settings.max_steps} steps',
        }
        atoms = found.atoms
        if not np.isfinite([outcome['energy_per_atom'], *atoms.cell.array.ravel(), *atoms.positions.ravel()]).all():
            raise FloatingPointError('energy or positions are not finite')
    except Exception as exception:  # a crystal without a sensible energy fails in many ways, in several libraries
        atoms = _atoms(crystal)
        nothing = dict.fromkeys(('energy_per_atom', 'force', 'stress', 'steps'))
        reason = ' '.join(str(exception).split()) or type(exception).__name__
        outcome = {'converged': False, **nothing, 'reason': reason}
    return {**outcome, 'cell': atoms.cell.tolist(), 'fractional': atoms.get_scaled_positions(wrap=False).tolist()}


def _atoms(crystal: StructureBatch) -> Atoms:
    return crystal.atoms()[0]
