"""Parser of :class:`~aiida_qagenai.calculations.models.predict.PredictCalculation`."""

from __future__ import annotations

import math
import typing as t
from pathlib import Path

from aiida.orm import ArrayData
from numpy.typing import NDArray

from aiida_qagenai.calculations.models.predict import PredictCalculation
from aiida_qagenai.common.descriptors import GAP_LEVELS
from aiida_qagenai.common.fidelity import LADDER
from aiida_qagenai.common.properties import DESCRIBED
from aiida_qagenai.data.candidate import parse_candidate_name
from aiida_qagenai.data.prediction import PredictionData
from aiida_qagenai.engine.batch import register_outputs
from aiida_qagenai.engine.bulk import linked_uuids, store_outputs
from aiida_qagenai.exchange.structures import load_arrays
from aiida_qagenai.parsers.base import MlParser, ParsingError, reading_outputs

__all__ = ('PredictParser',)

AT_PBE = list(GAP_LEVELS).index('pbe')
FLAGS = ('out_of_distribution', 'magnetic', 'f_electrons')


class PredictParser(MlParser):
    """Make a ``PredictionData`` of every member, and the arrays that the selection needs."""

    def parse_outputs(self, folder: Path, results: dict[str, t.Any]) -> None:
        """Make the predictions."""
        path = self.require(folder / PredictCalculation.FILENAME_OUTPUT)
        members = linked_uuids(self.node, namespace='members')
        names = self.node.inputs.candidate_set.structures().identifiers.tolist()
        with reading_outputs():
            arrays = load_arrays(path)
            if arrays['identifiers'][: len(names)].tolist() != names:
                message = 'the predictions are not in the order of the candidates'
                raise ParsingError('ERROR_OUTPUT_FILE_CORRUPT', message)
            predictions = {
                f'predictions__{label}': make_prediction(arrays, row, names[row], uuid)
                for row, (label, uuid) in enumerate(members.items())
            }
        packed = ArrayData()
        packed.set_array('features', arrays['features'][: len(names)])
        packed.set_array('competing_energies', arrays['energies'][len(names) :])
        self.out('arrays', packed)
        register_outputs(self, store_outputs(self.node, predictions))


def make_prediction(arrays: dict[str, NDArray[t.Any]], row: int, name: str, uuid: str) -> PredictionData:
    """Return the prediction in ``row`` of ``arrays`` for the candidate of that ``name`` and ``uuid``."""
    cycle, index = parse_candidate_name(name)
    energies = {f'energy_{level.label}': finite(arrays['energies'][row, level.rank]) for level in LADDER}
    sigmas = {f'sigma_{level.label}': finite(arrays['sigma'][row, level.rank]) for level in LADDER}
    gaps = {'band_gap': 'gaps', 'band_gap_sigma': 'gap_sigma'} if 'gaps' in arrays else {}
    described = [name for name in ('descriptors', 'descriptor_sigma') if name in arrays]
    scalars = ('divergence_signed', 'divergence_sigma', 'distance_to_training')
    return PredictionData(
        candidate_uuid=uuid,
        cycle=cycle,
        index=index,
        **{flag: bool(arrays[flag][row]) for flag in FLAGS if flag in arrays},
        **{scalar: finite(arrays[scalar][row]) for scalar in scalars},
        **{field: finite(arrays[name][row, AT_PBE]) for field, name in gaps.items()},
        **{name: dict(zip(DESCRIBED, arrays[name][row].tolist(), strict=True)) for name in described},
        top_fidelity=str(arrays['top']) if 'top' in arrays else None,
        **energies,
        **sigmas,
    )


def finite(value: t.Any) -> float | None:
    """Return ``value``, or None where the model gave no finite number."""
    return float(value) if math.isfinite(value) else None
