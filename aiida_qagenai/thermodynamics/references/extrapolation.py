"""Limits of energies in basis and k-mesh from two points each, with an estimate of what the limit may be wrong by."""

from __future__ import annotations

import dataclasses
import math
import typing as t

from aiida_qagenai.common.errors import InvalidInputError

__all__ = (
    'Limit',
    'basis_set_correction',
    'combine_errors',
    'correlation_limit',
    'hartree_fock_limit',
    'mesh_limit',
    'separable_limit',
)

HARTREE_FOCK_DECAY = 9.0
"""Of exp(−9 √X), Karton and Martin, Theor. Chem. Acc. 115, 330 (2006)."""


@dataclasses.dataclass(frozen=True)
class Limit:
    """An extrapolated energy.

    :param value: in the unit of the input.
    :param error: standard error: half the distance from the better of the two points to the limit. Two points leave no
        statistics; it is a convention, of the size of what a third point usually changes.
    """

    value: float
    error: float


def correlation_limit(energies: t.Sequence[float], cardinals: t.Sequence[int]) -> Limit:
    """Return the basis-set limit of correlation energies, E_X = E + A X⁻³.

    :param energies: for one or two cardinal numbers; of one, the value itself is returned without an error.
    :raises InvalidInputError: if the cardinal numbers do not increase.
    """
    return _limit(energies, cardinals, 'cardinal numbers', (cardinal**3 for cardinal in cardinals))


def hartree_fock_limit(energies: t.Sequence[float], cardinals: t.Sequence[int]) -> Limit:
    """Return the basis-set limit of Hartree-Fock energies, E_X = E + A (X + 1) exp(−9 √X).

    :raises InvalidInputError: if the cardinal numbers do not increase.
    """
    decays = ((x + 1) * math.exp(-HARTREE_FOCK_DECAY * math.sqrt(x)) for x in reversed(cardinals))
    return _limit(energies, cardinals, 'cardinal numbers', decays)


def mesh_limit(energies: t.Sequence[float], num_kpoints: t.Sequence[int]) -> Limit:
    """Return the limit of a dense k-mesh, E = E(∞) + A / N_k.

    That is how Hartree-Fock with the Ewald correction and the correlation energy converge once the decay of the
    exchange is sampled; it does not hold for meshes of one or two points in a direction.

    :raises InvalidInputError: if the numbers of k-points do not increase.
    """
    return _limit(energies, num_kpoints, 'numbers of k-points', num_kpoints)


def separable_limit(mesh: Limit, basis: Limit, common: float) -> Limit:
    """Return the limit in both, assumed to be independent: mesh limit plus what the basis limit adds at one mesh.

    :param common: the energy of the point that both limits have in common: smaller basis, coarser mesh.
    """
    return Limit(mesh.value + basis.value - common, combine_errors(mesh.error, basis.error))


def basis_set_correction(mp2_energies: t.Sequence[float], cardinals: t.Sequence[int]) -> Limit:
    """Return E_MP2(CBS) − E_MP2(X) of correlation energies, X being the first cardinal number.

    The correction to add to a correlation energy at basis X to compare it with data of higher quality.
    """
    limit = correlation_limit(mp2_energies, cardinals)
    return Limit(limit.value - mp2_energies[0], limit.error)


def combine_errors(*errors: float) -> float:
    """Return the root of the sum of squares of independent errors."""
    return math.hypot(*errors)


def _limit(energies: t.Sequence[float], numbers: t.Sequence[int], what: str, weights: t.Iterable[float]) -> Limit:
    if len(energies) != len(numbers) or not 1 <= len(numbers) <= 2:
        message = f'a limit needs one or two energies and as many {what}, got {len(energies)} and {len(numbers)}'
        raise InvalidInputError(message)
    if any(number < 1 for number in numbers) or sorted(set(numbers)) != list(numbers):
        raise InvalidInputError(f'the {what} must increase, got {list(numbers)}')
    if len(energies) == 1:
        return Limit(energies[0], 0.0)
    small, large = weights
    value = (large * energies[1] - small * energies[0]) / (large - small)
    return Limit(value, abs(value - energies[1]) / 2)
