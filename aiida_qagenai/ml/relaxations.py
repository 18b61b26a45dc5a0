"""The command ``relax_many``: crystals on a potential, many in one evaluation."""

from __future__ import annotations

import hashlib
import json
import math
import typing as t
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.atomistic import RelaxManyConfig
from aiida_qagenai.exchange.geometry import GeometryOptions
from aiida_qagenai.exchange.structures import FORMAT_VERSION, StructureBatch, load_sound, save_arrays
from aiida_qagenai.ml.generator.masking import displacement
from aiida_qagenai.ml.generator.ordering import judge_structures
from aiida_qagenai.ml.potentials import Potential, make_potential, used_libraries
from aiida_qagenai.ml.progress import Progress, Record
from aiida_qagenai.ml.runtime import Runtime, installed_versions
from aiida_qagenai.thermodynamics.vibrations.descent import Descent
from aiida_qagenai.thermodynamics.vibrations.settings import RelaxSettings

__all__ = ('crystal_key', 'descend_together', 'read_journal', 'relax_many', 'relax_together')

Outcome = dict[str, t.Any]

HELD = 0.3
"""Largest displacement of held atoms that stay where they are, Å."""

FIGURES = ('energy_per_atom', 'force', 'stress', 'steps')
"""What an outcome says in numbers, None for a crystal without an energy."""


def relax_many(config: RelaxManyConfig, runtime: Runtime, record: Record) -> None:
    """Relax cell and atoms of every crystal, write them packed, and a list of outcomes as ``relaxations``.

    An outcome has ``identifier``, ``converged``, ``energy_per_atom`` (eV), ``force`` (eV/Å), ``stress`` (eV/Å3),
    ``steps`` and ``reason``: why it did not converge, or has no energy. With constraints or a mask it also has
    ``ordered``, what they say before (``values_before``, ``losses_before``, ``satisfied_before``) and after (``values``
    and so on, None for a value without its elements); with a mask the last value is the displacement of the held atoms,
    Å. The crystal of one without an energy is the one that was given, even if it is broken
    (``exchange.structures.load_sound`` reads such a file).

    :raises InvalidInputError: if there are no structures, or the potential is not installed.
    """
    batch, problems, arrays = load_sound(config.structures)
    if not problems:
        raise InvalidInputError(f'`{config.structures}` holds no structures to relax')
    with record.stage('load'):
        potential = make_potential(config, runtime)
    settings = ['descent', potential.tag, config.relaxation.dump(), config.dtype, config.device]
    keys = [crystal_key(batch.select([index]), settings) for index in range(len(batch))]
    done = read_journal(config.journal)
    pending = [index for index in range(len(batch)) if keys[index] not in done]
    progress, converged = Progress(len(batch) or 1), sum(done[key]['converged'] for key in keys if key in done)
    if len(pending) < len(batch):
        progress.advance('relax', {'converged': converged}, count=len(batch) - len(pending))
    with record.stage('relaxation'), config.journal.open('a', encoding='utf8') as journal:
        if done:
            journal.write('\n')  # the last line of a run that was cut may have no end
        crystals = batch.select(pending)
        for position, outcome in relax_together(crystals, potential, config.relaxation, config.batch_atoms):
            key = keys[pending[position]]
            done[key] = outcome
            journal.write(json.dumps({'key': key, **outcome}) + '\n')
            journal.flush()
            converged += outcome['converged']
            progress.advance('relax', {'converged': converged})
    outcomes = _write(config.output, arrays, problems, [done[key] for key in keys])
    if config.constraints or config.mask is not None:
        relaxed = load_sound(config.output)[0]
        judged = iter(_judge(config, batch, relaxed))
        outcomes = [
            {**each, 'ordered': None if problem else next(judged)}
            for each, problem in zip(outcomes, problems, strict=True)
        ]
    libraries = ('ase', 'spglib', *used_libraries(config.potential.name))
    record.counts.update(
        potential=potential.tag,
        library_versions=installed_versions(*libraries),
        num_converged=converged,
        relaxations=[
            {'identifier': str(name), **{key: outcome[key] for key in outcome if key not in ('cell', 'fractional')}}
            for name, outcome in zip(arrays['identifiers'], outcomes, strict=True)
        ],
    )


def _judge(config: RelaxManyConfig, before: StructureBatch, after: StructureBatch) -> list[dict[str, list[t.Any]]]:
    """Return what constraints, and last the mask, say about each sound crystal before and after its relaxation."""
    rows: list[dict[str, list[t.Any]]] = [{} for _ in range(len(before))]
    for ending, crystals in (('_before', before), ('', after)):
        for row, said in zip(rows, _verdicts(config, crystals), strict=True):
            row |= {
                f'values{ending}': [value if math.isfinite(value) else None for value, _, _ in said],
                f'losses{ending}': [loss for _, loss, _ in said],
                f'satisfied{ending}': [satisfied for _, _, satisfied in said],
            }
    return rows


def _verdicts(config: RelaxManyConfig, crystals: StructureBatch) -> list[list[tuple[float, float, bool]]]:
    """Return for each crystal the value, the loss, and whether it is satisfied, of each constraint and of the mask."""
    said: list[list[tuple[float, float, bool]]] = [[] for _ in range(len(crystals))]
    if config.constraints:
        found = judge_structures(GeometryOptions(constraints=config.constraints), crystals)
        columns = (found.values.tolist(), found.losses.tolist(), found.satisfied.tolist())
        said = [list(zip(*each, strict=True)) for each in zip(*columns, strict=True)]
    if config.mask is not None:
        for each, (cell, _, fractional) in zip(said, crystals, strict=True):
            moved = displacement(config.mask, cell, fractional)
            each.append((moved, max(0.0, moved - HELD), moved <= HELD))
    return said


def _write(path: Path, arrays: dict[str, t.Any], problems: Sequence[str], relaxed: Sequence[Outcome]) -> list[Outcome]:
    """Write all structures, those that were relaxed as they are now, and return the outcome of each.

    :param problems: why a structure is broken; the others have the outcomes ``relaxed``, in their order.
    """
    cells, fractional = arrays['cells'].copy(), arrays['fractional'].copy()
    ends = np.cumsum(arrays['num_atoms'])
    found, outcomes = iter(relaxed), []
    for index, problem in enumerate(problems):
        if problem:
            outcomes.append({'converged': False, **dict.fromkeys(FIGURES), 'reason': f'the structure {problem}'})
            continue
        outcome = next(found)
        cells[index] = outcome['cell']
        fractional[ends[index] - arrays['num_atoms'][index] : ends[index]] = outcome['fractional']
        outcomes.append(outcome)
    version = np.array(FORMAT_VERSION)
    save_arrays(path, {**arrays, 'cells': cells, 'fractional': fractional, 'format_version': version})
    return outcomes


def crystal_key(crystal: StructureBatch, settings: Sequence[t.Any]) -> str:
    """Return what tells a crystal and what is done with it from all others.

    :param settings: what is done: plain values.
    """
    text = json.dumps(settings, sort_keys=True)
    arrays = (crystal.cells, crystal.species, crystal.fractional)
    return hashlib.sha256(text.encode() + b''.join(array.tobytes() for array in arrays)).hexdigest()


def read_journal(path: Path) -> dict[str, Outcome]:
    """Return the outcomes of an earlier run; a line that was cut is left out."""
    found: dict[str, Outcome] = {}
    for line in path.read_text(encoding='utf8').splitlines() if path.exists() else ():
        try:
            outcome = json.loads(line)
        except json.JSONDecodeError:
            continue
        found[outcome.pop('key')] = outcome
    return found


def relax_together(
    crystals: StructureBatch, potential: Potential, settings: RelaxSettings, batch_atoms: int
) -> Iterator[tuple[int, Outcome]]:
    """Relax cell and atoms of crystals at the same time and yield the index and the outcome of each as it ends.

    :param batch_atoms: most atoms evaluated at once; a larger crystal is relaxed alone.
    """
    for index, descent, reason in descend_together(crystals, potential, settings, batch_atoms):
        yield index, _outcome(crystals.select([index]), descent, reason)


def descend_together(
    crystals: StructureBatch,
    potential: Potential,
    settings: RelaxSettings,
    batch_atoms: int,
    *,
    fixed_cell: bool = False,
) -> Iterator[tuple[int, Descent | None, str]]:
    """Let crystals descend at the same time and yield the index of each as it ends, its end, and why it failed.

    Every step is one evaluation of all crystals on their way; one that ends gives its place to the next. The end is
    ``None`` for a crystal without an energy.

    :param batch_atoms: most atoms evaluated at once; a larger crystal is relaxed alone.
    :param fixed_cell: move the atoms only.
    """
    waiting = deque(range(len(crystals)))
    moving: dict[int, Descent] = {}
    while waiting or moving:
        atoms = int(crystals.num_atoms[list(moving)].sum())
        while waiting and (not moving or atoms + crystals.num_atoms[waiting[0]] <= batch_atoms):
            index = waiting.popleft()
            cell, species, fractional = next(iter(crystals.select([index])))
            try:
                moving[index] = Descent(cell, species, fractional, settings, fixed_cell=fixed_cell)
            except Exception as exception:  # spglib fails in several ways for a broken crystal
                yield index, None, _text(exception)
                continue
            atoms += len(species)
        if not moving:
            continue
        for index, reason in _step(crystals, moving, potential):
            descent = moving.pop(index)
            last = '' if descent.converged else f'not converged in {settings.max_steps} steps'
            yield index, None if reason else descent, reason or last


def _step(crystals: StructureBatch, moving: dict[int, Descent], potential: Potential) -> list[tuple[int, str]]:
    """Evaluate and move all crystals on their way; return those that end here, each with the reason if it failed."""
    chosen = crystals.select(list(moving))
    present = StructureBatch(
        num_atoms=chosen.num_atoms,
        cells=np.array([descent.cell for descent in moving.values()]),
        species=chosen.species,
        fractional=np.concatenate([descent.fractional for descent in moving.values()]),
        identifiers=chosen.identifiers,
    )
    found, problems = potential.evaluate_each(present)
    ended = []
    for position, (index, descent) in enumerate(moving.items()):
        forces = found.forces[present.offsets[position] : present.offsets[position + 1]]
        if problems[position]:
            ended.append((index, problems[position]))
            continue
        try:
            goes_on = descent.advance(float(found.energies[position]), forces, found.stresses[position])
        except Exception as exception:  # a step into a cell that has no inverse costs this crystal alone
            ended.append((index, _text(exception)))
            continue
        if not goes_on:
            ended.append((index, descent.problem))
    return ended


def _outcome(crystal: StructureBatch, descent: Descent | None, reason: str) -> Outcome:
    """Return the outcome of one crystal; ``descent`` is None for one without an energy."""
    if descent is None:
        figures = dict.fromkeys(FIGURES)
        place = {'cell': crystal.cells[0].tolist(), 'fractional': crystal.fractional.tolist()}
        return {'converged': False, **figures, 'reason': reason, **place}
    return {
        'converged': descent.converged,
        'energy_per_atom': descent.energy / len(crystal.species),
        'force': descent.force,
        'stress': descent.stress,
        'steps': descent.steps,
        'reason': reason,
        'cell': descent.cell.tolist(),
        'fractional': descent.fractional.tolist(),
    }


def _text(exception: Exception) -> str:
    return ' '.join(str(exception).split()) or type(exception).__name__
