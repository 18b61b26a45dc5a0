"""Parsers: one per CalcJob."""
