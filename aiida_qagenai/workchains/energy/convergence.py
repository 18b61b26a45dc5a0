"""Refine the k-mesh or the basis of a structure until its energy stops changing."""

from __future__ import annotations

import itertools
import typing as t

import numpy as np
from aiida import orm
from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, ToContext, calcfunction, while_

from aiida_qagenai.calculations.validators import validator
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.data.structure import as_node
from aiida_qagenai.engine.endings import ending
from aiida_qagenai.engine.resumable import ResumableWorkChain
from aiida_qagenai.exchange.crystals import AnyCrystal
from aiida_qagenai.workchains.energy.energy import EnergyWorkChain
from aiida_qagenai.workchains.energy.ports import define_protocol, fill_protocol, given_protocol
from aiida_qagenai.workchains.protocols.bases import EnergyProtocol
from aiida_qagenai.workchains.protocols.energy import EnergySettings
from aiida_qagenai.workchains.protocols.loader import DEFAULT_PROTOCOL, merge_overrides

__all__ = ('ConvergenceWorkChain', 'refined_meshes', 'tabulate_convergence')

STEP = 'step{:02d}'


class ConvergenceWorkChain(ResumableWorkChain):
    """Energies of one structure on finer and finer meshes, or in larger and larger bases, until they agree.

    The energy that has converged is the last one: the one before it is within the threshold of it.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Define ports, outline and exit codes."""
        super().define(spec)
        spec.input('code', valid_type=orm.AbstractCode, help='Code that runs PySCF scripts.')
        spec.input('structure', valid_type=orm.StructureData, help='The crystal.')
        spec.input(
            'fidelity', valid_type=orm.Str, validator=validator(Fidelity.parse), help='PBE, SCAN, HSE06 or CCSD(T).'
        )
        define_protocol(spec)
        spec.input(
            'steps',
            valid_type=orm.List,
            validator=validate_steps,
            help='Changes to the settings of the energies, one mapping for each step, in the order of the steps.',
        )
        spec.input(
            'threshold',
            valid_type=orm.Float,
            default=lambda: orm.Float(1e-3),
            validator=validate_threshold,
            help='Largest change of the energy, eV/atom.',
        )
        spec.input('options', valid_type=orm.Dict, required=False, help='Scheduler options of the calculations.')
        spec.output_namespace('energies', valid_type=EnergyData, dynamic=True, help='Energy of each step.')
        spec.output('energy', valid_type=EnergyData, required=False, help='The converged energy.')
        spec.output('report', valid_type=orm.Dict, required=False, help='Energies and changes, eV/atom.')
        spec.outline(cls.setup, while_(cls.is_changing)(cls.compute, cls.inspect), cls.finalize)
        spec.exit_code(500, 'ERROR_CALCULATION_FAILED', message='A calculation failed: {reason}')
        spec.exit_code(
            410,
            'ERROR_NOT_CONVERGED',
            message='The energy still changes by {change:.1e} eV/atom after {steps} steps, not by {threshold:.1e}.',
        )

    @classmethod
    def get_builder_from_protocol(
        cls,
        code: orm.AbstractCode,
        structure: AnyCrystal,
        fidelity: Fidelity | str,
        protocol: str | EnergyProtocol = DEFAULT_PROTOCOL,
        *,
        quantity: t.Literal['kpoints', 'basis'] = 'kpoints',
        bases: t.Sequence[str] = (),
        max_steps: int = 5,
        threshold: float = 1e-3,
        overrides: dict[str, t.Any] | None = None,
        options: dict[str, t.Any] | None = None,
    ) -> ProcessBuilder:
        """Return a builder with every input set.

        :param quantity: ``kpoints`` refines the mesh of the protocol (that of Hartree-Fock for CCSD(T)), ``basis`` goes
            through ``bases``.
        :param bases: names of bases, smallest first: ``ccgto/cc-pvdz``.
        :param threshold: eV/atom.
        :raises InvalidInputError: if the structure is not a crystal, or fewer than two steps are asked for.
        """
        structure = as_node(structure)
        level, symbols = Fidelity.parse(fidelity), {kind.symbol for kind in structure.kinds}
        complete = EnergyProtocol.resolve(protocol, overrides, symbols)
        if not all(structure.pbc):
            raise InvalidInputError('convergence is tested on crystals')
        if quantity == 'basis':
            found = [EnergyProtocol.of_settings(complete.settings.with_only_basis(name), symbols) for name in bases]
            families = {key: nodes for one in found for key, nodes in one.families.items()}
            complete = EnergyProtocol(complete.settings, {**complete.families, **families})
            steps: list[dict[str, t.Any]] = [
                {'basis': one.settings.basis, 'coupled_cluster_basis': None, 'fallback': None} for one in found
            ]
        else:
            name = 'HF' if level is Fidelity.CCSD_T else level.value
            rule = complete.settings.meshes[name]  # type: ignore[index]
            meshes = refined_meshes(structure.cell, rule.mesh(structure.cell), max_steps)
            shift = rule.model_dump(mode='json')['shift']
            steps = [{'meshes': {name: {'fixed': mesh, 'spacing': None, 'shift': shift}}} for mesh in meshes]
        for step in steps:
            EnergySettings.parse(merge_overrides(complete.settings.dump(), step))
        listed = orm.List(steps)
        problem = validate_steps(listed, None)
        if problem is not None:
            raise InvalidInputError(problem)
        builder = cls.get_builder()
        builder.code, builder.structure = code, structure
        builder.fidelity = orm.Str(level.value)
        fill_protocol(builder, complete)
        builder.steps = listed
        builder.threshold = orm.Float(threshold)
        if options:
            builder.options = orm.Dict(options)
        return builder

    def setup(self) -> None:
        """Start with nothing known."""
        self.ctx.per_atom = []
        self.ctx.energies = []

    def change(self) -> float:
        """Return the last change of the energy, eV/atom."""
        per_atom = self.ctx.per_atom
        return abs(per_atom[-1] - per_atom[-2]) if len(per_atom) > 1 else float('inf')

    def is_changing(self) -> bool:
        """Return whether another step is needed, and left."""
        return bool(self.change() > self.inputs.threshold.value and len(self.ctx.per_atom) < len(self.inputs.steps))

    def compute(self) -> ToContext:
        """Submit the next step."""
        index, given = len(self.ctx.per_atom), given_protocol(self.inputs)
        changed = EnergySettings.parse(merge_overrides(given.settings.dump(), self.inputs.steps[index]))
        builder = EnergyWorkChain.get_builder_from_protocol(
            code=self.inputs.code,
            structure=self.inputs.structure,
            fidelity=self.inputs.fidelity.value,
            protocol=EnergyProtocol(changed, given.families),
            options=self.inputs.options.get_dict() if 'options' in self.inputs else None,
        )
        return ToContext(child=self.submit_once(STEP.format(index), builder))

    def inspect(self) -> ExitCode | None:
        """Note the energy and its change."""
        child, index = self.ctx.child, len(self.ctx.per_atom)
        if not child.is_finished_ok:
            return self.exit_codes.ERROR_CALCULATION_FAILED.format(reason=ending(child))
        energy = child.outputs.energy
        self.out(f'energies.{STEP.format(index)}', energy)
        self.ctx.per_atom.append(energy.content.energy_per_atom)
        self.ctx.energies.append(energy)
        if index:
            self.report(f'step {index}: the energy changes by {1e3 * self.change():.3f} meV/atom')
        return None

    def finalize(self) -> ExitCode | None:
        """Return the table of what was computed, and the energy if it has converged."""
        energies = {STEP.format(index): energy for index, energy in enumerate(self.ctx.energies)}
        report = self.call_once('tabulate', tabulate_convergence, threshold=self.inputs.threshold, **energies)
        self.out('report', report['result'])
        if self.change() > self.inputs.threshold.value:
            return self.exit_codes.ERROR_NOT_CONVERGED.format(
                change=self.change(), steps=len(self.ctx.per_atom), threshold=self.inputs.threshold.value
            )
        self.out('energy', self.ctx.energies[-1])
        return None


@calcfunction
def tabulate_convergence(threshold: orm.Float, **energies: EnergyData) -> orm.Dict:
    """Return level tags, energies and their changes (eV/atom) in the order of the labels."""
    content = [energies[label].content for label in sorted(energies)]
    per_atom = [one.energy_per_atom for one in content]
    changes = [abs(after - before) for before, after in itertools.pairwise(per_atom)]
    return orm.Dict(
        {
            'level_tags': [one.level_tag for one in content],
            'energies_per_atom': per_atom,
            'changes_per_atom': changes,
            'core_hours': [one.core_hours for one in content],
            'threshold': threshold.value,
            'converged': bool(changes) and changes[-1] <= threshold.value,
        }
    )


def refined_meshes(cell: t.Any, mesh: t.Sequence[int], count: int) -> list[list[int]]:
    """Return ``count`` meshes, each finer than the one before where the points are farthest apart.

    :param cell: lattice vectors as rows, Å.
    :param mesh: the first.
    """
    lengths = np.linalg.norm(2 * np.pi * np.linalg.inv(np.array(cell)).T, axis=1)
    meshes = [[int(number) for number in mesh]]
    while len(meshes) < count:
        spacing = float((lengths / meshes[-1]).max()) * (1 - 1e-3)
        # Never coarser along the other axes, where the rule of the protocol may have been denser.
        meshes.append(
            [max(old, int(np.ceil(length / spacing))) for old, length in zip(meshes[-1], lengths, strict=True)]
        )
    return meshes


def validate_steps(value: orm.List, _: t.Any) -> str | None:
    """Refuse what compares nothing."""
    steps = value.get_list()
    if len(steps) < 2:
        return f'convergence needs two or more steps, got {len(steps)}'
    if any(before == after for before, after in itertools.pairwise(steps)):
        return 'two steps in succession are the same'
    return None


def validate_threshold(value: orm.Float, _: t.Any) -> str | None:
    """Refuse a threshold that nothing can meet."""
    return None if value.value > 0 else f'the threshold must be positive, got {value.value} eV/atom'
