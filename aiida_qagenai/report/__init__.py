"""Figures and pages on a campaign, drawn from the provenance graph."""
