"""Searches over candidates, predictions, assessments and energies, as pandas tables.

Thin functions over the QueryBuilder: filters run in the database on scalar attributes, and only scalars are fetched.
Energies are in eV or eV/atom as the column says. Numbers that come from a level of theory without scientific value,
or from a model trained on such numbers, are marked in the column ``note``.
"""

from aiida_qagenai.queries.candidates import candidates
from aiida_qagenai.queries.energies import divergences, energies, energies_side_by_side
from aiida_qagenai.queries.lineage import lineage
from aiida_qagenai.queries.overview import campaign_summary, campaigns, cost_ledger
from aiida_qagenai.queries.structures import candidates_like, structures

__all__ = (
    'campaign_summary',
    'campaigns',
    'candidates',
    'candidates_like',
    'cost_ledger',
    'divergences',
    'energies',
    'energies_side_by_side',
    'lineage',
    'structures',
)
