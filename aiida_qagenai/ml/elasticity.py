"""The command ``elastic``: elastic tensors of crystals on a potential, many in one evaluation."""

from __future__ import annotations

import dataclasses
import json
import typing as t
from collections.abc import Iterator, Sequence

import numpy as np
from ase import Atoms

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.exchange.atomistic import ElasticConfig
from aiida_qagenai.exchange.structures import FORMAT_VERSION, StructureBatch, load_sound, save_arrays
from aiida_qagenai.ml.functions import evaluate_functions, load_functions
from aiida_qagenai.ml.potentials import Potential, make_potential, used_libraries
from aiida_qagenai.ml.progress import Progress, Record
from aiida_qagenai.ml.relaxations import crystal_key, descend_together, read_journal
from aiida_qagenai.ml.runtime import Runtime, installed_versions
from aiida_qagenai.thermodynamics.elasticity import Elasticity, StrainedCells, elasticity
from aiida_qagenai.thermodynamics.vibrations.descent import Descent
from aiida_qagenai.thermodynamics.vibrations.settings import RelaxSettings

__all__ = ('elastic', 'tensors_together')

Outcome = dict[str, t.Any]

TENSORS = ('tensor', 'tensor_ieee')
FIGURES = tuple(field.name for field in dataclasses.fields(Elasticity) if field.name not in TENSORS)
NOTHING: Outcome = {
    **dict.fromkeys(('energy_per_atom', 'volume_per_atom', 'force', 'stress', 'steps', 'num_strains')),
    **dict.fromkeys((*FIGURES, *TENSORS)),
}
"""What an outcome says where there is no number."""


def elastic(config: ElasticConfig, runtime: Runtime, record: Record) -> None:
    """Relax every crystal, strain it, and write its tensor.

    The arrays are those of the relaxed crystals, ``tensors`` and ``tensors_ieee``, shape (n, 6, 6), GPa, NaN where
    there is none. The list ``elasticity`` has for each crystal ``identifier``, ``reason`` (why there is no tensor,
    empty if there is one), ``energy_per_atom`` (eV), ``volume_per_atom`` (Å3), ``force`` (eV/Å) and ``stress`` (eV/Å3)
    that are left, ``steps`` of the relaxation, ``num_strains``, and the numbers of ``Elasticity``, or None; and where
    ``config.elasticity`` names ``functions``, their values of the relaxed crystal by name.

    :raises InvalidInputError: if there are no structures, the potential is not installed, or a function cannot be
        imported.
    """
    batch, problems, arrays = load_sound(config.structures)
    if not problems:
        raise InvalidInputError(f'`{config.structures}` holds no structures')
    with record.stage('load'):
        potential = make_potential(config, runtime)
    functions = load_functions(config.elasticity.functions)
    asked = config.elasticity.model_dump(mode='json', exclude=None if functions else {'functions'})
    settings = [potential.tag, config.relaxation.dump(), asked, config.dtype, config.device]
    keys = [crystal_key(batch.select([index]), ['elastic', *settings]) for index in range(len(batch))]
    done = read_journal(config.journal)
    pending = [index for index in range(len(batch)) if keys[index] not in done]
    progress = Progress(len(batch) or 1)
    if len(pending) < len(batch):
        progress.advance('elastic', count=len(batch) - len(pending))
    with record.stage('elastic'), config.journal.open('a', encoding='utf8') as journal:
        if done:
            journal.write('\n')  # the last line of a run that was cut may have no end
        for position, outcome in tensors_together(batch.select(pending), potential, config):
            key, crystal = keys[pending[position]], batch.select([pending[position]])
            if functions and outcome['energy_per_atom'] is not None:
                place = {'cell': outcome['cell'], 'scaled_positions': outcome['fractional']}
                atoms = Atoms(crystal.species, **place, pbc=True)
                outcome['functions'], wrong = evaluate_functions(functions, atoms, potential)
                for text in wrong:
                    record.warn(f'{crystal.identifiers[0]}: {text}')
            done[key] = outcome
            journal.write(json.dumps({'key': key, **outcome}) + '\n')
            journal.flush()
            progress.advance('elastic')
    outcomes = _write(config, arrays, problems, [done[key] for key in keys])
    hidden = ('cell', 'fractional', *TENSORS)
    record.counts.update(
        potential=potential.tag,
        library_versions=installed_versions('ase', 'pymatgen-core', 'spglib', *used_libraries(config.potential.name)),
        elasticity=[
            {'identifier': str(name), **{key: outcome[key] for key in outcome if key not in hidden}}
            for name, outcome in zip(arrays['identifiers'], outcomes, strict=True)
        ],
    )


def tensors_together(
    crystals: StructureBatch, potential: Potential, config: ElasticConfig
) -> Iterator[tuple[int, Outcome]]:
    """Yield the index and the outcome of each crystal as it ends: group by group, all relax, then all strain."""
    group = max(1, 4 * config.batch_atoms // max(1, int(crystals.num_atoms.max(initial=1))))
    for start in range(0, len(crystals), group):
        chosen = crystals.select(np.arange(start, min(start + group, len(crystals))))
        relaxed: dict[int, Descent] = {}
        for index, descent, reason in descend_together(chosen, potential, config.relaxation, config.batch_atoms):
            if reason or descent is None:
                yield start + index, _failed(chosen.select([index]), reason)
            else:
                relaxed[index] = descent
        for index, outcome in _strained(chosen, relaxed, potential, config):
            yield start + index, outcome


def _strained(
    crystals: StructureBatch, relaxed: dict[int, Descent], potential: Potential, config: ElasticConfig
) -> Iterator[tuple[int, Outcome]]:
    """Strain the relaxed crystals, all at the same time, and yield the outcome of each."""
    sets: dict[int, StrainedCells] = {}
    for index, descent in relaxed.items():
        crystal = crystals.select([index])
        try:
            sets[index] = StrainedCells(descent.cell, crystal.species, descent.fractional, config.elasticity.strains)
        except InvalidInputError as exception:
            yield index, _failed(crystal, str(exception), descent)
    if not sets:
        return
    copies, places = _copies(crystals, relaxed, sets)
    ends: dict[int, dict[int, Descent]] = {index: {} for index in sets}
    missing, reasons = {index: len(each.cells) for index, each in sets.items()}, dict.fromkeys(sets, '')
    for row, end, reason in descend_together(copies, potential, _ionic(config), config.batch_atoms, fixed_cell=True):
        index, place = places[row]
        if end is not None and (not reason or not config.elasticity.relax_ions):
            ends[index][place] = end
        else:
            reasons[index] = reasons[index] or f'a strained cell: {reason}'
        missing[index] -= 1
        if missing[index]:
            continue
        crystal = crystals.select([index])
        if reasons[index]:
            yield index, _failed(crystal, reasons[index], relaxed[index])
        else:
            stresses = [each.tensor for _, each in sorted(ends[index].items())]
            yield index, _fitted(crystal, relaxed[index], sets[index], stresses)


def _copies(
    crystals: StructureBatch, relaxed: dict[int, Descent], sets: dict[int, StrainedCells]
) -> tuple[StructureBatch, list[tuple[int, int]]]:
    """Return the strained cells of all crystals, and of each the index of the crystal and the place in its set."""
    places = [(index, place) for index, each in sets.items() for place in range(len(each.cells))]
    owners = [index for index, _ in places]
    copies = dataclasses.replace(
        crystals.select(owners),
        cells=np.array([sets[index].cells[place] for index, place in places]),
        fractional=np.concatenate([relaxed[index].fractional for index in owners]),
    )
    return copies, places


def _ionic(config: ElasticConfig) -> RelaxSettings:
    """Return how atoms relax in strained cells; without steps they stay where they are."""
    asked = config.elasticity
    # A strain may be smaller than the tolerance of the symmetry search, which would undo what it does to the atoms.
    settings = RelaxSettings(max_force=asked.max_force, max_stress=1.0, max_steps=asked.max_steps, keep_symmetry=False)
    return settings if asked.relax_ions else settings.model_copy(update={'max_steps': 0})


def _fitted(crystal: StructureBatch, relaxed: Descent, cells: StrainedCells, stresses: Sequence[t.Any]) -> Outcome:
    """Return the outcome of a crystal whose strained cells all have a stress."""
    tensor, asymmetry = cells.tensor(np.array(stresses), relaxed.tensor)
    if not np.isfinite(tensor).all():
        return _failed(crystal, 'the tensor is not finite', relaxed)
    after = dataclasses.replace(crystal, cells=relaxed.cell[None], fractional=relaxed.fractional)
    found = elasticity(tensor, after.structure(0), asymmetry)
    return {
        **_relaxation(crystal, relaxed),
        **{name: getattr(found, name) for name in FIGURES},
        'tensor': found.tensor.tolist(),
        'tensor_ieee': None if found.tensor_ieee is None else found.tensor_ieee.tolist(),
        'num_strains': len(cells.cells),
        'reason': '',
    }


def _failed(crystal: StructureBatch, reason: str, relaxed: Descent | None = None) -> Outcome:
    """Return the outcome of a crystal without a tensor."""
    place = {'cell': crystal.cells[0].tolist(), 'fractional': crystal.fractional.tolist()}
    return {**NOTHING, **(place if relaxed is None else _relaxation(crystal, relaxed)), 'reason': reason}


def _relaxation(crystal: StructureBatch, relaxed: Descent) -> Outcome:
    """Return what the outcome says of the crystal without strain."""
    return {
        'energy_per_atom': relaxed.energy / len(crystal.species),
        'volume_per_atom': abs(float(np.linalg.det(relaxed.cell))) / len(crystal.species),
        'force': relaxed.force,
        'stress': relaxed.stress,
        'steps': relaxed.steps,
        'cell': relaxed.cell.tolist(),
        'fractional': relaxed.fractional.tolist(),
    }


def _write(
    config: ElasticConfig, arrays: dict[str, t.Any], problems: Sequence[str], computed: Sequence[Outcome]
) -> list[Outcome]:
    """Write all structures, those that were relaxed as they are now, with the tensors, and return all outcomes.

    :param problems: why a structure is broken; the others have the outcomes ``computed``, in their order.
    """
    cells, fractional = arrays['cells'].copy(), arrays['fractional'].copy()
    tensors = {name: np.full((len(problems), 6, 6), np.nan) for name in TENSORS}
    ends = np.cumsum(arrays['num_atoms'])
    found, outcomes = iter(computed), []
    for index, problem in enumerate(problems):
        outcome = {**NOTHING, 'reason': f'the structure {problem}'} if problem else next(found)
        outcomes.append(outcome)
        if not problem:
            cells[index] = outcome['cell']
            fractional[ends[index] - arrays['num_atoms'][index] : ends[index]] = outcome['fractional']
        for name, values in tensors.items():
            values[index] = np.nan if outcome[name] is None else outcome[name]
    packed = {'tensors': tensors['tensor'], 'tensors_ieee': tensors['tensor_ieee']}
    version = np.array(FORMAT_VERSION)
    save_arrays(
        config.output, {**arrays, 'cells': cells, 'fractional': fractional, **packed, 'format_version': version}
    )
    return outcomes
