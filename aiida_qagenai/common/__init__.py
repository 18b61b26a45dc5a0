"""Fidelity, units, errors and the layout of the quantum descriptors (neither AiiDA nor torch)."""
