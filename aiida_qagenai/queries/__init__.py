"""Searches over the provenance graph, archives and integrity checks."""
