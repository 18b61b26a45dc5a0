"""The tutorials that do not need an hour print what their pages show."""

from __future__ import annotations

import re

import pytest
from aiida.orm import ProcessNode, QueryBuilder
from click.testing import CliRunner
from documentation import ROOT, blocks, words


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


def test_the_scripts_of_the_cluster(run, aiida_profile_clean, foundation, monkeypatch):
    """The templates are accepted, and the dry run shows the scripts of the page; nothing is started."""
    from aiida.cmdline.commands.cmd_verdi import verdi

    from aiida_qagenai.data.basis import install_families
    from aiida_qagenai.exchange.basis import find_source

    page = ['docs/tutorials/cluster.md']
    monkeypatch.chdir(ROOT)
    install_families(find_source('ccgto'))  # as `setup` does
    lines = [words(line) for block in blocks('console', pages=page) for line in block.commands()]
    for line in lines:
        if line[0] == 'verdi' and 'test' not in line:
            assert CliRunner().invoke(verdi, line[1:], catch_exceptions=False).exit_code == 0
    (dry_run,) = (line for line in lines if '--dry-run' in line)
    (shown,) = (block.code for block in blocks('text', pages=page))
    assert printed(run(*dry_run[1:]).stdout) == printed(shown)
    assert QueryBuilder().append(ProcessNode).count() == 0


ENERGY = ['docs/tutorials/energy.md']


def energy_commands(folder) -> list[list[str]]:
    """Write the crystal of the page and return its commands that compute energies."""
    console = '\n'.join(block.code for block in blocks('console', pages=ENERGY))
    (content,) = re.findall(r'^\$ cat lih.cif\n(.*?)^\$ ', console, re.M | re.S)
    (folder / 'lih.cif').write_text(content)
    lines = [words(line) for block in blocks('console', pages=ENERGY) for line in block.commands()]
    return [line for line in lines if line[:3] == ['aiida-qagenai', 'energy', 'run']]


def test_what_ccsd_t_of_a_crystal_costs(run, pyscf_code, tmp_path, monkeypatch):
    """The dry runs of the page say what they say there."""
    from aiida_qagenai.data.basis import install_families
    from aiida_qagenai.exchange.basis import find_source

    install_families(find_source('ccgto'))
    monkeypatch.chdir(tmp_path)
    dry_runs = [line for line in energy_commands(tmp_path) if '--dry-run' in line]
    shown = [block.code for block in blocks('text', pages=ENERGY) if 'k-mesh' in block.code]
    assert len(dry_runs) == len(shown) == 2
    for command, expected in zip(dry_runs, shown, strict=True):
        assert printed(run(*command[1:]).stdout) == printed(expected)


@pytest.mark.slow
def test_ccsd_t_of_a_crystal(new_machine):
    """The rehearsal ends with the energies of the page; only numbers of processes and times differ."""
    machine = new_machine('rehearsal')
    (command,) = (line for line in energy_commands(machine.folder) if '--dry-run' not in line)
    (text,) = (block.code for block in blocks('text', pages=ENERGY) if 'total eV' in block.code)
    found, shown = (energies(output) for output in (machine.run(*command), text))
    assert list(found) == list(shown) == ['PBE', 'CCSD(T)']
    for level, expected in shown.items():
        assert found[level] == pytest.approx(expected, abs=2e-3)


def energies(output: str) -> dict[str, list[float]]:
    """Return level → total energy, energy per atom and formation energy (eV) in a table of energies."""
    rows = [line.split() for line in output.splitlines() if line.startswith(' s000LiH')]
    places = [next(place for place, word in enumerate(row) if word in {'PBE', 'CCSD(T)'}) for row in rows]
    return {
        row[place]: [float(word) for word in row[place + 1 : place + 4]]
        for row, place in zip(rows, places, strict=True)
    }


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
