"""Relaxation, phonons, quasi-harmonic free energies and barriers on an ASE calculator."""
