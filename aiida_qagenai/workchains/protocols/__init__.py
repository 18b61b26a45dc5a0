"""Protocols: YAML files and their typed schemas."""
