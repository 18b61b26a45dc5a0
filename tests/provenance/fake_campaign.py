"""A campaign's graph, node by node and link by link as the work chains build it, without running anything."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from aiida.common.links import LinkType
from aiida.orm import CalcFunctionNode, CalcJobNode, Computer, Dict, Group, Int, List, WorkChainNode, load_computer
from batch_processes import make_candidates, make_prediction, make_set, rock_salt
from plumpy.process_states import ProcessState
from safetensors.numpy import save_file

from aiida_qagenai.common.descriptors import NUM_DESCRIPTORS
from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.data.assessment import AssessmentData
from aiida_qagenai.data.checkpoint import CheckpointData
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.io.checkpoint import WEIGHTS_NAME, write_info
from aiida_qagenai.io.dataset import LabelledBatch
from aiida_qagenai.io.structures import StructureBatch
from aiida_qagenai.provenance.bulk import store_outputs

ROLES = ('descriptor', 'generator', 'validator')


def make_checkpoint(role: str, seed: int = 0) -> CheckpointData:
    """Return an unstored checkpoint with a few weights."""
    with tempfile.TemporaryDirectory() as folder:
        save_file({'w': np.full(3, float(seed))}, Path(folder) / WEIGHTS_NAME)
        write_info(folder, role=role, architecture=f'{role}-tiny', configuration={}, num_parameters=3, seed=seed)
        return CheckpointData(folder)


def make_energy(uuid: str, fidelity: Fidelity, protocol: str, index: int = 0) -> EnergyData:
    """Return an unstored energy of LiH; D is 0.01 eV/atom times the index."""
    return EnergyData(
        fidelity=fidelity,
        total_energy=-20.0 - fidelity.rank,
        num_atoms=2,
        formation_energy_per_atom=-0.5 + 0.01 * index * (fidelity is Fidelity.CCSD_T),
        formation_scheme='anchored',
        formula='LiH',
        chemical_system='H-Li',
        converged=True,
        protocol=protocol,
        level_tag=f'{protocol}:gth-szv',
        scientific=protocol != 'pipeline',
        structure_uuid=uuid,
        core_hours=0.5,
    )


def make_assessment(uuid: str, index: int, cycle: int) -> AssessmentData:
    """Return an unstored assessment: E_hull is 0.05 eV/atom times the index, the first two are selected."""
    return AssessmentData(
        candidate_uuid=uuid,
        cycle=cycle,
        index=index,
        constraints={},
        passed_constraints=True,
        duplicate=False,
        e_above_hull=0.05 * index,
        stability='stable' if index == 0 else 'metastable',
        eligible=True,
        divergence=0.01 * index,
        score=1.0 - 0.1 * index,
        rank=index + 1,
        selected=index < 2,
        audit=False,
    )


def make_labels(n: int, protocol: str) -> DatasetData:
    """Return an unstored training set of ``n`` structures with energies at every level."""
    batch = LabelledBatch(
        StructureBatch.from_structures([rock_salt(i) for i in range(n)], [f'000-{i:05d}' for i in range(n)]),
        energies=np.full((n, len(LADDER)), -0.5),
        descriptors=np.full((n, NUM_DESCRIPTORS), np.nan),
        groups=np.array(['LiH'] * n),
        split=np.zeros(n, dtype=np.int8),
    )
    tags = {level.value: f'{protocol}:gth-szv' for level in LADDER}
    return DatasetData(batch, level_tags=tags, formation_scheme='anchored', scientific=protocol != 'pipeline')


class FakeCampaign:
    """Builds campaigns in the loaded profile."""

    def __init__(self, label: str = 'toy', protocol: str = 'pipeline', n: int = 4) -> None:
        self.protocol, self.n = protocol, n
        try:
            self.computer = load_computer('fake')
        except Exception:
            self.computer = Computer('fake', 'localhost', '', 'core.local', 'core.direct', '/tmp').store()
        self.group = Group(f'qagenai/campaign/{label}').store()
        self.elements = List(['Li', 'H']).store()
        self.parameters = Dict({'energy_protocol': protocol, 'budget': 40}).store()
        self.state: dict = {}

    def start(self) -> WorkChainNode:
        """Start a campaign process; with a state, it is a continuation."""
        state = {f'state__{name}': self.state[name] for name in ('dataset', 'ledger') if self.state}
        process = self.process(
            WorkChainNode, None, 'campaign', elements=self.elements, parameters=self.parameters, **state
        )
        self.group.add_nodes(process)
        return process

    def process(self, cls, caller, link_label, name=None, **inputs):
        """Return a running process with its inputs and the link from its caller."""
        types = {WorkChainNode: 'workflows', CalcJobNode: 'calculations'}
        node = cls(computer=self.computer) if cls is CalcJobNode else cls()
        if cls is CalcJobNode:
            node.set_option('resources', {'num_machines': 1})
        name = name or link_label
        if cls in types:
            node.process_type = f'aiida.{types[cls]}:qagenai.{name}'
        node.set_process_label(f'{name.title()}{"WorkChain" if cls is WorkChainNode else ""}')
        node.set_process_state(ProcessState.RUNNING)
        if caller is not None:
            call = LinkType.CALL_WORK if cls is WorkChainNode else LinkType.CALL_CALC
            node.base.links.add_incoming(caller, call, link_label)
        kind = LinkType.INPUT_WORK if cls is WorkChainNode else LinkType.INPUT_CALC
        for label, data in inputs.items():
            node.base.links.add_incoming(data, kind, label)
        return node.store()

    def seed(self, campaign) -> None:
        """Run the initial set: candidates of cycle 0, energies, a training set, three models."""
        seed = self.process(WorkChainNode, campaign, 'seed', elements=self.elements)
        build = self.process(CalcFunctionNode, seed, 'seed_set', 'build_seed_set', elements=self.elements)
        made = store_outputs(build, {**make_candidates(2, cycle=0), 'candidate_set': make_set(2, cycle=0)})
        finish(build)
        seeds = {label.split('__')[1]: node for label, node in made.items() if label != 'candidate_set'}
        computed = self.ladder(seed, seeds)
        self.state = self.learn(seed, computed, seeds, ROLES, seed_value=1)
        self.state['ledger'] = self.create(
            seed, 'open_ledger', {'budget': 40, 'spent': 0, 'core_hours': 4.0, 'seed': {'pbe': 2}, 'cycles': []}
        )
        self.finish_with_state(seed)

    def cycle(self, campaign, number: int, until: str = 'end'):
        """Run one cycle, or a part of it: ``until`` is ``predict``, ``energies`` or ``end``."""
        inputs = {f'state__{name}': self.state[name] for name in ('dataset', 'ledger')}
        cycle = self.process(
            WorkChainNode, campaign, f'cycle{number:03d}', 'cycle', cycle=Int(number).store(), **inputs
        )
        generate = self.process(CalcJobNode, cycle, 'generate', generator=self.state['generator'])
        made = store_outputs(generate, {**make_candidates(self.n, number), 'candidate_set': make_set(self.n, number)})
        finish(generate)
        candidates = {label.split('__')[1]: node for label, node in made.items() if label != 'candidate_set'}
        members = {f'members__{label}': node for label, node in candidates.items()}
        predict = self.process(CalcJobNode, cycle, 'predict', validator=self.state['validator'], **members)
        predictions = {
            f'predictions__{label}': make_prediction(node.uuid, int(label[1:]), number)
            for label, node in candidates.items()
        }
        store_outputs(predict, predictions)
        finish(predict)
        if until == 'predict':
            return cycle
        assess = self.process(CalcFunctionNode, cycle, 'assess', 'assess_candidates', **members)
        assessments = {
            f'assessments__{label}': make_assessment(node.uuid, int(label[1:]), number)
            for label, node in candidates.items()
        }
        store_outputs(assess, {**assessments, 'selection': Dict({'selected': ['c00000', 'c00001']})})
        finish(assess)
        chosen = {label: candidates[label] for label in ('c00000', 'c00001')}
        computed = self.ladder(cycle, chosen)
        if until == 'energies':
            return cycle
        state = self.learn(cycle, computed, chosen, ('validator',), seed_value=10 + number)
        ledger = self.state['ledger'].get_dict()
        entry = {
            'cycle': number,
            'eligible': self.n,
            'selected': 2,
            'oracle_calls': 2,
            'failed': 0,
            'energies': {level.value: 2 for level in LADDER},
            'core_hours': {'pyscf': 4.0, 'ml': 0.5},
        }
        spent, hours = ledger['spent'] + 2, ledger['core_hours'] + 4.5
        content = {**ledger, 'spent': spent, 'core_hours': hours, 'cycles': [*ledger['cycles'], entry]}
        self.state = {**self.state, **state, 'ledger': self.create(cycle, 'update_ledger', content)}
        self.finish_with_state(cycle)
        return cycle

    def ladder(self, caller, structures) -> dict:
        """Compute every level for ``structures``."""
        ladder = self.process(WorkChainNode, caller, 'energies', 'ladder')
        energies = {}
        for label, structure in structures.items():
            for level in LADDER:
                name = f'{label}{level.label}'
                energy = self.process(WorkChainNode, ladder, name, 'energy', structure=structure)
                function = self.process(CalcFunctionNode, energy, 'assemble', 'assemble_energy', structure=structure)
                node = make_energy(structure.uuid, level, self.protocol, int(label[1:]))
                energies[name] = store_outputs(function, {'result': node})['result']
                finish(function)
                finish(energy)
        finish(ladder)
        return energies

    def learn(self, caller, energies, structures, roles, seed_value) -> dict:
        """Build the training set and train ``roles`` on it."""
        inputs = {f'energies__{name}': node for name, node in energies.items()}
        inputs |= {f'structures__{name}': node for name, node in structures.items()}
        if 'dataset' in self.state:
            inputs['previous'] = self.state['dataset']
        build = self.process(CalcFunctionNode, caller, 'dataset', 'build_dataset', **inputs)
        state = {'dataset': store_outputs(build, {'result': make_labels(seed_value, self.protocol)})['result']}
        finish(build)
        for role in roles:
            parent = {'initial_checkpoint': self.state[role]} if role in self.state else {}
            train = self.process(CalcJobNode, caller, f'train{role}', 'train', dataset=state['dataset'], **parent)
            state[role] = store_outputs(train, {'checkpoint': make_checkpoint(role, seed_value)})['checkpoint']
            finish(train)
        return state

    def create(self, caller, name, content) -> Dict:
        """Return a Dict made by a calcfunction."""
        function = self.process(CalcFunctionNode, caller, 'ledger', name)
        node = store_outputs(function, {'result': Dict(content)})['result']
        finish(function)
        return node

    def finish_with_state(self, node, exit_status: int = 0) -> None:
        """Return the state from a work chain and finish it."""
        for name in ('dataset', 'ledger'):
            self.state[name].base.links.add_incoming(node, LinkType.RETURN, f'state__{name}')
        for role in ROLES:
            self.state[role].base.links.add_incoming(node, LinkType.RETURN, f'state__checkpoints__{role}')
        finish(node, exit_status)


def finish(node, exit_status: int = 0, state: ProcessState = ProcessState.FINISHED) -> None:
    """End a process."""
    node.set_process_state(state)
    if state is ProcessState.FINISHED:
        node.set_exit_status(exit_status)
    node.seal()


def make_campaign(label: str = 'toy', protocol: str = 'pipeline', n: int = 4, cycles: int = 2) -> FakeCampaign:
    """Return a finished campaign; ``fake.campaign`` is its process."""
    fake = FakeCampaign(label, protocol, n)
    fake.campaign = fake.start()
    fake.seed(fake.campaign)
    for number in range(1, cycles + 1):
        fake.cycle(fake.campaign, number)
    fake.finish_with_state(fake.campaign)
    return fake
