"""The benchmark with crystals of one's own as motifs: its library, shared proposals, and polymorphs."""

import dataclasses
import gzip
import json
import sys
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from aiida_qagenai.motifs.propose import MotifModels

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / 'benchmarks'))

import own_library

DIAMOND = Structure.from_spacegroup('Fd-3m', Lattice.cubic(3.57), ['C'], [[0, 0, 0]]).get_primitive_structure()
GRAPHENE = Structure(Lattice.hexagonal(2.46, 3.3), ['C', 'C'], [[0, 0, 0], [1 / 3, 2 / 3, 0]])
FOLDER = 'carbon_24'


@pytest.fixture
def folder(tmp_path):
    """Return a folder like those of the data: two polymorphs of carbon to learn from and, disturbed, to predict."""
    path = tmp_path / FOLDER
    path.mkdir()
    crystals = {'a': DIAMOND, 'b': GRAPHENE}
    texts = {name: each.to(fmt='poscar') for name, each in crystals.items()}
    (path / own_library.TRAINING).write_bytes(gzip.compress(json.dumps(texts).encode()))
    lines = ['material_id,cif', *(f'v-{name},"{each.to(fmt="cif")}"' for name, each in crystals.items())]
    (path / own_library.VALIDATION).write_bytes(gzip.compress('\n'.join(lines).encode()))
    return path


def test_crystals_of_one_content_begin_with_different_proposals(folder):
    library = own_library.read_library(folder / own_library.TRAINING)
    assert library.identifiers.tolist() == ['a', 'b']
    assert len(own_library.read_library(folder / own_library.TRAINING, 1)) == 1
    models = dataclasses.replace(MotifModels.default(), library=library)
    references = {'first': DIAMOND, 'second': GRAPHENE, 'third': DIAMOND, 'other': DIAMOND * (1, 1, 1)}
    references['other'].replace_species({'C': 'Xe'})
    found = own_library.predict(models, references, 2)
    assert found['first'] == found['third'] == found['second'][::-1]
    assert found['first'][0] != found['first'][1]
    one = own_library.predict(models, references, 1)
    assert one['first'] != one['second']
    assert {name: len(each) for name, each in one.items()} == dict.fromkeys(references, 1)
    unknown = Structure(Lattice.cubic(9), ['H'] * 3, [[0, 0, 0], [0.4, 0, 0], [0, 0, 0.3]])
    assert own_library.predict(models, {'none': unknown}, 2) == {'none': []}


def test_polymorphs_count_for_each_other(folder, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['own_library.py', '--data', str(folder), '--count', '2'])
    own_library.main()
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith('{')]
    figures = {each['name']: each['value'] for each in map(json.loads, lines)}
    assert figures['library-carbon-24'] == 2
    assert figures['metre-carbon-24'] == figures['match-rate-20-carbon-24'] == 1
    assert figures['crmse-carbon-24'] < 0.05 and figures['rmse-20-carbon-24'] < 0.05
    assert figures['match-rate-carbon-24'] in (0, 1)


def test_a_folder_without_the_files_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, 'argv', ['own_library.py', '--data', str(tmp_path)])
    with pytest.raises(SystemExit):
        own_library.main()
    assert 'has no train_poscars.json.gz, val.csv.gz' in capsys.readouterr().err
