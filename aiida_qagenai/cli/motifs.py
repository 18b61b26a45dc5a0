"""Crystals from known ones for the command line: retrieved as they are, or sampled by the diffusion model."""

from __future__ import annotations

import importlib.util
import typing as t
from pathlib import Path

import click

from aiida_qagenai.cli.bars import counting_bar
from aiida_qagenai.cli.ml_tasks import run_ml_task

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

    from aiida_qagenai.exchange.requests import MotifsRequest

__all__ = ('Generated', 'has_torch', 'retrieved', 'sampled')

CANDIDATES = 'candidates.npz'


class Generated(t.NamedTuple):
    """A crystal that was generated.

    :param motif: identifier of the known crystal that it began as, empty if none.
    :param motif_formula: its reduced formula.
    :param probability: of the motif, NaN without one.
    :param noise: level of the noise that was added to the motif.
    :param relation: to the known crystals, see ``evaluation.novelty``.
    :param known_as: identifier of the known crystal that it equals, if it was looked for.
    :param space_group: 1–230, if it is known.
    """

    structure: Structure
    motif: str
    motif_formula: str
    probability: float
    noise: float
    relation: str
    known_as: str | None = None
    space_group: int | None = None


def has_torch() -> bool:
    """Return whether the diffusion model can run here; say so on standard error if it cannot."""
    if importlib.util.find_spec('torch') is not None:
        return True
    click.echo("motifs are not refined: that needs torch (pip install 'aiida-qagenai[ml]')", err=True)
    return False


def retrieved(request: MotifsRequest) -> list[Generated]:
    """Return motifs with exchanged elements as they are, the most probable first.

    :raises InvalidInputError: if no known crystal can be changed into what is wanted.
    """
    from aiida_qagenai.motifs.propose import known_as
    from aiida_qagenai.motifs.requested import models_of, proposals_of

    models = models_of(request)
    if request.elements is None:
        proposals = proposals_of(request, models)
    else:
        with counting_bar('compositions') as show:
            proposals = proposals_of(request, models, report=show)
    found = []
    for each in proposals:
        structure = each.structure
        known = known_as(models.library, structure)
        relation = 'replay' if known else 'substitution'
        origin = (each.motif, each.motif_formula, each.probability, 0.0)
        found.append(Generated(structure, *origin, relation, known, each.space_group))
    return found


def sampled(request: MotifsRequest, folder: Path, *, seed: int, generator: Path | None) -> list[Generated]:
    """Return what the diffusion model makes of the motifs, no two crystals alike, the most probable motifs first.

    :param folder: for the files of the task.
    :param generator: folder of a checkpoint; the shipped one if ``None``.
    :raises QagenaiError: if the task fails.
    """
    from aiida_qagenai.chemistry.duplicates import find_duplicates
    from aiida_qagenai.exchange.structures import StructureBatch, load_arrays
    from aiida_qagenai.motifs.propose import known_as
    from aiida_qagenai.motifs.requested import models_of

    config = {
        'requests': [request.model_dump(mode='json')],
        'generator': None if generator is None else str(generator.resolve()),
        'seed': seed,
        'output': CANDIDATES,
    }
    run_ml_task('generate', config, folder, 'sampling')
    arrays = load_arrays(folder / CANDIDATES)
    structures = StructureBatch.load(folder / CANDIDATES).structures()
    columns = [arrays[name].tolist() for name in ('motif', 'motif_formula', 'probability', 'noise', 'relation')]
    rows = list(zip(structures, *columns, strict=True))
    kept = find_duplicates([row[0] for row in rows], distortions=False).representatives
    library = models_of(request).library
    found = [Generated(*rows[index]) for index in kept]
    return [
        each._replace(known_as=known_as(library, each.structure)) if each.relation == 'replay' else each
        for each in found
    ]
