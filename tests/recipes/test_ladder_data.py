"""The recipe of the ladder that comes with the package."""

import json
import sys

import pytest
from ladder_results import CRYSTALS, recipe, results

from aiida_qagenai.common.errors import CorruptFileError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.thermodynamics.ladder.records import load_ladder


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Return a folder with data and card, made by the recipe."""
    example = tmp_path / 'example'
    example.mkdir()
    for name, content in (('crystals', CRYSTALS), ('settings', {'coulomb': 'grid'}), ('ladder', {})):
        (example / f'{name}.yaml').write_text(json.dumps(content))
    (example / 'ladder.yaml').rename(example / 'ladder.py')
    monkeypatch.setattr(recipe, 'EXAMPLE', example)
    (tmp_path / 'results.json').write_text(json.dumps(results()))
    arguments = ['ladder.py', '--results', str(tmp_path / 'results.json'), '--output', str(tmp_path / 'data')]
    monkeypatch.setattr(sys, 'argv', arguments)
    recipe.main()
    return tmp_path / 'data'


def test_the_recipe_packs_crystals_and_names_what_is_missing(folder):
    """What has no energy at all, and what lacks a level."""
    ladder = load_ladder(folder / 'ladder.json')
    assert set(ladder.crystals) == {'LiH', 'LiH-0.94', 'LiH-caesium-chloride', 'BN'}
    assert ladder.missing == ('BN', 'C') and ladder.settings == {'coulomb': 'grid'}
    assert ladder.refused == {'LiH-zinc-blende': 'by PBE: no reason'}
    hydride = ladder.crystals['LiH']
    assert hydride.is_complete and not ladder.crystals['BN'].is_complete
    assert 'structure_uuid' not in hydride.energies[Fidelity.PBE] and hydride.cpu_hours == pytest.approx(0.2)
    assert hydride.cohesive_energy(Fidelity.PBE) == pytest.approx(2.69)
    assert set(ladder.at_equilibrium()) == {'LiH', 'LiH-caesium-chloride', 'BN'}
    card = json.loads((folder / 'card.json').read_text())
    assert card['license'] == 'CC BY 4.0' and card['num_complete'] == 3 and card['versions'] == ['pyscf 2.3.0']


def test_another_machine_goes_on_with_the_data(folder, monkeypatch):
    """Crystals of earlier results stay, as long as the settings are theirs."""
    path = folder.parent / 'results.json'
    path.write_text(json.dumps({name: one for name, one in results().items() if name == 'ladder-BN'}))
    before = json.loads((folder / 'ladder.json').read_text())
    recipe.main()
    assert json.loads((folder / 'ladder.json').read_text()) == before
    (recipe.EXAMPLE / 'settings.yaml').write_text(json.dumps({'coulomb': 'fitted'}))
    recipe.main()
    after = json.loads((folder / 'ladder.json').read_text())
    assert set(after['crystals']) == {'BN'} and after['settings'] == {'coulomb': 'fitted'}


def test_data_that_are_not_those_of_the_card(folder):
    """A file that was changed, or is something else, is refused."""
    path = folder / 'ladder.json'
    path.write_text(path.read_text().replace('hydride', 'hybrid'))
    with pytest.raises(CorruptFileError, match='is not the file that'):
        load_ladder.__wrapped__(path)
    with pytest.raises(CorruptFileError, match='not the data of a ladder'):
        recipe.Ladder.from_dict({'crystals': {'LiH': {'kind': 'rock salt'}}, 'settings': {}, 'missing': []})
    with pytest.raises(CorruptFileError, match='not the data of a ladder'):
        recipe.Ladder.from_dict({})


def test_results_that_are_not_there(monkeypatch, capsys, tmp_path):
    """The message says what makes them."""
    monkeypatch.setattr(sys, 'argv', ['ladder.py', '--results', str(tmp_path / 'nothing.json')])
    with pytest.raises(SystemExit):
        recipe.main()
    assert 'ladder.py --results FILE' in capsys.readouterr().err
