"""Sets of Gaussian bases: where they come from, whether the files are the right ones, and one text per element."""

from __future__ import annotations

import functools
import hashlib
import json
import math
import re
import typing as t
import urllib.error
import urllib.request
from pathlib import Path

import pydantic
import yaml

from aiida_qagenai.common.errors import CorruptFileError, InvalidInputError, reported_as
from aiida_qagenai.common.model import StrictModel

__all__ = (
    'PACKED',
    'BasisSource',
    'ElementBasis',
    'count_functions',
    'cut_elements',
    'find_source',
    'known_sources',
    'packed_bases',
    'read_bases',
    'sha256_of',
)

SOURCES_FILE = Path(__file__).with_name('basis_sources.yaml')
PACKED = Path(__file__).with_name('bases')
"""Families that come with the package, in the form of :func:`packed_bases`."""

ANGULAR_MOMENTA = 'SPDFGHI'
TIMEOUT = 30
"""Seconds after which a server counts as out of reach."""


class BasisFile(StrictModel):
    """One file of a set and the elements to take from it."""

    path: str = pydantic.Field(description='Relative to the root of the repository or folder.')
    sha256: str = pydantic.Field(pattern='^[0-9a-f]{64}$')
    elements: list[str]


class BasisSet(StrictModel):
    """One basis, such as cc-pvdz: orbital files and, where they exist, fitting sets."""

    cardinal: int = pydantic.Field(ge=2, le=6, description='X of cc-pVXZ, which extrapolations need.')
    basis: list[BasisFile]
    auxiliary: tuple[BasisFile, ...] = ()


class BasisSource(StrictModel):
    """Where a family of bases comes from. The checksums define a version."""

    name: str = pydantic.Field(pattern='^[a-z0-9][a-z0-9.-]*$')
    version: int = pydantic.Field(ge=1)
    description: str
    url: str = pydantic.Field(description='Address of a file, with {path} in it.')
    homepage: str
    licence: str
    citation: str
    pseudo: str = pydantic.Field(description='Pseudopotential that the bases are made for.')
    valence: dict[str, pydantic.PositiveInt] = pydantic.Field(description='Electrons that the pseudopotential leaves.')
    sets: dict[str, BasisSet]

    def label(self, name: str) -> str:
        """Return the label of the family of one set: `ccgto/1/cc-pvdz`."""
        return f'{self.name}/{self.version}/{name}'


class ElementBasis(StrictModel):
    """The basis of one element as text in the format of NWChem."""

    element: str
    text: str
    num_functions: int
    valence: int
    file: str
    auxiliary: str | None = None


def known_sources() -> dict[str, BasisSource]:
    """Return the families that this package knows how to install."""
    return dict(_read_sources())


@functools.cache
def _read_sources() -> dict[str, BasisSource]:
    content: list[dict[str, t.Any]] = yaml.safe_load(SOURCES_FILE.read_text(encoding='utf-8'))
    return {source.name: source for source in map(BasisSource.model_validate, content)}


def find_source(name: str) -> BasisSource:
    """Return a known source, or the one that a YAML file describes.

    :raises InvalidInputError: if there is neither, or the file is not a description.
    """
    sources = known_sources()
    if name in sources:
        return sources[name]
    path = Path(name)
    if not path.is_file():
        message = f'unknown family `{name}`: choose from {", ".join(sources)}, or give a YAML file that describes one'
        raise InvalidInputError(message)
    with reported_as(f'{path} does not describe a family of bases:', pydantic.ValidationError, yaml.YAMLError):
        return BasisSource.model_validate(yaml.safe_load(path.read_text(encoding='utf-8')))


def read_bases(source: BasisSource, folder: Path | None = None) -> dict[str, list[ElementBasis]]:
    """Return the bases of every set of ``source``, all files checked before anything is returned.

    :param folder: a copy of the repository; without it, what comes with the package, or else the files are downloaded.
    :raises InvalidInputError: if a file is missing or out of reach.
    :raises CorruptFileError: if a file does not have the checksum of this version, or cannot be read as a basis.
    """
    if folder is None and (packed := _read_packed(source)) is not None:
        return packed
    return {name: _read_set(source, basis_set, folder) for name, basis_set in source.sets.items()}


def packed_bases(source: BasisSource, bases: t.Mapping[str, t.Sequence[ElementBasis]]) -> dict[str, t.Any]:
    """Return the bases of a source as plain data, with the checksums of the files that they were read from."""
    return {
        'source': source.model_dump(mode='json'),
        'sets': {name: [basis.model_dump() for basis in elements] for name, elements in bases.items()},
    }


def _read_packed(source: BasisSource) -> dict[str, list[ElementBasis]] | None:
    """Return the bases of a source that come with the package, or none if others are meant."""
    path = PACKED / f'{source.name}.json'
    if source.name not in known_sources() or not path.is_file():
        return None
    content = json.loads(path.read_text(encoding='utf-8'))
    if content['source'] != source.model_dump(mode='json'):
        return None
    return {name: [ElementBasis.model_validate(each) for each in found] for name, found in content['sets'].items()}


def _read_set(source: BasisSource, basis_set: BasisSet, folder: Path | None) -> list[ElementBasis]:
    auxiliary = {symbol: text for _, symbol, text in _texts(source, basis_set.auxiliary, folder)}
    bases = []
    for file, symbol, text in _texts(source, basis_set.basis, folder):
        if symbol not in source.valence:
            raise InvalidInputError(f'{source.name} gives no number of valence electrons for {symbol}')
        bases.append(
            ElementBasis(
                element=symbol,
                text=text,
                num_functions=count_functions(text),
                valence=source.valence[symbol],
                file=file.path,
                auxiliary=auxiliary.get(symbol),
            )
        )
    return bases


def _texts(
    source: BasisSource, files: t.Sequence[BasisFile], folder: Path | None
) -> t.Iterator[tuple[BasisFile, str, str]]:
    for file in files:
        blocks = cut_elements(_read(source, file, folder))
        missing = [symbol for symbol in file.elements if symbol not in blocks]
        if missing:
            raise CorruptFileError(f'{file.path} has no basis for {", ".join(missing)}')
        for symbol in file.elements:
            yield file, symbol, blocks[symbol]


def _read(source: BasisSource, file: BasisFile, folder: Path | None) -> str:
    content = _download(source, file.path) if folder is None else _read_local(folder, file.path)
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        message = (
            f'{file.path} is not the file that version {source.version} of {source.name} is made of: '
            f'its sha256 is {found}, expected is {file.sha256}'
        )
        raise CorruptFileError(message)
    return content.decode('utf-8')


def _read_local(folder: Path, path: str) -> bytes:
    with reported_as(f'{folder} is not a copy of the repository:', OSError):
        return (folder / path).read_bytes()


def _download(source: BasisSource, path: str) -> bytes:
    url = source.url.format(path=path)
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            return t.cast('bytes', response.read())
    except (urllib.error.URLError, OSError) as exception:
        message = (
            f'{url} cannot be reached: {exception}. Without a network, copy {source.homepage} here by other means '
            f'and run `aiida-qagenai basis install {source.name} --from FOLDER`'
        )
        raise InvalidInputError(message) from exception


def cut_elements(content: str) -> dict[str, str]:
    """Return the text of each element of a file in the format of NWChem.

    :raises CorruptFileError: if an element occurs in two places, or a line is neither a shell nor numbers.
    """
    blocks: dict[str, list[str]] = {}
    last = None
    for number, line in enumerate(content.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith('#') or words[0].lower() in {'basis', 'end'}:
            continue
        if re.fullmatch('[A-Z][a-z]?', words[0]):
            symbol = words[0]
            if symbol != last and symbol in blocks:
                raise CorruptFileError(f'line {number}: a second basis of {symbol}')
            last = symbol
        elif last is None:
            raise CorruptFileError(f'line {number}: `{line.strip()}` stands before the first element')
        blocks.setdefault(last, []).append(line.rstrip())
    return {symbol: '\n'.join(lines) + '\n' for symbol, lines in blocks.items()}


def count_functions(text: str) -> int:
    """Return the number of spherical basis functions of one element.

    :raises CorruptFileError: if a shell has no primitives, an exponent is not positive, or columns are missing.
    """
    shells: list[tuple[int, list[list[float]]]] = []
    for line in text.splitlines():
        words = line.split()
        if words[0][0].isalpha():
            if len(words) != 2 or words[1].upper() not in set(ANGULAR_MOMENTA):
                raise CorruptFileError(f'`{line.strip()}` does not begin a shell of one angular momentum')
            shells.append((ANGULAR_MOMENTA.index(words[1].upper()), []))
            continue
        with reported_as(f'`{line.strip()}` is neither a shell nor numbers', ValueError, error=CorruptFileError):
            numbers = [float(word.replace('D', 'E').replace('d', 'e')) for word in words]
        if not shells or not all(map(math.isfinite, numbers)) or numbers[0] <= 0 or len(numbers) < 2:
            raise CorruptFileError(f'`{line.strip()}` is not an exponent with its coefficients')
        shells[-1][1].append(numbers)
    total = 0
    for momentum, primitives in shells:
        widths = {len(primitive) for primitive in primitives}
        if len(widths) != 1:
            raise CorruptFileError(f'a shell of l = {momentum} has no primitives, or rows of different length')
        total += (2 * momentum + 1) * (widths.pop() - 1)
    return total


def sha256_of(text: str) -> str:
    """Return the checksum of a text."""
    return hashlib.sha256(text.encode('utf-8')).hexdigest()
