"""The properties of crystals that the shipped property heads predict."""

from __future__ import annotations

__all__ = ('PROPERTIES',)

PROPERTIES = {'bulk_modulus': 'GPa', 'shear_modulus': 'GPa'}
"""Name → unit. Moduli are averages of Voigt, Reuss and Hill."""
