"""The structures of the graph and their energies behind the OPTIMADE interface."""

from __future__ import annotations

import contextlib
import logging
import math
import os
import tempfile
import threading
import time
import typing as t
import uuid
import warnings
from collections.abc import Iterator

from aiida_qagenai import __version__
from aiida_qagenai.common.errors import reported_as
from aiida_qagenai.databases.server.resources import FIELDS, GraphResources

if t.TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ('create_server',)

MISSING = 'serving needs the server of OPTIMADE: pip install "aiida-qagenai[optimade]"'

PREFIX = 'qagenai'

BOOLEANS = frozenset(field['name'] for field in FIELDS if field['type'] == 'boolean')

STALE_AFTER = 2.0
"""Seconds for which an answer may lack newly stored nodes."""


@contextlib.contextmanager
def _quietly(folder: str) -> Iterator[None]:
    """Let the server read no configuration of another one, write no log beyond ``folder``, and report neither."""
    changes = {'OPTIMADE_CONFIG_FILE': os.path.join(folder, 'none.json'), 'OPTIMADE_LOG_DIR': folder}  # noqa: PTH118
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    silenced = logging.root.manager.disable
    logging.disable(max(silenced, logging.INFO))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        logging.disable(silenced)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def create_server(base_url: str | None = None, *, page_limit: int = 100) -> FastAPI:
    """Return the application that serves the loaded profile; it has no way to change it.

    The structures are read at creation (about 0.7 ms each), and new ones before each answer.

    :param base_url: address under which clients reach it, for the links between pages.
    :raises InvalidInputError: if the server is not installed.
    """
    folder = tempfile.TemporaryDirectory(prefix='qagenai-serve-', ignore_cleanup_errors=True)
    with reported_as(MISSING, ImportError), _quietly(folder.name):
        from optimade.server.config import ServerConfig, SupportedBackend
        from optimade.server.create_app import create_app

        from aiida_qagenai.databases.server.paging import PagedCollection
    config = ServerConfig(
        database_backend=SupportedBackend.MONGOMOCK,
        mongo_database=f'qagenai-{uuid.uuid4()}',
        insert_test_data=False,
        page_limit=min(20, page_limit),
        page_limit_max=page_limit,
        base_url=base_url,
        log_dir=folder.name,
        log_level='warning',
        provider={
            'prefix': PREFIX,
            'name': 'aiida-qagenai',
            'description': 'Structures and multi-fidelity energies of an AiiDA profile',
            'homepage': 'https://www.aiida.net',
        },
        implementation={
            'name': 'aiida-qagenai',
            'version': __version__,
        },
        provider_fields={'structures': FIELDS},
    )
    with _quietly(folder.name):
        app = create_app(config)
    collections = app.state.entry_collections
    plain = collections['structures']
    collections['structures'] = PagedCollection(
        'structures', plain.resource_cls, plain.resource_mapper, config, booleans=BOOLEANS
    )
    # Deleted together with the application.
    app.state.log_folder = folder
    _keep_up_to_date(app, GraphResources())
    return t.cast('FastAPI', app)


def _keep_up_to_date(app: t.Any, resources: GraphResources) -> None:
    """Fill the collection of structures, and bring it up to date before a request is answered."""
    from starlette.concurrency import run_in_threadpool

    structures = app.state.entry_collections['structures']
    checked = -math.inf
    lock = threading.Lock()

    def update() -> None:
        nonlocal checked
        with lock:
            if time.monotonic() - checked < STALE_AFTER:
                return
            changed, anew = resources.new()
            if anew:
                structures.clear()
            if changed:
                structures.insert(changed)
            checked = time.monotonic()

    update()

    @app.middleware('http')
    async def refresh(request: t.Any, call_next: t.Any) -> t.Any:
        if 'structures' in request.url.path:
            await run_in_threadpool(update)
        return await call_next(request)
