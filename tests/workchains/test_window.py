"""Children kept going up to a number."""

from __future__ import annotations

from aiida.engine import run_get_node, while_
from aiida.orm import Int, Log, ProcessNode, load_node

from aiida_qagenai.workchains.resumable import ResumableWorkChain
from aiida_qagenai.workchains.window import WindowMixin

LENGTHS = (5, 0, 0, 0)
"""How often each child waits: the first outlives the others."""


class Child(ResumableWorkChain):
    """A child that waits a number of times for one of its own."""

    @classmethod
    def define(cls, spec):
        """Define a loop."""
        super().define(spec)
        spec.input('steps', valid_type=Int)
        spec.outline(cls.begin, while_(cls.goes_on)(cls.wait_for_child))

    def begin(self):
        """Start counting."""
        self.ctx.done = 0

    def goes_on(self):
        """Return whether it has to wait."""
        return self.ctx.done < self.inputs.steps.value

    def wait_for_child(self):
        """Wait for a child that does not wait."""
        self.ctx.done += 1
        self.to_context(child=self.submit_once(f'child{self.ctx.done}', Child, steps=Int(0)))


class Parent(WindowMixin, ResumableWorkChain):
    """Runs a child per length, two at a time."""

    @classmethod
    def define(cls, spec):
        """Define the loop."""
        super().define(spec)
        spec.outline(cls.begin, while_(cls.goes_on)(cls.fill, cls.collect))

    def begin(self):
        """Start."""
        self.ctx.waiting = list(range(len(LENGTHS)))
        self.ctx.running = {}
        self.ctx.peak = 0

    def goes_on(self):
        """Return whether something is left."""
        return bool(self.ctx.waiting or self.ctx.running)

    def fill(self):
        """Keep two going."""
        while self.ctx.waiting and len(self.ctx.running) < 2:
            name = f'child{self.ctx.waiting[0]}'
            child = self.submit_once(name, Child, steps=Int(LENGTHS[self.ctx.waiting.pop(0)]))
            self.ctx.running[name] = child.pk
        self.ctx.peak = max(self.ctx.peak, sum(not load_node(pk).is_terminated for pk in self.ctx.running.values()))
        self.to_context(**{name: load_node(pk) for name, pk in self.ctx.running.items()})

    def collect(self):
        """Take out what has ended."""
        for name in list(self.ctx.running):
            if isinstance(self.ctx.get(name), ProcessNode):
                assert self.ctx[name].is_finished_ok
                del self.ctx.running[name], self.ctx[name]
        self.report(f'at most {self.ctx.peak} at a time')


def test_the_next_starts_when_one_ends(aiida_profile_clean):
    """The long child runs beside all the others, and never more than two run."""
    _, node = run_get_node(Parent)
    assert node.is_finished_ok, node.exit_message
    children = {entry.link_label: entry.node for entry in node.base.links.get_outgoing().all()}
    assert sorted(children) == [f'child{index}' for index in range(len(LENGTHS))]
    assert all(child.ctime < children['child0'].mtime for child in children.values())
    messages = [log.message for log in Log.collection.get_logs_for(node)]
    assert any('at most 2 at a time' in message for message in messages)
    assert not any('at most 3' in message for message in messages)


class Staggered(Parent):
    """Starts one child at a time, without waiting for its end."""

    def fill(self):
        """Start one, and go on soon."""
        if self.ctx.waiting and len(self.ctx.running) < 2:
            name = f'child{self.ctx.waiting[0]}'
            child = self.submit_once(name, Child, steps=Int(LENGTHS[self.ctx.waiting.pop(0)]))
            self.ctx.running[name] = child.pk
            self.resume_later(0.05)
        self.to_context(**{name: load_node(pk) for name, pk in self.ctx.running.items()})


def test_the_next_starts_after_a_while_though_none_has_ended(aiida_profile_clean):
    """The second child begins while the first one, which is long, still waits."""
    _, node = run_get_node(Staggered)
    assert node.is_finished_ok, node.exit_message
    children = {entry.link_label: entry.node for entry in node.base.links.get_outgoing().all()}
    assert sorted(children) == [f'child{index}' for index in range(len(LENGTHS))]
    assert children['child1'].ctime < children['child0'].mtime
