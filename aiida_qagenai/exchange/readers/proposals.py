"""Proposed crystals in the files of any program: those that can be used, and why the others cannot."""

from __future__ import annotations

import dataclasses
import io
import typing as t

from aiida_qagenai.chemistry.geometry import structure_problem
from aiida_qagenai.chemistry.symmetry import primitive_cell
from aiida_qagenai.common.errors import CorruptFileError, InvalidInputError
from aiida_qagenai.exchange.readers.formats import FORMATS_AND_ARCHIVES, format_of, is_archive
from aiida_qagenai.exchange.readers.raw_records import read_raw_records
from aiida_qagenai.exchange.readers.structure_files import ReadStructure, structures_of

if t.TYPE_CHECKING:
    from pymatgen.core import Structure

__all__ = ('Limits', 'Proposals', 'read_proposals')


class Limits(t.NamedTuple):
    """What a proposed crystal may be.

    :param elements: symbols that may occur; all by default.
    :param max_atoms: most atoms per cell.
    :param primitive: whether crystals are reduced to their primitive cells, before their atoms are counted.
    """

    elements: t.Collection[str] | None = None
    max_atoms: int | None = None
    primitive: bool = False


@dataclasses.dataclass
class Proposals:
    """What the files of a program hold.

    :param structures: pairs of a place (``out.xyz, line 1, index 0``) and the crystal that stands there.
    :param problems: what cannot be used, and why.
    :param unreadable: files in which nothing can be read, and why.
    :param warnings: what was assumed or left out as crystals were read.
    """

    structures: list[tuple[str, Structure]] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)
    unreadable: list[str] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)

    def add(self, name: str, item: ReadStructure, limits: Limits) -> None:
        """Add a crystal, or the reason why it cannot be used."""
        problem, structure = item.problem, item.structure
        if structure is not None:
            wrong = structure_problem(structure)
            structure = structure if wrong or not limits.primitive else primitive_cell(structure)
            problem = f'the structure {wrong}' if wrong else _excess(structure, limits)
        if structure is None or problem:
            self.problems.append(f'{name}: {problem}')
            return
        self.structures.append((name, structure))
        self.warnings += [f'{name}: {text}' for text in item.warnings]


def read_proposals(files: t.Iterable[tuple[str, bytes]], limits: Limits) -> Proposals:
    """Return the crystals in ``files``, pairs of a name and a content, in their order.

    Nothing is left out silently: what cannot be read, is not an ordered crystal or exceeds ``limits`` is among the
    problems, and a table, an archive or another file of several structures in which nothing can be read among the
    unreadable ones.
    """
    proposals = Proposals()
    for name, content in files:
        _read_file(proposals, name, content, limits)
    return proposals


def _read_file(proposals: Proposals, file: str, content: bytes, limits: Limits) -> None:
    """Add what one file holds."""
    format_ = format_of(file)
    if format_ is None:
        reason = f'its name does not tell its format: known are {FORMATS_AND_ARCHIVES}'
        proposals.unreadable.append(f'{file}: {reason}')
        return
    malformed, is_readable = [], False
    try:
        for record in read_raw_records(io.BytesIO(content), format_, file) if content else ():
            place = f'{file}, {record.place}' if record.place else file
            if record.problem:
                malformed.append(f'{place}: {record.problem}')
                continue
            is_readable = True
            for item in structures_of(record):
                proposals.add(place if item.name == record.name else f'{place}, {item.name}', item, limits)
    except (InvalidInputError, CorruptFileError) as exception:
        malformed.append(f'{file}: {exception}')
    if not (malformed or is_readable):
        malformed.append(f'{file}: it has no structures')
    holds_one = format_ in {'cif', 'poscar'} and not is_archive(file)
    target = proposals.problems if is_readable or holds_one else proposals.unreadable
    target += malformed


def _excess(structure: Structure, limits: Limits) -> str:
    """Return how a crystal exceeds the limits, or nothing."""
    symbols = sorted({site.specie.symbol for site in structure})
    others = [] if limits.elements is None else [symbol for symbol in symbols if symbol not in limits.elements]
    if others:
        return f'the structure has {", ".join(others)}: only {", ".join(limits.elements or ())} may occur'
    if limits.max_atoms is not None and len(structure) > limits.max_atoms:
        return f'the structure has {len(structure)} atoms: at most {limits.max_atoms} may be in a cell'
    return ''
