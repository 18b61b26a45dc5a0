"""Children kept going up to a number."""

from __future__ import annotations

from aiida.engine import run_get_node, while_
from aiida.orm import Int, Log, load_node

from aiida_qagenai.engine import window
from aiida_qagenai.engine.resumable import ResumableWorkChain
from aiida_qagenai.engine.window import WindowWorkChain

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


class Parent(WindowWorkChain):
    """Runs a child per length, two at a time."""

    @classmethod
    def define(cls, spec):
        """Define the loop."""
        super().define(spec)
        spec.outline(cls.begin, while_(cls.has_tasks)(cls.submit_ready, cls.collect_ended))

    def begin(self):
        """Begin."""
        self.start(range(len(LENGTHS)))

    def ready(self):
        """Keep two going."""
        return self.ctx.waiting[: 2 - len(self.ctx.running)]

    def submit_task(self, task):
        """Submit one child."""
        self.submit_child(f'child{task}', task, Child, steps=Int(LENGTHS[task]))
        going = sum(not load_node(pk).is_terminated for pk, _ in self.ctx.running.values())
        self.report(f'{going} at a time')

    def note_ended(self, name, task, child):
        """Note how a child has ended."""
        assert name == f'child{task}'
        assert child.is_finished_ok


def test_the_next_starts_when_one_ends(aiida_profile_clean, monkeypatch):
    """The long child runs beside all the others, and never more than two run."""
    monkeypatch.setattr(window, 'PAUSE', 0.05)
    children, messages = run_parent()
    assert all(child.ctime < children['child0'].mtime for child in children.values())
    assert '2 at a time' in messages
    assert '3 at a time' not in messages


def test_the_next_starts_after_a_while_though_none_has_ended(aiida_profile_clean, monkeypatch):
    """The second child begins while the first one, which is long, still waits; the first child is alone at first."""
    monkeypatch.setattr(window, 'PAUSE', 0.05)
    children, _ = run_parent()
    assert children['child1'].ctime < children['child0'].mtime
    monkeypatch.setattr(window, 'PAUSE', 1000)
    children, messages = run_parent()
    assert children['child1'].ctime > children['child0'].mtime
    assert '2 at a time' not in messages


def run_parent():
    """Run the parent to its end; return its children by label and its messages, joined."""
    _, node = run_get_node(Parent)
    assert node.is_finished_ok, node.exit_message
    children = {entry.link_label: entry.node for entry in node.base.links.get_outgoing().all()}
    assert sorted(children) == [f'child{index}' for index in range(len(LENGTHS))]
    return children, '\n'.join(log.message for log in Log.collection.get_logs_for(node))
