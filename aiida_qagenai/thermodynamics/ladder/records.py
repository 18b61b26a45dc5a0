"""The crystals of the ladder, their energies on four rungs, and what experiment says of them."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import typing as t
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pydantic

from aiida_qagenai.common.errors import CorruptFileError, InvalidInputError, reported_as
from aiida_qagenai.common.fidelity import LADDER, Fidelity
from aiida_qagenai.common.model import StrictModel
from aiida_qagenai.thermodynamics.references.atomization import atomization_energy, atomization_uncertainty

__all__ = ('CARD', 'DATA', 'Calculation', 'Ladder', 'LadderCrystal', 'load_ladder')

DATA = Path(__file__).with_name('ladder.json')
"""Crystals and energies; ``card.json`` beside it has source, licence, recipe and checksum."""

CARD = Path(__file__).with_name('card.json')


class Calculation(StrictModel):
    """One calculation of a crystal or of one of its atoms."""

    path: str = pydantic.Field(description='Labels of the calls from the process of the crystal.')
    what: str = pydantic.Field(description='Level or method.')
    script_sha256: str = pydantic.Field(description='Of the script, which is complete in itself.')
    total_energy_hartree: float | None = pydantic.Field(None, description='Ha; None where it failed.')
    cpu_seconds: float | None = pydantic.Field(None, description='Of the processor, s.')
    memory_mb: float | None = pydantic.Field(None, description='Largest resident memory, MB.')
    versions: dict[str, str] | None = pydantic.Field(None, description='Of PySCF, NumPy and Python.')
    exit_status: int | None = pydantic.Field(None, description='0 where it went well; from 700 on a warning.')
    cached: bool = pydantic.Field(False, description='Whether it was taken from an equal calculation of before.')

    @property
    def level(self) -> Fidelity:
        """Return the level that it was computed for: the end of the first label, `crystalpbe`."""
        label = self.path.split('/')[0]
        return next(level for level in LADDER if label.endswith(level.label))


class LadderCrystal(StrictModel):
    """One crystal at one volume.

    :param lattice: edge of the cubic cell at the volume that experiment finds, or of the transition, Å.
    :param of: name of the ground state, of a second polymorph.
    :param volume: relative to that of ``lattice``.
    :param cohesive: measured energy of atomisation without zero-point energy, eV/atom.
    :param energies: attributes of an ``EnergyData`` by level: energies in eV.
    :param failures: levels that were refused or failed, each with the reason.
    """

    elements: tuple[str, ...]
    kind: str
    compound_class: str
    lattice: float
    of: str | None = None
    volume: float = 1.0
    cohesive: float | None = None
    cell: list[list[float]]
    symbols: list[str]
    positions: list[list[float]]
    energies: dict[Fidelity, dict[str, t.Any]]
    failures: tuple[str, ...] = ()
    calculations: tuple[Calculation, ...] = ()

    @property
    def is_complete(self) -> bool:
        """Whether all four levels have an energy."""
        return set(self.energies) == set(LADDER)

    @property
    def cpu_hours(self) -> float:
        """Time of the processor for everything of the crystal, atoms included, h."""
        return sum(self.cpu_hours_of(level) for level in LADDER)

    def cpu_hours_of(self, fidelity: Fidelity) -> float:
        """Return the time of the processor for one level, its atoms included, h.

        What came from the cache counts as well: a crystal that was begun again takes its own calculations from there.
        """
        return sum(one.cpu_seconds or 0.0 for one in self.calculations if one.level is fidelity) / 3600

    def per_atom(self, fidelity: Fidelity, name: str = 'total_energy') -> float | None:
        """Return an energy of the cell (eV) per atom, None where the level has none."""
        value = self.energies.get(fidelity, {}).get(name)
        return None if value is None else float(value) / len(self.symbols)

    def cohesive_energy(self, fidelity: Fidelity) -> float | None:
        """Return the energy that separates the crystal into atoms, eV/atom, vibrationless; None where it is unknown.

        It is against atoms with the basis functions of their neighbours, corrected for the error of the
        pseudopotential in free atoms.
        """
        anchored = self.energies.get(fidelity, {}).get('anchored')
        if anchored is None:
            return None
        return sum(atomization_energy(symbol) for symbol in self.symbols) / len(self.symbols) - float(anchored)

    @property
    def measured_formation(self) -> float | None:
        """Return the measured formation energy (eV/atom), vibrationless, that belongs to ``cohesive``."""
        if self.cohesive is None:
            return None
        return sum(atomization_energy(symbol) for symbol in self.symbols) / len(self.symbols) - self.cohesive

    @property
    def measured_uncertainty(self) -> float:
        """Return the standard error of the measured energies of the elements, eV/atom."""
        counts = Counter(self.symbols)
        return sum(n * atomization_uncertainty(symbol) for symbol, n in counts.items()) / len(self.symbols)


@dataclasses.dataclass(frozen=True)
class Ladder:
    """All crystals by name, further volumes behind a dash: ``LiH-0.94``.

    :param settings: protocol and changes to it that all have in common.
    :param missing: names of the list that are not computed yet, or not complete.
    :param refused: why others cannot be computed with these settings, by name.
    """

    crystals: Mapping[str, LadderCrystal]
    settings: Mapping[str, t.Any]
    missing: tuple[str, ...]
    refused: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def at_equilibrium(self) -> dict[str, LadderCrystal]:
        """Return the crystals at their own lattice constants."""
        return {name: crystal for name, crystal in self.crystals.items() if crystal.volume == 1}

    @classmethod
    def from_dict(cls, content: Mapping[str, t.Any]) -> Ladder:
        """Return the ladder in the content of a file.

        :raises CorruptFileError: if it is not one.
        """
        with reported_as('not the data of a ladder:', KeyError, TypeError, InvalidInputError, error=CorruptFileError):
            crystals = {name: LadderCrystal.parse(one, name) for name, one in content['crystals'].items()}
            return cls(crystals, content['settings'], tuple(content['missing']), content['refused'])


@functools.cache
def load_ladder(path: Path = DATA) -> Ladder:
    """Return the ladder of a file, by default that of the package.

    :raises CorruptFileError: if the content is not what its card says.
    """
    text = path.read_bytes()
    card = json.loads(path.with_name('card.json').read_text(encoding='utf-8'))
    if hashlib.sha256(text).hexdigest() != card['sha256'][path.name]:
        message = f'{path} is not the file that {path.with_name("card.json")} describes: `{card["recipe"]}` makes both'
        raise CorruptFileError(message)
    return Ladder.from_dict(json.loads(text))
