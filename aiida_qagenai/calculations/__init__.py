"""Calculations: one CalcJob per file."""
