"""Energies, reference energies and ladders of levels of theory."""
