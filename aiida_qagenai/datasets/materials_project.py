"""Download from the Materials Project with its own client."""

from __future__ import annotations

import itertools
import os
import typing as t
from pathlib import Path

from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.datasets.staging import Staging

__all__ = ('FIELDS', 'KEY_VARIABLE', 'download', 'to_record')

KEY_VARIABLE = 'MP_API_KEY'
FIELDS = (
    'material_id',
    'structure',
    'formation_energy_per_atom',
    'energy_above_hull',
    'band_gap',
    'theoretical',
    'has_props',
    'nsites',
    'last_updated',
)
PER_REQUEST = 500

MISSING = 'importing from the Materials Project needs its client: pip install "aiida-qagenai[mp]"'
NO_KEY = (
    f'the Materials Project needs a key: set {KEY_VARIABLE} in the environment (https://materialsproject.org/api); '
    'it is not stored'
)


def download(
    folder: Path,
    *,
    database: str,
    query: t.Mapping[str, t.Any],
    progress: t.Callable[[str, int, int], None] | None = None,
) -> tuple[Staging, str]:
    """Download the materials that match ``query`` and return the file that holds them, and the database version.

    :param query: arguments of ``MPRester.materials.summary.search``: ``{'chemsys': 'H-Li'}``.
    :raises InvalidInputError: if the client or the key is missing, or the service refuses.
    """
    try:
        from mp_api.client import MPRester
        from mp_api.client.core.exceptions import MPRestError
    except ImportError as exception:
        raise InvalidInputError(MISSING) from exception
    key = os.environ.get(KEY_VARIABLE)
    if not key:
        raise InvalidInputError(NO_KEY)
    try:
        with MPRester(key, mute_progress_bars=True) as rester:
            version = str(rester.get_database_version())
            staging = Staging(folder, {'database': database, 'version': version, 'query': dict(query)})
            if not staging.state['complete']:
                _fetch(rester, query, staging, progress)
    except (MPRestError, OSError, ValueError) as exception:
        # the key may be part of a message of the service
        message = f'the Materials Project refused: {str(exception).replace(key, "…")}. Run the command again to go on'
        raise InvalidInputError(message) from exception
    return staging, version


def _fetch(
    rester: t.Any,
    query: t.Mapping[str, t.Any],
    staging: Staging,
    progress: t.Callable[[str, int, int], None] | None,
) -> None:
    """Download what is not in the file yet: first the identifiers, then the materials in portions."""
    names = staging.state.get('names')
    if names is None:
        found = rester.materials.summary.search(**query, fields=['material_id'])
        names = sorted(str(document.material_id) for document in found)
        staging.append([], names=names)
    remaining = iter(names[staging.records :])
    while portion := list(itertools.islice(remaining, PER_REQUEST)):
        documents = rester.materials.summary.search(material_ids=portion, fields=list(FIELDS))
        by_name = {str(document.material_id): document for document in documents}
        staging.append([to_record(name, by_name.get(name)) for name in portion])
        if progress is not None:
            progress('Materials Project', staging.records, 0)
    staging.append([], complete=True)


def to_record(name: str, document: t.Any) -> dict[str, t.Any]:
    """Return a material as a record of :mod:`aiida_qagenai.datasets.readers`, format ``json``.

    The formation energies are those of the phase diagram of the Materials Project: PBE and PBE+U with the corrections
    of MP2020, or what the thermodynamic type of the database mixes in.

    :param document: as the client returns it; ``None`` for one that vanished between two requests, which becomes a
        malformed record.
    """
    record: dict[str, t.Any] = {'material_id': name}
    if document is None:
        return record
    record['structure'] = document.structure.as_dict()
    for field in FIELDS[2:]:
        value = getattr(document, field, None)
        if field == 'has_props' and value:
            value = {str(getattr(prop, 'value', prop)): bool(there) for prop, there in dict(value).items()}
        if field == 'last_updated' and value is not None:
            value = value.isoformat()
        if value is not None:
            record[field] = value
    return record
