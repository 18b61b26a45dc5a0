"""Validation of ordered crystals: do they keep what was ordered when they relax, and are they stable?"""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, ToContext, while_
from aiida.orm import AbstractCode, Dict, StructureData, load_node

from aiida_qagenai.calculations.atomistic.relax_many import RelaxManyCalculation
from aiida_qagenai.calculations.functions.screen import screen_candidates
from aiida_qagenai.calculations.functions.validation import judge_candidates, symmetrise_candidates
from aiida_qagenai.calculations.models.generate import checkpoint_validator
from aiida_qagenai.calculations.validators import validator
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.data.checkpoint import CheckpointData, import_foundation
from aiida_qagenai.data.dataset import DatasetData
from aiida_qagenai.engine.batch import members_of
from aiida_qagenai.engine.endings import ending
from aiida_qagenai.engine.resumable import ResumableWorkChain
from aiida_qagenai.exchange.crystals import AnyCrystals, named_crystals
from aiida_qagenai.exchange.geometry import GeometryOptions
from aiida_qagenai.exchange.masks import SiteMask
from aiida_qagenai.exchange.structures import StructureBatch
from aiida_qagenai.workchains.campaign.screening import NOTHING_RELAXED
from aiida_qagenai.workchains.options import set_options
from aiida_qagenai.workchains.protocols.validation import ValidationSettings, parse_settings
from aiida_qagenai.workchains.recomputation import (
    DFT,
    Recomputation,
    affordable,
    define_recomputation,
    recomputation,
    return_energies,
)

__all__ = ('ValidationWorkChain',)

DISTANCES = {'stage': 'validation', 'constraints': ['minimum_distance']}


class ValidationWorkChain(ResumableWorkChain):
    """Ordered crystals → verdicts on the constraints and on the stability of each, and their Pareto front.

    Symmetrise, check distances, relax on a potential, find duplicates, place on the hull of the package, and compare
    the losses of the constraints with the distances to the hull.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Define ports, outline and exit codes."""
        super().define(spec)
        spec.input('code', valid_type=AbstractCode, help='Python with torch, the potential and this package.')
        spec.input('structures', valid_type=DatasetData, help='Ordered crystals, packed, each with its name.')
        spec.input(
            'parameters', valid_type=Dict, validator=validator(parse_settings), help='Settings: `ValidationSettings`.'
        )
        spec.input(
            'checkpoint',
            valid_type=CheckpointData,
            required=False,
            validator=checkpoint_validator('validator'),
            help='The validator, if that is the potential.',
        )
        spec.input('options', valid_type=Dict, required=False, help='Scheduler options of the relaxation.')
        spec.output(
            'verdicts', valid_type=Dict, help='Verdict on each crystal, their counts, the error of the potential.'
        )
        spec.output('screening', valid_type=Dict, help='Name of a crystal → why it was not relaxed.')
        spec.output('relaxed', valid_type=DatasetData, help='Crystals as they are relaxed, packed.')
        define_recomputation(spec)
        spec.outline(
            cls.prepare,
            while_(cls.should_relax)(cls.relax),
            cls.judge,
            while_(cls.should_recompute)(cls.recompute),
            cls.finalize,
        )
        spec.exit_code(410, 'ERROR_RELAXATION', message='The crystals were not relaxed: {reason}')
        spec.exit_code(510, 'ERROR_NO_SOUND_CRYSTAL', message='No crystal has proper distances: {reason}')

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: AbstractCode,
        structures: AnyCrystals,
        constraints: t.Sequence[str] = (),
        *,
        mask: SiteMask | None = None,
        potential: str = 'chgnet',
        checkpoint: CheckpointData | None = None,
        overrides: Mapping[str, t.Any] | None = None,
        options: dict[str, t.Any] | None = None,
        dft: Recomputation | None = None,
    ) -> ProcessBuilder:
        """Return a builder.

        :param structures: any kind, see :func:`~aiida_qagenai.exchange.crystals.as_structures`.
        :param constraints: what they were ordered with, such as ``coordination(Si,O)=6``.
        :param mask: atoms that were held, the first of every crystal.
        :param potential: ``chgnet`` or ``validator``.
        :param checkpoint: the validator, by default that of the package, which is stored if need be.
        :param overrides: other settings of ``ValidationSettings``.
        :param options: scheduler options.
        :param dft: what computes the energies of the front at the end; nothing does by default.
        :raises InvalidInputError: on a constraint or setting that cannot be used, or without structures.
        """
        asked = GeometryOptions.of_texts(constraints) if constraints else None
        ordered = {'constraints': () if asked is None else asked.constraints, 'mask': mask}
        settings = parse_settings({'relax': potential, **(overrides or {}), **ordered})
        items = named_crystals(structures)
        if not items:
            raise InvalidInputError('there are no structures to validate')
        for order in (asked, mask):
            if order is not None:
                order.check_crystals([item.structure for item in items])
        batch = StructureBatch.from_structures([item.structure for item in items], [item.name for item in items])
        builder = cls.get_builder()
        builder.code, builder.structures = code, DatasetData(batch)
        builder.parameters = Dict(settings.dump())
        if dft is not None:
            builder.dft = dft.inputs(element.symbol for item in items for element in item.structure.elements)
        if settings.relax.potential.name == 'validator':
            builder.checkpoint = checkpoint or import_foundation('validator')[0]
        if options:
            builder.options = Dict(options)
        return builder

    @property
    def settings(self) -> ValidationSettings:
        """Return the typed settings."""
        return parse_settings(self.inputs.parameters.get_dict())

    def prepare(self) -> ExitCode | None:
        """Move the crystals onto their symmetry, and leave out those whose atoms are too close."""
        # a mask knows its atoms by their order and their cell
        tolerance = Dict({'tolerance': None if self.settings.mask else self.settings.tolerance})
        made = self.call_once(
            'symmetrise', symmetrise_candidates, structures=self.inputs.structures, parameters=tolerance
        )
        self.ctx.candidate_set = made['candidate_set']
        screened = self.call_once(
            'distances', screen_candidates, candidate_set=made['candidate_set'], parameters=Dict(DISTANCES)
        )
        self.ctx.screening = screened['result']
        self.out('screening', self.ctx.screening)
        left_out = self.ctx.screening.get_dict()
        if len(left_out) == len(self.inputs.structures):
            return self.exit_codes.ERROR_NO_SOUND_CRYSTAL.format(reason=next(iter(left_out.values())))
        return None

    def should_relax(self) -> bool:
        """Return whether the relaxation has to be submitted, once or again after the machine lost it."""
        return self.should_submit('relax')

    def relax(self) -> ToContext:
        """Relax all of them in one job, which also applies the constraints."""
        builder = RelaxManyCalculation.get_builder()
        builder.code = self.inputs.code
        builder.candidate_set, builder.screening = self.ctx.candidate_set, self.ctx.screening
        builder.parameters = Dict(self.settings.relaxation())
        if 'checkpoint' in self.inputs:
            builder.checkpoint = self.inputs.checkpoint
        folder = self.lost_folder('relax')
        if folder is not None:
            builder.parent_folder = folder
        set_options(builder, self.inputs.options.get_dict() if 'options' in self.inputs else None)
        return ToContext(relaxation=self.submit_once('relax', builder))

    def judge(self) -> ExitCode | None:
        """Return the verdicts."""
        child = self.ctx.relaxation
        if not child.is_finished_ok and child.exit_status != NOTHING_RELAXED:
            return self.exit_codes.ERROR_RELAXATION.format(reason=ending(child))
        judged = self.call_once(
            'judge',
            judge_candidates,
            structures=self.inputs.structures,
            relaxed=child.outputs.candidate_set,
            results=child.outputs.results,
            screening=self.ctx.screening,
            parameters=Dict(self.settings.judgement()),
        )
        self.ctx.verdicts, self.ctx.relaxed = judged['result'], child.outputs.candidate_set
        self.out('verdicts', judged['result'])
        self.out('relaxed', child.outputs.candidate_set)
        return None

    def front(self) -> dict[str, StructureData]:
        """Return the crystals of the front that are computed, nearest to the hull first."""
        members, verdicts = members_of(self.ctx.relaxed), self.ctx.verdicts['verdicts']
        rows = [row for row, each in enumerate(verdicts) if each['on_front']]
        rows.sort(key=lambda row: verdicts[row]['e_above_hull'])
        nodes = {f'c{row:05d}': load_node(members[f'c{row:05d}'].pk) for row in rows}
        return affordable(nodes, self.settings.dft)

    def should_recompute(self) -> bool:
        """Return whether energies of the front have to be submitted, once or again after the machine lost them."""
        return DFT in self.inputs and bool(self.front()) and self.should_submit(DFT)

    def recompute(self) -> ToContext:
        """Compute the energies of the front by DFT."""
        builder = recomputation(self.inputs[DFT], self.front(), self.settings.dft)
        return ToContext(**{DFT: self.submit_once(DFT, builder)})

    def finalize(self) -> ExitCode | None:
        """Return the energies by DFT, if they were asked for."""
        return return_energies(self)
