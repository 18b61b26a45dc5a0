"""Acquisition, diversity and budget (no AiiDA)."""
