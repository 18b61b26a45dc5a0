"""Structures relaxed on a potential, many at the same time."""

from __future__ import annotations

import tempfile
import typing as t
from collections.abc import Sequence
from pathlib import Path

from aiida_qagenai.api.potentials import level_of, potential_config, require_installed
from aiida_qagenai.api.tasks import Runner, run_quietly

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

    from aiida_qagenai.exchange.crystals import AnyCrystals

__all__ = ('THRESHOLDS', 'Relaxed', 'relax', 'relax_structures')

THRESHOLDS = {'max_force': 0.05, 'max_stress': 0.003}
"""Largest force (eV/Å) and stress (eV/Å3) left on crystals that are relaxed to be ranked."""


class Relaxed(t.NamedTuple):
    """A structure that was relaxed.

    :param structure: as it is now, with the atoms in their order and their ``magmom``.
    :param energy_per_atom: by the potential, eV/atom: of formation for the validator, else total.
    :param level: level of theory of the energy.
    :param force: largest force left, eV/Å.
    :param stress: largest component of the stress left, eV/Å3.
    :param reason: why it is not converged, empty if it is; the numbers are ``None`` where there is no energy.
    """

    name: str
    structure: Structure
    converged: bool
    energy_per_atom: float | None
    level: str
    force: float | None
    stress: float | None
    steps: int | None
    reason: str


def relax(
    structures: AnyCrystals,
    potential: str = 'validator',
    *,
    validator: str | Path | None = None,
    max_force: float = 0.05,
    max_stress: float = 0.003,
    max_steps: int = 200,
    keep_symmetry: bool = True,
) -> list[Relaxed]:
    """Relax cell and atoms of structures on a potential, as ``aiida-qagenai relax files`` does.

    One that cannot be relaxed costs the others nothing: its ``reason`` says why.

    :param structures: any kind, see :func:`~aiida_qagenai.exchange.crystals.as_structures`.
    :param potential: ``validator``, ``validator:SCAN``, ``chgnet``, ``sevennet``, ``emt`` and so on.
    :param validator: folder of a checkpoint in place of the validator of the package.
    :param max_force: largest force left, eV/Å.
    :param max_stress: largest stress left, eV/Å3.
    :param keep_symmetry: whether the space group stays.
    :raises QagenaiError: if a structure or the potential cannot be used (``InvalidInputError``), or the task fails.
    """
    from aiida_qagenai.exchange.crystals import named_crystals

    config = potential_config(potential, None if validator is None else Path(validator))
    require_installed(config['potential']['name'], 'the potential')
    items = named_crystals(structures)
    settings = {
        'max_force': max_force,
        'max_stress': max_stress,
        'max_steps': max_steps,
        'keep_symmetry': keep_symmetry,
    }
    with tempfile.TemporaryDirectory() as folder:
        found, outcomes = relax_structures([item.structure for item in items], config, settings, Path(folder))
    level = level_of(config)
    return [
        Relaxed(
            name=item.name,
            structure=structure,
            level=level,
            **{key: outcome[key] for key in Relaxed._fields if key in outcome},
        )
        for item, structure, outcome in zip(items, found, outcomes, strict=True)
    ]


def relax_structures(
    structures: Sequence[Structure],
    potential: dict[str, t.Any],
    settings: dict[str, t.Any],
    folder: Path,
    run: Runner = run_quietly,
) -> tuple[list[Structure], list[dict[str, t.Any]]]:
    """Return the relaxed structures, with their moments, and what the task ``relax_many`` says of each.

    :param potential: keys of the task that name the potential.
    :param settings: of the relaxation.
    :param folder: in which the task goes on where it was cut.
    """
    from aiida_qagenai.exchange.structures import StructureBatch

    folder.mkdir(parents=True, exist_ok=True)
    StructureBatch.from_structures(structures).save(folder / 'structures.npz')
    config = {**potential, 'structures': 'structures.npz', 'relaxation': settings}
    results = run('relax_many', config, folder, 'relaxing')
    found = StructureBatch.load(folder / 'relaxed.npz').structures()
    for before, after in zip(structures, found, strict=True):
        if 'magmom' in before.site_properties:
            after.add_site_property('magmom', before.site_properties['magmom'])
    return found, results['relaxations']
