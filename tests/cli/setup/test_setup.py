"""`aiida-qagenai setup` with services: what is refused, before anything is created."""

from __future__ import annotations

import os
import subprocess

import click
import pytest

from aiida_qagenai.cli.setup.setup import BEFORE_JOBS, parse_url, postgresql_config, prepare_localhost, rabbitmq_config


def test_storage_of_a_profile_from_a_url(aiida_profile):
    """Every part is read, percent signs decoded, and the port has a default."""
    config = postgresql_config('postgresql://me:p%40ss@db.example/materials', 'production')
    assert config.pop('repository_uri').endswith('/repository/production')
    assert config == {
        'database_hostname': 'db.example',
        'database_port': 5432,
        'database_username': 'me',
        'database_password': 'p@ss',
        'database_name': 'materials',
    }


@pytest.mark.parametrize('url', ['materials', 'mysql://me:secret@host/x', 'postgresql://me:secret@host:port/x'])
def test_another_kind_of_url_is_refused_without_repeating_it(url):
    with pytest.raises(click.ClickException, match='not a URL') as raised:
        parse_url(url, 'postgresql')
    assert 'secret' not in raised.value.message


@pytest.mark.parametrize('url', ['postgresql://host/materials', 'postgresql://me:secret@host'])
def test_url_without_user_or_database_is_refused(url):
    with pytest.raises(click.ClickException, match='names a user and a database'):
        postgresql_config(url, 'production')


def test_broker_that_does_not_answer_is_named_without_its_password(aiida_profile):
    with pytest.raises(click.ClickException, match=r'no RabbitMQ at 127\.0\.0\.1:1') as raised:
        rabbitmq_config('amqp://me:secret@127.0.0.1:1')
    assert 'secret' not in raised.value.message


def test_this_machine_is_asked_often_and_without_a_login_shell(aiida_profile_clean):
    computer = prepare_localhost()
    assert computer.get_configuration() == {'safe_interval': 0.0, 'use_login_shell': False}
    assert computer.get_minimum_job_poll_interval() == 0.5


def test_a_computer_that_was_there_keeps_its_shell(aiida_profile_clean, aiida_computer_local):
    computer = aiida_computer_local(label='localhost')
    assert prepare_localhost().pk == computer.pk
    assert computer.get_configuration().get('use_login_shell', True)


def test_jobs_on_this_machine_yield_to_the_daemon():
    """Both as a process and, where the kernel weighs sessions, as a session."""
    asked = f'{BEFORE_JOBS}\nnice; cat /proc/self/autogroup 2> /dev/null || true'
    job = subprocess.run(['bash', '-c', asked], check=True, capture_output=True, text=True, start_new_session=True)
    niceness, *session = job.stdout.splitlines()
    # `renice -n` of Debian takes it for the priority, that of POSIX for what is added to it.
    assert int(niceness) in {10, min(19, os.nice(0) + 10)}
    if os.access('/proc/self/autogroup', os.W_OK):
        assert session[0].endswith('nice 10')
    assert job.stderr == ''
