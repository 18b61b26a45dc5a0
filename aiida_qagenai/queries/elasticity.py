"""Searches for elastic tensors."""

from __future__ import annotations

import pandas as pd

from aiida_qagenai.data.elastic import ElasticData
from aiida_qagenai.queries.tables import attributes, created, parse_system

__all__ = ('elastic_tensors',)

FIELDS = (
    'formula',
    'chemical_system',
    'num_atoms',
    'potential',
    'has_tensor',
    'mechanically_stable',
    'bulk_modulus_vrh',
    'shear_modulus_vrh',
    'young_modulus',
    'poisson_ratio',
    'universal_anisotropy',
    'energy_per_atom',
    'volume_per_atom',
    'smallest_eigenvalue',
    'asymmetry',
    'reason',
    'structure_uuid',
)


def elastic_tensors(
    *,
    chemical_system: str | None = None,
    mechanically_stable: bool | None = None,
    min_bulk_modulus: float | None = None,
    max_bulk_modulus: float | None = None,
) -> pd.DataFrame:
    """Return all elastic tensors, newest first; moduli in GPa, see ``ElasticData``.

    :param min_bulk_modulus: Voigt–Reuss–Hill, GPa.
    :param max_bulk_modulus: the same.
    """
    filters = attributes(chemical_system=parse_system(chemical_system), mechanically_stable=mechanically_stable)
    limits = {'>=': min_bulk_modulus, '<=': max_bulk_modulus}
    asked = [{sign: limit} for sign, limit in limits.items() if limit is not None]
    if asked:
        filters['attributes.bulk_modulus_vrh'] = {'and': asked}
    table = created(ElasticData, FIELDS, filters, {'ctime': 'created', 'id': 'pk'})
    booleans = {'has_tensor': 'boolean', 'mechanically_stable': 'boolean'}
    return table.astype(booleans).sort_values('created', ascending=False).reset_index(drop=True)
