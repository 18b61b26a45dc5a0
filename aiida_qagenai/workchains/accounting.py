"""What the calculations under a process cost."""

from __future__ import annotations

from aiida.orm import CalcJobNode, ProcessNode

__all__ = ('core_hours',)


def core_hours(node: ProcessNode) -> dict[str, float]:
    """Return the core hours of all CalcJobs called under ``node``, failed ones included, for ``pyscf`` and ``ml``.

    What came from the cache was paid for before and counts nothing.
    """
    costs = {'pyscf': 0.0, 'ml': 0.0}
    for child in node.called_descendants:
        if not isinstance(child, CalcJobNode) or child.base.caching.is_created_from_cache:
            continue
        if 'results' not in child.outputs:
            continue
        results = child.outputs.results.get_dict()
        if 'core_hours' in results:
            costs['pyscf'] += float(results['core_hours'])
        else:
            costs['ml'] += float(results.get('timings', {}).get('cpu_seconds', 0.0)) / 3600
    return costs
