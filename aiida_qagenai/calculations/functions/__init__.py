"""Calcfunctions: thin shells around the plain modules."""
