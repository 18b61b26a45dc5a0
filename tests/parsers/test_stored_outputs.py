"""Every parser on stored outputs of the real programs: what it makes of them is compared with `parsed.yml` beside them.

`make_fixtures.py` made the outputs; after a wanted change, `--force-regen` writes what is expected anew.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from aiida import orm
from aiida.plugins import ParserFactory

from aiida_qagenai.calculations.functions.relaxation import summarize_relaxation
from aiida_qagenai.calculations.pyscf.results import ForceResults
from aiida_qagenai.data.candidate import CandidateData
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.exchange.structures import StructureBatch

FIXTURES = Path(__file__).parent / 'fixtures'
CASES = sorted(str(path.parent.relative_to(FIXTURES)) for path in FIXTURES.glob('*/*/inputs.json'))
SILICON = [(0.0, 0.0, 0.0), (1.375, 1.325, 1.325)]
LARGEST = 60
"""Numbers of an array that are compared one by one; of a larger one the shape, the mean and the extremes."""


def make_inputs(folder: Path) -> dict[str, orm.Data]:
    """Return the inputs that the parser reads."""
    content = json.loads((folder / 'inputs.json').read_text())
    inputs: dict[str, orm.Data] = {'parameters': orm.Dict(content['parameters'])}
    if 'structure' in content:
        inputs['structure'] = make_structure(**content['structure'])
    if 'cycle' in content:
        inputs['cycle'] = orm.Int(content['cycle'])
    if 'num_candidates' in content:
        batch = StructureBatch.load(folder / 'temporary' / 'structures.npz')
        structures = batch.structures()[: content['num_candidates']]
        names = batch.identifiers.tolist()[: content['num_candidates']]
        inputs['candidate_set'] = DatasetData(StructureBatch.from_structures(structures, names))
        for index, structure in enumerate(structures):
            inputs[f'members__c{index:05d}'] = CandidateData(structure, cycle=2, index=index, origin='generator')
    return inputs


def make_structure(cell, pbc, symbols, positions) -> orm.StructureData:
    """Return a structure as it was written down."""
    structure = orm.StructureData(cell=cell, pbc=pbc)
    for symbol, position in zip(symbols, positions, strict=True):
        structure.append_atom(symbols=symbol, position=position)
    return structure


def describe(node: orm.Data) -> object:
    """Return the content of a node as plain values, without what differs between two runs."""
    if isinstance(node, orm.Dict):
        return node.get_dict()
    if isinstance(node, orm.SinglefileData):
        return {'filename': node.filename}
    attributes = {name: value for name, value in node.base.attributes.all.items() if not name.endswith('uuid')}
    if isinstance(node, DatasetData):
        # The checksum differs between processors, as the last digits of cells do that a parser computes.
        batch, attributes = node.structures(), {**attributes}
        del attributes['content_hash']
        arrays = {each.name: describe_array(getattr(batch, each.name)) for each in dataclasses.fields(batch)}
        return {'arrays': arrays, **attributes}
    if isinstance(node, orm.ArrayData):
        arrays = {name: describe_array(node.get_array(name)) for name in sorted(node.get_arraynames())}
        return {'arrays': arrays, **{name: value for name, value in attributes.items() if '|' not in name}}
    return attributes


def describe_array(values: np.ndarray) -> object:
    """Return all values, or what tells a large array from another."""
    if values.size <= LARGEST:
        return values.tolist()
    summary = {'shape': list(values.shape)}
    if values.dtype.kind in 'fi':
        summary |= {'mean': float(values.mean()), 'lowest': float(values.min()), 'highest': float(values.max())}
    return summary


def retrieved_of(folder: Path) -> list[Path]:
    """Return the files that were retrieved, beside the two that describe the case."""
    return [
        path for path in sorted(folder.iterdir()) if path.is_file() and path.name not in {'inputs.json', 'parsed.yml'}
    ]


@pytest.mark.parametrize('case', CASES)
def test_stored_outputs(case, make_node, data_regression):
    """The exit code and every output."""
    folder, name = FIXTURES / case, case.split('/')[0]
    node = make_node(f'qagenai.{name}', make_inputs(folder), retrieved_of(folder))
    parser = ParserFactory(f'qagenai.{name}')(node)
    exit_code = parser.parse(retrieved_temporary_folder=str(folder / 'temporary'))
    data_regression.check(
        {
            'exit_code': None if exit_code is None else [exit_code.status, exit_code.message],
            'outputs': {label: describe(output) for label, output in sorted(parser.outputs.items())},
        },
        fullpath=folder / 'parsed.yml',
        round_digits=8,
    )


@pytest.mark.parametrize('case', [case for case in CASES if case.startswith('pyscf_cell/')])
def test_the_model_names_every_result(case):
    """What a script writes is a field of the model, so that nothing is without its unit and type."""
    try:
        values = json.loads((FIXTURES / case / 'results.json').read_text())
    except (FileNotFoundError, json.JSONDecodeError):
        pytest.skip('this calculation left no readable results')
    assert set(values) <= set(ForceResults.model_fields)


@pytest.mark.parametrize('case', ['silicon', 'not_converged'])
def test_stored_outputs_of_pw(case, make_node, data_regression):
    """What a relaxation by pw.x becomes: the same words as one by PySCF, the stress in its units and sign."""
    folder = FIXTURES / 'pw' / case
    initial = make_structure([[0, 2.65, 2.65], [2.65, 0, 2.65], [2.65, 2.65, 0]], [True] * 3, ['Si'] * 2, SILICON)
    mesh = orm.KpointsData()
    mesh.set_kpoints_mesh([2, 2, 2])
    control = {'calculation': 'vc-relax', 'forc_conv_thr': 3e-3, 'etot_conv_thr': 2e-4}
    parameters = orm.Dict({'CONTROL': control, 'CELL': {'press_conv_thr': 10.0}})
    inputs = {'parameters': parameters, 'structure': initial, 'kpoints': mesh}
    files = [folder / name for name in ('aiida.out', 'data-file-schema.xml') if (folder / name).exists()]
    parser = ParserFactory('quantumespresso.pw')(make_node('quantumespresso.pw', inputs, files))
    exit_code = parser.parse()
    content: dict[str, object] = {'exit_code': None if exit_code is None else [exit_code.status, exit_code.message]}
    if exit_code is None:
        settings = orm.Dict({'engine': 'espresso', 'max_volume_change': 0.1, 'scientific': True})
        outputs = {name: parser.outputs[f'output_{name}'] for name in ('structure', 'parameters', 'trajectory')}
        outcome = summarize_relaxation(
            initial, outputs['structure'], outputs['parameters'], settings, trajectory=outputs['trajectory']
        )
        results = outcome['results'].get_dict()
        content['results'] = {name: value for name, value in results.items() if not name.endswith('uuid')}
        content['forces'] = describe(outcome['forces'])
        content['relaxed'] = describe(outputs['structure'])
    data_regression.check(content, fullpath=folder / 'parsed.yml', round_digits=6)
