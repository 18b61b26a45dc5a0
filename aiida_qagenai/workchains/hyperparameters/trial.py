"""One trial of a search for hyperparameters: train, sample for held-out formulas, score."""

from __future__ import annotations

import typing as t

from aiida.engine import ExitCode, ProcessSpec, ToContext, if_, while_
from aiida.orm import AbstractCode, Dict, Int

from aiida_qagenai.calculations.functions.hyperparameters import score_samples
from aiida_qagenai.calculations.models.generate import GenerateCalculation, checkpoint_validator
from aiida_qagenai.calculations.models.train import TrainCalculation
from aiida_qagenai.calculations.validators import validator
from aiida_qagenai.data.checkpoint import CheckpointData
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.engine.endings import ending
from aiida_qagenai.engine.resumable import ResumableWorkChain
from aiida_qagenai.exchange.hyperparameters import HyperparameterSettings, parse_settings
from aiida_qagenai.selection.hyperparameters import flat
from aiida_qagenai.workchains.options import set_options

__all__ = ('TrialWorkChain', 'define_model_inputs')

MODEL_PORTS = ('code', 'generator', 'descriptor', 'options')
"""Names of the inputs that a search hands to its trials as they are."""


def define_model_inputs(spec: ProcessSpec) -> None:
    """Add the code, the checkpoints and the scheduler options."""
    spec.input('code', valid_type=AbstractCode, help='Python with torch and this package: trains and samples.')
    spec.input(
        'parameters',
        valid_type=Dict,
        validator=validator(parse_settings),
        help='Complete settings of the search, see `HyperparameterSettings`.',
    )
    spec.input(
        'generator',
        valid_type=CheckpointData,
        validator=checkpoint_validator('generator'),
        required=False,
        help='Checkpoint that the trainings start from; where nothing is trained, the checkpoint that is sampled.',
    )
    spec.input(
        'descriptor',
        valid_type=CheckpointData,
        validator=checkpoint_validator('descriptor'),
        required=False,
        help='Descriptor model that predicts what samples are conditioned on; by default they are not conditioned.',
    )
    spec.input('options', valid_type=Dict, required=False, help='Scheduler options of the jobs.')


class TrialWorkChain(ResumableWorkChain):
    """Hyperparameters → a trained generator and the figure of its samples on the validation split."""

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Define ports, outline and exit codes."""
        super().define(spec)
        define_model_inputs(spec)
        spec.input('hyperparameters', valid_type=Dict, help='Values in the sections `training` and `sampling`.')
        spec.input('development', valid_type=DatasetData, help='Training set without its test split.')
        spec.input('known', valid_type=DatasetData, help='Crystals of the training split: motifs of the samples.')
        spec.input('formulas', valid_type=Dict, help='Reduced formula → cell content, of the validation split.')
        spec.output(
            'checkpoint', valid_type=CheckpointData, required=False, help='Checkpoint of the trained generator.'
        )
        spec.output('results', valid_type=Dict, required=False, help='Results of the training.')
        spec.output('score', valid_type=Dict, required=False, help='Figure of the samples, and what it is made of.')
        spec.outline(
            if_(cls.trains)(while_(cls.should_train)(cls.train), cls.inspect_training),
            if_(cls.samples)(while_(cls.should_sample)(cls.sample), cls.score),
        )
        spec.exit_code(410, 'ERROR_TRAINING', message='The generator was not trained: {reason}')
        spec.exit_code(411, 'ERROR_SAMPLING', message='Nothing was sampled: {reason}')

    @property
    def settings(self) -> HyperparameterSettings:
        """Return the typed settings."""
        return parse_settings(self.inputs.parameters.get_dict())

    @property
    def point(self) -> dict[str, t.Any]:
        """Return the hyperparameters by dotted name."""
        return flat(self.inputs.hyperparameters.get_dict())

    @property
    def training(self) -> dict[str, t.Any] | None:
        """Return the parameters of the training, if there is one."""
        return self.settings.training_parameters(self.point)

    def job(self, process: t.Any, **inputs: t.Any) -> t.Any:
        """Return the builder of one job."""
        builder = process.get_builder()
        builder.code = self.inputs.code
        for name, value in inputs.items():
            if value is not None:
                setattr(builder, name, value)
        set_options(builder, self.inputs.options.get_dict() if 'options' in self.inputs else None)
        return builder

    def trains(self) -> bool:
        """Return whether a generator is trained."""
        return self.training is not None

    def should_train(self) -> bool:
        """Return whether the training has to be submitted, once or again after the machine lost it."""
        return self.should_submit('train')

    def train(self) -> ToContext:
        """Train the generator with the hyperparameters of the trial."""
        builder = self.job(
            TrainCalculation,
            dataset=self.inputs.development,
            parameters=Dict(self.training),
            initial_checkpoint=self.inputs.get('generator'),
        )
        return ToContext(training=self.submit_once('train', builder))

    def inspect_training(self) -> ExitCode | None:
        """Return the checkpoint."""
        child = self.ctx.training
        if not child.is_finished_ok:
            return self.exit_codes.ERROR_TRAINING.format(reason=ending(child))
        self.out('checkpoint', child.outputs.checkpoint)
        self.out('results', child.outputs.results)
        return None

    def samples(self) -> bool:
        """Return whether the figure is one of samples."""
        return self.settings.samples

    def should_sample(self) -> bool:
        """Return whether the sampling has to be submitted, once or again after the machine lost it."""
        return self.should_submit('generate')

    def sample(self) -> ToContext:
        """Sample structures of the held-out formulas."""
        trained = self.trains()
        parameters = self.settings.sampling_parameters(self.point, self.inputs.formulas.get_dict())
        from_motifs = any(request['mode'] == 'motifs' for request in parameters['requests'])
        builder = self.job(
            GenerateCalculation,
            generator=self.ctx.training.outputs.checkpoint if trained else self.inputs.generator,
            descriptor=self.inputs.get('descriptor'),
            motifs=self.inputs.known if from_motifs else None,
            parameters=Dict(parameters),
            cycle=Int(1),
        )
        return ToContext(sampling=self.submit_once('generate', builder))

    def score(self) -> ExitCode | None:
        """Return the figure of the samples."""
        child = self.ctx.sampling
        if not child.is_finished_ok:
            return self.exit_codes.ERROR_SAMPLING.format(reason=ending(child))
        settings = self.settings
        outputs = self.call_once(
            'score',
            score_samples,
            development=self.inputs.development,
            formulas=self.inputs.formulas,
            candidate_set=child.outputs.candidate_set,
            parameters=Dict({'objective': settings.objective, 'num_samples': settings.num_samples}),
        )
        self.out('score', outputs['result'])
        return None
