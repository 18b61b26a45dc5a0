"""Pack the stable phases of the Materials Project into the hull that comes with the package.

    python recipes/reference_hull.py --data /path/to/shared/data --output aiida_qagenai/thermodynamics/hull

`--data` holds `phases/mp_stable.json.gz`: identifier → `formula` and `e_form` (eV/atom, with MP2020 corrections).
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import itertools
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np

from aiida_qagenai.exchange.structures import save_arrays
from aiida_qagenai.thermodynamics.hull.phases import Phase
from aiida_qagenai.thermodynamics.hull.reference import ABOUT, SCALE, ReferenceHull

SOURCE = 'phases/mp_stable.json.gz'


def read_phases(path: Path) -> list[Phase]:
    """Return the phases of the source."""
    content = json.loads(gzip.decompress(path.read_bytes()))
    return [Phase(row['formula'], row['e_form'], identifier=name, level=SCALE) for name, row in content.items()]


def references_per_system(phases: list[Phase]) -> dict[str, list[float]]:
    """Return number of elements → 5, 50 and 95 % quantile of the phases in systems with a compound of all elements."""
    exactly = Counter(frozenset(phase.elements) for phase in phases)
    found: dict[int, list[int]] = {}
    for system in exactly:
        subsets = itertools.chain.from_iterable(itertools.combinations(system, n) for n in range(2, len(system) + 1))
        number = len(system) + sum(exactly[frozenset(subset)] for subset in subsets)
        found.setdefault(len(system), []).append(number)
    return {str(k): np.quantile(found[k], (0.05, 0.5, 0.95)).tolist() for k in (2, 3, 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', type=Path, required=True, help='folder with phases/')
    parser.add_argument(
        '--output', type=Path, default=Path('aiida_qagenai/thermodynamics/hull'), help='folder of the results'
    )
    arguments = parser.parse_args()
    source = arguments.data / SOURCE
    if not source.exists():
        parser.error(f'{source} does not exist: pass the folder that holds it with --data')
    phases = read_phases(source)
    packed = ReferenceHull.from_phases(phases)
    save_arrays(arguments.output / 'reference.npz', packed.arrays)
    energies = {phase.identifier: phase.energy_per_atom for phase in phases}
    stored = packed.phases(packed.elements)
    card = {
        'about': 'Stable phases of the Materials Project: a reference hull of any chemical system',
        'source': 'The Materials Project (A. Jain et al., APL Mater. 1, 011002, 2013), https://materialsproject.org, '
        'as collected in Bartel-Group/matgen_baselines (MIT)',
        'license': 'CC BY 4.0',
        'energies': f'{ABOUT}, eV/atom, as 32-bit numbers',
        'scale': SCALE,
        'files': {SOURCE: hashlib.sha256(source.read_bytes()).hexdigest()},
        'num_phases': len(packed),
        'num_elements': len(packed.elements),
        'largest_rounding': max(abs(phase.energy_per_atom - energies[phase.identifier]) for phase in stored),
        'references_per_system': references_per_system(phases),
        'recipe': ' '.join(['python', *sys.argv]),
        'sha256': {'reference.npz': hashlib.sha256((arguments.output / 'reference.npz').read_bytes()).hexdigest()},
    }
    (arguments.output / 'card.json').write_text(json.dumps(card, indent=2, ensure_ascii=False) + '\n', encoding='utf8')


if __name__ == '__main__':
    main()
