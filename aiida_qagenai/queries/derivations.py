"""Energies of the graph, derived again from what they were made of."""

from __future__ import annotations

import functools
import importlib
import math
import typing as t
from collections import defaultdict

from aiida import orm
from aiida.common.links import LinkType

from aiida_qagenai.data.energy import EnergyData

__all__ = ('wrong_energies',)

PACKAGE = 'aiida_qagenai.'
"""Functions of other packages are never called."""

TOLERANCE = 1e-9
"""Relative, and absolute in the units of the attributes: a sum in another order is the same number."""


def wrong_energies() -> tuple[int, list[tuple[int, str]]]:
    """Call every function of this package that made an energy again, with the same inputs, and compare the attributes.

    :return: how many energies were derived, and the pk of each other one with what is wrong with it.
    """
    made: dict[int, dict[str, EnergyData]] = defaultdict(dict)
    ours = {'process_type': {'like': f'{PACKAGE}%'}}
    builder = orm.QueryBuilder().append(orm.CalcFunctionNode, filters=ours, tag='process', project='id')
    edge = {'edge_filters': {'type': LinkType.CREATE.value}, 'edge_project': 'label'}
    for process, node, label in builder.append(EnergyData, with_incoming='process', project='*', **edge).iterall():
        made[process][label] = node
    faults = []
    for process, outputs in made.items():
        faults += [(outputs[label].pk, message) for label, message in _compare(process, outputs)]
    return sum(map(len, made.values())), faults


def _compare(process: int, outputs: dict[str, EnergyData]) -> t.Iterator[tuple[str, str]]:
    """Yield the label of each output of a function that it does not give again, and why."""
    node = orm.load_node(process)
    function = _function(node.process_type or '')
    if function is None:
        yield from ((label, f'this release has no `{node.process_type}`') for label in outputs)
        return
    inputs = {link.link_label: link.node for link in node.base.links.get_incoming(link_type=LinkType.INPUT_CALC)}
    try:
        result = function(**inputs)
    except Exception as exception:  # whatever the function raises is the finding
        yield from ((label, f'`{node.process_type}` of this release fails: {exception}') for label in outputs)
        return
    found = result if isinstance(result, dict) else {'result': result}
    for label, output in outputs.items():
        new = found[label].base.attributes.all if label in found else {}
        old = output.base.attributes.all
        names = sorted(name for name in old.keys() | new.keys() if not _is_same(old.get(name), new.get(name)))
        if names:
            values = ', '.join(f'{name} {old.get(name)} is now {new.get(name)}' for name in names)
            yield label, f'derived again, {values}'


@functools.cache
def _function(path: str) -> t.Callable[..., t.Any] | None:
    """Return the function behind a calcfunction by its path, None if there is none any more."""
    module, _, name = path.rpartition('.')
    try:
        function = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError:
        return None
    return getattr(function, '__wrapped__', None)


def _is_same(one: t.Any, other: t.Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_is_same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return bool(one == other)
