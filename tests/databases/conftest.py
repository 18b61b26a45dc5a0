"""Fixtures of the tests of external data: small files in every format."""

from __future__ import annotations

import csv
import gzip
import io
import json

import pytest
from pymatgen.core import Lattice, Structure


def rock_salt(a: float = 4.08, elements: tuple[str, str] = ('Li', 'H')) -> Structure:
    """Return the conventional cell of a rock salt."""
    return Structure.from_spacegroup('Fm-3m', Lattice.cubic(a), list(elements), [[0, 0, 0], [0.5, 0.5, 0.5]])


def caesium_chloride(a: float = 2.6, elements: tuple[str, str] = ('Li', 'H')) -> Structure:
    """Return the cell of the structure of CsCl."""
    return Structure(Lattice.cubic(a), list(elements), [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture
def write_csv(tmp_path):
    """Return a factory of CSV files from rows; a row that is a text goes in as it is."""

    def create(rows: list, name: str = 'table.csv'):
        header = list(next(row for row in rows if isinstance(row, dict)))
        buffer = io.StringIO(newline='')
        writer = csv.DictWriter(buffer, header)
        writer.writeheader()
        for row in rows:
            if isinstance(row, str):
                buffer.write(row + '\r\n')
            else:
                writer.writerow(row)
        path = tmp_path / name
        content = buffer.getvalue().encode()
        path.write_bytes(gzip.compress(content) if name.endswith('.gz') else content)
        return path

    return create


@pytest.fixture
def rows():
    """Return a factory of ``n`` good rows in the style of MP-20."""

    def create(n: int) -> list[dict]:
        structure = rock_salt()
        return [
            {
                'material_id': f'mp-{index}',
                'cif': Structure(Lattice.cubic(4.0 + 0.01 * index), structure.species, structure.frac_coords).to(
                    fmt='cif'
                ),
                'formation_energy_per_atom': -0.5 + 0.001 * index,
                'band_gap': 3.0,
                'theoretical': index % 2 == 0,
            }
            for index in range(n)
        ]

    return create


@pytest.fixture
def settings():
    """Return a factory of the settings of an import."""
    from aiida_qagenai.databases.sources.settings import make_settings

    def create(**changes):
        return make_settings(**{'database': 'mp', 'version': '1', 'license': 'CC-BY-4.0', 'format': 'csv', **changes})

    return create


@pytest.fixture
def write_json(tmp_path):
    """Return a factory of JSON files."""

    def create(content, name: str = 'entries.json'):
        path = tmp_path / name
        path.write_text(json.dumps(content, indent=1))
        return path

    return create
