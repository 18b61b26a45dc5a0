"""Free energies of candidates and competing phases, and the hull of Gibbs energies."""

from __future__ import annotations

import typing as t

from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, while_
from aiida.orm import AbstractCode, ArrayData, Dict, StructureData

from aiida_qagenai.calculations.atomistic.base import potential_problem, structure_problem
from aiida_qagenai.calculations.atomistic.free_energy import FreeEnergyCalculation
from aiida_qagenai.calculations.functions.finite_temperature import CANDIDATE, COMPETING, ENERGY, build_gibbs_hull
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.checkpoint import CheckpointData
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.data.finite_temperature import FreeEnergyData, GibbsHullData
from aiida_qagenai.data.structure import as_nodes
from aiida_qagenai.exchange.crystals import AnyCrystal
from aiida_qagenai.workchains.atomistic import AtomisticWorkChain
from aiida_qagenai.workchains.protocols.atomistic import FreeEnergySettings, atomistic_settings
from aiida_qagenai.workchains.protocols.loader import DEFAULT_PROTOCOL

__all__ = ('FreeEnergyWorkChain',)

PARTS = ('relaxation', 'phonons', 'volumes', 'temperatures')


class FreeEnergyWorkChain(AtomisticWorkChain):
    """Structures → free energy of each; with the competing phases also E_hull(T) of each.

    A structure with imaginary modes has no free energy: it is reported, left out of the hull, and no failure.
    """

    SETTINGS = FreeEnergySettings

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Define ports, outline and exit codes."""
        super().define(spec)
        spec.input_namespace('structures', valid_type=StructureData, dynamic=True, help='Candidates by label.')
        spec.input_namespace(
            'competing',
            valid_type=StructureData,
            dynamic=True,
            required=False,
            help='Phases that compete with them, elements included, by label. Without them there is no hull.',
        )
        spec.input_namespace(
            'energies',
            valid_type=EnergyData,
            dynamic=True,
            required=False,
            help='Energies at a better level of theory, by label, for all phases: replace those of the potential.',
        )
        spec.inputs.validator = validate_inputs
        spec.output_namespace('free_energies', valid_type=FreeEnergyData, dynamic=True, help='By label.')
        spec.output_namespace('relaxed', valid_type=StructureData, dynamic=True, help='Relaxed structures by label.')
        spec.output_namespace('phonons', valid_type=ArrayData, dynamic=True, help='Bands and volumes by label.')
        spec.output_namespace('hulls', valid_type=GibbsHullData, dynamic=True, help='E_hull(T) by label.')
        spec.outline(
            cls.setup,
            while_(cls.has_tasks)(cls.submit_ready, cls.collect_ended),
            cls.build_hull,
            cls.finalize,
        )
        spec.exit_code(500, 'ERROR_ALL_FAILED', message='Not one of the {count} jobs succeeded; the first: {reason}')
        spec.exit_code(510, 'ERROR_HULL', message='The free energies are outputs, but there is no hull: {reason}')
        spec.exit_code(710, 'WARNING_SOME_FAILED', message='{count} jobs failed, the hull misses them: {labels}')
        spec.exit_code(
            711, 'WARNING_NO_HULL', message='No hull: not one candidate is dynamically stable, or no competing phase.'
        )

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: AbstractCode,
        structures: t.Mapping[str, AnyCrystal],
        *,
        potential: str | dict[str, t.Any],
        protocol: str = DEFAULT_PROTOCOL,
        overrides: dict[str, t.Any] | None = None,
        competing: t.Mapping[str, AnyCrystal] | None = None,
        energies: dict[str, EnergyData] | None = None,
        checkpoint: CheckpointData | None = None,
        options: dict[str, t.Any] | None = None,
    ) -> ProcessBuilder:
        """Return a builder with every input set.

        :param structures: candidates by label (letters and digits), of any kind, see
            :func:`~aiida_qagenai.data.structure.as_node`.
        :param potential: name, name and model (``chgnet:r2scan``, ``validator:SCAN``), or the options as a dictionary.
        :param overrides: nested changes to the settings of the protocol.
        :param competing: phases that compete, by label, elements included.
        :param energies: energies at a better level of theory, for the labels of all phases.
        :param checkpoint: the validator, if that is the potential.
        :param options: scheduler options of the jobs.
        :raises InvalidInputError: for an unknown protocol, potential or key, or structures it does not cover.
        """
        settings = atomistic_settings(FreeEnergySettings, protocol, potential, overrides)
        structures, competing = as_nodes(structures), as_nodes(competing or {})
        problem = find_problem(settings, structures, competing, energies or {}, checkpoint)
        if problem:
            raise InvalidInputError(problem)
        builder = cls.get_builder()
        builder.code = code
        builder.structures = structures
        builder.parameters = Dict(settings.model_dump(mode='json'))
        if competing:
            builder.competing = competing
        if energies:
            builder.energies = energies
        if checkpoint is not None:
            builder.checkpoint = checkpoint
        if options:
            builder.options = Dict(options)
        return builder

    def setup(self) -> None:
        """List the jobs: all candidates, then the phases that compete with them."""
        self.start([*sorted(self.inputs.structures), *sorted(self.inputs.get('competing', {}))])

    def builder(self, label: str) -> t.Any:
        """Return the builder of the job of one structure."""
        structures = self.inputs.structures
        structure = structures[label] if label in structures else self.inputs.competing[label]
        return self.job(FreeEnergyCalculation, PARTS, structure=structure)

    def build_hull(self) -> ExitCode | None:
        """Build the hull of all free energies that there are."""
        found: dict[str, FreeEnergyData] = {}
        for label, job in self.succeeded().items():
            node = job.outputs.free_energy
            if node.has_curves:
                found[label] = node
            else:
                self.report(f'{label} has no free energy: {"; ".join(node.base.attributes.get("remarks"))}')
        competing = self.inputs.get('competing', {})
        inputs: dict[str, t.Any] = {}
        for label, node in found.items():
            inputs[f'{COMPETING if label in competing else CANDIDATE}{label}'] = node
            if 'energies' in self.inputs:
                inputs[f'{ENERGY}{label}'] = self.inputs.energies[label]
        self.ctx.hull = bool(set(found) & set(self.inputs.structures)) and bool(set(found) & set(competing))
        if not self.ctx.hull:
            return None
        try:
            outputs = self.call_once('hull', build_gibbs_hull, **inputs)
        except InvalidInputError as exception:
            self.ctx.hull_error = str(exception)
            return None
        for label, node in outputs.items():
            self.out(f'hulls.{label}', node)
        return None

    def finalize(self) -> ExitCode | None:
        """Return what there is and say what is missing."""
        for label, job in self.succeeded().items():
            outputs = job.outputs
            self.out(f'free_energies.{label}', outputs.free_energy)
            self.out(f'phonons.{label}', outputs.phonons)
            self.out(f'relaxed.{label}', outputs.relaxed)
        exit_codes = self.exit_codes
        if not self.ctx.succeeded:
            reason = next(iter(self.ctx.failed.values()))
            return exit_codes.ERROR_ALL_FAILED.format(count=len(self.ctx.tasks), reason=reason)
        if self.ctx.get('hull_error'):
            return exit_codes.ERROR_HULL.format(reason=self.ctx.hull_error)
        if self.ctx.failed:
            labels = ', '.join(sorted(self.ctx.failed))
            return exit_codes.WARNING_SOME_FAILED.format(count=len(self.ctx.failed), labels=labels)
        if self.inputs.get('competing', {}) and not self.ctx.hull:
            return exit_codes.WARNING_NO_HULL
        return None


def find_problem(
    settings: FreeEnergySettings,
    structures: t.Mapping[str, StructureData],
    competing: t.Mapping[str, StructureData],
    energies: t.Mapping[str, EnergyData],
    checkpoint: CheckpointData | None,
) -> str | None:
    """Return what is wrong with the inputs taken together."""
    if not structures:
        return 'no structures are given'
    both = sorted(set(structures) & set(competing))
    if both:
        return f'the labels {", ".join(both)} are both in `structures` and in `competing`'
    everything = {**structures, **competing}
    if energies and set(energies) != set(everything):
        missing = ', '.join(sorted(set(everything) ^ set(energies)))
        return f'`energies` must have the labels of all phases, the difference is: {missing}'
    for label, structure in everything.items():
        problem = structure_problem(structure)
        if problem:
            return f'`{label}`: {problem}'
    return potential_problem(settings.potential, everything.values(), checkpoint)


def validate_inputs(value: dict[str, t.Any], _: t.Any) -> str | None:
    """Refuse inputs that do not belong together."""
    if 'parameters' not in value:
        return None
    settings = FreeEnergySettings.parse(value['parameters'].get_dict())
    structures, competing, energies = (value.get(name) or {} for name in ('structures', 'competing', 'energies'))
    return find_problem(settings, structures, competing, energies, value.get('checkpoint'))
