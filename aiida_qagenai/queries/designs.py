"""What the rounds of an inverse design found."""

from __future__ import annotations

import re
import typing as t

import numpy as np
from aiida.common.links import LinkType
from aiida.orm import ProcessNode
from numpy.typing import NDArray

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.elastic import ElasticData
from aiida_qagenai.selection.design import MODULI
from aiida_qagenai.selection.targets import PropertyTarget

__all__ = ('Proposals', 'Round', 'proposals_of', 'rounds_of')

SUMMARY = re.compile(r'summary(\d+)(?:again)*')
PREDICTION = re.compile(r'prediction(\d+)(?:again)*')


class Round(t.NamedTuple):
    """One round that has ended.

    :param number: from 0.
    :param within: crystals whose modulus is in the window.
    :param stable: crystals that are mechanically stable.
    :param mape_target: mean of \\|computed / target − 1\\| over these, ``None`` without one.
    :param mape_predicted: mean of \\|predicted / computed − 1\\| over these.
    :param crystals: each with ``round``, ``label``, ``formula``, ``num_atoms``, ``predicted`` and ``computed`` (GPa),
        ``within``, ``mechanically_stable``, ``reason`` and ``pk``, that of the tensor.
    """

    number: int
    within: int
    stable: int
    mape_target: float | None
    mape_predicted: float | None
    crystals: list[dict[str, t.Any]]


def rounds_of(node: ProcessNode) -> list[Round]:
    """Return the rounds of an ``InverseDesignWorkChain`` that have ended, in their order.

    :param node: finished or running.
    """
    modulus = MODULI[PropertyTarget.parse(node.inputs.parameters['target']).name]
    found = {}
    for link in node.base.links.get_outgoing(link_type=LinkType.CALL_CALC).all():
        match = SUMMARY.fullmatch(link.link_label)
        if match is not None and link.node.is_finished_ok:
            found[int(match[1])] = _round(int(match[1]), link.node, modulus)
    return [found[number] for number in sorted(found)]


class Proposals(t.NamedTuple):
    """What the diffusion model proposed in all rounds, n crystals.

    :param round: of each, shape (n,).
    :param predicted: modulus by the heads of its round, GPa, shape (n,).
    :param chosen: whether its tensor was computed, shape (n,).
    :param within: whether that has the modulus that is wanted, shape (n,).
    :param latent: what the validator says of each, shape (n, d).
    """

    round: NDArray[np.int64]
    predicted: NDArray[np.float64]
    chosen: NDArray[np.bool_]
    within: NDArray[np.bool_]
    latent: NDArray[np.float32]


def proposals_of(node: ProcessNode) -> Proposals:
    """Return the proposals of all rounds of an ``InverseDesignWorkChain`` whose moduli are predicted.

    :param node: finished or running.
    :raises InvalidInputError: if there are none, or they were predicted before latent vectors were kept.
    """
    name = PropertyTarget.parse(node.inputs.parameters['target']).name
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
        values = found.get_array('properties')[:, found.base.attributes.get('names').index(name)]
        choice = choices.get(f'choice{number}')
        rows = choice.outputs.result['rows'] if choice is not None and choice.is_finished_ok else []
        hits = [row for place, row in enumerate(rows) if f'r{number}n{place:03d}' in found_in.get(number, ())]
        chosen, within = (np.isin(np.arange(len(values)), each) for each in (rows, hits))
        parts.append(Proposals(np.full(len(values), number), values, chosen, within, found.get_array('latent')))
    if not parts:
        raise InvalidInputError(f'process {node.pk} has no predictions yet')
    return Proposals(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _round(number: int, summary: ProcessNode, modulus: str) -> Round:
    """Return a round from the calculation that summed it up."""
    inputs = summary.base.links.get_incoming(link_type=LinkType.INPUT_CALC).all()
    tensors = {link.link_label: link.node for link in inputs if isinstance(link.node, ElasticData)}
    said = summary.outputs.result.get_dict()
    crystals = [
        {
            'round': number,
            'label': label,
            **{key: tensor.base.attributes.get(key, None) for key in ('formula', 'num_atoms')},
            'predicted': predicted,
            'computed': tensor.base.attributes.get(modulus, None),
            'within': label in said['within'],
            **{key: tensor.base.attributes.get(key, None) for key in ('mechanically_stable', 'reason')},
            'pk': tensor.pk,
        }
        for (label, tensor), predicted in zip(sorted(tensors.items()), summary.inputs.chosen['predicted'], strict=True)
    ]
    errors = said['mape_target'], said['mape_predicted']
    return Round(number, len(said['within']), said['stable'], *errors, crystals)
