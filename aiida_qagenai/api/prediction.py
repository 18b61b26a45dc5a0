"""What models predict for structures: energies on every rung, their uncertainties, the divergence, and band gaps."""

from __future__ import annotations

import math
import tempfile
import typing as t
from collections.abc import Iterable, Sequence
from pathlib import Path

from aiida_qagenai.api.tasks import Runner, run_quietly
from aiida_qagenai.common.descriptors import GAP_LEVELS
from aiida_qagenai.common.fidelity import LADDER
from aiida_qagenai.common.properties import DESCRIBED, PROPERTIES

if t.TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray
    from pymatgen.core import Structure

    from aiida_qagenai.exchange.checkpoint import CheckpointInfo
    from aiida_qagenai.exchange.crystals import AnyCrystals, NamedCrystal
    from aiida_qagenai.exchange.readers.structure_files import NamedStructure

__all__ = (
    'descriptor_records',
    'divergences',
    'gap_records',
    'predict',
    'predict_arrays',
    'predict_gaps',
    'prediction_records',
    'property_records',
)

PREDICTIONS = 'predictions.npz'
GAPS = 'gaps.npz'
MODULI = 'properties.npz'


def predict(structures: AnyCrystals, *, validator: str | Path | None = None) -> pd.DataFrame:
    """Return the energies of structures on every rung of the ladder, as ``aiida-qagenai predict`` has them.

    The structures stay as they are: :func:`~aiida_qagenai.api.relaxation.relax` moves atoms first.

    :param structures: any kind, see :func:`~aiida_qagenai.exchange.crystals.as_structures`.
    :param validator: folder of a checkpoint; the validator that comes with the package if ``None``.
    :return: one row each, in their order, with ``name``, ``formula``, ``num_atoms``, ``energy_<rung>``,
        ``sigma_<rung>`` and ``interval_90_<rung>`` (formation energies, eV/atom; missing on rungs without labels),
        ``divergence``, ``divergence_sigma`` (eV/atom), ``top_fidelity``, ``out_of_distribution``, ``magnetic``,
        ``f_electrons``, ``unseen_elements``, and by the models of the package the band gaps of :func:`gap_records`,
        the moduli of :func:`property_records` and the quantum descriptors of :func:`descriptor_records`.
    :raises QagenaiError: if a structure cannot be used (``InvalidInputError``), or the checkpoint cannot.
    """
    import pandas as pd

    from aiida_qagenai.exchange.checkpoint import VALIDATOR_FOUNDATION, read_checkpoint
    from aiida_qagenai.exchange.crystals import named_crystals

    items = named_crystals(structures)
    folder = Path(validator or VALIDATOR_FOUNDATION)
    info = read_checkpoint(folder, 'validator')[1]
    arrays = predict_arrays([item.structure for item in items], folder, heads=True)
    return pd.DataFrame(prediction_records(items, arrays, info))


def predict_gaps(formulas: str | Sequence[str], run: Runner = run_quietly) -> pd.DataFrame:
    """Return band gaps and descriptors of compositions whose crystals are not known; of crystals, see :func:`predict`.

    :param formulas: such as ``GaN``.
    :return: one row each, in their order, with ``formula`` and the columns of :func:`gap_records` and
        :func:`descriptor_records`.
    :raises QagenaiError: if a formula cannot be read (``InvalidInputError``).
    """
    import pandas as pd

    from aiida_qagenai.chemistry.formula import parse_formula
    from aiida_qagenai.exchange.structures import load_arrays

    formulas = [formulas] if isinstance(formulas, str) else list(formulas)
    compositions = [parse_formula(formula) for formula in formulas]
    with tempfile.TemporaryDirectory() as name:
        run('gaps', {'compositions': compositions, 'output': GAPS}, Path(name), 'predicting')
        arrays = load_arrays(Path(name) / GAPS)
    columns = (gap_records(arrays), descriptor_records(arrays))
    return pd.DataFrame({'formula': formulas}).join([pd.DataFrame(each) for each in columns])


def gap_records(arrays: dict[str, NDArray[t.Any]]) -> list[dict[str, t.Any]]:
    """Return the band gap of each crystal or composition, by their names.

    ``gap_<level>`` and ``gap_sigma_<level>`` (eV) for ``pbe``, ``hse06``, ``gllb_sc`` and ``scan``, ``metallic``,
    ``metal_probability`` (both at PBE) and ``gap_out_of_distribution``.
    """
    found = []
    for index, outside in enumerate(arrays['gap_out_of_distribution'].tolist()):
        record: dict[str, t.Any] = {}
        for place, name in enumerate(GAP_LEVELS):
            record[f'gap_{name}'] = float(arrays['gaps'][index, place])
            record[f'gap_sigma_{name}'] = float(arrays['gap_sigma'][index, place])
        record['metallic'] = record['gap_pbe'] == 0.0
        record['metal_probability'] = float(arrays['metal_probability'][index, 0])
        found.append({**record, 'gap_out_of_distribution': outside})
    return found


def property_records(arrays: dict[str, NDArray[t.Any]]) -> list[dict[str, t.Any]]:
    """Return the properties of each crystal, by their names.

    ``bulk_modulus`` and ``shear_modulus`` (GPa), each with ``_sigma``, and ``property_out_of_distribution``.
    """
    found = []
    for values, sigma, outside in zip(
        *(arrays[name].tolist() for name in ('properties', 'property_sigma', 'property_out_of_distribution')),
        strict=True,
    ):
        found.append({**_named(PROPERTIES, values, sigma), 'property_out_of_distribution': outside})
    return found


def descriptor_records(arrays: dict[str, NDArray[t.Any]]) -> list[dict[str, t.Any]]:
    """Return the quantum descriptors of each crystal, by their names.

    Those of ``DESCRIBED`` (at PBE), each with ``_sigma``, and ``descriptor_out_of_distribution``.
    """
    names = ('descriptors', 'descriptor_sigma', 'descriptor_out_of_distribution')
    return [
        _named(DESCRIBED, values, sigma) | {names[2]: outside}
        for values, sigma, outside in zip(*(arrays[name].tolist() for name in names), strict=True)
    ]


def _named(names: Iterable[str], values: Sequence[float], sigma: Sequence[float]) -> dict[str, t.Any]:
    """Return values by their names, and standard deviations by their names with ``_sigma``."""
    names = tuple(names)
    record: dict[str, t.Any] = dict(zip(names, values, strict=True))
    return record | {f'{name}_sigma': value for name, value in zip(names, sigma, strict=True)}


def predict_arrays(
    structures: Sequence[Structure], validator: Path, run: Runner = run_quietly, *, heads: bool = False
) -> dict[str, NDArray[t.Any]]:
    """Return the arrays that the task ``predict`` writes for these structures.

    :param validator: folder of a checkpoint.
    :param heads: predict band gaps, moduli and quantum descriptors as well.
    :raises QagenaiError: if the checkpoint cannot be used.
    """
    from aiida_qagenai.exchange.structures import StructureBatch, load_arrays

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        StructureBatch.from_structures(structures).save(folder / 'structures.npz')
        config = {
            'validator': str(validator.resolve()),
            'structures': 'structures.npz',
            'output': PREDICTIONS,
            'dtype': 'float64',
            'gaps': heads,
            'properties': heads,
            'descriptors': heads,
        }
        run('predict', config, folder, 'predicting')
        return load_arrays(folder / PREDICTIONS)


def prediction_records(
    items: Sequence[NamedCrystal | NamedStructure], arrays: dict[str, NDArray[t.Any]], info: CheckpointInfo
) -> list[dict[str, t.Any]]:
    """Return what is known of each structure, energies in eV/atom, None where there is no number.

    :param items: anything with a ``name`` and a ``structure``.
    :param arrays: of :func:`predict_arrays`.
    :param info: what the checkpoint says of itself.
    """
    records = []
    gaps = gap_records(arrays) if 'gaps' in arrays else []
    moduli = property_records(arrays) if 'properties' in arrays else []
    described = descriptor_records(arrays) if 'descriptors' in arrays else []
    for index, (item, divergence) in enumerate(zip(items, divergences(arrays), strict=True)):
        symbols = [element.symbol for element in item.structure.composition.elements]
        record: dict[str, t.Any] = {
            'name': item.name,
            'formula': item.structure.composition.reduced_formula,
            'num_atoms': len(item.structure),
        }
        for level in LADDER:
            for name, key in (('energy', 'energies'), ('sigma', 'sigma'), ('interval_90', 'interval_90')):
                value = float(arrays[key][index, level.rank])
                known = level.value in info.fidelities and math.isfinite(value)
                record[f'{name}_{level.label}'] = value if known else None
        record |= divergence
        record |= gaps[index] if gaps else {}
        record |= moduli[index] if moduli else {}
        record |= described[index] if described else {}
        record['unseen_elements'] = ' '.join(symbol for symbol in symbols if symbol not in info.elements)
        records.append(record)
    return records


def divergences(arrays: dict[str, NDArray[t.Any]]) -> list[dict[str, t.Any]]:
    """Return divergence, uncertainty and the marks of each structure, by their names."""
    names = ('divergence_signed', 'divergence_sigma', 'out_of_distribution', 'magnetic', 'f_electrons')
    found = []
    for signed, sigma, outside, magnetic, f_electrons in zip(*(arrays[name].tolist() for name in names), strict=True):
        finite = math.isfinite(signed)
        found.append(
            {
                'divergence': abs(signed) if finite else None,
                'divergence_sigma': sigma if finite else None,
                'top_fidelity': str(arrays['top']),
                'out_of_distribution': outside,
                'magnetic': magnetic,
                'f_electrons': f_electrons,
            }
        )
    return found
