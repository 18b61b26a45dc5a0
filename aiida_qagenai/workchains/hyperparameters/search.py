"""A search for hyperparameters: trials whose figures on the validation split guide the choice of the next ones."""

from __future__ import annotations

import hashlib
import json
import typing as t

from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, while_
from aiida.orm import AbstractCode, Dict, ProcessNode, Str, load_node

from aiida_qagenai.calculations.functions.hyperparameters import hold_out, record_trial, summarise_trials
from aiida_qagenai.calculations.models.train import validate_dataset
from aiida_qagenai.calculations.validators import problem_of
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.checkpoint import CheckpointData
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.data.trial import TrialData
from aiida_qagenai.engine.endings import ending
from aiida_qagenai.engine.window import WindowWorkChain
from aiida_qagenai.exchange.hyperparameters import CONDITIONING, HyperparameterSettings, parse_settings
from aiida_qagenai.queries.hyperparameters import recorded_trials, trained_generator, trial_label
from aiida_qagenai.selection.hyperparameters import TriedPoint, flat, nested, require_optuna, suggest
from aiida_qagenai.workchains.hyperparameters.trial import MODEL_PORTS, TrialWorkChain, define_model_inputs
from aiida_qagenai.workchains.protocols.hyperparameters import hyperparameter_settings
from aiida_qagenai.workchains.protocols.loader import DEFAULT_PROTOCOL, merge_overrides

__all__ = ('HyperparameterWorkChain', 'continuation')


class HyperparameterWorkChain(WindowWorkChain):
    """A training set and a space of hyperparameters → trials, the best hyperparameters and the best generator.

    Given the trials of an earlier search as ``previous``, it goes on from there. The test split is never looked at.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Define ports, outline and exit codes."""
        super().define(spec)
        define_model_inputs(spec)
        spec.input(
            'dataset',
            valid_type=DatasetData,
            validator=validate_splits,
            help='Training set with a validation split, on which trials are compared.',
        )
        spec.input_namespace(
            'previous',
            valid_type=TrialData,
            dynamic=True,
            required=False,
            help='Trials of earlier searches, by label.',
        )
        spec.inputs.validator = validate_inputs
        spec.output('best', valid_type=Dict, required=False, help='Best hyperparameters, see `summarise_trials`.')
        spec.output('summary', valid_type=Dict, required=False, help='Best trial, counts and importances.')
        spec.output('checkpoint', valid_type=CheckpointData, required=False, help='Generator of the best trial.')
        spec.output_namespace('trials', valid_type=TrialData, dynamic=True, help='Trials of this search, by label.')
        spec.outline(cls.setup, while_(cls.has_tasks)(cls.submit_ready, cls.collect_ended), cls.finalize)
        spec.exit_code(210, 'ERROR_NO_FORMULAS', message='Trials cannot be compared: {reason}')
        spec.exit_code(500, 'ERROR_ALL_FAILED', message='None of the {count} trials has a figure; the last: {reason}')
        spec.exit_code(710, 'WARNING_MOST_FAILED', message='{failed} of {count} trials failed; the last: {reason}')

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: AbstractCode,
        dataset: DatasetData,
        *,
        protocol: str = DEFAULT_PROTOCOL,
        overrides: dict[str, t.Any] | None = None,
        generator: CheckpointData | None = None,
        descriptor: CheckpointData | None = None,
        previous: dict[str, TrialData] | None = None,
        options: dict[str, t.Any] | None = None,
    ) -> ProcessBuilder:
        """Return a builder with every input set.

        λ of a protocol (``sampling.guidance_scale``) is searched only with a ``descriptor``, or a target in the
        overrides.

        :param overrides: nested changes to the settings of the protocol.
        :param generator: checkpoint that trainings start from; with ``training: null``, the one that is sampled.
        :param descriptor: model that predicts what samples are conditioned on.
        :param previous: trials of an earlier search to go on from, by label.
        :param options: scheduler options of the jobs.
        :raises InvalidInputError: for an unknown protocol or key, or inputs that do not belong together.
        """
        conditioned = descriptor is not None or bool((overrides or {}).get('sampling', {}).get('target'))
        settings = hyperparameter_settings(protocol, overrides, conditioned=conditioned)
        given = {'generator': generator, 'descriptor': descriptor, 'previous': previous}
        inputs = {'dataset': dataset, **{name: value for name, value in given.items() if value}}
        if problem := find_problem(settings, inputs):
            raise InvalidInputError(problem)
        builder = cls.get_builder()
        builder.code = code
        builder.parameters = Dict(settings.dump())
        for name, value in inputs.items():
            setattr(builder, name, value)
        if options:
            builder.options = Dict(options)
        return builder

    @property
    def settings(self) -> HyperparameterSettings:
        """Return the typed settings."""
        return parse_settings(self.inputs.parameters.get_dict())

    def setup(self) -> ExitCode | None:
        """Put the test split aside and list the trials."""
        settings, previous = self.settings, dict(self.inputs.get('previous', {}))
        known = self.inputs.generator.base.attributes.get('elements') if 'generator' in self.inputs else None
        options = {'num_formulas': settings.num_formulas, 'elements': known}
        try:
            held_out = self.call_once('hold_out', hold_out, dataset=self.inputs.dataset, parameters=Dict(options))
        except InvalidInputError as exception:
            return self.exit_codes.ERROR_NO_FORMULAS.format(reason=str(exception))
        self.ctx.held_out = held_out
        self.ctx.trials = {}
        first = 1 + max((trial.number for trial in previous.values()), default=-1)
        self.start(range(first, first + settings.num_trials - len(previous)))
        return None

    def known_trials(self) -> dict[str, TrialData]:
        """Return all trials that have ended, those of earlier searches first."""
        return {**self.inputs.get('previous', {}), **self.ctx.trials}

    def points(self) -> list[TriedPoint]:
        """Return all trials as the sampler sees them: those that have ended, then those that run."""
        ended = [
            TriedPoint(trial.point, trial.value, failed=trial.value is None) for trial in self.known_trials().values()
        ]
        running = [flat(load_node(pk).inputs.hyperparameters.get_dict()) for pk, _ in self.ctx.running.values()]
        return ended + [TriedPoint(point) for point in running]

    def ready(self) -> list[int]:
        """Return the trials that may start now."""
        return list(self.ctx.waiting[: self.settings.run.max_concurrent - len(self.ctx.running)])

    def submit_task(self, task: int) -> None:
        """Choose the hyperparameters of one trial from those before, and submit it."""
        settings = self.settings
        point = suggest(
            settings.domains,
            self.points(),
            direction=settings.direction,
            seed=settings.seed,
            number=task,
            num_random=settings.num_random,
        )
        handed_on = {name: self.inputs[name] for name in ('parameters', *MODEL_PORTS) if name in self.inputs}
        inputs = {'hyperparameters': Dict(nested(point)), **self.ctx.held_out, **handed_on}
        self.submit_child(trial_label(task), task, TrialWorkChain, **inputs)

    def note_ended(self, name: str, task: int, child: ProcessNode) -> None:
        """Record a trial, with its figure or the reason why there is none."""
        study = {'study': study_hash(self.settings, self.inputs), 'number': task, 'objective': self.settings.objective}
        inputs: dict[str, t.Any] = {'hyperparameters': child.inputs.hyperparameters, 'study': Dict(study)}
        if child.is_finished_ok:
            kept = (key for key in ('results', 'score', 'checkpoint') if key in child.outputs)
            inputs.update({key: child.outputs[key] for key in kept})
        else:
            inputs['failure'] = Str(ending(child))
        trial = self.call_once(f'{name}record', record_trial, **inputs)['result']
        self.ctx.trials[name] = trial
        figure = f'failed: {trial.content.reason}' if trial.value is None else f'{study["objective"]} {trial.value:.4g}'
        self.report(f'{name} {figure}; {", ".join(f"{key} {value}" for key, value in trial.point.items())}')

    def finalize(self) -> ExitCode | None:
        """Return the trials, the best hyperparameters and the generator that they gave."""
        trials = self.known_trials()
        for label, trial in self.ctx.trials.items():
            self.out(f'trials.{label}', trial)
        reasons = [trial.content.reason for trial in trials.values() if trial.value is None]
        if len(reasons) == len(trials):
            return self.exit_codes.ERROR_ALL_FAILED.format(count=len(trials), reason=reasons[-1])
        inputs = {'parameters': self.inputs.parameters, **trials}
        if 'generator' in self.inputs:
            inputs['generator'] = self.inputs.generator
        outputs = self.call_once('summary', summarise_trials, **inputs)
        self.out_many(outputs)
        if (checkpoint := trained_generator(trials[outputs['summary']['best']])) is not None:
            self.out('checkpoint', checkpoint)
        if 2 * len(reasons) > len(trials):
            return self.exit_codes.WARNING_MOST_FAILED.format(
                failed=len(reasons), count=len(trials), reason=reasons[-1]
            )
        return None


def continuation(node: ProcessNode, overrides: dict[str, t.Any] | None = None) -> ProcessBuilder:
    """Return the builder of the search that goes on from the trials of another one, also of one that was cut.

    :param overrides: settings to change, such as more trials.
    :raises InvalidInputError: if nothing is left to do, or the trials would not be comparable.
    """
    inputs = node.inputs
    settings = parse_settings(merge_overrides(inputs.parameters.get_dict(), overrides or {}))
    builder = HyperparameterWorkChain.get_builder()
    given = {name: inputs[name] for name in ('dataset', *MODEL_PORTS) if name in inputs}
    previous = recorded_trials(node)
    if problem := find_problem(settings, {**given, 'previous': previous}):
        raise InvalidInputError(problem)
    for name, value in given.items():
        setattr(builder, name, value)
    builder.parameters = Dict(settings.dump())
    if previous:
        builder.previous = previous
    return builder


def study_hash(settings: HyperparameterSettings, inputs: t.Mapping[str, t.Any]) -> str:
    """Return the identity of all that decides a figure beside the hyperparameters: trials of one study compare."""
    checkpoints = {
        name: inputs[name].base.attributes.get('sha256') if name in inputs else None
        for name in ('generator', 'descriptor')
    }
    content = {
        'dataset': inputs['dataset'].base.attributes.get('content_hash'),
        **checkpoints,
        'settings': settings.identity(),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def find_problem(settings: HyperparameterSettings, inputs: t.Mapping[str, t.Any]) -> str | None:
    """Return what is wrong with the inputs taken together."""
    generator, previous = inputs.get('generator'), inputs.get('previous') or {}
    if settings.training is None and generator is None:
        return 'nothing is trained and no `generator` is given: give one of them'
    if settings.training is not None and generator is not None and 'training.num_layers' in settings.domains:
        return 'trainings start from `generator`, which keeps its layers: leave `space.training.num_layers` out'
    is_conditioned = 'descriptor' in inputs or bool(settings.sampling.get('target'))
    if f'sampling.{CONDITIONING}' in settings.domains and not is_conditioned:
        return f'`space.sampling.{CONDITIONING}` (λ) changes nothing without a `descriptor` or a `sampling.target`'
    study = study_hash(settings, inputs)
    for label, trial in previous.items():
        if trial.base.attributes.get('study') != study:
            return f'`previous.{label}` was measured on other data, with other settings or checkpoints'
    if len(previous) >= settings.num_trials:
        return f'{len(previous)} trials are there, and `num_trials` is {settings.num_trials}: raise it'
    return problem_of(require_optuna)


def validate_inputs(value: dict[str, t.Any], _: t.Any) -> str | None:
    """Refuse inputs that do not belong together."""
    if 'parameters' not in value or 'dataset' not in value:
        return None
    return find_problem(parse_settings(value['parameters'].get_dict()), value)


def validate_splits(value: DatasetData, port: t.Any) -> str | None:
    """Refuse a set without energies, or without a training or a validation split."""
    if problem := validate_dataset(value, port):
        return problem
    counts = value.base.attributes.get('splits')
    missing = [name for name in ('train', 'validation') if not counts.get(name)]
    return f'the dataset has no structure in the split `{missing[0]}`: build it with one' if missing else None
