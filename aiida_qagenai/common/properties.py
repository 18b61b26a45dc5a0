"""The properties of crystals that the shipped property heads predict, and those that can be asked for."""

from __future__ import annotations

import typing as t

__all__ = (
    'COMPUTED_WEIGHT',
    'DEFAULT_ROUNDS',
    'FUNCTION',
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

FUNCTION = r'^[A-Za-z_][\w.]*:[A-Za-z_]\w*$'
"""Name of a function of another package, ``module:function``, that can be asked for as well."""


def quantity(name: str) -> Quantity:
    """Return what is known about a property: of a function only that its errors are differences."""
    return QUANTITIES.get(name) or Quantity('', 1.0, False, False, 'a function of the relaxed crystal')


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
