"""Choose the proposals of a round of inverse design that are computed, and sum up what came out."""

from __future__ import annotations

from aiida.engine import calcfunction
from aiida.orm import ArrayData, Dict, StructureData

from aiida_qagenai.common.properties import PROPERTIES
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.data.elastic import ElasticData
from aiida_qagenai.selection.design import MODULI, nearest, unseen
from aiida_qagenai.selection.targets import PredictedProperty, PropertyTarget

__all__ = ('choose_nearest', 'sum_up_round')


@calcfunction
def choose_nearest(candidate_set: DatasetData, properties: ArrayData, settings: Dict, **earlier: StructureData) -> Dict:
    """Return which structures are computed: ``rows`` in the set and their ``predicted`` values.

    :param settings: ``target`` (a text), ``per_round`` and ``known``, the rows of known crystals, which are left out.
    :param earlier: structures that earlier rounds computed: none of them is computed again.
    """
    target = PropertyTarget.parse(settings['target'])
    structures = candidate_set.structures().structures()
    known = set(settings['known'])
    rows = [row for row in unseen(structures, [node.get_pymatgen() for node in earlier.values()]) if row not in known]
    values, sigma = properties.get_array('properties'), properties.get_array('property_sigma')
    predicted = [
        PredictedProperty(*(dict(zip(PROPERTIES, array[row].tolist(), strict=True)) for array in (values, sigma)))
        for row in rows
    ]
    formulas = [structures[row].composition.reduced_formula for row in rows]
    taken = nearest(target, formulas, predicted, settings['per_round'])
    values_of = [predicted[index].values[target.name] for index in taken]
    return Dict({'rows': [rows[index] for index in taken], 'predicted': values_of})


@calcfunction
def sum_up_round(settings: Dict, chosen: Dict, **tensors: ElasticData) -> Dict:
    """Return the errors of one round and which of its crystals have the property that is wanted.

    ``mape_target`` is the mean of ``abs(computed / target − 1)``, ``mape_predicted`` that of
    ``abs(predicted / computed − 1)`` over the mechanically stable crystals, of which there are ``stable``; ``within``
    are the labels of those in the window.

    :param settings: ``target``, a text.
    :param tensors: in the order of ``chosen`` by their labels.
    """
    target = PropertyTarget.parse(settings['target'])
    values = {label: node.base.attributes.get(MODULI[target.name]) for label, node in sorted(tensors.items())}
    pairs = [(value, said) for value, said in zip(values.values(), chosen['predicted'], strict=True) if value]
    return Dict(
        {
            'computed': values,
            'stable': len(pairs),
            'mape_target': _mean([abs(value / target.wanted - 1) for value, _ in pairs]),
            'mape_predicted': _mean([abs(said / value - 1) for value, said in pairs]),
            'within': [label for label, value in values.items() if value and target.minimum <= value <= target.maximum],
        }
    )


def _mean(errors: list[float]) -> float | None:
    return sum(errors) / len(errors) if errors else None
