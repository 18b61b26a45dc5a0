"""Steering by selection: of several samples per crystal that is wanted, those whose predicted property is asked for."""

from __future__ import annotations

import tempfile
import typing as t
from collections.abc import Sequence
from pathlib import Path

from aiida_qagenai.api.prediction import GAPS, MODULI, gap_records, property_records
from aiida_qagenai.api.tasks import Runner
from aiida_qagenai.common.properties import PROPERTIES
from aiida_qagenai.selection.targets import GapTarget, Predicted, PredictedProperty, Target

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('predicted_for', 'predicted_gaps', 'predicted_properties')


def predicted_for(
    target: Target, structures: Sequence[Structure], run: Runner
) -> Sequence[Predicted] | Sequence[PredictedProperty]:
    """Return the property that a target is about, of crystals."""
    if isinstance(target, GapTarget):
        return predicted_gaps(structures, run)
    return predicted_properties(structures, run)


def predicted_gaps(structures: Sequence[Structure], run: Runner) -> list[Predicted]:
    """Return the band gaps of crystals.

    :param run: what runs the task.
    """
    from aiida_qagenai.exchange.structures import StructureBatch, load_arrays

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        StructureBatch.from_structures(structures).save(folder / 'structures.npz')
        run('gaps', {'structures': 'structures.npz', 'output': GAPS}, folder, 'band gaps')
        records = gap_records(load_arrays(folder / GAPS))
    return [Predicted(each['gap_pbe'], each['gap_sigma_pbe'], each['metal_probability']) for each in records]


def predicted_properties(
    structures: Sequence[Structure], run: Runner, checkpoint: Path | None = None, *, energies: bool = False
) -> list[PredictedProperty]:
    """Return the properties of crystals.

    :param run: what runs the task.
    :param checkpoint: folder of property heads in place of those of the package.
    :param energies: whether ``values`` has the ``formation_energy`` by the validator as well, eV/atom.
    """
    from aiida_qagenai.exchange.structures import StructureBatch, load_arrays

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        StructureBatch.from_structures(structures).save(folder / 'structures.npz')
        config = {
            'structures': 'structures.npz',
            'checkpoint': None if checkpoint is None else str(checkpoint.resolve()),
            'energies': energies,
            'output': MODULI,
        }
        run('properties', config, folder, 'moduli')
        arrays = load_arrays(folder / MODULI)
    formation = arrays['formation_energy'].tolist() if energies else [None] * len(structures)
    return [
        PredictedProperty(
            {name: record[name] for name in PROPERTIES} | ({'formation_energy': energy} if energies else {}),
            {name: record[f'{name}_sigma'] for name in PROPERTIES},
        )
        for record, energy in zip(property_records(arrays), formation, strict=True)
    ]
