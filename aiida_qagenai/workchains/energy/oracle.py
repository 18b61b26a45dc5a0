"""Energies of many structures by an oracle: a foundation potential a level, or a table."""

from __future__ import annotations

import typing as t

from aiida.engine import ExitCode, ProcessSpec, ToContext, while_
from aiida.orm import AbstractCode, Dict, SinglefileData, StructureData
from pydantic import TypeAdapter

from aiida_qagenai.calculations.atomistic.label import LabelCalculation
from aiida_qagenai.calculations.functions.oracle import assemble_labels, look_up_energies, pack_structures
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.data.energy import EnergyData
from aiida_qagenai.engine.endings import ending
from aiida_qagenai.engine.resumable import ResumableWorkChain
from aiida_qagenai.workchains.options import set_options
from aiida_qagenai.workchains.protocols.oracle import Oracle, PotentialOracle

__all__ = ('OracleWorkChain',)

SETTINGS: TypeAdapter[t.Any] = TypeAdapter(Oracle)


class OracleWorkChain(ResumableWorkChain):
    """Structures and a plan → an ``EnergyData`` per structure and fidelity, as of the ``LadderWorkChain``.

    A potential labels all structures of a level in one job, and the elements that their formation energies refer to
    with them. A structure that the oracle has no energy for is left out, and the others go on.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Define ports, outline and exit codes."""
        super().define(spec)
        spec.input('code', valid_type=AbstractCode, required=False, help='Python with torch and the potentials.')
        spec.input('table', valid_type=SinglefileData, required=False, help='CSV file of a table of energies.')
        spec.input_namespace('structures', valid_type=StructureData, dynamic=True, help='Structures by label.')
        spec.input('plan', valid_type=Dict, help='Names of the fidelities by label.')
        spec.input('settings', valid_type=Dict, help='Settings of the oracle, see `PotentialOracle`, `TableOracle`.')
        spec.input('runtime', valid_type=Dict, default=lambda: Dict({}), help='Device, dtype and threads of the jobs.')
        spec.input('options', valid_type=Dict, required=False, help='Scheduler options of the jobs.')
        spec.inputs.validator = validate_inputs
        spec.output_namespace('energies', valid_type=EnergyData, dynamic=True, help='By label and fidelity.')
        spec.outline(while_(cls.should_label)(cls.label), cls.collect)
        spec.exit_code(500, 'ERROR_ALL_FAILED', message='The oracle has no energy of any of the {count} structures.')

    @property
    def settings(self) -> t.Any:
        """Return the typed settings."""
        return SETTINGS.validate_python(self.inputs.settings.get_dict())

    @property
    def planned(self) -> dict[Fidelity, list[str]]:
        """Return the labels of the structures by level, lowest first; a level that the oracle lacks is left out."""
        plan = {label: [Fidelity.parse(name) for name in names] for label, names in self.inputs.plan.items()}
        levels = [level for level in LADDER if level in self.settings.levels]
        found = {level: sorted(label for label, names in plan.items() if level in names) for level in levels}
        return {level: labels for level, labels in found.items() if labels}

    @property
    def jobs(self) -> list[str]:
        """Return the labels of the calls of the jobs."""
        if not isinstance(self.settings, PotentialOracle):
            return []
        return [f'label{level.label}' for level in self.planned]

    def should_label(self) -> bool:
        """Return whether structures have to be labelled, once or again after a job was lost."""
        return bool(self.jobs) and self.should_submit(*self.jobs)

    def structures(self, labels: t.Sequence[str]) -> dict[str, StructureData]:
        """Return some of the structures."""
        return {label: self.inputs.structures[label] for label in labels}

    def label(self) -> ToContext:
        """Label the structures of every level."""
        children = {}
        for level, labels in self.planned.items():
            structures = self.structures(labels)
            symbols = sorted({kind.symbol for structure in structures.values() for kind in structure.kinds})
            content = Dict({'labels': labels, 'elements': symbols})
            packed = self.call_once(f'pack{level.label}', pack_structures, parameters=content, structures=structures)
            builder = LabelCalculation.get_builder()
            builder.code, builder.structures = self.inputs.code, packed['result']
            potential = self.settings.levels[level].model_dump(mode='json')
            parameters = {'potential': potential, 'batch_atoms': self.settings.batch_atoms, 'seed': 0}
            builder.parameters = Dict({**parameters, **self.inputs.runtime.get_dict()})
            set_options(builder, self.inputs.options.get_dict() if 'options' in self.inputs else None)
            children[f'label{level.label}'] = self.submit_once(f'label{level.label}', builder)
        return ToContext(**children)

    def collect(self) -> ExitCode | None:
        """Return the energies."""
        energies = self.labelled() if self.jobs else self.found_in_table()
        for name, energy in energies.items():
            self.out(f'energies.{name}', energy)
        if not energies:
            exit_code: ExitCode = self.exit_codes.ERROR_ALL_FAILED.format(count=len(self.inputs.structures))
            return exit_code
        return None

    def labelled(self) -> dict[str, EnergyData]:
        """Return the energies of the potentials."""
        energies: dict[str, EnergyData] = {}
        for level, labels in self.planned.items():
            child = self.ctx[f'label{level.label}']
            if not child.is_finished_ok:
                self.report(f'{level}: {ending(child)}')
                continue
            outputs = self.call_once(
                f'assemble{level.label}',
                assemble_labels,
                packed=child.inputs.structures,
                labels=child.outputs.labels,
                results=child.outputs.results,
                parameters=Dict({'fidelity': level.value, 'level_tag': self.settings.tag(level)}),
                structures=self.structures(labels),
            )
            energies |= outputs.get('energies', {})
        return energies

    def found_in_table(self) -> dict[str, EnergyData]:
        """Return the energies of the table."""
        settings = self.settings.dump()
        content = {**{name: settings[name] for name in ('levels', 'key')}, 'plan': self.inputs.plan.get_dict()}
        structures = dict(self.inputs.structures)
        outputs = self.call_once(
            'lookup', look_up_energies, table=self.inputs.table, parameters=Dict(content), structures=structures
        )
        found: dict[str, EnergyData] = outputs.get('energies', {})
        return found


def validate_inputs(value: dict[str, t.Any], _: t.Any) -> str | None:
    """Refuse an oracle without what gives its energies."""
    if 'settings' not in value:
        return None
    try:
        settings = SETTINGS.validate_python(value['settings'].get_dict())
    except (InvalidInputError, ValueError) as exception:
        return str(exception)
    name = 'code' if isinstance(settings, PotentialOracle) else 'table'
    return None if value.get(name) is not None else f'an oracle of the kind {settings.kind} needs `{name}`'
