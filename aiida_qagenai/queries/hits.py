"""Computed candidates of campaigns on the hull of each level of theory."""

from __future__ import annotations

import typing as t

import pandas as pd
from aiida import orm

from aiida_qagenai.common.fidelity import LADDER
from aiida_qagenai.data.assessment import AssessmentData
from aiida_qagenai.data.candidate import candidate_name
from aiida_qagenai.queries.campaigns import Campaign, among, find_campaign
from aiida_qagenai.queries.outputs import created_by
from aiida_qagenai.queries.stages import cycle_number

__all__ = ('hits', 'placed')

COLUMNS = (
    *('name', 'formula', 'cycle', 'level', 'e_above_hull', 'decomposition_energy', 'decomposition', 'stability'),
    *('hit', 'last', 'known_as', 'divergence', 'divergence_hit', 'complete', 'missing', 'references'),
    *('level_tag', 'uuid'),
)


def hits(campaign: int | str) -> pd.DataFrame:
    """Return the computed candidates of a campaign on the hull of each level, in the order of their cycles.

    A hull is that of the cycle which computed the candidate: energies of later cycles may lie below it.

    :param campaign: label, pk or uuid.
    :return: a row per candidate and level: ``name``, ``formula``, ``cycle``, ``level``, ``e_above_hull`` and
        ``decomposition_energy`` (eV/atom; missing where the competing phases cannot express the composition),
        ``decomposition``, ``stability``, whether it is a ``hit`` at this level, whether that level is the ``last`` of
        the candidate, which decides, ``known_as`` (crystal of the motif library that it equals), ``divergence``
        (eV/atom), ``divergence_hit``, whether the hull is ``complete``, what is ``missing``, the number of compositions
        that it rests on (``references``), ``level_tag``, and the ``uuid`` of the node.
    :raises aiida_qagenai.common.errors.InvalidInputError: if there is no such campaign.
    """
    found = find_campaign(campaign)
    known = _known(found)
    rows = [row for number, uuid, content in placed(found) for row in _rows(number, uuid, content)]
    table = pd.DataFrame([{**row, 'known_as': known.get(row['name'])} for row in rows], columns=list(COLUMNS))
    numbers = ['e_above_hull', 'decomposition_energy', 'divergence']
    return table.astype({**dict.fromkeys(numbers, float), 'hit': bool, 'last': bool, 'divergence_hit': bool})


def placed(campaign: Campaign) -> list[tuple[int, str, dict[str, t.Any]]]:
    """Return the number of each cycle that computed anything, the uuid of its node of hits, and what that holds."""
    called = campaign.called()
    stages = {
        process.pk: cycle_number(process.link_label) for process in called if process.process_label[:5] == 'Cycle'
    }
    functions = {
        process.pk: stages[process.caller]
        for process in called
        if process.link_label.startswith('hits') and process.caller in stages and process.is_finished_ok
    }
    builder = orm.QueryBuilder().append(orm.CalcFunctionNode, filters=among('id', functions), tag='f', project='id')
    builder.append(orm.Dict, with_incoming='f', project=['uuid', 'attributes'])
    return sorted((functions[pk], uuid, content) for pk, uuid, content in builder.all())


def _known(campaign: Campaign) -> dict[str, str]:
    """Return the identifier of the library crystal that a candidate equals, by the name of the candidate."""
    processes = [process.pk for process in campaign.called() if process.is_calculation]
    fields = ['attributes.cycle', 'attributes.index', 'attributes.known_as']
    builder = created_by(processes, AssessmentData, fields, filters={'attributes.selected': True})
    return {candidate_name(cycle, index): known for cycle, index, known in builder.all() if known}


def _rows(cycle: int, uuid: str, content: dict[str, t.Any]) -> t.Iterator[dict[str, t.Any]]:
    levels = {level.value: content['levels'][level.value] for level in LADDER if level.value in content['levels']}
    last = {label: name for name, level in levels.items() for label in level['results']}
    for name, level in levels.items():
        for label, result in level['results'].items():
            yield {
                'name': candidate_name(cycle, int(label[1:])),
                'cycle': cycle,
                'level': name,
                **{key: result[key] for key in ('formula', 'e_above_hull', 'decomposition_energy', 'stability')},
                'decomposition': ' + '.join(result['decomposition']),
                'hit': label in level['hits'],
                'last': last[label] == name,
                'divergence': content['divergence'].get(label),
                'divergence_hit': label in content['divergence_hits'],
                'complete': result['complete'],
                'missing': ', '.join(result['missing']),
                'references': result['num_references'],
                'level_tag': level['level_tag'],
                'uuid': uuid,
            }
