"""`aiida-qagenai serve`: the graph behind the OPTIMADE interface."""

from __future__ import annotations

import click

from aiida_qagenai.cli.groups import ProfileCommand
from aiida_qagenai.cli.params import option

__all__ = ('serve',)


@click.command(cls=ProfileCommand)
@option('--host', default='127.0.0.1', help='Address to listen on; 0.0.0.0 for all of them.')
@option('--port', type=click.IntRange(0, 65535), default=5000, help='Port to listen on.')
@option('--base-url', help='Address that clients use, if it differs (behind a proxy).')
def serve(host: str, port: int, base_url: str | None) -> None:
    """Serve the profile by the OPTIMADE interface.

    Answers queries over the structures of the profile and their energies; nothing can be changed.
    """
    import contextlib
    import socket

    from aiida_qagenai.common.errors import InvalidInputError
    from aiida_qagenai.databases.server.app import MISSING, create_server

    try:
        import uvicorn
    except ImportError as exception:
        raise InvalidInputError(MISSING) from exception
    with socket.socket(socket.AF_INET6 if ':' in host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Before the structures are read, which may take a minute.
        try:
            listener.bind((host, port))
        except OSError as exception:
            message = f'cannot listen on port {port} of {host}: {exception.strerror}; choose another with --port'
            raise InvalidInputError(message) from exception
        click.echo('reading the structures (a minute per 100,000) …', err=True)
        app = create_server(base_url)
        address = listener.getsockname()[1]
        click.echo(f'OPTIMADE at http://{host}:{address}/v1/structures, until Ctrl-C', err=True)
        server = uvicorn.Server(uvicorn.Config(app, log_level='warning'))
        # It passes the signal on that ended it, or not, if that came while it was busy.
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listener])
        click.echo('ended', err=True)
