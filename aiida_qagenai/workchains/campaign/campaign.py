"""Algorithm 1: an initial set, then cycles until the budget, the cycles or the stable candidates run out."""

from __future__ import annotations

import typing as t

from aiida.engine import ExitCode, ProcessBuilder, ProcessSpec, ToContext, if_, while_
from aiida.orm import Int, ProcessNode

from aiida_qagenai.engine.endings import ending
from aiida_qagenai.engine.resumable import ResumableWorkChain, nested_outputs
from aiida_qagenai.selection.stopping import EmptyCycles, cycle_records, reason_to_stop
from aiida_qagenai.workchains.campaign.cycle import CycleWorkChain
from aiida_qagenai.workchains.campaign.seed import SeedWorkChain
from aiida_qagenai.workchains.campaign.state import define_state_inputs, define_state_outputs, reference_outputs
from aiida_qagenai.workchains.campaign.validation import COMMON, define_common_inputs, fill_builder
from aiida_qagenai.workchains.protocols.campaign import CampaignSettings, parse_settings

__all__ = ('CampaignWorkChain', 'last_state')


class CampaignWorkChain(ResumableWorkChain):
    """A chemical system, a budget and a protocol → validated candidates, a training set and trained models.

    Given the ``state`` of an earlier campaign, it goes on from there instead of computing an initial set.
    """

    @classmethod
    def define(cls, spec: ProcessSpec) -> None:
        """Define ports, outline and exit codes."""
        super().define(spec)
        define_common_inputs(spec)
        define_state_inputs(spec, required=False)
        define_state_outputs(spec)
        spec.outline(
            if_(cls.needs_seed)(while_(cls.should_run_seed)(cls.run_seed), cls.inspect_seed),
            while_(cls.should_run_cycle)(cls.run_cycle, cls.inspect_cycle),
            cls.finalize,
        )
        spec.exit_code(410, 'ERROR_SEED', message='The initial set failed: {reason}')
        spec.exit_code(411, 'ERROR_CYCLE', message='Cycle {cycle} failed: {reason} The state before it is the output.')
        spec.exit_code(710, 'WARNING_NO_STABLE_CANDIDATES', message='Stopped after {count} cycles without a hit.')

    @classmethod
    def get_builder_from_protocol(cls, *, state: dict[str, t.Any] | None = None, **common: t.Any) -> ProcessBuilder:
        """Return a builder filled from a protocol.

        :param state: outputs of an earlier campaign to continue from (see :func:`last_state`).
        :param common: see :func:`~aiida_qagenai.workchains.campaign.validation.fill_builder`.
        :raises InvalidInputError: for an unknown protocol, an unknown key or a value out of range.
        """
        builder = fill_builder(cls.get_builder(), **common)
        if state is not None:
            builder.state = state
        return builder

    @property
    def settings(self) -> CampaignSettings:
        """Return the typed settings."""
        return parse_settings(self.inputs.parameters.get_dict())

    def needs_seed(self) -> bool:
        """Return whether the campaign begins from nothing."""
        if 'state' in self.inputs:
            self.ctx.state = dict(self.inputs.state)
            return False
        return True

    def common(self) -> dict[str, t.Any]:
        """Return the inputs that are handed to the initial set and to every cycle."""
        return {name: self.inputs[name] for name in COMMON if name in self.inputs}

    def should_run_seed(self) -> bool:
        """Return whether the initial set has to be computed, once or again after its process was lost."""
        return self.should_submit('seed')

    def run_seed(self) -> ToContext:
        """Compute the initial set and train the first models."""
        return ToContext(seed=self.submit_once('seed', SeedWorkChain, **self.common()))

    def inspect_seed(self) -> ExitCode | None:
        """Take over the state."""
        child = self.ctx.seed
        if not child.is_finished_ok:
            return self.exit_codes.ERROR_SEED.format(reason=ending(child))
        self.ctx.state = nested_outputs(child)['state']
        return None

    @property
    def ledger(self) -> dict[str, t.Any]:
        """Return the current ledger."""
        ledger: dict[str, t.Any] = self.ctx.state['ledger'].get_dict()
        return ledger

    def should_run_cycle(self) -> bool:
        """Apply the stopping rules of Algorithm 1."""
        stop = self.stopping()
        if stop is not None:
            self.report(f'stopping: {stop[1]}')
        return stop is None

    def stopping(self) -> tuple[str, str] | None:
        """Return the rule that ends the campaign now and its reason, or None."""
        settings = self.settings
        records = cycle_records(self.ledger, settings.budget, settings.budget_core_hours)
        return reason_to_stop(settings.stop.rules(), records)

    def run_cycle(self) -> ToContext:
        """Run the next cycle."""
        number = len(self.ledger['cycles']) + 1
        child = self.submit_once(
            cycle_label(number), CycleWorkChain, **self.common(), state=self.ctx.state, cycle=Int(number)
        )
        return ToContext(cycle=child)

    def inspect_cycle(self) -> ExitCode | None:
        """Take over the state, or stop with the state before the cycle that failed."""
        child = self.ctx.cycle
        if self.should_submit(cycle_label(child.inputs.cycle.value)):
            self.report(f'{ending(child)}; the cycle is run again')
            return None
        if not child.is_finished_ok:
            self.register_state()
            return self.exit_codes.ERROR_CYCLE.format(cycle=child.inputs.cycle.value, reason=ending(child))
        self.ctx.state = nested_outputs(child)['state']
        return None

    def register_state(self) -> None:
        """Return the current state as the outputs."""
        state = self.ctx.state
        self.out('state.dataset', state['dataset'])
        self.out('state.ledger', state['ledger'])
        for role, checkpoint in state['checkpoints'].items():
            self.out(f'state.checkpoints.{role}', checkpoint)
        for name, energy in reference_outputs(state):
            self.out(name, energy)

    def finalize(self) -> ExitCode | None:
        """Return the last state and say why the campaign ended."""
        self.register_state()
        stop = self.stopping()
        if stop is not None and stop[0] == EmptyCycles.name:
            count = self.settings.stop.max_empty_cycles
            return self.exit_codes.WARNING_NO_STABLE_CANDIDATES.format(count=count)
        return None


def cycle_label(number: int) -> str:
    """Return the label of the call of a cycle."""
    return f'cycle{number:03d}'


def last_state(node: ProcessNode) -> dict[str, t.Any] | None:
    """Return the last stored state of a campaign, whether it ended or was cut: the inputs of a continuation.

    :returns: None if not even the initial set was finished.
    """
    finished = [
        child
        for child in node.called
        if child.process_label in {'SeedWorkChain', 'CycleWorkChain'} and child.is_finished_ok
    ]
    if finished:
        latest = max(finished, key=lambda child: len(child.outputs.state.ledger['cycles']))
        state: dict[str, t.Any] = nested_outputs(latest)['state']
        return state
    return dict(node.inputs.state) if 'state' in node.inputs else None
