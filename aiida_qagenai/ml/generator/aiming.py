"""Motifs that start the samples where a property is asked for: those whose predicted one is near it.

The prediction is of the motif with exchanged elements, before any diffusion, so that hundreds can be looked at.
"""

from __future__ import annotations

import dataclasses
import functools
import typing as t
from collections.abc import Sequence
from pathlib import Path

from aiida_qagenai.common.properties import DESCRIBED, PROPERTIES
from aiida_qagenai.exchange.requests import MotifsRequest
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.ml.gaps.model import GapModel, load_gap_model
from aiida_qagenai.ml.properties.described import describe, load_descriptor_heads
from aiida_qagenai.ml.properties.model import PropertyModel, load_property_model
from aiida_qagenai.ml.runtime import Runtime
from aiida_qagenai.selection.targets import (
    AnyPredicted,
    GapTarget,
    JointTarget,
    Predicted,
    PredictedProperty,
    Target,
    predict_parts,
)

if t.TYPE_CHECKING:
    from aiida_qagenai.motifs.propose import Proposal

__all__ = ('Predictor', 'aimed_proposals')


@dataclasses.dataclass
class Predictor:
    """The models that predict what is asked for, loaded where they are needed.

    :param labels: packed training set whose gaps and descriptors at PBE these models learn from.
    """

    runtime: Runtime
    labels: Path | None = None

    @functools.cached_property
    def _gaps(self) -> GapModel:
        return load_gap_model(self.runtime, labels=self.labels)

    @functools.cached_property
    def _properties(self) -> PropertyModel:
        return load_property_model(self.runtime, validator=self._gaps.validator)[0]

    @functools.cached_property
    def _descriptors(self) -> PropertyModel:
        return load_descriptor_heads(self.runtime, self.labels, gaps=self._gaps)

    def predict(self, target: Target, structures: StructureBatch) -> Sequence[AnyPredicted]:
        """Return the property that a target is about, of crystals."""
        if isinstance(target, JointTarget):
            return predict_parts(target, lambda part: self.predict(part, structures))
        if isinstance(target, GapTarget):
            gaps = self._gaps.of_structures(structures)
            rows = zip(*(each[:, 0].tolist() for each in (gaps.gaps, gaps.sigma, gaps.metal_probability)), strict=True)
            return [Predicted(*row) for row in rows]
        if target.name in DESCRIBED:
            names, found = tuple(DESCRIBED), describe(self._descriptors, structures)
        else:
            names, found = tuple(PROPERTIES), self._properties.of_structures(structures)
        pairs = zip(found.values.tolist(), found.sigma.tolist(), strict=True)
        return [
            PredictedProperty(dict(zip(names, value, strict=True)), dict(zip(names, sigma, strict=True)))
            for value, sigma in pairs
        ]


def aimed_proposals(request: MotifsRequest, target: Target, count: int, predictor: Predictor) -> list[Proposal]:
    """Return at most ``count`` proposals near a target, the best first.

    Of a chemical system no more than :func:`~aiida_qagenai.motifs.propose.most_alike` have one composition, or one
    prototype.

    :raises InvalidInputError: if no known crystal can be changed into what is wanted.
    """
    from aiida_qagenai.motifs.nearest import nearest_of_kinds, order_of_merit

    alike = {'target': None, 'novelty': 0.0, 'refine': True}  # none of these changes what there is to choose among
    proposals = _choices(request.model_copy(update=alike).model_dump_json())
    structures = [each.structure for each in proposals]
    predicted = predictor.predict(target, StructureBatch.from_structures(structures))
    chosen = order_of_merit(target, structures, predicted, [each.probability for each in proposals])
    if request.composition is None:
        chosen = nearest_of_kinds(chosen, structures, lambda index: proposals[index].space_group, count)
    return [proposals[index] for index in chosen[:count]]


@functools.lru_cache(maxsize=4)
def _choices(request: str) -> list[Proposal]:
    """Return what there is to choose among for a request, as JSON; several levels of noise and targets share it."""
    from aiida_qagenai.motifs.requested import choices_of, models_of

    asked = MotifsRequest.model_validate_json(request)
    return choices_of(asked, models_of(asked))
