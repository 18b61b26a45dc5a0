"""The beginning of a campaign: an initial training set, computed, and the first models, trained on it."""

from __future__ import annotations

import typing as t

from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, ToContext, while_
from aiida.orm import Dict, Int, Str

from aiida_qagenai.calculations.functions.dataset import build_dataset
from aiida_qagenai.calculations.functions.ledger import open_ledger
from aiida_qagenai.calculations.functions.seed import build_seed_set
from aiida_qagenai.calculations.train import ROLES
from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.workchains.accounting import core_hours
from aiida_qagenai.workchains.ladder import LadderWorkChain
from aiida_qagenai.workchains.protocols.campaign import CampaignSettings, validate_settings
from aiida_qagenai.workchains.protocols.energy import energy_settings
from aiida_qagenai.workchains.references import ReferenceWorkChain
from aiida_qagenai.workchains.resumable import ResumableWorkChain, ending, nested_outputs
from aiida_qagenai.workchains.state import REFERENCES, define_state_outputs, reference_outputs
from aiida_qagenai.workchains.training import SPLIT_FRACTIONS, training_inputs
from aiida_qagenai.workchains.validation import define_common_inputs, fill_builder

__all__ = ('SeedWorkChain',)

MINIMUM_LABELS = 4


class SeedWorkChain(ResumableWorkChain):
    """Elements → structures, energies on every level, a training set and three trained models."""

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Define ports, outline and exit codes."""
        super().define(spec)
        define_common_inputs(spec)
        define_state_outputs(spec)
        spec.outline(
            cls.build_structures,
            while_(cls.should_compute_references)(cls.compute_references),
            cls.inspect_references,
            while_(cls.should_compute_energies)(cls.compute_energies),
            cls.inspect_energies,
            while_(cls.should_train)(cls.train),
            cls.inspect_training,
        )
        spec.exit_code(410, 'ERROR_REFERENCES', message='The energies of the isolated atoms failed: {reason}')
        spec.exit_code(411, 'ERROR_ENERGIES', message='The energies of the initial set failed: {reason}')
        spec.exit_code(
            412,
            'ERROR_TOO_FEW_ENERGIES',
            message='Only {count} energies at {fidelity}: a model needs at least {minimum}.',
        )
        spec.exit_code(413, 'ERROR_TRAINING', message='The training of the {role} failed: {reason}')

    @classmethod
    def get_builder_from_protocol(cls, **common: t.Any) -> ProcessBuilder:
        """Return a builder filled from a protocol of campaigns.

        :param common: see :func:`~aiida_qagenai.workchains.validation.fill_builder`.
        """
        return fill_builder(cls.get_builder(), **common)

    @property
    def settings(self) -> CampaignSettings:
        """Return the typed settings."""
        return validate_settings(self.inputs.parameters.get_dict())

    def build_structures(self) -> None:
        """Decorate, strain and perturb prototypes."""
        settings = self.settings
        parameters = {**settings.seed_set.model_dump(mode='json'), 'seed': settings.cycle_seed(0, 0)}
        outputs = self.call_once(
            'prototypes', build_seed_set, elements=self.inputs.elements, parameters=Dict(parameters)
        )
        self.ctx.candidates = outputs['candidates']
        self.ctx.plan = outputs['plan']
        self.report(f'{len(outputs["candidates"])} structures of {"-".join(self.inputs.elements.get_list())}')

    @property
    def needs_atoms(self) -> bool:
        """Return whether formation energies refer to isolated atoms; corrected ones belong to each crystal."""
        return energy_settings(self.settings.energy_protocol).counterpoise is None

    def should_compute_references(self) -> bool:
        """Return whether references have to be computed, once or again after the process was lost."""
        return (self.needs_atoms or self.settings.self_consistent) and self.should_submit('references')

    def compute_references(self) -> ToContext:
        """Compute the isolated atoms, and the elements where asked for, on every level that the initial set climbs."""
        levels = [LADDER[0], *(level for level in LADDER if self.settings.seed_set.labels.get(level, 0))]
        builder = ReferenceWorkChain.get_builder_from_protocol(
            code=self.inputs.pyscf_code,
            elements=self.inputs.elements.get_list(),
            fidelities=levels,
            protocol=self.settings.energy_protocol,
            atoms=self.needs_atoms,
            self_consistent=self.settings.self_consistent,
            options=self.inputs.pyscf_options.get_dict() if 'pyscf_options' in self.inputs else None,
        )
        return ToContext(references=self.submit_once('references', builder))

    def inspect_references(self) -> ExitCode | None:
        """Stop if one is missing: there would be no formation energy."""
        child = self.ctx.get('references')
        if child is not None and not child.is_finished_ok:
            exit_code: ExitCode = self.exit_codes.ERROR_REFERENCES.format(reason=ending(child))
            return exit_code
        return None

    def should_compute_energies(self) -> bool:
        """Return whether the ladder has to be climbed, once or again after its process was lost."""
        return self.should_submit('energies')

    def compute_energies(self) -> ToContext:
        """Climb the ladder."""
        # Never relaxed: strained and perturbed prototypes are there to teach the models what lies off the minima.
        child = self.submit_once(
            'energies',
            LadderWorkChain,
            code=self.inputs.pyscf_code,
            structures=self.ctx.candidates,
            plan=self.ctx.plan,
            protocol=Str(self.settings.energy_protocol),
            **nested_references(self.ctx.get('references')),
            max_concurrent=Int(self.settings.run.max_concurrent),
            **({'options': self.inputs.pyscf_options} if 'pyscf_options' in self.inputs else {}),
        )
        return ToContext(energies=child)

    def inspect_energies(self) -> ExitCode | None:
        """Build the training set, if enough calculations succeeded."""
        child = self.ctx.energies
        if not child.is_finished_ok:
            return self.exit_codes.ERROR_ENERGIES.format(reason=ending(child))  # type: ignore[no-any-return]
        computed = nested_outputs(child)
        energies = computed['energies']
        wanted = [Fidelity.PBE, *(level for level, count in self.settings.seed_set.labels.items() if count)]
        for level in wanted:
            count = sum(energy.fidelity is level for energy in energies.values())
            minimum = MINIMUM_LABELS if level is Fidelity.PBE else 1
            if count < minimum:
                return self.exit_codes.ERROR_TOO_FEW_ENERGIES.format(  # type: ignore[no-any-return]
                    count=count, fidelity=level.value, minimum=minimum
                )
        outputs = self.call_once(
            'dataset',
            build_dataset,
            parameters=Dict({'fractions': list(SPLIT_FRACTIONS), 'seed': self.settings.seed}),
            structures=self.ctx.candidates,
            energies=energies,
            descriptors=computed.get('descriptors', {}),
        )
        self.ctx.dataset = outputs['result']
        return None

    def should_train(self) -> bool:
        """Return whether the models have to be trained, once or again after a job was lost."""
        return self.should_submit(*(f'train{role}' for role in ROLES))

    def train(self) -> ToContext:
        """Train the three models side by side."""
        children = {}
        for stage, role in enumerate(ROLES, start=1):
            inputs = training_inputs(
                role,
                self.settings,
                self.ctx.dataset,
                code=self.inputs.ml_code,
                seed=self.settings.cycle_seed(0, stage),
                options=self.inputs.ml_options.get_dict() if 'ml_options' in self.inputs else None,
            )
            children[role] = self.submit_once(f'train{role}', inputs)
        return ToContext(**children)

    def inspect_training(self) -> ExitCode | None:
        """Return the state that the first cycle starts from."""
        for role in ROLES:
            child = self.ctx[role]
            if not child.is_finished_ok:
                return self.exit_codes.ERROR_TRAINING.format(role=role, reason=ending(child))  # type: ignore[no-any-return]
            self.out(f'state.checkpoints.{role}', child.outputs.checkpoint)
        costs = {
            'core_hours': core_hours(self.node),
            'energies': self.ctx.dataset.counts,
            'structures': len(self.ctx.dataset),
        }
        ledger = self.call_once('ledger', open_ledger, seed=Dict(costs))
        self.out('state.dataset', self.ctx.dataset)
        self.out('state.ledger', ledger['result'])
        for name, energy in reference_outputs(nested_references(self.ctx.get('references'))):
            self.out(name, energy)
        return None


def nested_references(node: t.Any) -> dict[str, dict[str, dict[str, t.Any]]]:
    """Return ``references`` and ``elements`` of a reference work chain, if there is one, by fidelity and element."""
    outputs = {} if node is None else nested_outputs(node)
    nested: dict[str, dict[str, dict[str, t.Any]]] = {}
    for name, output in zip(REFERENCES, ('energies', 'elements'), strict=True):
        nested[name] = {}
        for element, levels in outputs.get(output, {}).items():
            for fidelity, energy in levels.items():
                nested[name].setdefault(fidelity, {})[element] = energy
    return nested
