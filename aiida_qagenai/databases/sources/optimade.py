"""Download from any provider with an OPTIMADE interface.

The client of ``optimade`` builds the requests and follows the pages. What it lacks is added here: repeated requests
(its own count of attempts starts again with each), the pauses that a server asks for, and going on after an
interruption.
"""

from __future__ import annotations

import re
import sys
import time
import typing as t
import urllib.parse
from pathlib import Path

from aiida_qagenai.common.errors import InvalidInputError, reported_as
from aiida_qagenai.databases.sources.settings import ImportSettings, energy_column
from aiida_qagenai.databases.sources.staging import Staging, retry_requests
from aiida_qagenai.exchange.readers.json_files import OPTIMADE_FIELDS

__all__ = ('PROVIDER_PREFIX', 'download')

PROVIDER_PREFIX = re.compile(r'^_[a-z]+_')
"""What distinguishes fields that a provider added."""

MISSING = 'importing by OPTIMADE needs the client: pip install "aiida-qagenai[optimade]"'


def download(
    url: str,
    settings: ImportSettings,
    folder: Path,
    *,
    query: str = '',
    fields: t.Sequence[str] = (),
    page_limit: int = 100,
    limit: int | None = None,
    pause: float = 0.0,
    progress: t.Callable[[str, int, int], None] | None = None,
) -> Staging:
    """Download the structures that match ``query`` and return the file that holds them.

    :param url: base URL of the provider, with or without version: ``https://optimade.materialsproject.org``.
    :param folder: where downloads are kept until they are imported.
    :param query: filter in the language of OPTIMADE: ``elements HAS ONLY "Li","H"``.
    :param fields: fields of the provider to keep; those that the settings call energies, and those whose names say that
        they are, are kept anyway.
    :param limit: most structures, for a look at a provider.
    :param pause: least time between requests, s; the server may ask for more.
    :raises InvalidInputError: if the client is not installed, nothing matches, or the provider refuses or does not
        answer; what was downloaded is kept, and a repetition goes on from there.
    """
    url = _base_url(url)

    def keep(_: str, results: dict[str, t.Any]) -> None:
        done = _keep_page(results, staging, limit)
        if progress is not None:
            progress(url, staging.records, 0)
        if not done:
            time.sleep(max(pause, float(results['meta'].get('request_delay') or 0.0)))

    client = _client(url, keep)
    asked = {'from': url, 'query': query, 'fields': list(fields), 'limit': limit}
    staging = Staging(folder, {**settings.model_dump(mode='json'), **asked})
    if staging.state['complete']:
        return staging
    results = client.get_one(
        'structures',
        # The client puts it into the address as it is, where `+`, `&` and `#` have other meanings.
        urllib.parse.quote(query),
        url,
        response_fields=list(dict.fromkeys([*OPTIMADE_FIELDS, *_energies(url, settings), *fields])),
        page_limit=page_limit,
        override_url=staging.state['next'],
    )
    errors = [error for result in results.values() for error in result.errors]
    message = ''
    if errors or not staging.state['complete']:
        reason = '; '.join(str(error).split('\n\n')[0] for error in errors) or 'no further page'
        message = f'{url} stopped after {staging.records} structures: {reason}'
        message += '. Run the same command again to go on' if staging.records else ''
    elif not staging.records:
        message = f'no structure of {url} matches {query!r}'
    if not staging.records:
        staging.remove()
    if message:
        raise InvalidInputError(message)
    return staging


def _client(url: str, callback: t.Callable[..., None]) -> t.Any:
    with reported_as(MISSING, ImportError):
        from optimade.client import OptimadeClient
    # not -1 results, with which it fails where a provider does not say how many structures there are
    settings = {'use_async': False, 'silent': True, 'max_results_per_provider': sys.maxsize}
    client = OptimadeClient(base_urls=[url], http_client=_session(), callbacks=[callback], **settings)
    # It prints errors in spite of being silent; they are in its results.
    client._progress.console.quiet = True
    return client


def _keep_page(results: dict[str, t.Any], staging: Staging, limit: int | None) -> bool:
    """Store one page as the client got it, and return whether it is the last."""
    data, link = results['data'], results['links'].get('next')
    following = link['href'] if isinstance(link, dict) else link
    wanted = data if limit is None else data[: max(0, limit - staging.records)]
    done = not following or (limit is not None and staging.records + len(wanted) >= limit)
    staging.append(wanted, next=following, complete=done)
    if done:
        results['links']['next'] = None
    # The client keeps all it got; it needs to see one structure per page, or it takes the page for the last.
    del data[1:]
    return done


def _base_url(url: str) -> str:
    if not url.startswith(('http://', 'https://')):
        raise InvalidInputError(f'`{url}` is not an address of a provider: write it with https://')
    return re.sub(r'(/v\d+(\.\d+)*)?/*$', '', url.rstrip('/'))


def _energies(url: str, settings: ImportSettings) -> list[str]:
    """Return the fields of a provider that hold energies: those the settings name, and those named as we name them."""
    import requests

    with (
        reported_as(
            f'{url} does not answer as an OPTIMADE provider:',
            requests.RequestException,
            ValueError,
            KeyError,
            TypeError,
        ),
        _session()() as session,
    ):
        response = session.get(f'{url}/v1/info/structures', timeout=(10, 60))
        response.raise_for_status()
        properties = list(response.json()['data']['properties'])
    unknown = sorted(set(settings.energies) - set(properties))
    if unknown:
        raise InvalidInputError(f'{url} has no field {", ".join(unknown)}; it has {", ".join(sorted(properties))}')
    named = [name for name in properties if PROVIDER_PREFIX.match(name) and energy_column(name, settings) is not None]
    # what an import understands of `aiida-qagenai serve` beside the energies
    ours = [name for name in properties if name == '_qagenai_experimental']
    return [*settings.energies, *named, *ours]


def _session() -> t.Any:
    """Return a class of HTTP sessions that repeat what may succeed later; the client wants to make them itself."""
    import requests

    class PatientSession(requests.Session):
        """Session that waits and tries again."""

        def __init__(self) -> None:
            super().__init__()
            retry_requests(self)

    return PatientSession
