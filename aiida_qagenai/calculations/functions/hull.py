"""Place the structures of one set on the hull of another."""

from __future__ import annotations

from aiida.engine import calcfunction
from aiida.orm import Dict

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.data.phases import phases_from_dataset
from aiida_qagenai.thermodynamics.hull.convex_hull import STABLE_LIMIT, CompetingPhases, distances_to_hull

__all__ = ('place_on_hull',)

OPTIONS = frozenset({'fidelity', 'elements_at_zero', 'candidates_compete', 'min_references', 'tolerance'})


@calcfunction
def place_on_hull(candidates: DatasetData, competing: DatasetData, parameters: Dict) -> Dict:
    """Return where every candidate with an energy stands.

    :param candidates: labelled set.
    :param competing: labelled set of known phases, of the same level tag and formation scheme.
    :param parameters: ``fidelity``; optional ``elements_at_zero`` (true by default: formation energies),
        ``candidates_compete`` (false), ``min_references`` (0: never abstain) and ``tolerance`` (eV/atom).
    :returns: ``results``, a list of records of
        :class:`~aiida_qagenai.thermodynamics.hull.convex_hull.HullResult` in the order of the
        set, with the name there as ``identifier``; the counts of the classes of Table 2 and of incomplete hulls.
    :raises InvalidInputError: if a parameter is unknown, or levels of theory are mixed.
    """
    options = parameters.get_dict()
    unknown = sorted(set(options) - OPTIONS)
    if unknown:
        raise InvalidInputError(f'unknown parameters {", ".join(unknown)}: choose from {", ".join(sorted(OPTIONS))}')
    level = Fidelity.parse(options.get('fidelity', Fidelity.PBE.value))
    known = CompetingPhases(
        phases_from_dataset(competing, level), elements_at_zero=options.get('elements_at_zero', True)
    )
    placed = distances_to_hull(
        phases_from_dataset(candidates, level),
        known,
        candidates_compete=options.get('candidates_compete', False),
        tolerance=options.get('tolerance', STABLE_LIMIT),
        min_references=options.get('min_references', 0),
    )
    classes: dict[str, int] = {}
    for result in placed:
        classes[result.stability] = classes.get(result.stability, 0) + 1
    return Dict(
        {
            'results': [
                {**result.to_dict(), 'identifier': str(result.identifier).rsplit(' ', 1)[0]} for result in placed
            ],
            'stability': classes,
            'incomplete': sum(not result.complete for result in placed),
            'fidelity': level.value,
        }
    )
