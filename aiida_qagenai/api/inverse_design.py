"""Inverse design of a property in rounds: generate, predict, compute on a potential, retrain.

Each round proposes crystals of given chemical systems with the diffusion model, keeps those whose predicted modulus is
nearest to the target, relaxes them and computes their elastic tensors on a foundation potential, and retrains the
property heads with the results. A potential that no round uses may judge what comes out.
"""

from __future__ import annotations

import dataclasses
import json
import typing as t
from collections.abc import Sequence
from pathlib import Path

from aiida_qagenai.api.elasticity import elastic_structures
from aiida_qagenai.api.hulls import amounts
from aiida_qagenai.api.potentials import hull_problem, potential_config, require_installed
from aiida_qagenai.api.targeting import predicted_properties
from aiida_qagenai.api.tasks import Runner, run_quietly
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.properties import DEFAULT_ROUNDS
from aiida_qagenai.evaluation.designed import judge_problem, verdicts
from aiida_qagenai.evaluation.quantities import anticipated, needs_energies, obtained
from aiida_qagenai.selection.design import functions_of, generation_of_round, nearest, unseen
from aiida_qagenai.selection.targets import PropertyTarget

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('DesignPlan', 'Designed', 'check_judge', 'design', 'judge')

STRAINED = {'max_force': 0.01, 'max_steps': 100}
RELAXED = {'max_force': 0.02, 'max_stress': 0.0005, 'max_steps': 200}


@dataclasses.dataclass(frozen=True)
class DesignPlan:
    """What is wanted, and how much is spent on it.

    :param target: property that is asked for, any of ``QUANTITIES``.
    :param systems: chemical systems, each a tuple of elements, of which crystals are proposed.
    :param per_system: crystals that the diffusion model makes of each in a round.
    :param per_round: crystals whose elastic tensors are computed in a round.
    :param max_atoms: in the cell.
    :param novelty: noise that is added to the known crystals that samples start from, from 0 to 1.
    :param potential: that relaxes and strains.
    :param max_e_above_hull: largest distance of a hit to the hull of the package, eV/atom.
    :param weight: of a computed crystal beside a published one when the heads are retrained.
    """

    target: PropertyTarget
    systems: Sequence[tuple[str, ...]]
    rounds: int = DEFAULT_ROUNDS.number
    per_system: int = DEFAULT_ROUNDS.per_system
    per_round: int = DEFAULT_ROUNDS.per_round
    max_atoms: int = DEFAULT_ROUNDS.max_atoms
    novelty: float = DEFAULT_ROUNDS.novelty
    potential: str = 'chgnet'
    max_e_above_hull: float = 0.1
    weight: float = DEFAULT_ROUNDS.weight
    seed: int = 0


class Designed(t.NamedTuple):
    """A crystal of one round.

    :param generated: as the diffusion model made it.
    :param structure: as it was relaxed.
    :param predicted: what is asked for before anything was computed; ``None`` if nothing predicts it.
    :param computed: the same by the potential; ``None`` where ``reason`` says why or the crystal is unstable.
    :param e_above_hull: by the potential, eV/atom; ``None`` where the hull has no place for it.
    :param hull: how complete that hull is.
    :param hit: whether it is mechanically stable, near the hull, and has what is wanted.
    """

    round: int
    generated: Structure
    structure: Structure
    predicted: float | None
    computed: float | None
    mechanically_stable: bool | None
    e_above_hull: float | None
    hull: str
    hit: bool
    reason: str


def design(plan: DesignPlan, folder: Path, run: Runner = run_quietly) -> list[Designed]:
    """Return the crystals of all rounds.

    :param folder: in which every stage of every round is kept; a campaign that was cut goes on from it.
    :param run: what runs the tasks.
    :raises QagenaiError: if the potential cannot be used (``InvalidInputError``), or a task fails.
    """
    config = potential_config(plan.potential)
    require_installed(config['potential']['name'], 'the potential')
    problem = hull_problem(config)
    if problem:
        raise InvalidInputError(problem)
    found: list[Designed] = []
    checkpoint: Path | None = None
    for number in range(plan.rounds):
        place = folder / f'round{number}'
        proposed = _proposed(plan, number, place / 'generation', run)
        new = unseen(proposed, [each.generated for each in found])
        chosen, predicted = _nearest(plan, [proposed[index] for index in new], checkpoint, run)
        if not chosen:
            break
        elasticity = {**STRAINED, 'functions': functions_of(plan.target)}
        settings = {**config, 'relaxation': RELAXED, 'elasticity': elasticity}
        outcomes = elastic_structures(chosen, settings, place / 'elastic', run)
        found += _designed(plan, number, chosen, predicted, outcomes)
        checkpoint = _retrained(plan, chosen, outcomes, checkpoint, folder=place / 'retraining', run=run) or checkpoint
    return found


def check_judge(plan: DesignPlan, potential: str) -> None:
    """Refuse a judge that is not independent of the rounds.

    :raises InvalidInputError: saying why.
    """
    configs = (potential_config(name)['potential'] for name in (potential, plan.potential))
    problem = judge_problem(plan.target, *configs)
    if problem is not None:
        raise InvalidInputError(problem)


def judge(
    structures: Sequence[Structure], potential: str, target: PropertyTarget, folder: Path, run: Runner = run_quietly
) -> list[float | None]:
    """Return a property of crystals by a potential of one's own choice, ``None`` where there is none.

    :param target: what is asked for.
    :param folder: in which the task goes on where it was cut.
    """
    elasticity = {**STRAINED, 'functions': functions_of(target)}
    config = {**potential_config(potential), 'relaxation': RELAXED, 'elasticity': elasticity}
    outcomes = elastic_structures(structures, config, folder, run)
    return [obtained(target.name, outcome, amounts(structure), None) for structure, outcome in outcomes]


def _nearest(
    plan: DesignPlan, proposed: Sequence[Structure], checkpoint: Path | None, run: Runner
) -> tuple[list[Structure], list[float | None]]:
    """Return the crystals of a round that are computed, and what is predicted of them."""
    energies = needs_energies(plan.target.name)
    said = predicted_properties(proposed, run, checkpoint, energies=energies) if proposed else []
    predicted = anticipated(plan.target.name, proposed, [each.values for each in said])
    formulas = [each.composition.reduced_formula for each in proposed]
    taken = nearest(plan.target, formulas, predicted, plan.per_round)
    return [proposed[index] for index in taken], [predicted[index] for index in taken]


def _proposed(plan: DesignPlan, number: int, folder: Path, run: Runner) -> list[Structure]:
    """Return what the diffusion model makes of the chemical systems, known crystals left out."""
    from aiida_qagenai.exchange.structures import StructureBatch, load_arrays

    folder.mkdir(parents=True, exist_ok=True)
    config = {**generation_of_round(plan, number), 'output': 'candidates.npz'}
    if not _done(folder, config):
        run('generate', config, folder, f'sampling, round {number}')
    arrays = load_arrays(folder / 'candidates.npz')
    structures = StructureBatch.from_arrays(arrays).structures()
    new = [relation != 'replay' for relation in arrays['relation'].tolist()]
    return [structure for structure, is_new in zip(structures, new, strict=True) if is_new]


def _done(folder: Path, config: dict[str, t.Any]) -> bool:
    """Return whether a task with this configuration has ended well in ``folder``."""
    before, results = folder / 'config.json', folder / 'results.json'
    if not (before.exists() and results.exists()) or json.loads(before.read_bytes()) != config:
        return False
    return bool(json.loads(results.read_bytes())['status'] == 'ok')


def _designed(
    plan: DesignPlan,
    number: int,
    chosen: Sequence[Structure],
    predicted: Sequence[float | None],
    outcomes: Sequence[tuple[Structure, dict[str, t.Any]]],
) -> list[Designed]:
    """Return the crystals of a round with what was computed, placed on the hull of the package with each other."""
    compositions = [amounts(structure) for structure, _ in outcomes]
    found = verdicts(plan.target, compositions, [outcome for _, outcome in outcomes], plan.max_e_above_hull)
    return [
        Designed(
            round=number,
            generated=before,
            structure=structure,
            predicted=said,
            computed=each.value,
            mechanically_stable=each.stable,
            e_above_hull=each.e_above_hull,
            hull=each.hull,
            hit=bool(each.hit),
            reason=outcome['reason'],
        )
        for before, said, (structure, outcome), each in zip(chosen, predicted, outcomes, found, strict=True)
    ]


def _retrained(
    plan: DesignPlan,
    chosen: Sequence[Structure],
    outcomes: Sequence[tuple[Structure, dict[str, t.Any]]],
    checkpoint: Path | None,
    *,
    folder: Path,
    run: Runner,
) -> Path | None:
    """Retrain the heads with the computed moduli, and return the folder of the checkpoint, None where there are none.

    :param chosen: the crystals as they were generated.
    """
    import numpy as np

    from aiida_qagenai.common.properties import PROPERTIES
    from aiida_qagenai.exchange.structures import FORMAT_VERSION, StructureBatch, save_arrays

    rows = [row for row, (_, outcome) in enumerate(outcomes) if outcome['mechanically_stable']]
    if not rows:
        return None
    folder.mkdir(parents=True, exist_ok=True)
    # A crystal is met as it was generated, and has the modulus of what it relaxes to: both count.
    structures = [outcomes[row][0] for row in rows] + [chosen[row] for row in rows]
    StructureBatch.from_structures(structures).save(folder / 'structures.npz')
    labels = {
        name: np.array([obtained(name, outcomes[row][1], {}, None) for row in rows] * 2, dtype=np.float64)
        for name in PROPERTIES
    }
    save_arrays(folder / 'labels.npz', {**labels, 'format_version': np.array(FORMAT_VERSION)})
    config = {
        'structures': 'structures.npz',
        'labels': 'labels.npz',
        'checkpoint': None if checkpoint is None else str(checkpoint.resolve()),
        'weight': plan.weight,
    }
    run('tune_properties', config, folder, 'retraining')
    return folder / 'checkpoint'
