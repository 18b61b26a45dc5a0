"""Steering by selection: of several samples per crystal that is wanted, those whose predicted property is asked for."""

from __future__ import annotations

import tempfile
import typing as t
from collections.abc import Sequence
from pathlib import Path

from aiida_qagenai.api.prediction import GAPS, MODULI, descriptor_records, gap_records, property_records
from aiida_qagenai.api.tasks import Runner
from aiida_qagenai.common.properties import DESCRIBED, PROPERTIES
from aiida_qagenai.selection.targets import (
    AnyPredicted,
    GapTarget,
    JointTarget,
    Predicted,
    PredictedProperty,
    Target,
    predict_parts,
)

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('predicted_descriptors', 'predicted_for', 'predicted_gaps', 'predicted_properties')


def predicted_for(target: Target, structures: Sequence[Structure], run: Runner) -> Sequence[AnyPredicted]:
    """Return the property that a target is about, of crystals."""
    if isinstance(target, JointTarget):
        return predict_parts(target, lambda part: predicted_for(part, structures, run))
    if isinstance(target, GapTarget):
        return predicted_gaps(structures, run)
    if target.name in DESCRIBED:
        return predicted_descriptors(structures, run)
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


def predicted_descriptors(structures: Sequence[Structure], run: Runner) -> list[PredictedProperty]:
    """Return the quantum descriptors of crystals.

    :param run: what runs the task.
    """
    from aiida_qagenai.exchange.structures import StructureBatch, load_arrays

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        StructureBatch.from_structures(structures).save(folder / 'structures.npz')
        config = {'structures': 'structures.npz', 'descriptors': True, 'output': MODULI}
        run('properties', config, folder, 'descriptors')
        records = descriptor_records(load_arrays(folder / MODULI))
    return [
        PredictedProperty({name: each[name] for name in DESCRIBED}, {name: each[f'{name}_sigma'] for name in DESCRIBED})
        for each in records
    ]


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
