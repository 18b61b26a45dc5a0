"""Make structures by the shipped generator, which foundation potentials label for the validator that the package ships.

    python recipes/generated_structures.py --structures DIR [--formulas 400] [--count 5]

`DIR` holds `crystals.npz` of `teacher_structures.py`. The formulas are those of its crystals in the order of a hash.
Each is asked of the generator without the known crystals of that formula, in turn as a refined motif and with noise of
0.5 and 1: what a campaign gets to see. `DIR/structures_generated.npz` holds what came out.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from pymatgen.core import Composition
from teacher_structures import MAX_ATOMIC_NUMBER, NOBLE_GASES

from aiida_qagenai.exchange.structures import StructureBatch

NOVELTIES = (0.0, 0.5, 1.0)
MAX_ATOMS = 20
SEED = 14
OUTPUT = 'structures_generated.npz'


def formulas_of(crystals: StructureBatch, count: int) -> list[str]:
    """Return reduced formulas of compounds in the order of a hash, each once."""
    found: dict[str, None] = {}
    for _, numbers, _ in crystals:
        if len(set(numbers.tolist())) > 1 and numbers.max() <= MAX_ATOMIC_NUMBER and not set(numbers) & {*NOBLE_GASES}:
            found[Composition({int(z): float((numbers == z).sum()) for z in set(numbers)}).reduced_formula] = None
    return sorted(found, key=lambda formula: hashlib.sha256(formula.encode()).hexdigest())[:count]


def generate(formulas: list[str], count: int, folder: Path) -> StructureBatch:
    """Run the task `generate` in ``folder`` and return what it made, in the order of the requests."""
    folder.mkdir(exist_ok=True)
    novelties = [NOVELTIES[index % len(NOVELTIES)] for index in range(len(formulas))]
    common = {'mode': 'motifs', 'count': count, 'max_atoms': MAX_ATOMS, 'otherwise': 'noise'}
    requests = [
        {**common, 'formula': formula, 'exclude': [formula], 'novelty': novelty}
        for formula, novelty in zip(formulas, novelties, strict=True)
    ]
    config = {'requests': requests, 'generator': None, 'seed': SEED, 'output': 'candidates.npz'}
    (folder / 'config.json').write_text(json.dumps(config))
    command = [sys.executable, '-m', 'aiida_qagenai.ml', 'generate', '--config', 'config.json']
    subprocess.run(command, cwd=folder, check=True)
    made = StructureBatch.load(folder / 'candidates.npz')
    names = [f'generated/{number}' for number in range(len(made))]
    return dataclasses.replace(made, identifiers=np.array(names))


def main() -> None:
    """Read the arguments and write the structures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--structures', type=Path, required=True, help='folder of crystals.npz')
    parser.add_argument('--formulas', type=int, default=400, help='number of formulas')
    parser.add_argument('--count', type=int, default=5, help='structures of each')
    arguments = parser.parse_args()
    path = arguments.structures / 'crystals.npz'
    if not path.exists():
        parser.error(f'{path} is missing: run recipes/teacher_structures.py')
    crystals = StructureBatch.load(path)
    found = generate(formulas_of(crystals, arguments.formulas), arguments.count, arguments.structures / 'generate')
    found.save(arguments.structures / OUTPUT)
    print(f'{len(found)} structures')


if __name__ == '__main__':
    main()
