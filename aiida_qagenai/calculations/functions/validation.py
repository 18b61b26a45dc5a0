"""The steps of the validation of ordered crystals that need no potential."""

from __future__ import annotations

import typing as t

from aiida.engine import calcfunction
from aiida.orm import Dict

from aiida_qagenai.chemistry.symmetry import symmetrised
from aiida_qagenai.data.candidate import CandidateData, candidate_name
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.evaluation.ordered import judge_ordered, summary_of
from aiida_qagenai.exchange.geometry import GeometricConstraint
from aiida_qagenai.exchange.masks import SiteMask
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.thermodynamics.references.potential_errors import potential_error

__all__ = ('judge_candidates', 'symmetrise_candidates')


@calcfunction
def symmetrise_candidates(structures: DatasetData, parameters: Dict) -> dict[str, t.Any]:
    """Return the structures moved onto their symmetry, or as they are, as candidates and packed.

    :param structures: packed structures with the names that people know.
    :param parameters: ``tolerance``, Å; None leaves them as they are.
    """
    batch = structures.structures()
    tolerance = parameters['tolerance']
    crystals = [each if tolerance is None else symmetrised(each, tolerance) for each in batch.structures()]
    nodes = {
        f'c{index:05d}': CandidateData(crystal, index=index, origin=str(name))
        for index, (name, crystal) in enumerate(zip(batch.identifiers.tolist(), crystals, strict=True))
    }
    packed = StructureBatch.from_structures(crystals, [candidate_name(0, index) for index in range(len(crystals))])
    return {'candidates': nodes, 'candidate_set': DatasetData(packed)}


@calcfunction
def judge_candidates(
    structures: DatasetData, relaxed: DatasetData, results: Dict, screening: Dict, parameters: Dict
) -> Dict:
    """Return the verdicts on relaxed crystals: duplicates, distances to the hull, constraints and the Pareto front.

    :param structures: as they were given, with the names that people know.
    :param relaxed: all of them in the same order, those as given that were not relaxed.
    :param results: of the relaxation.
    :param screening: name → why a crystal was not relaxed.
    :param parameters: ``constraints``, ``potential`` (its name), ``limit`` (eV/atom), ``min_references``, and ``mask``
        where atoms were held.
    :returns: ``verdicts``, a record of :class:`~aiida_qagenai.evaluation.ordered.OrderedVerdict` for each;
        ``summary``, their counts; ``constraints``, ``limit``, ``potential`` (its tag) and ``potential_error``.
    """
    options = parameters.get_dict()
    constraints = [GeometricConstraint.of_text(text) for text in options['constraints']]
    mask = SiteMask.parse(options['mask']) if 'mask' in options else None
    batch = relaxed.structures()
    known = {each['identifier']: each for each in results['relaxations']}
    left_out = screening.get_dict()
    outcomes = [
        known.get(name) or {'converged': False, 'energy_per_atom': None, 'reason': left_out.get(name, 'not relaxed')}
        for name in map(str, batch.identifiers)
    ]
    error = potential_error(options['potential'])
    verdicts = judge_ordered(
        [str(name) for name in structures.structures().identifiers],
        batch.structures(),
        outcomes,
        weights=[*(each.weight for each in constraints), *([1.0] if mask else [])],
        of_formation=options['potential'] == 'validator',
        error=None if error is None else error.mae,
        limit=options['limit'],
        min_references=options['min_references'],
    )
    return Dict(
        {
            'verdicts': [each.to_dict() for each in verdicts],
            'summary': summary_of(verdicts),
            'constraints': [*(each.text for each in constraints), *([f'{mask.text} held'] if mask else [])],
            'limit': options['limit'],
            'potential': results['potential'],
            'potential_error': None if error is None else error.text,
        }
    )
