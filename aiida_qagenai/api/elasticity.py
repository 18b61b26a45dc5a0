"""Elastic tensors of structures on a potential, many at the same time."""

from __future__ import annotations

import tempfile
import typing as t
from collections.abc import Sequence
from pathlib import Path

from aiida_qagenai.api.potentials import potential_config, require_installed
from aiida_qagenai.api.tasks import Runner, run_quietly

if t.TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from pymatgen.core import Structure

    from aiida_qagenai.exchange.crystals import AnyCrystals

__all__ = ('Elastic', 'elastic', 'elastic_structures')


class Elastic(t.NamedTuple):
    """The elastic tensor of a structure, and what follows from it.

    Moduli in GPa by Voigt, Reuss and Hill (VRH); those of Reuss and Hill are ``None`` where the crystal is not
    mechanically stable, and everything is ``None`` where ``reason`` says why there is no tensor.

    :param structure: as it was relaxed.
    :param tensor: Voigt notation, in the Cartesian frame of ``structure``, shape (6, 6), GPa.
    :param tensor_ieee: in the standard orientation (IEEE 176-1987).
    """

    name: str
    structure: Structure
    tensor: NDArray[np.float64] | None
    tensor_ieee: NDArray[np.float64] | None
    bulk_modulus_voigt: float | None
    bulk_modulus_reuss: float | None
    bulk_modulus_vrh: float | None
    shear_modulus_voigt: float | None
    shear_modulus_reuss: float | None
    shear_modulus_vrh: float | None
    young_modulus: float | None
    poisson_ratio: float | None
    universal_anisotropy: float | None
    smallest_eigenvalue: float | None
    mechanically_stable: bool | None
    energy_per_atom: float | None
    reason: str


def elastic(
    structures: AnyCrystals,
    potential: str = 'validator',
    *,
    validator: str | Path | None = None,
    strains: Sequence[float] = (0.01,),
    relax_ions: bool = True,
    device: t.Literal['cpu', 'cuda'] = 'cpu',
) -> list[Elastic]:
    """Return the elastic tensors of structures on a potential, as ``aiida-qagenai elastic files`` does.

    Structures are relaxed first, cell and atoms. One that fails costs the others nothing: its ``reason`` says why.

    :param structures: any kind, see :func:`~aiida_qagenai.exchange.crystals.as_structures`.
    :param potential: ``validator``, ``validator:SCAN``, ``chgnet``, ``sevennet``, ``emt`` and so on.
    :param validator: folder of a checkpoint in place of the validator of the package.
    :param strains: amplitudes of the strains, of both signs.
    :param relax_ions: whether the atoms relax in the strained cells.
    :raises QagenaiError: if a structure or the potential cannot be used (``InvalidInputError``), or the task fails.
    """
    from aiida_qagenai.exchange.crystals import named_crystals

    config = potential_config(potential, None if validator is None else Path(validator))
    require_installed(config['potential']['name'], 'the potential')
    items = named_crystals(structures)
    config |= {'device': device, 'elasticity': {'strains': list(strains), 'relax_ions': relax_ions}}
    with tempfile.TemporaryDirectory() as folder:
        found = elastic_structures([item.structure for item in items], config, Path(folder))
    return [
        Elastic(name=item.name, structure=structure, **{key: outcome[key] for key in Elastic._fields if key in outcome})
        for item, (structure, outcome) in zip(items, found, strict=True)
    ]


def elastic_structures(
    structures: Sequence[Structure], config: dict[str, t.Any], folder: Path, run: Runner = run_quietly
) -> list[tuple[Structure, dict[str, t.Any]]]:
    """Return each relaxed structure with what the task ``elastic`` says of it and its tensors, ``None`` without one.

    :param config: keys of the task but for the structures.
    :param folder: in which the task goes on where it was cut.
    """
    from aiida_qagenai.exchange.structures import StructureBatch, load_arrays

    folder.mkdir(parents=True, exist_ok=True)
    StructureBatch.from_structures(structures).save(folder / 'structures.npz')
    results = run('elastic', {**config, 'structures': 'structures.npz'}, folder, 'straining')
    arrays = load_arrays(folder / 'elastic.npz')
    found = StructureBatch.from_arrays(arrays).structures()
    rows = zip(results['elasticity'], arrays['tensors'], arrays['tensors_ieee'], strict=True)
    outcomes = [
        {**outcome, 'tensor': _known(tensor), 'tensor_ieee': _known(standard), 'potential': results['potential']}
        for outcome, tensor, standard in rows
    ]
    return list(zip(found, outcomes, strict=True))


def _known(tensor: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Return a tensor, None for one that is not finite."""
    import numpy as np

    return tensor if np.isfinite(tensor).all() else None
