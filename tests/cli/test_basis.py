"""The commands for bases, through a description and a folder of the user's own."""

from __future__ import annotations

import json

import yaml


def test_install_list_show(run, toy_basis, tmp_path, aiida_profile_clean):
    """From nothing to the text of one element."""
    assert 'no family' in run('basis', 'list').output
    source, folder = toy_basis()
    description = tmp_path / 'toy.yaml'
    description.write_text(yaml.safe_dump(source.model_dump()))
    for word in ('installed', 'is installed'):
        assert f'toy/1/dz: {word}' in run('basis', 'install', description, '--from', folder).output
    rows = json.loads(run('basis', 'list', '--format', 'json').output)
    assert [row['label'] for row in rows] == ['toy/1/dz', 'toy/1/tz'] and rows[0]['elements'] == 'H Li'
    assert 'is made for' not in run('basis', 'show', 'toy/dz').output
    assert run('basis', 'show', 'toy/dz', '--element', 'Li').output.startswith('Li  S')


def test_wrong_folder_is_refused_in_one_line(run, tmp_path, aiida_profile_clean):
    """With what is missing."""
    output = run('basis', 'install', '--from', tmp_path, status=1).output
    assert 'not a copy of the repository' in output and 'Traceback' not in output
    assert 'run `aiida-qagenai basis install ccgto`' in run('basis', 'show', 'ccgto/cc-pvdz', status=1).output


def test_pseudopotentials_of_pyscf_become_a_family_for_pw(run, aiida_profile_clean):
    """Its cutoffs are recommended; nothing is stored where an element is missing or the label is taken."""
    from aiida_qagenai.calculations.espresso.pseudos import load_family

    printed = run('basis', 'upf', 'gth/pbe', 'Si', 'Ge').output
    assert 'Si: 80 Ry, measured' in printed and 'Ry, estimated' in printed
    family = load_family('gth/pbe')
    assert sorted(family.elements) == ['Ge', 'Si']
    assert family.get_recommended_cutoffs(elements=('Si',), unit='Ry') == (80.0, 320.0)
    assert 'a family gth/pbe exists' in run('basis', 'upf', 'gth/pbe', 'Si', status=1).output
    assert 'unknown element `Xx`' in run('basis', 'upf', 'other', 'Xx', status=1).output
    assert 'no pseudopotential gth-pbe of Md' in run('basis', 'upf', 'other', 'Md', status=1).output
    assert 'is not of PBE' in run('basis', 'upf', 'other', 'Si', '--pseudo', 'gth-pade', status=1).output
