"""Energies of the elements on the scale of the Materials Project, against which energies become formation energies.

    python recipes/element_references.py --data /path/to/shared/data --output aiida_qagenai/thermodynamics/references

`--data` holds `element_references/MP-PBE-Element-Refs.json.gz`: element → crystals and their `energy_per_atom` (eV).
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import math
import sys
from pathlib import Path

SOURCE = 'element_references/MP-PBE-Element-Refs.json.gz'


def lowest_energies(path: Path) -> dict[str, float]:
    """Return element → energy of its most stable crystal, eV/atom."""
    content = json.loads(gzip.decompress(path.read_bytes()))
    energies = {element: min(entry['energy_per_atom']) for element, entry in sorted(content.items())}
    wrong = [element for element, energy in energies.items() if not math.isfinite(energy)]
    if wrong:
        raise SystemExit(f'{path} has no finite energy of {", ".join(wrong)}')
    return {element: round(energy, 6) for element, energy in energies.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', type=Path, required=True, help='folder with element_references/')
    parser.add_argument(
        '--output', type=Path, default=Path('aiida_qagenai/thermodynamics/references'), help='folder of the result'
    )
    arguments = parser.parse_args()
    source = arguments.data / SOURCE
    if not source.exists():
        parser.error(f'{source} does not exist: pass the folder that holds it with --data')
    card = {
        'about': 'Energies of the elements by PBE as computed by the Materials Project, eV/atom',
        'source': 'The Materials Project, as collected in materialsvirtuallab/matcalc (BSD-3-Clause)',
        'license': 'CC BY 4.0',
        'files': {SOURCE: hashlib.sha256(source.read_bytes()).hexdigest()},
        'recipe': ' '.join(['python', *sys.argv]),
        'energies': lowest_energies(source),
    }
    (arguments.output / 'mp_elements.json').write_text(json.dumps(card, indent=1) + '\n', encoding='utf8')


if __name__ == '__main__':
    main()
