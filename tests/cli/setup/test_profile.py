"""The rows of a profile, from states as they occur."""

from __future__ import annotations

import sys

import pytest

from aiida_qagenai.cli.setup import profile
from aiida_qagenai.cli.setup.local import ensure_code, prepare_localhost
from aiida_qagenai.cli.setup.rows import State, problems
from aiida_qagenai.engine.health import BrokerState, DaemonState, StorageState


def test_profile_that_does_not_exist(aiida_profile):
    (row,) = profile.check('no-such-profile')
    assert row.state is State.PROBLEM and row.advice == 'aiida-qagenai setup --profile no-such-profile'


def test_prepared_profile_has_no_problem(aiida_profile_clean):
    computer = prepare_localhost()
    for label in ('pyscf', 'qagenai-ml'):
        ensure_code(label, computer)
    rows = {row.name: row for row in profile.check(aiida_profile_clean.name)}
    # The profile of the tests has no broker.
    assert [row.name for row in problems(rows.values())] == ['broker']
    assert rows['code pyscf'].found == sys.executable
    assert {'storage', 'daemon', 'computer', 'code qagenai-ml'} <= set(rows)


def test_bases_are_there_and_stay_what_they_are(aiida_profile_clean):
    """Once installed they are not touched."""
    from aiida_qagenai.data.basis import BasisFamily

    for _ in range(2):
        profile.prepare_bases()
        families = {family.label: family.pk for family in BasisFamily.collection.all()}
        assert sorted(families) == ['ccgto/1/cc-pvdz', 'ccgto/1/cc-pvqz', 'ccgto/1/cc-pvtz']
        assert len(set(families.values())) == 3


@pytest.mark.parametrize('state', [state for state in StorageState if state is not StorageState.READY])
def test_advice_on_a_storage_is_one_line(state):
    advice = profile.storage_advice('mine', state)
    assert advice and '\n' not in advice


def test_broker_that_does_not_answer_is_a_problem():
    row = profile.broker_row(BrokerState('RabbitMQ at 127.0.0.1:1', False, 'connection refused'))
    assert row.state is State.PROBLEM and 'connection refused' in row.found and 'start it' in row.advice
    assert profile.broker_row(BrokerState('embedded (ZeroMQ)', None)).state is State.OK


@pytest.mark.parametrize(
    ('state', 'expected'),
    [
        (DaemonState.RUNS, State.OK),
        (DaemonState.STOPPED, State.OK),
        (DaemonState.STALE, State.NOTE),
        (DaemonState.OUTDATED, State.PROBLEM),
        (DaemonState.WITHOUT_BROKER, State.PROBLEM),
    ],
)
def test_daemon(state, expected):
    row = profile.daemon_row(state, 'text', 'aiida-qagenai setup')
    assert row.state is expected
    assert bool(row.advice) == (expected is not State.OK)
