"""Checks of the graph."""
