"""The candidates of every generator, relaxed once and labelled by everything that a loop may ask or be judged by."""

from __future__ import annotations

import collections
import dataclasses
import functools
import json
import os
import sys
import typing as t
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import generation
import numpy as np
from arms import build
from numpy.typing import NDArray
from pymatgen.core import Structure
from structure_prediction import content

from aiida_qagenai.api.prediction import predict_arrays
from aiida_qagenai.api.relaxation import THRESHOLDS, relax_structures
from aiida_qagenai.chemistry.constraints import screen
from aiida_qagenai.chemistry.duplicates import find_duplicates
from aiida_qagenai.chemistry.formula import parse_formula
from aiida_qagenai.chemistry.symmetry import space_group
from aiida_qagenai.evaluation.validity import structure_is_valid
from aiida_qagenai.exchange.checkpoint import VALIDATOR_FOUNDATION
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.exchange.tasks import LabelConfig
from aiida_qagenai.ml.elements import composition_fractions
from aiida_qagenai.ml.gaps.model import load_gap_model
from aiida_qagenai.ml.potentials import chunks, make_potential
from aiida_qagenai.ml.runtime import setup
from aiida_qagenai.motifs.library import MotifLibrary
from aiida_qagenai.motifs.propose import MotifModels
from aiida_qagenai.motifs.relations import LibraryRelations
from closed_loop_parts import sets
from closed_loop_parts.analysis import ARMS
from closed_loop_parts.hulls import stable_phases

COUNT, MAX_ATOMS, STEPS = 8, 10, 40
"""Candidates of a generator in a system, their largest cell, and the most steps of a relaxation."""

POTENTIALS = {
    'chgnet-pbe': {'name': 'chgnet', 'model': '0.3.0'},
    'chgnet-r2scan': {'name': 'chgnet', 'model': 'r2scan'},
    'sevennet-pbe': {'name': 'sevennet', 'model': 'mf-0', 'modality': 'PBE'},
    'sevennet-r2scan': {'name': 'sevennet', 'model': 'mf-0', 'modality': 'R2SCAN'},
}
"""Evaluator at the low and the high level, which trained nothing; oracle at both, which taught the validator."""

NEAR_PBE = 0.1
"""Largest distance to the hull at PBE of known crystals that compete: at r2SCAN the stable one may be another."""

NUM_FEATURES = 12
Row = dict[str, t.Any]


def seconds() -> float:
    """Return the processor time of this process and of those that it waited for."""
    return sum(os.times()[:4])


def kept(path: Path, make: Callable[[], t.Any]) -> t.Any:
    """Return what a file holds, or make it: a run that was cut goes on there."""
    if not path.exists():
        print(f'{path.name}', file=sys.stderr, flush=True)
        start = seconds()
        found = {'content': make(), 'seconds': None}
        found['seconds'] = round(seconds() - start, 3)
        partial = path.with_suffix('.partial')
        partial.write_text(json.dumps(found))
        partial.replace(path)
    return json.loads(path.read_text())


def proposed(systems: Sequence[sets.System], excluded: frozenset[str]) -> list[generation.Sample]:
    """Return what the package proposes."""
    models = MotifModels.default()
    generation.MAX_ATOMS = MAX_ATOMS
    return generation.generate(dataclasses.replace(models, library=models.library.without(excluded)), systems, COUNT)


def followed(name: str, samples: Sequence[generation.Sample], excluded: frozenset[str]) -> list[generation.Sample]:
    """Return what another generator makes of the cell contents of samples: diffusion side by side, where it can."""
    arm = build(name, excluded)
    if not hasattr(arm, 'draw'):
        return generation.follow(name, excluded, samples, 0)
    by_size: dict[int, list[generation.Sample]] = collections.defaultdict(list)
    for sample in samples:
        if sample.structure is not None:
            by_size[len(sample.structure)].append(sample)
    found = []
    for size, members in sorted(by_size.items()):
        drawn = arm.draw([content(sample.structure) for sample in members], size)
        found += [generation.Sample(sample.system, structure) for sample, structure in zip(members, drawn, strict=True)]
    found.sort(key=lambda sample: [sample.system == other.system for other in samples].index(True))
    return found


def plain(samples: Sequence[generation.Sample]) -> list[Row]:
    """Return samples as JSON has them."""
    return [
        {'system': list(each.system), 'structure': each.structure.as_dict() if each.structure else None}
        for each in samples
    ]


@functools.cache
def relations() -> LibraryRelations:
    """Return the classes of the whole library."""
    return LibraryRelations(MotifLibrary.default())


def judged(rows: Sequence[Row]) -> list[Row]:
    """Return what is known of candidates before they are relaxed: validity, constraints, copies."""
    found = []
    structures = [Structure.from_dict(row['structure']) if row['structure'] else None for row in rows]
    for row, structure in zip(rows, structures, strict=True):
        valid = structure is not None and structure_is_valid(structure)
        passed = valid and screen(structure, stage='generation').passed
        about = {'system': '-'.join(row['system']), 'valid': bool(valid), 'passed': bool(passed), 'first': False}
        if structure is not None:
            about |= {'formula': structure.composition.reduced_formula, 'atoms': len(structure)}
        found.append(about)
    valid = [index for index, about in enumerate(found) if about['valid']]
    for place in find_duplicates([structures[index] for index in valid], distortions=False).representatives:
        found[valid[place]]['first'] = True
    return found


def classes(structures: Sequence[Structure]) -> list[Row]:
    """Return which relaxed crystals are alike, their space groups, and how they are related to known ones."""
    copies = find_duplicates(structures, distortions=False).labels
    return [
        {'cluster': int(copy), 'space_group': space_group(each).number, 'relation': relations().classify(each)}
        for copy, each in zip(copies, structures, strict=True)
    ]


def relaxed(rows: Sequence[Row], about: Sequence[Row], folder: Path) -> list[Row | None]:
    """Return the valid and distinct candidates after relaxation with CHGNet at PBE, None for the others."""
    places = [index for index, each in enumerate(about) if each['first']]
    found: list[Row | None] = [None] * len(rows)
    if not places:
        return found
    structures, outcomes = relax_structures(
        [Structure.from_dict(rows[index]['structure']) for index in places],
        {'potential': POTENTIALS['chgnet-pbe']},
        {**THRESHOLDS, 'max_steps': STEPS},
        folder,
        generation.run_ml_task,
    )
    for index, structure, outcome in zip(places, structures, outcomes, strict=True):
        if outcome['energy_per_atom'] is not None:
            found[index] = {
                'structure': structure.as_dict(), 'converged': outcome['converged'], 'steps': outcome['steps']
            }  # fmt: skip
    return found


def labelled(structures: Sequence[Structure], name: str) -> list[float | None]:
    """Return the energy of every crystal by a potential, eV/atom; None where it has none."""
    batch = StructureBatch.from_structures(structures)
    config = LabelConfig.model_validate({'structures': 'none.npz', 'potential': POTENTIALS[name]})
    potential = make_potential(config, setup(config))
    energies: list[float | None] = []
    for rows in chunks(batch, 256):
        part = batch.select(rows)
        found = potential.evaluate_each(part)[0].energies / part.num_atoms
        energies += [float(value) if np.isfinite(value) else None for value in found]
    return energies


def predicted(structures: Sequence[Structure]) -> Row:
    """Return what the shipped validator says."""
    arrays = predict_arrays(structures, VALIDATOR_FOUNDATION, generation.run_ml_task)
    return {
        'low': arrays['energies'][:, 0].tolist(),
        'high': arrays['energies'][:, 1].tolist(),
        'sigma': arrays['sigma'][:, 1].tolist(),
        'f_electrons': arrays['f_electrons'].tolist(),
        'features': arrays['features'].round(4).tolist(),
    }


def gaps(structures: Sequence[Structure]) -> Row:
    """Return band gaps at PBE, eV, predicted from the crystals and from their compositions alone."""
    model = load_gap_model(setup(LabelConfig.model_validate({'structures': 'none.npz', 'potential': {'name': 'emt'}})))
    batch = StructureBatch.from_structures(structures)
    of_crystals = model.of_structures(batch)
    fractions = composition_fractions(batch, model.elements)
    of_compositions = model.of_compositions(fractions, of_crystals.out_of_distribution)
    return {'gap': of_crystals.gaps[:, 0].tolist(), 'gap_of_composition': of_compositions.gaps[:, 0].tolist()}


def known_crystals(library: MotifLibrary, systems: Sequence[sets.System]) -> tuple[list[str], list[Structure]]:
    """Return identifiers and crystals of what competes: all elements and compounds near the hull of the library."""
    own = [frozenset(parse_formula(formula)) for formula in library.formulas.tolist()]
    stable = [each['name'] for each in stable_phases(systems)]
    near = (library.e_above_hull <= NEAR_PBE) | np.isin(library.identifiers, stable)
    near |= np.array([len(each) == 1 for each in own]) & np.isnan(library.e_above_hull)
    chosen = [i for i in np.flatnonzero(near).tolist() if any(own[i] <= set(system) for system in systems)]
    crystals = [library.crystal(index) for index in chosen]
    names = [str(library.identifiers[index]) for index in chosen]
    return names, [Structure(c.cell, c.species, c.fractional) for c in crystals]


def everything(
    folder: Path, only: Sequence[str] = tuple(sets.SIZES), generators: Sequence[str] = ARMS
) -> tuple[Row, Row]:
    """Return known and generated crystals with all their labels; what is in the folder is not done again."""
    folder.mkdir(parents=True, exist_ok=True)
    library = MotifLibrary.default()
    chosen = {name: systems for name, systems in sets.draw_sets(library).items() if name in only}
    excluded = sets.hidden(library, sets.draw_sets(library))
    names = {name: ['-'.join(system) for system in each] for name, each in chosen.items()}
    known, candidates, timings = known_rows(folder, library, chosen), [], {}
    for name, systems in chosen.items():
        first = kept(folder / f'{name}-qagenai.json', lambda s=systems: plain(proposed(s, excluded)))
        samples = [
            generation.Sample(tuple(row['system']), Structure.from_dict(row['structure']) if row['structure'] else None)
            for row in first['content']
        ]
        for arm in generators:
            rows, times = candidate_rows(folder, name, arm, samples, excluded)
            candidates += [{'set': name, 'arm': arm, **row} for row in rows if row['system'] in names[name]]
            timings[f'{name} {arm}'] = times
    phases = stable_phases([system for systems in chosen.values() for system in systems])
    return {'sets': names, 'timings': timings}, {'known': known, 'phases': phases, 'candidates': candidates}


def known_rows(folder: Path, library: MotifLibrary, chosen: Mapping[str, list[sets.System]]) -> list[Row]:
    """Return what competes, relaxed as candidates are, with energies by everything."""
    rows: dict[str, Row] = {}
    for name, systems in chosen.items():
        names, structures = known_crystals(library, systems)
        print(f'{name}: {len(names)} known crystals', file=sys.stderr)
        rest = [{'structure': each.as_dict()} for each in structures]
        after = kept(
            folder / f'{name}-known-relaxed.json',
            lambda r=rest, n=name: relaxed(r, [{'first': True}] * len(r), folder / f'{n}-known-relaxing'),
        )['content']
        structures = [Structure.from_dict((done or row)['structure']) for done, row in zip(after, rest, strict=True)]
        labels = all_labels(folder, f'{name}-known', structures)
        for place, (identifier, structure) in enumerate(zip(names, structures, strict=True)):
            formula, size = structure.composition.reduced_formula, len(structure)
            rows[identifier] = {'name': identifier, 'formula': formula, 'atoms': size, **at(labels, place)}
    return list(rows.values())


def candidate_rows(
    folder: Path, name: str, arm: str, samples: Sequence[generation.Sample], excluded: frozenset[str]
) -> tuple[list[Row], Row]:
    """Return the candidates of a generator for a set, and the processor time of each step, s."""
    stem = f'{name}-{arm}'
    made = kept(folder / f'{stem}.json', lambda: plain(followed(arm, samples, excluded)))
    about = kept(folder / f'{stem}-judged.json', lambda: judged(made['content']))
    after = kept(
        folder / f'{stem}-relaxed.json', lambda: relaxed(made['content'], about['content'], folder / f'{stem}-relaxing')
    )
    places = [index for index, row in enumerate(after['content']) if row]
    structures = [Structure.from_dict(after['content'][index]['structure']) for index in places]
    labels = all_labels(folder, stem, structures)
    rows = [dict(row) for row in about['content']]
    for place, index in enumerate(places):
        done = after['content'][index]
        rows[index] |= {'converged': done['converged'], 'steps': done['steps'], **at(labels, place)}
    known = kept(folder / f'{stem}-classes.json', lambda: classes(structures))
    for place, index in enumerate(places):
        rows[index] |= known['content'][place]
    times = {
        'candidates': len(rows),
        'generate': made['seconds'],
        'screen': about['seconds'],
        'relax': after['seconds'],
    }
    return rows, {**times, **labels['seconds']}


def all_labels(folder: Path, stem: str, structures: Sequence[Structure]) -> Row:
    """Return the energies of crystals by every potential, eV/atom, and what the validator predicts."""
    found: Row = {'seconds': {}}
    for name in POTENTIALS:
        done = kept(folder / f'{stem}-{name}.json', lambda each=name: labelled(structures, each))
        found[name], found['seconds'][name] = done['content'], done['seconds']
    done = kept(folder / f'{stem}-predicted.json', lambda: predicted(structures))
    found['seconds']['predict'] = done['seconds']
    also = kept(folder / f'{stem}-gaps.json', lambda: gaps(structures))
    found['seconds']['gaps'] = also['seconds']
    wanted = ('low', 'high', 'sigma', 'f_electrons', 'features')
    return found | {'predicted': {name: done['content'][name] for name in wanted} | also['content']}


def at(labels: Row, place: int) -> Row:
    """Return the labels of one crystal."""
    energies = {name: None if (e := labels[name][place]) is None else round(e, 5) for name in POTENTIALS}
    said = {name: values[place] for name, values in labels['predicted'].items()}
    return {**energies, **{k: round(v, 4) if isinstance(v, float) else v for k, v in said.items()}}


def compact(about: Row, rows: dict[str, list[Row]]) -> Row:
    """Return records of a size that a repository can hold: columns, and few features in place of many."""
    both = [row for table in rows.values() for row in table if 'features' in row]
    few = reduced(np.array([row.pop('features') for row in both]))
    for row, values in zip(both, few, strict=True):
        row['latent'] = [round(float(value), 2) for value in values]
    found = {**about}
    for name, table in rows.items():
        keys = list(dict.fromkeys(key for row in table for key in row))
        found[name] = {key: [row.get(key) for row in table] for key in keys}
    return found


def reduced(features: NDArray[np.float64], number: int = NUM_FEATURES) -> NDArray[np.float64]:
    """Return the leading principal components of standardised features, shape (n, number)."""
    spread = features.std(axis=0)
    scaled = (features - features.mean(axis=0))[:, spread > 1e-8] / spread[spread > 1e-8]
    _, _, directions = np.linalg.svd(scaled, full_matrices=False)
    signs = np.sign(directions[np.arange(len(directions)), np.abs(directions).argmax(axis=1)])
    return scaled @ (directions * signs[:, None])[:number].T
