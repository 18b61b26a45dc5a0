"""Profiles of AiiDA: loaded, created from the URLs of services, and configured.

Upstream: `verdi presto` creates such profiles, but offers no function that another command could call.
"""

from __future__ import annotations

import typing as t
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from aiida import get_profile, load_profile
from aiida.brokers.rabbitmq.defaults import detect_rabbitmq_config
from aiida.common.exceptions import AiidaException
from aiida.manage import get_manager
from aiida.manage.configuration import create_profile as create_aiida_profile
from aiida.manage.configuration import get_config
from aiida.orm.implementation import StorageBackend
from aiida.plugins import BrokerFactory
from sqlalchemy.exc import SQLAlchemyError

from aiida_qagenai.common.errors import InvalidInputError

__all__ = (
    'configuration_folder',
    'create_profile',
    'enable_caching',
    'open_profile',
    'parse_url',
    'postgresql_config',
    'profile_exists',
    'profile_storage',
    'rabbitmq_config',
    'read_latest',
    'set_default_workers',
)

EMBEDDED_BROKER = 'core.zeromq'


def configuration_folder() -> Path:
    """Return the folder of the AiiDA configuration in use."""
    return Path(get_config(create=True).dirpath)


def profile_storage() -> StorageBackend:
    """Return the storage of the loaded profile, which is opened if necessary."""
    return get_manager().get_profile_storage()


def read_latest() -> None:
    """Let the next queries of this thread see what others have written since its first one."""
    profile_storage().get_session().rollback()


def open_profile(name: str | None) -> None:
    """Load a profile and open its storage.

    :param name: ``None`` for the profile that is loaded already, or else the default one.
    :raises InvalidInputError: if there is no such profile or it cannot be used.
    """
    if name is None and get_profile() is not None:
        return
    try:
        load_profile(name, allow_switch=True)
        profile_storage()
    except AiidaException as exception:
        message = f'{exception}: `aiida-qagenai setup` prepares a profile on this machine, `-p NAME` chooses one'
        raise InvalidInputError(message) from exception


def profile_exists(name: str) -> bool:
    """Return whether the configuration has a profile of this name."""
    return name in get_config(create=True).profile_names


def create_profile(name: str, postgresql: str | None = None, rabbitmq: str | None = None) -> None:
    """Create a profile, by default an embedded one: SQLite and the ZeroMQ broker that comes with the daemon.

    :raises InvalidInputError: if a service cannot be reached or the database is in use.
    """
    config = get_config(create=True)
    try:
        create_aiida_profile(
            config,
            name=name,
            email=config.get_option('autofill.user.email') or 'aiida@localhost',
            storage_backend='core.psql_dos' if postgresql else 'core.sqlite_dos',
            storage_config=postgresql_config(postgresql, name) if postgresql else {},
            broker_backend='core.rabbitmq' if rabbitmq else EMBEDDED_BROKER,
            broker_config=rabbitmq_config(rabbitmq)
            if rabbitmq
            else BrokerFactory(EMBEDDED_BROKER).get_default_config(),
        )
    except (AiidaException, SQLAlchemyError) as exception:
        raise InvalidInputError(f'the profile could not be created: {exception}') from exception
    # A work chain asks for the end of its children every second, not every minute, in case it missed the message.
    config.set_option('runner.poll.interval', 1, scope=name)
    config.set_default_profile(name, overwrite=True)
    config.store()


def set_default_workers(name: str, workers: int) -> None:
    """Set the number of workers that the daemon of the profile ``name`` starts with."""
    get_config().set_option('daemon.default_workers', workers, scope=name)
    get_config().store()


def enable_caching(name: str, pattern: str) -> None:
    """Let the calculations whose process type matches ``pattern`` be taken from the cache in the profile ``name``."""
    config = get_config()
    enabled = list(config.get_option('caching.enabled_for', scope=name) or [])
    if pattern not in enabled:
        config.set_option('caching.enabled_for', [*enabled, pattern], scope=name)
        config.store()


def postgresql_config(url: str, profile: str) -> dict[str, t.Any]:
    """Return the storage of a profile in the database at ``url``, its files beside the configuration of AiiDA.

    :raises InvalidInputError: if the URL lacks a part.
    """
    parts = parse_url(url, 'postgresql')
    database = parts.path.strip('/')
    if not (database and parts.username):
        message = 'the URL of the database names a user and a database: postgresql://USER:PASSWORD@HOST:PORT/NAME'
        raise InvalidInputError(message)
    return {
        'database_hostname': parts.hostname or 'localhost',
        'database_port': parts.port or 5432,
        'database_username': unquote(parts.username),
        'database_password': unquote(parts.password or ''),
        'database_name': unquote(database),
        'repository_uri': (configuration_folder() / 'repository' / profile).as_uri(),
    }


def rabbitmq_config(url: str) -> dict[str, t.Any]:
    """Return the broker of a profile at ``url``, once a connection was made.

    :raises InvalidInputError: if it does not answer or refuses the user.
    """
    parts = parse_url(url, 'amqp', 'amqps')
    host, port = parts.hostname or '127.0.0.1', parts.port or 5672
    try:
        config: dict[str, t.Any] = detect_rabbitmq_config(
            protocol=parts.scheme,
            username=unquote(parts.username or 'guest'),
            password=unquote(parts.password or 'guest'),
            host=host,
            port=port,
            virtual_host=unquote(parts.path.strip('/')),
        )
    except ConnectionError as exception:
        # The message of AiiDA repeats the password.
        message = f'no RabbitMQ answers at {host}:{port}, or it refuses the user: {exception.__cause__}'
        raise InvalidInputError(message) from exception
    return config


def parse_url(url: str, *schemes: str) -> SplitResult:
    """Return the parts of a URL.

    :raises InvalidInputError: if its scheme is not one of ``schemes``. The URL may hold a password and is not repeated.
    """
    try:
        parts = urlsplit(url)
        known = parts.scheme in schemes and (parts.port is None or parts.port > 0)
    except ValueError:
        known = False
    if not known:
        raise InvalidInputError(f'not a URL of the kind {schemes[0]}://USER:PASSWORD@HOST:PORT')
    return parts
