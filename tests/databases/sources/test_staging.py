"""Downloads that survive a crash, and what is said where a client or a key is missing."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.databases.sources import materials_project
from aiida_qagenai.databases.sources.staging import Staging


@given(st.lists(st.lists(st.integers(), max_size=4), max_size=5), st.binary(max_size=30))
def test_what_a_crash_left_behind_is_cut_off(tmp_path_factory, pages, garbage):
    folder = tmp_path_factory.mktemp('staging')
    staging = Staging(folder, {'database': 'mp'})
    for number, page in enumerate(pages):
        staging.append(page, next=str(number))
        with staging.path.open('ab') as handle:
            handle.write(garbage)
        staging = Staging(folder, {'database': 'mp'})
    assert [int(line) for line in staging.path.read_text().splitlines()] == [item for page in pages for item in page]
    assert staging.records == sum(map(len, pages))
    assert staging.state['next'] == (str(len(pages) - 1) if pages else None)


def test_another_query_is_another_file(tmp_path):
    assert Staging(tmp_path, {'query': 'a'}).path != Staging(tmp_path, {'query': 'b'}).path


def test_missing_client_of_the_materials_project(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'mp_api.client', None)
    with pytest.raises(InvalidInputError, match=r'pip install "aiida-qagenai\[mp\]"'):
        materials_project.download(tmp_path, database='mp', query={'chemsys': 'H-Li'})


def test_missing_client_of_optimade(tmp_path, monkeypatch, settings):
    from aiida_qagenai.databases.sources import optimade

    monkeypatch.setitem(sys.modules, 'optimade.client', None)
    with pytest.raises(InvalidInputError, match=r'pip install "aiida-qagenai\[optimade\]"'):
        optimade.download('http://127.0.0.1:9', settings(format='optimade'), tmp_path)


def test_missing_key_of_the_materials_project(tmp_path, monkeypatch):
    pytest.importorskip('mp_api.client')
    monkeypatch.delenv(materials_project.KEY_VARIABLE, raising=False)
    with pytest.raises(InvalidInputError, match='MP_API_KEY'):
        materials_project.download(tmp_path, database='mp', query={'chemsys': 'H-Li'})
