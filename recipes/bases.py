"""Pack the Gaussian bases that come with the package.

    python recipes/bases.py --from FOLDER [--output aiida_qagenai/exchange/bases]

FOLDER is a copy of the repository of the family ccgto. Each file is checked against its SHA-256. `ccgto.json` has one
text per element and set, without comments; `ccgto.card.json` says where they are from, with the licence.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

from aiida_qagenai.exchange.basis import PACKED, find_source, packed_bases, read_bases

NAME = 'ccgto'


def main() -> None:
    """Read the arguments and write the two files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--from', dest='folder', type=Path, required=True, help='copy of the repository')
    parser.add_argument('--output', type=Path, default=PACKED)
    arguments = parser.parse_args()
    source = find_source(NAME)
    content = json.dumps(packed_bases(source, read_bases(source, arguments.folder)), indent=0) + '\n'
    arguments.output.mkdir(exist_ok=True)
    (arguments.output / f'{NAME}.json').write_text(content, encoding='utf-8')
    files = [file for each in source.sets.values() for file in (*each.basis, *each.auxiliary)]
    card = {
        'about': source.description,
        'source': source.homepage,
        'citation': source.citation,
        'license': source.licence,
        'license_text': (arguments.folder / 'LICENSE').read_text(encoding='utf-8'),
        'files': {file.path: file.sha256 for file in files},
        'recipe': 'python recipes/bases.py --from FOLDER',
        'sha256': {f'{NAME}.json': hashlib.sha256(content.encode()).hexdigest()},
    }
    (arguments.output / f'{NAME}.card.json').write_text(json.dumps(card, indent=2) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
