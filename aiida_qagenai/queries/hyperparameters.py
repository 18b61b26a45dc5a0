"""Trials of searches for hyperparameters, and the generators that they trained."""

from __future__ import annotations

import typing as t

from aiida.orm import CalcFunctionNode, ProcessNode, QueryBuilder

from aiida_qagenai.data.checkpoint import CheckpointData
from aiida_qagenai.data.trial import TrialData

__all__ = ('recorded_trials', 'trained_generator', 'trial_label', 'trial_table')


def trial_label(number: int) -> str:
    """Return the label of the trial of that number in its study."""
    return f'trial{number:03d}'


def recorded_trials(node: ProcessNode) -> dict[str, TrialData]:
    """Return all trials of a search by label, whether it ended or was cut, after those that it went on from."""
    builder = QueryBuilder().append(ProcessNode, filters={'id': node.pk}, tag='search')
    record = {'attributes.process_label': 'record_trial'}
    builder.append(CalcFunctionNode, with_incoming='search', filters=record, tag='record')
    builder.append(TrialData, with_incoming='record', project='*')
    previous = t.cast('dict[str, TrialData]', dict(node.inputs.previous) if 'previous' in node.inputs else {})
    trials: list[TrialData] = [*previous.values(), *builder.all(flat=True)]
    return {trial_label(trial.number): trial for trial in sorted(trials, key=lambda trial: trial.number)}


def trained_generator(trial: TrialData) -> CheckpointData | None:
    """Return the generator that a trial trained, if it did and its record was not imported without its inputs."""
    creator = trial.creator
    if creator is None or 'checkpoint' not in creator.inputs:
        return None
    return t.cast('CheckpointData', creator.inputs.checkpoint)


def trial_table(node: ProcessNode) -> t.Any:
    """Return a frame with one row per trial of a search: number, state, value, then each hyperparameter."""
    import pandas as pd

    rows = []
    for label, trial in recorded_trials(node).items():
        content = trial.content
        checkpoint = trained_generator(trial)
        rows.append(
            {
                'trial': label,
                'state': content.state,
                'value': content.value,
                **trial.point,
                'checkpoint': None if checkpoint is None else checkpoint.pk,
                'reason': content.reason,
                'pk': trial.pk,
            }
        )
    return pd.DataFrame(rows, columns=None if rows else ['trial', 'state', 'value', 'checkpoint', 'reason', 'pk'])
