"""Ordered crystals validated: do they keep what was ordered when they relax, and are they stable?"""

from __future__ import annotations

import tempfile
import typing as t
from collections.abc import Sequence
from pathlib import Path

from aiida_qagenai.api.masking import read_mask
from aiida_qagenai.api.potentials import hull_problem, potential_config, require_installed
from aiida_qagenai.api.relaxation import THRESHOLDS, relax_structures
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.thermodynamics.hull.convex_hull import MARGINAL_LIMIT, MINIMUM_REFERENCES

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

    from aiida_qagenai.api.masking import AnyMask
    from aiida_qagenai.evaluation.ordered import OrderedVerdict
    from aiida_qagenai.exchange.crystals import AnyCrystals

__all__ = ('Validated', 'draw_front', 'validate')


class Validated(t.NamedTuple):
    """An ordered crystal as it was relaxed, and the verdict on it."""

    structure: Structure
    verdict: OrderedVerdict


def validate(
    structures: AnyCrystals,
    constrain: str | Sequence[str] = (),
    potential: str = 'chgnet',
    *,
    mask: AnyMask | None = None,
    max_steps: int = 200,
    tolerance: float = 0.1,
    min_references: int = MINIMUM_REFERENCES,
) -> list[Validated]:
    """Return the verdicts on ordered crystals, as ``aiida-qagenai validation run`` finds them, without a profile.

    :param structures: any kind, see :func:`~aiida_qagenai.exchange.crystals.as_structures`.
    :param constrain: what they were ordered with, such as ``coordination(Si,O)=6``.
    :param potential: ``chgnet`` or ``validator``.
    :param mask: atoms that were held, such as ``kagome(Ni)``: each structure begins with them and keeps its cell.
    :param max_steps: of a relaxation.
    :param tolerance: by which atoms may be off their symmetry, Å.
    :param min_references: fewest known phases of three or more elements for a distance to the hull.
    :raises QagenaiError: if a constraint or the potential cannot be used (``InvalidInputError``), or the task fails.
    """
    from aiida_qagenai.chemistry.symmetry import symmetrised
    from aiida_qagenai.evaluation.ordered import judge_ordered
    from aiida_qagenai.exchange.crystals import named_crystals
    from aiida_qagenai.exchange.geometry import GeometryOptions
    from aiida_qagenai.thermodynamics.references.potential_errors import potential_error

    held = None if mask is None else read_mask(mask)
    asked = None if not constrain and held else GeometryOptions.of_texts(constrain)
    constraints = () if asked is None else asked.constraints
    config = potential_config(potential)
    name = config['potential']['name']
    require_installed(name, 'the potential')
    if problem := hull_problem(config):
        raise InvalidInputError(problem)
    items = named_crystals(structures)
    for order in (asked, held):
        if order is not None:
            order.check_crystals([item.structure for item in items])
    # a mask knows its atoms by their order and their cell
    crystals = [item.structure if held else symmetrised(item.structure, tolerance) for item in items]
    config['constraints'] = [each.text for each in constraints]
    config['mask'] = None if held is None else held.dump()
    crystals, outcomes = _relaxed(crystals, config, max_steps)
    error = potential_error(name)
    verdicts = judge_ordered(
        [item.name for item in items],
        crystals,
        outcomes,
        weights=[*(each.weight for each in constraints), *([1.0] if held else [])],
        of_formation=name == 'validator',
        error=None if error is None else error.mae,
        min_references=min_references,
    )
    return [Validated(*pair) for pair in zip(crystals, verdicts, strict=True)]


def _relaxed(
    crystals: list[Structure], config: dict[str, t.Any], max_steps: int
) -> tuple[list[Structure], list[dict[str, t.Any]]]:
    """Return crystals as they relax, those whose atoms are too close as they are, and what became of each."""
    from aiida_qagenai.chemistry.constraints import default_constraints, screen

    rules = [each for each in default_constraints() if each.name == 'minimum_distance']
    rows = [row for row, crystal in enumerate(crystals) if not screen(crystal, rules, 'validation').failed]
    nothing = {'converged': False, 'energy_per_atom': None, 'reason': 'not relaxed: minimum distance'}
    ends, outcomes = list(crystals), [nothing] * len(crystals)
    if rows:
        with tempfile.TemporaryDirectory() as folder:
            settings = {**THRESHOLDS, 'max_steps': max_steps}
            relaxed, found = relax_structures([crystals[row] for row in rows], config, settings, Path(folder))
        for row, crystal, outcome in zip(rows, relaxed, found, strict=True):
            ends[row], outcomes[row] = crystal, outcome
    return ends, outcomes


def draw_front(validated: Sequence[Validated], *, limit: float = MARGINAL_LIMIT, note: str = '') -> t.Any:
    """Return the Pareto front of the losses of constraints and the distances to the hull, as a figure of matplotlib.

    :param limit: distance to the hull that counts as near, eV/atom.
    :param note: written above.
    :raises InvalidInputError: if no crystal has both a loss and a distance.
    """
    from aiida_qagenai.report.front import draw_front as draw

    return draw([each.verdict.to_dict() for each in validated], limit=limit, note=note)
