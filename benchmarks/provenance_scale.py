"""The figures of ``provenance.py`` that take longer: a cycle of 100,000 candidates, and external databases."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import typing as t
from collections.abc import Iterator
from pathlib import Path

from provenance import against_bar, predictions, temporary_profile


def measure(wanted: set[str], n: int, data: Path | None, postgresql: bool) -> Iterator[dict[str, t.Any]]:
    """Yield the figures ``wanted``.

    :param n: candidates of the cycle.
    :param data: folder with ``mp/``, ``mpts/`` and ``databases/``.
    """
    if wanted & {'cycle-100k', 'search-100k', 'serve-100k', 'export-100k'}:
        yield from campaign_at_scale(n, wanted, postgresql)
    for name, figure in (('import-mp', import_tables), ('merge-databases', merge_of_three)):
        if name in wanted:
            if data is None or not data.is_dir():
                raise SystemExit(f'{name} needs --data FOLDER; `{data}` is none')
            with temporary_profile(postgresql):
                yield from figure(data)


def campaign_at_scale(n: int, wanted: set[str], postgresql: bool) -> Iterator[dict[str, t.Any]]:
    """Store one cycle of ``n`` candidates as a campaign does, search it, export it, and import it elsewhere."""
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / 'campaign.aiida'
        with temporary_profile(postgresql):
            yield from cycle(n)
            if 'search-100k' in wanted:
                yield from search(n)
            if 'serve-100k' in wanted:
                yield from serve(n)
            if 'export-100k' in wanted:
                yield from export(archive)
        if 'export-100k' in wanted:
            # AiiDA keeps its folder for as long as a process lives, hence another one.
            command = [sys.executable, __file__, str(archive), *(['--postgresql'] if postgresql else [])]
            yield json.loads(
                subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1]
            )


def cycle(n: int) -> Iterator[dict[str, t.Any]]:
    """Store candidates, predictions and assessments with all links: outputs, members, calls.

    What is computed of a structure, its space group and fingerprint, is given: the figure is of the bookkeeping. The
    cost per node is compared with that of the first thousand.
    """
    from aiida.common.links import LinkType
    from aiida.orm import Group, WorkChainNode

    store_cycle(50, None)  # what is imported once is not of the first thousand
    _, small = store_cycle(min(n, 1000), None)
    campaign = WorkChainNode()
    campaign.process_type = 'aiida.workflows:qagenai.campaign'
    stage = WorkChainNode()
    stage.base.links.add_incoming(campaign, LinkType.CALL_WORK, 'cycle001')
    campaign.store()
    stage.store()
    group = Group('qagenai/campaign/large').store()
    group.add_nodes(campaign)
    seconds, cpu = store_cycle(n, stage)
    for process in (stage, campaign):
        finish(process)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    yield against_bar('cycle-100k', seconds, 's', 360) | {'cpu': round(cpu, 1), 'candidates': n}
    yield against_bar('cycle-100k-memory', memory, 'GiB', 4)
    # CPU times, because others may use the machine during one of the two
    per_node = [1e3 * cpu / (3 * n), 1e3 * small / (3 * min(n, 1000))]
    yield {
        'name': 'cycle-100k-per-node',
        'value': round(per_node[0], 4),
        'unit': 'CPU ms/node',
        'reference': 'a cycle of 1,000',
        'reference_value': round(per_node[1], 4),
        'ratio': round(per_node[0] / per_node[1], 2),
    }


def store_cycle(
    n: int, caller: t.Any, *, selected: int = 0, inputs: dict[str, int] | None = None
) -> tuple[float, float]:
    """Store the three stages of a cycle and return wall and CPU seconds, without those of making the structures.

    :param selected: candidates that are chosen.
    :param inputs: further inputs of the assessment, by pk.
    """
    from aiida.common.links import LinkType
    from aiida.orm import CalcFunctionNode

    from aiida_qagenai.data.candidate import CandidateData
    from aiida_qagenai.data.dataset import DatasetData
    from aiida_qagenai.engine.batch import members_of
    from aiida_qagenai.engine.bulk import link_inputs, linked_uuids, store_outputs
    from aiida_qagenai.exchange.structures import StructureBatch

    structures = perovskites(n)
    batch = StructureBatch.from_structures(structures, [f'001-{index:05d}' for index in range(n)])
    start, cpu = time.perf_counter(), time.process_time()

    def process(name: str) -> t.Any:
        node = CalcFunctionNode()
        if caller is not None:
            node.base.links.add_incoming(caller, LinkType.CALL_CALC, name)
        return node.store()

    generate = process('generate')
    stored = store_outputs(
        generate,
        {
            'candidate_set': DatasetData(batch),
            **{
                f'candidates__c{index:05d}': CandidateData(
                    structure, cycle=1, index=index, origin='generator', analysis=(221, f'{index:016x}')
                )
                for index, structure in enumerate(structures)
            },
        },
    )
    candidate_set = stored['candidate_set']
    del stored, structures, batch
    finish(generate)
    predict = process('predict')
    members = members_of(candidate_set)
    link_inputs(predict, {f'members__{label}': member.pk for label, member in members.items()})
    uuids = linked_uuids(predict, namespace='members')
    made = store_outputs(predict, predictions(n, list(uuids.values())))
    made_inputs = {f'predictions__{label.split("__")[1]}': node.pk for label, node in made.items()}
    del made
    finish(predict)
    assess = process('assess')
    known = {f'candidates__{label}': member.pk for label, member in members.items()}
    link_inputs(assess, known | made_inputs | (inputs or {}))
    store_outputs(assess, assessments(list(uuids.values()), selected))
    finish(assess)
    return time.perf_counter() - start, time.process_time() - cpu


def finish(node: t.Any) -> None:
    """End a process well."""
    from plumpy.process_states import ProcessState

    node.set_process_state(ProcessState.FINISHED)
    node.set_exit_status(0)
    node.seal()


SYSTEMS = 100
"""Chemical systems over which the candidates of the large figures are spread."""


def perovskites(n: int) -> list[t.Any]:
    """Return ``n`` cubic perovskites of a hundred chemical systems."""
    from pymatgen.core import Lattice, Structure

    first = ('Li', 'Na', 'K', 'Rb', 'Cs', 'Mg', 'Ca', 'Sr', 'Ba', 'La')
    second = ('Ti', 'Zr', 'Hf', 'V', 'Nb', 'Ta', 'Cr', 'Mo', 'W', 'Mn')
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return [
        Structure(
            Lattice.cubic(3.8 + 1e-6 * index),
            [first[index % 10], second[index // 10 % 10], 'O', 'O', 'O'],
            sites,
        )
        for index in range(n)
    ]


def assessments(uuids: list[str], selected: int = 0) -> dict[str, t.Any]:
    """Return one unstored assessment per candidate by label; the first ones are selected."""
    from aiida_qagenai.data.assessment import AssessmentData

    verdicts = {
        name: {'value': 0.5, 'threshold': 1.0, 'verdict': 'passed', 'unit': 'Å'}
        for name in ('charge_neutrality', 'minimum_distance', 'density', 'volume', 'coordination', 'bond_valence')
    }
    return {
        f'assessments__c{index:05d}': AssessmentData(
            candidate_uuid=uuid,
            cycle=1,
            index=index,
            constraints=verdicts,
            passed_constraints=True,
            duplicate=False,
            e_above_hull=index % 997 / 997,
            decomposition_energy=index % 997 / 997 - 0.01,
            decomposition={'TiO2': 0.6, 'Li2O': 0.4},
            hull_fidelity='CCSD(T)',
            stability='unstable',
            eligible=True,
            divergence=1e-6 * index,
            diversity=0.5,
            score=0.5,
            rank=index + 1,
            selected=index < selected,
            audit=False,
        )
        for index, uuid in enumerate(uuids)
    }


def search(n: int) -> Iterator[dict[str, t.Any]]:
    """Find candidates of one chemical system in a window of divergence and distance to the hull; the median of five."""
    from aiida_qagenai.queries.candidates import candidates

    times = []
    cpu = time.process_time()
    for _ in range(5):
        start = time.perf_counter()
        found = candidates(chemical_system='Ba-O-Ti', min_divergence=0.01, max_e_above_hull=0.1)
        times.append(time.perf_counter() - start)
    assert n < 1000 or 0 < len(found) < n / SYSTEMS
    yield against_bar('search-100k', sorted(times)[2], 's', 1) | {
        'cpu': round((time.process_time() - cpu) / 5, 3),
        'found': len(found),
        'candidates': n,
    }


def serve(n: int) -> Iterator[dict[str, t.Any]]:
    """Serve the candidates by OPTIMADE: the start, a search by elements, one of everything, and the pages behind it."""
    from aiida import orm
    from fastapi.testclient import TestClient

    from aiida_qagenai.data.candidate import CandidateData
    from aiida_qagenai.databases.server.app import create_server

    start = time.perf_counter()
    read = orm.QueryBuilder().append(CandidateData, project=['uuid', 'attributes'], subclassing=False).all()
    plain = time.perf_counter() - start
    assert len(read) >= n
    del read
    start = time.perf_counter()
    client = TestClient(create_server())
    seconds = time.perf_counter() - start
    yield {
        'name': 'serve-100k-start',
        'value': round(seconds, 2),
        'unit': 's',
        'reference': 'reading the candidates by QueryBuilder',
        'reference_value': round(plain, 2),
        'ratio': round(plain / seconds, 2),
    }

    def request(name: str, **query: t.Any) -> dict[str, t.Any]:
        start = time.perf_counter()
        answer = client.get('/v1/structures', params=query).json()
        seconds = time.perf_counter() - start
        assert answer['data'], answer
        return against_bar(f'serve-100k-{name}', seconds, 's', 1) | {'found': answer['meta']['data_returned']}

    elements, everything = 'elements HAS ALL "Ba","O","Ti" AND nelements = 3', 'nsites > 1'
    request('first')
    yield request('search', filter=elements)
    yield request('scan', filter=everything, page_limit=100)
    yield request('page', filter=everything, page_limit=100, page_offset=n // 2)


def export(archive: Path) -> Iterator[dict[str, t.Any]]:
    """Export the campaign."""
    from aiida_qagenai.queries.archive import export_campaign

    start, cpu = time.perf_counter(), time.process_time()
    info = export_campaign('large', archive)
    yield _rate('export-100k', info, time.perf_counter() - start, time.process_time() - cpu)


def import_again(archive: Path) -> dict[str, t.Any]:
    """Import the campaign into an empty profile."""
    from aiida_qagenai.queries.archive import import_archive

    start, cpu = time.perf_counter(), time.process_time()
    info = import_archive(archive)
    return _rate('import-100k', info, time.perf_counter() - start, time.process_time() - cpu)


def _rate(name: str, info: t.Any, seconds: float, cpu: float) -> dict[str, t.Any]:
    nodes = sum(info.nodes.values())
    return against_bar(name, nodes / seconds, 'nodes/s', 1000, more_is_better=True) | {
        'nodes': nodes,
        'seconds': round(seconds, 1),
        'cpu': round(cpu, 1),
    }


def import_tables(data: Path) -> Iterator[dict[str, t.Any]]:
    """Import the tables of Materials Project structures, each as a version of a database."""
    reports, start, cpu = [], time.perf_counter(), cpu_seconds()
    for name, table in (('mp-20', 'mp/mp20_bi_ternary.csv.gz'), ('mpts-52', 'mpts/mpts52.csv.gz')):
        reports.append(_import(data / table, name, 'csv'))
    seconds = time.perf_counter() - start
    yield against_bar('import-mp', seconds, 's', 120) | {
        'structures': sum(report.imported for report in reports),
        'energies': sum(sum(report.energies.values()) for report in reports),
        'left_out': sum(report.malformed for report in reports),
        'cpu': round(cpu_seconds() - cpu, 1),
    }


def merge_of_three(data: Path) -> Iterator[dict[str, t.Any]]:
    """Merge three databases; importing them first is not counted."""
    from aiida_qagenai.databases.merge.process import load_merge, merge_databases, select_databases

    names = ('mp', 'oqmd', 'alexandria')
    for name in names:
        _import(data / 'databases' / f'{name}.tar.gz', name, 'cif')
    groups = select_databases([f'{name}/1' for name in names])
    start, cpu = time.perf_counter(), cpu_seconds()
    process, _ = merge_databases(groups, workers=os.cpu_count() or 1)
    seconds = time.perf_counter() - start
    report = load_merge(process)[1]
    report.pop('inputs_sha256')
    yield against_bar('merge-databases', seconds, 's', 300) | {'cpu': round(cpu_seconds() - cpu, 1), **report}


def cpu_seconds() -> float:
    """Return the CPU time of this process and of the workers that have ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def _import(path: Path, database: str, kind: str) -> t.Any:
    from aiida_qagenai.databases.sources.importer import import_files
    from aiida_qagenai.databases.sources.settings import make_settings

    settings = make_settings(database=database, version='1', license='CC-BY-4.0', format=kind)
    return import_files([path], [settings], workers=os.cpu_count() or 1)[0]


if __name__ == '__main__':
    with temporary_profile('--postgresql' in sys.argv):
        print(json.dumps(import_again(Path(sys.argv[1]))))
