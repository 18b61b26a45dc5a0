"""Warnings of an energy: not wrong, but not to be used without a look at the number that tripped them."""

from __future__ import annotations

__all__ = ('WARNING_CODES',)

WARNING_CODES: dict[int, str] = {
    700: 'the level only exercises the machinery, it is not scientific',
    701: 'T1 diagnostic above 0.02: multireference character',
    702: 'D1 diagnostic above 0.05: multireference character',
    703: 'a t2 amplitude above 0.2: multireference character',
    704: 'the grid loses more than 2e-5 electrons (an error above 1e-4)',
    705: 'smallest overlap eigenvalue below 1e-6: nearly linearly dependent basis (an error below 1e-9)',
    706: 'spin contamination of the Hartree-Fock reference above 0.1',
    707: 'odd number of electrons per cell, computed without spin polarisation',
    708: 'imaginary part of the (T) energy above 1e-6 Ha (an error above 1e-4)',
    709: 'Hartree-Fock of a metal: the number of occupied bands varies between k-points',
    710: 'the magnetic ordering is another than the one that the density began with',
    711: 'some of the sites that began with a moment lost it',
    712: 'another magnetic ordering within 10 meV/atom of the lowest: multireference character',
    713: 'a magnetic ordering has no energy, the lowest of the others was taken',
    720: 'the forces of PySCF add up to more than 0.02 eV/Å: the grid is coarse',
    721: 'the relaxation changed the volume by more than the limit of its protocol',
    722: 'an imaginary phonon at Γ: the relaxed structure is a saddle point',
    723: 'a crystal with local moments was relaxed without them',
}
"""Code → what it means. In a search: ``{'attributes.warning_codes': {'!contains': [701]}}`` leaves those out."""
