"""The properties of crystals that the shipped property heads predict."""

from __future__ import annotations

import typing as t

__all__ = ('COMPUTED_WEIGHT', 'DEFAULT_ROUNDS', 'PROPERTIES', 'Rounds')

PROPERTIES = {'bulk_modulus': 'GPa', 'shear_modulus': 'GPa'}
"""Name → unit. Moduli are averages of Voigt, Reuss and Hill."""

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
