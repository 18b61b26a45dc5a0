"""What the rounds of an inverse design found."""

from __future__ import annotations

import re
import typing as t

import numpy as np
from aiida.common.links import LinkType
from aiida.orm import ProcessNode
from numpy.typing import NDArray

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.properties import PROPERTIES
from aiida_qagenai.data.elastic import ElasticData
from aiida_qagenai.evaluation.quantities import anticipated
from aiida_qagenai.selection.design import design_target

__all__ = ('Proposals', 'Round', 'proposals_of', 'rounds_of')

SUMMARY = re.compile(r'summary(\d+)(?:again)*')
JUDGEMENT = re.compile(r'judgement(\d+)(?:again)*')
PREDICTION = re.compile(r'prediction(\d+)(?:again)*')


class Round(t.NamedTuple):
    """One round that has ended.

    Errors are mean ones over the mechanically stable crystals: shares of what is wanted, or in the unit of a quantity
    that may be negative; ``None`` without such a crystal.

    :param number: from 0.
    :param within: crystals whose quantity is in the window.
    :param stable: crystals that are mechanically stable.
    :param hits: crystals that are within the window, stable and near the hull; ``None`` if the potential has no place
        on it.
    :param error_target: of what was computed against what is wanted.
    :param error_predicted: of what was predicted against what was computed.
    :param judged_error: of what the judge computed against what is wanted, over those that are stable by the judge.
    :param judged_hits: hits by the judge; ``None`` without one.
    :param crystals: each with ``round``, ``label``, ``formula``, ``num_atoms``, ``predicted``, ``computed`` and
        ``judged``, ``within``, ``mechanically_stable``, ``e_above_hull`` (eV/atom), ``hull`` (how complete it is),
        ``hit`` and ``judged_hit``, ``reason`` and ``pk``, that of the tensor.
    """

    number: int
    within: int
    stable: int
    hits: int | None
    error_target: float | None
    error_predicted: float | None
    judged_error: float | None
    judged_hits: int | None
    crystals: list[dict[str, t.Any]]

    def hits_of(self, labels: t.Collection[str]) -> int | None:
        """Return how many of some crystals of this round are hits, by the judge if there is one."""
        key = 'hit' if self.judged_hits is None else 'judged_hit'
        if self.hits is None:
            return None
        return sum(bool(crystal[key]) for crystal in self.crystals if crystal['label'] in labels)


def rounds_of(node: ProcessNode) -> list[Round]:
    """Return the rounds of an ``InverseDesignWorkChain`` that have ended, in their order.

    :param node: finished or running.
    """
    found: dict[int, ProcessNode] = {}
    judgements: dict[int, ProcessNode] = {}
    for link in node.base.links.get_outgoing(link_type=LinkType.CALL_CALC).all():
        for pattern, where in ((SUMMARY, found), (JUDGEMENT, judgements)):
            match = pattern.fullmatch(link.link_label)
            if match is not None and link.node.is_finished_ok:
                where[int(match[1])] = link.node
    return [_round(number, found[number], judgements.get(number)) for number in sorted(found)]


class Proposals(t.NamedTuple):
    """What the diffusion model proposed in all rounds, n crystals.

    :param round: of each, shape (n,).
    :param predicted: quantity before anything is computed, shape (n,).
    :param chosen: whether its tensor was computed, shape (n,).
    :param within: whether it has what is wanted, shape (n,).
    :param latent: what the validator says of each, shape (n, d).
    """

    round: NDArray[np.int64]
    predicted: NDArray[np.float64]
    chosen: NDArray[np.bool_]
    within: NDArray[np.bool_]
    latent: NDArray[np.float32]


def proposals_of(node: ProcessNode) -> Proposals:
    """Return the proposals of all rounds of an ``InverseDesignWorkChain`` whose properties are predicted.

    :param node: finished or running.
    :raises InvalidInputError: if there are none, they were predicted before latent vectors were kept, or nothing
        predicts what is asked for.
    """
    target = design_target(node.inputs.parameters['target'])
    calls = node.base.links.get_outgoing(link_type=LinkType.CALL_CALC).all()
    choices = {each.link_label: each.node for each in calls}
    found_in = {each.number: [row['label'] for row in each.crystals if row['within']] for each in rounds_of(node)}
    parts = []
    for link in calls:
        match = PREDICTION.fullmatch(link.link_label)
        if match is None or 'properties' not in link.node.outputs:
            continue
        number, found = int(match[1]), link.node.outputs.properties
        if 'latent' not in found.get_arraynames():
            raise InvalidInputError(f'process {node.pk} is of an earlier version, which kept no latent vectors')
        values = _predicted(target.name, link.node)
        choice = choices.get(f'choice{number}')
        rows = choice.outputs.result['rows'] if choice is not None and choice.is_finished_ok else []
        hits = [row for place, row in enumerate(rows) if f'r{number}n{place:03d}' in found_in.get(number, ())]
        chosen, within = (np.isin(np.arange(len(values)), each) for each in (rows, hits))
        parts.append(Proposals(np.full(len(values), number), values, chosen, within, found.get_array('latent')))
    if not parts:
        raise InvalidInputError(f'process {node.pk} has no predictions yet')
    return Proposals(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _predicted(name: str, prediction: ProcessNode) -> NDArray[np.float64]:
    """Return a quantity of all proposals of a round, shape (n,).

    :param prediction: the job that predicted their properties.
    """
    found = prediction.outputs.properties
    said = dict(zip(PROPERTIES, found.get_array('properties').T, strict=True))
    if 'formation_energy' in found.get_arraynames():
        said['formation_energy'] = found.get_array('formation_energy')
    structures = prediction.inputs.candidate_set.structures().structures()
    rows = [{key: float(array[row]) for key, array in said.items()} for row in range(len(structures))]
    values = anticipated(name, structures, rows)
    if None in values:
        raise InvalidInputError(f'nothing predicts the {name.replace("_", " ")}, which a map could be coloured by')
    return np.array(values, dtype=np.float64)


def _round(number: int, summary: ProcessNode, judgement: ProcessNode | None) -> Round:
    """Return a round from the calculations that summed it up."""
    inputs = summary.base.links.get_incoming(link_type=LinkType.INPUT_CALC).all()
    tensors = {link.link_label: link.node for link in inputs if isinstance(link.node, ElasticData)}
    said = summary.outputs.result.get_dict()
    judged = {} if judgement is None else judgement.outputs.result.get_dict()
    crystals = [
        {
            'round': number,
            'label': label,
            **{key: tensor.base.attributes.get(key, None) for key in ('formula', 'num_atoms')},
            'predicted': predicted,
            'computed': said['computed'][label],
            'judged': judged.get('computed', {}).get(label),
            'within': label in said['within'],
            **{key: tensor.base.attributes.get(key, None) for key in ('mechanically_stable', 'reason')},
            'e_above_hull': said['e_above_hull'][label],
            'hull': said['hull'][label],
            'hit': None if said['hits'] is None else label in said['hits'],
            'judged_hit': None if judged.get('hits') is None else label in judged['hits'],
            'pk': tensor.pk,
        }
        for (label, tensor), predicted in zip(sorted(tensors.items()), summary.inputs.chosen['predicted'], strict=True)
    ]
    return Round(
        number=number,
        within=len(said['within']),
        stable=said['stable'],
        hits=None if said['hits'] is None else len(said['hits']),
        error_target=said['error_target'],
        error_predicted=said['error_predicted'],
        judged_error=judged.get('error_target'),
        judged_hits=None if judged.get('hits') is None else len(judged['hits']),
        crystals=crystals,
    )
