"""The tutorials that need neither a profile nor an hour print what their pages show."""

from __future__ import annotations

import re

import pytest
from documentation import blocks, words


def printed(text: str) -> list[list[str]]:
    """Return the words of each line of an output, without rules and blank lines."""
    return [line.split() for line in text.splitlines() if line.strip(' ─')]


def test_my_own_list(run, tmp_path, monkeypatch):
    """The list of the page is screened and placed on the hull as the page says."""
    page = ['docs/tutorials/screening.md']
    monkeypatch.chdir(tmp_path)
    console = '\n'.join(block.code for block in blocks('console', pages=page))
    (content,) = re.findall(r'^\$ cat mine.csv\n(.*?)^\$ ', console, re.M | re.S)
    (tmp_path / 'mine.csv').write_text(content)
    commands = [line for line in re.findall(r'^\$ (.*)', console, re.M) if line.startswith('aiida-qagenai')]
    shown = [block.code for block in blocks('text', pages=page)]
    assert len(commands) == len(shown) == 2
    for command, expected in zip(commands, shown, strict=True):
        output = printed(run(*words(command)[1:]).stdout)
        assert [line for line in printed(expected) if line not in output] == []


@pytest.mark.slow
def test_from_a_formula_to_ranked_structures(run, tmp_path, monkeypatch):
    """The known crystals that the page shows are found again, in that order, and the commands that follow run."""
    page = ['docs/tutorials/structures.md']
    monkeypatch.chdir(tmp_path)
    outputs = [run(*words(line)[1:]).stdout for block in blocks('console', pages=page) for line in block.commands()]
    (shown,) = (block.code for block in blocks('text', pages=page))
    known = re.compile(r'mp-\d+(?= +yes)')
    assert known.findall(outputs[0]) == known.findall(shown) == ['mp-1778', 'mp-1794']
    assert '6 of 6 pass' in outputs[1] and 'energies of formation in eV/atom' in outputs[2]
