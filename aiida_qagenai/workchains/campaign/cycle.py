"""One cycle: generate → predict → relax → predict again → assess → compute → learn."""

from __future__ import annotations

import typing as t

from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, ToContext, if_, while_
from aiida.orm import Dict, Int, ProcessNode

from aiida_qagenai.calculations.functions.assess import assess_candidates
from aiida_qagenai.calculations.functions.dataset import build_dataset
from aiida_qagenai.calculations.functions.hits import find_hits
from aiida_qagenai.calculations.functions.known_phases import find_known_phases, installed_tables
from aiida_qagenai.calculations.functions.ledger import remaining_budget, update_ledger
from aiida_qagenai.calculations.functions.screen import screen_candidates
from aiida_qagenai.calculations.models.train import ROLES
from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.data.candidate import CandidateData
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.engine.endings import ending
from aiida_qagenai.engine.resumable import ResumableWorkChain, nested_outputs
from aiida_qagenai.workchains.campaign.accounting import (
    assessment_parameters,
    cycle_entry,
    describe_hits,
    hit_parameters,
)
from aiida_qagenai.workchains.campaign.budget import fitting_candidates
from aiida_qagenai.workchains.campaign.generator import external_generation, sampled_generation
from aiida_qagenai.workchains.campaign.oracle import energy_submission
from aiida_qagenai.workchains.campaign.screening import NOTHING_RELAXED, prediction, relaxation, relaxation_counts
from aiida_qagenai.workchains.campaign.state import (
    REFERENCES,
    define_state_inputs,
    define_state_outputs,
    reference_outputs,
)
from aiida_qagenai.workchains.campaign.training import dataset_parameters, training_inputs
from aiida_qagenai.workchains.campaign.validation import define_common_inputs, fill_builder
from aiida_qagenai.workchains.options import set_options
from aiida_qagenai.workchains.protocols.campaign import CampaignSettings, parse_settings
from aiida_qagenai.workchains.relaxation.relax_first import relax_inputs

__all__ = ('CycleWorkChain',)


class CycleWorkChain(ResumableWorkChain):
    """State → state: the body of the loop of Algorithm 1."""

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Define ports, outline and exit codes."""
        super().define(spec)
        define_common_inputs(spec)
        spec.input('cycle', valid_type=Int, help='Number of the cycle, 1 for the first.')
        define_state_inputs(spec)
        define_state_outputs(spec)
        spec.output('selection', valid_type=Dict, required=False, help='Funnel, scaling and the chosen candidates.')
        spec.output('hits', valid_type=Dict, required=False, help='Computed candidates on the hull of each level.')
        spec.outline(
            while_(cls.should_generate)(cls.generate),
            cls.prepare,
            while_(cls.should_predict)(cls.predict),
            if_(cls.has_relaxation)(
                while_(cls.should_relax)(cls.relax),
                while_(cls.should_predict_again)(cls.predict_again),
            ),
            cls.assess,
            if_(cls.has_selection)(
                while_(cls.should_compute)(cls.compute),
                cls.place,
                cls.augment,
                cls.plan_learning,
                while_(cls.should_learn)(cls.learn),
                cls.inspect_learning,
            ),
            cls.finalize,
        )
        spec.exit_code(410, 'ERROR_GENERATE', message='No candidates were generated: {reason}')
        spec.exit_code(411, 'ERROR_PREDICT', message='The predictions failed: {reason}')
        spec.exit_code(412, 'ERROR_TRAINING', message='The training of the {role} failed: {reason}')
        spec.exit_code(414, 'ERROR_RELAX', message='The candidates could not be relaxed: {reason}')
        spec.exit_code(413, 'ERROR_BUDGET_SPENT', message='The budget is spent: raise it or start another campaign.')

    @classmethod
    def get_builder_from_protocol(cls, *, state: dict[str, t.Any], **common: t.Any) -> ProcessBuilder:
        """Return a builder, filled from a protocol of campaigns, of the cycle that follows ``state``.

        :param state: outputs of a SeedWorkChain or of an earlier cycle.
        :param common: see :func:`~aiida_qagenai.workchains.campaign.validation.fill_builder`.
        """
        builder = fill_builder(cls.get_builder(), **common)
        builder.state = state
        builder.cycle = Int(len(state['ledger']['cycles']) + 1)
        return builder

    @property
    def settings(self) -> CampaignSettings:
        """Return the typed settings."""
        return parse_settings(self.inputs.parameters.get_dict())

    @property
    def number(self) -> int:
        """Return the number of this cycle."""
        return int(self.inputs.cycle.value)

    @property
    def remaining(self) -> int:
        """Return how many oracle calls are left."""
        return remaining_budget(self.inputs.state.ledger.get_dict(), self.settings.budget)

    def options(self, kind: str) -> dict[str, t.Any]:
        """Return the scheduler options for ``pyscf`` or ``ml`` jobs."""
        name = f'{kind}_options'
        return dict(self.inputs[name].get_dict()) if name in self.inputs else {}

    def runtime(self, stage: int) -> dict[str, t.Any]:
        """Return what every job of the models takes."""
        run = self.settings.run
        return {
            'seed': self.settings.cycle_seed(self.number, stage),
            'device': run.device,
            'dtype': run.dtype,
            'num_threads': run.num_threads,
        }

    def should_generate(self) -> bool:
        """Return whether the candidates have to be sampled, once or again after the job was lost."""
        return self.should_submit('generate')

    def generate(self) -> ToContext | ExitCode:
        """Sample candidates, or let a program of others propose them."""
        if self.remaining < 1:
            return self.exit_codes.ERROR_BUDGET_SPENT
        if self.settings.generate.external is None:
            builder = sampled_generation(self.inputs, self.settings, self.runtime(10))
        else:
            builder = external_generation(self.inputs, self.settings)
        set_options(builder, self.options('ml'))
        return ToContext(generation=self.submit_once('generate', builder))

    def prepare(self) -> ExitCode | None:
        """Find the known phases, and the candidates that pass the constraints before a relaxation."""
        generation = self.ctx.generation
        if not generation.is_finished_ok:
            return self.exit_codes.ERROR_GENERATE.format(reason=ending(generation))
        candidate_set = generation.outputs.candidate_set
        tables = Dict(installed_tables())
        known = self.call_once('known', find_known_phases, elements=self.inputs.elements, parameters=tables)
        self.ctx.gaps, self.ctx.known_phases = known['gaps'], known.get('phases')
        report = f'{len(candidate_set)} candidates generated'
        self.ctx.screening = None
        if self.settings.screen.relax is not None:
            stage = Dict({'stage': 'generation'})
            screening = self.call_once('filter', screen_candidates, candidate_set=candidate_set, parameters=stage)
            left = len(candidate_set) - len(screening['result'].get_dict())
            report += f', {left} to be relaxed'
            if left:
                self.ctx.screening = screening['result']
        self.report(f'cycle {self.number}: {report}')
        return None

    def should_predict(self) -> bool:
        """Return whether the predictions have to be made, once or again after the job was lost."""
        return self.should_submit('predict')

    def predict(self) -> ToContext:
        """Predict every level for the candidates, and if they stay as they are for what competes with them."""
        rivals = {} if self.has_relaxation() else self.rivals()
        builder = self.prediction(self.ctx.generation.outputs.candidate_set, rivals)
        return ToContext(prediction=self.submit_once('predict', builder))

    def prediction(self, candidate_set: DatasetData, rivals: dict[str, t.Any]) -> t.Any:
        """Return the builder of predictions of ``candidate_set`` and of what competes with it."""
        heads = {} if self.settings.generate.wish is None else {'gaps': True, 'descriptors': True}
        builder = prediction(self.inputs, candidate_set, rivals, {**self.runtime(11), **heads})
        set_options(builder, self.options('ml'))
        return builder

    def rivals(self) -> dict[str, t.Any]:
        """Return what competes with the candidates: the training set and the known phases, relaxed if they are."""
        relaxed = 'relaxation' in self.ctx and self.ctx.known_phases is not None
        known = self.ctx.relaxation.outputs.competing if relaxed else self.ctx.known_phases
        return {'competing': self.inputs.state.dataset, **({} if known is None else {'known_phases': known})}

    def has_relaxation(self) -> bool:
        """Return whether candidates are relaxed."""
        return self.ctx.screening is not None

    def should_relax(self) -> bool:
        """Return whether the candidates have to be relaxed, once or again after the job was lost."""
        return self.should_submit('relax')

    def relax(self) -> ToContext | ExitCode:
        """Relax the candidates that are worth it and the known phases, all in one job."""
        if not self.ctx.prediction.is_finished_ok:
            return self.exit_codes.ERROR_PREDICT.format(reason=ending(self.ctx.prediction))
        builder = relaxation(self.settings, self.inputs, self.ctx, {**self.runtime(13), 'seed': 0})
        folder = self.lost_folder('relax')
        if folder is not None:
            builder.parent_folder = folder
        set_options(builder, self.options('ml'))
        return ToContext(relaxation=self.submit_once('relax', builder))

    def should_predict_again(self) -> bool:
        """Return whether the relaxed candidates have to be predicted, once or again after the job was lost."""
        return self.should_submit('predictrelaxed')

    def predict_again(self) -> ToContext | ExitCode:
        """Predict every level for the relaxed candidates and for what competes with them."""
        child = self.ctx.relaxation
        if not (child.is_finished_ok or child.exit_status == NOTHING_RELAXED):
            return self.exit_codes.ERROR_RELAX.format(reason=ending(child))
        counts = ', '.join(f'{count} {name}' for name, count in relaxation_counts(child).items())
        self.report('; '.join([f'cycle {self.number}: {counts}', *([child.exit_message] if child.exit_status else [])]))
        builder = self.prediction(child.outputs.candidate_set, self.rivals())
        return ToContext(last_prediction=self.submit_once('predictrelaxed', builder))

    @property
    def proposal(self) -> ProcessNode:
        """Return the process with the candidates as they are assessed and computed: relaxed, or as generated."""
        return self.ctx.relaxation if 'relaxation' in self.ctx else self.ctx.generation

    @property
    def candidates(self) -> dict[str, CandidateData]:
        """Return the candidates as they are assessed and computed, by label."""
        found: dict[str, CandidateData] = nested_outputs(self.proposal)['candidates']
        return found

    def assess(self) -> ExitCode | None:
        """Screen, place on the hull, score and choose."""
        predicted = self.ctx.last_prediction if self.has_relaxation() else self.ctx.prediction
        if not predicted.is_finished_ok:
            return self.exit_codes.ERROR_PREDICT.format(reason=ending(predicted))
        outputs = self.call_once(
            'assess',
            assess_candidates,
            candidate_set=self.proposal.outputs.candidate_set,
            candidates=self.candidates,
            predictions=nested_outputs(predicted)['predictions'],
            arrays=predicted.outputs.arrays,
            **self.rivals(),
            gaps=self.ctx.gaps,
            parameters=Dict(assessment_parameters(self.settings, self.number, self.remaining)),
        )
        self.ctx.selection = outputs['selection']
        self.out('selection', outputs['selection'])
        funnel = ', '.join(f'{count} {name}' for name, count in outputs['selection']['funnel'].items())
        self.report('; '.join([f'cycle {self.number}: {funnel}', *outputs['selection'].get_dict().get('notes', [])]))
        self.ration()
        return None

    def ration(self) -> None:
        """Note which of the chosen candidates are started, and which do not fit into the core hours that are left."""
        chosen = {label: self.candidates[label] for label in self.ctx.selection['selected']}
        ledger = self.inputs.state.ledger.get_dict()
        self.ctx.started, self.ctx.left_out = fitting_candidates(self.settings, ledger, chosen, self.levels)
        if self.ctx.left_out:
            left = ', '.join(f'{label} ({hours:.2g} core hours)' for label, hours in self.ctx.left_out.items())
            self.report(f'cycle {self.number}: not started, beyond the budget of core hours: {left}')

    def has_selection(self) -> bool:
        """Return whether any candidate is computed."""
        return bool(self.ctx.started)

    @property
    def levels(self) -> list[Fidelity]:
        """Return the levels that candidates are computed on: those of the training set, up to the top rung."""
        counts = self.inputs.state.dataset.counts
        rungs = LADDER[: self.settings.energy.top_rung.rank + 1]
        return [level for level in rungs if level is Fidelity.PBE or counts[level.value]]

    def should_compute(self) -> bool:
        """Return whether energies have to be computed, once or again after its process was lost."""
        return self.should_submit('energies')

    def compute(self) -> ToContext:
        """Compute the candidates that are started on every level."""
        candidates, levels = self.candidates, [level.value for level in self.levels]
        process, inputs = energy_submission(
            self.inputs,
            self.settings,
            {label: candidates[label] for label in self.ctx.started},
            Dict(dict.fromkeys(self.ctx.started, levels)),
            **{name: self.inputs.state.get(name, {}) for name in REFERENCES},
            **relax_inputs(self.settings.relax, self.inputs),
        )
        return ToContext(energies=self.submit_once('energies', process, **inputs))

    def place(self) -> None:
        """Place what was computed on the hull of its level, beside what the campaign had computed before."""
        energies = nested_outputs(self.ctx.energies).get('energies', {})
        if not energies:
            return
        parameters, known = Dict(hit_parameters(self.settings)), self.inputs.state.dataset
        inputs = {'competing': known, 'energies': energies, 'parameters': parameters}
        self.ctx.hits = self.call_once('hits', find_hits, **inputs)['result']
        self.out('hits', self.ctx.hits)
        self.report(f'cycle {self.number}: {describe_hits(self.ctx.hits.get_dict())}')

    def augment(self) -> None:
        """Extend the training set by what was computed."""
        outputs = nested_outputs(self.ctx.energies)
        energies = outputs.get('energies', {})
        self.ctx.dataset = self.inputs.state.dataset
        if energies:
            candidates = self.candidates
            labels = sorted(self.ctx.started)
            self.ctx.dataset = self.call_once(
                'dataset',
                build_dataset,
                parameters=Dict(dataset_parameters(self.settings)),
                previous=self.inputs.state.dataset,
                structures={label: candidates[label] for label in labels},
                energies=energies,
                descriptors=outputs.get('descriptors', {}),
                relaxed=outputs.get('relaxed', {}),
                forces=outputs.get('forces', {}),
            )['result']

    def plan_learning(self) -> None:
        """Choose the models to fine-tune: the validator, and every few cycles the two that sample candidates."""
        self.ctx.tuned = []
        if self.ctx.dataset.uuid != self.inputs.state.dataset.uuid:
            self.ctx.tuned = ['validator']
            samples = self.settings.generate.external is None
            if samples and self.number % self.settings.learn.generator_every == 0:
                self.ctx.tuned += ['descriptor', 'generator']

    def should_learn(self) -> bool:
        """Return whether models have to be fine-tuned, once or again after a job was lost."""
        return self.should_submit(*(f'train{role}' for role in self.ctx.tuned))

    def learn(self) -> ToContext:
        """Fine-tune the models."""
        settings = self.settings
        children = {}
        for role in self.ctx.tuned:
            builder = training_inputs(
                role,
                settings,
                self.ctx.dataset,
                code=self.inputs.ml_code,
                seed=settings.cycle_seed(self.number, 20 + ROLES.index(role)),
                steps=getattr(settings.learn, role).tune_steps,
                initial_checkpoint=self.inputs.state.checkpoints[role],
                options=self.options('ml'),
            )
            children[role] = self.submit_once(f'train{role}', builder)
        return ToContext(**children)

    def inspect_learning(self) -> ExitCode | None:
        """Stop if a model was lost: the energies stay in the graph, and the cycle can be run again."""
        for role in self.ctx.tuned:
            child = self.ctx[role]
            if not child.is_finished_ok:
                return self.exit_codes.ERROR_TRAINING.format(role=role, reason=ending(child))
        return None

    def finalize(self) -> None:
        """Write the ledger and hand on the state."""
        state = self.inputs.state
        entry = Dict(cycle_entry(self.node, self.ctx, self.settings, self.candidates))
        outputs = self.call_once('ledger', update_ledger, previous=state.ledger, entry=entry)
        self.out('state.ledger', outputs['result'])
        self.out('state.dataset', self.ctx.get('dataset', state.dataset))
        tuned = self.ctx.get('tuned', [])
        for role in ROLES:
            checkpoint = self.ctx[role].outputs.checkpoint if role in tuned else state.checkpoints[role]
            self.out(f'state.checkpoints.{role}', checkpoint)
        for name, energy in reference_outputs(state):
            self.out(name, energy)
