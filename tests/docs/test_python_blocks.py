"""The Python that the documentation prints for copying runs as it is printed, and finds what the functions find."""

from __future__ import annotations

import ast
import csv
import gzip
from pathlib import Path

import documentation
import pytest
from aiida import orm
from aiida.engine import run_get_node
from ase.build import bulk
from pymatgen.core import Lattice, Structure

from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.candidate import CandidateData, Lineage
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.exchange.geometry import GeometryOptions
from aiida_qagenai.exchange.requests import MotifsRequest
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.queries import searches
from aiida_qagenai.workchains.energy.energy import EnergyWorkChain

CHEAP = {'meshes': {'CCSD(T)': {'fixed': [1, 1, 1]}}}
NOT_RUN_AT_MOST = 0


def test_every_page_with_python_is_run():
    """Each page with Python has a test here, and few blocks are left out, for a stated reason."""
    python = documentation.blocks('python')
    texts = [(documentation.ROOT / page).read_text() for page in documentation.PAGES]
    assert len(python) == sum(text.count('\n```python\n') for text in texts) > 20
    source = ''.join(path.read_text() for path in Path(__file__).parent.glob('test_python_*.py'))
    assert {block.page for block in python if f"blocks('{block.page}'" not in source} == set()
    left_out = {block.where: block.reason for block in python if block.reason}
    assert len(left_out) <= NOT_RUN_AT_MOST, left_out


def test_readme(blocks, aiida_profile_clean, capsys):
    """The query of the README prints the candidates of cycle 2 with their generator."""
    from fake_campaign import make_campaign

    toy = make_campaign()
    names = next(blocks('README.md'))
    assert ast.literal_eval(capsys.readouterr().out) == [[toy.state['generator'].uuid, 'LiH']] * 4
    assert names['query'].count() == 4


def test_report(blocks, aiida_profile_clean, tmp_path, monkeypatch):
    """The page on reports draws a figure of a campaign and takes its numbers."""
    from fake_campaign import make_campaign

    make_campaign('lih')
    monkeypatch.chdir(tmp_path)
    names = next(blocks('docs/howto/report.md'))
    assert (tmp_path / 'parity.png').stat().st_size > 5000
    assert len(names['table']) > 0


@pytest.mark.usefixtures('foundation')
def test_campaign(blocks, submitted, pyscf_code, python_code, ccgto):
    """The page on campaigns submits one with the budget that it sets."""
    python_code('qagenai-ml', 'qagenai.train')
    node = next(blocks('docs/howto/campaign.md'))['node']
    assert [process.node.pk for process in submitted] == [node.pk]
    assert node.inputs.parameters['budget'] == 50
    assert node.inputs.pyscf_options['max_wallclock_seconds'] == 7200


def test_hyperparameters(blocks, submitted, python_code, toy_labels, aiida_profile_clean):
    """The page on hyperparameters submits a search for λ and all others of the protocol."""
    from fake_campaign import make_checkpoint

    from aiida_qagenai.data.dataset import DatasetData

    python_code('qagenai-ml', 'qagenai.train')
    tags = dict.fromkeys(('PBE', 'SCAN', 'HSE06', 'CCSD(T)'), 'pipeline:toy')
    dataset = DatasetData(toy_labels, level_tags=tags, formation_scheme='anchored', scientific=False).store()
    descriptor = make_checkpoint('descriptor', elements=('H', 'Li')).store()
    node = next(blocks('docs/howto/hyperparameters.md', dataset=dataset, descriptor=descriptor))['search']
    assert [process.node.pk for process in submitted] == [node.pk]
    space = node.inputs.parameters['space']
    assert space['sampling']['guidance_scale'] == {'low': 0.1, 'high': 1.0} and len(space['sampling']) == 4


def test_finite_temperature(blocks, python_code, make_structure):
    """The page on finite temperature builds the work chain with energies of a better level, and its search runs."""
    from fake_campaign import make_energy

    python_code('qagenai-ml', 'qagenai.train')
    cell = [[2.9, 0.0, 0.0], [0.0, 2.9, 0.0], [0.0, 0.0, 2.9]]
    pks = {}
    for name, energy, symbol in (
        ('CANDIDATE', 'ENERGY1', 'Al'),
        ('GOLD', 'ENERGY2', 'Au'),
        ('COPPER', 'ENERGY3', 'Cu'),
    ):
        structure = make_structure([symbol], [(0.0, 0.0, 0.0)], cell).store()
        pks |= {name: structure.pk, energy: make_energy(structure.uuid, Fidelity.PBE, 'fast').store().pk}
    page = blocks('docs/howto/finite_temperature.md', **pks)
    builder = next(page)['builder']
    assert {*builder.competing} == {'gold', 'copper'} and builder.structures['candidate'].pk == pks['CANDIDATE']
    assert next(page)['query'].all() == []
    assert next(page, None) is None


@pytest.mark.slow
def test_labelling(blocks, python_code):
    """The script of the page on labels gives those of SevenNet at PBE."""
    pytest.importorskip('sevenn')
    python_code('qagenai-ml', 'qagenai.label')
    crystals = [bulk('MgO', 'rocksalt', a=4.25), bulk('Si', 'diamond', a=5.47)]
    names = next(blocks('docs/howto/label.md', PK=DatasetData(StructureBatch.from_atoms(crystals)).store().pk))
    assert names['node'].is_finished_ok, names['node'].exit_message
    labels = names['outputs']['labels']
    assert labels.base.attributes.get('level') == 'SevenNet-MF-0 PBE'
    assert labels.get_array('energies') / 2 == pytest.approx([-5.969, -5.377], abs=1e-3)


def test_screening(blocks):
    """The page on screening draws compositions, screens a structure and answers for a hull that grows."""
    crystal = Structure(Lattice.cubic(4.2), ['Mg', 'O'], [[0, 0, 0], [0.5, 0.5, 0.5]])
    names = next(blocks('docs/howto/screen.md', structure=crystal))
    assert names['known'].phases


@pytest.mark.slow
def test_external_generator(blocks, python_code, monkeypatch, capsys):
    """The page on other generators runs PyXtal, and prints the formulas of its candidates."""
    monkeypatch.chdir(documentation.ROOT)
    python_code('pyxtal', 'qagenai.external_generate')
    page = blocks('docs/howto/external_generator.md')
    assert next(page)['node'].is_finished_ok
    results, formulas = map(ast.literal_eval, capsys.readouterr().out.splitlines())
    assert results['num_structures'] == 3 and results['seeded'] is True
    assert formulas == ['MgO'] * 3
    assert next(page, None) is None


def test_evaluation(blocks, capsys):
    """The page on evaluation finds its own crystal, counts the unreadable one as invalid, and compares arms."""
    crystal = Structure(Lattice.cubic(4.2), ['Mg', 'O'], [[0, 0, 0], [0.5, 0.5, 0.5]])
    page = blocks('docs/howto/evaluate.md', structure=crystal)
    names = next(page)
    assert capsys.readouterr().out.splitlines() == ['1 1.0 None 0.0', '2 1.0 None 0.0']
    assert names['relation'] == 'replay'
    values = {figure['name']: figure['value'] for figure in names['figures']}
    assert (values['structure-validity'], values['uniqueness'], values['novelty']) == (0.5, 1.0, 0.0)
    assert 4 <= next(page)['runs'] <= 12
    *arms, needed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in arms] == ['divergence', 'uncertainty']
    assert float(needed) == pytest.approx(1 / 0.21)


@pytest.mark.slow
def test_searches(blocks, pyscf_code, lithium_hydride):
    """The page on searches, on a campaign and one real CCSD(T) energy."""
    from fake_campaign import make_campaign

    toy = make_campaign('quickstart')
    lineage = Lineage('mp-23703', 'NaH', 0.2, 0.6, 'novel framework')
    CandidateData(lithium_hydride.get_pymatgen(), cycle=9, lineage=lineage).store()
    builder = EnergyWorkChain.get_builder_from_protocol(
        pyscf_code, lithium_hydride, 'CCSD(T)', 'pipeline', overrides=CHEAP
    )
    outputs, process = run_get_node(builder)
    assert process.is_finished_ok, process.exit_message
    validator = toy.state['validator']
    page = blocks('docs/howto/search.md', VALIDATOR=validator.uuid, CAMPAIGN=toy.campaign.uuid)

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

    assert next(page)['novel'] == [['LiH', 'mp-23703', 'NaH', 0.6]]

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
    page = blocks('docs/howto/databases.md')
    assert next(page)['report'].imported == 5
    names = next(page)
    assert {*names['entries'].values()} == {'oxide', 'last', 'first'}
    found = {names['entries'][uuid]: energy for uuid, energy in names['query'].all()}
    assert found == pytest.approx({'oxide': 0.0, 'last': -0.1, 'first': -0.2})
    assert next(page, None) is None


def test_generating(blocks, capsys):
    """The page on generating proposes crystals of a formula and of a chemical system."""
    requests, names = blocks('docs/howto/generate.md')
    for request in (requests['request'], requests['system']):
        assert MotifsRequest.parse(request).count == 100
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert {each.structure.chemical_system for each in names['nitrides']} == {'Li-Mg-N'}


@pytest.mark.slow
def test_orders(blocks, capsys, tmp_path, monkeypatch):
    """The constraints of a job can be read, crystals that were ordered satisfy theirs, and are validated."""
    monkeypatch.chdir(tmp_path)
    job, names, _ = blocks('docs/howto/order.md')
    assert [each.weight for each in GeometryOptions.parse(job['geometry']).constraints] == [1, 2]
    assert {each.verdict.formula for each in names['validated']} == {'MgO'} and (tmp_path / 'front.png').exists()
    assert len(names['found']) == 2 and all(crystal.satisfied for crystal in names['found'])
    assert capsys.readouterr().out.startswith("True [('volume_per_atom=9.025..9.975', 9.")


def test_calculators(blocks, capsys):
    """The shipped validator is a calculator of ASE on both of its rungs."""
    for names in blocks('docs/howto/predict.md'):
        assert names['atoms'].calc.results['energy_sigma'] > 0
    assert float(capsys.readouterr().out.split()[0]) == pytest.approx(-3.0, abs=0.3)


def test_elastic_tensors(aiida_profile_clean, blocks, capsys):
    """The tensors of copper and silver are there at once, and a search of an empty profile finds none."""
    *_, names = blocks('docs/howto/elastic.md')
    assert names['copper'].mechanically_stable and 90 < names['silver'].bulk_modulus_vrh < 110
    assert len(names['table']) == 0


def test_design(blocks):
    """The function that the page asks for is the energy of a vacancy: 0.8 to 1.4 eV in copper, not relaxed."""
    from ase.build import bulk
    from ase.calculators.emt import EMT

    *_, names = blocks('docs/howto/design.md')
    copper = bulk('Cu', cubic=True)
    copper.calc = EMT()
    assert 0.8 < names['vacancy'](copper) < 1.4


@pytest.mark.slow
def test_pymatgen_and_ase(blocks, pyscf_code, capsys):
    """The page on pymatgen and ASE screens, predicts, generates, relaxes, and finds candidates again."""
    from fake_campaign import make_campaign

    make_campaign('quickstart')
    page = blocks('docs/howto/python.md', code=pyscf_code)
    names = next(page)
    assert names['table']['energy_pbe'][0] < names['table']['energy_pbe'][1]
    assert len(names['nitrides']) == 5
    next(page)
    assert "{'magmom': [2.2]}" in capsys.readouterr().out
    atoms = next(page)['atoms']
    assert abs(atoms.get_forces()).max() < 0.1 and atoms.calc.results['energy_sigma'] > 0
    builder = next(page)['builder']
    assert builder.structure.label == 'LiH'
    names = next(page)
    assert len(names['crystals']) == 4 and len(names['same']) >= 1
    assert next(page, None) is None


def test_search_and_share(blocks, aiida_profile_clean, capsys):
    """The tutorial on searching and sharing counts the candidates near the hull and names the known phases."""
    from fake_campaign import make_campaign

    make_campaign('quickstart')
    names = next(blocks('docs/tutorials/share.md'))
    assert len(names['near']) > 0 and names['known'].empty
    assert capsys.readouterr().out.split()[0] == str(len(names['near']))
