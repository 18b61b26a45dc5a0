"""What is found in Li-Co-O, Li-Mn-O and Li-Fe-P-O where no compound of them is known (paper Figure 11).

    python benchmarks/lithium_oxides.py [--count 20] [--steps 150] [--store] [--quick]

The package proposes crystals of at most 14 atoms in each system, of which all compounds are hidden from it. Those that
are valid, distinct and within the constraints are relaxed with CHGNet 0.3.0 and placed on the hull of the known phases
of the Materials Project and of each other, at the level of that hull: PBE with U and the corrections of 2020. There is
no hull at r2SCAN: of most known phases the package has energies and no crystals. `…-near` counts those within 0.1
eV/atom, `…-stable` those on the hull or below it by 1 meV/atom, `…-found-again` those of the near ones that are known,
`…-converged` all that were placed. A found phase that is known lies on the hull only as well as CHGNet agrees with it.
`--store` writes all of them for the page of the paper.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import typing as t
import warnings
from pathlib import Path

import generation
from figures import figure
from pymatgen.core import Structure

from aiida_qagenai.api.relaxation import THRESHOLDS, relax_structures
from aiida_qagenai.chemistry.constraints import screen
from aiida_qagenai.chemistry.duplicates import find_duplicates
from aiida_qagenai.evaluation.validity import structure_is_valid
from aiida_qagenai.motifs.library import MotifLibrary
from aiida_qagenai.motifs.propose import Limits, MotifModels, propose_in_system
from aiida_qagenai.motifs.relations import LibraryRelations
from aiida_qagenai.thermodynamics.hull.relaxed import place_relaxed

SYSTEMS = {'Li-Co-O': ('Co', 'Li', 'O'), 'Li-Mn-O': ('Li', 'Mn', 'O'), 'Li-Fe-P-O': ('Fe', 'Li', 'O', 'P')}
RECORDS = Path(__file__).parent / 'records' / 'lithium_oxides.json'
MAX_ATOMS, COUNT, STEPS = 14, 20, 150
QUICK_COUNT, QUICK_STEPS = 3, 10
NEAR, STABLE = 0.1, 1e-3
"""Largest distances to the hull of what counts as near and as stable, eV/atom."""


def proposed(system: t.Sequence[str], count: int) -> list[Structure]:
    """Return valid and distinct crystals within the constraints, without a look at the compounds of the system."""
    models = MotifModels.default()
    hidden = generation.compounds(models.library, [tuple(system)])
    models = dataclasses.replace(models, library=models.library.without(hidden))
    made = propose_in_system(models, tuple(system), count=count, limits=Limits(max_atoms=MAX_ATOMS))
    found = [each.structure for each in made if structure_is_valid(each.structure)]
    found = [each for each in found if screen(each, stage='generation').passed]
    return [found[place] for place in find_duplicates(found, distortions=False).representatives]


def placed(structures: list[Structure], steps: int, relations: LibraryRelations) -> list[dict[str, t.Any]]:
    """Return the relaxed crystals that are distinct, with their places on the hull, eV/atom."""
    with tempfile.TemporaryDirectory() as folder:
        relaxed, outcomes = relax_structures(
            structures, generation.CHGNET, {**THRESHOLDS, 'max_steps': steps}, Path(folder), generation.run_ml_task
        )
    energies = [outcome['energy_per_atom'] if outcome['converged'] else None for outcome in outcomes]
    places = place_relaxed([generation.cell(each) for each in relaxed], energies)
    rows = []
    for row in find_duplicates(relaxed, distortions=False).representatives:
        place = places[row]
        if place.e_above_hull is not None and place.formation_energy_per_atom is not None:
            rows.append(
                {
                    'formula': relaxed[row].composition.reduced_formula,
                    'formation': round(place.formation_energy_per_atom, 4),
                    'above_hull': round(place.e_above_hull, 4),
                    'relation': relations.classify(relaxed[row]),
                }
            )
    return sorted(rows, key=lambda each: each['above_hull'])


def report(name: str, rows: list[dict[str, t.Any]], made: int) -> None:
    """Print the counts of a system."""
    near = [row for row in rows if row['above_hull'] <= NEAR]
    counts = {
        'converged': len(rows),
        'near': len(near),
        'stable': sum(row['above_hull'] <= STABLE for row in rows),
        'found-again': sum(row['relation'] == 'replay' for row in near),
    }
    for what, count in counts.items():
        figure(f'{name}-{what}', count, 'crystals', 'proposed', made)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--count', type=int, default=COUNT, help='crystals proposed in a system')
    parser.add_argument('--steps', type=int, default=STEPS, help='most steps of a relaxation')
    parser.add_argument('--store', action='store_true', help='write what was found')
    parser.add_argument('--quick', action='store_true', help=f'{QUICK_COUNT} crystals, {QUICK_STEPS} steps')
    arguments = parser.parse_args()
    warnings.simplefilter('ignore')
    count, steps = (QUICK_COUNT, QUICK_STEPS) if arguments.quick else (arguments.count, arguments.steps)
    relations, stored = LibraryRelations(MotifLibrary.default()), {}
    for name, system in SYSTEMS.items():
        structures = proposed(system, count)
        rows = placed(structures, steps, relations) if structures else []
        report(name, rows, len(structures))
        stored[name] = {'proposed': len(structures), 'rows': rows}
    if arguments.store:
        RECORDS.write_text(json.dumps(stored, separators=(',', ':')).replace('},{', '},\n{') + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
