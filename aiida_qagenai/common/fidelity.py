"""The ladder of fidelities: PBE ≪ SCAN ≪ HSE06 ≪ CCSD(T)."""

from __future__ import annotations

import enum

from aiida_qagenai.common.errors import InvalidInputError

__all__ = ('LADDER', 'Fidelity')


class Fidelity(enum.StrEnum):
    """A level of theory; the value is the name that nodes, tables and files use."""

    PBE = 'PBE'
    SCAN = 'SCAN'
    HSE06 = 'HSE06'
    CCSD_T = 'CCSD(T)'

    @property
    def rank(self) -> int:
        """Return the position on the ladder, 0 for PBE: the column of packed energy arrays."""
        return LADDER.index(self)

    @property
    def label(self) -> str:
        """Return a name that is valid as a link label: ``pbe``, ``scan``, ``hse06``, ``ccsdt``."""
        return self.value.lower().replace('(', '').replace(')', '')

    @classmethod
    def parse(cls, name: str) -> Fidelity:
        """Return the fidelity called ``name``, in any case and with or without the brackets of CCSD(T).

        :raises InvalidInputError: if no fidelity has that name.
        """
        wanted = str(name).lower().replace('(', '').replace(')', '')
        for member in cls:
            if member.label == wanted:
                return member
        raise InvalidInputError(f'unknown fidelity `{name}`: choose from {", ".join(member.value for member in cls)}')


LADDER: tuple[Fidelity, ...] = tuple(Fidelity)
"""All fidelities, lowest first."""
