"""Motifs that start the samples where a band gap or a modulus is asked for: those whose predicted one is near it.

The prediction is of the motif with exchanged elements, before any diffusion, so that hundreds can be looked at.
"""

from __future__ import annotations

import functools
import typing as t
from collections.abc import Sequence

from aiida_qagenai.common.properties import PROPERTIES
from aiida_qagenai.exchange.requests import MotifsRequest
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.ml.gaps.model import load_gap_model
from aiida_qagenai.ml.properties.model import load_property_model
from aiida_qagenai.ml.runtime import Runtime
from aiida_qagenai.selection.targets import GapTarget, Predicted, PredictedProperty, Target, merit, varied

if t.TYPE_CHECKING:
    from aiida_qagenai.motifs.propose import Proposal

__all__ = ('aimed_proposals',)


def aimed_proposals(request: MotifsRequest, target: Target, count: int, runtime: Runtime) -> list[Proposal]:
    """Return at most ``count`` proposals near a target, the best first.

    Of a chemical system no more than :func:`~aiida_qagenai.motifs.propose.most_alike` have one composition, or one
    prototype.

    :raises InvalidInputError: if no known crystal can be changed into what is wanted.
    """
    from aiida_qagenai.motifs.propose import is_balanced, kinds_of, most_alike

    alike = {'target': None, 'novelty': 0.0, 'refine': True}  # none of these changes what there is to choose among
    proposals = _choices(request.model_copy(update=alike).model_dump_json())
    structures = [each.structure for each in proposals]
    predicted: t.Any = _predicted(target, StructureBatch.from_structures(structures), runtime)
    merits = [
        merit(target, found, balanced=is_balanced(structure), probability=proposal.probability)
        for found, structure, proposal in zip(predicted, structures, proposals, strict=True)
    ]
    order = sorted(range(len(proposals)), key=lambda index: -merits[index])
    if request.composition is not None:
        return [proposals[index] for index in order[:count]]
    pairs = zip(structures, proposals, strict=True)
    kinds = [kinds_of(structure, proposal.space_group) for structure, proposal in pairs]
    return [proposals[index] for index in varied(order, kinds, count, most_alike(count))]


@functools.lru_cache(maxsize=4)
def _choices(request: str) -> list[Proposal]:
    """Return what there is to choose among for a request, as JSON; several levels of noise and targets share it."""
    from aiida_qagenai.motifs.requested import choices_of, models_of

    asked = MotifsRequest.model_validate_json(request)
    return choices_of(asked, models_of(asked))


def _predicted(
    target: Target, structures: StructureBatch, runtime: Runtime
) -> Sequence[Predicted] | Sequence[PredictedProperty]:
    """Return the property that a target is about, of crystals."""
    if isinstance(target, GapTarget):
        gaps = load_gap_model(runtime).of_structures(structures)
        rows = zip(*(each[:, 0].tolist() for each in (gaps.gaps, gaps.sigma, gaps.metal_probability)), strict=True)
        return [Predicted(*row) for row in rows]
    found = load_property_model(runtime)[0].of_structures(structures)
    pairs = zip(found.values.tolist(), found.sigma.tolist(), strict=True)
    return [
        PredictedProperty(dict(zip(PROPERTIES, value, strict=True)), dict(zip(PROPERTIES, sigma, strict=True)))
        for value, sigma in pairs
    ]
