"""Which task of a ladder may start, and in which order."""

from __future__ import annotations

import typing as t

from aiida_qagenai.calculations.functions.dataset import energy_label
from aiida_qagenai.common.fidelity import LADDER, Fidelity

__all__ = ('PBE_REFERENCES', 'REFER', 'RELAX', 'ready', 'task_name', 'urgency')

RELAX = 'relax'
REFER = 'references'
"""Steps besides the fidelities; of the second the label is a fidelity, not a structure."""

PBE_REFERENCES = (REFER, Fidelity.PBE.value)


def urgency(step: str, label: str) -> int:
    """Return the place of a task in the order: what others wait for comes first, then long ones."""
    places = [PBE_REFERENCES, (RELAX, label), (Fidelity.PBE.value, label), (REFER, label)]
    if (step, label) in places:
        return len(LADDER) + len(places) - places.index((step, label))
    return Fidelity(step).rank


def ready(
    waiting: t.Sequence[t.Sequence[str]],
    running: t.Collection[t.Sequence[str]],
    limit: int,
    magnetic: t.Collection[str] = (),
) -> list[t.Sequence[str]]:
    """Return the first ``limit`` tasks, pairs of step and label, that may start.

    Energies wait for the relaxed structure and for what their level refers to, a CCSD(T) for the gap of its structure
    at PBE, and the references of the higher levels for those of PBE, for which everything else waits.

    :param magnetic: labels of structures whose magnetic orderings are compared at PBE before the higher levels.
    """
    open_tasks = {tuple(task) for task in (*waiting, *running)}

    def may_start(step: str, label: str) -> bool:
        needed = [] if step == RELAX else [PBE_REFERENCES]
        if step in LADDER:
            needed += [(RELAX, label), (REFER, step)]
        if step == Fidelity.CCSD_T.value or (step in LADDER and label in magnetic):
            needed.append((Fidelity.PBE.value, label))
        return not any(other in open_tasks for other in needed if other != (step, label))

    return [task for task in waiting if may_start(*task)][: max(0, limit)]


def task_name(step: str, label: str) -> str:
    """Return the label of the call of a task."""
    if step == REFER:
        return f'{REFER}{Fidelity(label).label}'
    return f'{RELAX}{label}' if step == RELAX else energy_label(label, Fidelity(step))
