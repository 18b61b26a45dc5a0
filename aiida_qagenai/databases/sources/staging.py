"""Downloads on disk until they are imported, so that an interrupted one goes on, and the requests that they need."""

from __future__ import annotations

import hashlib
import json
import typing as t
from collections.abc import Iterable, Mapping
from pathlib import Path

if t.TYPE_CHECKING:
    from requests import Session

__all__ = ('Staging', 'default_folder', 'retry_requests')


def default_folder() -> Path:
    """Return the folder of downloads of this AiiDA configuration."""
    from aiida_qagenai.engine.profile import configuration_folder

    return configuration_folder() / 'qagenai_downloads'


class Staging:
    """A file of JSON lines and a state that always agree: what a crash left behind the last state is cut off.

    :param folder: created where it is missing.
    :param query: what is downloaded; another query has another file.
    """

    def __init__(self, folder: Path, query: Mapping[str, t.Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        key = hashlib.sha256(json.dumps(query, sort_keys=True).encode()).hexdigest()[:16]
        self.path = folder / f'{query.get("database", "download")}-{key}.jsonl'
        self._state_path = self.path.with_suffix('.state')
        self.state: dict[str, t.Any] = {'size': 0, 'records': 0, 'next': None, 'complete': False}
        if self._state_path.is_file() and self.path.is_file():
            self.state = json.loads(self._state_path.read_text())
        self.path.touch()
        with self.path.open('r+b') as handle:
            handle.truncate(self.state['size'])

    @property
    def records(self) -> int:
        """Return how many records are here."""
        return int(self.state['records'])

    def append(self, records: Iterable[t.Any], **state: t.Any) -> None:
        """Add records and note how to go on behind them."""
        count = 0
        with self.path.open('ab') as handle:
            for record in records:
                handle.write(json.dumps(record, sort_keys=True).encode() + b'\n')
                count += 1
            size = handle.tell()
        self.state = {**self.state, **state, 'size': size, 'records': self.records + count}
        partial = self._state_path.with_suffix('.partial')
        partial.write_text(json.dumps(self.state))
        partial.replace(self._state_path)

    def remove(self) -> None:
        """Remove the download: it is imported."""
        self.path.unlink(missing_ok=True)
        self._state_path.unlink(missing_ok=True)


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
