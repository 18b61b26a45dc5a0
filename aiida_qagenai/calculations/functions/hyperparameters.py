"""What a search for hyperparameters is measured on, the figures of its trials, and their records."""

from __future__ import annotations

import typing as t

import numpy as np
from aiida.engine import calcfunction
from aiida.orm import Dict, Str

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.checkpoint import CheckpointData
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.data.trial import TrialData
from aiida_qagenai.evaluation.objectives import DIRECTIONS, cell_contents, matched, valid_and_novel
from aiida_qagenai.exchange.dataset import SPLITS, LabelledBatch
from aiida_qagenai.exchange.hyperparameters import parse_settings
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.selection.hyperparameters import TriedPoint, importances, nested

__all__ = ('hold_out', 'record_trial', 'score_samples', 'summarise_trials')

LOSS = 'validation_loss'
"""Metric of a training of the generator: the weighted sum of its held-out losses."""


@calcfunction
def hold_out(dataset: DatasetData, parameters: Dict) -> dict[str, t.Any]:
    """Return what trials may see of a dataset: everything but its test split.

    :param parameters: ``num_formulas``, and ``elements``, the symbols that the generator knows; by default all of the
        training split.
    :returns: ``development``, the dataset without its test split; ``known``, the structures of its training split;
        ``formulas``, reduced formula → cell content, of the validation split.
    :raises InvalidInputError: if the validation split has no formula that the generator can make.
    """
    labels, attributes, options = dataset.labels(), dataset.base.attributes, parameters.get_dict()
    development = labels.select(np.flatnonzero(labels.split != SPLITS.index('test')))
    known = _structures(labels, 'train')
    elements = options.get('elements') or sorted(
        {str(element.symbol) for crystal in known.structures() for element in crystal.composition}
    )
    formulas = cell_contents(_structures(labels, 'validation').structures(), elements, options['num_formulas'])
    if not formulas:
        known_elements = ', '.join(elements)
        raise InvalidInputError(f'no formula of the validation split consists of {known_elements} alone')
    names = ('level_tags', 'formation_scheme', 'scientific', 'license')
    kept = {name: attributes.get(name) for name in names}
    return {
        'development': DatasetData(development, **kept),
        'known': DatasetData(known, license=kept['license']),
        'formulas': Dict(formulas),
    }


def _structures(labels: LabelledBatch, split: str) -> StructureBatch:
    """Return the structures of a named split."""
    return labels.structures.select(np.flatnonzero(labels.split == SPLITS.index(split)))


@calcfunction
def score_samples(development: DatasetData, formulas: Dict, candidate_set: DatasetData, parameters: Dict) -> Dict:
    """Return ``value``, the figure of the samples for ``formulas``, and what it is made of.

    :param development: dataset whose training split is known and whose validation split is held out.
    :param candidate_set: the samples that did not fail.
    :param parameters: ``objective`` and ``num_samples``, how many of each formula were asked for.
    """
    labels, options = development.labels(), parameters.get_dict()
    wanted = formulas.get_dict()
    samples = candidate_set.structures().structures()
    requested = len(wanted) * options['num_samples']
    if options['objective'] == 'valid_novel':
        return Dict(valid_and_novel(samples, _structures(labels, 'train').structures(), requested))
    held_out = _structures(labels, 'validation').structures()
    references = [crystal for crystal in held_out if crystal.composition.reduced_formula in wanted]
    return Dict(matched(samples, references, requested))


@calcfunction
def record_trial(
    hyperparameters: Dict,
    study: Dict,
    *,
    results: Dict | None = None,
    score: Dict | None = None,
    checkpoint: CheckpointData | None = None,
    failure: Str | None = None,
) -> TrialData:
    """Return the record of one trial.

    :param study: ``study``, ``number`` and ``objective`` of the record.
    :param results: of the training, whose held-out loss is the figure where nothing was sampled.
    :param score: figure of the samples.
    :param checkpoint: generator that was trained: an input, so that the trial leads to it.
    :param failure: why there is no figure.
    """
    identity = study.get_dict()
    common = {
        **identity,
        'direction': DIRECTIONS[identity['objective']],
        'hyperparameters': hyperparameters.get_dict(),
    }
    if failure is not None:
        return TrialData(state='failed', reason=failure.value, **common)
    figures = dict(score.get_dict()) if score is not None else {}
    metrics = results.get_dict()['metrics'] if results is not None else {}
    losses = {name: value for name, value in metrics.items() if name.startswith(LOSS)}
    value = figures.pop('value', None) if score is not None else losses.get(LOSS)
    if value is None:
        return TrialData(state='failed', reason='the training has no held-out loss that is finite', **common)
    return TrialData(state='complete', value=value, figures={**losses, **figures}, **common)


@calcfunction
def summarise_trials(parameters: Dict, generator: CheckpointData | None = None, **trials: TrialData) -> dict[str, Dict]:
    """Return what a search has found.

    :param parameters: complete settings of the search.
    :param generator: checkpoint that the trainings started from, if any.
    :param trials: all trials by label, at least one of them complete.
    :returns: ``best``, see :meth:`~aiida_qagenai.exchange.hyperparameters.HyperparameterSettings.best`; ``summary``,
        with the label of the ``best`` trial, its ``value``, the counts by state, and the ``importances``: shares of the
        variance of the figure, most important first, that the hyperparameters explain.
    """
    settings = parse_settings(parameters.get_dict())
    sign = 1 if settings.direction == 'maximize' else -1
    complete = {label: trial.value for label, trial in sorted(trials.items()) if trial.value is not None}
    label = max(complete, key=lambda name: sign * complete[name])
    points = [TriedPoint(trial.point, trial.value, failed=trial.value is None) for trial in trials.values()]
    found = importances(settings.domains, points, direction=settings.direction, seed=settings.seed)
    summary = {
        'best': label,
        'value': complete[label],
        'objective': settings.objective,
        'direction': settings.direction,
        'hyperparameters': nested(trials[label].point),
        'complete': len(complete),
        'failed': len(trials) - len(complete),
        'importances': found,
    }
    best = settings.best(trials[label].point, is_fine_tuned=generator is not None)
    return {'best': Dict(best), 'summary': Dict(summary)}
