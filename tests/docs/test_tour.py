"""The notebook under `examples/` runs as it is, and its stored outputs are what it prints."""

from __future__ import annotations

import ast

import nbformat
import pytest
from documentation import ROOT

TOUR = ROOT / 'examples' / 'tour.ipynb'


def printed(notebook) -> list[str]:
    """Return what each cell prints, without tables and pictures."""
    return [
        ''.join(output['text'] for output in cell['outputs'] if output.get('name') == 'stdout')
        for cell in notebook.cells
        if cell.cell_type == 'code'
    ]


def test_the_notebook_is_small_and_was_run():
    notebook = nbformat.read(TOUR, as_version=4)
    nbformat.validate(notebook)
    cells = [cell for cell in notebook.cells if cell.cell_type == 'code']
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [output for cell in cells for output in cell.outputs if output.output_type == 'error']
    assert TOUR.stat().st_size < 100_000
    for cell in cells:
        ast.parse(cell.source)


@pytest.mark.slow
def test_the_notebook_runs(tmp_path, monkeypatch):
    from nbclient import NotebookClient

    monkeypatch.setenv('AIIDA_PATH', str(tmp_path))
    notebook = nbformat.read(TOUR, as_version=4)
    before = printed(notebook)
    NotebookClient(notebook, timeout=900, kernel_name='python3', resources={'metadata': {'path': tmp_path}}).execute()
    assert printed(notebook) == before
    assert before[-1].endswith('1 found\n')
    outputs = [output for cell in notebook.cells for output in cell.get('outputs', ())]
    assert sum('image/png' in output.get('data', {}) for output in outputs) == 1
