"""Label structures by foundation potentials, and pack the labels for the repository.

    python recipes/teacher_labels.py --structures DIR [--output recipes/labels] [--pack-only]

In `DIR`, the task `label` of the package runs for SevenNet-MF-0 at PBE and at r2SCAN, each on its structures of
`teacher_structures.py`, on those of the elements and on those of `generated_structures.py`; a run that was cut goes on.
In `--output` are then `labels_PBE.npz`, `elements_PBE.npz`, `generated_PBE.npz` and the same at r2SCAN: energies (eV)
in single, forces (eV/Å) and stresses (eV/Å3) in half precision, whose rounding is 0.05 % of a value, far below the
errors of a teacher.
`card.json` names source, licence and checksums.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import typing as t
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from aiida_qagenai.exchange.structures import load_arrays, save_arrays

MODES = ('PBE', 'R2SCAN')
OUTPUT = Path(__file__).with_name('labels')
CARD = {
    'source': 'SevenNet-MF-0 on crystals of the Materials Project, distorted and with exchanged elements',
    'license': 'CC BY 4.0 (Materials Project), MIT (the weights of SevenNet)',
    'recipe': 'python recipes/teacher_structures.py, python recipes/teacher_labels.py',
}
PRECISION = {'energies': np.float32, 'forces': np.float16, 'stresses': np.float16}


def jobs() -> list[tuple[str, str, str]]:
    """Return the mode of the teacher, the structures and the labels of each job; the short ones first."""
    return [
        (mode, f'structures_{structures or mode}.npz', f'{name}_{mode}.npz')
        for name, structures in (('elements', 'elements'), ('generated', 'generated'), ('labels', None))
        for mode in MODES
    ]


def label(folder: Path, mode: str, structures: str, output: str) -> None:
    """Run the task of one job in its own folder, from which it goes on."""
    place = folder / f'task_{Path(output).stem}'
    place.mkdir(exist_ok=True)
    config = {
        'potential': {'name': 'sevennet', 'model': 'mf-0', 'modality': mode},
        'structures': str((folder / structures).resolve()),
        'dtype': 'float32',
        'output': str((folder / output).resolve()),
    }
    (place / 'config.json').write_text(json.dumps(config))
    command = [sys.executable, '-m', 'aiida_qagenai.ml', 'label', '--config', 'config.json']
    subprocess.run(command, cwd=place, check=True)


def packed(arrays: t.Mapping[str, NDArray[t.Any]]) -> dict[str, NDArray[t.Any]]:
    """Return labels in the precision that is kept, without the structures that have none."""
    known = np.isfinite(arrays['energies'])
    atoms = np.repeat(known, arrays['num_atoms'])
    rows = {name: arrays[name][known] for name in ('identifiers', 'num_atoms', 'energies', 'stresses')}
    rows |= {'forces': arrays['forces'][atoms], 'num_atoms': rows['num_atoms'].astype(np.uint8)}
    identity = {name: arrays[name] for name in ('level', 'sha256', 'format_version')}
    return identity | {name: values.astype(PRECISION.get(name, values.dtype)) for name, values in rows.items()}


def main() -> None:
    """Read the arguments, label and pack."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--structures', type=Path, required=True, help='folder of structures_*.npz')
    parser.add_argument('--output', type=Path, default=OUTPUT, help='folder of the packed labels')
    parser.add_argument('--pack-only', action='store_true', help='pack the labels that are there')
    arguments = parser.parse_args()
    missing = [name for _, name, _ in jobs() if not (arguments.structures / name).exists()]
    if missing and not arguments.pack_only:
        recipes = 'recipes/teacher_structures.py and recipes/generated_structures.py'
        parser.error(f'{arguments.structures} has no {", ".join(missing)}: run {recipes}')
    arguments.output.mkdir(parents=True, exist_ok=True)
    card = dict(CARD)
    for mode, structures, output in jobs():
        if not arguments.pack_only:
            label(arguments.structures, mode, structures, output)
        if (arguments.structures / output).exists():
            arrays = packed(load_arrays(arguments.structures / output))
            save_arrays(arguments.output / output, arrays, compressed=True)
            content = (arguments.output / output).read_bytes()
            print(f'{output}: {len(arrays["energies"])} structures, {len(content) / 1e6:.1f} MB')
            card[output] = {
                'structures': len(arrays['energies']),
                'level': str(arrays['level']),
                'weights_sha256': str(arrays['sha256']),
                'sha256': hashlib.sha256(content).hexdigest(),
            }
    (arguments.output / 'card.json').write_text(json.dumps(card, indent=2) + '\n')


if __name__ == '__main__':
    main()
