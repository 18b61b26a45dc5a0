"""`aiida-qagenai serve`: the graph behind the OPTIMADE interface."""

from __future__ import annotations

import click

__all__ = ('serve',)


@click.command()
@click.option('--host', default='127.0.0.1', show_default=True, help='Address to listen on; 0.0.0.0 for every one.')
@click.option('--port', type=click.IntRange(0, 65535), default=5000, show_default=True, help='Port to listen on.')
@click.option('--base-url', help='Address that clients use, where it is another one (behind a proxy).')
def serve(host: str, port: int, base_url: str | None) -> None:
    """Answer OPTIMADE queries over the structures of the profile and their energies; nothing can be changed."""
    from aiida_qagenai.common.errors import InvalidInputError
    from aiida_qagenai.datasets.serve import create_server

    app = create_server(base_url)
    try:
        import uvicorn
    except ImportError as exception:
        message = 'serving needs uvicorn: pip install "aiida-qagenai[optimade]"'
        raise InvalidInputError(message) from exception
    click.echo(f'OPTIMADE at http://{host}:{port}/v1/structures — Ctrl-C ends it', err=True)
    uvicorn.run(app, host=host, port=port, log_level='warning')
