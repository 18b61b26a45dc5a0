"""Write the pool of relaxed crystals whose energies of formation a teacher gave at two levels.

    python recipes/teacher_pool.py --data /path/to/shared/data

The crystals are those of the labels in `recipes/labels` that were neither distorted nor changed, with labels at PBE and
r2SCAN. Energies of formation refer to the lowest elements at the same level. The pool has the columns of
`thermochemistry/rxnnet.csv.gz` that `benchmarks/active_learning.py` reads: that is what it is for.
"""

from __future__ import annotations

import argparse
import gzip
import math
from pathlib import Path

from pymatgen.core import Composition, Element
from validator_data import element_energies, rows_of

from aiida_qagenai.exchange.structures import load_arrays

LABELS = Path(__file__).parent / 'labels'
POOL = Path(__file__).parents[1] / 'benchmarks' / 'active_learning_parts' / 'teacher.csv.gz'
FILES = ('mp/mp20_bi_ternary.csv.gz', 'mpts/mpts52.csv.gz', 'mp_extra/structures.csv.gz')
MODES = ('PBE', 'R2SCAN')
HEADER = 'mp_id,formula,hf_gga_gga_u,hf_r2scan'


def formulas(folder: Path) -> dict[str, str]:
    """Return the reduced formula of every crystal by its identifier."""
    found: dict[str, str] = {}
    for name in FILES:
        for row in rows_of(folder / name):
            line = next(line for line in row['cif'].splitlines() if line.startswith('_chemical_formula_sum'))
            found.setdefault(row['material_id'], Composition(line.split(None, 1)[1].strip("'")).reduced_formula)
    return found


def formation_energies(mode: str, names: dict[str, str]) -> dict[str, float]:
    """Return the energy of formation of the undistorted crystals at one level, eV/atom, by identifier."""
    (elements,) = element_energies([LABELS / f'elements_{mode}.npz']).values()
    arrays = load_arrays(LABELS / f'labels_{mode}.npz')
    found = {}
    for name, energy in zip(
        arrays['identifiers'].tolist(), (arrays['energies'] / arrays['num_atoms']).tolist(), strict=True
    ):
        if name in names and math.isfinite(energy):
            shares = Composition(names[name]).fractional_composition
            zeros = [share * elements.get(Element(each.symbol).Z, math.nan) for each, share in shares.items()]
            found[name] = energy - sum(zeros)
    return {name: value for name, value in found.items() if math.isfinite(value)}


def main() -> None:
    """Write the pool."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', type=Path, required=True, help='folder with mp/, mpts/ and mp_extra/')
    names = formulas(parser.parse_args().data)
    low, high = (formation_energies(mode, names) for mode in MODES)
    lines = [HEADER]
    lines += [
        f'{name},{names[name]},{low[name]:.4f},{high[name]:.4f}'
        for name in sorted(low.keys() & high.keys())
        if len(Composition(names[name])) > 1
    ]
    POOL.write_bytes(gzip.compress(('\n'.join(lines) + '\n').encode(), mtime=0))
    print(f'{len(lines) - 1} crystals, {POOL.stat().st_size} bytes in {POOL.name}')


if __name__ == '__main__':
    main()
