"""Relaxations, elastic tensors, free energies and barriers on a potential."""
