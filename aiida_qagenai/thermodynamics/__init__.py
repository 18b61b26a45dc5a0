"""Convex hull, stability classes and reference energies (no AiiDA)."""
