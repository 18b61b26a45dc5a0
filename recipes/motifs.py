"""Build the motif library and the models of its retrieval, which come with the package.

    python recipes/motifs.py --data /path/to/shared/data --output aiida_qagenai/motifs

The library is made of all readable crystals of `mp/`, `mpts/` and `mp_extra/` (Materials Project, CC BY 4.0). The
models are fitted without the formulas whose hash falls into the held-out tenth, on which
`benchmarks/structure_prediction.py` measures them. The library and the labels of the
ranking are kept in `--work`, so that a run that was cut goes on; `library.npz` there is built once.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import json
import math
from pathlib import Path

import numpy as np
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure
from rich.progress import track

from aiida_qagenai.chemistry.elements import SYMBOLS
from aiida_qagenai.evaluation.held_out import is_held_out
from aiida_qagenai.exchange.readers.raw_records import read_raw_records
from aiida_qagenai.exchange.readers.structure_files import structures_of
from aiida_qagenai.motifs.compositions import CompositionPrior, rate_compositions
from aiida_qagenai.motifs.exchanges import ExchangeTable
from aiida_qagenai.motifs.library import KnownCrystal, MotifLibrary
from aiida_qagenai.motifs.propose import exchanged
from aiida_qagenai.motifs.ranking import Ranking
from aiida_qagenai.motifs.retrieval import Candidates, find_candidates
from aiida_qagenai.motifs.volumes import VolumeModel

FILES = {
    'mp/mp20_bi_ternary.csv.gz': 'e_above_hull',
    'mpts/mpts52.csv.gz': 'energy_above_hull',
    'mp_extra/structures.csv.gz': 'e_above_hull_source',
}
"""File → its column with the energy above the hull, eV/atom."""

MATCHER = {'stol': 0.5, 'angle_tol': 10, 'ltol': 0.3}
MAX_ATOMS = 60
TREES = {
    'n_estimators': 300, 'max_depth': 5, 'learning_rate': 0.05, 'subsample': 0.7, 'min_samples_leaf': 20,
    'max_features': 0.4,
}  # fmt: skip


def read_crystals(folder: Path) -> list[KnownCrystal]:
    """Return the crystals of all files that can be read, each material once."""
    crystals, known = [], set()
    for name, column in FILES.items():
        with (folder / name).open('rb') as handle:
            for record in track(read_raw_records(handle, 'csv', name), description=name):
                for item in structures_of(record):
                    row = {**item.fields, **(record.rows[0] if record.rows else {})}
                    if item.structure is not None and len(item.structure) <= MAX_ATOMS and item.name not in known:
                        known.add(item.name)
                        # only what is on the hull has this energy
                        unknown = 0.0 if row.get('e_form_mp2020_onhull') else math.nan
                        crystals.append(KnownCrystal(item.name, item.structure, float(row.get(column) or unknown)))
    return crystals


def _pairs(candidates: Candidates) -> list[tuple[int, list[int]]]:
    return list(zip(candidates.motifs.tolist(), candidates.exchanged.tolist(), strict=True))


def label(
    library: MotifLibrary,
    volumes: VolumeModel,
    candidates: Candidates,
    indices: list[int],
    reference: Structure,
) -> list[float | None]:
    """Return for some candidates the normalised displacement to the reference, None without a match."""
    # Cells of one size need no search for a smaller one, which takes most of the time.
    matchers = {same: StructureMatcher(**MATCHER, primitive_cell=not same) for same in (True, False)}
    found = []
    for index in indices:
        structure = exchanged(library, volumes, candidates, index).structure
        distance = matchers[len(structure) == len(reference)].get_rms_dist(structure, reference)
        found.append(None if distance is None else float(distance[0]))
    return found


def most_stable(library: MotifLibrary) -> dict[str, int]:
    """Return formula → position of its crystal with the smallest energy above the hull, unknown ones last."""
    found: dict[str, int] = {}
    for index in np.argsort(library.e_above_hull, kind='stable').tolist():
        found.setdefault(str(library.formulas[index]), index)
    return found


def labelled(
    library: MotifLibrary, volumes: VolumeModel, exchanges: ExchangeTable, *, count: int, cache: Path, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return features, and whether each candidate fits, for the candidates of ``count`` queries.

    Two of three queries ask for a crystal by its formula and cell size; the others for its most stable one.
    """
    held = [formula for formula in set(library.formulas.tolist()) if is_held_out(formula)]
    training = library.select(~np.isin(library.formulas, held))
    stable = most_stable(training)
    queries = [index for index, total in enumerate(training.compositions) if sum(total.values()) <= 20]
    order = np.random.default_rng(seed).permutation(len(queries))[:count]
    known = json.loads(cache.read_text()) if cache.exists() else {}
    features, fits = [], []
    for number, position in enumerate(track(order, description='labels')):
        index = queries[int(position)]
        formula = str(training.formulas[index])
        any_size = number % 3 == 2
        index = stable[formula] if any_size else index
        composition = training.compositions[index]
        units = None if any_size else math.gcd(*composition.values())
        candidates = find_candidates(
            training, composition, formula_units=units, excluded=[formula], exchanges=exchanges
        )
        # What was compared before is kept under the motif and its exchanged elements.
        labels = known.setdefault(f'{training.identifiers[index]} {units or "stable"}', {})
        names = [f'{training.identifiers[m]} {" ".join(map(str, old))}' for m, old in _pairs(candidates)]
        missing = [place for place, name in enumerate(names) if name not in labels]
        crystal = training.crystal(index)
        reference = Structure(crystal.cell, crystal.species, crystal.fractional)
        found = label(training, volumes, candidates, missing, reference)
        labels.update(zip([names[place] for place in missing], found, strict=True))
        if number % 50 == 0:
            cache.write_text(json.dumps(known))
        features.append(candidates.features)
        fits.extend(labels[name] is not None for name in names)
    cache.write_text(json.dumps(known))
    return np.concatenate(features), np.array(fits)


def fit_prior(library: MotifLibrary, count: int, seed: int) -> CompositionPrior:
    """Return the prior, fitted to ``count`` systems in which no composition knows of itself."""
    formulas = [formula for formula in set(library.formulas.tolist()) if not is_held_out(formula)]
    training = library.select(np.isin(library.formulas, formulas))
    systems = sorted({tuple(sorted(total)) for total in training.compositions if 2 <= len(total) <= 4})
    present = {frozenset((z, n // math.gcd(*c.values())) for z, n in c.items()) for c in training.compositions}
    variables, known = [], []
    for position in track(np.random.default_rng(seed).permutation(len(systems))[:count], description='prior'):
        symbols = [SYMBOLS[number - 1] for number in systems[int(position)]]
        found, rows = rate_compositions(training, symbols, limit=60, leave_out=True)
        variables.append(rows)
        known.extend(frozenset(amounts.items()) in present for amounts in found)
    return CompositionPrior.fit(np.concatenate(variables), np.array(known))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', type=Path, required=True, help='folder with mp/, mpts/ and mp_extra/')
    parser.add_argument('--output', type=Path, default=Path('aiida_qagenai/motifs'), help='folder of the results')
    parser.add_argument('--work', type=Path, default=Path('motifs_work'), help='folder for what a run that was cut has')
    parser.add_argument('--queries', type=int, default=3000, help='number of compositions to fit the ranking to')
    parser.add_argument('--systems', type=int, default=1500, help='number of systems to fit the prior to')
    parser.add_argument('--seed', type=int, default=0)
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    built = arguments.work / 'library.npz'
    if not built.exists():
        MotifLibrary.from_crystals(track(read_crystals(arguments.data), description='symmetry')).save(built)
    library = MotifLibrary.load(built)
    library.save(arguments.output / 'library.npz')
    trained = ~np.isin(
        library.formulas, [formula for formula in set(library.formulas.tolist()) if is_held_out(formula)]
    )
    volumes = VolumeModel.fit(
        [total for total, kept in zip(library.compositions, trained, strict=True) if kept],
        library.volumes_per_atom[trained],
    )
    volumes.save(arguments.output / 'volumes.npz')
    exchanges = ExchangeTable.fit(library.select(trained))
    exchanges.save(arguments.output / 'exchanges.npz')
    prior = fit_prior(library, arguments.systems, arguments.seed)
    prior.save(arguments.output / 'compositions.npz')
    features, fits = labelled(
        library, volumes, exchanges, count=arguments.queries, cache=arguments.work / 'labels.json', seed=arguments.seed
    )
    ranking = Ranking.fit(features, fits, seed=arguments.seed, **TREES)
    ranking.save(arguments.output / 'ranking.npz')
    card = {
        'about': 'Known crystals as motifs, and the models of their retrieval',
        'source': 'The Materials Project (A. Jain et al., APL Mater. 1, 011002, 2013), https://materialsproject.org',
        'license': 'CC BY 4.0',
        'files': {name: hashlib.sha256((arguments.data / name).read_bytes()).hexdigest() for name in FILES},
        'num_crystals': len(library),
        'num_formulas': len(set(library.formulas.tolist())),
        'held_out': 'formulas whose SHA-256 modulo 100 is below 10: in the library, but in no model',
        'ranking': {
            'queries': arguments.queries,
            'candidates': len(fits),
            'share_that_fits': float(fits.mean()),
            **TREES,
        },
        'prior': {'systems': arguments.systems},
        'seed': arguments.seed,
        'recipe': f'python recipes/motifs.py --queries {arguments.queries} --systems {arguments.systems}',
        'versions': {name: importlib.metadata.version(name) for name in ('pymatgen', 'scikit-learn', 'spglib')},
        'sha256': {
            name: hashlib.sha256((arguments.output / name).read_bytes()).hexdigest()
            for name in ('library.npz', 'volumes.npz', 'exchanges.npz', 'compositions.npz', 'ranking.npz')
        },
    }
    (arguments.output / 'card.json').write_text(json.dumps(card, indent=2) + '\n')
    print(json.dumps(card, indent=2))


if __name__ == '__main__':
    main()
