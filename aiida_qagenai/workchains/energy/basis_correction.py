"""Energy in a small basis → the energy that compares with those of better bases."""

from __future__ import annotations

import typing as t

from aiida import orm
from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, ToContext, while_

from aiida_qagenai.calculations.functions.composite import apply_basis_correction
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.engine.endings import ending
from aiida_qagenai.engine.resumable import ResumableWorkChain
from aiida_qagenai.workchains.energy.base import PyscfCellBaseWorkChain
from aiida_qagenai.workchains.energy.ports import define_protocol, fill_protocol, given_protocol
from aiida_qagenai.workchains.protocols.bases import EnergyProtocol
from aiida_qagenai.workchains.protocols.composite import CorrectionPlan, plan_correction
from aiida_qagenai.workchains.protocols.loader import DEFAULT_PROTOCOL

__all__ = ('BasisCorrectionWorkChain',)


class BasisCorrectionWorkChain(ResumableWorkChain):
    """A CCSD(T) energy plus E_MP2(basis limit) − E_MP2(its basis), MP2 in its basis and in a larger one.

    Under a level tag of its own, and without formation energies: atoms are to be corrected the same way.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Define ports, outline and exit codes."""
        super().define(spec)
        spec.input('code', valid_type=orm.AbstractCode, help='Code that runs PySCF scripts.')
        spec.input('structure', valid_type=orm.StructureData, help='The structure of the energy.')
        spec.input('energy', valid_type=EnergyData, help='Energy of CCSD(T) by the EnergyWorkChain.')
        define_protocol(spec)
        spec.input('larger_basis', valid_type=orm.Str, help='Name of the larger basis: ccgto/cc-pvtz.')
        spec.input('options', valid_type=orm.Dict, required=False, help='Scheduler options of the calculations.')
        spec.inputs.validator = validate_inputs
        spec.output('energy', valid_type=EnergyData, required=False, help='The corrected energy.')
        spec.output_namespace('components', valid_type=orm.Dict, dynamic=True, help='Results of MP2 by basis.')
        spec.outline(while_(cls.should_calculate)(cls.run_calculations), cls.inspect_calculations)
        spec.exit_code(500, 'ERROR_CALCULATION_FAILED', message='A calculation failed: {reason}')

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode,
        structure: orm.StructureData,
        energy: EnergyData,
        protocol: str | EnergyProtocol = DEFAULT_PROTOCOL,
        *,
        larger_basis: str = 'ccgto/cc-pvtz',
        overrides: dict[str, t.Any] | None = None,
        options: dict[str, t.Any] | None = None,
    ) -> ProcessBuilder:
        """Return a builder with every input set.

        :param overrides: those with which the energy was computed.
        :raises InvalidInputError: if the energy is not of this structure and level, or the larger basis is none.
        """
        builder = cls.get_builder()
        builder.code, builder.structure, builder.energy = code, structure, energy
        symbols = {kind.symbol for kind in structure.kinds}
        complete = EnergyProtocol.resolve(protocol, overrides, symbols)
        larger = EnergyProtocol.of_settings(complete.settings.with_only_basis(larger_basis), symbols)
        builder.larger_basis = orm.Str(larger.settings.basis)
        fill_protocol(builder, EnergyProtocol(complete.settings, {**complete.families, **larger.families}))
        if options:
            builder.options = orm.Dict(options)
        problem = validate_inputs(builder, None)
        if problem is not None:
            raise InvalidInputError(problem)
        return builder

    def should_calculate(self) -> bool:
        """Return whether calculations have to be run, once or again after a process was lost."""
        return self.should_submit('small', 'large')

    def run_calculations(self) -> ToContext:
        """Submit MP2 in both bases."""
        plan = plan_of(self.inputs)
        metadata = {'metadata': {'options': self.inputs.options.get_dict()}} if 'options' in self.inputs else {}
        children = {}
        for label, part in (('small', plan.small), ('large', plan.large)):
            pyscf: dict[str, t.Any] = {
                'code': self.inputs.code,
                'structure': self.inputs.structure,
                'parameters': orm.Dict(part.parameters),
                **({'bases': part.bases} if part.bases else {}),
                **metadata,
            }
            children[label] = self.submit_once(label, PyscfCellBaseWorkChain, pyscf=pyscf)
        return ToContext(**children)

    def inspect_calculations(self) -> ExitCode | None:
        """Correct the energy, or say why it cannot be."""
        for label in ('small', 'large'):
            child = self.ctx[label]
            if not child.is_finished_ok:
                reason = f'{label}: {ending(child)}'
                return self.exit_codes.ERROR_CALCULATION_FAILED.format(reason=reason)
            self.out(f'components.{label}', child.outputs.results)
        plan = plan_of(self.inputs)
        outputs = self.call_once(
            'correct',
            apply_basis_correction,
            energy=self.inputs.energy,
            mp2_small=self.ctx.small.outputs.results,
            mp2_large=self.ctx.large.outputs.results,
            cardinals=orm.Dict({'small': plan.small.cardinal, 'large': plan.large.cardinal}),
        )
        self.out('energy', outputs['result'])
        return None


def plan_of(inputs: t.Any) -> CorrectionPlan:
    """Return what is computed.

    :raises InvalidInputError: if a basis is not installed, or the second is not larger.
    """
    return plan_correction(given_protocol(inputs), inputs['structure'], inputs['larger_basis'].value)


def validate_inputs(inputs: t.Any, _: t.Any) -> str | None:
    """Refuse an energy of another level or structure, and a basis that is not larger."""
    if not all(inputs.get(name) for name in ('structure', 'energy', 'settings', 'larger_basis')):
        return None
    content = inputs['energy'].content
    if content.fidelity is not Fidelity.CCSD_T:
        return f'the correction is one of CCSD(T) energies, not of {content.fidelity}'
    if content.num_atoms != len(inputs['structure'].sites):
        return f'the energy is of {content.num_atoms} atoms, the structure has {len(inputs["structure"].sites)}'
    try:
        plan = plan_of(inputs)
    except InvalidInputError as exception:
        return str(exception)
    if content.level_tag != plan.level_tag:
        return f'the energy is of the level `{content.level_tag}`, the correction of `{plan.level_tag}`'
    return None
