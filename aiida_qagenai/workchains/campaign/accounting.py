"""What the calculations under a process cost."""

from __future__ import annotations

from aiida.orm import ProcessNode

from aiida_qagenai.queries.costs import costs

__all__ = ('core_hours',)

PROGRAMS = {'PyscfCellCalculation': 'pyscf', 'PwCalculation': 'espresso'}
"""Which component of the ledger pays for a process; all others belong to the models."""


def core_hours(node: ProcessNode) -> dict[str, float]:
    """Return the core hours of all jobs called under ``node``, failed ones included, by component.

    :return: ``pyscf`` (energies, and relaxations by PySCF), ``espresso`` (relaxations by pw.x) and ``ml`` (the models).
    """
    table = costs(node.pk)
    components = table['process'].map(PROGRAMS).fillna('ml')
    hours = table['core_hours'].groupby(components).sum()
    return {name: float(hours.get(name, 0.0)) for name in (*PROGRAMS.values(), 'ml')}
