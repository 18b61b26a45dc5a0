"""Inverse design of a property in rounds: generate, predict, choose, compute elastic tensors, retrain the heads."""

from __future__ import annotations

import itertools
import typing as t

from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, ToContext, append_, while_
from aiida.orm import AbstractCode, Dict, Int, StructureData

from aiida_qagenai.calculations.functions.design import choose_nearest, judge_round, sum_up_round
from aiida_qagenai.calculations.models.generate import GenerateCalculation, checkpoint_validator
from aiida_qagenai.calculations.models.properties import PropertiesCalculation
from aiida_qagenai.calculations.models.tune_properties import TunePropertiesCalculation
from aiida_qagenai.calculations.validators import validator
from aiida_qagenai.data.checkpoint import CheckpointData
from aiida_qagenai.data.elastic import ElasticData
from aiida_qagenai.engine.endings import ending
from aiida_qagenai.engine.resumable import ResumableWorkChain, nested_outputs
from aiida_qagenai.evaluation.quantities import needs_energies
from aiida_qagenai.selection.design import design_target
from aiida_qagenai.workchains.elastic import ElasticWorkChain
from aiida_qagenai.workchains.options import set_options
from aiida_qagenai.workchains.protocols.design import DesignSettings, design_settings
from aiida_qagenai.workchains.protocols.loader import DEFAULT_PROTOCOL
from aiida_qagenai.workchains.recomputation import (
    DFT,
    Recomputation,
    affordable,
    define_recomputation,
    recomputation,
    return_energies,
)

__all__ = ('InverseDesignWorkChain',)


class InverseDesignWorkChain(ResumableWorkChain):
    """Chemical systems and a target → elastic tensors of crystals near it, round by round, and retrained heads."""

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Define ports, outline and exit codes."""
        super().define(spec)
        spec.input('code', valid_type=AbstractCode, help='Python with torch and this package.')
        spec.input(
            'parameters', valid_type=Dict, validator=validator(DesignSettings.parse), help='Settings of a protocol.'
        )
        spec.input(
            'generator', valid_type=CheckpointData, validator=checkpoint_validator('generator'), help='Diffusion model.'
        )
        spec.input(
            'checkpoint',
            valid_type=CheckpointData,
            required=False,
            validator=checkpoint_validator('property'),
            help='Property heads of the first round; those that come with the package by default.',
        )
        spec.input('options', valid_type=Dict, required=False, help='Scheduler options of the jobs.')
        spec.output_namespace('elastic', valid_type=ElasticData, dynamic=True, help='Tensors by round and label.')
        spec.output_namespace('relaxed', valid_type=StructureData, dynamic=True, help='Relaxed crystals likewise.')
        spec.output_namespace('rounds', valid_type=Dict, dynamic=True, help='Errors and crystals by round.')
        spec.output_namespace(
            'judged', valid_type=ElasticData, dynamic=True, required=False, help='Tensors by the judge likewise.'
        )
        spec.output_namespace(
            'judgements', valid_type=Dict, dynamic=True, required=False, help='What the judge says, by round.'
        )
        spec.output('checkpoint', valid_type=CheckpointData, required=False, help='Heads after the last round.')
        define_recomputation(spec)
        spec.outline(
            cls.setup,
            while_(cls.has_rounds)(cls.generate, cls.predict, cls.compute, cls.assess, cls.end_round),
            while_(cls.should_recompute)(cls.recompute),
            cls.finalize,
        )
        spec.exit_code(500, 'ERROR_ROUND_FAILED', message='Round {number} ended at `{stage}`: {reason}')
        spec.exit_code(
            720, 'WARNING_NOTHING_NEW', message='Round {number} had no new crystal: add chemical systems or novelty.'
        )

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: AbstractCode,
        target: str,
        systems: t.Sequence[t.Sequence[str]],
        generator: CheckpointData,
        *,
        potential: str | dict[str, t.Any] = 'chgnet',
        protocol: str = DEFAULT_PROTOCOL,
        overrides: dict[str, t.Any] | None = None,
        checkpoint: CheckpointData | None = None,
        judge: str | None = None,
        options: dict[str, t.Any] | None = None,
        dft: Recomputation | None = None,
    ) -> ProcessBuilder:
        """Return a builder with every input set.

        :param target: such as ``bulk_modulus=350``, GPa: any of ``QUANTITIES``.
        :param systems: elements of each chemical system.
        :param generator: the diffusion model; ``aiida-qagenai model import foundation`` stores that of the package.
        :param potential: that relaxes and strains.
        :param overrides: nested changes to the settings of the protocol.
        :param checkpoint: property heads to start from.
        :param judge: potential that no round uses, which strains all crystals once more.
        :param dft: what computes energies of the nearest crystals at the end; nothing does by default.
        :raises InvalidInputError: for an unknown protocol, potential, target or key.
        """
        settings = design_settings(target, systems, protocol, potential, overrides, judge=judge)
        builder = cls.get_builder()
        builder.code, builder.generator = code, generator
        builder.parameters = Dict(settings.model_dump(mode='json'))
        if dft is not None:
            builder.dft = dft.inputs(itertools.chain(*settings.systems))
        if checkpoint is not None:
            builder.checkpoint = checkpoint
        if options:
            builder.options = Dict(options)
        return builder

    @property
    def settings(self) -> DesignSettings:
        """Return the typed settings."""
        return DesignSettings.parse(self.inputs.parameters.get_dict())

    def setup(self) -> None:
        """Begin with the first round."""
        self.ctx.round = 0
        self.ctx.exhausted = False
        self.ctx.heads = self.inputs.get('checkpoint')
        self.ctx.computed = {}
        self.ctx.summaries = {}
        self.ctx.judgements = {}

    def has_rounds(self) -> bool:
        """Return whether a round is left, and the last one had new crystals."""
        return bool(self.ctx.round < self.settings.rounds and not self.ctx.exhausted)

    def generate(self) -> None:
        """Let the diffusion model propose crystals of all systems."""
        builder = GenerateCalculation.get_builder()
        builder.generator = self.inputs.generator
        builder.cycle = Int(self.ctx.round + 1)
        builder.parameters = Dict(self.settings.generation(self.ctx.round))
        self._submit('generation', builder)

    def predict(self) -> ExitCode | None:
        """Predict the moduli of the proposals."""
        job = self._ended('generation')
        if isinstance(job, ExitCode):
            return job
        builder = PropertiesCalculation.get_builder()
        builder.candidate_set = job.outputs.candidate_set
        energies = needs_energies(design_target(self.settings.target).name)
        builder.parameters = Dict({'energies': energies, **self.settings.runtime})
        if self.ctx.heads is not None:
            builder.checkpoint = self.ctx.heads
        self._submit('prediction', builder)
        return None

    def compute(self) -> ExitCode | None:
        """Choose those nearest to the target and compute their elastic tensors."""
        job = self._ended('prediction')
        if isinstance(job, ExitCode):
            return job
        generation = nested_outputs(self._child('generation'))
        candidates = list(generation['candidates'].values())
        known = [row for row, node in enumerate(candidates) if node.base.attributes.get('relation', None) == 'replay']
        asked = {'target': self.settings.target, 'per_round': self.settings.per_round, 'known': known}
        chosen = self.call_once(
            f'choice{self.ctx.round}',
            choose_nearest,
            candidate_set=generation['candidate_set'],
            properties=job.outputs.properties,
            settings=Dict(asked),
            **self.ctx.computed,
        )['result']
        if not chosen['rows']:
            self.ctx.exhausted = True
            return None
        names = [f'r{self.ctx.round}n{place:03d}' for place in range(len(chosen['rows']))]
        structures = dict(zip(names, (candidates[row] for row in chosen['rows']), strict=True))
        self.ctx.chosen = chosen
        self.ctx.computed = {**self.ctx.computed, **structures}
        builder = ElasticWorkChain.get_builder()
        builder.structures = structures
        builder.parameters = Dict(self.settings.tensors.model_dump(mode='json'))
        self._submit('elastic', builder)
        return None

    def assess(self) -> ExitCode | None:
        """Sum up the round, ask the judge, and let the heads learn from the tensors of stable crystals."""
        if self.ctx.exhausted:
            return None
        job = self._child('elastic')
        outputs = nested_outputs(job)
        if 'elastic' not in outputs:
            return self._failed('elastic', job)
        tensors = outputs['elastic']
        label = f'summary{self.ctx.round}'
        summary = self.call_once(label, sum_up_round, settings=Dict(self.asked), chosen=self.ctx.chosen, **tensors)
        self.ctx.summaries = {**self.ctx.summaries, f'r{self.ctx.round}': summary['result']}
        self._judge(outputs.get('relaxed', {}))
        if summary['result']['stable']:
            self._retrain(tensors, outputs['relaxed'])
        else:
            self.report(f'round {self.ctx.round}: no crystal is stable, the heads stay as they are')
        return None

    def _retrain(self, tensors: dict[str, ElasticData], relaxed: dict[str, StructureData]) -> None:
        """Let the heads learn from both moduli, whatever is asked for."""
        builder = TunePropertiesCalculation.get_builder()
        generated = {name: self.ctx.computed[name] for name in tensors}
        # A crystal is met as it was generated, and has the modulus of what it relaxes to: both count.
        builder.structures = {**relaxed, **{f'{name}g': node for name, node in generated.items()}}
        builder.elastic = {
            **{name: tensors[name] for name in relaxed},
            **{f'{name}g': tensors[name] for name in generated},
        }
        builder.parameters = Dict({'weight': self.settings.weight, **self.settings.runtime})
        if self.ctx.heads is not None:
            builder.initial_checkpoint = self.ctx.heads
        self._submit('retraining', builder)

    def end_round(self) -> ExitCode | None:
        """Take the retrained heads to the next round, and sum up what the judge says."""
        if self.ctx.exhausted:
            return None
        number = self.ctx.round
        child = self.called(f'retraining{number}').get(f'retraining{number}')
        if child is not None:
            job = self._ended('retraining')
            if isinstance(job, ExitCode):
                return job
            self.ctx.heads = job.outputs.checkpoint
        summary = self.ctx.summaries[f'r{number}']
        self.report(f'round {number}: {len(summary["within"])} within, error {summary["error_target"]}')
        self._sum_up_judge(summary)
        self.ctx.round += 1
        return None

    def _judge(self, relaxed: dict[str, StructureData]) -> None:
        """Let the judge strain the relaxed crystals once more, if there is one."""
        settings = self.settings.judgement
        if settings is None or not relaxed:
            return
        builder = ElasticWorkChain.get_builder()
        builder.structures, builder.parameters = relaxed, Dict(settings.model_dump(mode='json'))
        self._submit('judge', builder)

    def _sum_up_judge(self, summary: Dict) -> None:
        """Sum up what the judge says of a round; a judge that failed costs the run nothing."""
        child = self._child('judge')
        if child is None:
            return
        tensors = nested_outputs(child).get('elastic', {})
        if not tensors:
            self.report(f'round {self.ctx.round}: the judge has no tensors: {ending(child)}')
            return
        label = f'judgement{self.ctx.round}'
        judgement = self.call_once(label, judge_round, settings=Dict(self.asked), summary=summary, **tensors)
        self.ctx.judgements = {**self.ctx.judgements, f'r{self.ctx.round}': judgement['result']}

    @property
    def asked(self) -> dict[str, t.Any]:
        """Return what the verdicts on a round depend on."""
        return {'target': self.settings.target, 'max_e_above_hull': self.settings.max_e_above_hull}

    def found(self) -> dict[str, StructureData]:
        """Return the crystals that are computed by DFT: hits first, of these and the others the nearest to the target.

        The judge has no say.
        """
        target = design_target(self.settings.target)
        ranks = {
            label: (label not in (summary['hits'] or ()), target.error(summary['computed'][label]))
            for summary in self.ctx.summaries.values()
            for label in summary['within']
        }
        relaxed = {label: node for outputs in self.elastic_outputs() for label, node in outputs['relaxed'].items()}
        order = sorted(ranks, key=ranks.__getitem__)
        return affordable({label: relaxed[label] for label in order}, self.settings.dft)

    def should_recompute(self) -> bool:
        """Return whether energies by DFT have to be submitted, once or again after the machine lost them."""
        return DFT in self.inputs and bool(self.found()) and self.should_submit(DFT)

    def recompute(self) -> ToContext:
        """Compute the energies of the crystals nearest to the target by DFT."""
        builder = recomputation(self.inputs[DFT], self.found(), self.settings.dft)
        # not among the children in a list, in which `should_submit` would never find it
        return ToContext(**{DFT: self.submit_once(DFT, builder)})

    def elastic_outputs(self, stage: str = 'elastic') -> t.Iterator[dict[str, t.Any]]:
        """Yield the outputs of the elastic tensors of every round.

        :param stage: ``elastic`` or ``judge``.
        """
        for number in range(self.ctx.round):
            child = self.latest_attempt(f'{stage}{number}')[0]
            if child is not None:
                yield nested_outputs(child)

    def finalize(self) -> ExitCode | None:
        """Return what there is of all rounds."""
        for outputs in self.elastic_outputs():
            for namespace in ('elastic', 'relaxed'):
                for label, node in outputs.get(namespace, {}).items():
                    self.out(f'{namespace}.{label}', node)
        for outputs in self.elastic_outputs('judge'):
            for label, node in outputs.get('elastic', {}).items():
                self.out(f'judged.{label}', node)
        for namespace, nodes in (('rounds', self.ctx.summaries), ('judgements', self.ctx.judgements)):
            for label, node in nodes.items():
                self.out(f'{namespace}.{label}', node)
        if self.ctx.heads is not None:
            self.out('checkpoint', self.ctx.heads)
        found = any(summary['within'] for summary in self.ctx.summaries.values())
        missing = return_energies(self, found=found)
        if self.ctx.exhausted:
            return self.exit_codes.WARNING_NOTHING_NEW.format(number=self.ctx.round)
        return missing

    def _submit(self, stage: str, builder: t.Any) -> None:
        """Submit the child of a stage of this round and wait for it."""
        builder.code = self.inputs.code
        options = self.inputs.options.get_dict() if 'options' in self.inputs else None
        if stage not in ('elastic', 'judge'):
            set_options(builder, options)
        elif options:
            builder.options = Dict(options)
        self.to_context(children=append_(self.submit_once(f'{stage}{self.ctx.round}', builder)))

    def _child(self, stage: str) -> t.Any:
        """Return the child of a stage of this round."""
        return self.latest_attempt(f'{stage}{self.ctx.round}')[0]

    def _ended(self, stage: str) -> t.Any:
        """Return the child of a stage of this round, or the exit code if it failed."""
        child = self._child(stage)
        return child if child is not None and child.is_finished_ok else self._failed(stage, child)

    def _failed(self, stage: str, child: t.Any) -> ExitCode:
        reason = 'it was not run' if child is None else ending(child)
        return self.exit_codes.ERROR_ROUND_FAILED.format(number=self.ctx.round, stage=stage, reason=reason)
