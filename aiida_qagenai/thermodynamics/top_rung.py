"""The top rung of a chemical system: the best level of theory that is valid for the crystals that it may hold.

It is decided once for a whole system, before anything is computed, so that all differences D = abs(E_PBE − E_top),
hulls and models of a campaign speak of the same two levels. What single crystals are refused for (a gap that closes,
too many atoms) does not change it.
"""

from __future__ import annotations

import typing as t

from pymatgen.core import Element

from aiida_qagenai.chemistry.open_shells import open_shell_elements
from aiida_qagenai.common.errors import InvalidInputError
from aiida_qagenai.common.fidelity import LADDER, Fidelity

__all__ = ('TopRung', 'top_rung')


class TopRung(t.NamedTuple):
    """The top rung of a chemical system.

    :param fidelity: the rung.
    :param reason: why it is not CCSD(T); empty if it is, or if somebody wished for a lower one.
    """

    fidelity: Fidelity
    reason: str = ''


def top_rung(
    elements: t.Collection[str],
    *,
    covered: t.Collection[str] | None = None,
    max_atoms: int | None = None,
    wanted: Fidelity | None = None,
) -> TopRung:
    """Return the top rung of the chemical system of ``elements``: CCSD(T) where it is valid, else HSE06.

    CCSD(T) is valid where the crystals of the system have closed shells and can be insulators, and where there are
    bases and pseudopotentials for it. A system with an ion that can have an open d or f shell is partly open-shell: its
    top rung is HSE06, also for those of its crystals that are not.

    :param elements: symbols of the system.
    :param covered: elements for which the level has what CCSD(T) needs; all if not given.
    :param max_atoms: atoms of the largest cell that CCSD(T) admits; any number if not given.
    :param wanted: rung that somebody wishes for: any above PBE that is valid.
    :raises InvalidInputError: if the rung that is wished for is not valid, with the reason.
    """
    reason = _against_coupled_cluster(elements, covered, max_atoms)
    if wanted is Fidelity.PBE:
        raise InvalidInputError(f'the top rung must lie above PBE: choose from {", ".join(LADDER[1:])}')
    if wanted is Fidelity.CCSD_T and reason:
        message = f'CCSD(T) cannot be the top rung of {"-".join(sorted(elements))}: {reason}; the best that is valid'
        raise InvalidInputError(f'{message} is HSE06')
    if wanted is not None:
        return TopRung(wanted)
    return TopRung(Fidelity.HSE06, reason) if reason else TopRung(Fidelity.CCSD_T)


def _against_coupled_cluster(
    elements: t.Collection[str], covered: t.Collection[str] | None, max_atoms: int | None
) -> str:
    """Return why CCSD(T) is not valid for a chemical system; empty if it is."""
    if all(Element(symbol).is_metal for symbol in elements):
        return 'it consists of metals only'
    if found := sorted(open_shell_elements(elements)):
        return f'ions of {", ".join(found)} can have open d or f shells'
    if missing := sorted(set(elements) - set(elements if covered is None else covered)):
        return f'CCSD(T) has no basis or pseudopotential for {", ".join(missing)}'
    if max_atoms is not None and max_atoms < len(elements):
        return f'CCSD(T) admits {max_atoms} atoms, fewer than the {len(elements)} elements'
    return ''
