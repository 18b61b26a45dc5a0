"""What the rounds of an inverse design found."""

from __future__ import annotations

import re
import typing as t

from aiida.common.links import LinkType
from aiida.orm import ProcessNode

from aiida_qagenai.data.elastic import ElasticData
from aiida_qagenai.selection.design import MODULI
from aiida_qagenai.selection.targets import PropertyTarget

__all__ = ('Round', 'rounds_of')

SUMMARY = re.compile(r'summary(\d+)(?:again)*')


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
