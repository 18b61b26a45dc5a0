"""The cheap filter before the relaxation of candidates."""

from __future__ import annotations

from aiida.engine import calcfunction
from aiida.orm import Dict

from aiida_qagenai.chemistry.constraints import default_constraints, screen
from aiida_qagenai.data.dataset import DatasetData

__all__ = ('screen_candidates',)


@calcfunction
def screen_candidates(candidate_set: DatasetData, parameters: Dict) -> Dict:
    """Return the candidates that are not relaxed: name → the first constraint that they fail, and why.

    :param candidate_set: candidates, packed.
    :param parameters: ``stage``, whose constraints apply; optional ``constraints``, the names of those that do.
    """
    batch, found = candidate_set.structures(), {}
    names = parameters.get_dict().get('constraints')
    chosen = [each for each in default_constraints() if names is None or each.name in names]
    for name, structure in zip(batch.identifiers.tolist(), batch.structures(), strict=True):
        screening = screen(structure, chosen, parameters['stage'])
        if not screening.passed:
            verdict = next(each for each in screening.verdicts if each.verdict == 'fail')
            found[str(name)] = f'not relaxed: {verdict.name.replace("_", " ")} ({verdict.reason or "failed"})'
    return Dict(found)
