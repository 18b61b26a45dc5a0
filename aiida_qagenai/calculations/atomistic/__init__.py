"""Relaxations, free energies and barriers on a potential."""
