"""Labels of nodes that are given none: what a list of nodes or a graphical interface shows of them.

They are not part of a hash, and no search of this package depends on them.
"""

from __future__ import annotations

import typing as t

from aiida.orm import Data

__all__ = ('label_node', 'labelled')


def labelled(arguments: dict[str, t.Any], label: str, description: str = '') -> dict[str, t.Any]:
    """Return arguments of a new node with a label and a description, unless somebody chose them.

    A label that is set later costs as much as the node: of many, it goes in with the constructor.
    """
    chosen = {'label': arguments.get('label') or label, 'description': arguments.get('description') or description}
    return {**arguments, **chosen}


def label_node(node: Data, label: str, description: str = '') -> None:
    """Give a node, not stored, a label and a description, unless somebody chose them."""
    given: t.Any = node
    given.label = given.label or label
    given.description = given.description or description
