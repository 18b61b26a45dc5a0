"""Choose the proposals of a round of inverse design that are computed, and sum up what came out."""

from __future__ import annotations

import typing as t

from aiida.engine import calcfunction
from aiida.orm import ArrayData, Dict, StructureData
from pymatgen.core import Composition

from aiida_qagenai.common.properties import PROPERTIES
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.data.elastic import ElasticData
from aiida_qagenai.evaluation.designed import DesignVerdict, mean_error, verdicts
from aiida_qagenai.evaluation.quantities import amounts_of, anticipated
from aiida_qagenai.selection.design import design_target, nearest, unseen
from aiida_qagenai.selection.targets import PropertyTarget

__all__ = ('choose_nearest', 'judge_round', 'sum_up_round')


@calcfunction
def choose_nearest(candidate_set: DatasetData, properties: ArrayData, settings: Dict, **earlier: StructureData) -> Dict:
    """Return which structures are computed: ``rows`` in the set and their ``predicted`` values, None without one.

    :param settings: ``target`` (a text), ``per_round`` and ``known``, the rows of known crystals, which are left out.
    :param earlier: structures that earlier rounds computed: none of them is computed again.
    """
    target = design_target(settings['target'])
    structures = candidate_set.structures().structures()
    known = set(settings['known'])
    rows = [row for row in unseen(structures, [node.get_pymatgen() for node in earlier.values()]) if row not in known]
    said = dict(zip(PROPERTIES, properties.get_array('properties').T, strict=True))
    if 'formation_energy' in properties.get_arraynames():
        said['formation_energy'] = properties.get_array('formation_energy')
    proposals = [structures[row] for row in rows]
    predicted = anticipated(
        target.name, proposals, [{name: float(array[row]) for name, array in said.items()} for row in rows]
    )
    formulas = [each.composition.reduced_formula for each in proposals]
    taken = nearest(target, formulas, predicted, settings['per_round'])
    return Dict({'rows': [rows[index] for index in taken], 'predicted': [predicted[index] for index in taken]})


@calcfunction
def sum_up_round(settings: Dict, chosen: Dict, **tensors: ElasticData) -> Dict:
    """Return the verdicts on the crystals of one round, each by its label, and their errors.

    ``computed`` values, ``e_above_hull`` (eV/atom) and ``hull``, how complete it is; ``within``, the labels of those in
    the window; ``hits``, of those that are also mechanically stable and near the hull, None if the potential has no
    place on it. ``error_target`` is the mean error of what was computed against what is wanted, ``error_predicted``
    that of what was predicted against what was computed, over the mechanically stable crystals, of which there are
    ``stable``: see ``mean_error``.

    :param settings: ``target``, a text, and ``max_e_above_hull`` of a hit, eV/atom.
    :param tensors: in the order of ``chosen`` by their labels.
    """
    target = design_target(settings['target'])
    found = _verdicts(target, tensors, settings['max_e_above_hull'])
    said = dict(zip(sorted(tensors), chosen['predicted'], strict=True))
    return Dict(
        {
            **_summary(target, found),
            'error_predicted': mean_error(target, [(said[label], each.value) for label, each in _stable(found)]),
            'e_above_hull': {label: each.e_above_hull for label, each in found.items()},
            'hull': {label: each.hull for label, each in found.items()},
            'hits': _hits(found),
        }
    )


@calcfunction
def judge_round(settings: Dict, summary: Dict, **tensors: ElasticData) -> Dict:
    """Return what a potential that no round uses says of the crystals of one round, as :func:`sum_up_round`.

    A hit is mechanically stable and within the window by the judge, and near the hull by the potential of the rounds.

    :param summary: of the round.
    :param tensors: by the judge, those that there are.
    """
    target, limit = design_target(settings['target']), settings['max_e_above_hull']
    found = _verdicts(target, tensors, limit)
    near = {label for label, above in summary['e_above_hull'].items() if above is not None and above <= limit}
    hits = [label for label, each in found.items() if each.within and each.stable and label in near]
    return Dict({**_summary(target, found), 'hits': None if summary['hits'] is None else hits})


def _verdicts(target: PropertyTarget, tensors: dict[str, ElasticData], limit: float) -> dict[str, DesignVerdict]:
    """Return the verdicts by label."""
    figures = {label: node.base.attributes.all for label, node in sorted(tensors.items())}
    compositions = [amounts_of(Composition(each['formula'])) for each in figures.values()]
    return dict(zip(figures, verdicts(target, compositions, list(figures.values()), limit), strict=True))


def _summary(target: PropertyTarget, found: dict[str, DesignVerdict]) -> dict[str, t.Any]:
    """Return what both summaries of a round have."""
    stable = _stable(found)
    return {
        'computed': {label: each.value for label, each in found.items()},
        'stable': len(stable),
        'error_target': mean_error(target, [(each.value, target.wanted) for _, each in stable]),
        'within': [label for label, each in found.items() if each.within],
    }


def _stable(found: dict[str, DesignVerdict]) -> list[tuple[str, DesignVerdict]]:
    return [(label, each) for label, each in found.items() if each.stable]


def _hits(found: dict[str, DesignVerdict]) -> list[str] | None:
    """Return the labels of the hits, None where the potential has no place on the hull."""
    if any(each.hit is None for each in found.values()):
        return None
    return [label for label, each in found.items() if each.hit]
