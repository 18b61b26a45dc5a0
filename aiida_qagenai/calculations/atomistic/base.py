"""Base class of the jobs that move atoms on a potential."""

from __future__ import annotations

import typing as t

from aiida.common.folders import Folder
from aiida.engine import CalcJobProcessSpec
from aiida.orm import StructureData

from aiida_qagenai.calculations.models.base import MlCalculation
from aiida_qagenai.calculations.models.generate import checkpoint_validator
from aiida_qagenai.data.checkpoint import CheckpointData
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.exchange.tasks import parse
from aiida_qagenai.thermodynamics.vibrations.settings import EmtPotential

__all__ = ('AtomisticCalculation', 'potential_problem', 'structure_problem')


class AtomisticCalculation(MlCalculation):
    """A task on the potential that ``parameters.potential`` names; the validator comes as a checkpoint."""

    STRUCTURES: t.ClassVar[tuple[str, ...]]
    """Names of the inputs that are structures, in the order of the packed file."""
    FILENAME_STRUCTURES = 'structures.npz'
    FOLDER_CHECKPOINT = 'validator'

    @classmethod
    def define(cls, spec: CalcJobProcessSpec) -> None:
        """Define the ports that these jobs share."""
        super().define(spec)
        spec.input(
            'checkpoint',
            valid_type=CheckpointData,
            required=False,
            validator=checkpoint_validator('validator'),
            help='Checkpoint of the validator where `parameters.potential` names it.',
        )
        spec.inputs.validator = cls.validate_inputs
        spec.exit_code(430, 'ERROR_RELAXATION_NOT_CONVERGED', message='{message}')
        spec.exit_code(431, 'ERROR_BAND_NOT_CONVERGED', message='{message}')
        spec.exit_code(432, 'ERROR_NO_EQUILIBRIUM', message='{message}')

    @classmethod
    def define_structure(cls, spec: CalcJobProcessSpec, name: str, text: str) -> None:
        """Define one input structure."""
        spec.input(name, valid_type=StructureData, validator=validate_structure, help=text)

    @classmethod
    def check_parameters(cls, values: dict[str, t.Any]) -> None:
        """Check a configuration as the task would."""
        parse(cls.TASK, cls.complete(values))

    @classmethod
    def complete(cls, parameters: dict[str, t.Any]) -> dict[str, t.Any]:
        """Return the configuration: the parameters and the names of the files written beside it."""
        files: dict[str, str] = dict(cls.FILES)
        potential = parameters.get('potential')
        if isinstance(potential, dict) and potential.get('name') == 'validator':
            files['checkpoint'] = cls.FOLDER_CHECKPOINT
        return {**parameters, **files}

    @classmethod
    def validate_inputs(cls, value: dict[str, t.Any], _: t.Any) -> str | None:
        """Refuse a potential that does not cover the structures, or a validator without its checkpoint."""
        if 'parameters' not in value:
            return None
        structures = [value[name] for name in cls.STRUCTURES if name in value]
        potential = parse(cls.TASK, cls.complete(value['parameters'].get_dict())).potential
        return potential_problem(potential, structures, value.get('checkpoint'))

    def configuration(self) -> dict[str, t.Any]:
        """Return the parameters with the names of the files."""
        return self.complete(self.inputs.parameters.get_dict())

    def write_inputs(self, folder: Folder) -> list[str]:
        """Write the structures and the checkpoint."""
        structures = [self.inputs[name].get_pymatgen() for name in self.STRUCTURES]
        batch = StructureBatch.from_structures(structures, list(self.STRUCTURES))
        batch.save(folder.get_abs_path(self.FILENAME_STRUCTURES))
        names = [self.FILENAME_STRUCTURES]
        if 'checkpoint' in self.inputs:
            names += self.write_checkpoint(folder, self.FOLDER_CHECKPOINT, self.inputs.checkpoint)
        return names


def structure_problem(structure: StructureData) -> str | None:
    """Return why a structure is not an ordered crystal, or None."""
    if not all(structure.pbc):
        return f'the structure {structure.get_formula()} is not periodic in all directions'
    if structure.is_alloy or structure.has_vacancies:
        return f'the structure {structure.get_formula()} has partial occupancies: order it first'
    return None


def validate_structure(value: StructureData, _: t.Any) -> str | None:
    """Refuse what is not an ordered crystal."""
    return structure_problem(value)


def potential_problem(
    potential: t.Any, structures: t.Iterable[StructureData], checkpoint: CheckpointData | None
) -> str | None:
    """Return why a potential cannot be used for the structures, or None."""
    if (potential.name == 'validator') != (checkpoint is not None):
        needed = 'needs a checkpoint' if checkpoint is None else 'does not take a checkpoint'
        return f'the potential `{potential.name}` {needed}'
    known: set[str] | None = None
    if isinstance(potential, EmtPotential):
        known = set(potential.ELEMENTS)
    elif checkpoint is not None:
        known = set(checkpoint.base.attributes.get('elements'))
        levels = checkpoint.base.attributes.get('fidelities')
        if potential.fidelity.value not in levels:
            return f'the validator was not trained on {potential.fidelity} energies, only on {", ".join(levels)}'
    if known is None:
        return None
    for structure in structures:
        unknown = sorted({kind.symbol for kind in structure.kinds} - known)
        if unknown:
            names = ', '.join(sorted(known))
            return f'the potential `{potential.name}` does not cover {", ".join(unknown)}: it covers {names}'
    return None
