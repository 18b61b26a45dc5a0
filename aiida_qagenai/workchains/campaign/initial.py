"""Where the generator and the validator of a campaign start: checkpoints that are given, or nothing."""

from __future__ import annotations

import typing as t

from aiida.engine import ProcessSpec

from aiida_qagenai.calculations.models.generate import checkpoint_validator
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import LADDER
from aiida_qagenai.data.checkpoint import CheckpointData, import_foundation
from aiida_qagenai.exchange.tasks import ValidatorOptions
from aiida_qagenai.workchains.protocols.campaign import CampaignSettings

__all__ = ('INITIAL', 'define_initial_inputs', 'initial_checkpoints', 'initial_problem', 'unused_inputs')

INITIAL = {'generator': 'initial_generator', 'validator': 'initial_validator'}
"""Role of a model → the input that it starts from, where the settings say `learn.ROLE.start: foundation`."""

HELP = {
    'generator': 'Checkpoint that the generator starts from: used as it is in the first cycles, and then fine-tuned. '
    'With `learn.generator.start: nothing`, a new generator is trained on the initial set instead.',
    'validator': 'Checkpoint that the validator starts from: fine-tuned on the initial set, whose levels of theory are '
    'added to its own. With `learn.validator.start: nothing`, a new validator is trained on that set instead.',
}


def define_initial_inputs(spec: ProcessSpec) -> None:
    """Add the checkpoints that models start from."""
    for role, name in INITIAL.items():
        spec.input(
            name, valid_type=CheckpointData, validator=checkpoint_validator(role), required=False, help=HELP[role]
        )


def initial_checkpoints(
    settings: CampaignSettings, symbols: list[str], given: tuple[CheckpointData | None, CheckpointData | None]
) -> dict[str, CheckpointData | None]:
    """Return the checkpoints that the models start from, by input, checked.

    Those of the package, where the settings ask for them, are stored if need be.

    :param given: that of the generator and that of the validator.
    :raises InvalidInputError: if one does not fit, would not be used, or is missing in this installation.
    """
    found: dict[str, CheckpointData | None] = dict(zip(INITIAL.values(), given, strict=True))
    for role, name in INITIAL.items():
        if found[name] is None and starts(settings, role) == 'foundation':
            found[name] = import_foundation(role)[0]
    problem = initial_problem(settings, {**found, 'elements': symbols})
    if problem:
        raise InvalidInputError(problem)
    return found


def unused_inputs(settings: CampaignSettings) -> list[str]:
    """Return the inputs of models that start from nothing."""
    return [name for role, name in INITIAL.items() if starts(settings, role) == 'nothing']


def starts(settings: CampaignSettings, role: str) -> str:
    """Return where the model of ``role`` starts."""
    return str(getattr(settings.learn, role).start)


def initial_problem(settings: CampaignSettings, inputs: t.Mapping[str, t.Any]) -> str | None:
    """Return what is missing or wrong with the checkpoints that the models start from.

    :param inputs: of the work chain, with its ``elements`` as symbols or node.
    """
    problems = [*(checkpoint_problem(settings, inputs, role) for role in INITIAL), parents_problem(settings, inputs)]
    return next((problem for problem in problems if problem), None)


def checkpoint_problem(settings: CampaignSettings, inputs: t.Mapping[str, t.Any], role: str) -> str | None:
    """Return what is missing or wrong with the checkpoint that the model of ``role`` starts from."""
    name, learn = INITIAL[role], getattr(settings.learn, role)
    given = inputs.get(name)
    if learn.start == 'nothing':
        return f'`{name}` would not be used with `learn.{role}.start: nothing`' if given else None
    if given is None:
        # A campaign that goes on has its models in the state.
        missing = f'`learn.{role}.start: {learn.start}` needs `{name}`, the checkpoint of a {role}'
        return None if inputs.get('state') else missing
    attributes = given.base.attributes
    unseen = sorted(set(inputs['elements']) - set(attributes.get('elements')))
    if unseen:
        start = f'choose `learn.{role}.start=nothing` or a checkpoint that was'
        return f'`{name}` was not trained on {", ".join(unseen)}: {start}'
    size = attributes.get('architecture').rpartition('-')[2]
    if size != learn.size:
        return f'`{name}` has the size `{size}`: set `learn.{role}.size={size}`, now `{learn.size}`'
    return ensemble_problem(given, ValidatorOptions(**learn.options)) if role == 'validator' else None


def ensemble_problem(checkpoint: CheckpointData, options: ValidatorOptions) -> str | None:
    """Return how the ensemble of a checkpoint differs from the one that the settings ask for."""
    configuration = checkpoint.info.configuration
    known = {
        'num_members': configuration['num_members'],
        'architecture': configuration['network']['architecture'],
    }
    for name, value in known.items():
        wanted = getattr(options, name)
        if value != wanted:
            setting = f'`learn.validator.options.{name}={value}`'
            return f'`{INITIAL["validator"]}` has the {name} `{value}`: set {setting}, now `{wanted}`'
    return None


def parents_problem(settings: CampaignSettings, inputs: t.Mapping[str, t.Any]) -> str | None:
    """Return a level of theory that `learn.validator.options.parents` names and that neither model nor campaign has."""
    parents = ValidatorOptions(**settings.learn.validator.options).parents
    if not parents or inputs.get('state'):
        return None
    own = settings.level_tags()
    given = inputs.get(INITIAL['validator'])
    levels = () if given is None else given.info.configuration.get('levels', ())
    shipped = [str(level['tag']) for level in levels]
    rungs = [rung.value for rung in LADDER]
    for what, names, choices in (('level', parents, [*rungs, *own]), ('parent', parents.values(), [*shipped, *own])):
        unknown = sorted(set(names) - set(choices))
        if unknown:
            listed = ', '.join(f'`{choice}`' for choice in dict.fromkeys(choices))
            return f'`learn.validator.options.parents` names the {what} `{unknown[0]}`: choose from {listed}'
    return None
