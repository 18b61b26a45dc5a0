"""The beginning of a campaign: an initial training set, computed, and the first models."""

from __future__ import annotations

import typing as t

from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, ToContext, while_
from aiida.orm import Bool, Dict

from aiida_qagenai.calculations.functions.dataset import build_dataset
from aiida_qagenai.calculations.functions.ledger import open_ledger
from aiida_qagenai.calculations.functions.seed import build_seed_set
from aiida_qagenai.calculations.models.train import ROLES
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.engine.endings import ending
from aiida_qagenai.engine.resumable import ResumableWorkChain, nested_outputs
from aiida_qagenai.queries.costs import core_hours
from aiida_qagenai.workchains.campaign.budget import measured_costs
from aiida_qagenai.workchains.campaign.initial import INITIAL
from aiida_qagenai.workchains.campaign.oracle import energy_submission
from aiida_qagenai.workchains.campaign.state import define_state_outputs, reference_outputs
from aiida_qagenai.workchains.campaign.training import dataset_parameters, training_inputs
from aiida_qagenai.workchains.campaign.validation import define_common_inputs, fill_builder
from aiida_qagenai.workchains.protocols.campaign import CampaignSettings, parse_settings

__all__ = ('SeedWorkChain',)

MINIMUM_LABELS = 4


class SeedWorkChain(ResumableWorkChain):
    """Elements → structures, energies on every level, a training set and the three models.

    A generator that starts from a checkpoint is handed on as it is; a validator that does is fine-tuned on the set, and
    every other model is trained on it.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Define ports, outline and exit codes."""
        super().define(spec)
        define_common_inputs(spec)
        define_state_outputs(spec)
        spec.outline(
            cls.build_structures,
            while_(cls.should_compute_energies)(cls.compute_energies),
            cls.inspect_energies,
            while_(cls.should_train)(cls.train),
            cls.inspect_training,
        )
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

        :param common: see :func:`~aiida_qagenai.workchains.campaign.validation.fill_builder`.
        """
        return fill_builder(cls.get_builder(), **common)

    @property
    def settings(self) -> CampaignSettings:
        """Return the typed settings."""
        return parse_settings(self.inputs.parameters.get_dict())

    def build_structures(self) -> None:
        """Take known crystals or prototypes, and strain and perturb them."""
        settings = self.settings
        parameters = {**settings.seed_set.model_dump(mode='json'), 'seed': settings.cycle_seed(0, 0)}
        outputs = self.call_once('seedset', build_seed_set, elements=self.inputs.elements, parameters=Dict(parameters))
        self.ctx.candidates = outputs['candidates']
        self.ctx.plan = outputs['plan']
        system, top = '-'.join(self.inputs.elements.get_list()), settings.energy.top_rung
        self.report(f'{len(outputs["candidates"])} structures of {system}, whose top rung is {top}')

    @property
    def needs_atoms(self) -> bool:
        """Return whether formation energies refer to isolated atoms; corrected ones belong to each crystal."""
        return self.settings.energy.counterpoise is None

    def reference_inputs(self) -> dict[str, t.Any]:
        """Return what the ladder computes for formation energies to refer to."""
        if self.settings.oracle is not None or not (self.needs_atoms or self.settings.self_consistent):
            return {}
        return {
            'reference_elements': self.inputs.elements,
            'isolated_atoms': Bool(self.needs_atoms),
            'self_consistent': Bool(self.settings.self_consistent),
        }

    def should_compute_energies(self) -> bool:
        """Return whether the ladder has to be climbed, once or again after its process was lost."""
        return self.should_submit('energies')

    def compute_energies(self) -> ToContext:
        """Climb the ladder."""
        # Never relaxed: strained and perturbed structures are there to teach the models what lies off the minima.
        process, inputs = energy_submission(
            self.inputs, self.settings, self.ctx.candidates, self.ctx.plan, **self.reference_inputs()
        )
        child = self.submit_once('energies', process, **inputs)
        return ToContext(energies=child)

    def inspect_energies(self) -> ExitCode | None:
        """Build the training set, if enough calculations succeeded."""
        child = self.ctx.energies
        if not child.is_finished_ok:
            return self.exit_codes.ERROR_ENERGIES.format(reason=ending(child))
        computed = nested_outputs(child)
        energies = computed['energies']
        wanted = [Fidelity.PBE, *(level for level, count in self.settings.seed_set.labels.items() if count)]
        for level in wanted:
            count = sum(energy.fidelity is level for energy in energies.values())
            minimum = MINIMUM_LABELS if level is Fidelity.PBE else 1
            if count < minimum:
                return self.exit_codes.ERROR_TOO_FEW_ENERGIES.format(count=count, fidelity=level.value, minimum=minimum)
        outputs = self.call_once(
            'dataset',
            build_dataset,
            parameters=Dict(dataset_parameters(self.settings)),
            structures=self.ctx.candidates,
            energies=energies,
            descriptors=computed.get('descriptors', {}),
        )
        self.ctx.dataset = outputs['result']
        return None

    @property
    def trained_roles(self) -> list[str]:
        """Return the models that are trained on the initial set."""
        given = INITIAL['generator'] in self.inputs
        return [role for role in ROLES if not (given and role == 'generator')]

    def should_train(self) -> bool:
        """Return whether the models have to be trained, once or again after a job was lost."""
        return self.should_submit(*(f'train{role}' for role in self.trained_roles))

    def training(self, role: str) -> t.Any:
        """Return the builder of the first training of the model of ``role``."""
        return training_inputs(
            role,
            self.settings,
            self.ctx.dataset,
            code=self.inputs.ml_code,
            seed=self.settings.cycle_seed(0, 1 + ROLES.index(role)),
            steps=getattr(self.settings.learn, role).initial_steps,
            initial_checkpoint=self.inputs.get(INITIAL[role]) if role in INITIAL else None,
            options=self.inputs.ml_options.get_dict() if 'ml_options' in self.inputs else None,
        )

    def train(self) -> ToContext:
        """Train the models side by side."""
        children = {role: self.submit_once(f'train{role}', self.training(role)) for role in self.trained_roles}
        return ToContext(**children)

    def inspect_training(self) -> ExitCode | None:
        """Return the state that the first cycle starts from."""
        for role in self.trained_roles:
            child = self.ctx[role]
            if not child.is_finished_ok:
                return self.exit_codes.ERROR_TRAINING.format(role=role, reason=ending(child))
            self.out(f'state.checkpoints.{role}', child.outputs.checkpoint)
        if 'generator' not in self.trained_roles:
            self.out('state.checkpoints.generator', self.inputs[INITIAL['generator']])
        costs = {
            'core_hours': core_hours(self.node.pk),
            'top': self.settings.energy.top_rung.value,
            'energies': self.ctx.dataset.counts,
            'structures': len(self.ctx.dataset),
            'costs': measured_costs(
                self.settings, self.ctx.candidates, nested_outputs(self.ctx.energies).get('energies', {})
            ),
        }
        ledger = self.call_once('ledger', open_ledger, seed=Dict(costs))
        self.out('state.dataset', self.ctx.dataset)
        self.out('state.ledger', ledger['result'])
        for name, energy in reference_outputs(nested_outputs(self.ctx.energies)):
            self.out(name, energy)
        return None
