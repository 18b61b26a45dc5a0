"""The code that the manual prints for copying runs as it is printed, and finds what the functions find."""

from __future__ import annotations

import csv
import gzip
import re
from pathlib import Path

import pytest
from aiida import orm
from aiida.engine import run_get_node
from pymatgen.core import Lattice, Structure

from aiida_qagenai.queries import searches
from aiida_qagenai.workchains.energy.energy import EnergyWorkChain

HOWTO = Path(__file__).parents[2] / 'docs' / 'howto'

CHEAP = {'meshes': {'CCSD(T)': {'fixed': [1, 1, 1]}}}


@pytest.fixture
def blocks():
    """Return a factory of the blocks of a page: each runs after those before it, as in one session."""

    def create(page: str, **names):
        for code in re.findall(r'```python\n(.*?)```', (HOWTO / page).read_text(encoding='utf8'), re.DOTALL):
            # the campaign of the tests diverges less than those that the page has in mind
            exec(code.replace('0.05', '0.01'), names)
            yield names

    return create


@pytest.mark.slow
def test_searches(blocks, pyscf_code, lithium_hydride):
    """The page on searches, on a campaign and one real CCSD(T) energy."""
    from fake_campaign import make_campaign

    toy = make_campaign('quickstart')
    builder = EnergyWorkChain.get_builder_from_protocol(
        pyscf_code, lithium_hydride, 'CCSD(T)', 'pipeline', overrides=CHEAP
    )
    outputs, process = run_get_node(builder)
    assert process.is_finished_ok, process.exit_message
    validator = toy.state['validator']
    page = blocks('search.md', VALIDATOR=validator.uuid, CAMPAIGN=toy.campaign.uuid)

    selected = next(page)['table']
    assert [*selected['name']] == [*searches.candidates(min_divergence=0.01, selected=True)['name']]
    assert len(selected) == 2

    found = next(page)['query'].all()
    generator = toy.state['generator'].uuid
    assert {(name, formula) for name, _, formula in found} == {(generator, 'LiH')}
    assert {uuid for _, uuid, _ in found} == {*searches.candidates(cycle=2)['candidate_uuid']}

    job = next(node for node in process.called_descendants if isinstance(node, orm.CalcJobNode))
    energy, calculation, structure, parameters, code = next(page)['query'].one()
    assert energy == outputs['energy'].content.total_energy
    assert (calculation, structure, code) == (job.uuid, lithium_hydride.uuid, 'pyscf')
    assert parameters['fidelity'] == 'CCSD(T)'

    first = next(page)['query'].first()[0]
    lineage = searches.lineage(validator.uuid)
    energies = searches.energies(fidelity='PBE')
    assert first == energies['uuid'].iloc[0]
    assert orm.load_node(first).pk in {*lineage['pk']}

    window = {uuid for uuid, _, _ in next(page)['query'].all()}
    table = searches.candidates(min_divergence=0.01, max_e_above_hull=0.1, chemical_system='H-Li')
    assert window == {*table['candidate_uuid']} and len(window) == 4

    names = next(page)
    ours = searches.divergences().set_index(['structure_uuid', 'protocol'])['divergence_ccsdt'].sort_index()
    theirs = names['divergence']['CCSD(T)'].sort_index()
    assert [*theirs.index] == [*ours.index] and [*theirs] == pytest.approx([*ours])
    assert theirs.abs().max() > 0

    cycles = next(page)['cycles']
    ledger = searches.cost_ledger('quickstart').set_index('cycle')
    assert {cycle['cycle']: cycle['selected'] for cycle in cycles} == {1: 2, 2: 2}
    assert sum(cycle['core_hours']['pyscf'] for cycle in cycles) == ledger.loc[[1, 2], 'core_hours_pyscf'].sum()
    assert next(page, None) is None


def test_databases(blocks, aiida_profile_clean, monkeypatch, tmp_path):
    """The page on databases: an import, and the oxides in it."""
    structures = {
        'oxide': ['Mg', 'O'],
        'last': ['Ba', 'O'],
        'first': ['O', 'Pb'],
        'cobalt': ['Co', 'Li'],
        'osmium': ['Os', 'Li'],
    }
    with gzip.open(tmp_path / 'mp20.csv.gz', 'wt', newline='') as handle:
        writer = csv.writer(handle)
        writer.writerow(['material_id', 'cif', 'formation_energy_per_atom'])
        for index, (name, pair) in enumerate(structures.items()):
            crystal = Structure(Lattice.cubic(3.0), pair, [[0, 0, 0], [0.5, 0.5, 0.5]])
            writer.writerow([name, crystal.to(fmt='cif'), -0.1 * index])
    monkeypatch.chdir(tmp_path)
    page = blocks('databases.md')
    assert next(page)['report'].imported == 5
    names = next(page)
    assert {*names['entries'].values()} == {'oxide', 'last', 'first'}
    found = {names['entries'][uuid]: energy for uuid, energy in names['query'].all()}
    assert found == pytest.approx({'oxide': 0.0, 'last': -0.1, 'first': -0.2})
    assert next(page, None) is None
