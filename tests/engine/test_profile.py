"""Profiles from the URLs of services: what is refused, before anything is created."""

from __future__ import annotations

import pytest

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.engine.profile import parse_url, postgresql_config, rabbitmq_config


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
    with pytest.raises(InvalidInputError, match='not a URL') as raised:
        parse_url(url, 'postgresql')
    assert 'secret' not in str(raised.value)


@pytest.mark.parametrize('url', ['postgresql://host/materials', 'postgresql://me:secret@host'])
def test_url_without_user_or_database_is_refused(url):
    with pytest.raises(InvalidInputError, match='names a user and a database'):
        postgresql_config(url, 'production')


def test_broker_that_does_not_answer_is_named_without_its_password(aiida_profile):
    with pytest.raises(InvalidInputError, match=r'no RabbitMQ answers at 127\.0\.0\.1:1') as raised:
        rabbitmq_config('amqp://me:secret@127.0.0.1:1')
    assert 'secret' not in str(raised.value)
