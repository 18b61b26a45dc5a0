"""Screen the candidates of a cycle, place them on the hull, score them and choose among them."""

from __future__ import annotations

import dataclasses
import typing as t
from collections.abc import Sequence

import numpy as np
from aiida.engine import Process, calcfunction
from aiida.orm import ArrayData, Dict
from numpy.typing import NDArray

from aiida_qagenai.calculations.functions.duplicates import find_duplicates, find_known
from aiida_qagenai.calculations.functions.known_phases import find_gaps, gap_notes, gaps_of
from aiida_qagenai.chemistry.constraints import Screening, screen
from aiida_qagenai.chemistry.elements import SYMBOLS
from aiida_qagenai.chemistry.formula import parse_formula, reduced_formula
from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.data.assessment import AssessmentData
from aiida_qagenai.data.candidate import CandidateData
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.engine.batch import bulk_inputs
from aiida_qagenai.engine.bulk import store_outputs
from aiida_qagenai.selection.acquisition import CandidatePool
from aiida_qagenai.selection.choose import Choice, allocation, choose
from aiida_qagenai.thermodynamics.hull.convex_hull import HullResult, Phase, distances_to_hull

__all__ = ('assess_candidates',)

STAGES = ('constraints', 'duplicate', 'prediction', 'out of distribution', 'unstable')
"""What can stop a candidate."""


@bulk_inputs('candidates', 'predictions')
@calcfunction
def assess_candidates(
    candidate_set: DatasetData, arrays: ArrayData, competing: DatasetData, parameters: Dict, **kwargs: t.Any
) -> dict[str, t.Any]:
    """Return the verdict on every candidate and the choice of the cycle (Algorithm 1, line 5).

    The funnel: constraints → duplicates of each other and of computed structures → a finite prediction, within the
    distribution of the validator if that is asked for → distance to the predicted hull → score → choice within the
    budget. A rung that the validator was not trained on stops nobody, see ``hull_level``. The hull holds the training
    set, the known phases and the elements, all predicted by the model that predicted the candidates; energies are
    formation energies, so that the elements lie at zero. Where too few phases are known the hull abstains: the
    candidate has no distance and is not rejected by it.

    :param candidate_set: the n candidates, packed: relaxed ones where they were relaxed.
    :param arrays: ``features`` (n, d) and ``competing_energies`` (m, 4), eV/atom, of the m structures of ``competing``
        and ``known_phases``.
    :param competing: training set of the campaign.
    :param parameters: ``screen``, ``select``, ``top`` (CCSD(T) by default), ``remaining_budget`` and ``seed``.
    :param kwargs: the namespaces ``candidates`` and ``predictions``, by the same n labels; ``known_phases`` (optional),
        crystals of the system in the motif library, and ``gaps`` (optional), see ``find_known_phases``.
    :returns: the namespace ``assessments`` by label, and ``selection``: chosen labels, funnel, scaling, gaps of the
        hull, notes.
    """
    options = parameters.get_dict()
    labels = sorted(kwargs['candidates'])
    candidates: list[CandidateData] = [kwargs['candidates'][label] for label in labels]
    predictions = [kwargs['predictions'][label].content for label in labels]
    structures = candidate_set.structures().structures()
    rules = options['screen']
    screenings = [screen(structure, stage=rules.get('stage', 'validation')) for structure in structures]
    passed, known = [screening.passed for screening in screenings], kwargs.get('known_phases')
    duplicates = find_duplicates(candidates, structures, passed, competing)
    known_as = find_known(candidates, structures, known)
    wanted, top = (Fidelity.parse(name) for name in (rules['hull_fidelity'], options.get('top', 'CCSD(T)')))
    level, notes = hull_level(predictions, wanted, top)
    phases = competing_phases(competing, known, arrays, level)
    gaps = find_gaps(kwargs['gaps'].get_dict() if 'gaps' in kwargs else {}, phases)
    hull = predicted_hull(candidates, predictions, phases, level, min_references=rules.get('min_references', 0))
    unfamiliar = [rules.get('out_of_distribution') == 'reject' and each.out_of_distribution for each in predictions]
    columns = zip(screenings, map(bool, duplicates), unfamiliar, hull, strict=True)
    stages = [funnel_stage(*item, rules['max_e_above_hull']) for item in columns]
    pool = make_pool(candidates, predictions, stages, arrays, top=top, limit=options['select'].get('max_atoms'))
    if options['select']['acquisition'] == 'low_fidelity_rank':
        pool = at_low_fidelity(pool, candidates, predictions, competing_phases(competing, known, arrays, Fidelity.PBE))
    choice = choose_within_budget(pool, options)
    assessments = {
        label: AssessmentData(
            **verdict(candidates[row], screenings[row], hull[row], level),
            **choice_fields(choice, row),
            **duplicate_fields(duplicates[row]),
            known_as=known_as[row],
            hull_gaps=gaps_of(candidates[row], gaps),
            divergence=predictions[row].divergence,
            top_fidelity=predictions[row].top_fidelity,
            **stage_fields(stages[row]),
        )
        for row, label in enumerate(labels)
    }
    sigma = mean_sigma(predictions, stages, top)
    selection = summarise(labels, stages, choice, gaps=gaps, notes=notes + gap_notes(gaps), mean_sigma=sigma)
    return {'assessments': store_in_bulk(assessments), 'selection': selection}


# A clone would name the candidates of another run, see ``AssessmentData.candidate_uuid``; a new verdict costs little.
assess_candidates.is_valid_cache = lambda node: False


def store_in_bulk(assessments: dict[str, AssessmentData]) -> dict[str, AssessmentData]:
    """Store all verdicts with the links of the running calculation at once and return them by label."""
    process = Process.current()
    assert process is not None
    stored = store_outputs(process.node, {f'assessments__{label}': item for label, item in assessments.items()})
    return {label.removeprefix('assessments__'): t.cast(AssessmentData, item) for label, item in stored.items()}


def hull_level(
    predictions: list[t.Any], wanted: Fidelity, top: Fidelity = Fidelity.CCSD_T
) -> tuple[Fidelity, list[str]]:
    """Return the level of the hull, the highest up to ``wanted`` with predictions, and notes on what is unknown.

    The validator predicts nothing on a rung that it was not trained on.

    :param top: top rung of the chemical system, above which there is no hull.
    """
    wanted = min(wanted, top, key=lambda each: each.rank)

    def is_known(name: str) -> bool:
        return any(getattr(prediction, name) is not None for prediction in predictions)

    rungs = LADDER[: wanted.rank + 1]
    level = next((rung for rung in reversed(rungs) if is_known(f'energy_{rung.label}')), wanted)
    notes = [] if level is wanted else [f'no prediction at {wanted.value}: the hull is at {level.value}']
    if predictions and not is_known('divergence'):
        notes.append('no divergence is predicted: it ranks nothing')
    if others := sorted({each.top_fidelity or Fidelity.CCSD_T for each in predictions} - {top}):
        notes.append(f'the divergence is that of {others[0]}, which the validator was calibrated for, not of {top}')
    return level, notes


def competing_phases(
    competing: DatasetData, known: DatasetData | None, arrays: ArrayData, level: Fidelity
) -> list[Phase]:
    """Return the phases that compete with the candidates: the training set, then the known crystals.

    Elements compete at zero, which is what formation energies refer to: a prediction below it, of a model that saw few
    of them, would hide every compound.

    :param arrays: ``competing_energies``, predicted, of both after each other, shape (m, 4), eV/atom.
    """
    labels, energies = competing.labels(), arrays.get_array('competing_energies')
    formulas, names = labels.groups.tolist(), labels.structures.identifiers.tolist()
    if known is not None:
        batch = known.structures()
        formulas += [reduced_formula(_amounts(species)) for _, species, _ in batch]
        names += batch.identifiers.tolist()
    compounds = [len(parse_formula(formula)) > 1 for formula in formulas]
    return [
        Phase(formula, float(energy), identifier=name, level=f'predicted {level.value}')
        for formula, energy, name, is_compound in zip(formulas, energies[:, level.rank], names, compounds, strict=True)
        if (is_compound or not any(compounds)) and np.isfinite(energy)
    ]


def _amounts(species: NDArray[np.int64]) -> dict[str, float]:
    numbers, counts = np.unique(species, return_counts=True)
    return {SYMBOLS[number - 1]: float(count) for number, count in zip(numbers, counts, strict=True)}


def predicted_hull(
    candidates: list[CandidateData],
    predictions: list[t.Any],
    phases: Sequence[Phase],
    level: Fidelity,
    *,
    min_references: int = 0,
) -> list[HullResult | None]:
    """Return the place of every candidate on the hull of the competing phases, all at ``level`` by the same model.

    Candidates without a finite prediction have none.
    """
    tag = f'predicted {level.value}'
    values = [getattr(prediction, f'energy_{level.label}') for prediction in predictions]
    diverge = any(prediction.divergence is not None for prediction in predictions)
    lost = [diverge and prediction.divergence is None for prediction in predictions]
    rows = [row for row, value in enumerate(values) if value is not None and not lost[row]]
    proposed = [Phase(candidates[row].formula, values[row], identifier=candidates[row].name, level=tag) for row in rows]
    results = distances_to_hull(proposed, phases, elements_at_zero=True, min_references=min_references)
    placed = dict(zip(rows, results, strict=True))
    return [placed.get(row) for row in range(len(candidates))]


def at_low_fidelity(
    pool: CandidatePool, candidates: list[CandidateData], predictions: list[t.Any], phases: list[Phase]
) -> CandidatePool:
    """Return the pool with the distance of every candidate to the predicted hull at PBE, eV/atom.

    Formation energies of different compositions do not compare. A candidate without a prediction has none; a hull that
    abstains is at the elements.

    :param phases: what competes, at PBE.
    """
    hull = predicted_hull(candidates, predictions, phases, Fidelity.PBE)
    distances = np.full(len(candidates), np.nan)
    for row, (result, prediction) in enumerate(zip(hull, predictions, strict=True)):
        if result is not None:
            above = result.e_above_hull
            distances[row] = max(prediction.energy_pbe, 0.0) if above is None else above
    return dataclasses.replace(pool, low_fidelity_energy=distances)


def funnel_stage(
    screening: Screening, duplicate: bool, unfamiliar: bool, hull: HullResult | None, max_e_above_hull: float
) -> str:
    """Return what stopped a candidate, or `eligible`."""
    if not screening.passed:
        return 'constraints'
    if duplicate:
        return 'duplicate'
    if hull is None:
        return 'prediction'
    if unfamiliar:
        return 'out of distribution'
    # A hull that abstains rejects nothing: elements are at zero, so that no other one is without a distance.
    if hull.e_above_hull is not None and hull.e_above_hull > max_e_above_hull:
        return 'unstable'
    return 'eligible'


def stage_fields(stage: str) -> dict[str, t.Any]:
    """Return the fields of an assessment that the funnel decides."""
    return {'eligible': stage == 'eligible', 'stopped_by': None if stage == 'eligible' else stage}


def duplicate_fields(representative: str | None) -> dict[str, t.Any]:
    """Return the fields of an assessment that say whether an equal structure came before."""
    return {'duplicate': representative is not None, 'duplicate_of': representative}


def make_pool(
    candidates: list[CandidateData],
    predictions: list[t.Any],
    stages: list[str],
    arrays: ArrayData,
    *,
    top: Fidelity,
    limit: int | None = None,
) -> CandidatePool:
    """Return what the acquisition needs, as arrays.

    What no candidate has, of a rung that the validator was not trained on, is equal for all: then it ranks nothing.

    :param top: top rung of the chemical system, whose σ counts.
    :param limit: largest number of atoms of what may be chosen.
    """
    small = [limit is None or candidate.base.attributes.get('num_sites') <= limit for candidate in candidates]

    def column(name: str) -> t.Any:
        values = [getattr(prediction, name) for prediction in predictions]
        missing = 0.0 if all(value is None for value in values) else np.nan
        return np.array([missing if value is None else value for value in values], dtype=np.float64)

    return CandidatePool(
        fingerprints=tuple(candidate.base.attributes.get('fingerprint') for candidate in candidates),
        eligible=np.array([stage == 'eligible' for stage in stages]) & np.array(small, dtype=bool),
        divergence=column('divergence'),
        divergence_signed=column('divergence_signed'),
        divergence_sigma=column('divergence_sigma'),
        sigma=column(f'sigma_{top.label}'),
        features=arrays.get_array('features'),
    )


def verdict(
    candidate: CandidateData, screening: Screening, hull: HullResult | None, level: Fidelity
) -> dict[str, t.Any]:
    """Return the fields of an assessment that screening and hull decide."""
    fields: dict[str, t.Any] = {
        'candidate_uuid': candidate.uuid,
        'cycle': candidate.cycle,
        'index': candidate.index,
        'constraints': screening.to_dict(),
        'passed_constraints': screening.passed,
    }
    if hull is None:
        return fields
    return fields | {
        'e_above_hull': hull.e_above_hull,
        'decomposition_energy': hull.decomposition_energy,
        'decomposition': hull.decomposition,
        'hull_fidelity': level.value,
        'stability': hull.stability,
        'hull_complete': hull.complete,
        'hull_references': hull.num_references,
    }


def choose_within_budget(pool: CandidatePool, options: dict[str, t.Any]) -> Choice:
    """Return the choice within the budget that is left."""
    select = options['select']
    return choose(
        pool,
        budget_k=allocation(options['remaining_budget'], fraction=select['fraction'], cap=select['cap']),
        audit_fraction=select['audit_fraction'],
        arm=select['acquisition'],
        divergence=select['divergence'],
        num_clusters=select['num_clusters'],
        seed=options['seed'],
    )


def choice_fields(choice: Choice, row: int) -> dict[str, t.Any]:
    """Return the fields of an assessment that the choice decides; those of the score only for what is eligible."""
    fields: dict[str, t.Any] = {
        'selected': bool(choice.selected[row] or choice.audit[row]),
        'audit': bool(choice.audit[row]),
    }
    if choice.ranks[row]:
        diversity = choice.terms.get('diversity')
        fields |= {'score': float(choice.scores[row]), 'rank': int(choice.ranks[row])}
        fields['diversity'] = None if diversity is None else float(diversity[row])
    return fields


def mean_sigma(predictions: list[t.Any], stages: list[str], top: Fidelity) -> float | None:
    """Return the mean σ of the eligible candidates at the top rung, eV/atom, or None where nothing is predicted."""
    found = [
        getattr(each, f'sigma_{top.label}')
        for each, stage in zip(predictions, stages, strict=True)
        if stage == 'eligible'
    ]
    known = [value for value in found if value is not None]
    return float(np.mean(known)) if known else None


def summarise(
    labels: list[str],
    stages: list[str],
    choice: Choice,
    *,
    gaps: list[dict[str, t.Any]],
    notes: list[str],
    mean_sigma: float | None,
) -> Dict:
    """Return the choice and the counts of the funnel (paper Figure 2), each stage with what reached it.

    :param gaps: stable compounds without a known structure.
    :param notes: what people need to know of the choice.
    :param mean_sigma: see :func:`mean_sigma`.
    """
    stopped = {name: stages.count(name) for name in STAGES}
    passed = len(labels) - stopped['constraints']
    distinct = passed - stopped['duplicate']
    stable = distinct - sum(stopped[name] for name in STAGES[2:])
    chosen = [labels[row] for row in choice.chosen]
    return Dict(
        {
            'selected': chosen,
            'audit': [labels[row] for row in np.flatnonzero(choice.audit)],
            'audit_probability': choice.audit_probability,
            'eligible': stages.count('eligible'),
            'funnel': {
                'generated': len(labels),
                'within constraints': passed,
                'new': distinct,
                'stable': stable,
                'selected': len(chosen),
            },
            'acquisition': choice.arm,
            'scaling': choice.scaling,
            'seed': choice.seed,
            'mean_sigma': mean_sigma,
            'gaps': gaps,
            'notes': notes,
        }
    )
