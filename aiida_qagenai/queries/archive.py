"""Archives of campaigns: one file that answers the same queries wherever it is imported."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import typing as t
import zipfile
from pathlib import Path

from aiida import __version__ as aiida_version
from aiida import orm
from packaging.version import Version

from aiida_qagenai import __version__
from aiida_qagenai.common.errors import CorruptFileError, InvalidInputError, reported_as
from aiida_qagenai.engine.archive import count_nodes, read_archive, write_archive
from aiida_qagenai.exchange.structures import DAMAGED_ZIP
from aiida_qagenai.queries.campaigns import GROUP_PREFIX, find_campaign

__all__ = ('MANIFEST', 'ArchiveInfo', 'export_campaign', 'import_archive', 'verify_archive')

MANIFEST = 'aiida_qagenai.json'
"""File in the archive with the SHA-256 of every other file, the counts, and the versions that wrote it."""

CHUNK = 1 << 20


@dataclasses.dataclass(frozen=True)
class ArchiveInfo:
    """What an archive holds.

    :param campaign: label of the campaign.
    :param nodes: number of nodes by class name.
    :param new_nodes: how many of them an import added; on export, all.
    """

    campaign: str
    nodes: dict[str, int]
    new_nodes: int
    versions: dict[str, str]


def export_campaign(campaign: int | str, path: str | os.PathLike[str], *, force: bool = False) -> ArchiveInfo:
    """Write a campaign to one archive: its group, all it called and created, and every ancestor of that.

    The file appears under its name only when it is complete.

    :param campaign: label, pk or uuid.
    :param force: replace an existing file.
    :raises InvalidInputError: if there is no such campaign, it still runs, or the file exists.
    """
    path = Path(path)
    if path.exists() and not force:
        raise InvalidInputError(f'`{path}` exists: choose another name, or force')
    if not path.parent.is_dir():
        raise InvalidInputError(f'the folder `{path.parent}` does not exist')
    found = find_campaign(campaign)
    entities: list[t.Any] = [orm.load_node(pk) for pk in found.processes]
    if found.group is not None:
        entities.append(orm.load_group(found.group))
    partial = path.with_name(path.name + '.partial')
    try:
        write_archive(entities, partial)
        info = _write_manifest(partial, found.label)
        partial.replace(path)
    except InvalidInputError as exception:
        message = f'campaign `{found.label}` still runs: let it finish, or continue it if it was killed. {exception}'
        raise InvalidInputError(message) from exception
    finally:
        partial.unlink(missing_ok=True)
    return info


def import_archive(path: str | os.PathLike[str]) -> ArchiveInfo:
    """Import an archive that :func:`export_campaign` wrote, after checking every file in it.

    AiiDA drops the hashes of imported nodes; here they are kept, so that caching finds the calculations. Importing
    again adds nothing, and completes an import that was killed.

    :raises CorruptFileError: if the file is truncated or was altered.
    :raises InvalidInputError: if it is another kind of file or of another version of AiiDA.
    """
    path = Path(path)
    info = verify_archive(path)
    _check_version(path, info)
    before = orm.QueryBuilder().append(orm.Node).count()
    with reported_as(
        f'`{path}` was written by AiiDA {info.versions["aiida-core"]}, this is {aiida_version}:', InvalidInputError
    ):
        found = count_nodes(path)
        if found != info.nodes:
            message = f'`{path}` was altered: it holds {sum(found.values())} nodes, its manifest {info.new_nodes}'
            raise CorruptFileError(message)
        read_archive(path)
    return dataclasses.replace(info, new_nodes=orm.QueryBuilder().append(orm.Node).count() - before)


def verify_archive(path: str | os.PathLike[str]) -> ArchiveInfo:
    """Check every file of an archive against the manifest and return what it holds.

    :raises CorruptFileError: if the file is truncated or was altered.
    :raises InvalidInputError: if there is no such file, or it is not an archive of a campaign.
    """
    path = Path(path)
    if not path.is_file():
        raise InvalidInputError(f'there is no file `{path}`')
    damaged = reported_as(f'`{path}` is truncated, damaged, or not an archive:', *DAMAGED_ZIP, error=CorruptFileError)
    with damaged, zipfile.ZipFile(path) as archive:
        if MANIFEST not in archive.namelist():
            message = f'`{path}` has no manifest of a campaign: use `verdi archive import` for other archives'
            raise InvalidInputError(message)
        manifest = json.loads(archive.read(MANIFEST))
        found = _digests(archive)
    wrong = sorted(name for name in found.keys() | manifest['files'] if found.get(name) != manifest['files'].get(name))
    if wrong:
        message = f'`{path}` was altered: {len(wrong)} files differ from its manifest, such as `{wrong[0]}`'
        raise CorruptFileError(message)
    nodes = manifest['nodes']
    return ArchiveInfo(manifest['campaign'], nodes, sum(nodes.values()), manifest['versions'])


def _write_manifest(path: Path, label: str) -> ArchiveInfo:
    nodes = count_nodes(path)
    versions = {'aiida-core': aiida_version, 'aiida-qagenai': __version__}
    with zipfile.ZipFile(path, 'a', zipfile.ZIP_DEFLATED) as archive:
        manifest = {
            'campaign': label,
            'group': GROUP_PREFIX + label,
            'nodes': nodes,
            'versions': versions,
            'files': _digests(archive),
        }
        archive.writestr(MANIFEST, json.dumps(manifest, indent=1))
    return ArchiveInfo(label, nodes, sum(nodes.values()), versions)


def _check_version(path: Path, info: ArchiveInfo) -> None:
    """Refuse an archive of a later release, whose nodes this one may not understand."""
    theirs = info.versions['aiida-qagenai']
    if Version(theirs) > Version(__version__):
        message = f'`{path}` was written by aiida-qagenai {theirs}, this is {__version__}: upgrade to import it'
        raise InvalidInputError(message)


def _digests(archive: zipfile.ZipFile) -> dict[str, str]:
    """Return the SHA-256 of every file in an archive but the manifest."""
    digests = {}
    for name in archive.namelist():
        if name == MANIFEST:
            continue
        digest = hashlib.sha256()
        with archive.open(name) as handle:
            while chunk := handle.read(CHUNK):
                digest.update(chunk)
        digests[name] = digest.hexdigest()
    return digests
