"""Steps that run twice, as after a crash of the worker."""

from __future__ import annotations

from aiida import orm
from aiida.engine import calcfunction, run_get_node
from aiida.orm import Int

from aiida_qagenai.workchains.resumable import ResumableWorkChain, bury, nested_outputs


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
    bury(dead)
    assert dead.is_killed
    assert dead.is_sealed


def test_nested_outputs_are_in_the_order_of_labels(aiida_profile_clean):
    """Namespaces become dictionaries, sorted."""
    _, node = double.run_get_node(Int(2))
    assert {name: value.value for name, value in nested_outputs(node)['doubled'].items()} == {'first': 4, 'second': 8}
