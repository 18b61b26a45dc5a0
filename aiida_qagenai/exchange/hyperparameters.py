"""Typed settings of a search for hyperparameters, and the configurations of the tasks that they make of a trial."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

import pydantic

from aiida_qagenai.common.model import StrictModel
from aiida_qagenai.evaluation.objectives import DIRECTIONS, Objective
from aiida_qagenai.exchange.tasks import GenerateConfig, GeneratorOptions, GeneratorTraining, parse
from aiida_qagenai.selection.hyperparameters import Direction, Range, Space, Value, flat, nested

__all__ = ('CONDITIONING', 'HyperparameterSettings', 'parse_settings')

CONDITIONING = 'guidance_scale'
"""Name of λ in the settings of the sampling."""

OF_REQUESTS = ('novelty', 'symmetry')
"""Settings of the sampling that belong to each of its requests: with `novelty`, t0, samples start from motifs."""

OF_THE_RUN = frozenset({'seed', 'device', 'dtype', 'num_threads'})
OF_THE_SEARCH = frozenset({'role', 'dataset', 'initial_checkpoint', 'output', 'generator', 'descriptor', 'requests'})
"""Keys of the tasks that the search itself fills in."""


class RunSettings(StrictModel):
    """Where and how wide the jobs run."""

    device: t.Literal['cpu', 'cuda'] = 'cpu'
    dtype: t.Literal['float32', 'float64'] = 'float32'
    num_threads: int = pydantic.Field(1, ge=1, le=1024)
    max_concurrent: int = pydantic.Field(1, ge=1, description='Trials that run at a time')


class SpaceSettings(StrictModel):
    """What is searched: a list of choices, or the bounds `low` and `high` of a range, in place of a value."""

    training: dict[str, t.Any] = pydantic.Field(default_factory=dict, description='In `training`')
    sampling: dict[str, t.Any] = pydantic.Field(default_factory=dict, description='In `sampling`')

    def space(self) -> dict[str, tuple[Value, ...] | Range]:
        """Return the domains by dotted name, such as `training.num_layers`.

        :raises ValueError: naming a domain that is none.
        """
        sections = {'training': self.training, 'sampling': self.sampling}
        return {name: _domain(name, value) for name, value in flat(sections).items() if value is not None}


class HyperparameterSettings(StrictModel):
    """Everything that decides a search, beside the data and the checkpoints."""

    description: str = ''
    objective: Objective = pydantic.Field(
        'valid_novel',
        description='Figure on the validation split: valid_novel, the share of samples for its formulas that pass '
        'the constraints and are new; match_rate, the share of its crystals that samples match; loss, of the training',
    )
    num_trials: int = pydantic.Field(ge=1, description='Trials in all, those of earlier searches included')
    num_random: int = pydantic.Field(10, ge=1, description='Trials drawn at random before values guide the search')
    num_formulas: int = pydantic.Field(20, ge=1, description='Formulas of the validation split that are sampled')
    num_samples: int = pydantic.Field(5, ge=1, description='Samples of each formula')
    seed: int = pydantic.Field(0, ge=0, lt=2**31, description='Of the search and of every job')
    training: dict[str, t.Any] | None = pydantic.Field(
        None, description='Settings of the trainings that are not searched; without any, a given generator is sampled'
    )
    sampling: dict[str, t.Any] = pydantic.Field(
        default_factory=dict,
        description='Settings of the sampling that are not searched; with `novelty` (t0) and `symmetry`, samples start '
        'from the crystals of the training split with exchanged elements, without `novelty` from noise',
    )
    space: SpaceSettings = pydantic.Field(description='The hyperparameters that are searched')
    run: RunSettings = RunSettings()

    @pydantic.model_validator(mode='after')
    def _check(self) -> HyperparameterSettings:
        """Check every value that a trial may have, before the first one runs."""
        space = self.space.space()
        for section, values in (('training', self.training or {}), ('sampling', self.sampling)):
            reserved = sorted((OF_THE_RUN | OF_THE_SEARCH) & (set(values) | set(getattr(self.space, section))))
            if reserved:
                raise ValueError(f'`{section}.{reserved[0]}` is set by the search itself: see `seed` and `run`')
        if self.training is None and (self.space.training or self.objective == 'loss'):
            raise ValueError('nothing is trained: give the settings `training`, or neither `space.training` nor `loss`')
        if self.objective == 'loss' and self.space.sampling:
            raise ValueError('`space.sampling` changes nothing with the objective `loss`')
        if 'sampling.symmetry' in space and 'sampling.novelty' not in space and 'novelty' not in self.sampling:
            raise ValueError('`space.sampling.symmetry` changes nothing without `novelty`: samples start from noise')
        if not space:
            raise ValueError('`space` is empty: say which hyperparameters to search')
        for name, domain in space.items():
            for value in domain.bounds if isinstance(domain, Range) else domain:
                self.check_point({name: value})
        return self

    @property
    def direction(self) -> Direction:
        """Return whether a larger figure is better."""
        return DIRECTIONS[self.objective]

    @property
    def domains(self) -> Space:
        """Return what is searched by dotted name."""
        return self.space.space()

    @property
    def samples(self) -> bool:
        """Return whether trials sample."""
        return self.objective != 'loss'

    def runtime(self) -> dict[str, t.Any]:
        """Return what every job takes."""
        return {'seed': self.seed, **self.run.model_dump(mode='json', exclude={'max_concurrent'})}

    def identity(self) -> dict[str, t.Any]:
        """Return the settings that decide the figure of given hyperparameters."""
        searched = {'description', 'num_trials', 'num_random', 'space'}
        values = self.model_dump(mode='json', exclude=searched)
        return {**values, 'run': {'device': self.run.device, 'dtype': self.run.dtype}}

    def training_parameters(self, point: Mapping[str, Value]) -> dict[str, t.Any] | None:
        """Return the complete parameters of the training of a trial; ``None`` if nothing is trained."""
        if self.training is None:
            return None
        return {'role': 'generator', **self.runtime(), **_filled(self.training, 'training', point)}

    def sampling_parameters(
        self, point: Mapping[str, Value], formulas: Mapping[str, Mapping[str, int]]
    ) -> dict[str, t.Any]:
        """Return the complete parameters of the sampling of a trial.

        :param formulas: reduced formula → cell content; each is asked for on its own.
        """
        values, options = self._sampling(point)
        # How samples relate to the known crystals costs time and decides nothing here.
        return {**self.runtime(), 'relations': False, **values, 'requests': self._requests(formulas, options)}

    def _sampling(self, point: Mapping[str, Value]) -> tuple[dict[str, t.Any], dict[str, t.Any]]:
        """Return the settings of the sampling of a trial, and those of its requests."""
        values = _filled(self.sampling, 'sampling', point)
        return values, {name: values.pop(name) for name in OF_REQUESTS if name in values}

    def _requests(self, formulas: Mapping[str, Mapping[str, int]], options: dict[str, t.Any]) -> list[dict[str, t.Any]]:
        """Return one request per formula; known crystals of the formula itself are never its motifs."""
        if 'novelty' not in options:
            return [
                {'mode': 'composition', 'composition': dict(content), 'count': self.num_samples}
                for content in formulas.values()
            ]
        fixed = {'mode': 'motifs', 'only_library': True, 'otherwise': 'noise', 'count': self.num_samples, **options}
        return [{**fixed, 'formula': formula, 'exclude': [formula]} for formula in formulas]

    def best(self, point: Mapping[str, Value], *, is_fine_tuned: bool) -> dict[str, t.Any]:
        """Return hyperparameters as others take them.

        :param is_fine_tuned: whether trainings start from a checkpoint.
        :returns: ``training``, complete parameters of a ``TrainCalculation``; ``sampling``, those of a
            ``GenerateCalculation`` without its requests, and ``request``, what each of these takes; ``campaign``,
            overrides of a protocol of campaigns. What the search does not know is not there.
        """
        found: dict[str, t.Any] = {}
        training = self.training_parameters(point)
        campaign: dict[str, t.Any] = {}
        if training is not None:
            config = parse('train', {**training, 'dataset': 'dataset.npz'})
            found['training'] = config.model_dump(mode='json', exclude={'dataset', 'initial_checkpoint', 'output'})
            names = ['size', 'batch_size', 'learning_rate', 'options', *([] if is_fine_tuned else ['num_layers'])]
            start = {'tune_steps': config.steps}
            if not is_fine_tuned:
                start = {'start': 'nothing', 'initial_steps': config.steps}
            campaign['learn'] = {'generator': {**{name: found['training'][name] for name in names}, **start}}
        if self.samples:
            values, request = self._sampling(point)
            config = parse('generate', self._sampling_probe(point))
            left_out = {'generator', 'descriptor', 'requests', 'output', 'relations'}
            found['sampling'] = config.model_dump(mode='json', exclude=left_out)
            found['request'] = {'mode': 'motifs', **request} if 'novelty' in request else {}
            names = ['steps', 'noise_schedule', *([CONDITIONING] if CONDITIONING in values else [])]
            generate = {name: found['sampling'][name] for name in names}
            campaign['generate'] = {**generate, **request}
        return {**found, 'campaign': campaign}

    def check_point(self, point: Mapping[str, Value]) -> None:
        """Check hyperparameters as the tasks would.

        :raises InvalidInputError: naming every setting that is unknown or wrong.
        """
        if (training := self.training_parameters(point)) is not None:
            parse('train', {**training, 'dataset': 'dataset.npz'})
        if self.samples:
            parse('generate', self._sampling_probe(point))

    def _sampling_probe(self, point: Mapping[str, Value]) -> dict[str, t.Any]:
        """Return the parameters of a sampling of some formula, with the name of a library where it starts from one."""
        sampling = self.sampling_parameters(point, {'LiH': {'Li': 1, 'H': 1}})
        requests = [
            {**each, 'library': 'motifs.npz'} if each['mode'] == 'motifs' else each for each in sampling['requests']
        ]
        return {**sampling, 'requests': requests}


def _domain(name: str, value: t.Any) -> tuple[Value, ...] | Range:
    if isinstance(value, Mapping):
        return Range.parse({'whole': _is_whole(name), **value}, section=f'space.{name}')
    if not isinstance(value, list | tuple) or not value:
        raise ValueError(f'`space.{name}` is {value!r}: give a list of choices, or a range such as {{low: 1, high: 9}}')
    if any(not isinstance(item, Value) for item in value) or len(set(value)) < len(value):
        raise ValueError(f'`space.{name}` needs choices that differ from each other, got {value}')
    return tuple(value)


def _is_whole(name: str) -> bool:
    """Return whether a setting of the tasks takes whole numbers only."""
    section, *path = name.split('.')
    model: type[pydantic.BaseModel] = GeneratorTraining if section == 'training' else GenerateConfig
    if path[:-1] == ['options']:
        model = GeneratorOptions
    field = model.model_fields.get(path[-1])
    return field is not None and int in (field.annotation, *t.get_args(field.annotation))


def _filled(values: Mapping[str, t.Any], section: str, point: Mapping[str, Value]) -> dict[str, t.Any]:
    """Return settings of a section with the hyperparameters of a trial laid over them."""
    filled = dict(values)
    for name, value in nested(point).get(section, {}).items():
        # only `options` are a dictionary
        filled[name] = {**filled.get(name, {}), **value} if isinstance(value, Mapping) else value
    return filled


def parse_settings(values: Mapping[str, t.Any]) -> HyperparameterSettings:
    """Return typed settings from complete ones.

    :raises InvalidInputError: naming every key that is unknown, missing or out of range.
    """
    return HyperparameterSettings.parse(values, 'invalid settings of a search for hyperparameters')
