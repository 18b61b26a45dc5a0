"""Elements beyond argon: the bases of PySCF that have them, and what a protocol becomes for a system with one."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

from pymatgen.core import Element

from aiida_qagenai.common.fidelity import Fidelity
from aiida_qagenai.workchains.protocols.energy_parts import BasisSize

if t.TYPE_CHECKING:
    from aiida_qagenai.workchains.protocols.energy import EnergySettings

__all__ = ('MOLOPT_BASES', 'is_beyond_argon', 'missing_basis', 'settings_beyond_argon')

ARGON = 18

_TABLE: dict[str, dict[str, int]] = json.loads(Path(__file__).with_name('molopt.json').read_text(encoding='utf8'))[
    'elements'
]

MOLOPT_BASES: dict[str, dict[str, BasisSize]] = {
    name: {symbol: BasisSize(functions=entry[name], valence=entry['valence']) for symbol, entry in _TABLE.items()}
    for name in ('gth-szv-molopt-sr', 'gth-dzvp-molopt-sr')
}
"""Basis functions and valence electrons with gth-pbe by element: H to Rn without the lanthanides."""

NO_COUPLED_CLUSTER = (
    'there is no CCSD(T) beyond argon, because no correlation-consistent basis belongs to its pseudopotential '
    'gth-hf-rev there: the top rung of this system is HSE06'
)


def is_beyond_argon(symbols: t.Collection[str], covered: t.Collection[str]) -> bool:
    """Return whether a system has an element beyond argon that the basis of the protocol lacks.

    :param covered: elements that the basis of the protocol has.
    """
    return any(_is_heavy(symbol) for symbol in set(symbols) - set(covered))


def settings_beyond_argon(settings: EnergySettings) -> EnergySettings:
    """Return the settings of a system with an element beyond argon: one basis, and one level tag, for all elements.

    A light element in such a system has the same basis, so that energies of all its compounds compare.
    """
    other = settings.beyond_argon
    assert other is not None
    return settings.model_copy(
        update={
            'basis': other.basis,
            'basis_sizes': MOLOPT_BASES[other.basis],
            'expected_error': other.expected_error,
            'cost': other.cost,
            # The finer grid and the smaller cell of the two, so that no override is without effect unseen.
            'grid_spacing': min(settings.grid_spacing, other.grid_spacing),
            'max_atoms': {
                level: min(most, other.max_atoms.get(level, most)) for level, most in settings.max_atoms.items()
            },
            'unavailable': {Fidelity.CCSD_T: NO_COUPLED_CLUSTER},
            'fitting': 'even_tempered',
            'prefer_composite': False,
            **dict.fromkeys(
                ('beyond_argon', 'coupled_cluster_basis', 'composite', 'counterpoise', 'fallback', 'local'), None
            ),
        }
    )


def missing_basis(symbols: t.Iterable[str], known: t.Collection[str], protocol: str) -> str | None:
    """Return which elements have no basis and what would help, or None if all have one.

    :param known: elements that the basis of the level has.
    """
    missing = sorted(set(symbols) - set(known))
    if not missing:
        return None
    beyond = [symbol for symbol in missing if symbol not in _TABLE]
    if beyond:
        return (
            f'PySCF has no pseudopotential gth-pbe with a basis for {", ".join(beyond)}: their compounds need pw.x '
            '(engine `espresso`) and a family of pseudopotentials that has these elements'
        )
    advice = ' (`fast` and `moderate` have)' if any(map(_is_heavy, missing)) else ''
    return f'protocol `{protocol}` has no basis for {", ".join(missing)}{advice}; it has {", ".join(sorted(known))}'


def _is_heavy(symbol: str) -> bool:
    return Element.is_valid_symbol(symbol) and Element(symbol).Z > ARGON
