"""The properties of crystals that the shipped property heads predict, and those that can be asked for."""

from __future__ import annotations

import typing as t

from aiida_qagenai.common.descriptors import BLOCKS, HEAD_FIELDS

__all__ = (
    'COMPUTED_WEIGHT',
    'DEFAULT_ROUNDS',
    'DESCRIBED',
    'FUNCTION',
    'PREDICTED',
    'PROPERTIES',
    'QUANTITIES',
    'Quantity',
    'Rounds',
    'quantity',
)

PROPERTIES = {'bulk_modulus': 'GPa', 'shear_modulus': 'GPa'}
"""Name → unit. Moduli are averages of Voigt, Reuss and Hill."""


class Quantity(t.NamedTuple):
    """A property that an inverse design can ask for.

    :param unit: empty for a number without one.
    :param tolerance: half width of the window around a single value, as a share of it or in the unit.
    :param relative: whether the quantity is positive, and its errors are shares of what is wanted.
    :param from_tensor: whether only a mechanically stable crystal has it.
    :param about: what it is, in words.
    """

    unit: str
    tolerance: float
    relative: bool
    from_tensor: bool
    about: str


QUANTITIES = {
    'bulk_modulus': Quantity('GPa', 0.1, True, True, 'Voigt–Reuss–Hill'),
    'shear_modulus': Quantity('GPa', 0.1, True, True, 'Voigt–Reuss–Hill'),
    'young_modulus': Quantity('GPa', 0.1, True, True, 'of the isotropic average'),
    'pugh_ratio': Quantity('', 0.1, True, True, 'shear over bulk modulus'),
    'poisson_ratio': Quantity('', 0.02, False, True, 'of the isotropic average'),
    'universal_anisotropy': Quantity('', 0.1, False, True, '0 for an isotropic crystal'),
    'density': Quantity('g/cm3', 0.05, True, False, 'of the relaxed crystal'),
    'volume_per_atom': Quantity('Å3', 0.05, True, False, 'of the relaxed crystal'),
    'formation_energy': Quantity('eV/atom', 0.05, False, False, 'on the scale of the hull of the package'),
    'e_above_hull': Quantity('eV/atom', 0.025, False, False, 'above that hull, with the other crystals of the round'),
}
"""Name → what an inverse design can ask for, the properties of the heads first."""

_DESCRIPTORS = {
    'dos_mean': Quantity('eV', 2.0, False, False, 'mean of the occupied density of states, valence maximum at 0'),
    'dos_std': Quantity('eV', 0.2, True, False, 'width of the occupied density of states'),
    'dos_skewness': Quantity('', 0.3, False, False, 'of the occupied density of states'),
    'dos_s_fraction': Quantity('', 0.05, False, False, 'share of s in the occupied density of states'),
    'dos_p_fraction': Quantity('', 0.05, False, False, 'share of p in the occupied density of states'),
    **{
        name: Quantity('', 0.05, False, False, f'share of the volume with ELF from 0.{place}')
        for place, name in enumerate(BLOCKS['elf'])
    },
    'laplacian_abs_mean': Quantity('e/Å5', 0.25, True, False, 'mean of the absolute Laplacian of the density'),
    'laplacian_std': Quantity('e/Å5', 0.25, True, False, 'standard deviation of the Laplacian of the density'),
    'chi0_q_min': Quantity('1/(eV Å3)', 0.3, True, False, '−χ0 at the smallest wave vector of the mesh'),
    'chi0_q_max': Quantity('1/(eV Å3)', 0.3, True, False, '−χ0 at the zone boundary'),
}
DESCRIBED = {
    **{name: _DESCRIPTORS[name] for name in HEAD_FIELDS},
    'elf_high': Quantity('', 0.05, False, False, 'share of the volume with ELF of 0.7 and more'),
}
"""Name → what the descriptor heads of the package predict, at PBE."""

PREDICTED = (*PROPERTIES, *DESCRIBED)
"""What can be asked for of a crystal before anything is computed, beside its band gap."""

FUNCTION = r'^[A-Za-z_][\w.]*:[A-Za-z_]\w*$'
"""Name of a function of another package, ``module:function``, that can be asked for as well."""


def quantity(name: str) -> Quantity:
    """Return what is known about a property: of a function only that its errors are differences."""
    return (
        QUANTITIES.get(name)
        or DESCRIBED.get(name)
        or Quantity('', 1.0, False, False, 'a function of the relaxed crystal')
    )


COMPUTED_WEIGHT = 0.25
"""Of a crystal computed on a potential, beside a published one, when the heads are retrained: the ratio of the squared
relative errors of the heads (0.11) and of CHGNet (0.23). A larger one makes the heads worse."""


class Rounds(t.NamedTuple):
    """What decides the rounds of an inverse design, with its defaults.

    :param number: of rounds; the heads are retrained after each.
    :param per_system: samples of each chemical system in a round.
    :param per_round: crystals whose tensors are computed in a round.
    :param max_atoms: most atoms in the cell.
    :param novelty: noise added to known crystals, 0 to 1.
    :param weight: of a computed crystal in training, beside a published one.
    """

    number: int = 3
    per_system: int = 10
    per_round: int = 8
    max_atoms: int = 6
    novelty: float = 0.2
    weight: float = COMPUTED_WEIGHT


DEFAULT_ROUNDS = Rounds()
"""Of the commands, the API and the protocol."""
