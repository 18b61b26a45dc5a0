"""Distances to the convex hull from files."""
