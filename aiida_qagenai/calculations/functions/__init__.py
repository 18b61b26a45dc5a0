"""Calcfunctions: thin shells around plain functions."""
