"""Gaussian bases as nodes, one per element, and immutable versioned families of them."""

from __future__ import annotations

import io
import typing as t
import uuid
from pathlib import Path

from aiida.common.exceptions import ModificationNotAllowed, NotExistent, ValidationError
from aiida.orm import Data, Group, QueryBuilder
from aiida.orm.pydantic import OrmMetadataField

from aiida_qagenai.common.errors import CorruptFileError, InvalidInputError, reported_as
from aiida_qagenai.exchange.basis import BasisSource, ElementBasis, count_functions, cut_elements, read_bases, sha256_of

__all__ = ('BasisData', 'BasisFamily', 'find_bases', 'find_family', 'install_families')

BASIS_NAME = 'basis.nw'
AUXILIARY_NAME = 'auxiliary.nw'
INCOMPLETE = 'incomplete:'
"""Prefix of the label of a family whose import has not ended; the label proper is given last."""


class BasisData(Data):
    """The Gaussian basis of one element, in the format of NWChem, with its fitting set where there is one."""

    class AttributesModel(Data.AttributesModel):
        """What searches filter on."""

        element: str = OrmMetadataField(description='Symbol of the element')
        name: str = OrmMetadataField(description='Family and set: ccgto/1/cc-pvdz')
        cardinal: int = OrmMetadataField(description='Cardinal number X of cc-pVXZ')
        format: str = OrmMetadataField(description='Format of the text: nwchem')
        num_functions: int = OrmMetadataField(description='Spherical basis functions')
        pseudo: str = OrmMetadataField(description='Pseudopotential for which the basis is made')
        valence: int = OrmMetadataField(description='Valence electrons of the pseudopotential')
        has_auxiliary: bool = OrmMetadataField(description='Whether a fitting set exists')
        sha256: str = OrmMetadataField(description='SHA-256 of the texts of basis and fitting set')
        file: str = OrmMetadataField(description='File of the source that the text was cut from')
        homepage: str = OrmMetadataField(description='Address of the source')
        licence: str = OrmMetadataField(description='Licence, SPDX')
        citation: str = OrmMetadataField(description='What to cite')

    def __init__(
        self,
        basis: ElementBasis | None = None,
        name: str | None = None,
        origin: BasisSource | None = None,
        cardinal: int | None = None,
        **kwargs: t.Any,
    ) -> None:
        """Construct the node.

        :param name: label of the family.
        :param origin: description of the source.
        """
        super().__init__(**kwargs)
        if basis is None or origin is None:
            return
        self.base.repository.put_object_from_filelike(io.BytesIO(basis.text.encode('utf-8')), BASIS_NAME)
        if basis.auxiliary is not None:
            self.base.repository.put_object_from_filelike(io.BytesIO(basis.auxiliary.encode('utf-8')), AUXILIARY_NAME)
        self.base.attributes.set_many(
            {
                'element': basis.element,
                'name': name,
                'cardinal': cardinal,
                'format': 'nwchem',
                'num_functions': basis.num_functions,
                'pseudo': origin.pseudo,
                'valence': basis.valence,
                'has_auxiliary': basis.auxiliary is not None,
                'sha256': checksum(basis),
                'file': basis.file,
                'homepage': origin.homepage,
                'licence': origin.licence,
                'citation': origin.citation,
            }
        )

    @property
    def element(self) -> str:
        """Return the symbol of the element."""
        return str(self.base.attributes.get('element'))

    @property
    def name(self) -> str:
        """Return the label of the family: `ccgto/1/cc-pvdz`."""
        return str(self.base.attributes.get('name'))

    @property
    def text(self) -> str:
        """Return the orbital basis.

        :raises CorruptFileError: if the texts do not match their checksum.
        """
        return self._texts()[0]

    @property
    def auxiliary(self) -> str | None:
        """Return the fitting set, or None.

        :raises CorruptFileError: if the texts do not match their checksum.
        """
        return self._texts()[1]

    def _texts(self) -> tuple[str, str | None]:
        names = self.base.repository.list_object_names()
        text = self.base.repository.get_object_content(BASIS_NAME)
        auxiliary = self.base.repository.get_object_content(AUXILIARY_NAME) if AUXILIARY_NAME in names else None
        if sha256_of(text + (auxiliary or '')) != self.base.attributes.get('sha256'):
            raise CorruptFileError(f'the basis of {self.element} in {self} does not match its checksum')
        return text, auxiliary

    def _validate(self) -> bool:
        super()._validate()
        with reported_as(
            'not a valid basis:', FileNotFoundError, CorruptFileError, AttributeError, error=ValidationError
        ):
            text, _ = self._texts()
            if list(cut_elements(text)) != [self.element]:
                raise ValidationError(f'the text is not a basis of {self.element} alone')
            if count_functions(text) != self.base.attributes.get('num_functions'):
                raise ValidationError(f'the text of {self.element} has another number of functions')
        return True


class BasisFamily(Group):
    """An immutable set of bases, at most one per element, of one version of one source."""

    def add_nodes(self, nodes: t.Any) -> None:
        """Add nodes while the family is being installed.

        :raises aiida.common.exceptions.ModificationNotAllowed: afterwards.
        """
        if not self.label.startswith(INCOMPLETE):
            raise ModificationNotAllowed(f'family {self.label} is immutable: install another version')
        super().add_nodes(nodes)

    def remove_nodes(self, nodes: t.Any) -> None:
        """Refuse: what a calculation took from the family must stay in it."""
        message = f'family {self.label} is immutable: delete the group as a whole, or install another version'
        raise ModificationNotAllowed(message)

    def clear(self) -> None:
        """Refuse, as :meth:`remove_nodes`."""
        self.remove_nodes(None)

    @property
    def version(self) -> int:
        """Return the version in the label."""
        return int(self.label.split('/')[1])

    @property
    def bases(self) -> dict[str, BasisData]:
        """Return the bases by element, in the order of elements."""
        query = QueryBuilder().append(BasisFamily, filters={'id': self.pk}, tag='family')
        nodes = query.append(BasisData, with_group='family').all(flat=True)
        return {node.element: node for node in sorted(nodes, key=lambda node: node.element)}


def install_families(source: BasisSource, folder: Path | None = None) -> dict[str, bool]:
    """Install every set of ``source`` as a family; families that exist are not changed.

    All files are read and checked first. A family gets its name when it is complete, so that a killed import leaves
    nothing that could be taken for one.

    :return: label of each family → whether it is new.
    :raises InvalidInputError: if the files cannot be had.
    :raises CorruptFileError: if a file does not have the checksum of this version.
    """
    bases = read_bases(source, folder)
    return {
        source.label(name): _install(source, source.label(name), source.sets[name].cardinal, elements)
        for name, elements in bases.items()
    }


def _install(source: BasisSource, label: str, cardinal: int, elements: list[ElementBasis]) -> bool:
    known = BasisFamily.collection.find({'label': label})
    if known:
        _compare(known[0], elements)
        return False
    for leftover in BasisFamily.collection.find({'label': {'like': f'{INCOMPLETE}{label}:%'}}):
        BasisFamily.collection.delete(leftover.pk)
    family = BasisFamily(label=f'{INCOMPLETE}{label}:{uuid.uuid4()}', description=source.description).store()
    family.add_nodes([_node(basis, label, source, cardinal) for basis in elements])
    family.label = label
    return True


def _node(basis: ElementBasis, label: str, source: BasisSource, cardinal: int) -> BasisData:
    """Return the stored node of a basis, reusing one from an interrupted import."""
    # Before there is a node that is not stored: SQLAlchemy would warn about it.
    same = {'sha256': checksum(basis), 'name': label, 'element': basis.element}
    filters = {f'attributes.{key}': value for key, value in same.items()}
    known = QueryBuilder().append(BasisData, filters=filters).first(flat=True)
    return t.cast('BasisData', BasisData(basis, label, source, cardinal).store() if known is None else known)


def checksum(basis: ElementBasis) -> str:
    """Return the checksum of a basis with its fitting set."""
    return sha256_of(basis.text + (basis.auxiliary or ''))


def _compare(family: BasisFamily, elements: list[ElementBasis]) -> None:
    """Check that an installed family is what would be installed."""
    wanted = {basis.element: checksum(basis) for basis in elements}
    found = {symbol: sha256_of(node.text + (node.auxiliary or '')) for symbol, node in family.bases.items()}
    different = sorted(symbol for symbol in wanted | found if wanted.get(symbol) != found.get(symbol))
    if different:
        message = f'family {family.label} is installed with other bases of {", ".join(different)}: raise the version'
        raise CorruptFileError(message)


def find_family(name: str) -> BasisFamily | None:
    """Return an installed family, or None.

    :param name: `ccgto/1/cc-pvdz`, or `ccgto/cc-pvdz` for the latest version.
    :raises InvalidInputError: if the name is neither.
    """
    parts = name.split('/')
    if len(parts) == 3:
        pattern = name
    elif len(parts) == 2:
        pattern = f'{parts[0]}/%/{parts[1]}'
    else:
        raise InvalidInputError(f'`{name}` is not the name of a family: it is like ccgto/cc-pvdz or ccgto/1/cc-pvdz')
    try:
        found = BasisFamily.collection.find({'label': {'like': pattern}})
    except NotExistent:
        return None
    # `_` is a wildcard of LIKE.
    exact = [family for family in found if [family.label.split('/')[i] for i in (0, -1)] == [parts[0], parts[-1]]]
    return max(exact, key=lambda family: family.version, default=None)


def find_bases(name: str, symbols: t.Iterable[str]) -> dict[str, BasisData]:
    """Return the bases of elements from a family.

    :raises InvalidInputError: if the family is not installed, with the command that does it, or lacks an element.
    """
    family = find_family(name)
    if family is None:
        source = name.split('/', maxsplit=1)[0]
        raise InvalidInputError(f'the bases {name} are not installed: run `aiida-qagenai basis install {source}`')
    bases = family.bases
    missing = sorted(set(symbols) - set(bases))
    if missing:
        message = f'family {family.label} has no basis for {", ".join(missing)}; it has {", ".join(bases)}'
        raise InvalidInputError(message)
    return {symbol: bases[symbol] for symbol in sorted(set(symbols))}
