"""Labels and descriptions of processes, for `verdi process list`, `verdi node show` and graphical interfaces.

Neither is part of a hash: a calculation is found in the cache whatever it is called.

Upstream: `WorkChain.submit` could pass the label of the caller and of the call on to the child.
"""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

from aiida.orm import ProcessNode, Str, StructureData

__all__ = ('MAX_LABEL', 'NamedMixin', 'child_names', 'place', 'restore_names', 'subject')

MAX_LABEL = 255
"""Characters that the storages of AiiDA have for a label."""

SEPARATOR = ' · '


def subject(inputs: Mapping[str, t.Any]) -> str:
    """Return what a process is about, from its inputs: the formula of its structure and the level, or nothing.

    Only inputs named ``structure`` and ``fidelity`` are looked at, also those one namespace below.
    """
    spaces = [inputs, *(space for space in inputs.values() if isinstance(space, Mapping))]
    structure = next((space['structure'] for space in spaces if 'structure' in space), None)
    if not isinstance(structure, StructureData):
        return ''
    fidelity = inputs.get('fidelity')
    level = f' {fidelity.value}' if isinstance(fidelity, Str) else ''
    return f'{_formula(structure)}{level}'


def _formula(structure: StructureData) -> str:
    """Return the reduced formula of a crystal, and the full one of atoms and molecules: H, H2."""
    from pymatgen.core import Composition

    if not all(structure.pbc):
        return str(structure.get_formula('hill_compact'))
    return str(Composition(structure.get_formula('hill')).reduced_formula)


def place(parent: ProcessNode, link_label: str) -> str:
    """Return where a process stands that ``parent`` calls as ``link_label``."""
    return SEPARATOR.join(filter(None, (parent.label, link_label)))[:MAX_LABEL]


def child_names(parent: ProcessNode, link_label: str, inputs: Mapping[str, t.Any]) -> dict[str, str]:
    """Return label and description of a process that ``parent`` calls as ``link_label`` with ``inputs``.

    The label is what the process is about (``LiH PBE``), or where in its caller it stands (``lih · cycle001``).
    """
    own = subject(inputs)
    if not own or parent.label.startswith(own):
        own = place(parent, link_label)
    caller = ' '.join(filter(None, (parent.process_label, parent.label)))
    return {'label': own[:MAX_LABEL], 'description': f'{link_label} of {caller} ({parent.uuid[:8]})'}


def restore_names(node: ProcessNode, names: Mapping[str, str]) -> ProcessNode:
    """Return a process that was called ``names``: one from the cache took those of the process that ran before."""
    for name, text in names.items():
        if getattr(node, name) != text:
            setattr(node, name, text)
    return node


class NamedMixin:
    """Mixin, before a work chain: it has a label, and so has all that it calls, unless somebody chose another one."""

    node: t.Any
    inputs: t.Any

    def _setup_metadata(self, metadata: dict[str, t.Any]) -> None:
        """Call a process without a label what it is about."""
        super()._setup_metadata(metadata)  # type: ignore[misc]
        if not self.node.label:
            self.node.label = subject(self.inputs)[:MAX_LABEL]

    def submit(self, process: t.Any, inputs: Mapping[str, t.Any] | None = None, **kwargs: t.Any) -> ProcessNode:
        """Submit a child, a class with its inputs or a builder, with a label and a description."""
        given = process if not isinstance(process, type) else {**(inputs or {}), **kwargs}
        metadata = given.get('metadata', {})
        names = child_names(self.node, metadata.get('call_link_label', 'CALL'), given)
        missing = {name: text for name, text in names.items() if not metadata.get(name)}
        if isinstance(process, type):
            given['metadata'] = {**metadata, **missing}
            child = super().submit(process, given)  # type: ignore[misc]
        else:
            for name, text in missing.items():
                setattr(process.metadata, name, text)
            child = super().submit(process, inputs, **kwargs)  # type: ignore[misc]
        return restore_names(child, missing)
