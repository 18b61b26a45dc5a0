"""Sample crystals from the diffusion generator."""

from __future__ import annotations

import typing as t

from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec
from aiida.orm import ArrayData
from pymatgen.core import Element

from aiida_qagenai.calculations.models.base import MlCalculation
from aiida_qagenai.calculations.models.candidates import define_candidates
from aiida_qagenai.chemistry.formula import parse_formula
from aiida_qagenai.data.checkpoint import CheckpointData
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.engine.batch import BatchMixin

__all__ = ('GenerateCalculation', 'checkpoint_validator')


class GenerateCalculation(BatchMixin, MlCalculation):
    """Sample candidates, and the set that packs them, from a generator for the given requests."""

    TASK = 'generate'
    FOLDER_GENERATOR = 'generator'
    FOLDER_DESCRIPTOR = 'descriptor'
    FILENAME_MOTIFS = 'motifs.npz'
    FILENAME_OUTPUT = 'candidates.npz'
    FILES: t.ClassVar[dict[str, str]] = {'generator': FOLDER_GENERATOR, 'output': FILENAME_OUTPUT}

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Define the ports."""
        super().define(spec)
        spec.input(
            'generator',
            valid_type=CheckpointData,
            validator=checkpoint_validator('generator'),
            help='Checkpoint of the generator.',
        )
        spec.input(
            'descriptor',
            valid_type=CheckpointData,
            required=False,
            validator=checkpoint_validator('descriptor'),
            help='Checkpoint of the descriptor model, which predicts the target descriptors of a composition where '
            '`parameters.target` is not given.',
        )
        spec.input(
            'motifs',
            valid_type=DatasetData,
            required=False,
            help='Known crystals: requests of mode `motifs` use them beside those of the package, and requests of mode '
            '`structures` start from them.',
        )
        cls.define_labels(spec)
        define_candidates(spec)
        spec.output(
            'geometry',
            valid_type=ArrayData,
            required=False,
            help='What became of the geometric constraints `parameters.geometry`, in the order of the candidates: '
            '`values`, `losses` and `satisfied` (n, C), and `trajectories` (n, S, C), the losses in each step. The '
            'attribute `constraints` has their texts.',
        )
        spec.inputs.validator = validate_inputs
        spec.exit_code(
            510, 'ERROR_NO_CANDIDATES', message='Every one of the {message} requested samples failed: train longer.'
        )

    @classmethod
    def check_parameters(cls, values: dict[str, t.Any]) -> None:
        """Check a configuration as the task would.

        :raises InvalidInputError: listing every problem.
        """
        super().check_parameters(cls._with_motifs(values))

    @classmethod
    def _with_motifs(cls, values: dict[str, t.Any], *, given: bool = True) -> dict[str, t.Any]:
        """Return the parameters with the name of the file of motifs in every request that reads it."""
        requests = values.get('requests')
        if not isinstance(requests, list) or not all(isinstance(request, dict) for request in requests):
            return values
        names = {'structures': 'structures'} | ({'motifs': 'library'} if given else {})
        added = [{names[mode]: cls.FILENAME_MOTIFS} if (mode := each.get('mode')) in names else {} for each in requests]
        return {**values, 'requests': [each | more for each, more in zip(requests, added, strict=True)]}

    def configuration(self) -> dict[str, t.Any]:
        """Return the parameters with the names of the files."""
        descriptor = self.FOLDER_DESCRIPTOR if 'descriptor' in self.inputs else None
        values = self._with_motifs(super().configuration(), given='motifs' in self.inputs)
        return {**values, 'descriptor': descriptor}

    def write_inputs(self, folder: Folder) -> list[str]:
        """Write the checkpoints and the motifs."""
        names = self.write_checkpoint(folder, self.FOLDER_GENERATOR, self.inputs.generator)
        if 'descriptor' in self.inputs:
            names += self.write_checkpoint(folder, self.FOLDER_DESCRIPTOR, self.inputs.descriptor)
        if 'motifs' in self.inputs:
            names += self.write_dataset(folder, self.FILENAME_MOTIFS, self.inputs.motifs)
        return names + self.write_labels(folder)


def checkpoint_validator(role: str) -> t.Callable[[CheckpointData, t.Any], str | None]:
    """Return a port validator that refuses checkpoints of another role."""

    def validate(value: CheckpointData, _: t.Any) -> str | None:
        if value.role != role:
            return f'this checkpoint has the role `{value.role}`, expected a {role}'
        return None

    return validate


def validate_inputs(value: dict[str, t.Any], _: t.Any) -> str | None:
    """Refuse requests that are empty, need motifs that are missing, or elements that the generator has not seen."""
    parameters, generator = value.get('parameters'), value.get('generator')
    if parameters is None or generator is None:
        return None
    requests = parameters.get_dict().get('requests')
    if not requests:
        return '`parameters.requests` is empty: say what to generate'
    known = set(generator.base.attributes.get('elements'))
    for number, request in enumerate(requests):
        if request.get('mode') == 'structures' and 'motifs' not in value:
            return f'request {number} starts from structures: give them as `motifs`'
        elements = request.get('elements') or list(request.get('composition') or ())
        if request.get('formula'):
            elements = list(parse_formula(request['formula']))
        invalid = [symbol for symbol in elements if not Element.is_valid_symbol(symbol)]
        if invalid:
            return f'request {number}: unknown element {", ".join(invalid)}'
        unseen = sorted(set(elements) - known)
        if unseen:
            return (
                f'request {number}: the generator was not trained on {", ".join(unseen)} '
                f'(it knows {", ".join(sorted(known))})'
            )
    return None
