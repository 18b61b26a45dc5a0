"""What the calculations under a process cost."""

from __future__ import annotations

from aiida.orm import ProcessNode

from aiida_qagenai.provenance.costs import costs

__all__ = ('core_hours',)


def core_hours(node: ProcessNode) -> dict[str, float]:
    """Return the core hours of all jobs called under ``node``, failed ones included, for ``pyscf`` and ``ml``."""
    table = costs(node.pk)
    is_energy = table['process'] == 'PyscfCellCalculation'
    return {
        'pyscf': float(table.loc[is_energy, 'core_hours'].sum()),
        'ml': float(table.loc[~is_energy, 'core_hours'].sum()),
    }
