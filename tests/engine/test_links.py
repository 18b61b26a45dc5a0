"""Inputs are linked without a question, outputs when they appear."""

from __future__ import annotations

import contextlib

import pytest
from aiida.common.links import LinkType
from aiida.engine import WorkChain, run_get_node
from aiida.manage import get_manager
from aiida.orm import Int
from sqlalchemy import event

from aiida_qagenai.engine import links
from aiida_qagenai.engine.links import LinksMixin


class TwoSteps(LinksMixin, WorkChain):
    """Returns one output after the other."""

    @classmethod
    def define(cls, spec):
        super().define(spec)
        spec.output('first', valid_type=Int)
        spec.output_namespace('more', valid_type=Int, dynamic=True)
        spec.outline(cls.one, cls.two)

    def one(self):
        self.out('first', Int(1).store())

    def two(self):
        self.out('more.second', Int(2).store())


def test_every_output_is_linked(aiida_profile_clean):
    """Also one in a namespace."""
    results, node = run_get_node(TwoSteps)
    assert node.is_finished_ok, node.exit_message
    linked = {link.link_label: link.node.value for link in node.base.links.get_outgoing(link_type=LinkType.RETURN)}
    assert linked == {'first': 1, 'more__second': 2}
    assert results['more']['second'].value == 2


def test_the_database_is_asked_once_for_each_new_output(aiida_profile_clean, monkeypatch):
    """Not at every change of state, as AiiDA does."""
    ask, questions = links.linked_uuids, []
    monkeypatch.setattr(links, 'linked_uuids', lambda *args: questions.append(args) or ask(*args))
    run_get_node(TwoSteps)
    assert len(questions) == 2


def test_what_was_linked_before_is_kept(aiida_profile_clean):
    """As for a process that was loaded from its last saved state, or outputs stored in bulk."""
    _, node = run_get_node(TwoSteps)
    process = TwoSteps()
    process._node = node
    process.outputs.update({'first': node.outputs.first})
    process.update_outputs()
    assert len(node.base.links.get_outgoing(link_type=LinkType.RETURN).all()) == 2


@pytest.mark.parametrize('store', [True, False])
def test_without_provenance_nothing_is_stored(aiida_profile_clean, store):
    """A run that stores no provenance has no links either."""
    node = run_get_node(TwoSteps, metadata={'store_provenance': store})[1]
    assert node.is_stored is store


class Takes(LinksMixin, WorkChain):
    """Takes inputs and does nothing."""

    @classmethod
    def define(cls, spec):
        super().define(spec)
        spec.input_namespace('numbers', valid_type=Int, dynamic=True)
        spec.input('last', valid_type=Int, required=False)
        spec.outline(cls.nothing)

    def nothing(self):
        """Do nothing."""


def test_every_input_is_linked(aiida_profile_clean):
    """Also one in a namespace, and one that was not stored."""
    _, node = run_get_node(Takes, numbers={'a': Int(1).store(), 'b': Int(2)}, last=Int(3))
    linked = {link.link_label: link.node.value for link in node.base.links.get_incoming(link_type=LinkType.INPUT_WORK)}
    assert linked == {'numbers__a': 1, 'numbers__b': 2, 'last': 3}


def test_the_database_is_not_asked_about_inputs(aiida_profile_clean):
    """The links go in with the record."""
    seen = []

    class Watched(Takes):
        def _setup_inputs(self):
            with listening(seen):
                super()._setup_inputs()

    numbers = {f'n{index}': Int(index).store() for index in range(3)}
    node = Watched({'numbers': numbers}, enable_persistence=False).node
    assert len(node.base.links.get_incoming().all()) == 3
    assert seen == []


@contextlib.contextmanager
def listening(seen):
    """Note the statements that the database gets."""
    engine = get_manager().get_profile_storage().get_session().get_bind()

    def note(_connection, _cursor, statement, *_):
        seen.append(statement)

    event.listen(engine, 'before_cursor_execute', note)
    try:
        yield
    finally:
        event.remove(engine, 'before_cursor_execute', note)
