"""Requests over HTTP that are repeated where a server is busy, restarts, or asks for a pause."""

from __future__ import annotations

import typing as t

if t.TYPE_CHECKING:
    from requests import Session

__all__ = ('retry_requests',)

RETRIES = 6
BACKOFF = 1.0
"""Pauses between attempts grow as 1, 2, 4 … s, unless the server says how long to wait."""


def retry_requests(session: Session) -> None:
    """Let a session repeat what may succeed later: statuses 429, 500, 502, 503 and 504, and lost connections."""
    from requests.adapters import HTTPAdapter
    from urllib3.util.retry import Retry

    retry = Retry(
        total=RETRIES,
        connect=min(2, RETRIES),
        backoff_factor=BACKOFF,
        status_forcelist=(429, 500, 502, 503, 504),
        respect_retry_after_header=True,
    )
    for scheme in ('http://', 'https://'):
        session.mount(scheme, HTTPAdapter(max_retries=retry))
