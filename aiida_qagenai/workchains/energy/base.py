"""Run a PySCF calculation and, where it fails, again with something changed."""

from __future__ import annotations

import math
import typing as t

from aiida import orm
from aiida.common import AttributeDict
from aiida.common.links import LinkType
from aiida.engine import (
    BaseRestartWorkChain,
    ExitCode,
    ProcessHandlerReport,
    ProcessSpec,
    ToContext,
    append_,
    process_handler,
    while_,
)

from aiida_qagenai.calculations.pyscf.cell import PyscfCellCalculation
from aiida_qagenai.calculations.pyscf.parameters import PyscfCellParameters
from aiida_qagenai.calculations.pyscf.results import results_of
from aiida_qagenai.engine.broker import ReconnectingMixin

__all__ = ('SCF_AIDS', 'PyscfCellBaseWorkChain')

EXIT_CODES: t.Any = PyscfCellCalculation.exit_codes

NEVER_STARTED = (EXIT_CODES.ERROR_OUTPUT_STDOUT_MISSING, EXIT_CODES.ERROR_OUTPUT_RESULTS_MISSING)
"""How a job ends that was cancelled while it waited in the queue, or before the script began."""

SCF_AIDS: tuple[dict[str, t.Any], ...] = (
    {'damping': 0.5},
    {'damping': 0.0, 'level_shift': 0.3},
    {'damping': 0.0, 'level_shift': 0.0, 'second_order': True},
)
"""What is tried in turn where an SCF does not converge: none changes the energy it converges to."""

SPIN_AIDS: tuple[dict[str, t.Any], ...] = (
    {'damping': 0.8},
    {'damping': 0.5, 'level_shift': 0.5},
    {'damping': 0.0, 'level_shift': 0.0, 'second_order': True},
)
"""The same of spin-polarised crystals, which are damped from the beginning."""

WITHOUT_SECOND_ORDER: dict[str, t.Any] = {'damping': 0.7, 'level_shift': 0.5}
"""The last aid where fractional occupations rule the second-order solver out."""

MOMENT_AIDS: tuple[tuple[float, dict[str, t.Any]], ...] = (
    (1.5, {'damping': 0.5, 'level_shift': 0.5}),
    (2.0, {'damping': 0.8, 'level_shift': 0.0}),
)
"""Factor of the moments, and aids to convergence, that are tried in turn where a density lost its moments."""

MINIMUM_CYCLES = 3
"""Fewer iterations than that before the walltime ended: as much time again would not get far."""

GRID_REFINEMENTS = (1.25, 1.6)
"""Points in each direction over those that were asked for, after the first and the second failure."""

CC_DAMPING = (0.7, 0.4)
"""Fraction of each update of the amplitudes that is taken, after the first and the second failure of CCSD."""


class PyscfCellBaseWorkChain(ReconnectingMixin, BaseRestartWorkChain):
    """A PySCF calculation with restarts: every handler changes what the next attempt does, and says so."""

    _process_class = PyscfCellCalculation

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:  # type: ignore[override]
        """Define ports, outline and exit codes."""
        super().define(spec)
        spec.expose_inputs(PyscfCellCalculation, namespace='pyscf')
        spec.input(
            'separate_triples',
            valid_type=orm.Bool,
            required=False,
            help='Compute (T) of a crystal in a calculation of its own, from the amplitudes that CCSD leaves.',
        )
        spec.inputs.validator = validate_separate_triples
        spec.expose_outputs(PyscfCellCalculation)
        spec.outline(cls.setup, while_(cls.should_run_process)(cls.run_process, cls.inspect_process), cls.results)

    def setup(self) -> None:
        """Take over the inputs and start counting attempts."""
        super().setup()
        self.ctx.inputs = AttributeDict(self.exposed_inputs(PyscfCellCalculation, 'pyscf'))
        self.ctx.scf_aids_tried = 0
        self.ctx.collapses = 0
        self.ctx.cc_failures = 0
        self.ctx.memory_doublings = 0
        self.ctx.grid_refinements = 0
        self.ctx.kills = 0
        self.ctx.exceptions = 0
        self.ctx.amplitudes_lost = False
        if self.inputs.get('separate_triples', False) and 'restart_folder' not in self.ctx.inputs:
            self.change_parameters(method='CCSD')

    def run_process(self) -> t.Any:
        """Launch the next attempt, unless a worker that was killed within this step had already launched it."""
        number = self.ctx.iteration + 1
        label = f'iteration_{number:02d}'
        links = self.node.base.links.get_outgoing(link_type=LinkType.CALL_CALC, link_label_filter=label).all()
        if not links:
            return super().run_process()
        self.ctx.iteration = number
        considered = self.node.base.extras.get(self._considered_handlers_extra, [])
        self.node.base.extras.set(self._considered_handlers_extra, [*considered, *[[]] * (number - len(considered))])
        return ToContext(children=append_(links[-1].node))

    def inspect_process(self) -> ExitCode | None:
        """Look at the last attempt; one that the daemon lost is made again, twice.

        It ends by an exception, or without an output that AiiDA itself attaches, as after a lost connection.
        """
        node = self.ctx.children[self.ctx.iteration - 1]
        lost = node.is_excepted or node.exit_status == EXIT_CODES.ERROR_MISSING_OUTPUT.status
        if lost and self.ctx.exceptions < 2:
            self.ctx.exceptions += 1
            self.report(f'{node.process_label}<{node.pk}> was lost by the daemon: it is run again')
            return None
        return super().inspect_process()

    def change_parameters(self, section: str | None = None, **changes: t.Any) -> None:
        """Change parameters of the next attempt, at the top level or in a ``section``."""
        parameters = self.ctx.inputs.parameters
        parameters = parameters.get_dict() if isinstance(parameters, orm.Dict) else dict(parameters)
        if section is None:
            parameters.update(changes)
        else:
            parameters[section] = {**parameters.get(section, {}), **changes}
        self.ctx.inputs.parameters = parameters

    @property
    def parameters(self) -> PyscfCellParameters:
        """Return the parameters that the next attempt will have."""
        parameters = self.ctx.inputs.parameters
        return PyscfCellParameters.parse(parameters.get_dict() if isinstance(parameters, orm.Dict) else parameters)

    def use_restart_files(self, node: orm.CalcJobNode) -> str:
        """Let the next attempt continue from what ``node`` left; return what it continues from, or ''."""
        if 'last_geometry' in node.outputs:
            self.ctx.inputs.structure = node.outputs.last_geometry
            return 'the last geometry'
        results = results_of(node)
        if results is not None and (results.amplitudes_saved or results.fragments_saved):
            self.ctx.inputs.restart_folder = node.outputs.remote_folder
            return 'the saved amplitudes' if results.amplitudes_saved else 'the saved fragments'
        if 'checkpoint' in node.outputs:
            self.ctx.inputs.checkpoint = node.outputs.checkpoint
            return 'the SCF checkpoint'
        return ''

    def report_action(self, node: orm.CalcJobNode, action: str) -> None:
        """Report a failure and what is done about it."""
        self.report(f'{node.process_label}<{node.pk}> failed with exit status {node.exit_status}: {node.exit_message}')
        self.report(f'Action taken: {action}')

    def abort(self, node: orm.CalcJobNode, reason: str) -> ProcessHandlerReport:
        """End with the exit code of the calculation."""
        self.report_action(node, f'none, {reason}')
        return ProcessHandlerReport(True, ExitCode(node.exit_status, node.exit_message))

    @process_handler(priority=650, exit_codes=[EXIT_CODES.ERROR_INTEGRATION])
    def handle_coarse_grid(self, node: orm.CalcJobNode) -> ProcessHandlerReport:
        """Refine the grid that loses electrons, as hard pseudopotentials let it do (Mg with its 2s and 2p); twice."""
        if self.ctx.grid_refinements == len(GRID_REFINEMENTS):
            return self.abort(node, 'finer grids did not help')
        factor = GRID_REFINEMENTS[self.ctx.grid_refinements]
        self.ctx.grid_refinements += 1
        given = self.inputs.pyscf.parameters.get_dict()
        if mesh := given.get('grid_mesh'):
            # Odd, as the mesh was.
            finer: dict[str, t.Any] = {'grid_mesh': [2 * math.ceil(factor * number / 2) + 1 for number in mesh]}
        else:
            finer = {'grid_level': min(9, self.parameters.grid_level + 1)}
        self.change_parameters(**finer)
        source = self.use_restart_files(node) or 'scratch'
        self.report_action(node, f'restart from {source} with {finer}')
        return ProcessHandlerReport(True)

    @process_handler(priority=600)
    def handle_unrecoverable_failure(self, node: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """End at once where no restart can help: wrong input, unusable output, a scientific refusal."""
        scheduler = (
            EXIT_CODES.ERROR_SCHEDULER_OUT_OF_MEMORY.status,
            EXIT_CODES.ERROR_SCHEDULER_OUT_OF_WALLTIME.status,
            EXIT_CODES.ERROR_SCHEDULER_NODE_FAILURE.status,
            *(code.status for code in NEVER_STARTED),
        )
        final = (EXIT_CODES.ERROR_MEMORY_ESTIMATE.status, EXIT_CODES.ERROR_RELAXATION_NOT_CONVERGED.status)
        refused = node.exit_status >= 500 or node.exit_status in final
        if node.is_failed and (refused or (node.exit_status < 400 and node.exit_status not in scheduler)):
            return self.abort(node, 'a restart cannot help')
        return None

    @process_handler(priority=550, exit_codes=[ExitCode(0)])
    def continue_with_triples(self, node: orm.CalcJobNode) -> ProcessHandlerReport | None:
        """Compute (T) from the amplitudes of a CCSD that was only half of the task."""
        if not self.inputs.get('separate_triples', False) or self.parameters.method != 'CCSD':
            return None
        if self.use_restart_files(node):
            self.change_parameters(method='(T)')
            self.report(f'{node.process_label}<{node.pk}> left converged amplitudes: (T) follows')
        else:
            # Without an electron to correlate there are no amplitudes, and nothing to be saved.
            self.change_parameters(method='CCSD(T)')
        return ProcessHandlerReport(True)

    @process_handler(priority=540, exit_codes=[EXIT_CODES.ERROR_AMPLITUDES_LOST])
    def handle_amplitudes_lost(self, node: orm.CalcJobNode) -> ProcessHandlerReport:
        """Begin again where the folder with the amplitudes was cleaned or damaged; once."""
        if not self.inputs.get('separate_triples', False) or self.ctx.amplitudes_lost:
            return self.abort(node, 'the amplitudes are not there')
        self.ctx.amplitudes_lost = True
        del self.ctx.inputs['restart_folder']
        self.change_parameters(method='CCSD(T)')
        self.report_action(node, 'CCSD(T) from scratch in one calculation')
        return ProcessHandlerReport(True)

    @process_handler(priority=500, exit_codes=[EXIT_CODES.ERROR_ELECTRONIC_CONVERGENCE_NOT_REACHED])
    def handle_scf_not_converged(self, node: orm.CalcJobNode) -> ProcessHandlerReport:
        """Damp, then shift the virtual levels, then converge to second order; from the last density."""
        aids = SPIN_AIDS if self.parameters.spin_polarized else SCF_AIDS
        if self.ctx.scf_aids_tried == len(aids):
            return self.abort(node, 'all aids to convergence were tried')
        aid = aids[self.ctx.scf_aids_tried]
        if aid.get('second_order') and self.parameters.scf.smearing:
            aid = WITHOUT_SECOND_ORDER
        self.ctx.scf_aids_tried += 1
        self.change_parameters('scf', max_cycle=99, **aid)
        source = self.use_restart_files(node) or 'scratch'
        self.report_action(node, f'restart from {source} with {aid}')
        return ProcessHandlerReport(True)

    @process_handler(priority=495, exit_codes=[EXIT_CODES.ERROR_MAGNETIC_COLLAPSE])
    def handle_magnetic_collapse(self, node: orm.CalcJobNode) -> ProcessHandlerReport:
        """Begin again from larger moments with the same spin of the cell, and aids to convergence; twice."""
        if self.ctx.collapses == len(MOMENT_AIDS):
            return self.abort(node, 'larger moments were lost as well: there may be no solution with such moments')
        factor, aid = MOMENT_AIDS[self.ctx.collapses]
        self.ctx.collapses += 1
        moments = [factor * moment for moment in self.inputs.pyscf.parameters['moments']]
        # The spin of the cell is not what larger moments would add up to.
        self.change_parameters(moments=moments, spin=node.outputs.results.get('spin'))
        self.change_parameters('scf', max_cycle=99, **aid)
        self.ctx.inputs.pop('checkpoint', None)
        self.report_action(node, f'restart from scratch with the moments {moments} and {aid}')
        return ProcessHandlerReport(True)

    @process_handler(priority=490, exit_codes=[EXIT_CODES.ERROR_COUPLED_CLUSTER_NOT_CONVERGED])
    def handle_cc_not_converged(self, node: orm.CalcJobNode) -> ProcessHandlerReport:
        """Continue from the amplitudes with damped updates and twice as many iterations."""
        if self.ctx.cc_failures == len(CC_DAMPING):
            return self.abort(node, 'damped updates did not help')
        damping = CC_DAMPING[self.ctx.cc_failures]
        self.ctx.cc_failures += 1
        max_cycle = 2 * self.parameters.cc.max_cycle
        self.change_parameters('cc', damping=damping, max_cycle=max_cycle)
        source = self.use_restart_files(node) or 'scratch'
        self.report_action(node, f'restart from {source} with updates damped to {damping} and {max_cycle} iterations')
        return ProcessHandlerReport(True)

    @process_handler(
        priority=480, exit_codes=[EXIT_CODES.ERROR_OUT_OF_MEMORY, EXIT_CODES.ERROR_SCHEDULER_OUT_OF_MEMORY]
    )
    def handle_out_of_memory(self, node: orm.CalcJobNode) -> ProcessHandlerReport:
        """Stop keeping orbitals in memory, then ask for twice the memory, twice."""
        source = self.use_restart_files(node) or 'scratch'
        if self.parameters.cache_orbitals and not self.parameters.is_coupled_cluster:
            self.change_parameters(cache_orbitals=False)
            self.report_action(node, f'restart from {source} without keeping the orbitals on the grid')
            return ProcessHandlerReport(True)
        if self.ctx.memory_doublings == 2:
            return self.abort(node, 'four times the memory was not enough')
        self.ctx.memory_doublings += 1
        memory = 2 * self.parameters.max_memory_mb
        self.change_parameters(max_memory_mb=memory)
        options = self.ctx.inputs.metadata.options
        if options.get('max_memory_kb'):
            options['max_memory_kb'] *= 2
        self.report_action(node, f'restart from {source} with {memory:.0f} MB')
        return ProcessHandlerReport(True)

    @process_handler(
        priority=470, exit_codes=[EXIT_CODES.ERROR_OUT_OF_WALLTIME, EXIT_CODES.ERROR_SCHEDULER_OUT_OF_WALLTIME]
    )
    def handle_out_of_walltime(self, node: orm.CalcJobNode) -> ProcessHandlerReport:
        """Continue from what was saved, with more time where as much again would end at the same place."""
        source = self.use_restart_files(node)
        options = self.ctx.inputs.metadata.options
        limit = options.get('max_wallclock_seconds')
        needed = walltime_for_the_rest(node, limit or 0)
        if source and needed is None:
            self.report_action(node, f'restart from {source}')
            return ProcessHandlerReport(True)
        if not limit:
            return self.abort(node, 'the walltime was set by the scheduler: give `max_wallclock_seconds`')
        options['max_wallclock_seconds'] = max(2 * limit, math.ceil(needed or 0))
        source = source or ('the same amplitudes' if 'restart_folder' in self.ctx.inputs else 'scratch')
        self.report_action(node, f'restart from {source} with {options["max_wallclock_seconds"]} s')
        return ProcessHandlerReport(True)

    @process_handler(
        priority=460, exit_codes=[EXIT_CODES.ERROR_KILLED, EXIT_CODES.ERROR_SCHEDULER_NODE_FAILURE, *NEVER_STARTED]
    )
    def handle_killed(self, node: orm.CalcJobNode) -> ProcessHandlerReport:
        """Continue from what was saved, perhaps on another node; twice, since something may be killing it for good."""
        if self.ctx.kills == 2:
            return self.abort(node, 'it was killed before, twice')
        self.ctx.kills += 1
        source = self.use_restart_files(node) or 'scratch'
        self.report_action(node, f'restart from {source}')
        return ProcessHandlerReport(True)


def validate_separate_triples(inputs: t.Any, _: t.Any) -> str | None:
    """Refuse to split what has no (T), or cannot be split."""
    if not inputs.get('separate_triples', False) or 'parameters' not in inputs['pyscf']:
        return None
    parameters = PyscfCellParameters.parse(inputs['pyscf']['parameters'].get_dict())
    if parameters.is_crystal and parameters.resolved_method == 'CCSD(T)':
        return None
    what = parameters.resolved_method or parameters.fidelity.value
    return f'`separate_triples` is for CCSD(T) of a crystal, not for {what} of a {parameters.system}'


def walltime_for_the_rest(node: orm.CalcJobNode, limit: float) -> float | None:
    """Return the walltime (s) that a calculation continued after ``node`` needs, or None if that of ``node`` will do.

    What cannot be saved, the transformation of the integrals and (T), or one fragment, has to fit into one job.
    """
    results = results_of(node)
    if results is None:
        return None
    spared = sum(results.timings.get(name, 0.0) for name in ('HF', 'HF_dense', 'MP2', 'CCSD', 'fragments'))
    needed = 1.2 * (results.walltime_needed_seconds - spared)
    if needed > limit:
        return needed
    if results.cycles_before_walltime is not None and results.cycles_before_walltime < MINIMUM_CYCLES:
        return 2 * limit
    if results.restarted_from_fragments is not None:
        is_repeated = results.num_new_fragments == 0
    else:
        is_repeated = results.restarted_from_amplitudes and results.stage in {'integrals', '(T)'}
    return 2 * limit if is_repeated else None
