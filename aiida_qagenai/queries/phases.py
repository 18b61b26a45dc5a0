"""The distinct phases that a campaign found: known ones that came out again, new ones, and what PBE mis-ranks."""

from __future__ import annotations

import itertools
import typing as t

import pandas as pd
from aiida import orm

from aiida_qagenai.chemistry.formula import parse_formula
from aiida_qagenai.common.fidelity import LADDER
from aiida_qagenai.queries.campaigns import find_campaign
from aiida_qagenai.queries.candidates import candidates
from aiida_qagenai.thermodynamics.hull.reference import ReferenceHull

__all__ = ('COLUMNS', 'NEAR_HULL', 'found_phases', 'misranked_pairs')

NEAR_HULL = 0.1
"""Largest distance to the predicted hull of a new phase that is listed, eV/atom."""

COLUMNS = (
    *(
        'phase',
        'known_as',
        'formula',
        'space_group_number',
        'num_sites',
        'stable_phase',
        'trained_on',
        'count',
        'cycle',
    ),
    *('e_above_hull', 'hull_fidelity', 'divergence', 'divergence_computed'),
    *(f'formation_{level.label}' for level in LADDER),
    *('top_fidelity', 'note', 'name', 'candidate_uuid', 'pk'),
)

SEED_PREFIX = '000-'
"""Beginning of the names of the structures of the initial set."""


def found_phases(campaign: int | str, *, max_e_above_hull: float = NEAR_HULL) -> pd.DataFrame:
    """Return the phases that the cycles of a campaign proposed, each once, nearest to the predicted hull first.

    A phase is a known crystal of the motif library, of which all candidates that equal it are one row; or a candidate
    with all its duplicates. The row is that of the candidate that was computed, or else of the lowest one. Known phases
    are listed at any distance, new ones up to ``max_e_above_hull``.

    :param campaign: label, pk or uuid.
    :param max_e_above_hull: eV/atom, itself included.
    :return: columns ``COLUMNS``: ``phase`` is ``rediscovered`` where no known compound of the system was used to
        generate (``generate.exclude_system``), ``known`` where they were, and ``new``; ``stable_phase`` is the
        identifier in the Materials Project of the stable phase of the composition, if there is one; ``trained_on`` says
        whether the initial set of the campaign has the same crystal; ``count`` is the number of candidates.
    :raises aiida_qagenai.common.errors.InvalidInputError: if there is no such campaign.
    """
    table = candidates(campaign, sort_by='e_above_hull')
    table = table[(table['cycle'] > 0) & table['passed_constraints'].fillna(False).astype(bool)]
    table = table.assign(key=_keys(table), trained_on=table['duplicate_of'].map(_is_seed))
    table = table.assign(computed=table['divergence_computed'].notna())
    table = table.sort_values(['computed', 'e_above_hull', 'name'], ascending=[False, True, True])
    groups = table.groupby('key', sort=False)
    found = (
        groups.first()
        .reset_index()
        .assign(
            known_as=groups['known_as'].first().to_numpy(),
            trained_on=groups['trained_on'].any().to_numpy(),
            count=groups.size().to_numpy(),
            cycle=groups['cycle'].min().to_numpy(),
        )
    )
    is_known = found['known_as'].notna()
    found = found.assign(
        phase=is_known.map({True: 'rediscovered' if _excludes_system(campaign) else 'known', False: 'new'}),
        stable_phase=found['formula'].map(_stable_phases(found['formula'])).astype(object),
    )
    near = pd.to_numeric(found['e_above_hull']) <= max_e_above_hull
    return found[is_known | near].sort_values(['e_above_hull', 'name'])[list(COLUMNS)].reset_index(drop=True)


def misranked_pairs(campaign: int | str) -> pd.DataFrame:
    """Return the pairs of computed crystals of one composition, those whose order PBE reverses first.

    Only crystals of one composition are compared: formation energies of others do not compete. Strained and perturbed
    copies of the initial set are left out.

    :return: columns ``formula``; ``lower`` and ``higher``, names of the two by the energy at PBE, with
        ``lower_group`` and ``higher_group``, their space groups; ``pbe`` and ``top``, energy of the second minus that
        of the first at PBE and at the top rung, eV/atom; ``top_fidelity``; ``note``, ``not scientific`` if one of
        them is that; ``misranked``, whether ``top`` is negative.
    :raises aiida_qagenai.common.errors.InvalidInputError: if there is no such campaign.
    """
    table = candidates(campaign, computed=True).dropna(subset=['divergence_computed'])
    ideal = (table['cycle'] > 0) | table['origin'].fillna('').str.endswith('ideal')
    rows = []
    for formula, part in table[ideal].groupby('formula'):
        records = part.sort_values('formation_pbe').to_dict('records')
        for one, other in itertools.combinations(records, 2):
            level = next(each for each in LADDER if each.value == one['top_fidelity'])
            rows.append(
                {
                    'formula': formula,
                    'lower': one['name'],
                    'higher': other['name'],
                    'lower_group': one['space_group_number'],
                    'higher_group': other['space_group_number'],
                    'pbe': other['formation_pbe'] - one['formation_pbe'],
                    'top': other[f'formation_{level.label}'] - one[f'formation_{level.label}'],
                    'top_fidelity': level.value,
                    'note': one['note'] or other['note'] or '',
                }
            )
    names = ('formula', 'lower', 'higher', 'lower_group', 'higher_group', 'pbe', 'top', 'top_fidelity', 'note')
    pairs = pd.DataFrame(rows, columns=list(names))
    pairs['misranked'] = pairs['top'] < 0
    return pairs.sort_values('top', ignore_index=True)


def _keys(table: pd.DataFrame) -> pd.Series[str]:
    """Return what candidates that are one phase have in common: the known crystal, else the first of the equal ones."""
    names = table['duplicate_of'].where(table['duplicate_of'].notna(), table['name'])
    # A candidate of a later cycle may equal one that was not computed, of which it is not marked as a duplicate.
    prints = table.set_index('name')['fingerprint'].drop_duplicates()
    first = pd.Series(prints.index, index=prints.to_numpy())
    own = names.map(table.set_index('name')['fingerprint']).map(first)
    keys: pd.Series[str] = table['known_as'].where(table['known_as'].notna(), own.where(own.notna(), names))
    return keys


def _is_seed(name: t.Any) -> bool:
    return isinstance(name, str) and name.startswith(SEED_PREFIX)


def _excludes_system(campaign: int | str) -> bool:
    """Return whether the settings of the last process of a campaign leave out known compounds of its system."""
    node = orm.load_node(find_campaign(campaign).processes[-1])
    settings = node.inputs.parameters.get_dict() if 'parameters' in node.inputs else {}
    return bool(settings.get('generate', {}).get('exclude_system'))


def _stable_phases(formulas: t.Iterable[str]) -> dict[str, str]:
    """Return formula → identifier of the stable phase of that composition in the Materials Project."""
    elements = {element for formula in formulas for element in parse_formula(formula)}
    if not elements:
        return {}
    return {phase.reduced_formula: str(phase.identifier) for phase in ReferenceHull.default().phases(elements)}
