"""Download from the Materials Project with its own client."""

from __future__ import annotations

import itertools
import os
import re
import typing as t
from pathlib import Path

from aiida_qagenai.common.errors import InvalidInputError, reported_as
from aiida_qagenai.databases.sources.staging import Staging, retry_requests

__all__ = ('KEY_VARIABLE', 'LEVEL', 'download')

KEY_VARIABLE = 'MP_API_KEY'
FIELDS = ['material_id', 'structure', 'band_gap', 'theoretical', 'has_props', 'nsites', 'last_updated']
"""What is asked of `materials/summary`; not its energies, which are of a phase diagram that mixes r2SCAN in."""

THERMO_TYPE = 'GGA_GGA+U'
LEVEL = 'PBE+U, MP2020'
"""The level of theory of the phase diagram ``THERMO_TYPE``: PBE and PBE+U with the corrections of MP2020."""

THERMO_FIELDS = ['material_id', 'formation_energy_per_atom', 'energy_above_hull']
PER_REQUEST = 500

MISSING = 'importing from the Materials Project needs its client: pip install "aiida-qagenai[mp]"'
NO_KEY = (
    f'the Materials Project needs a key: set {KEY_VARIABLE} in the environment (https://materialsproject.org/api); '
    'it is not stored'
)
WRONG_KEY = (
    f'the Materials Project does not accept the key in {KEY_VARIABLE}, or blocks this machine: copy the key anew from '
    'https://materialsproject.org/api'
)
DOWN = (
    'the Materials Project is down or answers with something else than its data (https://status.materialsproject.org)'
)


def download(
    folder: Path,
    *,
    database: str,
    query: t.Mapping[str, t.Any],
    progress: t.Callable[[str, int, int], None] | None = None,
) -> tuple[Staging, str]:
    """Download the materials that match ``query`` and return the file that holds them, and the database version.

    A record holds the structure and properties of the material and, where it was computed with PBE, its formation
    energy and its distance to the hull at that level (:data:`LEVEL`). The materials of GNoME, whose licence is another,
    are left out.

    :param query: arguments of ``MPRester.materials.summary.search``: ``{'chemsys': 'H-Li'}``.
    :raises InvalidInputError: if the client or the key is missing, the service refuses, or nothing matches.
    """
    with reported_as(MISSING, ImportError):
        from mp_api.client import MPRester
        from mp_api.client.core.exceptions import MPRestError
    key = os.environ.get(KEY_VARIABLE)
    if not key:
        raise InvalidInputError(NO_KEY)
    try:
        # Documents as they come: the client's own model has only the fields of the first of them.
        with MPRester(key, use_document_model=False, mute_progress_bars=True) as rester:
            retry_requests(rester.session)
            if not rester.db_version:
                raise InvalidInputError(DOWN)
            staging = Staging(folder, {'database': database, 'version': rester.db_version, 'query': dict(query)})
            if not staging.state['complete']:
                _fetch(rester, query, staging, progress)
    except InvalidInputError:
        raise
    except (MPRestError, ValueError, KeyError) as exception:
        # Without its cause, because the service may have put the key into its answer.
        raise InvalidInputError(_explain(exception, key)) from None
    if not staging.records:
        staging.remove()
        message = f'no material matches {dict(query)} in version {rester.db_version} of the Materials Project'
        raise InvalidInputError(message)
    return staging, str(rester.db_version)


def _explain(exception: Exception, key: str) -> str:
    """Return what went wrong and what to do, without the key and without the long addresses of requests."""
    text = re.sub(r'\?\S*', '', str(exception)).replace(key, '…')
    if re.search('status code 40[13]', text) or 'API key' in text:
        return f'{WRONG_KEY}. It says: {text}'
    # what is no JSON, or lacks a version
    if isinstance(exception, ValueError | KeyError):
        return DOWN
    return f'the Materials Project refused: {text}. Run the command again to go on'


def _fetch(
    rester: t.Any,
    query: t.Mapping[str, t.Any],
    staging: Staging,
    progress: t.Callable[[str, int, int], None] | None,
) -> None:
    """Download what is not in the file yet: first the identifiers, then the materials in portions."""
    summary, thermo = rester.materials.summary, rester.materials.thermo
    names = staging.state.get('names')
    if names is None:
        found = summary.search(**query, include_gnome=False, fields=['material_id'])
        names = sorted(document['material_id'] for document in found)
        staging.append([], names=names)
    remaining = iter(names[staging.records :])
    while portion := list(itertools.islice(remaining, PER_REQUEST)):
        documents = _by_name(summary.search(material_ids=portion, fields=FIELDS))
        energies = _by_name(thermo.search(material_ids=portion, thermo_types=[THERMO_TYPE], fields=THERMO_FIELDS))
        # One that vanished between two requests becomes a malformed record.
        staging.append([{'material_id': name, **documents.get(name, {}), **energies.get(name, {})} for name in portion])
        if progress is not None:
            progress('Materials Project', staging.records, 0)
    staging.append([], complete=True)


def _by_name(documents: list[dict[str, t.Any]]) -> dict[str, dict[str, t.Any]]:
    """Return identifier → the fields of a document that have a value."""
    return {
        document['material_id']: {name: value for name, value in document.items() if value is not None}
        for document in documents
    }
