"""Energies by PySCF."""
