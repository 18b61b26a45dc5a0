"""Steps that run twice, as after a crash of the worker."""

from __future__ import annotations

import pytest
from aiida import orm
from aiida.common.links import LinkType
from aiida.engine import calcfunction, run_get_node, while_
from aiida.orm import Int

from aiida_qagenai.engine import broker
from aiida_qagenai.engine.endings import close, mark_killed
from aiida_qagenai.engine.resumable import ResumableWorkChain, nested_outputs


@calcfunction
def double(number: Int) -> dict:
    """Return two nodes in a namespace."""
    return {'doubled': {'first': Int(2 * number.value), 'second': Int(4 * number.value)}}


class Child(ResumableWorkChain):
    """A child without steps that matter."""

    @classmethod
    def define(cls, spec):
        """Define one step."""
        super().define(spec)
        spec.outline(cls.do_nothing)

    def do_nothing(self):
        """Do nothing."""


class Repeating(ResumableWorkChain):
    """Runs each of its steps twice, as a worker does that died before the state was saved."""

    @classmethod
    def define(cls, spec):
        """Define the same steps two times."""
        super().define(spec)
        spec.input('number', valid_type=Int)
        spec.output('result', valid_type=Int)
        spec.outline(cls.call, cls.call, cls.spawn, cls.spawn, cls.finish)

    def call(self):
        """Call a function."""
        self.ctx.result = self.call_once('double', double, number=self.inputs.number)['doubled']['first']

    def spawn(self):
        """Submit a child."""
        return self.to_context(child=self.submit_once('child', Child))

    def finish(self):
        """Return the result of the function."""
        self.out('result', self.ctx.result)


def test_a_repeated_step_starts_nothing_twice(aiida_profile_clean):
    """One function and one child, although both steps ran twice."""
    outputs, node = run_get_node(Repeating, number=Int(3))
    assert node.is_finished_ok
    assert outputs['result'].value == 6
    assert sorted(child.process_label for child in node.called) == ['Child', 'double']


def test_a_function_that_died_is_marked_and_run_again(aiida_profile_clean):
    """The remains of the killed worker are a killed process, not a result and not a running one."""
    dead = orm.CalcFunctionNode()
    dead.set_process_state('running')
    dead.store()
    mark_killed(dead, 'its worker was killed')
    assert dead.is_killed
    assert dead.is_sealed


def test_nested_outputs_are_in_the_order_of_labels(aiida_profile_clean):
    """Namespaces become dictionaries, sorted."""
    _, node = double.run_get_node(Int(2))
    assert {name: value.value for name, value in nested_outputs(node)['doubled'].items()} == {'first': 4, 'second': 8}


class Unlucky(ResumableWorkChain):
    """A child that is lost by an exception until it was called ``losses`` times before."""

    @classmethod
    def define(cls, spec):
        """Define one step."""
        super().define(spec)
        spec.input('losses', valid_type=Int)
        spec.outline(cls.run_into_it)

    def run_into_it(self):
        """Raise what a database that went away raises."""
        if len(self.node.caller.called) <= self.inputs.losses.value:
            raise ConnectionError


class Persistent(ResumableWorkChain):
    """Calls its child until it is not lost any more."""

    @classmethod
    def define(cls, spec):
        """Define a loop around the child."""
        super().define(spec)
        spec.input('losses', valid_type=Int)
        spec.outline(while_(cls.should_spawn)(cls.spawn), cls.finish)
        spec.exit_code(400, 'ERROR_LOST', message='Lost for good.')

    def should_spawn(self):
        """Return whether the child is to be called, once or again."""
        return self.should_submit('child')

    def spawn(self):
        """Submit the child."""
        return self.to_context(child=self.submit_once('child', Unlucky, losses=self.inputs.losses))

    def finish(self):
        """Fail if the child failed."""
        return None if self.ctx.child.is_finished_ok else self.exit_codes.ERROR_LOST


class Forgetful(Persistent):
    """Its worker dies between submitting the child and noting so."""

    def spawn(self):
        """Submit the child; take it up only where the step runs again."""
        child = self.submit_once('child', Unlucky, losses=self.inputs.losses)
        if self.ctx.setdefault('died', False):
            return self.to_context(child=child)
        self.ctx.died = True
        return None


def test_a_child_that_was_not_noted_is_taken_up(aiida_profile_clean):
    """It is called once, and waited for."""
    _, node = run_get_node(Forgetful, losses=Int(0))
    assert node.is_finished_ok, node.exit_message
    assert len(node.called) == 1


class Interrupted(Persistent):
    """Its worker dies while it stores the child."""

    def should_spawn(self):
        """Leave behind what such a worker leaves: a stored process without a state."""
        if not self.node.called:
            dead = orm.WorkChainNode()
            dead.base.links.add_incoming(self.node, LinkType.CALL_WORK, 'child')
            dead.store()
        return super().should_spawn()


def test_a_child_that_never_started_is_replaced(aiida_profile_clean):
    """Nothing could continue it: it is marked as lost, so that the campaign can be exported, and called again."""
    _, node = run_get_node(Interrupted, losses=Int(0))
    assert node.is_finished_ok, node.exit_message
    dead, alive = sorted(node.called, key=lambda child: child.pk)
    assert dead.is_excepted and dead.is_sealed and alive.is_finished_ok


class Unsealed(Persistent):
    """The worker of its child was killed after it had written that the child has finished, before it sealed it."""

    exit_status: int | None = 0

    def should_spawn(self):
        """Leave behind what such a worker leaves."""
        if not self.node.called:
            dead = orm.WorkChainNode()
            dead.set_process_state('finished')
            if self.exit_status is not None:
                dead.set_exit_status(self.exit_status)
            dead.base.links.add_incoming(self.node, LinkType.CALL_WORK, 'child')
            dead.store()
        return super().should_spawn()


class WithoutStatus(Unsealed):
    """That worker had not written the exit status either."""

    exit_status = None


@pytest.mark.parametrize(('process', 'children'), [(Unsealed, 1), (WithoutStatus, 2)])
def test_a_child_that_finished_as_its_worker_was_killed_is_sealed(aiida_profile_clean, monkeypatch, process, children):
    """Open, it could not be exported; one of which nobody knows how it ended is lost, and called again."""
    monkeypatch.setattr(broker, 'SEAL_TIMEOUT', 0.3)
    _, node = run_get_node(process, losses=Int(0))
    assert node.is_finished_ok, node.exit_message
    assert len(node.called) == children
    assert all(child.is_sealed for child in node.called)


def test_a_function_that_finished_as_its_worker_was_killed_is_sealed(aiida_profile_clean):
    """Its result counts."""
    done = orm.CalcFunctionNode()
    done.set_process_state('finished')
    done.set_exit_status(0)
    done.store()
    close(done)
    assert done.is_sealed and done.is_finished_ok


def test_a_process_that_still_runs_is_not_closed(aiida_profile_clean):
    """Another worker may continue it."""
    running = orm.WorkChainNode()
    running.set_process_state('waiting')
    running.store()
    close(running)
    assert not running.is_sealed and not running.is_terminated


@pytest.mark.parametrize(('losses', 'children', 'status'), [(0, 1, 0), (2, 3, 0), (9, 3, 400)])
def test_a_lost_child_is_submitted_again_twice_at_most(aiida_profile_clean, losses, children, status):
    """What the machine lost is worth another attempt, but not for ever."""
    _, node = run_get_node(Persistent, losses=Int(losses))
    assert node.exit_status == status
    assert len(node.called) == children


class Looking(ResumableWorkChain):
    """Has lost two jobs of one label to the end of their walltime, and looks for the folder of the last."""

    @classmethod
    def define(cls, spec):
        """Define the two steps."""
        super().define(spec)
        spec.output('before', valid_type=orm.Bool)
        spec.output('found', valid_type=orm.RemoteData)
        spec.outline(cls.lose, cls.look)

    def lose(self):
        """Leave what AiiDA leaves of a job that ran out of walltime, and of one that was cut before it had a folder."""
        self.ctx.before = self.lost_folder('job') is None
        computer = orm.load_computer('localhost')
        for label, folders in (('job', 1), ('jobagain', 1), ('jobagainagain', 0)):
            job = orm.CalcJobNode(computer=computer, process_type='aiida.calculations:qagenai.relax_many')
            job.set_option('resources', {'num_machines': 1})
            job.base.links.add_incoming(self.node, LinkType.CALL_CALC, label)
            job.store()
            for _ in range(folders):
                folder = orm.RemoteData(computer=computer, remote_path=f'/{label}')
                folder.base.links.add_incoming(job, LinkType.CREATE, 'remote_folder')
                folder.store()
            job.set_process_state('finished')
            job.set_exit_status(120)
            job.seal()

    def look(self):
        """Return what is found."""
        self.out('before', orm.Bool(self.ctx.before).store())
        self.out('found', self.lost_folder('job'))


def test_the_folder_of_the_last_lost_job_is_found(aiida_profile_clean, localhost):
    """It has the journal of all that was done before."""
    outputs, node = run_get_node(Looking)
    assert node.is_finished_ok, node.exit_message
    assert outputs['before'].value and outputs['found'].get_remote_path() == '/jobagain'
