"""The properties of crystals that the shipped property heads predict."""

from __future__ import annotations

__all__ = ('COMPUTED_WEIGHT', 'PROPERTIES')

PROPERTIES = {'bulk_modulus': 'GPa', 'shear_modulus': 'GPa'}
"""Name → unit. Moduli are averages of Voigt, Reuss and Hill."""

COMPUTED_WEIGHT = 0.25
"""Of a crystal computed on a potential, beside a published one, when the heads are retrained: the ratio of the squared
relative errors of the heads (0.11) and of CHGNet (0.23). A larger one makes the heads worse."""
